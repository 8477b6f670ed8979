/*
 * The reader of JSON; see json.h. It keeps a stack of its own, so that hostile
 * nesting costs nothing. The keys of an object are compared when it closes, by
 * sorting: no choice of keys makes that slow.
 */
#include "json.h"

#include "bytes.h"
#include "limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* So many keys of open objects need no memory of their own, and so many of one object no sorting. */
#define KEYS_AT_FIRST 16
#define KEYS_IN_PAIRS 8

enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END,
    EXPECT_KEY,
    EXPECT_KEY_OR_END,
    EXPECT_COMMA_OR_END /* at depth 0: nothing */
};

struct key {
    struct ingot_bytes text; /* without escapes */
    const char *raw;         /* its opening quote */
};

struct frame {
    enum igt_json_kind kind;
    size_t first_key;
};

struct parser {
    const char *start, *at, *end;
    enum expect expect;
    unsigned depth;
    struct frame frames[IGT_JSON_DEPTH_MAX];
    struct key first_keys[KEYS_AT_FIRST];
    struct key *keys; /* of all open objects, the outermost first */
    size_t key_count, key_size;
    struct igt_arena *arena; /* keys that had escapes; NULL: there was none yet */
    struct ingot_error *err;
};

static enum ingot_status fail(const struct parser *parser, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum ingot_status fail(const struct parser *parser, const char *at, const char *format, ...)
{
    char reason[160];
    size_t line = 1, column = 1;
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    for (const char *c = parser->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) {
            column++;
        }
    }
    return ingot_error_set(parser->err, INGOT_INVALID, "line %zu, column %zu (byte %zu): %s", line,
                           column, (size_t)(at - parser->start) + 1, reason);
}

/* The next byte, or -1 at the end. */
static int peek(const struct parser *parser)
{
    return parser->at < parser->end ? (unsigned char)*parser->at : -1;
}

