/*
 * The driver of the tests of cost: does one piece of Ingot's work so often that
 * what begins and ends it hardly counts, and prints how many units were
 * measured and how many allocations they made. usage: ingot-cost SECTION [URL
 * [JOBS [SEED]]], or ingot-cost versions
 */
#include "cost.h"

#include <gnu/libc-version.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* 2026-11-23T12:00:00Z */
#define NOON_US INT64_C(1795435200000000)

/* ---- what counts -------------------------------------------------------- */

static int is_counting;
static size_t allocations;

void cost_measured(void (*work)(void *context), void *context)
{
    is_counting = 1;
    work(context);
    is_counting = 0;
}

void cost_apart(void (*work)(void *context), void *context)
{
    int was_counting = is_counting;
    is_counting = 0;
    work(context);
    is_counting = was_counting;
}

/*
 * The libraries' allocations count as much as ours, and they are not linked
 * with --wrap: so this program brings malloc itself, before the C library's.
 */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    allocations += (size_t)is_counting;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations += (size_t)is_counting;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations += (size_t)is_counting;
    return __libc_realloc(old, size);
}

/* ---- what is lent to the sections --------------------------------------- */

static int64_t the_time_us;
static uint64_t the_random;

static int64_t now_us(void *context)
{
    (void)context;
    return the_time_us;
}

static void fill_random(void *context, void *out, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++) {
        the_random = the_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((unsigned char *)out)[i] = (unsigned char)(the_random >> 56);
    }
}

struct ingot_toolkit cost_toolkit = {.now_us = now_us, .random = fill_random};

void cost_begin_at(int64_t begin_us, unsigned seed)
{
    the_time_us = begin_us + seed * INT64_C(1000000);
    the_random = seed;
}

const char cost_data[] =
    "{\"order\":{\"id\":48213,\"customer\":\"3MWgDOzGMuu8o7w68de7X1arwcd\",\"lines\":[{\"sku\":\"A-"
    "100\",\"count\":2,\"price\":19.95},{\"sku\":\"B-7\",\"count\":1,\"price\":240.0}]},\"paid\":"
    "true,\"note\":\"gr\\u00fc\\u00dfe, and thanks\"}";
_Static_assert(sizeof cost_data == COST_DATA_BYTES + 1, "the data has its size");

void cost_make_event(struct ingot_ksuid_generator *ids, struct ingot_event *event,
                     struct ingot_job *job)
{
    *event = (struct ingot_event){
        .source = ingot_bytes_of("shop"),
        .name = ingot_bytes_of("order.paid"),
        .data = ingot_bytes_of(cost_data),
        .sent_us = INGOT_NO_TIME,
        .received_us = the_time_us,
        .ingested_us = INGOT_NO_TIME,
        .retired_us = INGOT_NO_TIME,
        .jobs = job,
        .job_count = 1,
    };
    ingot_ksuid_generate(ids, &cost_toolkit, &event->id);
    *job = (struct ingot_job){
        .event_id = event->id,
        .destination = ingot_bytes_of(COST_DESTINATION),
        .event = ingot_bytes_of("*"),
        .due_us = INGOT_NO_TIME,
        .created_us = the_time_us,
        .latest = {.state_after = INGOT_STATE_ACKNOWLEDGED, .due_us = INGOT_NO_TIME},
    };
    ingot_ksuid_generate_for(ids, &cost_toolkit, &event->id, &job->id);
}

void cost_insist(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "ingot-cost: this does not hold: %s\n", what);
    exit(1);
}

/* ---- the program -------------------------------------------------------- */

static const struct cost_section *find_section(const char *name)
{
    static const struct cost_section *const lists[] = {cost_core, cost_loop, cost_store};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct cost_section *section = lists[i]; section->name; section++)
            if (strcmp(section->name, name) == 0)
                return section;
    return NULL;
}

/* With other versions of these the same work has another price. */
static void print_versions(void)
{
    printf("gcc %s, glibc %s, SQLite %s, libpq %d, libuv %s\n", __VERSION__, gnu_get_libc_version(),
           sqlite3_libversion(), PQlibVersion() / 10000, uv_version_string());
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "versions") == 0) {
        print_versions();
        return 0;
    }
    const struct cost_section *section = argc > 1 ? find_section(argv[1]) : NULL;
    if (!section) {
        fprintf(stderr, "usage: ingot-cost versions | SECTION [URL [JOBS [SEED]]]\n");
        return 2;
    }
    const struct cost_given given = {
        .url = argc > 2 ? argv[2] : NULL,
        .jobs = argc > 3 ? strtoul(argv[3], NULL, 10) : 0,
        .seed = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1,
    };
    cost_begin_at(NOON_US, given.seed);
    size_t units = section->run(&given);
    printf("units %zu allocations %zu\n", units, allocations);
    return 0;
}
