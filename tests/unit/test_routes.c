/* Routes: their canonical text, and which jobs they give an event. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/routes.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int set_up(void **state)
{
    *state = igt_arena_create();
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    igt_arena_destroy(*state);
    return 0;
}

static struct ingot_bytes text(const char *characters)
{
    return ingot_bytes_of(characters);
}

static void routes_are_written_in_one_order_whatever_theirs_was(void **state)
{
    (void)state;
    const struct ingot_bytes some[] = {text("b"), text("!"), text("*"), text("a.b"), text("a")};
    const struct ingot_bytes one[] = {text("say \"x\"")};
    const struct igt_route routes[] = {
        {text("web"), one, 1}, {text("billing"), some, 5}, {text("bill"), NULL, 0}};
    struct igt_buffer buffer = {0};
    igt_routes_encode(&buffer, &(struct igt_routes){routes, COUNT(routes)});
    assert_string_equal(buffer.data,
                        "{\"destinations\":[{\"name\":\"bill\",\"events\":[]},"
                        "{\"name\":\"billing\",\"events\":[\"*\",\"!\",\"a\",\"a.b\",\"b\"]},"
                        "{\"name\":\"web\",\"events\":[\"say \\\"x\\\"\"]}]}");
    igt_buffer_fini(&buffer);
    igt_routes_encode(&buffer, &(struct igt_routes){NULL, 0});
    assert_string_equal(buffer.data, "{\"destinations\":[]}");
    igt_buffer_fini(&buffer);
}

static void routes_that_were_written_are_read_as_they_were(void **state)
{
    static const char *const texts[] = {
        "{\"destinations\":[]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[\"*\"]},"
        "{\"name\":\"a\\\"\\n\\u0001\",\"events\":[\"*\",\"!\",\"a\",\"b\"]},"
        "{\"name\":\"\xc3\xa9\",\"events\":[\"a\\\\b\"]}]}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct igt_buffer buffer = {0}, again = {0};
        struct igt_routes routes;
        struct ingot_error err = {0};
        igt_buffer_add_text(&buffer, texts[i]);
        assert_int_equal(
            igt_routes_decode((struct ingot_bytes){buffer.data, buffer.len}, *state, &routes, &err),
            INGOT_OK);
        memset(buffer.data, 'x', buffer.len); /* what was read is a copy */
        igt_routes_encode(&again, &routes);
        assert_string_equal(again.data, texts[i]);
        igt_buffer_fini(&again);
        igt_buffer_fini(&buffer);
    }
}

static void routes_that_are_not_canonical_are_corrupt(void **state)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"destinations\":null}",
        "{\"destinations\":{}}",
        "{\"destinations\":[]} ",
        "{ \"destinations\":[]}",
        "{\"destinations\":[],\"x\":1}",
        "{\"destinations\":[null]}",
        "{\"destinations\":[[]]}",
        "{\"destinations\":[{}]}",
        "{\"destinations\":[{\"name\":\"a\"}]}",
        "{\"destinations\":[{\"events\":[]}]}",
        "{\"destinations\":[{\"events\":[],\"name\":\"a\"}]}",
        "{\"destinations\":[{\"name\":1,\"events\":[]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":{}}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[1]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[null]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[],\"x\":1}]}",
        "{\"destinations\":[{\"name\":\"\\u0061\",\"events\":[]}]}",
        "{\"destinations\":[{\"name\":\"b\",\"events\":[]},{\"name\":\"a\",\"events\":[]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[]},{\"name\":\"a\",\"events\":[]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[\"b\",\"a\"]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[\"a\",\"a\"]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[\"!\",\"*\"]}]}",
        "{\"destinations\":[{\"name\":\"a\",\"events\":[\"*\",\"*\"]}]}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct igt_routes routes = {NULL, 99};
        struct ingot_error err = {0};
        if (igt_routes_decode(text(texts[i]), *state, &routes, &err) != INGOT_CORRUPT)
            fail_msg("%s: status %d", texts[i], err.status);
        assert_int_equal(err.status, INGOT_CORRUPT);
        assert_non_null(strstr(err.message, "published routes"));
        assert_int_equal(routes.route_count, 99);
    }
}

