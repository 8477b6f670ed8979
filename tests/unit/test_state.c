/* The table of moves, and the fold of a chain. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "core/state.h"

#define NONE INGOT_STATE_NONE
#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED
#define DISCARDED INGOT_STATE_DISCARDED

static const ingot_ksuid alice = {.bytes = {1}}, bob = {.bytes = {2}}, nobody;

/* The next row of a chain: what a good author would write. */
static struct ingot_transition next(const struct igt_fold *fold, enum ingot_state after,
                                    uint16_t attempt, const ingot_ksuid *owner)
{
    return (struct ingot_transition){
        .seq = fold->seq + 1,
        .attempt = attempt,
        .state_before = fold->state,
        .state_after = after,
        .owner = *owner,
        .due_us = after == AWAITING ? 1000 : INGOT_NO_TIME,
    };
}

static void apply(struct igt_fold *fold, enum ingot_state after, uint16_t attempt,
                  const ingot_ksuid *owner)
{
    struct ingot_transition row = next(fold, after, attempt, owner);
    const struct igt_breach *breach = igt_fold_apply(fold, &row);
    if (breach)
        fail_msg("%s: %s", ingot_state_name(after), breach->reason);
}

/* Expects a row to be refused, and the fold to stay as it is. */
static void refuse(struct igt_fold *fold, const struct ingot_transition *row, const char *reason)
{
    struct igt_fold before = *fold;
    const struct igt_breach *breach = igt_fold_apply(fold, row);
    assert_non_null(breach);
    assert_string_equal(breach->reason, reason);
    assert_memory_equal(fold, &before, sizeof before);
}

static struct igt_fold born(void)
{
    struct igt_fold fold;
    igt_fold_begin(
        &fold, &(struct ingot_transition){.state_after = ACKNOWLEDGED, .due_us = INGOT_NO_TIME});
    return fold;
}

/* A fold whose first attempt is being executed by alice. */
static struct igt_fold claimed(void)
{
    struct igt_fold fold = born();
    apply(&fold, EXECUTING, 1, &alice);
    return fold;
}

static void the_legal_moves_are_those_of_the_specification_and_no_others(void **state)
{
    (void)state;
    static const struct {
        enum ingot_state before, after;
    } legal[] = {
        {NONE, ACKNOWLEDGED},      {NONE, AWAITING},          {ACKNOWLEDGED, AWAITING},
        {ACKNOWLEDGED, EXECUTING}, {ACKNOWLEDGED, DISCARDED}, {AWAITING, EXECUTING},
        {AWAITING, AWAITING},      {AWAITING, DISCARDED},     {EXECUTING, SUCCEEDED},
        {EXECUTING, FAILED},       {EXECUTING, DISCARDED},    {EXECUTING, AWAITING},
        {EXECUTING, EXECUTING},    {FAILED, AWAITING},        {FAILED, EXECUTING},
        {FAILED, DISCARDED},
    };
    for (int before = NONE - 1; before <= DISCARDED + 1; before++)
        for (int after = NONE - 1; after <= DISCARDED + 1; after++) {
            int expected = 0;
            for (size_t i = 0; i < sizeof legal / sizeof legal[0]; i++)
                expected |= (int)legal[i].before == before && (int)legal[i].after == after;
            if (igt_move_is_legal((enum ingot_state)before, (enum ingot_state)after) != expected)
                fail_msg("%d -> %d should be %s", before, after, expected ? "legal" : "illegal");
        }
}

static void only_succeeded_and_discarded_are_terminal(void **state)
{
    (void)state;
    for (int s = NONE; s <= DISCARDED; s++)
        assert_int_equal(igt_state_is_terminal((enum ingot_state)s),
                         s == SUCCEEDED || s == DISCARDED);
    assert_false(igt_state_is_terminal((enum ingot_state)(DISCARDED + 1)));
}

