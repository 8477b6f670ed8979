/*
 * Loading rows into a PostgreSQL store: COPY in binary. The columns that it does not
 * name have the defaults that they have for Ingot; the times are given, for a
 * default that calls the clock would have COPY take rows one by one.
 */
#include "core/buffer.h"
#include "filling.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Between 1970 and the year 2000, where PostgreSQL's time begins. */
#define EPOCH_US (INT64_C(946684800) * 1000000)

struct igt_loader {
    PGconn *connection;
    struct igt_buffer rows; /* kept for its memory */
    int is_copying;         /* the server has them all, and has not said yet what came of it */
};

/* The columns of src/adapters/postgres/migrations. */
#define EVENT_COLUMNS 9
static const char copy_events[] =
    "COPY ingot.events (id, source, name, context, data, jobs, sent_at, received_at, ingested_at)"
    " FROM STDIN (FORMAT binary)";
#define TRANSITION_COLUMNS 10
static const char copy_transitions[] =
    "COPY ingot.transitions (event_id, job, seq, attempt, state_before, state_after, owner,"
    " due_at, error, created_at) FROM STDIN (FORMAT binary)";

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

/* Only what the server says itself: further lines quote rows. */
static enum ingot_status failure(const struct igt_loader *loader, const PGresult *result,
                                 struct ingot_error *err)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!text)
        text = PQerrorMessage(loader->connection);
    return ingot_error_set(err, INGOT_IO, "bench: could not fill a store: %.*s",
                           (int)strcspn(text, "\n"), text);
}

static enum ingot_status execute(struct igt_loader *loader, const char *sql,
                                 struct ingot_error *err)
{
    PGresult *result = PQexec(loader->connection, sql);
    enum ingot_status status =
        PQresultStatus(result) == PGRES_COMMAND_OK ? INGOT_OK : failure(loader, result, err);
    PQclear(result);
    return status;
}

/* ---- rows --------------------------------------------------------------- */

static void add_number(struct igt_buffer *rows, uint64_t value, size_t size)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
    igt_buffer_add(rows, bytes, size);
}

static void add_bytes(struct igt_buffer *rows, struct ingot_bytes bytes)
{
    add_number(rows, bytes.data ? bytes.len : UINT32_MAX, 4);
    if (bytes.data)
        igt_buffer_add(rows, bytes.data, bytes.len);
}

static void add_ksuid(struct igt_buffer *rows, const ingot_ksuid *id)
{
    add_bytes(rows, (struct ingot_bytes){(const char *)id->bytes, sizeof id->bytes});
}

static void add_int(struct igt_buffer *rows, uint64_t value, size_t size)
{
    add_number(rows, size, 4);
    add_number(rows, value, size);
}

static void add_time(struct igt_buffer *rows, int64_t us)
{
    if (us == INGOT_NO_TIME)
        add_number(rows, UINT32_MAX, 4);
    else
        add_int(rows, (uint64_t)(us - EPOCH_US), 8);
}

static void begin_rows(struct igt_buffer *rows)
{
    static const char signature[] = "PGCOPY\n\377\r\n";
    igt_buffer_reset(rows);
    igt_buffer_add(rows, signature, sizeof signature);
    add_number(rows, 0, 8); /* no flags, no extension */
}

static void end_rows(struct igt_buffer *rows)
{
    add_number(rows, UINT16_MAX, 2);
}

static void add_event(struct igt_buffer *rows, const struct ingot_event *event, int64_t now_us)
{
    size_t len = 0;
    char *jobs = ingot_jobs_encode(event->jobs, event->job_count, &len);
    rows->failed |= !jobs;
    add_number(rows, EVENT_COLUMNS, 2);
    add_ksuid(rows, &event->id);
    add_bytes(rows, event->source);
    add_bytes(rows, event->name);
    add_bytes(rows, event->context);
    add_bytes(rows, event->data);
    add_bytes(rows, (struct ingot_bytes){jobs, len});
    add_time(rows, event->sent_us);
    add_time(rows, event->received_us);
    add_time(rows, now_us);
    free(jobs);
}

