/* Retry-After: seconds and the three forms of HTTP dates, and what hostile servers write instead. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "core/instant.h"
#include "core/limits.h"
#include "destinations/destination.h"

/* 2026-11-23T12:00:00.25Z, a Monday */
#define NOW_US (INT64_C(1795435200) * IGT_SECOND_US + 250000)
#define MOST_US (NOW_US + IGT_RETRY_AFTER_US_MAX)

struct expectation {
    const char *text;
    int64_t time_us;
};

static void expect_all(const struct expectation *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t time_us = igt_retry_after_parse(ingot_bytes_of(all[i].text), NOW_US);
        if (time_us != all[i].time_us)
            fail_msg("\"%s\" gave %lld, not %lld", all[i].text, (long long)time_us,
                     (long long)all[i].time_us);
    }
}

static void seconds_count_from_now(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"0", NOW_US},
        {"1", NOW_US + IGT_SECOND_US},
        {"120", NOW_US + 120 * IGT_SECOND_US},
        {" 120\t", NOW_US + 120 * IGT_SECOND_US},
        {"0000000000000000000000000000000000007", NOW_US + 7 * IGT_SECOND_US},
        {"86400", MOST_US},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void too_many_seconds_are_clamped(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"86401", MOST_US},
        {"315360000", MOST_US},
        {"9223372036854775807", MOST_US},
        {"18446744073709551617", MOST_US},
        {"99999999999999999999999999999999999999999999999999", MOST_US},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void dates_of_all_three_forms_are_read(void **state)
{
    (void)state;
    const int64_t at_one = (NOW_US / IGT_HOUR_US + 1) * IGT_HOUR_US + 7 * IGT_SECOND_US;
    const struct expectation all[] = {
        {"Mon, 23 Nov 2026 13:00:07 GMT", at_one},
        {"Monday, 23-Nov-26 13:00:07 GMT", at_one},
        {"Mon Nov 23 13:00:07 2026", at_one},
        {"  Mon, 23 Nov 2026 13:00:07 GMT ", at_one},
        {"Mon, 23 Nov 2026 12:59:60 GMT", at_one - 7 * IGT_SECOND_US},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void a_day_of_one_digit_is_padded_with_a_space_in_the_third_form(void **state)
{
    (void)state;
    /* 2026-12-01T00:00:00Z */
    const int64_t now_us = INT64_C(1796083200) * IGT_SECOND_US;
    struct ingot_bytes text = ingot_bytes_of("Tue Dec  1 00:00:09 2026");
    assert_true(igt_retry_after_parse(text, now_us) == now_us + 9 * IGT_SECOND_US);
}

static void a_past_date_is_now(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"Mon, 23 Nov 2026 11:59:59 GMT", NOW_US},  {"Sun, 06 Nov 1994 08:49:37 GMT", NOW_US},
        {"Sunday, 06-Nov-94 08:49:37 GMT", NOW_US}, {"Sun Nov  6 08:49:37 1994", NOW_US},
        {"Thu, 01 Jan 1970 00:00:00 GMT", NOW_US},  {"Mon, 01 Jan 0000 00:00:00 GMT", NOW_US},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void a_late_date_is_clamped(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"Tue, 24 Nov 2026 12:00:01 GMT", MOST_US},
        {"Mon, 23 Nov 2036 12:00:00 GMT", MOST_US},
        {"Fri, 31 Dec 9999 23:59:59 GMT", MOST_US},
        {"Friday, 31-Dec-76 23:59:59 GMT", MOST_US},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void a_year_of_two_digits_more_than_fifty_ahead_is_past(void **state)
{
    (void)state;
    static const struct expectation all[] = {{"Saturday, 31-Dec-77 23:59:59 GMT", NOW_US}};
    expect_all(all, 1);
}

static void garbage_is_no_time(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"", INGOT_NO_TIME},
        {" ", INGOT_NO_TIME},
        {"-1", INGOT_NO_TIME},
        {"+1", INGOT_NO_TIME},
        {"1.5", INGOT_NO_TIME},
        {"1 2", INGOT_NO_TIME},
        {"0x10", INGOT_NO_TIME},
        {"5s", INGOT_NO_TIME},
        {"soon", INGOT_NO_TIME},
        {"\xff\xfe", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 13:00:07", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 13:00:07 CET", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 13:00:07 GMT;", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 24:00:00 GMT", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 13:60:00 GMT", INGOT_NO_TIME},
        {"Mon, 23 Nov 2026 13:00:61 GMT", INGOT_NO_TIME},
        {"Mon, 00 Nov 2026 13:00:00 GMT", INGOT_NO_TIME},
        {"Tue, 31 Nov 2026 13:00:00 GMT", INGOT_NO_TIME},
        {"Sun, 29 Feb 2027 13:00:00 GMT", INGOT_NO_TIME},
        {"Mon, 23 Nop 2026 13:00:00 GMT", INGOT_NO_TIME},
        {"Mon, 3 Nov 2026 13:00:00 GMT", INGOT_NO_TIME},
        {"Mon, 23 Nov 26 13:00:00 GMT", INGOT_NO_TIME},
        {"2026-11-23T13:00:07Z", INGOT_NO_TIME},
        {"M", INGOT_NO_TIME},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void every_beginning_of_a_date_is_no_time(void **state)
{
    (void)state;
    static const char *const texts[] = {"Mon, 23 Nov 2026 13:00:07 GMT",
                                        "Monday, 23-Nov-26 13:00:07 GMT",
                                        "Mon Nov 23 13:00:07 2026"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (size_t len = 0; len < strlen(texts[i]); len++)
            assert_true(igt_retry_after_parse((struct ingot_bytes){texts[i], len}, NOW_US) ==
                        INGOT_NO_TIME);
    }
}

static void an_absent_value_is_no_time(void **state)
{
    (void)state;
    assert_true(igt_retry_after_parse(ingot_bytes_of(NULL), NOW_US) == INGOT_NO_TIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seconds_count_from_now),
        cmocka_unit_test(too_many_seconds_are_clamped),
        cmocka_unit_test(dates_of_all_three_forms_are_read),
        cmocka_unit_test(a_day_of_one_digit_is_padded_with_a_space_in_the_third_form),
        cmocka_unit_test(a_past_date_is_now),
        cmocka_unit_test(a_late_date_is_clamped),
        cmocka_unit_test(a_year_of_two_digits_more_than_fifty_ahead_is_past),
        cmocka_unit_test(garbage_is_no_time),
        cmocka_unit_test(every_beginning_of_a_date_is_no_time),
        cmocka_unit_test(an_absent_value_is_no_time),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("retry_after", tests, NULL, NULL);
}
