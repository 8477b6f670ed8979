/*
 * What is particular to the adapter "postgres": connections and what is refused
 * of them, what a server's errors mean, making a store, wake-ups, and what
 * processes tell each other. Standbys, fsync = off and poolers need servers of
 * their own: the system tests have them.
 */
#include "fixture.h"

#include "adapters/postgres/postgres.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 4

extern const struct ingot_adapter ingot_adapter_postgres;

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

/* Runs SQL as superuser in a database; 0 if it worked. */
static int sql_in(const char *database, const char *sql)
{
    struct fixture there = {0};
    snprintf(there.database, sizeof there.database, "%s", database);
    return fixture_sql(&there, sql);
}

/* Runs SQL with the fixture's database in the place of %s; it must work. */
__attribute__((format(printf, 2, 0))) static void on_server(const struct fixture *fixture,
                                                            const char *format)
{
    char sql[512];
    snprintf(sql, sizeof sql, format, fixture->database, fixture->database, fixture->database);
    assert_int_equal(sql_in("postgres", sql), 0);
}

static void end_connections(const struct fixture *fixture)
{
    on_server(fixture, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                       "WHERE datname = '%s' AND pid <> pg_backend_pid()");
}

static enum ingot_status open_url(const char *url, enum ingot_mode mode,
                                  const struct ingot_toolkit *toolkit,
                                  struct ingot_store **ret_store, struct ingot_error *err)
{
    struct ingot_options options;
    assert_int_equal(ingot_options_from_url(url, &options, err), INGOT_OK);
    options.mode = mode;
    *ret_store = NULL;
    return ingot_store_open(&options, toolkit, ret_store, err);
}

/* Opening must fail in this way, with this said. */
static void expect_refusal(const char *url, enum ingot_mode mode,
                           const struct ingot_toolkit *toolkit, enum ingot_status status,
                           const char *said)
{
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    assert_int_equal(open_url(url, mode, toolkit, &store, &err), status);
    if (!strstr(err.message, said))
        fail_msg("%s", err.message);
    assert_null(store);
}

/* One of the store's settings, in a buffer that the next call uses again. */
static const char *setting(struct ingot_store *store, const char *name)
{
    static char value[256];
    struct ingot_page *page = NULL;
    struct ingot_setting *settings = NULL;
    size_t count = 0;
    assert_int_equal(ingot_store_settings(store, NULL, &page, &settings, &count, NULL), INGOT_OK);
    snprintf(value, sizeof value, "nothing");
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            snprintf(value, sizeof value, "%s", settings[i].value);
    ingot_page_destroy(page);
    return value;
}

/* ---- connections -------------------------------------------------------- */

static void every_form_of_a_connection_leads_to_the_store(void **state)
{
    struct fixture *fixture = *state;
    char service_file[128], url[8][256];
    snprintf(service_file, sizeof service_file, "%s/services", fixture->folder);
    FILE *file = fopen(service_file, "w");
    assert_non_null(file);
    fprintf(file, "[ingot]\ndbname=%s\nuser=ingot_test\nconnect_timeout=7\n", fixture->database);
    fclose(file);
    setenv("PGSERVICEFILE", service_file, 1);
    snprintf(url[0], sizeof url[0], "postgres://ingot_test@/%s", fixture->database);
    snprintf(url[1], sizeof url[1], "postgresql:///%s?user=ingot_test", fixture->database);
    snprintf(url[2], sizeof url[2], "postgres:dbname=%s user=ingot_test", fixture->database);
    snprintf(url[3], sizeof url[3], "postgres:service=ingot");
    snprintf(url[4], sizeof url[4],
             "postgres://ingot_test@127.0.0.1:1,%s:%s/%s?target_session_attrs=read-write",
             getenv("PGHOST"), getenv("PGPORT"), fixture->database);
    for (size_t i = 0; i < 5; i++) {
        struct ingot_store *store = NULL;
        struct ingot_error err = {0};
        if (open_url(url[i], INGOT_MODE_READ, NULL, &store, &err))
            fail_msg("%s: %s", url[i], err.message);
        assert_string_equal(setting(store, "role"), "ingot_test");
        ingot_store_close(store);
    }
    unsetenv("PGSERVICEFILE");
}

/* The value that we set in a connection, or NULL. */
static const char *aimed(const char *conninfo, const char *keyword)
{
    static struct postgres_target target;
    postgres_aim(&target, conninfo);
    for (size_t i = 0; i < target.count; i++)
        if (strcmp(target.keywords[i], keyword) == 0)
            return target.values[i];
    return NULL;
}

static void our_time_outs_yield_to_all_that_libpq_reads(void **state)
{
    struct fixture *fixture = *state;
    char service_file[128];
    snprintf(service_file, sizeof service_file, "%s/services", fixture->folder);
    FILE *file = fopen(service_file, "w");
    assert_non_null(file);
    fprintf(file, "[ingot]\nconnect_timeout=7\nhost=a,b\n");
    fclose(file);
    assert_string_equal(aimed("", "connect_timeout"), "5");
    assert_string_equal(aimed("host=a", "tcp_user_timeout"), "20000");
    assert_null(aimed("postgres://a/b?connect_timeout=9", "connect_timeout"));
    assert_non_null(aimed("postgres://a/b?connect_timeout=9", "keepalives_idle"));
    assert_null(aimed("postgres://a/b", "target_session_attrs"));
    assert_string_equal(aimed("postgres://a,c/b", "target_session_attrs"), "read-write");
    assert_null(aimed("postgres://a,c/b?target_session_attrs=primary", "target_session_attrs"));
    setenv("PGCONNECT_TIMEOUT", "8", 1);
    assert_null(aimed("", "connect_timeout"));
    unsetenv("PGCONNECT_TIMEOUT");
    setenv("PGSERVICEFILE", service_file, 1);
    assert_null(aimed("service=ingot", "connect_timeout"));
    assert_string_equal(aimed("service=ingot", "target_session_attrs"), "read-write");
    setenv("PGSERVICE", "ingot", 1);
    assert_null(aimed("", "connect_timeout"));
    unsetenv("PGSERVICE");
    unsetenv("PGSERVICEFILE");
}

static void row_46_the_option_overrides_the_variable_and_that_the_environment(void **state)
{
    struct fixture *fixture = *state;
    static const char *const connections[] = {NULL, "", NULL};
    static const char *const roles[] = {"ingot_test", "", ""};
    const char *user = getenv("PGUSER"), *database = getenv("PGDATABASE");
    char old[64];
    snprintf(old, sizeof old, "%s", database ? database : "postgres");
    setenv("PGDATABASE", fixture->database, 1);
    setenv("POSTGRES_STORE_URL", fixture->url, 1);
    for (size_t i = 0; i < 3; i++) {
        struct ingot_options options = INGOT_OPTIONS_INIT;
        struct ingot_store *store = NULL;
        struct ingot_error err = {0};
        options.from = "postgres";
        options.connection = connections[i];
        if (i == 2)
            unsetenv("POSTGRES_STORE_URL");
        if (ingot_store_open(&options, NULL, &store, &err))
            fail_msg("%s", err.message);
        assert_string_equal(setting(store, "role"), roles[i][0] ? roles[i] : user);
        ingot_store_close(store);
    }
    setenv("PGDATABASE", old, 1);
}

static void nothing_of_a_password_is_ever_shown(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum ingot_status status;
    } cases[] = {
        {"postgres://ingot_test:hush@/postgres", INGOT_DENIED},
        {"postgres:user=ingot_test password=hush dbname=postgres", INGOT_DENIED},
        {"postgres://me:hu/sh@localhost/db", INGOT_INVALID},
        {"postgres://me:123/hush@localhost/db", INGOT_INVALID},
        {"postgres://me:hu@sh@localhost/db", INGOT_INVALID},
        {"postgres://me:hush", INGOT_INVALID},
        {"postgres://me:hu%sh@localhost/db", INGOT_INVALID},
        {"postgres://me:hush@localhost/db?hush", INGOT_INVALID},
        {"postgres:password=hu sh", INGOT_INVALID},
        {"postgres:password='hush", INGOT_INVALID},
        {"postgres:hush", INGOT_INVALID},
        {"postgres:dbname=postgres://me:hush@localhost/db", INGOT_INVALID},
        {"postgres://me:hush@127.0.0.1:1/db", INGOT_RETRY},
        {"postgres://me:hush@[::1/db", INGOT_INVALID},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ingot_store *store = NULL;
        struct ingot_error err = {0};
        char text[2048];
        enum ingot_status status = open_url(cases[i].url, INGOT_MODE_READ, NULL, &store, &err);
        ingot_error_json(&err, text, sizeof text);
        if (status != cases[i].status || strstr(text, "hu") || strstr(text, "sh@") ||
            strstr(text, "\"sh"))
            fail_msg("%s: %s", cases[i].url, text);
    }
}

