/*
 * Events, jobs and transitions to JSON and back; see model.h. What may stand in
 * an object is one table for each, in the order of the specification.
 */
#include "model.h"

#include "instant.h"

#include <stdio.h>
#include <string.h>

#define PATH_SIZE sizeof((struct ingot_validation *)0)->path

/* ---- writing ------------------------------------------------------------ */

/* RFC 4648 section 4, as a JSON string. */
static void add_base64(struct igt_buffer *buffer, struct ingot_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes.data;
    igt_buffer_add(buffer, "\"", 1);
    for (size_t left = bytes.len; left > 0; left -= left < 3 ? left : 3, at += 3) {
        uint32_t group =
            (uint32_t)at[0] << 16 | (left > 1 ? (uint32_t)at[1] << 8 : 0) | (left > 2 ? at[2] : 0);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        igt_buffer_add(buffer, text, sizeof text);
    }
    igt_buffer_add(buffer, "\"", 1);
}

static void add_payload(struct igt_buffer *buffer, struct ingot_bytes payload,
                        enum igt_payload_form form)
{
    if (!payload.data)
        igt_buffer_add_text(buffer, "null");
    else if (form == IGT_PAYLOAD_BASE64)
        add_base64(buffer, payload);
    else
        igt_buffer_add(buffer, payload.data, payload.len);
}

void igt_transition_encode(struct igt_buffer *buffer, const struct ingot_transition *transition)
{
    igt_buffer_add_text(buffer, "{\"id\":");
    igt_buffer_add_json_ksuid(buffer, &transition->id);
    igt_buffer_add_format(buffer, ",\"attempt\":%u,\"state_before\":", transition->attempt);
    igt_buffer_add_json_string(buffer, ingot_bytes_of(ingot_state_name(transition->state_before)));
    igt_buffer_add_text(buffer, ",\"state_after\":");
    igt_buffer_add_json_string(buffer, ingot_bytes_of(ingot_state_name(transition->state_after)));
    if (transition->error.data) {
        igt_buffer_add_text(buffer, ",\"error\":");
        igt_buffer_add(buffer, transition->error.data, transition->error.len);
    }
    igt_buffer_add_text(buffer, ",\"created_at\":");
    igt_buffer_add_json_time(buffer, transition->created_us);
    igt_buffer_add_text(buffer, "}");
}

/* {"id":…,"destination":…,"event":…, still open */
static void begin_job(struct igt_buffer *buffer, const struct ingot_job *job)
{
    igt_buffer_add_text(buffer, "{\"id\":");
    igt_buffer_add_json_ksuid(buffer, &job->id);
    igt_buffer_add_text(buffer, ",\"destination\":");
    igt_buffer_add_json_string(buffer, job->destination);
    igt_buffer_add_text(buffer, ",\"event\":");
    igt_buffer_add_json_string(buffer, job->event);
}

void igt_job_encode(struct igt_buffer *buffer, const struct ingot_job *job,
                    enum igt_payload_form form)
{
    begin_job(buffer, job);
    if (job->context.data) {
        igt_buffer_add_text(buffer, ",\"context\":");
        add_payload(buffer, job->context, form);
    }
    if (job->data.data) {
        igt_buffer_add_text(buffer, ",\"data\":");
        add_payload(buffer, job->data, form);
    }
    igt_buffer_add_text(buffer, ",\"transitions\":[");
    if (job->latest.state_after == INGOT_STATE_NONE)
        igt_buffer_add_text(buffer, "null"); /* not read from a store; as Go writes it */
    else
        igt_transition_encode(buffer, &job->latest);
    igt_buffer_add_text(buffer, "],\"created_at\":");
    igt_buffer_add_json_time(buffer, job->created_us);
    igt_buffer_add_text(buffer, "}");
}

