/*
 * ingot find: jobs by destination, event, state and attempts. It goes through
 * the store page by page and keeps none, so that the store may be of any size;
 * a thread reads the next page while one is written, so that there are three at most.
 */
#include "cli.h"

#include "core/arena.h"
#include "core/model.h"
#include "core/thread.h"

#include <errno.h>
#include <getopt.h>
#include <ingot/adapter.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Jobs of a page: at first few, because each brings its payloads; more where those are small. */
#define PAGE_JOBS 100u
#define PAGE_JOBS_MAX 1000u
#define PAGE_BYTES (4u << 20)

/* What is freed up to this size is kept: the next page is as large. */
#define KEPT_BYTES (32 << 20)

/* How often progress is shown while a page is waited for. */
#define LOOK_NS 100000000

/* What was read of a page; whole is the event in place of its last one, which goes on behind it, or NULL. */
struct batch {
    struct ingot_page *page, *whole;
};

struct search {
    enum igt_form form;
    struct igt_cli_reader reader;
    struct ingot_bytes *destinations, *events;
    uint64_t limit;
    struct igt_table *table;
    struct igt_buffer line;
    /* The thread's own until it has ended. */
    pthread_t thread;
    struct ingot_toolkit toolkit;
    struct ingot_where where; /* of the next page */
    uint32_t page_jobs;
    uint64_t found;
    int more; /* there may be another page */
    enum ingot_status status;
    struct ingot_error error;
    /* Between the two. */
    atomic_int is_stopped; /* nothing more is wanted */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t changed;
    struct batch next;
    int has_next, has_ended;
};

static const struct igt_column columns[] = {
    {"EVENT", IGT_ALIGN_LEFT},       {"JOB", IGT_ALIGN_RIGHT},  {"NAME", IGT_ALIGN_LEFT},
    {"DESTINATION", IGT_ALIGN_LEFT}, {"STATE", IGT_ALIGN_LEFT}, {"ATTEMPT", IGT_ALIGN_RIGHT},
    {"DUE/SINCE", IGT_ALIGN_LEFT},   {"ERROR", IGT_ALIGN_CUT},
};

/* ---- options ------------------------------------------------------------ */

/* A whole number in decimal digits from 1 to max. */
static int parse_number(const char *text, uint32_t max, uint32_t *ret_number)
{
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    if (!text[0] || text[strspn(text, "0123456789")] || errno || number == 0 || number > max)
        return 0;
    *ret_number = (uint32_t)number;
    return 1;
}

static int add_status(unsigned *mask, const char *name)
{
    char names[96] = "";
    size_t len = 0;
    enum ingot_state state = ingot_state_parse(ingot_bytes_of(name));
    if (state != INGOT_STATE_NONE) {
        *mask |= INGOT_STATE_BIT(state);
        return 1;
    }
    for (state = INGOT_STATE_ACKNOWLEDGED; state <= INGOT_STATE_DISCARDED; state++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "",
                                ingot_state_name(state));
    igt_cli_complain("find: there is no status \"%s\"; there are %s", name, names);
    return 0;
}

static int read_limit(struct search *search, const char *text)
{
    uint32_t limit;
    if (strcmp(text, "none") == 0) {
        search->limit = UINT64_MAX;
        return 1;
    }
    if (!parse_number(text, INGOT_NO_LIMIT - 1, &limit)) {
        igt_cli_complain("find: --limit is a number from 1, or none, and not \"%s\"", text);
        return 0;
    }
    search->limit = limit;
    return 1;
}

static int read_max_attempts(struct search *search, const char *text)
{
    uint32_t attempts;
    if (!parse_number(text, UINT16_MAX, &attempts)) {
        igt_cli_complain("find: --max-attempts is a number from 1 to %u, and not \"%s\"",
                         UINT16_MAX, text);
        return 0;
    }
    search->where.max_attempts = (uint16_t)attempts;
    return 1;
}

/* Returns whether the arguments are right; has said what is wrong with them otherwise. */
static int read_options(struct search *search, int argc, char **argv)
{
    static const struct option options[] = {{"destination", required_argument, NULL, 'd'},
                                            {"event", required_argument, NULL, 'e'},
                                            {"status", required_argument, NULL, 's'},
                                            {"not-status", required_argument, NULL, 'n'},
                                            {"max-attempts", required_argument, NULL, 'a'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {0}};
    int option, good = 1;
    while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            search->destinations[search->where.destinations_in_count++] = ingot_bytes_of(optarg);
            break;
        case 'e':
            search->events[search->where.events_in_count++] = ingot_bytes_of(optarg);
            break;
        case 's':
            good = add_status(&search->where.status_in, optarg);
            break;
        case 'n':
            good = add_status(&search->where.status_notin, optarg);
            break;
        case 'a':
            good = read_max_attempts(search, optarg);
            break;
        case 'l':
            good = read_limit(search, optarg);
            break;
        default:
            igt_cli_usage("find");
            good = 0;
        }
    }
    if (good && optind < argc) {
        igt_cli_usage("find");
        good = 0;
    }
    search->where.destinations_in = search->destinations;
    search->where.events_in = search->events;
    return good;
}

