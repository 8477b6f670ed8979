/*
 * The fetcher: the thread between the journal and the delivery loop, which has at
 * hand what stored claims need to be delivered. Events that were stored a moment
 * ago, or read ahead, are still in memory; others it reads by a handle of its own, while the
 * journal goes on writing (few of them while it stores the claim: docs/decisions/0022).
 */
#ifndef INGOT_DAEMON_FETCHER_H
#define INGOT_DAEMON_FETCHER_H

#include "journal.h"

struct igt_fetcher;

/* What becomes of the events of requests once they are stored. */
enum igt_keeping {
    IGT_KEEPING_NONE,  /* others will deliver them */
    IGT_KEEPING_RECENT /* they stay in memory for a first attempt from here */
};

/*
 * Starts the thread. The store must stay open until stop has returned; results go
 * on to next, in the order in which they came, on the fetcher's thread.
 */
enum ingot_status igt_fetcher_start(struct ingot_store *store, enum igt_keeping keeping,
                                    const struct ingot_toolkit *toolkit,
                                    const struct igt_journal_callbacks *next,
                                    struct igt_fetcher **ret_fetcher, struct ingot_error *err);

/* Callbacks for the journal; their context is the fetcher. */
void igt_fetcher_take_stored(void *fetcher, uint64_t position);
void igt_fetcher_take_results(void *fetcher, struct igt_results *results);
void igt_fetcher_take_failure(void *fetcher, const struct ingot_error *error);

/*
 * Keeps for attempts to come what was read ahead: the stored events of a request, with
 * those of their jobs that are live. Holds the request. Any thread.
 */
void igt_fetcher_keep(struct igt_fetcher *fetcher, struct igt_request *request);

/* So many claims at once, or more, are read together when they are stored. */
#define IGT_EXPECTED_MAX 16

/*
 * Says that these jobs are being claimed, fewer than IGT_EXPECTED_MAX: what they need to be
 * delivered is read while the claims are stored, unless there is something else to do.
 * Any thread.
 */
void igt_fetcher_expect(struct igt_fetcher *fetcher, const struct igt_map_key *keys, size_t count);

/* Ends the thread and frees it, when the journal was stopped; what it has is dropped. NULL is allowed. */
void igt_fetcher_stop(struct igt_fetcher *fetcher);

#endif
