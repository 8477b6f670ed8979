/* `insert`: events a second by batch and by number of producers, beside the raw limit. */
#include "measure.h"

/* That one producer puts in, one by one. */
#define FEW_JOBS 800

static enum ingot_status insert_ingot(struct igt_bench *bench, const char *variant,
                                      unsigned producers, size_t batch, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const char *url = NULL;
    enum ingot_status status = igt_bench_make_store(bench, &url, err);
    /* The latency of few producers, who wait for the disk most of the time, needs no more. */
    const size_t most = FEW_JOBS * producers * batch;
    const size_t jobs = bench->options->jobs < most ? bench->options->jobs : most;
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

/*
 * The raw limit: the bytes that a source sends (id, source, name, data; not the jobs that
 * Ingot adds) into a table with no more than a key. On PostgreSQL by COPY in binary, on
 * SQLite by a prepared INSERT. What is the same for both sides: one connection that
 * writes, as Ingot's journal has; as many rows a commit as Ingot's last run had; each
 * commit on the disk before the next is counted; a new database, whose tables were made
 * before; 64 producers' threads are Ingot's own to bear. What is in Ingot's favour: it
 * sends the next commit while one is under way, which libpq cannot with COPY.
 */
static enum ingot_status insert_raw(struct igt_bench *bench, const char *variant, const char *like,
                                    struct ingot_error *err)
{
    const size_t batch = igt_way_like(bench, "insert", like).batch, jobs = bench->options->jobs;
    const struct igt_rival_filling filling = {IGT_RIVAL_RAW, jobs, batch};
    struct igt_sample sample = {.rows_a_commit = (double)batch};
    const char *url = NULL;
    int64_t took_us = 0;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    if (!status)
        status = igt_fill_rival(bench, url, &filling, &took_us, err);
    sample.value = (double)jobs * 1e6 / (double)took_us;
    return status ? status
                  : igt_bench_add_sample(bench, "insert", variant, "events/s", &sample, err);
}

enum ingot_status igt_measure_insert(struct igt_bench *bench, struct ingot_error *err)
{
    static const struct {
        const char *variant;
        unsigned producers;
        size_t batch;
        unsigned every; /* rounds */
    } ways[] = {{"64 producers", 64, 1, 1},
                {"8 producers", 8, 1, 1},
                {"1 producer", 1, 1, 1},
                {"64 producers, requests of 10", 64, 10, IGT_SELDOM},
                {"4 producers, requests of 100", 4, 100, IGT_SELDOM}};
    static const char raw[] = "raw limit, rows a commit of 64 producers";
    enum ingot_status status = INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways && !status; i++) {
            if (round % ways[i].every)
                continue;
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
