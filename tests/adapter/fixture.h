/*
 * What the tests of the store share: a fresh store of some kind, with a clock
 * and random numbers of its own, and short ways to make rows.
 */
#ifndef INGOT_TESTS_ADAPTER_FIXTURE_H
#define INGOT_TESTS_ADAPTER_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ingot/adapter.h>

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

/* 2026-11-23T12:00:00Z: where each test's clock begins, unless the server has its own. */
#define NOON_US INT64_C(1795435200000000)

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct fixture {
    char folder[64];   /* of its own, removed with all that is in it */
    char path[96];     /* of the sqlite file */
    char database[48]; /* of the postgres server */
    char url[128];
    int64_t now_us;
    int64_t begun_us; /* by the real clock */
    unsigned seed;
    struct ingot_toolkit toolkit; /* with this clock and these random numbers */
    struct ingot_ksuid_generator generator;
    struct ingot_store *store;
};

/*
 * The kind of store that follows: "memory", "sqlite" or "postgres". For the last
 * the program needs a server, and ends if there is none.
 */
void fixture_use(const char *kind);

/* For tests on postgres that change what belongs to the database: each gets one of its own. */
void fixture_use_own_databases(void);

/* Whether it outlives its handle. */
int fixture_is_durable(void);

/* Whether the store goes by the fixture's clock; else now_us is the second of the set-up. */
int fixture_has_clock(void);

/* Whether this is what the store took for the present time since the set-up. */
void fixture_assert_now(const struct fixture *fixture, int64_t time_us);

/* For cmocka: *state is the fixture, its store is open. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Closes the store and opens it again, if it is durable. */
void fixture_reopen(struct fixture *fixture);

/* Opens the fixture's store once more. */
enum ingot_status fixture_open(struct fixture *fixture, enum ingot_mode mode,
                               struct ingot_store **ret_store, struct ingot_error *err);

/*
 * Runs SQL in the store by a connection of its own, on postgres as superuser
 * with the schema in the path; 0, SQLite's extended result code, or -1.
 */
int fixture_sql(const struct fixture *fixture, const char *sql);

/* The one text that a query gives, in a buffer that the next call uses again. */
const char *fixture_ask(const struct fixture *fixture, const char *sql);

/*
 * Replaces a function of a store on PostgreSQL by one that answers the same with one column
 * more, as a newer version might do under a running process.
 */
void fixture_widen(const struct fixture *fixture, const char *function);

/* A fresh id of the present second. */
ingot_ksuid fixture_id(struct fixture *fixture);

/* A fresh id of the second of an instant. */
ingot_ksuid fixture_id_of(struct fixture *fixture, int64_t time_us);

/* Rows with fresh ids and short contents. Jobs belong to the array's owner. */
struct ingot_event fixture_event(struct fixture *fixture, struct ingot_job *jobs, size_t job_count);
struct ingot_job fixture_job(struct fixture *fixture, const char *destination, const char *event);

/* Stores an event; the test fails if that does not work. */
void fixture_put(struct fixture *fixture, const struct ingot_event *event);

/* Stores an event with one job for the destination and returns its id. */
ingot_ksuid fixture_put_one(struct fixture *fixture, const char *destination);

/* An owner, one for each letter. */
ingot_ksuid fixture_owner(char letter);

/* A transition by the owner 'a', or by nobody where nothing is executed. */
struct ingot_transition fixture_row(const ingot_ksuid *event_id, uint32_t job, uint32_t seq,
                                    enum ingot_state before, enum ingot_state after,
                                    uint16_t attempt);

/* Adds one transition and returns its verdict. */
enum ingot_verdict fixture_add(struct fixture *fixture, const struct ingot_transition *row);

/* Adds transitions that must be stored: the states that job 0 passes, ended by INGOT_STATE_NONE. */
void fixture_walk(struct fixture *fixture, const ingot_ksuid *event_id, uint32_t job,
                  const enum ingot_state *states);

/* A job's present state. */
enum ingot_state fixture_state(struct fixture *fixture, const ingot_ksuid *event_id, uint32_t job);

/* Verifies the store; the test fails if there is a violation. */
struct ingot_verification fixture_verify(struct fixture *fixture);

/* Expects exactly one validation. */
void assert_validation(const struct ingot_error *err, const char *path, const char *message);

#endif
