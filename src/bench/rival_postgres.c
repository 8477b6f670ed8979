/*
 * The queue written by hand on PostgreSQL, and the raw limit by COPY. Every
 * statement is prepared, every value binary; whatever needs no answer in between
 * goes in one pipeline, for one round trip.
 */
#include "core/buffer.h"
#include "rival.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Of the types in pg_type, which never change. */
#define OID_BYTEA 17
#define OID_LONG 20
#define OID_TEXT 25
#define OID_JSON 114
#define OID_BYTEA_ARRAY 1001
#define OID_TEXT_ARRAY 1009
#define OID_JSON_ARRAY 199

#define PARAMETERS_MAX 4

/* The parameters of the insert. */
enum column { C_ID, C_SOURCE, C_NAME, C_PAYLOAD };

struct postgres_rival {
    struct igt_rival base;
    PGconn *connection;
    struct ingot_ksuid_generator generator;
    struct igt_buffer values[PARAMETERS_MAX]; /* of the statement, kept for their memory */
};

/* A prepared statement with its parameters. */
struct step {
    const char *name;
    const struct igt_buffer *values;
    int value_count;
};

/*
 * A worker's statements have one good plan whatever is in the table, and a planner
 * that has not seen statistics yet must not choose another and keep it.
 */
static const char settings[] = "SET synchronous_commit = on;"
                               "SET jit = off;"
                               "SET plan_cache_mode = force_generic_plan;"
                               "SET enable_seqscan = off;"
                               "SET enable_bitmapscan = off;";

/* Whoever comes first makes the tables; the lock is of this transaction. */
static const char schema[] =
    "SELECT pg_advisory_xact_lock(7523372);"
    "DO $$ BEGIN IF to_regnamespace('rival') IS NULL THEN"
    "  CREATE SCHEMA rival;"
    "  CREATE TABLE rival.queue ("
    "    received_at timestamptz NOT NULL DEFAULT now(),"
    "    state       smallint    NOT NULL DEFAULT 0," /* 0 waiting, 1 claimed, 2 done */
    "    attempt     smallint    NOT NULL DEFAULT 0,"
    "    id          bytea       NOT NULL PRIMARY KEY,"
    "    source      text        NOT NULL,"
    "    name        text        NOT NULL,"
    "    context     json,"
    "    payload     json        NOT NULL"
    "  ) WITH (fillfactor = 90);"
    "  CREATE INDEX queue_waiting ON rival.queue (id) WHERE state = 0;"
    "  CREATE TABLE rival.raw (id bytea NOT NULL PRIMARY KEY, body bytea NOT NULL);"
    "END IF; END $$;";

static const struct {
    const char *name, *sql;
    int value_count;
    Oid types[PARAMETERS_MAX];
} statements[] = {
    {"insert",
     "INSERT INTO rival.queue (id, source, name, payload)"
     " SELECT unnest($1), unnest($2), unnest($3), unnest($4)",
     4,
     {OID_BYTEA_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_JSON_ARRAY}},
    {"claim",
     "UPDATE rival.queue SET state = 1, attempt = attempt + 1 WHERE id = ANY(ARRAY("
     "SELECT id FROM rival.queue WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))"
     " RETURNING id, payload",
     1,
     {OID_LONG}},
    {"finish", "UPDATE rival.queue SET state = 2 WHERE id = ANY($1)", 1, {OID_BYTEA_ARRAY}},
    {"begin", "BEGIN", 0, {0}},
    {"take",
     "SELECT id, payload FROM rival.queue WHERE state = 0 ORDER BY id LIMIT $1"
     " FOR UPDATE SKIP LOCKED",
     1,
     {OID_LONG}},
    {"done",
     "UPDATE rival.queue SET state = 2, attempt = attempt + 1 WHERE id = ANY($1)",
     1,
     {OID_BYTEA_ARRAY}},
    {"commit", "COMMIT", 0, {0}},
    {"rollback", "ROLLBACK", 0, {0}},
};

static struct postgres_rival *postgres_of(struct igt_rival *rival)
{
    return (struct postgres_rival *)rival;
}

/* ---- errors ------------------------------------------------------------- */

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "rival/postgres: memory ran out");
}

/* What a server says is hostile to a terminal. */
static void make_printable(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0))
            *at = '?';
}

