/*
 * Several schedulers on one store, in virtual time: whatever lies between them
 * and the store takes its time, gets lost, comes twice or too late; processes
 * are killed, stand still and go on, and have wrong clocks. The code under test
 * is the one that runs in the daemon; the store is the memory adapter.
 * usage: test_schedulers [SEED]
 */
#include "world.h"

#include "core/heap.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define MILLISECOND (SECOND / 1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define LEASE (30 * SECOND)
#define BEAT (10 * SECOND)
#define SWEEP (20 * MINUTE)
#define PLACES_MAX 5
#define PROCESSES_MAX 256
#define DESTINATIONS 8
#define CONCURRENCY 2

static uint64_t seed;

/* What happens, and where: at the store, or in the process that it concerns. */
enum kind {
    EMIT,        /* store: an event comes in */
    FAULT,       /* nowhere: something goes wrong */
    HEARTBEAT,   /* store */
    COMMIT,      /* store: rows arrive */
    STRAY,       /* store: rows arrive that were given up and sent again */
    LOOK,        /* store: a cold read of lanes */
    SWEEP_LOOK,  /* store: the sweep reads a page */
    READ,        /* store: a job is read by key */
    START,       /* a process begins */
    WAKE,        /* process: the instant that plan asked for */
    VERDICTS,    /* process: the answer to a commit */
    SHOW,        /* process: the answer to a cold read */
    SWEEP_BEGIN, /* process */
    SWEEP_SHOW,  /* process */
    MEND,        /* process: the answer to a read */
    FOLLOW,      /* process: something new is sighted */
    NOTICE,      /* process: a notice is sighted */
    OUTCOME      /* process: an attempt ends */
};

struct happening {
    enum kind kind;
    unsigned process; /* which it concerns */
    uint32_t next;    /* of those that are free */
    int64_t at_us;
    struct igt_rows rows;
    enum ingot_commit_sending sending;
    struct ingot_page *page;
    size_t sighting;
    struct ingot_lanes lanes;
    struct igt_map_key key;
    struct ingot_transition claim;
};

struct process {
    struct igt_scheduler *scheduler; /* NULL: dead, or not there yet */
    struct igt_rows rows;
    ingot_ksuid owner;
    unsigned place;
    unsigned char living[PROCESSES_MAX]; /* when it last read the heartbeats */
    struct ingot_lanes lanes;
    int64_t ahead_us;        /* its clock, of the right time */
    int64_t paused_until_us; /* it stands still */
    int64_t mute_until_us;   /* its heartbeats do not get through */
    int64_t wake_us;
    /* what the heartbeats table says of it */
    int64_t beat_us;
    int ended;
    /* as a judge */
    int64_t steady_us;                    /* since when its own heartbeats are on time */
    int64_t silent_us[PROCESSES_MAX];     /* when it last found this one silent */
    unsigned char saw_end[PROCESSES_MAX]; /* whether it found that this one said so itself */
    int stopping;
};

/* An event, or a job that was added to one, as followers are shown it. */
struct emitted {
    struct ingot_page *page;
    size_t first_job;
};

/* That a claim was handed to its destination. */
struct delivery {
    struct igt_map_key key;
    uint32_t seq;
};

struct universe {
    struct world world;
    struct igt_policy policy;
    struct igt_plan plans[DESTINATIONS];
    unsigned places;
    int faulty; /* things go wrong now */
    int sweeps; /* the schedulers sweep */
    int64_t emit_until_us, stands_until_us;
    int64_t gap_us; /* between events */
    struct happening *happenings;
    uint32_t happening_count, happening_size, free_list;
    struct igt_heap agenda;
    struct process processes[PROCESSES_MAX];
    unsigned process_count;
    struct emitted *emitted;
    size_t emitted_count, emitted_size;
    struct delivery *deliveries;
    size_t delivery_count, delivery_size;
    struct igt_scheduler_numbers dead; /* of the processes that are gone */
    uint64_t pauses, kills, resent, strays;
};

static const char *const names[DESTINATIONS] = {"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"};

static uint64_t roll(struct universe *universe, uint64_t below)
{
    return world_roll(&universe->world, below);
}

/* Whether something happens that does so in percent of the cases, while there are faults. */
static int goes_wrong(struct universe *universe, unsigned percent)
{
    return universe->faulty && roll(universe, 100) < percent;
}

/* How long something takes: milliseconds, and when things go wrong up to two leases. */
static int64_t lag(struct universe *universe)
{
    if (goes_wrong(universe, 3))
        return (int64_t)roll(universe, 2 * LEASE);
    return MILLISECOND + (int64_t)roll(universe, 50 * MILLISECOND);
}

/* Room for one element more in an array. */
static void *grow(void *array, size_t count, size_t *size, size_t element)
{
    if (count < *size)
        return array;
    *size = *size ? *size * 2 : 64;
    void *grown = realloc(array, *size * element);
    assert_non_null(grown);
    return grown;
}

