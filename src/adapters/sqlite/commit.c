/*
 * Writing: one commit is one transaction of single-row INSERTs. A key that is
 * taken ends the statement and not the transaction (PROTOCOL 6.7). The triggers
 * that say so to others are off on this connection, see set_up_writer().
 */
#include "sqlite.h"

#include <stdlib.h>

/* The writing connection checkpoints when the WAL is longer than this. */
#define WAL_PAGES_MAX 4000

/* Steps an INSERT: INGOT_OK with whether it was stored, or a failure. */
static enum ingot_status insert(struct sqlite_store *store, enum statement which, int *ret_stored,
                                struct ingot_error *err)
{
    sqlite3_stmt *statement = store->statements[which];
    /* Where n is the primary key, for it to be taken is a failure. */
    const int taken = which == S_INSERT_EVENT || which == S_INSERT_ADDED_JOB
                          ? SQLITE_CONSTRAINT_UNIQUE
                          : SQLITE_CONSTRAINT_PRIMARYKEY;
    enum ingot_status status = INGOT_OK;
    int code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        *ret_stored = 1;
    else if (sqlite3_extended_errcode(store->db) == taken)
        *ret_stored = 0;
    else
        status = sqlite_failure(store, err, "could not write to");
    sqlite3_reset(statement);
    return status;
}

/* An event whose id is there: the same, or another one? */
static enum ingot_status compare_event(struct sqlite_store *store, struct ingot_commit_event *given,
                                       enum ingot_commit_sending sending, struct ingot_error *err)
{
    struct ingot_page *page = ingot_page_create();
    struct ingot_event stored;
    if (!page)
        return sqlite_no_memory(err);
    enum ingot_status status =
        sqlite_read_event(store, &given->row->id, INGOT_DETAIL_ALL, page, &stored, err);
    if (!status && !ingot_event_same(&stored, given))
        given->verdict = INGOT_MISMATCH;
    else if (!status)
        given->verdict = sending == INGOT_COMMIT_AGAIN ? INGOT_STORED : INGOT_ALREADY;
    ingot_page_destroy(page);
    if (status != INGOT_CORRUPT || sqlite_engine_is_corrupt(store))
        return status;
    /* One damaged row is not what was given, and no reason to end for everybody. */
    given->verdict = INGOT_MISMATCH;
    return INGOT_OK;
}

static enum ingot_status write_event(struct sqlite_store *store, struct ingot_commit_event *given,
                                     enum ingot_commit_sending sending, int64_t now_us,
                                     struct ingot_error *err)
{
    const struct ingot_event *event = given->row;
    sqlite3_stmt *statement = store->statements[S_INSERT_EVENT];
    size_t len = 0;
    int stored = 0;
    char *jobs = ingot_jobs_encode(event->jobs, event->job_count, &len);
    if (!jobs)
        return sqlite_no_memory(err);
    sqlite3_bind_int64(statement, 1, store->last_n + 1);
    sqlite_bind_ksuid(statement, 2, &event->id);
    sqlite_bind_bytes(statement, 3, event->source);
    sqlite_bind_bytes(statement, 4, event->name);
    sqlite_bind_bytes(statement, 5, (struct ingot_bytes){jobs, len});
    sqlite_bind_time(statement, 6, event->sent_us);
    sqlite_bind_time(statement, 7,
                     event->received_us == INGOT_NO_TIME ? now_us : event->received_us);
    sqlite_bind_time(statement, 8, now_us);
    sqlite_bind_bytes(statement, 9, event->context);
    sqlite_bind_bytes(statement, 10, event->data);
    enum ingot_status status = insert(store, S_INSERT_EVENT, &stored, err);
    sqlite3_clear_bindings(statement);
    free(jobs);
    if (status)
        return status;
    if (!stored)
        return compare_event(store, given, sending, err);
    store->last_n++;
    given->verdict = INGOT_STORED;
    return INGOT_OK;
}

static enum ingot_status write_notice(struct sqlite_store *store,
                                      const struct ingot_transition *row, int64_t now_us,
                                      struct ingot_error *err)
{
    sqlite3_stmt *statement = store->statements[S_INSERT_NOTICE];
    int stored = 0;
    sqlite3_bind_int64(statement, 1, store->last_n + 1);
    sqlite_bind_ksuid(statement, 2, &row->event_id);
    sqlite3_bind_int64(statement, 3, row->job);
    sqlite3_bind_int64(statement, 4, row->seq);
    sqlite3_bind_int64(statement, 5, now_us);
    enum ingot_status status = insert(store, S_INSERT_NOTICE, &stored, err);
    if (!status && !stored)
        status = sqlite_failure(store, err, "could not write a notice to");
    store->last_n += !status;
    return status;
}

