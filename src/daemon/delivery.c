/* The delivery loop on libuv; see delivery.h. */
#include "delivery.h"

#include "checkpointing.h"
#include "core/instant.h"
#include "core/limits.h"
#include "core/toolkit.h"
#include "positions.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest sleep: an instant of the wall clock may come sooner than the loop's clock thinks. */
#define SLEEP_MS_MAX 1000

/* What was cancelled, and its rows, get this long: a store that does not answer must not stop the end. */
#define CANCEL_MS 5000

/* How fresh the numbers are that are shown outside. */
#define SHOW_EVERY_US 100000

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
    struct igt_fetcher *fetcher;
    struct igt_keeper *keeper;
    struct igt_batch *batch; /* what goes to the journal at the end of this turn */

    enum igt_company company;
    int following;               /* the follower has a cursor: lanes may be read */
    struct ingot_lanes lanes;    /* worked here */
    struct ingot_lanes ready;    /* of them, those whose live jobs are all in memory */
    uint64_t asked[INGOT_LANES]; /* the number of the last request to read a lane */
    uint64_t requests;
    uint64_t handed;       /* commits of ours whose results came */
    uint64_t cursor_needs; /* so many of them must have, for all before the cursor to be here */
    uint64_t taken;        /* the highest position whose jobs are in memory */
    uint64_t swept;        /* jobs that this sweep has shown */
    uint64_t mended;       /* of them, those that memory did not have so */

    struct igt_checkpointing checkpointing;

    uv_loop_t uv;
    uv_async_t arrival;  /* the inbox has something */
    uv_prepare_t turn;   /* before the loop sleeps: plan, and hand the batch over */
    uv_timer_t wake;     /* the next job is due */
    uv_timer_t deadline; /* of the end: what still runs is cancelled */
    uv_signal_t terminate, interrupt;
    int uv_ready;

    pthread_mutex_t lock; /* guards the inbox, and what is shown outside */
    struct igt_results *inbox, **last_result;
    struct igt_news *news, **last_news;
    uint32_t *grants;         /* first claims that the journal may make, of each destination */
    struct igt_positions own; /* commits whose jobs the journal hands over */
    uint64_t stored;          /* how many there were */
    struct igt_scheduler_numbers shown;
    unsigned shown_lanes;
    int64_t shown_lag_us, shown_us;
    struct ingot_error failure;
    int failed;
    int asked_to_end;

    enum { WORKING, FINISHING, CANCELLING, ENDED } ending;
    void (*closing)(void *context);
    void *closing_context;
};

