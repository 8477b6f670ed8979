/* The pulse's thread: beat, look, tell; see pulse.h. */
#include "pulse.h"

#include "core/thread.h"
#include "core/toolkit.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* Heartbeats in a lease, and how often the others' are looked at in between. */
#define BEATS_A_LEASE 5
#define LOOK_US 250000

/* While it fails it says so this often: what it fails for may change. */
#define REMIND_US 10000000

struct igt_pulse {
    struct ingot_store *store;
    const struct ingot_toolkit *toolkit;
    struct igt_pulse_config config;
    struct igt_news_desk desk;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    int stopping;

    uint32_t n;               /* of the last heartbeat */
    struct ingot_lanes lanes; /* that fell to us */
    int64_t beaten_us;        /* our last heartbeat, by the store's clock; INGOT_NO_TIME: none */
    int64_t steady_us;        /* since when our heartbeats have been on time */
    int64_t next_beat_us;     /* by the monotonic clock */
    int failing;
    int64_t remind_us; /* when to say so again, by the monotonic clock */
};

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void describe(struct igt_pulse *pulse, const char *state, struct igt_buffer *about)
{
    static const char *const roles[] = {[IGT_ROLE_BOTH] = "serve",
                                        [IGT_ROLE_GATEWAY] = "gateway",
                                        [IGT_ROLE_SCHEDULER] = "scheduler"};
    igt_buffer_add_format(
        about, "{\"state\":\"%s\",\"role\":\"%s\",\"version\":\"%s\",\"lease_ms\":%lld", state,
        roles[pulse->config.role], INGOT_VERSION, (long long)(pulse->config.lease_us / 1000));
    pulse->config.describe(pulse->config.context, about);
    igt_buffer_add_text(about, "}");
}

/* Works out from the living what falls to us, and who is there. 0 when memory ran out. */
static int judge(struct igt_pulse *pulse, const struct ingot_heartbeats *beats,
                 struct igt_news *news)
{
    ingot_ksuid *schedulers = igt_arena_array(news->arena, beats->count + 1, sizeof *schedulers);
    size_t count = 0;
    news->peers = igt_arena_array(news->arena, beats->count + 1, sizeof *news->peers);
    if (!schedulers || !news->peers)
        return 0;
    for (size_t i = 0; i < beats->count; i++) {
        const struct ingot_heartbeat *beat = &beats->newest[i];
        if (ingot_ksuid_compare(&beat->process, &pulse->config.process) == 0)
            continue;
        news->peers[news->peer_count++] =
            (struct igt_peer){beat->process, beat->lanes ? IGT_PEER_LIVING : IGT_PEER_ENDED};
        if (beat->lanes)
            schedulers[count++] = beat->process;
    }
    const struct ingot_lanes before = pulse->lanes;
    if (pulse->config.role != IGT_ROLE_GATEWAY)
        pulse->lanes = igt_lanes_of(&pulse->config.process, schedulers, count);
    if (!igt_lanes_equal(&pulse->lanes, &before))
        pulse->next_beat_us = monotonic_us(); /* the last heartbeat says what is so no more */
    news->lanes = pulse->lanes;
    /* A process that was late itself cannot tell who else was (PROTOCOL 5.1). */
    if (pulse->beaten_us != INGOT_NO_TIME &&
        beats->now_us - pulse->beaten_us < pulse->config.lease_us / 2 &&
        pulse->beaten_us - pulse->steady_us >= pulse->config.lease_us)
        news->judged_us = beats->now_us;
    return 1;
}

/* Notes that a heartbeat was stored at an instant of the store's clock. */
static void note_beat(struct igt_pulse *pulse, int64_t now_us, struct igt_news *news)
{
    int64_t silence_us = pulse->beaten_us == INGOT_NO_TIME ? 0 : now_us - pulse->beaten_us;
    if (pulse->beaten_us == INGOT_NO_TIME || silence_us > pulse->config.lease_us / 2 ||
        silence_us < 0)
        pulse->steady_us = now_us;
    news->lapsed = silence_us > pulse->config.lease_us;
    pulse->beaten_us = now_us;
    pulse->next_beat_us = monotonic_us() + pulse->config.lease_us / BEATS_A_LEASE;
}

