/*
 * Charts of what was measured, as SVG written by hand: throughput over time and
 * the distribution of latencies, a line for each variant and below it a legend
 * with figures; and the medians, a bar for each variant. Text is escaped; nothing in a chart runs or is fetched.
 */
#include "report.h"

#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WIDTH 880
#define PLOT_LEFT 84
#define PLOT_TOP 76
#define PLOT_WIDTH 772
#define PLOT_HEIGHT 300
#define PLOT_RIGHT (PLOT_LEFT + PLOT_WIDTH)
#define PLOT_BOTTOM (PLOT_TOP + PLOT_HEIGHT)
#define LEGEND_TOP (PLOT_BOTTOM + 76)
#define LEGEND_LINE 20

/* Of a variant's name in the legend; of a title. */
#define NAME_COLUMNS 64

/* More points than that are no longer told apart. */
#define POINTS_MAX 260

/* On an axis at most, besides the first. */
#define MARKS 8

/* On each side of a point, whose mean with it is drawn: 0.3 s together. */
#define BESIDE_TICKS 1

/* Beyond it the marks of an axis could not be reckoned. */
#define RATE_MAX 1e300

/* The highest percentile that is drawn, and its place on the axis: the nines of the share. */
#define SHARE_MAX 0.999
#define NINES_MAX 3

enum kind { KIND_THROUGHPUT, KIND_LATENCY, KIND_MEDIANS };

static const struct {
    const char *title, *ending;
} kinds[] = {[KIND_THROUGHPUT] = {": throughput", "throughput"},
             [KIND_LATENCY] = {": latency", "latency"},
             [KIND_MEDIANS] = {": medians", "medians"}};

/* Of the chart of medians: names stand left of the bars, figures right of them. */
#define BARS_LEFT 372
#define BARS_RIGHT 772
#define BARS_TOP 76
#define BAR_LINE 24
#define BAR_HEIGHT 13

/* What tells one line from another: told apart also by who sees few colours, and in print. */
#define COLOURS 6
static const char *const dashes[] = {"", "7 4", "2 3"};

/*
 * After the set of Okabe and Ito, for a light and for a dark ground: any two are a CIE76 difference
 * of 15 apart also to who lacks a kind of cone (as Machado, Oliveira and Fernandes simulate it).
 */
