/*
 * The measurements. Each is a set of variants that are run in turn, round after
 * round, so that what the machine does meanwhile falls on all of them alike;
 * each run has a store of its own.
 */
#include "bench.h"

#include "engine.h"
#include "place.h"
#include "rival.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIGURES_MAX 128
#define VERDICTS_MAX 64
#define FACTS_MAX 32

/* Claims and attempts under way at a time: so many that commits are large, as for a fast destination. */
#define CONCURRENCY 4096

/* A run that does not get on is given up. */
#define STUCK_US (INT64_C(120) * 1000000)

/* How many jobs producers may be ahead of delivery when both are measured at once. */
#define AHEAD 5000

struct igt_bench {
    const struct igt_bench_options *options;
    struct igt_place *place;
    struct igt_figure figures[FIGURES_MAX];
    size_t figure_count;
    struct igt_verdict verdicts[VERDICTS_MAX];
    size_t verdict_count;
    struct igt_fact facts[FACTS_MAX];
    size_t fact_count;
    char *texts[FIGURES_MAX + VERDICTS_MAX + FACTS_MAX]; /* that were made for them */
    size_t text_count;
    struct igt_findings findings;
};

/* ---- figures ------------------------------------------------------------ */

/* A text that lives as long as the bench; "" when there is no room for it. */
__attribute__((format(printf, 2, 3))) static const char *text_of(struct igt_bench *bench,
                                                                 const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    int len = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (len < 0 || bench->text_count == sizeof bench->texts / sizeof *bench->texts) {
        if (len >= 0)
            free(text);
        return "";
    }
    bench->texts[bench->text_count++] = text;
    return text;
}

static struct igt_figure *figure_of(struct igt_bench *bench, const char *name, const char *variant)
{
    for (size_t i = 0; i < bench->figure_count; i++)
        if (strcmp(bench->figures[i].bench, name) == 0 &&
            strcmp(bench->figures[i].variant, variant) == 0)
            return &bench->figures[i];
    return NULL;
}

/* Takes a sample over; the figure is made with the first. */
static enum ingot_status add_sample(struct igt_bench *bench, const char *name, const char *variant,
                                    const char *unit, struct igt_sample *sample,
                                    struct ingot_error *err)
{
    struct igt_figure *figure = figure_of(bench, name, variant);
    if (!figure && bench->figure_count < FIGURES_MAX) {
        figure = &bench->figures[bench->figure_count++];
        *figure = (struct igt_figure){.bench = name, .variant = variant, .unit = unit};
    }
    struct igt_sample *grown =
        figure ? realloc(figure->samples, (figure->sample_count + 1) * sizeof *grown) : NULL;
    if (!grown) {
        igt_sample_fini(sample);
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    }
    figure->samples = grown;
    figure->samples[figure->sample_count++] = *sample;
    memset(sample, 0, sizeof *sample);
    return INGOT_OK;
}

static double median_of(struct igt_bench *bench, const char *name, const char *variant)
{
    const struct igt_figure *figure = figure_of(bench, name, variant);
    return figure ? igt_figure_median(figure) : 0;
}

static void add_verdict(struct igt_bench *bench, const char *what, const char *unit, double value,
                        double aim, enum igt_better better)
{
    if (bench->verdict_count < VERDICTS_MAX)
        bench->verdicts[bench->verdict_count++] =
            (struct igt_verdict){what, unit, value, aim, better};
}

/* Sets the medians of two variants against each other, if both were measured. */
static void compare(struct igt_bench *bench, const char *name, const char *variant,
                    const char *with, double aim)
{
    double value = median_of(bench, name, variant), other = median_of(bench, name, with);
    if (value > 0 && other > 0)
        add_verdict(bench, text_of(bench, "%s: %s / %s", name, variant, with), "x", value / other,
                    aim, IGT_BETTER_HIGHER);
}

static double aim_for(const struct igt_bench *bench, double postgres, double sqlite)
{
    return igt_place_kind(bench->place) == IGT_PLACE_POSTGRES ? postgres : sqlite;
}

