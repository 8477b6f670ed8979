/* Instants and durations: the calendar against the C library's, and the strictness of the texts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "core/instant.h"

#define SEED 20140513u

/* A number of 64 bits from a seed that moves on (splitmix64). */
static uint64_t draw(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void expect_gmtime(int64_t time_us)
{
    struct igt_civil civil;
    struct tm tm;
    time_t seconds = time_us / IGT_SECOND_US;
    int64_t micros = time_us % IGT_SECOND_US;
    if (micros < 0) {
        seconds--;
        micros += IGT_SECOND_US;
    }
    igt_time_to_civil(time_us, &civil);
    assert_non_null(gmtime_r(&seconds, &tm));
    if (civil.year != tm.tm_year + INT64_C(1900) || civil.month != tm.tm_mon + 1 ||
        civil.day != tm.tm_mday || civil.hour != tm.tm_hour || civil.minute != tm.tm_min ||
        civil.second != tm.tm_sec || civil.micros != micros || civil.weekday != tm.tm_wday ||
        igt_time_from_civil(&civil) != time_us)
        fail_msg("instant %lld: %lld-%d-%d %d:%d:%d.%d weekday %d", (long long)time_us,
                 (long long)civil.year, civil.month, civil.day, civil.hour, civil.minute,
                 civil.second, civil.micros, civil.weekday);
}

static void random_instants_are_what_gmtime_says(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = draw(&seed);
        /* From all of them to those around 1970. */
        expect_gmtime((int64_t)bits >> bits % 24);
    }
}

static void every_day_of_four_hundred_years_is_what_gmtime_says(void **state)
{
    (void)state;
    for (int64_t day = -73049; day < 73049; day++) {
        expect_gmtime(day * IGT_DAY_US);
        expect_gmtime(day * IGT_DAY_US - 1);
    }
}

static void the_ends_of_time_are_what_gmtime_says(void **state)
{
    (void)state;
    expect_gmtime(INT64_MAX);
    expect_gmtime(INT64_MIN + 1);
    expect_gmtime(0);
    expect_gmtime(-1);
}

static void months_have_their_days(void **state)
{
    (void)state;
    static const struct {
        int64_t year;
        int month, days;
    } cases[] = {{2023, 1, 31}, {2023, 2, 28}, {2024, 2, 29}, {1900, 2, 28}, {2000, 2, 29},
                 {2100, 2, 28}, {2023, 4, 30}, {2023, 8, 31}, {-4, 2, 29},   {2023, 12, 31}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(igt_days_in_month(cases[i].year, cases[i].month), cases[i].days);
}

static void an_instant_is_written_with_six_digits_of_fraction(void **state)
{
    (void)state;
    static const struct {
        int64_t time_us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1604063994032384, "2020-10-30T13:19:54.032384Z"},
        {1604063994000001, "2020-10-30T13:19:54.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {INT64_MAX, "294247-01-10T04:00:54.775807Z"},
        {INT64_MIN + 1, "-290308-12-21T19:59:05.224193Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[IGT_TIME_TEXT_SIZE];
        igt_time_format(cases[i].time_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void times_of_rfc_3339_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2020-10-30T13:19:54.032384Z", 1604063994032384},
        {"2020-10-30t13:19:54.032384z", 1604063994032384},
        {"2020-10-30T13:19:54.032384999Z", 1604063994032384},
        {"2020-10-30T13:19:54.1Z", 1604063994100000},
        {"2020-10-30T14:19:54+01:00", 1604063994000000},
        {"2020-10-30T07:49:54-05:30", 1604063994000000},
        {"2020-10-30T13:19:54-00:00", 1604063994000000},
        {"2020-10-29T13:20:54-23:59", 1604063994000000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"1990-12-31T23:59:60Z", 662688000000000},
        {"1990-12-31T15:59:60.25-08:00", 662688000250000},
        {"1970-01-01T00:30:00+00:30", 0},
        {"1969-12-31T23:59:00-00:01", 0},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t time_us = -1;
        if (igt_time_parse(ingot_bytes_of(cases[i].text), &time_us, NULL) != INGOT_OK ||
            time_us != cases[i].time_us)
            fail_msg("%s gives %lld", cases[i].text, (long long)time_us);
    }
}

static void expect_time_refused(struct ingot_bytes text, const char *message)
{
    struct ingot_error err = {0};
    int64_t time_us = 77;
    if (igt_time_parse(text, &time_us, &err) != INGOT_INVALID || time_us != 77 ||
        err.status != INGOT_INVALID || !strstr(err.message, message))
        fail_msg("%.*s: %s", (int)text.len, (const char *)text.data, err.message);
}

static void other_times_are_refused(void **state)
{
    (void)state;
    static const char *const misshapen[] = {
        "",
        "2020-10-30",
        "2020-10-30T13:19:54",
        "2020-10-30 13:19:54Z",
        "2020-10-30T13:19Z",
        "2020-10-30T13:19:54.Z",
        "2020-10-30T13:19:54.0123456789Z",
        "2020-10-30T13:19:54,5Z",
        "2020-10-30T13:19:54Z ",
        " 2020-10-30T13:19:54Z",
        "2020-10-30T13:19:54ZZ",
        "2020-10-30T13:19:54+0100",
        "2020-10-30T13:19:54+01",
        "2020-10-30T13:19:54+24:00",
        "2020-10-30T13:19:54+01:60",
        "2020-10-30T13:19:54 01:00",
        "2020-1-30T13:19:54Z",
        "20201030T131954Z",
        "+020-10-30T13:19:54Z",
        "2020-10-30T-3:19:54Z",
        "12020-10-30T13:19:54Z",
    };
    static const char *const nowhere[] = {"2020-00-30T13:19:54Z", "2020-13-30T13:19:54Z",
                                          "2020-10-00T13:19:54Z", "2020-10-32T13:19:54Z",
                                          "2020-11-31T13:19:54Z", "2021-02-29T13:19:54Z",
                                          "2100-02-29T13:19:54Z", "2020-10-30T24:00:00Z",
                                          "2020-10-30T13:60:54Z", "2020-10-30T13:19:61Z"};
    static const char *const no_leap_second[] = {"2020-10-30T13:19:60Z", "2020-12-31T22:59:60Z",
                                                 "2020-12-31T23:59:60+01:00"};
    static const char *const too_far[] = {"1969-12-31T23:59:59.999999Z",
                                          "1970-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z",
                                          "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01"};
    for (size_t i = 0; i < sizeof misshapen / sizeof misshapen[0]; i++)
        expect_time_refused(ingot_bytes_of(misshapen[i]), "RFC 3339");
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        expect_time_refused(ingot_bytes_of(nowhere[i]), "calendar");
    for (size_t i = 0; i < sizeof no_leap_second / sizeof no_leap_second[0]; i++)
        expect_time_refused(ingot_bytes_of(no_leap_second[i]), "leap second");
    for (size_t i = 0; i < sizeof too_far / sizeof too_far[0]; i++)
        expect_time_refused(ingot_bytes_of(too_far[i]), "1970 to 9999");
    expect_time_refused((struct ingot_bytes){NULL, 0}, "RFC 3339");
    expect_time_refused((struct ingot_bytes){"2020-10-30T13:19:54Z\0", 21}, "RFC 3339");
    expect_time_refused((struct ingot_bytes){"2020-10-30\00013:19:54Z", 20}, "RFC 3339");
}

static void a_written_instant_is_read_as_itself(void **state)
{
    (void)state;
    uint64_t seed = SEED;
    for (int i = 0; i < 20000; i++) {
        int64_t time_us = (int64_t)(draw(&seed) % UINT64_C(253402300800000000)), again = -1;
        char text[IGT_TIME_TEXT_SIZE];
        igt_time_format(time_us, text);
        assert_int_equal(igt_time_parse(ingot_bytes_of(text), &again, NULL), INGOT_OK);
        assert_int_equal(again, time_us);
    }
}

static void durations_are_read_as_go_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"0s", 0},
        {"1h30m", 5400 * IGT_SECOND_US},
        {"1m30s", 90 * IGT_SECOND_US},
        {"90s", 90 * IGT_SECOND_US},
        {"250ms", 250000},
        {"1.5s", 1500000},
        {"0.000001s", 1},
        {"10us", 10},
        {"10\302\265s", 10},
        {"1.5us", 1},
        {"999ns", 0},
        {"500ns500ns", 1},
        {"0.1d", 8640 * IGT_SECOND_US},
        {"2d", 2 * IGT_DAY_US},
        {"1.25h", 75 * IGT_MINUTE_US},
        {"0.123456789h", 444444440},
        {"007m", 7 * IGT_MINUTE_US},
        {"36525d", 36525 * IGT_DAY_US},
        {"3155760000000000000ns", 36525 * IGT_DAY_US},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = -1;
        enum ingot_status status = igt_duration_parse(ingot_bytes_of(cases[i].text), &us, NULL);
        if (status != INGOT_OK || us != cases[i].us)
            fail_msg("%s gives %lld", cases[i].text, (long long)us);
    }
}

