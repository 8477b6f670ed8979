/* The journal's thread: gather, commit, tell; see journal.h. */
#include "journal.h"

#include "core/limits.h"
#include "core/thread.h"
#include "core/toolkit.h"
#include "teller.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long the journal waits before it tries a commit again that failed for a passing reason. */
#define RETRY_MS_FIRST 50
#define RETRY_MS_MAX 1000

/* A commit that met a rival's at the wrong moment is sent again at once, this often. */
#define RIVAL_TRIES 5

/* A commit is sent behind another one if it has at least this part of its rows: many small ones cost more. */
#define PART_BEHIND 4

/* At the end a commit without an answer is sent again for this long. */
#define DOUBT_MS_AT_END 5000

struct igt_journal {
    struct ingot_store *store;
    const struct ingot_toolkit *toolkit;
    struct igt_journal_callbacks callbacks;
    struct igt_claimer claimer; /* zero: there is none */
    struct igt_teller *teller;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct igt_request *requests, **last_request; /* waiting, oldest first */
    size_t waiting_bytes, waiting_events, waiting_transitions;
    struct igt_batch *batches, **last_batch;
    int stopping, failed;
    struct igt_journal_numbers numbers;
    long retry_ms; /* 0: the last commit succeeded */
};

/* What one commit takes. */
struct share {
    struct igt_request *requests;
    size_t request_count, event_count;
    struct igt_batch *batches;
};

/* ---- batches, results ----------------------------------------- */

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

/* Tells every request of a share that nothing of it was stored. */
static void reject_requests(struct igt_journal *journal, struct share *share,
                            enum ingot_status status, const struct ingot_error *err)
{
    for (struct igt_request *request = share->requests; request; request = request->next) {
        if (request->claim_count)
            journal->claimer.unclaim(journal->claimer.context, request);
        request->status = status;
        request->error = *err;
    }
    igt_teller_tell(journal->teller, share->requests, IGT_TELL_HERE);
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
}

/* ---- one commit --------------------------------------------------------- */

/* The transitions of a share: rows of batches, and first claims. */
static size_t count_rows(const struct share *share)
{
    size_t count = 0;
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        count += batch->rows.count;
    for (const struct igt_request *request = share->requests; request; request = request->next)
        count += request->claim_count;
    return count;
}

/* Adds the first claims of a request to the commit with its events. */
static void add_claims(const struct igt_request *request, const ingot_ksuid *owner,
                       struct ingot_commit *commit)
{
    for (size_t i = 0; i < request->claim_count; i++)
        commit->transitions[commit->transition_count++] = (struct ingot_commit_transition){
            .row = {.event_id = request->events[request->claims[i].event].id,
                    .job = (uint32_t)request->claims[i].job,
                    .seq = 1,
                    .attempt = 1,
                    .state_before = INGOT_STATE_ACKNOWLEDGED,
                    .state_after = INGOT_STATE_EXECUTING,
                    .owner = *owner,
                    .due_us = INGOT_NO_TIME},
            .hangs_on = INGOT_ALONE,
            .notice = INGOT_NOTICE_NONE,
        };
}

/* Makes the commit of a share; its arrays stand in the arena. 0 when memory ran out. */
static int compose(const struct igt_journal *journal, const struct share *share,
                   enum ingot_commit_sending sending, struct igt_arena *arena,
                   struct ingot_commit *ret_commit)
{
    struct ingot_commit commit = {.rule = INGOT_COMMIT_EACH, .sending = sending};
    commit.events = igt_arena_array(arena, share->event_count + 1, sizeof *commit.events);
    commit.transitions = igt_arena_array(arena, count_rows(share) + 1, sizeof *commit.transitions);
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
    for (const struct igt_request *request = share->requests; request; request = request->next)
        add_claims(request, &journal->claimer.owner, &commit);
    *ret_commit = commit;
    return 1;
}

