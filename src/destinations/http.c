/*
 * HTTP destinations: curl's multi interface on a libuv loop; see destination.h.
 *
 * Connections are kept and used again. When a kept one turns out to be dead,
 * curl sends the request once more by itself, so that a destination may see one
 * attempt twice. All that is promised is that its idempotency key is constant.
 */
#include "destination.h"

#include "core/limits.h"
#include "core/toolkit.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_US_MAX (INT64_C(10) * 1000000)
#define BODY_BYTES_MAX (64u << 10)   /* read of an answer, and dropped */
#define HEADER_BYTES_MAX (64u << 10) /* read of an answer, interim ones included */
#define CONNECTIONS_KEPT 1024L
#define HEADER_TEXT_BYTES 64u /* of one of our own, with the longest of ids or numbers in it */
#define KEPT_BYTES 260u /* of a body: an outcome's answer, and a character that would be cut */

/* An attempt, or a place for one: the curl handle is used again and again. */
struct attempt {
    struct attempt *sibling; /* in the client's list of all */
    struct attempt *next;    /* in the list of idle or of finished ones */
    struct igt_http_client *client;
    enum { IDLE, RUNNING, FINISHED } phase;
    CURL *easy;
    char *url;                  /* that easy is set to, or NULL */
    CURLU *parts;               /* of it */
    struct curl_slist *headers; /* an array, so large as was ever needed */
    size_t header_room;
    char key[HEADER_TEXT_BYTES], id[HEADER_TEXT_BYTES], timestamp[HEADER_TEXT_BYTES];
    char event_id[HEADER_TEXT_BYTES], number[HEADER_TEXT_BYTES];
    const struct igt_http_config *config;
    igt_delivered_fn *delivered;
    void *context;
    int connected;                  /* the request could be sent */
    char refused[INET6_ADDRSTRLEN]; /* the address that was not public, or "" */
    size_t header_bytes, body_bytes;
    char body[KEPT_BYTES];
    char curl_message[CURL_ERROR_SIZE];
    struct igt_outcome outcome;
};

struct igt_http_client {
    uv_loop_t *loop;
    struct ingot_toolkit toolkit;
    CURLM *multi;
    uv_timer_t timer;    /* curl's */
    uv_timer_t reporter; /* for what finished outside of the loop's callbacks */
    unsigned open_timers;
    struct watch **watches; /* by descriptor, NULL where there is none */
    size_t watch_count;
    struct attempt *all, *idle;
    struct attempt *finished, **finished_end; /* not yet reported, in this order */
};

/* A socket of curl's on the loop. */
struct watch {
    uv_poll_t poll;
    struct igt_http_client *client;
    int events; /* that the loop waits for, or 0 */
    int wanted; /* curl waits for some */
    int kept;   /* it is a connection's: watched until it is closed */
};

/* ---- what came of an attempt -------------------------------------------- */

/* Answers, certificates and host names may be part of a message, so it is made printable. */
static void __attribute__((format(printf, 2, 3)))
explain(struct attempt *attempt, const char *format, ...)
{
    char text[CURL_ERROR_SIZE + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    igt_printable(attempt->outcome.message, sizeof attempt->outcome.message, ingot_bytes_of(text));
}

/* "example.com:443"; the rest of the URL may hold secrets */
static void name_endpoint(const char *url, char text[128])
{
    char *host = NULL, *port = NULL;
    CURLU *parts = curl_url();
    if (parts && !curl_url_set(parts, CURLUPART_URL, url, 0) &&
        !curl_url_get(parts, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT))
        snprintf(text, 128, "%s:%s", host, port);
    else
        snprintf(text, 128, "the destination");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
}

static int64_t connect_us(const struct igt_http_config *config)
{
    return config->timeout_us < CONNECT_US_MAX ? config->timeout_us : CONNECT_US_MAX;
}

static void explain_no_connection(struct attempt *attempt, CURLcode code)
{
    char endpoint[128];
    long error = 0;
    name_endpoint(attempt->config->url, endpoint);
    if (attempt->refused[0]) {
        explain(attempt,
                "address %s is not public; if it is meant, set \"addresses: any\" for the "
                "destination",
                attempt->refused);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        explain(attempt, "no connection to %s within %g s", endpoint,
                (double)connect_us(attempt->config) / 1e6);
    } else if (code == CURLE_COULDNT_RESOLVE_HOST) {
        explain(attempt, "could not resolve %s", endpoint);
    } else {
        curl_easy_getinfo(attempt->easy, CURLINFO_OS_ERRNO, &error);
        explain(attempt, "could not connect to %s: %s", endpoint,
                error ? uv_strerror(uv_translate_sys_error((int)error)) : "no address answered");
    }
}

/* curl's own words, of which only those on TLS are kept, for they name no part of the URL but the host. */
static void explain_tls(struct attempt *attempt)
{
    const char *text = attempt->curl_message;
    for (size_t i = 0; i < 2; i++) {
        const char *prefix = i ? "SSL " : "SSL: ";
        if (strncmp(text, prefix, strlen(prefix)) == 0)
            text += strlen(prefix);
    }
    explain(attempt, "TLS: %s", *text ? text : "the handshake failed");
}

static void explain_failure(struct attempt *attempt, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
    case CURLE_WRITE_ERROR:
        if (attempt->header_bytes > HEADER_BYTES_MAX)
            explain(attempt, "the answer has more than %u bytes of headers", HEADER_BYTES_MAX);
        else if (attempt->outcome.status_code / 100 == 3)
            explain(attempt, "answered %d; redirects are not followed, set the url to the new one",
                    attempt->outcome.status_code);
        else
            explain(attempt, "answered %d", attempt->outcome.status_code);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        if (!attempt->connected)
            explain_no_connection(attempt, code);
        else
            explain(attempt, "no answer within %g s", (double)attempt->config->timeout_us / 1e6);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_ABORTED_BY_CALLBACK:
        explain_no_connection(attempt, code);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        explain_tls(attempt);
        break;
    case CURLE_GOT_NOTHING:
        explain(attempt, "the connection was closed without an answer");
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        explain(attempt, "the connection broke before the end of the answer");
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        if (attempt->connected) {
            explain(attempt, "the answer is not HTTP/1");
            break;
        }
        /* fall through */
    default:
        explain(attempt, "could not be sent: %s", curl_easy_strerror(code));
    }
}