static enum ingot_status write_transition(struct sqlite_store *store,
                                          struct ingot_commit_transition *given,
                                          enum ingot_commit_sending sending, int64_t now_us,
                                          struct ingot_error *err)
{
    const struct ingot_transition *row = &given->row;
    sqlite3_stmt *statement = store->statements[S_INSERT_TRANSITION];
    int stored = 0;
    sqlite_bind_ksuid(statement, 1, &row->event_id);
    sqlite3_bind_int64(statement, 2, row->job);
    sqlite3_bind_int64(statement, 3, row->seq);
    sqlite3_bind_int(statement, 4, row->attempt);
    sqlite3_bind_int(statement, 5, (int)row->state_before);
    sqlite3_bind_int(statement, 6, (int)row->state_after);
    sqlite_bind_ksuid(statement, 7, &row->owner);
    sqlite_bind_time(statement, 8, row->due_us);
    sqlite_bind_bytes(statement, 9, row->error);
    sqlite3_bind_int64(statement, 10, now_us);
    enum ingot_status status = insert(store, S_INSERT_TRANSITION, &stored, err);
    if (!status && stored && given->notice == INGOT_NOTICE_SENT)
        status = write_notice(store, row, now_us, err);
    if (!status && !stored && sending == INGOT_COMMIT_AGAIN)
        status = sqlite_has_transition(store, row, &stored, err);
    if (!status)
        given->verdict = stored ? INGOT_STORED : INGOT_LOST;
    return status;
}

/* Whether what a row hangs on, an earlier row, was stored. */
static int may_follow(const struct ingot_commit *commit, size_t hangs_on)
{
    return hangs_on == INGOT_ALONE || commit->transitions[hangs_on].verdict == INGOT_STORED;
}

static enum ingot_status insert_job(struct sqlite_store *store, struct ingot_commit_job *given,
                                    int64_t now_us, struct ingot_error *err)
{
    const struct ingot_job *job = &given->row;
    sqlite3_stmt *statement = store->statements[S_INSERT_ADDED_JOB];
    int stored = 0;
    sqlite3_bind_int64(statement, 1, store->last_n + 1);
    sqlite_bind_ksuid(statement, 2, &job->event_id);
    sqlite3_bind_int64(statement, 3, job->number);
    sqlite_bind_ksuid(statement, 4, &job->id);
    sqlite_bind_bytes(statement, 5, job->destination);
    sqlite_bind_bytes(statement, 6, job->event);
    sqlite_bind_ksuid(statement, 7, &job->parent_job_id);
    sqlite_bind_time(statement, 8, job->due_us);
    sqlite3_bind_int64(statement, 9, now_us);
    sqlite_bind_bytes(statement, 10, job->context);
    sqlite_bind_bytes(statement, 11, job->data);
    enum ingot_status status = insert(store, S_INSERT_ADDED_JOB, &stored, err);
    sqlite3_clear_bindings(statement);
    if (status)
        return status;
    given->verdict = stored ? INGOT_STORED : INGOT_REFUSED;
    store->last_n += stored;
    return INGOT_OK;
}

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

static enum ingot_status write_job(struct sqlite_store *store, struct ingot_commit_job *given,
                                   enum ingot_commit_sending sending, int64_t now_us,
                                   struct ingot_error *err)
{
    struct ingot_page *page = ingot_page_create();
    struct ingot_event event;
    if (!page)
        return sqlite_no_memory(err);
    enum ingot_status status =
        sqlite_read_event(store, &given->row.event_id, INGOT_DETAIL_ROUTING, page, &event, err);
    if (!status)
        status = sqlite_read_added_jobs(store, &event, INGOT_DETAIL_ROUTING, page, err);
    if (!status && sending == INGOT_COMMIT_AGAIN && is_there(&event, &given->row)) {
        given->verdict = INGOT_STORED;
    } else if (status == INGOT_OK || status == INGOT_NOT_FOUND) {
        given->verdict = ingot_job_judge(status ? NULL : &event, &given->row);
        given->row.number = status ? 0 : (uint32_t)event.job_count;
        status = INGOT_OK;
        if (given->verdict == INGOT_STORED)
            status = insert_job(store, given, now_us, err);
    }
    ingot_page_destroy(page);
    return status;
}

