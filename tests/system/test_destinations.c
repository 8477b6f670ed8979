/*
 * HTTP and command destinations on a real loop, against peers that misbehave
 * and against ingot-sink, whose path is the program's argument.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "destinations/destination.h"

#define NOW_US (INT64_C(1795435200) * 1000000 + 250000)
#define REPORTS_MAX 8u
#define GUARD_MS 30000u
#define JOB_ID "2wpbQ8mRxYt0aZk3LhJc5VdN1sE"
#define EVENT_ID "2wpbQ6f1UoTq9GyXrB4MzKe7HcA"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const char *sink_path;
static char folder[64];

/* What was reported of one delivery. */
struct report {
    struct bench *bench;
    struct igt_outcome outcome;
    unsigned count;
};

/* What a peer does when it has read a whole request. */
struct behaviour {
    const char *answer;  /* written once; NULL: never answers */
    size_t answer_len;   /* 0: up to the NUL */
    const char *endless; /* then written over and over */
    enum { STAYS, CLOSES } then;
};

/* A server of one connection after the other, on the same loop. */
struct peer {
    uv_tcp_t listener;
    struct behaviour behaviour;
    unsigned port, connections, requests;
    uint64_t sent_bytes;
    char request[4096]; /* the last one */
};

struct bench {
    uv_loop_t loop;
    uv_timer_t guard;
    int expired;
    struct igt_http_client *http;
    struct igt_command_runner *runner;
    struct peer peer;
    char url[128];
    struct igt_http_config config;
    struct igt_delivery delivery;
    struct report reports[REPORTS_MAX];
    unsigned reported;
    pid_t sink; /* to be ended also when its test fails */
};

static int64_t fixed_now_us(void *context)
{
    (void)context;
    return NOW_US;
}

static const struct ingot_toolkit toolkit = {.now_us = fixed_now_us};

/* ---- the bench ---------------------------------------------------------- */

static void on_guard(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    bench->expired = 1;
    uv_stop(&bench->loop);
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    uv_timer_init(&bench->loop, &bench->guard);
    bench->guard.data = bench;
    uv_timer_start(&bench->guard, on_guard, GUARD_MS, 0);
    assert_int_equal(igt_http_client_create(&bench->loop, &toolkit, &bench->http, NULL), INGOT_OK);
    assert_int_equal(igt_command_runner_create(&bench->loop, &bench->runner, NULL), INGOT_OK);
    bench->config = (struct igt_http_config){
        .url = bench->url, .timeout_us = 10000000, .addresses = IGT_ADDRESSES_ANY};
    bench->delivery = (struct igt_delivery){.destination = "billing",
                                            .event_id = EVENT_ID,
                                            .job_id = JOB_ID,
                                            .attempt = 3,
                                            .body = ingot_bytes_of("{\"data\":1}")};
    *state = bench;
    return 0;
}

/* Every handle must be closed at the end, or the loop cannot be. */
static int tear_down(void **state)
{
    struct bench *bench = *state;
    if (bench->sink) {
        kill(bench->sink, SIGKILL);
        waitpid(bench->sink, NULL, 0);
    }
    igt_http_client_destroy(bench->http);
    igt_command_runner_destroy(bench->runner);
    uv_close((uv_handle_t *)&bench->guard, NULL);
    if (bench->peer.port)
        uv_close((uv_handle_t *)&bench->peer.listener, NULL);
    while (uv_run(&bench->loop, UV_RUN_DEFAULT))
        continue;
    int status = uv_loop_close(&bench->loop);
    free(bench);
    return status;
}

static void on_delivered(void *context, const struct igt_outcome *outcome)
{
    struct report *report = context;
    report->outcome = *outcome;
    report->count++;
    report->bench->reported++;
    uv_stop(&report->bench->loop);
}

static struct report *next_report(struct bench *bench, unsigned number)
{
    assert_true(number < REPORTS_MAX);
    bench->reports[number] = (struct report){.bench = bench};
    return &bench->reports[number];
}

/* Whatever moves a counter stops the loop, so that it is looked at. */
static void run_until(struct bench *bench, const unsigned *counter, unsigned value)
{
    while (*counter < value && !bench->expired)
        uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_false(bench->expired);
}

static void expect_printable(const char *text)
{
    char again[256];
    igt_printable(again, sizeof again, ingot_bytes_of(text));
    assert_string_equal(text, again);
}

/* One delivery from start to report, and what holds for all of them. */
static const struct igt_outcome *deliver(struct bench *bench)
{
    struct report *report = next_report(bench, 0);
    bench->reported = 0;
    assert_int_equal(
        igt_http_deliver(bench->http, &bench->config, &bench->delivery, on_delivered, report),
        INGOT_OK);
    assert_int_equal(report->count, 0);
    run_until(bench, &bench->reported, 1);
    assert_null(strstr(report->outcome.message, "secret"));
    expect_printable(report->outcome.message);
    expect_printable(report->outcome.answer);
    if (report->outcome.kind == IGT_OUTCOME_FAILED)
        assert_true(report->outcome.message[0] != '\0');
    return &report->outcome;
}

/* ---- the peer ----------------------------------------------------------- */

struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    struct peer *peer;
    char text[4096];
    size_t len;
};

static void free_connection(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_connection(struct connection *connection)
{
    if (!uv_is_closing((uv_handle_t *)&connection->tcp))
        uv_close((uv_handle_t *)&connection->tcp, free_connection);
}

static void send_bytes(struct connection *connection, const char *bytes, size_t len);

static void on_sent(uv_write_t *write, int status)
{
    struct connection *connection = write->data;
    const struct behaviour *behaviour = &connection->peer->behaviour;
    if (status < 0)
        close_connection(connection);
    else if (behaviour->endless)
        send_bytes(connection, behaviour->endless, strlen(behaviour->endless));
    else if (behaviour->then == CLOSES)
        close_connection(connection);
}

static void send_bytes(struct connection *connection, const char *bytes, size_t len)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
    connection->peer->sent_bytes += len;
    connection->write.data = connection;
    uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &buffer, 1, on_sent);
}

static int request_is_whole(const struct connection *connection)
{
    const char *body = strstr(connection->text, "\r\n\r\n");
    const char *header = strcasestr(connection->text, "\r\ncontent-length:");
    if (!body || !header)
        return 0;
    size_t body_len = connection->len - (size_t)(body + 4 - connection->text);
    return body_len >= strtoul(strchr(header, ':') + 1, NULL, 10);
}

