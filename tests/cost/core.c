/* The hot paths that need no store: ids, the map, the scheduler, the gateway's reading, bodies. */
#include "cost.h"

#include "core/json.h"
#include "core/map.h"
#include "core/model.h"
#include "core/routes.h"
#include "daemon/journal.h"
#include "scheduler/scheduler.h"
#include "store/validate.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct ingot_ksuid_generator ids;

/* ---- KSUID -------------------------------------------------------------- */

#define KSUIDS 1000

static struct {
    ingot_ksuid id;
    char text[INGOT_KSUID_TEXT_LEN + 1];
} ksuids[KSUIDS];

static void format_ksuids(void *context)
{
    (void)context;
    for (size_t i = 0; i < KSUIDS; i++)
        ingot_ksuid_format(&ksuids[i].id, ksuids[i].text);
}

static void parse_ksuids(void *context)
{
    (void)context;
    for (size_t i = 0; i < KSUIDS; i++)
        cost_insist(ingot_ksuid_parse((struct ingot_bytes){ksuids[i].text, INGOT_KSUID_TEXT_LEN},
                                      &ksuids[i].id, NULL) == INGOT_OK,
                    "a formatted id parses");
}

static size_t ksuid_format(const struct cost_given *given)
{
    (void)given;
    for (size_t i = 0; i < KSUIDS; i++)
        ingot_ksuid_generate(&ids, &cost_toolkit, &ksuids[i].id);
    cost_measured(format_ksuids, NULL);
    return KSUIDS;
}

static size_t ksuid_parse(const struct cost_given *given)
{
    (void)given;
    for (size_t i = 0; i < KSUIDS; i++) {
        ingot_ksuid_generate(&ids, &cost_toolkit, &ksuids[i].id);
        ingot_ksuid_format(&ksuids[i].id, ksuids[i].text);
    }
    cost_measured(parse_ksuids, NULL);
    return KSUIDS;
}

/* ---- the map ------------------------------------------------------------ */

#define KEYS 10000

static struct igt_map_key keys[KEYS];
static struct igt_map map;

static const struct igt_map_key *key_of(const void *context, uint32_t index)
{
    (void)context;
    return &keys[index];
}

static void put_keys(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < KEYS; i++)
        cost_insist(igt_map_put(&map, i), "the map has memory");
}

static void get_keys(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < KEYS; i++)
        cost_insist(igt_map_get(&map, &keys[i]) == i, "the map has the key");
}

static void remove_keys(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < KEYS; i++)
        igt_map_remove(&map, i);
}

/* A map that has been as full as it will be, and is empty again. */
static void warm_map(void)
{
    map.key_of = key_of;
    cost_toolkit.random(NULL, map.secret, sizeof map.secret);
    for (size_t i = 0; i < KEYS; i++)
        ingot_ksuid_generate(&ids, &cost_toolkit, &keys[i].event_id);
    put_keys(NULL);
    remove_keys(NULL);
}

static size_t map_put(const struct cost_given *given)
{
    (void)given;
    warm_map();
    cost_measured(put_keys, NULL);
    igt_map_fini(&map);
    return KEYS;
}

static size_t map_get(const struct cost_given *given)
{
    (void)given;
    warm_map();
    put_keys(NULL);
    cost_measured(get_keys, NULL);
    igt_map_fini(&map);
    return KEYS;
}

static size_t map_remove(const struct cost_given *given)
{
    (void)given;
    warm_map();
    put_keys(NULL);
    cost_measured(remove_keys, NULL);
    igt_map_fini(&map);
    return KEYS;
}

/* ---- the scheduler ------------------------------------------------------ */

/* Jobs that are under way at a time, and how often that is repeated. */
#define WAVE 400
#define WAVES 10

/* Later than any retry. */
#define DAY_US INT64_C(86400000000)

static struct igt_scheduler *scheduler;
static struct ingot_job jobs[WAVE * WAVES];
static struct igt_rows claims, outcomes, nothing;

