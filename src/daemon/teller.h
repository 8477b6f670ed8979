/*
 * The teller: a thread on which requests learn what became of them, so that to wake all
 * who wait, a system call each, does not keep the journal from the next commit (decision 17).
 */
#ifndef INGOT_DAEMON_TELLER_H
#define INGOT_DAEMON_TELLER_H

#include "request.h"

struct igt_teller;

/* Starts the thread. */
enum ingot_status igt_teller_start(struct igt_teller **ret_teller, struct ingot_error *err);

enum igt_telling {
    IGT_TELL_HERE, /* on the caller's thread, unless others are still to be told before */
    IGT_TELL_ASIDE /* on the teller's, unless it is one alone: to wake the teller costs as much */
};

/*
 * Calls decided for each of a chain of requests, whose status and verdicts are final, and
 * releases them. They are told in the order in which they came. NULL is allowed. Called
 * by one thread.
 */
void igt_teller_tell(struct igt_teller *teller, struct igt_request *requests,
                     enum igt_telling telling);

/* Tells whoever is left, ends the thread and frees the teller. NULL is allowed. */
void igt_teller_stop(struct igt_teller *teller);

#endif
