/*
 * Rows that go in plainly first, and one by one only if somebody was faster
 * (docs/decisions/0009): the verdicts are those of rows that went in one by one, and
 * whoever follows is shown each (docs/decisions/0018, 0019).
 */
#include "fixture.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <limits.h>
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

/* ---- whoever follows ----------------------------------------------------- */

#define MANY 2500 /* others are read by their ids a thousand at a time */

/* Where a follower stands. */
struct cursor {
    char snapshot[128], mark[128]; /* the mark as arguments of SQL */
};

/* The mark first: what its number is higher than is looked for everywhere. */
static struct cursor take_cursor(const struct fixture *fixture)
{
    struct cursor cursor;
    snprintf(
        cursor.mark, sizeof cursor.mark, "%s",
        fixture_ask(fixture, "SELECT format(', %s, %L, ''{}''', pg_current_xact_id(), now())"));
    snprintf(cursor.snapshot, sizeof cursor.snapshot, "%s",
             fixture_ask(fixture, "SELECT pg_current_snapshot()"));
    return cursor;
}

/*
 * What a follower is shown since a snapshot, but the notices of births, which older ones
 * are shown as they are; "more" is what follows three arguments.
 */
static void ask_follow(const struct fixture *fixture, const char *snapshot, const char *more,
                       char answer[64])
{
    char sql[768];
    snprintf(sql, sizeof sql,
             "SELECT count(*) || ' ' || md5(string_agg(r, E'\\n' ORDER BY r)) FROM (SELECT "
             "ROW(kind, event_id, job, id, destination, event, jobs::text, parent_job_id, due_at, "
             "created_at, xid)::text AS r FROM ingot.follow('%s', (SELECT max(epoch) FROM "
             "ingot.epochs), (SELECT system_identifier FROM pg_control_system())%s) AS f "
             "WHERE kind > 0 AND NOT (kind = 3 AND EXISTS (SELECT FROM ingot.added_jobs AS a "
             "WHERE a.event_id = f.event_id AND a.job = f.job))) AS rows",
             snapshot, more);
    snprintf(answer, 64, "%s", fixture_ask(fixture, sql));
}

/* All events and added jobs that are stored, as a follower is shown them. */
static void ask_plainly(const struct fixture *fixture, char answer[64])
{
    snprintf(answer, 64, "%s",
             fixture_ask(fixture,
                         "SELECT count(*) || ' ' || md5(string_agg(r, E'\\n' ORDER BY r)) FROM ("
                         "SELECT ROW(1, id, NULL, NULL, NULL, NULL, jobs::text, NULL, NULL, "
                         "ingested_at, xid)::text AS r FROM ingot.events UNION ALL "
                         "SELECT ROW(2, event_id, job, id, destination, event, NULL, "
                         "parent_job_id, due_at, created_at, xid)::text FROM ingot.added_jobs"
                         ") AS rows"));
}

/* Followers with a mark and without one are shown all that is stored. */
static void expect_all(const struct fixture *fixture, const struct cursor *since)
{
    char shown[64], stored[64];
    ask_plainly(fixture, stored);
    ask_follow(fixture, since->snapshot, since->mark, shown);
    assert_string_equal(shown, stored);
    ask_follow(fixture, since->snapshot, ", '{}'", shown);
    assert_string_equal(shown, stored);
}

static void put_many(struct fixture *fixture, size_t count)
{
    struct ingot_event *events = calloc(count, sizeof *events);
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    assert_non_null(events);
    for (size_t i = 0; i < count; i++)
        events[i] = fixture_event(fixture, i % 3 ? &job : NULL, i % 3 ? 1 : 0);
    struct ingot_queue queue = {events, count};
    struct ingot_error err = {0};
    if (ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, NULL, &err))
        fail_msg("%s", err.message);
    free(events);
}

static void of_eight_events_or_more_one_is_found_by_its_transaction_and_all_are_shown(void **state)
{
    static const size_t counts[] = {1, 7, 8, MANY, 990, 20, 2};
    struct fixture *fixture = *state;
    const struct cursor since = take_cursor(fixture);
    for (size_t i = 0; i < COUNT(counts); i++)
        put_many(fixture, counts[i]);
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM ingot.events "
                                             "WHERE batch IS NOT NULL"),
                        "14");
    expect_all(fixture, &since);
}

static void batches_in_any_order_across_segments_are_shown(void **state)
{
    struct fixture *fixture = *state;
    const struct cursor since = take_cursor(fixture);
    struct rows rows;
    for (size_t round = 0; round < 2; round++) { /* the second as old as the oldest of the first */
        make_rows(fixture, EVENTS, 20, &rows);
        for (size_t i = 0; i < 20; i++)
            rows.events[i].id =
                fixture_id_of(fixture, fixture->now_us - (round ? 3 : (int64_t)(i % 4)) * DAY_US);
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
    }
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM ingot.events "
                                             "WHERE batch IS NOT NULL"),
                        "2");
    assert_string_equal(fixture_ask(fixture, "SELECT count(DISTINCT tableoid) > 1 "
                                             "FROM ingot.events"),
                        "t");
    expect_all(fixture, &since);
}

