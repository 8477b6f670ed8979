/*
 * Values in PostgreSQL's binary form, both ways, and the statements that carry
 * them: one, or several in a pipeline, for one round trip.
 */
#include "postgres.h"
#include "postgres_sql.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the types in pg_type, which never change. */
#define OID_BYTEA 17
#define OID_LONG 20
#define OID_INT 23
#define OID_TEXT 25
#define OID_JSON 114
#define OID_TIME 1184

/* The server takes no longer message, and none is ever needed. */
#define BYTES_MAX (1000u << 20)

/* Times are counted from 2000-01-01 there. */
#define EPOCH_US (INT64_C(946684800) * 1000000)

/* ---- parameters --------------------------------------------------------- */

static Oid type_oid(enum postgres_type type)
{
    static const Oid oids[] = {OID_INT, OID_LONG, OID_TEXT, OID_JSON, OID_BYTEA, OID_TIME};
    return oids[type];
}

static Oid array_oid(enum postgres_type type)
{
    static const Oid oids[] = {1007, 1016, 1009, 199, 1001, 1185};
    return oids[type];
}

void postgres_parameters_fini(struct postgres_parameters *parameters)
{
    for (int i = 0; i < POSTGRES_PARAMETERS_MAX; i++)
        free(parameters->values[i]);
    *parameters = (struct postgres_parameters){0};
}

static void put_number(unsigned char *bytes, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
}

/* Appends to the value of the parameter at a place. */
static void append(struct postgres_parameters *parameters, int at, const void *bytes, size_t len)
{
    if (len > BYTES_MAX - parameters->bytes)
        parameters->failed = INGOT_LIMIT;
    if (parameters->failed)
        return;
    const size_t used = (size_t)parameters->lengths[at];
    if (!parameters->values[at] || used + len > parameters->sizes[at]) {
        size_t size = used + len < 64 ? 64 : (used + len) * 2;
        char *grown = realloc(parameters->values[at], size);
        if (!grown) {
            parameters->failed = INGOT_NOMEM;
            return;
        }
        parameters->values[at] = grown;
        parameters->sizes[at] = size;
    }
    if (len)
        memcpy(parameters->values[at] + used, bytes, len);
    parameters->lengths[at] = (int)(used + len);
    parameters->bytes += len;
}

static void append_number(struct postgres_parameters *parameters, int at, uint32_t value)
{
    unsigned char bytes[4];
    put_number(bytes, sizeof bytes, value);
    append(parameters, at, bytes, sizeof bytes);
}

/* Returns the place of a new parameter. */
static int begin_parameter(struct postgres_parameters *parameters, Oid type)
{
    if (parameters->count == POSTGRES_PARAMETERS_MAX) {
        parameters->failed = INGOT_LIMIT;
        return 0;
    }
    parameters->types[parameters->count] = type;
    return parameters->count++;
}

void postgres_begin_rows(struct postgres_parameters *parameters, const enum postgres_type *types,
                         size_t columns, size_t rows)
{
    parameters->first = parameters->count;
    parameters->columns = columns;
    parameters->filled = 0;
    parameters->values_left = columns * rows;
    if (rows > BYTES_MAX)
        parameters->failed = INGOT_LIMIT;
    for (size_t i = 0; i < columns; i++) {
        int at = begin_parameter(parameters, array_oid(types[i]));
        append_number(parameters, at, rows != 0); /* dimensions */
        append_number(parameters, at, 1);         /* there may be NULLs */
        append_number(parameters, at, type_oid(types[i]));
        if (rows) {
            append_number(parameters, at, (uint32_t)rows);
            append_number(parameters, at, 1); /* the first subscript */
        }
    }
}

/* Columns of nothing but NULL need no array: unnest fills up what is shorter with NULL. */
static void drop_empty_columns(struct postgres_parameters *parameters)
{
    for (size_t i = 0; i < parameters->columns; i++) {
        const int at = parameters->first + (int)i;
        if (parameters->filled & 1u << i)
            continue;
        free(parameters->values[at]);
        parameters->values[at] = NULL;
        parameters->bytes -= (size_t)parameters->lengths[at];
        parameters->lengths[at] = 0;
    }
}