static void a_login_without_rights_is_told_which_it_needs(void **state)
{
    struct fixture *fixture = *state;
    char url[128], sql[256];
    on_server(fixture, "CREATE ROLE %s_stranger LOGIN");
    on_server(fixture, "CREATE DATABASE %s_new");
    /* the password of all roles in these tests */
    const char *password = getenv("PGPASSWORD");
    snprintf(sql, sizeof sql, "ALTER ROLE %s_stranger PASSWORD '%s'", fixture->database,
             password ? password : "");
    assert_int_equal(sql_in("postgres", sql), 0);
    snprintf(url, sizeof url, "postgres://%s_stranger@/%s", fixture->database, fixture->database);
    expect_refusal(url, INGOT_MODE_WRITE, NULL, INGOT_DENIED, "ingot_writer");
    snprintf(url, sizeof url, "postgres://%s_stranger@/%s_new", fixture->database,
             fixture->database);
    expect_refusal(url, INGOT_MODE_WRITE, NULL, INGOT_DENIED, "`ingot migrate`");
    expect_refusal(url, INGOT_MODE_READ, NULL, INGOT_NOT_FOUND, "`ingot migrate`");
    on_server(fixture, "DROP DATABASE %s_new");
    on_server(fixture, "DROP ROLE %s_stranger");
}

static void count_warnings(void *context, enum ingot_level level, const char *message)
{
    assert_int_equal(level, INGOT_WARN);
    assert_non_null(strstr(message, "event=login_may_do_too_much"));
    ++*(int *)context;
}

static void a_login_with_more_rights_than_needed_is_warned_of_once(void **state)
{
    struct fixture *fixture = *state;
    int warnings = 0;
    const struct ingot_toolkit toolkit = {.context = &warnings, .log = count_warnings};
    struct ingot_store *store = NULL;
    char url[80];
    snprintf(url, sizeof url, "postgres:///%s", fixture->database);
    assert_int_equal(open_url(url, INGOT_MODE_WRITE, &toolkit, &store, NULL), INGOT_OK);
    end_connections(fixture);
    setting(store, "epoch");
    ingot_store_close(store);
    assert_int_equal(warnings, 1);
    assert_int_equal(open_url(fixture->url, INGOT_MODE_WRITE, &toolkit, &store, NULL), INGOT_OK);
    ingot_store_close(store);
    assert_int_equal(open_url(url, INGOT_MODE_READ, &toolkit, &store, NULL), INGOT_OK);
    ingot_store_close(store);
    assert_int_equal(warnings, 1);
}

static int64_t three_hours_on(void *context)
{
    return ((struct fixture *)context)->begun_us + 3 * 3600 * SECOND_US;
}

static void a_server_that_will_not_do_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_toolkit toolkit = {.context = fixture, .now_us = three_hours_on};
    char url[128];
    expect_refusal(fixture->url, INGOT_MODE_READ, &toolkit, INGOT_INVALID, "s behind ours");
    on_server(fixture, "ALTER DATABASE %s SET default_transaction_read_only = on");
    expect_refusal(fixture->url, INGOT_MODE_WRITE, NULL, INGOT_DENIED,
                   "default_transaction_read_only");
    struct ingot_store *store = NULL;
    assert_int_equal(open_url(fixture->url, INGOT_MODE_READ, NULL, &store, NULL), INGOT_OK);
    ingot_store_close(store);
    on_server(fixture, "CREATE DATABASE %s_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    snprintf(url, sizeof url, "postgres:///%s_latin", fixture->database);
    expect_refusal(url, INGOT_MODE_WRITE, NULL, INGOT_UNSUPPORTED, "UTF8");
    on_server(fixture, "DROP DATABASE %s_latin");
}

/* A store that was dumped elsewhere and restored here has the epochs of that server. */
static void protocol_3_4_a_restored_store_is_refused_until_the_owner_accepts_it(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    char url[80];
    assert_int_equal(fixture_sql(fixture, "INSERT INTO epochs (epoch, system_identifier) "
                                          "VALUES (2, 42)"),
                     0);
    expect_refusal(fixture->url, INGOT_MODE_WRITE, NULL, INGOT_INVALID,
                   "`ingot migrate accept-restore`");
    expect_refusal(fixture->url, INGOT_MODE_READ, NULL, INGOT_INVALID,
                   "`ingot migrate accept-restore`");
    /* Who has it open already goes on, but not on a new connection. */
    end_connections(fixture);
    struct ingot_page *page = NULL;
    struct ingot_counts *counts = NULL;
    assert_int_equal(ingot_store_counts(fixture->store, NULL, &counts, &err), INGOT_RETRY);
    assert_non_null(strstr(err.message, "accept-restore"));
    assert_int_equal(ingot_options_from_url(fixture->url, &options, &err), INGOT_OK);
    assert_int_equal(ingot_store_open_for_migration(&options, NULL, &store, &err), INGOT_OK);
    assert_int_equal(ingot_store_accept_restore(store, NULL, &err), INGOT_DENIED);
    ingot_store_close(store);
    snprintf(url, sizeof url, "postgres:///%s", fixture->database);
    assert_int_equal(ingot_options_from_url(url, &options, &err), INGOT_OK);
    assert_int_equal(ingot_store_open_for_migration(&options, NULL, &store, &err), INGOT_OK);
    assert_int_equal(ingot_store_accept_restore(store, NULL, &err), INGOT_OK);
    ingot_store_close(store);
    assert_int_equal(open_url(fixture->url, INGOT_MODE_WRITE, NULL, &store, &err), INGOT_OK);
    assert_string_equal(setting(store, "epoch"), "3");
    ingot_store_close(store);
    ingot_page_destroy(page);
}

static void a_connection_that_was_ended_is_made_again_at_once(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 3; i++) {
        end_connections(fixture);
        fixture_put_one(fixture, "crm");
    }
    assert_int_equal(fixture_verify(fixture).events, 3);
}

/* More often than a connection is used before its statements have names. */
#define OFTEN 40

static enum ingot_status deliver(struct fixture *fixture, const ingot_ksuid *id)
{
    struct ingot_page *page = NULL;
    enum ingot_status status =
        ingot_store_events(fixture->store, NULL, id, 1, INGOT_DETAIL_DELIVERY, &page, NULL);
    if (!status) {
        assert_int_equal(page->event_count, 1);
        ingot_page_destroy(page);
    }
    return status;
}

static int count_sighting(void *context, const struct ingot_sighting *sighting)
{
    size_t *count = context;
    (void)sighting;
    ++*count;
    return 0;
}

/* What came since the cursor, which stays where it is. */
static enum ingot_status follow(struct fixture *fixture, struct ingot_bytes cursor,
                                size_t *ret_count)
{
    const struct ingot_following from = {.cursor = cursor};
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    *ret_count = 0;
    enum ingot_status status = ingot_store_follow(fixture->store, NULL, &from, count_sighting,
                                                  ret_count, &page, &followed, NULL);
    ingot_page_destroy(page);
    return status;
}

/* A statement that has a name keeps the columns that it had, and is then sent without one. */
static void who_follows_asks_a_function_that_was_changed_anew(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    size_t count = 0;
    assert_int_equal(ingot_store_follow(fixture->store, NULL, &(struct ingot_following){0}, NULL,
                                        NULL, &page, &followed, NULL),
                     INGOT_OK);
    const ingot_ksuid id = fixture_put_one(fixture, "crm");
    for (int i = 0; i < OFTEN; i++) {
        assert_int_equal(deliver(fixture, &id), INGOT_OK);
        assert_int_equal(follow(fixture, followed.cursor, &count), INGOT_OK);
    }
    fixture_widen(fixture, "follow");
    assert_int_equal(follow(fixture, followed.cursor, &count), INGOT_RETRY);
    assert_int_equal(count, 0);
    assert_int_equal(follow(fixture, followed.cursor, &count), INGOT_OK);
    assert_int_equal(count, 1);
    ingot_page_destroy(page);
}

