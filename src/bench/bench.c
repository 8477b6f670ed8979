/*
 * The measurements and their figures. Each is a set of variants that are run in
 * turn, round after round, so that what the machine does meanwhile falls on all
 * of them alike; each run has a store of its own, but for those whose history
 * is what is measured.
 */
#include "measure.h"

#include "core/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct named {
    const char *name;
    enum ingot_status (*measure)(struct igt_bench *bench, struct ingot_error *err);
    enum { IN_ALL, ONLY_BY_NAME } when;
} benches[] = {
    {"insert", igt_measure_insert, IN_ALL},       {"drain", igt_measure_drain, IN_ALL},
    {"lifecycle", igt_measure_lifecycle, IN_ALL}, {"pickup", igt_measure_pickup, IN_ALL},
    {"pinned", igt_measure_pinned, IN_ALL},       {"http-in", igt_measure_http_in, IN_ALL},
    {"http-out", igt_measure_http_out, IN_ALL},   {"history", igt_measure_history, IN_ALL},
    {"find", igt_measure_find, IN_ALL},           {"start", igt_measure_start, IN_ALL},
    {"memory", igt_measure_memory, IN_ALL},       {"growth", igt_measure_growth, ONLY_BY_NAME},
};
#define BENCHES (sizeof benches / sizeof *benches)

const char *const *igt_bench_names(void)
{
    static const char *names[BENCHES + 1];
    for (size_t i = 0; i < BENCHES; i++)
        names[i] = benches[i].name;
    return names;
}

/* NULL if there is none of that name. */
static const struct named *find_bench(const char *name)
{
    for (size_t i = 0; i < BENCHES; i++)
        if (strcmp(benches[i].name, name) == 0)
            return &benches[i];
    return NULL;
}

int igt_bench_has(const char *name)
{
    return find_bench(name) != NULL;
}

int igt_bench_is_in_all(const char *name)
{
    const struct named *named = find_bench(name);
    return named && named->when == IN_ALL;
}

/* ---- figures ------------------------------------------------------------ */

const char *igt_bench_text(struct igt_bench *bench, const char *format, ...)
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

const char *igt_bench_count(struct igt_bench *bench, size_t count)
{
    struct igt_buffer text = {0};
    igt_report_add_number(&text, (double)count);
    const char *made = igt_bench_text(bench, "%s", text.failed ? "" : text.data);
    igt_buffer_fini(&text);
    return made;
}

void igt_bench_add_fact(struct igt_bench *bench, const char *name, const char *value)
{
    if (bench->fact_count < IGT_FACTS_MAX && value[0])
        bench->facts[bench->fact_count++] = (struct igt_fact){name, value};
}

struct igt_figure *igt_bench_figure(struct igt_bench *bench, const char *name, const char *variant)
{
    for (size_t i = 0; i < bench->figure_count; i++)
        if (strcmp(bench->figures[i].bench, name) == 0 &&
            strcmp(bench->figures[i].variant, variant) == 0)
            return &bench->figures[i];
    return NULL;
}

double igt_bench_median(struct igt_bench *bench, const char *name, const char *variant)
{
    const struct igt_figure *figure = igt_bench_figure(bench, name, variant);
    return figure ? igt_figure_median(figure) : 0;
}

enum ingot_status igt_bench_add_sample(struct igt_bench *bench, const char *name,
                                       const char *variant, const char *unit,
                                       struct igt_sample *sample, struct ingot_error *err)
{
    struct igt_figure *figure = igt_bench_figure(bench, name, variant);
    if (!figure && bench->figure_count < IGT_FIGURES_MAX) {
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

void igt_bench_add_verdict(struct igt_bench *bench, const char *what, const char *unit,
                           double value, double aim, enum igt_better better)
{
    if (bench->verdict_count < IGT_VERDICTS_MAX)
        bench->verdicts[bench->verdict_count++] =
            (struct igt_verdict){what, unit, value, aim, better};
}

void igt_bench_compare(struct igt_bench *bench, const char *name, const char *variant,
                       const char *with, double aim)
{
    double value = igt_bench_median(bench, name, variant);
    double other = igt_bench_median(bench, name, with);
    if (value > 0 && other > 0)
        igt_bench_add_verdict(bench, igt_bench_text(bench, "%s: %s / %s", name, variant, with), "x",
                              value / other, aim, IGT_BETTER_HIGHER);
}

double igt_bench_aim(const struct igt_bench *bench, double postgres, double sqlite)
{
    return igt_place_kind(bench->place) == IGT_PLACE_POSTGRES ? postgres : sqlite;
}

void igt_bench_progress(struct igt_bench *bench, const char *name, const char *variant,
                        unsigned round)
{
    if (bench->options->progress)
        bench->options->progress(name, variant, round + 1);
}

enum ingot_status igt_bench_go_on(const struct igt_bench *bench, struct ingot_error *err)
{
    const struct ingot_toolkit *toolkit = bench->options->toolkit;
    if (toolkit && toolkit->progress && toolkit->progress(toolkit->context, 0, 0) != 0)
        return ingot_error_set(err, INGOT_CLOSED, "bench: stopped");
    return INGOT_OK;
}

enum ingot_status igt_bench_make_store(struct igt_bench *bench, const char **ret_url,
                                       struct ingot_error *err)
{
    if (igt_place_has_model(bench->place))
        return igt_place_copy_model(bench->place, ret_url, err);
    enum ingot_status status = igt_place_make(bench->place, ret_url, err);
    if (!status)
        status = igt_bench_fill(*ret_url, NULL, NULL, err);
    if (status || igt_place_kind(bench->place) != IGT_PLACE_POSTGRES)
        return status;
    status = igt_place_keep_model(bench->place, err);
    return status ? status : igt_place_copy_model(bench->place, ret_url, err);
}

/* ---- all of them -------------------------------------------------------- */

enum ingot_status igt_bench_create(const struct igt_bench_options *options,
                                   struct igt_bench **ret_bench, struct ingot_error *err)
{
    struct igt_bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
    bench->options = options;
    enum ingot_status status = igt_place_open(options->store, &bench->place, err);
    if (!status)
        status = igt_bench_note_facts(bench, err);
    if (status)
        igt_bench_destroy(bench);
    else
        *ret_bench = bench;
    return status;
}

void igt_bench_destroy(struct igt_bench *bench)
{
    if (!bench)
        return;
    while (bench->history_count)
        igt_history_forget(bench, bench->histories[0].finished);
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

/* Not everything can be measured on every kind of store. */
static int has_figures(const struct igt_bench *bench, const char *name)
{
    for (size_t i = 0; i < bench->figure_count; i++)
        if (strcmp(bench->figures[i].bench, name) == 0)
            return 1;
    return 0;
}

/* The fact of how long each took is one, and grows. */
static void note_time(struct igt_bench *bench, const char *name, int64_t took_us)
{
    const size_t len = strlen(bench->took);
    if (!len)
        igt_bench_add_fact(bench, "took", memcpy(bench->took, "-", 2));
    snprintf(bench->took + len, sizeof bench->took - len, "%s%s %.0f s", len ? ", " : "", name,
             (double)took_us / 1e6);
}

enum ingot_status igt_bench_run(struct igt_bench *bench, const char *name, struct ingot_error *err)
{
    const struct named *named = find_bench(name);
    const int64_t began_us = igt_bench_now_us();
    if (!named)
        return ingot_error_set(err, INGOT_NOT_FOUND, "bench: \"%s\" cannot be measured", name);
    enum ingot_status status = named->measure(bench, err);
    if (has_figures(bench, name))
        note_time(bench, name, igt_bench_now_us() - began_us);
    return status;
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