/* Who may insert may insert nonsense. */
static void a_batch_that_makes_no_sense_keeps_nothing_else_from_being_shown(void **state)
{
    static const char *const batches[] = {
        "'{NULL}'",
        "'{{NULL,NULL},{NULL,NULL}}'",
        "ARRAY['\\x01'::bytea, NULL, '']",
        "ARRAY[ARRAY['\\x01'::bytea], ARRAY['\\xffffffffffffffffffffffffffffffffffffffff'::bytea]]",
        "(SELECT array_fill('\\xffffffffffffffffffffffffffffffffffffffff'::bytea, ARRAY[3000]))",
        "'[-3:-2]={NULL,NULL}'",
    };
    struct fixture *fixture = *state;
    const struct cursor since = take_cursor(fixture);
    char sql[512];
    for (size_t i = 0; i < COUNT(batches); i++) {
        ingot_ksuid id = fixture_id(fixture);
        put_many(fixture, 20);
        snprintf(sql, sizeof sql,
                 "INSERT INTO ingot.events (id, source, name, jobs, received_at, batch) "
                 "VALUES ('\\x%s', 's', 'n', '[]', now(), %s)",
                 hex(&id), batches[i]);
        assert_int_equal(fixture_sql(fixture, sql), 0);
    }
    put_many(fixture, 1);
    expect_all(fixture, &since);
}

static void added_jobs_are_shown_whatever_the_age_of_their_event(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job *jobs = calloc(MANY, sizeof *jobs);
    char names[MANY / 20][16];
    struct rows rows;
    assert_non_null(jobs);
    make_rows(fixture, EVENTS, 20, &rows);
    for (size_t i = 0; i < 20; i++)
        rows.events[i].id = fixture_id_of(fixture, fixture->now_us - (int64_t)(i % 7) * DAY_US);
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
    const struct cursor since = take_cursor(fixture);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i / 20], sizeof names[0], "d%zu", i / 20);
        jobs[i] = fixture_job(fixture, names[i / 20], "*");
        jobs[i].event_id = rows.events[i % 20].id;
    }
    struct ingot_error err = {0};
    if (ingot_store_add_jobs(fixture->store, NULL, jobs, MANY, &err))
        fail_msg("%s", err.message);
    free(jobs);
    char shown[64], stored[64];
    ask_follow(fixture, since.snapshot, since.mark, shown);
    ask_follow(fixture, since.snapshot, ", '{}'", stored);
    assert_memory_equal(shown, "2500 ", 5);
    assert_string_equal(shown, stored);
}

/*
 * How many indexes of a segment a call opens: they are locked until the transaction ends. To
 * plan it locks them all, and the server may plan anew at any time: the least of some calls.
 */
static unsigned count_opened(PGconn *connection, const struct cursor *since, const char *mark,
                             const char *segment)
{
    char sql[1024];
    unsigned least = UINT_MAX;
    snprintf(sql, sizeof sql,
             "BEGIN; SELECT count(*) FROM ingot.follow('%s', (SELECT max(epoch) FROM "
             "ingot.epochs), (SELECT system_identifier FROM pg_control_system())%s); SELECT "
             "count(*) FROM pg_locks JOIN pg_index ON relation = indexrelid "
             "WHERE pid = pg_backend_pid() AND indrelid = '%s'::regclass",
             since->snapshot, mark, segment);
    for (size_t i = 0; i < 5; i++) {
        PGresult *result = PQexec(connection, sql);
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            fail_msg("%s", PQerrorMessage(connection));
        unsigned count = (unsigned)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
        least = count < least ? count : least;
        PQclear(result);
        run(connection, "ROLLBACK");
    }
    return least;
}

static const char *const old_parents[] = {"events", "added_jobs", "notices"};

/* Segments of thirty days ago. */
static void make_old_segments(PGconn *owner)
{
    for (size_t i = 0; i < COUNT(old_parents); i++)
        run(owner,
            "DO $$ BEGIN EXECUTE format('CREATE TABLE ingot.%s_old PARTITION OF ingot.%s FOR "
            "VALUES FROM (%%L) TO (%%L)', ingot.segment_bound(current_date - 30, %d = 1), "
            "ingot.segment_bound(current_date - 29, %d = 1)); END $$",
            old_parents[i], old_parents[i], i < 2, i < 2);
}

/*
 * The cursor's mark, and that the transactions which were under way at it are not to be looked
 * for: other tests have some on the same server, and when they end all segments are opened.
 */
