/*
 * The scheduler: a pure state machine. In go the time, sightings, verdicts and
 * outcomes; out come rows to insert, and the instant to be woken at. It does no
 * I/O, has no clock and no thread, and trusts its memory only as a hint: a
 * claim that loses its race is mended from the chain.
 *
 * The life of a job in its memory:
 *
 *   sighted ─► waiting ─plan─► claiming ─stored─► running ─reported─► finishing ─► gone
 *      │          ▲               │lost                                   │lost      or
 *      ▼          └───── mend ── mending ◄────────────────────────────────┘       waiting
 *   foreign ─── a lease ───────────▲
 *
 * Foreign is what executes for another owner, who may be alive: it is read
 * again once a lease, and taken over when he is known to be dead. Of several
 * schedulers each works its own lanes; what it runs in a lane that it lost it
 * finishes, with a notice to whoever works the lane now (PROTOCOL 5).
 */
#ifndef INGOT_SCHEDULER_SCHEDULER_H
#define INGOT_SCHEDULER_SCHEDULER_H

#include "core/lanes.h"
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

/*
 * What the scheduler asks of the store: rows to insert, in the order in which
 * they hang on each other, and jobs to read again, each of which is answered by
 * igt_scheduler_mend. Zero-initialise; fini frees.
 */
struct igt_rows {
    /* their error bytes are borrowed, see igt_scheduler_report */
    struct ingot_commit_transition *rows;
    size_t count, size;
    struct igt_map_key *reads;
    size_t read_count, read_size;
    int failed; /* memory ran out while something was added */
};
void igt_rows_fini(struct igt_rows *rows);

/* Asks for a job to be read once more, because the answer was that it cannot be read now. */
void igt_rows_read_again(struct igt_rows *rows, const struct igt_map_key *key);

/* Another process as its newest heartbeat shows it. */
struct igt_peer {
    ingot_ksuid owner;
    enum { IGT_PEER_LIVING, IGT_PEER_ENDED } state; /* ended: said so itself */
};

/* What became of an attempt. */
enum igt_report {
    IGT_REPORT_SUCCEEDED,
    IGT_REPORT_FAILED,    /* retried by the policy, or discarded after the last retry */
    IGT_REPORT_GIVEN_BACK /* not finished, on our own account: uses up no retry */
};

/* What the caller must do after a verdict. */
enum igt_next {
    IGT_NEXT_NOTHING,
    IGT_NEXT_DELIVER /* the claim is stored: start the attempt, and report it */
};

/* What a sighting was good for. */
enum igt_sight {
    IGT_SIGHT_TAKEN,     /* it is in memory now */
    IGT_SIGHT_KNOWN,     /* it was already, or is finished */
    IGT_SIGHT_ELSEWHERE, /* somebody else works its lane */
    IGT_SIGHT_FULL       /* memory ran out */
};

struct igt_scheduler_numbers {
    uint64_t live;    /* jobs in memory */
    uint64_t running; /* attempts that run */
    uint64_t nobodys; /* of them for destinations that are not configured: they wait */
    uint64_t claims, claims_lost, outcomes_lost, succeeded, failed, discarded, given_back,
        taken_over;
};

struct igt_scheduler;

/*
 * Makes a scheduler for destinations (borrowed, at most 65,535). owner marks
 * its claims; toolkit lends the random numbers of the jitter. lease_us is how
 * long an owner must be silent to be taken for dead; 0: nobody else can be
 * alive (PROTOCOL 5.3), and all lanes are worked here. With a lease it begins
 * without lanes. NULL when memory ran out.
 */
struct igt_scheduler *igt_scheduler_create(const struct igt_plan *plans, size_t plan_count,
                                           const ingot_ksuid *owner, int64_t lease_us,
                                           const struct ingot_toolkit *toolkit);
void igt_scheduler_destroy(struct igt_scheduler *scheduler);

/*
 * Works these lanes from now on. What waits in a lane that was lost is
 * forgotten; jobs of one that was gained must be sighted: all that ingot_store_live()
 * shows, and all that is followed meanwhile.
 */
void igt_scheduler_set_lanes(struct igt_scheduler *scheduler, const struct ingot_lanes *lanes);

