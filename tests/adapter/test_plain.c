/*
 * Rows that go in plainly first, and one by one only if somebody was faster
 * (docs/decisions/0009): the verdicts are those of rows that went in one by one.
 */
#include "fixture.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define EXECUTING INGOT_STATE_EXECUTING

#define ROWS_MAX 40
#define ROUNDS 200
#define SHARE 20 /* rows of each in a round */
#define APART 8  /* of them, so many are one's own */

/* Formats SQL and runs it by a connection, which keeps what it returned. */
__attribute__((format(printf, 2, 3))) static void run(PGconn *connection, const char *format, ...)
{
    char sql[512];
    va_list values;
    va_start(values, format);
    vsnprintf(sql, sizeof sql, format, values);
    va_end(values);
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

static PGconn *connect_as_superuser(const struct fixture *fixture)
{
    char conninfo[80];
    snprintf(conninfo, sizeof conninfo, "dbname=%s", fixture->database);
    PGconn *connection = PQconnectdb(conninfo);
    if (PQstatus(connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(connection));
    return connection;
}

static const char *hex(const ingot_ksuid *id)
{
    static char text[41];
    for (size_t i = 0; i < sizeof id->bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
    return text;
}

/* Events, and claims of jobs that are stored. */
struct rows {
    struct ingot_event events[ROWS_MAX];
    struct ingot_commit_event event_rows[ROWS_MAX];
    struct ingot_commit_transition claims[ROWS_MAX];
    struct ingot_commit commit;
};

enum kind { EVENTS, CLAIMS };

static void make_rows(struct fixture *fixture, enum kind kind, size_t count, struct rows *rows)
{
    memset(rows, 0, sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows->events[i] = fixture_event(fixture, NULL, 0);
        rows->event_rows[i].row = &rows->events[i];
        if (kind == EVENTS)
            continue;
        ingot_ksuid id = fixture_put_one(fixture, "a");
        rows->claims[i] = (struct ingot_commit_transition){
            .row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE};
    }
    rows->commit = (struct ingot_commit){.events = rows->event_rows,
                                         .event_count = kind == EVENTS ? count : 0,
                                         .transitions = rows->claims,
                                         .transition_count = kind == CLAIMS ? count : 0};
}

/* A rival takes one of the rows, in a transaction that stays open. */
static void take(PGconn *rival, const struct rows *rows, enum kind kind, size_t which)
{
    run(rival, "BEGIN");
    if (kind == EVENTS)
        run(rival,
            "INSERT INTO ingot.events (id, source, name, jobs, received_at) "
            "VALUES ('\\x%s', 'rival', 'n', '[]', now())",
            hex(&rows->events[which].id));
    else
        run(rival,
            "INSERT INTO ingot.transitions (event_id, job, seq, attempt, state_before, "
            "state_after, owner) SELECT id, 0, 1, 1, 1, 3, id FROM ingot.events "
            "WHERE id = '\\x%s'",
            hex(&rows->claims[which].row.event_id));
}

static void wait_until_somebody_waits(const struct fixture *fixture)
{
    while (strcmp(fixture_ask(fixture, "SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                       "current_database() AND wait_event_type = 'Lock'"),
                  "1") != 0)
        ;
}

static void expect_verdicts(const struct rows *rows, enum kind kind, size_t count, size_t beaten)
{
    for (size_t i = 0; i < count; i++)
        if (kind == EVENTS)
            assert_int_equal(rows->event_rows[i].verdict,
                             i == beaten ? INGOT_MISMATCH : INGOT_STORED);
        else
            assert_int_equal(rows->claims[i].verdict, i == beaten ? INGOT_LOST : INGOT_STORED);
}

/* Asked of another connection, when ours has ended and told what it did. */
static void expect_no_updates(struct fixture *fixture)
{
    fixture_reopen(fixture);
    assert_string_equal(fixture_ask(fixture,
                                    "SELECT sum(n_tup_upd) FROM pg_stat_all_tables "
                                    "WHERE schemaname = 'ingot' HAVING sum(n_tup_ins) > 0"),
                        "0");
}

/* ---- one rival ---------------------------------------------------------- */

enum rival { BEFORE, WINS, GIVES_UP };

static void whoever_took_a_row_only_that_row_is_lost(void **state)
{
    static const size_t counts[] = {1, 7, 8, 9, ROWS_MAX};
    struct fixture *fixture = *state;
    PGconn *rival = connect_as_superuser(fixture);
    for (unsigned i = 0; i < COUNT(counts) * 6; i++) {
        const size_t count = counts[i / 6], which = (i * 5) % count;
        enum kind kind = i % 2 ? CLAIMS : EVENTS;
        enum rival how = i / 2 % 3;
        struct ingot_error err = {0};
        struct rows rows;
        make_rows(fixture, kind, count, &rows);
        take(rival, &rows, kind, which);
        if (how == BEFORE)
            run(rival, "COMMIT");
        assert_int_equal(ingot_store_send_commit(fixture->store, NULL, &rows.commit, &err),
                         INGOT_OK);
        if (how != BEFORE) {
            wait_until_somebody_waits(fixture);
            run(rival, how == WINS ? "COMMIT" : "ROLLBACK");
        }
        if (ingot_store_finish_commit(fixture->store, NULL, &rows.commit, &err))
            fail_msg("%s", err.message);
        expect_verdicts(&rows, kind, count, how == GIVES_UP ? SIZE_MAX : which);
    }
    PQfinish(rival);
    expect_no_updates(fixture);
    fixture_verify(fixture);
}

static void a_row_that_is_given_twice_is_stored_once(void **state)
{
    struct fixture *fixture = *state;
    for (size_t count = 7; count <= 9; count++) {
        struct rows rows;
        make_rows(fixture, EVENTS, count, &rows);
        rows.event_rows[count - 1].row = rows.event_rows[0].row;
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rows.event_rows[i].verdict,
                             i == count - 1 ? INGOT_ALREADY : INGOT_STORED);
        make_rows(fixture, CLAIMS, count, &rows);
        rows.claims[count - 1] = rows.claims[0];
        rows.claims[count - 1].row.owner = fixture_owner('z');
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rows.claims[i].verdict, i == count - 1 ? INGOT_LOST : INGOT_STORED);
    }
}

/* What was taken back of one statement takes nothing of another with it. */
static void events_stay_when_transitions_go_in_a_second_time(void **state)
{
    struct fixture *fixture = *state;
    struct rows events, claims;
    make_rows(fixture, EVENTS, 10, &events);
    make_rows(fixture, CLAIMS, 10, &claims);
    struct ingot_transition first = claims.claims[4].row;
    first.owner = fixture_owner('z');
    fixture_add(fixture, &first);
    claims.commit.events = events.event_rows;
    claims.commit.event_count = 10;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &claims.commit, NULL), INGOT_OK);
    expect_verdicts(&events, EVENTS, 10, SIZE_MAX);
    expect_verdicts(&claims, CLAIMS, 10, 4);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM events"), "20");
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM transitions"), "10");
    assert_string_equal(fixture_ask(fixture, "SELECT count(DISTINCT xid) FROM events"), "11");
}