static void sight_wave(const struct ingot_job *wave, int64_t now_us)
{
    for (size_t i = 0; i < WAVE; i++)
        cost_insist(igt_scheduler_sight(scheduler, &wave[i], now_us) == IGT_SIGHT_TAKEN,
                    "a job is sighted");
}

static void report_wave(enum igt_report report, int64_t now_us)
{
    const struct ingot_bytes error =
        ingot_bytes_of(report == IGT_REPORT_FAILED ? "{\"message\":\"answered 503\"}" : NULL);
    for (size_t i = 0; i < claims.count; i++) {
        const struct ingot_transition *row = &claims.rows[i].row;
        const struct igt_map_key key = {row->event_id, row->job};
        cost_insist(igt_scheduler_verdict(scheduler, row, INGOT_STORED, now_us, &nothing) ==
                        IGT_NEXT_DELIVER,
                    "a stored claim is delivered");
        igt_scheduler_report(scheduler, &key, report, INGOT_NO_TIME, error, now_us, &outcomes);
    }
}

/* An attempt of each job of a wave, whose outcome takes so many rows, until those are stored. */
static void attempt_wave(enum igt_report report, size_t rows, int64_t now_us)
{
    claims.count = outcomes.count = 0;
    igt_scheduler_plan(scheduler, now_us, &claims);
    cost_insist(claims.count == WAVE, "all jobs are claimed");
    report_wave(report, now_us);
    cost_insist(outcomes.count == rows * WAVE, "all jobs have an outcome");
    for (size_t i = 0; i < outcomes.count; i++)
        igt_scheduler_verdict(scheduler, &outcomes.rows[i].row, INGOT_STORED, now_us, &nothing);
}

static void succeed(const struct ingot_job *wave)
{
    int64_t now_us = cost_toolkit.now_us(NULL);
    sight_wave(wave, now_us);
    attempt_wave(IGT_REPORT_SUCCEEDED, 1, now_us);
}

static void fail_and_succeed(const struct ingot_job *wave)
{
    int64_t now_us = cost_toolkit.now_us(NULL);
    sight_wave(wave, now_us);
    attempt_wave(IGT_REPORT_FAILED, 2, now_us);
    attempt_wave(IGT_REPORT_SUCCEEDED, 1, now_us + DAY_US);
}

static void (*schedule_wave)(const struct ingot_job *wave);

static void schedule_waves(void *context)
{
    (void)context;
    for (size_t i = 0; i < WAVES; i++)
        schedule_wave(&jobs[i * WAVE]);
}

/* Jobs for four destinations, with a scheduler that has its memory already. */
static void set_up_scheduler(void)
{
    static const char *const names[] = {"audit", COST_DESTINATION, "crm", "mail"};
    static struct igt_plan plans[COUNT(names)];
    struct ingot_event of_job;
    ingot_ksuid owner;
    for (size_t i = 0; i < COUNT(names); i++)
        plans[i] = (struct igt_plan){
            .name = ingot_bytes_of(names[i]), .concurrency = WAVE, .policies = &igt_policy_default};
    for (size_t i = 0; i < WAVE * WAVES; i++) {
        cost_make_event(&ids, &of_job, &jobs[i]);
        jobs[i].destination = plans[i % COUNT(names)].name;
    }
    ingot_ksuid_generate(&ids, &cost_toolkit, &owner);
    scheduler = igt_scheduler_create(plans, COUNT(names), &owner, 0, &cost_toolkit);
    cost_insist(scheduler != NULL, "a scheduler is made");
    schedule_wave(jobs);
}

static size_t schedule(void (*wave)(const struct ingot_job *wave))
{
    schedule_wave = wave;
    set_up_scheduler();
    cost_measured(schedule_waves, NULL);
    cost_insist(igt_scheduler_numbers(scheduler).succeeded == WAVE * (WAVES + 1), "all succeeded");
    igt_scheduler_destroy(scheduler);
    igt_rows_fini(&claims);
    igt_rows_fini(&outcomes);
    igt_rows_fini(&nothing);
    return WAVE * WAVES;
}

static size_t schedule_successes(const struct cost_given *given)
{
    (void)given;
    return schedule(succeed);
}

