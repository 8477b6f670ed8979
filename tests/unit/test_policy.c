/* Schedules and policies: when a job runs first, and when again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "core/instant.h"
#include "core/limits.h"
#include "core/policy.h"

#define NOW_US INT64_C(1604063994032384) /* 2020-10-30T13:19:54.032384Z */
#define NEXT_HOUR_US INT64_C(1604066400000000)
#define RANDOM_MAX 0x1.fffffffffffffp-1 /* the greatest below 1 */
#define YEAR_US (36525 * IGT_DAY_US / 100)

static struct igt_schedule schedule(const char *text)
{
    struct igt_schedule schedule;
    struct ingot_error err = {0};
    if (igt_schedule_parse(ingot_bytes_of(text), &schedule, &err) != INGOT_OK)
        fail_msg("%s: %s", text, err.message);
    return schedule;
}

/* A policy without jitter. */
static struct igt_policy policy(const char *text, double backoff, int64_t interval_us_max)
{
    return (struct igt_policy){.schedule = schedule(text),
                               .retries_max = 5,
                               .backoff = backoff,
                               .interval_us_max = interval_us_max};
}

/* The time from now to the next run. */
static int64_t delay(const struct igt_policy *policy, uint32_t failed_attempt, double random)
{
    return igt_policy_retry_at(policy, failed_attempt, NOW_US, INGOT_NO_TIME, random) - NOW_US;
}

static void row_74_the_default_is_each_hour_for_three_days_after_a_first_run_at_once(void **state)
{
    (void)state;
    const struct igt_policy *policy = &igt_policy_default;
    assert_int_equal(policy->schedule.kind, IGT_SCHEDULE_EVERY);
    assert_int_equal(policy->schedule.every_us, IGT_HOUR_US);
    assert_int_equal(policy->retries_max, 72);
    assert_true(policy->backoff == 1 && policy->jitter == 0.1);
    assert_int_equal(policy->interval_us_max, IGT_DAY_US);
    assert_int_equal(igt_policy_first_at(policy, NOW_US), INGOT_NO_TIME);
    for (uint32_t attempt = 1; attempt <= 73; attempt++) {
        assert_int_equal(delay(policy, attempt, 0), IGT_HOUR_US);
        assert_int_equal(delay(policy, attempt, 0.5), IGT_HOUR_US + 3 * IGT_MINUTE_US);
    }
}

static void row_75_schedules_are_intervals_cron_expressions_or_names(void **state)
{
    (void)state;
    assert_int_equal(schedule("@every 90s").kind, IGT_SCHEDULE_EVERY);
    assert_int_equal(schedule("@every 90s").every_us, 90 * IGT_SECOND_US);
    assert_int_equal(schedule("@every 1h30m").every_us, 90 * IGT_MINUTE_US);
    assert_int_equal(schedule("@every 1ms").every_us, 1000);
    assert_int_equal(schedule("@every 36525d").every_us, 100 * YEAR_US);
    assert_int_equal(schedule("*/15 * * * *").kind, IGT_SCHEDULE_CRON);
    assert_int_equal(schedule("*/15 * * * *").cron.hours, 0xffffff);
    assert_int_equal(schedule("@hourly").kind, IGT_SCHEDULE_CRON);
    assert_int_equal(schedule("@hourly").cron.minutes, 1);
}

static void expect_refused(struct ingot_bytes text, const char *message)
{
    struct ingot_error err = {0};
    struct igt_schedule schedule = {.every_us = 77};
    if (igt_schedule_parse(text, &schedule, &err) != INGOT_INVALID || schedule.every_us != 77 ||
        !strstr(err.message, message))
        fail_msg("%.*s: %s", (int)text.len, (const char *)text.data, err.message);
}

