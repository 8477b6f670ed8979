/* Which addresses the public internet routes, by the IANA registries of special-purpose addresses. */
#include "destination.h"

#include <netinet/in.h>
#include <string.h>

/* The addresses whose first bits are those of prefix. */
struct range {
    uint8_t prefix[16];
    unsigned bits;
};

static const struct range not_public_v4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared with the provider */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local, and the metadata of clouds */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* relays of 6to4 */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, and broadcast */
};

/*
 * All that is global unicast today. Outside of it are loopback, link-local,
 * site-local, unique local, multicast, and the mapped, compatible and NAT64
 * forms, in which a v4 address would pass by the table above.
 */
static const struct range global_v6 = {{0x20}, 3};

static const struct range not_public_v6[] = {
    {{0x20, 0x01}, 23},             /* protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4, which holds a v4 address */
    {{0x3f, 0xff}, 20},             /* documentation */
};

static int within(const uint8_t *address, const struct range *range)
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(address, range->prefix, whole) != 0)
        return 0;
    return rest == 0 || (address[whole] ^ range->prefix[whole]) >> (8 - rest) == 0;
}

static int within_any(const uint8_t *address, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (within(address, &ranges[i]))
            return 1;
    }
    return 0;
}

int igt_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        uint8_t bytes[4];
        memcpy(bytes, &v4->sin_addr, sizeof bytes);
        return !within_any(bytes, not_public_v4, sizeof not_public_v4 / sizeof *not_public_v4);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        const uint8_t *bytes = v6->sin6_addr.s6_addr;
        return within(bytes, &global_v6) &&
               !within_any(bytes, not_public_v6, sizeof not_public_v6 / sizeof *not_public_v6);
    }
    return 0;
}
