/* The delivery loop on libuv; see delivery.h. */
#include "delivery.h"

#include "core/instant.h"
#include "core/limits.h"
#include "core/toolkit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest sleep: an instant of the wall clock may come sooner than the loop's clock thinks. */
#define SLEEP_MS_MAX 1000

/* What was cancelled, and its rows, get this long: a store that does not answer must not stop the end. */
#define CANCEL_MS 5000

/* When a job is tried again whose event could not be read for a passing reason. */
#define UNREADABLE_US (5 * IGT_SECOND_US)

struct igt_delivery_loop {
    const struct igt_config *config;
    const struct ingot_toolkit *toolkit;
    struct igt_scheduler *scheduler;
    struct igt_plan *plans;
    struct igt_http_client *http;
    struct igt_command_runner *commands;
    struct igt_journal *journal;
    struct igt_batch *batch; /* what goes to the journal at the end of this turn */

    uv_loop_t uv;
    uv_async_t arrival;  /* the inbox has something */
    uv_prepare_t turn;   /* before the loop sleeps: plan, and hand the batch over */
    uv_timer_t wake;     /* the next job is due */
    uv_timer_t deadline; /* of the end: what still runs is cancelled */
    uv_signal_t terminate, interrupt;
    int uv_ready;

    pthread_mutex_t lock; /* guards the inbox */
    struct igt_results *inbox, **last_result;
    struct ingot_error failure;
    int failed;

    enum { WORKING, FINISHING, CANCELLING } ending;
    void (*closing)(void *context);
    void *closing_context;
};

/* One attempt under way. */
struct attempt {
    struct igt_delivery_loop *loop;
    struct igt_map_key key;
    struct igt_delivery delivery;
    struct igt_arena *arena; /* holds the attempt and its body */
};

/* ---- attempts ----------------------------------------------------------- */

/* The outcome as the error of a transition, in the shape of SEED row 48. */
static struct ingot_bytes describe(struct igt_delivery_loop *loop,
                                   const struct igt_outcome *outcome)
{
    struct igt_buffer text = {0};
    struct ingot_bytes copy = {NULL, 0};
    igt_buffer_add_text(&text, "{");
    if (outcome->status_code)
        igt_buffer_add_format(&text, "\"statusCode\":%d,", outcome->status_code);
    igt_buffer_add_text(&text, "\"message\":");
    igt_buffer_add_json_string(&text, ingot_bytes_of(outcome->message));
    if (outcome->answer[0]) {
        igt_buffer_add_text(&text, ",\"meta\":{\"answer\":");
        igt_buffer_add_json_string(&text, ingot_bytes_of(outcome->answer));
        igt_buffer_add_text(&text, "}");
    }
    igt_buffer_add_text(&text, "}");
    if (!text.failed && loop->batch)
        copy = igt_arena_copy(loop->batch->errors, (struct ingot_bytes){text.data, text.len});
    igt_buffer_fini(&text);
    return copy;
}

/* The batch of this turn; without memory the daemon ends, and the chain stays right. */
static struct igt_batch *batch_of(struct igt_delivery_loop *loop)
{
    if (!loop->batch)
        loop->batch = igt_batch_create();
    if (!loop->batch)
        abort();
    return loop->batch;
}

static void report(struct igt_delivery_loop *loop, const struct igt_map_key *key,
                   const struct igt_outcome *outcome)
{
    static const enum igt_report reports[] = {
        [IGT_OUTCOME_SUCCEEDED] = IGT_REPORT_SUCCEEDED,
        [IGT_OUTCOME_FAILED] = IGT_REPORT_FAILED,
        [IGT_OUTCOME_CANCELLED] = IGT_REPORT_GIVEN_BACK,
    };
    struct ingot_bytes error = {NULL, 0};
    struct igt_batch *batch = batch_of(loop);
    if (outcome->kind == IGT_OUTCOME_FAILED)
        error = describe(loop, outcome);
    igt_scheduler_report(loop->scheduler, key, reports[outcome->kind], outcome->retry_after_us,
                         error, igt_now_us(loop->toolkit), &batch->rows);
}

