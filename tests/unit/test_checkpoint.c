/* The body of a checkpoint: what is written can be read, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"

#define HEADER_BYTES 48

static struct ingot_bytes bytes_of(const struct igt_buffer *body)
{
    return (struct ingot_bytes){body->data, body->len};
}

/* An id whose bytes count from first on. */
static ingot_ksuid id_from(uint8_t first)
{
    ingot_ksuid id;
    for (uint8_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t)(first + i);
    return id;
}

static void expect_refusal(struct ingot_bytes body)
{
    const ingot_ksuid *ids = NULL;
    size_t count = 77;
    struct ingot_error err = {0};
    assert_int_equal(igt_checkpoint_decode(body, &ids, &count, &err), INGOT_CORRUPT);
    assert_int_equal(err.status, INGOT_CORRUPT);
    assert_null(ids);
    assert_int_equal(count, 77);
    assert_int_equal(igt_checkpoint_decode(body, &ids, &count, NULL), INGOT_CORRUPT);
}

static void the_bytes_are_the_same_for_ever(void **state)
{
    (void)state;
    static const unsigned char header[HEADER_BYTES] = {
        'I',  'G',  'T',  'C',  1,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    2,    0xb0, 0x4e, 0x24, 0x1b, 0xfc, 0xdb, 0x4e, 0x67,
        0xbb, 0xba, 0xfa, 0x63, 0x0b, 0x82, 0x9d, 0x4f, 0xac, 0x5d, 0x9c, 0x28,
        0x1c, 0x2c, 0x41, 0x10, 0xa8, 0xa0, 0x83, 0x51, 0x9d, 0x23, 0x3d, 0x4e};
    struct igt_buffer body = {0};
    ingot_ksuid ids[] = {id_from(1), id_from(0)};
    igt_checkpoint_encode(ids, 2, &body);
    assert_false(body.failed);
    assert_int_equal(body.len, HEADER_BYTES + 2 * 20);
    assert_memory_equal(body.data, header, HEADER_BYTES);
    for (uint8_t i = 0; i < 20; i++) {
        assert_int_equal(body.data[HEADER_BYTES + i], i);
        assert_int_equal(body.data[HEADER_BYTES + 20 + i], i + 1);
    }
    igt_buffer_fini(&body);
}

static void ids_come_back_ascending_and_each_once(void **state)
{
    (void)state;
    enum { IDS = 300 };
    ingot_ksuid ids[IDS];
    const ingot_ksuid *decoded;
    struct igt_buffer body = {0};
    size_t count = 0;
    for (uint8_t i = 0; i < 150; i++) {
        ids[i] = id_from((uint8_t)(149 - i));
        ids[IDS - 1 - i] = ids[i];
    }
    igt_checkpoint_encode(ids, IDS, &body);
    assert_int_equal(igt_checkpoint_decode(bytes_of(&body), &decoded, &count, NULL), INGOT_OK);
    assert_int_equal(count, 150);
    for (uint8_t i = 0; i < 150; i++) {
        const ingot_ksuid expected = id_from(i);
        assert_memory_equal(&decoded[i], &expected, sizeof expected);
    }
    igt_buffer_fini(&body);
}

static void a_lane_without_live_jobs_has_a_checkpoint_too(void **state)
{
    (void)state;
    struct igt_buffer body = {0};
    const ingot_ksuid *decoded;
    size_t count = 77;
    igt_checkpoint_encode(NULL, 0, &body);
    assert_int_equal(body.len, HEADER_BYTES);
    assert_int_equal(igt_checkpoint_decode(bytes_of(&body), &decoded, &count, NULL), INGOT_OK);
    assert_int_equal(count, 0);
    igt_buffer_fini(&body);
}

static void a_body_with_one_wrong_bit_or_another_length_is_refused(void **state)
{
    (void)state;
    struct igt_buffer body = {0};
    ingot_ksuid ids[] = {id_from(1), id_from(2), id_from(3)};
    igt_checkpoint_encode(ids, 3, &body);
    for (size_t i = 0; i < body.len * 8; i++) {
        body.data[i / 8] = (char)(body.data[i / 8] ^ (1 << i % 8));
        expect_refusal(bytes_of(&body));
        body.data[i / 8] = (char)(body.data[i / 8] ^ (1 << i % 8));
    }
    size_t len = body.len;
    igt_buffer_add(&body, ids, sizeof ids);
    for (size_t i = 0; i < body.len; i++) {
        char *exact = malloc(i ? i : 1); /* so that reading beyond it is seen */
        memcpy(exact, body.data, i);
        if (i != len)
            expect_refusal((struct ingot_bytes){exact, i});
        free(exact);
    }
    expect_refusal((struct ingot_bytes){NULL, 0});
    igt_buffer_fini(&body);
}

static void ids_that_do_not_ascend_are_refused_whatever_the_checksum_says(void **state)
{
    (void)state;
    const ingot_ksuid wrong[][2] = {{id_from(2), id_from(1)}, {id_from(1), id_from(1)}};
    for (size_t i = 0; i < 2; i++) {
        struct igt_buffer body = {0};
        ingot_ksuid ids[] = {id_from(1), id_from(2)};
        igt_checkpoint_encode(ids, 2, &body);
        memcpy(body.data + HEADER_BYTES, wrong[i], sizeof wrong[i]);
        assert_true(EVP_Digest(wrong[i], sizeof wrong[i], (unsigned char *)body.data + 16, NULL,
                               EVP_sha256(), NULL));
        expect_refusal(bytes_of(&body));
        igt_buffer_fini(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_the_same_for_ever),
        cmocka_unit_test(ids_come_back_ascending_and_each_once),
        cmocka_unit_test(a_lane_without_live_jobs_has_a_checkpoint_too),
        cmocka_unit_test(a_body_with_one_wrong_bit_or_another_length_is_refused),
        cmocka_unit_test(ids_that_do_not_ascend_are_refused_whatever_the_checksum_says),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
