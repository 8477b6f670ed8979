/* Which destination takes which events, and the jobs that follow; see routes.h. */
#include "routes.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

static const struct ingot_bytes wildcard = {"*", 1};

static int compare_bytes(struct ingot_bytes a, struct ingot_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* "*" first, then by bytes. */
static int compare_events(const void *left, const void *right)
{
    const struct ingot_bytes *a = left, *b = right;
    int order = ingot_bytes_equal(*b, wildcard) - ingot_bytes_equal(*a, wildcard);
    return order ? order : compare_bytes(*a, *b);
}

static int compare_routes(const void *left, const void *right)
{
    const struct igt_route *a = left, *b = right;
    return compare_bytes(a->destination, b->destination);
}

/* ---- writing ------------------------------------------------------------ */

/* A sorted copy, for free(); NULL also if there is nothing to copy. */
static void *sorted(const void *elements, size_t count, size_t size,
                    int (*compare)(const void *, const void *), struct igt_buffer *buffer)
{
    void *copy = count ? reallocarray(NULL, count, size) : NULL;
    if (!copy) {
        buffer->failed |= count > 0;
        return NULL;
    }
    memcpy(copy, elements, count * size);
    qsort(copy, count, size, compare);
    return copy;
}

static void add_route(struct igt_buffer *buffer, const struct igt_route *route)
{
    struct ingot_bytes *events =
        sorted(route->events, route->event_count, sizeof *events, compare_events, buffer);
    igt_buffer_add_text(buffer, "{\"name\":");
    igt_buffer_add_json_string(buffer, route->destination);
    igt_buffer_add_text(buffer, ",\"events\":[");
    for (size_t i = 0; events && i < route->event_count; i++) {
        if (i)
            igt_buffer_add_text(buffer, ",");
        igt_buffer_add_json_string(buffer, events[i]);
    }
    igt_buffer_add_text(buffer, "]}");
    free(events);
}

void igt_routes_encode(struct igt_buffer *buffer, const struct igt_routes *routes)
{
    struct igt_route *sorted_routes =
        sorted(routes->routes, routes->route_count, sizeof *sorted_routes, compare_routes, buffer);
    igt_buffer_add_text(buffer, "{\"destinations\":[");
    for (size_t i = 0; sorted_routes && i < routes->route_count; i++) {
        if (i)
            igt_buffer_add_text(buffer, ",");
        add_route(buffer, &sorted_routes[i]);
    }
    igt_buffer_add_text(buffer, "]}");
    free(sorted_routes);
}

/* ---- reading ------------------------------------------------------------ */

/* The member of that name; anything else in its place is as good as absent. */
static struct igt_json member_of(const struct igt_json *object, const char *name)
{
    struct igt_json key, value = {IGT_JSON_NULL, {NULL, 0}};
    if (object->kind != IGT_JSON_OBJECT)
        return value;
    struct igt_json_walk walk = igt_json_walk(object);
    while (igt_json_next(&walk, &key, &value)) {
        struct ingot_bytes text = {(const char *)key.raw.data + 1, key.raw.len - 2};
        if (ingot_bytes_equal(text, ingot_bytes_of(name)))
            return value;
    }
    return (struct igt_json){IGT_JSON_NULL, {NULL, 0}};
}

static enum ingot_status read_text(const struct igt_json *value, struct igt_arena *arena,
                                   struct ingot_bytes *ret_text)
{
    if (value->kind != IGT_JSON_STRING)
        return INGOT_CORRUPT;
    struct ingot_bytes text = igt_json_text(value, arena);
    if (text.data)
        *ret_text = igt_arena_copy(arena, text);
    return text.data && ret_text->data ? INGOT_OK : INGOT_NOMEM;
}

static enum ingot_status read_route(const struct igt_json *value, struct igt_arena *arena,
                                    struct igt_route *route)
{
    struct igt_json key, member;
    struct igt_json name = member_of(value, "name"), list = member_of(value, "events");
    enum ingot_status status = read_text(&name, arena, &route->destination);
    if (status != INGOT_OK || list.kind != IGT_JSON_ARRAY)
        return status != INGOT_OK ? status : INGOT_CORRUPT;
    struct ingot_bytes *events = igt_arena_array(arena, igt_json_count(&list), sizeof *events);
    if (!events)
        return INGOT_NOMEM;
    struct igt_json_walk walk = igt_json_walk(&list);
    for (; igt_json_next(&walk, &key, &member); route->event_count++) {
        struct ingot_bytes *event = &events[route->event_count];
        status = read_text(&member, arena, event);
        if (status != INGOT_OK)
            return status;
        if (route->event_count && compare_events(event - 1, event) >= 0)
            return INGOT_CORRUPT;
    }
    route->events = events;
    return INGOT_OK;
}

static enum ingot_status read_routes(const struct igt_json *value, struct igt_arena *arena,
                                     struct igt_routes *ret_routes)
{
    struct igt_json key, member, list = member_of(value, "destinations");
    size_t count = 0;
    if (list.kind != IGT_JSON_ARRAY)
        return INGOT_CORRUPT;
    struct igt_route *routes = igt_arena_array(arena, igt_json_count(&list), sizeof *routes);
    if (!routes)
        return INGOT_NOMEM;
    struct igt_json_walk walk = igt_json_walk(&list);
    for (; igt_json_next(&walk, &key, &member); count++) {
        enum ingot_status status = read_route(&member, arena, &routes[count]);
        if (status != INGOT_OK)
            return status;
        if (count && compare_routes(&routes[count - 1], &routes[count]) >= 0)
            return INGOT_CORRUPT;
    }
    *ret_routes = (struct igt_routes){routes, count};
    return INGOT_OK;
}

/* Whether encode writes these routes as text. */
static enum ingot_status check_canonical(const struct igt_routes *routes, struct ingot_bytes text)
{
    struct igt_buffer buffer = {0};
    igt_routes_encode(&buffer, routes);
    enum ingot_status status = INGOT_NOMEM;
    if (!buffer.failed)
        status = ingot_bytes_equal((struct ingot_bytes){buffer.data, buffer.len}, text)
                     ? INGOT_OK
                     : INGOT_CORRUPT;
    igt_buffer_fini(&buffer);
    return status;
}

enum ingot_status igt_routes_decode(struct ingot_bytes text, struct igt_arena *arena,
                                    struct igt_routes *ret_routes, struct ingot_error *err)
{
    struct igt_json value;
    struct igt_routes routes = {0};
    struct ingot_error why = {0};
    enum ingot_status status = igt_json_parse(text, &value, &why);
    if (status == INGOT_INVALID)
        return ingot_error_set(err, INGOT_CORRUPT, "the published routes are not JSON: %s",
                               why.message);
    if (status == INGOT_OK)
        status = read_routes(&value, arena, &routes);
    if (status == INGOT_OK)
        status = check_canonical(&routes, text);
    if (status == INGOT_NOMEM)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out while reading the routes");
    if (status != INGOT_OK)
        return ingot_error_set(
            err, INGOT_CORRUPT,
            "the published routes are not what ingot writes, publish them again");
    *ret_routes = routes;
    return INGOT_OK;
}

/* ---- applying ----------------------------------------------------------- */

static int takes(const struct igt_route *route, struct ingot_bytes event)
{
    for (size_t i = 0; i < route->event_count; i++)
        if (ingot_bytes_equal(route->events[i], event))
            return 1;
    return 0;
}

/* The job events that a destination wants for an event of that name, at most two. */
static size_t wanted(const struct igt_route *route, struct ingot_bytes name,
                     struct ingot_bytes ret_events[2])
{
    size_t count = 0;
    if (!ingot_bytes_equal(name, wildcard) && takes(route, name))
        ret_events[count++] = name;
    if (takes(route, wildcard))
        ret_events[count++] = wildcard;
    return count;
}

enum ingot_status igt_routes_apply(const struct igt_routes *routes,
                                   struct ingot_ksuid_generator *generator,
                                   const struct ingot_toolkit *toolkit, struct igt_arena *arena,
                                   struct ingot_event *event)
{
    struct ingot_bytes events[2];
    uint32_t count = 0, total = 0;
    for (size_t i = 0; i < routes->route_count; i++)
        total += (uint32_t)wanted(&routes->routes[i], event->name, events);
    struct ingot_job *jobs = total ? igt_arena_array(arena, total, sizeof *jobs) : NULL;
    if (total && !jobs)
        return INGOT_NOMEM;
    for (size_t i = 0; i < routes->route_count; i++) {
        size_t wants = wanted(&routes->routes[i], event->name, events);
        if (wants == 0)
            continue;
        struct ingot_bytes destination = igt_arena_copy(arena, routes->routes[i].destination);
        if (!destination.data)
            return INGOT_NOMEM;
        for (size_t k = 0; k < wants; k++, count++) {
            struct ingot_job *job = &jobs[count];
            ingot_ksuid_generate_for(generator, toolkit, &event->id, &job->id);
            job->event_id = event->id;
            job->number = count;
            job->destination = destination;
            job->event = events[k];
            job->due_us = job->created_us = INGOT_NO_TIME;
        }
    }
    event->jobs = jobs;
    event->job_count = total;
    return INGOT_OK;
}
