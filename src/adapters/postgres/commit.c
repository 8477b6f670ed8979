/*
 * Writing. A commit in which every row stands for itself is one pipeline without
 * BEGIN, and so one transaction in one round trip; one with added jobs, or that
 * must win whole, looks at what came of its rows before it commits.
 */
#include "postgres.h"
#include "postgres_sql.h"

#include <stdlib.h>
#include <string.h>

/* So often a commit is begun again when others take the numbers of its jobs. */
#define TRIES_MAX 20

/* So many alike transitions are worth a statement of their own, and at most so many statements. */
#define ALIKE_ROWS_MIN 64
#define ALIKE_MAX 6

/* Transitions that one statement stores, in the order of their keys. */
struct parcel {
    const struct ingot_transition *like; /* all are that but for their event; NULL: any */
    size_t *rows;                        /* places in the commit */
    size_t count;
    size_t statement; /* its place */
};

/* A commit on its way: its rows in the order of their keys. */
struct writing {
    struct postgres_store *store;
    struct ingot_commit *commit;
    size_t *events;      /* places in the commit */
    size_t *transitions; /* likewise */
    struct parcel parcels[ALIKE_MAX + 1];
    size_t parcel_count;
    size_t *jobs; /* likewise, only those to be stored */
    size_t job_count;
    struct ingot_page *page; /* what was read to decide */
};

/* ---- order -------------------------------------------------------------- */

static int by_place(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int by_event(const void *a, const void *b, void *context)
{
    const struct ingot_commit *commit = context;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    int order = ingot_ksuid_compare(&commit->events[left].row->id, &commit->events[right].row->id);
    return order ? order : by_place(left, right);
}

static int compare_keys(const struct ingot_transition *a, const struct ingot_transition *b)
{
    int order = ingot_ksuid_compare(&a->event_id, &b->event_id);
    if (order)
        return order;
    return a->job != b->job ? (a->job > b->job) - (a->job < b->job)
                            : (a->seq > b->seq) - (a->seq < b->seq);
}

static int by_transition(const void *a, const void *b, void *context)
{
    const struct ingot_commit *commit = context;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    int order = compare_keys(&commit->transitions[left].row, &commit->transitions[right].row);
    return order ? order : by_place(left, right);
}

/* By event and number, for a job's place grows with its number. */
static int by_job(const void *a, const void *b, void *context)
{
    const struct ingot_commit *commit = context;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    int order =
        ingot_ksuid_compare(&commit->jobs[left].row.event_id, &commit->jobs[right].row.event_id);
    return order ? order : by_place(left, right);
}

static int compare_ids(const void *a, const void *b)
{
    return ingot_ksuid_compare(a, b);
}

/* Makes ids ascending and distinct; returns how many are left. */
static size_t sort_ids(ingot_ksuid *ids, size_t count)
{
    size_t distinct = 0;
    qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || ingot_ksuid_compare(&ids[distinct - 1], &ids[i]) != 0)
            ids[distinct++] = ids[i];
    return distinct;
}

