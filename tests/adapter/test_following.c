/*
 * What several processes on one store rest on: following, checkpoints, notices,
 * a commit that is sent again, events read in bulk (PROTOCOL 2.4, 3, 4).
 * usage: test_following memory|sqlite|postgres
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED

#define MANY 20000u
#define JOBS_KEPT 3

/* Where only the server says how far its snapshots have come, others' transactions may hold it up. */
#define HORIZON_TRIES 20000

static const char *kind;

/* ---- a follower --------------------------------------------------------- */

struct seen_job {
    struct ingot_job job; /* without what it points at */
    char destination[32], event[32];
    int has_payload;
};

struct seen {
    struct ingot_sighting sighting; /* without what it points at */
    struct seen_job jobs[JOBS_KEPT];
};

struct follower {
    struct ingot_store *store;
    char cursor[4096]; /* "": absent */
    uint64_t horizon, life;
    struct seen *seen; /* by the last call */
    size_t count, size;
    size_t stop_at;        /* the sighting that ends the call; 0: none does */
    const uint64_t *known; /* positions that need not be shown */
    size_t known_count;
    void (*meanwhile)(struct follower *follower);
    struct fixture *fixture;
};

static void keep_text(char text[32], struct ingot_bytes bytes)
{
    snprintf(text, 32, "%.*s", (int)bytes.len, (const char *)bytes.data);
}

/* Asserts nothing: the store's lock is held here. */
static int note(void *context, const struct ingot_sighting *sighting)
{
    struct follower *follower = context;
    if (follower->count == follower->size) {
        follower->size = follower->size ? follower->size * 2 : 16;
        follower->seen = realloc(follower->seen, follower->size * sizeof *follower->seen);
        if (!follower->seen)
            abort();
    }
    struct seen *seen = &follower->seen[follower->count++];
    *seen = (struct seen){.sighting = *sighting};
    for (size_t i = 0; i < sighting->job_count && i < JOBS_KEPT; i++) {
        const struct ingot_job *job = &sighting->jobs[i];
        seen->jobs[i].job = *job;
        keep_text(seen->jobs[i].destination, job->destination);
        keep_text(seen->jobs[i].event, job->event);
        seen->jobs[i].has_payload = job->context.data || job->data.data || job->latest.error.data;
    }
    if (follower->meanwhile)
        follower->meanwhile(follower);
    return follower->count == follower->stop_at;
}

static enum ingot_status try_to_follow(struct follower *follower, struct ingot_bytes cursor,
                                       struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    const struct ingot_following from = {
        .cursor = cursor, .known = follower->known, .known_count = follower->known_count};
    follower->count = 0;
    enum ingot_status status = ingot_store_follow(follower->store, &follower->fixture->toolkit,
                                                  &from, note, follower, &page, &followed, err);
    if (status) {
        assert_null(page);
        assert_null(followed.cursor.data);
        return status;
    }
    assert_in_range(followed.cursor.len, 1, sizeof follower->cursor - 1);
    memcpy(follower->cursor, followed.cursor.data, followed.cursor.len);
    follower->cursor[followed.cursor.len] = '\0';
    follower->horizon = followed.horizon;
    follower->life = followed.life;
    ingot_page_destroy(page);
    return INGOT_OK;
}

/* Follows from where it stands; how much was sighted. */
static size_t follow(struct follower *follower)
{
    struct ingot_error err = {0};
    struct ingot_bytes cursor = {NULL, 0};
    if (follower->cursor[0])
        cursor = ingot_bytes_of(follower->cursor);
    if (try_to_follow(follower, cursor, &err))
        fail_msg("%s", err.message);
    return follower->count;
}

/* Who follows the fixture's store from now on. */
static struct follower begin(struct fixture *fixture)
{
    struct follower follower = {.store = fixture->store, .fixture = fixture};
    assert_int_equal(follow(&follower), 0);
    return follower;
}

static void end(struct follower *follower)
{
    free(follower->seen);
}

/* The one sighting of that kind of that event. */
static const struct seen *find_seen(const struct follower *follower, enum ingot_sighted what,
                                    const ingot_ksuid *event_id)
{
    const struct seen *found = NULL;
    for (size_t i = 0; i < follower->count; i++) {
        const struct ingot_sighting *sighting = &follower->seen[i].sighting;
        if (sighting->kind != what || ingot_ksuid_compare(&sighting->event_id, event_id) != 0)
            continue;
        assert_null(found);
        found = &follower->seen[i];
    }
    assert_non_null(found);
    return found;
}

/* ---- commits ------------------------------------------------------------ */

static void commit(struct fixture *fixture, struct ingot_commit *rows)
{
    struct ingot_error err = {0};
    if (ingot_store_commit(fixture->store, &fixture->toolkit, rows, &err))
        fail_msg("%s", err.message);
}

static struct ingot_commit_transition claim(const ingot_ksuid *event_id, uint32_t job,
                                            enum ingot_notice notice)
{
    return (struct ingot_commit_transition){
        .row = fixture_row(event_id, job, 1, ACKNOWLEDGED, EXECUTING, 1),
        .hangs_on = INGOT_ALONE,
        .notice = notice,
    };
}

static uint64_t commit_event(struct fixture *fixture, const struct ingot_event *event)
{
    struct ingot_commit_event row = {.row = event};
    struct ingot_commit rows = {.events = &row, .event_count = 1};
    commit(fixture, &rows);
    assert_int_equal(row.verdict, INGOT_STORED);
    return rows.position;
}

static struct ingot_commit_job added_job(struct fixture *fixture, const ingot_ksuid *event_id,
                                         const char *destination)
{
    struct ingot_commit_job job = {.row = fixture_job(fixture, destination, "order.paid"),
                                   .hangs_on = INGOT_ALONE};
    job.row.event_id = *event_id;
    return job;
}

/* ---- following ---------------------------------------------------------- */

static void an_absent_cursor_shows_nothing_and_gives_one_of_this_moment(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    struct follower follower = begin(fixture);
    for (const char *at = follower.cursor; *at; at++)
        assert_in_range((unsigned char)*at, 0x20, 0x7e);
    assert_int_equal(follow(&follower), 0);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &id);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

static void an_empty_store_can_be_followed(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    assert_int_equal(follow(&follower), 0);
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    fixture_put(fixture, &event);
    assert_int_equal(follow(&follower), 1);
    assert_int_equal(follower.seen[0].sighting.job_count, 0);
    end(&follower);
}