static void on_request(struct connection *connection)
{
    struct peer *peer = connection->peer;
    const struct behaviour *behaviour = &peer->behaviour;
    memcpy(peer->request, connection->text, sizeof peer->request);
    peer->requests++;
    uv_stop(connection->tcp.loop);
    connection->len = 0;
    if (behaviour->answer)
        send_bytes(connection, behaviour->answer,
                   behaviour->answer_len ? behaviour->answer_len : strlen(behaviour->answer));
    else if (behaviour->then == CLOSES)
        close_connection(connection);
}

static void lend(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    struct connection *connection = handle->data;
    (void)size;
    *buffer = uv_buf_init(connection->text + connection->len,
                          (unsigned)(sizeof connection->text - 1 - connection->len));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    (void)buffer;
    if (len < 0) {
        close_connection(connection);
        return;
    }
    connection->len += (size_t)len;
    connection->text[connection->len] = '\0';
    if (request_is_whole(connection))
        on_request(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peer *peer = listener->data;
    struct connection *connection = calloc(1, sizeof *connection);
    if (status < 0 || !connection)
        abort();
    uv_tcp_init(listener->loop, &connection->tcp);
    connection->tcp.data = connection;
    connection->peer = peer;
    peer->connections++;
    uv_accept(listener, (uv_stream_t *)&connection->tcp);
    uv_read_start((uv_stream_t *)&connection->tcp, lend, on_read);
}

static unsigned port_of(const uv_tcp_t *tcp)
{
    struct sockaddr_in address;
    int len = sizeof address;
    assert_int_equal(uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void set_url(struct bench *bench, const char *host, unsigned port)
{
    snprintf(bench->url, sizeof bench->url, "http://%s:%u/secret-path?token=secret", host, port);
}

/* Listens on 127.0.0.1, and lets deliveries go there. */
static void start_peer(struct bench *bench, struct behaviour behaviour)
{
    struct peer *peer = &bench->peer;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&bench->loop, &peer->listener);
    peer->listener.data = peer;
    peer->behaviour = behaviour;
    assert_int_equal(uv_tcp_bind(&peer->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&peer->listener, 64, on_connection), 0);
    peer->port = port_of(&peer->listener);
    set_url(bench, "127.0.0.1", peer->port);
}

/* ---- HTTP: answers ------------------------------------------------------ */

static void a_status_of_2xx_is_success(void **state)
{
    struct bench *bench = *state;
    static const struct {
        int status;
        const char *answer;
    } cases[] = {{200, OK_ANSWER},
                 {202, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"},
                 {204, "HTTP/1.1 204 No Content\r\n\r\n"},
                 {299, "HTTP/1.1 299 Odd\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
                 {200, "HTTP/1.1 103 Early Hints\r\n\r\n" OK_ANSWER}};
    start_peer(bench, (struct behaviour){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench->peer.behaviour.answer = cases[i].answer;
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_SUCCEEDED);
        assert_int_equal(outcome->status_code, cases[i].status);
        assert_true(outcome->retry_after_us == INGOT_NO_TIME);
        assert_string_equal(outcome->message, "");
    }
}

static void the_request_is_a_post_of_json_with_its_ids(void **state)
{
    struct bench *bench = *state;
    static const char *const parts[] = {
        "\r\nContent-Type: application/json\r\n",
        "\r\nIdempotency-Key: " JOB_ID "\r\n",
        "\r\nwebhook-id: " JOB_ID "\r\n",
        "\r\nwebhook-timestamp: 1795435200\r\n",
        "\r\nIngot-Event-Id: " EVENT_ID "\r\n",
        "\r\nIngot-Attempt: 3\r\n",
        "\r\nUser-Agent: ingot/" INGOT_VERSION "\r\n",
        "\r\nContent-Length: 10\r\n",
        "\r\n\r\n{\"data\":1}",
    };
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    deliver(bench);
    const char *request = bench->peer.request;
    assert_ptr_equal(strstr(request, "POST /secret-path?token=secret HTTP/1.1\r\n"), request);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!strstr(request, parts[i]))
            fail_msg("no \"%s\" in: %s", parts[i], request);
    }
    assert_null(strcasestr(request, "\r\nexpect:"));
    assert_null(strcasestr(request, "\r\naccept-encoding:"));
}

static void configured_headers_are_sent(void **state)
{
    struct bench *bench = *state;
    static const char *const headers[] = {"Authorization: Bearer secret", "X-Two: 2"};
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    bench->config.headers = headers;
    bench->config.header_count = 2;
    deliver(bench);
    assert_non_null(strstr(bench->peer.request, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(bench->peer.request, "\r\nX-Two: 2\r\n"));
}

static void expect_request_for(struct bench *bench, const char *path)
{
    char line[64];
    snprintf(bench->url, sizeof bench->url, "http://127.0.0.1:%u%s", bench->peer.port, path);
    snprintf(line, sizeof line, "POST %s HTTP/1.1\r\n", path);
    bench->config.url = bench->url;
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
    assert_ptr_equal(strstr(bench->peer.request, line), bench->peer.request);
}

/* What is kept of one URL for the next attempt is not used for another. */
static void each_attempt_goes_to_its_own_url(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    expect_request_for(bench, "/a");
    expect_request_for(bench, "/a");
    expect_request_for(bench, "/b?c");
    bench->config.url = "relative";
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_FAILED);
    expect_request_for(bench, "/b?c");
    assert_int_equal(bench->peer.connections, 1);
}

static void any_other_status_is_failure_with_the_beginning_of_the_answer(void **state)
{
    struct bench *bench = *state;
    static const int statuses[] = {400, 401, 404, 410, 429, 500, 502, 503, 504, 599};
    char answer[128], message[32];
    start_peer(bench, (struct behaviour){.answer = answer});
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %d Reason secret\r\nContent-Length: 9\r\n\r\nno stock\n", statuses[i]);
        snprintf(message, sizeof message, "answered %d", statuses[i]);
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        assert_int_equal(outcome->status_code, statuses[i]);
        assert_string_equal(outcome->message, message);
        assert_string_equal(outcome->answer, "no stock");
        assert_true(outcome->retry_after_us == INGOT_NO_TIME);
    }
}

static void retry_after_is_an_instant_by_the_toolkits_clock(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = "HTTP/1.1 503 Busy\r\nretry-after: 120 \r\n"
                                                   "Content-Length: 0\r\n\r\n"});
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->status_code, 503);
    assert_true(outcome->retry_after_us == NOW_US + 120 * INT64_C(1000000));
}

