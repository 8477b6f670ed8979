/*
 * ingot emit: puts events in, through the daemon when one holds the store,
 * directly when none does. The ids are made here, so that what is sent again
 * after a broken connection is recognised and stored once.
 */
#include "cli.h"

#include "core/json.h"
#include "core/limits.h"
#include "core/model.h"
#include "core/routes.h"
#include "core/toolkit.h"
#include "daemon/config.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What one request or commit carries. */
#define BATCH_EVENTS_MAX 1000
#define BATCH_BYTES_MAX (4u << 20)

/* Of the routes that a daemon publishes. */
#define ROUTES_BYTES_MAX (1u << 20)

/* A daemon that restarts, or another emit that holds the store, is waited for this long. */
#define PATIENCE_MS 10000
#define PAUSE_MS_MAX 500

struct emitter {
    const struct igt_cli *cli;
    const char *name, *source;
    struct ingot_options options;
    struct ingot_ksuid_generator ids;
    /* through the daemon */
    CURL *curl;
    char url[192];
    struct igt_buffer answer;
    /* directly */
    struct ingot_store *store;
    struct igt_config *config; /* of -c, or NULL: then the published routes count */
    struct igt_arena *routes_arena;
    struct igt_routes routes;
    int no_way; /* the last failure was to find the daemon or to open the store */
    /* the batch that is being filled */
    struct igt_arena *arena;
    struct ingot_event *events;
    size_t event_count, bytes;
    uint64_t sent, stored, already, conflicts, jobs;
    struct igt_cli_progress progress;
};

/* ---- results ------------------------------------------------------------ */

static void count(struct emitter *emitter, const ingot_ksuid *id, enum ingot_verdict verdict,
                  size_t jobs)
{
    char text[INGOT_KSUID_TEXT_LEN + 1];
    const char *what = verdict == INGOT_STORED    ? "stored"
                       : verdict == INGOT_ALREADY ? "already there"
                                                  : "conflict";
    emitter->stored += verdict == INGOT_STORED;
    emitter->already += verdict == INGOT_ALREADY;
    emitter->conflicts += verdict == INGOT_MISMATCH;
    emitter->jobs += verdict == INGOT_STORED ? jobs : 0;
    if (emitter->cli->form != IGT_FORM_JSON)
        return;
    ingot_ksuid_format(id, text);
    printf("{\"id\":\"%s\",\"status\":\"%s\",\"jobs\":%zu}\n", text, what, jobs);
}

/* ---- through the daemon ------------------------------------------------- */

static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    struct igt_buffer *answer = context;
    if (answer->len + size * count > IGT_BODY_BYTES_MAX)
        return 0;
    igt_buffer_add(answer, data, size * count);
    return size * count;
}

/* Called by curl while it waits: Ctrl-C ends that too. */
static int on_waiting(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                      curl_off_t up_now)
{
    struct emitter *emitter = context;
    (void)total, (void)now, (void)up_total, (void)up_now;
    return igt_cli_progress(&emitter->progress, emitter->sent, 0);
}

/* One event of the answer: its status and its number of jobs. */
static enum ingot_verdict read_status(const struct igt_json *event, size_t *ret_jobs)
{
    struct igt_json_walk walk = igt_json_walk(event);
    struct igt_json key, value;
    enum ingot_verdict verdict = INGOT_PENDING;
    int64_t jobs = 0;
    while (igt_json_next(&walk, &key, &value)) {
        if (ingot_bytes_equal(key.raw, ingot_bytes_of("\"jobs\"")))
            igt_json_integer(&value, &jobs);
        else if (!ingot_bytes_equal(key.raw, ingot_bytes_of("\"status\"")))
            continue;
        else if (ingot_bytes_equal(value.raw, ingot_bytes_of("\"stored\"")))
            verdict = INGOT_STORED;
        else if (ingot_bytes_equal(value.raw, ingot_bytes_of("\"already there\"")))
            verdict = INGOT_ALREADY;
        else
            verdict = INGOT_MISMATCH;
    }
    *ret_jobs = (size_t)jobs;
    return verdict;
}

