/* KSUIDs and their generator, with the clock and the random numbers that it stands on. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/instant.h"
#include "core/toolkit.h"

#define COUNTER_MAX ((UINT64_C(1) << 48) - 1)
#define TODAY_US ((INGOT_KSUID_EPOCH + INT64_C(400000000)) * IGT_SECOND_US)

/* A clock that is set by hand, random numbers that are all one byte, and what was logged. */
struct world {
    int64_t now_us;
    unsigned char random;
    char logged[2 * IGT_LOG_BYTES_MAX];
    enum ingot_level level;
};

static int64_t world_now(void *context)
{
    return ((struct world *)context)->now_us;
}

static void world_random(void *context, void *out, size_t size)
{
    memset(out, ((struct world *)context)->random, size);
}

static void world_log(void *context, enum ingot_level level, const char *message)
{
    struct world *world = context;
    world->level = level;
    strncpy(world->logged, message, sizeof world->logged - 1);
}

static int world_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return done == total;
}

static struct ingot_toolkit toolkit_of(struct world *world)
{
    return (struct ingot_toolkit){world, world_log, world_now, world_random, world_progress};
}

static const struct {
    const char *text;
    int64_t seconds; /* since the KSUID epoch */
    uint8_t bytes[20];
} published[] = {
    {"0ujtsYcgvSTl8PAuAdqWYSMnLOv", 107608047, {0x06, 0x69, 0xf7, 0xef, 0xb5, 0xa1, 0xcd,
                                                0x34, 0xb5, 0xf9, 0x9d, 0x11, 0x54, 0xfb,
                                                0x68, 0x53, 0x34, 0x5c, 0x97, 0x35}},
    {"0ujzPyRiIAffKhBux4PvQdDqMHY", 107610780, {0x06, 0x6a, 0x02, 0x9c, 0x73, 0xfc, 0x1a,
                                                0xa3, 0xb2, 0x44, 0x62, 0x46, 0xd6, 0xe8,
                                                0x9f, 0xcd, 0x90, 0x9e, 0x8f, 0xe8}},
    {"000000000000000000000000000", 0, {0}},
    {"aWgEPTl1tmebfsQzFP4bxwgy80V", UINT32_MAX, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
};

#define PUBLISHED (sizeof published / sizeof published[0])

static void the_published_ksuids_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < PUBLISHED; i++) {
        ingot_ksuid id;
        assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(published[i].text), &id, NULL), INGOT_OK);
        assert_memory_equal(id.bytes, published[i].bytes, 20);
        assert_true(ingot_ksuid_time_us(&id) ==
                    (INGOT_KSUID_EPOCH + published[i].seconds) * IGT_SECOND_US);
    }
}

static void the_published_ksuids_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < PUBLISHED; i++) {
        char text[INGOT_KSUID_TEXT_LEN + 1];
        ingot_ksuid id;
        memcpy(id.bytes, published[i].bytes, 20);
        ingot_ksuid_format(&id, text);
        assert_string_equal(text, published[i].text);
    }
}

static void expect_refused(struct ingot_bytes text, const char *message)
{
    struct ingot_error err = {0};
    ingot_ksuid id, before;
    memset(&id, 0x5a, sizeof id);
    before = id;
    assert_int_equal(ingot_ksuid_parse(text, &id, &err), INGOT_INVALID);
    assert_int_equal(err.status, INGOT_INVALID);
    assert_non_null(strstr(err.message, message));
    assert_memory_equal(&id, &before, sizeof id);
    assert_int_equal(ingot_ksuid_parse(text, &id, NULL), INGOT_INVALID);
}

static void a_ksuid_of_another_length_is_refused(void **state)
{
    (void)state;
    expect_refused(ingot_bytes_of("0ujtsYcgvSTl8PAuAdqWYSMnLO"), "this has 26");
    expect_refused(ingot_bytes_of("0ujtsYcgvSTl8PAuAdqWYSMnLOv0"), "this has 28");
    expect_refused(ingot_bytes_of(""), "this has 0");
    expect_refused((struct ingot_bytes){NULL, 27}, "this has 0");
}