/*
 * Who is alive, by heartbeats that were read at judged_us of the store's clock.
 * Only to be called when our own heartbeats were on time for a whole lease.
 */
void igt_scheduler_set_peers(struct igt_scheduler *scheduler, const struct igt_peer *peers,
                             size_t count, int64_t judged_us);

/*
 * Learns of a job: from the gateway, by following, from a cold read. Of job are
 * read destination, event, number, created_us and latest. One that executes for
 * an owner who is dead is taken over; one that executes for us is read again first, for
 * the verdict of its first claim may be on its way.
 */
enum igt_sight igt_scheduler_sight(struct igt_scheduler *scheduler, const struct ingot_job *job,
                                   int64_t now_us);

/* Learns that somebody else wrote a transition of a job of our lanes: it is read again. */
void igt_scheduler_notice(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                          struct igt_rows *rows);

/*
 * The sweep (PROTOCOL 3.8): between begin and end every live job of the store
 * is shown once, as it was at some instant between. What memory lacks is
 * sighted, what is older in memory is mended; what memory holds and nobody
 * showed is read again.
 */
void igt_scheduler_sweep_begin(struct igt_scheduler *scheduler);
enum igt_sight igt_scheduler_sweep_show(struct igt_scheduler *scheduler,
                                        const struct ingot_job *job, int64_t now_us);
void igt_scheduler_sweep_end(struct igt_scheduler *scheduler, struct igt_rows *rows);

/* An event with a live job in a lane. */
struct igt_listed {
    ingot_ksuid event_id;
    uint32_t lane;
};

/* Lists what is live in the lanes, in no order; list has room for numbers.live. Returns how many. */
size_t igt_scheduler_list(const struct igt_scheduler *scheduler, const struct ingot_lanes *lanes,
                          struct igt_listed *list);

/*
 * Claims what is due while its destination has room, and appends the rows; asks
 * for what is foreign to be read again.
 * Returns the instant at which to be called again, or INT64_MAX for "not before
 * something happens".
 */
int64_t igt_scheduler_plan(struct igt_scheduler *scheduler, int64_t now_us, struct igt_rows *rows);

/*
 * First claims (DESIGN 4): the first attempt of a job may be claimed in the very
 * commit that stores its event, by whoever makes that commit, if the scheduler has
 * granted it before. A grant takes up room until the claim has been sighted or the
 * grant is taken back.
 *
 * Grants first claims of the destination at that place in the plans, as many as it
 * has room for; none where a first attempt is not made at once, or others go before
 * it, or it is to be left alone. Returns how many more there are now.
 */
uint32_t igt_scheduler_grant(struct igt_scheduler *scheduler, size_t plan, int64_t now_us);

/* Whether what is granted of a destination and not used yet is to be taken back. */
int igt_scheduler_wants_back(const struct igt_scheduler *scheduler, size_t plan, int64_t now_us);

/* Takes back grants that nobody will use. */
void igt_scheduler_take_back(struct igt_scheduler *scheduler, size_t plan, uint32_t count);

/*
 * Learns of a job and that its first claim is on the way, on a grant for the
 * destination at that place in the plans; the verdict of the claim comes as of any
 * row. The lane may be lost meanwhile: what is claimed is finished.
 */
enum igt_sight igt_scheduler_sight_claimed(struct igt_scheduler *scheduler,
                                           const struct ingot_job *job, size_t plan);

/* How long the longest due job of a configured destination has been waiting; 0: none is due. */
int64_t igt_scheduler_lag(const struct igt_scheduler *scheduler, int64_t now_us);

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

/*
 * Takes the answer to a read: what memory holds of the job is replaced. It was read after
 * what was written before it was asked for, and comes after the verdicts of that. NULL:
 * there is no such job.
 */
void igt_scheduler_mend(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                        const struct ingot_job *job, int64_t now_us);

/* Claims nothing any more; a claim that is stored from now on is given back. */
void igt_scheduler_stop(struct igt_scheduler *scheduler);

/* Whether no row, no grant and no attempt is under way. */
int igt_scheduler_is_idle(const struct igt_scheduler *scheduler);

struct igt_scheduler_numbers igt_scheduler_numbers(const struct igt_scheduler *scheduler);

#endif
