/*
 * The fetcher in front of a store that is watched: what it reads, what it need
 * not read, and that nobody can tell the one from the other.
 * usage: test_fetcher memory|sqlite|postgres
 */
#include "adapter/fixture.h"

#include "core/toolkit.h"
#include "daemon/fetcher.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULTS_MAX 16

/* ---- the adapter, watched ----------------------------------------------- */

static const struct ingot_adapter *inner;
static struct ingot_adapter watched;

/* Guarded by lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int closed_gate, waiting; /* a read waits in front of the store */
    unsigned reads;           /* calls */
    size_t asked;             /* events that the last one asked for */
    unsigned failures;        /* so many fail */
    ingot_ksuid poison;       /* a read of this event fails */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static enum ingot_status watch_events(void *handle, const struct ingot_toolkit *toolkit,
                                      const ingot_ksuid *event_ids, size_t event_count,
                                      enum ingot_detail detail, struct ingot_page *page,
                                      struct ingot_error *err)
{
    pthread_mutex_lock(&watch.lock);
    watch.reads++;
    watch.asked = event_count;
    watch.waiting = 1;
    pthread_cond_broadcast(&watch.changed);
    while (watch.closed_gate)
        pthread_cond_wait(&watch.changed, &watch.lock);
    watch.waiting = 0;
    int fails = watch.failures > 0;
    watch.failures -= watch.failures > 0;
    for (size_t i = 0; i < event_count; i++)
        fails |= ingot_ksuid_compare(&event_ids[i], &watch.poison) == 0;
    pthread_mutex_unlock(&watch.lock);
    if (fails)
        return ingot_error_set(err, INGOT_RETRY, "as told");
    return inner->events(handle, toolkit, event_ids, event_count, detail, page, err);
}

static unsigned reads(void)
{
    pthread_mutex_lock(&watch.lock);
    unsigned count = watch.reads;
    pthread_mutex_unlock(&watch.lock);
    return count;
}

static void set_gate(int closed)
{
    pthread_mutex_lock(&watch.lock);
    watch.closed_gate = closed;
    pthread_cond_broadcast(&watch.changed);
    pthread_mutex_unlock(&watch.lock);
}

static void wait_for_a_read(void)
{
    pthread_mutex_lock(&watch.lock);
    while (!watch.waiting)
        pthread_cond_wait(&watch.changed, &watch.lock);
    pthread_mutex_unlock(&watch.lock);
}

/* ---- a fetcher, and who listens to it ----------------------------------- */

struct bench {
    struct fixture *fixture;
    struct igt_fetcher *fetcher;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct igt_results *results[RESULTS_MAX]; /* in the order in which they came */
    size_t count;
    uint64_t stored;
    enum ingot_status failed;
};