static void know_who_was_under_way(const struct fixture *fixture, const struct cursor *since,
                                   char mark[512])
{
    static const char nobody[] = "'{}'";
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT ARRAY(SELECT pg_snapshot_xip('%s'))", since->snapshot);
    snprintf(mark, 512, "%.*s'%s'", (int)(strlen(since->mark) - strlen(nobody)), since->mark,
             fixture_ask(fixture, sql));
}

static void segments_of_long_before_the_mark_are_not_opened(void **state)
{
    struct fixture *fixture = *state;
    PGconn *owner = connect_as_superuser(fixture);
    make_old_segments(owner);
    const struct cursor since = take_cursor(fixture);
    char mark[512];
    know_who_was_under_way(fixture, &since, mark);
    fixture_put_one(fixture, "crm");
    for (size_t i = 0; i < COUNT(old_parents); i++) {
        char segment[32];
        snprintf(segment, sizeof segment, "ingot.%s_old", old_parents[i]);
        assert_int_equal(count_opened(owner, &since, mark, segment), 0);
        assert_true(count_opened(owner, &since, ", '{}'", segment) > 0);
    }
    expect_all(fixture, &since);
    PQfinish(owner);
}

/* It may have written at any time before it. */
static void what_was_under_way_at_the_mark_is_shown_wherever_it_is(void **state)
{
    struct fixture *fixture = *state;
    PGconn *slow = connect_as_superuser(fixture);
    char mark[128], shown[64], stored[64];
    struct rows rows;
    make_rows(fixture, EVENTS, 1, &rows);
    take(slow, &rows, EVENTS, 0);
    struct cursor since = take_cursor(fixture);
    /* of long after it, so that its segment is not one of those that are looked into */
    snprintf(mark, sizeof mark, "%s",
             fixture_ask(fixture, "SELECT format(', %s, %L, ''{}''', pg_current_xact_id(), "
                                  "now() + interval '20 days')"));
    ask_follow(fixture, since.snapshot, mark, shown);
    assert_string_equal(shown, "NULL");
    run(slow, "COMMIT");
    PQfinish(slow);
    ask_follow(fixture, since.snapshot, mark, shown);
    ask_plainly(fixture, stored);
    assert_string_equal(shown, stored);
    expect_all(fixture, &since);
}

/* ---- cursors ------------------------------------------------------------ */

/* A cursor's parts. */
struct parts {
    char version, snapshot[64];
    long long epoch, system, marked_us, mark_xid;
};

static void write_cursor(const struct parts *parts, char cursor[256])
{
    snprintf(cursor, 256, "2:%lld:%lld:%lld:%lld:%s", parts->epoch, parts->system, parts->marked_us,
             parts->mark_xid, parts->snapshot);
}

static int count_sighting(void *context, const struct ingot_sighting *sighting)
{
    (void)sighting;
    ++*(size_t *)context;
    return 0;
}

/* Follows from a cursor, or from none; how much was sighted, and where it stands now. */
static size_t follow_from(struct fixture *fixture, const char *cursor, uint64_t known,
                          struct parts *ret_next)
{
    const struct ingot_following from = {.cursor = cursor ? ingot_bytes_of(cursor)
                                                          : (struct ingot_bytes){NULL, 0},
                                         .known = &known,
                                         .known_count = known != 0};
    struct ingot_followed followed;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    size_t count = 0;
    char text[256];
    if (ingot_store_follow(fixture->store, &fixture->toolkit, &from, count_sighting, &count, &page,
                           &followed, &err))
        fail_msg("%s", err.message);
    snprintf(text, sizeof text, "%.*s", (int)followed.cursor.len,
             (const char *)followed.cursor.data);
    ingot_page_destroy(page);
    assert_int_equal(sscanf(text, "%c:%lld:%lld:%lld:%lld:%63s", &ret_next->version,
                            &ret_next->epoch, &ret_next->system, &ret_next->marked_us,
                            &ret_next->mark_xid, ret_next->snapshot),
                     6);
    assert_int_equal(ret_next->version, '2');
    return count;
}

static void a_cursors_mark_is_a_day_old_at_most(void **state)
{
    static const struct {
        int64_t moved_us;
        int stays;
    } cases[] = {{0, 1},
                 {-DAY_US + 60 * SECOND_US, 1},
                 {-DAY_US - 60 * SECOND_US, 0},
                 {-6 * DAY_US, 0},
                 {-9000 * DAY_US, 0}, /* before all ids */
                 {60 * SECOND_US, 0},
                 {DAY_US, 0}};
    struct fixture *fixture = *state;
    struct parts begin, parts, next;
    char cursor[256];
    assert_int_equal(follow_from(fixture, NULL, 0, &begin), 0);
    write_cursor(&begin, cursor);
    assert_int_equal(follow_from(fixture, cursor, 0, &begin), 0); /* behind the mark */
    fixture_put_one(fixture, "crm");
    for (size_t i = 0; i < COUNT(cases); i++) {
        parts = begin;
        parts.marked_us += cases[i].moved_us;
        write_cursor(&parts, cursor);
        assert_int_equal(follow_from(fixture, cursor, 0, &next), 1);
        if (cases[i].stays) {
            assert_true(next.marked_us == parts.marked_us && next.mark_xid == begin.mark_xid);
        } else {
            assert_true(next.marked_us >= begin.marked_us && next.mark_xid > begin.mark_xid);
            assert_true(next.marked_us - begin.marked_us < 600 * SECOND_US);
        }
    }
}

