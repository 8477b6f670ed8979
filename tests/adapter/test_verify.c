/*
 * verify: each promise that it claims to check is broken on purpose, by raw SQL
 * in a good store, and is the only one that is reported. usage: test_verify
 * sqlite|postgres
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED
#define DISCARDED INGOT_STATE_DISCARDED
#define NONE INGOT_STATE_NONE

/*
 * Two events. The first, "first", has job 0 (failed once, then succeeded), job 1
 * (executing), job 2 (acknowledged) and the added jobs 3 and 4; of the second,
 * "second", job 0 was discarded.
 */
static void fill(struct fixture *fixture)
{
    struct ingot_job jobs[3] = {fixture_job(fixture, "crm", "*"), fixture_job(fixture, "mail", "*"),
                                fixture_job(fixture, "log", "*")};
    struct ingot_event first = fixture_event(fixture, jobs, 3);
    struct ingot_event second = fixture_event(fixture, jobs, 1);
    struct ingot_job added[2] = {fixture_job(fixture, "crm", "order.paid"),
                                 fixture_job(fixture, "crm", "order.paid")};
    first.source = ingot_bytes_of("first");
    second.source = ingot_bytes_of("second");
    fixture_put(fixture, &first);
    fixture_put(fixture, &second);
    added[0].event_id = added[1].event_id = first.id;
    added[0].context = ingot_bytes_of("{}");
    added[1].parent_job_id = jobs[0].id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, &fixture->toolkit, added, 2, NULL),
                     INGOT_OK);
    fixture->now_us += SECOND_US;
    fixture_walk(fixture, &first.id, 0,
                 (enum ingot_state[]){EXECUTING, FAILED, AWAITING, EXECUTING, SUCCEEDED, NONE});
    fixture_walk(fixture, &first.id, 1, (enum ingot_state[]){EXECUTING, NONE});
    fixture_walk(fixture, &second.id, 0, (enum ingot_state[]){DISCARDED, NONE});
}

struct found {
    char text[512]; /* "I5 0 3: reason; …" */
};

static void note(void *context, const struct ingot_violation *violation)
{
    struct found *found = context;
    size_t len = strlen(found->text);
    snprintf(found->text + len, sizeof found->text - len, "%s%s %lld %lld", len ? "; " : "",
             violation->invariant, (long long)violation->job, (long long)violation->seq);
    assert_non_null(violation->message);
}

/* What stands in the way of whoever would break a store: triggers, and constraints of the tables. */
static const char sqlite_unlock[] =
    "DROP TRIGGER events_update; DROP TRIGGER events_insert; DROP TRIGGER events_order;"
    "DROP TRIGGER added_jobs_order; DROP TRIGGER added_jobs_insert; DROP TRIGGER added_jobs_update;"
    "DROP TRIGGER transitions_update; DROP TRIGGER transitions_delete;"
    "DROP TRIGGER transitions_insert; DROP TRIGGER events_delete;"
    "PRAGMA ignore_check_constraints = ON;";
static const char postgres_unlock[] =
    "SET session_replication_role = replica;"
    "ALTER TABLE events DROP CONSTRAINT IF EXISTS events_pkey;"
    "ALTER TABLE transitions DROP CONSTRAINT IF EXISTS transitions_attempt_check;";

/* Breaks a good store by SQL and expects these violations, as invariant, job and seq. */
static void expect_either(struct fixture *fixture, const char *sqlite, const char *postgres,
                          const char *expected)
{
    struct found found = {""};
    struct ingot_verification verification;
    struct ingot_error err = {0};
    char sql[2048];
    fill(fixture);
    fixture_verify(fixture);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    snprintf(sql, sizeof sql, "%s%s", fixture->database[0] ? postgres_unlock : sqlite_unlock,
             fixture->database[0] ? postgres : sqlite);
    assert_int_equal(fixture_sql(fixture, sql), 0);
    fixture_reopen(fixture);
    if (ingot_store_verify(fixture->store, &fixture->toolkit, note, &found, &verification, &err))
        fail_msg("%s", err.message);
    assert_string_equal(found.text, expected);
    size_t count = expected[0] != '\0';
    for (const char *at = expected; *at; at++)
        count += *at == ';';
    assert_int_equal(verification.violations, count);
}

