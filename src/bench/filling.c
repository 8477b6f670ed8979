/* Filling a store: a thread for each connection, the first of which makes the rows; see filling.h. */
#include "filling.h"

#include "engine.h"

#include "core/arena.h"
#include "core/thread.h"
#include "core/toolkit.h"
#include "store/checkpoint.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The claim and the success. */
#define LIFE 2

/* How often it is looked whether the user wants to stop. */
#define LOOK_US 10000

/* Batches that wait for the second connection at most. */
#define WAITING_MAX 4

/* Rows, and the memory that they are in. */
struct batch {
    struct igt_arena *arena;
    struct igt_load load;
};

/* One connection's thread. */
struct hand {
    struct filler *filler;
    pthread_t thread;
    int ended;
    enum ingot_status status;
    struct ingot_error error;
};

struct filler {
    const struct igt_filling *filling;
    const struct igt_loader_operations *operations;
    const char *connection;
    struct ingot_ksuid_generator ids;
    ingot_ksuid owner;
    ingot_ksuid *live; /* of all events, where they wait */
    struct hand hands[2];
    pthread_mutex_t lock; /* guards what follows, and the hands' ends */
    pthread_cond_t changed;
    struct batch waiting[WAITING_MAX]; /* from the first hand to the second */
    size_t given, taken;
    int is_all, is_stopped; /* nothing more comes; nothing more is wanted */
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

/* ---- rows --------------------------------------------------------------- */

/* The claim and the success of an event's only job. */
static void make_life(const struct filler *filler, const ingot_ksuid *event_id,
                      struct ingot_transition life[LIFE])
{
    static const enum ingot_state states[] = {INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING,
                                              INGOT_STATE_SUCCEEDED};
    for (uint32_t i = 0; i < LIFE; i++)
        life[i] = (struct ingot_transition){
            .event_id = *event_id,
            .seq = i + 1,
            .attempt = 1,
            .state_before = states[i],
            .state_after = states[i + 1],
            .owner = filler->owner,
            .due_us = INGOT_NO_TIME,
        };
}

/* What an event of a producer does not have. */
static void dress(struct ingot_event *event, const struct igt_filling *filling)
{
    event->context = filling->context;
    if (filling->due_us)
        event->jobs[0].due_us = filling->due_us;
}

/* Makes the events of those numbers and the lives of their jobs. */
static enum ingot_status make_rows(struct filler *filler, struct igt_arena *arena, size_t first,
                                   size_t count, struct igt_load *load, struct ingot_error *err)
{
    const struct igt_filling *filling = filler->filling;
    const struct igt_shape shape = {filling->data_bytes, 1, 1};
    struct ingot_event *events = igt_arena_array(arena, count, sizeof *events);
    struct ingot_transition *lives = igt_arena_array(arena, count * LIFE, sizeof *lives);
    if (!events || !lives)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!igt_bench_make_event(arena, &filler->ids, first + i, &shape, &events[i]))
            return no_memory(err);
        dress(&events[i], filling);
        if (filling->as == IGT_FILL_FINISHED)
            make_life(filler, &events[i].id, &lives[LIFE * i]);
        else
            filler->live[first + i] = events[i].id;
    }
    *load = (struct igt_load){
        .events = events,
        .event_count = count,
        .transitions = lives,
        .transition_count = filling->as == IGT_FILL_FINISHED ? count * LIFE : 0,
        .now_us = igt_now_us(NULL),
    };
    return INGOT_OK;
}

/* ---- from one hand to the other ----------------------------------------- */

/*
 * The second hand loads the lives of the events that the first has sent. To each
 * table rows are added in the order of their keys, as one process adds them: with
 * two connections for one table the pages of its index would be half empty.
 */
static void give(struct filler *filler, const struct batch *batch)
{
    pthread_mutex_lock(&filler->lock);
    while (filler->given - filler->taken == WAITING_MAX && !filler->is_stopped)
        pthread_cond_wait(&filler->changed, &filler->lock);
    if (filler->is_stopped)
        igt_arena_destroy(batch->arena);
    else
        filler->waiting[filler->given++ % WAITING_MAX] = *batch;
    pthread_cond_broadcast(&filler->changed);
    pthread_mutex_unlock(&filler->lock);
}