static uint64_t ask_xid(PGconn *connection)
{
    PGresult *result = PQexec(connection, "SELECT pg_current_xact_id()");
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    uint64_t xid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return xid;
}

/* Its number is higher than that of all that have ended, and still it is older than the mark. */
static void what_was_under_way_before_the_first_mark_is_shown_wherever_it_is(void **state)
{
    struct fixture *fixture = *state;
    PGconn *slow[] = {connect_as_superuser(fixture), connect_as_superuser(fixture)};
    struct parts next;
    char cursor[256];
    uint64_t first = 0;
    make_old_segments(slow[0]);
    for (size_t i = 0; i < COUNT(slow); i++) {
        run(slow[i], "BEGIN");
        run(slow[i],
            "INSERT INTO ingot.events (id, source, name, jobs, received_at) SELECT "
            "ingot.make_id(ingot.ksuid_second(date_trunc('day', now()) - interval '719 hours'), "
            "%zu), 's', 'n', '[]', now()",
            i);
        if (i == 0)
            first = ask_xid(slow[0]);
    }
    assert_int_equal(follow_from(fixture, NULL, 0, &next), 0);
    write_cursor(&next, cursor);
    for (size_t i = 0; i < COUNT(slow); i++) {
        run(slow[i], "COMMIT");
        PQfinish(slow[i]);
    }
    assert_int_equal(follow_from(fixture, cursor, first, &next), 1);
}

static void a_cursor_of_before_marks_is_taken(void **state)
{
    struct fixture *fixture = *state;
    struct parts begin, next;
    char cursor[256];
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(follow_from(fixture, NULL, 0, &begin), 0);
    fixture_put_one(fixture, "crm");
    struct ingot_job added = fixture_job(fixture, "later", "*");
    added.event_id = id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, NULL, &added, 1, NULL), INGOT_OK);
    snprintf(cursor, sizeof cursor, "1:%lld:%lld:%s", begin.epoch, begin.system, begin.snapshot);
    assert_int_equal(follow_from(fixture, cursor, 0, &next), 2);
    write_cursor(&next, cursor);
    assert_int_equal(follow_from(fixture, cursor, 0, &next), 0);
}

/* ---- the migration ------------------------------------------------------ */

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
    char now[64], three[64], older[64];
    struct rows rows;
    fixture_put_one(fixture, "before");
    const struct cursor since = take_cursor(fixture);
    const char *const snapshot = since.snapshot;
    make_rows(fixture, CLAIMS, 10, &rows);
    put_many(fixture, 10);
    rows.claims[3].notice = INGOT_NOTICE_SENT;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &rows.commit, NULL), INGOT_OK);
    struct ingot_job added = fixture_job(fixture, "later", "*");
    added.event_id = rows.claims[0].row.event_id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, NULL, &added, 1, NULL), INGOT_OK);
    ask_follow(fixture, snapshot, ", '{}'", now);
    ask_follow(fixture, snapshot, since.mark, older);
    assert_string_equal(now, older);
    ask_follow(fixture, snapshot, "", three);
    assert_memory_equal(now, "22 ", 3);
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
    ask_follow(fixture, snapshot, ", '{}'", older);
    assert_string_equal(now, older);
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
        TEST(of_eight_events_or_more_one_is_found_by_its_transaction_and_all_are_shown),
        TEST(batches_in_any_order_across_segments_are_shown),
        TEST(a_batch_that_makes_no_sense_keeps_nothing_else_from_being_shown),
        TEST(added_jobs_are_shown_whatever_the_age_of_their_event),
        TEST(segments_of_long_before_the_mark_are_not_opened),
        TEST(what_was_under_way_at_the_mark_is_shown_wherever_it_is),
        TEST(a_cursors_mark_is_a_day_old_at_most),
        TEST(what_was_under_way_before_the_first_mark_is_shown_wherever_it_is),
        TEST(a_cursor_of_before_marks_is_taken),
        TEST(the_migration_goes_down_and_up_and_older_followers_see_the_same),
    };
#undef TEST
    fixture_use("postgres");
    fixture_use_own_databases();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
