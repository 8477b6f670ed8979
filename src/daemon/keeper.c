/* The keeper's thread: one thing after another, the urgent first; see keeper.h. */
#include "keeper.h"

#include "core/instant.h"
#include "core/limits.h"
#include "core/thread.h"
#include "core/toolkit.h"
#include "store/checkpoint.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Jobs in one piece of news. */
#define NEWS_JOBS_MAX 1000

/* The sweep: when the first begins, the rest between two, and its share of the time. */
#define SWEEP_FIRST_US (60 * IGT_SECOND_US)
#define SWEEP_REST_US (600 * IGT_SECOND_US)
#define SWEEP_PAGE_JOBS 1000
#define SWEEP_PAUSE_FACTOR 20
#define SWEEP_PAUSE_US 20000

#define SEGMENTS_EVERY_US (3600 * IGT_SECOND_US)
#define FAILED_US IGT_SECOND_US

struct igt_keeper {
    struct ingot_store *reader, *writer;
    struct igt_fetcher *fetcher;
    enum igt_sweeps sweeps;
    const struct ingot_toolkit *outer;
    struct ingot_toolkit toolkit; /* the same, but stopped with the keeper */
    struct igt_news_desk desk;
    pthread_t thread;
    atomic_int stopping;

    pthread_mutex_t lock; /* guards what is asked for */
    pthread_cond_t asked;
    struct ingot_lanes lanes; /* to be read */
    uint64_t number;          /* of the newest request; 0: none */
    int cursor_asked;
    struct ingot_lanes listed; /* to be written */
    struct ingot_bytes cursor;
    struct igt_listed *list;
    size_t list_count;

    /* the thread's own */
    int64_t next_sweep_us, next_segments_us, retry_us; /* by the monotonic clock */
    int sweeping;
    struct ingot_where place; /* of the sweep */
    struct igt_news *news;    /* being filled */
};

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- the toolkit of long calls ------------------------------------------ */

static void log_outside(void *context, enum ingot_level level, const char *message)
{
    igt_log(((struct igt_keeper *)context)->outer, level, "%s", message);
}

static int64_t now_outside(void *context)
{
    return igt_now_us(((struct igt_keeper *)context)->outer);
}

static void random_outside(void *context, void *out, size_t size)
{
    igt_random(((struct igt_keeper *)context)->outer, out, size);
}

static int is_stopping(void *context, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    return atomic_load(&((struct igt_keeper *)context)->stopping);
}

/* ---- news --------------------------------------------------------------- */

static void send_news(struct igt_keeper *keeper)
{
    if (keeper->news)
        keeper->desk.take(keeper->desk.context, keeper->news);
    keeper->news = NULL;
}

/* Sends a piece of news that says little more than its kind; 0 when memory ran out. */
static int say(struct igt_keeper *keeper, enum igt_news_kind kind, uint64_t bytes)
{
    struct igt_news *news = igt_news_create(kind);
    if (!news)
        return 0;
    news->bytes = bytes;
    keeper->desk.take(keeper->desk.context, news);
    return 1;
}

/* Adds a job to the news of a kind, which are sent when they are full; 0 when memory ran out. */
static int tell_of(struct igt_keeper *keeper, enum igt_news_kind kind, const struct ingot_job *job)
{
    if (!keeper->news)
        keeper->news = igt_news_create(kind);
    if (!keeper->news || !igt_news_add_job(keeper->news, job, 0))
        return 0;
    if (keeper->news->job_count == NEWS_JOBS_MAX)
        send_news(keeper);
    return 1;
}

static void note_failure(struct igt_keeper *keeper, const char *what, const struct ingot_error *err)
{
    if (atomic_load(&keeper->stopping))
        return;
    igt_log(keeper->outer, INGOT_WARN, "event=%s error=\"%s\"", what, err->message);
    keeper->retry_us = monotonic_us() + FAILED_US;
}

/* ---- cold reads --------------------------------------------------------- */

/* The payloads are there before anybody learns of the jobs: whoever claims them finds them. */
static int found_live(void *context, struct ingot_page **page, enum ingot_detail detail)
{
    struct igt_keeper *keeper = context;
    const struct ingot_event *events = (*page)->events;
    const size_t event_count = (*page)->event_count;
    int told = 1;
    struct igt_request *ahead = detail == INGOT_DETAIL_ALL ? igt_request_of_page(page) : NULL;
    if (ahead)
        igt_fetcher_keep(keeper->fetcher, ahead);
    for (size_t i = 0; i < event_count && told; i++)
        for (size_t j = 0; j < events[i].job_count && told; j++)
            told = tell_of(keeper, IGT_NEWS_LIVE, &events[i].jobs[j]);
    if (ahead)
        igt_request_release(ahead);
    return !told || is_stopping(keeper, 0, 0);
}

