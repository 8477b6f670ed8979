/* ingot show: an event with its jobs, or one job, and the whole history of each. */
#include "cli.h"

#include "core/instant.h"
#include "core/model.h"

#include <ingot/adapter.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jobs looked through at a time for one whose event is not known. */
#define PAGE_JOBS 1000u

#define FIELD_WIDTH 12

/* Of an owner, what tells processes apart at a glance; --json has all of it. */
#define OWNER_SHOWN 8

/* Which jobs of the event. */
#define ALL_JOBS UINT32_MAX

struct show {
    enum igt_form form;
    struct igt_cli_reader reader;
    struct ingot_page *page; /* the event */
    uint32_t job;            /* the one to show, or ALL_JOBS */
    struct igt_buffer line;
    int no_memory;
};

static const struct igt_column columns[] = {
    {"SEQ", IGT_ALIGN_RIGHT},  {"AT", IGT_ALIGN_LEFT},       {"BEFORE", IGT_ALIGN_LEFT},
    {"AFTER", IGT_ALIGN_LEFT}, {"ATTEMPT", IGT_ALIGN_RIGHT}, {"OWNER", IGT_ALIGN_LEFT},
    {"DUE", IGT_ALIGN_LEFT},   {"ERROR", IGT_ALIGN_CUT},
};

/* ---- which event, which job --------------------------------------------- */

/* Behind all events of the seconds before the id's. */
static struct ingot_cursor before_second_of(const ingot_ksuid *id)
{
    struct ingot_cursor cursor = {.event_id = *id, .job = INGOT_CURSOR_BEHIND_JOBS};
    uint8_t *bytes = cursor.event_id.bytes;
    if (ingot_ksuid_time_us(id) == INGOT_KSUID_EPOCH * IGT_SECOND_US)
        return (struct ingot_cursor){0};
    memset(bytes + 4, 0xff, sizeof cursor.event_id.bytes - 4);
    for (int i = 3; bytes[i]-- == 0; i--)
        ;
    return cursor;
}

/* The job's number within the event, or ALL_JOBS. */
static uint32_t number_of(const struct ingot_event *event, const ingot_ksuid *job_id)
{
    for (size_t i = 0; i < event->job_count; i++)
        if (ingot_ksuid_compare(&event->jobs[i].id, job_id) == 0)
            return event->jobs[i].number;
    return ALL_JOBS;
}

/* Looks for the job of that id among those of the events of its second, where made ids are. */
static enum ingot_status seek_job(struct show *show, const ingot_ksuid *job_id,
                                  ingot_ksuid *ret_event_id, struct ingot_error *err)
{
    struct ingot_where where = {
        .limit = PAGE_JOBS, .after = before_second_of(job_id), .detail = INGOT_DETAIL_ROUTING};
    enum ingot_status status = INGOT_OK;
    int more = 1;
    show->job = ALL_JOBS;
    while (more && show->job == ALL_JOBS) {
        struct ingot_page *page = NULL;
        status = ingot_store_find(show->reader.store, &show->reader.toolkit, &where, &page, err);
        if (status)
            return status;
        for (size_t i = 0; i < page->event_count && show->job == ALL_JOBS; i++) {
            show->job = number_of(&page->events[i], job_id);
            *ret_event_id = page->events[i].id;
        }
        where.after = page->next;
        more = page->more && memcmp(page->next.event_id.bytes, job_id->bytes, 4) <= 0;
        ingot_page_destroy(page);
    }
    if (show->job == ALL_JOBS)
        return ingot_error_set(err, INGOT_NOT_FOUND,
                               "there is no such event, nor such a job; if a caller made the job's "
                               "id, or its event is retired, say EVENT/JOB");
    return INGOT_OK;
}

static enum ingot_status read_event(struct show *show, const ingot_ksuid *id,
                                    struct ingot_error *err)
{
    return ingot_store_event(show->reader.store, &show->reader.toolkit, id, &show->page, err);
}

