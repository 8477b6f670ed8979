/*
 * The adapter "postgres" on libpq: one connection a handle, and one more where
 * wake-ups are sent and heard. Shared by the adapter's files.
 *
 * A statement goes out unnamed, with binary parameters and results; those of every
 * delivery have names on connections that are used for long, but not behind a pooler
 * (docs/decisions/0021). What would cost to plan is a function of the schema, whose
 * plans the server keeps; its settings (lock_timeout, jit, search_path) are clauses of
 * the function, which hold behind any pooler and for any role.
 */
#ifndef INGOT_ADAPTERS_POSTGRES_H
#define INGOT_ADAPTERS_POSTGRES_H

#include <ingot/adapter.h>
#include <libpq-fe.h>

struct postgres_bell;   /* bell.c: the connection of wake-ups */
struct postgres_flight; /* commit.c */

struct postgres_store {
    PGconn *connection; /* NULL while there is none: postgres_ready() makes it */
    char *conninfo;     /* holds the password: never shown */
    struct postgres_bell *bell;
    enum ingot_mode mode;
    int started;     /* the schema was seen to be the newest: checks are due after a connect */
    int epoch;       /* of the store, read after each connect */
    int is_pooled;   /* behind a pooler, which may take the server away after each Sync; likewise */
    unsigned uses;   /* of a connection that was there, up to as many as give it names */
    int has_names;   /* it has those of postgres_name_statements() */
    int is_nameless; /* one lost them: none are given any more */
    int64_t next_connect_us;         /* monotonic: no try before that */
    int64_t connect_wait_us;         /* doubles with each failure, with jitter */
    char refusal[240];               /* why the last try failed; a struct ingot_error's message */
    struct postgres_flight *flights; /* of commit.c: commits that are not finished, oldest first */
    size_t unanswered;               /* pipelines that were sent and not received */
};

/*
 * Has a connection that works, by the rules of PROTOCOL 7: after each connect
 * it is no standby, fsync is on, the clock is near ours and the epoch is known.
 * INGOT_RETRY while none can be had, at once, with the time of the next try.
 */
enum ingot_status postgres_ready(struct postgres_store *store, const struct ingot_toolkit *toolkit,
                                 struct ingot_error *err);

/*
 * Classes what went wrong by SQLSTATE, or by the lack of one, and describes it
 * without secrets; what names what was done ("could not read"). result may be
 * NULL. A connection that is broken, or has lost a name, is closed: the next
 * postgres_ready() makes another. Never INGOT_UNKNOWN: that is the committing caller's to know.
 */
enum ingot_status postgres_failure(struct postgres_store *store, const PGresult *result,
                                   struct ingot_error *err, const char *what);

enum ingot_status postgres_no_memory(struct ingot_error *err);

/* ---- postgres.c: what bell.c needs of it --------------------------------- */

/* The parameters of a connection, as libpq takes them. */
struct postgres_target {
    const char *keywords[16], *values[16];
    size_t count;
};

/* What libpq is to make of a store's URL; the same where it is none. */
const char *postgres_conninfo(const char *url);

/* INGOT_INVALID if libpq would not understand it, or would show parts of a password. */
enum ingot_status postgres_check_conninfo(const char *conninfo, struct ingot_error *err);

/* Begins a target, with our defaults for what nobody has set. */
void postgres_aim(struct postgres_target *target, const char *conninfo);
void postgres_aim_at(struct postgres_target *target, const char *keyword, const char *value);

/* For PQsetNoticeReceiver(): libpq would write them to standard error. */
void postgres_ignore_notice(void *context, const PGresult *result);

int64_t postgres_monotonic_us(void);

/* The wait after a connection failed, from the one before it, or 0. */
int64_t postgres_longer_us(int64_t wait_us);

/* ---- values.c: parameters and columns in binary form -------------------- */

#define POSTGRES_PARAMETERS_MAX 24

/* The types of parameters and of elements of arrays. */
enum postgres_type {
    POSTGRES_INT,
    POSTGRES_LONG,
    POSTGRES_TEXT,
    POSTGRES_JSON,
    POSTGRES_BYTES,
    POSTGRES_TIME
};

/* The parameters of one statement. Zero-initialise; fini frees. */
struct postgres_parameters {
    int count;
    Oid types[POSTGRES_PARAMETERS_MAX];
    char *values[POSTGRES_PARAMETERS_MAX]; /* NULL: SQL NULL */
    int lengths[POSTGRES_PARAMETERS_MAX];
    size_t sizes[POSTGRES_PARAMETERS_MAX]; /* allocated */
    size_t bytes;                          /* of all of them */
    int first;                             /* of rows: the parameter of the first column */
    size_t columns, column;                /* how many; of the next value */
    size_t values_left;                    /* that the rows still lack */
    unsigned filled;                       /* a bit for each column that has a value */
    enum ingot_status failed; /* memory ran out, or there is more than a message can hold */
};
void postgres_parameters_fini(struct postgres_parameters *parameters);