/* ---- two that meet ------------------------------------------------------ */

/* One of two that commit overlapping rows at the same time; threads do not end a test. */
struct racer {
    struct ingot_store *store;
    pthread_barrier_t *barrier;
    struct rows *rows; /* of each round */
    enum ingot_status status;
    struct ingot_error error;
    pthread_t thread;
};

static void *race(void *context)
{
    struct racer *racer = context;
    for (size_t round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(racer->barrier);
        if (!racer->status)
            racer->status =
                ingot_store_commit(racer->store, NULL, &racer->rows[round].commit, &racer->error);
    }
    return NULL;
}

/* The rows of one of the two, from a place on; what both have differs in its author. */
static void deal(const struct rows *all, size_t first, char author, struct rows *rows)
{
    static const char *const sources[] = {"a", "b"};
    memset(rows, 0, sizeof *rows);
    for (size_t i = 0; i < SHARE; i++) {
        rows->events[i] = all->events[first + i];
        rows->events[i].source = ingot_bytes_of(sources[author - 'a']);
        rows->event_rows[i].row = &rows->events[i];
        rows->claims[i] = all->claims[first + i];
        rows->claims[i].row.owner = fixture_owner(author);
    }
    rows->commit = (struct ingot_commit){.events = rows->event_rows,
                                         .event_count = SHARE,
                                         .transitions = rows->claims,
                                         .transition_count = SHARE};
}

