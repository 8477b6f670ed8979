/*
 * What comes out of a store: Find, history, counts, routes (SEED sections 5 to
 * 7). usage: test_reading memory|sqlite|postgres
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

#define EVENTS 24
#define LIVES 8

/* The lives that jobs lead in the store of these tests. */
static const enum ingot_state lives[LIVES][6] = {
    {NONE},
    {EXECUTING, NONE},
    {EXECUTING, SUCCEEDED, NONE},
    {EXECUTING, FAILED, NONE},
    {EXECUTING, FAILED, AWAITING, EXECUTING, SUCCEEDED, NONE},
    {DISCARDED, NONE},
    {AWAITING, NONE},
    {EXECUTING, FAILED, AWAITING, EXECUTING, FAILED, NONE},
};

/* Events with 0 to 3 jobs for "crm", "mail" and "log", every eighth one retired. */
static void fill(struct fixture *fixture)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        struct ingot_job jobs[3] = {fixture_job(fixture, "crm", "order.paid"),
                                    fixture_job(fixture, "mail", "*"),
                                    fixture_job(fixture, "crm", "*")};
        struct ingot_event event = fixture_event(fixture, jobs, i % 4);
        fixture_put(fixture, &event);
        for (unsigned j = 0; j < i % 4; j++)
            fixture_walk(fixture, &event.id, j, lives[(i + j) % LIVES]);
        if (i % 5 == 0) {
            struct ingot_job added = fixture_job(fixture, "log", "order.paid");
            added.event_id = event.id;
            assert_int_equal(
                ingot_store_add_jobs(fixture->store, &fixture->toolkit, &added, 1, NULL), INGOT_OK);
            fixture_walk(fixture, &event.id, i % 4, lives[(i / 5) % LIVES]);
        }
        if (i % 8 == 7)
            assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &event.id, 1,
                                                INGOT_DELETE_FORCED, "test", "retired", NULL),
                             INGOT_OK);
    }
}

static struct ingot_page *find(struct fixture *fixture, const struct ingot_where *where)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (ingot_store_find(fixture->store, &fixture->toolkit, where, &page, &err))
        fail_msg("%s", err.message);
    size_t jobs = 0;
    for (size_t i = 0; i < page->event_count; i++) {
        const struct ingot_event *event = &page->events[i];
        jobs += event->job_count;
        assert_true(event->job_count > 0);
        assert_true(event->retired_us == INGOT_NO_TIME);
        if (i)
            assert_true(ingot_ksuid_compare(&page->events[i - 1].id, &event->id) < 0);
        for (size_t j = 1; j < event->job_count; j++)
            assert_true(event->jobs[j - 1].number < event->jobs[j].number);
    }
    assert_int_equal(jobs, page->job_count);
    return page;
}

static int listed(const struct ingot_bytes *list, size_t count, struct ingot_bytes bytes)
{
    int found = count == 0;
    for (size_t i = 0; i < count; i++)
        found |= ingot_bytes_equal(list[i], bytes);
    return found;
}

/* Whether find gives exactly the jobs of the whole store that meet the constraints, in order. */
static void check_find(struct fixture *fixture, const struct ingot_page *all,
                       const struct ingot_where *where)
{
    struct ingot_page *page = find(fixture, where);
    size_t event = 0, job = 0;
    for (size_t i = 0; i < all->event_count; i++)
        for (size_t j = 0; j < all->events[i].job_count; j++) {
            const struct ingot_job *one = &all->events[i].jobs[j];
            unsigned state = INGOT_STATE_BIT(one->latest.state_after);
            if (!listed(where->destinations_in, where->destinations_in_count, one->destination) ||
                !listed(where->events_in, where->events_in_count, one->event) ||
                (where->status_in && !(where->status_in & state)) ||
                (where->status_notin & state) ||
                (where->max_attempts && one->latest.attempt > where->max_attempts))
                continue;
            if (event < page->event_count && job == page->events[event].job_count)
                event++, job = 0;
            assert_true(event < page->event_count);
            const struct ingot_job *found = &page->events[event].jobs[job++];
            assert_memory_equal(&found->id, &one->id, 20);
            assert_memory_equal(&page->events[event].id, &all->events[i].id, 20);
            assert_memory_equal(&found->latest.id, &one->latest.id, 20);
            assert_int_equal(found->latest.state_after, one->latest.state_after);
        }
    if (page->event_count) {
        assert_int_equal(event, page->event_count - 1);
        assert_int_equal(job, page->events[event].job_count);
    }
    ingot_page_destroy(page);
}

