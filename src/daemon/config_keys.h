/*
 * Reading a mapping whose keys are known: which key may stand where, what
 * shape its value has, and who reads it. config_fields.c has the table.
 */
#ifndef INGOT_DAEMON_CONFIG_KEYS_H
#define INGOT_DAEMON_CONFIG_KEYS_H

#include "config.h"
#include "config_yaml.h"

/* Where a key may stand. */
enum igt_config_place {
    IGT_IN_FILE = 1,
    IGT_IN_HTTP = 2,
    IGT_IN_COMMAND = 4,
    IGT_IN_DEFAULTS = 8,
    IGT_IN_EVENT = 16,
    IGT_IN_DESTINATION = IGT_IN_HTTP | IGT_IN_COMMAND,
    IGT_IN_SCHEDULED = IGT_IN_DESTINATION | IGT_IN_DEFAULTS | IGT_IN_EVENT
};

/* What a key's value must be. */
enum igt_config_shape { IGT_ONE_VALUE, IGT_LIST, IGT_MAPPING, IGT_LIST_OR_MAPPING };

/* The mapping that is being read, and what it fills. */
struct igt_config_scope {
    const char *file;
    struct igt_config *config;
    struct ingot_error *err;
    unsigned place;  /* bits of enum igt_config_place */
    char title[160]; /* how errors call it */
    struct igt_config_destination *destination;
    struct igt_policy *policy;
};

typedef enum ingot_status igt_config_read_fn(const struct igt_config_scope *scope,
                                             const struct igt_yaml *entry);

struct igt_config_field {
    const char *name;
    unsigned places;
    unsigned required; /* places that cannot do without it */
    enum igt_config_shape shape;
    igt_config_read_fn *read;
};

/* All keys, in the order in which they are read: what others build upon comes first. */
extern const struct igt_config_field igt_config_fields[];
extern const size_t igt_config_field_count;

/* Checks the keys of a mapping and reads their values; nothing counts as a mapping without keys. */
enum ingot_status igt_config_read_mapping(const struct igt_config_scope *scope,
                                          const struct igt_yaml *mapping);

/* The two halves of it, for a destination, whose kind must be known in between. */
enum ingot_status igt_config_check_keys(const struct igt_config_scope *scope,
                                        const struct igt_yaml *mapping);
enum ingot_status igt_config_read_fields(const struct igt_config_scope *scope,
                                         const struct igt_yaml *mapping);

/* The entry of that key, or NULL. */
const struct igt_yaml *igt_config_find(const struct igt_yaml *mapping, const char *key);

/* Refuses an entry: "<key>" in <title> <what is wrong>. at is the entry, or what is in it. */
enum ingot_status igt_config_refuse(const struct igt_config_scope *scope,
                                    const struct igt_yaml *entry, const struct igt_yaml *at,
                                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Sets INGOT_NOMEM and returns it. */
enum ingot_status igt_config_no_memory(struct ingot_error *err);

#endif
