/* The scheduler's state machine; see scheduler.h. */
#include "scheduler.h"

#include "core/heap.h"
#include "core/limits.h"
#include "core/state.h"
#include "core/toolkit.h"

#include <stdlib.h>
#include <string.h>

/*
 * Claims of a destination that one call of plan makes: so many that a commit is
 * worth while, so few that the store works on some while others are delivered.
 */
#define CLAIMS_AT_ONCE 500

enum phase {
    FREE,      /* not in use */
    WAITING,   /* in its destination's heap until it is due */
    FOREIGN,   /* executes for somebody else; in the heap of looks until it is read again */
    CLAIMING,  /* its claim is on the way to the store */
    RUNNING,   /* its attempt runs */
    FINISHING, /* its outcome is on the way to the store */
    MENDING,   /* its chain is being read */
    DOUBTED    /* likewise, and until then it takes up room: somebody may execute it */
};

/* A live job: 56 bytes, and 16 + 9 to 18 for its place in heap and map. */
struct live {
    struct igt_map_key key;
    uint32_t seq;
    int64_t due_us;       /* while it waits */
    uint32_t place;       /* in a heap */
    uint32_t destination; /* index */
    uint16_t attempt;
    uint16_t policy;
    uint8_t state;        /* enum ingot_state */
    uint8_t phase;        /* enum phase */
    uint8_t next_attempt; /* enum igt_next_attempt */
    uint8_t seen;         /* the newest sweep that showed it */
};

struct destination {
    const struct igt_plan *plan; /* NULL: not configured; its jobs wait until it is */
    struct ingot_bytes name;     /* the plan's, or our own copy */
    uint32_t lane;
    struct igt_heap waiting;
    uint32_t busy;         /* claims, attempts and grants under way, foreign ones included */
    uint32_t granted;      /* of them, first claims that somebody else may make */
    int64_t held_until_us; /* it asked us to stay away until then */
};

struct igt_scheduler {
    struct destination *destinations;
    uint32_t destination_count, destination_size;
    uint32_t *by_name; /* the destinations' indices, ascending by name */
    ingot_ksuid owner;
    int64_t lease_us;
    struct ingot_lanes lanes; /* worked here */
    struct igt_peer *peers;
    size_t peer_count;
    int64_t judged_us; /* when the peers were read; INT64_MIN: never */
    const struct ingot_toolkit *toolkit;
    struct live *jobs;
    uint32_t job_count, job_size;
    uint32_t free_list; /* index of a FREE one, linked by place; or IGT_MAP_NONE */
    struct igt_map map;
    struct igt_heap looks; /* foreign jobs by the instant to read them again */
    uint8_t sweep;         /* the number of the present or last sweep */
    size_t in_flight;      /* rows and reads on their way */
    size_t granted;        /* of all destinations */
    int stopped;
    struct igt_scheduler_numbers numbers;
};

void igt_rows_fini(struct igt_rows *rows)
{
    free(rows->rows);
    free(rows->reads);
    memset(rows, 0, sizeof *rows);
}

