/* Sets of lanes and their distribution by rendezvous hashing; see lanes.h. */
#include "lanes.h"

#include <string.h>

/* FNV-1a, 64 bits, from a state that is given. */
static uint64_t hash(uint64_t state, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        state = (state ^ bytes[i]) * UINT64_C(0x100000001b3);
    return state;
}

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

/* The high bits of FNV-1a hardly depend on the last byte; the finalizer of MurmurHash3 mixes them. */
static uint64_t mix(uint64_t state)
{
    state = (state ^ (state >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    state = (state ^ (state >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return state ^ (state >> 33);
}

uint32_t ingot_lane_of(struct ingot_bytes destination)
{
    return (uint32_t)(mix(hash(HASH_BEGIN, destination.data, destination.len)) % INGOT_LANES);
}

struct ingot_lanes igt_lanes_all(void)
{
    struct ingot_lanes lanes;
    memset(lanes.bits, 0xff, sizeof lanes.bits);
    return lanes;
}

int igt_lanes_has(const struct ingot_lanes *lanes, uint32_t lane)
{
    return lanes->bits[lane / 8] >> lane % 8 & 1;
}

void igt_lanes_add(struct ingot_lanes *lanes, uint32_t lane)
{
    lanes->bits[lane / 8] = (uint8_t)(lanes->bits[lane / 8] | 1u << lane % 8);
}

unsigned igt_lanes_count(const struct ingot_lanes *lanes)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof lanes->bits; i++)
        count += (unsigned)__builtin_popcount(lanes->bits[i]);
    return count;
}

int igt_lanes_equal(const struct ingot_lanes *a, const struct ingot_lanes *b)
{
    return memcmp(a->bits, b->bits, sizeof a->bits) == 0;
}

struct ingot_lanes igt_lanes_without(const struct ingot_lanes *a, const struct ingot_lanes *b)
{
    struct ingot_lanes lanes;
    for (size_t i = 0; i < sizeof lanes.bits; i++)
        lanes.bits[i] = (uint8_t)(a->bits[i] & ~b->bits[i]);
    return lanes;
}

struct ingot_lanes igt_lanes_both(const struct ingot_lanes *a, const struct ingot_lanes *b)
{
    struct ingot_lanes lanes;
    for (size_t i = 0; i < sizeof lanes.bits; i++)
        lanes.bits[i] = a->bits[i] & b->bits[i];
    return lanes;
}

struct ingot_lanes igt_lanes_either(const struct ingot_lanes *a, const struct ingot_lanes *b)
{
    struct ingot_lanes lanes;
    for (size_t i = 0; i < sizeof lanes.bits; i++)
        lanes.bits[i] = a->bits[i] | b->bits[i];
    return lanes;
}

static uint64_t weight(uint32_t lane, const ingot_ksuid *scheduler)
{
    const unsigned char number = (unsigned char)lane;
    return mix(hash(hash(HASH_BEGIN, scheduler->bytes, sizeof scheduler->bytes), &number, 1));
}

struct ingot_lanes igt_lanes_of(const ingot_ksuid *self, const ingot_ksuid *schedulers,
                                size_t count)
{
    struct ingot_lanes lanes = {{0}};
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        uint64_t mine = weight(lane, self);
        int highest = 1;
        for (size_t i = 0; i < count && highest; i++) {
            uint64_t other = weight(lane, &schedulers[i]);
            int order = ingot_ksuid_compare(&schedulers[i], self);
            highest = order == 0 || other < mine || (other == mine && order < 0);
        }
        if (highest)
            igt_lanes_add(&lanes, lane);
    }
    return lanes;
}