static void a_ksuid_with_any_other_byte_is_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[] = "0ujtsYcgvSTl8PAuAdqWYSMnLOv";
        ingot_ksuid id;
        int good = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        text[13] = (char)c;
        if (good)
            assert_int_equal(
                ingot_ksuid_parse((struct ingot_bytes){text, INGOT_KSUID_TEXT_LEN}, &id, NULL),
                INGOT_OK);
        else
            expect_refused((struct ingot_bytes){text, INGOT_KSUID_TEXT_LEN}, "character 14");
    }
}

static void a_ksuid_beyond_the_greatest_is_refused(void **state)
{
    (void)state;
    expect_refused(ingot_bytes_of("aWgEPTl1tmebfsQzFP4bxwgy80W"), "at most");
    expect_refused(ingot_bytes_of("b00000000000000000000000000"), "at most");
    expect_refused(ingot_bytes_of("zzzzzzzzzzzzzzzzzzzzzzzzzzz"), "at most");
}

/* ---- a slow reference: one digit at a time, with a carry as at school ---- */

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Divides the number by 62 until nothing is left; the remainders are the digits, last first. */
static void format_slowly(const ingot_ksuid *id, char text[INGOT_KSUID_TEXT_LEN + 1])
{
    ingot_ksuid rest = *id;
    for (size_t i = INGOT_KSUID_TEXT_LEN; i-- > 0;) {
        unsigned remainder = 0;
        for (size_t j = 0; j < sizeof rest.bytes; j++) {
            unsigned part = remainder * 256 + rest.bytes[j];
            rest.bytes[j] = (uint8_t)(part / 62);
            remainder = part % 62;
        }
        text[i] = base62[remainder];
    }
    text[INGOT_KSUID_TEXT_LEN] = '\0';
}

/* The text of the number that is by one greater; 0 if there is none of that length. */
static int increment(char text[INGOT_KSUID_TEXT_LEN + 1])
{
    for (size_t i = INGOT_KSUID_TEXT_LEN; i-- > 0;) {
        const char *digit = strchr(base62, text[i]);
        text[i] = digit[1] ? digit[1] : '0';
        if (digit[1])
            return 1;
    }
    return 0;
}

static void expect_as_slowly(const ingot_ksuid *id)
{
    char text[INGOT_KSUID_TEXT_LEN + 1], slow[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid back;
    ingot_ksuid_format(id, text);
    format_slowly(id, slow);
    assert_string_equal(text, slow);
    assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(slow), &back, NULL), INGOT_OK);
    assert_memory_equal(back.bytes, id->bytes, sizeof id->bytes);
}

static void texts_are_those_of_slow_arithmetic(void **state)
{
    (void)state;
    ingot_ksuid id;
    unsigned seed = 1;
    for (int value = 0; value < 256; value++) {
        memset(id.bytes, value, sizeof id.bytes);
        expect_as_slowly(&id);
    }
    for (size_t bit = 0; bit < 160; bit++) { /* where carries go from limb to limb */
        memset(id.bytes, 0, sizeof id.bytes);
        id.bytes[bit / 8] = (uint8_t)(1 << bit % 8);
        expect_as_slowly(&id);
        for (size_t i = 0; i < sizeof id.bytes; i++)
            id.bytes[i] = (uint8_t)~id.bytes[i];
        expect_as_slowly(&id);
    }
    for (int i = 0; i < 10000; i++) {
        for (size_t j = 0; j < sizeof id.bytes; j++)
            id.bytes[j] = (uint8_t)(rand_r(&seed) >> 8);
        expect_as_slowly(&id);
    }
}

static void every_text_beyond_the_greatest_is_refused(void **state)
{
    (void)state;
    static const char greatest[] = "aWgEPTl1tmebfsQzFP4bxwgy80V";
    char text[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid id;
    unsigned seed = 2;
    memcpy(text, greatest, sizeof text);
    for (int i = 0; i < 5000; i++) {
        assert_true(increment(text));
        assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &id, NULL), INGOT_INVALID);
    }
    for (int i = 0; i < 10000; i++) {
        /* As the greatest up to a digit, there above it, and anything behind. */
        size_t same = (size_t)rand_r(&seed) % INGOT_KSUID_TEXT_LEN;
        size_t least = (size_t)(strchr(base62, greatest[same]) - base62) + 1;
        memcpy(text, greatest, sizeof text);
        for (size_t j = same + 1; j < INGOT_KSUID_TEXT_LEN; j++)
            text[j] = base62[rand_r(&seed) % 62];
        if (least == 62)
            continue;
        text[same] = base62[least + (size_t)rand_r(&seed) % (62 - least)];
        assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &id, NULL), INGOT_INVALID);
    }
}

