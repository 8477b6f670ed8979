/*
 * A commit in two halves: the same as in one, whatever happens between them.
 * usage: test_halves memory|sqlite|postgres
 */
#include "fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define EXECUTING INGOT_STATE_EXECUTING
#define FAILED INGOT_STATE_FAILED
#define AWAITING INGOT_STATE_AWAITING
#define SUCCEEDED INGOT_STATE_SUCCEEDED

#define ROWS_MAX 64

static enum ingot_status send_commit(struct fixture *fixture, struct ingot_commit *commit,
                                     struct ingot_error *err)
{
    return ingot_store_send_commit(fixture->store, &fixture->toolkit, commit, err);
}

static enum ingot_status finish_commit(struct fixture *fixture, struct ingot_commit *commit,
                                       struct ingot_error *err)
{
    return ingot_store_finish_commit(fixture->store, &fixture->toolkit, commit, err);
}

static void commit_in_halves(struct fixture *fixture, struct ingot_commit *commit)
{
    struct ingot_error err = {0};
    if (send_commit(fixture, commit, &err) || finish_commit(fixture, commit, &err))
        fail_msg("%s", err.message);
}

/* A commit of events without jobs. */
struct plain {
    struct ingot_event events[ROWS_MAX];
    struct ingot_commit_event rows[ROWS_MAX];
    struct ingot_commit commit;
};

static void make_plain(struct fixture *fixture, size_t count, struct plain *plain)
{
    memset(plain, 0, sizeof *plain);
    plain->commit.events = plain->rows;
    plain->commit.event_count = count;
    for (size_t i = 0; i < count; i++) {
        plain->events[i] = fixture_event(fixture, NULL, 0);
        plain->rows[i].row = &plain->events[i];
    }
}

static void expect_all(const struct plain *plain, enum ingot_verdict verdict)
{
    for (size_t i = 0; i < plain->commit.event_count; i++)
        assert_int_equal(plain->rows[i].verdict, verdict);
}

/* ---- stores that cannot ------------------------------------------------- */

static void a_store_that_commits_in_one_says_so_and_stores_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct plain plain;
    make_plain(fixture, 3, &plain);
    assert_int_equal(send_commit(fixture, &plain.commit, NULL), INGOT_UNSUPPORTED);
    assert_int_equal(fixture_verify(fixture).events, 0);
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &plain.commit, NULL),
                     INGOT_OK);
    expect_all(&plain, INGOT_STORED);
}

/* ---- the same verdicts -------------------------------------------------- */

/* Every kind of verdict in one commit, and so many rows more that are simply stored. */
struct scenario {
    struct ingot_event events[ROWS_MAX];
    struct ingot_commit_event event_rows[ROWS_MAX];
    struct ingot_commit_transition transitions[ROWS_MAX];
    struct ingot_commit_retirement retirement;
    struct ingot_commit commit;
};

static void add_event(struct scenario *scenario, const struct ingot_event *event)
{
    struct ingot_commit *commit = &scenario->commit;
    scenario->events[commit->event_count] = *event;
    scenario->event_rows[commit->event_count].row = &scenario->events[commit->event_count];
    commit->event_count++;
}

static void add_row(struct scenario *scenario, const struct ingot_transition *row, size_t hangs_on,
                    enum ingot_notice notice)
{
    scenario->transitions[scenario->commit.transition_count++] =
        (struct ingot_commit_transition){.row = *row, .hangs_on = hangs_on, .notice = notice};
}

enum chains { WITHOUT_CHAINS, WITH_CHAINS };

