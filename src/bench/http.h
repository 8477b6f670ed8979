/*
 * HTTP/1.1 on loopback, for measuring: a client that keeps connections busy, a
 * server that answers 200, and a gateway of Ingot that stores nothing. Both
 * sides are ours, so that what they cost is small and known.
 */
#ifndef INGOT_BENCH_HTTP_H
#define INGOT_BENCH_HTTP_H

#include "measure.h"

/* A head that is longer is refused. */
#define IGT_HTTP_HEAD_MAX 4096

/* How long the head of a message is, with the empty line behind it; 0: it is not whole. */
size_t igt_http_head_len(const char *text, size_t len);

/* What Content-Length says in a whole head; 0 without it. */
size_t igt_http_content_len(const char *head, size_t len);

/* ---- client: http_load.c ------------------------------------------------ */

struct igt_http_load {
    const char *address; /* "127.0.0.1:8080" */
    const char *path;
    struct ingot_bytes body; /* JSON, of each request */
    unsigned connections;
    size_t count; /* of requests */
};

/*
 * Sends requests, one at a time on each connection, from one thread. Gives
 * requests a second that were answered 2xx, and their latencies; INGOT_IO if
 * one was answered with anything else.
 */
enum ingot_status igt_http_load(const struct igt_bench *bench, const struct igt_http_load *load,
                                struct igt_sample *sample, struct ingot_error *err);

/* ---- server: http_sink.c ------------------------------------------------ */

struct igt_http_sink {
    struct igt_apart apart;
    char address[32];
    int listener;
    struct igt_ledger ledger; /* its handed_count: requests that were answered */
};

/* Starts one in a process of its own: before there are other threads. */
enum ingot_status igt_http_sink_start(struct igt_http_sink *sink, struct ingot_error *err);
void igt_http_sink_end(struct igt_http_sink *sink);

/* ---- a gateway over a store that answers at once: front.c --------------- */

struct igt_front;
enum ingot_status igt_front_start(struct igt_front **ret_front, struct ingot_error *err);
const char *igt_front_address(const struct igt_front *front);
void igt_front_stop(struct igt_front *front); /* NULL is allowed */

#endif
