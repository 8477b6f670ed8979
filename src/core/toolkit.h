/*
 * What the outside lends to a call (struct ingot_toolkit), with what the system
 * offers in place of a toolkit or of a member that is NULL.
 */
#ifndef INGOT_CORE_TOOLKIT_H
#define INGOT_CORE_TOOLKIT_H

#include <ingot/ingot.h>

/* Longer log messages are cut. */
#define IGT_LOG_BYTES_MAX 1024

/* The instant; without a clock in the toolkit the system's. */
int64_t igt_now_us(const struct ingot_toolkit *toolkit);

/* Fills out; without random numbers in the toolkit with the system's, fit for secrets. */
void igt_random(const struct ingot_toolkit *toolkit, void *out, size_t size);

/* Logs one line of logfmt; without a log in the toolkit nothing happens. */
void igt_log(const struct ingot_toolkit *toolkit, enum ingot_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells how far a long call is; non-zero asks it to stop. total is 0 when unknown. */
int igt_progress(const struct ingot_toolkit *toolkit, uint64_t done, uint64_t total);

#endif