static void make_scenario(struct fixture *fixture, enum chains chains, size_t more,
                          struct scenario *scenario)
{
    memset(scenario, 0, sizeof *scenario);
    scenario->commit.events = scenario->event_rows;
    scenario->commit.transitions = scenario->transitions;
    struct ingot_event stored = fixture_event(fixture, NULL, 0);
    struct ingot_event fresh = fixture_event(fixture, NULL, 0);
    struct ingot_event changed = fixture_event(fixture, NULL, 0);
    fixture_put(fixture, &stored);
    fixture_put(fixture, &changed);
    changed.name = ingot_bytes_of("changed");
    add_event(scenario, &changed);
    add_event(scenario, &fresh);
    add_event(scenario, &stored);
    fresh.name = ingot_bytes_of("the same id again");
    add_event(scenario, &fresh);
    ingot_ksuid taken = fixture_put_one(fixture, "a"), free_job = fixture_put_one(fixture, "a");
    struct ingot_transition rival = fixture_row(&taken, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
    struct ingot_transition claim = fixture_row(&free_job, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
    fixture_add(fixture, &rival);
    rival.owner = fixture_owner('z');
    add_row(scenario, &rival, INGOT_ALONE, INGOT_NOTICE_NONE);
    add_row(scenario, &claim, INGOT_ALONE, INGOT_NOTICE_NONE);
    add_row(scenario, &claim, INGOT_ALONE, INGOT_NOTICE_NONE);
    if (chains == WITH_CHAINS) {
        struct ingot_transition lost = fixture_row(&taken, 0, 2, EXECUTING, SUCCEEDED, 1);
        struct ingot_transition fact = fixture_row(&free_job, 0, 2, EXECUTING, FAILED, 1);
        struct ingot_transition decision = fixture_row(&free_job, 0, 3, FAILED, AWAITING, 1);
        decision.due_us = fixture->now_us + DAY_US;
        add_row(scenario, &lost, 0, INGOT_NOTICE_SENT);
        add_row(scenario, &fact, 1, INGOT_NOTICE_NONE);
        add_row(scenario, &decision, 4, INGOT_NOTICE_SENT);
    }
    for (size_t i = 0; i < more; i++) {
        struct ingot_event event = fixture_event(fixture, NULL, 0);
        ingot_ksuid id = fixture_put_one(fixture, "a");
        struct ingot_transition row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
        add_event(scenario, &event);
        add_row(scenario, &row, INGOT_ALONE, INGOT_NOTICE_NONE);
    }
    scenario->retirement = (struct ingot_commit_retirement){stored.id, ingot_bytes_of("test"),
                                                            ingot_bytes_of("retired")};
    scenario->commit.retirements = &scenario->retirement;
    scenario->commit.retirement_count = 1;
}

static void verdicts_are_those_of_a_commit_in_one(void **state)
{
    static const size_t mores[] = {0, 3, 4, 5, 30};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 2 * COUNT(mores); i++) {
        struct scenario halves, one;
        enum chains chains = i % 2 ? WITH_CHAINS : WITHOUT_CHAINS;
        make_scenario(fixture, chains, mores[i / 2], &halves);
        make_scenario(fixture, chains, mores[i / 2], &one);
        commit_in_halves(fixture, &halves.commit);
        assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &one.commit, NULL),
                         INGOT_OK);
        for (size_t j = 0; j < one.commit.event_count; j++)
            assert_int_equal(halves.event_rows[j].verdict, one.event_rows[j].verdict);
        for (size_t j = 0; j < one.commit.transition_count; j++)
            assert_int_equal(halves.transitions[j].verdict, one.transitions[j].verdict);
        static const enum ingot_verdict events[] = {INGOT_MISMATCH, INGOT_STORED, INGOT_ALREADY,
                                                    INGOT_MISMATCH};
        for (size_t j = 0; j < COUNT(events); j++)
            assert_int_equal(halves.event_rows[j].verdict, events[j]);
        assert_int_equal(halves.transitions[0].verdict, INGOT_LOST);
        assert_true(halves.commit.position != 0);
        assert_true(one.commit.position > halves.commit.position);
    }
    /* one of each scenario with chains, and one of each rival, who is a program */
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM notices"), "30");
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM retirements"), "20");
    fixture_verify(fixture);
}

static void an_empty_commit_can_be_sent(void **state)
{
    struct ingot_commit nothing = {.rule = INGOT_COMMIT_EACH};
    commit_in_halves(*state, &nothing);
}

/* ---- what cannot be sent ------------------------------------------------ */

