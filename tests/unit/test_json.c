/* The reader of JSON: what it refuses, what it says, and the walk through what it accepted. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../json/cases.h"

#include "core/buffer.h"
#include "core/json.h"
#include "core/limits.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Parses a copy without a byte to spare, so that a sanitizer sees each read beyond the end. */
static enum ingot_status parse(struct ingot_bytes text, struct ingot_error *err)
{
    struct igt_json value;
    char *copy = malloc(text.len ? text.len : 1);
    assert_non_null(copy);
    if (text.len)
        memcpy(copy, text.data, text.len);
    enum ingot_status status = igt_json_parse((struct ingot_bytes){copy, text.len}, &value, err);
    free(copy);
    return status;
}

/* A checked value of a C string that outlives it. */
static struct igt_json value_of(const char *text)
{
    struct igt_json value;
    assert_int_equal(igt_json_parse(ingot_bytes_of(text), &value, NULL), INGOT_OK);
    return value;
}

static void assert_bytes(struct ingot_bytes bytes, const char *expected)
{
    assert_non_null(bytes.data);
    assert_int_equal(bytes.len, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.len);
}

/* A pseudo-random sequence that is the same at every run (xorshift64). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void every_case_of_the_shared_table_has_its_verdict(void **state)
{
    (void)state;
    size_t count = sizeof json_cases / sizeof *json_cases, wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const struct json_case *c = &json_cases[i];
        struct ingot_error err = {0};
        enum ingot_status status = parse((struct ingot_bytes){c->text, c->len}, &err);
        if (status == (c->verdict == JSON_VALID ? INGOT_OK : INGOT_INVALID))
            continue;
        print_error("case %zu, status %d, %s: ", i, status, err.message);
        for (size_t k = 0; k < c->len; k++)
            print_error(isprint((unsigned char)c->text[k]) ? "%c" : "\\x%02x",
                        (unsigned char)c->text[k]);
        print_error("\n");
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void an_absent_text_is_refused(void **state)
{
    (void)state;
    struct igt_json value;
    assert_int_equal(igt_json_parse((struct ingot_bytes){NULL, 0}, &value, NULL), INGOT_INVALID);
}

static void a_refusal_says_where_and_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1, column 1 (byte 1): expected a value, found the end of the text"},
        {"[1,]", "line 1, column 4 (byte 4): expected a value, found ]"},
        {"[1\n,\n 2 3]", "line 3, column 4 (byte 9): expected a comma or ], found 3"},
        {"{\"a\" 1}", "line 1, column 6 (byte 6): expected a colon, found 1"},
        {"{a:1}", "line 1, column 2 (byte 2): expected a key in double quotes, found a"},
        {"{} \x01",
         "line 1, column 4 (byte 4): expected nothing behind the value, found byte 0x01"},
        {"\xef\xbb\xbf{}",
         "line 1, column 1 (byte 1): a byte order mark is not allowed, leave it out"},
        {"{\"a\":1,\n \"b\":2,\n \"a\":3}", "line 3, column 2 (byte 18): duplicate key \"a\""},
        {"{\"a\":1,\"\\u0061\":2}", "line 1, column 8 (byte 8): duplicate key \"\\u0061\""},
        {"{\"b\":1,\"a\":1,\"b\":1,\"a\":1}", "line 1, column 14 (byte 14): duplicate key \"b\""},
        {"{\"a\":1,\"a\":2,\"a\":3}", "line 1, column 8 (byte 8): duplicate key \"a\""},
        {"{\"x\":{\"a\":1,\"a\":2},\"x\":2}", "line 1, column 13 (byte 13): duplicate key \"a\""},
        {"[\"\xc3\xa9\", \"\xff\"]", "line 1, column 8 (byte 9): byte 0xff is not valid UTF-8"},
        {"[\"\\ud800\"]", "line 1, column 3 (byte 3): unpaired surrogate"},
        {"[\"a\\u0000\"]", "line 1, column 4 (byte 4): \\u0000 is not allowed"},
        {"[\"a\tb\"]", "line 1, column 4 (byte 4): byte 0x09 in a string must be escaped"},
        {"[1, \"a]", "line 1, column 5 (byte 5): the string has no closing quote"},
        {"[tru]", "line 1, column 2 (byte 2): expected true, found another word"},
        {"[01]", "line 1, column 2 (byte 2): a number must not begin with a needless 0"},
        {"[-]", "line 1, column 3 (byte 3): expected a digit, found ]"},
        {"[1e999999]", "line 1, column 2 (byte 2): the number is beyond the range of a double"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ingot_error err = {0};
        assert_int_equal(parse(ingot_bytes_of(cases[i].text), &err), INGOT_INVALID);
        assert_int_equal(err.status, INGOT_INVALID);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void a_long_duplicate_key_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t start = 0; start < 3; start++) {
        char text[512], key[200] = "";
        struct ingot_error err = {0};
        memset(key, 'x', start);
        for (size_t i = 0; i < 60; i++)
            strncat(key, "\xe6\x97\xa5", sizeof key - strlen(key) - 1);
        snprintf(text, sizeof text, "{\"%s\":1,\"%s\":2}", key, key);
        assert_int_equal(parse(ingot_bytes_of(text), &err), INGOT_INVALID);
        const char *shown = strstr(err.message, "duplicate key \"");
        assert_non_null(shown);
        shown += strlen("duplicate key \"");
        size_t len = strlen(shown);
        assert_in_range(len, 20, IGT_JSON_SHOWN_SIZE);
        assert_string_equal(shown + len - 4, "...\"");
        assert_int_equal((len - 4 - start) % 3, 0);
        assert_memory_equal(shown, key, len - 4);
    }
}

/* Wraps a value in so many levels; for free(). */
static char *nested(const char *open, const char *inner, const char *close, size_t depth)
{
    struct igt_buffer buffer = {0};
    for (size_t i = 0; i < depth; i++)
        igt_buffer_add_text(&buffer, open);
    igt_buffer_add_text(&buffer, inner);
    for (size_t i = 0; i < depth; i++)
        igt_buffer_add_text(&buffer, close);
    assert_false(buffer.failed);
    return buffer.data;
}