/* One attempt under way. */
struct attempt {
    struct igt_delivery_loop *loop;
    struct igt_map_key key;
    struct igt_delivery delivery;
    char body[]; /* of the delivery */
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
    free(attempt);
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

static enum ingot_status deliver(struct igt_delivery_loop *loop,
                                 const struct igt_config_destination *destination,
                                 struct attempt *attempt)
{
    static const struct igt_outcome success = {.kind = IGT_OUTCOME_SUCCEEDED,
                                               .retry_after_us = INGOT_NO_TIME};
    switch (destination->kind) {
    case IGT_KIND_HTTP:
        return igt_http_deliver(loop->http, &destination->http, &attempt->delivery, delivered,
                                attempt);
    case IGT_KIND_COMMAND:
        return igt_command_deliver(loop->commands, &destination->command, &attempt->delivery,
                                   delivered, attempt);
    case IGT_KIND_INSIDE:
        destination->inside.take(destination->inside.context, &attempt->delivery);
        delivered(attempt, &success);
        return INGOT_OK;
    }
    return INGOT_INVALID;
}

static void start_attempt(struct igt_delivery_loop *loop, const struct igt_row_result *result)
{
    const struct igt_config_destination *destination =
        result->body.data ? find_destination(loop->config, result->destination) : NULL;
    struct attempt *attempt = destination ? malloc(sizeof *attempt + result->body.len) : NULL;
    if (!attempt) {
        report_unstarted(loop, result);
        return;
    }
    attempt->loop = loop;
    attempt->key = (struct igt_map_key){result->row.event_id, result->row.job};
    memcpy(attempt->body, result->body.data, result->body.len);
    attempt->delivery = (struct igt_delivery){
        .destination = destination->name,
        .attempt = result->row.attempt,
        .body = {attempt->body, result->body.len},
    };
    ingot_ksuid_format(&result->row.event_id, attempt->delivery.event_id);
    ingot_ksuid_format(&result->job_id, attempt->delivery.job_id);
    if (deliver(loop, destination, attempt)) {
        free(attempt);
        report_unstarted(loop, result);
    }
}

/* ---- what comes from the journal ---------------------------------------- */

static void sight(struct igt_delivery_loop *loop, const struct ingot_job *job, int64_t now_us)
{
    if (igt_scheduler_sight(loop->scheduler, job, now_us) == IGT_SIGHT_FULL)
        abort(); /* out of memory: the next start finds it in the store */
}

/* The same of a job that came since the last checkpoint. */
static void sight_new(struct igt_delivery_loop *loop, const struct ingot_job *job, int64_t now_us)
{
    sight(loop, job, now_us);
    igt_checkpointing_count_jobs(&loop->checkpointing, 1);
}

/* The same of a job whose first claim is among the rows of the commit. */
static void sight_claimed(struct igt_delivery_loop *loop, const struct ingot_job *job, size_t plan)
{
    if (igt_scheduler_sight_claimed(loop->scheduler, job, plan) == IGT_SIGHT_FULL)
        abort();
    igt_checkpointing_count_jobs(&loop->checkpointing, 1);
}

static void sight_request(struct igt_delivery_loop *loop, const struct igt_request *request,
                          int64_t now_us)
{
    const struct igt_first_claim *claim = request->claims;
    const struct igt_first_claim *end = claim + request->claim_count;
    for (size_t i = 0; i < request->event_count; i++) {
        const struct ingot_event *event = &request->events[i];
        for (size_t j = 0; j < event->job_count; j++) {
            const int claimed = claim < end && claim->event == i && claim->job == j;
            struct ingot_job job = event->jobs[j];
            job.event_id = event->id;
            job.number = (uint32_t)j;
            job.created_us = event->received_us;
            job.latest = (struct ingot_transition){.state_after = INGOT_STATE_ACKNOWLEDGED,
                                                   .due_us = INGOT_NO_TIME};
            if (request->verdicts[i] == INGOT_STORED && claimed)
                sight_claimed(loop, &job, claim->plan);
            else if (request->verdicts[i] == INGOT_STORED)
                sight_new(loop, &job, now_us);
            else if (claimed)
                igt_scheduler_take_back(loop->scheduler, claim->plan, 1);
            claim += claimed;
        }
    }
}

/* A job that will not be delivered is what an operator wants to hear of. */
static void log_row(struct igt_delivery_loop *loop, const char *what,
                    const struct ingot_transition *row)
{
    char id[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&row->event_id, id);
    igt_log(loop->toolkit, INGOT_WARN, "event=%s job=%s/%u attempt=%u", what, id, row->job,
            row->attempt);
}

/* So is that what was done here does not count, because it took longer than a lease. */
static void log_result(struct igt_delivery_loop *loop, const struct igt_row_result *result)
{
    const struct ingot_transition *row = &result->row;
    if (result->verdict == INGOT_STORED && row->state_after == INGOT_STATE_DISCARDED)
        log_row(loop, "discarded", row);
    if (result->verdict == INGOT_LOST && row->state_before == INGOT_STATE_EXECUTING &&
        row->state_after != INGOT_STATE_EXECUTING)
        log_row(loop, "ownership_lost", row);
}

/* The rows of a commit of ours were handed over. */
static void note_position(struct igt_delivery_loop *loop, uint64_t position)
{
    loop->handed += position != 0;
    if (loop->company == IGT_ALONE && position > loop->taken)
        loop->taken = position;
}

static void take(struct igt_delivery_loop *loop, struct igt_results *results)
{
    int64_t now_us = igt_now_us(loop->toolkit);
    for (size_t i = 0; i < results->request_count; i++)
        sight_request(loop, results->requests[i], now_us);
    note_position(loop, results->position);
    for (size_t i = 0; i < results->row_count; i++) {
        const struct igt_row_result *result = &results->rows[i];
        enum igt_next next = igt_scheduler_verdict(loop->scheduler, &result->row, result->verdict,
                                                   now_us, &batch_of(loop)->rows);
        log_result(loop, result);
        if (next == IGT_NEXT_DELIVER)
            start_attempt(loop, result);
    }
    for (size_t i = 0; i < results->read_count; i++) {
        const struct igt_read_result *read = &results->reads[i];
        if (read->status == INGOT_OK || read->status == INGOT_NOT_FOUND)
            igt_scheduler_mend(loop->scheduler, &read->key, read->job, now_us);
        else
            igt_rows_read_again(&batch_of(loop)->rows, &read->key); /* it cannot be read now */
    }
    igt_results_destroy(results);
}

/* ---- what others bring -------------------------------------------------- */

/* Has the keeper read what is live in lanes that are worked from now on. */
static void read_lanes(struct igt_delivery_loop *loop, const struct ingot_lanes *lanes)
{
    loop->ready = igt_lanes_without(&loop->ready, lanes);
    if (!loop->following || igt_lanes_count(lanes) == 0)
        return; /* the follower's first cursor brings us back */
    loop->requests++;
    for (uint32_t i = 0; i < INGOT_LANES; i++)
        if (igt_lanes_has(lanes, i))
            loop->asked[i] = loop->requests;
    igt_keeper_read(loop->keeper, lanes, loop->requests);
}

static void take_presence(struct igt_delivery_loop *loop, const struct igt_news *news)
{
    if (news->judged_us != INGOT_NO_TIME)
        igt_scheduler_set_peers(loop->scheduler, news->peers, news->peer_count, news->judged_us);
    struct ingot_lanes gained = igt_lanes_without(&news->lanes, &loop->lanes);
    if (news->lapsed)
        gained = news->lanes;
    if (igt_lanes_equal(&news->lanes, &loop->lanes) && !news->lapsed)
        return;
    igt_log(loop->toolkit, INGOT_INFO, "event=lanes count=%u gained=%u",
            igt_lanes_count(&news->lanes), igt_lanes_count(&gained));
    loop->lanes = news->lanes;
    loop->ready = igt_lanes_both(&loop->ready, &loop->lanes);
    igt_scheduler_set_lanes(loop->scheduler, &loop->lanes);
    read_lanes(loop, &gained);
}

/* A cold read is complete: the lanes whose last request it answers are. */
static void take_ready(struct igt_delivery_loop *loop, const struct igt_news *news)
{
    for (uint32_t i = 0; i < INGOT_LANES; i++)
        if (igt_lanes_has(&loop->lanes, i) && loop->asked[i] && loop->asked[i] <= news->number)
            igt_lanes_add(&loop->ready, i);
    igt_checkpointing_count_cold_read(&loop->checkpointing, &news->cold);
    if (loop->company == IGT_ALONE && loop->taken + 1 < news->horizon)
        loop->taken = news->horizon - 1; /* what was stored before the read, it has found */
    malloc_trim(0); /* what was read has passed through here, and took as much memory again */
    struct igt_scheduler_numbers numbers = igt_scheduler_numbers(loop->scheduler);
    if (numbers.nobodys)
        igt_log(loop->toolkit, INGOT_WARN,
                "event=unknown_destinations jobs=%llu hint=\"they wait until their destinations "
                "are configured again; see ingot counts\"",
                (unsigned long long)numbers.nobodys);
    igt_log(loop->toolkit, INGOT_INFO, "event=recovered live=%llu",
            (unsigned long long)numbers.live);
}

/* Keeps a cursor for the next checkpoint. */
static void take_cursor(struct igt_delivery_loop *loop, const struct igt_news *news)
{
    igt_checkpointing_take_cursor(&loop->checkpointing, news->cursor, news->horizon);
    pthread_mutex_lock(&loop->lock);
    loop->cursor_needs = loop->stored;
    pthread_mutex_unlock(&loop->lock);
}

/* Whether a commit is ours: the follower's sightings of it are dropped. */
static int is_own(struct igt_delivery_loop *loop, uint64_t position)
{
    pthread_mutex_lock(&loop->lock);
    int own = igt_positions_has(&loop->own, position);
    pthread_mutex_unlock(&loop->lock);
    return own;
}

static void take_followed(struct igt_delivery_loop *loop, const struct igt_news *news,
                          int64_t now_us)
{
    for (size_t i = 0; i < news->job_count; i++)
        if (!is_own(loop, news->jobs[i].position))
            sight_new(loop, &news->jobs[i].job, now_us);
    for (size_t i = 0; i < news->notice_count; i++)
        if (!is_own(loop, news->notices[i].position))
            igt_scheduler_notice(loop->scheduler, &news->notices[i].key, &batch_of(loop)->rows);
    /* A commit is seen whole, and only once. */
    pthread_mutex_lock(&loop->lock);
    for (size_t i = 0; i < news->job_count; i++)
        igt_positions_drop(&loop->own, news->jobs[i].position);
    for (size_t i = 0; i < news->notice_count; i++)
        igt_positions_drop(&loop->own, news->notices[i].position);
    igt_positions_drop_below(&loop->own, news->horizon);
    pthread_mutex_unlock(&loop->lock);
    take_cursor(loop, news);
}

/* What memory lacks, or has as it was before, it learns now. */
static void take_swept(struct igt_delivery_loop *loop, const struct igt_news *news, int64_t now_us)
{
    for (size_t i = 0; i < news->job_count; i++) {
        enum igt_sight sight =
            igt_scheduler_sweep_show(loop->scheduler, &news->jobs[i].job, now_us);
        if (sight == IGT_SIGHT_FULL)
            abort();
        loop->mended += sight == IGT_SIGHT_TAKEN;
    }
    loop->swept += news->job_count;
}

static void take_one_news(struct igt_delivery_loop *loop, struct igt_news *news)
{
    int64_t now_us = igt_now_us(loop->toolkit);
    switch (news->kind) {
    case IGT_NEWS_FOLLOWED:
        take_followed(loop, news, now_us);
        break;
    case IGT_NEWS_VOID:
        take_cursor(loop, news);
        loop->following = 1;
        read_lanes(loop, &loop->lanes);
        break;
    case IGT_NEWS_CURSOR:
        take_cursor(loop, news);
        break;
    case IGT_NEWS_LIVE:
        for (size_t i = 0; i < news->job_count; i++)
            sight(loop, &news->jobs[i].job, now_us);
        break;
    case IGT_NEWS_READY:
        take_ready(loop, news);
        break;
    case IGT_NEWS_SWEEP_BEGIN:
        loop->swept = loop->mended = 0;
        igt_scheduler_sweep_begin(loop->scheduler);
        break;
    case IGT_NEWS_SWEPT:
        take_swept(loop, news, now_us);
        break;
    case IGT_NEWS_SWEEP_END:
        igt_scheduler_sweep_end(loop->scheduler, &batch_of(loop)->rows);
        igt_log(loop->toolkit, INGOT_INFO, "event=swept jobs=%llu mended=%llu",
                (unsigned long long)loop->swept, (unsigned long long)loop->mended);
        break;
    case IGT_NEWS_WRITTEN:
        igt_checkpointing_written(&loop->checkpointing, news->bytes, now_us);
        break;
    case IGT_NEWS_PRESENCE:
        take_presence(loop, news);
        break;
    }
    igt_news_destroy(news);
}

static void begin_end(struct igt_delivery_loop *loop);

static void on_arrival(uv_async_t *handle)
{
    struct igt_delivery_loop *loop = handle->data;
    if (loop->ending == ENDED)
        return; /* journal and keeper may be gone; what came is freed with the loop */
    pthread_mutex_lock(&loop->lock);
    struct igt_results *results = loop->inbox;
    struct igt_news *news = loop->news;
    loop->inbox = NULL;
    loop->last_result = &loop->inbox;
    loop->news = NULL;
    loop->last_news = &loop->news;
    int failed = loop->failed;
    int asked_to_end = loop->asked_to_end;
    loop->asked_to_end = 0;
    pthread_mutex_unlock(&loop->lock);
    while (results) {
        struct igt_results *next = results->next;
        take(loop, results);
        results = next;
    }
    while (news) {
        struct igt_news *next = news->next;
        take_one_news(loop, news);
        news = next;
    }
    if (asked_to_end)
        begin_end(loop);
    if (failed)
        uv_stop(&loop->uv);
}

void igt_delivery_take_stored(void *context, uint64_t position)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    int noted = loop->company != IGT_AMONG || igt_positions_add(&loop->own, position);
    loop->stored++;
    pthread_mutex_unlock(&loop->lock);
    if (!noted)
        abort();
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

void igt_delivery_take_news(void *context, struct igt_news *news)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    news->next = NULL;
    *loop->last_news = news;
    loop->last_news = &news->next;
    pthread_mutex_unlock(&loop->lock);
    uv_async_send(&loop->arrival);
}

