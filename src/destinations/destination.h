/*
 * The kinds of destination: how one attempt is made. Everything here happens
 * on the delivery loop's thread. A kind never retries by itself, and never
 * blocks; it reports every delivery exactly once.
 */
#ifndef INGOT_DESTINATIONS_DESTINATION_H
#define INGOT_DESTINATIONS_DESTINATION_H

#include "core/limits.h"

#include <ingot/ingot.h>
#include <uv.h>

/* One attempt to deliver one job. Borrowed until it is reported. */
struct igt_delivery {
    const char *destination;
    char event_id[INGOT_KSUID_TEXT_LEN + 1];
    char job_id[INGOT_KSUID_TEXT_LEN + 1]; /* the idempotency key, the same for every attempt */
    unsigned attempt;                      /* 1, 2, 3, … */
    struct ingot_bytes body;               /* JSON, igt_delivery_encode() */
};

enum igt_outcome_kind {
    IGT_OUTCOME_SUCCEEDED,
    IGT_OUTCOME_FAILED,   /* try again by the policy */
    IGT_OUTCOME_CANCELLED /* stopped on our own request: goes back unharmed */
};

/* What came of an attempt. */
struct igt_outcome {
    enum igt_outcome_kind kind;
    int status_code;        /* HTTP's, or 0 */
    int64_t retry_after_us; /* instant that the destination asked for, or INGOT_NO_TIME */
    char message[240];      /* of a failure: what went wrong; no secret, no header, no query */
    char answer[IGT_ANSWER_BYTES_MAX]; /* of a failure: its beginning, printable UTF-8 */
};

typedef void igt_delivered_fn(void *context, const struct igt_outcome *outcome);

struct igt_http_config {
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    int64_t timeout_us; /* for the whole attempt */
    enum igt_addresses {
        IGT_ADDRESSES_PUBLIC, /* refuse private, loopback, link-local, … after resolution */
        IGT_ADDRESSES_ANY
    } addresses;
};

struct igt_command_config {
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path */
    const char *const *env;  /* "NAME=value", NULL-terminated; added to the minimal one */
    int64_t timeout_us;
};

/* A function of this process: the attempt is made by calling it, and always succeeds. */
struct igt_inside_config {
    void (*take)(void *context, const struct igt_delivery *delivery);
    void *context;
};

/* What all HTTP destinations of a loop share: the curl multi handle and its timers. */
struct igt_http_client;
enum ingot_status igt_http_client_create(uv_loop_t *loop, const struct ingot_toolkit *toolkit,
                                         struct igt_http_client **ret_client,
                                         struct ingot_error *err);
/*
 * Cancels and reports what runs, then frees; the loop must run once more for
 * its handles to close. Not to be called from a report. client may be NULL.
 */
void igt_http_client_destroy(struct igt_http_client *client);

/*
 * Starts one attempt: POST of the body as application/json, with
 * Idempotency-Key and webhook-id (the job's id), webhook-timestamp (seconds,
 * of this attempt), Ingot-Event-Id, Ingot-Attempt. 2xx is success; everything
 * else, redirects included, is failure. config and delivery are borrowed until
 * it is reported, which never happens before this returns. INGOT_NOMEM: nothing
 * was started, and nothing will be reported; other failures to start are reported.
 */
enum ingot_status igt_http_deliver(struct igt_http_client *client,
                                   const struct igt_http_config *config,
                                   const struct igt_delivery *delivery, igt_delivered_fn *delivered,
                                   void *context);

/* Cancels every attempt that runs; each is reported as CANCELLED, after this returned. */
void igt_http_cancel_all(struct igt_http_client *client);

/* All commands of a loop. */
struct igt_command_runner;
enum ingot_status igt_command_runner_create(uv_loop_t *loop, struct igt_command_runner **ret_runner,
                                            struct ingot_error *err);
/*
 * Kills what runs, reports it as CANCELLED, then frees; the loop must run until
 * the children have ended. Not to be called from a report. runner may be NULL.
 */
void igt_command_runner_destroy(struct igt_command_runner *runner);

/*
 * Runs the command once: the body and a newline on standard input; standard
 * output and error are read, their beginning kept for the message. Exit code 0
 * is success. At the deadline the whole process group gets SIGTERM, and
 * SIGKILL two seconds later; what is left of the group when the command has
 * ended gets SIGKILL too. The environment holds PATH, INGOT_EVENT_ID,
 * INGOT_JOB_ID, INGOT_ATTEMPT, INGOT_DESTINATION and what the configuration
 * adds. Borrowing, reporting and INGOT_NOMEM are as in igt_http_deliver(). The
 * program must ignore SIGPIPE.
 */
enum ingot_status igt_command_deliver(struct igt_command_runner *runner,
                                      const struct igt_command_config *config,
                                      const struct igt_delivery *delivery,
                                      igt_delivered_fn *delivered, void *context);

/* Ends every command that runs, as at its deadline; each is reported as CANCELLED when it ended. */
void igt_command_cancel_all(struct igt_command_runner *runner);

/*
 * Whether an address is one that the public internet routes: not private,
 * loopback, link-local, shared, documentation, multicast, reserved, nor a v6
 * form that embeds a v4 address (mapped, compatible, NAT64, 6to4, Teredo).
 * What is neither v4 nor v6 is not public.
 */
struct sockaddr;
int igt_address_is_public(const struct sockaddr *address);

/*
 * The instant that a Retry-After header asks for: seconds or an HTTP date. What
 * is past is now, what is later than IGT_RETRY_AFTER_US_MAX is clamped to it;
 * INGOT_NO_TIME if it is neither.
 */
int64_t igt_retry_after_parse(struct ingot_bytes value, int64_t now_us);

/*
 * Copies the beginning of hostile bytes as one line of printable UTF-8, cut
 * between characters, with a NUL. Tabs and ends of lines become spaces, and are
 * left out at the end; every other byte that is not printable becomes '?'.
 */
void igt_printable(char *text, size_t size, struct ingot_bytes bytes);

#endif