/* A birth, as it was given, without what planning does not need. */
static void assert_born(const struct seen_job *seen, const struct ingot_job *given,
                        const ingot_ksuid *event_id, uint32_t number)
{
    const struct ingot_job *job = &seen->job;
    char text[32];
    keep_text(text, given->destination);
    assert_string_equal(seen->destination, text);
    keep_text(text, given->event);
    assert_string_equal(seen->event, text);
    assert_false(seen->has_payload);
    assert_memory_equal(&job->id, &given->id, sizeof job->id);
    assert_memory_equal(&job->event_id, event_id, sizeof *event_id);
    assert_memory_equal(&job->parent_job_id, &given->parent_job_id, sizeof job->id);
    assert_int_equal(job->number, number);
    assert_true(job->due_us == given->due_us);
    assert_memory_equal(&job->latest.job_id, &given->id, sizeof job->id);
    assert_memory_equal(&job->latest.event_id, event_id, sizeof *event_id);
    assert_int_equal(job->latest.job, number);
    assert_int_equal(job->latest.seq, 0);
    assert_int_equal(job->latest.attempt, 0);
    assert_int_equal(job->latest.state_before, INGOT_STATE_NONE);
    assert_int_equal(job->latest.state_after,
                     given->due_us == INGOT_NO_TIME ? ACKNOWLEDGED : AWAITING);
    assert_true(job->latest.created_us == job->created_us);
}

static void each_event_added_job_and_notice_is_sighted_once_at_its_commits_position(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job born[3] = {fixture_job(fixture, "crm", "order.paid"),
                                fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "order.paid")};
    struct ingot_event event = fixture_event(fixture, born, 3);
    born[0].context = born[0].data = ingot_bytes_of("{\"long\":1}");
    born[1].due_us = fixture->now_us + DAY_US;
    born[2].parent_job_id = born[0].id;
    uint64_t before = commit_event(fixture, &(struct ingot_event){.id = fixture_id(fixture),
                                                                  .source = event.source,
                                                                  .name = event.name,
                                                                  .sent_us = INGOT_NO_TIME,
                                                                  .received_us = INGOT_NO_TIME});
    struct follower follower = begin(fixture);

    uint64_t first = commit_event(fixture, &event);
    struct ingot_commit_job job = added_job(fixture, &event.id, "log");
    job.row.context = job.row.data = ingot_bytes_of("{\"long\":2}");
    job.row.due_us = fixture->now_us + 5;
    struct ingot_commit jobs = {.jobs = &job, .job_count = 1};
    commit(fixture, &jobs);
    struct ingot_commit_transition rows[2] = {claim(&event.id, 0, INGOT_NOTICE_NONE),
                                              claim(&event.id, 2, INGOT_NOTICE_SENT)};
    struct ingot_commit moves = {.transitions = rows, .transition_count = 2};
    commit(fixture, &moves);
    assert_true(before < first && first < jobs.position && jobs.position < moves.position);

    assert_int_equal(follow(&follower), 3);
    const struct seen *seen = find_seen(&follower, INGOT_SIGHTED_EVENT, &event.id);
    assert_true(seen->sighting.position > before && seen->sighting.position <= first);
    assert_int_equal(seen->sighting.job_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_born(&seen->jobs[i], &born[i], &event.id, i);
        fixture_assert_now(fixture, seen->jobs[i].job.created_us);
    }
    seen = find_seen(&follower, INGOT_SIGHTED_JOB, &event.id);
    assert_true(seen->sighting.position > first && seen->sighting.position <= jobs.position);
    assert_int_equal(seen->sighting.job_count, 1);
    assert_int_equal(job.row.number, 3);
    assert_born(&seen->jobs[0], &job.row, &event.id, 3);
    fixture_assert_now(fixture, seen->jobs[0].job.created_us);
    seen = find_seen(&follower, INGOT_SIGHTED_NOTICE, &event.id);
    assert_true(seen->sighting.position > jobs.position &&
                seen->sighting.position <= moves.position);
    assert_int_equal(seen->sighting.job, 2);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
    fixture_verify(fixture);
}

static void what_comes_right_behind_a_cursor_is_sighted_whatever_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &id);
    struct ingot_commit_job job = added_job(fixture, &id, "log");
    struct ingot_commit jobs = {.jobs = &job, .job_count = 1};
    commit(fixture, &jobs);
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_JOB, &id);
    struct ingot_commit_transition row = claim(&id, 1, INGOT_NOTICE_SENT);
    struct ingot_commit moves = {.transitions = &row, .transition_count = 1};
    commit(fixture, &moves);
    assert_int_equal(follow(&follower), 1);
    assert_int_equal(find_seen(&follower, INGOT_SIGHTED_NOTICE, &id)->sighting.job, 1);
    job = added_job(fixture, &id, "mail");
    commit(fixture, &jobs);
    assert_int_equal(job.verdict, INGOT_STORED);
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_JOB, &id);
    id = fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &id);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

static void rows_of_one_commit_are_sighted_together(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid old = fixture_put_one(fixture, "crm");
    struct follower follower = begin(fixture);
    struct ingot_job born = fixture_job(fixture, "crm", "order.paid");
    struct ingot_event event = fixture_event(fixture, &born, 1);
    struct ingot_commit_event events = {.row = &event};
    struct ingot_commit_transition rows[2] = {claim(&event.id, 0, INGOT_NOTICE_NONE),
                                              claim(&old, 0, INGOT_NOTICE_SENT)};
    struct ingot_commit_job job = added_job(fixture, &old, "log");
    struct ingot_commit all = {.events = &events,
                               .event_count = 1,
                               .transitions = rows,
                               .transition_count = 2,
                               .jobs = &job,
                               .job_count = 1};
    commit(fixture, &all);
    assert_int_equal(follow(&follower), 3);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &event.id);
    find_seen(&follower, INGOT_SIGHTED_JOB, &old);
    find_seen(&follower, INGOT_SIGHTED_NOTICE, &old);
    for (size_t i = 0; i < follower.count; i++)
        assert_true(follower.seen[i].sighting.position <= all.position);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

/* A hint: an adapter that has all its writers in one process may pass over it. */
static void what_the_follower_knows_is_left_out_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    struct ingot_job job = fixture_job(fixture, "crm", "order.paid");
    struct ingot_event ours = fixture_event(fixture, &job, 1);
    uint64_t position = commit_event(fixture, &ours);
    ingot_ksuid theirs = fixture_put_one(fixture, "crm");
    follower.known = &position;
    follower.known_count = 1;
    int leaves_out = ingot_store_handles(fixture->store) == INGOT_HANDLES_WRITERS;
    assert_int_equal(follow(&follower), leaves_out ? 1 : 2);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &theirs);
    assert_int_equal(follow(&follower), 0); /* the cursor has passed it */
    end(&follower);
}