/* The event of an id among events that are ascending, or NULL. */
static struct ingot_event *event_of(struct ingot_event *events, size_t count, const ingot_ksuid *id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = ingot_ksuid_compare(&events[middle].id, id);
        if (order == 0)
            return &events[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Numbers from 0 on in the order that compare says; NULL when memory ran out. */
static size_t *make_order(struct writing *writing, size_t count,
                          int (*compare)(const void *, const void *, void *))
{
    size_t *order = ingot_page_alloc(writing->page, (count + 1) * sizeof *order);
    for (size_t i = 0; i < count && order; i++)
        order[i] = i;
    if (order)
        qsort_r(order, count, sizeof *order, compare, writing->commit);
    return order;
}

/* ---- alike rows --------------------------------------------------------- */

/* Whether a transition is another but for its event, and neither has what most have not. */
static int is_like(const struct ingot_transition *row, const struct ingot_transition *other)
{
    return row->job == other->job && row->seq == other->seq && row->attempt == other->attempt &&
           row->state_before == other->state_before && row->state_after == other->state_after &&
           row->due_us == INGOT_NO_TIME && !row->error.data &&
           ingot_ksuid_compare(&row->owner, &other->owner) == 0;
}

/* The parcel that a transition belongs to; the last one is for all others. */
static struct parcel *parcel_of(struct writing *writing, const struct ingot_transition *row)
{
    size_t i = 0;
    while (i < writing->parcel_count - 1 && !is_like(row, writing->parcels[i].like))
        i++;
    return &writing->parcels[i];
}

/* Others that write the same numbers go through them in the same order. */
static int compare_parcels(const void *a, const void *b)
{
    const struct ingot_transition *left = ((const struct parcel *)a)->like;
    const struct ingot_transition *right = ((const struct parcel *)b)->like;
    return left->seq != right->seq ? (left->seq > right->seq) - (left->seq < right->seq)
                                   : (left->job > right->job) - (left->job < right->job);
}

/* Finds what many transitions are like: the first kinds that are met, if they are many. */
static void find_alike(struct writing *writing)
{
    const struct ingot_commit *commit = writing->commit;
    struct parcel *parcels = writing->parcels;
    size_t kinds = 0, kept = 0;
    writing->parcel_count = 1;
    for (size_t i = 0; i < commit->transition_count; i++) {
        const struct ingot_transition *row = &commit->transitions[writing->transitions[i]].row;
        struct parcel *parcel = parcel_of(writing, row);
        if (parcel == &parcels[kinds] && kinds < ALIKE_MAX && is_like(row, row)) {
            *parcel = (struct parcel){.like = row};
            kinds++;
            writing->parcel_count++;
        }
        parcel->count++;
    }
    for (size_t i = 0; i < kinds; i++)
        if (parcels[i].count >= ALIKE_ROWS_MIN)
            parcels[kept++] = parcels[i];
    qsort(parcels, kept, sizeof *parcels, compare_parcels);
    parcels[kept] = (struct parcel){.like = NULL};
    writing->parcel_count = kept + 1;
}

/* Puts each transition into its parcel; 0 when memory ran out. */
static int make_parcels(struct writing *writing)
{
    const struct ingot_commit *commit = writing->commit;
    struct parcel *parcels = writing->parcels;
    find_alike(writing);
    size_t *rows = ingot_page_alloc(writing->page, (commit->transition_count + 1) * sizeof *rows);
    if (!rows)
        return 0;
    size_t others = commit->transition_count;
    for (size_t i = 0; i + 1 < writing->parcel_count; i++) {
        parcels[i].rows = rows;
        rows += parcels[i].count;
        others -= parcels[i].count;
        parcels[i].count = 0;
    }
    parcels[writing->parcel_count - 1].rows = rows;
    for (size_t i = 0; i < commit->transition_count; i++) {
        const size_t place = writing->transitions[i];
        struct parcel *parcel = parcel_of(writing, &commit->transitions[place].row);
        parcel->rows[parcel->count++] = place;
    }
    writing->parcel_count -= others == 0;
    return 1;
}

/* ---- parameters --------------------------------------------------------- */

/* The columns of events; one alone is a row of parameters, not of arrays. */
static void fill_events(struct postgres_parameters *parameters, const struct writing *writing)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES, POSTGRES_TEXT, POSTGRES_TEXT,
                                               POSTGRES_JSON,  POSTGRES_JSON, POSTGRES_JSON,
                                               POSTGRES_TIME,  POSTGRES_TIME};
    const struct ingot_commit *commit = writing->commit;
    if (commit->event_count > 1)
        postgres_begin_rows(parameters, types, 8, commit->event_count);
    for (size_t i = 0; i < commit->event_count; i++) {
        const struct ingot_event *row = commit->events[writing->events[i]].row;
        size_t len = 0;
        char *jobs = ingot_jobs_encode(row->jobs, row->job_count, &len);
        if (!jobs)
            parameters->failed = INGOT_NOMEM;
        postgres_add_ksuid(parameters, &row->id);
        postgres_add_text(parameters, row->source);
        postgres_add_text(parameters, row->name);
        postgres_add_text(parameters, row->context);
        postgres_add_text(parameters, row->data);
        postgres_add_text(parameters, (struct ingot_bytes){jobs, len});
        postgres_add_time(parameters, row->sent_us);
        postgres_add_time(parameters, row->received_us);
        free(jobs);
    }
}

/* Whether a row of the commit hangs on another, or has a notice. */
static int has_chains(const struct ingot_commit *commit)
{
    for (size_t i = 0; i < commit->transition_count; i++)
        if (commit->transitions[i].hangs_on != INGOT_ALONE ||
            commit->transitions[i].notice != INGOT_NOTICE_NONE)
            return 1;
    return 0;
}

/*
 * The columns of transitions; one alone without ordinals is a row of parameters, not of arrays.
 * ordinals: of each place in the order of keys, from 1 on; NULL where nothing hangs on another.
 */