/* Reads {"events":[…]}; the events stand in the order in which they were sent. */
static enum ingot_status read_answer(struct emitter *emitter, struct ingot_error *err)
{
    struct igt_json document, key, events, event;
    struct ingot_bytes text = {emitter->answer.data, emitter->answer.len};
    size_t read = 0;
    if (!text.data || igt_json_parse(text, &document, NULL) != INGOT_OK ||
        document.kind != IGT_JSON_OBJECT)
        return ingot_error_set(err, INGOT_INVALID,
                               "emit: the daemon's answer is not what it should be");
    struct igt_json_walk walk = igt_json_walk(&document);
    while (igt_json_next(&walk, &key, &events)) {
        if (!ingot_bytes_equal(key.raw, ingot_bytes_of("\"events\"")) ||
            events.kind != IGT_JSON_ARRAY)
            continue;
        struct igt_json_walk inner = igt_json_walk(&events);
        while (read < emitter->event_count && igt_json_next(&inner, &key, &event)) {
            size_t jobs = 0;
            enum ingot_verdict verdict =
                event.kind == IGT_JSON_OBJECT ? read_status(&event, &jobs) : INGOT_PENDING;
            count(emitter, &emitter->events[read++].id, verdict, jobs);
        }
    }
    return read == emitter->event_count
               ? INGOT_OK
               : ingot_error_set(err, INGOT_INVALID, "emit: the daemon's answer lacks events");
}

/* The message of an error that the daemon sent. */
static void explain(struct emitter *emitter, long code, struct ingot_error *err)
{
    struct igt_json document, key, value;
    struct ingot_bytes text = {emitter->answer.data, emitter->answer.len};
    ingot_error_set(err, INGOT_INVALID, "emit: the daemon answered %ld", code);
    if (!text.data || igt_json_parse(text, &document, NULL) != INGOT_OK ||
        document.kind != IGT_JSON_OBJECT)
        return;
    ingot_error_set(err, INGOT_INVALID, "emit: the daemon refused it (%ld): %.*s", code,
                    (int)(text.len < 180 ? text.len : 180), (const char *)text.data);
    struct igt_json_walk walk = igt_json_walk(&document);
    while (igt_json_next(&walk, &key, &value))
        if (ingot_bytes_equal(key.raw, ingot_bytes_of("\"message\"")) &&
            value.kind == IGT_JSON_STRING && value.raw.len < 200)
            ingot_error_set(err, INGOT_INVALID, "emit: the daemon refused it: %.*s",
                            (int)value.raw.len - 2, (const char *)value.raw.data + 1);
}

