/* The legal moves and the fold of a chain; see state.h. */
#include "state.h"

#include "limits.h"

#include <string.h>

static const char *const names[] = {
    [INGOT_STATE_ACKNOWLEDGED] = "acknowledged",
    [INGOT_STATE_AWAITING] = "awaiting",
    [INGOT_STATE_EXECUTING] = "executing",
    [INGOT_STATE_SUCCEEDED] = "succeeded",
    [INGOT_STATE_FAILED] = "failed",
    [INGOT_STATE_DISCARDED] = "discarded",
};

#define ACKNOWLEDGED INGOT_STATE_BIT(INGOT_STATE_ACKNOWLEDGED)
#define AWAITING INGOT_STATE_BIT(INGOT_STATE_AWAITING)
#define EXECUTING INGOT_STATE_BIT(INGOT_STATE_EXECUTING)
#define SUCCEEDED INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED)
#define FAILED INGOT_STATE_BIT(INGOT_STATE_FAILED)
#define DISCARDED INGOT_STATE_BIT(INGOT_STATE_DISCARDED)

/* For each state the states that may follow it: the one table of moves. */
static const unsigned moves[] = {
    [INGOT_STATE_NONE] = ACKNOWLEDGED | AWAITING,
    [INGOT_STATE_ACKNOWLEDGED] = AWAITING | EXECUTING | DISCARDED,
    [INGOT_STATE_AWAITING] = EXECUTING | AWAITING | DISCARDED,
    [INGOT_STATE_EXECUTING] = SUCCEEDED | FAILED | DISCARDED | AWAITING | EXECUTING,
    [INGOT_STATE_SUCCEEDED] = 0,
    [INGOT_STATE_FAILED] = AWAITING | EXECUTING | DISCARDED,
    [INGOT_STATE_DISCARDED] = 0,
};

static int in_range(enum ingot_state state)
{
    return (int)state >= INGOT_STATE_NONE && state <= INGOT_STATE_DISCARDED;
}

const char *ingot_state_name(enum ingot_state state)
{
    return in_range(state) ? names[state] : NULL;
}

enum ingot_state ingot_state_parse(struct ingot_bytes name)
{
    for (enum ingot_state state = INGOT_STATE_ACKNOWLEDGED; state <= INGOT_STATE_DISCARDED; state++)
        if (ingot_bytes_equal(name, ingot_bytes_of(names[state])))
            return state;
    return INGOT_STATE_NONE;
}

int igt_move_is_legal(enum ingot_state before, enum ingot_state after)
{
    return in_range(before) && in_range(after) && (moves[before] & INGOT_STATE_BIT(after)) != 0;
}

int igt_state_is_terminal(enum ingot_state state)
{
    return in_range(state) && moves[state] == 0;
}

void igt_fold_begin(struct igt_fold *fold, const struct ingot_transition *birth)
{
    memset(fold, 0, sizeof *fold);
    fold->state = birth->state_after;
    fold->created_us = birth->created_us;
}

/* What a transition says of the number that the next claim must carry. */
static enum igt_next_attempt next_attempt(const struct ingot_transition *latest,
                                          enum igt_next_attempt unknown)
{
    if (latest->state_after != INGOT_STATE_AWAITING)
        return IGT_ATTEMPT_NEXT;
    if (latest->state_before == INGOT_STATE_EXECUTING)
        return IGT_ATTEMPT_SAME;
    /* A new due time keeps what was true before it. */
    return latest->state_before == INGOT_STATE_AWAITING ? unknown : IGT_ATTEMPT_NEXT;
}

static void take(struct igt_fold *fold, const struct ingot_transition *latest,
                 enum igt_next_attempt unknown)
{
    fold->next_attempt = next_attempt(latest, unknown);
    fold->state = latest->state_after;
    fold->seq = latest->seq;
    fold->attempt = latest->attempt;
    fold->created_us = latest->created_us;
    if (latest->state_after == INGOT_STATE_EXECUTING)
        fold->owner = latest->owner;
}

