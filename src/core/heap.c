/* A binary heap of indices by time; see heap.h. */
#include "heap.h"

#include <stdlib.h>

void igt_heap_fini(struct igt_heap *heap)
{
    free(heap->entries);
    heap->entries = NULL;
    heap->count = heap->size = 0;
}

static void put(struct igt_heap *heap, size_t place, struct igt_heap_entry entry)
{
    heap->entries[place] = entry;
    heap->moved(heap->context, entry.index, (uint32_t)place);
}

static void sift_up(struct igt_heap *heap, size_t place, struct igt_heap_entry entry)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (heap->entries[parent].time_us <= entry.time_us)
            break;
        put(heap, place, heap->entries[parent]);
        place = parent;
    }
    put(heap, place, entry);
}

static void sift_down(struct igt_heap *heap, size_t place, struct igt_heap_entry entry)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            heap->entries[child + 1].time_us < heap->entries[child].time_us)
            child++;
        if (entry.time_us <= heap->entries[child].time_us)
            break;
        put(heap, place, heap->entries[child]);
        place = child;
    }
    put(heap, place, entry);
}

int igt_heap_push(struct igt_heap *heap, uint32_t index, int64_t time_us)
{
    if (heap->count == heap->size) {
        size_t size = heap->size ? heap->size * 2 : 64;
        struct igt_heap_entry *grown = realloc(heap->entries, size * sizeof *grown);
        if (!grown)
            return 0;
        heap->entries = grown;
        heap->size = size;
    }
    heap->count++;
    sift_up(heap, heap->count - 1, (struct igt_heap_entry){time_us, index});
    return 1;
}

void igt_heap_remove(struct igt_heap *heap, uint32_t place)
{
    uint32_t gone = heap->entries[place].index;
    struct igt_heap_entry last = heap->entries[--heap->count];
    if (place < heap->count) {
        if (place > 0 && last.time_us < heap->entries[(place - 1) / 2].time_us)
            sift_up(heap, place, last);
        else
            sift_down(heap, place, last);
    }
    heap->moved(heap->context, gone, IGT_HEAP_NOWHERE);
}
