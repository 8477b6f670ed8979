/*
 * A random history, the same in a database and in memory, which is the oracle:
 * every verdict and every result must agree.
 * usage: test_store sqlite|postgres [--seed N] [--steps N]
 */
#include "adapter/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS_MAX 4096
#define OWNERS 3

static const char *kind = "";
static unsigned seed;
static int steps = 400;

/* Both stores, under one clock, and what was put into them. */
struct model {
    struct fixture *tested, *memory;
    int64_t latest_us; /* the greatest time that the clock has shown */
    ingot_ksuid ids[EVENTS_MAX];
    size_t id_count;
    unsigned random;
    char texts[64][40]; /* contents that live as long as the test */
};

static unsigned pick(struct model *model, unsigned bound)
{
    return (unsigned)rand_r(&model->random) % bound;
}

static int chance(struct model *model, unsigned percent)
{
    return pick(model, 100) < percent;
}

static struct ingot_bytes pick_text(struct model *model)
{
    return chance(model, 20) ? (struct ingot_bytes){NULL, 0}
                             : ingot_bytes_of(model->texts[pick(model, 64)]);
}

static const char *pick_destination(struct model *model)
{
    static const char *const names[] = {"crm", "mail", "log", "b\xc3\xbcro"};
    return names[pick(model, COUNT(names))];
}

static const char *pick_event_name(struct model *model)
{
    static const char *const names[] = {"*", "order.paid", "user.left"};
    return names[pick(model, COUNT(names))];
}

/* An id that is stored, mostly; a fresh one else. */
static ingot_ksuid pick_id(struct model *model)
{
    if (model->id_count == 0 || chance(model, 3))
        return fixture_id(model->memory);
    /* rather a recent one, so that chains grow */
    size_t window = chance(model, 70) && model->id_count > 8 ? 8 : model->id_count;
    return model->ids[model->id_count - 1 - pick(model, (unsigned)window)];
}

static void tick(struct model *model)
{
    /* a server's clock does not follow ours, which must not get far ahead of it then */
    int64_t step_us = (int64_t)pick(model, fixture_has_clock() ? 3 * 1000 * 1000 : 3000);
    model->memory->now_us += chance(model, 10) ? -step_us : step_us;
    if (model->memory->now_us > model->latest_us)
        model->latest_us = model->memory->now_us;
    model->tested->now_us = model->memory->now_us;
}

/* ---- comparing ---------------------------------------------------------- */

static void compare_bytes(struct ingot_bytes a, struct ingot_bytes b)
{
    if (!ingot_bytes_equal(a, b))
        fail_msg("\"%.*s\" is not \"%.*s\"", (int)a.len, a.data ? (const char *)a.data : "absent",
                 (int)b.len, b.data ? (const char *)b.data : "absent");
}

/* Times that stores set: the same by one clock; else both are set, or neither. */
static void compare_times(int64_t a_us, int64_t b_us)
{
    if (fixture_has_clock())
        assert_true(a_us == b_us);
    else
        assert_true((a_us == INGOT_NO_TIME) == (b_us == INGOT_NO_TIME));
}

/* The ids of transitions begin with the second in which they were made. */
static void compare_made_ids(const struct ingot_transition *a, const struct ingot_transition *b)
{
    if (a->created_us / SECOND_US == b->created_us / SECOND_US)
        assert_memory_equal(&a->id, &b->id, 20);
    assert_memory_equal(a->id.bytes + 4, b->id.bytes + 4, 16);
    assert_true(a->created_us == INGOT_NO_TIME || ingot_ksuid_is_none(&a->id) ||
                ingot_ksuid_time_us(&a->id) == a->created_us / SECOND_US * SECOND_US);
}

