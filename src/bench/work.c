/* `drain` and `lifecycle`: jobs a second, beside the queue written by hand. */
#include "measure.h"

static enum ingot_status drain_rival(struct igt_bench *bench, const char *variant, const char *url,
                                     const struct igt_rival_way *way, struct ingot_error *err)
{
    struct igt_sample sample = {0};
    const struct igt_rival_course course = {.url = url, .way = *way, .jobs = bench->options->jobs};
    enum ingot_status status = igt_fill_rival(
        bench, url, &(struct igt_rival_filling){IGT_RIVAL_QUEUE, course.jobs, 1000}, NULL, err);
    if (!status)
        status = igt_run_rival(bench, &course, &sample, err);
    if (!status)
        status = igt_bench_add_sample(bench, "drain", variant, "jobs/s", &sample, err);
    igt_sample_fini(&sample);
    return status;
}

static enum ingot_status lifecycle_rival(struct igt_bench *bench, const char *variant,
                                         const char *url, const struct igt_rival_way *way,
                                         struct ingot_error *err)
{
    struct igt_sample sample = {0};
    const struct igt_rival_course course = {.url = url,
                                            .way = *way,
                                            .jobs = bench->options->jobs,
                                            .made = bench->options->jobs,
                                            .insert_batch = way->batch};
    enum ingot_status status = igt_run_rival(bench, &course, &sample, err);
    if (!status)
        status = igt_bench_add_sample(bench, "lifecycle", variant, "jobs/s", &sample, err);
    igt_sample_fini(&sample);
    return status;
}

typedef enum ingot_status run_rival(struct igt_bench *bench, const char *variant, const char *url,
                                    const struct igt_rival_way *way, struct ingot_error *err);

/* The queue used as Ingot uses the database, and then, seldom, as it is best used. */
static enum ingot_status run_rivals(struct igt_bench *bench, const char *name, run_rival *run,
                                    unsigned round, struct ingot_error *err)
{
    const char *url = NULL;
    enum ingot_status status = INGOT_OK;
    const size_t more = round % IGT_SELDOM ? 0 : IGT_RIVAL_VARIANTS;
    for (size_t i = 0; i <= more && !status; i++) {
        const struct igt_rival_variant rival =
            i ? igt_rival_variants[i - 1]
              : (struct igt_rival_variant){IGT_RIVAL_ALIKE, igt_way_like(bench, name, "ingot")};
        igt_bench_progress(bench, name, rival.variant, round);
        status = igt_place_make(bench->place, &url, err);
        if (!status)
            status = run(bench, rival.variant, url, &rival.way, err);
    }
    return status;
}

static void judge(struct igt_bench *bench, const char *name, double aim)
{
    igt_bench_compare(bench, name, "ingot", IGT_RIVAL_ALIKE, aim);
    for (size_t i = 0; i < IGT_RIVAL_VARIANTS; i++)
        igt_bench_compare(bench, name, "ingot", igt_rival_variants[i].variant, 0);
}

enum ingot_status igt_measure_drain(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const char *url = NULL;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        igt_bench_progress(bench, "drain", "ingot", round);
        status = igt_bench_make_store(bench, &url, err);
        if (!status)
            status = igt_drain_ingot(bench, "drain", "ingot", url, err);
        if (!status && bench->options->baseline)
            status = run_rivals(bench, "drain", drain_rival, round, err);
    }
    if (!status)
        judge(bench, "drain", 1.5);
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
    status = igt_bench_add_sample(bench, "lifecycle", "written, without full pages", "bytes/job",
                                  &sample, err);
    sample = (struct igt_sample){.value = written.images / jobs};
    if (!status && written.images > 0)
        status = igt_bench_add_sample(bench, "lifecycle", "full pages", "bytes/job", &sample, err);
    return status;
}

enum ingot_status igt_measure_lifecycle(struct igt_bench *bench, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    const char *url = NULL;
    for (unsigned round = 0; round < bench->options->rounds && !status; round++) {
        igt_bench_progress(bench, "lifecycle", "ingot", round);
        status = igt_bench_make_store(bench, &url, err);
        if (!status)
            status = igt_place_mark(bench->place, err);
        if (!status)
            status = igt_lifecycle_ingot(bench, "lifecycle", "ingot", url, err);
        if (!status)
            status = note_written(bench, err);
        if (!status && bench->options->baseline)
            status = run_rivals(bench, "lifecycle", lifecycle_rival, round, err);
    }
    if (status)
        return status;
    judge(bench, "lifecycle", igt_bench_aim(bench, 1.4, 1.5));
    igt_bench_add_verdict(bench, "lifecycle: written for a job's whole life", "bytes/job",
                          igt_bench_median(bench, "lifecycle", "written, without full pages"),
                          igt_bench_aim(bench, 1250, 1000), IGT_BETTER_LOWER);
    return INGOT_OK;
}
