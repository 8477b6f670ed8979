/* The scheduler's state machine; see scheduler.h. */
#include "scheduler.h"

#include "core/heap.h"
#include "core/limits.h"
#include "core/state.h"
#include "core/toolkit.h"

#include <stdlib.h>
#include <string.h>

enum phase {
    FREE,      /* not in use */
    WAITING,   /* in its destination's heap until it is due */
    CLAIMING,  /* its claim is on the way to the store */
    RUNNING,   /* its attempt runs */
    FINISHING, /* its outcome is on the way to the store */
    MENDING    /* its chain is being read */
};

/* A live job: 56 bytes, and 16 + 5 for its place in heap and map. */
struct live {
    struct igt_map_key key;
    uint32_t seq;
    int64_t due_us; /* while it waits */
    uint32_t place; /* in the heap */
    uint16_t attempt;
    uint16_t plan, policy;
    uint8_t state;        /* enum ingot_state */
    uint8_t phase;        /* enum phase */
    uint8_t next_attempt; /* enum igt_next_attempt */
};

struct destination {
    const struct igt_plan *plan;
    struct igt_heap waiting;
    uint32_t busy;         /* claims and attempts under way */
    int64_t held_until_us; /* it asked us to stay away until then */
};

struct igt_scheduler {
    struct destination *destinations;
    size_t destination_count;
    ingot_ksuid owner;
    const struct ingot_toolkit *toolkit;
    struct live *jobs;
    uint32_t job_count, job_size;
    uint32_t free_list; /* index of a FREE one, linked by place; or IGT_MAP_NONE */
    struct igt_map map;
    size_t in_flight; /* rows and reads on their way */
    int stopped;
    struct igt_scheduler_numbers numbers;
};

void igt_rows_fini(struct igt_rows *rows)
{
    free(rows->rows);
    memset(rows, 0, sizeof *rows);
}

static const struct igt_map_key *key_of(const void *context, uint32_t index)
{
    const struct igt_scheduler *scheduler = context;
    return &scheduler->jobs[index].key;
}

static void moved(void *context, uint32_t index, uint32_t place)
{
    struct igt_scheduler *scheduler = context;
    scheduler->jobs[index].place = place;
}

struct igt_scheduler *igt_scheduler_create(const struct igt_plan *plans, size_t plan_count,
                                           const ingot_ksuid *owner,
                                           const struct ingot_toolkit *toolkit)
{
    struct igt_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler)
        return NULL;
    scheduler->destinations = calloc(plan_count + 1, sizeof *scheduler->destinations);
    if (!scheduler->destinations) {
        free(scheduler);
        return NULL;
    }
    scheduler->destination_count = plan_count;
    for (size_t i = 0; i < plan_count; i++) {
        struct destination *destination = &scheduler->destinations[i];
        destination->plan = &plans[i];
        destination->held_until_us = INT64_MIN;
        destination->waiting.moved = moved;
        destination->waiting.context = scheduler;
    }
    scheduler->owner = *owner;
    scheduler->toolkit = toolkit;
    scheduler->free_list = IGT_MAP_NONE;
    scheduler->map.key_of = key_of;
    scheduler->map.context = scheduler;
    igt_random(toolkit, scheduler->map.secret, sizeof scheduler->map.secret);
    return scheduler;
}

void igt_scheduler_destroy(struct igt_scheduler *scheduler)
{
    if (!scheduler)
        return;
    for (size_t i = 0; i < scheduler->destination_count; i++)
        igt_heap_fini(&scheduler->destinations[i].waiting);
    igt_map_fini(&scheduler->map);
    free(scheduler->destinations);
    free(scheduler->jobs);
    free(scheduler);
}

/* ---- the live set ------------------------------------------------------- */

