/*
 * What Ingot is measured against has to be right itself, or the figures mean
 * nothing: each job is worked once, whoever asks, and commits are durable.
 */
#include "fixture.h"

#include "bench/rival.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCERS 2
#define WORKERS 4
#define INSERTS 30
#define ROWS 50
#define JOBS (PRODUCERS * INSERTS * ROWS)

#define PAYLOAD "{\"order\":\"\\u0041\",\"of\":[1, 2]}"

typedef enum ingot_status work_fn(struct igt_rival *rival, size_t max, size_t *ret_count,
                                  struct ingot_error *err);

static const char *kind;

static int is_postgres(void)
{
    return strcmp(kind, "postgres") == 0;
}

/* ---- a fresh place ------------------------------------------------------ */

/* The fixture's folder or database; in the folder a file beside the store. */
static int set_up(void **state)
{
    if (fixture_set_up(state))
        return -1;
    struct fixture *fixture = *state;
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    snprintf(fixture->path, sizeof fixture->path, "%s/rival.db", fixture->folder);
    if (is_postgres()) /* as superuser: the fixture's login may make no tables */
        snprintf(fixture->url, sizeof fixture->url, "postgres:///%s", fixture->database);
    else
        snprintf(fixture->url, sizeof fixture->url, "sqlite:%s", fixture->path);
    return 0;
}

static int tear_down(void **state)
{
    if (is_postgres())
        fixture_sql(*state, "DROP SCHEMA IF EXISTS rival CASCADE");
    return fixture_tear_down(state);
}

static struct igt_rival *open_rival(const struct fixture *fixture, enum igt_rival_kind rival_kind)
{
    struct igt_rival *rival = NULL;
    struct ingot_error err = {0};
    if (igt_rival_open(fixture->url, rival_kind, &rival, &err))
        fail_msg("%s", err.message);
    return rival;
}

static void insert(struct igt_rival *rival, size_t count)
{
    struct ingot_error err = {0};
    if (igt_rival_insert(rival, ingot_bytes_of(PAYLOAD), count, &err))
        fail_msg("%s", err.message);
}

static size_t do_work(work_fn *work, struct igt_rival *rival, size_t max)
{
    struct ingot_error err = {0};
    size_t count = 99;
    if (work(rival, max, &count, &err))
        fail_msg("%s", err.message);
    return count;
}

/* What a query gives, with the table's name in the place of %s. */
__attribute__((format(printf, 2, 0))) static const char *
ask(const struct fixture *fixture, const char *format, enum igt_rival_kind rival_kind)
{
    char sql[512];
    const char *name = rival_kind == IGT_RIVAL_QUEUE ? "queue" : "raw";
    char table[32];
    snprintf(table, sizeof table, "rival%c%s", is_postgres() ? '.' : '_', name);
    snprintf(sql, sizeof sql, format, table, table);
    return fixture_ask(fixture, sql);
}

static int ask_int(const struct fixture *fixture, const char *format)
{
    return (int)strtol(ask(fixture, format, IGT_RIVAL_QUEUE), NULL, 10);
}

/* ---- several connections ------------------------------------------------ */

/* A thread with a connection; threads do not end a test, so they keep what went wrong. */
struct hand {
    pthread_t thread;
    const char *url;
    work_fn *work; /* NULL: inserts */
    size_t done;
    enum ingot_status status;
    struct ingot_error error;
};

static void *run_hand(void *context)
{
    struct hand *hand = context;
    struct igt_rival *rival = NULL;
    size_t count = 1;
    hand->status = igt_rival_open(hand->url, IGT_RIVAL_QUEUE, &rival, &hand->error);
    for (int i = 0; !hand->work && !hand->status && i < INSERTS; i++)
        hand->status = igt_rival_insert(rival, ingot_bytes_of(PAYLOAD), ROWS, &hand->error);
    while (hand->work && !hand->status && count) {
        hand->status = hand->work(rival, 7, &count, &hand->error);
        hand->done += hand->status ? 0 : count;
    }
    igt_rival_close(rival);
    return NULL;
}