/* {"id":…,"source":…,"name":…,"context":…,"data":…, still open */
static void begin_event(struct igt_buffer *buffer, const struct ingot_event *event,
                        struct ingot_bytes context, struct ingot_bytes data,
                        enum igt_payload_form form)
{
    igt_buffer_add_text(buffer, "{\"id\":");
    igt_buffer_add_json_ksuid(buffer, &event->id);
    igt_buffer_add_text(buffer, ",\"source\":");
    igt_buffer_add_json_string(buffer, event->source);
    igt_buffer_add_text(buffer, ",\"name\":");
    igt_buffer_add_json_string(buffer, event->name);
    igt_buffer_add_text(buffer, ",\"context\":");
    add_payload(buffer, context, form);
    igt_buffer_add_text(buffer, ",\"data\":");
    add_payload(buffer, data, form);
}

/* The times that the source and the gateway gave. */
static void add_times(struct igt_buffer *buffer, const struct ingot_event *event)
{
    if (event->sent_us != INGOT_NO_TIME) {
        igt_buffer_add_text(buffer, ",\"sent_at\":");
        igt_buffer_add_json_time(buffer, event->sent_us);
    }
    igt_buffer_add_text(buffer, ",\"received_at\":");
    igt_buffer_add_json_time(buffer, event->received_us);
}

void igt_event_encode(struct igt_buffer *buffer, const struct ingot_event *event,
                      enum igt_payload_form form)
{
    begin_event(buffer, event, event->context, event->data, form);
    for (size_t i = 0; i < event->job_count; i++) {
        igt_buffer_add_text(buffer, i ? "," : ",\"jobs\":[");
        igt_job_encode(buffer, &event->jobs[i], form);
    }
    if (event->job_count)
        igt_buffer_add_text(buffer, "]");
    add_times(buffer, event);
    if (event->ingested_us != INGOT_NO_TIME) {
        igt_buffer_add_text(buffer, ",\"ingested_at\":");
        igt_buffer_add_json_time(buffer, event->ingested_us);
    }
    igt_buffer_add_text(buffer, "}");
}

void igt_queue_encode(struct igt_buffer *buffer, const struct ingot_queue *queue,
                      enum igt_payload_form form)
{
    igt_buffer_add_text(buffer, "{");
    for (size_t i = 0; i < queue->event_count; i++) {
        igt_buffer_add_text(buffer, i ? "," : "\"events\":[");
        igt_event_encode(buffer, &queue->events[i], form);
    }
    igt_buffer_add_text(buffer, queue->event_count ? "]}" : "}");
}

void igt_delivery_encode(struct igt_buffer *buffer, const struct ingot_event *event,
                         const struct ingot_job *job)
{
    begin_event(buffer, event, job->context.data ? job->context : event->context,
                job->data.data ? job->data : event->data, IGT_PAYLOAD_INLINE);
    add_times(buffer, event);
    igt_buffer_add_text(buffer, ",\"job\":");
    begin_job(buffer, job);
    igt_buffer_add_text(buffer, "}}");
}

/* ---- reading ------------------------------------------------------------ */

struct decoder {
    struct igt_arena *arena;
    struct ingot_error *err;
    struct ingot_error why; /* of the last text that a parser refused */
    char message[sizeof((struct ingot_validation *)0)->message];
    size_t problems;
    int no_memory;
};

/* What a value must be. null counts as absent, except as FORM_PAYLOAD. */
enum form {
    FORM_TEXT,
    FORM_KSUID,
    FORM_TIME,
    FORM_STATE,
    FORM_ATTEMPT,
    FORM_PAYLOAD, /* any value, null as well */
    FORM_JSON,    /* any value but null */
    FORM_EVENTS,
    FORM_JOBS,
    FORM_TRANSITIONS,
    FORM_IGNORED, /* known, of no effect */
    FORM_REFUSED  /* known, and not for whoever speaks */
};

/* A key of an object, the name that paths give it, and where its value goes. */
struct field {
    const char *key, *name;
    enum form form;
    size_t offset;
};

