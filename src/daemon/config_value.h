/*
 * Checks of the configuration's single values. Nothing here knows YAML, and
 * nothing quotes a value in a message: some of them are secrets.
 */
#ifndef INGOT_DAEMON_CONFIG_VALUE_H
#define INGOT_DAEMON_CONFIG_VALUE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A number such as 20 or 0.25: digits, perhaps a point among them, at most 15
 * characters. Returns 0 if it is none.
 */
int igt_config_number(const char *text, double *ret_number);

/* Splits "127.0.0.1:8080" or "[::1]:8080"; the address is numeric. Returns 0 if it is not that. */
int igt_config_listen(const char *text, char ret_host[INET6_ADDRSTRLEN], uint16_t *ret_port);

/*
 * What is wrong with a destination's URL, in words that follow its key; NULL
 * if nothing is. Stricter than RFC 3986 in the host, so that no two readers of
 * the URL can differ about it.
 */
const char *igt_config_url_problem(const char *url);

/* Whether it is a token of RFC 9110 section 5.6.2. */
int igt_config_is_header_name(const char *name);

/* Whether Ingot or the HTTP client sets that header itself. */
int igt_config_is_own_header(const char *name);

/* Whether a shell could name a variable so. */
int igt_config_is_variable_name(const char *name);

/* Whether there is a byte below 0x20, or DEL. */
int igt_config_has_control(const char *text);

/* How many letters to insert, leave out or exchange from word to word; case does not count. */
size_t igt_config_distance(const char *from, const char *to);

#endif
