/*
 * The adapter "memory": sorted arrays, nothing durable. It is the simplest
 * correct store, the oracle that the tests compare the others with, and good
 * for trying things out. Nothing is freed before the store is closed.
 */
#include <ingot/adapter.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct transitions {
    struct ingot_transition *rows; /* ascending by job, seq */
    size_t count, size;
};

/* All that belongs to one event id, whether the event itself is there or not. */
struct entry {
    ingot_ksuid id;
    int present; /* the event is stored */
    struct ingot_event event;
    struct ingot_job *jobs; /* born, then added; index = number */
    size_t job_count, job_size, born_count;
    struct transitions transitions;
};

/* What a follower is shown; its place in the log, from 1 on, is its position. */
struct logged {
    enum ingot_sighted kind;
    const struct entry *entry;
    uint32_t job;
};

struct memory {
    struct entry **entries; /* ascending by id */
    size_t entry_count, entry_size;
    struct ingot_page *page; /* holds every row's bytes */
    struct logged *log;
    size_t log_count, log_size;
    struct ingot_checkpoint *checkpoints; /* ascending by time */
    size_t checkpoint_count, checkpoint_size;
    struct ingot_bytes routes;
    uint64_t life; /* of this store: the next one's cursors are others */
    int64_t last_us;
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store/memory: memory ran out");
}

/* Room for one element more in an array of the adapter. */
static int grow(void **array, size_t count, size_t *size, size_t element)
{
    if (count < *size)
        return 1;
    size_t wanted = *size ? *size * 2 : 4;
    void *grown = realloc(*array, wanted * element);
    if (!grown)
        return 0;
    *array = grown;
    *size = wanted;
    return 1;
}

static struct ingot_options *memory_options(struct ingot_options *given)
{
    return given;
}

static enum ingot_status memory_open(void *handle, const struct ingot_options *options,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    struct memory *memory = handle;
    (void)options;
    toolkit->random(toolkit->context, &memory->life, sizeof memory->life);
    memory->page = ingot_page_create();
    return memory->page ? INGOT_OK : no_memory(err);
}

static enum ingot_status memory_start(void *handle, const struct ingot_toolkit *toolkit,
                                      struct ingot_error *err)
{
    (void)handle, (void)toolkit, (void)err;
    return INGOT_OK;
}

static void memory_close(void *handle)
{
    struct memory *memory = handle;
    for (size_t i = 0; i < memory->entry_count; i++) {
        free(memory->entries[i]->jobs);
        free(memory->entries[i]->transitions.rows);
        free(memory->entries[i]);
    }
    free(memory->entries);
    free(memory->log);
    free(memory->checkpoints);
    ingot_page_destroy(memory->page);
}

/* The time for what is written now. */
static int64_t now(struct memory *memory, const struct ingot_toolkit *toolkit)
{
    int64_t now_us = toolkit->now_us(toolkit->context);
    if (now_us > memory->last_us)
        memory->last_us = now_us;
    return memory->last_us;
}

