/*
 * The wanderer, keeper of migrations (SEED rows 55, 56, 84): what the program
 * carries, held against the ledger in the store, which is insert-only like all
 * else. A migration that ran is never altered.
 */
#include "store.h"

#include "core/toolkit.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_ROWS_MAX 1024

/* 0 when memory ran out. */
static int hash(const char *text, char hexadecimal[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL) || len != 32)
        return 0;
    for (unsigned i = 0; i < len; i++)
        snprintf(hexadecimal + (size_t)2 * i, 3, "%02x", digest[i]);
    return 1;
}

/* The migrations that the program carries; 0 when memory ran out. */
static int carried(const struct ingot_store *store, struct ingot_migration *migrations,
                   size_t *ret_count)
{
    size_t count = 0;
    const struct ingot_adapter_migration *all =
        store->adapter->migrations ? store->adapter->migrations(&count) : NULL;
    for (size_t i = 0; i < count; i++) {
        migrations[i] = (struct ingot_migration){
            .version = all[i].version,
            .up = all[i].up,
            .down = all[i].down,
            .state = INGOT_MIGRATION_PENDING,
            .applied_us = INGOT_NO_TIME,
        };
        snprintf(migrations[i].name, sizeof migrations[i].name, "%s", all[i].name);
        if (!hash(all[i].up, migrations[i].up_sha256) ||
            !hash(all[i].down, migrations[i].down_sha256))
            return 0;
    }
    *ret_count = count;
    return 1;
}

/* Applies one row of the ledger to the list; a version that is not there is ahead of the program. */
static void replay(const struct ingot_ledger_row *row, struct ingot_migration *migrations,
                   size_t *count)
{
    size_t i = 0;
    while (i < *count && migrations[i].version != row->version)
        i++;
    if (i == *count) {
        if (*count == INGOT_MIGRATIONS_MAX)
            return;
        migrations[i] = (struct ingot_migration){.version = row->version};
        snprintf(migrations[i].name, sizeof migrations[i].name, "%s", row->name);
        (*count)++;
    }
    struct ingot_migration *migration = &migrations[i];
    int up = row->direction == INGOT_UP;
    migration->applied_us = up ? row->created_us : INGOT_NO_TIME;
    if (!up)
        migration->state = INGOT_MIGRATION_PENDING;
    else if (!migration->up)
        migration->state = INGOT_MIGRATION_AHEAD;
    else
        migration->state = strcmp(row->up_sha256, migration->up_sha256) == 0
                               ? INGOT_MIGRATION_APPLIED
                               : INGOT_MIGRATION_ALTERED;
}

static int by_version(const void *left, const void *right)
{
    const struct ingot_migration *a = left, *b = right;
    return (a->version > b->version) - (a->version < b->version);
}

enum ingot_status ingot_store_migrations(struct ingot_store *store,
                                         const struct ingot_toolkit *toolkit,
                                         struct ingot_migration *ret_migrations, size_t *ret_count,
                                         struct ingot_error *err)
{
    (void)toolkit;
    ingot_error_clear(err);
    size_t count = 0, rows = LEDGER_ROWS_MAX, kept = 0;
    struct ingot_ledger_row *ledger = calloc(rows, sizeof *ledger);
    if (!ledger || !carried(store, ret_migrations, &count)) {
        free(ledger);
        return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    }
    enum ingot_status status = INGOT_OK;
    if (store->adapter->ledger) {
        pthread_mutex_lock(&store->lock);
        status = store->adapter->ledger(store->handle, ledger, &rows, err);
        pthread_mutex_unlock(&store->lock);
    } else {
        rows = 0;
    }
    for (size_t i = 0; i < rows && !status; i++)
        replay(&ledger[i], ret_migrations, &count);
    free(ledger);
    if (status)
        return status;
    /* A migration of another program that was taken back concerns nobody. */
    for (size_t i = 0; i < count; i++)
        if (ret_migrations[i].up || ret_migrations[i].state == INGOT_MIGRATION_AHEAD)
            ret_migrations[kept++] = ret_migrations[i];
    qsort(ret_migrations, kept, sizeof *ret_migrations, by_version);
    *ret_count = kept;
    return INGOT_OK;
}

static enum ingot_status refuse(struct ingot_store *store, const struct ingot_migration *migration,
                                const char *what, struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_INVALID, "store/%s: migration %llu (%s) %s",
                           store->adapter->name, (unsigned long long)migration->version,
                           migration->name, what);
}

enum ingot_status ingot_store_migrate(struct ingot_store *store,
                                      const struct ingot_toolkit *toolkit,
                                      const struct ingot_migration *migration,
                                      enum ingot_direction direction, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    size_t count = 0, i = 0;
    enum ingot_status status = ingot_store_migrations(store, toolkit, all, &count, err);
    if (status)
        return status;
    while (i < count && all[i].version != migration->version)
        i++;
    if (i == count || !all[i].up || !store->adapter->migrate)
        return refuse(store, migration, "is not known to this program", err);
    if (all[i].state == INGOT_MIGRATION_ALTERED)
        return refuse(store, migration, "was altered after it ran; use the program that ran it",
                      err);
    if ((all[i].state == INGOT_MIGRATION_APPLIED) == (direction == INGOT_UP))
        return refuse(store, migration, direction == INGOT_UP ? "has run already" : "has not run",
                      err);
    struct ingot_ledger_row row = {.version = migration->version, .direction = direction};
    struct ingot_adapter_migration text = {all[i].version, all[i].name, all[i].up, all[i].down};
    snprintf(row.name, sizeof row.name, "%s", all[i].name);
    snprintf(row.up_sha256, sizeof row.up_sha256, "%s", all[i].up_sha256);
    row.created_us = igt_now_us(&full);
    pthread_mutex_lock(&store->lock);
    status = store->adapter->migrate(store->handle, &full, &text, &row, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ingot_status igt_wanderer_check(struct ingot_store *store, struct ingot_error *err)
{
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    size_t count = 0, pending = 0;
    enum ingot_status status = ingot_store_migrations(store, NULL, all, &count, err);
    if (status)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (all[i].state == INGOT_MIGRATION_AHEAD)
            return refuse(store, &all[i],
                          "was made by a newer Ingot; this one cannot read the store, use the "
                          "newer one",
                          err);
        if (all[i].state == INGOT_MIGRATION_ALTERED)
            return refuse(store, &all[i], "is not the text that ran in this store", err);
        pending += all[i].state == INGOT_MIGRATION_PENDING;
    }
    if (pending == 0)
        return INGOT_OK;
    if (pending < count || store->options.mode == INGOT_MODE_READ)
        return ingot_error_set(err, INGOT_INVALID,
                               "store/%s: %zu migrations have not run in this store; run `ingot "
                               "migrate`",
                               store->adapter->name, pending);
    for (size_t i = 0; i < count && !status; i++)
        status = ingot_store_migrate(store, NULL, &all[i], INGOT_UP, err);
    return status;
}
