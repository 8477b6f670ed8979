/* The daemon: store, journal, gateway and delivery in one process, from start to end. */
#ifndef INGOT_DAEMON_DAEMON_H
#define INGOT_DAEMON_DAEMON_H

#include "config.h"

/*
 * Runs a role until SIGTERM or SIGINT, or until the store fails; logs through the
 * toolkit. INGOT_HELD when another process has the store.
 */
enum ingot_status igt_daemon_run(struct igt_config *config, enum igt_role role,
                                 const struct ingot_toolkit *toolkit, struct ingot_error *err);

#endif