static int64_t retry_after(const struct attempt *attempt)
{
    struct curl_header *header;
    if (curl_easy_header(attempt->easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return INGOT_NO_TIME;
    return igt_retry_after_parse(ingot_bytes_of(header->value),
                                 igt_now_us(&attempt->client->toolkit));
}

/* A body that goes on for too long changes nothing: the status said it all. */
static int answer_is_whole(const struct attempt *attempt, CURLcode code)
{
    return code == CURLE_OK || (code == CURLE_WRITE_ERROR && attempt->body_bytes > BODY_BYTES_MAX);
}

static void judge(struct attempt *attempt, CURLcode code)
{
    struct igt_outcome *outcome = &attempt->outcome;
    long status = 0;
    if (answer_is_whole(attempt, code)) {
        curl_easy_getinfo(attempt->easy, CURLINFO_RESPONSE_CODE, &status);
        outcome->status_code = (int)status;
    }
    if (status / 100 == 2) {
        outcome->kind = IGT_OUTCOME_SUCCEEDED;
        return;
    }
    outcome->kind = IGT_OUTCOME_FAILED;
    if (status)
        outcome->retry_after_us = retry_after(attempt);
    explain_failure(attempt, code);
    size_t len = attempt->body_bytes < KEPT_BYTES ? attempt->body_bytes : KEPT_BYTES;
    igt_printable(outcome->answer, sizeof outcome->answer,
                  (struct ingot_bytes){attempt->body, len});
}

/* ---- the life of an attempt --------------------------------------------- */

/* Takes the attempt out of curl; it is reported when control is back with the loop. */
static void finish(struct attempt *attempt)
{
    struct igt_http_client *client = attempt->client;
    curl_multi_remove_handle(client->multi, attempt->easy);
    attempt->phase = FINISHED;
    attempt->next = NULL;
    *client->finished_end = attempt;
    client->finished_end = &attempt->next;
}

/* A report may start and cancel attempts, so the list is looked at anew each time. */
static void report_finished(struct igt_http_client *client)
{
    while (client->finished) {
        struct attempt *attempt = client->finished;
        struct igt_outcome outcome = attempt->outcome;
        client->finished = attempt->next;
        if (!client->finished)
            client->finished_end = &client->finished;
        attempt->phase = IDLE;
        attempt->next = client->idle;
        client->idle = attempt;
        attempt->delivered(attempt->context, &outcome);
    }
}

static void on_reporter(uv_timer_t *timer)
{
    report_finished(timer->data);
}

static void cancel(struct attempt *attempt)
{
    finish(attempt);
    attempt->outcome.kind = IGT_OUTCOME_CANCELLED;
    explain(attempt, "cancelled");
}

void igt_http_cancel_all(struct igt_http_client *client)
{
    for (struct attempt *attempt = client->all; attempt; attempt = attempt->sibling) {
        if (attempt->phase == RUNNING)
            cancel(attempt);
    }
    uv_timer_start(&client->reporter, on_reporter, 0, 0);
}

/* ---- curl's callbacks --------------------------------------------------- */

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct attempt *attempt = context;
    (void)data;
    attempt->header_bytes += size * count;
    return attempt->header_bytes > HEADER_BYTES_MAX ? 0 : size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct attempt *attempt = context;
    size_t len = size * count;
    if (attempt->body_bytes < KEPT_BYTES) {
        size_t room = KEPT_BYTES - attempt->body_bytes;
        memcpy(attempt->body + attempt->body_bytes, data, len < room ? len : room);
    }
    attempt->body_bytes += len;
    return attempt->body_bytes > BODY_BYTES_MAX ? 0 : len;
}

static int admits(struct attempt *attempt, const struct sockaddr *address)
{
    if (attempt->config->addresses == IGT_ADDRESSES_ANY || igt_address_is_public(address))
        return 1;
    uv_ip_name(address, attempt->refused, sizeof attempt->refused);
    return 0;
}

/* A kept connection may have been opened for a destination that may reach any address. */
static int before_request(void *context, char *address, char *own_address, int port, int own_port)
{
    struct attempt *attempt = context;
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    (void)own_address, (void)own_port;
    if (uv_ip4_addr(address, port, (struct sockaddr_in *)&storage) != 0)
        uv_ip6_addr(address, port, (struct sockaddr_in6 *)&storage);
    if (!admits(attempt, (struct sockaddr *)&storage))
        return CURL_PREREQFUNC_ABORT;
    attempt->connected = 1;
    return CURL_PREREQFUNC_OK;
}

/* ---- curl on the loop --------------------------------------------------- */

static void finish_done(struct igt_http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct attempt *attempt = (void *)private;
        judge(attempt, message->data.result);
        finish(attempt);
    }
    report_finished(client);
}

