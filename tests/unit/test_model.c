/* Events, jobs and transitions as JSON and back, and the jobs in an event's row. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ingot/adapter.h>

#include "../json/cases.h"
#include "core/instant.h"
#include "core/limits.h"
#include "core/model.h"
#include "store/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_ID "1UYc8EebLqCAFMOSkbYZdJwNLAJ"
#define JOB_ID "1UYc8EebLqCAFMOSkbYZdJwNLAK"
#define TRANSITION_ID "1UYc8EebLqCAFMOSkbYZdJwNLAL"
#define OCTOBER_US INT64_C(1604063994032384)
#define OCTOBER "2020-10-30T13:19:54.032384Z"

static ingot_ksuid ksuid(const char *text)
{
    ingot_ksuid id;
    assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &id, NULL), INGOT_OK);
    return id;
}

static struct ingot_event plain_event(void)
{
    return (struct ingot_event){.id = ksuid(EVENT_ID),
                                .source = ingot_bytes_of("shop"),
                                .name = ingot_bytes_of("user.created"),
                                .sent_us = INGOT_NO_TIME,
                                .received_us = OCTOBER_US,
                                .ingested_us = INGOT_NO_TIME,
                                .retired_us = INGOT_NO_TIME};
}

static struct ingot_transition birth(void)
{
    return (struct ingot_transition){.id = ksuid(TRANSITION_ID),
                                     .state_after = INGOT_STATE_ACKNOWLEDGED,
                                     .due_us = INGOT_NO_TIME,
                                     .created_us = OCTOBER_US};
}

static struct ingot_job plain_job(void)
{
    return (struct ingot_job){.id = ksuid(JOB_ID),
                              .event_id = ksuid(EVENT_ID),
                              .destination = ingot_bytes_of("billing"),
                              .event = ingot_bytes_of("*"),
                              .due_us = INGOT_NO_TIME,
                              .created_us = OCTOBER_US,
                              .latest = birth()};
}

#define TRANSITION_JSON                                                                            \
    "{\"id\":\"" TRANSITION_ID "\",\"attempt\":0,\"state_before\":null,"                           \
    "\"state_after\":\"acknowledged\",\"created_at\":\"" OCTOBER "\"}"
#define JOB_JSON                                                                                   \
    "{\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\","                          \
    "\"transitions\":[" TRANSITION_JSON "],\"created_at\":\"" OCTOBER "\"}"

static void assert_written(struct igt_buffer *buffer, const char *expected)
{
    assert_false(buffer->failed);
    assert_string_equal(buffer->data, expected);
    igt_buffer_fini(buffer);
}

/* ---- writing ------------------------------------------------------------ */

static void rows_23_to_34_an_event_leaves_out_what_the_specification_lets_be_absent(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_event event = plain_event();
    igt_event_encode(&buffer, &event, IGT_PAYLOAD_INLINE);
    assert_written(&buffer, "{\"id\":\"" EVENT_ID "\",\"source\":\"shop\",\"name\":"
                            "\"user.created\",\"context\":null,\"data\":null,"
                            "\"received_at\":\"" OCTOBER "\"}");
}

static void rows_19_to_36_an_event_has_the_keys_of_the_specification_in_its_order(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_event event = plain_event();
    struct ingot_job jobs[] = {plain_job(), plain_job()};
    jobs[1].context = ingot_bytes_of("[1, 2]");
    jobs[1].data = ingot_bytes_of("null");
    event.source = ingot_bytes_of("a \"b\"\n");
    event.context = ingot_bytes_of("{\"ip\" :1}");
    event.data = ingot_bytes_of("\"\\u0041\"");
    event.jobs = jobs;
    event.job_count = 2;
    event.sent_us = OCTOBER_US - 1;
    event.ingested_us = OCTOBER_US + 1;
    igt_event_encode(&buffer, &event, IGT_PAYLOAD_INLINE);
    assert_written(&buffer,
                   "{\"id\":\"" EVENT_ID "\",\"source\":\"a \\\"b\\\"\\n\",\"name\":"
                   "\"user.created\",\"context\":{\"ip\" :1},\"data\":\"\\u0041\","
                   "\"jobs\":[" JOB_JSON ",{\"id\":\"" JOB_ID "\",\"destination\":\"billing\","
                   "\"event\":\"*\",\"context\":[1, 2],\"data\":null,"
                   "\"transitions\":[" TRANSITION_JSON "],\"created_at\":\"" OCTOBER "\"}],"
                   "\"sent_at\":\"2020-10-30T13:19:54.032383Z\","
                   "\"received_at\":\"" OCTOBER "\","
                   "\"ingested_at\":\"2020-10-30T13:19:54.032385Z\"}");
}

static void rows_59_to_65_a_transition_names_its_states_and_its_error(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_transition transition = birth();
    igt_transition_encode(&buffer, &transition);
    assert_written(&buffer, TRANSITION_JSON);
    transition.attempt = 65535;
    transition.state_before = INGOT_STATE_EXECUTING;
    transition.state_after = INGOT_STATE_FAILED;
    transition.error = ingot_bytes_of("{\"message\":\"no\"}");
    igt_transition_encode(&buffer, &transition);
    assert_written(&buffer, "{\"id\":\"" TRANSITION_ID "\",\"attempt\":65535,\"state_before\":"
                            "\"executing\",\"state_after\":\"failed\",\"error\":{\"message\":"
                            "\"no\"},\"created_at\":\"" OCTOBER "\"}");
}

static void rows_37_38_66_and_67_ids_that_are_not_for_an_api_are_never_written(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_job job = plain_job();
    job.parent_job_id = ksuid("1UYc8EebLqCAFMOSkbYZdJwNLAM");
    job.latest.event_id = ksuid(EVENT_ID);
    job.latest.job_id = ksuid(JOB_ID);
    job.latest.owner = ksuid("1UYc8EebLqCAFMOSkbYZdJwNLAM");
    igt_job_encode(&buffer, &job, IGT_PAYLOAD_INLINE);
    assert_written(&buffer, JOB_JSON);
}

