/*
 * The adapter "sqlite": one file, one writing process, one connection that
 * writes and checkpoints (DESIGN section 6). Shared by the adapter's files.
 */
#ifndef INGOT_ADAPTERS_SQLITE_H
#define INGOT_ADAPTERS_SQLITE_H

#include <ingot/adapter.h>
#include <sqlite3.h>

/* The prepared statements; queries.sql has their text. */
enum statement {
    S_LAST_N,
    S_LIFE,
    S_INSERT_EVENT,
    S_INSERT_TRANSITION,
    S_INSERT_ADDED_JOB,
    S_INSERT_NOTICE,
    S_INSERT_RETIREMENT,
    S_EVENT,
    S_EVENTS_FROM,
    S_FIND,
    S_FIND_DISCARDED,
    S_SCAN_EVENTS,
    S_ADDED_JOBS,
    S_HAS_ADDED_JOBS,
    S_LATEST,
    S_TRANSITIONS_FROM,
    S_CHAIN,
    S_TRANSITION,
    S_SCAN_TRANSITIONS,
    S_TOTALS,
    S_COUNTS,
    S_NEWEST_ROUTES,
    S_INSERT_ROUTES,
    S_NEW_EVENTS,
    S_NEW_JOBS,
    S_NEW_NOTICES,
    S_NEXT_TAKEN,
    S_INSERT_CHECKPOINT,
    S_NEWEST_CHECKPOINT,
    S_CHECKPOINT_PARTS,
    S_INSERT_LIFE,
    S_SETTINGS,
    S_BEGIN,
    S_BEGIN_IMMEDIATE,
    S_COMMIT,
    S_ROLLBACK,
    S_COUNT
};

struct sqlite_store {
    sqlite3 *db;
    int lock_fd;     /* holds the flock on PATH-lock; -1 for a reader */
    char path[4096]; /* absolute */
    int failed;      /* a commit met an I/O error: of no more use (PROTOCOL 2.5) */
    int wal_pages;   /* in the WAL after the last commit */
    int64_t last_n;  /* commit order: the newest number given, within a commit */
    int64_t last_us; /* created_at never goes below what was read or written */
    const struct ingot_toolkit *toolkit; /* of the call that runs: for the progress handler */
    sqlite3_stmt *statements[S_COUNT];
};

/* Classes a result code of SQLite and describes it; what names what was done. */
enum ingot_status sqlite_failure(struct sqlite_store *store, struct ingot_error *err,
                                 const char *what);

/* Whether the last failure was SQLite's own judgement of the file, and not ours of a row. */
int sqlite_engine_is_corrupt(struct sqlite_store *store);

enum ingot_status sqlite_no_memory(struct ingot_error *err);

/* Runs a statement that gives no row, and resets it. */
int sqlite_run(struct sqlite_store *store, enum statement statement);

/* Begins a transaction with one of the statements for it. */
int sqlite_begin(struct sqlite_store *store, enum statement statement);

/* The time for what is written now. */
int64_t sqlite_now(struct sqlite_store *store, const struct ingot_toolkit *toolkit);

/* Notes a created_at that was read, so that nothing later gets an earlier one. */
void sqlite_saw_time(struct sqlite_store *store, int64_t time_us);

/* Absent bytes and none ids are bound as NULL. */
void sqlite_bind_bytes(sqlite3_stmt *statement, int index, struct ingot_bytes text);
void sqlite_bind_ksuid(sqlite3_stmt *statement, int index, const ingot_ksuid *id);
void sqlite_bind_time(sqlite3_stmt *statement, int index, int64_t time_us);

/*
 * Reads one event with the jobs born with it; the second puts those added later
 * behind them. Their latest are the births. For a caller that has a transaction open.
 */
enum ingot_status sqlite_read_event(struct sqlite_store *store, const ingot_ksuid *event_id,
                                    enum ingot_detail detail, struct ingot_page *page,
                                    struct ingot_event *ret_event, struct ingot_error *err);
enum ingot_status sqlite_read_added_jobs(struct sqlite_store *store, struct ingot_event *event,
                                         enum ingot_detail detail, struct ingot_page *page,
                                         struct ingot_error *err);

/* Whether the transition of that number is there and is ingot_transition_same(). Likewise. */
enum ingot_status sqlite_has_transition(struct sqlite_store *store,
                                        const struct ingot_transition *given, int *ret_has,
                                        struct ingot_error *err);

/* What every read begins and ends with: one transaction, and so one snapshot. */
enum ingot_status sqlite_read_begin(struct sqlite_store *store, const struct ingot_toolkit *toolkit,
                                    struct ingot_error *err);
enum ingot_status sqlite_read_end(struct sqlite_store *store, enum ingot_status status);

/* A column's bytes until the next step; NULL is absent. */
struct ingot_bytes sqlite_get_bytes(sqlite3_stmt *row, int column);

/* The slots. */
enum ingot_status sqlite_commit(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_commit *commit, struct ingot_error *err);
enum ingot_status sqlite_publish_routes(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_bytes routes, struct ingot_error *err);
enum ingot_status sqlite_events(void *handle, const struct ingot_toolkit *toolkit,
                                const ingot_ksuid *event_ids, size_t event_count,
                                enum ingot_detail detail, struct ingot_page *page,
                                struct ingot_error *err);
enum ingot_status sqlite_find(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_where *where, struct ingot_page *page,
                              struct ingot_error *err);
enum ingot_status sqlite_history(void *handle, const struct ingot_toolkit *toolkit,
                                 const ingot_ksuid *event_id, uint32_t job, struct ingot_page *page,
                                 struct ingot_error *err);
enum ingot_status sqlite_counts(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_counts *counts,
                                struct ingot_error *err);
enum ingot_status sqlite_scan(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_visitor *visitor, struct ingot_error *err);
enum ingot_status sqlite_routes(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_bytes *ret_routes,
                                struct ingot_error *err);
enum ingot_status sqlite_follow(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_following *from,
                                int (*sighted)(void *context, const struct ingot_sighting *),
                                void *context, struct ingot_page *page,
                                struct ingot_followed *ret_followed, struct ingot_error *err);
enum ingot_status sqlite_add_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                         const struct ingot_checkpoint *checkpoints, size_t count,
                                         struct ingot_error *err);
enum ingot_status sqlite_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_lanes *lanes, int64_t before_us,
                                     struct ingot_page *page,
                                     struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                     struct ingot_error *err);
enum ingot_status sqlite_settings(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_setting **ret_settings,
                                  size_t *ret_count, struct ingot_error *err);
enum ingot_status sqlite_accept_restore(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_error *err);

/* The lock on PATH-lock (PROTOCOL 5.3). */
enum ingot_status sqlite_lock(struct sqlite_store *store, struct ingot_error *err);
enum ingot_status sqlite_announce(void *handle, const char *address, struct ingot_error *err);
enum ingot_status sqlite_holder(const char *connection, struct ingot_holder *ret_holder,
                                struct ingot_error *err);

/* The path that a connection string comes to: one path for one file, so that it has one lock. */
enum ingot_status sqlite_path(const char *connection, char *path, size_t size,
                              struct ingot_error *err);

#endif
