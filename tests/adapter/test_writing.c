/*
 * What goes into a store: InsertQueue, AddJobs, AddTransitions and Delete (SEED
 * sections 2, 3, 5, 6). usage: test_writing
 * memory|sqlite|postgres
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED
#define DISCARDED INGOT_STATE_DISCARDED
#define NONE INGOT_STATE_NONE

static struct ingot_page *read_event(struct fixture *fixture, const ingot_ksuid *id)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (ingot_store_event(fixture->store, &fixture->toolkit, id, &page, &err))
        fail_msg("%s", err.message);
    assert_int_equal(page->event_count, 1);
    return page;
}

static int is_stored(struct fixture *fixture, const ingot_ksuid *id)
{
    struct ingot_page *page = NULL;
    enum ingot_status status =
        ingot_store_event(fixture->store, &fixture->toolkit, id, &page, NULL);
    assert_true(status == INGOT_OK || status == INGOT_NOT_FOUND);
    ingot_page_destroy(page);
    return status == INGOT_OK;
}

static enum ingot_status insert(struct fixture *fixture, struct ingot_event *events, size_t count,
                                enum ingot_verdict *verdicts, struct ingot_error *err)
{
    struct ingot_queue queue = {events, count};
    return ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, verdicts, err);
}

/* Expects one event to be refused with one validation, and not to be stored. */
static void expect_refusal(struct fixture *fixture, struct ingot_event *event, const char *path,
                           const char *message)
{
    struct ingot_error err = {0};
    enum ingot_verdict verdict = INGOT_PENDING;
    assert_int_equal(insert(fixture, event, 1, &verdict, &err), INGOT_INVALID);
    assert_int_equal(verdict, INGOT_PENDING);
    assert_validation(&err, path, message);
    assert_true(ingot_ksuid_is_none(&event->id) || !is_stored(fixture, &event->id));
}

static void assert_bytes(struct ingot_bytes bytes, const char *expected)
{
    if (!ingot_bytes_equal(bytes, ingot_bytes_of(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)bytes.len, (const char *)bytes.data, expected);
}

/* ---- insert_queue ------------------------------------------------------- */

static void row_51_no_queue_and_an_empty_one_are_a_success(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_queue queue = {0};
    struct ingot_error err = {.message = "stale", .validation_count = 3};
    assert_int_equal(ingot_store_insert_queue(fixture->store, NULL, NULL, NULL, &err), INGOT_OK);
    assert_int_equal(ingot_store_insert_queue(fixture->store, NULL, &queue, NULL, &err), INGOT_OK);
    assert_string_equal(err.message, "");
    assert_int_equal(err.validation_count, 0);
}

static void rows_19_to_38_an_event_comes_back_as_it_went_in(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[3] = {fixture_job(fixture, "crm", "order.paid"),
                                fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "m\xc3\xa4il", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 3);
    jobs[0].context = ingot_bytes_of("{\"a\" : [1,2]}");
    jobs[0].data = ingot_bytes_of("\"text \\u00e9\"");
    jobs[1].due_us = NOON_US + 5;
    jobs[2].parent_job_id = jobs[0].id;
    event.context = ingot_bytes_of(" {\"b\":1,\"a\":2 } ");
    event.data = ingot_bytes_of("null");
    event.sent_us = NOON_US - 123;
    event.received_us = NOON_US - 7;
    fixture_put(fixture, &event);
    fixture_reopen(fixture);
    struct ingot_page *page = read_event(fixture, &event.id);
    const struct ingot_event *read = &page->events[0];
    assert_memory_equal(&read->id, &event.id, sizeof event.id);
    assert_bytes(read->source, "shop");
    assert_bytes(read->name, "order.paid");
    assert_bytes(read->context, " {\"b\":1,\"a\":2 } ");
    assert_bytes(read->data, "null");
    assert_true(read->sent_us == NOON_US - 123);
    assert_true(read->received_us == NOON_US - 7);
    fixture_assert_now(fixture, read->ingested_us);
    assert_true(read->retired_us == INGOT_NO_TIME);
    assert_int_equal(read->job_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct ingot_job *job = &read->jobs[i];
        assert_memory_equal(&job->id, &jobs[i].id, sizeof job->id);
        assert_memory_equal(&job->event_id, &event.id, sizeof event.id);
        assert_int_equal(job->number, i);
        assert_true(ingot_bytes_equal(job->destination, jobs[i].destination));
        assert_true(ingot_bytes_equal(job->event, jobs[i].event));
        assert_true(ingot_bytes_equal(job->context, jobs[i].context));
        assert_true(ingot_bytes_equal(job->data, jobs[i].data));
        assert_memory_equal(&job->parent_job_id, &jobs[i].parent_job_id, 20);
        assert_true(job->due_us == jobs[i].due_us);
        assert_true(job->created_us == read->ingested_us);
        assert_memory_equal(&job->latest.job_id, &jobs[i].id, 20);
        assert_int_equal(job->latest.seq, 0);
        assert_int_equal(job->latest.attempt, 0);
        assert_int_equal(job->latest.state_before, NONE);
        assert_int_equal(job->latest.state_after, i == 1 ? AWAITING : ACKNOWLEDGED);
        assert_false(ingot_ksuid_is_none(&job->latest.id));
    }
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

static void rows_23_and_26_what_is_absent_stays_absent(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    event.context = event.data = (struct ingot_bytes){NULL, 0};
    fixture_put(fixture, &event);
    fixture_reopen(fixture);
    struct ingot_page *page = read_event(fixture, &event.id);
    assert_null(page->events[0].context.data);
    assert_null(page->events[0].data.data);
    assert_true(page->events[0].sent_us == INGOT_NO_TIME);
    assert_int_equal(page->events[0].job_count, 0);
    ingot_page_destroy(page);
}

static void row_27_the_store_sets_received_at_if_no_gateway_did(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    fixture_put(fixture, &event);
    struct ingot_page *page = read_event(fixture, &event.id);
    fixture_assert_now(fixture, page->events[0].received_us);
    ingot_page_destroy(page);
}

static void row_28_the_store_sets_ingested_at_whatever_was_given(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    event.ingested_us = job.created_us = 5;
    fixture_put(fixture, &event);
    struct ingot_page *page = read_event(fixture, &event.id);
    fixture_assert_now(fixture, page->events[0].ingested_us);
    fixture_assert_now(fixture, page->events[0].jobs[0].created_us);
    ingot_page_destroy(page);
}

static void row_20_the_same_event_again_is_already_there(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    enum ingot_verdict verdict = INGOT_PENDING;
    fixture_put(fixture, &event);
    fixture_reopen(fixture);
    event.received_us = NOON_US + 99; /* not the source's */
    assert_int_equal(insert(fixture, &event, 1, &verdict, NULL), INGOT_OK);
    assert_int_equal(verdict, INGOT_ALREADY);
    event.job_count = 0; /* who brings no jobs asks nothing of them */
    assert_int_equal(insert(fixture, &event, 1, &verdict, NULL), INGOT_OK);
    assert_int_equal(verdict, INGOT_ALREADY);
    struct ingot_event twice[2] = {fixture_event(fixture, NULL, 0)};
    twice[1] = twice[0];
    enum ingot_verdict verdicts[2];
    assert_int_equal(insert(fixture, twice, 2, verdicts, NULL), INGOT_OK);
    assert_int_equal(verdicts[0], INGOT_STORED);
    assert_int_equal(verdicts[1], INGOT_ALREADY);
}

static void row_20_the_same_id_with_other_bytes_is_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    fixture_put(fixture, &event);
    for (int what = 0; what < 12; what++) {
        struct ingot_job other_jobs[2] = {jobs[0], jobs[1]};
        struct ingot_event other = event;
        struct ingot_error err = {0};
        enum ingot_verdict verdict = INGOT_PENDING;
        char expected[160], id[28];
        other.jobs = other_jobs;
        switch (what) {
        case 0:
            other.source = ingot_bytes_of("shoq");
            break;
        case 1:
            other.name = ingot_bytes_of("order.payd");
            break;
        case 2:
            other.context.data = NULL, other.context.len = 0;
            break;
        case 3:
            other.data = ingot_bytes_of("{\"order\":7}");
            break; /* the same to JSON */
        case 4:
            other.sent_us = NOON_US;
            break;
        case 5:
            other.job_count = 1;
            break;
        case 6:
            other_jobs[1].id = fixture_id(fixture);
            break;
        case 7:
            other_jobs[1].destination = ingot_bytes_of("mail2");
            break;
        case 8:
            other_jobs[0].event = ingot_bytes_of("x");
            break;
        case 9:
            other_jobs[0].context = ingot_bytes_of("{}");
            break;
        case 10:
            other_jobs[0].due_us = NOON_US;
            break;
        default:
            other_jobs[0].parent_job_id = jobs[1].id;
            break;
        }
        assert_int_equal(insert(fixture, &other, 1, &verdict, &err), INGOT_CONFLICT);
        assert_int_equal(verdict, INGOT_MISMATCH);
        ingot_ksuid_format(&event.id, id);
        snprintf(expected, sizeof expected,
                 "store: the event %s is stored already, with other contents; give it another id",
                 id);
        assert_string_equal(err.message, expected);
        assert_string_equal(err.event_id, id);
        assert_int_equal(err.status_code, 409);
        assert_validation(&err, "Queue/Events[0]/ID", "is the id of another event");
    }
}

static void row_51_a_queue_is_stored_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[4];
    struct ingot_event events[4];
    enum ingot_verdict verdicts[4];
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = fixture_job(fixture, "crm", "*");
        events[i] = fixture_event(fixture, &jobs[i], 1);
    }
    fixture_put(fixture, &events[0]);
    fixture_put(fixture, &events[2]);
    events[2].source = ingot_bytes_of("other");
    assert_int_equal(insert(fixture, events, 4, verdicts, NULL), INGOT_CONFLICT);
    assert_int_equal(verdicts[0], INGOT_ALREADY);
    assert_int_equal(verdicts[1], INGOT_PENDING);
    assert_int_equal(verdicts[2], INGOT_MISMATCH);
    assert_int_equal(verdicts[3], INGOT_PENDING);
    assert_false(is_stored(fixture, &events[1].id));
    assert_false(is_stored(fixture, &events[3].id));
    events[2].source = ingot_bytes_of("shop");
    assert_int_equal(insert(fixture, events, 4, verdicts, NULL), INGOT_OK);
    assert_int_equal(verdicts[1], INGOT_STORED);
    assert_int_equal(verdicts[3], INGOT_STORED);
    assert_int_equal(fixture_verify(fixture).events, 4);
}

