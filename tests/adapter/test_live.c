/*
 * Live jobs by checkpoints and by what was followed since, for those who begin
 * to work a lane and for find (PROTOCOL 4). usage: test_live memory|sqlite|postgres
 */
#include "fixture.h"

#include "core/arena.h"
#include "core/lanes.h"
#include "core/limits.h"
#include "core/state.h"
#include "store/checkpoint.h"
#include "store/live.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED
#define DISCARDED INGOT_STATE_DISCARDED
#define NONE INGOT_STATE_NONE
#define BIT(state) INGOT_STATE_BIT(state)
#define TERMINAL (BIT(SUCCEEDED) | BIT(DISCARDED))

#define JOBS_MAX 2000

static const char *const destinations[] = {"crm", "mail", "log", "shop", "a", "b"};

static const enum ingot_state done[] = {EXECUTING, SUCCEEDED, NONE};
static const enum ingot_state runs[] = {EXECUTING, NONE};

/* ---- the adapter, watched ----------------------------------------------- */

static const struct ingot_adapter *inner;
static struct ingot_adapter watched;

/* The work that the adapter was given. */
static struct {
    unsigned finds, follows, lists, lookups;
    size_t routing, whole; /* events looked up, without and with payloads */
} work;

/* What somebody else does, once: before payloads are read, or before that call of follow. */
static struct ingot_commit *meanwhile;
static unsigned meanwhile_follow;

static uint64_t restarts; /* of the server, as far as follow tells */

static void do_meanwhile(void *handle, const struct ingot_toolkit *toolkit)
{
    struct ingot_commit *commit = meanwhile;
    meanwhile = NULL;
    assert_int_equal(inner->commit(handle, toolkit, commit, NULL), INGOT_OK);
}

static char logged[4096];

static enum ingot_status watch_find(void *handle, const struct ingot_toolkit *toolkit,
                                    const struct ingot_where *where, struct ingot_page *page,
                                    struct ingot_error *err)
{
    work.finds++;
    return inner->find(handle, toolkit, where, page, err);
}

static enum ingot_status watch_events(void *handle, const struct ingot_toolkit *toolkit,
                                      const ingot_ksuid *event_ids, size_t event_count,
                                      enum ingot_detail detail, struct ingot_page *page,
                                      struct ingot_error *err)
{
    if (detail == INGOT_DETAIL_ALL && meanwhile && !meanwhile_follow)
        do_meanwhile(handle, toolkit);
    work.lookups++;
    *(detail == INGOT_DETAIL_ALL ? &work.whole : &work.routing) += event_count;
    return inner->events(handle, toolkit, event_ids, event_count, detail, page, err);
}

static enum ingot_status watch_follow(void *handle, const struct ingot_toolkit *toolkit,
                                      const struct ingot_following *from,
                                      int (*sighted)(void *, const struct ingot_sighting *),
                                      void *context, struct ingot_page *page,
                                      struct ingot_followed *ret_followed, struct ingot_error *err)
{
    if (++work.follows == meanwhile_follow && meanwhile)
        do_meanwhile(handle, toolkit);
    enum ingot_status status =
        inner->follow(handle, toolkit, from, sighted, context, page, ret_followed, err);
    if (!status)
        ret_followed->life += restarts;
    return status;
}

static enum ingot_status watch_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                           const struct ingot_lanes *lanes, int64_t before_us,
                                           struct ingot_page *page,
                                           struct ingot_checkpoint **ret_checkpoints,
                                           size_t *ret_count, struct ingot_error *err)
{
    work.lists++;
    return inner->checkpoints(handle, toolkit, lanes, before_us, page, ret_checkpoints, ret_count,
                              err);
}

static void keep_log(void *context, enum ingot_level level, const char *message)
{
    (void)context;
    size_t len = strlen(logged);
    if (level >= INGOT_WARN)
        snprintf(logged + len, sizeof logged - len, "%s\n", message);
}

static void watch_nothing_yet(void)
{
    memset(&work, 0, sizeof work);
    logged[0] = '\0';
}

static int set_up(void **state)
{
    if (fixture_set_up(state))
        return -1;
    struct fixture *fixture = *state;
    inner = fixture->store->adapter;
    watched = *inner;
    watched.find = watch_find;
    watched.events = watch_events;
    watched.follow = watch_follow;
    watched.checkpoints = watch_checkpoints;
    meanwhile_follow = 0;
    fixture->store->adapter = &watched;
    fixture->toolkit.log = keep_log;
    watch_nothing_yet();
    return 0;
}

/* ---- what a store holds ------------------------------------------------- */

static uint32_t lane_of(const char *destination)
{
    return ingot_lane_of(ingot_bytes_of(destination));
}

static struct ingot_lanes lanes_with(const char *destination)
{
    struct ingot_lanes lanes = {{0}};
    igt_lanes_add(&lanes, lane_of(destination));
    return lanes;
}

/* All jobs, or those of a state, as the adapter finds them. */
static struct ingot_page *all_jobs(struct fixture *fixture, unsigned status_notin)
{
    struct ingot_where where = {.status_notin = status_notin,
                                .limit = IGT_FIND_PAGE_JOBS_MAX,
                                .detail = INGOT_DETAIL_ROUTING};
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    unsigned finds = work.finds;
    if (igt_find_page(fixture->store, &fixture->toolkit, &where, &page, &err))
        fail_msg("%s", err.message);
    assert_false(page->more);
    work.finds = finds;
    return page;
}

struct seen {
    ingot_ksuid event_id;
    uint32_t job, seq;
    enum ingot_state state;
};

struct seen_jobs {
    struct seen jobs[JOBS_MAX];
    size_t count;
};

static struct ingot_cold_read cold; /* the last one */

/* Somebody who is shown live jobs one by one. */
struct viewer {
    int (*show)(void *context, const struct ingot_job *job);
    void *context;
};

static int show_each(void *context, struct ingot_page **page, enum ingot_detail detail)
{
    const struct viewer *viewer = context;
    size_t shown = 0;
    assert_int_equal(detail, INGOT_DETAIL_ROUTING);
    for (size_t i = 0; i < (*page)->event_count; i++)
        for (size_t j = 0; j < (*page)->events[i].job_count; j++, shown++)
            if (viewer->show(viewer->context, &(*page)->events[i].jobs[j]))
                return 1;
    assert_true(shown > 0);
    assert_int_equal(shown, (*page)->job_count);
    return 0;
}

static enum ingot_status show_live(struct fixture *fixture, const struct ingot_toolkit *toolkit,
                                   const struct ingot_lanes *lanes,
                                   int (*show)(void *context, const struct ingot_job *job),
                                   void *context, struct ingot_error *err)
{
    struct viewer viewer = {show, context};
    return ingot_store_live(fixture->store, toolkit, lanes, 0, show_each, &viewer, &cold, err);
}

static int see(void *context, const struct ingot_job *job)
{
    struct seen_jobs *seen = context;
    assert_true(seen->count < JOBS_MAX);
    assert_null(job->context.data);
    assert_int_equal(job->number, job->latest.job);
    seen->jobs[seen->count++] =
        (struct seen){job->event_id, job->number, job->latest.seq, job->latest.state_after};
    return 0;
}

static int compare_seen(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    int order = ingot_ksuid_compare(&a->event_id, &b->event_id);
    return order ? order : (a->job > b->job) - (a->job < b->job);
}

