/* A fresh store for each test, and short ways to fill it; see fixture.h. */
#include "fixture.h"

#include <errno.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A login with the rights of ingot_writer and no others: what the daemon is. */
#define WRITER "ingot_test"

static const char *kind = "memory";

int fixture_is_durable(void)
{
    return strcmp(kind, "memory") != 0;
}

int fixture_has_clock(void)
{
    return strcmp(kind, "postgres") != 0;
}

static int64_t real_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

void fixture_assert_now(const struct fixture *fixture, int64_t time_us)
{
    if (fixture_has_clock())
        assert_int_equal(time_us, fixture->now_us);
    else
        assert_in_range(time_us, fixture->begun_us, real_now_us());
}

/* ---- the server --------------------------------------------------------- */

/*
 * PG* in the environment say where it is and who we are: a superuser. A program
 * makes one database, which is emptied after each test: to make another takes
 * seconds, for its hundreds of files. Tests that change what cannot be emptied
 * get a copy each.
 */
static PGconn *server; /* to its database "postgres" */
static char database[40];
static enum { SHARED, OWN } databases = SHARED;

/* Runs SQL; what it gives first goes to answer, if there is room. 0, or what went wrong was printed. */
static int run(PGconn *connection, const char *sql, char *answer, size_t size)
{
    PGresult *result = PQexec(connection, sql);
    int failed =
        PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK;
    if (failed)
        print_message("# %s: %s", sql, PQresultErrorMessage(result));
    else if (answer && PQntuples(result) && PQnfields(result))
        snprintf(answer, size, "%s", PQgetisnull(result, 0, 0) ? "NULL" : PQgetvalue(result, 0, 0));
    else if (answer)
        snprintf(answer, size, "nothing");
    PQclear(result);
    return failed ? -1 : 0;
}

/* Formats SQL and runs it on the server. */
__attribute__((format(printf, 1, 2))) static int run_on_server(const char *format, ...)
{
    char sql[512];
    va_list values;
    va_start(values, format);
    vsnprintf(sql, sizeof sql, format, values);
    va_end(values);
    return run(server, sql, NULL, 0);
}

static void drop_database(void)
{
    run_on_server("DROP DATABASE IF EXISTS %s WITH (FORCE)", database);
    PQfinish(server);
}

/* What the server cannot do without, or the program ends: there is nothing to test then. */
static void insist(int condition, const char *what, const char *why)
{
    if (condition)
        return;
    printf("Bail out! %s: %s\n# these tests need a server: tools/with-postgres.sh %s postgres\n",
           what, why, program_invocation_name);
    exit(2);
}

/* The roles belong to the whole server, so that programs make their databases one by one. */
static void make_database(void)
{
    char url[80];
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    const char *password = getenv("PGPASSWORD");
    char *quoted =
        PQescapeLiteral(server, password ? password : "", password ? strlen(password) : 0);
    snprintf(database, sizeof database, "ingot_test_%d", (int)getpid());
    snprintf(url, sizeof url, "postgres:///%s", database);
    run_on_server("SELECT pg_advisory_lock(20261124)");
    insist(run_on_server("CREATE DATABASE %s", database) == 0, database, "could not be created");
    atexit(drop_database);
    insist(ingot_options_from_url(url, &options, &err) == INGOT_OK &&
               ingot_store_open(&options, NULL, &store, &err) == INGOT_OK,
           database, err.message);
    ingot_store_close(store);
    insist(run_on_server("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" WRITER
                         "') THEN CREATE ROLE " WRITER " LOGIN PASSWORD %s; END IF; END $$;"
                         "GRANT ingot_writer TO " WRITER,
                         quoted) == 0,
           WRITER, "could not be created");
    run_on_server("SELECT pg_advisory_unlock(20261124)");
    PQfreemem(quoted);
}

