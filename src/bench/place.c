/* Making and dropping stores to measure; see place.h. */
#include "place.h"

#include "core/buffer.h"
#include "core/toolkit.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct igt_place {
    enum igt_place_kind kind;
    char *base;     /* what the user named: a path, or a conninfo */
    char *url;      /* of the store that stands, or NULL */
    char name[64];  /* of its database */
    char model[64]; /* of the model's database, or "" */
    char spare[64]; /* of a copy of it that nobody has used yet, or "" */
    uint32_t id;    /* random: so that several may be open at a time */
    unsigned made;
    char **retained; /* the names of those of its stores that stay until the end */
    size_t retained_count;
    PGconn *admin;  /* at the user's database */
    PGconn *second; /* there too, once there is a model */
    PGconn *inside; /* at the store's */
    PGconn *pinned;
    char mark[32]; /* the place in the WAL */
    double bytes_before;
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

/* The first line of what libpq complains of; it never holds a password. */
static enum ingot_status complain(PGconn *connection, struct ingot_error *err, const char *what)
{
    const char *message = PQerrorMessage(connection);
    return ingot_error_set(err, INGOT_IO, "bench: could not %s: %.*s", what,
                           (int)strcspn(message, "\n"), message);
}

/* ---- PostgreSQL --------------------------------------------------------- */

static void add_escaped(struct igt_buffer *buffer, const char *text)
{
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
            (byte >= '0' && byte <= '9'))
            igt_buffer_add(buffer, at, 1);
        else
            igt_buffer_add_format(buffer, "%%%02X", byte);
    }
}

/* The user's own connection, but to another database, as a URL; malloc. */
static char *url_of_database(const char *conninfo, const char *database)
{
    struct igt_buffer url = {0};
    char *text = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    igt_buffer_add_format(&url, "postgres:///?dbname=%s", database);
    for (PQconninfoOption *option = options; option && option->keyword; option++) {
        if (!option->val || strcmp(option->keyword, "dbname") == 0)
            continue;
        igt_buffer_add_format(&url, "&%s=", option->keyword);
        add_escaped(&url, option->val);
    }
    if (!url.failed)
        text = strndup(url.data, url.len);
    igt_buffer_fini(&url);
    PQconninfoFree(options);
    return text;
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

static enum ingot_status connect_to(const char *conninfo, PGconn **ret_connection,
                                    struct ingot_error *err)
{
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK) {
        enum ingot_status status = complain(connection, err, "connect to the server");
        PQfinish(connection);
        return status;
    }
    PQsetNoticeReceiver(connection, ignore_notice, NULL);
    *ret_connection = connection;
    return INGOT_OK;
}

/* Waits for what was sent. */
static enum ingot_status take(PGconn *connection, struct ingot_error *err, const char *what)
{
    ExecStatusType code = PGRES_FATAL_ERROR;
    for (PGresult *result; (result = PQgetResult(connection)); PQclear(result))
        code = PQresultStatus(result);
    return code == PGRES_COMMAND_OK || code == PGRES_TUPLES_OK ? INGOT_OK
                                                               : complain(connection, err, what);
}

static enum ingot_status run(PGconn *connection, const char *sql, struct ingot_error *err,
                             const char *what)
{
    PQsendQuery(connection, sql); /* if it fails, there is no result */
    return take(connection, err, what);
}

/* The first value of a query, or "" */
static void ask(PGconn *connection, const char *sql, const char *parameter, char *text, size_t size)
{
    PGresult *result =
        PQexecParams(connection, sql, parameter ? 1 : 0, NULL, &parameter, NULL, NULL, 0);
    snprintf(text, size, "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
}

static void leave_database(struct igt_place *place)
{
    PQfinish(place->pinned);
    PQfinish(place->inside);
    place->pinned = place->inside = NULL;
}

static void drop_database(struct igt_place *place, const char *name)
{
    char sql[128];
    snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", name);
    run(place->admin, sql, NULL, "drop a database");
}

enum model_size { SMALL_MODEL, LARGE_MODEL };

/* Names the next database, and begins to make it; a large model had better not go through the log. */
static void begin_database(struct igt_place *place, PGconn *connection, const char *model,
                           enum model_size size, char name[64])
{
    char sql[256];
    const int has_choice = PQserverVersion(connection) >= 150000; /* before, they never did */
    snprintf(name, sizeof place->name, "ingot_bench_%08x_%u", place->id, ++place->made);
    snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\" TEMPLATE \"%s\"%s", name, model,
             size == LARGE_MODEL && has_choice ? " STRATEGY file_copy" : "");
    PQsendQuery(connection, sql); /* if it fails, its result says so */
}

