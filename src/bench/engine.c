/* The engine, its ledger and its producers; see engine.h. */
#include "engine.h"

#include "core/toolkit.h"
#include "store/checkpoint.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define DESTINATION "bench"
#define SOURCE "bench"
#define EVENT_NAME "bench.event"

/* Events of one commit when a store is filled. */
#define FILL_EVENTS 1000u

#define NUMBER_DIGITS 10

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

int64_t igt_bench_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void igt_bench_sleep_us(int64_t us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* ---- the ledger --------------------------------------------------------- */

enum ingot_status igt_ledger_create(size_t size, struct igt_ledger *ledger, struct ingot_error *err)
{
    const size_t counters = 64; /* bytes; each counter in a cache line's half */
    size_t bytes = 2 * counters + 3 * size * sizeof(int64_t);
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return no_memory(err);
    int64_t *times = (void *)(memory + 2 * counters);
    *ledger = (struct igt_ledger){
        .size = size,
        .submitted = times,
        .decided = times + size,
        .handed = times + 2 * size,
        .decided_count = (void *)memory,
        .handed_count = (void *)(memory + counters),
        .memory = memory,
        .memory_size = bytes,
    };
    return INGOT_OK;
}

void igt_ledger_fini(struct igt_ledger *ledger)
{
    if (ledger->memory)
        munmap(ledger->memory, ledger->memory_size);
    memset(ledger, 0, sizeof *ledger);
}

void igt_bench_data(char *data, size_t size, size_t number)
{
    char head[IGT_BENCH_DATA_MIN];
    int len = snprintf(head, sizeof head, "{\"n\":\"%0*zu\",\"pad\":\"", NUMBER_DIGITS, number);
    memset(data, 'x', size);
    memcpy(data, head, (size_t)len);
    memcpy(data + size - 2, "\"}", 2);
}

void igt_ledger_take(void *context, const struct igt_delivery *delivery)
{
    static const char mark[] = "{\"n\":\"";
    struct igt_ledger *ledger = context;
    const char *at = memmem(delivery->body.data, delivery->body.len, mark, sizeof mark - 1);
    size_t number = 0;
    if (!at)
        return;
    for (const char *digit = at + sizeof mark - 1; *digit >= '0' && *digit <= '9'; digit++)
        number = number * 10 + (size_t)(*digit - '0');
    if (number < ledger->size && !ledger->handed[number]) {
        ledger->handed[number] = igt_bench_now_us();
        atomic_fetch_add(ledger->handed_count, 1);
    }
}

/* ---- events ------------------------------------------------------------- */

/* Makes an event with one job in the arena; 0 when memory ran out. */
static int make_event(struct igt_arena *arena, struct ingot_ksuid_generator *ids, size_t number,
                      size_t data_bytes, struct ingot_event *event)
{
    char *data = igt_arena_alloc(arena, data_bytes);
    struct ingot_job *job = igt_arena_alloc(arena, sizeof *job);
    if (!data || !job)
        return 0;
    igt_bench_data(data, data_bytes, number);
    *event = (struct ingot_event){
        .source = ingot_bytes_of(SOURCE),
        .name = ingot_bytes_of(EVENT_NAME),
        .data = {data, data_bytes},
        .sent_us = INGOT_NO_TIME,
        .received_us = igt_now_us(NULL),
        .retired_us = INGOT_NO_TIME,
        .jobs = job,
        .job_count = 1,
    };
    ingot_ksuid_generate(ids, NULL, &event->id);
    *job = (struct ingot_job){
        .destination = ingot_bytes_of(DESTINATION),
        .event = ingot_bytes_of("*"),
        .due_us = INGOT_NO_TIME,
    };
    ingot_ksuid_generate_for(ids, NULL, &event->id, &job->id);
    return 1;
}

/* ---- filling ------------------------------------------------------------ */

struct filler {
    struct ingot_store *store;
    struct ingot_ksuid_generator ids;
    ingot_ksuid owner;
    ingot_ksuid *live;
    size_t live_count;
};

/* The claim and the success of an event's only job. */
static void add_life(struct ingot_commit *commit, const struct filler *filler,
                     const struct ingot_event *event)
{
    static const enum ingot_state states[] = {INGOT_STATE_ACKNOWLEDGED, INGOT_STATE_EXECUTING,
                                              INGOT_STATE_SUCCEEDED};
    for (uint32_t i = 0; i < 2; i++) {
        size_t at = commit->transition_count++;
        commit->transitions[at] = (struct ingot_commit_transition){
            .row = {.event_id = event->id,
                    .seq = i + 1,
                    .attempt = 1,
                    .state_before = states[i],
                    .state_after = states[i + 1],
                    .owner = filler->owner,
                    .due_us = INGOT_NO_TIME},
            .hangs_on = INGOT_ALONE,
        };
    }
}

/* What an event of a producer does not have. */
static void dress(struct ingot_event *event, const struct igt_filling *filling)
{
    event->context = filling->context;
    if (filling->due_us)
        event->jobs[0].due_us = filling->due_us;
}

static enum ingot_status fill_some(struct filler *filler, const struct igt_filling *filling,
                                   size_t first, size_t count, struct ingot_error *err)
{
    struct igt_arena *arena = igt_arena_create();
    struct ingot_commit commit = {.rule = INGOT_COMMIT_EACH};
    struct ingot_event *events = arena ? igt_arena_array(arena, count, sizeof *events) : NULL;
    enum ingot_status status = INGOT_OK;
    if (events) {
        commit.events = igt_arena_array(arena, count, sizeof *commit.events);
        commit.transitions = igt_arena_array(arena, 2 * count, sizeof *commit.transitions);
    }
    if (!commit.events || !commit.transitions)
        status = no_memory(err);
    for (size_t i = 0; i < count && !status; i++) {
        if (!make_event(arena, &filler->ids, first + i, filling->data_bytes, &events[i]))
            status = no_memory(err);
        else
            dress(&events[i], filling);
        commit.events[commit.event_count++] =
            (struct ingot_commit_event){.row = &events[i], .jobs_origin = INGOT_JOBS_MADE};
        if (filling->as == IGT_FILL_FINISHED)
            add_life(&commit, filler, &events[i]);
        else
            filler->live[filler->live_count++] = events[i].id;
    }
    if (!status)
        status = ingot_store_commit(filler->store, NULL, &commit, err);
    igt_arena_destroy(arena);
    return status;
}

/* What a daemon would have written before it ended. */
static enum ingot_status write_list(const struct filler *filler, struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed;
    struct igt_buffer body = {0}, none = {0};
    struct ingot_checkpoint checkpoints[INGOT_LANES];
    enum ingot_status status =
        ingot_store_follow(filler->store, NULL, &(struct ingot_following){.known_count = 0}, NULL,
                           NULL, &page, &followed, err);
    if (status)
        return status;
    igt_checkpoint_encode(filler->live, filler->live_count, &body);
    igt_checkpoint_encode(NULL, 0, &none);
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        const struct igt_buffer *of =
            lane == ingot_lane_of(ingot_bytes_of(DESTINATION)) ? &body : &none;
        checkpoints[lane] = (struct ingot_checkpoint){
            .lane = lane, .cursor = followed.cursor, .body = {of->data, of->len}};
    }
    if (body.failed || none.failed)
        status = no_memory(err);
    else
        status = ingot_store_add_checkpoints(filler->store, NULL, checkpoints, INGOT_LANES, err);
    igt_buffer_fini(&body);
    igt_buffer_fini(&none);
    ingot_page_destroy(page);
    return status;
}

