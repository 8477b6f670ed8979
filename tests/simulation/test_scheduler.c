/*
 * The scheduler in a small world: a memory store, a clock that is told, and
 * destinations that do what the test says. The code under test is the one that
 * runs in the daemon. usage: test_scheduler [SEED]
 */
#include "world.h"

#include "core/limits.h"

#include <ingot/adapter.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LEASE (30 * SECOND)
#define RUNNING_MAX 512

static const struct ingot_bytes nothing = {NULL, 0};
static uint64_t seed = 1;

struct bench {
    struct world world;
    struct igt_scheduler *scheduler;
    ingot_ksuid owner;
    struct igt_rows rows;
    struct ingot_transition running[RUNNING_MAX]; /* claims whose attempts run */
    size_t running_count;
    size_t read_count;   /* reads that were asked for and answered */
    size_t notice_count; /* rows that were stored with a notice */
    int64_t wake_us;
};

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

static void start_scheduler(struct bench *bench, const struct igt_plan *plans, size_t count,
                            int64_t lease_us)
{
    bench->owner = world_id(&bench->world);
    bench->scheduler =
        igt_scheduler_create(plans, count, &bench->owner, lease_us, &bench->world.toolkit);
    assert_non_null(bench->scheduler);
    bench->running_count = 0;
}

/* The scheduler is alone with its store. */
static void open_bench(struct bench *bench, const struct igt_plan *plans, size_t count)
{
    memset(bench, 0, sizeof *bench);
    world_open(&bench->world, seed);
    start_scheduler(bench, plans, count, 0);
}

/* The scheduler is one of several, and works all lanes. */
static void open_shared_bench(struct bench *bench, const struct igt_plan *plans, size_t count)
{
    const struct ingot_lanes all = igt_lanes_all();
    memset(bench, 0, sizeof *bench);
    world_open(&bench->world, seed);
    start_scheduler(bench, plans, count, LEASE);
    igt_scheduler_set_lanes(bench->scheduler, &all);
}

static void close_bench(struct bench *bench)
{
    igt_rows_fini(&bench->rows);
    igt_scheduler_destroy(bench->scheduler);
    world_close(&bench->world);
}

/* Shows the scheduler a job as it is in the store. */
static enum igt_sight sight(struct bench *bench, const ingot_ksuid *event_id, uint32_t number)
{
    struct ingot_page *page = world_event(&bench->world, event_id);
    enum igt_sight taken =
        igt_scheduler_sight(bench->scheduler, &page->events[0].jobs[number], bench->world.now_us);
    ingot_page_destroy(page);
    return taken;
}

/* Stores an event with one job for each destination, and shows it to the scheduler. */
static ingot_ksuid emit(struct bench *bench, const char *const *destinations, size_t count)
{
    ingot_ksuid id = world_emit(&bench->world, destinations, count, INGOT_NO_TIME);
    for (uint32_t i = 0; i < count; i++)
        sight(bench, &id, i);
    return id;
}

static struct ingot_transition latest(struct bench *bench, const ingot_ksuid *event_id)
{
    struct ingot_page *page = world_event(&bench->world, event_id);
    struct ingot_transition transition = page->events[0].jobs[0].latest;
    ingot_page_destroy(page);
    transition.error = nothing;
    return transition;
}

/* Answers what the scheduler wants to read; returns how much that was. */
static size_t answer_reads(struct bench *bench)
{
    struct igt_rows rows = bench->rows;
    bench->rows.reads = NULL;
    bench->rows.read_count = bench->rows.read_size = 0;
    for (size_t i = 0; i < rows.read_count; i++) {
        const struct igt_map_key *key = &rows.reads[i];
        struct ingot_page *page = world_event(&bench->world, &key->event_id);
        igt_scheduler_mend(bench->scheduler, key, &page->events[0].jobs[key->job],
                           bench->world.now_us);
        ingot_page_destroy(page);
    }
    bench->read_count += rows.read_count;
    free(rows.reads);
    return rows.read_count;
}

/* Commits what the scheduler wants to write; returns how much that was. */
static size_t commit_rows(struct bench *bench)
{
    struct igt_rows rows = bench->rows;
    bench->rows.rows = NULL;
    bench->rows.count = bench->rows.size = 0;
    world_commit(&bench->world, rows.rows, rows.count, INGOT_COMMIT_FIRST);
    for (size_t i = 0; i < rows.count; i++) {
        const struct ingot_commit_transition *stored = &rows.rows[i];
        bench->notice_count +=
            stored->verdict == INGOT_STORED && stored->notice == INGOT_NOTICE_SENT;
        if (igt_scheduler_verdict(bench->scheduler, &stored->row, stored->verdict,
                                  bench->world.now_us, &bench->rows) == IGT_NEXT_DELIVER) {
            assert_in_range(bench->running_count, 0, RUNNING_MAX - 1);
            bench->running[bench->running_count++] = stored->row;
        }
    }
    free(rows.rows);
    return rows.count;
}

/* Does what the scheduler wants, until it wants nothing more at this instant. */
static void turn(struct bench *bench)
{
    size_t done;
    do {
        bench->wake_us = igt_scheduler_plan(bench->scheduler, bench->world.now_us, &bench->rows);
        done = answer_reads(bench);
        done += commit_rows(bench);
    } while (done);
}

/* Ends the attempt at a place of the list of those that run. */
static struct ingot_transition finish(struct bench *bench, size_t place, enum igt_report report,
                                      int64_t retry_after_us)
{
    struct ingot_transition claim = bench->running[place];
    struct igt_map_key key = {claim.event_id, claim.job};
    struct ingot_bytes error =
        report == IGT_REPORT_FAILED ? ingot_bytes_of("{\"message\":\"no\"}") : nothing;
    bench->running[place] = bench->running[--bench->running_count];
    igt_scheduler_report(bench->scheduler, &key, report, retry_after_us, error, bench->world.now_us,
                         &bench->rows);
    turn(bench);
    return claim;
}

static const char *const one[] = {"a"};
static const char *const both[] = {"a", "b"};

/* ---- the promises ------------------------------------------------------- */

static void row_15_a_claim_is_stored_before_the_attempt_and_a_success_is_two_rows(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    struct ingot_transition end = latest(&bench, &id);
    assert_int_equal(end.state_after, INGOT_STATE_SUCCEEDED);
    assert_int_equal(end.seq, 2);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).live, 0);
    assert_true(bench.wake_us == INT64_MAX);
    close_bench(&bench);
}

static void row_17_a_failure_is_the_fact_and_the_decision_and_waits_for_its_due_time(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    struct ingot_transition end = latest(&bench, &id);
    assert_int_equal(end.state_before, INGOT_STATE_FAILED);
    assert_int_equal(end.state_after, INGOT_STATE_AWAITING);
    assert_int_equal(end.seq, 3);
    assert_true(end.due_us == BEGIN_US + SECOND);
    assert_true(bench.wake_us == BEGIN_US + SECOND);
    bench.world.now_us += SECOND - 1;
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    bench.world.now_us += 1;
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 2);
    close_bench(&bench);
}

