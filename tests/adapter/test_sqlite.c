/*
 * What is particular to SQLite: nothing can be changed, views for people, one
 * writer, readers beside it, files that are no store.
 * usage: test_sqlite QUERIES, the path of queries.sql
 */
#include "fixture.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACKNOWLEDGED INGOT_STATE_ACKNOWLEDGED
#define AWAITING INGOT_STATE_AWAITING
#define EXECUTING INGOT_STATE_EXECUTING
#define SUCCEEDED INGOT_STATE_SUCCEEDED
#define FAILED INGOT_STATE_FAILED
#define DISCARDED INGOT_STATE_DISCARDED
#define NONE INGOT_STATE_NONE

static const char *queries_path;

/* One row at least in every table. */
static ingot_ksuid fill(struct fixture *fixture)
{
    struct ingot_job jobs[2] = {fixture_job(fixture, "crm", "*"),
                                fixture_job(fixture, "mail", "order.paid")};
    struct ingot_event event = fixture_event(fixture, jobs, 2);
    struct ingot_job added = fixture_job(fixture, "log", "order.paid");
    jobs[0].context = ingot_bytes_of("{\"job\":1}");
    jobs[1].due_us = NOON_US + 1;
    fixture_put(fixture, &event);
    added.event_id = event.id;
    added.parent_job_id = jobs[0].id;
    assert_int_equal(ingot_store_add_jobs(fixture->store, &fixture->toolkit, &added, 1, NULL),
                     INGOT_OK);
    fixture->now_us += 7 * SECOND_US + 123;
    fixture_walk(fixture, &event.id, 0,
                 (enum ingot_state[]){EXECUTING, FAILED, AWAITING, EXECUTING, SUCCEEDED, NONE});
    struct ingot_commit_transition told = {
        .row = fixture_row(&event.id, 2, 1, ACKNOWLEDGED, EXECUTING, 1),
        .hangs_on = INGOT_ALONE,
        .notice = INGOT_NOTICE_SENT,
    };
    struct ingot_commit commit = {.transitions = &told, .transition_count = 1};
    assert_int_equal(ingot_store_commit(fixture->store, &fixture->toolkit, &commit, NULL),
                     INGOT_OK);
    ingot_ksuid gone = fixture_put_one(fixture, "crm");
    assert_int_equal(ingot_store_delete(fixture->store, &fixture->toolkit, &gone, 1,
                                        INGOT_DELETE_FORCED, "me", "test", NULL),
                     INGOT_OK);
    assert_int_equal(ingot_store_publish_routes(fixture->store, NULL, ingot_bytes_of("{}"), NULL),
                     INGOT_OK);
    struct ingot_checkpoint checkpoint = {
        .lane = 7, .cursor = ingot_bytes_of("c"), .body = ingot_bytes_of("b")};
    assert_int_equal(
        ingot_store_add_checkpoints(fixture->store, &fixture->toolkit, &checkpoint, 1, NULL),
        INGOT_OK);
    return event.id;
}

static void row_6_no_row_of_any_table_can_be_changed(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *table, *column;
    } tables[] = {
        {"events", "source"},
        {"added_jobs", "destination"},
        {"transitions", "created_at"},
        {"retirements", "reason"},
        {"routes", "body"},
        {"notices", "seq"},
        {"checkpoints", "body"},
        {"lives", "life"},
        {"migrations", "name"},
    };
    fill(fixture);
    for (size_t i = 0; i < COUNT(tables); i++) {
        char sql[256], count[64];
        const char *table = tables[i].table, *column = tables[i].column;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
        snprintf(count, sizeof count, "%s", fixture_ask(fixture, sql));
        assert_string_not_equal(count, "0");
        snprintf(sql, sizeof sql, "UPDATE %s SET %s = %s", table, column, column);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql, "DELETE FROM %s", table);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %s SELECT * FROM %s", table, table);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql, "REPLACE INTO %s SELECT * FROM %s LIMIT 1", table, table);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql, "UPDATE OR REPLACE %s SET %s = %s", table, column, column);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql,
                 "INSERT INTO %s SELECT * FROM %s WHERE true ON CONFLICT DO UPDATE SET %s = %s",
                 table, table, column, column);
        assert_int_equal(fixture_sql(fixture, sql), SQLITE_CONSTRAINT_TRIGGER);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
        assert_string_equal(fixture_ask(fixture, sql), count);
    }
    fixture_verify(fixture);
}

