/* The heap, against a plain array that is searched. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/heap.h"

#define MEMBERS 500u
#define STEPS 20000

/* The owner of the heap: where each index is, and what it was put in with. */
struct owner {
    struct igt_heap heap;
    uint32_t places[MEMBERS];
    int64_t times[MEMBERS];
};

static void note_place(void *context, uint32_t index, uint32_t place)
{
    struct owner *owner = context;
    owner->places[index] = place;
}

static int set_up(void **state)
{
    struct owner *owner = calloc(1, sizeof *owner);
    memset(owner->places, 0xff, sizeof owner->places);
    owner->heap.moved = note_place;
    owner->heap.context = owner;
    *state = owner;
    return 0;
}

static int tear_down(void **state)
{
    struct owner *owner = *state;
    igt_heap_fini(&owner->heap);
    free(owner);
    return 0;
}

static void push(struct owner *owner, uint32_t index, int64_t time_us)
{
    owner->times[index] = time_us;
    assert_true(igt_heap_push(&owner->heap, index, time_us));
}

/* Every member is where it was said to be, none before its parent, and the first is the earliest. */
static void check(const struct owner *owner)
{
    size_t members = 0;
    int64_t earliest = INT64_MAX;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (owner->places[i] == IGT_HEAP_NOWHERE)
            continue;
        members++;
        assert_true(owner->places[i] < owner->heap.count);
        assert_int_equal(owner->heap.entries[owner->places[i]].index, i);
        assert_true(owner->heap.entries[owner->places[i]].time_us == owner->times[i]);
        earliest = owner->times[i] < earliest ? owner->times[i] : earliest;
    }
    assert_int_equal(members, owner->heap.count);
    for (size_t place = 1; place < members; place++)
        assert_true(owner->heap.entries[(place - 1) / 2].time_us <=
                    owner->heap.entries[place].time_us);
    if (members)
        assert_true(owner->heap.entries[0].time_us == earliest);
}

static void members_leave_in_the_order_of_their_times(void **state)
{
    struct owner *owner = *state;
    unsigned seed = 1;
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < MEMBERS; i++)
        push(owner, i, rand_r(&seed) % 100);
    while (owner->heap.count) {
        assert_true(owner->heap.entries[0].time_us >= last);
        last = owner->heap.entries[0].time_us;
        igt_heap_remove(&owner->heap, 0);
        check(owner);
    }
}

static void any_member_can_be_taken_out_and_put_in_again(void **state)
{
    struct owner *owner = *state;
    unsigned seed = 2;
    for (int i = 0; i < STEPS; i++) {
        uint32_t index = (uint32_t)rand_r(&seed) % MEMBERS;
        if (owner->places[index] == IGT_HEAP_NOWHERE)
            push(owner, index, (int64_t)(rand_r(&seed) % 1000) - 500);
        else
            igt_heap_remove(&owner->heap, owner->places[index]);
        if (i % 16 == 0)
            check(owner);
    }
    check(owner);
}

static void the_last_and_only_member_can_be_taken_out(void **state)
{
    struct owner *owner = *state;
    push(owner, 7, INT64_MAX);
    assert_int_equal(owner->places[7], 0);
    igt_heap_remove(&owner->heap, 0);
    assert_int_equal(owner->places[7], IGT_HEAP_NOWHERE);
    assert_int_equal(owner->heap.count, 0);
    push(owner, 7, INT64_MIN);
    check(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_leave_in_the_order_of_their_times, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(any_member_can_be_taken_out_and_put_in_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_last_and_only_member_can_be_taken_out, set_up,
                                        tear_down),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