/* At most five digits, which no KSUID is. */
static int parse_job_number(const char *text, uint32_t *ret_number)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5 || text[strspn(text, "0123456789")])
        return 0;
    *ret_number = (uint32_t)strtoul(text, NULL, 10);
    return 1;
}

/* What EVENT, JOB or EVENT/JOB names. */
struct target {
    ingot_ksuid id;
    int is_pair; /* then its job has that number, or if that is ALL_JOBS, that id */
    uint32_t number;
    ingot_ksuid job_id;
};

static enum ingot_status parse_target(const char *name, struct target *ret_target,
                                      struct ingot_error *err)
{
    const char *slash = strchr(name, '/');
    struct target target = {.number = ALL_JOBS, .is_pair = slash != NULL};
    enum ingot_status status = ingot_ksuid_parse(
        (struct ingot_bytes){name, slash ? (size_t)(slash - name) : strlen(name)}, &target.id, err);
    if (!status && slash && !parse_job_number(slash + 1, &target.number))
        status = ingot_ksuid_parse(ingot_bytes_of(slash + 1), &target.job_id, err);
    if (!status)
        *ret_target = target;
    return status;
}

/* Reads the event, and finds out which of its jobs is meant. */
static enum ingot_status read_target(struct show *show, const struct target *target,
                                     struct ingot_error *err)
{
    ingot_ksuid event_id = target->id;
    show->job = target->number;
    enum ingot_status status = read_event(show, &event_id, err);
    if (status == INGOT_NOT_FOUND && !target->is_pair) {
        status = seek_job(show, &target->id, &event_id, err);
        return status ? status : read_event(show, &event_id, err);
    }
    if (status || !target->is_pair)
        return status;
    if (show->job == ALL_JOBS)
        show->job = number_of(show->page->events, &target->job_id);
    if (show->job >= show->page->events[0].job_count)
        return ingot_error_set(err, INGOT_NOT_FOUND, "the event has no such job; it has %zu",
                               show->page->events[0].job_count);
    return INGOT_OK;
}

/* ---- for people --------------------------------------------------------- */

/* Writes what the line holds behind the field's name. */
static void write_field(struct show *show, const char *name)
{
    printf("%-*s%s\n", FIELD_WIDTH, name, show->line.len ? show->line.data : "");
    show->no_memory |= show->line.failed;
    igt_buffer_reset(&show->line);
}

static void write_text(struct show *show, const char *name, struct ingot_bytes text)
{
    size_t width = igt_cli_columns();
    if (!text.data)
        return;
    if (width != IGT_ALL_COLUMNS)
        width = width > 2 * FIELD_WIDTH ? width - FIELD_WIDTH : FIELD_WIDTH;
    igt_cli_add_text(&show->line, text, width);
    write_field(show, name);
}

static void write_time(struct show *show, const char *name, int64_t time_us)
{
    char text[IGT_TIME_TEXT_SIZE];
    if (time_us == INGOT_NO_TIME)
        return;
    igt_time_format(time_us, text);
    write_text(show, name, ingot_bytes_of(text));
}

static void write_ksuid(struct show *show, const char *name, const ingot_ksuid *id)
{
    char text[INGOT_KSUID_TEXT_LEN + 1];
    if (ingot_ksuid_is_none(id))
        return;
    ingot_ksuid_format(id, text);
    write_text(show, name, ingot_bytes_of(text));
}

static void write_event(struct show *show, const struct ingot_event *event)
{
    write_ksuid(show, "event", &event->id);
    write_text(show, "name", event->name);
    write_text(show, "source", event->source);
    write_time(show, "sent", event->sent_us);
    write_time(show, "received", event->received_us);
    write_time(show, "ingested", event->ingested_us);
    write_time(show, "retired", event->retired_us);
    write_text(show, "context", event->context);
    write_text(show, "data", event->data);
}