static void row_76_after_the_last_retry_the_job_is_discarded(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    unsigned runs = 0;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    for (turn(&bench); bench.running_count; bench.world.now_us += SECOND, turn(&bench)) {
        finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
        runs++;
    }
    assert_int_equal(runs, 6); /* retries exclude the first run (SEED row 76) */
    struct ingot_transition end = latest(&bench, &id);
    assert_int_equal(end.state_before, INGOT_STATE_EXECUTING);
    assert_int_equal(end.state_after, INGOT_STATE_DISCARDED);
    close_bench(&bench);
}

static void row_18_without_retries_the_first_failure_discards(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    policy.retries_max = 0;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_DISCARDED);
    close_bench(&bench);
}

static void a_give_back_keeps_its_attempt_and_uses_up_no_retry(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    for (int i = 0; i < 73; i++) { /* 73 restarts discard nothing (PROTOCOL 1.8) */
        turn(&bench);
        assert_int_equal(bench.running_count, 1);
        assert_int_equal(bench.running[0].attempt, 1);
        finish(&bench, 0, IGT_REPORT_GIVEN_BACK, INGOT_NO_TIME);
    }
    assert_int_equal(bench.running_count, 1);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_AWAITING);
    close_bench(&bench);
}

static void row_2_a_failing_destination_delays_no_other(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2), world_plan("b", &policy, 2)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 2);
    for (int i = 0; i < 50; i++)
        emit(&bench, both, 2);
    turn(&bench);
    /* a never answers: its two attempts hang */
    for (int i = 0; i < 50; i++) {
        size_t place = 0;
        while (place < bench.running_count && bench.running[place].job == 0)
            place++;
        assert_true(place < bench.running_count);
        finish(&bench, place, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    }
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).succeeded, 50);
    assert_int_equal(bench.running_count, 2);
    close_bench(&bench);
}

static void no_more_attempts_run_at_once_than_the_destination_allows(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 3)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    for (int i = 0; i < 10; i++)
        emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 3);
    finish(&bench, 1, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(bench.running_count, 3);
    close_bench(&bench);
}

/* Claims in the rows for a destination: jobs are numbered in the order of "both". */
static size_t count_claims(const struct igt_rows *rows, uint32_t job)
{
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++)
        count +=
            rows->rows[i].row.job == job && rows->rows[i].row.state_after == INGOT_STATE_EXECUTING;
    return count;
}

static void of_a_destination_at_most_500_are_claimed_at_once_and_the_rest_right_after(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1024), world_plan("b", &policy, 1024)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 2);
    for (int i = 0; i < 1200; i++)
        emit(&bench, both, i < 200 ? 2 : 1);
    /* Room for 1024 of a; b, which comes behind it, gets all it wants in the first turn. */
    static const size_t claimed[][2] = {{500, 200}, {1000, 200}, {1024, 200}, {1024, 200}};
    for (size_t i = 0; i < 4; i++) {
        int64_t wake_us = igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
        assert_int_equal(count_claims(&bench.rows, 0), claimed[i][0]);
        assert_int_equal(count_claims(&bench.rows, 1), claimed[i][1]);
        if (i < 2)
            assert_true(wake_us <= bench.world.now_us);
        else
            assert_true(wake_us == INT64_MAX); /* all its room is taken */
    }
    close_bench(&bench);
}

static void exactly_500_due_jobs_need_one_call(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1024)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    for (int i = 0; i < 500; i++)
        emit(&bench, one, 1);
    assert_true(igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows) == INT64_MAX);
    assert_int_equal(count_claims(&bench.rows, 0), 500);
    close_bench(&bench);
}

static void a_destination_that_asks_for_a_pause_gets_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, BEGIN_US + 30 * SECOND);
    assert_true(latest(&bench, &id).due_us >= BEGIN_US + 30 * SECOND);
    assert_int_equal(bench.running_count, 0); /* the other job waits too */
    assert_true(bench.wake_us == BEGIN_US + 30 * SECOND);
    bench.world.now_us = BEGIN_US + 30 * SECOND;
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

static void a_pause_of_ten_years_is_clamped(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, BEGIN_US + 3650 * 86400 * SECOND);
    assert_true(latest(&bench, &id).due_us <= BEGIN_US + IGT_RETRY_AFTER_US_MAX);
    assert_true(bench.wake_us <= BEGIN_US + IGT_RETRY_AFTER_US_MAX);
    close_bench(&bench);
}

/* Somebody else writes the next row of a job 0 behind the scheduler's back. */
static void write_row(struct bench *bench, const ingot_ksuid *event_id, const ingot_ksuid *owner,
                      enum ingot_state after, int64_t due_us)
{
    struct ingot_transition before = latest(bench, event_id);
    struct ingot_commit_transition row = {.hangs_on = INGOT_ALONE};
    row.row = (struct ingot_transition){
        .event_id = *event_id,
        .seq = before.seq + 1,
        .attempt = (uint16_t)(before.attempt + (after == INGOT_STATE_EXECUTING)),
        .state_before = before.state_after,
        .state_after = after,
        .owner = *owner,
        .due_us = due_us};
    world_commit(&bench->world, &row, 1, INGOT_COMMIT_FIRST);
    assert_int_equal(row.verdict, INGOT_STORED);
}

/* Somebody else claims the job; returns who. */
static ingot_ksuid rival_claims(struct bench *bench, const ingot_ksuid *event_id)
{
    const ingot_ksuid rival = world_id(&bench->world);
    write_row(bench, event_id, &rival, INGOT_STATE_EXECUTING, INGOT_NO_TIME);
    return rival;
}

static void a_claim_that_lost_is_mended_from_the_chain(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    rival_claims(&bench, &id);
    turn(&bench);
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(bench.scheduler);
    assert_int_equal(numbers.claims_lost, 1);
    /* its owner is held to be dead, so it is taken over with the next attempt */
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 2);
    assert_int_equal(bench.running[0].seq, 2);
    close_bench(&bench);
}

static void the_outcome_of_a_zombie_is_not_stored_nor_what_hangs_on_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    const ingot_ksuid rival = rival_claims(&bench, &id);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    struct ingot_page *page;
    assert_int_equal(ingot_store_history(bench.world.store, NULL, &id, 0, &page, NULL), INGOT_OK);
    assert_memory_equal(&page->transitions[2].owner, &rival, sizeof rival);
    for (size_t i = 0; i < page->transition_count; i++)
        assert_int_not_equal(page->transitions[i].state_after, INGOT_STATE_FAILED);
    ingot_page_destroy(page);
    close_bench(&bench);
}

