/* What bench reports: the statistics are right, all forms are whole and sound whatever was measured. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bench/report.h"
#include "core/buffer.h"
#include "core/bytes.h"
#include "core/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char hostile[] =
    "<a b='&b;'>\"]]>\x1b[31m\x01\xff\xc3( \xe2\x80\xae --> \xf0\x9f\x98\x80\\";

/* ---- what is reported --------------------------------------------------- */

static struct igt_figure figure_of(struct igt_sample *samples, size_t count)
{
    return (struct igt_figure){"life", "ingot", "jobs/s", samples, count};
}

static struct igt_findings findings_of(const struct igt_figure *figures, size_t count)
{
    return (struct igt_findings){.figures = figures, .figure_count = count};
}

typedef enum ingot_status print_function(const struct igt_findings *findings, FILE *out,
                                         struct ingot_error *err);

/* What is printed; for free(). */
static char *print(print_function *function, const struct igt_findings *findings)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_int_equal(function(findings, out, NULL), INGOT_OK);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strlen(text), len);
    return text;
}

/* ---- folders and files -------------------------------------------------- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/ingot-report-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *all = opendir(folder);
    assert_non_null(all);
    for (const struct dirent *entry; (entry = readdir(all));)
        count += entry->d_name[0] != '.';
    closedir(all);
    return count;
}

static int remove_folder(void **state)
{
    (void)state;
    DIR *all = opendir(folder);
    if (!all)
        return -1;
    for (const struct dirent *entry; (entry = readdir(all));)
        if (entry->d_name[0] != '.')
            remove(path_of(entry->d_name));
    closedir(all);
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* For free(). */
static char *read_file(const char *name)
{
    struct igt_buffer text = {0};
    char part[4096];
    FILE *file = fopen(path_of(name), "re");
    assert_non_null(file);
    for (size_t len; (len = fread(part, 1, sizeof part, file)) > 0;)
        igt_buffer_add(&text, part, len);
    fclose(file);
    assert_non_null(text.data);
    return text.data;
}

/* ---- XML ---------------------------------------------------------------- */

/* Nothing but what XML 1.0 allows in text: UTF-8, no controls, and of its own signs only entities. */
static void expect_text(const char *text, size_t len)
{
    for (size_t i = 0, size; i < len; i += size) {
        size = igt_character_len((struct ingot_bytes){text + i, len - i});
        assert_true(size > 0);
        const uint32_t character = igt_character_decode(text + i, size);
        assert_true(character >= 0x20 || character == '\n');
        assert_true(character < 0xfffe || character > 0xffff);
        assert_true(character != '<' && character != '>');
        if (character == '&')
            assert_true(strncmp(text + i, "&amp;", 5) == 0 || strncmp(text + i, "&lt;", 4) == 0 ||
                        strncmp(text + i, "&gt;", 4) == 0);
    }
}

/* Name, attributes in quotes, end; returns behind it. */
static const char *expect_tag(const char *at, const char *names[], size_t *depth)
{
    const size_t len = strcspn(at, " >/");
    if (*at == '/') {
        assert_true(*depth > 0);
        (*depth)--;
        const size_t open_len = strcspn(names[*depth], " >/");
        assert_memory_equal(at + 1, names[*depth], open_len);
        assert_int_equal(at[1 + open_len], '>');
        return at + open_len + 2;
    }
    assert_true(len > 0 && *depth < 8);
    names[(*depth)++] = at;
    for (at += len; *at == ' ';) {
        at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzBX0123456789-");
        assert_memory_equal(at, "=\"", 2);
        const char *end = strchr(at + 2, '"');
        assert_non_null(end);
        expect_text(at + 2, (size_t)(end - at) - 2);
        at = end + 1;
    }
    *depth -= *at == '/';
    at += *at == '/';
    assert_int_equal(*at, '>');
    return at + 1;
}

static void expect_well_formed(const char *xml)
{
    const char *names[8];
    size_t depth = 0;
    assert_memory_equal(xml, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39);
    do {
        assert_int_equal(*xml, '<');
        xml = expect_tag(xml + 1, names, &depth);
        const size_t len = strcspn(xml, "<");
        expect_text(xml, len);
        xml += len;
    } while (depth);
    assert_string_equal(xml, "");
}