/* A cursor of this moment, which stands in the page, and the horizon. */
static enum ingot_status follow_from_now(struct igt_keeper *keeper, struct ingot_page **ret_page,
                                         struct ingot_followed *ret_followed,
                                         struct ingot_error *err)
{
    return ingot_store_follow(keeper->reader, &keeper->toolkit,
                              &(struct ingot_following){.known_count = 0}, NULL, NULL, ret_page,
                              ret_followed, err);
}

/*
 * Tells of all that is live in lanes. Whatever the store had when that began, the loop has
 * then: READY says up to which horizon, for on SQLite nobody else would.
 */
static void read_lanes(struct igt_keeper *keeper, const struct ingot_lanes *lanes, uint64_t number)
{
    struct ingot_error err = {0};
    struct ingot_cold_read cold;
    struct ingot_page *page = NULL;
    struct ingot_followed before = {0};
    enum ingot_status status = follow_from_now(keeper, &page, &before, &err);
    ingot_page_destroy(page);
    if (!status || status == INGOT_UNSUPPORTED)
        status = ingot_store_live(keeper->reader, &keeper->toolkit, lanes, IGT_AHEAD_BYTES_MAX,
                                  found_live, keeper, &cold, &err);
    send_news(keeper);
    struct igt_news *ready = status ? NULL : igt_news_create(IGT_NEWS_READY);
    if (ready) {
        ready->number = number;
        ready->cold = cold;
        ready->horizon = before.horizon;
        keeper->desk.take(keeper->desk.context, ready);
        return;
    }
    note_failure(keeper, "recover_failed", &err);
    pthread_mutex_lock(&keeper->lock);
    keeper->lanes = igt_lanes_either(&keeper->lanes, lanes);
    if (keeper->number < number)
        keeper->number = number;
    pthread_mutex_unlock(&keeper->lock);
}

/* ---- checkpoints -------------------------------------------------------- */

static void make_cursor(struct igt_keeper *keeper)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    struct ingot_error err = {0};
    struct igt_news *news = igt_news_create(IGT_NEWS_CURSOR);
    enum ingot_status status = follow_from_now(keeper, &page, &followed, &err);
    if (status && status != INGOT_UNSUPPORTED)
        note_failure(keeper, "checkpoint_failed", &err);
    if (status || !news) {
        igt_news_destroy(news);
        ingot_page_destroy(page);
        return;
    }
    news->cursor = igt_arena_copy(news->arena, followed.cursor);
    news->horizon = followed.horizon;
    ingot_page_destroy(page);
    keeper->desk.take(keeper->desk.context, news);
}

static int compare_listed(const void *left, const void *right)
{
    const struct igt_listed *a = left, *b = right;
    int order = (a->lane > b->lane) - (a->lane < b->lane);
    return order ? order : ingot_ksuid_compare(&a->event_id, &b->event_id);
}

/* Encodes the lists of all lanes; the bodies are the caller's to free. Returns their bytes, or 0. */
static uint64_t encode(const struct ingot_lanes *lanes, struct ingot_bytes cursor,
                       struct igt_listed *list, size_t count, struct igt_buffer *bodies,
                       struct ingot_checkpoint *checkpoints, size_t *ret_count)
{
    ingot_ksuid *ids = malloc((count + 1) * sizeof *ids);
    size_t at = 0, made = 0;
    uint64_t bytes = 0;
    if (!ids)
        return 0;
    qsort(list, count, sizeof *list, compare_listed);
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        size_t in_lane = 0;
        for (; at < count && list[at].lane == lane; at++)
            ids[in_lane++] = list[at].event_id;
        if (!igt_lanes_has(lanes, lane))
            continue;
        igt_checkpoint_encode(ids, in_lane, &bodies[made]);
        if (bodies[made].failed)
            bytes = UINT64_MAX;
        checkpoints[made] = (struct ingot_checkpoint){
            .lane = lane, .cursor = cursor, .body = {bodies[made].data, bodies[made].len}};
        bytes = bytes == UINT64_MAX ? bytes : bytes + bodies[made].len;
        made++;
    }
    free(ids);
    *ret_count = made;
    return bytes == UINT64_MAX ? 0 : bytes;
}