static void row_54_an_empty_store_gives_an_empty_list_and_no_error(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_page *page = find(fixture, NULL);
    assert_int_equal(page->event_count, 0);
    assert_int_equal(page->job_count, 0);
    assert_false(page->more);
    ingot_page_destroy(page);
    ingot_page_destroy(NULL);
}

static void rows_68_to_73_every_combination_of_constraints(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_bytes destinations[] = {ingot_bytes_of("crm"), ingot_bytes_of("log"),
                                               ingot_bytes_of("none")};
    const struct ingot_bytes events[] = {ingot_bytes_of("*"), ingot_bytes_of("none"),
                                         ingot_bytes_of("order.paid")};
    static const unsigned statuses[] = {
        0,
        INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED),
        INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
        INGOT_STATE_BIT(INGOT_STATE_ACKNOWLEDGED) | INGOT_STATE_BIT(INGOT_STATE_FAILED),
        INGOT_STATE_BIT(INGOT_STATE_AWAITING) | INGOT_STATE_BIT(INGOT_STATE_EXECUTING) |
            INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
    };
    fill(fixture);
    struct ingot_where where = {.limit = INGOT_NO_LIMIT};
    struct ingot_page *all = find(fixture, &where);
    assert_true(all->job_count > 30);
    for (size_t d = 0; d <= COUNT(destinations); d++)
        for (size_t e = 0; e <= COUNT(events); e++)
            for (size_t in = 0; in < COUNT(statuses); in++)
                for (size_t notin = 0; notin < COUNT(statuses); notin++)
                    for (uint16_t attempts = 0; attempts < 3; attempts++) {
                        where.destinations_in = destinations;
                        where.destinations_in_count = d;
                        where.events_in = events;
                        where.events_in_count = e;
                        where.status_in = statuses[in];
                        where.status_notin = statuses[notin];
                        where.max_attempts = attempts;
                        check_find(fixture, all, &where);
                    }
    ingot_page_destroy(all);
}

static void row_70_events_are_compared_with_the_jobs_event(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    struct ingot_bytes wildcard = ingot_bytes_of("*");
    fixture_put(fixture, &event);
    struct ingot_page *page =
        find(fixture, &(struct ingot_where){.events_in = &wildcard, .events_in_count = 1});
    assert_int_equal(page->job_count, 1);
    assert_memory_equal(&page->events[0].jobs[0].id, &jobs[0].id, 20);
    ingot_page_destroy(page);
}

static void rows_71_and_72_a_status_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    struct ingot_where where = {.status_in = 1u << 7};
    assert_int_equal(ingot_store_find(fixture->store, NULL, &where, &page, &err), INGOT_INVALID);
    assert_validation(&err, "WhereJob/StatusIn", "there is no such status");
    where = (struct ingot_where){.status_notin = INGOT_STATE_BIT(INGOT_STATE_NONE)};
    assert_int_equal(ingot_store_find(fixture->store, NULL, &where, &page, &err), INGOT_INVALID);
    assert_validation(&err, "WhereJob/StatusNotIn", "there is no such status");
    where.status_in = 1u << 31;
    assert_int_equal(ingot_store_find(fixture->store, NULL, &where, &page, &err), INGOT_INVALID);
    assert_int_equal(err.validation_count, 2);
    assert_null(page);
}

