/*
 * A growing run of bytes, always followed by a NUL. A failed allocation is
 * remembered: write on, and ask once at the end. Not thread-safe.
 */
#ifndef INGOT_CORE_BUFFER_H
#define INGOT_CORE_BUFFER_H

#include <ingot/ingot.h>

struct igt_buffer {
    char *data; /* NULL until something was written; for free() by the owner */
    size_t len; /* without the NUL */
    size_t size;
    int failed; /* memory ran out at some write; data is then not whole */
};

/* Zero-initialise: struct igt_buffer buffer = {0}; fini frees and zeroes. */
void igt_buffer_fini(struct igt_buffer *buffer);

/* Forgets the contents, keeps the memory and clears the failure. */
void igt_buffer_reset(struct igt_buffer *buffer);

void igt_buffer_add(struct igt_buffer *buffer, const void *data, size_t len);
void igt_buffer_add_text(struct igt_buffer *buffer, const char *text);
void igt_buffer_add_format(struct igt_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a JSON string with its quotes; U+FFFD for what is not UTF-8. Absent is written as null. */
void igt_buffer_add_json_string(struct igt_buffer *buffer, struct ingot_bytes text);

/* Adds "<27 characters>" with its quotes. */
void igt_buffer_add_json_ksuid(struct igt_buffer *buffer, const ingot_ksuid *id);

/* Adds the instant as a JSON string, RFC 3339 in UTC with microseconds; INGOT_NO_TIME is null. */
void igt_buffer_add_json_time(struct igt_buffer *buffer, int64_t time_us);

#endif
