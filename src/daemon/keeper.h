/*
 * The keeper: a thread beside the others for what takes long and may wait: cold
 * reads of lanes, checkpoints, the sweep, segments for the days to come.
 */
#ifndef INGOT_DAEMON_KEEPER_H
#define INGOT_DAEMON_KEEPER_H

#include "fetcher.h"
#include "news.h"

struct igt_keeper;

enum igt_sweeps { IGT_SWEEPS_ON, IGT_SWEEPS_OFF };

/*
 * Starts the thread. reader is read by it alone, or is the same as writer;
 * checkpoints go to writer. What a cold read reads ahead goes to fetcher. All must
 * stay until stop has returned.
 */
enum ingot_status igt_keeper_start(struct ingot_store *reader, struct ingot_store *writer,
                                   struct igt_fetcher *fetcher, enum igt_sweeps sweeps,
                                   const struct ingot_toolkit *toolkit,
                                   const struct igt_news_desk *desk, struct igt_keeper **ret_keeper,
                                   struct ingot_error *err);

/*
 * Has the live jobs of lanes read; the answers are news, LIVE and then READY
 * with this number, which must grow from one request to the next.
 */
void igt_keeper_read(struct igt_keeper *keeper, const struct ingot_lanes *lanes, uint64_t number);

/* Has a cursor of this moment made: the answer is a CURSOR. */
void igt_keeper_ask_cursor(struct igt_keeper *keeper);

/*
 * Has checkpoints of the lanes written; the answer is a WRITTEN. list is
 * allocated with malloc and taken over; the cursor is copied. One at a time.
 */
void igt_keeper_write(struct igt_keeper *keeper, const struct ingot_lanes *lanes,
                      struct ingot_bytes cursor, struct igt_listed *list, size_t count);

/* Ends the thread and frees it; what it was doing is given up. NULL is allowed. */
void igt_keeper_stop(struct igt_keeper *keeper);

#endif
