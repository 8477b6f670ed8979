/* The engine, its ledger and its producers; see engine.h. */
#include "engine.h"

#include "core/thread.h"
#include "core/toolkit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SOURCE "bench"
#define EVENT_NAME "bench.event"

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

/* ---- destinations ------------------------------------------------------- */

/* So long is the name of a destination at most, with its end. */
#define DESTINATION_NAME_SIZE sizeof IGT_BENCH_DESTINATION "-4294967295"

/* The first has a name without a number. */
static int write_name(char name[DESTINATION_NAME_SIZE], unsigned destination)
{
    return destination
               ? snprintf(name, DESTINATION_NAME_SIZE, "%s-%u", IGT_BENCH_DESTINATION, destination)
               : snprintf(name, DESTINATION_NAME_SIZE, "%s", IGT_BENCH_DESTINATION);
}

static unsigned read_name(const char *name)
{
    const char *number = strchr(name, '-');
    return number ? (unsigned)strtoul(number + 1, NULL, 10) : 0;
}

/* ---- the ledger --------------------------------------------------------- */

enum ingot_status igt_ledger_create(size_t size, const struct igt_shape *shape,
                                    struct igt_ledger *ledger, struct ingot_error *err)
{
    const size_t counters = 64; /* bytes; each counter in a cache line's half */
    size_t bytes = 2 * counters + 3 * size * sizeof(int64_t);
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return no_memory(err);
    int64_t *times = (void *)(memory + 2 * counters);
    *ledger = (struct igt_ledger){
        .size = size,
        .shape = *shape,
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

/* Which of all jobs it is: the event's number, and where its jobs go to, say that. */
static size_t number_of(const struct igt_shape *shape, size_t event, const char *destination)
{
    const size_t first = event * shape->fan_out;
    const size_t after = read_name(destination) + shape->destinations - first % shape->destinations;
    return first + after % shape->destinations;
}

void igt_ledger_take(void *context, const struct igt_delivery *delivery)
{
    static const char mark[] = "{\"n\":\"";
    struct igt_ledger *ledger = context;
    const char *at = memmem(delivery->body.data, delivery->body.len, mark, sizeof mark - 1);
    size_t event = 0;
    if (!at || !ledger->size)
        return;
    for (const char *digit = at + sizeof mark - 1; *digit >= '0' && *digit <= '9'; digit++)
        event = event * 10 + (size_t)(*digit - '0');
    const size_t number = number_of(&ledger->shape, event, delivery->destination);
    if (number < ledger->size && !ledger->handed[number]) {
        ledger->handed[number] = igt_bench_now_us();
        atomic_fetch_add(ledger->handed_count, 1);
    }
}

/* ---- events ------------------------------------------------------------- */

/* The jobs of all events, one after another, go to the destinations in turn. */
static int make_job(struct igt_arena *arena, struct ingot_ksuid_generator *ids,
                    unsigned destination, const ingot_ksuid *event_id, struct ingot_job *job)
{
    char name[DESTINATION_NAME_SIZE];
    const size_t len = (size_t)write_name(name, destination);
    *job = (struct ingot_job){
        .destination = igt_arena_copy(arena, (struct ingot_bytes){name, len}),
        .event = ingot_bytes_of("*"),
        .due_us = INGOT_NO_TIME,
    };
    ingot_ksuid_generate_for(ids, NULL, event_id, &job->id);
    return job->destination.data != NULL;
}

int igt_bench_make_event(struct igt_arena *arena, struct ingot_ksuid_generator *ids, size_t number,
                         const struct igt_shape *shape, struct ingot_event *event)
{
    char *data = igt_arena_alloc(arena, shape->data_bytes);
    struct ingot_job *jobs = igt_arena_array(arena, shape->fan_out, sizeof *jobs);
    int made = data && jobs;
    if (!made)
        return 0;
    igt_bench_data(data, shape->data_bytes, number);
    *event = (struct ingot_event){
        .source = ingot_bytes_of(SOURCE),
        .name = ingot_bytes_of(EVENT_NAME),
        .data = {data, shape->data_bytes},
        .sent_us = INGOT_NO_TIME,
        .received_us = igt_now_us(NULL),
        .retired_us = INGOT_NO_TIME,
        .jobs = jobs,
        .job_count = shape->fan_out,
    };
    ingot_ksuid_generate(ids, NULL, &event->id);
    for (size_t i = 0; i < shape->fan_out && made; i++) {
        made = make_job(arena, ids, (unsigned)((number * shape->fan_out + i) % shape->destinations),
                        &event->id, &jobs[i]);
        jobs[i].number = (uint32_t)i;
    }
    return made;
}

/* ---- the engine --------------------------------------------------------- */

struct igt_engine {
    struct igt_config *config;
    struct igt_daemon *daemon;
    struct ingot_toolkit toolkit;
    pthread_t thread;
    int running;
    _Atomic size_t recovered; /* cold reads that are complete; and one when the daemon has ended */
    enum ingot_status status;
    struct ingot_error error;
    int64_t ended_us;
};

static void *run(void *context)
{
    struct igt_engine *engine = context;
    engine->status = igt_daemon_run(engine->daemon, &engine->error);
    engine->ended_us = igt_bench_now_us();
    atomic_fetch_add(&engine->recovered, 1);
    return NULL;
}

/* The log says when the daemon knows what is live, and nothing else does. */
static void listen_to_log(void *context, enum ingot_level level, const char *message)
{
    static const char recovered[] = "event=recovered ";
    struct igt_engine *engine = context;
    (void)level;
    if (strncmp(message, recovered, sizeof recovered - 1) == 0)
        atomic_fetch_add(&engine->recovered, 1);
}

/* The configuration's text; NULL when memory ran out. */
static char *write_config(const struct igt_engine_config *from, unsigned destinations)
{
    const char *url = from->destination_url ? from->destination_url : "http://127.0.0.1:1/";
    struct igt_buffer text = {0};
    igt_buffer_add_text(&text, "listen: 127.0.0.1:0\ndestinations:\n");
    for (unsigned i = 0; i < destinations; i++) {
        char name[DESTINATION_NAME_SIZE];
        write_name(name, i);
        igt_buffer_add_format(&text,
                              "  %s: {kind: http, url: \"%s\", addresses: any, events: [\"*\"],"
                              " concurrency: 1024}\n",
                              name, url);
    }
    if (!text.failed)
        return text.data;
    igt_buffer_fini(&text);
    return NULL;
}

enum ingot_status igt_engine_configure(const struct igt_engine_config *from,
                                       struct igt_config **ret_config, struct ingot_error *err)
{
    const unsigned destinations = from->destinations ? from->destinations : 1;
    char *text = write_config(from, destinations);
    if (!text)
        return no_memory(err);
    enum ingot_status status = igt_config_parse("bench", ingot_bytes_of(text), ret_config, err);
    free(text);
    if (status)
        return status;
    (*ret_config)->store = from->store;
    for (unsigned i = 0; i < destinations; i++) {
        struct igt_config_destination *destination = &(*ret_config)->destinations[i];
        destination->concurrency = from->concurrency;
        if (!from->destination_url) {
            destination->kind = IGT_KIND_INSIDE;
            destination->inside = (struct igt_inside_config){igt_ledger_take, from->ledger};
        }
    }
    return INGOT_OK;
}

enum ingot_status igt_engine_start(const struct igt_engine_config *config,
                                   struct igt_engine **ret_engine, struct ingot_error *err)
{
    struct igt_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return no_memory(err);
    engine->toolkit = (struct ingot_toolkit){.log = listen_to_log, .context = engine};
    enum ingot_status status = igt_engine_configure(config, &engine->config, err);
    if (!status)
        status =
            igt_daemon_start(engine->config, config->role, &engine->toolkit, &engine->daemon, err);
    if (!status)
        status = igt_thread_start(&engine->thread, "bench", run, engine, err);
    engine->running = !status;
    if (status)
        igt_engine_destroy(engine);
    else
        *ret_engine = engine;
    return status;
}

const _Atomic size_t *igt_engine_recovered(const struct igt_engine *engine)
{
    return &engine->recovered;
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
    size_t first, count; /* jobs */
    sem_t decided;
};

static void on_decided(struct igt_request *request, void *context)
{
    struct order *order = context;
    int64_t now_us = igt_bench_now_us();
    for (size_t i = 0; i < order->count && !request->status; i++)
        order->ledger->decided[order->first + i] = now_us;
    if (!request->status)
        atomic_fetch_add(order->ledger->decided_count, order->count);
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
           number * ledger->shape.fan_out > atomic_load(ledger->handed_count) + production->ahead)
        igt_bench_sleep_us(200);
}

/* Makes the events of a request, numbered from first on; 0 when memory ran out. */
static int make_events(struct igt_producers *producers, size_t first, size_t count,
                       struct igt_request *request)
{
    int made = 1;
    pthread_mutex_lock(&producers->lock);
    for (size_t i = 0; i < count && made; i++)
        made = igt_bench_make_event(request->arena, &producers->ids, first + i,
                                    &producers->production.ledger->shape, &request->events[i]);
    pthread_mutex_unlock(&producers->lock);
    request->event_count = count;
    return made;
}

static enum ingot_status produce(struct igt_producers *producers, size_t first, size_t count,
                                 struct order *order, struct ingot_error *err)
{
    const struct igt_production *production = &producers->production;
    const struct igt_shape *shape = &production->ledger->shape;
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
    order->first = first * shape->fan_out;
    order->count = count * shape->fan_out;
    int64_t now_us = igt_bench_now_us();
    for (size_t i = 0; i < order->count; i++)
        production->ledger->submitted[order->first + i] = now_us;
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
    enum ingot_status status = INGOT_OK;
    while (producers->started < production->threads && !status) {
        status = igt_thread_start(&producers->threads[producers->started], "bench", work, producers,
                                  err);
        producers->started += !status;
    }
    if (status) {
        igt_producers_stop(producers);
        igt_producers_join(producers, NULL);
        return status;
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