static void the_verdict_of_what_hung_on_a_lost_row_changes_nothing_when_it_comes_late(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    const ingot_ksuid rival = rival_claims(&bench, &id);
    write_row(&bench, &id, &rival, INGOT_STATE_AWAITING, BEGIN_US);
    const struct igt_map_key key = {id, 0};
    igt_scheduler_report(bench.scheduler, &key, IGT_REPORT_FAILED, INGOT_NO_TIME, nothing,
                         bench.world.now_us, &bench.rows);
    assert_int_equal(bench.rows.count, 2);
    const struct ingot_transition fact = bench.rows.rows[0].row;
    const struct ingot_transition decision = bench.rows.rows[1].row;
    bench.rows.count = 0;
    igt_scheduler_verdict(bench.scheduler, &fact, INGOT_LOST, bench.world.now_us, &bench.rows);
    answer_reads(&bench);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    assert_int_equal(bench.rows.count, 1);
    igt_scheduler_verdict(bench.scheduler, &decision, INGOT_LOST, bench.world.now_us, &bench.rows);
    bench.running_count = 0;
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(bench.running_count, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

static void row_4_a_job_whose_owner_died_on_its_last_attempt_is_discarded(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    policy.retries_max = 2;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    unsigned runs = 0;
    for (int restart = 0; restart < 10; restart++) { /* each run kills its worker (F31) */
        turn(&bench);
        runs += (unsigned)bench.running_count;
        igt_scheduler_destroy(bench.scheduler);
        start_scheduler(&bench, plans, 1, 0);
        sight(&bench, &id, 0);
    }
    assert_int_equal(runs, 3);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_DISCARDED);
    close_bench(&bench);
}

static void a_stopped_scheduler_claims_nothing_and_gives_back_what_was_under_way(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 8)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    assert_int_equal(bench.rows.count, 1); /* the claim is on its way */
    igt_scheduler_stop(bench.scheduler);
    assert_false(igt_scheduler_is_idle(bench.scheduler));
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    struct ingot_transition end = latest(&bench, &id);
    assert_int_equal(end.state_before, INGOT_STATE_EXECUTING);
    assert_int_equal(end.state_after, INGOT_STATE_AWAITING);
    close_bench(&bench);
}

static void row_78_an_event_has_its_own_policy_and_else_the_destinations(void **state)
{
    struct igt_policy policies[2] = {steady(), steady()};
    struct ingot_bytes events[] = {ingot_bytes_of("happened")};
    struct igt_plan plans[] = {world_plan("a", policies, 1), world_plan("b", policies, 1)};
    struct bench bench;
    (void)state;
    policies[1].schedule.every_us = 7 * SECOND;
    plans[0].events = events;
    plans[0].event_count = 1;
    open_bench(&bench, plans, 2);
    emit(&bench, both, 2);
    turn(&bench);
    finish(&bench, bench.running[0].job == 0 ? 0 : 1, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_true(bench.wake_us == BEGIN_US + 7 * SECOND);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_true(bench.wake_us == BEGIN_US + SECOND);
    close_bench(&bench);
}

static void a_first_attempt_on_schedule_waits_for_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    policy.first = IGT_FIRST_ON_SCHEDULE;
    policy.schedule.every_us = 10 * SECOND;
    open_bench(&bench, plans, 1);
    emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    assert_true(bench.wake_us > bench.world.now_us);
    bench.world.now_us = bench.wake_us;
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

static void jobs_of_unknown_destinations_are_left_alone(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("b", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).nobodys, 1);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_ACKNOWLEDGED);
    close_bench(&bench);
}

/* ---- several on one store ----------------------------------------------- */

static struct ingot_lanes lane_of(const char *destination)
{
    struct ingot_lanes lanes = {{0}};
    igt_lanes_add(&lanes, ingot_lane_of(ingot_bytes_of(destination)));
    return lanes;
}

static void set_lanes(struct bench *bench, struct ingot_lanes lanes)
{
    igt_scheduler_set_lanes(bench->scheduler, &lanes);
}

static void notice(struct bench *bench, const ingot_ksuid *event_id)
{
    const struct igt_map_key key = {*event_id, 0};
    igt_scheduler_notice(bench->scheduler, &key, &bench->rows);
}

static uint64_t live(const struct bench *bench)
{
    return igt_scheduler_numbers(bench->scheduler).live;
}

/* Time goes on, and the scheduler with it. */
static void pass(struct bench *bench, int64_t us)
{
    bench->world.now_us += us;
    turn(bench);
}

/* Everybody but these was silent for a lease by now. */
static void judge(struct bench *bench, const struct igt_peer *peers, size_t count)
{
    igt_scheduler_set_peers(bench->scheduler, peers, count, bench->world.now_us);
}

static void with_a_lease_no_lane_is_worked_until_it_is_given(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench = {0};
    (void)state;
    world_open(&bench.world, seed);
    start_scheduler(&bench, plans, 1, LEASE);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_ELSEWHERE);
    assert_int_equal(live(&bench), 0);
    set_lanes(&bench, lane_of("a"));
    assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_TAKEN);
    assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_KNOWN);
    assert_int_equal(live(&bench), 1);
    close_bench(&bench);
}

static void a_lost_lane_is_forgotten_but_for_what_runs_and_the_others_are_kept(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2), world_plan("b", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 2);
    ingot_ksuid foreign = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    rival_claims(&bench, &foreign);
    sight(&bench, &foreign, 0);
    for (int i = 0; i < 3; i++)
        emit(&bench, both, 2);
    turn(&bench);
    assert_int_equal(bench.running_count, 2); /* one for each; the foreign one takes up room */
    assert_int_equal(live(&bench), 7);
    set_lanes(&bench, lane_of("b"));
    assert_int_equal(live(&bench), 4); /* a: the one that runs */
    pass(&bench, 0);
    assert_int_equal(bench.running_count, 2);
    assert_int_equal(sight(&bench, &foreign, 0), IGT_SIGHT_ELSEWHERE);
    finish(&bench, bench.running[0].job == 0 ? 0 : 1, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(bench.notice_count, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(bench.notice_count, 1);
    assert_int_equal(live(&bench), 2);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

static void
whatever_ends_an_attempt_in_a_lost_lane_comes_with_a_notice_and_leaves_nothing(void **state)
{
    static const struct {
        enum igt_report report;
        size_t notices;
        enum ingot_state after;
    } cases[] = {{IGT_REPORT_SUCCEEDED, 1, INGOT_STATE_SUCCEEDED},
                 {IGT_REPORT_FAILED, 2, INGOT_STATE_AWAITING},
                 {IGT_REPORT_GIVEN_BACK, 1, INGOT_STATE_AWAITING}};
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench bench;
        open_shared_bench(&bench, plans, 1);
        ingot_ksuid id = emit(&bench, one, 1);
        turn(&bench);
        set_lanes(&bench, lane_of("b"));
        finish(&bench, 0, cases[i].report, INGOT_NO_TIME);
        assert_int_equal(bench.notice_count, cases[i].notices);
        assert_int_equal(latest(&bench, &id).state_after, cases[i].after);
        assert_int_equal(live(&bench), 0);
        assert_true(bench.wake_us == INT64_MAX);
        assert_true(igt_scheduler_is_idle(bench.scheduler));
        close_bench(&bench);
    }
}

static void a_claim_under_way_when_its_lane_is_lost_is_run_and_ends_with_a_notice(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    emit(&bench, one, 1);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    set_lanes(&bench, lane_of("b"));
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.notice_count, 0);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(bench.notice_count, 1);
    assert_int_equal(live(&bench), 0);
    close_bench(&bench);
}