/* The next value of the rows that were begun, or else the next parameter; NULL is NULL. */
static void add(struct postgres_parameters *parameters, enum postgres_type type, const void *bytes,
                size_t len)
{
    int at;
    if (parameters->values_left) {
        at = parameters->first + (int)parameters->column;
        parameters->filled |= bytes ? 1u << parameters->column : 0;
        parameters->column = (parameters->column + 1) % parameters->columns;
        parameters->values_left--;
        append_number(parameters, at, bytes ? (uint32_t)len : UINT32_MAX);
        if (bytes)
            append(parameters, at, bytes, len);
        if (!parameters->values_left)
            drop_empty_columns(parameters);
        return;
    }
    at = begin_parameter(parameters, type_oid(type));
    if (bytes)
        append(parameters, at, bytes, len);
}

void postgres_add_int(struct postgres_parameters *parameters, int32_t value)
{
    unsigned char bytes[4];
    put_number(bytes, sizeof bytes, (uint32_t)value);
    add(parameters, POSTGRES_INT, bytes, sizeof bytes);
}

void postgres_add_long(struct postgres_parameters *parameters, int64_t value)
{
    unsigned char bytes[8];
    put_number(bytes, sizeof bytes, (uint64_t)value);
    add(parameters, POSTGRES_LONG, bytes, sizeof bytes);
}

void postgres_add_null(struct postgres_parameters *parameters)
{
    add(parameters, POSTGRES_TEXT, NULL, 0);
}

void postgres_add_text(struct postgres_parameters *parameters, struct ingot_bytes text)
{
    add(parameters, POSTGRES_TEXT, text.data, text.len);
}

void postgres_add_bytes(struct postgres_parameters *parameters, struct ingot_bytes bytes)
{
    add(parameters, POSTGRES_BYTES, bytes.data, bytes.len);
}

void postgres_add_ksuid(struct postgres_parameters *parameters, const ingot_ksuid *id)
{
    add(parameters, POSTGRES_BYTES, ingot_ksuid_is_none(id) ? NULL : id->bytes, sizeof id->bytes);
}

void postgres_add_time(struct postgres_parameters *parameters, int64_t time_us)
{
    unsigned char bytes[8];
    /* What is too far back for PostgreSQL stays that, and is refused by it. */
    int64_t since = time_us < INT64_MIN + EPOCH_US ? INT64_MIN + 1 : time_us - EPOCH_US;
    put_number(bytes, sizeof bytes, (uint64_t)since);
    add(parameters, POSTGRES_TIME, time_us == INGOT_NO_TIME ? NULL : bytes, sizeof bytes);
}

/* ---- columns ------------------------------------------------------------ */

struct ingot_bytes postgres_get_bytes(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return (struct ingot_bytes){NULL, 0};
    return (struct ingot_bytes){PQgetvalue(result, row, column),
                                (size_t)PQgetlength(result, row, column)};
}

int64_t postgres_get_int(const PGresult *result, int row, int column)
{
    struct ingot_bytes bytes = postgres_get_bytes(result, row, column);
    const unsigned char *data = bytes.data;
    uint64_t value = bytes.len && data[0] & 0x80 ? UINT64_MAX : 0; /* the sign */
    for (size_t i = 0; i < bytes.len && i < sizeof value; i++)
        value = value << 8 | data[i];
    return (int64_t)value;
}

ingot_ksuid postgres_get_ksuid(const PGresult *result, int row, int column)
{
    struct ingot_bytes bytes = postgres_get_bytes(result, row, column);
    ingot_ksuid id = {{0}};
    if (bytes.len == sizeof id.bytes)
        memcpy(id.bytes, bytes.data, sizeof id.bytes);
    return id;
}

int64_t postgres_get_time(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return INGOT_NO_TIME;
    int64_t since = postgres_get_int(result, row, column);
    return since > INT64_MAX - EPOCH_US ? INT64_MAX : since + EPOCH_US;
}

/* ---- statements --------------------------------------------------------- */

/* Sends what is buffered, and takes in what comes meanwhile, or both ends might wait for ever. */
static int flush(PGconn *connection)
{
    int left;
    while ((left = PQflush(connection)) > 0) {
        struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN | POLLOUT};
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return 0;
        if (fd.revents & POLLIN && !PQconsumeInput(connection))
            return 0;
    }
    return left == 0;
}