#define FIELD(key, name, form, type, member)                                                       \
    {                                                                                              \
        key, name, form, offsetof(struct type, member)                                             \
    }

/* An event as a source sends it. */
static const struct field source_fields[] = {
    FIELD("id", "ID", FORM_KSUID, ingot_event, id),
    FIELD("source", "Source", FORM_TEXT, ingot_event, source),
    FIELD("name", "Name", FORM_TEXT, ingot_event, name),
    FIELD("context", "Context", FORM_PAYLOAD, ingot_event, context),
    FIELD("data", "Data", FORM_PAYLOAD, ingot_event, data),
    FIELD("jobs", "Jobs", FORM_REFUSED, ingot_event, jobs),
    FIELD("sent_at", "SentAt", FORM_TIME, ingot_event, sent_us),
    FIELD("received_at", "ReceivedAt", FORM_IGNORED, ingot_event, received_us),
    FIELD("ingested_at", "IngestedAt", FORM_REFUSED, ingot_event, ingested_us),
    {0},
};

/* An event as this program writes it, which is with null for an absent payload. */
static const struct field event_fields[] = {
    FIELD("id", "ID", FORM_KSUID, ingot_event, id),
    FIELD("source", "Source", FORM_TEXT, ingot_event, source),
    FIELD("name", "Name", FORM_TEXT, ingot_event, name),
    FIELD("context", "Context", FORM_JSON, ingot_event, context),
    FIELD("data", "Data", FORM_JSON, ingot_event, data),
    FIELD("jobs", "Jobs", FORM_JOBS, ingot_event, jobs),
    FIELD("sent_at", "SentAt", FORM_TIME, ingot_event, sent_us),
    FIELD("received_at", "ReceivedAt", FORM_TIME, ingot_event, received_us),
    FIELD("ingested_at", "IngestedAt", FORM_TIME, ingot_event, ingested_us),
    {0},
};

static const struct field job_fields[] = {
    FIELD("id", "ID", FORM_KSUID, ingot_job, id),
    FIELD("destination", "Destination", FORM_TEXT, ingot_job, destination),
    FIELD("event", "Event", FORM_TEXT, ingot_job, event),
    FIELD("context", "Context", FORM_PAYLOAD, ingot_job, context),
    FIELD("data", "Data", FORM_PAYLOAD, ingot_job, data),
    FIELD("transitions", "Transitions", FORM_TRANSITIONS, ingot_job, latest),
    FIELD("created_at", "CreatedAt", FORM_TIME, ingot_job, created_us),
    {0},
};

static const struct field transition_fields[] = {
    FIELD("id", "ID", FORM_KSUID, ingot_transition, id),
    FIELD("attempt", "Attempt", FORM_ATTEMPT, ingot_transition, attempt),
    FIELD("state_before", "StateBefore", FORM_STATE, ingot_transition, state_before),
    FIELD("state_after", "StateAfter", FORM_STATE, ingot_transition, state_after),
    FIELD("error", "Error", FORM_JSON, ingot_transition, error),
    FIELD("created_at", "CreatedAt", FORM_TIME, ingot_transition, created_us),
    {0},
};

static const struct field queue_fields[] = {
    FIELD("events", "Events", FORM_EVENTS, ingot_queue, events),
    {0},
};

#undef FIELD

/* name is NULL where the value at path itself is the problem. */
static void complain(struct decoder *decoder, const char *path, const char *name,
                     const char *message)
{
    char full[2 * PATH_SIZE];
    snprintf(full, sizeof full, "%s%s%s", path, name ? "/" : "", name ? name : "");
    ingot_error_add_validation(decoder->err, full, message);
    decoder->problems++;
}

/* Zeroed memory for the elements of an array; NULL also if there are none. */
static void *make_elements(struct decoder *decoder, const struct igt_json *array, size_t size)
{
    size_t count = igt_json_count(array);
    void *elements = count ? igt_arena_array(decoder->arena, count, size) : NULL;
    if (count && !elements)
        decoder->no_memory = 1;
    return elements;
}

