/*
 * What a scheduler's start and `ingot status` read beside the jobs: the lists
 * of what is live, and the settings on which the store's promise rests.
 */
#include "sqlite.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Of the WAL file: a header, and another before each page. */
#define WAL_HEADER_BYTES 32
#define WAL_FRAME_HEADER_BYTES 24

/* ---- checkpoints -------------------------------------------------------- */

/* Puts the parts of a body together; the row that named the checkpoint told its length. */
static enum ingot_status read_parts(struct sqlite_store *store, struct ingot_checkpoint *checkpoint,
                                    char *body, struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_CHECKPOINT_PARTS];
    enum ingot_status status = INGOT_OK;
    size_t at = 0;
    int code;
    sqlite3_bind_int64(row, 1, checkpoint->taken_us);
    sqlite3_bind_int64(row, 2, checkpoint->lane);
    while (!status && (code = sqlite3_step(row)) == SQLITE_ROW) {
        struct ingot_bytes part = sqlite_get_bytes(row, 0);
        if (!part.data || part.len > checkpoint->body.len - at) {
            status = ingot_error_set(err, INGOT_CORRUPT,
                                     "store/sqlite: %s holds a checkpoint that cannot be read",
                                     store->path);
        } else {
            memcpy(body + at, part.data, part.len);
            at += part.len;
        }
    }
    if (!status && code != SQLITE_DONE)
        status = sqlite_failure(store, err, "could not read a checkpoint of");
    sqlite3_reset(row);
    return status;
}

/* The newest complete checkpoint of a lane, put behind the others if there is one. */
static enum ingot_status read_checkpoint(struct sqlite_store *store, uint32_t lane,
                                         int64_t before_us, struct ingot_page *page,
                                         struct ingot_checkpoint *checkpoints, size_t *count,
                                         struct ingot_error *err)
{
    sqlite3_stmt *row = store->statements[S_NEWEST_CHECKPOINT];
    struct ingot_checkpoint *checkpoint = &checkpoints[*count];
    enum ingot_status status = INGOT_OK;
    char *body = NULL;
    sqlite3_bind_int64(row, 1, lane);
    sqlite3_bind_int64(row, 2, before_us);
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) {
        size_t len = (size_t)sqlite3_column_int64(row, 2);
        body = ingot_page_alloc(page, len + 1);
        *checkpoint = (struct ingot_checkpoint){
            .taken_us = sqlite3_column_int64(row, 0),
            .lane = lane,
            .cursor = ingot_page_copy(page, sqlite_get_bytes(row, 1)),
            .body = {body, len},
        };
        if (!body || !checkpoint->cursor.data)
            status = sqlite_no_memory(err);
    } else if (code != SQLITE_DONE) {
        status = sqlite_failure(store, err, "could not read a checkpoint of");
    }
    sqlite3_reset(row);
    if (status || !body)
        return status;
    (*count)++;
    return read_parts(store, checkpoint, body, err);
}

enum ingot_status sqlite_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_lanes *lanes, int64_t before_us,
                                     struct ingot_page *page,
                                     struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                     struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    size_t count = 0;
    struct ingot_checkpoint *checkpoints =
        ingot_page_alloc(page, INGOT_LANES * sizeof *checkpoints);
    if (!checkpoints)
        return sqlite_no_memory(err);
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    for (uint32_t lane = 0; lane < INGOT_LANES && !status; lane++)
        if (lanes->bits[lane / 8] & 1u << lane % 8)
            status = read_checkpoint(store, lane, before_us, page, checkpoints, &count, err);
    status = sqlite_read_end(store, status);
    if (status)
        return status;
    *ret_checkpoints = checkpoints;
    *ret_count = count;
    return INGOT_OK;
}

/* ---- settings ----------------------------------------------------------- */

static int add_setting(struct ingot_page *page, struct ingot_setting *settings, size_t *count,
                       const char *name, struct ingot_bytes value)
{
    struct ingot_bytes copy = ingot_page_copy(page, value);
    settings[(*count)++] = (struct ingot_setting){name, copy.data};
    return copy.data != NULL;
}

/* How many pages the WAL file has room for: it is used again from its beginning, not cut. */
static long long wal_pages(const struct sqlite_store *store, int page_size)
{
    char path[sizeof store->path + 8];
    struct stat file;
    snprintf(path, sizeof path, "%s-wal", store->path);
    if (stat(path, &file) != 0 || file.st_size < WAL_HEADER_BYTES)
        return 0;
    return (file.st_size - WAL_HEADER_BYTES) / (page_size + WAL_FRAME_HEADER_BYTES);
}

static const char *wal_reset_bug(void)
{
    int version = sqlite3_libversion_number();
    return version >= 3007000 && version <= 3051002
               ? "in this version, harmless: one connection commits and checkpoints"
               : "not in this version";
}

enum ingot_status sqlite_settings(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_setting **ret_settings,
                                  size_t *ret_count, struct ingot_error *err)
{
    struct sqlite_store *store = handle;
    sqlite3_stmt *row = store->statements[S_SETTINGS];
    struct ingot_setting *settings = ingot_page_alloc(page, 7 * sizeof *settings);
    char number[24];
    size_t count = 0;
    int good = settings != NULL;
    enum ingot_status status = sqlite_read_begin(store, toolkit, err);
    if (status)
        return status;
    if (sqlite3_step(row) == SQLITE_ROW) {
        snprintf(number, sizeof number, "%lld", wal_pages(store, sqlite3_column_int(row, 2)));
        const struct ingot_setting all[] = {
            {"sqlite_version", sqlite3_libversion()},
            {"path", store->path},
            {"journal_mode", (const char *)sqlite3_column_text(row, 0)},
            {"synchronous", (const char *)sqlite3_column_text(row, 1)},
            {"page_size", (const char *)sqlite3_column_text(row, 2)},
            {"wal_pages", number},
            {"wal_reset_bug", wal_reset_bug()},
        };
        for (size_t i = 0; i < sizeof all / sizeof all[0] && good; i++)
            good = add_setting(page, settings, &count, all[i].name, ingot_bytes_of(all[i].value));
        if (!good)
            status = sqlite_no_memory(err);
    } else {
        status = sqlite_failure(store, err, "could not read the settings of");
    }
    sqlite3_reset(row);
    status = sqlite_read_end(store, status);
    if (status)
        return status;
    *ret_settings = settings;
    *ret_count = count;
    return INGOT_OK;
}
