/*
 * The scheduler in a small world: a memory store, a clock that is told, and
 * destinations that do what the test says. The code under test is the one that
 * runs in the daemon. usage: test_scheduler [SEED]
 */
#include "core/limits.h"
#include "core/state.h"
#include "scheduler/scheduler.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define BEGIN_US (INT64_C(1700000000) * SECOND)
#define RUNNING_MAX 512

static const struct ingot_bytes nothing = {NULL, 0};
static uint64_t seed = 1;

struct world {
    int64_t now_us;
    uint64_t random;
    struct ingot_toolkit toolkit;
    struct ingot_store *store;
    struct igt_scheduler *scheduler;
    struct ingot_ksuid_generator ids;
    ingot_ksuid owner;
    struct igt_rows rows;
    struct ingot_transition running[RUNNING_MAX]; /* claims whose attempts run */
    size_t running_count;
    int64_t wake_us;
};

static int64_t world_now(void *context)
{
    return ((struct world *)context)->now_us;
}

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void world_random(void *context, void *out, size_t size)
{
    struct world *world = context;
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)next_random(&world->random);
}

/* Every second, five retries, no jitter: due times that a test can name. */
static struct igt_policy steady(void)
{
    struct igt_policy policy = igt_policy_default;
    policy.schedule.kind = IGT_SCHEDULE_EVERY;
    policy.schedule.every_us = SECOND;
    policy.retries_max = 5;
    policy.jitter = 0;
    return policy;
}

static void start_scheduler(struct world *world, const struct igt_plan *plans, size_t count)
{
    ingot_ksuid_generate(&world->ids, &world->toolkit, &world->owner);
    world->scheduler = igt_scheduler_create(plans, count, &world->owner, &world->toolkit);
    assert_non_null(world->scheduler);
    world->running_count = 0;
}

static void open_world(struct world *world, const struct igt_plan *plans, size_t count)
{
    struct ingot_options options = INGOT_OPTIONS_INIT;
    memset(world, 0, sizeof *world);
    world->now_us = BEGIN_US;
    world->random = seed;
    world->toolkit =
        (struct ingot_toolkit){.context = world, .now_us = world_now, .random = world_random};
    options.from = "memory";
    assert_int_equal(ingot_store_open(&options, &world->toolkit, &world->store, NULL), INGOT_OK);
    ingot_ksuid_generator_init(&world->ids);
    start_scheduler(world, plans, count);
}

static void close_world(struct world *world)
{
    struct ingot_verification verification;
    assert_int_equal(ingot_store_verify(world->store, NULL, NULL, NULL, &verification, NULL),
                     INGOT_OK);
    assert_int_equal(verification.violations, 0);
    igt_rows_fini(&world->rows);
    igt_scheduler_destroy(world->scheduler);
    ingot_store_close(world->store);
}

/* Stores an event with one job for each destination, and shows it to the scheduler. */
static ingot_ksuid emit(struct world *world, const char *const *destinations, size_t count)
{
    struct ingot_job jobs[4] = {0};
    struct ingot_event event = {.source = ingot_bytes_of("test"),
                                .name = ingot_bytes_of("happened"),
                                .sent_us = INGOT_NO_TIME,
                                .received_us = world->now_us,
                                .jobs = jobs,
                                .job_count = count};
    struct ingot_queue queue = {&event, 1};
    struct ingot_page *page;
    ingot_ksuid_generate(&world->ids, &world->toolkit, &event.id);
    for (size_t i = 0; i < count; i++) {
        jobs[i].destination = ingot_bytes_of(destinations[i]);
        jobs[i].event = ingot_bytes_of("happened");
        jobs[i].due_us = INGOT_NO_TIME;
        ingot_ksuid_generate_for(&world->ids, &world->toolkit, &event.id, &jobs[i].id);
    }
    assert_int_equal(ingot_store_insert_queue(world->store, &world->toolkit, &queue, NULL, NULL),
                     INGOT_OK);
    assert_int_equal(ingot_store_event(world->store, NULL, &event.id, &page, NULL), INGOT_OK);
    for (size_t i = 0; i < count; i++)
        igt_scheduler_sight(world->scheduler, &page->events[0].jobs[i], world->now_us);
    ingot_page_destroy(page);
    return event.id;
}

