/* Errors and their JSON form (SEED row 48), and ranges of bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/json.h"

static void assert_json(const struct ingot_error *err, const char *expected)
{
    char text[8192];
    struct igt_json value;
    size_t len = ingot_error_json(err, text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    assert_int_equal(igt_json_parse(ingot_bytes_of(text), &value, NULL), INGOT_OK);
}

static void row_48_an_error_is_json_of_the_specifications_shape(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    assert_json(&err, "{\"message\":\"\"}");
    assert_int_equal(ingot_error_set(&err, INGOT_INVALID, "store: %s", "Failed to load adapter"),
                     INGOT_INVALID);
    assert_int_equal(err.status, INGOT_INVALID);
    assert_json(&err, "{\"message\":\"store: Failed to load adapter\"}");
    ingot_error_add_validation(&err, "Options/Store/From", "Adapter not supported");
    ingot_error_add_validation(&err, "Queue/Events[3]/Jobs[0]/ID", "must be a \"valid\" KSUID");
    err.status_code = 400;
    snprintf(err.event_id, sizeof err.event_id, "1jUkYQ6hV7oJX4ct9SGGXJ4nEhM");
    assert_json(&err, "{\"statusCode\":400,\"message\":\"store: Failed to load adapter\","
                      "\"validations\":[{\"message\":\"Adapter not supported\","
                      "\"path\":[\"Options\",\"Store\",\"From\"]},"
                      "{\"message\":\"must be a \\\"valid\\\" KSUID\","
                      "\"path\":[\"Queue\",\"Events[3]\",\"Jobs[0]\",\"ID\"]}],"
                      "\"meta\":{\"event\":{\"id\":\"1jUkYQ6hV7oJX4ct9SGGXJ4nEhM\"}}}");
    ingot_error_clear(&err);
    assert_json(&err, "{\"message\":\"\"}");
}

static void row_48_all_validations_are_counted_and_the_first_eight_are_kept(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    for (int i = 0; i < 20; i++) {
        char path[16];
        snprintf(path, sizeof path, "P/%d", i);
        ingot_error_add_validation(&err, path, "is wrong");
    }
    assert_int_equal(err.validation_count, 20);
    for (int i = 0; i < INGOT_VALIDATIONS_MAX; i++) {
        char path[16];
        snprintf(path, sizeof path, "P/%d", i);
        assert_string_equal(err.validations[i].path, path);
    }
    char text[4096];
    ingot_error_json(&err, text, sizeof text);
    assert_non_null(strstr(text, "\"7\"]"));
    assert_null(strstr(text, "\"8\"]"));
}

static void an_error_is_json_whatever_bytes_are_in_its_message(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    char text[4096], name[400];
    struct igt_json value;
    memset(name, 0, sizeof name);
    for (size_t i = 0; i + 3 < sizeof name; i += 3)
        snprintf(name + i, 4, "%s", "\xe2\x82\xac"); /* cut in the middle of a character */
    ingot_error_set(&err, INGOT_IO, "%s", name);
    ingot_error_add_validation(&err, name, name);
    ingot_error_json(&err, text, sizeof text);
    assert_int_equal(igt_json_parse(ingot_bytes_of(text), &value, NULL), INGOT_OK);
    ingot_error_set(&err, INGOT_IO, "could not open /tmp/\xff\xfe\n");
    ingot_error_json(&err, text, sizeof text);
    assert_int_equal(igt_json_parse(ingot_bytes_of(text), &value, NULL), INGOT_OK);
}

static void json_is_cut_to_the_size_given_and_its_whole_length_is_told(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    char text[8] = "untouch";
    ingot_error_set(&err, INGOT_IO, "message");
    size_t len = strlen("{\"message\":\"message\"}");
    assert_int_equal(ingot_error_json(&err, NULL, 0), len);
    assert_int_equal(ingot_error_json(&err, text, sizeof text), len);
    assert_string_equal(text, "{\"messa");
}

static void nobody_needs_to_bring_an_error(void **state)
{
    (void)state;
    ingot_error_clear(NULL);
    ingot_error_add_validation(NULL, "path", "message");
    assert_int_equal(ingot_error_set(NULL, INGOT_RETRY, "%d", 1), INGOT_RETRY);
}

static void absent_and_empty_bytes_differ(void **state)
{
    (void)state;
    struct ingot_bytes absent = ingot_bytes_of(NULL), empty = ingot_bytes_of("");
    assert_true(ingot_bytes_equal(absent, absent));
    assert_true(ingot_bytes_equal(empty, (struct ingot_bytes){"x", 0}));
    assert_false(ingot_bytes_equal(absent, empty));
    assert_false(ingot_bytes_equal(empty, absent));
    assert_true(ingot_bytes_equal(ingot_bytes_of("ab"), (struct ingot_bytes){"abc", 2}));
    assert_false(ingot_bytes_equal(ingot_bytes_of("ab"), ingot_bytes_of("ac")));
}

static void characters_are_those_of_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len, expected;
    } cases[] = {
        {"", 0, 0},
        {"a", 1, 1},
        {"\0", 1, 1},
        {"\x80", 1, 0},
        {"\xc1\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 11, 0},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 11, 0},
        {"\xc2\x80", 2, 2},
        {"\xc2", 1, 0},
        {"\xc2\x41", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xe0\xa0\x80", 3, 3},
        {"\xed\x9f\xbf", 3, 3},
        {"\xed\xa0\x80", 3, 0},
        {"\xef\xbf\xbf", 3, 3},
        {"\xef\xbf", 2, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf0\x90\x80\x80", 4, 4},
        {"\xf4\x8f\xbf\xbf", 4, 4},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf0\x90\x80\xc0", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xff", 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (igt_character_len((struct ingot_bytes){cases[i].text, cases[i].len}) !=
            cases[i].expected)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_48_an_error_is_json_of_the_specifications_shape),
        cmocka_unit_test(row_48_all_validations_are_counted_and_the_first_eight_are_kept),
        cmocka_unit_test(an_error_is_json_whatever_bytes_are_in_its_message),
        cmocka_unit_test(json_is_cut_to_the_size_given_and_its_whole_length_is_told),
        cmocka_unit_test(nobody_needs_to_bring_an_error),
        cmocka_unit_test(absent_and_empty_bytes_differ),
        cmocka_unit_test(characters_are_those_of_rfc_3629),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