static void what_is_decided_before_its_end_cannot_be_sent(void **state)
{
    struct fixture *fixture = *state;
    struct plain whole, again;
    make_plain(fixture, 2, &whole);
    whole.commit.rule = INGOT_COMMIT_WHOLE;
    assert_int_equal(send_commit(fixture, &whole.commit, NULL), INGOT_UNSUPPORTED);
    make_plain(fixture, 2, &again);
    again.commit.sending = INGOT_COMMIT_AGAIN;
    assert_int_equal(send_commit(fixture, &again.commit, NULL), INGOT_UNSUPPORTED);
    ingot_ksuid id = fixture_put_one(fixture, "a");
    struct ingot_commit_job job = {.row = fixture_job(fixture, "b", "*"), .hangs_on = INGOT_ALONE};
    job.row.event_id = id;
    struct ingot_commit with_job = {.jobs = &job, .job_count = 1};
    assert_int_equal(send_commit(fixture, &with_job, NULL), INGOT_UNSUPPORTED);
    assert_int_equal(fixture_verify(fixture).events, 1);
}

static void what_is_not_legal_is_refused_before_it_is_sent(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct plain plain;
    ingot_ksuid id = fixture_put_one(fixture, "a");
    struct ingot_commit_transition row = {.row = fixture_row(&id, 0, 1, SUCCEEDED, EXECUTING, 1),
                                          .hangs_on = INGOT_ALONE};
    struct ingot_commit commit = {.transitions = &row, .transition_count = 1};
    assert_int_equal(send_commit(fixture, &commit, &err), INGOT_INVALID);
    make_plain(fixture, 2, &plain);
    commit_in_halves(fixture, &plain.commit); /* nothing is to be finished after that */
    expect_all(&plain, INGOT_STORED);
}

/* ---- between the halves ------------------------------------------------- */

static void expect_busy(enum ingot_status status, const struct ingot_error *err)
{
    assert_int_equal(status, INGOT_INVALID);
    assert_string_equal(err->message, "store/postgres: a commit was sent and is not finished");
}

static void between_the_halves_the_handle_refuses_other_calls(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct plain plain, other;
    struct ingot_page *page = NULL;
    ingot_ksuid id = fixture_put_one(fixture, "a");
    make_plain(fixture, 12, &plain);
    make_plain(fixture, 1, &other);
    assert_int_equal(send_commit(fixture, &plain.commit, NULL), INGOT_OK);
    expect_busy(ingot_store_commit(fixture->store, NULL, &other.commit, &err), &err);
    other.commit.rule = INGOT_COMMIT_WHOLE;
    expect_busy(ingot_store_commit(fixture->store, NULL, &other.commit, &err), &err);
    expect_busy(ingot_store_event(fixture->store, NULL, &id, &page, &err), &err);
    expect_busy(
        ingot_store_events(fixture->store, NULL, &id, 1, INGOT_DETAIL_DELIVERY, &page, &err), &err);
    expect_busy(ingot_store_history(fixture->store, NULL, &id, 0, &page, &err), &err);
    expect_busy(ingot_store_publish_routes(fixture->store, NULL, ingot_bytes_of("{}"), &err), &err);
    assert_null(page);
    assert_int_equal(finish_commit(fixture, &other.commit, &err), INGOT_INVALID);
    assert_string_equal(err.message, "store/postgres: no such commit was sent");
    assert_int_equal(finish_commit(fixture, &plain.commit, &err), INGOT_OK);
    expect_all(&plain, INGOT_STORED);
    assert_int_equal(finish_commit(fixture, &plain.commit, &err), INGOT_INVALID);
    other.commit.rule = INGOT_COMMIT_EACH;
    commit_in_halves(fixture, &other.commit);
    assert_int_equal(fixture_verify(fixture).events, 14);
}