static void nesting_ends_at_64_levels(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        enum ingot_status status;
    } cases[] = {{1, INGOT_OK},           {63, INGOT_OK},          {64, INGOT_OK},
                 {65, INGOT_INVALID},     {66, INGOT_INVALID},     {1000, INGOT_INVALID},
                 {100000, INGOT_INVALID}, {1000000, INGOT_INVALID}};
    assert_int_equal(IGT_JSON_DEPTH_MAX, 64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const char *const wraps[][3] = {
            {"[", "", "]"}, {"[", "1", "]"}, {"{\"a\":", "1", "}"}, {" [1, ", "2", ", 3 ] "}};
        for (size_t k = 0; k < sizeof wraps / sizeof *wraps; k++) {
            char *text = nested(wraps[k][0], wraps[k][1], wraps[k][2], cases[i].depth);
            assert_int_equal(parse(ingot_bytes_of(text), NULL), cases[i].status);
            free(text);
        }
    }
    char *text = nested("{\"a\":[", "[]", "]}", 32);
    struct ingot_error err = {0};
    assert_int_equal(parse(ingot_bytes_of(text), &err), INGOT_INVALID);
    assert_non_null(strstr(err.message, "nested deeper than 64 levels"));
    free(text);
    text = nested("[", "", "", 100000);
    assert_int_equal(parse(ingot_bytes_of(text), NULL), INGOT_INVALID);
    free(text);
}

static void siblings_do_not_count_as_nesting(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    igt_buffer_add_text(&buffer, "[[[]],{\"a\":[]}");
    for (size_t i = 0; i < 1000; i++)
        igt_buffer_add_text(&buffer, ",[[]],{\"a\":[]}");
    igt_buffer_add_text(&buffer, "]");
    assert_int_equal(parse((struct ingot_bytes){buffer.data, buffer.len}, NULL), INGOT_OK);
    igt_buffer_fini(&buffer);
}

