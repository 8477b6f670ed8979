/*
 * The gateway on libmicrohttpd; see gateway.h. The library is lenient with
 * malformed framing, so a guard of ours refuses what could be read in two ways
 * (RFC 9112) before the body is looked at.
 */
#include "gateway.h"

#include "core/instant.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/model.h"
#include "core/thread.h"
#include "core/toolkit.h"
#include "store/validate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PATH_EVENTS "/v1/events"
#define PATH_HEALTH "/healthz"

/* Ids that are so much ahead of the clock come of a clock that was wrong. */
#define CLOCK_LEAP_S 3600

/* How long stop waits for answers to be sent. */
#define STOP_WAIT_S 1

struct igt_gateway {
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int has_thread;
    int wake_fd; /* readable when a connection was resumed, or the thread is to end */
    atomic_int ending;
    const struct igt_routes *routes;
    struct igt_journal *journal;
    const struct ingot_toolkit *toolkit;
    struct ingot_ksuid_generator ids; /* used by the server's one thread only */
    char address[INET6_ADDRSTRLEN + 16];
    atomic_int closed;
    atomic_int store_status; /* enum ingot_status: what a sign of life met */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t active; /* requests that were begun and not ended */
    size_t bytes;  /* of the bodies that are being received; of the server's thread */
};

enum body_form { BODY_JSON, BODY_LINES };

/* One request of a client, from its first header to its answer. */
struct exchange {
    struct igt_gateway *gateway;
    struct MHD_Connection *connection;
    struct igt_request *request;
    enum body_form form;
    int refused; /* answered already: what comes is dropped */
    int too_large;
    size_t dropped; /* bytes behind the limit */
    int submitted;  /* the journal has decided it when the handler is called again */
};

/* ---- answers ------------------------------------------------------------ */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *body,
                              size_t len, const char *header, const char *value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (header)
        MHD_add_response_header(response, header, value);
    /* Where a request was not understood, what follows it may not be one. */
    if (status / 100 == 4 && status != MHD_HTTP_CONFLICT)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_error(struct MHD_Connection *connection, unsigned status,
                                    struct ingot_error *err, const char *header, const char *value)
{
    char text[4096];
    err->status_code = (int)status;
    size_t len = ingot_error_json(err, text, sizeof text - 1);
    if (len > sizeof text - 2)
        len = strlen(text);
    text[len] = '\n';
    return answer(connection, status, text, len + 1, header, value);
}

