/* What matters to the figures: the machine, versions, what the store promises, the options. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

static void note_machine(struct igt_bench *bench)
{
    static const char name[] = "model name";
    char line[256];
    struct utsname kernel;
    struct sysinfo memory;
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, name, sizeof name - 1) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " ");
        igt_bench_add_fact(bench, "processor",
                           igt_bench_text(bench, "%.*s", (int)strcspn(value, "\n"), value));
        break;
    }
    if (file)
        fclose(file);
    igt_bench_add_fact(bench, "cores", igt_bench_text(bench, "%d", get_nprocs()));
    if (sysinfo(&memory) == 0)
        igt_bench_add_fact(bench, "memory",
                           igt_bench_text(bench, "%.1f GiB",
                                          (double)memory.totalram * memory.mem_unit / (1u << 30)));
    if (uname(&kernel) == 0)
        igt_bench_add_fact(
            bench, "kernel",
            igt_bench_text(bench, "%s %s %s", kernel.sysname, kernel.release, kernel.machine));
}

/* When it was, what it was built with, and what else the machine was busy with. */
static void note_circumstances(struct igt_bench *bench)
{
    char text[64] = "";
    double load;
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    igt_bench_add_fact(bench, "date", igt_bench_text(bench, "%s", text));
    igt_bench_add_fact(bench, "compiler",
#ifdef __OPTIMIZE__
                       igt_bench_text(bench, "%s, optimised", __VERSION__));
#else
                       igt_bench_text(bench, "%s, not optimised", __VERSION__));
#endif
    if (getloadavg(&load, 1) == 1)
        igt_bench_add_fact(bench, "load", igt_bench_text(bench, "%.2f before it began", load));
}

/* Of what a store says of itself, what tells where and when it was made. */
static int is_of_no_matter(const char *name)
{
    static const char *const names[] = {"role",        "epoch", "segments_from", "segments_to",
                                        "in_recovery", "path",  "wal_pages"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return 0;
}

/* Makes a store to ask it, which also shows that stores can be made. */
static enum ingot_status note_store(struct igt_bench *bench, struct ingot_error *err)
{
    struct ingot_options options;
    struct ingot_store *store = NULL;
    struct ingot_page *page = NULL;
    struct ingot_setting *settings = NULL;
    size_t count = 0;
    const char *url = NULL;
    enum ingot_status status = igt_place_make(bench->place, &url, err);
    if (!status)
        status = ingot_options_from_url(url, &options, err);
    if (!status)
        status = ingot_store_open(&options, NULL, &store, err);
    if (!status)
        status = ingot_store_settings(store, NULL, &page, &settings, &count, err);
    if (status == INGOT_OK)
        igt_bench_add_fact(bench, "store", igt_bench_text(bench, "%s", ingot_store_name(store)));
    for (size_t i = 0; i < count && !status; i++)
        if (!is_of_no_matter(settings[i].name))
            igt_bench_add_fact(bench, igt_bench_text(bench, "%s", settings[i].name),
                               igt_bench_text(bench, "%s", settings[i].value));
    ingot_page_destroy(page);
    ingot_store_close(store);
    igt_place_drop(bench->place);
    return status;
}

/* What a store does not need to know of its server. */
static void note_server(struct igt_bench *bench)
{
    static const char *const names[] = {
        "shared_buffers",
        "max_wal_size",
        "checkpoint_timeout",
        "wal_sync_method",
        "wal_compression",
        "wal_buffers",
        "synchronous_standby_names",
        "commit_delay",
        "data_checksums",
        "huge_pages",
        "autovacuum",
        "jit",
    };
    char about[64];
    igt_place_connection(bench->place, about, sizeof about);
    igt_bench_add_fact(bench, "connection", igt_bench_text(bench, "%s", about));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char value[128];
        igt_place_setting(bench->place, names[i], value, sizeof value);
        igt_bench_add_fact(bench, names[i], igt_bench_text(bench, "%s", value));
    }
}

static void note_options(struct igt_bench *bench)
{
    const struct igt_bench_options *options = bench->options;
    const struct {
        const char *name;
        size_t value;
    } numbers[] = {{"--rounds", options->rounds},   {"--jobs", options->jobs},
                   {"--data", options->data_bytes}, {"--producers", options->producers},
                   {"--batch", options->batch},     {"--rate", options->rate},
                   {"--history", options->history}, {"--live", options->live},
                   {"--most", options->most}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        igt_bench_add_fact(bench, numbers[i].name, igt_bench_text(bench, "%zu", numbers[i].value));
    igt_bench_add_fact(bench, "--baseline", options->baseline ? "yes" : "no");
    igt_bench_add_fact(bench, "claims",
                       igt_bench_text(bench, "%d under way at most", IGT_BENCH_CONCURRENCY));
    if (options->baseline && igt_place_kind(bench->place) == IGT_PLACE_POSTGRES) {
        igt_bench_add_fact(bench, "queue",
                           "by hand: a table, FOR UPDATE SKIP LOCKED, a commit for the claims and "
                           "one for the ends of a batch");
        igt_bench_add_fact(bench, "raw limit", "a table with a key: the events' bytes by COPY");
    } else if (options->baseline) {
        igt_bench_add_fact(bench, "queue",
                           "by hand: a table, BEGIN IMMEDIATE, UPDATE ... RETURNING, a commit for "
                           "the claims and one for the ends of a batch");
        igt_bench_add_fact(bench, "raw limit", "a table with a key: the events' bytes by INSERT");
    }
}

enum ingot_status igt_bench_note_facts(struct igt_bench *bench, struct ingot_error *err)
{
    igt_bench_add_fact(bench, "ingot", INGOT_VERSION);
    note_circumstances(bench);
    note_machine(bench);
    enum ingot_status status = note_store(bench, err);
    if (status)
        return status;
    if (igt_place_kind(bench->place) == IGT_PLACE_POSTGRES)
        note_server(bench);
    note_options(bench);
    return INGOT_OK;
}