static size_t count_text(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text++;
    }
    return count;
}

/* A chart in which every coordinate is a number; for free(). */
static char *read_chart(const char *name)
{
    char *svg = read_file(name);
    expect_well_formed(svg);
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    assert_null(strstr(svg, "<script"));
    return svg;
}

/* ---- statistics --------------------------------------------------------- */

static void the_median_is_the_middle_or_between_the_two(void **state)
{
    (void)state;
    static const struct {
        double values[5];
        size_t count;
        double median;
    } all[] = {
        {{0}, 0, 0},
        {{7}, 1, 7},
        {{1, 4}, 2, 2.5},
        {{9, 1, 5}, 3, 5},
        {{4, 1, 3, 2}, 4, 2.5},
        {{5, 5, 1, 5, 9}, 5, 5},
        {{2, 2, 2, 2}, 4, 2},
        {{-3, 0, -1}, 3, -1},
        {{1e308, 1.5e308}, 2, 1.25e308},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct igt_sample samples[5] = {{0}};
        for (size_t j = 0; j < all[i].count; j++)
            samples[j].value = all[i].values[j];
        struct igt_figure figure = figure_of(samples, all[i].count);
        assert_true(igt_figure_median(&figure) == all[i].median);
    }
}

static void percentiles_are_of_all_runs_and_right_at_their_borders(void **state)
{
    (void)state;
    static const struct {
        double share, ms;
    } all[] = {{0, 0.001},     {-1, 0.001}, {0.001, 0.001}, {0.0011, 0.002}, {0.5, 0.5},
               {0.501, 0.501}, {0.9, 0.9},  {0.99, 0.99},   {0.999, 0.999},  {0.9991, 1},
               {1, 1},         {2, 1},      {NAN, 0.001}};
    int64_t odd[500], even[500];
    for (int64_t i = 0; i < 500; i++) {
        odd[499 - i] = 2 * i + 1;
        even[i] = 2 * i + 2;
    }
    struct igt_sample samples[] = {{.latencies = odd, .latency_count = 500},
                                   {.latencies = NULL},
                                   {.latencies = even, .latency_count = 500}};
    struct igt_figure figure = figure_of(samples, 3);
    for (size_t i = 0; i < COUNT(all); i++)
        assert_true(igt_figure_percentile_ms(&figure, all[i].share) == all[i].ms);
}

static void percentiles_of_few_and_extreme_latencies(void **state)
{
    (void)state;
    int64_t one[] = {1500}, extreme[] = {INT64_MAX, 0, INT64_MIN}, zeros[] = {0, 0, 0};
    struct igt_sample sample = {.latencies = one, .latency_count = 1};
    struct igt_figure figure = figure_of(&sample, 1), none = figure_of(NULL, 0);
    assert_true(igt_figure_percentile_ms(&none, 0.5) == 0);
    for (int i = 0; i <= 4; i++)
        assert_true(igt_figure_percentile_ms(&figure, i / 4.0) == 1.5);
    sample = (struct igt_sample){.latencies = extreme, .latency_count = 3};
    assert_true(igt_figure_percentile_ms(&figure, 0) == (double)INT64_MIN / 1000);
    assert_true(igt_figure_percentile_ms(&figure, 0.5) == 0);
    assert_true(igt_figure_percentile_ms(&figure, 1) == (double)INT64_MAX / 1000);
    sample = (struct igt_sample){.latencies = zeros, .latency_count = 3};
    assert_true(igt_figure_percentile_ms(&figure, 0.99) == 0);
}

static void a_sample_gives_back_what_it_owns(void **state)
{
    (void)state;
    struct igt_sample sample = {.value = 1, .latencies = malloc(8), .timeline = malloc(8)};
    igt_sample_fini(&sample);
    assert_null(sample.latencies);
    assert_null(sample.timeline);
    igt_sample_fini(&sample);
}

/* ---- for people --------------------------------------------------------- */

