/*
 * Reading. What takes several statements is one read-only transaction, and so
 * one snapshot, but for events that are asked for by their ids. A row that is not
 * what Ingot writes is reported as damage and never trusted.
 */
#include "postgres.h"
#include "postgres_sql.h"

#include <stdlib.h>
#include <string.h>

/* Events in one step of find. */
#define FIND_EVENTS_MAX 4000

/* Events of one statement, where more are asked for: while these are taken, the server finds the next. */
#define PART_EVENTS 1000

enum ingot_status postgres_corrupt(struct ingot_error *err, const char *what)
{
    return ingot_error_set(err, INGOT_CORRUPT, "store/postgres: it holds %s; see `ingot verify`",
                           what);
}

enum ingot_status postgres_begin_reading(struct postgres_store *store,
                                         const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err)
{
    struct postgres_statement statements[] = {{sql_begin_reading, NULL, NULL},
                                              {sql_plan_plainly, NULL, NULL}};
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_run(store, statements, 2, POSTGRES_READS, err, "could not read");
    postgres_clear(statements, 2);
    return status;
}

/* Ends the transaction that status speaks of; nothing is lost if that fails. */
static enum ingot_status end(struct postgres_store *store, enum ingot_status status)
{
    postgres_rollback(store);
    return status;
}

/* ---- columns ------------------------------------------------------------ */

/* Copies a text, or NULL as absent; 0 when memory ran out. */
static int copy_bytes(const PGresult *result, int row, int column, struct ingot_page *page,
                      struct ingot_bytes *ret_bytes)
{
    struct ingot_bytes bytes = postgres_get_bytes(result, row, column);
    *ret_bytes = ingot_page_copy(page, bytes);
    return !bytes.data || ret_bytes->data;
}

/* Whether a column holds an id, or NULL if that is allowed. */
static int is_ksuid(const PGresult *result, int row, int column)
{
    return PQgetlength(result, row, column) == sizeof(ingot_ksuid);
}

static int is_ksuid_or_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) || is_ksuid(result, row, column);
}

int postgres_get_number(const PGresult *result, int row, int column, uint32_t max,
                        uint32_t *ret_number)
{
    int64_t number = postgres_get_int(result, row, column);
    *ret_number = (uint32_t)number;
    return number >= 0 && number <= max;
}

/* What follows the key in every transition, from a column on. error points into the result. */
static int get_step(const PGresult *result, int row, int column,
                    struct ingot_transition *transition)
{
    uint32_t attempt, before, after;
    int good = postgres_get_number(result, row, column, UINT16_MAX, &transition->seq);
    good &= postgres_get_number(result, row, column + 1, UINT16_MAX, &attempt);
    good &= postgres_get_number(result, row, column + 2, INGOT_STATE_DISCARDED, &before);
    good &= postgres_get_number(result, row, column + 3, INGOT_STATE_DISCARDED, &after);
    good &= is_ksuid_or_null(result, row, column + 4);
    transition->attempt = (uint16_t)attempt;
    transition->state_before = good ? (enum ingot_state)before : INGOT_STATE_NONE;
    transition->state_after = good ? (enum ingot_state)after : INGOT_STATE_NONE;
    transition->owner = postgres_get_ksuid(result, row, column + 4);
    transition->due_us = postgres_get_time(result, row, column + 5);
    transition->error = postgres_get_bytes(result, row, column + 6);
    transition->created_us = postgres_get_time(result, row, column + 7);
    return good;
}

int postgres_get_transition(const PGresult *result, int row, struct ingot_transition *transition)
{
    memset(transition, 0, sizeof *transition);
    transition->event_id = postgres_get_ksuid(result, row, 0);
    int good = is_ksuid(result, row, 0);
    good &= postgres_get_number(result, row, 1, UINT16_MAX, &transition->job);
    return good & get_step(result, row, 2, transition);
}

/* ---- events with their jobs --------------------------------------------- */

/*
 * The columns of ingot.event_row; ingot.events_to_deliver() gives those before
 * C_STEP, ingot.events_with_newest() one more.
 */
enum column {
    C_EVENT_ID,
    C_JOB,
    C_ID,
    C_SOURCE, /* or the destination of an added job */
    C_NAME,   /* or its event */
    C_CONTEXT,
    C_DATA,
    C_JOBS,
    C_PARENT,
    C_SENT, /* or when it is due */
    C_RECEIVED,
    C_CREATED,
    C_RETIRED,
    C_STEP,
    C_NEWEST_JOB = C_STEP + 8 /* whose transition an event's own row has */
};