static void compare_transitions(const struct ingot_transition *a, const struct ingot_transition *b)
{
    compare_made_ids(a, b);
    assert_memory_equal(&a->event_id, &b->event_id, 20);
    assert_memory_equal(&a->job_id, &b->job_id, 20);
    assert_int_equal(a->job, b->job);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->state_before, b->state_before);
    assert_int_equal(a->state_after, b->state_after);
    assert_memory_equal(&a->owner, &b->owner, 20);
    assert_true(a->due_us == b->due_us);
    compare_times(a->created_us, b->created_us);
    compare_bytes(a->error, b->error);
}

static void compare_jobs(const struct ingot_job *a, const struct ingot_job *b)
{
    assert_memory_equal(&a->id, &b->id, 20);
    assert_memory_equal(&a->event_id, &b->event_id, 20);
    assert_int_equal(a->number, b->number);
    compare_bytes(a->destination, b->destination);
    compare_bytes(a->event, b->event);
    compare_bytes(a->context, b->context);
    compare_bytes(a->data, b->data);
    assert_memory_equal(&a->parent_job_id, &b->parent_job_id, 20);
    assert_true(a->due_us == b->due_us);
    compare_times(a->created_us, b->created_us);
    compare_transitions(&a->latest, &b->latest);
}

static void compare_events(const struct ingot_event *a, const struct ingot_event *b)
{
    assert_memory_equal(&a->id, &b->id, 20);
    compare_bytes(a->source, b->source);
    compare_bytes(a->name, b->name);
    compare_bytes(a->context, b->context);
    compare_bytes(a->data, b->data);
    assert_true(a->sent_us == b->sent_us);
    compare_times(a->received_us, b->received_us);
    compare_times(a->ingested_us, b->ingested_us);
    compare_times(a->retired_us, b->retired_us);
    assert_int_equal(a->job_count, b->job_count);
    for (size_t i = 0; i < a->job_count; i++)
        compare_jobs(&a->jobs[i], &b->jobs[i]);
}

static void compare_pages(const struct ingot_page *a, const struct ingot_page *b)
{
    assert_int_equal(a->event_count, b->event_count);
    assert_int_equal(a->job_count, b->job_count);
    for (size_t i = 0; i < a->event_count; i++)
        compare_events(&a->events[i], &b->events[i]);
    assert_int_equal(a->transition_count, b->transition_count);
    for (size_t i = 0; i < a->transition_count; i++)
        compare_transitions(&a->transitions[i], &b->transitions[i]);
}

/* What both said must be the same but for the adapter's name. */
static void compare_errors(enum ingot_status a, const struct ingot_error *a_error,
                           enum ingot_status b, const struct ingot_error *b_error)
{
    if (a != b)
        fail_msg("%d %s, but %d %s", a, a_error->message, b, b_error->message);
    assert_int_equal(a_error->validation_count, b_error->validation_count);
    for (size_t i = 0; i < a_error->validation_count && i < INGOT_VALIDATIONS_MAX; i++) {
        assert_string_equal(a_error->validations[i].path, b_error->validations[i].path);
        assert_string_equal(a_error->validations[i].message, b_error->validations[i].message);
    }
    assert_string_equal(a_error->event_id, b_error->event_id);
}

/* ---- operations --------------------------------------------------------- */

static struct ingot_job make_job(struct model *model)
{
    struct ingot_job job =
        fixture_job(model->memory, pick_destination(model), pick_event_name(model));
    job.context = pick_text(model);
    job.data = pick_text(model);
    if (chance(model, 20))
        job.due_us = model->memory->now_us + (int64_t)pick(model, 1000000);
    return job;
}

static struct ingot_event make_event(struct model *model, struct ingot_job *jobs)
{
    size_t count = pick(model, 5);
    for (size_t i = 0; i < count; i++) {
        jobs[i] = make_job(model);
        if (i && chance(model, 60)) /* or most of them would collide */
            jobs[i].parent_job_id = jobs[0].id;
    }
    struct ingot_event event = fixture_event(model->memory, jobs, count);
    event.context = pick_text(model);
    event.data = pick_text(model);
    if (chance(model, 30))
        event.sent_us = model->memory->now_us - (int64_t)pick(model, 1000000);
    if (chance(model, 5))
        event.name = ingot_bytes_of("");
    return event;
}