void igt_fold_from_latest(struct igt_fold *fold, const struct ingot_transition *latest)
{
    memset(fold, 0, sizeof *fold);
    take(fold, latest, latest->attempt ? IGT_ATTEMPT_EITHER : IGT_ATTEMPT_NEXT);
}

uint16_t igt_fold_claim_attempt(const struct igt_fold *fold)
{
    return (uint16_t)(fold->attempt + (fold->next_attempt == IGT_ATTEMPT_SAME ? 0 : 1));
}

/* The rules of a chain, each with the promise that it keeps. */
static const struct igt_breach number = {"I5", "its number does not follow the latest one"},
                               ended = {"I8", "nothing follows a terminal state"},
                               before = {"I6", "its state before is not the job's state"},
                               move = {"I7", "there is no such move"},
                               reserve = {"I7",
                                          "the chain is at its end and takes terminal moves only"},
                               due_lacks = {"I7", "awaiting needs a due time"},
                               due_given = {"I7", "only awaiting and executing have a due time"},
                               nobody = {"I11", "a claim must name its owner"},
                               extension = {"I11", "an extension keeps its attempt"},
                               takeover = {"I11", "a takeover counts one attempt more"},
                               given_back = {"I11", "a job that was given back keeps its attempt"},
                               claim = {"I11", "a claim counts one attempt more"},
                               attempt = {"I9", "its attempt is not the one of its claim"},
                               owner = {"I9", "an outcome belongs to the owner of its claim"};

/* A claim: by whoever comes first, with the number of its attempt. */
static const struct igt_breach *check_claim(const struct igt_fold *fold,
                                            const struct ingot_transition *next)
{
    int more = next->attempt == fold->attempt + 1u;
    int same = next->attempt == fold->attempt;
    if (ingot_ksuid_is_none(&next->owner))
        return &nobody;
    if (fold->state == INGOT_STATE_EXECUTING) {
        if (ingot_ksuid_compare(&next->owner, &fold->owner) == 0)
            return same ? NULL : &extension;
        return more ? NULL : &takeover;
    }
    if (fold->next_attempt == IGT_ATTEMPT_SAME)
        return same ? NULL : &given_back;
    if (fold->next_attempt == IGT_ATTEMPT_EITHER && same)
        return NULL;
    return more ? NULL : &claim;
}

/* Any other step; what follows a claim comes from its owner, or from an operator who says why. */
static const struct igt_breach *check_step(const struct igt_fold *fold,
                                           const struct ingot_transition *next)
{
    if (next->attempt != fold->attempt)
        return &attempt;
    if (fold->state != INGOT_STATE_EXECUTING ||
        ingot_ksuid_compare(&next->owner, &fold->owner) == 0)
        return NULL;
    if (ingot_ksuid_is_none(&next->owner) && next->state_after == INGOT_STATE_DISCARDED &&
        next->error.data)
        return NULL;
    return &owner;
}

/* What holds for every step, whoever makes it. */
static const struct igt_breach *check_place(const struct igt_fold *fold,
                                            const struct ingot_transition *next)
{
    int has_due_time = next->due_us != INGOT_NO_TIME;
    int may_have_one =
        next->state_after == INGOT_STATE_AWAITING || next->state_after == INGOT_STATE_EXECUTING;
    if (next->seq != fold->seq + 1)
        return &number;
    if (igt_state_is_terminal(fold->state))
        return &ended;
    if (next->state_before != fold->state)
        return &before;
    if (!igt_move_is_legal(fold->state, next->state_after))
        return &move;
    if (next->seq > IGT_SEQ_MAX - IGT_SEQ_RESERVE && !igt_state_is_terminal(next->state_after))
        return &reserve;
    if (next->state_after == INGOT_STATE_AWAITING && !has_due_time)
        return &due_lacks;
    return has_due_time && !may_have_one ? &due_given : NULL;
}

const struct igt_breach *igt_fold_apply(struct igt_fold *fold, const struct ingot_transition *next)
{
    const struct igt_breach *breach = check_place(fold, next);
    if (!breach)
        breach = next->state_after == INGOT_STATE_EXECUTING ? check_claim(fold, next)
                                                            : check_step(fold, next);
    if (!breach)
        take(fold, next, fold->next_attempt);
    return breach;
}