static void progress(struct igt_bench *bench, const char *name, const char *variant, unsigned round)
{
    if (bench->options->progress)
        bench->options->progress(name, variant, round + 1);
}

/* ---- waiting for a count ------------------------------------------------ */

/* Notes every tick what a counter has grown by. */
struct watch {
    const _Atomic size_t *counter;
    size_t last;
    int64_t next_us;
    struct igt_sample *sample;
};

static void tick(struct watch *watch, int64_t now_us)
{
    struct igt_sample *sample = watch->sample;
    if (now_us < watch->next_us)
        return;
    size_t count = atomic_load(watch->counter);
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

/* Waits until the counter has come to count. */
static enum ingot_status wait_for_count(const _Atomic size_t *counter, size_t count,
                                        struct igt_sample *sample, struct ingot_error *err)
{
    int64_t now_us = igt_bench_now_us(), moved_us = now_us;
    size_t last = atomic_load(counter);
    struct watch watch = {counter, last, now_us + IGT_TICK_US, sample};
    for (size_t at = last; at < count; at = atomic_load(counter)) {
        igt_bench_sleep_us(500);
        now_us = igt_bench_now_us();
        tick(&watch, now_us);
        if (at != last)
            moved_us = now_us;
        last = at;
        if (now_us - moved_us > STUCK_US)
            return ingot_error_set(err, INGOT_IO, "bench: stuck at %zu of %zu jobs", at, count);
    }
    return INGOT_OK;
}

static enum ingot_status take_latencies(struct igt_sample *sample, const int64_t *from,
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

static double rows_of(const struct igt_journal_numbers *numbers)
{
    return numbers->commits
               ? (double)(numbers->events + numbers->transitions) / (double)numbers->commits
               : 0;
}

/* ---- runs of Ingot ------------------------------------------------------ */

/* What a run of the engine does. */
struct course {
    const char *url;
    enum igt_role role;
    const char *destination_url;
    size_t waiting; /* jobs that wait in the store, numbered from 0 */
    size_t made;    /* jobs that producers make meanwhile */
    unsigned producers;
    size_t batch;
    size_t ahead;
    double rate;
};

/* What came of it. */
struct outcome {
    struct igt_ledger ledger; /* to be finished by the caller */
    struct igt_journal_numbers numbers;
    int64_t started_us, ended_us;
    struct igt_sample sample;
};

static void outcome_fini(struct outcome *outcome)
{
    igt_ledger_fini(&outcome->ledger);
    igt_sample_fini(&outcome->sample);
}

static int64_t first_of(const int64_t *times, size_t count)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (times[i] && times[i] < first)
            first = times[i];
    return first;
}

static enum ingot_status run_course(struct igt_bench *bench, const struct course *course,
                                    struct outcome *outcome, struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_producers *producers = NULL;
    enum ingot_status status =
        igt_ledger_create(course->waiting + course->made, &outcome->ledger, err);
    const struct igt_engine_config config = {
        .store = course->url,
        .role = course->role,
        .concurrency = CONCURRENCY,
        .destination_url = course->destination_url,
        .ledger = &outcome->ledger,
    };
    outcome->started_us = igt_bench_now_us();
    if (!status)
        status = igt_engine_start(&config, &engine, err);
    if (!status && course->made) {
        const struct igt_production production = {
            .daemon = igt_engine_daemon(engine),
            .ledger = &outcome->ledger,
            .threads = course->producers,
            .batch = course->batch,
            .count = course->made,
            .ahead = course->ahead,
            .rate = course->rate,
            .data_bytes = bench->options->data_bytes,
        };
        status = igt_producers_start(&production, &producers, err);
    }
    if (!status)
        status = wait_for_count(course->role == IGT_ROLE_GATEWAY ? outcome->ledger.decided_count
                                                                 : outcome->ledger.handed_count,
                                course->waiting + course->made, &outcome->sample, err);
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

/* ---- runs of the rivals ------------------------------------------------- */

/* How the queue written by hand is used. */
struct rival_way {
    unsigned connections;
    size_t batch;
    enum { WORK_IN_TWO, WORK_AT_ONCE } work;
};

/* One connection's thread. */
struct rival_worker {
    pthread_t thread;
    const char *url;
    const struct rival_way *way;
    struct ingot_bytes data;
    size_t inserts, insert_batch; /* rows that it puts in, before it works or meanwhile */
    _Atomic size_t *done;         /* by all */
    size_t all;
    struct igt_rival *rival;
    enum ingot_status status;
    struct ingot_error error;
};

static void *work_rival(void *context)
{
    struct rival_worker *worker = context;
    size_t inserted = 0;
    while (!worker->status && atomic_load(worker->done) < worker->all) {
        size_t count = 0;
        if (inserted < worker->inserts) {
            size_t some = worker->inserts - inserted;
            some = some < worker->insert_batch ? some : worker->insert_batch;
            worker->status = igt_rival_insert(worker->rival, worker->data, some, &worker->error);
            inserted += some;
        }
        if (!worker->status)
            worker->status =
                worker->way->work == WORK_AT_ONCE
                    ? igt_rival_work_at_once(worker->rival, worker->way->batch, &count,
                                             &worker->error)
                    : igt_rival_work(worker->rival, worker->way->batch, &count, &worker->error);
        atomic_fetch_add(worker->done, count);
        if (count == 0 && inserted >= worker->inserts)
            igt_bench_sleep_us(200); /* others work on the last ones */
    }
    return NULL;
}

static enum ingot_status fill_rival(const char *url, enum igt_rival_kind kind,
                                    struct ingot_bytes data, size_t count, size_t batch,
                                    struct ingot_error *err)
{
    struct igt_rival *rival = NULL;
    enum ingot_status status = igt_rival_open(url, kind, &rival, err);
    for (size_t done = 0; done < count && !status; done += batch)
        status = igt_rival_insert(rival, data, count - done < batch ? count - done : batch, err);
    igt_rival_close(rival);
    return status;
}

/* Has `jobs` jobs worked; of them the workers insert `made` themselves. Gives jobs a second. */
static enum ingot_status run_rival(struct igt_bench *bench, const char *url,
                                   const struct rival_way *way, size_t jobs, size_t made,
                                   size_t insert_batch, struct igt_sample *sample,
                                   struct ingot_error *err)
{
    struct rival_worker workers[16] = {{0}};
    char *data = malloc(bench->options->data_bytes);
    _Atomic size_t done = 0;
    unsigned opened = 0, started = 0;
    enum ingot_status status = data ? INGOT_OK : INGOT_NOMEM;
    if (data)
        igt_bench_data(data, bench->options->data_bytes, 0);
    for (; opened < way->connections && !status; opened++) {
        struct rival_worker *worker = &workers[opened];
        *worker = (struct rival_worker){
            .url = url,
            .way = way,
            .data = {data, bench->options->data_bytes},
            .inserts = made / way->connections + (opened < made % way->connections),
            .insert_batch = insert_batch,
            .done = &done,
            .all = jobs,
        };
        status = igt_rival_open(url, IGT_RIVAL_QUEUE, &worker->rival, err);
    }
    int64_t began_us = igt_bench_now_us();
    for (; started < opened && !status; started++)
        if (pthread_create(&workers[started].thread, NULL, work_rival, &workers[started]) != 0)
            break;
    if (!status)
        status = wait_for_count(&done, jobs, sample, err);
    int64_t ended_us = igt_bench_now_us();
    atomic_store(&done, jobs);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < opened; i++) {
        if (workers[i].status && !status) {
            status = workers[i].status;
            *err = workers[i].error;
        }
        igt_rival_close(workers[i].rival);
    }
    free(data);
    sample->value = (double)jobs * 1e6 / (double)(ended_us - began_us);
    sample->rows_a_commit = (double)way->batch;
    return status;
}

/* ---- insert ------------------------------------------------------------- */

static enum ingot_status insert_ingot(struct igt_bench *bench, const char *variant,
                                      unsigned producers, size_t batch, struct ingot_error *err)
{
    struct outcome outcome = {0};
    const char *url = NULL;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    /* The latency of one producer needs no more. */
    size_t jobs = producers * batch < 64 ? bench->options->jobs / 10 : bench->options->jobs;
    const struct course course = {
        .url = url, .role = IGT_ROLE_GATEWAY, .made = jobs, .producers = producers, .batch = batch};
    if (!status)
        status = run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = first_of(outcome.ledger.submitted, jobs), ended_us = 0;
        for (size_t i = 0; i < jobs; i++)
            ended_us = outcome.ledger.decided[i] > ended_us ? outcome.ledger.decided[i] : ended_us;
        outcome.sample.value = (double)jobs * 1e6 / (double)(ended_us - began_us);
        status = take_latencies(&outcome.sample, outcome.ledger.submitted, outcome.ledger.decided,
                                jobs, err);
    }
    if (!status)
        status = add_sample(bench, "insert", variant, "events/s", &outcome.sample, err);
    outcome_fini(&outcome);
    return status;
}