static void on_results(void *context, struct igt_results *results)
{
    struct bench *bench = context;
    pthread_mutex_lock(&bench->lock);
    if (bench->count == RESULTS_MAX)
        abort();
    bench->results[bench->count++] = results;
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

static void on_stored(void *context, uint64_t position)
{
    ((struct bench *)context)->stored = position;
}

static void on_failed(void *context, const struct ingot_error *error)
{
    ((struct bench *)context)->failed = error->status;
}

/* The results that came as the n-th, from 0 on. */
static struct igt_results *wait_for(struct bench *bench, size_t n)
{
    pthread_mutex_lock(&bench->lock);
    while (bench->count <= n)
        pthread_cond_wait(&bench->changed, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
    return bench->results[n];
}

static struct bench *open_bench(struct fixture *fixture, enum igt_keeping keeping)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    const struct igt_journal_callbacks next = {on_stored, on_results, on_failed, bench};
    bench->fixture = fixture;
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    assert_int_equal(igt_fetcher_start(fixture->store, keeping, NULL, &next, &bench->fetcher, NULL),
                     INGOT_OK);
    return bench;
}

static void close_bench(struct bench *bench)
{
    igt_fetcher_stop(bench->fetcher);
    for (size_t i = 0; i < bench->count; i++)
        igt_results_destroy(bench->results[i]);
    pthread_cond_destroy(&bench->changed);
    pthread_mutex_destroy(&bench->lock);
    free(bench);
}

static int set_up(void **state)
{
    if (fixture_set_up(state))
        return -1;
    struct fixture *fixture = *state;
    inner = fixture->store->adapter;
    watched = *inner;
    watched.events = watch_events;
    fixture->store->adapter = &watched;
    watch.reads = watch.failures = 0;
    watch.closed_gate = watch.waiting = 0;
    memset(&watch.poison, 0, sizeof watch.poison);
    return 0;
}

/* ---- requests and results ----------------------------------------------- */

/* A request of one event with such jobs, which the store has; held by the caller. */
static struct igt_request *store_request(struct fixture *fixture, struct ingot_event event,
                                         const struct ingot_job *jobs, size_t job_count)
{
    struct igt_request *request = igt_request_create();
    assert_non_null(request);
    request->events = igt_arena_alloc(request->arena, sizeof *request->events);
    request->verdicts = igt_arena_alloc(request->arena, sizeof *request->verdicts);
    request->event_count = 1;
    *request->events = event;
    request->events->job_count = job_count;
    request->events->jobs = igt_arena_array(request->arena, job_count, sizeof *jobs);
    memcpy(request->events->jobs, jobs, job_count * sizeof *jobs);
    for (size_t i = 0; i < job_count; i++)
        request->events->jobs[i].number = (uint32_t)i;
    struct ingot_commit_event row = {.row = request->events, .jobs_origin = INGOT_JOBS_MADE};
    struct ingot_commit commit = {.events = &row, .event_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    *request->verdicts = row.verdict;
    return request;
}

/* One with jobs for "a", "b", … that has nothing special. */
static struct igt_request *store_plain(struct fixture *fixture, size_t job_count)
{
    static const char *const names[] = {"a", "b", "c"};
    struct ingot_job jobs[3];
    for (size_t i = 0; i < job_count; i++)
        jobs[i] = fixture_job(fixture, names[i], "*");
    return store_request(fixture, fixture_event(fixture, NULL, 0), jobs, job_count);
}

/* Results with room for a request, and so many rows and reads. */
static struct igt_results *make_results(uint64_t position)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_results *results = igt_arena_alloc(arena, sizeof *results);
    results->arena = arena;
    results->position = position;
    results->requests = igt_arena_array(arena, 1, sizeof *results->requests);
    results->rows = igt_arena_array(arena, 8, sizeof *results->rows);
    results->reads = igt_arena_array(arena, 1200, sizeof *results->reads);
    return results;
}

static void add_claim(struct igt_results *results, const ingot_ksuid *event_id, uint32_t job)
{
    struct igt_row_result *result = &results->rows[results->row_count++];
    result->row = (struct ingot_transition){.event_id = *event_id,
                                            .job = job,
                                            .seq = 1,
                                            .state_before = INGOT_STATE_ACKNOWLEDGED,
                                            .state_after = INGOT_STATE_EXECUTING};
    result->verdict = INGOT_STORED;
}

static void tell_of_request(struct bench *bench, struct igt_request *request,
                            enum ingot_commit_sending sending)
{
    struct igt_results *results = make_results(0);
    igt_request_retain(request);
    results->requests[results->request_count++] = request;
    results->sending = sending;
    igt_fetcher_take_results(bench->fetcher, results);
}

static void tell_of_claim(struct bench *bench, const ingot_ksuid *event_id, uint32_t job)
{
    struct igt_results *results = make_results(0);
    add_claim(results, event_id, job);
    igt_fetcher_take_results(bench->fetcher, results);
}

static void expect_body(const struct igt_row_result *result, const char *destination)
{
    assert_null(result->error);
    assert_non_null(result->body.data);
    assert_true(ingot_bytes_equal(result->destination, ingot_bytes_of(destination)));
}

/* ---- the promises ------------------------------------------------------- */

static void a_claim_of_what_was_just_stored_is_delivered_without_a_read(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(*state, 3);
    tell_of_request(bench, request, INGOT_COMMIT_FIRST);
    for (uint32_t i = 0; i < 3; i++)
        tell_of_claim(bench, &request->events->id, i);
    for (uint32_t i = 0; i < 3; i++) {
        const struct igt_row_result *result = wait_for(bench, i + 1)->rows;
        expect_body(result, i == 0 ? "a" : i == 1 ? "b" : "c");
        assert_int_equal(ingot_ksuid_compare(&result->job_id, &request->events->jobs[i].id), 0);
    }
    assert_int_equal(reads(), 0);
    /* A second attempt of the same is read, for it is kept no longer. */
    tell_of_claim(bench, &request->events->id, 1);
    expect_body(wait_for(bench, 4)->rows, "b");
    assert_int_equal(reads(), 1);
    close_bench(bench);
    assert_int_equal(atomic_load(&request->holders), 1);
    igt_request_release(request);
}

static void a_claim_of_what_was_read_ahead_is_delivered_without_a_read(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *first = store_plain(*state, 1), *second = store_plain(*state, 2);
    igt_fetcher_keep(bench->fetcher, first);
    igt_fetcher_keep(bench->fetcher, second);
    tell_of_claim(bench, &second->events->id, 1);
    tell_of_claim(bench, &first->events->id, 0);
    expect_body(wait_for(bench, 0)->rows, "b");
    expect_body(wait_for(bench, 1)->rows, "a");
    assert_int_equal(reads(), 0);
    assert_int_equal(atomic_load(&first->holders), 1); /* all its jobs are under way */
    igt_fetcher_keep(bench->fetcher, first);
    close_bench(bench);
    assert_int_equal(atomic_load(&first->holders), 1);
    assert_int_equal(atomic_load(&second->holders), 1);
    igt_request_release(first);
    igt_request_release(second);
}

/* Says that jobs of a request are being claimed, which are read then: the store does not answer yet. */
static void expect_claims(struct bench *bench, const struct igt_map_key *keys, size_t count)
{
    set_gate(1);
    igt_fetcher_expect(bench->fetcher, keys, count);
    wait_for_a_read();
}

static void what_a_claim_needs_is_read_while_the_claim_is_stored(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(*state, 3);
    const struct igt_map_key keys[] = {{request->events->id, 2}, {request->events->id, 1}};
    expect_claims(bench, keys, 2);
    tell_of_claim(bench, &request->events->id, 1);
    tell_of_claim(bench, &request->events->id, 2);
    set_gate(0);
    expect_body(wait_for(bench, 0)->rows, "b");
    expect_body(wait_for(bench, 1)->rows, "c");
    assert_int_equal(reads(), 1);
    tell_of_claim(bench, &request->events->id, 0); /* which nobody expected */
    expect_body(wait_for(bench, 2)->rows, "a");
    assert_int_equal(reads(), 2);
    close_bench(bench);
    igt_request_release(request);
}

static void of_what_is_claimed_only_what_is_not_there_is_read(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *kept = store_plain(*state, 1), *other = store_plain(*state, 1);
    const struct igt_map_key keys[] = {{kept->events->id, 0}, {other->events->id, 0}};
    tell_of_request(bench, kept, INGOT_COMMIT_FIRST);
    wait_for(bench, 0);
    expect_claims(bench, keys, 2);
    tell_of_claim(bench, &kept->events->id, 0);
    tell_of_claim(bench, &other->events->id, 0);
    set_gate(0);
    expect_body(wait_for(bench, 1)->rows, "a");
    expect_body(wait_for(bench, 2)->rows, "a");
    assert_int_equal(reads(), 1);
    assert_int_equal(watch.asked, 1);
    close_bench(bench);
    igt_request_release(kept);
    igt_request_release(other);
}

static void what_could_not_be_read_for_a_claim_is_read_when_it_is_stored(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(*state, 1);
    const struct igt_map_key key = {request->events->id, 0};
    watch.failures = 1;
    expect_claims(bench, &key, 1);
    tell_of_claim(bench, &request->events->id, 0);
    set_gate(0);
    expect_body(wait_for(bench, 0)->rows, "a");
    assert_int_equal(reads(), 2);
    close_bench(bench);
    igt_request_release(request);
}

static void after_a_commit_that_was_sent_again_nothing_is_kept(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(*state, 1);
    tell_of_request(bench, request, INGOT_COMMIT_AGAIN);
    tell_of_claim(bench, &request->events->id, 0);
    expect_body(wait_for(bench, 1)->rows, "a");
    assert_int_equal(reads(), 1);
    close_bench(bench);
    igt_request_release(request);
}

static void where_others_deliver_nothing_is_kept(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_NONE);
    struct igt_request *request = store_plain(*state, 1);
    tell_of_request(bench, request, INGOT_COMMIT_FIRST);
    igt_results_destroy(wait_for(bench, 0));
    bench->count = 0;
    assert_int_equal(atomic_load(&request->holders), 1);
    close_bench(bench);
    igt_request_release(request);
}

