/*
 * The scheduler: a pure state machine. In go the time, sightings, verdicts and
 * outcomes; out come rows to insert, and the instant to be woken at. It does no
 * I/O, has no clock and no thread, and trusts its memory only as a hint: a
 * claim that loses its race is mended from the chain.
 *
 * The life of a job in its memory:
 *
 *   sighted ─► waiting ─plan─► claiming ─stored─► running ─reported─► finishing ─► gone
 *                 ▲               │lost                                   │lost      or
 *                 └───── mend ── mending ◄────────────────────────────────┘       waiting
 */
#ifndef INGOT_SCHEDULER_SCHEDULER_H
#define INGOT_SCHEDULER_SCHEDULER_H

#include "core/map.h"
#include "core/policy.h"

/* One destination as the scheduler sees it. Borrowed for the scheduler's life. */
struct igt_plan {
    struct ingot_bytes name;
    uint32_t concurrency;             /* attempts at the same time */
    const struct ingot_bytes *events; /* those with a policy of their own; may be "*" */
    /* policies[0] is the destination's, policies[i + 1] of events[i] */
    const struct igt_policy *policies;
    size_t event_count;
};

/* Rows to insert, in the order in which they hang on each other. Zero-initialise; fini frees. */
struct igt_rows {
    /* their error bytes are borrowed, see igt_scheduler_report */
    struct ingot_commit_transition *rows;
    size_t count, size;
    int failed; /* memory ran out while a row was added */
};
void igt_rows_fini(struct igt_rows *rows);

/* What became of an attempt. */
enum igt_report {
    IGT_REPORT_SUCCEEDED,
    IGT_REPORT_FAILED,    /* retried by the policy, or discarded after the last retry */
    IGT_REPORT_GIVEN_BACK /* not finished, on our own account: uses up no retry */
};

/* What the caller must do after a verdict. */
enum igt_next {
    IGT_NEXT_NOTHING,
    IGT_NEXT_DELIVER, /* the claim is stored: start the attempt, and report it */
    IGT_NEXT_READ     /* the memory was wrong: read the job and call igt_scheduler_mend */
};

/* What a sighting was good for. */
enum igt_sight {
    IGT_SIGHT_TAKEN,   /* it is in memory now */
    IGT_SIGHT_KNOWN,   /* it was already, or is finished */
    IGT_SIGHT_NOBODYS, /* no destination of that name is configured */
    IGT_SIGHT_FULL     /* memory ran out */
};

struct igt_scheduler_numbers {
    uint64_t live;    /* jobs in memory */
    uint64_t running; /* attempts that run */
    uint64_t nobodys; /* sightings of destinations that are not configured */
    uint64_t claims, claims_lost, succeeded, failed, discarded, given_back, taken_over;
};

struct igt_scheduler;

/*
 * Makes a scheduler for destinations (borrowed, at most 65,535). owner marks
 * its claims; toolkit lends the random numbers of the jitter. NULL when memory
 * ran out.
 */
struct igt_scheduler *igt_scheduler_create(const struct igt_plan *plans, size_t plan_count,
                                           const ingot_ksuid *owner,
                                           const struct ingot_toolkit *toolkit);
void igt_scheduler_destroy(struct igt_scheduler *scheduler);

/*
 * Learns of a job: from the gateway, or from a find at the start. Of job are
 * read destination, event, number, created_us and latest. One that executes for
 * another owner is taken over: that owner is known to be dead (PROTOCOL 5.3).
 */
enum igt_sight igt_scheduler_sight(struct igt_scheduler *scheduler, const struct ingot_job *job,
                                   int64_t now_us);

/*
 * Claims what is due while its destination has room, and appends the rows.
 * Returns the instant at which to be called again, or INT64_MAX for "not before
 * something happens".
 */
int64_t igt_scheduler_plan(struct igt_scheduler *scheduler, int64_t now_us, struct igt_rows *rows);

/* Takes the verdict of a row that it appended. */
enum igt_next igt_scheduler_verdict(struct igt_scheduler *scheduler,
                                    const struct ingot_transition *row, enum ingot_verdict verdict,
                                    int64_t now_us, struct igt_rows *rows);

/*
 * Takes what became of a running attempt and appends the rows of its outcome.
 * error is JSON or absent, and must stay until the caller has copied the rows.
 * retry_after_us: until when the destination is to be left alone, or INGOT_NO_TIME.
 */
void igt_scheduler_report(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                          enum igt_report report, int64_t retry_after_us, struct ingot_bytes error,
                          int64_t now_us, struct igt_rows *rows);

/* Replaces what memory holds of a job by what was read; NULL when the store has no such job. */
void igt_scheduler_mend(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                        const struct ingot_job *job, int64_t now_us);

/* Claims nothing any more; a claim that is stored from now on is given back. */
void igt_scheduler_stop(struct igt_scheduler *scheduler);

/* Whether no row and no attempt is under way. */
int igt_scheduler_is_idle(const struct igt_scheduler *scheduler);

struct igt_scheduler_numbers igt_scheduler_numbers(const struct igt_scheduler *scheduler);

#endif
