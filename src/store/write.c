/*
 * The writing operations: what the specification calls InsertQueue, AddJobs,
 * AddTransitions and Delete, each checked and made into one commit.
 */
#include "store.h"

#include "core/buffer.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/model.h"
#include "core/state.h"
#include "core/toolkit.h"
#include "validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads again and tries again this often when a forced delete meets a scheduler at work. */
#define DELETE_TRIES 5

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
}

/* ---- commit ------------------------------------------------------------- */

/* The table of moves, asked for every row; numbers and rivals are the key's affair. */
static const char *check_row(const struct ingot_commit *commit, size_t index)
{
    const struct ingot_commit_transition *given = &commit->transitions[index];
    const struct ingot_transition *row = &given->row;
    if (row->seq == 0 || row->seq > IGT_SEQ_MAX)
        return "its number is not between 1 and 65535";
    if (row->job >= IGT_EVENT_JOBS_MAX)
        return "its job number is too large";
    if (row->state_before == INGOT_STATE_NONE ||
        !igt_move_is_legal(row->state_before, row->state_after))
        return "there is no such move";
    if (given->hangs_on != INGOT_ALONE && given->hangs_on >= index)
        return "it hangs on a row that does not come before it";
    return NULL;
}

/* The newest transition of a job in a page, or NULL. */
static const struct ingot_transition *find_latest(const struct ingot_page *page,
                                                  const struct ingot_transition *row)
{
    for (size_t i = 0; i < page->event_count; i++)
        if (ingot_ksuid_compare(&page->events[i].id, &row->event_id) == 0)
            return row->job < page->events[i].job_count ? &page->events[i].jobs[row->job].latest
                                                        : NULL;
    return NULL;
}

/* Whether a transition is one of those that a commit has stored. */
static int is_among(const struct ingot_commit *commit, const struct ingot_transition *row)
{
    for (size_t i = 0; i < commit->transition_count; i++) {
        const struct ingot_transition *mine = &commit->transitions[i].row;
        if (commit->transitions[i].verdict == INGOT_STORED && mine->seq == row->seq &&
            mine->job == row->job && ingot_ksuid_compare(&mine->event_id, &row->event_id) == 0)
            return 1;
    }
    return 0;
}

/*
 * Of a commit that was sent again a claim that is found stored may be an old one
 * of ours, which a stale sighting made us repeat, and that was delivered long
 * ago. It is ours to deliver only while the chain ends within the commit.
 */
static enum ingot_status drop_old_claims(struct ingot_store *store,
                                         const struct ingot_toolkit *toolkit,
                                         struct ingot_commit *commit, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < commit->transition_count && !status; i++) {
        struct ingot_commit_transition *given = &commit->transitions[i];
        struct ingot_page *page = NULL;
        if (given->verdict != INGOT_STORED || given->row.state_after != INGOT_STATE_EXECUTING)
            continue;
        status = ingot_store_events(store, toolkit, &given->row.event_id, 1, INGOT_DETAIL_ROUTING,
                                    &page, err);
        const struct ingot_transition *latest = status ? NULL : find_latest(page, &given->row);
        if (!status && (!latest || !is_among(commit, latest)))
            given->verdict = INGOT_LOST;
        ingot_page_destroy(page);
    }
    return status == INGOT_RETRY ? INGOT_UNKNOWN : status; /* it is stored; how, is not known yet */
}

static enum ingot_status check_commit(const struct ingot_commit *commit, struct ingot_error *err)
{
    ingot_error_clear(err);
    for (size_t i = 0; i < commit->transition_count; i++) {
        const char *reason = check_row(commit, i);
        if (reason)
            return ingot_error_set(err, INGOT_INVALID,
                                   "store: transition %zu is not acceptable: %s", i, reason);
    }
    for (size_t i = 0; i < commit->job_count; i++)
        if (commit->jobs[i].hangs_on != INGOT_ALONE &&
            commit->jobs[i].hangs_on >= commit->transition_count)
            return ingot_error_set(err, INGOT_INVALID, "store: job %zu hangs on nothing", i);
    return INGOT_OK;
}