static enum ingot_status get_event(const PGresult *result, int row, enum ingot_detail detail,
                                   struct ingot_page *page, struct ingot_event *event,
                                   struct ingot_error *err)
{
    memset(event, 0, sizeof *event);
    event->id = postgres_get_ksuid(result, row, C_EVENT_ID);
    if (!is_ksuid(result, row, C_EVENT_ID))
        return postgres_corrupt(err, "an event without a proper id");
    if (!copy_bytes(result, row, C_SOURCE, page, &event->source) ||
        !copy_bytes(result, row, C_NAME, page, &event->name) ||
        !copy_bytes(result, row, C_CONTEXT, page, &event->context) ||
        !copy_bytes(result, row, C_DATA, page, &event->data))
        return postgres_no_memory(err);
    event->sent_us = postgres_get_time(result, row, C_SENT);
    event->received_us = postgres_get_time(result, row, C_RECEIVED);
    event->ingested_us = postgres_get_time(result, row, C_CREATED);
    event->retired_us = postgres_get_time(result, row, C_RETIRED);
    enum ingot_status status = ingot_jobs_decode(postgres_get_bytes(result, row, C_JOBS), detail,
                                                 page, &event->jobs, &event->job_count, err);
    if (status)
        return status == INGOT_CORRUPT ? postgres_corrupt(err, "an event whose jobs cannot be read")
                                       : status;
    for (size_t i = 0; i < event->job_count; i++)
        ingot_job_born(&event->jobs[i], &event->id, (uint32_t)i, event->ingested_us);
    return INGOT_OK;
}

static enum ingot_status get_added_job(const PGresult *result, int row, const ingot_ksuid *event_id,
                                       struct ingot_page *page, struct ingot_job *job,
                                       struct ingot_error *err)
{
    uint32_t number;
    memset(job, 0, sizeof *job);
    job->id = postgres_get_ksuid(result, row, C_ID);
    job->parent_job_id = postgres_get_ksuid(result, row, C_PARENT);
    if (!postgres_get_number(result, row, C_JOB, UINT16_MAX, &number) ||
        !is_ksuid(result, row, C_ID) || !is_ksuid_or_null(result, row, C_PARENT))
        return postgres_corrupt(err, "an added job that cannot be read");
    if (!copy_bytes(result, row, C_SOURCE, page, &job->destination) ||
        !copy_bytes(result, row, C_NAME, page, &job->event) ||
        !copy_bytes(result, row, C_CONTEXT, page, &job->context) ||
        !copy_bytes(result, row, C_DATA, page, &job->data))
        return postgres_no_memory(err);
    job->due_us = postgres_get_time(result, row, C_SENT);
    ingot_job_born(job, event_id, number, postgres_get_time(result, row, C_CREATED));
    return INGOT_OK;
}

/* Puts an added job behind the others; size is the room in the event's jobs. */
static enum ingot_status append_job(const PGresult *result, int row, struct ingot_page *page,
                                    struct ingot_event *event, size_t *size,
                                    struct ingot_error *err)
{
    if (event->job_count >= *size) {
        *size = event->job_count * 2 + 4;
        struct ingot_job *grown = ingot_page_alloc(page, *size * sizeof *grown);
        if (!grown)
            return postgres_no_memory(err);
        if (event->job_count)
            memcpy(grown, event->jobs, event->job_count * sizeof *grown);
        event->jobs = grown;
    }
    enum ingot_status status =
        get_added_job(result, row, &event->id, page, &event->jobs[event->job_count], err);
    event->job_count += !status;
    return status;
}

/* Replaces a job's birth by its newest transition, which stands from a column on. */
static enum ingot_status get_latest(const PGresult *result, int row, int column,
                                    struct ingot_page *page, struct ingot_job *job,
                                    struct ingot_error *err)
{
    struct ingot_transition *latest = &job->latest;
    if (!get_step(result, row, column, latest))
        return postgres_corrupt(err, "a transition that cannot be read");
    return copy_bytes(result, row, column + 6, page, &latest->error) ? INGOT_OK
                                                                     : postgres_no_memory(err);
}

/* The job whose newest transition stands in an event's own row, and so the last that has one; or -1. */
static int64_t newest_job(const PGresult *result, int row)
{
    if (PQnfields(result) <= C_NEWEST_JOB || PQgetisnull(result, row, C_NEWEST_JOB))
        return -1;
    return postgres_get_int(result, row, C_NEWEST_JOB);
}

