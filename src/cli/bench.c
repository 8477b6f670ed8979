/* ingot bench: measures what this machine and this database can do. */
#include "cli.h"

#include "bench/bench.h"
#include "daemon/config_value.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the wish to stop --------------------------------------------------- */

/*
 * SIGINT and SIGTERM are blocked in all threads and asked for, because the
 * daemons that are measured have handlers of their own.
 */
struct stop {
    sigset_t signals;
    int number; /* of the one that came, or 0 */
};

static void stop_begin(struct stop *stop)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    memset(stop, 0, sizeof *stop);
    sigemptyset(&stop->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction now;
        sigaction(numbers[i], NULL, &now);
        if (now.sa_handler != SIG_IGN) /* as nohup and shells have it for the background */
            sigaddset(&stop->signals, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &stop->signals, NULL);
}

/* For a toolkit; on the main thread. A second signal ends the process at once. */
static int is_stopped(void *context, uint64_t done, uint64_t total)
{
    struct stop *stop = context;
    (void)done, (void)total;
    if (stop->number)
        return stop->number;
    int number = sigtimedwait(&stop->signals, NULL, &(struct timespec){0, 0});
    if (number > 0) {
        stop->number = number;
        sigprocmask(SIG_UNBLOCK, &stop->signals, NULL);
    }
    return stop->number;
}

static void show_progress(const char *bench, const char *variant, unsigned round)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s: %s, round %u", bench, variant, round);
}

static void clear_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- options ------------------------------------------------------------ */

/* The options whose values are numbers. */
static const struct number {
    const char *name;
    unsigned long min, max, otherwise;
} numbers[] = {
    {"jobs", 1000, 100000000, 50000},
    {"rounds", 1, 1000, 5},
    {"history", 1000, 1000000000, 5000000},
    {"live", 1000, 100000000, 1000000},
    {"most", 1000, 100000000, 1000000},
    {"data", 32, 8ul << 20, 200},
    {"producers", 1, 1024, 64},
    {"batch", 1, 10000, 10},
    {"rate", 1, 100000, 100},
};
enum { JOBS, ROUNDS, HISTORY, LIVE, MOST, DATA, PRODUCERS, BATCH, RATE, NUMBERS };

/* What is given besides. */
enum { BASELINE = NUMBERS, SVG, OPTIONS };

struct wishes {
    unsigned long numbers[NUMBERS];
    int baseline;
    const char *svg;
};

static int read_number(const struct number *number, const char *text, unsigned long *ret_value)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && value >= number->min &&
        value <= number->max) {
        *ret_value = value;
        return 1;
    }
    igt_cli_complain("bench: --%s is a number from %lu to %lu, and not \"%s\"", number->name,
                     number->min, number->max, text);
    return 0;
}

/* Returns whether the options are right; has said what is wrong with them otherwise. */
static int read_options(struct wishes *wishes, int argc, char **argv)
{
    struct option options[OPTIONS + 1] = {
        [BASELINE] = {"baseline", no_argument, NULL, BASELINE},
        [SVG] = {"svg", required_argument, NULL, SVG},
    };
    int option;
    for (int i = 0; i < NUMBERS; i++) {
        options[i] = (struct option){numbers[i].name, required_argument, NULL, i};
        wishes->numbers[i] = numbers[i].otherwise;
    }
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == BASELINE)
            wishes->baseline = 1;
        else if (option == SVG)
            wishes->svg = optarg;
        else if (option < 0 || option >= NUMBERS) {
            igt_cli_usage("bench");
            return 0;
        } else if (!read_number(&numbers[option], optarg, &wishes->numbers[option]))
            return 0;
    }
    return 1;
}

static int check_name(const char *name)
{
    char known[256] = "all";
    size_t len = strlen(known), least = 3;
    const char *nearest = NULL;
    if (strcmp(name, "all") == 0 || igt_bench_has(name))
        return 1;
    for (const char *const *at = igt_bench_names(); *at; at++) {
        size_t distance = igt_config_distance(name, *at);
        len += (size_t)snprintf(known + len, sizeof known - len, ", %s", *at);
        if (distance < least) {
            least = distance;
            nearest = *at;
        }
    }
    if (nearest)
        igt_cli_complain("bench: there is no \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        igt_cli_complain("bench: there is no \"%s\"; there are %s", name, known);
    return 0;
}