static void row_6_a_second_key_cannot_be_overwritten_either(void **state)
{
    struct fixture *fixture = *state;
    static const char *const statements[] = {
        /* the next n, but an id that is there */
        "INSERT OR REPLACE INTO events SELECT n + 100, id, source, name, jobs, sent_at, "
        "received_at, ingested_at, context, data FROM events LIMIT 1",
        "INSERT OR REPLACE INTO added_jobs SELECT n + 100, event_id, job, id, destination, event, "
        "parent_job_id, due_at, created_at, context, data FROM added_jobs LIMIT 1",
        /* a number that is there, under another id */
        "INSERT OR REPLACE INTO added_jobs SELECT 1 + (SELECT max(n) FROM (SELECT n FROM events "
        "UNION ALL SELECT n FROM added_jobs UNION ALL SELECT n FROM notices)), event_id, job, "
        "randomblob(20), destination, event, parent_job_id, due_at, created_at, context, data FROM "
        "added_jobs LIMIT 1",
        /* an order that is not the commits' */
        "INSERT INTO events SELECT n + 1000, randomblob(20), source, name, jobs, sent_at, "
        "received_at, ingested_at, context, data FROM events LIMIT 1",
        "INSERT INTO added_jobs SELECT n + 1000, event_id, 77, randomblob(20), 'other', event, "
        "parent_job_id, due_at, created_at, context, data FROM added_jobs LIMIT 1",
        "INSERT INTO notices SELECT n + 1000, event_id, job, seq, created_at FROM notices",
        "INSERT INTO lives SELECT n + 2, life, created_at FROM lives",
        /* the number of a row of another table */
        "INSERT INTO notices SELECT (SELECT max(n) FROM events), event_id, job, seq, created_at "
        "FROM notices",
        "INSERT INTO events SELECT (SELECT max(n) FROM notices), randomblob(20), source, name, "
        "jobs, sent_at, received_at, ingested_at, context, data FROM events LIMIT 1",
    };
    fill(fixture);
    for (size_t i = 0; i < COUNT(statements); i++)
        assert_int_equal(fixture_sql(fixture, statements[i]), SQLITE_CONSTRAINT_TRIGGER);
    fixture_verify(fixture);
}

/* Whether a statement has a word outside of quotes and comments. */
static int has_word(const char *sql, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = sql; *at; at++) {
        if (*at == '\'')
            at = strchr(at + 1, '\'');
        else if (strncasecmp(at, word, len) == 0 && (at == sql || !strchr("_.", at[-1])) &&
                 strchr(" \n;", at[len]))
            return 1;
        if (!at)
            break;
    }
    return 0;
}

static void row_6_no_statement_updates_or_deletes(void **state)
{
    (void)state;
    static char text[64 << 10];
    FILE *file = fopen(queries_path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file), statements = 0;
    fclose(file);
    assert_true(len > 0 && len < sizeof text - 1);
    static const char *const words[] = {"UPDATE", "DELETE", "REPLACE", "DROP", "ALTER"};
    for (char *at = strstr(text, "-- name: "), *next; at; at = next, statements++) {
        next = strstr(at + 1, "-- name: ");
        if (next)
            next[-1] = '\0';
        if (strncmp(at, "-- name: ledger_schema", 22) == 0)
            continue; /* it speaks of both, in the triggers that refuse them */
        for (size_t i = 0; i < COUNT(words); i++)
            if (has_word(at, words[i]))
                fail_msg("%s: %.30s", words[i], at);
        if (next)
            next[-1] = '\n';
    }
    assert_true(statements > 15);
    assert_true(has_word("x;\nDELETE FROM t", "DELETE"));
}

