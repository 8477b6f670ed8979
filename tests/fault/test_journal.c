/*
 * The journal over a store that fails as told: an adapter of the test's own,
 * given by Load, that stands in front of "memory". What holds for a store that
 * commits in one call must hold for one that does it in two halves.
 */
#include <ingot/adapter.h>

#include "core/toolkit.h"
#include "daemon/journal.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

extern const struct ingot_adapter ingot_adapter_memory;

/* What the adapter does; guarded by lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int closed_gate;   /* a commit waits in front of the store */
    unsigned passes;   /* so many go through nevertheless */
    int waiting;       /* a commit is waiting there */
    unsigned failures; /* so many commits fail with this status */
    enum ingot_status status;
    const char *sqlstate;
    int stored_all_the_same;  /* what fails with INGOT_UNKNOWN is stored nevertheless */
    unsigned refusals;        /* so many commits fail with INGOT_RETRY after those */
    unsigned again;           /* commits that said they had been sent before */
    unsigned commits;         /* that were stored */
    size_t largest_events;    /* in one commit */
    int sends_nothing;        /* a commit cannot be sent, only committed */
    unsigned send_failures;   /* so many cannot even be sent, with this status */
    unsigned send_failure_at; /* nor can the one of this number, from 1 on; 0: all can */
    enum ingot_status send_status;
    struct ingot_commit *sent[INGOT_COMMITS_SENT_MAX]; /* and not finished, oldest first */
    unsigned on_their_way;
    ingot_ksuid locked; /* a rival's open transaction has the next number of this event's job */
    unsigned sends;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct ingot_adapter adapter;

/* What happened, a letter for each thing; guarded by the lock of fault. */
static char happened[256];

static void note_letter(char letter)
{
    pthread_mutex_lock(&fault.lock);
    size_t len = strlen(happened);
    if (len + 1 < sizeof happened)
        happened[len] = letter;
    pthread_mutex_unlock(&fault.lock);
}

static enum ingot_status commit_as_told(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_commit *commit, struct ingot_error *err)
{
    pthread_mutex_lock(&fault.lock);
    fault.waiting = 1;
    pthread_cond_broadcast(&fault.changed);
    while (fault.closed_gate && !fault.passes)
        pthread_cond_wait(&fault.changed, &fault.lock);
    fault.passes -= fault.passes > 0;
    fault.waiting = 0;
    enum ingot_status status = fault.failures ? fault.status : INGOT_OK;
    const char *sqlstate = status && fault.sqlstate ? fault.sqlstate : "";
    int stored = status == INGOT_UNKNOWN && fault.stored_all_the_same;
    if (fault.failures) {
        fault.failures--;
    } else if (fault.refusals) {
        fault.refusals--;
        status = INGOT_RETRY;
    }
    fault.again += commit->sending == INGOT_COMMIT_AGAIN;
    for (size_t i = 0; i < commit->event_count; i++) {
        if (ingot_bytes_equal(commit->events[i].row->name, ingot_bytes_of("poison")))
            status = INGOT_INVALID;
        if (ingot_bytes_equal(commit->events[i].row->name, ingot_bytes_of("locked"))) {
            status = INGOT_RETRY;
            sqlstate = "55P03";
        }
    }
    for (size_t i = 0; i < commit->transition_count; i++)
        if (ingot_ksuid_compare(&commit->transitions[i].row.event_id, &fault.locked) == 0) {
            status = INGOT_RETRY;
            sqlstate = "55P03";
        }
    if (!status && commit->event_count > fault.largest_events)
        fault.largest_events = commit->event_count;
    fault.commits += !status;
    pthread_cond_broadcast(&fault.changed);
    pthread_mutex_unlock(&fault.lock);
    if (stored)
        assert_int_equal(ingot_adapter_memory.commit(handle, toolkit, commit, err), INGOT_OK);
    if (!status)
        return ingot_adapter_memory.commit(handle, toolkit, commit, err);
    memcpy(err->sqlstate, sqlstate, strlen(sqlstate) + 1);
    return ingot_error_set(err, status, "as told");
}

static enum ingot_status faulty_commit(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err)
{
    pthread_mutex_lock(&fault.lock);
    if (fault.on_their_way)
        abort(); /* between the halves of a commit the handle is used for nothing else */
    pthread_mutex_unlock(&fault.lock);
    return commit_as_told(handle, toolkit, commit, err);
}

static enum ingot_status faulty_send(void *handle, const struct ingot_toolkit *toolkit,
                                     struct ingot_commit *commit, struct ingot_error *err)
{
    (void)handle, (void)toolkit;
    pthread_mutex_lock(&fault.lock);
    if (fault.on_their_way == INGOT_COMMITS_SENT_MAX || commit->sending == INGOT_COMMIT_AGAIN)
        abort();
    enum ingot_status status = fault.sends_nothing   ? INGOT_UNSUPPORTED
                               : fault.send_failures ? fault.send_status
                                                     : INGOT_OK;
    fault.send_failures -= status && fault.send_failures;
    if (!status && fault.sends + 1 == fault.send_failure_at) {
        status = fault.send_status;
        fault.send_failure_at = 0;
    }
    fault.sends += !status;
    if (!status)
        fault.sent[fault.on_their_way++] = commit;
    pthread_mutex_unlock(&fault.lock);
    if (!status)
        note_letter('c');
    return status ? ingot_error_set(err, status, "as told") : INGOT_OK;
}

