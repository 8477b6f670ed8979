/*
 * What the simulations of the scheduler share: a store in memory under a clock
 * that is told, and random numbers from a seed.
 */
#ifndef INGOT_TESTS_SIMULATION_WORLD_H
#define INGOT_TESTS_SIMULATION_WORLD_H

#include "scheduler/scheduler.h"

#define SECOND INT64_C(1000000)
#define BEGIN_US (INT64_C(1700000000) * SECOND)

/* Must not move: the toolkit points to it. */
struct world {
    int64_t now_us; /* the store's clock, and that of everybody whose clock is right */
    uint64_t random;
    struct ingot_toolkit toolkit;
    struct ingot_store *store;
    struct ingot_ksuid_generator ids;
};

void world_open(struct world *world, uint64_t seed);

/* Expects ingot_store_verify() to find nothing, and closes the store. */
void world_close(struct world *world);

/* A random number from 0 to below - 1. */
uint64_t world_roll(struct world *world, uint64_t below);

ingot_ksuid world_id(struct world *world);

/* Stores an event with one job for each destination, due at due_us or at once; returns its id. */
ingot_ksuid world_emit(struct world *world, const char *const *destinations, size_t count,
                       int64_t due_us);

/* Reads an event with its jobs; the page is the caller's. */
struct ingot_page *world_event(struct world *world, const ingot_ksuid *event_id);

/* Stores rows in one commit, which must succeed; each has its verdict then. */
void world_commit(struct world *world, struct ingot_commit_transition *rows, size_t count,
                  enum ingot_commit_sending sending);

/* The live jobs behind a place, at most limit. */
struct ingot_page *world_live(struct world *world, struct ingot_cursor after, uint32_t limit);

struct igt_plan world_plan(const char *name, const struct igt_policy *policy, uint32_t concurrency);

#endif