static int trace(unsigned type, void *context, void *statement, void *detail)
{
    (void)type, (void)detail;
    const char *sql = sqlite3_sql(statement);
    if (has_word(sql, "UPDATE") || has_word(sql, "DELETE") || has_word(sql, "REPLACE"))
        ++*(int *)context;
    return 0;
}

static int offences;

/* SQLite calls this for every connection that is opened from now on. */
static int watch(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, trace, &offences);
}

static void row_6_nothing_that_runs_updates_or_deletes(void **state)
{
    struct fixture *fixture = *state;
    offences = 0;
    sqlite3_auto_extension((void (*)(void))watch);
    fixture_reopen(fixture);
    fill(fixture);
    fixture_verify(fixture);
    struct ingot_page *page = NULL;
    assert_int_equal(ingot_store_find(fixture->store, NULL, NULL, &page, NULL), INGOT_OK);
    ingot_page_destroy(page);
    fixture_reopen(fixture);
    assert_int_equal(offences, 0);
    fixture_sql(fixture, "DELETE FROM events"); /* the watch sees one when there is one */
    assert_true(offences > 0);
    sqlite3_cancel_auto_extension((void (*)(void))watch);
}

/* The connection that was opened last. */
static sqlite3 *captured;

static int capture(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message, (void)api;
    captured = db;
    return SQLITE_OK;
}

