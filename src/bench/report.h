/*
 * What was measured, and how it is shown: a table for people, JSON for
 * programs, charts as SVG.
 */
#ifndef INGOT_BENCH_REPORT_H
#define INGOT_BENCH_REPORT_H

#include <ingot/ingot.h>
#include <stdio.h>

/* One run. All arrays are malloc'ed and owned by the sample; zero-initialise. */
struct igt_sample {
    double value;       /* in the unit of its figure */
    int64_t *latencies; /* microseconds, in no order; NULL: not measured */
    size_t latency_count, latency_size;
    double *timeline; /* what was done in each IGT_TICK_US of the run, a second's rate; or NULL */
    size_t timeline_count, timeline_size;
    double rows_a_commit; /* 0: not counted */
};
#define IGT_TICK_US 100000
void igt_sample_fini(struct igt_sample *sample);

/* All runs of one thing that was measured. Texts are borrowed and must outlive the report. */
struct igt_figure {
    const char *bench;   /* "lifecycle" */
    const char *variant; /* "ingot", "queue, 4 connections, batches of 100" */
    const char *unit;    /* "jobs/s", "ms", "bytes/job" */
    struct igt_sample *samples;
    size_t sample_count;
};

enum igt_better { IGT_BETTER_HIGHER, IGT_BETTER_LOWER };

/* A figure set against another or against a bound. */
struct igt_verdict {
    const char *what;  /* "lifecycle / queue, same connections and rows a commit" */
    const char *unit;  /* "x", "ms", "bytes/job" */
    double value, aim; /* aim 0: none */
    enum igt_better better;
};

/* A setting that matters to the figures: machine, version, durability, option. */
struct igt_fact {
    const char *name;
    const char *value;
};

struct igt_findings {
    const struct igt_fact *facts;
    size_t fact_count;
    const struct igt_figure *figures;
    size_t figure_count;
    const struct igt_verdict *verdicts;
    size_t verdict_count;
};

/* Whether the figure at that place is the first of its bench. */
int igt_findings_begin_bench(const struct igt_findings *findings, size_t at);

/* The median of the samples' values; 0 if there are none. */
double igt_figure_median(const struct igt_figure *figure);

/* The value below which a share (0 to 1) of all the figure's latencies lies, in milliseconds; 0 if there are none. */
double igt_figure_percentile_ms(const struct igt_figure *figure, double share);

/*
 * In 80 columns: facts, then the figures of each bench and unit (median, lowest, highest, how many
 * runs, latencies p50 p99), then verdicts beside their aims.
 */
enum ingot_status igt_report_print(const struct igt_findings *findings, FILE *out,
                                   struct ingot_error *err);

/*
 * One JSON object on a line, {"facts":{…},"tick_ms":100,"figures":[…],"verdicts":[…]}. A figure
 * has "runs", "rows_a_commit" and "timeline", each with a member for each run (null: not
 * measured), and the percentiles of all its runs together. The names of facts are distinct.
 */
enum ingot_status igt_report_print_json(const struct igt_findings *findings, FILE *out,
                                        struct ingot_error *err);

struct igt_buffer;
/* Appends a number as people read it: "61,230", "4.12"; "-" for what is none. */
void igt_report_add_number(struct igt_buffer *text, double number);

/*
 * Writes into the folder (made if it is not there) BENCH-throughput.svg for each bench with
 * timelines and BENCH-latency.svg for each with latencies: a line for each variant; and
 * BENCH-medians.svg for each with two figures of its first unit: a bar for each. Legible on
 * light and dark ground, without scripts. Errors name the file.
 */
enum ingot_status igt_report_draw(const struct igt_findings *findings, const char *folder,
                                  struct ingot_error *err);

#endif