static void fill_transitions(struct postgres_parameters *parameters,
                             const struct ingot_commit *commit, const size_t *rows, size_t count,
                             const size_t *ordinals)
{
    static const enum postgres_type types[] = {
        POSTGRES_BYTES, POSTGRES_INT,  POSTGRES_INT,  POSTGRES_INT, POSTGRES_INT, POSTGRES_INT,
        POSTGRES_BYTES, POSTGRES_TIME, POSTGRES_JSON, POSTGRES_INT, POSTGRES_INT};
    if (count > 1 || ordinals)
        postgres_begin_rows(parameters, types, ordinals ? 11 : 9, count);
    for (size_t i = 0; i < count; i++) {
        const struct ingot_commit_transition *given = &commit->transitions[rows[i]];
        const struct ingot_transition *row = &given->row;
        postgres_add_ksuid(parameters, &row->event_id);
        postgres_add_int(parameters, (int32_t)row->job);
        postgres_add_int(parameters, (int32_t)row->seq);
        postgres_add_int(parameters, row->attempt);
        postgres_add_int(parameters, (int32_t)row->state_before);
        postgres_add_int(parameters, (int32_t)row->state_after);
        postgres_add_ksuid(parameters, &row->owner);
        postgres_add_time(parameters, row->due_us);
        postgres_add_text(parameters, row->error);
        if (!ordinals)
            continue;
        if (given->hangs_on == INGOT_ALONE)
            postgres_add_null(parameters);
        else
            postgres_add_int(parameters, (int32_t)ordinals[given->hangs_on]);
        postgres_add_int(parameters, given->notice == INGOT_NOTICE_SENT);
    }
}

static void fill_alike(struct postgres_parameters *parameters, const struct ingot_commit *commit,
                       const struct parcel *parcel)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES};
    const struct ingot_transition *like = parcel->like;
    postgres_begin_rows(parameters, types, 1, parcel->count);
    for (size_t i = 0; i < parcel->count; i++)
        postgres_add_ksuid(parameters, &commit->transitions[parcel->rows[i]].row.event_id);
    postgres_add_int(parameters, (int32_t)like->job);
    postgres_add_int(parameters, (int32_t)like->seq);
    postgres_add_int(parameters, like->attempt);
    postgres_add_int(parameters, (int32_t)like->state_before);
    postgres_add_int(parameters, (int32_t)like->state_after);
    postgres_add_ksuid(parameters, &like->owner);
}

static void fill_jobs(struct postgres_parameters *parameters, const struct writing *writing)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES, POSTGRES_INT,   POSTGRES_BYTES,
                                               POSTGRES_TEXT,  POSTGRES_TEXT,  POSTGRES_JSON,
                                               POSTGRES_JSON,  POSTGRES_BYTES, POSTGRES_TIME};
    postgres_begin_rows(parameters, types, 9, writing->job_count);
    for (size_t i = 0; i < writing->job_count; i++) {
        const struct ingot_job *row = &writing->commit->jobs[writing->jobs[i]].row;
        postgres_add_ksuid(parameters, &row->event_id);
        postgres_add_int(parameters, (int32_t)row->number);
        postgres_add_ksuid(parameters, &row->id);
        postgres_add_text(parameters, row->destination);
        postgres_add_text(parameters, row->event);
        postgres_add_text(parameters, row->context);
        postgres_add_text(parameters, row->data);
        postgres_add_ksuid(parameters, &row->parent_job_id);
        postgres_add_time(parameters, row->due_us);
    }
}

static void fill_retirements(struct postgres_parameters *parameters,
                             const struct ingot_commit *commit)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES, POSTGRES_TEXT, POSTGRES_TEXT};
    postgres_begin_rows(parameters, types, 3, commit->retirement_count);
    for (size_t i = 0; i < commit->retirement_count; i++) {
        postgres_add_ksuid(parameters, &commit->retirements[i].event_id);
        postgres_add_text(parameters, commit->retirements[i].actor);
        postgres_add_text(parameters, commit->retirements[i].reason);
    }
}

/* ---- verdicts ----------------------------------------------------------- */

/* Whether a statement's answer is that all its rows were stored. */
static int is_all(const PGresult *result)
{
    return PQntuples(result) == 1 && PQgetisnull(result, 0, 0);
}

