/* A growing run of bytes, and the few JSON scalars that everything writes; see buffer.h. */
#include "buffer.h"

#include "bytes.h"
#include "instant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void igt_buffer_fini(struct igt_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

void igt_buffer_reset(struct igt_buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

/* Makes room for len more bytes and the NUL. */
static int reserve(struct igt_buffer *buffer, size_t len)
{
    if (buffer->failed || len > SIZE_MAX / 4 - buffer->len) {
        buffer->failed = 1;
        return 0;
    }
    size_t need = buffer->len + len + 1;
    if (need <= buffer->size)
        return 1;
    size_t size = buffer->size ? buffer->size : 128;
    while (size < need)
        size *= 2;
    char *data = realloc(buffer->data, size);
    if (!data) {
        buffer->failed = 1;
        return 0;
    }
    buffer->data = data;
    buffer->size = size;
    return 1;
}

void igt_buffer_add(struct igt_buffer *buffer, const void *data, size_t len)
{
    if (!reserve(buffer, len))
        return;
    if (len)
        memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

void igt_buffer_add_text(struct igt_buffer *buffer, const char *text)
{
    igt_buffer_add(buffer, text, strlen(text));
}

void igt_buffer_add_format(struct igt_buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        buffer->failed = 1;
    else if (reserve(buffer, (size_t)len)) {
        vsnprintf(buffer->data + buffer->len, (size_t)len + 1, format, again);
        buffer->len += (size_t)len;
    }
    va_end(again);
}

void igt_buffer_add_json_string(struct igt_buffer *buffer, struct ingot_bytes text)
{
    if (!text.data) {
        igt_buffer_add_text(buffer, "null");
        return;
    }
    const unsigned char *bytes = text.data;
    size_t clean = 0; /* where the run that needs no escape begins */
    igt_buffer_add(buffer, "\"", 1);
    for (size_t i = 0, len; i < text.len; i += len ? len : 1) {
        unsigned char c = bytes[i];
        len = c < 0x80 ? 1 : igt_character_len((struct ingot_bytes){bytes + i, text.len - i});
        if (len && c >= 0x20 && c != '"' && c != '\\')
            continue;
        igt_buffer_add(buffer, bytes + clean, i - clean);
        clean = i + 1;
        if (!len)
            igt_buffer_add_text(buffer, "\xef\xbf\xbd"); /* U+FFFD */
        else if (c == '"' || c == '\\')
            igt_buffer_add(buffer, (char[]){'\\', (char)c}, 2);
        else if (c == '\n')
            igt_buffer_add(buffer, "\\n", 2);
        else if (c == '\t')
            igt_buffer_add(buffer, "\\t", 2);
        else
            igt_buffer_add_format(buffer, "\\u%04x", c);
    }
    igt_buffer_add(buffer, bytes + clean, text.len - clean);
    igt_buffer_add(buffer, "\"", 1);
}

/* Ids and times stand in whatever is sent: printf would take half the time of an encoding. */

void igt_buffer_add_json_ksuid(struct igt_buffer *buffer, const ingot_ksuid *id)
{
    char quoted[1 + INGOT_KSUID_TEXT_LEN + 1] = "\"";
    ingot_ksuid_format(id, quoted + 1);
    quoted[sizeof quoted - 1] = '"'; /* in place of the NUL */
    igt_buffer_add(buffer, quoted, sizeof quoted);
}

void igt_buffer_add_json_time(struct igt_buffer *buffer, int64_t time_us)
{
    char quoted[1 + IGT_TIME_TEXT_SIZE] = "\"";
    if (time_us == INGOT_NO_TIME) {
        igt_buffer_add_text(buffer, "null");
        return;
    }
    igt_time_format(time_us, quoted + 1);
    size_t len = strlen(quoted);
    quoted[len] = '"'; /* in place of the NUL */
    igt_buffer_add(buffer, quoted, len + 1);
}