/* What deliveries are made of; the name of each is NAME_PREFIX and its place here. */
static const char *const named[] = {
    sql_durable,
    sql_insert_event,
    sql_insert_events,
    sql_insert_transition,
    sql_insert_transitions,
    sql_insert_alike,
    sql_follow,
    sql_events_to_deliver,
};

#define NAME_PREFIX "ingot_"
#define NAMED_COUNT (sizeof named / sizeof named[0])
#define NAME_SIZE sizeof NAME_PREFIX "00"

static void write_name(char name[NAME_SIZE], size_t place)
{
    snprintf(name, NAME_SIZE, NAME_PREFIX "%02u", (unsigned)place);
}

/* NAMED_COUNT where the server knows no name for it. */
static size_t find_name(const struct postgres_store *store, const char *sql)
{
    size_t place = 0;
    if (!store->has_names)
        return NAMED_COUNT;
    while (place < NAMED_COUNT && strcmp(sql, named[place]) != 0)
        place++;
    return place;
}

int postgres_send_statement(struct postgres_store *store, const char *sql,
                            const struct postgres_parameters *parameters)
{
    static const struct postgres_parameters none;
    const struct postgres_parameters *p = parameters ? parameters : &none;
    const char *const *values = (const char *const *)p->values;
    const size_t place = find_name(store, sql);
    char name[NAME_SIZE];
    int binary[POSTGRES_PARAMETERS_MAX];
    for (int i = 0; i < POSTGRES_PARAMETERS_MAX; i++)
        binary[i] = 1;
    if (place == NAMED_COUNT)
        return PQsendQueryParams(store->connection, sql, p->count, p->types, values, p->lengths,
                                 binary, 1);
    write_name(name, place);
    return PQsendQueryPrepared(store->connection, name, p->count, values, p->lengths, binary, 1);
}

static int send_all(struct postgres_store *store, const struct postgres_statement *statements,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!postgres_send_statement(store, statements[i].sql, statements[i].parameters))
            return 0;
    return 1;
}

/* Takes the results up to the end of the pipeline; 0 if it did not come. The first error goes to *failed. */
static int receive_all(PGconn *connection, struct postgres_statement *statements, size_t count,
                       PGresult **failed)
{
    size_t at = 0;
    while (at <= count) {
        PGresult *result = PQgetResult(connection);
        switch (PQresultStatus(result)) {
        case PGRES_PIPELINE_SYNC:
            PQclear(result);
            return 1;
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
            if (at < count && !statements[at].result)
                statements[at].result = result;
            else
                PQclear(result);
            break;
        default: /* PGRES_FATAL_ERROR too when there is no result: the end of a statement's */
            if (!result)
                at++;
            else if (!*failed)
                *failed = result;
            else
                PQclear(result);
            if (PQstatus(connection) != CONNECTION_OK)
                return 0;
        }
    }
    return 0;
}

void postgres_clear(struct postgres_statement *statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PQclear(statements[i].result);
        statements[i].result = NULL;
    }
}

void postgres_drop(struct postgres_store *store)
{
    PQfinish(store->connection);
    store->connection = NULL;
    store->uses = 0;
    store->has_names = 0;
    store->unanswered = 0;
}

/* Whether all values could be noted; a failure says why not. */
static enum ingot_status check_parameters(const struct postgres_statement *statements, size_t count,
                                          struct ingot_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!statements[i].parameters || !statements[i].parameters->failed)
            continue;
        if (statements[i].parameters->failed == INGOT_NOMEM)
            return postgres_no_memory(err);
        return ingot_error_set(err, INGOT_LIMIT,
                               "store/postgres: more than %u bytes in one commit; make it smaller",
                               BYTES_MAX);
    }
    return INGOT_OK;
}

/* The connection broke before an answer came; it is closed. failed: the server's last word, or NULL. */
static enum ingot_status give_up(struct postgres_store *store, const PGresult *failed,
                                 enum postgres_effect effect, struct ingot_error *err,
                                 const char *what)
{
    enum ingot_status status = postgres_failure(store, failed, err, what);
    postgres_drop(store);
    if (effect != POSTGRES_COMMITS)
        return status;
    return ingot_error_set(err, INGOT_UNKNOWN,
                           "store/postgres: the connection broke before a commit was answered; "
                           "send it again");
}

static int begin_pipeline(PGconn *connection)
{
    return PQsetnonblocking(connection, 1) == 0 && PQenterPipelineMode(connection);
}

