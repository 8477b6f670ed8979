/*
 * Following: what is visible now and was not to the snapshot that the cursor
 * holds (PROTOCOL 3.1 to 3.4). Rows are taken as they come, for a cold follower
 * may be shown millions. A cursor also holds a mark, an instant and the number of
 * a transaction at it, so that the server need not look into segments of long
 * before (docs/decisions/0019).
 */
#include "postgres.h"
#include "postgres_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A cursor: "2:", the epoch, the system's identifier, the mark's microseconds and
 * number, the snapshot. One of before, "1:", has no mark.
 */
#define CURSOR_BYTES_MAX (1u << 20)

/* No id is of a later time. */
#define MARK_LAST_US ((INGOT_KSUID_EPOCH + UINT64_C(0xffffffff)) * 1000000)

/* The columns of ingot.follow. */
enum column {
    C_KIND,
    C_EVENT_ID,
    C_JOB,
    C_ID,
    C_DESTINATION,
    C_EVENT,
    C_JOBS,
    C_PARENT,
    C_DUE,
    C_CREATED,
    C_XID, /* in the first row: the snapshot's xmin */
    C_SNAPSHOT,
    C_EPOCH,
    C_SYSTEM,
    C_STARTED,
    C_IN_RECOVERY,
    C_IS_OURS,
    C_MARK /* as a cursor has it */
};

/* Who follows, and what the first row said. */
struct follower {
    int (*sighted)(void *context, const struct ingot_sighting *);
    void *context;
    const struct ingot_toolkit *toolkit;
    struct ingot_page *page;
    struct ingot_followed followed;
    int begins; /* without a cursor */
};

/* ---- cursors ------------------------------------------------------------ */

static enum ingot_status not_ours(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_INVALID,
                           "store/postgres: the cursor is not one of the store as it is now; begin "
                           "anew");
}