/* Reads one event from its rows; *row goes behind them. */
static enum ingot_status get_whole(const PGresult *result, int *row, enum ingot_detail detail,
                                   struct ingot_page *page, struct ingot_event *event,
                                   struct ingot_error *err)
{
    enum ingot_status status = get_event(result, *row, detail, page, event, err);
    size_t size = event->job_count;
    const int64_t newest = newest_job(result, *row);
    if (!status && newest >= 0 && newest < (int64_t)event->job_count)
        status = get_latest(result, *row, C_STEP, page, &event->jobs[newest], err);
    while (!status && ++*row < PQntuples(result) && postgres_get_int(result, *row, C_JOB) >= 0) {
        int64_t number = postgres_get_int(result, *row, C_JOB);
        if (!PQgetisnull(result, *row, C_ID)) {
            number = (int64_t)event->job_count;
            status = append_job(result, *row, page, event, &size, err);
        }
        if (!status && PQnfields(result) > C_STEP && !PQgetisnull(result, *row, C_STEP) &&
            number < (int64_t)event->job_count)
            status = get_latest(result, *row, C_STEP, page, &event->jobs[number], err);
    }
    return status;
}

static int compare_events(const void *a, const void *b)
{
    return ingot_ksuid_compare(&((const struct ingot_event *)a)->id,
                               &((const struct ingot_event *)b)->id);
}

/* Puts events into ascending order. They mostly come in the contrary one, and are only turned around. */
static void arrange(struct ingot_event *events, size_t count)
{
    size_t falling = 1;
    while (falling < count && compare_events(&events[falling - 1], &events[falling]) > 0)
        falling++;
    if (falling < count) {
        qsort(events, count, sizeof *events, compare_events);
        return;
    }
    for (size_t low = 0, high = count; low + 1 < high; low++) {
        struct ingot_event event = events[low];
        events[low] = events[--high];
        events[high] = event;
    }
}

/* The jobs of an event whose newest transitions its own row does not have: those below a number. */
struct lower_jobs {
    ingot_ksuid event_id;
    int32_t behind;
};

static int compare_lower_jobs(const void *a, const void *b)
{
    return ingot_ksuid_compare(&((const struct lower_jobs *)a)->event_id,
                               &((const struct lower_jobs *)b)->event_id);
}

/* Events that are read. */
struct reading {
    struct postgres_store *store;
    enum ingot_detail detail;
    struct ingot_page *page;
    struct ingot_event *events; /* with room for each that is asked for */
    size_t count, room;
    struct lower_jobs *lower; /* of them; of events for delivery there are none */
    size_t lower_count;
};

/* Adds events from rows of ingot.event_row. */
static enum ingot_status add_events(struct reading *reading, const PGresult *result,
                                    struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const size_t before = reading->count;
    for (int row = 0; row < PQntuples(result) && !status;) {
        if (reading->count == reading->room || postgres_get_int(result, row, C_JOB) >= 0)
            return postgres_corrupt(err, "rows of no event that was asked for");
        const int64_t newest = newest_job(result, row);
        struct ingot_event *event = &reading->events[reading->count];
        status = get_whole(result, &row, reading->detail, reading->page, event, err);
        if (!status && newest > 0 && reading->lower)
            reading->lower[reading->lower_count++] =
                (struct lower_jobs){event->id, (int32_t)newest};
        reading->count += !status;
    }
    if (!status && reading->detail != INGOT_DETAIL_DELIVERY) /* those come in order */
        arrange(reading->events + before, reading->count - before);
    return status;
}

/* Replaces the birth of a job by its newest transition, if it is one of the events'. */
static enum ingot_status take_newest(const struct reading *reading, const PGresult *result, int row,
                                     struct ingot_error *err)
{
    const struct ingot_event key = {.id = postgres_get_ksuid(result, row, 0)};
    struct ingot_event *event =
        bsearch(&key, reading->events, reading->count, sizeof key, compare_events);
    const int64_t number = postgres_get_int(result, row, 1);
    if (!event || number < 0 || number >= (int64_t)event->job_count)
        return INGOT_OK;
    return get_latest(result, row, 2, reading->page, &event->jobs[number], err);
}