static void row_51_one_bad_event_keeps_the_whole_queue_out(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_event events[2] = {fixture_event(fixture, NULL, 0),
                                    fixture_event(fixture, NULL, 0)};
    struct ingot_error err = {0};
    char id[28], message[64];
    events[1].source = ingot_bytes_of("");
    assert_int_equal(insert(fixture, events, 2, NULL, &err), INGOT_INVALID);
    assert_validation(&err, "Queue/Events[1]/Source", "must not be empty");
    snprintf(message, sizeof message, "store/%s: the queue is not acceptable",
             ingot_store_name(fixture->store));
    assert_string_equal(err.message, message);
    ingot_ksuid_format(&events[1].id, id);
    assert_string_equal(err.event_id, id);
    assert_false(is_stored(fixture, &events[0].id));
    events[0].name = events[1].source;
    events[1].source = ingot_bytes_of("shop");
    assert_int_equal(insert(fixture, events, 2, NULL, &err), INGOT_INVALID);
    ingot_ksuid_format(&events[0].id, id);
    assert_string_equal(err.event_id, id); /* also when a good one follows */
}

static void row_51_a_validation_names_the_place(void **state)
{
    struct fixture *fixture = *state;
    static char long_name[257], deep[400];
    memset(long_name, 'x', 256);
    memset(deep, '[', 63);
    memset(deep + 63, ']', 63);
    const ingot_ksuid none = {{0}};
    const struct {
        const char *path, *message;
    } expected[] = {
        {"Queue/Events[0]/ID", "must be a valid KSUID"},
        {"Queue/Events[0]/Source", "must not be empty"},
        {"Queue/Events[0]/Source", "must not be longer than 255 bytes"},
        {"Queue/Events[0]/Source", "must be UTF-8 without control characters"},
        {"Queue/Events[0]/Name", "must not be empty"},
        {"Queue/Events[0]/Name", "must not be \"*\", the wildcard of destinations"},
        {"Queue/Events[0]/Name", "must be UTF-8 without control characters"},
        {"Queue/Events[0]/Jobs[1]/ID", "must be a valid KSUID"},
        {"Queue/Events[0]/Jobs[1]/ID", "is the id of another job of the event"},
        {"Queue/Events[0]/Jobs[1]/Destination", "must not be empty"},
        {"Queue/Events[0]/Jobs[1]/Event", "must not be empty"},
        {"Queue/Events[0]/Jobs[1]/ParentJobID", "is not a job of the same event"},
        {"Queue/Events[0]/Jobs[1]/ParentJobID", "is not a job of the same event"},
        {"Queue/Events[0]/Jobs[1]/Transitions[0]/StateAfter",
         "a job is born acknowledged, or awaiting with a due time"},
        {"Queue/Events[0]/Jobs[1]/Context", "must not have white space around it"},
        {"Queue/Events[0]/Jobs[1]/Data", "must not have white space around it"},
        {"Queue/Events[0]/Jobs[1]/Data", "must not be nested deeper than 62"},
    };
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                    fixture_job(fixture, "mail", "order.paid")};
        struct ingot_event event = fixture_event(fixture, jobs, 2);
        switch (i) {
        case 0:
            event.id = none;
            break;
        case 1:
            event.source = ingot_bytes_of("");
            break;
        case 2:
            event.source = ingot_bytes_of(long_name);
            break;
        case 3:
            event.source = ingot_bytes_of("a\x7f");
            break;
        case 4:
            event.name.data = NULL, event.name.len = 0;
            break;
        case 5:
            event.name = ingot_bytes_of("*");
            break;
        case 6:
            event.name = ingot_bytes_of("\xc1\x80\x80\x80\x80\x80\x80\x80\x80\x80");
            break;
        case 7:
            jobs[1].id = none;
            break;
        case 8:
            jobs[1].id = jobs[0].id;
            break;
        case 9:
            jobs[1].destination = ingot_bytes_of("");
            break;
        case 10:
            jobs[1].event = ingot_bytes_of("");
            break;
        case 11:
            jobs[1].parent_job_id = fixture_id(fixture);
            break;
        case 12:
            jobs[1].parent_job_id = jobs[1].id;
            break;
        case 13:
            jobs[1].latest.state_after = EXECUTING;
            break;
        case 14:
            jobs[1].context = ingot_bytes_of("{} ");
            break;
        case 15:
            jobs[1].data = ingot_bytes_of("\n{}");
            break;
        default:
            jobs[1].data = ingot_bytes_of(deep);
            break;
        }
        expect_refusal(fixture, &event, expected[i].path, expected[i].message);
    }
}