static void a_claim_that_lost_in_a_lost_lane_is_forgotten(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    rival_claims(&bench, &id);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    set_lanes(&bench, lane_of("b"));
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(live(&bench), 0);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

static void a_lane_that_came_back_while_its_attempt_ran_needs_no_notice(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    turn(&bench);
    set_lanes(&bench, lane_of("b"));
    set_lanes(&bench, lane_of("a"));
    assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_KNOWN);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(bench.notice_count, 0);
    assert_int_equal(live(&bench), 1);
    pass(&bench, SECOND);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

static void a_foreign_job_takes_up_room_until_a_notice_tells_of_its_end(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const ingot_ksuid rival = rival_claims(&bench, &id);
    sight(&bench, &id, 0);
    emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    assert_true(bench.wake_us == BEGIN_US + LEASE);
    write_row(&bench, &id, &rival, INGOT_STATE_SUCCEEDED, INGOT_NO_TIME);
    pass(&bench, SECOND);
    assert_int_equal(bench.running_count, 0);
    notice(&bench, &id);
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(live(&bench), 1);
    close_bench(&bench);
}

static void a_foreign_job_is_read_again_once_a_lease(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const ingot_ksuid rival = rival_claims(&bench, &id);
    sight(&bench, &id, 0);
    emit(&bench, one, 1);
    pass(&bench, LEASE - 1);
    assert_int_equal(bench.read_count, 0);
    pass(&bench, 1);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(bench.running_count, 0);
    assert_true(bench.wake_us == BEGIN_US + 2 * LEASE);
    write_row(&bench, &id, &rival, INGOT_STATE_AWAITING, bench.world.now_us);
    pass(&bench, LEASE);
    assert_int_equal(bench.read_count, 2);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(live(&bench), 2);
    close_bench(&bench);
}

static void a_claim_that_lost_keeps_its_room_until_it_is_known_who_has_it(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    const ingot_ksuid rival = rival_claims(&bench, &id);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).claims_lost, 1);
    assert_int_equal(bench.running_count, 0);
    write_row(&bench, &id, &rival, INGOT_STATE_SUCCEEDED, INGOT_NO_TIME);
    notice(&bench, &id);
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

enum standing { UNKNOWN, LIVES, ENDED };

static void a_claim_is_taken_over_when_its_owner_is_known_to_be_dead_and_not_before(void **state)
{
    static const struct {
        int64_t claimed_us, judged_us; /* after the beginning; INGOT_NO_TIME: no judgement */
        enum standing owner;
        int taken;
    } cases[] = {
        {0, INGOT_NO_TIME, UNKNOWN, 0},
        {0, LEASE + 1, UNKNOWN, 1},
        {0, LEASE, UNKNOWN, 0}, /* it is not older than a lease */
        {5 * LEASE, 5 * LEASE + SECOND, UNKNOWN, 0},
        {5 * LEASE, 4 * LEASE, UNKNOWN, 0},
        {5 * LEASE, 6 * LEASE + 1, UNKNOWN, 1},
        {0, 9 * LEASE, LIVES, 0}, /* however long the attempt takes */
        {0, SECOND, ENDED, 1},    /* however young the claim is */
        {0, 9 * LEASE, ENDED, 1},
    };
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench bench;
        open_shared_bench(&bench, plans, 1);
        ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
        bench.world.now_us = BEGIN_US + cases[i].claimed_us;
        const ingot_ksuid rival = rival_claims(&bench, &id);
        struct igt_peer peers[5]; /* descending; the others are the opposite of what he is */
        for (size_t j = 0; j < 5; j++) {
            peers[j].owner = world_id(&bench.world);
            peers[j].owner.bytes[0] = (uint8_t)(peers[j].owner.bytes[0] - j);
            peers[j].state = cases[i].owner == ENDED ? IGT_PEER_LIVING : IGT_PEER_ENDED;
        }
        if (cases[i].owner != UNKNOWN)
            peers[0] = (struct igt_peer){rival, cases[i].owner == ENDED ? IGT_PEER_ENDED
                                                                        : IGT_PEER_LIVING};
        bench.world.now_us = BEGIN_US + 9 * LEASE;
        if (cases[i].judged_us != INGOT_NO_TIME)
            igt_scheduler_set_peers(bench.scheduler, peers, 5, BEGIN_US + cases[i].judged_us);
        sight(&bench, &id, 0);
        turn(&bench);
        assert_int_equal(bench.running_count, cases[i].taken);
        assert_int_equal(igt_scheduler_numbers(bench.scheduler).taken_over, cases[i].taken);
        assert_int_equal(latest(&bench, &id).attempt, 1 + cases[i].taken);
        close_bench(&bench);
    }
}

static void a_foreign_job_is_taken_over_at_the_look_that_follows_the_judgement(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    struct igt_peer rival = {rival_claims(&bench, &id), IGT_PEER_LIVING};
    judge(&bench, &rival, 1);
    sight(&bench, &id, 0);
    pass(&bench, LEASE);
    judge(&bench, &rival, 1);
    pass(&bench, LEASE);
    assert_int_equal(bench.running_count, 0);
    pass(&bench, SECOND);
    judge(&bench, NULL, 0);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    pass(&bench, LEASE - SECOND);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 2);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    close_bench(&bench);
}

static void an_owner_who_comes_back_is_believed_again(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    struct igt_peer rival = {rival_claims(&bench, &id), IGT_PEER_LIVING};
    bench.world.now_us += 2 * LEASE;
    judge(&bench, NULL, 0);
    judge(&bench, &rival, 1);
    sight(&bench, &id, 0);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    close_bench(&bench);
}

static void a_claim_with_a_due_time_is_taken_over_only_after_it_whoever_lives(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    (void)state;
    for (int alone = 0; alone < 2; alone++)
        for (enum standing owner = UNKNOWN; owner <= ENDED; owner++) {
            struct bench bench;
            (alone ? open_bench : open_shared_bench)(&bench, plans, 1);
            ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
            const ingot_ksuid rival = world_id(&bench.world);
            const struct igt_peer peer = {rival, owner == ENDED ? IGT_PEER_ENDED : IGT_PEER_LIVING};
            write_row(&bench, &id, &rival, INGOT_STATE_EXECUTING, BEGIN_US + 9 * LEASE);
            bench.world.now_us += 5 * LEASE;
            judge(&bench, &peer, owner != UNKNOWN);
            sight(&bench, &id, 0);
            pass(&bench, 4 * LEASE - 1);
            assert_true(bench.wake_us == BEGIN_US + 9 * LEASE);
            assert_int_equal(bench.running_count, 0);
            pass(&bench, 1);
            assert_int_equal(bench.read_count, 1);
            assert_int_equal(bench.running_count, 1);
            close_bench(&bench);
        }
}

static void a_due_time_that_was_extended_is_waited_for_again(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const ingot_ksuid rival = world_id(&bench.world);
    write_row(&bench, &id, &rival, INGOT_STATE_EXECUTING, BEGIN_US + LEASE);
    sight(&bench, &id, 0);
    struct ingot_commit_transition extension = {.row = latest(&bench, &id),
                                                .hangs_on = INGOT_ALONE};
    extension.row.seq++;
    extension.row.state_before = INGOT_STATE_EXECUTING;
    extension.row.due_us = BEGIN_US + 2 * LEASE;
    world_commit(&bench.world, &extension, 1, INGOT_COMMIT_FIRST);
    pass(&bench, LEASE);
    assert_int_equal(bench.running_count, 0);
    assert_true(bench.wake_us == BEGIN_US + 2 * LEASE);
    pass(&bench, LEASE);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 2);
    close_bench(&bench);
}

static void what_executes_for_ourselves_and_is_not_in_memory_is_taken_over(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    const struct igt_peer self = {bench.owner, IGT_PEER_LIVING};
    judge(&bench, &self, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    write_row(&bench, &id, &bench.owner, INGOT_STATE_EXECUTING, INGOT_NO_TIME);
    sight(&bench, &id, 0);
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 1);
    close_bench(&bench);
}

