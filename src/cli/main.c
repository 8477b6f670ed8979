/*
 * The program: the table of verbs, the global options, help; and what verbs
 * that read a store begin and end with. The one global is what a signal
 * handler leaves behind, for it has no other way to.
 */
#include "cli.h"

#include "daemon/config.h"
#include "daemon/config_value.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* When progress appears, and how often it changes. */
#define PROGRESS_AFTER_US 1000000
#define PROGRESS_EVERY_US 200000

static volatile sig_atomic_t stop_signal;

/* ---- the verbs ---------------------------------------------------------- */

struct verb {
    const char *name, *usage, *summary, *help;
    int (*run)(const struct igt_cli *cli, int argc, char **argv);
};

static int help(const struct igt_cli *cli, int argc, char **argv);

static const struct verb verbs[] = {
    {"serve", "[-c FILE]", "take events in and deliver them, until SIGTERM",
     "  -c, --config FILE   the configuration; else ingot.yaml in this folder\n"
     "\n"
     "example: ingot serve -c /etc/ingot.yaml\n",
     igt_verb_serve},
    {"gateway", "[-c FILE]", "take events in, and leave delivery to others",
     "  -c, --config FILE   the configuration; else ingot.yaml in this folder\n"
     "\n"
     "example: ingot gateway -c /etc/ingot.yaml\n",
     igt_verb_gateway},
    {"scheduler", "[-c FILE]", "deliver, and take nothing in; as many as you like",
     "  -c, --config FILE   the configuration; else ingot.yaml in this folder\n"
     "\n"
     "example: ingot scheduler -c /etc/ingot.yaml\n",
     igt_verb_scheduler},
    {"emit", "NAME [-s SOURCE] [-d JSON|@FILE|-] [--ndjson] [-c FILE]",
     "put events in, through the daemon if one runs",
     "  -s, --source SOURCE  where they come from; else cli\n"
     "  -d, --data DATA      JSON, a file of it, or - for standard input\n"
     "      --ndjson         the data is one event's data a line\n"
     "  -c, --config FILE    where events go, if no daemon has ever said so\n"
     "\n"
     "example: ingot emit user.created -d '{\"id\": 7}'\n",
     igt_verb_emit},
    {"find",
     "[--destination D]... [--event E]... [--status S]... [--not-status S]...\n"
     "            [--max-attempts N] [--limit N|none]",
     "list jobs, and where they stand",
     "  --destination D    jobs for this destination; several are alternatives\n"
     "  --event E          jobs for this event, \"*\" for those of wildcards\n"
     "  --status S         jobs that are acknowledged, awaiting, executing,\n"
     "                     succeeded, failed or discarded\n"
     "  --not-status S     jobs that are not\n"
     "  --max-attempts N   jobs with at most that many attempts\n"
     "  --limit N          at most that many jobs, or none for all; else 100\n"
     "\n"
     "With --json one event a line, with the jobs that were looked for.\n"
     "\n"
     "example: ingot find --destination billing --status discarded\n",
     igt_verb_find},
    {"show", "EVENT | JOB | EVENT/JOB", "show an event, or a job, with its whole history",
     "Ids have 27 characters; in EVENT/JOB the job can be its number as well.\n"
     "The id alone may not find a job if a caller made its id, or its event is\n"
     "retired.\n"
     "\n"
     "example: ingot show 3JbBLfyN0vlQ6ZJBXPbDbYBDXm8/0\n",
     igt_verb_show},
    {"counts", "", "count jobs by destination and state", "example: ingot counts --json\n",
     igt_verb_counts},
    {"status", "", "show how the store and its processes are",
     "Who is at work, what their lanes are and which lanes nobody works, the\n"
     "schema, the settings on which the promise rests, the lists of what is\n"
     "live. Processes are working, ended, or silent for longer than their\n"
     "lease; they are shown for an hour.\n"
     "\n"
     "example: ingot status --json\n",
     igt_verb_status},
    {"verify", "", "read the whole store and check what it promises",
     "Ends with 1 if a promise is broken.\n"
     "\n"
     "example: ingot verify --store sqlite:/var/lib/ingot/ingot.db\n",
     igt_verb_verify},
    {"migrate", "[up | status | down --yes | accept-restore]",
     "bring the store's schema up to date",
     "  up              run what has not run yet; the default\n"
     "  status          list the migrations\n"
     "  down            take back the newest one, and lose all that it made room for\n"
     "  accept-restore  go on with a store that was restored or copied; nothing is\n"
     "                  lost, but stop every process that works on it first\n"
     "\n"
     "  --yes           for down: yes, lose it\n"
     "\n"
     "example: ingot migrate status\n",
     igt_verb_migrate},
    {"bench", "[all | WHAT...] [--baseline] [--svg FOLDER]",
     "measure what this machine and this database can do",
     "  --baseline        measure a queue written by hand and the raw limit beside it\n"
     "  --rounds N        of each variant, interleaved; else 5 (every third of what no\n"
     "                    aim is about, and of a drain under the pin)\n"
     "  --jobs N          of a run; else 50000 (half of them where it is HTTP)\n"
     "  --data BYTES      payload of an event; else 200\n"
     "  --producers N     that put events in at the same time; else 64\n"
     "  --batch N         events of a producer's request; else 10\n"
     "  --rate N          events a second for pickup; else 100\n"
     "  --history N       finished jobs of a long history; else 5000000\n"
     "  --live N          jobs that wait at a start; else 1000000\n"
     "  --most N          jobs of the longest run of growth; else 1000000\n"
     "  --svg FOLDER      draw charts into it\n"
     "\n"
     "WHAT is insert, drain, lifecycle, pickup, pinned, http-in, http-out, history,\n"
     "find, start, memory, which are all, or growth.\n"
     "Measures on stores of its own, which it makes beside the one that is named\n"
     "and drops again: a database on the same server, or a file in the same folder.\n"
     "\n"
     "example: ingot bench lifecycle --baseline --store postgres://localhost/ingot\n",
     igt_verb_bench},
    {"help", "[VERB]", "explain a verb", "example: ingot help find\n", help},
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void print_usage(FILE *file, const struct verb *verb)
{
    fprintf(file, "usage: ingot %s%s%s\n", verb->name, verb->usage[0] ? " " : "", verb->usage);
}

static void print_verb_help(const struct verb *verb)
{
    print_usage(stdout, verb);
    printf("\n%s; with the options of all verbs (see `ingot --help`).\n\n%s", verb->summary,
           verb->help);
}

static void print_help(FILE *file)
{
    fprintf(file, "usage: ingot [--store URL] [--json] VERB ...\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(file, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(file, "\nfor all verbs:\n"
                  "  --store URL  sqlite:PATH, postgres://… or memory:; else $INGOT_STORE,\n"
                  "               else $POSTGRES_STORE_URL, else sqlite:ingot.db\n"
                  "  --json       write JSON\n"
                  "  --help       explain the verb\n"
                  "  --version    print the version\n");
}

static int refuse_verb(const char *name)
{
    size_t least = 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        size_t distance = igt_config_distance(name, verbs[i].name);
        if (distance < least) {
            least = distance;
            nearest = verbs[i].name;
        }
    }
    if (nearest)
        igt_cli_complain("there is no verb \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        igt_cli_complain("there is no verb \"%s\"; see `ingot --help`", name);
    return IGT_EXIT_USAGE;
}