static void rows_23_and_24_payloads_are_i_json(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {
        "",         "{",           "{\"a\":1}x",  "nul",
        "\"\xff\"", "\"\\u0000\"", "\"\\ud800\"", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct ingot_event event = fixture_event(fixture, NULL, 0);
        struct ingot_error err = {0};
        event.data = ingot_bytes_of(bad[i]);
        assert_int_equal(insert(fixture, &event, 1, NULL, &err), INGOT_INVALID);
        assert_int_equal(err.validation_count, 1);
        assert_string_equal(err.validations[0].path, "Queue/Events[0]/Data");
        assert_memory_equal(err.validations[0].message, "must be JSON: line 1, ", 22);
        assert_false(is_stored(fixture, &event.id));
    }
}

static void a_payload_of_8_mib_goes_in_and_one_byte_more_does_not(void **state)
{
    struct fixture *fixture = *state;
    size_t max = 8u << 20;
    char *text = malloc(max + 1);
    assert_non_null(text);
    memset(text, 'x', max + 1);
    text[0] = text[max] = '"';
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    event.data = (struct ingot_bytes){text, max + 1};
    expect_refusal(fixture, &event, "Queue/Events[0]/Data", "must not be longer than 8 MiB");
    text[max - 1] = '"';
    event.data.len = max;
    fixture_put(fixture, &event);
    struct ingot_page *page = read_event(fixture, &event.id);
    assert_true(ingot_bytes_equal(page->events[0].data, event.data));
    ingot_page_destroy(page);
    free(text);
}

static void the_deepest_payloads_that_go_in_come_out(void **state)
{
    struct fixture *fixture = *state;
    char deep[129] = "", job_deep[125] = "";
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    memset(job_deep, '[', 62);
    memset(job_deep + 62, ']', 62);
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    event.data = event.context = ingot_bytes_of(deep);
    job.data = job.context = ingot_bytes_of(job_deep);
    fixture_put(fixture, &event);
    struct ingot_page *page = read_event(fixture, &event.id);
    assert_bytes(page->events[0].data, deep);
    assert_bytes(page->events[0].jobs[0].context, job_deep);
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

static void ids_are_admitted_from_seven_days_ago_to_a_day_ahead(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        int64_t age_us;
        const char *message; /* NULL: it goes in */
    } cases[] = {
        {0, NULL},
        {7 * DAY_US, NULL},
        {7 * DAY_US + SECOND_US, "is older than 7 days; give the event a new id"},
        {-DAY_US, NULL},
        {-DAY_US - SECOND_US, "is more than a day ahead of the clock; give the event a new id"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ingot_event event = fixture_event(fixture, NULL, 0);
        event.id = fixture_id_of(fixture, fixture->now_us - cases[i].age_us);
        if (cases[i].message)
            expect_refusal(fixture, &event, "Queue/Events[0]/ID", cases[i].message);
        else
            fixture_put(fixture, &event);
    }
}

static void row_25_at_most_the_wildcard_and_the_specific_job_of_a_destination(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *first, *second;
        int goes_in;
    } cases[] = {
        {"*", "order.paid", 1}, {"order.paid", "*", 1},     {"*", "*", 0},
        {"x", "x", 0},          {"order.paid", "other", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ingot_job jobs[2] = {fixture_job(fixture, "crm", cases[i].first),
                                    fixture_job(fixture, "crm", cases[i].second)};
        struct ingot_event event = fixture_event(fixture, jobs, 2);
        if (cases[i].goes_in)
            fixture_put(fixture, &event);
        else
            expect_refusal(fixture, &event, "Queue/Events[0]/Jobs[1]/Destination",
                           "has such a job already: at most the wildcard and the specific one");
        jobs[1].parent_job_id = jobs[0].id; /* a follow-up may go where its parent went */
        event.id = fixture_id(fixture);
        fixture_put(fixture, &event);
    }
}

static void row_13_a_job_is_born_acknowledged_or_awaiting(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "*")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    jobs[0].latest.state_after = ACKNOWLEDGED;
    jobs[1].latest.state_after = AWAITING;
    jobs[1].due_us = NOON_US + DAY_US;
    fixture_put(fixture, &event);
    assert_int_equal(fixture_state(fixture, &event.id, 0), ACKNOWLEDGED);
    assert_int_equal(fixture_state(fixture, &event.id, 1), AWAITING);
}

