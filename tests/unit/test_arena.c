/* The arena: what it gives is zeroed, aligned, apart from all else, and gone at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"

#define PIECES 2000

static void pieces_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct igt_arena *arena = igt_arena_create();
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    unsigned seed = 5;
    assert_non_null(arena);
    for (size_t i = 0; i < PIECES; i++) {
        sizes[i] = (size_t)rand_r(&seed) % (i % 50 ? 200 : 20000);
        pieces[i] = igt_arena_alloc(arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t b = 0; b < sizes[i]; b++)
            assert_int_equal(pieces[i][b], 0);
        memset(pieces[i], (int)(i % 255) + 1, sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t b = 0; b < sizes[i]; b++)
            assert_int_equal(pieces[i][b], i % 255 + 1);
    igt_arena_destroy(arena);
}

static void what_cannot_be_had_is_null(void **state)
{
    (void)state;
    struct igt_arena *arena = igt_arena_create();
    assert_null(igt_arena_alloc(arena, SIZE_MAX));
    assert_null(igt_arena_alloc(arena, SIZE_MAX - 8));
    assert_null(igt_arena_array(arena, SIZE_MAX / 2, 3));
    assert_null(igt_arena_copy(arena, (struct ingot_bytes){"", SIZE_MAX}).data);
    assert_non_null(igt_arena_array(arena, 3, 0));
    igt_arena_destroy(arena);
}

static void a_copy_has_a_nul_behind_it_and_absent_stays_absent(void **state)
{
    (void)state;
    struct igt_arena *arena = igt_arena_create();
    struct ingot_bytes copy = igt_arena_copy(arena, (struct ingot_bytes){"abcd", 2});
    assert_int_equal(copy.len, 2);
    assert_string_equal(copy.data, "ab");
    copy = igt_arena_copy(arena, (struct ingot_bytes){"", 0});
    assert_non_null(copy.data);
    assert_int_equal(copy.len, 0);
    copy = igt_arena_copy(arena, (struct ingot_bytes){NULL, 0});
    assert_null(copy.data);
    igt_arena_destroy(arena);
}

static void adopting_moves_all_that_was_allocated(void **state)
{
    (void)state;
    for (int filled = 0; filled < 2; filled++) {
        struct igt_arena *into = igt_arena_create(), *from = igt_arena_create();
        char *mine = filled ? igt_arena_alloc(into, 10) : NULL;
        char *theirs = igt_arena_alloc(from, 100000);
        memset(theirs, 'x', 100000);
        size_t bytes = igt_arena_bytes(into) + igt_arena_bytes(from);
        igt_arena_adopt(into, from);
        assert_int_equal(igt_arena_bytes(into), bytes);
        for (int i = 0; i < 1000; i++)
            memset(igt_arena_alloc(into, 100), 'y', 100);
        assert_int_equal(theirs[0], 'x');
        assert_int_equal(theirs[99999], 'x');
        if (mine)
            assert_int_equal(mine[9], 0);
        igt_arena_destroy(into);
    }
}

static void many_small_pieces_cost_little_more_than_their_bytes(void **state)
{
    (void)state;
    struct igt_arena *arena = igt_arena_create();
    for (int i = 0; i < 100000; i++)
        assert_non_null(igt_arena_alloc(arena, 32));
    assert_true(igt_arena_bytes(arena) < 2 * 3200000);
    igt_arena_destroy(arena);
    igt_arena_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(what_cannot_be_had_is_null),
        cmocka_unit_test(a_copy_has_a_nul_behind_it_and_absent_stays_absent),
        cmocka_unit_test(adopting_moves_all_that_was_allocated),
        cmocka_unit_test(many_small_pieces_cost_little_more_than_their_bytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