/* Runs so many at once; returns how much they worked. */
static size_t run_hands(const struct fixture *fixture, work_fn *work, size_t count)
{
    struct hand hands[WORKERS] = {{0}};
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        hands[i].url = fixture->url;
        hands[i].work = work;
        assert_int_equal(pthread_create(&hands[i].thread, NULL, run_hand, &hands[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(hands[i].thread, NULL);
        done += hands[i].done;
    }
    for (size_t i = 0; i < count; i++)
        if (hands[i].status)
            fail_msg("%s", hands[i].error.message);
    return done;
}

static void expect_each_worked_once(const struct fixture *fixture, work_fn *work)
{
    run_hands(fixture, NULL, PRODUCERS);
    assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE state = 0"), JOBS);
    assert_int_equal(ask_int(fixture, "SELECT count(DISTINCT id) FROM %s"), JOBS);
    assert_int_equal(run_hands(fixture, work, WORKERS), JOBS);
    assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE state = 2 AND attempt = 1"),
                     JOBS);
}

static void every_row_is_worked_once_by_several_connections(void **state)
{
    expect_each_worked_once(*state, igt_rival_work);
}

static void every_row_is_worked_once_in_single_transactions(void **state)
{
    expect_each_worked_once(*state, igt_rival_work_at_once);
}

static void what_another_has_claimed_is_not_claimed_again(void **state)
{
    struct fixture *fixture = *state;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    insert(rival, 3);
    fixture_sql(fixture, is_postgres() ? "UPDATE rival.queue SET state = 1"
                                       : "UPDATE rival_queue SET state = 1");
    assert_int_equal(do_work(igt_rival_work, rival, 10), 0);
    assert_int_equal(do_work(igt_rival_work_at_once, rival, 10), 0);
    igt_rival_close(rival);
    assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE state = 1"), 3);
}

/* ---- one connection ----------------------------------------------------- */

static void a_worker_takes_no_more_than_it_asked_for_and_the_oldest_first(void **state)
{
    static work_fn *const ways[] = {igt_rival_work, igt_rival_work_at_once};
    struct fixture *fixture = *state;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    for (size_t i = 0; i < COUNT(ways); i++) {
        assert_int_equal(do_work(ways[i], rival, 3), 0);
        insert(rival, 2);
        insert(rival, 3);
        assert_int_equal(do_work(ways[i], rival, 3), 3);
        assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s a JOIN %s b "
                                          "ON a.state = 0 AND b.state = 2 AND a.id < b.id"),
                         0);
        assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE state = 0"), 2);
        assert_int_equal(do_work(ways[i], rival, 3), 2);
        assert_int_equal(do_work(ways[i], rival, 3), 0);
    }
    igt_rival_close(rival);
}

static void a_row_holds_what_an_event_of_ours_holds(void **state)
{
    struct fixture *fixture = *state;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    insert(rival, 2);
    igt_rival_close(rival);
    assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE length(id) = 20 AND "
                                      "source = 'shop' AND name = 'order.created' AND "
                                      "context IS NULL AND received_at IS NOT NULL"),
                     2);
    assert_string_equal(ask(fixture, "SELECT payload FROM %s LIMIT 1", IGT_RIVAL_QUEUE), PAYLOAD);
}

static void the_raw_table_takes_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_RAW);
    insert(rival, 1);
    insert(rival, 200);
    igt_rival_close(rival);
    assert_string_equal(
        ask(fixture, "SELECT count(*) FROM %s WHERE length(id) = 20", IGT_RIVAL_RAW), "201");
    char expected[32];
    snprintf(expected, sizeof expected, "%zu",
             201 * strlen("shop"
                          "order.created" PAYLOAD));
    assert_string_equal(ask(fixture, "SELECT sum(length(body)) FROM %s", IGT_RIVAL_RAW), expected);
}

static void the_most_rows_of_a_commit_go_in_and_are_worked_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    insert(rival, 10000);
    assert_int_equal(do_work(igt_rival_work, rival, 10000), 10000);
    insert(rival, 10000);
    assert_int_equal(do_work(igt_rival_work_at_once, rival, 10000), 10000);
    igt_rival_close(rival);
}