void fixture_use(const char *name)
{
    kind = name;
    if (fixture_has_clock() || server)
        return;
    insist(getenv("PGHOST") != NULL, "postgres", "PGHOST is not set");
    server = PQconnectdb("dbname=postgres options='-c client_min_messages=warning'");
    insist(PQstatus(server) == CONNECTION_OK, "postgres", PQerrorMessage(server));
    make_database();
}

void fixture_use_own_databases(void)
{
    databases = OWN;
}

static PGconn *connect_to(const struct fixture *fixture)
{
    char conninfo[160];
    snprintf(conninfo, sizeof conninfo,
             "dbname=%s options='-c search_path=ingot,public -c client_min_messages=warning'",
             fixture->database);
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(connection));
    return connection;
}

/* ---- a store for each test ---------------------------------------------- */

static int64_t now_us(void *context)
{
    return ((struct fixture *)context)->now_us;
}

static void fill_random(void *context, void *out, size_t size)
{
    struct fixture *fixture = context;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)out)[i] = (unsigned char)(rand_r(&fixture->seed) >> 8);
}

enum ingot_status fixture_open(struct fixture *fixture, enum ingot_mode mode,
                               struct ingot_store **ret_store, struct ingot_error *err)
{
    struct ingot_options options;
    enum ingot_status status = ingot_options_from_url(fixture->url, &options, err);
    options.mode = mode;
    return status ? status : ingot_store_open(&options, &fixture->toolkit, ret_store, err);
}

int fixture_set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct ingot_error err = {0};
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/ingot-test-XXXXXX");
    if (!mkdtemp(fixture->folder))
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/store.db", fixture->folder);
    fixture->begun_us = real_now_us();
    fixture->now_us = NOON_US;
    if (!fixture_has_clock()) {
        fixture->now_us = fixture->begun_us / SECOND_US * SECOND_US;
        static unsigned number;
        snprintf(fixture->database, sizeof fixture->database, "%s", database);
        if (databases == OWN) {
            snprintf(fixture->database, sizeof fixture->database, "%s_%u", database, number++);
            if (run_on_server("CREATE DATABASE %s TEMPLATE %s", fixture->database, database))
                return -1;
        }
        snprintf(fixture->url, sizeof fixture->url, "postgres://" WRITER "@/%s", fixture->database);
    } else if (fixture_is_durable()) {
        snprintf(fixture->url, sizeof fixture->url, "%s:%s", kind, fixture->path);
    } else {
        snprintf(fixture->url, sizeof fixture->url, "%s:", kind);
    }
    fixture->seed = 1;
    fixture->toolkit.context = fixture;
    fixture->toolkit.now_us = now_us;
    fixture->toolkit.random = fill_random;
    ingot_ksuid_generator_init(&fixture->generator);
    *state = fixture;
    if (fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, &err) != INGOT_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *file, int type, struct FTW *place)
{
    (void)file, (void)type, (void)place;
    return remove(path);
}

/* As a superuser, past the triggers. */
static void empty_database(const struct fixture *fixture)
{
    PGconn *connection = connect_to(fixture);
    run(connection,
        "SET session_replication_role = replica;"
        "DELETE FROM events; DELETE FROM added_jobs; DELETE FROM transitions;"
        "DELETE FROM retirements; DELETE FROM notices; DELETE FROM heartbeats;"
        "DELETE FROM checkpoints; DELETE FROM routes;",
        NULL, 0);
    PQfinish(connection);
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;
    ingot_store_close(fixture->store);
    if (fixture->database[0] && databases == OWN)
        run_on_server("DROP DATABASE %s WITH (FORCE)", fixture->database);
    else if (fixture->database[0])
        empty_database(fixture);
    nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

void fixture_reopen(struct fixture *fixture)
{
    struct ingot_error err = {0};
    if (!fixture_is_durable())
        return;
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    if (fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, &err) != INGOT_OK)
        fail_msg("%s", err.message);
}

static int sqlite_sql(const struct fixture *fixture, const char *sql)
{
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (code == SQLITE_OK) {
        sqlite3_wal_autocheckpoint(db, 0);
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_exec(db, sql, NULL, NULL, NULL);
        code = sqlite3_extended_errcode(db);
    }
    sqlite3_close(db);
    return code;
}

