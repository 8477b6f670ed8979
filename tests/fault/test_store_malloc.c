/*
 * Memory runs out at the N-th allocation, for N = 1, 2, 3, …, in our code as
 * well as in SQLite's: nothing crashes, what failed has not happened, and what
 * is said to be stored is there. Linked with --wrap for malloc, calloc,
 * realloc, strdup and strndup. usage: test_store_malloc memory|sqlite
 */
#include "adapter/fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The allocation that fails, counted from now; 0: none does. */
static long countdown;
static enum { FAIL_ONCE, FAIL_FROM_THEN_ON } manner;
static int failures;

static int fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return 0;
    if (manner == FAIL_FROM_THEN_ON)
        countdown = 1;
    failures++;
    return 1;
}

/* The linker sends the calls of malloc to __wrap_malloc, and those of __real_malloc to malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails() ? NULL : __real_strndup(text, len);
}

/* SQLite's own allocations. */
static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int size)
{
    return fails() ? NULL : sqlite_memory.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return fails() ? NULL : sqlite_memory.xRealloc(old, size);
}

static int replace_sqlite_memory(void)
{
    sqlite3_mem_methods methods;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory) != SQLITE_OK)
        return 0;
    methods = sqlite_memory;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK &&
           sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK;
}

/* The next allocation to fail. SQLite allocates so often that more and more are passed over. */
static long next_n(long n)
{
    return n < 200 ? n + 1 : n + 1 + rand() % (n / 50);
}

/* JSON strings that need an allocation of their own, wherever they are copied. */
static char long_text[3000], long_error[2000];

/* What a round of operations works on, and what of it is known to be stored. */
struct round {
    struct fixture *fixture;
    long from;         /* counted over the operations of the round */
    ingot_ksuid begin; /* all that the round stores comes behind it */
    struct ingot_job jobs[2];
    struct ingot_event events[2];
    struct ingot_job added;
    char cursor[64]; /* of its beginning */
    int has_events, has_added, has_claim, steps, is_retired;
};

/* Ends what may fail; says whether the operation was a success, and fails if it lied. */
static int succeeded(struct round *round, const char *what, enum ingot_status status,
                     const struct ingot_error *err)
{
    round->from = countdown;
    countdown = 0;
    if (status != INGOT_OK && status != INGOT_NOMEM)
        fail_msg("%s: %d %s", what, status, err->message);
    if (status == INGOT_OK)
        return 1;
    assert_int_equal(err->status, INGOT_NOMEM);
    return 0;
}

static void resume(const struct round *round)
{
    countdown = round->from;
}

static void insert_queue(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_queue queue = {round->events, 2};
    enum ingot_verdict verdicts[2] = {INGOT_PENDING, INGOT_PENDING};
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status =
        ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, verdicts, &err);
    round->has_events = succeeded(round, "insert_queue", status, &err);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(verdicts[i], round->has_events ? INGOT_STORED : INGOT_PENDING);
}

/* The same events again: already there if they are. */
static void insert_again(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_queue queue = {round->events, 2};
    enum ingot_verdict verdicts[2] = {INGOT_PENDING, INGOT_PENDING};
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status =
        ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, verdicts, &err);
    if (!succeeded(round, "insert_queue again", status, &err))
        return;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(verdicts[i], round->has_events ? INGOT_ALREADY : INGOT_STORED);
    round->has_events = 1;
}

static void add_jobs(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_error err = {0};
    if (!round->has_events)
        return;
    resume(round);
    enum ingot_status status =
        ingot_store_add_jobs(fixture->store, &fixture->toolkit, &round->added, 1, &err);
    round->has_added = succeeded(round, "add_jobs", status, &err);
}

static void add_transitions(struct round *round)
{
    struct fixture *fixture = round->fixture;
    const ingot_ksuid *id = &round->events[0].id;
    struct ingot_transition rows[3] = {
        fixture_row(id, 0, 1, INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING, 1),
        fixture_row(id, 0, 2, INGOT_STATE_EXECUTING, INGOT_STATE_FAILED, 1),
        fixture_row(id, 0, 3, INGOT_STATE_FAILED, INGOT_STATE_AWAITING, 1),
    };
    struct ingot_result results[3];
    struct ingot_error err = {0};
    if (!round->has_events)
        return;
    rows[1].error = rows[2].error = ingot_bytes_of(long_error);
    memset(results, 0, sizeof results);
    resume(round);
    enum ingot_status status =
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, rows, 3, results, &err);
    round->steps = succeeded(round, "add_transitions", status, &err) ? 3 : 0;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(results[i].verdict, round->steps ? INGOT_STORED : INGOT_PENDING);
}

