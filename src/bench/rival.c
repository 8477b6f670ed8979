/*
 * A rival by the kind of its store. What is the same for all is checked here;
 * the rest is in rival_postgres.c and rival_sqlite.c.
 */
#include "rival.h"

#include <string.h>

#define ROWS_MAX 10000

/* More would be beyond a message to PostgreSQL, and no queue has such commits. */
#define COMMIT_BYTES_MAX (512u << 20)

static const struct {
    const char *store;
    const struct igt_rival_operations *operations;
} kinds[] = {{"postgres", &igt_rival_postgres}, {"sqlite", &igt_rival_sqlite}};

enum ingot_status igt_rival_open(const char *url, enum igt_rival_kind kind,
                                 struct igt_rival **ret_rival, struct ingot_error *err)
{
    struct ingot_options options;
    enum ingot_status status = ingot_options_from_url(url, &options, err);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].store, options.from) == 0)
            return kinds[i].operations->open(options.connection, kind, ret_rival, err);
    return ingot_error_set(err, INGOT_UNSUPPORTED,
                           "rival: there is nothing to compare a store of the kind \"%s\" with; "
                           "choose postgres or sqlite",
                           options.from);
}

void igt_rival_close(struct igt_rival *rival)
{
    if (rival)
        rival->operations->close(rival);
}

enum ingot_status igt_rival_insert(struct igt_rival *rival, struct ingot_bytes payload,
                                   size_t count, struct ingot_error *err)
{
    if (count < 1 || count > ROWS_MAX)
        return ingot_error_set(err, INGOT_LIMIT, "rival: a commit has 1 to %d rows, not %zu",
                               ROWS_MAX, count);
    if (payload.len > COMMIT_BYTES_MAX / count)
        return ingot_error_set(err, INGOT_LIMIT,
                               "rival: more than %u bytes in one commit; make it smaller",
                               COMMIT_BYTES_MAX);
    return rival->operations->insert(rival, payload, count, err);
}

static enum ingot_status check_work(const struct igt_rival *rival, size_t max,
                                    struct ingot_error *err)
{
    if (rival->kind != IGT_RIVAL_QUEUE)
        return ingot_error_set(err, INGOT_UNSUPPORTED, "rival: the raw table is no queue");
    if (max < 1 || max > ROWS_MAX)
        return ingot_error_set(err, INGOT_LIMIT, "rival: a worker takes 1 to %d jobs, not %zu",
                               ROWS_MAX, max);
    return INGOT_OK;
}

enum ingot_status igt_rival_work(struct igt_rival *rival, size_t max, size_t *ret_count,
                                 struct ingot_error *err)
{
    enum ingot_status status = check_work(rival, max, err);
    return status ? status : rival->operations->work(rival, max, ret_count, err);
}

enum ingot_status igt_rival_work_at_once(struct igt_rival *rival, size_t max, size_t *ret_count,
                                         struct ingot_error *err)
{
    enum ingot_status status = check_work(rival, max, err);
    return status ? status : rival->operations->work_at_once(rival, max, ret_count, err);
}
