/*
 * The life of jobs in a store: events in, claimed, succeeded, in commits of
 * 1,000 rows, as the journal makes them.
 */
#include "cost.h"

#include <string.h>
#include <time.h>

#define ROWS 1000

/* Rounds before those that are measured, and those; the WAL of SQLite stays below a checkpoint. */
#define ROUNDS_FIRST 1
#define ROUNDS 3

static struct {
    struct ingot_store *store;
    struct ingot_ksuid_generator ids;
    ingot_ksuid owner;
    struct ingot_event events[ROWS];
    struct ingot_job jobs[ROWS];
    struct ingot_commit_event given[ROWS];
    struct ingot_commit_transition rows[ROWS];
} life;

static void open_store(const struct cost_given *given)
{
    struct ingot_options options;
    struct ingot_error err = {0};
    cost_insist(given->url != NULL, "a store is named");
    if (strncmp(given->url, "postgres:", 9) == 0)
        cost_begin_at((int64_t)time(NULL) * 1000000, given->seed); /* the server has a clock */
    enum ingot_status status = ingot_options_from_url(given->url, &options, &err);
    if (!status)
        status = ingot_store_open(&options, &cost_toolkit, &life.store, &err);
    cost_insist(status == INGOT_OK, err.message);
    ingot_ksuid_generate(&life.ids, &cost_toolkit, &life.owner);
}

static void make_events(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        cost_make_event(&life.ids, &life.events[i], &life.jobs[i]);
        life.given[i] =
            (struct ingot_commit_event){.row = &life.events[i], .jobs_origin = INGOT_JOBS_MADE};
    }
}

static void make_rows(uint32_t seq, enum ingot_state before, enum ingot_state after)
{
    for (size_t i = 0; i < ROWS; i++)
        life.rows[i] = (struct ingot_commit_transition){
            .row = {.event_id = life.events[i].id,
                    .seq = seq,
                    .attempt = 1,
                    .state_before = before,
                    .state_after = after,
                    .owner = life.owner,
                    .due_us = INGOT_NO_TIME},
            .hangs_on = INGOT_ALONE,
        };
}

static void commit(struct ingot_commit *commit)
{
    struct ingot_error err = {0};
    cost_insist(ingot_store_commit(life.store, &cost_toolkit, commit, &err) == INGOT_OK,
                err.message);
    for (size_t i = 0; i < commit->event_count; i++)
        cost_insist(commit->events[i].verdict == INGOT_STORED, "an event is stored");
    for (size_t i = 0; i < commit->transition_count; i++)
        cost_insist(commit->transitions[i].verdict == INGOT_STORED, "a transition is stored");
}

static void commit_events(void *context)
{
    (void)context;
    commit(&(struct ingot_commit){.events = life.given, .event_count = ROWS});
}

static void commit_rows(void *context)
{
    (void)context;
    commit(&(struct ingot_commit){.transitions = life.rows, .transition_count = ROWS});
}

enum steps { EVENTS = 1, CLAIMS = 2, OUTCOMES = 4 };

/* Does the work of a step; it is measured if it is one of those. */
static void step(enum steps which, enum steps measured, void (*work)(void *context))
{
    if (which & measured)
        cost_measured(work, NULL);
    else
        work(NULL);
}

static void live(enum steps measured)
{
    make_events();
    step(EVENTS, measured, commit_events);
    make_rows(1, INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING);
    step(CLAIMS, measured, commit_rows);
    make_rows(2, INGOT_STATE_EXECUTING, INGOT_STATE_SUCCEEDED);
    step(OUTCOMES, measured, commit_rows);
}

static size_t measure(const struct cost_given *given, enum steps measured)
{
    open_store(given);
    for (size_t i = 0; i < ROUNDS_FIRST; i++)
        live((enum steps)0);
    for (size_t i = 0; i < ROUNDS; i++)
        live(measured);
    ingot_store_close(life.store);
    return ROUNDS * ROWS;
}

static size_t store_events(const struct cost_given *given)
{
    return measure(given, EVENTS);
}

static size_t store_claims(const struct cost_given *given)
{
    return measure(given, CLAIMS);
}

static size_t store_outcomes(const struct cost_given *given)
{
    return measure(given, OUTCOMES);
}

/* Whole lives of so many jobs as are given. */
static size_t store_life(const struct cost_given *given)
{
    open_store(given);
    for (size_t done = 0; done < given->jobs; done += ROWS)
        live(EVENTS | CLAIMS | OUTCOMES);
    ingot_store_close(life.store);
    return given->jobs;
}

const struct cost_section cost_store[] = {
    {"store_events", store_events},
    {"store_claims", store_claims},
    {"store_outcomes", store_outcomes},
    {"store_life", store_life},
    {NULL, NULL},
};
