/*
 * Options, adapters and opening (SEED sections 1 and 4).
 * usage: test_loading FOLDER, which holds ingot-wrapped.so
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct ingot_adapter ingot_adapter_memory;

static const char *adapter_dir;

/* Expects opening to fail with a message, and one validation. */
static void expect_error(struct ingot_options *options, const char *message, const char *path,
                         const char *complaint)
{
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    assert_int_equal(ingot_store_open(options, NULL, &store, &err), INGOT_INVALID);
    assert_null(store);
    assert_int_equal(err.status, INGOT_INVALID);
    assert_string_equal(err.message, message);
    assert_validation(&err, path, complaint);
}

static struct ingot_store *open_store(struct ingot_options *options)
{
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    if (ingot_store_open(options, NULL, &store, &err) != INGOT_OK)
        fail_msg("%s", err.message);
    return store;
}

static void row_10_the_adapters_can_be_listed(void **state)
{
    (void)state;
    const char *const *names = ingot_available_adapters();
    assert_string_equal(names[0], "sqlite");
    assert_string_equal(names[1], "memory");
    assert_string_equal(names[2], "postgres");
    assert_null(names[3]);
}

static void row_11_no_options_at_all_are_the_error_of_row_43(void **state)
{
    (void)state;
    expect_error(NULL, "store: Failed to load adapter", "Options/Store",
                 "One of 'From' or 'Load' must be set");
}

static void row_12_the_interface_is_called_store(void **state)
{
    (void)state;
    assert_string_equal(INGOT_INTERFACE_STORE, "store");
}

static void row_39_options_carry_their_size(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    options.from = "memory";
    options.size = 0;
    expect_error(&options, "store: Failed to load adapter", "Options/Store/Size",
                 "must be sizeof(struct ingot_options)");
    options.size = sizeof options;
    ingot_store_close(open_store(&options));
}

static void row_40_an_adapter_is_chosen_by_its_name(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    options.from = "memory";
    struct ingot_store *store = open_store(&options);
    assert_string_equal(ingot_store_name(store), "memory");
    ingot_store_close(store);
}

static void rows_1_and_40_an_adapter_is_loaded_from_the_operators_folder(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_page *page = NULL;
    options.from = "wrapped";
    expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                 "Adapter not supported");
    options.adapter_dir = adapter_dir;
    struct ingot_store *store = open_store(&options);
    assert_string_equal(ingot_store_name(store), "wrapped");
    assert_int_equal(ingot_store_find(store, NULL, NULL, &page, NULL), INGOT_OK);
    ingot_page_destroy(page);
    ingot_store_close(store);
}

static void row_40_nothing_is_loaded_from_outside_the_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"../wrapped", "./wrapped", "", "Wrapped", "none", "/tmp/x"};
    struct ingot_options options = INGOT_OPTIONS_INIT;
    options.adapter_dir = adapter_dir;
    for (size_t i = 0; i < COUNT(names); i++) {
        options.from = names[i];
        expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                     "Adapter not supported");
    }
    options.from = "wrapped";
    options.adapter_dir = "relative";
    expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                 "Adapter not supported");
}

static void row_41_load_wins_over_from_and_is_cleared(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    mine.name = "mine";
    options.from = "unheard of";
    options.load = &mine;
    struct ingot_store *store = open_store(&options);
    assert_string_equal(ingot_store_name(store), "mine");
    assert_null(options.load);
    assert_null(ingot_store_options(store)->load);
    ingot_store_close(store);
}

static void row_42_an_unknown_adapter_is_the_error_of_the_specification(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    options.from = "oracle";
    expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                 "Adapter not supported");
}

static void row_42_an_adapter_of_another_time_is_not_supported(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    mine.abi++;
    options.load = &mine;
    expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                 "Adapter not supported");
    mine = ingot_adapter_memory;
    mine.size -= (uint32_t)sizeof(void *);
    options.load = &mine;
    expect_error(&options, "store: Failed to load adapter", "Options/Store/From",
                 "Adapter not supported");
}

static void row_43_one_of_from_or_load_must_be_set(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    expect_error(&options, "store: Failed to load adapter", "Options/Store",
                 "One of 'From' or 'Load' must be set");
}

static struct ingot_options *no_options(struct ingot_options *given)
{
    (void)given;
    return NULL;
}

static void row_44_an_adapter_has_a_name_and_options(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    mine.name = "";
    options.load = &mine;
    expect_error(&options, "store: Failed to load adapter", "Store/unknown/String()",
                 "Store ID must not be empty");
    mine.name = NULL;
    options.load = &mine;
    expect_error(&options, "store: Failed to load adapter", "Store/unknown/String()",
                 "Store ID must not be empty");
    mine.name = "mine";
    mine.options = no_options;
    options.load = &mine;
    expect_error(&options, "store/mine: Failed to load adapter", "Store/mine/Options()",
                 "Store options must not be nil");
}

static void rows_9_and_47_all_problems_are_collected_in_one_error(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    mine.name = "";
    mine.options = no_options;
    options.load = &mine;
    assert_int_equal(ingot_store_open(&options, NULL, &store, &err), INGOT_INVALID);
    assert_int_equal(err.validation_count, 2);
    assert_string_equal(err.validations[0].path, "Store/unknown/String()");
    assert_string_equal(err.validations[1].path, "Store/unknown/Options()");
    assert_null(store);
}

