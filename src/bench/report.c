/*
 * What was measured, for people and for programs: medians, percentiles, the
 * tables and the JSON. Texts may come from a database, so they are escaped
 * before a terminal sees them. The charts are in chart.c.
 */
#include "report.h"

#include "cli/cli.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What tables take at most; long texts go on in the next line. */
#define PAGE_COLUMNS 80

#define TABLE_COLUMNS_MAX 8

/* A share times a count can come out a little above the whole number that is meant. */
#define RANK_SLACK 1e-6

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "report: memory ran out");
}

/* ---- statistics --------------------------------------------------------- */

void igt_sample_fini(struct igt_sample *sample)
{
    free(sample->latencies);
    free(sample->timeline);
    memset(sample, 0, sizeof *sample);
}

typedef double sample_field(const struct igt_sample *sample);

static double value_of(const struct igt_sample *sample)
{
    return sample->value;
}

static double rows_of(const struct igt_sample *sample)
{
    return sample->rows_a_commit;
}

/* What stands there, from 0, once the samples are sorted; they are few. */
static double ranked(const struct igt_figure *figure, sample_field *field, size_t rank)
{
    for (size_t i = 0; i < figure->sample_count; i++) {
        const double candidate = field(&figure->samples[i]);
        size_t below = 0, equal = 0;
        for (size_t j = 0; j < figure->sample_count; j++) {
            below += field(&figure->samples[j]) < candidate;
            equal += field(&figure->samples[j]) == candidate;
        }
        if (below <= rank && rank < below + equal)
            return candidate;
    }
    return 0;
}

static double median(const struct igt_figure *figure, sample_field *field)
{
    const size_t count = figure->sample_count;
    return count ? ranked(figure, field, (count - 1) / 2) / 2 + ranked(figure, field, count / 2) / 2
                 : 0;
}

double igt_figure_median(const struct igt_figure *figure)
{
    return median(figure, value_of);
}

/* All latencies of a figure: how many, and between what. */
struct spread {
    size_t count;
    int64_t lowest, highest;
};

static struct spread spread_of(const struct igt_figure *figure)
{
    struct spread spread = {0, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < figure->sample_count; i++) {
        const struct igt_sample *sample = &figure->samples[i];
        for (size_t j = 0; j < sample->latency_count; j++) {
            if (sample->latencies[j] < spread.lowest)
                spread.lowest = sample->latencies[j];
            if (sample->latencies[j] > spread.highest)
                spread.highest = sample->latencies[j];
        }
        spread.count += sample->latency_count;
    }
    return spread;
}

static size_t count_within(const struct igt_figure *figure, int64_t latency)
{
    size_t count = 0;
    for (size_t i = 0; i < figure->sample_count; i++)
        for (size_t j = 0; j < figure->samples[i].latency_count; j++)
            count += figure->samples[i].latencies[j] <= latency;
    return count;
}

/* The smallest latency that enough others do not exceed, by bisection: no copy to sort, so no failure. */
double igt_figure_percentile_ms(const struct igt_figure *figure, double share)
{
    struct spread spread = spread_of(figure);
    if (!spread.count)
        return 0;
    const double rank = ceil(share * (double)spread.count - RANK_SLACK);
    const size_t enough = rank > 1 ? (size_t)fmin(rank, (double)spread.count) : 1;
    while (spread.lowest < spread.highest) {
        const uint64_t apart = (uint64_t)spread.highest - (uint64_t)spread.lowest;
        const int64_t middle = spread.lowest + (int64_t)(apart / 2);
        if (count_within(figure, middle) >= enough)
            spread.highest = middle;
        else
            spread.lowest = middle + 1;
    }
    return (double)spread.lowest / 1000;
}

/* ---- text --------------------------------------------------------------- */

/* Whole numbers with their thousands apart. */
static void add_grouped(struct igt_buffer *text, double number)
{
    char digits[32];
    const int len = snprintf(digits, sizeof digits, "%.0f", number);
    for (int i = 0; i < len; i++) {
        igt_buffer_add(text, &digits[i], 1);
        if ((len - i) % 3 == 1 && i + 1 < len)
            igt_buffer_add_text(text, ",");
    }
}