struct wanted_job {
    const char *destination, *event;
};

static void assert_jobs(struct igt_arena *arena, const char *name, const struct wanted_job *wanted,
                        size_t count)
{
    const struct ingot_bytes both[] = {text("*"), text("user.created")};
    const struct ingot_bytes all[] = {text("*")};
    const struct ingot_bytes specific[] = {text("user.created"), text("user.deleted")};
    const struct igt_route routes[] = {{text("audit"), all, 1},
                                       {text("billing"), both, 2},
                                       {text("crm"), NULL, 0},
                                       {text("mail"), specific, 2}};
    struct ingot_ksuid_generator generator;
    struct ingot_job before;
    struct ingot_event event = {.name = text(name), .jobs = &before, .job_count = 1};
    ingot_ksuid_generator_init(&generator);
    ingot_ksuid_generate(&generator, NULL, &event.id);
    assert_int_equal(igt_routes_apply(&(struct igt_routes){routes, COUNT(routes)}, &generator, NULL,
                                      arena, &event),
                     INGOT_OK);
    assert_int_equal(event.job_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct ingot_job *job = &event.jobs[i];
        assert_true(ingot_bytes_equal(job->destination, text(wanted[i].destination)));
        for (size_t k = 0; k < COUNT(routes); k++) /* it outlives the routes */
            assert_ptr_not_equal(job->destination.data, routes[k].destination.data);
        assert_true(ingot_bytes_equal(job->event, text(wanted[i].event)));
        assert_int_equal(job->number, i);
        assert_memory_equal(&job->event_id, &event.id, sizeof event.id);
        assert_memory_equal(&job->id, &event.id, 4); /* the second of its event */
        assert_null(job->context.data);
        assert_null(job->data.data);
        assert_true(ingot_ksuid_is_none(&job->parent_job_id));
        assert_true(job->due_us == INGOT_NO_TIME);
        if (i)
            assert_true(ingot_ksuid_compare(&event.jobs[i - 1].id, &job->id) < 0);
    }
}

static void row_77_a_destination_gets_a_job_for_the_name_and_one_for_the_wildcard(void **state)
{
    assert_jobs(*state, "user.created",
                (struct wanted_job[]){{"audit", "*"},
                                      {"billing", "user.created"},
                                      {"billing", "*"},
                                      {"mail", "user.created"}},
                4);
    assert_jobs(*state, "user.deleted",
                (struct wanted_job[]){{"audit", "*"}, {"billing", "*"}, {"mail", "user.deleted"}},
                3);
    assert_jobs(*state, "user.create", (struct wanted_job[]){{"audit", "*"}, {"billing", "*"}}, 2);
}

static void an_event_named_like_the_wildcard_gets_no_job_twice(void **state)
{
    assert_jobs(*state, "*", (struct wanted_job[]){{"audit", "*"}, {"billing", "*"}}, 2);
}

static void an_event_that_nobody_wants_gets_no_job(void **state)
{
    const struct ingot_bytes events[] = {text("a")};
    const struct igt_route route = {text("x"), events, 1};
    struct ingot_ksuid_generator generator;
    struct ingot_job before;
    struct ingot_event event = {.name = text("b"), .jobs = &before, .job_count = 1};
    ingot_ksuid_generator_init(&generator);
    assert_int_equal(
        igt_routes_apply(&(struct igt_routes){&route, 1}, &generator, NULL, *state, &event),
        INGOT_OK);
    assert_null(event.jobs);
    assert_int_equal(event.job_count, 0);
    assert_int_equal(
        igt_routes_apply(&(struct igt_routes){NULL, 0}, &generator, NULL, *state, &event),
        INGOT_OK);
    assert_int_equal(event.job_count, 0);
}

#define in_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_written_in_one_order_whatever_theirs_was),
        in_arena(routes_that_were_written_are_read_as_they_were),
        in_arena(routes_that_are_not_canonical_are_corrupt),
        in_arena(row_77_a_destination_gets_a_job_for_the_name_and_one_for_the_wildcard),
        in_arena(an_event_named_like_the_wildcard_gets_no_job_twice),
        in_arena(an_event_that_nobody_wants_gets_no_job),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
