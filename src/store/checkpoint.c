/*
 * The body of a checkpoint, see checkpoint.h: "IGTC", the version, three zero
 * bytes, the number of ids in eight bytes big endian, the SHA-256 of the ids,
 * the ids ascending. What does not say all of that of itself is not trusted.
 */
#include "checkpoint.h"

#include "store.h"

#include <openssl/evp.h>
#include <string.h>

static const unsigned char magic[8] = {'I', 'G', 'T', 'C', 1, 0, 0, 0};

struct header {
    unsigned char magic[sizeof magic];
    unsigned char count[8];
    unsigned char digest[32];
};

/* The header that goes with the ids; 0 when memory ran out. */
static int make_header(struct header *header, const ingot_ksuid *ids, size_t count)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(ids, count * sizeof *ids, digest, &len, EVP_sha256(), NULL) ||
        len != sizeof header->digest)
        return 0;
    memcpy(header->magic, magic, sizeof magic);
    for (size_t i = 0; i < sizeof header->count; i++)
        header->count[i] = (unsigned char)((uint64_t)count >> (56 - 8 * i));
    memcpy(header->digest, digest, sizeof header->digest);
    return 1;
}

void igt_checkpoint_encode(ingot_ksuid *event_ids, size_t count, struct igt_buffer *body)
{
    struct header header;
    size_t distinct = igt_ids_arrange(event_ids, count);
    if (!make_header(&header, event_ids, distinct)) {
        body->failed = 1;
        return;
    }
    igt_buffer_add(body, &header, sizeof header);
    igt_buffer_add(body, event_ids, distinct * sizeof *event_ids);
}

enum ingot_status igt_checkpoint_decode(struct ingot_bytes body, const ingot_ksuid **ret_ids,
                                        size_t *ret_count, struct ingot_error *err)
{
    struct header header;
    if (!body.data || body.len < sizeof header)
        return ingot_error_set(err, INGOT_CORRUPT, "store: a checkpoint has no header");
    const ingot_ksuid *ids = (const void *)((const char *)body.data + sizeof header);
    size_t count = (body.len - sizeof header) / sizeof *ids;
    if (!make_header(&header, ids, count))
        return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    if ((body.len - sizeof header) % sizeof *ids || memcmp(&header, body.data, sizeof header) != 0)
        return ingot_error_set(err, INGOT_CORRUPT,
                               "store: a checkpoint of %zu bytes is not what was written",
                               body.len);
    for (size_t i = 1; i < count; i++)
        if (ingot_ksuid_compare(&ids[i - 1], &ids[i]) >= 0)
            return ingot_error_set(err, INGOT_CORRUPT,
                                   "store: the ids of a checkpoint do not ascend");
    *ret_ids = ids;
    *ret_count = count;
    return INGOT_OK;
}