static void row_35_a_job_that_was_not_read_has_null_for_its_transition(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_job job = plain_job();
    memset(&job.latest, 0, sizeof job.latest);
    igt_job_encode(&buffer, &job, IGT_PAYLOAD_INLINE);
    assert_written(&buffer, "{\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\","
                            "\"transitions\":[null],\"created_at\":\"" OCTOBER "\"}");
}

static void rows_23_and_24_base64_is_padded_as_go_writes_bytes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"1", "\"MQ==\""},
        {"12", "\"MTI=\""},
        {"123", "\"MTIz\""},
        {"1234", "\"MTIzNA==\""},
        {"\"\xc3\xbf\xc3\xbe>?\"", "\"IsO/w74+PyI=\""},
        {"null", "\"bnVsbA==\""},
        {NULL, "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct igt_buffer buffer = {0};
        struct ingot_event event = plain_event();
        char expected[256];
        event.data = ingot_bytes_of(cases[i][0]);
        igt_event_encode(&buffer, &event, IGT_PAYLOAD_BASE64);
        snprintf(expected, sizeof expected,
                 "{\"id\":\"" EVENT_ID "\",\"source\":\"shop\",\"name\":\"user.created\","
                 "\"context\":null,\"data\":%s,\"received_at\":\"" OCTOBER "\"}",
                 cases[i][1]);
        assert_written(&buffer, expected);
    }
    struct igt_buffer buffer = {0};
    struct ingot_job job = plain_job();
    job.context = ingot_bytes_of("{}");
    igt_job_encode(&buffer, &job, IGT_PAYLOAD_BASE64);
    assert_non_null(strstr(buffer.data, ",\"context\":\"e30=\",\"transitions\":"));
    assert_null(strstr(buffer.data, "\"data\""));
    igt_buffer_fini(&buffer);
}

static void row_49_a_queue_without_events_is_an_empty_object(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_event events[] = {plain_event(), plain_event()};
    struct ingot_queue queue = {events, 0};
    igt_queue_encode(&buffer, &queue, IGT_PAYLOAD_INLINE);
    assert_written(&buffer, "{}");
    queue.event_count = 2;
    igt_queue_encode(&buffer, &queue, IGT_PAYLOAD_INLINE);
    assert_memory_equal(buffer.data, "{\"events\":[{\"id\":", 17);
    assert_non_null(strstr(buffer.data, "\"},{\"id\":"));
    assert_string_equal(buffer.data + buffer.len - 4, "\"}]}");
    igt_buffer_fini(&buffer);
}

static void a_delivery_has_the_job_s_own_payload_in_place_of_the_event_s(void **state)
{
    (void)state;
    struct igt_buffer buffer = {0};
    struct ingot_event event = plain_event();
    struct ingot_job job = plain_job();
    event.context = ingot_bytes_of("{\"of\":\"event\"}");
    event.data = ingot_bytes_of("[1]");
    event.sent_us = OCTOBER_US;
    job.context = ingot_bytes_of("{\"of\":\"job\"}");
    igt_delivery_encode(&buffer, &event, &job);
    assert_written(&buffer,
                   "{\"id\":\"" EVENT_ID "\",\"source\":\"shop\",\"name\":\"user.created\","
                   "\"context\":{\"of\":\"job\"},\"data\":[1],\"sent_at\":\"" OCTOBER "\","
                   "\"received_at\":\"" OCTOBER "\",\"job\":{\"id\":\"" JOB_ID "\","
                   "\"destination\":\"billing\",\"event\":\"*\"}}");
    event = plain_event();
    job = plain_job();
    job.data = ingot_bytes_of("null");
    igt_delivery_encode(&buffer, &event, &job);
    assert_written(&buffer,
                   "{\"id\":\"" EVENT_ID "\",\"source\":\"shop\",\"name\":\"user.created\","
                   "\"context\":null,\"data\":null,\"received_at\":\"" OCTOBER "\",\"job\":"
                   "{\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\"}}");
}

static void a_delivery_is_the_same_at_every_attempt(void **state)
{
    (void)state;
    struct igt_buffer first = {0}, later = {0};
    struct ingot_event event = plain_event();
    struct ingot_job job = plain_job();
    igt_delivery_encode(&first, &event, &job);
    event.ingested_us = OCTOBER_US + 5;
    job.created_us = OCTOBER_US + 5;
    job.due_us = OCTOBER_US + 6;
    job.latest.attempt = 9;
    job.latest.seq = 27;
    job.latest.state_after = INGOT_STATE_EXECUTING;
    job.latest.created_us += 100;
    igt_delivery_encode(&later, &event, &job);
    assert_string_equal(first.data, later.data);
    igt_buffer_fini(&first);
    igt_buffer_fini(&later);
}

static void row_60_a_transition_s_id_is_made_of_its_key_and_its_second(void **state)
{
    (void)state;
    static const struct {
        int64_t at_us;
        uint32_t job, seq;
        uint8_t seconds[4], numbers[4];
    } cases[] = {
        {(INGOT_KSUID_EPOCH + INT64_C(0x01020304)) * 1000000 + 999999,
         0x0506,
         0x0708,
         {1, 2, 3, 4},
         {5, 6, 7, 8}},
        {INGOT_KSUID_EPOCH * INT64_C(1000000), 0, 0, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {INGOT_KSUID_EPOCH * INT64_C(1000000) - 1, 65535, 1, {0, 0, 0, 0}, {255, 255, 0, 1}},
        {0, 0, 65535, {0, 0, 0, 0}, {0, 0, 255, 255}},
        {-1, 1, 2, {0, 0, 0, 0}, {0, 1, 0, 2}},
        {INT64_MIN, 1, 2, {0, 0, 0, 0}, {0, 1, 0, 2}},
        {(INGOT_KSUID_EPOCH + INT64_C(0xffffffff)) * 1000000,
         1,
         2,
         {255, 255, 255, 255},
         {0, 1, 0, 2}},
        {(INGOT_KSUID_EPOCH + INT64_C(0x100000000)) * 1000000,
         1,
         2,
         {255, 255, 255, 255},
         {0, 1, 0, 2}},
        {INT64_MAX, 1, 2, {255, 255, 255, 255}, {0, 1, 0, 2}},
    };
    ingot_ksuid event_id = ksuid(EVENT_ID), id;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        igt_transition_id(&event_id, cases[i].job, cases[i].seq, cases[i].at_us, &id);
        assert_memory_equal(id.bytes, cases[i].seconds, 4);
        assert_memory_equal(id.bytes + 4, event_id.bytes + 4, 12);
        assert_memory_equal(id.bytes + 16, cases[i].numbers, 4);
    }
}