/* Nothing but rows of the same bytes, so many a commit as the last sample of Ingot had. */
static enum ingot_status insert_raw(struct igt_bench *bench, const char *variant, const char *like,
                                    struct ingot_error *err)
{
    const struct igt_figure *figure = figure_of(bench, "insert", like);
    double rows = figure ? figure->samples[figure->sample_count - 1].rows_a_commit : 1;
    size_t batch = rows > 1 ? (size_t)(rows + 0.5) : 1;
    char *data = malloc(bench->options->data_bytes);
    struct igt_sample sample = {.rows_a_commit = (double)batch};
    const char *url = NULL;
    enum ingot_status status = data ? igt_place_make(bench->place, &url, err) : INGOT_NOMEM;
    struct igt_rival *rival = NULL;
    if (!status)
        status = igt_rival_open(url, IGT_RIVAL_RAW, &rival, err);
    if (!status)
        igt_bench_data(data, bench->options->data_bytes, 0);
    int64_t began_us = igt_bench_now_us();
    size_t done = 0;
    for (; done < bench->options->jobs && !status; done += batch)
        status = igt_rival_insert(rival, (struct ingot_bytes){data, bench->options->data_bytes},
                                  batch, err);
    sample.value = (double)done * 1e6 / (double)(igt_bench_now_us() - began_us);
    igt_rival_close(rival);
    free(data);
    return status ? status : add_sample(bench, "insert", variant, "events/s", &sample, err);
}

