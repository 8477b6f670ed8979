/*
 * An arena: many small allocations, one free. What a read returns lives in
 * one, and so does what a request was parsed into. Not thread-safe.
 */
#ifndef INGOT_CORE_ARENA_H
#define INGOT_CORE_ARENA_H

#include <ingot/ingot.h>

struct igt_arena;

/* Makes an empty arena; NULL when memory ran out. */
struct igt_arena *igt_arena_create(void);

/* Frees the arena and all that was allocated in it; arena may be NULL. */
void igt_arena_destroy(struct igt_arena *arena);

/* Zeroed memory, aligned for any type; NULL when memory ran out. */
void *igt_arena_alloc(struct igt_arena *arena, size_t size);

/* Memory for count elements of size bytes; NULL also when the product overflows. */
void *igt_arena_array(struct igt_arena *arena, size_t count, size_t size);

/* A copy with a NUL behind it; absent stays absent; data is NULL when memory ran out. */
struct ingot_bytes igt_arena_copy(struct igt_arena *arena, struct ingot_bytes bytes);

/* Moves all that was allocated in from into the other arena, and frees from itself. */
void igt_arena_adopt(struct igt_arena *into, struct igt_arena *from);

/* Bytes taken from the system so far. */
size_t igt_arena_bytes(const struct igt_arena *arena);

#endif
