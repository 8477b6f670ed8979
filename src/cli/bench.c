/* ingot bench: measures what this machine and this database can do. */
#include "cli.h"

#include "bench/bench.h"
#include "daemon/config_value.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_progress(const char *bench, const char *variant, unsigned round)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s: %s, round %u", bench, variant, round);
}

static int parse_count(const char *text, unsigned long min, unsigned long max, size_t *ret_count)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value < min || value > max)
        return 0;
    *ret_count = value;
    return 1;
}

static enum ingot_status run_all(struct igt_bench *bench, int argc, char **argv,
                                 struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    if (argc == 0 || strcmp(argv[0], "all") == 0) {
        for (const char *const *name = igt_bench_names(); *name && !status; name++)
            status = igt_bench_run(bench, *name, err);
        return status;
    }
    for (int i = 0; i < argc && !status; i++)
        status = igt_bench_run(bench, argv[i], err);
    return status;
}

int igt_verb_bench(const struct igt_cli *cli, int argc, char **argv)
{
    enum { JOBS = 256, ROUNDS, HISTORY, LIVE, DATA, PRODUCERS, BATCH, SVG };
    static const struct option long_options[] = {{"baseline", no_argument, NULL, 'b'},
                                                 {"jobs", required_argument, NULL, JOBS},
                                                 {"rounds", required_argument, NULL, ROUNDS},
                                                 {"history", required_argument, NULL, HISTORY},
                                                 {"live", required_argument, NULL, LIVE},
                                                 {"data", required_argument, NULL, DATA},
                                                 {"batch", required_argument, NULL, BATCH},
                                                 {"producers", required_argument, NULL, PRODUCERS},
                                                 {"svg", required_argument, NULL, SVG},
                                                 {0}};
    struct igt_bench_options options = {
        .store = cli->store_url,
        .rounds = 5,
        .jobs = 100000,
        .history = 5000000,
        .live = 1000000,
        .data_bytes = 200,
        .producers = 64,
        .batch = 10,
        .progress = show_progress,
        .program = "/proc/self/exe",
    };
    const char *svg = NULL;
    struct igt_bench *bench = NULL;
    struct ingot_error err = {0};
    size_t count = 0;
    int option, good = 1;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'b':
            options.baseline = 1;
            break;
        case JOBS:
            good &= parse_count(optarg, 1000, 100000000, &options.jobs);
            break;
        case ROUNDS:
            good &= parse_count(optarg, 1, 1000, &count);
            options.rounds = (unsigned)count;
            break;
        case HISTORY:
            good &= parse_count(optarg, 1000, 1000000000, &options.history);
            break;
        case LIVE:
            good &= parse_count(optarg, 1000, 100000000, &options.live);
            break;
        case DATA:
            good &= parse_count(optarg, 32, 8 << 20, &options.data_bytes);
            break;
        case PRODUCERS:
            good &= parse_count(optarg, 1, 1024, &count);
            options.producers = (unsigned)count;
            break;
        case BATCH:
            good &= parse_count(optarg, 1, 10000, &options.batch);
            break;
        case SVG:
            svg = optarg;
            break;
        default:
            return igt_cli_usage("bench");
        }
    }
    if (!good)
        return igt_cli_usage("bench");
    enum ingot_status status = igt_bench_create(&options, &bench, &err);
    if (!status)
        status = run_all(bench, argc - optind, argv + optind, &err);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (!status)
        status = cli->form == IGT_FORM_JSON
                     ? igt_report_print_json(igt_bench_findings(bench), stdout, &err)
                     : igt_report_print(igt_bench_findings(bench), stdout, &err);
    if (!status && svg)
        status = igt_report_draw(igt_bench_findings(bench), svg, &err);
    igt_bench_destroy(bench);
    return status ? igt_cli_fail(&err) : IGT_EXIT_DONE;
}
