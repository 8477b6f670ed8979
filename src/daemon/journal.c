/* The journal's thread: gather, commit, tell; see journal.h. */
#include "journal.h"

#include "core/limits.h"
#include "core/model.h"
#include "core/toolkit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long the journal waits before it tries a commit again that failed for a passing reason. */
#define RETRY_MS_FIRST 50
#define RETRY_MS_MAX 2000

struct igt_journal {
    struct ingot_store *store;
    const struct ingot_toolkit *toolkit;
    struct igt_journal_callbacks callbacks;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct igt_request *requests, **last_request; /* waiting, oldest first */
    size_t waiting_bytes;
    struct igt_batch *batches, **last_batch;
    int stopping, failed;
    long retry_ms; /* 0: the last commit succeeded */
};

/* What one commit takes. */
struct share {
    struct igt_request *requests;
    size_t request_count, event_count;
    struct igt_batch *batches;
    size_t row_count;
};

/* ---- requests, batches, results ----------------------------------------- */

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

static size_t request_bytes(const struct igt_request *request)
{
    return igt_arena_bytes(request->arena) + request->body.size;
}

struct igt_batch *igt_batch_create(void)
{
    struct igt_batch *batch = calloc(1, sizeof *batch);
    if (batch)
        batch->errors = igt_arena_create();
    if (batch && !batch->errors) {
        free(batch);
        return NULL;
    }
    return batch;
}

void igt_batch_destroy(struct igt_batch *batch)
{
    if (!batch)
        return;
    igt_rows_fini(&batch->rows);
    igt_arena_destroy(batch->errors);
    free(batch->reads);
    free(batch);
}

void igt_results_destroy(struct igt_results *results)
{
    if (!results)
        return;
    for (size_t i = 0; i < results->request_count; i++)
        igt_request_release(results->requests[i]);
    igt_arena_destroy(results->arena);
}

/* ---- deciding ----------------------------------------------------------- */

static void decide(struct igt_request *request)
{
    request->decided(request, request->context);
    igt_request_release(request);
}

/* Tells every request of a share that nothing of it was stored. */
static void reject_requests(struct share *share, enum ingot_status status,
                            const struct ingot_error *err)
{
    for (struct igt_request *request = share->requests, *next; request; request = next) {
        next = request->next;
        request->status = status;
        request->error = *err;
        decide(request);
    }
    share->requests = NULL;
    share->request_count = share->event_count = 0;
}

static void destroy_batches(struct share *share)
{
    for (struct igt_batch *batch = share->batches, *next; batch; batch = next) {
        next = batch->next;
        igt_batch_destroy(batch);
    }
    share->batches = NULL;
    share->row_count = 0;
}

/* ---- one commit --------------------------------------------------------- */

/* Makes the commit of a share; its arrays stand in the arena. 0 when memory ran out. */
static int compose(const struct share *share, struct igt_arena *arena,
                   struct ingot_commit *ret_commit)
{
    struct ingot_commit commit = {.rule = INGOT_COMMIT_EACH};
    commit.events = igt_arena_array(arena, share->event_count + 1, sizeof *commit.events);
    commit.transitions = igt_arena_array(arena, share->row_count + 1, sizeof *commit.transitions);
    if (!commit.events || !commit.transitions)
        return 0;
    for (struct igt_request *request = share->requests; request; request = request->next)
        for (size_t i = 0; i < request->event_count; i++)
            commit.events[commit.event_count++] = (struct ingot_commit_event){
                .row = &request->events[i], .jobs_origin = INGOT_JOBS_MADE};
    for (struct igt_batch *batch = share->batches; batch; batch = batch->next) {
        size_t base = commit.transition_count;
        for (size_t i = 0; i < batch->rows.count; i++) {
            struct ingot_commit_transition *row = &commit.transitions[commit.transition_count++];
            *row = batch->rows.rows[i];
            if (row->hangs_on != INGOT_ALONE)
                row->hangs_on += base;
        }
    }
    *ret_commit = commit;
    return 1;
}