static void check_winner(struct fixture *fixture, const struct rows *a, const struct rows *b,
                         size_t place, unsigned wins[2])
{
    const size_t in_b = place - APART;
    struct ingot_page *page = NULL;
    enum ingot_verdict event_a = a->event_rows[place].verdict;
    enum ingot_verdict event_b = b->event_rows[in_b].verdict;
    assert_int_equal(event_a, event_b == INGOT_STORED ? INGOT_MISMATCH : INGOT_STORED);
    assert_int_equal(event_b, event_a == INGOT_STORED ? INGOT_MISMATCH : INGOT_STORED);
    assert_int_equal(ingot_store_event(fixture->store, NULL, &a->events[place].id, &page, NULL),
                     INGOT_OK);
    assert_true(ingot_bytes_equal(page->events[0].source,
                                  ingot_bytes_of(event_a == INGOT_STORED ? "a" : "b")));
    ingot_page_destroy(page);
    enum ingot_verdict claim_a = a->claims[place].verdict, claim_b = b->claims[in_b].verdict;
    assert_int_equal(claim_a, claim_b == INGOT_STORED ? INGOT_LOST : INGOT_STORED);
    assert_int_equal(claim_b, claim_a == INGOT_STORED ? INGOT_LOST : INGOT_STORED);
    assert_int_equal(
        ingot_store_event(fixture->store, NULL, &a->claims[place].row.event_id, &page, NULL),
        INGOT_OK);
    ingot_ksuid winner = fixture_owner(claim_a == INGOT_STORED ? 'a' : 'b');
    assert_int_equal(ingot_ksuid_compare(&page->events[0].jobs[0].latest.owner, &winner), 0);
    ingot_page_destroy(page);
    wins[event_a == INGOT_STORED ? 0 : 1]++;
}

static void of_two_that_meet_every_number_has_one_winner_and_both_agree(void **state)
{
    struct fixture *fixture = *state;
    struct racer racers[2] = {{0}};
    struct rows *all = calloc(1, sizeof *all);
    pthread_barrier_t barrier;
    unsigned wins[2] = {0, 0};
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        racers[i].barrier = &barrier;
        racers[i].rows = calloc(ROUNDS, sizeof *racers[i].rows);
        assert_non_null(racers[i].rows);
        assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &racers[i].store, NULL), INGOT_OK);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        struct ingot_job jobs[SHARE + APART];
        make_rows(fixture, EVENTS, SHARE + APART, all);
        struct rows *held = calloc(1, sizeof *held);
        for (size_t i = 0; i < SHARE + APART; i++) {
            jobs[i] = fixture_job(fixture, "a", "*");
            held->events[i] = fixture_event(fixture, &jobs[i], 1);
            held->event_rows[i].row = &held->events[i];
            all->claims[i] = (struct ingot_commit_transition){
                .row = fixture_row(&held->events[i].id, 0, 1, ACKNOWLEDGED, EXECUTING, 1),
                .hangs_on = INGOT_ALONE};
        }
        held->commit =
            (struct ingot_commit){.events = held->event_rows, .event_count = SHARE + APART};
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &held->commit, NULL), INGOT_OK);
        free(held);
        deal(all, 0, 'a', &racers[0].rows[round]);
        deal(all, APART, 'b', &racers[1].rows[round]);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(racers[i].thread, NULL);
        ingot_store_close(racers[i].store);
    }
    for (size_t i = 0; i < 2; i++)
        if (racers[i].status)
            fail_msg("%s", racers[i].error.message);
    for (size_t round = 0; round < ROUNDS; round++) {
        const struct rows *a = &racers[0].rows[round], *b = &racers[1].rows[round];
        for (size_t i = 0; i < APART; i++) {
            assert_int_equal(a->event_rows[i].verdict, INGOT_STORED);
            assert_int_equal(b->claims[SHARE - 1 - i].verdict, INGOT_STORED);
        }
        for (size_t i = APART; i < SHARE; i++)
            check_winner(fixture, a, b, i, wins);
    }
    print_message("# of the events that both had, %u were stored by one and %u by the other\n",
                  wins[0], wins[1]);
    pthread_barrier_destroy(&barrier);
    for (size_t i = 0; i < 2; i++)
        free(racers[i].rows);
    free(all);
    expect_no_updates(fixture);
}

