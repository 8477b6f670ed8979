/*
 * verify: reads everything once, in key order, and holds it against what the
 * database alone can prove. The numbers I1, I2, … are those of the list of
 * invariants in docs/invariants.md.
 */
#include "store.h"

#include "core/json.h"
#include "core/state.h"
#include "core/toolkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Events between two calls of the progress callback. */
#define PROGRESS_EVENTS 4096

struct verifier {
    void (*report)(void *context, const struct ingot_violation *violation);
    void *context;
    const struct ingot_toolkit *toolkit;
    struct ingot_verification result;
    int stopped, no_memory;
    ingot_ksuid event_id; /* of the event whose transitions come now */
    int event_present, event_damaged;
    struct igt_fold *folds; /* one for each of its jobs */
    size_t job_count, fold_size;
};

static void violation(struct verifier *verifier, const char *invariant, const ingot_ksuid *event_id,
                      int64_t job, int64_t seq, const char *message)
{
    struct ingot_violation found = {invariant, *event_id, job, seq, message};
    verifier->result.violations++;
    if (verifier->report)
        verifier->report(verifier->context, &found);
}

/* Counts the jobs of the event that is done with. */
static void finish_event(struct verifier *verifier)
{
    for (size_t i = 0; i < verifier->job_count; i++)
        verifier->result.live += !igt_state_is_terminal(verifier->folds[i].state);
    verifier->job_count = 0;
}

/* Whether bytes are JSON; when memory runs out nothing is claimed, and the scan ends. */
static int is_json(struct verifier *verifier, struct ingot_bytes text)
{
    struct igt_json value;
    enum ingot_status status = igt_json_parse(text, &value, NULL);
    verifier->no_memory |= status == INGOT_NOMEM;
    return status != INGOT_INVALID;
}

static void check_payload(struct verifier *verifier, const ingot_ksuid *event_id, int64_t job,
                          struct ingot_bytes payload)
{
    if (payload.data && !is_json(verifier, payload))
        violation(verifier, "I1", event_id, job, -1,
                  "a payload is not JSON, and so is not what was accepted");
}

/* A job against those before it: numbers, ids, at most two for a destination. */
static void check_job(struct verifier *verifier, const struct ingot_event *event, size_t index)
{
    const struct ingot_job *job = &event->jobs[index];
    if (job->number != index)
        violation(verifier, "I3", &event->id, job->number, -1, "the job numbers have a gap");
    check_payload(verifier, &event->id, job->number, job->context);
    check_payload(verifier, &event->id, job->number, job->data);
    int parent_found = ingot_ksuid_is_none(&job->parent_job_id);
    for (size_t i = 0; i < event->job_count; i++) {
        const struct ingot_job *other = &event->jobs[i];
        if (i == index)
            continue;
        parent_found |= ingot_ksuid_compare(&other->id, &job->parent_job_id) == 0;
        if (i > index)
            continue;
        if (ingot_ksuid_compare(&other->id, &job->id) == 0)
            violation(verifier, "I2", &event->id, job->number, -1, "two jobs have the same id");
        if (ingot_jobs_collide(job, other))
            violation(verifier, "I3", &event->id, job->number, -1,
                      "the destination has more than the wildcard and the specific job");
    }
    if (!parent_found)
        violation(verifier, "I17", &event->id, job->number, -1,
                  "its parent is no job of the event");
}

static int on_event(void *context, const struct ingot_event *event)
{
    struct verifier *verifier = context;
    finish_event(verifier);
    if (verifier->result.events && ingot_ksuid_compare(&event->id, &verifier->event_id) == 0)
        violation(verifier, "I2", &event->id, -1, -1, "the event is stored twice");
    verifier->event_id = event->id;
    verifier->event_present = 1;
    verifier->event_damaged = 0;
    verifier->result.events++;
    verifier->result.jobs += event->job_count;
    check_payload(verifier, &event->id, -1, event->context);
    check_payload(verifier, &event->id, -1, event->data);
    if (event->job_count > verifier->fold_size) {
        struct igt_fold *grown = realloc(verifier->folds, event->job_count * sizeof *grown);
        if (!grown)
            return verifier->no_memory = 1;
        verifier->folds = grown;
        verifier->fold_size = event->job_count;
    }
    verifier->job_count = event->job_count;
    for (size_t i = 0; i < event->job_count; i++) {
        check_job(verifier, event, i);
        igt_fold_begin(&verifier->folds[i], &event->jobs[i].latest);
    }
    if (verifier->result.events % PROGRESS_EVENTS == 0 &&
        igt_progress(verifier->toolkit, verifier->result.events, 0))
        verifier->stopped = 1;
    return verifier->stopped || verifier->no_memory;
}

static int on_damage(void *context, const ingot_ksuid *event_id, const char *message)
{
    struct verifier *verifier = context;
    if (ingot_ksuid_compare(event_id, &verifier->event_id) != 0 || !verifier->event_present)
        finish_event(verifier);
    verifier->event_id = *event_id;
    verifier->event_present = 1;
    verifier->event_damaged = 1;
    violation(verifier, "I3", event_id, -1, -1, message);
    return 0;
}

static int on_transition(void *context, const struct ingot_transition *row)
{
    struct verifier *verifier = context;
    verifier->result.transitions++;
    int known =
        verifier->event_present && ingot_ksuid_compare(&row->event_id, &verifier->event_id) == 0;
    if (known && verifier->event_damaged)
        return 0;
    if (!known || row->job >= verifier->job_count) {
        violation(verifier, "I17", &row->event_id, row->job, row->seq,
                  known ? "there is no such job" : "there is no such event");
        return 0;
    }
    struct igt_fold *fold = &verifier->folds[row->job];
    if (row->created_us < fold->created_us)
        violation(verifier, "I22", &row->event_id, row->job, row->seq,
                  "it was made before the one that it follows");
    if (row->error.data && !is_json(verifier, row->error))
        violation(verifier, "I17", &row->event_id, row->job, row->seq, "its error is not JSON");
    const struct igt_breach *breach = igt_fold_apply(fold, row);
    if (breach) {
        violation(verifier, breach->invariant, &row->event_id, row->job, row->seq, breach->reason);
        igt_fold_from_latest(fold, row); /* go on from what is there */
    }
    return verifier->no_memory;
}

enum ingot_status ingot_store_verify(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     void (*report)(void *context, const struct ingot_violation *),
                                     void *context, struct ingot_verification *ret_verification,
                                     struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct verifier verifier = {.report = report, .context = context, .toolkit = &full};
    const struct ingot_visitor visitor = {&verifier, on_event, on_transition, on_damage};
    ingot_error_clear(err);
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->scan(store->handle, &full, &visitor, err);
    pthread_mutex_unlock(&store->lock);
    finish_event(&verifier);
    free(verifier.folds);
    if (!status && verifier.no_memory)
        status = ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    if (!status && verifier.stopped)
        status = ingot_error_set(err, INGOT_CLOSED, "store: stopped on request");
    if (!status)
        *ret_verification = verifier.result;
    return status;
}
