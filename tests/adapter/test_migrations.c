/* The wanderer: migrations and their ledger (SEED rows 55, 56, 84), on SQLite. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define VERSION UINT64_C(20261123000000)
#define COUNT_OF_MIGRATIONS 2

static struct ingot_store *open_for_migration(struct fixture *fixture, enum ingot_mode mode)
{
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    assert_int_equal(ingot_options_from_url(fixture->url, &options, &err), INGOT_OK);
    options.mode = mode;
    if (ingot_store_open_for_migration(&options, &fixture->toolkit, &store, &err))
        fail_msg("%s", err.message);
    return store;
}

static size_t list(struct ingot_store *store, struct ingot_migration *migrations)
{
    size_t count = 0;
    struct ingot_error err = {0};
    if (ingot_store_migrations(store, NULL, migrations, &count, &err))
        fail_msg("%s", err.message);
    return count;
}

/* Closes the fixture's store and expects that it cannot be opened again. */
static void expect_refusal(struct fixture *fixture, enum ingot_mode mode, const char *message)
{
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(fixture_open(fixture, mode, &store, &err), INGOT_INVALID);
    assert_null(store);
    assert_string_equal(err.message, message);
}

/* Runs all migrations: up the oldest first, down the newest first. */
static void run(struct ingot_store *store, enum ingot_direction direction)
{
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    struct ingot_error err = {0};
    size_t count = list(store, migrations);
    for (size_t i = 0; i < count; i++)
        if (ingot_store_migrate(store, NULL, &migrations[direction == INGOT_UP ? i : count - 1 - i],
                                direction, &err))
            fail_msg("%s", err.message);
}

static void row_55_all_migrations_are_listed_with_their_text_and_hash(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    assert_int_equal(list(fixture->store, migrations), COUNT_OF_MIGRATIONS);
    assert_true(migrations[0].version == VERSION);
    assert_string_equal(migrations[0].name, "store");
    assert_non_null(strstr(migrations[0].up, "CREATE TABLE transitions"));
    assert_non_null(strstr(migrations[0].down, "DROP TABLE transitions"));
    assert_int_equal(strlen(migrations[0].up_sha256), 64);
    assert_int_equal(strlen(migrations[0].down_sha256), 64);
    assert_string_not_equal(migrations[0].up_sha256, migrations[0].down_sha256);
    assert_int_equal(migrations[0].state, INGOT_MIGRATION_APPLIED);
    assert_true(migrations[0].applied_us == NOON_US);
}

static void row_56_a_new_store_is_migrated_and_its_ledger_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    list(fixture->store, migrations);
    assert_string_equal(
        fixture_ask(fixture, "SELECT group_concat(version || ' ' || name || ' ' || direction) "
                             "FROM migrations"),
        "20261123000000 store up,20261124000000 presence up");
    assert_string_equal(fixture_ask(fixture, "SELECT up_sha256 FROM migrations ORDER BY n"),
                        migrations[0].up_sha256);
}

static void row_56_a_migration_runs_down_and_up_again(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    fixture_put_one(fixture, "crm");
    ingot_store_close(fixture->store);
    fixture->now_us += SECOND_US;
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    run(fixture->store, INGOT_DOWN);
    list(fixture->store, migrations);
    assert_int_equal(migrations[0].state, INGOT_MIGRATION_PENDING);
    assert_true(migrations[0].applied_us == INGOT_NO_TIME);
    assert_string_equal(fixture_ask(fixture, "SELECT group_concat(name) FROM sqlite_schema "
                                             "WHERE type IN ('table', 'view')"),
                        "migrations");
    run(fixture->store, INGOT_UP);
    list(fixture->store, migrations);
    assert_int_equal(migrations[0].state, INGOT_MIGRATION_APPLIED);
    assert_true(migrations[0].applied_us == NOON_US + SECOND_US);
    assert_string_equal(
        fixture_ask(fixture, "SELECT group_concat(direction) FROM migrations ORDER BY n"),
        "up,up,down,down,up,up");
    fixture_reopen(fixture);
    assert_int_equal(fixture_verify(fixture).events, 0);
    fixture_put_one(fixture, "crm");
}