/* Those that read in a transaction of their own, which they end: it must not be the commit's. */
static void a_read_that_is_refused_between_the_halves_leaves_the_commit_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes lanes = {{1}};
    for (int i = 0; i < 4; i++) {
        struct ingot_error err = {0};
        struct plain plain;
        struct ingot_page *page = NULL;
        struct ingot_counts *counts = NULL;
        struct ingot_checkpoint *checkpoints = NULL;
        struct ingot_verification verification;
        size_t count = 0;
        make_plain(fixture, 12, &plain);
        assert_int_equal(send_commit(fixture, &plain.commit, NULL), INGOT_OK);
        enum ingot_status status =
            i == 0   ? ingot_store_find(fixture->store, NULL, NULL, &page, &err)
            : i == 1 ? ingot_store_counts(fixture->store, NULL, &counts, &err)
            : i == 2 ? ingot_store_verify(fixture->store, NULL, NULL, NULL, &verification, &err)
                     : ingot_store_checkpoints(fixture->store, NULL, &lanes, NOON_US, &page,
                                               &checkpoints, &count, &err);
        expect_busy(status, &err);
        assert_int_equal(finish_commit(fixture, &plain.commit, &err), INGOT_OK);
        expect_all(&plain, INGOT_STORED);
    }
}

/* ---- a rival in the way ------------------------------------------------- */

/* Somebody's open transaction that has an event of this id. */
static PGconn *sit_on(struct fixture *fixture, const ingot_ksuid *id)
{
    char conninfo[80], sql[256], hex[41];
    for (size_t i = 0; i < sizeof id->bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", id->bytes[i]);
    snprintf(conninfo, sizeof conninfo, "dbname=%s", fixture->database);
    snprintf(sql, sizeof sql,
             "BEGIN; INSERT INTO ingot.events (id, source, name, jobs, received_at) "
             "VALUES ('\\x%s', 'rival', 'n', '[]', now())",
             hex);
    PGconn *rival = PQconnectdb(conninfo);
    PGresult *result = PQexec(rival, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(rival));
    PQclear(result);
    return rival;
}

static void end_sitting(PGconn *rival, const char *how)
{
    PGresult *result = PQexec(rival, how);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(rival);
}

#define WAITING_SESSIONS                                                                           \
    " FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

static void wait_until_it_waits(const struct fixture *fixture)
{
    while (strcmp(fixture_ask(fixture, "SELECT count(*)" WAITING_SESSIONS), "1") != 0)
        ;
}

static void a_connection_that_ends_between_the_halves_leaves_a_doubt_that_is_resolved(void **state)
{
    struct fixture *fixture = *state;
    static const char *const ends[] = {"ROLLBACK", "COMMIT"};
    for (size_t i = 0; i < 4; i++) {
        struct ingot_error err = {0};
        struct plain plain;
        make_plain(fixture, i / 2 ? 20 : 3, &plain);
        PGconn *rival = sit_on(fixture, &plain.events[2].id);
        assert_int_equal(send_commit(fixture, &plain.commit, &err), INGOT_OK);
        wait_until_it_waits(fixture);
        assert_string_equal(
            fixture_ask(fixture, "SELECT pg_terminate_backend(pid, 10000)" WAITING_SESSIONS), "t");
        assert_int_equal(finish_commit(fixture, &plain.commit, &err), INGOT_UNKNOWN);
        expect_all(&plain, INGOT_PENDING);
        end_sitting(rival, ends[i % 2]);
        plain.commit.sending = INGOT_COMMIT_AGAIN;
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &plain.commit, &err), INGOT_OK);
        for (size_t j = 0; j < plain.commit.event_count; j++)
            assert_int_equal(plain.rows[j].verdict,
                             j == 2 && i % 2 ? INGOT_MISMATCH : INGOT_STORED);
    }
    fixture_verify(fixture);
}