static enum ingot_status faulty_finish(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err)
{
    pthread_mutex_lock(&fault.lock);
    if (!fault.on_their_way || fault.sent[0] != commit)
        abort();
    fault.sent[0] = fault.sent[1];
    fault.on_their_way--;
    pthread_mutex_unlock(&fault.lock);
    return commit_as_told(handle, toolkit, commit, err);
}

static void close_gate(int closed)
{
    pthread_mutex_lock(&fault.lock);
    fault.closed_gate = closed;
    pthread_cond_broadcast(&fault.changed);
    pthread_mutex_unlock(&fault.lock);
}

static void let_pass(unsigned commits)
{
    pthread_mutex_lock(&fault.lock);
    fault.passes = commits;
    pthread_cond_broadcast(&fault.changed);
    pthread_mutex_unlock(&fault.lock);
}

static void wait_until_a_commit_waits(void)
{
    pthread_mutex_lock(&fault.lock);
    while (!fault.waiting)
        pthread_cond_wait(&fault.changed, &fault.lock);
    pthread_mutex_unlock(&fault.lock);
}

/* ---- a journal with somebody who listens -------------------------------- */

struct bench {
    struct ingot_store *store;
    struct igt_journal *journal;
    struct ingot_ksuid_generator ids;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned made, decided, stored, rows, failed;
    unsigned claimed, unclaimed;   /* requests, by the claimer */
    ingot_ksuid owner;             /* of first claims */
    struct igt_request *order[64]; /* of the decisions */
    /* A request that is submitted when so many are decided, before anybody knows. */
    struct {
        unsigned decided;
        struct igt_request *request;
    } behind[8];
    unsigned slow_until; /* whoever is decided is busy until so many commits were made */
    unsigned slow_in_vain;
};

static void note(struct bench *bench, unsigned *counter, unsigned by)
{
    pthread_mutex_lock(&bench->lock);
    *counter += by;
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

static void wait_for(struct bench *bench, const unsigned *counter, unsigned value)
{
    pthread_mutex_lock(&bench->lock);
    while (*counter < value)
        pthread_cond_wait(&bench->changed, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
}

/* The same, but not for ever; says whether it came. */
static int came(struct bench *bench, const unsigned *counter, unsigned value)
{
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&bench->lock);
    while (*counter < value && !code)
        code = pthread_cond_timedwait(&bench->changed, &bench->lock, &until);
    pthread_mutex_unlock(&bench->lock);
    return !code;
}

static void on_stored(void *context, uint64_t position)
{
    (void)context;
    note_letter(position ? 'p' : '0');
}

static void on_results(void *context, struct igt_results *results)
{
    struct bench *bench = context;
    unsigned stored = 0;
    note_letter('r');
    for (size_t i = 0; i < results->row_count; i++)
        stored += results->rows[i].verdict == INGOT_STORED;
    note(bench, &bench->rows, stored);
    igt_results_destroy(results);
}

static void on_failed(void *context, const struct ingot_error *error)
{
    struct bench *bench = context;
    (void)error;
    note(bench, &bench->failed, 1);
}

/* Waits for so many commits, but not for ever; says whether they came. */
static int commits_came(unsigned commits)
{
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&fault.lock);
    while (fault.commits < commits && !code)
        code = pthread_cond_timedwait(&fault.changed, &fault.lock, &until);
    pthread_mutex_unlock(&fault.lock);
    return !code;
}

static void on_decided(struct igt_request *request, void *context)
{
    struct bench *bench = context;
    note_letter('d');
    if (!commits_came(bench->slow_until))
        note(bench, &bench->slow_in_vain, 1);
    if (bench->decided < sizeof bench->order / sizeof bench->order[0])
        bench->order[bench->decided] = request;
    if (request->status == INGOT_OK)
        note(bench, &bench->stored, 1);
    for (size_t i = 0; i < sizeof bench->behind / sizeof bench->behind[0]; i++)
        if (bench->behind[i].request && bench->behind[i].decided == bench->decided + 1)
            assert_int_equal(igt_journal_submit(bench->journal, bench->behind[i].request),
                             INGOT_OK);
    note(bench, &bench->decided, 1);
}

/* Grants first claims to all that may have them. */
static void on_claim(void *context, struct igt_request *request)
{
    struct bench *bench = context;
    request->claims = igt_arena_alloc(request->arena, sizeof *request->claims);
    assert_non_null(request->claims);
    request->claim_count = 1;
    note(bench, &bench->claimed, 1);
}

static void on_unclaim(void *context, struct igt_request *request)
{
    struct bench *bench = context;
    assert_int_equal(request->claim_count, 1);
    request->claim_count = 0;
    note(bench, &bench->unclaimed, 1);
}

enum halves { IN_ONE, IN_HALVES };

