/*
 * What processes tell each other through the store besides its rows:
 * heartbeats, lists of what is live, and the settings on which the store's
 * promise rests.
 */
#include "postgres.h"

#include "postgres_sql.h"

#include <string.h>

/* Of bodies in one message, about. */
#define MESSAGE_BYTES (4u << 20)

/* 30 years: longer ago there was no Ingot. */
#define PAST_MAX_US (INT64_C(30) * 366 * 86400 * 1000000)

/* 9999-12-31: PostgreSQL knows of later times, but not of all that 64 bits can hold. */
#define INSTANT_MAX_US (INT64_C(253402214400) * 1000000)

/* ---- heartbeats --------------------------------------------------------- */

static enum ingot_status read_heartbeats(const PGresult *result, struct ingot_page *page,
                                         struct ingot_heartbeats *heartbeats,
                                         struct ingot_error *err)
{
    const int rows = PQntuples(result);
    heartbeats->newest = ingot_page_alloc(page, ((size_t)rows + 1) * sizeof *heartbeats->newest);
    if (!heartbeats->newest)
        return postgres_no_memory(err);
    heartbeats->count = 0;
    heartbeats->now_us = postgres_get_time(result, 0, 0);
    for (int i = 0; i < rows; i++) {
        struct ingot_heartbeat *heartbeat = &heartbeats->newest[heartbeats->count];
        const struct ingot_bytes lanes = ingot_page_copy(page, postgres_get_bytes(result, i, 3));
        if (PQgetisnull(result, i, 1)) /* there is none: only the time */
            continue;
        *heartbeat = (struct ingot_heartbeat){
            .created_us = postgres_get_time(result, i, 5),
            .process = postgres_get_ksuid(result, i, 1),
            .n = (uint32_t)postgres_get_int(result, i, 2),
            .lanes = lanes.len == sizeof(struct ingot_lanes) ? lanes.data : NULL,
            .about = ingot_page_copy(page, postgres_get_bytes(result, i, 4)),
        };
        if ((!lanes.data && !PQgetisnull(result, i, 3)) || !heartbeat->about.data)
            return postgres_no_memory(err);
        heartbeats->count++;
    }
    return INGOT_OK;
}

enum ingot_status postgres_heartbeat(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_heartbeat *heartbeat, int64_t past_us,
                                     struct ingot_page *page,
                                     struct ingot_heartbeats *ret_heartbeats,
                                     struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_parameters row = {0}, past = {0};
    struct postgres_statement statements[] = {{sql_durable, NULL, NULL},
                                              {sql_add_heartbeat, &row, NULL},
                                              {sql_end_blockers, &past, NULL},
                                              {sql_newest_heartbeats, &past, NULL}};
    const size_t first = heartbeat ? 0 : 3;
    if (heartbeat) {
        postgres_add_ksuid(&row, &heartbeat->process);
        postgres_add_int(&row, (int32_t)heartbeat->n);
        postgres_add_bytes(&row, heartbeat->lanes ? (struct ingot_bytes){heartbeat->lanes,
                                                                         sizeof *heartbeat->lanes}
                                                  : (struct ingot_bytes){NULL, 0});
        postgres_add_text(&row, heartbeat->about);
    }
    postgres_add_long(&past, past_us < PAST_MAX_US ? past_us : PAST_MAX_US);
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_run(store, statements + first, 4 - first,
                              heartbeat ? POSTGRES_COMMITS : POSTGRES_READS, err,
                              "could not store a heartbeat");
    if (!status)
        status = read_heartbeats(statements[3].result, page, ret_heartbeats, err);
    postgres_clear(statements, 4);
    postgres_parameters_fini(&row);
    postgres_parameters_fini(&past);
    return status;
}

/* ---- storing checkpoints ------------------------------------------------ */

/* Where one stands in the parts of all the bodies. */
struct place {
    size_t checkpoint, part;
};

static size_t parts_of(const struct ingot_checkpoint *checkpoint)
{
    size_t len = checkpoint->body.len;
    return len ? (len - 1) / INGOT_CHECKPOINT_PART_BYTES + 1 : 1;
}

/* The part at a place, which moves on. */
static struct ingot_bytes next_part(const struct ingot_checkpoint *checkpoints, struct place *place)
{
    const struct ingot_bytes body = checkpoints[place->checkpoint].body;
    const size_t at = place->part * INGOT_CHECKPOINT_PART_BYTES, left = body.len - at;
    if (++place->part == parts_of(&checkpoints[place->checkpoint]))
        *place = (struct place){place->checkpoint + 1, 0};
    return (struct ingot_bytes){body.len ? (const char *)body.data + at : "",
                                left < INGOT_CHECKPOINT_PART_BYTES ? left
                                                                   : INGOT_CHECKPOINT_PART_BYTES};
}