static void row_54_walking_with_a_cursor_gives_what_no_limit_gives(void **state)
{
    struct fixture *fixture = *state;
    static const unsigned statuses[] = {0, INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
                                        INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED)};
    struct ingot_job jobs[3] = {fixture_job(fixture, "a", "*"), fixture_job(fixture, "b", "*"),
                                fixture_job(fixture, "c", "*")};
    fill(fixture);
    struct ingot_event event = fixture_event(fixture, jobs, 3);
    fixture_put(fixture, &event);
    for (uint32_t j = 0; j < 3; j++)
        fixture_walk(fixture, &event.id, j, (enum ingot_state[]){DISCARDED, NONE});
    for (size_t s = 0; s < COUNT(statuses); s++) {
        struct ingot_where where = {.limit = INGOT_NO_LIMIT, .status_in = statuses[s]};
        struct ingot_page *all = find(fixture, &where);
        assert_false(all->more);
        for (uint32_t limit = 1; limit <= all->job_count + 1; limit++) {
            size_t at = 0, job = 0, seen = 0;
            struct ingot_page *page = NULL;
            where.limit = limit;
            where.after = (struct ingot_cursor){0};
            do {
                ingot_page_destroy(page);
                page = find(fixture, &where);
                assert_true(page->job_count <= limit);
                for (size_t i = 0; i < page->event_count; i++)
                    for (size_t j = 0; j < page->events[i].job_count; j++, seen++) {
                        if (job == all->events[at].job_count)
                            at++, job = 0;
                        assert_memory_equal(&page->events[i].jobs[j].id,
                                            &all->events[at].jobs[job++].id, 20);
                    }
                where.after = page->next;
            } while (page->more);
            assert_int_equal(seen, all->job_count);
            ingot_page_destroy(page);
        }
        ingot_page_destroy(all);
    }
}

static void row_54_the_default_limit_is_a_hundred_jobs(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 101; i++)
        fixture_put_one(fixture, "crm");
    struct ingot_page *page = find(fixture, NULL);
    assert_int_equal(page->job_count, 100);
    assert_true(page->more);
    ingot_page_destroy(page);
    page = find(fixture, &(struct ingot_where){.limit = 101});
    assert_int_equal(page->job_count, 101);
    ingot_page_destroy(page);
}

/* Stores events of one commit, each with this many jobs. */
static void fill_many(struct fixture *fixture, size_t count, struct ingot_job *jobs,
                      size_t job_count)
{
    struct ingot_event *events = calloc(count, sizeof *events);
    struct ingot_queue queue = {events, count};
    assert_non_null(events);
    for (size_t i = 0; i < count; i++)
        events[i] = fixture_event(fixture, jobs, job_count);
    assert_int_equal(
        ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, NULL, NULL), INGOT_OK);
    free(events);
}

static void row_54_no_limit_goes_beyond_what_one_transaction_gives(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job jobs[3] = {fixture_job(fixture, "a", "*"), fixture_job(fixture, "b", "*"),
                                fixture_job(fixture, "c", "*")};
    fill_many(fixture, 7000, jobs, 3); /* 10,000 jobs end within an event */
    struct ingot_page *page = find(fixture, &(struct ingot_where){.limit = INGOT_NO_LIMIT});
    assert_int_equal(page->job_count, 21000);
    assert_int_equal(page->event_count, 7000);
    assert_false(page->more);
    ingot_page_destroy(page);
    page = find(fixture, &(struct ingot_where){.limit = 20999});
    assert_int_equal(page->job_count, 20999);
    assert_true(page->more);
    ingot_page_destroy(page);
}

static void row_54_a_page_ends_after_50000_rows_examined(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_bytes last = ingot_bytes_of("last");
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    struct ingot_where where = {.destinations_in = &last, .destinations_in_count = 1};
    fill_many(fixture, 25000, NULL, 0);
    fill_many(fixture, 25001, &job, 1);
    ingot_ksuid id = fixture_put_one(fixture, "last");
    struct ingot_page *page = find(fixture, &where);
    assert_int_equal(page->event_count, 0);
    assert_true(page->more);
    where.after = page->next;
    ingot_page_destroy(page);
    page = find(fixture, &where);
    assert_int_equal(page->event_count, 1);
    assert_memory_equal(&page->events[0].id, &id, 20);
    assert_false(page->more);
    ingot_page_destroy(page);
}