/* Returns 0 when there is nothing more. */
static int take(struct filler *filler, struct batch *batch)
{
    pthread_mutex_lock(&filler->lock);
    while (filler->given == filler->taken && !filler->is_all && !filler->is_stopped)
        pthread_cond_wait(&filler->changed, &filler->lock);
    const int is_taken = filler->given != filler->taken;
    if (is_taken)
        *batch = filler->waiting[filler->taken++ % WAITING_MAX];
    pthread_cond_broadcast(&filler->changed);
    pthread_mutex_unlock(&filler->lock);
    return is_taken;
}

static void stop(struct filler *filler)
{
    pthread_mutex_lock(&filler->lock);
    filler->is_stopped = 1;
    pthread_cond_broadcast(&filler->changed);
    pthread_mutex_unlock(&filler->lock);
}

static int is_stopped(struct filler *filler)
{
    pthread_mutex_lock(&filler->lock);
    const int stopped = filler->is_stopped;
    pthread_mutex_unlock(&filler->lock);
    return stopped;
}

static void end_hand(struct hand *hand, enum ingot_status status)
{
    struct filler *filler = hand->filler;
    pthread_mutex_lock(&filler->lock);
    hand->status = status;
    hand->ended = 1;
    filler->is_all |= hand == &filler->hands[0];
    filler->is_stopped |= status != INGOT_OK;
    pthread_cond_broadcast(&filler->changed);
    pthread_mutex_unlock(&filler->lock);
}

/* ---- threads ------------------------------------------------------------ */

static enum ingot_status load_some(struct filler *filler, struct igt_loader *loader, size_t first,
                                   size_t count, struct ingot_error *err)
{
    const struct igt_loader_operations *operations = filler->operations;
    struct batch batch = {.arena = igt_arena_create()};
    enum ingot_status status = batch.arena
                                   ? make_rows(filler, batch.arena, first, count, &batch.load, err)
                                   : no_memory(err);
    if (!status)
        status = operations->load_events(loader, &batch.load, err);
    if (!status && batch.load.transition_count && operations->connections == 2) {
        give(filler, &batch);
        return INGOT_OK;
    }
    if (!status && batch.load.transition_count)
        status = operations->load_transitions(loader, &batch.load, err);
    igt_arena_destroy(batch.arena);
    return status;
}

static enum ingot_status close_loader(const struct filler *filler, struct igt_loader *loader,
                                      enum ingot_status status, struct ingot_error *err)
{
    if (!loader)
        return status;
    enum ingot_status closed = filler->operations->close(loader, status ? NULL : err);
    return status ? status : closed;
}

static void *load_events(void *context)
{
    struct hand *hand = context;
    struct filler *filler = hand->filler;
    struct igt_loader *loader = NULL;
    const size_t all = filler->filling->count;
    enum ingot_status status = filler->operations->open(filler->connection, &loader, &hand->error);
    for (size_t first = 0; first < all && !status && !is_stopped(filler);
         first += IGT_LOAD_EVENTS) {
        const size_t left = all - first;
        status = load_some(filler, loader, first, left < IGT_LOAD_EVENTS ? left : IGT_LOAD_EVENTS,
                           &hand->error);
    }
    end_hand(hand, close_loader(filler, loader, status, &hand->error));
    return NULL;
}

static void *load_lives(void *context)
{
    struct hand *hand = context;
    struct filler *filler = hand->filler;
    struct igt_loader *loader = NULL;
    struct batch batch;
    enum ingot_status status = filler->operations->open(filler->connection, &loader, &hand->error);
    while (!status && take(filler, &batch)) {
        status = filler->operations->load_transitions(loader, &batch.load, &hand->error);
        igt_arena_destroy(batch.arena);
    }
    end_hand(hand, close_loader(filler, loader, status, &hand->error));
    return NULL;
}

