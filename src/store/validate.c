/* What an event and its jobs must be before they may be stored (SEED rows 19 to 38, PROTOCOL 6). */
#include "validate.h"

#include "store.h"

#include "core/bytes.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/toolkit.h"

#include <stdio.h>
#include <string.h>

/* A job's JSON stands two levels deep in its event's row, where it must still be readable. */
#define JOB_JSON_DEPTH_MAX (IGT_JSON_DEPTH_MAX - 2)

/* Adds a validation at path/field. */
static enum ingot_status complain(struct ingot_error *err, const char *path, const char *field,
                                  const char *message)
{
    char whole[120];
    snprintf(whole, sizeof whole, "%s/%s", path, field);
    ingot_error_add_validation(err, whole, message);
    return INGOT_INVALID;
}

/* What two checks come to: lack of memory says nothing about the input. */
static enum ingot_status both(enum ingot_status a, enum ingot_status b)
{
    return a == INGOT_NOMEM || b == INGOT_OK ? a : b;
}

/* Whether bytes are UTF-8 without control characters: fit for names that people read. */
static int is_printable(struct ingot_bytes text)
{
    const unsigned char *bytes = text.data;
    for (size_t i = 0, len; i < text.len; i += len) {
        len = igt_character_len((struct ingot_bytes){bytes + i, text.len - i});
        if (len == 0 || bytes[i] < 0x20 || bytes[i] == 0x7f)
            return 0;
    }
    return 1;
}

static enum ingot_status check_name(struct ingot_bytes name, const char *path, const char *field,
                                    struct ingot_error *err)
{
    if (!name.data || name.len == 0)
        return complain(err, path, field, "must not be empty");
    if (name.len > IGT_NAME_BYTES_MAX)
        return complain(err, path, field, "must not be longer than 255 bytes");
    if (!is_printable(name))
        return complain(err, path, field, "must be UTF-8 without control characters");
    return INGOT_OK;
}

static enum ingot_status check_payload_size(struct ingot_bytes payload, const char *path,
                                            const char *field, struct ingot_error *err)
{
    if (payload.data && payload.len > IGT_PAYLOAD_BYTES_MAX)
        return complain(err, path, field, "must not be longer than 8 MiB");
    return INGOT_OK;
}

static enum ingot_status check_payload(struct ingot_bytes payload, const char *path,
                                       const char *field, struct ingot_error *err)
{
    struct igt_json value;
    struct ingot_error detail = {0};
    enum ingot_status status = check_payload_size(payload, path, field, err);
    if (status || !payload.data)
        return status;
    status = igt_json_parse(payload, &value, &detail);
    if (status != INGOT_INVALID)
        return status;
    char message[160];
    snprintf(message, sizeof message, "must be JSON: %.140s", detail.message);
    return complain(err, path, field, message);
}

/* The deepest nesting of JSON that was checked. */
static unsigned nesting(struct ingot_bytes json)
{
    const char *bytes = json.data;
    unsigned depth = 0, deepest = 0;
    int in_string = 0;
    for (size_t i = 0; i < json.len; i++) {
        if (bytes[i] == '"')
            in_string = !in_string;
        else if (in_string)
            i += bytes[i] == '\\';
        else if (bytes[i] == '[' || bytes[i] == '{')
            deepest = ++depth > deepest ? depth : deepest;
        else if (bytes[i] == ']' || bytes[i] == '}')
            depth--;
    }
    return deepest;
}

/* The payload of a job, which must come out of its event's row as it went in. */
static enum ingot_status check_job_payload(struct ingot_bytes payload, const char *path,
                                           const char *field, struct ingot_error *err)
{
    const char *bytes = payload.data;
    enum ingot_status status = check_payload(payload, path, field, err);
    if (status || !bytes)
        return status;
    if (strchr(" \t\r\n", bytes[0]) || strchr(" \t\r\n", bytes[payload.len - 1]))
        return complain(err, path, field, "must not have white space around it");
    if (nesting(payload) > JOB_JSON_DEPTH_MAX)
        return complain(err, path, field, "must not be nested deeper than 62");
    return INGOT_OK;
}

enum ingot_status igt_job_validate(const struct ingot_job *job, const char *path,
                                   struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    if (ingot_ksuid_is_none(&job->id))
        status = complain(err, path, "ID", "must be a valid KSUID");
    status = both(status, check_name(job->destination, path, "Destination", err));
    status = both(status, check_name(job->event, path, "Event", err));
    status = both(status, check_job_payload(job->context, path, "Context", err));
    status = both(status, check_job_payload(job->data, path, "Data", err));
    if (job->latest.state_after != INGOT_STATE_NONE &&
        job->latest.state_after !=
            (job->due_us == INGOT_NO_TIME ? INGOT_STATE_ACKNOWLEDGED : INGOT_STATE_AWAITING))
        status = both(status, complain(err, path, "Transitions[0]/StateAfter",
                                       "a job is born acknowledged, or awaiting with a due time"));
    return status;
}