static int help(const struct igt_cli *cli, int argc, char **argv)
{
    (void)cli;
    if (argc > 2)
        return igt_cli_usage("help");
    if (argc == 1) {
        print_help(stdout);
        return IGT_EXIT_DONE;
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb)
        return refuse_verb(argv[1]);
    print_verb_help(verb);
    return IGT_EXIT_DONE;
}

/* ---- complaints --------------------------------------------------------- */

/* Writes a line to standard error in one go, escaped. */
static void write_line(const char *before, const char *text)
{
    struct igt_buffer line = {0};
    igt_buffer_add_text(&line, before);
    igt_cli_add_text(&line, ingot_bytes_of(text), IGT_ALL_COLUMNS);
    fprintf(stderr, "%s\n", line.failed ? "ingot: memory ran out" : line.data);
    igt_buffer_fini(&line);
}

void igt_cli_complain(const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    write_line("ingot: ", message);
}

int igt_cli_usage(const char *verb)
{
    print_usage(stderr, find_verb(verb));
    return IGT_EXIT_USAGE;
}

void igt_cli_print_error(const struct ingot_error *err)
{
    char line[sizeof err->validations[0].path + sizeof err->validations[0].message + 8];
    write_line("ingot: ", err->message);
    for (size_t i = 0; i < err->validation_count && i < INGOT_VALIDATIONS_MAX; i++) {
        const struct ingot_validation *validation = &err->validations[i];
        snprintf(line, sizeof line, "%s: %s", validation->path, validation->message);
        write_line("  ", line);
    }
    if (err->validation_count > INGOT_VALIDATIONS_MAX)
        fprintf(stderr, "  and %zu more\n", err->validation_count - INGOT_VALIDATIONS_MAX);
}