__attribute__((format(printf, 5, 6))) static enum MHD_Result
refuse(struct MHD_Connection *connection, unsigned status, const char *header, const char *value,
       const char *format, ...)
{
    struct ingot_error err = {0};
    char message[sizeof err.message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    ingot_error_set(&err, INGOT_INVALID, "%s", message);
    return answer_error(connection, status, &err, header, value);
}

static const char *verdict_name(enum ingot_verdict verdict)
{
    return verdict == INGOT_STORED    ? "stored"
           : verdict == INGOT_ALREADY ? "already there"
                                      : "conflict";
}

/* The ids, in the order in which the events came, and what became of each. */
static enum MHD_Result answer_verdicts(struct exchange *exchange)
{
    const struct igt_request *request = exchange->request;
    struct igt_buffer body = {0};
    unsigned status = MHD_HTTP_OK;
    igt_buffer_add_text(&body, "{\"events\":[");
    for (size_t i = 0; i < request->event_count; i++) {
        igt_buffer_add_text(&body, i ? ",{\"id\":" : "{\"id\":");
        igt_buffer_add_json_ksuid(&body, &request->events[i].id);
        igt_buffer_add_format(&body, ",\"status\":\"%s\"", verdict_name(request->verdicts[i]));
        if (request->verdicts[i] == INGOT_STORED)
            igt_buffer_add_format(&body, ",\"jobs\":%zu", request->events[i].job_count);
        if (request->verdicts[i] == INGOT_MISMATCH) {
            status = MHD_HTTP_CONFLICT;
            igt_buffer_add_text(&body, ",\"message\":\"the id is stored with other contents\"");
        }
        igt_buffer_add_text(&body, "}");
    }
    igt_buffer_add_text(&body, "]}\n");
    enum MHD_Result result =
        body.failed ? MHD_NO
                    : answer(exchange->connection, status, body.data, body.len, NULL, NULL);
    igt_buffer_fini(&body);
    return result;
}

/* What the journal said of a request of which nothing was stored. */
static enum MHD_Result answer_failure(struct exchange *exchange, enum ingot_status status,
                                      struct ingot_error *err)
{
    unsigned code = err->status_code ? (unsigned)err->status_code : MHD_HTTP_SERVICE_UNAVAILABLE;
    if (status == INGOT_INVALID)
        code = MHD_HTTP_BAD_REQUEST;
    return answer_error(exchange->connection, code, err, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

/* ---- the guard ---------------------------------------------------------- */

struct framing {
    unsigned content_lengths, transfer_encodings;
    int control;  /* a control byte in some name or value */
    int nameless; /* a header without a name */
};

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind, const char *name,
                                      size_t name_len, const char *value, size_t value_len)
{
    struct framing *framing = context;
    (void)kind;
    framing->content_lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    framing->transfer_encodings += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    framing->nameless |= name_len == 0;
    for (size_t i = 0; i < name_len; i++)
        framing->control |= (unsigned char)name[i] <= ' ' || name[i] == 0x7f;
    for (size_t i = 0; i < value_len; i++)
        framing->control |= ((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f;
    return MHD_YES;
}

/* Whether the framing can be read in one way only; else the reason. */
static const char *check_framing(struct MHD_Connection *connection)
{
    struct framing framing = {0};
    const char *encoding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look_at_header, &framing);
    if (framing.control)
        return "a header holds a control character";
    if (framing.nameless)
        return "a header has no name";
    if (framing.content_lengths > 1 || framing.transfer_encodings > 1)
        return "Content-Length or Transfer-Encoding is given twice";
    if (framing.content_lengths && framing.transfer_encodings)
        return "Content-Length and Transfer-Encoding exclude each other";
    if (encoding && strcasecmp(encoding, "chunked") != 0)
        return "no Transfer-Encoding is known but chunked";
    if (length && (!length[0] || length[strspn(length, "0123456789")]))
        return "Content-Length is not a number";
    return NULL;
}

/* The media type decides the form of the body; a browser's form cannot post across sites. */
static int read_form(struct MHD_Connection *connection, enum body_form *ret_form)
{
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t len = type ? strcspn(type, "; \t") : 0;
    static const struct {
        const char *type;
        enum body_form form;
    } known[] = {{"application/json", BODY_JSON},
                 {"application/x-ndjson", BODY_LINES},
                 {"application/jsonl", BODY_LINES}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].type) == len && strncasecmp(known[i].type, type, len) == 0) {
            *ret_form = known[i].form;
            return 1;
        }
    return 0;
}

/* ---- reading the events ------------------------------------------------- */

static enum ingot_status add_event(struct exchange *exchange, const struct igt_json *value,
                                   int64_t now_us, struct ingot_error *err)
{
    struct igt_gateway *gateway = exchange->gateway;
    struct igt_request *request = exchange->request;
    struct ingot_event *event = &request->events[request->event_count];
    char path[48];
    snprintf(path, sizeof path, "Queue/Events[%zu]", request->event_count);
    if (request->event_count == IGT_REQUEST_EVENTS_MAX)
        return ingot_error_set(err, INGOT_LIMIT,
                               "a request holds at most %u events; send more of them",
                               IGT_REQUEST_EVENTS_MAX);
    request->event_count++;
    enum ingot_status status =
        igt_event_decode(value, IGT_DECODE_SOURCE, path, request->arena, event, err);
    if (status)
        return status;
    /* The clock leapt ahead and came back: ids of that time would not be admitted. */
    if (INGOT_KSUID_EPOCH + (int64_t)gateway->ids.seconds > now_us / IGT_SECOND_US + CLOCK_LEAP_S)
        ingot_ksuid_generator_init(&gateway->ids);
    if (ingot_ksuid_is_none(&event->id))
        ingot_ksuid_generate(&gateway->ids, gateway->toolkit, &event->id);
    else
        request->ids = IGT_IDS_GIVEN;
    event->received_us = now_us;
    status = igt_event_validate_decoded(event, gateway->toolkit, path, err);
    if (!status)
        status = igt_routes_apply(gateway->routes, &gateway->ids, gateway->toolkit, request->arena,
                                  event);
    return status;
}

/* How many events a body holds at most: what the array of them must have room for. */
static size_t count_events(enum body_form form, const struct igt_json *value,
                           struct ingot_bytes body)
{
    size_t count = 1;
    if (form == BODY_LINES) {
        const char *at = body.data, *end = at + body.len;
        while ((at = memchr(at, '\n', (size_t)(end - at)))) {
            count++;
            at++;
        }
    } else if (value->kind == IGT_JSON_ARRAY) {
        struct igt_json_walk walk = igt_json_walk(value);
        struct igt_json key, element;
        while (igt_json_next(&walk, &key, &element))
            count++;
    }
    return count < IGT_REQUEST_EVENTS_MAX ? count : IGT_REQUEST_EVENTS_MAX;
}

/* Every line is an event; empty lines are passed over. */
static enum ingot_status read_lines(struct exchange *exchange, struct ingot_bytes body,
                                    int64_t now_us, struct ingot_error *err)
{
    const char *at = body.data, *end = at + body.len;
    enum ingot_status status = INGOT_OK;
    for (size_t number = 1; at < end && !status; number++) {
        struct igt_json value;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct ingot_bytes line = {at, (size_t)((newline ? newline : end) - at)};
        at = newline ? newline + 1 : end;
        if (line.len == 0 || (line.len == 1 && *(const char *)line.data == '\r'))
            continue;
        status = igt_json_parse(line, &value, err);
        if (status && err) {
            char message[sizeof err->message];
            snprintf(message, sizeof message, "%s", err->message);
            ingot_error_set(err, status, "event in line %zu: %.200s", number, message);
        }
        if (!status)
            status = add_event(exchange, &value, now_us, err);
    }
    return status;
}

static enum ingot_status read_events(struct exchange *exchange, struct ingot_error *err)
{
    struct igt_request *request = exchange->request;
    struct ingot_bytes body = {request->body.data ? request->body.data : "", request->body.len};
    int64_t now_us = igt_now_us(exchange->gateway->toolkit);
    struct igt_json value = {0}, key, element;
    enum ingot_status status = INGOT_OK;
    if (exchange->form == BODY_JSON)
        status = igt_json_parse(body, &value, err);
    if (status)
        return status;
    request->ids = IGT_IDS_MADE; /* until an event brings its own */
    size_t room = count_events(exchange->form, &value, body);
    request->events = igt_arena_array(request->arena, room, sizeof *request->events);
    request->verdicts = igt_arena_array(request->arena, room, sizeof *request->verdicts);
    if (!request->events || !request->verdicts)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out");
    if (exchange->form == BODY_LINES)
        return read_lines(exchange, body, now_us, err);
    if (value.kind != IGT_JSON_ARRAY)
        return add_event(exchange, &value, now_us, err);
    struct igt_json_walk walk = igt_json_walk(&value);
    while (!status && igt_json_next(&walk, &key, &element))
        status = add_event(exchange, &element, now_us, err);
    return status;
}

/* Paths are compared as they were sent: two spellings of one path are one too many. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

/* ---- one exchange ------------------------------------------------------- */

/* On the journal's thread: the handler is called again on the server's. */
static void decided(struct igt_request *request, void *context)
{
    struct exchange *exchange = context;
    struct igt_gateway *gateway = exchange->gateway;
    (void)request;
    MHD_resume_connection(exchange->connection); /* the exchange may be gone from now on */
    eventfd_write(gateway->wake_fd, 1);
}

/* The whole body is there: parse it, hand it over, and wait without a thread. */
static enum MHD_Result take_in(struct exchange *exchange)
{
    struct ingot_error err = {0};
    struct MHD_Connection *connection = exchange->connection;
    if (exchange->too_large)
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, NULL, NULL,
                      "a request has at most %u bytes; send fewer events at a time",
                      IGT_BODY_BYTES_MAX);
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length && strtoull(length, NULL, 10) != exchange->request->body.len)
        return refuse(connection, MHD_HTTP_BAD_REQUEST, NULL, NULL,
                      "the body is not as long as Content-Length says");
    enum ingot_status status = read_events(exchange, &err);
    if (status == INGOT_NOMEM)
        return answer_failure(exchange, status, &err);
    if (status)
        return answer_error(connection, MHD_HTTP_BAD_REQUEST, &err, NULL, NULL);
    if (exchange->request->event_count == 0)
        return answer_verdicts(exchange);
    exchange->request->decided = decided;
    exchange->request->context = exchange;
    exchange->submitted = 1;
    MHD_suspend_connection(connection);
    status = igt_journal_submit(exchange->gateway->journal, exchange->request);
    if (status) {
        ingot_error_set(&exchange->request->error, status,
                        status == INGOT_LIMIT ? "too much is waiting for the store; try again"
                                              : "the store cannot be written to; see the log");
        exchange->request->status = status;
        MHD_resume_connection(connection);
    }
    return MHD_YES;
}

