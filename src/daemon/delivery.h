/*
 * The delivery loop: the thread on which the scheduler thinks and attempts are
 * made. Sightings and verdicts come in from the journal; rows go back to it,
 * once for each turn of the loop, so that the outcomes of one batch and the
 * claims of the next share a commit.
 */
#ifndef INGOT_DAEMON_DELIVERY_H
#define INGOT_DAEMON_DELIVERY_H

#include "config.h"
#include "fetcher.h"
#include "journal.h"
#include "keeper.h"

struct igt_delivery_loop;

/* Who works the lanes. */
enum igt_company {
    IGT_ALONE,    /* this process, all of them: it has the store for itself */
    IGT_AMONG,    /* those that fall to it, as the news of who is there say */
    IGT_ELSEWHERE /* others: this process only takes events in */
};

/*
 * Makes the loop; everything passed in must outlive it. owner marks its claims.
 */
enum ingot_status igt_delivery_create(const struct igt_config *config, enum igt_company company,
                                      const ingot_ksuid *owner, const struct ingot_toolkit *toolkit,
                                      struct igt_delivery_loop **ret_loop, struct ingot_error *err);

/* Callbacks for the journal, the follower, the keeper and the pulse; their context is the loop. Any thread. */
void igt_delivery_take_stored(void *loop, uint64_t position);
void igt_delivery_take_results(void *loop, struct igt_results *results);
void igt_delivery_take_failure(void *loop, const struct ingot_error *error);
void igt_delivery_take_news(void *loop, struct igt_news *news);
size_t igt_delivery_known(void *loop, uint64_t *positions, size_t max);

/* Of an igt_claimer: who decides about first claims, by what the scheduler has granted. */
void igt_delivery_claim(void *loop, struct igt_request *request);
void igt_delivery_unclaim(void *loop, struct igt_request *request);

/* Writes members of a JSON object that say what the loop does: ,"live":…,"running":…. Any thread. */
void igt_delivery_describe(struct igt_delivery_loop *loop, struct igt_buffer *about);

/*
 * Runs until the process is asked to end (SIGTERM, SIGINT) and what runs is
 * finished or given back, or until the journal has failed: then its status.
 * closing is called when the end begins. The fetcher is told of few claims, the keeper is
 * asked to read the lanes that are worked, and to write checkpoints.
 */
enum ingot_status igt_delivery_run(struct igt_delivery_loop *loop, struct igt_journal *journal,
                                   struct igt_fetcher *fetcher, struct igt_keeper *keeper,
                                   void (*closing)(void *context), void *context,
                                   struct ingot_error *err);

/* Asks it to end, as SIGTERM does. Any thread, until destroy. */
void igt_delivery_end(struct igt_delivery_loop *loop);

/* As they were at most 100 ms ago while it runs, and as they are once it has ended. Any thread. */
struct igt_scheduler_numbers igt_delivery_numbers(struct igt_delivery_loop *loop);

/* NULL is allowed. */
void igt_delivery_destroy(struct igt_delivery_loop *loop);

#endif