static void rows_8_and_13_to_18_the_names_of_the_states_are_exact(void **state)
{
    (void)state;
    static const char *const names[] = {NULL,        "acknowledged", "awaiting", "executing",
                                        "succeeded", "failed",       "discarded"};
    assert_null(ingot_state_name(NONE));
    assert_null(ingot_state_name((enum ingot_state)7));
    assert_null(ingot_state_name((enum ingot_state) - 1));
    for (int s = ACKNOWLEDGED; s <= DISCARDED; s++) {
        assert_string_equal(ingot_state_name((enum ingot_state)s), names[s]);
        assert_int_equal(ingot_state_parse(ingot_bytes_of(names[s])), s);
    }
    assert_int_equal(ingot_state_parse(ingot_bytes_of("Failed")), NONE);
    assert_int_equal(ingot_state_parse(ingot_bytes_of("fail")), NONE);
    assert_int_equal(ingot_state_parse(ingot_bytes_of("")), NONE);
    assert_int_equal(ingot_state_parse(ingot_bytes_of(NULL)), NONE);
}

static void every_row_of_a_chain_is_held_against_the_table(void **state)
{
    (void)state;
    for (int before = ACKNOWLEDGED; before <= DISCARDED; before++)
        for (int after = ACKNOWLEDGED; after <= DISCARDED; after++) {
            struct igt_fold fold = born();
            fold.state = (enum ingot_state)before;
            fold.attempt = 1;
            fold.owner = alice;
            struct ingot_transition row =
                next(&fold, (enum ingot_state)after, after == EXECUTING ? 2 : 1, &alice);
            if (before == EXECUTING && after == EXECUTING)
                row.attempt = 1;
            const struct igt_breach *breach = igt_fold_apply(&fold, &row);
            const char *reason = breach ? breach->reason : NULL;
            int legal = igt_move_is_legal((enum ingot_state)before, (enum ingot_state)after);
            if ((reason == NULL) != legal)
                fail_msg("%d -> %d: %s", before, after, reason ? reason : "was taken");
            if (!legal)
                assert_string_equal(reason, before == SUCCEEDED || before == DISCARDED
                                                ? "nothing follows a terminal state"
                                                : "there is no such move");
        }
}

static void a_row_must_carry_the_next_number_and_the_jobs_state(void **state)
{
    (void)state;
    struct igt_fold fold = claimed();
    struct ingot_transition row = next(&fold, SUCCEEDED, 1, &alice);
    for (uint32_t seq = 0; seq < 5; seq++) {
        row.seq = seq;
        if (seq != 2)
            refuse(&fold, &row, "its number does not follow the latest one");
    }
    row = next(&fold, SUCCEEDED, 1, &alice);
    row.state_before = FAILED;
    refuse(&fold, &row, "its state before is not the job's state");
}

static void a_claim_names_its_owner_and_counts_one_attempt_more(void **state)
{
    (void)state;
    struct igt_fold fold = born();
    struct ingot_transition row = next(&fold, EXECUTING, 1, &nobody);
    refuse(&fold, &row, "a claim must name its owner");
    for (uint16_t attempt = 0; attempt < 4; attempt++) {
        row = next(&fold, EXECUTING, attempt, &alice);
        if (attempt != 1)
            refuse(&fold, &row, "a claim counts one attempt more");
    }
    apply(&fold, EXECUTING, 1, &alice);
    apply(&fold, FAILED, 1, &alice);
    row = next(&fold, EXECUTING, 1, &alice);
    refuse(&fold, &row, "a claim counts one attempt more");
    apply(&fold, AWAITING, 1, &alice);
    refuse(&fold,
           &(struct ingot_transition){.seq = 4,
                                      .attempt = 1,
                                      .state_before = AWAITING,
                                      .state_after = EXECUTING,
                                      .owner = alice,
                                      .due_us = INGOT_NO_TIME},
           "a claim counts one attempt more");
    assert_int_equal(igt_fold_claim_attempt(&fold), 2);
    apply(&fold, EXECUTING, 2, &bob);
}