static void a_redirect_is_failure_and_not_followed(void **state)
{
    struct bench *bench = *state;
    static const int statuses[] = {301, 302, 303, 307, 308};
    char answer[160];
    start_peer(bench, (struct behaviour){.answer = answer});
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %d Moved\r\nLocation: http://127.0.0.1:%u/secret\r\n"
                 "Content-Length: 0\r\n\r\n",
                 statuses[i], bench->peer.port);
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        assert_int_equal(outcome->status_code, statuses[i]);
        assert_non_null(strstr(outcome->message, "redirects are not followed"));
        assert_int_equal(bench->peer.requests, i + 1);
    }
}

static void a_hostile_answer_is_made_printable(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = "HTTP/1.1 500 X\r\nContent-Length: 11\r\n\r\n"
                                                   "a\x1b[2J\xff\xc3\xa9\xe2\x80\xae"});
    const struct igt_outcome *outcome = deliver(bench);
    assert_string_equal(outcome->message, "answered 500");
    assert_string_equal(outcome->answer, "a?[2J?\xc3\xa9???");
}

static void a_long_answer_is_cut_between_characters(void **state)
{
    struct bench *bench = *state;
    char answer[1100] = "HTTP/1.1 500 X\r\nContent-Length: 1000\r\n\r\n";
    for (size_t i = 0; i < 500; i++)
        strncat(answer, "\xc3\xa9", sizeof answer - strlen(answer) - 1);
    start_peer(bench, (struct behaviour){.answer = answer});
    assert_int_equal(strlen(deliver(bench)->answer), 254);
}

static const char zeros[] =
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0";

static void a_body_of_a_gigabyte_is_cut_and_the_status_decides(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.endless = zeros});
    bench->peer.behaviour.answer = "HTTP/1.1 500 X\r\nContent-Length: 1073741824\r\n\r\n";
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_int_equal(outcome->status_code, 500);
    assert_string_equal(outcome->message, "answered 500");

    bench->peer.behaviour.answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n";
    outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_SUCCEEDED);
    /* What fits in the kernel's buffers may be sent too. */
    assert_true(bench->peer.sent_bytes < 64u << 20);
}

static void headers_without_end_are_cut(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = "HTTP/1.1 200 OK\r\n",
                                         .endless = "X-Filler: 000000000000000000000000\r\n"});
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "the answer has more than 65536 bytes of headers");
}

static void interim_answers_without_end_are_cut(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = "HTTP/1.1 100 Continue\r\n\r\n",
                                         .endless = "HTTP/1.1 100 Continue\r\n\r\n"});
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "the answer has more than 65536 bytes of headers");
}

static void garbage_is_failure(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *bytes;
        size_t len;
    } answers[] = {
        {"<html>hello</html>\n", 19},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21},
        {"\0\0\0\0\0\0\0\0", 8},
        {"\x16\x03\x01\x02\x00\x01\xff\xff", 8},
        {"HTTP/1.1 \r\n\r\n", 13},
        {"HTTP/1.1 99999 X\r\n\r\n", 20},
        {"HTTP/7.3 200 OK\r\n\r\n", 19},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", 39},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 51},
    };
    start_peer(bench, (struct behaviour){.then = CLOSES});
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        bench->peer.behaviour.answer = answers[i].bytes;
        bench->peer.behaviour.answer_len = answers[i].len;
        const struct igt_outcome *outcome = deliver(bench);
        if (outcome->kind != IGT_OUTCOME_FAILED || outcome->status_code != 0)
            fail_msg("answer %zu was taken for status %d", i, outcome->status_code);
    }
}

static void a_connection_closed_without_an_answer_is_failure(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.then = CLOSES});
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "the connection was closed without an answer");
}

static void an_answer_that_breaks_off_is_failure(void **state)
{
    struct bench *bench = *state;
    start_peer(bench,
               (struct behaviour){.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
                                  .then = CLOSES});
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "the connection broke before the end of the answer");
    assert_int_equal(outcome->status_code, 0);
}

/* ---- HTTP: time and connections ----------------------------------------- */

static void a_destination_that_never_answers_is_given_up_at_its_time_out(void **state)
{
    struct bench *bench = *state;
    static const char *const beginnings[] = {NULL, "HTTP/1.1 200 OK\r\nX: y\r\n",
                                             "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"};
    start_peer(bench, (struct behaviour){0});
    bench->config.timeout_us = 150000;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        bench->peer.behaviour.answer = beginnings[i];
        uint64_t begin_ns = uv_hrtime();
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        assert_string_equal(outcome->message, "no answer within 0.15 s");
        assert_true(uv_hrtime() - begin_ns >= 140000000u);
    }
}

static void a_time_out_below_a_millisecond_is_not_for_ever(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){0});
    bench->config.timeout_us = 1;
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_FAILED);
}

/* A port on which nobody listens, and nobody else will while the socket is open. */
static int take_closed_port(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void a_refused_connection_is_named(void **state)
{
    struct bench *bench = *state;
    char message[96];
    unsigned port;
    int fd = take_closed_port(&port);
    set_url(bench, "127.0.0.1", port);
    snprintf(message, sizeof message, "could not connect to 127.0.0.1:%u: connection refused",
             port);
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, message);
    close(fd);
}

/* A label of more than 63 characters is not even asked for. */
#define NO_NAME "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid"

static void a_name_without_an_address_is_named(void **state)
{
    struct bench *bench = *state;
    bench->config.url = "http://" NO_NAME "/secret";
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "could not resolve " NO_NAME ":80");
}

static void connections_are_used_again(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
        assert_int_equal(bench->peer.requests, i);
    }
    assert_int_equal(bench->peer.connections, 1);
}