/* Reads of events with several jobs the newest transitions that their own rows do not have. */
static enum ingot_status read_lower_jobs(const struct reading *reading, struct ingot_error *err)
{
    static const enum postgres_type types[] = {POSTGRES_BYTES, POSTGRES_INT};
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    if (reading->lower_count == 0)
        return INGOT_OK;
    qsort(reading->lower, reading->lower_count, sizeof *reading->lower, compare_lower_jobs);
    postgres_begin_rows(&parameters, types, 2, reading->lower_count);
    for (size_t i = 0; i < reading->lower_count; i++) {
        postgres_add_ksuid(&parameters, &reading->lower[i].event_id);
        postgres_add_int(&parameters, reading->lower[i].behind);
    }
    postgres_add_int(&parameters, reading->detail == INGOT_DETAIL_ALL);
    enum ingot_status status = postgres_query(reading->store, sql_newest_of_lower_jobs, &parameters,
                                              &result, err, "could not read");
    for (int row = 0; row < PQntuples(result) && !status; row++)
        status = take_newest(reading, result, row, err);
    PQclear(result);
    postgres_parameters_fini(&parameters);
    return status;
}

/* The parameters of the statements that take ids, and a detail if it is not fixed. */
static void add_ids(struct postgres_parameters *parameters, const ingot_ksuid *event_ids,
                    size_t event_count, enum ingot_detail detail)
{
    const enum postgres_type type = POSTGRES_BYTES;
    postgres_begin_rows(parameters, &type, 1, event_count);
    for (size_t i = 0; i < event_count; i++)
        postgres_add_ksuid(parameters, &event_ids[i]);
    if (detail != INGOT_DETAIL_DELIVERY)
        postgres_add_int(parameters, detail == INGOT_DETAIL_ALL);
}

/* One statement of those that read events. */
struct part {
    struct postgres_parameters parameters;
    struct postgres_statement statement;
};

/* Asks for the events of some ids. */
static enum ingot_status ask(const struct reading *reading, const ingot_ksuid *event_ids,
                             size_t event_count, struct part *part, struct ingot_error *err)
{
    part->statement.sql =
        reading->detail == INGOT_DETAIL_DELIVERY ? sql_events_to_deliver : sql_events_with_newest;
    part->statement.parameters = &part->parameters;
    add_ids(&part->parameters, event_ids, event_count, reading->detail);
    return postgres_send(reading->store, &part->statement, 1, POSTGRES_READS, err,
                         "could not read");
}

/* Takes what a part asked for, and adds it unless reading has failed already. */
static enum ingot_status take(struct reading *reading, struct part *part, enum ingot_status status,
                              struct ingot_error *err)
{
    enum ingot_status received = postgres_receive(
        reading->store, &part->statement, 1, POSTGRES_READS, status ? NULL : err, "could not read");
    status = status ? status : received;
    if (!status)
        status = add_events(reading, part->statement.result, err);
    postgres_clear(&part->statement, 1);
    return status;
}

/*
 * Reads the events in parts, one of which is under way while the one before it is taken;
 * but not through pgbouncer, which gives the server to somebody else when a part has been
 * answered, even if the next one has arrived in part (see postgres_send_commit()).
 */
static enum ingot_status read_parts(struct reading *reading, const ingot_ksuid *event_ids,
                                    size_t event_count, struct ingot_error *err)
{
    struct part parts[2] = {0};
    const size_t most = reading->store->is_pooled ? 1 : 2;
    enum ingot_status status = INGOT_OK;
    size_t asked = 0, taken = 0;
    for (size_t at = 0; at < event_count || taken < asked;) {
        const size_t left = event_count - at, some = left < PART_EVENTS ? left : PART_EVENTS;
        if (some && asked < taken + most) {
            status = ask(reading, event_ids + at, some, &parts[asked % 2], err);
            at = status ? event_count : at + some;
            asked += !status;
        } else if (reading->store->connection) {
            struct part *part = &parts[taken++ % 2];
            status = take(reading, part, status, err);
            postgres_parameters_fini(&part->parameters);
            at = status ? event_count : at;
        } else { /* it broke, and nothing comes any more */
            taken = asked;
        }
    }
    for (size_t i = 0; i < 2; i++)
        postgres_parameters_fini(&parts[i].parameters);
    return status;
}

