/* Ranges of bytes; see ingot.h. */
#include <ingot/ingot.h>

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