/* The rows that the server named were stored; both are in the order of their keys. */
static void take_events(const struct writing *writing, const PGresult *result)
{
    int row = 0;
    for (size_t i = 0; i < writing->commit->event_count && is_all(result); i++)
        writing->commit->events[i].verdict = INGOT_STORED;
    for (size_t i = 0; i < writing->commit->event_count && row < PQntuples(result); i++) {
        struct ingot_commit_event *given = &writing->commit->events[writing->events[i]];
        ingot_ksuid stored = postgres_get_ksuid(result, row, 0);
        if (ingot_ksuid_compare(&given->row->id, &stored) == 0) {
            given->verdict = INGOT_STORED;
            row++;
        }
    }
}

/* Of alike transitions the server names the events only. */
static void take_transitions(const struct writing *writing, const struct parcel *parcel,
                             const PGresult *result)
{
    int row = 0;
    for (size_t i = 0; i < parcel->count && is_all(result); i++)
        writing->commit->transitions[parcel->rows[i]].verdict = INGOT_STORED;
    for (size_t i = 0; i < parcel->count && row < PQntuples(result); i++) {
        struct ingot_commit_transition *given = &writing->commit->transitions[parcel->rows[i]];
        struct ingot_transition stored = given->row;
        stored.event_id = postgres_get_ksuid(result, row, 0);
        if (!parcel->like) {
            stored.job = (uint32_t)postgres_get_int(result, row, 1);
            stored.seq = (uint32_t)postgres_get_int(result, row, 2);
        }
        if (compare_keys(&given->row, &stored) == 0) {
            given->verdict = INGOT_STORED;
            row++;
        }
    }
}

static void take_chains(const struct writing *writing, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t ordinal = postgres_get_int(result, row, 0);
        if (ordinal > 0 && (uint64_t)ordinal <= writing->commit->transition_count)
            writing->commit->transitions[writing->transitions[ordinal - 1]].verdict = INGOT_STORED;
    }
}

/* Compares the events that were not stored with those that were there before, or come before. */
static enum ingot_status compare_events(const struct writing *writing, struct ingot_error *err)
{
    struct ingot_commit *commit = writing->commit;
    ingot_ksuid *ids = ingot_page_alloc(writing->page, commit->event_count * sizeof *ids);
    size_t pending = 0, count = 0;
    for (size_t i = 0; i < commit->event_count && ids; i++)
        if (commit->events[i].verdict == INGOT_PENDING)
            ids[pending++] = commit->events[i].row->id;
    if (ids && !pending)
        return INGOT_OK;
    pending = ids ? sort_ids(ids, pending) : 0;
    struct ingot_event *stored = ingot_page_alloc(writing->page, pending * sizeof *stored);
    if (!ids || !stored)
        return postgres_no_memory(err);
    enum ingot_status status =
        postgres_read_born(writing->store, ids, pending, writing->page, stored, &count, err);
    for (size_t i = 0; i < commit->event_count && !status; i++) {
        struct ingot_commit_event *given = &commit->events[i];
        if (given->verdict != INGOT_PENDING)
            continue;
        const struct ingot_event *other = event_of(stored, count, &given->row->id);
        if (!other || !ingot_event_same(other, given))
            given->verdict = INGOT_MISMATCH;
        else
            given->verdict = commit->sending == INGOT_COMMIT_AGAIN ? INGOT_STORED : INGOT_ALREADY;
    }
    return status;
}

/* Finds which of the transitions that were not stored are there as given, from the first sending. */
static enum ingot_status compare_transitions(const struct writing *writing, struct ingot_error *err)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES, POSTGRES_INT, POSTGRES_INT};
    struct ingot_commit *commit = writing->commit;
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    int row = 0;
    postgres_begin_rows(&parameters, types, 3, commit->transition_count);
    for (size_t i = 0; i < commit->transition_count; i++) {
        const struct ingot_transition *given = &commit->transitions[writing->transitions[i]].row;
        postgres_add_ksuid(&parameters, &given->event_id);
        postgres_add_int(&parameters, (int32_t)given->job);
        postgres_add_int(&parameters, (int32_t)given->seq);
    }
    enum ingot_status status = postgres_query(writing->store, sql_read_transitions, &parameters,
                                              &result, err, "could not read");
    for (size_t i = 0; i < commit->transition_count && !status && row < PQntuples(result); i++) {
        struct ingot_commit_transition *given = &commit->transitions[writing->transitions[i]];
        struct ingot_transition stored;
        int good = postgres_get_transition(result, row, &stored);
        if (compare_keys(&given->row, &stored) != 0)
            continue;
        if (good && ingot_transition_same(&stored, &given->row))
            given->verdict = INGOT_STORED;
        row++;
    }
    PQclear(result);
    postgres_parameters_fini(&parameters);
    return status;
}