static void insert_queue(struct model *model)
{
    struct ingot_job jobs[4][4];
    struct ingot_event events[4];
    struct ingot_queue queue = {events, 1 + pick(model, 4)};
    enum ingot_verdict a[4] = {0}, b[4] = {0};
    struct ingot_error a_error, b_error;
    for (size_t i = 0; i < queue.event_count; i++) {
        events[i] = make_event(model, jobs[i]);
        if (model->id_count && chance(model, 10))
            events[i].id = pick_id(model); /* of another event */
        if (i && chance(model, 10))
            events[i] = events[i - 1];
    }
    for (int again = 0; again < (chance(model, 20) ? 2 : 1); again++) {
        enum ingot_status status = ingot_store_insert_queue(
            model->tested->store, &model->tested->toolkit, &queue, a, &a_error);
        compare_errors(status, &a_error,
                       ingot_store_insert_queue(model->memory->store, &model->memory->toolkit,
                                                &queue, b, &b_error),
                       &b_error);
        assert_memory_equal(a, b, sizeof a);
        for (size_t i = 0; i < queue.event_count && !status; i++)
            if (a[i] == INGOT_STORED && model->id_count < EVENTS_MAX)
                model->ids[model->id_count++] = events[i].id;
    }
}

static struct ingot_page *read_event(struct model *model, const ingot_ksuid *id)
{
    struct ingot_page *page = NULL;
    ingot_store_event(model->memory->store, &model->memory->toolkit, id, &page, NULL);
    return page;
}

static void add_jobs(struct model *model)
{
    struct ingot_job jobs[4];
    size_t count = 1 + pick(model, 4);
    ingot_ksuid id = pick_id(model);
    struct ingot_page *page = read_event(model, &id);
    struct ingot_error a_error, b_error;
    for (size_t i = 0; i < count; i++) {
        jobs[i] = make_job(model);
        jobs[i].event_id = chance(model, 90) ? id : pick_id(model);
        if (page && page->job_count && chance(model, 50))
            jobs[i].parent_job_id = page->events[0].jobs[pick(model, (unsigned)page->job_count)].id;
        if (page && page->job_count && chance(model, 5))
            jobs[i].id = page->events[0].jobs[pick(model, (unsigned)page->job_count)].id;
    }
    compare_errors(
        ingot_store_add_jobs(model->tested->store, &model->tested->toolkit, jobs, count, &a_error),
        &a_error,
        ingot_store_add_jobs(model->memory->store, &model->memory->toolkit, jobs, count, &b_error),
        &b_error);
    ingot_page_destroy(page);
}

/* A transition of a job that is stored, mostly a legal one. */
static struct ingot_transition make_transition(struct model *model,
                                               const struct ingot_transition *latest)
{
    static const enum ingot_state likely[][4] = {
        [INGOT_STATE_ACKNOWLEDGED] = {INGOT_STATE_EXECUTING, INGOT_STATE_EXECUTING,
                                      INGOT_STATE_AWAITING, INGOT_STATE_DISCARDED},
        [INGOT_STATE_AWAITING] = {INGOT_STATE_EXECUTING, INGOT_STATE_EXECUTING,
                                  INGOT_STATE_AWAITING, INGOT_STATE_EXECUTING},
        [INGOT_STATE_EXECUTING] = {INGOT_STATE_SUCCEEDED, INGOT_STATE_FAILED, INGOT_STATE_AWAITING,
                                   INGOT_STATE_EXECUTING},
        [INGOT_STATE_SUCCEEDED] = {INGOT_STATE_EXECUTING, INGOT_STATE_FAILED, INGOT_STATE_SUCCEEDED,
                                   INGOT_STATE_DISCARDED},
        [INGOT_STATE_FAILED] = {INGOT_STATE_AWAITING, INGOT_STATE_AWAITING, INGOT_STATE_EXECUTING,
                                INGOT_STATE_DISCARDED},
        [INGOT_STATE_DISCARDED] = {INGOT_STATE_EXECUTING, INGOT_STATE_AWAITING, INGOT_STATE_FAILED,
                                   INGOT_STATE_DISCARDED},
    };
    enum ingot_state after = likely[latest->state_after][pick(model, 4)];
    if (chance(model, 5))
        after = (enum ingot_state)(1 + pick(model, 6));
    struct ingot_transition row = fixture_row(&latest->event_id, latest->job, latest->seq + 1,
                                              latest->state_after, after, latest->attempt);
    row.owner = latest->state_after == INGOT_STATE_EXECUTING
                    ? latest->owner
                    : fixture_owner((char)('a' + pick(model, OWNERS)));
    if (after == INGOT_STATE_EXECUTING && chance(model, 70))
        row.attempt++;
    if (chance(model, 10))
        row.owner = fixture_owner((char)('a' + pick(model, OWNERS)));
    if (chance(model, 3))
        row.seq += pick(model, 3) - 1;
    if (chance(model, 3))
        row.attempt++;
    if (after == INGOT_STATE_FAILED || chance(model, 5))
        row.error = ingot_bytes_of(chance(model, 95) ? "{\"message\":\"no\"}" : "no");
    if (chance(model, 2))
        row.job += 1;
    return row;
}

