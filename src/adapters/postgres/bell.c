/*
 * Wake-ups: a NOTIFY after the commits, at most one a millisecond, on a
 * connection of its own, for inside a commit it would have all commits wait for
 * each other. Nothing here waits for the server but postgres_wait(), and who
 * rings first, for a moment, while the connection is made. A name in the option
 * wake_connection is looked up by libpq, which takes its time; without that
 * option the address of the store's connection serves.
 */
#include "postgres.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING_EVERY_US 1000
#define CONNECT_MAX_US 5000000

/* Who rings waits so long, at most and once, for a connection that is being made. */
#define CONNECT_PATIENCE_US 20000

enum stage {
    BELL_CLOSED,
    BELL_CONNECTING,
    BELL_BUSY, /* a statement is under way */
    BELL_IDLE
};

enum hearing {
    HEARS_NOTHING,
    HEARS_ALL, /* LISTEN was confirmed */
    IS_DEAF    /* behind a pooler, which takes the server away after each transaction */
};

struct postgres_bell {
    char *conninfo;                      /* NULL: that of the store */
    char name[INGOT_KSUID_TEXT_LEN + 1]; /* "": every wake-up is heard */
    PGconn *connection;
    enum stage stage;
    enum hearing hearing;
    PostgresPollingStatusType wants; /* while connecting */
    int unsent;                      /* libpq holds bytes back */
    int due;                         /* something was committed, and nobody was told */
    int64_t next_ring_us;            /* monotonic, as all times here */
    int64_t give_up_us;              /* of connecting */
    int64_t patience_us;             /* of who rings, until when */
    int64_t next_connect_us, connect_wait_us;
};

enum ingot_status postgres_bell_create(const struct ingot_options *options,
                                       struct postgres_bell **ret_bell, struct ingot_error *err)
{
    const char *wake_connection = options->wake_connection;
    if (wake_connection && strcmp(wake_connection, "off") == 0)
        return INGOT_OK;
    const char *conninfo = wake_connection ? postgres_conninfo(wake_connection) : NULL;
    enum ingot_status status = conninfo ? postgres_check_conninfo(conninfo, err) : INGOT_OK;
    if (status)
        return status;
    struct postgres_bell *bell = calloc(1, sizeof *bell);
    if (bell && conninfo)
        bell->conninfo = strdup(conninfo);
    if (!bell || (conninfo && !bell->conninfo)) {
        free(bell);
        return postgres_no_memory(err);
    }
    if (!ingot_ksuid_is_none(&options->wake_name))
        ingot_ksuid_format(&options->wake_name, bell->name);
    *ret_bell = bell;
    return INGOT_OK;
}

static void hang_up(struct postgres_bell *bell)
{
    PQfinish(bell->connection);
    bell->connection = NULL;
    bell->stage = BELL_CLOSED;
    if (bell->hearing != IS_DEAF)
        bell->hearing = HEARS_NOTHING;
}

void postgres_bell_destroy(struct postgres_bell *bell)
{
    if (!bell)
        return;
    hang_up(bell);
    free(bell->conninfo);
    free(bell);
}

/* The connection is of no use: it is opened again, but not at once. */
static void fail(struct postgres_bell *bell)
{
    hang_up(bell);
    bell->connect_wait_us = postgres_longer_us(bell->connect_wait_us);
    bell->next_connect_us = postgres_monotonic_us() + bell->connect_wait_us;
}

/* Begins to connect, if it is time: where the store is, or where the option says. */
static void open_bell(struct postgres_bell *bell, const struct postgres_store *store)
{
    struct postgres_target target;
    const int64_t now_us = postgres_monotonic_us();
    if (bell->stage != BELL_CLOSED || now_us < bell->next_connect_us)
        return;
    if (!bell->conninfo && !store->connection)
        return;
    postgres_aim(&target, bell->conninfo ? bell->conninfo : store->conninfo);
    if (!bell->conninfo) {
        postgres_aim_at(&target, "host", PQhost(store->connection));
        postgres_aim_at(&target, "hostaddr", PQhostaddr(store->connection));
        postgres_aim_at(&target, "port", PQport(store->connection));
    }
    bell->connection = PQconnectStartParams(target.keywords, target.values, 1);
    bell->stage = BELL_CONNECTING;
    bell->wants = PGRES_POLLING_WRITING;
    bell->give_up_us = now_us + CONNECT_MAX_US;
    bell->patience_us = now_us + CONNECT_PATIENCE_US;
    if (PQstatus(bell->connection) == CONNECTION_BAD)
        fail(bell);
    else
        PQsetNoticeReceiver(bell->connection, postgres_ignore_notice, NULL);
}

static void say(struct postgres_bell *bell, const char *sql)
{
    if (!PQsendQueryParams(bell->connection, sql, 0, NULL, NULL, NULL, NULL, 0) ||
        (bell->unsent = PQflush(bell->connection)) < 0)
        fail(bell);
    else
        bell->stage = BELL_BUSY;
}

/* What the socket is waited for. */
static short events_of(const struct postgres_bell *bell)
{
    if (bell->stage == BELL_CONNECTING)
        return bell->wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    return bell->unsent ? POLLIN | POLLOUT : POLLIN;
}