void igt_report_add_number(struct igt_buffer *text, double number)
{
    const double size = fabs(number);
    if (!isfinite(number)) {
        igt_buffer_add_text(text, "-");
        return;
    }
    if (number < 0)
        igt_buffer_add_text(text, "-");
    if (size >= 1e12 || (size > 0 && size < 0.001))
        igt_buffer_add_format(text, "%.3g", size);
    else if (size >= 99.95)
        add_grouped(text, size);
    else
        igt_buffer_add_format(text, "%.*f",
                              size >= 9.995   ? 1
                              : size >= 0.995 ? 2
                              : size > 0      ? 3
                                              : 0,
                              size);
}

/* The buffer is written whole, so that a failure's reason is still known. */
static enum ingot_status write_out(const struct igt_buffer *text, FILE *out,
                                   struct ingot_error *err)
{
    if (text->failed)
        return no_memory(err);
    errno = 0;
    if (fwrite(text->data, 1, text->len, out) == text->len && fflush(out) == 0)
        return INGOT_OK;
    return ingot_error_set(err, INGOT_IO, "report: could not be written: %s", strerror(errno));
}

/* ---- tables ------------------------------------------------------------- */

enum side { SIDE_LEFT, SIDE_RIGHT };

struct column {
    const char *heading;
    enum side side;
    size_t width; /* that it takes as a rule, and its separator; 0: what the others leave */
};

struct table {
    struct libscols_table *lines;
    struct libscols_line *line; /* that is being filled */
    size_t column;              /* where its next cell goes */
    size_t room;                /* for a text of the column without a width */
    struct igt_buffer cell;
    int failed; /* memory ran out */
};

static void table_init(struct table *table, const struct column *columns, size_t count)
{
    *table = (struct table){.lines = scols_new_table(), .room = PAGE_COLUMNS};
    table->failed = !table->lines;
    if (table->failed)
        return;
    /* igt_cli_add_text has escaped all; a second time would show it wrong. */
    scols_table_enable_noencoding(table->lines, 1);
    scols_table_enable_minout(table->lines, 1);
    scols_table_set_termforce(table->lines, SCOLS_TERMFORCE_NEVER);
    for (size_t i = 0; i < count; i++) {
        igt_buffer_reset(&table->cell);
        igt_cli_add_text(&table->cell, ingot_bytes_of(columns[i].heading), IGT_ALL_COLUMNS);
        table->failed |=
            table->cell.failed ||
            !scols_table_new_column(table->lines, table->cell.len ? table->cell.data : "", 0,
                                    columns[i].side ? SCOLS_FL_RIGHT : 0);
        table->room -= columns[i].width;
    }
    igt_buffer_reset(&table->cell);
}

static void begin_line(struct table *table)
{
    table->line = table->failed ? NULL : scols_table_new_line(table->lines, NULL);
    table->failed |= !table->line;
    table->column = 0;
}

static void end_cell(struct table *table)
{
    table->failed |= table->cell.failed;
    if (!table->failed && table->cell.len)
        table->failed |= scols_line_set_data(table->line, table->column, table->cell.data) != 0;
    table->column++;
    igt_buffer_reset(&table->cell);
}

static void add_number(struct table *table, double number)
{
    igt_report_add_number(&table->cell, number);
    end_cell(table);
}

/* Of a column that what was not measured leaves empty. */
static void add_measured(struct table *table, size_t count, double number)
{
    if (count)
        igt_report_add_number(&table->cell, number);
    end_cell(table);
}

static void add_text(struct table *table, const char *text)
{
    igt_cli_add_text(&table->cell, ingot_bytes_of(text), IGT_ALL_COLUMNS);
    end_cell(table);
}

/* The words of the text that fit into the room go into the cell; returns where the rest begins. */
static const char *add_words(struct table *table, const char *text)
{
    struct igt_buffer word = {0};
    size_t used = table->cell.len;
    for (int first = 1; *text; first = 0) {
        const size_t len = strcspn(text, " ");
        igt_buffer_reset(&word);
        used += igt_cli_add_text(&word, (struct ingot_bytes){text, len}, IGT_ALL_COLUMNS) + !first;
        table->failed |= word.failed;
        if (!first && used > table->room)
            break;
        igt_buffer_add_text(&table->cell, first ? "" : " ");
        igt_buffer_add(&table->cell, word.data, word.len);
        text += len + (text[len] == ' ');
    }
    igt_buffer_fini(&word);
    return text;
}