static void other_schedules_are_refused(void **state)
{
    (void)state;
    expect_refused(ingot_bytes_of("@every 999us"), "at least 1ms");
    expect_refused(ingot_bytes_of("@every 0s"), "at least 1ms");
    expect_refused(ingot_bytes_of("@every 36526d"), "100 years");
    expect_refused(ingot_bytes_of("@every -1s"), "1h30m");
    expect_refused(ingot_bytes_of("@every "), "1h30m");
    expect_refused(ingot_bytes_of("@every"), "@every DURATION");
    expect_refused(ingot_bytes_of("@every1s"), "@every DURATION");
    expect_refused(ingot_bytes_of("1h"), "the minute");
    expect_refused(ingot_bytes_of(""), "the minute is missing");
    expect_refused((struct ingot_bytes){NULL, 0}, "the minute is missing");
    expect_refused((struct ingot_bytes){"@every 1s", 8}, "1h30m");
}

static void an_interval_grows_by_its_factor_up_to_the_cap(void **state)
{
    (void)state;
    struct igt_policy doubling = policy("@every 1s", 2, 60 * IGT_SECOND_US);
    static const int64_t seconds[] = {1, 1, 2, 4, 8, 16, 32, 60, 60, 60};
    for (uint32_t attempt = 0; attempt < 10; attempt++)
        assert_int_equal(delay(&doubling, attempt, 0), seconds[attempt] * IGT_SECOND_US);
    struct igt_policy tenfold = policy("@every 1ms", 1.5, 10 * IGT_SECOND_US);
    assert_int_equal(delay(&tenfold, 4, 0), 3375);
}

static void a_cap_below_the_interval_does_not_shorten_it(void **state)
{
    (void)state;
    struct igt_policy slow = policy("@every 2d", 3, IGT_DAY_US);
    assert_int_equal(delay(&slow, 1, 0), 2 * IGT_DAY_US);
    assert_int_equal(delay(&slow, 9, RANDOM_MAX), 2 * IGT_DAY_US);
}

static void no_attempt_is_too_large(void **state)
{
    (void)state;
    static const uint32_t attempts[] = {63, 64, 65, 1025, 65535, 65536, UINT32_MAX};
    struct igt_policy doubling = policy("@every 36525d", 2, INT64_MAX);
    struct igt_policy steady = policy("@every 1h", 1, IGT_DAY_US);
    struct igt_policy creeping = policy("@every 1h", 1.0000001, 2 * IGT_HOUR_US);
    doubling.jitter = 1;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        assert_int_equal(igt_policy_retry_at(&doubling, attempts[i], NOW_US, 0, RANDOM_MAX),
                         INT64_MAX);
        assert_int_equal(delay(&steady, attempts[i], 0), IGT_HOUR_US);
    }
    assert_int_equal(delay(&creeping, UINT32_MAX, 0), 2 * IGT_HOUR_US);
    assert_int_equal(igt_policy_retry_at(&steady, 1, INT64_MAX, INT64_MAX, RANDOM_MAX), INT64_MAX);
}

static void jitter_only_adds_and_at_most_its_share(void **state)
{
    (void)state;
    struct igt_policy jittered = policy("@every 10s", 2, 15 * IGT_SECOND_US);
    jittered.jitter = 0.2;
    assert_int_equal(delay(&jittered, 1, 0), 10 * IGT_SECOND_US);
    assert_int_equal(delay(&jittered, 1, 0.5), 11 * IGT_SECOND_US);
    assert_in_range(delay(&jittered, 1, RANDOM_MAX), 12 * IGT_SECOND_US - 1, 12 * IGT_SECOND_US);
    assert_int_equal(delay(&jittered, 2, 0.5), 16500000);
    jittered.jitter = 0;
    assert_int_equal(delay(&jittered, 1, RANDOM_MAX), 10 * IGT_SECOND_US);
}