static void add_transition(struct igt_buffer *rows, const struct ingot_transition *row,
                           int64_t now_us)
{
    add_number(rows, TRANSITION_COLUMNS, 2);
    add_ksuid(rows, &row->event_id);
    add_int(rows, row->job, 4);
    add_int(rows, row->seq, 4);
    add_int(rows, row->attempt, 4);
    add_int(rows, (uint64_t)row->state_before, 2);
    add_int(rows, (uint64_t)row->state_after, 2);
    add_ksuid(rows, &row->owner);
    add_time(rows, row->due_us);
    add_bytes(rows, row->error);
    add_time(rows, now_us);
}

/* ---- loading ------------------------------------------------------------ */

/* Waits for the rows that were sent last. */
static enum ingot_status await_copy(struct igt_loader *loader, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    while (loader->is_copying) {
        PGresult *result = PQgetResult(loader->connection);
        if (result && PQresultStatus(result) != PGRES_COMMAND_OK && !status)
            status = failure(loader, result, err);
        loader->is_copying = result != NULL;
        PQclear(result);
    }
    return status;
}

/* Sends the rows that were composed. The next ones are made while the server takes them. */
static enum ingot_status copy(struct igt_loader *loader, const char *sql, struct ingot_error *err)
{
    PGconn *connection = loader->connection;
    end_rows(&loader->rows);
    if (loader->rows.failed)
        return no_memory(err);
    enum ingot_status status = await_copy(loader, err);
    if (status)
        return status;
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COPY_IN ||
        PQputCopyData(connection, loader->rows.data, (int)loader->rows.len) != 1 ||
        PQputCopyEnd(connection, NULL) != 1)
        status = failure(loader, result, err);
    loader->is_copying = !status;
    PQclear(result);
    return status;
}

static enum ingot_status postgres_load_events(struct igt_loader *loader,
                                              const struct igt_load *load, struct ingot_error *err)
{
    begin_rows(&loader->rows);
    for (size_t i = 0; i < load->event_count; i++)
        add_event(&loader->rows, &load->events[i], load->now_us);
    return copy(loader, copy_events, err);
}

static enum ingot_status postgres_load_transitions(struct igt_loader *loader,
                                                   const struct igt_load *load,
                                                   struct ingot_error *err)
{
    begin_rows(&loader->rows);
    for (size_t i = 0; i < load->transition_count; i++)
        add_transition(&loader->rows, &load->transitions[i], load->now_us);
    return copy(loader, copy_transitions, err);
}

/* ---- opening ------------------------------------------------------------ */

/* The last commit has the disk hold those before it too, which the others did not wait for. */
static enum ingot_status postgres_close(struct igt_loader *loader, struct ingot_error *err)
{
    enum ingot_status status = await_copy(loader, err);
    if (!status)
        status = execute(loader,
                         "BEGIN; SET LOCAL synchronous_commit = on;"
                         "SELECT pg_current_xact_id(); COMMIT",
                         err);
    PQfinish(loader->connection);
    igt_buffer_fini(&loader->rows);
    free(loader);
    return status;
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

static enum ingot_status postgres_open(const char *connection, struct igt_loader **ret_loader,
                                       struct ingot_error *err)
{
    /* Of two values for one keyword the last counts. */
    const char *const keywords[] = {"fallback_application_name", "dbname", "client_encoding", NULL};
    const char *const values[] = {"ingot-bench", connection, "UTF8", NULL};
    struct igt_loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return no_memory(err);
    loader->connection = PQconnectdbParams(keywords, values, 1);
    PQsetNoticeReceiver(loader->connection, ignore_notice, NULL);
    enum ingot_status status = PQstatus(loader->connection) == CONNECTION_OK
                                   ? execute(loader, "SET synchronous_commit = off", err)
                                   : failure(loader, NULL, err);
    if (status)
        postgres_close(loader, NULL);
    else
        *ret_loader = loader;
    return status;
}

const struct igt_loader_operations igt_loader_postgres = {
    .connections = 2,
    .open = postgres_open,
    .load_events = postgres_load_events,
    .load_transitions = postgres_load_transitions,
    .close = postgres_close,
};