static size_t schedule_retries(const struct cost_given *given)
{
    (void)given;
    return schedule(fail_and_succeed);
}

/* ---- bodies ------------------------------------------------------------- */

#define BODIES 1000

static struct ingot_event event;
static struct ingot_job job;
static struct igt_buffer body;

static void encode_body(void)
{
    igt_buffer_reset(&body);
    igt_delivery_encode(&body, &event, &job);
    cost_insist(!body.failed && body.len > COST_DATA_BYTES, "a body is encoded");
}

static void encode_bodies(void *context)
{
    (void)context;
    for (size_t i = 0; i < BODIES; i++)
        encode_body();
}

static size_t delivery_encode(const struct cost_given *given)
{
    (void)given;
    cost_make_event(&ids, &event, &job);
    encode_body(); /* the buffer has its size from now on */
    cost_measured(encode_bodies, NULL);
    igt_buffer_fini(&body);
    return BODIES;
}

/* ---- the gateway's reading ---------------------------------------------- */

#define REQUESTS 1000

static const struct ingot_bytes created[] = {{"user.created", 12}}, all[] = {{"*", 1}};
static const struct igt_route route_list[] = {
    {.destination = {"audit", 5}, .events = created, .event_count = 1},
    {.destination = {COST_DESTINATION, sizeof COST_DESTINATION - 1},
     .events = all,
     .event_count = 1},
};
static const struct igt_routes routes = {route_list, COUNT(route_list)};

/* What src/daemon/gateway.c does with the value of one event, add_event() there. */
static void take_event(struct igt_request *request, const struct igt_json *value)
{
    struct ingot_error err = {0};
    struct ingot_event *taken = &request->events[request->event_count++];
    const char *path = "Queue/Events[0]";
    cost_insist(igt_event_decode(value, IGT_DECODE_SOURCE, path, request->arena, taken, &err) ==
                    INGOT_OK,
                "an event is decoded");
    ingot_ksuid_generate(&ids, &cost_toolkit, &taken->id);
    taken->received_us = cost_toolkit.now_us(NULL);
    cost_insist(igt_event_validate_decoded(taken, &cost_toolkit, path, &err) == INGOT_OK,
                "an event is valid");
    cost_insist(igt_routes_apply(&routes, &ids, &cost_toolkit, request->arena, taken) == INGOT_OK &&
                    taken->job_count == 1,
                "an event has its job");
}

/* From the bytes of a request to the events that the journal gets, read_events() there. */
static void read_request(const char *text, size_t len)
{
    struct igt_request *request = igt_request_create();
    struct igt_json value;
    struct ingot_error err = {0};
    cost_insist(request != NULL, "a request is made");
    igt_buffer_add(&request->body, text, len);
    cost_insist(igt_json_parse((struct ingot_bytes){request->body.data, request->body.len}, &value,
                               &err) == INGOT_OK,
                "a request is JSON");
    request->events = igt_arena_array(request->arena, 1, sizeof *request->events);
    request->verdicts = igt_arena_array(request->arena, 1, sizeof *request->verdicts);
    take_event(request, &value);
    igt_request_release(request);
}

static void read_requests(void *context)
{
    const struct igt_buffer *text = context;
    for (size_t i = 0; i < REQUESTS; i++)
        read_request(text->data, text->len);
}

static size_t request_read(const struct cost_given *given)
{
    struct igt_buffer text = {0};
    (void)given;
    igt_buffer_add_format(&text, "{\"source\":\"shop\",\"name\":\"order.paid\",\"data\":%s}",
                          cost_data);
    read_request(text.data, text.len);
    cost_measured(read_requests, &text);
    igt_buffer_fini(&text);
    return REQUESTS;
}

const struct cost_section cost_core[] = {
    {"ksuid_format", ksuid_format},
    {"ksuid_parse", ksuid_parse},
    {"map_put", map_put},
    {"map_get", map_get},
    {"map_remove", map_remove},
    {"scheduler", schedule_successes},
    {"scheduler_retry", schedule_retries},
    {"delivery_encode", delivery_encode},
    {"request_read", request_read},
    {NULL, NULL},
};
