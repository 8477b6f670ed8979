/* The client: one thread, edge-triggered, a request under way on each connection; see http.h. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64

/* How often it is looked whether the user wants to stop, and whether it gets on. */
#define LOOK_MS 100
#define STUCK_LOOKS 600

/* ---- heads -------------------------------------------------------------- */

size_t igt_http_head_len(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - text) + 4 : 0;
}

size_t igt_http_content_len(const char *head, size_t len)
{
    static const char name[] = "Content-Length:";
    for (const char *line = head, *end = head + len; line && line < end;) {
        if ((size_t)(end - line) > sizeof name && strncasecmp(line, name, sizeof name - 1) == 0)
            return strtoul(line + sizeof name - 1, NULL, 10); /* the head ends in no digit */
        line = memchr(line, '\n', (size_t)(end - line));
        line = line ? line + 1 : NULL;
    }
    return 0;
}

/* ---- connections -------------------------------------------------------- */

struct connection {
    int fd;
    int busy;
    size_t sent; /* of the request */
    int64_t began_us;
    char head[IGT_HTTP_HEAD_MAX]; /* of the answer, and what came behind it */
    size_t head_len;
    size_t left; /* of the answer's body, once its head is whole */
};

struct client {
    const struct igt_http_load *load;
    char *request;
    size_t request_len;
    struct connection *connections;
    int epoll;
    size_t begun;
    _Atomic size_t ended;
    struct igt_sample *sample;
};

static enum ingot_status no_memory(struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_NOMEM, "bench: memory ran out");
}

static enum ingot_status failure(const char *what, struct ingot_error *err)
{
    return ingot_error_set(err, INGOT_IO, "bench: http client: could not %s: %s", what,
                           strerror(errno));
}

static enum ingot_status open_connection(struct client *client, struct connection *connection,
                                         struct ingot_error *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const char *port = strrchr(client->load->address, ':');
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    to.sin_port = htons((uint16_t)strtoul(port ? port + 1 : "", NULL, 10));
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&to, sizeof to) != 0)
        return failure("connect", err);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        return failure("set a connection up", err);
    return INGOT_OK;
}

/* ---- an exchange -------------------------------------------------------- */

static enum ingot_status send_some(struct client *client, struct connection *connection,
                                   struct ingot_error *err)
{
    while (connection->busy && connection->sent < client->request_len) {
        ssize_t len = send(connection->fd, client->request + connection->sent,
                           client->request_len - connection->sent, MSG_NOSIGNAL);
        if (len > 0)
            connection->sent += (size_t)len;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return failure("send a request", err);
    }
    return INGOT_OK;
}

static enum ingot_status begin(struct client *client, struct connection *connection,
                               struct ingot_error *err)
{
    if (client->begun == client->load->count)
        return INGOT_OK;
    client->begun++;
    connection->busy = 1;
    connection->sent = connection->head_len = connection->left = 0;
    connection->began_us = igt_bench_now_us();
    return send_some(client, connection, err);
}

static enum ingot_status end(struct client *client, struct connection *connection,
                             struct ingot_error *err)
{
    struct igt_sample *sample = client->sample;
    sample->latencies[sample->latency_count++] = igt_bench_now_us() - connection->began_us;
    connection->busy = 0;
    atomic_fetch_add(&client->ended, 1);
    return begin(client, connection, err);
}

/* The head is whole: what came behind it belongs to the body. */
static enum ingot_status read_head(struct connection *connection, size_t head_len,
                                   struct ingot_error *err)
{
    const char *head = connection->head;
    size_t body_len = igt_http_content_len(head, head_len);
    if (head_len < 13 || memcmp(head, "HTTP/1.1 2", 10) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: http client: the answer was \"%.*s\"",
                               (int)strcspn(head, "\r\n"), head);
    if (connection->head_len - head_len > body_len)
        return ingot_error_set(err, INGOT_IO, "bench: http client: more came than one answer");
    connection->left = body_len - (connection->head_len - head_len);
    return INGOT_OK;
}

/* Takes what is there of an answer; *ret_whole says whether that was its end. */
static enum ingot_status receive(struct connection *connection, int *ret_whole, int *ret_more,
                                 struct ingot_error *err)
{
    char body[16384];
    const int in_head = !connection->left;
    char *at = in_head ? connection->head + connection->head_len : body;
    size_t room = in_head ? sizeof connection->head - 1 - connection->head_len : sizeof body;
    ssize_t len = recv(connection->fd, at, room, 0);
    *ret_whole = 0;
    *ret_more = len > 0 || (len < 0 && errno == EINTR);
    if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
        return failure(len ? "read an answer" : "read an answer: the server closed", err);
    if (len < 0)
        return INGOT_OK;
    if (!in_head) {
        connection->left -= (size_t)len < connection->left ? (size_t)len : connection->left;
        *ret_whole = connection->left == 0;
        return INGOT_OK;
    }
    connection->head_len += (size_t)len;
    connection->head[connection->head_len] = '\0';
    size_t head_len = igt_http_head_len(connection->head, connection->head_len);
    if (!head_len)
        return connection->head_len + 1 < sizeof connection->head
                   ? INGOT_OK
                   : ingot_error_set(err, INGOT_IO, "bench: http client: an answer is too long");
    enum ingot_status status = read_head(connection, head_len, err);
    *ret_whole = !status && connection->left == 0;
    return status;
}