/* Reads an unsigned number up to a colon and goes behind it; 0 if there is none, or it is too large. */
static int read_number(const char **text, const char *end, uint64_t max, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (number > (max - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    if (at == *text || at == end || *at != ':')
        return 0;
    *text = at + 1;
    *ret_number = number;
    return 1;
}

/* Puts what a cursor says into the parameters of follow; the server looks into the snapshot. */
static enum ingot_status add_cursor(struct postgres_parameters *parameters,
                                    struct ingot_bytes cursor, struct ingot_error *err)
{
    const char *at = cursor.data, *end = cursor.len ? at + cursor.len : at;
    uint64_t version, epoch, system, marked_us = 0, mark_xid = 0;
    if (cursor.len > CURSOR_BYTES_MAX || !read_number(&at, end, 2, &version) || version == 0 ||
        !read_number(&at, end, INT32_MAX, &epoch) || !read_number(&at, end, UINT64_MAX, &system))
        return not_ours(err);
    if (version == 2 && (!read_number(&at, end, MARK_LAST_US, &marked_us) ||
                         !read_number(&at, end, INT64_MAX, &mark_xid)))
        return not_ours(err);
    for (const char *c = at; c < end; c++)
        if (!strchr("0123456789:,", *c) || !*c)
            return not_ours(err);
    postgres_add_text(parameters, (struct ingot_bytes){at, (size_t)(end - at)});
    postgres_add_int(parameters, (int32_t)epoch);
    postgres_add_long(parameters, (int64_t)system);
    postgres_add_long(parameters, (int64_t)mark_xid);
    postgres_add_time(parameters, version == 2 ? (int64_t)marked_us : INGOT_NO_TIME);
    return INGOT_OK;
}

static void add_no_cursor(struct postgres_parameters *parameters)
{
    postgres_add_null(parameters);
    postgres_add_int(parameters, 0);
    postgres_add_long(parameters, 0);
    postgres_add_long(parameters, 0);
    postgres_add_time(parameters, INGOT_NO_TIME);
}

/* Another one after each start of the server, and for each server (PROTOCOL 3.3). */
static uint64_t life_of(uint64_t system, uint64_t started_us)
{
    uint64_t hash = system * UINT64_C(0x9e3779b97f4a7c15) ^ started_us;
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

/* ---- rows --------------------------------------------------------------- */

/* The first row: where we stand, and whether the cursor is of here. */
static enum ingot_status take_head(const PGresult *row, struct follower *follower,
                                   struct ingot_error *err)
{
    const struct ingot_bytes mark = postgres_get_bytes(row, 0, C_MARK);
    const struct ingot_bytes snapshot = postgres_get_bytes(row, 0, C_SNAPSHOT);
    const uint64_t system = (uint64_t)postgres_get_int(row, 0, C_SYSTEM);
    if (postgres_get_int(row, 0, C_IN_RECOVERY))
        return ingot_error_set(err, INGOT_RETRY,
                               "store/postgres: the server is a standby; waiting for a primary");
    if (!follower->begins && !postgres_get_int(row, 0, C_IS_OURS))
        return not_ours(err);
    if (!mark.data || !snapshot.data)
        return postgres_corrupt(err, "a place to follow from that cannot be read");
    const size_t size = 64 + mark.len + snapshot.len;
    char *cursor = ingot_page_alloc(follower->page, size);
    if (!cursor)
        return postgres_no_memory(err);
    int len =
        snprintf(cursor, size, "2:%lld:%llu:%.*s%.*s", (long long)postgres_get_int(row, 0, C_EPOCH),
                 (unsigned long long)system, (int)mark.len, (const char *)mark.data,
                 (int)snapshot.len, (const char *)snapshot.data);
    follower->followed = (struct ingot_followed){
        .cursor = {cursor, (size_t)len},
        .horizon = (uint64_t)postgres_get_int(row, 0, C_XID),
        .life = life_of(system, (uint64_t)postgres_get_int(row, 0, C_STARTED)),
    };
    return INGOT_OK;
}

static enum ingot_status get_event(const PGresult *row, struct ingot_page *scratch,
                                   struct ingot_sighting *sighting, struct ingot_error *err)
{
    struct ingot_job *jobs = NULL;
    enum ingot_status status =
        ingot_jobs_decode(postgres_get_bytes(row, 0, C_JOBS), INGOT_DETAIL_ROUTING, scratch, &jobs,
                          &sighting->job_count, err);
    for (size_t i = 0; i < sighting->job_count && !status; i++)
        ingot_job_born(&jobs[i], &sighting->event_id, (uint32_t)i,
                       postgres_get_time(row, 0, C_CREATED));
    sighting->jobs = jobs;
    return status;
}

/* The bytes of the job belong to the row. */
static enum ingot_status get_job(const PGresult *row, struct ingot_job *job,
                                 struct ingot_sighting *sighting, struct ingot_error *err)
{
    *job = (struct ingot_job){
        .id = postgres_get_ksuid(row, 0, C_ID),
        .destination = postgres_get_bytes(row, 0, C_DESTINATION),
        .event = postgres_get_bytes(row, 0, C_EVENT),
        .parent_job_id = postgres_get_ksuid(row, 0, C_PARENT),
        .due_us = postgres_get_time(row, 0, C_DUE),
    };
    if (ingot_ksuid_is_none(&job->id) || !job->destination.data || !job->event.data)
        return postgres_corrupt(err, "an added job that cannot be read");
    ingot_job_born(job, &sighting->event_id, sighting->job, postgres_get_time(row, 0, C_CREATED));
    sighting->jobs = job;
    sighting->job_count = 1;
    return INGOT_OK;
}

static enum ingot_status get_sighting(const PGresult *row, struct ingot_page *scratch,
                                      struct ingot_job *job, struct ingot_sighting *sighting,
                                      struct ingot_error *err)
{
    sighting->position = (uint64_t)postgres_get_int(row, 0, C_XID);
    sighting->event_id = postgres_get_ksuid(row, 0, C_EVENT_ID);
    if (ingot_ksuid_is_none(&sighting->event_id) ||
        !postgres_get_number(row, 0, C_JOB, UINT16_MAX, &sighting->job))
        return postgres_corrupt(err, "a row without a proper key");
    switch (postgres_get_int(row, 0, C_KIND)) {
    case 1:
        sighting->kind = INGOT_SIGHTED_EVENT;
        return get_event(row, scratch, sighting, err);
    case 2:
        sighting->kind = INGOT_SIGHTED_JOB;
        return get_job(row, job, sighting, err);
    default:
        sighting->kind = INGOT_SIGHTED_NOTICE;
        return INGOT_OK;
    }
}

/* Shows one row. One that is damaged stands in nobody's way: it is logged, and `verify` finds it. */
static enum ingot_status show(const PGresult *row, struct follower *follower,
                              struct ingot_error *err)
{
    struct ingot_sighting sighting = {0};
    struct ingot_job job;
    struct ingot_page *scratch = ingot_page_create();
    if (!scratch)
        return postgres_no_memory(err);
    enum ingot_status status = get_sighting(row, scratch, &job, &sighting, err);
    if (status == INGOT_CORRUPT) {
        follower->toolkit->log(
            follower->toolkit->context, INGOT_ERROR,
            "event=store.damaged adapter=postgres message=\"a row that cannot be "
            "read is passed over; run ingot verify\"");
        ingot_error_clear(err);
        status = INGOT_OK;
    } else if (!status && follower->sighted(follower->context, &sighting)) {
        status = ingot_error_set(err, INGOT_CLOSED, "store/postgres: stopped on request");
    }
    ingot_page_destroy(scratch);
    return status;
}

/* ---- the slot ----------------------------------------------------------- */

/* Makes the server stop, so that what is left to read is little. */
static void cancel(PGconn *connection)
{
    char ignored[256];
    PGcancel *cancel = PQgetCancel(connection);
    if (cancel)
        PQcancel(cancel, ignored, sizeof ignored);
    PQfreeCancel(cancel);
}

/* Takes the rows of the statement that was sent; after a failure they are only read to their end. */
static enum ingot_status take_rows(struct postgres_store *store, struct follower *follower,
                                   struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    ExecStatusType kind = PGRES_EMPTY_QUERY;
    int ends = 0; /* of statements: there is one, and then the pipeline's */
    while (kind != PGRES_PIPELINE_SYNC && ends < 2 && store->connection) {
        PGresult *row = PQgetResult(store->connection);
        kind = row ? PQresultStatus(row) : PGRES_EMPTY_QUERY;
        ends += !row;
        if (!status && kind == PGRES_SINGLE_TUPLE) {
            status = postgres_get_int(row, 0, C_KIND) == 0 ? take_head(row, follower, err)
                                                           : show(row, follower, err);
            if (status)
                cancel(store->connection);
        } else if (kind == PGRES_FATAL_ERROR) {
            /* After we stopped it this is no news, but the connection may be broken. */
            enum ingot_status failure =
                postgres_failure(store, row, status ? NULL : err, "could not follow");
            status = status ? status : failure;
        }
        PQclear(row);
    }
    if (kind == PGRES_PIPELINE_SYNC) {
        PQexitPipelineMode(store->connection);
        return status;
    }
    if (!status)
        status = postgres_failure(store, NULL, err, "could not follow");
    postgres_drop(store);
    return status;
}

/* In a pipeline, at whose end libpq forgets that rows were to come one by one. */
static int send_statement(struct postgres_store *store,
                          const struct postgres_parameters *parameters)
{
    return PQenterPipelineMode(store->connection) &&
           postgres_send_statement(store, sql_follow, parameters) &&
           PQpipelineSync(store->connection) && PQsetSingleRowMode(store->connection);
}

enum ingot_status postgres_follow(void *handle, const struct ingot_toolkit *toolkit,
                                  const struct ingot_following *from,
                                  int (*sighted)(void *context, const struct ingot_sighting *),
                                  void *context, struct ingot_page *page,
                                  struct ingot_followed *ret_followed, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct follower follower = {.sighted = sighted,
                                .context = context,
                                .toolkit = toolkit,
                                .page = page,
                                .begins = !from->cursor.data};
    struct postgres_parameters parameters = {0};
    const enum postgres_type number = POSTGRES_LONG;
    enum ingot_status status = INGOT_OK;
    if (from->cursor.data)
        status = add_cursor(&parameters, from->cursor, err);
    else
        add_no_cursor(&parameters);
    postgres_begin_rows(&parameters, &number, 1, from->known_count);
    for (size_t i = 0; i < from->known_count; i++)
        postgres_add_long(&parameters, (int64_t)from->known[i]);
    if (!status && parameters.failed)
        status = postgres_no_memory(err);
    if (!status)
        status = postgres_ready(store, toolkit, err);
    if (!status && !send_statement(store, &parameters)) {
        status = postgres_failure(store, NULL, err, "could not follow");
        postgres_drop(store);
    }
    if (!status)
        status = take_rows(store, &follower, err);
    if (!status && !follower.followed.cursor.data)
        status = postgres_corrupt(err, "no word of where a follower stands");
    postgres_parameters_fini(&parameters);
    if (!status)
        *ret_followed = follower.followed;
    return status;
}