/*
 * Begins rows, as one array for each of their columns for unnest: the values
 * that are added next are theirs, row by row. Texts serve for JSON.
 */
void postgres_begin_rows(struct postgres_parameters *parameters, const enum postgres_type *types,
                         size_t columns, size_t rows);

/* Add the next parameter or value of a row; absent bytes, none ids and INGOT_NO_TIME are NULL. */
void postgres_add_null(struct postgres_parameters *parameters);
void postgres_add_int(struct postgres_parameters *parameters, int32_t value);
void postgres_add_long(struct postgres_parameters *parameters, int64_t value);
void postgres_add_text(struct postgres_parameters *parameters, struct ingot_bytes text);
void postgres_add_bytes(struct postgres_parameters *parameters, struct ingot_bytes bytes);
void postgres_add_ksuid(struct postgres_parameters *parameters, const ingot_ksuid *id);
void postgres_add_time(struct postgres_parameters *parameters, int64_t time_us);

/* One of several statements that are sent together. */
struct postgres_statement {
    const char *sql;
    const struct postgres_parameters *parameters; /* NULL: none */
    PGresult *result;                             /* out, in binary form; NULL before */
};

enum postgres_effect {
    POSTGRES_READS,  /* or writes in a transaction that stays open */
    POSTGRES_COMMITS /* if the answer does not come, what became of it is INGOT_UNKNOWN */
};

/*
 * Sends statements in a pipeline and waits for their rows: one round trip. They
 * are one transaction unless one of them begins or ends another. On success
 * postgres_clear() clears the results; a failure is classed, and there are none.
 */
enum ingot_status postgres_run(struct postgres_store *store, struct postgres_statement *statements,
                               size_t count, enum postgres_effect effect, struct ingot_error *err,
                               const char *what);
void postgres_clear(struct postgres_statement *statements, size_t count);

/*
 * The same in two halves; the statements and parameters stay until the second.
 * Several may be sent before the first is received, in the order of sending: each
 * is a transaction of its own. Receive is only called when send returned INGOT_OK.
 */
enum ingot_status postgres_send(struct postgres_store *store,
                                const struct postgres_statement *statements, size_t count,
                                enum postgres_effect effect, struct ingot_error *err,
                                const char *what);
enum ingot_status postgres_receive(struct postgres_store *store,
                                   struct postgres_statement *statements, size_t count,
                                   enum postgres_effect effect, struct ingot_error *err,
                                   const char *what);

/* The same for one statement that only reads; the caller clears *ret_result. */
enum ingot_status postgres_query(struct postgres_store *store, const char *sql,
                                 const struct postgres_parameters *parameters,
                                 PGresult **ret_result, struct ingot_error *err, const char *what);

/* Sends one statement within a pipeline that the caller begins and ends; 0 as libpq. */
int postgres_send_statement(struct postgres_store *store, const char *sql,
                            const struct postgres_parameters *parameters);

/*
 * Gives the connection names for the statements of every delivery, which the server then
 * need not parse and analyse again. Not behind a pooler, whose servers do not know them. A
 * failure is that of the connection: if the server refuses, all goes on without names.
 */
enum ingot_status postgres_name_statements(struct postgres_store *store, struct ingot_error *err);

/* Closes a connection of which nothing can be relied on: postgres_ready() makes another. */
void postgres_drop(struct postgres_store *store);

/* Ends a transaction that is open, undoing it, unless commits were sent; a connection that cannot is closed. */
void postgres_rollback(struct postgres_store *store);

/* Read a column of a row; NULL gives 0, absent, none or INGOT_NO_TIME. Bytes point into the result. */
int64_t postgres_get_int(const PGresult *result, int row,
                         int column); /* smallint, int, bigint, bool, xid8 */
struct ingot_bytes postgres_get_bytes(const PGresult *result, int row, int column);
ingot_ksuid postgres_get_ksuid(const PGresult *result, int row, int column);
int64_t postgres_get_time(const PGresult *result, int row, int column);

/* ---- read.c: what the others need of it --------------------------------- */

/*
 * Begins a transaction that only reads, of one snapshot; whatever came of it,
 * postgres_rollback() ends it.
 */
enum ingot_status postgres_begin_reading(struct postgres_store *store,
                                         const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err);

