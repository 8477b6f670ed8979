/* ingot verify: reads the whole store and says which promises it breaks. */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>

/* More violations are counted only. */
#define SHOWN_MAX 100u

struct check {
    enum igt_form form;
    struct igt_cli_reader reader;
    uint64_t found;
    struct igt_buffer line; /* for JSON: the violations so far */
};

static void encode_violation(struct igt_buffer *line, const struct ingot_violation *violation)
{
    igt_buffer_add_text(line, line->len ? ",{\"invariant\":" : "{\"invariant\":");
    igt_buffer_add_json_string(line, ingot_bytes_of(violation->invariant));
    igt_buffer_add_text(line, ",\"event_id\":");
    igt_buffer_add_json_ksuid(line, &violation->event_id);
    if (violation->job >= 0)
        igt_buffer_add_format(line, ",\"job\":%lld", (long long)violation->job);
    if (violation->seq >= 0)
        igt_buffer_add_format(line, ",\"seq\":%lld", (long long)violation->seq);
    igt_buffer_add_text(line, ",\"message\":");
    igt_buffer_add_json_string(line, ingot_bytes_of(violation->message));
    igt_buffer_add_text(line, "}");
}

/* "I5  EVENT/JOB  seq 3  it was …": the place is what `ingot show` takes. */
static void write_violation(struct igt_buffer *line, const struct ingot_violation *violation)
{
    char id[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&violation->event_id, id);
    igt_buffer_add_format(line, "%-3s  %s", violation->invariant, id);
    if (violation->job >= 0)
        igt_buffer_add_format(line, "/%lld", (long long)violation->job);
    if (violation->seq >= 0)
        igt_buffer_add_format(line, "  seq %lld", (long long)violation->seq);
    igt_buffer_add_text(line, "  ");
    igt_cli_add_text(line, ingot_bytes_of(violation->message), IGT_ALL_COLUMNS);
    printf("%s\n", line->failed ? violation->invariant : line->data);
    igt_buffer_reset(line);
}

static void report(void *context, const struct ingot_violation *violation)
{
    struct check *check = context;
    if (check->found++ >= SHOWN_MAX)
        return;
    igt_cli_progress_clear(&check->reader.progress);
    if (check->form == IGT_FORM_JSON)
        encode_violation(&check->line, violation);
    else
        write_violation(&check->line, violation);
}

static void write_result(const struct check *check, const struct ingot_verification *result,
                         double seconds)
{
    if (check->found > SHOWN_MAX)
        printf("and %llu more\n", (unsigned long long)(check->found - SHOWN_MAX));
    printf("verified %llu events, %llu jobs, %llu transitions in %.2f s: %llu violations, %llu "
           "live jobs\n",
           (unsigned long long)result->events, (unsigned long long)result->jobs,
           (unsigned long long)result->transitions, seconds, (unsigned long long)result->violations,
           (unsigned long long)result->live);
}

static enum ingot_status write_json(const struct check *check,
                                    const struct ingot_verification *result, double seconds,
                                    struct ingot_error *err)
{
    struct igt_buffer line = {0};
    igt_buffer_add_format(&line,
                          "{\"events\":%llu,\"jobs\":%llu,\"transitions\":%llu,\"seconds\":%.2f,"
                          "\"violations\":%llu,\"live\":%llu,\"found\":[",
                          (unsigned long long)result->events, (unsigned long long)result->jobs,
                          (unsigned long long)result->transitions, seconds,
                          (unsigned long long)result->violations, (unsigned long long)result->live);
    igt_buffer_add(&line, check->line.data, check->line.len);
    igt_buffer_add_text(&line, "]}");
    line.failed |= check->line.failed;
    enum ingot_status status = igt_cli_write_json_line(&line, err);
    igt_buffer_fini(&line);
    return status;
}

int igt_verb_verify(const struct igt_cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct check check = {.form = cli->form};
    struct ingot_verification result;
    struct ingot_error err = {0};
    if (getopt_long(argc, argv, "", options, NULL) != -1 || optind < argc)
        return igt_cli_usage("verify");
    int code = igt_cli_open(cli, "events", &check.reader);
    if (code)
        return code;
    enum ingot_status status = ingot_store_verify(check.reader.store, &check.reader.toolkit, report,
                                                  &check, &result, &err);
    double seconds = igt_cli_progress_seconds(&check.reader.progress);
    igt_cli_close(&check.reader);
    if (!status && check.form == IGT_FORM_JSON)
        status = write_json(&check, &result, seconds, &err);
    else if (!status)
        write_result(&check, &result, seconds);
    igt_buffer_fini(&check.line);
    if (status)
        return igt_cli_fail(&err);
    return result.violations ? IGT_EXIT_NOT_SO : IGT_EXIT_DONE;
}