static void a_notice_of_a_job_that_memory_lacks_has_it_read(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    notice(&bench, &id);
    assert_false(igt_scheduler_is_idle(bench.scheduler));
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(bench.running_count, 1);
    set_lanes(&bench, lane_of("b"));
    id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    notice(&bench, &id);
    turn(&bench);
    assert_int_equal(live(&bench), 1); /* the lane is somebody else's */
    close_bench(&bench);
}

static void a_notice_of_what_waits_has_it_read_and_of_what_runs_nothing(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid runs = emit(&bench, one, 1);
    turn(&bench);
    ingot_ksuid waits = emit(&bench, one, 1);
    notice(&bench, &runs);
    turn(&bench);
    assert_int_equal(bench.read_count, 0);
    write_row(&bench, &waits, &(ingot_ksuid){{0}}, INGOT_STATE_AWAITING, BEGIN_US + 5 * SECOND);
    notice(&bench, &waits);
    notice(&bench, &waits);
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(bench.running_count, 0);
    assert_true(bench.wake_us == BEGIN_US + 5 * SECOND);
    close_bench(&bench);
}

static void the_answer_to_a_read_replaces_what_is_mended_and_nothing_else(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const struct igt_map_key key = {id, 0};
    notice(&bench, &id);
    struct ingot_page *page = world_event(&bench.world, &id);
    sight(&bench, &id, 0);
    igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
    igt_scheduler_mend(bench.scheduler, &key, &page->events[0].jobs[0], bench.world.now_us);
    bench.rows.read_count = 0;
    commit_rows(&bench); /* the claim was on its way, and is not forgotten */
    assert_int_equal(bench.running_count, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    notice(&bench, &id);
    igt_scheduler_mend(bench.scheduler, &key, NULL, bench.world.now_us);
    assert_int_equal(live(&bench), 0);
    id = emit(&bench, one, 1);
    notice(&bench, &id);
    bench.rows.read_count = 0;
    igt_scheduler_mend(bench.scheduler, &(struct igt_map_key){id, 0}, NULL, bench.world.now_us);
    assert_int_equal(live(&bench), 0); /* there is no such job */
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    ingot_page_destroy(page);
    close_bench(&bench);
}

static void a_read_that_could_not_be_answered_is_asked_for_again(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    notice(&bench, &id);
    const struct igt_map_key key = bench.rows.reads[0];
    bench.rows.read_count = 0;
    for (size_t i = 0; i < 40; i++) /* more than there is room for at first */
        igt_rows_read_again(&bench.rows, &key);
    assert_int_equal(bench.rows.read_count, 40);
    bench.rows.read_count = 1;
    assert_false(igt_scheduler_is_idle(bench.scheduler));
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

/* Shows the sweep a job as it is in the store. */
static enum igt_sight sweep_show(struct bench *bench, const ingot_ksuid *event_id)
{
    struct ingot_page *page = world_event(&bench->world, event_id);
    enum igt_sight taken =
        igt_scheduler_sweep_show(bench->scheduler, &page->events[0].jobs[0], bench->world.now_us);
    ingot_page_destroy(page);
    return taken;
}

static void sweep_end(struct bench *bench)
{
    igt_scheduler_sweep_end(bench->scheduler, &bench->rows);
    turn(bench);
}

static void the_sweep_finds_what_memory_lacks_in_our_lanes(void **state)
{
    static const char *const elsewhere[] = {"b"};
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    set_lanes(&bench, lane_of("a"));
    ingot_ksuid ours = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    ingot_ksuid theirs = world_emit(&bench.world, elsewhere, 1, INGOT_NO_TIME);
    igt_scheduler_sweep_begin(bench.scheduler);
    assert_int_equal(sweep_show(&bench, &ours), IGT_SIGHT_TAKEN);
    assert_int_equal(sweep_show(&bench, &theirs), IGT_SIGHT_ELSEWHERE);
    assert_int_equal(sweep_show(&bench, &ours), IGT_SIGHT_KNOWN);
    sweep_end(&bench);
    assert_int_equal(bench.read_count, 0);
    assert_int_equal(bench.running_count, 1);
    close_bench(&bench);
}

static void the_sweep_mends_what_is_older_in_memory_and_keeps_what_is_not(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 4)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid foreign = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const ingot_ksuid rival = rival_claims(&bench, &foreign);
    sight(&bench, &foreign, 0);
    ingot_ksuid waits = emit(&bench, one, 1), same = emit(&bench, one, 1);
    struct ingot_page *stale = world_event(&bench.world, &waits);
    /* behind the scheduler's back one is put off, and the other given back until later */
    write_row(&bench, &waits, &(ingot_ksuid){{0}}, INGOT_STATE_AWAITING, BEGIN_US + 5 * SECOND);
    write_row(&bench, &foreign, &rival, INGOT_STATE_AWAITING, BEGIN_US + 7 * SECOND);
    igt_scheduler_sweep_begin(bench.scheduler);
    assert_int_equal(sweep_show(&bench, &waits), IGT_SIGHT_TAKEN);
    assert_int_equal(sweep_show(&bench, &foreign), IGT_SIGHT_TAKEN);
    assert_int_equal(sweep_show(&bench, &same), IGT_SIGHT_KNOWN);
    /* what was seen before that is older than memory now */
    assert_int_equal(
        igt_scheduler_sweep_show(bench.scheduler, &stale->events[0].jobs[0], bench.world.now_us),
        IGT_SIGHT_KNOWN);
    sweep_end(&bench);
    assert_int_equal(bench.read_count, 0);
    assert_int_equal(live(&bench), 3);
    assert_int_equal(bench.running_count, 1);
    assert_memory_equal(&bench.running[0].event_id, &same, sizeof same);
    assert_true(bench.wake_us == BEGIN_US + 5 * SECOND);
    pass(&bench, 7 * SECOND);
    assert_int_equal(bench.running_count, 3);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).claims_lost, 0);
    ingot_page_destroy(stale);
    close_bench(&bench);
}

static void the_sweep_has_read_again_what_nobody_showed_unless_it_is_under_way_or_new(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid foreign = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    const ingot_ksuid rival = rival_claims(&bench, &foreign);
    sight(&bench, &foreign, 0);
    emit(&bench, one, 1);
    turn(&bench); /* one runs, one is foreign */
    ingot_ksuid waits = emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    write_row(&bench, &foreign, &rival, INGOT_STATE_SUCCEEDED, INGOT_NO_TIME);
    write_row(&bench, &waits, &(ingot_ksuid){{0}}, INGOT_STATE_DISCARDED, INGOT_NO_TIME);
    ingot_ksuid runs = bench.running[0].event_id;
    rival_claims(&bench, &runs);
    igt_scheduler_sweep_begin(bench.scheduler);
    sweep_show(&bench, &runs); /* it was taken over, but here it runs on */
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).running, 1);
    assert_int_equal(live(&bench), 3);
    ingot_ksuid fresh = emit(&bench, one, 1);
    sweep_end(&bench);
    assert_int_equal(bench.read_count, 2);
    assert_int_equal(live(&bench), 2);
    assert_int_equal(bench.running_count, 2);
    assert_memory_equal(&bench.running[1].event_id, &fresh, sizeof fresh);
    close_bench(&bench);
}