static void the_order_of_ids_is_the_order_of_their_texts(void **state)
{
    (void)state;
    ingot_ksuid previous = {{0}};
    char before[INGOT_KSUID_TEXT_LEN + 1], text[INGOT_KSUID_TEXT_LEN + 1];
    ingot_ksuid_format(&previous, before);
    for (int i = 0; i < 1000; i++) {
        ingot_ksuid id, again;
        igt_random(NULL, id.bytes, sizeof id.bytes);
        ingot_ksuid_format(&id, text);
        int by_bytes = ingot_ksuid_compare(&previous, &id), by_text = strcmp(before, text);
        assert_true((by_bytes < 0) == (by_text < 0) && (by_bytes > 0) == (by_text > 0));
        assert_int_equal(ingot_ksuid_parse(ingot_bytes_of(text), &again, NULL), INGOT_OK);
        assert_memory_equal(&again, &id, sizeof id);
        previous = id;
        memcpy(before, text, sizeof before);
    }
}

static void only_the_id_of_all_zero_bytes_is_none(void **state)
{
    (void)state;
    ingot_ksuid id = {{0}};
    assert_true(ingot_ksuid_is_none(&id));
    assert_int_equal(ingot_ksuid_compare(&id, &id), 0);
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        memset(&id, 0, sizeof id);
        id.bytes[i] = 1;
        assert_false(ingot_ksuid_is_none(&id));
    }
}

static uint64_t counter_of(const ingot_ksuid *id)
{
    uint64_t counter = 0;
    for (size_t i = 4; i < 10; i++)
        counter = counter << 8 | id->bytes[i];
    return counter;
}

static void an_id_is_seconds_counter_and_random(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US + 999999, .random = 0xcc};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator;
    ingot_ksuid id, next;
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate(&generator, &toolkit, &id);
    assert_int_equal(ingot_ksuid_time_us(&id), TODAY_US);
    assert_int_equal(counter_of(&id), 0x4ccccccccccdULL);
    for (size_t i = 10; i < 20; i++)
        assert_int_equal(id.bytes[i], 0xcc);
    ingot_ksuid_generate(&generator, &toolkit, &next);
    assert_int_equal(counter_of(&next), counter_of(&id) + 1);
}

static void each_second_begins_at_another_place_with_room_to_count(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator;
    ingot_ksuid id;
    uint64_t previous = 0, ones = 0;
    ingot_ksuid_generator_init(&generator);
    toolkit.random = NULL;
    for (int i = 0; i < 200; i++, world.now_us += IGT_SECOND_US) {
        ingot_ksuid_generate(&generator, &toolkit, &id);
        assert_int_equal(counter_of(&id) >> 47, 0);
        assert_true(counter_of(&id) != previous + 1);
        previous = counter_of(&id);
        ones |= previous;
    }
    assert_int_equal(ones, COUNTER_MAX >> 1);
}

static void generated_ids_grow_with_any_clock_and_any_random_numbers(void **state)
{
    (void)state;
    static const int64_t clocks[] = {
        0,         TODAY_US,  TODAY_US - IGT_HOUR_US,   TODAY_US + IGT_SECOND_US,
        INT64_MIN, INT64_MAX, TODAY_US + IGT_SECOND_US, INT64_MAX};
    for (int random = 0; random < 256; random += 51) {
        struct world world = {.random = (unsigned char)random};
        struct ingot_toolkit toolkit = toolkit_of(&world);
        struct ingot_ksuid_generator generator;
        ingot_ksuid id, previous = {{0}};
        ingot_ksuid_generator_init(&generator);
        for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
            world.now_us = clocks[i];
            for (int n = 0; n < 3; n++) {
                ingot_ksuid_generate(&generator, &toolkit, &id);
                assert_true(ingot_ksuid_compare(&id, &previous) > 0);
                previous = id;
            }
        }
    }
}

