/* A sorted array of positions; see positions.h. */
#include "positions.h"

#include <stdlib.h>
#include <string.h>

void igt_positions_fini(struct igt_positions *positions)
{
    free(positions->members);
    memset(positions, 0, sizeof *positions);
}

/* The place of the first member that is not lower. */
static size_t place_of(const struct igt_positions *positions, uint64_t position)
{
    size_t low = 0, high = positions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (positions->members[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int igt_positions_has(const struct igt_positions *positions, uint64_t position)
{
    size_t at = place_of(positions, position);
    return at < positions->count && positions->members[at] == position;
}

int igt_positions_add(struct igt_positions *positions, uint64_t position)
{
    size_t at = place_of(positions, position);
    if (at < positions->count && positions->members[at] == position)
        return 1;
    if (positions->count == positions->size) {
        size_t size = positions->size ? positions->size * 2 : 64;
        uint64_t *grown = realloc(positions->members, size * sizeof *grown);
        if (!grown)
            return 0;
        positions->members = grown;
        positions->size = size;
    }
    memmove(positions->members + at + 1, positions->members + at,
            (positions->count - at) * sizeof *positions->members);
    positions->members[at] = position;
    positions->count++;
    return 1;
}

size_t igt_positions_copy(const struct igt_positions *positions, uint64_t *members, size_t max)
{
    size_t count = positions->count < max ? positions->count : max;
    if (count)
        memcpy(members, positions->members + positions->count - count, count * sizeof *members);
    return count;
}

void igt_positions_drop_below(struct igt_positions *positions, uint64_t horizon)
{
    size_t at = place_of(positions, horizon);
    if (at == 0)
        return;
    memmove(positions->members, positions->members + at,
            (positions->count - at) * sizeof *positions->members);
    positions->count -= at;
}

void igt_positions_drop(struct igt_positions *positions, uint64_t position)
{
    size_t at = place_of(positions, position);
    if (at == positions->count || positions->members[at] != position)
        return;
    positions->count--;
    memmove(positions->members + at, positions->members + at + 1,
            (positions->count - at) * sizeof *positions->members);
}