/* One integer, asked on the store's own connection. */
static int ask_captured(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(captured, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int value = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void row_6_the_stores_own_connection_is_refused_a_change(void **state)
{
    struct fixture *fixture = *state;
    static const char *const statements[] = {
        "UPDATE events SET source = source",
        "DELETE FROM events",
        "DROP TABLE events",
        "DROP TRIGGER events_update",
        "DROP INDEX transitions_discarded",
        "DROP VIEW jobs",
        "ALTER TABLE events RENAME TO e",
        "ATTACH ':memory:' AS other",
    };
    sqlite3_auto_extension((void (*)(void))capture);
    fixture_reopen(fixture);
    sqlite3_cancel_auto_extension((void (*)(void))capture);
    for (size_t i = 0; i < COUNT(statements); i++)
        assert_int_equal(sqlite3_exec(captured, statements[i], NULL, NULL, NULL), SQLITE_AUTH);
}

static void the_writer_syncs_every_commit_and_only_it_checkpoints(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_store *reader = NULL;
    sqlite3_auto_extension((void (*)(void))capture);
    fixture_reopen(fixture);
    assert_int_equal(ask_captured("PRAGMA synchronous"), 2);
    assert_int_equal(ask_captured("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(ask_captured("PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_READ, &reader, NULL), INGOT_OK);
    sqlite3_cancel_auto_extension((void (*)(void))capture);
    assert_int_equal(ask_captured("PRAGMA wal_autocheckpoint"), 0);
    ingot_store_close(reader);
}

static off_t size_of(const struct fixture *fixture, const char *suffix)
{
    char path[128];
    struct stat file;
    snprintf(path, sizeof path, "%s%s", fixture->path, suffix);
    return stat(path, &file) == 0 ? file.st_size : -1;
}

static void the_log_stays_bounded_under_many_commits(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_job job = fixture_job(fixture, "crm", "*");
    char *text = malloc(200001);
    assert_non_null(text);
    memset(text, 'x', 200000);
    text[0] = text[199999] = '"';
    off_t most = 0;
    for (int i = 0; i < 400; i++) { /* 80 MB */
        struct ingot_event event = fixture_event(fixture, &job, 1);
        event.data = (struct ingot_bytes){text, 200000};
        fixture_put(fixture, &event);
        off_t now = size_of(fixture, "-wal");
        most = now > most ? now : most;
    }
    free(text);
    assert_true(most > 1 << 20);
    assert_true(most < 20 << 20); /* 4000 pages of 4 KiB, and one commit more */
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(size_of(fixture, "-wal"), -1);
    fixture_reopen(fixture);
    assert_int_equal(fixture_verify(fixture).events, 400);
}

static void views_show_rows_that_people_can_read(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid id = fill(fixture);
    char text[28], sql[512], expected[512];
    ingot_ksuid_format(&id, text);
    snprintf(sql, sizeof sql,
             "SELECT group_concat(job || ' ' || destination || ' ' || event || ' ' || source || "
             "' ' || name || ' ' || context || ' ' || data || ' ' || (parent_job_id IS NOT NULL) "
             "|| ' ' || created_at, '; ') FROM (SELECT * FROM jobs WHERE event_id = '%s' ORDER BY "
             "job)",
             text);
    assert_string_equal(fixture_ask(fixture, sql),
                        "0 crm * shop order.paid {\"job\":1} {\"order\": 7} 0 "
                        "2026-11-23T12:00:00.000000Z; "
                        "1 mail order.paid shop order.paid {\"ip\":\"::1\"} {\"order\": 7} 0 "
                        "2026-11-23T12:00:00.000000Z; "
                        "2 log order.paid shop order.paid {\"ip\":\"::1\"} {\"order\": 7} 1 "
                        "2026-11-23T12:00:00.000000Z");
    snprintf(sql, sizeof sql,
             "SELECT group_concat(job || ' ' || destination || ' ' || state || ' ' || attempt || "
             "' ' || seq || ' ' || coalesce(due_at, '-') || ' ' || since, '; ') FROM (SELECT * "
             "FROM job_states WHERE event_id = '%s' ORDER BY job)",
             text);
    assert_string_equal(fixture_ask(fixture, sql),
                        "0 crm succeeded 2 5 - 2026-11-23T12:00:07.000123Z; "
                        "1 mail awaiting 0 0 2026-11-23T12:00:00.000001Z "
                        "2026-11-23T12:00:00.000000Z; "
                        "2 log executing 1 1 - 2026-11-23T12:00:07.000123Z");
    ingot_ksuid owner = fixture_owner('a');
    char owner_text[28];
    ingot_ksuid_format(&owner, owner_text);
    snprintf(sql, sizeof sql,
             "SELECT group_concat(seq || ' ' || attempt || ' ' || coalesce(state_before, '-') || "
             "' ' || state_after || ' ' || coalesce(owner, '-'), '; ') FROM (SELECT * FROM history "
             "WHERE event_id = '%s' AND job = 2 ORDER BY seq)",
             text);
    snprintf(expected, sizeof expected, "0 0 - acknowledged -; 1 1 acknowledged executing %s",
             owner_text);
    assert_string_equal(fixture_ask(fixture, sql), expected);
}

static void the_history_views_ids_are_those_of_the_library(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    struct ingot_page *all = NULL;
    size_t compared = 0;
    /* ids at both ends of the range, for the arithmetic of the view */
    static const uint8_t fillings[] = {0x00, 0xff, 0x80, 0x01};
    for (size_t i = 0; i < COUNT(fillings); i++) {
        struct ingot_job job = fixture_job(fixture, "crm", "*");
        struct ingot_event event = fixture_event(fixture, &job, 1);
        memset(event.id.bytes + 4, fillings[i], 16);
        memset(job.id.bytes, fillings[i], 20);
        if (fillings[i] == 0)
            job.id.bytes[19] = 1;
        fixture_put(fixture, &event);
        fixture_walk(fixture, &event.id, 0, (enum ingot_state[]){EXECUTING, SUCCEEDED, NONE});
    }
    assert_int_equal(ingot_store_find(fixture->store, NULL, NULL, &all, NULL), INGOT_OK);
    for (size_t e = 0; e < all->event_count; e++)
        for (size_t j = 0; j < all->events[e].job_count; j++) {
            const struct ingot_job *job = &all->events[e].jobs[j];
            struct ingot_page *page = NULL;
            char event_text[28], job_text[28], sql[256];
            ingot_ksuid_format(&job->event_id, event_text);
            ingot_ksuid_format(&job->id, job_text);
            assert_int_equal(
                ingot_store_history(fixture->store, NULL, &job->event_id, job->number, &page, NULL),
                INGOT_OK);
            snprintf(sql, sizeof sql, "SELECT id FROM jobs WHERE event_id = '%s' AND job = %u",
                     event_text, job->number);
            assert_string_equal(fixture_ask(fixture, sql), job_text);
            snprintf(sql, sizeof sql,
                     "SELECT count(*) FROM history WHERE event_id = '%s' AND job = %u", event_text,
                     job->number);
            assert_int_equal(strtol(fixture_ask(fixture, sql), NULL, 10), page->transition_count);
            for (size_t t = 0; t < page->transition_count; t++, compared++) {
                char id[28];
                ingot_ksuid_format(&page->transitions[t].id, id);
                snprintf(sql, sizeof sql,
                         "SELECT id FROM history WHERE event_id = '%s' AND job = %u AND seq = %u",
                         event_text, job->number, page->transitions[t].seq);
                assert_string_equal(fixture_ask(fixture, sql), id);
            }
            ingot_page_destroy(page);
        }
    ingot_page_destroy(all);
    assert_true(compared >= 20);
}

static void a_second_writer_is_refused_and_told_who_writes(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_store *second = NULL;
    struct ingot_options options;
    struct ingot_holder holder;
    struct ingot_error err = {0};
    char expected[256];
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &second, &err), INGOT_HELD);
    assert_null(second);
    snprintf(expected, sizeof expected,
             "store/sqlite: %s is held by process %d; one process at a time writes to it",
             fixture->path, (int)getpid());
    assert_string_equal(err.message, expected);
    assert_int_equal(ingot_store_announce(fixture->store, "127.0.0.1:8080", &err), INGOT_OK);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &second, &err), INGOT_HELD);
    snprintf(expected, sizeof expected,
             "store/sqlite: %s is held by process %d at 127.0.0.1:8080; one process at a time "
             "writes to it",
             fixture->path, (int)getpid());
    assert_string_equal(err.message, expected);
    assert_int_equal(ingot_options_from_url(fixture->url, &options, NULL), INGOT_OK);
    assert_int_equal(ingot_options_holder(&options, &holder, &err), INGOT_OK);
    assert_int_equal(holder.pid, getpid());
    assert_string_equal(holder.address, "127.0.0.1:8080");
    assert_int_equal(ingot_store_announce(fixture->store, "", &err), INGOT_OK);
    assert_int_equal(ingot_options_holder(&options, &holder, &err), INGOT_OK);
    assert_string_equal(holder.address, "");
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(ingot_options_holder(&options, &holder, &err), INGOT_NOT_FOUND);
    fixture_reopen(fixture);
}