static void delivered(void *context, const struct igt_outcome *outcome)
{
    struct attempt *attempt = context;
    report(attempt->loop, &attempt->key, outcome);
    igt_arena_destroy(attempt->arena);
}

static const struct igt_config_destination *find_destination(const struct igt_config *config,
                                                             struct ingot_bytes name)
{
    for (size_t i = 0; i < config->destination_count; i++)
        if (ingot_bytes_equal(ingot_bytes_of(config->destinations[i].name), name))
            return &config->destinations[i];
    return NULL;
}

/*
 * An attempt that could not even begin. An event that is damaged or gone is a
 * failure like any other; what is our own affair uses up no retry.
 */
static void report_unstarted(struct igt_delivery_loop *loop, const struct igt_row_result *result)
{
    const struct ingot_error *error = result->error;
    struct igt_outcome outcome = {.kind = IGT_OUTCOME_CANCELLED,
                                  .retry_after_us = igt_now_us(loop->toolkit) + UNREADABLE_US};
    const struct igt_map_key key = {result->row.event_id, result->row.job};
    if (error && (error->status == INGOT_CORRUPT || error->status == INGOT_NOT_FOUND)) {
        outcome.kind = IGT_OUTCOME_FAILED;
        outcome.retry_after_us = INGOT_NO_TIME;
    }
    snprintf(outcome.message, sizeof outcome.message, "the attempt could not begin: %.180s",
             error ? error->message : "memory ran out");
    report(loop, &key, &outcome);
}

static void start_attempt(struct igt_delivery_loop *loop, const struct igt_row_result *result)
{
    const struct igt_config_destination *destination =
        result->body.data ? find_destination(loop->config, result->destination) : NULL;
    struct igt_arena *arena = destination ? igt_arena_create() : NULL;
    struct attempt *attempt = arena ? igt_arena_alloc(arena, sizeof *attempt) : NULL;
    if (attempt)
        attempt->delivery.body = igt_arena_copy(arena, result->body);
    if (!attempt || !attempt->delivery.body.data) {
        igt_arena_destroy(arena);
        report_unstarted(loop, result);
        return;
    }
    attempt->loop = loop;
    attempt->arena = arena;
    attempt->key = (struct igt_map_key){result->row.event_id, result->row.job};
    attempt->delivery.destination = destination->name;
    attempt->delivery.attempt = result->row.attempt;
    ingot_ksuid_format(&result->row.event_id, attempt->delivery.event_id);
    ingot_ksuid_format(&result->job_id, attempt->delivery.job_id);
    enum ingot_status status = destination->kind == IGT_KIND_HTTP
                                   ? igt_http_deliver(loop->http, &destination->http,
                                                      &attempt->delivery, delivered, attempt)
                                   : igt_command_deliver(loop->commands, &destination->command,
                                                         &attempt->delivery, delivered, attempt);
    if (status) {
        igt_arena_destroy(arena);
        report_unstarted(loop, result);
    }
}

/* ---- what comes from the journal ---------------------------------------- */

static void sight_request(struct igt_delivery_loop *loop, const struct igt_request *request,
                          int64_t now_us)
{
    for (size_t i = 0; i < request->event_count; i++) {
        const struct ingot_event *event = &request->events[i];
        for (size_t j = 0; request->verdicts[i] == INGOT_STORED && j < event->job_count; j++) {
            struct ingot_job job = event->jobs[j];
            job.event_id = event->id;
            job.number = (uint32_t)j;
            job.created_us = event->received_us;
            job.latest = (struct ingot_transition){.state_after = INGOT_STATE_ACKNOWLEDGED,
                                                   .due_us = INGOT_NO_TIME};
            if (igt_scheduler_sight(loop->scheduler, &job, now_us) == IGT_SIGHT_FULL)
                abort(); /* out of memory: the next start finds it in the store */
        }
    }
}

static void ask_to_read(struct igt_delivery_loop *loop, const struct igt_map_key *key)
{
    struct igt_batch *batch = batch_of(loop);
    if (batch->read_count == batch->read_size) {
        size_t size = batch->read_size ? batch->read_size * 2 : 16;
        struct igt_map_key *grown = realloc(batch->reads, size * sizeof *grown);
        if (!grown)
            abort();
        batch->reads = grown;
        batch->read_size = size;
    }
    batch->reads[batch->read_count++] = *key;
}