/* ---- reading ------------------------------------------------------------ */

struct fixture {
    struct igt_arena *arena;
    struct ingot_event event;
    struct ingot_queue queue;
    struct ingot_error err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->arena = igt_arena_create();
    *state = fixture;
    return fixture->arena ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    igt_arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

static struct igt_json parsed(const char *text)
{
    struct igt_json value;
    struct ingot_error err = {0};
    if (igt_json_parse(ingot_bytes_of(text), &value, &err) != INGOT_OK)
        fail_msg("%s: %s", text, err.message);
    return value;
}

static enum ingot_status decode(struct fixture *fixture, enum igt_decode_source source,
                                const char *text)
{
    struct igt_json value = parsed(text);
    ingot_error_clear(&fixture->err);
    return igt_event_decode(&value, source, "Event", fixture->arena, &fixture->event,
                            &fixture->err);
}

static enum ingot_status decode_queue(struct fixture *fixture, const char *text)
{
    struct igt_json value = parsed(text);
    ingot_error_clear(&fixture->err);
    return igt_queue_decode(&value, fixture->arena, &fixture->queue, &fixture->err);
}

static void assert_text(struct ingot_bytes bytes, const char *expected)
{
    assert_int_equal(!bytes.data, !expected);
    assert_true(ingot_bytes_equal(bytes, ingot_bytes_of(expected)));
}

static void a_source_s_event_is_read(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, IGT_DECODE_SOURCE,
                            "{\"id\":\"" EVENT_ID "\",\"source\":\"sh\\u006fp\",\"name\":\"x.y\","
                            "\"context\":{\"a\" : [1]},\"\\u0064ata\":\"d\","
                            "\"sent_at\":\"2020-10-30T14:19:54.032384+01:00\"}"),
                     INGOT_OK);
    const struct ingot_event *event = &fixture->event;
    ingot_ksuid id = ksuid(EVENT_ID);
    assert_int_equal(ingot_ksuid_compare(&event->id, &id), 0);
    assert_text(event->source, "shop");
    assert_text(event->name, "x.y");
    assert_text(event->context, "{\"a\" : [1]}");
    assert_text(event->data, "\"d\"");
    assert_true(event->sent_us == OCTOBER_US);
    assert_true(event->received_us == INGOT_NO_TIME);
    assert_true(event->ingested_us == INGOT_NO_TIME);
    assert_true(event->retired_us == INGOT_NO_TIME);
    assert_int_equal(event->job_count, 0);
    assert_int_equal(fixture->err.status, INGOT_OK);
    assert_string_equal(fixture->err.event_id, "");
}

static void an_absent_key_and_null_are_kept_apart_in_a_source_s_payload(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, IGT_DECODE_SOURCE,
                            "{\"id\":null,\"source\":null,\"name\":null,\"data\":null,"
                            "\"sent_at\":null}"),
                     INGOT_OK);
    assert_true(ingot_ksuid_is_none(&fixture->event.id));
    assert_null(fixture->event.source.data);
    assert_null(fixture->event.name.data);
    assert_null(fixture->event.context.data);
    assert_text(fixture->event.data, "null");
    assert_true(fixture->event.sent_us == INGOT_NO_TIME);
    assert_int_equal(decode(fixture, IGT_DECODE_SOURCE, "{}"), INGOT_OK);
    assert_null(fixture->event.data.data);
}

static void a_source_s_received_at_is_ignored_whatever_it_is(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"{\"received_at\":\"" OCTOBER "\"}",
                                        "{\"received_at\":\"yesterday\"}", "{\"received_at\":null}",
                                        "{\"received_at\":[{}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(decode(fixture, IGT_DECODE_SOURCE, texts[i]), INGOT_OK);
        assert_true(fixture->event.received_us == INGOT_NO_TIME);
    }
}

/* Each text has one problem. A message that ends with a space goes on with a parser's reason. */
struct refusal {
    const char *text, *path, *message;
};

static void assert_refused(const struct fixture *fixture, const struct refusal *refusal)
{
    const struct ingot_validation *validation = fixture->err.validations;
    assert_int_equal(fixture->err.validation_count, 1);
    assert_string_equal(validation->path, refusal->path);
    size_t len = strlen(refusal->message);
    if (refusal->message[len - 1] != ' ')
        assert_string_equal(validation->message, refusal->message);
    assert_memory_equal(validation->message, refusal->message, len);
    assert_true(validation->message[0] && strlen(validation->message) >= len);
}