/* The answer is lost on its way, or it is not: either way the commit is found as it was stored. */
static void a_stored_commit_whose_connection_ended_is_found_by_sending_it_again(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct plain plain;
    make_plain(fixture, 20, &plain);
    assert_int_equal(send_commit(fixture, &plain.commit, &err), INGOT_OK);
    while (strcmp(fixture_ask(fixture, "SELECT count(*) FROM events"), "20") != 0)
        ;
    fixture_ask(fixture, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND pid <> pg_backend_pid()");
    enum ingot_status status = finish_commit(fixture, &plain.commit, &err);
    if (status != INGOT_OK)
        assert_int_equal(status, INGOT_UNKNOWN);
    plain.commit.sending = INGOT_COMMIT_AGAIN;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &plain.commit, &err), INGOT_OK);
    expect_all(&plain, INGOT_STORED);
    assert_int_equal(fixture_verify(fixture).events, 20);
}

static void who_waits_too_long_for_a_rival_is_told_and_nothing_is_stored(void **state)
{
    struct fixture *fixture = *state;
    size_t stored = 0;
    for (size_t count = 1; count <= 20; count += 19) {
        struct ingot_error err = {0};
        struct plain plain;
        make_plain(fixture, count, &plain);
        PGconn *rival = sit_on(fixture, &plain.events[count / 2].id);
        assert_int_equal(send_commit(fixture, &plain.commit, &err), INGOT_OK);
        assert_int_equal(finish_commit(fixture, &plain.commit, &err), INGOT_RETRY);
        assert_string_equal(err.sqlstate, "55P03");
        end_sitting(rival, "ROLLBACK");
        assert_int_equal(fixture_verify(fixture).events, stored);
        commit_in_halves(fixture, &plain.commit);
        expect_all(&plain, INGOT_STORED);
        stored += count;
    }
    assert_int_equal(fixture_verify(fixture).events, stored);
}

/* ---- two at a time ------------------------------------------------------- */

static void two_may_be_on_their_way_and_are_finished_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct plain first, second, third;
    make_plain(fixture, 20, &first);
    make_plain(fixture, 3, &second);
    make_plain(fixture, 1, &third);
    assert_int_equal(send_commit(fixture, &first.commit, &err), INGOT_OK);
    assert_int_equal(send_commit(fixture, &second.commit, &err), INGOT_OK);
    assert_int_equal(send_commit(fixture, &third.commit, &err), INGOT_INVALID);
    assert_string_equal(err.message, "store/postgres: 2 commits were sent and are not finished");
    assert_int_equal(finish_commit(fixture, &second.commit, &err), INGOT_INVALID);
    assert_int_equal(finish_commit(fixture, &first.commit, &err), INGOT_OK);
    assert_int_equal(send_commit(fixture, &third.commit, &err), INGOT_OK);
    assert_int_equal(finish_commit(fixture, &second.commit, &err), INGOT_OK);
    assert_int_equal(finish_commit(fixture, &third.commit, &err), INGOT_OK);
    expect_all(&first, INGOT_STORED);
    expect_all(&second, INGOT_STORED);
    expect_all(&third, INGOT_STORED);
    assert_true(first.commit.position < second.commit.position); /* each a transaction */
    assert_true(second.commit.position < third.commit.position);
    assert_int_equal(fixture_verify(fixture).events, 24);
}

/* To know its verdicts the first has to read, behind the second's answers. */
static void verdicts_are_the_same_while_another_is_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 4; i++) {
        struct scenario alone, first, second;
        enum chains chains = i % 2 ? WITH_CHAINS : WITHOUT_CHAINS;
        make_scenario(fixture, chains, i / 2 ? 20 : 0, &alone);
        make_scenario(fixture, chains, i / 2 ? 20 : 0, &first);
        make_scenario(fixture, chains, i / 2 ? 20 : 0, &second);
        commit_in_halves(fixture, &alone.commit);
        assert_int_equal(send_commit(fixture, &first.commit, NULL), INGOT_OK);
        assert_int_equal(send_commit(fixture, &second.commit, NULL), INGOT_OK);
        assert_int_equal(finish_commit(fixture, &first.commit, NULL), INGOT_OK);
        assert_int_equal(finish_commit(fixture, &second.commit, NULL), INGOT_OK);
        for (size_t j = 0; j < alone.commit.event_count; j++) {
            assert_int_equal(first.event_rows[j].verdict, alone.event_rows[j].verdict);
            assert_int_equal(second.event_rows[j].verdict, alone.event_rows[j].verdict);
        }
        for (size_t j = 0; j < alone.commit.transition_count; j++) {
            assert_int_equal(first.transitions[j].verdict, alone.transitions[j].verdict);
            assert_int_equal(second.transitions[j].verdict, alone.transitions[j].verdict);
        }
    }
    fixture_verify(fixture);
}