static enum ingot_status end_database(PGconn *connection, struct ingot_error *err)
{
    return take(connection, err, "make a database to measure in (the role needs CREATEDB)");
}

static enum ingot_status enter_database(struct igt_place *place, struct ingot_error *err)
{
    place->url = url_of_database(place->base, place->name);
    return place->url ? connect_to(place->url, &place->inside, err) : no_memory(err);
}

static enum ingot_status make_database(struct igt_place *place, struct ingot_error *err)
{
    /* Nobody is in template0, and it holds nothing of the user's. */
    begin_database(place, place->admin, "template0", SMALL_MODEL, place->name);
    enum ingot_status status = end_database(place->admin, err);
    return status ? status : enter_database(place, err);
}

/*
 * A copy has a thousand files, and making them keeps one process busy for most of a
 * second: so two are made at a time, and the second is for the next who wants one.
 */
static enum ingot_status copy_database(struct igt_place *place, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK, second;
    if (place->spare[0]) {
        memcpy(place->name, place->spare, sizeof place->name);
        place->spare[0] = '\0';
    } else {
        begin_database(place, place->admin, place->model, SMALL_MODEL, place->name);
        begin_database(place, place->second, place->model, SMALL_MODEL, place->spare);
        status = end_database(place->admin, err);
        second = end_database(place->second, status ? NULL : err);
        if (second)
            place->spare[0] = '\0';
        status = status ? status : second;
        /* As DROP DATABASE has it for the next one: both are to begin alike. Not everybody may. */
        run(place->admin, "CHECKPOINT", NULL, "checkpoint");
    }
    return status ? status : enter_database(place, err);
}

/* ---- SQLite ------------------------------------------------------------- */

/* The path within a store's URL. */
static const char *path_of(const char *url)
{
    const char *path = url + strlen("sqlite:");
    return strncmp(path, "//", 2) == 0 ? path + 2 : path;
}

static void drop_files(const char *url)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-lock"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s%s", path_of(url), endings[i]) < (int)sizeof path)
            unlink(path);
    }
}

static enum ingot_status make_file(struct igt_place *place, struct ingot_error *err)
{
    if (asprintf(&place->url, "sqlite:%s.bench-%08x-%u", place->base, place->id, ++place->made) <
        0) {
        place->url = NULL;
        return no_memory(err);
    }
    return INGOT_OK;
}