static void row_54_routing_leaves_payloads_and_errors_out(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    job.context = job.data = ingot_bytes_of("{}");
    fixture_put(fixture, &event);
    struct ingot_transition row = fixture_row(&event.id, 0, 1, ACKNOWLEDGED, DISCARDED, 0);
    row.error = ingot_bytes_of("{\"message\":\"x\"}");
    assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
    struct ingot_job added = fixture_job(fixture, "mail", "*");
    added.context = added.data = ingot_bytes_of("[]");
    added.event_id = event.id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, &fixture->toolkit, &added, 1, NULL),
                     INGOT_OK);
    for (int routing = 0; routing < 2; routing++) {
        struct ingot_page *page =
            find(fixture, &(struct ingot_where){.detail = routing ? INGOT_DETAIL_ROUTING
                                                                  : INGOT_DETAIL_ALL});
        const struct ingot_event *read = &page->events[0];
        assert_int_equal(page->job_count, 2);
        assert_int_equal(read->data.data == NULL, routing);
        assert_int_equal(read->context.data == NULL, routing);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(read->jobs[i].data.data == NULL, routing);
            assert_int_equal(read->jobs[i].context.data == NULL, routing);
            assert_non_null(read->jobs[i].destination.data);
        }
        assert_int_equal(read->jobs[0].latest.error.data == NULL, routing);
        assert_int_equal(read->jobs[0].latest.state_after, DISCARDED);
        assert_true(ingot_bytes_equal(read->name, event.name));
        ingot_page_destroy(page);
    }
}

static void what_is_sent_out_has_payloads_and_births_and_added_jobs_in_order(void **state)
{
    struct fixture *fixture = *state;
    static const enum ingot_state runs[] = {EXECUTING, FAILED, NONE};
    ingot_ksuid before = fixture_put_one(fixture, "crm");
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "*")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    event.context = ingot_bytes_of("{ \"a\" : \"\xc3\xa4\" }");
    event.data = ingot_bytes_of("null");
    event.received_us = fixture->now_us + 7;
    jobs[1].data = ingot_bytes_of("[ 1 ]");
    jobs[1].due_us = fixture->now_us + DAY_US;
    fixture_put(fixture, &event);
    ingot_ksuid behind = fixture_put_one(fixture, "crm");
    fixture_walk(fixture, &event.id, 0, runs);
    const ingot_ksuid ids[] = {behind, event.id, fixture_id(fixture), before, event.id};
    struct ingot_job added[2] = {fixture_job(fixture, "log", "order.paid"),
                                 fixture_job(fixture, "crm", "*")};
    for (size_t more = 0; more <= 2; more++) { /* without added jobs, with one, with two */
        struct ingot_page *page = NULL;
        if (more) {
            struct ingot_job *job = &added[more - 1];
            job->event_id = event.id;
            job->context = ingot_bytes_of(more == 2 ? "{\"own\":2}" : NULL);
            job->parent_job_id = more == 2 ? jobs[0].id : job->parent_job_id;
            assert_int_equal(ingot_store_add_jobs(fixture->store, &fixture->toolkit, job, 1, NULL),
                             INGOT_OK);
            fixture_walk(fixture, &event.id, (uint32_t)more + 1, runs);
        }
        assert_int_equal(ingot_store_events(fixture->store, NULL, ids, COUNT(ids),
                                            INGOT_DETAIL_DELIVERY, &page, NULL),
                         INGOT_OK);
        assert_int_equal(page->event_count, 3);
        assert_int_equal(page->job_count, 4 + more);
        assert_int_equal(ingot_ksuid_compare(&page->events[0].id, &before), 0);
        assert_int_equal(ingot_ksuid_compare(&page->events[2].id, &behind), 0);
        const struct ingot_event *read = &page->events[1];
        assert_true(ingot_bytes_equal(read->context, event.context));
        assert_true(ingot_bytes_equal(read->data, event.data));
        assert_true(ingot_bytes_equal(read->source, event.source));
        assert_true(ingot_bytes_equal(read->name, event.name));
        assert_true(read->received_us == event.received_us);
        assert_int_equal(read->job_count, 2 + more);
        for (size_t i = 0; i < read->job_count; i++) {
            const struct ingot_job *job = &read->jobs[i];
            const struct ingot_job *given = i < 2 ? &jobs[i] : &added[i - 2];
            assert_int_equal(job->number, i);
            assert_int_equal(ingot_ksuid_compare(&job->id, &given->id), 0);
            assert_int_equal(ingot_ksuid_compare(&job->event_id, &event.id), 0);
            assert_int_equal(ingot_ksuid_compare(&job->parent_job_id, &given->parent_job_id), 0);
            assert_true(ingot_bytes_equal(job->destination, given->destination));
            assert_true(ingot_bytes_equal(job->event, given->event));
            assert_true(ingot_bytes_equal(job->context, given->context));
            assert_true(ingot_bytes_equal(job->data, given->data));
            assert_true(job->due_us == given->due_us);
            assert_int_equal(job->latest.seq, 0);
            assert_int_equal(job->latest.state_before, NONE);
            assert_int_equal(job->latest.state_after, i == 1 ? AWAITING : ACKNOWLEDGED);
        }
        ingot_page_destroy(page);
    }
}