static enum ingot_status bench_insert(struct igt_bench *bench, struct ingot_error *err)
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
    for (unsigned round = 0; round < bench->options->rounds; round++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways && !status; i++) {
            progress(bench, "insert", ways[i].variant, round);
            status = insert_ingot(bench, ways[i].variant, ways[i].producers, ways[i].batch, err);
        }
        if (!status && bench->options->baseline) {
            progress(bench, "insert", raw, round);
            status = insert_raw(bench, raw, ways[0].variant, err);
        }
    }
    compare(bench, "insert", ways[0].variant, raw, 0.6);
    return status;
}

/* ---- drain -------------------------------------------------------------- */

static const struct {
    const char *variant;
    struct rival_way way;
} rival_ways[] = {
    {"queue, 4 connections, batches of 100", {4, 100, WORK_IN_TWO}},
    {"queue, 4 connections, batches of 1,000", {4, 1000, WORK_IN_TWO}},
    {"queue, 4 connections, batches of 100, one transaction", {4, 100, WORK_AT_ONCE}},
};
#define RIVAL_ALIKE "queue, 1 connection, rows a commit as Ingot"

/* The queue with as many writing connections and rows a commit as the last run of Ingot. */
static struct rival_way way_like(struct igt_bench *bench, const char *name, const char *variant)
{
    const struct igt_figure *figure = figure_of(bench, name, variant);
    double rows = figure ? figure->samples[figure->sample_count - 1].rows_a_commit : 100;
    return (struct rival_way){1, rows > 1 ? (size_t)(rows + 0.5) : 1, WORK_IN_TWO};
}