static void on_timer(uv_timer_t *timer)
{
    struct igt_http_client *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(client);
}

static int set_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct igt_http_client *client = context;
    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* ---- curl's sockets on the loop ------------------------------------------ */

/*
 * Between two requests curl does not wait for a connection, and says so. Its
 * watching goes on nevertheless, because to stop it and start it again costs
 * six system calls a request; that of a connection on which something happens
 * meanwhile is stopped, for nobody reads it.
 */
static struct watch *find_watch(const struct igt_http_client *client, curl_socket_t fd)
{
    return (size_t)fd < client->watch_count ? client->watches[fd] : NULL;
}

static int make_room_for(struct igt_http_client *client, curl_socket_t fd)
{
    size_t count = client->watch_count ? client->watch_count : 64;
    while (count <= (size_t)fd)
        count *= 2;
    if (count == client->watch_count)
        return 1;
    struct watch **watches = realloc(client->watches, count * sizeof(struct watch *));
    if (!watches)
        return 0;
    memset(watches + client->watch_count, 0,
           (count - client->watch_count) * sizeof(struct watch *));
    client->watches = watches;
    client->watch_count = count;
    return 1;
}

/* Without memory the socket is not watched, and its attempt ends at its time-out: an error would end all. */
static struct watch *begin_watch(struct igt_http_client *client, curl_socket_t fd)
{
    struct watch *watch = make_room_for(client, fd) ? calloc(1, sizeof *watch) : NULL;
    if (!watch || uv_poll_init_socket(client->loop, &watch->poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    /* An attempt has a time-out, which keeps the loop running; an idle connection shall not. */
    uv_unref((uv_handle_t *)&watch->poll);
    watch->poll.data = watch;
    watch->client = client;
    client->watches[fd] = watch;
    return watch;
}

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static void end_watch(struct igt_http_client *client, curl_socket_t fd)
{
    uv_close((uv_handle_t *)&client->watches[fd]->poll, free_watch);
    client->watches[fd] = NULL;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct igt_http_client *client = watch->client;
    int running, action = 0;
    uv_os_fd_t fd = -1;
    uv_fileno((uv_handle_t *)poll, &fd);
    if (status < 0 || !watch->wanted) {
        uv_poll_stop(poll);
        watch->events = 0;
    }
    if (!watch->wanted)
        return;
    if (status < 0)
        action = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        action |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        action |= CURL_CSELECT_OUT;
    curl_multi_socket_action(client->multi, fd, action, &running);
    finish_done(client);
}

/* And not one end of the resolver's pair, which curl closes by itself. */
static int is_of_internet(curl_socket_t fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
    struct igt_http_client *client = context;
    struct watch *watch = find_watch(client, fd);
    (void)easy, (void)assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch && watch->kept)
            watch->wanted = 0;
        else if (watch)
            end_watch(client, fd);
        return 0;
    }
    if (!watch)
        watch = begin_watch(client, fd);
    if (!watch)
        return 0;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    if (watch->events != events)
        uv_poll_start(&watch->poll, events, on_ready);
    watch->events = events;
    watch->wanted = 1;
    /* Only what is connected is waited for to read; curl closes what is not without a word. */
    if (!watch->kept && events & UV_READABLE)
        watch->kept = is_of_internet(fd);
    return 0;
}

