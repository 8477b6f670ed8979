/*
 * Lanes: sets of them, and who works which. Every process computes the same
 * from the same heartbeats, so nothing is assigned and nothing locked.
 */
#ifndef INGOT_CORE_LANES_H
#define INGOT_CORE_LANES_H

#include <ingot/ingot.h>

/* Every lane. */
struct ingot_lanes igt_lanes_all(void);

int igt_lanes_has(const struct ingot_lanes *lanes, uint32_t lane);
void igt_lanes_add(struct ingot_lanes *lanes, uint32_t lane);
unsigned igt_lanes_count(const struct ingot_lanes *lanes);
int igt_lanes_equal(const struct ingot_lanes *a, const struct ingot_lanes *b);

/* Those of a that are not in b. */
struct ingot_lanes igt_lanes_without(const struct ingot_lanes *a, const struct ingot_lanes *b);

/* Those that are in both. */
struct ingot_lanes igt_lanes_both(const struct ingot_lanes *a, const struct ingot_lanes *b);

/* Those that are in either. */
struct ingot_lanes igt_lanes_either(const struct ingot_lanes *a, const struct ingot_lanes *b);

/*
 * The lanes that fall to self among schedulers, who need not be among them, by
 * the highest hash of (lane, scheduler): when one goes, only its lanes move.
 */
struct ingot_lanes igt_lanes_of(const ingot_ksuid *self, const ingot_ksuid *schedulers,
                                size_t count);

#endif