int fixture_sql(const struct fixture *fixture, const char *sql)
{
    if (!fixture->database[0])
        return sqlite_sql(fixture, sql);
    PGconn *connection = connect_to(fixture);
    int code = run(connection, sql, NULL, 0);
    PQfinish(connection);
    return code;
}

void fixture_widen(const struct fixture *fixture, const char *function)
{
    char sql[1200];
    snprintf(
        sql, sizeof sql,
        "DO $do$ DECLARE f record; BEGIN "
        "SELECT p.proname, pg_get_function_arguments(p.oid) AS given, "
        "       CASE WHEN p.prorettype = 'record'::regtype "
        "            THEN substring(pg_get_function_result(p.oid) FROM '^TABLE\\((.*)\\)$') "
        "            ELSE 'id ' || p.prorettype::regtype END AS columns, "
        "       (SELECT string_agg('$' || n, ',') FROM generate_series(1, p.pronargs) AS n) AS "
        "passed "
        "INTO STRICT f FROM pg_proc p WHERE p.pronamespace = 'ingot'::regnamespace "
        "AND p.proname = '%s' ORDER BY p.pronargs DESC LIMIT 1; "
        "EXECUTE format('ALTER FUNCTION ingot.%%I(%%s) RENAME TO narrow', f.proname, f.given); "
        "EXECUTE format('CREATE FUNCTION ingot.%%I(%%s) RETURNS TABLE (%%s, more int) LANGUAGE sql "
        "AS $f$ SELECT n.*, 1 FROM ingot.narrow(%%s) AS n $f$', "
        "f.proname, f.given, f.columns, f.passed); END $do$",
        function);
    assert_int_equal(fixture_sql(fixture, sql), 0);
}

static void sqlite_ask(const struct fixture *fixture, const char *sql, char *answer, size_t size)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const unsigned char *text = sqlite3_column_text(statement, 0);
    snprintf(answer, size, "%s", text ? (const char *)text : "NULL");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

const char *fixture_ask(const struct fixture *fixture, const char *sql)
{
    static char answer[1024];
    if (!fixture->database[0]) {
        sqlite_ask(fixture, sql, answer, sizeof answer);
        return answer;
    }
    PGconn *connection = connect_to(fixture);
    int code = run(connection, sql, answer, sizeof answer);
    PQfinish(connection);
    assert_int_equal(code, 0);
    return answer;
}

ingot_ksuid fixture_id(struct fixture *fixture)
{
    ingot_ksuid id;
    ingot_ksuid_generate(&fixture->generator, &fixture->toolkit, &id);
    return id;
}

ingot_ksuid fixture_id_of(struct fixture *fixture, int64_t time_us)
{
    ingot_ksuid id = fixture_id(fixture);
    uint64_t seconds = (uint64_t)(time_us / SECOND_US - INGOT_KSUID_EPOCH);
    for (size_t i = 0; i < 4; i++)
        id.bytes[i] = (uint8_t)(seconds >> (24 - 8 * i));
    return id;
}

struct ingot_event fixture_event(struct fixture *fixture, struct ingot_job *jobs, size_t job_count)
{
    return (struct ingot_event){
        .id = fixture_id(fixture),
        .source = ingot_bytes_of("shop"),
        .name = ingot_bytes_of("order.paid"),
        .context = ingot_bytes_of("{\"ip\":\"::1\"}"),
        .data = ingot_bytes_of("{\"order\": 7}"),
        .sent_us = INGOT_NO_TIME,
        .received_us = INGOT_NO_TIME,
        .ingested_us = INGOT_NO_TIME,
        .retired_us = INGOT_NO_TIME,
        .jobs = jobs,
        .job_count = job_count,
    };
}