/* ---- output ------------------------------------------------------------- */

static void add_row(struct igt_table *table, const struct ingot_event *event,
                    const struct ingot_job *job)
{
    const struct ingot_transition *latest = &job->latest;
    char id[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&event->id, id);
    igt_table_row(table);
    igt_table_text(table, ingot_bytes_of(id));
    igt_table_number(table, job->number);
    igt_table_text(table, event->name);
    igt_table_text(table, job->destination);
    igt_table_text(table, ingot_bytes_of(ingot_state_name(latest->state_after)));
    igt_table_number(table, latest->attempt);
    igt_table_time(table, latest->state_after == INGOT_STATE_AWAITING ? latest->due_us
                                                                      : latest->created_us);
    igt_table_error(table, latest->error);
}

static enum ingot_status write_table(struct search *search, const struct ingot_page *page,
                                     struct ingot_error *err)
{
    for (size_t i = 0; i < page->event_count; i++)
        for (size_t j = 0; j < page->events[i].job_count; j++)
            add_row(search->table, &page->events[i], &page->events[i].jobs[j]);
    return page->job_count ? igt_table_print(search->table, err) : INGOT_OK;
}

static enum ingot_status write_event(struct search *search, const struct ingot_event *event,
                                     struct ingot_error *err)
{
    igt_event_encode(&search->line, event, IGT_PAYLOAD_INLINE);
    return igt_cli_write_json_line(&search->line, err);
}

static enum ingot_status write_lines(struct search *search, const struct batch *batch,
                                     struct ingot_error *err)
{
    const struct ingot_page *page = batch->page;
    const size_t count = page->event_count - (batch->whole != NULL);
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = write_event(search, &page->events[i], err);
    if (batch->whole && batch->whole->events[0].job_count && !status)
        status = write_event(search, &batch->whole->events[0], err);
    return status;
}

static enum ingot_status write_batch(struct search *search, const struct batch *batch,
                                     struct ingot_error *err)
{
    if (batch->page->job_count)
        igt_cli_progress_clear(&search->reader.progress);
    return search->form == IGT_FORM_JSON ? write_lines(search, batch, err)
                                         : write_table(search, batch->page, err);
}

static void forget_batch(struct batch *batch)
{
    ingot_page_destroy(batch->page);
    ingot_page_destroy(batch->whole);
    *batch = (struct batch){0};
}

/* ---- reading, in a thread ----------------------------------------------- */

/*
 * Reads the last event of a page, whose jobs the page may not have all, so that it
 * stands on one line; what is found next is behind it.
 */
static enum ingot_status read_whole(struct search *search, struct batch *batch,
                                    struct ingot_error *err)
{
    const struct ingot_event *last = &batch->page->events[batch->page->event_count - 1];
    enum ingot_status status =
        ingot_store_event(search->reader.store, &search->toolkit, &last->id, &batch->whole, err);
    if (status)
        return status;
    struct ingot_event *event = &batch->whole->events[0];
    size_t kept = 0;
    search->found -= last->job_count;
    for (size_t i = 0; i < event->job_count && kept < search->limit - search->found; i++)
        if (ingot_where_matches(&search->where, &event->jobs[i]))
            event->jobs[kept++] = event->jobs[i];
    event->job_count = kept;
    search->found += kept;
    search->where.after = (struct ingot_cursor){last->id, INGOT_CURSOR_BEHIND_JOBS};
    return INGOT_OK;
}

/* Whether the page ends within an event, or may. */
static int is_cut(const struct ingot_page *page)
{
    return page->more && page->event_count > 0 &&
           ingot_ksuid_compare(&page->events[page->event_count - 1].id, &page->next.event_id) == 0;
}

/* Reads the next page; batch is empty, and to be forgotten also on failure. */
static enum ingot_status read_batch(struct search *search, struct batch *batch,
                                    struct ingot_error *err)
{
    const uint64_t left = search->limit - search->found;
    search->where.limit = left < search->page_jobs ? (uint32_t)left : search->page_jobs;
    enum ingot_status status =
        ingot_store_find(search->reader.store, &search->toolkit, &search->where, &batch->page, err);
    if (status)
        return status;
    const struct ingot_page *page = batch->page;
    search->more = page->more;
    search->where.after = page->next;
    search->found += page->job_count;
    search->page_jobs = PAGE_JOBS;
    if (igt_arena_bytes(page->arena) < PAGE_BYTES * search->where.limit / PAGE_JOBS_MAX)
        search->page_jobs = PAGE_JOBS_MAX;
    return search->form == IGT_FORM_JSON && is_cut(page) ? read_whole(search, batch, err)
                                                         : INGOT_OK;
}

/* Waits until the one before was taken. */
static void give(struct search *search, struct batch *batch)
{
    pthread_mutex_lock(&search->lock);
    while (search->has_next && !search->is_stopped)
        pthread_cond_wait(&search->changed, &search->lock);
    if (search->is_stopped) {
        forget_batch(batch);
    } else {
        search->next = *batch;
        search->has_next = 1;
    }
    pthread_cond_signal(&search->changed);
    pthread_mutex_unlock(&search->lock);
}