static enum MHD_Result answer_health(struct exchange *exchange)
{
    static const char good[] = "{\"status\":\"ok\"}\n";
    static const char bad[] = "{\"status\":\"the store cannot be written to\"}\n";
    int healthy = igt_journal_is_healthy(exchange->gateway->journal) &&
                  atomic_load(&exchange->gateway->store_status) == INGOT_OK;
    return answer(exchange->connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                  healthy ? good : bad, healthy ? sizeof good - 1 : sizeof bad - 1, NULL, NULL);
}

/* Looks at the header of a request; answers at once what needs no body. */
static enum MHD_Result begin(struct exchange *exchange, const char *url, const char *method)
{
    struct MHD_Connection *connection = exchange->connection;
    const char *reason = check_framing(connection);
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    exchange->refused = 1;
    if (reason)
        return refuse(connection, MHD_HTTP_BAD_REQUEST, NULL, NULL, "%s", reason);
    if (strcmp(url, PATH_HEALTH) == 0) {
        if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
            return answer_health(exchange);
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW, "GET, HEAD",
                      PATH_HEALTH " is read with GET");
    }
    if (strcmp(url, PATH_EVENTS) != 0)
        return refuse(connection, MHD_HTTP_NOT_FOUND, NULL, NULL,
                      "there is nothing at this path; events go to POST " PATH_EVENTS);
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW, "POST",
                      "events are sent with POST");
    if (!read_form(connection, &exchange->form))
        return refuse(connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, NULL, NULL,
                      "send Content-Type: application/json, or application/x-ndjson for lines");
    if (length && (strlen(length) > 10 || strtoull(length, NULL, 10) > IGT_BODY_BYTES_MAX))
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, NULL, NULL,
                      "a request has at most %u bytes; send fewer events at a time",
                      IGT_BODY_BYTES_MAX);
    if (atomic_load(&exchange->gateway->closed))
        return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, MHD_HTTP_HEADER_RETRY_AFTER, "1",
                      "the daemon is about to end");
    exchange->refused = 0;
    exchange->request = igt_request_create();
    return exchange->request ? MHD_YES : MHD_NO;
}