static void go_on_connecting(struct postgres_bell *bell)
{
    struct pollfd fd = {.fd = PQsocket(bell->connection), .events = events_of(bell)};
    if (poll(&fd, 1, 0) == 0) {
        if (postgres_monotonic_us() > bell->give_up_us)
            fail(bell);
        return;
    }
    bell->wants = PQconnectPoll(bell->connection);
    if (bell->wants == PGRES_POLLING_FAILED ||
        (bell->wants == PGRES_POLLING_OK && PQsetnonblocking(bell->connection, 1) != 0)) {
        fail(bell);
    } else if (bell->wants == PGRES_POLLING_OK) {
        bell->stage = BELL_IDLE;
        bell->unsent = 0;
        bell->connect_wait_us = 0;
    }
}

/* Takes one answer to what was said; the listener's first question is who answers. */
static void take_answer(struct postgres_bell *bell, PGresult *answer)
{
    switch (PQresultStatus(answer)) {
    case PGRES_TUPLES_OK:
        if (PQntuples(answer) != 1 ||
            strtol(PQgetvalue(answer, 0, 0), NULL, 10) != PQbackendPID(bell->connection))
            bell->hearing = IS_DEAF;
        break;
    case PGRES_COMMAND_OK:
        if (strcmp(PQcmdStatus(answer), "LISTEN") == 0)
            bell->hearing = HEARS_ALL;
        break;
    default:
        fail(bell);
    }
}

/* Does what can be done without waiting. */
static void advance(struct postgres_bell *bell)
{
    if (bell->stage == BELL_CONNECTING)
        go_on_connecting(bell);
    if (bell->stage != BELL_BUSY && bell->stage != BELL_IDLE)
        return;
    if (!PQconsumeInput(bell->connection) || (bell->unsent = PQflush(bell->connection)) < 0) {
        fail(bell);
        return;
    }
    while (bell->stage == BELL_BUSY && !PQisBusy(bell->connection)) {
        PGresult *answer = PQgetResult(bell->connection);
        if (answer)
            take_answer(bell, answer);
        else
            bell->stage = BELL_IDLE;
        PQclear(answer);
    }
}

/* Connecting takes some steps, and who commits seldom would never come to its end: each needs a call. */
static void see_to_connection(struct postgres_bell *bell)
{
    int64_t left_us;
    while (bell->stage == BELL_CONNECTING &&
           (left_us = bell->patience_us - postgres_monotonic_us()) > 0) {
        struct pollfd fd = {.fd = PQsocket(bell->connection), .events = events_of(bell)};
        poll(&fd, 1, (int)(left_us / 1000) + 1);
        go_on_connecting(bell);
    }
}

void postgres_wake(void *handle)
{
    struct postgres_store *store = handle;
    struct postgres_bell *bell = store->bell;
    if (!bell)
        return;
    bell->due = 1;
    open_bell(bell, store);
    see_to_connection(bell);
    advance(bell);
    const int64_t now_us = postgres_monotonic_us();
    if (bell->stage != BELL_IDLE || now_us < bell->next_ring_us)
        return;
    bell->due = 0;
    bell->next_ring_us = now_us + RING_EVERY_US;
    char sql[64];
    snprintf(sql, sizeof sql, "NOTIFY ingot, '%s'", bell->name);
    say(bell, sql);
}

/* ---- listening ---------------------------------------------------------- */

/* Takes all the notifications that are there. */
static int was_rung(struct postgres_bell *bell)
{
    PGnotify *notification;
    int rung = 0;
    while (bell->connection && (notification = PQnotifies(bell->connection)) != NULL) {
        rung |= !bell->name[0] || strcmp(notification->extra, bell->name) != 0;
        PQfreemem(notification);
    }
    return rung;
}

/* Does what is next to be heard; whoever hears from now on may have missed something before. */
static int try_to_hear(struct postgres_bell *bell, const struct postgres_store *store)
{
    const enum hearing before = bell->hearing;
    open_bell(bell, store);
    const enum stage stage = bell->stage;
    advance(bell);
    if (bell->hearing == IS_DEAF)
        hang_up(bell);
    else if (stage == BELL_CONNECTING && bell->stage == BELL_IDLE)
        say(bell, "SELECT pg_backend_pid()");
    else if (stage == BELL_BUSY && bell->stage == BELL_IDLE && bell->hearing == HEARS_NOTHING)
        say(bell, "LISTEN ingot");
    return was_rung(bell) || (before == HEARS_NOTHING && bell->hearing == HEARS_ALL);
}

enum ingot_status postgres_wait(void *handle, const struct ingot_toolkit *toolkit,
                                int64_t timeout_us, struct ingot_error *err)
{
    struct postgres_store *store = handle;
    struct postgres_bell *bell = store->bell;
    const int64_t end_us = postgres_monotonic_us() + timeout_us;
    (void)toolkit;
    for (;;) {
        if (bell && bell->hearing != IS_DEAF && try_to_hear(bell, store))
            return INGOT_OK;
        const int64_t now_us = postgres_monotonic_us();
        int64_t left_us = end_us - now_us;
        if (left_us <= 0)
            break;
        struct pollfd fd = {.fd = -1}; /* none: it only waits */
        if (bell && bell->connection)
            fd = (struct pollfd){.fd = PQsocket(bell->connection), .events = events_of(bell)};
        else if (bell && bell->next_connect_us > now_us && bell->next_connect_us < end_us)
            left_us = bell->next_connect_us - now_us;
        ppoll(&fd, 1,
              &(struct timespec){.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000},
              NULL);
    }
    if (bell && bell->hearing == HEARS_ALL)
        return INGOT_OK;
    return ingot_error_set(err, INGOT_RETRY, "store/postgres: no wake-ups can be heard now");
}