static void what_a_source_may_not_send_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    static const struct refusal refusals[] = {
        {"[]", "Event", "must be an object"},
        {"null", "Event", "must be an object"},
        {"\"x\"", "Event", "must be an object"},
        {"{\"nmae\":1}", "Event/nmae", "unknown field"},
        {"{\"ID\":\"" EVENT_ID "\"}", "Event/ID", "unknown field"},
        {"{\"\":1}", "Event/", "unknown field"},
        {"{\"a\\nb\":null}", "Event/a\\nb", "unknown field"},
        {"{\"jobs\":[]}", "Event/Jobs", "is set by Ingot and cannot be given"},
        {"{\"jobs\":null}", "Event/Jobs", "is set by Ingot and cannot be given"},
        {"{\"ingested_at\":\"" OCTOBER "\"}", "Event/IngestedAt",
         "is set by Ingot and cannot be given"},
        {"{\"id\":\"\"}", "Event/ID", "must be a valid KSUID: "},
        {"{\"id\":\"" EVENT_ID "x\"}", "Event/ID", "must be a valid KSUID: "},
        {"{\"id\":\"aWgEPTl1tmebfsQzFP4bxwgy80W\"}", "Event/ID", "must be a valid KSUID: "},
        {"{\"id\":\"000000000000000000000000000\"}", "Event/ID",
         "must be a valid KSUID: all zero means none"},
        {"{\"id\":1}", "Event/ID", "must be a string"},
        {"{\"source\":1}", "Event/Source", "must be a string"},
        {"{\"name\":[\"x\"]}", "Event/Name", "must be a string"},
        {"{\"name\":true}", "Event/Name", "must be a string"},
        {"{\"sent_at\":1604063994}", "Event/SentAt", "must be a string"},
        {"{\"sent_at\":\"yesterday\"}", "Event/SentAt", "must be a time of RFC 3339: "},
        {"{\"sent_at\":\"\"}", "Event/SentAt", "must be a time of RFC 3339: "},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        assert_int_equal(decode(fixture, IGT_DECODE_SOURCE, refusals[i].text), INGOT_INVALID);
        assert_int_equal(fixture->err.status, INGOT_INVALID);
        assert_string_equal(fixture->err.message, "the event is not acceptable: 1 problem");
        assert_refused(fixture, &refusals[i]);
    }
}

static void all_problems_of_an_event_are_collected(void **state)
{
    struct fixture *fixture = *state;
    memset(&fixture->event, 0x55, sizeof fixture->event);
    struct ingot_event before = fixture->event;
    assert_int_equal(decode(fixture, IGT_DECODE_SOURCE,
                            "{\"source\":1,\"x\":2,\"id\":\"" EVENT_ID "\",\"sent_at\":false}"),
                     INGOT_INVALID);
    assert_string_equal(fixture->err.message, "the event is not acceptable: 3 problems");
    assert_int_equal(fixture->err.validation_count, 3);
    assert_string_equal(fixture->err.validations[0].path, "Event/Source");
    assert_string_equal(fixture->err.validations[1].path, "Event/x");
    assert_string_equal(fixture->err.validations[2].path, "Event/SentAt");
    assert_string_equal(fixture->err.event_id, EVENT_ID);
    assert_memory_equal(&fixture->event, &before, sizeof before);

    struct igt_json value = parsed("{\"source\":1}");
    assert_int_equal(
        igt_event_decode(&value, IGT_DECODE_SOURCE, "E", fixture->arena, &fixture->event, NULL),
        INGOT_INVALID);
    assert_int_equal(decode(fixture, IGT_DECODE_SOURCE, "{\"id\":\"x\",\"source\":1}"),
                     INGOT_INVALID);
    assert_string_equal(fixture->err.event_id, "");
}

#define QUEUE(event) "{\"events\":[{},{},{}," event "]}"
#define JOB(job) QUEUE("{\"jobs\":[" job "]}")
#define BIRTH(transition) JOB("{\"transitions\":[" transition "]}")