static void *read_batches(void *context)
{
    struct search *search = context;
    while (!search->status && search->more && search->found < search->limit &&
           !search->is_stopped) {
        struct batch batch = {0};
        search->status = read_batch(search, &batch, &search->error);
        if (search->status)
            forget_batch(&batch);
        else
            give(search, &batch);
    }
    pthread_mutex_lock(&search->lock);
    search->has_ended = 1;
    pthread_cond_signal(&search->changed);
    pthread_mutex_unlock(&search->lock);
    return NULL;
}

/* For the thread's toolkit: what stands on standard error is up to the other one. */
static int ask_to_stop(void *context, uint64_t done, uint64_t total)
{
    const struct search *search = context;
    (void)done, (void)total;
    return search->is_stopped;
}

static enum ingot_status start_reading(struct search *search, struct ingot_error *err)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    search->toolkit = search->reader.toolkit;
    search->toolkit.progress = ask_to_stop;
    search->toolkit.context = search;
    search->more = 1;
    pthread_mutex_init(&search->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&search->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    /* Signals end what waits for standard output, which is the other thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    enum ingot_status status = igt_thread_start(&search->thread, "find", read_batches, search, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* Has the thread end, and takes over why it did, unless that was asked of it. */
static enum ingot_status end_reading(struct search *search, enum ingot_status status,
                                     struct ingot_error *err)
{
    pthread_mutex_lock(&search->lock);
    search->is_stopped = 1;
    pthread_cond_signal(&search->changed);
    pthread_mutex_unlock(&search->lock);
    pthread_join(search->thread, NULL);
    pthread_cond_destroy(&search->changed);
    pthread_mutex_destroy(&search->lock);
    forget_batch(&search->next);
    if (!status && search->status && search->status != INGOT_CLOSED) {
        status = search->status;
        *err = search->error;
    }
    return status;
}

/* Shows progress; INGOT_CLOSED once the user wants to stop. */
static enum ingot_status heed(struct search *search, struct ingot_error *err)
{
    if (igt_cli_progress(&search->reader.progress, 0, 0) != 0)
        return ingot_error_set(err, INGOT_CLOSED, "find: stopped on request");
    return INGOT_OK;
}

/* Waits for the next page; there is none, and no failure, when the thread has ended. */
static enum ingot_status take(struct search *search, struct batch *batch, struct ingot_error *err)
{
    enum ingot_status status = heed(search, err);
    pthread_mutex_lock(&search->lock);
    while (!search->has_next && !search->has_ended && !status) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&search->changed, &search->lock, &until);
        status = heed(search, err);
    }
    *batch = search->next;
    search->next = (struct batch){0};
    search->has_next = 0;
    pthread_cond_signal(&search->changed);
    pthread_mutex_unlock(&search->lock);
    return status;
}

static enum ingot_status write_all(struct search *search, struct ingot_error *err)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    enum ingot_status status = start_reading(search, err);
    if (status)
        return status;
    for (int is_all = 0; !status && !is_all && !ferror(stdout);) {
        struct batch batch;
        status = take(search, &batch, err);
        is_all = !batch.page;
        if (!status && batch.page)
            status = write_batch(search, &batch, err);
        forget_batch(&batch);
    }
    return end_reading(search, status, err);
}

static int run(struct search *search)
{
    struct ingot_error err = {0};
    enum ingot_status status = write_all(search, &err);
    igt_cli_close(&search->reader);
    if (status)
        return igt_cli_fail(&err);
    if (fflush(stdout) != 0 || ferror(stdout))
        return IGT_EXIT_STORE; /* main says why */
    if (search->more)
        igt_cli_complain("these are %llu jobs, there may be more; see --limit",
                         (unsigned long long)search->found);
    if (!search->found)
        igt_cli_complain("there is no such job");
    return search->found ? IGT_EXIT_DONE : IGT_EXIT_NOT_SO;
}

int igt_verb_find(const struct igt_cli *cli, int argc, char **argv)
{
    struct search search = {
        .form = cli->form, .page_jobs = PAGE_JOBS, .limit = INGOT_FIND_LIMIT_DEFAULT};
    int code = IGT_EXIT_USAGE;
    search.destinations = calloc((size_t)argc, sizeof *search.destinations);
    search.events = calloc((size_t)argc, sizeof *search.events);
    if (!search.destinations || !search.events) {
        igt_cli_complain("memory ran out");
        code = IGT_EXIT_STORE;
        goto out;
    }
    if (!read_options(&search, argc, argv))
        goto out;
    code = igt_cli_open(cli, NULL, &search.reader);
    if (code)
        goto out;
    if (search.form == IGT_FORM_TABLE)
        search.table = igt_table_create(columns, sizeof columns / sizeof *columns);
    code = run(&search);
out:
    igt_table_destroy(search.table);
    igt_buffer_fini(&search.line);
    free(search.destinations);
    free(search.events);
    return code;
}