static void decode_object(struct decoder *decoder, const struct igt_json *value,
                          const struct field *fields, const char *path, void *object);

/* A job in a queue message has not begun, so its one transition is its birth. */
static void decode_birth(struct decoder *decoder, const struct igt_json *value, const char *path,
                         struct ingot_transition *birth)
{
    size_t problems = decoder->problems;
    birth->created_us = birth->due_us = INGOT_NO_TIME;
    decode_object(decoder, value, transition_fields, path, birth);
    if (decoder->problems > problems)
        return;
    if (birth->state_after != INGOT_STATE_ACKNOWLEDGED &&
        birth->state_after != INGOT_STATE_AWAITING)
        complain(decoder, path, "StateAfter", "must be acknowledged or awaiting at a job's birth");
    if (birth->state_before != INGOT_STATE_NONE)
        complain(decoder, path, "StateBefore", "must be null at a job's birth");
    if (birth->attempt != 0)
        complain(decoder, path, "Attempt", "must be 0 at a job's birth");
    if (birth->error.data)
        complain(decoder, path, "Error", "must be absent at a job's birth");
}

/* Fills in a job what follows from its event: when it is due if it was born awaiting, too. */
static void settle_job(struct decoder *decoder, const char *path, const struct ingot_event *event,
                       uint32_t number)
{
    struct ingot_job *job = &event->jobs[number];
    struct ingot_transition *birth = &job->latest;
    job->event_id = event->id;
    job->number = number;
    if (birth->state_after != INGOT_STATE_AWAITING)
        return;
    birth->due_us = birth->created_us != INGOT_NO_TIME ? birth->created_us : event->received_us;
    job->due_us = birth->due_us;
    if (job->due_us == INGOT_NO_TIME) {
        char name[PATH_SIZE];
        snprintf(name, sizeof name, "Jobs[%u]/Transitions[0]/CreatedAt", number);
        complain(decoder, path, name, "must be given for a job that awaits");
    }
}

static void decode_event(struct decoder *decoder, const struct igt_json *value,
                         const struct field *fields, const char *path, struct ingot_event *event)
{
    size_t problems = decoder->problems;
    event->sent_us = event->received_us = INGOT_NO_TIME;
    event->ingested_us = event->retired_us = INGOT_NO_TIME;
    decode_object(decoder, value, fields, path, event);
    for (uint32_t number = 0; number < event->job_count; number++)
        settle_job(decoder, path, event, number);
    if (decoder->err && decoder->problems > problems && !ingot_ksuid_is_none(&event->id))
        ingot_ksuid_format(&event->id, decoder->err->event_id);
}

/* The decoders of one value return NULL, or what is wrong with it. */

static const char *decode_transitions(struct decoder *decoder, const struct igt_json *value,
                                      const char *path, struct ingot_transition *latest)
{
    char birth_path[PATH_SIZE];
    struct igt_json key, birth;
    if (value->kind != IGT_JSON_ARRAY || igt_json_count(value) != 1)
        return "must be an array of one element";
    struct igt_json_walk walk = igt_json_walk(value);
    igt_json_next(&walk, &key, &birth);
    snprintf(birth_path, sizeof birth_path, "%s/Transitions[0]", path);
    if (birth.kind != IGT_JSON_NULL) /* as encode writes a job that was not read from a store */
        decode_birth(decoder, &birth, birth_path, latest);
    return NULL;
}