static enum ingot_status get_on(struct client *client, struct connection *connection,
                                struct ingot_error *err)
{
    int whole = 0, more = 1;
    enum ingot_status status = send_some(client, connection, err);
    while (!status && more && connection->busy) {
        status = receive(connection, &whole, &more, err);
        if (!status && whole)
            status = end(client, connection, err);
    }
    return status;
}

/* ---- the whole ---------------------------------------------------------- */

static void note_tick(struct client *client, size_t *last, int64_t *next_us)
{
    struct igt_sample *sample = client->sample;
    if (igt_bench_now_us() < *next_us || sample->timeline_count == sample->timeline_size)
        return;
    size_t ended = atomic_load(&client->ended);
    sample->timeline[sample->timeline_count++] = (double)(ended - *last) * 1e6 / IGT_TICK_US;
    *last = ended;
    *next_us += IGT_TICK_US;
}

static enum ingot_status run(const struct igt_bench *bench, struct client *client,
                             struct ingot_error *err)
{
    struct epoll_event events[EVENTS_MAX];
    enum ingot_status status = INGOT_OK;
    size_t last = 0;
    int64_t next_us = igt_bench_now_us() + IGT_TICK_US;
    for (unsigned i = 0; i < client->load->connections && !status; i++)
        status = begin(client, &client->connections[i], err);
    for (unsigned idle = 0; !status && atomic_load(&client->ended) < client->load->count;) {
        int count = epoll_wait(client->epoll, events, EVENTS_MAX, LOOK_MS);
        idle = count ? 0 : idle + 1;
        for (int i = 0; i < count && !status; i++)
            status = get_on(client, events[i].data.ptr, err);
        note_tick(client, &last, &next_us);
        if (!status)
            status = igt_bench_go_on(bench, err);
        if (!status && idle == STUCK_LOOKS)
            status = ingot_error_set(err, INGOT_IO, "bench: http client: no answer comes any more");
    }
    return status;
}

static enum ingot_status make_request(struct client *client, struct ingot_error *err)
{
    const struct igt_http_load *load = client->load;
    int len = asprintf(&client->request,
                       "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%.*s",
                       load->path, load->address, load->body.len, (int)load->body.len,
                       (const char *)load->body.data);
    if (len < 0) {
        client->request = NULL;
        return no_memory(err);
    }
    client->request_len = (size_t)len;
    return INGOT_OK;
}

/* So many ticks of a run are noted. */
#define TICKS_MAX 4096

static enum ingot_status make_room(struct client *client, struct ingot_error *err)
{
    struct igt_sample *sample = client->sample;
    client->connections = calloc(client->load->connections, sizeof *client->connections);
    sample->latencies = malloc(client->load->count * sizeof *sample->latencies);
    sample->timeline = malloc(TICKS_MAX * sizeof *sample->timeline);
    if (!client->connections || !sample->latencies || !sample->timeline)
        return no_memory(err);
    sample->latency_size = client->load->count;
    sample->timeline_size = TICKS_MAX;
    for (unsigned i = 0; i < client->load->connections; i++)
        client->connections[i].fd = -1;
    return make_request(client, err);
}

enum ingot_status igt_http_load(const struct igt_bench *bench, const struct igt_http_load *load,
                                struct igt_sample *sample, struct ingot_error *err)
{
    struct client client = {.load = load, .sample = sample, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    enum ingot_status status =
        client.epoll < 0 ? failure("set itself up", err) : make_room(&client, err);
    for (unsigned i = 0; i < load->connections && !status; i++)
        status = open_connection(&client, &client.connections[i], err);
    int64_t began_us = igt_bench_now_us();
    if (!status)
        status = run(bench, &client, err);
    sample->value = (double)load->count * 1e6 / (double)(igt_bench_now_us() - began_us);
    for (unsigned i = 0; client.connections && i < load->connections; i++)
        if (client.connections[i].fd >= 0)
            close(client.connections[i].fd);
    if (client.epoll >= 0)
        close(client.epoll);
    free(client.connections);
    free(client.request);
    return status;
}