static void created_at_never_goes_back_when_the_clock_does(void **state)
{
    struct fixture *fixture = *state;
    if (!fixture_has_clock()) /* a server's cannot be put back here */
        return;
    fixture->now_us = NOON_US + 50 * SECOND_US;
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    fixture_put(fixture, &event);
    for (int reopened = 0; reopened < 2; reopened++) {
        fixture->now_us = NOON_US - 50 * SECOND_US * (1 + reopened);
        struct ingot_event later = fixture_event(fixture, NULL, 0);
        fixture_put(fixture, &later);
        struct ingot_page *page = read_event(fixture, &later.id);
        assert_true(page->events[0].ingested_us == NOON_US + 50 * SECOND_US);
        ingot_page_destroy(page);
        fixture_reopen(fixture);
    }
    fixture->now_us = NOON_US + 90 * SECOND_US;
    struct ingot_commit_transition claim = {
        .row = fixture_row(&event.id, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE};
    struct ingot_commit commit = {.transitions = &claim, .transition_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    fixture_reopen(fixture);
    fixture->now_us = NOON_US;
    claim.row = fixture_row(&event.id, 0, 2, EXECUTING, SUCCEEDED, 1); /* nothing was read before */
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    struct ingot_page *page = read_event(fixture, &event.id);
    assert_true(page->events[0].jobs[0].latest.created_us == NOON_US + 90 * SECOND_US);
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

/* ---- add_jobs ----------------------------------------------------------- */

static enum ingot_status add_jobs(struct fixture *fixture, const struct ingot_job *jobs,
                                  size_t count, struct ingot_error *err)
{
    return ingot_store_add_jobs(fixture->store, &fixture->toolkit, jobs, count, err);
}

static void row_52_jobs_are_added_behind_those_that_are_there(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_job jobs[3] = {fixture_job(fixture, "mail", "order.paid"),
                                fixture_job(fixture, "mail", "*"),
                                fixture_job(fixture, "log", "order.paid")};
    for (size_t i = 0; i < 3; i++)
        jobs[i].event_id = id;
    jobs[1].due_us = NOON_US + 9;
    jobs[2].context = ingot_bytes_of("[1, 2]");
    jobs[2].data = ingot_bytes_of("{}");
    fixture->now_us += SECOND_US;
    assert_int_equal(add_jobs(fixture, jobs, 2, NULL), INGOT_OK);
    fixture_reopen(fixture);
    assert_int_equal(add_jobs(fixture, jobs + 2, 1, NULL), INGOT_OK);
    struct ingot_page *page = read_event(fixture, &id);
    assert_int_equal(page->job_count, 4);
    for (size_t i = 0; i < 3; i++) {
        const struct ingot_job *job = &page->events[0].jobs[i + 1];
        assert_int_equal(job->number, i + 1);
        assert_memory_equal(&job->id, &jobs[i].id, 20);
        assert_memory_equal(&job->event_id, &id, 20);
        assert_true(ingot_bytes_equal(job->destination, jobs[i].destination));
        assert_true(ingot_bytes_equal(job->context, jobs[i].context));
        assert_true(ingot_bytes_equal(job->data, jobs[i].data));
        fixture_assert_now(fixture, job->created_us);
        assert_true(job->latest.created_us == job->created_us);
        assert_int_equal(job->latest.state_after, i == 1 ? AWAITING : ACKNOWLEDGED);
    }
    ingot_page_destroy(page);
    fixture_walk(fixture, &id, 3, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    fixture_verify(fixture);
    assert_int_equal(add_jobs(fixture, NULL, 0, NULL), INGOT_OK);
}

static void row_52_the_same_job_is_added_only_once(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_job jobs[2] = {fixture_job(fixture, "mail", "order.paid")};
    jobs[0].event_id = id;
    jobs[1] = jobs[0];
    assert_int_equal(add_jobs(fixture, jobs, 2, NULL), INGOT_OK);
    assert_int_equal(add_jobs(fixture, jobs, 1, NULL), INGOT_OK);
    struct ingot_page *page = read_event(fixture, &id);
    assert_int_equal(page->job_count, 2);
    ingot_page_destroy(page);
}

/* Expects jobs not to be added, with one validation. */
static void expect_no_jobs(struct fixture *fixture, const struct ingot_job *jobs, size_t count,
                           enum ingot_status status, const char *path, const char *message)
{
    struct ingot_error err = {0};
    uint64_t before = fixture_verify(fixture).jobs;
    assert_int_equal(add_jobs(fixture, jobs, count, &err), status);
    assert_int_equal(err.status, status);
    assert_validation(&err, path, message);
    assert_int_equal(fixture_verify(fixture).jobs, before);
}

static void rows_37_and_52_jobs_need_an_event_that_is_stored(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_job jobs[2] = {fixture_job(fixture, "mail", "*"),
                                fixture_job(fixture, "log", "*")};
    jobs[0].event_id = id;
    expect_no_jobs(fixture, jobs, 2, INGOT_INVALID, "Jobs[1]/EventID", "must be a valid KSUID");
    jobs[1].event_id = fixture_id(fixture);
    expect_no_jobs(fixture, jobs, 2, INGOT_CONFLICT, "Jobs[1]/EventID", "there is no such event");
    jobs[1].parent_job_id = fixture_id(fixture);
    expect_no_jobs(fixture, jobs, 2, INGOT_CONFLICT, "Jobs[1]/EventID", "there is no such event");
}

static void row_38_a_parent_is_a_job_of_the_same_event(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm"), other = fixture_put_one(fixture, "crm");
    struct ingot_page *mine = read_event(fixture, &id), *theirs = read_event(fixture, &other);
    struct ingot_job jobs[3] = {fixture_job(fixture, "crm", "order.paid"),
                                fixture_job(fixture, "crm", "order.paid"),
                                fixture_job(fixture, "crm", "order.paid")};
    for (size_t i = 0; i < 3; i++)
        jobs[i].event_id = id;
    jobs[0].parent_job_id = jobs[1].id; /* a child before its parent */
    jobs[1].parent_job_id = mine->events[0].jobs[0].id;
    jobs[2].parent_job_id = theirs->events[0].jobs[0].id;
    expect_no_jobs(fixture, jobs, 3, INGOT_INVALID, "Jobs[2]/ParentJobID",
                   "is not a job of the same event");
    jobs[2].parent_job_id = jobs[2].id;
    expect_no_jobs(fixture, jobs, 3, INGOT_INVALID, "Jobs[2]/ParentJobID",
                   "is not a job of the same event");
    assert_int_equal(add_jobs(fixture, jobs, 2, NULL), INGOT_OK);
    fixture_verify(fixture);
    ingot_page_destroy(mine);
    ingot_page_destroy(theirs);
}

static void row_25_the_rule_of_two_binds_added_jobs_without_a_parent(void **state)
{
    struct fixture *fixture = *state;
    const char *taken =
        "the event has such a job for this destination already; a follow-up names its parent";
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_page *page = read_event(fixture, &id);
    struct ingot_job job = fixture_job(fixture, "crm", "order.paid");
    job.event_id = id;
    expect_no_jobs(fixture, &job, 1, INGOT_CONFLICT, "Jobs[0]/EventID", taken);
    job.event = ingot_bytes_of("another");
    expect_no_jobs(fixture, &job, 1, INGOT_CONFLICT, "Jobs[0]/EventID", taken);
    struct ingot_job both[2] = {fixture_job(fixture, "log", "*"), fixture_job(fixture, "log", "*")};
    both[0].event_id = both[1].event_id = id;
    expect_no_jobs(fixture, both, 2, INGOT_CONFLICT, "Jobs[1]/EventID", taken);
    job.event = ingot_bytes_of("*");
    assert_int_equal(add_jobs(fixture, &job, 1, NULL), INGOT_OK);
    job.id = fixture_id(fixture);
    expect_no_jobs(fixture, &job, 1, INGOT_CONFLICT, "Jobs[0]/EventID", taken);
    job.parent_job_id = page->events[0].jobs[0].id;
    assert_int_equal(add_jobs(fixture, &job, 1, NULL), INGOT_OK);
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

static void row_52_a_retired_event_takes_no_jobs(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &id, 1,
                                        INGOT_DELETE_FORCED, "me", "test", NULL),
                     INGOT_OK);
    struct ingot_job job = fixture_job(fixture, "mail", "*");
    job.event_id = id;
    expect_no_jobs(fixture, &job, 1, INGOT_CONFLICT, "Jobs[0]/EventID", "the event is retired");
}

static void row_52_a_bad_job_is_named(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_job job = fixture_job(fixture, "mail", "*");
    job.event_id = id;
    job.destination = ingot_bytes_of("a\nb");
    expect_no_jobs(fixture, &job, 1, INGOT_INVALID, "Jobs[0]/Destination",
                   "must be UTF-8 without control characters");
}

/* ---- add_transitions ---------------------------------------------------- */

static void row_53_a_legal_transition_is_stored_and_shows(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_transition row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
    struct ingot_result result;
    memset(&result, 0xff, sizeof result);
    fixture->now_us += 3 * SECOND_US;
    row.due_us = NOON_US + 60 * SECOND_US;
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, &row, 1, &result, NULL),
        INGOT_OK);
    assert_int_equal(result.verdict, INGOT_STORED);
    assert_string_equal(result.reason, "");
    row = fixture_row(&id, 0, 2, EXECUTING, FAILED, 1);
    row.error = ingot_bytes_of("{\"message\": \"no\"}");
    assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
    fixture_reopen(fixture);
    struct ingot_page *page = read_event(fixture, &id);
    const struct ingot_transition *latest = &page->events[0].jobs[0].latest;
    assert_int_equal(latest->seq, 2);
    assert_int_equal(latest->attempt, 1);
    assert_int_equal(latest->state_before, EXECUTING);
    assert_int_equal(latest->state_after, FAILED);
    assert_bytes(latest->error, "{\"message\": \"no\"}");
    fixture_assert_now(fixture, latest->created_us);
    assert_memory_equal(&latest->owner, &row.owner, 20);
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

static void row_53_whose_number_is_taken_has_lost_and_sees_who_won(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_transition winner = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
    struct ingot_transition loser = winner;
    struct ingot_result result;
    loser.owner = fixture_owner('b');
    assert_int_equal(fixture_add(fixture, &winner), INGOT_STORED);
    fixture->now_us += SECOND_US;
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, &loser, 1, &result, NULL),
        INGOT_OK);
    assert_int_equal(result.verdict, INGOT_LOST);
    assert_memory_equal(&result.taken.owner, &winner.owner, 20);
    assert_int_equal(result.taken.seq, 1);
    assert_int_equal(result.taken.state_after, EXECUTING);
    fixture->now_us -= SECOND_US;
    fixture_assert_now(fixture, result.taken.created_us);
    assert_null(result.taken.error.data);
    assert_int_equal(fixture_verify(fixture).transitions, 1);
}