static enum ingot_status failure(struct postgres_rival *rival, const PGresult *result,
                                 const char *what, struct ingot_error *err)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!primary)
        primary = PQerrorMessage(rival->connection);
    ingot_error_set(err, INGOT_IO, "rival/postgres: could not %s: %.*s", what,
                    (int)strcspn(primary, "\n"), primary); /* further lines quote rows */
    if (err)
        make_printable(err->message);
    return INGOT_IO;
}

/* ---- values ------------------------------------------------------------- */

static void add_number(struct igt_buffer *buffer, uint64_t value, size_t size)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
    igt_buffer_add(buffer, bytes, size);
}

/* A field of COPY or an element of an array. */
static void add_value(struct igt_buffer *buffer, const void *data, size_t len)
{
    add_number(buffer, len, 4);
    igt_buffer_add(buffer, data, len);
}

static void begin_array(struct igt_buffer *buffer, Oid type, size_t count)
{
    igt_buffer_reset(buffer);
    add_number(buffer, 1, 4); /* dimension */
    add_number(buffer, 0, 4); /* no NULLs */
    add_number(buffer, type, 4);
    add_number(buffer, count, 4);
    add_number(buffer, 1, 4); /* the first subscript */
}

/* ---- round trips -------------------------------------------------------- */

static int send_step(PGconn *connection, const struct step *step)
{
    static const int binary[PARAMETERS_MAX] = {1, 1, 1, 1};
    const char *values[PARAMETERS_MAX] = {0};
    int lengths[PARAMETERS_MAX] = {0};
    for (int i = 0; i < step->value_count; i++) {
        values[i] = step->values[i].data;
        lengths[i] = (int)step->values[i].len;
    }
    return PQsendQueryPrepared(connection, step->name, step->value_count, values, lengths, binary,
                               1);
}

/* Takes all answers up to the end of the pipeline; the first rows and the first error are kept. */
static int receive(PGconn *connection, PGresult **rows, PGresult **failed)
{
    for (;;) {
        PGresult *result = PQgetResult(connection);
        PGresult **keep = NULL;
        const ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK)
            keep = rows;
        else if (result && status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC)
            keep = failed;
        if (keep && !*keep)
            *keep = result;
        else
            PQclear(result);
        if (status == PGRES_PIPELINE_SYNC)
            return 1;
        if (PQstatus(connection) != CONNECTION_OK)
            return 0;
    }
}

/* Runs prepared statements in one round trip; *ret_rows, for PQclear(), is the rows of one of them. */
static enum ingot_status run(struct postgres_rival *rival, const struct step *steps, size_t count,
                             PGresult **ret_rows, const char *what, struct ingot_error *err)
{
    PGresult *rows = NULL, *failed = NULL;
    int answered = 1;
    for (size_t i = 0; i < count; i++)
        for (int j = 0; j < steps[i].value_count; j++)
            if (steps[i].values[j].failed)
                return no_memory(err);
    for (size_t i = 0; i < count && answered; i++)
        answered = send_step(rival->connection, &steps[i]);
    answered =
        answered && PQpipelineSync(rival->connection) && receive(rival->connection, &rows, &failed);
    enum ingot_status status = INGOT_OK;
    if (!answered || failed)
        status = failure(rival, failed, what, err);
    if (status || !ret_rows)
        PQclear(rows);
    else
        *ret_rows = rows;
    PQclear(failed);
    return status;
}

/* ---- inserting ---------------------------------------------------------- */

static enum ingot_status insert_queue(struct postgres_rival *rival, struct ingot_bytes payload,
                                      size_t count, struct ingot_error *err)
{
    struct igt_buffer *values = rival->values;
    begin_array(&values[C_ID], OID_BYTEA, count);
    begin_array(&values[C_SOURCE], OID_TEXT, count);
    begin_array(&values[C_NAME], OID_TEXT, count);
    begin_array(&values[C_PAYLOAD], OID_JSON, count);
    for (size_t i = 0; i < count; i++) {
        ingot_ksuid id;
        ingot_ksuid_generate(&rival->generator, NULL, &id);
        add_value(&values[C_ID], id.bytes, sizeof id.bytes);
        add_value(&values[C_SOURCE], IGT_RIVAL_SOURCE, strlen(IGT_RIVAL_SOURCE));
        add_value(&values[C_NAME], IGT_RIVAL_NAME, strlen(IGT_RIVAL_NAME));
        add_value(&values[C_PAYLOAD], payload.data, payload.len);
    }
    const struct step step = {"insert", values, PARAMETERS_MAX};
    return run(rival, &step, 1, NULL, "insert", err);
}

