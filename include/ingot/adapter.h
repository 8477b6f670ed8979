/**
 * For those who write a store adapter.
 *
 * An adapter keeps rows and finds them again; it decides nothing. Which moves
 * are legal, what a chain means, what a page holds: the host asks its own
 * tables. Two abilities carry the whole design: to insert rows with a verdict
 * for each in one transaction, and to read rows by key.
 *
 * Rules:
 *  - a commit is atomic, and its verdicts hold only once it returned INGOT_OK;
 *  - no row is ever updated or deleted;
 *  - an adapter never calls back into the store it serves;
 *  - the host serialises the calls on a handle, except where a slot says so;
 *  - the toolkit of a call is never NULL, and all its callbacks are set;
 *  - what a read returns is allocated with ingot_page_alloc(), so that nobody
 *    frees what the other side allocated.
 *
 * The built-in adapters include nothing of Ingot but this header.
 */
#ifndef INGOT_ADAPTER_H
#define INGOT_ADAPTER_H

#include <ingot/ingot.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Raised when a slot changes its meaning; slots are only added at the end. */
#define INGOT_ADAPTER_ABI 1u

/** Longest "routes" text, in bytes. */
#define INGOT_ROUTES_BYTES_MAX (1u << 20)

/** Jobs, and events without any, examined for one page of find before it ends with a cursor. */
#define INGOT_FIND_EXAMINED_MAX 50000u

/** Bytes of a checkpoint's body in one row. */
#define INGOT_CHECKPOINT_PART_BYTES (1u << 20)

/** The job number of a cursor behind an event that has no jobs. */
#define INGOT_CURSOR_BEHIND_JOBS UINT16_MAX

/** A migration as an adapter carries it. */
struct ingot_adapter_migration {
    uint64_t version;
    const char *name;
    const char *up;
    const char *down;
};

/** One row of the ledger of migrations. */
struct ingot_ledger_row {
    uint64_t version;
    char name[64];
    char up_sha256[65];
    enum ingot_direction direction;
    int64_t created_us;
};

/** Receives a store's rows in key order; see the slot scan. Non-zero ends the scan. */
struct ingot_visitor {
    void *context;
    /** Every event, retired or not, with all its jobs; jobs' latest is not filled. */
    int (*event)(void *context, const struct ingot_event *event);
    /** Every transition, after the event with its event_id if there is one. */
    int (*transition)(void *context, const struct ingot_transition *transition);
    /** A row that cannot be read as what it should be. */
    int (*damage)(void *context, const ingot_ksuid *event_id, const char *message);
};

/** What an adapter is. A const table; unused optional slots are NULL. */
struct ingot_adapter {
    uint32_t abi;       /**< INGOT_ADAPTER_ABI */
    uint32_t size;      /**< sizeof(struct ingot_adapter) */
    const char *name;   /**< also the scheme of its URLs */
    size_t handle_size; /**< the host allocates this many zero bytes and passes them to open */
    enum ingot_handles handles;

    /* ---- required ---- */

    /**
     * Returns the options in force: those given, which it may change, or NULL
     * to refuse them. Must not keep the pointer. Called before open.
     */
    struct ingot_options *(*options)(struct ingot_options *given);

    /**
     * Opens, whatever the schema; on failure the handle must be safe to close.
     * May be called while another handle of the same adapter is open.
     */
    enum ingot_status (*open)(void *handle, const struct ingot_options *options,
                              const struct ingot_toolkit *toolkit, struct ingot_error *err);

    /** Readies an open handle for the slots below; the host has seen that the schema is the newest. */
    enum ingot_status (*start)(void *handle, const struct ingot_toolkit *toolkit,
                               struct ingot_error *err);

    /** Closes, whether start was called or not. */
    void (*close)(void *handle);

    /**
     * Stores the rows of a commit in one transaction, in this order: events,
     * transitions, added jobs, retirements. The host has checked that a row
     * hangs on an earlier one only.
     * created_us and ingested_us come from the adapter's clock, which never
     * goes back. Writes a verdict into every row.
     *  - event: STORED, or by ingot_event_same() ALREADY or MISMATCH. Jobs get
     *    the numbers 0, 1, 2, …
     *  - transition: STORED, LOST when the key is taken or when the one it
     *    hangs on was not STORED. Never at another number than the one given.
     *    With INGOT_NOTICE_SENT a notice is stored with it.
     *  - job: STORED with its number set in the row; LOST when it hangs on a
     *    transition that was not STORED; ALREADY when the event has a job of
     *    this id; REFUSED when the event is unknown, or retired, or when a job
     *    without a parent would be the second wildcard job ("*"), or the second
     *    specific one, of its destination.
     *  - retirement: an event that is retired already keeps its first row; an
     *    unknown event is ignored.
     * INGOT_COMMIT_WHOLE: one MISMATCH, LOST or REFUSED undoes all: INGOT_CONFLICT.
     * INGOT_COMMIT_AGAIN: an event that is there with the same bytes, a job that
     * is there with its id, and a transition that is there as given
     * (ingot_transition_same()) are STORED.
     */
    enum ingot_status (*commit)(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_commit *commit, struct ingot_error *err);

