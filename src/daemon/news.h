/*
 * News: what other threads than the journal bring to the delivery loop. Each is
 * one allocation that is handed over whole.
 */
#ifndef INGOT_DAEMON_NEWS_H
#define INGOT_DAEMON_NEWS_H

#include "core/arena.h"
#include "scheduler/scheduler.h"

enum igt_news_kind {
    IGT_NEWS_FOLLOWED,    /* what became visible since the last; cursor and horizon are behind it */
    IGT_NEWS_VOID,        /* the cursors of before are void, and this one is new: read all again */
    IGT_NEWS_CURSOR,      /* a cursor that was asked for */
    IGT_NEWS_LIVE,        /* live jobs of a cold read */
    IGT_NEWS_READY,       /* the cold read of that number is complete */
    IGT_NEWS_SWEEP_BEGIN, /* the sweep, see scheduler.h */
    IGT_NEWS_SWEPT,
    IGT_NEWS_SWEEP_END,
    IGT_NEWS_WRITTEN, /* a checkpoint was stored, or could not be */
    IGT_NEWS_PRESENCE /* who is alive, and which lanes fall to us */
};

/* A job with the position of the commit that stored it. */
struct igt_news_job {
    struct ingot_job job; /* without context, data and error */
    uint64_t position;
};

struct igt_news_notice {
    struct igt_map_key key;
    uint64_t position;
};

struct igt_news {
    enum igt_news_kind kind;
    struct igt_arena *arena; /* holds the news and all that it points at */
    struct igt_news_job *jobs;
    size_t job_count, job_size;
    struct igt_news_notice *notices;
    size_t notice_count, notice_size;
    struct ingot_bytes cursor;
    uint64_t horizon;
    uint64_t number;             /* of the cold read */
    struct ingot_cold_read cold; /* of ready */
    uint64_t bytes;              /* of the checkpoint that was written; 0: it was not */
    struct ingot_lanes lanes;    /* of presence */
    struct igt_peer *peers;
    size_t peer_count;
    int64_t judged_us; /* or INGOT_NO_TIME: we may not judge */
    int lapsed;        /* our own heartbeats failed for a lease: others may have worked our lanes */
    struct igt_news *next;
};

/* Where news go. Any thread. */
struct igt_news_desk {
    void (*take)(void *context, struct igt_news *news); /* takes them over */
    /* Copies the positions of commits of which no news are needed, at most max; returns how many. */
    size_t (*known)(void *context, uint64_t *positions, size_t max);
    void *context;
};

/* NULL when memory ran out. */
struct igt_news *igt_news_create(enum igt_news_kind kind);
void igt_news_destroy(struct igt_news *news);

/* Copies a job as far as news keep it, or a notice; 0 when memory ran out. */
int igt_news_add_job(struct igt_news *news, const struct ingot_job *job, uint64_t position);
int igt_news_add_notice(struct igt_news *news, const ingot_ksuid *event_id, uint32_t job,
                        uint64_t position);

#endif
