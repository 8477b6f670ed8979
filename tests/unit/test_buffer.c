/* The buffer, and the JSON scalars that it writes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"

static void what_is_added_stands_in_a_row_with_a_nul_behind_it(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    igt_buffer_add(&buffer, "ab", 2);
    igt_buffer_add(&buffer, "", 0);
    igt_buffer_add_text(&buffer, "cd");
    igt_buffer_add_format(&buffer, "%d-%s", 7, "ef");
    assert_string_equal(buffer.data, "abcd7-ef");
    assert_int_equal(buffer.len, 8);
    igt_buffer_reset(&buffer);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer.len, 0);
    igt_buffer_fini(&buffer);
    assert_null(buffer.data);
}

static void a_buffer_grows_to_a_mebibyte_byte_by_byte(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    for (int i = 0; i < 1 << 20; i++)
        igt_buffer_add(&buffer, &(char){(char)('a' + i % 26)}, 1);
    assert_false(buffer.failed);
    assert_int_equal(buffer.len, 1 << 20);
    for (int i = 0; i < 1 << 20; i++)
        if (buffer.data[i] != 'a' + i % 26)
            fail_msg("byte %d is wrong", i);
    igt_buffer_fini(&buffer);
}

static void a_failure_is_remembered_until_the_buffer_is_reset(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    igt_buffer_add_text(&buffer, "kept");
    igt_buffer_add(&buffer, "x", SIZE_MAX / 2);
    assert_true(buffer.failed);
    igt_buffer_add_text(&buffer, "not added");
    igt_buffer_add_format(&buffer, "%s", "not added");
    assert_string_equal(buffer.data, "kept");
    igt_buffer_reset(&buffer);
    assert_false(buffer.failed);
    igt_buffer_fini(&buffer);
}

static void json_strings_are_escaped_and_always_utf_8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\t\r\b\x01\x1f", 6, "\"\\n\\t\\u000d\\u0008\\u0001\\u001f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\x7f/", 2, "\"\x7f/\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"x\xe2\x82", 3, "\"x\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf5\x80\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct igt_buffer buffer = {0};
        igt_buffer_add_json_string(&buffer, (struct ingot_bytes){cases[i].text, cases[i].len});
        assert_string_equal(buffer.data, cases[i].json);
        igt_buffer_fini(&buffer);
    }
    struct igt_buffer buffer = {0};
    igt_buffer_add_json_string(&buffer, (struct ingot_bytes){NULL, 0});
    assert_string_equal(buffer.data, "null");
    igt_buffer_fini(&buffer);
}

static void ids_and_times_are_json_strings(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    ingot_ksuid id;
    assert_int_equal(ingot_ksuid_parse(ingot_bytes_of("1jUkYQ6hV7oJX4ct9SGGXJ4nEhM"), &id, NULL),
                     INGOT_OK);
    igt_buffer_add_json_ksuid(&buffer, &id);
    igt_buffer_add_json_time(&buffer, INT64_C(1604063994032384));
    igt_buffer_add_json_time(&buffer, INGOT_NO_TIME);
    assert_string_equal(buffer.data,
                        "\"1jUkYQ6hV7oJX4ct9SGGXJ4nEhM\"\"2020-10-30T13:19:54.032384Z\"null");
    igt_buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_stands_in_a_row_with_a_nul_behind_it),
        cmocka_unit_test(a_buffer_grows_to_a_mebibyte_byte_by_byte),
        cmocka_unit_test(a_failure_is_remembered_until_the_buffer_is_reset),
        cmocka_unit_test(json_strings_are_escaped_and_always_utf_8),
        cmocka_unit_test(ids_and_times_are_json_strings),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