size_t igt_delivery_known(void *context, uint64_t *positions, size_t max)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    size_t count = igt_positions_copy(&loop->own, positions, max);
    pthread_mutex_unlock(&loop->lock);
    return count;
}

/* ---- first claims, for the journal -------------------------------------- */

/* The place of a job's destination, or the number of destinations if it is none of ours. */
static size_t plan_of(const struct igt_config *config, const struct ingot_job *job)
{
    const struct igt_config_destination *destination = find_destination(config, job->destination);
    return destination ? (size_t)(destination - config->destinations) : config->destination_count;
}

void igt_delivery_claim(void *context, struct igt_request *request)
{
    struct igt_delivery_loop *loop = context;
    size_t jobs = 0;
    for (size_t i = 0; i < request->event_count; i++)
        jobs += request->events[i].job_count;
    request->claims = igt_arena_array(request->arena, jobs, sizeof *request->claims);
    if (!request->claims)
        return;
    pthread_mutex_lock(&loop->lock);
    for (size_t i = 0; i < request->event_count; i++)
        for (size_t j = 0; j < request->events[i].job_count; j++) {
            const size_t plan = plan_of(loop->config, &request->events[i].jobs[j]);
            if (plan == loop->config->destination_count || !loop->grants[plan] ||
                request->events[i].jobs[j].due_us != INGOT_NO_TIME)
                continue;
            loop->grants[plan]--;
            request->claims[request->claim_count++] = (struct igt_first_claim){i, j, plan};
        }
    pthread_mutex_unlock(&loop->lock);
}