/* curl's doing, with the same URL and the same headers. */
static void a_request_on_a_dead_connection_is_sent_once_more(void **state)
{
    struct bench *bench = *state;
    struct report *report = next_report(bench, 0);
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    deliver(bench);
    bench->peer.behaviour = (struct behaviour){.then = CLOSES};
    igt_http_deliver(bench->http, &bench->config, &bench->delivery, on_delivered, report);
    run_until(bench, &bench->peer.requests, 2);
    bench->peer.behaviour = (struct behaviour){.answer = OK_ANSWER};
    run_until(bench, &bench->reported, 2);
    assert_int_equal(report->outcome.kind, IGT_OUTCOME_SUCCEEDED);
    assert_int_equal(bench->peer.connections, 2);
    assert_int_equal(bench->peer.requests, 3);
    assert_ptr_equal(strstr(bench->peer.request, "POST /secret-path?token=secret HTTP/1.1\r\n"),
                     bench->peer.request);
    assert_non_null(strstr(bench->peer.request, "\r\nIdempotency-Key: " JOB_ID "\r\n"));
}

static void what_cannot_be_started_is_reported_later(void **state)
{
    struct bench *bench = *state;
    static const char *const urls[] = {"ftp://127.0.0.1/secret", "file:///etc/passwd", "http://",
                                       "gopher://127.0.0.1/secret",
                                       "http://user:secret@127.0.0.1:1/"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        bench->config.url = urls[i];
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        assert_non_null(strstr(outcome->message, "could not be sent"));
    }
}

/* ---- HTTP: descriptors -------------------------------------------------- */

#define TWO_NAME "two.invalid"
#define DESCRIPTORS_TRIED 128

/* In place of libc's, for curl too: a name that has an address of either family. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_addresses)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || strcmp(name, TWO_NAME) != 0)
        return real(name, service, hints, ret_addresses);
    int status = real("::1", service, hints, ret_addresses);
    return status ? status : real("127.0.0.1", service, hints, &(*ret_addresses)->ai_next);
}

static unsigned watches_begun_and_ended;

/* In place of libc's, for libuv too; what the peer waits for is only modified. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    watches_begun_and_ended += operation != EPOLL_CTL_MOD;
    return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

static void a_kept_connection_is_watched_without_a_break(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    deliver(bench);
    deliver(bench);
    watches_begun_and_ended = 0;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
    assert_int_equal(watches_begun_and_ended, 0);
}

/* Whoever else is given the number of a descriptor that was closed can use it on the loop. */
static void expect_closed_descriptors_are_free(struct bench *bench)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    for (int fd = 3; fd < DESCRIPTORS_TRIED; fd++) {
        uv_poll_t other;
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        assert_int_equal(dup2(pair[0], fd), fd);
        assert_int_equal(uv_poll_init_socket(&bench->loop, &other, fd), 0);
        uv_close((uv_handle_t *)&other, NULL);
        uv_run(&bench->loop, UV_RUN_NOWAIT);
        close(fd);
    }
    close(pair[0]);
    close(pair[1]);
}

static void a_connection_that_is_closed_leaves_its_number_to_others(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
    bench->peer.behaviour.answer = NULL;
    bench->config.timeout_us = 50000;
    assert_string_equal(deliver(bench)->message, "no answer within 0.05 s");
    assert_int_equal(bench->peer.connections, 1);
    expect_closed_descriptors_are_free(bench);

    bench->peer.behaviour.answer = OK_ANSWER;
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
}

static void what_resolved_a_name_leaves_its_number_to_others(void **state)
{
    struct bench *bench = *state;
    bench->config.url = "http://" NO_NAME "/secret";
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_FAILED);
    expect_closed_descriptors_are_free(bench);
}

static void what_did_not_connect_leaves_its_number_to_others(void **state)
{
    struct bench *bench = *state;
    unsigned port;
    int fd = take_closed_port(&port);
    set_url(bench, "127.0.0.1", port);
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_FAILED);
    expect_closed_descriptors_are_free(bench);
    close(fd);
}

/* Listens on ::1, where connections are neither taken nor refused; fds[0] is -1 if there is no IPv6. */
static void start_silence(unsigned port, int fds[4])
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    fds[0] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fds[0], (struct sockaddr *)&address, sizeof address) != 0) {
        close(fds[0]);
        fds[0] = -1;
        return;
    }
    assert_int_equal(listen(fds[0], 0), 0);
    for (int i = 1; i < 4; i++) {
        fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
}

/* Of two that connect at the same time, curl closes the slower one without a word. */
static void who_was_slower_to_connect_leaves_its_number_to_others(void **state)
{
    struct bench *bench = *state;
    int fds[4];
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    start_silence(bench->peer.port, fds);
    if (fds[0] < 0)
        skip();
    set_url(bench, TWO_NAME, bench->peer.port);
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    expect_closed_descriptors_are_free(bench);
}

/* Else the loop would not come to rest until the next request to this destination. */
static void a_kept_connection_that_the_destination_closed_is_let_be(void **state)
{
    struct bench *bench = *state;
    struct pollfd ready = {.events = POLLIN};
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER, .then = CLOSES});
    ready.fd = uv_backend_fd(&bench->loop);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
        assert_int_equal(bench->peer.connections, i);
        for (unsigned turn = 0; turn < 10; turn++)
            uv_run(&bench->loop, UV_RUN_NOWAIT);
        assert_int_equal(poll(&ready, 1, 0), 0);
    }
}

/* ---- HTTP: addresses ---------------------------------------------------- */

static void an_address_that_is_not_public_is_refused_by_default(void **state)
{
    struct bench *bench = *state;
    static const char *const hosts[] = {
        "127.0.0.1", "2130706433",         "0x7f.1", "127.1", "0177.0.0.1",
        "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"};
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    bench->config.addresses = IGT_ADDRESSES_PUBLIC;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        set_url(bench, hosts[i], bench->peer.port);
        const struct igt_outcome *outcome = deliver(bench);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        if (!strstr(outcome->message, "is not public") ||
            !strstr(outcome->message, "addresses: any"))
            fail_msg("%s: %s", hosts[i], outcome->message);
    }
    set_url(bench, "127.1", bench->peer.port);
    assert_non_null(strstr(deliver(bench)->message, "address 127.0.0.1 is"));
    assert_int_equal(bench->peer.connections, 0);
}

static void a_kept_connection_is_no_way_around_the_refusal(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
    bench->config.addresses = IGT_ADDRESSES_PUBLIC;
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_non_null(strstr(outcome->message, "address 127.0.0.1 is not public"));
    assert_int_equal(bench->peer.requests, 1);
}

/* ---- HTTP: cancelling --------------------------------------------------- */

static void start_some(struct bench *bench, unsigned count)
{
    bench->reported = 0;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(igt_http_deliver(bench->http, &bench->config, &bench->delivery,
                                          on_delivered, next_report(bench, i)),
                         INGOT_OK);
}