static int open_bench_that_commits(void **state, enum halves halves)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct ingot_options options = INGOT_OPTIONS_INIT;
    const struct igt_journal_callbacks callbacks = {on_stored, on_results, on_failed, bench};
    adapter = ingot_adapter_memory;
    adapter.name = "faulty";
    adapter.commit = faulty_commit;
    if (halves == IN_HALVES) {
        adapter.send_commit = faulty_send;
        adapter.finish_commit = faulty_finish;
    }
    options.load = &adapter;
    memset(happened, 0, sizeof happened);
    fault.closed_gate = fault.waiting = fault.sends_nothing = 0;
    fault.passes = fault.sends = fault.send_failures = fault.send_failure_at = 0;
    fault.failures = fault.commits = fault.refusals = fault.again = 0;
    fault.sqlstate = NULL;
    memset(&fault.locked, 0, sizeof fault.locked);
    fault.stored_all_the_same = 0;
    fault.largest_events = 0;
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    ingot_ksuid_generator_init(&bench->ids);
    assert_int_equal(ingot_store_open(&options, NULL, &bench->store, NULL), INGOT_OK);
    ingot_ksuid_generate(&bench->ids, NULL, &bench->owner);
    const struct igt_claimer claimer = {on_claim, on_unclaim, bench, bench->owner};
    assert_int_equal(
        igt_journal_start(bench->store, NULL, &callbacks, &claimer, &bench->journal, NULL),
        INGOT_OK);
    *state = bench;
    return 0;
}

static int open_bench(void **state)
{
    return open_bench_that_commits(state, IN_ONE);
}

static int open_bench_in_halves(void **state)
{
    return open_bench_that_commits(state, IN_HALVES);
}

static int close_bench(void **state)
{
    struct bench *bench = *state;
    igt_journal_stop(bench->journal);
    assert_in_range(bench->decided, 0, bench->made); /* nothing is decided twice */
    assert_int_equal(fault.on_their_way, 0);
    igt_journal_destroy(bench->journal);
    ingot_store_close(bench->store);
    free(bench);
    return 0;
}

/* A request of one event with one job; held by the caller too. */
static struct igt_request *make_request(struct bench *bench, const char *name)
{
    struct igt_request *request = igt_request_create();
    assert_non_null(request);
    bench->made++;
    request->events = igt_arena_alloc(request->arena, sizeof *request->events);
    request->verdicts = igt_arena_alloc(request->arena, sizeof *request->verdicts);
    struct ingot_job *job = igt_arena_alloc(request->arena, sizeof *job);
    request->event_count = 1;
    *request->events = (struct ingot_event){.source = ingot_bytes_of("test"),
                                            .name = ingot_bytes_of(name),
                                            .sent_us = INGOT_NO_TIME,
                                            .received_us = igt_now_us(NULL),
                                            .jobs = job,
                                            .job_count = 1};
    ingot_ksuid_generate(&bench->ids, NULL, &request->events->id);
    ingot_ksuid_generate_for(&bench->ids, NULL, &request->events->id, &job->id);
    job->destination = ingot_bytes_of("a");
    job->event = ingot_bytes_of("*");
    job->due_us = INGOT_NO_TIME;
    request->decided = on_decided;
    request->context = bench;
    return request;
}

/* A claim of the job of an event. */
static struct igt_batch *make_claim(struct bench *bench, const ingot_ksuid *event_id)
{
    struct igt_batch *batch = igt_batch_create();
    assert_non_null(batch);
    batch->rows.rows = calloc(1, sizeof *batch->rows.rows);
    batch->rows.count = batch->rows.size = 1;
    batch->rows.rows[0] = (struct ingot_commit_transition){
        .row = {.event_id = *event_id,
                .seq = 1,
                .attempt = 1,
                .state_before = INGOT_STATE_ACKNOWLEDGED,
                .state_after = INGOT_STATE_EXECUTING,
                .due_us = INGOT_NO_TIME},
        .hangs_on = INGOT_ALONE,
    };
    ingot_ksuid_generate(&bench->ids, NULL, &batch->rows.rows[0].row.owner);
    return batch;
}

/* The same for a job that may be claimed in the commit of its event. */
static struct igt_request *make_claimable(struct bench *bench, const char *name)
{
    struct igt_request *request = make_request(bench, name);
    request->ids = IGT_IDS_MADE;
    return request;
}

/* The newest transition of a request's job, as it is in the store. */
static struct ingot_transition latest(struct bench *bench, const struct igt_request *request)
{
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_event(bench->store, NULL, &request->events->id, &page, NULL),
                     INGOT_OK);
    struct ingot_transition transition = page->events[0].jobs[0].latest;
    ingot_page_destroy(page);
    return transition;
}

/* ---- the promises ------------------------------------------------------- */

static void what_gathers_while_a_commit_is_under_way_shares_the_next_one(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[20];
    close_gate(1);
    for (size_t i = 0; i < 20; i++) {
        requests[i] = make_request(bench, "n");
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 20);
    assert_int_equal(bench->stored, 20);
    assert_int_equal(fault.commits, 2);
    assert_int_equal(fault.largest_events, 19);
    for (size_t i = 0; i < 20; i++)
        igt_request_release(requests[i]);
}

static void only_the_culprit_of_a_batch_gets_the_error(void **state)
{
    struct bench *bench = *state;
    static const char *const names[] = {"first", "good", "poison", "also good"};
    struct igt_request *requests[4];
    close_gate(1);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = make_request(bench, names[i]);
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(requests[i]->status, i == 2 ? INGOT_INVALID : INGOT_OK);
        igt_request_release(requests[i]);
    }
    assert_int_equal(bench->failed, 0);
}

static void a_passing_failure_is_answered_at_once_and_rows_are_kept(void **state)
{
    struct bench *bench = *state;
    struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
    assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
    wait_for(bench, &bench->decided, 1);
    fault.status = INGOT_RETRY;
    fault.failures = 3;
    igt_journal_submit_batch(bench->journal, make_claim(bench, &first->events->id));
    assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
    wait_for(bench, &bench->decided, 2);
    wait_for(bench, &bench->rows, 1);
    assert_int_equal(bench->failed, 0);
    igt_request_release(first);
    igt_request_release(second);
}