void igt_delivery_unclaim(void *context, struct igt_request *request)
{
    struct igt_delivery_loop *loop = context;
    pthread_mutex_lock(&loop->lock);
    for (size_t i = 0; i < request->claim_count; i++)
        loop->grants[request->claims[i].plan]++;
    pthread_mutex_unlock(&loop->lock);
    request->claim_count = 0;
    uv_async_send(&loop->arrival); /* an end may wait for them */
}

/* Takes back what was granted where others go first now. */
static void take_grants_back(struct igt_delivery_loop *loop, int64_t now_us)
{
    pthread_mutex_lock(&loop->lock);
    for (size_t i = 0; i < loop->config->destination_count; i++)
        if (loop->grants[i] && igt_scheduler_wants_back(loop->scheduler, i, now_us)) {
            igt_scheduler_take_back(loop->scheduler, i, loop->grants[i]);
            loop->grants[i] = 0;
        }
    pthread_mutex_unlock(&loop->lock);
}

/* Grants the room that the plan has left. */
static void grant_room(struct igt_delivery_loop *loop, int64_t now_us)
{
    pthread_mutex_lock(&loop->lock);
    for (size_t i = 0; i < loop->config->destination_count; i++)
        loop->grants[i] += igt_scheduler_grant(loop->scheduler, i, now_us);
    pthread_mutex_unlock(&loop->lock);
}

