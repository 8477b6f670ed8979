/*
 * Live jobs without reading history: the events that the checkpoints of lanes
 * name, and those that were followed since, are looked up by key (PROTOCOL 4).
 * The lists may name too many events, never too few; a lane whose list is of no
 * use is read from the whole store instead.
 */
#include "live.h"

#include "checkpoint.h"
#include "store.h"

#include "core/arena.h"
#include "core/lanes.h"
#include "core/limits.h"
#include "core/state.h"
#include "core/toolkit.h"

#include <stdlib.h>
#include <string.h>

/* Events looked up in one call; and of those without payloads, which an adapter may read in parts. */
#define CHUNK_EVENTS 1000u
#define CHUNK_EVENTS_TO_ROUTE 4000u

/* The first that are read with all detail, when nothing is known of their size. */
#define AHEAD_EVENTS_FIRST 100u

/* Candidates that further pages of find may add before the lists are read again. */
#define FOLLOWED_MAX 10000u

#define TERMINAL (INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED) | INGOT_STATE_BIT(INGOT_STATE_DISCARDED))

struct igt_candidates {
    ingot_ksuid *ids; /* ascending, each once */
    size_t count, size;
    size_t listed; /* count when the lists had been read */
    struct ingot_lanes covered;
    struct ingot_cold_read cold;
    char *cursor;  /* where to follow from for what came since */
    uint64_t life; /* of the server that gave the cursor */
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
}

void igt_candidates_destroy(struct igt_candidates *candidates)
{
    if (!candidates)
        return;
    free(candidates->ids);
    free(candidates->cursor);
    free(candidates);
}

/* 0 when memory ran out. */
static int add_ids(struct igt_candidates *candidates, const ingot_ksuid *ids, size_t count)
{
    if (count > candidates->size - candidates->count) {
        size_t size = 2 * (candidates->count + count);
        ingot_ksuid *grown = realloc(candidates->ids, size * sizeof *grown);
        if (!grown)
            return 0;
        candidates->ids = grown;
        candidates->size = size;
    }
    if (count)
        memcpy(candidates->ids + candidates->count, ids, count * sizeof *ids);
    candidates->count += count;
    return 1;
}

/* ---- gathering ---------------------------------------------------------- */

/* The lanes whose checkpoints share a cursor. */
struct origin {
    struct ingot_bytes cursor;
    struct ingot_lanes lanes;
    uint64_t bytes;   /* of the checkpoints */
    int64_t taken_us; /* of the oldest */
};

struct gathering {
    struct ingot_store *store;
    struct ingot_toolkit toolkit;
    struct ingot_page *page; /* holds what was read */
    struct origin origins[INGOT_LANES];
    size_t origin_count;
    struct igt_candidates *candidates;
};

/* Whether a failure concerns only those lists, and the jobs themselves can still be read. */
static int is_no_use(enum ingot_status status)
{
    return status == INGOT_CORRUPT || status == INGOT_INVALID || status == INGOT_UNSUPPORTED ||
           status == INGOT_DENIED;
}

/* Logs why lanes are read from the whole store, which may take long. */
static void tell(const struct gathering *gathering, enum ingot_status status, unsigned lanes,
                 const struct ingot_error *why)
{
    if (status != INGOT_UNSUPPORTED)
        igt_log(&gathering->toolkit, INGOT_WARN, "event=checkpoints_unusable lanes=%u error=\"%s\"",
                lanes, why->message);
}

/* Reads the newest checkpoints before an instant. */
static enum ingot_status read_lists(struct gathering *gathering, const struct ingot_lanes *lanes,
                                    int64_t before_us, struct ingot_checkpoint **ret_checkpoints,
                                    size_t *ret_count, struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    enum ingot_status status =
        ingot_store_checkpoints(gathering->store, &gathering->toolkit, lanes, before_us, &page,
                                ret_checkpoints, ret_count, err);
    if (!status)
        igt_arena_adopt(gathering->page->arena, page->arena);
    return status;
}

