/*
 * The journal: the one thread of a process that writes to the store. What has
 * gathered while a commit was under way goes into the next one together:
 * events of the gateway, claims and outcomes of the scheduler (DESIGN 4).
 */
#ifndef INGOT_DAEMON_JOURNAL_H
#define INGOT_DAEMON_JOURNAL_H

#include "request.h"
#include "scheduler/scheduler.h"

/* What the scheduler asks for, with the memory that errors stand in; the journal takes it over. */
struct igt_batch {
    struct igt_rows rows;
    struct igt_arena *errors;
    struct igt_batch *next;
};
struct igt_batch *igt_batch_create(void);
void igt_batch_destroy(struct igt_batch *batch);

/* What became of one row. */
struct igt_row_result {
    struct ingot_transition row; /* its error is not valid any more */
    enum ingot_verdict verdict;
    ingot_ksuid
        job_id; /* of a claim that was stored: what is needed to deliver it, by the fetcher */
    struct ingot_bytes destination;
    struct ingot_bytes body; /* absent if the event could not be read: error says why */
    struct ingot_error *error;
};

/* A job that was read again. */
struct igt_read_result {
    struct igt_map_key key;
    enum ingot_status status; /* INGOT_OK, INGOT_NOT_FOUND, or why the fetcher could not read it */
    struct ingot_job *job;    /* NULL unless INGOT_OK */
};

/* What a commit brings back to the scheduler. */
struct igt_results {
    struct igt_arena *arena;
    uint64_t position; /* of the commit, as sightings of its rows will have it; or 0 */
    enum ingot_commit_sending sending;
    struct igt_request **requests; /* held: their stored events are to be sighted, then released */
    size_t request_count;
    struct igt_row_result *rows;
    size_t row_count;
    struct igt_read_result *reads;
    size_t read_count;
    struct igt_results *next;
};
void igt_results_destroy(struct igt_results *results);

struct igt_journal_callbacks {
    /*
     * Called as soon as a commit with a position is known to be stored, before its
     * results: others may show its rows from now on. May be NULL.
     */
    void (*stored)(void *context, uint64_t position);
    /* Called on the journal's thread; takes the results over. */
    void (*results)(void *context, struct igt_results *results);
    /* Called once, on the journal's thread, when the store can no longer be used. */
    void (*failed)(void *context, const struct ingot_error *error);
    void *context;
};

/* Who decides about first claims (DESIGN 4), on the journal's thread. */
struct igt_claimer {
    /* Called once, before the first commit with the request: sets its claims. */
    void (*claim)(void *context, struct igt_request *request);
    /* Nothing of the request was stored, and so none of its claims. */
    void (*unclaim)(void *context, struct igt_request *request);
    void *context;
    ingot_ksuid owner;
};

struct igt_journal;

/* Starts the thread. The store must stay open until stop has returned. claimer: NULL for no first claims. */
enum ingot_status igt_journal_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const struct igt_journal_callbacks *callbacks,
                                    const struct igt_claimer *claimer,
                                    struct igt_journal **ret_journal, struct ingot_error *err);

/*
 * Hands a request over; the journal holds it until it is decided. INGOT_LIMIT
 * when too much is waiting already, INGOT_CLOSED after a failure: then decided
 * is not called.
 */
enum ingot_status igt_journal_submit(struct igt_journal *journal, struct igt_request *request);

/* Hands rows and reads over; after a failure they are dropped. */
void igt_journal_submit_batch(struct igt_journal *journal, struct igt_batch *batch);

/* What was committed since the start. */
struct igt_journal_numbers {
    uint64_t commits, events, transitions;
};
struct igt_journal_numbers igt_journal_numbers(struct igt_journal *journal); /* any thread */

/* Whether the store still works. Any thread. */
int igt_journal_is_healthy(struct igt_journal *journal);

/* Commits what waits and ends the thread; what is submitted from now on is INGOT_CLOSED. NULL is allowed. */
void igt_journal_stop(struct igt_journal *journal);

/* Frees a journal that was stopped, when nobody can call it any more. NULL is allowed. */
void igt_journal_destroy(struct igt_journal *journal);

#endif