static void row_56_a_migration_that_has_run_does_not_run_twice(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    struct ingot_error err = {0};
    list(fixture->store, migrations);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_UP, &err),
                     INGOT_INVALID);
    assert_string_equal(err.message,
                        "store/sqlite: migration 20261123000000 (store) has run already");
    ingot_store_close(fixture->store);
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_DOWN, &err),
                     INGOT_INVALID);
    assert_string_equal(err.message, "store/sqlite: migration 20261123000000 (store) has others "
                                     "behind it; take those back first");
    run(fixture->store, INGOT_DOWN);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_DOWN, &err),
                     INGOT_INVALID);
    assert_string_equal(err.message, "store/sqlite: migration 20261123000000 (store) has not run");
    migrations[0].version++;
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_UP, &err),
                     INGOT_INVALID);
    assert_string_equal(
        err.message, "store/sqlite: migration 20261123000001 (store) is not known to this program");
}

static void row_56_a_store_in_use_cannot_be_migrated_away(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    size_t count = list(fixture->store, migrations);
    assert_int_equal(
        ingot_store_migrate(fixture->store, NULL, &migrations[count - 1], INGOT_DOWN, NULL),
        INGOT_DENIED);
    assert_int_equal(fixture_state(fixture, &id, 0), INGOT_STATE_ACKNOWLEDGED);
}

static void row_56_a_store_without_its_schema_is_refused_to_readers(void **state)
{
    struct fixture *fixture = *state;
    ingot_store_close(fixture->store);
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    run(fixture->store, INGOT_DOWN);
    expect_refusal(fixture, INGOT_MODE_READ,
                   "store/sqlite: 2 migrations have not run in this store; run `ingot migrate`");
}

static void row_56_a_store_of_an_older_program_is_refused_until_it_is_migrated(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    const char *message =
        "store/sqlite: 1 migrations have not run in this store; run `ingot migrate`";
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    ingot_store_close(fixture->store);
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    list(fixture->store, migrations);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[COUNT_OF_MIGRATIONS - 1],
                                         INGOT_DOWN, NULL),
                     INGOT_OK);
    expect_refusal(fixture, INGOT_MODE_WRITE, message);
    expect_refusal(fixture, INGOT_MODE_READ, message);
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[COUNT_OF_MIGRATIONS - 1],
                                         INGOT_UP, NULL),
                     INGOT_OK);
    fixture_reopen(fixture);
    assert_int_equal(fixture_state(fixture, &id, 0), INGOT_STATE_ACKNOWLEDGED);
}

static void row_56_an_altered_migration_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    struct ingot_error err = {0};
    assert_int_equal(
        fixture_sql(fixture,
                    "INSERT INTO migrations (version, name, direction, up_sha256, created_at) "
                    "VALUES (20261123000000, 'store', 'up', 'abcd', 5)"),
        0);
    list(fixture->store, migrations);
    assert_int_equal(migrations[0].state, INGOT_MIGRATION_ALTERED);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_DOWN, &err),
                     INGOT_INVALID);
    assert_string_equal(err.message, "store/sqlite: migration 20261123000000 (store) was altered "
                                     "after it ran; use the program that ran it");
    expect_refusal(fixture, INGOT_MODE_WRITE,
                   "store/sqlite: migration 20261123000000 (store) is not the text that ran in "
                   "this store");
    expect_refusal(fixture, INGOT_MODE_READ,
                   "store/sqlite: migration 20261123000000 (store) is not the text that ran in "
                   "this store");
}

