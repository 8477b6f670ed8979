/* The server: takes each request whole and answers 200, in a process of its own; see http.h. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define BACKLOG 4096

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct connection {
    int fd;
    _Atomic size_t *answered;
    char head[IGT_HTTP_HEAD_MAX];
    size_t head_len;
    size_t left; /* of the body */
    int in_body;
};

static void hang_up(struct connection *connection)
{
    close(connection->fd);
    free(connection);
}

/* One answer at a time fits into the socket's buffer; else the client does not read. */
static int answer_it(struct connection *connection)
{
    connection->in_body = 0;
    connection->head_len = 0;
    atomic_fetch_add(connection->answered, 1);
    return send(connection->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == sizeof answer - 1;
}

/* Takes what came; returns how much of it, or 0 if the client is not to be understood. */
static size_t take(struct connection *connection, const char *data, size_t len)
{
    if (connection->in_body) {
        size_t some = len < connection->left ? len : connection->left;
        connection->left -= some;
        return connection->left || answer_it(connection) ? some : 0;
    }
    size_t before = connection->head_len, room = sizeof connection->head - 1 - before;
    size_t some = len < room ? len : room;
    memcpy(connection->head + before, data, some);
    connection->head_len += some;
    connection->head[connection->head_len] = '\0';
    size_t head_len = igt_http_head_len(connection->head, connection->head_len);
    if (!head_len)
        return connection->head_len < sizeof connection->head - 1 ? some : 0;
    connection->left = igt_http_content_len(connection->head, head_len);
    connection->in_body = 1;
    if (!connection->left && !answer_it(connection))
        return 0;
    return head_len - before;
}

static void serve(struct connection *connection)
{
    char data[65536];
    ssize_t len = recv(connection->fd, data, sizeof data, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    for (ssize_t at = 0; at < len;) {
        size_t some = take(connection, data + at, (size_t)(len - at));
        if (!some)
            len = 0;
        at += (ssize_t)some;
    }
    if (len <= 0)
        hang_up(connection);
}

static void welcome(const struct igt_http_sink *sink, int epoll)
{
    int fd = accept4(sink->listener, NULL, NULL, SOCK_CLOEXEC);
    struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof *connection);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (!connection) {
        if (fd >= 0)
            close(fd);
        return;
    }
    connection->fd = fd;
    connection->answered = sink->ledger.handed_count;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        hang_up(connection);
}

/* What the two that are no connections are known by. */
static const char is_listener, is_end;

static void run(void *context, int until, int says)
{
    const struct igt_http_sink *sink = context;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event take_in = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&is_listener};
    struct epoll_event end = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&is_end};
    (void)says;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, sink->listener, &take_in) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, until, &end) != 0)
        return;
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &is_end)
                return; /* and with the process all its connections */
            if (events[i].data.ptr == &is_listener)
                welcome(sink, epoll);
            else
                serve(events[i].data.ptr);
        }
    }
}

static enum ingot_status start_to_listen(struct igt_http_sink *sink, struct ingot_error *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    sink->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sink->listener < 0 || bind(sink->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(sink->listener, BACKLOG) != 0 ||
        getsockname(sink->listener, (struct sockaddr *)&at, &len) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: http server: could not listen: %s",
                               strerror(errno));
    snprintf(sink->address, sizeof sink->address, "127.0.0.1:%d", ntohs(at.sin_port));
    return INGOT_OK;
}

enum ingot_status igt_http_sink_start(struct igt_http_sink *sink, struct ingot_error *err)
{
    memset(sink, 0, sizeof *sink);
    enum ingot_status status =
        igt_ledger_create(1, &(struct igt_shape){0, 1, 1}, &sink->ledger, err);
    if (status)
        return status;
    status = start_to_listen(sink, err);
    if (!status)
        status = igt_apart_start(run, sink, &sink->apart, err);
    if (sink->listener >= 0)
        close(sink->listener);
    if (status)
        igt_ledger_fini(&sink->ledger);
    return status;
}

void igt_http_sink_end(struct igt_http_sink *sink)
{
    igt_apart_end(&sink->apart);
    igt_ledger_fini(&sink->ledger);
}