static enum ingot_status drain_ingot(struct igt_bench *bench, const char *name, const char *variant,
                                     const char *url, size_t first, struct ingot_error *err)
{
    struct outcome outcome = {0};
    const size_t jobs = bench->options->jobs;
    const struct igt_filling filling = {jobs, IGT_FILL_WAITING, bench->options->data_bytes, first};
    const struct course course = {.url = url, .role = IGT_ROLE_SCHEDULER, .waiting = jobs};
    enum ingot_status status = igt_bench_fill(url, &filling, 1, err);
    if (!status)
        status = run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = first_of(outcome.ledger.handed, jobs);
        outcome.sample.value = (double)jobs * 1e6 / (double)(outcome.ended_us - began_us);
        status = add_sample(bench, name, variant, "jobs/s", &outcome.sample, err);
    }
    outcome_fini(&outcome);
    return status;
}

static enum ingot_status drain_rival(struct igt_bench *bench, const char *name, const char *variant,
                                     const char *url, const struct rival_way *way,
                                     struct ingot_error *err)
{
    struct igt_sample sample = {0};
    char *data = malloc(bench->options->data_bytes);
    enum ingot_status status = data ? INGOT_OK : INGOT_NOMEM;
    if (!status) {
        igt_bench_data(data, bench->options->data_bytes, 0);
        status =
            fill_rival(url, IGT_RIVAL_QUEUE, (struct ingot_bytes){data, bench->options->data_bytes},
                       bench->options->jobs, 1000, err);
    }
    if (!status)
        status = run_rival(bench, url, way, bench->options->jobs, 0, 1, &sample, err);
    free(data);
    if (!status)
        return add_sample(bench, name, variant, "jobs/s", &sample, err);
    igt_sample_fini(&sample);
    return status;
}

static enum ingot_status bench_drain(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const char *url = NULL;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        progress(bench, "drain", "ingot", round);
        status = igt_place_make(bench->place, &url, err);
        if (!status)
            status = drain_ingot(bench, "drain", "ingot", url, 0, err);
        if (!status && bench->options->baseline) {
            struct rival_way alike = way_like(bench, "drain", "ingot");
            progress(bench, "drain", RIVAL_ALIKE, round);
            status = igt_place_make(bench->place, &url, err);
            if (!status)
                status = drain_rival(bench, "drain", RIVAL_ALIKE, url, &alike, err);
        }
        for (size_t i = 0; i < sizeof rival_ways / sizeof *rival_ways && !status; i++) {
            if (!bench->options->baseline)
                break;
            progress(bench, "drain", rival_ways[i].variant, round);
            status = igt_place_make(bench->place, &url, err);
            if (!status)
                status = drain_rival(bench, "drain", rival_ways[i].variant, url, &rival_ways[i].way,
                                     err);
        }
    }
    compare(bench, "drain", "ingot", RIVAL_ALIKE, 1.5);
    for (size_t i = 0; i < sizeof rival_ways / sizeof *rival_ways; i++)
        compare(bench, "drain", "ingot", rival_ways[i].variant, 0);
    return status;
}

/* ---- lifecycle ---------------------------------------------------------- */

static enum ingot_status lifecycle_ingot(struct igt_bench *bench, const char *name,
                                         const char *variant, const char *url,
                                         struct ingot_error *err)
{
    struct outcome outcome = {0};
    const size_t jobs = bench->options->jobs;
    const struct course course = {.url = url,
                                  .role = IGT_ROLE_SCHEDULER,
                                  .made = jobs,
                                  .producers = bench->options->producers,
                                  .batch = bench->options->batch,
                                  .ahead = AHEAD};
    enum ingot_status status = run_course(bench, &course, &outcome, err);
    if (!status) {
        int64_t began_us = first_of(outcome.ledger.submitted, jobs);
        outcome.sample.value = (double)jobs * 1e6 / (double)(outcome.ended_us - began_us);
        status = take_latencies(&outcome.sample, outcome.ledger.submitted, outcome.ledger.handed,
                                jobs, err);
    }
    if (!status)
        status = add_sample(bench, name, variant, "jobs/s", &outcome.sample, err);
    outcome_fini(&outcome);
    return status;
}

