/*
 * The body of a checkpoint: the events that have live jobs in a lane. Whoever
 * takes the list over looks each of them up, so it may name events whose jobs
 * have finished meanwhile, and says nothing about states.
 */
#ifndef INGOT_STORE_CHECKPOINT_H
#define INGOT_STORE_CHECKPOINT_H

#include "core/buffer.h"

/* Writes a body; the ids are sorted in place, and repeated ones written once. */
void igt_checkpoint_encode(ingot_ksuid *event_ids, size_t count, struct igt_buffer *body);

/*
 * The reverse: *ret_ids points into the body and is ascending. INGOT_CORRUPT if
 * the bytes are not what encode wrote, which a checksum tells.
 */
enum ingot_status igt_checkpoint_decode(struct ingot_bytes body, const ingot_ksuid **ret_ids,
                                        size_t *ret_count, struct ingot_error *err);

#endif
