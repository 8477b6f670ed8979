/*
 * ingot find: jobs by destination, event, state and attempts. It goes through
 * the store page by page and keeps none, so that the store may be of any size.
 */
#include "cli.h"

#include "core/arena.h"
#include "core/model.h"

#include <errno.h>
#include <getopt.h>
#include <ingot/adapter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jobs of a page: at first few, because each brings its payloads; more where those are small. */
#define PAGE_JOBS 100u
#define PAGE_JOBS_MAX 1000u
#define PAGE_BYTES (4u << 20)

struct search {
    enum igt_form form;
    struct igt_cli_reader reader;
    struct ingot_where where; /* of the next page */
    struct ingot_bytes *destinations, *events;
    uint32_t page_jobs;
    uint64_t limit, found;
    struct igt_table *table;
    struct igt_buffer line;
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
    search->found += page->job_count;
    return page->job_count ? igt_table_print(search->table, err) : INGOT_OK;
}

static enum ingot_status write_event(struct search *search, const struct ingot_event *event,
                                     struct ingot_error *err)
{
    igt_event_encode(&search->line, event, IGT_PAYLOAD_INLINE);
    search->found += event->job_count;
    return igt_cli_write_json_line(&search->line, err);
}

/*
 * Writes an event whose jobs the page may not have all, so that it stands on
 * one line; what is found next is behind it.
 */
static enum ingot_status write_whole(struct search *search, const ingot_ksuid *event_id,
                                     struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    enum ingot_status status =
        ingot_store_event(search->reader.store, &search->reader.toolkit, event_id, &page, err);
    if (status)
        return status;
    struct ingot_event *event = &page->events[0];
    size_t kept = 0;
    for (size_t i = 0; i < event->job_count && kept < search->limit - search->found; i++)
        if (ingot_where_matches(&search->where, &event->jobs[i]))
            event->jobs[kept++] = event->jobs[i];
    event->job_count = kept;
    if (kept)
        status = write_event(search, event, err);
    search->where.after = (struct ingot_cursor){*event_id, INGOT_CURSOR_BEHIND_JOBS};
    ingot_page_destroy(page);
    return status;
}

static enum ingot_status write_lines(struct search *search, const struct ingot_page *page,
                                     struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < page->event_count && !status; i++) {
        const struct ingot_event *event = &page->events[i];
        int cut = page->more && i + 1 == page->event_count &&
                  ingot_ksuid_compare(&event->id, &page->next.event_id) == 0;
        status = cut ? write_whole(search, &event->id, err) : write_event(search, event, err);
    }
    return status;
}

/* Takes and writes one page; ret_more says whether there may be another. */
static enum ingot_status step(struct search *search, int *ret_more, struct ingot_error *err)
{
    struct ingot_page *page = NULL;
    uint64_t left = search->limit - search->found;
    search->where.limit = left < search->page_jobs ? (uint32_t)left : search->page_jobs;
    enum ingot_status status =
        ingot_store_find(search->reader.store, &search->reader.toolkit, &search->where, &page, err);
    if (status)
        return status;
    *ret_more = page->more;
    search->where.after = page->next;
    if (page->job_count)
        igt_cli_progress_clear(&search->reader.progress);
    search->page_jobs = PAGE_JOBS;
    if (igt_arena_bytes(page->arena) < PAGE_BYTES * search->where.limit / PAGE_JOBS_MAX)
        search->page_jobs = PAGE_JOBS_MAX;
    status = search->form == IGT_FORM_JSON ? write_lines(search, page, err)
                                           : write_table(search, page, err);
    ingot_page_destroy(page);
    return status;
}

static int run(struct search *search)
{
    struct ingot_error err = {0};
    enum ingot_status status = INGOT_OK;
    int more = 1;
    while (!status && more && search->found < search->limit && !ferror(stdout))
        status = step(search, &more, &err);
    igt_cli_close(&search->reader);
    if (status)
        return igt_cli_fail(&err);
    if (fflush(stdout) != 0 || ferror(stdout))
        return IGT_EXIT_STORE; /* main says why */
    if (more)
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
