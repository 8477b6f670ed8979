/*
 * Connections to PostgreSQL: how one is made, what a server must be like before
 * anything is asked of it, what its errors mean, and the store's migrations.
 * Nothing of a connection string is ever shown: it may hold a password.
 */
#include "postgres.h"

#include "postgres_sql.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION_MIN 130000

#define CONNECT_WAIT_FIRST_US 50000
#define CONNECT_WAIT_MAX_US 1000000

/* What is used so often is used for long: a tool's one question needs no names. */
#define NAMES_AFTER 16

/* Of our clock and the database's. */
#define CLOCKS_APART_MAX_US (INT64_C(3600) * 1000000)

enum ingot_status postgres_no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store/postgres: memory ran out");
}

int64_t postgres_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- errors ------------------------------------------------------------- */

/* By the first entry whose letters an SQLSTATE begins with. */
static const struct {
    const char *begins;
    enum ingot_status status;
} classes[] = {
    {"08", INGOT_RETRY},     {"0A", INGOT_UNSUPPORTED}, {"22", INGOT_INVALID},
    {"23", INGOT_INVALID},   {"25", INGOT_RETRY}, /* read-only: a failover is under way; or a transaction that idled too long */
    {"28", INGOT_DENIED},    {"3F", INGOT_CORRUPT},     {"40", INGOT_RETRY},
    {"42501", INGOT_DENIED}, {"42", INGOT_CORRUPT},     {"53200", INGOT_NOMEM},
    {"53", INGOT_RETRY},     {"54", INGOT_LIMIT},       {"55P03", INGOT_RETRY},
    {"57", INGOT_RETRY},     {"XX", INGOT_CORRUPT},
};

static enum ingot_status class_of(const char *sqlstate)
{
    if (!sqlstate)
        return INGOT_RETRY;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(sqlstate, classes[i].begins, strlen(classes[i].begins)) == 0)
            return classes[i].status;
    return INGOT_IO;
}

/* Makes what a server said one line that a log in logfmt and a terminal can bear. */
static void make_printable(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at == '"')
            *at = '\'';
        else if (*at < 0x20)
            *at = ' ';
        else if (*at == 0x7f || (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)) /* DEL, C1 */
            *at = '?';
    }
}

/* What to do about an error, to stand behind it. */
static const char *advice(enum ingot_status status, const char *sqlstate)
{
    if (status == INGOT_CORRUPT)
        return "; see `ingot migrate status`";
    if (sqlstate && strcmp(sqlstate, "42501") == 0)
        return "; the daemon needs the role ingot_writer, `ingot migrate` the owner's rights";
    return "";
}

/* How much of a message is shown: libpq's further lines quote rows. */
static int first_line(const char *message, size_t max)
{
    size_t len = strcspn(message, "\n");
    return (int)(len < max ? len : max);
}

/* Whether a row was for a day that has no segment: a check without a name. */
static int lacks_segment(const PGresult *result, const char *sqlstate)
{
    return sqlstate && strcmp(sqlstate, "23514") == 0 &&
           !PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
}

/*
 * Whether it no longer knows a name, or what it calls answers with other columns now. Its
 * pipeline did nothing then.
 */
static int lost_a_name(const PGresult *result, const char *sqlstate)
{
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    return sqlstate &&
           (strcmp(sqlstate, "26000") == 0 || (strcmp(sqlstate, "0A000") == 0 && function &&
                                               strcmp(function, "RevalidateCachedQuery") == 0));
}