static void row_53_two_rivals_in_one_commit_have_one_winner(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition rows[2];
    for (size_t i = 0; i < 2; i++) {
        rows[i] = (struct ingot_commit_transition){
            .row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE};
        rows[i].row.owner = fixture_owner(i ? 'b' : 'a');
    }
    struct ingot_commit commit = {.transitions = rows, .transition_count = 2};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    assert_int_equal(rows[0].verdict, INGOT_STORED);
    assert_int_equal(rows[1].verdict, INGOT_LOST);
}

static void row_53_an_illegal_transition_is_refused_with_the_reason(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm"), unknown = fixture_id(fixture);
    ingot_ksuid done = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &done, 0, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    static char long_error[5000];
    snprintf(long_error, sizeof long_error, "{\"message\":\"%4090d\"}", 1);
    struct {
        struct ingot_transition row;
        const char *reason;
    } cases[] = {
        {fixture_row(&id, 0, 1, ACKNOWLEDGED, SUCCEEDED, 0), "there is no such move"},
        {fixture_row(&id, 0, 1, AWAITING, EXECUTING, 1), "its state before is not the job's state"},
        {fixture_row(&id, 0, 2, ACKNOWLEDGED, EXECUTING, 1),
         "its number does not follow the latest one"},
        {fixture_row(&id, 0, 0, NONE, ACKNOWLEDGED, 0),
         "its number does not follow the latest one"},
        {fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 2), "a claim counts one attempt more"},
        {fixture_row(&id, 1, 1, ACKNOWLEDGED, EXECUTING, 1), "there is no such job"},
        {fixture_row(&unknown, 0, 1, ACKNOWLEDGED, EXECUTING, 1), "there is no such job"},
        {fixture_row(&done, 0, 3, SUCCEEDED, EXECUTING, 2), "nothing follows a terminal state"},
        {fixture_row(&id, 0, 1, ACKNOWLEDGED, DISCARDED, 0), "its error is not a JSON object"},
        {fixture_row(&id, 0, 1, ACKNOWLEDGED, DISCARDED, 0), "its error is not a JSON object"},
        {fixture_row(&id, 0, 1, ACKNOWLEDGED, DISCARDED, 0), "its error is longer than 4096 bytes"},
    };
    cases[8].row.error = ingot_bytes_of("{");
    cases[9].row.error = ingot_bytes_of("[]");
    cases[10].row.error = ingot_bytes_of(long_error);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ingot_result result;
        assert_int_equal(ingot_store_add_transitions(fixture->store, &fixture->toolkit,
                                                     &cases[i].row, 1, &result, NULL),
                         INGOT_OK);
        assert_int_equal(result.verdict, INGOT_REFUSED);
        assert_string_equal(result.reason, cases[i].reason);
    }
    assert_int_equal(fixture_verify(fixture).transitions, 2);
}

static void row_53_a_batch_has_a_verdict_for_each(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm"), other = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &id, 0, (enum ingot_state[]){EXECUTING, NONE});
    struct ingot_transition rows[4] = {
        fixture_row(&id, 0, 2, EXECUTING, FAILED, 1),
        fixture_row(&other, 0, 1, ACKNOWLEDGED, SUCCEEDED, 0),
        fixture_row(&id, 0, 3, FAILED, AWAITING, 1), /* hangs on the first */
        fixture_row(&other, 0, 1, ACKNOWLEDGED, EXECUTING, 1),
    };
    struct ingot_result results[4];
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, rows, 3, results, NULL),
        INGOT_OK);
    assert_int_equal(results[0].verdict, INGOT_STORED);
    assert_int_equal(results[1].verdict, INGOT_REFUSED);
    assert_int_equal(results[2].verdict, INGOT_STORED);
    assert_int_equal(fixture_state(fixture, &id, 0), AWAITING);
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, NULL, 0, NULL, NULL),
        INGOT_OK);
}