static void one_that_fails_leaves_the_other_alone(void **state)
{
    struct fixture *fixture = *state;
    for (size_t failing = 0; failing < 2; failing++) {
        struct ingot_error err = {0};
        struct plain plains[2];
        make_plain(fixture, 20, &plains[0]);
        make_plain(fixture, 20, &plains[1]);
        PGconn *rival = sit_on(fixture, &plains[failing].events[13].id);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(send_commit(fixture, &plains[i].commit, &err), INGOT_OK);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(finish_commit(fixture, &plains[i].commit, &err),
                             i == failing ? INGOT_RETRY : INGOT_OK);
        assert_string_equal(err.sqlstate, failing ? "55P03" : "");
        expect_all(&plains[!failing], INGOT_STORED);
        end_sitting(rival, "ROLLBACK");
        commit_in_halves(fixture, &plains[failing].commit);
        expect_all(&plains[failing], INGOT_STORED);
    }
    assert_int_equal(fixture_verify(fixture).events, 80);
}

static void a_connection_that_ends_leaves_both_in_doubt_and_both_are_resolved(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct plain plains[2], third;
    make_plain(fixture, 20, &plains[0]);
    make_plain(fixture, 2, &plains[1]);
    make_plain(fixture, 2, &third);
    PGconn *rival = sit_on(fixture, &plains[0].events[2].id);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(send_commit(fixture, &plains[i].commit, &err), INGOT_OK);
    wait_until_it_waits(fixture);
    assert_string_equal(
        fixture_ask(fixture, "SELECT pg_terminate_backend(pid, 10000)" WAITING_SESSIONS), "t");
    assert_int_equal(finish_commit(fixture, &plains[0].commit, &err), INGOT_UNKNOWN);
    /* The connection is gone, and a new one waits until nothing is open. */
    assert_int_equal(send_commit(fixture, &third.commit, &err), INGOT_RETRY);
    assert_string_equal(err.message, "store/postgres: could not write: the connection broke");
    assert_int_equal(finish_commit(fixture, &plains[1].commit, &err), INGOT_UNKNOWN);
    end_sitting(rival, "ROLLBACK");
    for (size_t i = 0; i < 2; i++) {
        expect_all(&plains[i], INGOT_PENDING);
        plains[i].commit.sending = INGOT_COMMIT_AGAIN;
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &plains[i].commit, &err),
                         INGOT_OK);
        expect_all(&plains[i], INGOT_STORED);
    }
    commit_in_halves(fixture, &third.commit);
    assert_int_equal(fixture_verify(fixture).events, 24);
}

/* The first was stored, but what it must read for its verdicts cannot be. */
static void a_connection_that_ends_behind_the_first_leaves_no_wrong_verdicts(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    struct scenario first;
    struct plain second;
    make_scenario(fixture, WITHOUT_CHAINS, 20, &first);
    make_plain(fixture, 20, &second);
    PGconn *rival = sit_on(fixture, &second.events[2].id);
    assert_int_equal(send_commit(fixture, &first.commit, &err), INGOT_OK);
    assert_int_equal(send_commit(fixture, &second.commit, &err), INGOT_OK);
    wait_until_it_waits(fixture);
    assert_string_equal(
        fixture_ask(fixture, "SELECT pg_terminate_backend(pid, 10000)" WAITING_SESSIONS), "t");
    assert_int_equal(finish_commit(fixture, &first.commit, &err), INGOT_UNKNOWN);
    assert_int_equal(finish_commit(fixture, &second.commit, &err), INGOT_UNKNOWN);
    end_sitting(rival, "ROLLBACK");
    first.commit.sending = second.commit.sending = INGOT_COMMIT_AGAIN;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &first.commit, &err), INGOT_OK);
    assert_int_equal(first.event_rows[0].verdict, INGOT_MISMATCH);
    for (size_t i = 4; i < first.commit.event_count; i++)
        assert_int_equal(first.event_rows[i].verdict, INGOT_STORED);
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &second.commit, &err), INGOT_OK);
    expect_all(&second, INGOT_STORED);
    fixture_verify(fixture);
}