static void sweeps_without_end_look_at_everything_each_time(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("b", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid id = emit(&bench, one, 1);
    for (int i = 0; i < 600; i++) {
        igt_scheduler_sweep_begin(bench.scheduler);
        if (i % 2)
            sweep_show(&bench, &id);
        sweep_end(&bench);
        assert_int_equal(bench.read_count, i / 2 + 1);
    }
    assert_int_equal(live(&bench), 1);
    close_bench(&bench);
}

static void the_list_names_every_live_job_of_the_lanes_whatever_it_does(void **state)
{
    static const char *const unknown[] = {"nobody"};
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2), world_plan("b", &policy, 1)};
    struct bench bench;
    struct igt_listed list[16];
    (void)state;
    open_shared_bench(&bench, plans, 2);
    ingot_ksuid foreign = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    rival_claims(&bench, &foreign);
    sight(&bench, &foreign, 0);
    ingot_ksuid runs = emit(&bench, both, 2), waits = emit(&bench, one, 1);
    ingot_ksuid nobodys = emit(&bench, unknown, 1);
    ingot_ksuid done = emit(&bench, both, 2);
    turn(&bench);
    ingot_ksuid mends = emit(&bench, one, 1);
    notice(&bench, &mends);
    const struct ingot_lanes a = lane_of("a"), b = lane_of("b"), c = lane_of("nobody");
    const struct ingot_lanes first = igt_lanes_either(&a, &c);
    (void)done;
    assert_false(igt_lanes_equal(&a, &b) || igt_lanes_equal(&a, &c) || igt_lanes_equal(&b, &c));
    const ingot_ksuid *const expected[] = {&foreign, &runs, &waits, &nobodys, &done, &mends};
    size_t count = igt_scheduler_list(bench.scheduler, &first, list);
    assert_int_equal(count, 6);
    for (size_t i = 0; i < 6; i++) {
        size_t found = 0;
        for (size_t j = 0; j < count; j++)
            found += ingot_ksuid_compare(&list[j].event_id, expected[i]) == 0 &&
                     igt_lanes_has(expected[i] == &nobodys ? &c : &a, list[j].lane);
        assert_int_equal(found, 1);
    }
    assert_int_equal(igt_scheduler_list(bench.scheduler, &b, list), 2);
    const struct ingot_lanes all = igt_lanes_all();
    assert_int_equal(igt_scheduler_list(bench.scheduler, &all, list), live(&bench));
    answer_reads(&bench);
    close_bench(&bench);
}

static void jobs_of_any_number_of_unknown_destinations_are_kept_and_counted(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("dest-50", &policy, 9),
                               world_plan("dest-07", &policy, 9)};
    struct bench bench;
    ingot_ksuid ids[100];
    (void)state;
    open_shared_bench(&bench, plans, 2);
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        const char *const destinations[] = {name};
        snprintf(name, sizeof name, "dest-%02u", i * 37 % 100 / 2 * 2 + 7 * (i % 2));
        ids[i] = emit(&bench, destinations, 1);
    }
    turn(&bench);
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(bench.scheduler);
    assert_int_equal(numbers.live, 100);
    assert_int_equal(numbers.nobodys + numbers.running, 100);
    assert_in_range(numbers.running, 2, 8);
    for (unsigned i = 0; i < 100; i++) {
        enum ingot_state after = latest(&bench, &ids[i]).state_after;
        if (after == INGOT_STATE_ACKNOWLEDGED)
            write_row(&bench, &ids[i], &(ingot_ksuid){{0}}, INGOT_STATE_DISCARDED, INGOT_NO_TIME);
        notice(&bench, &ids[i]);
    }
    turn(&bench);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).nobodys, 0);
    assert_int_equal(live(&bench), numbers.running);
    close_bench(&bench);
}

static void a_stopped_scheduler_asks_for_nothing(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 3)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid foreign = world_emit(&bench.world, one, 1, INGOT_NO_TIME);
    rival_claims(&bench, &foreign);
    sight(&bench, &foreign, 0);
    igt_scheduler_stop(bench.scheduler);
    ingot_ksuid id = emit(&bench, one, 1);
    pass(&bench, 9 * LEASE);
    notice(&bench, &foreign);
    notice(&bench, &id);
    igt_scheduler_sweep_begin(bench.scheduler);
    igt_scheduler_sweep_end(bench.scheduler, &bench.rows);
    assert_int_equal(bench.rows.read_count + bench.rows.count, 0);
    pass(&bench, 9 * LEASE);
    assert_true(bench.wake_us == INT64_MAX);
    assert_int_equal(bench.read_count, 0);
    assert_int_equal(bench.running_count, 0);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

/* Shows a scheduler that starts what is live in the store. */
static void recover(struct bench *bench)
{
    struct ingot_page *page = world_live(&bench->world, (struct ingot_cursor){0}, INGOT_NO_LIMIT);
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            igt_scheduler_sight(bench->scheduler, &page->events[i].jobs[j], bench->world.now_us);
    ingot_page_destroy(page);
}

static struct ingot_transition first_claim(const ingot_ksuid *event_id, const ingot_ksuid *owner)
{
    return (struct ingot_transition){.event_id = *event_id,
                                     .seq = 1,
                                     .attempt = 1,
                                     .state_before = INGOT_STATE_ACKNOWLEDGED,
                                     .state_after = INGOT_STATE_EXECUTING,
                                     .owner = *owner,
                                     .due_us = INGOT_NO_TIME};
}

/* Shows the scheduler a job with its first claim, and the verdict of that; returns what is next. */
static enum igt_next show_claimed(struct bench *bench, const ingot_ksuid *event_id,
                                  enum ingot_verdict verdict)
{
    struct ingot_page *page = world_event(&bench->world, event_id);
    const struct ingot_transition claim = first_claim(event_id, &bench->owner);
    struct ingot_job job = page->events[0].jobs[0];
    ingot_job_born(&job, event_id, 0, bench->world.now_us);
    igt_scheduler_sight_claimed(bench->scheduler, &job, 0);
    ingot_page_destroy(page);
    return igt_scheduler_verdict(bench->scheduler, &claim, verdict, bench->world.now_us,
                                 &bench->rows);
}

/* Stores an event and the first claim of its job by an owner. */
static ingot_ksuid emit_claimed(struct bench *bench, const ingot_ksuid *owner)
{
    ingot_ksuid id = world_emit(&bench->world, one, 1, INGOT_NO_TIME);
    struct ingot_commit_transition claim = {.row = first_claim(&id, owner),
                                            .hangs_on = INGOT_ALONE};
    world_commit(&bench->world, &claim, 1, INGOT_COMMIT_FIRST);
    assert_int_equal(claim.verdict, INGOT_STORED);
    return id;
}