static void what_lost_or_ended_is_neither_read_nor_given_a_body(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(*state, 2);
    struct igt_results *results = make_results(0);
    tell_of_request(bench, request, INGOT_COMMIT_FIRST);
    add_claim(results, &request->events->id, 0);
    results->rows[0].verdict = INGOT_LOST;
    add_claim(results, &request->events->id, 1);
    results->rows[1].row.state_after = INGOT_STATE_SUCCEEDED;
    igt_fetcher_take_results(bench->fetcher, results);
    wait_for(bench, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_null(results->rows[i].body.data);
        assert_null(results->rows[i].error);
    }
    assert_int_equal(reads(), 0);
    close_bench(bench);
    igt_request_release(request);
}

/* Has a fetcher keep an event as a start reads it ahead. */
static void keep_ahead(struct bench *bench, const ingot_ksuid *event_id)
{
    struct ingot_page *page = NULL;
    assert_int_equal(
        ingot_store_events(bench->fixture->store, NULL, event_id, 1, INGOT_DETAIL_ALL, &page, NULL),
        INGOT_OK);
    struct igt_request *request = igt_request_of_page(&page);
    assert_non_null(request);
    assert_null(page);
    igt_fetcher_keep(bench->fetcher, request);
    igt_request_release(request);
}

static void expect_same_body(const struct igt_row_result *result,
                             const struct igt_row_result *other)
{
    assert_int_equal(result->body.len, other->body.len);
    assert_memory_equal(result->body.data, other->body.data, other->body.len);
    assert_int_equal(ingot_ksuid_compare(&result->job_id, &other->job_id), 0);
}

