/* The daemon's start and end; see daemon.h. */
#include "daemon.h"

#include "core/toolkit.h"
#include "delivery.h"
#include "gateway.h"
#include "journal.h"

#include <signal.h>

struct daemon {
    struct igt_config *config;
    const struct ingot_toolkit *toolkit;
    struct igt_routes routes;
    struct ingot_store *store;
    struct igt_delivery_loop *loop;
    struct igt_journal *journal;
    struct igt_gateway *gateway;
};

/* The end begins: nothing new is taken in while what runs is finished. */
static void close_gateway(void *context)
{
    struct daemon *daemon = context;
    igt_gateway_close(daemon->gateway);
}

static enum ingot_status publish_routes(struct daemon *daemon, struct ingot_error *err)
{
    struct igt_buffer text = {0};
    enum ingot_status status = igt_config_routes(daemon->config, &daemon->routes);
    if (!status)
        igt_routes_encode(&text, &daemon->routes);
    if (status || text.failed)
        status = ingot_error_set(err, INGOT_NOMEM, "daemon: memory ran out");
    else
        status = ingot_store_publish_routes(daemon->store, daemon->toolkit,
                                            (struct ingot_bytes){text.data, text.len}, err);
    igt_buffer_fini(&text);
    return status;
}

static enum ingot_status start(struct daemon *daemon, struct ingot_error *err)
{
    const struct igt_config *config = daemon->config;
    struct ingot_options options;
    struct ingot_ksuid_generator generator;
    ingot_ksuid owner;
    enum ingot_status status = ingot_options_from_url(config->store, &options, err);
    if (!status)
        status = ingot_store_open(&options, daemon->toolkit, &daemon->store, err);
    if (!status)
        status = publish_routes(daemon, err);
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate(&generator, daemon->toolkit, &owner);
    if (!status)
        status = igt_delivery_create(config, &owner, daemon->toolkit, &daemon->loop, err);
    if (!status)
        status = igt_delivery_recover(daemon->loop, daemon->store, err);
    const struct igt_journal_callbacks callbacks = {igt_delivery_take_results,
                                                    igt_delivery_take_failure, daemon->loop};
    if (!status)
        status =
            igt_journal_start(daemon->store, daemon->toolkit, &callbacks, &daemon->journal, err);
    if (!status)
        status = igt_gateway_start(config->listen_host, config->listen_port, &daemon->routes,
                                   daemon->journal, daemon->toolkit, &daemon->gateway, err);
    if (!status)
        status = ingot_store_announce(daemon->store, igt_gateway_address(daemon->gateway), err);
    return status;
}

enum ingot_status igt_daemon_run(struct igt_config *config, const struct ingot_toolkit *toolkit,
                                 struct ingot_error *err)
{
    struct daemon daemon = {.config = config, .toolkit = toolkit};
    signal(SIGPIPE, SIG_IGN);
    enum ingot_status status = start(&daemon, err);
    if (!status) {
        igt_log(toolkit, INGOT_INFO, "event=started address=%s store=%s destinations=%zu",
                igt_gateway_address(daemon.gateway), ingot_store_name(daemon.store),
                config->destination_count);
        status = igt_delivery_run(daemon.loop, daemon.journal, close_gateway, &daemon, err);
    }
    /* The journal first: it decides what the gateway still has to answer. */
    if (daemon.gateway)
        igt_gateway_close(daemon.gateway);
    igt_journal_stop(daemon.journal);
    igt_gateway_stop(daemon.gateway);
    igt_journal_destroy(daemon.journal);
    if (daemon.loop) {
        struct igt_scheduler_numbers numbers = igt_delivery_numbers(daemon.loop);
        igt_log(toolkit, INGOT_INFO,
                "event=ended succeeded=%llu failed=%llu discarded=%llu given_back=%llu live=%llu",
                (unsigned long long)numbers.succeeded, (unsigned long long)numbers.failed,
                (unsigned long long)numbers.discarded, (unsigned long long)numbers.given_back,
                (unsigned long long)numbers.live);
    }
    igt_delivery_destroy(daemon.loop);
    ingot_store_close(daemon.store);
    return status;
}
