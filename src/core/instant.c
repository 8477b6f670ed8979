/* Civil time without the C library's locale and time zone, and its text; see instant.h. */
#include "instant.h"

#include <stdio.h>
#include <string.h>

/* Years are counted from March, so that a leap day is the last of its year. */
#define DAYS_TO_MARCH_0000 719468 /* from 0000-03-01 to 1970-01-01 */
#define DAYS_400_YEARS 146097     /* after which the calendar repeats */

#define YEAR_10000_US (INT64_C(253402300800) * IGT_SECOND_US)
#define DURATION_NS_MAX (INT64_C(36525) * 1000 * IGT_DAY_US) /* 100 years */

/* What is left to read of a text. */
struct reader {
    const char *at, *end;
};

/* Rounds down, where C rounds towards zero. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    return a % b + (a % b < 0 ? b : 0);
}

int igt_days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from a 1 March to the first of the month that is so many months later. */
static int days_before(int months_from_march)
{
    return (153 * months_from_march + 2) / 5;
}

void igt_time_to_civil(int64_t time_us, struct igt_civil *ret_civil)
{
    int64_t unix_day = floor_div(time_us, IGT_DAY_US);
    int64_t micros = floor_mod(time_us, IGT_DAY_US);
    int64_t cycle = floor_div(unix_day + DAYS_TO_MARCH_0000, DAYS_400_YEARS);
    int day = (int)floor_mod(unix_day + DAYS_TO_MARCH_0000, DAYS_400_YEARS);
    /* Without its leap days (the last of 4, not of 100, but of 400 years) each year has 365. */
    int year = (day - day / 1460 + day / 36524 - day / (DAYS_400_YEARS - 1)) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int month = (5 * day + 2) / 153;

    ret_civil->year = 400 * cycle + year + (month >= 10);
    ret_civil->month = month < 10 ? month + 3 : month - 9;
    ret_civil->day = day - days_before(month) + 1;
    ret_civil->hour = (int)(micros / IGT_HOUR_US);
    ret_civil->minute = (int)(micros / IGT_MINUTE_US % 60);
    ret_civil->second = (int)(micros / IGT_SECOND_US % 60);
    ret_civil->micros = (int)(micros % IGT_SECOND_US);
    ret_civil->weekday = (int)floor_mod(unix_day + 4, 7);
}

int64_t igt_time_from_civil(const struct igt_civil *civil)
{
    int month = civil->month > 2 ? civil->month - 3 : civil->month + 9;
    int64_t year = civil->year - (civil->month <= 2);
    int64_t leap_days = floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400);
    int64_t unix_day =
        365 * year + leap_days + days_before(month) + civil->day - 1 - DAYS_TO_MARCH_0000;
    /* Before 1970 the time of day goes first: the day alone may not fit. */
    int64_t of_day = civil->hour * IGT_HOUR_US + civil->minute * IGT_MINUTE_US +
                     civil->second * IGT_SECOND_US + civil->micros;
    if (unix_day < 0)
        return (unix_day + 1) * IGT_DAY_US + (of_day - IGT_DAY_US);
    return unix_day * IGT_DAY_US + of_day;
}