static void numbers_have_three_digits_that_count_or_groups(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } all[] = {
        {0, "0"},
        {0.0004, "0.0004"},
        {0.0123, "0.012"},
        {0.9949, "0.995"},
        {0.996, "1.00"},
        {1.4, "1.40"},
        {9.994, "9.99"},
        {9.996, "10.0"},
        {99.94, "99.9"},
        {99.96, "100"},
        {999.6, "1,000"},
        {1234567, "1,234,567"},
        {-61230, "-61,230"},
        {1e30, "1e+30"},
        {NAN, "-"},
        {INFINITY, "-"},
        {-0.5, "-0.500"},
        {123456, "123,456"},
    };
    struct igt_buffer text = {0};
    for (size_t i = 0; i < COUNT(all); i++) {
        igt_buffer_reset(&text);
        igt_report_add_number(&text, all[i].number);
        assert_string_equal(text.data, all[i].text);
    }
    igt_buffer_fini(&text);
}

static void the_tables_say_what_was_measured_and_what_was_aimed_at(void **state)
{
    (void)state;
    int64_t latencies[] = {1000, 2000, 30000};
    struct igt_sample mine[] = {
        {.value = 61230, .latencies = latencies, .latency_count = 3, .rows_a_commit = 412},
        {.value = 58001, .rows_a_commit = 410},
        {.value = 63220, .rows_a_commit = 408}};
    struct igt_sample other = {.value = 32100}, size = {.value = 1312};
    struct igt_figure figures[] = {
        {"life", "ingot", "jobs/s", mine, 3},
        {"size", "written", "bytes/job", &size, 1},
        {"life", "queue, 4 connections, batches of 100, one transaction", "jobs/s", &other, 1},
        {"life", "nothing", "jobs/s", NULL, 0},
    };
    static const struct igt_verdict verdicts[] = {
        {"life: ingot / queue", "x", 1.91, 1.4, IGT_BETTER_HIGHER},
        {"life: ingot / best", "x", 1.1, 0, IGT_BETTER_HIGHER},
        {"size", "bytes/job", 1312, 1250, IGT_BETTER_LOWER},
        {"just", "ms", 5, 5, IGT_BETTER_LOWER},
        {"just", "x", 1.5, 1.5, IGT_BETTER_HIGHER},
        {"short", "x", 0.94, 0.95, IGT_BETTER_HIGHER},
        {"none", "x", NAN, 0.95, IGT_BETTER_HIGHER},
    };
    static const struct igt_fact facts[] = {{"machine", "two cores"}, {"durability", "on"}};
    const struct igt_findings findings = {facts, 2, figures, 4, verdicts, COUNT(verdicts)};
    char *text = print(igt_report_print, &findings);
    assert_string_equal(
        text, "SETTING    VALUE\n"
              "machine    two cores\n"
              "durability on\n"
              "\n"
              "life, jobs/s                  MEDIAN LOWEST HIGHEST RUNS ROWS/TX P50 MS P99 MS\n"
              "ingot                         61,230 58,001  63,220    3     410   2.00   30.0\n"
              "queue, 4 connections, batches 32,100 32,100  32,100    1\n"
              "  of 100, one transaction\n"
              "nothing                                                0\n"
              "\n"
              "size, bytes/job MEDIAN LOWEST HIGHEST RUNS\n"
              "written          1,312  1,312   1,312    1\n"
              "\n"
              "VERDICT             MEASURED           AIM            RESULT\n"
              "life: ingot / queue     1.91 x         at least 1.40  ok\n"
              "life: ingot / best      1.10 x\n"
              "size                   1,312 bytes/job at most 1,250  missed\n"
              "just                    5.00 ms        at most 5.00   ok\n"
              "just                    1.50 x         at least 1.50  ok\n"
              "short                  0.940 x         at least 0.950 missed\n"
              "none                       - x         at least 0.950 missed\n");
    free(text);
}

static void long_texts_go_on_in_the_next_line_of_eighty_columns(void **state)
{
    (void)state;
    char value[1000];
    struct igt_sample sample = {.value = 123456, .rows_a_commit = 1000};
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = i % 7 == 6 ? ' ' : 'x';
    value[sizeof value - 1] = '\0';
    const struct igt_fact fact = {"a", value};
    const struct igt_figure figure = {"life", value, "bytes/job", &sample, 1};
    const struct igt_verdict verdict = {value, "bytes/job", 123456, 123456, IGT_BETTER_LOWER};
    const struct igt_findings findings = {&fact, 1, &figure, 1, &verdict, 1};
    char *text = print(igt_report_print, &findings);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    assert_int_equal(count_text(text, "xxxxxx"), 3 * 142);
    free(text);
}