/* How many parts from a place on go into one message. */
static size_t count_parts(const struct ingot_checkpoint *checkpoints, size_t count,
                          struct place place)
{
    size_t parts = 0, bytes = 0;
    while (place.checkpoint < count && bytes < MESSAGE_BYTES) {
        bytes += checkpoints[place.checkpoint].cursor.len;
        bytes += next_part(checkpoints, &place).len;
        parts++;
    }
    return parts;
}

/* Stores as many parts as one message takes; the place moves on. */
static enum ingot_status add_parts(struct postgres_store *store,
                                   const struct ingot_checkpoint *checkpoints, size_t count,
                                   struct place *place, struct ingot_error *err)
{
    static const enum postgres_type columns[] = {POSTGRES_INT, POSTGRES_INT, POSTGRES_INT,
                                                 POSTGRES_TEXT, POSTGRES_BYTES};
    struct postgres_parameters rows = {0};
    struct postgres_statement statement = {sql_add_checkpoints, &rows, NULL};
    const size_t parts = count_parts(checkpoints, count, *place);
    postgres_begin_rows(&rows, columns, 5, parts);
    for (size_t i = 0; i < parts; i++) {
        const struct ingot_checkpoint *checkpoint = &checkpoints[place->checkpoint];
        postgres_add_int(&rows, (int32_t)checkpoint->lane);
        postgres_add_int(&rows, (int32_t)place->part);
        postgres_add_int(&rows, (int32_t)parts_of(checkpoint));
        postgres_add_text(&rows, checkpoint->cursor);
        postgres_add_bytes(&rows, next_part(checkpoints, place));
    }
    enum ingot_status status =
        postgres_run(store, &statement, 1, POSTGRES_READS, err, "could not store a checkpoint");
    postgres_clear(&statement, 1);
    postgres_parameters_fini(&rows);
    return status;
}

enum ingot_status postgres_add_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                           const struct ingot_checkpoint *checkpoints, size_t count,
                                           struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_statement begin[] = {{sql_begin_writing, NULL, NULL},
                                         {sql_durable, NULL, NULL}};
    struct postgres_statement commit = {sql_commit, NULL, NULL};
    struct place place = {0, 0};
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (status || count == 0)
        return status;
    status = postgres_run(store, begin, 2, POSTGRES_READS, err, "could not store a checkpoint");
    while (!status && place.checkpoint < count)
        status = add_parts(store, checkpoints, count, &place, err);
    if (!status)
        status =
            postgres_run(store, &commit, 1, POSTGRES_COMMITS, err, "could not store a checkpoint");
    postgres_clear(begin, 2);
    postgres_clear(&commit, 1);
    postgres_rollback(store);
    return status;
}

/* ---- reading checkpoints ------------------------------------------------ */

/* Reads which checkpoints there are, with room for their bodies. */
static enum ingot_status read_list(struct postgres_store *store, const struct ingot_lanes *lanes,
                                   int64_t before_us, struct ingot_page *page,
                                   struct ingot_checkpoint *checkpoints, size_t *ret_count,
                                   struct ingot_error *err)
{
    static const enum postgres_type column = POSTGRES_INT;
    struct postgres_parameters wanted = {0};
    PGresult *result = NULL;
    size_t count = 0;
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++)
        count += (size_t)(lanes->bits[lane / 8] >> lane % 8 & 1);
    postgres_begin_rows(&wanted, &column, 1, count);
    for (uint32_t lane = 0; lane < INGOT_LANES; lane++)
        if (lanes->bits[lane / 8] & 1u << lane % 8)
            postgres_add_int(&wanted, (int32_t)lane);
    postgres_add_time(&wanted, before_us < INSTANT_MAX_US ? before_us : INSTANT_MAX_US);
    enum ingot_status status = postgres_query(store, sql_newest_checkpoints, &wanted, &result, err,
                                              "could not read the checkpoints");
    postgres_parameters_fini(&wanted);
    for (int i = 0; i < PQntuples(result) && i < (int)INGOT_LANES && !status; i++) {
        const int64_t bytes = postgres_get_int(result, i, 3);
        const size_t len = bytes < 0 ? 0 : (size_t)bytes;
        checkpoints[i] = (struct ingot_checkpoint){
            .lane = (uint32_t)postgres_get_int(result, i, 0),
            .taken_us = postgres_get_time(result, i, 1),
            .cursor = ingot_page_copy(page, postgres_get_bytes(result, i, 2)),
            .body = {ingot_page_alloc(page, len + 1), len},
        };
        *ret_count = (size_t)i + 1;
        if (!checkpoints[i].cursor.data || !checkpoints[i].body.data)
            status = postgres_no_memory(err);
    }
    PQclear(result);
    return status;
}

/* Puts the parts together; they come in order, and fill the bodies that were measured. */
static enum ingot_status join_parts(const PGresult *result, struct ingot_checkpoint *checkpoints,
                                    size_t count, struct ingot_error *err)
{
    size_t at = 0, filled = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        const struct ingot_bytes part = postgres_get_bytes(result, i, 1);
        const int64_t lane = postgres_get_int(result, i, 0);
        for (; at < count && checkpoints[at].lane != lane; filled = 0)
            at++;
        if (at == count || part.len > checkpoints[at].body.len - filled)
            return postgres_corrupt(err, "a checkpoint that cannot be read");
        memcpy((char *)(uintptr_t)checkpoints[at].body.data + filled, part.data, part.len);
        filled += part.len;
    }
    return INGOT_OK;
}