static void who_reads_asks_a_function_that_was_changed_anew(void **state)
{
    struct fixture *fixture = *state;
    const ingot_ksuid id = fixture_put_one(fixture, "crm");
    for (int i = 0; i < OFTEN; i++)
        assert_int_equal(deliver(fixture, &id), INGOT_OK);
    fixture_widen(fixture, "events_to_deliver");
    assert_int_equal(deliver(fixture, &id), INGOT_RETRY);
    for (int i = 0; i < OFTEN; i++) /* for which no name is given again */
        assert_int_equal(deliver(fixture, &id), INGOT_OK);
}

/* A commit of two events. */
struct pair {
    struct ingot_event events[2];
    struct ingot_commit_event rows[2];
    struct ingot_commit commit;
};

static void send_pair(struct fixture *fixture, struct pair *pair)
{
    *pair = (struct pair){.commit = {.events = pair->rows, .event_count = 2}};
    for (size_t i = 0; i < 2; i++) {
        pair->events[i] = fixture_event(fixture, NULL, 0);
        pair->rows[i].row = &pair->events[i];
    }
    assert_int_equal(
        ingot_store_send_commit(fixture->store, &fixture->toolkit, &pair->commit, NULL), INGOT_OK);
}

static enum ingot_status finish_pair(struct fixture *fixture, struct pair *pair)
{
    return ingot_store_finish_commit(fixture->store, &fixture->toolkit, &pair->commit, NULL);
}

static void
of_two_commits_that_find_a_function_changed_both_are_stored_when_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct pair pairs[2];
    for (int i = 0; i < OFTEN; i++) {
        send_pair(fixture, &pairs[0]);
        assert_int_equal(finish_pair(fixture, &pairs[0]), INGOT_OK);
    }
    fixture_widen(fixture, "insert_events");
    send_pair(fixture, &pairs[0]);
    send_pair(fixture, &pairs[1]);
    assert_int_equal(finish_pair(fixture, &pairs[0]), INGOT_RETRY);
    assert_int_equal(finish_pair(fixture, &pairs[1]), INGOT_UNKNOWN);
    assert_int_equal(fixture_verify(fixture).events, 2 * OFTEN);
    for (size_t i = 0; i < 2; i++) {
        pairs[i].commit.sending = i ? INGOT_COMMIT_AGAIN : INGOT_COMMIT_FIRST;
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &pairs[i].commit, NULL),
                         INGOT_OK);
        assert_int_equal(pairs[i].rows[0].verdict, INGOT_STORED);
        assert_int_equal(pairs[i].rows[1].verdict, INGOT_STORED);
    }
    assert_int_equal(fixture_verify(fixture).events, 2 * OFTEN + 4);
}

/* Nobody waits for a table that is being changed because of a name. */
static void a_connection_goes_without_names_while_a_table_is_locked(void **state)
{
    struct fixture *fixture = *state;
    const ingot_ksuid id = fixture_put_one(fixture, "crm");
    char conninfo[160];
    snprintf(conninfo, sizeof conninfo, "dbname=%s", fixture->database);
    PGconn *owner = PQconnectdb(conninfo);
    PQclear(PQexec(owner, "BEGIN; LOCK TABLE ingot.events IN SHARE MODE"));
    assert_int_equal(PQtransactionStatus(owner), PQTRANS_INTRANS);
    for (int i = 0; i < OFTEN; i++)
        assert_int_equal(deliver(fixture, &id), INGOT_OK);
    PQfinish(owner);
    fixture_put_one(fixture, "crm");
    fixture_widen(fixture, "events_to_deliver");
    assert_int_equal(deliver(fixture, &id), INGOT_OK);
}

static enum ingot_status count(struct fixture *fixture, struct ingot_error *err)
{
    struct ingot_counts *counts = NULL;
    enum ingot_status status = ingot_store_counts(fixture->store, NULL, &counts, err);
    if (!status)
        ingot_counts_destroy(counts);
    return status;
}

static void a_server_that_refuses_is_asked_again_after_a_while_only(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    unsigned long tries = 0, calls = 0;
    on_server(fixture, "ALTER DATABASE %s ALLOW_CONNECTIONS false");
    end_connections(fixture);
    const int64_t begun_us = monotonic_us();
    while (monotonic_us() - begun_us < SECOND_US) {
        assert_int_equal(count(fixture, &err), INGOT_RETRY);
        calls++;
        tries += strstr(err.message, "the next try is in") == NULL;
        assert_non_null(strstr(err.message, "could not connect")); /* the reason stays known */
    }
    /* The waits are at least 25, 50, 100, 200, 400 ms. */
    assert_in_range(tries, 3, 7);
    assert_true(calls > 1000);
    on_server(fixture, "ALTER DATABASE %s ALLOW_CONNECTIONS true");
    while (count(fixture, &err))
        assert_in_range(monotonic_us() - begun_us, 0, 30 * SECOND_US);
}

/* ---- errors ------------------------------------------------------------- */

static void write_nothing(void *context, enum ingot_level level, const char *message)
{
    (void)context, (void)level, (void)message;
}

static int64_t real_now(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

static void fill(void *context, void *out, size_t size)
{
    (void)context;
    memset(out, 7, size);
}

static const struct ingot_toolkit plain = {
    .log = write_nothing, .now_us = real_now, .random = fill};

/* Runs SQL in the fixture's store by the adapter itself: as a migration. */
static enum ingot_status migrate(void *handle, const char *sql, uint64_t version,
                                 struct ingot_error *err)
{
    const struct ingot_adapter_migration step = {version, "test", sql, ""};
    struct ingot_ledger_row row = {.version = version, .name = "test", .direction = INGOT_UP};
    memset(row.up_sha256, '0', 64);
    ingot_error_clear(err);
    return ingot_adapter_postgres.migrate(handle, &plain, &step, &row, 1, err);
}

/* A handle of the adapter, as superuser. */
static void *open_handle(const struct fixture *fixture)
{
    char connection[64];
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_error err = {0};
    void *handle = calloc(1, ingot_adapter_postgres.handle_size);
    snprintf(connection, sizeof connection, "postgres:///%s", fixture->database);
    options.connection = connection;
    assert_non_null(handle);
    if (ingot_adapter_postgres.open(handle, &options, &plain, &err))
        fail_msg("%s", err.message);
    return handle;
}

static void close_handle(void *handle)
{
    ingot_adapter_postgres.close(handle);
    free(handle);
}

static void errors_have_the_class_that_says_what_to_do(void **state)
{
    static const struct {
        const char *sqlstate;
        enum ingot_status status;
    } cases[] = {
        {"40001", INGOT_RETRY},       {"40P01", INGOT_RETRY},   {"55P03", INGOT_RETRY},
        {"57014", INGOT_RETRY},       {"57P01", INGOT_RETRY},   {"57P02", INGOT_RETRY},
        {"57P03", INGOT_RETRY},       {"53000", INGOT_RETRY},   {"53100", INGOT_RETRY},
        {"53300", INGOT_RETRY},       {"53200", INGOT_NOMEM},   {"08006", INGOT_RETRY},
        {"08P01", INGOT_RETRY},       {"25006", INGOT_RETRY},   {"42501", INGOT_DENIED},
        {"28000", INGOT_DENIED},      {"28P01", INGOT_DENIED},  {"23505", INGOT_INVALID},
        {"23001", INGOT_INVALID},     {"22P02", INGOT_INVALID}, {"22021", INGOT_INVALID},
        {"54000", INGOT_LIMIT},       {"42P01", INGOT_CORRUPT}, {"42703", INGOT_CORRUPT},
        {"3F000", INGOT_CORRUPT},     {"XX000", INGOT_CORRUPT}, {"XX001", INGOT_CORRUPT},
        {"0A000", INGOT_UNSUPPORTED}, {"58030", INGOT_IO},      {"P0001", INGOT_IO},
    };
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    char sql[256];
    void *handle = open_handle(fixture);
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(sql, sizeof sql,
                 "DO $$ BEGIN RAISE E'said \"so\"\\nhidden\\n' USING ERRCODE = '%s', "
                 "DETAIL = 'hidden', HINT = 'hidden'; END $$",
                 cases[i].sqlstate);
        enum ingot_status status = migrate(handle, sql, i, &err);
        if (status != cases[i].status || strcmp(err.sqlstate, cases[i].sqlstate) != 0 ||
            err.status != status ||
            !strstr(err.message, "store/postgres: could not migrate: said 'so'") ||
            strstr(err.message, "hidden"))
            fail_msg("%s: %d %s %s", cases[i].sqlstate, (int)status, err.sqlstate, err.message);
        assert_int_equal(err.status_code, strcmp(cases[i].sqlstate, "53100") == 0 ? 507 : 0);
    }
    close_handle(handle);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM migrations WHERE name = 'test'"),
                        "0");
}