/* An event whose first claim comes with it; now and then a cold read sees both before the verdict. */
static void emit_with_first_claim(struct bench *bench)
{
    uint32_t grants = igt_scheduler_grant(bench->scheduler, 0, bench->world.now_us);
    if (!grants)
        return;
    igt_scheduler_take_back(bench->scheduler, 0, grants - 1);
    ingot_ksuid id = emit_claimed(bench, &bench->owner);
    if (world_roll(&bench->world, 2))
        recover(bench);
    if (world_roll(&bench->world, 2))
        igt_scheduler_plan(bench->scheduler, bench->world.now_us, &bench->rows);
    assert_int_equal(show_claimed(bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
    bench->running[bench->running_count++] = latest(bench, &id);
}

/* Hours of virtual time with random outcomes, rivals, pauses and crashes. */
static void row_3_whatever_happens_every_job_ends_and_every_chain_is_right(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 5), world_plan("b", &policy, 2)};
    struct bench bench;
    struct ingot_verification verification;
    (void)state;
    policy.jitter = 0.5;
    policy.backoff = 2;
    print_message("# seed %llu\n", (unsigned long long)seed);
    open_bench(&bench, plans, 2);
    for (int step = 0; step < 4000; step++) {
        uint64_t roll = world_roll(&bench.world, 100);
        if (roll < 10 && step < 3000) {
            emit(&bench, both, 1 + world_roll(&bench.world, 2));
        } else if (roll < 15 && step < 3000) {
            emit_with_first_claim(&bench);
        } else if (roll < 70 && bench.running_count) {
            size_t place = world_roll(&bench.world, bench.running_count);
            enum igt_report report =
                world_roll(&bench.world, 3) ? IGT_REPORT_FAILED : IGT_REPORT_SUCCEEDED;
            int64_t pause_us =
                world_roll(&bench.world, 20) ? INGOT_NO_TIME : bench.world.now_us + 3 * SECOND;
            if (world_roll(&bench.world, 15) == 0)
                report = IGT_REPORT_GIVEN_BACK;
            else if (world_roll(&bench.world, 15) == 0 && bench.running[place].job == 0)
                rival_claims(&bench, &bench.running[place].event_id);
            finish(&bench, place, report, pause_us);
        } else if (roll < 72) { /* a crash: all that memory held is gone */
            igt_scheduler_destroy(bench.scheduler);
            igt_rows_fini(&bench.rows);
            start_scheduler(&bench, plans, 2, 0);
            recover(&bench);
        } else {
            bench.world.now_us += (int64_t)(world_roll(&bench.world, 3 * SECOND));
        }
        turn(&bench);
    }
    for (int i = 0; i < 100000 && igt_scheduler_numbers(bench.scheduler).live; i++) {
        if (bench.running_count)
            finish(&bench, 0, i % 3 ? IGT_REPORT_SUCCEEDED : IGT_REPORT_FAILED, INGOT_NO_TIME);
        else if (bench.wake_us != INT64_MAX)
            bench.world.now_us = bench.wake_us;
        turn(&bench);
    }
    assert_int_equal(ingot_store_verify(bench.world.store, NULL, NULL, NULL, &verification, NULL),
                     INGOT_OK);
    assert_int_equal(verification.violations, 0);
    assert_int_equal(verification.live, 0);
    assert_true(verification.jobs > 300);
    close_bench(&bench);
}

/* ---- first claims ------------------------------------------------------- */

static void first_claims_are_granted_for_the_room_that_is_left(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 3)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    emit(&bench, one, 1);
    turn(&bench);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 2);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    assert_false(igt_scheduler_is_idle(bench.scheduler));
    ingot_ksuid id = emit_claimed(&bench, &bench.owner);
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).running, 2);
    emit(&bench, one, 1); /* there is no room for it: one grant is still out */
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_true(igt_scheduler_wants_back(bench.scheduler, 0, bench.world.now_us));
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    igt_scheduler_take_back(bench.scheduler, 0, 1);
    turn(&bench);
    assert_int_equal(bench.running_count, 2);
    close_bench(&bench);
}

static void a_first_claim_goes_the_way_of_every_claim(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    ingot_ksuid id = emit_claimed(&bench, &bench.owner);
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
    bench.running[bench.running_count++] = latest(&bench, &id);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_true(latest(&bench, &id).due_us == BEGIN_US + SECOND);
    assert_true(bench.wake_us == BEGIN_US + SECOND);
    bench.world.now_us += SECOND;
    turn(&bench);
    assert_int_equal(bench.running_count, 1);
    assert_int_equal(bench.running[0].attempt, 2);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

static void a_grant_that_is_out_does_not_hide_when_a_retry_is_due(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, INGOT_NO_TIME);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 2);
    turn(&bench);
    assert_true(bench.wake_us == BEGIN_US + SECOND);
    bench.world.now_us += SECOND;
    assert_true(igt_scheduler_wants_back(bench.scheduler, 0, bench.world.now_us));
    close_bench(&bench);
}

static void no_first_claim_is_granted_where_another_rule_says_when(void **state)
{
    const struct ingot_lanes none = {{0}};
    struct igt_policy policies[] = {steady(), steady()};
    const struct ingot_bytes events[] = {ingot_bytes_of("happened")};
    struct igt_plan plans[] = {world_plan("a", policies, 2)};
    struct bench bench;
    (void)state;
    policies[1].first = IGT_FIRST_ON_SCHEDULE;
    plans[0].events = events;
    plans[0].event_count = 1;
    open_shared_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    policies[1].first = IGT_FIRST_AT_ONCE;
    igt_scheduler_set_lanes(bench.scheduler, &none);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    const struct ingot_lanes all = igt_lanes_all();
    igt_scheduler_set_lanes(bench.scheduler, &all);
    emit(&bench, one, 1);
    turn(&bench);
    finish(&bench, 0, IGT_REPORT_FAILED, bench.world.now_us + 9 * SECOND);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    igt_scheduler_stop(bench.scheduler);
    bench.world.now_us += 9 * SECOND;
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    close_bench(&bench);
}

static void a_first_claim_is_run_also_when_its_lane_is_lost_meanwhile(void **state)
{
    const struct ingot_lanes none = {{0}};
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    igt_scheduler_set_lanes(bench.scheduler, &none);
    ingot_ksuid id = emit_claimed(&bench, &bench.owner);
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
    bench.running[bench.running_count++] = latest(&bench, &id);
    finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_SUCCEEDED);
    assert_int_equal(bench.notice_count, 1);
    close_bench(&bench);
}

static void a_first_claim_that_is_stored_after_the_stop_is_given_back(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    igt_scheduler_stop(bench.scheduler);
    assert_false(igt_scheduler_is_idle(bench.scheduler));
    ingot_ksuid id = emit_claimed(&bench, &bench.owner);
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_NOTHING);
    turn(&bench);
    assert_int_equal(latest(&bench, &id).state_after, INGOT_STATE_AWAITING);
    assert_true(igt_scheduler_is_idle(bench.scheduler));
    close_bench(&bench);
}

static void a_first_claim_of_which_somebody_else_was_faster_is_mended_from_the_chain(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    ingot_ksuid other = world_id(&bench.world);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    ingot_ksuid id = emit_claimed(&bench, &other);
    assert_int_equal(show_claimed(&bench, &id, INGOT_LOST), IGT_NEXT_NOTHING);
    turn(&bench);
    assert_int_equal(bench.read_count, 1);
    assert_int_equal(bench.running_count, 0);
    assert_int_equal(igt_scheduler_numbers(bench.scheduler).claims_lost, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 0);
    close_bench(&bench);
}

static void a_job_that_waits_already_is_claimed_only_once(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2)};
    struct bench bench;
    (void)state;
    open_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 2);
    ingot_ksuid id = emit(&bench, one, 1); /* a sweep, say, was faster than the results */
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
    igt_scheduler_take_back(bench.scheduler, 0, 1);
    assert_true(igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows) == INT64_MAX);
    assert_int_equal(bench.rows.count, 0);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    close_bench(&bench);
}

