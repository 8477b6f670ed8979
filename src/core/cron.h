/*
 * Cron expressions: five fields (minute hour day-of-month month day-of-week)
 * in UTC, with lists, ranges, steps, names (JAN, MON), 7 for Sunday, and
 * @hourly @daily @midnight @weekly @monthly @yearly @annually; names in any
 * case. "5/10" is from 5 to the end. As in POSIX crontab, when both days are
 * restricted either one matches; a field with "*" is not restricted, one with
 * a step above 1 is.
 */
#ifndef INGOT_CORE_CRON_H
#define INGOT_CORE_CRON_H

#include <ingot/ingot.h>

/* A parsed expression: bit n says that n matches. */
struct igt_cron {
    uint64_t minutes;   /* 0 to 59 */
    uint32_t hours;     /* 0 to 23 */
    uint32_t days;      /* 1 to 31 */
    uint16_t months;    /* 1 to 12 */
    uint8_t weekdays;   /* 0 to 6, 0 is Sunday */
    uint8_t either_day; /* both kinds of day are restricted: one of them is enough */
};

/*
 * Parses; the error names the field and what it may hold. Expressions that
 * never match are refused.
 */
enum ingot_status igt_cron_parse(struct ingot_bytes text, struct igt_cron *ret_cron,
                                 struct ingot_error *err);

/*
 * The first matching minute strictly after the instant; INT64_MAX when less
 * than nine years are left to that.
 */
int64_t igt_cron_next(const struct igt_cron *cron, int64_t after_us);

#endif