static enum ingot_status fill_all(struct filler *filler, const struct igt_filling *filling,
                                  const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t done = 0; done < filling->count && !status; done += FILL_EVENTS) {
        size_t some = filling->count - done;
        some = some < FILL_EVENTS ? some : FILL_EVENTS;
        if (toolkit && toolkit->progress &&
            toolkit->progress(toolkit->context, done, filling->count) != 0)
            return ingot_error_set(err, INGOT_CLOSED, "bench: stopped");
        status = fill_some(filler, filling, filling->first + done, some, err);
    }
    return status;
}

enum ingot_status igt_bench_fill(const char *url, const struct igt_filling *fillings, size_t count,
                                 const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    struct filler filler = {0};
    struct ingot_options options;
    size_t live = 0;
    for (size_t i = 0; i < count; i++)
        live += fillings[i].as == IGT_FILL_WAITING ? fillings[i].count : 0;
    filler.live = malloc((live + 1) * sizeof *filler.live);
    if (!filler.live)
        return no_memory(err);
    ingot_ksuid_generator_init(&filler.ids);
    ingot_ksuid_generate(&filler.ids, NULL, &filler.owner);
    enum ingot_status status = ingot_options_from_url(url, &options, err);
    if (!status)
        status = ingot_store_open(&options, NULL, &filler.store, err);
    for (size_t i = 0; i < count && !status; i++)
        status = fill_all(&filler, &fillings[i], toolkit, err);
    if (!status)
        status = write_list(&filler, err);
    ingot_store_close(filler.store);
    free(filler.live);
    return status;
}