/* Keeps a body up to the limit; somebody who goes on and on is cut off without an answer. */
static enum MHD_Result take_bytes(struct exchange *exchange, const char *data, size_t size)
{
    struct igt_buffer *body = &exchange->request->body;
    struct igt_gateway *gateway = exchange->gateway;
    if (gateway->bytes + size > IGT_RECEIVED_BYTES_MAX)
        return MHD_NO;
    if (!exchange->too_large && size <= IGT_BODY_BYTES_MAX - body->len) {
        igt_buffer_add(body, data, size);
        gateway->bytes += size;
        return MHD_YES;
    }
    exchange->too_large = 1;
    gateway->bytes -= body->len;
    igt_buffer_fini(body);
    exchange->dropped += size;
    return exchange->dropped <= IGT_BODY_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    struct exchange *exchange = *state;
    (void)version;
    if (!exchange) {
        exchange = calloc(1, sizeof *exchange);
        if (!exchange)
            return MHD_NO;
        exchange->gateway = context;
        exchange->connection = connection;
        *state = exchange;
        pthread_mutex_lock(&exchange->gateway->lock);
        exchange->gateway->active++;
        pthread_mutex_unlock(&exchange->gateway->lock);
        return begin(exchange, url, method);
    }
    if (*size) {
        enum MHD_Result result = exchange->refused ? MHD_YES : take_bytes(exchange, data, *size);
        *size = 0;
        return result;
    }
    if (exchange->refused)
        return MHD_YES;
    if (exchange->request->body.failed)
        return MHD_NO;
    if (!exchange->submitted)
        return take_in(exchange);
    if (exchange->request->status)
        return answer_failure(exchange, exchange->request->status, &exchange->request->error);
    return answer_verdicts(exchange);
}

static void completed(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    struct igt_gateway *gateway = context;
    struct exchange *exchange = *state;
    (void)connection, (void)code;
    if (!exchange)
        return;
    if (exchange->request) {
        gateway->bytes -= exchange->request->body.len;
        igt_request_release(exchange->request);
    }
    free(exchange);
    *state = NULL;
    pthread_mutex_lock(&gateway->lock);
    if (--gateway->active == 0)
        pthread_cond_signal(&gateway->idle);
    pthread_mutex_unlock(&gateway->lock);
}

/* ---- start and stop ----------------------------------------------------- */

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    memset(ret_address, 0, sizeof *ret_address);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return 1;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return 0;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return 1;
}