static void what_was_undone_is_never_sighted(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid old = fixture_put_one(fixture, "crm"), other = fixture_put_one(fixture, "crm");
    struct ingot_transition taken = fixture_row(&old, 0, 1, ACKNOWLEDGED, EXECUTING, 1);
    assert_int_equal(fixture_add(fixture, &taken), INGOT_STORED);
    struct follower follower = begin(fixture);
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    struct ingot_commit_event events = {.row = &event};
    struct ingot_commit_transition rows[2] = {claim(&other, 0, INGOT_NOTICE_SENT),
                                              claim(&old, 0, INGOT_NOTICE_SENT)};
    struct ingot_commit_job job = added_job(fixture, &old, "log");
    struct ingot_commit all = {.rule = INGOT_COMMIT_WHOLE,
                               .events = &events,
                               .event_count = 1,
                               .transitions = rows,
                               .transition_count = 2,
                               .jobs = &job,
                               .job_count = 1};
    rows[1].row.owner = fixture_owner('b');
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &all, NULL),
                     INGOT_CONFLICT);
    assert_int_equal(follow(&follower), 0);
    ingot_ksuid next = fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &next);
    end(&follower);
}

static void a_transition_that_lost_sends_no_notice(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition rows[2] = {claim(&id, 0, INGOT_NOTICE_NONE)};
    struct ingot_commit moves = {.transitions = rows, .transition_count = 1};
    commit(fixture, &moves);
    struct follower follower = begin(fixture);
    rows[0] = claim(&id, 0, INGOT_NOTICE_SENT);
    rows[0].row.owner = fixture_owner('b');
    rows[1] = (struct ingot_commit_transition){
        .row = fixture_row(&id, 0, 2, EXECUTING, SUCCEEDED, 1),
        .hangs_on = 0,
        .notice = INGOT_NOTICE_SENT,
    };
    moves.transition_count = 2;
    commit(fixture, &moves);
    assert_int_equal(rows[0].verdict, INGOT_LOST);
    assert_int_equal(rows[1].verdict, INGOT_LOST);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

static void protocol_3_7_programs_and_operators_send_notices_of_what_they_write(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid moved = fixture_put_one(fixture, "crm"), deleted = fixture_put_one(fixture, "crm");
    struct follower follower = begin(fixture);
    struct ingot_transition row = claim(&moved, 0, INGOT_NOTICE_NONE).row;
    assert_int_equal(fixture_add(fixture, &row), INGOT_STORED);
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_NOTICE, &moved);
    assert_int_equal(fixture_add(fixture, &row), INGOT_LOST);
    assert_int_equal(follow(&follower), 0);
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &deleted, 1,
                                        INGOT_DELETE_FORCED, "me", "test", NULL),
                     INGOT_OK);
    assert_int_equal(follow(&follower), 1);
    find_seen(&follower, INGOT_SIGHTED_NOTICE, &deleted);
    end(&follower);
}

static void an_event_that_was_there_already_is_not_sighted_again(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    fixture_put(fixture, &event);
    struct follower follower = begin(fixture);
    struct ingot_commit_event row = {.row = &event};
    struct ingot_commit rows = {.events = &row, .event_count = 1};
    commit(fixture, &rows);
    assert_int_equal(row.verdict, INGOT_ALREADY);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

static void a_cursor_outlives_the_handle(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    ingot_ksuid first = fixture_put_one(fixture, "crm");
    uint64_t life = follower.life;
    fixture_reopen(fixture);
    follower.store = fixture->store;
    ingot_ksuid second = fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 2);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &first);
    find_seen(&follower, INGOT_SIGHTED_EVENT, &second);
    assert_true(follower.life == life);
    fixture_reopen(fixture);
    follower.store = fixture->store;
    assert_int_equal(follow(&follower), 0);
    assert_true(follower.life == life);
    end(&follower);
}

static void expect_refusal(struct follower *follower, struct ingot_bytes cursor)
{
    struct ingot_error err = {0};
    if (try_to_follow(follower, cursor, &err) != INGOT_INVALID)
        fail_msg("\"%.*s\" was not refused: %s", (int)cursor.len, (const char *)cursor.data,
                 err.message);
    assert_int_equal(follower->count, 0);
    assert_int_equal(err.status, INGOT_INVALID);
}

static void what_is_no_cursor_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    static char text[5000];
    fixture_put_one(fixture, "crm");
    static const char *const garbage[] = {
        "", " ", "x", "1", "1:", "1::", ":::", "0:0:0", "\xff\xfe", "1:%s:%n", "'; SELECT 1; --",
    };
    for (size_t i = 0; i < COUNT(garbage); i++)
        expect_refusal(&follower, ingot_bytes_of(garbage[i]));
    memset(text, '1', sizeof text);
    expect_refusal(&follower, (struct ingot_bytes){text, sizeof text});
    text[1] = ':';
    expect_refusal(&follower, (struct ingot_bytes){text, sizeof text});
    snprintf(text, sizeof text, " %s", follower.cursor);
    expect_refusal(&follower, ingot_bytes_of(text));
    snprintf(text, sizeof text, "%s ", follower.cursor);
    expect_refusal(&follower, ingot_bytes_of(text));
    snprintf(text, sizeof text, "%s", follower.cursor);
    expect_refusal(&follower, (struct ingot_bytes){text, strlen(text) + 1}); /* the NUL as well */
    expect_refusal(&follower, (struct ingot_bytes){text, strlen(text) / 2});
    text[0]++;
    expect_refusal(&follower, ingot_bytes_of(text));
    assert_int_equal(follow(&follower), 1);
    end(&follower);
}