static void real_errors_name_the_next_step(void **state)
{
    static const struct {
        const char *sql;
        enum ingot_status status;
        const char *said;
    } cases[] = {
        {"SELECT * FROM ingot.nothing", INGOT_CORRUPT, "`ingot migrate status`"},
        {"SELECT 1/0", INGOT_INVALID, "division by zero"},
        {"INSERT INTO ingot.transitions SELECT decode(repeat('ff', 20), 'hex'), 0, 1, 1, 1, 3",
         INGOT_INVALID, "make_segments"},
        {"INSERT INTO ingot.events (id, source, name, jobs, received_at) VALUES "
         "(decode(repeat('00', 20), 'hex'), '', '', '[]', now())",
         INGOT_INVALID, "admitted from 7 days ago"},
        {"INSERT INTO ingot.checkpoints VALUES (now(), 999, 0, 1, '', '')", INGOT_INVALID,
         "checkpoints_lane_check"},
        {"SET TRANSACTION READ ONLY; CREATE TABLE x ()", INGOT_RETRY, "read-only"},
        {"SET LOCAL statement_timeout = 1; SELECT pg_sleep(9)", INGOT_RETRY, "statement timeout"},
        {"SET LOCAL ROLE ingot_reader; SELECT ingot.accept_restore()", INGOT_DENIED,
         "ingot_writer"},
        {"DO $$ BEGIN RAISE E'\\x1b[31m\\x7f\\u009b'; END $$", INGOT_IO, "migrate:  [31m??"},
        {"SELECT pg_terminate_backend(pg_backend_pid())", INGOT_RETRY, "administrator"},
        {"SELECT 1", INGOT_OK, ""}, /* on a new connection */
    };
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    void *handle = open_handle(fixture);
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum ingot_status status = migrate(handle, cases[i].sql, i, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said))
            fail_msg("%s: %d %s", cases[i].sql, (int)status, err.message);
    }
    close_handle(handle);
}

/* ---- making a store ----------------------------------------------------- */

static void several_processes_may_make_a_store_at_once(void **state)
{
    struct fixture *fixture = *state;
    char url[80];
    int gate[2], code;
    on_server(fixture, "CREATE DATABASE %s_new");
    snprintf(url, sizeof url, "postgres:///%s_new", fixture->database);
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child > 0)
            continue;
        char letter;
        struct ingot_options options;
        struct ingot_store *store = NULL;
        struct ingot_error err = {0};
        close(gate[1]);
        while (read(gate[0], &letter, 1) > 0) /* until all are there */
            ;
        if (ingot_options_from_url(url, &options, &err) ||
            ingot_store_open(&options, NULL, &store, &err))
            fprintf(stderr, "# %s\n", err.message);
        _exit(store ? 0 : 1);
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(wait(&code) > 0);
        assert_int_equal(code, 0);
    }
    struct ingot_store *store = NULL;
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    size_t found = 0;
    assert_int_equal(open_url(url, INGOT_MODE_READ, NULL, &store, NULL), INGOT_OK);
    assert_int_equal(ingot_store_migrations(store, NULL, all, &found, NULL), INGOT_OK);
    for (size_t i = 0; i < found; i++)
        assert_int_equal(all[i].state, INGOT_MIGRATION_APPLIED);
    assert_true(found > 2);
    ingot_store_close(store);
    on_server(fixture, "DROP DATABASE %s_new WITH (FORCE)");
}

static void what_failed_to_migrate_left_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    void *handle = open_handle(fixture);
    assert_int_equal(migrate(handle, "CREATE TABLE ingot.more (); SELECT 1/0", 1, &err),
                     INGOT_INVALID);
    assert_string_equal(fixture_ask(fixture, "SELECT to_regclass('ingot.more')"), "NULL");
    assert_int_equal(migrate(handle, "CREATE TABLE ingot.more ()", 1, &err), INGOT_OK);
    assert_int_equal(migrate(handle, "CREATE TABLE ingot.more ()", 1, &err), INGOT_CONFLICT);
    close_handle(handle);
}

static void what_went_up_comes_down_again(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    char url[80];
    size_t found = 0;
    snprintf(url, sizeof url, "postgres:///%s", fixture->database);
    assert_int_equal(ingot_options_from_url(url, &options, &err), INGOT_OK);
    assert_int_equal(ingot_store_open_for_migration(&options, NULL, &store, &err), INGOT_OK);
    assert_int_equal(ingot_store_migrations(store, NULL, all, &found, &err), INGOT_OK);
    for (size_t i = found; i-- > 0;)
        if (ingot_store_migrate(store, NULL, &all[i], INGOT_DOWN, &err))
            fail_msg("%s", err.message);
    assert_string_equal(fixture_ask(fixture,
                                    "SELECT count(*) FROM pg_class WHERE relnamespace = "
                                    "'ingot'::regnamespace AND relkind IN ('r', 'p', 'v')"),
                        "1"); /* the ledger */
    for (size_t i = 0; i < found; i++)
        if (ingot_store_migrate(store, NULL, &all[i], INGOT_UP, &err))
            fail_msg("%s", err.message);
    ingot_store_close(store);
    fixture_put_one(fixture, "crm");
}

/* ---- wake-ups ----------------------------------------------------------- */

static struct ingot_store *open_waker(const struct fixture *fixture, const char *wake_connection)
{
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    assert_int_equal(ingot_options_from_url(fixture->url, &options, &err), INGOT_OK);
    options.wake_connection = wake_connection;
    if (ingot_store_open(&options, NULL, &store, &err))
        fail_msg("%s", err.message);
    return store;
}

struct waker {
    struct ingot_store *store;
    atomic_int stopping;
};

static void *keep_waking(void *context)
{
    struct waker *waker = context;
    while (!atomic_load(&waker->stopping)) {
        ingot_store_wake(waker->store);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

/* Waits until LISTEN is confirmed, and whatever was told before is heard. */
static void hear(struct ingot_store *store)
{
    const int64_t begun_us = monotonic_us();
    while (ingot_store_wait(store, NULL, SECOND_US / 10, NULL))
        assert_in_range(monotonic_us() - begun_us, 0, 30 * SECOND_US);
}

/* How long a wait takes. */
static int64_t wait_us(struct ingot_store *store, int64_t timeout_us, enum ingot_status expected)
{
    const int64_t begun_us = monotonic_us();
    assert_int_equal(ingot_store_wait(store, NULL, timeout_us, NULL), expected);
    return monotonic_us() - begun_us;
}

static void a_wake_up_ends_another_handles_wait(void **state)
{
    struct fixture *fixture = *state;
    struct waker waker = {.store = fixture->store};
    struct ingot_store *listener = open_waker(fixture, NULL);
    pthread_t thread;
    hear(listener);
    assert_true(wait_us(listener, SECOND_US / 20, INGOT_OK) >= SECOND_US / 20);
    assert_int_equal(pthread_create(&thread, NULL, keep_waking, &waker), 0);
    assert_true(wait_us(listener, 60 * SECOND_US, INGOT_OK) < 30 * SECOND_US);
    /* Also after the server has ended the connections of both. */
    end_connections(fixture);
    setting(listener, "epoch");
    setting(fixture->store, "epoch");
    hear(listener);
    assert_true(wait_us(listener, 60 * SECOND_US, INGOT_OK) < 30 * SECOND_US);
    atomic_store(&waker.stopping, 1);
    pthread_join(thread, NULL);
    ingot_store_close(listener);
}

/* Each step of connecting needs a call, and who commits seldom makes few. */
static void who_rings_seldom_is_heard(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_store *listener = open_waker(fixture, NULL), *ringer = open_waker(fixture, NULL);
    int calls = 0;
    hear(listener);
    do {
        ingot_store_wake(ringer);
        calls++;
    } while (wait_us(listener, SECOND_US / 4, INGOT_OK) >= SECOND_US / 4);
    print_message("# %d calls\n", calls);
    assert_in_range(calls, 1, 4);
    ingot_store_close(ringer);
    ingot_store_close(listener);
}

static int take_notifications(PGconn *connection)
{
    int heard = 0;
    PGnotify *notification;
    PQclear(PQexec(connection, "SELECT 1"));
    while ((notification = PQnotifies(connection)) != NULL) {
        assert_string_equal(notification->relname, "ingot");
        PQfreemem(notification);
        heard++;
    }
    return heard;
}

static void at_most_one_wake_up_a_millisecond_is_sent(void **state)
{
    struct fixture *fixture = *state;
    int64_t first_us = 0, last_us = 0;
    int heard = 0;
    PGconn *connection = PQconnectdb(fixture->url);
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    PQclear(PQexec(connection, "LISTEN ingot"));
    /* The first of a run goes out while its calls are made, for each helps it on its way. */
    for (int64_t begun_us = monotonic_us(); heard < 50;) {
        assert_in_range(monotonic_us() - begun_us, 0, 60 * SECOND_US);
        for (int i = 0; i < 100; i++)
            ingot_store_wake(fixture->store);
        last_us = monotonic_us();
        heard += take_notifications(connection);
        if (!first_us && heard) {
            first_us = last_us;
            heard = 0;
        }
    }
    assert_in_range(heard, 50, (last_us - first_us) / 1000 + 2);
    PQfinish(connection);
}

static void waking_a_server_that_does_not_answer_takes_no_time(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char silent[80];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0); /* connections are made, and nobody answers */
    assert_int_equal(getsockname(fd, (void *)&address, &len), 0);
    snprintf(silent, sizeof silent, "postgres://127.0.0.1:%d/x", ntohs(address.sin_port));
    const char *const connections[] = {silent, "postgres://127.0.0.1:1/x",
                                       "postgres://192.0.2.1/x"};
    for (size_t i = 0; i < COUNT(connections); i++) {
        struct ingot_store *store = open_waker(fixture, connections[i]);
        const int64_t begun_us = monotonic_us();
        for (int j = 0; j < 1000; j++)
            ingot_store_wake(store);
        assert_in_range(monotonic_us() - begun_us, 0, SECOND_US);
        assert_true(wait_us(store, SECOND_US / 20, INGOT_RETRY) >= SECOND_US / 20);
        ingot_store_close(store);
    }
    close(fd);
}

static void wake_ups_can_be_off(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_store *store = open_waker(fixture, "off");
    for (int i = 0; i < 100; i++)
        ingot_store_wake(store);
    assert_true(wait_us(store, SECOND_US / 20, INGOT_RETRY) >= SECOND_US / 20);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM pg_stat_activity WHERE datname "
                                             "= current_database() AND usename = 'ingot_test'"),
                        "2"); /* its own, and the fixture's */
    ingot_store_close(store);
}