/* ---- the agenda --------------------------------------------------------- */

static void ignore_move(void *context, uint32_t index, uint32_t place)
{
    (void)context, (void)index, (void)place;
}

static void put(struct universe *universe, int64_t at_us, struct happening happening)
{
    uint32_t index = universe->free_list;
    if (index != IGT_HEAP_NOWHERE) {
        universe->free_list = universe->happenings[index].next;
    } else {
        size_t size = universe->happening_size;
        universe->happenings = grow(universe->happenings, universe->happening_count, &size,
                                    sizeof *universe->happenings);
        universe->happening_size = (uint32_t)size;
        index = universe->happening_count++;
    }
    happening.at_us = at_us;
    universe->happenings[index] = happening;
    assert_true(igt_heap_push(&universe->agenda, index, at_us));
}

static void put_after(struct universe *universe, int64_t delay_us, struct happening happening)
{
    put(universe, universe->world.now_us + delay_us, happening);
}

static struct happening take_first(struct universe *universe)
{
    uint32_t index = universe->agenda.entries[0].index;
    struct happening happening = universe->happenings[index];
    igt_heap_remove(&universe->agenda, 0);
    universe->happenings[index].next = universe->free_list;
    universe->free_list = index;
    return happening;
}

static void drop(struct happening *happening)
{
    igt_rows_fini(&happening->rows);
    ingot_page_destroy(happening->page);
}

/* ---- a process and its scheduler ---------------------------------------- */

static int64_t clock_of(const struct universe *universe, const struct process *process)
{
    return universe->world.now_us + process->ahead_us;
}

/* Sends what the scheduler asks for, and notes when it wants to be woken. */
static void settle(struct universe *universe, unsigned number)
{
    struct process *process = &universe->processes[number];
    int64_t wake_us =
        igt_scheduler_plan(process->scheduler, clock_of(universe, process), &process->rows);
    struct igt_rows rows = process->rows;
    memset(&process->rows, 0, sizeof process->rows);
    assert_false(rows.failed);
    for (size_t i = 0; i < rows.read_count; i++)
        put_after(universe, lag(universe),
                  (struct happening){.kind = READ, .process = number, .key = rows.reads[i]});
    rows.read_count = 0;
    if (rows.count)
        put_after(universe, lag(universe),
                  (struct happening){.kind = COMMIT, .process = number, .rows = rows});
    else
        igt_rows_fini(&rows);
    if (wake_us == INT64_MAX)
        return;
    wake_us -= process->ahead_us;
    assert_true(wake_us > universe->world.now_us);
    if (process->wake_us > universe->world.now_us && process->wake_us <= wake_us)
        return;
    process->wake_us = wake_us;
    put(universe, wake_us, (struct happening){.kind = WAKE, .process = number});
}

static void start(struct universe *universe, unsigned place)
{
    unsigned number = universe->process_count++;
    assert_in_range(number, 0, PROCESSES_MAX - 1);
    struct process *process = &universe->processes[number];
    memset(process, 0, sizeof *process);
    process->place = place;
    process->owner = world_id(&universe->world);
    process->beat_us = process->steady_us = universe->world.now_us;
    for (size_t i = 0; i < PROCESSES_MAX; i++)
        process->silent_us[i] = INT64_MIN;
    process->scheduler = igt_scheduler_create(universe->plans, DESTINATIONS, &process->owner, LEASE,
                                              &universe->world.toolkit);
    assert_non_null(process->scheduler);
    if (goes_wrong(universe, 20))
        process->ahead_us = roll(universe, 2) ? HOUR : -HOUR;
    put_after(universe, lag(universe), (struct happening){.kind = HEARTBEAT, .process = number});
    if (universe->sweeps)
        put_after(universe, (int64_t)roll(universe, SWEEP),
                  (struct happening){.kind = SWEEP_BEGIN, .process = number});
}

static void add_numbers(struct igt_scheduler_numbers *sum, const struct process *process)
{
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(process->scheduler);
    sum->live += numbers.live;
    sum->running += numbers.running;
    sum->claims += numbers.claims;
    sum->claims_lost += numbers.claims_lost;
    sum->outcomes_lost += numbers.outcomes_lost;
    sum->taken_over += numbers.taken_over;
    sum->succeeded += numbers.succeeded;
    sum->discarded += numbers.discarded;
}

/* A process is gone, with all that it had in memory; another one starts in its place. */
static void end(struct universe *universe, unsigned number)
{
    struct process *process = &universe->processes[number];
    struct igt_scheduler_numbers sum = universe->dead;
    add_numbers(&sum, process);
    sum.live = sum.running = 0;
    universe->dead = sum;
    igt_scheduler_destroy(process->scheduler);
    process->scheduler = NULL;
    igt_rows_fini(&process->rows);
    put_after(universe, (int64_t)roll(universe, 3 * LEASE),
              (struct happening){.kind = START, .process = process->place});
}