/* Writes a number in that many digits, and what is to stand behind it; returns where to go on. */
static char *put(char *at, int number, int width, char behind)
{
    for (int i = width; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
    at[width] = behind;
    return at + width + 1;
}

void igt_time_format(int64_t time_us, char text[IGT_TIME_TEXT_SIZE])
{
    struct igt_civil civil;
    char *at = text;
    igt_time_to_civil(time_us, &civil);
    if (civil.year < 0 || civil.year > 9999)
        at += snprintf(text, IGT_TIME_TEXT_SIZE, "%04lld-", (long long)civil.year);
    else
        at = put(at, (int)civil.year, 4, '-');
    at = put(at, civil.month, 2, '-');
    at = put(at, civil.day, 2, 'T');
    at = put(at, civil.hour, 2, ':');
    at = put(at, civil.minute, 2, ':');
    at = put(at, civil.second, 2, '.');
    at = put(at, civil.micros, 6, 'Z');
    *at = '\0';
}

static int is_digit(const struct reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

/* Takes the next character if it is one of the given. */
static int take(struct reader *reader, const char *any_of)
{
    if (reader->at == reader->end || !*reader->at || !strchr(any_of, *reader->at))
        return 0;
    reader->at++;
    return 1;
}

/* Takes exactly that many digits. */
static int take_number(struct reader *reader, int count, int *ret_number)
{
    int number = 0;
    for (; count > 0; count--) {
        if (!is_digit(reader))
            return 0;
        number = 10 * number + (*reader->at++ - '0');
    }
    *ret_number = number;
    return 1;
}

/* full-date and partial-time without its fraction */
static int take_date_and_time(struct reader *reader, struct igt_civil *civil)
{
    int year;
    if (!take_number(reader, 4, &year) || !take(reader, "-") ||
        !take_number(reader, 2, &civil->month) || !take(reader, "-") ||
        !take_number(reader, 2, &civil->day) || !take(reader, "Tt") ||
        !take_number(reader, 2, &civil->hour) || !take(reader, ":") ||
        !take_number(reader, 2, &civil->minute) || !take(reader, ":") ||
        !take_number(reader, 2, &civil->second))
        return 0;
    civil->year = year;
    return 1;
}

/* time-secfrac, which may be missing */
static int take_fraction(struct reader *reader, int *ret_micros)
{
    int micros = 0, digits = 0;
    if (take(reader, ".")) {
        for (int unit = 100000; digits < 9 && is_digit(reader); unit /= 10, digits++)
            micros += unit * (*reader->at++ - '0');
        if (!digits)
            return 0;
    }
    *ret_micros = micros;
    return 1;
}

/* time-offset */
static int take_offset(struct reader *reader, int64_t *ret_offset_us)
{
    int hours = 0, minutes = 0;
    int west = reader->at < reader->end && *reader->at == '-';
    if (!take(reader, "Zz") &&
        (!take(reader, "+-") || !take_number(reader, 2, &hours) || !take(reader, ":") ||
         !take_number(reader, 2, &minutes) || hours > 23 || minutes > 59))
        return 0;
    int64_t offset_us = hours * IGT_HOUR_US + minutes * IGT_MINUTE_US;
    *ret_offset_us = west ? -offset_us : offset_us;
    return 1;
}

static int is_on_the_calendar(const struct igt_civil *civil)
{
    return civil->month >= 1 && civil->month <= 12 && civil->day >= 1 &&
           civil->day <= igt_days_in_month(civil->year, civil->month) && civil->hour <= 23 &&
           civil->minute <= 59 && civil->second <= 60;
}

enum ingot_status igt_time_parse(struct ingot_bytes text, int64_t *ret_time_us,
                                 struct ingot_error *err)
{
    const char *chars = text.data ? text.data : "";
    struct reader reader = {chars, chars + (text.data ? text.len : 0)};
    struct igt_civil civil = {0};
    int64_t offset_us;
    if (!take_date_and_time(&reader, &civil) || !take_fraction(&reader, &civil.micros) ||
        !take_offset(&reader, &offset_us) || reader.at != reader.end)
        return ingot_error_set(err, INGOT_INVALID,
                               "a time is written as RFC 3339 says: 2020-10-30T13:19:54.032Z");
    if (!is_on_the_calendar(&civil))
        return ingot_error_set(err, INGOT_INVALID,
                               "the time is not on the calendar; look at its month, day, hour, "
                               "minute and second");
    int64_t time_us = igt_time_from_civil(&civil) - offset_us;
    if (civil.second == 60 && (time_us - civil.micros) % IGT_DAY_US != 0)
        return ingot_error_set(err, INGOT_INVALID,
                               "the second 60 is a leap second only at 23:59:60 UTC");
    if (time_us < 0 || time_us >= YEAR_10000_US)
        return ingot_error_set(err, INGOT_INVALID,
                               "the time must be in the years 1970 to 9999 of UTC");
    *ret_time_us = time_us;
    return INGOT_OK;
}

/* Takes a unit; 0 if there is none. */
static int64_t take_unit_ns(struct reader *reader)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        /* "ms" before "m", for the first that fits is taken */
        {"ns", 1},
        {"us", 1000},
        {"\302\265s", 1000}, /* the micro sign, as Go writes it */
        {"ms", 1000000},
        {"s", 1000 * IGT_SECOND_US},
        {"m", 1000 * IGT_MINUTE_US},
        {"h", 1000 * IGT_HOUR_US},
        {"d", 1000 * IGT_DAY_US},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i].name);
        if ((size_t)(reader->end - reader->at) >= len &&
            memcmp(reader->at, units[i].name, len) == 0) {
            reader->at += len;
            return units[i].ns;
        }
    }
    return 0;
}

/* Takes a number with its unit, "1.5s"; what is too long stays at more than the maximum. */
static int take_part_ns(struct reader *reader, int64_t *ret_ns)
{
    struct reader fraction = {NULL, NULL};
    int64_t whole = 0;
    if (!is_digit(reader))
        return 0;
    for (; is_digit(reader); reader->at++)
        whole =
            whole > DURATION_NS_MAX / 10 ? DURATION_NS_MAX + 1 : 10 * whole + (*reader->at - '0');
    if (take(reader, ".")) {
        fraction.at = reader->at;
        while (is_digit(reader))
            reader->at++;
        fraction.end = reader->at;
        if (fraction.at == fraction.end)
            return 0;
    }
    int64_t unit_ns = take_unit_ns(reader);
    if (!unit_ns)
        return 0;
    int64_t ns = whole > DURATION_NS_MAX / unit_ns ? DURATION_NS_MAX + 1 : whole * unit_ns;
    for (; fraction.at < fraction.end; fraction.at++)
        ns += (unit_ns /= 10) * (*fraction.at - '0');
    *ret_ns = ns;
    return 1;
}

enum ingot_status igt_duration_parse(struct ingot_bytes text, int64_t *ret_us,
                                     struct ingot_error *err)
{
    const char *chars = text.data ? text.data : "";
    struct reader reader = {chars, chars + (text.data ? text.len : 0)};
    int64_t total_ns = 0, ns;
    do {
        if (!take_part_ns(&reader, &ns))
            return ingot_error_set(err, INGOT_INVALID,
                                   "a duration is numbers with units, as 1h30m, 1.5s or 250ms; "
                                   "the units are ns, us, ms, s, m, h and d");
        total_ns += ns;
        if (total_ns > DURATION_NS_MAX)
            return ingot_error_set(err, INGOT_INVALID, "a duration is at most 100 years");
    } while (reader.at < reader.end);
    *ret_us = total_ns / 1000;
    return INGOT_OK;
}