/* The same with SQL that both understand. */
static void expect(struct fixture *fixture, const char *sql, const char *expected)
{
    expect_either(fixture, sql, sql, expected);
}

#define FIRST "(SELECT id FROM events WHERE source = 'first')"
#define SECOND "(SELECT id FROM events WHERE source = 'second')"

static void a_good_store_has_no_violation(void **state)
{
    struct fixture *fixture = *state;
    expect(fixture, "SELECT 1", "");
    struct ingot_verification verification = fixture_verify(fixture);
    assert_int_equal(verification.events, 2);
    assert_int_equal(verification.jobs, 6);
    assert_int_equal(verification.transitions, 7);
    assert_int_equal(verification.live, 4);
}

static void i1_an_altered_payload(void **state)
{
    expect(*state, "UPDATE events SET data = '{\"a\":1,\"a\":2}' WHERE source = 'first'",
           "I1 -1 -1");
}

static void i1_an_altered_payload_of_a_job(void **state)
{
    expect(*state, "UPDATE added_jobs SET context = '\"\\u0000\"' WHERE job = 3", "I1 3 -1");
}

static void i2_an_event_that_is_stored_twice(void **state)
{
    expect_either(*state,
                  "PRAGMA writable_schema = ON;"
                  "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL UNIQUE', 'NOT NULL') "
                  "WHERE name = 'events';"
                  "DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1';"
                  "PRAGMA writable_schema = RESET;"
                  "DELETE FROM transitions WHERE event_id = " SECOND ";"
                  "INSERT INTO events SELECT n + 100, id, source, name, '[]', sent_at, "
                  "received_at, ingested_at, context, data FROM events WHERE source = 'second'",
                  "DELETE FROM transitions WHERE event_id = " SECOND ";"
                  "INSERT INTO events SELECT id, source, name, context, data, '[]', sent_at, "
                  "received_at, ingested_at FROM events WHERE source = 'second'",
                  "I2 -1 -1");
}

static void i2_two_jobs_of_one_id(void **state)
{
    expect(*state,
           "UPDATE added_jobs SET id = (SELECT parent_job_id FROM added_jobs WHERE job = 4) "
           "WHERE job = 3",
           "I2 3 -1");
}

static void i3_jobs_that_cannot_be_read(void **state)
{
    expect(*state, "UPDATE events SET jobs = '[{}]' WHERE source = 'first'", "I3 -1 -1");
}

static void i3_job_numbers_with_a_gap(void **state)
{
    expect(*state, "UPDATE added_jobs SET job = 5 WHERE job = 4", "I3 5 -1");
}

static void i3_more_than_the_wildcard_and_the_specific_job(void **state)
{
    expect(*state, "UPDATE added_jobs SET destination = 'log', event = '*' WHERE job = 3",
           "I3 3 -1");
}

static void i3_a_transition_that_cannot_be_read(void **state)
{
    expect(*state, "UPDATE transitions SET attempt = 65536 WHERE event_id = " SECOND, "I3 -1 -1");
}

static void i5_a_transition_that_is_missing(void **state)
{
    expect(*state, "DELETE FROM transitions WHERE event_id = " FIRST " AND job = 0 AND seq = 2",
           "I5 0 3");
}

static void i5_a_chain_without_its_beginning(void **state)
{
    expect(*state, "UPDATE transitions SET seq = 2 WHERE event_id = " FIRST " AND job = 1",
           "I5 1 2");
}

static void i6_a_state_before_that_was_not_there(void **state)
{
    expect(*state,
           "UPDATE transitions SET state_before = 2 WHERE event_id = " FIRST
           " AND job = 0 AND seq = 2",
           "I6 0 2");
}