/* Expects the live jobs of some lanes, each once; returns how many there are. */
static size_t check_live(struct fixture *fixture, const struct ingot_lanes *lanes)
{
    static struct seen_jobs expected, seen;
    struct ingot_error err = {0};
    struct ingot_page *page = all_jobs(fixture, TERMINAL);
    expected.count = seen.count = 0;
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            if (igt_lanes_has(lanes, ingot_lane_of(page->events[i].jobs[j].destination)))
                see(&expected, &page->events[i].jobs[j]);
    ingot_page_destroy(page);
    if (show_live(fixture, &fixture->toolkit, lanes, see, &seen, &err))
        fail_msg("%s", err.message);
    qsort(seen.jobs, seen.count, sizeof *seen.jobs, compare_seen);
    assert_int_equal(seen.count, expected.count);
    for (size_t i = 0; i < seen.count; i++) {
        assert_int_equal(compare_seen(&seen.jobs[i], &expected.jobs[i]), 0);
        assert_int_equal(seen.jobs[i].seq, expected.jobs[i].seq);
        assert_int_equal(seen.jobs[i].state, expected.jobs[i].state);
    }
    return seen.count;
}

static size_t check_all_live(struct fixture *fixture)
{
    const struct ingot_lanes all = igt_lanes_all();
    return check_live(fixture, &all);
}

/* ---- checkpoints -------------------------------------------------------- */

enum manner {
    WELL,
    DAMAGED,  /* a bit of the body is wrong */
    GENEROUS, /* lists finished jobs as well */
    FORGETFUL /* lists none */
};

static struct ingot_page *cursor_of_now(struct ingot_store *store, struct ingot_bytes *ret_cursor)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed;
    struct ingot_error err = {0};
    if (ingot_store_follow(store, NULL, &(struct ingot_following){.known_count = 0}, NULL, NULL,
                           &page, &followed, &err))
        fail_msg("%s", err.message);
    *ret_cursor = followed.cursor;
    return page;
}

/* Writes checkpoints of the lanes with a cursor. */
static void write_checkpoints(struct fixture *fixture, const struct ingot_lanes *lanes,
                              enum manner manner, struct ingot_bytes cursor)
{
    static ingot_ksuid ids[JOBS_MAX];
    struct ingot_checkpoint checkpoints[INGOT_LANES];
    struct igt_buffer bodies[INGOT_LANES] = {{0}};
    struct ingot_page *page = all_jobs(fixture, manner == GENEROUS ? 0 : TERMINAL);
    struct ingot_error err = {0};
    size_t count = 0;
    fixture->now_us += SECOND_US;
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        size_t id_count = 0;
        if (!igt_lanes_has(lanes, lane))
            continue;
        for (size_t i = 0; i < page->event_count && manner != FORGETFUL; i++)
            for (size_t j = 0; j < page->events[i].job_count; j++)
                if (ingot_lane_of(page->events[i].jobs[j].destination) == lane)
                    ids[id_count++] = page->events[i].id;
        igt_checkpoint_encode(ids, id_count, &bodies[count]);
        if (manner == DAMAGED)
            bodies[count].data[20] ^= 4;
        checkpoints[count] = (struct ingot_checkpoint){
            .lane = lane, .cursor = cursor, .body = {bodies[count].data, bodies[count].len}};
        count++;
    }
    if (ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, checkpoints, count, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++)
        igt_buffer_fini(&bodies[i]);
    ingot_page_destroy(page);
}

static void take_checkpoints(struct fixture *fixture, const struct ingot_lanes *lanes,
                             enum manner manner)
{
    struct ingot_bytes cursor;
    struct ingot_page *page = cursor_of_now(fixture->store, &cursor);
    write_checkpoints(fixture, lanes, manner, cursor);
    ingot_page_destroy(page);
}

static void take_all_checkpoints(struct fixture *fixture, enum manner manner)
{
    const struct ingot_lanes all = igt_lanes_all();
    take_checkpoints(fixture, &all, manner);
}

/* Checkpoints of all lanes whose cursors belong to another life of the store. */
static void take_void_checkpoints(struct fixture *fixture)
{
    const struct ingot_lanes all = igt_lanes_all();
    struct ingot_store *store = NULL;
    struct ingot_options options;
    struct ingot_bytes cursor;
    char url[80];
    if (inner->accept_restore) { /* the owner may, on postgres: not the fixture's writer */
        take_all_checkpoints(fixture, WELL);
        snprintf(url, sizeof url, "postgres:///%s", fixture->database);
        if (fixture->database[0]) {
            assert_int_equal(ingot_options_from_url(url, &options, NULL), INGOT_OK);
            assert_int_equal(ingot_store_open(&options, NULL, &store, NULL), INGOT_OK);
        }
        assert_int_equal(ingot_store_accept_restore(store ? store : fixture->store, NULL, NULL),
                         INGOT_OK);
        ingot_store_close(store);
        return;
    }
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &store, NULL), INGOT_OK);
    struct ingot_page *page = cursor_of_now(store, &cursor);
    write_checkpoints(fixture, &all, WELL, cursor);
    ingot_page_destroy(page);
    ingot_store_close(store);
}

/* ---- who begins to work lanes ------------------------------------------- */

static void discard_with_notice(struct fixture *fixture, const ingot_ksuid *event_id)
{
    struct ingot_commit_transition row = {
        .row = fixture_row(event_id, 0, 1, ACKNOWLEDGED, DISCARDED, 0),
        .hangs_on = INGOT_ALONE,
        .notice = INGOT_NOTICE_SENT};
    struct ingot_commit commit = {.transitions = &row, .transition_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    assert_int_equal(row.verdict, INGOT_STORED);
}

static void add_job(struct fixture *fixture, const ingot_ksuid *event_id, const char *destination)
{
    struct ingot_job job = fixture_job(fixture, destination, "*");
    struct ingot_error err = {0};
    job.event_id = *event_id;
    if (ingot_store_add_jobs(fixture->store, &fixture->toolkit, &job, 1, &err))
        fail_msg("%s", err.message);
}

static void without_checkpoints_the_live_jobs_of_the_whole_store_are_shown(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(check_all_live(fixture), 0);
    for (size_t i = 0; i < 12; i++) {
        ingot_ksuid id = fixture_put_one(fixture, destinations[i % 6]);
        if (i % 3 == 0)
            fixture_walk(fixture, &id, 0, done);
        else if (i % 3 == 1)
            fixture_walk(fixture, &id, 0, runs);
    }
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 8);
    assert_int_equal(work.finds, 1);
    assert_string_equal(logged, "");
}

static int count_job(void *context, const struct ingot_job *job)
{
    size_t *count = context;
    (*count)++;
    return job->latest.state_after == ACKNOWLEDGED ? 0 : 1;
}

static void a_store_of_several_pages_is_read_to_its_end(void **state)
{
    struct fixture *fixture = *state;
    enum { JOBS = IGT_FIND_PAGE_JOBS_MAX + 5 };
    const struct ingot_lanes crm = lanes_with("crm");
    struct ingot_job *jobs = calloc(JOBS, sizeof *jobs);
    size_t count = 0;
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = fixture_job(fixture, i == 3 ? "mail" : "crm", "order.paid");
    struct ingot_event event = fixture_event(fixture, jobs, JOBS);
    struct ingot_commit_event row = {.row = &event};
    struct ingot_commit commit = {.events = &row, .event_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    assert_int_equal(show_live(fixture, NULL, &crm, count_job, &count, NULL), INGOT_OK);
    assert_int_equal(count, JOBS - 1);
    assert_int_equal(work.finds, 2);
    free(jobs);
}

static void an_adapter_without_checkpoints_or_without_a_way_to_follow_will_do(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    watched.checkpoints = NULL;
    assert_int_equal(check_all_live(fixture), 1);
    watched.checkpoints = watch_checkpoints;
    watched.follow = NULL;
    assert_int_equal(check_all_live(fixture), 1);
    assert_int_equal(work.finds, 2);
    assert_string_equal(logged, "");
}

static void with_checkpoints_exactly_the_live_jobs_are_shown_and_history_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid ids[60];
    for (size_t i = 0; i < COUNT(ids); i++) {
        ids[i] = fixture_put_one(fixture, destinations[i % 6]);
        if (i >= 10)
            fixture_walk(fixture, &ids[i], 0, done);
    }
    take_all_checkpoints(fixture, WELL);
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 10);
    assert_int_equal(work.finds, 0);
    assert_int_equal(work.routing, 10);
    assert_int_equal(work.follows, 1);

    fixture_walk(fixture, &ids[0], 0, done);
    fixture_walk(fixture, &ids[1], 0, runs);
    discard_with_notice(fixture, &ids[2]);
    add_job(fixture, &ids[40], "mail");
    add_job(fixture, &ids[3], "shop");
    fixture_put_one(fixture, "crm");
    ingot_ksuid finished = fixture_put_one(fixture, "log");
    fixture_walk(fixture, &finished, 0, done);
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 10 - 2 + 2 + 1);
    assert_int_equal(work.finds, 0);
    assert_int_equal(work.routing, 10 + 3);
    assert_string_equal(logged, "");
}

