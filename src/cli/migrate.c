/*
 * ingot migrate: which migrations ran in a store, running those that did not,
 * taking back the newest; and accepting a store that was restored.
 */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct igt_column columns[] = {
    {"VERSION", IGT_ALIGN_RIGHT},
    {"NAME", IGT_ALIGN_LEFT},
    {"STATE", IGT_ALIGN_LEFT},
    {"SINCE", IGT_ALIGN_LEFT},
};

static const char *const state_names[] = {
    [INGOT_MIGRATION_PENDING] = "pending",
    [INGOT_MIGRATION_APPLIED] = "applied",
    [INGOT_MIGRATION_ALTERED] = "altered",
    [INGOT_MIGRATION_AHEAD] = "ahead",
};

enum action { ACTION_UP, ACTION_STATUS, ACTION_DOWN, ACTION_ACCEPT_RESTORE };

static const char *const words[] = {"up", "status", "down", "accept-restore"};

/* A store whose schema is looked after, and its migrations. */
struct schema {
    enum igt_form form;
    struct ingot_store *store;
    struct ingot_migration migrations[INGOT_MIGRATIONS_MAX];
    size_t count;
};

static enum ingot_status write_table(const struct schema *schema, struct ingot_error *err)
{
    struct igt_table *table = igt_table_create(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < schema->count; i++) {
        const struct ingot_migration *migration = &schema->migrations[i];
        igt_table_row(table);
        igt_table_number(table, migration->version);
        igt_table_text(table, ingot_bytes_of(migration->name));
        igt_table_text(table, ingot_bytes_of(state_names[migration->state]));
        igt_table_time(table, migration->applied_us);
    }
    enum ingot_status status = igt_table_print(table, err);
    igt_table_destroy(table);
    return status;
}

void igt_cli_encode_migrations(struct igt_buffer *line, const struct ingot_migration *migrations,
                               size_t count)
{
    igt_buffer_add_text(line, "[");
    for (size_t i = 0; i < count; i++) {
        const struct ingot_migration *migration = &migrations[i];
        igt_buffer_add_format(line, "%s{\"version\":%llu,\"name\":", i ? "," : "",
                              (unsigned long long)migration->version);
        igt_buffer_add_json_string(line, ingot_bytes_of(migration->name));
        igt_buffer_add_format(line,
                              ",\"state\":\"%s\",\"applied_at\":", state_names[migration->state]);
        igt_buffer_add_json_time(line, migration->applied_us);
        igt_buffer_add_text(line, "}");
    }
    igt_buffer_add_text(line, "]");
}

static enum ingot_status write_json(const struct schema *schema, struct ingot_error *err)
{
    struct igt_buffer line = {0};
    igt_buffer_add_text(&line, "{\"migrations\":");
    igt_cli_encode_migrations(&line, schema->migrations, schema->count);
    igt_buffer_add_text(&line, "}");
    enum ingot_status status = igt_cli_write_json_line(&line, err);
    igt_buffer_fini(&line);
    return status;
}

static enum ingot_status read_migrations(struct schema *schema, struct ingot_error *err)
{
    return ingot_store_migrations(schema->store, NULL, schema->migrations, &schema->count, err);
}

static enum ingot_status run_one(struct schema *schema, const struct ingot_migration *migration,
                                 enum ingot_direction direction, struct ingot_error *err)
{
    enum ingot_status status = ingot_store_migrate(schema->store, NULL, migration, direction, err);
    if (!status && schema->form == IGT_FORM_TABLE)
        printf("%s %llu %s\n", direction == INGOT_UP ? "applied" : "taken back:",
               (unsigned long long)migration->version, migration->name);
    return status;
}

/* Runs all that did not run; one that is altered or ahead is refused by the store, with the reason. */
static enum ingot_status go_up(struct schema *schema, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    size_t ran = 0;
    for (size_t i = 0; i < schema->count && !status; i++) {
        if (schema->migrations[i].state == INGOT_MIGRATION_APPLIED)
            continue;
        status = run_one(schema, &schema->migrations[i], INGOT_UP, err);
        ran++;
    }
    if (!ran && schema->form == IGT_FORM_TABLE)
        printf("nothing to do: %zu migrations have run\n", schema->count);
    return status;
}

static enum ingot_status go_down(struct schema *schema, struct ingot_error *err)
{
    for (size_t i = schema->count; i-- > 0;)
        if (schema->migrations[i].state != INGOT_MIGRATION_PENDING)
            return run_one(schema, &schema->migrations[i], INGOT_DOWN, err);
    if (schema->form == IGT_FORM_TABLE)
        printf("nothing to do: no migration has run\n");
    return INGOT_OK;
}