static void a_job_that_was_given_back_keeps_its_attempt(void **state)
{
    (void)state;
    struct igt_fold fold = claimed();
    apply(&fold, AWAITING, 1, &alice);
    assert_int_equal(igt_fold_claim_attempt(&fold), 1);
    struct ingot_transition row = next(&fold, EXECUTING, 2, &bob);
    refuse(&fold, &row, "a job that was given back keeps its attempt");
    apply(&fold, AWAITING, 1, &nobody); /* a new due time changes nothing of it */
    row = next(&fold, EXECUTING, 2, &bob);
    refuse(&fold, &row, "a job that was given back keeps its attempt");
    apply(&fold, EXECUTING, 1, &bob);
}

static void a_hundred_give_backs_use_up_no_attempt(void **state)
{
    (void)state;
    struct igt_fold fold = born();
    for (int i = 0; i < 100; i++) {
        apply(&fold, EXECUTING, 1, i % 2 ? &alice : &bob);
        apply(&fold, AWAITING, 1, i % 2 ? &alice : &bob);
    }
    apply(&fold, EXECUTING, 1, &alice);
    assert_int_equal(fold.attempt, 1);
}

static void a_takeover_counts_one_attempt_more_and_an_extension_none(void **state)
{
    (void)state;
    struct igt_fold fold = claimed();
    struct ingot_transition row = next(&fold, EXECUTING, 1, &bob);
    refuse(&fold, &row, "a takeover counts one attempt more");
    row = next(&fold, EXECUTING, 2, &alice);
    refuse(&fold, &row, "an extension keeps its attempt");
    apply(&fold, EXECUTING, 1, &alice);
    assert_int_equal(fold.attempt, 1);
    apply(&fold, EXECUTING, 2, &bob);
    assert_int_equal(fold.attempt, 2);
    assert_memory_equal(&fold.owner, &bob, sizeof bob);
}

static void an_outcome_belongs_to_the_owner_of_its_claim(void **state)
{
    (void)state;
    static const enum ingot_state outcomes[] = {SUCCEEDED, FAILED, DISCARDED, AWAITING};
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        struct igt_fold fold = claimed();
        struct ingot_transition row = next(&fold, outcomes[i], 1, &bob);
        refuse(&fold, &row, "an outcome belongs to the owner of its claim");
        row = next(&fold, outcomes[i], 1, &nobody);
        refuse(&fold, &row, "an outcome belongs to the owner of its claim");
        row = next(&fold, outcomes[i], 2, &alice);
        refuse(&fold, &row, "its attempt is not the one of its claim");
        apply(&fold, outcomes[i], 1, &alice);
    }
}

static void an_operator_discards_a_running_job_only_with_a_reason(void **state)
{
    (void)state;
    struct igt_fold fold = claimed();
    struct ingot_transition row = next(&fold, SUCCEEDED, 1, &nobody);
    row.error = ingot_bytes_of("{\"message\":\"because\"}");
    refuse(&fold, &row, "an outcome belongs to the owner of its claim");
    row.state_after = DISCARDED;
    row.owner = bob;
    refuse(&fold, &row, "an outcome belongs to the owner of its claim");
    row.owner = nobody;
    assert_null(igt_fold_apply(&fold, &row));
    fold = born(); /* who does not run needs no owner's leave */
    apply(&fold, DISCARDED, 0, &nobody);
}

static void due_times_stand_where_they_mean_something(void **state)
{
    (void)state;
    struct igt_fold fold = born();
    struct ingot_transition row = next(&fold, AWAITING, 0, &nobody);
    row.due_us = INGOT_NO_TIME;
    refuse(&fold, &row, "awaiting needs a due time");
    row = next(&fold, EXECUTING, 1, &alice);
    row.due_us = 5000; /* a lease of its own */
    assert_null(igt_fold_apply(&fold, &row));
    row = next(&fold, SUCCEEDED, 1, &alice);
    row.due_us = 5000;
    refuse(&fold, &row, "only awaiting and executing have a due time");
}