/* ---- what is written ---------------------------------------------------- */

/* The setting counts that holds when the transaction commits, which a deferred trigger sees. */
static void watch_commits(const struct fixture *fixture)
{
    static const char *const tables[] = {"events",      "transitions", "added_jobs", "notices",
                                         "retirements", "checkpoints", "heartbeats", "routes"};
    char sql[256];
    on_server(fixture, "ALTER DATABASE %s SET synchronous_commit = off");
    assert_int_equal(
        fixture_sql(fixture,
                    "CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql AS $$ "
                    "BEGIN IF current_setting('synchronous_commit') <> 'on' THEN RAISE "
                    "'% is committed carelessly', TG_TABLE_NAME; END IF; RETURN NULL; END $$"),
        0);
    for (size_t i = 0; i < COUNT(tables); i++) {
        snprintf(sql, sizeof sql,
                 "CREATE CONSTRAINT TRIGGER watch AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED "
                 "FOR EACH ROW EXECUTE FUNCTION public.watch()",
                 tables[i]);
        assert_int_equal(fixture_sql(fixture, sql), 0);
    }
    assert_int_not_equal(fixture_sql(fixture, "INSERT INTO routes (version, body) VALUES (9, '1')"),
                         0);
    end_connections(fixture); /* so that the database's setting holds */
}

static void protocol_2_1_every_commit_is_synchronous_whatever_the_server_says(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_heartbeat heartbeat = {
        .process = fixture_owner('p'), .n = 1, .about = ingot_bytes_of("{}")};
    const struct ingot_checkpoint checkpoint = {
        .lane = 1, .cursor = ingot_bytes_of("x"), .body = ingot_bytes_of("y")};
    struct ingot_heartbeats found;
    struct ingot_page *page = NULL;
    watch_commits(fixture);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_transition row =
        fixture_row(&id, 0, 1, INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING, 1);
    assert_int_equal(fixture_add(fixture, &row), INGOT_STORED); /* with a notice */
    struct ingot_job job = fixture_job(fixture, "mail", "*");
    job.event_id = id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, NULL, &job, 1, NULL), INGOT_OK);
    assert_int_equal(
        ingot_store_delete(fixture->store, NULL, &id, 1, INGOT_DELETE_FORCED, "me", "test", NULL),
        INGOT_OK);
    assert_int_equal(ingot_store_add_checkpoints(fixture->store, NULL, &checkpoint, 1, NULL),
                     INGOT_OK);
    assert_int_equal(
        ingot_store_heartbeat(fixture->store, NULL, &heartbeat, SECOND_US, &page, &found, NULL),
        INGOT_OK);
    ingot_page_destroy(page);
    assert_int_equal(ingot_store_publish_routes(fixture->store, NULL,
                                                ingot_bytes_of("{\"destinations\":[]}"), NULL),
                     INGOT_OK);
    assert_string_equal(fixture_ask(fixture, "SELECT min(n) FROM (SELECT count(*) n FROM events "
                                             "UNION ALL SELECT count(*) FROM transitions "
                                             "UNION ALL SELECT count(*) FROM added_jobs "
                                             "UNION ALL SELECT count(*) FROM notices "
                                             "UNION ALL SELECT count(*) FROM retirements "
                                             "UNION ALL SELECT count(*) FROM checkpoints "
                                             "UNION ALL SELECT count(*) FROM heartbeats "
                                             "UNION ALL SELECT count(*) FROM routes) counts"),
                        "1");
}

#define ADDERS 4
#define ADDED 25 /* jobs of each that are for different destinations, and for the same one */

/* Adds jobs to one event, while others do. */
struct adder {
    struct ingot_store *store;
    pthread_t thread;
    pthread_barrier_t *barrier;
    struct ingot_job own[ADDED], same[ADDED];
    char names[ADDED][2][24];
    int stored_same[ADDED];
    struct ingot_error error; /* of what ought to work */
};

static void *add_jobs(void *context)
{
    struct adder *adder = context;
    struct ingot_error err = {0};
    for (size_t i = 0; i < ADDED; i++) {
        pthread_barrier_wait(adder->barrier);
        if (ingot_store_add_jobs(adder->store, NULL, &adder->own[i], 1, &err))
            adder->error = err;
        enum ingot_status status =
            ingot_store_add_jobs(adder->store, NULL, &adder->same[i], 1, &err);
        adder->stored_same[i] = status == INGOT_OK;
        if (status && status != INGOT_CONFLICT)
            adder->error = err;
    }
    return NULL;
}

static void prepare_adder(struct fixture *fixture, struct adder *adder, size_t number,
                          const ingot_ksuid *event_id)
{
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &adder->store, NULL), INGOT_OK);
    for (size_t i = 0; i < ADDED; i++) {
        snprintf(adder->names[i][0], sizeof adder->names[i][0], "own-%zu-%zu", number, i);
        snprintf(adder->names[i][1], sizeof adder->names[i][1], "same-%zu", i);
        adder->own[i] = fixture_job(fixture, adder->names[i][0], "*");
        adder->same[i] = fixture_job(fixture, adder->names[i][1], "*");
        adder->own[i].event_id = adder->same[i].event_id = *event_id;
    }
}

static void
protocol_1_5_and_6_3_who_add_jobs_at_once_take_a_number_each_and_a_slot_one(void **state)
{
    struct fixture *fixture = *state;
    struct adder *adders = calloc(ADDERS, sizeof *adders);
    pthread_barrier_t barrier;
    char expected[16];
    assert_non_null(adders);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(pthread_barrier_init(&barrier, NULL, ADDERS), 0);
    for (size_t i = 0; i < ADDERS; i++) {
        adders[i].barrier = &barrier;
        prepare_adder(fixture, &adders[i], i, &id);
    }
    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_jobs, &adders[i]), 0);
    for (size_t i = 0; i < ADDERS; i++) {
        pthread_join(adders[i].thread, NULL);
        ingot_store_close(adders[i].store);
    }
    for (size_t i = 0; i < ADDERS; i++)
        assert_string_equal(adders[i].error.message, "");
    for (size_t i = 0; i < ADDED; i++) {
        int stored = 0;
        for (size_t j = 0; j < ADDERS; j++)
            stored += adders[j].stored_same[i];
        assert_int_equal(stored, 1);
    }
    snprintf(expected, sizeof expected, "%d", ADDERS * ADDED + ADDED);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM added_jobs"), expected);
    assert_string_equal(fixture_ask(fixture, "SELECT max(job) FROM added_jobs"), expected);
    pthread_barrier_destroy(&barrier);
    free(adders);
    fixture_verify(fixture);
}