static enum ingot_status write_retirement(struct sqlite_store *store,
                                          const struct ingot_commit_retirement *given,
                                          int64_t now_us, struct ingot_error *err)
{
    sqlite3_stmt *statement = store->statements[S_INSERT_RETIREMENT];
    int stored;
    sqlite_bind_ksuid(statement, 1, &given->event_id);
    sqlite_bind_bytes(statement, 2, given->actor);
    sqlite_bind_bytes(statement, 3, given->reason);
    sqlite3_bind_int64(statement, 4, now_us);
    enum ingot_status status = insert(store, S_INSERT_RETIREMENT, &stored, err);
    sqlite3_clear_bindings(statement);
    return status;
}

/* Where the commit order stands; asked each time, because a person may have inserted something. */
static enum ingot_status read_last_n(struct sqlite_store *store, struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_LAST_N];
    enum ingot_status status = INGOT_OK;
    if (sqlite3_step(row) == SQLITE_ROW)
        store->last_n = sqlite3_column_int64(row, 0);
    else
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

static enum ingot_status write_rows(struct sqlite_store *store, struct ingot_commit *commit,
                                    int64_t now_us, size_t *beaten, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < commit->event_count && !status; i++) {
        status = write_event(store, &commit->events[i], commit->sending, now_us, err);
        *beaten += commit->events[i].verdict == INGOT_MISMATCH;
    }
    for (size_t i = 0; i < commit->transition_count && !status; i++) {
        struct ingot_commit_transition *given = &commit->transitions[i];
        given->verdict = INGOT_LOST;
        if (may_follow(commit, given->hangs_on))
            status = write_transition(store, given, commit->sending, now_us, err);
        *beaten += given->verdict == INGOT_LOST;
    }
    for (size_t i = 0; i < commit->job_count && !status; i++) {
        struct ingot_commit_job *given = &commit->jobs[i];
        given->verdict = INGOT_LOST;
        if (may_follow(commit, given->hangs_on))
            status = write_job(store, given, commit->sending, now_us, err);
        *beaten += given->verdict == INGOT_LOST || given->verdict == INGOT_REFUSED;
    }
    for (size_t i = 0; i < commit->retirement_count && !status; i++)
        status = write_retirement(store, &commit->retirements[i], now_us, err);
    return status;
}

static enum ingot_status begin(struct sqlite_store *store, struct ingot_error *err)
{
    if (store->failed)
        return ingot_error_set(err, INGOT_IO,
                               "store/sqlite: %s failed earlier; close it and open it again",
                               store->path);
    if (store->lock_fd < 0)
        return ingot_error_set(err, INGOT_DENIED,
                               "store/sqlite: the store is open for reading only");
    store->toolkit = NULL; /* a write is short, and is not interrupted */
    if (sqlite_begin(store, S_BEGIN_IMMEDIATE) != SQLITE_OK)
        return sqlite_failure(store, err, "could not write to");
    return INGOT_OK;
}

/* Ends the transaction that status speaks of; checkpoints between two transactions. */
static enum ingot_status end(struct sqlite_store *store, enum ingot_status status,
                             struct ingot_error *err)
{
    if (!status && sqlite_run(store, S_COMMIT) != SQLITE_OK)
        status = sqlite_failure(store, err, "could not commit to");
    if (status == INGOT_IO || (status == INGOT_CORRUPT && sqlite_engine_is_corrupt(store)))
        store->failed = 1; /* a failed fsync is never tried again (PROTOCOL 2.5) */
    if (status && !sqlite3_get_autocommit(store->db))
        sqlite_run(store, S_ROLLBACK);
    if (!status && store->wal_pages > WAL_PAGES_MAX) {
        int code =
            sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if ((code & 0xff) == SQLITE_IOERR)
            store->failed = 1;
        store->wal_pages = 0;
    }
    return status;
}

enum ingot_status sqlite_commit(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_commit *commit, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    enum ingot_status status = begin(store, err);
    if (status)
        return status;
    size_t beaten = 0;
    status = read_last_n(store, err);
    if (!status)
        status = write_rows(store, commit, sqlite_now(store, toolkit), &beaten, err);
    if (!status && beaten && commit->rule == INGOT_COMMIT_WHOLE)
        status = ingot_error_set(err, INGOT_CONFLICT, "store/sqlite: %zu rows were beaten", beaten);
    status = end(store, status, err);
    if (!status)
        commit->position = (uint64_t)store->last_n;
    return status;
}