/* A free record, or IGT_MAP_NONE when memory ran out. */
static uint32_t take_record(struct igt_scheduler *scheduler)
{
    if (scheduler->free_list != IGT_MAP_NONE) {
        uint32_t index = scheduler->free_list;
        scheduler->free_list = scheduler->jobs[index].place;
        return index;
    }
    if (scheduler->job_count == scheduler->job_size) {
        uint32_t size = scheduler->job_size ? scheduler->job_size * 2 : 64;
        struct live *grown = size > scheduler->job_size && size < IGT_MAP_NONE
                                 ? realloc(scheduler->jobs, size * sizeof *grown)
                                 : NULL;
        if (!grown)
            return IGT_MAP_NONE;
        scheduler->jobs = grown;
        scheduler->job_size = size;
    }
    return scheduler->job_count++;
}

static void give_record(struct igt_scheduler *scheduler, uint32_t index)
{
    scheduler->jobs[index].phase = FREE;
    scheduler->jobs[index].place = scheduler->free_list;
    scheduler->free_list = index;
}

static void forget(struct igt_scheduler *scheduler, uint32_t index)
{
    igt_map_remove(&scheduler->map, index);
    give_record(scheduler, index);
    scheduler->numbers.live--;
}

static struct destination *destination_of(struct igt_scheduler *scheduler, const struct live *job)
{
    return &scheduler->destinations[job->plan];
}

static const struct igt_policy *policy_of(struct igt_scheduler *scheduler, const struct live *job)
{
    return &destination_of(scheduler, job)->plan->policies[job->policy];
}

/* Lets a job wait; 0 when memory ran out. */
static int wait_until(struct igt_scheduler *scheduler, uint32_t index, int64_t due_us)
{
    struct live *job = &scheduler->jobs[index];
    job->due_us = due_us;
    job->phase = WAITING;
    return igt_heap_push(&destination_of(scheduler, job)->waiting, index, due_us);
}

/* The place of a destination among the plans, or -1. */
static long find_plan(const struct igt_scheduler *scheduler, struct ingot_bytes name)
{
    for (size_t i = 0; i < scheduler->destination_count; i++)
        if (ingot_bytes_equal(scheduler->destinations[i].plan->name, name))
            return (long)i;
    return -1;
}

static uint16_t find_policy(const struct igt_plan *plan, struct ingot_bytes event)
{
    for (size_t i = 0; i < plan->event_count; i++)
        if (ingot_bytes_equal(plan->events[i], event))
            return (uint16_t)(i + 1);
    return 0;
}

static void take_fold(struct live *job, const struct igt_fold *fold)
{
    job->state = (uint8_t)fold->state;
    job->seq = fold->seq;
    job->attempt = fold->attempt;
    job->next_attempt = (uint8_t)fold->next_attempt;
}

static double random_share(struct igt_scheduler *scheduler)
{
    uint64_t bits;
    igt_random(scheduler->toolkit, &bits, sizeof bits);
    return (double)(bits >> 11) / (double)(UINT64_C(1) << 53);
}

/* When a job that was read is due. */
static int64_t due_of(struct igt_scheduler *scheduler, const struct live *live,
                      const struct ingot_job *job, int64_t now_us)
{
    const struct igt_policy *policy = policy_of(scheduler, live);
    int64_t first_us;
    switch (job->latest.state_after) {
    case INGOT_STATE_ACKNOWLEDGED:
        first_us = igt_policy_first_at(policy, job->created_us);
        return first_us == INGOT_NO_TIME ? job->created_us : first_us;
    case INGOT_STATE_AWAITING:
        return job->latest.due_us;
    case INGOT_STATE_FAILED: /* the decision that belongs to it was never made */
        return igt_policy_retry_at(policy, job->latest.attempt, job->latest.created_us,
                                   INGOT_NO_TIME, random_share(scheduler));
    default: /* executing, for an owner who is dead */
        return now_us;
    }
}