void igt_delivery_describe(struct igt_delivery_loop *loop, struct igt_buffer *about)
{
    struct igt_scheduler_numbers numbers = igt_delivery_numbers(loop);
    pthread_mutex_lock(&loop->lock);
    unsigned lanes = loop->shown_lanes;
    int64_t lag_us = loop->shown_lag_us;
    pthread_mutex_unlock(&loop->lock);
    igt_buffer_add_format(
        about,
        ",\"lanes_ready\":%u,\"lag_ms\":%lld,\"live\":%llu,\"running\":%llu,\"succeeded\":%llu,"
        "\"failed\":%llu,\"discarded\":%llu,\"taken_over\":%llu,"
        "\"claims_lost\":%llu,\"outcomes_lost\":%llu",
        lanes, (long long)(lag_us / 1000), (unsigned long long)numbers.live,
        (unsigned long long)numbers.running, (unsigned long long)numbers.succeeded,
        (unsigned long long)numbers.failed, (unsigned long long)numbers.discarded,
        (unsigned long long)numbers.taken_over, (unsigned long long)numbers.claims_lost,
        (unsigned long long)numbers.outcomes_lost);
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

void igt_delivery_end(struct igt_delivery_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->asked_to_end = 1;
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

/* Lists what is live, at a cursor that all of it was seen by, and has it written. */
static void write_checkpoint(struct igt_delivery_loop *loop)
{
    size_t live = igt_scheduler_numbers(loop->scheduler).live;
    struct igt_listed *list = malloc((live + 1) * sizeof *list);
    if (!list)
        return;
    size_t count = igt_scheduler_list(loop->scheduler, &loop->ready, list);
    igt_checkpointing_listed(&loop->checkpointing);
    igt_keeper_write(loop->keeper, &loop->ready, ingot_bytes_of(loop->checkpointing.cursor), list,
                     count);
}

/* One step towards a checkpoint, if one is due. */
static void see_to_checkpoint(struct igt_delivery_loop *loop, int64_t now_us)
{
    struct igt_checkpointing *checkpointing = &loop->checkpointing;
    if (igt_lanes_count(&loop->ready) && igt_checkpointing_begin(checkpointing, now_us) &&
        loop->company == IGT_ALONE) {
        igt_checkpointing_drop_cursor(checkpointing);
        igt_keeper_ask_cursor(loop->keeper);
    }
    if (checkpointing->phase == IGT_CHECKPOINT_BEGUN && checkpointing->cursor &&
        (loop->company == IGT_AMONG ? loop->handed >= loop->cursor_needs
                                    : loop->taken + 1 >= checkpointing->horizon))
        write_checkpoint(loop);
}

/* Shows the numbers outside, now and then; returns when to come again, so that the last ones are shown too. */
static int64_t show_numbers(struct igt_delivery_loop *loop, int64_t now_us)
{
    const struct igt_scheduler_numbers numbers = igt_scheduler_numbers(loop->scheduler);
    if (now_us - loop->shown_us < SHOW_EVERY_US && now_us >= loop->shown_us)
        return memcmp(&numbers, &loop->shown, sizeof numbers) == 0 ? INT64_MAX
                                                                   : loop->shown_us + SHOW_EVERY_US;
    pthread_mutex_lock(&loop->lock);
    loop->shown_us = now_us;
    loop->shown_lag_us = igt_scheduler_lag(loop->scheduler, now_us);
    loop->shown = numbers;
    loop->shown_lanes = igt_lanes_count(&loop->ready);
    pthread_mutex_unlock(&loop->lock);
    return INT64_MAX;
}

/* Hands the batch over; what a few claims need is read meanwhile, and had better be asked for first. */
static void submit(struct igt_delivery_loop *loop)
{
    struct igt_map_key claimed[IGT_EXPECTED_MAX]; /* as many are too many */
    const struct igt_rows *rows = &loop->batch->rows;
    size_t count = 0;
    for (size_t i = 0; i < rows->count && count < IGT_EXPECTED_MAX; i++)
        if (rows->rows[i].row.state_after == INGOT_STATE_EXECUTING)
            claimed[count++] =
                (struct igt_map_key){rows->rows[i].row.event_id, rows->rows[i].row.job};
    if (count && count < IGT_EXPECTED_MAX)
        igt_fetcher_expect(loop->fetcher, claimed, count);
    igt_journal_submit_batch(loop->journal, loop->batch);
    loop->batch = NULL;
}

static void on_turn(uv_prepare_t *handle)
{
    struct igt_delivery_loop *loop = handle->data;
    int64_t now_us = igt_now_us(loop->toolkit);
    struct igt_batch *batch = batch_of(loop);
    see_to_checkpoint(loop, now_us);
    int64_t show_us = show_numbers(loop, now_us);
    take_grants_back(loop, now_us);
    int64_t wake_us = igt_scheduler_plan(loop->scheduler, now_us, &batch->rows);
    grant_room(loop, now_us);
    wake_us = show_us < wake_us ? show_us : wake_us;
    if (batch->rows.failed)
        abort();
    if (batch->rows.count || batch->rows.read_count) {
        submit(loop);
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

/* The end begins; asked again: faster. */
static void begin_end(struct igt_delivery_loop *loop)
{
    if (loop->ending != WORKING) {
        hurry(loop);
        return;
    }
    loop->ending = FINISHING;
    loop->closing(loop->closing_context);
    igt_scheduler_stop(loop->scheduler);
    uv_timer_start(&loop->deadline, on_deadline, (uint64_t)(loop->config->shutdown_us / 1000), 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct igt_delivery_loop *loop = handle->data;
    if (loop->ending == ENDED)
        return;
    if (loop->ending == WORKING)
        igt_log(loop->toolkit, INGOT_INFO, "event=ending signal=%d running=%llu", number,
                (unsigned long long)igt_scheduler_numbers(loop->scheduler).running);
    begin_end(loop);
}

enum ingot_status igt_delivery_run(struct igt_delivery_loop *loop, struct igt_journal *journal,
                                   struct igt_fetcher *fetcher, struct igt_keeper *keeper,
                                   void (*closing)(void *context), void *context,
                                   struct ingot_error *err)
{
    loop->journal = journal;
    loop->fetcher = fetcher;
    loop->keeper = keeper;
    loop->closing = closing;
    loop->closing_context = context;
    if (loop->company == IGT_ALONE)
        read_lanes(loop, &loop->lanes);
    uv_prepare_start(&loop->turn, on_turn);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_prepare_stop(&loop->turn);
    uv_timer_stop(&loop->deadline); /* it may pass before the loop is taken apart */
    loop->ending = ENDED;
    pthread_mutex_lock(&loop->lock);
    loop->shown = igt_scheduler_numbers(loop->scheduler);
    enum ingot_status status = loop->failed ? loop->failure.status : INGOT_OK;
    if (status && err)
        *err = loop->failure;
    pthread_mutex_unlock(&loop->lock);
    return status;
}

/* ---- start -------------------------------------------------------------- */

/* The destinations as the scheduler sees them. */
static int make_plans(struct igt_delivery_loop *loop)
{
    const struct igt_config *config = loop->config;
    struct igt_arena *arena = config->arena;
    loop->plans = igt_arena_array(arena, config->destination_count + 1, sizeof *loop->plans);
    loop->grants = igt_arena_array(arena, config->destination_count + 1, sizeof *loop->grants);
    if (!loop->plans || !loop->grants)
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

/* Begins to watch for a signal, unless it is ignored, as nohup and shells have it for the background. */
static int heed(uv_signal_t *handle, int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 &&
           (now.sa_handler == SIG_IGN || uv_signal_start(handle, on_signal, number) == 0);
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
    /* From now on, so that who is told of the start may ask for the end at once. */
    return heed(&loop->terminate, SIGTERM) && heed(&loop->interrupt, SIGINT);
}

enum ingot_status igt_delivery_create(const struct igt_config *config, enum igt_company company,
                                      const ingot_ksuid *owner, const struct ingot_toolkit *toolkit,
                                      struct igt_delivery_loop **ret_loop, struct ingot_error *err)
{
    struct igt_delivery_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return ingot_error_set(err, INGOT_NOMEM, "delivery: memory ran out");
    loop->config = config;
    loop->toolkit = toolkit;
    loop->last_result = &loop->inbox;
    loop->last_news = &loop->news;
    loop->company = company;
    igt_checkpointing_init(&loop->checkpointing, igt_now_us(toolkit));
    if (loop->company == IGT_ALONE) {
        loop->lanes = igt_lanes_all();
        loop->following = 1;
    }
    pthread_mutex_init(&loop->lock, NULL);
    enum ingot_status status = INGOT_OK;
    if (!start_uv(loop))
        status = ingot_error_set(err, INGOT_IO, "delivery: could not make an event loop");
    if (!status && make_plans(loop))
        loop->scheduler =
            igt_scheduler_create(loop->plans, config->destination_count, owner,
                                 company == IGT_ALONE ? 0 : config->lease_us, toolkit);
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

struct igt_scheduler_numbers igt_delivery_numbers(struct igt_delivery_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct igt_scheduler_numbers numbers = loop->shown;
    pthread_mutex_unlock(&loop->lock);
    return numbers;
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
    loop->ending = ENDED; /* also for a signal that is still to be handled */
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
    for (struct igt_news *news = loop->news, *next; news; news = next) {
        next = news->next;
        igt_news_destroy(news);
    }
    igt_batch_destroy(loop->batch);
    igt_positions_fini(&loop->own);
    igt_checkpointing_fini(&loop->checkpointing);
    igt_scheduler_destroy(loop->scheduler);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