/* Reads bodies of checkpoints from the first on, as many as one answer should hold. */
static enum ingot_status read_bodies(struct postgres_store *store,
                                     struct ingot_checkpoint *checkpoints, size_t *count,
                                     struct ingot_error *err)
{
    static const enum postgres_type columns[] = {POSTGRES_INT, POSTGRES_TIME};
    struct postgres_parameters wanted = {0};
    PGresult *result = NULL;
    size_t some = 0, bytes = 0;
    while (some < *count && bytes < MESSAGE_BYTES)
        bytes += checkpoints[some++].body.len;
    postgres_begin_rows(&wanted, columns, 2, some);
    for (size_t i = 0; i < some; i++) {
        postgres_add_int(&wanted, (int32_t)checkpoints[i].lane);
        postgres_add_time(&wanted, checkpoints[i].taken_us);
    }
    enum ingot_status status = postgres_query(store, sql_checkpoint_bodies, &wanted, &result, err,
                                              "could not read a checkpoint");
    if (!status)
        status = join_parts(result, checkpoints, some, err);
    PQclear(result);
    postgres_parameters_fini(&wanted);
    *count = some;
    return status;
}

enum ingot_status postgres_checkpoints(void *handle, const struct ingot_toolkit *toolkit,
                                       const struct ingot_lanes *lanes, int64_t before_us,
                                       struct ingot_page *page,
                                       struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                       struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct ingot_checkpoint *checkpoints =
        ingot_page_alloc(page, INGOT_LANES * sizeof *checkpoints);
    size_t count = 0, some;
    if (!checkpoints)
        return postgres_no_memory(err);
    enum ingot_status status = postgres_begin_reading(store, toolkit, err);
    if (!status)
        status = read_list(store, lanes, before_us, page, checkpoints, &count, err);
    for (size_t done = 0; done < count && !status; done += some) {
        some = count - done;
        status = read_bodies(store, checkpoints + done, &some, err);
    }
    postgres_rollback(store);
    if (status)
        return status;
    *ret_checkpoints = checkpoints;
    *ret_count = count;
    return INGOT_OK;
}

/* ---- segments, settings, the next life ---------------------------------- */

enum ingot_status postgres_make_segments(void *handle, const struct ingot_toolkit *toolkit,
                                         struct ingot_error *err)
{
    PGresult *result = NULL;
    enum ingot_status status = postgres_ready(handle, toolkit, err);
    if (!status)
        status = postgres_query(handle, sql_make_segments, NULL, &result, err,
                                "could not make segments");
    PQclear(result);
    return status;
}

enum ingot_status postgres_settings(void *handle, const struct ingot_toolkit *toolkit,
                                    struct ingot_page *page, struct ingot_setting **ret_settings,
                                    size_t *ret_count, struct ingot_error *err)
{
    /* The columns of sql_settings. */
    static const char *const names[] = {"postgres_version",
                                        "synchronous_commit",
                                        "fsync",
                                        "full_page_writes",
                                        "wal_level",
                                        "max_connections",
                                        "pooler",
                                        "role",
                                        "epoch",
                                        "segments_from",
                                        "segments_to",
                                        "in_recovery"};
    const size_t count = sizeof names / sizeof names[0];
    struct postgres_store *store = handle;
    struct postgres_parameters parameters = {0};
    struct ingot_setting *settings = ingot_page_alloc(page, count * sizeof *settings);
    PGresult *result = NULL;
    if (!settings)
        return postgres_no_memory(err);
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (status)
        return status;
    postgres_add_int(&parameters, PQbackendPID(store->connection));
    status = postgres_query(store, sql_settings, &parameters, &result, err,
                            "could not read the settings");
    postgres_parameters_fini(&parameters);
    for (size_t i = 0; i < count && !status; i++) {
        const struct ingot_bytes value =
            ingot_page_copy(page, postgres_get_bytes(result, 0, (int)i));
        settings[i] = (struct ingot_setting){names[i], value.data};
        if (!value.data)
            status = postgres_no_memory(err);
    }
    PQclear(result);
    if (status)
        return status;
    *ret_settings = settings;
    *ret_count = count;
    return INGOT_OK;
}

enum ingot_status postgres_accept_restore(void *handle, const struct ingot_toolkit *toolkit,
                                          struct ingot_error *err)
{
    struct postgres_store *store = handle;
    PGresult *result = NULL;
    enum ingot_status status = postgres_ready(store, toolkit, err);
    if (!status)
        status = postgres_query(store, sql_accept_restore, NULL, &result, err,
                                "could not accept the restored store");
    if (!status)
        store->epoch = (int)postgres_get_int(result, 0, 0);
    PQclear(result);
    return status;
}
