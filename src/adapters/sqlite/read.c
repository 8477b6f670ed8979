/*
 * Reading. Every read is one short transaction, and so one snapshot. A row
 * that is not what Ingot writes is reported as damage and never trusted.
 */
#include "sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum ingot_status corrupt(struct sqlite_store *store, struct ingot_error *err,
                                 const char *what)
{
    return ingot_error_set(err, INGOT_CORRUPT, "store/sqlite: %s holds %s; see `ingot verify`",
                           store->path, what);
}

/* ---- columns ------------------------------------------------------------ */

static int get_ksuid(sqlite3_stmt *row, int column, ingot_ksuid *ret_id)
{
    memset(ret_id, 0, sizeof *ret_id);
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return 1;
    const void *bytes = sqlite3_column_blob(row, column);
    if (!bytes || sqlite3_column_bytes(row, column) != sizeof ret_id->bytes)
        return 0;
    memcpy(ret_id->bytes, bytes, sizeof ret_id->bytes);
    return 1;
}

struct ingot_bytes sqlite_get_bytes(sqlite3_stmt *row, int column)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return (struct ingot_bytes){NULL, 0};
    /* As a blob, because a text would be copied to get a NUL; empty is NULL there. */
    const void *text = sqlite3_column_blob(row, column);
    return (struct ingot_bytes){text ? text : "", (size_t)sqlite3_column_bytes(row, column)};
}

/* Copies a text, or NULL as absent; 0 when memory ran out. */
static int copy_bytes(sqlite3_stmt *row, int column, struct ingot_page *page,
                      struct ingot_bytes *ret_bytes)
{
    struct ingot_bytes bytes = sqlite_get_bytes(row, column);
    *ret_bytes = ingot_page_copy(page, bytes);
    return !bytes.data || ret_bytes->data;
}

static int64_t get_time(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? INGOT_NO_TIME
                                                           : sqlite3_column_int64(row, column);
}

/* Puts a column in range into an unsigned, or reports that it is not. */
static int get_number(sqlite3_stmt *row, int column, uint32_t max, uint32_t *ret_number)
{
    int64_t number = sqlite3_column_int64(row, column);
    *ret_number = (uint32_t)number;
    return number >= 0 && number <= max;
}

/* The order of columns that "latest", "chain", "transition" and "scan_transitions" share. error is left out. */
static int get_transition(sqlite3_stmt *row, struct ingot_transition *transition)
{
    uint32_t attempt, before, after;
    memset(transition, 0, sizeof *transition);
    int good = get_ksuid(row, 0, &transition->event_id);
    good &= get_number(row, 1, UINT16_MAX, &transition->job);
    good &= get_number(row, 2, UINT16_MAX, &transition->seq);
    good &= get_number(row, 3, UINT16_MAX, &attempt);
    good &= get_number(row, 4, INGOT_STATE_DISCARDED, &before);
    good &= get_number(row, 5, INGOT_STATE_DISCARDED, &after);
    good &= get_ksuid(row, 6, &transition->owner);
    transition->attempt = (uint16_t)attempt;
    transition->state_before = good ? (enum ingot_state)before : INGOT_STATE_NONE;
    transition->state_after = good ? (enum ingot_state)after : INGOT_STATE_NONE;
    transition->due_us = get_time(row, 7);
    transition->created_us = sqlite3_column_int64(row, 9);
    return good;
}

/* ---- events with their jobs --------------------------------------------- */

/* The order of columns that "event", "find", "scan_events" and "new_events" share. */
static enum ingot_status get_event(struct sqlite_store *store, sqlite3_stmt *row,
                                   enum ingot_detail detail, struct ingot_page *page,
                                   struct ingot_event *event, struct ingot_error *err)
{
    memset(event, 0, sizeof *event);
    if (!get_ksuid(row, 0, &event->id))
        return corrupt(store, err, "an event without a proper id");
    if (!copy_bytes(row, 1, page, &event->source) || !copy_bytes(row, 2, page, &event->name) ||
        !copy_bytes(row, 7, page, &event->context) || !copy_bytes(row, 8, page, &event->data))
        return sqlite_no_memory(err);
    event->sent_us = get_time(row, 4);
    event->received_us = sqlite3_column_int64(row, 5);
    event->ingested_us = sqlite3_column_int64(row, 6);
    event->retired_us = get_time(row, 9);
    enum ingot_status status = ingot_jobs_decode(sqlite_get_bytes(row, 3), detail, page,
                                                 &event->jobs, &event->job_count, err);
    if (status)
        return status == INGOT_CORRUPT ? corrupt(store, err, "an event whose jobs cannot be read")
                                       : status;
    for (size_t i = 0; i < event->job_count; i++)
        ingot_job_born(&event->jobs[i], &event->id, (uint32_t)i, event->ingested_us);
    return INGOT_OK;
}