/* So many that a store may well treat those alike that are alike but for their event. */
static void row_53_a_large_commit_has_a_verdict_for_each_row(void **state)
{
    enum { JOBS = 400, KINDS = 5, STEP = 7 };
    enum kind { CLAIM, CLAIM_THAT_LOSES, SUCCESS, FAILURE, CLAIM_GIVEN_TWICE };
    struct fixture *fixture = *state;
    struct ingot_commit_transition *rows = calloc(2 * JOBS, sizeof *rows);
    struct ingot_commit commit = {.transitions = rows};
    static struct ingot_transition expected[JOBS]; /* the newest of each event */
    static ingot_ksuid ids[JOBS];
    for (size_t i = 0; i < JOBS; i++) {
        struct ingot_job jobs[] = {fixture_job(fixture, "a", "*"), fixture_job(fixture, "b", "*")};
        struct ingot_event event = fixture_event(fixture, jobs, 2);
        fixture_put(fixture, &event);
        ids[i] = event.id;
    }
    for (size_t n = 0; n < JOBS; n++) {
        const size_t i = n * STEP % JOBS; /* in no order */
        const enum kind kind = (enum kind)(i % KINDS);
        struct ingot_transition claim =
            fixture_row(&ids[i], kind == CLAIM, 1, ACKNOWLEDGED, EXECUTING, 1);
        claim.owner = fixture_owner(kind == CLAIM_GIVEN_TWICE ? 'x' : 'y');
        struct ingot_transition row = claim, rival = claim;
        rival.owner = fixture_owner('z');
        if (kind == SUCCESS || kind == FAILURE)
            row = fixture_row(&ids[i], claim.job, 2, EXECUTING,
                              kind == SUCCESS ? SUCCEEDED : FAILED, 1);
        row.owner = claim.owner;
        if (kind == FAILURE)
            row.error = ingot_bytes_of("{\"kind\":\"answer\"}");
        if (row.seq == 2)
            assert_int_equal(fixture_add(fixture, &claim), INGOT_STORED);
        if (kind == CLAIM_THAT_LOSES)
            assert_int_equal(fixture_add(fixture, &rival), INGOT_STORED);
        expected[i] = kind == CLAIM_THAT_LOSES ? rival : row;
        for (int times = kind == CLAIM_GIVEN_TWICE ? 2 : 1; times > 0; times--)
            rows[commit.transition_count++] =
                (struct ingot_commit_transition){.row = row, .hangs_on = INGOT_ALONE};
    }
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    for (size_t n = 0, at = 0; n < JOBS; n++, at++) {
        const size_t i = n * STEP % JOBS;
        const enum kind kind = (enum kind)(i % KINDS);
        assert_int_equal(ingot_ksuid_compare(&rows[at].row.event_id, &ids[i]), 0);
        assert_int_equal(rows[at].verdict, kind == CLAIM_THAT_LOSES ? INGOT_LOST : INGOT_STORED);
        if (kind == CLAIM_GIVEN_TWICE)
            assert_int_equal(rows[++at].verdict, INGOT_LOST);
        struct ingot_page *page = read_event(fixture, &ids[i]);
        assert_true(
            ingot_transition_same(&page->events[0].jobs[expected[i].job].latest, &expected[i]));
        ingot_page_destroy(page);
    }
    free(rows);
    fixture_verify(fixture);
}

/* A zombie's batch: two rows for a job whose first number a rival has taken. */
static void expect_both_lost(struct fixture *fixture, const ingot_ksuid *id, uint32_t first_seq)
{
    struct ingot_transition rows[2] = {
        fixture_row(id, 0, first_seq, EXECUTING, FAILED, 1),
        fixture_row(id, 0, first_seq + 1, FAILED, AWAITING, 1),
    };
    struct ingot_result results[2];
    uint64_t before = fixture_verify(fixture).transitions;
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, rows, 2, results, NULL),
        INGOT_OK);
    assert_int_equal(results[0].verdict, INGOT_LOST);
    assert_int_equal(results[0].taken.seq, first_seq);
    assert_int_equal(results[1].verdict, INGOT_LOST);
    struct ingot_commit_transition hanging[2] = {{.row = rows[0], .hangs_on = INGOT_ALONE},
                                                 {.row = rows[1], .hangs_on = 0}};
    struct ingot_commit commit = {.transitions = hanging, .transition_count = 2};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    assert_int_equal(hanging[0].verdict, INGOT_LOST);
    assert_int_equal(hanging[1].verdict, INGOT_LOST);
    assert_int_equal(fixture_verify(fixture).transitions, before);
}

static void a_zombies_batch_stores_neither_of_its_rows(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &id, 0, (enum ingot_state[]){EXECUTING, NONE});
    struct ingot_transition takeover = fixture_row(&id, 0, 2, EXECUTING, EXECUTING, 2);
    takeover.owner = fixture_owner('b');
    assert_int_equal(fixture_add(fixture, &takeover), INGOT_STORED);
    expect_both_lost(fixture, &id, 2);
    /* also when what took the number is just like it, so that the second row would fit */
    id = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &id, 0, (enum ingot_state[]){EXECUTING, FAILED, NONE});
    expect_both_lost(fixture, &id, 2);
}

static void what_follows_a_refused_row_of_its_job_is_lost(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_transition rows[2] = {
        fixture_row(&id, 0, 1, ACKNOWLEDGED, FAILED, 0),
        fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1),
    };
    struct ingot_result results[2];
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, rows, 2, results, NULL),
        INGOT_OK);
    assert_int_equal(results[0].verdict, INGOT_REFUSED);
    assert_int_equal(results[1].verdict, INGOT_LOST);
    assert_int_equal(results[1].taken.seq, 0);
}

static void attempts_are_judged_by_the_whole_chain(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &id, 0,
                 (enum ingot_state[]){EXECUTING, FAILED, AWAITING, AWAITING, NONE});
    struct ingot_transition row = fixture_row(&id, 0, 5, AWAITING, EXECUTING, 1);
    assert_int_equal(fixture_add(fixture, &row), INGOT_REFUSED);
    row.attempt = 2;
    assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
    struct ingot_transition rows[3] = {
        fixture_row(&id, 0, 6, EXECUTING, AWAITING, 2), /* given back, and put off */
        fixture_row(&id, 0, 7, AWAITING, AWAITING, 2),
        fixture_row(&id, 0, 8, AWAITING, EXECUTING, 3),
    };
    struct ingot_result results[3];
    assert_int_equal(
        ingot_store_add_transitions(fixture->store, &fixture->toolkit, rows, 3, results, NULL),
        INGOT_OK);
    assert_int_equal(results[1].verdict, INGOT_STORED);
    assert_int_equal(results[2].verdict, INGOT_REFUSED);
    assert_string_equal(results[2].reason, "a job that was given back keeps its attempt");
    fixture_verify(fixture);
}