/* ---- the end, and size -------------------------------------------------- */

static void a_store_may_be_closed_with_commits_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct plain plains[2];
    for (size_t i = 0; i < 2; i++) {
        make_plain(fixture, 20, &plains[i]);
        assert_int_equal(send_commit(fixture, &plains[i].commit, NULL), INGOT_OK);
    }
    fixture_reopen(fixture);
    for (size_t i = 0; i < 2; i++) {
        plains[i].commit.sending = INGOT_COMMIT_AGAIN; /* it may be stored, or not */
        assert_int_equal(ingot_store_commit(fixture->store, NULL, &plains[i].commit, NULL),
                         INGOT_OK);
        expect_all(&plains[i], INGOT_STORED);
    }
    assert_int_equal(fixture_verify(fixture).events, 40);
}

/* More than all buffers between here and the server hold. */
static void sixteen_megabytes_go_through(void **state)
{
    struct fixture *fixture = *state;
    const size_t len = 1 << 20;
    struct plain plain, behind;
    char *data = malloc(len);
    assert_non_null(data);
    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    make_plain(fixture, 16, &plain);
    make_plain(fixture, 16, &behind);
    for (size_t i = 0; i < 16; i++)
        plain.events[i].data = behind.events[i].data = (struct ingot_bytes){data, len};
    commit_in_halves(fixture, &plain.commit);
    expect_all(&plain, INGOT_STORED);
    assert_int_equal(send_commit(fixture, &plain.commit, NULL), INGOT_OK);
    assert_int_equal(send_commit(fixture, &behind.commit, NULL), INGOT_OK);
    assert_int_equal(finish_commit(fixture, &plain.commit, NULL), INGOT_OK);
    expect_all(&plain, INGOT_ALREADY); /* read back, and compared */
    assert_int_equal(finish_commit(fixture, &behind.commit, NULL), INGOT_OK);
    expect_all(&behind, INGOT_STORED);
    free(data);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest in_one[] = {
        TEST(a_store_that_commits_in_one_says_so_and_stores_nothing),
    };
    const struct CMUnitTest in_halves[] = {
        TEST(verdicts_are_those_of_a_commit_in_one),
        TEST(an_empty_commit_can_be_sent),
        TEST(what_is_decided_before_its_end_cannot_be_sent),
        TEST(what_is_not_legal_is_refused_before_it_is_sent),
        TEST(between_the_halves_the_handle_refuses_other_calls),
        TEST(a_read_that_is_refused_between_the_halves_leaves_the_commit_alone),
        TEST(a_connection_that_ends_between_the_halves_leaves_a_doubt_that_is_resolved),
        TEST(a_stored_commit_whose_connection_ended_is_found_by_sending_it_again),
        TEST(who_waits_too_long_for_a_rival_is_told_and_nothing_is_stored),
        TEST(two_may_be_on_their_way_and_are_finished_in_their_order),
        TEST(verdicts_are_the_same_while_another_is_on_its_way),
        TEST(one_that_fails_leaves_the_other_alone),
        TEST(a_connection_that_ends_leaves_both_in_doubt_and_both_are_resolved),
        TEST(a_connection_that_ends_behind_the_first_leaves_no_wrong_verdicts),
        TEST(a_store_may_be_closed_with_commits_under_way),
        TEST(sixteen_megabytes_go_through),
    };
#undef TEST
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (strcmp(argv[1], "postgres") == 0)
        return cmocka_run_group_tests_name("halves", in_halves, NULL, NULL);
    return cmocka_run_group_tests_name("halves", in_one, NULL, NULL);
}
