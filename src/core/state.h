/*
 * The legal moves of a job, in one table that writers, readers, the checker
 * and the simulator all ask; and the fold of a chain to a state.
 */
#ifndef INGOT_CORE_STATE_H
#define INGOT_CORE_STATE_H

#include <ingot/ingot.h>

/* Whether a job may go from before to after (SEED, "legal moves"). */
int igt_move_is_legal(enum ingot_state before, enum ingot_state after);

/* Whether nothing can follow. */
int igt_state_is_terminal(enum ingot_state state);

/* Which attempt number the next claim must carry. */
enum igt_next_attempt {
    IGT_ATTEMPT_NEXT,  /* one more than the last */
    IGT_ATTEMPT_SAME,  /* the last was given back, and used up nothing */
    IGT_ATTEMPT_EITHER /* not known: only the latest transition was seen */
};

/* A chain, folded up to some seq. */
struct igt_fold {
    enum ingot_state state;
    uint32_t seq;
    uint16_t attempt;
    enum igt_next_attempt next_attempt;
    ingot_ksuid owner; /* of the newest claim */
    int64_t created_us;
};

/* The fold of a birth. */
void igt_fold_begin(struct igt_fold *fold, const struct ingot_transition *birth);

/* The fold as far as one transition tells it. */
void igt_fold_from_latest(struct igt_fold *fold, const struct ingot_transition *latest);

/* What a transition breaks that may not follow: the promise of docs/invariants.md, and why. */
struct igt_breach {
    const char *invariant; /* "I5" */
    const char *reason;
};

/*
 * Takes the next transition of the chain. Returns NULL, or what it breaks (a
 * constant) if it may not follow; the fold is then unchanged. Checks number, state before, the
 * move, attempt, owner, due time, and the reserve at the end of a chain; not
 * the time, which is the database's affair.
 */
const struct igt_breach *igt_fold_apply(struct igt_fold *fold, const struct ingot_transition *next);

/* The attempt that the next claim carries; EITHER counts as NEXT. */
uint16_t igt_fold_claim_attempt(const struct igt_fold *fold);

#endif