static void fault_i15_bodies_from_memory_and_from_the_store_are_the_same_bytes(void **state)
{
    static const struct {
        const char *name, *context, *data;
        const char *job_event, *job_context, *job_data;
        int64_t sent_us;
    } cases[] = {
        {"n", NULL, NULL, "*", NULL, NULL, INGOT_NO_TIME},
        {"n", "null", "null", "n", NULL, NULL, INGOT_NO_TIME},
        {"n", "{ \"b\" : 1 , \"a\":\t[ ] }", "  17", "*", NULL, NULL, INGOT_NO_TIME},
        {"n", NULL, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9\\u00e4\\u0001\\ud83d\\ude00\"", "n",
         NULL, NULL, INGOT_NO_TIME},
        {"\xc3\xa4\"\\\x7f", "{\"a\":1,\"a\":2}", "1.000000000000000000000000010e-2", "*", NULL,
         NULL, NOON_US + 1},
        {"n", "1", "2", "n", "{\"own\" : \"context\"}", NULL, NOON_US + 999999},
        {"n", "1", "2", "*", NULL, "[\"own data\", \"\xf0\x9f\x92\xa9\"]", NOON_US},
        {"n", NULL, NULL, "*", "null", "null", -1},
        {"n", "1", "2", "n", "null", "null", 0},
        {"n", "1", "2", "*", "\"\"", "\"\\u0001\"", INGOT_KSUID_EPOCH * SECOND_US},
    };
    struct fixture *fixture = *state;
    struct bench *keeping = open_bench(fixture, IGT_KEEPING_RECENT);
    struct bench *reading = open_bench(fixture, IGT_KEEPING_NONE);
    struct bench *ahead = open_bench(fixture, IGT_KEEPING_RECENT);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ingot_job jobs[2] = {fixture_job(fixture, "a\"\xc3\xa4", cases[i].job_event),
                                    fixture_job(fixture, "b", "*")};
        struct ingot_event event = fixture_event(fixture, NULL, 0);
        jobs[0].context = ingot_bytes_of(cases[i].job_context);
        jobs[0].data = ingot_bytes_of(cases[i].job_data);
        event.name = ingot_bytes_of(cases[i].name);
        event.context = ingot_bytes_of(cases[i].context);
        event.data = ingot_bytes_of(cases[i].data);
        event.sent_us = cases[i].sent_us;
        event.received_us = fixture->now_us + 123456;
        struct igt_request *request = store_request(fixture, event, jobs, 2);
        assert_int_equal(*request->verdicts, INGOT_STORED);
        keep_ahead(ahead, &request->events->id);
        unsigned before = reads();
        tell_of_request(keeping, request, INGOT_COMMIT_FIRST);
        struct igt_results *kept = make_results(0), *read = make_results(0);
        struct igt_results *read_ahead = make_results(0);
        for (uint32_t job = 0; job < 2; job++) {
            add_claim(kept, &request->events->id, job);
            add_claim(read, &request->events->id, job);
            add_claim(read_ahead, &request->events->id, job);
        }
        igt_fetcher_take_results(keeping->fetcher, kept);
        igt_fetcher_take_results(ahead->fetcher, read_ahead);
        wait_for(keeping, 1);
        wait_for(ahead, 0);
        assert_int_equal(reads(), before);
        igt_fetcher_take_results(reading->fetcher, read);
        wait_for(reading, 0);
        assert_int_equal(reads(), before + 1);
        for (size_t job = 0; job < 2; job++) {
            expect_body(&kept->rows[job], job ? "b" : "a\"\xc3\xa4");
            expect_body(&read->rows[job], job ? "b" : "a\"\xc3\xa4");
            expect_same_body(&kept->rows[job], &read->rows[job]);
            expect_same_body(&read_ahead->rows[job], &read->rows[job]);
        }
        for (size_t j = 0; j < keeping->count; j++)
            igt_results_destroy(keeping->results[j]);
        igt_results_destroy(read);
        igt_results_destroy(read_ahead);
        keeping->count = reading->count = ahead->count = 0;
        igt_request_release(request);
    }
    close_bench(keeping);
    close_bench(reading);
    close_bench(ahead);
}