static void expect_cancelled_once(const struct bench *bench, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(bench->reports[i].count, 1);
        assert_int_equal(bench->reports[i].outcome.kind, IGT_OUTCOME_CANCELLED);
    }
}

static void cancelled_attempts_are_reported_once(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){0});
    start_some(bench, 3);
    run_until(bench, &bench->peer.requests, 3);
    igt_http_cancel_all(bench->http);
    igt_http_cancel_all(bench->http);
    assert_int_equal(bench->reported, 0);
    run_until(bench, &bench->reported, 3);
    igt_http_cancel_all(bench->http);
    uv_run(&bench->loop, UV_RUN_NOWAIT);
    expect_cancelled_once(bench, 3);

    bench->peer.behaviour.answer = OK_ANSWER;
    assert_int_equal(deliver(bench)->kind, IGT_OUTCOME_SUCCEEDED);
}

static void attempts_can_be_cancelled_before_the_loop_has_seen_them(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    start_some(bench, 2);
    igt_http_cancel_all(bench->http);
    run_until(bench, &bench->reported, 2);
    expect_cancelled_once(bench, 2);
}

static void destroying_the_client_reports_what_runs(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){0});
    start_some(bench, 3);
    run_until(bench, &bench->peer.requests, 3);
    igt_http_client_destroy(bench->http);
    bench->http = NULL;
    expect_cancelled_once(bench, 3);
}

static void on_delivered_deliver_again(void *context, const struct igt_outcome *outcome)
{
    struct report *report = context;
    struct bench *bench = report->bench;
    on_delivered(context, outcome);
    if (report->count < 20)
        igt_http_deliver(bench->http, &bench->config, &bench->delivery, on_delivered_deliver_again,
                         context);
}

static void a_report_may_start_the_next_attempt(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){.answer = OK_ANSWER});
    igt_http_deliver(bench->http, &bench->config, &bench->delivery, on_delivered_deliver_again,
                     next_report(bench, 0));
    run_until(bench, &bench->reported, 20);
    assert_int_equal(bench->peer.requests, 20);
    assert_int_equal(bench->peer.connections, 1);
}

/* ---- HTTP: TLS ---------------------------------------------------------- */

/* A server with a certificate that nobody signed, for one handshake. */
struct tls_server {
    SSL_CTX *ctx;
    int listener;
    unsigned port;
    int handshake;
    pthread_t thread;
};

static void *serve_tls(void *context)
{
    struct tls_server *server = context;
    int fd = accept(server->listener, NULL, NULL);
    SSL *ssl = SSL_new(server->ctx);
    SSL_set_fd(ssl, fd);
    server->handshake = SSL_accept(ssl);
    /* A client that trusts us would send its request now. */
    char byte;
    if (server->handshake == 1)
        server->handshake = SSL_read(ssl, &byte, 1);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void sign_for_localhost(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void an_untrusted_certificate_is_failure(void **state)
{
    struct bench *bench = *state;
    struct tls_server server = {.ctx = SSL_CTX_new(TLS_server_method())};
    sign_for_localhost(server.ctx);
    server.listener = take_closed_port(&server.port);
    assert_int_equal(listen(server.listener, 1), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, serve_tls, &server), 0);
    snprintf(bench->url, sizeof bench->url, "https://127.0.0.1:%u/secret", server.port);
    const struct igt_outcome *outcome = deliver(bench);
    pthread_join(server.thread, NULL);
    SSL_CTX_free(server.ctx);
    close(server.listener);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_ptr_equal(strstr(outcome->message, "TLS: certificate problem: "), outcome->message);
    assert_true(server.handshake <= 0);
}

static void tls_with_a_server_of_plain_http_is_failure(void **state)
{
    struct bench *bench = *state;
    start_peer(bench, (struct behaviour){0});
    snprintf(bench->url, sizeof bench->url, "https://127.0.0.1:%u/secret", bench->peer.port);
    bench->config.timeout_us = 200000;
    const struct igt_outcome *outcome = deliver(bench);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_non_null(strstr(outcome->message, "no connection to 127.0.0.1:"));
}

/* ---- HTTP: the sink ----------------------------------------------------- */

#define SINK_JOBS 1000u
#define SINK_CONCURRENCY 32u

struct sink {
    unsigned port;
    char ledger[128];
};

/* One of many jobs, tried until it succeeds. */
struct sink_job {
    struct bench *bench;
    struct igt_delivery delivery;
    unsigned attempts, successes;
};

static void start_sink(struct bench *bench, struct sink *sink)
{
    char port_file[128], event[4096];
    FILE *file;
    snprintf(port_file, sizeof port_file, "%s/port", folder);
    snprintf(sink->ledger, sizeof sink->ledger, "%s/ledger", folder);
    char *argv[] = {(char *)(uintptr_t)sink_path,
                    "--port-file",
                    port_file,
                    "--ledger",
                    sink->ledger,
                    "--fail-share",
                    "30",
                    "--retry-after",
                    "2",
                    NULL};
    int fd = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(fd, folder, IN_MOVED_TO) >= 0);
    assert_int_equal(posix_spawn(&bench->sink, sink_path, NULL, NULL, argv, NULL), 0);
    assert_true(read(fd, event, sizeof event) > 0);
    close(fd);
    file = fopen(port_file, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &sink->port), 1);
    fclose(file);
}