static void nothing_that_was_named_steers_a_terminal(void **state)
{
    (void)state;
    struct igt_sample sample = {.value = 1};
    const struct igt_fact fact = {hostile, hostile};
    const struct igt_figure figure = {hostile, hostile, hostile, &sample, 1};
    const struct igt_verdict verdict = {hostile, hostile, 1, 1, IGT_BETTER_LOWER};
    const struct igt_findings findings = {&fact, 1, &figure, 1, &verdict, 1};
    char *text = print(igt_report_print, &findings);
    for (const char *at = text; *at; at++)
        assert_true((uint8_t)*at >= 0x20 || *at == '\n');
    assert_true(mbstowcs(NULL, text, 0) != (size_t)-1);
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_int_equal(count_text(text, "\\x1b[31m"), 7);
    free(text);
}

/* ---- for programs ------------------------------------------------------- */

static struct igt_json member(const struct igt_json *object, const char *name)
{
    struct igt_json key, value;
    struct igt_json_walk walk = igt_json_walk(object);
    while (igt_json_next(&walk, &key, &value))
        if (key.raw.len == strlen(name) + 2 &&
            memcmp((const char *)key.raw.data + 1, name, strlen(name)) == 0)
            return value;
    fail_msg("no member %s", name);
    return *object;
}

static struct igt_json element(const struct igt_json *array, size_t at)
{
    struct igt_json key, value;
    struct igt_json_walk walk = igt_json_walk(array);
    for (size_t i = 0; igt_json_next(&walk, &key, &value); i++)
        if (i == at)
            return value;
    fail_msg("no element %zu", at);
    return *array;
}

static void expect_number(struct igt_json value, double number)
{
    assert_int_equal(value.kind, IGT_JSON_NUMBER);
    assert_true(strtod(value.raw.data, NULL) == number);
}

static void expect_raw(struct igt_json value, const char *text)
{
    assert_true(ingot_bytes_equal(value.raw, ingot_bytes_of(text)));
}

static struct igt_json parse(const char *text)
{
    struct igt_json json;
    struct ingot_error err = {0};
    if (igt_json_parse(ingot_bytes_of(text), &json, &err) != INGOT_OK)
        fail_msg("%s", err.message);
    return json;
}

static void json_holds_every_run(void **state)
{
    (void)state;
    int64_t latencies[1000];
    double timeline[] = {0.1, 1e300, 0};
    for (int64_t i = 0; i < 1000; i++)
        latencies[i] = i + 1;
    struct igt_sample samples[] = {
        {.value = 1.0 / 3, .latencies = latencies, .latency_count = 1000, .rows_a_commit = 7.5},
        {.value = 61230, .timeline = timeline, .timeline_count = 3},
        {.value = 1e300}};
    const struct igt_figure figures[] = {{"life", "ingot", "jobs/s", samples, 3},
                                         {"life", "none", "jobs/s", NULL, 0}};
    const struct igt_verdict verdicts[] = {{"up", "x", 1.5, 1.4, IGT_BETTER_HIGHER},
                                           {"down", "ms", 1.5, 1.4, IGT_BETTER_LOWER},
                                           {"open", "ms", 1.5, 0, IGT_BETTER_LOWER}};
    const struct igt_fact facts[] = {{"machine", "two cores"}, {"rounds", "5"}};
    const struct igt_findings findings = {facts, 2, figures, 2, verdicts, 3};
    char *text = print(igt_report_print_json, &findings);
    struct igt_json all = parse(text), part = member(&all, "facts");
    assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
    expect_raw(member(&part, "machine"), "\"two cores\"");
    expect_raw(member(&part, "rounds"), "\"5\"");
    expect_number(member(&all, "tick_ms"), 100);
    part = member(&all, "figures");
    assert_int_equal(igt_json_count(&part), 2);
    struct igt_json figure = element(&part, 0), none = element(&part, 1);
    expect_raw(member(&figure, "bench"), "\"life\"");
    expect_raw(member(&figure, "variant"), "\"ingot\"");
    expect_raw(member(&figure, "unit"), "\"jobs/s\"");
    expect_number(member(&figure, "median"), 61230);
    part = member(&figure, "runs");
    assert_int_equal(igt_json_count(&part), 3);
    for (size_t i = 0; i < 3; i++)
        expect_number(element(&part, i), samples[i].value);
    expect_raw(member(&figure, "rows_a_commit"), "[7.5,null,null]");
    part = member(&figure, "latency_ms");
    expect_number(member(&part, "p50"), 0.5);
    expect_number(member(&part, "p90"), 0.9);
    expect_number(member(&part, "p99"), 0.99);
    expect_number(member(&part, "p999"), 0.999);
    expect_number(member(&part, "max"), 1);
    expect_raw(member(&figure, "timeline"), "[null,[0.1,1e+300,0],null]");
    expect_raw(member(&none, "median"), "null");
    expect_raw(member(&none, "runs"), "[]");
    expect_raw(member(&none, "latency_ms"), "null");
    expect_raw(member(&all, "verdicts"),
               "[{\"what\":\"up\",\"unit\":\"x\",\"measured\":1.5,\"aim\":1.4,\"better\":"
               "\"higher\",\"ok\":true},{\"what\":\"down\",\"unit\":\"ms\",\"measured\":1.5,"
               "\"aim\":1.4,\"better\":\"lower\",\"ok\":false},{\"what\":\"open\",\"unit\":\"ms\","
               "\"measured\":1.5,\"aim\":null,\"better\":\"lower\",\"ok\":null}]");
    free(text);
}

