/**
 * Ingot: a database used as a queue, in which rows are only inserted.
 *
 * This header is for programs that use a store: they put events with their
 * jobs in, record what became of each job, and read the history. What is not in
 * this header or in <ingot/adapter.h> is not part of the interface.
 *
 * Lifetimes. There are three, and no others:
 *  1. handles (struct ingot_store) live until they are closed;
 *  2. what a read returns lives in a page, until ingot_page_destroy();
 *  3. what is passed in is borrowed for the duration of the call.
 *
 * Threads. A store may be used by several threads at a time; each call takes
 * the store's lock. Every other object belongs to one thread at a time.
 *
 * Errors. A function that can fail returns an ingot_status; details go to a
 * struct ingot_error owned by the caller, which may be NULL. Results are
 * written only on success.
 *
 * Times are microseconds since 1970-01-01 UTC; INGOT_NO_TIME means "none".
 */
#ifndef INGOT_INGOT_H
#define INGOT_INGOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INGOT_VERSION "0.1.0"

/** The kind of interface that a store is; stands in errors as "store/<adapter>: …". */
#define INGOT_INTERFACE_STORE "store"

/* ---- statuses and errors ------------------------------------------------ */

/** What a caller can do about a failure. */
enum ingot_status {
    INGOT_OK = 0,
    INGOT_RETRY = -1,       /**< transient; nothing happened; the same call may succeed later */
    INGOT_UNKNOWN = -2,     /**< the commit was sent, no answer came: send the same commit again */
    INGOT_LIMIT = -3,       /**< a limit of limits.h, named in the message, was exceeded */
    INGOT_INVALID = -4,     /**< the input is not acceptable; see the error's validations */
    INGOT_NOT_FOUND = -5,   /**< there is no such thing */
    INGOT_UNSUPPORTED = -6, /**< the adapter cannot do it */
    INGOT_DENIED = -7,      /**< a right is missing (file permissions, grants) */
    INGOT_CORRUPT = -8,     /**< the store holds something that Ingot did not write */
    INGOT_NOMEM = -9,       /**< memory ran out */
    INGOT_IO = -10,         /**< the disk or the connection failed; the handle is of no more use */
    INGOT_CLOSED = -11,     /**< stopped on request, or used after the end */
    INGOT_CONFLICT = -12,   /**< a commit that had to win whole did not; nothing was stored */
    INGOT_HELD = -13        /**< another process has the store open for writing */
};

/** At most this many validations are kept in an error; all are counted. */
#define INGOT_VALIDATIONS_MAX 8

/** One complaint about an input, and where: "Queue/Events[3]/Jobs[0]/ID". */
struct ingot_validation {
    char message[120];
    char path[120]; /**< components separated by '/' */
};

/**
 * An error. Fixed size, nothing to free. Its JSON form is the specification's
 * (SEED rows 42 to 48): statusCode, message, validations, meta.event.id.
 */
struct ingot_error {
    enum ingot_status status;
    int status_code;         /**< an HTTP status where one fits, else 0 */
    int native_code;         /**< errno or the engine's extended code, else 0 */
    char sqlstate[6];        /**< PostgreSQL's SQLSTATE, else "" */
    char event_id[28];       /**< the event concerned, else "" */
    char message[240];       /**< lower case after its prefix; names the thing and the next step */
    size_t validation_count; /**< may exceed INGOT_VALIDATIONS_MAX */
    struct ingot_validation validations[INGOT_VALIDATIONS_MAX];
};

/** Clears an error, so that a new one can be built in it. err may be NULL. */
void ingot_error_clear(struct ingot_error *err);

