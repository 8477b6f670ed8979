/* The daemon's start and end; see daemon.h. */
#include "daemon.h"

#include "core/toolkit.h"
#include "delivery.h"
#include "fetcher.h"
#include "follower.h"
#include "gateway.h"
#include "journal.h"
#include "keeper.h"
#include "pulse.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct igt_daemon {
    struct igt_config *config;
    enum igt_role role;
    const struct ingot_toolkit *toolkit;
    ingot_ksuid owner;
    struct igt_routes routes;
    struct ingot_store *store; /* the journal's */
    struct ingot_store *kept;  /* the keeper's, or NULL: the journal's */
    struct ingot_store *read;  /* the fetcher's, or NULL: the journal's */
    struct ingot_store *followed, *beaten;
    struct igt_delivery_loop *loop;
    struct igt_fetcher *fetcher;
    struct igt_journal *journal;
    struct igt_keeper *keeper;
    struct igt_follower *follower;
    struct igt_pulse *pulse;
    struct igt_gateway *gateway;
};

/*
 * What a large piece of memory is, which goes back to the system when it is freed.
 * Left alone, glibc learns from what it sees to keep up to 64 MB in each thread, and
 * a cold read would be remembered so for ever.
 */
#define LARGE_BYTES (4 << 20)

/* The end begins: nothing new is taken in while what runs is finished. */
static void close_gateway(void *context)
{
    struct igt_daemon *daemon = context;
    if (daemon->gateway)
        igt_gateway_close(daemon->gateway);
}

static enum ingot_status publish_routes(struct igt_daemon *daemon, struct ingot_error *err)
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

/* For handles at whose opening there is nothing to say that the first has not said. */
static void say_nothing(void *context, enum ingot_level level, const char *message)
{
    (void)context, (void)level, (void)message;
}

static enum ingot_status open_store(struct igt_daemon *daemon, enum ingot_mode mode,
                                    const struct ingot_toolkit *toolkit,
                                    struct ingot_store **ret_store, struct ingot_error *err)
{
    struct ingot_options options;
    enum ingot_status status = ingot_options_from_url(daemon->config->store, &options, err);
    if (status)
        return status;
    options.mode = mode;
    options.wake_connection = daemon->config->store_wake;
    options.wake_name = daemon->owner;
    return ingot_store_open(&options, toolkit, ret_store, err);
}

/* A handle for each thread, as far as the store can have several. */
static enum ingot_status open_stores(struct igt_daemon *daemon, struct ingot_error *err)
{
    struct ingot_toolkit quiet = *daemon->toolkit;
    quiet.log = say_nothing;
    enum ingot_status status =
        open_store(daemon, INGOT_MODE_WRITE, daemon->toolkit, &daemon->store, err);
    if (status)
        return status;
    enum ingot_handles handles = ingot_store_handles(daemon->store);
    if (handles != INGOT_HANDLES_ONE)
        status = open_store(daemon, INGOT_MODE_READ, &quiet, &daemon->read, err);
    if (!status && handles == INGOT_HANDLES_READERS)
        status = open_store(daemon, INGOT_MODE_READ, &quiet, &daemon->kept, err);
    if (!status && handles == INGOT_HANDLES_WRITERS) {
        status = open_store(daemon, INGOT_MODE_WRITE, &quiet, &daemon->kept, err);
        if (!status)
            status = open_store(daemon, INGOT_MODE_WRITE, &quiet, &daemon->beaten, err);
        if (!status && daemon->role != IGT_ROLE_GATEWAY)
            status = open_store(daemon, INGOT_MODE_WRITE, &quiet, &daemon->followed, err);
    }
    return status;
}

/* What `ingot status` shows of us; on the pulse's thread. */
static void describe(void *context, struct igt_buffer *about)
{
    struct igt_daemon *daemon = context;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    igt_buffer_add_format(about, ",\"pid\":%d,\"host\":", (int)getpid());
    igt_buffer_add_json_string(about, ingot_bytes_of(host));
    if (daemon->gateway)
        igt_buffer_add_format(about, ",\"address\":\"%s\"", igt_gateway_address(daemon->gateway));
    igt_delivery_describe(daemon->loop, about);
}

/* On the pulse's thread too. */
static void note_store(void *context, enum ingot_status status)
{
    struct igt_daemon *daemon = context;
    if (daemon->gateway)
        igt_gateway_note_store(daemon->gateway, status);
}

