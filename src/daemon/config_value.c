/* Checks of the configuration's single values; see config_value.h. */
#include "config_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define WORD_LEN_MAX 40

int igt_config_number(const char *text, double *ret_number)
{
    int64_t digits = 0, scale = 0; /* strtod() would follow the locale */
    size_t len = strlen(text);
    if (len == 0 || len > 15 || !isdigit((unsigned char)text[0]) ||
        !isdigit((unsigned char)text[len - 1]))
        return 0;
    for (; *text; text++) {
        if (*text == '.' && !scale) {
            scale = 1;
        } else if (isdigit((unsigned char)*text)) {
            digits = digits * 10 + (*text - '0');
            scale *= 10;
        } else {
            return 0;
        }
    }
    *ret_number = (double)digits / (double)(scale ? scale : 1);
    return 1;
}

/* A port in decimal; 0 to 65535. */
static int parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned port = 0;
    if (len == 0 || len > 5)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return 0;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return 0;
    *ret_port = (uint16_t)port;
    return 1;
}

/* Whether the bytes are a numeric address of that family; they are written with a NUL to host. */
static int is_numeric(int family, const char *text, size_t len, char host[INET6_ADDRSTRLEN])
{
    struct in6_addr address;
    if (len >= INET6_ADDRSTRLEN)
        return 0;
    memcpy(host, text, len);
    host[len] = '\0';
    return inet_pton(family, host, &address) == 1;
}

int igt_config_listen(const char *text, char ret_host[INET6_ADDRSTRLEN], uint16_t *ret_port)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    uint16_t port = 0;
    if (!colon || !parse_port(colon + 1, strlen(colon + 1), &port))
        return 0;
    size_t len = (size_t)(colon - text);
    int bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed ? !is_numeric(AF_INET6, text + 1, len - 2, host)
                  : !is_numeric(AF_INET, text, len, host))
        return 0;
    memcpy(ret_host, host, sizeof host);
    *ret_port = port;
    return 1;
}

static const char *authority_problem(const char *text, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    uint16_t port = 1;
    if (memchr(text, '@', len))
        return "must not hold a user or a password; send them in headers";
    const char *end = text + len;
    const char *close = text[0] == '[' ? memchr(text, ']', len) : NULL;
    const char *host_end = close ? close + 1 : memchr(text, ':', len);
    if (!host_end)
        host_end = end;
    if (host_end == text)
        return "has no host; write it behind the scheme";
    if (close ? !is_numeric(AF_INET6, text + 1, (size_t)(close - text - 1), address)
              : strspn(text, ALPHA DIGIT "-._") != (size_t)(host_end - text))
        return "has a host that is neither a name nor a numeric address";
    if (host_end < end && (*host_end != ':' ||
                           !parse_port(host_end + 1, (size_t)(end - host_end - 1), &port) || !port))
        return "has a port that is not a number from 1 to 65535";
    return NULL;
}

const char *igt_config_url_problem(const char *url)
{
    static const char *const schemes[] = {"http://", "https://"};
    const char *authority = NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strncasecmp(url, schemes[i], strlen(schemes[i])))
            authority = url + strlen(schemes[i]);
    if (!authority)
        return "must begin with http:// or https://";
    for (const char *at = url; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '\\')
            return "holds a character that must be percent-encoded (in a host: punycode)";
    if (strchr(url, '#'))
        return "must not have a fragment; remove \"#\" and what follows";
    return authority_problem(authority, strcspn(authority, "/?"));
}

int igt_config_is_header_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && strspn(name, ALPHA DIGIT "!#$%&'*+-.^_`|~") == len;
}

int igt_config_is_own_header(const char *name)
{
    static const char *const own[] = {"Idempotency-Key",   "Content-Type", "Content-Length", "Host",
                                      "Transfer-Encoding", "Connection",   "Expect"};
    static const char *const prefixes[] = {"webhook-", "Ingot-"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcasecmp(name, own[i]))
            return 1;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncasecmp(name, prefixes[i], strlen(prefixes[i])))
            return 1;
    return 0;
}

int igt_config_is_variable_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && !isdigit((unsigned char)name[0]) && strspn(name, ALPHA DIGIT "_") == len;
}

int igt_config_has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return 1;
    return 0;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t igt_config_distance(const char *from, const char *to)
{
    size_t row[WORD_LEN_MAX + 1], to_len = strlen(to);
    if (to_len > WORD_LEN_MAX || strlen(from) > WORD_LEN_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= to_len; j++)
        row[j] = j;
    for (size_t i = 0; from[i]; i++) {
        size_t diagonal = row[0]++;
        for (size_t j = 0; j < to_len; j++) {
            size_t other = tolower((unsigned char)from[i]) != tolower((unsigned char)to[j]);
            size_t here = least(diagonal + other, row[j] + 1, row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = here;
        }
    }
    return row[to_len];
}