static void a_cursor_of_another_life_or_of_the_future_is_refused(void **state)
{
    struct fixture *fixture = *state, *other = NULL;
    char text[4096];
    if (!fixture_has_clock())
        return; /* what such a cursor looks like is the adapter's affair */
    fixture_put_one(fixture, "crm");
    struct follower follower = begin(fixture);
    char *number = strrchr(follower.cursor, ':') + 1;
    assert_string_equal(number, "1");
    static const char *const numbers[] = {
        "2", "-1", "+1", "01", "", "18446744073709551615", "18446744073709551617", "1e0",
    };
    for (size_t i = 0; i < COUNT(numbers); i++) {
        snprintf(text, sizeof text, "%.*s%s", (int)(number - follower.cursor), follower.cursor,
                 numbers[i]);
        expect_refusal(&follower, ingot_bytes_of(text));
    }
    snprintf(text, sizeof text, "%s", follower.cursor);
    text[2] = text[2] == '0' ? '1' : '0';
    expect_refusal(&follower, ingot_bytes_of(text));
    assert_int_equal(fixture_set_up((void **)&other), 0);
    fixture_put_one(other, "crm");
    uint64_t life = follower.life;
    snprintf(text, sizeof text, "%s", follower.cursor);
    follower.store = other->store;
    follower.cursor[0] = '\0';
    follow(&follower);
    if (fixture_is_durable()) { /* the random numbers of the fixtures are the same */
        assert_false(follower.life == life);
        expect_refusal(&follower, ingot_bytes_of(text));
    }
    fixture_tear_down((void **)&other);
    end(&follower);
}

/* Writes a file's bytes over another's. */
static void copy_file(const char *from, const char *to)
{
    static char bytes[4 << 20];
    FILE *file = fopen(from, "re");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(len && len < sizeof bytes);
    file = fopen(to, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void a_cursor_from_after_a_backup_is_refused_by_the_backup(void **state)
{
    struct fixture *fixture = *state;
    char backup[128];
    if (strcmp(kind, "sqlite") != 0)
        return;
    fixture_put_one(fixture, "crm");
    struct follower early = begin(fixture);
    ingot_store_close(fixture->store);
    snprintf(backup, sizeof backup, "%s/backup.db", fixture->folder);
    copy_file(fixture->path, backup);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL), INGOT_OK);
    fixture_put_one(fixture, "crm");
    struct follower late = begin(fixture);
    ingot_store_close(fixture->store);
    copy_file(backup, fixture->path);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL), INGOT_OK);
    early.store = late.store = fixture->store;
    expect_refusal(&late, ingot_bytes_of(late.cursor));
    assert_int_equal(follow(&early), 0);
    end(&early);
    end(&late);
}

static void accepting_a_restored_store_voids_all_cursors(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    struct follower follower = begin(fixture);
    uint64_t life = follower.life;
    enum ingot_status status = ingot_store_accept_restore(fixture->store, &fixture->toolkit, NULL);
    if (strcmp(kind, "memory") == 0)
        assert_int_equal(status, INGOT_UNSUPPORTED);
    else if (strcmp(kind, "sqlite") == 0)
        assert_int_equal(status, INGOT_OK);
    if (status) {
        end(&follower);
        return; /* the fixture's role may not on postgres */
    }
    expect_refusal(&follower, ingot_bytes_of(follower.cursor));
    fixture_reopen(fixture);
    follower.store = fixture->store;
    expect_refusal(&follower, ingot_bytes_of(follower.cursor));
    follower.cursor[0] = '\0';
    assert_int_equal(follow(&follower), 0);
    assert_false(follower.life == life);
    fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 1);
    end(&follower);
}

static void a_visitor_that_stops_ends_the_call(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    struct ingot_error err = {0};
    char before[sizeof follower.cursor];
    for (size_t i = 0; i < 5; i++)
        fixture_put_one(fixture, "crm");
    memcpy(before, follower.cursor, sizeof before);
    follower.stop_at = 2;
    assert_int_equal(try_to_follow(&follower, ingot_bytes_of(before), &err), INGOT_CLOSED);
    assert_int_equal(err.status, INGOT_CLOSED);
    assert_int_equal(follower.count, 2);
    follower.stop_at = 0;
    fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&follower), 6);
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

static void the_horizon_parts_what_was_sighted_from_what_will_be(void **state)
{
    struct fixture *fixture = *state;
    struct follower follower = begin(fixture);
    for (size_t i = 0; i < 5; i++) {
        struct ingot_event event = fixture_event(fixture, NULL, 0);
        uint64_t before = follower.horizon, position = commit_event(fixture, &event);
        assert_true(position >= before);
        assert_int_equal(follow(&follower), 1);
        assert_true(follower.seen[0].sighting.position >= before);
        assert_true(follower.seen[0].sighting.position <= position);
        int tries = fixture_has_clock() ? 1 : HORIZON_TRIES;
        while (follower.horizon <= position && --tries > 0)
            assert_int_equal(follow(&follower), 0);
        assert_true(follower.horizon > position);
    }
    end(&follower);
}

static void a_commits_position_is_never_less_than_the_last(void **state)
{
    struct fixture *fixture = *state;
    if (!fixture_has_clock())
        return; /* on postgres a commit that nobody follows has none */
    struct ingot_commit nothing = {0};
    commit(fixture, &nothing);
    assert_true(nothing.position == 0);
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_transition row = claim(&id, 0, INGOT_NOTICE_NONE);
    struct ingot_commit moves = {.transitions = &row, .transition_count = 1};
    commit(fixture, &moves);
    assert_true(moves.position == 1);
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    assert_true(commit_event(fixture, &event) == 2);
    fixture_reopen(fixture);
    commit(fixture, &nothing);
    assert_true(nothing.position == 2);
}

static int by_event(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    return ingot_ksuid_compare(&a->sighting.event_id, &b->sighting.event_id);
}

static void twenty_thousand_events_are_sighted_in_one_call(void **state)
{
    struct fixture *fixture = *state;
    const size_t batch = 5000;
    struct ingot_job *jobs = calloc(MANY, sizeof *jobs);
    struct ingot_event *events = calloc(MANY, sizeof *events);
    struct ingot_commit_event *rows = calloc(MANY, sizeof *rows);
    assert_true(jobs && events && rows);
    struct follower follower = begin(fixture);
    for (size_t i = 0; i < MANY; i++) {
        jobs[i] = fixture_job(fixture, "crm", "*");
        events[i] = fixture_event(fixture, &jobs[i], 1);
        rows[i].row = &events[i];
    }
    for (size_t i = 0; i < MANY; i += batch)
        commit(fixture, &(struct ingot_commit){.events = rows + i, .event_count = batch});
    assert_int_equal(follow(&follower), MANY);
    qsort(follower.seen, follower.count, sizeof *follower.seen, by_event);
    for (size_t i = 0; i < MANY; i++) { /* ids were made in order */
        assert_memory_equal(&follower.seen[i].sighting.event_id, &events[i].id, 20);
        assert_memory_equal(&follower.seen[i].jobs[0].job.id, &jobs[i].id, 20);
    }
    assert_int_equal(follow(&follower), 0);
    end(&follower);
    free(jobs);
    free(events);
    free(rows);
}

