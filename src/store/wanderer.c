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

/* Runs migrations that may run, in one transaction. */
static enum ingot_status run(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                             const struct ingot_migration *migrations, size_t count,
                             enum ingot_direction direction, struct ingot_error *err)
{
    struct ingot_toolkit full = igt_toolkit_for(store, toolkit);
    struct ingot_adapter_migration texts[INGOT_MIGRATIONS_MAX];
    struct ingot_ledger_row rows[INGOT_MIGRATIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        const struct ingot_migration *from = &migrations[i];
        texts[i] =
            (struct ingot_adapter_migration){from->version, from->name, from->up, from->down};
        rows[i] = (struct ingot_ledger_row){
            .version = from->version, .direction = direction, .created_us = igt_now_us(&full)};
        snprintf(rows[i].name, sizeof rows[i].name, "%s", from->name);
        snprintf(rows[i].up_sha256, sizeof rows[i].up_sha256, "%s", from->up_sha256);
    }
    pthread_mutex_lock(&store->lock);
    enum ingot_status status =
        store->adapter->migrate(store->handle, &full, texts, rows, count, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum ingot_status ingot_store_migrate(struct ingot_store *store,
                                      const struct ingot_toolkit *toolkit,
                                      const struct ingot_migration *migration,
                                      enum ingot_direction direction, struct ingot_error *err)
{
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
    if (direction == INGOT_DOWN && i + 1 < count && all[i + 1].state == INGOT_MIGRATION_APPLIED)
        return refuse(store, migration, "has others behind it; take those back first", err);
    return run(store, toolkit, &all[i], 1, direction, err);
}

/* How many of the migrations have not run; a store that this program must not touch is refused. */
static enum ingot_status count_pending(struct ingot_store *store, struct ingot_migration *all,
                                       size_t *ret_count, size_t *ret_pending,
                                       struct ingot_error *err)
{
    enum ingot_status status = ingot_store_migrations(store, NULL, all, ret_count, err);
    *ret_pending = 0;
    for (size_t i = 0; !status && i < *ret_count; i++) {
        if (all[i].state == INGOT_MIGRATION_AHEAD)
            status = refuse(store, &all[i],
                            "was made by a newer Ingot; this one cannot read the store, use the "
                            "newer one",
                            err);
        if (all[i].state == INGOT_MIGRATION_ALTERED)
            status = refuse(store, &all[i], "is not the text that ran in this store", err);
        *ret_pending += all[i].state == INGOT_MIGRATION_PENDING;
    }
    return status;
}

enum ingot_status igt_wanderer_check(struct ingot_store *store, struct ingot_error *err)
{
    struct ingot_migration all[INGOT_MIGRATIONS_MAX];
    size_t count = 0, pending = 0;
    enum ingot_status status = count_pending(store, all, &count, &pending, err);
    if (status || pending == 0)
        return status;
    if (pending == count && store->options.mode == INGOT_MODE_WRITE) {
        status = run(store, NULL, all, count, INGOT_UP, err);
        if (status != INGOT_CONFLICT)
            return status;
        /* Somebody else was making the store at the same moment. */
        status = count_pending(store, all, &count, &pending, err);
        if (status || pending == 0)
            return status;
    }
    return ingot_error_set(err, INGOT_INVALID,
                           "store/%s: %zu migrations have not run in this store; run `ingot "
                           "migrate`",
                           store->adapter->name, pending);
}