static void what_a_queue_may_not_hold_is_refused_with_its_place(void **state)
{
    struct fixture *fixture = *state;
    static const struct refusal refusals[] = {
        {"[]", "Queue", "must be an object"},
        {"{\"event\":[]}", "Queue/event", "unknown field"},
        {"{\"events\":{}}", "Queue/Events", "must be an array"},
        {"{\"events\":[null]}", "Queue/Events[0]", "must be an object"},
        {QUEUE("{\"id\":\"x\"}"), "Queue/Events[3]/ID", "must be a valid KSUID: "},
        {QUEUE("{\"epoch\":1}"), "Queue/Events[3]/epoch", "unknown field"},
        {QUEUE("{\"received_at\":1}"), "Queue/Events[3]/ReceivedAt", "must be a string"},
        {QUEUE("{\"ingested_at\":\"x\"}"), "Queue/Events[3]/IngestedAt",
         "must be a time of RFC 3339: "},
        {QUEUE("{\"jobs\":{}}"), "Queue/Events[3]/Jobs", "must be an array"},
        {JOB("1"), "Queue/Events[3]/Jobs[0]", "must be an object"},
        {JOB("{},{\"id\":\"x\"}"), "Queue/Events[3]/Jobs[1]/ID", "must be a valid KSUID: "},
        {JOB("{\"destination\":1}"), "Queue/Events[3]/Jobs[0]/Destination", "must be a string"},
        {JOB("{\"event\":{}}"), "Queue/Events[3]/Jobs[0]/Event", "must be a string"},
        {JOB("{\"event_id\":\"" EVENT_ID "\"}"), "Queue/Events[3]/Jobs[0]/event_id",
         "unknown field"},
        {JOB("{\"parent_job_id\":null}"), "Queue/Events[3]/Jobs[0]/parent_job_id", "unknown field"},
        {JOB("{\"created_at\":\"x\"}"), "Queue/Events[3]/Jobs[0]/CreatedAt",
         "must be a time of RFC 3339: "},
        {JOB("{\"transitions\":{}}"), "Queue/Events[3]/Jobs[0]/Transitions",
         "must be an array of one element"},
        {JOB("{\"transitions\":[]}"), "Queue/Events[3]/Jobs[0]/Transitions",
         "must be an array of one element"},
        {JOB("{\"transitions\":[null,null]}"), "Queue/Events[3]/Jobs[0]/Transitions",
         "must be an array of one element"},
        {BIRTH("7"), "Queue/Events[3]/Jobs[0]/Transitions[0]", "must be an object"},
        {BIRTH("{}"), "Queue/Events[3]/Jobs[0]/Transitions[0]/StateAfter",
         "must be acknowledged or awaiting at a job's birth"},
        {BIRTH("{\"state_after\":\"executing\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/StateAfter",
         "must be acknowledged or awaiting at a job's birth"},
        {BIRTH("{\"state_after\":\"Acknowledged\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/StateAfter", "is not a state"},
        {BIRTH("{\"state_after\":1}"), "Queue/Events[3]/Jobs[0]/Transitions[0]/StateAfter",
         "must be a string"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"state_before\":\"failed\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/StateBefore", "must be null at a job's birth"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"attempt\":1}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/Attempt", "must be 0 at a job's birth"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"attempt\":65536}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/Attempt", "must be an integer from 0 to 65535"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"attempt\":-1}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/Attempt", "must be an integer from 0 to 65535"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"attempt\":\"0\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/Attempt", "must be an integer from 0 to 65535"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"error\":{}}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/Error", "must be absent at a job's birth"},
        {BIRTH("{\"state_after\":\"acknowledged\",\"job_id\":\"" JOB_ID "\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/job_id", "unknown field"},
        {BIRTH("{\"state_after\":\"awaiting\"}"),
         "Queue/Events[3]/Jobs[0]/Transitions[0]/CreatedAt", "must be given for a job that awaits"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        assert_int_equal(decode_queue(fixture, refusals[i].text), INGOT_INVALID);
        assert_string_equal(fixture->err.message, "the queue is not acceptable: 1 problem");
        assert_refused(fixture, &refusals[i]);
    }
}

static void an_empty_queue_may_be_written_in_four_ways(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"null", "{}", "{\"events\":null}", "{\"events\":[]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fixture->queue.event_count = 7;
        assert_int_equal(decode_queue(fixture, texts[i]), INGOT_OK);
        assert_int_equal(fixture->queue.event_count, 0);
    }
}

static void null_is_absent_in_a_queue_but_in_a_job_s_payload(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode_queue(fixture,
                                  "{\"events\":[{\"id\":null,\"context\":null,\"data\":null,"
                                  "\"ingested_at\":null,\"jobs\":null},"
                                  "{\"jobs\":[{\"data\":null,\"transitions\":null},"
                                  "{\"transitions\":[null]},{\"transitions\":[{\"state_after\":"
                                  "\"acknowledged\",\"state_before\":null,\"error\":null}]}]}]}"),
                     INGOT_OK);
    assert_int_equal(fixture->queue.event_count, 2);
    assert_null(fixture->queue.events[0].context.data);
    assert_null(fixture->queue.events[0].data.data);
    assert_int_equal(fixture->queue.events[0].job_count, 0);
    assert_int_equal(fixture->queue.events[1].job_count, 3);
    const struct ingot_job *jobs = fixture->queue.events[1].jobs;
    assert_null(jobs[0].context.data);
    assert_text(jobs[0].data, "null");
    assert_int_equal(jobs[0].latest.state_after, INGOT_STATE_NONE);
    assert_int_equal(jobs[1].latest.state_after, INGOT_STATE_NONE);
    assert_int_equal(jobs[2].latest.state_after, INGOT_STATE_ACKNOWLEDGED);
    assert_null(jobs[2].latest.error.data);
}

static void a_job_that_is_born_awaiting_is_due_when_it_was_born(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode_queue(fixture,
                                  "{\"events\":[{\"jobs\":[{\"transitions\":[{\"state_after\":"
                                  "\"awaiting\",\"created_at\":\"2020-10-30T13:19:55Z\"}]},"
                                  "{\"transitions\":[{\"state_after\":\"awaiting\"}]},"
                                  "{\"transitions\":[{\"state_after\":\"acknowledged\"}]}],"
                                  "\"received_at\":\"2020-10-30T13:19:54Z\"}]}"),
                     INGOT_OK);
    const struct ingot_job *jobs = fixture->queue.events[0].jobs;
    assert_true(jobs[0].due_us == INT64_C(1604063995000000));
    assert_true(jobs[1].due_us == INT64_C(1604063994000000));
    assert_true(jobs[2].due_us == INGOT_NO_TIME);
    assert_int_equal(jobs[1].number, 1);
}

/* ---- there and back ----------------------------------------------------- */

/* A pseudo-random sequence that is the same at every run (xorshift64). */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static ingot_ksuid random_ksuid(uint64_t *seed)
{
    ingot_ksuid id;
    for (size_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t)(next_random(seed) >> 8);
    return id;
}

static struct ingot_bytes random_text(uint64_t *seed, struct igt_arena *arena)
{
    static const char *const pieces[] = {"a",  "B",    "7",    ".", "\"",       "\\",
                                         "\n", "\x01", "\x7f", "/", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    char text[128] = "";
    for (size_t i = next_random(seed) % 20; i > 0; i--)
        strncat(text, pieces[next_random(seed) % 12], sizeof text - strlen(text) - 1);
    return igt_arena_copy(arena, ingot_bytes_of(text));
}

/* Not null, which a queue message cannot tell from absent. */
static struct ingot_bytes random_payload(uint64_t *seed)
{
    static const char *const payloads[] = {NULL,
                                           NULL,
                                           "{}",
                                           "[]",
                                           "0",
                                           "true",
                                           "\"\\u00e9 \xc3\xa9\\n\"",
                                           "{ \"a\" : [1.50, -0e1, null],\n\"b\":{\"c\":{}} }",
                                           "\"null\"",
                                           "[[[]],{\"\":\"\"}]"};
    return ingot_bytes_of(payloads[next_random(seed) % 10]);
}

static int64_t random_time(uint64_t *seed)
{
    return (int64_t)(next_random(seed) % UINT64_C(250000000000000000));
}

static int64_t random_time_or_none(uint64_t *seed)
{
    return next_random(seed) % 2 ? random_time(seed) : INGOT_NO_TIME;
}

static struct ingot_job random_job(uint64_t *seed, struct igt_arena *arena)
{
    struct ingot_job job = {.id = random_ksuid(seed),
                            .destination = random_text(seed, arena),
                            .event = random_text(seed, arena),
                            .context = random_payload(seed),
                            .data = random_payload(seed),
                            .due_us = INGOT_NO_TIME,
                            .created_us = random_time_or_none(seed)};
    if (next_random(seed) % 2) {
        job.latest = (struct ingot_transition){.id = random_ksuid(seed),
                                               .state_after = INGOT_STATE_ACKNOWLEDGED,
                                               .due_us = INGOT_NO_TIME,
                                               .created_us = random_time(seed)};
        if (next_random(seed) % 2) {
            job.latest.state_after = INGOT_STATE_AWAITING;
            job.due_us = job.latest.due_us = job.latest.created_us;
        }
    }
    return job;
}

static struct ingot_event random_event(uint64_t *seed, struct igt_arena *arena)
{
    struct ingot_event event = {.id = random_ksuid(seed),
                                .source = random_text(seed, arena),
                                .name = random_text(seed, arena),
                                .context = random_payload(seed),
                                .data = random_payload(seed),
                                .sent_us = random_time_or_none(seed),
                                .received_us = random_time_or_none(seed),
                                .ingested_us = random_time_or_none(seed),
                                .retired_us = INGOT_NO_TIME,
                                .job_count = next_random(seed) % 4};
    event.jobs = igt_arena_array(arena, event.job_count, sizeof *event.jobs);
    for (uint32_t i = 0; i < event.job_count; i++) {
        event.jobs[i] = random_job(seed, arena);
        event.jobs[i].event_id = event.id;
        event.jobs[i].number = i;
    }
    return event;
}

static void assert_same_job(const struct ingot_job *a, const struct ingot_job *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->number, b->number);
    assert_true(ingot_bytes_equal(a->destination, b->destination));
    assert_true(ingot_bytes_equal(a->event, b->event));
    assert_true(ingot_bytes_equal(a->context, b->context));
    assert_true(ingot_bytes_equal(a->data, b->data));
    assert_true(a->due_us == b->due_us);
}

static void assert_same_event(const struct ingot_event *a, const struct ingot_event *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_true(ingot_bytes_equal(a->source, b->source));
    assert_true(ingot_bytes_equal(a->name, b->name));
    assert_true(ingot_bytes_equal(a->context, b->context));
    assert_true(ingot_bytes_equal(a->data, b->data));
    assert_true(a->sent_us == b->sent_us);
    assert_true(a->received_us == b->received_us);
    assert_true(a->ingested_us == b->ingested_us);
    assert_true(a->retired_us == b->retired_us);
    assert_int_equal(a->job_count, b->job_count);
    for (size_t i = 0; i < a->job_count; i++) {
        const struct ingot_transition *x = &a->jobs[i].latest, *y = &b->jobs[i].latest;
        assert_same_job(&a->jobs[i], &b->jobs[i]);
        assert_memory_equal(&a->jobs[i].event_id, &b->jobs[i].event_id, sizeof a->id);
        assert_true(a->jobs[i].created_us == b->jobs[i].created_us);
        assert_memory_equal(&x->id, &y->id, sizeof x->id);
        assert_int_equal(x->attempt, y->attempt);
        assert_int_equal(x->state_before, y->state_before);
        assert_int_equal(x->state_after, y->state_after);
        assert_true(ingot_bytes_equal(x->error, y->error));
        assert_true(x->due_us == y->due_us);
        assert_true(x->created_us == y->created_us);
    }
}

static void a_queue_that_was_written_is_read_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = 20201030;
    for (int round = 0; round < 2000; round++) {
        struct ingot_event events[3];
        struct ingot_queue queue = {events, next_random(&seed) % 4};
        struct igt_arena *arena = igt_arena_create();
        struct igt_buffer buffer = {0}, again = {0};
        struct igt_json value;
        for (size_t i = 0; i < queue.event_count; i++)
            events[i] = random_event(&seed, arena);
        igt_queue_encode(&buffer, &queue, IGT_PAYLOAD_INLINE);
        assert_int_equal(
            igt_json_parse((struct ingot_bytes){buffer.data, buffer.len}, &value, &fixture->err),
            INGOT_OK);
        assert_int_equal(igt_queue_decode(&value, arena, &fixture->queue, &fixture->err), INGOT_OK);
        assert_int_equal(fixture->queue.event_count, queue.event_count);
        for (size_t i = 0; i < queue.event_count; i++)
            assert_same_event(&fixture->queue.events[i], &events[i]);
        igt_queue_encode(&again, &fixture->queue, IGT_PAYLOAD_INLINE);
        assert_string_equal(again.data, buffer.data);
        igt_buffer_fini(&again);
        igt_buffer_fini(&buffer);
        igt_arena_destroy(arena);
    }
}