/* Makes what COPY BINARY reads. */
static void compose_copy(struct postgres_rival *rival, struct igt_buffer *copy,
                         struct ingot_bytes payload, size_t count)
{
    static const char signature[] = "PGCOPY\n\377\r\n";
    static const char about[] = IGT_RIVAL_SOURCE IGT_RIVAL_NAME;
    igt_buffer_reset(copy);
    igt_buffer_add(copy, signature, sizeof signature);
    add_number(copy, 0, 8); /* no flags, no extension */
    for (size_t i = 0; i < count; i++) {
        ingot_ksuid id;
        ingot_ksuid_generate(&rival->generator, NULL, &id);
        add_number(copy, 2, 2);
        add_value(copy, id.bytes, sizeof id.bytes);
        add_number(copy, sizeof about - 1 + payload.len, 4);
        igt_buffer_add(copy, about, sizeof about - 1);
        igt_buffer_add(copy, payload.data, payload.len);
    }
    add_number(copy, UINT16_MAX, 2);
}

static enum ingot_status insert_raw(struct postgres_rival *rival, struct ingot_bytes payload,
                                    size_t count, struct ingot_error *err)
{
    PGconn *connection = rival->connection;
    struct igt_buffer *copy = &rival->values[0];
    enum ingot_status status = INGOT_OK;
    compose_copy(rival, copy, payload, count);
    if (copy->failed)
        return no_memory(err);
    PGresult *result = PQexec(connection, "COPY rival.raw FROM STDIN (FORMAT binary)");
    if (PQresultStatus(result) == PGRES_COPY_IN) {
        PQclear(result);
        result = PQputCopyData(connection, copy->data, (int)copy->len) == 1 &&
                         PQputCopyEnd(connection, NULL) == 1
                     ? PQgetResult(connection)
                     : NULL;
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        status = failure(rival, result, "copy", err);
    for (; result; result = PQgetResult(connection))
        PQclear(result);
    return status;
}

static enum ingot_status postgres_insert(struct igt_rival *rival, struct ingot_bytes payload,
                                         size_t count, struct ingot_error *err)
{
    return rival->kind == IGT_RIVAL_QUEUE ? insert_queue(postgres_of(rival), payload, count, err)
                                          : insert_raw(postgres_of(rival), payload, count, err);
}

/* ---- working ------------------------------------------------------------ */

static void set_limit(struct igt_buffer *value, size_t max)
{
    igt_buffer_reset(value);
    add_number(value, max, 8);
}

/* The ids of rows, for the next statement. */
static void set_ids(struct igt_buffer *value, const PGresult *rows)
{
    begin_array(value, OID_BYTEA, (size_t)PQntuples(rows));
    for (int i = 0; i < PQntuples(rows); i++)
        add_value(value, PQgetvalue(rows, i, 0), (size_t)PQgetlength(rows, i, 0));
}

static enum ingot_status postgres_work(struct igt_rival *base, size_t max, size_t *ret_count,
                                       struct ingot_error *err)
{
    struct postgres_rival *rival = postgres_of(base);
    const struct step claim = {"claim", rival->values, 1}, finish = {"finish", rival->values, 1};
    PGresult *rows = NULL;
    set_limit(&rival->values[0], max);
    enum ingot_status status = run(rival, &claim, 1, &rows, "claim", err);
    if (status)
        return status;
    const size_t count = (size_t)PQntuples(rows);
    if (count) {
        set_ids(&rival->values[0], rows);
        status = run(rival, &finish, 1, NULL, "finish", err);
    }
    PQclear(rows);
    if (!status)
        *ret_count = count;
    return status;
}

static enum ingot_status postgres_work_at_once(struct igt_rival *base, size_t max,
                                               size_t *ret_count, struct ingot_error *err)
{
    struct postgres_rival *rival = postgres_of(base);
    const struct step take[] = {{"begin", NULL, 0}, {"take", rival->values, 1}};
    const struct step done[] = {{"done", rival->values, 1}, {"commit", NULL, 0}};
    const struct step rollback = {"rollback", NULL, 0};
    PGresult *rows = NULL;
    set_limit(&rival->values[0], max);
    enum ingot_status status = run(rival, take, 2, &rows, "take", err);
    const size_t count = status ? 0 : (size_t)PQntuples(rows);
    if (count) {
        set_ids(&rival->values[0], rows);
        status = run(rival, done, 2, NULL, "finish", err);
    }
    PQclear(rows);
    if (status)
        run(rival, &rollback, 1, NULL, "roll back", NULL);
    else if (!count)
        status = run(rival, &rollback, 1, NULL, "roll back", err);
    if (!status)
        *ret_count = count;
    return status;
}

/* ---- opening ------------------------------------------------------------ */

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    while (options->keyword && strcmp(options->keyword, keyword) != 0)
        options++;
    return options->keyword && options->val ? options->val : "";
}

