/*
 * The gateway: takes events in over HTTP and answers once they are durable.
 * The only file that knows the HTTP server's library. It has a thread of its
 * own; the journal answers from its own.
 */
#ifndef INGOT_DAEMON_GATEWAY_H
#define INGOT_DAEMON_GATEWAY_H

#include "core/routes.h"
#include "journal.h"

struct igt_gateway;

/*
 * Listens on a numeric address; port 0 takes any free one. routes must live as
 * long as the gateway. INGOT_DENIED or INGOT_IO name the address.
 */
enum ingot_status igt_gateway_start(const char *host, uint16_t port,
                                    const struct igt_routes *routes, struct igt_journal *journal,
                                    const struct ingot_toolkit *toolkit,
                                    struct igt_gateway **ret_gateway, struct ingot_error *err);

/* "127.0.0.1:8080", with the port that is in use. Valid until stop. */
const char *igt_gateway_address(const struct igt_gateway *gateway);

/*
 * What the store last answered when it was asked for nothing but a sign of life:
 * GET /healthz tells that it takes nothing. Without that it tells of the journal alone.
 */
void igt_gateway_note_store(struct igt_gateway *gateway, enum ingot_status status);

/* Takes nothing new: connections and requests that come are refused with 503. */
void igt_gateway_close(struct igt_gateway *gateway);

/*
 * Waits until what was taken in is answered, a second at most, then ends. The
 * journal must have been stopped, so that nothing is undecided. NULL is allowed.
 */
void igt_gateway_stop(struct igt_gateway *gateway);

#endif