/* Reads what a stored claim needs to be delivered. */
static void load_body(struct igt_journal *journal, struct igt_arena *arena,
                      struct igt_row_result *result)
{
    struct ingot_page *page = NULL;
    struct igt_buffer body = {0};
    struct ingot_error err = {0};
    enum ingot_status status =
        ingot_store_event(journal->store, journal->toolkit, &result->row.event_id, &page, &err);
    if (!status && result->row.job >= page->job_count)
        status = ingot_error_set(&err, INGOT_CORRUPT, "the event has no job %u", result->row.job);
    if (!status) {
        const struct ingot_job *job = &page->events[0].jobs[result->row.job];
        igt_delivery_encode(&body, &page->events[0], job);
        result->job_id = job->id;
        result->destination = igt_arena_copy(arena, job->destination);
        if (!body.failed)
            result->body = igt_arena_copy(arena, (struct ingot_bytes){body.data, body.len});
    }
    if (!result->body.data || !result->destination.data) {
        if (!status)
            ingot_error_set(&err, INGOT_NOMEM, "memory ran out");
        result->body = (struct ingot_bytes){NULL, 0};
        result->error = igt_arena_alloc(arena, sizeof *result->error);
        if (result->error)
            *result->error = err;
    }
    igt_buffer_fini(&body);
    ingot_page_destroy(page);
}

/* Reads a job again for memory to be mended. */
static void read_job(struct igt_journal *journal, struct igt_arena *arena,
                     struct igt_read_result *result)
{
    struct ingot_page *page = NULL;
    struct ingot_job *job = NULL;
    result->status =
        ingot_store_event(journal->store, journal->toolkit, &result->key.event_id, &page, NULL);
    if (result->status)
        return;
    if (result->key.job < page->job_count)
        job = igt_arena_alloc(arena, sizeof *job);
    else
        result->status = INGOT_NOT_FOUND;
    if (job) {
        *job = page->events[0].jobs[result->key.job];
        job->destination = igt_arena_copy(arena, job->destination);
        job->event = igt_arena_copy(arena, job->event);
        job->context = job->data = job->latest.error = (struct ingot_bytes){NULL, 0};
        result->job = job;
    } else if (!result->status) {
        result->status = INGOT_NOMEM;
    }
    ingot_page_destroy(page);
}

/* Tells requests their verdicts, and hands those that stored something on to be sighted. */
static void settle_requests(struct share *share, const struct ingot_commit *commit,
                            struct igt_results *results)
{
    size_t at = 0;
    for (struct igt_request *request = share->requests, *next; request; request = next) {
        int stored = 0;
        next = request->next;
        for (size_t i = 0; i < request->event_count; i++, at++) {
            request->verdicts[i] = commit->events[at].verdict;
            stored |= request->verdicts[i] == INGOT_STORED;
        }
        request->status = INGOT_OK;
        if (stored) {
            igt_request_retain(request);
            results->requests[results->request_count++] = request;
        }
        decide(request);
    }
    share->requests = NULL;
}

static void settle_rows(struct igt_journal *journal, const struct share *share,
                        const struct ingot_commit *commit, struct igt_results *results)
{
    for (size_t i = 0; i < commit->transition_count; i++) {
        struct igt_row_result *result = &results->rows[results->row_count++];
        result->row = commit->transitions[i].row;
        result->row.error = (struct ingot_bytes){NULL, 0};
        result->verdict = commit->transitions[i].verdict;
        if (result->verdict == INGOT_STORED && result->row.state_after == INGOT_STATE_EXECUTING)
            load_body(journal, results->arena, result);
    }
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        for (size_t i = 0; i < batch->read_count; i++) {
            struct igt_read_result *read = &results->reads[results->read_count++];
            read->key = batch->reads[i];
            read_job(journal, results->arena, read);
        }
}

static struct igt_results *create_results(const struct share *share)
{
    size_t reads = 0;
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        reads += batch->read_count;
    struct igt_arena *arena = igt_arena_create();
    struct igt_results *results = arena ? igt_arena_alloc(arena, sizeof *results) : NULL;
    if (!results) {
        igt_arena_destroy(arena);
        return NULL;
    }
    results->arena = arena;
    results->requests = igt_arena_array(arena, share->request_count + 1, sizeof *results->requests);
    results->rows = igt_arena_array(arena, share->row_count + 1, sizeof *results->rows);
    results->reads = igt_arena_array(arena, reads + 1, sizeof *results->reads);
    if (!results->requests || !results->rows || !results->reads) {
        igt_arena_destroy(arena);
        return NULL;
    }
    return results;
}