static void row_56_a_store_of_a_newer_program_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    const char *message = "store/sqlite: migration 20270101000000 (segments) was made by a newer "
                          "Ingot; this one cannot read the store, use the newer one";
    assert_int_equal(
        fixture_sql(fixture,
                    "INSERT INTO migrations (version, name, direction, up_sha256, created_at) "
                    "VALUES (20270101000000, 'segments', 'up', 'abcd', 5)"),
        0);
    assert_int_equal(list(fixture->store, migrations), COUNT_OF_MIGRATIONS + 1);
    const struct ingot_migration *newest = &migrations[COUNT_OF_MIGRATIONS];
    assert_int_equal(newest->state, INGOT_MIGRATION_AHEAD);
    assert_null(newest->up);
    assert_string_equal(newest->name, "segments");
    struct ingot_error err = {0};
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, newest, INGOT_DOWN, &err),
                     INGOT_INVALID);
    expect_refusal(fixture, INGOT_MODE_WRITE, message);
    expect_refusal(fixture, INGOT_MODE_READ, message);
    assert_int_equal(
        fixture_sql(fixture,
                    "INSERT INTO migrations (version, name, direction, up_sha256, created_at) "
                    "VALUES (20270101000000, 'segments', 'down', 'abcd', 6)"),
        0);
    fixture_reopen(fixture); /* the newer one took it back */
    assert_int_equal(list(fixture->store, migrations), COUNT_OF_MIGRATIONS);
}

static void row_56_a_migration_that_fails_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    struct ingot_error err = {0};
    ingot_store_close(fixture->store);
    fixture->store = open_for_migration(fixture, INGOT_MODE_WRITE);
    run(fixture->store, INGOT_DOWN);
    assert_int_equal(fixture_sql(fixture, "CREATE TABLE routes (x)"), 0);
    list(fixture->store, migrations);
    assert_int_equal(ingot_store_migrate(fixture->store, NULL, &migrations[0], INGOT_UP, &err),
                     INGOT_CORRUPT);
    assert_non_null(strstr(err.message, "table routes already exists"));
    assert_string_equal(fixture_ask(fixture, "SELECT group_concat(name) FROM sqlite_schema "
                                             "WHERE type = 'table' AND name <> 'migrations'"),
                        "routes");
    list(fixture->store, migrations);
    assert_int_equal(migrations[0].state, INGOT_MIGRATION_PENDING);
}

static void row_84_the_ledger_is_insert_only(void **state)
{
    struct fixture *fixture = *state;
    assert_int_not_equal(fixture_sql(fixture, "UPDATE migrations SET name = 'x'"), 0);
    assert_int_not_equal(fixture_sql(fixture, "DELETE FROM migrations"), 0);
    assert_int_not_equal(
        fixture_sql(fixture, "INSERT OR REPLACE INTO migrations (n, version, name, direction, "
                             "up_sha256, created_at) VALUES (1, 1, 'x', 'up', 'x', 1)"),
        0);
    assert_string_equal(fixture_ask(fixture, "SELECT group_concat(name) FROM migrations"),
                        "store,presence");
}

static void a_ledger_longer_than_can_be_read_is_an_error_and_no_guess(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    struct ingot_error err = {0};
    size_t count = 0;
    assert_int_equal(
        fixture_sql(fixture,
                    "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 1100)"
                    "INSERT INTO migrations (version, name, direction, up_sha256, created_at) "
                    "SELECT 20261123000000, 'store', iif(x % 2, 'down', 'up'), 'a', x FROM i"),
        0);
    assert_int_equal(ingot_store_migrations(fixture->store, NULL, migrations, &count, &err),
                     INGOT_LIMIT);
    assert_int_equal(count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(row_55_all_migrations_are_listed_with_their_text_and_hash),
        TEST(row_56_a_new_store_is_migrated_and_its_ledger_says_so),
        TEST(row_56_a_migration_runs_down_and_up_again),
        TEST(row_56_a_migration_that_has_run_does_not_run_twice),
        TEST(row_56_a_store_in_use_cannot_be_migrated_away),
        TEST(row_56_a_store_without_its_schema_is_refused_to_readers),
        TEST(row_56_a_store_of_an_older_program_is_refused_until_it_is_migrated),
        TEST(row_56_an_altered_migration_is_refused),
        TEST(row_56_a_store_of_a_newer_program_is_refused),
        TEST(row_56_a_migration_that_fails_leaves_nothing_behind),
        TEST(row_84_the_ledger_is_insert_only),
        TEST(a_ledger_longer_than_can_be_read_is_an_error_and_no_guess),
    };
#undef TEST
    fixture_use("sqlite");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("migrations", tests, NULL, NULL);
}