static int end_pipeline(struct postgres_store *store)
{
    const int ended = PQpipelineSync(store->connection) && flush(store->connection);
    store->unanswered += (size_t)ended;
    return ended;
}

enum ingot_status postgres_send(struct postgres_store *store,
                                const struct postgres_statement *statements, size_t count,
                                enum postgres_effect effect, struct ingot_error *err,
                                const char *what)
{
    enum ingot_status status = check_parameters(statements, count, err);
    if (status)
        return status;
    if (!store->connection) /* it broke for what was sent before */
        return ingot_error_set(err, INGOT_RETRY, "store/postgres: %s: the connection broke", what);
    if (!begin_pipeline(store->connection) || !send_all(store, statements, count))
        return give_up(store, NULL, POSTGRES_READS, err,
                       what); /* without its end nothing is done */
    /* Once the end is buffered, it may have gone out with a part of the rest. */
    if (!end_pipeline(store))
        return give_up(store, NULL, effect, err, what);
    return INGOT_OK;
}

enum ingot_status postgres_receive(struct postgres_store *store,
                                   struct postgres_statement *statements, size_t count,
                                   enum postgres_effect effect, struct ingot_error *err,
                                   const char *what)
{
    PGconn *connection = store->connection;
    PGresult *failed = NULL;
    if (!receive_all(connection, statements, count, &failed)) {
        enum ingot_status broken = give_up(store, failed, effect, err, what);
        PQclear(failed);
        postgres_clear(statements, count);
        return broken;
    }
    if (--store->unanswered == 0) {
        PQexitPipelineMode(connection);
        PQsetnonblocking(connection, 0);
    }
    if (!failed)
        return INGOT_OK;
    postgres_clear(statements, count);
    enum ingot_status status = postgres_failure(store, failed, err, what);
    PQclear(failed);
    return status;
}

enum ingot_status postgres_run(struct postgres_store *store, struct postgres_statement *statements,
                               size_t count, enum postgres_effect effect, struct ingot_error *err,
                               const char *what)
{
    enum ingot_status status = postgres_send(store, statements, count, effect, err, what);
    return status ? status : postgres_receive(store, statements, count, effect, err, what);
}

enum ingot_status postgres_query(struct postgres_store *store, const char *sql,
                                 const struct postgres_parameters *parameters,
                                 PGresult **ret_result, struct ingot_error *err, const char *what)
{
    struct postgres_statement statement = {sql, parameters, NULL};
    enum ingot_status status = postgres_run(store, &statement, 1, POSTGRES_READS, err, what);
    if (!status)
        *ret_result = statement.result;
    return status;
}

/* 0 if the connection will not take it. */
static int send_names(PGconn *connection)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        write_name(name, i);
        if (!PQsendPrepare(connection, name, named[i], 0, NULL))
            return 0;
    }
    return 1;
}

enum ingot_status postgres_name_statements(struct postgres_store *store, struct ingot_error *err)
{
    static const char what[] = "could not prepare";
    struct postgres_statement answers[1 + NAMED_COUNT] = {{sql_wait_briefly, NULL, NULL}};
    if (store->is_pooled || store->is_nameless)
        return INGOT_OK;
    /* To analyse an INSERT waits for whoever changes the table. */
    if (!begin_pipeline(store->connection) || !send_all(store, answers, 1) ||
        !send_names(store->connection) || !end_pipeline(store))
        return give_up(store, NULL, POSTGRES_READS, err, what);
    enum ingot_status status =
        postgres_receive(store, answers, 1 + NAMED_COUNT, POSTGRES_READS, err, what);
    postgres_clear(answers, 1 + NAMED_COUNT);
    store->has_names = !status;
    if (!status || !store->connection)
        return status;
    ingot_error_clear(err); /* it does without, and says itself what it lacks */
    return INGOT_OK;
}

void postgres_rollback(struct postgres_store *store)
{
    struct postgres_statement statement = {"ROLLBACK", NULL, NULL};
    if (!store->connection || store->flights ||
        PQtransactionStatus(store->connection) == PQTRANS_IDLE)
        return;
    if (postgres_run(store, &statement, 1, POSTGRES_READS, NULL, "could not roll back"))
        postgres_drop(store);
    postgres_clear(&statement, 1);
}