/* When the id of plain_event() is admitted. */
static int64_t its_second(void *context)
{
    const ingot_ksuid id = ksuid(EVENT_ID);
    (void)context;
    return ingot_ksuid_time_us(&id);
}

/* Whether a source's event is JSON; if so, its payloads have to be valid by themselves. */
static int check_payloads_of(struct ingot_bytes text)
{
    static const struct ingot_toolkit toolkit = {.now_us = its_second};
    struct igt_arena *arena = igt_arena_create();
    struct ingot_error err = {0};
    struct ingot_event event;
    struct igt_json value;
    int is_json = igt_json_parse(text, &value, NULL) == INGOT_OK;
    if (is_json &&
        igt_event_decode(&value, IGT_DECODE_SOURCE, "", arena, &event, NULL) == INGOT_OK) {
        event.id = ksuid(EVENT_ID);
        event.source = event.name = ingot_bytes_of("s");
        if (ingot_event_validate(&event, &toolkit, "", &err) != INGOT_OK)
            fail_msg("%.*s: %s", (int)text.len, (const char *)text.data,
                     err.validations[0].message);
        assert_int_equal(igt_event_validate_decoded(&event, &toolkit, "", NULL), INGOT_OK);
    }
    igt_arena_destroy(arena);
    return is_json;
}