enum ingot_status postgres_read_events(struct postgres_store *store, const ingot_ksuid *event_ids,
                                       size_t event_count, enum ingot_detail detail,
                                       struct ingot_page *page, struct ingot_event **ret_events,
                                       size_t *ret_count, struct ingot_error *err)
{
    const int has_lower = detail != INGOT_DETAIL_DELIVERY;
    struct reading reading = {
        .store = store,
        .detail = detail,
        .page = page,
        .events = ingot_page_alloc(page, event_count * sizeof *reading.events),
        .room = event_count,
        .lower = has_lower ? malloc(event_count * sizeof *reading.lower + 1) : NULL,
    };
    enum ingot_status status = reading.events && (reading.lower || !has_lower)
                                   ? read_parts(&reading, event_ids, event_count, err)
                                   : postgres_no_memory(err);
    if (!status)
        status = read_lower_jobs(&reading, err);
    free(reading.lower);
    if (status)
        return status;
    *ret_events = reading.events;
    *ret_count = reading.count;
    return INGOT_OK;
}

enum ingot_status postgres_read_born(struct postgres_store *store, const ingot_ksuid *event_ids,
                                     size_t event_count, struct ingot_page *page,
                                     struct ingot_event *ret_events, size_t *ret_count,
                                     struct ingot_error *err)
{
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    size_t count = 0;
    add_ids(&parameters, event_ids, event_count, INGOT_DETAIL_ALL);
    enum ingot_status status =
        postgres_query(store, sql_born_events, &parameters, &result, err, "could not read");
    postgres_parameters_fini(&parameters);
    for (int row = 0; row < PQntuples(result) && count < event_count && !status; row++) {
        status = get_event(result, row, INGOT_DETAIL_ALL, page, &ret_events[count], err);
        count += !status;
        if (status == INGOT_CORRUPT)
            status = INGOT_OK;
    }
    PQclear(result);
    if (!status)
        *ret_count = count;
    return status;
}

enum ingot_status postgres_events(void *handle, const struct ingot_toolkit *toolkit,
                                  const ingot_ksuid *event_ids, size_t event_count,
                                  enum ingot_detail detail, struct ingot_page *page,
                                  struct ingot_error *err)
{
    struct postgres_store *store = handle;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_read_events(store, event_ids, event_count, detail, page, &page->events,
                                      &page->event_count, err);
    for (size_t i = 0; i < page->event_count; i++)
        page->job_count += page->events[i].job_count;
    return status;
}

/* ---- find --------------------------------------------------------------- */

/* What a page of find has found so far: the numbers of jobs, and the events that have them. */
struct finding {
    const struct ingot_where *where;
    struct ingot_page *page; /* of the caller: gets the cursor */
    ingot_ksuid *event_ids;
    uint32_t *counts; /* of each event's jobs */
    size_t event_count;
    uint32_t *numbers;
    size_t job_count;
    size_t examined;
};

/* Notes of an event the jobs behind the cursor that match; says whether the page is full. */
static void match_jobs(struct finding *finding, const struct ingot_event *event)
{
    const struct ingot_where *where = finding->where;
    struct ingot_page *page = finding->page;
    size_t first = 0, before = finding->job_count;
    if (ingot_ksuid_compare(&event->id, &where->after.event_id) == 0)
        first = (size_t)where->after.job + 1;
    if (event->job_count == 0) {
        finding->examined++; /* or a page could go on for ever without a job */
        page->next = (struct ingot_cursor){event->id, INGOT_CURSOR_BEHIND_JOBS};
    }
    for (size_t i = first; i < event->job_count; i++) {
        if (finding->job_count == where->limit || finding->examined == INGOT_FIND_EXAMINED_MAX) {
            page->more = 1;
            break;
        }
        finding->examined++;
        page->next = (struct ingot_cursor){event->id, event->jobs[i].number};
        if (ingot_where_matches(where, &event->jobs[i]))
            finding->numbers[finding->job_count++] = event->jobs[i].number;
    }
    if (finding->job_count > before) {
        finding->event_ids[finding->event_count] = event->id;
        finding->counts[finding->event_count++] = (uint32_t)(finding->job_count - before);
    }
}

/* The next id in order; 0 if there is none. */
static int step(ingot_ksuid *id)
{
    size_t i = sizeof id->bytes;
    while (i > 0 && ++id->bytes[i - 1] == 0)
        i--;
    return i > 0;
}

