/*
 * The delivery loop, with a journal that stores nothing and answers at once:
 * the linker sends the loop's calls of journal and keeper here (--wrap), and
 * everything happens on one thread.
 */
#include "cost.h"

#include "daemon/delivery.h"

#define JOBS 8000
#define JOBS_OF_REQUEST 500

static struct igt_delivery_loop *loop;
static struct ingot_ksuid_generator ids;
static size_t taken, finished;

void __wrap_igt_journal_submit_batch(struct igt_journal *journal, struct igt_batch *batch);
void __wrap_igt_keeper_read(struct igt_keeper *keeper, const struct ingot_lanes *lanes,
                            uint64_t number);

static struct igt_results *make_results(size_t rows)
{
    struct igt_arena *arena = igt_arena_create();
    struct igt_results *results = arena ? igt_arena_alloc(arena, sizeof *results) : NULL;
    cost_insist(results != NULL, "there is memory for results");
    results->arena = arena;
    results->requests = igt_arena_array(arena, 1, sizeof *results->requests);
    results->rows = igt_arena_array(arena, rows + 1, sizeof *results->rows);
    cost_insist(results->requests && results->rows, "there is memory for results");
    return results;
}

/* What journal and fetcher would say of a row: stored, and this is what is to be delivered. */
static void answer_row(struct igt_row_result *result, const struct ingot_transition *row)
{
    result->row = *row;
    result->verdict = INGOT_STORED;
    if (row->state_after == INGOT_STATE_EXECUTING) {
        result->job_id = row->event_id;
        result->destination = ingot_bytes_of(COST_DESTINATION);
        result->body = ingot_bytes_of(cost_data);
    }
    finished += row->state_after == INGOT_STATE_SUCCEEDED;
}

static void answer(void *context)
{
    struct igt_batch *batch = context;
    struct igt_results *results = make_results(batch->rows.count);
    for (size_t i = 0; i < batch->rows.count; i++)
        answer_row(&results->rows[results->row_count++], &batch->rows.rows[i].row);
    igt_batch_destroy(batch);
    igt_delivery_take_results(loop, results);
    if (finished == JOBS)
        igt_delivery_end(loop);
}

void __wrap_igt_journal_submit_batch(struct igt_journal *journal, struct igt_batch *batch)
{
    (void)journal;
    cost_apart(answer, batch);
}

void __wrap_igt_keeper_read(struct igt_keeper *keeper, const struct ingot_lanes *lanes,
                            uint64_t number)
{
    (void)keeper, (void)lanes, (void)number; /* nothing is live from before */
}

/* Hands a stored request over, as the journal does. */
static void hand_over_request(void)
{
    struct igt_results *results = make_results(0);
    struct igt_request *request = igt_request_create();
    cost_insist(request != NULL, "there is memory for a request");
    request->events = igt_arena_array(request->arena, JOBS_OF_REQUEST, sizeof *request->events);
    request->verdicts = igt_arena_array(request->arena, JOBS_OF_REQUEST, sizeof *request->verdicts);
    cost_insist(request->events && request->verdicts, "there is memory for a request");
    for (size_t i = 0; i < JOBS_OF_REQUEST; i++) {
        struct ingot_job *job = igt_arena_alloc(request->arena, sizeof *job);
        cost_insist(job != NULL, "there is memory for a job");
        cost_make_event(&ids, &request->events[request->event_count++], job);
        request->verdicts[i] = INGOT_STORED;
    }
    results->requests[results->request_count++] = request;
    igt_delivery_take_results(loop, results);
}

static void take(void *context, const struct igt_delivery *delivery)
{
    (void)context;
    taken += delivery->body.len == COST_DATA_BYTES;
}

static void close_nothing(void *context)
{
    (void)context;
}

static void run(void *context)
{
    (void)context;
    cost_insist(igt_delivery_run(loop, NULL, NULL, NULL, close_nothing, NULL, NULL) == INGOT_OK,
                "the loop ends well");
}

static struct igt_config *make_config(void)
{
    struct igt_config *config = NULL;
    cost_insist(igt_config_parse("cost",
                                 ingot_bytes_of("destinations: {" COST_DESTINATION
                                                ": {kind: command, command: [/bin/true],"
                                                " events: [\"*\"], concurrency: 1024}}"),
                                 &config, NULL) == INGOT_OK,
                "the configuration is right");
    config->destinations[0].kind = IGT_KIND_INSIDE;
    config->destinations[0].inside = (struct igt_inside_config){take, NULL};
    return config;
}

static size_t deliver(const struct cost_given *given)
{
    ingot_ksuid owner;
    struct igt_config *config = make_config();
    (void)given;
    ingot_ksuid_generate(&ids, &cost_toolkit, &owner);
    cost_insist(igt_delivery_create(config, IGT_ALONE, &owner, &cost_toolkit, &loop, NULL) ==
                    INGOT_OK,
                "a loop is made");
    for (size_t i = 0; i < JOBS / JOBS_OF_REQUEST; i++)
        hand_over_request();
    cost_measured(run, NULL);
    cost_insist(taken == JOBS, "all jobs were delivered");
    igt_delivery_destroy(loop);
    igt_config_destroy(config);
    return JOBS;
}

const struct cost_section cost_loop[] = {
    {"delivery_loop", deliver},
    {NULL, NULL},
};
