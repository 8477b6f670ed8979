/*
 * ingot status: what an operator wants to see at a glance: the adapter, its
 * settings and its schema, who is at work, which lanes nobody works, and the
 * lists of what is live. What a process says of itself comes from a table that
 * every writer may write to, so it is read as hostile JSON.
 */
#include "cli.h"

#include "core/arena.h"
#include "core/instant.h"
#include "core/json.h"
#include "core/lanes.h"
#include "core/toolkit.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Processes whose last sign of life is older are not shown. */
#define PAST_US IGT_HOUR_US

/* The lease of a process that does not tell its own: the default of the configuration. */
#define LEASE_US (15 * IGT_SECOND_US)

/* Of a process's id, what `ingot show` has of an owner as well. */
#define PROCESS_SHOWN 8

#define FIELD_WIDTH 11

static const struct igt_column setting_columns[] = {
    {"SETTING", IGT_ALIGN_LEFT},
    {"VALUE", IGT_ALIGN_LEFT},
};

static const struct igt_column process_columns[] = {
    {"PROCESS", IGT_ALIGN_LEFT}, {"ROLE", IGT_ALIGN_LEFT},    {"STATE", IGT_ALIGN_LEFT},
    {"SEEN", IGT_ALIGN_RIGHT},   {"HOST", IGT_ALIGN_LEFT},    {"PID", IGT_ALIGN_RIGHT},
    {"ADDRESS", IGT_ALIGN_LEFT}, {"VERSION", IGT_ALIGN_LEFT},
};

static const struct igt_column work_columns[] = {
    {"PROCESS", IGT_ALIGN_LEFT},      {"LANES", IGT_ALIGN_RIGHT},
    {"READY", IGT_ALIGN_RIGHT},       {"LIVE", IGT_ALIGN_RIGHT},
    {"RUNNING", IGT_ALIGN_RIGHT},     {"LAG MS", IGT_ALIGN_RIGHT},
    {"CLAIMS LOST", IGT_ALIGN_RIGHT}, {"OUTCOMES LOST", IGT_ALIGN_RIGHT},
};

enum life { LIFE_WORKING, LIFE_SILENT, LIFE_ENDED };

static const char *const life_names[] = {"working", "silent", "ended"};

/* What a process tells of itself. */
enum text { TEXT_STATE, TEXT_ROLE, TEXT_HOST, TEXT_ADDRESS, TEXT_VERSION, TEXT_COUNT };

static const char *const text_names[] = {"state", "role", "host", "address", "version"};

enum number {
    NUMBER_PID,
    NUMBER_READY,
    NUMBER_LIVE,
    NUMBER_RUNNING,
    NUMBER_LAG,
    NUMBER_CLAIMS_LOST,
    NUMBER_OUTCOMES_LOST,
    NUMBER_LEASE,
    NUMBER_COUNT
};

static const char *const number_names[] = {"pid",    "lanes_ready", "live",          "running",
                                           "lag_ms", "claims_lost", "outcomes_lost", "lease_ms"};

struct process {
    const struct ingot_heartbeat *beat;
    enum life life;
    int64_t age_us;           /* of its newest heartbeat */
    struct ingot_bytes about; /* a JSON object, or absent: it was none */
    struct ingot_bytes texts[TEXT_COUNT];
    int64_t numbers[NUMBER_COUNT]; /* -1: not told */
};

/* Who may be at work on the store. */
enum holding {
    HELD_BY_SEVERAL, /* see processes */
    HELD_BY_NOBODY,
    HELD_BY_ONE /* see holder */
};

struct status {
    enum igt_form form;
    struct igt_arena *arena;
    const char *adapter;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    size_t migration_count;
    enum holding holding;
    struct ingot_holder holder;
    /* The pages are NULL where the adapter has no such thing, or the store cannot be opened. */
    struct ingot_page *setting_page, *beat_page, *checkpoint_page;
    struct ingot_setting *settings;
    size_t setting_count;
    int64_t now_us; /* by the store's clock, if it has one */
    struct ingot_heartbeats beats;
    struct process *processes;
    struct ingot_lanes worked;
    struct ingot_checkpoint *checkpoints;
    size_t checkpoint_count;
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "status: memory ran out");
}