/* A job that will not be delivered is what an operator wants to hear of. */
static void log_discard(struct igt_delivery_loop *loop, const struct ingot_transition *row)
{
    char id[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&row->event_id, id);
    igt_log(loop->toolkit, INGOT_WARN, "event=discarded job=%s/%u attempts=%u", id, row->job,
            row->attempt);
}

static void take(struct igt_delivery_loop *loop, struct igt_results *results)
{
    int64_t now_us = igt_now_us(loop->toolkit);
    for (size_t i = 0; i < results->request_count; i++)
        sight_request(loop, results->requests[i], now_us);
    for (size_t i = 0; i < results->row_count; i++) {
        const struct igt_row_result *result = &results->rows[i];
        enum igt_next next = igt_scheduler_verdict(loop->scheduler, &result->row, result->verdict,
                                                   now_us, &batch_of(loop)->rows);
        if (result->verdict == INGOT_STORED && result->row.state_after == INGOT_STATE_DISCARDED)
            log_discard(loop, &result->row);
        if (next == IGT_NEXT_DELIVER)
            start_attempt(loop, result);
        else if (next == IGT_NEXT_READ)
            ask_to_read(loop, &(struct igt_map_key){result->row.event_id, result->row.job});
    }
    for (size_t i = 0; i < results->read_count; i++) {
        const struct igt_read_result *read = &results->reads[i];
        if (read->status == INGOT_OK || read->status == INGOT_NOT_FOUND)
            igt_scheduler_mend(loop->scheduler, &read->key, read->job, now_us);
        else
            ask_to_read(loop, &read->key); /* it is there, and cannot be read now */
    }
    igt_results_destroy(results);
}

static void on_arrival(uv_async_t *handle)
{
    struct igt_delivery_loop *loop = handle->data;
    pthread_mutex_lock(&loop->lock);
    struct igt_results *results = loop->inbox;
    loop->inbox = NULL;
    loop->last_result = &loop->inbox;
    int failed = loop->failed;
    pthread_mutex_unlock(&loop->lock);
    while (results) {
        struct igt_results *next = results->next;
        take(loop, results);
        results = next;
    }
    if (failed)
        uv_stop(&loop->uv);
}

void igt_delivery_take_results(void *context, struct igt_results *results)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    results->next = NULL;
    *loop->last_result = results;
    loop->last_result = &results->next;
    pthread_mutex_unlock(&loop->lock);
    uv_async_send(&loop->arrival);
}

void igt_delivery_take_failure(void *context, const struct ingot_error *error)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    loop->failure = *error;
    loop->failed = 1;
    pthread_mutex_unlock(&loop->lock);
    uv_async_send(&loop->arrival);
}

/* ---- the turn ----------------------------------------------------------- */

static void on_wake(uv_timer_t *handle)
{
    (void)handle; /* to be awake is enough: the turn plans */
}

static void arm(struct igt_delivery_loop *loop, int64_t wake_us, int64_t now_us)
{
    uint64_t ms = SLEEP_MS_MAX;
    if (wake_us == INT64_MAX) {
        uv_timer_stop(&loop->wake);
        return;
    }
    if (wake_us <= now_us)
        ms = 0;
    else if ((wake_us - now_us) / 1000 < SLEEP_MS_MAX)
        ms = (uint64_t)((wake_us - now_us) / 1000 + 1);
    uv_timer_start(&loop->wake, on_wake, ms, 0);
}

static void on_turn(uv_prepare_t *handle)
{
    struct igt_delivery_loop *loop = handle->data;
    int64_t now_us = igt_now_us(loop->toolkit);
    struct igt_batch *batch = batch_of(loop);
    int64_t wake_us = igt_scheduler_plan(loop->scheduler, now_us, &batch->rows);
    if (batch->rows.failed)
        abort();
    if (batch->rows.count || batch->read_count) {
        igt_journal_submit_batch(loop->journal, batch);
        loop->batch = NULL;
    } else if (loop->ending != WORKING && igt_scheduler_is_idle(loop->scheduler)) {
        uv_stop(&loop->uv);
    }
    arm(loop, wake_us, now_us);
}

