/*
 * The pulse: a thread with a handle of its own, so that no slow commit delays
 * it, that shows that this process lives, and sees who else does (PROTOCOL 5).
 */
#ifndef INGOT_DAEMON_PULSE_H
#define INGOT_DAEMON_PULSE_H

#include "config.h"
#include "news.h"

struct igt_pulse_config {
    ingot_ksuid process;
    enum igt_role role;
    int64_t lease_us;
    /* Writes the members of a JSON object, for people; called on the pulse's thread. */
    void (*describe)(void *context, struct igt_buffer *about);
    /* Told after each look at the store what came of it, on the same thread. */
    void (*looked)(void *context, enum ingot_status status);
    void *context;
};

struct igt_pulse;

/* Starts the thread; the store is used by it alone until stop has returned. */
enum ingot_status igt_pulse_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                  const struct igt_pulse_config *config,
                                  const struct igt_news_desk *desk, struct igt_pulse **ret_pulse,
                                  struct ingot_error *err);

/*
 * Ends the thread with a last heartbeat without lanes, so that others take them
 * at once; then frees it. NULL is allowed.
 */
void igt_pulse_stop(struct igt_pulse *pulse);

#endif