/* ---- heartbeats --------------------------------------------------------- */

static struct ingot_heartbeats beat(struct fixture *fixture, char letter, uint32_t n,
                                    const struct ingot_lanes *lanes, int64_t past_us,
                                    struct ingot_page **ret_page)
{
    struct ingot_heartbeats all = {0};
    struct ingot_error err = {0};
    const struct ingot_heartbeat heartbeat = {
        .process = fixture_owner(letter),
        .n = n,
        .lanes = lanes,
        .about = ingot_bytes_of("{ \"pid\": 7,\"name\":\"\xc3\xa4\"}"),
    };
    if (ingot_store_heartbeat(fixture->store, NULL, letter ? &heartbeat : NULL, past_us, ret_page,
                              &all, &err))
        fail_msg("%s", err.message);
    return all;
}

static void the_newest_heartbeat_of_each_process_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_lanes lanes = {{0}};
    struct ingot_page *page = NULL;
    struct ingot_heartbeats all = beat(fixture, 0, 0, NULL, 60 * SECOND_US, &page);
    assert_int_equal(all.count, 0);
    fixture_assert_now(fixture, all.now_us);
    ingot_page_destroy(page);
    lanes.bits[0] = 0x81;
    lanes.bits[31] = 0x40;
    beat(fixture, 'a', 1, &lanes, 60 * SECOND_US, &page);
    ingot_page_destroy(page);
    beat(fixture, 'b', 1, &lanes, 60 * SECOND_US, &page);
    ingot_page_destroy(page);
    all = beat(fixture, 'b', 2, NULL, INT64_MAX, &page);
    assert_int_equal(all.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const ingot_ksuid process = fixture_owner("ab"[i]);
        const struct ingot_heartbeat *newest = &all.newest[i];
        assert_memory_equal(newest->process.bytes, process.bytes, sizeof process.bytes);
        assert_int_equal(newest->n, i + 1);
        assert_true(ingot_bytes_equal(newest->about,
                                      ingot_bytes_of("{ \"pid\": 7,\"name\":\"\xc3\xa4\"}")));
        fixture_assert_now(fixture, newest->created_us);
        assert_true(newest->created_us <= all.now_us);
    }
    assert_memory_equal(all.newest[0].lanes, &lanes, sizeof lanes);
    assert_null(all.newest[1].lanes);
    assert_true(all.newest[0].created_us < all.newest[1].created_us);
    ingot_page_destroy(page);
    assert_int_equal(beat(fixture, 0, 0, NULL, 0, &page).count, 0);
    ingot_page_destroy(page);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM heartbeats"), "3");
}

/* ---- who stands in the way ---------------------------------------------- */

/* A claim on a thread of its own, which somebody's open transaction keeps waiting. */
struct claimer {
    struct fixture *fixture;
    struct ingot_transition row;
    enum ingot_status status;
    struct ingot_result result;
    atomic_int done;
};

static void *keep_claiming(void *context)
{
    struct claimer *claimer = context;
    do
        claimer->status =
            ingot_store_add_transitions(claimer->fixture->store, &claimer->fixture->toolkit,
                                        &claimer->row, 1, &claimer->result, NULL);
    while (claimer->status == INGOT_RETRY); /* lock_timeout */
    atomic_store(&claimer->done, 1);
    return NULL;
}

static const char take_the_number[] =
    "INSERT INTO ingot.transitions (event_id, job, seq, attempt, state_before, state_after, owner) "
    "SELECT id, 0, 1, 1, 1, 3, id FROM ingot.events";

/* Takes the number and does not end its transaction. */
static void sit_idle(PGconn *sitter)
{
    PQclear(PQexec(sitter, "BEGIN"));
    PGresult *taken = PQexec(sitter, take_the_number);
    assert_int_equal(PQresultStatus(taken), PGRES_COMMAND_OK);
    PQclear(taken);
}

/* The same half-way through sending a commit: the rest does not come. */
static void sit_midway(PGconn *sitter)
{
    assert_true(PQenterPipelineMode(sitter));
    assert_true(PQsendQueryParams(sitter, take_the_number, 0, NULL, NULL, NULL, NULL, 0));
    assert_true(PQsendFlushRequest(sitter));
    PGresult *taken = PQgetResult(sitter);
    assert_int_equal(PQresultStatus(taken), PGRES_COMMAND_OK);
    PQclear(taken);
}

/* Who sits on a number that somebody wants is ended after a lease, and who is idle in nobody's way is not. */
static void expect_end(struct fixture *fixture, void (*sit)(PGconn *sitter))
{
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct claimer claimer = {
        .fixture = fixture,
        .row = fixture_row(&id, 0, 1, INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING, 1),
    };
    struct ingot_store *pulse = NULL;
    pthread_t thread;
    PGconn *sitter = PQconnectdb(fixture->url), *idler = PQconnectdb(fixture->url);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &pulse, NULL), INGOT_OK);
    PQclear(PQexec(idler, "BEGIN; SELECT count(*) FROM ingot.events"));
    sit(sitter);
    assert_int_equal(pthread_create(&thread, NULL, keep_claiming, &claimer), 0);
    const struct ingot_heartbeat heartbeat = {
        .process = fixture_owner('p'), .n = 1, .about = ingot_bytes_of("{}")};
    const int64_t begun_us = monotonic_us();
    for (int beats = 0; !atomic_load(&claimer.done); beats++) {
        struct ingot_page *page = NULL;
        struct ingot_heartbeats found;
        struct ingot_heartbeat next = heartbeat;
        next.n += (uint32_t)beats;
        assert_in_range(monotonic_us() - begun_us, 0, 60 * SECOND_US);
        assert_int_equal(ingot_store_heartbeat(pulse, &fixture->toolkit, &next, SECOND_US / 5,
                                               &page, &found, NULL),
                         INGOT_OK);
        ingot_page_destroy(page);
    }
    pthread_join(thread, NULL);
    assert_int_equal(claimer.status, INGOT_OK);
    assert_int_equal(claimer.result.verdict, INGOT_STORED);
    PGresult *still = PQexec(idler, "COMMIT");
    assert_int_equal(PQresultStatus(still), PGRES_COMMAND_OK);
    PQclear(still);
    PQfinish(idler);
    PQfinish(sitter);
    ingot_store_close(pulse);
}

static void protocol_1_3_who_sits_on_a_number_for_a_lease_is_ended(void **state)
{
    expect_end(*state, sit_idle);
}

static void protocol_1_3_who_was_stopped_half_way_through_a_commit_is_ended(void **state)
{
    expect_end(*state, sit_midway);
}

/* ---- checkpoints -------------------------------------------------------- */

/* Each byte is another than that a part before it. */
static struct ingot_bytes make_body(size_t len, unsigned seed)
{
    unsigned char *body = malloc(len + 1);
    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        body[i] = (unsigned char)(i * 7 + i / INGOT_CHECKPOINT_PART_BYTES + seed);
    return (struct ingot_bytes){body, len};
}

static void store_checkpoints(struct fixture *fixture, const struct ingot_checkpoint *checkpoints,
                              size_t checkpoint_count)
{
    struct ingot_error err = {0};
    if (ingot_store_add_checkpoints(fixture->store, NULL, checkpoints, checkpoint_count, &err))
        fail_msg("%s", err.message);
}

/* Reads those of lanes 0 to 9. */
static size_t read_checkpoints(struct fixture *fixture, int64_t before_us, struct ingot_page **page,
                               struct ingot_checkpoint **checkpoints)
{
    const struct ingot_lanes lanes = {{0xff, 0x03}};
    struct ingot_error err = {0};
    size_t found = 0;
    if (ingot_store_checkpoints(fixture->store, NULL, &lanes, before_us, page, checkpoints, &found,
                                &err))
        fail_msg("%s", err.message);
    return found;
}