/* Here the address is the one that will be connected to, whatever names and spellings led to it. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    if (!admits(context, &address->addr))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Who has the number of this descriptor next is another: it must not be watched for this one. */
static int close_socket(void *context, curl_socket_t fd)
{
    struct igt_http_client *client = context;
    if (find_watch(client, fd))
        end_watch(client, fd);
    return close(fd);
}

/* ---- starting an attempt ------------------------------------------------ */

/* What is the same for every attempt. */
static int set_up(struct attempt *attempt)
{
    CURL *easy = attempt->easy;
    return !curl_easy_setopt(easy, CURLOPT_PRIVATE, attempt) &&
           !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, attempt->curl_message) &&
           !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           /* One attempt a connection, so that none can hurt another. */
           !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(easy, CURLOPT_PROXY, "") &&
           /* Or the environment would be searched for hosts without one, for every request. */
           !curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") &&
           !curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
           !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
           /* Or the end of an attempt would wait for the resolver's thread, and the loop with it. */
           !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_USERAGENT, "ingot/" INGOT_VERSION) &&
           !curl_easy_setopt(easy, CURLOPT_POST, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) &&
           !curl_easy_setopt(easy, CURLOPT_HEADERDATA, attempt) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEDATA, attempt) &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, attempt) &&
           !curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) &&
           /* A connection outlives the attempt that opened it. */
           !curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, attempt->client) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQDATA, attempt);
}

static struct attempt *make_attempt(struct igt_http_client *client)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return NULL;
    attempt->client = client;
    attempt->easy = curl_easy_init();
    if (!attempt->easy || !set_up(attempt)) {
        curl_easy_cleanup(attempt->easy);
        free(attempt);
        return NULL;
    }
    attempt->sibling = client->all;
    client->all = attempt;
    return attempt;
}

/* Attempts are kept until the end: there are as many as ever ran at the same time. */
static struct attempt *take_attempt(struct igt_http_client *client)
{
    struct attempt *attempt = client->idle;
    if (!attempt)
        return make_attempt(client);
    client->idle = attempt->next;
    attempt->connected = 0;
    attempt->refused[0] = '\0';
    attempt->header_bytes = attempt->body_bytes = 0;
    attempt->curl_message[0] = '\0';
    memset(&attempt->outcome, 0, sizeof attempt->outcome);
    return attempt;
}

/* curl's list, made of our own nodes and of texts that live as long as the attempt: nothing is copied. */
static struct curl_slist *make_list(struct attempt *attempt, const char *const *own, size_t count)
{
    const struct igt_http_config *config = attempt->config;
    size_t all = count + config->header_count;
    if (attempt->header_room < all) {
        struct curl_slist *headers = realloc(attempt->headers, all * sizeof *headers);
        if (!headers)
            return NULL;
        attempt->headers = headers;
        attempt->header_room = all;
    }
    for (size_t i = 0; i < all; i++) {
        const char *text = i < count ? own[i] : config->headers[i - count];
        attempt->headers[i].data = (char *)(uintptr_t)text; /* curl only reads it */
        attempt->headers[i].next = i + 1 < all ? &attempt->headers[i + 1] : NULL;
    }
    return attempt->headers;
}

static void write_id(char text[HEADER_TEXT_BYTES], const char *name,
                     const char id[INGOT_KSUID_TEXT_LEN + 1])
{
    size_t len = strlen(name);
    memcpy(text, name, len);
    memcpy(text + len, id, INGOT_KSUID_TEXT_LEN + 1);
}

static struct curl_slist *make_headers(struct attempt *attempt, const struct igt_delivery *delivery)
{
    const char *const own[] = {"Content-Type: application/json",
                               "Expect:",
                               attempt->key,
                               attempt->id,
                               attempt->timestamp,
                               attempt->event_id,
                               attempt->number};
    write_id(attempt->key, "Idempotency-Key: ", delivery->job_id);
    write_id(attempt->id, "webhook-id: ", delivery->job_id);
    write_id(attempt->event_id, "Ingot-Event-Id: ", delivery->event_id);
    snprintf(attempt->timestamp, sizeof attempt->timestamp, "webhook-timestamp: %lld",
             (long long)(igt_now_us(&attempt->client->toolkit) / 1000000));
    snprintf(attempt->number, sizeof attempt->number, "Ingot-Attempt: %u", delivery->attempt);
    return make_list(attempt, own, sizeof own / sizeof *own);
}