static enum ingot_status expected(const struct parser *parser, const char *what)
{
    int c = peek(parser);
    if (c < 0)
        return fail(parser, parser->at, "expected %s, found the end of the text", what);
    if (c > 0x20 && c < 0x7f)
        return fail(parser, parser->at, "expected %s, found %c", what, c);
    return fail(parser, parser->at, "expected %s, found byte 0x%02x", what, (unsigned)c);
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* ---- strings ------------------------------------------------------------ */

/* Four hexadecimal digits, or -1. */
static int32_t read_unit(const char *at, const char *end)
{
    int32_t unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            unit = unit * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return unit;
}

/* Reads the escape whose backslash is at; returns NULL, or what is wrong with it. */
static const char *read_escape(const char *at, const char *end, size_t *ret_len,
                               int32_t *ret_code_point)
{
    static const char letters[8] = "\"\\/bfnrt", meanings[8] = "\"\\/\b\f\n\r\t";
    const char *letter = end - at > 1 ? memchr(letters, at[1], sizeof letters) : NULL;
    if (letter) {
        *ret_len = 2;
        *ret_code_point = meanings[letter - letters];
        return NULL;
    }
    if (end - at < 2 || at[1] != 'u')
        return "unknown escape in a string";
    int32_t unit = read_unit(at + 2, end);
    if (unit < 0)
        return "\\u needs four hexadecimal digits";
    if (unit == 0)
        return "\\u0000 is not allowed";
    *ret_len = 6;
    *ret_code_point = unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return NULL;
    int32_t low = -1;
    if (unit < 0xdc00 && end - at > 7 && at[6] == '\\' && at[7] == 'u')
        low = read_unit(at + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return "unpaired surrogate";
    *ret_len = 12;
    *ret_code_point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    return NULL;
}

/* Skips what needs no look in a string: most of it. */
static const char *skip_plain(const char *at, const char *end)
{
    while (at < end && *at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

static enum ingot_status scan_string(struct parser *parser)
{
    const char *first = parser->at++;
    for (;;) {
        parser->at = skip_plain(parser->at, parser->end);
        int c = peek(parser);
        size_t len = 1;
        if (c < 0)
            return fail(parser, first, "the string has no closing quote");
        if (c == '"') {
            parser->at++;
            return INGOT_OK;
        }
        if (c < 0x20)
            return fail(parser, parser->at, "byte 0x%02x in a string must be escaped", (unsigned)c);
        if (c == '\\') {
            int32_t code_point;
            const char *reason = read_escape(parser->at, parser->end, &len, &code_point);
            if (reason)
                return fail(parser, parser->at, "%s", reason);
        } else if (c >= 0x80) {
            len = igt_character_len(
                (struct ingot_bytes){parser->at, (size_t)(parser->end - parser->at)});
            if (len == 0)
                return fail(parser, parser->at, "byte 0x%02x is not valid UTF-8", (unsigned)c);
        }
        parser->at += len;
    }
}

/* Writes a code point as UTF-8; returns its bytes. */
static size_t write_character(char *out, int32_t code_point)
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t len = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (char)((0xf0 << (4 - len)) | code_point);
    return len;
}

struct ingot_bytes igt_json_text(const struct igt_json *string, struct igt_arena *arena)
{
    const char *at = (const char *)string->raw.data + 1;
    struct ingot_bytes text = {at, string->raw.len - 2};
    const char *end = at + text.len, *escape = memchr(at, '\\', text.len);
    if (!escape)
        return text;
    char *copy = igt_arena_alloc(arena, text.len + 1); /* an escape is longer than what it means */
    text = (struct ingot_bytes){copy, 0};
    if (!copy)
        return text;
    for (; escape; escape = memchr(at, '\\', (size_t)(end - at))) {
        size_t len = 0;
        int32_t code_point = 0;
        memcpy(copy + text.len, at, (size_t)(escape - at));
        text.len += (size_t)(escape - at);
        read_escape(escape, end, &len, &code_point);
        text.len += write_character(copy + text.len, code_point);
        at = escape + len;
    }
    memcpy(copy + text.len, at, (size_t)(end - at));
    text.len += (size_t)(end - at);
    return text;
}

void igt_json_show(const struct igt_json *string, char text[IGT_JSON_SHOWN_SIZE])
{
    static const char cut[] = "...";
    const char *raw = (const char *)string->raw.data + 1;
    size_t len = string->raw.len - 2;
    if (len < IGT_JSON_SHOWN_SIZE) {
        memcpy(text, raw, len);
        text[len] = '\0';
        return;
    }
    len = IGT_JSON_SHOWN_SIZE - sizeof cut;
    while (((unsigned char)raw[len] & 0xc0) == 0x80)
        len--;
    memcpy(text, raw, len);
    memcpy(text + len, cut, sizeof cut);
}

/* ---- numbers ------------------------------------------------------------ */

/* Whether a number of right form rounds to infinity as a double. No strtod: it follows the locale. */
static int overflows(const char *number, const char *end)
{
    static const char least[] = /* 2^1024 - 2^970, the smallest magnitude that does */
        "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490"
        "1797758720709633028641669288791094655554785194040263065748867150582068190890200070838367"
        "6273854845817711531764475730270069855571366959622842914819860834936475292719074168444365"
        "510704342711559699508093042880177904174497792";
    const char *at = number + (*number == '-'), *first = NULL; /* the first significant digit */
    int64_t magnitude = 0, exponent = 0; /* 0.first… times ten to magnitude */
    int fraction = 0;
    for (; at < end && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') {
            fraction = 1;
            continue;
        }
        if (!first && *at != '0')
            first = at;
        if (first && !fraction)
            magnitude++;
        else if (!first && fraction)
            magnitude--;
    }
    const char *mantissa_end = at;
    int negative = 0;
    for (; at < end; at++) {
        if (*at == '-')
            negative = 1;
        else if (*at >= '0' && *at <= '9' && exponent < INT64_MAX / 20) /* no text is that long */
            exponent = exponent * 10 + (*at - '0');
    }
    magnitude += negative ? -exponent : exponent;
    if (!first || magnitude != (int64_t)sizeof least - 1)
        return first && magnitude > (int64_t)sizeof least - 1;
    at = first;
    for (const char *digit = least; *digit; digit++) {
        if (at < mantissa_end && *at == '.')
            at++;
        char c = at < mantissa_end ? *at++ : '0';
        if (c != *digit)
            return c > *digit;
    }
    return 1;
}

static enum ingot_status scan_digits(struct parser *parser)
{
    const char *first = parser->at;
    while (peek(parser) >= '0' && peek(parser) <= '9')
        parser->at++;
    return parser->at == first ? expected(parser, "a digit") : INGOT_OK;
}

static enum ingot_status scan_number(struct parser *parser)
{
    const char *first = parser->at;
    if (*first == '-')
        parser->at++;
    const char *integer = parser->at;
    enum ingot_status status = scan_digits(parser);
    if (status == INGOT_OK && *integer == '0' && parser->at - integer > 1)
        return fail(parser, integer, "a number must not begin with a needless 0");
    if (status == INGOT_OK && peek(parser) == '.') {
        parser->at++;
        status = scan_digits(parser);
    }
    if (status == INGOT_OK && (peek(parser) == 'e' || peek(parser) == 'E')) {
        parser->at++;
        if (peek(parser) == '+' || peek(parser) == '-')
            parser->at++;
        status = scan_digits(parser);
    }
    if (status == INGOT_OK && overflows(first, parser->at))
        return fail(parser, first, "the number is beyond the range of a double");
    return status;
}

int igt_json_integer(const struct igt_json *number, int64_t *ret_integer)
{
    const char *at = number->raw.data, *end = at + number->raw.len;
    if (number->kind != IGT_JSON_NUMBER)
        return 0;
    int64_t integer = 0, sign = 1;
    if (*at == '-') {
        sign = -1;
        at++;
    }
    for (; at < end; at++)
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(integer, 10, &integer) ||
            __builtin_add_overflow(integer, sign * (*at - '0'), &integer))
            return 0;
    *ret_integer = integer;
    return 1;
}

/* ---- arrays and objects ------------------------------------------------- */

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    size_t len = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order = len ? memcmp(a->text.data, b->text.data, len) : 0;
    if (order == 0)
        order = (a->text.len > b->text.len) - (a->text.len < b->text.len);
    return order ? order : (a->raw > b->raw) - (a->raw < b->raw);
}

