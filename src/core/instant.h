/*
 * Instants and durations as text. Instants are microseconds since 1970 UTC,
 * durations are microseconds.
 */
#ifndef INGOT_CORE_INSTANT_H
#define INGOT_CORE_INSTANT_H

#include <ingot/ingot.h>

/* "2020-10-30T13:19:54.032384Z" and its NUL, with room for years of more digits */
#define IGT_TIME_TEXT_SIZE 32

#define IGT_SECOND_US INT64_C(1000000)
#define IGT_MINUTE_US (60 * IGT_SECOND_US)
#define IGT_HOUR_US (60 * IGT_MINUTE_US)
#define IGT_DAY_US (24 * IGT_HOUR_US)

/* A civil date and time of day, UTC, proleptic Gregorian. */
struct igt_civil {
    int64_t year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
    int hour, minute, second;
    int micros;
    int weekday; /* 0 is Sunday */
};

/* 28 to 31; month is 1 to 12. */
int igt_days_in_month(int64_t year, int month);

/* The civil time of an instant, and back; fields out of range are the caller's mistake. */
void igt_time_to_civil(int64_t time_us, struct igt_civil *ret_civil);
int64_t igt_time_from_civil(const struct igt_civil *civil);

/* Writes RFC 3339 with "Z" and six digits of fraction. time_us must not be INGOT_NO_TIME. */
void igt_time_format(int64_t time_us, char text[IGT_TIME_TEXT_SIZE]);

/*
 * Parses RFC 3339 section 5.6: any offset, 0 to 9 digits of fraction (cut to
 * microseconds), a leap second counts as the next second. Years 1970 to 9999
 * of UTC.
 */
enum ingot_status igt_time_parse(struct ingot_bytes text, int64_t *ret_time_us,
                                 struct ingot_error *err);

/*
 * Parses a duration as Go writes them: "1h30m", "250ms", "1.5s"; units ns, us
 * (or with the micro sign), ms, s, m, h, and d for days, cut to microseconds.
 * Not negative; at most 100 years.
 */
enum ingot_status igt_duration_parse(struct ingot_bytes text, int64_t *ret_us,
                                     struct ingot_error *err);

#endif
