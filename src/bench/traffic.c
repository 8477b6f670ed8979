/* `http-in` and `http-out`: the gateway, and the HTTP destination, on loopback. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 64

/* Attempts under way at a time: more wait for each other in the one loop that makes them. */
#define ATTEMPTS 256

static const char path_events[] = "/v1/events";

/* A request takes several times as long as a job; so there are half as many in a run. */
static size_t count_requests(const struct igt_bench *bench)
{
    return (bench->options->jobs + 1) / 2;
}

/* A source's event as JSON, with data as the producers' events have it; to be freed. */
static enum ingot_status make_event(const struct igt_bench *bench, struct ingot_bytes *ret_event,
                                    struct ingot_error *err)
{
    static const char before[] = "{\"source\":\"bench\",\"name\":\"bench.event\",\"data\":";
    const size_t data_len = bench->options->data_bytes, before_len = sizeof before - 1;
    char *event = malloc(before_len + data_len + 2);
    if (!event)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    memcpy(event, before, before_len);
    igt_bench_data(event + before_len, data_len, 0);
    memcpy(event + before_len + data_len, "}", 2);
    *ret_event = (struct ingot_bytes){event, before_len + data_len + 1};
    return INGOT_OK;
}

/* Has the client send the requests of a run. */
static enum ingot_status send_events(struct igt_bench *bench, const char *name, const char *variant,
                                     const char *address, const char *path, struct ingot_error *err)
{
    struct igt_sample sample = {0};
    struct igt_http_load load = {.address = address,
                                 .path = path,
                                 .connections = CONNECTIONS,
                                 .count = count_requests(bench)};
    enum ingot_status status = make_event(bench, &load.body, err);
    if (!status)
        status = igt_http_load(bench, &load, &sample, err);
    if (!status)
        status = igt_bench_add_sample(bench, name, variant, "requests/s", &sample, err);
    igt_sample_fini(&sample);
    free((void *)(uintptr_t)load.body.data);
    return status;
}

/* ---- http-in ------------------------------------------------------------ */

static enum ingot_status run_gateway(struct igt_bench *bench, const char *variant,
                                     struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_ledger ledger = {0};
    struct igt_engine_config config = {
        .role = IGT_ROLE_GATEWAY, .concurrency = IGT_BENCH_CONCURRENCY, .ledger = &ledger};
    enum ingot_status status = igt_bench_make_store(bench, &config.store, err);
    if (!status)
        status = igt_engine_start(&config, &engine, err);
    if (!status)
        status = send_events(bench, "http-in", variant,
                             igt_daemon_address(igt_engine_daemon(engine)), path_events, err);
    igt_engine_destroy(engine);
    return status;
}

static enum ingot_status run_front(struct igt_bench *bench, const char *variant,
                                   struct ingot_error *err)
{
    struct igt_front *front = NULL;
    enum ingot_status status = igt_front_start(&front, err);
    if (!status)
        status = send_events(bench, "http-in", variant, igt_front_address(front), path_events, err);
    igt_front_stop(front);
    return status;
}

enum ingot_status igt_measure_http_in(struct igt_bench *bench, struct ingot_error *err)
{
    static const char stored[] = "64 connections", at_once[] = "64 connections, nothing stored";
    enum ingot_status status = INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        igt_bench_progress(bench, "http-in", stored, round);
        status = run_gateway(bench, stored, err);
        igt_bench_progress(bench, "http-in", at_once, round);
        if (!status)
            status = run_front(bench, at_once, err);
    }
    if (!status)
        igt_bench_compare(bench, "http-in", stored, at_once, 0.35);
    return status;
}

/* ---- http-out ----------------------------------------------------------- */

/* From the first answer to the last outcome that was stored. */
static enum ingot_status drain_to(struct igt_bench *bench, const char *variant,
                                  const struct igt_engine_config *config,
                                  const struct igt_http_sink *sink, struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_sample sample = {0}, begun = {0};
    struct igt_journal_numbers numbers;
    const struct igt_counter answered = igt_counter_of(sink->ledger.handed_count);
    const size_t jobs = count_requests(bench);
    int64_t ended_us = 0;
    atomic_store(sink->ledger.handed_count, 0);
    enum ingot_status status = igt_engine_start(config, &engine, err);
    if (!status)
        status = igt_wait_for_count(bench, answered, 1, &begun, err);
    int64_t began_us = igt_bench_now_us();
    const size_t before = answered.read(answered.context);
    if (!status)
        status = igt_wait_for_count(bench, answered, jobs, &sample, err);
    if (!status)
        status = igt_engine_finish(engine, &ended_us, &numbers, err);
    igt_engine_destroy(engine);
    sample.value = (double)(jobs - before) * 1e6 / (double)(ended_us - began_us);
    if (!status)
        status = igt_bench_add_sample(bench, "http-out", variant, "requests/s", &sample, err);
    igt_sample_fini(&sample);
    igt_sample_fini(&begun);
    return status;
}

static enum ingot_status deliver(struct igt_bench *bench, const char *variant,
                                 const struct igt_http_sink *sink, struct ingot_error *err)
{
    char url[64];
    const struct igt_filling filling = {.count = count_requests(bench),
                                        .as = IGT_FILL_WAITING,
                                        .data_bytes = bench->options->data_bytes};
    struct igt_engine_config config = {
        .role = IGT_ROLE_SCHEDULER, .concurrency = ATTEMPTS, .destination_url = url};
    snprintf(url, sizeof url, "http://%s/", sink->address);
    enum ingot_status status = igt_bench_make_store(bench, &config.store, err);
    if (!status)
        status = igt_bench_fill(config.store, &filling, bench->options->toolkit, err);
    return status ? status : drain_to(bench, variant, &config, sink, err);
}

enum ingot_status igt_measure_http_out(struct igt_bench *bench, struct ingot_error *err)
{
    static const char ingot[] = "deliveries", client[] = "a client, 64 connections";
    struct igt_http_sink sink;
    enum ingot_status status = igt_http_sink_start(&sink, err);
    if (status)
        return status;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        igt_bench_progress(bench, "http-out", ingot, round);
        status = deliver(bench, ingot, &sink, err);
        igt_bench_progress(bench, "http-out", client, round);
        if (!status)
            status = send_events(bench, "http-out", client, sink.address, "/", err);
    }
    igt_http_sink_end(&sink);
    if (!status)
        igt_bench_compare(bench, "http-out", ingot, client, 0.2);
    return status;
}