static void an_added_job_of_a_kept_event_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = open_bench(fixture, IGT_KEEPING_RECENT);
    struct igt_request *request = store_plain(fixture, 1);
    struct ingot_job added = fixture_job(fixture, "later", "*");
    added.event_id = request->events->id;
    added.data = ingot_bytes_of("\"of the added\"");
    assert_int_equal(ingot_store_add_jobs(fixture->store, &fixture->toolkit, &added, 1, NULL),
                     INGOT_OK);
    tell_of_request(bench, request, INGOT_COMMIT_FIRST);
    unsigned before = reads();
    struct igt_results *results = make_results(0);
    add_claim(results, &request->events->id, 1);
    add_claim(results, &request->events->id, 0);
    igt_fetcher_take_results(bench->fetcher, results);
    wait_for(bench, 1);
    expect_body(&results->rows[0], "later");
    expect_body(&results->rows[1], "a");
    char *body = strndup(results->rows[0].body.data, results->rows[0].body.len);
    assert_non_null(strstr(body, "\"data\":\"of the added\""));
    free(body);
    assert_int_equal(reads(), before + 1);
    close_bench(bench);
    igt_request_release(request);
}

static void results_keep_their_order_whatever_must_be_read_for_them(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_request *kept = store_plain(*state, 1);
    ingot_ksuid cold = fixture_put_one(*state, "cold");
    tell_of_request(bench, kept, INGOT_COMMIT_FIRST);
    wait_for(bench, 0);
    set_gate(1);
    for (uint64_t i = 1; i <= 6; i++) {
        struct igt_results *results = make_results(i);
        if (i % 2)
            add_claim(results, &cold, 0);
        if (i == 4)
            add_claim(results, &kept->events->id, 0);
        igt_fetcher_take_results(bench->fetcher, results);
        if (i == 1)
            wait_for_a_read();
    }
    assert_int_equal(bench->count, 1);
    set_gate(0);
    for (uint64_t i = 1; i <= 6; i++)
        assert_int_equal(wait_for(bench, i)->position, i);
    expect_body(bench->results[4]->rows, "a");
    close_bench(bench);
    igt_request_release(kept);
}