static void a_checkpoint_may_list_jobs_that_have_finished(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid ids[8];
    for (size_t i = 0; i < COUNT(ids); i++) {
        ids[i] = fixture_put_one(fixture, "crm");
        if (i % 2)
            fixture_walk(fixture, &ids[i], 0, done);
    }
    take_all_checkpoints(fixture, GENEROUS);
    fixture_walk(fixture, &ids[0], 0, done);
    assert_int_equal(check_all_live(fixture), 3);
    assert_int_equal(work.finds, 0);
}

static void a_corrupt_checkpoint_is_told_of_and_an_older_one_is_taken(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes crm = lanes_with("crm");
    char line[64];
    fixture_put_one(fixture, "crm");
    ingot_ksuid second = fixture_put_one(fixture, "mail");
    take_all_checkpoints(fixture, WELL);
    fixture_walk(fixture, &second, 0, done);
    fixture_put_one(fixture, "crm");
    take_checkpoints(fixture, &crm, DAMAGED);
    fixture_put_one(fixture, "crm");
    take_checkpoints(fixture, &crm, DAMAGED);
    fixture_put_one(fixture, "crm");
    assert_int_equal(check_all_live(fixture), 4);
    assert_int_equal(work.finds, 0);
    snprintf(line, sizeof line, "event=checkpoint_corrupt lane=%u taken_us=", lane_of("crm"));
    const char *first = strstr(logged, line);
    assert_non_null(first);
    assert_non_null(strstr(first + 1, line));
    take_checkpoints(fixture, &crm, WELL);
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 4);
    assert_string_equal(logged, "");
}

static void a_lane_whose_only_checkpoint_is_corrupt_is_read_from_the_whole_store(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all(), crm = lanes_with("crm");
    const struct ingot_lanes others = igt_lanes_without(&all, &crm);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "mail");
    take_checkpoints(fixture, &others, WELL);
    take_checkpoints(fixture, &crm, DAMAGED);
    add_job(fixture, &id, "mail");
    add_job(fixture, &id, "crm");
    assert_int_equal(check_all_live(fixture), 4);
    assert_int_equal(work.finds, 1);
    assert_non_null(strstr(logged, "event=checkpoint_corrupt"));
    watch_nothing_yet();
    assert_int_equal(check_live(fixture, &others), 2);
    assert_int_equal(work.finds, 0);
}

static enum ingot_status refuse_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                            const struct ingot_lanes *lanes, int64_t before_us,
                                            struct ingot_page *page,
                                            struct ingot_checkpoint **ret_checkpoints,
                                            size_t *ret_count, struct ingot_error *err)
{
    (void)handle, (void)toolkit, (void)lanes, (void)before_us, (void)page, (void)ret_checkpoints;
    (void)ret_count;
    return ingot_error_set(err, INGOT_CORRUPT, "store/test: parts are missing");
}

static enum ingot_status fail_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                          const struct ingot_lanes *lanes, int64_t before_us,
                                          struct ingot_page *page,
                                          struct ingot_checkpoint **ret_checkpoints,
                                          size_t *ret_count, struct ingot_error *err)
{
    (void)handle, (void)toolkit, (void)lanes, (void)before_us, (void)page, (void)ret_checkpoints;
    (void)ret_count;
    return ingot_error_set(err, INGOT_RETRY, "store/test: no answer");
}

static void
checkpoints_that_the_adapter_cannot_read_stop_nobody_but_a_lost_connection_does(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_where where = {.status_in = BIT(ACKNOWLEDGED)};
    const struct ingot_lanes all = igt_lanes_all();
    struct seen_jobs seen = {.count = 0};
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    watched.checkpoints = refuse_checkpoints;
    assert_int_equal(check_all_live(fixture), 1);
    assert_non_null(strstr(logged, "event=checkpoints_unusable lanes=256 "
                                   "error=\"store/test: parts are missing\""));
    assert_int_equal(ingot_store_find(fixture->store, NULL, &where, &page, &err), INGOT_OK);
    assert_int_equal(page->job_count, 1);
    assert_int_equal(err.status, INGOT_OK);
    ingot_page_destroy(page);
    page = NULL;
    watched.checkpoints = fail_checkpoints;
    assert_int_equal(show_live(fixture, NULL, &all, see, &seen, &err), INGOT_RETRY);
    assert_string_equal(err.message, "store/test: no answer");
    assert_int_equal(seen.count, 0);
    assert_int_equal(ingot_store_find(fixture->store, NULL, &where, &page, &err), INGOT_RETRY);
    assert_null(page);
}

static void a_checkpoint_of_another_life_of_the_store_is_not_used(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    take_void_checkpoints(fixture);
    fixture_put_one(fixture, "mail");
    fixture_walk(fixture, &id, 0, runs);
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 2);
    assert_int_equal(work.finds, 1);
    assert_non_null(strstr(logged, "event=checkpoints_unusable lanes=256 error=\""));
    take_all_checkpoints(fixture, WELL);
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 2);
    assert_int_equal(work.finds, 0);
    assert_string_equal(logged, "");
}

static void a_cursor_that_is_none_is_not_used(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    static const char *const cursors[] = {"x", "1:", "1:0:0",
                                          "99999999999999999999999999999999999999999999999999999"};
    fixture_put_one(fixture, "crm");
    for (size_t i = 0; i < COUNT(cursors); i++) {
        write_checkpoints(fixture, &all, WELL, ingot_bytes_of(cursors[i]));
        watch_nothing_yet();
        assert_int_equal(check_all_live(fixture), 1);
        assert_int_equal(work.finds, 1);
    }
}

static enum ingot_status drop_cursors(void *handle, const struct ingot_toolkit *toolkit,
                                      const struct ingot_lanes *lanes, int64_t before_us,
                                      struct ingot_page *page,
                                      struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                      struct ingot_error *err)
{
    enum ingot_status status = inner->checkpoints(handle, toolkit, lanes, before_us, page,
                                                  ret_checkpoints, ret_count, err);
    for (size_t i = 0; !status && i < *ret_count; i++)
        (*ret_checkpoints)[i].cursor = (struct ingot_bytes){NULL, 0};
    return status;
}

static void a_checkpoint_without_a_cursor_is_not_used(void **state)
{
    struct fixture *fixture = *state;
    take_all_checkpoints(fixture, WELL);
    fixture_put_one(fixture, "crm");
    watched.checkpoints = drop_cursors;
    assert_int_equal(check_all_live(fixture), 1);
    assert_int_equal(work.finds, 1);
}

static void only_the_lanes_that_are_wanted_are_shown(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes none = {{0}}, crm = lanes_with("crm"), mail = lanes_with("mail");
    for (size_t i = 0; i < 12; i++) {
        struct ingot_job jobs[2] = {fixture_job(fixture, destinations[i % 6], "*"),
                                    fixture_job(fixture, destinations[(i + 1) % 6], "*")};
        struct ingot_event event = fixture_event(fixture, jobs, 2);
        fixture_put(fixture, &event);
    }
    for (int round = 0; round < 3; round++) {
        assert_int_equal(check_live(fixture, &none), 0);
        assert_int_equal(check_live(fixture, &crm), 4);
        assert_int_equal(check_live(fixture, &mail), 4);
        if (round == 0)
            take_checkpoints(fixture, &crm, WELL);
        else if (round == 1)
            take_all_checkpoints(fixture, WELL);
    }
}

