/* Runs of the queue written by hand, with a thread for each connection; see measure.h. */
#include "measure.h"

#include "core/thread.h"

#include <pthread.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 16

const struct igt_rival_variant igt_rival_variants[IGT_RIVAL_VARIANTS] = {
    {"queue, 4 connections, batches of 100", {4, 100, IGT_WORK_IN_TWO}},
    {"queue, 4 connections, batches of 1,000", {4, 1000, IGT_WORK_IN_TWO}},
    {"queue, 4 connections, batches of 100, one transaction", {4, 100, IGT_WORK_AT_ONCE}},
};

struct igt_rival_way igt_way_like(struct igt_bench *bench, const char *name, const char *variant)
{
    const struct igt_figure *figure = igt_bench_figure(bench, name, variant);
    double rows = figure ? figure->samples[figure->sample_count - 1].rows_a_commit : 100;
    return (struct igt_rival_way){1, rows > 1 ? (size_t)(rows + 0.5) : 1, IGT_WORK_IN_TWO};
}

/* The payload of all rows; to be freed. */
static enum ingot_status make_data(const struct igt_bench *bench, struct ingot_bytes *ret_data,
                                   struct ingot_error *err)
{
    char *data = malloc(bench->options->data_bytes);
    if (!data)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    igt_bench_data(data, bench->options->data_bytes, 0);
    *ret_data = (struct ingot_bytes){data, bench->options->data_bytes};
    return INGOT_OK;
}

enum ingot_status igt_fill_rival(const struct igt_bench *bench, const char *url,
                                 const struct igt_rival_filling *filling, int64_t *ret_us,
                                 struct ingot_error *err)
{
    struct igt_rival *rival = NULL;
    struct ingot_bytes data = {0};
    const size_t count = filling->count, batch = filling->batch;
    enum ingot_status status = make_data(bench, &data, err);
    if (!status)
        status = igt_rival_open(url, filling->kind, &rival, err);
    int64_t began_us = igt_bench_now_us();
    for (size_t done = 0; done < count && !status; done += batch) {
        status = igt_bench_go_on(bench, err);
        if (!status)
            status =
                igt_rival_insert(rival, data, count - done < batch ? count - done : batch, err);
    }
    if (ret_us)
        *ret_us = igt_bench_now_us() - began_us;
    igt_rival_close(rival);
    free((void *)(uintptr_t)data.data);
    return status;
}

enum ingot_status igt_insert_by_rate(const struct igt_bench *bench, const char *url, double rate,
                                     size_t count, int64_t *from, int64_t *to,
                                     struct ingot_error *err)
{
    struct igt_rival *rival = NULL;
    struct ingot_bytes data = {0};
    enum ingot_status status = make_data(bench, &data, err);
    if (!status)
        status = igt_rival_open(url, IGT_RIVAL_QUEUE, &rival, err);
    const int64_t began_us = igt_bench_now_us();
    for (size_t i = 0; i < count && !status; i++) {
        const int64_t at_us = began_us + (int64_t)((double)i * 1e6 / rate);
        if (at_us > igt_bench_now_us())
            igt_bench_sleep_us(at_us - igt_bench_now_us());
        status = igt_bench_go_on(bench, err);
        from[i] = igt_bench_now_us();
        if (!status)
            status = igt_rival_insert(rival, data, 1, err);
        to[i] = igt_bench_now_us();
    }
    igt_rival_close(rival);
    free((void *)(uintptr_t)data.data);
    return status;
}

/* ---- workers ------------------------------------------------------------ */

/* One connection's thread. */
struct worker {
    pthread_t thread;
    const struct igt_rival_course *course;
    struct ingot_bytes data;
    size_t inserts;       /* rows that it puts in while it works */
    _Atomic size_t *done; /* by all */
    struct igt_rival *rival;
    enum ingot_status status;
    struct ingot_error error;
};

static void *work(void *context)
{
    struct worker *worker = context;
    const struct igt_rival_course *course = worker->course;
    size_t inserted = 0;
    while (!worker->status && atomic_load(worker->done) < course->jobs) {
        size_t count = 0;
        if (inserted < worker->inserts) {
            size_t some = worker->inserts - inserted;
            some = some < course->insert_batch ? some : course->insert_batch;
            worker->status = igt_rival_insert(worker->rival, worker->data, some, &worker->error);
            inserted += some;
        }
        if (!worker->status)
            worker->status =
                course->way.work == IGT_WORK_AT_ONCE
                    ? igt_rival_work_at_once(worker->rival, course->way.batch, &count,
                                             &worker->error)
                    : igt_rival_work(worker->rival, course->way.batch, &count, &worker->error);
        atomic_fetch_add(worker->done, count);
        if (count == 0 && inserted >= worker->inserts)
            igt_bench_sleep_us(200); /* others work on the last ones */
    }
    if (worker->status)
        atomic_store(worker->done, course->jobs); /* nobody is to wait for what will not come */
    return NULL;
}

enum ingot_status igt_run_rival(const struct igt_bench *bench,
                                const struct igt_rival_course *course, struct igt_sample *sample,
                                struct ingot_error *err)
{
    struct worker workers[CONNECTIONS_MAX] = {{0}};
    struct ingot_bytes data = {0};
    const unsigned connections = course->way.connections;
    _Atomic size_t done = 0;
    unsigned opened = 0, started = 0;
    enum ingot_status status = make_data(bench, &data, err);
    for (; opened < connections && opened < CONNECTIONS_MAX && !status; opened++) {
        struct worker *worker = &workers[opened];
        *worker = (struct worker){
            .course = course,
            .data = data,
            .inserts = course->made / connections + (opened < course->made % connections),
            .done = &done,
        };
        status = igt_rival_open(course->url, IGT_RIVAL_QUEUE, &worker->rival, err);
    }
    int64_t began_us = igt_bench_now_us();
    while (started < opened && !status) {
        status = igt_thread_start(&workers[started].thread, "bench", work, &workers[started], err);
        started += !status;
    }
    if (!status)
        status = igt_wait_for_count(bench, igt_counter_of(&done), course->jobs, sample, err);
    int64_t ended_us = igt_bench_now_us();
    atomic_store(&done, course->jobs);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < opened; i++) {
        if (workers[i].status && !status) {
            status = workers[i].status;
            *err = workers[i].error;
        }
        igt_rival_close(workers[i].rival);
    }
    free((void *)(uintptr_t)data.data);
    sample->value = (double)course->jobs * 1e6 / (double)(ended_us - began_us);
    sample->rows_a_commit = (double)course->way.batch;
    return status;
}