/* Commits a share and tells everybody. Only when it returns INGOT_OK is the share used up. */
static enum ingot_status commit_share(struct igt_journal *journal, struct share *share,
                                      struct ingot_error *err)
{
    struct ingot_commit commit;
    struct igt_results *results = create_results(share);
    if (!results || !compose(share, results->arena, &commit)) {
        igt_results_destroy(results);
        return ingot_error_set(err, INGOT_NOMEM, "journal: memory ran out");
    }
    enum ingot_status status = INGOT_OK;
    if (commit.event_count || commit.transition_count)
        status = ingot_store_commit(journal->store, journal->toolkit, &commit, err);
    if (status) {
        igt_results_destroy(results);
        return status;
    }
    /* Who waits for an answer gets it before the bodies are read. */
    settle_requests(share, &commit, results);
    settle_rows(journal, share, &commit, results);
    destroy_batches(share);
    journal->callbacks.results(journal->callbacks.context, results);
    return INGOT_OK;
}

/*
 * A share was refused for a reason of its contents: each request alone, so that
 * only the culprit gets the error (PROTOCOL 2.2), then the rows.
 */
static enum ingot_status commit_apart(struct igt_journal *journal, struct share *share,
                                      struct ingot_error *err)
{
    struct igt_request *requests = share->requests;
    enum ingot_status status = INGOT_OK;
    share->requests = NULL;
    for (struct igt_request *request = requests, *next; request; request = next) {
        next = request->next;
        request->next = NULL;
        struct share alone = {
            .requests = request, .request_count = 1, .event_count = request->event_count};
        enum ingot_status outcome = commit_share(journal, &alone, err);
        if (outcome)
            reject_requests(&alone, outcome, err);
        if (outcome == INGOT_IO || outcome == INGOT_CORRUPT)
            status = outcome;
    }
    share->request_count = share->event_count = 0;
    if (!status && share->batches)
        status = commit_share(journal, share, err);
    return status;
}

/* ---- the thread --------------------------------------------------------- */

/* Takes from the queues what one commit holds; at least one request, and at least one batch. */
static void take_share(struct igt_journal *journal, struct share *share)
{
    struct igt_request **last_request = &share->requests;
    struct igt_batch **last_batch = &share->batches;
    memset(share, 0, sizeof *share);
    while (journal->requests &&
           (!share->request_count ||
            share->event_count + journal->requests->event_count <= IGT_COMMIT_EVENTS_MAX)) {
        struct igt_request *request = journal->requests;
        journal->requests = request->next;
        journal->waiting_bytes -= request_bytes(request);
        request->next = NULL;
        *last_request = request;
        last_request = &request->next;
        share->request_count++;
        share->event_count += request->event_count;
    }
    if (!journal->requests)
        journal->last_request = &journal->requests;
    while (journal->batches &&
           (!share->batches ||
            share->row_count + journal->batches->rows.count <= IGT_COMMIT_TRANSITIONS_MAX)) {
        struct igt_batch *batch = journal->batches;
        journal->batches = batch->next;
        batch->next = NULL;
        *last_batch = batch;
        last_batch = &batch->next;
        share->row_count += batch->rows.count;
    }
    if (!journal->batches)
        journal->last_batch = &journal->batches;
}

/* Puts the batches of a share back to the front of the queue. */
static void put_back(struct igt_journal *journal, struct share *share)
{
    struct igt_batch **last = &share->batches;
    while (*last)
        last = &(*last)->next;
    if (!share->batches)
        return;
    *last = journal->batches;
    if (!journal->batches)
        journal->last_batch = last;
    journal->batches = share->batches;
    share->batches = NULL;
}

/* The store is of no more use: nobody waits for ever. */
static void fail(struct igt_journal *journal, const struct ingot_error *err)
{
    struct share share;
    pthread_mutex_lock(&journal->lock);
    journal->failed = 1;
    do {
        take_share(journal, &share);
        pthread_mutex_unlock(&journal->lock);
        reject_requests(&share, err->status, err);
        destroy_batches(&share);
        pthread_mutex_lock(&journal->lock);
    } while (journal->requests || journal->batches);
    pthread_mutex_unlock(&journal->lock);
    journal->callbacks.failed(journal->callbacks.context, err);
}

/* Waits until there is something to do; 0 when the thread is to end. */
static int wait_for_work(struct igt_journal *journal)
{
    while (!journal->requests && !journal->batches && !journal->stopping)
        pthread_cond_wait(&journal->work, &journal->lock);
    return journal->requests || journal->batches;
}