/* One try. INGOT_RETRY: no answer, or one that asks to come again. */
static enum ingot_status post(struct emitter *emitter, const struct igt_buffer *body,
                              struct ingot_error *err)
{
    long code = 0;
    igt_buffer_reset(&emitter->answer);
    curl_easy_setopt(emitter->curl, CURLOPT_POSTFIELDS, body->data);
    curl_easy_setopt(emitter->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    CURLcode result = curl_easy_perform(emitter->curl);
    if (result == CURLE_ABORTED_BY_CALLBACK)
        return ingot_error_set(err, INGOT_CLOSED,
                               "emit: stopped on request; the last events may have been stored");
    if (result != CURLE_OK)
        return ingot_error_set(err, INGOT_RETRY, "emit: no answer from the daemon: %s",
                               curl_easy_strerror(result));
    curl_easy_getinfo(emitter->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == 200 || code == 409)
        return read_answer(emitter, err);
    explain(emitter, code, err);
    return code == 503 || code == 507 ? INGOT_RETRY : INGOT_INVALID;
}

static void encode(struct igt_buffer *body, const struct ingot_event *event)
{
    igt_buffer_add_text(body, "{\"id\":");
    igt_buffer_add_json_ksuid(body, &event->id);
    igt_buffer_add_text(body, ",\"source\":");
    igt_buffer_add_json_string(body, event->source);
    igt_buffer_add_text(body, ",\"name\":");
    igt_buffer_add_json_string(body, event->name);
    if (event->data.data) {
        igt_buffer_add_text(body, ",\"data\":");
        igt_buffer_add(body, event->data.data, event->data.len);
    }
    igt_buffer_add_text(body, ",\"sent_at\":");
    igt_buffer_add_json_time(body, event->sent_us);
    igt_buffer_add_text(body, "}");
}

static enum ingot_status send_to_daemon(struct emitter *emitter, struct ingot_error *err)
{
    struct igt_buffer body = {0};
    for (size_t i = 0; i < emitter->event_count; i++) {
        igt_buffer_add_text(&body, i ? "," : "[");
        encode(&body, &emitter->events[i]);
    }
    igt_buffer_add_text(&body, "]");
    enum ingot_status status = body.failed
                                   ? ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out")
                                   : post(emitter, &body, err);
    igt_buffer_fini(&body);
    return status;
}

/* ---- directly ----------------------------------------------------------- */

static enum ingot_status send_to_store(struct emitter *emitter, struct ingot_error *err)
{
    struct ingot_commit commit = {.rule = INGOT_COMMIT_EACH, .event_count = emitter->event_count};
    enum ingot_status status = INGOT_OK;
    commit.events = igt_arena_array(emitter->arena, commit.event_count, sizeof *commit.events);
    if (!commit.events)
        return ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    for (size_t i = 0; i < commit.event_count && !status; i++) {
        struct ingot_event *event = &emitter->events[i];
        if (!event->jobs)
            status = igt_routes_apply(&emitter->routes, &emitter->ids, &emitter->cli->toolkit,
                                      emitter->arena, event);
        commit.events[i] =
            (struct ingot_commit_event){.row = event, .jobs_origin = INGOT_JOBS_MADE};
    }
    if (!status)
        status = ingot_store_commit(emitter->store, &emitter->cli->toolkit, &commit, err);
    for (size_t i = 0; i < commit.event_count && !status; i++)
        count(emitter, &emitter->events[i].id, commit.events[i].verdict,
              emitter->events[i].job_count);
    return status;
}

/* The routes of a configuration, before anything is opened. */
static enum ingot_status load_config_routes(struct emitter *emitter, const char *path,
                                            struct ingot_error *err)
{
    enum ingot_status status = igt_config_load(path, &emitter->config, err);
    if (!status && igt_config_routes(emitter->config, &emitter->routes) != INGOT_OK)
        status = ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    return status;
}

/* The routes that a daemon published in the store. */
static enum ingot_status load_published_routes(struct emitter *emitter, struct ingot_error *err)
{
    emitter->routes_arena = igt_arena_create();
    char *text =
        emitter->routes_arena ? igt_arena_alloc(emitter->routes_arena, ROUTES_BYTES_MAX + 1) : NULL;
    if (!text)
        return ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    enum ingot_status status =
        ingot_store_routes(emitter->store, &emitter->cli->toolkit, text, ROUTES_BYTES_MAX + 1, err);
    if (status == INGOT_NOT_FOUND)
        return ingot_error_set(err, status,
                               "emit: nobody has said where events go: no daemon published its "
                               "routes in this store yet; start `ingot serve` once, or name a "
                               "configuration with -c");
    if (status)
        return status;
    return igt_routes_decode(ingot_bytes_of(text), emitter->routes_arena, &emitter->routes, err);
}

/* ---- which way ---------------------------------------------------------- */

static enum ingot_status connect_to_daemon(struct emitter *emitter, const char *address,
                                           struct ingot_error *err)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    emitter->curl = curl_easy_init();
    if (!headers || !emitter->curl || !(headers = curl_slist_append(headers, "Expect:")))
        return ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    snprintf(emitter->url, sizeof emitter->url, "http://%s/v1/events", address);
    curl_easy_setopt(emitter->curl, CURLOPT_URL, emitter->url);
    curl_easy_setopt(emitter->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(emitter->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(emitter->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(emitter->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(emitter->curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(emitter->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(emitter->curl, CURLOPT_WRITEDATA, &emitter->answer);
    curl_easy_setopt(emitter->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(emitter->curl, CURLOPT_XFERINFOFUNCTION, on_waiting);
    curl_easy_setopt(emitter->curl, CURLOPT_XFERINFODATA, emitter);
    curl_easy_setopt(emitter->curl, CURLOPT_PRIVATE, headers);
    return INGOT_OK;
}

static void disconnect(struct emitter *emitter)
{
    struct curl_slist *headers = NULL;
    if (emitter->curl) {
        curl_easy_getinfo(emitter->curl, CURLINFO_PRIVATE, &headers);
        curl_easy_cleanup(emitter->curl);
        curl_slist_free_all(headers);
    }
    emitter->curl = NULL;
    ingot_store_close(emitter->store);
    emitter->store = NULL;
    igt_arena_destroy(emitter->routes_arena);
    emitter->routes_arena = NULL;
}

/* Finds the daemon, or opens the store. INGOT_HELD: by somebody who takes nothing in. */
static enum ingot_status find_way(struct emitter *emitter, struct ingot_error *err)
{
    struct ingot_holder holder;
    if (ingot_options_holder(&emitter->options, &holder, NULL) == INGOT_OK) {
        if (holder.address[0])
            return connect_to_daemon(emitter, holder.address, err);
        return ingot_error_set(err, INGOT_HELD,
                               "emit: process %d holds the store and takes nothing in; try again",
                               holder.pid);
    }
    struct ingot_options options = emitter->options;
    enum ingot_status status =
        ingot_store_open(&options, &emitter->cli->toolkit, &emitter->store, err);
    return status || emitter->config ? status : load_published_routes(emitter, err);
}

static int may_pass(enum ingot_status status)
{
    return status == INGOT_RETRY || status == INGOT_HELD;
}

/* Sends the batch, by whatever way is open now; what may pass is tried again for a while. */
static enum ingot_status flush(struct emitter *emitter, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    long pause_ms = 20;
    for (long waited_ms = 0;; waited_ms += pause_ms) {
        emitter->no_way = 0;
        if (!emitter->curl && !emitter->store) {
            status = find_way(emitter, err);
            emitter->no_way = status != INGOT_OK;
        }
        if (!status)
            status = emitter->curl ? send_to_daemon(emitter, err) : send_to_store(emitter, err);
        if (!may_pass(status) || waited_ms >= PATIENCE_MS)
            break;
        disconnect(emitter); /* the next one may be another daemon, or none */
        status = INGOT_OK;
        nanosleep(&(struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000}, NULL);
        pause_ms = pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
    }
    if (status)
        return status;
    emitter->sent += emitter->event_count;
    emitter->event_count = emitter->bytes = 0;
    igt_arena_destroy(emitter->arena);
    emitter->arena = NULL;
    return igt_cli_progress(&emitter->progress, emitter->sent, 0)
               ? ingot_error_set(err, INGOT_CLOSED, "emit: stopped on request")
               : INGOT_OK;
}

/* ---- the events --------------------------------------------------------- */

/* Adds an event with this data; the bytes are copied. */
static enum ingot_status add(struct emitter *emitter, struct ingot_bytes data,
                             struct ingot_error *err)
{
    struct igt_json value = {0};
    struct ingot_error detail = {0};
    if (data.data && igt_json_parse(data, &value, &detail) != INGOT_OK)
        return ingot_error_set(err, INGOT_INVALID, "emit: the data is not JSON: %.200s",
                               detail.message);
    if (!emitter->arena) {
        emitter->arena = igt_arena_create();
        emitter->events = emitter->arena ? igt_arena_array(emitter->arena, BATCH_EVENTS_MAX,
                                                           sizeof *emitter->events)
                                         : NULL;
        if (!emitter->events)
            return ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    }
    struct ingot_event *event = &emitter->events[emitter->event_count];
    *event = (struct ingot_event){
        .source = ingot_bytes_of(emitter->source),
        .name = ingot_bytes_of(emitter->name),
        .data = igt_arena_copy(emitter->arena, value.raw), /* as the gateway would keep it */
        .sent_us = igt_now_us(&emitter->cli->toolkit),
        .received_us = igt_now_us(&emitter->cli->toolkit),
        .ingested_us = INGOT_NO_TIME,
        .retired_us = INGOT_NO_TIME,
    };
    if (data.data && !event->data.data)
        return ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    ingot_ksuid_generate(&emitter->ids, &emitter->cli->toolkit, &event->id);
    if (ingot_event_validate(event, &emitter->cli->toolkit, "Event", err) != INGOT_OK)
        return INGOT_INVALID;
    emitter->event_count++;
    emitter->bytes += data.len + 256;
    if (emitter->event_count == BATCH_EVENTS_MAX || emitter->bytes > BATCH_BYTES_MAX)
        return flush(emitter, err);
    return INGOT_OK;
}

static enum ingot_status unreadable(struct ingot_error *err)
{
    if (errno == EINTR)
        return ingot_error_set(err, INGOT_CLOSED, "emit: stopped on request");
    return ingot_error_set(err, INGOT_INVALID, "emit: could not read: %s", strerror(errno));
}

/* Every line of a file is the data of an event; empty lines are passed over. */
static enum ingot_status add_lines(struct emitter *emitter, FILE *file, struct ingot_error *err)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    enum ingot_status status = INGOT_OK;
    for (unsigned long number = 1; !status && (len = getline(&line, &size, file)) >= 0; number++) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0)
            continue;
        status = add(emitter, (struct ingot_bytes){line, (size_t)len}, err);
        if (status == INGOT_INVALID) {
            char message[sizeof err->message];
            snprintf(message, sizeof message, "%s", err->message);
            ingot_error_set(err, status, "line %lu: %.200s", number, message);
        }
    }
    if (!status && ferror(file))
        status = unreadable(err);
    free(line);
    return status;
}

static enum ingot_status add_file(struct emitter *emitter, FILE *file, struct ingot_error *err)
{
    struct igt_buffer text = {0};
    char part[65536];
    size_t len;
    while ((len = fread(part, 1, sizeof part, file)) > 0 && text.len <= IGT_PAYLOAD_BYTES_MAX)
        igt_buffer_add(&text, part, len);
    enum ingot_status status = INGOT_OK;
    if (ferror(file))
        status = unreadable(err);
    else if (text.failed)
        status = ingot_error_set(err, INGOT_NOMEM, "emit: memory ran out");
    else
        status = add(emitter, (struct ingot_bytes){text.data ? text.data : "", text.len}, err);
    igt_buffer_fini(&text);
    return status;
}

/* Adds what -d names: JSON, @FILE, or - for standard input. */
static enum ingot_status add_data(struct emitter *emitter, const char *data, int lines,
                                  struct ingot_error *err)
{
    FILE *file = NULL;
    if (data && strcmp(data, "-") == 0) {
        file = stdin;
    } else if (data && data[0] == '@') {
        file = fopen(data + 1, "re");
        if (!file)
            return ingot_error_set(err, INGOT_INVALID, "emit: could not open %s: %s", data + 1,
                                   strerror(errno));
    }
    enum ingot_status status;
    if (file)
        status = lines ? add_lines(emitter, file, err) : add_file(emitter, file, err);
    else
        status = add(emitter, ingot_bytes_of(data), err);
    if (file && file != stdin)
        fclose(file);
    if (!status && emitter->event_count)
        status = flush(emitter, err);
    return status;
}

static void print_summary(const struct emitter *emitter)
{
    if (emitter->cli->form == IGT_FORM_JSON)
        return;
    printf("%llu events stored, %llu jobs", (unsigned long long)emitter->stored,
           (unsigned long long)emitter->jobs);
    if (emitter->already)
        printf(", %llu were there already", (unsigned long long)emitter->already);
    if (emitter->conflicts)
        printf(", %llu in conflict", (unsigned long long)emitter->conflicts);
    printf("\n");
}

static int run(struct emitter *emitter, const char *data, int lines)
{
    struct ingot_error err = {0};
    igt_cli_progress_begin(&emitter->progress, "events sent");
    enum ingot_status status = add_data(emitter, data, lines, &err);
    igt_cli_progress_end(&emitter->progress);
    disconnect(emitter);
    igt_buffer_fini(&emitter->answer);
    igt_arena_destroy(emitter->arena);
    igt_config_destroy(emitter->config);
    if (status && emitter->sent)
        fprintf(stderr, "%llu events were stored before the error\n",
                (unsigned long long)(emitter->stored + emitter->already));
    if (status) {
        int code = igt_cli_fail(&err);
        int refused = status == INGOT_INVALID || status == INGOT_LIMIT;
        return refused && !emitter->no_way ? IGT_EXIT_USAGE : code;
    }
    print_summary(emitter);
    return emitter->conflicts ? IGT_EXIT_NOT_SO : IGT_EXIT_DONE;
}

int igt_verb_emit(const struct igt_cli *cli, int argc, char **argv)
{
    enum { NDJSON = 256 };
    static const struct option options[] = {{"source", required_argument, NULL, 's'},
                                            {"data", required_argument, NULL, 'd'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"ndjson", no_argument, NULL, NDJSON},
                                            {0}};
    struct emitter emitter = {.cli = cli, .source = "cli"};
    struct ingot_error err = {0};
    const char *data = NULL, *config_path = NULL;
    int option, lines = 0;
    while ((option = getopt_long(argc, argv, "s:d:c:", options, NULL)) != -1) {
        switch (option) {
        case 's':
            emitter.source = optarg;
            break;
        case 'd':
            data = optarg;
            break;
        case 'c':
            config_path = optarg;
            break;
        case NDJSON:
            lines = 1;
            break;
        default:
            return igt_cli_usage("emit");
        }
    }
    if (optind + 1 != argc)
        return igt_cli_usage("emit");
    emitter.name = argv[optind];
    if (lines && !data)
        data = "-";
    if (ingot_options_from_url(cli->store_url, &emitter.options, &err) != INGOT_OK ||
        (config_path && load_config_routes(&emitter, config_path, &err) != INGOT_OK)) {
        igt_cli_print_error(&err);
        return IGT_EXIT_USAGE;
    }
    ingot_ksuid_generator_init(&emitter.ids);
    return run(&emitter, data, lines);
}