static const char *decode_jobs(struct decoder *decoder, const struct igt_json *value,
                               const char *path, struct ingot_event *event)
{
    struct igt_json key, member;
    if (value->kind != IGT_JSON_ARRAY)
        return "must be an array";
    event->jobs = make_elements(decoder, value, sizeof *event->jobs);
    struct igt_json_walk walk = igt_json_walk(value);
    for (; event->jobs && igt_json_next(&walk, &key, &member); event->job_count++) {
        char job_path[PATH_SIZE];
        struct ingot_job *job = &event->jobs[event->job_count];
        snprintf(job_path, sizeof job_path, "%s/Jobs[%zu]", path, event->job_count);
        job->due_us = job->created_us = INGOT_NO_TIME;
        decode_object(decoder, &member, job_fields, job_path, job);
    }
    return NULL;
}

static const char *decode_events(struct decoder *decoder, const struct igt_json *value,
                                 const char *path, struct ingot_queue *queue)
{
    struct igt_json key, member;
    if (value->kind != IGT_JSON_ARRAY)
        return "must be an array";
    queue->events = make_elements(decoder, value, sizeof *queue->events);
    struct igt_json_walk walk = igt_json_walk(value);
    for (; queue->events && igt_json_next(&walk, &key, &member); queue->event_count++) {
        char event_path[PATH_SIZE];
        snprintf(event_path, sizeof event_path, "%s/Events[%zu]", path, queue->event_count);
        decode_event(decoder, &member, event_fields, event_path,
                     &queue->events[queue->event_count]);
    }
    return NULL;
}

static const char *decode_attempt(const struct igt_json *value, uint16_t *ret_attempt)
{
    int64_t attempt;
    if (!igt_json_integer(value, &attempt) || attempt < 0 || attempt > UINT16_MAX)
        return "must be an integer from 0 to 65535";
    *ret_attempt = (uint16_t)attempt;
    return NULL;
}

/* A problem with the reason of the parser that found it. */
static const char *because(struct decoder *decoder, const char *problem)
{
    int room = (int)(sizeof decoder->message - strlen(problem) - sizeof ": ");
    snprintf(decoder->message, sizeof decoder->message, "%s: %.*s", problem, room,
             decoder->why.message);
    return decoder->message;
}

static const char *decode_string(struct decoder *decoder, const struct igt_json *value,
                                 enum form form, void *place)
{
    if (value->kind != IGT_JSON_STRING)
        return "must be a string";
    struct ingot_bytes text = igt_json_text(value, decoder->arena);
    if (!text.data) {
        decoder->no_memory = 1;
        return NULL;
    }
    switch (form) {
    case FORM_KSUID:
        if (ingot_ksuid_parse(text, place, &decoder->why) != INGOT_OK)
            return because(decoder, "must be a valid KSUID");
        return ingot_ksuid_is_none(place) ? "must be a valid KSUID: all zero means none" : NULL;
    case FORM_TIME:
        if (igt_time_parse(text, place, &decoder->why) != INGOT_OK)
            return because(decoder, "must be a time of RFC 3339");
        return NULL;
    case FORM_STATE:
        *(enum ingot_state *)place = ingot_state_parse(text);
        return *(enum ingot_state *)place == INGOT_STATE_NONE ? "is not a state" : NULL;
    default:
        *(struct ingot_bytes *)place = text;
        return NULL;
    }
}

static const char *decode_field(struct decoder *decoder, const struct igt_json *value,
                                const struct field *field, const char *path, void *object)
{
    void *place = (char *)object + field->offset;
    switch (field->form) {
    case FORM_ATTEMPT:
        return decode_attempt(value, place);
    case FORM_PAYLOAD:
    case FORM_JSON:
        *(struct ingot_bytes *)place = value->raw;
        return NULL;
    case FORM_EVENTS:
        return decode_events(decoder, value, path, object);
    case FORM_JOBS:
        return decode_jobs(decoder, value, path, object);
    case FORM_TRANSITIONS:
        return decode_transitions(decoder, value, path, place);
    case FORM_IGNORED:
        return NULL;
    case FORM_REFUSED:
        return "is set by Ingot and cannot be given";
    default:
        return decode_string(decoder, value, field->form, place);
    }
}

