/*
 * A set of positions: the commits of this process that its follower has not
 * returned yet, whose jobs were handed over in memory (PROTOCOL 3.6).
 */
#ifndef INGOT_DAEMON_POSITIONS_H
#define INGOT_DAEMON_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; fini frees. */
struct igt_positions {
    uint64_t *members; /* ascending */
    size_t count, size;
};
void igt_positions_fini(struct igt_positions *positions);

/* Adds one that is mostly higher than all others; 0 when memory ran out. */
int igt_positions_add(struct igt_positions *positions, uint64_t position);

int igt_positions_has(const struct igt_positions *positions, uint64_t position);

/* Copies the highest, at most max of them; returns how many. */
size_t igt_positions_copy(const struct igt_positions *positions, uint64_t *members, size_t max);

/* Takes those out that are lower than the horizon. */
void igt_positions_drop_below(struct igt_positions *positions, uint64_t horizon);

/* Takes one out, if it is there. */
void igt_positions_drop(struct igt_positions *positions, uint64_t position);

#endif
