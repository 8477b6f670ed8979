/* A store in memory under a clock that is told; see world.h. */
#include "world.h"

#include "core/toolkit.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define JOBS_MAX 8

static uint64_t next_random(struct world *world)
{
    world->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = world->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t now_us(void *context)
{
    return ((struct world *)context)->now_us;
}

static void fill_random(void *context, void *out, size_t size)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)next_random(context);
}

void world_open(struct world *world, uint64_t seed)
{
    struct ingot_options options = INGOT_OPTIONS_INIT;
    memset(world, 0, sizeof *world);
    world->now_us = BEGIN_US;
    world->random = seed;
    world->toolkit =
        (struct ingot_toolkit){.context = world, .now_us = now_us, .random = fill_random};
    options.from = "memory";
    assert_int_equal(ingot_store_open(&options, &world->toolkit, &world->store, NULL), INGOT_OK);
    ingot_ksuid_generator_init(&world->ids);
}

static void show_violation(void *context, const struct ingot_violation *violation)
{
    char id[INGOT_KSUID_TEXT_LEN + 1];
    (void)context;
    ingot_ksuid_format(&violation->event_id, id);
    print_error("%s %s/%lld/%lld: %s\n", violation->invariant, id, (long long)violation->job,
                (long long)violation->seq, violation->message);
}

void world_close(struct world *world)
{
    struct ingot_verification verification;
    assert_int_equal(
        ingot_store_verify(world->store, NULL, show_violation, NULL, &verification, NULL),
        INGOT_OK);
    assert_int_equal(verification.violations, 0);
    ingot_store_close(world->store);
}

uint64_t world_roll(struct world *world, uint64_t below)
{
    return next_random(world) % below;
}

ingot_ksuid world_id(struct world *world)
{
    ingot_ksuid id;
    ingot_ksuid_generate(&world->ids, &world->toolkit, &id);
    return id;
}

ingot_ksuid world_emit(struct world *world, const char *const *destinations, size_t count,
                       int64_t due_us)
{
    struct ingot_job jobs[JOBS_MAX] = {0};
    struct ingot_event event = {.id = world_id(world),
                                .source = ingot_bytes_of("test"),
                                .name = ingot_bytes_of("happened"),
                                .sent_us = INGOT_NO_TIME,
                                .received_us = world->now_us,
                                .jobs = jobs,
                                .job_count = count};
    struct ingot_queue queue = {&event, 1};
    assert_in_range(count, 0, JOBS_MAX);
    for (size_t i = 0; i < count; i++) {
        jobs[i].destination = ingot_bytes_of(destinations[i]);
        jobs[i].event = ingot_bytes_of("happened");
        jobs[i].due_us = due_us;
        ingot_ksuid_generate_for(&world->ids, &world->toolkit, &event.id, &jobs[i].id);
    }
    assert_int_equal(ingot_store_insert_queue(world->store, &world->toolkit, &queue, NULL, NULL),
                     INGOT_OK);
    return event.id;
}

struct ingot_page *world_event(struct world *world, const ingot_ksuid *event_id)
{
    struct ingot_page *page;
    assert_int_equal(ingot_store_event(world->store, NULL, event_id, &page, NULL), INGOT_OK);
    return page;
}

void world_commit(struct world *world, struct ingot_commit_transition *rows, size_t count,
                  enum ingot_commit_sending sending)
{
    struct ingot_commit commit = {
        .sending = sending, .transitions = rows, .transition_count = count};
    assert_int_equal(ingot_store_commit(world->store, &world->toolkit, &commit, NULL), INGOT_OK);
}

struct ingot_page *world_live(struct world *world, struct ingot_cursor after, uint32_t limit)
{
    const struct ingot_where where = {.status_notin = INGOT_STATE_BIT(INGOT_STATE_SUCCEEDED) |
                                                      INGOT_STATE_BIT(INGOT_STATE_DISCARDED),
                                      .limit = limit,
                                      .after = after,
                                      .detail = INGOT_DETAIL_ROUTING};
    struct ingot_page *page;
    assert_int_equal(ingot_store_find(world->store, NULL, &where, &page, NULL), INGOT_OK);
    return page;
}

struct igt_plan world_plan(const char *name, const struct igt_policy *policy, uint32_t concurrency)
{
    return (struct igt_plan){
        .name = ingot_bytes_of(name), .concurrency = concurrency, .policies = policy};
}
