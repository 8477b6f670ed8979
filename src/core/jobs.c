/*
 * The jobs that are born with an event, as the text in the event's row; see
 * adapter.h. What is read is checked as if a stranger had written it.
 */
#include <ingot/adapter.h>

#include "buffer.h"
#include "json.h"
#include "limits.h"

/* ---- writing ------------------------------------------------------------ */

static void add_job(struct igt_buffer *buffer, const struct ingot_job *job)
{
    igt_buffer_add_text(buffer, "{\"id\":");
    igt_buffer_add_json_ksuid(buffer, &job->id);
    igt_buffer_add_text(buffer, ",\"destination\":");
    igt_buffer_add_json_string(buffer, job->destination);
    igt_buffer_add_text(buffer, ",\"event\":");
    igt_buffer_add_json_string(buffer, job->event);
    if (job->context.data) {
        igt_buffer_add_text(buffer, ",\"context\":");
        igt_buffer_add(buffer, job->context.data, job->context.len);
    }
    if (job->data.data) {
        igt_buffer_add_text(buffer, ",\"data\":");
        igt_buffer_add(buffer, job->data.data, job->data.len);
    }
    if (!ingot_ksuid_is_none(&job->parent_job_id)) {
        igt_buffer_add_text(buffer, ",\"parent_job_id\":");
        igt_buffer_add_json_ksuid(buffer, &job->parent_job_id);
    }
    if (job->due_us != INGOT_NO_TIME)
        igt_buffer_add_format(buffer, ",\"due_at\":%lld", (long long)job->due_us);
    igt_buffer_add_text(buffer, "}");
}

char *ingot_jobs_encode(const struct ingot_job *jobs, size_t job_count, size_t *ret_len)
{
    struct igt_buffer buffer = {0};
    igt_buffer_add_text(&buffer, "[");
    for (size_t i = 0; i < job_count; i++) {
        if (i)
            igt_buffer_add_text(&buffer, ",");
        add_job(&buffer, &jobs[i]);
    }
    igt_buffer_add_text(&buffer, "]");
    if (buffer.failed) {
        igt_buffer_fini(&buffer);
        return NULL;
    }
    *ret_len = buffer.len;
    return buffer.data;
}

/* ---- reading ------------------------------------------------------------ */

/* Copies a string into the page; INGOT_CORRUPT if it is none. */
static enum ingot_status read_text(const struct igt_json *value, struct ingot_page *page,
                                   struct ingot_bytes *ret_text)
{
    if (value->kind != IGT_JSON_STRING)
        return INGOT_CORRUPT;
    struct ingot_bytes text = igt_json_text(value, page->arena);
    if (text.data)
        *ret_text = ingot_page_copy(page, text);
    return text.data && ret_text->data ? INGOT_OK : INGOT_NOMEM;
}

/* An id's text has no escape, so what stands between the quotes is all of it. */
static enum ingot_status read_ksuid(const struct igt_json *value, ingot_ksuid *ret_id)
{
    if (value->kind != IGT_JSON_STRING)
        return INGOT_CORRUPT;
    struct ingot_bytes text = {(const char *)value->raw.data + 1, value->raw.len - 2};
    if (ingot_ksuid_parse(text, ret_id, NULL) != INGOT_OK || ingot_ksuid_is_none(ret_id))
        return INGOT_CORRUPT;
    return INGOT_OK;
}

static enum ingot_status read_payload(const struct igt_json *value, enum ingot_detail detail,
                                      struct ingot_page *page, struct ingot_bytes *ret_payload)
{
    if (detail == INGOT_DETAIL_ROUTING)
        return INGOT_OK;
    *ret_payload = ingot_page_copy(page, value->raw);
    return ret_payload->data ? INGOT_OK : INGOT_NOMEM;
}

static enum ingot_status read_due(const struct igt_json *value, int64_t *ret_due_us)
{
    return igt_json_integer(value, ret_due_us) && *ret_due_us != INGOT_NO_TIME ? INGOT_OK
                                                                               : INGOT_CORRUPT;
}

static int is_key(const struct igt_json *key, const char *name)
{
    struct ingot_bytes text = {(const char *)key->raw.data + 1, key->raw.len - 2};
    return ingot_bytes_equal(text, ingot_bytes_of(name));
}

static enum ingot_status read_member(const struct igt_json *key, const struct igt_json *value,
                                     enum ingot_detail detail, struct ingot_page *page,
                                     struct ingot_job *job)
{
    if (is_key(key, "id"))
        return read_ksuid(value, &job->id);
    if (is_key(key, "destination"))
        return read_text(value, page, &job->destination);
    if (is_key(key, "event"))
        return read_text(value, page, &job->event);
    if (is_key(key, "context"))
        return read_payload(value, detail, page, &job->context);
    if (is_key(key, "data"))
        return read_payload(value, detail, page, &job->data);
    if (is_key(key, "parent_job_id"))
        return read_ksuid(value, &job->parent_job_id);
    if (is_key(key, "due_at"))
        return read_due(value, &job->due_us);
    return INGOT_CORRUPT;
}

static enum ingot_status read_job(const struct igt_json *value, enum ingot_detail detail,
                                  struct ingot_page *page, struct ingot_job *job)
{
    struct igt_json key, member;
    enum ingot_status status = INGOT_OK;
    job->due_us = job->created_us = INGOT_NO_TIME;
    if (value->kind != IGT_JSON_OBJECT)
        return INGOT_CORRUPT;
    struct igt_json_walk walk = igt_json_walk(value);
    while (status == INGOT_OK && igt_json_next(&walk, &key, &member))
        status = read_member(&key, &member, detail, page, job);
    if (status != INGOT_OK)
        return status;
    return ingot_ksuid_is_none(&job->id) || !job->destination.data || !job->event.data
               ? INGOT_CORRUPT
               : INGOT_OK;
}

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "memory ran out while reading an event's jobs");
}

enum ingot_status ingot_jobs_decode(struct ingot_bytes text, enum ingot_detail detail,
                                    struct ingot_page *page, struct ingot_job **ret_jobs,
                                    size_t *ret_count, struct ingot_error *err)
{
    struct igt_json array, key, member;
    struct ingot_error why = {0};
    enum ingot_status status = igt_json_parse(text, &array, &why);
    if (status == INGOT_NOMEM)
        return no_memory(err);
    if (status != INGOT_OK)
        return ingot_error_set(err, INGOT_CORRUPT, "an event's jobs are not JSON: %s", why.message);
    size_t count = array.kind == IGT_JSON_ARRAY ? igt_json_count(&array) : SIZE_MAX;
    if (count > IGT_EVENT_JOBS_MAX)
        return ingot_error_set(err, INGOT_CORRUPT,
                               "an event's jobs are not an array of at most %u elements",
                               IGT_EVENT_JOBS_MAX);
    struct ingot_job *jobs = count ? ingot_page_alloc(page, count * sizeof *jobs) : NULL;
    if (count && !jobs)
        return no_memory(err);
    struct igt_json_walk walk = igt_json_walk(&array);
    for (uint32_t i = 0; i < count && igt_json_next(&walk, &key, &member); i++) {
        jobs[i].number = i;
        status = read_job(&member, detail, page, &jobs[i]);
        if (status == INGOT_NOMEM)
            return no_memory(err);
        if (status != INGOT_OK)
            return ingot_error_set(err, INGOT_CORRUPT,
                                   "job %u of an event's jobs is not what ingot writes", i);
    }
    *ret_jobs = jobs;
    *ret_count = count;
    return INGOT_OK;
}