static void add_row(struct igt_table *table, const struct ingot_transition *transition)
{
    const char *before = ingot_state_name(transition->state_before);
    char at[IGT_TIME_TEXT_SIZE] = "-", owner[INGOT_KSUID_TEXT_LEN + 1] = "-";
    if (transition->created_us != INGOT_NO_TIME)
        igt_time_format(transition->created_us, at);
    if (!ingot_ksuid_is_none(&transition->owner))
        ingot_ksuid_format(&transition->owner, owner);
    igt_table_row(table);
    igt_table_number(table, transition->seq);
    igt_table_text(table, ingot_bytes_of(at));
    igt_table_text(table, ingot_bytes_of(before ? before : "-"));
    igt_table_text(table, ingot_bytes_of(ingot_state_name(transition->state_after)));
    igt_table_number(table, transition->attempt);
    igt_table_text(table, (struct ingot_bytes){owner, strnlen(owner, OWNER_SHOWN)});
    igt_table_time(table, transition->due_us);
    igt_table_error(table, transition->error);
}

static enum ingot_status write_chain(const struct ingot_page *chain, struct ingot_error *err)
{
    struct igt_table *table = igt_table_create(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < chain->transition_count; i++)
        add_row(table, &chain->transitions[i]);
    enum ingot_status status = igt_table_print(table, err);
    igt_table_destroy(table);
    return status;
}

static enum ingot_status write_job(struct show *show, const struct ingot_job *job,
                                   const struct ingot_page *chain, struct ingot_error *err)
{
    const struct ingot_transition *latest = &chain->transitions[chain->transition_count - 1];
    char name[FIELD_WIDTH];
    snprintf(name, sizeof name, "job %u", job->number);
    putchar('\n');
    write_ksuid(show, name, &job->id);
    write_text(show, "destination", job->destination);
    write_text(show, "for", job->event);
    write_ksuid(show, "parent", &job->parent_job_id);
    igt_buffer_add_format(&show->line, "%s, attempt %u", ingot_state_name(latest->state_after),
                          latest->attempt);
    write_field(show, "state");
    write_text(show, "context", job->context);
    write_text(show, "data", job->data);
    return write_chain(chain, err);
}

/* ---- for programs ------------------------------------------------------- */

/* A transition with the specification's keys, and with what tells how it came about. */
static void encode_transition(struct igt_buffer *line, const struct ingot_transition *transition)
{
    igt_transition_encode(line, transition);
    if (line->len)
        line->len--; /* the bracket at the end */
    igt_buffer_add_format(line, ",\"seq\":%u,\"owner\":", transition->seq);
    if (ingot_ksuid_is_none(&transition->owner))
        igt_buffer_add_text(line, "null");
    else
        igt_buffer_add_json_ksuid(line, &transition->owner);
    igt_buffer_add_text(line, ",\"due_at\":");
    igt_buffer_add_json_time(line, transition->due_us);
    igt_buffer_add_text(line, "}");
}

/* Adds ,"name":payload if there is one. */
static void encode_payload(struct igt_buffer *line, const char *name, struct ingot_bytes payload)
{
    if (!payload.data)
        return;
    igt_buffer_add_format(line, ",\"%s\":", name);
    igt_buffer_add(line, payload.data, payload.len);
}

static void encode_job(struct igt_buffer *line, const struct ingot_job *job,
                       const struct ingot_page *chain)
{
    igt_buffer_add_format(line, "{\"number\":%u,\"id\":", job->number);
    igt_buffer_add_json_ksuid(line, &job->id);
    igt_buffer_add_text(line, ",\"destination\":");
    igt_buffer_add_json_string(line, job->destination);
    igt_buffer_add_text(line, ",\"event\":");
    igt_buffer_add_json_string(line, job->event);
    encode_payload(line, "context", job->context);
    encode_payload(line, "data", job->data);
    if (!ingot_ksuid_is_none(&job->parent_job_id)) {
        igt_buffer_add_text(line, ",\"parent_job_id\":");
        igt_buffer_add_json_ksuid(line, &job->parent_job_id);
    }
    igt_buffer_add_text(line, ",\"transitions\":[");
    for (size_t i = 0; i < chain->transition_count; i++) {
        igt_buffer_add_text(line, i ? "," : "");
        encode_transition(line, &chain->transitions[i]);
    }
    igt_buffer_add_text(line, "],\"created_at\":");
    igt_buffer_add_json_time(line, job->created_us);
    igt_buffer_add_text(line, "}");
}

