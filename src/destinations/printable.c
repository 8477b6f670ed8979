/* What a destination said, made fit for a log and an error's JSON; see destination.h. */
#include "destination.h"

#include "core/bytes.h"

#include <string.h>

/* The length of the printable character at the beginning, or 0. */
static size_t printable_len(struct ingot_bytes text)
{
    size_t len = igt_character_len(text);
    return len && igt_character_is_printable(igt_character_decode(text.data, len)) ? len : 0;
}

void igt_printable(char *text, size_t size, struct ingot_bytes bytes)
{
    const unsigned char *from = bytes.data;
    size_t used = 0;
    for (size_t at = 0; at < bytes.len;) {
        size_t len = printable_len((struct ingot_bytes){from + at, bytes.len - at});
        if (used + (len ? len : 1) >= size)
            break;
        if (len)
            memcpy(text + used, from + at, len);
        else
            text[used] = strchr("\t\n\r", from[at]) && from[at] ? ' ' : '?';
        len += !len;
        used += len;
        at += len;
    }
    while (used > 0 && text[used - 1] == ' ')
        used--;
    text[used] = '\0';
}