static void row_61_the_greatest_attempt_is_followed_by_none(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition claim = {
        .row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, UINT16_MAX),
        .hangs_on = INGOT_ALONE};
    struct ingot_commit commit = {.transitions = &claim, .transition_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    struct ingot_transition takeover = fixture_row(&id, 0, 2, EXECUTING, EXECUTING, 0);
    takeover.owner = fixture_owner('b');
    assert_int_equal(fixture_add(fixture, &takeover), INGOT_REFUSED);
}

/* ---- commit ------------------------------------------------------------- */

static void a_commit_that_must_win_whole_stores_all_or_nothing(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm"), other = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &other, 0, (enum ingot_state[]){EXECUTING, NONE});
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    struct ingot_commit_event events[1] = {{.row = &event}};
    struct ingot_commit_transition rows[2] = {
        {.row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE},
        {.row = fixture_row(&other, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE},
    };
    struct ingot_commit_job job = {.row = fixture_job(fixture, "mail", "*"),
                                   .hangs_on = INGOT_ALONE};
    struct ingot_commit_retirement retirement = {id, ingot_bytes_of("me"), ingot_bytes_of("why")};
    job.row.event_id = id;
    struct ingot_commit commit = {.rule = INGOT_COMMIT_WHOLE,
                                  .events = events,
                                  .event_count = 1,
                                  .transitions = rows,
                                  .transition_count = 2,
                                  .jobs = &job,
                                  .job_count = 1,
                                  .retirements = &retirement,
                                  .retirement_count = 1};
    struct ingot_error err = {0};
    struct ingot_verification before = fixture_verify(fixture);
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, &err),
                     INGOT_CONFLICT);
    assert_int_equal(rows[1].verdict, INGOT_LOST);
    struct ingot_verification after = fixture_verify(fixture);
    assert_memory_equal(&before, &after, sizeof before);
    struct ingot_page *page = read_event(fixture, &id);
    assert_true(page->events[0].retired_us == INGOT_NO_TIME);
    ingot_page_destroy(page);
    commit.transition_count = 1;
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, &err),
                     INGOT_OK);
    assert_int_equal(job.row.number, 1);
    after = fixture_verify(fixture);
    assert_int_equal(after.events, before.events + 1);
    assert_int_equal(after.jobs, before.jobs + 1);
    assert_int_equal(after.transitions, before.transitions + 1);
}

static void row_80_a_follow_up_is_stored_only_if_its_outcome_is(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &id, 0, (enum ingot_state[]){EXECUTING, NONE});
    struct ingot_commit_transition outcome = {
        .row = fixture_row(&id, 0, 2, EXECUTING, SUCCEEDED, 1), .hangs_on = INGOT_ALONE};
    for (int turn = 0; turn < 2; turn++) {
        struct ingot_commit_job job = {.row = fixture_job(fixture, "next", "*"), .hangs_on = 0};
        struct ingot_commit commit = {
            .transitions = &outcome, .transition_count = 1, .jobs = &job, .job_count = 1};
        job.row.event_id = id;
        assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                         INGOT_OK);
        assert_int_equal(outcome.verdict, turn ? INGOT_LOST : INGOT_STORED);
        assert_int_equal(job.verdict, turn ? INGOT_LOST : INGOT_STORED);
    }
    assert_int_equal(fixture_verify(fixture).jobs, 2);
}

static void a_commit_is_checked_against_the_table_of_moves(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition rows[2] = {
        {.row = fixture_row(&id, 0, 1, ACKNOWLEDGED, EXECUTING, 1), .hangs_on = INGOT_ALONE},
        {.row = fixture_row(&id, 0, 2, EXECUTING, SUCCEEDED, 1), .hangs_on = 0},
    };
    struct ingot_commit commit = {.transitions = rows, .transition_count = 2};
    struct ingot_error err = {0};
    rows[1].row.state_after = ACKNOWLEDGED;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &commit, &err), INGOT_INVALID);
    assert_string_equal(err.message,
                        "store: transition 1 is not acceptable: there is no such move");
    rows[1].row.state_after = SUCCEEDED;
    rows[1].row.seq = 65536;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &commit, &err), INGOT_INVALID);
    rows[1].row.seq = 2;
    rows[1].hangs_on = 1;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &commit, &err), INGOT_INVALID);
    struct ingot_commit_job job = {.row = fixture_job(fixture, "mail", "*"), .hangs_on = 2};
    rows[1].hangs_on = 0;
    commit.jobs = &job;
    commit.job_count = 1;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &commit, &err), INGOT_INVALID);
    commit.job_count = 0;
    assert_int_equal(ingot_store_commit(fixture->store, NULL, &commit, &err), INGOT_OK);
    fixture_verify(fixture);
}

/* ---- delete ------------------------------------------------------------- */

static enum ingot_status delete_events(struct fixture *fixture, const ingot_ksuid *ids,
                                       size_t count, enum ingot_delete how, struct ingot_error *err)
{
    return ingot_store_delete(fixture->store, &fixture->toolkit, ids, count, how, "me \"x\"",
                              "tidy up", err);
}

