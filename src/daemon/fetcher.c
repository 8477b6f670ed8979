/* The fetcher's thread; see fetcher.h. */
#include "fetcher.h"

#include "core/limits.h"
#include "core/model.h"
#include "core/thread.h"
#include "recent.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Events that are read at a time. */
#define READS_MAX 1000u

/* The memory of a delivery's text that is kept for the next. */
#define BODY_BYTES_KEPT (64u << 10)

struct igt_fetcher {
    struct ingot_store *store;
    const struct ingot_toolkit *toolkit;
    struct igt_journal_callbacks next;
    struct igt_recent *recent; /* of the thread alone; NULL: nothing is kept */
    struct igt_buffer body;    /* likewise, of one delivery after the other */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    struct igt_results *inbox, **last;
    struct igt_request *ahead, **last_ahead; /* read ahead, and not yet in recent */
    struct igt_map_key expected[IGT_EXPECTED_MAX];
    size_t expected_count;
    int stopping;
};

/* ---- bodies ------------------------------------------------------------- */

/* The event of that id in a page whose events ascend, or NULL. */
static const struct ingot_event *find_event(const struct ingot_page *page, const ingot_ksuid *id)
{
    size_t low = 0, high = page->event_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = ingot_ksuid_compare(&page->events[middle].id, id);
        if (order == 0)
            return &page->events[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Notes why a claim cannot be delivered. */
static void note_failure(struct igt_arena *arena, struct igt_row_result *result,
                         const struct ingot_error *err)
{
    result->body = (struct ingot_bytes){NULL, 0};
    result->error = igt_arena_alloc(arena, sizeof *result->error);
    if (result->error)
        *result->error = *err;
}

/* Notes what a stored claim needs to be delivered. */
static void encode_body(struct igt_fetcher *fetcher, struct igt_arena *arena,
                        const struct ingot_event *event, const struct ingot_job *job,
                        struct igt_row_result *result)
{
    struct igt_buffer *body = &fetcher->body;
    struct ingot_error err = {0};
    igt_buffer_reset(body);
    igt_delivery_encode(body, event, job);
    result->job_id = job->id;
    result->destination = igt_arena_copy(arena, job->destination);
    if (!body->failed)
        result->body = igt_arena_copy(arena, (struct ingot_bytes){body->data, body->len});
    if (body->size > BODY_BYTES_KEPT)
        igt_buffer_fini(body);
    if (!result->body.data || !result->destination.data) {
        ingot_error_set(&err, INGOT_NOMEM, "memory ran out");
        note_failure(arena, result, &err);
    }
}

/* The same from what was read. */
static void take_body(struct igt_fetcher *fetcher, struct igt_arena *arena,
                      const struct ingot_page *page, struct igt_row_result *result)
{
    struct ingot_error err = {0};
    const struct ingot_event *event = find_event(page, &result->row.event_id);
    if (event && result->row.job < event->job_count) {
        encode_body(fetcher, arena, event, &event->jobs[result->row.job], result);
        return;
    }
    ingot_error_set(&err, INGOT_NOT_FOUND, "the event has no job %u", result->row.job);
    note_failure(arena, result, &err);
}

/* Whether a row is a claim that was stored, and whose body is not there yet. */
static int lacks_body(const struct igt_row_result *result)
{
    return result->verdict == INGOT_STORED && result->row.state_after == INGOT_STATE_EXECUTING &&
           !result->body.data;
}

/* Takes the bodies of the claims whose events are still in memory. */
static void take_recent(struct igt_fetcher *fetcher, struct igt_results *results)
{
    for (size_t i = 0; i < results->row_count && fetcher->recent; i++) {
        struct igt_row_result *result = &results->rows[i];
        const struct igt_map_key key = {result->row.event_id, result->row.job};
        const struct ingot_job *job = NULL;
        struct igt_request *request = NULL;
        if (!lacks_body(result))
            continue;
        const struct ingot_event *event = igt_recent_take(fetcher->recent, &key, &job, &request);
        if (!event)
            continue;
        encode_body(fetcher, results->arena, event, job, result);
        igt_request_release(request);
    }
}

/* Reads the events of claims one by one, because one of them cannot be read with the others. */
static void load_bodies_apart(struct igt_fetcher *fetcher, struct igt_results *results,
                              size_t first, size_t behind)
{
    for (size_t i = first; i < behind; i++) {
        struct igt_row_result *result = &results->rows[i];
        struct ingot_page *page = NULL;
        struct ingot_error err = {0};
        if (!lacks_body(result))
            continue;
        if (ingot_store_event(fetcher->store, fetcher->toolkit, &result->row.event_id, &page, &err))
            note_failure(results->arena, result, &err);
        else
            take_body(fetcher, results->arena, page, result);
        ingot_page_destroy(page);
    }
}

/* Reads what the stored claims need to be delivered, some at a time. */
static void load_bodies(struct igt_fetcher *fetcher, struct igt_results *results)
{
    size_t at = 0;
    take_recent(fetcher, results);
    while (at < results->row_count) {
        struct ingot_page *page = NULL;
        ingot_ksuid ids[READS_MAX];
        size_t first = at, count = 0;
        for (; at < results->row_count && count < READS_MAX; at++)
            if (lacks_body(&results->rows[at]))
                ids[count++] = results->rows[at].row.event_id;
        if (count == 0)
            return;
        if (ingot_store_events(fetcher->store, fetcher->toolkit, ids, count, INGOT_DETAIL_DELIVERY,
                               &page, NULL)) {
            load_bodies_apart(fetcher, results, first, at);
            continue;
        }
        for (size_t i = first; i < at; i++)
            if (lacks_body(&results->rows[i]))
                take_body(fetcher, results->arena, page, &results->rows[i]);
        ingot_page_destroy(page);
    }
}

/* ---- jobs that are read again ------------------------------------------- */

/* Takes a job that was to be read again from what was read; page is NULL if that failed. */
static void take_job(struct igt_arena *arena, const struct ingot_page *page,
                     struct igt_read_result *result)
{
    const struct ingot_event *event = find_event(page, &result->key.event_id);
    result->status = INGOT_NOT_FOUND;
    if (!event || result->key.job >= event->job_count)
        return;
    struct ingot_job *job = igt_arena_alloc(arena, sizeof *job);
    result->status = job ? INGOT_OK : INGOT_NOMEM;
    if (!job)
        return;
    *job = event->jobs[result->key.job];
    job->destination = igt_arena_copy(arena, job->destination);
    job->event = igt_arena_copy(arena, job->event);
    job->context = job->data = job->latest.error = (struct ingot_bytes){NULL, 0};
    result->job = job;
}

/* Reads jobs again, for memory to be mended. */
static void read_jobs(struct igt_fetcher *fetcher, struct igt_results *results)
{
    for (size_t begin = 0, count; begin < results->read_count; begin += count) {
        struct igt_read_result *reads = results->reads + begin;
        struct ingot_page *page = NULL;
        count = results->read_count - begin;
        count = count < READS_MAX ? count : READS_MAX;
        ingot_ksuid ids[READS_MAX];
        for (size_t i = 0; i < count; i++)
            ids[i] = reads[i].key.event_id;
        enum ingot_status status = ingot_store_events(fetcher->store, fetcher->toolkit, ids, count,
                                                      INGOT_DETAIL_ROUTING, &page, NULL);
        for (size_t i = 0; i < count; i++) {
            if (status)
                reads[i].status = status;
            else
                take_job(results->arena, page, &reads[i]);
        }
        ingot_page_destroy(page);
    }
}

/* ---- the thread --------------------------------------------------------- */

static void fetch(struct igt_fetcher *fetcher, struct igt_results *results)
{
    /* Of what was sent again the jobs may be those of somebody who was faster. */
    for (size_t i = 0; i < results->request_count && fetcher->recent; i++)
        if (results->sending == INGOT_COMMIT_FIRST)
            igt_recent_add(fetcher->recent, results->requests[i]);
    load_bodies(fetcher, results);
    read_jobs(fetcher, results);
    fetcher->next.results(fetcher->next.context, results);
}

/* Puts what was read ahead into recent, if there is one. */
static void take_ahead(struct igt_recent *recent, struct igt_request *ahead)
{
    for (struct igt_request *request = ahead, *next; request; request = next) {
        next = request->next;
        if (recent)
            igt_recent_add(recent, request);
        igt_request_release(request);
    }
}

/* Leaves an event those of its jobs only that are among the keys: nobody would fetch the others. */
static void drop_others(struct ingot_event *event, const struct igt_map_key *keys, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < event->job_count; i++) {
        size_t k = 0;
        while (k < count && (keys[k].job != event->jobs[i].number ||
                             ingot_ksuid_compare(&keys[k].event_id, &event->id) != 0))
            k++;
        if (k < count)
            event->jobs[left++] = event->jobs[i];
    }
    event->job_count = left;
}

/* Reads what jobs need whose claims are on their way; if that fails, it is read when they are stored. */
static void read_expected(struct igt_fetcher *fetcher, const struct igt_map_key *keys, size_t count)
{
    ingot_ksuid ids[IGT_EXPECTED_MAX];
    struct ingot_page *page = NULL;
    size_t lacking = 0;
    for (size_t i = 0; i < count; i++)
        if (!igt_recent_has(fetcher->recent, &keys[i]))
            ids[lacking++] = keys[i].event_id;
    if (!lacking || ingot_store_events(fetcher->store, fetcher->toolkit, ids, lacking,
                                       INGOT_DETAIL_DELIVERY, &page, NULL))
        return;
    for (size_t i = 0; i < page->event_count; i++)
        drop_others(&page->events[i], keys, count);
    struct igt_request *request = igt_request_of_page(&page);
    ingot_page_destroy(page);
    if (request)
        take_ahead(fetcher->recent, request);
}

static void *run(void *context)
{
    struct igt_fetcher *fetcher = context;
    for (;;) {
        struct igt_map_key expected[IGT_EXPECTED_MAX];
        pthread_mutex_lock(&fetcher->lock);
        while (!fetcher->inbox && !fetcher->ahead && !fetcher->expected_count && !fetcher->stopping)
            pthread_cond_wait(&fetcher->work, &fetcher->lock);
        const size_t expected_count = fetcher->expected_count;
        memcpy(expected, fetcher->expected, expected_count * sizeof *expected);
        fetcher->expected_count = 0;
        struct igt_request *ahead = fetcher->ahead;
        fetcher->ahead = NULL;
        fetcher->last_ahead = &fetcher->ahead;
        struct igt_results *results = fetcher->inbox;
        if (results)
            fetcher->inbox = results->next;
        if (!fetcher->inbox)
            fetcher->last = &fetcher->inbox;
        int stopping = fetcher->stopping;
        pthread_mutex_unlock(&fetcher->lock);
        take_ahead(fetcher->recent, ahead);
        if (stopping) {
            igt_results_destroy(results);
            return NULL;
        }
        if (results)
            fetch(fetcher, results);
        else if (expected_count)
            read_expected(fetcher, expected, expected_count);
    }
}

enum ingot_status igt_fetcher_start(struct ingot_store *store, enum igt_keeping keeping,
                                    const struct ingot_toolkit *toolkit,
                                    const struct igt_journal_callbacks *next,
                                    struct igt_fetcher **ret_fetcher, struct ingot_error *err)
{
    struct igt_fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (!fetcher)
        return ingot_error_set(err, INGOT_NOMEM, "fetcher: memory ran out");
    fetcher->store = store;
    fetcher->toolkit = toolkit;
    fetcher->next = *next;
    fetcher->last = &fetcher->inbox;
    fetcher->last_ahead = &fetcher->ahead;
    if (keeping == IGT_KEEPING_RECENT)
        fetcher->recent = igt_recent_create(IGT_RECENT_BYTES_MAX); /* without it they are read */
    pthread_mutex_init(&fetcher->lock, NULL);
    pthread_cond_init(&fetcher->work, NULL);
    enum ingot_status status = igt_thread_start(&fetcher->thread, "fetcher", run, fetcher, err);
    if (status) {
        igt_recent_destroy(fetcher->recent);
        pthread_cond_destroy(&fetcher->work);
        pthread_mutex_destroy(&fetcher->lock);
        free(fetcher);
        return status;
    }
    *ret_fetcher = fetcher;
    return INGOT_OK;
}

void igt_fetcher_take_stored(void *context, uint64_t position)
{
    struct igt_fetcher *fetcher = context;
    if (fetcher->next.stored)
        fetcher->next.stored(fetcher->next.context, position);
}

void igt_fetcher_take_results(void *context, struct igt_results *results)
{
    struct igt_fetcher *fetcher = context;
    pthread_mutex_lock(&fetcher->lock);
    results->next = NULL;
    *fetcher->last = results;
    fetcher->last = &results->next;
    pthread_cond_signal(&fetcher->work);
    pthread_mutex_unlock(&fetcher->lock);
}

void igt_fetcher_take_failure(void *context, const struct ingot_error *error)
{
    struct igt_fetcher *fetcher = context;
    fetcher->next.failed(fetcher->next.context, error);
}

void igt_fetcher_keep(struct igt_fetcher *fetcher, struct igt_request *request)
{
    igt_request_retain(request);
    pthread_mutex_lock(&fetcher->lock);
    request->next = NULL;
    *fetcher->last_ahead = request;
    fetcher->last_ahead = &request->next;
    pthread_cond_signal(&fetcher->work);
    pthread_mutex_unlock(&fetcher->lock);
}

void igt_fetcher_expect(struct igt_fetcher *fetcher, const struct igt_map_key *keys, size_t count)
{
    if (!fetcher->recent)
        return;
    pthread_mutex_lock(&fetcher->lock);
    memcpy(fetcher->expected, keys, count * sizeof *keys);
    fetcher->expected_count = count;
    pthread_cond_signal(&fetcher->work);
    pthread_mutex_unlock(&fetcher->lock);
}

void igt_fetcher_stop(struct igt_fetcher *fetcher)
{
    if (!fetcher)
        return;
    pthread_mutex_lock(&fetcher->lock);
    fetcher->stopping = 1;
    pthread_cond_signal(&fetcher->work);
    pthread_mutex_unlock(&fetcher->lock);
    pthread_join(fetcher->thread, NULL);
    for (struct igt_results *results = fetcher->inbox, *next; results; results = next) {
        next = results->next;
        igt_results_destroy(results);
    }
    igt_recent_destroy(fetcher->recent);
    igt_buffer_fini(&fetcher->body);
    pthread_cond_destroy(&fetcher->work);
    pthread_mutex_destroy(&fetcher->lock);
    free(fetcher);
}