enum ingot_status postgres_failure(struct postgres_store *store, const PGresult *result,
                                   struct ingot_error *err, const char *what)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const int is_lost = store->has_names && lost_a_name(result, sqlstate);
    const enum ingot_status status = is_lost ? INGOT_RETRY : class_of(sqlstate);
    const char *hint = advice(status, sqlstate);
    if (!primary)
        primary = PQerrorMessage(store->connection);
    if (err) {
        snprintf(err->sqlstate, sizeof err->sqlstate, "%s", sqlstate ? sqlstate : "");
        err->status_code = sqlstate && strcmp(sqlstate, "53100") == 0 ? 507 : 0;
        if (lacks_segment(result, sqlstate))
            ingot_error_set(err, status,
                            "store/postgres: %s: there is no segment for that day; ids are "
                            "admitted from 7 days ago to one day ahead, and make_segments makes "
                            "theirs",
                            what);
        else
            ingot_error_set(err, status, "store/postgres: %s: %.*s%s", what,
                            first_line(primary, sizeof err->message - 50 - strlen(hint)), primary,
                            hint);
        make_printable(err->message);
    }
    store->is_nameless |= is_lost;
    if (is_lost || PQstatus(store->connection) != CONNECTION_OK ||
        (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)))
        postgres_drop(store);
    return status;
}

/* ---- connecting --------------------------------------------------------- */

const char *postgres_conninfo(const char *url)
{
    static const char scheme[] = "postgres:";
    const size_t len = sizeof scheme - 1;
    return strncmp(url, scheme, len) == 0 && strncmp(url + len, "//", 2) != 0 ? url + len : url;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    while (options->keyword && strcmp(options->keyword, keyword) != 0)
        options++;
    return options->keyword && options->val ? options->val : "";
}

/*
 * A password in a URL that has '@', '/' or ':' in it lands in what libpq takes
 * for host, port or database, and these stand in its messages. An '@' before a
 * host is a socket in the abstract name space.
 */
static int looks_misread(const PQconninfoOption *options)
{
    const char *host = value_of(options, "host"), *port = value_of(options, "port");
    for (const char *at = host; (at = strchr(at, '@')); at++)
        if (at != host && at[-1] != ',')
            return 1;
    return strchr(value_of(options, "dbname"), '@') || port[strspn(port, "0123456789,")];
}

enum ingot_status postgres_check_conninfo(const char *conninfo, struct ingot_error *err)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    enum ingot_status status = INGOT_OK;
    if (!options && !why)
        status = postgres_no_memory(err);
    else if (!options || looks_misread(options))
        status = ingot_error_set(err, INGOT_INVALID,
                                 "store/postgres: the connection cannot be understood (it is not "
                                 "shown for its password); write postgres://USER@HOST/DATABASE, "
                                 "with %%40 for an @, %%2F for a / and %%3A for a :");
    PQfreemem(why); /* it may quote the password */
    PQconninfoFree(options);
    return status;
}

void postgres_aim(struct postgres_target *target, const char *conninfo)
{
    static const struct {
        const char *keyword, *value;
    } defaults[] = {
        {"connect_timeout", "5"},  {"keepalives_idle", "10"},     {"keepalives_interval", "5"},
        {"keepalives_count", "3"}, {"tcp_user_timeout", "20000"},
    };
    /*
     * What a URL, the environment and service files make together, only a
     * connection tells: this one is refused before it looks for a server.
     */
    const char *const keywords[] = {"dbname", "sslmode", NULL};
    const char *const values[] = {conninfo, "none of them", NULL};
    PGconn *probe = PQconnectStartParams(keywords, values, 1);
    PQconninfoOption *given = PQconninfo(probe);
    PQfinish(probe);
    target->count = 0;
    postgres_aim_at(target, "fallback_application_name", "ingot");
    postgres_aim_at(target, "dbname", conninfo);
    postgres_aim_at(target, "client_encoding", "UTF8"); /* the last of two counts */
    for (size_t i = 0; given && i < sizeof defaults / sizeof defaults[0]; i++)
        if (!value_of(given, defaults[i].keyword)[0])
            postgres_aim_at(target, defaults[i].keyword, defaults[i].value);
    /* Of several hosts none but the primary will do. */
    if (given && strchr(value_of(given, "host"), ',') &&
        strcmp(value_of(given, "target_session_attrs"), "any") == 0)
        postgres_aim_at(target, "target_session_attrs", "read-write");
    PQconninfoFree(given);
}