static enum ingot_status take_list(struct gathering *gathering,
                                   const struct ingot_checkpoint *checkpoint,
                                   struct ingot_error *err)
{
    const ingot_ksuid *ids;
    size_t count, i = 0;
    if (!checkpoint->cursor.data) /* would be followed from now on, and what came since be missed */
        return ingot_error_set(err, INGOT_CORRUPT, "store: a checkpoint has no cursor");
    enum ingot_status status = igt_checkpoint_decode(checkpoint->body, &ids, &count, err);
    if (status)
        return status;
    if (!add_ids(gathering->candidates, ids, count))
        return no_memory(err);
    while (i < gathering->origin_count &&
           !ingot_bytes_equal(gathering->origins[i].cursor, checkpoint->cursor))
        i++;
    struct origin *origin = &gathering->origins[i];
    if (i == gathering->origin_count) {
        gathering->origin_count++;
        *origin = (struct origin){.cursor = checkpoint->cursor, .taken_us = checkpoint->taken_us};
    }
    igt_lanes_add(&origin->lanes, checkpoint->lane);
    origin->bytes += checkpoint->body.len;
    if (checkpoint->taken_us < origin->taken_us)
        origin->taken_us = checkpoint->taken_us;
    return INGOT_OK;
}

/* Takes a checkpoint or, while it is corrupt, the next older one of its lane. */
static enum ingot_status take_newest(struct gathering *gathering,
                                     const struct ingot_checkpoint *checkpoint,
                                     struct ingot_error *err)
{
    enum ingot_status status = take_list(gathering, checkpoint, err);
    struct ingot_lanes lane = {{0}};
    igt_lanes_add(&lane, checkpoint->lane);
    while (status == INGOT_CORRUPT) {
        struct ingot_checkpoint *older;
        size_t count = 0;
        igt_log(&gathering->toolkit, INGOT_WARN, "event=checkpoint_corrupt lane=%u taken_us=%lld",
                checkpoint->lane, (long long)checkpoint->taken_us);
        status = read_lists(gathering, &lane, checkpoint->taken_us, &older, &count, err);
        if (status || count == 0)
            return status;
        checkpoint = older;
        status = take_list(gathering, checkpoint, err);
    }
    return status;
}

/* ---- following ---------------------------------------------------------- */

struct follower {
    struct igt_candidates *candidates;
    const struct ingot_lanes *lanes;
    uint64_t jobs; /* of the lanes that were sighted */
    int failed;    /* memory ran out */
};

/* A notice concerns a job that is listed, or was sighted when it was born. */
static int note_sighting(void *context, const struct ingot_sighting *sighting)
{
    struct follower *follower = context;
    unsigned concerned = 0;
    for (size_t i = 0; i < sighting->job_count; i++)
        if (igt_lanes_has(follower->lanes, ingot_lane_of(sighting->jobs[i].destination)))
            concerned++;
    follower->jobs += concerned;
    follower->failed = concerned && !add_ids(follower->candidates, &sighting->event_id, 1);
    return follower->failed;
}

/* Adds what is new in the lanes since the cursor; the candidates keep the new one if they have none. */
static enum ingot_status follow(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                struct ingot_bytes cursor, const struct ingot_lanes *lanes,
                                struct igt_candidates *candidates, struct ingot_error *err)
{
    struct follower follower = {.candidates = candidates, .lanes = lanes};
    struct ingot_followed followed;
    struct ingot_page *page = NULL;
    const struct ingot_following from = {.cursor = cursor};
    enum ingot_status status =
        ingot_store_follow(store, toolkit, &from, note_sighting, &follower, &page, &followed, err);
    if (follower.failed)
        return no_memory(err);
    if (status)
        return status;
    if (!candidates->cursor) {
        candidates->cursor = strndup(followed.cursor.data, followed.cursor.len);
        candidates->life = followed.life;
    }
    candidates->cold.unlisted += follower.jobs;
    ingot_page_destroy(page);
    return candidates->cursor ? INGOT_OK : no_memory(err);
}

/* Takes into account that the checkpoints of an origin were of use. */
static void count_in(struct ingot_cold_read *cold, const struct origin *origin)
{
    cold->checkpoint_bytes += origin->bytes;
    if (cold->taken_us == INGOT_NO_TIME || origin->taken_us < cold->taken_us)
        cold->taken_us = origin->taken_us;
}