enum igt_sight igt_scheduler_sight(struct igt_scheduler *scheduler, const struct ingot_job *job,
                                   int64_t now_us)
{
    const struct igt_map_key key = {job->event_id, job->number};
    struct igt_fold fold;
    if (igt_state_is_terminal(job->latest.state_after) ||
        igt_map_get(&scheduler->map, &key) != IGT_MAP_NONE)
        return IGT_SIGHT_KNOWN;
    long plan = find_plan(scheduler, job->destination);
    if (plan < 0) {
        scheduler->numbers.nobodys++;
        return IGT_SIGHT_NOBODYS;
    }
    uint32_t index = take_record(scheduler);
    if (index == IGT_MAP_NONE)
        return IGT_SIGHT_FULL;
    struct live *live = &scheduler->jobs[index];
    memset(live, 0, sizeof *live);
    live->key = key;
    live->plan = (uint16_t)plan;
    live->policy = find_policy(scheduler->destinations[plan].plan, job->event);
    igt_fold_from_latest(&fold, &job->latest);
    take_fold(live, &fold);
    if (!igt_map_put(&scheduler->map, index)) {
        give_record(scheduler, index);
        return IGT_SIGHT_FULL;
    }
    scheduler->numbers.live++;
    if (!wait_until(scheduler, index, due_of(scheduler, live, job, now_us))) {
        forget(scheduler, index);
        return IGT_SIGHT_FULL;
    }
    return IGT_SIGHT_TAKEN;
}

/* ---- rows --------------------------------------------------------------- */

/* Makes room for count rows more, so that the rows of one step are appended all or not at all. */
static int reserve(struct igt_rows *rows, size_t count)
{
    if (rows->count + count <= rows->size)
        return 1;
    size_t size = rows->size ? rows->size * 2 : 64;
    struct ingot_commit_transition *grown = realloc(rows->rows, size * sizeof *grown);
    if (!grown) {
        rows->failed = 1;
        return 0;
    }
    rows->rows = grown;
    rows->size = size;
    return 1;
}

/* Appends a row at its place in the chain; there is room. Returns its index. */
static size_t append(struct igt_scheduler *scheduler, struct igt_rows *rows, const struct live *job,
                     uint32_t seq, uint16_t attempt, enum ingot_state before,
                     enum ingot_state after)
{
    rows->rows[rows->count] = (struct ingot_commit_transition){
        .row = {.event_id = job->key.event_id,
                .job = job->key.job,
                .seq = seq,
                .attempt = attempt,
                .state_before = before,
                .state_after = after,
                .owner = scheduler->owner,
                .due_us = INGOT_NO_TIME},
        .hangs_on = INGOT_ALONE,
    };
    scheduler->in_flight++;
    return rows->count++;
}

static const char cut_off[] =
    "{\"message\":\"the last attempt was cut off: its owner died, and no retry remains\"}";
static const char chain_full[] =
    "{\"message\":\"the chain is at its end: no further attempt fits\"}";

/* What ends a job before it is claimed, or NULL. */
static const char *why_not(struct igt_scheduler *scheduler, const struct live *job,
                           uint16_t attempt)
{
    /* claim, failed and awaiting must fit before the reserve */
    if (job->seq + 3 > IGT_SEQ_MAX - IGT_SEQ_RESERVE || attempt == 0)
        return chain_full;
    if (job->state == INGOT_STATE_EXECUTING &&
        attempt > policy_of(scheduler, job)->retries_max + UINT32_C(1))
        return cut_off;
    return NULL;
}

/* Appends the claim of a job that is due, or its end if no attempt is left. */
static void claim(struct igt_scheduler *scheduler, uint32_t index, struct igt_rows *rows)
{
    struct live *job = &scheduler->jobs[index];
    struct destination *destination = destination_of(scheduler, job);
    struct igt_fold fold = {.attempt = job->attempt,
                            .next_attempt = (enum igt_next_attempt)job->next_attempt};
    uint16_t attempt = igt_fold_claim_attempt(&fold);
    const char *reason = why_not(scheduler, job, attempt);
    igt_heap_remove(&destination->waiting, job->place);
    if (reason) {
        size_t at = append(scheduler, rows, job, job->seq + 1, job->attempt,
                           (enum ingot_state)job->state, INGOT_STATE_DISCARDED);
        rows->rows[at].row.error = ingot_bytes_of(reason);
        /* Whoever claimed it is dead; the row is his, as every outcome belongs to its claim. */
        if (job->state == INGOT_STATE_EXECUTING)
            memset(&rows->rows[at].row.owner, 0, sizeof(ingot_ksuid));
        job->phase = FINISHING;
        return;
    }
    append(scheduler, rows, job, job->seq + 1, attempt, (enum ingot_state)job->state,
           INGOT_STATE_EXECUTING);
    scheduler->numbers.taken_over += job->state == INGOT_STATE_EXECUTING;
    scheduler->numbers.claims++;
    job->phase = CLAIMING;
    destination->busy++;
}