/* Whether what a row hangs on was stored. */
static int may_follow(const struct ingot_commit *commit, size_t hangs_on)
{
    return hangs_on == INGOT_ALONE || commit->transitions[hangs_on].verdict == INGOT_STORED;
}

/* Decides what the server did not, of events and transitions. */
static enum ingot_status settle(const struct writing *writing, struct ingot_error *err)
{
    struct ingot_commit *commit = writing->commit;
    size_t pending = 0;
    enum ingot_status status = compare_events(writing, err);
    for (size_t i = 0; i < commit->transition_count; i++)
        if (commit->transitions[i].verdict == INGOT_PENDING) {
            commit->transitions[i].verdict = INGOT_LOST;
            pending++;
        }
    if (!status && pending && commit->sending == INGOT_COMMIT_AGAIN)
        status = compare_transitions(writing, err);
    return status;
}

/* ---- added jobs --------------------------------------------------------- */

/* Whether the event has a job of this id already; then its number is set. */
static int is_there(const struct ingot_event *event, struct ingot_job *job)
{
    for (size_t i = 0; i < event->job_count; i++)
        if (ingot_ksuid_compare(&event->jobs[i].id, &job->id) == 0) {
            job->number = event->jobs[i].number;
            return 1;
        }
    return 0;
}

/* Puts a job behind the others of its event, for the judgement of those that follow. */
static enum ingot_status append_job(struct writing *writing, struct ingot_event *event,
                                    struct ingot_job *job, struct ingot_error *err)
{
    struct ingot_job *grown =
        ingot_page_alloc(writing->page, (event->job_count + 1) * sizeof *grown);
    if (!grown)
        return postgres_no_memory(err);
    if (event->job_count)
        memcpy(grown, event->jobs, event->job_count * sizeof *grown);
    job->number = (uint32_t)event->job_count;
    grown[event->job_count++] = *job;
    event->jobs = grown;
    return INGOT_OK;
}

/* The events of the jobs that are to be judged. */
static enum ingot_status read_events(struct writing *writing, struct ingot_event **ret_events,
                                     size_t *ret_count, struct ingot_error *err)
{
    const struct ingot_commit *commit = writing->commit;
    ingot_ksuid *ids = ingot_page_alloc(writing->page, commit->job_count * sizeof *ids);
    size_t count = 0;
    if (!ids)
        return postgres_no_memory(err);
    for (size_t i = 0; i < commit->job_count; i++)
        if (may_follow(commit, commit->jobs[i].hangs_on))
            ids[count++] = commit->jobs[i].row.event_id;
    count = sort_ids(ids, count);
    if (count == 0)
        return INGOT_OK;
    return postgres_read_events(writing->store, ids, count, INGOT_DETAIL_ROUTING, writing->page,
                                ret_events, ret_count, err);
}

/* Gives each job its verdict, and its number if it is to be stored. */
static enum ingot_status judge_jobs(struct writing *writing, struct ingot_error *err)
{
    struct ingot_commit *commit = writing->commit;
    struct ingot_event *events = NULL;
    size_t count = 0;
    enum ingot_status status = read_events(writing, &events, &count, err);
    writing->jobs = ingot_page_alloc(writing->page, commit->job_count * sizeof *writing->jobs);
    writing->job_count = 0;
    if (!status && !writing->jobs)
        status = postgres_no_memory(err);
    for (size_t i = 0; i < commit->job_count && !status; i++) {
        struct ingot_commit_job *given = &commit->jobs[i];
        struct ingot_event *event = event_of(events, count, &given->row.event_id);
        if (!may_follow(commit, given->hangs_on)) {
            given->verdict = INGOT_LOST;
        } else if (commit->sending == INGOT_COMMIT_AGAIN && event && is_there(event, &given->row)) {
            given->verdict = INGOT_STORED;
        } else {
            given->verdict = ingot_job_judge(event, &given->row);
            if (given->verdict != INGOT_STORED)
                continue;
            writing->jobs[writing->job_count++] = i;
            status = append_job(writing, event, &given->row, err);
        }
    }
    if (!status)
        qsort_r(writing->jobs, writing->job_count, sizeof *writing->jobs, by_job, commit);
    return status;
}

/* ---- commit ------------------------------------------------------------- */

