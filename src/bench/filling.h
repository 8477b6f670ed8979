/*
 * Filling a store without a daemon, as fast as its database takes rows in: the
 * rows that Ingot itself would have written, past its adapter.
 */
#ifndef INGOT_BENCH_FILLING_H
#define INGOT_BENCH_FILLING_H

#include <ingot/adapter.h>

/* How many events with one job each, and whether the jobs are finished already. */
struct igt_filling {
    size_t count;
    enum { IGT_FILL_WAITING, IGT_FILL_FINISHED } as;
    size_t data_bytes;
    int64_t due_us;             /* of what waits; 0: at once */
    struct ingot_bytes context; /* of each event, or absent */
};

/*
 * Makes the store at the url and fills it; leaves a list of what is live, as a
 * daemon would have left. The toolkit's progress may end it with
 * INGOT_CLOSED; it and the toolkit may be NULL. Without a filling there is only the store.
 */
enum ingot_status igt_bench_fill(const char *url, const struct igt_filling *filling,
                                 const struct ingot_toolkit *toolkit, struct ingot_error *err);

/* ---- the kinds of stores, for filling.c --------------------------------- */

/* Events of a batch, which is a commit of each connection. */
#define IGT_LOAD_EVENTS 5000u

/* Rows of a batch: events, and the whole lives of their jobs. */
struct igt_load {
    const struct ingot_event *events;
    size_t event_count;
    const struct ingot_transition *transitions; /* ascending by event and number */
    size_t transition_count;
    int64_t now_us; /* the store's clock */
};

/* One connection to a store that is made already. */
struct igt_loader;

/* The connection as ingot_options has it. */
struct igt_loader_operations {
    unsigned connections; /* 2: one for events, and one for transitions; or 1 */
    enum ingot_status (*open)(const char *connection, struct igt_loader **ret_loader,
                              struct ingot_error *err);
    enum ingot_status (*load_events)(struct igt_loader *loader, const struct igt_load *load,
                                     struct ingot_error *err);
    enum ingot_status (*load_transitions)(struct igt_loader *loader, const struct igt_load *load,
                                          struct ingot_error *err);
    /* Makes durable what was loaded and closes; frees also on failure. */
    enum ingot_status (*close)(struct igt_loader *loader, struct ingot_error *err);
};

extern const struct igt_loader_operations igt_loader_postgres, igt_loader_sqlite;

#endif