/* Gives requests their verdicts, and hands those that stored something on to be sighted. */
static void settle_requests(const struct igt_journal *journal, const struct share *share,
                            const struct ingot_commit *commit, struct igt_results *results)
{
    size_t at = 0;
    for (struct igt_request *request = share->requests; request; request = request->next) {
        int stored = 0;
        for (size_t i = 0; i < request->event_count; i++, at++) {
            request->verdicts[i] = commit->events[at].verdict;
            stored |= request->verdicts[i] == INGOT_STORED;
        }
        request->status = INGOT_OK;
        if (stored) {
            igt_request_retain(request);
            results->requests[results->request_count++] = request;
        } else if (request->claim_count) {
            journal->claimer.unclaim(journal->claimer.context, request);
        }
    }
}

static void settle_rows(const struct share *share, const struct ingot_commit *commit,
                        struct igt_results *results)
{
    for (size_t i = 0; i < commit->transition_count; i++) {
        struct igt_row_result *result = &results->rows[results->row_count++];
        result->row = commit->transitions[i].row;
        result->row.error = (struct ingot_bytes){NULL, 0};
        result->verdict = commit->transitions[i].verdict;
    }
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        for (size_t i = 0; i < batch->rows.read_count; i++)
            results->reads[results->read_count++].key = batch->rows.reads[i];
}

/* Whether others have something to follow of a commit. */
static int is_news(const struct ingot_commit *commit)
{
    for (size_t i = 0; i < commit->event_count; i++)
        if (commit->events[i].verdict == INGOT_STORED)
            return 1;
    for (size_t i = 0; i < commit->transition_count; i++)
        if (commit->transitions[i].verdict == INGOT_STORED && commit->transitions[i].notice)
            return 1;
    return 0;
}

static struct igt_results *create_results(const struct share *share)
{
    size_t reads = 0;
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        reads += batch->rows.read_count;
    struct igt_arena *arena = igt_arena_create();
    struct igt_results *results = arena ? igt_arena_alloc(arena, sizeof *results) : NULL;
    if (!results) {
        igt_arena_destroy(arena);
        return NULL;
    }
    results->arena = arena;
    results->requests = igt_arena_array(arena, share->request_count + 1, sizeof *results->requests);
    results->rows = igt_arena_array(arena, count_rows(share) + 1, sizeof *results->rows);
    results->reads = igt_arena_array(arena, reads + 1, sizeof *results->reads);
    if (!results->requests || !results->rows || !results->reads) {
        igt_arena_destroy(arena);
        return NULL;
    }
    return results;
}

static void count_commit(struct igt_journal *journal, const struct ingot_commit *commit)
{
    pthread_mutex_lock(&journal->lock);
    journal->numbers.commits++;
    journal->numbers.events += commit->event_count;
    journal->numbers.transitions += commit->transition_count;
    pthread_mutex_unlock(&journal->lock);
}

/* A share on its way to the store. */
struct flight {
    struct share share;
    struct ingot_commit commit;
    struct igt_results *results; /* their arena holds the commit's arrays */
    enum {
        FLIGHT_COMPOSED, /* the store does not take it in two halves */
        FLIGHT_SENT,
        FLIGHT_LANDED
    } phase;
    int in_one;               /* the store was given it in one, when it landed */
    enum ingot_status status; /* how it was launched, and then how it landed */
    struct ingot_error error;
};

/* Composes the share of a flight, and sends it if the store takes it so. */
static void launch(struct igt_journal *journal, struct flight *flight,
                   enum ingot_commit_sending sending)
{
    struct ingot_commit *commit = &flight->commit;
    flight->phase = FLIGHT_LANDED;
    flight->results = create_results(&flight->share);
    if (!flight->results ||
        !compose(journal, &flight->share, sending, flight->results->arena, commit)) {
        igt_results_destroy(flight->results);
        flight->status = ingot_error_set(&flight->error, INGOT_NOMEM, "journal: memory ran out");
        return;
    }
    if (!commit->event_count && !commit->transition_count)
        return; /* only reads */
    flight->status =
        ingot_store_send_commit(journal->store, journal->toolkit, commit, &flight->error);
    if (flight->status && flight->status != INGOT_UNSUPPORTED) {
        igt_results_destroy(flight->results);
        return;
    }
    flight->phase = flight->status ? FLIGHT_COMPOSED : FLIGHT_SENT;
    flight->status = INGOT_OK;
}

/* Says where the rows of a flight that has landed will be seen. */
static void announce(struct igt_journal *journal, const struct flight *flight)
{
    if (journal->callbacks.stored && flight->commit.position)
        journal->callbacks.stored(journal->callbacks.context, flight->commit.position);
}

