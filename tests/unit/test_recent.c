/* Jobs that stay in memory until their first attempt, and requests that are held no longer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/recent.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 3
#define JOBS_MAX 70

static uint8_t last_id;

/* A request of events that were stored, each with so many jobs; held by the test alone. */
static struct igt_request *make_request(size_t event_count, size_t job_count)
{
    struct igt_request *request = igt_request_create();
    assert_non_null(request);
    request->events = igt_arena_array(request->arena, event_count, sizeof *request->events);
    request->verdicts = igt_arena_array(request->arena, event_count, sizeof *request->verdicts);
    request->event_count = event_count;
    for (size_t i = 0; i < event_count; i++) {
        struct ingot_event *event = &request->events[i];
        event->id.bytes[0] = ++last_id;
        event->jobs = igt_arena_array(request->arena, job_count, sizeof *event->jobs);
        event->job_count = job_count;
        for (size_t j = 0; j < job_count; j++)
            event->jobs[j].number = (uint32_t)j;
        request->verdicts[i] = INGOT_STORED;
    }
    return request;
}

static int holders(struct igt_request *request)
{
    return atomic_load(&request->holders);
}

/* Takes a job; 0 if it is not there. What is there must be right, and held for the taker. */
static int take(struct igt_recent *recent, struct igt_request *request, size_t event, uint32_t job)
{
    const struct igt_map_key key = {request->events[event].id, job};
    const struct ingot_job *found_job = NULL;
    struct igt_request *found_request = NULL;
    const struct ingot_event *found = igt_recent_take(recent, &key, &found_job, &found_request);
    if (!found) {
        assert_null(found_job);
        assert_null(found_request);
        return 0;
    }
    assert_ptr_equal(found, &request->events[event]);
    assert_ptr_equal(found_job, &request->events[event].jobs[job]);
    assert_ptr_equal(found_request, request);
    assert_in_range(holders(request), 2, INT32_MAX);
    igt_request_release(found_request);
    return 1;
}

static int set_up(void **state)
{
    *state = igt_recent_create(SIZE_MAX);
    last_id = 0;
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    igt_recent_destroy(*state);
    return 0;
}

static void a_job_is_taken_once(void **state)
{
    struct igt_request *request = make_request(1, 1);
    igt_recent_add(*state, request);
    assert_int_equal(holders(request), 2);
    assert_true(take(*state, request, 0, 0));
    assert_int_equal(holders(request), 1);
    assert_false(take(*state, request, 0, 0));
    igt_request_release(request);
}

static void what_was_never_there_is_not_found(void **state)
{
    struct igt_request *request = make_request(1, 2), *other = make_request(1, 1);
    assert_false(take(*state, request, 0, 0));
    igt_recent_add(*state, request);
    assert_false(take(*state, other, 0, 0));
    request->events[0].job_count = 3;
    assert_false(take(*state, request, 0, 2)); /* an added job: it is not in the request */
    igt_request_release(request);
    igt_request_release(other);
}

/* Of an event that was read, those that are finished are left out. */
static void jobs_are_found_by_their_numbers_and_not_by_their_places(void **state)
{
    struct igt_request *request = make_request(1, 2);
    const ingot_ksuid *id = &request->events[0].id;
    const struct ingot_job *job = NULL;
    struct igt_request *held = NULL;
    request->events[0].jobs[0].number = 1;
    request->events[0].jobs[1].number = 7;
    igt_recent_add(*state, request);
    for (uint32_t number = 0; number < 9; number++) {
        const struct igt_map_key key = {*id, number};
        const struct ingot_event *event = igt_recent_take(*state, &key, &job, &held);
        assert_int_equal(event != NULL, number == 1 || number == 7);
        if (!event)
            continue;
        assert_int_equal(job->number, number);
        igt_request_release(held);
    }
    igt_request_release(request);
}

static void an_event_stays_until_all_its_jobs_are_taken(void **state)
{
    struct igt_request *request = make_request(1, JOBS_MAX);
    igt_recent_add(*state, request);
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        assert_int_equal(holders(request), 2);
        assert_true(take(*state, request, 0, (i * 37) % JOBS_MAX));
    }
    assert_int_equal(holders(request), 1);
    igt_request_release(request);
}

static void a_taken_event_stays_while_its_taker_holds_the_request(void **state)
{
    struct igt_request *request = make_request(1, 1), *held = NULL;
    const struct igt_map_key key = {request->events[0].id, 0};
    const struct ingot_job *job = NULL;
    igt_recent_add(*state, request);
    igt_request_release(request);
    const struct ingot_event *event = igt_recent_take(*state, &key, &job, &held);
    assert_non_null(event);
    assert_ptr_equal(job, event->jobs);
    assert_int_equal(holders(held), 1);
    igt_request_release(held);
}

static void only_events_that_were_stored_are_kept(void **state)
{
    static const enum ingot_verdict others[] = {INGOT_PENDING, INGOT_ALREADY, INGOT_MISMATCH,
                                                INGOT_LOST, INGOT_REFUSED};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct igt_request *request = make_request(EVENTS_MAX, 1);
        request->verdicts[1] = others[i];
        igt_recent_add(*state, request);
        assert_true(take(*state, request, 0, 0));
        assert_false(take(*state, request, 1, 0));
        assert_int_equal(holders(request), 2);
        assert_true(take(*state, request, 2, 0));
        assert_int_equal(holders(request), 1);
        for (size_t j = 0; j < EVENTS_MAX; j++)
            request->verdicts[j] = others[i];
        igt_recent_add(*state, request);
        assert_int_equal(holders(request), 1);
        igt_request_release(request);
    }
}