int igt_cli_fail(const struct ingot_error *err)
{
    igt_cli_print_error(err);
    return err->status == INGOT_CLOSED && stop_signal ? 128 + stop_signal : IGT_EXIT_STORE;
}

/* ---- progress ----------------------------------------------------------- */

static void note_signal(int number)
{
    stop_signal = number;
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Has the signal noted, and calls that wait interrupted; a second one ends the process at once. */
static void heed(int number, struct sigaction *ret_before)
{
    const struct sigaction note = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(number, &note, ret_before);
    if (ret_before->sa_handler == SIG_IGN) /* as nohup and shells have it for the background */
        sigaction(number, ret_before, NULL);
}

void igt_cli_progress_begin(struct igt_cli_progress *progress, const char *unit)
{
    memset(progress, 0, sizeof *progress);
    progress->unit = unit;
    progress->began_us = monotonic_us();
    progress->next_us = isatty(STDERR_FILENO) ? progress->began_us + PROGRESS_AFTER_US : INT64_MAX;
    heed(SIGINT, &progress->int_before);
    heed(SIGTERM, &progress->term_before);
}

void igt_cli_progress_clear(struct igt_cli_progress *progress)
{
    if (progress->width)
        fprintf(stderr, "\r%*s\r", progress->width, "");
    progress->width = 0;
}

void igt_cli_progress_end(struct igt_cli_progress *progress)
{
    igt_cli_progress_clear(progress);
    sigaction(SIGINT, &progress->int_before, NULL);
    sigaction(SIGTERM, &progress->term_before, NULL);
}

double igt_cli_progress_seconds(const struct igt_cli_progress *progress)
{
    return (double)(monotonic_us() - progress->began_us) / 1e6;
}

int igt_cli_progress(void *context, uint64_t done, uint64_t total)
{
    struct igt_cli_progress *progress = context;
    int64_t now_us = monotonic_us();
    char line[80] = "";
    if (done > progress->done)
        progress->done = done; /* calls that do not know say 0 */
    if (stop_signal || now_us < progress->next_us)
        return stop_signal;
    progress->next_us = now_us + PROGRESS_EVERY_US;
    unsigned long long counted = progress->done, all = total;
    int seconds = (int)igt_cli_progress_seconds(progress), len;
    if (!progress->unit)
        len = snprintf(line, sizeof line, "working, %d s", seconds);
    else if (total)
        len = snprintf(line, sizeof line, "%llu of %llu %s, %d s", counted, all, progress->unit,
                       seconds);
    else
        len = snprintf(line, sizeof line, "%llu %s, %d s", counted, progress->unit, seconds);
    fprintf(stderr, "\r%-*s", progress->width, line);
    progress->width = len > progress->width ? len : progress->width;
    return 0;
}

/* ---- reading a store ---------------------------------------------------- */

int igt_cli_open(const struct igt_cli *cli, const char *unit, struct igt_cli_reader *reader)
{
    struct ingot_options options;
    struct ingot_error err = {0};
    if (ingot_options_from_url(cli->store_url, &options, &err) != INGOT_OK) {
        igt_cli_print_error(&err);
        return IGT_EXIT_USAGE;
    }
    options.mode = INGOT_MODE_READ;
    *reader = (struct igt_cli_reader){.toolkit = cli->toolkit};
    reader->toolkit.context = &reader->progress;
    reader->toolkit.progress = igt_cli_progress;
    igt_cli_progress_begin(&reader->progress, unit);
    if (ingot_store_open(&options, &reader->toolkit, &reader->store, &err) == INGOT_OK)
        return IGT_EXIT_DONE;
    igt_cli_progress_end(&reader->progress);
    return igt_cli_fail(&err);
}

void igt_cli_close(struct igt_cli_reader *reader)
{
    igt_cli_progress_end(&reader->progress);
    ingot_store_close(reader->store);
}

/* ---- the program -------------------------------------------------------- */

/* What was asked for besides the verb. */
enum wish { WISH_VERB, WISH_HELP, WISH_VERSION };

/*
 * Takes the global option at argv[at], if it is one. Returns how many
 * arguments that are, or -1 if its value is missing.
 */
static int take_global(struct igt_cli *cli, enum wish *wish, char **argv, int at)
{
    const char *argument = argv[at];
    if (strcmp(argument, "--json") == 0) {
        cli->form = IGT_FORM_JSON;
        return 1;
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        *wish = WISH_HELP;
        return 1;
    }
    if (strcmp(argument, "--version") == 0) {
        *wish = WISH_VERSION;
        return 1;
    }
    int has_value = strncmp(argument, "--store=", strlen("--store=")) == 0;
    if (!has_value && strcmp(argument, "--store") != 0)
        return 0;
    cli->store_url = has_value ? argument + strlen("--store=") : argv[at + 1];
    cli->store_given = 1;
    return !cli->store_url ? -1 : has_value ? 1 : 2;
}

/* Takes the global options out, wherever they stand before "--"; returns how many arguments are left, or -1. */
static int take_globals(struct igt_cli *cli, enum wish *wish, int argc, char **argv)
{
    int kept = 1, at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        int taken = take_global(cli, wish, argv, at);
        if (taken < 0)
            return -1;
        if (!taken)
            argv[kept++] = argv[at];
        at += taken ? taken : 1;
    }
    while (at < argc)
        argv[kept++] = argv[at++];
    argv[kept] = NULL;
    return kept;
}