static void what_cannot_be_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct igt_rival *queue = open_rival(fixture, IGT_RIVAL_QUEUE);
    struct igt_rival *raw = open_rival(fixture, IGT_RIVAL_RAW), *none = NULL;
    const struct ingot_bytes payload = ingot_bytes_of(PAYLOAD);
    size_t count;
    assert_int_equal(igt_rival_insert(queue, payload, 0, NULL), INGOT_LIMIT);
    assert_int_equal(igt_rival_insert(queue, payload, 10001, NULL), INGOT_LIMIT);
    assert_int_equal(igt_rival_insert(raw, (struct ingot_bytes){"", SIZE_MAX}, 2, NULL),
                     INGOT_LIMIT);
    assert_int_equal(igt_rival_work(queue, 0, &count, NULL), INGOT_LIMIT);
    assert_int_equal(igt_rival_work_at_once(queue, 10001, &count, NULL), INGOT_LIMIT);
    assert_int_equal(igt_rival_work(raw, 1, &count, NULL), INGOT_UNSUPPORTED);
    assert_int_equal(igt_rival_work_at_once(raw, 1, &count, NULL), INGOT_UNSUPPORTED);
    assert_int_equal(igt_rival_open("memory:", IGT_RIVAL_QUEUE, &none, NULL), INGOT_UNSUPPORTED);
    assert_int_equal(igt_rival_open("elsewhere:", IGT_RIVAL_QUEUE, &none, NULL), INGOT_INVALID);
    assert_null(none);
    igt_rival_close(NULL);
    igt_rival_close(raw);
    igt_rival_close(queue);
}

/* ---- errors ------------------------------------------------------------- */

static void expect_refusal(const char *url, enum ingot_status status, const char *said)
{
    struct igt_rival *rival = NULL;
    struct ingot_error err = {0};
    assert_int_equal(igt_rival_open(url, IGT_RIVAL_QUEUE, &rival, &err), status);
    assert_null(rival);
    if (!strstr(err.message, said) || strstr(err.message, "secret"))
        fail_msg("%s", err.message);
}

static void a_store_that_cannot_be_reached_is_named_without_the_password(void **state)
{
    (void)state;
    expect_refusal("sqlite:/nowhere/at-all/rival.db", INGOT_IO, "/nowhere/at-all/rival.db");
    expect_refusal("sqlite:", INGOT_UNSUPPORTED, "write-ahead log");
    expect_refusal("postgres://someone:secret@127.0.0.1:1/orders", INGOT_IO, "\"127.0.0.1\"");
    expect_refusal("postgres:host=127.0.0.1 port=1 password=secret", INGOT_IO, "port 1");
    expect_refusal("postgres://someone:top@secret@127.0.0.1:1/orders", INGOT_INVALID, "%40");
    expect_refusal("postgres://someone:top/secret@127.0.0.1:1/orders", INGOT_INVALID, "%2F");
    expect_refusal("postgres:host=a secret", INGOT_INVALID, "cannot be understood");
}

static void a_payload_that_is_refused_leaves_nothing_and_the_connection_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    if (!is_postgres()) /* SQLite takes any text */
        return;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    assert_int_equal(igt_rival_insert(rival, ingot_bytes_of("{"), 2, &err), INGOT_IO);
    assert_non_null(strstr(err.message, "rival/postgres: could not insert: invalid input syntax"));
    assert_int_equal(do_work(igt_rival_work_at_once, rival, 10), 0);
    insert(rival, 2);
    assert_int_equal(do_work(igt_rival_work, rival, 10), 2);
    igt_rival_close(rival);
}

static void a_failure_within_a_transaction_rolls_it_back(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    size_t count = 99;
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    insert(rival, 3);
    if (is_postgres())
        fixture_sql(fixture, "ALTER TABLE rival.queue ADD CONSTRAINT none CHECK (state < 2)");
    else
        fixture_sql(fixture, "CREATE TRIGGER none BEFORE UPDATE ON rival_queue "
                             "WHEN new.state = 2 BEGIN SELECT raise(ABORT, 'none'); END");
    assert_int_equal(igt_rival_work_at_once(rival, 3, &count, &err), INGOT_IO);
    assert_int_equal(count, 99);
    assert_non_null(strstr(err.message, "could not finish"));
    assert_int_equal(ask_int(fixture, "SELECT count(*) FROM %s WHERE state = 0"), 3);
    fixture_sql(fixture, is_postgres() ? "ALTER TABLE rival.queue DROP CONSTRAINT none"
                                       : "DROP TRIGGER none");
    assert_int_equal(do_work(igt_rival_work_at_once, rival, 10), 3);
    igt_rival_close(rival);
}