static void what_cannot_be_read_is_noted_and_delays_nothing_else(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    ingot_ksuid good = fixture_put_one(*state, "a"), bad = fixture_put_one(*state, "a");
    ingot_ksuid unknown = fixture_id(*state);
    struct igt_results *results = make_results(0);
    add_claim(results, &good, 0);
    add_claim(results, &bad, 0);
    add_claim(results, &unknown, 0);
    add_claim(results, &good, 1);
    watch.poison = bad;
    igt_fetcher_take_results(bench->fetcher, results);
    wait_for(bench, 0);
    static const enum ingot_status expected[] = {INGOT_OK, INGOT_RETRY, INGOT_NOT_FOUND,
                                                 INGOT_NOT_FOUND};
    expect_body(&results->rows[0], "a");
    for (size_t i = 1; i < 4; i++) {
        assert_null(results->rows[i].body.data);
        assert_non_null(results->rows[i].error);
        assert_int_equal(results->rows[i].error->status, expected[i]);
    }
    close_bench(bench);
}

static void a_read_that_fails_once_is_tried_again_event_by_event(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    ingot_ksuid ids[] = {fixture_put_one(*state, "a"), fixture_put_one(*state, "b")};
    struct igt_results *results = make_results(0);
    add_claim(results, &ids[1], 0);
    add_claim(results, &ids[0], 0);
    watch.failures = 1;
    igt_fetcher_take_results(bench->fetcher, results);
    wait_for(bench, 0);
    expect_body(&results->rows[0], "b");
    expect_body(&results->rows[1], "a");
    assert_int_equal(reads(), 3);
    close_bench(bench);
}

static void jobs_that_are_to_be_read_again_come_as_the_store_has_them(void **state)
{
    struct fixture *fixture = *state;
    struct bench *bench = open_bench(fixture, IGT_KEEPING_RECENT);
    static const enum ingot_state runs[] = {INGOT_STATE_EXECUTING, INGOT_STATE_FAILED,
                                            INGOT_STATE_NONE};
    ingot_ksuid id = fixture_put_one(fixture, "a");
    fixture_walk(fixture, &id, 0, runs);
    struct igt_results *results = make_results(0);
    for (size_t i = 0; i < 1100; i++) /* more than are read at a time, which repeat */
        results->reads[results->read_count++].key =
            (struct igt_map_key){i % 3 == 2 ? fixture_id(fixture) : id, i % 3 == 1 ? 7 : 0};
    igt_fetcher_take_results(bench->fetcher, results);
    wait_for(bench, 0);
    for (size_t i = 0; i < results->read_count; i++) {
        const struct igt_read_result *read = &results->reads[i];
        assert_int_equal(read->status, i % 3 ? INGOT_NOT_FOUND : INGOT_OK);
        if (i % 3)
            assert_null(read->job);
        else
            assert_int_equal(read->job->latest.state_after, INGOT_STATE_FAILED);
    }
    assert_true(ingot_bytes_equal(results->reads[0].job->destination, ingot_bytes_of("a")));
    close_bench(bench);
}