/* Rows for some jobs, at times two or three for one, and at times with a number from before. */
static size_t make_transitions(struct model *model, struct ingot_transition *rows, size_t max)
{
    size_t count = 0;
    while (count < max) {
        ingot_ksuid id = pick_id(model);
        struct ingot_page *page = read_event(model, &id);
        if (!page || !page->job_count) {
            ingot_page_destroy(page);
            rows[count++] =
                fixture_row(&id, 0, 1, INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING, 1);
            continue;
        }
        struct ingot_transition latest =
            page->events[0].jobs[pick(model, (unsigned)page->job_count)].latest;
        if (chance(model, 15)) {
            struct ingot_page *chain = NULL;
            assert_int_equal(
                ingot_store_history(model->memory->store, NULL, &id, latest.job, &chain, NULL),
                INGOT_OK);
            latest = chain->transitions[pick(model, (unsigned)chain->transition_count)];
            latest.error = (struct ingot_bytes){NULL, 0};
            ingot_page_destroy(chain);
        }
        do {
            rows[count] = make_transition(model, &latest);
            latest = rows[count++];
        } while (count < max && chance(model, 40));
        ingot_page_destroy(page);
    }
    return count;
}

static void add_transitions(struct model *model)
{
    struct ingot_transition rows[8];
    struct ingot_result a[8], b[8];
    struct ingot_error a_error, b_error;
    size_t count = make_transitions(model, rows, 1 + pick(model, 8));
    compare_errors(ingot_store_add_transitions(model->tested->store, &model->tested->toolkit, rows,
                                               count, a, &a_error),
                   &a_error,
                   ingot_store_add_transitions(model->memory->store, &model->memory->toolkit, rows,
                                               count, b, &b_error),
                   &b_error);
    for (size_t i = 0; i < count; i++) {
        if (a[i].verdict != b[i].verdict)
            fail_msg("row %zu: %d %s, but %d %s", i, a[i].verdict, a[i].reason, b[i].verdict,
                     b[i].reason);
        assert_string_equal(a[i].reason, b[i].reason);
        compare_transitions(&a[i].taken, &b[i].taken);
    }
}