static void what_is_sent_out_of_a_retired_event_is_still_there(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_page *page = NULL;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &id, 1,
                                        INGOT_DELETE_FORCED, "test", "retired", NULL),
                     INGOT_OK);
    assert_int_equal(
        ingot_store_events(fixture->store, NULL, &id, 1, INGOT_DETAIL_DELIVERY, &page, NULL),
        INGOT_OK);
    assert_int_equal(page->job_count, 1);
    assert_int_equal(page->events[0].jobs[0].latest.state_after, ACKNOWLEDGED);
    ingot_page_destroy(page);
}

static void expect_same_job(const struct ingot_job *a, const struct ingot_job *b)
{
    assert_int_equal(ingot_ksuid_compare(&a->id, &b->id), 0);
    assert_int_equal(a->number, b->number);
    assert_true(ingot_bytes_equal(a->destination, b->destination));
    assert_true(ingot_bytes_equal(a->event, b->event));
    assert_true(ingot_bytes_equal(a->context, b->context));
    assert_true(ingot_bytes_equal(a->data, b->data));
    assert_true(a->due_us == b->due_us && a->created_us == b->created_us);
    assert_int_equal(a->latest.seq, b->latest.seq);
    assert_int_equal(a->latest.attempt, b->latest.attempt);
    assert_int_equal(a->latest.state_before, b->latest.state_before);
    assert_int_equal(a->latest.state_after, b->latest.state_after);
    assert_true(ingot_bytes_equal(a->latest.error, b->latest.error));
    assert_int_equal(ingot_ksuid_compare(&a->latest.owner, &b->latest.owner), 0);
}

static void expect_same_event(const struct ingot_event *a, const struct ingot_event *b)
{
    assert_int_equal(ingot_ksuid_compare(&a->id, &b->id), 0);
    assert_true(ingot_bytes_equal(a->source, b->source));
    assert_true(ingot_bytes_equal(a->name, b->name));
    assert_true(ingot_bytes_equal(a->context, b->context));
    assert_true(ingot_bytes_equal(a->data, b->data));
    assert_true(a->sent_us == b->sent_us && a->received_us == b->received_us);
    assert_true(a->ingested_us == b->ingested_us && a->retired_us == b->retired_us);
    assert_int_equal(a->job_count, b->job_count);
    for (size_t i = 0; i < a->job_count; i++)
        expect_same_job(&a->jobs[i], &b->jobs[i]);
}

static int by_id(const void *a, const void *b)
{
    return ingot_ksuid_compare(a, b);
}

#define FRESH 30

/* Events with three jobs, of which one or none was claimed: few transitions for so many events. */
static void fill_fresh(struct fixture *fixture)
{
    for (unsigned i = 0; i < FRESH; i++) {
        struct ingot_job jobs[3] = {fixture_job(fixture, "crm", "*"),
                                    fixture_job(fixture, "mail", "*"),
                                    fixture_job(fixture, "log", "*")};
        struct ingot_event event = fixture_event(fixture, jobs, 3);
        fixture_put(fixture, &event);
        if (i % 4 < 3)
            fixture_walk(fixture, &event.id, i % 4, lives[1]);
    }
}