/*
 * A password with '@', '/' or ':' in it, not escaped, would be taken for a host,
 * a port or a database, which stand in libpq's messages.
 */
static enum ingot_status check_connection(const char *connection, struct ingot_error *err)
{
    PQconninfoOption *options = PQconninfoParse(connection, NULL);
    const int clear = options && !strchr(value_of(options, "host"), '@') &&
                      !strchr(value_of(options, "dbname"), '@') &&
                      !value_of(options, "port")[strspn(value_of(options, "port"), "0123456789,")];
    PQconninfoFree(options);
    if (clear)
        return INGOT_OK;
    return ingot_error_set(err, INGOT_INVALID,
                           "rival/postgres: the connection cannot be understood (it is not shown "
                           "for its password); write postgres://USER@HOST/DATABASE, with %%40 for "
                           "an @, %%2F for a / and %%3A for a :");
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

static enum ingot_status set_up(struct postgres_rival *rival, const char *sql,
                                struct ingot_error *err)
{
    PGresult *result = PQexec(rival->connection, sql);
    enum ingot_status status = INGOT_OK;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        status = failure(rival, result, "set up", err);
    PQclear(result);
    return status;
}

static enum ingot_status prepare(struct postgres_rival *rival, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0] && !status; i++) {
        PGresult *result = PQprepare(rival->connection, statements[i].name, statements[i].sql,
                                     statements[i].value_count, statements[i].types);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            status = failure(rival, result, "prepare", err);
        PQclear(result);
    }
    if (!status && !PQenterPipelineMode(rival->connection))
        status = failure(rival, NULL, "begin a pipeline", err);
    return status;
}

static enum ingot_status connect_to(struct postgres_rival *rival, const char *connection,
                                    struct ingot_error *err)
{
    /* Of two values for one keyword the last counts. */
    const char *const keywords[] = {"fallback_application_name", "connect_timeout", "dbname",
                                    "client_encoding", NULL};
    const char *const values[] = {"ingot-bench", "5", connection, "UTF8", NULL};
    rival->connection = PQconnectdbParams(keywords, values, 1);
    if (!rival->connection)
        return no_memory(err);
    PQsetNoticeReceiver(rival->connection, ignore_notice, NULL);
    if (PQstatus(rival->connection) != CONNECTION_OK)
        return failure(rival, NULL, "connect", err);
    return INGOT_OK;
}

static void postgres_close(struct igt_rival *base)
{
    struct postgres_rival *rival = postgres_of(base);
    PQfinish(rival->connection);
    for (int i = 0; i < PARAMETERS_MAX; i++)
        igt_buffer_fini(&rival->values[i]);
    free(rival);
}

static enum ingot_status postgres_open(const char *connection, enum igt_rival_kind kind,
                                       struct igt_rival **ret_rival, struct ingot_error *err)
{
    enum ingot_status status = check_connection(connection, err);
    if (status)
        return status;
    struct postgres_rival *rival = calloc(1, sizeof *rival);
    if (!rival)
        return no_memory(err);
    rival->base = (struct igt_rival){&igt_rival_postgres, kind};
    ingot_ksuid_generator_init(&rival->generator);
    status = connect_to(rival, connection, err);
    if (!status)
        status = set_up(rival, settings, err);
    if (!status)
        status = set_up(rival, schema, err);
    if (!status && kind == IGT_RIVAL_QUEUE)
        status = prepare(rival, err);
    if (status)
        postgres_close(&rival->base);
    else
        *ret_rival = &rival->base;
    return status;
}

const struct igt_rival_operations igt_rival_postgres = {
    .open = postgres_open,
    .close = postgres_close,
    .insert = postgres_insert,
    .work = postgres_work,
    .work_at_once = postgres_work_at_once,
};