static void each_lane_is_followed_from_the_cursor_of_its_own_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all(), crm = lanes_with("crm");
    const struct ingot_lanes others = igt_lanes_without(&all, &crm);
    take_checkpoints(fixture, &crm, WELL);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "mail");
    take_checkpoints(fixture, &others, WELL);
    fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "mail");
    add_job(fixture, &id, "log");
    watch_nothing_yet();
    assert_int_equal(check_all_live(fixture), 5);
    assert_int_equal(work.finds, 0);
    assert_int_equal(work.follows, 2);
    assert_int_equal(work.routing, 4);
    watch_nothing_yet();
    assert_int_equal(check_live(fixture, &crm), 2);
    assert_int_equal(work.follows, 1);
    assert_int_equal(work.routing, 2);
}

/* The bytes of a checkpoint, see store/checkpoint.c. */
#define BYTES(events) (48 + sizeof(ingot_ksuid) * (events))

static void check_cold(uint64_t checkpoint_bytes, int64_t taken_us, uint64_t unlisted)
{
    assert_int_equal(cold.checkpoint_bytes, checkpoint_bytes);
    assert_int_equal(cold.taken_us, taken_us);
    assert_int_equal(cold.unlisted, unlisted);
}

/* When the oldest checkpoint of some lanes was taken. */
static int64_t oldest_us(struct fixture *fixture, const struct ingot_lanes *lanes)
{
    struct ingot_checkpoint *checkpoints;
    struct ingot_page *page;
    size_t count;
    int64_t oldest = INT64_MAX;
    assert_int_equal(ingot_store_checkpoints(fixture->store, NULL, lanes, INT64_MAX, &page,
                                             &checkpoints, &count, NULL),
                     INGOT_OK);
    assert_int_equal(count, igt_lanes_count(lanes));
    for (size_t i = 0; i < count; i++)
        if (checkpoints[i].taken_us < oldest)
            oldest = checkpoints[i].taken_us;
    ingot_page_destroy(page);
    return oldest;
}

static void protocol_4_3_what_came_since_the_checkpoints_is_told_from_what_they_list(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all(), crm = lanes_with("crm");
    const struct ingot_lanes others = igt_lanes_without(&all, &crm);
    assert_int_equal(check_all_live(fixture), 0);
    check_cold(0, INGOT_NO_TIME, 0);
    for (size_t i = 0; i < 5; i++)
        fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "mail");
    check_all_live(fixture);
    check_cold(0, INGOT_NO_TIME, 6); /* the whole store was read */
    take_checkpoints(fixture, &crm, WELL);
    take_checkpoints(fixture, &others, WELL);
    const int64_t crm_us = oldest_us(fixture, &crm);
    assert_true(crm_us < oldest_us(fixture, &others));
    check_all_live(fixture);
    check_cold(BYTES(5) + BYTES(1) + 254 * BYTES(0), crm_us, 0);
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "crm", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    fixture_put(fixture, &event);
    fixture_walk(fixture, &event.id, 1, done);
    fixture_put_one(fixture, "mail");
    check_all_live(fixture);
    check_cold(BYTES(5) + BYTES(1) + 254 * BYTES(0), crm_us, 3);
    take_checkpoints(fixture, &others, WELL); /* from now on there are two cursors */
    add_job(fixture, &event.id, "mail");
    check_all_live(fixture);
    check_cold(BYTES(5) + BYTES(2) + 254 * BYTES(0), crm_us, 3);
    check_live(fixture, &crm);
    check_cold(BYTES(5), crm_us, 2);
    check_live(fixture, &others);
    check_cold(BYTES(2) + 254 * BYTES(0), oldest_us(fixture, &others), 1);
}

static void protocol_4_3_checkpoints_of_no_use_do_not_count(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    take_void_checkpoints(fixture);
    assert_int_equal(check_all_live(fixture), 1);
    check_cold(0, INGOT_NO_TIME, 1);
    take_all_checkpoints(fixture, DAMAGED);
    assert_int_equal(check_all_live(fixture), 1);
    check_cold(0, INGOT_NO_TIME, 1);
}

static int stop_at_once(void *context, const struct ingot_job *job)
{
    (void)job;
    return ++*(int *)context;
}

static int stop_progress(void *context, uint64_t done_count, uint64_t total)
{
    (void)context, (void)done_count, (void)total;
    return 1;
}

static void who_is_shown_live_jobs_may_stop(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "mail");
    for (int round = 0; round < 2; round++) {
        struct ingot_toolkit toolkit = fixture->toolkit;
        struct ingot_error err = {0};
        int shown = 0;
        assert_int_equal(show_live(fixture, &toolkit, &all, stop_at_once, &shown, &err),
                         INGOT_CLOSED);
        assert_int_equal(err.status, INGOT_CLOSED);
        assert_int_equal(shown, 1);
        toolkit.progress = stop_progress;
        assert_int_equal(show_live(fixture, &toolkit, &all, stop_at_once, &shown, &err),
                         INGOT_CLOSED);
        assert_int_equal(shown, 1);
        take_all_checkpoints(fixture, WELL);
    }
}

static int read_again(void *context, const struct ingot_job *job)
{
    struct fixture *fixture = context;
    assert_int_equal(fixture_state(fixture, &job->event_id, job->number), job->latest.state_after);
    return 0;
}

static void who_is_shown_live_jobs_may_use_the_store(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    fixture_put_one(fixture, "crm");
    for (int round = 0; round < 2; round++) {
        alarm(60); /* or it would wait for ever */
        assert_int_equal(show_live(fixture, NULL, &all, read_again, fixture, NULL), INGOT_OK);
        alarm(0);
        take_all_checkpoints(fixture, WELL);
    }
}

/* ---- what is read ahead -------------------------------------------------- */

/* Takes over the pages with payloads. */
struct taker {
    struct ingot_page *pages[8];
    size_t count, whole, plain; /* jobs */
};

static int take_whole(void *context, struct ingot_page **page, enum ingot_detail detail)
{
    struct taker *taker = context;
    if (detail != INGOT_DETAIL_ALL) {
        assert_int_equal(detail, INGOT_DETAIL_ROUTING);
        assert_null((*page)->events[0].data.data);
        taker->plain += (*page)->job_count;
        return 0;
    }
    assert_in_range(taker->count, 0, COUNT(taker->pages) - 1);
    taker->whole += (*page)->job_count;
    taker->pages[taker->count++] = *page;
    *page = NULL;
    return 0;
}

/* Events whose job for "mail" is finished, and that for "crm" is not. */
static void put_half_finished(struct fixture *fixture, struct ingot_bytes data, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ingot_job jobs[] = {fixture_job(fixture, "mail", "*"),
                                   fixture_job(fixture, "crm", "*")};
        struct ingot_event event = fixture_event(fixture, jobs, 2);
        event.data = data;
        fixture_put(fixture, &event);
        struct ingot_transition claim = fixture_row(&event.id, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
        struct ingot_transition end = fixture_row(&event.id, 0, 2, EXECUTING, SUCCEEDED, 1);
        fixture_add(fixture, &claim);
        fixture_add(fixture, &end);
    }
}

