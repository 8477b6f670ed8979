/*
 * The part of YAML that a configuration needs, as a tree in which every value
 * knows its line and column. What makes YAML surprising is refused: anchors
 * and aliases, tags, more than one document, duplicate keys, keys that are not
 * single values, NUL bytes, and nesting beyond IGT_YAML_DEPTH_MAX.
 */
#ifndef INGOT_DAEMON_CONFIG_YAML_H
#define INGOT_DAEMON_CONFIG_YAML_H

#include "core/arena.h"

#define IGT_YAML_BYTES_MAX (1u << 20)
#define IGT_YAML_DEPTH_MAX 8 /* lists and mappings within one another */

enum igt_yaml_kind {
    IGT_YAML_NULL, /* nothing, or an unquoted null or ~ */
    IGT_YAML_SCALAR,
    IGT_YAML_LIST,
    IGT_YAML_MAPPING
};

/* A value. */
struct igt_yaml {
    enum igt_yaml_kind kind;
    size_t line, column;        /* from 1; a column is a character */
    const char *text;           /* of NULL and SCALAR: as it was written, without quotes */
    const struct igt_yaml *key; /* of an entry in a mapping, else NULL */
    struct igt_yaml *first;     /* of LIST and MAPPING, in the order of the text */
    struct igt_yaml *next;
    size_t count;
};

/*
 * Parses a text into the arena; an empty one is a NULL. name stands for the
 * file in errors: INGOT_INVALID has file, line and column, INGOT_NOMEM none.
 */
enum ingot_status igt_yaml_parse(const char *name, struct ingot_bytes text, struct igt_arena *arena,
                                 const struct igt_yaml **ret_root, struct ingot_error *err);

/* Sets INGOT_INVALID with "name:line:column: " before the message, and returns it. */
enum ingot_status igt_yaml_fail(const char *name, const struct igt_yaml *at,
                                struct ingot_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Refuses a list or mapping in which a value or key stands twice. Takes n log n comparisons. */
enum ingot_status igt_yaml_refuse_duplicates(const char *name, const struct igt_yaml *container,
                                             struct igt_arena *arena, struct ingot_error *err);

/*
 * Whether a key may be shown in an error. What does not look like a key may be
 * a secret at a wrong place: {Bearer abc=} has a key too.
 */
int igt_yaml_is_word(const char *text);

#endif