/* Moves what stands in the WAL into the file, and says how long that is. */
static enum ingot_status file_bytes(const char *url, double *ret_bytes, struct ingot_error *err)
{
    struct stat about;
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(path_of(url), &db, SQLITE_OPEN_READWRITE, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_close(db);
    if (code != SQLITE_OK || stat(path_of(url), &about) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: could not look at %s: %s", path_of(url),
                               sqlite3_errstr(code));
    *ret_bytes = (double)about.st_size;
    return INGOT_OK;
}

/* ---- for both ----------------------------------------------------------- */

enum ingot_status igt_place_open(const char *url, struct igt_place **ret_place,
                                 struct ingot_error *err)
{
    struct ingot_options options;
    enum ingot_status status = ingot_options_from_url(url, &options, err);
    if (status)
        return status;
    int is_postgres = strcmp(options.from, "postgres") == 0;
    if (!is_postgres && strcmp(options.from, "sqlite") != 0)
        return ingot_error_set(err, INGOT_INVALID,
                               "bench: stores of the adapter \"%s\" cannot be measured; sqlite and "
                               "postgres can",
                               options.from);
    struct igt_place *place = calloc(1, sizeof *place);
    if (place)
        place->base = strdup(options.connection ? options.connection : "");
    if (!place || !place->base) {
        free(place);
        return no_memory(err);
    }
    igt_random(NULL, &place->id, sizeof place->id);
    place->kind = is_postgres ? IGT_PLACE_POSTGRES : IGT_PLACE_SQLITE;
    if (is_postgres)
        status = connect_to(place->base, &place->admin, err);
    if (status)
        igt_place_close(place);
    else
        *ret_place = place;
    return status;
}

static void forget_store(struct igt_place *place)
{
    place->name[0] = '\0';
    free(place->url);
    place->url = NULL;
}

void igt_place_drop(struct igt_place *place)
{
    leave_database(place);
    if (place->kind == IGT_PLACE_POSTGRES && place->name[0] && place->admin)
        drop_database(place, place->name);
    if (place->kind == IGT_PLACE_SQLITE && place->url)
        drop_files(place->url);
    forget_store(place);
}

enum ingot_status igt_place_retain(struct igt_place *place, struct ingot_error *err)
{
    const int is_postgres = place->kind == IGT_PLACE_POSTGRES;
    char **grown = realloc(place->retained, (place->retained_count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    place->retained = grown;
    grown[place->retained_count] = strdup(is_postgres ? place->name : place->url);
    if (!grown[place->retained_count])
        return no_memory(err);
    place->retained_count++;
    leave_database(place);
    forget_store(place);
    return INGOT_OK;
}

static void drop_retained(struct igt_place *place)
{
    for (size_t i = 0; i < place->retained_count; i++) {
        if (place->kind == IGT_PLACE_POSTGRES)
            drop_database(place, place->retained[i]);
        else
            drop_files(place->retained[i]);
        free(place->retained[i]);
    }
    free(place->retained);
}

void igt_place_close(struct igt_place *place)
{
    if (!place)
        return;
    igt_place_drop(place);
    drop_retained(place);
    if (place->spare[0])
        drop_database(place, place->spare);
    if (place->model[0])
        drop_database(place, place->model);
    PQfinish(place->second);
    PQfinish(place->admin);
    free(place->base);
    free(place);
}

enum igt_place_kind igt_place_kind(const struct igt_place *place)
{
    return place->kind;
}

/* Gives the URL of the store that stands now, or drops what there is of it. */
static enum ingot_status hand_over(struct igt_place *place, enum ingot_status status,
                                   const char **ret_url)
{
    if (status)
        igt_place_drop(place);
    else
        *ret_url = place->url;
    return status;
}

enum ingot_status igt_place_make(struct igt_place *place, const char **ret_url,
                                 struct ingot_error *err)
{
    const int is_postgres = place->kind == IGT_PLACE_POSTGRES;
    igt_place_drop(place);
    return hand_over(place, is_postgres ? make_database(place, err) : make_file(place, err),
                     ret_url);
}

enum ingot_status igt_place_keep_model(struct igt_place *place, struct ingot_error *err)
{
    enum ingot_status status = connect_to(place->base, &place->second, err);
    if (status)
        return status;
    leave_database(place);
    memcpy(place->model, place->name, sizeof place->model);
    forget_store(place);
    return INGOT_OK;
}

int igt_place_has_model(const struct igt_place *place)
{
    return place->model[0] != '\0';
}

enum ingot_status igt_place_copy_model(struct igt_place *place, const char **ret_url,
                                       struct ingot_error *err)
{
    igt_place_drop(place);
    return hand_over(place, copy_database(place, err), ret_url);
}

static enum ingot_status copy_large(struct igt_place *place, struct igt_place *from,
                                    struct ingot_error *err)
{
    leave_database(from);
    begin_database(place, place->admin, from->name, LARGE_MODEL, place->name);
    enum ingot_status status = end_database(place->admin, err);
    enum ingot_status back = connect_to(from->url, &from->inside, status ? NULL : err);
    status = status ? status : back;
    return status ? status : enter_database(place, err);
}

enum ingot_status igt_place_copy(struct igt_place *place, struct igt_place *from,
                                 const char **ret_url, struct ingot_error *err)
{
    igt_place_drop(place);
    return hand_over(place, copy_large(place, from, err), ret_url);
}

enum ingot_status igt_place_settle(struct igt_place *place, struct ingot_error *err)
{
    double bytes;
    if (place->kind == IGT_PLACE_SQLITE)
        return file_bytes(place->url, &bytes, err);
    enum ingot_status status = run(place->inside, "VACUUM (ANALYZE)", err, "vacuum a database");
    run(place->inside, "CHECKPOINT", NULL, "checkpoint"); /* not everybody may */
    return status;
}

enum ingot_status igt_place_pin(struct igt_place *place, enum igt_pin pin, struct ingot_error *err)
{
    static const char *const begin[] = {
        [IGT_PIN_SNAPSHOT] = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class",
        [IGT_PIN_XID] = "BEGIN; SELECT pg_current_xact_id()",
    };
    if (pin == IGT_PIN_NONE || place->kind != IGT_PLACE_POSTGRES)
        return INGOT_OK;
    enum ingot_status status = connect_to(place->url, &place->pinned, err);
    return status ? status : run(place->pinned, begin[pin], err, "hold a transaction open");
}

void igt_place_unpin(struct igt_place *place)
{
    PQfinish(place->pinned);
    place->pinned = NULL;
}

enum ingot_status igt_place_mark(struct igt_place *place, struct ingot_error *err)
{
    if (place->kind == IGT_PLACE_SQLITE)
        return file_bytes(place->url, &place->bytes_before, err);
    /* Only where they are at hand; without them the images are not told apart. */
    run(place->inside, "CREATE EXTENSION IF NOT EXISTS pg_walinspect", NULL, "count images");
    enum ingot_status status = run(place->inside, "CHECKPOINT", NULL, "checkpoint");
    (void)status; /* not everybody may: then there are more images */
    ask(place->inside, "SELECT pg_current_wal_insert_lsn()", NULL, place->mark, sizeof place->mark);
    return place->mark[0] ? INGOT_OK : complain(place->inside, err, "read the place in the WAL");
}

enum ingot_status igt_place_written(struct igt_place *place, struct igt_written *ret_written,
                                    struct ingot_error *err)
{
    char text[64];
    ret_written->images = 0;
    if (place->kind == IGT_PLACE_SQLITE) {
        enum ingot_status status = file_bytes(place->url, &ret_written->bytes, err);
        ret_written->bytes -= place->bytes_before;
        return status;
    }
    ask(place->inside, "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), $1::pg_lsn)",
        place->mark, text, sizeof text);
    ret_written->bytes = strtod(text, NULL);
    ask(place->inside,
        "SELECT sum(fpi_size) FROM pg_get_wal_stats($1::pg_lsn, pg_current_wal_flush_lsn())",
        place->mark, text, sizeof text);
    ret_written->images = text[0] ? strtod(text, NULL) : -1;
    return INGOT_OK;
}

void igt_place_connection(struct igt_place *place, char *text, size_t size)
{
    const char *host = place->admin ? PQhost(place->admin) : NULL;
    if (!host)
        snprintf(text, size, "%s", "");
    else if (host[0] == '/')
        snprintf(text, size, "Unix socket");
    else
        snprintf(text, size, "TCP, %s", PQsslInUse(place->admin) ? "TLS" : "no TLS");
}

void igt_place_setting(struct igt_place *place, const char *name, char *text, size_t size)
{
    if (place->kind == IGT_PLACE_POSTGRES)
        ask(place->admin, "SELECT current_setting($1, true)", name, text, size);
    else
        snprintf(text, size, "%s", strcmp(name, "server_version") == 0 ? sqlite3_libversion() : "");
}