static void after_an_io_error_nobody_waits_and_nothing_more_is_taken(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[3];
    fault.status = INGOT_IO;
    fault.failures = 1;
    close_gate(1);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = make_request(bench, "n");
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 3);
    wait_for(bench, &bench->failed, 1);
    assert_int_equal(bench->stored, 0);
    assert_int_equal(fault.commits, 0);
    assert_false(igt_journal_is_healthy(bench->journal));
    assert_int_equal(igt_journal_submit(bench->journal, requests[0]), INGOT_CLOSED);
    for (size_t i = 0; i < 3; i++)
        igt_request_release(requests[i]);
}

static void stop_commits_what_waits_and_takes_nothing_more(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[10];
    close_gate(1);
    for (size_t i = 0; i < 10; i++) {
        requests[i] = make_request(bench, "n");
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
    }
    close_gate(0);
    igt_journal_stop(bench->journal);
    assert_int_equal(bench->decided, 10);
    assert_int_equal(bench->stored, 10);
    /* a request that is read to its end only now: the gateway ends after the journal */
    assert_int_equal(igt_journal_submit(bench->journal, requests[0]), INGOT_CLOSED);
    igt_journal_destroy(bench->journal);
    bench->journal = NULL;
    for (size_t i = 0; i < 10; i++)
        igt_request_release(requests[i]);
}

/* A request and a claim in one commit that gets no answer; both must be decided as stored. */
static void lose_an_answer(struct bench *bench, int stored)
{
    struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
    assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
    wait_for(bench, &bench->decided, 1);
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
    wait_until_a_commit_waits();
    fault.status = INGOT_UNKNOWN;
    fault.failures = 1;
    fault.stored_all_the_same = stored;
    fault.refusals = 2;
    igt_journal_submit_batch(bench->journal, make_claim(bench, &first->events->id));
    close_gate(0);
    wait_for(bench, &bench->rows, 1);
    wait_for(bench, &bench->decided, 2);
    assert_int_equal(second->status, INGOT_OK);
    assert_int_equal(second->verdicts[0], INGOT_STORED);
    assert_int_equal(fault.again, 3);
    assert_int_equal(bench->failed, 0);
    igt_request_release(first);
    igt_request_release(second);
}

static void a_commit_without_an_answer_that_was_stored_is_found_to_be(void **state)
{
    lose_an_answer(*state, 1);
}

static void a_commit_without_an_answer_that_was_not_stored_is_stored(void **state)
{
    lose_an_answer(*state, 0);
}

static void while_a_commit_is_in_doubt_others_are_turned_away_and_it_is_not_answered(void **state)
{
    struct bench *bench = *state;
    struct igt_request *doubtful = make_request(bench, "n"), *other = make_request(bench, "n");
    close_gate(1);
    fault.status = INGOT_UNKNOWN;
    fault.failures = 1;
    fault.refusals = UINT32_MAX;
    assert_int_equal(igt_journal_submit(bench->journal, doubtful), INGOT_OK);
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, other), INGOT_OK);
    close_gate(0);
    wait_for(bench, &bench->decided, 1);
    assert_int_equal(other->status, INGOT_RETRY);
    assert_int_equal(bench->stored, 0);
    pthread_mutex_lock(&fault.lock);
    fault.refusals = 0;
    pthread_mutex_unlock(&fault.lock);
    wait_for(bench, &bench->decided, 2);
    assert_int_equal(doubtful->status, INGOT_OK);
    igt_request_release(doubtful);
    igt_request_release(other);
}

static void a_deadlock_is_nobodys_affair_but_the_journals(void **state)
{
    struct bench *bench = *state;
    struct igt_request *request = make_request(bench, "n");
    fault.status = INGOT_RETRY;
    fault.sqlstate = "40P01";
    fault.failures = 3;
    assert_int_equal(igt_journal_submit(bench->journal, request), INGOT_OK);
    wait_for(bench, &bench->decided, 1);
    assert_int_equal(request->status, INGOT_OK);
    igt_request_release(request);
}

static void only_who_waits_for_a_lock_is_told_to_come_again(void **state)
{
    struct bench *bench = *state;
    static const char *const names[] = {"first", "good", "locked", "also good"};
    struct igt_request *requests[4];
    close_gate(1);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = make_request(bench, names[i]);
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(requests[i]->status, i == 2 ? INGOT_RETRY : INGOT_OK);
        igt_request_release(requests[i]);
    }
}

static void lock(const ingot_ksuid *event_id)
{
    pthread_mutex_lock(&fault.lock);
    fault.locked = *event_id;
    pthread_mutex_unlock(&fault.lock);
}

static void protocol_2_2_only_the_rows_of_who_is_locked_wait(void **state)
{
    static const ingot_ksuid none;
    struct bench *bench = *state;
    struct igt_request *requests[4];
    for (size_t i = 0; i < 4; i++) {
        requests[i] = make_request(bench, "n");
        if (i == 3) {
            close_gate(1);
            lock(&requests[1]->events->id);
        }
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
    }
    wait_until_a_commit_waits();
    for (size_t i = 0; i < 3; i++)
        igt_journal_submit_batch(bench->journal, make_claim(bench, &requests[i]->events->id));
    close_gate(0);
    assert_true(came(bench, &bench->rows, 2));
    lock(&none);
    assert_true(came(bench, &bench->rows, 3));
    assert_int_equal(bench->rows, 3);
    assert_int_equal(bench->failed, 0);
    for (size_t i = 0; i < 4; i++)
        igt_request_release(requests[i]);
}