static void json_is_valid_whatever_names_and_numbers_are(void **state)
{
    (void)state;
    double timeline[] = {NAN, -INFINITY};
    struct igt_sample samples[] = {{.value = NAN, .timeline = timeline, .timeline_count = 2},
                                   {.value = INFINITY, .rows_a_commit = INFINITY}};
    const struct igt_fact fact = {hostile, hostile};
    const struct igt_figure figure = {hostile, hostile, hostile, samples, 2};
    const struct igt_verdict verdict = {hostile, hostile, NAN, INFINITY, IGT_BETTER_HIGHER};
    const struct igt_findings findings = {&fact, 1, &figure, 1, &verdict, 1};
    char *text = print(igt_report_print_json, &findings);
    struct igt_json all = parse(text), part = member(&all, "figures");
    part = element(&part, 0);
    expect_raw(member(&part, "runs"), "[null,null]");
    expect_raw(member(&part, "timeline"), "[[null,null],null]");
    free(text);
}

static void an_empty_report_is_a_report(void **state)
{
    (void)state;
    const struct igt_findings findings = {0};
    char *text = print(igt_report_print, &findings),
         *json = print(igt_report_print_json, &findings);
    assert_string_equal(text, "nothing was measured\n");
    assert_string_equal(json, "{\"facts\":{},\"tick_ms\":100,\"figures\":[],\"verdicts\":[]}\n");
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    assert_int_equal(count_files(), 0);
    free(text);
    free(json);
}

/* ---- charts ------------------------------------------------------------- */

