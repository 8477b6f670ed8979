/* What the command line writes: nothing from a store steers a terminal, and JSON keeps its value. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "core/json.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct expectation {
    const char *bytes, *text;
    size_t columns;
};

static void expect_texts(const struct expectation *all, size_t count)
{
    struct igt_buffer buffer = {0};
    for (size_t i = 0; i < count; i++) {
        igt_buffer_add_text(&buffer, ">");
        igt_cli_add_text(&buffer, ingot_bytes_of(all[i].bytes),
                         all[i].columns ? all[i].columns : IGT_ALL_COLUMNS);
        assert_string_equal(buffer.data + 1, all[i].text);
        igt_buffer_reset(&buffer);
    }
    igt_buffer_fini(&buffer);
}

/* Standard output, taken for a while: where it was, and the file in its place. */
struct capture {
    int before;
    FILE *file;
};

static struct capture capture_begin(void)
{
    fflush(stdout);
    struct capture capture = {dup(STDOUT_FILENO), tmpfile()};
    assert_non_null(capture.file);
    assert_true(dup2(fileno(capture.file), STDOUT_FILENO) >= 0);
    return capture;
}

static void capture_end(struct capture *capture, char *text, size_t size)
{
    fflush(stdout);
    dup2(capture->before, STDOUT_FILENO);
    close(capture->before);
    rewind(capture->file);
    text[fread(text, 1, size - 1, capture->file)] = '\0';
    fclose(capture->file);
}

static void write_json(const char *json, char *text, size_t size)
{
    struct igt_buffer buffer = {0};
    struct capture capture = capture_begin();
    igt_buffer_add_text(&buffer, json);
    enum ingot_status status = igt_cli_write_json(&buffer, NULL);
    capture_end(&capture, text, size);
    assert_int_equal(status, INGOT_OK);
    assert_int_equal(buffer.len, 0);
    igt_buffer_fini(&buffer);
}

/* ---- text --------------------------------------------------------------- */

static void what_steers_a_terminal_is_escaped(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"\x1b[31mred\x07", "\\x1b[31mred\\x07", 0},
        {"\x7f", "\\x7f", 0},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m", 0}, /* CSI as one character */
        {"a\xe2\x80\xae"
         "b",
         "a\\xe2\\x80\\xaeb", 0},                                   /* right to left from here */
        {"a\xe2\x80\x8bz", "a\\xe2\\x80\\x8bz", 0},                 /* no width */
        {"\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81", 0},            /* a tag */
        {"\xff\xc3(\xed\xa0\x80", "\\xff\\xc3(\\xed\\xa0\\x80", 0}, /* not UTF-8 */
        {"one\ntwo\r\n\tthree", "one two   three", 0},
    };
    expect_texts(all, sizeof all / sizeof *all);
}

static void printable_text_is_kept(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"", "", 0},
        {" {\"a\":\"~\\\"}", " {\"a\":\"~\\\"}", 0},
        {"Gr\xc3\xb6\xc3\x9f \xe2\x82\xac \xe6\x97\xa5",
         "Gr\xc3\xb6\xc3\x9f \xe2\x82\xac \xe6\x97\xa5", 0},
    };
    expect_texts(all, sizeof all / sizeof *all);
}

static void no_bytes_whatever_come_through_unsafe(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    uint8_t bytes[4];
    for (uint32_t n = 0; n < 1u << 20; n++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(n * 2654435761u >> 8 * i);
        igt_cli_add_text(&buffer, (struct ingot_bytes){bytes, sizeof bytes}, IGT_ALL_COLUMNS);
        for (size_t i = 0; i < buffer.len; i++)
            assert_true((uint8_t)buffer.data[i] >= 0x20 && (uint8_t)buffer.data[i] != 0x7f);
        assert_true(mbstowcs(NULL, buffer.data, 0) != (size_t)-1);
        igt_buffer_reset(&buffer);
    }
    igt_buffer_fini(&buffer);
}

static void a_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"123456789", "123456789", 9},
        {"1234567890", "123456...", 9},
        {"12345\x1b\x1b\x1b", "12345...", 9}, /* an escape is whole or not there */
        {"\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5", "\xe6\x97\xa5...",
         6}, /* two columns each */
        {"123456", "...", 2},
    };
    expect_texts(all, sizeof all / sizeof *all);
}

static void without_utf8_all_but_ascii_is_escaped(void **state)
{
    (void)state;
    static const struct expectation all[] = {{"Gr\xc3\xb6\xc3\x9f", "Gr\\xc3\\xb6\\xc3\\x9f", 0}};
    assert_non_null(setlocale(LC_CTYPE, "C"));
    expect_texts(all, 1);
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

static void of_an_error_the_message_is_shown(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"{\"statusCode\":503,\"message\":\"http 503\"}", "http 503", 0},
        {"{\"message\":\"\\u001b[2J\\ttab\"}", "\\x1b[2J tab", 0},
        {"{\"meta\":{\"message\":\"inner\"}}", "{\"meta\":{\"message\":\"inner\"}}", 0},
        {"{\"message\":7}", "{\"message\":7}", 0},
        {"not \x1b json", "not \\x1b json", 0},
        {NULL, "", 0},
    };
    struct igt_buffer buffer = {0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        igt_buffer_add_text(&buffer, ">");
        igt_cli_add_error(&buffer, ingot_bytes_of(all[i].bytes));
        assert_string_equal(buffer.data + 1, all[i].text);
        igt_buffer_reset(&buffer);
    }
    igt_buffer_fini(&buffer);
}