/* Waits for the verdicts; its status is what became of it. */
static void land(struct igt_journal *journal, struct flight *flight)
{
    if (flight->phase == FLIGHT_LANDED)
        return;
    if (flight->phase == FLIGHT_COMPOSED)
        flight->status =
            ingot_store_commit(journal->store, journal->toolkit, &flight->commit, &flight->error);
    else
        flight->status = ingot_store_finish_commit(journal->store, journal->toolkit,
                                                   &flight->commit, &flight->error);
    flight->in_one = flight->phase == FLIGHT_COMPOSED;
    flight->phase = FLIGHT_LANDED;
    if (flight->status)
        igt_results_destroy(flight->results);
    else
        announce(journal, flight);
}

/*
 * While this thread tells, a store that takes a commit in halves works on the next one;
 * the other is waiting for this thread to commit it.
 */
static void tell_requests(struct igt_journal *journal, struct flight *flight)
{
    igt_teller_tell(journal->teller, flight->share.requests,
                    flight->in_one ? IGT_TELL_ASIDE : IGT_TELL_HERE);
    flight->share.requests = NULL;
}

/* Has everybody told what became of a flight that has landed; its share is used up. */
static void settle(struct igt_journal *journal, struct flight *flight)
{
    struct igt_results *results = flight->results;
    if (journal->retry_ms)
        igt_log(journal->toolkit, INGOT_INFO, "event=commit_recovered");
    journal->retry_ms = 0;
    results->position = flight->commit.position;
    results->sending = flight->commit.sending;
    count_commit(journal, &flight->commit);
    settle_requests(journal, &flight->share, &flight->commit, results);
    tell_requests(journal, flight);
    if (is_news(&flight->commit))
        ingot_store_wake(journal->store);
    settle_rows(&flight->share, &flight->commit, results);
    destroy_batches(&flight->share);
    journal->callbacks.results(journal->callbacks.context, results);
}

/* A commit from beginning to end. Only when it returns INGOT_OK is the share used up. */
static enum ingot_status send_share(struct igt_journal *journal, struct share *share,
                                    enum ingot_commit_sending sending, struct ingot_error *err)
{
    struct flight flight = {.share = *share};
    launch(journal, &flight, sending);
    land(journal, &flight);
    if (flight.status)
        *err = flight.error;
    else
        settle(journal, &flight);
    *share = flight.share;
    return flight.status;
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits, unless something happens that wants an answer. The lock is held. */
static void doze(struct igt_journal *journal)
{
    struct timespec until;
    journal->retry_ms = journal->retry_ms ? journal->retry_ms * 2 : RETRY_MS_FIRST;
    if (journal->retry_ms > RETRY_MS_MAX)
        journal->retry_ms = RETRY_MS_MAX;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += journal->retry_ms % 1000 * 1000000;
    until.tv_sec += journal->retry_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!journal->requests && !journal->stopping &&
           pthread_cond_timedwait(&journal->work, &journal->lock, &until) != ETIMEDOUT)
        ;
}

/* Tells those who came while a commit is in doubt to come again. */
static void turn_away(struct igt_journal *journal, const struct ingot_error *err)
{
    struct share others = {0};
    pthread_mutex_lock(&journal->lock);
    others.requests = journal->requests;
    journal->requests = NULL;
    journal->last_request = &journal->requests;
    journal->waiting_bytes = journal->waiting_events = 0;
    pthread_mutex_unlock(&journal->lock);
    reject_requests(journal, &others, INGOT_RETRY, err);
}

/*
 * No answer came: the same commit is sent again until one does, for the old one
 * may be stored, or may yet be (PROTOCOL 2.4). Until then nothing of it is
 * answered or delivered, and nobody else is either.
 */