static size_t count_beaten(const struct ingot_commit *commit)
{
    size_t beaten = 0;
    for (size_t i = 0; i < commit->event_count; i++)
        beaten += commit->events[i].verdict == INGOT_MISMATCH;
    for (size_t i = 0; i < commit->transition_count; i++)
        beaten += commit->transitions[i].verdict == INGOT_LOST;
    for (size_t i = 0; i < commit->job_count; i++)
        beaten += commit->jobs[i].verdict == INGOT_LOST || commit->jobs[i].verdict == INGOT_REFUSED;
    return beaten;
}

/* Whether there is something to decide between the rows and their COMMIT. */
static int needs_begin(const struct ingot_commit *commit)
{
    return commit->job_count || commit->rule == INGOT_COMMIT_WHOLE;
}

/* The most of them: BEGIN, the settings, events, transitions, retirements. */
#define STATEMENTS_MAX (5 + ALIKE_MAX)

/* The statements of a pipeline, and what becomes of the parameters of each. */
struct pipeline {
    struct postgres_statement statements[STATEMENTS_MAX];
    size_t count;
    struct postgres_parameters parameters[STATEMENTS_MAX];
};

static struct postgres_parameters *add_statement(struct pipeline *pipeline, const char *sql)
{
    struct postgres_parameters *parameters = &pipeline->parameters[pipeline->count];
    pipeline->statements[pipeline->count++] = (struct postgres_statement){sql, parameters, NULL};
    return parameters;
}

static void pipeline_fini(struct pipeline *pipeline)
{
    postgres_clear(pipeline->statements, pipeline->count);
    for (size_t i = 0; i < pipeline->count; i++)
        postgres_parameters_fini(&pipeline->parameters[i]);
}

static enum ingot_status add_transitions(struct pipeline *pipeline, struct writing *writing,
                                         struct ingot_error *err)
{
    struct ingot_commit *commit = writing->commit;
    const size_t count = commit->transition_count;
    if (!has_chains(commit) && !make_parcels(writing))
        return postgres_no_memory(err);
    for (size_t i = 0; i < writing->parcel_count; i++) {
        struct parcel *parcel = &writing->parcels[i];
        parcel->statement = pipeline->count;
        if (parcel->like)
            fill_alike(add_statement(pipeline, sql_insert_alike), commit, parcel);
        else
            fill_transitions(add_statement(pipeline, parcel->count == 1 ? sql_insert_transition
                                                                        : sql_insert_transitions),
                             commit, parcel->rows, parcel->count, NULL);
    }
    if (writing->parcel_count)
        return INGOT_OK;
    size_t *ordinals = ingot_page_alloc(writing->page, count * sizeof *ordinals);
    if (!ordinals)
        return postgres_no_memory(err);
    for (size_t i = 0; i < count; i++)
        ordinals[writing->transitions[i]] = i + 1;
    fill_transitions(add_statement(pipeline, sql_add_chains), commit, writing->transitions, count,
                     ordinals);
    return INGOT_OK;
}

/* Events and transitions on their way, and all the rest too if that ends the commit. */
struct postgres_flight {
    struct writing writing;
    struct pipeline pipeline;
    size_t durable, events, transitions; /* places of statements */
    int answered;                        /* with this status */
    enum ingot_status status;
    struct ingot_error error;
    struct postgres_flight *next; /* younger */
};

static void flight_destroy(struct postgres_flight *flight)
{
    if (!flight)
        return;
    pipeline_fini(&flight->pipeline);
    ingot_page_destroy(flight->writing.page);
    free(flight);
}

static enum postgres_effect effect_of(const struct ingot_commit *commit)
{
    return needs_begin(commit) ? POSTGRES_READS : POSTGRES_COMMITS;
}

/* Fills in the statements of a commit that has been ordered. */
static enum ingot_status compose(struct postgres_flight *flight, struct ingot_error *err)
{
    struct writing *writing = &flight->writing;
    struct pipeline *pipeline = &flight->pipeline;
    struct ingot_commit *commit = writing->commit;
    if (needs_begin(commit))
        add_statement(pipeline, sql_begin_writing);
    flight->durable = pipeline->count;
    add_statement(pipeline, sql_durable);
    flight->events = pipeline->count;
    if (commit->event_count)
        fill_events(add_statement(pipeline,
                                  commit->event_count == 1 ? sql_insert_event : sql_insert_events),
                    writing);
    flight->transitions = pipeline->count;
    if (commit->transition_count && add_transitions(pipeline, writing, err))
        return INGOT_NOMEM;
    if (commit->retirement_count && !needs_begin(commit))
        fill_retirements(add_statement(pipeline, sql_add_retirements), commit);
    return INGOT_OK;
}

