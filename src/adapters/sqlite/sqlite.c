/*
 * Opening and closing an SQLite store, its settings, its migrations, and the
 * adapter's table. Durability is WAL with synchronous=FULL. Debian 12's SQLite
 * has the WAL-reset bug (3.7.0 to 3.51.2), which needs two connections that
 * commit and checkpoint at the same instant: so one process writes, and only
 * its one connection ever checkpoints.
 */
#include "sqlite.h"

#include "sqlite_sql.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "INGO": tells an Ingot store from any other SQLite file. */
#define APPLICATION_ID 0x494E474F

/* Steps of SQLite's virtual machine between two calls of the progress callback. */
#define PROGRESS_STEPS 200000

static const char *const texts[S_COUNT] = {
    [S_LAST_N] = sql_last_n,
    [S_LIFE] = sql_life,
    [S_INSERT_EVENT] = sql_insert_event,
    [S_INSERT_TRANSITION] = sql_insert_transition,
    [S_INSERT_ADDED_JOB] = sql_insert_added_job,
    [S_INSERT_NOTICE] = sql_insert_notice,
    [S_INSERT_RETIREMENT] = sql_insert_retirement,
    [S_EVENT] = sql_event,
    [S_EVENTS_FROM] = sql_events_from,
    [S_FIND] = sql_find,
    [S_FIND_DISCARDED] = sql_find_discarded,
    [S_SCAN_EVENTS] = sql_scan_events,
    [S_ADDED_JOBS] = sql_added_jobs,
    [S_HAS_ADDED_JOBS] = sql_has_added_jobs,
    [S_LATEST] = sql_latest,
    [S_TRANSITIONS_FROM] = sql_transitions_from,
    [S_CHAIN] = sql_chain,
    [S_TRANSITION] = sql_transition,
    [S_SCAN_TRANSITIONS] = sql_scan_transitions,
    [S_TOTALS] = sql_totals,
    [S_COUNTS] = sql_counts,
    [S_NEWEST_ROUTES] = sql_newest_routes,
    [S_INSERT_ROUTES] = sql_insert_routes,
    [S_NEW_EVENTS] = sql_new_events,
    [S_NEW_JOBS] = sql_new_jobs,
    [S_NEW_NOTICES] = sql_new_notices,
    [S_NEXT_TAKEN] = sql_next_taken,
    [S_INSERT_CHECKPOINT] = sql_insert_checkpoint,
    [S_NEWEST_CHECKPOINT] = sql_newest_checkpoint,
    [S_CHECKPOINT_PARTS] = sql_checkpoint_parts,
    [S_INSERT_LIFE] = sql_insert_life,
    [S_SETTINGS] = sql_settings,
    [S_BEGIN] = "BEGIN",
    [S_BEGIN_IMMEDIATE] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_ROLLBACK] = "ROLLBACK",
};

enum ingot_status sqlite_no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store/sqlite: memory ran out");
}

static enum ingot_status class_of(int code)
{
    if (code == SQLITE_IOERR_NOMEM)
        return INGOT_NOMEM;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
        return INGOT_RETRY;
    case SQLITE_NOMEM:
        return INGOT_NOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return INGOT_DENIED;
    case SQLITE_ERROR: /* a table or column is not as our statements expect it */
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return INGOT_CORRUPT;
    case SQLITE_TOOBIG:
        return INGOT_LIMIT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return INGOT_INVALID;
    case SQLITE_INTERRUPT:
        return INGOT_CLOSED;
    default:
        return INGOT_IO;
    }
}

enum ingot_status sqlite_failure(struct sqlite_store *store, struct ingot_error *err,
                                 const char *what)
{
    int code = sqlite3_extended_errcode(store->db);
    enum ingot_status status = class_of(code);
    if (err) {
        err->native_code = code;
        err->status_code = (code & 0xff) == SQLITE_FULL ? 507 : 0; /* Insufficient Storage */
        ingot_error_set(err, status, "store/sqlite: %s %s: %s", what, store->path,
                        (code & 0xff) == SQLITE_FULL ? "the disk is full"
                                                     : sqlite3_errmsg(store->db));
    }
    return status;
}