static void seconds_do_not_go_back_with_the_clock(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator;
    ingot_ksuid id;
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate(&generator, &toolkit, &id);
    world.now_us -= IGT_DAY_US;
    ingot_ksuid_generate(&generator, &toolkit, &id);
    assert_int_equal(ingot_ksuid_time_us(&id), TODAY_US);
}

static void a_clock_outside_of_what_ksuids_can_say_gives_their_first_or_last_second(void **state)
{
    (void)state;
    static const int64_t clocks[] = {INT64_MIN, 0, INT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct world world = {.now_us = clocks[i]};
        struct ingot_toolkit toolkit = toolkit_of(&world);
        struct ingot_ksuid_generator generator;
        ingot_ksuid id;
        ingot_ksuid_generator_init(&generator);
        ingot_ksuid_generate(&generator, &toolkit, &id);
        assert_int_equal(ingot_ksuid_time_us(&id) / IGT_SECOND_US - INGOT_KSUID_EPOCH,
                         clocks[i] > 0 ? UINT32_MAX : 0);
    }
}

static void a_full_counter_goes_on_in_the_next_second(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator = {400000000, COUNTER_MAX - 1};
    ingot_ksuid last, id;
    ingot_ksuid_generate(&generator, &toolkit, &last);
    assert_int_equal(counter_of(&last), COUNTER_MAX);
    ingot_ksuid_generate(&generator, &toolkit, &id);
    assert_true(ingot_ksuid_compare(&id, &last) > 0);
    assert_int_equal(ingot_ksuid_time_us(&id), TODAY_US + IGT_SECOND_US);
    assert_int_equal(counter_of(&id) >> 47, 0);
}

static void an_id_for_a_job_has_the_second_of_its_event(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US, .random = 7};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator;
    ingot_ksuid event, previous, id;
    memcpy(event.bytes, published[0].bytes, sizeof event.bytes);
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate_for(&generator, &toolkit, &event, &previous);
    assert_true(counter_of(&previous) != 0);
    for (int i = 0; i < 10; i++) {
        ingot_ksuid_generate_for(&generator, &toolkit, &event, &id);
        assert_int_equal(ingot_ksuid_time_us(&id), ingot_ksuid_time_us(&event));
        assert_true(ingot_ksuid_compare(&id, &previous) > 0);
        previous = id;
    }
    ingot_ksuid_generate_for(&generator, &toolkit, &event, &event);
    assert_int_equal(ingot_ksuid_time_us(&event), ingot_ksuid_time_us(&id));
}

static void ids_for_jobs_do_not_disturb_the_growth_of_the_others(void **state)
{
    (void)state;
    struct world world = {.now_us = TODAY_US};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    struct ingot_ksuid_generator generator = {400000000, COUNTER_MAX - 2};
    ingot_ksuid event = {{0xff}}, previous = {{0}}, id, job;
    for (int i = 0; i < 5; i++) {
        ingot_ksuid_generate(&generator, &toolkit, &id);
        assert_true(ingot_ksuid_compare(&id, &previous) > 0);
        previous = id;
        ingot_ksuid_generate_for(&generator, &toolkit, &event, &job);
    }
}

static void two_generators_on_the_system_do_not_meet(void **state)
{
    (void)state;
    struct ingot_ksuid_generator a = {400000000, 1}, b = {400000000, 1};
    ingot_ksuid event = {{0}}, from_a, from_b;
    for (int i = 0; i < 1000; i++) {
        ingot_ksuid_generate_for(&a, NULL, &event, &from_a);
        ingot_ksuid_generate_for(&b, NULL, &event, &from_b);
        assert_int_equal(counter_of(&from_a), counter_of(&from_b));
        assert_int_not_equal(ingot_ksuid_compare(&from_a, &from_b), 0);
    }
}

static void without_a_clock_the_system_s_serves(void **state)
{
    (void)state;
    struct ingot_toolkit empty = {0};
    int64_t now_us = (int64_t)time(NULL) * IGT_SECOND_US;
    assert_true(igt_now_us(NULL) >= now_us && igt_now_us(NULL) < now_us + IGT_MINUTE_US);
    assert_true(igt_now_us(&empty) >= now_us && igt_now_us(&empty) < now_us + IGT_MINUTE_US);
    struct world world = {.now_us = 42};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    assert_int_equal(igt_now_us(&toolkit), 42);
}