/* From every cursor once. That of the first call is kept: a later one would miss what came between. */
static enum ingot_status follow_origins(struct gathering *gathering, struct ingot_error *err)
{
    struct igt_candidates *candidates = gathering->candidates;
    for (size_t i = 0; i < gathering->origin_count; i++) {
        const struct origin *origin = &gathering->origins[i];
        struct ingot_error why = {0};
        enum ingot_status status = follow(gathering->store, &gathering->toolkit, origin->cursor,
                                          &origin->lanes, candidates, &why);
        if (!status) {
            candidates->covered = igt_lanes_either(&candidates->covered, &origin->lanes);
            count_in(&candidates->cold, origin);
        } else if (is_no_use(status)) {
            tell(gathering, status, igt_lanes_count(&origin->lanes), &why);
        } else {
            if (err)
                *err = why;
            return status;
        }
    }
    return INGOT_OK;
}

static enum ingot_status gather_lists(struct gathering *gathering, const struct ingot_lanes *lanes,
                                      struct ingot_error *err)
{
    struct ingot_checkpoint *checkpoints;
    struct ingot_error why = {0};
    size_t count = 0;
    enum ingot_status status = read_lists(gathering, lanes, INT64_MAX, &checkpoints, &count, &why);
    if (is_no_use(status))
        tell(gathering, status, igt_lanes_count(lanes), &why);
    for (size_t i = 0; i < count && (!status || is_no_use(status)); i++) {
        status = take_newest(gathering, &checkpoints[i], &why);
        if (is_no_use(status))
            tell(gathering, status, 1, &why);
    }
    if (!status || is_no_use(status))
        return INGOT_OK;
    if (err)
        *err = why;
    return status;
}

/* Reads the lists of the lanes that have one, and follows from where they end. */
static enum ingot_status gather(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                const struct ingot_lanes *lanes,
                                struct igt_candidates **ret_candidates, struct ingot_error *err)
{
    struct gathering gathering = {
        .store = store,
        .toolkit = igt_toolkit_for(store, toolkit),
        .page = ingot_page_create(),
        .candidates = calloc(1, sizeof *gathering.candidates),
    };
    struct igt_candidates *candidates = gathering.candidates;
    enum ingot_status status = gathering.page && candidates ? INGOT_OK : no_memory(err);
    if (!status)
        candidates->cold.taken_us = INGOT_NO_TIME;
    if (!status)
        status = gather_lists(&gathering, lanes, err);
    if (!status)
        status = follow_origins(&gathering, err);
    ingot_page_destroy(gathering.page);
    if (status) {
        igt_candidates_destroy(candidates);
        return status;
    }
    candidates->count = igt_ids_arrange(candidates->ids, candidates->count);
    candidates->listed = candidates->count;
    *ret_candidates = candidates;
    return INGOT_OK;
}

/* ---- what begins to work lanes ------------------------------------------ */

/* Who is shown live jobs. */
struct audience {
    struct ingot_toolkit toolkit;
    ingot_live_fn *live;
    void *context;
};

/* Leaves of a page the live jobs of the lanes, and their events. */
static void keep_live(const struct ingot_lanes *lanes, struct ingot_page *page)
{
    size_t events = 0;
    page->job_count = 0;
    for (size_t i = 0; i < page->event_count; i++) {
        struct ingot_event *event = &page->events[i];
        size_t jobs = 0;
        for (size_t j = 0; j < event->job_count; j++)
            if (!igt_state_is_terminal(event->jobs[j].latest.state_after) &&
                igt_lanes_has(lanes, ingot_lane_of(event->jobs[j].destination)))
                event->jobs[jobs++] = event->jobs[j];
        event->job_count = jobs;
        page->job_count += jobs;
        if (jobs)
            page->events[events++] = *event;
    }
    page->event_count = events;
}

/* Shows the live jobs of a page that are in the lanes, and destroys it unless it was taken over. */
static enum ingot_status show(const struct audience *audience, const struct ingot_lanes *lanes,
                              struct ingot_page *page, enum ingot_detail detail, uint64_t done,
                              uint64_t total, struct ingot_error *err)
{
    int stop = igt_progress(&audience->toolkit, done, total);
    keep_live(lanes, page);
    if (!stop && page->event_count)
        stop = audience->live(audience->context, &page, detail);
    ingot_page_destroy(page);
    return stop ? ingot_error_set(err, INGOT_CLOSED, "store: stopped on request") : INGOT_OK;
}

/* How much is read with all detail, and how many events of it at a time. */
struct ahead {
    size_t bytes, events;
};

