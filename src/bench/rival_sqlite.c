/*
 * The queue written by hand on SQLite, and the raw limit by plain INSERTs: a
 * write-ahead log with synchronous = FULL, prepared statements, BEGIN IMMEDIATE.
 */
#include "core/toolkit.h"
#include "rival.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* How long a connection waits for the others' commits. */
#define BUSY_MS 60000

enum statement { S_BEGIN, S_COMMIT, S_ROLLBACK, S_INSERT, S_CLAIM, S_FINISH, S_COUNT };

struct sqlite_rival {
    struct igt_rival base;
    char *path;
    sqlite3 *db;
    struct ingot_ksuid_generator generator;
    sqlite3_stmt *statements[S_COUNT];
    sqlite3_int64 *claimed; /* rowids; room for claimed_max */
    size_t claimed_max;
};

/* 256 MB of pages; the log grows as an Ingot store's does. */
static const char settings[] = "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA cache_size = -262144;"
                               "PRAGMA wal_autocheckpoint = 4000;";

/*
 * Jobs are worked in the order of their rowids, which is that of their commits: an
 * index of 20-byte ids would have several times the pages. With rowids an update
 * also leaves the key's index alone.
 */
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS rival_queue ("
    "  id          BLOB    NOT NULL PRIMARY KEY,"
    "  state       INTEGER NOT NULL DEFAULT 0," /* 0 waiting, 1 claimed, 2 done */
    "  attempt     INTEGER NOT NULL DEFAULT 0,"
    "  received_at INTEGER NOT NULL,"
    "  source      TEXT    NOT NULL,"
    "  name        TEXT    NOT NULL,"
    "  context     TEXT,"
    "  payload     TEXT    NOT NULL"
    ");"
    "CREATE INDEX IF NOT EXISTS rival_waiting ON rival_queue (state) WHERE state = 0;"
    "CREATE TABLE IF NOT EXISTS rival_raw ("
    "  id   BLOB NOT NULL PRIMARY KEY,"
    "  body BLOB NOT NULL"
    ") WITHOUT ROWID;"
    "COMMIT;";

static const char *const queue_texts[S_COUNT] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_ROLLBACK] = "ROLLBACK",
    [S_INSERT] = "INSERT INTO rival_queue (id, received_at, source, name, payload)"
                 " VALUES (?1, ?2, '" IGT_RIVAL_SOURCE "', '" IGT_RIVAL_NAME "', ?3)",
    [S_CLAIM] = "UPDATE rival_queue SET state = 1, attempt = attempt + 1 WHERE rowid IN ("
                "SELECT rowid FROM rival_queue WHERE state = 0 ORDER BY rowid LIMIT ?1)"
                " RETURNING rowid, payload",
    [S_FINISH] = "UPDATE rival_queue SET state = 2 WHERE rowid = ?1",
};

static const char *const raw_texts[S_COUNT] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_ROLLBACK] = "ROLLBACK",
    [S_INSERT] = "INSERT INTO rival_raw (id, body) VALUES (?1, ?3)",
};

static struct sqlite_rival *sqlite_of(struct igt_rival *rival)
{
    return (struct sqlite_rival *)rival;
}

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "rival/sqlite: memory ran out");
}

static enum ingot_status failure(const struct sqlite_rival *rival, const char *what,
                                 struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_IO, "rival/sqlite: could not %s %s: %s", what, rival->path,
                           sqlite3_errmsg(rival->db));
}

/* ---- transactions ------------------------------------------------------- */

/* Steps a statement that gives no rows. */
static int run(struct sqlite_rival *rival, enum statement which)
{
    sqlite3_stmt *statement = rival->statements[which];
    const int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE;
}

static enum ingot_status begin(struct sqlite_rival *rival, struct ingot_error *err)
{
    return run(rival, S_BEGIN) ? INGOT_OK : failure(rival, "begin to write to", err);
}

/* Commits, or after a failure rolls back. */
static enum ingot_status end(struct sqlite_rival *rival, enum ingot_status status,
                             struct ingot_error *err)
{
    if (!status && !run(rival, S_COMMIT))
        status = failure(rival, "commit to", err);
    if (status && !sqlite3_get_autocommit(rival->db))
        run(rival, S_ROLLBACK);
    return status;
}