static void expect_duration_refused(struct ingot_bytes text, const char *message)
{
    struct ingot_error err = {0};
    int64_t us = 77;
    if (igt_duration_parse(text, &us, &err) != INGOT_INVALID || us != 77 ||
        !strstr(err.message, message))
        fail_msg("%.*s: %s", (int)text.len, (const char *)text.data, err.message);
}

static void other_durations_are_refused(void **state)
{
    (void)state;
    static const char *const misshapen[] = {
        "",    "1",   "1h30", "h",  "-1s", "+1s",   ".5s",  "1.s",  "1..5s", "1,5s", "1 s",
        "1s ", " 1s", "1S",   "1w", "1mo", "1hour", "1e3s", "0x1s", "1n",    "1u",   "inf"};
    static const char *const too_long[] = {
        "36525d1us",
        "36526d",
        "36525.1d",
        "9223372036854775808ns",
        "99999999999999999999999999999999d",
        "36525d36525d",
        "106751d106751d",
    };
    for (size_t i = 0; i < sizeof misshapen / sizeof misshapen[0]; i++)
        expect_duration_refused(ingot_bytes_of(misshapen[i]), "1h30m");
    for (size_t i = 0; i < sizeof too_long / sizeof too_long[0]; i++)
        expect_duration_refused(ingot_bytes_of(too_long[i]), "100 years");
    expect_duration_refused((struct ingot_bytes){NULL, 0}, "1h30m");
    expect_duration_refused((struct ingot_bytes){"1s\0", 3}, "1h30m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_instants_are_what_gmtime_says),
        cmocka_unit_test(every_day_of_four_hundred_years_is_what_gmtime_says),
        cmocka_unit_test(the_ends_of_time_are_what_gmtime_says),
        cmocka_unit_test(months_have_their_days),
        cmocka_unit_test(an_instant_is_written_with_six_digits_of_fraction),
        cmocka_unit_test(times_of_rfc_3339_are_read),
        cmocka_unit_test(other_times_are_refused),
        cmocka_unit_test(a_written_instant_is_read_as_itself),
        cmocka_unit_test(durations_are_read_as_go_writes_them),
        cmocka_unit_test(other_durations_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("instant", tests, NULL, NULL);
}
