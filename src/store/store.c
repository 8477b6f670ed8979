/*
 * The store: options and opening, and the specification's operations on any
 * adapter. Adapters keep rows; what is legal is decided here and in core.
 */
#include "store.h"

#include "live.h"

#include "core/arena.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/model.h"
#include "core/state.h"
#include "core/toolkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the toolkit of a call ---------------------------------------------- */

static void forward_log(void *context, enum ingot_level level, const char *message)
{
    igt_log(context, level, "%s", message);
}

static int64_t forward_now(void *context)
{
    return igt_now_us(context);
}

static void forward_random(void *context, void *out, size_t size)
{
    igt_random(context, out, size);
}

static int forward_progress(void *context, uint64_t done, uint64_t total)
{
    return igt_progress(context, done, total);
}

struct ingot_toolkit igt_toolkit_for(const struct ingot_store *store,
                                     const struct ingot_toolkit *given)
{
    const struct ingot_toolkit *lender = given ? given : &store->toolkit;
    return (struct ingot_toolkit){
        .context = (void *)(uintptr_t)lender,
        .log = forward_log,
        .now_us = forward_now,
        .random = forward_random,
        .progress = forward_progress,
    };
}

/* ---- opening ------------------------------------------------------------ */

/* Notes one complaint about the options; the message is that of SEED row 42. */
static void complain(struct ingot_error *err, const char *interface, const char *path,
                     const char *message)
{
    ingot_error_set(err, INGOT_INVALID, "%s: Failed to load adapter", interface);
    ingot_error_add_validation(err, path, message);
}

/* The adapter that the options name, and the options that it makes of them (SEED rows 41 to 44). */
static const struct ingot_adapter *choose_adapter(struct ingot_options *options,
                                                  struct ingot_options **ret_options,
                                                  struct ingot_error *err)
{
    char interface[96], path[120];
    const struct ingot_adapter *adapter = options ? options->load : NULL;
    if (!options || (!options->load && !options->from)) {
        complain(err, "store", "Options/Store", "One of 'From' or 'Load' must be set");
        return NULL;
    }
    if (options->size < sizeof *options) {
        complain(err, "store", "Options/Store/Size", "must be sizeof(struct ingot_options)");
        return NULL;
    }
    if (!adapter)
        adapter = igt_registry_find(options);
    if (!adapter || adapter->abi != INGOT_ADAPTER_ABI ||
        adapter->size < sizeof(struct ingot_adapter)) {
        complain(err, "store", "Options/Store/From", "Adapter not supported");
        return NULL;
    }
    const char *name = adapter->name && adapter->name[0] ? adapter->name : NULL;
    if (!name)
        complain(err, "store", "Store/unknown/String()", "Store ID must not be empty");
    options->load = NULL;
    *ret_options = adapter->options(options);
    if (!*ret_options) {
        snprintf(interface, sizeof interface, "store/%s", name ? name : "unknown");
        snprintf(path, sizeof path, "Store/%s/Options()", name ? name : "unknown");
        complain(err, interface, path, "Store options must not be nil");
    }
    return name && *ret_options ? adapter : NULL;
}

static enum ingot_status open_store(struct ingot_options *options,
                                    const struct ingot_toolkit *toolkit,
                                    struct ingot_store **ret_store, struct ingot_error *err)
{
    struct ingot_options *in_force = NULL;
    ingot_error_clear(err);
    const struct ingot_adapter *adapter = choose_adapter(options, &in_force, err);
    if (!adapter)
        return INGOT_INVALID;
    struct ingot_store *store = calloc(1, sizeof *store);
    if (!store)
        return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    pthread_mutex_init(&store->lock, NULL);
    store->adapter = adapter;
    store->options = *in_force;
    store->connection = strdup(in_force->connection ? in_force->connection : "");
    store->options.connection = store->connection;
    store->wake_connection = in_force->wake_connection ? strdup(in_force->wake_connection) : NULL;
    store->options.wake_connection = store->wake_connection;
    if (toolkit)
        store->toolkit = *toolkit;
    store->handle = calloc(1, adapter->handle_size);
    enum ingot_status status;
    if (!store->handle || !store->connection ||
        (in_force->wake_connection && !store->wake_connection)) {
        free(store->handle);
        store->handle = NULL;
        status = ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    } else {
        struct ingot_toolkit full = igt_toolkit_for(store, NULL);
        status = adapter->open(store->handle, &store->options, &full, err);
    }
    if (status)
        ingot_store_close(store);
    else
        *ret_store = store;
    return status;
}

