/*
 * Which events may have live jobs, told by the checkpoints of lanes and by what
 * was followed since, so that nobody who asks for live jobs reads history.
 */
#ifndef INGOT_STORE_LIVE_H
#define INGOT_STORE_LIVE_H

#include <ingot/adapter.h>

/* Events, and lanes whose live jobs all belong to them. */
struct igt_candidates;

/* candidates may be NULL. */
void igt_candidates_destroy(struct igt_candidates *candidates);

/*
 * A page of find, from candidates. *ret_page stays as it is where they cannot
 * tell: jobs in a terminal state are wanted as well, whoever asks mistrusts the
 * lists, or a lane has no checkpoint that is of use. Then the adapter must be asked.
 */
enum ingot_status igt_live_find(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                const struct ingot_where *where, struct ingot_page **ret_page,
                                struct ingot_error *err);

#endif