static void i7_a_move_that_is_not_legal(void **state)
{
    expect(*state, "UPDATE transitions SET state_after = 5, attempt = 0 WHERE event_id = " SECOND,
           "I7 0 1");
}

static void i7_awaiting_without_a_due_time(void **state)
{
    expect(*state, "UPDATE transitions SET due_at = NULL WHERE seq = 3", "I7 0 3");
}

static void i7_a_chain_that_goes_on_at_its_end(void **state)
{
    expect(*state,
           "UPDATE transitions SET seq = seq + 64533 WHERE event_id = " FIRST
           " AND job = 0 AND seq >= 3",
           "I5 0 64536; I7 0 64537");
}

static void i8_a_transition_after_a_terminal_one(void **state)
{
    expect(*state,
           "INSERT INTO transitions SELECT event_id, job, 2, 1, 6, 3, event_id, NULL, NULL, "
           "created_at FROM transitions WHERE event_id = " SECOND,
           "I8 0 2");
}

static void i9_an_outcome_by_another_owner(void **state)
{
    expect(*state,
           "UPDATE transitions SET owner = event_id WHERE event_id = " FIRST
           " AND job = 0 AND seq = 5",
           "I9 0 5");
}

static void i9_an_outcome_of_another_attempt(void **state)
{
    expect(*state, "UPDATE transitions SET attempt = 1 WHERE seq = 5", "I9 0 5");
}

static void i11_an_attempt_that_was_left_out(void **state)
{
    expect(*state, "UPDATE transitions SET attempt = 2 WHERE event_id = " FIRST " AND job = 1",
           "I11 1 1");
}

static void i11_an_attempt_that_was_used_twice(void **state)
{
    expect(*state, "UPDATE transitions SET attempt = 1 WHERE seq >= 4", "I11 0 4");
}

static void i17_a_transition_of_an_unknown_event(void **state)
{
    /* before all others, on postgres where there is a segment for it */
    expect_either(*state,
                  "INSERT INTO transitions SELECT zeroblob(20), job, seq, "
                  "attempt, state_before, state_after, owner, due_at, error, created_at "
                  "FROM transitions WHERE seq = 5",
                  "INSERT INTO transitions SELECT set_byte(event_id, 19, 0), job, seq, "
                  "attempt, state_before, state_after, owner, due_at, error, created_at "
                  "FROM transitions WHERE seq = 5",
                  "I17 0 5");
}

static void i17_a_transition_of_an_event_behind_all_others(void **state)
{
    /* on postgres some hours later */
    expect_either(
        *state,
        "INSERT INTO transitions SELECT x'ffffffffffffffffffffffffffffffffffffffff', "
        "job, seq, attempt, state_before, state_after, owner, due_at, error, created_at "
        "FROM transitions WHERE seq = 5",
        "INSERT INTO transitions SELECT set_byte(event_id, 1, get_byte(event_id, 1) + 1), "
        "job, seq, attempt, state_before, state_after, owner, due_at, error, created_at "
        "FROM transitions WHERE seq = 5",
        "I17 0 5");
}

static void i17_a_transition_of_an_unknown_job(void **state)
{
    expect(*state, "UPDATE transitions SET job = 7 WHERE event_id = " SECOND, "I17 7 1");
}

static void i17_a_parent_that_is_no_job(void **state)
{
    expect(*state, "UPDATE added_jobs SET parent_job_id = event_id WHERE job = 4", "I17 4 -1");
}

static void i17_an_error_that_is_not_json(void **state)
{
    expect(*state, "UPDATE transitions SET error = '{\"a\":1,\"a\":2}' WHERE event_id = " SECOND,
           "I17 0 1");
}

static void i22_a_transition_that_is_older_than_what_it_follows(void **state)
{
    expect_either(*state, "UPDATE transitions SET created_at = created_at - 1 WHERE seq = 3",
                  "UPDATE transitions SET created_at = (SELECT created_at - "
                  "interval '1 microsecond' FROM transitions WHERE seq = 2) WHERE seq = 3",
                  "I22 0 3");
}