static enum ingot_status get_added_job(struct sqlite_store *store, sqlite3_stmt *row,
                                       const ingot_ksuid *event_id, struct ingot_page *page,
                                       struct ingot_job *job, struct ingot_error *err)
{
    uint32_t number;
    memset(job, 0, sizeof *job);
    if (!get_number(row, 0, UINT16_MAX, &number) || !get_ksuid(row, 1, &job->id) ||
        !get_ksuid(row, 4, &job->parent_job_id))
        return corrupt(store, err, "an added job that cannot be read");
    if (!copy_bytes(row, 2, page, &job->destination) || !copy_bytes(row, 3, page, &job->event) ||
        !copy_bytes(row, 7, page, &job->context) || !copy_bytes(row, 8, page, &job->data))
        return sqlite_no_memory(err);
    job->due_us = get_time(row, 5);
    ingot_job_born(job, event_id, number, sqlite3_column_int64(row, 6));
    return INGOT_OK;
}

enum ingot_status sqlite_read_added_jobs(struct sqlite_store *store, struct ingot_event *event,
                                         enum ingot_detail detail, struct ingot_page *page,
                                         struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_ADDED_JOBS];
    enum ingot_status status = INGOT_OK;
    size_t size = event->job_count;
    int code;
    sqlite_bind_ksuid(row, 1, &event->id);
    sqlite3_bind_int(row, 2, detail != INGOT_DETAIL_ROUTING);
    while (!status && (code = sqlite3_step(row)) == SQLITE_ROW) {
        if (event->job_count == size) {
            size = size * 2 + 4;
            struct ingot_job *grown = ingot_page_alloc(page, size * sizeof *grown);
            if (!grown) {
                status = sqlite_no_memory(err);
                break;
            }
            if (event->job_count)
                memcpy(grown, event->jobs, event->job_count * sizeof *grown);
            event->jobs = grown;
        }
        status = get_added_job(store, row, &event->id, page, &event->jobs[event->job_count], err);
        event->job_count += !status;
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

/* Replaces a job's birth by its newest transition, if it has one. */
static enum ingot_status fill_latest(struct sqlite_store *store, struct ingot_job *job,
                                     enum ingot_detail detail, struct ingot_page *page,
                                     struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_LATEST];
    enum ingot_status status = INGOT_OK;
    sqlite_bind_ksuid(row, 1, &job->event_id);
    sqlite3_bind_int64(row, 2, job->number);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        if (!get_transition(row, &job->latest))
            status = corrupt(store, err, "a transition that cannot be read");
        else if (detail == INGOT_DETAIL_ALL && !copy_bytes(row, 8, page, &job->latest.error))
            status = sqlite_no_memory(err);
        job->latest.job_id = job->id;
    } else if (code != SQLITE_DONE) {
        status = sqlite_failure(store, err, "could not read");
    }
    sqlite3_reset(row);
    sqlite_saw_time(store, job->latest.created_us);
    return status;
}

enum ingot_status sqlite_read_event(struct sqlite_store *store, const ingot_ksuid *event_id,
                                    enum ingot_detail detail, struct ingot_page *page,
                                    struct ingot_event *ret_event, struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_EVENT];
    enum ingot_status status;
    sqlite_bind_ksuid(row, 1, event_id);
    sqlite3_bind_int(row, 2, (int)detail);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW)
        status = get_event(store, row, detail, page, ret_event, err);
    else if (code == SQLITE_DONE)
        status = ingot_error_set(err, INGOT_NOT_FOUND, "store/sqlite: there is no such event");
    else
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

enum ingot_status sqlite_read_begin(struct sqlite_store *store, const struct ingot_toolkit *toolkit,
                                    struct ingot_error *err)
{
    store->toolkit = toolkit;
    if (sqlite_begin(store, S_BEGIN) != SQLITE_OK)
        return sqlite_failure(store, err, "could not read");
    return INGOT_OK;
}