    /**
     * Those of the events that are there, retired or not, each with all its jobs
     * (latest filled), ascending by id; the ids given are ascending and distinct.
     */
    enum ingot_status (*events)(void *handle, const struct ingot_toolkit *toolkit,
                                const ingot_ksuid *event_ids, size_t event_count,
                                enum ingot_detail detail, struct ingot_page *page,
                                struct ingot_error *err);

    /** A page of jobs as ingot_store_find() describes; limit is never 0 nor INGOT_NO_LIMIT. */
    enum ingot_status (*find)(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_where *where, struct ingot_page *page,
                              struct ingot_error *err);

    /** The stored transitions of one job ascending by seq: without the birth, without job_id. */
    enum ingot_status (*history)(void *handle, const struct ingot_toolkit *toolkit,
                                 const ingot_ksuid *event_id, uint32_t job, struct ingot_page *page,
                                 struct ingot_error *err);

    /** Fills counts, with memory of the page. */
    enum ingot_status (*counts)(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_counts *counts,
                                struct ingot_error *err);

    /**
     * Shows everything in key order: the events ascending by id, each followed
     * by the transitions of its id ascending by job and seq; transitions of
     * unknown events stand at their place in that order.
     */
    enum ingot_status (*scan)(void *handle, const struct ingot_toolkit *toolkit,
                              const struct ingot_visitor *visitor, struct ingot_error *err);

    /** Inserts a version of the routes, unless the newest holds the same bytes. */
    enum ingot_status (*publish_routes)(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_bytes routes, struct ingot_error *err);

    /** The newest routes as bytes in the page, or INGOT_NOT_FOUND. */
    enum ingot_status (*routes)(void *handle, const struct ingot_toolkit *toolkit,
                                struct ingot_page *page, struct ingot_bytes *ret_routes,
                                struct ingot_error *err);

    /* ---- optional ---- */

    /** The embedded migrations, ascending; NULL: the store needs none. */
    const struct ingot_adapter_migration *(*migrations)(size_t *ret_count);

    /** The ledger's rows, oldest first; *count is set. INGOT_LIMIT if there are more than it was. */
    enum ingot_status (*ledger)(void *handle, struct ingot_ledger_row *rows, size_t *count,
                                struct ingot_error *err);

    /**
     * Runs migrations, each in the direction of its row, and inserts the rows in
     * the ledger, all in one transaction: a new store is made whole or not at
     * all. Where a rival may do the same at that moment: INGOT_CONFLICT if the
     * ledger has one of the migrations in that direction by now.
     */
    enum ingot_status (*migrate)(void *handle, const struct ingot_toolkit *toolkit,
                                 const struct ingot_adapter_migration *migrations,
                                 const struct ingot_ledger_row *rows, size_t count,
                                 struct ingot_error *err);

    /** For stores that one process holds: writes its address where holder() finds it. */
    enum ingot_status (*announce)(void *handle, const char *address, struct ingot_error *err);

    /** Who holds the store at this connection, or INGOT_NOT_FOUND. Needs no handle. */
    enum ingot_status (*holder)(const char *connection, struct ingot_holder *ret_holder,
                                struct ingot_error *err);

    /* Without these the scheduler works by find alone; see their functions in ingot.h. */

    /** The cursor and what it points at in ret_followed are allocated in the page. */
    enum ingot_status (*follow)(void *handle, const struct ingot_toolkit *toolkit,
                                const struct ingot_following *from,
                                int (*sighted)(void *context, const struct ingot_sighting *),
                                void *context, struct ingot_page *page,
                                struct ingot_followed *ret_followed, struct ingot_error *err);

    /** With a heartbeat it also ends sessions of its own kind that have blocked others for past_us. */
    enum ingot_status (*heartbeat)(void *handle, const struct ingot_toolkit *toolkit,
                                   const struct ingot_heartbeat *heartbeat, int64_t past_us,
                                   struct ingot_page *page, struct ingot_heartbeats *ret_heartbeats,
                                   struct ingot_error *err);

    enum ingot_status (*add_checkpoints)(void *handle, const struct ingot_toolkit *toolkit,
                                         const struct ingot_checkpoint *checkpoints, size_t count,
                                         struct ingot_error *err);

