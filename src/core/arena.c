/* An arena of growing chunks; see arena.h. */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_FIRST 4096u
#define CHUNK_BYTES_MAX (256u << 10)

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

struct igt_arena {
    struct chunk *chunks; /* the newest first */
    size_t chunk_bytes;   /* size of the next ordinary chunk */
    size_t total_bytes;
};

struct igt_arena *igt_arena_create(void)
{
    struct igt_arena *arena = calloc(1, sizeof *arena);
    if (arena)
        arena->chunk_bytes = CHUNK_BYTES_FIRST;
    return arena;
}

void igt_arena_destroy(struct igt_arena *arena)
{
    if (!arena)
        return;
    for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}

static struct chunk *add_chunk(struct igt_arena *arena, size_t size)
{
    struct chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        return NULL;
    chunk->used = 0;
    chunk->size = size;
    arena->total_bytes += size;
    return chunk;
}

void *igt_arena_alloc(struct igt_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX - align - sizeof(struct chunk))
        return NULL;
    size = (size + align - 1) / align * align;
    struct chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        if (size > arena->chunk_bytes / 4) {
            /* A large piece gets a chunk of its own, behind the one being filled. */
            chunk = add_chunk(arena, size);
            if (!chunk)
                return NULL;
            if (arena->chunks) {
                chunk->next = arena->chunks->next;
                arena->chunks->next = chunk;
            } else {
                chunk->next = NULL;
                arena->chunks = chunk;
            }
        } else {
            chunk = add_chunk(arena, arena->chunk_bytes);
            if (!chunk)
                return NULL;
            chunk->next = arena->chunks;
            arena->chunks = chunk;
            if (arena->chunk_bytes < CHUNK_BYTES_MAX)
                arena->chunk_bytes *= 2;
        }
    }
    void *piece = chunk->bytes + chunk->used;
    chunk->used += size;
    return memset(piece, 0, size);
}

void *igt_arena_array(struct igt_arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return igt_arena_alloc(arena, count * size);
}

struct ingot_bytes igt_arena_copy(struct igt_arena *arena, struct ingot_bytes bytes)
{
    struct ingot_bytes copy = {NULL, 0};
    if (!bytes.data || bytes.len == SIZE_MAX)
        return copy;
    char *piece = igt_arena_alloc(arena, bytes.len + 1);
    if (!piece)
        return copy;
    memcpy(piece, bytes.data, bytes.len);
    copy.data = piece;
    copy.len = bytes.len;
    return copy;
}

void igt_arena_adopt(struct igt_arena *into, struct igt_arena *from)
{
    struct chunk **last = &into->chunks;
    while (*last)
        last = &(*last)->next;
    *last = from->chunks;
    into->total_bytes += from->total_bytes;
    free(from);
}

size_t igt_arena_bytes(const struct igt_arena *arena)
{
    return arena->total_bytes;
}
