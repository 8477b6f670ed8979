/*
 * When a job runs again. A schedule is an interval ("@every 1h") or a cron
 * expression; an interval may grow by a factor up to a cap; jitter only adds.
 */
#ifndef INGOT_CORE_POLICY_H
#define INGOT_CORE_POLICY_H

#include "cron.h"

enum igt_schedule_kind { IGT_SCHEDULE_EVERY, IGT_SCHEDULE_CRON };

struct igt_schedule {
    enum igt_schedule_kind kind;
    int64_t every_us;
    struct igt_cron cron;
};

enum igt_first_attempt {
    IGT_FIRST_AT_ONCE,    /* "realtime": as soon as the event is stored */
    IGT_FIRST_ON_SCHEDULE /* at the next instant of the schedule */
};

struct igt_policy {
    struct igt_schedule schedule;
    enum igt_first_attempt first;
    uint32_t retries_max;    /* runs after the first; 0 is none at all */
    double backoff;          /* factor from one interval to the next, at least 1, which keeps it */
    int64_t interval_us_max; /* cap of the growth; a longer interval stays as it is */
    double jitter; /* 0 to 1: up to this share of the interval is added; of a minute for cron */
};

/* The specification's defaults: "@every 1h", 72 retries (three days); first attempt at once. */
extern const struct igt_policy igt_policy_default;

/* Parses "@every DURATION" (1 ms to 100 years), a cron expression or one of its @names. */
enum ingot_status igt_schedule_parse(struct ingot_bytes text, struct igt_schedule *ret_schedule,
                                     struct ingot_error *err);

/*
 * When the run after the failed_attempt-th is due (1 is the first run).
 * random is a number in [0, 1) for the jitter. retry_after_us is the instant
 * the destination asked for, or INGOT_NO_TIME; it delays, and never hastens,
 * and counts at most IGT_RETRY_AFTER_US_MAX from now.
 */
int64_t igt_policy_retry_at(const struct igt_policy *policy, uint32_t failed_attempt,
                            int64_t now_us, int64_t retry_after_us, double random);

/* When the first run is due for an event received at that time: INGOT_NO_TIME means at once. */
int64_t igt_policy_first_at(const struct igt_policy *policy, int64_t received_us);

#endif