static void put_another(struct follower *follower)
{
    follower->meanwhile = NULL;
    struct ingot_event event = fixture_event(follower->fixture, NULL, 0);
    struct ingot_queue queue = {&event, 1};
    if (ingot_store_insert_queue(follower->fixture->store, &follower->fixture->toolkit, &queue,
                                 NULL, NULL))
        abort();
}

static void a_reader_follows_beside_the_writer(void **state)
{
    struct fixture *fixture = *state;
    if (ingot_store_handles(fixture->store) == INGOT_HANDLES_ONE)
        return;
    struct follower follower = {.fixture = fixture};
    assert_int_equal(fixture_open(fixture, INGOT_MODE_READ, &follower.store, NULL), INGOT_OK);
    assert_int_equal(follow(&follower), 0);
    fixture_put_one(fixture, "crm");
    fixture_put_one(fixture, "crm");
    follower.meanwhile = put_another; /* by the other handle, while this one reads */
    assert_int_equal(follow(&follower), 2);
    assert_int_equal(follow(&follower), 1);
    assert_int_equal(follow(&follower), 0);
    ingot_store_close(follower.store);
    end(&follower);
}

static void two_followers_see_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct follower first = begin(fixture);
    fixture_put_one(fixture, "crm");
    struct follower second = begin(fixture);
    fixture_put_one(fixture, "crm");
    assert_int_equal(follow(&second), 1);
    assert_int_equal(follow(&first), 2);
    assert_true(first.life == second.life);
    end(&first);
    end(&second);
}

/* ---- a commit that is sent again ---------------------------------------- */

/* An event with a job, a chain of two steps, and what hangs on them. */
struct sent {
    ingot_ksuid old; /* an event that is there, with a job */
    struct ingot_job born;
    struct ingot_event event;
    struct ingot_commit_event events[1];
    struct ingot_commit_transition rows[3];
    struct ingot_commit_job jobs[1];
    struct ingot_commit commit;
};

static void make_commit(struct fixture *fixture, struct sent *sent)
{
    struct ingot_job job = fixture_job(fixture, "crm", "order.paid");
    struct ingot_event old = fixture_event(fixture, &job, 1);
    memset(sent, 0, sizeof *sent);
    fixture_put(fixture, &old);
    sent->old = old.id;
    sent->born = fixture_job(fixture, "crm", "order.paid");
    sent->event = fixture_event(fixture, &sent->born, 1);
    sent->events[0].row = &sent->event;
    sent->rows[0] = claim(&sent->event.id, 0, INGOT_NOTICE_NONE);
    sent->rows[1] = claim(&sent->old, 0, INGOT_NOTICE_NONE);
    sent->rows[2] = (struct ingot_commit_transition){
        .row = fixture_row(&sent->old, 0, 2, EXECUTING, FAILED, 1),
        .hangs_on = 1,
        .notice = INGOT_NOTICE_SENT,
    };
    sent->rows[2].row.error = ingot_bytes_of("{\"message\":\"no\"}");
    sent->jobs[0] = added_job(fixture, &sent->old, "log");
    sent->jobs[0].hangs_on = 2;
    sent->jobs[0].row.parent_job_id = job.id;
    sent->commit = (struct ingot_commit){.events = sent->events,
                                         .event_count = 1,
                                         .transitions = sent->rows,
                                         .transition_count = 3,
                                         .jobs = sent->jobs,
                                         .job_count = 1};
}

static void forget_verdicts(struct sent *sent)
{
    sent->events[0].verdict = sent->jobs[0].verdict = INGOT_PENDING;
    for (size_t i = 0; i < COUNT(sent->rows); i++)
        sent->rows[i].verdict = INGOT_PENDING;
    sent->jobs[0].row.number = 99;
}

static void expect_all_stored(const struct sent *sent)
{
    assert_int_equal(sent->events[0].verdict, INGOT_STORED);
    for (size_t i = 0; i < COUNT(sent->rows); i++)
        assert_int_equal(sent->rows[i].verdict, INGOT_STORED);
    assert_int_equal(sent->jobs[0].verdict, INGOT_STORED);
    assert_int_equal(sent->jobs[0].row.number, 1);
}

static void a_commit_sent_again_is_stored_once(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    make_commit(fixture, &sent);
    struct follower follower = begin(fixture);
    commit(fixture, &sent.commit);
    expect_all_stored(&sent);
    assert_int_equal(follow(&follower), 3);
    fixture_reopen(fixture);
    follower.store = fixture->store;
    struct ingot_verification before = fixture_verify(fixture);
    static const enum ingot_commit_rule rules[] = {INGOT_COMMIT_EACH, INGOT_COMMIT_WHOLE};
    for (size_t i = 0; i < COUNT(rules); i++) {
        forget_verdicts(&sent);
        sent.commit.sending = INGOT_COMMIT_AGAIN;
        sent.commit.rule = rules[i];
        commit(fixture, &sent.commit);
        expect_all_stored(&sent);
    }
    assert_int_equal(follow(&follower), 0);
    struct ingot_verification after = fixture_verify(fixture);
    assert_memory_equal(&before, &after, sizeof before);
    end(&follower);
}

static void a_commit_sent_again_that_never_arrived_is_stored(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    make_commit(fixture, &sent);
    struct follower follower = begin(fixture);
    sent.commit.sending = INGOT_COMMIT_AGAIN;
    commit(fixture, &sent.commit);
    expect_all_stored(&sent);
    assert_int_equal(follow(&follower), 3);
    end(&follower);
    fixture_verify(fixture);
}

static void what_is_not_sent_again_is_not_stored_twice(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    make_commit(fixture, &sent);
    commit(fixture, &sent.commit);
    forget_verdicts(&sent);
    commit(fixture, &sent.commit);
    assert_int_equal(sent.events[0].verdict, INGOT_ALREADY);
    for (size_t i = 0; i < COUNT(sent.rows); i++)
        assert_int_equal(sent.rows[i].verdict, INGOT_LOST);
    assert_int_equal(sent.jobs[0].verdict, INGOT_LOST); /* it hangs on what lost */
    sent.jobs[0].hangs_on = INGOT_ALONE;
    commit(fixture, &(struct ingot_commit){.jobs = sent.jobs, .job_count = 1});
    assert_int_equal(sent.jobs[0].verdict, INGOT_ALREADY);
}