/* So many that a store may read them in another way (99 and 100 are on its two sides). */
static void many_events_at_once_are_those_that_come_one_by_one(void **state)
{
    static const size_t counts[] = {99, 100, 240, 10 * (EVENTS + FRESH)};
    static const enum ingot_detail details[] = {INGOT_DETAIL_ALL, INGOT_DETAIL_ROUTING,
                                                INGOT_DETAIL_DELIVERY};
    struct fixture *fixture = *state;
    ingot_ksuid ids[10 * (EVENTS + FRESH)];
    for (size_t i = 0; i < 10; i++) {
        fill(fixture);
        fill_fresh(fixture);
    }
    struct ingot_page *all = find(
        fixture, &(struct ingot_where){.limit = INGOT_NO_LIMIT, .detail = INGOT_DETAIL_ROUTING});
    assert_in_range(all->event_count, 430, COUNT(ids)); /* but for those without jobs, or retired */
    size_t known = all->event_count;
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = i < known ? all->events[i].id : fixture_id(fixture);
    ingot_page_destroy(all);
    qsort(ids, known, sizeof *ids, by_id);
    for (size_t i = 0; i < COUNT(counts) * COUNT(details); i++) {
        const enum ingot_detail detail = details[i % COUNT(details)];
        struct ingot_page *many = NULL;
        size_t count = counts[i / COUNT(details)];
        assert_int_equal(ingot_store_events(fixture->store, NULL, ids, count, detail, &many, NULL),
                         INGOT_OK);
        assert_int_equal(many->event_count, count < known ? count : known);
        for (size_t j = 0; j < many->event_count; j++) {
            struct ingot_page *one = NULL;
            assert_int_equal(
                ingot_store_events(fixture->store, NULL, &ids[j], 1, detail, &one, NULL), INGOT_OK);
            expect_same_event(&many->events[j], &one->events[0]);
            ingot_page_destroy(one);
        }
        ingot_page_destroy(many);
    }
}

#define APART 900u

/* How many transitions the job of an event has; from the middle on some are long. */
static uint32_t chain_of(size_t event)
{
    return event > APART / 2 && event % 11 == 0 ? 60 : (uint32_t)(event % 4);
}

/* Reads each stride-th of some of the events, and expects of each the end of its chain. */
static void expect_newest(const struct fixture *fixture, const ingot_ksuid *ids, size_t from,
                          size_t to, size_t stride)
{
    ingot_ksuid wanted[APART] = {0};
    struct ingot_page *page = NULL;
    size_t asked = 0;
    for (size_t i = from; i < to; i += stride)
        wanted[asked++] = ids[i];
    assert_int_equal(
        ingot_store_events(fixture->store, NULL, wanted, asked, INGOT_DETAIL_ROUTING, &page, NULL),
        INGOT_OK);
    assert_int_equal(page->event_count, asked);
    for (size_t at = 0; at < asked; at++) {
        assert_memory_equal(&page->events[at].id, &wanted[at], 20);
        assert_int_equal(page->events[at].jobs[0].latest.seq, chain_of(from + at * stride));
    }
    ingot_page_destroy(page);
}

static void
the_newest_is_read_however_far_apart_events_are_and_however_long_their_chains(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_commit_transition *rows = calloc(APART * 60, sizeof *rows);
    ingot_ksuid ids[APART];
    size_t count = 0;
    assert_non_null(rows);
    for (size_t i = 0; i < APART; i++) {
        ids[i] = fixture_put_one(fixture, "crm");
        for (uint32_t seq = 1; seq <= chain_of(i); seq++, count++) {
            rows[count].row =
                fixture_row(&ids[i], 0, seq, seq > 1 ? EXECUTING : ACKNOWLEDGED, EXECUTING, 1);
            rows[count].hangs_on = seq > 1 ? count - 1 : INGOT_ALONE;
        }
    }
    struct ingot_commit commit = {.transitions = rows, .transition_count = count};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    free(rows);
    for (size_t stride = 1; stride < 12; stride++) { /* a hundred are asked for up to the eighth */
        expect_newest(fixture, ids, stride / 2, APART, stride);
        expect_newest(fixture, ids, 1, APART / 2, stride);
        expect_newest(fixture, ids, APART / 2, APART, stride);
    }
}

static int stop_at_once(void *context, uint64_t done, uint64_t total)
{
    (void)context, (void)done, (void)total;
    return 1;
}

static void row_58_a_long_read_can_be_stopped(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_toolkit toolkit = {.progress = stop_at_once};
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_find(fixture->store, &toolkit, NULL, &page, &err), INGOT_CLOSED);
    assert_null(page);
    page = find(fixture, NULL);
    assert_int_equal(page->job_count, 1);
    ingot_page_destroy(page);
}

static void an_unknown_event_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_id(fixture);
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_event(fixture->store, NULL, &id, &page, NULL), INGOT_NOT_FOUND);
    assert_int_equal(ingot_store_history(fixture->store, NULL, &id, 0, &page, NULL),
                     INGOT_NOT_FOUND);
    id = fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_history(fixture->store, NULL, &id, 1, &page, NULL),
                     INGOT_NOT_FOUND);
    assert_null(page);
}