/* Inserts the next version unless the newest is the same. */
static enum ingot_status write_routes(struct sqlite_store *store, struct ingot_bytes routes,
                                      int64_t now_us, struct ingot_error *err)
{
    sqlite3_stmt *newest = store->statements[S_NEWEST_ROUTES];
    sqlite3_stmt *statement = store->statements[S_INSERT_ROUTES];
    int64_t version = 0;
    int same = 0, stored;
    int code = sqlite3_step(newest);
    if (code == SQLITE_ROW) {
        version = sqlite3_column_int64(newest, 0);
        same = ingot_bytes_equal(routes,
                                 (struct ingot_bytes){sqlite3_column_text(newest, 1),
                                                      (size_t)sqlite3_column_bytes(newest, 1)});
    }
    sqlite3_reset(newest);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sqlite_failure(store, err, "could not read the routes of");
    if (same)
        return INGOT_OK;
    sqlite3_bind_int64(statement, 1, version + 1);
    sqlite_bind_bytes(statement, 2, routes);
    sqlite3_bind_int64(statement, 3, now_us);
    enum ingot_status status = insert(store, S_INSERT_ROUTES, &stored, err);
    sqlite3_clear_bindings(statement);
    return status;
}

enum ingot_status sqlite_publish_routes(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_bytes routes, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    enum ingot_status status = begin(store, err);
    if (status)
        return status;
    return end(store, write_routes(store, routes, sqlite_now(store, toolkit), err), err);
}

/* ---- checkpoints, lives ------------------------------------------------- */

/* When a checkpoint is taken that is taken now: later than all before. */
static enum ingot_status next_taken(struct sqlite_store *store, int64_t now_us, int64_t *ret_taken,
                                    struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_NEXT_TAKEN];
    enum ingot_status status = INGOT_OK;
    sqlite3_bind_int64(row, 1, now_us);
    if (sqlite3_step(row) == SQLITE_ROW)
        *ret_taken = sqlite3_column_int64(row, 0);
    else
        status = sqlite_failure(store, err, "could not read");
    sqlite3_reset(row);
    return status;
}

static enum ingot_status write_checkpoint(struct sqlite_store *store,
                                          const struct ingot_checkpoint *checkpoint, int64_t now_us,
                                          struct ingot_error *err)
{
    sqlite3_stmt *statement = store->statements[S_INSERT_CHECKPOINT];
    const size_t most = INGOT_CHECKPOINT_PART_BYTES, len = checkpoint->body.len;
    const size_t parts = len ? (len + most - 1) / most : 1;
    const char *body = len ? checkpoint->body.data : "";
    int64_t taken_us = 0;
    enum ingot_status status = next_taken(store, now_us, &taken_us, err);
    for (size_t i = 0; i < parts && !status; i++) {
        size_t rest = len - i * most;
        int stored = 0;
        sqlite3_bind_int64(statement, 1, taken_us);
        sqlite3_bind_int64(statement, 2, checkpoint->lane);
        sqlite3_bind_int64(statement, 3, (int64_t)i);
        sqlite3_bind_int64(statement, 4, (int64_t)parts);
        sqlite_bind_bytes(statement, 5, checkpoint->cursor);
        sqlite3_bind_blob64(statement, 6, body + i * most, rest < most ? rest : most,
                            SQLITE_STATIC);
        status = insert(store, S_INSERT_CHECKPOINT, &stored, err);
        if (!status && !stored)
            status = sqlite_failure(store, err, "could not write a checkpoint to");
    }
    sqlite3_clear_bindings(statement);
    return status;
}

enum ingot_status sqlite_add_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                         const struct ingot_checkpoint *checkpoints, size_t count,
                                         struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    enum ingot_status status = begin(store, err);
    if (status)
        return status;
    int64_t now_us = sqlite_now(store, toolkit);
    for (size_t i = 0; i < count && !status; i++)
        status = write_checkpoint(store, &checkpoints[i], now_us, err);
    return end(store, status, err);
}

enum ingot_status sqlite_accept_restore(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    int stored = 0;
    enum ingot_status status = begin(store, err);
    if (status)
        return status;
    sqlite3_bind_int64(store->statements[S_INSERT_LIFE], 1, sqlite_now(store, toolkit));
    status = insert(store, S_INSERT_LIFE, &stored, err);
    if (!status && !stored)
        status = sqlite_failure(store, err, "could not write a life to");
    return end(store, status, err);
}