static void find(struct round *round, enum ingot_detail detail)
{
    struct fixture *fixture = round->fixture;
    struct ingot_where where = {.after = {round->begin, 0}, .detail = detail, .limit = 10};
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status =
        ingot_store_find(fixture->store, &fixture->toolkit, &where, &page, &err);
    if (!succeeded(round, "find", status, &err)) {
        assert_null(page);
        return;
    }
    assert_int_equal(page->event_count, round->has_events && !round->is_retired ? 2 : 0);
    for (size_t i = 0; i < page->event_count; i++) {
        assert_memory_equal(&page->events[i].id, &round->events[i].id, 20);
        if (detail == INGOT_DETAIL_ALL) {
            assert_true(ingot_bytes_equal(page->events[i].data, round->events[i].data));
            assert_true(ingot_bytes_equal(page->events[i].context, round->events[i].context));
        } else {
            assert_null(page->events[i].data.data);
        }
    }
    if (page->event_count) {
        const struct ingot_event *event = &page->events[0];
        assert_int_equal(event->job_count, 1 + round->has_added);
        assert_int_equal(event->jobs[0].latest.seq, round->steps);
        if (detail == INGOT_DETAIL_ALL)
            assert_true(ingot_bytes_equal(event->jobs[0].context, round->jobs[0].context));
        if (round->steps && detail == INGOT_DETAIL_ALL)
            assert_true(ingot_bytes_equal(event->jobs[0].latest.error, ingot_bytes_of(long_error)));
        if (round->has_added && detail == INGOT_DETAIL_ALL)
            assert_true(ingot_bytes_equal(event->jobs[1].data, round->added.data));
    }
    ingot_page_destroy(page);
}

static void read_history(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (!round->has_events)
        return;
    resume(round);
    enum ingot_status status = ingot_store_history(fixture->store, &fixture->toolkit,
                                                   &round->events[0].id, 0, &page, &err);
    if (!succeeded(round, "history", status, &err))
        return;
    assert_int_equal(page->transition_count, 1 + round->steps + (round->is_retired ? 1 : 0));
    if (round->steps)
        assert_true(ingot_bytes_equal(page->transitions[2].error, ingot_bytes_of(long_error)));
    ingot_page_destroy(page);
}

static void count(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_counts *counts = NULL;
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status = ingot_store_counts(fixture->store, &fixture->toolkit, &counts, &err);
    if (succeeded(round, "counts", status, &err))
        for (size_t i = 0; i < counts->destination_count; i++)
            assert_non_null(counts->destinations[i].destination.data);
    ingot_counts_destroy(counts);
}

static void verify(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_verification verification = {0};
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status =
        ingot_store_verify(fixture->store, &fixture->toolkit, NULL, NULL, &verification, &err);
    if (succeeded(round, "verify", status, &err))
        assert_int_equal(verification.violations, 0);
}

static void publish_routes(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_error err = {0};
    char text[64], read[64] = "";
    snprintf(text, sizeof text, "{\"round\":%d}", rand());
    resume(round);
    enum ingot_status status =
        ingot_store_publish_routes(fixture->store, NULL, ingot_bytes_of(text), &err);
    if (!succeeded(round, "publish_routes", status, &err))
        return;
    resume(round);
    status = ingot_store_routes(fixture->store, NULL, read, sizeof read, &err);
    if (succeeded(round, "routes", status, &err))
        assert_string_equal(read, text);
}

static void delete_events(struct round *round)
{
    struct fixture *fixture = round->fixture;
    ingot_ksuid ids[2] = {round->events[0].id, round->events[1].id};
    struct ingot_error err = {0};
    resume(round);
    enum ingot_status status = ingot_store_delete(fixture->store, &fixture->toolkit, ids, 2,
                                                  INGOT_DELETE_FORCED, "me", "test", &err);
    round->is_retired = succeeded(round, "delete", status, &err) && round->has_events;
}

