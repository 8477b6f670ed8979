/* `insert`: events a second by batch and by number of producers, beside the raw limit. */
#include "measure.h"

#include <stdlib.h>

static enum ingot_status insert_ingot(struct igt_bench *bench, const char *variant,
                                      unsigned producers, size_t batch, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const char *url = NULL;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    /* The latency of one producer needs no more. */
    size_t jobs = producers * batch < 64 ? bench->options->jobs / 10 : bench->options->jobs;
    const struct igt_course course = {
        .url = url, .role = IGT_ROLE_GATEWAY, .made = jobs, .producers = producers, .batch = batch};
    if (!status)
        status = igt_run_course(bench, &course, &outcome, err);
    if (!status) {
        const int64_t *decided = outcome.ledger.decided;
        int64_t began_us = igt_first_of(outcome.ledger.submitted, jobs), ended_us = 0;
        for (size_t i = 0; i < jobs; i++)
            ended_us = decided[i] > ended_us ? decided[i] : ended_us;
        outcome.sample.value = (double)jobs * 1e6 / (double)(ended_us - began_us);
        status = igt_take_latencies(&outcome.sample, outcome.ledger.submitted, decided, jobs, err);
    }
    if (!status)
        status = igt_bench_add_sample(bench, "insert", variant, "events/s", &outcome.sample, err);
    igt_course_outcome_fini(&outcome);
    return status;
}

/* Nothing but rows of the same bytes, so many a commit as the last sample of Ingot had. */
static enum ingot_status insert_raw(struct igt_bench *bench, const char *variant, const char *like,
                                    struct ingot_error *err)
{
    const size_t batch = igt_way_like(bench, "insert", like).batch, jobs = bench->options->jobs;
    struct igt_sample sample = {.rows_a_commit = (double)batch};
    const char *url = NULL;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    struct igt_rival *rival = NULL;
    if (!status) /* the table is not to be measured */
        status = igt_rival_open(url, IGT_RIVAL_RAW, &rival, err);
    igt_rival_close(rival);
    int64_t began_us = igt_bench_now_us();
    if (!status)
        status = igt_fill_rival(bench, url, IGT_RIVAL_RAW, jobs, batch, err);
    sample.value = (double)jobs * 1e6 / (double)(igt_bench_now_us() - began_us);
    return status ? status
                  : igt_bench_add_sample(bench, "insert", variant, "events/s", &sample, err);
}

enum ingot_status igt_measure_insert(struct igt_bench *bench, struct ingot_error *err)
{
    static const struct {
        const char *variant;
        unsigned producers;
        size_t batch;
    } ways[] = {{"64 producers", 64, 1},
                {"8 producers", 8, 1},
                {"1 producer", 1, 1},
                {"4 producers, requests of 100", 4, 100}};
    static const char raw[] = "raw limit, rows a commit of 64 producers";
    enum ingot_status status = INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways && !status; i++) {
            igt_bench_progress(bench, "insert", ways[i].variant, round);
            status = insert_ingot(bench, ways[i].variant, ways[i].producers, ways[i].batch, err);
        }
        if (!status && bench->options->baseline) {
            igt_bench_progress(bench, "insert", raw, round);
            status = insert_raw(bench, raw, ways[0].variant, err);
        }
    }
    if (!status)
        igt_bench_compare(bench, "insert", ways[0].variant, raw, 0.6);
    return status;
}