/* The process at a place, or NULL while there is none. */
static struct process *at_place(struct universe *universe, unsigned place)
{
    for (unsigned i = universe->process_count; i-- > 0;)
        if (universe->processes[i].place == place)
            return universe->processes[i].scheduler ? &universe->processes[i] : NULL;
    return NULL;
}

/* ---- events, and following ---------------------------------------------- */

/* Lets a process sight what was emitted. */
static void follow(struct universe *universe, unsigned number, size_t sighting)
{
    struct process *process = &universe->processes[number];
    const struct emitted *emitted = &universe->emitted[sighting];
    const struct ingot_event *event = &emitted->page->events[0];
    for (size_t i = emitted->first_job; i < event->job_count; i++)
        assert_int_not_equal(
            igt_scheduler_sight(process->scheduler, &event->jobs[i], clock_of(universe, process)),
            IGT_SIGHT_FULL);
    settle(universe, number);
}

/* Has everybody sight what was stored at this moment; the first was told by his own gateway. */
static void announce(struct universe *universe, const ingot_ksuid *event_id, size_t first_job)
{
    struct process *gateway = at_place(universe, (unsigned)roll(universe, universe->places));
    size_t sighting = universe->emitted_count++;
    universe->emitted =
        grow(universe->emitted, sighting, &universe->emitted_size, sizeof *universe->emitted);
    universe->emitted[sighting].page = world_event(&universe->world, event_id);
    universe->emitted[sighting].first_job = first_job;
    for (unsigned i = 0; i < universe->process_count; i++) {
        const struct process *process = &universe->processes[i];
        if (process->scheduler && !goes_wrong(universe, 10))
            put_after(universe, process == gateway ? 0 : lag(universe),
                      (struct happening){.kind = FOLLOW, .process = i, .sighting = sighting});
    }
}

/* An event for one to three destinations, at once or later. */
static void emit_event(struct universe *universe)
{
    const char *destinations[3];
    size_t count = 1 + roll(universe, 3), first = roll(universe, DESTINATIONS);
    int64_t due_us = INGOT_NO_TIME;
    if (roll(universe, 5) == 0)
        due_us = universe->world.now_us + (int64_t)roll(universe, 10 * MINUTE);
    for (size_t i = 0; i < count; i++)
        destinations[i] = names[(first + i) % DESTINATIONS];
    ingot_ksuid id = world_emit(&universe->world, destinations, count, due_us);
    announce(universe, &id, 0);
}

/* A job that follows from one of an event that was emitted before. */
static void add_job(struct universe *universe)
{
    const struct emitted *emitted = &universe->emitted[roll(universe, universe->emitted_count)];
    const struct ingot_event *event = &emitted->page->events[0];
    struct ingot_job job = {.event_id = event->id,
                            .destination = ingot_bytes_of(names[roll(universe, DESTINATIONS)]),
                            .event = event->name,
                            .parent_job_id = event->jobs[0].id,
                            .due_us = INGOT_NO_TIME};
    ingot_ksuid_generate_for(&universe->world.ids, &universe->world.toolkit, &event->id, &job.id);
    assert_int_equal(
        ingot_store_add_jobs(universe->world.store, &universe->world.toolkit, &job, 1, NULL),
        INGOT_OK);
    struct ingot_page *page = world_event(&universe->world, &event->id);
    size_t first_job = page->job_count - 1;
    ingot_page_destroy(page);
    announce(universe, &event->id, first_job);
}

static void emit(struct universe *universe)
{
    if (universe->world.now_us >= universe->emit_until_us)
        return;
    if (universe->emitted_count && roll(universe, 10) == 0)
        add_job(universe);
    else
        emit_event(universe);
    put_after(universe, 1 + (int64_t)roll(universe, 2 * (uint64_t)universe->gap_us),
              (struct happening){.kind = EMIT});
}

/* ---- heartbeats, lanes, judgements -------------------------------------- */

static int is_living(const struct universe *universe, const struct process *process)
{
    return !process->ended && process->beat_us > universe->world.now_us - LEASE;
}

/* Reads the heartbeats as the daemon does; each judge's knowledge is kept for the checks. */
static void judge(struct universe *universe, struct process *self)
{
    struct igt_peer peers[PROCESSES_MAX];
    size_t count = 0;
    for (unsigned i = 0; i < universe->process_count; i++) {
        const struct process *process = &universe->processes[i];
        if (is_living(universe, process))
            peers[count++] = (struct igt_peer){process->owner, IGT_PEER_LIVING};
        else if (process->ended && process->beat_us > universe->world.now_us - 4 * LEASE)
            peers[count++] = (struct igt_peer){process->owner, IGT_PEER_ENDED};
        if (process->ended)
            self->saw_end[i] = 1;
        if (!is_living(universe, process))
            self->silent_us[i] = universe->world.now_us;
    }
    igt_scheduler_set_peers(self->scheduler, peers, count, universe->world.now_us);
}

