/* A call's log, clock, random numbers and progress, or the system's; see toolkit.h. */
#include "toolkit.h"

#include "instant.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Random bytes read ahead, so that an id does not cost a system call. */
static _Thread_local struct {
    size_t left;
    unsigned char bytes[512];
} pool;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_is_watched;

int64_t igt_now_us(const struct ingot_toolkit *toolkit)
{
    if (toolkit && toolkit->now_us)
        return toolkit->now_us(toolkit->context);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * IGT_SECOND_US + now.tv_nsec / 1000;
}

/* Parent and child must not draw the same bytes; a child has only the thread that forked. */
static void forget_pool(void)
{
    pool.left = 0;
}

static void watch_fork(void)
{
    fork_is_watched = pthread_atfork(NULL, NULL, forget_pool) == 0;
}

static void read_system(unsigned char *out, size_t size)
{
    while (size) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            /* Ids could repeat and secrets be guessed: nothing that a caller could mend. */
            abort();
        }
        out += got;
        size -= (size_t)got;
    }
}

void igt_random(const struct ingot_toolkit *toolkit, void *out, size_t size)
{
    if (toolkit && toolkit->random) {
        toolkit->random(toolkit->context, out, size);
        return;
    }
    pthread_once(&fork_once, watch_fork);
    if (!fork_is_watched || size > sizeof pool.bytes) {
        read_system(out, size);
        return;
    }
    if (pool.left < size) {
        read_system(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
    }
    pool.left -= size;
    memcpy(out, pool.bytes + pool.left, size);
    /* What was drawn may be a secret. */
    memset(pool.bytes + pool.left, 0, size);
}

void igt_log(const struct ingot_toolkit *toolkit, enum ingot_level level, const char *format, ...)
{
    if (!toolkit || !toolkit->log)
        return;
    char message[IGT_LOG_BYTES_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    toolkit->log(toolkit->context, level, message);
}

int igt_progress(const struct ingot_toolkit *toolkit, uint64_t done, uint64_t total)
{
    return toolkit && toolkit->progress ? toolkit->progress(toolkit->context, done, total) : 0;
}
