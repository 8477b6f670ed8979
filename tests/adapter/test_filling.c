/*
 * What `ingot bench` fills stores with, past their adapters, is what Ingot would
 * have written: else it would measure something else. usage: test_filling
 * sqlite|postgres
 */
#include "fixture.h"

#include "bench/engine.h"
#include "bench/filling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_BYTES 100

/* More than a commit of each connection. */
#define MANY (2 * IGT_LOAD_EVENTS + 7)

static int is_postgres(const struct fixture *fixture)
{
    return fixture->database[0] != '\0';
}

/* By who may do everything, as the bench is in a database of its own. */
static enum ingot_status try_to_fill(struct fixture *fixture, const struct igt_filling *filling,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    char url[128];
    snprintf(url, sizeof url, "%s", fixture->url);
    if (is_postgres(fixture))
        snprintf(url, sizeof url, "postgres:///%s", fixture->database);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    enum ingot_status status = igt_bench_fill(url, filling, toolkit, err);
    fixture_reopen(fixture);
    return status;
}

static void fill(struct fixture *fixture, const struct igt_filling *filling)
{
    struct ingot_error err = {0};
    if (try_to_fill(fixture, filling, NULL, &err))
        fail_msg("%s", err.message);
}

/* Writes the event of number 0, finished or not, as Ingot does. */
static void write_one(struct fixture *fixture, const struct igt_filling *filling)
{
    char data[DATA_BYTES];
    struct ingot_job job = fixture_job(fixture, IGT_BENCH_DESTINATION, "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    igt_bench_data(data, sizeof data, 0);
    event.source = ingot_bytes_of("bench");
    event.name = ingot_bytes_of("bench.event");
    event.context = filling->context;
    event.data = (struct ingot_bytes){data, sizeof data};
    if (filling->due_us)
        job.due_us = filling->due_us;
    fixture_put(fixture, &event);
    if (filling->as == IGT_FILL_FINISHED)
        fixture_walk(
            fixture, &event.id, 0,
            (enum ingot_state[]){INGOT_STATE_EXECUTING, INGOT_STATE_SUCCEEDED, INGOT_STATE_NONE});
}

static const char event_columns[] =
    "SELECT count(*) || ' ' || count(received_at) || ' ' || count(ingested_at) || ' ' ||"
    " count(DISTINCT source || name || coalesce(CAST(context AS text), '-') || CAST(data AS text)"
    " || coalesce(CAST(sent_at AS text), '-') || substr(CAST(jobs AS text), 36)) FROM events";
static const char transition_columns[] =
    "SELECT count(*) || ' ' || count(created_at) || ' ' || count(DISTINCT seq || ' ' || job || ' '"
    " || attempt || ' ' || state_before || ' ' || state_after || ' ' || coalesce(length(owner), 0)"
    " || coalesce(CAST(due_at AS text), '-') || coalesce(CAST(error AS text), '-'))"
    " FROM transitions";

/* All columns but ids, and times of the clock. */
static void rows_are_as_the_adapter_writes_them(void **state)
{
    struct fixture *fixture = *state;
    const struct igt_filling filling = {.count = 1,
                                        .as = IGT_FILL_FINISHED,
                                        .data_bytes = DATA_BYTES,
                                        .context = ingot_bytes_of("{\"tenant\":\"bench\"}")};
    fill(fixture, &filling);
    write_one(fixture, &filling);
    assert_string_equal(fixture_ask(fixture, event_columns), "2 2 2 1");
    assert_string_equal(fixture_ask(fixture, transition_columns), "4 4 2");
    assert_int_equal(fixture_verify(fixture).live, 0);
}

static void what_is_due_later_is_born_so(void **state)
{
    struct fixture *fixture = *state;
    const struct igt_filling filling = {.count = 1,
                                        .as = IGT_FILL_WAITING,
                                        .data_bytes = DATA_BYTES,
                                        .due_us = NOON_US + DAY_US * 3650};
    fill(fixture, &filling);
    write_one(fixture, &filling);
    assert_string_equal(fixture_ask(fixture, event_columns), "2 2 2 1");
    assert_string_equal(fixture_ask(fixture, "SELECT CAST(count(*) AS text) FROM transitions"),
                        "0");
}

static void many_go_in_whole_and_among_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    const struct igt_filling finished = {
        .count = MANY, .as = IGT_FILL_FINISHED, .data_bytes = DATA_BYTES};
    const struct igt_filling waiting = {
        .count = MANY, .as = IGT_FILL_WAITING, .data_bytes = DATA_BYTES};
    fixture_put_one(fixture, "other");
    fill(fixture, &finished);
    fill(fixture, &waiting);
    const struct ingot_verification found = fixture_verify(fixture);
    assert_int_equal(found.events, 2 * MANY + 1);
    assert_int_equal(found.transitions, 2 * MANY);
    assert_int_equal(found.live, MANY + 1);
    assert_string_equal(
        fixture_ask(fixture, "SELECT CAST(count(DISTINCT CAST(data AS text)) AS text) FROM events"
                             " WHERE source = 'bench'"),
        "10007");
    assert_int_equal(MANY, 10007);
}

static int stop(void *context, uint64_t done, uint64_t total)
{
    (void)context, (void)done, (void)total;
    return 1;
}

static void the_user_may_end_it(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_toolkit toolkit = {.progress = stop};
    const struct igt_filling filling = {
        .count = 10000000, .as = IGT_FILL_FINISHED, .data_bytes = DATA_BYTES};
    struct ingot_error err = {0};
    assert_int_equal(try_to_fill(fixture, &filling, &toolkit, &err), INGOT_CLOSED);
    assert_true(fixture_verify(fixture).events < filling.count);
}

/* Also of the last rows, with which nothing else is sent. */
static void what_the_store_refuses_is_said(void **state)
{
    struct fixture *fixture = *state;
    const char *refusal =
        is_postgres(fixture)
            ? "ALTER TABLE ingot.transitions ADD CONSTRAINT refused CHECK (seq < 2)"
            : "CREATE UNIQUE INDEX refused ON transitions (event_id)";
    const size_t counts[] = {1, MANY};
    assert_int_equal(fixture_sql(fixture, refusal), 0);
    for (size_t i = 0; i < COUNT(counts); i++) {
        const struct igt_filling filling = {
            .count = counts[i], .as = IGT_FILL_FINISHED, .data_bytes = DATA_BYTES};
        struct ingot_error err = {0};
        assert_int_equal(try_to_fill(fixture, &filling, NULL, &err), INGOT_IO);
        assert_non_null(strstr(err.message, is_postgres(fixture) ? "refused" : "UNIQUE"));
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_as_the_adapter_writes_them),      TEST(what_is_due_later_is_born_so),
        TEST(many_go_in_whole_and_among_what_is_there), TEST(the_user_may_end_it),
        TEST(what_the_store_refuses_is_said),
    };
#undef TEST
    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "postgres") == 0 && !getenv("PGHOST")) {
        printf("1..0 # SKIP no server: tools/with-postgres.sh gives one\n");
        return 0;
    }
    fixture_use(argv[1]);
    fixture_use_own_databases();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("filling", tests, NULL, NULL);
}