/* A passing failure: requests are told, rows are kept for the next try. */
static void back_off(struct igt_journal *journal, struct share *share,
                     const struct ingot_error *err)
{
    struct timespec until;
    if (journal->retry_ms == 0)
        igt_log(journal->toolkit, INGOT_WARN, "event=commit_failed error=\"%s\"", err->message);
    journal->retry_ms = journal->retry_ms ? journal->retry_ms * 2 : RETRY_MS_FIRST;
    if (journal->retry_ms > RETRY_MS_MAX)
        journal->retry_ms = RETRY_MS_MAX;
    reject_requests(share, INGOT_RETRY, err);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += journal->retry_ms % 1000 * 1000000;
    until.tv_sec += journal->retry_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&journal->lock);
    put_back(journal, share);
    /* A new request is tried at once: it deserves an answer. */
    while (!journal->requests && !journal->stopping &&
           pthread_cond_timedwait(&journal->work, &journal->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&journal->lock);
}

static void *run(void *context)
{
    struct igt_journal *journal = context;
    struct ingot_error err;
    struct share share;
    for (;;) {
        pthread_mutex_lock(&journal->lock);
        if (!wait_for_work(journal)) {
            pthread_mutex_unlock(&journal->lock);
            return NULL;
        }
        take_share(journal, &share);
        int stopping = journal->stopping;
        pthread_mutex_unlock(&journal->lock);
        enum ingot_status status = commit_share(journal, &share, &err);
        if (status == INGOT_INVALID || status == INGOT_LIMIT)
            status = commit_apart(journal, &share, &err);
        if (!status) {
            if (journal->retry_ms)
                igt_log(journal->toolkit, INGOT_INFO, "event=commit_recovered");
            journal->retry_ms = 0;
        } else if ((status == INGOT_RETRY || status == INGOT_NOMEM) && !stopping) {
            back_off(journal, &share, &err);
        } else {
            reject_requests(&share, status, &err);
            destroy_batches(&share);
            fail(journal, &err);
            return NULL;
        }
    }
}

enum ingot_status igt_journal_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const struct igt_journal_callbacks *callbacks,
                                    struct igt_journal **ret_journal, struct ingot_error *err)
{
    pthread_condattr_t attributes;
    struct igt_journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return ingot_error_set(err, INGOT_NOMEM, "journal: memory ran out");
    journal->store = store;
    journal->toolkit = toolkit;
    journal->callbacks = *callbacks;
    journal->last_request = &journal->requests;
    journal->last_batch = &journal->batches;
    pthread_mutex_init(&journal->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->work, &attributes);
    pthread_condattr_destroy(&attributes);
    int code = pthread_create(&journal->thread, NULL, run, journal);
    if (code) {
        free(journal);
        return ingot_error_set(err, INGOT_IO, "journal: could not start a thread: %s",
                               strerror(code));
    }
    *ret_journal = journal;
    return INGOT_OK;
}

enum ingot_status igt_journal_submit(struct igt_journal *journal, struct igt_request *request)
{
    enum ingot_status status = INGOT_OK;
    size_t bytes = request_bytes(request);
    pthread_mutex_lock(&journal->lock);
    if (journal->failed || journal->stopping)
        status = INGOT_CLOSED;
    else if (journal->requests && journal->waiting_bytes + bytes > IGT_QUEUED_BYTES_MAX)
        status = INGOT_LIMIT;
    if (!status) {
        igt_request_retain(request);
        request->next = NULL;
        *journal->last_request = request;
        journal->last_request = &request->next;
        journal->waiting_bytes += bytes;
        pthread_cond_signal(&journal->work);
    }
    pthread_mutex_unlock(&journal->lock);
    return status;
}

void igt_journal_submit_batch(struct igt_journal *journal, struct igt_batch *batch)
{
    pthread_mutex_lock(&journal->lock);
    int failed = journal->failed;
    if (!failed) {
        *journal->last_batch = batch;
        journal->last_batch = &batch->next;
        pthread_cond_signal(&journal->work);
    }
    pthread_mutex_unlock(&journal->lock);
    if (failed)
        igt_batch_destroy(batch);
}

int igt_journal_is_healthy(struct igt_journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    int healthy = !journal->failed;
    pthread_mutex_unlock(&journal->lock);
    return healthy;
}

void igt_journal_stop(struct igt_journal *journal)
{
    if (!journal)
        return;
    pthread_mutex_lock(&journal->lock);
    journal->stopping = 1;
    pthread_cond_signal(&journal->work);
    pthread_mutex_unlock(&journal->lock);
    pthread_join(journal->thread, NULL);
}

void igt_journal_destroy(struct igt_journal *journal)
{
    if (!journal)
        return;
    pthread_cond_destroy(&journal->work);
    pthread_mutex_destroy(&journal->lock);
    free(journal);
}
