/*
 * A request: events on their way into the store, or just read from it, with the memory
 * that they stand in. Gateway, journal, fetcher and delivery loop pass it on.
 */
#ifndef INGOT_DAEMON_REQUEST_H
#define INGOT_DAEMON_REQUEST_H

#include "core/arena.h"
#include "core/buffer.h"

#include <ingot/ingot.h>
#include <stdatomic.h>

/* A job of a request whose first claim goes into the same commit as its event. */
struct igt_first_claim {
    size_t event, job; /* their places */
    size_t plan;       /* its destination's */
};

/* The events of one request. Held by whoever is about to use it: retain and release. */
struct igt_request {
    struct igt_arena *arena;    /* holds the events and the request itself */
    struct igt_buffer body;     /* the text that payloads point into */
    struct ingot_event *events; /* their jobs have their numbers */
    size_t event_count;
    /* Only jobs of events whose ids this process has made may be claimed with them (PROTOCOL 2.3). */
    enum { IGT_IDS_GIVEN, IGT_IDS_MADE } ids;
    struct igt_first_claim *claims; /* ascending by event and job; in the arena */
    size_t claim_count;
    enum ingot_verdict *verdicts; /* one for each event, when status is INGOT_OK */
    enum ingot_status status;     /* INGOT_OK once the events are durable */
    struct ingot_error error;
    /* Called once, on a thread of the journal, when status and verdicts are final. */
    void (*decided)(struct igt_request *request, void *context);
    void *context;
    struct igt_request *next;
    atomic_int holders;
};

/* A request in an arena of its own, held once; NULL when memory ran out. */
struct igt_request *igt_request_create(void);

/* The events of a page, which were stored by whomever, as a request; takes the page over. NULL when memory ran out. */
struct igt_request *igt_request_of_page(struct ingot_page **page);

void igt_request_retain(struct igt_request *request);
void igt_request_release(struct igt_request *request);
size_t igt_request_bytes(const struct igt_request *request); /* of memory, about */

#endif
