/* Cron expressions as sets of bits, and the minutes that they match; see cron.h. */
#include "cron.h"

#include "instant.h"

#include <string.h>
#include <strings.h>

/* 29 February comes after eight years at the latest: 2096, 2104. */
#define GAP_US_MAX (9 * 366 * IGT_DAY_US)

/* What is left to read of an expression. */
struct reader {
    const char *at, *end;
};

struct field {
    const char *name;
    const char *holds; /* for the error */
    const char *words; /* of three letters each, the first stands for low; or NULL */
    int low, high;
    int last; /* where "*" and "5/10" end: not at the second Sunday */
};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field fields[FIELDS] = {
    [MINUTE] = {"minute", "0 to 59", NULL, 0, 59, 59},
    [HOUR] = {"hour", "0 to 23", NULL, 0, 23, 23},
    [DAY] = {"day of the month", "1 to 31", NULL, 1, 31, 31},
    [MONTH] = {"month", "1 to 12 or JAN to DEC", "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 1, 12, 12},
    [WEEKDAY] = {"day of the week", "0 to 7 or SUN to SAT", "SUNMONTUEWEDTHUFRISAT", 0, 7, 6},
};

/* The values of a field. */
struct set {
    uint64_t bits;
    int has_star; /* "*" was among them: the field restricts nothing */
};

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
}

static int take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return 0;
    reader->at++;
    return 1;
}

static int take_number(struct reader *reader, int high, int *ret_number)
{
    const char *start = reader->at;
    int number = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        number = 10 * number + (*reader->at - '0');
        if (number > high)
            return 0;
    }
    *ret_number = number;
    return reader->at > start;
}

/* Takes a number of the field or one of its words. */
static int take_value(struct reader *reader, const struct field *field, int *ret_value)
{
    size_t words = field->words ? strlen(field->words) / 3 : 0;
    for (size_t i = 0; i < words && reader->end - reader->at >= 3; i++)
        if (strncasecmp(reader->at, field->words + 3 * i, 3) == 0) {
            reader->at += 3;
            *ret_value = field->low + (int)i;
            return 1;
        }
    return take_number(reader, field->high, ret_value) && *ret_value >= field->low;
}

/* Takes one member of a list: "*", "5" or "1-5", with or without "/2". */
static int take_item(struct reader *reader, const struct field *field, struct set *set)
{
    int first = field->low, last = field->last, step = 1;
    int star = take(reader, '*');
    if (!star) {
        if (!take_value(reader, field, &first))
            return 0;
        if (take(reader, '-')) {
            if (!take_value(reader, field, &last) || last < first)
                return 0;
        } else if (reader->at == reader->end || *reader->at != '/' || first > last) {
            last = first;
        }
    }
    if (take(reader, '/') && (!take_number(reader, field->high, &step) || step < 1))
        return 0;
    for (int value = first; value <= last; value += step)
        set->bits |= UINT64_C(1) << value;
    set->has_star |= star && step == 1;
    return 1;
}

/* Takes a field and the blanks behind it. */
static enum ingot_status take_field(struct reader *reader, const struct field *field,
                                    struct set *ret_set, struct ingot_error *err)
{
    struct set set = {0, 0};
    int good;
    if (reader->at == reader->end)
        return ingot_error_set(err, INGOT_INVALID,
                               "the %s is missing; a cron expression is five fields, minute hour "
                               "day month weekday, or a name as @daily",
                               field->name);
    do
        good = take_item(reader, field, &set);
    while (good && take(reader, ','));
    if (!good || (reader->at < reader->end && !is_blank(*reader->at)))
        return ingot_error_set(err, INGOT_INVALID,
                               "the %s of a cron expression holds %s: *, values, upward ranges as "
                               "1-5 and steps as */2, between commas",
                               field->name, field->holds);
    skip_blanks(reader);
    *ret_set = set;
    return INGOT_OK;
}

