/* Filling a store: events are made in a thread for each connection; see filling.h. */
#include "filling.h"

#include "engine.h"

#include "core/arena.h"
#include "core/toolkit.h"
#include "store/checkpoint.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 4

/* The claim and the success. */
#define LIFE 2

/* How often it is looked whether the user wants to stop. */
#define LOOK_US 10000

struct filler {
    const struct igt_filling *filling;
    const struct igt_loader_operations *operations;
    const char *connection;
    ingot_ksuid owner;
    ingot_ksuid *live; /* of all events, where they wait */
    _Atomic size_t next;
    atomic_int stopping;
    atomic_uint ended; /* threads */
};

/* One connection's thread. */
struct hand {
    struct filler *filler;
    pthread_t thread;
    struct ingot_ksuid_generator ids;
    enum ingot_status status;
    struct ingot_error error;
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
static enum ingot_status make_rows(struct hand *hand, struct igt_arena *arena, size_t first,
                                   size_t count, struct igt_load *load, struct ingot_error *err)
{
    const struct filler *filler = hand->filler;
    const struct igt_filling *filling = filler->filling;
    const struct igt_shape shape = {filling->data_bytes, 1, 1};
    struct ingot_event *events = igt_arena_array(arena, count, sizeof *events);
    struct ingot_transition *lives = igt_arena_array(arena, count * LIFE, sizeof *lives);
    if (!events || !lives)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!igt_bench_make_event(arena, &hand->ids, first + i, &shape, &events[i]))
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

/* ---- threads ------------------------------------------------------------ */

static enum ingot_status load_some(struct hand *hand, struct igt_loader *loader, size_t first,
                                   size_t count, struct ingot_error *err)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_load load;
    enum ingot_status status =
        arena ? make_rows(hand, arena, first, count, &load, err) : no_memory(err);
    if (!status)
        status = hand->filler->operations->load(loader, &load, err);
    igt_arena_destroy(arena);
    return status;
}

static void *load_all(void *context)
{
    struct hand *hand = context;
    struct filler *filler = hand->filler;
    struct igt_loader *loader = NULL;
    const size_t all = filler->filling->count;
    enum ingot_status status = filler->operations->open(filler->connection, &loader, &hand->error);
    while (!status && !atomic_load(&filler->stopping)) {
        const size_t first = atomic_fetch_add(&filler->next, IGT_LOAD_EVENTS);
        if (first >= all)
            break;
        const size_t left = all - first;
        status = load_some(hand, loader, first, left < IGT_LOAD_EVENTS ? left : IGT_LOAD_EVENTS,
                           &hand->error);
    }
    if (loader) {
        enum ingot_status closed = filler->operations->close(loader, status ? NULL : &hand->error);
        status = status ? status : closed;
    }
    hand->status = status;
    if (status)
        atomic_store(&filler->stopping, 1);
    atomic_fetch_add(&filler->ended, 1);
    return NULL;
}

/* Waits on the user's wish too, which only this thread may ask for. */
static enum ingot_status await_hands(struct filler *filler, unsigned started,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    while (atomic_load(&filler->ended) < started) {
        if (!status && igt_progress(toolkit, 0, 0) != 0) {
            status = ingot_error_set(err, INGOT_CLOSED, "bench: stopped");
            atomic_store(&filler->stopping, 1);
        }
        igt_bench_sleep_us(LOOK_US);
    }
    return status;
}

static enum ingot_status load_in_threads(struct filler *filler, const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err)
{
    struct hand hands[CONNECTIONS_MAX] = {{0}};
    unsigned started = 0;
    enum ingot_status status = INGOT_OK;
    while (started < filler->operations->connections && started < CONNECTIONS_MAX && !status) {
        struct hand *hand = &hands[started];
        hand->filler = filler;
        ingot_ksuid_generator_init(&hand->ids);
        if (pthread_create(&hand->thread, NULL, load_all, hand) == 0)
            started++;
        else
            status = ingot_error_set(err, INGOT_IO, "bench: could not start a thread");
    }
    if (status)
        atomic_store(&filler->stopping, 1);
    enum ingot_status waited = await_hands(filler, started, toolkit, status ? NULL : err);
    status = status ? status : waited;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(hands[i].thread, NULL);
        if (hands[i].status && !status) {
            status = hands[i].status;
            *err = hands[i].error;
        }
    }
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
    struct ingot_ksuid_generator ids;
    struct ingot_store *store = NULL;
    enum ingot_status status =
        filler.live ? ingot_options_from_url(url, &options, err) : no_memory(err);
    if (!status) /* makes it */
        status = ingot_store_open(&options, NULL, &store, err);
    if (!status && filling) {
        ingot_store_close(store); /* the file has one owner at a time */
        store = NULL;
        ingot_ksuid_generator_init(&ids);
        ingot_ksuid_generate(&ids, NULL, &filler.owner);
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
