/* Ranges of bytes; see ingot.h and bytes.h. */
#include "bytes.h"

#include <string.h>

struct ingot_bytes ingot_bytes_of(const char *text)
{
    return (struct ingot_bytes){text, text ? strlen(text) : 0};
}

int ingot_bytes_equal(struct ingot_bytes a, struct ingot_bytes b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

size_t igt_character_len(struct ingot_bytes text)
{
    const uint8_t *at = text.data;
    if (text.len == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    size_t len = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (len == 0 || text.len < len)
        return 0;
    /* overlong forms, surrogates, beyond U+10FFFF */
    unsigned least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < least || at[1] > most)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}
