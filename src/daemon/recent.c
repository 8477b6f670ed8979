/* Kept jobs in a map, and in a list by age; see recent.h. */
#include "recent.h"

#include "core/toolkit.h"

#include <stdlib.h>

/* A request of which jobs are kept. */
struct crate {
    struct igt_request *request;
    size_t bytes;
    size_t jobs; /* kept */
};

/* A job that is kept; free ones are linked by newer. */
struct kept {
    struct igt_map_key key;
    struct crate *crate;
    const struct ingot_event *event;
    const struct ingot_job *job;
    uint32_t older, newer; /* IGT_MAP_NONE at the ends */
};

struct igt_recent {
    size_t bytes, bytes_max;
    struct kept *jobs;
    uint32_t count, size;
    uint32_t free_list, oldest, newest;
    struct igt_map map;
};

static const struct igt_map_key *key_of(const void *context, uint32_t index)
{
    const struct igt_recent *recent = context;
    return &recent->jobs[index].key;
}

struct igt_recent *igt_recent_create(size_t bytes_max)
{
    struct igt_recent *recent = calloc(1, sizeof *recent);
    if (!recent)
        return NULL;
    recent->bytes_max = bytes_max;
    recent->free_list = recent->oldest = recent->newest = IGT_MAP_NONE;
    recent->map.key_of = key_of;
    recent->map.context = recent;
    igt_random(NULL, recent->map.secret, sizeof recent->map.secret);
    return recent;
}

/* Takes a job out of the list and the map; its crate is the caller's to open. */
static struct crate *remove_job(struct igt_recent *recent, uint32_t index)
{
    struct kept *job = &recent->jobs[index];
    igt_map_remove(&recent->map, index);
    if (job->older == IGT_MAP_NONE)
        recent->oldest = job->newer;
    else
        recent->jobs[job->older].newer = job->newer;
    if (job->newer == IGT_MAP_NONE)
        recent->newest = job->older;
    else
        recent->jobs[job->newer].older = job->older;
    job->newer = recent->free_list;
    recent->free_list = index;
    job->crate->jobs--;
    return job->crate;
}

/* Throws an empty crate away; its request is released, or the caller's now. */
static void break_up(struct igt_recent *recent, struct crate *crate)
{
    recent->bytes -= crate->bytes;
    free(crate);
}

static void drop(struct igt_recent *recent, uint32_t index)
{
    struct crate *crate = remove_job(recent, index);
    if (crate->jobs)
        return;
    igt_request_release(crate->request);
    break_up(recent, crate);
}

void igt_recent_destroy(struct igt_recent *recent)
{
    if (!recent)
        return;
    while (recent->oldest != IGT_MAP_NONE)
        drop(recent, recent->oldest);
    igt_map_fini(&recent->map);
    free(recent->jobs);
    free(recent);
}

/* A free record, or IGT_MAP_NONE when memory ran out. */
static uint32_t take_record(struct igt_recent *recent)
{
    if (recent->free_list != IGT_MAP_NONE) {
        uint32_t index = recent->free_list;
        recent->free_list = recent->jobs[index].newer;
        return index;
    }
    if (recent->count == recent->size) {
        uint32_t size = recent->size ? recent->size * 2 : 64;
        struct kept *grown =
            size < IGT_MAP_NONE / 2 ? realloc(recent->jobs, size * sizeof *grown) : NULL;
        if (!grown)
            return IGT_MAP_NONE;
        recent->jobs = grown;
        recent->size = size;
    }
    return recent->count++;
}

/* Keeps a job, if there is memory for it and it is not there. */
static void add_job(struct igt_recent *recent, struct crate *crate, const struct ingot_event *event,
                    const struct ingot_job *row)
{
    const struct igt_map_key key = {event->id, row->number};
    if (igt_map_get(&recent->map, &key) != IGT_MAP_NONE)
        return;
    uint32_t index = take_record(recent);
    if (index == IGT_MAP_NONE)
        return;
    struct kept *job = &recent->jobs[index];
    *job = (struct kept){key, crate, event, row, recent->newest, IGT_MAP_NONE};
    if (!igt_map_put(&recent->map, index)) {
        job->newer = recent->free_list;
        recent->free_list = index;
        return;
    }
    if (recent->newest == IGT_MAP_NONE)
        recent->oldest = index;
    else
        recent->jobs[recent->newest].newer = index;
    recent->newest = index;
    crate->jobs++;
}

void igt_recent_add(struct igt_recent *recent, struct igt_request *request)
{
    struct crate *crate = malloc(sizeof *crate);
    if (!crate)
        return;
    *crate = (struct crate){request, igt_request_bytes(request), 0};
    for (size_t i = 0; i < request->event_count; i++)
        for (size_t j = 0; request->verdicts[i] == INGOT_STORED && j < request->events[i].job_count;
             j++)
            add_job(recent, crate, &request->events[i], &request->events[i].jobs[j]);
    if (crate->jobs == 0) {
        free(crate);
        return;
    }
    igt_request_retain(request);
    recent->bytes += crate->bytes;
    while (recent->bytes > recent->bytes_max && recent->oldest != IGT_MAP_NONE)
        drop(recent, recent->oldest);
}

int igt_recent_has(const struct igt_recent *recent, const struct igt_map_key *key)
{
    return igt_map_get(&recent->map, key) != IGT_MAP_NONE;
}

const struct ingot_event *igt_recent_take(struct igt_recent *recent, const struct igt_map_key *key,
                                          const struct ingot_job **ret_job,
                                          struct igt_request **ret_request)
{
    uint32_t index = igt_map_get(&recent->map, key);
    if (index == IGT_MAP_NONE)
        return NULL;
    const struct ingot_event *event = recent->jobs[index].event;
    *ret_job = recent->jobs[index].job;
    struct crate *crate = remove_job(recent, index);
    *ret_request = crate->request;
    if (crate->jobs)
        igt_request_retain(crate->request);
    else
        break_up(recent, crate);
    return event;
}
