/*
 * What the parts of the driver of the tests of cost share: the pieces of Ingot
 * that are measured, and the two functions by which it is told what counts.
 * Everything runs on one thread, by a clock and random numbers of its own, so
 * that it costs the same each time.
 */
#ifndef INGOT_TESTS_COST_COST_H
#define INGOT_TESTS_COST_COST_H

#include <ingot/ingot.h>

/* What is given in the command line behind the name of a section. */
struct cost_given {
    const char *url; /* of the store, or NULL */
    size_t jobs;
    unsigned seed; /* two runs on one store need two */
};

/* A piece of Ingot; run gives how many units of work were measured: jobs, calls, rows. */
struct cost_section {
    const char *name;
    size_t (*run)(const struct cost_given *given);
};
extern const struct cost_section cost_core[], cost_loop[], cost_store[]; /* each ended by NULL */

/*
 * Does the work that a section measures: callgrind collects, and allocations
 * count, from its beginning to its end. What is needed for it and is not to be
 * counted is done apart, within it or before.
 */
void cost_measured(void (*work)(void *context), void *context);
void cost_apart(void (*work)(void *context), void *context);

/* Ends the program unless the condition holds: what would be measured is something else. */
void cost_insist(int condition, const char *what);

/* A clock that stands still, and random numbers that follow from the seed. */
extern struct ingot_toolkit cost_toolkit;

/* Sets the clock to as many seconds behind the instant as the seed says, for ids that follow. */
void cost_begin_at(int64_t now_us, unsigned seed);

/* Makes an event with 200 bytes of data and one job, with ids of their own. */
#define COST_DATA_BYTES 200
extern const char cost_data[];
void cost_make_event(struct ingot_ksuid_generator *ids, struct ingot_event *event,
                     struct ingot_job *job);

/* Where jobs go. */
#define COST_DESTINATION "billing"

#endif
