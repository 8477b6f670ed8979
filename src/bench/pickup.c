/* `pickup`: how long a job takes from its emit, and from its commit, to its hand-over. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

#define PICKUP_SECONDS 2

/* Those before do not count: a session's first commit opens all that it will need; a process starts. */
#define SESSION_READY_EVENTS 20
#define PROCESS_READY_SECONDS 1

/* The raw limit: what one commit takes at that rate, on a machine that rests between two. */
#define BY_HAND "a row inserted by hand"

/* Adds the latencies as a sample with their median as its value. */
static enum ingot_status add_latencies(struct igt_bench *bench, const char *variant,
                                       const int64_t *from, const int64_t *to, size_t count,
                                       struct ingot_error *err)
{
    struct igt_sample sample = {0};
    enum ingot_status status = igt_take_latencies(&sample, from, to, count, err);
    const struct igt_figure alone = {.samples = &sample, .sample_count = 1};
    sample.value = igt_figure_percentile_ms(&alone, 0.5);
    return status ? status : igt_bench_add_sample(bench, "pickup", variant, "ms", &sample, err);
}

static enum ingot_status pickup_alone(struct igt_bench *bench, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const struct igt_ledger *ledger = &outcome.ledger;
    const char *url = NULL;
    const size_t first = SESSION_READY_EVENTS;
    const size_t jobs = bench->options->rate * PICKUP_SECONDS;
    enum ingot_status status = igt_bench_make_store(bench, &url, err);
    const struct igt_course course = {.url = url,
                                      .role = IGT_ROLE_SCHEDULER,
                                      .made = first + jobs,
                                      .producers = 1,
                                      .batch = 1,
                                      .rate = (double)bench->options->rate};
    if (!status)
        status = igt_run_course(bench, &course, &outcome, err);
    if (!status)
        status = add_latencies(bench, "one process, from emit", ledger->submitted + first,
                               ledger->handed + first, jobs, err);
    if (!status)
        status = add_latencies(bench, "one process, from commit", ledger->decided + first,
                               ledger->handed + first, jobs, err);
    igt_course_outcome_fini(&outcome);
    return status;
}

/* ---- two processes ------------------------------------------------------ */

struct other {
    const char *url;
    struct igt_ledger *ledger;
};

static void deliver_apart(void *context, int until, int says)
{
    const struct other *other = context;
    struct ingot_error err = {0};
    struct igt_engine *engine = NULL;
    const struct igt_engine_config config = {.store = other->url,
                                             .role = IGT_ROLE_SCHEDULER,
                                             .concurrency = IGT_BENCH_CONCURRENCY,
                                             .ledger = other->ledger};
    (void)says;
    if (igt_engine_start(&config, &engine, &err) != INGOT_OK)
        fprintf(stderr, "bench: the other process: %s\n", err.message);
    else
        igt_apart_is_over(until, -1);
    igt_engine_destroy(engine);
}

static enum ingot_status produce(struct igt_bench *bench, const char *url,
                                 struct igt_ledger *ledger, struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_producers *producers = NULL;
    struct igt_sample sample = {0};
    const struct igt_engine_config config = {.store = url,
                                             .role = IGT_ROLE_GATEWAY,
                                             .concurrency = IGT_BENCH_CONCURRENCY,
                                             .ledger = ledger};
    enum ingot_status status = igt_engine_start(&config, &engine, err);
    if (!status) {
        const struct igt_production production = {
            .daemon = igt_engine_daemon(engine),
            .ledger = ledger,
            .threads = 1,
            .batch = 1,
            .count = ledger->size,
            .rate = (double)bench->options->rate,
        };
        status = igt_producers_start(&production, &producers, err);
    }
    if (!status)
        status = igt_wait_for_count(bench, igt_counter_of(ledger->handed_count), ledger->size,
                                    &sample, err);
    if (producers) {
        if (status)
            igt_producers_stop(producers);
        enum ingot_status ended = igt_producers_join(producers, status ? NULL : err);
        status = status ? status : ended;
    }
    igt_engine_destroy(engine);
    igt_sample_fini(&sample);
    return status;
}

static enum ingot_status pickup_across(struct igt_bench *bench, struct ingot_error *err)
{
    struct igt_ledger ledger = {0};
    struct igt_apart apart;
    const char *url = NULL;
    const size_t first = bench->options->rate * PROCESS_READY_SECONDS;
    const size_t jobs = bench->options->rate * PICKUP_SECONDS;
    const struct igt_shape shape = igt_plain_shape(bench);
    enum ingot_status status = igt_bench_make_store(bench, &url, err);
    if (!status)
        status = igt_ledger_create(first + jobs, &shape, &ledger, err);
    struct other other = {url, &ledger};
    if (!status)
        status = igt_apart_start(deliver_apart, &other, &apart, err);
    if (!status) {
        status = produce(bench, url, &ledger, err);
        igt_apart_end(&apart);
    }
    if (!status)
        status = add_latencies(bench, "two processes, from emit", ledger.submitted + first,
                               ledger.handed + first, jobs, err);
    if (!status)
        status = add_latencies(bench, "two processes, from commit", ledger.decided + first,
                               ledger.handed + first, jobs, err);
    igt_ledger_fini(&ledger);
    return status;
}

/* ---- the raw limit ------------------------------------------------------ */

static enum ingot_status insert_by_hand(struct igt_bench *bench, struct ingot_error *err)
{
    const size_t first = SESSION_READY_EVENTS;
    const size_t count = first + bench->options->rate * PICKUP_SECONDS;
    const char *url = NULL;
    int64_t *times = calloc(2 * count, sizeof *times);
    if (!times)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    if (!status)
        status = igt_insert_by_rate(bench, url, (double)bench->options->rate, count, times,
                                    times + count, err);
    if (!status)
        status =
            add_latencies(bench, BY_HAND, times + first, times + count + first, count - first, err);
    free(times);
    return status;
}

static void judge(struct igt_bench *bench, const char *variant, double p50, double p99)
{
    const struct igt_figure *figure = igt_bench_figure(bench, "pickup", variant);
    if (!figure)
        return;
    igt_bench_add_verdict(bench, igt_bench_text(bench, "pickup: %s, p50", variant), "ms",
                          igt_figure_percentile_ms(figure, 0.5), p50, IGT_BETTER_LOWER);
    igt_bench_add_verdict(bench, igt_bench_text(bench, "pickup: %s, p99", variant), "ms",
                          igt_figure_percentile_ms(figure, 0.99), p99, IGT_BETTER_LOWER);
}

enum ingot_status igt_measure_pickup(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        igt_bench_progress(bench, "pickup", "one process", round);
        status = pickup_alone(bench, err);
        if (!status && bench->options->baseline && round % IGT_SELDOM == 0) {
            igt_bench_progress(bench, "pickup", BY_HAND, round);
            status = insert_by_hand(bench, err);
        }
        if (status || igt_place_kind(bench->place) != IGT_PLACE_POSTGRES)
            continue;
        igt_bench_progress(bench, "pickup", "two processes", round);
        status = pickup_across(bench, err);
    }
    if (status)
        return status;
    judge(bench, "one process, from emit", 1.5, 5);
    judge(bench, "two processes, from emit", 5, 15);
    judge(bench, BY_HAND, 0, 0);
    return INGOT_OK;
}