static int run(struct igt_cli *cli, int argc, char **argv)
{
    enum wish wish = WISH_VERB;
    char title[32];
    argc = take_globals(cli, &wish, argc, argv);
    if (argc < 0) {
        igt_cli_complain("--store needs a URL: sqlite:PATH, postgres://… or memory:");
        return IGT_EXIT_USAGE;
    }
    if (wish == WISH_VERSION) {
        printf("ingot %s\n", INGOT_VERSION);
        return IGT_EXIT_DONE;
    }
    if (argc < 2) {
        print_help(wish == WISH_HELP ? stdout : stderr);
        return wish == WISH_HELP ? IGT_EXIT_DONE : IGT_EXIT_USAGE;
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb && argv[1][0] == '-')
        igt_cli_complain("there is no option \"%s\" for all verbs; see `ingot --help`", argv[1]);
    if (!verb)
        return argv[1][0] == '-' ? IGT_EXIT_USAGE : refuse_verb(argv[1]);
    if (wish == WISH_HELP) {
        print_verb_help(verb);
        return IGT_EXIT_DONE;
    }
    snprintf(title, sizeof title, "ingot %s", verb->name);
    argv[1] = title;
    return verb->run(cli, argc - 1, argv + 1);
}

/* A file that is opened must not take the number of a closed standard stream, and get its output. */
static int open_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    const char *from_environment = getenv("INGOT_STORE");
    struct igt_cli cli = {.store_url = from_environment && from_environment[0]
                                           ? from_environment
                                           : igt_config_store_default()};
    if (!open_standard_streams())
        return IGT_EXIT_STORE;
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_DFL); /* who reads no more has seen enough */
    int code = run(&cli, argc, argv), failed = ferror(stdout);
    if ((fclose(stdout) != 0 || failed) && code < 128) {
        igt_cli_complain("not all of the output could be written; is the disk full?");
        return IGT_EXIT_STORE;
    }
    return code;
}