static void stop_sink(struct bench *bench)
{
    int status;
    kill(bench->sink, SIGTERM);
    assert_int_equal(waitpid(bench->sink, &status, 0), bench->sink);
    bench->sink = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void start_sink_job(struct sink_job *job);

static void on_sink_job(void *context, const struct igt_outcome *outcome)
{
    struct sink_job *job = context;
    if (outcome->kind == IGT_OUTCOME_SUCCEEDED) {
        job->successes++;
        job->bench->reported++;
        uv_stop(&job->bench->loop);
        if (job->delivery.body.len + SINK_CONCURRENCY <= SINK_JOBS)
            start_sink_job(job + SINK_CONCURRENCY);
    } else if (outcome->status_code == 503 &&
               outcome->retry_after_us == NOW_US + 2 * INT64_C(1000000)) {
        start_sink_job(job);
    }
}

static void start_sink_job(struct sink_job *job)
{
    job->delivery.attempt = ++job->attempts;
    igt_http_deliver(job->bench->http, &job->bench->config, &job->delivery, on_sink_job, job);
}

static void read_count(const struct sink *sink, char text[1024])
{
    static const char request[] = "GET /count HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sink->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    for (ssize_t got; (got = read(fd, text + len, 1023 - len)) > 0;)
        len += (size_t)got;
    text[len] = '\0';
    close(fd);
}

/* Each line stands for an attempt of the job of that number, whose body is that many 'x'. */
static void expect_ledger(const struct sink *sink, const struct sink_job *jobs, const char *xs)
{
    char id[32], event_id[32], sha256[80], expected[80];
    unsigned attempt, status, lines = 0, attempts = 0, successes = 0;
    FILE *file = fopen(sink->ledger, "r");
    assert_non_null(file);
    while (fscanf(file, "%31s\t%u\t%31s\t%u\t%79s\n", id, &attempt, event_id, &status, sha256) ==
           5) {
        unsigned char digest[32];
        unsigned long number = strtoul(id + 20, NULL, 10);
        EVP_Digest(xs, number, digest, NULL, EVP_sha256(), NULL);
        for (size_t i = 0; i < sizeof digest; i++)
            snprintf(expected + 2 * i, 3, "%02x", digest[i]);
        assert_string_equal(sha256, expected);
        assert_string_equal(event_id, EVENT_ID);
        assert_true(attempt <= jobs[number - 1].attempts);
        successes += status == 200;
        lines++;
    }
    fclose(file);
    for (size_t i = 0; i < SINK_JOBS; i++)
        attempts += jobs[i].attempts;
    assert_int_equal(lines, attempts);
    assert_int_equal(successes, SINK_JOBS);
    assert_true(attempts > SINK_JOBS);
}

static void a_thousand_jobs_reach_the_sink_whose_ledger_agrees(void **state)
{
    struct bench *bench = *state;
    struct sink sink;
    char count[1024];
    char *xs = calloc(SINK_JOBS, 1);
    struct sink_job *jobs = calloc(SINK_JOBS, sizeof *jobs);
    assert_non_null(xs);
    assert_non_null(jobs);
    memset(xs, 'x', SINK_JOBS);
    for (unsigned i = 0; i < SINK_JOBS; i++) {
        jobs[i].bench = bench;
        jobs[i].delivery = bench->delivery;
        snprintf(jobs[i].delivery.job_id, sizeof jobs[i].delivery.job_id,
                 "2wpbQ8mRxYt0aZk3LhJc%07u", i + 1);
        jobs[i].delivery.body = (struct ingot_bytes){xs, i + 1};
    }
    start_sink(bench, &sink);
    set_url(bench, "127.0.0.1", sink.port);
    for (unsigned i = 0; i < SINK_CONCURRENCY; i++)
        start_sink_job(&jobs[i]);
    run_until(bench, &bench->reported, SINK_JOBS);
    read_count(&sink, count);
    stop_sink(bench);
    assert_non_null(strstr(count, "\"succeeded\":1000,\"distinct\":1000}"));
    expect_ledger(&sink, jobs, xs);
    free(jobs);
    free(xs);
}

/* ---- commands ----------------------------------------------------------- */

static const struct igt_outcome *run_command(struct bench *bench,
                                             const struct igt_command_config *config)
{
    struct report *report = next_report(bench, 0);
    bench->reported = 0;
    assert_int_equal(
        igt_command_deliver(bench->runner, config, &bench->delivery, on_delivered, report),
        INGOT_OK);
    assert_int_equal(report->count, 0);
    run_until(bench, &bench->reported, 1);
    expect_printable(report->outcome.message);
    expect_printable(report->outcome.answer);
    return &report->outcome;
}

/* Runs a text by the shell; $OUT is a file that it may write to. */
static const struct igt_outcome *run_script(struct bench *bench, const char *script,
                                            int64_t timeout_us)
{
    char out[128];
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const env[] = {out, NULL};
    struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = timeout_us};
    snprintf(out, sizeof out, "OUT=%s/out", folder);
    return run_command(bench, &config);
}

static char *read_out(size_t *ret_len)
{
    char path[128];
    char *text = calloc(4u << 20, 1);
    snprintf(path, sizeof path, "%s/out", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    assert_non_null(file);
    *ret_len = fread(text, 1, (4u << 20) - 1, file);
    fclose(file);
    return text;
}

/*
 * Waits for the end of all orphans, who are our children now. If one was left
 * alive this would last until the alarm that main() has set.
 */
static void reap_orphans(void)
{
    int status;
    while (waitpid(-1, &status, 0) > 0)
        assert_true(WIFSIGNALED(status));
    assert_int_equal(errno, ECHILD);
}

static void exit_code_0_is_success(void **state)
{
    struct bench *bench = *state;
    const struct igt_outcome *outcome = run_script(bench, "echo said >&2; exit 0", 10000000);
    assert_int_equal(outcome->kind, IGT_OUTCOME_SUCCEEDED);
    assert_string_equal(outcome->message, "");
    assert_string_equal(outcome->answer, "");
    assert_true(outcome->retry_after_us == INGOT_NO_TIME);
}

static void another_exit_code_is_failure_with_the_beginning_of_stderr(void **state)
{
    struct bench *bench = *state;
    const struct igt_outcome *outcome =
        run_script(bench, "echo out; echo no stock >/dev/stderr; exit 3", 10000000);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_int_equal(outcome->status_code, 0);
    assert_string_equal(outcome->message, "exit code 3");
    assert_string_equal(outcome->answer, "no stock");
}

static void without_stderr_the_beginning_of_stdout_is_kept(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(run_script(bench, "echo first; echo second; exit 1", 10000000)->answer,
                        "first second");
}

static void a_signal_is_failure(void **state)
{
    struct bench *bench = *state;
    const struct igt_outcome *outcome = run_script(bench, "kill -9 $$", 10000000);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "killed by signal 9");
}

static void a_file_that_cannot_be_run_is_named(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *path, *message;
    } cases[] = {
        {"/nonexistent/x", "could not start /nonexistent/x: no such file or directory"},
        {"/etc/passwd", "could not start /etc/passwd: permission denied"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const argv[] = {cases[i].path, NULL};
        const char *const env[] = {NULL};
        struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = 10000000};
        const struct igt_outcome *outcome = run_command(bench, &config);
        assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
        assert_string_equal(outcome->message, cases[i].message);
    }
}

