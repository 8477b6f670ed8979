/*
 * Loading rows into an SQLite store: one connection that has the file for itself
 * and keeps no journal, so that each page is written once. What fails on the way is
 * dropped whole. The triggers are off as they are for Ingot's own writer.
 */
#include "filling.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct igt_loader {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *add_event, *add_transition;
    sqlite3_int64 last_n;
};

/* The columns of src/adapters/sqlite/migrations. */
static const char add_event[] =
    "INSERT INTO events (n, id, source, name, jobs, sent_at, received_at, ingested_at, context,"
    " data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
static const char add_transition[] =
    "INSERT INTO transitions (event_id, job, seq, attempt, state_before, state_after, owner,"
    " due_at, error, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
static const char find_last_n[] =
    "SELECT max(coalesce((SELECT max(n) FROM events), 0),"
    " coalesce((SELECT max(n) FROM added_jobs), 0), coalesce((SELECT max(n) FROM notices), 0))";

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

static enum ingot_status failure(const struct igt_loader *loader, struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_IO, "bench: could not fill %s: %s", loader->path,
                           sqlite3_errmsg(loader->db));
}

static enum ingot_status execute(struct igt_loader *loader, const char *sql,
                                 struct ingot_error *err)
{
    return sqlite3_exec(loader->db, sql, NULL, NULL, NULL) == SQLITE_OK ? INGOT_OK
                                                                        : failure(loader, err);
}

/* ---- rows --------------------------------------------------------------- */

