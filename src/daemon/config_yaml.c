/*
 * Reads a configuration's YAML from the events of libyaml, for in its documents
 * aliases are resolved already; see config_yaml.h.
 */
#include "config_yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define NAME_BYTES_SHOWN 80
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct ingot_bytes text;
    struct igt_arena *arena;
    struct ingot_error *err;
};

static enum ingot_status no_memory(const char *name, struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "no memory to read %s; free some and try again", name);
}

enum ingot_status igt_yaml_fail(const char *name, const struct igt_yaml *at,
                                struct ingot_error *err, const char *format, ...)
{
    char message[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    /* Of a long path the end is shown, so that the message has room behind it. */
    size_t len = strlen(name);
    const char *dots = len > NAME_BYTES_SHOWN ? "..." : "";
    const char *shown = len > NAME_BYTES_SHOWN ? name + len - NAME_BYTES_SHOWN : name;
    while (((unsigned char)*shown & 0xc0) == 0x80)
        shown++;
    return ingot_error_set(err, INGOT_INVALID, "%s%s:%zu:%zu: %s", dots, shown, at->line,
                           at->column, message);
}

int igt_yaml_is_word(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_.*-";
    size_t len = strlen(text);
    return len > 0 && len <= 40 && strspn(text, allowed) == len;
}

/* The line and column of a byte: the reader of libyaml gives no more than its offset. */
static struct igt_yaml position_of(struct ingot_bytes text, size_t offset)
{
    struct igt_yaml at = {.line = 1, .column = 1};
    const unsigned char *bytes = text.data;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (bytes[i] == '\n') {
            at.line++;
            at.column = 1;
        } else if ((bytes[i] & 0xc0) != 0x80) {
            at.column++;
        }
    }
    return at;
}

/* What libyaml calls two frequent mistakes, in words that say what to do. */
static const char *problem_of(const yaml_parser_t *parser)
{
    static const struct {
        const char *problem;
        const char *advice;
    } known[] = {
        {"found character that cannot start any token",
         "no value can begin with this character; quote it, and indent with spaces only"},
        {"did not find expected alphabetic or numeric character",
         "write \"*\" in quotes; anchors and aliases are not supported"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(parser->problem, known[i].problem))
            return known[i].advice;
    return parser->problem;
}

static enum ingot_status parser_failed(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct igt_yaml at = {.line = parser->problem_mark.line + 1,
                          .column = parser->problem_mark.column + 1};
    if (parser->error == YAML_MEMORY_ERROR)
        return no_memory(reader->name, reader->err);
    if (parser->error == YAML_READER_ERROR)
        at = position_of(reader->text, parser->problem_offset);
    return igt_yaml_fail(reader->name, &at, reader->err, "%s", problem_of(parser));
}

static const char *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return (const char *)event->data.alias.anchor;
    case YAML_SCALAR_EVENT:
        return (const char *)event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return (const char *)event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static const char *tag_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return (const char *)event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return (const char *)event->data.mapping_start.tag;
    default:
        return NULL;
    }
}

/* YAML 1.1's null, of which an unquoted nothing is the most frequent. */
static int is_null(const yaml_event_t *event, const char *text)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
            !strcmp(text, "NULL"));
}

static enum ingot_status take_scalar(const struct reader *reader, const yaml_event_t *event,
                                     struct igt_yaml *node)
{
    struct ingot_bytes value = {event->data.scalar.value, event->data.scalar.length};
    if (memchr(value.data, '\0', value.len))
        return igt_yaml_fail(reader->name, node, reader->err,
                             "a NUL character cannot stand in a value; remove it");
    node->text = igt_arena_copy(reader->arena, value).data;
    if (!node->text)
        return no_memory(reader->name, reader->err);
    node->kind = is_null(event, node->text) ? IGT_YAML_NULL : IGT_YAML_SCALAR;
    return INGOT_OK;
}

static enum ingot_status take_event(const struct reader *reader, const yaml_event_t *event,
                                    struct igt_yaml **ret_node)
{
    struct igt_yaml *node = igt_arena_alloc(reader->arena, sizeof *node);
    if (!node)
        return no_memory(reader->name, reader->err);
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    *ret_node = node;
    if (anchor_of(event))
        return igt_yaml_fail(reader->name, node, reader->err,
                             "anchors and aliases are not supported; write the value out");
    if (tag_of(event))
        return igt_yaml_fail(reader->name, node, reader->err,
                             "tags are not supported; leave the tag out");
    if (event->type == YAML_SCALAR_EVENT)
        return take_scalar(reader, event, node);
    node->kind = event->type == YAML_SEQUENCE_START_EVENT ? IGT_YAML_LIST : IGT_YAML_MAPPING;
    return INGOT_OK;
}

static enum ingot_status read_children(struct reader *reader, unsigned depth,
                                       struct igt_yaml *node);

/* Reads the next value with all that is in it; NULL at the end of what is being read. */
static enum ingot_status read_node(struct reader *reader, unsigned depth,
                                   struct igt_yaml **ret_node)
{
    yaml_event_t event;
    struct igt_yaml *node = NULL;
    enum ingot_status status = INGOT_OK;
    if (!yaml_parser_parse(&reader->parser, &event))
        return parser_failed(reader);
    if (event.type == YAML_ALIAS_EVENT || event.type == YAML_SCALAR_EVENT ||
        event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT)
        status = take_event(reader, &event, &node);
    yaml_event_delete(&event);
    if (!status && node && !node->text)
        status = read_children(reader, depth + 1, node);
    if (!status)
        *ret_node = node;
    return status;
}