/* The rest of a text that did not fit, in lines of their own. */
static void add_rest(struct table *table, size_t column, const char *rest)
{
    while (*rest && !table->failed) {
        begin_line(table);
        table->column = column;
        igt_buffer_add_text(&table->cell, "  ");
        rest = add_words(table, rest);
        end_cell(table);
    }
}

/* Appends the table, with an empty line before it unless it is the first. */
static void end_table(struct table *table, struct igt_buffer *page)
{
    char *text = NULL;
    if (!table->failed)
        table->failed = scols_print_table_to_string(table->lines, &text) != 0 || !text;
    if (table->failed)
        page->failed = 1;
    else
        igt_buffer_add_format(page, "%s%s\n", page->len ? "\n" : "", text);
    free(text);
    scols_unref_table(table->lines);
    igt_buffer_fini(&table->cell);
}

/* ---- for people --------------------------------------------------------- */

static void add_facts(struct igt_buffer *page, const struct igt_findings *findings)
{
    struct column columns[] = {{"SETTING", SIDE_LEFT, sizeof "SETTING"}, {"VALUE", SIDE_LEFT, 0}};
    struct table table;
    for (size_t i = 0; i < findings->fact_count; i++)
        if (strlen(findings->facts[i].name) >= columns[0].width)
            columns[0].width = strlen(findings->facts[i].name) + 1;
    if (columns[0].width > PAGE_COLUMNS / 2)
        columns[0].width = PAGE_COLUMNS / 2;
    table_init(&table, columns, 2);
    for (size_t i = 0; i < findings->fact_count; i++) {
        begin_line(&table);
        add_text(&table, findings->facts[i].name);
        const char *rest = add_words(&table, findings->facts[i].value);
        end_cell(&table);
        add_rest(&table, 1, rest);
    }
    end_table(&table, page);
}

/* What of a table was measured with any of its figures. */
struct measured {
    int rows, latencies;
};

static int is_of_one_table(const struct igt_figure *a, const struct igt_figure *b)
{
    return strcmp(a->bench, b->bench) == 0 && strcmp(a->unit, b->unit) == 0;
}

static struct measured measured_of(const struct igt_findings *findings,
                                   const struct igt_figure *first)
{
    struct measured measured = {0, 0};
    for (size_t i = 0; i < findings->figure_count; i++) {
        const struct igt_figure *figure = &findings->figures[i];
        if (!is_of_one_table(figure, first))
            continue;
        measured.rows |= median(figure, rows_of) > 0;
        measured.latencies |= spread_of(figure).count > 0;
    }
    return measured;
}

static size_t choose_columns(const char *title, struct measured measured,
                             struct column columns[TABLE_COLUMNS_MAX])
{
    size_t count = 0;
    columns[count++] = (struct column){title, SIDE_LEFT, 0};
    columns[count++] = (struct column){"MEDIAN", SIDE_RIGHT, 8};
    columns[count++] = (struct column){"LOWEST", SIDE_RIGHT, 8};
    columns[count++] = (struct column){"HIGHEST", SIDE_RIGHT, 8};
    columns[count++] = (struct column){"RUNS", SIDE_RIGHT, 5};
    if (measured.rows)
        columns[count++] = (struct column){"ROWS/TX", SIDE_RIGHT, 8};
    if (measured.latencies) {
        columns[count++] = (struct column){"P50 MS", SIDE_RIGHT, 7};
        columns[count++] = (struct column){"P99 MS", SIDE_RIGHT, 7};
    }
    return count;
}

static void add_figure(struct table *table, const struct igt_figure *figure,
                       struct measured measured)
{
    const size_t runs = figure->sample_count;
    begin_line(table);
    const char *rest = add_words(table, figure->variant);
    end_cell(table);
    add_measured(table, runs, igt_figure_median(figure));
    add_measured(table, runs, ranked(figure, value_of, 0));
    add_measured(table, runs, ranked(figure, value_of, runs - 1));
    igt_buffer_add_format(&table->cell, "%zu", runs);
    end_cell(table);
    if (measured.rows)
        add_measured(table, median(figure, rows_of) > 0, median(figure, rows_of));
    if (measured.latencies) {
        const size_t count = spread_of(figure).count;
        add_measured(table, count, igt_figure_percentile_ms(figure, 0.5));
        add_measured(table, count, igt_figure_percentile_ms(figure, 0.99));
    }
    add_rest(table, 0, rest);
}

