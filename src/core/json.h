/*
 * A strict reader of JSON (RFC 8259) restricted to I-JSON (RFC 7493): valid
 * UTF-8, no NUL, no unpaired surrogate, no duplicate key, numbers within the
 * range of a double, nesting at most IGT_JSON_DEPTH_MAX, nothing behind the
 * value. Noncharacters pass, as PostgreSQL lets them pass. It gives back the
 * bytes as they came, because payloads are stored so.
 */
#ifndef INGOT_CORE_JSON_H
#define INGOT_CORE_JSON_H

#include "arena.h"

enum igt_json_kind {
    IGT_JSON_NULL,
    IGT_JSON_FALSE,
    IGT_JSON_TRUE,
    IGT_JSON_NUMBER,
    IGT_JSON_STRING,
    IGT_JSON_ARRAY,
    IGT_JSON_OBJECT
};

/* A value: where its bytes stand in the text. Valid as long as the text. */
struct igt_json {
    enum igt_json_kind kind;
    struct ingot_bytes raw; /* from its first to its last byte, quotes and brackets included */
};

/*
 * Checks a whole text and gives its value; white space around it is allowed.
 * On failure INGOT_INVALID, with the line, column (in characters) and byte,
 * all counted from 1, and what is wrong. Memory is used for keys only, in
 * proportion to the text; time is O(n log n) whatever the keys are.
 */
enum ingot_status igt_json_parse(struct ingot_bytes text, struct igt_json *ret_value,
                                 struct ingot_error *err);

/*
 * Walks the members of an array or object that was checked. Start with
 * cursor = igt_json_walk(value); for an array key.raw.data is NULL.
 */
struct igt_json_walk {
    const char *at, *end;
    int in_object;
};
struct igt_json_walk igt_json_walk(const struct igt_json *container);
int igt_json_next(struct igt_json_walk *walk, struct igt_json *ret_key, struct igt_json *ret_value);

/* How many members an array or object that was checked has. */
size_t igt_json_count(const struct igt_json *container);

/*
 * A checked string's text without quotes and escapes, in the arena unless it
 * has no escape. NULL data: no memory.
 */
struct ingot_bytes igt_json_text(const struct igt_json *string, struct igt_arena *arena);

/*
 * A checked value as an integer of 64 bits; returns 0 if it is none, or is
 * written with a fraction or an exponent.
 */
int igt_json_integer(const struct igt_json *number, int64_t *ret_integer);

#define IGT_JSON_SHOWN_SIZE 64

/*
 * A checked string as it stands between its quotes, for a message: one line,
 * cut to size between characters.
 */
void igt_json_show(const struct igt_json *string, char text[IGT_JSON_SHOWN_SIZE]);

#endif