static enum ingot_status start_threads(struct igt_daemon *daemon, struct ingot_error *err)
{
    const struct igt_config *config = daemon->config;
    const struct igt_journal_callbacks delivery = {igt_delivery_take_stored,
                                                   igt_delivery_take_results,
                                                   igt_delivery_take_failure, daemon->loop};
    const struct igt_news_desk desk = {igt_delivery_take_news, igt_delivery_known, daemon->loop};
    const struct igt_pulse_config pulse = {
        .process = daemon->owner,
        .role = daemon->role,
        .lease_us = config->lease_us,
        .describe = describe,
        .looked = note_store,
        .context = daemon,
    };
    /* A handle that only reads leaves the writing of checkpoints to the journal's. */
    struct ingot_store *reader = daemon->kept ? daemon->kept : daemon->store;
    struct ingot_store *writer = daemon->beaten ? reader : daemon->store;
    enum ingot_status status =
        igt_fetcher_start(daemon->read ? daemon->read : daemon->store,
                          daemon->role == IGT_ROLE_GATEWAY ? IGT_KEEPING_NONE : IGT_KEEPING_RECENT,
                          daemon->toolkit, &delivery, &daemon->fetcher, err);
    const struct igt_journal_callbacks fetcher = {igt_fetcher_take_stored, igt_fetcher_take_results,
                                                  igt_fetcher_take_failure, daemon->fetcher};
    const struct igt_claimer claimer = {igt_delivery_claim, igt_delivery_unclaim, daemon->loop,
                                        daemon->owner};
    if (!status)
        status = igt_journal_start(daemon->store, daemon->toolkit, &fetcher, &claimer,
                                   &daemon->journal, err);
    if (!status)
        status = igt_keeper_start(reader, writer, daemon->fetcher,
                                  daemon->role == IGT_ROLE_GATEWAY ? IGT_SWEEPS_OFF : IGT_SWEEPS_ON,
                                  daemon->toolkit, &desk, &daemon->keeper, err);
    if (!status && daemon->role != IGT_ROLE_SCHEDULER)
        status = igt_gateway_start(config->listen_host, config->listen_port, &daemon->routes,
                                   daemon->journal, daemon->toolkit, &daemon->gateway, err);
    if (!status && daemon->gateway)
        status = ingot_store_announce(daemon->store, igt_gateway_address(daemon->gateway), err);
    if (!status && daemon->followed)
        status =
            igt_follower_start(daemon->followed, daemon->toolkit, &desk, &daemon->follower, err);
    if (!status && daemon->beaten)
        status =
            igt_pulse_start(daemon->beaten, daemon->toolkit, &pulse, &desk, &daemon->pulse, err);
    return status;
}

static enum ingot_status start(struct igt_daemon *daemon, struct ingot_error *err)
{
    struct ingot_ksuid_generator generator;
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate(&generator, daemon->toolkit, &daemon->owner);
    enum ingot_status status = open_stores(daemon, err);
    if (!status)
        status = publish_routes(daemon, err);
    if (status)
        return status;
    enum igt_company company = daemon->role == IGT_ROLE_GATEWAY ? IGT_ELSEWHERE
                               : daemon->beaten                 ? IGT_AMONG
                                                                : IGT_ALONE;
    status = igt_delivery_create(daemon->config, company, &daemon->owner, daemon->toolkit,
                                 &daemon->loop, err);
    return status ? status : start_threads(daemon, err);
}

static void log_end(struct igt_daemon *daemon)
{
    struct igt_scheduler_numbers numbers = igt_delivery_numbers(daemon->loop);
    igt_log(daemon->toolkit, INGOT_INFO,
            "event=ended succeeded=%llu failed=%llu discarded=%llu given_back=%llu live=%llu "
            "claims_lost=%llu outcomes_lost=%llu taken_over=%llu",
            (unsigned long long)numbers.succeeded, (unsigned long long)numbers.failed,
            (unsigned long long)numbers.discarded, (unsigned long long)numbers.given_back,
            (unsigned long long)numbers.live, (unsigned long long)numbers.claims_lost,
            (unsigned long long)numbers.outcomes_lost, (unsigned long long)numbers.taken_over);
}

enum ingot_status igt_daemon_start(struct igt_config *config, enum igt_role role,
                                   const struct ingot_toolkit *toolkit,
                                   struct igt_daemon **ret_daemon, struct ingot_error *err)
{
    struct igt_daemon *daemon = calloc(1, sizeof *daemon);
    if (!daemon)
        return ingot_error_set(err, INGOT_NOMEM, "daemon: memory ran out");
    daemon->config = config;
    daemon->role = role;
    daemon->toolkit = toolkit;
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
    enum ingot_status status = start(daemon, err);
    if (status) {
        igt_daemon_stop(daemon);
        return status;
    }
    *ret_daemon = daemon;
    return INGOT_OK;
}

enum ingot_status igt_daemon_run(struct igt_daemon *daemon, struct ingot_error *err)
{
    igt_log(daemon->toolkit, INGOT_INFO, "event=started address=%s store=%s destinations=%zu",
            daemon->gateway ? igt_gateway_address(daemon->gateway) : "none",
            ingot_store_name(daemon->store), daemon->config->destination_count);
    return igt_delivery_run(daemon->loop, daemon->journal, daemon->fetcher, daemon->keeper,
                            close_gateway, daemon, err);
}

void igt_daemon_end(struct igt_daemon *daemon)
{
    igt_delivery_end(daemon->loop);
}

struct igt_journal *igt_daemon_journal(struct igt_daemon *daemon)
{
    return daemon->journal;
}

const char *igt_daemon_address(const struct igt_daemon *daemon)
{
    return daemon->gateway ? igt_gateway_address(daemon->gateway) : NULL;
}

struct igt_scheduler_numbers igt_daemon_numbers(struct igt_daemon *daemon)
{
    return igt_delivery_numbers(daemon->loop);
}

void igt_daemon_stop(struct igt_daemon *daemon)
{
    if (!daemon)
        return;
    close_gateway(daemon);
    igt_follower_stop(daemon->follower);
    igt_keeper_stop(daemon->keeper);
    /* The journal before the gateway: it decides what that still has to answer. */
    igt_journal_stop(daemon->journal);
    igt_fetcher_stop(daemon->fetcher);
    /* Only now is everything stored that is ours: others may take our lanes. */
    igt_pulse_stop(daemon->pulse);
    igt_gateway_stop(daemon->gateway);
    igt_journal_destroy(daemon->journal);
    if (daemon->loop)
        log_end(daemon);
    igt_delivery_destroy(daemon->loop);
    ingot_store_close(daemon->beaten);
    ingot_store_close(daemon->followed);
    ingot_store_close(daemon->kept);
    ingot_store_close(daemon->read);
    ingot_store_close(daemon->store);
    free(daemon);
}