static void a_job_that_cannot_be_read_now_says_so_and_is_not_gone(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    struct igt_results *results = make_results(0);
    results->reads[results->read_count++].key =
        (struct igt_map_key){fixture_put_one(*state, "a"), 0};
    watch.failures = 1;
    igt_fetcher_take_results(bench->fetcher, results);
    assert_int_equal(wait_for(bench, 0)->reads[0].status, INGOT_RETRY);
    assert_null(results->reads[0].job);
    close_bench(bench);
}

static void positions_and_failures_overtake_what_is_being_read(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    ingot_ksuid id = fixture_put_one(*state, "a");
    struct ingot_error error = {.status = INGOT_IO};
    set_gate(1);
    tell_of_claim(bench, &id, 0);
    wait_for_a_read();
    igt_fetcher_take_stored(bench->fetcher, 42);
    igt_fetcher_take_failure(bench->fetcher, &error);
    assert_int_equal(bench->stored, 42);
    assert_int_equal(bench->failed, INGOT_IO);
    assert_int_equal(bench->count, 0);
    set_gate(0);
    close_bench(bench);
}

static void *stop(void *context)
{
    struct bench *bench = context;
    igt_fetcher_stop(bench->fetcher);
    return NULL;
}

/* What waits at that moment may be dropped or handed on; nothing of it may be held after. */
static void a_stop_with_results_waiting_leaves_nothing_behind(void **state)
{
    struct bench *bench = open_bench(*state, IGT_KEEPING_RECENT);
    ingot_ksuid id = fixture_put_one(*state, "a");
    struct igt_request *requests[5];
    pthread_t stopper;
    for (size_t i = 0; i < 5; i++)
        requests[i] = store_plain(*state, 1);
    tell_of_request(bench, requests[0], INGOT_COMMIT_FIRST);
    set_gate(1);
    tell_of_claim(bench, &id, 0);
    wait_for_a_read();
    for (size_t i = 1; i < 5; i++) {
        tell_of_request(bench, requests[i], INGOT_COMMIT_FIRST);
        tell_of_claim(bench, &id, 0);
    }
    assert_int_equal(pthread_create(&stopper, NULL, stop, bench), 0);
    set_gate(0);
    pthread_join(stopper, NULL);
    bench->fetcher = NULL;
    close_bench(bench);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(atomic_load(&requests[i]->holders), 1);
        igt_request_release(requests[i]);
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_claim_of_what_was_just_stored_is_delivered_without_a_read),
        TEST(a_claim_of_what_was_read_ahead_is_delivered_without_a_read),
        TEST(what_a_claim_needs_is_read_while_the_claim_is_stored),
        TEST(of_what_is_claimed_only_what_is_not_there_is_read),
        TEST(what_could_not_be_read_for_a_claim_is_read_when_it_is_stored),
        TEST(after_a_commit_that_was_sent_again_nothing_is_kept),
        TEST(where_others_deliver_nothing_is_kept),
        TEST(what_lost_or_ended_is_neither_read_nor_given_a_body),
        TEST(fault_i15_bodies_from_memory_and_from_the_store_are_the_same_bytes),
        TEST(an_added_job_of_a_kept_event_is_read),
        TEST(results_keep_their_order_whatever_must_be_read_for_them),
        TEST(what_cannot_be_read_is_noted_and_delays_nothing_else),
        TEST(a_read_that_fails_once_is_tried_again_event_by_event),
        TEST(jobs_that_are_to_be_read_again_come_as_the_store_has_them),
        TEST(a_job_that_cannot_be_read_now_says_so_and_is_not_gone),
        TEST(positions_and_failures_overtake_what_is_being_read),
        TEST(a_stop_with_results_waiting_leaves_nothing_behind),
    };
#undef TEST
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fetcher", tests, NULL, NULL);
}
