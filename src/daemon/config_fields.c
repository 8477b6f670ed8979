/* Who reads the value of each key of the configuration; see config_keys.h. */
#include "config_keys.h"
#include "config_value.h"
#include "core/instant.h"
#include "core/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES_SHOWN 48u
#define HEADERS_MAX 64u
#define BACKOFF_MAX 1000.0
#define SHUTDOWN_US_MAX IGT_HOUR_US
#define LEASE_US_MIN IGT_SECOND_US
#define LEASE_US_MAX IGT_HOUR_US
#define INTERVAL_US_MAX (365 * IGT_DAY_US)
#define CONCURRENCY_DEFAULT 8u
#define TIMEOUT_US_DEFAULT (30 * IGT_SECOND_US)

/* How much of a name a title shows; a character of UTF-8 is not cut. */
static int shown_len(const char *name)
{
    size_t len = strlen(name);
    if (len > NAME_BYTES_SHOWN) {
        len = NAME_BYTES_SHOWN;
        while (((unsigned char)name[len] & 0xc0) == 0x80)
            len--;
    }
    return (int)len;
}

/* Checks the name of a destination or event; they stand in rows, logs and environments. */
static enum ingot_status check_name(const struct igt_config_scope *scope,
                                    const struct igt_yaml *name, const char *thing)
{
    if (name->kind != IGT_YAML_SCALAR || !*name->text)
        return igt_yaml_fail(scope->file, name, scope->err,
                             "%s's name in %s must be a text; quote it if it looks like null",
                             thing, scope->title);
    size_t len = strlen(name->text);
    if (len > IGT_NAME_BYTES_MAX)
        return igt_yaml_fail(scope->file, name, scope->err,
                             "%s's name in %s has %zu bytes; at most %d are allowed", thing,
                             scope->title, len, IGT_NAME_BYTES_MAX);
    if (igt_config_has_control(name->text))
        return igt_yaml_fail(scope->file, name, scope->err,
                             "%s's name in %s holds a control character; remove it", thing,
                             scope->title);
    return INGOT_OK;
}

/* ---- single values ------------------------------------------------------- */

/* Returns 0 if the text is no whole number in the range. */
static int parse_whole(const char *text, uint32_t min, uint32_t max, uint32_t *ret_number)
{
    double number = 0;
    if (!igt_config_number(text, &number) || number < min || number > max ||
        number > (double)(uint32_t)number)
        return 0;
    *ret_number = (uint32_t)number;
    return 1;
}

static enum ingot_status read_number(const struct igt_config_scope *scope,
                                     const struct igt_yaml *entry, double min, double max,
                                     double *ret_number)
{
    double number = 0;
    if (!igt_config_number(entry->text, &number) || number < min || number > max)
        return igt_config_refuse(scope, entry, entry, "must be a number from %g to %g", min, max);
    *ret_number = number;
    return INGOT_OK;
}

/* range names min and max in words. */
static enum ingot_status read_duration(const struct igt_config_scope *scope,
                                       const struct igt_yaml *entry, int64_t min_us, int64_t max_us,
                                       const char *range, int64_t *ret_us)
{
    int64_t us = 0;
    if (igt_duration_parse(ingot_bytes_of(entry->text), &us, NULL) || us < min_us || us > max_us)
        return igt_config_refuse(scope, entry, entry, "must be a duration %s, such as 30s or 1h30m",
                                 range);
    *ret_us = us;
    return INGOT_OK;
}

/* ---- keys of the file ---------------------------------------------------- */

static enum ingot_status read_store(const struct igt_config_scope *scope,
                                    const struct igt_yaml *entry)
{
    struct ingot_options options;
    if (igt_config_has_control(entry->text) ||
        ingot_options_from_url(entry->text, &options, NULL) != INGOT_OK)
        return igt_config_refuse(scope, entry, entry,
                                 "must be a store's URL: sqlite:PATH, postgres://… or memory:");
    scope->config->store = entry->text;
    return INGOT_OK;
}

static enum ingot_status read_listen(const struct igt_config_scope *scope,
                                     const struct igt_yaml *entry)
{
    char *host = igt_arena_alloc(scope->config->arena, INET6_ADDRSTRLEN);
    if (!host)
        return igt_config_no_memory(scope->err);
    if (!igt_config_listen(entry->text, host, &scope->config->listen_port))
        return igt_config_refuse(
            scope, entry, entry,
            "must be a numeric address and a port, such as 127.0.0.1:8080 or [::1]:8080");
    scope->config->listen_host = host;
    return INGOT_OK;
}