static void share_lanes(struct universe *universe, unsigned number)
{
    struct process *self = &universe->processes[number];
    unsigned char living[PROCESSES_MAX] = {0};
    ingot_ksuid owners[PROCESSES_MAX];
    size_t count = 0;
    for (unsigned i = 0; i < universe->process_count; i++)
        if (is_living(universe, &universe->processes[i])) {
            living[i] = 1;
            owners[count++] = universe->processes[i].owner;
        }
    if (memcmp(self->living, living, sizeof living) == 0)
        return;
    memcpy(self->living, living, sizeof living);
    const struct ingot_lanes lanes = igt_lanes_of(&self->owner, owners, count);
    const struct ingot_lanes gained = igt_lanes_without(&lanes, &self->lanes);
    igt_scheduler_set_lanes(self->scheduler, &lanes);
    self->lanes = lanes;
    if (igt_lanes_count(&gained))
        put_after(universe, lag(universe),
                  (struct happening){.kind = LOOK, .process = number, .lanes = gained});
}

static void beat(struct universe *universe, unsigned number)
{
    struct process *self = &universe->processes[number];
    const int64_t now_us = universe->world.now_us;
    if (self->mute_until_us > now_us) {
        put(universe, self->mute_until_us,
            (struct happening){.kind = HEARTBEAT, .process = number});
        return;
    }
    if (now_us - self->beat_us > 2 * BEAT)
        self->steady_us = now_us;
    self->beat_us = now_us;
    put_after(universe, BEAT, (struct happening){.kind = HEARTBEAT, .process = number});
    if (now_us - self->steady_us >= LEASE)
        judge(universe, self);
    share_lanes(universe, number);
}

/* A process that was told to stop, and has nothing under way any more, says so and ends. */
static void end_if_idle(struct universe *universe, unsigned number)
{
    struct process *process = &universe->processes[number];
    if (!process->stopping || !igt_scheduler_is_idle(process->scheduler))
        return;
    process->ended = 1;
    process->beat_us = universe->world.now_us;
    end(universe, number);
}

/* ---- commits ------------------------------------------------------------ */

static unsigned number_of(const struct universe *universe, const ingot_ksuid *owner)
{
    unsigned number = 0;
    while (ingot_ksuid_compare(&universe->processes[number].owner, owner) != 0)
        assert_in_range(++number, 1, universe->process_count - 1);
    return number;
}

/* A takeover that is about to be stored: its author must have known that the owner is dead. */
static void check_takeover(struct universe *universe, const struct process *judge,
                           const struct ingot_transition *row)
{
    struct ingot_page *page = world_event(&universe->world, &row->event_id);
    struct ingot_transition claim = page->events[0].jobs[row->job].latest;
    ingot_page_destroy(page);
    if (claim.seq + 1 != row->seq || claim.state_after != INGOT_STATE_EXECUTING ||
        ingot_ksuid_compare(&claim.owner, &judge->owner) == 0)
        return; /* it will lose, or is no takeover */
    unsigned owner = number_of(universe, &claim.owner);
    assert_true(judge->saw_end[owner] || (judge->silent_us[owner] != INT64_MIN &&
                                          claim.created_us < judge->silent_us[owner] - LEASE));
}

/* Stores rows at this moment. */
static void store(struct universe *universe, struct happening *commit)
{
    for (size_t i = 0; i < commit->rows.count; i++)
        if (commit->rows.rows[i].row.state_before == INGOT_STATE_EXECUTING)
            check_takeover(universe, &universe->processes[commit->process],
                           &commit->rows.rows[i].row);
    world_commit(&universe->world, commit->rows.rows, commit->rows.count, commit->sending);
    for (size_t i = 0; i < commit->rows.count; i++) {
        const struct ingot_commit_transition *row = &commit->rows.rows[i];
        for (unsigned j = 0; row->verdict == INGOT_STORED && row->notice == INGOT_NOTICE_SENT &&
                             j < universe->process_count;
             j++)
            if (universe->processes[j].scheduler && j != commit->process &&
                !goes_wrong(universe, 10))
                put_after(universe, lag(universe),
                          (struct happening){.kind = NOTICE,
                                             .process = j,
                                             .key = {row->row.event_id, row->row.job}});
    }
}

/* Copies a commit that its author will have to give up as lost, but is not. */
static void go_astray(struct universe *universe, const struct happening *commit)
{
    struct happening stray = {.kind = STRAY, .process = commit->process};
    const size_t bytes = commit->rows.count * sizeof *stray.rows.rows;
    stray.rows.rows = malloc(bytes);
    assert_non_null(stray.rows.rows);
    memcpy(stray.rows.rows, commit->rows.rows, bytes);
    stray.rows.count = commit->rows.count;
    put_after(universe, (int64_t)roll(universe, 2 * LEASE), stray);
    universe->strays++;
}