static const struct field *find_field(struct decoder *decoder, const struct igt_json *key,
                                      const struct field *fields)
{
    struct ingot_bytes text = igt_json_text(key, decoder->arena);
    if (!text.data)
        decoder->no_memory = 1;
    for (const struct field *field = fields; field->key; field++)
        if (ingot_bytes_equal(text, ingot_bytes_of(field->key)))
            return field;
    return NULL;
}

static void decode_object(struct decoder *decoder, const struct igt_json *value,
                          const struct field *fields, const char *path, void *object)
{
    struct igt_json key, member;
    if (value->kind != IGT_JSON_OBJECT) {
        complain(decoder, path, NULL, "must be an object");
        return;
    }
    struct igt_json_walk walk = igt_json_walk(value);
    while (igt_json_next(&walk, &key, &member)) {
        const struct field *field = find_field(decoder, &key, fields);
        if (!field) {
            char shown[IGT_JSON_SHOWN_SIZE];
            igt_json_show(&key, shown);
            complain(decoder, path, shown, "unknown field");
            continue;
        }
        int absent = member.kind == IGT_JSON_NULL && field->form != FORM_PAYLOAD &&
                     field->form != FORM_REFUSED;
        const char *problem = absent ? NULL : decode_field(decoder, &member, field, path, object);
        if (problem)
            complain(decoder, path, field->name, problem);
    }
}

static enum ingot_status conclude(const struct decoder *decoder, const char *what)
{
    if (decoder->no_memory)
        return ingot_error_set(decoder->err, INGOT_NOMEM, "memory ran out while reading the %s",
                               what);
    if (decoder->problems)
        return ingot_error_set(decoder->err, INGOT_INVALID, "the %s is not acceptable: %zu %s",
                               what, decoder->problems,
                               decoder->problems == 1 ? "problem" : "problems");
    return INGOT_OK;
}

enum ingot_status igt_event_decode(const struct igt_json *value, enum igt_decode_source source,
                                   const char *path, struct igt_arena *arena,
                                   struct ingot_event *ret_event, struct ingot_error *err)
{
    struct decoder decoder = {.arena = arena, .err = err};
    struct ingot_event event = {0};
    decode_event(&decoder, value, source == IGT_DECODE_SOURCE ? source_fields : event_fields, path,
                 &event);
    enum ingot_status status = conclude(&decoder, "event");
    if (status == INGOT_OK)
        *ret_event = event;
    return status;
}

enum ingot_status igt_queue_decode(const struct igt_json *value, struct igt_arena *arena,
                                   struct ingot_queue *ret_queue, struct ingot_error *err)
{
    struct decoder decoder = {.arena = arena, .err = err};
    struct ingot_queue queue = {0};
    if (value->kind != IGT_JSON_NULL)
        decode_object(&decoder, value, queue_fields, "Queue", &queue);
    enum ingot_status status = conclude(&decoder, "queue");
    if (status == INGOT_OK)
        *ret_queue = queue;
    return status;
}

/* ---- the made id -------------------------------------------------------- */

void igt_transition_id(const ingot_ksuid *event_id, uint32_t job, uint32_t seq, int64_t at_us,
                       ingot_ksuid *ret_id)
{
    int64_t second = at_us / IGT_SECOND_US - INGOT_KSUID_EPOCH;
    uint32_t seconds = second < 0 ? 0 : second > UINT32_MAX ? UINT32_MAX : (uint32_t)second;
    ingot_ksuid id = *event_id;
    for (size_t i = 0; i < 4; i++)
        id.bytes[i] = (uint8_t)(seconds >> (24 - 8 * i));
    id.bytes[16] = (uint8_t)(job >> 8);
    id.bytes[17] = (uint8_t)job;
    id.bytes[18] = (uint8_t)(seq >> 8);
    id.bytes[19] = (uint8_t)seq;
    *ret_id = id;
}