static void a_reader_works_beside_the_writer_and_sees_what_is_committed(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_store *reader = NULL;
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    assert_int_equal(fixture_open(fixture, INGOT_MODE_READ, &reader, &err), INGOT_OK);
    for (size_t i = 1; i <= 3; i++) {
        fixture_put_one(fixture, "crm");
        assert_int_equal(ingot_store_find(reader, NULL, NULL, &page, NULL), INGOT_OK);
        assert_int_equal(page->event_count, i);
        ingot_page_destroy(page);
    }
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    struct ingot_queue queue = {&event, 1};
    assert_int_equal(ingot_store_insert_queue(reader, &fixture->toolkit, &queue, NULL, &err),
                     INGOT_DENIED);
    assert_string_equal(err.message, "store/sqlite: the store is open for reading only");
    assert_int_equal(ingot_store_announce(reader, "x", &err), INGOT_DENIED);
    ingot_store_close(reader);
    fixture_put_one(fixture, "crm");
    fixture_verify(fixture);
}

static void a_writer_that_died_stands_in_nobodys_way(void **state)
{
    struct fixture *fixture = *state;
    char text[28] = "";
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    pid_t child = fork();
    if (child == 0) {
        fixture_reopen(fixture);
        ingot_ksuid id = fixture_put_one(fixture, "crm");
        ingot_ksuid_format(&id, text);
        ssize_t written = write(pipe_ends[1], text, sizeof text);
        _exit(written == (ssize_t)sizeof text ? 0 : 1); /* without closing anything */
    }
    int ended = -1;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    assert_int_equal(read(pipe_ends[0], text, sizeof text), sizeof text);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    struct ingot_store *reader = NULL;
    struct ingot_page *page = NULL;
    off_t log_size = size_of(fixture, "-wal");
    assert_true(log_size > 0);
    /* A reader reads the log that was left behind, and leaves it as it is. */
    assert_int_equal(fixture_open(fixture, INGOT_MODE_READ, &reader, NULL), INGOT_OK);
    assert_int_equal(ingot_store_find(reader, NULL, NULL, &page, NULL), INGOT_OK);
    assert_int_equal(page->event_count, 1);
    ingot_page_destroy(page);
    ingot_store_close(reader);
    assert_int_equal(size_of(fixture, "-wal"), log_size);
    fixture_reopen(fixture);
    ingot_ksuid id;
    assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &id, NULL), INGOT_OK);
    assert_int_equal(fixture_state(fixture, &id, 0), ACKNOWLEDGED);
    fixture_verify(fixture);
}