static void commit(struct universe *universe, struct happening *commit)
{
    if (!goes_wrong(universe, 10)) {
        store(universe, commit);
        commit->kind = VERDICTS;
        put_after(universe, lag(universe), *commit);
        return;
    }
    uint64_t fate = roll(universe, 3); /* the answer is lost, or the commit is, or it is late */
    if (fate == 0)
        store(universe, commit);
    else if (fate == 1)
        go_astray(universe, commit);
    universe->resent++;
    commit->sending = INGOT_COMMIT_AGAIN;
    put_after(universe, (int64_t)roll(universe, LEASE), *commit);
}

static int compare_deliveries(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct delivery));
}

/* An attempt begins: its claim must be stored. */
static void deliver(struct universe *universe, unsigned number,
                    const struct ingot_transition *claim)
{
    struct ingot_page *page;
    assert_int_equal(
        ingot_store_history(universe->world.store, NULL, &claim->event_id, claim->job, &page, NULL),
        INGOT_OK);
    assert_in_range(claim->seq, 1, page->transition_count - 1);
    const struct ingot_transition *stored = &page->transitions[claim->seq];
    assert_int_equal(stored->state_after, INGOT_STATE_EXECUTING);
    assert_int_equal(stored->attempt, claim->attempt);
    assert_memory_equal(&stored->owner, &claim->owner, sizeof claim->owner);
    ingot_page_destroy(page);
    universe->deliveries = grow(universe->deliveries, universe->delivery_count,
                                &universe->delivery_size, sizeof *universe->deliveries);
    struct delivery *delivery = &universe->deliveries[universe->delivery_count++];
    memset(delivery, 0, sizeof *delivery);
    delivery->key = (struct igt_map_key){claim->event_id, claim->job};
    delivery->seq = claim->seq;
    int64_t duration_us = (int64_t)roll(universe, roll(universe, 20) ? 5 * SECOND : 3 * LEASE);
    put_after(universe, 1 + duration_us,
              (struct happening){.kind = OUTCOME, .process = number, .claim = *claim});
}

static void take_verdicts(struct universe *universe, const struct happening *answer)
{
    struct process *process = &universe->processes[answer->process];
    for (size_t i = 0; i < answer->rows.count; i++) {
        const struct ingot_commit_transition *row = &answer->rows.rows[i];
        if (igt_scheduler_verdict(process->scheduler, &row->row, row->verdict,
                                  clock_of(universe, process), &process->rows) == IGT_NEXT_DELIVER)
            deliver(universe, answer->process, &row->row);
    }
    settle(universe, answer->process);
}

static void report(struct universe *universe, const struct happening *outcome)
{
    struct process *process = &universe->processes[outcome->process];
    const struct igt_map_key key = {outcome->claim.event_id, outcome->claim.job};
    int64_t retry_after_us = INGOT_NO_TIME;
    struct ingot_bytes error = {NULL, 0};
    enum igt_report report = IGT_REPORT_SUCCEEDED;
    uint64_t dice = roll(universe, 100);
    if (dice < 40) {
        report = IGT_REPORT_FAILED;
        error = ingot_bytes_of("{\"message\":\"no\"}");
        if (dice < 3)
            retry_after_us = clock_of(universe, process) + (int64_t)roll(universe, MINUTE);
    } else if (dice < 43 || process->stopping) {
        report = IGT_REPORT_GIVEN_BACK;
    }
    igt_scheduler_report(process->scheduler, &key, report, retry_after_us, error,
                         clock_of(universe, process), &process->rows);
    settle(universe, outcome->process);
}

/* ---- reading ------------------------------------------------------------ */

static void read_job(struct universe *universe, struct happening *read)
{
    if (!goes_wrong(universe, 5))
        read->page = world_event(&universe->world, &read->key.event_id);
    read->kind = MEND;
    put_after(universe, lag(universe), *read);
}

static void mend(struct universe *universe, const struct happening *answer)
{
    struct process *process = &universe->processes[answer->process];
    if (answer->page)
        igt_scheduler_mend(process->scheduler, &answer->key,
                           &answer->page->events[0].jobs[answer->key.job],
                           clock_of(universe, process));
    else
        igt_rows_read_again(&process->rows, &answer->key);
    settle(universe, answer->process);
}

static void look(struct universe *universe, struct happening *look)
{
    look->page = world_live(&universe->world, (struct ingot_cursor){0}, INGOT_NO_LIMIT);
    look->kind = SHOW;
    put_after(universe, lag(universe), *look);
}