/*
 * The server's loop. The library's own would do, but for a stall: in 0.9.75 it
 * sleeps once more before it serves anybody when exactly 128 connections (or a
 * multiple) are ready at once.
 */
static void *serve(void *context)
{
    struct igt_gateway *gateway = context;
    struct pollfd fds[] = {
        {.fd = gateway->wake_fd, .events = POLLIN},
        {.fd = MHD_get_daemon_info(gateway->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
         .events = POLLIN}};
    while (!atomic_load(&gateway->ending)) {
        unsigned long long wait_ms;
        eventfd_t count;
        int is_timed = MHD_get_timeout(gateway->daemon, &wait_ms) == MHD_YES;
        poll(fds, 2, is_timed ? (int)wait_ms : -1);
        if (fds[0].revents)
            eventfd_read(gateway->wake_fd, &count);
        MHD_run(gateway->daemon);
    }
    return NULL;
}

/* Starts the thread; on failure the error says why. */
static enum ingot_status start_thread(struct igt_gateway *gateway, struct ingot_error *err)
{
    gateway->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (gateway->wake_fd < 0)
        return ingot_error_set(err, INGOT_IO, "gateway: could not make an eventfd: %s",
                               strerror(errno));
    enum ingot_status status = igt_thread_start(&gateway->thread, "gateway", serve, gateway, err);
    gateway->has_thread = !status;
    return status;
}

enum ingot_status igt_gateway_start(const char *host, uint16_t port,
                                    const struct igt_routes *routes, struct igt_journal *journal,
                                    const struct ingot_toolkit *toolkit,
                                    struct igt_gateway **ret_gateway, struct ingot_error *err)
{
    struct sockaddr_storage address;
    if (!parse_address(host, port, &address))
        return ingot_error_set(err, INGOT_INVALID, "gateway: %s is not a numeric address", host);
    struct igt_gateway *gateway = calloc(1, sizeof *gateway);
    if (!gateway)
        return ingot_error_set(err, INGOT_NOMEM, "gateway: memory ran out");
    gateway->wake_fd = -1;
    gateway->routes = routes;
    gateway->journal = journal;
    gateway->toolkit = toolkit;
    ingot_ksuid_generator_init(&gateway->ids);
    pthread_mutex_init(&gateway->lock, NULL);
    pthread_cond_init(&gateway->idle, NULL);
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    if (address.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    gateway->daemon = MHD_start_daemon(
        flags, port, NULL, NULL, handle, gateway, MHD_OPTION_SOCK_ADDR, &address,
        MHD_OPTION_NOTIFY_COMPLETED, completed, gateway, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT, IGT_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IGT_CONNECTION_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)IGT_CONNECTION_MEMORY_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!gateway->daemon) {
        int code = errno;
        igt_gateway_stop(gateway);
        return ingot_error_set(err, code == EACCES ? INGOT_DENIED : INGOT_IO,
                               "gateway: could not listen on %s:%u: %s; choose another `listen`",
                               host, port, strerror(code));
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(gateway->daemon, MHD_DAEMON_INFO_BIND_PORT);
    snprintf(gateway->address, sizeof gateway->address,
             address.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, info ? info->port : port);
    enum ingot_status status = start_thread(gateway, err);
    if (status)
        igt_gateway_stop(gateway);
    else
        *ret_gateway = gateway;
    return status;
}

const char *igt_gateway_address(const struct igt_gateway *gateway)
{
    return gateway->address;
}

void igt_gateway_note_store(struct igt_gateway *gateway, enum ingot_status status)
{
    atomic_store(&gateway->store_status, (int)status);
}

void igt_gateway_close(struct igt_gateway *gateway)
{
    atomic_store(&gateway->closed, 1);
}

void igt_gateway_stop(struct igt_gateway *gateway)
{
    struct timespec until;
    if (!gateway)
        return;
    igt_gateway_close(gateway);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&gateway->lock);
    while (gateway->active &&
           pthread_cond_timedwait(&gateway->idle, &gateway->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&gateway->lock);
    if (gateway->has_thread) {
        atomic_store(&gateway->ending, 1);
        eventfd_write(gateway->wake_fd, 1);
        pthread_join(gateway->thread, NULL);
    }
    if (gateway->wake_fd >= 0)
        close(gateway->wake_fd);
    if (gateway->daemon)
        MHD_stop_daemon(gateway->daemon);
    pthread_cond_destroy(&gateway->idle);
    pthread_mutex_destroy(&gateway->lock);
    free(gateway);
}