enum ingot_status ingot_store_open_for_migration(struct ingot_options *options,
                                                 const struct ingot_toolkit *toolkit,
                                                 struct ingot_store **ret_store,
                                                 struct ingot_error *err)
{
    return open_store(options, toolkit, ret_store, err);
}

enum ingot_status ingot_store_open(struct ingot_options *options,
                                   const struct ingot_toolkit *toolkit,
                                   struct ingot_store **ret_store, struct ingot_error *err)
{
    struct ingot_store *store = NULL;
    enum ingot_status status = open_store(options, toolkit, &store, err);
    if (status)
        return status;
    status = igt_wanderer_check(store, err);
    if (!status) {
        struct ingot_toolkit full = igt_toolkit_for(store, NULL);
        status = store->adapter->start(store->handle, &full, err);
    }
    if (!status && store->options.mode == INGOT_MODE_WRITE) {
        status = ingot_store_make_segments(store, NULL, err);
        if (status == INGOT_RETRY) /* somebody else is making them */
            status = INGOT_OK;
    }
    if (status)
        ingot_store_close(store);
    else
        *ret_store = store;
    return status;
}

void ingot_store_close(struct ingot_store *store)
{
    if (!store)
        return;
    if (store->handle)
        store->adapter->close(store->handle);
    pthread_mutex_destroy(&store->lock);
    igt_candidates_destroy(store->candidates);
    free(store->handle);
    free(store->connection);
    free(store->wake_connection);
    free(store);
}

const char *ingot_store_name(const struct ingot_store *store)
{
    return store->adapter->name;
}

const struct ingot_options *ingot_store_options(const struct ingot_store *store)
{
    return &store->options;
}

enum ingot_status ingot_store_announce(struct ingot_store *store, const char *address,
                                       struct ingot_error *err)
{
    ingot_error_clear(err);
    if (!store->adapter->announce)
        return INGOT_OK;
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->announce(store->handle, address, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ingot_status ingot_options_holder(const struct ingot_options *options,
                                       struct ingot_holder *ret_holder, struct ingot_error *err)
{
    struct ingot_options mine = options ? *options : (struct ingot_options){0}, *in_force = NULL;
    ingot_error_clear(err);
    const struct ingot_adapter *adapter = choose_adapter(options ? &mine : NULL, &in_force, err);
    if (!adapter)
        return INGOT_INVALID;
    if (!adapter->holder)
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/%s: is not held by one process",
                               adapter->name);
    return adapter->holder(in_force->connection, ret_holder, err);
}

/* ---- reading ------------------------------------------------------------ */

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
}

/* The made ids of the transitions that reads show. */
static void name_transitions(struct ingot_page *page)
{
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++) {
            struct ingot_transition *latest = &page->events[i].jobs[j].latest;
            igt_transition_id(&latest->event_id, latest->job, latest->seq, latest->created_us,
                              &latest->id);
        }
}

/*
 * Puts a page behind another and frees it, but for a failure; an event that
 * both hold becomes one again. size is the room in the first page's events.
 */
static enum ingot_status join_pages(struct ingot_page *into, size_t *size, struct ingot_page *from,
                                    struct ingot_error *err)
{
    struct ingot_event *events = into->events;
    size_t count = into->event_count, skip = 0;
    if (count + from->event_count > *size) {
        *size = 2 * (count + from->event_count);
        events = igt_arena_array(into->arena, *size, sizeof *events);
        if (!events)
            return no_memory(err);
        if (count)
            memcpy(events, into->events, count * sizeof *events);
        into->events = events;
    }
    if (count && from->event_count &&
        ingot_ksuid_compare(&events[count - 1].id, &from->events[0].id) == 0) {
        struct ingot_event *last = &events[count - 1];
        struct ingot_job *jobs =
            igt_arena_array(into->arena, last->job_count + from->events[0].job_count, sizeof *jobs);
        if (!jobs)
            return no_memory(err);
        memcpy(jobs, last->jobs, last->job_count * sizeof *jobs);
        memcpy(jobs + last->job_count, from->events[0].jobs,
               from->events[0].job_count * sizeof *jobs);
        last->jobs = jobs;
        last->job_count += from->events[0].job_count;
        skip = 1;
    }
    if (from->event_count > skip)
        memcpy(events + count, from->events + skip, (from->event_count - skip) * sizeof *events);
    into->event_count = count + from->event_count - skip;
    into->job_count += from->job_count;
    into->next = from->next;
    into->more = from->more;
    igt_arena_adopt(into->arena, from->arena);
    return INGOT_OK;
}

