/*
 * Jobs that were stored or read a moment ago, with the requests that hold their
 * events, so that an attempt need not read them again. What is not fetched makes
 * room for what is newer. For one thread.
 */
#ifndef INGOT_DAEMON_RECENT_H
#define INGOT_DAEMON_RECENT_H

#include "core/map.h"
#include "request.h"

struct igt_recent;

/* Keeps at most about that many bytes of requests. NULL when memory ran out. */
struct igt_recent *igt_recent_create(size_t bytes_max);
void igt_recent_destroy(struct igt_recent *recent); /* NULL is allowed */

/* Keeps the jobs of those events of a request that are stored, and holds the request. */
void igt_recent_add(struct igt_recent *recent, struct igt_request *request);

/* Whether a job is kept. */
int igt_recent_has(const struct igt_recent *recent, const struct igt_map_key *key);

/*
 * The event of a job, and the job, which is not kept any longer; NULL if it is
 * not there. Both are valid until the request, which is held, is released.
 */
const struct ingot_event *igt_recent_take(struct igt_recent *recent, const struct igt_map_key *key,
                                          const struct ingot_job **ret_job,
                                          struct igt_request **ret_request);

#endif