static void row_57_delete_hides_finished_events_at_once(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid ids[2] = {fixture_put_one(fixture, "crm"), fixture_put_one(fixture, "crm")};
    struct ingot_page *page = NULL;
    fixture_walk(fixture, &ids[0], 0, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    fixture->now_us += SECOND_US;
    assert_int_equal(delete_events(fixture, ids, 1, INGOT_DELETE_FINISHED, NULL), INGOT_OK);
    fixture_reopen(fixture);
    assert_int_equal(ingot_store_find(fixture->store, NULL, NULL, &page, NULL), INGOT_OK);
    assert_int_equal(page->event_count, 1);
    assert_memory_equal(&page->events[0].id, &ids[1], 20);
    ingot_page_destroy(page);
    page = read_event(fixture, &ids[0]); /* nothing is gone */
    fixture_assert_now(fixture, page->events[0].retired_us);
    assert_int_equal(page->job_count, 1);
    ingot_page_destroy(page);
    struct ingot_event again = fixture_event(fixture, NULL, 0);
    again.id = ids[0];
    enum ingot_verdict verdict;
    assert_int_equal(insert(fixture, &again, 1, &verdict, NULL), INGOT_OK);
    assert_int_equal(verdict, INGOT_ALREADY);
    fixture_verify(fixture);
}

static void row_57_an_event_with_live_jobs_is_refused(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid ids[3] = {fixture_put_one(fixture, "crm"), fixture_put_one(fixture, "crm"),
                          fixture_put_one(fixture, "crm")};
    struct ingot_error err = {0};
    char message[96];
    fixture_walk(fixture, &ids[0], 0, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    fixture_walk(fixture, &ids[2], 0, (enum ingot_state[]){DISCARDED, NONE});
    assert_int_equal(delete_events(fixture, ids, 3, INGOT_DELETE_FINISHED, &err), INGOT_INVALID);
    assert_validation(&err, "Events[1]", "has 1 live jobs");
    snprintf(message, sizeof message,
             "store/%s: live jobs stand in the way; wait for them, or force it",
             ingot_store_name(fixture->store));
    assert_string_equal(err.message, message);
    for (size_t i = 0; i < 3; i++) {
        struct ingot_page *page = read_event(fixture, &ids[i]);
        assert_true(page->events[0].retired_us == INGOT_NO_TIME);
        ingot_page_destroy(page);
    }
}

static void row_57_force_discards_what_lives_in_the_same_commit(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[5] = {fixture_job(fixture, "a", "*"), fixture_job(fixture, "b", "*"),
                                fixture_job(fixture, "c", "*"), fixture_job(fixture, "d", "*"),
                                fixture_job(fixture, "e", "*")};
    struct ingot_event event = fixture_event(fixture, jobs, 5);
    fixture_put(fixture, &event);
    fixture_walk(fixture, &event.id, 1, (enum ingot_state[]){EXECUTING, NONE});
    fixture_walk(fixture, &event.id, 2, (enum ingot_state[]){EXECUTING, FAILED, NONE});
    fixture_walk(fixture, &event.id, 3, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    fixture_walk(fixture, &event.id, 4, (enum ingot_state[]){AWAITING, NONE});
    ingot_ksuid twice[2] = {event.id, event.id};
    assert_int_equal(delete_events(fixture, twice, 2, INGOT_DELETE_FORCED, NULL), INGOT_OK);
    struct ingot_page *page = read_event(fixture, &event.id);
    fixture_assert_now(fixture, page->events[0].retired_us);
    for (size_t i = 0; i < 5; i++) {
        const struct ingot_transition *latest = &page->events[0].jobs[i].latest;
        assert_int_equal(latest->state_after, i == 3 ? SUCCEEDED : DISCARDED);
        if (i != 3) {
            assert_bytes(latest->error, "{\"message\":\"discarded with its event\",\"actor\":\"me "
                                        "\\\"x\\\"\",\"reason\":\"tidy up\"}");
            assert_true(ingot_ksuid_is_none(&latest->owner));
        }
    }
    ingot_page_destroy(page);
    struct ingot_verification verification = fixture_verify(fixture);
    assert_int_equal(verification.live, 0);
    assert_int_equal(delete_events(fixture, twice, 2, INGOT_DELETE_FORCED, NULL), INGOT_OK);
    assert_int_equal(delete_events(fixture, twice, 1, INGOT_DELETE_FINISHED, NULL), INGOT_OK);
    assert_int_equal(fixture_verify(fixture).transitions, verification.transitions);
}

static void row_57_unknown_events_are_ignored(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid ids[2] = {fixture_id(fixture), fixture_put_one(fixture, "crm")};
    assert_int_equal(delete_events(fixture, ids, 1, INGOT_DELETE_FINISHED, NULL), INGOT_OK);
    assert_int_equal(delete_events(fixture, ids, 2, INGOT_DELETE_FORCED, NULL), INGOT_OK);
    assert_int_equal(delete_events(fixture, NULL, 0, INGOT_DELETE_FORCED, NULL), INGOT_OK);
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    event.id = ids[0]; /* what was not there was not retired */
    fixture_put(fixture, &event);
    struct ingot_page *page = read_event(fixture, &event.id);
    assert_true(page->events[0].retired_us == INGOT_NO_TIME);
    ingot_page_destroy(page);
}

static void row_57_a_delete_names_its_actor_and_reason(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    static const char *const given[][2] = {{NULL, "why"}, {"who", NULL}, {"", "why"}, {"who", ""}};
    for (size_t i = 0; i < COUNT(given); i++)
        assert_int_equal(ingot_store_delete(fixture->store, NULL, &id, 1, INGOT_DELETE_FORCED,
                                            given[i][0], given[i][1], NULL),
                         INGOT_INVALID);
    struct ingot_page *page = read_event(fixture, &id);
    assert_true(page->events[0].retired_us == INGOT_NO_TIME);
    ingot_page_destroy(page);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(row_51_no_queue_and_an_empty_one_are_a_success),
        TEST(rows_19_to_38_an_event_comes_back_as_it_went_in),
        TEST(rows_23_and_26_what_is_absent_stays_absent),
        TEST(row_27_the_store_sets_received_at_if_no_gateway_did),
        TEST(row_28_the_store_sets_ingested_at_whatever_was_given),
        TEST(row_20_the_same_event_again_is_already_there),
        TEST(row_20_the_same_id_with_other_bytes_is_a_conflict),
        TEST(row_51_a_queue_is_stored_whole_or_not_at_all),
        TEST(row_51_one_bad_event_keeps_the_whole_queue_out),
        TEST(row_51_a_validation_names_the_place),
        TEST(rows_23_and_24_payloads_are_i_json),
        TEST(a_payload_of_8_mib_goes_in_and_one_byte_more_does_not),
        TEST(the_deepest_payloads_that_go_in_come_out),
        TEST(ids_are_admitted_from_seven_days_ago_to_a_day_ahead),
        TEST(row_25_at_most_the_wildcard_and_the_specific_job_of_a_destination),
        TEST(row_13_a_job_is_born_acknowledged_or_awaiting),
        TEST(created_at_never_goes_back_when_the_clock_does),
        TEST(row_52_jobs_are_added_behind_those_that_are_there),
        TEST(row_52_the_same_job_is_added_only_once),
        TEST(rows_37_and_52_jobs_need_an_event_that_is_stored),
        TEST(row_38_a_parent_is_a_job_of_the_same_event),
        TEST(row_25_the_rule_of_two_binds_added_jobs_without_a_parent),
        TEST(row_52_a_retired_event_takes_no_jobs),
        TEST(row_52_a_bad_job_is_named),
        TEST(row_53_a_legal_transition_is_stored_and_shows),
        TEST(row_53_whose_number_is_taken_has_lost_and_sees_who_won),
        TEST(row_53_two_rivals_in_one_commit_have_one_winner),
        TEST(row_53_an_illegal_transition_is_refused_with_the_reason),
        TEST(row_53_a_batch_has_a_verdict_for_each),
        TEST(row_53_a_large_commit_has_a_verdict_for_each_row),
        TEST(a_zombies_batch_stores_neither_of_its_rows),
        TEST(what_follows_a_refused_row_of_its_job_is_lost),
        TEST(attempts_are_judged_by_the_whole_chain),
        TEST(row_61_the_greatest_attempt_is_followed_by_none),
        TEST(a_commit_that_must_win_whole_stores_all_or_nothing),
        TEST(row_80_a_follow_up_is_stored_only_if_its_outcome_is),
        TEST(a_commit_is_checked_against_the_table_of_moves),
        TEST(row_57_delete_hides_finished_events_at_once),
        TEST(row_57_an_event_with_live_jobs_is_refused),
        TEST(row_57_force_discards_what_lives_in_the_same_commit),
        TEST(row_57_unknown_events_are_ignored),
        TEST(row_57_a_delete_names_its_actor_and_reason),
    };
#undef TEST
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("writing", tests, NULL, NULL);
}