enum ingot_status sqlite_read_end(struct sqlite_store *store, enum ingot_status status)
{
    store->toolkit = NULL;
    if (!sqlite3_get_autocommit(store->db))
        sqlite_run(store, S_COMMIT);
    return status;
}

/* ---- many events at a time ---------------------------------------------- */

/* So many seeks at most without trying a step, after steps that were in vain. */
#define DIRECT_MAX 64u

/* Rows of a job that are passed on the way to its last, and some for the event. */
#define ROWS_A_JOB 4u

/*
 * A statement whose rows ascend by the id in their first column, and that begins
 * at ?1. What is wanted next is often the very next row, and a step costs a tenth
 * of a search; where it is not, the steps are left out more and more.
 */
struct climb {
    struct sqlite_store *store;
    sqlite3_stmt *row;
    int code;        /* of the last step; SQLITE_OK: there was none */
    unsigned vain;   /* the steps in vain, one after the other, doubled each time */
    unsigned direct; /* so many seeks are left until a step is tried again */
};

static void begin_climb(struct climb *climb, struct sqlite_store *store, enum statement which)
{
    *climb = (struct climb){.store = store, .row = store->statements[which], .code = SQLITE_OK};
}

/* The order of the row and an id; an id that is none of ours stands where its bytes do. */
static int compare_row(const struct climb *climb, const ingot_ksuid *id)
{
    const void *bytes = sqlite3_column_blob(climb->row, 0);
    const size_t len = (size_t)sqlite3_column_bytes(climb->row, 0);
    const int order = bytes ? memcmp(bytes, id->bytes, len < 20 ? len : 20) : -1;
    return order ? order : (len > 20) - (len < 20);
}

/* Goes to the first row of that id or behind it; SQLITE_ROW, SQLITE_DONE if there is none. */
static int climb_to(struct climb *climb, const ingot_ksuid *id)
{
    if (climb->code == SQLITE_DONE)
        return SQLITE_DONE;
    if (climb->code == SQLITE_ROW && compare_row(climb, id) >= 0)
        return SQLITE_ROW;
    if (climb->code == SQLITE_ROW && climb->direct == 0) {
        climb->code = sqlite3_step(climb->row);
        if (climb->code != SQLITE_ROW)
            return climb->code;
        if (compare_row(climb, id) >= 0) {
            climb->vain = 0;
            return SQLITE_ROW;
        }
        climb->vain = climb->vain < DIRECT_MAX / 2 ? climb->vain * 2 + 1 : DIRECT_MAX;
        climb->direct = climb->vain;
    }
    climb->direct -= climb->direct > 0;
    sqlite3_reset(climb->row);
    sqlite_bind_ksuid(climb->row, 1, id);
    climb->code = sqlite3_step(climb->row);
    return climb->code;
}

/* Whether the last step was no failure. */
static enum ingot_status climb_status(const struct climb *climb, struct ingot_error *err)
{
    if (climb->code == SQLITE_ROW || climb->code == SQLITE_DONE)
        return INGOT_OK;
    return sqlite_failure(climb->store, err, "could not read");
}

/* The job of that number, or NULL. */
static struct ingot_job *job_of(const struct ingot_event *event, uint32_t number)
{
    if (number < event->job_count && event->jobs[number].number == number)
        return &event->jobs[number];
    for (size_t i = 0; i < event->job_count; i++)
        if (event->jobs[i].number == number)
            return &event->jobs[i];
    return NULL;
}

/* Takes the row of a transition, which the next one of its job will replace. */
static enum ingot_status take_latest(struct climb *climb, const struct ingot_event *event,
                                     enum ingot_detail detail, struct ingot_page *page,
                                     struct ingot_error *err)
{
    struct ingot_transition transition;
    if (!get_transition(climb->row, &transition))
        return corrupt(climb->store, err, "a transition that cannot be read");
    struct ingot_job *job = job_of(event, transition.job);
    if (!job)
        return INGOT_OK;
    if (detail == INGOT_DETAIL_ALL && !copy_bytes(climb->row, 8, page, &transition.error))
        return sqlite_no_memory(err);
    transition.job_id = job->id;
    job->latest = transition;
    sqlite_saw_time(climb->store, transition.created_us);
    return INGOT_OK;
}