/* Expects a URL not to open, with a message that has this part. */
static void expect_no_store(const char *path, enum ingot_mode mode, enum ingot_status expected,
                            const char *part)
{
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    options.from = "sqlite";
    options.connection = path;
    options.mode = mode;
    enum ingot_status status = ingot_store_open(&options, NULL, &store, &err);
    if (status != expected || !strstr(err.message, part))
        fail_msg("%s: %d: %s", path, status, err.message);
    assert_null(store);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void what_is_no_store_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    char path[128], text[64] = "";
    snprintf(path, sizeof path, "%s/notes.txt", fixture->folder);
    write_file(path, "these are notes, of more than sixteen bytes, and no database at all\n");
    for (int mode = INGOT_MODE_WRITE; mode <= INGOT_MODE_READ; mode++)
        expect_no_store(path, (enum ingot_mode)mode, INGOT_CORRUPT, "file is not a database");
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, 16, file));
    fclose(file);
    assert_string_equal(text, "these are notes");
}

static void another_programs_database_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(unlink(fixture->path), 0);
    write_file(fixture->path, "");
    assert_int_equal(fixture_sql(fixture, "CREATE TABLE theirs (x); PRAGMA user_version = 7"), 0);
    for (int mode = INGOT_MODE_WRITE; mode <= INGOT_MODE_READ; mode++)
        expect_no_store(fixture->path, (enum ingot_mode)mode, INGOT_INVALID,
                        "is an SQLite database, but not an Ingot store; choose another path");
    assert_string_equal(fixture_ask(fixture, "SELECT group_concat(name) FROM sqlite_schema"),
                        "theirs");
    assert_string_equal(fixture_ask(fixture, "PRAGMA journal_mode"), "delete");
}

static void a_store_that_is_not_there_is_not_made_by_a_reader(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/none.db", fixture->folder);
    expect_no_store(path, INGOT_MODE_READ, INGOT_NOT_FOUND, "there is no store at");
    assert_int_equal(access(path, F_OK), -1);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[5000];
    snprintf(path, sizeof path, "%s/no/such/folder.db", fixture->folder);
    expect_no_store(path, INGOT_MODE_WRITE, INGOT_DENIED, "no/such/folder.db");
    expect_no_store(path, INGOT_MODE_READ, INGOT_NOT_FOUND, "there is no store at");
    expect_no_store(fixture->folder, INGOT_MODE_WRITE, INGOT_DENIED, "is a folder");
    expect_no_store(fixture->folder, INGOT_MODE_READ, INGOT_DENIED, "is a folder");
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    expect_no_store(path, INGOT_MODE_WRITE, INGOT_INVALID, "is too long");
}

static void a_folder_without_rights_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/closed", fixture->folder);
    assert_int_equal(mkdir(path, 0555), 0);
    strncat(path, "/store.db", sizeof path - strlen(path) - 1);
    pid_t child = fork();
    if (child == 0) {
        /* root may write anywhere, so be somebody else */
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        struct ingot_options options = INGOT_OPTIONS_INIT;
        struct ingot_store *store = NULL;
        struct ingot_error err = {0};
        options.from = "sqlite";
        options.connection = path;
        _exit(ingot_store_open(&options, NULL, &store, &err) == INGOT_DENIED && !store &&
                      strstr(err.message, "Permission denied")
                  ? 0
                  : 1);
    }
    int ended = -1;
    assert_int_equal(chmod(fixture->folder, 0755), 0);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
}

