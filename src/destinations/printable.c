/* What a destination said, made fit for a log and an error's JSON; see destination.h. */
#include "destination.h"

#include <string.h>

/* What is no graphic character, or changes how its neighbours are shown. */
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

static int is_printable(uint32_t character)
{
    for (size_t i = 0; i < sizeof unprintable / sizeof *unprintable; i++) {
        if (character >= unprintable[i].first && character <= unprintable[i].last)
            return 0;
    }
    return 1;
}

/* The length of the printable character of UTF-8 (RFC 3629) at the beginning, or 0. */
static size_t character_len(const unsigned char *bytes, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need = bytes[0] < 0x80             ? 1
                  : (bytes[0] & 0xe0) == 0xc0 ? 2
                  : (bytes[0] & 0xf0) == 0xe0 ? 3
                  : (bytes[0] & 0xf8) == 0xf0 ? 4
                                              : 0;
    if (need == 0 || need > len)
        return 0;
    uint32_t character = need == 1 ? bytes[0] : bytes[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3fu);
    }
    if (character < least[need] || character > 0x10ffff || !is_printable(character))
        return 0;
    return need;
}

void igt_printable(char *text, size_t size, struct ingot_bytes bytes)
{
    const unsigned char *from = bytes.data;
    size_t used = 0;
    for (size_t at = 0; at < bytes.len;) {
        size_t len = character_len(from + at, bytes.len - at);
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
