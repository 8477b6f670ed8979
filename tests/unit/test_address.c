/* Which addresses may be delivered to by default: both ends of every range, and its neighbours. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "destinations/destination.h"

static int judge(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return igt_address_is_public((const struct sockaddr *)&v4);
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
        fail_msg("%s is no address", text);
    return igt_address_is_public((const struct sockaddr *)&v6);
}

static void expect_all(const char *const *texts, size_t count, int public)
{
    for (size_t i = 0; i < count; i++) {
        if (judge(texts[i]) != public)
            fail_msg("%s must%s be public", texts[i], public ? "" : " not");
    }
}

static void special_v4_addresses_are_not_public(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0.0.0.0",         "0.255.255.255",   "10.0.0.0",        "10.255.255.255",
        "100.64.0.0",      "100.127.255.255", "127.0.0.0",       "127.0.0.1",
        "127.255.255.255", "169.254.0.0",     "169.254.169.254", "169.254.255.255",
        "172.16.0.0",      "172.31.255.255",  "192.0.0.0",       "192.0.0.255",
        "192.0.2.0",       "192.0.2.255",     "192.88.99.0",     "192.88.99.255",
        "192.168.0.0",     "192.168.255.255", "198.18.0.0",      "198.19.255.255",
        "198.51.100.0",    "198.51.100.255",  "203.0.113.0",     "203.0.113.255",
        "224.0.0.0",       "239.255.255.255", "240.0.0.0",       "255.255.255.254",
        "255.255.255.255",
    };
    expect_all(texts, sizeof texts / sizeof *texts, 0);
}

static void neighbours_of_special_v4_addresses_are_public(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "1.0.0.0",         "9.255.255.255",   "11.0.0.0",        "100.63.255.255", "100.128.0.0",
        "126.255.255.255", "128.0.0.0",       "169.253.255.255", "169.255.0.0",    "172.15.255.255",
        "172.32.0.0",      "191.255.255.255", "192.0.1.0",       "192.0.1.255",    "192.0.3.0",
        "192.88.98.255",   "192.88.100.0",    "192.167.255.255", "192.169.0.0",    "198.17.255.255",
        "198.20.0.0",      "198.51.99.255",   "198.51.101.0",    "203.0.112.255",  "203.0.114.0",
        "223.255.255.255", "8.8.8.8",
    };
    expect_all(texts, sizeof texts / sizeof *texts, 1);
}

static void special_v6_addresses_are_not_public(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "::",
        "::1",
        "100::",
        "100::ffff:ffff:ffff:ffff",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:2::1",
        "2001:20::1",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "4000::",
        "5f00::1",
        "fc00::",
        "fd12:3456:789a::1",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "ff00::",
        "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    expect_all(texts, sizeof texts / sizeof *texts, 0);
}

static void v6_addresses_that_embed_v4_are_not_public(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::10.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:ffff:ffff::",
        "2001:0:7f00:1::",
        "2001::5601:5601",
    };
    expect_all(texts, sizeof texts / sizeof *texts, 0);
}

static void global_v6_addresses_are_public(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "2000::",
        "2001:200::",
        "2001:4860:4860::8888",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2003::",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    expect_all(texts, sizeof texts / sizeof *texts, 1);
}

static void other_families_are_not_public(void **state)
{
    (void)state;
    const struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    const struct sockaddr_in none = {.sin_family = AF_UNSPEC, .sin_addr.s_addr = htonl(0x08080808)};
    assert_false(igt_address_is_public((const struct sockaddr *)&local));
    assert_false(igt_address_is_public((const struct sockaddr *)&none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_v4_addresses_are_not_public),
        cmocka_unit_test(neighbours_of_special_v4_addresses_are_public),
        cmocka_unit_test(special_v6_addresses_are_not_public),
        cmocka_unit_test(v6_addresses_that_embed_v4_are_not_public),
        cmocka_unit_test(global_v6_addresses_are_public),
        cmocka_unit_test(other_families_are_not_public),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
