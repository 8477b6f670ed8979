/* KSUIDs: their text, 27 digits of base 62, and a generator of growing ones; see ingot.h. */
#include "instant.h"
#include "toolkit.h"

#include <string.h>

#define BASE 62u
#define GROUP_DIGITS 5   /* that are taken at a time, for divisions cost */
#define GROUP 916132832u /* BASE to that power */
#define LIMBS 5          /* of 32 bits: the 160 bits of an id as one number, the highest first */
#define COUNTER_MAX ((UINT64_C(1) << 48) - 1)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Writes the lowest size bytes of value, big endian. */
static void write_bytes(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = size; i-- > 0; value >>= 8)
        bytes[i] = (uint8_t)value;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'z' ? c - 'a' + 36 : -1;
}

/* limbs * factor + addend; returns what does not fit. */
static uint64_t push(uint32_t limbs[LIMBS], uint32_t factor, uint32_t addend)
{
    uint64_t carry = addend;
    for (size_t i = LIMBS; i-- > 0; carry >>= 32) {
        carry += (uint64_t)limbs[i] * factor;
        limbs[i] = (uint32_t)carry;
    }
    return carry;
}

/* limbs / GROUP; returns the remainder. */
static uint32_t pop_group(uint32_t limbs[LIMBS])
{
    uint64_t rest = 0;
    for (size_t i = 0; i < LIMBS; i++) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / GROUP);
        rest %= GROUP;
    }
    return (uint32_t)rest;
}

enum ingot_status ingot_ksuid_parse(struct ingot_bytes text, ingot_ksuid *ret_id,
                                    struct ingot_error *err)
{
    const char *chars = text.data;
    size_t len = chars ? text.len : 0;
    uint32_t limbs[LIMBS] = {0};
    if (len != INGOT_KSUID_TEXT_LEN)
        return ingot_error_set(err, INGOT_INVALID, "a KSUID has %d characters, this has %zu",
                               INGOT_KSUID_TEXT_LEN, len);
    uint32_t group = 0, factor = 1;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_value(chars[i]);
        if (digit < 0)
            return ingot_error_set(err, INGOT_INVALID,
                                   "a KSUID has only 0-9, A-Z and a-z; look at character %zu",
                                   i + 1);
        group = group * BASE + (uint32_t)digit;
        factor *= BASE;
        if (factor < GROUP && i + 1 < len)
            continue;
        uint64_t beyond = push(limbs, factor, group);
        group = 0;
        factor = 1;
        if (beyond)
            return ingot_error_set(err, INGOT_INVALID,
                                   "a KSUID is at most aWgEPTl1tmebfsQzFP4bxwgy80V, "
                                   "this is beyond it");
    }
    for (size_t i = 0; i < LIMBS; i++)
        write_bytes(ret_id->bytes + 4 * i, limbs[i], 4);
    return INGOT_OK;
}

void ingot_ksuid_format(const ingot_ksuid *id, char text[INGOT_KSUID_TEXT_LEN + 1])
{
    uint32_t limbs[LIMBS];
    for (size_t i = 0; i < LIMBS; i++)
        limbs[i] = read_u32(id->bytes + 4 * i);
    uint32_t group = 0;
    for (size_t i = INGOT_KSUID_TEXT_LEN, taken = 0; i-- > 0; taken++) {
        if (taken % GROUP_DIGITS == 0)
            group = pop_group(limbs);
        text[i] = digits[group % BASE];
        group /= BASE;
    }
    text[INGOT_KSUID_TEXT_LEN] = '\0';
}

int ingot_ksuid_compare(const ingot_ksuid *a, const ingot_ksuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

int ingot_ksuid_is_none(const ingot_ksuid *id)
{
    return ingot_ksuid_compare(id, &(ingot_ksuid){{0}}) == 0;
}

int64_t ingot_ksuid_time_us(const ingot_ksuid *id)
{
    return (INGOT_KSUID_EPOCH + (int64_t)read_u32(id->bytes)) * IGT_SECOND_US;
}

/* The clock in the seconds of KSUIDs; what they cannot say becomes their first or last second. */
static uint32_t seconds_now(const struct ingot_toolkit *toolkit)
{
    int64_t seconds = igt_now_us(toolkit) / IGT_SECOND_US - INGOT_KSUID_EPOCH;
    if (seconds < 0)
        return 0;
    return seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

/* A second's first counter: top bit clear for room to count; not 0, which says "not begun". */
static uint64_t first_counter(const struct ingot_toolkit *toolkit)
{
    uint64_t counter;
    igt_random(toolkit, &counter, sizeof counter);
    return (counter & COUNTER_MAX >> 1) | 1;
}

static void begin_second(struct ingot_ksuid_generator *generator,
                         const struct ingot_toolkit *toolkit, uint32_t seconds)
{
    generator->seconds = seconds;
    generator->counter = first_counter(toolkit);
}

static void count(struct ingot_ksuid_generator *generator, const struct ingot_toolkit *toolkit)
{
    if (generator->counter == 0)
        begin_second(generator, toolkit, generator->seconds);
    else if (generator->counter == COUNTER_MAX)
        begin_second(generator, toolkit, generator->seconds + 1);
    else
        generator->counter++;
}

static void compose(const struct ingot_ksuid_generator *generator,
                    const struct ingot_toolkit *toolkit, uint32_t seconds, ingot_ksuid *ret_id)
{
    write_bytes(ret_id->bytes, seconds, 4);
    write_bytes(ret_id->bytes + 4, generator->counter, 6);
    igt_random(toolkit, ret_id->bytes + 10, 10);
}

void ingot_ksuid_generator_init(struct ingot_ksuid_generator *generator)
{
    memset(generator, 0, sizeof *generator);
}

void ingot_ksuid_generate(struct ingot_ksuid_generator *generator,
                          const struct ingot_toolkit *toolkit, ingot_ksuid *ret_id)
{
    uint32_t seconds = seconds_now(toolkit);
    if (seconds > generator->seconds)
        begin_second(generator, toolkit, seconds);
    else
        count(generator, toolkit);
    compose(generator, toolkit, generator->seconds, ret_id);
}

void ingot_ksuid_generate_for(struct ingot_ksuid_generator *generator,
                              const struct ingot_toolkit *toolkit, const ingot_ksuid *event_id,
                              ingot_ksuid *ret_id)
{
    uint32_t seconds = read_u32(event_id->bytes); /* ret_id may be event_id */
    count(generator, toolkit);
    compose(generator, toolkit, seconds, ret_id);
}