/* Ids are admitted from 7 days ago to one day ahead (PROTOCOL 6.1). */
static enum ingot_status check_id(const struct ingot_event *event,
                                  const struct ingot_toolkit *toolkit, const char *path,
                                  struct ingot_error *err)
{
    if (ingot_ksuid_is_none(&event->id))
        return complain(err, path, "ID", "must be a valid KSUID");
    int64_t age_us = igt_now_us(toolkit) - ingot_ksuid_time_us(&event->id);
    if (age_us > IGT_ADMISSION_PAST_US)
        return complain(err, path, "ID", "is older than 7 days; give the event a new id");
    if (age_us < -IGT_ADMISSION_FUTURE_US)
        return complain(err, path, "ID",
                        "is more than a day ahead of the clock; give the event a new id");
    return INGOT_OK;
}

/* At most two jobs without a parent for one destination: the wildcard and the specific (SEED row 25). */
static enum ingot_status check_pair(const struct ingot_event *event, size_t index, const char *path,
                                    struct ingot_error *err)
{
    const struct ingot_job *job = &event->jobs[index];
    for (size_t i = 0; i < index; i++) {
        const struct ingot_job *other = &event->jobs[i];
        if (ingot_ksuid_compare(&other->id, &job->id) == 0)
            return complain(err, path, "ID", "is the id of another job of the event");
        if (ingot_jobs_collide(job, other))
            return complain(err, path, "Destination",
                            "has such a job already: at most the wildcard and the specific one");
    }
    return INGOT_OK;
}

/* A parent born with the same event (SEED row 38). */
static enum ingot_status check_parent(const struct ingot_event *event, size_t index,
                                      const char *path, struct ingot_error *err)
{
    const struct ingot_job *job = &event->jobs[index];
    if (ingot_ksuid_is_none(&job->parent_job_id))
        return INGOT_OK;
    for (size_t i = 0; i < event->job_count; i++)
        if (i != index && ingot_ksuid_compare(&event->jobs[i].id, &job->parent_job_id) == 0)
            return INGOT_OK;
    return complain(err, path, "ParentJobID", "is not a job of the same event");
}

static enum ingot_status check_id_and_names(const struct ingot_event *event,
                                            const struct ingot_toolkit *toolkit, const char *path,
                                            struct ingot_error *err)
{
    enum ingot_status status = check_id(event, toolkit, path, err);
    status = both(status, check_name(event->source, path, "Source", err));
    status = both(status, check_name(event->name, path, "Name", err));
    if (ingot_bytes_equal(event->name, ingot_bytes_of("*")))
        status = both(
            status, complain(err, path, "Name", "must not be \"*\", the wildcard of destinations"));
    return status;
}

static enum ingot_status check_jobs(const struct ingot_event *event, const char *path,
                                    struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    if (event->job_count > IGT_EVENT_JOBS_MAX)
        return complain(err, path, "Jobs", "must not be more than 65535");
    for (size_t i = 0; i < event->job_count; i++) {
        char job_path[100];
        snprintf(job_path, sizeof job_path, "%.70s/Jobs[%zu]", path, i);
        status = both(status, igt_job_validate(&event->jobs[i], job_path, err));
        status = both(status, check_pair(event, i, job_path, err));
        status = both(status, check_parent(event, i, job_path, err));
    }
    return status;
}

/* What the checks of an event came to, as it is told. */
static enum ingot_status conclude(const struct ingot_event *event, enum ingot_status status,
                                  struct ingot_error *err)
{
    if (status == INGOT_NOMEM)
        return ingot_error_set(err, status, "store: memory ran out");
    if (status && err && !err->event_id[0] && !ingot_ksuid_is_none(&event->id))
        ingot_ksuid_format(&event->id, err->event_id);
    return status ? ingot_error_set(err, status, "store: the event is not acceptable") : INGOT_OK;
}

enum ingot_status ingot_event_validate(const struct ingot_event *event,
                                       const struct ingot_toolkit *toolkit, const char *path,
                                       struct ingot_error *err)
{
    enum ingot_status status = check_id_and_names(event, toolkit, path, err);
    status = both(status, check_payload(event->context, path, "Context", err));
    status = both(status, check_payload(event->data, path, "Data", err));
    status = both(status, check_jobs(event, path, err));
    return conclude(event, status, err);
}

enum ingot_status igt_event_validate_decoded(const struct ingot_event *event,
                                             const struct ingot_toolkit *toolkit, const char *path,
                                             struct ingot_error *err)
{
    enum ingot_status status = check_id_and_names(event, toolkit, path, err);
    status = both(status, check_payload_size(event->context, path, "Context", err));
    status = both(status, check_payload_size(event->data, path, "Data", err));
    status = both(status, check_jobs(event, path, err));
    return conclude(event, status, err);
}