static const char style[] =
    "<style>\n"
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "fill:#1f2328;font-variant-numeric:tabular-nums}\n"
    ".title{font-size:17px;font-weight:600}\n"
    ".quiet{fill:#59636e}\n"
    ".name{font-weight:500}\n"
    ".end{text-anchor:end}\n"
    ".middle{text-anchor:middle}\n"
    ".ground{fill:#fff}\n"
    ".grid{stroke:#e1e5ea;shape-rendering:crispEdges}\n"
    ".axis{stroke:#8b949e;shape-rendering:crispEdges}\n"
    ".bar{fill:#0b6fc4}\n"
    ".spread{fill:none;stroke:#23272d;stroke-width:1.4}\n"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:butt}\n"
    ".c0{stroke:#0b6fc4}.c1{stroke:#dd5500}.c2{stroke:#009a70}"
    ".c3{stroke:#cf6db6}.c4{stroke:#6b5200}.c5{stroke:#23272d}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".bar{fill:#2f8fe8}.spread{stroke:#e6edf3}\n"
    "text{fill:#e6edf3}.quiet{fill:#9aa4af}.ground{fill:#15191f}\n"
    ".grid{stroke:#2a313a}.axis{stroke:#6e7781}\n"
    ".c0{stroke:#2f8fe8}.c1{stroke:#e8642a}.c2{stroke:#35d6a4}"
    ".c3{stroke:#d77fc0}.c4{stroke:#e8cf4a}.c5{stroke:#fff}\n"
    "}\n"
    "</style>\n";

/* ---- what is drawn ------------------------------------------------------ */

struct chart {
    struct igt_buffer svg;
    const struct igt_findings *findings;
    const char *bench, *unit;
    enum kind kind;
    double x_low, x_high, y_high; /* seconds, or logarithms of ms; a second's rate, or nines */
};

/* The run nearest the median among those with a timeline, or NULL. */
static const struct igt_sample *typical_run(const struct igt_figure *figure)
{
    const double median = igt_figure_median(figure);
    const struct igt_sample *typical = NULL;
    for (size_t i = 0; i < figure->sample_count; i++) {
        const struct igt_sample *sample = &figure->samples[i];
        if (sample->timeline_count &&
            (!typical || fabs(sample->value - median) < fabs(typical->value - median)))
            typical = sample;
    }
    return typical;
}

static size_t count_latencies(const struct igt_figure *figure)
{
    size_t count = 0;
    for (size_t i = 0; i < figure->sample_count; i++)
        count += figure->samples[i].latency_count;
    return count;
}

/* Whether the figure has a line in the chart. */
static int is_drawn(const struct chart *chart, const struct igt_figure *figure)
{
    switch (chart->kind) {
    case KIND_THROUGHPUT:
        return typical_run(figure) != NULL;
    case KIND_LATENCY:
        return count_latencies(figure) > 0;
    case KIND_MEDIANS: /* bars of one unit */
        return figure->sample_count && (!chart->unit || strcmp(figure->unit, chart->unit) == 0);
    }
    return 0;
}

/* The next figure from *at on that has a line in the chart, with *at behind it; or NULL. */
static const struct igt_figure *next_figure(const struct chart *chart, size_t *at)
{
    while (*at < chart->findings->figure_count) {
        const struct igt_figure *figure = &chart->findings->figures[(*at)++];
        if (strcmp(figure->bench, chart->bench) == 0 && is_drawn(chart, figure))
            return figure;
    }
    return NULL;
}

static double rate_of(double rate)
{
    return rate > 1 / RATE_MAX ? fmin(rate, RATE_MAX) : 0;
}

/* There is no logarithm of nothing, and no latency below what the clock tells. */
static double log_ms(double ms)
{
    return log10(fmax(ms, 0.001));
}

/* Where a share of the latencies stands: as many nines as it has. */
static double nines_of(double share)
{
    return share >= SHARE_MAX ? NINES_MAX : -log10(1 - share);
}

/* ---- round numbers ------------------------------------------------------ */

/* The greatest of 1, 2, 5, 10, 20 ... and their fractions that is not above the number. */
static double round_down(double number)
{
    const double decade = pow(10, floor(log10(number) + 1e-9)), lead = number / decade * (1 + 1e-9);
    return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * decade;
}

/* The one after such a number. */
static double round_next(double number)
{
    const double decade = pow(10, floor(log10(number) + 1e-9)), lead = number / decade;
    return (lead > 4 ? 10 : lead > 1.5 ? 5 : 2) * decade;
}

static double round_up(double number)
{
    const double below = round_down(number);
    return below * (1 + 1e-9) >= number ? below : round_next(below);
}

/* ---- elements ----------------------------------------------------------- */

static double x_of(const struct chart *chart, double value)
{
    return PLOT_LEFT + PLOT_WIDTH * (value - chart->x_low) / (chart->x_high - chart->x_low);
}

static double y_of(const struct chart *chart, double value)
{
    return PLOT_BOTTOM - PLOT_HEIGHT * (value / chart->y_high);
}

/* What a terminal may see may also stand in XML, but for its own signs. */
static void add_escaped(struct igt_buffer *svg, const char *text)
{
    struct igt_buffer safe = {0};
    igt_cli_add_text(&safe, ingot_bytes_of(text), NAME_COLUMNS);
    for (size_t i = 0; i < safe.len; i++)
        if (safe.data[i] == '&')
            igt_buffer_add_text(svg, "&amp;");
        else if (safe.data[i] == '<')
            igt_buffer_add_text(svg, "&lt;");
        else if (safe.data[i] == '>')
            igt_buffer_add_text(svg, "&gt;");
        else
            igt_buffer_add(svg, &safe.data[i], 1);
    svg->failed |= safe.failed;
    igt_buffer_fini(&safe);
}

static void begin_text(struct igt_buffer *svg, double x, double y, const char *class)
{
    igt_buffer_add_format(svg, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
}

static void end_text(struct igt_buffer *svg)
{
    igt_buffer_add_text(svg, "</text>\n");
}

static void add_text(struct igt_buffer *svg, double x, double y, const char *class,
                     const char *text)
{
    begin_text(svg, x, y, class);
    add_escaped(svg, text);
    end_text(svg);
}

/* Marks are round, so they have no more digits than they need. */
static void add_mark(struct igt_buffer *svg, double number)
{
    if (number >= 1000 && number < 1e7)
        igt_report_add_number(svg, number);
    else
        igt_buffer_add_format(svg, "%.6g", number);
}

static void add_rule(struct igt_buffer *svg, const char *class, double x1, double y1, double x2,
                     double y2)
{
    igt_buffer_add_format(svg, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", class, x1, y1,
                          x2, y2);
}

static void add_x_mark(struct chart *chart, double at, double number)
{
    const double x = x_of(chart, at);
    add_rule(&chart->svg, "grid", x, PLOT_TOP, x, PLOT_BOTTOM);
    begin_text(&chart->svg, x, PLOT_BOTTOM + 18, "quiet middle");
    add_mark(&chart->svg, number);
    end_text(&chart->svg);
}

static void begin_y_mark(struct chart *chart, double at)
{
    const double y = y_of(chart, at);
    add_rule(&chart->svg, "grid", PLOT_LEFT, y, PLOT_RIGHT, y);
    begin_text(&chart->svg, PLOT_LEFT - 10, y + 4, "quiet end");
}

/* The beginning of a line's element, up to its first coordinate. */
static void begin_line(struct igt_buffer *svg, size_t number)
{
    const char *dash = dashes[number / COLOURS % (sizeof dashes / sizeof *dashes)];
    igt_buffer_add_format(svg, "<path class=\"line c%zu\"", number % COLOURS);
    if (*dash)
        igt_buffer_add_format(svg, " stroke-dasharray=\"%s\"", dash);
    igt_buffer_add_text(svg, " d=\"M");
}

static void end_line(struct igt_buffer *svg)
{
    igt_buffer_add_text(svg, "\"/>\n");
}

/* ---- throughput over time ----------------------------------------------- */

/* How many ticks go into a point. */
static size_t ticks_a_point(const struct chart *chart)
{
    const double ticks = chart->x_high * 1e6 / IGT_TICK_US;
    return (size_t)ceil(ticks / POINTS_MAX - 1e-9);
}

/*
 * Of the ticks from one to another and those beside them: jobs end by the commit, some
 * thousand at once, and a tick that ends just before one would show nothing of it.
 */
static double mean_rate(const struct igt_sample *run, size_t from, size_t to)
{
    double sum = 0;
    from -= from < BESIDE_TICKS ? from : BESIDE_TICKS;
    to += run->timeline_count - to < BESIDE_TICKS ? run->timeline_count - to : BESIDE_TICKS;
    for (size_t i = from; i < to; i++)
        sum += rate_of(run->timeline[i]) / (double)(to - from);
    return sum;
}

static void scale_throughput(struct chart *chart)
{
    const struct igt_figure *figure;
    size_t at = 0, ticks = 1;
    double highest = 0;
    while ((figure = next_figure(chart, &at)))
        if (typical_run(figure)->timeline_count > ticks)
            ticks = typical_run(figure)->timeline_count;
    chart->x_low = 0;
    chart->x_high = (double)ticks * IGT_TICK_US / 1e6;
    const size_t step = ticks_a_point(chart);
    for (at = 0; (figure = next_figure(chart, &at));) {
        const struct igt_sample *run = typical_run(figure);
        for (size_t i = 0; i < run->timeline_count; i += step) {
            const size_t left = run->timeline_count - i;
            highest = fmax(highest, mean_rate(run, i, i + (left < step ? left : step)));
        }
    }
    highest = highest > 0 ? highest : 1;
    const double mark = round_up(highest / MARKS);
    chart->y_high = mark * ceil(highest / mark - 1e-9);
}

static void mark_throughput(struct chart *chart)
{
    const double y_mark = round_up(chart->y_high / MARKS), x_mark = round_up(chart->x_high / MARKS);
    for (int i = 0; y_mark * i <= chart->y_high * (1 + 1e-9); i++) {
        begin_y_mark(chart, y_mark * i);
        add_mark(&chart->svg, y_mark * i);
        end_text(&chart->svg);
    }
    for (int i = 0; x_mark * i <= chart->x_high * (1 + 1e-9); i++)
        add_x_mark(chart, x_mark * i, x_mark * i);
}

static void draw_throughput(struct chart *chart, const struct igt_figure *figure)
{
    const struct igt_sample *run = typical_run(figure);
    const size_t step = ticks_a_point(chart);
    for (size_t i = 0; i < run->timeline_count; i += step) {
        const size_t left = run->timeline_count - i, count = left < step ? left : step;
        const double seconds = ((double)i + (double)count / 2) * IGT_TICK_US / 1e6;
        igt_buffer_add_format(&chart->svg, "%s%.1f %.1f", i ? "L" : "", x_of(chart, seconds),
                              y_of(chart, mean_rate(run, i, i + count)));
    }
    if (run->timeline_count <= step) /* else nothing would be seen */
        igt_buffer_add_text(&chart->svg, "h6");
}

/* ---- distribution of latencies ------------------------------------------ */

static void scale_latency(struct chart *chart)
{
    const struct igt_figure *figure;
    size_t at = 0;
    double lowest = INFINITY, highest = -INFINITY;
    while ((figure = next_figure(chart, &at))) {
        lowest = fmin(lowest, log_ms(igt_figure_percentile_ms(figure, 0)));
        highest = fmax(highest, log_ms(igt_figure_percentile_ms(figure, SHARE_MAX)));
    }
    const double low = round_down(pow(10, lowest)), high = round_up(pow(10, highest));
    chart->x_low = log10(low);
    chart->x_high = log10(high > low * 1.5 ? high : round_next(low));
    chart->y_high = NINES_MAX;
}

static void mark_latency(struct chart *chart)
{
    static const double percentiles[] = {0, 50, 90, 99, 99.9};
    const double decades = chart->x_high - chart->x_low;
    const int every = (int)ceil(decades / 12 + 1e-9); /* so many decades to a mark */
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++) {
        begin_y_mark(chart, nines_of(percentiles[i] / 100));
        igt_buffer_add_format(&chart->svg, "%g %%", percentiles[i]);
        end_text(&chart->svg);
    }
    for (double ms = round_up(pow(10, chart->x_low)); log10(ms) <= chart->x_high + 1e-9;
         ms = round_next(ms)) {
        const double decade = log10(ms), whole = round(decade);
        const int is_decade = fabs(decade - whole) < 1e-6;
        if (decades <= 4 ? 1 : is_decade && (int)whole % every == 0)
            add_x_mark(chart, decade, ms);
    }
}

/* In steps, as the latencies are; to a pixel. */
static void draw_latency(struct chart *chart, const struct igt_figure *figure)
{
    size_t counts[PLOT_WIDTH + 1] = {0};
    const double all = (double)count_latencies(figure);
    for (size_t i = 0; i < figure->sample_count; i++)
        for (size_t j = 0; j < figure->samples[i].latency_count; j++) {
            const double ms = (double)figure->samples[i].latencies[j] / 1000;
            const double x = x_of(chart, log_ms(ms)) - PLOT_LEFT;
            counts[(size_t)fmin(fmax(round(x), 0), PLOT_WIDTH)]++;
        }
    size_t count = 0;
    for (size_t x = 0; x <= PLOT_WIDTH && (double)count / all < SHARE_MAX; x++) {
        if (!counts[x])
            continue;
        if (count)
            igt_buffer_add_format(&chart->svg, "H%zu", PLOT_LEFT + x);
        else
            igt_buffer_add_format(&chart->svg, "%zu %d", PLOT_LEFT + x, PLOT_BOTTOM);
        count += counts[x];
        igt_buffer_add_format(&chart->svg, "V%.1f", y_of(chart, nines_of((double)count / all)));
    }
}

/* ---- the whole ---------------------------------------------------------- */

static void add_legend_number(struct igt_buffer *svg, double right, double y, double number)
{
    begin_text(svg, right, y, "end");
    igt_report_add_number(svg, number);
    end_text(svg);
}

static void add_legend_line(struct chart *chart, const struct igt_figure *figure, size_t number)
{
    struct igt_buffer *svg = &chart->svg;
    const double y = LEGEND_TOP + LEGEND_LINE * (double)(number + 1);
    begin_line(svg, number);
    igt_buffer_add_format(svg, "%d %.1fh36", PLOT_LEFT - 60, y - 4);
    end_line(svg);
    add_text(svg, PLOT_LEFT - 12, y, "name", figure->variant);
    if (chart->kind == KIND_LATENCY) {
        add_legend_number(svg, PLOT_RIGHT - 200, y, igt_figure_percentile_ms(figure, 0.5));
        add_legend_number(svg, PLOT_RIGHT - 100, y, igt_figure_percentile_ms(figure, 0.99));
        add_legend_number(svg, PLOT_RIGHT, y, igt_figure_percentile_ms(figure, 1));
    } else {
        add_legend_number(svg, PLOT_RIGHT, y, igt_figure_median(figure));
    }
}

static void add_legend(struct chart *chart)
{
    const struct igt_figure *figure;
    struct igt_buffer *svg = &chart->svg;
    size_t at = 0, number = 0;
    if (chart->kind == KIND_LATENCY) {
        add_text(svg, PLOT_RIGHT - 200, LEGEND_TOP, "quiet end", "p50, ms");
        add_text(svg, PLOT_RIGHT - 100, LEGEND_TOP, "quiet end", "p99, ms");
        add_text(svg, PLOT_RIGHT, LEGEND_TOP, "quiet end", "longest, ms");
    } else {
        begin_text(svg, PLOT_RIGHT, LEGEND_TOP, "quiet end");
        igt_buffer_add_text(svg, "median of all runs, ");
        add_escaped(svg, chart->unit);
        end_text(svg);
    }
    while ((figure = next_figure(chart, &at)))
        add_legend_line(chart, figure, number++);
}

/* The first variant is drawn last, over the others. */
static void add_lines(struct chart *chart, size_t count)
{
    while (count--) {
        const struct igt_figure *figure = NULL;
        for (size_t i = 0, at = 0; i <= count; i++)
            figure = next_figure(chart, &at);
        begin_line(&chart->svg, count);
        if (chart->kind == KIND_LATENCY)
            draw_latency(chart, figure);
        else
            draw_throughput(chart, figure);
        end_line(&chart->svg);
    }
}

static void add_head(struct chart *chart, int height)
{
    struct igt_buffer *svg = &chart->svg;
    const char *title = kinds[chart->kind].title;
    igt_buffer_add_format(svg,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                          "viewBox=\"0 0 %d %d\" role=\"img\">\n<title>",
                          WIDTH, height, WIDTH, height);
    add_escaped(svg, chart->bench);
    igt_buffer_add_format(svg, "%s</title>\n%s", title, style);
    igt_buffer_add_format(svg, "<rect class=\"ground\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n",
                          WIDTH, height);
    begin_text(svg, PLOT_LEFT - 60, 32, "title");
    add_escaped(svg, chart->bench);
    igt_buffer_add_text(svg, title);
    end_text(svg);
}

static void add_axes(struct chart *chart)
{
    struct igt_buffer *svg = &chart->svg;
    const int is_latency = chart->kind == KIND_LATENCY;
    begin_text(svg, PLOT_LEFT - 60, 54, "quiet");
    if (!is_latency) {
        add_escaped(svg, chart->unit);
        igt_buffer_add_text(svg, ", of each variant the run nearest the median, means of 0.3 s");
    } else {
        igt_buffer_add_text(svg, "share that took no longer, of all runs together");
    }
    end_text(svg);
    if (is_latency)
        mark_latency(chart);
    else
        mark_throughput(chart);
    add_rule(svg, "axis", PLOT_LEFT, PLOT_BOTTOM, PLOT_RIGHT, PLOT_BOTTOM);
    add_text(svg, PLOT_LEFT + PLOT_WIDTH / 2.0, PLOT_BOTTOM + 40, "quiet middle",
             is_latency ? "latency, ms, logarithmic" : "time, s");
}

/* The first says the unit. */
static size_t count_lines(struct chart *chart)
{
    size_t count = 0, at = 0;
    for (const struct igt_figure *figure; (figure = next_figure(chart, &at)); count++)
        chart->unit = count ? chart->unit : figure->unit;
    return count;
}

static void draw_lines(struct chart *chart, size_t lines)
{
    if (chart->kind == KIND_LATENCY)
        scale_latency(chart);
    else
        scale_throughput(chart);
    add_head(chart, LEGEND_TOP + LEGEND_LINE * (int)(lines + 1) + 4);
    add_axes(chart);
    add_lines(chart, lines);
    add_legend(chart);
    igt_buffer_add_text(&chart->svg, "</svg>\n");
}

/* ---- medians ------------------------------------------------------------ */

/* What a bar's end or its spread may be: the marks could not be reckoned otherwise. */
static double length_of(double value)
{
    return value > 0 ? fmin(value, RATE_MAX) : 0;
}

static void spread_of(const struct igt_figure *figure, double *ret_lowest, double *ret_highest)
{
    *ret_lowest = INFINITY;
    *ret_highest = 0;
    for (size_t i = 0; i < figure->sample_count; i++) {
        *ret_lowest = fmin(*ret_lowest, length_of(figure->samples[i].value));
        *ret_highest = fmax(*ret_highest, length_of(figure->samples[i].value));
    }
}

static double bar_x(const struct chart *chart, double value)
{
    return BARS_LEFT + (BARS_RIGHT - BARS_LEFT) * value / chart->x_high;
}

static void add_bar(struct chart *chart, const struct igt_figure *figure, size_t number)
{
    struct igt_buffer *svg = &chart->svg;
    const double middle = BARS_TOP + BAR_LINE * ((double)number + 0.5);
    const double end = bar_x(chart, length_of(igt_figure_median(figure)));
    double lowest, highest;
    spread_of(figure, &lowest, &highest);
    add_text(svg, PLOT_LEFT - 60, middle + 4, "name", figure->variant);
    igt_buffer_add_format(svg,
                          "<rect class=\"bar\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"%d\"/>\n",
                          BARS_LEFT, middle - BAR_HEIGHT / 2.0, end - BARS_LEFT, BAR_HEIGHT);
    if (figure->sample_count > 1)
        igt_buffer_add_format(svg, "<path class=\"spread\" d=\"M%.1f %.1fv6m0 -3H%.1fm0 -3v6\"/>\n",
                              bar_x(chart, lowest), middle - 3, bar_x(chart, highest));
    begin_text(svg, PLOT_RIGHT, middle + 4, "end");
    igt_report_add_number(svg, igt_figure_median(figure));
    end_text(svg);
}

static void draw_bars(struct chart *chart, size_t bars)
{
    struct igt_buffer *svg = &chart->svg;
    const struct igt_figure *figure;
    const int bottom = BARS_TOP + BAR_LINE * (int)bars;
    double longest = 0, lowest, highest;
    for (size_t at = 0; (figure = next_figure(chart, &at));) {
        spread_of(figure, &lowest, &highest);
        longest = fmax(longest, highest);
    }
    chart->x_high = longest > 0 ? longest : 1;
    add_head(chart, bottom + 18);
    begin_text(svg, PLOT_LEFT - 60, 54, "quiet");
    add_escaped(svg, chart->unit);
    igt_buffer_add_text(svg, ", median of all runs; the lines go from the lowest to the highest");
    end_text(svg);
    size_t number = 0;
    for (size_t at = 0; (figure = next_figure(chart, &at));)
        add_bar(chart, figure, number++);
    add_rule(svg, "axis", BARS_LEFT, BARS_TOP - 4, BARS_LEFT, bottom + 4);
    igt_buffer_add_text(svg, "</svg>\n");
}

/* ---- files -------------------------------------------------------------- */

static enum ingot_status fail(struct ingot_error *err, int code, const char *path, const char *what)
{
    const int denied = code == EACCES || code == EPERM || code == EROFS;
    return ingot_error_set(err, denied ? INGOT_DENIED : INGOT_IO, "chart: %s could not be %s: %s",
                           path, what, strerror(code));
}

/* 0, or the errno of what went wrong. */
static int fill(int file, const struct igt_buffer *text)
{
    for (size_t done = 0; done < text->len;) {
        const ssize_t len = write(file, text->data + done, text->len - done);
        if (len < 0 && errno != EINTR)
            return errno;
        done += len > 0 ? (size_t)len : 0;
    }
    return fchmod(file, 0644) != 0 ? errno : 0;
}

/* Whoever reads the file meanwhile sees the old one whole, or the new one. */
static enum ingot_status replace_file(const char *path, const struct igt_buffer *text,
                                      struct ingot_error *err)
{
    struct igt_buffer made = {0};
    igt_buffer_add_format(&made, "%s.XXXXXX", path);
    if (made.failed || text->failed) {
        igt_buffer_fini(&made);
        return ingot_error_set(err, INGOT_NOMEM, "chart: memory ran out for %s", path);
    }
    enum ingot_status status = INGOT_OK;
    const int file = mkostemp(made.data, O_CLOEXEC);
    int code = file < 0 ? errno : fill(file, text);
    if (file >= 0 && close(file) != 0 && !code)
        code = errno;
    if (!code && rename(made.data, path) != 0)
        code = errno;
    if (code)
        status = fail(err, code, path, "written");
    if (code && file >= 0)
        unlink(made.data);
    igt_buffer_fini(&made);
    return status;
}

static enum ingot_status draw_file(struct chart *chart, const char *folder, struct ingot_error *err)
{
    const size_t lines = count_lines(chart);
    if (!lines || (chart->kind == KIND_MEDIANS && lines < 2)) /* one alone tells nothing */
        return INGOT_OK;
    struct igt_buffer path = {0};
    enum ingot_status status;
    if (chart->kind == KIND_MEDIANS)
        draw_bars(chart, lines);
    else
        draw_lines(chart, lines);
    igt_buffer_add_format(&path, "%s/%s-%s.svg", folder, chart->bench, kinds[chart->kind].ending);
    if (path.failed)
        status = ingot_error_set(err, INGOT_NOMEM, "chart: memory ran out");
    else
        status = replace_file(path.data, &chart->svg, err);
    igt_buffer_fini(&path);
    igt_buffer_fini(&chart->svg);
    return status;
}

enum ingot_status igt_report_draw(const struct igt_findings *findings, const char *folder,
                                  struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return fail(err, errno, folder, "made");
    for (size_t i = 0; i < findings->figure_count && !status; i++) {
        if (!igt_findings_begin_bench(findings, i))
            continue;
        for (enum kind kind = KIND_THROUGHPUT; kind <= KIND_MEDIANS && !status; kind++) {
            struct chart chart = {
                .findings = findings, .bench = findings->figures[i].bench, .kind = kind};
            status = draw_file(&chart, folder, err);
        }
    }
    return status;
}
