/* ingot bench: what a store and its surroundings do on this machine, and what others would. */
#ifndef INGOT_BENCH_BENCH_H
#define INGOT_BENCH_BENCH_H

#include "report.h"

struct igt_bench_options {
    const char *store; /* URL: where the measured stores are made */
    unsigned rounds;   /* of each variant, interleaved */
    size_t jobs;       /* of a run */
    size_t history;    /* finished jobs that stand before a long history is measured */
    size_t live;       /* jobs that wait when a start is measured */
    size_t data_bytes; /* payload of an event */
    size_t most;       /* jobs of the longest run of `growth` */
    unsigned producers;
    size_t batch; /* events of a producer's request */
    size_t rate;  /* events a second when `pickup` is measured */
    int baseline; /* also measure the queue written by hand and the raw limit */
    void (*progress)(const char *bench, const char *variant, unsigned round);
    const char *program; /* path of `ingot`: what is cold is measured in a process of its own */
    /* its progress is asked now and then whether to stop; nothing else of it is used */
    const struct ingot_toolkit *toolkit;
};

/* The names of what can be measured, ended by NULL. */
const char *const *igt_bench_names(void);

struct igt_bench;

/* Whether there is one of that name. */
int igt_bench_has(const char *name);

/* Whether it is among "all": what takes very long is not. */
int igt_bench_is_in_all(const char *name);

/*
 * Sees that stores can be made in the place, and notes the facts; options must
 * outlive it. INGOT_INVALID for a store that cannot be measured.
 */
enum ingot_status igt_bench_create(const struct igt_bench_options *options,
                                   struct igt_bench **ret_bench, struct ingot_error *err);
void igt_bench_destroy(struct igt_bench *bench); /* NULL is allowed */

/*
 * Measures one of the names. INGOT_NOT_FOUND: there is none of that name;
 * INGOT_CLOSED: the user wants to stop.
 */
enum ingot_status igt_bench_run(struct igt_bench *bench, const char *name, struct ingot_error *err);

/* All that was measured so far; valid until the next run. */
const struct igt_findings *igt_bench_findings(struct igt_bench *bench);

#endif
