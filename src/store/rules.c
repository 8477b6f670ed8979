/* What every adapter must decide alike, and so asks here; see adapter.h. */
#include <ingot/adapter.h>

#include "core/limits.h"

static int same_job(const struct ingot_job *a, const struct ingot_job *b)
{
    return ingot_ksuid_compare(&a->id, &b->id) == 0 &&
           ingot_ksuid_compare(&a->parent_job_id, &b->parent_job_id) == 0 &&
           ingot_bytes_equal(a->destination, b->destination) &&
           ingot_bytes_equal(a->event, b->event) && ingot_bytes_equal(a->context, b->context) &&
           ingot_bytes_equal(a->data, b->data) && a->due_us == b->due_us;
}

int ingot_event_same(const struct ingot_event *stored, const struct ingot_commit_event *given)
{
    const struct ingot_event *row = given->row;
    if (!ingot_bytes_equal(stored->source, row->source) ||
        !ingot_bytes_equal(stored->name, row->name) ||
        !ingot_bytes_equal(stored->context, row->context) ||
        !ingot_bytes_equal(stored->data, row->data) || stored->sent_us != row->sent_us)
        return 0;
    if (given->jobs_origin == INGOT_JOBS_MADE || row->job_count == 0)
        return 1;
    if (stored->job_count != row->job_count)
        return 0;
    for (size_t i = 0; i < row->job_count; i++)
        if (!same_job(&stored->jobs[i], &row->jobs[i]))
            return 0;
    return 1;
}

static int is_wildcard(const struct ingot_job *job)
{
    return ingot_bytes_equal(job->event, ingot_bytes_of("*"));
}

int ingot_transition_same(const struct ingot_transition *stored,
                          const struct ingot_transition *given)
{
    return stored->state_before == given->state_before &&
           stored->state_after == given->state_after && stored->attempt == given->attempt &&
           ingot_ksuid_compare(&stored->owner, &given->owner) == 0 &&
           stored->due_us == given->due_us && ingot_bytes_equal(stored->error, given->error);
}

int ingot_jobs_collide(const struct ingot_job *a, const struct ingot_job *b)
{
    return ingot_ksuid_is_none(&a->parent_job_id) && ingot_ksuid_is_none(&b->parent_job_id) &&
           ingot_bytes_equal(a->destination, b->destination) && is_wildcard(a) == is_wildcard(b);
}

enum ingot_verdict ingot_job_judge(const struct ingot_event *event, const struct ingot_job *job)
{
    if (!event || event->retired_us != INGOT_NO_TIME)
        return INGOT_REFUSED;
    enum ingot_verdict verdict =
        event->job_count < IGT_EVENT_JOBS_MAX ? INGOT_STORED : INGOT_REFUSED;
    for (size_t i = 0; i < event->job_count; i++) {
        if (ingot_ksuid_compare(&event->jobs[i].id, &job->id) == 0)
            return INGOT_ALREADY;
        if (ingot_jobs_collide(&event->jobs[i], job))
            verdict = INGOT_REFUSED;
    }
    return verdict;
}

static int is_listed(const struct ingot_bytes *list, size_t count, struct ingot_bytes bytes)
{
    for (size_t i = 0; i < count; i++)
        if (ingot_bytes_equal(list[i], bytes))
            return 1;
    return count == 0;
}

int ingot_where_matches(const struct ingot_where *where, const struct ingot_job *job)
{
    const unsigned state = INGOT_STATE_BIT(job->latest.state_after);
    return is_listed(where->destinations_in, where->destinations_in_count, job->destination) &&
           is_listed(where->events_in, where->events_in_count, job->event) &&
           (!where->status_in || (where->status_in & state)) && !(where->status_notin & state) &&
           (!where->max_attempts || job->latest.attempt <= where->max_attempts);
}

void ingot_job_born(struct ingot_job *job, const ingot_ksuid *event_id, uint32_t number,
                    int64_t ingested_us)
{
    job->event_id = *event_id;
    job->number = number;
    job->created_us = ingested_us;
    job->latest = (struct ingot_transition){
        .event_id = *event_id,
        .job_id = job->id,
        .job = number,
        .state_before = INGOT_STATE_NONE,
        .state_after =
            job->due_us == INGOT_NO_TIME ? INGOT_STATE_ACKNOWLEDGED : INGOT_STATE_AWAITING,
        .due_us = job->due_us,
        .created_us = ingested_us,
    };
}