static void a_chart_has_a_line_and_a_name_for_each_variant_that_was_measured(void **state)
{
    (void)state;
    double timeline[] = {100, 200, 300};
    int64_t latencies[] = {1000, 2000};
    struct igt_sample timed = {.value = 200, .timeline = timeline, .timeline_count = 3},
                      both = {.value = 100,
                              .timeline = timeline,
                              .timeline_count = 2,
                              .latencies = latencies,
                              .latency_count = 2},
                      plain = {.value = 1};
    struct igt_figure figures[12] = {{"life", "plain", "jobs/s", &plain, 1},
                                     {"life", "timed", "jobs/s", &timed, 1},
                                     {"size", "plain", "bytes", &plain, 1},
                                     {"life", "both", "jobs/s", &both, 1}};
    for (size_t i = 4; i < COUNT(figures); i++)
        figures[i] = (struct igt_figure){"more", "some", "jobs/s", &both, 1};
    const struct igt_findings findings = findings_of(figures, COUNT(figures));
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    assert_int_equal(count_files(), 6);
    char *rates = read_chart("life-throughput.svg"), *latency = read_chart("life-latency.svg"),
         *more = read_chart("more-latency.svg");
    assert_int_equal(count_text(rates, "class=\"line "), 4); /* with those of the legend */
    assert_int_equal(count_text(rates, ">timed<"), 1);
    assert_int_equal(count_text(rates, ">both<"), 1);
    assert_int_equal(count_text(rates, ">plain<"), 0);
    assert_int_equal(count_text(rates, "life: throughput"), 2);
    assert_int_equal(count_text(rates, "time, s"), 1);
    assert_int_equal(count_text(latency, "class=\"line "), 2);
    assert_int_equal(count_text(latency, "latency, ms"), 1);
    assert_int_equal(count_text(latency, ">99.9 %<"), 1);
    assert_int_equal(count_text(latency, "prefers-color-scheme:dark"), 1);
    /* Eight lines: what the colours do not tell apart, dashes do. */
    assert_int_equal(count_text(more, "class=\"line c0\""), 4);
    assert_int_equal(count_text(more, "class=\"line c0\" stroke-dasharray"), 2);
    free(rates);
    free(latency);
    free(more);
}

static void medians_are_bars_of_one_unit_with_their_spread(void **state)
{
    (void)state;
    struct igt_sample fast[] = {{.value = 200}, {.value = 100}, {.value = 150}},
                      slow = {.value = 50}, bytes = {.value = 7}, none = {.value = -3};
    struct igt_figure figures[] = {
        {"life", "fast", "jobs/s", fast, 3},           {"life", "written", "bytes/job", &bytes, 1},
        {"life", "slow & steady", "jobs/s", &slow, 1}, {"life", "below none", "jobs/s", &none, 1},
        {"life", "not measured", "jobs/s", NULL, 0},   {"alone", "one", "ms", &slow, 1}};
    const struct igt_findings findings = findings_of(figures, COUNT(figures));
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    assert_int_equal(count_files(), 1);
    char *svg = read_chart("life-medians.svg");
    assert_int_equal(count_text(svg, "class=\"bar\""), 3);
    assert_int_equal(count_text(svg, "class=\"spread\""), 1);
    assert_int_equal(count_text(svg, ">slow &amp; steady<"), 1);
    assert_int_equal(count_text(svg, ">written<"), 0);
    assert_int_equal(count_text(svg, "jobs/s, median"), 1);
    /* Of 400 for the highest run: 150, 50 and nothing; the spread from 100 to 200. */
    assert_non_null(strstr(svg, "width=\"300.0\""));
    assert_non_null(strstr(svg, "width=\"100.0\""));
    assert_non_null(strstr(svg, "width=\"0.0\""));
    assert_non_null(strstr(svg, "d=\"M572.0 85.0v6m0 -3H772.0m0 -3v6\""));
    free(svg);
}

static void throughput_is_drawn_of_the_run_nearest_the_median(void **state)
{
    (void)state;
    double low[] = {111, 111}, middle[] = {222, 222}, high[] = {999, 999};
    struct igt_sample samples[] = {{.value = 999, .timeline = high, .timeline_count = 2},
                                   {.value = 222, .timeline = middle, .timeline_count = 2},
                                   {.value = 230},
                                   {.value = 111, .timeline = low, .timeline_count = 2},
                                   {.value = 231}};
    struct igt_figure figure = figure_of(samples, 5);
    const struct igt_findings findings = findings_of(&figure, 1);
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    char *svg = read_chart("life-throughput.svg");
    assert_non_null(strstr(svg, ">250<"));
    assert_null(strstr(svg, ">1,000<"));
    /* At 222 of 250 on an axis from 376 up to 76, in the middle of each half of the run. */
    assert_non_null(strstr(svg, "d=\"M277.0 109.6L663.0 109.6\""));
    free(svg);
}

