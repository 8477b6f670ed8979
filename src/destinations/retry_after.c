/* The Retry-After header of HTTP (RFC 9110 section 10.2.3); see destination.h. */
#include "destination.h"

#include "core/instant.h"
#include "core/limits.h"

#include <string.h>

/*
 * The three forms of HTTP-date (RFC 9110 section 5.6.7), all of which a
 * recipient must accept. %w and %W are the day's short and long name, %d its
 * number of two digits and %e the same with a space for a zero, %b the month,
 * %Y and %y the year, %h %m %s the time.
 */
static const char *const forms[] = {
    "%w, %d %b %Y %h:%m:%s GMT",
    "%W, %d-%b-%y %h:%m:%s GMT",
    "%w %b %e %h:%m:%s %Y",
};

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const long_days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* The readers below take from the beginning of text; its data becomes NULL at the first mistake. */
static void skip(struct ingot_bytes *text, size_t len)
{
    text->data = (const char *)text->data + len;
    text->len -= len;
}

static int read_name(struct ingot_bytes *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (text->data && text->len >= len && memcmp(text->data, names[i], len) == 0) {
            skip(text, len);
            return i;
        }
    }
    text->data = NULL;
    return 0;
}

static int read_number(struct ingot_bytes *text, size_t digits)
{
    int number = 0;
    for (size_t i = 0; i < digits && text->data; i++) {
        unsigned char c = text->len ? *(const unsigned char *)text->data : 0;
        if (c >= '0' && c <= '9') {
            number = number * 10 + (c - '0');
            skip(text, 1);
        } else {
            text->data = NULL;
        }
    }
    return number;
}

/* A year of two digits that seems more than 50 years ahead lies in the past. */
static int64_t whole_year(int digits, int64_t now_us)
{
    struct igt_civil now;
    igt_time_to_civil(now_us, &now);
    int64_t year = now.year - now.year % 100 + digits;
    return year > now.year + 50 ? year - 100 : year;
}

static void read_field(struct ingot_bytes *text, char field, int64_t now_us,
                       struct igt_civil *civil)
{
    switch (field) {
    case 'w':
        read_name(text, days, 7);
        break;
    case 'W':
        read_name(text, long_days, 7);
        break;
    case 'e':
        if (text->data && text->len && *(const char *)text->data == ' ') {
            skip(text, 1);
            civil->day = read_number(text, 1);
            break;
        }
        /* fall through */
    case 'd':
        civil->day = read_number(text, 2);
        break;
    case 'b':
        civil->month = read_name(text, months, 12) + 1;
        break;
    case 'Y':
        civil->year = read_number(text, 4);
        break;
    case 'y':
        civil->year = whole_year(read_number(text, 2), now_us);
        break;
    case 'h':
        civil->hour = read_number(text, 2);
        break;
    case 'm':
        civil->minute = read_number(text, 2);
        break;
    default:
        civil->second = read_number(text, 2);
    }
}

static int64_t read_date(struct ingot_bytes text, const char *form, int64_t now_us)
{
    struct igt_civil civil = {0};
    for (const char *at = form; *at && text.data; at++) {
        if (*at == '%')
            read_field(&text, *++at, now_us, &civil);
        else if (text.len && *(const char *)text.data == *at)
            skip(&text, 1);
        else
            text.data = NULL;
    }
    if (!text.data || text.len || civil.day < 1 ||
        civil.day > igt_days_in_month(civil.year, civil.month) || civil.hour > 23 ||
        civil.minute > 59 || civil.second > 60)
        return INGOT_NO_TIME;
    /* A leap second is the next minute's first. */
    int64_t seconds = civil.second;
    civil.second = 0;
    return igt_time_from_civil(&civil) + seconds * IGT_SECOND_US;
}

/* Seconds from now; a number too great for the clamp need not be read to its end. */
static int64_t read_delay(struct ingot_bytes text, int64_t now_us)
{
    int64_t seconds = 0;
    for (; text.len; skip(&text, 1)) {
        unsigned char c = *(const unsigned char *)text.data;
        if (c < '0' || c > '9')
            return INGOT_NO_TIME;
        if (seconds <= IGT_RETRY_AFTER_US_MAX / IGT_SECOND_US)
            seconds = seconds * 10 + (c - '0');
    }
    return now_us + seconds * IGT_SECOND_US;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

int64_t igt_retry_after_parse(struct ingot_bytes value, int64_t now_us)
{
    while (value.len && is_space(*(const char *)value.data))
        skip(&value, 1);
    while (value.len && is_space(((const char *)value.data)[value.len - 1]))
        value.len--;
    if (!value.len)
        return INGOT_NO_TIME;
    int64_t time_us = read_delay(value, now_us);
    for (size_t i = 0; i < sizeof forms / sizeof *forms && time_us == INGOT_NO_TIME; i++)
        time_us = read_date(value, forms[i], now_us);
    if (time_us == INGOT_NO_TIME)
        return INGOT_NO_TIME;
    if (time_us < now_us)
        return now_us;
    return time_us > now_us + IGT_RETRY_AFTER_US_MAX ? now_us + IGT_RETRY_AFTER_US_MAX : time_us;
}