static void show(struct universe *universe, const struct happening *answer)
{
    struct process *process = &universe->processes[answer->process];
    for (size_t i = 0; i < answer->page->event_count; i++)
        for (size_t j = 0; j < answer->page->events[i].job_count; j++) {
            const struct ingot_job *job = &answer->page->events[i].jobs[j];
            if (igt_lanes_has(&answer->lanes, ingot_lane_of(job->destination)))
                igt_scheduler_sight(process->scheduler, job, clock_of(universe, process));
        }
    settle(universe, answer->process);
}

static void sweep_begin(struct universe *universe, unsigned number)
{
    igt_scheduler_sweep_begin(universe->processes[number].scheduler);
    put_after(universe, lag(universe), (struct happening){.kind = SWEEP_LOOK, .process = number});
}

/* The place that the sweep has reached goes along in the key. */
static void sweep_look(struct universe *universe, struct happening *look)
{
    look->page =
        world_live(&universe->world, (struct ingot_cursor){look->key.event_id, look->key.job}, 10);
    look->kind = SWEEP_SHOW;
    put_after(universe, lag(universe), *look);
}

static void sweep_show(struct universe *universe, const struct happening *answer)
{
    struct process *process = &universe->processes[answer->process];
    const struct ingot_page *page = answer->page;
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            igt_scheduler_sweep_show(process->scheduler, &page->events[i].jobs[j],
                                     clock_of(universe, process));
    if (page->more) {
        put_after(universe, lag(universe),
                  (struct happening){.kind = SWEEP_LOOK,
                                     .process = answer->process,
                                     .key = {page->next.event_id, page->next.job}});
    } else {
        igt_scheduler_sweep_end(process->scheduler, &process->rows);
        put_after(universe, SWEEP,
                  (struct happening){.kind = SWEEP_BEGIN, .process = answer->process});
    }
    settle(universe, answer->process);
}

/* ---- faults ------------------------------------------------------------- */

static void set_clock(struct universe *universe, unsigned number, int64_t ahead_us)
{
    universe->processes[number].ahead_us = ahead_us;
    universe->processes[number].wake_us = 0;
    settle(universe, number);
}

static void go_wrong(struct universe *universe)
{
    struct process *process = at_place(universe, (unsigned)roll(universe, universe->places));
    int64_t now_us = universe->world.now_us, while_us = (int64_t)roll(universe, 5 * LEASE);
    if (!universe->faulty)
        return;
    put_after(universe, (int64_t)roll(universe, 10 * MINUTE), (struct happening){.kind = FAULT});
    if (!process)
        return;
    unsigned number = (unsigned)(process - universe->processes);
    switch (roll(universe, 7)) {
    case 0:
        universe->kills++;
        end(universe, number);
        return;
    case 1:
        process->stopping = 1;
        igt_scheduler_stop(process->scheduler);
        end_if_idle(universe, number);
        return;
    case 2:
    case 3:
        universe->pauses++;
        process->paused_until_us = now_us + while_us;
        return;
    case 4:
        process->mute_until_us = now_us + while_us;
        return;
    case 5:
        set_clock(universe, number, ((int64_t)roll(universe, 3) - 1) * HOUR);
        return;
    default:
        universe->stands_until_us = now_us + while_us;
    }
}

static void end_faults(struct universe *universe)
{
    universe->faulty = 0;
    for (unsigned i = 0; i < universe->process_count; i++)
        if (universe->processes[i].scheduler)
            set_clock(universe, i, 0);
}

/* ---- what must hold ----------------------------------------------------- */

/* No claim was delivered twice, and no attempt number came to an outcome twice. */
static void check_ledger(struct universe *universe)
{
    if (universe->delivery_count)
        qsort(universe->deliveries, universe->delivery_count, sizeof *universe->deliveries,
              compare_deliveries);
    for (size_t i = 1; i < universe->delivery_count; i++)
        assert_int_not_equal(
            compare_deliveries(&universe->deliveries[i - 1], &universe->deliveries[i]), 0);
}

static void check_job(struct universe *universe, const ingot_ksuid *event_id, uint32_t job)
{
    struct ingot_page *page;
    uint16_t ended = 0; /* attempts only grow, as the verification finds */
    assert_int_equal(ingot_store_history(universe->world.store, NULL, event_id, job, &page, NULL),
                     INGOT_OK);
    for (size_t i = 1; i < page->transition_count; i++) {
        const struct ingot_transition *row = &page->transitions[i];
        if (row->state_before != INGOT_STATE_EXECUTING ||
            row->state_after == INGOT_STATE_EXECUTING || row->state_after == INGOT_STATE_AWAITING)
            continue;
        assert_true(row->attempt > ended);
        ended = row->attempt;
    }
    ingot_page_destroy(page);
}

static void check_jobs(struct universe *universe)
{
    for (size_t i = 0; i < universe->emitted_count; i++) {
        const struct ingot_event *event = &universe->emitted[i].page->events[0];
        for (size_t j = universe->emitted[i].first_job; j < event->job_count; j++)
            check_job(universe, &event->id, (uint32_t)j);
    }
}

