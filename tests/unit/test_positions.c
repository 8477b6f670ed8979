/* The set of a process's own commits (PROTOCOL 3.6). */
#include "daemon/positions.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void what_was_added_in_any_order_is_there_once(void **state)
{
    static const uint64_t added[] = {7, 9, 8, 7, 100, 3};
    struct igt_positions positions = {0};
    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        assert_true(igt_positions_add(&positions, added[i]));
    assert_int_equal(positions.count, 5);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        assert_true(igt_positions_has(&positions, added[i]));
    assert_false(igt_positions_has(&positions, 0));
    assert_false(igt_positions_has(&positions, 10));
    assert_false(igt_positions_has(&positions, 101));
    igt_positions_fini(&positions);
}

static void what_was_seen_or_can_be_seen_no_more_is_dropped(void **state)
{
    struct igt_positions positions = {0};
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(igt_positions_add(&positions, i));
    igt_positions_drop(&positions, 500);
    igt_positions_drop(&positions, 500);
    igt_positions_drop(&positions, 5000);
    assert_int_equal(positions.count, 999);
    assert_false(igt_positions_has(&positions, 500));
    assert_true(igt_positions_has(&positions, 501));
    igt_positions_drop_below(&positions, 900);
    assert_int_equal(positions.count, 101);
    assert_false(igt_positions_has(&positions, 899));
    assert_true(igt_positions_has(&positions, 900));
    igt_positions_drop_below(&positions, UINT64_MAX);
    assert_int_equal(positions.count, 0);
    igt_positions_drop_below(&positions, 1);
    igt_positions_fini(&positions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_in_any_order_is_there_once),
        cmocka_unit_test(what_was_seen_or_can_be_seen_no_more_is_dropped),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