static void requests_are_decided_in_the_order_in_which_they_came(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[60];
    for (size_t i = 0; i < 60; i++) {
        requests[i] = make_request(bench, "n");
        if (i % 20 == 0)
            close_gate(1);
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i % 20 == 19)
            close_gate(0);
    }
    wait_for(bench, &bench->decided, 60);
    for (size_t i = 0; i < 60; i++) {
        assert_ptr_equal(bench->order[i], requests[i]);
        igt_request_release(requests[i]);
    }
}

/* The first commit fails so often for a rival while others gather behind it. */
static void a_commit_that_is_sent_again_is_not_overtaken(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[3];
    fault.status = INGOT_RETRY;
    fault.sqlstate = "40P01";
    fault.failures = 3;
    close_gate(1);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = make_request(bench, "n");
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 3);
    assert_int_equal(bench->stored, 3);
    assert_int_equal(fault.commits, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(bench->order[i], requests[i]);
        igt_request_release(requests[i]);
    }
}

/* A culprit among requests that share a commit with a claim: the rest is stored, and once. */
static void rows_that_shared_a_commit_with_a_culprit_are_stored(void **state)
{
    static const char *const culprits[] = {"poison", "locked"};
    struct bench *bench = *state;
    for (unsigned i = 0; i < 2; i++) {
        struct igt_request *event = make_request(bench, "n"), *gate = make_request(bench, "n");
        struct igt_request *culprit = make_request(bench, culprits[i]);
        assert_int_equal(igt_journal_submit(bench->journal, event), INGOT_OK);
        wait_for(bench, &bench->decided, 3 * i + 1);
        close_gate(1);
        assert_int_equal(igt_journal_submit(bench->journal, gate), INGOT_OK);
        wait_until_a_commit_waits();
        assert_int_equal(igt_journal_submit(bench->journal, culprit), INGOT_OK);
        igt_journal_submit_batch(bench->journal, make_claim(bench, &event->events->id));
        close_gate(0);
        wait_for(bench, &bench->decided, 3 * i + 3);
        wait_for(bench, &bench->rows, i + 1);
        assert_int_equal(culprit->status, i ? INGOT_RETRY : INGOT_INVALID);
        assert_int_equal(gate->status, INGOT_OK);
        igt_request_release(event);
        igt_request_release(gate);
        igt_request_release(culprit);
    }
    assert_int_equal(bench->rows, 2);
    assert_int_equal(bench->failed, 0);
}

static void *stop(void *context)
{
    igt_journal_stop(((struct bench *)context)->journal);
    return NULL;
}

static void a_stop_while_a_commit_is_under_way_waits_for_it_and_commits_what_came(void **state)
{
    struct bench *bench = *state;
    struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
    pthread_t stopper;
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
    igt_journal_submit_batch(bench->journal, make_claim(bench, &first->events->id));
    assert_int_equal(pthread_create(&stopper, NULL, stop, bench), 0);
    close_gate(0);
    pthread_join(stopper, NULL);
    assert_int_equal(bench->decided, 2);
    assert_int_equal(bench->stored, 2);
    assert_int_equal(bench->rows, 1);
    assert_int_equal(bench->failed, 0);
    igt_journal_destroy(bench->journal);
    bench->journal = NULL;
    igt_request_release(first);
    igt_request_release(second);
}

static void who_waits_for_a_commit_is_told_while_the_next_one_is_under_way(void **state)
{
    struct bench *bench = *state;
    struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
    let_pass(1);
    int told = came(bench, &bench->decided, 1);
    close_gate(0);
    wait_for(bench, &bench->decided, 2);
    igt_request_release(first);
    igt_request_release(second);
    assert_true(told);
}

static void release_all(struct igt_request **requests, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        igt_request_release(requests[i]);
}

/*
 * Four commits, of 1, 2, 1 and 1 requests. From the second on whoever is told something is
 * busy with it until all four are made. The last two wait behind the gate.
 */
static void put_slow_ones_before_others(struct bench *bench, struct igt_request **requests)
{
    for (unsigned i = 0; i < 5; i++)
        requests[i] = make_request(bench, "n");
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, requests[0]), INGOT_OK);
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, requests[1]), INGOT_OK);
    assert_int_equal(igt_journal_submit(bench->journal, requests[2]), INGOT_OK);
    let_pass(1);
    wait_for(bench, &bench->decided, 1);
    wait_until_a_commit_waits();
    bench->slow_until = 4;
    assert_int_equal(igt_journal_submit(bench->journal, requests[3]), INGOT_OK);
    let_pass(1);
    assert_true(commits_came(2));
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, requests[4]), INGOT_OK);
}

static void telling_does_not_keep_the_journal_from_the_next_commit(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[5];
    put_slow_ones_before_others(bench, requests);
    close_gate(0);
    wait_for(bench, &bench->decided, 5);
    assert_int_equal(bench->slow_in_vain, 0);
    assert_int_equal(bench->stored, 5);
    assert_int_equal(fault.commits, 4);
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(bench->order[i], requests[i]);
    release_all(requests, 5);
}

