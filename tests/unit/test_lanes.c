/* Lanes: sets of them, and which scheduler works which. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/lanes.h"

#define SCHEDULERS 6

static void a_destinations_lane_is_the_same_for_ever(void **state)
{
    (void)state;
    static const struct {
        const char *destination;
        uint32_t lane;
    } cases[] = {{"", 38},
                 {"a", 91},
                 {"b", 208},
                 {"crm", 128},
                 {"mail", 202},
                 {"https://example.org/hook", 225},
                 {"Lager-S\xc3\xbc\x64", 98}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(ingot_lane_of(ingot_bytes_of(cases[i].destination)), cases[i].lane);
}

static void destinations_with_similar_names_are_spread_over_all_lanes(void **state)
{
    (void)state;
    unsigned counts[INGOT_LANES] = {0};
    char name[24];
    for (int i = 0; i < 10240; i++) {
        int len = snprintf(name, sizeof name, "shop-%d", i);
        counts[ingot_lane_of((struct ingot_bytes){name, (size_t)len})]++;
    }
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++)
        assert_in_range(counts[lane], 10, 90);
}

/* Every third lane, or every fifth. */
static struct ingot_lanes every(uint32_t step)
{
    struct ingot_lanes lanes = {{0}};
    for (uint32_t lane = 0; lane < INGOT_LANES; lane += step)
        igt_lanes_add(&lanes, lane);
    return lanes;
}

static void sets_of_lanes_hold_what_was_put_in(void **state)
{
    (void)state;
    const struct ingot_lanes none = {{0}}, all = igt_lanes_all();
    const struct ingot_lanes a = every(3), b = every(5);
    const struct ingot_lanes without = igt_lanes_without(&a, &b), both = igt_lanes_both(&a, &b),
                             either = igt_lanes_either(&a, &b);
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        int in_a = lane % 3 == 0, in_b = lane % 5 == 0;
        assert_int_equal(igt_lanes_has(&none, lane), 0);
        assert_int_equal(igt_lanes_has(&all, lane), 1);
        assert_int_equal(igt_lanes_has(&a, lane), in_a);
        assert_int_equal(igt_lanes_has(&without, lane), in_a && !in_b);
        assert_int_equal(igt_lanes_has(&both, lane), in_a && in_b);
        assert_int_equal(igt_lanes_has(&either, lane), in_a || in_b);
    }
    assert_int_equal(igt_lanes_count(&none), 0);
    assert_int_equal(igt_lanes_count(&all), INGOT_LANES);
    assert_int_equal(igt_lanes_count(&a), 86);
    assert_true(igt_lanes_equal(&a, &a));
    assert_false(igt_lanes_equal(&a, &without));
    assert_int_equal(all.bits[0], 0xff);
    assert_int_equal(every(INGOT_LANES - 1).bits[31], 0x80);
}

/* Ids that differ in their last byte only, as those of processes started together nearly do. */
static void name_schedulers(ingot_ksuid *schedulers)
{
    memset(schedulers, 7, SCHEDULERS * sizeof *schedulers);
    for (uint8_t i = 0; i < SCHEDULERS; i++)
        schedulers[i].bytes[19] = i;
}

static void every_lane_falls_to_exactly_one_scheduler(void **state)
{
    (void)state;
    ingot_ksuid schedulers[SCHEDULERS];
    name_schedulers(schedulers);
    for (size_t count = 1; count <= SCHEDULERS; count++) {
        struct ingot_lanes taken = {{0}};
        unsigned sum = 0;
        for (size_t i = 0; i < count; i++) {
            struct ingot_lanes lanes = igt_lanes_of(&schedulers[i], schedulers, count);
            unsigned share = igt_lanes_count(&lanes);
            assert_in_range(share, INGOT_LANES / count / 2, INGOT_LANES / count * 2);
            taken = igt_lanes_either(&taken, &lanes);
            sum += share;
        }
        assert_int_equal(sum, INGOT_LANES);
        assert_int_equal(igt_lanes_count(&taken), INGOT_LANES);
    }
}

static void when_a_scheduler_goes_only_its_lanes_move(void **state)
{
    (void)state;
    ingot_ksuid schedulers[SCHEDULERS];
    name_schedulers(schedulers);
    for (size_t i = 1; i < SCHEDULERS; i++) {
        struct ingot_lanes gone = igt_lanes_of(&schedulers[0], schedulers, SCHEDULERS);
        struct ingot_lanes before = igt_lanes_of(&schedulers[i], schedulers, SCHEDULERS);
        struct ingot_lanes after = igt_lanes_of(&schedulers[i], schedulers + 1, SCHEDULERS - 1);
        struct ingot_lanes lost = igt_lanes_without(&before, &after);
        struct ingot_lanes gained = igt_lanes_without(&after, &before);
        struct ingot_lanes from_others = igt_lanes_without(&gained, &gone);
        assert_int_equal(igt_lanes_count(&lost), 0);
        assert_true(igt_lanes_count(&gained) > 0);
        assert_int_equal(igt_lanes_count(&from_others), 0);
    }
}

static void the_list_of_schedulers_may_be_in_any_order_and_repeat_or_lack_oneself(void **state)
{
    (void)state;
    ingot_ksuid schedulers[SCHEDULERS], shuffled[SCHEDULERS + 2];
    name_schedulers(schedulers);
    for (size_t i = 0; i < SCHEDULERS; i++)
        shuffled[i] = schedulers[SCHEDULERS - 1 - i];
    shuffled[SCHEDULERS] = shuffled[SCHEDULERS + 1] = schedulers[2];
    struct ingot_lanes lanes = igt_lanes_of(&schedulers[0], schedulers, SCHEDULERS);
    struct ingot_lanes others = igt_lanes_of(&schedulers[0], shuffled, SCHEDULERS + 2);
    struct ingot_lanes lacking = igt_lanes_of(&schedulers[0], schedulers + 1, SCHEDULERS - 1);
    struct ingot_lanes alone = igt_lanes_of(&schedulers[0], NULL, 0);
    assert_true(igt_lanes_equal(&lanes, &others));
    assert_true(igt_lanes_equal(&lanes, &lacking));
    assert_int_equal(igt_lanes_count(&alone), INGOT_LANES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_destinations_lane_is_the_same_for_ever),
        cmocka_unit_test(destinations_with_similar_names_are_spread_over_all_lanes),
        cmocka_unit_test(sets_of_lanes_hold_what_was_put_in),
        cmocka_unit_test(every_lane_falls_to_exactly_one_scheduler),
        cmocka_unit_test(when_a_scheduler_goes_only_its_lanes_move),
        cmocka_unit_test(the_list_of_schedulers_may_be_in_any_order_and_repeat_or_lack_oneself),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
