/*
 * The follower: a thread with a handle of its own that polls the store for what
 * other processes have committed, and brings it to the delivery loop. Only
 * where several processes may write.
 */
#ifndef INGOT_DAEMON_FOLLOWER_H
#define INGOT_DAEMON_FOLLOWER_H

#include "news.h"

struct igt_follower;

/* Starts the thread; the store is used by it alone until stop has returned. */
enum ingot_status igt_follower_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct igt_news_desk *desk,
                                     struct igt_follower **ret_follower, struct ingot_error *err);

/* Ends the thread, within a poll, and frees it. NULL is allowed. */
void igt_follower_stop(struct igt_follower *follower);

#endif