/* ---- reading ------------------------------------------------------------ */

/* What can be read whatever the schema's version is, and although the store was restored. */
static enum ingot_status read_schema(struct status *all, const struct igt_cli *cli,
                                     struct ingot_options options, struct ingot_error *err)
{
    const struct ingot_options whole = options;
    struct ingot_store *store = NULL;
    enum ingot_status status = ingot_store_open_for_migration(&options, &cli->toolkit, &store, err);
    if (!status)
        status = ingot_store_migrations(store, NULL, all->migrations, &all->migration_count, err);
    if (!status) {
        all->adapter = ingot_store_name(store);
        if (ingot_store_handles(store) != INGOT_HANDLES_WRITERS)
            all->holding = ingot_options_holder(&whole, &all->holder, NULL) == INGOT_OK
                               ? HELD_BY_ONE
                               : HELD_BY_NOBODY;
    }
    ingot_store_close(store);
    return status;
}

static void take_member(struct process *process, const struct igt_json *key,
                        const struct igt_json *value, struct igt_arena *arena)
{
    const struct ingot_bytes name = {(const char *)key->raw.data + 1, key->raw.len - 2};
    int64_t number;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (value->kind == IGT_JSON_STRING &&
            ingot_bytes_equal(name, ingot_bytes_of(text_names[i])))
            process->texts[i] = igt_json_text(value, arena);
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        if (ingot_bytes_equal(name, ingot_bytes_of(number_names[i])) &&
            igt_json_integer(value, &number) && number >= 0)
            process->numbers[i] = number;
}

static void judge(struct process *process)
{
    const int64_t lease_ms = process->numbers[NUMBER_LEASE];
    const int64_t lease_us =
        lease_ms > 0 && lease_ms <= IGT_HOUR_US / 1000 ? lease_ms * 1000 : LEASE_US;
    /* A gateway works no lanes, so it has to say that it works. */
    const int works = process->beat->lanes ||
                      ingot_bytes_equal(process->texts[TEXT_STATE], ingot_bytes_of("working"));
    process->life = !works ? LIFE_ENDED : process->age_us > lease_us ? LIFE_SILENT : LIFE_WORKING;
}

static void read_process(struct status *all, const struct ingot_heartbeat *beat,
                         struct process *process)
{
    struct igt_json about, key, value;
    process->beat = beat;
    process->age_us = beat->created_us < all->now_us ? all->now_us - beat->created_us : 0;
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        process->numbers[i] = -1;
    if (beat->about.data && igt_json_parse(beat->about, &about, NULL) == INGOT_OK &&
        about.kind == IGT_JSON_OBJECT) {
        struct igt_json_walk walk = igt_json_walk(&about);
        process->about = about.raw;
        while (igt_json_next(&walk, &key, &value))
            take_member(process, &key, &value, all->arena);
    }
    judge(process);
    if (process->life == LIFE_WORKING && beat->lanes)
        all->worked = igt_lanes_either(&all->worked, beat->lanes);
}

static int compare_processes(const void *left, const void *right)
{
    const struct process *a = left, *b = right;
    int order = (a->life > b->life) - (a->life < b->life);
    return order ? order : ingot_ksuid_compare(&a->beat->process, &b->beat->process);
}

static enum ingot_status read_processes(struct status *all, struct igt_cli_reader *reader,
                                        struct ingot_error *err)
{
    enum ingot_status status = ingot_store_heartbeat(reader->store, &reader->toolkit, NULL, PAST_US,
                                                     &all->beat_page, &all->beats, err);
    if (status)
        return status;
    all->now_us = all->beats.now_us;
    all->processes = igt_arena_array(all->arena, all->beats.count + 1, sizeof *all->processes);
    if (!all->processes)
        return no_memory(err);
    for (size_t i = 0; i < all->beats.count; i++)
        read_process(all, &all->beats.newest[i], &all->processes[i]);
    qsort(all->processes, all->beats.count, sizeof *all->processes, compare_processes);
    return INGOT_OK;
}