static void forget_verdicts(struct ingot_commit *commit)
{
    commit->position = 0;
    for (size_t i = 0; i < commit->event_count; i++)
        commit->events[i].verdict = INGOT_PENDING;
    for (size_t i = 0; i < commit->transition_count; i++)
        commit->transitions[i].verdict = INGOT_PENDING;
    for (size_t i = 0; i < commit->job_count; i++)
        commit->jobs[i].verdict = INGOT_PENDING;
}

/* Orders a commit's rows and sends them. */
static enum ingot_status launch(struct postgres_store *store, struct ingot_commit *commit,
                                struct postgres_flight **ret_flight, struct ingot_error *err)
{
    struct postgres_flight *flight = calloc(1, sizeof *flight);
    if (!flight)
        return postgres_no_memory(err);
    struct writing *writing = &flight->writing;
    enum ingot_status status = INGOT_OK;
    writing->store = store;
    writing->commit = commit;
    writing->page = ingot_page_create();
    forget_verdicts(commit);
    if (writing->page) {
        writing->events = make_order(writing, commit->event_count, by_event);
        writing->transitions = make_order(writing, commit->transition_count, by_transition);
    }
    if (!writing->events || !writing->transitions)
        status = postgres_no_memory(err);
    if (!status)
        status = compose(flight, err);
    if (!status)
        status = postgres_send(store, flight->pipeline.statements, flight->pipeline.count,
                               effect_of(commit), err, "could not write");
    if (status)
        flight_destroy(flight);
    else
        *ret_flight = flight;
    return status;
}

/* Waits for the answers, and takes the verdicts that the server gave. */
static enum ingot_status land(struct postgres_flight *flight, struct ingot_error *err)
{
    struct writing *writing = &flight->writing;
    struct ingot_commit *commit = writing->commit;
    const struct postgres_statement *statements = flight->pipeline.statements;
    enum ingot_status status =
        postgres_receive(writing->store, flight->pipeline.statements, flight->pipeline.count,
                         effect_of(commit), err, "could not write");
    if (status)
        return status;
    commit->position = (uint64_t)postgres_get_int(statements[flight->durable].result, 0, 1);
    if (commit->event_count)
        take_events(writing, statements[flight->events].result);
    if (commit->transition_count && has_chains(commit))
        take_chains(writing, statements[flight->transitions].result);
    for (size_t i = 0; i < writing->parcel_count; i++)
        take_transitions(writing, &writing->parcels[i],
                         statements[writing->parcels[i].statement].result);
    return INGOT_OK;
}

/* Writes the added jobs and retirements of a transaction that is open, and commits it. */
static enum ingot_status finish(struct writing *writing, struct ingot_error *err)
{
    struct pipeline pipeline = {0};
    if (writing->job_count)
        fill_jobs(add_statement(&pipeline, sql_add_jobs), writing);
    if (writing->commit->retirement_count)
        fill_retirements(add_statement(&pipeline, sql_add_retirements), writing->commit);
    add_statement(&pipeline, sql_commit);
    enum ingot_status status = postgres_run(writing->store, pipeline.statements, pipeline.count,
                                            POSTGRES_COMMITS, err, "could not write");
    pipeline_fini(&pipeline);
    return status;
}

/* A commit whose rows depend on what came of others: decided before COMMIT. */
static enum ingot_status decide(struct writing *writing, struct ingot_error *err)
{
    struct ingot_commit *commit = writing->commit;
    enum ingot_status status = settle(writing, err);
    if (!status && commit->job_count)
        status = judge_jobs(writing, err);
    const size_t beaten = status ? 0 : count_beaten(commit);
    if (beaten && commit->rule == INGOT_COMMIT_WHOLE)
        status =
            ingot_error_set(err, INGOT_CONFLICT, "store/postgres: %zu rows were beaten", beaten);
    if (!status)
        status = finish(writing, err);
    postgres_rollback(writing->store);
    return status;
}

/* After the rows are stored: what came of those that the server did not take. */
static enum ingot_status settle_stored(const struct writing *writing, struct ingot_error *err)
{
    if (!settle(writing, err))
        return INGOT_OK;
    return ingot_error_set(err, INGOT_UNKNOWN,
                           "store/postgres: a commit was stored, but not what came of its rows "
                           "could be read; send it again");
}

