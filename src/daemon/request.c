/* Making, holding and releasing requests; see request.h. */
#include "request.h"

struct igt_request *igt_request_create(void)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_request *request = arena ? igt_arena_alloc(arena, sizeof *request) : NULL;
    if (!request) {
        igt_arena_destroy(arena);
        return NULL;
    }
    request->arena = arena;
    atomic_init(&request->holders, 1);
    return request;
}

struct igt_request *igt_request_of_page(struct ingot_page **page)
{
    struct igt_request *request = igt_request_create();
    if (!request)
        return NULL;
    request->events = (*page)->events;
    request->event_count = (*page)->event_count;
    request->verdicts =
        igt_arena_array(request->arena, request->event_count, sizeof *request->verdicts);
    if (!request->verdicts) {
        igt_request_release(request);
        return NULL;
    }
    for (size_t i = 0; i < request->event_count; i++)
        request->verdicts[i] = INGOT_STORED;
    igt_arena_adopt(request->arena, (*page)->arena);
    *page = NULL;
    return request;
}

void igt_request_retain(struct igt_request *request)
{
    atomic_fetch_add(&request->holders, 1);
}

void igt_request_release(struct igt_request *request)
{
    if (atomic_fetch_sub(&request->holders, 1) != 1)
        return;
    igt_buffer_fini(&request->body);
    igt_arena_destroy(request->arena);
}

size_t igt_request_bytes(const struct igt_request *request)
{
    return igt_arena_bytes(request->arena) + request->body.size;
}