static enum ingot_status read_children(struct reader *reader, unsigned depth, struct igt_yaml *node)
{
    struct igt_yaml **tail = &node->first;
    if (depth > IGT_YAML_DEPTH_MAX)
        return igt_yaml_fail(reader->name, node, reader->err,
                             "nested deeper than %d levels; no key needs that", IGT_YAML_DEPTH_MAX);
    for (;;) {
        struct igt_yaml *key = NULL, *child = NULL;
        enum ingot_status status = read_node(reader, depth, &child);
        if (!status && child && node->kind == IGT_YAML_MAPPING) {
            key = child;
            if (!key->text)
                return igt_yaml_fail(reader->name, key, reader->err,
                                     "a key must be a single value, not a list or a mapping");
            status = read_node(reader, depth, &child);
        }
        if (status)
            return status;
        if (!child)
            break;
        child->key = key;
        *tail = child;
        tail = &child->next;
        node->count++;
    }
    if (node->kind == IGT_YAML_MAPPING)
        return igt_yaml_refuse_duplicates(reader->name, node, reader->arena, reader->err);
    return INGOT_OK;
}

static const struct igt_yaml *name_of(const struct igt_yaml *node)
{
    return node->key ? node->key : node;
}

static int is_before(const struct igt_yaml *a, const struct igt_yaml *b)
{
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

static int compare_names(const void *left, const void *right)
{
    const struct igt_yaml *a = *(const struct igt_yaml *const *)left;
    const struct igt_yaml *b = *(const struct igt_yaml *const *)right;
    int order = strcmp(a->text, b->text);
    return order ? order : is_before(b, a) - is_before(a, b);
}

enum ingot_status igt_yaml_refuse_duplicates(const char *name, const struct igt_yaml *container,
                                             struct igt_arena *arena, struct ingot_error *err)
{
    const struct igt_yaml **names, *again = NULL, *before = NULL;
    size_t count = 0;
    if (container->count < 2)
        return INGOT_OK;
    names = igt_arena_array(arena, container->count, sizeof(struct igt_yaml *));
    if (!names)
        return no_memory(name, err);
    for (const struct igt_yaml *child = container->first; child; child = child->next)
        if (name_of(child)->text)
            names[count++] = name_of(child);
    qsort(names, count, sizeof(struct igt_yaml *), compare_names);
    for (size_t i = 1; i < count; i++) {
        if (!strcmp(names[i]->text, names[i - 1]->text) && (!again || is_before(names[i], again))) {
            again = names[i];
            before = names[i - 1];
        }
    }
    if (!again)
        return INGOT_OK;
    const char *thing = container->kind == IGT_YAML_MAPPING ? "key" : "entry";
    if (!igt_yaml_is_word(again->text))
        return igt_yaml_fail(name, again, err, "duplicate %s; it stands in line %zu already", thing,
                             before->line);
    return igt_yaml_fail(name, again, err, "duplicate %s \"%s\"; it stands in line %zu already",
                         thing, again->text, before->line);
}

/* Reads one event that only says where the stream or a document begins or ends. */
static enum ingot_status read_mark(struct reader *reader, yaml_event_type_t *ret_type,
                                   struct igt_yaml *ret_at)
{
    yaml_event_t event;
    if (!yaml_parser_parse(&reader->parser, &event))
        return parser_failed(reader);
    *ret_type = event.type;
    ret_at->line = event.start_mark.line + 1;
    ret_at->column = event.start_mark.column + 1;
    yaml_event_delete(&event);
    return INGOT_OK;
}

static enum ingot_status read_stream(struct reader *reader, struct igt_yaml *root)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    struct igt_yaml at = {0}, *node = NULL;
    enum ingot_status status = read_mark(reader, &type, &at);
    if (!status)
        status = read_mark(reader, &type, &at);
    if (status || type == YAML_STREAM_END_EVENT)
        return status;
    status = read_node(reader, 0, &node);
    if (!status)
        status = read_mark(reader, &type, &at);
    if (!status)
        status = read_mark(reader, &type, &at);
    if (status)
        return status;
    if (type != YAML_STREAM_END_EVENT)
        return igt_yaml_fail(reader->name, &at, reader->err,
                             "a second document begins here; only one is allowed");
    *root = *node;
    return INGOT_OK;
}

/* libyaml would count the mark as an indentation of the first line. */
static struct ingot_bytes without_mark(struct ingot_bytes text)
{
    const size_t len = strlen(BYTE_ORDER_MARK);
    if (text.len >= len && !memcmp(text.data, BYTE_ORDER_MARK, len))
        return (struct ingot_bytes){(const char *)text.data + len, text.len - len};
    return text;
}

enum ingot_status igt_yaml_parse(const char *name, struct ingot_bytes text, struct igt_arena *arena,
                                 const struct igt_yaml **ret_root, struct ingot_error *err)
{
    struct reader reader = {.name = name, .text = without_mark(text), .arena = arena, .err = err};
    struct igt_yaml *root = igt_arena_alloc(arena, sizeof *root);
    if (text.len > IGT_YAML_BYTES_MAX) {
        struct igt_yaml at = position_of(text, IGT_YAML_BYTES_MAX);
        return igt_yaml_fail(name, &at, err, "the file is larger than 1 MiB; shorten it");
    }
    if (!root || !yaml_parser_initialize(&reader.parser))
        return no_memory(name, err);
    *root = (struct igt_yaml){.kind = IGT_YAML_NULL, .line = 1, .column = 1, .text = ""};
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &reader.parser, reader.text.len ? reader.text.data : (const void *)"", reader.text.len);
    enum ingot_status status = read_stream(&reader, root);
    yaml_parser_delete(&reader.parser);
    if (!status)
        *ret_root = root;
    return status;
}