static void checkpoints_come_back_as_they_were(void **state)
{
    static const size_t lens[] = {0,
                                  1,
                                  INGOT_CHECKPOINT_PART_BYTES,
                                  INGOT_CHECKPOINT_PART_BYTES + 1,
                                  5 * INGOT_CHECKPOINT_PART_BYTES - 1,
                                  77};
    struct fixture *fixture = *state;
    struct ingot_checkpoint given[COUNT(lens) + 1], *found = NULL;
    struct ingot_page *page = NULL;
    assert_int_equal(read_checkpoints(fixture, INT64_MAX, &page, &found), 0);
    ingot_page_destroy(page);
    for (size_t i = 0; i < COUNT(lens); i++)
        given[i] = (struct ingot_checkpoint){.lane = (uint32_t)(9 - i),
                                             .cursor = ingot_bytes_of("1:\xe2\x82\xac:"),
                                             .body = make_body(lens[i], (unsigned)i)};
    given[COUNT(lens)] = given[1];
    given[COUNT(lens)].lane = 255; /* which nobody asks for */
    store_checkpoints(fixture, given, COUNT(given));
    assert_int_equal(read_checkpoints(fixture, INT64_MAX, &page, &found), COUNT(lens));
    for (size_t i = 0; i < COUNT(lens); i++) {
        const struct ingot_checkpoint *one = &found[COUNT(lens) - 1 - i];
        assert_int_equal(one->lane, given[i].lane);
        assert_true(ingot_bytes_equal(one->cursor, given[i].cursor));
        assert_int_equal(one->body.len, lens[i]);
        assert_memory_equal(one->body.data, given[i].body.data, lens[i]);
        assert_int_equal(one->taken_us, found[0].taken_us);
        fixture_assert_now(fixture, one->taken_us);
        free((void *)(uintptr_t)given[i].body.data);
    }
    ingot_page_destroy(page);
    assert_string_equal(fixture_ask(fixture, "SELECT string_agg(parts::text, ',' ORDER BY lane) "
                                             "FROM checkpoints WHERE part = 0"),
                        "1,5,2,1,1,1,1");
}

static void the_newest_complete_checkpoint_before_an_instant_is_read(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_checkpoint
        older = {.lane = 3, .cursor = ingot_bytes_of("older"), .body = ingot_bytes_of("a")},
        newer = {.lane = 3, .cursor = ingot_bytes_of("newer"), .body = ingot_bytes_of("bc")},
        other = {.lane = 4, .cursor = ingot_bytes_of("other"), .body = ingot_bytes_of("d")};
    struct ingot_checkpoint *found = NULL;
    struct ingot_page *page = NULL;
    store_checkpoints(fixture, &other, 1);
    store_checkpoints(fixture, &older, 1);
    store_checkpoints(fixture, &newer, 1);
    /* What lacks a part, or mixes two lists, is passed over. */
    assert_int_equal(fixture_sql(fixture,
                                 "INSERT INTO checkpoints VALUES (now(), 3, 0, 2, 'x', 'yy'), "
                                 "(now() + interval '1 s', 3, 1, 2, 'x', 'yy'), "
                                 "(now() + interval '2 s', 3, 0, 2, 'x', 'yy'), "
                                 "(now() + interval '2 s', 3, 1, 2, 'z', 'yy'), "
                                 "(now() + interval '3 s', 3, 0, 1, 'x', 'yy'), "
                                 "(now() + interval '3 s', 3, 1, 2, 'x', 'yy')"),
                     0);
    assert_int_equal(read_checkpoints(fixture, INT64_MAX, &page, &found), 2);
    assert_true(ingot_bytes_equal(found[0].cursor, newer.cursor));
    assert_true(ingot_bytes_equal(found[0].body, newer.body));
    assert_true(ingot_bytes_equal(found[1].cursor, other.cursor));
    int64_t newest_us = found[0].taken_us;
    ingot_page_destroy(page);
    assert_int_equal(read_checkpoints(fixture, newest_us, &page, &found), 2);
    assert_true(ingot_bytes_equal(found[0].cursor, older.cursor));
    int64_t oldest_us = found[1].taken_us;
    ingot_page_destroy(page);
    assert_int_equal(read_checkpoints(fixture, oldest_us, &page, &found), 0);
    ingot_page_destroy(page);
    assert_int_equal(read_checkpoints(fixture, INGOT_NO_TIME, &page, &found), 0);
    ingot_page_destroy(page);
}

static void checkpoints_of_all_lanes_are_stored_together_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_bytes body = make_body(5 * INGOT_CHECKPOINT_PART_BYTES, 1);
    /* The second has no cursor, which is not acceptable, and goes out in a message of its own. */
    const struct ingot_checkpoint both[] = {
        {.lane = 1, .cursor = ingot_bytes_of("x"), .body = body}, {.lane = 2, .body = body}};
    struct ingot_error err = {0};
    assert_int_equal(ingot_store_add_checkpoints(fixture->store, NULL, both, 2, &err),
                     INGOT_INVALID);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM checkpoints"), "0");
    store_checkpoints(fixture, both, 1);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM checkpoints"), "5");
    free((void *)(uintptr_t)body.data);
}

/* ---- settings ----------------------------------------------------------- */

static void settings_and_segments_are_those_of_the_server(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"postgres_version",
                                        "synchronous_commit",
                                        "fsync",
                                        "full_page_writes",
                                        "wal_level",
                                        "max_connections",
                                        "pooler",
                                        "role",
                                        "epoch",
                                        "segments_from",
                                        "segments_to",
                                        "in_recovery"};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_string_not_equal(setting(fixture->store, names[i]), "nothing");
    assert_string_equal(setting(fixture->store, "fsync"), "on");
    assert_string_equal(setting(fixture->store, "pooler"), "no");
    assert_string_equal(setting(fixture->store, "role"), "ingot_test");
    assert_string_equal(setting(fixture->store, "epoch"), "1");
    assert_string_equal(setting(fixture->store, "segments_from"),
                        fixture_ask(fixture, "SELECT to_char(now() AT TIME ZONE 'UTC' - "
                                             "interval '7 days', 'YYYYMMDD')"));
    assert_string_equal(setting(fixture->store, "segments_to"),
                        fixture_ask(fixture, "SELECT to_char(now() AT TIME ZONE 'UTC' + "
                                             "interval '8 days', 'YYYYMMDD')"));
    assert_int_equal(ingot_store_make_segments(fixture->store, NULL, NULL), INGOT_OK);
}

/* The server refuses to be asked for more events than the cursor's, one, and one more. */
static void a_page_of_find_reads_no_more_events_than_it_needs(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.limit = 1};
    struct ingot_error err = {0};
    for (size_t i = 0; i < 5; i++)
        fixture_put_one(fixture, "a");
    assert_int_equal(
        fixture_sql(
            fixture,
            "ALTER FUNCTION ingot.find_event_ids RENAME TO find_event_ids_of;"
            "CREATE FUNCTION ingot.find_event_ids(behind bytea, how_many int, discarded "
            "boolean) RETURNS SETOF bytea LANGUAGE plpgsql STABLE AS $$ BEGIN "
            "IF how_many > 3 THEN RAISE '% events were asked for', how_many; END IF; RETURN "
            "QUERY SELECT * FROM ingot.find_event_ids_of(behind, how_many, discarded); "
            "END $$"),
        0);
    for (size_t i = 0; i < 5; i++) {
        struct ingot_page *page = NULL;
        if (ingot_store_find(fixture->store, NULL, &where, &page, &err))
            fail_msg("%s", err.message);
        assert_int_equal(page->job_count, 1);
        assert_int_equal(page->more, i < 4);
        where.after = page->next;
        ingot_page_destroy(page);
    }
}

/* How often a key was descended, and how many rows were fetched, to read some of the events. */
static void count_reading(const struct fixture *fixture, const char *which, unsigned *ret_descents,
                          unsigned *ret_rows)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM ingot.events_with_newest("
             "ARRAY(SELECT id FROM numbered WHERE %s ORDER BY id), false);"
             "SELECT format('%%s %%s', sum(idx_scan), sum(idx_tup_fetch)) "
             "FROM pg_stat_xact_user_tables WHERE relname ~ '^(events|transitions)_'",
             which);
    assert_int_equal(sscanf(fixture_ask(fixture, sql), "%u %u", ret_descents, ret_rows), 2);
}