/* Fills the newest transitions of all jobs of an event. */
static enum ingot_status fill_all_latest(struct climb *climb, struct ingot_event *event,
                                         enum ingot_detail detail, struct ingot_page *page,
                                         struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    size_t left = ROWS_A_JOB * (event->job_count + 1);
    climb_to(climb, &event->id);
    for (; left > 0 && !status; left--) {
        if (climb->code != SQLITE_ROW || compare_row(climb, &event->id) != 0)
            return climb_status(climb, err);
        status = take_latest(climb, event, detail, page, err);
        climb->code = sqlite3_step(climb->row);
    }
    /* Long chains are not gone through, but looked at from behind. */
    for (size_t i = 0; i < event->job_count && !status; i++)
        status = fill_latest(climb->store, &event->jobs[i], detail, page, err);
    return status;
}

/* Whether any event from first to last has jobs that were added later: few do. */
static enum ingot_status have_added_jobs(struct sqlite_store *store, const ingot_ksuid *first,
                                         const ingot_ksuid *last, int *ret_have,
                                         struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_HAS_ADDED_JOBS];
    enum ingot_status status = INGOT_OK;
    sqlite_bind_ksuid(row, 1, first);
    sqlite_bind_ksuid(row, 2, last);
    if (sqlite3_step(row) == SQLITE_ROW)
        *ret_have = sqlite3_column_int(row, 0);
    else
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

/* Reads one event if it is there, and counts it. */
static enum ingot_status climb_event(struct climb *events, struct climb *transitions,
                                     const ingot_ksuid *id, enum ingot_detail detail,
                                     int have_added, struct ingot_page *page,
                                     struct ingot_error *err)
{
    struct sqlite_store *store = events->store;
    struct ingot_event *event = &page->events[page->event_count];
    if (climb_to(events, id) != SQLITE_ROW)
        return climb_status(events, err);
    if (compare_row(events, id) != 0)
        return INGOT_OK;
    enum ingot_status status = get_event(store, events->row, detail, page, event, err);
    if (!status && have_added)
        status = sqlite_read_added_jobs(store, event, detail, page, err);
    if (!status && detail != INGOT_DETAIL_DELIVERY)
        status = fill_all_latest(transitions, event, detail, page, err);
    page->event_count++;
    page->job_count += event->job_count;
    return status;
}

enum ingot_status sqlite_events(void *handle, const struct ingot_toolkit *toolkit,
                                const ingot_ksuid *event_ids, size_t event_count,
                                enum ingot_detail detail, struct ingot_page *page,
                                struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    struct climb events, transitions;
    int have_added = 0;
    page->events = ingot_page_alloc(page, event_count * sizeof *page->events);
    if (!page->events)
        return sqlite_no_memory(err);
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    begin_climb(&events, store, S_EVENTS_FROM);
    begin_climb(&transitions, store, S_TRANSITIONS_FROM);
    sqlite3_bind_int(events.row, 2, (int)detail);
    if (event_count)
        status =
            have_added_jobs(store, &event_ids[0], &event_ids[event_count - 1], &have_added, err);
    for (size_t i = 0; i < event_count && !status; i++)
        status = climb_event(&events, &transitions, &event_ids[i], detail, have_added, page, err);
    sqlite3_reset(events.row);
    sqlite3_reset(transitions.row);
    return sqlite_read_end(store, status);
}

/* ---- find --------------------------------------------------------------- */

/* Keeps of an event the jobs behind the cursor that match; says whether the page is full. */
static enum ingot_status match_jobs(struct sqlite_store *store, struct ingot_event *event,
                                    const struct ingot_where *where, struct ingot_page *page,
                                    struct ingot_page *scratch, size_t *examined,
                                    struct ingot_error *err)
{
    size_t kept = 0, first = 0;
    enum ingot_status status = INGOT_OK;
    if (ingot_ksuid_compare(&event->id, &where->after.event_id) == 0)
        first = (size_t)where->after.job + 1;
    if (event->job_count == 0) {
        (*examined)++; /* or a page could go on for ever without a job */
        page->next = (struct ingot_cursor){event->id, INGOT_CURSOR_BEHIND_JOBS};
    }
    for (size_t i = first; i < event->job_count; i++) {
        if (page->job_count == where->limit || *examined == INGOT_FIND_EXAMINED_MAX) {
            page->more = 1;
            break;
        }
        status = fill_latest(store, &event->jobs[i], INGOT_DETAIL_ROUTING, scratch, err);
        if (status)
            break;
        (*examined)++;
        page->next = (struct ingot_cursor){event->id, event->jobs[i].number};
        if (ingot_where_matches(where, &event->jobs[i])) {
            event->jobs[kept++] = event->jobs[i];
            page->job_count++;
        }
    }
    event->job_count = kept;
    return status;
}