static enum ingot_status lifecycle_rival(struct igt_bench *bench, const char *variant,
                                         const char *url, const struct rival_way *way,
                                         struct ingot_error *err)
{
    struct igt_sample sample = {0};
    enum ingot_status status = run_rival(bench, url, way, bench->options->jobs,
                                         bench->options->jobs, way->batch, &sample, err);
    if (!status)
        return add_sample(bench, "lifecycle", variant, "jobs/s", &sample, err);
    igt_sample_fini(&sample);
    return status;
}

/* The bytes that a job's whole life writes. */
static enum ingot_status note_written(struct igt_bench *bench, struct ingot_error *err)
{
    struct igt_written written;
    struct igt_sample sample = {0};
    enum ingot_status status = igt_place_written(bench->place, &written, err);
    double jobs = (double)bench->options->jobs;
    if (status)
        return status;
    sample.value = (written.bytes - (written.images > 0 ? written.images : 0)) / jobs;
    status =
        add_sample(bench, "lifecycle", "written, without full pages", "bytes/job", &sample, err);
    sample = (struct igt_sample){.value = written.images / jobs};
    if (!status && written.images > 0)
        status = add_sample(bench, "lifecycle", "full pages", "bytes/job", &sample, err);
    return status;
}

static enum ingot_status bench_lifecycle(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const char *url = NULL;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        const struct igt_filling none = {0};
        progress(bench, "lifecycle", "ingot", round);
        status = igt_place_make(bench->place, &url, err);
        if (!status)
            status = igt_bench_fill(url, &none, 0, err); /* the schema is not to be measured */
        if (!status)
            status = igt_place_mark(bench->place, err);
        if (!status)
            status = lifecycle_ingot(bench, "lifecycle", "ingot", url, err);
        if (!status)
            status = note_written(bench, err);
        if (!status && bench->options->baseline) {
            struct rival_way alike = way_like(bench, "lifecycle", "ingot");
            progress(bench, "lifecycle", RIVAL_ALIKE, round);
            status = igt_place_make(bench->place, &url, err);
            if (!status)
                status = lifecycle_rival(bench, RIVAL_ALIKE, url, &alike, err);
        }
        for (size_t i = 0; i < sizeof rival_ways / sizeof *rival_ways && !status; i++) {
            if (!bench->options->baseline)
                break;
            progress(bench, "lifecycle", rival_ways[i].variant, round);
            status = igt_place_make(bench->place, &url, err);
            if (!status)
                status =
                    lifecycle_rival(bench, rival_ways[i].variant, url, &rival_ways[i].way, err);
        }
    }
    compare(bench, "lifecycle", "ingot", RIVAL_ALIKE, aim_for(bench, 1.4, 1.5));
    for (size_t i = 0; i < sizeof rival_ways / sizeof *rival_ways; i++)
        compare(bench, "lifecycle", "ingot", rival_ways[i].variant, 0);
    double bytes = median_of(bench, "lifecycle", "written, without full pages");
    if (bytes > 0)
        add_verdict(bench, "lifecycle: written for a job's whole life", "bytes/job", bytes,
                    aim_for(bench, 1250, 1000), IGT_BETTER_LOWER);
    return status;
}

/* ---- pickup ------------------------------------------------------------- */

#define PICKUP_RATE 100.0
#define PICKUP_SECONDS 5