void postgres_aim_at(struct postgres_target *target, const char *keyword, const char *value)
{
    target->keywords[target->count] = keyword;
    target->values[target->count++] = value;
    target->keywords[target->count] = target->values[target->count] = NULL;
}

void postgres_ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

static enum ingot_status connect_store(struct postgres_store *store, struct ingot_error *err)
{
    struct postgres_target target;
    postgres_aim(&target, store->conninfo);
    store->connection = PQconnectdbParams(target.keywords, target.values, 1);
    if (!store->connection)
        return postgres_no_memory(err);
    PQsetNoticeReceiver(store->connection, postgres_ignore_notice, NULL);
    if (PQstatus(store->connection) == CONNECTION_OK)
        return INGOT_OK;
    /* libpq keeps the SQLSTATE of a login to itself. */
    const int denied =
        PQconnectionNeedsPassword(store->connection) || PQconnectionUsedPassword(store->connection);
    enum ingot_status status = postgres_failure(store, NULL, err, "could not connect");
    if (denied && !store->started) {
        status = INGOT_DENIED;
        if (err)
            err->status = status;
    }
    return status;
}

/* ---- what a server must be like ----------------------------------------- */

/* The columns of sql_check_server. */
enum check { K_VERSION, K_STANDBY, K_FSYNC, K_READ_ONLY, K_UTF8, K_NOW, K_SCHEMA, K_PID };

/* The columns of sql_check_life. */
enum life { L_EPOCH, L_SAME_SERVER, L_MAY_CHANGE, L_FULL_PAGES };

/* The first reason why the server will not do. */
static enum ingot_status judge_server(const struct postgres_store *store, const PGresult *result,
                                      int64_t now_us, struct ingot_error *err)
{
    const int64_t apart_us = postgres_get_time(result, 0, K_NOW) - now_us;
    if (postgres_get_int(result, 0, K_VERSION) < VERSION_MIN)
        return ingot_error_set(
            err, INGOT_UNSUPPORTED,
            "store/postgres: the server is older than PostgreSQL 13; upgrade it");
    if (postgres_get_int(result, 0, K_STANDBY))
        return ingot_error_set(err, INGOT_DENIED,
                               "store/postgres: the server is a standby; name the primary, or all "
                               "hosts that may become it");
    if (!postgres_get_int(result, 0, K_FSYNC))
        return ingot_error_set(err, INGOT_UNSUPPORTED,
                               "store/postgres: the server runs with fsync = off and would lose "
                               "what it has confirmed; set fsync = on");
    if (!postgres_get_int(result, 0, K_UTF8))
        return ingot_error_set(err, INGOT_UNSUPPORTED,
                               "store/postgres: the database's encoding is not UTF8; make one with "
                               "ENCODING 'UTF8'");
    if (store->mode == INGOT_MODE_WRITE && postgres_get_int(result, 0, K_READ_ONLY))
        return ingot_error_set(
            err, INGOT_DENIED,
            "store/postgres: default_transaction_read_only is on for this login; "
            "set it to off");
    if (apart_us > CLOCKS_APART_MAX_US || apart_us < -CLOCKS_APART_MAX_US)
        return ingot_error_set(err, INGOT_INVALID,
                               "store/postgres: the server's clock is %lld s %s ours; set the one "
                               "that is wrong",
                               (long long)(apart_us < 0 ? -apart_us : apart_us) / 1000000,
                               apart_us < 0 ? "behind" : "ahead of");
    if (store->mode == INGOT_MODE_READ && !postgres_get_int(result, 0, K_SCHEMA))
        return ingot_error_set(err, INGOT_NOT_FOUND,
                               "store/postgres: there is no store in this database; `ingot serve` "
                               "or `ingot migrate` makes one");
    return INGOT_OK;
}