/* Beats if it is time, and looks at the others. */
static enum ingot_status look(struct igt_pulse *pulse, struct ingot_error *err)
{
    struct igt_buffer about = {0};
    struct ingot_heartbeats beats = {0};
    struct ingot_page *page = NULL;
    int due = monotonic_us() >= pulse->next_beat_us;
    struct igt_news *news = igt_news_create(IGT_NEWS_PRESENCE);
    if (due)
        describe(pulse, "working", &about);
    if (!news || about.failed) {
        igt_buffer_fini(&about);
        igt_news_destroy(news);
        return ingot_error_set(err, INGOT_NOMEM, "pulse: memory ran out");
    }
    const struct ingot_heartbeat beat = {
        .process = pulse->config.process,
        .n = pulse->n + 1,
        .lanes = pulse->config.role == IGT_ROLE_GATEWAY ? NULL : &pulse->lanes,
        .about = {about.data, about.len},
    };
    enum ingot_status status =
        ingot_store_heartbeat(pulse->store, pulse->toolkit, due ? &beat : NULL,
                              pulse->config.lease_us, &page, &beats, err);
    igt_buffer_fini(&about);
    if (!status && due) {
        pulse->n++;
        note_beat(pulse, beats.now_us, news);
    }
    if (!status && !judge(pulse, &beats, news))
        status = ingot_error_set(err, INGOT_NOMEM, "pulse: memory ran out");
    ingot_page_destroy(page);
    if (status)
        igt_news_destroy(news);
    else
        pulse->desk.take(pulse->desk.context, news);
    return status;
}

/* Says farewell; if that does not work the others see it after a lease. */
static void farewell(struct igt_pulse *pulse)
{
    struct igt_buffer about = {0};
    struct ingot_heartbeats beats;
    struct ingot_page *page = NULL;
    describe(pulse, "ended", &about);
    const struct ingot_heartbeat beat = {
        .process = pulse->config.process, .n = pulse->n + 1, .about = {about.data, about.len}};
    if (!about.failed && ingot_store_heartbeat(pulse->store, pulse->toolkit, &beat,
                                               pulse->config.lease_us, &page, &beats, NULL) == 0)
        ingot_page_destroy(page);
    igt_buffer_fini(&about);
}

/* Logs that the store does not answer, and that it does again. */
static void tell_health(struct igt_pulse *pulse, enum ingot_status status,
                        const struct ingot_error *err)
{
    const int64_t now_us = monotonic_us();
    if (status && (!pulse->failing || now_us >= pulse->remind_us)) {
        igt_log(pulse->toolkit, INGOT_WARN, "event=heartbeat_failed error=\"%s\"", err->message);
        pulse->remind_us = now_us + REMIND_US;
    } else if (!status && pulse->failing) {
        igt_log(pulse->toolkit, INGOT_INFO, "event=heartbeat_recovered");
    }
    pulse->failing = status != INGOT_OK;
}

static void *run(void *context)
{
    struct igt_pulse *pulse = context;
    struct ingot_error err;
    pthread_mutex_lock(&pulse->lock);
    while (!pulse->stopping) {
        pthread_mutex_unlock(&pulse->lock);
        enum ingot_status status = look(pulse, &err);
        pulse->config.looked(pulse->config.context, status);
        tell_health(pulse, status, &err);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_US * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&pulse->lock);
        if (!pulse->stopping)
            pthread_cond_timedwait(&pulse->stop, &pulse->lock, &until);
    }
    pthread_mutex_unlock(&pulse->lock);
    if (pulse->n)
        farewell(pulse);
    return NULL;
}

enum ingot_status igt_pulse_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                  const struct igt_pulse_config *config,
                                  const struct igt_news_desk *desk, struct igt_pulse **ret_pulse,
                                  struct ingot_error *err)
{
    pthread_condattr_t attributes;
    struct igt_pulse *pulse = calloc(1, sizeof *pulse);
    if (!pulse)
        return ingot_error_set(err, INGOT_NOMEM, "pulse: memory ran out");
    pulse->store = store;
    pulse->toolkit = toolkit;
    pulse->config = *config;
    pulse->desk = *desk;
    pulse->beaten_us = INGOT_NO_TIME;
    pthread_mutex_init(&pulse->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pulse->stop, &attributes);
    pthread_condattr_destroy(&attributes);
    enum ingot_status status = igt_thread_start(&pulse->thread, "pulse", run, pulse, err);
    if (status) {
        free(pulse);
        return status;
    }
    *ret_pulse = pulse;
    return INGOT_OK;
}

void igt_pulse_stop(struct igt_pulse *pulse)
{
    if (!pulse)
        return;
    pthread_mutex_lock(&pulse->lock);
    pulse->stopping = 1;
    pthread_cond_signal(&pulse->stop);
    pthread_mutex_unlock(&pulse->lock);
    pthread_join(pulse->thread, NULL);
    pthread_cond_destroy(&pulse->stop);
    pthread_mutex_destroy(&pulse->lock);
    free(pulse);
}
