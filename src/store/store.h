/* What the files of the store share: the handle, its lock, its toolkit. */
#ifndef INGOT_STORE_STORE_H
#define INGOT_STORE_STORE_H

#include <ingot/adapter.h>

#include <pthread.h>

struct ingot_store {
    const struct ingot_adapter *adapter;
    void *handle;
    struct ingot_options options; /* in force; the connections are copies that are freed */
    char *connection, *wake_connection;
    struct ingot_toolkit toolkit;      /* the default of calls that bring none */
    struct igt_candidates *candidates; /* of the last find of live jobs, or NULL */
    pthread_mutex_t lock; /* serialises the calls on the handle, and guards the candidates */
};

/* Finds an adapter by name, built in or in options->adapter_dir; NULL if there is none. */
const struct ingot_adapter *igt_registry_find(const struct ingot_options *options);

/*
 * What a call lends to the adapter: the given toolkit, else the store's, with
 * the system's means where a callback is missing. Lives as long as both.
 */
struct ingot_toolkit igt_toolkit_for(const struct ingot_store *store,
                                     const struct ingot_toolkit *given);

/*
 * Checks the schema against the adapter's migrations: a new store is migrated,
 * an old, altered or newer one is refused. For a store whose adapter was opened.
 */
enum ingot_status igt_wanderer_check(struct ingot_store *store, struct ingot_error *err);

/* A page of the adapter's find, in one transaction. */
enum ingot_status igt_find_page(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page **ret_page,
                                struct ingot_error *err);

/* Sorts ids and keeps each once; returns how many those are. */
size_t igt_ids_arrange(ingot_ksuid *ids, size_t count);

#endif