/* Reads an event that a statement has found, as far as detail goes. */
static enum ingot_status read_found(struct sqlite_store *store, sqlite3_stmt *row,
                                    enum ingot_detail detail, struct ingot_page *page,
                                    struct ingot_event *event, struct ingot_error *err)
{
    ingot_ksuid id;
    enum ingot_status status;
    if (detail == INGOT_DETAIL_ALL && get_ksuid(row, 0, &id))
        status = sqlite_read_event(store, &id, detail, page, event, err);
    else
        status = get_event(store, row, INGOT_DETAIL_ROUTING, page, event, err);
    if (!status)
        status = sqlite_read_added_jobs(store, event, detail, page, err);
    return status;
}

/* Puts the jobs of an event that matched into the page; only now are payloads read. */
static enum ingot_status keep(struct sqlite_store *store, sqlite3_stmt *row,
                              const struct ingot_event *matched, enum ingot_detail detail,
                              struct ingot_page *page, struct ingot_error *err)
{
    struct ingot_event *event = &page->events[page->event_count];
    enum ingot_status status = read_found(store, row, detail, page, event, err);
    size_t kept = 0;
    for (size_t i = 0; i < event->job_count && kept < matched->job_count && !status; i++) {
        if (event->jobs[i].number != matched->jobs[kept].number)
            continue;
        event->jobs[kept] = event->jobs[i];
        status = fill_latest(store, &event->jobs[kept++], detail, page, err);
    }
    event->job_count = kept;
    page->event_count++;
    return status;
}

static enum ingot_status find_in(struct sqlite_store *store, sqlite3_stmt *row,
                                 const struct ingot_where *where, struct ingot_page *page,
                                 size_t *examined, struct ingot_error *err)
{
    struct ingot_page *scratch = ingot_page_create();
    struct ingot_event event;
    if (!scratch)
        return sqlite_no_memory(err);
    enum ingot_status status = read_found(store, row, INGOT_DETAIL_ROUTING, scratch, &event, err);
    if (!status)
        status = match_jobs(store, &event, where, page, scratch, examined, err);
    if (!status && event.job_count)
        status = keep(store, row, &event, where->detail, page, err);
    ingot_page_destroy(scratch);
    return status;
}

