/*
 * A binary heap of indices, ordered by a time that each carries. Its owner
 * keeps each index's place, so that any member can be moved or taken out.
 */
#ifndef INGOT_CORE_HEAP_H
#define INGOT_CORE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define IGT_HEAP_NOWHERE UINT32_MAX

struct igt_heap_entry {
    int64_t time_us;
    uint32_t index;
};

struct igt_heap {
    struct igt_heap_entry *entries; /* entries[0] is the earliest */
    size_t count, size;
    /* Told the new place of an index whenever it moves; IGT_HEAP_NOWHERE when it leaves. */
    void (*moved)(void *context, uint32_t index, uint32_t place);
    void *context;
};

/* Zero the heap and set moved and context; fini frees the entries. */
void igt_heap_fini(struct igt_heap *heap);

/* Puts an index in; 0 when memory ran out. */
int igt_heap_push(struct igt_heap *heap, uint32_t index, int64_t time_us);

/* Takes the member at a place out. */
void igt_heap_remove(struct igt_heap *heap, uint32_t place);

#endif