enum ingot_status igt_find_page(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page **ret_page,
                                struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = ingot_page_create();
    if (!page)
        return no_memory(err);
    page->next = where->after;
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->find(store->handle, &full, where, page, err);
    pthread_mutex_unlock(&store->lock);
    if (status) {
        ingot_page_destroy(page);
        return status;
    }
    name_transitions(page);
    *ret_page = page;
    return INGOT_OK;
}

/* One page, from the lists of what is live where they tell all that is wanted. */
static enum ingot_status find_page(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_where *where, struct ingot_page **ret_page,
                                   struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    enum ingot_status status = igt_live_find(store, toolkit, where, &page, err);
    if (!status && !page)
        status = igt_find_page(store, toolkit, where, &page, err);
    if (!status)
        *ret_page = page;
    return status;
}

enum ingot_status ingot_store_find(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_where *where, struct ingot_page **ret_page,
                                   struct ingot_error *err)
{
    const unsigned known = (INGOT_STATE_BIT(INGOT_STATE_DISCARDED + 1) - 1) & ~1u;
    struct ingot_where part = where ? *where : (struct ingot_where){0};
    ingot_error_clear(err);
    if ((part.status_in | part.status_notin) & ~known) {
        if (part.status_in & ~known)
            ingot_error_add_validation(err, "WhereJob/StatusIn", "there is no such status");
        if (part.status_notin & ~known)
            ingot_error_add_validation(err, "WhereJob/StatusNotIn", "there is no such status");
        return ingot_error_set(err, INGOT_INVALID, "store/%s: the constraints are not acceptable",
                               store->adapter->name);
    }
    const uint32_t limit = part.limit ? part.limit : INGOT_FIND_LIMIT_DEFAULT;
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = NULL;
    size_t size = 0;
    enum ingot_status status = INGOT_OK;
    do {
        struct ingot_page *next = NULL;
        uint32_t wanted = limit - (page ? (uint32_t)page->job_count : 0);
        part.limit = wanted < IGT_FIND_PAGE_JOBS_MAX ? wanted : IGT_FIND_PAGE_JOBS_MAX;
        status = find_page(store, toolkit, &part, &next, err);
        if (!status && page)
            status = join_pages(page, &size, next, err);
        else if (!status)
            page = next;
        if (status)
            ingot_page_destroy(next);
        else
            part.after = page->next;
        if (!status && igt_progress(&full, page->job_count, 0))
            status = ingot_error_set(err, INGOT_CLOSED, "store: stopped on request");
        /* Who asks for no more than a transaction gives gets what one gave. */
    } while (!status && page->more && limit > IGT_FIND_PAGE_JOBS_MAX && page->job_count < limit);
    if (status)
        ingot_page_destroy(page);
    else
        *ret_page = page;
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    return ingot_ksuid_compare(a, b);
}

size_t igt_ids_arrange(ingot_ksuid *ids, size_t count)
{
    size_t distinct = 0;
    if (count)
        qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || ingot_ksuid_compare(&ids[distinct - 1], &ids[i]) != 0)
            ids[distinct++] = ids[i];
    return distinct;
}

enum ingot_status ingot_store_events(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const ingot_ksuid *event_ids, size_t event_count,
                                     enum ingot_detail detail, struct ingot_page **ret_page,
                                     struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = ingot_page_create();
    ingot_ksuid *ids = page ? igt_arena_array(page->arena, event_count + 1, sizeof *ids) : NULL;
    enum ingot_status status = INGOT_OK;
    ingot_error_clear(err);
    if (!ids) {
        ingot_page_destroy(page);
        return no_memory(err);
    }
    if (event_count)
        memcpy(ids, event_ids, event_count * sizeof *ids);
    size_t distinct = igt_ids_arrange(ids, event_count);
    if (distinct > INGOT_EVENTS_MAX)
        status = ingot_error_set(err, INGOT_LIMIT, "store: more than %u events are asked for",
                                 INGOT_EVENTS_MAX);
    if (!status && distinct) {
        pthread_mutex_lock(&store->lock);
        status = store->adapter->events(store->handle, &full, ids, distinct, detail, page, err);
        pthread_mutex_unlock(&store->lock);
    }
    if (status) {
        ingot_page_destroy(page);
        return status;
    }
    name_transitions(page);
    *ret_page = page;
    return INGOT_OK;
}

