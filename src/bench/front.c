/*
 * A gateway and a journal as `ingot serve` has them, over a store that says of
 * everything at once that it is stored: what is left is what HTTP costs.
 */
#include "http.h"

#include "daemon/gateway.h"

#include <ingot/adapter.h>
#include <stdlib.h>

extern const struct ingot_adapter ingot_adapter_memory;

struct igt_front {
    struct igt_config *config;
    struct igt_routes routes;
    struct ingot_adapter adapter;
    struct ingot_store *store;
    struct igt_journal *journal;
    struct igt_gateway *gateway;
    struct ingot_toolkit toolkit;
};

static enum ingot_status commit_nothing(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_commit *commit, struct ingot_error *err)
{
    (void)handle, (void)toolkit, (void)err;
    for (size_t i = 0; i < commit->event_count; i++)
        commit->events[i].verdict = INGOT_STORED;
    return INGOT_OK;
}

static void take_results(void *context, struct igt_results *results)
{
    (void)context;
    igt_results_destroy(results);
}

static void take_failure(void *context, const struct ingot_error *error)
{
    (void)context, (void)error;
}

static enum ingot_status start(struct igt_front *front, struct ingot_error *err)
{
    const struct igt_engine_config config = {.concurrency = IGT_BENCH_CONCURRENCY};
    const struct igt_journal_callbacks callbacks = {
        .results = take_results, .failed = take_failure, .context = front};
    struct ingot_options options = INGOT_OPTIONS_INIT;
    front->adapter = ingot_adapter_memory;
    front->adapter.name = "nothing";
    front->adapter.commit = commit_nothing;
    options.load = &front->adapter;
    enum ingot_status status = igt_engine_configure(&config, &front->config, err);
    if (!status)
        status = igt_config_routes(front->config, &front->routes);
    if (!status)
        status = ingot_store_open(&options, &front->toolkit, &front->store, err);
    if (!status)
        status = igt_journal_start(front->store, &front->toolkit, &callbacks, NULL, &front->journal,
                                   err);
    return status ? status
                  : igt_gateway_start("127.0.0.1", 0, &front->routes, front->journal,
                                      &front->toolkit, &front->gateway, err);
}

enum ingot_status igt_front_start(struct igt_front **ret_front, struct ingot_error *err)
{
    struct igt_front *front = calloc(1, sizeof *front);
    if (!front)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    enum ingot_status status = start(front, err);
    if (status)
        igt_front_stop(front);
    else
        *ret_front = front;
    return status;
}

const char *igt_front_address(const struct igt_front *front)
{
    return igt_gateway_address(front->gateway);
}

void igt_front_stop(struct igt_front *front)
{
    if (!front)
        return;
    if (front->gateway)
        igt_gateway_close(front->gateway);
    igt_journal_stop(front->journal);
    igt_gateway_stop(front->gateway);
    igt_journal_destroy(front->journal);
    ingot_store_close(front->store);
    igt_config_destroy(front->config);
    free(front);
}