/* Reads the epoch, which must be of this server's life (PROTOCOL 3.4). */
static enum ingot_status judge_life(struct postgres_store *store, const PGresult *result,
                                    struct ingot_error *err)
{
    if (PQntuples(result) != 1)
        return ingot_error_set(err, INGOT_CORRUPT,
                               "store/postgres: ingot.epochs has no row; restore the store");
    if (!postgres_get_int(result, 0, L_SAME_SERVER))
        return ingot_error_set(err, INGOT_INVALID,
                               "store/postgres: this store was restored or copied from another "
                               "server; stop all that use it and run `ingot migrate "
                               "accept-restore`");
    store->epoch = (int)postgres_get_int(result, 0, L_EPOCH);
    return INGOT_OK;
}

/* Checks a new connection, in one round trip. */
static enum ingot_status check(struct postgres_store *store, const struct ingot_toolkit *toolkit,
                               struct ingot_error *err)
{
    struct postgres_statement statements[] = {{sql_check_server, NULL, NULL},
                                              {sql_check_life, NULL, NULL}};
    const size_t count = store->started ? 2 : 1;
    enum ingot_status status =
        postgres_run(store, statements, count, POSTGRES_READS, err, "could not look at the server");
    if (status)
        return status;
    status = judge_server(store, statements[0].result, toolkit->now_us(toolkit->context), err);
    store->is_pooled =
        postgres_get_int(statements[0].result, 0, K_PID) != PQbackendPID(store->connection);
    if (!status && store->started)
        status = judge_life(store, statements[1].result, err);
    postgres_clear(statements, count);
    return status;
}

/* Whether the server has not ended the connection, as far as one can tell without asking. */
static int is_alive(PGconn *connection)
{
    struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN};
    for (int i = 0; i < 3 && poll(&fd, 1, 0) > 0; i++)
        if (!PQconsumeInput(connection))
            return 0;
    return PQstatus(connection) == CONNECTION_OK;
}

int64_t postgres_longer_us(int64_t wait_us)
{
    if (wait_us < CONNECT_WAIT_FIRST_US)
        return CONNECT_WAIT_FIRST_US;
    return wait_us < CONNECT_WAIT_MAX_US / 2 ? wait_us * 2 : CONNECT_WAIT_MAX_US;
}

/* Sets the time of the next try: between a half of the wait and the whole. */
static void postpone(struct postgres_store *store, const struct ingot_toolkit *toolkit)
{
    uint32_t jitter;
    toolkit->random(toolkit->context, &jitter, sizeof jitter);
    store->connect_wait_us = postgres_longer_us(store->connect_wait_us);
    store->next_connect_us = postgres_monotonic_us() + store->connect_wait_us / 2 +
                             store->connect_wait_us / 2 * (jitter % 1024) / 1024;
}

/* While it runs, whatever a server is refused for may be mended without us. */
static enum ingot_status passing(const struct postgres_store *store, enum ingot_status status,
                                 struct ingot_error *err)
{
    if (!store->started || status == INGOT_NOMEM)
        return status;
    if (err)
        err->status = INGOT_RETRY;
    return INGOT_RETRY;
}

/* A connection that was there: one that is used so often gets names. */
static enum ingot_status use_again(struct postgres_store *store, struct ingot_error *err)
{
    if (!store->started || store->uses == NAMES_AFTER || ++store->uses < NAMES_AFTER)
        return INGOT_OK;
    return postgres_name_statements(store, err);
}

enum ingot_status postgres_ready(struct postgres_store *store, const struct ingot_toolkit *toolkit,
                                 struct ingot_error *err)
{
    if (store->flights)
        return ingot_error_set(err, INGOT_INVALID,
                               "store/postgres: a commit was sent and is not finished");
    if (store->connection && !is_alive(store->connection))
        postgres_drop(store);
    postgres_rollback(store); /* nothing, as a rule */
    if (store->connection)
        return use_again(store, err);
    const int64_t left_us = store->next_connect_us - postgres_monotonic_us();
    if (left_us > 0)
        return ingot_error_set(err, INGOT_RETRY, "%s; the next try is in %lld ms", store->refusal,
                               (long long)left_us / 1000 + 1);
    struct ingot_error why = {0};
    enum ingot_status status = connect_store(store, &why);
    if (!status)
        status = check(store, toolkit, &why);
    if (!status) {
        store->connect_wait_us = 0;
        return INGOT_OK;
    }
    postgres_drop(store);
    postpone(store, toolkit);
    snprintf(store->refusal, sizeof store->refusal, "%s", why.message);
    if (err)
        *err = why;
    return passing(store, status, err);
}