/* Waits on the user's wish too, which only this thread may ask for. */
static enum ingot_status await_hands(struct filler *filler, unsigned started,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    unsigned ended = 0;
    while (ended < started) {
        if (!status && igt_progress(toolkit, 0, 0) != 0) {
            status = ingot_error_set(err, INGOT_CLOSED, "bench: stopped");
            stop(filler);
        }
        igt_bench_sleep_us(LOOK_US);
        pthread_mutex_lock(&filler->lock);
        ended = 0;
        for (unsigned i = 0; i < started; i++)
            ended += filler->hands[i].ended != 0;
        pthread_mutex_unlock(&filler->lock);
    }
    return status;
}

static enum ingot_status load_in_threads(struct filler *filler, const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err)
{
    static void *(*const work[])(void *) = {load_events, load_lives};
    unsigned started = 0;
    enum ingot_status status = INGOT_OK;
    pthread_mutex_init(&filler->lock, NULL);
    pthread_cond_init(&filler->changed, NULL);
    for (; started < filler->operations->connections && !status; started += !status) {
        struct hand *hand = &filler->hands[started];
        hand->filler = filler;
        status = igt_thread_start(&hand->thread, "bench", work[started], hand, err);
    }
    if (status)
        stop(filler);
    enum ingot_status waited = await_hands(filler, started, toolkit, status ? NULL : err);
    status = status ? status : waited;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(filler->hands[i].thread, NULL);
        if (filler->hands[i].status && !status) {
            status = filler->hands[i].status;
            *err = filler->hands[i].error;
        }
    }
    for (; filler->taken < filler->given; filler->taken++) /* after a failure */
        igt_arena_destroy(filler->waiting[filler->taken % WAITING_MAX].arena);
    pthread_cond_destroy(&filler->changed);
    pthread_mutex_destroy(&filler->lock);
    return status;
}

/* ---- the whole ---------------------------------------------------------- */

/* What a daemon would have written before it ended. */
static enum ingot_status write_list(struct ingot_store *store, ingot_ksuid *live, size_t count,
                                    struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed;
    struct igt_buffer body = {0}, none = {0};
    struct ingot_checkpoint checkpoints[INGOT_LANES];
    enum ingot_status status =
        ingot_store_follow(store, NULL, &(struct ingot_following){.known_count = 0}, NULL, NULL,
                           &page, &followed, err);
    if (status)
        return status;
    igt_checkpoint_encode(live, count, &body);
    igt_checkpoint_encode(NULL, 0, &none);
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        const struct igt_buffer *of =
            lane == ingot_lane_of(ingot_bytes_of(IGT_BENCH_DESTINATION)) ? &body : &none;
        checkpoints[lane] = (struct ingot_checkpoint){
            .lane = lane, .cursor = followed.cursor, .body = {of->data, of->len}};
    }
    if (body.failed || none.failed)
        status = no_memory(err);
    else
        status = ingot_store_add_checkpoints(store, NULL, checkpoints, INGOT_LANES, err);
    igt_buffer_fini(&body);
    igt_buffer_fini(&none);
    ingot_page_destroy(page);
    return status;
}

enum ingot_status igt_bench_fill(const char *url, const struct igt_filling *filling,
                                 const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    const size_t live = filling && filling->as == IGT_FILL_WAITING ? filling->count : 0;
    struct filler filler = {.filling = filling, .live = malloc((live + 1) * sizeof *filler.live)};
    struct ingot_options options;
    struct ingot_store *store = NULL;
    enum ingot_status status =
        filler.live ? ingot_options_from_url(url, &options, err) : no_memory(err);
    if (!status) /* makes it */
        status = ingot_store_open(&options, NULL, &store, err);
    if (!status && filling) {
        ingot_store_close(store); /* the file has one owner at a time */
        store = NULL;
        ingot_ksuid_generator_init(&filler.ids);
        ingot_ksuid_generate(&filler.ids, NULL, &filler.owner);
        filler.connection = options.connection;
        filler.operations =
            strcmp(options.from, "postgres") == 0 ? &igt_loader_postgres : &igt_loader_sqlite;
        status = load_in_threads(&filler, toolkit, err);
        if (!status)
            status = ingot_store_open(&options, NULL, &store, err);
    }
    if (!status)
        status = write_list(store, filler.live, live, err);
    ingot_store_close(store);
    free(filler.live);
    return status;
}