static void what_is_decoded_is_json_by_itself(void **state)
{
    (void)state;
    uint64_t seed = 20261128;
    for (size_t i = 0; i < sizeof json_cases / sizeof json_cases[0]; i++) {
        const struct json_case *given = &json_cases[i];
        struct igt_buffer text = {0};
        igt_buffer_add_text(&text, "{\"source\":\"s\",\"context\":");
        igt_buffer_add(&text, given->text, given->len);
        igt_buffer_add_text(&text, ",\"name\":\"n\",\"data\":");
        igt_buffer_add(&text, given->text, given->len);
        igt_buffer_add_text(&text, "}");
        assert_int_equal(check_payloads_of((struct ingot_bytes){text.data, text.len}),
                         given->verdict == JSON_VALID);
        for (int round = 0; round < 40; round++) {
            const uint64_t random = next_random(&seed);
            char *byte = &text.data[random % text.len], was = *byte;
            *byte = "\"\\{}[],: \n0e-\x01\x80\xc3"[(random >> 32) % 16];
            check_payloads_of((struct ingot_bytes){text.data, text.len});
            *byte = was;
        }
        igt_buffer_fini(&text);
    }
}

static void an_event_that_was_decoded_is_held_against_all_other_rules(void **state)
{
    (void)state;
    static const struct ingot_toolkit toolkit = {.now_us = its_second};
    static char large[IGT_PAYLOAD_BYTES_MAX + 1];
    const struct ingot_bytes payload = {large, sizeof large};
    struct ingot_event event = plain_event();
    struct ingot_job job = plain_job();
    struct ingot_error err = {0};
    assert_int_equal(igt_event_validate_decoded(&event, &toolkit, "E", &err), INGOT_OK);
    job.data = ingot_bytes_of("{");
    event = (struct ingot_event){.name = ingot_bytes_of("*"),
                                 .context = payload,
                                 .data = payload,
                                 .jobs = &job,
                                 .job_count = 1};
    assert_int_equal(igt_event_validate_decoded(&event, &toolkit, "E", &err), INGOT_INVALID);
    static const char *const paths[] = {"E/ID",      "E/Source", "E/Name",
                                        "E/Context", "E/Data",   "E/Jobs[0]/Data"};
    assert_int_equal(err.validation_count, sizeof paths / sizeof paths[0]);
    for (size_t i = 0; i < err.validation_count; i++)
        assert_string_equal(err.validations[i].path, paths[i]);
}

/* ---- the jobs in an event's row ----------------------------------------- */

static void jobs_in_a_row_leave_out_what_is_absent(void **state)
{
    (void)state;
    size_t len;
    struct ingot_job jobs[] = {plain_job(), plain_job()};
    jobs[1].context = ingot_bytes_of("{}");
    jobs[1].data = ingot_bytes_of("[ 1 ]");
    jobs[1].parent_job_id = ksuid(TRANSITION_ID);
    jobs[1].due_us = -1;
    char *text = ingot_jobs_encode(jobs, 2, &len);
    assert_non_null(text);
    assert_string_equal(text,
                        "[{\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\"},"
                        "{\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\","
                        "\"context\":{},\"data\":[ 1 ],"
                        "\"parent_job_id\":\"" TRANSITION_ID "\",\"due_at\":-1}]");
    assert_int_equal(len, strlen(text));
    free(text);
    text = ingot_jobs_encode(NULL, 0, &len);
    assert_string_equal(text, "[]");
    free(text);
}

static void jobs_that_were_written_into_a_row_are_read_as_they_were(void **state)
{
    (void)state;
    uint64_t seed = 41;
    for (int round = 0; round < 2000; round++) {
        struct ingot_page *page = ingot_page_create();
        struct ingot_job jobs[4], *read;
        size_t count = next_random(&seed) % 5, read_count, len;
        for (uint32_t i = 0; i < count; i++) {
            jobs[i] = random_job(&seed, page->arena);
            jobs[i].number = i;
            jobs[i].due_us = random_time_or_none(&seed);
            if (next_random(&seed) % 2)
                jobs[i].parent_job_id = random_ksuid(&seed);
        }
        char *text = ingot_jobs_encode(jobs, count, &len);
        assert_non_null(text);
        assert_int_equal(ingot_jobs_decode((struct ingot_bytes){text, len}, INGOT_DETAIL_ALL, page,
                                           &read, &read_count, NULL),
                         INGOT_OK);
        memset(text, 'x', len); /* what was read is a copy */
        free(text);
        assert_int_equal(read_count, count);
        for (size_t i = 0; i < count; i++) {
            assert_same_job(&read[i], &jobs[i]);
            assert_memory_equal(&read[i].parent_job_id, &jobs[i].parent_job_id,
                                sizeof read[i].parent_job_id);
        }
        ingot_page_destroy(page);
    }
}

#define ROW_JOB "\"id\":\"" JOB_ID "\",\"destination\":\"billing\",\"event\":\"*\""

static void routing_detail_leaves_out_the_payloads_of_a_row_s_jobs(void **state)
{
    (void)state;
    struct ingot_page *page = ingot_page_create();
    struct ingot_job *jobs;
    size_t count;
    struct ingot_bytes text =
        ingot_bytes_of("[{" ROW_JOB ",\"context\":{\"a\":1},\"data\":2,\"due_at\":7}]");
    assert_int_equal(ingot_jobs_decode(text, INGOT_DETAIL_ROUTING, page, &jobs, &count, NULL),
                     INGOT_OK);
    assert_int_equal(count, 1);
    assert_null(jobs[0].context.data);
    assert_null(jobs[0].data.data);
    assert_text(jobs[0].destination, "billing");
    assert_true(jobs[0].due_us == 7);
    assert_int_equal(ingot_jobs_decode(text, INGOT_DETAIL_ALL, page, &jobs, &count, NULL),
                     INGOT_OK);
    assert_text(jobs[0].context, "{\"a\":1}");
    assert_text(jobs[0].data, "2");
    ingot_page_destroy(page);
}

