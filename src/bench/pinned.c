/*
 * `pinned`: what becomes of a store while another session holds a transaction
 * open, so that the server cannot clean up behind updates; on PostgreSQL only.
 */
#include "measure.h"

/* How many times --jobs went through under the pin before it is measured. */
#define WARM_UP 6

/* How they go through the queue: in few, large commits. */
static const struct igt_rival_way warm_up_way = {2, 10000, IGT_WORK_IN_TWO};

/* In so many rounds once, because of what has to go through before. */
#define DRAIN_EVERY 3

/* A claim of the queue is measured for so many jobs of a run: it may be slow by then. */
#define JOBS_A_CLAIM 1000

/* ---- lifecycle ---------------------------------------------------------- */

static const struct {
    const char *variant;
    enum igt_pin pin;
} ways[] = {{"lifecycle, alone", IGT_PIN_NONE},
            {"lifecycle, beside a snapshot", IGT_PIN_SNAPSHOT},
            {"lifecycle, beside a transaction with an xid", IGT_PIN_XID}};
#define WAYS (sizeof ways / sizeof *ways)

/* A new store whose schema is older than the pin. */
static enum ingot_status make_pinned(struct igt_bench *bench, enum igt_pin pin,
                                     const char **ret_url, struct ingot_error *err)
{
    enum ingot_status status = igt_bench_make_store(bench, ret_url, err);
    return status ? status : igt_place_pin(bench->place, pin, err);
}

/* ---- drain after many jobs ---------------------------------------------- */

#define DRAIN_INGOT "drain after many, beside a snapshot"

static const struct igt_rival_variant rivals[] = {
    {"queue after many, beside a snapshot, batches of 100", {4, 100, IGT_WORK_IN_TWO}},
    {"queue after many, beside a snapshot, batches of 1,000", {4, 1000, IGT_WORK_IN_TWO}},
};
static const double rival_aims[] = {12, 1.5};
#define RIVALS (sizeof rivals / sizeof *rivals)

static enum ingot_status drain_ingot(struct igt_bench *bench, struct ingot_error *err)
{
    const char *url = NULL;
    /* What is only inserted is the same whether it was worked or filled in; updated rows are not. */
    const struct igt_filling filling = {.count = WARM_UP * bench->options->jobs,
                                        .as = IGT_FILL_FINISHED,
                                        .data_bytes = bench->options->data_bytes};
    enum ingot_status status = make_pinned(bench, IGT_PIN_SNAPSHOT, &url, err);
    if (!status)
        status = igt_bench_fill(url, &filling, bench->options->toolkit, err);
    return status ? status : igt_drain_ingot(bench, "pinned", DRAIN_INGOT, url, err);
}

static enum ingot_status warm_rival_up(struct igt_bench *bench, const char *url,
                                       struct ingot_error *err)
{
    struct igt_sample sample = {0};
    const struct igt_rival_course course = {.url = url,
                                            .way = warm_up_way,
                                            .jobs = WARM_UP * bench->options->jobs,
                                            .made = WARM_UP * bench->options->jobs,
                                            .insert_batch = warm_up_way.batch};
    enum ingot_status status = igt_run_rival(bench, &course, &sample, err);
    igt_sample_fini(&sample);
    return status;
}

static enum ingot_status drain_rival(struct igt_bench *bench, const char *url,
                                     const struct igt_rival_variant *rival, struct ingot_error *err)
{
    struct igt_sample sample = {0};
    const size_t claims = bench->options->jobs / JOBS_A_CLAIM;
    const struct igt_rival_course course = {
        .url = url, .way = rival->way, .jobs = claims * rival->way.batch};
    const struct igt_rival_filling filling = {IGT_RIVAL_QUEUE, course.jobs, 1000};
    enum ingot_status status = igt_fill_rival(bench, url, &filling, NULL, err);
    if (!status)
        status = igt_run_rival(bench, &course, &sample, err);
    if (!status)
        status = igt_bench_add_sample(bench, "pinned", rival->variant, "jobs/s", &sample, err);
    igt_sample_fini(&sample);
    return status;
}

/* One after another in the same queue: what the first adds to the many is little. */
static enum ingot_status drain_rivals(struct igt_bench *bench, unsigned round,
                                      struct ingot_error *err)
{
    const struct igt_rival_filling none = {IGT_RIVAL_QUEUE, 0, 1}; /* makes the table */
    const char *url = NULL;
    igt_bench_progress(bench, "pinned", "queue, many jobs go through", round);
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    if (!status)
        status = igt_fill_rival(bench, url, &none, NULL, err);
    if (!status)
        status = igt_place_pin(bench->place, IGT_PIN_SNAPSHOT, err);
    if (!status)
        status = warm_rival_up(bench, url, err);
    for (size_t i = 0; i < RIVALS && !status; i++) {
        igt_bench_progress(bench, "pinned", rivals[i].variant, round);
        status = drain_rival(bench, url, &rivals[i], err);
    }
    return status;
}

static enum ingot_status drain_after_many(struct igt_bench *bench, unsigned round,
                                          struct ingot_error *err)
{
    igt_bench_progress(bench, "pinned", DRAIN_INGOT, round);
    enum ingot_status status = drain_ingot(bench, err);
    return status || !bench->options->baseline ? status : drain_rivals(bench, round, err);
}

enum ingot_status igt_measure_pinned(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const char *url = NULL;
    if (igt_place_kind(bench->place) != IGT_PLACE_POSTGRES)
        return INGOT_OK;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        for (size_t i = 0; i < WAYS && !status; i++) {
            igt_bench_progress(bench, "pinned", ways[i].variant, round);
            status = make_pinned(bench, ways[i].pin, &url, err);
            if (!status)
                status = igt_lifecycle_ingot(bench, "pinned", ways[i].variant, url, err);
        }
        if (!status && round % DRAIN_EVERY == 0)
            status = drain_after_many(bench, round, err);
    }
    for (size_t i = 1; i < WAYS && !status; i++)
        igt_bench_compare(bench, "pinned", ways[i].variant, ways[0].variant, 0.95);
    for (size_t i = 0; i < RIVALS && !status; i++)
        igt_bench_compare(bench, "pinned", DRAIN_INGOT, rivals[i].variant, rival_aims[i]);
    return status;
}