static void the_end_of_a_chain_takes_terminal_moves_only(void **state)
{
    (void)state;
    static const struct {
        uint32_t seq;
        enum ingot_state after;
        int taken;
    } cases[] = {
        {IGT_SEQ_MAX - IGT_SEQ_RESERVE, FAILED, 1},
        {IGT_SEQ_MAX - IGT_SEQ_RESERVE + 1, FAILED, 0},
        {IGT_SEQ_MAX - IGT_SEQ_RESERVE + 1, AWAITING, 0},
        {IGT_SEQ_MAX - IGT_SEQ_RESERVE + 1, EXECUTING, 0},
        {IGT_SEQ_MAX - IGT_SEQ_RESERVE + 1, SUCCEEDED, 1},
        {IGT_SEQ_MAX, DISCARDED, 1},
        {IGT_SEQ_MAX, FAILED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct igt_fold fold = claimed();
        fold.seq = cases[i].seq - 1;
        struct ingot_transition row = next(&fold, cases[i].after, 1, &alice);
        if (cases[i].taken)
            assert_null(igt_fold_apply(&fold, &row));
        else
            refuse(&fold, &row, "the chain is at its end and takes terminal moves only");
    }
}

static void a_fold_from_the_latest_row_leaves_open_what_that_row_does_not_tell(void **state)
{
    (void)state;
    struct igt_fold fold;
    struct ingot_transition latest = {
        .seq = 4, .attempt = 1, .state_before = AWAITING, .state_after = AWAITING, .due_us = 1000};
    for (uint16_t attempt = 1; attempt <= 2; attempt++) {
        igt_fold_from_latest(&fold, &latest);
        assert_int_equal(fold.next_attempt, IGT_ATTEMPT_EITHER);
        apply(&fold, EXECUTING, attempt, &alice);
    }
    latest.state_before = EXECUTING;
    igt_fold_from_latest(&fold, &latest);
    assert_int_equal(igt_fold_claim_attempt(&fold), 1);
    latest.state_before = FAILED;
    igt_fold_from_latest(&fold, &latest);
    assert_int_equal(igt_fold_claim_attempt(&fold), 2);
    latest = (struct ingot_transition){.seq = 1,
                                       .attempt = 3,
                                       .owner = alice,
                                       .state_before = FAILED,
                                       .state_after = EXECUTING,
                                       .due_us = INGOT_NO_TIME};
    igt_fold_from_latest(&fold, &latest);
    assert_memory_equal(&fold.owner, &alice, sizeof alice);
    assert_int_equal(fold.attempt, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_legal_moves_are_those_of_the_specification_and_no_others),
        cmocka_unit_test(only_succeeded_and_discarded_are_terminal),
        cmocka_unit_test(rows_8_and_13_to_18_the_names_of_the_states_are_exact),
        cmocka_unit_test(every_row_of_a_chain_is_held_against_the_table),
        cmocka_unit_test(a_row_must_carry_the_next_number_and_the_jobs_state),
        cmocka_unit_test(a_claim_names_its_owner_and_counts_one_attempt_more),
        cmocka_unit_test(a_job_that_was_given_back_keeps_its_attempt),
        cmocka_unit_test(a_hundred_give_backs_use_up_no_attempt),
        cmocka_unit_test(a_takeover_counts_one_attempt_more_and_an_extension_none),
        cmocka_unit_test(an_outcome_belongs_to_the_owner_of_its_claim),
        cmocka_unit_test(an_operator_discards_a_running_job_only_with_a_reason),
        cmocka_unit_test(due_times_stand_where_they_mean_something),
        cmocka_unit_test(the_end_of_a_chain_takes_terminal_moves_only),
        cmocka_unit_test(a_fold_from_the_latest_row_leaves_open_what_that_row_does_not_tell),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