static struct ingot_job read_job(struct world *world, const ingot_ksuid *event_id, uint32_t number,
                                 struct ingot_page **ret_page)
{
    assert_int_equal(ingot_store_event(world->store, NULL, event_id, ret_page, NULL), INGOT_OK);
    assert_in_range(number, 0, (*ret_page)->job_count - 1);
    return (*ret_page)->events[0].jobs[number];
}

static struct ingot_transition latest(struct world *world, const ingot_ksuid *event_id)
{
    struct ingot_page *page;
    struct ingot_transition transition = read_job(world, event_id, 0, &page).latest;
    ingot_page_destroy(page);
    transition.error = nothing;
    return transition;
}

/* Commits what the scheduler wants, until it wants nothing more at this instant. */
static void turn(struct world *world)
{
    for (;;) {
        struct ingot_commit commit = {0};
        world->wake_us = igt_scheduler_plan(world->scheduler, world->now_us, &world->rows);
        if (world->rows.count == 0)
            return;
        struct igt_rows rows = world->rows;
        memset(&world->rows, 0, sizeof world->rows);
        commit.transitions = rows.rows;
        commit.transition_count = rows.count;
        assert_int_equal(ingot_store_commit(world->store, &world->toolkit, &commit, NULL),
                         INGOT_OK);
        for (size_t i = 0; i < rows.count; i++) {
            const struct ingot_transition *row = &rows.rows[i].row;
            enum igt_next next = igt_scheduler_verdict(world->scheduler, row, rows.rows[i].verdict,
                                                       world->now_us, &world->rows);
            if (next == IGT_NEXT_DELIVER) {
                assert_in_range(world->running_count, 0, RUNNING_MAX - 1);
                world->running[world->running_count++] = *row;
            } else if (next == IGT_NEXT_READ) {
                struct igt_map_key key = {row->event_id, row->job};
                struct ingot_page *page;
                struct ingot_job job = read_job(world, &row->event_id, row->job, &page);
                igt_scheduler_mend(world->scheduler, &key, &job, world->now_us);
                ingot_page_destroy(page);
            }
        }
        igt_rows_fini(&rows);
    }
}

/* Ends the attempt at a place of the list of those that run. */
static struct ingot_transition finish(struct world *world, size_t place, enum igt_report report,
                                      int64_t retry_after_us)
{
    struct ingot_transition claim = world->running[place];
    struct igt_map_key key = {claim.event_id, claim.job};
    struct ingot_bytes error =
        report == IGT_REPORT_FAILED ? ingot_bytes_of("{\"message\":\"no\"}") : nothing;
    world->running[place] = world->running[--world->running_count];
    igt_scheduler_report(world->scheduler, &key, report, retry_after_us, error, world->now_us,
                         &world->rows);
    turn(world);
    return claim;
}

static const char *const one[] = {"a"};
static const char *const both[] = {"a", "b"};

static struct igt_plan plan(const char *name, const struct igt_policy *policy, uint32_t concurrency)
{
    return (struct igt_plan){
        .name = ingot_bytes_of(name), .concurrency = concurrency, .policies = policy};
}

/* ---- the promises ------------------------------------------------------- */

