/*
 * An Ingot inside this process, as `ingot serve` runs it but without a gateway
 * where none is measured, producers that feed its journal, and a ledger in
 * which each job notes when it was submitted, stored and handed over.
 */
#ifndef INGOT_BENCH_ENGINE_H
#define INGOT_BENCH_ENGINE_H

#include "daemon/daemon.h"

/* What events are like: their payload, and to how many of the destinations each goes. */
struct igt_shape {
    size_t data_bytes;
    unsigned destinations, fan_out; /* fan_out is not more */
};

/* The first of the destinations. */
#define IGT_BENCH_DESTINATION "bench"

/*
 * Instants of the monotonic clock, in microseconds; 0: not yet. Jobs are numbered event by
 * event. Shared with child processes.
 */
struct igt_ledger {
    size_t size; /* jobs that there is room for */
    struct igt_shape shape;
    int64_t *submitted, *decided, *handed;
    _Atomic size_t *decided_count, *handed_count;
    void *memory;
    size_t memory_size;
};

int64_t igt_bench_now_us(void);
void igt_bench_sleep_us(int64_t us);

/* INGOT_NOMEM or OK. */
enum ingot_status igt_ledger_create(size_t size, const struct igt_shape *shape,
                                    struct igt_ledger *ledger, struct ingot_error *err);
void igt_ledger_fini(struct igt_ledger *ledger);

/* For an IGT_KIND_INSIDE destination, with the ledger as its context. */
void igt_ledger_take(void *ledger, const struct igt_delivery *delivery);

/* The data of the job of that number: JSON of size bytes, at least IGT_BENCH_DATA_MIN; not terminated. */
#define IGT_BENCH_DATA_MIN 32
void igt_bench_data(char *data, size_t size, size_t number);

/* Makes the event of that number with its jobs in the arena; 0 when memory ran out. */
int igt_bench_make_event(struct igt_arena *arena, struct ingot_ksuid_generator *ids, size_t number,
                         const struct igt_shape *shape, struct ingot_event *event);

/* ---- the engine --------------------------------------------------------- */

struct igt_engine;

struct igt_engine_config {
    const char *store;
    enum igt_role role;
    uint32_t concurrency;        /* of each destination */
    unsigned destinations;       /* 0: one */
    const char *destination_url; /* of HTTP; NULL: a function that does nothing but note the time */
    struct igt_ledger *ledger;
};

/* The configuration that a user would write, but for the destination that is a function. */
enum ingot_status igt_engine_configure(const struct igt_engine_config *from,
                                       struct igt_config **ret_config, struct ingot_error *err);

enum ingot_status igt_engine_start(const struct igt_engine_config *config,
                                   struct igt_engine **ret_engine, struct ingot_error *err);

/* Not 0 once a daemon that delivers has learnt what is live, or has ended; valid until destroy. */
const _Atomic size_t *igt_engine_recovered(const struct igt_engine *engine);
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
    struct igt_ledger *ledger; /* whose shape the events have */
    unsigned threads;
    size_t batch; /* events of a request */
    size_t count; /* events in all, whose jobs the ledger has room for */
    double rate;  /* events a second of all threads together; 0: as fast as they are stored */
    size_t ahead; /* jobs stored and not handed over at most; 0: any number */
};

enum ingot_status igt_producers_start(const struct igt_production *production,
                                      struct igt_producers **ret_producers,
                                      struct ingot_error *err);

/* Has them stop after the request under way. */
void igt_producers_stop(struct igt_producers *producers);

/* Waits until they have ended and frees; the first failure, if there was one. */
enum ingot_status igt_producers_join(struct igt_producers *producers, struct ingot_error *err);

#endif