static enum ingot_status read_store_wake(const struct igt_config_scope *scope,
                                         const struct igt_yaml *entry)
{
    if (igt_config_has_control(entry->text))
        return igt_config_refuse(scope, entry, entry, "must be a store's URL, or off");
    scope->config->store_wake = entry->text;
    return INGOT_OK;
}

static enum ingot_status read_lease(const struct igt_config_scope *scope,
                                    const struct igt_yaml *entry)
{
    return read_duration(scope, entry, LEASE_US_MIN, LEASE_US_MAX, "from 1s to 1h",
                         &scope->config->lease_us);
}

static enum ingot_status read_shutdown(const struct igt_config_scope *scope,
                                       const struct igt_yaml *entry)
{
    return read_duration(scope, entry, 0, SHUTDOWN_US_MAX, "from 0s to 1h",
                         &scope->config->shutdown_us);
}

static enum ingot_status read_defaults(const struct igt_config_scope *scope,
                                       const struct igt_yaml *entry)
{
    struct igt_config_scope inner = *scope;
    inner.place = IGT_IN_DEFAULTS;
    snprintf(inner.title, sizeof inner.title, "\"defaults\"");
    return igt_config_read_mapping(&inner, entry);
}

/* ---- keys of a schedule -------------------------------------------------- */

static enum ingot_status read_schedule(const struct igt_config_scope *scope,
                                       const struct igt_yaml *entry)
{
    struct ingot_error why = {0};
    enum ingot_status status =
        igt_schedule_parse(ingot_bytes_of(entry->text), &scope->policy->schedule, &why);
    if (status == INGOT_NOMEM)
        return igt_config_no_memory(scope->err);
    if (status)
        return igt_config_refuse(scope, entry, entry, "is no schedule: %s", why.message);
    return INGOT_OK;
}

static enum ingot_status read_retries(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry)
{
    if (!strcmp(entry->text, "none"))
        scope->policy->retries_max = 0;
    else if (!parse_whole(entry->text, 0, IGT_RETRIES_MAX, &scope->policy->retries_max))
        return igt_config_refuse(scope, entry, entry, "must be none or a whole number from 0 to %u",
                                 IGT_RETRIES_MAX);
    return INGOT_OK;
}

static enum ingot_status read_backoff(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry)
{
    return read_number(scope, entry, 1, BACKOFF_MAX, &scope->policy->backoff);
}

static enum ingot_status read_max_interval(const struct igt_config_scope *scope,
                                           const struct igt_yaml *entry)
{
    return read_duration(scope, entry, IGT_SECOND_US / 1000, INTERVAL_US_MAX, "from 1ms to 365d",
                         &scope->policy->interval_us_max);
}

static enum ingot_status read_jitter(const struct igt_config_scope *scope,
                                     const struct igt_yaml *entry)
{
    return read_number(scope, entry, 0, 1, &scope->policy->jitter);
}

static enum ingot_status read_realtime(const struct igt_config_scope *scope,
                                       const struct igt_yaml *entry)
{
    if (!strcmp(entry->text, "true"))
        scope->policy->first = IGT_FIRST_AT_ONCE;
    else if (!strcmp(entry->text, "false"))
        scope->policy->first = IGT_FIRST_ON_SCHEDULE;
    else
        return igt_config_refuse(scope, entry, entry, "must be true or false");
    return INGOT_OK;
}

/* ---- keys of a destination ----------------------------------------------- */

static enum ingot_status read_url(const struct igt_config_scope *scope,
                                  const struct igt_yaml *entry)
{
    const char *problem = igt_config_url_problem(entry->text);
    if (problem)
        return igt_config_refuse(scope, entry, entry, "%s", problem);
    scope->destination->http.url = entry->text;
    return INGOT_OK;
}

/* "name: value" or "name=value" */
static const char *join(struct igt_arena *arena, const char *name, const char *between,
                        const char *value)
{
    size_t size = strlen(name) + strlen(between) + strlen(value) + 1;
    char *text = igt_arena_alloc(arena, size);
    if (text)
        snprintf(text, size, "%s%s%s", name, between, value);
    return text;
}