static void a_stop_returns_when_everybody_is_told(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[5];
    pthread_t stopper;
    put_slow_ones_before_others(bench, requests);
    assert_int_equal(pthread_create(&stopper, NULL, stop, bench), 0);
    close_gate(0);
    pthread_join(stopper, NULL);
    assert_int_equal(bench->decided, 5);
    assert_int_equal(bench->stored, 5);
    igt_journal_destroy(bench->journal);
    bench->journal = NULL;
    release_all(requests, 5);
}

/* ---- of stores that commit in halves ------------------------------------ */

/*
 * c: a commit is sent, p: its place is told, d: a request is decided, r: results.
 * The place of the first is told before the second is sent, for others may see
 * its rows from then on; who waits for the first is told while the second is
 * under way.
 */
static void the_next_commit_is_sent_before_it_is_told_what_became_of_the_last(void **state)
{
    struct bench *bench = *state;
    struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
    wait_until_a_commit_waits();
    assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
    let_pass(1);
    wait_for(bench, &bench->decided, 1);
    wait_until_a_commit_waits();
    assert_ptr_equal(bench->order[0], first);
    close_gate(0);
    igt_journal_stop(bench->journal);
    assert_string_equal(happened, "cpcdrpdr");
    assert_int_equal(fault.sends, 2);
    igt_request_release(first);
    igt_request_release(second);
    igt_journal_destroy(bench->journal);
    bench->journal = NULL;
}

static void who_was_stored_is_told_even_if_the_next_cannot_be_sent(void **state)
{
    static const enum ingot_status statuses[] = {INGOT_RETRY, INGOT_INVALID, INGOT_UNKNOWN};
    struct bench *bench = *state;
    for (unsigned i = 0; i < 3; i++) {
        struct igt_request *first = make_request(bench, "n"), *second = make_request(bench, "n");
        close_gate(1);
        assert_int_equal(igt_journal_submit(bench->journal, first), INGOT_OK);
        wait_until_a_commit_waits();
        fault.send_status = statuses[i];
        fault.send_failures = 1;
        assert_int_equal(igt_journal_submit(bench->journal, second), INGOT_OK);
        close_gate(0);
        wait_for(bench, &bench->decided, 2 * i + 2);
        assert_int_equal(first->status, INGOT_OK);
        assert_int_equal(second->status, statuses[i] == INGOT_RETRY ? INGOT_RETRY : INGOT_OK);
        assert_ptr_equal(bench->order[2 * i], first);
        igt_request_release(first);
        igt_request_release(second);
    }
    assert_int_equal(fault.again, 1); /* only what is unknown is sent as once more */
    assert_int_equal(bench->failed, 0);
}

/*
 * Three commits: while the second is on its way, the first is decided, and then the
 * requests of the third come. Returns with the gate closed in front of the second.
 */
static void put_two_on_their_way(struct bench *bench, unsigned second, unsigned third,
                                 struct igt_request **requests)
{
    for (unsigned i = 0; i < 1 + second + third; i++)
        requests[i] = make_request(bench, "n");
    for (unsigned i = 0; i < third; i++) {
        bench->behind[i].decided = 1;
        bench->behind[i].request = requests[1 + second + i];
    }
    close_gate(1);
    assert_int_equal(igt_journal_submit(bench->journal, requests[0]), INGOT_OK);
    wait_until_a_commit_waits();
    for (unsigned i = 0; i < second; i++)
        assert_int_equal(igt_journal_submit(bench->journal, requests[1 + i]), INGOT_OK);
    let_pass(1);
    wait_for(bench, &bench->decided, 1);
    wait_until_a_commit_waits();
}

static void a_commit_is_sent_behind_one_that_has_not_landed(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[11];
    put_two_on_their_way(bench, 8, 2, requests);
    assert_string_equal(happened, "cpcdrc");
    close_gate(0);
    wait_for(bench, &bench->decided, 11);
    assert_int_equal(bench->stored, 11);
    assert_int_equal(fault.commits, 3);
    release_all(requests, 11);
}

/* Of the two that are on their way the first lands, and nothing waits until it is told. */
static void what_is_told_of_a_commit_makes_the_next_one_before_that_has_landed(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[4], *fourth = make_request(bench, "n");
    bench->behind[7].decided = 3;
    bench->behind[7].request = fourth;
    put_two_on_their_way(bench, 2, 1, requests);
    let_pass(1);
    wait_for(bench, &bench->decided, 3);
    wait_until_a_commit_waits();
    assert_string_equal(happened, "cpcdrcpddrc");
    close_gate(0);
    wait_for(bench, &bench->decided, 5);
    assert_int_equal(bench->stored, 5);
    release_all(requests, 4);
    igt_request_release(fourth);
}

static void few_rows_wait_until_the_commit_before_them_has_landed(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[11];
    put_two_on_their_way(bench, 8, 1, requests);
    assert_string_equal(happened, "cpcdr");
    close_gate(0);
    wait_for(bench, &bench->decided, 10);
    assert_int_equal(bench->stored, 10);
    release_all(requests, 10);
}