static void bind_text(sqlite3_stmt *statement, int at, struct ingot_bytes text)
{
    if (text.data)
        sqlite3_bind_text64(statement, at, text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(statement, at);
}

static void bind_time(sqlite3_stmt *statement, int at, int64_t us)
{
    if (us == INGOT_NO_TIME)
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_int64(statement, at, us);
}

static void bind_ksuid(sqlite3_stmt *statement, int at, const ingot_ksuid *id)
{
    sqlite3_bind_blob(statement, at, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

static enum ingot_status step(struct igt_loader *loader, sqlite3_stmt *statement,
                              struct ingot_error *err)
{
    const int code = sqlite3_step(statement);
    enum ingot_status status = code == SQLITE_DONE ? INGOT_OK : failure(loader, err);
    sqlite3_reset(statement);
    return status;
}

static enum ingot_status load_event(struct igt_loader *loader, const struct ingot_event *event,
                                    int64_t now_us, struct ingot_error *err)
{
    sqlite3_stmt *statement = loader->add_event;
    size_t len = 0;
    char *jobs = ingot_jobs_encode(event->jobs, event->job_count, &len);
    if (!jobs)
        return no_memory(err);
    sqlite3_bind_int64(statement, 1, ++loader->last_n);
    bind_ksuid(statement, 2, &event->id);
    bind_text(statement, 3, event->source);
    bind_text(statement, 4, event->name);
    bind_text(statement, 5, (struct ingot_bytes){jobs, len});
    bind_time(statement, 6, event->sent_us);
    bind_time(statement, 7, event->received_us);
    bind_time(statement, 8, now_us);
    bind_text(statement, 9, event->context);
    bind_text(statement, 10, event->data);
    enum ingot_status status = step(loader, statement, err);
    free(jobs);
    return status;
}

static enum ingot_status load_transition(struct igt_loader *loader,
                                         const struct ingot_transition *row, int64_t now_us,
                                         struct ingot_error *err)
{
    sqlite3_stmt *statement = loader->add_transition;
    bind_ksuid(statement, 1, &row->event_id);
    sqlite3_bind_int64(statement, 2, row->job);
    sqlite3_bind_int64(statement, 3, row->seq);
    sqlite3_bind_int(statement, 4, row->attempt);
    sqlite3_bind_int(statement, 5, (int)row->state_before);
    sqlite3_bind_int(statement, 6, (int)row->state_after);
    bind_ksuid(statement, 7, &row->owner);
    bind_time(statement, 8, row->due_us);
    bind_text(statement, 9, row->error);
    bind_time(statement, 10, now_us);
    return step(loader, statement, err);
}

static enum ingot_status sqlite_load_events(struct igt_loader *loader, const struct igt_load *load,
                                            struct ingot_error *err)
{
    enum ingot_status status = execute(loader, "BEGIN", err);
    for (size_t i = 0; i < load->event_count && !status; i++)
        status = load_event(loader, &load->events[i], load->now_us, err);
    return status ? status : execute(loader, "COMMIT", err);
}

static enum ingot_status sqlite_load_transitions(struct igt_loader *loader,
                                                 const struct igt_load *load,
                                                 struct ingot_error *err)
{
    enum ingot_status status = execute(loader, "BEGIN", err);
    for (size_t i = 0; i < load->transition_count && !status; i++)
        status = load_transition(loader, &load->transitions[i], load->now_us, err);
    return status ? status : execute(loader, "COMMIT", err);
}

/* ---- opening ------------------------------------------------------------ */

static enum ingot_status read_last_n(struct igt_loader *loader, struct ingot_error *err)
{
    sqlite3_stmt *statement = NULL;
    enum ingot_status status = INGOT_OK;
    if (sqlite3_prepare_v2(loader->db, find_last_n, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        loader->last_n = sqlite3_column_int64(statement, 0);
    else
        status = failure(loader, err);
    sqlite3_finalize(statement);
    return status;
}

static enum ingot_status prepare(struct igt_loader *loader, const char *sql,
                                 sqlite3_stmt **ret_statement, struct ingot_error *err)
{
    return sqlite3_prepare_v3(loader->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement,
                              NULL) == SQLITE_OK
               ? INGOT_OK
               : failure(loader, err);
}

static enum ingot_status set_up(struct igt_loader *loader, struct ingot_error *err)
{
    if (sqlite3_open_v2(loader->path, &loader->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return loader->db ? failure(loader, err) : no_memory(err);
    sqlite3_db_config(loader->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    enum ingot_status status = execute(loader,
                                       "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
                                       "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;",
                                       err);
    if (!status)
        status = read_last_n(loader, err);
    if (!status)
        status = prepare(loader, add_event, &loader->add_event, err);
    return status ? status : prepare(loader, add_transition, &loader->add_transition, err);
}

/* What the operating system holds of the file goes to the disk. */
static enum ingot_status flush(const char *path, struct ingot_error *err)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    int code = file < 0 || fsync(file) != 0 ? errno : 0;
    if (file >= 0)
        close(file);
    return code ? ingot_error_set(err, INGOT_IO, "bench: could not fill %s: %s", path,
                                  strerror(code))
                : INGOT_OK;
}

static enum ingot_status sqlite_close(struct igt_loader *loader, struct ingot_error *err)
{
    sqlite3_finalize(loader->add_event);
    sqlite3_finalize(loader->add_transition);
    enum ingot_status status = execute(loader, "PRAGMA journal_mode = WAL", err);
    sqlite3_close(loader->db);
    if (!status)
        status = flush(loader->path, err);
    free(loader->path);
    free(loader);
    return status;
}

static enum ingot_status sqlite_open(const char *connection, struct igt_loader **ret_loader,
                                     struct ingot_error *err)
{
    struct igt_loader *loader = calloc(1, sizeof *loader);
    if (loader)
        loader->path = strdup(strncmp(connection, "//", 2) == 0 ? connection + 2 : connection);
    if (!loader || !loader->path) {
        free(loader);
        return no_memory(err);
    }
    enum ingot_status status = set_up(loader, err);
    if (status)
        sqlite_close(loader, NULL);
    else
        *ret_loader = loader;
    return status;
}

const struct igt_loader_operations igt_loader_sqlite = {
    .connections = 1,
    .open = sqlite_open,
    .load_events = sqlite_load_events,
    .load_transitions = sqlite_load_transitions,
    .close = sqlite_close,
};