/*
 * Events with all their jobs, latest filled, ascending; the ids are ascending and
 * distinct, and unknown ones are left out. In the transaction that is open, if one is;
 * else each thousand of them is of a snapshot of its own.
 */
enum ingot_status postgres_read_events(struct postgres_store *store, const ingot_ksuid *event_ids,
                                       size_t event_count, enum ingot_detail detail,
                                       struct ingot_page *page, struct ingot_event **ret_events,
                                       size_t *ret_count, struct ingot_error *err);

/*
 * The same events as they were given: with the jobs born with them only, and not
 * those that are damaged. There is room for event_count.
 */
enum ingot_status postgres_read_born(struct postgres_store *store, const ingot_ksuid *event_ids,
                                     size_t event_count, struct ingot_page *page,
                                     struct ingot_event *ret_events, size_t *ret_count,
                                     struct ingot_error *err);

/* A row of the table transitions, all its columns; 0 if it is not what Ingot writes. */
int postgres_get_transition(const PGresult *result, int row, struct ingot_transition *transition);

/* Puts a number that is in range into an unsigned; 0 if it is not. */
int postgres_get_number(const PGresult *result, int row, int column, uint32_t max,
                        uint32_t *ret_number);

/* INGOT_CORRUPT: the store holds what. */
enum ingot_status postgres_corrupt(struct ingot_error *err, const char *what);

/* ---- the slots ---------------------------------------------------------- */

/* commit.c */
enum ingot_status postgres_commit(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_commit *commit, struct ingot_error *err);
enum ingot_status postgres_send_commit(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err);
enum ingot_status postgres_finish_commit(void *handle, const struct ingot_toolkit *toolkit,
                                         struct ingot_commit *commit, struct ingot_error *err);
void postgres_forget_flights(struct postgres_store *store); /* that nobody will finish */
enum ingot_status postgres_publish_routes(void *handle, const struct ingot_toolkit *toolkit,
                                          struct ingot_bytes routes, struct ingot_error *err);

/* read.c */
enum ingot_status postgres_events(void *handle, const struct ingot_toolkit *toolkit,
                                  const ingot_ksuid *event_ids, size_t event_count,
                                  enum ingot_detail detail, struct ingot_page *page,
                                  struct ingot_error *err);
enum ingot_status postgres_find(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page *page,
                                struct ingot_error *err);
enum ingot_status postgres_history(void *handle, const struct ingot_toolkit *toolkit,
                                   const ingot_ksuid *event_id, uint32_t job,
                                   struct ingot_page *page, struct ingot_error *err);
enum ingot_status postgres_counts(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_counts *counts,
                                  struct ingot_error *err);
enum ingot_status postgres_scan(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_visitor *visitor, struct ingot_error *err);
enum ingot_status postgres_routes(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_bytes *ret_routes,
                                  struct ingot_error *err);

/* follow.c */
enum ingot_status postgres_follow(void *handle, const struct ingot_toolkit *toolkit,
                                  const struct ingot_following *from,
                                  int (*sighted)(void *context, const struct ingot_sighting *),
                                  void *context, struct ingot_page *page,
                                  struct ingot_followed *ret_followed, struct ingot_error *err);

/* presence.c: heartbeats, checkpoints, settings, segments */
enum ingot_status postgres_heartbeat(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_heartbeat *heartbeat, int64_t past_us,
                                     struct ingot_page *page,
                                     struct ingot_heartbeats *ret_heartbeats,
                                     struct ingot_error *err);
enum ingot_status postgres_add_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                           const struct ingot_checkpoint *checkpoints, size_t count,
                                           struct ingot_error *err);
enum ingot_status postgres_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                       const struct ingot_lanes *lanes, int64_t before_us,
                                       struct ingot_page *page,
                                       struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                       struct ingot_error *err);
enum ingot_status postgres_make_segments(void *handle, const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err);
enum ingot_status postgres_settings(void *handle, const struct ingot_toolkit *toolkit,
                                    struct ingot_page *page, struct ingot_setting **ret_settings,
                                    size_t *ret_count, struct ingot_error *err);
enum ingot_status postgres_accept_restore(void *handle, const struct ingot_toolkit *toolkit,
                                          struct ingot_error *err);

/* bell.c */
/* By wake_connection and wake_name; nothing is opened yet. */
enum ingot_status postgres_bell_create(const struct ingot_options *options,
                                       struct postgres_bell **ret_bell, struct ingot_error *err);
void postgres_wake(void *handle);
enum ingot_status postgres_wait(void *handle, const struct ingot_toolkit *toolkit,
                                int64_t timeout_us, struct ingot_error *err);
void postgres_bell_destroy(struct postgres_bell *bell); /* NULL is allowed */

#endif