/* What would only be noticed after minutes. *ret_made: the folder was not there. */
static int check_folder(const char *folder, int *ret_made)
{
    struct stat about;
    *ret_made = mkdir(folder, 0777) == 0;
    if (*ret_made)
        return 1;
    if (errno == EEXIST && stat(folder, &about) == 0 && !S_ISDIR(about.st_mode))
        errno = ENOTDIR;
    else if (errno == EEXIST && access(folder, W_OK | X_OK) == 0)
        return 1;
    igt_cli_complain("bench: no charts can be written into the folder \"%s\": %s", folder,
                     strerror(errno));
    return 0;
}

/* ---- the verb ----------------------------------------------------------- */

static enum ingot_status run_all(struct igt_bench *bench, int argc, char **argv,
                                 struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    int all = argc == 0;
    for (int i = 0; i < argc; i++)
        all |= strcmp(argv[i], "all") == 0;
    for (const char *const *name = igt_bench_names(); all && *name && !status; name++)
        if (igt_bench_is_in_all(*name))
            status = igt_bench_run(bench, *name, err);
    for (int i = 0; i < argc && !status; i++)
        if (!all || (strcmp(argv[i], "all") != 0 && !igt_bench_is_in_all(argv[i])))
            status = igt_bench_run(bench, argv[i], err);
    return status;
}

static enum ingot_status report(const struct igt_cli *cli, const struct igt_findings *findings,
                                const char *svg, struct ingot_error *err)
{
    enum ingot_status status = cli->form == IGT_FORM_JSON
                                   ? igt_report_print_json(findings, stdout, err)
                                   : igt_report_print(findings, stdout, err);
    return !status && svg ? igt_report_draw(findings, svg, err) : status;
}

/* Measures and shows; returns the exit code. */
static int measure(const struct igt_cli *cli, const struct wishes *wishes, int argc, char **argv)
{
    struct stop stop;
    const struct ingot_toolkit toolkit = {.context = &stop, .progress = is_stopped};
    const struct igt_bench_options options = {
        .store = cli->store_url,
        .rounds = (unsigned)wishes->numbers[ROUNDS],
        .jobs = wishes->numbers[JOBS],
        .history = wishes->numbers[HISTORY],
        .live = wishes->numbers[LIVE],
        .most = wishes->numbers[MOST],
        .data_bytes = wishes->numbers[DATA],
        .producers = (unsigned)wishes->numbers[PRODUCERS],
        .batch = wishes->numbers[BATCH],
        .rate = wishes->numbers[RATE],
        .baseline = wishes->baseline,
        .progress = show_progress,
        .program = "/proc/self/exe",
        .toolkit = &toolkit,
    };
    struct igt_bench *bench = NULL;
    struct ingot_error err = {0};
    stop_begin(&stop);
    enum ingot_status status = igt_bench_create(&options, &bench, &err);
    const int is_refused = status == INGOT_INVALID;
    if (!status)
        status = run_all(bench, argc, argv, &err);
    clear_progress();
    if (!status)
        status = report(cli, igt_bench_findings(bench), wishes->svg, &err);
    igt_bench_destroy(bench);
    if (!status)
        return IGT_EXIT_DONE;
    igt_cli_print_error(&err);
    return stop.number ? 128 + stop.number : is_refused ? IGT_EXIT_USAGE : IGT_EXIT_STORE;
}

int igt_verb_bench(const struct igt_cli *cli, int argc, char **argv)
{
    struct wishes wishes = {0};
    int made = 0;
    if (!read_options(&wishes, argc, argv))
        return IGT_EXIT_USAGE;
    for (int i = optind; i < argc; i++)
        if (!check_name(argv[i]))
            return IGT_EXIT_USAGE;
    if (wishes.svg && !check_folder(wishes.svg, &made))
        return IGT_EXIT_USAGE;
    int code = measure(cli, &wishes, argc - optind, argv + optind);
    if (code && made)
        rmdir(wishes.svg); /* if nothing was written into it */
    return code;
}
