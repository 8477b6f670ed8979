/* Runs of Ingot: an engine, its producers, and what the ledger says afterwards; see measure.h. */
#include "measure.h"

#include <stdlib.h>

/* A run that does not get on is given up. */
#define STUCK_US (INT64_C(120) * 1000000)

/* ---- waiting for a count ------------------------------------------------ */

static size_t read_count(void *context)
{
    const _Atomic size_t *count = context;
    return atomic_load(count);
}

struct igt_counter igt_counter_of(const _Atomic size_t *count)
{
    return (struct igt_counter){read_count, (void *)(uintptr_t)count};
}

/* Notes every tick what a counter has grown by. */
struct watch {
    size_t last;
    int64_t next_us;
    struct igt_sample *sample;
};

static void tick(struct watch *watch, size_t count, int64_t now_us)
{
    struct igt_sample *sample = watch->sample;
    if (now_us < watch->next_us)
        return;
    if (sample->timeline_count == sample->timeline_size) {
        size_t size = sample->timeline_size ? sample->timeline_size * 2 : 64;
        double *grown = realloc(sample->timeline, size * sizeof *grown);
        if (!grown)
            return;
        sample->timeline = grown;
        sample->timeline_size = size;
    }
    sample->timeline[sample->timeline_count++] = (double)(count - watch->last) * 1e6 / IGT_TICK_US;
    watch->last = count;
    watch->next_us += IGT_TICK_US;
}

enum ingot_status igt_wait_for_count(const struct igt_bench *bench, struct igt_counter counter,
                                     size_t count, struct igt_sample *sample,
                                     struct ingot_error *err)
{
    int64_t now_us = igt_bench_now_us(), moved_us = now_us;
    size_t at = counter.read(counter.context), last = at;
    struct watch watch = {at, now_us + IGT_TICK_US, sample};
    enum ingot_status status = INGOT_OK;
    while (at < count && !status) {
        igt_bench_sleep_us(500);
        now_us = igt_bench_now_us();
        at = counter.read(counter.context);
        tick(&watch, at, now_us);
        if (at != last)
            moved_us = now_us;
        last = at;
        status = igt_bench_go_on(bench, err);
        if (!status && now_us - moved_us > STUCK_US)
            status = ingot_error_set(err, INGOT_IO, "bench: stuck at %zu of %zu jobs", at, count);
    }
    return status;
}

/* ---- a run -------------------------------------------------------------- */

void igt_course_outcome_fini(struct igt_course_outcome *outcome)
{
    igt_ledger_fini(&outcome->ledger);
    igt_sample_fini(&outcome->sample);
}

static double rows_of(const struct igt_journal_numbers *numbers)
{
    return numbers->commits
               ? (double)(numbers->events + numbers->transitions) / (double)numbers->commits
               : 0;
}

static enum ingot_status start_producers(const struct igt_course *course, struct igt_engine *engine,
                                         struct igt_ledger *ledger,
                                         struct igt_producers **ret_producers,
                                         struct ingot_error *err)
{
    const struct igt_production production = {
        .daemon = igt_engine_daemon(engine),
        .ledger = ledger,
        .threads = course->producers,
        .batch = course->batch,
        .count = course->made / ledger->shape.fan_out,
        .ahead = course->ahead,
        .rate = course->rate,
    };
    return igt_producers_start(&production, ret_producers, err);
}

/* What is measured is work, and not a start. */
static enum ingot_status await_start(const struct igt_bench *bench, struct igt_engine *engine,
                                     struct ingot_error *err)
{
    struct igt_sample unused = {0};
    enum ingot_status status =
        igt_wait_for_count(bench, igt_counter_of(igt_engine_recovered(engine)), 1, &unused, err);
    igt_sample_fini(&unused);
    return status;
}

struct igt_shape igt_plain_shape(const struct igt_bench *bench)
{
    return (struct igt_shape){bench->options->data_bytes, 1, 1};
}