static void encode_event(struct igt_buffer *line, const struct ingot_event *event)
{
    struct ingot_event alone = *event;
    alone.job_count = 0;
    igt_buffer_add_text(line, "{\"event\":");
    igt_event_encode(line, &alone, IGT_PAYLOAD_INLINE);
    if (event->retired_us != INGOT_NO_TIME) {
        igt_buffer_add_text(line, ",\"retired_at\":");
        igt_buffer_add_json_time(line, event->retired_us);
    }
    igt_buffer_add_text(line, ",\"jobs\":[");
}

/* ---- the verb ----------------------------------------------------------- */

static enum ingot_status show_job(struct show *show, const struct ingot_job *job,
                                  struct ingot_error *err)
{
    struct ingot_page *chain = NULL;
    enum ingot_status status = ingot_store_history(show->reader.store, &show->reader.toolkit,
                                                   &job->event_id, job->number, &chain, err);
    if (status)
        return status;
    igt_cli_progress_clear(&show->reader.progress);
    if (show->form == IGT_FORM_JSON) {
        encode_job(&show->line, job, chain);
        status = igt_cli_write_json(&show->line, err);
    } else {
        status = write_job(show, job, chain, err);
    }
    ingot_page_destroy(chain);
    if (!status && igt_cli_progress(&show->reader.progress, job->number, 0))
        status = ingot_error_set(err, INGOT_CLOSED, "stopped on request");
    return status;
}

/* Writes the event, and job after job, so that no more than one chain is in memory. */
static enum ingot_status show_event(struct show *show, struct ingot_error *err)
{
    const struct ingot_event *event = &show->page->events[0];
    int is_first = 1;
    if (show->form == IGT_FORM_JSON)
        encode_event(&show->line, event);
    else
        write_event(show, event);
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < event->job_count && !status && !ferror(stdout); i++) {
        if (show->job != ALL_JOBS && show->job != event->jobs[i].number)
            continue;
        if (show->form == IGT_FORM_JSON && !is_first)
            igt_buffer_add_text(&show->line, ",");
        is_first = 0;
        status = show_job(show, &event->jobs[i], err);
    }
    if (!status && show->no_memory)
        status = ingot_error_set(err, INGOT_NOMEM, "memory ran out while writing");
    if (!status && show->form == IGT_FORM_JSON) {
        igt_buffer_add_text(&show->line, "]}");
        status = igt_cli_write_json_line(&show->line, err);
    }
    return status;
}

int igt_verb_show(const struct igt_cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{0}};
    struct show show = {.form = cli->form};
    struct target target;
    struct ingot_error err = {0};
    if (getopt_long(argc, argv, "", options, NULL) != -1 || optind + 1 != argc)
        return igt_cli_usage("show");
    if (parse_target(argv[optind], &target, &err) != INGOT_OK) {
        igt_cli_complain("show: \"%s\" names nothing: %s", argv[optind], err.message);
        return IGT_EXIT_USAGE;
    }
    int code = igt_cli_open(cli, NULL, &show.reader);
    if (code)
        return code;
    enum ingot_status status = read_target(&show, &target, &err);
    int is_missing = status == INGOT_NOT_FOUND;
    if (!status)
        status = show_event(&show, &err);
    igt_cli_close(&show.reader);
    if (status)
        code = igt_cli_fail(&err);
    ingot_page_destroy(show.page);
    igt_buffer_fini(&show.line);
    return is_missing ? IGT_EXIT_NOT_SO : code;
}