/* ---- the engine --------------------------------------------------------- */

struct igt_engine {
    struct igt_config *config;
    struct igt_daemon *daemon;
    struct ingot_toolkit toolkit;
    pthread_t thread;
    int running;
    enum ingot_status status;
    struct ingot_error error;
    int64_t ended_us;
};

static void *run(void *context)
{
    struct igt_engine *engine = context;
    engine->status = igt_daemon_run(engine->daemon, &engine->error);
    engine->ended_us = igt_bench_now_us();
    return NULL;
}

enum ingot_status igt_engine_configure(const struct igt_engine_config *from,
                                       struct igt_config **ret_config, struct ingot_error *err)
{
    char text[512];
    const char *url = from->destination_url ? from->destination_url : "http://127.0.0.1:1/";
    snprintf(text, sizeof text,
             "listen: 127.0.0.1:0\ndestinations: {" DESTINATION
             ": {kind: http, url: \"%s\", addresses: any, events: [\"*\"], concurrency: 1024}}\n",
             url);
    enum ingot_status status = igt_config_parse("bench", ingot_bytes_of(text), ret_config, err);
    if (status)
        return status;
    struct igt_config_destination *destination = &(*ret_config)->destinations[0];
    (*ret_config)->store = from->store;
    destination->concurrency = from->concurrency;
    if (!from->destination_url) {
        destination->kind = IGT_KIND_INSIDE;
        destination->inside = (struct igt_inside_config){igt_ledger_take, from->ledger};
    }
    return INGOT_OK;
}

enum ingot_status igt_engine_start(const struct igt_engine_config *config,
                                   struct igt_engine **ret_engine, struct ingot_error *err)
{
    struct igt_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return no_memory(err);
    enum ingot_status status = igt_engine_configure(config, &engine->config, err);
    if (!status)
        status =
            igt_daemon_start(engine->config, config->role, &engine->toolkit, &engine->daemon, err);
    if (!status && pthread_create(&engine->thread, NULL, run, engine) != 0)
        status = ingot_error_set(err, INGOT_IO, "bench: could not start a thread");
    engine->running = !status;
    if (status)
        igt_engine_destroy(engine);
    else
        *ret_engine = engine;
    return status;
}

struct igt_daemon *igt_engine_daemon(struct igt_engine *engine)
{
    return engine->daemon;
}

enum ingot_status igt_engine_finish(struct igt_engine *engine, int64_t *ret_ended_us,
                                    struct igt_journal_numbers *ret_numbers,
                                    struct ingot_error *err)
{
    igt_daemon_end(engine->daemon);
    pthread_join(engine->thread, NULL);
    engine->running = 0;
    *ret_ended_us = engine->ended_us;
    *ret_numbers = igt_journal_numbers(igt_daemon_journal(engine->daemon));
    if (engine->status && err)
        *err = engine->error;
    return engine->status;
}

void igt_engine_destroy(struct igt_engine *engine)
{
    if (!engine)
        return;
    if (engine->running) {
        igt_daemon_end(engine->daemon);
        pthread_join(engine->thread, NULL);
    }
    igt_daemon_stop(engine->daemon);
    igt_config_destroy(engine->config);
    free(engine);
}

/* ---- producers ---------------------------------------------------------- */

struct igt_producers {
    struct igt_production production;
    atomic_size_t next;
    atomic_int stopping;
    int64_t began_us;
    pthread_mutex_t lock;             /* guards what follows */
    struct ingot_ksuid_generator ids; /* of all, as a gateway has one for all its clients */
    enum ingot_status status;
    struct ingot_error error;
    unsigned started;
    pthread_t threads[];
};

/* One request of a producer, until it is decided. */
struct order {
    struct igt_ledger *ledger;
    size_t first;
    sem_t decided;
};

static void on_decided(struct igt_request *request, void *context)
{
    struct order *order = context;
    int64_t now_us = igt_bench_now_us();
    for (size_t i = 0; i < request->event_count && !request->status; i++)
        order->ledger->decided[order->first + i] = now_us;
    if (!request->status)
        atomic_fetch_add(order->ledger->decided_count, request->event_count);
    sem_post(&order->decided);
}