enum ingot_status ingot_store_event(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const ingot_ksuid *event_id, struct ingot_page **ret_page,
                                    struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    enum ingot_status status =
        ingot_store_events(store, toolkit, event_id, 1, INGOT_DETAIL_ALL, &page, err);
    if (!status && page->event_count == 0) {
        ingot_page_destroy(page);
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/%s: there is no such event",
                               store->adapter->name);
    }
    if (!status)
        *ret_page = page;
    return status;
}

enum ingot_status ingot_store_history(struct ingot_store *store,
                                      const struct ingot_toolkit *toolkit,
                                      const ingot_ksuid *event_id, uint32_t job,
                                      struct ingot_page **ret_page, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = NULL;
    enum ingot_status status = ingot_store_event(store, toolkit, event_id, &page, err);
    if (status)
        return status;
    struct ingot_job born;
    if (job >= page->events[0].job_count) {
        ingot_page_destroy(page);
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/%s: the event has no job %u",
                               store->adapter->name, job);
    }
    born = page->events[0].jobs[job];
    ingot_job_born(&born, event_id, job, born.created_us);
    pthread_mutex_lock(&store->lock);
    status = store->adapter->history(store->handle, &full, event_id, job, page, err);
    pthread_mutex_unlock(&store->lock);
    struct ingot_transition *chain =
        status ? NULL : igt_arena_array(page->arena, page->transition_count + 1, sizeof *chain);
    if (!status && !chain)
        status = no_memory(err);
    if (status) {
        ingot_page_destroy(page);
        return status;
    }
    chain[0] = born.latest;
    if (page->transition_count)
        memcpy(chain + 1, page->transitions, page->transition_count * sizeof *chain);
    page->transitions = chain;
    page->transition_count++;
    for (size_t i = 0; i < page->transition_count; i++) {
        chain[i].job_id = born.id;
        igt_transition_id(event_id, job, chain[i].seq, chain[i].created_us, &chain[i].id);
    }
    *ret_page = page;
    return INGOT_OK;
}

static int compare_counts(const void *left, const void *right)
{
    const struct ingot_destination_counts *a = left, *b = right;
    size_t len = a->destination.len < b->destination.len ? a->destination.len : b->destination.len;
    int order = memcmp(a->destination.data, b->destination.data, len);
    return order ? order
                 : (a->destination.len > b->destination.len) -
                       (a->destination.len < b->destination.len);
}

enum ingot_status ingot_store_counts(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     struct ingot_counts **ret_counts, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = ingot_page_create();
    struct ingot_counts *counts = page ? ingot_page_alloc(page, sizeof *counts) : NULL;
    ingot_error_clear(err);
    if (!counts) {
        ingot_page_destroy(page);
        return no_memory(err);
    }
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->counts(store->handle, &full, page, counts, err);
    pthread_mutex_unlock(&store->lock);
    if (status) {
        ingot_page_destroy(page);
        return status;
    }
    if (counts->destination_count)
        qsort(counts->destinations, counts->destination_count, sizeof *counts->destinations,
              compare_counts);
    counts->arena = page->arena;
    *ret_counts = counts;
    return INGOT_OK;
}

/* ---- routes ------------------------------------------------------------- */

enum ingot_status ingot_store_publish_routes(struct ingot_store *store,
                                             const struct ingot_toolkit *toolkit,
                                             struct ingot_bytes routes, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct igt_json value;
    struct ingot_error why = {0};
    ingot_error_clear(err);
    if (routes.len > INGOT_ROUTES_BYTES_MAX)
        return ingot_error_set(err, INGOT_LIMIT, "store: the routes are longer than %u bytes",
                               INGOT_ROUTES_BYTES_MAX);
    enum ingot_status status = igt_json_parse(routes, &value, &why);
    if (status)
        return ingot_error_set(err, status, "store: the routes are not JSON: %s", why.message);
    pthread_mutex_lock(&store->lock);
    status = store->adapter->publish_routes(store->handle, &full, routes, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ingot_status ingot_store_routes(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     char *text, size_t size, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_page *page = ingot_page_create();
    struct ingot_bytes routes;
    ingot_error_clear(err);
    if (!page)
        return no_memory(err);
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->routes(store->handle, &full, page, &routes, err);
    pthread_mutex_unlock(&store->lock);
    if (!status && routes.len >= size)
        status =
            ingot_error_set(err, INGOT_LIMIT, "store: the routes are longer than %zu bytes", size);
    if (!status)
        snprintf(text, size, "%s", (const char *)routes.data);
    ingot_page_destroy(page);
    return status;
}