static void latencies_are_drawn_where_the_marks_say(void **state)
{
    (void)state;
    int64_t latencies[100];
    for (size_t i = 0; i < COUNT(latencies); i++)
        latencies[i] = i < 50 ? 1000 : i < 90 ? 10000 : i < 99 ? 50000 : 100000;
    struct igt_sample sample = {.value = 1, .latencies = latencies, .latency_count = 100};
    struct igt_figure figure = figure_of(&sample, 1);
    const struct igt_findings findings = findings_of(&figure, 1);
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    char *svg = read_chart("life-latency.svg");
    static const char *const marks[] = {
        "<path class=\"grid\" d=\"M84.0 345.9L856.0 345.9\"/>\n<text x=\"74.0\" y=\"349.9\" "
        "class=\"quiet end\">50 %<",
        "<path class=\"grid\" d=\"M84.0 276.0L856.0 276.0\"/>\n<text x=\"74.0\" y=\"280.0\" "
        "class=\"quiet end\">90 %<",
        "<path class=\"grid\" d=\"M470.0 76.0L470.0 376.0\"/>\n<text x=\"470.0\" y=\"394.0\" "
        "class=\"quiet middle\">10<",
        " d=\"M84 376V345.9H470V276.0H740V176.0H856V76.0\""};
    for (size_t i = 0; i < COUNT(marks); i++)
        assert_non_null(strstr(svg, marks[i]));
    free(svg);
}

static void charts_are_well_formed_whatever_was_measured(void **state)
{
    (void)state;
    static double rates[][4] = {{5},
                                {0, 0, 0, 0},
                                {1.7e308, 1e308, 1, 1.7e308},
                                {5e-324, 0, 0, 5e-324},
                                {NAN, INFINITY, -INFINITY, -1},
                                {1e12, 1e11, 0, 12345678}};
    static int64_t latencies[][4] = {{5},
                                     {0, 0, 0, 0},
                                     {INT64_MAX, 1, 2, INT64_MAX},
                                     {INT64_MIN, -1, 0, 1},
                                     {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
                                     {1000, 1000, 1000, 1000}};
    for (size_t i = 0; i < COUNT(rates); i++) {
        struct igt_sample sample = {.value = rates[i][0],
                                    .timeline = rates[i],
                                    .timeline_count = i ? 4 : 1,
                                    .latencies = latencies[i],
                                    .latency_count = i ? 4 : 1};
        const struct igt_figure figure = {"life", hostile, hostile, &sample, 1};
        const struct igt_findings findings = findings_of(&figure, 1);
        assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
        char *throughput = read_chart("life-throughput.svg"),
             *latency = read_chart("life-latency.svg");
        assert_in_range(count_text(throughput, "class=\"grid\""), 4, 24);
        assert_in_range(count_text(latency, "class=\"grid\""), 6, 24);
        free(throughput);
        free(latency);
    }
}

static void a_long_run_is_drawn_in_few_points(void **state)
{
    (void)state;
    enum { TICKS = 100003 };
    double *timeline = malloc(TICKS * sizeof *timeline);
    assert_non_null(timeline);
    for (size_t i = 0; i < TICKS; i++)
        timeline[i] = (double)(i % 2 ? 80 : 120);
    struct igt_sample sample = {.value = 1, .timeline = timeline, .timeline_count = TICKS};
    struct igt_figure figure = figure_of(&sample, 1);
    const struct igt_findings findings = findings_of(&figure, 1);
    assert_int_equal(igt_report_draw(&findings, folder, NULL), INGOT_OK);
    char *svg = read_chart("life-throughput.svg");
    const char *line = strstr(svg, "class=\"line ");
    assert_non_null(line);
    assert_in_range(count_text(line, "L"), 200, 300);
    assert_non_null(strstr(svg, ">10,000<"));
    free(svg);
    free(timeline);
}

/* ---- what cannot be written --------------------------------------------- */

static void a_full_disk_is_an_error_of_what_is_printed(void **state)
{
    (void)state;
    static print_function *const all[] = {igt_report_print, igt_report_print_json};
    struct igt_sample sample = {.value = 1};
    struct igt_figure figure = figure_of(&sample, 1);
    const struct igt_findings findings = findings_of(&figure, 1);
    for (size_t i = 0; i < COUNT(all); i++) {
        struct ingot_error err = {0};
        FILE *out = fopen("/dev/full", "we");
        assert_non_null(out);
        assert_int_equal(all[i](&findings, out, &err), INGOT_IO);
        assert_string_equal(err.message, "report: could not be written: No space left on device");
        fclose(out);
    }
}

/* Draws one chart; expects that to fail with a message that has both parts. */
static void expect_failure(const char *where, const char *path, const char *reason)
{
    double timeline[] = {1, 2};
    struct igt_sample sample = {.value = 1, .timeline = timeline, .timeline_count = 2};
    struct igt_figure figure = figure_of(&sample, 1);
    const struct igt_findings findings = findings_of(&figure, 1);
    struct ingot_error err = {0};
    assert_int_equal(igt_report_draw(&findings, where, &err), INGOT_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, reason));
    assert_int_equal(igt_report_draw(&findings, where, NULL), INGOT_IO);
}

