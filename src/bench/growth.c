/*
 * `growth`: what a job costs when there are more of them, more destinations, more
 * jobs of an event, larger payloads: jobs a second of whole lives, each point on a
 * store of its own. It is not among all, for it takes long.
 */
#include "measure.h"

#include <stdlib.h>

#define LEAST_JOBS 10000
#define POINTS_MAX 24

/* Jobs of all runs of a point together: what is long is not run in every round. */
#define JOBS_A_POINT 2000000

/* Bytes of all payloads of a run, but for so many jobs at least. */
#define PAYLOADS_BYTES (100u << 20)
#define FEWEST_JOBS 100

/* Bytes of a request at most, but for one event. */
#define REQUEST_BYTES 100000

struct point {
    const char *variant;
    size_t jobs;
    struct igt_shape shape;
};

struct points {
    struct point all[POINTS_MAX];
    size_t count;
    const struct point *most; /* the one of the most jobs */
};

/* ---- what is run -------------------------------------------------------- */

static void add_point(struct points *points, const char *variant, size_t jobs,
                      struct igt_shape shape)
{
    if (points->count < POINTS_MAX)
        points->all[points->count++] = (struct point){variant, jobs, shape};
}

/* From 10,000 jobs tenfold up to the most. */
static void add_sizes(struct igt_bench *bench, struct points *points)
{
    const size_t most = bench->options->most;
    size_t jobs = most < LEAST_JOBS ? most : LEAST_JOBS;
    for (; jobs <= most; jobs *= 10)
        add_point(points, igt_bench_text(bench, "%s jobs", igt_bench_count(bench, jobs)), jobs,
                  igt_plain_shape(bench));
    points->most = &points->all[points->count - 1];
}

static void add_destinations(struct igt_bench *bench, struct points *points)
{
    static const unsigned counts[] = {1, 4, 16, 64};
    struct igt_shape shape = igt_plain_shape(bench);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        shape.destinations = counts[i];
        add_point(points,
                  igt_bench_text(bench, "%u destination%s, a job an event", counts[i],
                                 counts[i] > 1 ? "s" : ""),
                  bench->options->jobs, shape);
    }
}

/* The first of them, a job an event, is among the destinations. */
static void add_fan_outs(struct igt_bench *bench, struct points *points)
{
    static const unsigned counts[] = {3, 10};
    struct igt_shape shape = igt_plain_shape(bench);
    shape.destinations = 16;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        shape.fan_out = counts[i];
        add_point(points, igt_bench_text(bench, "16 destinations, %u jobs an event", counts[i]),
                  bench->options->jobs / counts[i] * counts[i], shape);
    }
}

static void add_payloads(struct igt_bench *bench, struct points *points)
{
    static const struct {
        const char *variant;
        size_t bytes;
    } payloads[] = {{"payload of 100 B", 100},
                    {"payload of 1 kB", 1000},
                    {"payload of 10 kB", 10000},
                    {"payload of 100 kB", 100000},
                    {"payload of 1 MB", 1000000}};
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        const size_t bytes = payloads[i].bytes, fit = PAYLOADS_BYTES / bytes;
        const size_t jobs = fit < bench->options->jobs ? fit : bench->options->jobs;
        add_point(points, payloads[i].variant, jobs > FEWEST_JOBS ? jobs : FEWEST_JOBS,
                  (struct igt_shape){bytes, 1, 1});
    }
}

/* ---- a run -------------------------------------------------------------- */

static enum ingot_status run_point(struct igt_bench *bench, const struct points *points,
                                   const struct point *point, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const size_t batch = bench->options->batch, fit = REQUEST_BYTES / point->shape.data_bytes;
    struct igt_course course = {.role = IGT_ROLE_SCHEDULER,
                                .made = point->jobs,
                                .producers = bench->options->producers,
                                .batch = fit < 1       ? 1
                                         : fit < batch ? fit
                                                       : batch,
                                .ahead = IGT_BENCH_AHEAD,
                                .shape = point->shape};
    enum ingot_status status = igt_bench_make_store(bench, &course.url, err);
    if (!status)
        status = igt_run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = igt_first_of(outcome.ledger.submitted, point->jobs);
        outcome.sample.value = (double)point->jobs * 1e6 / (double)(outcome.ended_us - began_us);
        if (point != points->most) /* of which it is to be seen that it stays as fast as it began */
            outcome.sample.timeline_count = 0;
        status =
            igt_bench_add_sample(bench, "growth", point->variant, "jobs/s", &outcome.sample, err);
    }
    igt_course_outcome_fini(&outcome);
    return status;
}

enum ingot_status igt_measure_growth(struct igt_bench *bench, struct ingot_error *err)
{
    struct points points = {.count = 0};
    enum ingot_status status = INGOT_OK;
    add_sizes(bench, &points);
    add_destinations(bench, &points);
    add_fan_outs(bench, &points);
    add_payloads(bench, &points);
    for (unsigned round = 0; round < bench->options->rounds && !status; round++)
        for (size_t i = 0; i < points.count && !status; i++) {
            const struct point *point = &points.all[i];
            if (round && (round + 1) * point->jobs > JOBS_A_POINT)
                continue;
            igt_bench_progress(bench, "growth", point->variant, round);
            status = run_point(bench, &points, point, err);
        }
    if (!status && points.most != &points.all[0])
        igt_bench_compare(bench, "growth", points.most->variant, points.all[0].variant, 0);
    return status;
}
