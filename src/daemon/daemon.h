/* The daemon: store, journal, gateway and delivery in one process, from start to end. */
#ifndef INGOT_DAEMON_DAEMON_H
#define INGOT_DAEMON_DAEMON_H

#include "config.h"
#include "journal.h"

struct igt_daemon;

/*
 * Starts a role; logs through the toolkit. config and toolkit must outlive it.
 * INGOT_HELD when another process has the store.
 */
enum ingot_status igt_daemon_start(struct igt_config *config, enum igt_role role,
                                   const struct ingot_toolkit *toolkit,
                                   struct igt_daemon **ret_daemon, struct ingot_error *err);

/* Delivers until SIGTERM, SIGINT or igt_daemon_end(), or until the store fails: then its status. */
enum ingot_status igt_daemon_run(struct igt_daemon *daemon, struct ingot_error *err);

/* Asks it to end as SIGTERM does. Any thread, until stop. */
void igt_daemon_end(struct igt_daemon *daemon);

/* Ends all threads and frees; run must have returned. NULL is allowed. */
void igt_daemon_stop(struct igt_daemon *daemon);

/* For a program that runs a daemon in itself; valid until stop. Any thread. */
struct igt_journal *igt_daemon_journal(struct igt_daemon *daemon);
const char *igt_daemon_address(const struct igt_daemon *daemon); /* NULL without a gateway */
struct igt_scheduler_numbers igt_daemon_numbers(struct igt_daemon *daemon);

#endif
