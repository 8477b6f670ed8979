/* The map from a job's key to an index, against a list that is searched. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/map.h"

#define KEYS 600u
#define STEPS 40000

/* The owner of the map: its keys, and which of them are in it. */
struct owner {
    struct igt_map map;
    struct igt_map_key keys[KEYS];
    int present[KEYS];
    size_t count;
};

/* How often the map has looked at a key. */
static unsigned long looks;

static const struct igt_map_key *key_of(const void *context, uint32_t index)
{
    looks++;
    return &((const struct owner *)context)->keys[index];
}

static int set_up(void **state)
{
    struct owner *owner = calloc(1, sizeof *owner);
    unsigned seed = 3;
    owner->map.key_of = key_of;
    owner->map.context = owner;
    for (uint32_t i = 0; i < KEYS; i++) {
        /* three jobs an event, and events that differ in one byte only */
        owner->keys[i].job = i % 3;
        for (size_t b = 0; b < 20 && i % 3 == 0; b++)
            owner->keys[i].event_id.bytes[b] = (uint8_t)(i % 2 ? rand_r(&seed) : 0);
        if (i % 3 == 0) {
            owner->keys[i].event_id.bytes[18] = (uint8_t)(i >> 8);
            owner->keys[i].event_id.bytes[19] = (uint8_t)i;
        } else {
            owner->keys[i].event_id = owner->keys[i - 1].event_id;
        }
    }
    *state = owner;
    return 0;
}

static int tear_down(void **state)
{
    struct owner *owner = *state;
    igt_map_fini(&owner->map);
    free(owner);
    return 0;
}

static void toggle(struct owner *owner, uint32_t index)
{
    if (owner->present[index])
        igt_map_remove(&owner->map, index);
    else
        assert_true(igt_map_put(&owner->map, index));
    owner->present[index] = !owner->present[index];
    owner->count += owner->present[index] ? 1 : (size_t)-1;
}

static void check(const struct owner *owner)
{
    assert_int_equal(owner->map.count, owner->count);
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(igt_map_get(&owner->map, &owner->keys[i]),
                         owner->present[i] ? i : IGT_MAP_NONE);
}

static void an_empty_map_holds_nothing(void **state)
{
    struct owner *owner = *state;
    check(owner);
    toggle(owner, 5);
    toggle(owner, 5);
    check(owner);
}

static void what_was_put_in_is_found_until_it_is_taken_out(void **state)
{
    struct owner *owner = *state;
    unsigned seed = 4;
    for (int i = 0; i < STEPS; i++) {
        toggle(owner, (uint32_t)rand_r(&seed) % KEYS);
        if (i % 64 == 0)
            check(owner);
    }
    check(owner);
}

static void all_can_be_put_in_and_taken_out_in_either_order(void **state)
{
    struct owner *owner = *state;
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < KEYS; i++)
            toggle(owner, i);
        check(owner);
        for (uint32_t i = 0; i < KEYS; i++) {
            toggle(owner, turn ? KEYS - 1 - i : i);
            if (i % 32 == 0)
                check(owner);
        }
        check(owner);
    }
}

/* The slot at which a key begins to be looked for, seen from outside: where it lies when alone. */
static size_t home_of(const struct owner *owner, uint32_t index)
{
    struct igt_map alone = {.key_of = key_of, .context = owner};
    assert_true(igt_map_put(&alone, index));
    size_t slot = 0;
    while (alone.slots[slot].index != index)
        slot++;
    igt_map_fini(&alone);
    return slot;
}

static void taking_out_mends_a_run_that_wraps_around_the_end(void **state)
{
    struct owner *owner = *state;
    uint32_t members[8];
    size_t count = 0;
    /* Keys that want the last two slots of the smallest table, so that they spill to the first. */
    for (uint32_t i = 0; i < KEYS && count < 8; i++)
        if (home_of(owner, i) >= 62)
            members[count++] = i;
    assert_int_equal(count, 8);
    for (size_t gone = 0; gone < count; gone++) {
        for (size_t i = 0; i < count; i++)
            toggle(owner, members[i]);
        assert_int_equal(owner->map.size, 64);
        assert_int_not_equal(owner->map.slots[0].index, IGT_MAP_NONE);
        for (size_t i = 0; i < count; i++) {
            toggle(owner, members[(gone + i) % count]);
            check(owner);
        }
    }
}

/* Ids of a caller who knows an unkeyed mix: halves that cancel each other out. */
static void chosen_ids_do_not_meet_in_one_place(void **state)
{
    struct owner *owner = *state;
    owner->map.secret[0] = UINT64_C(0x0123456789abcdef);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint64_t low = i + 1, high = low * UINT64_C(0x9e3779b97f4a7c15);
        owner->keys[i] = (struct igt_map_key){0};
        memcpy(owner->keys[i].event_id.bytes + 4, &high, sizeof high);
        memcpy(owner->keys[i].event_id.bytes + 12, &low, sizeof low);
    }
    looks = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        assert_true(igt_map_put(&owner->map, i));
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(igt_map_get(&owner->map, &owner->keys[i]), i);
    assert_true(looks < 20 * KEYS);
}

#define MANY 400000u

static const struct igt_map_key *key_of_many(const void *context, uint32_t index)
{
    looks++;
    return &((const struct igt_map_key *)context)[index];
}

/* Of so many keys some twenty pairs have the same 32 bits for their hash. */
static void keys_of_the_same_hash_are_told_apart_and_others_not_looked_at(void **state)
{
    (void)state;
    struct igt_map_key *keys = calloc(MANY, sizeof *keys);
    struct igt_map map = {.key_of = key_of_many, .context = keys};
    assert_non_null(keys);
    for (uint32_t i = 0; i < MANY; i++) {
        memcpy(keys[i].event_id.bytes + 8, &i, sizeof i);
        assert_true(igt_map_put(&map, i));
    }
    looks = 0;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(igt_map_get(&map, &keys[i]), i);
    assert_true(looks > MANY); /* or there was no such pair */
    assert_true(looks < MANY + 100);
    igt_map_fini(&map);
    free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_map_holds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chosen_ids_do_not_meet_in_one_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_put_in_is_found_until_it_is_taken_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_can_be_put_in_and_taken_out_in_either_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(taking_out_mends_a_run_that_wraps_around_the_end, set_up,
                                        tear_down),
        cmocka_unit_test(keys_of_the_same_hash_are_told_apart_and_others_not_looked_at),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