static enum ingot_status resolve(struct igt_journal *journal, struct share *share,
                                 struct ingot_error *err)
{
    enum ingot_status status = INGOT_UNKNOWN;
    int64_t give_up_ms = INT64_MAX;
    igt_log(journal->toolkit, INGOT_WARN, "event=commit_unknown error=\"%s\"", err->message);
    while ((status == INGOT_UNKNOWN || status == INGOT_RETRY || status == INGOT_NOMEM) &&
           monotonic_ms() < give_up_ms) {
        pthread_mutex_lock(&journal->lock);
        if (!journal->stopping)
            doze(journal);
        int stopping = journal->stopping;
        pthread_mutex_unlock(&journal->lock);
        if (stopping && give_up_ms == INT64_MAX)
            give_up_ms = monotonic_ms() + DOUBT_MS_AT_END;
        if (stopping)
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS_FIRST * 1000000L}, NULL);
        status = send_share(journal, share, INGOT_COMMIT_AGAIN, err);
        if (status == INGOT_RETRY)
            turn_away(journal, err);
    }
    if (status == INGOT_RETRY || status == INGOT_NOMEM)
        status = INGOT_UNKNOWN; /* given up at the end */
    igt_log(journal->toolkit, status ? INGOT_ERROR : INGOT_INFO, "event=commit_%s",
            status ? "undecided" : "resolved");
    return status;
}

static int met_a_rival(enum ingot_status status, const struct ingot_error *err)
{
    return status == INGOT_RETRY &&
           (strcmp(err->sqlstate, "40001") == 0 || strcmp(err->sqlstate, "40P01") == 0);
}

/* Waited too long for somebody's open transaction. */
static int met_a_lock(enum ingot_status status, const struct ingot_error *err)
{
    return status == INGOT_RETRY && strcmp(err->sqlstate, "55P03") == 0;
}

/* A commit failed with this status; for a rival, or if it is not known how, it is sent again. */
static enum ingot_status insist(struct igt_journal *journal, struct share *share,
                                enum ingot_status status, struct ingot_error *err)
{
    for (int i = 0; i < RIVAL_TRIES && met_a_rival(status, err); i++)
        status = send_share(journal, share, INGOT_COMMIT_FIRST, err);
    return status == INGOT_UNKNOWN ? resolve(journal, share, err) : status;
}

static enum ingot_status commit_share(struct igt_journal *journal, struct share *share,
                                      struct ingot_error *err)
{
    return insist(journal, share, send_share(journal, share, INGOT_COMMIT_FIRST, err), err);
}

/* Whether the store is of no more use after that. */
static int is_fatal(enum ingot_status status)
{
    return status == INGOT_IO || status == INGOT_CORRUPT || status == INGOT_UNKNOWN;
}

/* Each batch alone, so that only the one with the culprit is kept for later; that one stays in the share. */
static enum ingot_status commit_batches_apart(struct igt_journal *journal, struct share *share,
                                              struct ingot_error *err)
{
    struct igt_batch *batches = share->batches, **last = &share->batches;
    struct ingot_error why = {0};
    enum ingot_status status = INGOT_OK;
    share->batches = NULL;
    for (struct igt_batch *batch = batches, *next; batch; batch = next) {
        next = batch->next;
        batch->next = NULL;
        struct share alone = {.batches = batch};
        enum ingot_status outcome = status;
        if (!status || status == INGOT_RETRY)
            outcome = commit_share(journal, &alone, &why);
        if (!outcome)
            continue;
        status = outcome;
        *err = why;
        *last = batch;
        last = &batch->next;
    }
    return status;
}

/*
 * A share was refused for a reason of its contents, or waited too long for a
 * lock: each request alone, so that only the culprit gets the error (PROTOCOL
 * 2.2), then the rows.
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
            reject_requests(journal, &alone, outcome, err);
        if (is_fatal(outcome))
            status = outcome;
    }
    share->request_count = share->event_count = 0;
    if (!status && share->batches)
        status = commit_batches_apart(journal, share, err);
    return status;
}

/* ---- the thread --------------------------------------------------------- */

