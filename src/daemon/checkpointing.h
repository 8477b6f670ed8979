/*
 * When a delivery loop has a checkpoint written, and at which cursor (PROTOCOL 4.3).
 * Counts and decides; to ask for the cursor, to list and to write is others' work. For one thread.
 */
#ifndef INGOT_DAEMON_CHECKPOINTING_H
#define INGOT_DAEMON_CHECKPOINTING_H

#include <ingot/ingot.h>

struct igt_checkpointing {
    enum {
        IGT_CHECKPOINT_NONE,
        IGT_CHECKPOINT_BEGUN, /* it is written as soon as all before a cursor is in memory */
        IGT_CHECKPOINT_WRITING
    } phase;
    char *cursor;     /* the newest; malloc; NULL: none */
    uint64_t horizon; /* all positions below it are before the cursor */
    /* the rest is its own */
    uint64_t followed_bytes; /* that a cold reader would have to follow since the last one */
    uint64_t writing_bytes;  /* the same, of what the one that is being written spares it */
    uint64_t last_bytes;     /* size of the last one */
    int64_t last_us;         /* when it was written; without one when all this began */
    int64_t failed_us;       /* when one could not be */
};

/* Zero-initialise before; fini frees. */
void igt_checkpointing_init(struct igt_checkpointing *checkpointing, int64_t now_us);
void igt_checkpointing_fini(struct igt_checkpointing *checkpointing);

/* Jobs came that no checkpoint lists. */
void igt_checkpointing_count_jobs(struct igt_checkpointing *checkpointing, uint64_t jobs);

/*
 * What a cold read began with is the last checkpoint; what it had to read besides, the
 * next one would have to as well. Where lanes are gained one after another each read
 * knows a part of the size, and the largest will do.
 */
void igt_checkpointing_count_cold_read(struct igt_checkpointing *checkpointing,
                                       const struct ingot_cold_read *cold);

/* Begins one if it is due and none is under way; says whether. */
int igt_checkpointing_begin(struct igt_checkpointing *checkpointing, int64_t now_us);

/* Copies a cursor; without memory the one before is kept. */
void igt_checkpointing_take_cursor(struct igt_checkpointing *checkpointing,
                                   struct ingot_bytes cursor, uint64_t horizon);

/* Only a cursor that is taken from now on will do. */
void igt_checkpointing_drop_cursor(struct igt_checkpointing *checkpointing);

/* What is live was listed and is being written. */
void igt_checkpointing_listed(struct igt_checkpointing *checkpointing);

/* A checkpoint of so many bytes was written; 0: it could not be, and is due again a little later. */
void igt_checkpointing_written(struct igt_checkpointing *checkpointing, uint64_t bytes,
                               int64_t now_us);

#endif
