/* Reads mappings by the table of keys; see config_keys.h. */
#include "config_keys.h"

#include "config_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum ingot_status igt_config_no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM,
                           "no memory for the configuration; free some and try again");
}

enum ingot_status igt_config_refuse(const struct igt_config_scope *scope,
                                    const struct igt_yaml *entry, const struct igt_yaml *at,
                                    const char *format, ...)
{
    char problem[sizeof scope->err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    return igt_yaml_fail(scope->file, at, scope->err, "\"%s\" in %s %s", entry->key->text,
                         scope->title, problem);
}

const struct igt_yaml *igt_config_find(const struct igt_yaml *mapping, const char *key)
{
    const struct igt_yaml *entry = mapping->first;
    while (entry && strcmp(entry->key->text, key))
        entry = entry->next;
    return entry;
}

static const struct igt_config_field *find_field(const char *name, unsigned places)
{
    for (size_t i = 0; i < igt_config_field_count; i++)
        if ((igt_config_fields[i].places & places) && !strcmp(igt_config_fields[i].name, name))
            return &igt_config_fields[i];
    return NULL;
}

/* The key that was probably meant, or NULL. */
static const char *suggest(const char *name, unsigned places)
{
    size_t least = strlen(name) > 3 ? 3 : 2;
    const char *suggestion = NULL;
    for (size_t i = 0; i < igt_config_field_count; i++) {
        size_t distance = igt_config_distance(name, igt_config_fields[i].name);
        if ((igt_config_fields[i].places & places) && distance < least) {
            least = distance;
            suggestion = igt_config_fields[i].name;
        }
    }
    return suggestion;
}

static enum ingot_status refuse_key(const struct igt_config_scope *scope,
                                    const struct igt_yaml *key)
{
    const char *quote = "\"", *shown = key->text, *suggestion = suggest(key->text, scope->place);
    char keys[200] = "";
    if (!igt_yaml_is_word(key->text))
        quote = shown = "";
    if (suggestion)
        return igt_yaml_fail(scope->file, key, scope->err,
                             "unknown key %s%s%s in %s; did you mean \"%s\"?", quote, shown, quote,
                             scope->title, suggestion);
    for (size_t i = 0, len = 0; i < igt_config_field_count && len < sizeof keys; i++)
        if (igt_config_fields[i].places & scope->place)
            len += (size_t)snprintf(keys + len, sizeof keys - len, "%s%s", len ? ", " : "",
                                    igt_config_fields[i].name);
    return igt_yaml_fail(scope->file, key, scope->err, "unknown key %s%s%s in %s; there are %s",
                         quote, shown, quote, scope->title, keys);
}

/* Nothing counts as a mapping without keys. */
enum ingot_status igt_config_check_keys(const struct igt_config_scope *scope,
                                        const struct igt_yaml *mapping)
{
    if (mapping->kind != IGT_YAML_MAPPING && mapping->kind != IGT_YAML_NULL)
        return igt_yaml_fail(scope->file, mapping, scope->err, "%s must be a mapping of keys",
                             scope->title);
    for (const struct igt_yaml *entry = mapping->first; entry; entry = entry->next)
        if (!find_field(entry->key->text, scope->place))
            return refuse_key(scope, entry->key);
    return INGOT_OK;
}

static enum ingot_status check_shape(const struct igt_config_scope *scope,
                                     const struct igt_config_field *field,
                                     const struct igt_yaml *entry)
{
    static const struct {
        unsigned kinds;
        const char *what;
    } shapes[] = {
        [IGT_ONE_VALUE] = {1u << IGT_YAML_SCALAR, "a single value"},
        [IGT_LIST] = {1u << IGT_YAML_LIST, "a list"},
        [IGT_MAPPING] = {1u << IGT_YAML_MAPPING | 1u << IGT_YAML_NULL, "a mapping"},
        [IGT_LIST_OR_MAPPING] = {1u << IGT_YAML_LIST | 1u << IGT_YAML_MAPPING,
                                 "a list or a mapping"},
    };
    if (shapes[field->shape].kinds & 1u << entry->kind)
        return INGOT_OK;
    return igt_config_refuse(scope, entry, entry, "must be %s%s", shapes[field->shape].what,
                             entry->kind == IGT_YAML_NULL ? "; it has none" : "");
}

static enum ingot_status read_field(const struct igt_config_scope *scope,
                                    const struct igt_config_field *field,
                                    const struct igt_yaml *entry)
{
    if (!(field->places & scope->place))
        return igt_yaml_fail(scope->file, entry->key, scope->err,
                             "\"%s\" belongs to kind %s, and %s is of kind %s", field->name,
                             field->places & IGT_IN_HTTP ? "http" : "command", scope->title,
                             scope->place & IGT_IN_HTTP ? "http" : "command");
    enum ingot_status status = check_shape(scope, field, entry);
    if (status || !field->read)
        return status;
    return field->read(scope, entry);
}

enum ingot_status igt_config_read_fields(const struct igt_config_scope *scope,
                                         const struct igt_yaml *mapping)
{
    for (size_t i = 0; i < igt_config_field_count; i++) {
        const struct igt_yaml *entry = igt_config_find(mapping, igt_config_fields[i].name);
        enum ingot_status status = INGOT_OK;
        if (entry)
            status = read_field(scope, &igt_config_fields[i], entry);
        else if (igt_config_fields[i].required & scope->place)
            status = igt_yaml_fail(scope->file, mapping, scope->err, "%s needs \"%s\"",
                                   scope->title, igt_config_fields[i].name);
        if (status)
            return status;
    }
    return INGOT_OK;
}

enum ingot_status igt_config_read_mapping(const struct igt_config_scope *scope,
                                          const struct igt_yaml *mapping)
{
    enum ingot_status status = igt_config_check_keys(scope, mapping);
    return status ? status : igt_config_read_fields(scope, mapping);
}