/* What an adapter lacks is left out. */
static enum ingot_status read_store(struct status *all, struct igt_cli_reader *reader,
                                    struct ingot_error *err)
{
    const struct ingot_lanes lanes = igt_lanes_all();
    enum ingot_status status =
        ingot_store_settings(reader->store, &reader->toolkit, &all->setting_page, &all->settings,
                             &all->setting_count, err);
    all->now_us = igt_now_us(&reader->toolkit);
    if (!status || status == INGOT_UNSUPPORTED)
        status = read_processes(all, reader, err);
    if (!status || status == INGOT_UNSUPPORTED)
        status = ingot_store_checkpoints(reader->store, &reader->toolkit, &lanes, INT64_MAX,
                                         &all->checkpoint_page, &all->checkpoints,
                                         &all->checkpoint_count, err);
    return status == INGOT_UNSUPPORTED ? INGOT_OK : status;
}

/* ---- for people --------------------------------------------------------- */

static void begin_field(struct igt_buffer *line, const char *name)
{
    igt_buffer_add_format(line, "%-*s ", FIELD_WIDTH, name);
}

/* "0.3 s", "42 s", "7 min", "3 h", "12 d" */
static void add_age(struct igt_buffer *line, int64_t age_us)
{
    const int64_t us = age_us > 0 ? age_us : 0;
    if (us < 10 * IGT_SECOND_US)
        igt_buffer_add_format(line, "%.1f s", (double)us / 1e6);
    else if (us < 2 * IGT_MINUTE_US)
        igt_buffer_add_format(line, "%lld s", (long long)(us / IGT_SECOND_US));
    else if (us < 2 * IGT_HOUR_US)
        igt_buffer_add_format(line, "%lld min", (long long)(us / IGT_MINUTE_US));
    else if (us < 2 * IGT_DAY_US)
        igt_buffer_add_format(line, "%lld h", (long long)(us / IGT_HOUR_US));
    else
        igt_buffer_add_format(line, "%lld d", (long long)(us / IGT_DAY_US));
}

static void add_schema(struct igt_buffer *line, const struct status *all)
{
    size_t applied = 0;
    for (size_t i = 0; i < all->migration_count; i++)
        applied += all->migrations[i].state == INGOT_MIGRATION_APPLIED;
    begin_field(line, "schema");
    if (applied == all->migration_count)
        igt_buffer_add_format(line, "%zu migrations have run\n", applied);
    else
        igt_buffer_add_format(line,
                              "%zu of %zu migrations are as they should be; see `ingot migrate "
                              "status`\n",
                              applied, all->migration_count);
}

static void add_holder(struct igt_buffer *line, const struct status *all)
{
    begin_field(line, "held by");
    if (all->holding == HELD_BY_NOBODY) {
        igt_buffer_add_text(line, "nobody\n");
        return;
    }
    igt_buffer_add_format(line, "process %d", all->holder.pid);
    if (all->holder.address[0]) {
        igt_buffer_add_text(line, " at ");
        igt_cli_add_text(line, ingot_bytes_of(all->holder.address), IGT_ALL_COLUMNS);
    }
    igt_buffer_add_text(line, "\n");
}

/* "3, 7 to 12": the lanes from first on that are alike, one range after the other. */
static void add_ranges(struct igt_buffer *line, const struct ingot_lanes *lanes)
{
    const char *between = "";
    for (uint32_t lane = 0, last; lane < INGOT_LANES; lane = last + 1) {
        last = lane;
        if (!igt_lanes_has(lanes, lane))
            continue;
        while (last + 1 < INGOT_LANES && igt_lanes_has(lanes, last + 1))
            last++;
        igt_buffer_add_format(line, "%s%u", between, lane);
        if (last > lane)
            igt_buffer_add_format(line, last == lane + 1 ? ", %u" : " to %u", last);
        between = ", ";
    }
}