/* The next ones are so many that what they take is likely to be left. */
static void count_ahead(struct ahead *ahead, const struct ingot_page *page)
{
    const size_t bytes = igt_arena_bytes(page->arena);
    const size_t each = page->event_count ? bytes / page->event_count + 1 : bytes + 1;
    ahead->bytes -= bytes < ahead->bytes ? bytes : ahead->bytes;
    ahead->events = ahead->bytes / each < CHUNK_EVENTS ? ahead->bytes / each : CHUNK_EVENTS;
}

static enum ingot_status show_candidates(struct ingot_store *store,
                                         const struct igt_candidates *candidates,
                                         const struct audience *audience, size_t ahead_bytes,
                                         struct ingot_error *err)
{
    struct ahead ahead = {ahead_bytes, ahead_bytes ? AHEAD_EVENTS_FIRST : 0};
    enum ingot_status status = INGOT_OK;
    for (size_t at = 0, count; at < candidates->count && !status; at += count) {
        const enum ingot_detail detail = ahead.events ? INGOT_DETAIL_ALL : INGOT_DETAIL_ROUTING;
        struct ingot_page *page = NULL;
        count = ahead.events ? ahead.events : CHUNK_EVENTS_TO_ROUTE;
        count = candidates->count - at < count ? candidates->count - at : count;
        status = ingot_store_events(store, &audience->toolkit, candidates->ids + at, count, detail,
                                    &page, err);
        if (status)
            return status;
        if (ahead.events)
            count_ahead(&ahead, page);
        status =
            show(audience, &candidates->covered, page, detail, at + count, candidates->count, err);
    }
    return status;
}

/* Reads the whole store for lanes without a list, and adds to a count the live jobs there. */
static enum ingot_status show_uncovered(struct ingot_store *store, const struct ingot_lanes *lanes,
                                        const struct audience *audience, uint64_t *count,
                                        struct ingot_error *err)
{
    struct ingot_where where = {
        .status_notin = TERMINAL,
        .limit = IGT_FIND_PAGE_JOBS_MAX,
        .detail = INGOT_DETAIL_ROUTING,
    };
    enum ingot_status status = INGOT_OK;
    uint64_t done = 0;
    for (int more = 1; more && !status;) {
        struct ingot_page *page = NULL;
        status = igt_find_page(store, &audience->toolkit, &where, &page, err);
        if (status)
            return status;
        done += page->job_count;
        where.after = page->next;
        more = page->more;
        status = show(audience, lanes, page, where.detail, done, 0, err);
    }
    *count += done;
    return status;
}

enum ingot_status ingot_store_live(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_lanes *lanes, size_t ahead_bytes,
                                   ingot_live_fn *live, void *context,
                                   struct ingot_cold_read *ret_cold, struct ingot_error *err)
{
    const struct audience audience = {igt_toolkit_for(store, toolkit), live, context};
    struct igt_candidates *candidates = NULL;
    ingot_error_clear(err);
    enum ingot_status status = gather(store, toolkit, lanes, &candidates, err);
    if (status)
        return status;
    struct ingot_lanes uncovered = igt_lanes_without(lanes, &candidates->covered);
    status = show_candidates(store, candidates, &audience, ahead_bytes, err);
    if (!status && igt_lanes_count(&uncovered))
        status = show_uncovered(store, &uncovered, &audience, &candidates->cold.unlisted, err);
    if (!status)
        *ret_cold = candidates->cold;
    igt_candidates_destroy(candidates);
    return status;
}

/* ---- find --------------------------------------------------------------- */

static int covers_all(const struct igt_candidates *candidates)
{
    return igt_lanes_count(&candidates->covered) == INGOT_LANES;
}

/* Puts candidates into the handle and gives what was there; whoever works with them takes them out. */
static struct igt_candidates *exchange(struct ingot_store *store, struct igt_candidates *candidates)
{
    pthread_mutex_lock(&store->lock);
    struct igt_candidates *before = store->candidates;
    store->candidates = candidates;
    pthread_mutex_unlock(&store->lock);
    return before;
}

/* Adds what came since the last page; a cursor that outlived its server might miss some of it (PROTOCOL 3.3). */
static enum ingot_status refresh(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                 struct igt_candidates *candidates, struct ingot_error *err)
{
    size_t before = candidates->count;
    char *cursor = candidates->cursor;
    const uint64_t life = candidates->life;
    candidates->cursor = NULL;
    enum ingot_status status =
        follow(store, toolkit, ingot_bytes_of(cursor), &candidates->covered, candidates, err);
    free(cursor);
    if (!status && candidates->life != life)
        status = ingot_error_set(err, INGOT_INVALID, "store: its server was started anew");
    if (!status && candidates->count > before)
        candidates->count = igt_ids_arrange(candidates->ids, candidates->count);
    return status;
}