static void a_row_s_jobs_that_ingot_did_not_write_are_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "null",
        "{}",
        "\"[]\"",
        "[",
        "[]x",
        "[null]",
        "[1]",
        "[[]]",
        "[{}]",
        "[{" ROW_JOB "},{}]",
        "[{" ROW_JOB "},null]",
        "[{\"destination\":\"billing\",\"event\":\"*\"}]",
        "[{\"id\":\"" JOB_ID "\",\"event\":\"*\"}]",
        "[{\"id\":\"" JOB_ID "\",\"destination\":\"billing\"}]",
        "[{\"id\":\"x\",\"destination\":\"billing\",\"event\":\"*\"}]",
        "[{\"id\":null,\"destination\":\"billing\",\"event\":\"*\"}]",
        "[{\"id\":\"000000000000000000000000000\",\"destination\":\"b\",\"event\":\"*\"}]",
        "[{\"id\":\"" JOB_ID "\",\"destination\":1,\"event\":\"*\"}]",
        "[{\"id\":\"" JOB_ID "\",\"destination\":null,\"event\":\"*\"}]",
        "[{\"id\":\"" JOB_ID "\",\"destination\":\"b\",\"event\":null}]",
        "[{" ROW_JOB ",\"x\":1}]",
        "[{" ROW_JOB ",\"job\":0}]",
        "[{" ROW_JOB ",\"id\":\"" JOB_ID "\"}]",
        "[{" ROW_JOB ",\"parent_job_id\":null}]",
        "[{" ROW_JOB ",\"parent_job_id\":\"\"}]",
        "[{" ROW_JOB ",\"parent_job_id\":7}]",
        "[{" ROW_JOB ",\"parent_job_id\":\"000000000000000000000000000\"}]",
        "[{" ROW_JOB ",\"due_at\":null}]",
        "[{" ROW_JOB ",\"due_at\":\"" OCTOBER "\"}]",
        "[{" ROW_JOB ",\"due_at\":1.5}]",
        "[{" ROW_JOB ",\"due_at\":1e3}]",
        "[{" ROW_JOB ",\"due_at\":9223372036854775808}]",
        "[{" ROW_JOB ",\"due_at\":-9223372036854775808}]",
        "[{" ROW_JOB ",\"data\":\"\\u0000\"}]",
    };
    struct ingot_page *page = ingot_page_create();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct ingot_error err = {0};
        struct ingot_job *jobs = NULL;
        size_t count = 99;
        enum ingot_status status = ingot_jobs_decode(ingot_bytes_of(texts[i]), INGOT_DETAIL_ALL,
                                                     page, &jobs, &count, &err);
        if (status != INGOT_CORRUPT)
            fail_msg("%s: status %d", texts[i], status);
        assert_non_null(strstr(err.message, "event's jobs"));
        assert_null(jobs);
        assert_int_equal(count, 99);
    }
    ingot_page_destroy(page);
}

static void a_row_of_more_jobs_than_an_event_may_have_is_corrupt(void **state)
{
    (void)state;
    struct ingot_page *page = ingot_page_create();
    struct igt_buffer buffer = {0};
    struct ingot_job *jobs;
    size_t count = 0;
    for (size_t i = 0; i < 65535; i++)
        igt_buffer_add_text(&buffer, i ? ",{" ROW_JOB "}" : "[{" ROW_JOB "}");
    igt_buffer_add_text(&buffer, "]");
    assert_int_equal(ingot_jobs_decode((struct ingot_bytes){buffer.data, buffer.len},
                                       INGOT_DETAIL_ROUTING, page, &jobs, &count, NULL),
                     INGOT_OK);
    assert_int_equal(count, 65535);
    assert_int_equal(jobs[65534].number, 65534);
    buffer.len--;
    igt_buffer_add_text(&buffer, ",{" ROW_JOB "}]");
    assert_int_equal(ingot_jobs_decode((struct ingot_bytes){buffer.data, buffer.len},
                                       INGOT_DETAIL_ROUTING, page, &jobs, &count, NULL),
                     INGOT_CORRUPT);
    igt_buffer_fini(&buffer);
    ingot_page_destroy(page);
}

#define decoding(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_23_to_34_an_event_leaves_out_what_the_specification_lets_be_absent),
        cmocka_unit_test(rows_19_to_36_an_event_has_the_keys_of_the_specification_in_its_order),
        cmocka_unit_test(rows_59_to_65_a_transition_names_its_states_and_its_error),
        cmocka_unit_test(rows_37_38_66_and_67_ids_that_are_not_for_an_api_are_never_written),
        cmocka_unit_test(row_35_a_job_that_was_not_read_has_null_for_its_transition),
        cmocka_unit_test(rows_23_and_24_base64_is_padded_as_go_writes_bytes),
        cmocka_unit_test(row_49_a_queue_without_events_is_an_empty_object),
        cmocka_unit_test(a_delivery_has_the_job_s_own_payload_in_place_of_the_event_s),
        cmocka_unit_test(a_delivery_is_the_same_at_every_attempt),
        cmocka_unit_test(row_60_a_transition_s_id_is_made_of_its_key_and_its_second),
        decoding(a_source_s_event_is_read),
        decoding(an_absent_key_and_null_are_kept_apart_in_a_source_s_payload),
        decoding(a_source_s_received_at_is_ignored_whatever_it_is),
        decoding(what_a_source_may_not_send_is_refused_by_name),
        decoding(all_problems_of_an_event_are_collected),
        decoding(what_a_queue_may_not_hold_is_refused_with_its_place),
        decoding(an_empty_queue_may_be_written_in_four_ways),
        decoding(null_is_absent_in_a_queue_but_in_a_job_s_payload),
        decoding(a_job_that_is_born_awaiting_is_due_when_it_was_born),
        decoding(a_queue_that_was_written_is_read_as_it_was),
        cmocka_unit_test(what_is_decoded_is_json_by_itself),
        cmocka_unit_test(an_event_that_was_decoded_is_held_against_all_other_rules),
        cmocka_unit_test(jobs_in_a_row_leave_out_what_is_absent),
        cmocka_unit_test(jobs_that_were_written_into_a_row_are_read_as_they_were),
        cmocka_unit_test(routing_detail_leaves_out_the_payloads_of_a_row_s_jobs),
        cmocka_unit_test(a_row_s_jobs_that_ingot_did_not_write_are_corrupt),
        cmocka_unit_test(a_row_of_more_jobs_than_an_event_may_have_is_corrupt),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
