/* Cron expressions against a walker that tries every minute. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/cron.h"
#include "core/instant.h"

#define CASES 1000u
#define WALK_MINUTES_MAX (9 * 366 * 1440)

/* The fields as the tests know them: which values they may have and how these are called. */
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };
static const int lows[] = {0, 0, 1, 1, 0}, highs[] = {59, 23, 31, 12, 6};
static const char *const months[] = {"",    "jan", "FEB", "Mar", "apr", "May", "Jun",
                                     "JUL", "Aug", "Sep", "Oct", "Nov", "DEC"};
static const char *const weekdays[] = {"SUN", "mon", "Tue", "Wed", "thu", "Fri", "SAT"};

/* An expression that was made up, with what it must mean. */
struct made {
    char text[256];
    unsigned char matches[FIELDS][60];
    int restricts[FIELDS];
};

/* A number of 64 bits from a seed that moves on (splitmix64). */
static uint64_t draw(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* low to high, both included */
static int draw_between(uint64_t *seed, int low, int high)
{
    return low + (int)(draw(seed) % (uint64_t)(high - low + 1));
}

static void append(struct made *made, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(struct made *made, const char *format, ...)
{
    size_t len = strlen(made->text);
    va_list args;
    va_start(args, format);
    vsnprintf(made->text + len, sizeof made->text - len, format, args);
    va_end(args);
}

static void append_value(struct made *made, uint64_t *seed, int field, int value)
{
    if (field == MONTH && draw(seed) % 2)
        append(made, "%s", months[value]);
    else if (field == WEEKDAY && value < 7 && draw(seed) % 2)
        append(made, "%s", weekdays[value]);
    else
        append(made, draw(seed) % 4 ? "%d" : "%02d", value);
}

static void make_item(struct made *made, uint64_t *seed, int field)
{
    int step = 1, stepped = draw(seed) % 3 == 0;
    int first = draw_between(seed, lows[field], highs[field]), last = first;
    if (stepped)
        step = draw_between(seed, 1, highs[field]);
    switch (draw(seed) % 4) {
    case 0:
        append(made, "*");
        first = lows[field];
        last = highs[field];
        made->restricts[field] &= step > 1;
        break;
    case 1:
        /* Only a range may end with the second Sunday. */
        last = draw_between(seed, first, field == WEEKDAY ? 7 : highs[field]);
        append_value(made, seed, field, first);
        append(made, "-");
        append_value(made, seed, field, last);
        break;
    default:
        append_value(made, seed, field, first);
        if (stepped)
            last = highs[field];
    }
    if (stepped)
        append(made, "/%d", step);
    for (int value = first; value <= last; value += step)
        made->matches[field][field == WEEKDAY ? value % 7 : value] = 1;
}

static void make_expression(struct made *made, uint64_t seed)
{
    memset(made, 0, sizeof *made);
    for (int field = 0; field < FIELDS; field++) {
        if (field)
            append(made, "%s", draw(&seed) % 8 ? " " : " \t ");
        made->restricts[field] = 1;
        for (int items = draw_between(&seed, 1, 3); items > 0; items--) {
            make_item(made, &seed, field);
            if (items > 1)
                append(made, ",");
        }
    }
}

/* A clock of wheels that moves by minutes. */
struct wheels {
    int64_t year;
    int at[FIELDS];
};

static int days_of(const struct wheels *wheels)
{
    static const int days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (wheels->year % 4 == 0 && wheels->year % 100 != 0) || wheels->year % 400 == 0;
    return days[wheels->at[MONTH]] + (leap && wheels->at[MONTH] == 2);
}

static void tick(struct wheels *wheels)
{
    int *at = wheels->at;
    if (++at[MINUTE] < 60)
        return;
    at[MINUTE] = 0;
    if (++at[HOUR] < 24)
        return;
    at[HOUR] = 0;
    at[WEEKDAY] = (at[WEEKDAY] + 1) % 7;
    if (++at[DAY] <= days_of(wheels))
        return;
    at[DAY] = 1;
    if (++at[MONTH] <= 12)
        return;
    at[MONTH] = 1;
    wheels->year++;
}

static int wheels_match(const struct wheels *wheels, const struct made *made)
{
    const int *at = wheels->at;
    int day = made->matches[DAY][at[DAY]], weekday = made->matches[WEEKDAY][at[WEEKDAY]];
    if (!made->matches[MINUTE][at[MINUTE]] || !made->matches[HOUR][at[HOUR]] ||
        !made->matches[MONTH][at[MONTH]])
        return 0;
    if (made->restricts[DAY] && made->restricts[WEEKDAY])
        return day || weekday;
    return day && weekday;
}

/* The first matching minute behind the instant, or -1. */
static int64_t walk(const struct made *made, int64_t after_us)
{
    struct igt_civil civil;
    igt_time_to_civil(after_us, &civil);
    struct wheels wheels = {civil.year,
                            {civil.minute, civil.hour, civil.day, civil.month, civil.weekday}};
    int64_t minute = after_us / IGT_MINUTE_US;
    for (int i = 0; i < WALK_MINUTES_MAX; i++) {
        tick(&wheels);
        minute++;
        if (wheels_match(&wheels, made))
            return minute * IGT_MINUTE_US;
    }
    return -1;
}

static void the_next_minute_is_the_one_that_a_walk_finds(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= CASES; seed++) {
        uint64_t numbers = ~(uint64_t)seed;
        struct made made;
        struct igt_cron cron;
        struct ingot_error err = {0};
        make_expression(&made, seed);
        int64_t after_us = (int64_t)(draw(&numbers) % UINT64_C(9000000000000000));
        if (draw(&numbers) % 4 == 0)
            after_us -= after_us % IGT_HOUR_US;
        int64_t expected = walk(&made, after_us);
        if (igt_cron_parse(ingot_bytes_of(made.text), &cron, &err) != INGOT_OK) {
            if (expected != -1)
                fail_msg("seed %u: \"%s\": %s", seed, made.text, err.message);
            continue;
        }
        for (int i = 0; i < 3; i++) {
            int64_t next = igt_cron_next(&cron, after_us);
            if (next != expected)
                fail_msg("seed %u: \"%s\" after %lld gives %lld, not %lld", seed, made.text,
                         (long long)after_us, (long long)next, (long long)expected);
            after_us = next;
            expected = walk(&made, after_us);
        }
    }
}

static struct igt_cron parsed(const char *text)
{
    struct igt_cron cron;
    struct ingot_error err = {0};
    if (igt_cron_parse(ingot_bytes_of(text), &cron, &err) != INGOT_OK)
        fail_msg("%s: %s", text, err.message);
    return cron;
}

static void known_expressions_give_known_instants(void **state)
{
    (void)state;
    static const struct {
        const char *text, *after, *next;
    } cases[] = {
        {"* * * * *", "2020-10-30T13:19:54.032384Z", "2020-10-30T13:20:00Z"},
        {"* * * * *", "2020-10-30T13:20:00Z", "2020-10-30T13:21:00Z"},
        {"*/15 * * * *", "2020-10-30T13:45:00Z", "2020-10-30T14:00:00Z"},
        {"5/10 * * * *", "2020-10-30T13:55:00Z", "2020-10-30T14:05:00Z"},
        {"1-10/3 0 * * *", "2020-10-30T00:07:00Z", "2020-10-30T00:10:00Z"},
        {"1-10/3 0 * * *", "2020-10-30T00:10:00Z", "2020-10-31T00:01:00Z"},
        {"59 23 31 12 *", "2020-12-31T23:59:00Z", "2021-12-31T23:59:00Z"},
        {"0 0 31 * *", "2021-01-31T00:00:00Z", "2021-03-31T00:00:00Z"},
        {"0 0 29 2 *", "2021-01-01T00:00:00Z", "2024-02-29T00:00:00Z"},
        {"0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
        {"59 23 29 2 *", "2096-02-29T23:59:00Z", "2104-02-29T23:59:00Z"},
        {"0 12 * * SUN", "2020-10-30T13:19:54Z", "2020-11-01T12:00:00Z"},
        {"0 12 * * 7", "2020-10-30T13:19:54Z", "2020-11-01T12:00:00Z"},
        {"0 12 * * 0", "2020-10-30T13:19:54Z", "2020-11-01T12:00:00Z"},
        {"0 12 * * mon-fri", "2020-10-30T13:19:54Z", "2020-11-02T12:00:00Z"},
        {"0 12 * * FRI-7", "2020-10-31T13:19:54Z", "2020-11-01T12:00:00Z"},
        {"0 0 * * 7/2", "2020-11-01T00:00:00Z", "2020-11-08T00:00:00Z"},
        {"0 0 13 * FRI", "2020-10-30T13:19:54Z", "2020-11-06T00:00:00Z"},
        {"0 0 13 * FRI", "2020-11-27T00:00:00Z", "2020-12-04T00:00:00Z"},
        {"0 0 13 * FRI", "2020-12-11T00:00:00Z", "2020-12-13T00:00:00Z"},
        {"0 0 30 2 MON", "2021-01-01T00:00:00Z", "2021-02-01T00:00:00Z"},
        {" 0\t0 1 1 * ", "2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"},
        {"@hourly", "2020-10-30T13:19:54Z", "2020-10-30T14:00:00Z"},
        {"@daily", "2020-10-30T13:19:54Z", "2020-10-31T00:00:00Z"},
        {"@midnight", "2020-10-30T13:19:54Z", "2020-10-31T00:00:00Z"},
        {"@Weekly", "2020-10-30T13:19:54Z", "2020-11-01T00:00:00Z"},
        {"@monthly", "2020-10-30T13:19:54Z", "2020-11-01T00:00:00Z"},
        {"@yearly", "2020-10-30T13:19:54Z", "2021-01-01T00:00:00Z"},
        {"@ANNUALLY", "2020-10-30T13:19:54Z", "2021-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct igt_cron cron = parsed(cases[i].text);
        int64_t after_us, next_us;
        assert_int_equal(igt_time_parse(ingot_bytes_of(cases[i].after), &after_us, NULL), INGOT_OK);
        assert_int_equal(igt_time_parse(ingot_bytes_of(cases[i].next), &next_us, NULL), INGOT_OK);
        if (igt_cron_next(&cron, after_us) != next_us)
            fail_msg("%s after %s is not %s", cases[i].text, cases[i].after, cases[i].next);
    }
}

static void instants_before_1970_and_at_the_end_of_time_have_a_next(void **state)
{
    (void)state;
    struct igt_cron cron = parsed("* * * * *");
    assert_int_equal(igt_cron_next(&cron, -1), 0);
    assert_int_equal(igt_cron_next(&cron, -IGT_MINUTE_US - 1), -IGT_MINUTE_US);
    assert_int_equal(igt_cron_next(&cron, INT64_MAX), INT64_MAX);
    cron = parsed("59 23 29 2 *");
    assert_true(igt_cron_next(&cron, INT64_MAX - 9 * 366 * IGT_DAY_US) > 0);
}

static void expect_refused(struct ingot_bytes text, const char *message)
{
    struct ingot_error err = {0};
    struct igt_cron cron, before;
    memset(&cron, 0x5a, sizeof cron);
    memcpy(&before, &cron, sizeof cron);
    if (igt_cron_parse(text, &cron, &err) != INGOT_INVALID || !strstr(err.message, message))
        fail_msg("\"%.*s\": %s", (int)text.len, (const char *)text.data, err.message);
    assert_memory_equal(&cron, &before, sizeof cron);
}

static void expressions_that_never_match_are_refused(void **state)
{
    (void)state;
    expect_refused(ingot_bytes_of("0 0 30 2 *"), "never matches");
    expect_refused(ingot_bytes_of("0 0 30,31 FEB *"), "never matches");
    expect_refused(ingot_bytes_of("0 0 31 2,4,6,9,11 *"), "never matches");
    expect_refused(ingot_bytes_of("0 0 31 4-6/2 */1"), "never matches");
    (void)parsed("0 0 29 2 *");
    (void)parsed("0 0 31 4,5 *");
    (void)parsed("0 0 30 4 *");
}

static void an_error_names_the_field_and_what_it_may_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"60 * * * *", "the minute of a cron expression holds 0 to 59"},
        {"* 24 * * *", "the hour of a cron expression holds 0 to 23"},
        {"* * 0 * *", "the day of the month of a cron expression holds 1 to 31"},
        {"* * 32 * *", "the day of the month"},
        {"* * * 0 *", "the month of a cron expression holds 1 to 12 or JAN to DEC"},
        {"* * * 13 *", "the month"},
        {"* * * MON *", "the month"},
        {"* * * * 8", "the day of the week of a cron expression holds 0 to 7 or SUN to SAT"},
        {"* * * * JAN", "the day of the week"},
        {"* * * * MONDAY", "the day of the week"},
        {"* * * * MO", "the day of the week"},
        {"10-5 * * * *", "the minute"},
        {"FRI * * * *", "the minute"},
        {"* * * * FRI-MON", "the day of the week"},
        {"*/0 * * * *", "the minute"},
        {"*/60 * * * *", "the minute"},
        {"*/ * * * *", "the minute"},
        {"/5 * * * *", "the minute"},
        {"*5 * * * *", "the minute"},
        {"*-5 * * * *", "the minute"},
        {"5- * * * *", "the minute"},
        {"-5 * * * *", "the minute"},
        {"1-5-9 * * * *", "the minute"},
        {"1/2/3 * * * *", "the minute"},
        {"1,,2 * * * *", "the minute"},
        {",1 * * * *", "the minute"},
        {"1, * * * *", "the minute"},
        {"1 ,2 * * *", "the hour"},
        {"99999999999999999999 * * * *", "the minute"},
        {"+1 * * * *", "the minute"},
        {"1.5 * * * *", "the minute"},
        {"? * * * *", "the minute"},
        {"* * ? * *", "the day of the month"},
        {"* * L * *", "the day of the month"},
        {"* * 15W * *", "the day of the month"},
        {"* * * * 5#3", "the day of the week"},
        {"* * * * 5L", "the day of the week"},
        {"*\n* * * *", "the minute"},
        {"", "the minute is missing"},
        {" ", "the minute is missing"},
        {"* * * *", "the day of the week is missing"},
        {"* * * * ", "the day of the week is missing"},
        {"* * * * * *", "ends after its five fields"},
        {"@reboot", "no such name"},
        {"@dailyy", "no such name"},
        {"@", "no such name"},
        {"@daily x", "no such name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(ingot_bytes_of(cases[i].text), cases[i].message);
    expect_refused((struct ingot_bytes){NULL, 0}, "the minute is missing");
    expect_refused((struct ingot_bytes){"* * * * 5\0", 10}, "the day of the week");
}

static void a_text_is_not_read_beyond_its_end(void **state)
{
    (void)state;
    expect_refused((struct ingot_bytes){"* * * * 1", 8}, "the day of the week is missing");
    expect_refused((struct ingot_bytes){"* * * * MON", 10}, "the day of the week of");
    expect_refused((struct ingot_bytes){"*/15 * * * *", 2}, "the minute of");
    expect_refused((struct ingot_bytes){"@daily", 5}, "no such name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_minute_is_the_one_that_a_walk_finds),
        cmocka_unit_test(known_expressions_give_known_instants),
        cmocka_unit_test(instants_before_1970_and_at_the_end_of_time_have_a_next),
        cmocka_unit_test(expressions_that_never_match_are_refused),
        cmocka_unit_test(an_error_names_the_field_and_what_it_may_hold),
        cmocka_unit_test(a_text_is_not_read_beyond_its_end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
