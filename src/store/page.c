/* Pages and the memory that adapters fill them with; see adapter.h. */
#include "core/arena.h"

#include <ingot/adapter.h>

#include <stdlib.h>

struct ingot_page *ingot_page_create(void)
{
    struct igt_arena *arena = igt_arena_create();
    struct ingot_page *page = arena ? igt_arena_alloc(arena, sizeof *page) : NULL;
    if (!page) {
        igt_arena_destroy(arena);
        return NULL;
    }
    page->arena = arena;
    return page;
}

void ingot_page_destroy(struct ingot_page *page)
{
    if (page)
        igt_arena_destroy(page->arena);
}

void ingot_counts_destroy(struct ingot_counts *counts)
{
    if (counts)
        igt_arena_destroy(counts->arena);
}

void *ingot_page_alloc(struct ingot_page *page, size_t size)
{
    return igt_arena_alloc(page->arena, size);
}

struct ingot_bytes ingot_page_copy(struct ingot_page *page, struct ingot_bytes bytes)
{
    return igt_arena_copy(page->arena, bytes);
}