/* ---- the end ------------------------------------------------------------ */

static void on_deadline(uv_timer_t *handle);

/* The next step of the end: finish what runs, then cancel it, then leave it for the next start. */
static void hurry(struct igt_delivery_loop *loop)
{
    if (loop->ending == CANCELLING) {
        igt_log(
            loop->toolkit, INGOT_WARN,
            "event=ended_early hint=\"the store did not take what was under way; the next start "
            "takes it over\"");
        uv_stop(&loop->uv);
        return;
    }
    loop->ending = CANCELLING;
    uv_timer_start(&loop->deadline, on_deadline, CANCEL_MS, 0);
    igt_http_cancel_all(loop->http);
    igt_command_cancel_all(loop->commands);
}

static void on_deadline(uv_timer_t *handle)
{
    hurry(handle->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct igt_delivery_loop *loop = handle->data;
    if (loop->ending != WORKING) { /* asked again: faster */
        hurry(loop);
        return;
    }
    igt_log(loop->toolkit, INGOT_INFO, "event=ending signal=%d running=%llu", number,
            (unsigned long long)igt_scheduler_numbers(loop->scheduler).running);
    loop->ending = FINISHING;
    loop->closing(loop->closing_context);
    igt_scheduler_stop(loop->scheduler);
    uv_timer_start(&loop->deadline, on_deadline, (uint64_t)(loop->config->shutdown_us / 1000), 0);
}

enum ingot_status igt_delivery_run(struct igt_delivery_loop *loop, struct igt_journal *journal,
                                   void (*closing)(void *context), void *context,
                                   struct ingot_error *err)
{
    loop->journal = journal;
    loop->closing = closing;
    loop->closing_context = context;
    if (uv_signal_start(&loop->terminate, on_signal, SIGTERM) != 0 ||
        uv_signal_start(&loop->interrupt, on_signal, SIGINT) != 0)
        return ingot_error_set(err, INGOT_IO, "delivery: could not watch for signals");
    uv_prepare_start(&loop->turn, on_turn);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_prepare_stop(&loop->turn);
    pthread_mutex_lock(&loop->lock);
    enum ingot_status status = loop->failed ? loop->failure.status : INGOT_OK;
    if (status && err)
        *err = loop->failure;
    pthread_mutex_unlock(&loop->lock);
    return status;
}

/* ---- start -------------------------------------------------------------- */

enum ingot_status igt_delivery_recover(struct igt_delivery_loop *loop, struct ingot_store *store,
                                       struct ingot_error *err)
{
    const struct ingot_where all = {
        .status_notin =
            INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED) | INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
        .limit = IGT_FIND_PAGE_JOBS_MAX,
        .detail = INGOT_DETAIL_ROUTING,
    };
    struct ingot_where where = all;
    int64_t now_us = igt_now_us(loop->toolkit);
    for (int more = 1; more;) {
        struct ingot_page *page = NULL;
        enum ingot_status status = ingot_store_find(store, loop->toolkit, &where, &page, err);
        for (size_t i = 0; !status && i < page->event_count; i++)
            for (size_t j = 0; !status && j < page->events[i].job_count; j++)
                if (igt_scheduler_sight(loop->scheduler, &page->events[i].jobs[j], now_us) ==
                    IGT_SIGHT_FULL)
                    status = ingot_error_set(err, INGOT_NOMEM, "scheduler: memory ran out");
        if (status) {
            ingot_page_destroy(page);
            return status;
        }
        where.after = page->next;
        more = page->more;
        ingot_page_destroy(page);
    }
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(loop->scheduler);
    if (numbers.nobodys)
        igt_log(
            loop->toolkit, INGOT_WARN,
            "event=unknown_destinations jobs=%llu hint=\"they wait until their destinations are "
            "configured again; see ingot counts\"",
            (unsigned long long)numbers.nobodys);
    igt_log(loop->toolkit, INGOT_INFO, "event=recovered live=%llu",
            (unsigned long long)numbers.live);
    return INGOT_OK;
}

