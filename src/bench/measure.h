/*
 * What the measurements share: figures and verdicts, runs of Ingot and of the
 * queue written by hand, stores with a history, processes of their own.
 */
#ifndef INGOT_BENCH_MEASURE_H
#define INGOT_BENCH_MEASURE_H

#include "bench.h"
#include "engine.h"
#include "filling.h"
#include "place.h"
#include "rival.h"

#include <sys/types.h>

#define IGT_FIGURES_MAX 128
#define IGT_VERDICTS_MAX 64
#define IGT_FACTS_MAX 48
#define IGT_HISTORIES_MAX 4

/* A store with finished jobs that stays from one run to the next. */
struct igt_history {
    struct igt_place *place;
    const char *url;
    size_t finished;
};

struct igt_bench {
    const struct igt_bench_options *options;
    struct igt_place *place;
    struct igt_figure figures[IGT_FIGURES_MAX];
    size_t figure_count;
    struct igt_verdict verdicts[IGT_VERDICTS_MAX];
    size_t verdict_count;
    struct igt_fact facts[IGT_FACTS_MAX];
    size_t fact_count;
    char *texts[IGT_FIGURES_MAX + IGT_VERDICTS_MAX + IGT_FACTS_MAX]; /* that were made for them */
    size_t text_count;
    struct igt_history histories[IGT_HISTORIES_MAX];
    size_t history_count;
    struct igt_findings findings;
    char took[512]; /* of what was measured: "insert 31 s, drain 52 s" */
};

/* ---- figures: bench.c --------------------------------------------------- */