/* Bytes of the checked string at; the quote that ends it is known to be there. */
static size_t string_len(const char *at)
{
    const char *c = at + 1, *quote = strchr(c, '"');
    if (!memchr(c, '\\', (size_t)(quote - c)))
        return (size_t)(quote - at) + 1;
    while (*c != '"')
        c += *c == '\\' ? 2 : 1;
    return (size_t)(c - at) + 1;
}

/* The first key in the text that was there before, or NULL. Sorts the keys. */
static const char *find_again(struct key *keys, size_t count)
{
    const char *again = NULL;
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count; i++)
        if (ingot_bytes_equal(keys[i - 1].text, keys[i].text) && (!again || keys[i].raw < again))
            again = keys[i].raw;
    return again;
}

/* The same for a few keys in the order of the text, each compared with those before it. */
static const char *find_again_in_pairs(const struct key *keys, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (ingot_bytes_equal(keys[j].text, keys[i].text))
                return keys[i].raw;
    return NULL;
}

/* Refuses the first key in the text that was there before in the same object. */
static enum ingot_status check_keys(const struct parser *parser, size_t first)
{
    struct key *keys = parser->keys + first;
    const size_t count = parser->key_count - first;
    const char *again =
        count <= KEYS_IN_PAIRS ? find_again_in_pairs(keys, count) : find_again(keys, count);
    if (!again)
        return INGOT_OK;
    char shown[IGT_JSON_SHOWN_SIZE];
    igt_json_show(&(struct igt_json){IGT_JSON_STRING, {again, string_len(again)}}, shown);
    return fail(parser, again, "duplicate key \"%s\"", shown);
}

static enum ingot_status no_memory(const struct parser *parser)
{
    return ingot_error_set(parser->err, INGOT_NOMEM, "memory ran out while reading JSON");
}