/* The rows that a scheduler would put in one commit: claims and outcomes, follow-ups, a retirement. */
static void commit_whole_or_each(struct model *model)
{
    struct ingot_commit_transition a_rows[6] = {{.verdict = INGOT_PENDING}}, b_rows[6];
    struct ingot_commit_job a_jobs[2], b_jobs[2];
    struct ingot_commit_event a_event, b_event;
    struct ingot_commit_retirement retirement;
    struct ingot_job jobs[4];
    struct ingot_event event = make_event(model, jobs);
    struct ingot_error a_error, b_error;
    size_t count = 0;
    if (event.name.len == 0)
        event.name = ingot_bytes_of("n");
    for (size_t i = 0, max = pick(model, 6); i < max; i++) {
        ingot_ksuid id = pick_id(model);
        struct ingot_page *page = read_event(model, &id);
        if (page && page->job_count && page->events[0].retired_us == INGOT_NO_TIME) {
            const struct ingot_job *job =
                &page->events[0].jobs[pick(model, (unsigned)page->job_count)];
            struct {
                enum ingot_state after;
                uint16_t attempt;
            } next = {INGOT_STATE_NONE, job->latest.attempt};
            if (job->latest.state_after == INGOT_STATE_ACKNOWLEDGED ||
                job->latest.state_after == INGOT_STATE_FAILED)
                next.after = INGOT_STATE_EXECUTING, next.attempt++;
            else if (job->latest.state_after == INGOT_STATE_EXECUTING)
                next.after = chance(model, 50) ? INGOT_STATE_SUCCEEDED : INGOT_STATE_FAILED;
            if (next.after != INGOT_STATE_NONE) {
                struct ingot_transition row =
                    fixture_row(&id, job->number, job->latest.seq + 1, job->latest.state_after,
                                next.after, next.attempt);
                row.owner =
                    next.after == INGOT_STATE_EXECUTING ? fixture_owner('a') : job->latest.owner;
                a_rows[count] =
                    (struct ingot_commit_transition){.row = row, .hangs_on = INGOT_ALONE};
                count++;
                if (count < 6 && next.after == INGOT_STATE_FAILED && chance(model, 50)) {
                    struct ingot_transition then =
                        fixture_row(&id, job->number, row.seq + 1, INGOT_STATE_FAILED,
                                    INGOT_STATE_AWAITING, row.attempt);
                    a_rows[count] =
                        (struct ingot_commit_transition){.row = then, .hangs_on = count - 1};
                    count++;
                }
            }
        }
        ingot_page_destroy(page);
        if (count >= 5)
            break;
    }
    struct ingot_commit a = {.rule = chance(model, 50) ? INGOT_COMMIT_WHOLE : INGOT_COMMIT_EACH,
                             .transitions = a_rows,
                             .transition_count = count};
    if (chance(model, 50)) {
        a_event = (struct ingot_commit_event){.row = &event};
        a_event.jobs_origin = chance(model, 50) ? INGOT_JOBS_GIVEN : INGOT_JOBS_MADE;
        if (ingot_event_validate(&event, &model->memory->toolkit, "", NULL) == INGOT_OK) {
            a.events = &a_event;
            a.event_count = 1;
        }
    }
    for (; a.job_count < 2 && chance(model, 30); a.job_count++) {
        size_t on = count ? pick(model, (unsigned)count) : 0;
        a_jobs[a.job_count] = (struct ingot_commit_job){
            .row = make_job(model),
            .hangs_on = count && chance(model, 80) ? on : INGOT_ALONE,
        };
        a_jobs[a.job_count].row.event_id = count ? a_rows[on].row.event_id : pick_id(model);
    }
    a.jobs = a_jobs;
    if (chance(model, 3)) {
        ingot_ksuid id = pick_id(model);
        retirement = (struct ingot_commit_retirement){id, ingot_bytes_of("m"), ingot_bytes_of("r")};
        a.retirements = &retirement;
        a.retirement_count = 1;
    }
    struct ingot_commit b = a;
    memcpy(b_rows, a_rows, sizeof a_rows);
    memcpy(b_jobs, a_jobs, sizeof a_jobs);
    b_event = a_event;
    b.transitions = b_rows;
    b.jobs = b_jobs;
    b.events = &b_event;
    enum ingot_status status =
        ingot_store_commit(model->tested->store, &model->tested->toolkit, &a, &a_error);
    compare_errors(status, &a_error,
                   ingot_store_commit(model->memory->store, &model->memory->toolkit, &b, &b_error),
                   &b_error);
    for (size_t i = 0; i < a.transition_count; i++)
        assert_int_equal(a_rows[i].verdict, b_rows[i].verdict);
    for (size_t i = 0; i < a.job_count; i++) {
        assert_int_equal(a_jobs[i].verdict, b_jobs[i].verdict);
        if (!status && a_jobs[i].verdict == INGOT_STORED)
            assert_int_equal(a_jobs[i].row.number, b_jobs[i].row.number);
    }
    if (a.event_count) {
        assert_int_equal(a_event.verdict, b_event.verdict);
        if (!status && a_event.verdict == INGOT_STORED && model->id_count < EVENTS_MAX)
            model->ids[model->id_count++] = event.id;
    }
}