/* A text that lives as long as the bench; "" when there is no room for it. */
const char *igt_bench_text(struct igt_bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A count as people read it: "5,000,000". */
const char *igt_bench_count(struct igt_bench *bench, size_t count);

/* A name that has no value, "", is left out. */
void igt_bench_add_fact(struct igt_bench *bench, const char *name, const char *value);

/* NULL if it was not measured. */
struct igt_figure *igt_bench_figure(struct igt_bench *bench, const char *name, const char *variant);
double igt_bench_median(struct igt_bench *bench, const char *name, const char *variant);

/* Takes a sample over, also on failure; the figure is made with the first. */
enum ingot_status igt_bench_add_sample(struct igt_bench *bench, const char *name,
                                       const char *variant, const char *unit,
                                       struct igt_sample *sample, struct ingot_error *err);

void igt_bench_add_verdict(struct igt_bench *bench, const char *what, const char *unit,
                           double value, double aim, enum igt_better better);

/* Sets the medians of two variants against each other, if both were measured. */
void igt_bench_compare(struct igt_bench *bench, const char *name, const char *variant,
                       const char *with, double aim);

/* The aim for the kind of store that is measured. */
double igt_bench_aim(const struct igt_bench *bench, double postgres, double sqlite);

void igt_bench_progress(struct igt_bench *bench, const char *name, const char *variant,
                        unsigned round);

/* INGOT_CLOSED once the user wants to stop. */
enum ingot_status igt_bench_go_on(const struct igt_bench *bench, struct ingot_error *err);

/* Makes a new store and its schema, which is not to be measured; *ret_url as igt_place_make(). */
enum ingot_status igt_bench_make_store(struct igt_bench *bench, const char **ret_url,
                                       struct ingot_error *err);

/* What no aim is about, and takes its time, is not measured in every round: the first of so many. */
#define IGT_SELDOM 3

/* ---- runs of Ingot: course.c -------------------------------------------- */

/* Claims and attempts under way at a time: so many that commits are large, as for a fast destination. */
#define IGT_BENCH_CONCURRENCY 4096

/* How many jobs producers may be ahead of delivery when both are measured at once. */
#define IGT_BENCH_AHEAD 5000

/* A count that grows, to be read at any time. */
struct igt_counter {
    size_t (*read)(void *context);
    void *context;
};
struct igt_counter igt_counter_of(const _Atomic size_t *count);

/*
 * Waits until the counter has come to count, and notes in the sample what was
 * done in each tick. INGOT_IO if it does not get on, INGOT_CLOSED if the user stops.
 */
enum ingot_status igt_wait_for_count(const struct igt_bench *bench, struct igt_counter counter,
                                     size_t count, struct igt_sample *sample,
                                     struct ingot_error *err);

/* What a run of the engine does. */
struct igt_course {
    const char *url;
    enum igt_role role;
    size_t waiting; /* jobs that wait in the store, numbered from 0 */
    size_t made;    /* jobs that producers make meanwhile */
    unsigned producers;
    size_t batch;
    size_t ahead;
    double rate;
    struct igt_shape shape; /* of the events; zero: plain */
};

/* The payload that the user wants, one destination, one job an event. */
struct igt_shape igt_plain_shape(const struct igt_bench *bench);

/* What came of it. */
struct igt_course_outcome {
    struct igt_ledger ledger;
    struct igt_journal_numbers numbers;
    int64_t ended_us;
    struct igt_sample sample;
};
void igt_course_outcome_fini(struct igt_course_outcome *outcome);

/* outcome is zero, and to be finished also on failure. */
enum ingot_status igt_run_course(struct igt_bench *bench, const struct igt_course *course,
                                 struct igt_course_outcome *outcome, struct ingot_error *err);

/* The earliest of those that are not 0. */
int64_t igt_first_of(const int64_t *times, size_t count);

/* What lies between the instants of each job that has both. */
enum ingot_status igt_take_latencies(struct igt_sample *sample, const int64_t *from,
                                     const int64_t *to, size_t count, struct ingot_error *err);

/* Jobs that wait, worked to the end; jobs that are made and worked at the same time. */
enum ingot_status igt_drain_ingot(struct igt_bench *bench, const char *name, const char *variant,
                                  const char *url, struct ingot_error *err);
enum ingot_status igt_lifecycle_ingot(struct igt_bench *bench, const char *name,
                                      const char *variant, const char *url,
                                      struct ingot_error *err);

/* ---- runs of the rivals: rivals.c --------------------------------------- */

/* How the queue written by hand is used. */
struct igt_rival_way {
    unsigned connections; /* 16 at most */
    size_t batch;
    enum { IGT_WORK_IN_TWO, IGT_WORK_AT_ONCE } work;
};

/* As a good engineer would use it. */
struct igt_rival_variant {
    const char *variant;
    struct igt_rival_way way;
};
#define IGT_RIVAL_VARIANTS 3
extern const struct igt_rival_variant igt_rival_variants[IGT_RIVAL_VARIANTS];
#define IGT_RIVAL_ALIKE "queue, 1 connection, rows a commit as Ingot"

/* The queue with as many writing connections and rows a commit as the last run of Ingot. */
struct igt_rival_way igt_way_like(struct igt_bench *bench, const char *name, const char *variant);

/* Inserts jobs into a rival's table, so many a commit; makes the table. */
struct igt_rival_filling {
    enum igt_rival_kind kind;
    size_t count, batch;
};

/* *ret_us: how long the rows took, without the connection and the table; NULL is allowed. */
enum ingot_status igt_fill_rival(const struct igt_bench *bench, const char *url,
                                 const struct igt_rival_filling *filling, int64_t *ret_us,
                                 struct ingot_error *err);

/*
 * Inserts rows into the queue by hand, rate a second, each in a commit of its own; from and
 * to get the instants at which each began and was on the disk.
 */
enum ingot_status igt_insert_by_rate(const struct igt_bench *bench, const char *url, double rate,
                                     size_t count, int64_t *from, int64_t *to,
                                     struct ingot_error *err);

/* What a run of the queue does. */
struct igt_rival_course {
    const char *url;
    struct igt_rival_way way;
    size_t jobs;         /* to be worked in all */
    size_t made;         /* of them, those that the workers insert themselves */
    size_t insert_batch; /* rows of a commit of these */
};

/* Gives jobs a second. */
enum ingot_status igt_run_rival(const struct igt_bench *bench,
                                const struct igt_rival_course *course, struct igt_sample *sample,
                                struct ingot_error *err);

/* ---- stores with a history: history.c ----------------------------------- */

/*
 * The URL of a store in which that many jobs are finished and none is live. Made
 * when it is first asked for; who leaves other jobs than finished ones in it
 * has it forgotten.
 */
enum ingot_status igt_history_get(struct igt_bench *bench, size_t finished, const char **ret_url,
                                  struct ingot_error *err);
void igt_history_forget(struct igt_bench *bench, size_t finished);

/* ---- processes of their own: apart.c ------------------------------------ */

struct igt_apart {
    pid_t pid;
    int until; /* the process ends when this is closed */
    int says;  /* what it says can be read here */
};

/*
 * Forks while this process has no other threads. work runs in the child, until
 * `until` is at its end; it says what it found by writing to `says`.
 */
enum ingot_status igt_apart_start(void (*work)(void *context, int until, int says), void *context,
                                  struct igt_apart *apart, struct ingot_error *err);

/* Reads what the process says, all of it; INGOT_IO if it ended before. */
enum ingot_status igt_apart_hear(const struct igt_bench *bench, const struct igt_apart *apart,
                                 void *what, size_t size, struct ingot_error *err);

/* In the child: whether it is to end. Waits for it up to that long; -1: for ever. */
int igt_apart_is_over(int until, int wait_ms);

void igt_apart_end(struct igt_apart *apart);

/* ---- the measurements, one of each name --------------------------------- */

enum ingot_status igt_measure_insert(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_drain(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_lifecycle(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_pickup(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_pinned(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_http_in(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_http_out(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_history(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_find(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_start(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_memory(struct igt_bench *bench, struct ingot_error *err);
enum ingot_status igt_measure_growth(struct igt_bench *bench, struct ingot_error *err);

/* Machine, versions, settings, options: facts.c */
enum ingot_status igt_bench_note_facts(struct igt_bench *bench, struct ingot_error *err);

#endif