/* ---- opening ------------------------------------------------------------ */

static struct ingot_options *postgres_options(struct ingot_options *given)
{
    if (!given->connection) /* SEED row 46 */
        given->connection = getenv("POSTGRES_STORE_URL");
    if (!given->connection)
        given->connection = "";
    return given;
}

static enum ingot_status postgres_open(void *handle, const struct ingot_options *options,
                                       const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    const char *conninfo = postgres_conninfo(options->connection);
    store->mode = options->mode;
    enum ingot_status status = postgres_check_conninfo(conninfo, err);
    if (!status)
        status = postgres_bell_create(options, &store->bell, err);
    if (status)
        return status;
    store->conninfo = strdup(conninfo);
    if (!store->conninfo)
        return postgres_no_memory(err);
    return postgres_ready(store, toolkit, err);
}

static enum ingot_status postgres_start(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_error *err)
{
    struct postgres_store *store = handle;
    PGresult *result = NULL;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_query(store, sql_check_life, NULL, &result, err, "could not start");
    if (status)
        return status;
    status = judge_life(store, result, err);
    if (!status && store->mode == INGOT_MODE_WRITE && postgres_get_int(result, 0, L_MAY_CHANGE))
        toolkit->log(toolkit->context, INGOT_WARN,
                     "event=login_may_do_too_much "
                     "hint=\"log in as a member of ingot_writer, which cannot change rows\"");
    if (!status && store->mode == INGOT_MODE_WRITE && !postgres_get_int(result, 0, L_FULL_PAGES))
        toolkit->log(toolkit->context, INGOT_WARN,
                     "event=full_page_writes_off "
                     "hint=\"a power cut may damage the store, unless its file system writes whole "
                     "pages\"");
    PQclear(result);
    store->started = !status;
    return status;
}

static void postgres_close(void *handle)
{
    struct postgres_store *store = handle;
    postgres_forget_flights(store);
    postgres_drop(store);
    postgres_bell_destroy(store->bell);
    free(store->conninfo);
}

/* ---- migrations --------------------------------------------------------- */

static const struct ingot_adapter_migration *postgres_migrations(size_t *ret_count)
{
    *ret_count = sizeof migrations / sizeof migrations[0];
    return migrations;
}

/* Copies a text of the ledger, cut to the room there is. */
static void copy_text(char *to, size_t size, const PGresult *result, int row, int column)
{
    struct ingot_bytes text = postgres_get_bytes(result, row, column);
    snprintf(to, size, "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
}

static enum ingot_status read_ledger(struct postgres_store *store, PGresult **ret_result,
                                     struct ingot_error *err)
{
    PGresult *there = NULL;
    enum ingot_status status = postgres_query(store, sql_ledger_exists, NULL, &there, err,
                                              "could not read the migrations");
    if (status)
        return status;
    if (postgres_get_int(there, 0, 0))
        status = postgres_query(store, sql_ledger, NULL, ret_result, err,
                                "could not read the migrations");
    PQclear(there);
    return status;
}

static enum ingot_status postgres_ledger(void *handle, struct ingot_ledger_row *rows, size_t *count,
                                         struct ingot_error *err)
{
    struct postgres_store *store = handle;
    PGresult *result = NULL;
    if (!store->connection)
        return ingot_error_set(err, INGOT_RETRY, "store/postgres: there is no connection");
    enum ingot_status status = read_ledger(store, &result, err);
    const int read = PQntuples(result);
    if (!status && (size_t)read > *count)
        status = ingot_error_set(err, INGOT_LIMIT,
                                 "store/postgres: it has run more than %zu migrations", *count);
    for (int i = 0; i < read && !status; i++) {
        rows[i] = (struct ingot_ledger_row){
            .version = (uint64_t)postgres_get_int(result, i, 0),
            .direction = postgres_get_int(result, i, 3) ? INGOT_DOWN : INGOT_UP,
            .created_us = postgres_get_time(result, i, 4),
        };
        copy_text(rows[i].name, sizeof rows[i].name, result, i, 1);
        copy_text(rows[i].up_sha256, sizeof rows[i].up_sha256, result, i, 2);
    }
    if (!status)
        *count = (size_t)read;
    PQclear(result);
    return status;
}

/* Runs SQL of several statements. */
static enum ingot_status execute(struct postgres_store *store, const char *sql,
                                 struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    PGresult *result = PQexec(store->connection, sql);
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        break;
    default:
        status = postgres_failure(store, result, err, "could not migrate");
    }
    PQclear(result);
    return status;
}