/* Header names are case-insensitive, so that the keys of YAML differ is not enough. */
static int is_repeated(const struct igt_yaml *headers, const struct igt_yaml *header)
{
    for (const struct igt_yaml *other = headers->first; other != header; other = other->next)
        if (!strcasecmp(other->key->text, header->key->text))
            return 1;
    return 0;
}

static enum ingot_status check_header(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry, const struct igt_yaml *header)
{
    const struct igt_yaml *name = header->key;
    if (!igt_config_is_header_name(name->text))
        return igt_config_refuse(scope, entry, name, "has a name that no header can have");
    if (igt_config_is_own_header(name->text))
        return igt_config_refuse(scope, entry, name,
                                 "sets %.40s, which Ingot sets itself; remove it", name->text);
    if (is_repeated(entry, header))
        return igt_config_refuse(scope, entry, name,
                                 "has a header twice; case does not count in their names");
    if (header->kind != IGT_YAML_SCALAR || !header->text[strspn(header->text, " ")])
        return igt_config_refuse(scope, entry, header,
                                 "has a header without a value; write one or remove it");
    if (igt_config_has_control(header->text))
        return igt_config_refuse(scope, entry, header,
                                 "has a value with a control character; remove it");
    return INGOT_OK;
}

static enum ingot_status read_headers(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry)
{
    struct igt_arena *arena = scope->config->arena;
    size_t count = 0;
    if (entry->count > HEADERS_MAX)
        return igt_config_refuse(scope, entry, entry, "has more than %u headers", HEADERS_MAX);
    const char **headers = igt_arena_array(arena, entry->count, sizeof *headers);
    if (!headers)
        return igt_config_no_memory(scope->err);
    for (const struct igt_yaml *header = entry->first; header; header = header->next) {
        enum ingot_status status = check_header(scope, entry, header);
        if (status)
            return status;
        headers[count] = join(arena, header->key->text, ": ", header->text);
        if (!headers[count++])
            return igt_config_no_memory(scope->err);
    }
    scope->destination->http.headers = headers;
    scope->destination->http.header_count = count;
    return INGOT_OK;
}

static enum ingot_status read_addresses(const struct igt_config_scope *scope,
                                        const struct igt_yaml *entry)
{
    if (!strcmp(entry->text, "public"))
        scope->destination->http.addresses = IGT_ADDRESSES_PUBLIC;
    else if (!strcmp(entry->text, "any"))
        scope->destination->http.addresses = IGT_ADDRESSES_ANY;
    else
        return igt_config_refuse(scope, entry, entry, "must be public or any");
    return INGOT_OK;
}

static enum ingot_status read_command(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry)
{
    size_t count = 0;
    const struct igt_yaml *program = entry->first;
    if (!program || !program->text || program->text[0] != '/')
        return igt_config_refuse(scope, entry, program ? program : entry,
                                 "must begin with the absolute path of a program");
    const char **argv = igt_arena_array(scope->config->arena, entry->count + 1, sizeof *argv);
    if (!argv)
        return igt_config_no_memory(scope->err);
    for (const struct igt_yaml *argument = program; argument; argument = argument->next) {
        if (argument->kind != IGT_YAML_SCALAR)
            return igt_config_refuse(scope, entry, argument,
                                     "may hold only texts; quote what is empty or null");
        argv[count++] = argument->text;
    }
    scope->destination->command.argv = argv;
    return INGOT_OK;
}

static enum ingot_status read_env(const struct igt_config_scope *scope,
                                  const struct igt_yaml *entry)
{
    size_t count = 0;
    const char **env = igt_arena_array(scope->config->arena, entry->count + 1, sizeof *env);
    if (!env)
        return igt_config_no_memory(scope->err);
    for (const struct igt_yaml *variable = entry->first; variable; variable = variable->next) {
        const char *name = variable->key->text;
        if (!igt_config_is_variable_name(name))
            return igt_config_refuse(scope, entry, variable->key,
                                     "has a name that no variable can have");
        if (!strncmp(name, "INGOT_", strlen("INGOT_")))
            return igt_config_refuse(scope, entry, variable->key,
                                     "sets a variable INGOT_*, which only Ingot sets; rename it");
        if (variable->kind != IGT_YAML_SCALAR)
            return igt_config_refuse(scope, entry, variable,
                                     "may hold only texts; quote what is empty or null");
        env[count] = join(scope->config->arena, name, "=", variable->text);
        if (!env[count++])
            return igt_config_no_memory(scope->err);
    }
    scope->destination->command.env = env;
    return INGOT_OK;
}