/* 0 when memory ran out. */
static int grow_keys(struct parser *parser)
{
    struct key *old = parser->keys == parser->first_keys ? NULL : parser->keys;
    struct key *keys = reallocarray(old, 2 * parser->key_size, sizeof *keys);
    if (!keys)
        return 0;
    if (!old)
        memcpy(keys, parser->first_keys, sizeof parser->first_keys);
    parser->keys = keys;
    parser->key_size *= 2;
    return 1;
}

static enum ingot_status add_key(struct parser *parser, const char *raw)
{
    const struct igt_json string = {IGT_JSON_STRING, {raw, (size_t)(parser->at - raw)}};
    struct ingot_bytes text = {raw + 1, string.raw.len - 2};
    if (parser->key_count == parser->key_size && !grow_keys(parser))
        return no_memory(parser);
    if (memchr(text.data, '\\', text.len)) {
        if (!parser->arena)
            parser->arena = igt_arena_create();
        text.data = NULL;
        if (parser->arena)
            text = igt_json_text(&string, parser->arena);
    }
    if (!text.data)
        return no_memory(parser);
    parser->keys[parser->key_count++] = (struct key){text, raw};
    return INGOT_OK;
}

static enum ingot_status scan_key(struct parser *parser)
{
    const char *raw = parser->at;
    if (peek(parser) != '"')
        return expected(parser, "a key in double quotes");
    enum ingot_status status = scan_string(parser);
    if (status == INGOT_OK)
        status = add_key(parser, raw);
    if (status != INGOT_OK)
        return status;
    parser->at = skip_space(parser->at, parser->end);
    if (peek(parser) != ':')
        return expected(parser, "a colon");
    parser->at++;
    parser->expect = EXPECT_VALUE;
    return INGOT_OK;
}

static enum ingot_status open_container(struct parser *parser, enum igt_json_kind kind)
{
    if (parser->depth == IGT_JSON_DEPTH_MAX)
        return fail(parser, parser->at, "nested deeper than %d levels", IGT_JSON_DEPTH_MAX);
    parser->frames[parser->depth++] = (struct frame){kind, parser->key_count};
    parser->expect = kind == IGT_JSON_OBJECT ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    parser->at++;
    return INGOT_OK;
}

static enum ingot_status close_container(struct parser *parser)
{
    size_t first_key = parser->frames[--parser->depth].first_key;
    enum ingot_status status = check_keys(parser, first_key);
    parser->key_count = first_key;
    parser->expect = EXPECT_COMMA_OR_END;
    parser->at++;
    return status;
}

static enum ingot_status scan_separator(struct parser *parser)
{
    int in_object = parser->frames[parser->depth - 1].kind == IGT_JSON_OBJECT;
    int c = peek(parser);
    if (c == (in_object ? '}' : ']'))
        return close_container(parser);
    if (c != ',')
        return expected(parser, in_object ? "a comma or }" : "a comma or ]");
    parser->expect = in_object ? EXPECT_KEY : EXPECT_VALUE;
    parser->at++;
    return INGOT_OK;
}

/* ---- values ------------------------------------------------------------- */

static enum igt_json_kind kind_of(int first)
{
    switch (first) {
    case 'n':
        return IGT_JSON_NULL;
    case 'f':
        return IGT_JSON_FALSE;
    case 't':
        return IGT_JSON_TRUE;
    case '"':
        return IGT_JSON_STRING;
    case '[':
        return IGT_JSON_ARRAY;
    case '{':
        return IGT_JSON_OBJECT;
    default:
        return IGT_JSON_NUMBER;
    }
}

static enum ingot_status scan_word(struct parser *parser, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(parser->end - parser->at) < len || memcmp(parser->at, word, len) != 0)
        return fail(parser, parser->at, "expected %s, found another word", word);
    parser->at += len;
    return INGOT_OK;
}

static enum ingot_status scan_value(struct parser *parser)
{
    int c = peek(parser);
    parser->expect = EXPECT_COMMA_OR_END;
    switch (kind_of(c)) {
    case IGT_JSON_NULL:
        return scan_word(parser, "null");
    case IGT_JSON_FALSE:
        return scan_word(parser, "false");
    case IGT_JSON_TRUE:
        return scan_word(parser, "true");
    case IGT_JSON_STRING:
        return scan_string(parser);
    case IGT_JSON_ARRAY:
    case IGT_JSON_OBJECT:
        return open_container(parser, kind_of(c));
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return expected(parser, "a value");
        return scan_number(parser);
    }
}