static void write_checkpoints(struct igt_keeper *keeper, const struct ingot_lanes *lanes,
                              struct ingot_bytes cursor, struct igt_listed *list, size_t list_count)
{
    struct igt_buffer bodies[INGOT_LANES] = {{0}};
    struct ingot_checkpoint checkpoints[INGOT_LANES];
    struct ingot_error err = {0};
    size_t count = 0;
    enum ingot_status status = INGOT_NOMEM;
    uint64_t bytes = encode(lanes, cursor, list, list_count, bodies, checkpoints, &count);
    if (bytes)
        status =
            ingot_store_add_checkpoints(keeper->writer, &keeper->toolkit, checkpoints, count, &err);
    for (size_t i = 0; i < INGOT_LANES; i++)
        igt_buffer_fini(&bodies[i]);
    if (status)
        note_failure(keeper, "checkpoint_failed", &err);
    else
        igt_log(keeper->outer, INGOT_INFO, "event=checkpoint lanes=%zu jobs=%zu bytes=%llu", count,
                list_count, (unsigned long long)bytes);
    say(keeper, IGT_NEWS_WRITTEN, status ? 0 : bytes);
}

/* ---- the sweep ---------------------------------------------------------- */

static void sweep(struct igt_keeper *keeper)
{
    struct ingot_page *page = NULL;
    struct ingot_error err = {0};
    int64_t began_us = monotonic_us();
    if (!keeper->sweeping) {
        if (!say(keeper, IGT_NEWS_SWEEP_BEGIN, 0))
            return;
        keeper->sweeping = 1;
        keeper->place = (struct ingot_where){
            .status_notin =
                INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED) | INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
            .limit = SWEEP_PAGE_JOBS,
            .detail = INGOT_DETAIL_ROUTING,
            .way = INGOT_FIND_EVERY_JOB,
        };
    }
    enum ingot_status status =
        ingot_store_find(keeper->reader, &keeper->toolkit, &keeper->place, &page, &err);
    if (status) {
        note_failure(keeper, "sweep_failed", &err);
        keeper->next_sweep_us = keeper->retry_us;
        return;
    }
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            tell_of(keeper, IGT_NEWS_SWEPT, &page->events[i].jobs[j]);
    send_news(keeper);
    keeper->place.after = page->next;
    keeper->sweeping = page->more;
    ingot_page_destroy(page);
    int64_t now_us = monotonic_us();
    keeper->next_sweep_us = now_us + SWEEP_PAUSE_US + SWEEP_PAUSE_FACTOR * (now_us - began_us);
    if (!keeper->sweeping) {
        say(keeper, IGT_NEWS_SWEEP_END, 0);
        keeper->next_sweep_us = now_us + SWEEP_REST_US;
    }
}

/* ---- the thread --------------------------------------------------------- */

static void make_segments(struct igt_keeper *keeper)
{
    struct ingot_error err = {0};
    keeper->next_segments_us = monotonic_us() + SEGMENTS_EVERY_US;
    if (ingot_store_make_segments(keeper->writer, &keeper->toolkit, &err)) {
        note_failure(keeper, "segments_failed", &err);
        keeper->next_segments_us = monotonic_us() + SEGMENTS_EVERY_US / 60;
    }
}

/* Does the most urgent thing that is due; 0 if there is none. The lock is held, and let go meanwhile. */
static int act(struct igt_keeper *keeper)
{
    int64_t now_us = monotonic_us();
    if (now_us < keeper->retry_us)
        return 0;
    if (keeper->number) {
        struct ingot_lanes lanes = keeper->lanes;
        uint64_t number = keeper->number;
        memset(&keeper->lanes, 0, sizeof keeper->lanes);
        keeper->number = 0;
        pthread_mutex_unlock(&keeper->lock);
        read_lanes(keeper, &lanes, number);
    } else if (keeper->list) {
        struct ingot_lanes lanes = keeper->listed;
        struct ingot_bytes cursor = keeper->cursor;
        struct igt_listed *list = keeper->list;
        size_t count = keeper->list_count;
        keeper->list = NULL;
        pthread_mutex_unlock(&keeper->lock);
        write_checkpoints(keeper, &lanes, cursor, list, count);
        free((void *)(uintptr_t)cursor.data);
        free(list);
    } else if (keeper->cursor_asked) {
        keeper->cursor_asked = 0;
        pthread_mutex_unlock(&keeper->lock);
        make_cursor(keeper);
    } else if (now_us >= keeper->next_segments_us) {
        pthread_mutex_unlock(&keeper->lock);
        make_segments(keeper);
    } else if (keeper->sweeps == IGT_SWEEPS_ON && now_us >= keeper->next_sweep_us) {
        pthread_mutex_unlock(&keeper->lock);
        sweep(keeper);
    } else {
        return 0;
    }
    pthread_mutex_lock(&keeper->lock);
    return 1;
}

