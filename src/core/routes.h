/*
 * Which destination takes which events, and the jobs that follow from it. A
 * destination that names an event gets a job for it, and one that takes "*"
 * gets a job for every event: at most two for one destination (SEED row 77).
 */
#ifndef INGOT_CORE_ROUTES_H
#define INGOT_CORE_ROUTES_H

#include "arena.h"
#include "buffer.h"

struct igt_route {
    struct ingot_bytes destination;
    const struct ingot_bytes *events; /* names, and "*" for all; no duplicates */
    size_t event_count;
};

struct igt_routes {
    const struct igt_route *routes; /* ascending by destination */
    size_t route_count;
};

/* Appends {"destinations":[{"name":"billing","events":["*","user.created"]}]}: canonical, so that equal routes are equal bytes. */
void igt_routes_encode(struct igt_buffer *buffer, const struct igt_routes *routes);

/* Decodes what encode writes, into the arena; INGOT_CORRUPT if it is not that. */
enum ingot_status igt_routes_decode(struct ingot_bytes text, struct igt_arena *arena,
                                    struct igt_routes *ret_routes, struct ingot_error *err);

/*
 * Gives the event the jobs that follow from its name, with made ids, the
 * specific one before the wildcard's, born acknowledged, in the arena; they
 * outlive the routes. INGOT_NOMEM or OK; an event that nobody wants gets none.
 */
enum ingot_status igt_routes_apply(const struct igt_routes *routes,
                                   struct ingot_ksuid_generator *generator,
                                   const struct ingot_toolkit *toolkit, struct igt_arena *arena,
                                   struct ingot_event *event);

#endif
