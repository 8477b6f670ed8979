/*
 * What the verbs of the command line share: the global options, opening a
 * store, progress, and output that cannot break a terminal, for names,
 * payloads and errors in a store are hostile. The verbs see their arguments
 * without the global options; argv[0] is what getopt's messages begin with.
 */
#ifndef INGOT_CLI_CLI_H
#define INGOT_CLI_CLI_H

#include "core/buffer.h"

#include <signal.h>

enum igt_form {
    IGT_FORM_TABLE, /* for people */
    IGT_FORM_JSON   /* for programs: one value a line */
};

/* What a process ends with; 128 and the signal's number when one stopped it. */
enum igt_exit {
    IGT_EXIT_DONE = 0,
    IGT_EXIT_NOT_SO = 1, /* asked and answered: there is none, or it does not hold */
    IGT_EXIT_USAGE = 2,
    IGT_EXIT_STORE = 3 /* the store failed, or the output could not be written */
};

/* The global options. */
struct igt_cli {
    const char *store_url; /* of --store, else INGOT_STORE, else the default */
    int store_given;       /* --store was said */
    enum igt_form form;
    struct ingot_toolkit toolkit; /* the system's clock and random numbers; logs nothing */
};

/* The verbs: each returns the exit code. */
int igt_verb_serve(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_gateway(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_scheduler(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_bench(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_emit(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_find(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_show(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_counts(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_status(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_verify(const struct igt_cli *cli, int argc, char **argv);
int igt_verb_migrate(const struct igt_cli *cli, int argc, char **argv);

/* ---- complaints --------------------------------------------------------- */

/* Writes "ingot: …" to standard error, with what a terminal must not see escaped. */
void igt_cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes how the verb is used to standard error; returns IGT_EXIT_USAGE. */
int igt_cli_usage(const char *verb);

/* Writes the error, and a line for each of its validations, to standard error. */
void igt_cli_print_error(const struct ingot_error *err);

/* As igt_cli_print_error; returns what to exit with after a store's failure. */
int igt_cli_fail(const struct ingot_error *err);

/* ---- progress ----------------------------------------------------------- */

/*
 * A line on standard error that appears after a second, if that is a terminal;
 * and the wish of SIGINT and SIGTERM, once each, to come to an end.
 */
struct igt_cli_progress {
    const char *unit;          /* "events", or NULL if nothing is counted */
    int64_t began_us, next_us; /* of the monotonic clock */
    uint64_t done;
    int width; /* of the line that stands there, else 0 */
    struct sigaction int_before, term_before;
};

void igt_cli_progress_begin(struct igt_cli_progress *progress, const char *unit);
void igt_cli_progress_end(struct igt_cli_progress *progress);

/* For a toolkit, with the progress as its context: non-zero asks to stop. */
int igt_cli_progress(void *progress, uint64_t done, uint64_t total);

/* Takes the line away until the next call, so that something else can be written. */
void igt_cli_progress_clear(struct igt_cli_progress *progress);

/* Seconds since it began. */
double igt_cli_progress_seconds(const struct igt_cli_progress *progress);

/* ---- reading a store ---------------------------------------------------- */

struct igt_cli_reader {
    struct ingot_store *store;
    struct ingot_toolkit toolkit; /* for the calls on the store */
    struct igt_cli_progress progress;
};

/*
 * Opens the store for reading and begins progress. On failure the error is
 * written, and the exit code returned; otherwise 0. The reader must not move.
 */
int igt_cli_open(const struct igt_cli *cli, const char *unit, struct igt_cli_reader *reader);
void igt_cli_close(struct igt_cli_reader *reader);

/* ---- text and JSON ------------------------------------------------------ */

#define IGT_ALL_COLUMNS SIZE_MAX

/*
 * Appends text for a terminal: controls, what changes the direction or has no
 * width, what is not UTF-8, and in other locales all but ASCII as \xNN; white
 * space as a space. What is wider than columns is cut and ends in "...".
 * Returns the columns that it takes.
 */
size_t igt_cli_add_text(struct igt_buffer *buffer, struct ingot_bytes text, size_t columns);

/* Columns of the terminal that standard output is, or IGT_ALL_COLUMNS. */
size_t igt_cli_columns(void);

/* Appends the time to the second, in UTC, or "-". */
void igt_cli_add_time(struct igt_buffer *buffer, int64_t time_us);

/* Appends the message of an error as transitions carry it, shortened; returns its columns. */
size_t igt_cli_add_error(struct igt_buffer *buffer, struct ingot_bytes error);

/*
 * Writes what the buffer holds of JSON to standard output, and resets it. As
 * payloads come byte by byte, white space between values becomes spaces, and
 * what a terminal must not see becomes \uNNNN: the value is the same.
 */
enum ingot_status igt_cli_write_json(struct igt_buffer *buffer, struct ingot_error *err);

/* The same, and ends the line. */
enum ingot_status igt_cli_write_json_line(struct igt_buffer *buffer, struct ingot_error *err);

/* Appends an array of migrations, as the verbs that show them have it. */
void igt_cli_encode_migrations(struct igt_buffer *line, const struct ingot_migration *migrations,
                               size_t count);

/* ---- tables ------------------------------------------------------------- */

enum igt_align {
    IGT_ALIGN_LEFT,
    IGT_ALIGN_RIGHT,
    IGT_ALIGN_CUT /* left, and cut where the terminal is too narrow */
};

struct igt_column {
    const char *heading;
    enum igt_align align;
};

struct igt_table;

/* At most 8 columns. NULL when memory ran out; the functions below take that, and print reports it. */
struct igt_table *igt_table_create(const struct igt_column *columns, size_t column_count);
void igt_table_destroy(struct igt_table *table);

/* Begins a row; cells follow from left to right. On a terminal a long text is cut. */
void igt_table_row(struct igt_table *table);
void igt_table_text(struct igt_table *table, struct ingot_bytes text);
void igt_table_number(struct igt_table *table, uint64_t number);
void igt_table_time(struct igt_table *table, int64_t time_us);
void igt_table_error(struct igt_table *table, struct ingot_bytes error);

/*
 * Writes the rows, under headings the first time, and forgets them. What is
 * written later is at least as wide, so that long tables can come in parts.
 */
enum ingot_status igt_table_print(struct igt_table *table, struct ingot_error *err);

#endif