/* Whether some month has one of the days; leap years come. */
static int has_a_day(const struct igt_cron *cron)
{
    for (int month = 1; month <= 12; month++) {
        uint32_t days = UINT32_MAX >> (31 - igt_days_in_month(2000, month));
        if (cron->months >> month & 1 && cron->days & days)
            return 1;
    }
    return 0;
}

static enum ingot_status parse_fields(struct reader *reader, struct igt_cron *ret_cron,
                                      struct ingot_error *err)
{
    struct set sets[FIELDS];
    for (int i = 0; i < FIELDS; i++) {
        enum ingot_status status = take_field(reader, &fields[i], &sets[i], err);
        if (status != INGOT_OK)
            return status;
    }
    if (reader->at < reader->end)
        return ingot_error_set(err, INGOT_INVALID,
                               "a cron expression ends after its five fields, minute hour day "
                               "month weekday");
    uint64_t weekdays = sets[WEEKDAY].bits;
    struct igt_cron cron = {
        .minutes = sets[MINUTE].bits,
        .hours = (uint32_t)sets[HOUR].bits,
        .days = (uint32_t)sets[DAY].bits,
        .months = (uint16_t)sets[MONTH].bits,
        .weekdays = (uint8_t)((weekdays | weekdays >> 7) & 0x7f),
        .either_day = !sets[DAY].has_star && !sets[WEEKDAY].has_star,
    };
    if (!cron.either_day && !has_a_day(&cron))
        return ingot_error_set(err, INGOT_INVALID,
                               "the cron expression never matches: none of its months has such a "
                               "day");
    *ret_cron = cron;
    return INGOT_OK;
}

enum ingot_status igt_cron_parse(struct ingot_bytes text, struct igt_cron *ret_cron,
                                 struct ingot_error *err)
{
    static const struct {
        const char *name;
        const char *fields;
    } names[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                 {"@annually", "0 0 1 1 *"}};
    const char *chars = text.data ? text.data : "";
    struct reader reader = {chars, chars + (text.data ? text.len : 0)};
    skip_blanks(&reader);
    size_t len = (size_t)(reader.end - reader.at);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (len == strlen(names[i].name) && strncasecmp(reader.at, names[i].name, len) == 0) {
            reader.at = names[i].fields;
            reader.end = reader.at + strlen(reader.at);
            break;
        }
    if (reader.at < reader.end && *reader.at == '@')
        return ingot_error_set(err, INGOT_INVALID,
                               "there is no such name for a schedule; there are @every DURATION, "
                               "@hourly, @daily, @midnight, @weekly, @monthly, @yearly and "
                               "@annually");
    return parse_fields(&reader, ret_cron, err);
}

static int day_matches(const struct igt_cron *cron, const struct igt_civil *civil)
{
    int day = cron->days >> civil->day & 1;
    int weekday = cron->weekdays >> civil->weekday & 1;
    return cron->either_day ? day | weekday : day & weekday;
}

int64_t igt_cron_next(const struct igt_cron *cron, int64_t after_us)
{
    if (after_us > INT64_MAX - GAP_US_MAX)
        return INT64_MAX;
    struct igt_civil civil;
    igt_time_to_civil(after_us, &civil);
    int64_t at = after_us + (IGT_MINUTE_US - civil.second * IGT_SECOND_US - civil.micros);
    for (;;) {
        igt_time_to_civil(at, &civil);
        int64_t hour = at - civil.minute * IGT_MINUTE_US;
        int64_t day = hour - civil.hour * IGT_HOUR_US;
        /* What does not match is left as a whole, to the first minute behind it. */
        if (!(cron->months >> civil.month & 1))
            at = day + (igt_days_in_month(civil.year, civil.month) - civil.day + 1) * IGT_DAY_US;
        else if (!day_matches(cron, &civil))
            at = day + IGT_DAY_US;
        else if (!(cron->hours >> civil.hour & 1))
            at = hour + IGT_HOUR_US;
        else if (!(cron->minutes >> civil.minute & 1))
            at += IGT_MINUTE_US;
        else
            return at;
    }
}
