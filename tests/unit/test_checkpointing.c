/* When a checkpoint is due, and when it is not (PROTOCOL 4.3). */
#include "daemon/checkpointing.h"

#include "core/instant.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define NOW_US (INT64_C(1700000000) * IGT_SECOND_US)
#define DAY_US (86400 * IGT_SECOND_US)

/* Jobs whose following is worth a checkpoint: more than 4 MB at 100 bytes each. */
#define MANY 42000

static int open_checkpointing(void **state)
{
    static struct igt_checkpointing checkpointing;
    checkpointing = (struct igt_checkpointing){.phase = IGT_CHECKPOINT_NONE};
    igt_checkpointing_init(&checkpointing, NOW_US);
    *state = &checkpointing;
    return 0;
}

static int close_checkpointing(void **state)
{
    igt_checkpointing_fini(*state);
    return 0;
}

/* Begins and writes one. */
static void write_one(struct igt_checkpointing *checkpointing, uint64_t bytes, int64_t now_us)
{
    assert_true(igt_checkpointing_begin(checkpointing, now_us));
    igt_checkpointing_listed(checkpointing);
    igt_checkpointing_written(checkpointing, bytes, now_us);
}

static void it_is_due_when_a_cold_reader_would_have_much_to_follow(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    igt_checkpointing_count_jobs(checkpointing, MANY - 1000);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US));
    igt_checkpointing_count_jobs(checkpointing, 1000);
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US));
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US)); /* it is under way */
    igt_checkpointing_listed(checkpointing);
    igt_checkpointing_count_jobs(checkpointing, 2 * MANY);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US));
}

static void it_is_due_when_more_is_new_than_the_last_one_has(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    igt_checkpointing_count_jobs(checkpointing, MANY);
    write_one(checkpointing, 2 * MANY * 100, NOW_US);
    igt_checkpointing_count_jobs(checkpointing, 2 * MANY);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US));
    igt_checkpointing_count_jobs(checkpointing, 1);
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US));
}

static void what_came_while_it_was_written_counts_for_the_next(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    igt_checkpointing_count_jobs(checkpointing, MANY);
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US));
    igt_checkpointing_listed(checkpointing);
    igt_checkpointing_count_jobs(checkpointing, MANY);
    igt_checkpointing_written(checkpointing, 1000, NOW_US);
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US));
}

static void it_is_due_once_a_day_if_anything_is_new(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US + 2 * DAY_US));
    igt_checkpointing_count_jobs(checkpointing, 1);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US + DAY_US));
    write_one(checkpointing, 1000, NOW_US + DAY_US + 1);
    igt_checkpointing_count_jobs(checkpointing, 1);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US + 2 * DAY_US));
}

static void what_a_cold_read_began_with_is_the_last_one(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    const struct ingot_cold_read lanes[] = {
        {.checkpoint_bytes = 2 * MANY * 100, .taken_us = NOW_US - DAY_US / 2, .unlisted = MANY},
        {.checkpoint_bytes = 1000, .taken_us = INGOT_NO_TIME, .unlisted = MANY},
    };
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++)
        igt_checkpointing_count_cold_read(checkpointing, &lanes[i]);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US)); /* as much as it has, not more */
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US + DAY_US / 2));
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US + DAY_US / 2 + 1));
}

static void one_that_could_not_be_written_is_due_again_a_little_later(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    igt_checkpointing_count_jobs(checkpointing, MANY);
    write_one(checkpointing, 0, NOW_US);
    assert_false(igt_checkpointing_begin(checkpointing, NOW_US + 9 * IGT_SECOND_US));
    write_one(checkpointing, 0, NOW_US + 10 * IGT_SECOND_US);
    assert_true(igt_checkpointing_begin(checkpointing, NOW_US)); /* the clock was set back */
}

static void a_cursor_is_kept_until_a_newer_one_comes(void **state)
{
    struct igt_checkpointing *checkpointing = *state;
    igt_checkpointing_take_cursor(checkpointing, ingot_bytes_of("1:a"), 7);
    igt_checkpointing_take_cursor(checkpointing, (struct ingot_bytes){NULL, 0}, 8);
    assert_string_equal(checkpointing->cursor, "1:a");
    assert_int_equal(checkpointing->horizon, 7);
    igt_checkpointing_take_cursor(checkpointing, ingot_bytes_of("1:b"), 9);
    assert_string_equal(checkpointing->cursor, "1:b");
    assert_int_equal(checkpointing->horizon, 9);
    igt_checkpointing_drop_cursor(checkpointing);
    assert_null(checkpointing->cursor);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, open_checkpointing, close_checkpointing)
    const struct CMUnitTest tests[] = {
        ONE(it_is_due_when_a_cold_reader_would_have_much_to_follow),
        ONE(it_is_due_when_more_is_new_than_the_last_one_has),
        ONE(what_came_while_it_was_written_counts_for_the_next),
        ONE(it_is_due_once_a_day_if_anything_is_new),
        ONE(what_a_cold_read_began_with_is_the_last_one),
        ONE(one_that_could_not_be_written_is_due_again_a_little_later),
        ONE(a_cursor_is_kept_until_a_newer_one_comes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("checkpointing", tests, NULL, NULL);
}