/* 1,200 events, the last 400 of which have 30 transitions each. */
static void events_are_read_as_ranges_only_where_they_and_their_transitions_are_dense(void **state)
{
    struct fixture *fixture = *state;
    unsigned descents = 0, rows = 0;
    assert_int_equal(
        fixture_sql(fixture,
                    "INSERT INTO ingot.events (id, source, name, jobs, received_at) "
                    "SELECT ingot.ksuid_second(now()) || int8send(n) || int8send(n), 'test', 'a', "
                    "'[]', now() FROM generate_series(1, 1200) AS n;"
                    "CREATE TABLE numbered AS "
                    "SELECT id, row_number() OVER (ORDER BY id) AS n FROM ingot.events;"
                    "INSERT INTO ingot.transitions "
                    "(event_id, job, seq, attempt, state_before, state_after) "
                    "SELECT id, 0, seq, 1, 1, 3 FROM numbered, generate_series(1, 30) AS seq "
                    "WHERE n > 800"),
        0);
    count_reading(fixture, "n <= 400", &descents, &rows);
    assert_in_range(descents, 1, 20);
    count_reading(fixture, "n <= 800 AND n % 3 > 0", &descents, &rows);
    assert_in_range(descents, 1, 20);
    count_reading(fixture, "n % 8 = 0", &descents, &rows); /* of 150 */
    assert_in_range(descents, 300, 320);
    assert_in_range(rows, 150, 600);
    count_reading(fixture, "n <= 200 OR n = 1200", &descents, &rows);
    assert_in_range(descents, 400, 420);
    assert_in_range(rows, 200, 201 * 6);
    count_reading(fixture, "n > 800", &descents, &rows);
    assert_in_range(descents, 800, 820);
    assert_in_range(rows, 800, 400 * 8);
}

/* More than three times what one statement reads. */
#define MANY 3500u

/* Makes an id of a second that ends in a number, as the SQL below. */
static ingot_ksuid numbered_id(const char *second, uint64_t number)
{
    ingot_ksuid id = {{0}};
    for (size_t i = 0; i < 4; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(second + 2 * i, "%2x", &byte), 1);
        id.bytes[i] = (uint8_t)byte;
    }
    for (size_t i = 0; i < 8; i++)
        id.bytes[19 - i] = (uint8_t)(number >> (8 * i));
    return id;
}

static void expect_many(struct fixture *fixture, const ingot_ksuid *ids, enum ingot_detail detail)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (ingot_store_events(fixture->store, NULL, ids, 2 * MANY, detail, &page, &err))
        fail_msg("%s", err.message);
    assert_int_equal(page->event_count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        const struct ingot_event *event = &page->events[i];
        assert_memory_equal(&event->id, &ids[2 * i + 1], sizeof event->id);
        assert_int_equal(event->job_count, 2);
        for (size_t j = 0; j < 2 && detail != INGOT_DETAIL_DELIVERY; j++)
            assert_int_equal(event->jobs[j].latest.seq, i % 5 == 4 ? j + 1 : 0);
    }
    ingot_page_destroy(page);
}

/* Every second id is known; the jobs of each fifth event have one and two transitions. */
static void many_events_are_read_in_parts_all_of_which_count(void **state)
{
    static ingot_ksuid ids[2 * MANY];
    struct fixture *fixture = *state;
    struct ingot_page *page = NULL;
    assert_int_equal(
        fixture_sql(
            fixture,
            "CREATE TABLE second AS SELECT ingot.ksuid_second(now()) AS id;"
            "INSERT INTO ingot.events (id, source, name, jobs, received_at) "
            "SELECT id || int8send(0) || int8send(2 * n), 'test', 'a', "
            "'[{\"id\":\"3Mkjrc5QMhV6bBTmNz5lMWYAKoL\",\"destination\":\"a\",\"event\":\"*\"},"
            "{\"id\":\"3Mkjrc5QMhV6bBTmNz5lMWYAKoM\",\"destination\":\"b\",\"event\":\"*\"}]', "
            "now() "
            "FROM second, generate_series(1, 3500) AS n;"
            "INSERT INTO ingot.transitions "
            "(event_id, job, seq, attempt, state_before, state_after) "
            "SELECT id || int8send(0) || int8send(10 * n), job, seq, 1, 1, 3 "
            "FROM second, generate_series(1, 700) AS n, generate_series(0, 1) AS job, "
            "generate_series(1, 1 + job) AS seq"),
        0);
    char second[9];
    snprintf(second, sizeof second, "%s",
             fixture_ask(fixture, "SELECT encode(id, 'hex') FROM second"));
    for (size_t i = 0; i < 2 * MANY; i++)
        ids[i] = numbered_id(second, i + 1);
    expect_many(fixture, ids, INGOT_DETAIL_ROUTING);
    expect_many(fixture, ids, INGOT_DETAIL_ALL);
    expect_many(fixture, ids, INGOT_DETAIL_DELIVERY);
    end_connections(fixture);
    if (ingot_store_events(fixture->store, NULL, ids, 2 * MANY, INGOT_DETAIL_ROUTING, &page,
                           NULL) == INGOT_OK)
        ingot_page_destroy(page);
    expect_many(fixture, ids, INGOT_DETAIL_ROUTING);
    /* A failure leaves nothing behind that the next call would take for its own. */
    assert_int_equal(
        fixture_sql(fixture, "INSERT INTO ingot.events (id, source, name, jobs, received_at) "
                             "SELECT id || int8send(0) || int8send(1), 'test', 'a', '{}', now() "
                             "FROM second"),
        0);
    assert_int_equal(
        ingot_store_events(fixture->store, NULL, ids, 2 * MANY, INGOT_DETAIL_ROUTING, &page, NULL),
        INGOT_CORRUPT);
    assert_int_equal(
        ingot_store_events(fixture->store, NULL, ids + 1, 1, INGOT_DETAIL_ROUTING, &page, NULL),
        INGOT_OK);
    assert_int_equal(page->event_count, 1);
    assert_memory_equal(&page->events[0].id, &ids[1], sizeof ids[1]);
    ingot_page_destroy(page);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_form_of_a_connection_leads_to_the_store),
        TEST(our_time_outs_yield_to_all_that_libpq_reads),
        TEST(row_46_the_option_overrides_the_variable_and_that_the_environment),
        TEST(nothing_of_a_password_is_ever_shown),
        TEST(a_login_without_rights_is_told_which_it_needs),
        TEST(a_login_with_more_rights_than_needed_is_warned_of_once),
        TEST(a_server_that_will_not_do_is_refused),
        TEST(protocol_3_4_a_restored_store_is_refused_until_the_owner_accepts_it),
        TEST(a_connection_that_was_ended_is_made_again_at_once),
        TEST(who_follows_asks_a_function_that_was_changed_anew),
        TEST(who_reads_asks_a_function_that_was_changed_anew),
        TEST(of_two_commits_that_find_a_function_changed_both_are_stored_when_sent_again),
        TEST(a_connection_goes_without_names_while_a_table_is_locked),
        TEST(a_server_that_refuses_is_asked_again_after_a_while_only),
        TEST(errors_have_the_class_that_says_what_to_do),
        TEST(real_errors_name_the_next_step),
        TEST(several_processes_may_make_a_store_at_once),
        TEST(what_failed_to_migrate_left_nothing),
        TEST(what_went_up_comes_down_again),
        TEST(a_wake_up_ends_another_handles_wait),
        TEST(who_rings_seldom_is_heard),
        TEST(at_most_one_wake_up_a_millisecond_is_sent),
        TEST(waking_a_server_that_does_not_answer_takes_no_time),
        TEST(wake_ups_can_be_off),
        TEST(protocol_2_1_every_commit_is_synchronous_whatever_the_server_says),
        TEST(protocol_1_5_and_6_3_who_add_jobs_at_once_take_a_number_each_and_a_slot_one),
        TEST(the_newest_heartbeat_of_each_process_is_read),
        TEST(protocol_1_3_who_sits_on_a_number_for_a_lease_is_ended),
        TEST(protocol_1_3_who_was_stopped_half_way_through_a_commit_is_ended),
        TEST(checkpoints_come_back_as_they_were),
        TEST(the_newest_complete_checkpoint_before_an_instant_is_read),
        TEST(checkpoints_of_all_lanes_are_stored_together_or_not_at_all),
        TEST(settings_and_segments_are_those_of_the_server),
        TEST(a_page_of_find_reads_no_more_events_than_it_needs),
        TEST(events_are_read_as_ranges_only_where_they_and_their_transitions_are_dense),
        TEST(many_events_are_read_in_parts_all_of_which_count),
    };
#undef TEST
    fixture_use("postgres");
    fixture_use_own_databases();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
}