static void the_first_that_a_list_names_come_with_payloads_and_may_be_taken(void **state)
{
    struct fixture *fixture = *state;
    enum { EVENTS = 400, AHEAD_BYTES = 512 << 10 };
    const struct ingot_lanes all = igt_lanes_all();
    struct taker taker = {0};
    char data[1000];
    memset(data, '7', sizeof data);
    data[0] = data[sizeof data - 1] = '"';
    put_half_finished(fixture, (struct ingot_bytes){data, sizeof data}, EVENTS);
    assert_int_equal(
        ingot_store_live(fixture->store, NULL, &all, AHEAD_BYTES, take_whole, &taker, &cold, NULL),
        INGOT_OK);
    assert_int_equal(taker.whole, 0); /* nothing lists them yet */
    assert_int_equal(taker.plain, EVENTS);
    taker.plain = 0;
    take_all_checkpoints(fixture, WELL);
    assert_int_equal(
        ingot_store_live(fixture->store, NULL, &all, AHEAD_BYTES, take_whole, &taker, &cold, NULL),
        INGOT_OK);
    assert_int_equal(taker.whole + taker.plain, EVENTS);
    assert_in_range(taker.whole, 101, EVENTS - 1); /* more than the first page, and not all */
    size_t bytes = 0;
    for (size_t i = 0; i < taker.count; i++) {
        const struct ingot_page *page = taker.pages[i];
        bytes += igt_arena_bytes(page->arena);
        for (size_t j = 0; j < page->event_count; j++) {
            assert_true(
                ingot_bytes_equal(page->events[j].data, (struct ingot_bytes){data, sizeof data}));
            assert_int_equal(page->events[j].job_count, 1); /* the other is finished */
            assert_int_equal(page->events[j].jobs[0].number, 1);
        }
        ingot_page_destroy(taker.pages[i]);
    }
    assert_in_range(bytes, AHEAD_BYTES / 2, AHEAD_BYTES + AHEAD_BYTES / 4);
}

/* ---- find --------------------------------------------------------------- */

static struct ingot_page *find(struct fixture *fixture, const struct ingot_where *where)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (ingot_store_find(fixture->store, &fixture->toolkit, where, &page, &err))
        fail_msg("%s", err.message);
    assert_int_equal(err.status, INGOT_OK);
    return page;
}

/* As find, by the adapter alone. */
static struct ingot_page *find_by_adapter(struct fixture *fixture, const struct ingot_where *where)
{
    unsigned finds = work.finds;
    struct igt_candidates *candidates = fixture->store->candidates;
    fixture->store->candidates = NULL;
    watched.checkpoints = NULL;
    struct ingot_page *page = find(fixture, where);
    assert_true(work.finds > finds);
    watched.checkpoints = watch_checkpoints;
    igt_candidates_destroy(fixture->store->candidates);
    fixture->store->candidates = candidates;
    work.finds = finds;
    return page;
}

static void expect_same_job(const struct ingot_job *a, const struct ingot_job *b)
{
    assert_memory_equal(&a->id, &b->id, 20);
    assert_memory_equal(&a->event_id, &b->event_id, 20);
    assert_int_equal(a->number, b->number);
    assert_true(ingot_bytes_equal(a->destination, b->destination));
    assert_true(ingot_bytes_equal(a->event, b->event));
    assert_true(ingot_bytes_equal(a->context, b->context));
    assert_true(ingot_bytes_equal(a->data, b->data));
    assert_int_equal(a->due_us, b->due_us);
    assert_int_equal(a->created_us, b->created_us);
    assert_memory_equal(&a->latest.id, &b->latest.id, 20);
    assert_memory_equal(&a->latest.job_id, &b->latest.job_id, 20);
    assert_memory_equal(&a->latest.owner, &b->latest.owner, 20);
    assert_int_equal(a->latest.seq, b->latest.seq);
    assert_int_equal(a->latest.attempt, b->latest.attempt);
    assert_int_equal(a->latest.state_after, b->latest.state_after);
    assert_int_equal(a->latest.due_us, b->latest.due_us);
    assert_true(ingot_bytes_equal(a->latest.error, b->latest.error));
}

static void expect_same_pages(const struct ingot_page *a, const struct ingot_page *b)
{
    assert_int_equal(a->event_count, b->event_count);
    assert_int_equal(a->job_count, b->job_count);
    for (size_t i = 0; i < a->event_count; i++) {
        const struct ingot_event *one = &a->events[i], *other = &b->events[i];
        assert_memory_equal(&one->id, &other->id, 20);
        assert_true(ingot_bytes_equal(one->source, other->source));
        assert_true(ingot_bytes_equal(one->name, other->name));
        assert_true(ingot_bytes_equal(one->context, other->context));
        assert_true(ingot_bytes_equal(one->data, other->data));
        assert_int_equal(one->received_us, other->received_us);
        assert_int_equal(one->retired_us, INGOT_NO_TIME);
        assert_int_equal(one->job_count, other->job_count);
        for (size_t j = 0; j < one->job_count; j++)
            expect_same_job(&one->jobs[j], &other->jobs[j]);
    }
}

/* Whether find gives page for page what the adapter's find gives; returns how many jobs. */
static size_t check_find(struct fixture *fixture, const struct ingot_where *where)
{
    struct ingot_where ours = *where, theirs = *where;
    size_t jobs = 0;
    for (int more = 1, theirs_more = 1; more || theirs_more;) {
        struct ingot_page *page = more ? find(fixture, &ours) : NULL;
        struct ingot_page *other = theirs_more ? find_by_adapter(fixture, &theirs) : NULL;
        if (page && other)
            expect_same_pages(page, other);
        else /* what is left to look at has nothing that matches */
            assert_int_equal((page ? page : other)->job_count, 0);
        more = page && page->more;
        theirs_more = other && other->more;
        if (page) {
            jobs += page->job_count;
            ours.after = page->next;
        }
        if (other)
            theirs.after = other->next;
        ingot_page_destroy(page);
        ingot_page_destroy(other);
    }
    return jobs;
}

static unsigned draw(struct fixture *fixture, unsigned below)
{
    return ((unsigned)rand_r(&fixture->seed) >> 8) % below;
}

/* Whatever may follow, for one of the live jobs. */
static void advance(struct fixture *fixture)
{
    struct ingot_page *page = all_jobs(fixture, TERMINAL);
    if (page->event_count) {
        const struct ingot_event *event = &page->events[draw(fixture, (unsigned)page->event_count)];
        const struct ingot_job *job = &event->jobs[draw(fixture, (unsigned)event->job_count)];
        enum ingot_state before = job->latest.state_after, after = EXECUTING;
        uint16_t attempt = job->latest.attempt;
        if (before == EXECUTING)
            after = draw(fixture, 2) ? FAILED : SUCCEEDED;
        else if (draw(fixture, 6) == 0)
            after = DISCARDED;
        else if (before == FAILED)
            after = AWAITING;
        if (after == EXECUTING)
            attempt++;
        struct ingot_transition row =
            fixture_row(&job->event_id, job->number, job->latest.seq + 1, before, after, attempt);
        if (after == FAILED)
            row.error = ingot_bytes_of("{\"message\":\"no\"}");
        assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
    }
    ingot_page_destroy(page);
}

static void put_random_event(struct fixture *fixture)
{
    struct ingot_job jobs[3];
    unsigned first = draw(fixture, 6), count = draw(fixture, 4);
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = fixture_job(fixture, destinations[(first + i) % 6], i % 2 ? "*" : "order.paid");
        if (draw(fixture, 3) == 0)
            jobs[i].due_us = fixture->now_us + DAY_US;
        if (draw(fixture, 3) == 0)
            jobs[i].data = ingot_bytes_of("{\"own\": 1}");
    }
    struct ingot_event event = fixture_event(fixture, jobs, count);
    fixture_put(fixture, &event);
}

/* A job for an event, and a retirement, if they are acceptable. */
static void add_or_retire(struct fixture *fixture)
{
    struct ingot_page *page = all_jobs(fixture, 0);
    if (page->event_count) {
        const ingot_ksuid id = page->events[draw(fixture, (unsigned)page->event_count)].id;
        struct ingot_job job = fixture_job(fixture, destinations[draw(fixture, 6)], "*");
        job.event_id = id;
        if (draw(fixture, 4))
            ingot_store_add_jobs(fixture->store, &fixture->toolkit, &job, 1, NULL);
        else
            ingot_store_delete(fixture->store, &fixture->toolkit, &id, 1,
                               draw(fixture, 2) ? INGOT_DELETE_FORCED : INGOT_DELETE_FINISHED,
                               "test", "random", NULL);
    }
    ingot_page_destroy(page);
}

