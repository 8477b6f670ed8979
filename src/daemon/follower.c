/* The follower's thread: poll, tell, wait; see follower.h. */
#include "follower.h"

#include "core/thread.h"
#include "core/toolkit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* The longest time between two polls: while something comes, and while nothing does (PROTOCOL 7). */
#define BUSY_US 5000
#define IDLE_US 20000

/* How long it waits after a failure. */
#define FAILED_US 100000

/* Commits of this process that the store need not show, at most. */
#define KNOWN_MAX 64

/* Without anything new the loop hears of the cursor and horizon after this many polls. */
#define QUIET_POLLS 50

struct igt_follower {
    struct ingot_store *store;
    const struct ingot_toolkit *toolkit;
    struct igt_news_desk desk;
    pthread_t thread;
    atomic_int stopping;
    struct ingot_page *page; /* holds the cursor */
    struct ingot_bytes cursor;
    uint64_t life;
    unsigned quiet; /* polls since the loop last heard */
    int failing;
};

static int sighted(void *context, const struct ingot_sighting *sighting)
{
    struct igt_news *news = context;
    if (sighting->kind == INGOT_SIGHTED_NOTICE)
        return !igt_news_add_notice(news, &sighting->event_id, sighting->job, sighting->position);
    for (size_t i = 0; i < sighting->job_count; i++)
        if (!igt_news_add_job(news, &sighting->jobs[i], sighting->position))
            return 1;
    return 0;
}

/* Lets go of the cursor: the next poll gives one of its moment. */
static void let_go(struct igt_follower *follower)
{
    ingot_page_destroy(follower->page);
    follower->page = NULL;
    follower->cursor = (struct ingot_bytes){NULL, 0};
}

static void note_failure(struct igt_follower *follower, const struct ingot_error *err)
{
    if (!follower->failing)
        igt_log(follower->toolkit, INGOT_WARN, "event=follow_failed error=\"%s\"", err->message);
    follower->failing = 1;
}

/* Hands over what a poll brought, or keeps quiet. */
static void tell(struct igt_follower *follower, struct igt_news *news,
                 const struct ingot_followed *followed)
{
    int quiet = news->kind == IGT_NEWS_FOLLOWED && !news->job_count && !news->notice_count;
    if (quiet && ++follower->quiet < QUIET_POLLS) {
        igt_news_destroy(news);
        return;
    }
    follower->quiet = 0;
    news->horizon = followed->horizon;
    news->cursor = igt_arena_copy(news->arena, followed->cursor);
    follower->desk.take(follower->desk.context, news);
}

/* One poll; says how long to wait for the next. */
static int64_t poll_once(struct igt_follower *follower)
{
    struct ingot_page *page = NULL;
    struct ingot_followed followed = {0};
    struct ingot_error err = {0};
    int had_cursor = follower->cursor.data != NULL;
    struct igt_news *news = igt_news_create(had_cursor ? IGT_NEWS_FOLLOWED : IGT_NEWS_VOID);
    enum ingot_status status = INGOT_NOMEM;
    uint64_t known[KNOWN_MAX];
    const struct ingot_following from = {
        .cursor = follower->cursor,
        .known = known,
        .known_count = follower->desk.known(follower->desk.context, known, KNOWN_MAX),
    };
    if (news)
        status = ingot_store_follow(follower->store, follower->toolkit, &from, sighted, news, &page,
                                    &followed, &err);
    if (!status && had_cursor && followed.life != follower->life) {
        /* The server was restarted: it may hand out xids again that the cursor has passed. */
        ingot_page_destroy(page);
        status = INGOT_INVALID;
    }
    if (status) {
        igt_news_destroy(news);
        if (status == INGOT_INVALID) {
            igt_log(follower->toolkit, INGOT_WARN, "event=cursor_void");
            let_go(follower);
            return 0;
        }
        note_failure(follower, &err);
        return FAILED_US;
    }
    if (follower->failing)
        igt_log(follower->toolkit, INGOT_INFO, "event=follow_recovered");
    follower->failing = 0;
    ingot_page_destroy(follower->page);
    follower->page = page;
    follower->cursor = followed.cursor;
    follower->life = followed.life;
    int busy = news->job_count || news->notice_count;
    tell(follower, news, &followed);
    return busy ? BUSY_US : IDLE_US;
}

static void *run(void *context)
{
    struct igt_follower *follower = context;
    while (!atomic_load(&follower->stopping)) {
        int64_t wait_us = poll_once(follower);
        if (wait_us == FAILED_US || ingot_store_wait(follower->store, follower->toolkit, wait_us,
                                                     NULL) == INGOT_UNSUPPORTED)
            nanosleep(&(struct timespec){.tv_nsec = wait_us * 1000}, NULL);
    }
    return NULL;
}

enum ingot_status igt_follower_start(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct igt_news_desk *desk,
                                     struct igt_follower **ret_follower, struct ingot_error *err)
{
    struct igt_follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return ingot_error_set(err, INGOT_NOMEM, "follower: memory ran out");
    follower->store = store;
    follower->toolkit = toolkit;
    follower->desk = *desk;
    enum ingot_status status = igt_thread_start(&follower->thread, "follower", run, follower, err);
    if (status) {
        free(follower);
        return status;
    }
    *ret_follower = follower;
    return INGOT_OK;
}

void igt_follower_stop(struct igt_follower *follower)
{
    if (!follower)
        return;
    atomic_store(&follower->stopping, 1);
    pthread_join(follower->thread, NULL);
    let_go(follower);
    free(follower);
}