static void a_connection_that_was_ended_is_an_error_and_no_wait(void **state)
{
    struct fixture *fixture = *state;
    static const enum igt_rival_kind kinds[] = {IGT_RIVAL_QUEUE, IGT_RIVAL_RAW};
    if (!is_postgres()) /* a file has nobody to end it */
        return;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct ingot_error err = {0};
        struct igt_rival *rival = open_rival(fixture, kinds[i]);
        insert(rival, 1);
        fixture_sql(fixture, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                             "WHERE application_name = 'ingot-bench' "
                             "AND datname = current_database()");
        assert_int_equal(igt_rival_insert(rival, ingot_bytes_of(PAYLOAD), 1, &err), INGOT_IO);
        assert_non_null(strstr(err.message, "rival/postgres: could not"));
        igt_rival_close(rival);
    }
}

/* ---- durability --------------------------------------------------------- */

/* The connection that was opened last. */
static sqlite3 *captured;

static int capture(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message, (void)api;
    captured = db;
    return SQLITE_OK;
}

static int pragma(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(captured, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const int value = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* A trigger on the server notes the setting under which a row was inserted. */
static void expect_synchronous_commits(struct fixture *fixture)
{
    fixture_sql(fixture,
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', "
                "current_database()); END $$");
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    fixture_sql(fixture, "CREATE FUNCTION rival.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                         " NEW.source = current_setting('synchronous_commit'); RETURN NEW; END $$;"
                         "CREATE TRIGGER note BEFORE INSERT ON rival.queue "
                         "FOR EACH ROW EXECUTE FUNCTION rival.note()");
    insert(rival, 1);
    igt_rival_close(rival);
    fixture_sql(fixture, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET synchronous_commit', "
                         "current_database()); END $$");
    assert_string_equal(ask(fixture, "SELECT source FROM %s", IGT_RIVAL_QUEUE), "on");
}

static void commits_are_as_durable_as_ours(void **state)
{
    struct fixture *fixture = *state;
    if (is_postgres()) {
        expect_synchronous_commits(fixture);
        return;
    }
    sqlite3_auto_extension((void (*)(void))capture);
    struct igt_rival *rival = open_rival(fixture, IGT_RIVAL_QUEUE);
    sqlite3_cancel_auto_extension((void (*)(void))capture);
    assert_int_equal(pragma("PRAGMA synchronous"), 2);
    assert_int_equal(pragma("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    igt_rival_close(rival);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_row_is_worked_once_by_several_connections),
        TEST(every_row_is_worked_once_in_single_transactions),
        TEST(what_another_has_claimed_is_not_claimed_again),
        TEST(a_worker_takes_no_more_than_it_asked_for_and_the_oldest_first),
        TEST(a_row_holds_what_an_event_of_ours_holds),
        TEST(the_raw_table_takes_the_same_bytes),
        TEST(the_most_rows_of_a_commit_go_in_and_are_worked_at_once),
        TEST(what_cannot_be_is_refused),
        TEST(a_store_that_cannot_be_reached_is_named_without_the_password),
        TEST(a_payload_that_is_refused_leaves_nothing_and_the_connection_goes_on),
        TEST(a_failure_within_a_transaction_rolls_it_back),
        TEST(a_connection_that_was_ended_is_an_error_and_no_wait),
        TEST(commits_are_as_durable_as_ours),
    };
#undef TEST
    if (argc != 2)
        return 2;
    kind = argv[1];
    if (is_postgres() && !getenv("PGHOST")) {
        printf("1..0 # SKIP no server: tools/with-postgres.sh gives one\n");
        return 0;
    }
    fixture_use(kind);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("rival", tests, NULL, NULL);
}