/* The candidates for a page: made anew where a find begins, those of its last page after that. */
static enum ingot_status candidates_for(struct ingot_store *store,
                                        const struct ingot_toolkit *toolkit,
                                        const struct ingot_where *where,
                                        struct igt_candidates **ret_candidates,
                                        struct ingot_error *err)
{
    const struct ingot_lanes all = igt_lanes_all();
    struct igt_candidates *candidates = exchange(store, NULL);
    enum ingot_status status = INGOT_INVALID;
    if (candidates && !ingot_ksuid_is_none(&where->after.event_id) &&
        candidates->count <= 2 * candidates->listed + FOLLOWED_MAX)
        status = covers_all(candidates) ? refresh(store, toolkit, candidates, err) : INGOT_OK;
    if (status) {
        igt_candidates_destroy(candidates);
        candidates = NULL;
    }
    if (is_no_use(status)) {
        ingot_error_clear(err);
        status = gather(store, toolkit, &all, &candidates, err);
    }
    if (!status)
        *ret_candidates = candidates;
    return status;
}

/* Keeps of an event the jobs behind the cursor that match, until the page is full. */
static void match_jobs(const struct ingot_where *where, struct ingot_event *event, size_t *examined,
                       struct ingot_page *page)
{
    size_t kept = 0, first = 0;
    if (ingot_ksuid_compare(&event->id, &where->after.event_id) == 0)
        first = (size_t)where->after.job + 1;
    for (size_t i = first; i < event->job_count && !page->more; i++) {
        if (page->job_count == where->limit || *examined == INGOT_FIND_EXAMINED_MAX) {
            page->more = 1;
            break;
        }
        (*examined)++;
        page->next = (struct ingot_cursor){event->id, event->jobs[i].number};
        if (ingot_where_matches(where, &event->jobs[i])) {
            event->jobs[kept++] = event->jobs[i];
            page->job_count++;
        }
    }
    event->job_count = kept;
}

/* Puts the jobs of some candidates that match into the page; chunk is what is stored of them. */
static void match_events(const struct ingot_where *where, const ingot_ksuid *ids, size_t count,
                         const struct ingot_page *chunk, size_t *examined, struct ingot_page *page)
{
    size_t at = 0;
    for (size_t i = 0; i < count && !page->more; i++) {
        struct ingot_event *event = NULL;
        if (at < chunk->event_count && ingot_ksuid_compare(&chunk->events[at].id, &ids[i]) == 0)
            event = &chunk->events[at++];
        if (page->job_count == where->limit || *examined == INGOT_FIND_EXAMINED_MAX) {
            page->more = 1;
        } else if (!event || event->retired_us != INGOT_NO_TIME || event->job_count == 0) {
            (*examined)++; /* or a page could go on for ever without a job */
            page->next = (struct ingot_cursor){ids[i], INGOT_CURSOR_BEHIND_JOBS};
        } else {
            match_jobs(where, event, examined, page);
            if (event->job_count)
                page->events[page->event_count++] = *event;
        }
    }
}