enum ingot_status ingot_store_commit(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     struct ingot_commit *commit, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    enum ingot_status status = check_commit(commit, err);
    if (status)
        return status;
    pthread_mutex_lock(&store->lock);
    status = store->adapter->commit(store->handle, &full, commit, err);
    pthread_mutex_unlock(&store->lock);
    if (!status && commit->sending == INGOT_COMMIT_AGAIN)
        status = drop_old_claims(store, toolkit, commit, err);
    return status;
}

enum ingot_status ingot_store_send_commit(struct ingot_store *store,
                                          const struct ingot_toolkit *toolkit,
                                          struct ingot_commit *commit, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    if (!store->adapter->send_commit || !store->adapter->finish_commit ||
        commit->sending == INGOT_COMMIT_AGAIN)
        return INGOT_UNSUPPORTED;
    enum ingot_status status = check_commit(commit, err);
    if (status)
        return status;
    pthread_mutex_lock(&store->lock);
    status = store->adapter->send_commit(store->handle, &full, commit, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ingot_status ingot_store_finish_commit(struct ingot_store *store,
                                            const struct ingot_toolkit *toolkit,
                                            struct ingot_commit *commit, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    ingot_error_clear(err);
    if (!store->adapter->finish_commit)
        return ingot_error_set(err, INGOT_UNSUPPORTED, "store/%s: no commit was sent",
                               store->adapter->name);
    pthread_mutex_lock(&store->lock);
    enum ingot_status status = store->adapter->finish_commit(store->handle, &full, commit, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* ---- insert_queue ------------------------------------------------------- */

/* Names the first event that another one stands in the way of. */
static void explain_mismatch(const struct ingot_commit *commit, struct ingot_error *err)
{
    for (size_t i = 0; err && i < commit->event_count; i++) {
        if (commit->events[i].verdict != INGOT_MISMATCH)
            continue;
        char path[64];
        ingot_ksuid_format(&commit->events[i].row->id, err->event_id);
        ingot_error_set(err, INGOT_CONFLICT,
                        "store: the event %s is stored already, with other contents; give it "
                        "another id",
                        err->event_id);
        err->status_code = 409;
        snprintf(path, sizeof path, "Queue/Events[%zu]/ID", i);
        ingot_error_add_validation(err, path, "is the id of another event");
        return;
    }
}

enum ingot_status ingot_store_insert_queue(struct ingot_store *store,
                                           const struct ingot_toolkit *toolkit,
                                           const struct ingot_queue *queue,
                                           enum ingot_verdict *ret_verdicts,
                                           struct ingot_error *err)
{
    ingot_error_clear(err);
    if (!queue || queue->event_count == 0)
        return INGOT_OK;
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < queue->event_count && status != INGOT_NOMEM; i++) {
        char path[64];
        snprintf(path, sizeof path, "Queue/Events[%zu]", i);
        enum ingot_status one =
            ingot_event_validate(&queue->events[i], toolkit ? toolkit : &store->toolkit, path, err);
        status = one ? one : status;
    }
    if (status == INGOT_NOMEM)
        return no_memory(err);
    if (status)
        return ingot_error_set(err, status, "store/%s: the queue is not acceptable",
                               store->adapter->name);
    struct ingot_commit commit = {.rule = INGOT_COMMIT_WHOLE, .event_count = queue->event_count};
    commit.events = calloc(queue->event_count, sizeof *commit.events);
    if (!commit.events)
        return no_memory(err);
    for (size_t i = 0; i < queue->event_count; i++)
        commit.events[i].row = &queue->events[i];
    status = ingot_store_commit(store, toolkit, &commit, err);
    if (status == INGOT_CONFLICT)
        explain_mismatch(&commit, err);
    for (size_t i = 0; ret_verdicts && i < queue->event_count; i++) {
        enum ingot_verdict verdict = commit.events[i].verdict;
        if (status == INGOT_CONFLICT && verdict == INGOT_STORED)
            verdict = INGOT_PENDING; /* it was undone */
        if (!status || status == INGOT_CONFLICT)
            ret_verdicts[i] = verdict;
    }
    free(commit.events);
    return status;
}

/* ---- add_jobs ----------------------------------------------------------- */

/* The event of a job that may not be added, and why. */
static const char *explain_refusal(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_job *job)
{
    struct ingot_page *page = NULL;
    const char *reason = "there is no such event";
    if (ingot_store_event(store, toolkit, &job->event_id, &page, NULL) == INGOT_OK) {
        if (page->events[0].retired_us != INGOT_NO_TIME)
            reason = "the event is retired";
        else if (page->job_count >= IGT_EVENT_JOBS_MAX)
            reason = "the event has 65535 jobs, and more do not fit";
        else
            reason = "the event has such a job for this destination already; a follow-up names "
                     "its parent";
    }
    ingot_page_destroy(page);
    return reason;
}

/*
 * INGOT_NOT_FOUND unless a job's parent is among the jobs given, or stored with
 * the same event (SEED row 38). Of an unknown event the commit will tell.
 */
static enum ingot_status find_parent(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct ingot_job *jobs, size_t job_count, size_t index,
                                     struct ingot_error *err)
{
    const struct ingot_job *job = &jobs[index];
    struct ingot_error why = {0};
    struct ingot_page *page = NULL;
    int found = 0;
    for (size_t i = 0; i < job_count; i++)
        if (i != index && ingot_ksuid_compare(&jobs[i].id, &job->parent_job_id) == 0 &&
            ingot_ksuid_compare(&jobs[i].event_id, &job->event_id) == 0)
            return INGOT_OK;
    enum ingot_status status = ingot_store_event(store, toolkit, &job->event_id, &page, &why);
    if (status == INGOT_NOT_FOUND)
        return INGOT_OK;
    if (status && err)
        *err = why;
    if (status)
        return status;
    for (size_t i = 0; i < page->job_count && !found; i++)
        found = ingot_ksuid_compare(&page->events[0].jobs[i].id, &job->parent_job_id) == 0;
    ingot_page_destroy(page);
    return found ? INGOT_OK : INGOT_NOT_FOUND;
}

static enum ingot_status check_jobs(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const struct ingot_job *jobs, size_t job_count,
                                    struct ingot_error *err)
{
    int bad = 0;
    for (size_t i = 0; i < job_count; i++) {
        char path[64], part[96];
        snprintf(path, sizeof path, "Jobs[%zu]", i);
        enum ingot_status status = igt_job_validate(&jobs[i], path, err);
        if (status == INGOT_NOMEM)
            return no_memory(err);
        bad |= status != INGOT_OK;
        if (ingot_ksuid_is_none(&jobs[i].event_id)) {
            snprintf(part, sizeof part, "%s/EventID", path);
            ingot_error_add_validation(err, part, "must be a valid KSUID");
            bad = 1;
        } else if (!ingot_ksuid_is_none(&jobs[i].parent_job_id)) {
            status = find_parent(store, toolkit, jobs, job_count, i, err);
            if (status && status != INGOT_NOT_FOUND)
                return status;
            snprintf(part, sizeof part, "%s/ParentJobID", path);
            if (status)
                ingot_error_add_validation(err, part, "is not a job of the same event");
            bad |= status != INGOT_OK;
        }
    }
    return bad ? ingot_error_set(err, INGOT_INVALID, "store/%s: the jobs are not acceptable",
                                 store->adapter->name)
               : INGOT_OK;
}

enum ingot_status ingot_store_add_jobs(struct ingot_store *store,
                                       const struct ingot_toolkit *toolkit,
                                       const struct ingot_job *jobs, size_t job_count,
                                       struct ingot_error *err)
{
    ingot_error_clear(err);
    if (job_count == 0)
        return INGOT_OK;
    enum ingot_status status = check_jobs(store, toolkit, jobs, job_count, err);
    if (status)
        return status;
    struct ingot_commit commit = {.rule = INGOT_COMMIT_WHOLE, .job_count = job_count};
    commit.jobs = calloc(job_count, sizeof *commit.jobs);
    if (!commit.jobs)
        return no_memory(err);
    for (size_t i = 0; i < job_count; i++) {
        commit.jobs[i].row = jobs[i];
        commit.jobs[i].hangs_on = INGOT_ALONE;
    }
    status = ingot_store_commit(store, toolkit, &commit, err);
    if (status == INGOT_CONFLICT) {
        for (size_t i = 0; i < job_count; i++) {
            char path[64];
            snprintf(path, sizeof path, "Jobs[%zu]/EventID", i);
            if (commit.jobs[i].verdict == INGOT_REFUSED)
                ingot_error_add_validation(err, path, explain_refusal(store, toolkit, &jobs[i]));
        }
        ingot_error_set(err, INGOT_CONFLICT, "store/%s: the jobs cannot be added",
                        store->adapter->name);
    }
    free(commit.jobs);
    return status;
}

/* ---- add_transitions ---------------------------------------------------- */

/* The rows of a call, and what is known of each before the commit. */
struct batch {
    const struct ingot_transition *rows;
    struct ingot_result *results;
    struct igt_fold *folds; /* of the row's chain, the row included */
    size_t *places;         /* of the row in the commit */
    struct ingot_commit commit;
};

/* The newest of the rows before index that concerns the same job. */
static size_t predecessor(const struct ingot_transition *rows, size_t index)
{
    for (size_t i = index; i-- > 0;)
        if (rows[i].job == rows[index].job &&
            ingot_ksuid_compare(&rows[i].event_id, &rows[index].event_id) == 0)
            return i;
    return INGOT_ALONE;
}

/* Notes that a row's number is taken, with the row of a chain that has it. */
static void lose(struct ingot_result *result, const struct ingot_page *chain, uint32_t seq)
{
    result->verdict = INGOT_LOST;
    for (size_t i = 0; i < chain->transition_count; i++)
        if (chain->transitions[i].seq == seq)
            result->taken = chain->transitions[i];
    result->taken.error = (struct ingot_bytes){NULL, 0};
}

/* Reads who was faster than a row that lost its race in the commit, which was decided all the same. */
static void read_winner(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                        const struct ingot_transition *row, struct ingot_result *result)
{
    struct ingot_page *chain = NULL;
    if (ingot_store_history(store, toolkit, &row->event_id, row->job, &chain, NULL) == INGOT_OK)
        lose(result, chain, row->seq);
    ingot_page_destroy(chain);
}

static void refuse(struct ingot_result *result, const char *reason)
{
    result->verdict = INGOT_REFUSED;
    snprintf(result->reason, sizeof result->reason, "%s", reason);
}

/* Says in ret_reason what is wrong with a row's error, if anything is. */
static enum ingot_status check_error_text(const struct ingot_transition *row,
                                          const char **ret_reason, struct ingot_error *err)
{
    struct igt_json value;
    *ret_reason = NULL;
    if (!row->error.data)
        return INGOT_OK;
    enum ingot_status status = igt_json_parse(row->error, &value, NULL);
    if (status == INGOT_NOMEM)
        return no_memory(err);
    if (row->error.len > IGT_ERROR_BYTES_MAX)
        *ret_reason = "its error is longer than 4096 bytes";
    else if (status || value.kind != IGT_JSON_OBJECT)
        *ret_reason = "its error is not a JSON object";
    return INGOT_OK;
}

/* Folds what is stored of a row's job; the row may turn out to be lost or refused already. */
static enum ingot_status fold_stored(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct ingot_transition *row, struct igt_fold *fold,
                                     struct ingot_result *result, struct ingot_error *err)
{
    struct ingot_page *chain = NULL;
    enum ingot_status status =
        ingot_store_history(store, toolkit, &row->event_id, row->job, &chain, err);
    if (status == INGOT_NOT_FOUND) {
        ingot_error_clear(err);
        refuse(result, "there is no such job");
        return INGOT_OK;
    }
    if (status)
        return status;
    igt_fold_begin(fold, &chain->transitions[0]);
    for (size_t i = 1; i < chain->transition_count; i++)
        if (igt_fold_apply(fold, &chain->transitions[i]))
            igt_fold_from_latest(fold, &chain->transitions[i]);
    if (row->seq && row->seq <= fold->seq)
        lose(result, chain, row->seq);
    ingot_page_destroy(chain);
    return INGOT_OK;
}

/*
 * Judges one row against what is stored and what stands before it in the
 * batch. Two rows of one job stand or fall together (PROTOCOL 1.5).
 */
static enum ingot_status judge(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                               struct batch *batch, size_t index, size_t before,
                               struct ingot_error *err)
{
    struct ingot_result *result = &batch->results[index];
    struct igt_fold *fold = &batch->folds[index];
    const char *reason;
    enum ingot_status status = check_error_text(&batch->rows[index], &reason, err);
    if (!status && !reason && before != INGOT_ALONE) {
        *fold = batch->folds[before];
        if (batch->results[before].verdict != INGOT_PENDING)
            result->verdict = INGOT_LOST;
    } else if (!status && !reason) {
        status = fold_stored(store, toolkit, &batch->rows[index], fold, result, err);
    }
    if (!status && !reason && result->verdict == INGOT_PENDING) {
        const struct igt_breach *breach = igt_fold_apply(fold, &batch->rows[index]);
        reason = breach ? breach->reason : NULL;
    }
    if (!status && reason)
        refuse(result, reason);
    return status;
}

/* Judges the rows and puts those that may be stored into the commit. */
static enum ingot_status fill_commit(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     struct batch *batch, size_t count, struct ingot_error *err)
{
    struct ingot_commit *commit = &batch->commit;
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < count && !status; i++) {
        size_t before = predecessor(batch->rows, i);
        status = judge(store, toolkit, batch, i, before, err);
        if (status || batch->results[i].verdict != INGOT_PENDING)
            continue;
        batch->places[i] = commit->transition_count;
        commit->transitions[commit->transition_count++] = (struct ingot_commit_transition){
            .row = batch->rows[i],
            .hangs_on = before == INGOT_ALONE ? INGOT_ALONE : batch->places[before],
            .notice = INGOT_NOTICE_SENT, /* whoever works the lane commits by himself */
        };
    }
    return status;
}

enum ingot_status
ingot_store_add_transitions(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                            const struct ingot_transition *transitions, size_t transition_count,
                            struct ingot_result *ret_results, struct ingot_error *err)
{
    ingot_error_clear(err);
    if (transition_count == 0)
        return INGOT_OK;
    struct batch batch = {
        .rows = transitions,
        .results = calloc(transition_count, sizeof *batch.results),
        .folds = calloc(transition_count, sizeof *batch.folds),
        .places = calloc(transition_count, sizeof *batch.places),
    };
    batch.commit.transitions = calloc(transition_count, sizeof *batch.commit.transitions);
    enum ingot_status status = INGOT_OK;
    if (!batch.results || !batch.folds || !batch.places || !batch.commit.transitions)
        status = no_memory(err);
    if (!status)
        status = fill_commit(store, toolkit, &batch, transition_count, err);
    if (!status && batch.commit.transition_count)
        status = ingot_store_commit(store, toolkit, &batch.commit, err);
    for (size_t i = 0; i < transition_count && !status; i++) {
        struct ingot_result *result = &batch.results[i];
        if (result->verdict != INGOT_PENDING)
            continue;
        result->verdict = batch.commit.transitions[batch.places[i]].verdict;
        if (result->verdict == INGOT_LOST)
            read_winner(store, toolkit, &transitions[i], result);
    }
    if (!status)
        memcpy(ret_results, batch.results, transition_count * sizeof *ret_results);
    free(batch.results);
    free(batch.folds);
    free(batch.places);
    free(batch.commit.transitions);
    return status;
}

/* ---- delete ------------------------------------------------------------- */

/* What one try of a delete is to store. */
struct deletion {
    struct ingot_commit commit;
    struct ingot_commit_retirement *retirements;
    struct igt_buffer note; /* why, in the shape of an error */
    struct ingot_bytes actor, reason;
};

/* Adds the discard of a live job. */
static enum ingot_status add_discard(struct deletion *deletion, const struct ingot_job *job,
                                     struct ingot_error *err)
{
    struct ingot_commit *commit = &deletion->commit;
    struct ingot_commit_transition *grown =
        realloc(commit->transitions, (commit->transition_count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    commit->transitions = grown;
    grown[commit->transition_count++] = (struct ingot_commit_transition){
        .row = {.event_id = job->event_id,
                .job = job->number,
                .seq = job->latest.seq + 1,
                .attempt = job->latest.attempt,
                .state_before = job->latest.state_after,
                .state_after = INGOT_STATE_DISCARDED,
                .due_us = INGOT_NO_TIME,
                .error = {deletion->note.data, deletion->note.len}},
        .hangs_on = INGOT_ALONE,
        .notice = INGOT_NOTICE_SENT,
    };
    return INGOT_OK;
}

/* Whether an event was given twice: its jobs can be discarded only once. */
static int is_given(const struct deletion *deletion, const ingot_ksuid *event_id)
{
    for (size_t i = 0; i < deletion->commit.retirement_count; i++)
        if (ingot_ksuid_compare(&deletion->retirements[i].event_id, event_id) == 0)
            return 1;
    return 0;
}

/* Adds what one event needs; live jobs of an event that is not forced become validations. */
static enum ingot_status add_event(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const ingot_ksuid *event_id, size_t index, enum ingot_delete how,
                                   struct deletion *deletion, struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    if (how == INGOT_DELETE_FORCED && is_given(deletion, event_id))
        return INGOT_OK;
    struct ingot_error why = {0}; /* err holds the complaints about the events before */
    enum ingot_status status = ingot_store_event(store, toolkit, event_id, &page, &why);
    size_t live = 0;
    if (status == INGOT_NOT_FOUND)
        return INGOT_OK;
    if (status) {
        *err = why;
        return status;
    }
    if (page->events[0].retired_us == INGOT_NO_TIME) {
        for (size_t i = 0; i < page->job_count && !status; i++) {
            const struct ingot_job *job = &page->events[0].jobs[i];
            if (igt_state_is_terminal(job->latest.state_after))
                continue;
            live++;
            if (how == INGOT_DELETE_FORCED)
                status = add_discard(deletion, job, err);
        }
        deletion->retirements[deletion->commit.retirement_count++] =
            (struct ingot_commit_retirement){*event_id, deletion->actor, deletion->reason};
    }
    ingot_page_destroy(page);
    if (!status && live && how == INGOT_DELETE_FINISHED) {
        char path[48], message[64];
        snprintf(path, sizeof path, "Events[%zu]", index);
        snprintf(message, sizeof message, "has %zu live jobs", live);
        ingot_error_add_validation(err, path, message);
    }
    return status;
}

static enum ingot_status try_delete(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const ingot_ksuid *event_ids, size_t event_count,
                                    enum ingot_delete how, struct deletion *deletion,
                                    struct ingot_error *err)
{
    struct ingot_error complaints = {0};
    enum ingot_status status = INGOT_OK;
    deletion->commit.transition_count = 0;
    deletion->commit.retirement_count = 0;
    for (size_t i = 0; i < event_count && !status; i++)
        status = add_event(store, toolkit, &event_ids[i], i, how, deletion, &complaints);
    if (!status && complaints.validation_count)
        status = ingot_error_set(&complaints, INGOT_INVALID,
                                 "store/%s: live jobs stand in the way; wait for them, or force it",
                                 store->adapter->name);
    if (status) {
        if (err)
            *err = complaints;
        return status;
    }
    deletion->commit.retirements = deletion->retirements;
    return ingot_store_commit(store, toolkit, &deletion->commit, err);
}

enum ingot_status ingot_store_delete(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const ingot_ksuid *event_ids, size_t event_count,
                                     enum ingot_delete how, const char *actor, const char *reason,
                                     struct ingot_error *err)
{
    struct deletion deletion = {.commit = {.rule = INGOT_COMMIT_WHOLE}};
    ingot_error_clear(err);
    if (!actor || !actor[0] || !reason || !reason[0])
        return ingot_error_set(err, INGOT_INVALID, "store/%s: a delete names its actor and reason",
                               store->adapter->name);
    if (event_count == 0)
        return INGOT_OK;
    deletion.actor = ingot_bytes_of(actor);
    deletion.reason = ingot_bytes_of(reason);
    igt_buffer_add_text(&deletion.note, "{\"message\":\"discarded with its event\",\"actor\":");
    igt_buffer_add_json_string(&deletion.note, deletion.actor);
    igt_buffer_add_text(&deletion.note, ",\"reason\":");
    igt_buffer_add_json_string(&deletion.note, deletion.reason);
    igt_buffer_add_text(&deletion.note, "}");
    deletion.retirements = calloc(event_count, sizeof *deletion.retirements);
    enum ingot_status status =
        deletion.retirements && !deletion.note.failed ? INGOT_CONFLICT : no_memory(err);
    for (int i = 0; i < DELETE_TRIES && status == INGOT_CONFLICT; i++)
        status = try_delete(store, toolkit, event_ids, event_count, how, &deletion, err);
    free(deletion.retirements);
    free(deletion.commit.transitions);
    igt_buffer_fini(&deletion.note);
    return status;
}