static void row_15_a_claim_is_stored_before_the_attempt_and_a_success_is_two_rows(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    assert_int_equal(world.running_count, 1);
    assert_int_equal(world.running[0].attempt, 1);
    finish(&world, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    struct ingot_transition end = latest(&world, &id);
    assert_int_equal(end.state_after, INGOT_STATE_SUCCEEDED);
    assert_int_equal(end.seq, 2);
    assert_int_equal(igt_scheduler_numbers(world.scheduler).live, 0);
    assert_true(world.wake_us == INT64_MAX);
    close_world(&world);
}

static void row_17_a_failure_is_the_fact_and_the_decision_and_waits_for_its_due_time(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    struct ingot_transition end = latest(&world, &id);
    assert_int_equal(end.state_before, INGOT_STATE_FAILED);
    assert_int_equal(end.state_after, INGOT_STATE_AWAITING);
    assert_int_equal(end.seq, 3);
    assert_true(end.due_us == BEGIN_US + SECOND);
    assert_true(world.wake_us == BEGIN_US + SECOND);
    world.now_us += SECOND - 1;
    turn(&world);
    assert_int_equal(world.running_count, 0);
    world.now_us += 1;
    turn(&world);
    assert_int_equal(world.running_count, 1);
    assert_int_equal(world.running[0].attempt, 2);
    close_world(&world);
}

static void row_76_after_the_last_retry_the_job_is_discarded(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    unsigned runs = 0;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    for (turn(&world); world.running_count; world.now_us += SECOND, turn(&world)) {
        finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
        runs++;
    }
    assert_int_equal(runs, 6); /* retries exclude the first run (SEED row 76) */
    struct ingot_transition end = latest(&world, &id);
    assert_int_equal(end.state_before, INGOT_STATE_EXECUTING);
    assert_int_equal(end.state_after, INGOT_STATE_DISCARDED);
    close_world(&world);
}

static void row_18_without_retries_the_first_failure_discards(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    policy.retries_max = 0;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(latest(&world, &id).state_after, INGOT_STATE_DISCARDED);
    close_world(&world);
}

static void a_give_back_keeps_its_attempt_and_uses_up_no_retry(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    for (int i = 0; i < 73; i++) { /* 73 restarts discard nothing (PROTOCOL 1.8) */
        turn(&world);
        assert_int_equal(world.running_count, 1);
        assert_int_equal(world.running[0].attempt, 1);
        finish(&world, 0, IGT_REPORT_GIVEN_BACK, INGOT_NO_TIME);
    }
    assert_int_equal(world.running_count, 1);
    finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(latest(&world, &id).state_after, INGOT_STATE_AWAITING);
    close_world(&world);
}

static void row_2_a_failing_destination_delays_no_other(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 2), plan("b", &policy, 2)};
    struct world world;
    (void)state;
    open_world(&world, plans, 2);
    for (int i = 0; i < 50; i++)
        emit(&world, both, 2);
    turn(&world);
    /* a never answers: its two attempts hang */
    for (int i = 0; i < 50; i++) {
        size_t place = 0;
        while (place < world.running_count && world.running[place].job == 0)
            place++;
        assert_true(place < world.running_count);
        finish(&world, place, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    }
    assert_int_equal(igt_scheduler_numbers(world.scheduler).succeeded, 50);
    assert_int_equal(world.running_count, 2);
    close_world(&world);
}

static void no_more_attempts_run_at_once_than_the_destination_allows(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 3)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    for (int i = 0; i < 10; i++)
        emit(&world, one, 1);
    turn(&world);
    assert_int_equal(world.running_count, 3);
    finish(&world, 1, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(world.running_count, 3);
    close_world(&world);
}

static void a_destination_that_asks_for_a_pause_gets_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    emit(&world, one, 1);
    turn(&world);
    finish(&world, 0, IGT_REPORT_FAILED, BEGIN_US + 30 * SECOND);
    assert_true(latest(&world, &id).due_us >= BEGIN_US + 30 * SECOND);
    assert_int_equal(world.running_count, 0); /* the other job waits too */
    assert_true(world.wake_us == BEGIN_US + 30 * SECOND);
    world.now_us = BEGIN_US + 30 * SECOND;
    turn(&world);
    assert_int_equal(world.running_count, 1);
    close_world(&world);
}

static void a_pause_of_ten_years_is_clamped(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    finish(&world, 0, IGT_REPORT_FAILED, BEGIN_US + 3650 * 86400 * SECOND);
    assert_true(latest(&world, &id).due_us <= BEGIN_US + IGT_RETRY_AFTER_US_MAX);
    assert_true(world.wake_us <= BEGIN_US + IGT_RETRY_AFTER_US_MAX);
    close_world(&world);
}

/* Somebody else claims the job behind the scheduler's back. */
static struct ingot_transition rival_claims(struct world *world, const ingot_ksuid *event_id)
{
    struct ingot_commit_transition row = {.hangs_on = INGOT_ALONE};
    struct ingot_commit commit = {.transitions = &row, .transition_count = 1};
    struct ingot_transition before = latest(world, event_id);
    row.row = (struct ingot_transition){.event_id = *event_id,
                                        .seq = before.seq + 1,
                                        .attempt = (uint16_t)(before.attempt + 1),
                                        .state_before = before.state_after,
                                        .state_after = INGOT_STATE_EXECUTING,
                                        .due_us = INGOT_NO_TIME};
    ingot_ksuid_generate(&world->ids, &world->toolkit, &row.row.owner);
    assert_int_equal(ingot_store_commit(world->store, &world->toolkit, &commit, NULL), INGOT_OK);
    assert_int_equal(row.verdict, INGOT_STORED);
    return row.row;
}