static enum ingot_status read_timeout(const struct igt_config_scope *scope,
                                      const struct igt_yaml *entry)
{
    int64_t us = 0;
    enum ingot_status status = read_duration(scope, entry, IGT_SECOND_US / 1000, IGT_TIMEOUT_US_MAX,
                                             "from 1ms to 24h", &us);
    if (!status)
        scope->destination->http.timeout_us = scope->destination->command.timeout_us = us;
    return status;
}

static enum ingot_status read_concurrency(const struct igt_config_scope *scope,
                                          const struct igt_yaml *entry)
{
    if (!parse_whole(entry->text, 1, IGT_CONCURRENCY_MAX, &scope->destination->concurrency))
        return igt_config_refuse(scope, entry, entry, "must be a whole number from 1 to %u",
                                 IGT_CONCURRENCY_MAX);
    return INGOT_OK;
}

/* ---- events and destinations --------------------------------------------- */

/* node is an entry of a mapping, or of a list when only the name is given. */
static enum ingot_status read_event(const struct igt_config_scope *scope,
                                    const struct igt_yaml *node, struct igt_config_event *event)
{
    const struct igt_yaml *name = node->key ? node->key : node;
    struct igt_config_scope inner = *scope;
    enum ingot_status status = check_name(scope, name, "an event");
    if (status)
        return status;
    event->name = ingot_bytes_of(name->text);
    event->policy = scope->destination->policy;
    if (!node->key)
        return INGOT_OK;
    inner.place = IGT_IN_EVENT;
    inner.policy = &event->policy;
    snprintf(inner.title, sizeof inner.title, "event \"%.*s\" of destination \"%.*s\"",
             shown_len(name->text), name->text, shown_len(scope->destination->name),
             scope->destination->name);
    return igt_config_read_mapping(&inner, node);
}

static int compare_events(const void *left, const void *right)
{
    const struct igt_config_event *a = left, *b = right;
    return strcmp(a->name.data, b->name.data);
}

static enum ingot_status read_events(const struct igt_config_scope *scope,
                                     const struct igt_yaml *entry)
{
    struct igt_config_destination *destination = scope->destination;
    struct igt_arena *arena = scope->config->arena;
    enum ingot_status status = igt_yaml_refuse_duplicates(scope->file, entry, arena, scope->err);
    if (status)
        return status;
    destination->events = igt_arena_array(arena, entry->count, sizeof *destination->events);
    if (!destination->events)
        return igt_config_no_memory(scope->err);
    for (const struct igt_yaml *node = entry->first; node; node = node->next) {
        status = read_event(scope, node, &destination->events[destination->event_count++]);
        if (status)
            return status;
    }
    if (destination->event_count > 1)
        qsort(destination->events, destination->event_count, sizeof *destination->events,
              compare_events);
    return INGOT_OK;
}

/* Finds out the kind before all else, because it says which keys there can be. */
static enum ingot_status read_kind(struct igt_config_scope *scope, const struct igt_yaml *node)
{
    const struct igt_yaml *kind = igt_config_find(node, "kind");
    if (!kind)
        return igt_yaml_fail(scope->file, node, scope->err, "%s needs \"kind\", http or command",
                             scope->title);
    if (kind->kind == IGT_YAML_SCALAR && !strcmp(kind->text, "http")) {
        scope->destination->kind = IGT_KIND_HTTP;
        scope->place = IGT_IN_HTTP;
    } else if (kind->kind == IGT_YAML_SCALAR && !strcmp(kind->text, "command")) {
        scope->destination->kind = IGT_KIND_COMMAND;
        scope->place = IGT_IN_COMMAND;
    } else {
        return igt_config_refuse(scope, kind, kind, "must be http or command");
    }
    return INGOT_OK;
}

