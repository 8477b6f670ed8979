/* What an event and its jobs must be before they may be stored (SEED rows 19 to 38, PROTOCOL 6). */
#include "store.h"

#include "core/json.h"
#include "core/limits.h"
#include "core/toolkit.h"

#include <stdio.h>
#include <string.h>

/* Adds a validation at path/field. */
static void complain(struct ingot_error *err, const char *path, const char *field,
                     const char *message)
{
    char whole[120];
    snprintf(whole, sizeof whole, "%s/%s", path, field);
    ingot_error_add_validation(err, whole, message);
}

/* Whether bytes are UTF-8 without control characters: fit for names that people read. */
static int is_printable(struct ingot_bytes text)
{
    const unsigned char *bytes = text.data;
    for (size_t i = 0; i < text.len;) {
        unsigned char c = bytes[i];
        size_t more = c < 0x80 ? 0 : c >= 0xf0 && c <= 0xf4 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 9;
        if (c < 0x20 || c == 0x7f || c > 0xf4 || more > text.len - i - 1)
            return 0;
        for (size_t j = 1; j <= more; j++)
            if ((bytes[i + j] & 0xc0) != 0x80)
                return 0;
        /* overlong forms, surrogates, beyond U+10FFFF */
        if ((c == 0xe0 && bytes[i + 1] < 0xa0) || (c == 0xed && bytes[i + 1] > 0x9f) ||
            (c == 0xf0 && bytes[i + 1] < 0x90) || (c == 0xf4 && bytes[i + 1] > 0x8f))
            return 0;
        i += more + 1;
    }
    return 1;
}

static int check_name(struct ingot_bytes name, const char *path, const char *field,
                      struct ingot_error *err)
{
    const char *message = NULL;
    if (!name.data || name.len == 0)
        message = "must not be empty";
    else if (name.len > IGT_NAME_BYTES_MAX)
        message = "must not be longer than 255 bytes";
    else if (!is_printable(name))
        message = "must be UTF-8 without control characters";
    if (message)
        complain(err, path, field, message);
    return message == NULL;
}

static int check_payload(struct ingot_bytes payload, const char *path, const char *field,
                         struct ingot_error *err)
{
    struct igt_json value;
    struct ingot_error detail = {0};
    if (!payload.data)
        return 1;
    if (payload.len > IGT_PAYLOAD_BYTES_MAX) {
        complain(err, path, field, "must not be longer than 8 MiB");
        return 0;
    }
    if (igt_json_parse(payload, &value, &detail) == INGOT_OK)
        return 1;
    char message[160];
    snprintf(message, sizeof message, "must be JSON: %.140s", detail.message);
    complain(err, path, field, message);
    return 0;
}

enum ingot_status igt_job_validate(const struct ingot_job *job, const char *path,
                                   struct ingot_error *err)
{
    int good = 1;
    if (ingot_ksuid_is_none(&job->id)) {
        complain(err, path, "ID", "must be a valid KSUID");
        good = 0;
    }
    good &= check_name(job->destination, path, "Destination", err);
    good &= check_name(job->event, path, "Event", err);
    good &= check_payload(job->context, path, "Context", err);
    good &= check_payload(job->data, path, "Data", err);
    if (job->latest.state_after != INGOT_STATE_NONE &&
        job->latest.state_after !=
            (job->due_us == INGOT_NO_TIME ? INGOT_STATE_ACKNOWLEDGED : INGOT_STATE_AWAITING)) {
        complain(err, path, "Transitions[0]/StateAfter",
                 "a job is born acknowledged, or awaiting with a due time");
        good = 0;
    }
    return good ? INGOT_OK : INGOT_INVALID;
}

/* Ids are admitted from 7 days ago to one day ahead (PROTOCOL 6.1). */
static int check_id(const struct ingot_event *event, const struct ingot_toolkit *toolkit,
                    const char *path, struct ingot_error *err)
{
    if (ingot_ksuid_is_none(&event->id)) {
        complain(err, path, "ID", "must be a valid KSUID");
        return 0;
    }
    int64_t age_us = igt_now_us(toolkit) - ingot_ksuid_time_us(&event->id);
    if (age_us > IGT_ADMISSION_PAST_US) {
        complain(err, path, "ID", "is older than 7 days; give the event a new id");
        return 0;
    }
    if (age_us < -IGT_ADMISSION_FUTURE_US) {
        complain(err, path, "ID", "is more than a day ahead of the clock; give the event a new id");
        return 0;
    }
    return 1;
}

/* At most two jobs without a parent for one destination: the wildcard and the specific (SEED row 25). */
static int check_pair(const struct ingot_event *event, size_t index, const char *path,
                      struct ingot_error *err)
{
    const struct ingot_job *job = &event->jobs[index];
    for (size_t i = 0; i < index; i++) {
        const struct ingot_job *other = &event->jobs[i];
        if (ingot_ksuid_compare(&other->id, &job->id) == 0) {
            complain(err, path, "ID", "is the id of another job of the event");
            return 0;
        }
        if (ingot_jobs_collide(job, other)) {
            complain(err, path, "Destination",
                     "has such a job already: at most the wildcard and the specific one");
            return 0;
        }
    }
    return 1;
}

/* A parent born with the same event (SEED row 38). */
static int check_parent(const struct ingot_event *event, size_t index, const char *path,
                        struct ingot_error *err)
{
    const struct ingot_job *job = &event->jobs[index];
    if (ingot_ksuid_is_none(&job->parent_job_id))
        return 1;
    for (size_t i = 0; i < event->job_count; i++)
        if (i != index && ingot_ksuid_compare(&event->jobs[i].id, &job->parent_job_id) == 0)
            return 1;
    complain(err, path, "ParentJobID", "is not a job of the same event");
    return 0;
}

enum ingot_status ingot_event_validate(const struct ingot_event *event,
                                       const struct ingot_toolkit *toolkit, const char *path,
                                       struct ingot_error *err)
{
    int good = check_id(event, toolkit, path, err);
    if (err && good && !err->event_id[0])
        ingot_ksuid_format(&event->id, err->event_id);
    good &= check_name(event->source, path, "Source", err);
    good &= check_name(event->name, path, "Name", err);
    if (ingot_bytes_equal(event->name, ingot_bytes_of("*"))) {
        complain(err, path, "Name", "must not be \"*\", the wildcard of destinations");
        good = 0;
    }
    good &= check_payload(event->context, path, "Context", err);
    good &= check_payload(event->data, path, "Data", err);
    if (event->job_count > IGT_EVENT_JOBS_MAX) {
        complain(err, path, "Jobs", "must not be more than 65535");
        return ingot_error_set(err, INGOT_INVALID, "store: the event is not acceptable");
    }
    for (size_t i = 0; i < event->job_count; i++) {
        char job_path[100];
        snprintf(job_path, sizeof job_path, "%.70s/Jobs[%zu]", path, i);
        good &= igt_job_validate(&event->jobs[i], job_path, err) == INGOT_OK;
        good &= check_pair(event, i, job_path, err);
        good &= check_parent(event, i, job_path, err);
    }
    if (good && err)
        err->event_id[0] = '\0';
    return good ? INGOT_OK
                : ingot_error_set(err, INGOT_INVALID, "store: the event is not acceptable");
}