static void rows_5_and_62_the_history_of_a_job_begins_with_its_birth(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm"), ids[6];
    const enum ingot_state life[] = {EXECUTING, FAILED, AWAITING, EXECUTING, SUCCEEDED, NONE};
    fixture_walk(fixture, &id, 0, life);
    for (int turn = 0; turn < 2; turn++) {
        struct ingot_page *page = NULL;
        assert_int_equal(ingot_store_history(fixture->store, NULL, &id, 0, &page, NULL), INGOT_OK);
        assert_int_equal(page->transition_count, 6);
        for (uint32_t i = 0; i < 6; i++) {
            const struct ingot_transition *row = &page->transitions[i];
            char text[28];
            ingot_ksuid parsed;
            assert_int_equal(row->seq, i);
            assert_int_equal(row->state_before, i < 2 ? (i ? ACKNOWLEDGED : NONE) : life[i - 2]);
            assert_int_equal(row->state_after, i ? life[i - 1] : ACKNOWLEDGED);
            assert_memory_equal(&row->job_id, &page->events[0].jobs[0].id, 20);
            assert_memory_equal(&row->event_id, &id, 20);
            ingot_ksuid_format(&row->id, text);
            assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &parsed, NULL), INGOT_OK);
            fixture_assert_now(fixture, row->created_us);
            assert_true(ingot_ksuid_time_us(&parsed) == row->created_us / SECOND_US * SECOND_US);
            if (turn)
                assert_memory_equal(&row->id, &ids[i], 20);
            for (uint32_t j = 0; j < i; j++)
                assert_memory_not_equal(&row->id, &page->transitions[j].id, 20);
            ids[i] = row->id;
        }
        ingot_page_destroy(page);
        fixture_reopen(fixture);
    }
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_event(fixture->store, NULL, &id, &page, NULL), INGOT_OK);
    assert_memory_equal(&page->events[0].jobs[0].latest.id, &ids[5], 20);
    ingot_page_destroy(page);
}

static void a_history_of_a_thousand_rows_is_whole(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition *rows = calloc(1000, sizeof *rows);
    struct ingot_commit commit = {.transitions = rows, .transition_count = 1000};
    assert_non_null(rows);
    for (uint32_t i = 0; i < 1000; i++) {
        rows[i].row = fixture_row(&id, 0, i + 1, i ? EXECUTING : ACKNOWLEDGED, EXECUTING, 1);
        rows[i].hangs_on = i ? i - 1 : INGOT_ALONE;
    }
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    free(rows);
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_history(fixture->store, NULL, &id, 0, &page, NULL), INGOT_OK);
    assert_int_equal(page->transition_count, 1001);
    assert_int_equal(page->transitions[1000].seq, 1000);
    ingot_page_destroy(page);
    fixture_verify(fixture);
}

static void counts_are_those_of_the_jobs_that_find_finds(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_counts *counts = NULL;
    fill(fixture);
    assert_int_equal(ingot_store_counts(fixture->store, NULL, &counts, NULL), INGOT_OK);
    assert_int_equal(counts->events, EVENTS - EVENTS / 8);
    assert_int_equal(counts->transitions, fixture_verify(fixture).transitions);
    assert_int_equal(counts->destination_count, 3);
    static const char *const names[] = {"crm", "log", "mail"};
    for (size_t i = 0; i < 3; i++) {
        struct ingot_bytes name = ingot_bytes_of(names[i]);
        assert_true(ingot_bytes_equal(counts->destinations[i].destination, name));
        for (int s = ACKNOWLEDGED; s <= DISCARDED; s++) {
            struct ingot_page *page =
                find(fixture, &(struct ingot_where){.destinations_in = &name,
                                                    .destinations_in_count = 1,
                                                    .status_in = INGOT_STATE_BIT((unsigned)s),
                                                    .limit = INGOT_NO_LIMIT});
            assert_int_equal(counts->destinations[i].jobs[s], page->job_count);
            ingot_page_destroy(page);
        }
    }
    ingot_counts_destroy(counts);
    ingot_counts_destroy(NULL);
}

static void counts_of_an_empty_store_are_zero(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_counts *counts = NULL;
    assert_int_equal(ingot_store_counts(fixture->store, NULL, &counts, NULL), INGOT_OK);
    assert_int_equal(counts->events, 0);
    assert_int_equal(counts->destination_count, 0);
    ingot_counts_destroy(counts);
}