static void the_body_arrives_whole_with_a_newline(void **state)
{
    struct bench *bench = *state;
    const size_t len = 1u << 20;
    char *body = malloc(len);
    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('a' + i % 23);
    bench->delivery.body = (struct ingot_bytes){body, len};
    assert_int_equal(run_script(bench, "cat >\"$OUT\"", 10000000)->kind, IGT_OUTCOME_SUCCEEDED);
    size_t got_len;
    char *got = read_out(&got_len);
    assert_int_equal(got_len, len + 1);
    assert_memory_equal(got, body, len);
    assert_int_equal(got[len], '\n');
    free(got);

    /* Who does not read it may succeed as well. */
    assert_int_equal(run_script(bench, "exec <&-; exit 0", 10000000)->kind, IGT_OUTCOME_SUCCEEDED);
    free(body);
}

static void the_environment_is_minimal(void **state)
{
    struct bench *bench = *state;
    char expected[512];
    size_t len;
    setenv("INGOT_TEST_SECRET", "secret", 1);
    run_script(bench, "tr '\\0' '\\n' </proc/$$/environ >\"$OUT\"", 10000000);
    unsetenv("INGOT_TEST_SECRET");
    char *got = read_out(&len);
    snprintf(expected, sizeof expected,
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
             "INGOT_EVENT_ID=" EVENT_ID "\nINGOT_JOB_ID=" JOB_ID
             "\nINGOT_ATTEMPT=3\nINGOT_DESTINATION=billing\nOUT=%s/out\n",
             folder);
    assert_string_equal(got, expected);
    free(got);
}

static void a_configured_path_takes_the_place_of_the_default(void **state)
{
    struct bench *bench = *state;
    const char *const argv[] = {"/bin/sh", "-c",
                                "tr '\\0' '\\n' </proc/$$/environ | grep ^PATH=; exit 1", NULL};
    const char *const env[] = {"PATH=/bin:/usr/bin:/opt/bin", NULL};
    struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = 10000000};
    assert_string_equal(run_command(bench, &config)->answer, "PATH=/bin:/usr/bin:/opt/bin");
}

static void no_other_file_reaches_the_child(void **state)
{
    struct bench *bench = *state;
    size_t len;
    int leaky = open("/dev/null", O_RDONLY);
    assert_true(leaky > 2);
    run_script(bench, "exec >\"$OUT\"; ls -x /proc/$$/fd; exit 0", 10000000);
    close(leaky);
    char *got = read_out(&len);
    assert_string_equal(got, "0  1  2\n");
    free(got);
}

static void a_time_out_kills_the_whole_group(void **state)
{
    struct bench *bench = *state;
    uint64_t begin_ns = uv_hrtime();
    const struct igt_outcome *outcome =
        run_script(bench, "sleep 1000 & sleep 1000 & sleep 1000", 200000);
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "no end within 0.2 s");
    assert_true(uv_hrtime() - begin_ns < UINT64_C(1900000000));
    reap_orphans();
}

static void on_cancel_timer(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    igt_command_cancel_all(bench->runner);
    uv_close((uv_handle_t *)timer, NULL);
}

static void who_ignores_sigterm_is_killed_and_no_cancelling_puts_it_off(void **state)
{
    struct bench *bench = *state;
    uv_timer_t timer;
    uv_timer_init(&bench->loop, &timer);
    timer.data = bench;
    uv_timer_start(&timer, on_cancel_timer, 1200, 0);
    uint64_t begin_ns = uv_hrtime();
    const struct igt_outcome *outcome =
        run_script(bench, "trap '' TERM; sleep 1000 & while :; do sleep 1000; done", 200000);
    uint64_t end_ns = uv_hrtime();
    assert_int_equal(outcome->kind, IGT_OUTCOME_FAILED);
    assert_string_equal(outcome->message, "no end within 0.2 s");
    assert_true(end_ns - begin_ns >= UINT64_C(2100000000));
    assert_true(end_ns - begin_ns < UINT64_C(3100000000));
    reap_orphans();
}

static void what_a_command_leaves_behind_is_killed(void **state)
{
    struct bench *bench = *state;
    const struct igt_outcome *outcome = run_script(bench, "sleep 1000 & exit 1", 10000000);
    assert_string_equal(outcome->message, "exit code 1");
    reap_orphans();
}

static void who_holds_the_pipes_open_does_not_delay_the_report(void **state)
{
    struct bench *bench = *state;
    uint64_t begin_ns = uv_hrtime();
    /* In a session of its own it is out of the group, and lives on. */
    const struct igt_outcome *outcome =
        run_script(bench, "setsid sleep 1000 & echo $! >&2; exit 3", 20000000);
    assert_string_equal(outcome->message, "exit code 3");
    assert_true(uv_hrtime() - begin_ns < UINT64_C(5000000000));
    pid_t survivor = (pid_t)strtol(outcome->answer, NULL, 10);
    assert_true(survivor > 1);
    kill(survivor, SIGKILL);
    waitpid(survivor, NULL, 0);
}

static void a_flood_of_output_does_not_hurt(void **state)
{
    struct bench *bench = *state;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    const struct igt_outcome *outcome = run_script(
        bench, "head -c 100000000 /dev/zero; head -c 100000000 /dev/zero | tr '\\0' x >&2; exit 3",
        20000000);
    getrusage(RUSAGE_SELF, &after);
    assert_string_equal(outcome->message, "exit code 3");
    assert_int_equal(strlen(outcome->answer), 255);
    assert_int_equal(strspn(outcome->answer, "x"), 255);
    assert_true(after.ru_maxrss - before.ru_maxrss < 16 << 10);
}

static void start_commands(struct bench *bench, const struct igt_command_config *config,
                           unsigned count)
{
    bench->reported = 0;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(igt_command_deliver(bench->runner, config, &bench->delivery, on_delivered,
                                             next_report(bench, i)),
                         INGOT_OK);
}

static void cancelled_commands_are_reported_once_when_they_ended(void **state)
{
    struct bench *bench = *state;
    const char *const argv[] = {"/bin/sh", "-c", "sleep 1000 & sleep 1000", NULL};
    const char *const env[] = {NULL};
    struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = 20000000};
    start_commands(bench, &config, 3);
    igt_command_cancel_all(bench->runner);
    igt_command_cancel_all(bench->runner);
    assert_int_equal(bench->reported, 0);
    run_until(bench, &bench->reported, 3);
    expect_cancelled_once(bench, 3);
    reap_orphans();
}