static struct ingot_lanes draw_lanes(struct fixture *fixture)
{
    struct ingot_lanes lanes = {{0}};
    for (size_t i = 0; i < COUNT(destinations); i++)
        if (draw(fixture, 2))
            igt_lanes_add(&lanes, lane_of(destinations[i]));
    return lanes;
}

/* One step in a store's life. */
static void live_on(struct fixture *fixture)
{
    struct ingot_lanes lanes;
    switch (draw(fixture, 12)) {
    case 0:
        add_or_retire(fixture);
        break;
    case 1:
        lanes = draw_lanes(fixture);
        take_checkpoints(fixture, &lanes, (enum manner)draw(fixture, 3));
        break;
    case 2:
    case 3:
    case 4:
        put_random_event(fixture);
        break;
    default:
        advance(fixture);
    }
}

static void random_find(struct fixture *fixture)
{
    static const uint32_t limits[] = {1, 2, 3, 7, 0, INGOT_NO_LIMIT};
    static const unsigned statuses[] = {0, BIT(EXECUTING), BIT(ACKNOWLEDGED) | BIT(AWAITING),
                                        BIT(FAILED) | BIT(SUCCEEDED), TERMINAL};
    struct ingot_bytes names[2], events[1] = {ingot_bytes_of("*")};
    struct ingot_where where = {
        .destinations_in = names,
        .destinations_in_count = draw(fixture, 3),
        .events_in = events,
        .events_in_count = draw(fixture, 4) == 0,
        .status_in = statuses[draw(fixture, COUNT(statuses))],
        .status_notin = draw(fixture, 3) ? TERMINAL : statuses[draw(fixture, COUNT(statuses))],
        .max_attempts = draw(fixture, 3) ? 0 : 1,
        .limit = limits[draw(fixture, COUNT(limits))],
        .detail = draw(fixture, 2) ? INGOT_DETAIL_ALL : INGOT_DETAIL_ROUTING,
    };
    for (size_t i = 0; i < 2; i++)
        names[i] = ingot_bytes_of(destinations[draw(fixture, 6)]);
    const unsigned wanted =
        (where.status_in ? where.status_in : TERMINAL) & ~where.status_notin & TERMINAL;
    work.finds = 0;
    check_find(fixture, &where);
    assert_int_equal(work.finds > 0, wanted != 0);
}

static void find_and_live_give_what_the_adapters_find_gives_on_random_stores(void **state)
{
    struct fixture *fixture = *state;
    take_all_checkpoints(fixture, WELL);
    for (int i = 0; i < 400; i++) {
        live_on(fixture);
        if (i % 100 == 50)
            take_all_checkpoints(fixture, i % 200 == 50 ? GENEROUS : WELL);
        if (i % 4 == 0)
            random_find(fixture);
        if (i % 16 == 0) {
            const struct ingot_lanes lanes = draw_lanes(fixture);
            check_live(fixture, &lanes);
            assert_true(check_all_live(fixture) < 400);
        }
    }
    assert_int_equal(fixture_verify(fixture).violations, 0);
}

static void find_asks_the_adapter_when_a_lane_has_no_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all(), crm = lanes_with("crm");
    const struct ingot_lanes others = igt_lanes_without(&all, &crm);
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    for (int i = 0; i < 3; i++)
        fixture_put_one(fixture, destinations[i]);
    take_checkpoints(fixture, &others, WELL);
    assert_int_equal(check_find(fixture, &where), 3);
    assert_int_equal(work.finds, 3);
    take_checkpoints(fixture, &crm, WELL);
    watch_nothing_yet();
    assert_int_equal(check_find(fixture, &where), 3);
    assert_int_equal(work.finds, 0);
}

static void who_only_reads_finds_without_reading_history_too(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    struct ingot_store *reader = NULL, *writer = fixture->store;
    if (!fixture_is_durable())
        return;
    fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    fixture_put_one(fixture, "mail");
    assert_int_equal(fixture_open(fixture, INGOT_MODE_READ, &reader, NULL), INGOT_OK);
    reader->adapter = &watched;
    fixture->store = reader;
    assert_int_equal(check_find(fixture, &where), 2);
    assert_int_equal(check_all_live(fixture), 2);
    assert_int_equal(work.finds, 0);
    fixture->store = writer;
    ingot_store_close(reader);
}

static void a_further_page_of_find_has_what_came_since_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    ingot_ksuid ids[3], early = fixture_id(fixture);
    ids[0] = fixture_put_one(fixture, "crm");
    ids[1] = fixture_put_one(fixture, "crm");
    ids[2] = fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    struct ingot_page *page = find(fixture, &where);
    assert_memory_equal(&page->events[0].id, &ids[0], 20);
    assert_true(page->more);
    where.after = page->next;
    ingot_page_destroy(page);
    fixture_walk(fixture, &ids[1], 0, done);
    struct ingot_job job = fixture_job(fixture, "log", "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    event.id = early; /* before the cursor */
    fixture_put(fixture, &event);
    ingot_ksuid late = fixture_put_one(fixture, "mail");
    const ingot_ksuid *const expected[] = {&ids[2], &late};
    for (size_t i = 0; i < 2; i++) {
        page = find(fixture, &where);
        assert_int_equal(page->job_count, 1);
        assert_memory_equal(&page->events[0].id, expected[i], 20);
        where.after = page->next;
        assert_int_equal(page->more, i == 0);
        ingot_page_destroy(page);
    }
    assert_int_equal(work.finds, 0);
    assert_int_equal(work.follows, 3 + 1); /* one was the checkpoint's */
}

static void
protocol_3_3_a_page_after_a_restart_of_the_server_reads_the_checkpoints_anew(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    ingot_ksuid ids[3];
    for (size_t i = 0; i < 3; i++)
        ids[i] = fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    for (size_t i = 0; i < 3; i++) {
        struct ingot_page *page = find(fixture, &where);
        assert_int_equal(page->job_count, 1);
        assert_memory_equal(&page->events[0].id, &ids[i], 20);
        where.after = page->next;
        ingot_page_destroy(page);
        assert_int_equal(work.lists, i == 0 ? 1 : 2);
        restarts = 1;
    }
    restarts = 0;
    assert_int_equal(work.finds, 0);
}

static void protocol_3_8_who_mistrusts_the_lists_is_shown_what_they_lack(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    ingot_ksuid ids[3];
    for (size_t i = 0; i < 2; i++)
        ids[i] = fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, FORGETFUL);
    ids[2] = fixture_put_one(fixture, "crm");
    struct ingot_page *page = find(fixture, &where);
    assert_int_equal(page->job_count, 1);
    assert_memory_equal(&page->events[0].id, &ids[2], 20);
    ingot_page_destroy(page);
    where.way = INGOT_FIND_EVERY_JOB;
    for (size_t i = 0; i < 3; i++) {
        page = find(fixture, &where);
        assert_int_equal(page->job_count, 1);
        assert_memory_equal(&page->events[0].id, &ids[i], 20);
        assert_int_equal(page->more, i < 2);
        where.after = page->next;
        ingot_page_destroy(page);
    }
    assert_int_equal(work.finds, 3);
}

static void after_the_last_page_of_find_no_lists_are_kept(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    for (size_t i = 0; i < 2; i++)
        fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    for (int more = 1; more;) {
        struct ingot_page *page = find(fixture, &where);
        more = page->more;
        assert_int_equal(fixture->store->candidates != NULL, more);
        where.after = page->next;
        ingot_page_destroy(page);
    }
    assert_int_equal(work.finds, 0);
    assert_int_equal(work.lists, 1);
}