/* The first entry whose id is not less than this one. */
static size_t lower_bound(const struct memory *memory, const ingot_ksuid *id)
{
    size_t low = 0, high = memory->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ingot_ksuid_compare(&memory->entries[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *get(const struct memory *memory, const ingot_ksuid *id)
{
    size_t at = lower_bound(memory, id);
    if (at == memory->entry_count || ingot_ksuid_compare(&memory->entries[at]->id, id) != 0)
        return NULL;
    return memory->entries[at];
}

static struct entry *get_or_add(struct memory *memory, const ingot_ksuid *id)
{
    struct entry *entry = get(memory, id);
    if (entry)
        return entry;
    if (!grow((void **)&memory->entries, memory->entry_count, &memory->entry_size,
              sizeof *memory->entries))
        return NULL;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->id = *id;
    size_t at = lower_bound(memory, id);
    memmove(memory->entries + at + 1, memory->entries + at,
            (memory->entry_count - at) * sizeof *memory->entries);
    memory->entries[at] = entry;
    memory->entry_count++;
    return entry;
}

static size_t transition_bound(const struct transitions *transitions, uint32_t job, uint32_t seq)
{
    size_t low = 0, high = transitions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ingot_transition *row = &transitions->rows[middle];
        if (row->job < job || (row->job == job && row->seq < seq))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Copies a job's bytes into a page; 0 when memory ran out. */
static int copy_job(struct ingot_page *page, const struct ingot_job *from, enum ingot_detail detail,
                    struct ingot_job *to)
{
    const struct ingot_bytes absent = {NULL, 0};
    *to = *from;
    to->destination = ingot_page_copy(page, from->destination);
    to->event = ingot_page_copy(page, from->event);
    to->context = detail != INGOT_DETAIL_ROUTING ? ingot_page_copy(page, from->context) : absent;
    to->data = detail != INGOT_DETAIL_ROUTING ? ingot_page_copy(page, from->data) : absent;
    return to->destination.data && to->event.data &&
           (detail == INGOT_DETAIL_ROUTING ||
            ((!from->context.data || to->context.data) && (!from->data.data || to->data.data)));
}

static int copy_event(struct ingot_page *page, const struct ingot_event *from,
                      enum ingot_detail detail, struct ingot_event *to)
{
    const struct ingot_bytes absent = {NULL, 0};
    *to = *from;
    to->source = ingot_page_copy(page, from->source);
    to->name = ingot_page_copy(page, from->name);
    to->context = detail != INGOT_DETAIL_ROUTING ? ingot_page_copy(page, from->context) : absent;
    to->data = detail != INGOT_DETAIL_ROUTING ? ingot_page_copy(page, from->data) : absent;
    to->jobs = NULL;
    to->job_count = 0;
    return to->source.data && to->name.data &&
           (detail == INGOT_DETAIL_ROUTING ||
            ((!from->context.data || to->context.data) && (!from->data.data || to->data.data)));
}

/* Replaces a stored transition's error by a copy in a page; 0 when memory ran out. */
static int copy_error(struct ingot_page *page, struct ingot_transition *transition)
{
    struct ingot_bytes stored = transition->error;
    transition->error = ingot_page_copy(page, stored);
    return !stored.data || transition->error.data;
}

/* The newest transition of a job, or its birth. */
static struct ingot_transition latest_of(const struct entry *entry, const struct ingot_job *job)
{
    struct ingot_job born = *job;
    size_t end = transition_bound(&entry->transitions, job->number, UINT32_MAX);
    if (end == 0 || entry->transitions.rows[end - 1].job != job->number) {
        ingot_job_born(&born, &entry->id, job->number, job->created_us);
        return born.latest;
    }
    born.latest = entry->transitions.rows[end - 1];
    born.latest.job_id = job->id;
    return born.latest;
}

static struct ingot_event with_jobs(const struct entry *entry, size_t job_count)
{
    struct ingot_event event = entry->event;
    event.jobs = entry->jobs;
    event.job_count = job_count;
    return event;
}

/* ---- commit ------------------------------------------------------------- */

/* What was inserted, so that a commit can be undone. */
struct undo {
    enum { ADDED_EVENT, ADDED_TRANSITION, ADDED_JOB, ADDED_RETIREMENT } what;
    struct entry *entry;
    uint32_t job, seq;
};

struct journal {
    struct undo *steps;
    size_t count;
};

/* Gives the next position to what followers are to see; 0 when memory ran out. */
static int add_to_log(struct memory *memory, enum ingot_sighted kind, const struct entry *entry,
                      uint32_t job)
{
    if (!grow((void **)&memory->log, memory->log_count, &memory->log_size, sizeof *memory->log))
        return 0;
    memory->log[memory->log_count++] = (struct logged){kind, entry, job};
    return 1;
}

static int append_job(struct memory *memory, struct entry *entry, const struct ingot_job *row,
                      int64_t now_us)
{
    struct ingot_job *job;
    if (!grow((void **)&entry->jobs, entry->job_count, &entry->job_size, sizeof *entry->jobs))
        return 0;
    job = &entry->jobs[entry->job_count];
    if (!copy_job(memory->page, row, INGOT_DETAIL_ALL, job))
        return 0;
    ingot_job_born(job, &entry->id, (uint32_t)entry->job_count, now_us);
    entry->job_count++;
    return 1;
}

static enum ingot_status commit_event(struct memory *memory, struct ingot_commit_event *given,
                                      enum ingot_commit_sending sending, int64_t now_us,
                                      struct journal *journal, struct ingot_error *err)
{
    struct entry *entry = get_or_add(memory, &given->row->id);
    if (!entry)
        return no_memory(err);
    if (entry->present) {
        struct ingot_event stored = with_jobs(entry, entry->born_count);
        if (!ingot_event_same(&stored, given))
            given->verdict = INGOT_MISMATCH;
        else
            given->verdict = sending == INGOT_COMMIT_AGAIN ? INGOT_STORED : INGOT_ALREADY;
        return INGOT_OK;
    }
    if (!copy_event(memory->page, given->row, INGOT_DETAIL_ALL, &entry->event))
        return no_memory(err);
    entry->event.ingested_us = now_us;
    entry->event.retired_us = INGOT_NO_TIME;
    if (entry->event.received_us == INGOT_NO_TIME)
        entry->event.received_us = now_us;
    entry->job_count = 0;
    journal->steps[journal->count++] = (struct undo){.what = ADDED_EVENT, .entry = entry};
    entry->present = 1;
    for (size_t i = 0; i < given->row->job_count; i++)
        if (!append_job(memory, entry, &given->row->jobs[i], now_us))
            return no_memory(err);
    entry->born_count = entry->job_count;
    if (!add_to_log(memory, INGOT_SIGHTED_EVENT, entry, 0))
        return no_memory(err);
    given->verdict = INGOT_STORED;
    return INGOT_OK;
}

static enum ingot_status commit_transition(struct memory *memory,
                                           struct ingot_commit_transition *given,
                                           enum ingot_commit_sending sending, int64_t now_us,
                                           struct journal *journal, struct ingot_error *err)
{
    const struct ingot_transition *row = &given->row;
    struct entry *entry = get_or_add(memory, &row->event_id);
    if (!entry)
        return no_memory(err);
    struct transitions *transitions = &entry->transitions;
    size_t at = transition_bound(transitions, row->job, row->seq);
    if (at < transitions->count && transitions->rows[at].job == row->job &&
        transitions->rows[at].seq == row->seq) {
        int ours =
            sending == INGOT_COMMIT_AGAIN && ingot_transition_same(&transitions->rows[at], row);
        given->verdict = ours ? INGOT_STORED : INGOT_LOST;
        return INGOT_OK;
    }
    if (!grow((void **)&transitions->rows, transitions->count, &transitions->size,
              sizeof *transitions->rows))
        return no_memory(err);
    struct ingot_transition stored = *row;
    if (!copy_error(memory->page, &stored))
        return no_memory(err);
    stored.created_us = now_us;
    memmove(transitions->rows + at + 1, transitions->rows + at,
            (transitions->count - at) * sizeof stored);
    transitions->rows[at] = stored;
    transitions->count++;
    journal->steps[journal->count++] = (struct undo){ADDED_TRANSITION, entry, row->job, row->seq};
    if (given->notice == INGOT_NOTICE_SENT &&
        !add_to_log(memory, INGOT_SIGHTED_NOTICE, entry, row->job))
        return no_memory(err);
    given->verdict = INGOT_STORED;
    return INGOT_OK;
}

/* Whether the event has a job of this id already; then its number is set. */
static int is_there(const struct entry *entry, struct ingot_job *job)
{
    for (size_t i = 0; i < entry->job_count; i++)
        if (ingot_ksuid_compare(&entry->jobs[i].id, &job->id) == 0) {
            job->number = (uint32_t)i;
            return 1;
        }
    return 0;
}

static enum ingot_status commit_job(struct memory *memory, struct ingot_commit_job *given,
                                    enum ingot_commit_sending sending, int64_t now_us,
                                    struct journal *journal, struct ingot_error *err)
{
    struct entry *entry = get(memory, &given->row.event_id);
    struct ingot_event event;
    if (sending == INGOT_COMMIT_AGAIN && entry && entry->present && is_there(entry, &given->row)) {
        given->verdict = INGOT_STORED;
        return INGOT_OK;
    }
    if (entry)
        event = with_jobs(entry, entry->job_count);
    given->verdict = ingot_job_judge(entry && entry->present ? &event : NULL, &given->row);
    if (given->verdict != INGOT_STORED)
        return INGOT_OK;
    if (!append_job(memory, entry, &given->row, now_us))
        return no_memory(err);
    given->row.number = (uint32_t)entry->job_count - 1;
    journal->steps[journal->count++] = (struct undo){.what = ADDED_JOB, .entry = entry};
    return add_to_log(memory, INGOT_SIGHTED_JOB, entry, given->row.number) ? INGOT_OK
                                                                           : no_memory(err);
}

static void undo_all(struct journal *journal)
{
    while (journal->count) {
        struct undo *step = &journal->steps[--journal->count];
        struct transitions *transitions = &step->entry->transitions;
        size_t at;
        switch (step->what) {
        case ADDED_EVENT:
            step->entry->present = 0;
            step->entry->job_count = 0;
            break;
        case ADDED_TRANSITION:
            at = transition_bound(transitions, step->job, step->seq);
            transitions->count--;
            memmove(transitions->rows + at, transitions->rows + at + 1,
                    (transitions->count - at) * sizeof *transitions->rows);
            break;
        case ADDED_JOB:
            step->entry->job_count--;
            break;
        case ADDED_RETIREMENT:
            step->entry->event.retired_us = INGOT_NO_TIME;
            break;
        }
    }
}

/* Whether what a row hangs on, an earlier row, was stored. */
static int may_follow(const struct ingot_commit *commit, size_t hangs_on)
{
    return hangs_on == INGOT_ALONE || commit->transitions[hangs_on].verdict == INGOT_STORED;
}

/* Stores everything; counts the rows that would break a commit that must win whole. */
static enum ingot_status commit_rows(struct memory *memory, struct ingot_commit *commit,
                                     int64_t now_us, struct journal *journal, size_t *ret_beaten,
                                     struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    size_t beaten = 0;
    for (size_t i = 0; i < commit->event_count && !status; i++) {
        status = commit_event(memory, &commit->events[i], commit->sending, now_us, journal, err);
        beaten += commit->events[i].verdict == INGOT_MISMATCH;
    }
    for (size_t i = 0; i < commit->transition_count && !status; i++) {
        struct ingot_commit_transition *given = &commit->transitions[i];
        given->verdict = INGOT_LOST;
        if (may_follow(commit, given->hangs_on))
            status = commit_transition(memory, given, commit->sending, now_us, journal, err);
        beaten += given->verdict == INGOT_LOST;
    }
    for (size_t i = 0; i < commit->job_count && !status; i++) {
        struct ingot_commit_job *given = &commit->jobs[i];
        given->verdict = INGOT_LOST;
        if (may_follow(commit, given->hangs_on))
            status = commit_job(memory, given, commit->sending, now_us, journal, err);
        beaten += given->verdict == INGOT_LOST || given->verdict == INGOT_REFUSED;
    }
    for (size_t i = 0; i < commit->retirement_count && !status; i++) {
        struct entry *entry = get(memory, &commit->retirements[i].event_id);
        if (entry && entry->present && entry->event.retired_us == INGOT_NO_TIME) {
            entry->event.retired_us = now_us;
            journal->steps[journal->count++] =
                (struct undo){.what = ADDED_RETIREMENT, .entry = entry};
        }
    }
    *ret_beaten = beaten;
    return status;
}

static enum ingot_status memory_commit(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err)
{
    struct memory *memory = handle;
    size_t rows = commit->event_count + commit->transition_count + commit->job_count +
                  commit->retirement_count;
    struct journal journal = {calloc(rows ? rows : 1, sizeof(struct undo)), 0};
    if (!journal.steps)
        return no_memory(err);
    size_t beaten = 0, logged = memory->log_count;
    enum ingot_status status =
        commit_rows(memory, commit, now(memory, toolkit), &journal, &beaten, err);
    if (!status && beaten && commit->rule == INGOT_COMMIT_WHOLE)
        status = ingot_error_set(err, INGOT_CONFLICT, "store/memory: %zu rows were beaten", beaten);
    if (status) {
        undo_all(&journal);
        memory->log_count = logged;
    } else {
        commit->position = memory->log_count;
    }
    free(journal.steps);
    return status;
}

/* ---- reading ------------------------------------------------------------ */

static int copy_whole(struct ingot_page *page, const struct entry *entry, enum ingot_detail detail,
                      struct ingot_event *event)
{
    if (!copy_event(page, &entry->event, detail, event))
        return 0;
    event->jobs = ingot_page_alloc(page, (entry->job_count + 1) * sizeof *event->jobs);
    if (!event->jobs)
        return 0;
    for (size_t i = 0; i < entry->job_count; i++) {
        struct ingot_job *job = &event->jobs[event->job_count++];
        if (!copy_job(page, &entry->jobs[i], detail, job))
            return 0;
        if (detail == INGOT_DETAIL_DELIVERY) {
            ingot_job_born(job, &entry->event.id, job->number, job->created_us);
            continue;
        }
        job->latest = latest_of(entry, job);
        if (detail == INGOT_DETAIL_ROUTING)
            job->latest.error = (struct ingot_bytes){NULL, 0};
        else if (!copy_error(page, &job->latest))
            return 0;
    }
    return 1;
}

static enum ingot_status memory_events(void *handle, const struct ingot_toolkit *toolkit,
                                       const ingot_ksuid *event_ids, size_t event_count,
                                       enum ingot_detail detail, struct ingot_page *page,
                                       struct ingot_error *err)
{
    (void)toolkit;
    page->events = ingot_page_alloc(page, event_count * sizeof *page->events);
    if (!page->events)
        return no_memory(err);
    for (size_t i = 0; i < event_count; i++) {
        const struct entry *entry = get(handle, &event_ids[i]);
        if (!entry || !entry->present)
            continue;
        struct ingot_event *event = &page->events[page->event_count++];
        if (!copy_whole(page, entry, detail, event))
            return no_memory(err);
        page->job_count += event->job_count;
    }
    return INGOT_OK;
}

/* Puts a matching job into the page, with its event if that is not the last one there. */
static int add_match(struct ingot_page *page, const struct entry *entry,
                     const struct ingot_job *job, const struct ingot_where *where)
{
    struct ingot_event *event = page->event_count ? &page->events[page->event_count - 1] : NULL;
    if (!event || ingot_ksuid_compare(&event->id, &entry->id) != 0) {
        event = &page->events[page->event_count];
        if (!copy_event(page, &entry->event, where->detail, event))
            return 0;
        event->jobs = ingot_page_alloc(page, entry->job_count * sizeof *event->jobs);
        if (!event->jobs)
            return 0;
        page->event_count++;
    }
    struct ingot_job *copy = &event->jobs[event->job_count];
    if (!copy_job(page, job, where->detail, copy))
        return 0;
    if (where->detail == INGOT_DETAIL_ROUTING)
        copy->latest.error = (struct ingot_bytes){NULL, 0};
    else if (!copy_error(page, &copy->latest))
        return 0;
    event->job_count++;
    page->job_count++;
    return 1;
}

static enum ingot_status memory_find(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_where *where, struct ingot_page *page,
                                     struct ingot_error *err)
{
    const struct memory *memory = handle;
    (void)toolkit;
    size_t examined = 0;
    page->events = ingot_page_alloc(page, where->limit * sizeof *page->events);
    if (!page->events)
        return no_memory(err);
    for (size_t i = lower_bound(memory, &where->after.event_id); i < memory->entry_count; i++) {
        const struct entry *entry = memory->entries[i];
        if (!entry->present || entry->event.retired_us != INGOT_NO_TIME)
            continue;
        if (examined == INGOT_FIND_EXAMINED_MAX) {
            page->more = 1;
            return INGOT_OK;
        }
        size_t first = 0;
        if (ingot_ksuid_compare(&entry->id, &where->after.event_id) == 0)
            first = (size_t)where->after.job + 1;
        if (entry->job_count == 0) {
            examined++; /* or a page could go on for ever without a job */
            page->next = (struct ingot_cursor){entry->id, INGOT_CURSOR_BEHIND_JOBS};
        }
        for (size_t j = first; j < entry->job_count; j++) {
            if (page->job_count == where->limit || examined == INGOT_FIND_EXAMINED_MAX) {
                page->more = 1;
                return INGOT_OK;
            }
            struct ingot_job job = entry->jobs[j];
            job.latest = latest_of(entry, &job);
            examined++;
            if (ingot_where_matches(where, &job) && !add_match(page, entry, &job, where))
                return no_memory(err);
            page->next = (struct ingot_cursor){entry->id, (uint32_t)j};
        }
    }
    return INGOT_OK;
}

static enum ingot_status memory_history(void *handle, const struct ingot_toolkit *toolkit,
                                        const ingot_ksuid *event_id, uint32_t job,
                                        struct ingot_page *page, struct ingot_error *err)
{
    (void)toolkit;
    const struct entry *entry = get(handle, event_id);
    if (!entry)
        return INGOT_OK;
    size_t first = transition_bound(&entry->transitions, job, 0);
    size_t end = transition_bound(&entry->transitions, job, UINT32_MAX);
    page->transitions = ingot_page_alloc(page, (end - first + 1) * sizeof *page->transitions);
    if (!page->transitions)
        return no_memory(err);
    for (size_t i = first; i < end; i++) {
        struct ingot_transition *row = &page->transitions[page->transition_count++];
        *row = entry->transitions.rows[i];
        if (!copy_error(page, row))
            return no_memory(err);
    }
    return INGOT_OK;
}

/* The counts of a destination, added at its place if it is new. */
static struct ingot_destination_counts *counts_of(struct ingot_page *page,
                                                  struct ingot_counts *counts, size_t *size,
                                                  struct ingot_bytes name)
{
    size_t i;
    for (i = 0; i < counts->destination_count; i++)
        if (ingot_bytes_equal(counts->destinations[i].destination, name))
            return &counts->destinations[i];
    if (counts->destination_count == *size) {
        size_t wanted = *size ? *size * 2 : 8;
        struct ingot_destination_counts *grown = ingot_page_alloc(page, wanted * sizeof *grown);
        if (!grown)
            return NULL;
        if (counts->destination_count)
            memcpy(grown, counts->destinations, counts->destination_count * sizeof *grown);
        counts->destinations = grown;
        *size = wanted;
    }
    counts->destinations[i].destination = ingot_page_copy(page, name);
    if (!counts->destinations[i].destination.data)
        return NULL;
    counts->destination_count++;
    return &counts->destinations[i];
}

static enum ingot_status memory_counts(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_page *page, struct ingot_counts *counts,
                                       struct ingot_error *err)
{
    const struct memory *memory = handle;
    size_t size = 0;
    (void)toolkit;
    for (size_t i = 0; i < memory->entry_count; i++) {
        const struct entry *entry = memory->entries[i];
        counts->transitions += entry->transitions.count;
        if (!entry->present || entry->event.retired_us != INGOT_NO_TIME)
            continue;
        counts->events++;
        for (size_t j = 0; j < entry->job_count; j++) {
            struct ingot_destination_counts *of =
                counts_of(page, counts, &size, entry->jobs[j].destination);
            if (!of)
                return no_memory(err);
            of->jobs[latest_of(entry, &entry->jobs[j]).state_after]++;
        }
    }
    return INGOT_OK;
}

static enum ingot_status memory_scan(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_visitor *visitor, struct ingot_error *err)
{
    const struct memory *memory = handle;
    int stop = 0;
    (void)toolkit, (void)err;
    for (size_t i = 0; i < memory->entry_count && !stop; i++) {
        struct entry *entry = memory->entries[i];
        if (entry->present) {
            struct ingot_event event = with_jobs(entry, entry->job_count);
            stop = visitor->event(visitor->context, &event);
        }
        for (size_t j = 0; j < entry->transitions.count && !stop; j++)
            stop = visitor->transition(visitor->context, &entry->transitions.rows[j]);
    }
    return INGOT_OK;
}

static enum ingot_status memory_publish_routes(void *handle, const struct ingot_toolkit *toolkit,
                                               struct ingot_bytes routes, struct ingot_error *err)
{
    struct memory *memory = handle;
    (void)toolkit;
    if (ingot_bytes_equal(memory->routes, routes))
        return INGOT_OK;
    struct ingot_bytes copy = ingot_page_copy(memory->page, routes);
    if (!copy.data)
        return no_memory(err);
    memory->routes = copy;
    return INGOT_OK;
}

static enum ingot_status memory_routes(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_page *page, struct ingot_bytes *ret_routes,
                                       struct ingot_error *err)
{
    const struct memory *memory = handle;
    (void)toolkit;
    if (!memory->routes.data)
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/memory: no routes were published");
    *ret_routes = ingot_page_copy(page, memory->routes);
    return ret_routes->data ? INGOT_OK : no_memory(err);
}

/* ---- following, checkpoints --------------------------------------------- */

static void format_cursor(const struct memory *memory, size_t position, char text[48])
{
    snprintf(text, 48, "1:%016llx:%zu", (unsigned long long)memory->life, position);
}

/* The position that a cursor of this store stands at. */
static enum ingot_status parse_cursor(const struct memory *memory, struct ingot_bytes cursor,
                                      size_t *ret_position, struct ingot_error *err)
{
    char text[48];
    size_t len = cursor.len < sizeof text ? cursor.len : sizeof text - 1;
    memcpy(text, cursor.data, len);
    text[len] = '\0';
    const char *colon = strrchr(text, ':');
    size_t position = colon ? strtoull(colon + 1, NULL, 10) : 0;
    format_cursor(memory, position, text);
    if (position > memory->log_count || !ingot_bytes_equal(cursor, ingot_bytes_of(text)))
        return ingot_error_set(err, INGOT_INVALID,
                               "store/memory: the cursor is not one of this store; begin anew");
    *ret_position = position;
    return INGOT_OK;
}

/* What the log says at a position, with the jobs' routing detail in scratch memory. */
static int get_sighting(const struct memory *memory, size_t position, struct ingot_page *scratch,
                        struct ingot_sighting *sighting)
{
    const struct logged *logged = &memory->log[position - 1];
    *sighting = (struct ingot_sighting){
        .kind = logged->kind, .position = position, .event_id = logged->entry->id};
    if (logged->kind == INGOT_SIGHTED_NOTICE) {
        sighting->job = logged->job;
        return 1;
    }
    size_t count = logged->kind == INGOT_SIGHTED_EVENT ? logged->entry->born_count : 1;
    struct ingot_job *jobs = ingot_page_alloc(scratch, (count + 1) * sizeof *jobs);
    if (!jobs)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (!copy_job(scratch, &logged->entry->jobs[logged->job + i], INGOT_DETAIL_ROUTING,
                      &jobs[i]))
            return 0;
    sighting->jobs = jobs;
    sighting->job_count = count;
    return 1;
}

static enum ingot_status show(const struct memory *memory, size_t position,
                              int (*sighted)(void *context, const struct ingot_sighting *),
                              void *context, struct ingot_error *err)
{
    struct ingot_page *scratch = ingot_page_create();
    struct ingot_sighting sighting;
    enum ingot_status status = INGOT_OK;
    if (!scratch || !get_sighting(memory, position, scratch, &sighting))
        status = no_memory(err);
    else if (sighted(context, &sighting))
        status = ingot_error_set(err, INGOT_CLOSED, "store/memory: stopped on request");
    ingot_page_destroy(scratch);
    return status;
}

static enum ingot_status memory_follow(void *handle, const struct ingot_toolkit *toolkit,
                                       const struct ingot_following *from,
                                       int (*sighted)(void *context, const struct ingot_sighting *),
                                       void *context, struct ingot_page *page,
                                       struct ingot_followed *ret_followed, struct ingot_error *err)
{
    const struct memory *memory = handle;
    size_t position = memory->log_count;
    enum ingot_status status = INGOT_OK;
    char text[48];
    (void)toolkit;
    if (from->cursor.data)
        status = parse_cursor(memory, from->cursor, &position, err);
    while (!status && position < memory->log_count)
        status = show(memory, ++position, sighted, context, err);
    if (status)
        return status;
    format_cursor(memory, position, text);
    struct ingot_bytes next = ingot_page_copy(page, ingot_bytes_of(text));
    if (!next.data)
        return no_memory(err);
    *ret_followed = (struct ingot_followed){next, position + 1, memory->life};
    return INGOT_OK;
}

/* Copies a checkpoint's bytes; 0 when memory ran out. */
static int copy_checkpoint(struct ingot_page *page, const struct ingot_checkpoint *from,
                           struct ingot_checkpoint *to)
{
    *to = *from;
    to->cursor = ingot_page_copy(page, from->cursor);
    to->body = ingot_page_copy(page, from->body.len ? from->body : ingot_bytes_of(""));
    return to->cursor.data && to->body.data;
}

static enum ingot_status memory_add_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                                const struct ingot_checkpoint *checkpoints,
                                                size_t count, struct ingot_error *err)
{
    struct memory *memory = handle;
    const size_t before = memory->checkpoint_count;
    int64_t taken_us = now(memory, toolkit);
    for (size_t i = 0; i < count; i++)
        if (checkpoints[i].lane >= INGOT_LANES)
            return ingot_error_set(err, INGOT_INVALID, "store/memory: there is no lane %u",
                                   checkpoints[i].lane);
    for (size_t i = 0; i < count; i++) {
        if (!grow((void **)&memory->checkpoints, memory->checkpoint_count, &memory->checkpoint_size,
                  sizeof *memory->checkpoints) ||
            !copy_checkpoint(memory->page, &checkpoints[i],
                             &memory->checkpoints[memory->checkpoint_count])) {
            memory->checkpoint_count = before;
            return no_memory(err);
        }
        struct ingot_checkpoint *stored = &memory->checkpoints[memory->checkpoint_count++];
        if (stored > memory->checkpoints && stored[-1].taken_us >= taken_us)
            taken_us = stored[-1].taken_us + 1;
        stored->taken_us = taken_us;
    }
    return INGOT_OK;
}

static enum ingot_status memory_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                            const struct ingot_lanes *lanes, int64_t before_us,
                                            struct ingot_page *page,
                                            struct ingot_checkpoint **ret_checkpoints,
                                            size_t *ret_count, struct ingot_error *err)
{
    const struct memory *memory = handle;
    const struct ingot_checkpoint *newest[INGOT_LANES] = {0};
    struct ingot_checkpoint *found = ingot_page_alloc(page, INGOT_LANES * sizeof *found);
    size_t count = 0;
    (void)toolkit;
    if (!found)
        return no_memory(err);
    for (size_t i = 0; i < memory->checkpoint_count; i++)
        if (memory->checkpoints[i].taken_us < before_us)
            newest[memory->checkpoints[i].lane] = &memory->checkpoints[i];
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++)
        if (newest[lane] && lanes->bits[lane / 8] & 1u << lane % 8 &&
            !copy_checkpoint(page, newest[lane], &found[count++]))
            return no_memory(err);
    *ret_checkpoints = found;
    *ret_count = count;
    return INGOT_OK;
}

static enum ingot_status memory_settings(void *handle, const struct ingot_toolkit *toolkit,
                                         struct ingot_page *page,
                                         struct ingot_setting **ret_settings, size_t *ret_count,
                                         struct ingot_error *err)
{
    struct ingot_setting *setting = ingot_page_alloc(page, sizeof *setting);
    (void)handle, (void)toolkit;
    if (!setting)
        return no_memory(err);
    *setting = (struct ingot_setting){"durability", "none"};
    *ret_settings = setting;
    *ret_count = 1;
    return INGOT_OK;
}

const struct ingot_adapter ingot_adapter_memory;
const struct ingot_adapter ingot_adapter_memory = {
    .abi = INGOT_ADAPTER_ABI,
    .size = sizeof(struct ingot_adapter),
    .name = "memory",
    .handle_size = sizeof(struct memory),
    .handles = INGOT_HANDLES_ONE,
    .options = memory_options,
    .open = memory_open,
    .start = memory_start,
    .close = memory_close,
    .commit = memory_commit,
    .events = memory_events,
    .find = memory_find,
    .history = memory_history,
    .counts = memory_counts,
    .scan = memory_scan,
    .publish_routes = memory_publish_routes,
    .routes = memory_routes,
    .follow = memory_follow,
    .add_checkpoints = memory_add_checkpoints,
    .checkpoints = memory_checkpoints,
    .settings = memory_settings,
};