int sqlite_engine_is_corrupt(struct sqlite_store *store)
{
    int code = sqlite3_errcode(store->db);
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR;
}

int sqlite_run(struct sqlite_store *store, enum statement statement)
{
    int code = sqlite3_step(store->statements[statement]);
    int reset = sqlite3_reset(store->statements[statement]);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : reset;
}

int sqlite_begin(struct sqlite_store *store, enum statement statement)
{
    /* Memory may have run out for ending the last one. */
    if (!sqlite3_get_autocommit(store->db))
        sqlite_run(store, S_ROLLBACK);
    return sqlite_run(store, statement);
}

int64_t sqlite_now(struct sqlite_store *store, const struct ingot_toolkit *toolkit)
{
    sqlite_saw_time(store, toolkit->now_us(toolkit->context));
    return store->last_us;
}

void sqlite_saw_time(struct sqlite_store *store, int64_t time_us)
{
    if (time_us > store->last_us)
        store->last_us = time_us;
}

void sqlite_bind_bytes(sqlite3_stmt *statement, int index, struct ingot_bytes text)
{
    if (text.data)
        sqlite3_bind_text64(statement, index, text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(statement, index);
}

void sqlite_bind_ksuid(sqlite3_stmt *statement, int index, const ingot_ksuid *id)
{
    if (ingot_ksuid_is_none(id))
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_blob(statement, index, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

void sqlite_bind_time(sqlite3_stmt *statement, int index, int64_t time_us)
{
    if (time_us == INGOT_NO_TIME)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_int64(statement, index, time_us);
}

/* ---- opening ------------------------------------------------------------ */

static struct ingot_options *sqlite_options(struct ingot_options *given)
{
    if (!given->connection || !given->connection[0])
        given->connection = "ingot.db";
    return given;
}

/* One integer that a statement gives; the statement's failure is the result. */
static enum ingot_status ask(struct sqlite_store *store, const char *sql, int64_t *ret_value,
                             struct ingot_error *err)
{
    sqlite3_stmt *statement = NULL;
    enum ingot_status status = INGOT_OK;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        status = sqlite_failure(store, err, "could not read");
    else
        *ret_value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

static enum ingot_status execute(struct sqlite_store *store, const char *sql,
                                 struct ingot_error *err, const char *what)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_failure(store, err, what);
    return INGOT_OK;
}

/* Nothing that Ingot runs after opening changes or drops anything; SQLite is told to refuse it. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    switch (action) {
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_VIEW:
    case SQLITE_ALTER_TABLE:
    case SQLITE_ATTACH:
        return SQLITE_DENY;
    default:
        return SQLITE_OK;
    }
}

static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct sqlite_store *)context)->wal_pages = pages;
    return SQLITE_OK;
}

static int on_progress(void *context)
{
    const struct sqlite_store *store = context;
    const struct ingot_toolkit *toolkit = store->toolkit;
    return toolkit ? toolkit->progress(toolkit->context, 0, 0) : 0;
}

/*
 * The journal mode and its durability, checked, because PRAGMAs fail in silence.
 * The triggers keep other programs from changing rows. Here they would look for
 * each key a second time, and what this connection says to its tables is INSERT.
 */
static enum ingot_status set_up_writer(struct sqlite_store *store, struct ingot_error *err)
{
    int64_t synchronous = 0, wal = 0;
    enum ingot_status status = execute(
        store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;",
        err, "could not set up");
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (!status)
        status = ask(store, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &wal, err);
    if (!status)
        status = ask(store, "PRAGMA synchronous", &synchronous, err);
    if (!status && (!wal || synchronous != 2))
        status = ingot_error_set(err, INGOT_UNSUPPORTED,
                                 "store/sqlite: %s cannot be used with a write-ahead log; put it "
                                 "on a local file system",
                                 store->path);
    return status;
}

/* Refuses an SQLite file that is something else, and marks one that is new. */
static enum ingot_status check_file(struct sqlite_store *store, enum ingot_mode mode,
                                    struct ingot_error *err)
{
    int64_t id = 0, objects = 0;
    enum ingot_status status = ask(store, "PRAGMA application_id", &id, err);
    if (!status)
        status = ask(store, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (status)
        return status;
    if (id == APPLICATION_ID)
        return INGOT_OK;
    if (objects || mode == INGOT_MODE_READ)
        return ingot_error_set(err, INGOT_INVALID,
                               "store/sqlite: %s is an SQLite database, but not an Ingot store; "
                               "choose another path",
                               store->path);
    char sql[sizeof sql_ledger_schema + 128];
    snprintf(sql, sizeof sql, "BEGIN IMMEDIATE; PRAGMA application_id = %d; %s COMMIT;",
             APPLICATION_ID, sql_ledger_schema);
    return execute(store, sql, err, "could not create the store");
}

static const struct ingot_adapter_migration *sqlite_migrations(size_t *ret_count)
{
    *ret_count = sizeof migrations / sizeof migrations[0];
    return migrations;
}

static enum ingot_status open_database(struct sqlite_store *store, enum ingot_mode mode,
                                       struct ingot_error *err)
{
    struct stat file;
    if (mode == INGOT_MODE_READ && stat(store->path, &file) != 0)
        return ingot_error_set(err, INGOT_NOT_FOUND,
                               "store/sqlite: there is no store at %s; `ingot serve` or "
                               "`ingot migrate` makes one",
                               store->path);
    int flags =
        mode == INGOT_MODE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    /*
     * Its statistics of memory cost a lock that all handles of the process share. Too
     * late, and without effect, where the program has begun to use SQLite itself.
     */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    /* A link that leads to no file yet would give the file a second path, and so a second lock. */
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(store->path, &store->db, flags, NULL) != SQLITE_OK) {
        if (!store->db)
            return sqlite_no_memory(err);
        return sqlite_failure(store, err, "could not open");
    }
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, 5000);
    sqlite3_wal_autocheckpoint(store->db, 0);
    sqlite3_wal_hook(store->db, on_commit, store);
    sqlite3_progress_handler(store->db, PROGRESS_STEPS, on_progress, store);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return INGOT_OK;
}

static enum ingot_status sqlite_open(void *handle, const struct ingot_options *options,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    struct stat file;
    (void)toolkit;
    store->lock_fd = -1;
    enum ingot_status status =
        sqlite_path(options->connection, store->path, sizeof store->path, err);
    if (!status && stat(store->path, &file) == 0 && S_ISDIR(file.st_mode))
        status = ingot_error_set(err, INGOT_DENIED,
                                 "store/sqlite: %s is a folder; name a file in it", store->path);
    if (!status && options->mode == INGOT_MODE_WRITE)
        status = sqlite_lock(store, err);
    if (!status)
        status = open_database(store, options->mode, err);
    if (!status)
        status = check_file(store, options->mode, err);
    if (!status && options->mode == INGOT_MODE_WRITE)
        status = set_up_writer(store, err);
    return status;
}

static enum ingot_status sqlite_start(void *handle, const struct ingot_toolkit *toolkit,
                                      struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    (void)toolkit;
    for (int i = 0; i < S_COUNT; i++)
        if (sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return sqlite_failure(store, err, "could not read the schema of");
    enum ingot_status status = ask(store, sql_last_time, &store->last_us, err);
    sqlite3_set_authorizer(store->db, authorize, NULL);
    return status;
}

static void sqlite_close(void *handle)
{
    struct sqlite_store *store = handle;
    for (int i = 0; i < S_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    /* A reader never checkpoints; after a failure the WAL is for the next owner to recover. */
    if (store->db && (store->lock_fd < 0 || store->failed))
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(store->db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
}

/* ---- migrations --------------------------------------------------------- */

static enum ingot_status sqlite_ledger(void *handle, struct ingot_ledger_row *rows, size_t *count,
                                       struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    sqlite3_stmt *statement = NULL;
    size_t read = 0;
    int code;
    if (sqlite3_prepare_v2(store->db, sql_ledger, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_failure(store, err, "could not read the migrations of");
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && read < *count) {
        struct ingot_ledger_row *row = &rows[read++];
        row->version = (uint64_t)sqlite3_column_int64(statement, 0);
        snprintf(row->name, sizeof row->name, "%s",
                 (const char *)sqlite3_column_text(statement, 1));
        snprintf(row->up_sha256, sizeof row->up_sha256, "%s",
                 (const char *)sqlite3_column_text(statement, 2));
        row->direction = sqlite3_column_int(statement, 3) ? INGOT_DOWN : INGOT_UP;
        row->created_us = sqlite3_column_int64(statement, 4);
    }
    enum ingot_status status = INGOT_OK;
    if (code == SQLITE_ROW)
        status =
            ingot_error_set(err, INGOT_LIMIT, "store/sqlite: %s has run more than %zu migrations",
                            store->path, *count);
    else if (code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read the migrations of");
    else
        *count = read;
    sqlite3_finalize(statement);
    return status;
}

static enum ingot_status insert_ledger_row(struct sqlite_store *store,
                                           const struct ingot_ledger_row *row,
                                           struct ingot_error *err)
{
    sqlite3_stmt *statement = NULL;
    enum ingot_status status = INGOT_OK;
    if (sqlite3_prepare_v2(store->db, sql_ledger_insert, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_failure(store, err, "could not write the migrations of");
    sqlite3_bind_int64(statement, 1, (int64_t)row->version);
    sqlite3_bind_text(statement, 2, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, row->direction == INGOT_UP ? "up" : "down", -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, row->up_sha256, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, row->created_us);
    if (sqlite3_step(statement) != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not write the migrations of");
    sqlite3_finalize(statement);
    return status;
}

static enum ingot_status sqlite_migrate(void *handle, const struct ingot_toolkit *toolkit,
                                        const struct ingot_adapter_migration *steps,
                                        const struct ingot_ledger_row *rows, size_t count,
                                        struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    (void)toolkit;
    enum ingot_status status = execute(store, "BEGIN IMMEDIATE", err, "could not migrate");
    if (status)
        return status;
    for (size_t i = 0; i < count && !status; i++) {
        status = execute(store, rows[i].direction == INGOT_UP ? steps[i].up : steps[i].down, err,
                         "could not migrate");
        if (!status)
            status = insert_ledger_row(store, &rows[i], err);
    }
    if (!status)
        status = execute(store, "COMMIT", err, "could not migrate");
    if (status)
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

const struct ingot_adapter ingot_adapter_sqlite;
const struct ingot_adapter ingot_adapter_sqlite = {
    .abi = INGOT_ADAPTER_ABI,
    .size = sizeof(struct ingot_adapter),
    .name = "sqlite",
    .handle_size = sizeof(struct sqlite_store),
    .handles = INGOT_HANDLES_READERS,
    .options = sqlite_options,
    .open = sqlite_open,
    .start = sqlite_start,
    .close = sqlite_close,
    .commit = sqlite_commit,
    .events = sqlite_events,
    .find = sqlite_find,
    .history = sqlite_history,
    .counts = sqlite_counts,
    .scan = sqlite_scan,
    .publish_routes = sqlite_publish_routes,
    .routes = sqlite_routes,
    .migrations = sqlite_migrations,
    .ledger = sqlite_ledger,
    .migrate = sqlite_migrate,
    .announce = sqlite_announce,
    .holder = sqlite_holder,
    .follow = sqlite_follow,
    .add_checkpoints = sqlite_add_checkpoints,
    .checkpoints = sqlite_checkpoints,
    .settings = sqlite_settings,
    .accept_restore = sqlite_accept_restore,
};