static void add_lanes(struct igt_buffer *line, const struct status *all)
{
    const struct ingot_lanes every = igt_lanes_all();
    const struct ingot_lanes idle = igt_lanes_without(&every, &all->worked);
    const unsigned count = igt_lanes_count(&idle);
    begin_field(line, "lanes");
    if (count == 0) {
        igt_buffer_add_format(line, "all %u are worked\n", INGOT_LANES);
    } else if (count == INGOT_LANES) {
        igt_buffer_add_text(line, "nobody works any: nothing is delivered; start `ingot serve` or "
                                  "`ingot scheduler`\n");
    } else {
        igt_buffer_add_format(line, "nobody works %u of %u: ", count, INGOT_LANES);
        add_ranges(line, &idle);
        igt_buffer_add_text(line, "\n");
    }
}

struct checkpoint_sum {
    uint64_t bytes;
    int64_t oldest_us, newest_us;
};

static struct checkpoint_sum sum_up(const struct status *all)
{
    struct checkpoint_sum sum = {0, INGOT_NO_TIME, INGOT_NO_TIME};
    for (size_t i = 0; i < all->checkpoint_count; i++) {
        const struct ingot_checkpoint *checkpoint = &all->checkpoints[i];
        sum.bytes += checkpoint->body.len;
        if (!i || checkpoint->taken_us < sum.oldest_us)
            sum.oldest_us = checkpoint->taken_us;
        if (!i || checkpoint->taken_us > sum.newest_us)
            sum.newest_us = checkpoint->taken_us;
    }
    return sum;
}

static void add_checkpoints(struct igt_buffer *line, const struct status *all)
{
    const struct checkpoint_sum sum = sum_up(all);
    begin_field(line, "checkpoints");
    if (!all->checkpoint_count) {
        igt_buffer_add_text(line, "none: whoever begins a lane reads the whole store\n");
        return;
    }
    igt_buffer_add_format(line, "%zu lanes, %llu bytes, the newest ", all->checkpoint_count,
                          (unsigned long long)sum.bytes);
    add_age(line, all->now_us - sum.newest_us);
    igt_buffer_add_text(line, " old, the oldest ");
    add_age(line, all->now_us - sum.oldest_us);
    igt_buffer_add_text(line, "\n");
}

static enum ingot_status write_head(const struct status *all, struct ingot_error *err)
{
    struct igt_buffer head = {0};
    begin_field(&head, "store");
    igt_cli_add_text(&head, ingot_bytes_of(all->adapter), IGT_ALL_COLUMNS);
    igt_buffer_add_text(&head, "\n");
    add_schema(&head, all);
    if (all->holding != HELD_BY_SEVERAL)
        add_holder(&head, all);
    if (all->beat_page)
        add_lanes(&head, all);
    if (all->checkpoint_page)
        add_checkpoints(&head, all);
    enum ingot_status status = head.failed ? no_memory(err) : INGOT_OK;
    if (!status)
        fputs(head.data, stdout);
    igt_buffer_fini(&head);
    return status;
}

static enum ingot_status write_settings(const struct status *all, struct ingot_error *err)
{
    if (!all->setting_count)
        return INGOT_OK;
    struct igt_table *table =
        igt_table_create(setting_columns, sizeof setting_columns / sizeof *setting_columns);
    for (size_t i = 0; i < all->setting_count; i++) {
        igt_table_row(table);
        igt_table_text(table, ingot_bytes_of(all->settings[i].name));
        igt_table_text(table, ingot_bytes_of(all->settings[i].value));
    }
    putchar('\n');
    enum ingot_status status = igt_table_print(table, err);
    igt_table_destroy(table);
    return status;
}

/* What was not told is "-". */
static void add_text(struct igt_table *table, struct ingot_bytes text)
{
    igt_table_text(table, text.len ? text : ingot_bytes_of("-"));
}

static void add_number(struct igt_table *table, int64_t number)
{
    if (number < 0)
        igt_table_text(table, ingot_bytes_of("-"));
    else
        igt_table_number(table, (uint64_t)number);
}

static void add_name(struct igt_table *table, const struct process *process)
{
    char name[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&process->beat->process, name);
    igt_table_row(table);
    igt_table_text(table, (struct ingot_bytes){name, PROCESS_SHOWN});
}