static void times_are_utc_to_the_second(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    igt_cli_add_time(&buffer, INT64_C(1604063994032384));
    assert_string_equal(buffer.data, "2020-10-30T13:19:54Z");
    igt_buffer_reset(&buffer);
    igt_cli_add_time(&buffer, INGOT_NO_TIME);
    assert_string_equal(buffer.data, "-");
    igt_buffer_fini(&buffer);
}

/* ---- JSON --------------------------------------------------------------- */

static void json_is_one_line_and_safe(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"{\n  \"a\": 1,\r\n\t\"b\": []\n}", "{   \"a\": 1,   \"b\": [] }", 0},
        {"\"\x7f\xc2\x9b\xe2\x80\xae\"", "\"\\u007f\\u009b\\u202e\"", 0},
        {"\"\xf3\xa0\xbf\xbf\"", "\"\\udb43\\udfff\"", 0},
        {"\"\xff\"", "\"\\ufffd\"", 0},
        {"\"Gr\xc3\xb6\xc3\x9f \\u001b\"", "\"Gr\xc3\xb6\xc3\x9f \\u001b\"", 0},
    };
    char text[128];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        write_json(all[i].bytes, text, sizeof text);
        assert_string_equal(text, all[i].text);
    }
}

static void json_that_is_made_safe_has_the_same_value(void **state)
{
    (void)state;
    char text[64];
    struct igt_json before, after;
    struct igt_arena *arena = igt_arena_create();
    static const char json[] = "\"\x7f \xc2\x9b\xf3\xa0\x81\x81\xe2\x80\xa8\"";
    assert_non_null(arena);
    write_json(json, text, sizeof text);
    assert_int_equal(igt_json_parse(ingot_bytes_of(json), &before, NULL), INGOT_OK);
    assert_int_equal(igt_json_parse(ingot_bytes_of(text), &after, NULL), INGOT_OK);
    assert_false(ingot_bytes_equal(before.raw, after.raw));
    assert_true(ingot_bytes_equal(igt_json_text(&before, arena), igt_json_text(&after, arena)));
    igt_arena_destroy(arena);
}

static void json_that_is_not_whole_is_not_written(void **state)
{
    (void)state;
    struct igt_buffer buffer = {.failed = 1};
    assert_int_equal(igt_cli_write_json(&buffer, NULL), INGOT_NOMEM);
}

/* ---- tables ------------------------------------------------------------- */

static const struct igt_column columns[] = {
    {"NAME", IGT_ALIGN_LEFT}, {"COUNT", IGT_ALIGN_RIGHT}, {"ERROR", IGT_ALIGN_CUT}};

static void add_row(struct igt_table *table, const char *name, uint64_t count, const char *error)
{
    igt_table_row(table);
    igt_table_text(table, ingot_bytes_of(name));
    igt_table_number(table, count);
    igt_table_error(table, ingot_bytes_of(error));
}

static void a_table_in_parts_keeps_its_columns(void **state)
{
    (void)state;
    char text[256];
    struct igt_table *table = igt_table_create(columns, 3);
    struct capture capture = capture_begin();
    add_row(table, "a-long-name", 7, "{\"message\":\"down\"}");
    enum ingot_status status = igt_table_print(table, NULL);
    add_row(table, "b", 12, NULL);
    status = status ? status : igt_table_print(table, NULL);
    capture_end(&capture, text, sizeof text);
    igt_table_destroy(table);
    assert_int_equal(status, INGOT_OK);
    assert_string_equal(text, "NAME        COUNT ERROR\n"
                              "a-long-name     7 down\n"
                              "b              12\n");
}

static void a_cell_shows_its_escapes_once(void **state)
{
    (void)state;
    char text[256];
    struct igt_table *table = igt_table_create(columns, 3);
    struct capture capture = capture_begin();
    add_row(table, "\x1b]0;\xc3\xb6", 1, NULL);
    enum ingot_status status = igt_table_print(table, NULL);
    capture_end(&capture, text, sizeof text);
    igt_table_destroy(table);
    assert_int_equal(status, INGOT_OK);
    assert_string_equal(text, "NAME     COUNT ERROR\n"
                              "\\x1b]0;\xc3\xb6     1\n");
}

static void a_table_that_could_not_be_made_is_reported(void **state)
{
    (void)state;
    struct ingot_error err = {0};
    add_row(NULL, "a", 1, NULL);
    assert_int_equal(igt_table_print(NULL, &err), INGOT_NOMEM);
    igt_table_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_steers_a_terminal_is_escaped),
        cmocka_unit_test(printable_text_is_kept),
        cmocka_unit_test(no_bytes_whatever_come_through_unsafe),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(without_utf8_all_but_ascii_is_escaped),
        cmocka_unit_test(of_an_error_the_message_is_shown),
        cmocka_unit_test(times_are_utc_to_the_second),
        cmocka_unit_test(json_is_one_line_and_safe),
        cmocka_unit_test(json_that_is_made_safe_has_the_same_value),
        cmocka_unit_test(json_that_is_not_whole_is_not_written),
        cmocka_unit_test(a_table_in_parts_keeps_its_columns),
        cmocka_unit_test(a_cell_shows_its_escapes_once),
        cmocka_unit_test(a_table_that_could_not_be_made_is_reported),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cli_output", tests, NULL, NULL);
}