static void every_beginning_of_a_text_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1.5e1,-2,\"x\\u00e9\\ud83d\\ude00\\n\xc3\xa9\"],\"b\":{},"
                               "\"c\":[true,false,null,\"\xf0\x9f\x98\x80\"]}";
    assert_int_equal(parse((struct ingot_bytes){text, sizeof text - 1}, NULL), INGOT_OK);
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_int_equal(parse((struct ingot_bytes){text, len}, NULL), INGOT_INVALID);
}

/* An object of count keys, each made by the format from a number; for free(). */
static char *object_of(size_t count, const char *format, size_t (*number)(size_t, size_t))
{
    struct igt_buffer buffer = {0};
    for (size_t i = 0; i < count; i++) {
        igt_buffer_add_text(&buffer, i ? ",\"" : "{\"");
        igt_buffer_add_format(&buffer, format, number(i, count));
        igt_buffer_add_text(&buffer, "\":0");
    }
    igt_buffer_add_text(&buffer, "}");
    assert_false(buffer.failed);
    return buffer.data;
}

static size_t ascending(size_t i, size_t count)
{
    (void)count;
    return i;
}

static size_t descending(size_t i, size_t count)
{
    return count - i;
}

static size_t organ_pipe(size_t i, size_t count)
{
    return i < count / 2 ? 2 * i : 2 * (count - i) - 1;
}

static size_t first_and_last_alike(size_t i, size_t count)
{
    return i == count - 1 ? 0 : i;
}

static void a_hundred_thousand_keys_are_quick_in_any_order(void **state)
{
    (void)state;
    size_t (*const orders[])(size_t, size_t) = {ascending, descending, organ_pipe};
    static const char *const formats[] = {"%zu", "%08zu", "\\u0061%zu",
                                          "prefix-of-fifty-characters-that-all-keys-have-in-c%zu"};
    clock_t begin = clock();
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
            char *text = object_of(100000, formats[k], orders[i]);
            assert_int_equal(parse(ingot_bytes_of(text), NULL), INGOT_OK);
            free(text);
        }
    }
    /* Each pair compared would take minutes; even a slow machine with sanitizers needs seconds. */
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20);
}

static void one_duplicate_among_a_hundred_thousand_keys_is_found(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    char *text = object_of(100000, "k%zu", first_and_last_alike);
    assert_int_equal(parse(ingot_bytes_of(text), &err), INGOT_INVALID);
    assert_non_null(strstr(err.message, "duplicate key \"k0\""));
    free(text);
}

static void a_walk_gives_the_members_as_they_came(void **state)
{
    (void)state;
    struct igt_json key, member;
    struct igt_json object = value_of(
        " {\"a\" : 1 ,\"b\":[1,{\"]\":\"}\"}] , \"\\u0063\":\"x\\\"y\",\"d\":{},\"e\":null,"
        "\"f\":true , \"g\":false} ");
    static const struct {
        const char *key;
        enum igt_json_kind kind;
        const char *value;
    } members[] = {
        {"\"a\"", IGT_JSON_NUMBER, "1"},
        {"\"b\"", IGT_JSON_ARRAY, "[1,{\"]\":\"}\"}]"},
        {"\"\\u0063\"", IGT_JSON_STRING, "\"x\\\"y\""},
        {"\"d\"", IGT_JSON_OBJECT, "{}"},
        {"\"e\"", IGT_JSON_NULL, "null"},
        {"\"f\"", IGT_JSON_TRUE, "true"},
        {"\"g\"", IGT_JSON_FALSE, "false"},
    };
    size_t count = sizeof members / sizeof *members;
    assert_int_equal(igt_json_count(&object), count);
    struct igt_json_walk walk = igt_json_walk(&object);
    for (size_t i = 0; i < count; i++) {
        assert_true(igt_json_next(&walk, &key, &member));
        assert_bytes(key.raw, members[i].key);
        assert_int_equal(member.kind, members[i].kind);
        assert_bytes(member.raw, members[i].value);
    }
    assert_false(igt_json_next(&walk, &key, &member));
    assert_false(igt_json_next(&walk, &key, &member));
}

