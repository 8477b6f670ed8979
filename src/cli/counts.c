/* ingot counts: how many jobs of each destination are in each state. */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>

static const struct igt_column columns[] = {
    {"DESTINATION", IGT_ALIGN_LEFT}, {"ACKNOWLEDGED", IGT_ALIGN_RIGHT},
    {"AWAITING", IGT_ALIGN_RIGHT},   {"EXECUTING", IGT_ALIGN_RIGHT},
    {"SUCCEEDED", IGT_ALIGN_RIGHT},  {"FAILED", IGT_ALIGN_RIGHT},
    {"DISCARDED", IGT_ALIGN_RIGHT},  {"JOBS", IGT_ALIGN_RIGHT},
};

static uint64_t sum(const struct ingot_destination_counts *counts)
{
    uint64_t jobs = 0;
    for (enum ingot_state state = INGOT_STATE_ACKNOWLEDGED; state <= INGOT_STATE_DISCARDED; state++)
        jobs += counts->jobs[state];
    return jobs;
}

static struct ingot_destination_counts add_up(const struct ingot_counts *counts)
{
    struct ingot_destination_counts total = {.destination = ingot_bytes_of("(all)")};
    for (size_t i = 0; i < counts->destination_count; i++)
        for (int state = 0; state <= INGOT_STATE_DISCARDED; state++)
            total.jobs[state] += counts->destinations[i].jobs[state];
    return total;
}

static void add_row(struct igt_table *table, const struct ingot_destination_counts *counts)
{
    igt_table_row(table);
    igt_table_text(table, counts->destination);
    for (enum ingot_state state = INGOT_STATE_ACKNOWLEDGED; state <= INGOT_STATE_DISCARDED; state++)
        igt_table_number(table, counts->jobs[state]);
    igt_table_number(table, sum(counts));
}

static enum ingot_status write_table(const struct ingot_counts *counts, struct ingot_error *err)
{
    const struct ingot_destination_counts total = add_up(counts);
    struct igt_table *table = igt_table_create(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < counts->destination_count; i++)
        add_row(table, &counts->destinations[i]);
    add_row(table, &total);
    enum ingot_status status = igt_table_print(table, err);
    igt_table_destroy(table);
    if (!status)
        printf("\n%llu events, %llu jobs, %llu transitions\n", (unsigned long long)counts->events,
               (unsigned long long)sum(&total), (unsigned long long)counts->transitions);
    return status;
}

/* {"acknowledged":0,…} */
static void encode_states(struct igt_buffer *line, const struct ingot_destination_counts *counts)
{
    for (enum ingot_state state = INGOT_STATE_ACKNOWLEDGED; state <= INGOT_STATE_DISCARDED; state++)
        igt_buffer_add_format(line, "%s\"%s\":%llu", state == INGOT_STATE_ACKNOWLEDGED ? "{" : ",",
                              ingot_state_name(state), (unsigned long long)counts->jobs[state]);
    igt_buffer_add_text(line, "}");
}

static enum ingot_status write_json(const struct ingot_counts *counts, struct ingot_error *err)
{
    const struct ingot_destination_counts total = add_up(counts);
    struct igt_buffer line = {0};
    igt_buffer_add_format(&line, "{\"events\":%llu,\"jobs\":%llu,\"transitions\":%llu,\"states\":",
                          (unsigned long long)counts->events, (unsigned long long)sum(&total),
                          (unsigned long long)counts->transitions);
    encode_states(&line, &total);
    igt_buffer_add_text(&line, ",\"destinations\":[");
    for (size_t i = 0; i < counts->destination_count; i++) {
        igt_buffer_add_text(&line, i ? ",{\"destination\":" : "{\"destination\":");
        igt_buffer_add_json_string(&line, counts->destinations[i].destination);
        igt_buffer_add_text(&line, ",\"states\":");
        encode_states(&line, &counts->destinations[i]);
        igt_buffer_add_text(&line, "}");
    }
    igt_buffer_add_text(&line, "]}");
    enum ingot_status status = igt_cli_write_json_line(&line, err);
    igt_buffer_fini(&line);
    return status;
}

int igt_verb_counts(const struct igt_cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct igt_cli_reader reader;
    struct ingot_counts *counts = NULL;
    struct ingot_error err = {0};
    if (getopt_long(argc, argv, "", options, NULL) != -1 || optind < argc)
        return igt_cli_usage("counts");
    int code = igt_cli_open(cli, NULL, &reader);
    if (code)
        return code;
    enum ingot_status status = ingot_store_counts(reader.store, &reader.toolkit, &counts, &err);
    igt_cli_close(&reader);
    if (!status)
        status = cli->form == IGT_FORM_JSON ? write_json(counts, &err) : write_table(counts, &err);
    ingot_counts_destroy(counts);
    return status ? igt_cli_fail(&err) : IGT_EXIT_DONE;
}