static void a_job_sent_again_is_stored_also_when_its_event_was_retired_since(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fixture_put_one(fixture, "crm");
    struct ingot_commit_job job = added_job(fixture, &id, "log");
    struct ingot_commit jobs = {.jobs = &job, .job_count = 1};
    commit(fixture, &jobs);
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &id, 1,
                                        INGOT_DELETE_FORCED, "me", "test", NULL),
                     INGOT_OK);
    jobs.sending = INGOT_COMMIT_AGAIN;
    job.row.number = 99;
    commit(fixture, &jobs);
    assert_int_equal(job.verdict, INGOT_STORED);
    assert_int_equal(job.row.number, 1);
    job.row.id = fixture_id(fixture);
    commit(fixture, &jobs);
    assert_int_equal(job.verdict, INGOT_REFUSED);
}

static void an_event_that_differs_is_another_one_also_when_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    make_commit(fixture, &sent);
    commit(fixture, &sent.commit);
    sent.event.data = ingot_bytes_of("{\"order\": 8}");
    struct ingot_commit again = {
        .sending = INGOT_COMMIT_AGAIN, .events = sent.events, .event_count = 1};
    commit(fixture, &again);
    assert_int_equal(sent.events[0].verdict, INGOT_MISMATCH);
    again.rule = INGOT_COMMIT_WHOLE;
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &again, NULL),
                     INGOT_CONFLICT);
}

static void a_transition_that_differs_has_lost_also_when_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    make_commit(fixture, &sent);
    commit(fixture, &sent.commit);
    const struct ingot_transition ours = sent.rows[2].row;
    struct follower follower = begin(fixture);
    for (int what = 0; what < 6; what++) {
        struct ingot_transition *row = &sent.rows[2].row;
        *row = ours;
        if (what == 0)
            row->owner = fixture_owner('b');
        else if (what == 1)
            row->attempt = 2;
        else if (what == 2)
            row->state_after = SUCCEEDED;
        else if (what == 3)
            row->error = ingot_bytes_of("{\"message\":\"yes\"}");
        else if (what == 4)
            row->error = (struct ingot_bytes){NULL, 0};
        else
            row->due_us = fixture->now_us;
        forget_verdicts(&sent);
        sent.commit.sending = INGOT_COMMIT_AGAIN;
        commit(fixture, &sent.commit);
        /* the claim is as it was, but its chain went on without us: not to be delivered again */
        assert_int_equal(sent.rows[1].verdict, INGOT_LOST);
        assert_int_equal(sent.rows[2].verdict, INGOT_LOST);
        assert_int_equal(sent.jobs[0].verdict, INGOT_LOST);
    }
    assert_int_equal(follow(&follower), 0);
    end(&follower);
}

/* ---- checkpoints -------------------------------------------------------- */

static struct ingot_lanes lanes_of(const uint32_t *list, size_t count)
{
    struct ingot_lanes lanes = {{0}};
    for (size_t i = 0; i < count; i++)
        lanes.bits[list[i] / 8] |= (uint8_t)(1u << list[i] % 8);
    return lanes;
}

struct found {
    struct ingot_page *page;
    struct ingot_checkpoint *checkpoints;
    size_t count;
};

static struct found read_checkpoints(struct fixture *fixture, const struct ingot_lanes *lanes,
                                     int64_t before_us)
{
    struct found found = {0};
    struct ingot_error err = {0};
    if (ingot_store_checkpoints(fixture->store, &fixture->toolkit, lanes, before_us, &found.page,
                                &found.checkpoints, &found.count, &err))
        fail_msg("%s", err.message);
    for (size_t i = 1; i < found.count; i++)
        assert_true(found.checkpoints[i - 1].lane < found.checkpoints[i].lane);
    return found;
}

/* The body of a lane's newest checkpoint before an instant; NULL if it has none. */
static const char *body_of(struct fixture *fixture, uint32_t lane, int64_t before_us,
                           int64_t *ret_taken_us)
{
    static char body[64];
    struct ingot_lanes lanes = lanes_of(&lane, 1);
    struct found found = read_checkpoints(fixture, &lanes, before_us);
    assert_true(found.count <= 1);
    if (found.count) {
        assert_int_equal(found.checkpoints[0].lane, lane);
        assert_true(found.checkpoints[0].taken_us < before_us);
        *ret_taken_us = found.checkpoints[0].taken_us;
        snprintf(body, sizeof body, "%.*s", (int)found.checkpoints[0].body.len,
                 (const char *)found.checkpoints[0].body.data);
    }
    ingot_page_destroy(found.page);
    return found.count ? body : NULL;
}

static void add_checkpoint(struct fixture *fixture, uint32_t lane, const char *body)
{
    struct ingot_checkpoint checkpoint = {
        .lane = lane, .cursor = ingot_bytes_of("1:x:7"), .body = ingot_bytes_of(body)};
    struct ingot_error err = {0};
    if (ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, &checkpoint, 1, &err))
        fail_msg("%s", err.message);
}

static void checkpoints_come_back_as_they_went_in_whatever_their_size(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0,
                                   1,
                                   INGOT_CHECKPOINT_PART_BYTES,
                                   INGOT_CHECKPOINT_PART_BYTES + 1,
                                   3 * INGOT_CHECKPOINT_PART_BYTES,
                                   3 * INGOT_CHECKPOINT_PART_BYTES + 12345};
    static const uint32_t numbers[] = {0, 1, 7, 8, 200, 255};
    struct ingot_checkpoint checkpoints[COUNT(sizes)];
    const struct ingot_lanes lanes = lanes_of(numbers, COUNT(numbers));
    const size_t most = sizes[COUNT(sizes) - 1];
    unsigned char *bytes = malloc(most + COUNT(sizes));
    assert_non_null(bytes);
    for (size_t i = 0; i < most + COUNT(sizes); i++)
        bytes[i] = (unsigned char)(rand_r(&fixture->seed) >> 8); /* NULs as well */
    for (size_t i = 0; i < COUNT(sizes); i++)
        checkpoints[i] = (struct ingot_checkpoint){
            .lane = numbers[i],
            .cursor = ingot_bytes_of(i % 2 ? "1:abc:7" : "1:def:8"),
            .body = {bytes + i, sizes[i]},
        };
    struct ingot_error err = {0};
    if (ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, checkpoints,
                                    COUNT(checkpoints), &err))
        fail_msg("%s", err.message);
    fixture_reopen(fixture);
    struct found found = read_checkpoints(fixture, &lanes, INT64_MAX);
    assert_int_equal(found.count, COUNT(sizes));
    for (size_t i = 0; i < found.count; i++) {
        const struct ingot_checkpoint *read = &found.checkpoints[i];
        assert_int_equal(read->lane, numbers[i]);
        assert_true(ingot_bytes_equal(read->cursor, checkpoints[i].cursor));
        assert_int_equal(read->body.len, sizes[i]);
        assert_non_null(read->body.data);
        assert_int_equal(memcmp(read->body.data, bytes + i, sizes[i]), 0);
    }
    ingot_page_destroy(found.page);
    free(bytes);
    fixture_verify(fixture);
}