/** Sets status and message (printf style) and returns the status; err may be NULL. */
enum ingot_status ingot_error_set(struct ingot_error *err, enum ingot_status status,
                                  const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/** Adds a validation; path components are separated by '/'. err may be NULL. */
void ingot_error_add_validation(struct ingot_error *err, const char *path, const char *message);

/**
 * Writes the error as one line of JSON (SEED row 48) into text, cut to size
 * with the NUL. Returns the length that the whole line has.
 */
size_t ingot_error_json(const struct ingot_error *err, char *text, size_t size);

/* ---- bytes and times ---------------------------------------------------- */

#define INGOT_NO_TIME INT64_MIN

/** A range of bytes, not terminated. data == NULL means "absent". */
struct ingot_bytes {
    const void *data;
    size_t len;
};

/** The bytes of a C string, without its NUL; NULL gives the absent range. */
struct ingot_bytes ingot_bytes_of(const char *text);

/** Whether two ranges hold the same bytes; absent and empty differ. */
int ingot_bytes_equal(struct ingot_bytes a, struct ingot_bytes b);

/* ---- KSUID -------------------------------------------------------------- */

/** Characters of a KSUID's text form, without the NUL. */
#define INGOT_KSUID_TEXT_LEN 27
/** Unix time of a KSUID's second 0: 13 May 2014 16:53:20 UTC. */
#define INGOT_KSUID_EPOCH 1400000000

/** K-Sortable Unique ID: 4 bytes of seconds, 16 of payload, big endian. All zero means "none". */
typedef struct {
    uint8_t bytes[20];
} ingot_ksuid;

/** Parses exactly 27 base62 characters; anything else is INGOT_INVALID with the reason. */
enum ingot_status ingot_ksuid_parse(struct ingot_bytes text, ingot_ksuid *ret_id,
                                    struct ingot_error *err);

/** Writes the 27 characters and a NUL. */
void ingot_ksuid_format(const ingot_ksuid *id, char text[INGOT_KSUID_TEXT_LEN + 1]);

/** Order of the bytes, which is the order of the texts: <0, 0, >0. */
int ingot_ksuid_compare(const ingot_ksuid *a, const ingot_ksuid *b);

/** Whether the id is the "none" of all zero bytes. */
int ingot_ksuid_is_none(const ingot_ksuid *id);

/** The instant of the id's second. */
int64_t ingot_ksuid_time_us(const ingot_ksuid *id);

/* ---- toolkit ------------------------------------------------------------ */

enum ingot_level { INGOT_DEBUG, INGOT_INFO, INGOT_WARN, INGOT_ERROR };

/**
 * What the outside lends to a call: log, clock, randomness, progress. Every
 * member may be NULL, and so may a pointer to a toolkit: then nothing is
 * logged, and the system's clock and random numbers serve.
 */
struct ingot_toolkit {
    void *context; /**< handed to each callback */
    /** message is one line of logfmt without level and time; never holds a secret. */
    void (*log)(void *context, enum ingot_level level, const char *message);
    int64_t (*now_us)(void *context);
    void (*random)(void *context, void *out, size_t size);
    /** Called now and then in long calls; total is 0 when unknown. Non-zero stops the call: INGOT_CLOSED. */
    int (*progress)(void *context, uint64_t done, uint64_t total);
};

/** Makes KSUIDs that only ever grow: seconds, a 6-byte counter, 10 random bytes. */
struct ingot_ksuid_generator {
    uint32_t seconds; /**< never goes back */
    uint64_t counter; /**< 48 bits; begins at a random place in each second */
};

/** Readies a generator; no memory is allocated. */
void ingot_ksuid_generator_init(struct ingot_ksuid_generator *generator);

/** Makes the next id by the toolkit's clock and random numbers; ids of one generator strictly grow. */
void ingot_ksuid_generate(struct ingot_ksuid_generator *generator,
                          const struct ingot_toolkit *toolkit, ingot_ksuid *ret_id);

/** Makes an id for a job: the second of its event, then as ingot_ksuid_generate(). */
void ingot_ksuid_generate_for(struct ingot_ksuid_generator *generator,
                              const struct ingot_toolkit *toolkit, const ingot_ksuid *event_id,
                              ingot_ksuid *ret_id);

/* ---- the model ---------------------------------------------------------- */

/** A job's states, the specification's six. Values stand in the databases and never change. */
enum ingot_state {
    INGOT_STATE_NONE = 0,         /**< before the birth */
    INGOT_STATE_ACKNOWLEDGED = 1, /**< registered in the store */
    INGOT_STATE_AWAITING = 2,     /**< waits for its due time */
    INGOT_STATE_EXECUTING = 3,    /**< claimed by an owner */
    INGOT_STATE_SUCCEEDED = 4,    /**< terminal */
    INGOT_STATE_FAILED = 5,       /**< an attempt failed; retries remain */
    INGOT_STATE_DISCARDED = 6     /**< terminal */
};

/** The name of a state, lower case; NULL for INGOT_STATE_NONE and values out of range. */
const char *ingot_state_name(enum ingot_state state);

/** The state of that exact name, or INGOT_STATE_NONE. */
enum ingot_state ingot_state_parse(struct ingot_bytes name);

/** The bit of a state in the masks of struct ingot_where. */
#define INGOT_STATE_BIT(state) (1u << (state))

/**
 * One step in a job's life. The steps of a job are its chain, numbered by seq;
 * the birth is number 0 and is not stored as a row. (event_id, job, seq) is the
 * key, and inserting it is the only lock there is.
 */
struct ingot_transition {
    ingot_ksuid id; /**< made by the store, never taken from the caller */
    ingot_ksuid event_id;
    ingot_ksuid job_id;            /**< filled by reads */
    uint32_t job;                  /**< the job's number within its event */
    uint32_t seq;                  /**< 0 the birth, then 1, 2, 3, … */
    uint16_t attempt;              /**< 0 before the first run, n during and after the n-th */
    enum ingot_state state_before; /**< INGOT_STATE_NONE at the birth */
    enum ingot_state state_after;
    ingot_ksuid owner; /**< the process that made it; none for a birth */
    int64_t due_us;    /**< of awaiting: when to run; of executing: end of its own lease, or none */
    struct ingot_bytes error; /**< JSON text (SEED row 48), or absent */
    int64_t created_us;       /**< set by the store */
};

/** A job: one event to be delivered to one destination. */
struct ingot_job {
    ingot_ksuid id;
    ingot_ksuid event_id; /**< in insert_queue taken from the enclosing event */
    uint32_t number;      /**< its place within its event; set by the store */
    struct ingot_bytes destination;
    struct ingot_bytes event;   /**< "*" for a wildcard job, else the event's name */
    struct ingot_bytes context; /**< JSON text, or absent: then the event's applies */
    struct ingot_bytes data;    /**< JSON text, or absent: then the event's applies */
    ingot_ksuid parent_job_id;  /**< none unless it follows from another job */
    int64_t due_us;     /**< given: born awaiting until then; INGOT_NO_TIME: born acknowledged */
    int64_t created_us; /**< set by the store */
    struct ingot_transition latest; /**< filled by reads: the one with the highest seq */
};

/** An event and the jobs that it causes. */
struct ingot_event {
    ingot_ksuid id;
    struct ingot_bytes source;
    struct ingot_bytes name;
    struct ingot_bytes context; /**< JSON text, kept byte by byte; absent is SQL NULL */
    struct ingot_bytes data;    /**< likewise */
    int64_t sent_us;            /**< as the source said, or INGOT_NO_TIME */
    int64_t received_us;        /**< by the gateway; INGOT_NO_TIME lets the store set it */
    int64_t ingested_us;        /**< set by the store */
    int64_t retired_us;         /**< filled by reads: when delete hid it, or INGOT_NO_TIME */
    struct ingot_job *jobs;
    size_t job_count;
};

/** A batch of events; also the body of the specification's queue message. */
struct ingot_queue {
    struct ingot_event *events;
    size_t event_count;
};

/** What became of a row that was to be inserted. */
enum ingot_verdict {
    INGOT_PENDING = 0, /**< not decided: the commit did not return INGOT_OK */
    INGOT_STORED = 1,
    INGOT_ALREADY = 2,  /**< an event: there before, with the same bytes */
    INGOT_MISMATCH = 3, /**< an event: there before, with other bytes */
    INGOT_LOST = 4,   /**< a transition: its number is taken; or what it hangs on was not stored */
    INGOT_REFUSED = 5 /**< a transition or job: not legal; the reason says why */
};

/* ---- options and the store ---------------------------------------------- */

struct ingot_adapter;
struct ingot_store;

enum ingot_mode {
    INGOT_MODE_WRITE = 0, /**< may insert; on SQLite only one process at a time */
    INGOT_MODE_READ = 1   /**< only reads; the store must exist */
};

/** Options for opening a store (SEED rows 39 to 47). Zero it, set size, then what is needed. */
struct ingot_options {
    size_t size;      /**< sizeof(struct ingot_options) */
    const char *from; /**< name of a built-in adapter, or of one in adapter_dir */
    /** the caller's own adapter; wins over from; NULL after loading */
    const struct ingot_adapter *load;
    void *context;           /**< handed to the adapter; never stored nor printed */
    const char *connection;  /**< to the adapter; never stored, logged or printed */
    const char *adapter_dir; /**< absolute folder of loadable adapters, or NULL */
    enum ingot_mode mode;
    /**
     * where wake-ups are heard and sent, of the same form as connection: past a
     * pooler, for instance; NULL: at connection; "off": nowhere. Kept as secret
     */
    const char *wake_connection;
    /** of a process that has several handles: their wake-ups are not heard by each other; or none */
    ingot_ksuid wake_name;
};

#define INGOT_OPTIONS_INIT                                                                         \
    {                                                                                              \
        sizeof(struct ingot_options), 0, 0, 0, 0, 0, INGOT_MODE_WRITE, 0,                          \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

/** The names of the built-in adapters, ended by NULL. */
const char *const *ingot_available_adapters(void);

/**
 * Splits "sqlite:PATH", "postgres:CONNINFO" or "memory:" into from and
 * connection, which point into url and into a static name; "postgres://…" is a
 * connection whole. INGOT_INVALID names what is known.
 */
enum ingot_status ingot_options_from_url(const char *url, struct ingot_options *ret_options,
                                         struct ingot_error *err);

/**
 * Checks the options and opens the store. options may be NULL, which is the
 * specification's error of row 43. All problems are collected in one error.
 * A new store gets its schema; an older one is refused until it is migrated.
 * toolkit serves for the time of opening and is copied as the default for later calls.
 */
enum ingot_status ingot_store_open(struct ingot_options *options,
                                   const struct ingot_toolkit *toolkit,
                                   struct ingot_store **ret_store, struct ingot_error *err);

/**
 * Opens without regard to the schema's version, for nothing but
 * ingot_store_migrations() and ingot_store_migrate().
 */
enum ingot_status ingot_store_open_for_migration(struct ingot_options *options,
                                                 const struct ingot_toolkit *toolkit,
                                                 struct ingot_store **ret_store,
                                                 struct ingot_error *err);

/** Closes; store may be NULL. What was committed stays, nothing else was promised. */
void ingot_store_close(struct ingot_store *store);

/** The adapter's name: "sqlite". */
const char *ingot_store_name(const struct ingot_store *store);

/** The options in force, after the adapter's own changes. */
const struct ingot_options *ingot_store_options(const struct ingot_store *store);

/* ---- writing ------------------------------------------------------------ */

/**
 * Stores events with their jobs, all or none, durably when it returns INGOT_OK
 * (SEED row 51). Ids must be given. An empty or NULL queue is a success. The
 * same event again is INGOT_ALREADY; another one of the same id is
 * INGOT_CONFLICT, and then nothing at all was stored. ret_verdicts, one for
 * each event, may be NULL.
 */
enum ingot_status ingot_store_insert_queue(struct ingot_store *store,
                                           const struct ingot_toolkit *toolkit,
                                           const struct ingot_queue *queue,
                                           enum ingot_verdict *ret_verdicts,
                                           struct ingot_error *err);

/**
 * Adds jobs to events that are stored (SEED row 52), all or none; event_id
 * must be given, numbers are made. Events that are retired are refused.
 */
enum ingot_status ingot_store_add_jobs(struct ingot_store *store,
                                       const struct ingot_toolkit *toolkit,
                                       const struct ingot_job *jobs, size_t job_count,
                                       struct ingot_error *err);

/** What became of one transition. */
struct ingot_result {
    enum ingot_verdict verdict;
    char reason[120]; /**< of INGOT_REFUSED, else "" */
    /** of INGOT_LOST: the row that has the number, without its error */
    struct ingot_transition taken;
};

/**
 * Appends transitions (SEED row 53). Each must carry the number that follows
 * the transition its author knew: seq is never recomputed here. Fails as a
 * whole only when the store does; ret_results has one for each.
 */
enum ingot_status
ingot_store_add_transitions(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                            const struct ingot_transition *transitions, size_t transition_count,
                            struct ingot_result *ret_results, struct ingot_error *err);

enum ingot_delete {
    INGOT_DELETE_FINISHED = 0, /**< refuse events that have live jobs */
    INGOT_DELETE_FORCED = 1    /**< discard live jobs first, in the same commit */
};

/**
 * Retires events (SEED row 57): a row is inserted that hides them from find.
 * Unknown ids are ignored. actor and reason are kept; both must be given.
 */
enum ingot_status ingot_store_delete(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const ingot_ksuid *event_ids, size_t event_count,
                                     enum ingot_delete how, const char *actor, const char *reason,
                                     struct ingot_error *err);

/** "hangs on nothing" */
#define INGOT_ALONE SIZE_MAX

/** Whether a notice goes with a transition, for whoever works the job's lane (PROTOCOL 3.7). */
enum ingot_notice {
    INGOT_NOTICE_NONE = 0,
    INGOT_NOTICE_SENT = 1 /**< written by somebody who does not work the lane */
};

/** A transition of a commit. */
struct ingot_commit_transition {
    struct ingot_transition row;
    size_t hangs_on; /**< index of the transition that must be stored first, or INGOT_ALONE */
    enum ingot_notice notice;
    enum ingot_verdict verdict; /**< out */
};

enum ingot_jobs_origin {
    INGOT_JOBS_GIVEN = 0, /**< by the caller: the same event again must have the same jobs */
    INGOT_JOBS_MADE = 1   /**< from routes: the jobs that the event has already will do */
};

/** An event of a commit. */
struct ingot_commit_event {
    const struct ingot_event *row;
    enum ingot_jobs_origin jobs_origin;
    enum ingot_verdict verdict; /**< out */
};

/** An added job of a commit. */
struct ingot_commit_job {
    struct ingot_job row; /**< number is set when stored */
    size_t hangs_on;      /**< index of a transition that must be stored first, or INGOT_ALONE */
    enum ingot_verdict verdict; /**< out */
};

/** A retirement of a commit. */
struct ingot_commit_retirement {
    ingot_ksuid event_id;
    struct ingot_bytes actor;
    struct ingot_bytes reason;
};

enum ingot_commit_rule {
    INGOT_COMMIT_EACH = 0, /**< every row has its own verdict */
    INGOT_COMMIT_WHOLE = 1 /**< a MISMATCH, LOST or REFUSED row undoes all: INGOT_CONFLICT */
};

enum ingot_commit_sending {
    INGOT_COMMIT_FIRST = 0,
    /**
     * sent before, and INGOT_UNKNOWN came of it: a row that is there already
     * and is ours, by owner and contents, counts as stored (PROTOCOL 2.4); a
     * claim only while nothing of others follows it in its chain, or it would
     * be delivered a second time
     */
    INGOT_COMMIT_AGAIN = 1
};

/**
 * Rows that are stored in one transaction, durable when it returns INGOT_OK;
 * verdicts hold only then. Numbers come from what the author knew when it
 * decided (PROTOCOL 1.2); the rows were checked by their author.
 */
struct ingot_commit {
    enum ingot_commit_rule rule;
    enum ingot_commit_sending sending;
    struct ingot_commit_event *events;
    size_t event_count;
    struct ingot_commit_transition *transitions;
    size_t transition_count;
    struct ingot_commit_job *jobs;
    size_t job_count;
    const struct ingot_commit_retirement *retirements;
    size_t retirement_count;
    uint64_t position; /**< out: its place among what is followed, see struct ingot_sighting */
};

/**
 * The operation that the ones above are made of, for schedulers, which know
 * their numbers and need one commit for what gathered. Moves are checked
 * against the table of legal ones, contents are not.
 */
enum ingot_status ingot_store_commit(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     struct ingot_commit *commit, struct ingot_error *err);

/** So many commits may be on their way at a time: one that the server works on, and the next. */
#define INGOT_COMMITS_SENT_MAX 2

/**
 * ingot_store_commit() in two halves: send checks the commit and has it begun,
 * finish waits for what came of it. INGOT_COMMITS_SENT_MAX may be on their way,
 * each for itself, none knowing what came of another; they are finished in the order
 * of sending, also after one of them failed. Until then the handle is used for
 * nothing else, and the commits stay as they are. INGOT_UNSUPPORTED from send: this
 * store, or this commit, wants ingot_store_commit(). After any other failure of send
 * nothing is to be finished, and it means what it means there.
 */
enum ingot_status ingot_store_send_commit(struct ingot_store *store,
                                          const struct ingot_toolkit *toolkit,
                                          struct ingot_commit *commit, struct ingot_error *err);
enum ingot_status ingot_store_finish_commit(struct ingot_store *store,
                                            const struct ingot_toolkit *toolkit,
                                            struct ingot_commit *commit, struct ingot_error *err);

/**
 * Checks an event and its jobs as insert_queue does: ids, admission time by
 * the toolkit's clock, names, JSON, limits, at most two jobs a destination.
 * path is what validations begin with.
 */
enum ingot_status ingot_event_validate(const struct ingot_event *event,
                                       const struct ingot_toolkit *toolkit, const char *path,
                                       struct ingot_error *err);

/* ---- reading ------------------------------------------------------------ */

/** A place in the order of event id and job number; all zero is the beginning. */
struct ingot_cursor {
    ingot_ksuid event_id;
    uint32_t job;
};

#define INGOT_FIND_LIMIT_DEFAULT 100u
#define INGOT_NO_LIMIT UINT32_MAX

enum ingot_detail {
    INGOT_DETAIL_ALL = 0, /**< events and jobs with context and data */
    INGOT_DETAIL_ROUTING =
        1, /**< without context, data and errors: what a scheduler needs to plan */
    /** with context and data, but latest is the birth and retired_us may be unset: what is sent out */
    INGOT_DETAIL_DELIVERY = 2
};

enum ingot_way {
    INGOT_FIND_ANY_WAY = 0,  /**< live jobs by the lists that checkpoints hold, if there are any */
    INGOT_FIND_EVERY_JOB = 1 /**< by looking at every job: whoever mistrusts the lists */
};

/**
 * Which jobs find looks for (SEED rows 68 to 73). Constraints combine with
 * AND, members of a list with OR; an empty list or 0 is no constraint.
 */
struct ingot_where {
    const struct ingot_bytes *destinations_in;
    size_t destinations_in_count;
    /** compared with the job's event: "*" finds wildcard jobs */
    const struct ingot_bytes *events_in;
    size_t events_in_count;
    unsigned status_in;    /**< INGOT_STATE_BIT()s of the latest state */
    unsigned status_notin; /**< none of these */
    uint16_t max_attempts; /**< latest attempt at most this; 0 is no constraint */
    uint32_t limit;        /**< jobs; 0 is INGOT_FIND_LIMIT_DEFAULT; no limit must be asked for */
    struct ingot_cursor after; /**< exclusive: begin behind this place */
    enum ingot_detail detail;
    enum ingot_way way;
};

/** What a read returned; one allocation, freed whole by ingot_page_destroy(). */
struct ingot_page {
    struct ingot_event *events; /**< ascending by id, jobs ascending by number */
    size_t event_count;
    size_t job_count;                     /**< in all events */
    struct ingot_transition *transitions; /**< of history */
    size_t transition_count;
    struct ingot_cursor next; /**< where to go on, if more */
    int more;                 /**< whether rows behind next were not looked at */
    struct igt_arena *arena;  /**< holds everything above */
};

/** Frees a page; page may be NULL. */
void ingot_page_destroy(struct ingot_page *page);

/**
 * Finds jobs, grouped by events; events without a matching job and retired
 * ones are left out (SEED row 54). A page ends after limit jobs or after
 * INGOT_FIND_EXAMINED_MAX rows, so it may be short, or empty, and still have
 * more. where == NULL is no constraint.
 */
enum ingot_status ingot_store_find(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_where *where, struct ingot_page **ret_page,
                                   struct ingot_error *err);

/** One event with all its jobs, retired or not, as the page's only event. */
enum ingot_status ingot_store_event(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                    const ingot_ksuid *event_id, struct ingot_page **ret_page,
                                    struct ingot_error *err);

/**
 * Those of the events that are stored, each with all its jobs, ascending by id.
 * detail says how much of them. At most INGOT_EVENTS_MAX ids, which may repeat;
 * unknown ones are left out.
 */
#define INGOT_EVENTS_MAX 10000u
enum ingot_status ingot_store_events(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const ingot_ksuid *event_ids, size_t event_count,
                                     enum ingot_detail detail, struct ingot_page **ret_page,
                                     struct ingot_error *err);

/** A job's whole chain, the birth first, as the page's transitions. */
enum ingot_status ingot_store_history(struct ingot_store *store,
                                      const struct ingot_toolkit *toolkit,
                                      const ingot_ksuid *event_id, uint32_t job,
                                      struct ingot_page **ret_page, struct ingot_error *err);

/** How many jobs of one destination are in each state. */
struct ingot_destination_counts {
    struct ingot_bytes destination;
    uint64_t jobs[INGOT_STATE_DISCARDED + 1]; /**< by enum ingot_state */
};

/** Totals of a store; owned by arena, freed by ingot_counts_destroy(). */
struct ingot_counts {
    uint64_t events;      /**< not retired */
    uint64_t transitions; /**< rows; births are not rows */
    /** ascending by name; jobs of events not retired */
    struct ingot_destination_counts *destinations;
    size_t destination_count;
    struct igt_arena *arena;
};

enum ingot_status ingot_store_counts(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     struct ingot_counts **ret_counts, struct ingot_error *err);
void ingot_counts_destroy(struct ingot_counts *counts);

/** One broken promise: its number in the list of invariants, the place, and what is wrong. */
struct ingot_violation {
    const char *invariant; /**< "I5" */
    ingot_ksuid event_id;
    int64_t job; /**< -1 where it concerns the event */
    int64_t seq; /**< -1 where it concerns the job */
    const char *message;
};

struct ingot_verification {
    uint64_t events, jobs, transitions;
    uint64_t live; /**< jobs without a terminal state */
    uint64_t violations;
};

/**
 * Reads the whole store and checks what the database alone can prove. report
 * is called for each violation and must not call the store. Violations are not
 * a failure of the call.
 */
enum ingot_status ingot_store_verify(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     void (*report)(void *context, const struct ingot_violation *),
                                     void *context, struct ingot_verification *ret_verification,
                                     struct ingot_error *err);

/* ---- routes ------------------------------------------------------------- */

/**
 * Publishes a version of the routes, a JSON text that says which destination
 * takes which events, unless the newest is the same bytes. Others that put
 * events in without the daemon read the newest.
 */
enum ingot_status ingot_store_publish_routes(struct ingot_store *store,
                                             const struct ingot_toolkit *toolkit,
                                             struct ingot_bytes routes, struct ingot_error *err);

/** The newest routes, at most size bytes with a NUL; INGOT_NOT_FOUND if none were published. */
enum ingot_status ingot_store_routes(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     char *text, size_t size, struct ingot_error *err);

/* ---- several processes on one store ------------------------------------- */

/** How many handles on one store there may be at a time. */
enum ingot_handles {
    INGOT_HANDLES_ONE = 0,     /**< a second one would be another store (memory) */
    INGOT_HANDLES_READERS = 1, /**< one that writes, and more that read (sqlite) */
    INGOT_HANDLES_WRITERS = 2  /**< any number, in any number of processes (postgres) */
};

enum ingot_handles ingot_store_handles(const struct ingot_store *store);

/**
 * Destinations are spread over this many lanes; a lane is worked by one
 * scheduler at a time, by agreement and not by lock.
 */
#define INGOT_LANES 256u

/** A set of lanes: bit l % 8 of byte l / 8. */
struct ingot_lanes {
    uint8_t bits[INGOT_LANES / 8];
};

/** The lane of a destination: the same everywhere and for ever. */
uint32_t ingot_lane_of(struct ingot_bytes destination);

enum ingot_sighted {
    INGOT_SIGHTED_EVENT, /**< a new event, with the jobs born with it */
    INGOT_SIGHTED_JOB,   /**< a job that was added to an event */
    INGOT_SIGHTED_NOTICE /**< somebody wrote a transition of a job whose lane he does not work */
};

/** Something that is visible now and was not at the cursor. Everything is borrowed. */
struct ingot_sighting {
    enum ingot_sighted kind;
    /** that of the commit that stored it; where one handle writes, above the one before it is enough */
    uint64_t position;
    ingot_ksuid event_id; /**< of every kind */
    uint32_t job;         /**< of a notice: the job's number */
    /** of events and jobs: routing detail, latest is the birth, created_us is set */
    const struct ingot_job *jobs;
    size_t job_count;
};

/** Where a follower goes on. */
struct ingot_following {
    struct ingot_bytes cursor; /**< of the call before; absent: see ingot_store_follow() */
    /** positions of commits that need not be shown; only a hint, for whoever made them */
    const uint64_t *known;
    size_t known_count;
};

/** Where a follower stands after a call. */
struct ingot_followed {
    struct ingot_bytes cursor; /**< for the next call; printable text, in the page */
    uint64_t horizon;          /**< nothing with a lower position will be sighted again */
    uint64_t life;             /**< differs when the cursors of before are void (PROTOCOL 3.3) */
};

/**
 * Shows what became visible since the cursor, each thing once, in no order.
 * An absent cursor shows nothing and gives one of this moment. A non-zero
 * return of sighted ends the call: INGOT_CLOSED. INGOT_INVALID: the cursor
 * belongs to another life of the store, begin anew. INGOT_UNSUPPORTED: the
 * adapter cannot follow. The page holds the new cursor.
 */
enum ingot_status ingot_store_follow(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct ingot_following *from,
                                     int (*sighted)(void *context, const struct ingot_sighting *),
                                     void *context, struct ingot_page **ret_page,
                                     struct ingot_followed *ret_followed, struct ingot_error *err);

/** A sign of life of a process. */
struct ingot_heartbeat {
    int64_t created_us;              /**< set by the store, by its own clock */
    ingot_ksuid process;             /**< the owner of its claims: fresh at each start */
    uint32_t n;                      /**< 1, 2, 3, … */
    const struct ingot_lanes *lanes; /**< NULL: it works none, or not any more */
    struct ingot_bytes about;        /**< a JSON object for people */
};

struct ingot_heartbeats {
    struct ingot_heartbeat *newest; /**< one for each process, in the page */
    size_t count;
    int64_t now_us; /**< by the store's clock */
};

/**
 * Inserts a heartbeat (NULL: none) and reads the newest of every process that
 * has one within past_us. INGOT_UNSUPPORTED where one process has the store.
 */
enum ingot_status ingot_store_heartbeat(struct ingot_store *store,
                                        const struct ingot_toolkit *toolkit,
                                        const struct ingot_heartbeat *heartbeat, int64_t past_us,
                                        struct ingot_page **ret_page,
                                        struct ingot_heartbeats *ret_heartbeats,
                                        struct ingot_error *err);

/** A list of what is live in a lane (PROTOCOL 4); adapters do not look into the body. */
struct ingot_checkpoint {
    int64_t taken_us; /**< set by the store */
    uint32_t lane;
    struct ingot_bytes cursor; /**< where whoever takes the list over begins to follow */
    struct ingot_bytes body;
};

/** Stores checkpoints, at most one for each lane, durably, in a commit of their own; a body may have any size. */
enum ingot_status ingot_store_add_checkpoints(struct ingot_store *store,
                                              const struct ingot_toolkit *toolkit,
                                              const struct ingot_checkpoint *checkpoints,
                                              size_t count, struct ingot_error *err);

/**
 * The newest complete checkpoint before an instant, of each of the lanes that
 * has one, ascending by lane, in the page.
 */
enum ingot_status ingot_store_checkpoints(struct ingot_store *store,
                                          const struct ingot_toolkit *toolkit,
                                          const struct ingot_lanes *lanes, int64_t before_us,
                                          struct ingot_page **ret_page,
                                          struct ingot_checkpoint **ret_checkpoints,
                                          size_t *ret_count, struct ingot_error *err);

/** What a cold read rested on, and what it had to read besides: whether a checkpoint is due (PROTOCOL 4.3). */
struct ingot_cold_read {
    uint64_t checkpoint_bytes; /**< of the checkpoints that it began with */
    int64_t taken_us;          /**< of the oldest of them; INGOT_NO_TIME: there was none */
    uint64_t unlisted; /**< jobs sighted in the lanes since, finished or not; and live ones of a
                            store that was read whole */
};

/**
 * Whom ingot_store_live() shows pages of events, with those of their jobs that are live
 * and in the lanes, and with latest. detail is INGOT_DETAIL_ROUTING or INGOT_DETAIL_ALL.
 * Whoever sets *page to NULL has taken the page over. Non-zero: that is enough.
 */
typedef int ingot_live_fn(void *context, struct ingot_page **page, enum ingot_detail detail);

/**
 * Shows the live jobs of the lanes, each once, in no order, as whoever begins
 * to work a lane must learn them: by the newest usable checkpoint and by what
 * was followed since, each looked up by its key; where there is no checkpoint
 * by reading the whole store. Whoever follows with a cursor that was given
 * before the call, and keeps what is sighted of these lanes from then on,
 * misses nothing. The first ones that a list names come with all detail, until they
 * have taken about ahead_bytes of memory; 0: none do. A non-zero return of live ends
 * the call: INGOT_CLOSED. ret_cold is filled if all were shown.
 */
enum ingot_status ingot_store_live(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   const struct ingot_lanes *lanes, size_t ahead_bytes,
                                   ingot_live_fn *live, void *context,
                                   struct ingot_cold_read *ret_cold, struct ingot_error *err);

/** Tells other processes that something was committed; a hint that may get lost, and never waits. */
void ingot_store_wake(struct ingot_store *store);

/**
 * Waits until another process tells that something was committed, or for
 * timeout_us. INGOT_RETRY also when nothing can be heard now, after the time.
 */
enum ingot_status ingot_store_wait(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   int64_t timeout_us, struct ingot_error *err);

/** Makes room for the days to come, where the store needs that: at start, and every hour. */
enum ingot_status ingot_store_make_segments(struct ingot_store *store,
                                            const struct ingot_toolkit *toolkit,
                                            struct ingot_error *err);

/** A setting of a store that an operator may want to see; strings are in the page. */
struct ingot_setting {
    const char *name;
    const char *value;
};

/** The store's version and those settings on which its promise rests. */
enum ingot_status ingot_store_settings(struct ingot_store *store,
                                       const struct ingot_toolkit *toolkit,
                                       struct ingot_page **ret_page,
                                       struct ingot_setting **ret_settings, size_t *ret_count,
                                       struct ingot_error *err);

/**
 * For a store that was restored or copied, with the owner's rights: what
 * cursors and lists of its former life say is void from now on (PROTOCOL 3.4).
 */
enum ingot_status ingot_store_accept_restore(struct ingot_store *store,
                                             const struct ingot_toolkit *toolkit,
                                             struct ingot_error *err);

/* ---- who holds the store ------------------------------------------------ */

/** The process that has a store open for writing. */
struct ingot_holder {
    int pid;
    char address[128]; /**< "127.0.0.1:8080" of its gateway, or "" */
};

/** Tells others, through the store's lock, where this process takes events in. */
enum ingot_status ingot_store_announce(struct ingot_store *store, const char *address,
                                       struct ingot_error *err);

/** Reads who holds the store that options name; INGOT_NOT_FOUND if nobody does. */
enum ingot_status ingot_options_holder(const struct ingot_options *options,
                                       struct ingot_holder *ret_holder, struct ingot_error *err);

/* ---- migrations --------------------------------------------------------- */

enum ingot_migration_state {
    INGOT_MIGRATION_PENDING = 0,
    INGOT_MIGRATION_APPLIED = 1,
    INGOT_MIGRATION_ALTERED = 2, /**< applied, but its text is not what it was then */
    INGOT_MIGRATION_AHEAD = 3    /**< in the store, unknown to this program */
};

/** One migration of an adapter (SEED rows 55 and 56). Strings are static or live in the list. */
struct ingot_migration {
    uint64_t version; /**< 14 digits: YYYYMMDDHHMMSS, UTC */
    char name[64];
    const char *up; /**< SQL; NULL if AHEAD */
    const char *down;
    char up_sha256[65]; /**< hexadecimal */
    char down_sha256[65];
    enum ingot_migration_state state;
    int64_t applied_us; /**< or INGOT_NO_TIME */
};

enum ingot_direction { INGOT_UP = 0, INGOT_DOWN = 1 };

#define INGOT_MIGRATIONS_MAX 128

/** All migrations, ascending by version; at most INGOT_MIGRATIONS_MAX. */
enum ingot_status ingot_store_migrations(struct ingot_store *store,
                                         const struct ingot_toolkit *toolkit,
                                         struct ingot_migration *ret_migrations, size_t *ret_count,
                                         struct ingot_error *err);

/** Runs one migration in one direction in a transaction, and inserts it in the ledger. */
enum ingot_status ingot_store_migrate(struct ingot_store *store,
                                      const struct ingot_toolkit *toolkit,
                                      const struct ingot_migration *migration,
                                      enum ingot_direction direction, struct ingot_error *err);

#ifdef __cplusplus
}
#endif

#endif