static void random_bytes_of_any_size_fill_the_whole_range(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 10, 511, 512, 513, 4000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char bytes[4001] = {0}, ever[4001] = {0};
        for (int n = 0; n < 20; n++) {
            igt_random(NULL, bytes, sizes[i]);
            for (size_t at = 0; at < sizeof bytes; at++)
                ever[at] |= bytes[at];
        }
        for (size_t at = 0; at < sizeof bytes; at++)
            assert_int_equal(ever[at] != 0, at < sizes[i]);
    }
}

static void a_child_does_not_draw_its_parent_s_random_numbers(void **state)
{
    (void)state;
    unsigned char mine[16], theirs[16] = {0};
    int pipe_ends[2], exit_status;
    igt_random(NULL, mine, sizeof mine);
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        igt_random(NULL, mine, sizeof mine);
        _exit(write(pipe_ends[1], mine, sizeof mine) != sizeof mine);
    }
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_int_equal(exit_status, 0);
    assert_int_equal(read(pipe_ends[0], theirs, sizeof theirs), sizeof theirs);
    igt_random(NULL, mine, sizeof mine);
    assert_memory_not_equal(mine, theirs, sizeof mine);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void a_log_message_is_cut_at_1024_bytes(void **state)
{
    (void)state;
    struct world world = {0};
    struct ingot_toolkit toolkit = toolkit_of(&world);
    igt_log(&toolkit, INGOT_WARN, "what=%s n=%d", "thing", 7);
    assert_string_equal(world.logged, "what=thing n=7");
    assert_int_equal(world.level, INGOT_WARN);
    igt_log(&toolkit, INGOT_INFO, "%3000d", 7);
    assert_int_equal(strlen(world.logged), IGT_LOG_BYTES_MAX);
}

static void without_a_toolkit_nothing_is_logged_and_nothing_stopped(void **state)
{
    (void)state;
    struct world world = {0};
    struct ingot_toolkit toolkit = toolkit_of(&world), empty = {0};
    igt_log(NULL, INGOT_ERROR, "n=%d", 7);
    igt_log(&empty, INGOT_ERROR, "n=%d", 7);
    assert_int_equal(igt_progress(NULL, 1, 1), 0);
    assert_int_equal(igt_progress(&empty, 1, 1), 0);
    assert_int_equal(igt_progress(&toolkit, 1, 2), 0);
    assert_int_equal(igt_progress(&toolkit, 2, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_ksuids_are_read),
        cmocka_unit_test(the_published_ksuids_are_written),
        cmocka_unit_test(a_ksuid_of_another_length_is_refused),
        cmocka_unit_test(a_ksuid_with_any_other_byte_is_refused),
        cmocka_unit_test(a_ksuid_beyond_the_greatest_is_refused),
        cmocka_unit_test(texts_are_those_of_slow_arithmetic),
        cmocka_unit_test(every_text_beyond_the_greatest_is_refused),
        cmocka_unit_test(the_order_of_ids_is_the_order_of_their_texts),
        cmocka_unit_test(only_the_id_of_all_zero_bytes_is_none),
        cmocka_unit_test(an_id_is_seconds_counter_and_random),
        cmocka_unit_test(each_second_begins_at_another_place_with_room_to_count),
        cmocka_unit_test(generated_ids_grow_with_any_clock_and_any_random_numbers),
        cmocka_unit_test(seconds_do_not_go_back_with_the_clock),
        cmocka_unit_test(a_clock_outside_of_what_ksuids_can_say_gives_their_first_or_last_second),
        cmocka_unit_test(a_full_counter_goes_on_in_the_next_second),
        cmocka_unit_test(an_id_for_a_job_has_the_second_of_its_event),
        cmocka_unit_test(ids_for_jobs_do_not_disturb_the_growth_of_the_others),
        cmocka_unit_test(two_generators_on_the_system_do_not_meet),
        cmocka_unit_test(without_a_clock_the_system_s_serves),
        cmocka_unit_test(random_bytes_of_any_size_fill_the_whole_range),
        cmocka_unit_test(a_child_does_not_draw_its_parent_s_random_numbers),
        cmocka_unit_test(a_log_message_is_cut_at_1024_bytes),
        cmocka_unit_test(without_a_toolkit_nothing_is_logged_and_nothing_stopped),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ksuid", tests, NULL, NULL);
}