/* As a cold read, or a sweep, that was between the commit and its results: with the claim. */
static void a_first_claim_that_was_shown_before_its_verdict_is_run_once(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 2)};
    (void)state;
    for (int planned = 0; planned < 2; planned++) {
        struct bench bench;
        open_bench(&bench, plans, 1);
        assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 2);
        ingot_ksuid id = emit_claimed(&bench, &bench.owner);
        assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_TAKEN);
        if (planned)
            igt_scheduler_plan(bench.scheduler, bench.world.now_us, &bench.rows);
        assert_int_equal(bench.rows.read_count, planned);
        assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_DELIVER);
        bench.running[bench.running_count++] = latest(&bench, &id);
        turn(&bench);
        assert_int_equal(bench.running_count, 1);
        assert_int_equal(igt_scheduler_numbers(bench.scheduler).taken_over, 0);
        finish(&bench, 0, IGT_REPORT_SUCCEEDED, INGOT_NO_TIME);
        assert_int_equal(latest(&bench, &id).seq, 2);
        igt_scheduler_take_back(bench.scheduler, 0, 1);
        assert_true(igt_scheduler_is_idle(bench.scheduler));
        assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 2);
        close_bench(&bench);
    }
}

static void a_first_claim_of_a_job_that_is_farther_leaves_it_to_the_chain(void **state)
{
    struct igt_policy policy = steady();
    struct igt_plan plans[] = {world_plan("a", &policy, 1)};
    struct bench bench;
    (void)state;
    open_shared_bench(&bench, plans, 1);
    assert_int_equal(igt_scheduler_grant(bench.scheduler, 0, bench.world.now_us), 1);
    ingot_ksuid id = emit_claimed(&bench, &bench.owner), other = rival_claims(&bench, &id);
    const struct igt_peer peer = {other, IGT_PEER_LIVING};
    judge(&bench, &peer, 1);
    assert_int_equal(sight(&bench, &id, 0), IGT_SIGHT_TAKEN);
    assert_int_equal(show_claimed(&bench, &id, INGOT_STORED), IGT_NEXT_NOTHING);
    turn(&bench);
    assert_int_equal(bench.running_count, 0);
    assert_int_equal(latest(&bench, &id).seq, 2);
    close_bench(&bench);
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
        cmocka_unit_test(of_a_destination_at_most_500_are_claimed_at_once_and_the_rest_right_after),
        cmocka_unit_test(exactly_500_due_jobs_need_one_call),
        cmocka_unit_test(a_destination_that_asks_for_a_pause_gets_it),
        cmocka_unit_test(a_pause_of_ten_years_is_clamped),
        cmocka_unit_test(a_claim_that_lost_is_mended_from_the_chain),
        cmocka_unit_test(the_outcome_of_a_zombie_is_not_stored_nor_what_hangs_on_it),
        cmocka_unit_test(the_verdict_of_what_hung_on_a_lost_row_changes_nothing_when_it_comes_late),
        cmocka_unit_test(row_4_a_job_whose_owner_died_on_its_last_attempt_is_discarded),
        cmocka_unit_test(a_stopped_scheduler_claims_nothing_and_gives_back_what_was_under_way),
        cmocka_unit_test(row_78_an_event_has_its_own_policy_and_else_the_destinations),
        cmocka_unit_test(a_first_attempt_on_schedule_waits_for_it),
        cmocka_unit_test(jobs_of_unknown_destinations_are_left_alone),
        cmocka_unit_test(with_a_lease_no_lane_is_worked_until_it_is_given),
        cmocka_unit_test(a_lost_lane_is_forgotten_but_for_what_runs_and_the_others_are_kept),
        cmocka_unit_test(
            whatever_ends_an_attempt_in_a_lost_lane_comes_with_a_notice_and_leaves_nothing),
        cmocka_unit_test(a_claim_under_way_when_its_lane_is_lost_is_run_and_ends_with_a_notice),
        cmocka_unit_test(a_claim_that_lost_in_a_lost_lane_is_forgotten),
        cmocka_unit_test(a_lane_that_came_back_while_its_attempt_ran_needs_no_notice),
        cmocka_unit_test(a_foreign_job_takes_up_room_until_a_notice_tells_of_its_end),
        cmocka_unit_test(a_foreign_job_is_read_again_once_a_lease),
        cmocka_unit_test(a_claim_that_lost_keeps_its_room_until_it_is_known_who_has_it),
        cmocka_unit_test(a_claim_is_taken_over_when_its_owner_is_known_to_be_dead_and_not_before),
        cmocka_unit_test(a_foreign_job_is_taken_over_at_the_look_that_follows_the_judgement),
        cmocka_unit_test(an_owner_who_comes_back_is_believed_again),
        cmocka_unit_test(a_claim_with_a_due_time_is_taken_over_only_after_it_whoever_lives),
        cmocka_unit_test(a_due_time_that_was_extended_is_waited_for_again),
        cmocka_unit_test(what_executes_for_ourselves_and_is_not_in_memory_is_taken_over),
        cmocka_unit_test(a_notice_of_a_job_that_memory_lacks_has_it_read),
        cmocka_unit_test(a_notice_of_what_waits_has_it_read_and_of_what_runs_nothing),
        cmocka_unit_test(the_answer_to_a_read_replaces_what_is_mended_and_nothing_else),
        cmocka_unit_test(a_read_that_could_not_be_answered_is_asked_for_again),
        cmocka_unit_test(the_sweep_finds_what_memory_lacks_in_our_lanes),
        cmocka_unit_test(the_sweep_mends_what_is_older_in_memory_and_keeps_what_is_not),
        cmocka_unit_test(the_sweep_has_read_again_what_nobody_showed_unless_it_is_under_way_or_new),
        cmocka_unit_test(sweeps_without_end_look_at_everything_each_time),
        cmocka_unit_test(the_list_names_every_live_job_of_the_lanes_whatever_it_does),
        cmocka_unit_test(jobs_of_any_number_of_unknown_destinations_are_kept_and_counted),
        cmocka_unit_test(a_stopped_scheduler_asks_for_nothing),
        cmocka_unit_test(row_3_whatever_happens_every_job_ends_and_every_chain_is_right),
        cmocka_unit_test(first_claims_are_granted_for_the_room_that_is_left),
        cmocka_unit_test(a_first_claim_goes_the_way_of_every_claim),
        cmocka_unit_test(a_grant_that_is_out_does_not_hide_when_a_retry_is_due),
        cmocka_unit_test(no_first_claim_is_granted_where_another_rule_says_when),
        cmocka_unit_test(a_first_claim_is_run_also_when_its_lane_is_lost_meanwhile),
        cmocka_unit_test(a_first_claim_that_is_stored_after_the_stop_is_given_back),
        cmocka_unit_test(a_first_claim_of_which_somebody_else_was_faster_is_mended_from_the_chain),
        cmocka_unit_test(a_job_that_waits_already_is_claimed_only_once),
        cmocka_unit_test(a_first_claim_that_was_shown_before_its_verdict_is_run_once),
        cmocka_unit_test(a_first_claim_of_a_job_that_is_farther_leaves_it_to_the_chain),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
