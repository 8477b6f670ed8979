/*
 * Events, jobs and transitions as JSON, with the specification's keys and its
 * rules for what is absent (SEED rows 19 to 38, 49, 59 to 67).
 */
#ifndef INGOT_CORE_MODEL_H
#define INGOT_CORE_MODEL_H

#include "arena.h"
#include "buffer.h"
#include "json.h"

/* How context and data are written. */
enum igt_payload_form {
    IGT_PAYLOAD_INLINE, /* the JSON as it is stored */
    IGT_PAYLOAD_BASE64  /* as Go writes []byte: a base64 string */
};

/* Appends one line of JSON without the newline. */
void igt_event_encode(struct igt_buffer *buffer, const struct ingot_event *event,
                      enum igt_payload_form form);
void igt_job_encode(struct igt_buffer *buffer, const struct ingot_job *job,
                    enum igt_payload_form form);
void igt_transition_encode(struct igt_buffer *buffer, const struct ingot_transition *transition);
/* {"events":[…]}, or {} when there is none. */
void igt_queue_encode(struct igt_buffer *buffer, const struct ingot_queue *queue,
                      enum igt_payload_form form);

/*
 * What a destination receives: id, source, name, context, data, sent_at,
 * received_at and job {id, destination, event}. The job's own context and data
 * stand in place of the event's where it has them. The same bytes for every
 * attempt of a job (FAULTS I15), so nothing that changes may stand in it.
 */
void igt_delivery_encode(struct igt_buffer *buffer, const struct ingot_event *event,
                         const struct ingot_job *job);

/* Who is speaking, and so which keys are allowed. */
enum igt_decode_source {
    IGT_DECODE_SOURCE, /* a source at the gateway: id, source, name, context, data, sent_at; received_at is overridden */
    IGT_DECODE_QUEUE /* a queue message of this program: every key of the specification */
};

/*
 * Decodes an event from a checked value into the arena (strings and payloads
 * may point into the text that was parsed). Every complaint becomes a
 * validation whose path begins with path: unknown keys, wrong types, bad ids,
 * bad times; they are added to those that err has. An id that is absent or
 * null stays none, and null is absent elsewhere as well; but a source's
 * context and data, and a job's, are then the JSON text null. A job's latest
 * is filled only if its transitions were given, and is then its birth.
 * INGOT_INVALID, INGOT_NOMEM or OK.
 */
enum ingot_status igt_event_decode(const struct igt_json *value, enum igt_decode_source source,
                                   const char *path, struct igt_arena *arena,
                                   struct ingot_event *ret_event, struct ingot_error *err);

/* Decodes {"events":[…]}; null and an absent key are an empty queue. */
enum ingot_status igt_queue_decode(const struct igt_json *value, struct igt_arena *arena,
                                   struct ingot_queue *ret_queue, struct ingot_error *err);

/*
 * The made id of a transition (DESIGN 5): seconds of at_us, bytes 5 to 16 of
 * the event's id, job and seq in two bytes each.
 */
void igt_transition_id(const ingot_ksuid *event_id, uint32_t job, uint32_t seq, int64_t at_us,
                       ingot_ksuid *ret_id);

#endif