static void delete_events(struct model *model)
{
    ingot_ksuid ids[3];
    size_t count = 1 + pick(model, 3);
    enum ingot_delete how = chance(model, 40) ? INGOT_DELETE_FORCED : INGOT_DELETE_FINISHED;
    struct ingot_error a_error, b_error;
    for (size_t i = 0; i < count; i++)
        ids[i] = pick_id(model);
    compare_errors(ingot_store_delete(model->tested->store, &model->tested->toolkit, ids, count,
                                      how, "model", "random", &a_error),
                   &a_error,
                   ingot_store_delete(model->memory->store, &model->memory->toolkit, ids, count,
                                      how, "model", "random", &b_error),
                   &b_error);
}

static void find(struct model *model)
{
    struct ingot_bytes destinations[2] = {ingot_bytes_of(pick_destination(model)),
                                          ingot_bytes_of(pick_destination(model))};
    struct ingot_bytes events[2] = {ingot_bytes_of(pick_event_name(model)),
                                    ingot_bytes_of(pick_event_name(model))};
    struct ingot_where where = {
        .destinations_in = destinations,
        .destinations_in_count = pick(model, 3),
        .events_in = events,
        .events_in_count = pick(model, 3),
        .status_in = chance(model, 60) ? 0 : pick(model, 128),
        .status_notin = chance(model, 70) ? 0 : pick(model, 128),
        .max_attempts = (uint16_t)(chance(model, 70) ? 0 : pick(model, 4)),
        .limit = 1 + pick(model, 20),
        .detail = chance(model, 50) ? INGOT_DETAIL_ALL : INGOT_DETAIL_ROUTING,
    };
    if (chance(model, 10))
        where.status_in = INGOT_STATE_BIT(INGOT_STATE_DISCARDED);
    struct ingot_page *a = NULL, *b = NULL;
    struct ingot_error a_error, b_error;
    do {
        struct ingot_where other = where;
        ingot_page_destroy(a);
        ingot_page_destroy(b);
        a = b = NULL;
        enum ingot_status status =
            ingot_store_find(model->tested->store, &model->tested->toolkit, &where, &a, &a_error);
        compare_errors(
            status, &a_error,
            ingot_store_find(model->memory->store, &model->memory->toolkit, &other, &b, &b_error),
            &b_error);
        if (status)
            return;
        compare_pages(a, b);
        /* With an index a store may know earlier that nothing more comes. */
        if (!a->more && b->more) {
            where.after = b->next;
            ingot_page_destroy(a);
            ingot_page_destroy(b);
            a = b = NULL;
            assert_int_equal(ingot_store_find(model->memory->store, NULL, &where, &b, NULL),
                             INGOT_OK);
            assert_int_equal(b->event_count, 0);
            break;
        }
        where.after = a->next;
    } while (b->more);
    ingot_page_destroy(a);
    ingot_page_destroy(b);
}

static void read_history(struct model *model)
{
    ingot_ksuid id = pick_id(model);
    uint32_t job = pick(model, 6);
    struct ingot_page *a = NULL, *b = NULL;
    struct ingot_error a_error, b_error;
    enum ingot_status status =
        ingot_store_history(model->tested->store, NULL, &id, job, &a, &a_error);
    compare_errors(status, &a_error,
                   ingot_store_history(model->memory->store, NULL, &id, job, &b, &b_error),
                   &b_error);
    if (!status)
        compare_pages(a, b);
    ingot_page_destroy(a);
    ingot_page_destroy(b);
}