/* The ids of the next events from an id on among which something may be found. */
static enum ingot_status find_ids(struct postgres_store *store, const struct finding *finding,
                                  const ingot_ksuid *from, int32_t wanted, struct ingot_page *page,
                                  ingot_ksuid **ret_ids, size_t *ret_count, struct ingot_error *err)
{
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    /* All zero is the beginning, and not the NULL of "none". */
    postgres_add_bytes(&parameters, (struct ingot_bytes){from->bytes, sizeof from->bytes});
    postgres_add_int(&parameters, wanted);
    postgres_add_int(&parameters,
                     finding->where->status_in == INGOT_STATE_BIT(INGOT_STATE_DISCARDED));
    enum ingot_status status =
        postgres_query(store, sql_find_event_ids, &parameters, &result, err, "could not read");
    const int count = PQntuples(result);
    ingot_ksuid *ids = ingot_page_alloc(page, (size_t)count * sizeof *ids);
    if (!status && !ids)
        status = postgres_no_memory(err);
    for (int row = 0; row < count && !status; row++) {
        ids[row] = postgres_get_ksuid(result, row, 0);
        if (!is_ksuid(result, row, 0))
            status = postgres_corrupt(err, "an event without a proper id");
    }
    PQclear(result);
    postgres_parameters_fini(&parameters);
    *ret_ids = ids;
    *ret_count = status ? 0 : (size_t)count;
    return status;
}

/* Looks through the next events from an id on, which goes behind them; says in ret_last whether these were all. */
static enum ingot_status find_some(struct postgres_store *store, struct finding *finding,
                                   ingot_ksuid *from, int32_t wanted, int *ret_last,
                                   struct ingot_error *err)
{
    struct ingot_event *events = NULL;
    ingot_ksuid *ids = NULL;
    size_t id_count = 0, count = 0;
    struct ingot_page *scratch = ingot_page_create();
    enum ingot_status status =
        scratch ? find_ids(store, finding, from, wanted, scratch, &ids, &id_count, err)
                : postgres_no_memory(err);
    if (!status && id_count)
        status = postgres_read_events(store, ids, id_count, INGOT_DETAIL_ROUTING, scratch, &events,
                                      &count, err);
    for (size_t i = 0; i < count && !finding->page->more; i++) {
        if (finding->examined == INGOT_FIND_EXAMINED_MAX)
            finding->page->more = 1;
        else
            match_jobs(finding, &events[i]);
    }
    *ret_last = id_count < (size_t)wanted;
    if (!status && id_count) {
        *from = ids[id_count - 1];
        *ret_last |= !step(from);
    }
    ingot_page_destroy(scratch);
    return status;
}

/* Reads what was found, and keeps of each event the jobs that matched. */
static enum ingot_status keep(struct postgres_store *store, const struct finding *finding,
                              struct ingot_error *err)
{
    struct ingot_page *page = finding->page;
    const uint32_t *number = finding->numbers;
    if (finding->event_count == 0)
        return INGOT_OK;
    enum ingot_status status =
        postgres_read_events(store, finding->event_ids, finding->event_count,
                             finding->where->detail, page, &page->events, &page->event_count, err);
    if (!status && page->event_count != finding->event_count)
        status = postgres_corrupt(err, "an event that comes and goes within one snapshot");
    for (size_t i = 0; i < page->event_count && !status; i++) {
        struct ingot_event *event = &page->events[i];
        const uint32_t *behind = number + finding->counts[i];
        size_t kept = 0;
        for (size_t j = 0; j < event->job_count && number < behind; j++)
            if (event->jobs[j].number == *number) {
                event->jobs[kept++] = event->jobs[j];
                number++;
            }
        number = behind;
        event->job_count = kept;
        page->job_count += kept;
    }
    return status;
}

static enum ingot_status find(struct postgres_store *store, struct finding *finding,
                              struct ingot_error *err)
{
    ingot_ksuid from = finding->where->after.event_id;
    /* The cursor's, what may be found, and one that says that there is more. */
    int32_t wanted =
        2 + (int32_t)(finding->where->limit < FIND_EVENTS_MAX - 2 ? finding->where->limit
                                                                  : FIND_EVENTS_MAX - 2);
    enum ingot_status status = INGOT_OK;
    int last = 0;
    while (!status && !last && !finding->page->more) {
        status = find_some(store, finding, &from, wanted, &last, err);
        wanted = wanted * 4 < FIND_EVENTS_MAX ? wanted * 4 : FIND_EVENTS_MAX;
    }
    return status ? status : keep(store, finding, err);
}