static void when_the_first_of_two_fails_the_second_is_told_and_the_first_is_mended(void **state)
{
    static const struct {
        enum ingot_status status;
        const char *sqlstate;
        enum ingot_status told;
    } failures[] = {
        {INGOT_RETRY, "", INGOT_RETRY},   {INGOT_RETRY, "40P01", INGOT_OK},
        {INGOT_RETRY, "55P03", INGOT_OK}, {INGOT_UNKNOWN, "", INGOT_OK},
        {INGOT_INVALID, "", INGOT_OK},
    };
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        struct bench *bench = *state;
        struct igt_request *requests[4];
        put_two_on_their_way(bench, 2, 1, requests);
        fault.status = failures[i].status;
        fault.sqlstate = failures[i].sqlstate;
        fault.failures = 1;
        close_gate(0);
        wait_for(bench, &bench->decided, 4);
        assert_ptr_equal(bench->order[1], requests[3]);
        assert_int_equal(requests[1]->status, failures[i].told);
        assert_int_equal(requests[2]->status, failures[i].told);
        assert_int_equal(requests[3]->status, INGOT_OK);
        assert_int_equal(bench->failed, 0);
        release_all(requests, 4);
        close_bench(state);
        open_bench_in_halves(state);
    }
}

static void two_commits_without_an_answer_are_resolved_one_after_the_other(void **state)
{
    for (int stored = 0; stored < 2; stored++) {
        struct bench *bench = *state;
        struct igt_request *requests[4];
        put_two_on_their_way(bench, 2, 1, requests);
        fault.status = INGOT_UNKNOWN;
        fault.stored_all_the_same = stored;
        fault.failures = 2;
        close_gate(0);
        wait_for(bench, &bench->decided, 4);
        assert_int_equal(bench->stored, 4);
        assert_int_equal(fault.again, 2);
        assert_ptr_equal(bench->order[3], requests[3]);
        release_all(requests, 4);
        close_bench(state);
        open_bench_in_halves(state);
    }
}

static void what_cannot_be_sent_behind_another_is_mended_when_that_has_landed(void **state)
{
    static const enum ingot_status statuses[] = {INGOT_RETRY, INGOT_INVALID, INGOT_UNKNOWN,
                                                 INGOT_UNSUPPORTED};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct bench *bench = *state;
        struct igt_request *requests[4];
        fault.send_status = statuses[i];
        fault.send_failure_at = 3;
        put_two_on_their_way(bench, 2, 1, requests);
        close_gate(0);
        wait_for(bench, &bench->decided, 4);
        assert_int_equal(bench->stored, statuses[i] == INGOT_RETRY ? 3 : 4);
        assert_ptr_equal(bench->order[3], requests[3]);
        assert_int_equal(bench->failed, 0);
        release_all(requests, 4);
        close_bench(state);
        open_bench_in_halves(state);
    }
}

static void after_an_io_error_of_two_commits_nobody_waits(void **state)
{
    for (unsigned failures = 1; failures <= 2; failures++) {
        struct bench *bench = *state;
        struct igt_request *requests[4];
        put_two_on_their_way(bench, 2, 1, requests);
        fault.status = INGOT_IO;
        fault.failures = failures;
        close_gate(0);
        wait_for(bench, &bench->decided, 4);
        wait_for(bench, &bench->failed, 1);
        assert_int_equal(requests[1]->status, INGOT_IO);
        assert_int_equal(requests[3]->status, failures == 1 ? INGOT_OK : INGOT_IO);
        assert_false(igt_journal_is_healthy(bench->journal));
        release_all(requests, 4);
        close_bench(state);
        open_bench_in_halves(state);
    }
}

static void what_can_only_be_committed_whole_is(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[3];
    fault.sends_nothing = 1;
    for (unsigned i = 0; i < 3; i++) {
        requests[i] = make_request(bench, "n");
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        wait_for(bench, &bench->decided, i + 1);
        assert_int_equal(requests[i]->status, INGOT_OK);
        igt_request_release(requests[i]);
    }
    assert_int_equal(fault.sends, 0);
    assert_int_equal(fault.commits, 3);
}

static void a_first_claim_is_in_the_commit_of_its_event(void **state)
{
    struct bench *bench = *state;
    struct igt_request *claimable = make_claimable(bench, "n"), *given = make_request(bench, "n");
    assert_int_equal(igt_journal_submit(bench->journal, claimable), INGOT_OK);
    wait_for(bench, &bench->rows, 1);
    assert_int_equal(fault.commits, 1);
    struct ingot_transition claim = latest(bench, claimable);
    assert_int_equal(claim.state_after, INGOT_STATE_EXECUTING);
    assert_int_equal(claim.seq, 1);
    assert_memory_equal(&claim.owner, &bench->owner, sizeof claim.owner);
    assert_int_equal(igt_journal_submit(bench->journal, given), INGOT_OK);
    wait_for(bench, &bench->decided, 2);
    assert_int_equal(latest(bench, given).state_after, INGOT_STATE_ACKNOWLEDGED);
    assert_int_equal(bench->claimed, 1);
    assert_int_equal(bench->unclaimed, 0);
    igt_request_release(claimable);
    igt_request_release(given);
}

static void the_first_claims_of_a_request_that_is_refused_are_given_back(void **state)
{
    struct bench *bench = *state;
    struct igt_request *requests[] = {make_claimable(bench, "n"), make_claimable(bench, "poison"),
                                      make_claimable(bench, "n")};
    close_gate(1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(igt_journal_submit(bench->journal, requests[i]), INGOT_OK);
        if (i == 0)
            wait_until_a_commit_waits();
    }
    close_gate(0);
    wait_for(bench, &bench->decided, 3);
    wait_for(bench, &bench->rows, 2);
    assert_int_equal(bench->unclaimed, 1);
    fault.status = INGOT_RETRY;
    fault.failures = 1;
    struct igt_request *later = make_claimable(bench, "n");
    assert_int_equal(igt_journal_submit(bench->journal, later), INGOT_OK);
    wait_for(bench, &bench->decided, 4);
    assert_int_equal(bench->unclaimed, 2);
    assert_int_equal(bench->claimed, 4);
    for (size_t i = 0; i < 3; i++)
        igt_request_release(requests[i]);
    igt_request_release(later);
}