static enum ingot_status find_rows(struct sqlite_store *store, sqlite3_stmt *row,
                                   const struct ingot_where *where, struct ingot_page *page,
                                   struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    size_t examined = 0;
    int code = SQLITE_DONE;
    while (!status && !page->more && (code = sqlite3_step(row)) == SQLITE_ROW) {
        if (examined == INGOT_FIND_EXAMINED_MAX)
            page->more = 1;
        else
            status = find_in(store, row, where, page, &examined, err);
    }
    if (!status && code != SQLITE_ROW && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read");
    return status;
}

enum ingot_status sqlite_find(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_where *where, struct ingot_page *page,
                              struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    const unsigned discarded = INGOT_STATE_BIT(INGOT_STATE_DISCARDED);
    sqlite3_stmt *row =
        store->statements[where->status_in == discarded ? S_FIND_DISCARDED : S_FIND];
    page->events = ingot_page_alloc(page, where->limit * sizeof *page->events);
    if (!page->events)
        return sqlite_no_memory(err);
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    /* All zero is the beginning: bound as a blob, not as the NULL of "none". */
    sqlite3_bind_blob(row, 1, where->after.event_id.bytes, sizeof where->after.event_id.bytes,
                      SQLITE_STATIC);
    status = find_rows(store, row, where, page, err);
    sqlite3_reset(row);
    return sqlite_read_end(store, status);
}

enum ingot_status sqlite_history(void *handle, const struct ingot_toolkit *toolkit,
                                 const ingot_ksuid *event_id, uint32_t job, struct ingot_page *page,
                                 struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    sqlite3_stmt *row = store->statements[S_CHAIN];
    size_t size = 0;
    int code;
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    sqlite_bind_ksuid(row, 1, event_id);
    sqlite3_bind_int64(row, 2, job);
    while (!status && (code = sqlite3_step(row)) == SQLITE_ROW) {
        if (page->transition_count == size) {
            size = size ? size * 2 : 8;
            struct ingot_transition *grown = ingot_page_alloc(page, size * sizeof *grown);
            if (!grown) {
                status = sqlite_no_memory(err);
                break;
            }
            if (page->transition_count)
                memcpy(grown, page->transitions, page->transition_count * sizeof *grown);
            page->transitions = grown;
        }
        struct ingot_transition *transition = &page->transitions[page->transition_count++];
        if (!get_transition(row, transition))
            status = corrupt(store, err, "a transition that cannot be read");
        else if (!copy_bytes(row, 8, page, &transition->error))
            status = sqlite_no_memory(err);
        sqlite_saw_time(store, transition->created_us);
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return sqlite_read_end(store, status);
}

enum ingot_status sqlite_has_transition(struct sqlite_store *store,
                                        const struct ingot_transition *given, int *ret_has,
                                        struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_TRANSITION];
    struct ingot_transition stored;
    enum ingot_status status = INGOT_OK;
    sqlite_bind_ksuid(row, 1, &given->event_id);
    sqlite3_bind_int64(row, 2, given->job);
    sqlite3_bind_int64(row, 3, given->seq);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        int good = get_transition(row, &stored);
        stored.error = sqlite_get_bytes(row, 8);
        *ret_has = good && ingot_transition_same(&stored, given);
    } else if (code == SQLITE_DONE) {
        *ret_has = 0;
    } else {
        status = sqlite_failure(store, err, "could not read");
    }
    sqlite3_reset(row);
    return status;
}

/* ---- following ---------------------------------------------------------- */

/* Who follows, and from where. */
struct follower {
    int (*sighted)(void *context, const struct ingot_sighting *);
    void *context;
    int64_t after; /* the newest n that was seen */
};

static void format_cursor(uint64_t life, int64_t n, char text[48])
{
    snprintf(text, 48, "1:%016llx:%lld", (unsigned long long)life, (long long)n);
}

/* The n of a cursor of this life; one beyond the newest comes from a file that this one was a copy of. */
static enum ingot_status parse_cursor(struct sqlite_store *store, struct ingot_bytes cursor,
                                      uint64_t life, int64_t newest, int64_t *ret_n,
                                      struct ingot_error *err)
{
    char text[48];
    size_t len = cursor.len < sizeof text ? cursor.len : sizeof text - 1;
    memcpy(text, cursor.data, len);
    text[len] = '\0';
    const char *colon = strrchr(text, ':');
    int64_t n = colon ? strtoll(colon + 1, NULL, 10) : -1;
    format_cursor(life, n, text);
    if (n < 0 || n > newest || !ingot_bytes_equal(cursor, ingot_bytes_of(text)))
        return ingot_error_set(err, INGOT_INVALID,
                               "store/sqlite: the cursor is not one of %s as it is now; begin anew",
                               store->path);
    *ret_n = n;
    return INGOT_OK;
}

