/* A map from a job's key to an index; see map.h. */
#include "map.h"

#include <stdlib.h>
#include <string.h>

void igt_map_fini(struct igt_map *map)
{
    free(map->slots);
    map->slots = NULL;
    map->size = map->count = 0;
}

static uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

/* One round of SipHash. */
static void mix(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/*
 * Callers choose ids, so the hash is SipHash-1-3 (Aumasson and Bernstein) under
 * a secret: nobody can choose many that meet in one place.
 */
static uint32_t hash_of(const struct igt_map *map, const struct igt_map_key *key)
{
    uint64_t words[3];
    uint64_t v[4] = {map->secret[0] ^ UINT64_C(0x736f6d6570736575),
                     map->secret[1] ^ UINT64_C(0x646f72616e646f6d),
                     map->secret[0] ^ UINT64_C(0x6c7967656e657261),
                     map->secret[1] ^ UINT64_C(0x7465646279746573)};
    uint32_t first;
    memcpy(&first, key->event_id.bytes, sizeof first);
    memcpy(&words[0], key->event_id.bytes + 4, sizeof words[0]);
    memcpy(&words[1], key->event_id.bytes + 12, sizeof words[1]);
    words[2] = (uint64_t)first << 32 | key->job;
    for (int i = 0; i < 3; i++) {
        v[3] ^= words[i];
        mix(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    mix(v), mix(v), mix(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

static int same_key(const struct igt_map_key *a, const struct igt_map_key *b)
{
    return a->job == b->job && memcmp(a->event_id.bytes, b->event_id.bytes, 20) == 0;
}

uint32_t igt_map_get(const struct igt_map *map, const struct igt_map_key *key)
{
    const size_t mask = map->size - 1;
    if (map->size == 0)
        return IGT_MAP_NONE;
    const uint32_t hash = hash_of(map, key);
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        const struct igt_map_slot *slot = &map->slots[at];
        if (slot->index == IGT_MAP_NONE ||
            (slot->hash == hash && same_key(map->key_of(map->context, slot->index), key)))
            return slot->index;
    }
}

static void insert(struct igt_map *map, struct igt_map_slot slot)
{
    const size_t mask = map->size - 1;
    size_t at = slot.hash & mask;
    while (map->slots[at].index != IGT_MAP_NONE)
        at = (at + 1) & mask;
    map->slots[at] = slot;
}

static int grow(struct igt_map *map)
{
    const struct igt_map old = *map;
    const size_t size = old.size ? old.size * 2 : 64;
    struct igt_map_slot *slots = malloc(size * sizeof *slots);
    if (!slots)
        return 0;
    memset(slots, 0xff, size * sizeof *slots);
    map->slots = slots;
    map->size = size;
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].index != IGT_MAP_NONE)
            insert(map, old.slots[i]);
    free(old.slots);
    return 1;
}

int igt_map_put(struct igt_map *map, uint32_t index)
{
    if ((map->count + 1) * 8 > map->size * 7 && !grow(map))
        return 0;
    insert(map, (struct igt_map_slot){index, hash_of(map, map->key_of(map->context, index))});
    map->count++;
    return 1;
}

void igt_map_remove(struct igt_map *map, uint32_t index)
{
    const size_t mask = map->size - 1;
    size_t hole = hash_of(map, map->key_of(map->context, index)) & mask;
    while (map->slots[hole].index != index)
        hole = (hole + 1) & mask;
    /* Moves back what the hole would make unreachable. */
    for (size_t at = (hole + 1) & mask; map->slots[at].index != IGT_MAP_NONE;
         at = (at + 1) & mask) {
        const size_t wanted = map->slots[at].hash & mask;
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].index = IGT_MAP_NONE;
    map->count--;
}