int64_t igt_scheduler_plan(struct igt_scheduler *scheduler, int64_t now_us, struct igt_rows *rows)
{
    int64_t wake_us = INT64_MAX;
    for (size_t i = 0; i < scheduler->destination_count && !scheduler->stopped; i++) {
        struct destination *destination = &scheduler->destinations[i];
        struct igt_heap *waiting = &destination->waiting;
        while (waiting->count && destination->busy < destination->plan->concurrency &&
               waiting->entries[0].time_us <= now_us && destination->held_until_us <= now_us &&
               reserve(rows, 1))
            claim(scheduler, waiting->entries[0].index, rows);
        if (waiting->count == 0 || destination->busy >= destination->plan->concurrency)
            continue;
        int64_t next_us = waiting->entries[0].time_us;
        if (next_us < destination->held_until_us)
            next_us = destination->held_until_us;
        if (next_us < wake_us)
            wake_us = next_us;
    }
    return wake_us;
}

/* ---- outcomes ----------------------------------------------------------- */

/* Two rows: the fact, and the decision that hangs on it. */
static void append_failure(struct igt_scheduler *scheduler, struct live *job,
                           int64_t retry_after_us, struct ingot_bytes error, int64_t now_us,
                           struct igt_rows *rows)
{
    const struct igt_policy *policy = policy_of(scheduler, job);
    /* retries_max runs may follow the first */
    enum ingot_state after =
        job->attempt > policy->retries_max ? INGOT_STATE_DISCARDED : INGOT_STATE_FAILED;
    size_t fact =
        append(scheduler, rows, job, job->seq + 1, job->attempt, INGOT_STATE_EXECUTING, after);
    rows->rows[fact].row.error = error;
    if (after == INGOT_STATE_DISCARDED)
        return;
    size_t decision = append(scheduler, rows, job, job->seq + 2, job->attempt, INGOT_STATE_FAILED,
                             INGOT_STATE_AWAITING);
    rows->rows[decision].hangs_on = fact;
    rows->rows[decision].row.due_us =
        igt_policy_retry_at(policy, job->attempt, now_us, retry_after_us, random_share(scheduler));
}

/* Appends the outcome of a running attempt; there is room. */
static void append_outcome(struct igt_scheduler *scheduler, struct live *job,
                           enum igt_report report, int64_t retry_after_us, struct ingot_bytes error,
                           int64_t now_us, struct igt_rows *rows)
{
    job->phase = FINISHING;
    destination_of(scheduler, job)->busy--;
    if (report == IGT_REPORT_SUCCEEDED) {
        append(scheduler, rows, job, job->seq + 1, job->attempt, INGOT_STATE_EXECUTING,
               INGOT_STATE_SUCCEEDED);
    } else if (report == IGT_REPORT_FAILED) {
        append_failure(scheduler, job, retry_after_us, error, now_us, rows);
    } else {
        size_t at = append(scheduler, rows, job, job->seq + 1, job->attempt, INGOT_STATE_EXECUTING,
                           INGOT_STATE_AWAITING);
        rows->rows[at].row.due_us = retry_after_us == INGOT_NO_TIME ? now_us : retry_after_us;
    }
}

void igt_scheduler_report(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                          enum igt_report report, int64_t retry_after_us, struct ingot_bytes error,
                          int64_t now_us, struct igt_rows *rows)
{
    uint32_t index = igt_map_get(&scheduler->map, key);
    if (index == IGT_MAP_NONE || scheduler->jobs[index].phase != RUNNING || !reserve(rows, 2))
        return;
    struct live *job = &scheduler->jobs[index];
    struct destination *destination = destination_of(scheduler, job);
    scheduler->numbers.running--;
    if (retry_after_us != INGOT_NO_TIME) {
        int64_t latest_us = now_us + IGT_RETRY_AFTER_US_MAX;
        int64_t until_us = retry_after_us < latest_us ? retry_after_us : latest_us;
        if (until_us > destination->held_until_us)
            destination->held_until_us = until_us;
    }
    append_outcome(scheduler, job, report, retry_after_us, error, now_us, rows);
}