/* The first candidate that is not before this event. */
static size_t lower_bound(const struct igt_candidates *candidates, const ingot_ksuid *event_id)
{
    size_t low = 0, high = candidates->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ingot_ksuid_compare(&candidates->ids[middle], event_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether many live jobs may not match: their payloads would be read in vain. */
static int is_choosy(const struct ingot_where *where)
{
    return where->destinations_in_count || where->events_in_count || where->max_attempts ||
           where->status_in || where->status_notin & ~TERMINAL;
}

/* Fills an empty page. */
static enum ingot_status match_candidates(struct ingot_store *store,
                                          const struct ingot_toolkit *toolkit,
                                          const struct igt_candidates *candidates,
                                          const struct ingot_where *where, enum ingot_detail detail,
                                          struct ingot_page *page, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    size_t examined = 0, count;
    page->next = where->after;
    page->events = igt_arena_array(page->arena, where->limit, sizeof *page->events);
    if (!page->events)
        return no_memory(err);
    for (size_t at = lower_bound(candidates, &where->after.event_id);
         at < candidates->count && !status && !page->more; at += count) {
        struct ingot_page *chunk = NULL;
        size_t found = page->event_count;
        if (page->job_count == where->limit) {
            page->more = 1;
            break;
        }
        /*
         * Most have a job that matches: of more than are still wanted, most would be read
         * in vain. But that of the cursor has had its page, and seldom has more jobs.
         */
        count = where->limit - page->job_count;
        count = count < CHUNK_EVENTS ? count : CHUNK_EVENTS;
        count += ingot_ksuid_compare(&candidates->ids[at], &where->after.event_id) == 0;
        count = candidates->count - at < count ? candidates->count - at : count;
        status =
            ingot_store_events(store, toolkit, candidates->ids + at, count, detail, &chunk, err);
        if (!status)
            match_events(where, candidates->ids + at, count, chunk, &examined, page);
        if (page->event_count > found)
            igt_arena_adopt(page->arena, chunk->arena);
        else
            ingot_page_destroy(chunk);
    }
    return status;
}

/* Keeps of an event the jobs that matched before, and still do. */
static void keep_matched(const struct ingot_where *where, const struct ingot_event *matched,
                         struct ingot_event *event)
{
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < event->job_count && at < matched->job_count; i++) {
        if (event->jobs[i].number != matched->jobs[at].number)
            continue;
        at++;
        if (ingot_where_matches(where, &event->jobs[i]))
            event->jobs[kept++] = event->jobs[i];
    }
    event->job_count = event->retired_us == INGOT_NO_TIME ? kept : 0;
}

/* Puts a page with payloads in place of one without. */
static enum ingot_status read_payloads(struct ingot_store *store,
                                       const struct ingot_toolkit *toolkit,
                                       const struct ingot_where *where, struct ingot_page **page,
                                       struct ingot_error *err)
{
    struct ingot_page *matched = *page, *whole = NULL;
    size_t kept = 0, at = 0;
    ingot_ksuid *ids = igt_arena_array(matched->arena, matched->event_count + 1, sizeof *ids);
    if (!ids)
        return no_memory(err);
    for (size_t i = 0; i < matched->event_count; i++)
        ids[i] = matched->events[i].id;
    enum ingot_status status = ingot_store_events(store, toolkit, ids, matched->event_count,
                                                  INGOT_DETAIL_ALL, &whole, err);
    if (status)
        return status;
    whole->job_count = 0;
    for (size_t i = 0; i < whole->event_count; i++) {
        struct ingot_event *event = &whole->events[i];
        while (ingot_ksuid_compare(&ids[at], &event->id) != 0)
            at++;
        keep_matched(where, &matched->events[at], event);
        whole->job_count += event->job_count;
        if (event->job_count)
            whole->events[kept++] = *event;
    }
    whole->event_count = kept;
    whole->next = matched->next;
    whole->more = matched->more;
    ingot_page_destroy(matched);
    *page = whole;
    return INGOT_OK;
}

enum ingot_status igt_live_find(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page **ret_page,
                                struct ingot_error *err)
{
    struct igt_candidates *candidates = NULL;
    struct ingot_page *page = NULL;
    if (where->way == INGOT_FIND_EVERY_JOB ||
        (where->status_in ? where->status_in : TERMINAL) & ~where->status_notin & TERMINAL)
        return INGOT_OK;
    enum ingot_status status = candidates_for(store, toolkit, where, &candidates, err);
    if (!status && covers_all(candidates)) {
        const enum ingot_detail detail = where->detail == INGOT_DETAIL_ALL && !is_choosy(where)
                                             ? INGOT_DETAIL_ALL
                                             : INGOT_DETAIL_ROUTING;
        page = ingot_page_create();
        status = page ? match_candidates(store, toolkit, candidates, where, detail, page, err)
                      : no_memory(err);
        if (!status && where->detail == INGOT_DETAIL_ALL && detail != where->detail)
            status = read_payloads(store, toolkit, where, &page, err);
    }
    if (status) {
        ingot_page_destroy(page);
        igt_candidates_destroy(candidates);
        return status;
    }
    if (page && !page->more) { /* many live jobs make long lists, and this was their last page */
        igt_candidates_destroy(candidates);
        candidates = NULL;
    }
    igt_candidates_destroy(exchange(store, candidates));
    if (page)
        *ret_page = page;
    return INGOT_OK;
}