static void the_newest_routes_are_read_back(void **state)
{
    struct fixture *fixture = *state;
    char text[64] = "untouched";
    struct ingot_error err = {0};
    assert_int_equal(ingot_store_routes(fixture->store, NULL, text, sizeof text, &err),
                     INGOT_NOT_FOUND);
    assert_string_equal(text, "untouched");
    static const char *const versions[] = {"{\"a\":1}", "{\"a\":2}", "{\"a\":2}", "{\"a\":1}"};
    for (size_t i = 0; i < COUNT(versions); i++) {
        assert_int_equal(
            ingot_store_publish_routes(fixture->store, NULL, ingot_bytes_of(versions[i]), NULL),
            INGOT_OK);
        fixture_reopen(fixture);
        assert_int_equal(ingot_store_routes(fixture->store, NULL, text, sizeof text, NULL),
                         INGOT_OK);
        assert_string_equal(text, versions[i]);
    }
    assert_int_equal(ingot_store_routes(fixture->store, NULL, text, 8, NULL), INGOT_OK);
    assert_int_equal(ingot_store_routes(fixture->store, NULL, text, 7, &err), INGOT_LIMIT);
    if (fixture_is_durable())
        assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM routes"), "3");
}

static void routes_that_are_not_json_or_too_long_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_error err = {0};
    char *text = malloc(INGOT_ROUTES_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '1', INGOT_ROUTES_BYTES_MAX + 1);
    text[0] = text[INGOT_ROUTES_BYTES_MAX] = '"';
    assert_int_equal(
        ingot_store_publish_routes(fixture->store, NULL,
                                   (struct ingot_bytes){text, INGOT_ROUTES_BYTES_MAX + 1}, &err),
        INGOT_LIMIT);
    free(text);
    assert_int_equal(ingot_store_publish_routes(fixture->store, NULL, ingot_bytes_of("{"), &err),
                     INGOT_INVALID);
    assert_int_equal(
        ingot_store_publish_routes(fixture->store, NULL, (struct ingot_bytes){NULL, 0}, &err),
        INGOT_INVALID);
    assert_int_equal(ingot_store_routes(fixture->store, NULL, NULL, 0, &err), INGOT_NOT_FOUND);
}

static void what_a_read_returns_outlives_the_store(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    struct ingot_page *page = find(fixture, NULL);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_true(ingot_bytes_equal(page->events[0].source, ingot_bytes_of("shop")));
    assert_true(ingot_bytes_equal(page->events[0].jobs[0].destination, ingot_bytes_of("crm")));
    ingot_page_destroy(page);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(row_54_an_empty_store_gives_an_empty_list_and_no_error),
        TEST(rows_68_to_73_every_combination_of_constraints),
        TEST(row_70_events_are_compared_with_the_jobs_event),
        TEST(rows_71_and_72_a_status_that_is_none_is_refused),
        TEST(row_54_walking_with_a_cursor_gives_what_no_limit_gives),
        TEST(row_54_the_default_limit_is_a_hundred_jobs),
        TEST(row_54_no_limit_goes_beyond_what_one_transaction_gives),
        TEST(row_54_a_page_ends_after_50000_rows_examined),
        TEST(row_54_routing_leaves_payloads_and_errors_out),
        TEST(what_is_sent_out_has_payloads_and_births_and_added_jobs_in_order),
        TEST(what_is_sent_out_of_a_retired_event_is_still_there),
        TEST(many_events_at_once_are_those_that_come_one_by_one),
        TEST(the_newest_is_read_however_far_apart_events_are_and_however_long_their_chains),
        TEST(row_58_a_long_read_can_be_stopped),
        TEST(an_unknown_event_is_not_found),
        TEST(rows_5_and_62_the_history_of_a_job_begins_with_its_birth),
        TEST(a_history_of_a_thousand_rows_is_whole),
        TEST(counts_are_those_of_the_jobs_that_find_finds),
        TEST(counts_of_an_empty_store_are_zero),
        TEST(the_newest_routes_are_read_back),
        TEST(routes_that_are_not_json_or_too_long_are_refused),
        TEST(what_a_read_returns_outlives_the_store),
    };
#undef TEST
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
