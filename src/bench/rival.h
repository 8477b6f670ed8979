/*
 * What Ingot is measured against, on the same server or disk in the same run: a
 * queue that a good engineer would write by hand (one table with a state, rows
 * updated in place), and the raw limit (the same bytes, only inserted). Written
 * as well as we can: prepared statements, binary parameters, one round trip
 * where one is enough.
 *
 * The queue is a table of (id: 20 bytes ascending, payload, state, attempt) with a
 * partial index of what waits. PostgreSQL: claimed with FOR UPDATE SKIP LOCKED;
 * SQLite: BEGIN IMMEDIATE, UPDATE … RETURNING.
 */
#ifndef INGOT_BENCH_RIVAL_H
#define INGOT_BENCH_RIVAL_H

#include <ingot/ingot.h>

/* One connection; used by one thread at a time. */
struct igt_rival;

enum igt_rival_kind {
    IGT_RIVAL_QUEUE, /* the queue written by hand */
    IGT_RIVAL_RAW    /* a table that nothing is ever done with: COPY, or plain INSERTs on SQLite */
};

/*
 * Opens a connection to a store's URL (postgres://… or sqlite://…; a database or
 * file that holds nothing else of worth) and makes the table if it is not there.
 * Durable as Ingot is: synchronous_commit on, synchronous = FULL in WAL mode.
 */
enum ingot_status igt_rival_open(const char *url, enum igt_rival_kind kind,
                                 struct igt_rival **ret_rival, struct ingot_error *err);
void igt_rival_close(struct igt_rival *rival); /* NULL is allowed */

/*
 * Inserts count rows (1 to 10,000) with that payload in one commit; on the queue
 * in the state "waiting". Ids ascend within a connection and never meet those of another.
 */
enum ingot_status igt_rival_insert(struct igt_rival *rival, struct ingot_bytes payload,
                                   size_t count, struct ingot_error *err);

/*
 * A worker's turn, of the queue only. Claims up to max waiting jobs in a
 * commit of its own, with their payloads, and then marks them as done in another:
 * what a worker does that delivers between the two and whose crash must be seen.
 * *ret_count says how many; 0: nothing waits.
 */
enum ingot_status igt_rival_work(struct igt_rival *rival, size_t max, size_t *ret_count,
                                 struct ingot_error *err);

/*
 * The same in a single transaction around select, handler and update: faster,
 * but open as long as the deliveries last.
 */
enum ingot_status igt_rival_work_at_once(struct igt_rival *rival, size_t max, size_t *ret_count,
                                         struct ingot_error *err);

/* ---- the kinds of stores, for rival.c ----------------------------------- */

/* What each event says of itself besides its payload. */
#define IGT_RIVAL_SOURCE "shop"
#define IGT_RIVAL_NAME "order.created"

/* What the functions above do, with arguments that were checked; the URL without "sqlite:". */
struct igt_rival_operations {
    enum ingot_status (*open)(const char *connection, enum igt_rival_kind kind,
                              struct igt_rival **ret_rival, struct ingot_error *err);
    void (*close)(struct igt_rival *rival);
    enum ingot_status (*insert)(struct igt_rival *rival, struct ingot_bytes payload, size_t count,
                                struct ingot_error *err);
    enum ingot_status (*work)(struct igt_rival *rival, size_t max, size_t *ret_count,
                              struct ingot_error *err);
    enum ingot_status (*work_at_once)(struct igt_rival *rival, size_t max, size_t *ret_count,
                                      struct ingot_error *err);
};

/* The beginning of each kind's own struct. */
struct igt_rival {
    const struct igt_rival_operations *operations;
    enum igt_rival_kind kind;
};

extern const struct igt_rival_operations igt_rival_postgres, igt_rival_sqlite;

#endif