static void an_array_is_walked_without_keys(void **state)
{
    (void)state;
    struct igt_json key, member;
    struct igt_json array = value_of("[ 1.5e3 ,\"a,b\", [] ]");
    static const char *const members[] = {"1.5e3", "\"a,b\"", "[]"};
    struct igt_json_walk walk = igt_json_walk(&array);
    for (size_t i = 0; i < 3; i++) {
        assert_true(igt_json_next(&walk, &key, &member));
        assert_null(key.raw.data);
        assert_bytes(member.raw, members[i]);
    }
    assert_false(igt_json_next(&walk, &key, &member));
    static const char *const empty[] = {"[]", "[ \n]", "{}", "{ \t}"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct igt_json container = value_of(empty[i]);
        assert_int_equal(igt_json_count(&container), 0);
    }
}

static void the_value_is_given_without_the_space_around_it(void **state)
{
    (void)state;
    struct igt_json value = value_of("\n\t [1, 2] \r\n");
    assert_int_equal(value.kind, IGT_JSON_ARRAY);
    assert_bytes(value.raw, "[1, 2]");
    value = value_of(" -12.5e+3 ");
    assert_int_equal(value.kind, IGT_JSON_NUMBER);
    assert_bytes(value.raw, "-12.5e+3");
}

static void a_text_has_its_escapes_resolved(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u007f\"", "A\x7f"},
        {"\"\\u0080\\u07ff\"", "\xc2\x80\xdf\xbf"},
        {"\"\\u0800\\uFFFF\"", "\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"a\\ud83d\\ude00b\xc3\xa9\\u00e9c\"", "a\xf0\x9f\x98\x80"
                                                 "b\xc3\xa9\xc3\xa9"
                                                 "c"},
        {"\"\\\\u0041\"", "\\u0041"},
    };
    struct igt_arena *arena = igt_arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct igt_json string = value_of(cases[i][0]);
        assert_bytes(igt_json_text(&string, arena), cases[i][1]);
    }
    igt_arena_destroy(arena);
}

static void a_text_without_escapes_needs_no_memory(void **state)
{
    (void)state;
    struct igt_json string = value_of("\"caf\xc3\xa9\"");
    assert_ptr_equal(igt_json_text(&string, NULL).data, (const char *)string.raw.data + 1);
}

static void an_integer_is_read_if_it_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int is_integer;
        int64_t integer;
    } cases[] = {
        {"0", 1, 0},
        {"-0", 1, 0},
        {"42", 1, 42},
        {"-42", 1, -42},
        {"9223372036854775807", 1, INT64_MAX},
        {"-9223372036854775808", 1, INT64_MIN},
        {"9223372036854775808", 0, 0},
        {"-9223372036854775809", 0, 0},
        {"92233720368547758070", 0, 0},
        {"123456789012345678901234567890", 0, 0},
        {"1.0", 0, 0},
        {"1.5", 0, 0},
        {"1e2", 0, 0},
        {"-1E2", 0, 0},
        {"\"1\"", 0, 0},
        {"null", 0, 0},
        {"[1]", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t integer = 0;
        struct igt_json value = value_of(cases[i].text);
        assert_int_equal(igt_json_integer(&value, &integer), cases[i].is_integer);
        assert_true(integer == cases[i].integer);
    }
}