static int begins_table(const struct igt_findings *findings, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (is_of_one_table(&findings->figures[i], &findings->figures[at]))
            return 0;
    return 1;
}

/* A table of all figures of a bench and a unit. */
static void add_figures(struct igt_buffer *page, const struct igt_findings *findings,
                        const struct igt_figure *first)
{
    struct column columns[TABLE_COLUMNS_MAX];
    struct table table;
    struct igt_buffer title = {0};
    const struct measured measured = measured_of(findings, first);
    igt_buffer_add_format(&title, "%s, %s", first->bench, first->unit);
    table_init(&table, columns, choose_columns(title.failed ? "" : title.data, measured, columns));
    for (size_t i = 0; i < findings->figure_count; i++)
        if (is_of_one_table(&findings->figures[i], first))
            add_figure(&table, &findings->figures[i], measured);
    end_table(&table, page);
    igt_buffer_fini(&title);
}

int igt_findings_begin_bench(const struct igt_findings *findings, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(findings->figures[i].bench, findings->figures[at].bench) == 0)
            return 0;
    return 1;
}

static int is_met(const struct igt_verdict *verdict)
{
    return verdict->better == IGT_BETTER_HIGHER ? verdict->value >= verdict->aim
                                                : verdict->value <= verdict->aim;
}

static void add_verdict(struct table *table, const struct igt_verdict *verdict)
{
    begin_line(table);
    const char *rest = add_words(table, verdict->what);
    end_cell(table);
    add_number(table, verdict->value);
    add_text(table, verdict->unit);
    if (verdict->aim != 0) {
        igt_buffer_add_text(&table->cell,
                            verdict->better == IGT_BETTER_HIGHER ? "at least " : "at most ");
        igt_report_add_number(&table->cell, verdict->aim);
        end_cell(table);
        add_text(table, is_met(verdict) ? "ok" : "missed");
    }
    add_rest(table, 0, rest);
}

static void add_verdicts(struct igt_buffer *page, const struct igt_findings *findings)
{
    static const struct column columns[] = {{"VERDICT", SIDE_LEFT, 0},
                                            {"MEASURED", SIDE_RIGHT, 9},
                                            {"", SIDE_LEFT, 10},
                                            {"AIM", SIDE_LEFT, 14},
                                            {"RESULT", SIDE_LEFT, 7}};
    struct table table;
    table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < findings->verdict_count; i++)
        add_verdict(&table, &findings->verdicts[i]);
    end_table(&table, page);
}

enum ingot_status igt_report_print(const struct igt_findings *findings, FILE *out,
                                   struct ingot_error *err)
{
    struct igt_buffer page = {0};
    if (findings->fact_count)
        add_facts(&page, findings);
    for (size_t i = 0; i < findings->figure_count; i++)
        if (begins_table(findings, i))
            add_figures(&page, findings, &findings->figures[i]);
    if (findings->verdict_count)
        add_verdicts(&page, findings);
    if (!findings->figure_count && !findings->verdict_count)
        igt_buffer_add_format(&page, "%snothing was measured\n", page.len ? "\n" : "");
    enum ingot_status status = write_out(&page, out, err);
    igt_buffer_fini(&page);
    return status;
}

/* ---- for programs ------------------------------------------------------- */

/* In the fewest digits that give the same number back; RFC 8259 has no others than finite ones. */
static void encode_number(struct igt_buffer *json, double number)
{
    char digits[32];
    if (!isfinite(number)) {
        igt_buffer_add_text(json, "null");
        return;
    }
    snprintf(digits, sizeof digits, "%.15g", number);
    if (strtod(digits, NULL) != number)
        snprintf(digits, sizeof digits, "%.17g", number);
    igt_buffer_add_text(json, digits);
}

static void encode_text(struct igt_buffer *json, const char *before, const char *text)
{
    igt_buffer_add_text(json, before);
    igt_buffer_add_json_string(json, ingot_bytes_of(text));
}