/* Sends a commit again, as if no answer had come: what is stored counts as stored, once. */
static void commit_again(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_commit_event event = {.row = &round->events[1]};
    struct ingot_commit_transition claim = {
        .row = fixture_row(&round->events[1].id, 0, 1, INGOT_STATE_ACKNOWLEDGED,
                           INGOT_STATE_EXECUTING, 1),
        .hangs_on = INGOT_ALONE,
        .notice = INGOT_NOTICE_SENT,
    };
    struct ingot_commit_job job = {.row = round->added, .hangs_on = INGOT_ALONE};
    struct ingot_commit commit = {.rule = INGOT_COMMIT_WHOLE,
                                  .sending = INGOT_COMMIT_AGAIN,
                                  .events = &event,
                                  .event_count = 1,
                                  .transitions = &claim,
                                  .transition_count = 1,
                                  .jobs = &job,
                                  .job_count = 1};
    struct ingot_error err = {0};
    if (!round->has_events)
        return;
    for (int i = 0; i < 2; i++) {
        resume(round);
        enum ingot_status status =
            ingot_store_commit(fixture->store, &fixture->toolkit, &commit, &err);
        if (!succeeded(round, "commit again", status, &err))
            continue;
        round->has_added = round->has_claim = 1;
        assert_int_equal(event.verdict, INGOT_STORED);
        assert_int_equal(claim.verdict, INGOT_STORED);
        assert_int_equal(job.verdict, INGOT_STORED);
        assert_int_equal(job.row.number, 1);
    }
}

static int count_sighting(void *context, const struct ingot_sighting *sighting)
{
    ((size_t *)context)[sighting->kind]++;
    return 0;
}

/* Follows from where the round began. */
static void follow(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    struct ingot_error err = {0};
    size_t counts[3] = {0};
    resume(round);
    const struct ingot_following from = {.cursor = ingot_bytes_of(round->cursor)};
    enum ingot_status status = ingot_store_follow(fixture->store, &fixture->toolkit, &from,
                                                  count_sighting, counts, &page, &followed, &err);
    if (!succeeded(round, "follow", status, &err)) {
        assert_null(page);
        return;
    }
    assert_int_equal(counts[INGOT_SIGHTED_EVENT], round->has_events ? 2 : 0);
    assert_int_equal(counts[INGOT_SIGHTED_JOB], round->has_added);
    assert_int_equal(counts[INGOT_SIGHTED_NOTICE], round->has_claim + round->steps);
    ingot_page_destroy(page);
}

static void begin_to_follow(struct round *round)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed;
    assert_int_equal(ingot_store_follow(round->fixture->store, &round->fixture->toolkit,
                                        &(struct ingot_following){.known_count = 0}, count_sighting,
                                        NULL, &page, &followed, NULL),
                     INGOT_OK);
    snprintf(round->cursor, sizeof round->cursor, "%s", (const char *)followed.cursor.data);
    ingot_page_destroy(page);
}

static void checkpoint(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_lanes lanes = {{1}};
    struct ingot_checkpoint given = {.lane = 0, .cursor = ingot_bytes_of(round->cursor)};
    struct ingot_checkpoint *read = NULL;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    size_t count = 0;
    given.body = ingot_bytes_of(long_text);
    resume(round);
    enum ingot_status status =
        ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, &given, 1, &err);
    if (!succeeded(round, "add_checkpoints", status, &err))
        return;
    resume(round);
    status = ingot_store_checkpoints(fixture->store, &fixture->toolkit, &lanes, INT64_MAX, &page,
                                     &read, &count, &err);
    if (!succeeded(round, "checkpoints", status, &err))
        return;
    assert_int_equal(count, 1);
    assert_true(ingot_bytes_equal(read[0].cursor, given.cursor));
    assert_true(ingot_bytes_equal(read[0].body, given.body));
    ingot_page_destroy(page);
}

static void read_settings(struct round *round)
{
    struct fixture *fixture = round->fixture;
    struct ingot_setting *settings = NULL;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    size_t count = 0;
    resume(round);
    enum ingot_status status =
        ingot_store_settings(fixture->store, &fixture->toolkit, &page, &settings, &count, &err);
    if (succeeded(round, "settings", status, &err))
        for (size_t i = 0; i < count; i++)
            assert_true(settings[i].value && settings[i].value[0]);
    ingot_page_destroy(page);
}

/* With memory enough: exactly what is known to be stored is there. */
static void check(const struct round *round)
{
    struct fixture *fixture = round->fixture;
    for (size_t i = 0; i < 2; i++) {
        struct ingot_error err = {0};
        struct ingot_page *page = NULL;
        enum ingot_status status =
            ingot_store_event(fixture->store, &fixture->toolkit, &round->events[i].id, &page, &err);
        if (status != (round->has_events ? INGOT_OK : INGOT_NOT_FOUND))
            fail_msg("%d %s", status, err.message);
        if (!status) {
            assert_int_equal(page->events[0].retired_us != INGOT_NO_TIME, round->is_retired);
            assert_int_equal(page->job_count, 1 + (i == 0 ? round->has_added : 0));
        }
        if (!status && i == 0)
            assert_int_equal(page->events[0].jobs[0].latest.seq,
                             round->steps + (round->is_retired ? 1 : 0));
        ingot_page_destroy(page);
    }
}

