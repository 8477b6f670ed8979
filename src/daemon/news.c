/* News for the delivery loop; see news.h. */
#include "news.h"

#include <string.h>

struct igt_news *igt_news_create(enum igt_news_kind kind)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_news *news = arena ? igt_arena_alloc(arena, sizeof *news) : NULL;
    if (!news) {
        igt_arena_destroy(arena);
        return NULL;
    }
    news->arena = arena;
    news->kind = kind;
    news->judged_us = INGOT_NO_TIME;
    return news;
}

void igt_news_destroy(struct igt_news *news)
{
    if (news)
        igt_arena_destroy(news->arena);
}

/* An array that has room for one more; NULL when memory ran out. */
static void *grow(struct igt_arena *arena, void *array, size_t count, size_t *size, size_t each)
{
    if (count < *size)
        return array;
    size_t larger = *size ? *size * 2 : 16;
    void *grown = igt_arena_array(arena, larger, each);
    if (!grown)
        return NULL;
    if (count)
        memcpy(grown, array, count * each);
    *size = larger;
    return grown;
}

int igt_news_add_job(struct igt_news *news, const struct ingot_job *job, uint64_t position)
{
    struct igt_news_job *jobs =
        grow(news->arena, news->jobs, news->job_count, &news->job_size, sizeof *jobs);
    if (!jobs)
        return 0;
    news->jobs = jobs;
    struct ingot_job *copy = &jobs[news->job_count].job;
    *copy = *job;
    copy->destination = igt_arena_copy(news->arena, job->destination);
    copy->event = igt_arena_copy(news->arena, job->event);
    copy->context = copy->data = copy->latest.error = (struct ingot_bytes){NULL, 0};
    jobs[news->job_count].position = position;
    if (!copy->destination.data || !copy->event.data)
        return 0;
    news->job_count++;
    return 1;
}

int igt_news_add_notice(struct igt_news *news, const ingot_ksuid *event_id, uint32_t job,
                        uint64_t position)
{
    struct igt_news_notice *notices =
        grow(news->arena, news->notices, news->notice_count, &news->notice_size, sizeof *notices);
    if (!notices)
        return 0;
    news->notices = notices;
    notices[news->notice_count++] = (struct igt_news_notice){{*event_id, job}, position};
    return 1;
}