static void i22_a_transition_that_is_older_than_its_job(void **state)
{
    expect_either(
        *state, "UPDATE transitions SET created_at = created_at - 1000001 WHERE event_id = " SECOND,
        "UPDATE transitions SET created_at = (SELECT ingested_at - "
        "interval '1 microsecond' FROM events WHERE source = 'second') "
        "WHERE event_id = " SECOND,
        "I22 0 1");
}

static void many_violations_are_all_counted(void **state)
{
    expect(*state,
           "UPDATE events SET context = '{\"a\":1,\"a\":2}', data = '\"\\u0000\"';"
           "UPDATE transitions SET owner = NULL WHERE seq = 5;"
           "DELETE FROM transitions WHERE event_id = " SECOND,
           "I1 -1 -1; I1 -1 -1; I9 0 5; I1 -1 -1; I1 -1 -1");
}

static int stop(void *context, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    return ++*(int *)context > 0;
}

static void a_verification_can_be_stopped(void **state)
{
    struct fixture *fixture = *state;
    int calls = 0;
    struct ingot_toolkit toolkit = {.context = &calls, .progress = stop};
    struct ingot_verification verification = {.events = 77};
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    fixture_put(fixture, &event);
    assert_int_equal(
        fixture_sql(
            fixture,
            fixture->database[0]
                ? "INSERT INTO events SELECT substr(id, 1, 4) || substr(sha256(i::text::bytea), 1, "
                  "16), "
                  "source, name, context, data, jobs, sent_at, received_at, ingested_at "
                  "FROM events, generate_series(2, 5000) i"
                : "WITH RECURSIVE i(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM i WHERE x < 5000)"
                  "INSERT INTO events SELECT x, randomblob(20), source, name, jobs, sent_at, "
                  "received_at, ingested_at, context, data FROM i, events WHERE n = 1"),
        0);
    assert_int_equal(ingot_store_verify(fixture->store, &toolkit, NULL, NULL, &verification, NULL),
                     INGOT_CLOSED);
    assert_true(calls > 0);
    assert_int_equal(verification.events, 77);
    assert_int_equal(fixture_verify(fixture).events, 5000);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_good_store_has_no_violation),
        TEST(i1_an_altered_payload),
        TEST(i1_an_altered_payload_of_a_job),
        TEST(i2_an_event_that_is_stored_twice),
        TEST(i2_two_jobs_of_one_id),
        TEST(i3_jobs_that_cannot_be_read),
        TEST(i3_job_numbers_with_a_gap),
        TEST(i3_more_than_the_wildcard_and_the_specific_job),
        TEST(i3_a_transition_that_cannot_be_read),
        TEST(i5_a_transition_that_is_missing),
        TEST(i5_a_chain_without_its_beginning),
        TEST(i6_a_state_before_that_was_not_there),
        TEST(i7_a_move_that_is_not_legal),
        TEST(i7_awaiting_without_a_due_time),
        TEST(i7_a_chain_that_goes_on_at_its_end),
        TEST(i8_a_transition_after_a_terminal_one),
        TEST(i9_an_outcome_by_another_owner),
        TEST(i9_an_outcome_of_another_attempt),
        TEST(i11_an_attempt_that_was_left_out),
        TEST(i11_an_attempt_that_was_used_twice),
        TEST(i17_a_transition_of_an_unknown_event),
        TEST(i17_a_transition_of_an_event_behind_all_others),
        TEST(i17_a_transition_of_an_unknown_job),
        TEST(i17_a_parent_that_is_no_job),
        TEST(i17_an_error_that_is_not_json),
        TEST(i22_a_transition_that_is_older_than_what_it_follows),
        TEST(i22_a_transition_that_is_older_than_its_job),
        TEST(many_violations_are_all_counted),
        TEST(a_verification_can_be_stopped),
    };
#undef TEST
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