/* Waits until something is asked for or due. The lock is held. */
static void wait_for_work(struct igt_keeper *keeper)
{
    int64_t until_us = keeper->next_segments_us;
    if (keeper->sweeps == IGT_SWEEPS_ON && keeper->next_sweep_us < until_us)
        until_us = keeper->next_sweep_us;
    if (monotonic_us() < keeper->retry_us)
        until_us = keeper->retry_us;
    const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    pthread_cond_timedwait(&keeper->asked, &keeper->lock, &until);
}

static void *run(void *context)
{
    struct igt_keeper *keeper = context;
    pthread_mutex_lock(&keeper->lock);
    while (!atomic_load(&keeper->stopping))
        if (!act(keeper) && !atomic_load(&keeper->stopping))
            wait_for_work(keeper);
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

enum ingot_status igt_keeper_start(struct ingot_store *reader, struct ingot_store *writer,
                                   struct igt_fetcher *fetcher, enum igt_sweeps sweeps,
                                   const struct ingot_toolkit *toolkit,
                                   const struct igt_news_desk *desk, struct igt_keeper **ret_keeper,
                                   struct ingot_error *err)
{
    pthread_condattr_t attributes;
    struct igt_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return ingot_error_set(err, INGOT_NOMEM, "keeper: memory ran out");
    keeper->reader = reader;
    keeper->writer = writer;
    keeper->fetcher = fetcher;
    keeper->sweeps = sweeps;
    keeper->outer = toolkit;
    keeper->toolkit =
        (struct ingot_toolkit){keeper, log_outside, now_outside, random_outside, is_stopping};
    keeper->desk = *desk;
    keeper->next_sweep_us = monotonic_us() + SWEEP_FIRST_US;
    keeper->next_segments_us = monotonic_us();
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->asked, &attributes);
    pthread_condattr_destroy(&attributes);
    enum ingot_status status = igt_thread_start(&keeper->thread, "keeper", run, keeper, err);
    if (status) {
        free(keeper);
        return status;
    }
    *ret_keeper = keeper;
    return INGOT_OK;
}

void igt_keeper_read(struct igt_keeper *keeper, const struct ingot_lanes *lanes, uint64_t number)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->lanes = igt_lanes_either(&keeper->lanes, lanes);
    keeper->number = number;
    pthread_cond_signal(&keeper->asked);
    pthread_mutex_unlock(&keeper->lock);
}

void igt_keeper_ask_cursor(struct igt_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->cursor_asked = 1;
    pthread_cond_signal(&keeper->asked);
    pthread_mutex_unlock(&keeper->lock);
}

void igt_keeper_write(struct igt_keeper *keeper, const struct ingot_lanes *lanes,
                      struct ingot_bytes cursor, struct igt_listed *list, size_t count)
{
    char *copy = malloc(cursor.len + 1);
    if (!copy) {
        free(list);
        say(keeper, IGT_NEWS_WRITTEN, 0);
        return;
    }
    memcpy(copy, cursor.data, cursor.len);
    pthread_mutex_lock(&keeper->lock);
    keeper->listed = *lanes;
    keeper->cursor = (struct ingot_bytes){copy, cursor.len};
    keeper->list = list;
    keeper->list_count = count;
    pthread_cond_signal(&keeper->asked);
    pthread_mutex_unlock(&keeper->lock);
}

void igt_keeper_stop(struct igt_keeper *keeper)
{
    if (!keeper)
        return;
    atomic_store(&keeper->stopping, 1);
    pthread_mutex_lock(&keeper->lock);
    pthread_cond_signal(&keeper->asked);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    igt_news_destroy(keeper->news);
    if (keeper->list) {
        free((void *)(uintptr_t)keeper->cursor.data);
        free(keeper->list);
    }
    pthread_cond_destroy(&keeper->asked);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