static void a_page_of_find_looks_up_its_events_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 2};
    for (size_t i = 0; i < 6; i++)
        fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    for (unsigned pages = 1; pages <= 3; pages++) {
        struct ingot_page *page = find(fixture, &where);
        assert_int_equal(page->job_count, 2);
        assert_int_equal(work.lookups, pages);
        where.after = page->next;
        ingot_page_destroy(page);
    }
}

static void a_find_that_begins_reads_the_checkpoints_anew(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_where where = {.status_notin = TERMINAL, .detail = INGOT_DETAIL_ROUTING};
    for (int i = 0; i < 30; i++) {
        ingot_ksuid id = fixture_put_one(fixture, "crm");
        if (i >= 2) {
            take_all_checkpoints(fixture, i == 2 ? WELL : GENEROUS);
            fixture_walk(fixture, &id, 0, done);
        }
        if (i == 2)
            ingot_page_destroy(find(fixture, &where));
    }
    take_all_checkpoints(fixture, WELL);
    work.routing = 0;
    struct ingot_page *page = find(fixture, &where);
    assert_int_equal(page->job_count, 2);
    assert_int_equal(work.routing, 2);
    ingot_page_destroy(page);
}

static void what_comes_while_checkpoints_are_followed_is_on_the_next_page(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    uint32_t first = INGOT_LANES, of_first = 0;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    fixture_put_one(fixture, "crm");
    for (uint32_t i = 0; i < COUNT(destinations); i++)
        if (lane_of(destinations[i]) < first)
            first = lane_of(destinations[of_first = i]);
    /* The lanes up to the first one with a destination are followed first. */
    struct ingot_lanes early = {{0}};
    for (uint32_t lane = 0; lane <= first; lane++)
        igt_lanes_add(&early, lane);
    const struct ingot_lanes late = igt_lanes_without(&all, &early);
    take_checkpoints(fixture, &early, WELL);
    fixture_put_one(fixture, "mail");
    take_checkpoints(fixture, &late, WELL);
    struct ingot_job job = fixture_job(fixture, destinations[of_first], "*");
    struct ingot_event event = fixture_event(fixture, &job, 1);
    struct ingot_commit_event row = {.row = &event};
    struct ingot_commit commit = {.events = &row, .event_count = 1};
    watch_nothing_yet();
    meanwhile = &commit;
    meanwhile_follow = 2;
    size_t jobs = 0;
    for (int more = 1; more;) {
        struct ingot_page *page = find(fixture, &where);
        jobs += page->job_count;
        where.after = page->next;
        more = page->more;
        ingot_page_destroy(page);
    }
    assert_null(meanwhile);
    assert_int_equal(jobs, 3);
    assert_int_equal(work.finds, 0);
}

static void lists_are_read_again_when_too_much_was_followed(void **state)
{
    struct fixture *fixture = *state;
    enum { EVENTS = 10020 };
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    struct ingot_job *jobs = calloc(EVENTS, sizeof *jobs);
    struct ingot_event *events = calloc(EVENTS, sizeof *events);
    struct ingot_commit_event *rows = calloc(EVENTS, sizeof *rows);
    for (size_t i = 0; i < EVENTS; i++) {
        jobs[i] = fixture_job(fixture, "crm", "*");
        events[i] = fixture_event(fixture, &jobs[i], 1);
        rows[i].row = &events[i];
    }
    struct ingot_commit commit = {.events = rows, .event_count = EVENTS};
    for (size_t i = 0; i < 6; i++)
        fixture_put_one(fixture, "mail");
    take_all_checkpoints(fixture, WELL);
    for (unsigned i = 0; i < 6; i++) {
        static const unsigned lists[] = {1, 1, 1, 2, 2, 2};
        struct ingot_page *page = find(fixture, &where);
        assert_int_equal(page->job_count, 1);
        where.after = page->next;
        ingot_page_destroy(page);
        assert_int_equal(work.lists, lists[i]);
        if (i == 1)
            assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                             INGOT_OK);
    }
    free(jobs);
    free(events);
    free(rows);
}

static void when_the_store_begins_another_life_between_two_pages_the_adapter_is_asked(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_where where = {.status_notin = TERMINAL, .limit = 1};
    if (!inner->accept_restore)
        return;
    ingot_ksuid first = fixture_put_one(fixture, "crm");
    ingot_ksuid second = fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    struct ingot_page *page = find(fixture, &where);
    assert_memory_equal(&page->events[0].id, &first, 20);
    where.after = page->next;
    ingot_page_destroy(page);
    take_void_checkpoints(fixture);
    assert_int_equal(work.finds, 0);
    page = find(fixture, &where);
    assert_memory_equal(&page->events[0].id, &second, 20);
    ingot_page_destroy(page);
    assert_int_equal(work.finds, 1);
}

static void payloads_are_read_for_events_that_match_only(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_bytes crm = ingot_bytes_of("crm");
    struct ingot_where where = {
        .destinations_in = &crm, .destinations_in_count = 1, .status_notin = TERMINAL};
    for (size_t i = 0; i < 18; i++)
        fixture_put_one(fixture, destinations[i % 6]);
    take_all_checkpoints(fixture, WELL);
    struct ingot_page *page = find(fixture, &where);
    assert_int_equal(page->job_count, 3);
    assert_non_null(page->events[0].data.data);
    ingot_page_destroy(page);
    assert_int_equal(work.routing, 18);
    assert_int_equal(work.whole, 3);
    where.limit = 2;
    page = find(fixture, &where);
    assert_int_equal(work.whole, 3 + 2);
    ingot_page_destroy(page);
    where.detail = INGOT_DETAIL_ROUTING;
    page = find(fixture, &where);
    assert_null(page->events[0].data.data);
    ingot_page_destroy(page);
    assert_int_equal(work.whole, 3 + 2);
}

static void a_job_that_finishes_or_is_retired_while_payloads_are_read_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_where where = {.status_notin = TERMINAL};
    ingot_ksuid ids[3];
    for (size_t i = 0; i < 3; i++)
        ids[i] = fixture_put_one(fixture, "crm");
    add_job(fixture, &ids[0], "mail");
    struct ingot_commit_transition row = {
        .row = fixture_row(&ids[0], 0, 1, ACKNOWLEDGED, DISCARDED, 0), .hangs_on = INGOT_ALONE};
    const struct ingot_commit_retirement retirement = {ids[1], ingot_bytes_of("test"),
                                                       ingot_bytes_of("meanwhile")};
    struct ingot_commit commit = {.transitions = &row,
                                  .transition_count = 1,
                                  .retirements = &retirement,
                                  .retirement_count = 1};
    take_all_checkpoints(fixture, WELL);
    meanwhile = &commit;
    struct ingot_page *page = find(fixture, &where);
    assert_null(meanwhile);
    assert_int_equal(page->event_count, 2);
    assert_int_equal(page->job_count, 2);
    assert_memory_equal(&page->events[0].id, &ids[0], 20);
    assert_int_equal(page->events[0].job_count, 1);
    assert_int_equal(page->events[0].jobs[0].number, 1);
    assert_memory_equal(&page->events[1].id, &ids[2], 20);
    assert_non_null(page->events[1].data.data);
    ingot_page_destroy(page);
}

static void a_live_job_of_a_retired_event_is_worked_and_not_found(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    struct ingot_where where = {.status_notin = TERMINAL};
    static struct seen_jobs seen;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "crm");
    take_all_checkpoints(fixture, WELL);
    const struct ingot_commit_retirement retirement = {id, ingot_bytes_of("test"),
                                                       ingot_bytes_of("it was added late")};
    struct ingot_commit commit = {.retirements = &retirement, .retirement_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    assert_int_equal(check_find(fixture, &where), 1);
    where.detail = INGOT_DETAIL_ROUTING;
    assert_int_equal(check_find(fixture, &where), 1);
    assert_int_equal(work.finds, 0);
    seen.count = 0;
    assert_int_equal(show_live(fixture, NULL, &all, see, &seen, NULL), INGOT_OK);
    assert_int_equal(seen.count, 2);
}

