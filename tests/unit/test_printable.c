/* What destinations say, made printable: nothing that is not UTF-8, no controls, never cut in a character. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "destinations/destination.h"

struct expectation {
    const char *bytes;
    const char *text;
};

static void expect_all(const struct expectation *all, size_t count)
{
    char text[256];
    for (size_t i = 0; i < count; i++) {
        igt_printable(text, sizeof text, ingot_bytes_of(all[i].bytes));
        assert_string_equal(text, all[i].text);
    }
}

static void printable_text_is_kept(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"", ""},
        {"no stock", "no stock"},
        {" {\"a\":\"~\\\"}", " {\"a\":\"~\\\"}"},
        {"Gr\xc3\xb6\xc3\x9f"
         "e \xe2\x82\xac \xf0\x9f\x98\x80",
         "Gr\xc3\xb6\xc3\x9f"
         "e \xe2\x82\xac \xf0\x9f\x98\x80"},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void ends_of_lines_become_spaces_and_vanish_at_the_end(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"one\ntwo\r\n\tthree", "one two   three"},
        {"boom\n", "boom"},
        {"boom \t\r\n", "boom"},
        {"\n", ""},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void controls_become_question_marks(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"\x1b[31mred\x07", "?[31mred?"}, {"\x7f", "?"}, {"\xc2\x85", "??"}, /* next line */
        {"\xe2\x80\xae", "???"},     /* right to left from here */
        {"\xe2\x80\xa8", "???"},     /* separator of lines */
        {"\xef\xbb\xbfx", "???x"},   /* byte order mark */
        {"\xf3\xa0\x80\x81", "????"} /* a tag */
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void what_is_not_utf8_becomes_question_marks(void **state)
{
    (void)state;
    static const struct expectation all[] = {
        {"a\xff"
         "b",
         "a?b"},
        {"\x80", "?"},
        {"\xc3", "?"},
        {"\xc3(", "?("},
        {"\xc0\xaf", "??"},                /* overlong */
        {"\xe0\x80\xaf", "???"},           /* overlong */
        {"\xed\xa0\x80", "???"},           /* a surrogate */
        {"\xf4\x90\x80\x80", "????"},      /* beyond U+10FFFF */
        {"\xf8\x88\x80\x80\x80", "?????"}, /* five bytes */
        {"\xe2\x82", "??"},
    };
    expect_all(all, sizeof all / sizeof *all);
}

static void a_nul_does_not_end_the_text(void **state)
{
    (void)state;
    char text[8];
    igt_printable(text, sizeof text, (struct ingot_bytes){"a\0b", 3});
    assert_string_equal(text, "a?b");
}

static void a_character_that_does_not_fit_is_left_out(void **state)
{
    (void)state;
    char text[6];
    igt_printable(text, sizeof text, ingot_bytes_of("abcdefgh"));
    assert_string_equal(text, "abcde");
    igt_printable(text, sizeof text, ingot_bytes_of("abc\xe2\x82\xac"));
    assert_string_equal(text, "abc");
    igt_printable(text, sizeof text, ingot_bytes_of("ab\xe2\x82\xacx"));
    assert_string_equal(text, "ab\xe2\x82\xac");
}

static void absent_bytes_are_no_text(void **state)
{
    (void)state;
    char text[4] = "abc";
    igt_printable(text, sizeof text, ingot_bytes_of(NULL));
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_is_kept),
        cmocka_unit_test(ends_of_lines_become_spaces_and_vanish_at_the_end),
        cmocka_unit_test(controls_become_question_marks),
        cmocka_unit_test(what_is_not_utf8_becomes_question_marks),
        cmocka_unit_test(a_nul_does_not_end_the_text),
        cmocka_unit_test(a_character_that_does_not_fit_is_left_out),
        cmocka_unit_test(absent_bytes_are_no_text),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("printable", tests, NULL, NULL);
}
