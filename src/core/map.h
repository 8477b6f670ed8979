/*
 * A map from (event id, job number) to a 32-bit index: open addressing, linear
 * probing, deletion by shifting back. The keys stay with their owner; he is asked
 * for one only where the hash says that it is the right one, for each is far away
 * in memory.
 */
#ifndef INGOT_CORE_MAP_H
#define INGOT_CORE_MAP_H

#include <ingot/ingot.h>

#define IGT_MAP_NONE UINT32_MAX

struct igt_map_key {
    ingot_ksuid event_id;
    uint32_t job;
};

struct igt_map_slot {
    uint32_t index; /* IGT_MAP_NONE: empty */
    uint32_t hash;  /* of its key; the slot where it belongs is given by the lowest bits */
};

struct igt_map {
    struct igt_map_slot *slots;
    size_t size; /* a power of two, or 0 */
    size_t count;
    uint64_t secret[2]; /* random: who chooses ids must not choose where they collide */
    const struct igt_map_key *(*key_of)(const void *context, uint32_t index);
    const void *context;
};

/* Zero the map and set secret, key_of and context; fini frees the slots. */
void igt_map_fini(struct igt_map *map);

/* The index of a key, or IGT_MAP_NONE. */
uint32_t igt_map_get(const struct igt_map *map, const struct igt_map_key *key);

/* Puts in an index whose key is not there yet; 0 when memory ran out. */
int igt_map_put(struct igt_map *map, uint32_t index);

/* Takes out an index that is there; its key must still be readable. */
void igt_map_remove(struct igt_map *map, uint32_t index);

#endif