/* ---- the migration ------------------------------------------------------ */

/* What a follower that knows three arguments is shown since a snapshot. */
static void ask_follow(const struct fixture *fixture, const char *snapshot, const char *more,
                       char answer[64])
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT count(*) || ' ' || md5(string_agg(f::text, E'\\n' ORDER BY f::text)) FROM "
             "ingot.follow('%s', (SELECT max(epoch) FROM ingot.epochs), "
             "(SELECT system_identifier FROM pg_control_system())%s) AS f WHERE kind > 0",
             snapshot, more);
    snprintf(answer, 64, "%s", fixture_ask(fixture, sql));
}

/* Takes back this migration and those behind it, the newest first, or runs them again. */
static void migrate(const struct fixture *fixture, enum ingot_direction direction)
{
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    char url[80];
    size_t count = 0, first = 0;
    snprintf(url, sizeof url, "postgres:///%s", fixture->database);
    assert_int_equal(ingot_options_from_url(url, &options, &err), INGOT_OK);
    assert_int_equal(ingot_store_open_for_migration(&options, NULL, &store, &err), INGOT_OK);
    assert_int_equal(ingot_store_migrations(store, NULL, all, &count, &err), INGOT_OK);
    while (first < count && strcmp(all[first].name, "throughput") != 0)
        first++;
    assert_true(first < count);
    for (size_t i = first; i < count; i++) {
        size_t at = direction == INGOT_UP ? i : count - 1 - (i - first);
        if (ingot_store_migrate(store, NULL, &all[at], direction, &err))
            fail_msg("%s", err.message);
    }
    ingot_store_close(store);
}

static void the_migration_goes_down_and_up_and_older_followers_see_the_same(void **state)
{
    struct fixture *fixture = *state;
    char snapshot[64], now[64], three[64], older[64];
    struct rows rows;
    fixture_put_one(fixture, "before");
    snprintf(snapshot, sizeof snapshot, "%s", fixture_ask(fixture, "SELECT pg_current_snapshot()"));
    make_rows(fixture, CLAIMS, 10, &rows);
    rows.claims[3].notice = INGOT_NOTICE_SENT;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
    struct ingot_job added = fixture_job(fixture, "later", "*");
    added.event_id = rows.claims[0].row.event_id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, NULL, &added, 1, NULL), INGOT_OK);
    ask_follow(fixture, snapshot, ", '{}'", now);
    ask_follow(fixture, snapshot, "", three);
    assert_memory_equal(now, "12 ", 3);
    assert_string_equal(now, three);
    ingot_store_close(fixture->store);
    migrate(fixture, INGOT_DOWN);
    ask_follow(fixture, snapshot, "", older);
    assert_string_equal(now, older);
    assert_string_equal(fixture_ask(fixture,
                                    "SELECT count(*) FROM pg_proc WHERE pronamespace = "
                                    "'ingot'::regnamespace AND (proname = 'events_to_deliver' OR "
                                    "proname = 'follow' AND pronargs = 4)"),
                        "0");
    migrate(fixture, INGOT_UP);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL), INGOT_OK);
    make_rows(fixture, CLAIMS, 10, &rows);
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
    expect_verdicts(&rows, CLAIMS, 10, SIZE_MAX);
    fixture_verify(fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(whoever_took_a_row_only_that_row_is_lost),
        TEST(a_row_that_is_given_twice_is_stored_once),
        TEST(events_stay_when_transitions_go_in_a_second_time),
        TEST(of_two_that_meet_every_number_has_one_winner_and_both_agree),
        TEST(the_migration_goes_down_and_up_and_older_followers_see_the_same),
    };
#undef TEST
    fixture_use("postgres");
    fixture_use_own_databases();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
