/* Starting a thread of one's own. */
#ifndef INGOT_CORE_THREAD_H
#define INGOT_CORE_THREAD_H

#include <ingot/ingot.h>

#include <pthread.h>

/*
 * Starts a thread that bears a name of at most 15 bytes, for `top -H` and debuggers; the
 * caller joins it. On failure INGOT_IO, and the error says why.
 */
enum ingot_status igt_thread_start(pthread_t *ret_thread, const char *name,
                                   void *(*run)(void *context), void *context,
                                   struct ingot_error *err);

#endif