static enum ingot_status read_one(struct sqlite_store *store, enum statement which,
                                  int64_t *ret_value, struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[which];
    enum ingot_status status = INGOT_OK;
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(row, 0);
    else if (code == SQLITE_DONE)
        status = corrupt(store, err, "no life");
    else
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

static enum ingot_status get_sighting(struct sqlite_store *store, sqlite3_stmt *row,
                                      struct ingot_page *scratch, struct ingot_sighting *sighting,
                                      struct ingot_error *err)
{
    struct ingot_event event;
    struct ingot_job *job;
    enum ingot_status status;
    switch (sighting->kind) {
    case INGOT_SIGHTED_EVENT:
        status = get_event(store, row, INGOT_DETAIL_ROUTING, scratch, &event, err);
        sighting->position = (uint64_t)sqlite3_column_int64(row, 10);
        sighting->event_id = event.id;
        sighting->jobs = event.jobs;
        sighting->job_count = event.job_count;
        return status;
    case INGOT_SIGHTED_JOB:
        job = ingot_page_alloc(scratch, sizeof *job);
        if (!job)
            return sqlite_no_memory(err);
        if (!get_ksuid(row, 9, &sighting->event_id))
            return corrupt(store, err, "an added job that cannot be read");
        sighting->position = (uint64_t)sqlite3_column_int64(row, 10);
        sighting->jobs = job;
        sighting->job_count = 1;
        return get_added_job(store, row, &sighting->event_id, scratch, job, err);
    case INGOT_SIGHTED_NOTICE:
        sighting->position = (uint64_t)sqlite3_column_int64(row, 2);
        if (!get_ksuid(row, 0, &sighting->event_id) ||
            !get_number(row, 1, UINT16_MAX, &sighting->job))
            return corrupt(store, err, "a notice that cannot be read");
    }
    return INGOT_OK;
}

/* Shows what one of the tables has behind the cursor. */
static enum ingot_status show_new(struct sqlite_store *store, enum statement which,
                                  enum ingot_sighted kind, const struct follower *follower,
                                  struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[which];
    enum ingot_status status = INGOT_OK;
    int code;
    sqlite3_bind_int64(row, 1, follower->after);
    while (!status && (code = sqlite3_step(row)) == SQLITE_ROW) {
        struct ingot_sighting sighting = {.kind = kind};
        struct ingot_page *scratch = ingot_page_create();
        status =
            scratch ? get_sighting(store, row, scratch, &sighting, err) : sqlite_no_memory(err);
        if (!status && follower->sighted(follower->context, &sighting))
            status = ingot_error_set(err, INGOT_CLOSED, "store/sqlite: stopped on request");
        ingot_page_destroy(scratch);
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

/* Shows everything behind a cursor, and gives the one for the next call; in a transaction. */
static enum ingot_status follow(struct sqlite_store *store, struct ingot_bytes cursor,
                                struct follower *follower, struct ingot_page *page,
                                struct ingot_followed *ret_followed, struct ingot_error *err)
{
    int64_t life = 0, newest = 0;
    char text[48];
    enum ingot_status status = read_one(store, S_LIFE, &life, err);
    if (!status)
        status = read_one(store, S_LAST_N, &newest, err);
    if (!status && cursor.data)
        status = parse_cursor(store, cursor, (uint64_t)life, newest, &follower->after, err);
    if (!status && cursor.data)
        status = show_new(store, S_NEW_EVENTS, INGOT_SIGHTED_EVENT, follower, err);
    if (!status && cursor.data)
        status = show_new(store, S_NEW_JOBS, INGOT_SIGHTED_JOB, follower, err);
    if (!status && cursor.data)
        status = show_new(store, S_NEW_NOTICES, INGOT_SIGHTED_NOTICE, follower, err);
    if (status)
        return status;
    format_cursor((uint64_t)life, newest, text);
    struct ingot_bytes next = ingot_page_copy(page, ingot_bytes_of(text));
    if (!next.data)
        return sqlite_no_memory(err);
    *ret_followed = (struct ingot_followed){next, (uint64_t)newest + 1, (uint64_t)life};
    return INGOT_OK;
}

enum ingot_status sqlite_follow(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_following *from,
                                int (*sighted)(void *context, const struct ingot_sighting *),
                                void *context, struct ingot_page *page,
                                struct ingot_followed *ret_followed, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    struct follower follower = {sighted, context, 0};
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    return sqlite_read_end(store, follow(store, from->cursor, &follower, page, ret_followed, err));
}

/* ---- counts, routes ----------------------------------------------------- */

static enum ingot_status read_totals(struct sqlite_store *store, struct ingot_counts *counts,
                                     struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_TOTALS];
    enum ingot_status status = INGOT_OK;
    if (sqlite3_step(row) == SQLITE_ROW) {
        counts->events = (uint64_t)sqlite3_column_int64(row, 0);
        counts->transitions = (uint64_t)sqlite3_column_int64(row, 1);
    } else {
        status = sqlite_failure(store, err, "could not count");
    }
    sqlite3_reset(row);
    return status;
}

enum ingot_status sqlite_counts(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_counts *counts,
                                struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    sqlite3_stmt *row = store->statements[S_COUNTS];
    struct ingot_destination_counts *of = NULL;
    size_t size = 0;
    int code;
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    status = read_totals(store, counts, err);
    while (!status && (code = sqlite3_step(row)) == SQLITE_ROW) {
        if (!of || !ingot_bytes_equal(of->destination, sqlite_get_bytes(row, 0))) {
            if (counts->destination_count == size) {
                size = size ? size * 2 : 8;
                struct ingot_destination_counts *grown =
                    ingot_page_alloc(page, size * sizeof *grown);
                if (!grown) {
                    status = sqlite_no_memory(err);
                    break;
                }
                if (counts->destination_count)
                    memcpy(grown, counts->destinations, counts->destination_count * sizeof *grown);
                counts->destinations = grown;
            }
            of = &counts->destinations[counts->destination_count];
            if (!copy_bytes(row, 0, page, &of->destination)) {
                status = sqlite_no_memory(err);
                break;
            }
            counts->destination_count++;
        }
        int state = sqlite3_column_int(row, 1);
        if (state > INGOT_STATE_NONE && state <= INGOT_STATE_DISCARDED)
            of->jobs[state] = (uint64_t)sqlite3_column_int64(row, 2);
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not count");
    sqlite3_reset(row);
    return sqlite_read_end(store, status);
}

enum ingot_status sqlite_routes(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_bytes *ret_routes,
                                struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    sqlite3_stmt *row = store->statements[S_NEWEST_ROUTES];
    enum ingot_status status = INGOT_OK;
    store->toolkit = toolkit;
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW)
        status = copy_bytes(row, 1, page, ret_routes) ? INGOT_OK : sqlite_no_memory(err);
    else if (code == SQLITE_DONE)
        status = ingot_error_set(err, INGOT_NOT_FOUND,
                                 "store/sqlite: no routes were published in %s", store->path);
    else
        status = sqlite_failure(store, err, "could not read the routes of");
    sqlite3_reset(row);
    return sqlite_read_end(store, status);
}

/* ---- scan --------------------------------------------------------------- */

/* Shows one event with its jobs; what cannot be read is shown as damage. */
static enum ingot_status show_event(struct sqlite_store *store, sqlite3_stmt *row,
                                    const struct ingot_visitor *visitor, int *stop,
                                    struct ingot_error *err)
{
    struct ingot_page *page = ingot_page_create();
    struct ingot_event event;
    struct ingot_error damage = {0};
    if (!page)
        return sqlite_no_memory(err);
    enum ingot_status status = get_event(store, row, INGOT_DETAIL_ALL, page, &event, &damage);
    if (!status)
        status = sqlite_read_added_jobs(store, &event, INGOT_DETAIL_ALL, page, &damage);
    if (!status) {
        *stop = visitor->event(visitor->context, &event);
    } else if (status == INGOT_CORRUPT) {
        *stop = visitor->damage(visitor->context, &event.id, damage.message);
        status = INGOT_OK;
    } else if (err) {
        *err = damage;
    }
    ingot_page_destroy(page);
    return status;
}

static enum ingot_status merge(struct sqlite_store *store, const struct ingot_visitor *visitor,
                               struct ingot_error *err)
{
    sqlite3_stmt *events = store->statements[S_SCAN_EVENTS];
    sqlite3_stmt *transitions = store->statements[S_SCAN_TRANSITIONS];
    enum ingot_status status = INGOT_OK;
    int stop = 0;
    int event_code = sqlite3_step(events), code = sqlite3_step(transitions);
    while (!status && !stop && (event_code == SQLITE_ROW || code == SQLITE_ROW)) {
        struct ingot_transition transition;
        ingot_ksuid id;
        int good = code == SQLITE_ROW ? get_transition(transitions, &transition) : 1;
        if (code == SQLITE_ROW)
            transition.error = sqlite_get_bytes(transitions, 8);
        if (event_code == SQLITE_ROW)
            get_ksuid(events, 0, &id);
        if (event_code == SQLITE_ROW &&
            (code != SQLITE_ROW || ingot_ksuid_compare(&id, &transition.event_id) <= 0)) {
            status = show_event(store, events, visitor, &stop, err);
            event_code = sqlite3_step(events);
            continue;
        }
        stop = good ? visitor->transition(visitor->context, &transition)
                    : visitor->damage(visitor->context, &transition.event_id,
                                      "a transition cannot be read");
        code = sqlite3_step(transitions);
    }
    if (!status && !stop && (event_code != SQLITE_DONE || code != SQLITE_DONE))
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(events);
    sqlite3_reset(transitions);
    return status;
}

enum ingot_status sqlite_scan(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_visitor *visitor, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    return sqlite_read_end(store, merge(store, visitor, err));
}