void igt_rows_read_again(struct igt_rows *rows, const struct igt_map_key *key)
{
    if (rows->read_count == rows->read_size) {
        size_t size = rows->read_size ? rows->read_size * 2 : 16;
        struct igt_map_key *grown = realloc(rows->reads, size * sizeof *grown);
        if (!grown) {
            rows->failed = 1;
            return;
        }
        rows->reads = grown;
        rows->read_size = size;
    }
    rows->reads[rows->read_count++] = *key;
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

/* ---- destinations ------------------------------------------------------- */

static int compare_names(struct ingot_bytes a, struct ingot_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first place in by_name whose name is not before the given one. */
static uint32_t place_of(const struct igt_scheduler *scheduler, struct ingot_bytes name)
{
    uint32_t low = 0, high = scheduler->destination_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_names(scheduler->destinations[scheduler->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Makes room for one more destination; 0 when memory ran out. */
static int grow_destinations(struct igt_scheduler *scheduler)
{
    if (scheduler->destination_count < scheduler->destination_size)
        return 1;
    uint32_t size = scheduler->destination_size ? scheduler->destination_size * 2 : 16;
    struct destination *grown = realloc(scheduler->destinations, size * sizeof *grown);
    if (grown)
        scheduler->destinations = grown;
    uint32_t *names = grown ? realloc(scheduler->by_name, size * sizeof *names) : NULL;
    if (!names)
        return 0;
    scheduler->by_name = names;
    scheduler->destination_size = size;
    return 1;
}

/* Adds a destination at its place by name, which the caller has found; 0 when memory ran out. */
static int add_destination(struct igt_scheduler *scheduler, struct ingot_bytes name,
                           const struct igt_plan *plan, uint32_t place)
{
    if (!grow_destinations(scheduler))
        return 0;
    uint32_t index = scheduler->destination_count;
    memmove(scheduler->by_name + place + 1, scheduler->by_name + place,
            (index - place) * sizeof *scheduler->by_name);
    scheduler->by_name[place] = index;
    scheduler->destination_count++;
    scheduler->destinations[index] = (struct destination){
        .plan = plan,
        .name = name,
        .lane = ingot_lane_of(name),
        .waiting = {.moved = moved, .context = scheduler},
        .held_until_us = INT64_MIN,
    };
    return 1;
}

/*
 * The index of a destination of that name. One that is not configured is
 * added: its jobs are live, and a checkpoint must not lack them.
 */
static uint32_t find_destination(struct igt_scheduler *scheduler, struct ingot_bytes name)
{
    uint32_t place = place_of(scheduler, name);
    if (place < scheduler->destination_count) {
        uint32_t index = scheduler->by_name[place];
        if (ingot_bytes_equal(scheduler->destinations[index].name, name))
            return index;
    }
    char *copy = malloc(name.len + 1);
    if (!copy)
        return IGT_MAP_NONE;
    memcpy(copy, name.data, name.len);
    if (!add_destination(scheduler, (struct ingot_bytes){copy, name.len}, NULL, place)) {
        free(copy);
        return IGT_MAP_NONE;
    }
    return scheduler->destination_count - 1;
}

static struct destination *destination_of(struct igt_scheduler *scheduler, const struct live *job)
{
    return &scheduler->destinations[job->destination];
}

static int is_ours(const struct igt_scheduler *scheduler, const struct live *job)
{
    return igt_lanes_has(&scheduler->lanes, scheduler->destinations[job->destination].lane);
}

static const struct igt_policy *policy_of(struct igt_scheduler *scheduler, const struct live *job)
{
    const struct igt_plan *plan = destination_of(scheduler, job)->plan;
    return plan ? &plan->policies[job->policy] : &igt_policy_default;
}

static uint16_t find_policy(const struct igt_plan *plan, struct ingot_bytes event)
{
    for (size_t i = 0; plan && i < plan->event_count; i++)
        if (ingot_bytes_equal(plan->events[i], event))
            return (uint16_t)(i + 1);
    return 0;
}

struct igt_scheduler *igt_scheduler_create(const struct igt_plan *plans, size_t plan_count,
                                           const ingot_ksuid *owner, int64_t lease_us,
                                           const struct ingot_toolkit *toolkit)
{
    struct igt_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler)
        return NULL;
    scheduler->owner = *owner;
    scheduler->lease_us = lease_us;
    scheduler->judged_us = INT64_MIN;
    scheduler->toolkit = toolkit;
    scheduler->free_list = IGT_MAP_NONE;
    scheduler->looks.moved = moved;
    scheduler->looks.context = scheduler;
    scheduler->map.key_of = key_of;
    scheduler->map.context = scheduler;
    igt_random(toolkit, scheduler->map.secret, sizeof scheduler->map.secret);
    if (lease_us == 0)
        scheduler->lanes = igt_lanes_all();
    for (size_t i = 0; i < plan_count; i++)
        if (!add_destination(scheduler, plans[i].name, &plans[i],
                             place_of(scheduler, plans[i].name))) {
            igt_scheduler_destroy(scheduler);
            return NULL;
        }
    return scheduler;
}

void igt_scheduler_destroy(struct igt_scheduler *scheduler)
{
    if (!scheduler)
        return;
    for (size_t i = 0; i < scheduler->destination_count; i++) {
        igt_heap_fini(&scheduler->destinations[i].waiting);
        if (!scheduler->destinations[i].plan)
            free((void *)(uintptr_t)scheduler->destinations[i].name.data);
    }
    igt_heap_fini(&scheduler->looks);
    igt_map_fini(&scheduler->map);
    free(scheduler->destinations);
    free(scheduler->by_name);
    free(scheduler->peers);
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
    scheduler->numbers.nobodys -= !destination_of(scheduler, &scheduler->jobs[index])->plan;
    igt_map_remove(&scheduler->map, index);
    give_record(scheduler, index);
    scheduler->numbers.live--;
}

/* Lets a job wait; 0 when memory ran out. */
static int wait_until(struct igt_scheduler *scheduler, uint32_t index, int64_t due_us)
{
    struct live *job = &scheduler->jobs[index];
    job->due_us = due_us;
    job->phase = WAITING;
    return igt_heap_push(&destination_of(scheduler, job)->waiting, index, due_us);
}

/* Leaves a job to its owner until it is to be read again; 0 when memory ran out. */
static int look_at(struct igt_scheduler *scheduler, uint32_t index, int64_t look_us)
{
    struct live *job = &scheduler->jobs[index];
    if (!igt_heap_push(&scheduler->looks, index, look_us))
        return 0;
    job->phase = FOREIGN;
    destination_of(scheduler, job)->busy++;
    return 1;
}

/* Takes a job out of the heap in which it stands, and gives up its room. */
static void take_out(struct igt_scheduler *scheduler, const struct live *job)
{
    struct destination *destination = destination_of(scheduler, job);
    if (job->phase == WAITING)
        igt_heap_remove(&destination->waiting, job->place);
    if (job->phase == FOREIGN)
        igt_heap_remove(&scheduler->looks, job->place);
    destination->busy -= job->phase == FOREIGN || job->phase == DOUBTED;
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

static int compare_peers(const void *a, const void *b)
{
    return ingot_ksuid_compare(&((const struct igt_peer *)a)->owner,
                               &((const struct igt_peer *)b)->owner);
}

void igt_scheduler_set_peers(struct igt_scheduler *scheduler, const struct igt_peer *peers,
                             size_t count, int64_t judged_us)
{
    struct igt_peer *copy = malloc((count + 1) * sizeof *copy);
    if (!copy)
        return; /* the last judgement stays */
    if (count)
        memcpy(copy, peers, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, compare_peers);
    free(scheduler->peers);
    scheduler->peers = copy;
    scheduler->peer_count = count;
    scheduler->judged_us = judged_us;
}

/*
 * Whether the owner of a claim is dead: he said so, or was silent for a lease.
 * A claim younger than that may be of somebody whose first heartbeat was not
 * there yet when the peers were read. What executes for us and is not in memory
 * nobody runs, unless the verdict that brings it there is on its way.
 */
static int is_dead(const struct igt_scheduler *scheduler, const struct ingot_transition *claim)
{
    const struct igt_peer key = {.owner = claim->owner};
    if (scheduler->lease_us == 0 || ingot_ksuid_compare(&claim->owner, &scheduler->owner) == 0)
        return 1;
    const struct igt_peer *peer =
        scheduler->peer_count
            ? bsearch(&key, scheduler->peers, scheduler->peer_count, sizeof key, compare_peers)
            : NULL;
    if (peer)
        return peer->state == IGT_PEER_ENDED;
    return scheduler->judged_us != INT64_MIN &&
           claim->created_us < scheduler->judged_us - scheduler->lease_us;
}

/* Where a job comes from. */
enum origin {
    SHOWN,      /* somebody read it, perhaps in front of verdicts of ours that are on their way */
    READ_BEHIND /* it was read on our behalf, behind all that we wrote before */
};

/* Puts a job that was read where it belongs; 0 when memory ran out. */
static int place(struct igt_scheduler *scheduler, uint32_t index, const struct ingot_job *job,
                 enum origin origin, int64_t now_us)
{
    const struct ingot_transition *latest = &job->latest;
    if (latest->state_after == INGOT_STATE_EXECUTING) {
        /* A claim with a due time was handed to a worker outside, who has until then. */
        if (latest->due_us != INGOT_NO_TIME && latest->due_us > now_us)
            return look_at(scheduler, index, latest->due_us);
        if (latest->due_us == INGOT_NO_TIME && !is_dead(scheduler, latest))
            return look_at(scheduler, index, now_us + scheduler->lease_us);
        if (latest->due_us == INGOT_NO_TIME &&
            ingot_ksuid_compare(&latest->owner, &scheduler->owner) == 0) {
            if (origin == SHOWN)
                return look_at(scheduler, index, now_us);
            /* Ours, and nobody runs it: it was never begun, and is claimed as the same attempt. */
            scheduler->jobs[index].next_attempt = IGT_ATTEMPT_SAME;
        }
    }
    return wait_until(scheduler, index, due_of(scheduler, &scheduler->jobs[index], job, now_us));
}

/* Makes a record of a job that is not in memory, in no phase yet; IGT_MAP_NONE: memory ran out. */
static uint32_t enter(struct igt_scheduler *scheduler, const struct ingot_job *job,
                      uint32_t destination, uint16_t policy)
{
    struct igt_fold fold;
    uint32_t index = take_record(scheduler);
    if (index == IGT_MAP_NONE)
        return IGT_MAP_NONE;
    struct live *live = &scheduler->jobs[index];
    memset(live, 0, sizeof *live);
    live->key = (struct igt_map_key){job->event_id, job->number};
    live->destination = destination;
    live->policy = policy;
    live->seen = scheduler->sweep;
    igt_fold_from_latest(&fold, &job->latest);
    take_fold(live, &fold);
    if (!igt_map_put(&scheduler->map, index)) {
        give_record(scheduler, index);
        return IGT_MAP_NONE;
    }
    scheduler->numbers.live++;
    scheduler->numbers.nobodys += !scheduler->destinations[destination].plan;
    return index;
}

static enum igt_sight sight(struct igt_scheduler *scheduler, const struct ingot_job *job,
                            enum origin origin, int64_t now_us)
{
    const struct igt_map_key key = {job->event_id, job->number};
    if (igt_state_is_terminal(job->latest.state_after) ||
        igt_map_get(&scheduler->map, &key) != IGT_MAP_NONE)
        return IGT_SIGHT_KNOWN;
    if (!igt_lanes_has(&scheduler->lanes, ingot_lane_of(job->destination)))
        return IGT_SIGHT_ELSEWHERE;
    uint32_t destination = find_destination(scheduler, job->destination);
    if (destination == IGT_MAP_NONE)
        return IGT_SIGHT_FULL;
    uint32_t index = enter(scheduler, job, destination,
                           find_policy(scheduler->destinations[destination].plan, job->event));
    if (index == IGT_MAP_NONE)
        return IGT_SIGHT_FULL;
    if (!place(scheduler, index, job, origin, now_us)) {
        forget(scheduler, index);
        return IGT_SIGHT_FULL;
    }
    return IGT_SIGHT_TAKEN;
}

enum igt_sight igt_scheduler_sight(struct igt_scheduler *scheduler, const struct ingot_job *job,
                                   int64_t now_us)
{
    return sight(scheduler, job, SHOWN, now_us);
}

/* ---- first claims ------------------------------------------------------- */

/* Whether all first attempts of a destination are made at once, whatever the event. */
static int is_at_once(const struct igt_plan *plan)
{
    for (size_t i = 0; i <= plan->event_count; i++)
        if (plan->policies[i].first != IGT_FIRST_AT_ONCE)
            return 0;
    return 1;
}

int igt_scheduler_wants_back(const struct igt_scheduler *scheduler, size_t plan, int64_t now_us)
{
    const struct destination *destination = &scheduler->destinations[plan];
    const struct igt_heap *waiting = &destination->waiting;
    return scheduler->stopped || !igt_lanes_has(&scheduler->lanes, destination->lane) ||
           destination->held_until_us > now_us ||
           (waiting->count && waiting->entries[0].time_us <= now_us);
}

uint32_t igt_scheduler_grant(struct igt_scheduler *scheduler, size_t plan, int64_t now_us)
{
    struct destination *destination = &scheduler->destinations[plan];
    if (igt_scheduler_wants_back(scheduler, plan, now_us) || !is_at_once(destination->plan) ||
        destination->busy >= destination->plan->concurrency)
        return 0;
    uint32_t count = destination->plan->concurrency - destination->busy;
    destination->busy += count;
    destination->granted += count;
    scheduler->granted += count;
    return count;
}

void igt_scheduler_take_back(struct igt_scheduler *scheduler, size_t plan, uint32_t count)
{
    struct destination *destination = &scheduler->destinations[plan];
    destination->busy -= count;
    destination->granted -= count;
    scheduler->granted -= count;
}

/* Whether a job of the memory is not under way here, and no farther than its first claim. */
static int is_at_its_beginning(const struct live *job)
{
    return job->seq <= 1 && (job->phase == WAITING || job->phase == FOREIGN ||
                             job->phase == MENDING || job->phase == DOUBTED);
}

enum igt_sight igt_scheduler_sight_claimed(struct igt_scheduler *scheduler,
                                           const struct ingot_job *job, size_t plan)
{
    const struct igt_map_key key = {job->event_id, job->number};
    const struct igt_plan *its = scheduler->destinations[plan].plan;
    uint32_t index = igt_map_get(&scheduler->map, &key);
    igt_scheduler_take_back(scheduler, plan, 1);
    scheduler->in_flight++;
    scheduler->numbers.claims++;
    if (index == IGT_MAP_NONE) {
        index = enter(scheduler, job, (uint32_t)plan, find_policy(its, job->event));
        if (index == IGT_MAP_NONE)
            return IGT_SIGHT_FULL;
    } else if (is_at_its_beginning(&scheduler->jobs[index])) {
        /* Somebody has shown it between the commit and now, perhaps with this very claim. */
        struct igt_fold fold;
        take_out(scheduler, &scheduler->jobs[index]);
        igt_fold_from_latest(&fold, &job->latest);
        take_fold(&scheduler->jobs[index], &fold);
    } else {
        return IGT_SIGHT_KNOWN; /* somebody has begun with it: the chain decides */
    }
    scheduler->jobs[index].phase = CLAIMING;
    scheduler->destinations[plan].busy++;
    return IGT_SIGHT_TAKEN;
}

/* ---- lanes, notices, the sweep ------------------------------------------ */

void igt_scheduler_set_lanes(struct igt_scheduler *scheduler, const struct ingot_lanes *lanes)
{
    scheduler->lanes = *lanes;
    for (uint32_t i = 0; i < scheduler->job_count; i++) {
        const struct live *job = &scheduler->jobs[i];
        if ((job->phase == WAITING || job->phase == FOREIGN) && !is_ours(scheduler, job)) {
            take_out(scheduler, job);
            forget(scheduler, i);
        }
    }
}

/* Has a job read again; it is in no heap. */
static void ask_to_read(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                        struct igt_rows *rows)
{
    igt_rows_read_again(rows, key);
    scheduler->in_flight++;
}

/* Has a job of the memory read again that waits or is foreign. */
static void doubt(struct igt_scheduler *scheduler, uint32_t index, struct igt_rows *rows)
{
    struct live *job = &scheduler->jobs[index];
    const enum phase next = job->phase == FOREIGN ? DOUBTED : MENDING;
    take_out(scheduler, job);
    destination_of(scheduler, job)->busy += next == DOUBTED;
    job->phase = next;
    ask_to_read(scheduler, &job->key, rows);
}

void igt_scheduler_notice(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                          struct igt_rows *rows)
{
    uint32_t index = igt_map_get(&scheduler->map, key);
    if (scheduler->stopped)
        return;
    if (index == IGT_MAP_NONE)
        ask_to_read(scheduler, key, rows);
    else if (scheduler->jobs[index].phase == WAITING || scheduler->jobs[index].phase == FOREIGN)
        doubt(scheduler, index, rows);
    /* Of what is under way the verdict will tell. */
}

void igt_scheduler_sweep_begin(struct igt_scheduler *scheduler)
{
    scheduler->sweep++;
}

enum igt_sight igt_scheduler_sweep_show(struct igt_scheduler *scheduler,
                                        const struct ingot_job *job, int64_t now_us)
{
    const struct igt_map_key key = {job->event_id, job->number};
    uint32_t index = igt_map_get(&scheduler->map, &key);
    if (index == IGT_MAP_NONE)
        return igt_scheduler_sight(scheduler, job, now_us);
    struct live *live = &scheduler->jobs[index];
    live->seen = scheduler->sweep;
    if ((live->phase != WAITING && live->phase != FOREIGN) || job->latest.seq <= live->seq)
        return IGT_SIGHT_KNOWN;
    take_out(scheduler, live);
    forget(scheduler, index);
    return igt_scheduler_sight(scheduler, job, now_us);
}

void igt_scheduler_sweep_end(struct igt_scheduler *scheduler, struct igt_rows *rows)
{
    for (uint32_t i = 0; i < scheduler->job_count && !scheduler->stopped; i++) {
        const struct live *job = &scheduler->jobs[i];
        if ((job->phase == WAITING || job->phase == FOREIGN) && job->seen != scheduler->sweep)
            doubt(scheduler, i, rows);
    }
}

size_t igt_scheduler_list(const struct igt_scheduler *scheduler, const struct ingot_lanes *lanes,
                          struct igt_listed *list)
{
    size_t count = 0;
    for (uint32_t i = 0; i < scheduler->job_count; i++) {
        const struct live *job = &scheduler->jobs[i];
        if (job->phase == FREE)
            continue;
        uint32_t lane = scheduler->destinations[job->destination].lane;
        if (igt_lanes_has(lanes, lane))
            list[count++] = (struct igt_listed){job->key.event_id, lane};
    }
    return count;
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
        .notice = is_ours(scheduler, job) ? INGOT_NOTICE_NONE : INGOT_NOTICE_SENT,
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

/* Claims what is due for one destination; returns when to be asked again. */
static int64_t plan_destination(struct igt_scheduler *scheduler, uint32_t index, int64_t now_us,
                                struct igt_rows *rows)
{
    struct destination *destination = &scheduler->destinations[index];
    struct igt_heap *waiting = &destination->waiting;
    uint32_t room = destination->plan ? destination->plan->concurrency : 0;
    for (unsigned claims = 0; claims < CLAIMS_AT_ONCE && waiting->count &&
                              destination->busy < room && waiting->entries[0].time_us <= now_us &&
                              destination->held_until_us <= now_us && reserve(rows, 1);
         claims++)
        claim(scheduler, waiting->entries[0].index, rows);
    /* What is granted is taken back as soon as something is due. */
    if (waiting->count == 0 || destination->busy - destination->granted >= room)
        return INT64_MAX;
    return waiting->entries[0].time_us < destination->held_until_us ? destination->held_until_us
                                                                    : waiting->entries[0].time_us;
}

int64_t igt_scheduler_plan(struct igt_scheduler *scheduler, int64_t now_us, struct igt_rows *rows)
{
    struct igt_heap *looks = &scheduler->looks;
    int64_t wake_us = INT64_MAX;
    if (scheduler->stopped)
        return wake_us;
    while (looks->count && looks->entries[0].time_us <= now_us)
        doubt(scheduler, looks->entries[0].index, rows);
    if (looks->count)
        wake_us = looks->entries[0].time_us;
    for (uint32_t i = 0; i < scheduler->destination_count; i++) {
        int64_t next_us = plan_destination(scheduler, i, now_us, rows);
        wake_us = next_us < wake_us ? next_us : wake_us;
    }
    return wake_us;
}

int64_t igt_scheduler_lag(const struct igt_scheduler *scheduler, int64_t now_us)
{
    int64_t lag_us = 0;
    for (uint32_t i = 0; i < scheduler->destination_count; i++) {
        const struct destination *destination = &scheduler->destinations[i];
        if (!destination->plan || destination->waiting.count == 0)
            continue;
        int64_t late_us = now_us - destination->waiting.entries[0].time_us;
        lag_us = late_us > lag_us ? late_us : lag_us;
    }
    return lag_us;
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
static void lost(struct igt_scheduler *scheduler, struct live *job, struct igt_rows *rows)
{
    if (job->phase == CLAIMING)
        scheduler->numbers.claims_lost++;
    else
        scheduler->numbers.outcomes_lost++;
    job->phase = job->phase == CLAIMING ? DOUBTED : MENDING;
    ask_to_read(scheduler, &job->key, rows);
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
    if (verdict != INGOT_STORED) {
        lost(scheduler, job, rows);
        return IGT_NEXT_NOTHING;
    }
    igt_fold_from_latest(&fold, row);
    take_fold(job, &fold);
    if (job->phase == CLAIMING)
        return claim_stored(scheduler, job, now_us, rows);
    count_outcome(scheduler, row);
    if (igt_state_is_terminal(row->state_after))
        forget(scheduler, index);
    else if (row->state_after == INGOT_STATE_AWAITING &&
             (!is_ours(scheduler, job) || !wait_until(scheduler, index, row->due_us)))
        forget(scheduler, index); /* not ours any more; or no memory: the sweep finds it */
    return IGT_NEXT_NOTHING;
}

void igt_scheduler_mend(struct igt_scheduler *scheduler, const struct igt_map_key *key,
                        const struct ingot_job *job, int64_t now_us)
{
    uint32_t index = igt_map_get(&scheduler->map, key);
    scheduler->in_flight--;
    if (index != IGT_MAP_NONE) {
        if (scheduler->jobs[index].phase != MENDING && scheduler->jobs[index].phase != DOUBTED)
            return;
        take_out(scheduler, &scheduler->jobs[index]);
        forget(scheduler, index);
    }
    if (job)
        sight(scheduler, job, READ_BEHIND, now_us);
}

void igt_scheduler_stop(struct igt_scheduler *scheduler)
{
    scheduler->stopped = 1;
}

int igt_scheduler_is_idle(const struct igt_scheduler *scheduler)
{
    return scheduler->in_flight == 0 && scheduler->granted == 0 && scheduler->numbers.running == 0;
}

struct igt_scheduler_numbers igt_scheduler_numbers(const struct igt_scheduler *scheduler)
{
    return scheduler->numbers;
}