static void destroying_the_runner_kills_and_reports_what_runs(void **state)
{
    struct bench *bench = *state;
    const char *const argv[] = {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done",
                                NULL};
    const char *const missing[] = {"/nonexistent/x", NULL};
    const char *const env[] = {NULL};
    struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = 20000000};
    struct igt_command_config config_missing = {.argv = missing, .env = env, .timeout_us = 1000000};
    start_commands(bench, &config, 3);
    assert_int_equal(igt_command_deliver(bench->runner, &config_missing, &bench->delivery,
                                         on_delivered, next_report(bench, 3)),
                     INGOT_OK);
    igt_command_runner_destroy(bench->runner);
    bench->runner = NULL;
    expect_cancelled_once(bench, 3);
    assert_int_equal(bench->reports[3].count, 1);
    assert_int_equal(bench->reports[3].outcome.kind, IGT_OUTCOME_FAILED);
}

static void commands_run_side_by_side(void **state)
{
    struct bench *bench = *state;
    const char *const argv[] = {"/bin/sh", "-c", "read line; echo \"$line\" >&2; exit 1", NULL};
    const char *const env[] = {NULL};
    struct igt_command_config config = {.argv = argv, .env = env, .timeout_us = 20000000};
    start_commands(bench, &config, REPORTS_MAX);
    run_until(bench, &bench->reported, REPORTS_MAX);
    for (unsigned i = 0; i < REPORTS_MAX; i++) {
        assert_int_equal(bench->reports[i].count, 1);
        assert_string_equal(bench->reports[i].outcome.answer, "{\"data\":1}");
    }
}

/* ---- the program -------------------------------------------------------- */

static int make_folder(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ingot-destinations-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"port", "port.tmp", "ledger", "out"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

#define BENCH_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_status_of_2xx_is_success),
        BENCH_TEST(the_request_is_a_post_of_json_with_its_ids),
        BENCH_TEST(configured_headers_are_sent),
        BENCH_TEST(each_attempt_goes_to_its_own_url),
        BENCH_TEST(any_other_status_is_failure_with_the_beginning_of_the_answer),
        BENCH_TEST(retry_after_is_an_instant_by_the_toolkits_clock),
        BENCH_TEST(a_redirect_is_failure_and_not_followed),
        BENCH_TEST(a_hostile_answer_is_made_printable),
        BENCH_TEST(a_long_answer_is_cut_between_characters),
        BENCH_TEST(a_body_of_a_gigabyte_is_cut_and_the_status_decides),
        BENCH_TEST(headers_without_end_are_cut),
        BENCH_TEST(interim_answers_without_end_are_cut),
        BENCH_TEST(garbage_is_failure),
        BENCH_TEST(a_connection_closed_without_an_answer_is_failure),
        BENCH_TEST(an_answer_that_breaks_off_is_failure),
        BENCH_TEST(a_destination_that_never_answers_is_given_up_at_its_time_out),
        BENCH_TEST(a_time_out_below_a_millisecond_is_not_for_ever),
        BENCH_TEST(a_refused_connection_is_named),
        BENCH_TEST(a_name_without_an_address_is_named),
        BENCH_TEST(connections_are_used_again),
        BENCH_TEST(a_request_on_a_dead_connection_is_sent_once_more),
        BENCH_TEST(what_cannot_be_started_is_reported_later),
        BENCH_TEST(a_kept_connection_is_watched_without_a_break),
        BENCH_TEST(a_connection_that_is_closed_leaves_its_number_to_others),
        BENCH_TEST(what_resolved_a_name_leaves_its_number_to_others),
        BENCH_TEST(who_was_slower_to_connect_leaves_its_number_to_others),
        BENCH_TEST(what_did_not_connect_leaves_its_number_to_others),
        BENCH_TEST(a_kept_connection_that_the_destination_closed_is_let_be),
        BENCH_TEST(an_address_that_is_not_public_is_refused_by_default),
        BENCH_TEST(a_kept_connection_is_no_way_around_the_refusal),
        BENCH_TEST(cancelled_attempts_are_reported_once),
        BENCH_TEST(attempts_can_be_cancelled_before_the_loop_has_seen_them),
        BENCH_TEST(destroying_the_client_reports_what_runs),
        BENCH_TEST(a_report_may_start_the_next_attempt),
        BENCH_TEST(an_untrusted_certificate_is_failure),
        BENCH_TEST(tls_with_a_server_of_plain_http_is_failure),
        BENCH_TEST(a_thousand_jobs_reach_the_sink_whose_ledger_agrees),
        BENCH_TEST(exit_code_0_is_success),
        BENCH_TEST(another_exit_code_is_failure_with_the_beginning_of_stderr),
        BENCH_TEST(without_stderr_the_beginning_of_stdout_is_kept),
        BENCH_TEST(a_signal_is_failure),
        BENCH_TEST(a_file_that_cannot_be_run_is_named),
        BENCH_TEST(the_body_arrives_whole_with_a_newline),
        BENCH_TEST(the_environment_is_minimal),
        BENCH_TEST(a_configured_path_takes_the_place_of_the_default),
        BENCH_TEST(no_other_file_reaches_the_child),
        BENCH_TEST(a_time_out_kills_the_whole_group),
        BENCH_TEST(who_ignores_sigterm_is_killed_and_no_cancelling_puts_it_off),
        BENCH_TEST(what_a_command_leaves_behind_is_killed),
        BENCH_TEST(who_holds_the_pipes_open_does_not_delay_the_report),
        BENCH_TEST(a_flood_of_output_does_not_hurt),
        BENCH_TEST(cancelled_commands_are_reported_once_when_they_ended),
        BENCH_TEST(destroying_the_runner_kills_and_reports_what_runs),
        BENCH_TEST(commands_run_side_by_side),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: test_destinations PATH-OF-INGOT-SINK\n");
        return 2;
    }
    sink_path = argv[1];
    signal(SIGPIPE, SIG_IGN);
    /* Orphans of commands become our children, so that their end can be awaited. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    /* No proxy of the environment may be used: a delivery by this one would fail. */
    setenv("http_proxy", "http://127.0.0.1:1/", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
    alarm(120);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("destinations", tests, make_folder, remove_folder);
}