/* ---- inserting ---------------------------------------------------------- */

static enum ingot_status insert_row(struct sqlite_rival *rival, struct ingot_error *err)
{
    ingot_ksuid id;
    ingot_ksuid_generate(&rival->generator, NULL, &id);
    sqlite3_bind_blob(rival->statements[S_INSERT], 1, id.bytes, sizeof id.bytes, SQLITE_STATIC);
    return run(rival, S_INSERT) ? INGOT_OK : failure(rival, "insert into", err);
}

static enum ingot_status insert_rows(struct sqlite_rival *rival, size_t count,
                                     struct ingot_error *err)
{
    enum ingot_status status = begin(rival, err);
    if (status)
        return status;
    for (size_t i = 0; i < count && !status; i++)
        status = insert_row(rival, err);
    return end(rival, status, err);
}

/* The raw table's rows have the bytes of the queue's. */
static enum ingot_status insert_raw(struct sqlite_rival *rival, struct ingot_bytes payload,
                                    size_t count, struct ingot_error *err)
{
    static const char about[] = IGT_RIVAL_SOURCE IGT_RIVAL_NAME;
    const size_t len = sizeof about - 1 + payload.len;
    char *body = malloc(len);
    if (!body)
        return no_memory(err);
    memcpy(body, about, sizeof about - 1);
    if (payload.len)
        memcpy(body + sizeof about - 1, payload.data, payload.len);
    sqlite3_bind_blob64(rival->statements[S_INSERT], 3, body, len, SQLITE_STATIC);
    enum ingot_status status = insert_rows(rival, count, err);
    sqlite3_clear_bindings(rival->statements[S_INSERT]);
    free(body);
    return status;
}

static enum ingot_status sqlite_insert(struct igt_rival *base, struct ingot_bytes payload,
                                       size_t count, struct ingot_error *err)
{
    struct sqlite_rival *rival = sqlite_of(base);
    if (base->kind == IGT_RIVAL_RAW)
        return insert_raw(rival, payload, count, err);
    sqlite3_stmt *statement = rival->statements[S_INSERT];
    sqlite3_bind_int64(statement, 2, igt_now_us(NULL));
    sqlite3_bind_text64(statement, 3, payload.data, payload.len, SQLITE_STATIC, SQLITE_UTF8);
    enum ingot_status status = insert_rows(rival, count, err);
    sqlite3_clear_bindings(statement);
    return status;
}

/* ---- working ------------------------------------------------------------ */

/* Within a transaction. */
static enum ingot_status claim(struct sqlite_rival *rival, size_t max, size_t *ret_count,
                               struct ingot_error *err)
{
    sqlite3_stmt *statement = rival->statements[S_CLAIM];
    enum ingot_status status = INGOT_OK;
    size_t count = 0;
    int code;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)max);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && count < max) {
        rival->claimed[count++] = sqlite3_column_int64(statement, 0);
        sqlite3_column_text(statement, 1); /* the payload, as a worker would */
    }
    if (code != SQLITE_DONE)
        status = failure(rival, "claim from", err);
    sqlite3_reset(statement);
    if (!status)
        *ret_count = count;
    return status;
}

/* Within a transaction. */
static enum ingot_status finish(struct sqlite_rival *rival, size_t count, struct ingot_error *err)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_int64(rival->statements[S_FINISH], 1, rival->claimed[i]);
        if (!run(rival, S_FINISH))
            return failure(rival, "finish in", err);
    }
    return INGOT_OK;
}

static enum ingot_status make_room(struct sqlite_rival *rival, size_t max, struct ingot_error *err)
{
    if (max <= rival->claimed_max)
        return INGOT_OK;
    sqlite3_int64 *grown = realloc(rival->claimed, max * sizeof *grown);
    if (!grown)
        return no_memory(err);
    rival->claimed = grown;
    rival->claimed_max = max;
    return INGOT_OK;
}