enum ingot_status igt_run_course(struct igt_bench *bench, const struct igt_course *course,
                                 struct igt_course_outcome *outcome, struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_producers *producers = NULL;
    struct igt_ledger *ledger = &outcome->ledger;
    const struct igt_shape shape = course->shape.fan_out ? course->shape : igt_plain_shape(bench);
    const size_t jobs = course->waiting + course->made;
    enum ingot_status status = igt_ledger_create(jobs, &shape, ledger, err);
    const struct igt_engine_config config = {
        .store = course->url,
        .role = course->role,
        .concurrency = IGT_BENCH_CONCURRENCY / shape.destinations,
        .destinations = shape.destinations,
        .ledger = ledger,
    };
    if (!status)
        status = igt_engine_start(&config, &engine, err);
    if (!status && course->made && course->role != IGT_ROLE_GATEWAY)
        status = await_start(bench, engine, err);
    if (!status && course->made)
        status = start_producers(course, engine, ledger, &producers, err);
    if (!status)
        status = igt_wait_for_count(bench,
                                    igt_counter_of(course->role == IGT_ROLE_GATEWAY
                                                       ? ledger->decided_count
                                                       : ledger->handed_count),
                                    jobs, &outcome->sample, err);
    if (producers) {
        if (status)
            igt_producers_stop(producers);
        enum ingot_status ended = igt_producers_join(producers, status ? NULL : err);
        status = status ? status : ended;
    }
    if (!status)
        status = igt_engine_finish(engine, &outcome->ended_us, &outcome->numbers, err);
    igt_engine_destroy(engine);
    outcome->sample.rows_a_commit = rows_of(&outcome->numbers);
    return status;
}

int64_t igt_first_of(const int64_t *times, size_t count)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (times[i] && times[i] < first)
            first = times[i];
    return first;
}

enum ingot_status igt_take_latencies(struct igt_sample *sample, const int64_t *from,
                                     const int64_t *to, size_t count, struct ingot_error *err)
{
    sample->latencies = malloc((count + 1) * sizeof *sample->latencies);
    if (!sample->latencies)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    sample->latency_size = count + 1;
    for (size_t i = 0; i < count; i++)
        if (from[i] && to[i])
            sample->latencies[sample->latency_count++] = to[i] > from[i] ? to[i] - from[i] : 0;
    return INGOT_OK;
}

/* ---- what is run in several measurements -------------------------------- */

enum ingot_status igt_drain_ingot(struct igt_bench *bench, const char *name, const char *variant,
                                  const char *url, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const size_t jobs = bench->options->jobs;
    const struct igt_filling filling = {
        .count = jobs, .as = IGT_FILL_WAITING, .data_bytes = bench->options->data_bytes};
    const struct igt_course course = {.url = url, .role = IGT_ROLE_SCHEDULER, .waiting = jobs};
    enum ingot_status status = igt_bench_fill(url, &filling, bench->options->toolkit, err);
    if (!status)
        status = igt_run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = igt_first_of(outcome.ledger.handed, jobs);
        outcome.sample.value = (double)jobs * 1e6 / (double)(outcome.ended_us - began_us);
        status = igt_bench_add_sample(bench, name, variant, "jobs/s", &outcome.sample, err);
    }
    igt_course_outcome_fini(&outcome);
    return status;
}

enum ingot_status igt_lifecycle_ingot(struct igt_bench *bench, const char *name,
                                      const char *variant, const char *url, struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const size_t jobs = bench->options->jobs;
    const struct igt_course course = {.url = url,
                                      .role = IGT_ROLE_SCHEDULER,
                                      .made = jobs,
                                      .producers = bench->options->producers,
                                      .batch = bench->options->batch,
                                      .ahead = IGT_BENCH_AHEAD};
    enum ingot_status status = igt_run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = igt_first_of(outcome.ledger.submitted, jobs);
        outcome.sample.value = (double)jobs * 1e6 / (double)(outcome.ended_us - began_us);
        status = igt_take_latencies(&outcome.sample, outcome.ledger.submitted,
                                    outcome.ledger.handed, jobs, err);
    }
    if (!status)
        status = igt_bench_add_sample(bench, name, variant, "jobs/s", &outcome.sample, err);
    igt_course_outcome_fini(&outcome);
    return status;
}