static enum ingot_status pickup_alone(struct igt_bench *bench, struct ingot_error *err)
{
    static const char *const variants[] = {"one process, from emit", "one process, from commit"};
    struct outcome outcome = {0};
    const char *url = NULL;
    const size_t jobs = (size_t)(PICKUP_RATE * PICKUP_SECONDS);
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    const struct course course = {.url = url,
                                  .role = IGT_ROLE_SCHEDULER,
                                  .made = jobs,
                                  .producers = 1,
                                  .batch = 1,
                                  .rate = PICKUP_RATE};
    if (!status)
        status = run_course(bench, &course, &outcome, err);
    for (size_t i = 0; i < 2 && !status; i++) {
        struct igt_sample sample = {0};
        status = take_latencies(&sample, i == 0 ? outcome.ledger.submitted : outcome.ledger.decided,
                                outcome.ledger.handed, jobs, err);
        struct igt_figure alone = {.samples = &sample, .sample_count = 1};
        sample.value = igt_figure_percentile_ms(&alone, 0.5);
        if (!status)
            status = add_sample(bench, "pickup", variants[i], "ms", &sample, err);
    }
    outcome_fini(&outcome);
    return status;
}

/* Delivers in a process of its own until standard input ends. */
static void deliver_apart(const char *url, struct igt_ledger *ledger, int until)
{
    struct ingot_error err = {0};
    struct igt_engine *engine = NULL;
    const struct igt_engine_config config = {
        .store = url, .role = IGT_ROLE_SCHEDULER, .concurrency = CONCURRENCY, .ledger = ledger};
    char byte;
    enum ingot_status status = igt_engine_start(&config, &engine, &err);
    if (status)
        fprintf(stderr, "bench: the other process: %s\n", err.message);
    while (!status && read(until, &byte, 1) > 0)
        ;
    igt_engine_destroy(engine);
    _exit(status ? 1 : 0);
}

static enum ingot_status produce_apart(struct igt_bench *bench, const char *url,
                                       struct igt_ledger *ledger, struct igt_sample *sample,
                                       struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_producers *producers = NULL;
    const struct igt_engine_config config = {
        .store = url, .role = IGT_ROLE_GATEWAY, .concurrency = CONCURRENCY, .ledger = ledger};
    enum ingot_status status = igt_engine_start(&config, &engine, err);
    if (!status) {
        const struct igt_production production = {
            .daemon = igt_engine_daemon(engine),
            .ledger = ledger,
            .threads = 1,
            .batch = 1,
            .count = ledger->size,
            .rate = PICKUP_RATE,
            .data_bytes = bench->options->data_bytes,
        };
        status = igt_producers_start(&production, &producers, err);
    }
    if (!status)
        status = wait_for_count(ledger->handed_count, ledger->size, sample, err);
    if (producers) {
        enum ingot_status ended = igt_producers_join(producers, status ? NULL : err);
        status = status ? status : ended;
    }
    igt_engine_destroy(engine);
    return status;
}

static enum ingot_status pickup_across(struct igt_bench *bench, struct ingot_error *err)
{
    struct igt_ledger ledger = {0};
    struct igt_sample sample = {0};
    const char *url = NULL;
    int until[2];
    /* The first half finds the other process ready. */
    const size_t jobs = (size_t)(PICKUP_RATE * PICKUP_SECONDS) * 2;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    if (!status)
        status = igt_bench_fill(url, NULL, 0, err);
    if (!status)
        status = igt_ledger_create(jobs, &ledger, err);
    if (status || pipe(until) != 0)
        return status ? status : ingot_error_set(err, INGOT_IO, "bench: no pipe could be made");
    pid_t child = fork();
    if (child == 0) {
        close(until[1]);
        deliver_apart(url, &ledger, until[0]);
    }
    close(until[0]);
    if (child < 0)
        status = ingot_error_set(err, INGOT_IO, "bench: no process could be started");
    else
        status = produce_apart(bench, url, &ledger, &sample, err);
    close(until[1]);
    if (child > 0)
        waitpid(child, NULL, 0);
    if (!status)
        status = take_latencies(&sample, ledger.submitted + jobs / 2, ledger.handed + jobs / 2,
                                jobs / 2, err);
    struct igt_figure alone = {.samples = &sample, .sample_count = 1};
    sample.value = igt_figure_percentile_ms(&alone, 0.5);
    if (!status)
        status = add_sample(bench, "pickup", "two processes, from emit", "ms", &sample, err);
    igt_sample_fini(&sample);
    igt_ledger_fini(&ledger);
    return status;
}

