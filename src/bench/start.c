/* `start` and `memory`: how soon a process delivers that finds many jobs, and what they cost it. */
#include "measure.h"

#include "core/toolkit.h"

#include <stdio.h>
#include <unistd.h>

/* ---- start -------------------------------------------------------------- */

/* A run works some of what waits before it is ended; so many of them are enough for it. */
#define JOBS_A_RUN (4 * IGT_BENCH_CONCURRENCY)

static enum ingot_status time_start(struct igt_bench *bench, const char *variant, const char *url,
                                    struct ingot_error *err)
{
    struct igt_engine *engine = NULL;
    struct igt_ledger ledger = {0};
    struct igt_sample sample = {0}, waited = {0};
    const struct igt_shape shape = igt_plain_shape(bench);
    enum ingot_status status = igt_ledger_create(bench->options->live, &shape, &ledger, err);
    const struct igt_engine_config config = {.store = url,
                                             .role = IGT_ROLE_SCHEDULER,
                                             .concurrency = IGT_BENCH_CONCURRENCY,
                                             .ledger = &ledger};
    int64_t began_us = igt_bench_now_us();
    if (!status)
        status = igt_engine_start(&config, &engine, err);
    if (!status)
        status = igt_wait_for_count(bench, igt_counter_of(ledger.handed_count), 1, &waited, err);
    if (!status) {
        int64_t first_us = igt_first_of(ledger.handed, ledger.size);
        sample.value = (double)(first_us - began_us) / 1000;
        status = igt_bench_add_sample(bench, "start", variant, "ms", &sample, err);
    }
    igt_engine_destroy(engine);
    igt_ledger_fini(&ledger);
    igt_sample_fini(&waited);
    return status;
}

enum ingot_status igt_measure_start(struct igt_bench *bench, struct ingot_error *err)
{
    const size_t finished = bench->options->history, live = bench->options->live;
    const struct igt_filling filling = {
        .count = live, .as = IGT_FILL_WAITING, .data_bytes = bench->options->data_bytes};
    const char *variant =
        igt_bench_text(bench, "to the first delivery, %s live, %s finished",
                       igt_bench_count(bench, live), igt_bench_count(bench, finished));
    const char *url = NULL;
    igt_bench_progress(bench, "start", "filling", 0);
    enum ingot_status status = igt_history_get(bench, finished, &url, err);
    if (!status)
        status = igt_bench_fill(url, &filling, bench->options->toolkit, err);
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        if (round && live / JOBS_A_RUN <= round)
            break;
        igt_bench_progress(bench, "start", variant, round);
        status = time_start(bench, variant, url, err);
    }
    if (!status)
        igt_bench_add_verdict(bench, igt_bench_text(bench, "start: %s", variant), "ms",
                              igt_bench_median(bench, "start", variant), 3000, IGT_BETTER_LOWER);
    igt_history_forget(bench, finished); /* it holds what is live */
    return status;
}

/* ---- memory ------------------------------------------------------------- */

/* How many times --live wait. */
#define TIMES_LIVE 5

/* A year: nobody waits for them here. */
#define FAR_US (INT64_C(365) * 86400 * 1000000)

#define LOOK_MS 20

/* What was needed for a moment is given back in this time or less. */
#define SETTLE_MS 500

struct holding {
    const char *url;
    size_t live;
};

/* In KiB, as the kernel counts. */
struct taken {
    long resident, peak;
};

static struct taken read_taken(void)
{
    struct taken taken = {0};
    char line[128];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "VmRSS: %ld", &taken.resident);
        sscanf(line, "VmHWM: %ld", &taken.peak);
    }
    if (file)
        fclose(file);
    return taken;
}

/* What is taken once no more is given back; 0 if the process is to end before. */
static int settle(int until, struct taken *ret_taken)
{
    struct taken now = read_taken(), last;
    do {
        last = now;
        if (igt_apart_is_over(until, SETTLE_MS))
            return 0;
        now = read_taken();
    } while (now.resident < last.resident);
    *ret_taken = now;
    return 1;
}

/* In a process of its own: knows all that is live, and says what that took. */
static void hold(void *context, int until, int says)
{
    const struct holding *holding = context;
    struct ingot_error err = {0};
    struct igt_engine *engine = NULL;
    struct igt_ledger ledger = {0};
    const struct taken before = read_taken();
    const struct igt_engine_config config = {.store = holding->url,
                                             .role = IGT_ROLE_SCHEDULER,
                                             .concurrency = IGT_BENCH_CONCURRENCY,
                                             .ledger = &ledger};
    if (igt_engine_start(&config, &engine, &err) != INGOT_OK) {
        fprintf(stderr, "bench: the other process: %s\n", err.message);
        return;
    }
    while (igt_daemon_numbers(igt_engine_daemon(engine)).live < holding->live)
        if (igt_apart_is_over(until, LOOK_MS))
            break;
    struct taken taken;
    if (settle(until, &taken)) {
        taken.resident -= before.resident;
        taken.peak -= before.resident;
        if (write(says, &taken, sizeof taken) == (ssize_t)sizeof taken)
            igt_apart_is_over(until, -1);
    }
    igt_engine_destroy(engine);
}

static enum ingot_status measure_holding(struct igt_bench *bench, size_t live,
                                         struct taken *ret_taken, struct ingot_error *err)
{
    struct holding holding = {.live = live};
    struct igt_apart apart;
    const struct igt_filling filling = {.count = live,
                                        .as = IGT_FILL_WAITING,
                                        .data_bytes = bench->options->data_bytes,
                                        .due_us = igt_now_us(NULL) + FAR_US};
    enum ingot_status status = igt_bench_make_store(bench, &holding.url, err);
    if (!status)
        status = igt_bench_fill(holding.url, &filling, bench->options->toolkit, err);
    if (!status)
        status = igt_apart_start(hold, &holding, &apart, err);
    if (status)
        return status;
    status = igt_apart_hear(bench, &apart, ret_taken, sizeof *ret_taken, err);
    igt_apart_end(&apart);
    return status;
}

enum ingot_status igt_measure_memory(struct igt_bench *bench, struct ingot_error *err)
{
    const size_t live = TIMES_LIVE * bench->options->live;
    struct taken empty, full;
    const char *count = igt_bench_count(bench, live);
    const char *variants[] = {igt_bench_text(bench, "resident, %s waiting", count),
                              igt_bench_text(bench, "at the peak, %s waiting", count)};
    igt_bench_progress(bench, "memory", "one job", 0);
    enum ingot_status status = measure_holding(bench, 1, &empty, err);
    igt_bench_progress(bench, "memory", variants[0], 0);
    if (!status)
        status = measure_holding(bench, live, &full, err);
    if (status)
        return status;
    const double more[] = {(double)(full.resident - empty.resident),
                           (double)(full.peak - empty.peak)};
    for (size_t i = 0; i < 2 && !status; i++) {
        struct igt_sample sample = {.value = more[i] * 1024 / (double)live};
        status = igt_bench_add_sample(bench, "memory", variants[i], "bytes/job", &sample, err);
    }
    if (!status)
        igt_bench_add_verdict(bench, igt_bench_text(bench, "memory: %s", variants[0]), "bytes/job",
                              igt_bench_median(bench, "memory", variants[0]), 100,
                              IGT_BETTER_LOWER);
    return status;
}