static void run_round(struct fixture *fixture, long n, long number)
{
    struct round round = {.fixture = fixture, .from = n, .begin = fixture_id(fixture)};
    for (size_t i = 0; i < 2; i++) {
        round.jobs[i] = fixture_job(fixture, i ? "mail" : "crm", "*");
        round.jobs[i].context = ingot_bytes_of(long_text);
        round.events[i] = fixture_event(fixture, &round.jobs[i], 1);
        round.events[i].data = round.events[i].context = ingot_bytes_of(long_text);
    }
    round.added = fixture_job(fixture, "log", "*");
    round.added.event_id = round.events[0].id;
    round.added.parent_job_id = round.jobs[0].id;
    round.added.data = ingot_bytes_of(long_text);
    begin_to_follow(&round);
    insert_queue(&round);
    check(&round);
    insert_again(&round);
    add_jobs(&round);
    check(&round);
    add_transitions(&round);
    check(&round);
    find(&round, INGOT_DETAIL_ALL);
    find(&round, INGOT_DETAIL_ROUTING);
    read_history(&round);
    commit_again(&round);
    check(&round);
    follow(&round);
    checkpoint(&round);
    read_settings(&round);
    publish_routes(&round);
    count(&round);
    delete_events(&round);
    check(&round);
    find(&round, INGOT_DETAIL_ALL);
    if (number % 32 == 1)
        verify(&round);
    countdown = 0;
}

static void what_fails_for_memory_has_not_happened(void **state)
{
    struct fixture *fixture = *state;
    long n = 1, rounds = 0;
    do {
        failures = 0;
        run_round(fixture, n, rounds++);
        n = next_n(n);
    } while (failures || n < 100);
    print_message("# %ld allocations in %ld rounds\n", n, rounds);
    fixture_verify(fixture);
    fixture_reopen(fixture);
    fixture_verify(fixture);
}

static void nothing_is_lost_when_memory_never_comes_back(void **state)
{
    manner = FAIL_FROM_THEN_ON;
    what_fails_for_memory_has_not_happened(state);
    manner = FAIL_ONCE;
}

/*
 * Opens, at the N-th allocation without memory, until it works; the file is
 * made anew each time, or is there.
 */
static void open_in_want(struct fixture *fixture, int anew)
{
    long n = 1, times = 0;
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    do {
        struct ingot_error err = {0};
        struct ingot_store *store = NULL;
        failures = 0;
        if (anew && fixture_is_durable())
            unlink(fixture->path);
        countdown = n;
        n = next_n(n);
        times++;
        enum ingot_status status = fixture_open(fixture, INGOT_MODE_WRITE, &store, &err);
        countdown = 0;
        if (status != INGOT_OK && status != INGOT_NOMEM)
            fail_msg("%ld: %d %s", n, status, err.message);
        assert_int_equal(store != NULL, status == INGOT_OK);
        ingot_store_close(store);
    } while (failures);
    print_message("# %ld allocations, %ld times\n", n, times);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL), INGOT_OK);
}

static void a_store_opens_or_says_that_memory_ran_out(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    open_in_want(fixture, 0);
    if (fixture_is_durable())
        assert_int_equal(fixture_state(fixture, &id, 0), INGOT_STATE_ACKNOWLEDGED);
}

static void a_store_is_made_or_memory_ran_out(void **state)
{
    struct fixture *fixture = *state;
    open_in_want(fixture, 1);
    fixture_put_one(fixture, "crm");
    fixture_verify(fixture);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_fails_for_memory_has_not_happened),
        TEST(nothing_is_lost_when_memory_never_comes_back),
        TEST(a_store_opens_or_says_that_memory_ran_out),
        TEST(a_store_is_made_or_memory_ran_out),
    };
#undef TEST
    if (argc != 2 || !replace_sqlite_memory())
        return 2;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[0] = long_text[sizeof long_text - 2] = '"';
    snprintf(long_error, sizeof long_error, "{\"message\":\"%01900d\"}", 0);
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("store_malloc", tests, NULL, NULL);
}