static enum ingot_status read_destination(const struct igt_config_scope *scope,
                                          const struct igt_yaml *node,
                                          struct igt_config_destination *destination)
{
    static const char *const no_env[] = {NULL};
    struct igt_config_scope inner = *scope;
    enum ingot_status status = check_name(scope, node->key, "a destination");
    if (status)
        return status;
    if (!strcmp(node->key->text, "*"))
        return igt_yaml_fail(scope->file, node->key, scope->err,
                             "a destination cannot be called \"*\"; give it a name");
    destination->name = node->key->text;
    destination->policy = *scope->policy;
    destination->concurrency = CONCURRENCY_DEFAULT;
    destination->http.timeout_us = destination->command.timeout_us = TIMEOUT_US_DEFAULT;
    destination->command.env = no_env;
    inner.place = IGT_IN_DESTINATION;
    inner.destination = destination;
    inner.policy = &destination->policy;
    snprintf(inner.title, sizeof inner.title, "destination \"%.*s\"", shown_len(destination->name),
             destination->name);
    status = igt_config_check_keys(&inner, node);
    if (!status)
        status = read_kind(&inner, node);
    return status ? status : igt_config_read_fields(&inner, node);
}

static int compare_destinations(const void *left, const void *right)
{
    const struct igt_config_destination *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static enum ingot_status read_destinations(const struct igt_config_scope *scope,
                                           const struct igt_yaml *entry)
{
    struct igt_config *config = scope->config;
    if (entry->count > IGT_DESTINATIONS_MAX)
        return igt_config_refuse(scope, entry, entry, "may hold at most %u destinations",
                                 IGT_DESTINATIONS_MAX);
    config->destinations =
        igt_arena_array(config->arena, entry->count, sizeof *config->destinations);
    if (!config->destinations)
        return igt_config_no_memory(scope->err);
    for (const struct igt_yaml *node = entry->first; node; node = node->next) {
        enum ingot_status status =
            read_destination(scope, node, &config->destinations[config->destination_count++]);
        if (status)
            return status;
    }
    if (config->destination_count > 1)
        qsort(config->destinations, config->destination_count, sizeof *config->destinations,
              compare_destinations);
    return INGOT_OK;
}

/* ---- the keys ------------------------------------------------------------ */

/* The kind has no reader: it is read before all else, by read_kind(). */
const struct igt_config_field igt_config_fields[] = {
    {"store", IGT_IN_FILE, 0, IGT_ONE_VALUE, read_store},
    {"store_wake", IGT_IN_FILE, 0, IGT_ONE_VALUE, read_store_wake},
    {"lease", IGT_IN_FILE, 0, IGT_ONE_VALUE, read_lease},
    {"listen", IGT_IN_FILE, 0, IGT_ONE_VALUE, read_listen},
    {"shutdown", IGT_IN_FILE, 0, IGT_ONE_VALUE, read_shutdown},
    {"defaults", IGT_IN_FILE, 0, IGT_MAPPING, read_defaults},
    {"destinations", IGT_IN_FILE, 0, IGT_MAPPING, read_destinations},
    {"kind", IGT_IN_DESTINATION, IGT_IN_DESTINATION, IGT_ONE_VALUE, NULL},
    {"url", IGT_IN_HTTP, IGT_IN_HTTP, IGT_ONE_VALUE, read_url},
    {"headers", IGT_IN_HTTP, 0, IGT_MAPPING, read_headers},
    {"addresses", IGT_IN_HTTP, 0, IGT_ONE_VALUE, read_addresses},
    {"command", IGT_IN_COMMAND, IGT_IN_COMMAND, IGT_LIST, read_command},
    {"env", IGT_IN_COMMAND, 0, IGT_MAPPING, read_env},
    {"timeout", IGT_IN_DESTINATION, 0, IGT_ONE_VALUE, read_timeout},
    {"concurrency", IGT_IN_DESTINATION, 0, IGT_ONE_VALUE, read_concurrency},
    {"schedule", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_schedule},
    {"retries", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_retries},
    {"backoff", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_backoff},
    {"max_interval", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_max_interval},
    {"jitter", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_jitter},
    {"realtime", IGT_IN_SCHEDULED, 0, IGT_ONE_VALUE, read_realtime},
    {"events", IGT_IN_DESTINATION, IGT_IN_DESTINATION, IGT_LIST_OR_MAPPING, read_events},
};

const size_t igt_config_field_count = sizeof igt_config_fields / sizeof *igt_config_fields;