static enum ingot_status try_commit(struct postgres_store *store, struct ingot_commit *commit,
                                    struct ingot_error *err)
{
    struct postgres_flight *flight = NULL;
    enum ingot_status status = launch(store, commit, &flight, err);
    if (!status)
        status = land(flight, err);
    if (!needs_begin(commit))
        status = status ? status : settle_stored(&flight->writing, err);
    else if (!status)
        status = decide(&flight->writing, err);
    else
        postgres_rollback(store);
    flight_destroy(flight);
    return status;
}

/* Whether others took a number, an id or a slot that was free when it was looked for. */
static int is_taken(const struct ingot_error *err)
{
    return strcmp(err->sqlstate, "23505") == 0;
}

enum ingot_status postgres_commit(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_commit *commit, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct ingot_error why;
    if (store->mode == INGOT_MODE_READ)
        return ingot_error_set(err, INGOT_DENIED,
                               "store/postgres: the store is open for reading only");
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (status)
        return status;
    for (int i = 0; i < TRIES_MAX; i++) {
        ingot_error_clear(&why);
        status = try_commit(store, commit, &why);
        if (!status || !commit->job_count || !is_taken(&why) || status == INGOT_UNKNOWN)
            break;
        status = INGOT_RETRY;
    }
    if (status && err)
        *err = why;
    return status;
}

/* ---- in two halves ------------------------------------------------------- */

/* Takes the answer to a commit, unless that was done before. */
static void hear(struct postgres_flight *flight)
{
    if (flight->answered)
        return;
    flight->status = land(flight, &flight->error);
    flight->answered = 1;
}

/* Whether the server did not take an event: then what it has instead is to be read. */
static int has_open_events(const struct ingot_commit *commit)
{
    for (size_t i = 0; i < commit->event_count; i++)
        if (commit->events[i].verdict == INGOT_PENDING)
            return 1;
    return 0;
}

enum ingot_status postgres_send_commit(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    if (needs_begin(commit) || store->mode == INGOT_MODE_READ)
        return INGOT_UNSUPPORTED;
    struct postgres_flight **last = &store->flights;
    size_t count = 0;
    for (; *last; last = &(*last)->next)
        count++;
    if (count == INGOT_COMMITS_SENT_MAX)
        return ingot_error_set(err, INGOT_INVALID,
                               "store/postgres: %zu commits were sent and are not finished", count);
    /*
     * pgbouncer gives the server to somebody else when a transaction ends, even if the
     * next one has arrived in part: the rest goes to another (its issue 759).
     */
    if (count && store->is_pooled)
        return INGOT_UNSUPPORTED;
    enum ingot_status status = count ? INGOT_OK : postgres_ready(store, toolkit, err);
    return status ? status : launch(store, commit, last, err);
}

enum ingot_status postgres_finish_commit(void *handle, const struct ingot_toolkit *toolkit,
                                         struct ingot_commit *commit, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_flight *flight = store->flights;
    (void)toolkit;
    if (!flight || flight->writing.commit != commit)
        return ingot_error_set(err, INGOT_INVALID, "store/postgres: no such commit was sent");
    hear(flight);
    enum ingot_status status = flight->status;
    if (status && err)
        *err = flight->error;
    if (!status && has_open_events(commit))
        for (struct postgres_flight *other = flight->next; other; other = other->next)
            hear(other); /* whose answers stand before that of the reading */
    if (!status)
        status = settle_stored(&flight->writing, err);
    store->flights = flight->next;
    flight_destroy(flight);
    return status;
}

void postgres_forget_flights(struct postgres_store *store)
{
    while (store->flights) {
        struct postgres_flight *flight = store->flights;
        store->flights = flight->next;
        flight_destroy(flight);
    }
}

enum ingot_status postgres_publish_routes(void *handle, const struct ingot_toolkit *toolkit,
                                          struct ingot_bytes routes, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    int done = 0;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    for (int i = 0; i < TRIES_MAX && !status && !done; i++) {
        struct pipeline pipeline = {0};
        add_statement(&pipeline, sql_durable);
        postgres_add_text(add_statement(&pipeline, sql_add_routes), routes);
        /* Sent once more the same is no new version, so that nothing is unknown. */
        status = postgres_run(store, pipeline.statements, pipeline.count, POSTGRES_READS, err,
                              "could not write the routes");
        done = !status && postgres_get_int(pipeline.statements[1].result, 0, 0);
        pipeline_fini(&pipeline);
    }
    if (!status && !done)
        status = ingot_error_set(
            err, INGOT_RETRY, "store/postgres: others publish routes at the same time; try again");
    return status;
}
