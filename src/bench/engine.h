/*
 * An Ingot inside this process, as `ingot serve` runs it but without a gateway
 * where none is measured, producers that feed its journal, and a ledger in
 * which each job notes when it was submitted, stored and handed over.
 */
#ifndef INGOT_BENCH_ENGINE_H
#define INGOT_BENCH_ENGINE_H

#include "daemon/daemon.h"

/* Instants of the monotonic clock, in microseconds; 0: not yet. Shared with child processes. */
struct igt_ledger {
    size_t size; /* jobs that there is room for */
    int64_t *submitted, *decided, *handed;
    _Atomic size_t *decided_count, *handed_count;
    void *memory;
    size_t memory_size;
};

int64_t igt_bench_now_us(void);
void igt_bench_sleep_us(int64_t us);

/* INGOT_NOMEM or OK. */
enum ingot_status igt_ledger_create(size_t size, struct igt_ledger *ledger,
                                    struct ingot_error *err);
void igt_ledger_fini(struct igt_ledger *ledger);

/* For an IGT_KIND_INSIDE destination, with the ledger as its context. */
void igt_ledger_take(void *ledger, const struct igt_delivery *delivery);

/* The data of the job of that number: JSON of size bytes, at least IGT_BENCH_DATA_MIN; not terminated. */
#define IGT_BENCH_DATA_MIN 32
void igt_bench_data(char *data, size_t size, size_t number);

/* ---- filling a store without a daemon ----------------------------------- */

/* How many events with one job each, and whether the jobs are finished already. */
struct igt_filling {
    size_t count;
    enum { IGT_FILL_WAITING, IGT_FILL_FINISHED } as;
    size_t data_bytes;
    size_t first;               /* the number of the first */
    int64_t due_us;             /* of what waits; 0: at once */
    struct ingot_bytes context; /* of each event, or absent */
};

/*
 * Makes the store at the url and fills it, in commits of 1,000 events; leaves
 * a list of what is live, as a daemon would have left. The toolkit's progress
 * may end it with INGOT_CLOSED; NULL is allowed.
 */
enum ingot_status igt_bench_fill(const char *url, const struct igt_filling *fillings, size_t count,
                                 const struct ingot_toolkit *toolkit, struct ingot_error *err);

/* ---- the engine --------------------------------------------------------- */

struct igt_engine;

struct igt_engine_config {
    const char *store;
    enum igt_role role;
    uint32_t concurrency;
    const char *destination_url; /* of HTTP; NULL: a function that does nothing but note the time */
    struct igt_ledger *ledger;
};

/* The configuration that a user would write, but for the destination that is a function. */
enum ingot_status igt_engine_configure(const struct igt_engine_config *from,
                                       struct igt_config **ret_config, struct ingot_error *err);

enum ingot_status igt_engine_start(const struct igt_engine_config *config,
                                   struct igt_engine **ret_engine, struct ingot_error *err);
struct igt_daemon *igt_engine_daemon(struct igt_engine *engine);

/* Ends delivery and says when the last outcome was stored; its status if the store failed. */
enum ingot_status igt_engine_finish(struct igt_engine *engine, int64_t *ret_ended_us,
                                    struct igt_journal_numbers *ret_numbers,
                                    struct ingot_error *err);
void igt_engine_destroy(struct igt_engine *engine); /* NULL is allowed */

/* ---- producers ---------------------------------------------------------- */

struct igt_producers;

struct igt_production {
    struct igt_daemon *daemon;
    struct igt_ledger *ledger;
    unsigned threads;
    size_t batch; /* events of a request */
    size_t count; /* events in all, at most the ledger's size */
    double rate;  /* events a second of all threads together; 0: as fast as they are stored */
    size_t ahead; /* stored and not handed over at most; 0: any number */
    size_t data_bytes;
};

enum ingot_status igt_producers_start(const struct igt_production *production,
                                      struct igt_producers **ret_producers,
                                      struct ingot_error *err);

/* Has them stop after the request under way. */
void igt_producers_stop(struct igt_producers *producers);

/* Waits until they have ended and frees; the first failure, if there was one. */
enum ingot_status igt_producers_join(struct igt_producers *producers, struct ingot_error *err);

#endif
