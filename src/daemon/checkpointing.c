/* The rule of PROTOCOL 4.3; see checkpointing.h. */
#include "checkpointing.h"

#include "core/instant.h"

#include <stdlib.h>
#include <string.h>

/*
 * A checkpoint is due when a cold reader would have to follow more than this,
 * at this many bytes a job, and more than the last checkpoint has; and once a day.
 */
#define FOLLOWED_BYTES_MAX (UINT64_C(4) << 20)
#define FOLLOWED_JOB_BYTES 100
#define EVERY_US (86400 * IGT_SECOND_US)

/* One that could not be written is due again after this. */
#define AGAIN_US (10 * IGT_SECOND_US)

void igt_checkpointing_init(struct igt_checkpointing *checkpointing, int64_t now_us)
{
    checkpointing->last_us = now_us;
    checkpointing->failed_us = INGOT_NO_TIME;
}

void igt_checkpointing_fini(struct igt_checkpointing *checkpointing)
{
    free(checkpointing->cursor);
}

void igt_checkpointing_count_jobs(struct igt_checkpointing *checkpointing, uint64_t jobs)
{
    checkpointing->followed_bytes += jobs * FOLLOWED_JOB_BYTES;
}

void igt_checkpointing_count_cold_read(struct igt_checkpointing *checkpointing,
                                       const struct ingot_cold_read *cold)
{
    igt_checkpointing_count_jobs(checkpointing, cold->unlisted);
    if (cold->checkpoint_bytes > checkpointing->last_bytes)
        checkpointing->last_bytes = cold->checkpoint_bytes;
    if (cold->taken_us != INGOT_NO_TIME && cold->taken_us < checkpointing->last_us)
        checkpointing->last_us = cold->taken_us;
}

/* Whether the last try failed a moment ago, also if the clock was set back since. */
static int has_just_failed(const struct igt_checkpointing *checkpointing, int64_t now_us)
{
    return checkpointing->failed_us != INGOT_NO_TIME && now_us >= checkpointing->failed_us &&
           now_us - checkpointing->failed_us < AGAIN_US;
}

int igt_checkpointing_begin(struct igt_checkpointing *checkpointing, int64_t now_us)
{
    const uint64_t followed = checkpointing->followed_bytes;
    const int much = followed > FOLLOWED_BYTES_MAX && followed > checkpointing->last_bytes;
    const int old = followed && now_us - checkpointing->last_us > EVERY_US;
    if (checkpointing->phase != IGT_CHECKPOINT_NONE || (!much && !old) ||
        has_just_failed(checkpointing, now_us))
        return 0;
    checkpointing->phase = IGT_CHECKPOINT_BEGUN;
    return 1;
}

void igt_checkpointing_take_cursor(struct igt_checkpointing *checkpointing,
                                   struct ingot_bytes cursor, uint64_t horizon)
{
    char *copy = cursor.data ? malloc(cursor.len + 1) : NULL;
    if (!copy)
        return;
    memcpy(copy, cursor.data, cursor.len);
    copy[cursor.len] = '\0';
    free(checkpointing->cursor);
    checkpointing->cursor = copy;
    checkpointing->horizon = horizon;
}

void igt_checkpointing_drop_cursor(struct igt_checkpointing *checkpointing)
{
    free(checkpointing->cursor);
    checkpointing->cursor = NULL;
}

void igt_checkpointing_listed(struct igt_checkpointing *checkpointing)
{
    checkpointing->phase = IGT_CHECKPOINT_WRITING;
    checkpointing->writing_bytes = checkpointing->followed_bytes;
    checkpointing->followed_bytes = 0;
}

void igt_checkpointing_written(struct igt_checkpointing *checkpointing, uint64_t bytes,
                               int64_t now_us)
{
    checkpointing->phase = IGT_CHECKPOINT_NONE;
    if (!bytes) {
        checkpointing->followed_bytes += checkpointing->writing_bytes;
        checkpointing->failed_us = now_us;
        return;
    }
    checkpointing->last_us = now_us;
    checkpointing->last_bytes = bytes;
}