static void judge_pickup(struct igt_bench *bench, const char *variant, double p50, double p99)
{
    const struct igt_figure *figure = figure_of(bench, "pickup", variant);
    if (!figure)
        return;
    add_verdict(bench, text_of(bench, "pickup: %s, p50", variant), "ms",
                igt_figure_percentile_ms(figure, 0.5), p50, IGT_BETTER_LOWER);
    add_verdict(bench, text_of(bench, "pickup: %s, p99", variant), "ms",
                igt_figure_percentile_ms(figure, 0.99), p99, IGT_BETTER_LOWER);
}

static enum ingot_status bench_pickup(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        progress(bench, "pickup", "one process", round);
        status = pickup_alone(bench, err);
        if (status || igt_place_kind(bench->place) != IGT_PLACE_POSTGRES)
            continue;
        progress(bench, "pickup", "two processes", round);
        status = pickup_across(bench, err);
    }
    judge_pickup(bench, "one process, from emit", 1.5, 5);
    judge_pickup(bench, "two processes, from emit", 5, 15);
    return status;
}

/* ---- all of them -------------------------------------------------------- */

static const struct {
    const char *name;
    enum ingot_status (*run)(struct igt_bench *bench, struct ingot_error *err);
} benches[] = {
    {"insert", bench_insert},
    {"drain", bench_drain},
    {"lifecycle", bench_lifecycle},
    {"pickup", bench_pickup},
};
#define BENCHES (sizeof benches / sizeof *benches)

const char *const *igt_bench_names(void)
{
    static const char *names[BENCHES + 1];
    for (size_t i = 0; i < BENCHES; i++)
        names[i] = benches[i].name;
    return names;
}

static void add_fact(struct igt_bench *bench, const char *name, const char *value)
{
    if (bench->fact_count < FACTS_MAX && value[0])
        bench->facts[bench->fact_count++] = (struct igt_fact){name, value};
}

enum ingot_status igt_bench_create(const struct igt_bench_options *options,
                                   struct igt_bench **ret_bench, struct ingot_error *err)
{
    struct igt_bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    bench->options = options;
    enum ingot_status status = igt_place_open(options->store, &bench->place, err);
    if (status) {
        igt_bench_destroy(bench);
        return status;
    }
    add_fact(bench, "rounds", text_of(bench, "%u", options->rounds));
    *ret_bench = bench;
    return INGOT_OK;
}

void igt_bench_destroy(struct igt_bench *bench)
{
    if (!bench)
        return;
    igt_place_close(bench->place);
    for (size_t i = 0; i < bench->figure_count; i++) {
        for (size_t j = 0; j < bench->figures[i].sample_count; j++)
            igt_sample_fini(&bench->figures[i].samples[j]);
        free(bench->figures[i].samples);
    }
    for (size_t i = 0; i < bench->text_count; i++)
        free(bench->texts[i]);
    free(bench);
}

enum ingot_status igt_bench_run(struct igt_bench *bench, const char *name, struct ingot_error *err)
{
    for (size_t i = 0; i < BENCHES; i++)
        if (strcmp(benches[i].name, name) == 0)
            return benches[i].run(bench, err);
    return ingot_error_set(err, INGOT_NOT_FOUND, "bench: \"%s\" cannot be measured", name);
}

const struct igt_findings *igt_bench_findings(struct igt_bench *bench)
{
    bench->findings = (struct igt_findings){
        .facts = bench->facts,
        .fact_count = bench->fact_count,
        .figures = bench->figures,
        .figure_count = bench->figure_count,
        .verdicts = bench->verdicts,
        .verdict_count = bench->verdict_count,
    };
    return &bench->findings;
}