/* Takes from the queues what one commit holds; at least one request, and at least one batch. */
static void take_share(struct igt_journal *journal, struct share *share)
{
    struct igt_request **last_request = &share->requests;
    struct igt_batch **last_batch = &share->batches;
    size_t row_count = 0;
    memset(share, 0, sizeof *share);
    while (journal->requests &&
           (!share->request_count ||
            share->event_count + journal->requests->event_count <= IGT_COMMIT_EVENTS_MAX)) {
        struct igt_request *request = journal->requests;
        journal->requests = request->next;
        journal->waiting_bytes -= igt_request_bytes(request);
        journal->waiting_events -= request->event_count;
        request->next = NULL;
        *last_request = request;
        last_request = &request->next;
        share->request_count++;
        share->event_count += request->event_count;
    }
    if (!journal->requests)
        journal->last_request = &journal->requests;
    while (journal->batches && (!share->batches || row_count + journal->batches->rows.count <=
                                                       IGT_COMMIT_TRANSITIONS_MAX)) {
        struct igt_batch *batch = journal->batches;
        journal->batches = batch->next;
        journal->waiting_transitions -= batch->rows.count;
        batch->next = NULL;
        *last_batch = batch;
        last_batch = &batch->next;
        row_count += batch->rows.count;
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
    for (const struct igt_batch *batch = share->batches; batch; batch = batch->next)
        journal->waiting_transitions += batch->rows.count;
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
        reject_requests(journal, &share, err->status, err);
        destroy_batches(&share);
        pthread_mutex_lock(&journal->lock);
    } while (journal->requests || journal->batches);
    pthread_mutex_unlock(&journal->lock);
    journal->callbacks.failed(journal->callbacks.context, err);
}

enum waiting { WAIT, DO_NOT_WAIT };

/*
 * Takes the next share, 0 if there is none of so many rows: after WAIT the thread is
 * to end then.
 */
static int take_next(struct igt_journal *journal, enum waiting waiting, size_t least,
                     struct share *share)
{
    pthread_mutex_lock(&journal->lock);
    while (!journal->requests && !journal->batches && !journal->stopping && waiting == WAIT)
        pthread_cond_wait(&journal->work, &journal->lock);
    int taken = (journal->requests || journal->batches) &&
                journal->waiting_events + journal->waiting_transitions >= least;
    if (taken)
        take_share(journal, share);
    pthread_mutex_unlock(&journal->lock);
    if (taken && journal->claimer.claim)
        for (struct igt_request *request = share->requests; request; request = request->next)
            if (request->ids == IGT_IDS_MADE)
                journal->claimer.claim(journal->claimer.context, request);
    return taken;
}

/* A passing failure: requests are told, rows are kept for the next try. */
static void back_off(struct igt_journal *journal, struct share *share,
                     const struct ingot_error *err)
{
    if (journal->retry_ms == 0)
        igt_log(journal->toolkit, INGOT_WARN, "event=commit_failed error=\"%s\"", err->message);
    reject_requests(journal, share, INGOT_RETRY, err);
    pthread_mutex_lock(&journal->lock);
    put_back(journal, share);
    doze(journal); /* a new request is tried at once: it deserves an answer */
    pthread_mutex_unlock(&journal->lock);
}

/* What failed is sent again, apart, or later; 0 if the store is of no more use. */
static int recover(struct igt_journal *journal, struct share *share, enum ingot_status status,
                   struct ingot_error *err)
{
    pthread_mutex_lock(&journal->lock);
    int stopping = journal->stopping;
    pthread_mutex_unlock(&journal->lock);
    status = insist(journal, share, status, err);
    if (status == INGOT_INVALID || status == INGOT_LIMIT || met_a_lock(status, err))
        status = commit_apart(journal, share, err);
    if (!status)
        return 1;
    if ((status == INGOT_RETRY || status == INGOT_NOMEM) && !stopping) {
        back_off(journal, share, err);
        return 1;
    }
    reject_requests(journal, share, status, err);
    destroy_batches(share);
    fail(journal, err);
    return 0;
}

/* Commits on their way, a ring, with room for one that has landed and is not settled. */
struct sky {
    struct flight flights[INGOT_COMMITS_SENT_MAX + 1];
    size_t first, count; /* the oldest; how many */
};

/* The flight behind so many older ones. */
static struct flight *flight_at(struct sky *sky, size_t place)
{
    return &sky->flights[(sky->first + place) % (INGOT_COMMITS_SENT_MAX + 1)];
}

/* Whether the store would take one more before another has landed. */
static int has_room(struct sky *sky)
{
    return !sky->count || (sky->count < INGOT_COMMITS_SENT_MAX &&
                           flight_at(sky, sky->count - 1)->phase == FLIGHT_SENT);
}