/* A claim that was stored: run it, or give it back if we are about to end. */
static enum igt_next claim_stored(struct igt_scheduler *scheduler, struct live *job, int64_t now_us,
                                  struct igt_rows *rows)
{
    scheduler->numbers.running++;
    job->phase = RUNNING;
    if (!scheduler->stopped || !reserve(rows, 1))
        return IGT_NEXT_DELIVER;
    scheduler->numbers.running--;
    append_outcome(scheduler, job, IGT_REPORT_GIVEN_BACK, INGOT_NO_TIME,
                   (struct ingot_bytes){NULL, 0}, now_us, rows);
    return IGT_NEXT_NOTHING;
}

static void count_outcome(struct igt_scheduler *scheduler, const struct ingot_transition *row)
{
    scheduler->numbers.succeeded += row->state_after == INGOT_STATE_SUCCEEDED;
    scheduler->numbers.failed += row->state_after == INGOT_STATE_FAILED;
    scheduler->numbers.discarded += row->state_after == INGOT_STATE_DISCARDED;
    scheduler->numbers.given_back +=
        row->state_after == INGOT_STATE_AWAITING && row->state_before == INGOT_STATE_EXECUTING;
}

/* Somebody else wrote the number: what memory held is wrong. */
static enum igt_next lost(struct igt_scheduler *scheduler, struct live *job)
{
    if (job->phase == CLAIMING) {
        destination_of(scheduler, job)->busy--;
        scheduler->numbers.claims_lost++;
    }
    job->phase = MENDING;
    scheduler->in_flight++; /* the read */
    return IGT_NEXT_READ;
}

enum igt_next igt_scheduler_verdict(struct igt_scheduler *scheduler,
                                    const struct ingot_transition *row, enum ingot_verdict verdict,
                                    int64_t now_us, struct igt_rows *rows)
{
    const struct igt_map_key key = {row->event_id, row->job};
    uint32_t index = igt_map_get(&scheduler->map, &key);
    scheduler->in_flight--;
    if (index == IGT_MAP_NONE)
        return IGT_NEXT_NOTHING;
    struct live *job = &scheduler->jobs[index];
    struct igt_fold fold;
    /* A row that hung on one that lost has nothing more to tell: memory is being mended. */
    if ((job->phase != CLAIMING && job->phase != FINISHING) || row->seq != job->seq + 1)
        return IGT_NEXT_NOTHING;
    if (verdict != INGOT_STORED)
        return lost(scheduler, job);
    igt_fold_from_latest(&fold, row);
    take_fold(job, &fold);
    if (job->phase == CLAIMING)
        return claim_stored(scheduler, job, now_us, rows);
    count_outcome(scheduler, row);
    if (igt_state_is_terminal(row->state_after))
        forget(scheduler, index);
    else if (row->state_after == INGOT_STATE_AWAITING && !wait_until(scheduler, index, row->due_us))
        forget(scheduler, index); /* no memory: found again at the next start */
    return IGT_NEXT_NOTHING;
}

void igt_scheduler_mend(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                        const struct ingot_job *job, int64_t now_us)
{
    uint32_t index = igt_map_get(&scheduler->map, key);
    scheduler->in_flight--;
    if (index == IGT_MAP_NONE || scheduler->jobs[index].phase != MENDING)
        return;
    forget(scheduler, index);
    if (job)
        igt_scheduler_sight(scheduler, job, now_us);
}

void igt_scheduler_stop(struct igt_scheduler *scheduler)
{
    scheduler->stopped = 1;
}

int igt_scheduler_is_idle(const struct igt_scheduler *scheduler)
{
    return scheduler->in_flight == 0 && scheduler->numbers.running == 0;
}

struct igt_scheduler_numbers igt_scheduler_numbers(const struct igt_scheduler *scheduler)
{
    return scheduler->numbers;
}