static enum ingot_status sqlite_work(struct igt_rival *base, size_t max, size_t *ret_count,
                                     struct ingot_error *err)
{
    struct sqlite_rival *rival = sqlite_of(base);
    size_t count = 0;
    enum ingot_status status = make_room(rival, max, err);
    if (!status)
        status = begin(rival, err);
    if (!status)
        status = end(rival, claim(rival, max, &count, err), err);
    if (!status && count)
        status = begin(rival, err);
    if (!status && count)
        status = end(rival, finish(rival, count, err), err);
    if (!status)
        *ret_count = count;
    return status;
}

static enum ingot_status sqlite_work_at_once(struct igt_rival *base, size_t max, size_t *ret_count,
                                             struct ingot_error *err)
{
    struct sqlite_rival *rival = sqlite_of(base);
    size_t count = 0;
    enum ingot_status status = make_room(rival, max, err);
    if (!status)
        status = begin(rival, err);
    if (status)
        return status;
    status = claim(rival, max, &count, err);
    if (!status)
        status = finish(rival, count, err);
    status = end(rival, status, err);
    if (!status)
        *ret_count = count;
    return status;
}

/* ---- opening ------------------------------------------------------------ */

static enum ingot_status prepare(struct sqlite_rival *rival, struct ingot_error *err)
{
    const char *const *texts = rival->base.kind == IGT_RIVAL_QUEUE ? queue_texts : raw_texts;
    for (int i = 0; i < S_COUNT; i++)
        if (texts[i] && sqlite3_prepare_v3(rival->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                           &rival->statements[i], NULL) != SQLITE_OK)
            return failure(rival, "read the schema of", err);
    return INGOT_OK;
}

/* PRAGMAs fail in silence: on a file system without shared memory, or for a database without a file. */
static int has_log(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    const unsigned char *mode = NULL;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        mode = sqlite3_column_text(statement, 0);
    const int is_wal = mode && strcmp((const char *)mode, "wal") == 0;
    sqlite3_finalize(statement);
    return is_wal;
}

/* Who makes a file have a log has to be alone there, and SQLite does not wait for that by itself. */
static int apply_settings(sqlite3 *db)
{
    int code, waited_ms = 0;
    while ((code = sqlite3_exec(db, settings, NULL, NULL, NULL)) == SQLITE_BUSY &&
           waited_ms++ < BUSY_MS)
        sqlite3_sleep(1);
    return code == SQLITE_OK;
}

static enum ingot_status open_file(struct sqlite_rival *rival, struct ingot_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(rival->path, &rival->db, flags, NULL) != SQLITE_OK) {
        if (!rival->db)
            return no_memory(err);
        return failure(rival, "open", err);
    }
    sqlite3_busy_timeout(rival->db, BUSY_MS);
    if (!apply_settings(rival->db))
        return failure(rival, "set up", err);
    if (!has_log(rival->db))
        return ingot_error_set(err, INGOT_UNSUPPORTED,
                               "rival/sqlite: \"%s\" cannot be used with a write-ahead log; name "
                               "a file on a local file system",
                               rival->path);
    if (sqlite3_exec(rival->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return failure(rival, "set up", err);
    return INGOT_OK;
}

static void sqlite_close(struct igt_rival *base)
{
    struct sqlite_rival *rival = sqlite_of(base);
    for (int i = 0; i < S_COUNT; i++)
        sqlite3_finalize(rival->statements[i]);
    sqlite3_close(rival->db);
    free(rival->claimed);
    free(rival->path);
    free(rival);
}

static enum ingot_status sqlite_open(const char *connection, enum igt_rival_kind kind,
                                     struct igt_rival **ret_rival, struct ingot_error *err)
{
    struct sqlite_rival *rival = calloc(1, sizeof *rival);
    if (!rival)
        return no_memory(err);
    rival->base = (struct igt_rival){&igt_rival_sqlite, kind};
    ingot_ksuid_generator_init(&rival->generator);
    rival->path = strdup(connection);
    enum ingot_status status = rival->path ? open_file(rival, err) : no_memory(err);
    if (!status)
        status = prepare(rival, err);
    if (status)
        sqlite_close(&rival->base);
    else
        *ret_rival = &rival->base;
    return status;
}

const struct igt_rival_operations igt_rival_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .insert = sqlite_insert,
    .work = sqlite_work,
    .work_at_once = sqlite_work_at_once,
};