    /** Bodies are stored in parts of at most INGOT_CHECKPOINT_PART_BYTES; one without all of them does not count. */
    enum ingot_status (*checkpoints)(void *handle, const struct ingot_toolkit *toolkit,
                                     const struct ingot_lanes *lanes, int64_t before_us,
                                     struct ingot_page *page,
                                     struct ingot_checkpoint **ret_checkpoints, size_t *ret_count,
                                     struct ingot_error *err);

    /** Must not block. */
    void (*wake)(void *handle);

    enum ingot_status (*wait)(void *handle, const struct ingot_toolkit *toolkit, int64_t timeout_us,
                              struct ingot_error *err);

    enum ingot_status (*make_segments)(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_error *err);

    enum ingot_status (*settings)(void *handle, const struct ingot_toolkit *toolkit,
                                  struct ingot_page *page, struct ingot_setting **ret_settings,
                                  size_t *ret_count, struct ingot_error *err);

    enum ingot_status (*accept_restore)(void *handle, const struct ingot_toolkit *toolkit,
                                        struct ingot_error *err);

    /*
     * A commit in two halves, so that the caller can do something while the server
     * works. The second of INGOT_COMMITS_SENT_MAX is sent before the first is finished,
     * so that the server need not wait; who takes one at a time answers INGOT_UNSUPPORTED.
     * Nothing else is called while one is on its way.
     */

    /** Sends it; the commit stays where it is. INGOT_UNSUPPORTED: this one only commit() can do. */
    enum ingot_status (*send_commit)(void *handle, const struct ingot_toolkit *toolkit,
                                     struct ingot_commit *commit, struct ingot_error *err);
    /** Waits for the verdicts of the oldest, as commit() gives them. */
    enum ingot_status (*finish_commit)(void *handle, const struct ingot_toolkit *toolkit,
                                       struct ingot_commit *commit, struct ingot_error *err);
};

/** The symbol a loadable adapter exports: const struct ingot_adapter *ingot_adapter_entry(void). */
#define INGOT_ADAPTER_ENTRY "ingot_adapter_entry"
typedef const struct ingot_adapter *ingot_adapter_entry_fn(void);

/** An empty page; NULL when memory ran out. For an adapter's own use; the host makes those it passes. */
struct ingot_page *ingot_page_create(void);

/** Memory of a page: zeroed, aligned for any type, freed with the page. NULL when memory ran out. */
void *ingot_page_alloc(struct ingot_page *page, size_t size);

/** Copies bytes into a page, with a NUL behind them; absent stays absent. data is NULL when memory ran out. */
struct ingot_bytes ingot_page_copy(struct ingot_page *page, struct ingot_bytes bytes);

/**
 * The jobs born with an event as the JSON text that stands in the event's row:
 * [{"id":…,"destination":…,"event":…,…}]. Allocated with malloc, for free();
 * NULL when memory ran out.
 */
char *ingot_jobs_encode(const struct ingot_job *jobs, size_t job_count, size_t *ret_len);

/**
 * The reverse, into the page; contexts and data are left out with
 * INGOT_DETAIL_ROUTING. INGOT_CORRUPT if the text is not what encode writes.
 */
enum ingot_status ingot_jobs_decode(struct ingot_bytes text, enum ingot_detail detail,
                                    struct ingot_page *page, struct ingot_job **ret_jobs,
                                    size_t *ret_count, struct ingot_error *err);

/**
 * Whether a stored event is what is given again under its id: the same bytes
 * of source, name, context, data and sent_us, and the same jobs if the caller
 * gave any (PROTOCOL 2.3).
 */
int ingot_event_same(const struct ingot_event *stored, const struct ingot_commit_event *given);

/**
 * Whether a stored transition is what is sent again: the same states, attempt,
 * owner, due time and error.
 */
int ingot_transition_same(const struct ingot_transition *stored,
                          const struct ingot_transition *given);

/**
 * Whether two jobs of one event may not both be: without parents, for the same
 * destination, and both wildcards or both specific (SEED row 25).
 */
int ingot_jobs_collide(const struct ingot_job *a, const struct ingot_job *b);

/**
 * Whether a job may be added to an event (NULL: there is none) by the rules
 * that commit states: STORED, ALREADY or REFUSED. Parents bind nothing here.
 */
enum ingot_verdict ingot_job_judge(const struct ingot_event *event, const struct ingot_job *job);

/**
 * Whether a job whose latest transition is filled meets the constraints. For
 * adapters that have no faster way than to look at each job.
 */
int ingot_where_matches(const struct ingot_where *where, const struct ingot_job *job);

/** Fills in a job what follows from its event and number: event_id, number, birth (seq 0) as latest. */
void ingot_job_born(struct ingot_job *job, const ingot_ksuid *event_id, uint32_t number,
                    int64_t ingested_us);

#ifdef __cplusplus
}
#endif

#endif