/* INGOT_CONFLICT if the newest row of this migration has this direction. */
static enum ingot_status insert_ledger_row(struct postgres_store *store,
                                           const struct ingot_ledger_row *row,
                                           struct ingot_error *err)
{
    struct postgres_parameters parameters = {0};
    PGresult *result = NULL;
    postgres_add_long(&parameters, (int64_t)row->version);
    postgres_add_text(&parameters, ingot_bytes_of(row->name));
    postgres_add_text(&parameters, ingot_bytes_of(row->direction == INGOT_UP ? "up" : "down"));
    postgres_add_text(&parameters, ingot_bytes_of(row->up_sha256));
    enum ingot_status status =
        postgres_query(store, sql_ledger_insert, &parameters, &result, err, "could not migrate");
    if (!status && PQntuples(result) == 0)
        status = ingot_error_set(err, INGOT_CONFLICT,
                                 "store/postgres: somebody else has run migration %llu",
                                 (unsigned long long)row->version);
    PQclear(result);
    postgres_parameters_fini(&parameters);
    return status;
}

static enum ingot_status postgres_migrate(void *handle, const struct ingot_toolkit *toolkit,
                                          const struct ingot_adapter_migration *steps,
                                          const struct ingot_ledger_row *rows, size_t count,
                                          struct ingot_error *err)
{
    struct postgres_store *store = handle;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = execute(store, sql_ledger_begin, err);
    for (size_t i = 0; i < count && !status; i++) {
        status = insert_ledger_row(store, &rows[i], err);
        if (!status)
            status =
                execute(store, rows[i].direction == INGOT_UP ? steps[i].up : steps[i].down, err);
    }
    if (!status)
        status = execute(store, sql_commit, err);
    postgres_rollback(store);
    return status;
}

const struct ingot_adapter ingot_adapter_postgres;
const struct ingot_adapter ingot_adapter_postgres = {
    .abi = INGOT_ADAPTER_ABI,
    .size = sizeof(struct ingot_adapter),
    .name = "postgres",
    .handle_size = sizeof(struct postgres_store),
    .handles = INGOT_HANDLES_WRITERS,
    .options = postgres_options,
    .open = postgres_open,
    .start = postgres_start,
    .close = postgres_close,
    .commit = postgres_commit,
    .events = postgres_events,
    .find = postgres_find,
    .history = postgres_history,
    .counts = postgres_counts,
    .scan = postgres_scan,
    .publish_routes = postgres_publish_routes,
    .routes = postgres_routes,
    .migrations = postgres_migrations,
    .ledger = postgres_ledger,
    .migrate = postgres_migrate,
    .follow = postgres_follow,
    .heartbeat = postgres_heartbeat,
    .add_checkpoints = postgres_add_checkpoints,
    .checkpoints = postgres_checkpoints,
    .wake = postgres_wake,
    .wait = postgres_wait,
    .make_segments = postgres_make_segments,
    .settings = postgres_settings,
    .accept_restore = postgres_accept_restore,
    .send_commit = postgres_send_commit,
    .finish_commit = postgres_finish_commit,
};