static struct igt_scheduler_numbers numbers(const struct universe *universe)
{
    struct igt_scheduler_numbers sum = universe->dead;
    for (unsigned i = 0; i < universe->process_count; i++)
        if (universe->processes[i].scheduler)
            add_numbers(&sum, &universe->processes[i]);
    return sum;
}

/* ---- running ------------------------------------------------------------ */

/* Whether a process must be awake for it. */
static int is_own_step(const struct happening *happening)
{
    return happening->kind > START || happening->kind == HEARTBEAT ||
           (happening->kind == COMMIT && happening->sending == INGOT_COMMIT_AGAIN);
}

/* Puts off what cannot happen now; 1 if it was. */
static int put_off(struct universe *universe, const struct happening *happening)
{
    const int64_t moment_us = 1 + (int64_t)roll(universe, SECOND);
    const struct process *process = &universe->processes[happening->process];
    int64_t until_us = 0;
    if (happening->kind < START && happening->kind != FAULT)
        until_us = universe->stands_until_us;
    if (is_own_step(happening) && process->paused_until_us > until_us)
        until_us = process->paused_until_us;
    if (until_us <= universe->world.now_us)
        return 0;
    put(universe, until_us + moment_us, *happening);
    return 1;
}

/* Whether it concerns a process that is gone; what is on its way to the store arrives. */
static int is_void(const struct universe *universe, const struct happening *happening)
{
    if (happening->kind == EMIT || happening->kind == FAULT || happening->kind == START ||
        happening->kind == STRAY ||
        (happening->kind == COMMIT && happening->sending == INGOT_COMMIT_FIRST))
        return 0;
    return !universe->processes[happening->process].scheduler;
}

static void happen_to_process(struct universe *universe, struct happening *happening)
{
    const unsigned number = happening->process;
    switch (happening->kind) {
    case WAKE:
        settle(universe, number);
        break;
    case VERDICTS:
        take_verdicts(universe, happening);
        break;
    case SHOW:
        show(universe, happening);
        break;
    case SWEEP_BEGIN:
        sweep_begin(universe, number);
        break;
    case SWEEP_SHOW:
        sweep_show(universe, happening);
        break;
    case MEND:
        mend(universe, happening);
        break;
    case FOLLOW:
        follow(universe, number, happening->sighting);
        break;
    case NOTICE:
        igt_scheduler_notice(universe->processes[number].scheduler, &happening->key,
                             &universe->processes[number].rows);
        settle(universe, number);
        break;
    default:
        report(universe, happening);
    }
    drop(happening);
    end_if_idle(universe, number);
}

static void happen(struct universe *universe, struct happening *happening)
{
    switch (happening->kind) {
    case EMIT:
        emit(universe);
        break;
    case FAULT:
        go_wrong(universe);
        break;
    case START:
        start(universe, happening->process);
        break;
    case HEARTBEAT:
        beat(universe, happening->process);
        break;
    case COMMIT:
        commit(universe, happening);
        break;
    case STRAY:
        store(universe, happening);
        drop(happening);
        break;
    case LOOK:
        look(universe, happening);
        break;
    case SWEEP_LOOK:
        sweep_look(universe, happening);
        break;
    case READ:
        read_job(universe, happening);
        break;
    default:
        happen_to_process(universe, happening);
    }
}

/* Lets everything happen that does so until an instant. */
static void run_until(struct universe *universe, int64_t until_us)
{
    while (universe->agenda.count && universe->agenda.entries[0].time_us <= until_us) {
        struct happening happening = take_first(universe);
        universe->world.now_us = happening.at_us;
        if (is_void(universe, &happening))
            drop(&happening);
        else if (!put_off(universe, &happening))
            happen(universe, &happening);
    }
    universe->world.now_us = until_us;
}

static struct universe *open_universe(uint64_t from, unsigned places, int64_t gap_us)
{
    struct universe *universe = calloc(1, sizeof *universe);
    assert_non_null(universe);
    world_open(&universe->world, from);
    universe->places = places;
    universe->gap_us = gap_us;
    universe->free_list = IGT_HEAP_NOWHERE;
    universe->agenda.moved = ignore_move;
    universe->policy = igt_policy_default;
    universe->policy.schedule.kind = IGT_SCHEDULE_EVERY;
    universe->policy.schedule.every_us = 30 * SECOND;
    universe->policy.backoff = 2;
    universe->policy.jitter = 0.5;
    universe->policy.retries_max = 3;
    for (size_t i = 0; i < DESTINATIONS; i++)
        universe->plans[i] = world_plan(names[i], &universe->policy, CONCURRENCY);
    return universe;
}