/* Rounded up, for 0 would be "for ever". */
static long milliseconds(int64_t us)
{
    return (long)((us + 999) / 1000);
}

/*
 * The text alone would be taken to pieces and put together again for every
 * request. One that is wrong is curl's to refuse, as it sets out.
 */
static int set_url(struct attempt *attempt)
{
    const char *url = attempt->config->url;
    if (attempt->url && strcmp(attempt->url, url) == 0)
        return 1;
    CURLU *parts = curl_url();
    int is_right = parts && !curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    if (!parts || curl_easy_setopt(attempt->easy, CURLOPT_URL, url) ||
        curl_easy_setopt(attempt->easy, CURLOPT_CURLU, is_right ? parts : NULL)) {
        curl_url_cleanup(parts);
        return 0;
    }
    curl_url_cleanup(attempt->parts);
    free(attempt->url);
    attempt->parts = parts;
    attempt->url = strdup(url); /* without it, the next attempt sets the URL again */
    return 1;
}

/* Nothing in here can fail but for want of memory; a URL is looked at only when curl sets out. */
static int prepare(struct attempt *attempt, const struct igt_delivery *delivery)
{
    const struct igt_http_config *config = attempt->config;
    const void *body = delivery->body.data ? delivery->body.data : "";
    curl_off_t len = (curl_off_t)delivery->body.len;
    CURL *easy = attempt->easy;
    struct curl_slist *headers = make_headers(attempt, delivery);
    return headers && set_url(attempt) && !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, len) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) &&
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(config->timeout_us)) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect_us(config))) &&
           !curl_multi_add_handle(attempt->client->multi, easy);
}

enum ingot_status igt_http_deliver(struct igt_http_client *client,
                                   const struct igt_http_config *config,
                                   const struct igt_delivery *delivery, igt_delivered_fn *delivered,
                                   void *context)
{
    struct attempt *attempt = take_attempt(client);
    if (!attempt)
        return INGOT_NOMEM;
    attempt->config = config;
    attempt->delivered = delivered;
    attempt->context = context;
    attempt->phase = RUNNING;
    attempt->outcome.retry_after_us = INGOT_NO_TIME;
    if (!prepare(attempt, delivery)) {
        judge(attempt, CURLE_OUT_OF_MEMORY);
        finish(attempt);
        uv_timer_start(&client->reporter, on_reporter, 0, 0);
    }
    return INGOT_OK;
}

/* ---- the client --------------------------------------------------------- */

static int set_up_multi(struct igt_http_client *client)
{
    return !curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket) &&
           !curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) &&
           !curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer) &&
           !curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) &&
           !curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
}

enum ingot_status igt_http_client_create(uv_loop_t *loop, const struct ingot_toolkit *toolkit,
                                         struct igt_http_client **ret_client,
                                         struct ingot_error *err)
{
    struct igt_http_client *client = calloc(1, sizeof *client);
    if (!client)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out for the HTTP client");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return ingot_error_set(err, INGOT_IO, "libcurl could not be initialised");
    }
    client->multi = curl_multi_init();
    if (!client->multi || !set_up_multi(client)) {
        curl_multi_cleanup(client->multi);
        curl_global_cleanup();
        free(client);
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out for the HTTP client");
    }
    client->loop = loop;
    if (toolkit)
        client->toolkit = *toolkit;
    client->finished_end = &client->finished;
    uv_timer_init(loop, &client->timer);
    uv_timer_init(loop, &client->reporter);
    client->timer.data = client->reporter.data = client;
    client->open_timers = 2;
    *ret_client = client;
    return INGOT_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct igt_http_client *client = handle->data;
    if (--client->open_timers == 0)
        free(client);
}

void igt_http_client_destroy(struct igt_http_client *client)
{
    if (!client)
        return;
    igt_http_cancel_all(client);
    report_finished(client);
    for (struct attempt *attempt = client->all, *sibling; attempt; attempt = sibling) {
        sibling = attempt->sibling;
        curl_easy_cleanup(attempt->easy);
        curl_url_cleanup(attempt->parts);
        free(attempt->url);
        free(attempt->headers);
        free(attempt);
    }
    curl_multi_cleanup(client->multi);
    curl_global_cleanup();
    free(client->watches);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
    uv_close((uv_handle_t *)&client->reporter, on_timer_closed);
}