static enum ingot_status scan_next(struct parser *parser)
{
    parser->at = skip_space(parser->at, parser->end);
    switch (parser->expect) {
    case EXPECT_KEY_OR_END:
        return peek(parser) == '}' ? close_container(parser) : scan_key(parser);
    case EXPECT_KEY:
        return scan_key(parser);
    case EXPECT_VALUE_OR_END:
        return peek(parser) == ']' ? close_container(parser) : scan_value(parser);
    case EXPECT_VALUE:
        return scan_value(parser);
    default:
        return scan_separator(parser);
    }
}

/* Scans one value with all that is in it. */
static enum ingot_status scan_whole(struct parser *parser)
{
    enum ingot_status status;
    do
        status = scan_next(parser);
    while (status == INGOT_OK && (parser->depth > 0 || parser->expect != EXPECT_COMMA_OR_END));
    return status;
}

enum ingot_status igt_json_parse(struct ingot_bytes text, struct igt_json *ret_value,
                                 struct ingot_error *err)
{
    const char *start = text.data ? text.data : "";
    struct parser parser = {.start = start, .at = start, .end = start + text.len, .err = err};
    if (text.len >= 3 && memcmp(start, BYTE_ORDER_MARK, 3) == 0)
        return fail(&parser, start, "a byte order mark is not allowed, leave it out");
    parser.keys = parser.first_keys;
    parser.key_size = KEYS_AT_FIRST;
    const char *first = skip_space(parser.at, parser.end);
    enum ingot_status status = scan_whole(&parser);
    const char *last = parser.at;
    if (status == INGOT_OK) {
        parser.at = skip_space(parser.at, parser.end);
        if (parser.at < parser.end)
            status = expected(&parser, "nothing behind the value");
    }
    if (status == INGOT_OK)
        *ret_value = (struct igt_json){kind_of(*first), {first, (size_t)(last - first)}};
    igt_arena_destroy(parser.arena);
    if (parser.keys != parser.first_keys)
        free(parser.keys);
    return status;
}

/* ---- walking what was checked ------------------------------------------- */

/* Takes the value that begins at, and returns the place behind it. */
static const char *take_value(const char *at, const char *end, struct igt_json *ret_value)
{
    const char *first = at;
    unsigned depth = 0;
    do {
        if (*at == '"') {
            at += string_len(at);
            continue;
        }
        if (*at == '[' || *at == '{')
            depth++;
        else if (*at == ']' || *at == '}')
            depth--;
        at++;
    } while (depth > 0);
    if (kind_of(*first) <= IGT_JSON_NUMBER)
        while (at < end && !strchr(" \t\n\r,", *at))
            at++;
    *ret_value = (struct igt_json){kind_of(*first), {first, (size_t)(at - first)}};
    return at;
}

struct igt_json_walk igt_json_walk(const struct igt_json *container)
{
    const char *raw = container->raw.data;
    return (struct igt_json_walk){raw + 1, raw + container->raw.len - 1,
                                  container->kind == IGT_JSON_OBJECT};
}

int igt_json_next(struct igt_json_walk *walk, struct igt_json *ret_key, struct igt_json *ret_value)
{
    const char *at = skip_space(walk->at, walk->end);
    if (at == walk->end)
        return 0;
    *ret_key = (struct igt_json){IGT_JSON_STRING, {NULL, 0}};
    if (walk->in_object) {
        at = skip_space(take_value(at, walk->end, ret_key), walk->end);
        at = skip_space(at + 1, walk->end); /* the colon */
    }
    at = skip_space(take_value(at, walk->end, ret_value), walk->end);
    walk->at = at < walk->end ? at + 1 : at; /* the comma */
    return 1;
}

size_t igt_json_count(const struct igt_json *container)
{
    struct igt_json_walk walk = igt_json_walk(container);
    struct igt_json key, value;
    size_t count = 0;
    while (igt_json_next(&walk, &key, &value))
        count++;
    return count;
}