static void an_error_names_the_file_and_the_reason(void **state)
{
    (void)state;
    char where[600];
    write_file("file", "");
    snprintf(where, sizeof where, "%s/file", folder);
    expect_failure(where, "/file/life-throughput.svg could not be written", "Not a directory");
    snprintf(where, sizeof where, "%s/none/below", folder);
    expect_failure(where, "/none/below could not be made", "No such file or directory");
    assert_int_equal(mkdir(path_of("life-throughput.svg"), 0700), 0);
    expect_failure(folder, "life-throughput.svg could not be written", "Is a directory");
    assert_int_equal(count_files(), 2);
}

static void a_chart_is_replaced_only_when_whole(void **state)
{
    (void)state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    write_file("life-throughput.svg", "old");
    none = before;
    none.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    expect_failure(folder, "life-throughput.svg could not be written", "File too large");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    char *text = read_file("life-throughput.svg");
    assert_string_equal(text, "old");
    assert_int_equal(count_files(), 1);
    free(text);
}

static void charts_are_for_all_to_read_in_a_folder_that_is_made(void **state)
{
    (void)state;
    char where[600];
    double timeline[] = {1, 2};
    struct stat about;
    struct igt_sample sample = {.value = 1, .timeline = timeline, .timeline_count = 2};
    struct igt_figure figure = figure_of(&sample, 1);
    const struct igt_findings findings = findings_of(&figure, 1);
    snprintf(where, sizeof where, "%s/charts", folder);
    const mode_t mask = umask(077);
    for (int i = 0; i < 2; i++) /* the second time the folder is there */
        assert_int_equal(igt_report_draw(&findings, where, NULL), INGOT_OK);
    umask(mask);
    assert_int_equal(stat(path_of("charts/life-throughput.svg"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    assert_int_equal(unlink(path_of("charts/life-throughput.svg")), 0);
    assert_int_equal(rmdir(where), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_is_the_middle_or_between_the_two),
        cmocka_unit_test(percentiles_are_of_all_runs_and_right_at_their_borders),
        cmocka_unit_test(percentiles_of_few_and_extreme_latencies),
        cmocka_unit_test(a_sample_gives_back_what_it_owns),
        cmocka_unit_test(numbers_have_three_digits_that_count_or_groups),
        cmocka_unit_test(the_tables_say_what_was_measured_and_what_was_aimed_at),
        cmocka_unit_test(long_texts_go_on_in_the_next_line_of_eighty_columns),
        cmocka_unit_test(nothing_that_was_named_steers_a_terminal),
        cmocka_unit_test(json_holds_every_run),
        cmocka_unit_test(json_is_valid_whatever_names_and_numbers_are),
        cmocka_unit_test_setup_teardown(an_empty_report_is_a_report, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(
            a_chart_has_a_line_and_a_name_for_each_variant_that_was_measured, make_folder,
            remove_folder),
        cmocka_unit_test_setup_teardown(medians_are_bars_of_one_unit_with_their_spread, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(throughput_is_drawn_of_the_run_nearest_the_median,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(latencies_are_drawn_where_the_marks_say, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(charts_are_well_formed_whatever_was_measured, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_long_run_is_drawn_in_few_points, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_full_disk_is_an_error_of_what_is_printed),
        cmocka_unit_test_setup_teardown(an_error_names_the_file_and_the_reason, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_chart_is_replaced_only_when_whole, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(charts_are_for_all_to_read_in_a_folder_that_is_made,
                                        make_folder, remove_folder),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