static void a_page_of_find_ends_after_so_many_events_that_are_not_there(void **state)
{
    struct fixture *fixture = *state;
    const struct ingot_lanes all = igt_lanes_all();
    struct ingot_where where = {.status_notin = TERMINAL};
    struct igt_buffer body = {0};
    struct ingot_bytes cursor;
    ingot_ksuid *ids = calloc(INGOT_FIND_EXAMINED_MAX + 1, sizeof *ids);
    ingot_ksuid real = fixture_put_one(fixture, "crm");
    for (uint32_t i = 0; i < INGOT_FIND_EXAMINED_MAX; i++) {
        ids[i].bytes[17] = (uint8_t)((i + 1) >> 16);
        ids[i].bytes[18] = (uint8_t)((i + 1) >> 8);
        ids[i].bytes[19] = (uint8_t)(i + 1);
    }
    ids[INGOT_FIND_EXAMINED_MAX] = real;
    struct ingot_page *page = cursor_of_now(fixture->store, &cursor);
    write_checkpoints(fixture, &all, WELL, cursor);
    igt_checkpoint_encode(ids, INGOT_FIND_EXAMINED_MAX + 1, &body);
    const struct ingot_checkpoint checkpoint = {
        .lane = lane_of("crm"), .cursor = cursor, .body = {body.data, body.len}};
    fixture->now_us += SECOND_US;
    assert_int_equal(
        ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, &checkpoint, 1, NULL),
        INGOT_OK);
    ingot_page_destroy(page);
    page = find(fixture, &where);
    assert_int_equal(page->job_count, 0);
    assert_true(page->more);
    assert_memory_equal(&page->next.event_id, &ids[INGOT_FIND_EXAMINED_MAX - 1], 20);
    where.after = page->next;
    ingot_page_destroy(page);
    page = find(fixture, &where);
    assert_int_equal(page->job_count, 1);
    assert_false(page->more);
    assert_memory_equal(&page->events[0].id, &real, 20);
    ingot_page_destroy(page);
    assert_int_equal(work.finds, 0);
    igt_buffer_fini(&body);
    free(ids);
}

static void a_page_of_find_ends_after_so_many_jobs_that_do_not_match(void **state)
{
    struct fixture *fixture = *state;
    enum { JOBS = INGOT_FIND_EXAMINED_MAX + 5 };
    const struct ingot_bytes crm = ingot_bytes_of("crm");
    struct ingot_where where = {.destinations_in = &crm,
                                .destinations_in_count = 1,
                                .status_notin = TERMINAL,
                                .detail = INGOT_DETAIL_ROUTING};
    struct ingot_job *jobs = calloc(JOBS, sizeof *jobs);
    take_all_checkpoints(fixture, WELL);
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = fixture_job(fixture, i + 1 < JOBS ? "mail" : "crm", "order.paid");
    struct ingot_event event = fixture_event(fixture, jobs, JOBS);
    struct ingot_commit_event row = {.row = &event};
    struct ingot_commit commit = {.events = &row, .event_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    struct ingot_page *page = find(fixture, &where);
    assert_int_equal(page->job_count, 0);
    assert_true(page->more);
    assert_int_equal(page->next.job, INGOT_FIND_EXAMINED_MAX - 1);
    assert_memory_equal(&page->next.event_id, &event.id, 20);
    where.after = page->next;
    ingot_page_destroy(page);
    page = find(fixture, &where);
    assert_int_equal(page->job_count, 1);
    assert_int_equal(page->events[0].jobs[0].number, JOBS - 1);
    assert_false(page->more);
    ingot_page_destroy(page);
    assert_int_equal(work.finds, 0);
    free(jobs);
}

/* Goes through the live jobs, page by page, and counts them. */
static void *find_often(void *context)
{
    struct fixture *fixture = context;
    static char wrong[] = "wrong";
    for (int i = 0; i < 20; i++) {
        struct ingot_where where = {.status_notin = TERMINAL, .limit = 3};
        size_t jobs = 0;
        for (int more = 1; more;) {
            struct ingot_page *page = NULL;
            if (ingot_store_find(fixture->store, NULL, &where, &page, NULL))
                return wrong;
            jobs += page->job_count;
            where.after = page->next;
            more = page->more;
            ingot_page_destroy(page);
        }
        if (jobs != 10)
            return wrong;
    }
    return NULL;
}

static void several_threads_may_find_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[3];
    void *answer;
    for (size_t i = 0; i < 10; i++)
        fixture_put_one(fixture, destinations[i % 6]);
    take_all_checkpoints(fixture, WELL);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_often, fixture), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_null(answer);
    }
    assert_int_equal(work.finds, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(without_checkpoints_the_live_jobs_of_the_whole_store_are_shown),
        TEST(a_store_of_several_pages_is_read_to_its_end),
        TEST(an_adapter_without_checkpoints_or_without_a_way_to_follow_will_do),
        TEST(with_checkpoints_exactly_the_live_jobs_are_shown_and_history_is_not_read),
        TEST(a_checkpoint_may_list_jobs_that_have_finished),
        TEST(a_corrupt_checkpoint_is_told_of_and_an_older_one_is_taken),
        TEST(a_lane_whose_only_checkpoint_is_corrupt_is_read_from_the_whole_store),
        TEST(checkpoints_that_the_adapter_cannot_read_stop_nobody_but_a_lost_connection_does),
        TEST(a_checkpoint_of_another_life_of_the_store_is_not_used),
        TEST(a_cursor_that_is_none_is_not_used),
        TEST(a_checkpoint_without_a_cursor_is_not_used),
        TEST(only_the_lanes_that_are_wanted_are_shown),
        TEST(each_lane_is_followed_from_the_cursor_of_its_own_checkpoint),
        TEST(protocol_4_3_what_came_since_the_checkpoints_is_told_from_what_they_list),
        TEST(protocol_4_3_checkpoints_of_no_use_do_not_count),
        TEST(who_is_shown_live_jobs_may_stop),
        TEST(who_is_shown_live_jobs_may_use_the_store),
        TEST(the_first_that_a_list_names_come_with_payloads_and_may_be_taken),
        TEST(find_and_live_give_what_the_adapters_find_gives_on_random_stores),
        TEST(find_asks_the_adapter_when_a_lane_has_no_checkpoint),
        TEST(who_only_reads_finds_without_reading_history_too),
        TEST(a_further_page_of_find_has_what_came_since_the_first),
        TEST(protocol_3_3_a_page_after_a_restart_of_the_server_reads_the_checkpoints_anew),
        TEST(protocol_3_8_who_mistrusts_the_lists_is_shown_what_they_lack),
        TEST(after_the_last_page_of_find_no_lists_are_kept),
        TEST(a_page_of_find_looks_up_its_events_at_once),
        TEST(a_find_that_begins_reads_the_checkpoints_anew),
        TEST(what_comes_while_checkpoints_are_followed_is_on_the_next_page),
        TEST(lists_are_read_again_when_too_much_was_followed),
        TEST(when_the_store_begins_another_life_between_two_pages_the_adapter_is_asked),
        TEST(payloads_are_read_for_events_that_match_only),
        TEST(a_job_that_finishes_or_is_retired_while_payloads_are_read_is_left_out),
        TEST(a_live_job_of_a_retired_event_is_worked_and_not_found),
        TEST(a_page_of_find_ends_after_so_many_events_that_are_not_there),
        TEST(a_page_of_find_ends_after_so_many_jobs_that_do_not_match),
        TEST(several_threads_may_find_at_a_time),
    };
    if (argc != 2)
        return 2;
    fixture_use(argv[1]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