/* Lets hours pass in which events come in, and then as many as it takes until every job has ended. */
static void run(struct universe *universe, int64_t hours)
{
    struct ingot_verification verification;
    for (unsigned i = 0; i < universe->places; i++)
        start(universe, i);
    universe->emit_until_us = BEGIN_US + hours * HOUR;
    put_after(universe, 4 * LEASE, (struct happening){.kind = EMIT});
    if (universe->faulty)
        put_after(universe, 0, (struct happening){.kind = FAULT});
    run_until(universe, universe->emit_until_us);
    end_faults(universe);
    for (int i = 0; i == 0 || verification.live; i++) {
        assert_in_range(i, 0, 24 * 6); /* or some job never ends (I16) */
        run_until(universe, universe->world.now_us + 10 * MINUTE);
        assert_int_equal(
            ingot_store_verify(universe->world.store, NULL, NULL, NULL, &verification, NULL),
            INGOT_OK);
    }
    assert_int_not_equal(verification.jobs, 0);
}

static void close_universe(struct universe *universe)
{
    check_ledger(universe);
    check_jobs(universe);
    while (universe->agenda.count) {
        struct happening happening = take_first(universe);
        drop(&happening);
    }
    for (unsigned i = 0; i < universe->process_count; i++) {
        igt_scheduler_destroy(universe->processes[i].scheduler);
        igt_rows_fini(&universe->processes[i].rows);
    }
    for (size_t i = 0; i < universe->emitted_count; i++)
        ingot_page_destroy(universe->emitted[i].page);
    igt_heap_fini(&universe->agenda);
    free(universe->happenings);
    free(universe->emitted);
    free(universe->deliveries);
    world_close(&universe->world);
    free(universe);
}

static void without_faults_no_claim_is_lost_and_nothing_is_taken_over(void **state)
{
    (void)state;
    for (unsigned places = 1; places <= PLACES_MAX; places++) {
        struct universe *universe = open_universe(seed + places, places, 10 * SECOND);
        run(universe, 12);
        struct igt_scheduler_numbers sum = numbers(universe);
        assert_int_equal(sum.claims_lost, 0);
        assert_int_equal(sum.outcomes_lost, 0);
        assert_int_equal(sum.taken_over, 0);
        assert_int_equal(sum.live, 0);
        assert_int_equal(sum.claims, universe->delivery_count);
        close_universe(universe);
    }
}

#define UNIVERSES 100
#define HOURS 10

/* Memory holds nothing that has ended, and waits for no answer, when two sweeps have passed. */
static void check_memories(struct universe *universe)
{
    run_until(universe, universe->world.now_us + 3 * SWEEP);
    assert_int_equal(numbers(universe).live, 0);
    for (unsigned i = 0; i < universe->process_count; i++)
        if (universe->processes[i].scheduler)
            assert_true(igt_scheduler_is_idle(universe->processes[i].scheduler));
}

static void whatever_happens_every_job_ends_and_no_outcome_counts_twice(void **state)
{
    struct igt_scheduler_numbers sum = {0};
    uint64_t deliveries = 0, kills = 0, pauses = 0, resent = 0, strays = 0;
    (void)state;
    for (unsigned i = 0; i < UNIVERSES; i++) {
        struct universe *universe =
            open_universe(seed * 1000 + i, 1 + i % PLACES_MAX, (30 + i % 90) * SECOND);
        universe->faulty = universe->sweeps = 1;
        run(universe, HOURS);
        check_memories(universe);
        struct igt_scheduler_numbers one = numbers(universe);
        sum.claims += one.claims;
        sum.claims_lost += one.claims_lost;
        sum.outcomes_lost += one.outcomes_lost;
        sum.taken_over += one.taken_over;
        deliveries += universe->delivery_count;
        kills += universe->kills;
        pauses += universe->pauses;
        resent += universe->resent;
        strays += universe->strays;
        close_universe(universe);
    }
    print_message("# %u universes of %d hours: %llu claims, %llu of them lost, %llu deliveries, "
                  "%llu outcomes lost, %llu taken over, %llu kills, %llu pauses, %llu commits sent "
                  "again, %llu astray\n",
                  UNIVERSES, HOURS, (unsigned long long)sum.claims,
                  (unsigned long long)sum.claims_lost, (unsigned long long)deliveries,
                  (unsigned long long)sum.outcomes_lost, (unsigned long long)sum.taken_over,
                  (unsigned long long)kills, (unsigned long long)pauses, (unsigned long long)resent,
                  (unsigned long long)strays);
    /* or it was not much of a test */
    assert_true(sum.claims_lost && sum.outcomes_lost && sum.taken_over && kills && pauses &&
                resent && strays);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_no_claim_is_lost_and_nothing_is_taken_over),
        cmocka_unit_test(whatever_happens_every_job_ends_and_no_outcome_counts_twice),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    else if (getentropy(&seed, sizeof seed))
        return 1;
    print_message("# seed %llu\n", (unsigned long long)seed);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("schedulers", tests, NULL, NULL);
}