static void *seen_context;

static enum ingot_status open_seeing(void *handle, const struct ingot_options *options,
                                     const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    seen_context = options->context;
    return ingot_adapter_memory.open(handle, options, toolkit, err);
}

static struct ingot_options *options_with_connection(struct ingot_options *given)
{
    given->connection = "chosen by the adapter";
    return given;
}

static void row_45_the_context_reaches_the_adapter(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    int mark;
    mine.open = open_seeing;
    options.load = &mine;
    options.context = &mark;
    ingot_store_close(open_store(&options));
    assert_ptr_equal(seen_context, &mark);
}

static void row_50_the_adapter_has_the_last_word_on_the_options(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    mine.options = options_with_connection;
    options.load = &mine;
    options.connection = "given";
    struct ingot_store *store = open_store(&options);
    assert_string_equal(ingot_store_options(store)->connection, "chosen by the adapter");
    ingot_store_close(store);
}

static enum ingot_status open_failing(void *handle, const struct ingot_options *options,
                                      const struct ingot_toolkit *toolkit, struct ingot_error *err)
{
    (void)handle, (void)options, (void)toolkit;
    return ingot_error_set(err, INGOT_IO, "store/mine: no answer");
}

static void row_46_a_connection_is_in_no_error_of_the_store(void **state)
{
    (void)state;
    struct ingot_adapter mine = ingot_adapter_memory;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_store *store = NULL;
    struct ingot_error err = {0};
    char text[4096];
    mine.open = open_failing;
    mine.name = "mine";
    options.load = &mine;
    options.connection = "user:hush@host";
    assert_int_equal(ingot_store_open(&options, NULL, &store, &err), INGOT_IO);
    ingot_error_json(&err, text, sizeof text);
    assert_null(strstr(text, "hush"));
    assert_int_equal(ingot_options_from_url("mysql://user:hush@host/db", &options, &err),
                     INGOT_INVALID);
    ingot_error_json(&err, text, sizeof text);
    assert_null(strstr(text, "hush"));
    assert_non_null(strstr(text, "mysql"));
}

static void a_url_names_adapter_and_connection(void **state)
{
    (void)state;
    struct ingot_options options;
    struct ingot_error err = {0};
    assert_int_equal(ingot_options_from_url("sqlite:/var/x.db", &options, &err), INGOT_OK);
    assert_string_equal(options.from, "sqlite");
    assert_string_equal(options.connection, "/var/x.db");
    assert_int_equal(options.size, sizeof options);
    assert_int_equal(ingot_options_from_url("memory:", &options, &err), INGOT_OK);
    assert_string_equal(options.from, "memory");
    static const char *const bad[] = {"", "sqlite", "sqlitex:y", ":", "/var/x.db", "http://x"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(ingot_options_from_url(bad[i], &options, &err), INGOT_INVALID);
        assert_non_null(strstr(err.message, "write sqlite:PATH, "));
    }
}

static void a_store_that_needs_no_process_is_held_by_none(void **state)
{
    (void)state;
    struct ingot_options options = INGOT_OPTIONS_INIT;
    struct ingot_holder holder;
    struct ingot_error err = {0};
    options.from = "memory";
    assert_int_equal(ingot_options_holder(&options, &holder, &err), INGOT_NOT_FOUND);
    assert_int_equal(ingot_options_holder(NULL, &holder, &err), INGOT_INVALID);
    ingot_store_close(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_10_the_adapters_can_be_listed),
        cmocka_unit_test(row_11_no_options_at_all_are_the_error_of_row_43),
        cmocka_unit_test(row_12_the_interface_is_called_store),
        cmocka_unit_test(row_39_options_carry_their_size),
        cmocka_unit_test(row_40_an_adapter_is_chosen_by_its_name),
        cmocka_unit_test(rows_1_and_40_an_adapter_is_loaded_from_the_operators_folder),
        cmocka_unit_test(row_40_nothing_is_loaded_from_outside_the_folder),
        cmocka_unit_test(row_41_load_wins_over_from_and_is_cleared),
        cmocka_unit_test(row_42_an_unknown_adapter_is_the_error_of_the_specification),
        cmocka_unit_test(row_42_an_adapter_of_another_time_is_not_supported),
        cmocka_unit_test(row_43_one_of_from_or_load_must_be_set),
        cmocka_unit_test(row_44_an_adapter_has_a_name_and_options),
        cmocka_unit_test(row_45_the_context_reaches_the_adapter),
        cmocka_unit_test(row_46_a_connection_is_in_no_error_of_the_store),
        cmocka_unit_test(rows_9_and_47_all_problems_are_collected_in_one_error),
        cmocka_unit_test(row_50_the_adapter_has_the_last_word_on_the_options),
        cmocka_unit_test(a_url_names_adapter_and_connection),
        cmocka_unit_test(a_store_that_needs_no_process_is_held_by_none),
    };
    if (argc != 2)
        return 2;
    adapter_dir = argv[1];
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("loading", tests, NULL, NULL);
}