static void a_store_without_checkpoints_gives_none(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_lanes all;
    memset(&all, 0xff, sizeof all);
    struct found found = read_checkpoints(fixture, &all, INT64_MAX);
    assert_int_equal(found.count, 0);
    ingot_page_destroy(found.page);
    assert_int_equal(ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, NULL, 0, NULL),
                     INGOT_OK);
    found = read_checkpoints(fixture, &all, INT64_MAX);
    assert_int_equal(found.count, 0);
    ingot_page_destroy(found.page);
}

static void the_newest_checkpoint_before_an_instant_is_found_for_the_lanes_asked_for(void **state)
{
    struct fixture *fixture = *state;
    int64_t first = 0, second = 0, third = 0, other = 0;
    add_checkpoint(fixture, 3, "first");
    add_checkpoint(fixture, 4, "other");
    fixture->now_us += SECOND_US;
    add_checkpoint(fixture, 3, "second");
    fixture->now_us -= 5 * SECOND_US; /* a clock that goes back takes nothing with it */
    add_checkpoint(fixture, 3, "third");
    fixture_reopen(fixture);
    assert_string_equal(body_of(fixture, 3, INT64_MAX, &third), "third");
    assert_string_equal(body_of(fixture, 3, third, &second), "second");
    assert_string_equal(body_of(fixture, 3, second, &first), "first");
    assert_null(body_of(fixture, 3, first, &first));
    assert_string_equal(body_of(fixture, 3, third + 1, &third), "third");
    assert_string_equal(body_of(fixture, 4, INT64_MAX, &other), "other");
    assert_true(first < other && other < second && second < third);
    assert_null(body_of(fixture, 5, INT64_MAX, &other));
    static const uint32_t both[] = {4, 3, 250};
    const struct ingot_lanes lanes = lanes_of(both, 3);
    struct found found = read_checkpoints(fixture, &lanes, third);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.checkpoints[0].lane, 3);
    assert_true(found.checkpoints[0].taken_us == second);
    assert_int_equal(found.checkpoints[1].lane, 4);
    ingot_page_destroy(found.page);
}

static void checkpoints_of_one_instant_are_taken_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    int64_t newest = 0, newer = 0, older = 0;
    add_checkpoint(fixture, 9, "older");
    add_checkpoint(fixture, 9, "newer");
    add_checkpoint(fixture, 9, "newest");
    assert_string_equal(body_of(fixture, 9, INT64_MAX, &newest), "newest");
    assert_string_equal(body_of(fixture, 9, newest, &newer), "newer");
    assert_string_equal(body_of(fixture, 9, newer, &older), "older");
    assert_true(older < newer && newer < newest);
}

static void an_incomplete_checkpoint_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    if (strcmp(kind, "sqlite") != 0)
        return;
    static const char *const forgeries[] = {
        /* a part is missing at the end; at the beginning; the parts disagree */
        "INSERT INTO checkpoints SELECT taken_at + 1000, lane, part, parts + 1, cursor, body FROM "
        "checkpoints",
        "INSERT INTO checkpoints SELECT taken_at + 10000, lane, part + 1, parts + 1, cursor, body "
        "FROM checkpoints",
        "INSERT INTO checkpoints SELECT max(taken_at) + 100000, lane, 0, 1, cursor, body FROM "
        "checkpoints UNION ALL SELECT max(taken_at) + 100000, lane, 1, 2, cursor, body FROM "
        "checkpoints",
    };
    int64_t taken = 0, again = 0;
    add_checkpoint(fixture, 3, "whole");
    assert_string_equal(body_of(fixture, 3, INT64_MAX, &taken), "whole");
    for (size_t i = 0; i < COUNT(forgeries); i++) {
        assert_int_equal(fixture_sql(fixture, forgeries[i]), 0);
        assert_string_equal(body_of(fixture, 3, INT64_MAX, &again), "whole");
        assert_true(again == taken);
    }
    add_checkpoint(fixture, 3, "next"); /* newer than what was forged, although the clock is not */
    assert_string_equal(body_of(fixture, 3, INT64_MAX, &again), "next");
}

static void a_lane_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_checkpoint checkpoints[2] = {
        {.lane = 3, .cursor = ingot_bytes_of("c"), .body = ingot_bytes_of("b")},
        {.lane = INGOT_LANES, .cursor = ingot_bytes_of("c"), .body = ingot_bytes_of("b")},
    };
    int64_t taken = 0;
    assert_int_equal(
        ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, checkpoints, 2, NULL),
        INGOT_INVALID);
    assert_null(body_of(fixture, 3, INT64_MAX, &taken));
}

/* ---- events in bulk, settings ------------------------------------------- */

static struct ingot_page *read_events(struct fixture *fixture, const ingot_ksuid *ids, size_t count,
                                      enum ingot_detail detail)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    if (ingot_store_events(fixture->store, &fixture->toolkit, ids, count, detail, &page, &err))
        fail_msg("%s", err.message);
    return page;
}

