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

uint32_t igt_character_decode(const void *character, size_t len)
{
    const uint8_t *at = character;
    uint32_t code_point = len == 1 ? at[0] : at[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        code_point = code_point << 6 | (at[i] & 0x3fu);
    return code_point;
}

int igt_character_is_printable(uint32_t code_point)
{
    static const struct {
        uint32_t first, last;
    } unprintable[] = {
        {0x0000, 0x001f},    /* C0 controls */
        {0x007f, 0x009f},    /* DEL and C1 controls */
        {0x00ad, 0x00ad},    /* soft hyphen */
        {0x061c, 0x061c},    /* Arabic letter mark */
        {0x200b, 0x200f},    /* no width, direction */
        {0x2028, 0x202e},    /* separators of lines, direction */
        {0x2060, 0x206f},    /* no width, direction */
        {0xd800, 0xf8ff},    /* surrogates, private use */
        {0xfdd0, 0xfdef},    /* no characters */
        {0xfeff, 0xfeff},    /* byte order mark */
        {0xfff0, 0xffff},    /* specials */
        {0xe0000, 0x10ffff}, /* tags, private use */
    };
    for (size_t i = 0; i < sizeof unprintable / sizeof *unprintable; i++)
        if (code_point >= unprintable[i].first && code_point <= unprintable[i].last)
            return 0;
    return 1;
}