static void add_process(struct igt_table *table, const struct process *process)
{
    struct igt_buffer age = {0};
    add_age(&age, process->age_us);
    igt_buffer_add_text(&age, " ago");
    add_name(table, process);
    add_text(table, process->texts[TEXT_ROLE]);
    igt_table_text(table, ingot_bytes_of(life_names[process->life]));
    igt_table_text(table, ingot_bytes_of(age.failed ? "?" : age.data));
    add_text(table, process->texts[TEXT_HOST]);
    add_number(table, process->numbers[NUMBER_PID]);
    add_text(table, process->texts[TEXT_ADDRESS]);
    add_text(table, process->texts[TEXT_VERSION]);
    igt_buffer_fini(&age);
}

static void add_work(struct igt_table *table, const struct process *process)
{
    add_name(table, process);
    igt_table_number(table, igt_lanes_count(process->beat->lanes));
    for (enum number i = NUMBER_READY; i <= NUMBER_OUTCOMES_LOST; i++)
        add_number(table, process->numbers[i]);
}

static enum ingot_status write_processes(const struct status *all, struct ingot_error *err)
{
    struct igt_table *processes =
        igt_table_create(process_columns, sizeof process_columns / sizeof *process_columns);
    struct igt_table *work =
        igt_table_create(work_columns, sizeof work_columns / sizeof *work_columns);
    enum ingot_status status = INGOT_OK;
    size_t workers = 0;
    for (size_t i = 0; i < all->beats.count; i++) {
        add_process(processes, &all->processes[i]);
        if (!all->processes[i].beat->lanes)
            continue;
        add_work(work, &all->processes[i]);
        workers++;
    }
    if (all->beats.count) {
        putchar('\n');
        status = igt_table_print(processes, err);
    }
    if (!status && workers) {
        putchar('\n');
        status = igt_table_print(work, err);
    }
    igt_table_destroy(processes);
    igt_table_destroy(work);
    return status;
}

static enum ingot_status write_tables(const struct status *all, struct ingot_error *err)
{
    enum ingot_status status = write_head(all, err);
    if (!status)
        status = write_processes(all, err);
    return status ? status : write_settings(all, err);
}

/* ---- JSON --------------------------------------------------------------- */

static void encode_holder(struct igt_buffer *line, const struct status *all)
{
    igt_buffer_add_text(line, ",\"holder\":");
    if (all->holding != HELD_BY_ONE) {
        igt_buffer_add_text(line, "null");
        return;
    }
    igt_buffer_add_format(line, "{\"pid\":%d,\"address\":", all->holder.pid);
    igt_buffer_add_json_string(line, ingot_bytes_of(all->holder.address));
    igt_buffer_add_text(line, "}");
}

static void encode_settings(struct igt_buffer *line, const struct status *all)
{
    igt_buffer_add_text(line, ",\"settings\":{");
    for (size_t i = 0; i < all->setting_count; i++) {
        igt_buffer_add_text(line, i ? "," : "");
        igt_buffer_add_json_string(line, ingot_bytes_of(all->settings[i].name));
        igt_buffer_add_text(line, ":");
        igt_buffer_add_json_string(line, ingot_bytes_of(all->settings[i].value));
    }
    igt_buffer_add_text(line, "}");
}

static void encode_process(struct igt_buffer *line, const struct process *process)
{
    const struct ingot_lanes none = {{0}};
    igt_buffer_add_text(line, "{\"process\":");
    igt_buffer_add_json_ksuid(line, &process->beat->process);
    igt_buffer_add_format(
        line, ",\"state\":\"%s\",\"seen_ms_ago\":%lld,\"heartbeats\":%u,\"lanes\":%u,\"about\":",
        life_names[process->life], (long long)(process->age_us / 1000), process->beat->n,
        igt_lanes_count(process->beat->lanes ? process->beat->lanes : &none));
    if (process->about.data)
        igt_buffer_add(line, process->about.data, process->about.len);
    else
        igt_buffer_add_text(line, "null");
    igt_buffer_add_text(line, "}");
}