struct ingot_job fixture_job(struct fixture *fixture, const char *destination, const char *event)
{
    return (struct ingot_job){
        .id = fixture_id(fixture),
        .destination = ingot_bytes_of(destination),
        .event = ingot_bytes_of(event),
        .due_us = INGOT_NO_TIME,
        .created_us = INGOT_NO_TIME,
    };
}

void fixture_put(struct fixture *fixture, const struct ingot_event *event)
{
    struct ingot_event copy = *event;
    struct ingot_queue queue = {&copy, 1};
    enum ingot_verdict verdict = INGOT_PENDING;
    struct ingot_error err = {0};
    if (ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, &verdict, &err))
        fail_msg("%s: %s: %s", err.message, err.validations[0].path, err.validations[0].message);
    assert_int_equal(verdict, INGOT_STORED);
}

ingot_ksuid fixture_put_one(struct fixture *fixture, const char *destination)
{
    struct ingot_job job = fixture_job(fixture, destination, "order.paid");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    fixture_put(fixture, &event);
    return event.id;
}

ingot_ksuid fixture_owner(char letter)
{
    ingot_ksuid owner = {.bytes = {0x17, (uint8_t)letter}};
    return owner;
}

struct ingot_transition fixture_row(const ingot_ksuid *event_id, uint32_t job, uint32_t seq,
                                    enum ingot_state before, enum ingot_state after,
                                    uint16_t attempt)
{
    struct ingot_transition row = {
        .event_id = *event_id,
        .job = job,
        .seq = seq,
        .attempt = attempt,
        .state_before = before,
        .state_after = after,
        .due_us = after == INGOT_STATE_AWAITING ? NOON_US + DAY_US : INGOT_NO_TIME,
    };
    if (before == INGOT_STATE_EXECUTING || after == INGOT_STATE_EXECUTING)
        row.owner = fixture_owner('a');
    return row;
}

enum ingot_verdict fixture_add(struct fixture *fixture, const struct ingot_transition *row)
{
    struct ingot_result result;
    struct ingot_error err = {0};
    if (ingot_store_add_transitions(fixture->store, &fixture->toolkit, row, 1, &result, &err))
        fail_msg("%s", err.message);
    if (result.verdict == INGOT_REFUSED)
        print_message("# refused: %s\n", result.reason);
    return result.verdict;
}

void fixture_walk(struct fixture *fixture, const ingot_ksuid *event_id, uint32_t job,
                  const enum ingot_state *states)
{
    enum ingot_state before = INGOT_STATE_ACKNOWLEDGED;
    uint16_t attempt = 0;
    for (uint32_t i = 0; states[i] != INGOT_STATE_NONE; i++) {
        if (states[i] == INGOT_STATE_EXECUTING)
            attempt++;
        struct ingot_transition row = fixture_row(event_id, job, i + 1, before, states[i], attempt);
        assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
        before = states[i];
    }
}

enum ingot_state fixture_state(struct fixture *fixture, const ingot_ksuid *event_id, uint32_t job)
{
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_event(fixture->store, &fixture->toolkit, event_id, &page, NULL),
                     INGOT_OK);
    assert_true(job < page->events[0].job_count);
    enum ingot_state state = page->events[0].jobs[job].latest.state_after;
    ingot_page_destroy(page);
    return state;
}

static void print_violation(void *context, const struct ingot_violation *violation)
{
    (void)context;
    print_message("# %s %lld %lld: %s\n", violation->invariant, (long long)violation->job,
                  (long long)violation->seq, violation->message);
}

struct ingot_verification fixture_verify(struct fixture *fixture)
{
    struct ingot_verification verification = {0};
    struct ingot_error err = {0};
    if (ingot_store_verify(fixture->store, &fixture->toolkit, print_violation, NULL, &verification,
                           &err))
        fail_msg("%s", err.message);
    assert_int_equal(verification.violations, 0);
    return verification;
}

void assert_validation(const struct ingot_error *err, const char *path, const char *message)
{
    assert_int_equal(err->validation_count, 1);
    assert_string_equal(err->validations[0].path, path);
    assert_string_equal(err->validations[0].message, message);
}