/* A store that was restored refuses to be opened, and so does one of another schema. */
static enum ingot_status try_store(struct ingot_options options, struct ingot_error *err)
{
    struct ingot_store *store = NULL;
    options.mode = INGOT_MODE_READ;
    enum ingot_status status = ingot_store_open(&options, NULL, &store, err);
    ingot_store_close(store);
    return status;
}

/* Whether the store is there, and every migration has run as it is known here. */
static int is_current(struct schema *schema, struct ingot_options options)
{
    options.mode = INGOT_MODE_READ;
    enum ingot_status status = ingot_store_open_for_migration(&options, NULL, &schema->store, NULL);
    if (!status)
        status = read_migrations(schema, NULL);
    ingot_store_close(schema->store);
    schema->store = NULL;
    for (size_t i = 0; i < schema->count && !status; i++)
        if (schema->migrations[i].state != INGOT_MIGRATION_APPLIED)
            return 0;
    return !status;
}

/* What else keeps a store from being opened cannot be accepted: it is told. */
static enum ingot_status accept_restore(struct schema *schema, struct ingot_options options,
                                        struct ingot_error *err)
{
    enum ingot_status refused = try_store(options, err), status = INGOT_OK;
    if (refused && !is_current(schema, options))
        return refused;
    if (refused) {
        struct ingot_options writing = options;
        status = ingot_store_open_for_migration(&writing, NULL, &schema->store, err);
        if (!status)
            status = ingot_store_accept_restore(schema->store, NULL, err);
        if (!status)
            status = try_store(options, err);
    }
    if (!status && schema->form == IGT_FORM_JSON)
        printf("{\"accepted\":%s}\n", refused ? "true" : "false");
    else if (!status)
        puts(refused
                 ? "accepted: the store lives on here; who starts next reads the whole of it, once"
                 : "nothing to do: the store is not known to have been restored or copied");
    return status;
}

static enum ingot_status act(struct schema *schema, enum action action, struct ingot_error *err)
{
    enum ingot_status status = read_migrations(schema, err);
    if (!status && action == ACTION_STATUS && schema->form == IGT_FORM_TABLE)
        return write_table(schema, err);
    if (!status && action != ACTION_STATUS)
        status = action == ACTION_UP ? go_up(schema, err) : go_down(schema, err);
    if (schema->form == IGT_FORM_TABLE)
        return status;
    if (!status)
        status = read_migrations(schema, err);
    return status ? status : write_json(schema, err);
}

static int run(const struct igt_cli *cli, enum action action)
{
    struct ingot_options options;
    struct ingot_error err = {0};
    if (ingot_options_from_url(cli->store_url, &options, &err) != INGOT_OK) {
        igt_cli_print_error(&err);
        return IGT_EXIT_USAGE;
    }
    struct schema *schema = calloc(1, sizeof *schema);
    if (!schema) {
        igt_cli_complain("memory ran out");
        return IGT_EXIT_STORE;
    }
    schema->form = cli->form;
    options.mode = action == ACTION_STATUS ? INGOT_MODE_READ : INGOT_MODE_WRITE;
    enum ingot_status status;
    if (action == ACTION_ACCEPT_RESTORE) {
        status = accept_restore(schema, options, &err);
    } else {
        status = ingot_store_open_for_migration(&options, NULL, &schema->store, &err);
        if (!status)
            status = act(schema, action, &err);
    }
    ingot_store_close(schema->store);
    free(schema);
    return status ? igt_cli_fail(&err) : IGT_EXIT_DONE;
}

int igt_verb_migrate(const struct igt_cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"yes", no_argument, NULL, 'y'}, {0}};
    enum action action = ACTION_UP;
    int option, sure = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'y')
            return igt_cli_usage("migrate");
        sure = 1;
    }
    if (optind < argc) {
        while (action <= ACTION_ACCEPT_RESTORE && strcmp(words[action], argv[optind]) != 0)
            action++;
        if (action > ACTION_ACCEPT_RESTORE || optind + 1 < argc)
            return igt_cli_usage("migrate");
    }
    if (action == ACTION_DOWN && !sure) {
        igt_cli_complain("migrate: down drops tables with all that is in them; if that is what you "
                         "want, say down --yes");
        return IGT_EXIT_USAGE;
    }
    return run(cli, action);
}