static void encode_processes(struct igt_buffer *line, const struct status *all)
{
    const char *between = "";
    if (!all->beat_page) {
        igt_buffer_add_text(line, ",\"processes\":null,\"idle_lanes\":null");
        return;
    }
    igt_buffer_add_text(line, ",\"processes\":[");
    for (size_t i = 0; i < all->beats.count; i++) {
        igt_buffer_add_text(line, i ? "," : "");
        encode_process(line, &all->processes[i]);
    }
    igt_buffer_add_text(line, "],\"idle_lanes\":[");
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++) {
        if (igt_lanes_has(&all->worked, lane))
            continue;
        igt_buffer_add_format(line, "%s%u", between, lane);
        between = ",";
    }
    igt_buffer_add_text(line, "]");
}

static void encode_checkpoints(struct igt_buffer *line, const struct status *all)
{
    const struct checkpoint_sum sum = sum_up(all);
    igt_buffer_add_text(line, ",\"checkpoints\":");
    if (!all->checkpoint_page) {
        igt_buffer_add_text(line, "null");
        return;
    }
    igt_buffer_add_format(line,
                          "{\"lanes\":%zu,\"bytes\":%llu,\"newest_at\":", all->checkpoint_count,
                          (unsigned long long)sum.bytes);
    igt_buffer_add_json_time(line, sum.newest_us);
    igt_buffer_add_text(line, ",\"oldest_at\":");
    igt_buffer_add_json_time(line, sum.oldest_us);
    igt_buffer_add_text(line, "}");
}

static enum ingot_status write_json(const struct status *all, struct ingot_error *err)
{
    struct igt_buffer line = {0};
    igt_buffer_add_text(&line, "{\"store\":");
    igt_buffer_add_json_string(&line, ingot_bytes_of(all->adapter));
    igt_buffer_add_text(&line, ",\"migrations\":");
    igt_cli_encode_migrations(&line, all->migrations, all->migration_count);
    encode_holder(&line, all);
    encode_settings(&line, all);
    encode_processes(&line, all);
    encode_checkpoints(&line, all);
    igt_buffer_add_text(&line, "}");
    enum ingot_status status = igt_cli_write_json_line(&line, err);
    igt_buffer_fini(&line);
    return status;
}

/* ---- the verb ----------------------------------------------------------- */

/*
 * What is known of the schema is shown also where the store itself refuses to
 * be opened, because of its schema or of a restore.
 */
static int show(struct status *all, const struct igt_cli *cli, const struct ingot_options *options)
{
    struct igt_cli_reader reader;
    struct ingot_error err = {0}, write_err = {0};
    enum ingot_status status = read_schema(all, cli, *options, &err);
    if (status)
        return igt_cli_fail(&err);
    int code = igt_cli_open(cli, NULL, &reader);
    if (!code) {
        status = read_store(all, &reader, &err);
        igt_cli_close(&reader);
        code = status ? igt_cli_fail(&err) : IGT_EXIT_DONE;
    }
    if (code >= 128)
        return code;
    status =
        all->form == IGT_FORM_JSON ? write_json(all, &write_err) : write_tables(all, &write_err);
    return status ? igt_cli_fail(&write_err) : code;
}

int igt_verb_status(const struct igt_cli *cli, int argc, char **argv)
{
    static const struct option none[] = {{0}};
    struct ingot_options options;
    struct ingot_error err = {0};
    if (getopt_long(argc, argv, "", none, NULL) != -1 || optind < argc)
        return igt_cli_usage("status");
    if (ingot_options_from_url(cli->store_url, &options, &err) != INGOT_OK) {
        igt_cli_print_error(&err);
        return IGT_EXIT_USAGE;
    }
    options.mode = INGOT_MODE_READ;
    struct status *all = calloc(1, sizeof *all);
    int code = IGT_EXIT_STORE;
    if (all)
        all->arena = igt_arena_create();
    if (all && all->arena) {
        all->form = cli->form;
        code = show(all, cli, &options);
        ingot_page_destroy(all->setting_page);
        ingot_page_destroy(all->beat_page);
        ingot_page_destroy(all->checkpoint_page);
        igt_arena_destroy(all->arena);
    } else {
        igt_cli_complain("memory ran out");
    }
    free(all);
    return code;
}