static void a_cron_schedule_gives_its_next_minute_and_a_share_of_a_minute(void **state)
{
    (void)state;
    struct igt_policy hourly = policy("0 * * * *", 8, IGT_SECOND_US);
    for (uint32_t attempt = 1; attempt < 5; attempt++)
        assert_int_equal(igt_policy_retry_at(&hourly, attempt, NOW_US, INGOT_NO_TIME, 0.5),
                         NEXT_HOUR_US);
    hourly.jitter = 0.1;
    assert_int_equal(igt_policy_retry_at(&hourly, 1, NOW_US, INGOT_NO_TIME, 0.5),
                     NEXT_HOUR_US + 3 * IGT_SECOND_US);
    assert_int_equal(igt_policy_retry_at(&hourly, 1, INT64_MAX, INGOT_NO_TIME, 0.5), INT64_MAX);
}

static void what_the_destination_asked_for_delays_and_never_hastens(void **state)
{
    (void)state;
    struct igt_policy hourly = policy("@every 1h", 1, IGT_DAY_US);
    static const struct {
        int64_t asked, due; /* from now */
    } cases[] = {
        {-IGT_DAY_US, IGT_HOUR_US},
        {0, IGT_HOUR_US},
        {IGT_HOUR_US - 1, IGT_HOUR_US},
        {IGT_HOUR_US + 1, IGT_HOUR_US + 1},
        {IGT_RETRY_AFTER_US_MAX - 1, IGT_RETRY_AFTER_US_MAX - 1},
        {IGT_RETRY_AFTER_US_MAX + 1, IGT_RETRY_AFTER_US_MAX},
        {10 * YEAR_US, IGT_RETRY_AFTER_US_MAX},
        {INT64_MAX - NOW_US, IGT_RETRY_AFTER_US_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(igt_policy_retry_at(&hourly, 1, NOW_US, NOW_US + cases[i].asked, 0),
                         NOW_US + cases[i].due);
    /* The clamp is for what was asked, not for the policy's own interval. */
    struct igt_policy slow = policy("@every 3d", 1, IGT_DAY_US);
    assert_int_equal(igt_policy_retry_at(&slow, 1, NOW_US, NOW_US + 10 * YEAR_US, 0),
                     NOW_US + 3 * IGT_DAY_US);
}

static void a_first_run_is_at_once_or_on_schedule(void **state)
{
    (void)state;
    struct igt_policy hourly = policy("@every 1h", 2, IGT_DAY_US);
    struct igt_policy cron = policy("0 * * * *", 1, IGT_DAY_US);
    hourly.first = cron.first = IGT_FIRST_AT_ONCE;
    assert_int_equal(igt_policy_first_at(&hourly, NOW_US), INGOT_NO_TIME);
    assert_int_equal(igt_policy_first_at(&cron, NOW_US), INGOT_NO_TIME);
    hourly.first = cron.first = IGT_FIRST_ON_SCHEDULE;
    assert_int_equal(igt_policy_first_at(&hourly, NOW_US), NOW_US + IGT_HOUR_US);
    assert_int_equal(igt_policy_first_at(&cron, NOW_US), NEXT_HOUR_US);
    assert_int_equal(igt_policy_first_at(&hourly, INT64_MAX), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_74_the_default_is_each_hour_for_three_days_after_a_first_run_at_once),
        cmocka_unit_test(row_75_schedules_are_intervals_cron_expressions_or_names),
        cmocka_unit_test(other_schedules_are_refused),
        cmocka_unit_test(an_interval_grows_by_its_factor_up_to_the_cap),
        cmocka_unit_test(a_cap_below_the_interval_does_not_shorten_it),
        cmocka_unit_test(no_attempt_is_too_large),
        cmocka_unit_test(jitter_only_adds_and_at_most_its_share),
        cmocka_unit_test(a_cron_schedule_gives_its_next_minute_and_a_share_of_a_minute),
        cmocka_unit_test(what_the_destination_asked_for_delays_and_never_hastens),
        cmocka_unit_test(a_first_run_is_at_once_or_on_schedule),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
