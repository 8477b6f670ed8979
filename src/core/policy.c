/* Schedules and the instants that they give to a job's next run; see policy.h. */
#include "policy.h"

#include "instant.h"
#include "limits.h"

#include <string.h>
#include <strings.h>

/* A cron expression is exact to the minute, and so is its jitter. */
#define CRON_JITTER_US IGT_MINUTE_US

#define EVERY "@every"
#define EVERY_US_MIN 1000

const struct igt_policy igt_policy_default = {
    .schedule = {.kind = IGT_SCHEDULE_EVERY, .every_us = IGT_HOUR_US},
    .first = IGT_FIRST_AT_ONCE,
    .retries_max = 72,
    .backoff = 1,
    .interval_us_max = IGT_DAY_US,
    .jitter = 0.1,
};

enum ingot_status igt_schedule_parse(struct ingot_bytes text, struct igt_schedule *ret_schedule,
                                     struct ingot_error *err)
{
    const size_t skip = strlen(EVERY " ");
    struct igt_schedule schedule = {.kind = IGT_SCHEDULE_CRON};
    enum ingot_status status;
    if (text.data && text.len >= skip && strncasecmp(text.data, EVERY " ", skip) == 0) {
        struct ingot_bytes duration = {(const char *)text.data + skip, text.len - skip};
        schedule.kind = IGT_SCHEDULE_EVERY;
        status = igt_duration_parse(duration, &schedule.every_us, err);
        if (status == INGOT_OK && schedule.every_us < EVERY_US_MIN)
            status = ingot_error_set(err, INGOT_INVALID, "the interval of @every is at least 1ms");
    } else {
        status = igt_cron_parse(text, &schedule.cron, err);
    }
    if (status == INGOT_OK)
        *ret_schedule = schedule;
    return status;
}

/* instant + delay, for a delay that is not negative; at the end of time it stays. */
static int64_t later(int64_t instant, int64_t delay)
{
    return instant > INT64_MAX - delay ? INT64_MAX : instant + delay;
}

/* every_us * backoff ^ growths, at most the cap. */
static int64_t grown_interval(const struct igt_policy *policy, uint32_t growths)
{
    double interval = (double)policy->schedule.every_us;
    int64_t cap = policy->interval_us_max > policy->schedule.every_us ? policy->interval_us_max
                                                                      : policy->schedule.every_us;
    for (double power = policy->backoff; growths; growths >>= 1, power *= power)
        if (growths & 1)
            interval *= power;
    return interval < (double)cap ? (int64_t)interval : cap;
}

int64_t igt_policy_retry_at(const struct igt_policy *policy, uint32_t failed_attempt,
                            int64_t now_us, int64_t retry_after_us, double random)
{
    int64_t at, spread;
    if (policy->schedule.kind == IGT_SCHEDULE_CRON) {
        at = igt_cron_next(&policy->schedule.cron, now_us);
        spread = CRON_JITTER_US;
    } else {
        spread = grown_interval(policy, failed_attempt ? failed_attempt - 1 : 0);
        at = later(now_us, spread);
    }
    at = later(at, (int64_t)((double)spread * policy->jitter * random));
    int64_t asked_max = later(now_us, IGT_RETRY_AFTER_US_MAX);
    int64_t asked = retry_after_us > asked_max ? asked_max : retry_after_us;
    /* INGOT_NO_TIME is the earliest of all. */
    return asked > at ? asked : at;
}

int64_t igt_policy_first_at(const struct igt_policy *policy, int64_t received_us)
{
    if (policy->first == IGT_FIRST_AT_ONCE)
        return INGOT_NO_TIME;
    if (policy->schedule.kind == IGT_SCHEDULE_CRON)
        return igt_cron_next(&policy->schedule.cron, received_us);
    return later(received_us, policy->schedule.every_us);
}