static void what_is_sent_again_has_the_first_claims_of_before(void **state)
{
    struct bench *bench = *state;
    for (int stored = 0; stored < 2; stored++) {
        struct igt_request *request = make_claimable(bench, "n");
        fault.status = INGOT_UNKNOWN;
        fault.stored_all_the_same = stored;
        fault.failures = 2;
        assert_int_equal(igt_journal_submit(bench->journal, request), INGOT_OK);
        assert_true(came(bench, &bench->rows, 1 + (unsigned)stored));
        assert_int_equal(request->verdicts[0], INGOT_STORED);
        assert_int_equal(latest(bench, request).seq, 1);
        igt_request_release(request);
    }
    assert_int_equal(bench->claimed, 2);
    assert_int_equal(bench->unclaimed, 0);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
#define HALVES(name)                                                                               \
    {                                                                                              \
#name ", in halves", name, open_bench_in_halves, close_bench, NULL                         \
    }
    const struct CMUnitTest tests[] = {
        ONE(what_gathers_while_a_commit_is_under_way_shares_the_next_one),
        HALVES(what_gathers_while_a_commit_is_under_way_shares_the_next_one),
        ONE(only_the_culprit_of_a_batch_gets_the_error),
        HALVES(only_the_culprit_of_a_batch_gets_the_error),
        ONE(a_passing_failure_is_answered_at_once_and_rows_are_kept),
        HALVES(a_passing_failure_is_answered_at_once_and_rows_are_kept),
        ONE(after_an_io_error_nobody_waits_and_nothing_more_is_taken),
        HALVES(after_an_io_error_nobody_waits_and_nothing_more_is_taken),
        ONE(a_commit_without_an_answer_that_was_stored_is_found_to_be),
        HALVES(a_commit_without_an_answer_that_was_stored_is_found_to_be),
        ONE(a_commit_without_an_answer_that_was_not_stored_is_stored),
        HALVES(a_commit_without_an_answer_that_was_not_stored_is_stored),
        ONE(while_a_commit_is_in_doubt_others_are_turned_away_and_it_is_not_answered),
        HALVES(while_a_commit_is_in_doubt_others_are_turned_away_and_it_is_not_answered),
        ONE(a_deadlock_is_nobodys_affair_but_the_journals),
        HALVES(a_deadlock_is_nobodys_affair_but_the_journals),
        ONE(a_first_claim_is_in_the_commit_of_its_event),
        HALVES(a_first_claim_is_in_the_commit_of_its_event),
        ONE(the_first_claims_of_a_request_that_is_refused_are_given_back),
        HALVES(the_first_claims_of_a_request_that_is_refused_are_given_back),
        ONE(what_is_sent_again_has_the_first_claims_of_before),
        HALVES(what_is_sent_again_has_the_first_claims_of_before),
        ONE(only_who_waits_for_a_lock_is_told_to_come_again),
        HALVES(only_who_waits_for_a_lock_is_told_to_come_again),
        ONE(protocol_2_2_only_the_rows_of_who_is_locked_wait),
        HALVES(protocol_2_2_only_the_rows_of_who_is_locked_wait),
        ONE(stop_commits_what_waits_and_takes_nothing_more),
        HALVES(stop_commits_what_waits_and_takes_nothing_more),
        ONE(requests_are_decided_in_the_order_in_which_they_came),
        HALVES(requests_are_decided_in_the_order_in_which_they_came),
        ONE(a_commit_that_is_sent_again_is_not_overtaken),
        HALVES(a_commit_that_is_sent_again_is_not_overtaken),
        ONE(rows_that_shared_a_commit_with_a_culprit_are_stored),
        HALVES(rows_that_shared_a_commit_with_a_culprit_are_stored),
        ONE(who_waits_for_a_commit_is_told_while_the_next_one_is_under_way),
        ONE(a_stop_while_a_commit_is_under_way_waits_for_it_and_commits_what_came),
        ONE(telling_does_not_keep_the_journal_from_the_next_commit),
        ONE(a_stop_returns_when_everybody_is_told),
        HALVES(who_waits_for_a_commit_is_told_while_the_next_one_is_under_way),
        HALVES(a_stop_while_a_commit_is_under_way_waits_for_it_and_commits_what_came),
        HALVES(the_next_commit_is_sent_before_it_is_told_what_became_of_the_last),
        HALVES(who_was_stored_is_told_even_if_the_next_cannot_be_sent),
        HALVES(a_commit_is_sent_behind_one_that_has_not_landed),
        HALVES(what_is_told_of_a_commit_makes_the_next_one_before_that_has_landed),
        HALVES(few_rows_wait_until_the_commit_before_them_has_landed),
        HALVES(when_the_first_of_two_fails_the_second_is_told_and_the_first_is_mended),
        HALVES(two_commits_without_an_answer_are_resolved_one_after_the_other),
        HALVES(what_cannot_be_sent_behind_another_is_mended_when_that_has_landed),
        HALVES(after_an_io_error_of_two_commits_nobody_waits),
        HALVES(what_can_only_be_committed_whole_is),
    };
#undef ONE
#undef HALVES
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