static void an_event_without_jobs_holds_nothing(void **state)
{
    struct igt_request *request = make_request(1, 0);
    igt_recent_add(*state, request);
    assert_int_equal(holders(request), 1);
    igt_request_release(request);
}

static void the_same_job_again_is_not_kept_twice(void **state)
{
    struct igt_request *request = make_request(1, 1), *again = make_request(2, 1);
    again->events[0].id = request->events[0].id;
    igt_recent_add(*state, request);
    igt_recent_add(*state, request);
    assert_int_equal(holders(request), 2);
    igt_recent_add(*state, again);
    assert_int_equal(holders(again), 2); /* for its other event */
    assert_true(take(*state, request, 0, 0));
    assert_false(take(*state, request, 0, 0));
    assert_true(take(*state, again, 1, 0));
    assert_int_equal(holders(again), 1);
    igt_recent_add(*state, request); /* and it may come again once it is gone */
    assert_true(take(*state, request, 0, 0));
    igt_request_release(request);
    igt_request_release(again);
}

static void beyond_its_bytes_the_oldest_make_room(void **state)
{
    struct igt_request *requests[5];
    (void)state;
    for (size_t i = 0; i < 5; i++)
        requests[i] = make_request(EVENTS_MAX, 2);
    struct igt_recent *recent = igt_recent_create(3 * igt_request_bytes(requests[0]));
    for (size_t i = 0; i < 3; i++)
        igt_recent_add(recent, requests[i]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(holders(requests[i]), 2);
    igt_recent_add(recent, requests[3]);
    assert_int_equal(holders(requests[0]), 1);
    assert_int_equal(holders(requests[1]), 2);
    assert_false(take(recent, requests[0], 0, 0));
    for (size_t i = 0; i < EVENTS_MAX * 2; i++) /* what is taken makes room as well */
        assert_true(take(recent, requests[2], i / 2, i % 2));
    igt_recent_add(recent, requests[4]);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(holders(requests[i]), i == 0 || i == 2 ? 1 : 2);
    assert_true(take(recent, requests[1], 0, 1));
    igt_recent_destroy(recent);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(holders(requests[i]), 1);
        igt_request_release(requests[i]);
    }
}

static void a_request_larger_than_all_the_room_is_not_kept(void **state)
{
    struct igt_request *request = make_request(1, 1);
    (void)state;
    struct igt_recent *recent = igt_recent_create(igt_request_bytes(request) - 1);
    igt_recent_add(recent, request);
    assert_int_equal(holders(request), 1);
    assert_false(take(recent, request, 0, 0));
    igt_recent_destroy(recent);
    igt_request_release(request);
}

static void what_is_left_at_the_end_is_released(void **state)
{
    struct igt_request *requests[3];
    (void)state;
    struct igt_recent *recent = igt_recent_create(SIZE_MAX);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = make_request(EVENTS_MAX, JOBS_MAX);
        igt_recent_add(recent, requests[i]);
    }
    assert_true(take(recent, requests[1], 2, 5));
    igt_recent_destroy(recent);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(holders(requests[i]), 1);
        igt_request_release(requests[i]);
    }
    igt_recent_destroy(NULL);
}

/* Adds and takes at random, beside a plain list of what must be there. */
static void whatever_comes_and_goes_what_is_there_is_found_and_nothing_else(void **state)
{
    struct igt_request *requests[20];
    uint8_t there[20][EVENTS_MAX][4] = {{{0}}};
    unsigned seed = 7;
    for (size_t i = 0; i < 20; i++)
        requests[i] = make_request(EVENTS_MAX, 4);
    for (int i = 0; i < 20000; i++) {
        size_t r = (size_t)rand_r(&seed) % 20, e = (size_t)rand_r(&seed) % EVENTS_MAX;
        uint32_t j = (uint32_t)rand_r(&seed) % 4;
        if (rand_r(&seed) % 8 == 0) {
            igt_recent_add(*state, requests[r]);
            memset(there[r], 1, sizeof there[r]);
        }
        assert_int_equal(take(*state, requests[r], e, j), there[r][e][j]);
        there[r][e][j] = 0;
    }
    for (size_t i = 0; i < 20; i++)
        igt_request_release(requests[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_job_is_taken_once),
        TEST(what_was_never_there_is_not_found),
        TEST(jobs_are_found_by_their_numbers_and_not_by_their_places),
        TEST(an_event_stays_until_all_its_jobs_are_taken),
        TEST(a_taken_event_stays_while_its_taker_holds_the_request),
        TEST(only_events_that_were_stored_are_kept),
        TEST(an_event_without_jobs_holds_nothing),
        TEST(the_same_job_again_is_not_kept_twice),
        TEST(beyond_its_bytes_the_oldest_make_room),
        TEST(a_request_larger_than_all_the_room_is_not_kept),
        TEST(what_is_left_at_the_end_is_released),
        TEST(whatever_comes_and_goes_what_is_there_is_found_and_nothing_else),
    };
#undef TEST
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