/* Waits for the instant at which the event of that number is to be submitted, and for room. */
static void keep_pace(struct igt_producers *producers, size_t number)
{
    const struct igt_production *production = &producers->production;
    const struct igt_ledger *ledger = production->ledger;
    if (production->rate > 0) {
        int64_t at_us = producers->began_us + (int64_t)((double)number * 1e6 / production->rate);
        int64_t now_us = igt_bench_now_us();
        if (at_us > now_us)
            igt_bench_sleep_us(at_us - now_us);
    }
    while (production->ahead && !atomic_load(&producers->stopping) &&
           number > atomic_load(ledger->handed_count) + production->ahead)
        igt_bench_sleep_us(200);
}

/* Makes the events of a request, numbered from first on; 0 when memory ran out. */
static int make_events(struct igt_producers *producers, size_t first, size_t count,
                       struct igt_request *request)
{
    int made = 1;
    pthread_mutex_lock(&producers->lock);
    for (size_t i = 0; i < count && made; i++)
        made = make_event(request->arena, &producers->ids, first + i,
                          producers->production.data_bytes, &request->events[i]);
    pthread_mutex_unlock(&producers->lock);
    request->event_count = count;
    return made;
}

static enum ingot_status produce(struct igt_producers *producers, size_t first, size_t count,
                                 struct order *order, struct ingot_error *err)
{
    const struct igt_production *production = &producers->production;
    struct igt_request *request = igt_request_create();
    if (request) {
        request->events = igt_arena_array(request->arena, count, sizeof *request->events);
        request->verdicts = igt_arena_array(request->arena, count, sizeof *request->verdicts);
    }
    if (!request || !request->events || !request->verdicts)
        return no_memory(err);
    if (!make_events(producers, first, count, request))
        return no_memory(err);
    request->ids = IGT_IDS_MADE;
    request->decided = on_decided;
    request->context = order;
    order->first = first;
    int64_t now_us = igt_bench_now_us();
    for (size_t i = 0; i < count; i++)
        production->ledger->submitted[first + i] = now_us;
    enum ingot_status status = igt_journal_submit(igt_daemon_journal(production->daemon), request);
    if (!status) {
        while (sem_wait(&order->decided) != 0)
            ;
        status = request->status;
        if (status && err)
            *err = request->error;
    }
    igt_request_release(request);
    return status;
}

static void *work(void *context)
{
    struct igt_producers *producers = context;
    const struct igt_production *production = &producers->production;
    struct ingot_error err;
    struct order order = {.ledger = production->ledger};
    enum ingot_status status = INGOT_OK;
    sem_init(&order.decided, 0, 0);
    while (!status && !atomic_load(&producers->stopping)) {
        size_t first = atomic_fetch_add(&producers->next, production->batch);
        if (first >= production->count)
            break;
        size_t count = production->count - first;
        count = count < production->batch ? count : production->batch;
        keep_pace(producers, first);
        status = produce(producers, first, count, &order, &err);
    }
    sem_destroy(&order.decided);
    if (status) {
        pthread_mutex_lock(&producers->lock);
        producers->status = status;
        producers->error = err;
        pthread_mutex_unlock(&producers->lock);
        atomic_store(&producers->stopping, 1);
    }
    return NULL;
}

enum ingot_status igt_producers_start(const struct igt_production *production,
                                      struct igt_producers **ret_producers, struct ingot_error *err)
{
    struct igt_producers *producers =
        calloc(1, sizeof *producers + production->threads * sizeof producers->threads[0]);
    if (!producers)
        return no_memory(err);
    producers->production = *production;
    producers->began_us = igt_bench_now_us();
    pthread_mutex_init(&producers->lock, NULL);
    ingot_ksuid_generator_init(&producers->ids);
    while (producers->started < production->threads &&
           pthread_create(&producers->threads[producers->started], NULL, work, producers) == 0)
        producers->started++;
    if (producers->started < production->threads) {
        igt_producers_stop(producers);
        igt_producers_join(producers, NULL);
        return ingot_error_set(err, INGOT_IO, "bench: could not start %u threads",
                               production->threads);
    }
    *ret_producers = producers;
    return INGOT_OK;
}

void igt_producers_stop(struct igt_producers *producers)
{
    atomic_store(&producers->stopping, 1);
}

enum ingot_status igt_producers_join(struct igt_producers *producers, struct ingot_error *err)
{
    for (unsigned i = 0; i < producers->started; i++)
        pthread_join(producers->threads[i], NULL);
    enum ingot_status status = producers->status;
    if (status && err)
        *err = producers->error;
    pthread_mutex_destroy(&producers->lock);
    free(producers);
    return status;
}