/* The rows that must wait for a commit to be sent behind one that has not landed. */
static size_t least_rows(struct sky *sky)
{
    if (!sky->count)
        return 0;
    const struct ingot_commit *last = &flight_at(sky, sky->count - 1)->commit;
    return (last->event_count + last->transition_count) / PART_BEHIND;
}

/* One of those on their way has failed: all are landed, then the store is free to mend it. 0: of no more use. */
static int recover_all(struct igt_journal *journal, struct sky *sky)
{
    int usable = 1;
    for (size_t i = 0; i < sky->count; i++) {
        struct flight *flight = flight_at(sky, i);
        land(journal, flight);
        if (!flight->status)
            settle(journal, flight);
    }
    for (size_t i = 0; i < sky->count; i++) {
        struct flight *flight = flight_at(sky, i);
        if (flight->status && usable) {
            usable = recover(journal, &flight->share, flight->status, &flight->error);
        } else if (flight->status) {
            reject_requests(journal, &flight->share, flight->status, &flight->error);
            destroy_batches(&flight->share);
        }
    }
    sky->count = 0;
    return usable;
}

/*
 * The store is never without work as long as there is some: a commit is sent
 * before the last one has landed, or at least before what came of it is told.
 */
static void *run(void *context)
{
    struct igt_journal *journal = context;
    struct sky sky = {.count = 0};
    int taken = 1, usable = 1;
    while (usable) {
        struct flight *landed = NULL, *next;
        if (sky.count && (!taken || !has_room(&sky))) {
            landed = flight_at(&sky, 0);
            land(journal, landed);
            if (landed->status) {
                usable = recover_all(journal, &sky);
                continue;
            }
            sky.first++;
            sky.count--;
        }
        next = flight_at(&sky, sky.count);
        memset(next, 0, sizeof *next);
        taken = has_room(&sky) && take_next(journal, sky.count || landed ? DO_NOT_WAIT : WAIT,
                                            least_rows(&sky), &next->share);
        if (taken) {
            launch(journal, next, INGOT_COMMIT_FIRST);
            sky.count++;
        }
        if (landed) {
            settle(journal, landed);
            taken = 1;
        } else if (!taken && !sky.count) {
            break;
        }
        if (next->status)
            usable = recover_all(journal, &sky);
    }
    return NULL;
}

enum ingot_status igt_journal_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const struct igt_journal_callbacks *callbacks,
                                    const struct igt_claimer *claimer,
                                    struct igt_journal **ret_journal, struct ingot_error *err)
{
    pthread_condattr_t attributes;
    struct igt_journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return ingot_error_set(err, INGOT_NOMEM, "journal: memory ran out");
    enum ingot_status status = igt_teller_start(&journal->teller, err);
    if (status) {
        free(journal);
        return status;
    }
    journal->store = store;
    journal->toolkit = toolkit;
    journal->callbacks = *callbacks;
    if (claimer)
        journal->claimer = *claimer;
    journal->last_request = &journal->requests;
    journal->last_batch = &journal->batches;
    pthread_mutex_init(&journal->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->work, &attributes);
    pthread_condattr_destroy(&attributes);
    status = igt_thread_start(&journal->thread, "journal", run, journal, err);
    if (status) {
        igt_teller_stop(journal->teller);
        igt_journal_destroy(journal);
        return status;
    }
    *ret_journal = journal;
    return INGOT_OK;
}

enum ingot_status igt_journal_submit(struct igt_journal *journal, struct igt_request *request)
{
    enum ingot_status status = INGOT_OK;
    size_t bytes = igt_request_bytes(request);
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
        journal->waiting_events += request->event_count;
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
        journal->waiting_transitions += batch->rows.count;
        pthread_cond_signal(&journal->work);
    }
    pthread_mutex_unlock(&journal->lock);
    if (failed)
        igt_batch_destroy(batch);
}

struct igt_journal_numbers igt_journal_numbers(struct igt_journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    struct igt_journal_numbers numbers = journal->numbers;
    pthread_mutex_unlock(&journal->lock);
    return numbers;
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
    igt_teller_stop(journal->teller);
}

void igt_journal_destroy(struct igt_journal *journal)
{
    if (!journal)
        return;
    pthread_cond_destroy(&journal->work);
    pthread_mutex_destroy(&journal->lock);
    free(journal);
}
