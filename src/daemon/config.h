/*
 * The configuration: YAML, and so also JSON. Every key is checked; the first
 * mistake is reported with file, line and column, and never with a value that
 * could be a secret. INGOT_STORE and INGOT_LISTEN override the file;
 * POSTGRES_STORE_URL is the store if neither names one (SEED row 46).
 * docs/configuration.md lists the keys.
 */
#ifndef INGOT_DAEMON_CONFIG_H
#define INGOT_DAEMON_CONFIG_H

#include "core/arena.h"
#include "core/policy.h"
#include "core/routes.h"
#include "destinations/destination.h"

/* One event that a destination takes. */
struct igt_config_event {
    struct ingot_bytes name;  /* or "*" */
    struct igt_policy policy; /* key by key: its own, else the destination's, else the default */
};

enum igt_destination_kind {
    IGT_KIND_HTTP,
    IGT_KIND_COMMAND,
    IGT_KIND_INSIDE /* of a program that runs a daemon in itself; no file can say it */
};

struct igt_config_destination {
    const char *name;
    enum igt_destination_kind kind;
    struct igt_http_config http;
    struct igt_command_config command;
    struct igt_inside_config inside;
    uint32_t concurrency;            /* attempts at the same time, 1 to IGT_CONCURRENCY_MAX */
    struct igt_policy policy;        /* for jobs whose event is no longer listed */
    struct igt_config_event *events; /* ascending by name */
    size_t event_count;
};

enum igt_role {
    IGT_ROLE_BOTH,     /* ingot serve */
    IGT_ROLE_GATEWAY,  /* takes events in, works no lane */
    IGT_ROLE_SCHEDULER /* delivers, takes nothing in */
};

struct igt_config {
    const char *store;      /* URL */
    const char *store_wake; /* for struct ingot_options, or NULL */
    int64_t lease_us; /* of several processes: the silence after which one is taken for dead */
    const char *listen_host;                     /* numeric address */
    uint16_t listen_port;                        /* 0: any free one */
    int64_t shutdown_us;                         /* how long SIGTERM waits for what runs */
    struct igt_config_destination *destinations; /* ascending by name */
    size_t destination_count;
    struct igt_arena *arena; /* holds everything above */
};

/* The store if nobody names one: $POSTGRES_STORE_URL, else a file in this folder. */
const char *igt_config_store_default(void);

#define IGT_CONFIG_LISTEN_DEFAULT "127.0.0.1:8080"

/*
 * Reads a file and the environment. INGOT_NOT_FOUND if there is no file;
 * INGOT_INVALID names file:line:column (or the variable), what, and what to write.
 */
enum ingot_status igt_config_load(const char *path, struct igt_config **ret_config,
                                  struct ingot_error *err);

/* The same for a text, without the environment; name stands for the path in errors. */
enum ingot_status igt_config_parse(const char *name, struct ingot_bytes text,
                                   struct igt_config **ret_config, struct ingot_error *err);
void igt_config_destroy(struct igt_config *config);

/* The routes that follow from the destinations, in the configuration's arena. INGOT_NOMEM or OK. */
enum ingot_status igt_config_routes(const struct igt_config *config, struct igt_routes *ret_routes);

/* The policy for a job of that event, "*" or a name; the destination's own if it is not listed. */
const struct igt_policy *igt_config_policy(const struct igt_config_destination *destination,
                                           struct ingot_bytes job_event);

#endif