static void events_in_bulk_come_by_id_with_their_jobs_and_without_the_unknown(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum ingot_detail detail;
        int has_payload;
    } details[] = {{INGOT_DETAIL_ALL, 1}, {INGOT_DETAIL_ROUTING, 0}};
    struct sent sent;
    make_commit(fixture, &sent);
    sent.born.context = ingot_bytes_of("{\"job\":1}");
    sent.jobs[0].row.data = ingot_bytes_of("{\"job\":2}");
    commit(fixture, &sent.commit);
    ingot_ksuid unknown = fixture_id(fixture), retired = fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &retired, 1,
                                        INGOT_DELETE_FORCED, "me", "test", NULL),
                     INGOT_OK);
    fixture_put_one(fixture, "crm"); /* not asked for */
    const ingot_ksuid ids[] = {retired, unknown, sent.old, sent.event.id, sent.old};
    fixture_reopen(fixture);
    for (size_t i = 0; i < COUNT(details); i++) {
        struct ingot_page *page = read_events(fixture, ids, COUNT(ids), details[i].detail);
        const int all = details[i].has_payload;
        assert_int_equal(page->event_count, 3);
        assert_int_equal(page->job_count, 4);
        assert_memory_equal(&page->events[0].id, &sent.old, 20);
        assert_memory_equal(&page->events[1].id, &sent.event.id, 20);
        assert_memory_equal(&page->events[2].id, &retired, 20);
        assert_true(page->events[2].retired_us != INGOT_NO_TIME);
        assert_true(page->events[1].retired_us == INGOT_NO_TIME);
        for (size_t e = 0; e < 3; e++) {
            assert_int_equal(page->events[e].data.data != NULL, all);
            assert_int_equal(page->events[e].context.data != NULL, all);
            assert_true(ingot_bytes_equal(page->events[e].source, ingot_bytes_of("shop")));
            assert_true(ingot_bytes_equal(page->events[e].name, ingot_bytes_of("order.paid")));
        }
        const struct ingot_job *old = page->events[0].jobs, *born = page->events[1].jobs;
        assert_int_equal(page->events[0].job_count, 2);
        assert_int_equal(old[0].latest.seq, 2);
        assert_int_equal(old[0].latest.state_after, FAILED);
        assert_int_equal(old[0].latest.error.data != NULL, all);
        assert_memory_equal(&old[1].id, &sent.jobs[0].row.id, 20);
        assert_int_equal(old[1].latest.seq, 0);
        assert_int_equal(old[1].data.data != NULL, all);
        assert_int_equal(born[0].latest.seq, 1);
        assert_int_equal(born[0].context.data != NULL, all);
        assert_true(ingot_bytes_equal(born[0].destination, ingot_bytes_of("crm")));
        ingot_page_destroy(page);
    }
}

static void no_events_in_bulk_are_none(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid unknown = fixture_id(fixture);
    struct ingot_page *page = read_events(fixture, NULL, 0, INGOT_DETAIL_ALL);
    assert_int_equal(page->event_count, 0);
    ingot_page_destroy(page);
    page = read_events(fixture, &unknown, 1, INGOT_DETAIL_ROUTING);
    assert_int_equal(page->event_count, 0);
    assert_int_equal(page->job_count, 0);
    ingot_page_destroy(page);
}

static void a_store_says_how_many_handles_it_can_have(void **state)
{
    struct fixture *fixture = *state;
    enum ingot_handles expected = INGOT_HANDLES_WRITERS;
    if (strcmp(kind, "memory") == 0)
        expected = INGOT_HANDLES_ONE;
    else if (strcmp(kind, "sqlite") == 0)
        expected = INGOT_HANDLES_READERS;
    assert_int_equal(ingot_store_handles(fixture->store), expected);
}

static void expect_setting(const struct ingot_setting *settings, size_t count, const char *name,
                           const char *value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0) {
            assert_string_equal(settings[i].value, value);
            return;
        }
    fail_msg("%s is not told", name);
}

static void a_store_tells_on_what_settings_its_promise_rests(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_page *page = NULL;
    struct ingot_setting *settings = NULL;
    size_t count = 0;
    fixture_put_one(fixture, "crm");
    assert_int_equal(
        ingot_store_settings(fixture->store, &fixture->toolkit, &page, &settings, &count, NULL),
        INGOT_OK);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(settings[i].name);
        assert_non_null(settings[i].value);
    }
    if (strcmp(kind, "memory") == 0) {
        expect_setting(settings, count, "durability", "none");
    } else if (strcmp(kind, "sqlite") == 0) {
        expect_setting(settings, count, "journal_mode", "wal");
        expect_setting(settings, count, "synchronous", "full");
        expect_setting(settings, count, "page_size", fixture_ask(fixture, "PRAGMA page_size"));
        expect_setting(settings, count, "path", fixture->path);
        expect_setting(settings, count, "sqlite_version",
                       fixture_ask(fixture, "SELECT sqlite_version()"));
    }
    ingot_page_destroy(page);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_absent_cursor_shows_nothing_and_gives_one_of_this_moment),
        TEST(an_empty_store_can_be_followed),
        TEST(each_event_added_job_and_notice_is_sighted_once_at_its_commits_position),
        TEST(what_comes_right_behind_a_cursor_is_sighted_whatever_it_is),
        TEST(rows_of_one_commit_are_sighted_together),
        TEST(what_the_follower_knows_is_left_out_and_nothing_else),
        TEST(what_was_undone_is_never_sighted),
        TEST(a_transition_that_lost_sends_no_notice),
        TEST(protocol_3_7_programs_and_operators_send_notices_of_what_they_write),
        TEST(an_event_that_was_there_already_is_not_sighted_again),
        TEST(a_cursor_outlives_the_handle),
        TEST(what_is_no_cursor_is_refused),
        TEST(a_cursor_of_another_life_or_of_the_future_is_refused),
        TEST(a_cursor_from_after_a_backup_is_refused_by_the_backup),
        TEST(accepting_a_restored_store_voids_all_cursors),
        TEST(a_visitor_that_stops_ends_the_call),
        TEST(the_horizon_parts_what_was_sighted_from_what_will_be),
        TEST(a_commits_position_is_never_less_than_the_last),
        TEST(twenty_thousand_events_are_sighted_in_one_call),
        TEST(a_reader_follows_beside_the_writer),
        TEST(two_followers_see_the_same),
        TEST(a_commit_sent_again_is_stored_once),
        TEST(a_commit_sent_again_that_never_arrived_is_stored),
        TEST(what_is_not_sent_again_is_not_stored_twice),
        TEST(a_job_sent_again_is_stored_also_when_its_event_was_retired_since),
        TEST(an_event_that_differs_is_another_one_also_when_sent_again),
        TEST(a_transition_that_differs_has_lost_also_when_sent_again),
        TEST(checkpoints_come_back_as_they_went_in_whatever_their_size),
        TEST(a_store_without_checkpoints_gives_none),
        TEST(the_newest_checkpoint_before_an_instant_is_found_for_the_lanes_asked_for),
        TEST(checkpoints_of_one_instant_are_taken_one_after_the_other),
        TEST(an_incomplete_checkpoint_does_not_count),
        TEST(a_lane_that_is_none_is_refused),
        TEST(events_in_bulk_come_by_id_with_their_jobs_and_without_the_unknown),
        TEST(no_events_in_bulk_are_none),
        TEST(a_store_says_how_many_handles_it_can_have),
        TEST(a_store_tells_on_what_settings_its_promise_rests),
    };
#undef TEST
    if (argc != 2)
        return 2;
    kind = argv[1];
    fixture_use(kind);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("following", tests, NULL, NULL);
}