enum ingot_status postgres_find(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page *page,
                                struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct ingot_page *scratch = ingot_page_create();
    struct finding finding = {.where = where, .page = page};
    if (scratch) {
        finding.event_ids = ingot_page_alloc(scratch, where->limit * sizeof *finding.event_ids);
        finding.counts = ingot_page_alloc(scratch, where->limit * sizeof *finding.counts);
        finding.numbers = ingot_page_alloc(scratch, where->limit * sizeof *finding.numbers);
    }
    enum ingot_status status = finding.event_ids && finding.counts && finding.numbers
                                   ? postgres_begin_reading(store, toolkit, err)
                                   : postgres_no_memory(err);
    if (!status)
        status = end(store, find(store, &finding, err));
    ingot_page_destroy(scratch);
    return status;
}

/* ---- history, counts, routes -------------------------------------------- */

enum ingot_status postgres_history(void *handle, const struct ingot_toolkit *toolkit,
                                   const ingot_ksuid *event_id, uint32_t job,
                                   struct ingot_page *page, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    postgres_add_ksuid(&parameters, event_id);
    postgres_add_int(&parameters, (int32_t)job);
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_query(store, sql_chain, &parameters, &result, err, "could not read");
    const int count = PQntuples(result);
    if (!status) {
        page->transitions = ingot_page_alloc(page, (size_t)count * sizeof *page->transitions);
        status = page->transitions ? INGOT_OK : postgres_no_memory(err);
    }
    for (int row = 0; row < count && !status; row++) {
        struct ingot_transition *transition = &page->transitions[page->transition_count++];
        if (!postgres_get_transition(result, row, transition))
            status = postgres_corrupt(err, "a transition that cannot be read");
        else if (!copy_bytes(result, row, 8, page, &transition->error))
            status = postgres_no_memory(err);
    }
    PQclear(result);
    postgres_parameters_fini(&parameters);
    return status;
}

/* Fills counts from rows of destination, state and how many, ascending by destination. */
static enum ingot_status get_counts(const PGresult *result, struct ingot_page *page,
                                    struct ingot_counts *counts, struct ingot_error *err)
{
    struct ingot_destination_counts *of = NULL;
    counts->destinations = ingot_page_alloc(page, (size_t)PQntuples(result) * sizeof *of);
    if (!counts->destinations)
        return postgres_no_memory(err);
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t state;
        if (!of || !ingot_bytes_equal(of->destination, postgres_get_bytes(result, row, 0))) {
            of = &counts->destinations[counts->destination_count];
            if (!copy_bytes(result, row, 0, page, &of->destination))
                return postgres_no_memory(err);
            counts->destination_count++;
        }
        if (postgres_get_number(result, row, 1, INGOT_STATE_DISCARDED, &state))
            of->jobs[state] = (uint64_t)postgres_get_int(result, row, 2);
    }
    return INGOT_OK;
}

enum ingot_status postgres_counts(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_counts *counts,
                                  struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_statement statements[] = {{sql_totals, NULL, NULL}, {sql_counts, NULL, NULL}};
    enum ingot_status status = postgres_begin_reading(store, toolkit, err);
    if (!status)
        status = postgres_run(store, statements, 2, POSTGRES_READS, err, "could not count");
    if (!status) {
        counts->events = (uint64_t)postgres_get_int(statements[0].result, 0, 0);
        counts->transitions = (uint64_t)postgres_get_int(statements[0].result, 0, 1);
        status = get_counts(statements[1].result, page, counts, err);
    }
    postgres_clear(statements, 2);
    return end(store, status);
}

enum ingot_status postgres_routes(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_bytes *ret_routes,
                                  struct ingot_error *err)
{
    struct postgres_store *store = handle;
    PGresult *result = NULL;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_query(store, sql_newest_routes, NULL, &result, err, "could not read");
    if (!status && PQntuples(result) == 0)
        status =
            ingot_error_set(err, INGOT_NOT_FOUND, "store/postgres: no routes were published yet");
    if (!status && !copy_bytes(result, 0, 1, page, ret_routes))
        status = postgres_no_memory(err);
    PQclear(result);
    return status;
}

/* ---- scan --------------------------------------------------------------- */

/* A server's cursor, read in steps. */
struct stream {
    const char *fetch;
    PGresult *rows;
    int row; /* the next one; behind the last: there is none */
};