static void count(struct model *model)
{
    struct ingot_counts *a = NULL, *b = NULL;
    assert_int_equal(ingot_store_counts(model->tested->store, NULL, &a, NULL), INGOT_OK);
    assert_int_equal(ingot_store_counts(model->memory->store, NULL, &b, NULL), INGOT_OK);
    assert_int_equal(a->events, b->events);
    assert_int_equal(a->transitions, b->transitions);
    assert_int_equal(a->destination_count, b->destination_count);
    for (size_t i = 0; i < a->destination_count; i++) {
        compare_bytes(a->destinations[i].destination, b->destinations[i].destination);
        assert_memory_equal(a->destinations[i].jobs, b->destinations[i].jobs,
                            sizeof a->destinations[i].jobs);
    }
    ingot_counts_destroy(a);
    ingot_counts_destroy(b);
}

static void verify(struct model *model)
{
    struct ingot_verification a = fixture_verify(model->tested), b = fixture_verify(model->memory);
    assert_memory_equal(&a, &b, sizeof a);
}

/*
 * What a store opens with is the time of its newest event, not of its newest
 * transition: so an event follows, which tells both how late it is.
 */
static void reopen(struct model *model)
{
    struct ingot_event event = fixture_event(model->memory, NULL, 0);
    fixture_reopen(model->tested);
    model->memory->now_us = model->tested->now_us = model->latest_us;
    fixture_put(model->tested, &event);
    fixture_put(model->memory, &event);
}

/* ---- the history -------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct model *);
    unsigned weight;
} operations[] = {
    {"insert_queue", insert_queue, 20},
    {"add_jobs", add_jobs, 10},
    {"add_transitions", add_transitions, 35},
    {"commit", commit_whole_or_each, 15},
    {"delete", delete_events, 4},
    {"find", find, 10},
    {"history", read_history, 6},
    {"counts", count, 3},
    {"verify", verify, 1},
    {"reopen", reopen, 2},
};

static void the_database_and_memory_agree_on_everything(void **state)
{
    (void)state;
    struct model model = {.random = seed};
    unsigned total = 0;
    fixture_use("memory");
    assert_int_equal(fixture_set_up((void **)&model.memory), 0);
    fixture_use(kind);
    assert_int_equal(fixture_set_up((void **)&model.tested), 0);
    model.memory->now_us = model.latest_us = model.tested->now_us;
    model.memory->seed = seed;
    for (size_t i = 0; i < COUNT(model.texts); i++)
        snprintf(model.texts[i], sizeof model.texts[i],
                 i % 2 ? "{\"n\": %zu}" : "[%zu,\"\\u00e9\"]", i / 2);
    for (size_t i = 0; i < COUNT(operations); i++)
        total += operations[i].weight;
    for (int step = 0; step < steps; step++) {
        unsigned at = pick(&model, total);
        size_t which = 0;
        while (at >= operations[which].weight)
            at -= operations[which++].weight;
        tick(&model);
        operations[which].run(&model);
    }
    verify(&model);
    count(&model);
    struct ingot_verification last = fixture_verify(model.tested);
    print_message("# %llu events, %llu jobs, %llu transitions\n", (unsigned long long)last.events,
                  (unsigned long long)last.jobs, (unsigned long long)last.transitions);
    fixture_tear_down((void **)&model.tested);
    fixture_tear_down((void **)&model.memory);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_database_and_memory_agree_on_everything),
    };
    seed = (unsigned)time(NULL);
    if (argc < 2)
        return 2;
    kind = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--steps") == 0)
            steps = (int)strtol(argv[i + 1], NULL, 10);
    }
    printf("# %s --seed %u --steps %d\n", kind, seed, steps);
    fflush(stdout);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
