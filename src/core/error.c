/* Errors of a fixed size and their JSON form (SEED row 48); see ingot.h. */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ingot_error_clear(struct ingot_error *err)
{
    if (err)
        memset(err, 0, sizeof *err);
}

enum ingot_status ingot_error_set(struct ingot_error *err, enum ingot_status status,
                                  const char *format, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->status = status;
    return status;
}

void ingot_error_add_validation(struct ingot_error *err, const char *path, const char *message)
{
    if (!err)
        return;
    if (err->validation_count < INGOT_VALIDATIONS_MAX) {
        struct ingot_validation *validation = &err->validations[err->validation_count];
        snprintf(validation->message, sizeof validation->message, "%s", message);
        snprintf(validation->path, sizeof validation->path, "%s", path);
    }
    err->validation_count++;
}

/* "Options/Store/From" as ["Options","Store","From"] */
static void add_path(struct igt_buffer *buffer, const char *path)
{
    igt_buffer_add_text(buffer, "[");
    for (const char *part = path, *end; *part; part = *end ? end + 1 : end) {
        end = strchrnul(part, '/');
        if (part != path)
            igt_buffer_add_text(buffer, ",");
        igt_buffer_add_json_string(buffer, (struct ingot_bytes){part, (size_t)(end - part)});
    }
    igt_buffer_add_text(buffer, "]");
}

size_t ingot_error_json(const struct ingot_error *err, char *text, size_t size)
{
    struct igt_buffer buffer = {0};
    igt_buffer_add_text(&buffer, "{");
    if (err->status_code)
        igt_buffer_add_format(&buffer, "\"statusCode\":%d,", err->status_code);
    igt_buffer_add_text(&buffer, "\"message\":");
    igt_buffer_add_json_string(&buffer, ingot_bytes_of(err->message));
    if (err->validation_count) {
        size_t shown = err->validation_count < INGOT_VALIDATIONS_MAX ? err->validation_count
                                                                     : INGOT_VALIDATIONS_MAX;
        igt_buffer_add_text(&buffer, ",\"validations\":[");
        for (size_t i = 0; i < shown; i++) {
            igt_buffer_add_text(&buffer, i ? ",{\"message\":" : "{\"message\":");
            igt_buffer_add_json_string(&buffer, ingot_bytes_of(err->validations[i].message));
            igt_buffer_add_text(&buffer, ",\"path\":");
            add_path(&buffer, err->validations[i].path);
            igt_buffer_add_text(&buffer, "}");
        }
        igt_buffer_add_text(&buffer, "]");
    }
    if (err->event_id[0])
        igt_buffer_add_format(&buffer, ",\"meta\":{\"event\":{\"id\":\"%s\"}}", err->event_id);
    igt_buffer_add_text(&buffer, "}");
    size_t len = buffer.len;
    if (size)
        snprintf(text, size, "%s", buffer.failed ? "" : buffer.data);
    igt_buffer_fini(&buffer);
    return len;
}
