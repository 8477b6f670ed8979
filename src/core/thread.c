/* Starting a thread; see thread.h. */
#include "thread.h"

#include <string.h>

enum ingot_status igt_thread_start(pthread_t *ret_thread, const char *name,
                                   void *(*run)(void *context), void *context,
                                   struct ingot_error *err)
{
    int code = pthread_create(ret_thread, NULL, run, context);
    if (code)
        return ingot_error_set(err, INGOT_IO, "%s: could not start a thread: %s", name,
                               strerror(code));
    pthread_setname_np(*ret_thread, name);
    return INGOT_OK;
}
