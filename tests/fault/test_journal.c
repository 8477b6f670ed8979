/*
 * The journal over a store that fails as told: an adapter of the test's own,
 * given by Load, that stands in front of "memory".
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
#include <cmocka.h>

extern const struct ingot_adapter ingot_adapter_memory;

/* What the adapter does; guarded by lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int closed_gate;   /* a commit waits in front of the store */
    int waiting;       /* a commit is waiting there */
    unsigned failures; /* so many commits fail with this status */
    enum ingot_status status;
    const char *sqlstate;
    int stored_all_the_same; /* what fails with INGOT_UNKNOWN is stored nevertheless */
    unsigned refusals;       /* so many commits fail with INGOT_RETRY after those */
    unsigned again;          /* commits that said they had been sent before */
    unsigned commits;        /* that were stored */
    size_t largest_events;   /* in one commit */
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct ingot_adapter adapter;

static enum ingot_status faulty_commit(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err)
{
    pthread_mutex_lock(&fault.lock);
    fault.waiting = 1;
    pthread_cond_broadcast(&fault.changed);
    while (fault.closed_gate)
        pthread_cond_wait(&fault.changed, &fault.lock);
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
    if (!status && commit->event_count > fault.largest_events)
        fault.largest_events = commit->event_count;
    fault.commits += !status;
    pthread_mutex_unlock(&fault.lock);
    if (stored)
        assert_int_equal(ingot_adapter_memory.commit(handle, toolkit, commit, err), INGOT_OK);
    if (!status)
        return ingot_adapter_memory.commit(handle, toolkit, commit, err);
    memcpy(err->sqlstate, sqlstate, strlen(sqlstate) + 1);
    return ingot_error_set(err, status, "as told");
}

static void close_gate(int closed)
{
    pthread_mutex_lock(&fault.lock);
    fault.closed_gate = closed;
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
    unsigned decided, stored, rows, failed;
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

static void on_results(void *context, struct igt_results *results)
{
    struct bench *bench = context;
    unsigned stored = 0;
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

static void on_decided(struct igt_request *request, void *context)
{
    struct bench *bench = context;
    if (request->status == INGOT_OK)
        note(bench, &bench->stored, 1);
    note(bench, &bench->decided, 1);
}

static int open_bench(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct ingot_options options = INGOT_OPTIONS_INIT;
    const struct igt_journal_callbacks callbacks = {on_results, on_failed, bench};
    adapter = ingot_adapter_memory;
    adapter.name = "faulty";
    adapter.commit = faulty_commit;
    options.load = &adapter;
    fault.closed_gate = fault.waiting = 0;
    fault.failures = fault.commits = fault.refusals = fault.again = 0;
    fault.sqlstate = NULL;
    fault.stored_all_the_same = 0;
    fault.largest_events = 0;
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    ingot_ksuid_generator_init(&bench->ids);
    assert_int_equal(ingot_store_open(&options, NULL, &bench->store, NULL), INGOT_OK);
    assert_int_equal(igt_journal_start(bench->store, NULL, &callbacks,
                                       &bench->journal, NULL),
                     INGOT_OK);
    *state = bench;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *bench = *state;
    igt_journal_stop(bench->journal);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_gathers_while_a_commit_is_under_way_shares_the_next_one, open_bench, close_bench),
        cmocka_unit_test_setup_teardown(only_the_culprit_of_a_batch_gets_the_error, open_bench,
                                        close_bench),
        cmocka_unit_test_setup_teardown(a_passing_failure_is_answered_at_once_and_rows_are_kept,
                                        open_bench, close_bench),
        cmocka_unit_test_setup_teardown(after_an_io_error_nobody_waits_and_nothing_more_is_taken,
                                        open_bench, close_bench),
        cmocka_unit_test_setup_teardown(a_commit_without_an_answer_that_was_stored_is_found_to_be,
                                        open_bench, close_bench),
        cmocka_unit_test_setup_teardown(a_commit_without_an_answer_that_was_not_stored_is_stored,
                                        open_bench, close_bench),
        cmocka_unit_test_setup_teardown(
            while_a_commit_is_in_doubt_others_are_turned_away_and_it_is_not_answered, open_bench,
            close_bench),
        cmocka_unit_test_setup_teardown(a_deadlock_is_nobodys_affair_but_the_journals, open_bench,
                                        close_bench),
        cmocka_unit_test_setup_teardown(only_who_waits_for_a_lock_is_told_to_come_again, open_bench,
                                        close_bench),
        cmocka_unit_test_setup_teardown(stop_commits_what_waits_and_takes_nothing_more, open_bench,
                                        close_bench),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