static void encode_facts(struct igt_buffer *json, const struct igt_findings *findings)
{
    for (size_t i = 0; i < findings->fact_count; i++) {
        encode_text(json, i ? "," : "", findings->facts[i].name);
        encode_text(json, ":", findings->facts[i].value);
    }
}

static void encode_latencies(struct igt_buffer *json, const struct igt_figure *figure)
{
    static const struct {
        const char *name;
        double share;
    } all[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    igt_buffer_add_text(json, ",\"latency_ms\":");
    if (!spread_of(figure).count) {
        igt_buffer_add_text(json, "null");
        return;
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        igt_buffer_add_format(json, "%s\"%s\":", i ? "," : "{", all[i].name);
        encode_number(json, igt_figure_percentile_ms(figure, all[i].share));
    }
    igt_buffer_add_text(json, "}");
}

static void encode_timeline(struct igt_buffer *json, const struct igt_sample *sample)
{
    if (!sample->timeline_count) {
        igt_buffer_add_text(json, "null");
        return;
    }
    for (size_t i = 0; i < sample->timeline_count; i++) {
        igt_buffer_add_text(json, i ? "," : "[");
        encode_number(json, sample->timeline[i]);
    }
    igt_buffer_add_text(json, "]");
}

static void encode_figure(struct igt_buffer *json, const struct igt_figure *figure)
{
    encode_text(json, "{\"bench\":", figure->bench);
    encode_text(json, ",\"variant\":", figure->variant);
    encode_text(json, ",\"unit\":", figure->unit);
    igt_buffer_add_text(json, ",\"median\":");
    encode_number(json, figure->sample_count ? igt_figure_median(figure) : NAN);
    igt_buffer_add_text(json, ",\"runs\":[");
    for (size_t i = 0; i < figure->sample_count; i++) {
        igt_buffer_add_text(json, i ? "," : "");
        encode_number(json, figure->samples[i].value);
    }
    igt_buffer_add_text(json, "],\"rows_a_commit\":[");
    for (size_t i = 0; i < figure->sample_count; i++) {
        igt_buffer_add_text(json, i ? "," : "");
        encode_number(json, rows_of(&figure->samples[i]) > 0 ? rows_of(&figure->samples[i]) : NAN);
    }
    igt_buffer_add_text(json, "]");
    encode_latencies(json, figure);
    igt_buffer_add_text(json, ",\"timeline\":[");
    for (size_t i = 0; i < figure->sample_count; i++) {
        igt_buffer_add_text(json, i ? "," : "");
        encode_timeline(json, &figure->samples[i]);
    }
    igt_buffer_add_text(json, "]}");
}

static void encode_verdict(struct igt_buffer *json, const struct igt_verdict *verdict)
{
    const int has_aim = verdict->aim != 0;
    encode_text(json, "{\"what\":", verdict->what);
    encode_text(json, ",\"unit\":", verdict->unit);
    igt_buffer_add_text(json, ",\"measured\":");
    encode_number(json, verdict->value);
    igt_buffer_add_text(json, ",\"aim\":");
    encode_number(json, has_aim ? verdict->aim : NAN);
    igt_buffer_add_format(json, ",\"better\":\"%s\",\"ok\":%s}",
                          verdict->better == IGT_BETTER_HIGHER ? "higher" : "lower",
                          !has_aim          ? "null"
                          : is_met(verdict) ? "true"
                                            : "false");
}

enum ingot_status igt_report_print_json(const struct igt_findings *findings, FILE *out,
                                        struct ingot_error *err)
{
    struct igt_buffer json = {0};
    igt_buffer_add_text(&json, "{\"facts\":{");
    encode_facts(&json, findings);
    igt_buffer_add_format(&json, "},\"tick_ms\":%d,\"figures\":[", IGT_TICK_US / 1000);
    for (size_t i = 0; i < findings->figure_count; i++) {
        igt_buffer_add_text(&json, i ? "," : "");
        encode_figure(&json, &findings->figures[i]);
    }
    igt_buffer_add_text(&json, "],\"verdicts\":[");
    for (size_t i = 0; i < findings->verdict_count; i++) {
        igt_buffer_add_text(&json, i ? "," : "");
        encode_verdict(&json, &findings->verdicts[i]);
    }
    igt_buffer_add_text(&json, "]}\n");
    enum ingot_status status = write_out(&json, out, err);
    igt_buffer_fini(&json);
    return status;
}