static void a_claim_that_lost_is_mended_from_the_chain(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    rival_claims(&world, &id);
    turn(&world);
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(world.scheduler);
    assert_int_equal(numbers.claims_lost, 1);
    /* its owner is held to be dead, so it is taken over with the next attempt */
    assert_int_equal(world.running_count, 1);
    assert_int_equal(world.running[0].attempt, 2);
    assert_int_equal(world.running[0].seq, 2);
    close_world(&world);
}

static void the_outcome_of_a_zombie_is_not_stored_nor_what_hangs_on_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    struct ingot_transition takeover = rival_claims(&world, &id);
    finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    struct ingot_page *page;
    assert_int_equal(ingot_store_history(world.store, NULL, &id, 0, &page, NULL), INGOT_OK);
    assert_memory_equal(&page->transitions[2].owner, &takeover.owner, sizeof takeover.owner);
    for (size_t i = 0; i < page->transition_count; i++)
        assert_int_not_equal(page->transitions[i].state_after, INGOT_STATE_FAILED);
    ingot_page_destroy(page);
    close_world(&world);
}

static void row_4_a_job_whose_owner_died_on_its_last_attempt_is_discarded(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    struct ingot_page *page;
    (void)state;
    policy.retries_max = 2;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    unsigned runs = 0;
    for (int restart = 0; restart < 10; restart++) { /* each run kills its worker (F31) */
        turn(&world);
        runs += (unsigned)world.running_count;
        igt_scheduler_destroy(world.scheduler);
        start_scheduler(&world, plans, 1);
        struct ingot_job job = read_job(&world, &id, 0, &page);
        igt_scheduler_sight(world.scheduler, &job, world.now_us);
        ingot_page_destroy(page);
    }
    assert_int_equal(runs, 3);
    assert_int_equal(latest(&world, &id).state_after, INGOT_STATE_DISCARDED);
    close_world(&world);
}

static void a_stopped_scheduler_claims_nothing_and_gives_back_what_was_under_way(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 8)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    igt_scheduler_plan(world.scheduler, world.now_us, &world.rows);
    assert_int_equal(world.rows.count, 1); /* the claim is on its way */
    igt_scheduler_stop(world.scheduler);
    assert_false(igt_scheduler_is_idle(world.scheduler));
    turn(&world);
    assert_int_equal(world.running_count, 0);
    assert_true(igt_scheduler_is_idle(world.scheduler));
    struct ingot_transition end = latest(&world, &id);
    assert_int_equal(end.state_before, INGOT_STATE_EXECUTING);
    assert_int_equal(end.state_after, INGOT_STATE_AWAITING);
    close_world(&world);
}

static void row_78_an_event_has_its_own_policy_and_else_the_destinations(void **state)
{
    struct igt_policy policies[2] = {steady(), steady()};
    struct ingot_bytes events[] = {ingot_bytes_of("happened")};
    struct igt_plan plans[] = {plan("a", policies, 1), plan("b", policies, 1)};
    struct world world;
    (void)state;
    policies[1].schedule.every_us = 7 * SECOND;
    plans[0].events = events;
    plans[0].event_count = 1;
    open_world(&world, plans, 2);
    emit(&world, both, 2);
    turn(&world);
    finish(&world, world.running[0].job == 0 ? 0 : 1, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_true(world.wake_us == BEGIN_US + 7 * SECOND);
    finish(&world, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_true(world.wake_us == BEGIN_US + SECOND);
    close_world(&world);
}

static void a_first_attempt_on_schedule_waits_for_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 1)};
    struct world world;
    (void)state;
    policy.first = IGT_FIRST_ON_SCHEDULE;
    policy.schedule.every_us = 10 * SECOND;
    open_world(&world, plans, 1);
    emit(&world, one, 1);
    turn(&world);
    assert_int_equal(world.running_count, 0);
    assert_true(world.wake_us > world.now_us);
    world.now_us = world.wake_us;
    turn(&world);
    assert_int_equal(world.running_count, 1);
    close_world(&world);
}

static void jobs_of_unknown_destinations_are_left_alone(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("b", &policy, 1)};
    struct world world;
    (void)state;
    open_world(&world, plans, 1);
    ingot_ksuid id = emit(&world, one, 1);
    turn(&world);
    assert_int_equal(world.running_count, 0);
    assert_int_equal(igt_scheduler_numbers(world.scheduler).nobodys, 1);
    assert_int_equal(latest(&world, &id).state_after, INGOT_STATE_ACKNOWLEDGED);
    close_world(&world);
}