static void one_store_has_one_lock_by_whatever_path_it_is_opened(void **state)
{
    struct fixture *fixture = *state;
    char link_path[128], other[200], target[128];
    struct ingot_store *store = NULL;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_error err = {0};
    snprintf(link_path, sizeof link_path, "%s/link", fixture->folder);
    assert_int_equal(symlink(fixture->path, link_path), 0);
    expect_no_store(link_path, INGOT_MODE_WRITE, INGOT_HELD, "is held by process");
    snprintf(other, sizeof other, "%s/../%s/store.db", fixture->folder,
             strrchr(fixture->folder, '/') + 1);
    expect_no_store(other, INGOT_MODE_WRITE, INGOT_HELD, "is held by process");
    /* A link to what is not there yet could be opened by two names at once. */
    snprintf(target, sizeof target, "%s/later.db", fixture->folder);
    snprintf(link_path, sizeof link_path, "%s/dangling", fixture->folder);
    assert_int_equal(symlink(target, link_path), 0);
    expect_no_store(link_path, INGOT_MODE_WRITE, INGOT_DENIED, "dangling");
    options.from = "sqlite";
    options.connection = target;
    assert_int_equal(ingot_store_open(&options, NULL, &store, &err), INGOT_OK);
    ingot_store_close(store);
}

static void a_person_may_insert_while_the_store_is_open(void **state)
{
    struct fixture *fixture = *state;
    fixture_put_one(fixture, "crm");
    assert_int_equal(
        fixture_sql(fixture, "INSERT INTO events SELECT n + 1, randomblob(20), source, name, '[]', "
                             "sent_at, received_at, ingested_at, context, data FROM events"),
        0);
    fixture_put_one(fixture, "crm");
    assert_string_equal(
        fixture_ask(fixture, "SELECT group_concat(n) FROM (SELECT n FROM events ORDER BY n)"),
        "1,2,3");
    fixture_verify(fixture);
}

static void the_schema_works_in_a_shell_without_our_library(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    assert_string_equal(fixture_ask(fixture, "PRAGMA integrity_check"), "ok");
    assert_string_equal(fixture_ask(fixture, "SELECT count(*) FROM history WHERE length(id) <> 27"),
                        "0");
    assert_string_equal(fixture_ask(fixture, "SELECT group_concat(DISTINCT state) FROM (SELECT "
                                             "state FROM job_states ORDER BY state)"),
                        "awaiting,discarded,executing,succeeded");
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(row_6_no_row_of_any_table_can_be_changed),
        TEST(row_6_a_second_key_cannot_be_overwritten_either),
        TEST(row_6_no_statement_updates_or_deletes),
        TEST(row_6_nothing_that_runs_updates_or_deletes),
        TEST(row_6_the_stores_own_connection_is_refused_a_change),
        TEST(the_writer_syncs_every_commit_and_only_it_checkpoints),
        TEST(the_log_stays_bounded_under_many_commits),
        TEST(views_show_rows_that_people_can_read),
        TEST(the_history_views_ids_are_those_of_the_library),
        TEST(a_second_writer_is_refused_and_told_who_writes),
        TEST(a_reader_works_beside_the_writer_and_sees_what_is_committed),
        TEST(a_writer_that_died_stands_in_nobodys_way),
        TEST(what_is_no_store_is_left_alone),
        TEST(another_programs_database_is_left_alone),
        TEST(a_store_that_is_not_there_is_not_made_by_a_reader),
        TEST(a_path_that_cannot_be_is_refused),
        TEST(a_folder_without_rights_is_refused),
        TEST(one_store_has_one_lock_by_whatever_path_it_is_opened),
        TEST(a_person_may_insert_while_the_store_is_open),
        TEST(the_schema_works_in_a_shell_without_our_library),
    };
#undef TEST
    if (argc != 2)
        return 2;
    queries_path = argv[1];
    fixture_use("sqlite");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