/* Has a row of a stream ready, if there is one. */
static enum ingot_status refill(struct postgres_store *store, struct stream *stream,
                                struct ingot_error *err)
{
    if (stream->rows && (stream->row < PQntuples(stream->rows) || PQntuples(stream->rows) == 0))
        return INGOT_OK;
    PQclear(stream->rows);
    stream->rows = NULL;
    stream->row = 0;
    return postgres_query(store, stream->fetch, NULL, &stream->rows, err, "could not read");
}

static int is_over(const struct stream *stream)
{
    return stream->row >= PQntuples(stream->rows);
}

/* The event's id of the next row, or none. */
static ingot_ksuid id_of(const struct stream *stream)
{
    if (is_over(stream))
        return (ingot_ksuid){{0}};
    return postgres_get_ksuid(stream->rows, stream->row, C_EVENT_ID);
}

/* Puts the added jobs of an event behind its others; those of unknown events are passed over. */
static enum ingot_status take_added_jobs(struct postgres_store *store, struct stream *added,
                                         struct ingot_event *event, struct ingot_page *page,
                                         struct ingot_error *err)
{
    size_t size = event->job_count;
    struct ingot_error why = {0};
    enum ingot_status status, damage = INGOT_OK;
    while ((status = refill(store, added, err)) == INGOT_OK && !is_over(added)) {
        ingot_ksuid id = id_of(added);
        int order = ingot_ksuid_compare(&id, &event->id);
        if (order > 0)
            break;
        if (order == 0 && !damage)
            damage = append_job(added->rows, added->row, page, event, &size, &why);
        added->row++;
    }
    if (!status && damage && err)
        *err = why;
    return status ? status : damage;
}

/* Shows one event with its jobs; what cannot be read is shown as damage. */
static enum ingot_status show_event(struct postgres_store *store, struct stream *events,
                                    struct stream *added, const struct ingot_visitor *visitor,
                                    int *stop, struct ingot_error *err)
{
    struct ingot_page *page = ingot_page_create();
    struct ingot_event event;
    struct ingot_error why = {0};
    if (!page)
        return postgres_no_memory(err);
    enum ingot_status status =
        get_event(events->rows, events->row, INGOT_DETAIL_ALL, page, &event, &why);
    if (!status)
        status = take_added_jobs(store, added, &event, page, &why);
    if (!status) {
        *stop = visitor->event(visitor->context, &event);
    } else if (status == INGOT_CORRUPT) {
        *stop = visitor->damage(visitor->context, &event.id, why.message);
        status = INGOT_OK;
    } else if (err) {
        *err = why;
    }
    events->row++;
    ingot_page_destroy(page);
    return status;
}

static void show_transition(struct stream *transitions, const struct ingot_visitor *visitor,
                            int *stop)
{
    struct ingot_transition transition;
    if (postgres_get_transition(transitions->rows, transitions->row, &transition))
        *stop = visitor->transition(visitor->context, &transition);
    else
        *stop =
            visitor->damage(visitor->context, &transition.event_id, "a transition cannot be read");
    transitions->row++;
}

static enum ingot_status merge(struct postgres_store *store, const struct ingot_visitor *visitor,
                               struct ingot_error *err)
{
    struct stream events = {.fetch = sql_fetch_events}, added = {.fetch = sql_fetch_jobs},
                  transitions = {.fetch = sql_fetch_transitions};
    enum ingot_status status = INGOT_OK;
    int stop = 0;
    while (!status && !stop) {
        status = refill(store, &events, err);
        if (!status)
            status = refill(store, &transitions, err);
        if (status || (is_over(&events) && is_over(&transitions)))
            break;
        ingot_ksuid event = id_of(&events), transition = id_of(&transitions);
        if (!is_over(&events) &&
            (is_over(&transitions) || ingot_ksuid_compare(&event, &transition) <= 0))
            status = show_event(store, &events, &added, visitor, &stop, err);
        else
            show_transition(&transitions, visitor, &stop);
    }
    PQclear(events.rows);
    PQclear(added.rows);
    PQclear(transitions.rows);
    return status;
}

enum ingot_status postgres_scan(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_visitor *visitor, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_statement statements[] = {{sql_scan_events, NULL, NULL},
                                              {sql_scan_jobs, NULL, NULL},
                                              {sql_scan_transitions, NULL, NULL}};
    enum ingot_status status = postgres_begin_reading(store, toolkit, err);
    if (!status)
        status = postgres_run(store, statements, 3, POSTGRES_READS, err, "could not read");
    postgres_clear(statements, 3);
    if (!status)
        status = merge(store, visitor, err);
    return end(store, status);
}