/* Shows a scheduler that starts what is live in the store. */
static void recover(struct world *world)
{
    const struct ingot_where where = {.status_notin = INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED) |
                                                      INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
                                      .limit = INGOT_NO_LIMIT};
    struct ingot_page *page;
    assert_int_equal(ingot_store_find(world->store, NULL, &where, &page, NULL), INGOT_OK);
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            igt_scheduler_sight(world->scheduler, &page->events[i].jobs[j], world->now_us);
    ingot_page_destroy(page);
}

/* Hours of virtual time with random outcomes, rivals, pauses and crashes. */
static void row_3_whatever_happens_every_job_ends_and_every_chain_is_right(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {plan("a", &policy, 5), plan("b", &policy, 2)};
    struct world world;
    struct ingot_verification verification;
    (void)state;
    policy.jitter = 0.5;
    policy.backoff = 2;
    print_message("# seed %llu\n", (unsigned long long)seed);
    open_world(&world, plans, 2);
    uint64_t dice = seed * 77;
    for (int step = 0; step < 4000; step++) {
        uint64_t roll = next_random(&dice) % 100;
        if (roll < 15 && step < 3000) {
            emit(&world, both, 1 + next_random(&dice) % 2);
        } else if (roll < 70 && world.running_count) {
            size_t place = next_random(&dice) % world.running_count;
            enum igt_report report =
                next_random(&dice) % 3 ? IGT_REPORT_FAILED : IGT_REPORT_SUCCEEDED;
            int64_t pause_us = next_random(&dice) % 20 ? INGOT_NO_TIME : world.now_us + 3 * SECOND;
            if (next_random(&dice) % 15 == 0)
                report = IGT_REPORT_GIVEN_BACK;
            else if (next_random(&dice) % 15 == 0 && world.running[place].job == 0)
                rival_claims(&world, &world.running[place].event_id);
            finish(&world, place, report, pause_us);
        } else if (roll < 72) { /* a crash: all that memory held is gone */
            igt_scheduler_destroy(world.scheduler);
            igt_rows_fini(&world.rows);
            start_scheduler(&world, plans, 2);
            recover(&world);
        } else {
            world.now_us += (int64_t)(next_random(&dice) % (3 * SECOND));
        }
        turn(&world);
    }
    for (int i = 0; i < 100000 && igt_scheduler_numbers(world.scheduler).live; i++) {
        if (world.running_count)
            finish(&world, 0, i % 3 ? IGT_REPORT_SUCCEEDED : IGT_REPORT_FAILED, INGOT_NO_TIME);
        else if (world.wake_us != INT64_MAX)
            world.now_us = world.wake_us;
        turn(&world);
    }
    assert_int_equal(ingot_store_verify(world.store, NULL, NULL, NULL, &verification, NULL),
                     INGOT_OK);
    assert_int_equal(verification.violations, 0);
    assert_int_equal(verification.live, 0);
    assert_true(verification.jobs > 300);
    close_world(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_15_a_claim_is_stored_before_the_attempt_and_a_success_is_two_rows),
        cmocka_unit_test(row_17_a_failure_is_the_fact_and_the_decision_and_waits_for_its_due_time),
        cmocka_unit_test(row_76_after_the_last_retry_the_job_is_discarded),
        cmocka_unit_test(row_18_without_retries_the_first_failure_discards),
        cmocka_unit_test(a_give_back_keeps_its_attempt_and_uses_up_no_retry),
        cmocka_unit_test(row_2_a_failing_destination_delays_no_other),
        cmocka_unit_test(no_more_attempts_run_at_once_than_the_destination_allows),
        cmocka_unit_test(a_destination_that_asks_for_a_pause_gets_it),
        cmocka_unit_test(a_pause_of_ten_years_is_clamped),
        cmocka_unit_test(a_claim_that_lost_is_mended_from_the_chain),
        cmocka_unit_test(the_outcome_of_a_zombie_is_not_stored_nor_what_hangs_on_it),
        cmocka_unit_test(row_4_a_job_whose_owner_died_on_its_last_attempt_is_discarded),
        cmocka_unit_test(a_stopped_scheduler_claims_nothing_and_gives_back_what_was_under_way),
        cmocka_unit_test(row_78_an_event_has_its_own_policy_and_else_the_destinations),
        cmocka_unit_test(a_first_attempt_on_schedule_waits_for_it),
        cmocka_unit_test(jobs_of_unknown_destinations_are_left_alone),
        cmocka_unit_test(row_3_whatever_happens_every_job_ends_and_every_chain_is_right),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
