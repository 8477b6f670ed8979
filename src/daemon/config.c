/*
 * The configuration as a whole: from the file and the environment to the
 * structs of config.h, and what the daemon asks of them.
 */
#include "config.h"

#include "config_keys.h"
#include "config_value.h"
#include "core/buffer.h"
#include "core/instant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHUTDOWN_US_DEFAULT (10 * IGT_SECOND_US)
#define LEASE_US_DEFAULT (15 * IGT_SECOND_US)

static enum ingot_status read_root(const char *name, struct ingot_bytes text,
                                   struct igt_config *config, struct ingot_error *err)
{
    const struct igt_yaml *root = NULL;
    struct igt_policy policy = igt_policy_default;
    struct igt_config_scope scope = {.file = name,
                                     .config = config,
                                     .err = err,
                                     .place = IGT_IN_FILE,
                                     .title = "the file",
                                     .policy = &policy};
    enum ingot_status status = igt_yaml_parse(name, text, config->arena, &root, err);
    return status ? status : igt_config_read_mapping(&scope, root);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *igt_config_store_default(void)
{
    const char *url = variable("POSTGRES_STORE_URL");
    return url ? url : "sqlite:ingot.db";
}

enum ingot_status igt_config_parse(const char *name, struct ingot_bytes text,
                                   struct igt_config **ret_config, struct ingot_error *err)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_config *config = arena ? igt_arena_alloc(arena, sizeof *config) : NULL;
    char *host = config ? igt_arena_alloc(arena, INET6_ADDRSTRLEN) : NULL;
    if (!host) {
        igt_arena_destroy(arena);
        return igt_config_no_memory(err);
    }
    config->arena = arena;
    config->store = igt_config_store_default();
    config->shutdown_us = SHUTDOWN_US_DEFAULT;
    config->lease_us = LEASE_US_DEFAULT;
    igt_config_listen(IGT_CONFIG_LISTEN_DEFAULT, host, &config->listen_port);
    config->listen_host = host;
    enum ingot_status status = read_root(name, text, config, err);
    if (status)
        igt_config_destroy(config);
    else
        *ret_config = config;
    return status;
}

void igt_config_destroy(struct igt_config *config)
{
    if (config)
        igt_arena_destroy(config->arena);
}

/* What is in a file; if it is too large, enough of it for the parser to refuse it. */
static enum ingot_status read_file(const char *path, struct igt_buffer *buffer,
                                   struct ingot_error *err)
{
    char part[4096];
    size_t len;
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOMEM)
        return igt_config_no_memory(err);
    if (!file && errno == ENOENT)
        return ingot_error_set(err, INGOT_NOT_FOUND,
                               "%s does not exist; write it, or name another configuration", path);
    if (!file)
        return ingot_error_set(err, errno == EACCES ? INGOT_DENIED : INGOT_IO,
                               "%s cannot be opened: %s", path, strerror(errno));
    while (buffer->len <= IGT_YAML_BYTES_MAX && (len = fread(part, 1, sizeof part, file)) > 0)
        igt_buffer_add(buffer, part, len);
    enum ingot_status status = INGOT_OK;
    if (ferror(file))
        status = ingot_error_set(err, INGOT_IO, "%s cannot be read: %s", path, strerror(errno));
    else if (buffer->failed)
        status = igt_config_no_memory(err);
    fclose(file);
    return status;
}

/* The value of a variable; an empty one counts as not set. */
static enum ingot_status apply_environment(struct igt_config *config, struct ingot_error *err)
{
    const char *store = variable("INGOT_STORE"), *listen = variable("INGOT_LISTEN");
    if (store) {
        config->store = igt_arena_copy(config->arena, ingot_bytes_of(store)).data;
        if (!config->store)
            return igt_config_no_memory(err);
    }
    if (listen) {
        char *host = igt_arena_alloc(config->arena, INET6_ADDRSTRLEN);
        if (!host)
            return igt_config_no_memory(err);
        if (!igt_config_listen(listen, host, &config->listen_port))
            return ingot_error_set(err, INGOT_INVALID,
                                   "INGOT_LISTEN must be a numeric address and a port, such as "
                                   "127.0.0.1:8080 or [::1]:8080");
        config->listen_host = host;
    }
    return INGOT_OK;
}

enum ingot_status igt_config_load(const char *path, struct igt_config **ret_config,
                                  struct ingot_error *err)
{
    struct igt_buffer text = {0};
    struct igt_config *config = NULL;
    enum ingot_status status = read_file(path, &text, err);
    if (!status)
        status = igt_config_parse(path, (struct ingot_bytes){text.data, text.len}, &config, err);
    if (!status)
        status = apply_environment(config, err);
    if (status)
        igt_config_destroy(config);
    else
        *ret_config = config;
    igt_buffer_fini(&text);
    return status;
}

enum ingot_status igt_config_routes(const struct igt_config *config, struct igt_routes *ret_routes)
{
    struct igt_route *routes =
        igt_arena_array(config->arena, config->destination_count, sizeof *routes);
    if (!routes)
        return INGOT_NOMEM;
    for (size_t i = 0; i < config->destination_count; i++) {
        const struct igt_config_destination *destination = &config->destinations[i];
        struct ingot_bytes *events =
            igt_arena_array(config->arena, destination->event_count, sizeof *events);
        if (!events)
            return INGOT_NOMEM;
        for (size_t j = 0; j < destination->event_count; j++)
            events[j] = destination->events[j].name;
        routes[i].destination = ingot_bytes_of(destination->name);
        routes[i].events = events;
        routes[i].event_count = destination->event_count;
    }
    ret_routes->routes = routes;
    ret_routes->route_count = config->destination_count;
    return INGOT_OK;
}

static int compare_with_event(const void *key, const void *member)
{
    const struct ingot_bytes *name = key;
    const struct igt_config_event *event = member;
    size_t len = name->len < event->name.len ? name->len : event->name.len;
    int order = memcmp(name->data, event->name.data, len);
    return order ? order : (name->len > event->name.len) - (name->len < event->name.len);
}

const struct igt_policy *igt_config_policy(const struct igt_config_destination *destination,
                                           struct ingot_bytes job_event)
{
    const struct igt_config_event *event = NULL;
    if (job_event.len && destination->event_count)
        event = bsearch(&job_event, destination->events, destination->event_count, sizeof *event,
                        compare_with_event);
    return event ? &event->policy : &destination->policy;
}