static void a_number_is_refused_exactly_when_its_double_is_infinite(void **state)
{
    (void)state;
    uint64_t seed = 20141;
    size_t refused = 0;
    for (int round = 0; round < 20000; round++) {
        char text[64], digits[20];
        int64_t exponent = 308;
        size_t point = next_random(&seed) % 18;
        /* Around the largest double, with the point at any place and the exponent to match. */
        snprintf(digits, sizeof digits, "%llu",
                 17976931348623150ull + (unsigned long long)(next_random(&seed) % 20));
        exponent -= (int64_t)point - 1 + (int64_t)(next_random(&seed) % 8 == 0) -
                    (int64_t)(next_random(&seed) % 8 == 0);
        snprintf(text, sizeof text, "%s%.*s.%s0e%lld", point ? "" : "0", (int)point, digits,
                 digits + point, (long long)exponent);
        enum ingot_status expected = isinf(strtod(text, NULL)) ? INGOT_INVALID : INGOT_OK;
        assert_int_equal(parse(ingot_bytes_of(text), NULL), expected);
        refused += expected == INGOT_INVALID;
    }
    assert_in_range(refused, 4000, 16000);
}

/* Walks all that is in a value; each member must be a text that is accepted by itself. */
static size_t walk_all(const struct igt_json *value)
{
    size_t count = 1;
    struct igt_json key, member;
    if (value->kind != IGT_JSON_ARRAY && value->kind != IGT_JSON_OBJECT)
        return count;
    struct igt_json_walk walk = igt_json_walk(value);
    while (igt_json_next(&walk, &key, &member)) {
        assert_int_equal(parse(member.raw, NULL), INGOT_OK);
        if (value->kind == IGT_JSON_OBJECT)
            assert_int_equal(parse(key.raw, NULL), INGOT_OK);
        count += walk_all(&member);
    }
    return count;
}

static void what_is_accepted_can_be_walked_whatever_it_is(void **state)
{
    (void)state;
    static const char original[] = "{\"a\":[1,-2.5,\"x\\u00e9\\n\"],\"b\":{\"\":[],\"c\":{}},"
                                   "\"d\":[true,null],\"e\":\"\xc3\xa9\"}";
    static const char bytes[] = "{}[]\",:\\u0e-.1 n\xc3\xa9";
    uint64_t seed = 8259;
    size_t accepted = 0;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof original];
        struct igt_json value;
        size_t changes = 1 + next_random(&seed) % 4;
        memcpy(text, original, sizeof original);
        for (size_t i = 0; i < changes; i++)
            text[next_random(&seed) % (sizeof original - 1)] =
                bytes[next_random(&seed) % (sizeof bytes - 1)];
        if (igt_json_parse((struct ingot_bytes){text, sizeof original - 1}, &value, NULL) !=
            INGOT_OK)
            continue;
        accepted++;
        assert_in_range(walk_all(&value), 1, sizeof original);
    }
    assert_in_range(accepted, 1000, 99000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_shared_table_has_its_verdict),
        cmocka_unit_test(an_absent_text_is_refused),
        cmocka_unit_test(a_refusal_says_where_and_why),
        cmocka_unit_test(a_long_duplicate_key_is_cut_between_characters),
        cmocka_unit_test(nesting_ends_at_64_levels),
        cmocka_unit_test(siblings_do_not_count_as_nesting),
        cmocka_unit_test(every_beginning_of_a_text_is_refused),
        cmocka_unit_test(a_hundred_thousand_keys_are_quick_in_any_order),
        cmocka_unit_test(one_duplicate_among_a_hundred_thousand_keys_is_found),
        cmocka_unit_test(a_walk_gives_the_members_as_they_came),
        cmocka_unit_test(an_array_is_walked_without_keys),
        cmocka_unit_test(the_value_is_given_without_the_space_around_it),
        cmocka_unit_test(a_text_has_its_escapes_resolved),
        cmocka_unit_test(a_text_without_escapes_needs_no_memory),
        cmocka_unit_test(an_integer_is_read_if_it_is_one),
        cmocka_unit_test(a_number_is_refused_exactly_when_its_double_is_infinite),
        cmocka_unit_test(what_is_accepted_can_be_walked_whatever_it_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