/* The destinations as the scheduler sees them. */
static int make_plans(struct igt_delivery_loop *loop)
{
    const struct igt_config *config = loop->config;
    struct igt_arena *arena = config->arena;
    loop->plans = igt_arena_array(arena, config->destination_count + 1, sizeof *loop->plans);
    if (!loop->plans)
        return 0;
    for (size_t i = 0; i < config->destination_count; i++) {
        const struct igt_config_destination *from = &config->destinations[i];
        struct ingot_bytes *events = igt_arena_array(arena, from->event_count + 1, sizeof *events);
        struct igt_policy *policies =
            igt_arena_array(arena, from->event_count + 1, sizeof *policies);
        if (!events || !policies)
            return 0;
        policies[0] = from->policy;
        for (size_t j = 0; j < from->event_count; j++) {
            events[j] = from->events[j].name;
            policies[j + 1] = from->events[j].policy;
        }
        loop->plans[i] = (struct igt_plan){
            .name = ingot_bytes_of(from->name),
            .concurrency = from->concurrency,
            .events = events,
            .policies = policies,
            .event_count = from->event_count,
        };
    }
    return 1;
}

static int start_uv(struct igt_delivery_loop *loop)
{
    if (uv_loop_init(&loop->uv) != 0)
        return 0;
    loop->uv_ready = 1;
    uv_prepare_init(&loop->uv, &loop->turn);
    uv_timer_init(&loop->uv, &loop->wake);
    uv_timer_init(&loop->uv, &loop->deadline);
    if (uv_async_init(&loop->uv, &loop->arrival, on_arrival) != 0 ||
        uv_signal_init(&loop->uv, &loop->terminate) != 0 ||
        uv_signal_init(&loop->uv, &loop->interrupt) != 0)
        return 0;
    loop->arrival.data = loop->turn.data = loop->deadline.data = loop;
    loop->terminate.data = loop->interrupt.data = loop;
    return 1;
}

enum ingot_status igt_delivery_create(const struct igt_config *config, const ingot_ksuid *owner,
                                      const struct ingot_toolkit *toolkit,
                                      struct igt_delivery_loop **ret_loop, struct ingot_error *err)
{
    struct igt_delivery_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return ingot_error_set(err, INGOT_NOMEM, "delivery: memory ran out");
    loop->config = config;
    loop->toolkit = toolkit;
    loop->last_result = &loop->inbox;
    pthread_mutex_init(&loop->lock, NULL);
    enum ingot_status status = INGOT_OK;
    if (!start_uv(loop))
        status = ingot_error_set(err, INGOT_IO, "delivery: could not make an event loop");
    if (!status && make_plans(loop))
        loop->scheduler =
            igt_scheduler_create(loop->plans, config->destination_count, owner, toolkit);
    if (!status && !loop->scheduler)
        status = ingot_error_set(err, INGOT_NOMEM, "delivery: memory ran out");
    if (!status)
        status = igt_http_client_create(&loop->uv, toolkit, &loop->http, err);
    if (!status)
        status = igt_command_runner_create(&loop->uv, &loop->commands, err);
    if (status)
        igt_delivery_destroy(loop);
    else
        *ret_loop = loop;
    return status;
}

struct igt_scheduler_numbers igt_delivery_numbers(const struct igt_delivery_loop *loop)
{
    return igt_scheduler_numbers(loop->scheduler);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void igt_delivery_destroy(struct igt_delivery_loop *loop)
{
    if (!loop)
        return;
    if (loop->http)
        igt_http_client_destroy(loop->http);
    if (loop->commands)
        igt_command_runner_destroy(loop->commands);
    if (loop->uv_ready) {
        uv_run(&loop->uv, UV_RUN_NOWAIT); /* lets the destinations close what is theirs */
        uv_walk(&loop->uv, close_handle, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        uv_loop_close(&loop->uv);
    }
    for (struct igt_results *results = loop->inbox, *next; results; results = next) {
        next = results->next;
        igt_results_destroy(results);
    }
    igt_batch_destroy(loop->batch);
    igt_scheduler_destroy(loop->scheduler);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
