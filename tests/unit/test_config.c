/* The configuration: what each key gives, how schedules merge, what is refused in what words. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/instant.h"
#include "core/limits.h"
#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES_MAX (3u << 20)

static struct igt_config *parse(const char *text)
{
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    if (igt_config_parse("c.yaml", ingot_bytes_of(text), &config, &err))
        fail_msg("%s", err.message);
    return config;
}

/* Expects the text to be refused, and gives the message. */
static const char *refusal(struct ingot_bytes text, struct ingot_error *err)
{
    struct igt_config *config = NULL;
    memset(err, 0, sizeof *err);
    assert_int_equal(igt_config_parse("c.yaml", text, &config, err), INGOT_INVALID);
    assert_null(config);
    assert_int_equal(err->status, INGOT_INVALID);
    return err->message;
}

static const struct igt_policy *policy_of(const struct igt_config_destination *destination,
                                          const char *event)
{
    return igt_config_policy(destination, ingot_bytes_of(event));
}

static void assert_default_policy(const struct igt_policy *policy)
{
    assert_int_equal(policy->schedule.kind, igt_policy_default.schedule.kind);
    assert_int_equal(policy->schedule.every_us, igt_policy_default.schedule.every_us);
    assert_int_equal(policy->first, igt_policy_default.first);
    assert_int_equal(policy->retries_max, igt_policy_default.retries_max);
    assert_true(policy->backoff == igt_policy_default.backoff);
    assert_true(policy->jitter == igt_policy_default.jitter);
    assert_int_equal(policy->interval_us_max, igt_policy_default.interval_us_max);
}

static const char full[] = "store: sqlite:/var/lib/ingot/i.db\n"
                           "listen: '[::1]:9000'\n"
                           "shutdown: 1m\n"
                           "destinations:\n"
                           "  billing:\n"
                           "    kind: http\n"
                           "    url: https://billing.example:8443/hook?x=1\n"
                           "    headers: {Authorization: Bearer x, X-Count: 5}\n"
                           "    addresses: any\n"
                           "    timeout: 1m30s\n"
                           "    concurrency: 1024\n"
                           "    schedule: \"@every 10s\"\n"
                           "    retries: 20\n"
                           "    backoff: 2.5\n"
                           "    max_interval: 1h\n"
                           "    jitter: 0.25\n"
                           "    realtime: false\n"
                           "    events:\n"
                           "      user.created: {schedule: \"@daily\", retries: none}\n"
                           "      \"*\":\n"
                           "  audit:\n"
                           "    kind: command\n"
                           "    command: [/usr/bin/tee, -a, '', \"two\\nlines\"]\n"
                           "    env: {LANG: C, EMPTY: ''}\n"
                           "    events: [user.deleted, \"*\"]\n"
                           "defaults:\n"
                           "  jitter: 0\n";

static const char full_json[] =
    "{\"store\": \"sqlite:/var/lib/ingot/i.db\", \"listen\": \"[::1]:9000\",\"shutdown\":\"1m\",\n"
    "\t\"destinations\": {\n"
    "\t\t\"billing\": {\"kind\":\"http\", "
    "\"url\":\"https:\\/\\/billing.example:8443\\/hook?x=1\",\n"
    "\t\t\t\"headers\": {\"Authorization\": \"Bearer x\", \"X-Count\": \"5\"},\n"
    "\t\t\t\"addresses\":\"any\",\"timeout\":\"1m30s\",\"concurrency\":1024,\n"
    "\t\t\t\"schedule\":\"@every 10s\",\"retries\":20,\"backoff\":2.5,\"max_interval\":\"1h\",\n"
    "\t\t\t\"jitter\":0.25,\"realtime\":false,\n"
    "\t\t\t\"events\":{\"user.created\":{\"schedule\":\"@daily\",\"retries\":\"none\"},\"*\":null}}"
    ",\n"
    "\t\t\"audit\": {\"kind\":\"command\",\n"
    "\t\t\t\"command\":[\"/usr/bin/tee\",\"-a\",\"\",\"two\\u000alines\"],\n"
    "\t\t\t\"env\":{\"LANG\":\"C\",\"EMPTY\":\"\"},\"events\":[\"user.deleted\",\"*\"]}},\n"
    "\t\"defaults\": {\"jitter\": 0}}\n";

static void check_billing(const struct igt_config_destination *billing)
{
    assert_string_equal(billing->name, "billing");
    assert_int_equal(billing->kind, IGT_KIND_HTTP);
    assert_string_equal(billing->http.url, "https://billing.example:8443/hook?x=1");
    assert_int_equal(billing->http.header_count, 2);
    assert_string_equal(billing->http.headers[0], "Authorization: Bearer x");
    assert_string_equal(billing->http.headers[1], "X-Count: 5");
    assert_int_equal(billing->http.addresses, IGT_ADDRESSES_ANY);
    assert_int_equal(billing->http.timeout_us, 90 * IGT_SECOND_US);
    assert_int_equal(billing->concurrency, 1024);
    assert_int_equal(billing->policy.schedule.kind, IGT_SCHEDULE_EVERY);
    assert_int_equal(billing->policy.schedule.every_us, 10 * IGT_SECOND_US);
    assert_int_equal(billing->policy.retries_max, 20);
    assert_true(billing->policy.backoff == 2.5);
    assert_int_equal(billing->policy.interval_us_max, IGT_HOUR_US);
    assert_true(billing->policy.jitter == 0.25);
    assert_int_equal(billing->policy.first, IGT_FIRST_ON_SCHEDULE);
    assert_int_equal(billing->event_count, 2);
    const struct igt_policy *created = policy_of(billing, "user.created");
    assert_int_equal(created->schedule.kind, IGT_SCHEDULE_CRON);
    assert_int_equal(created->schedule.cron.hours, 1);
    assert_int_equal(created->retries_max, 0);
    assert_true(created->backoff == 2.5);
    assert_int_equal(policy_of(billing, "*")->retries_max, 20);
}

static void check_audit(const struct igt_config_destination *audit)
{
    assert_string_equal(audit->name, "audit");
    assert_int_equal(audit->kind, IGT_KIND_COMMAND);
    assert_string_equal(audit->command.argv[0], "/usr/bin/tee");
    assert_string_equal(audit->command.argv[1], "-a");
    assert_string_equal(audit->command.argv[2], "");
    assert_string_equal(audit->command.argv[3], "two\nlines");
    assert_null(audit->command.argv[4]);
    assert_string_equal(audit->command.env[0], "LANG=C");
    assert_string_equal(audit->command.env[1], "EMPTY=");
    assert_null(audit->command.env[2]);
    assert_int_equal(audit->command.timeout_us, 30 * IGT_SECOND_US);
    assert_int_equal(audit->concurrency, 8);
    assert_true(audit->policy.jitter == 0);
    assert_int_equal(audit->event_count, 2);
}

static void check_full(const char *text)
{
    struct igt_config *config = parse(text);
    assert_string_equal(config->store, "sqlite:/var/lib/ingot/i.db");
    assert_string_equal(config->listen_host, "::1");
    assert_int_equal(config->listen_port, 9000);
    assert_int_equal(config->shutdown_us, IGT_MINUTE_US);
    assert_int_equal(config->destination_count, 2);
    check_audit(&config->destinations[0]);
    check_billing(&config->destinations[1]);
    igt_config_destroy(config);
}

static void every_key_reaches_its_member(void **state)
{
    (void)state;
    check_full(full);
}

static void the_same_configuration_as_json_gives_the_same(void **state)
{
    (void)state;
    check_full(full_json);
}

static void windows_line_ends_and_a_byte_order_mark_change_nothing(void **state)
{
    (void)state;
    char text[2 * sizeof full + 3] = "\xef\xbb\xbf";
    size_t len = 3;
    for (const char *at = full; *at; at++) {
        if (*at == '\n')
            text[len++] = '\r';
        text[len++] = *at;
    }
    check_full(text);
}

static void an_empty_text_has_the_defaults_and_no_destinations(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n# nothing\n",
                                        "---\n",
                                        "{}",
                                        "defaults:\ndestinations:\n",
                                        "\xef\xbb\xbf",
                                        "destinations: {}\n",
                                        "~"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct igt_config *config = parse(texts[i]);
        assert_string_equal(config->store, "sqlite:ingot.db");
        assert_string_equal(config->listen_host, "127.0.0.1");
        assert_int_equal(config->listen_port, 8080);
        assert_int_equal(config->shutdown_us, 10 * IGT_SECOND_US);
        assert_int_equal(config->destination_count, 0);
        igt_config_destroy(config);
    }
}

static void a_destination_has_the_documented_defaults(void **state)
{
    (void)state;
    struct igt_config *config =
        parse("destinations: {a: {kind: http, url: 'HTTP://h', events: []}}");
    const struct igt_config_destination *a = &config->destinations[0];
    assert_string_equal(a->http.url, "HTTP://h");
    assert_int_equal(a->http.header_count, 0);
    assert_int_equal(a->http.addresses, IGT_ADDRESSES_PUBLIC);
    assert_int_equal(a->http.timeout_us, 30 * IGT_SECOND_US);
    assert_int_equal(a->concurrency, 8);
    assert_int_equal(a->event_count, 0);
    assert_default_policy(&a->policy);
    igt_config_destroy(config);
    config = parse("destinations: {a: {kind: command, command: [/a], events: []}}");
    assert_non_null(config->destinations[0].command.env);
    assert_null(config->destinations[0].command.env[0]);
    assert_null(config->destinations[0].command.argv[1]);
    igt_config_destroy(config);
}

static void schedule_keys_merge_one_by_one_from_event_to_default(void **state)
{
    (void)state;
    struct igt_config *config = parse("destinations:\n"
                                      "  a:\n"
                                      "    kind: http\n"
                                      "    url: http://h\n"
                                      "    events:\n"
                                      "      e: {retries: 3}\n"
                                      "      f: {realtime: true, max_interval: 2h}\n"
                                      "      g:\n"
                                      "    backoff: 4\n"
                                      "    retries: 0\n"
                                      "  b: {kind: http, url: 'http://h', events: [e]}\n"
                                      "defaults:\n"
                                      "  schedule: '@every 5s'\n"
                                      "  retries: 7\n"
                                      "  backoff: 3\n"
                                      "  realtime: false\n");
    static const struct {
        int destination;
        const char *event;
        uint32_t retries;
        double backoff;
        enum igt_first_attempt first;
        int64_t interval_us_max;
    } cases[] = {
        {0, "e", 3, 4, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
        {0, "f", 0, 4, IGT_FIRST_AT_ONCE, 2 * IGT_HOUR_US},
        {0, "g", 0, 4, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
        {0, "not listed", 0, 4, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
        {0, "*", 0, 4, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
        {1, "e", 7, 3, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
        {1, "", 7, 3, IGT_FIRST_ON_SCHEDULE, IGT_DAY_US},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct igt_policy *policy =
            policy_of(&config->destinations[cases[i].destination], cases[i].event);
        assert_int_equal(policy->schedule.every_us, 5 * IGT_SECOND_US);
        assert_int_equal(policy->retries_max, cases[i].retries);
        assert_true(policy->backoff == cases[i].backoff);
        assert_int_equal(policy->first, cases[i].first);
        assert_int_equal(policy->interval_us_max, cases[i].interval_us_max);
    }
    igt_config_destroy(config);
}

static void values_at_the_ends_of_their_ranges_are_taken(void **state)
{
    (void)state;
    struct igt_config *config =
        parse("listen: 255.255.255.255:65535\n"
              "shutdown: 0s\n"
              "defaults: {retries: 20000, backoff: 1000, jitter: 1,"
              " max_interval: 365d}\n"
              "destinations:\n"
              "  a: {kind: http, url: 'https://[2001:db8::1]:65535/?a@b',"
              " timeout: 1ms, concurrency: 1, events: []}\n"
              "  b: {kind: http, url: 'https://a-b.c_d.:1', timeout: 24h,"
              " backoff: 1.0, jitter: 0.0, max_interval: 1ms, events: []}\n");
    assert_int_equal(config->listen_port, 65535);
    assert_int_equal(config->shutdown_us, 0);
    const struct igt_config_destination *a = &config->destinations[0], *b = a + 1;
    assert_int_equal(a->policy.retries_max, IGT_RETRIES_MAX);
    assert_true(a->policy.backoff == 1000);
    assert_true(a->policy.jitter == 1);
    assert_int_equal(a->policy.interval_us_max, 365 * IGT_DAY_US);
    assert_int_equal(a->http.timeout_us, 1000);
    assert_int_equal(a->concurrency, 1);
    assert_int_equal(b->http.timeout_us, IGT_TIMEOUT_US_MAX);
    assert_true(b->policy.backoff == 1);
    assert_true(b->policy.jitter == 0);
    assert_int_equal(b->policy.interval_us_max, 1000);
    igt_config_destroy(config);
}

static void a_name_of_255_bytes_is_taken_and_one_of_256_is_refused(void **state)
{
    (void)state;
    char name[IGT_NAME_BYTES_MAX + 2] = "", text[2048];
    struct ingot_error err;
    memset(name, 'n', IGT_NAME_BYTES_MAX);
    snprintf(text, sizeof text, "destinations: {%s: {kind: http, url: 'http://h', events: [%s]}}",
             name, name);
    struct igt_config *config = parse(text);
    assert_string_equal(config->destinations[0].name, name);
    assert_int_equal(config->destinations[0].events[0].name.len, IGT_NAME_BYTES_MAX);
    igt_config_destroy(config);
    name[IGT_NAME_BYTES_MAX] = 'n';
    snprintf(text, sizeof text, "destinations: {%s: {}}", name);
    assert_string_equal(refusal(ingot_bytes_of(text), &err),
                        "c.yaml:1:16: a destination's name in the file has 256 bytes; at most 255 "
                        "are allowed");
    snprintf(text, sizeof text, "destinations: {a: {kind: http, url: 'http://h', events: [%s]}}",
             name);
    assert_string_equal(refusal(ingot_bytes_of(text), &err),
                        "c.yaml:1:58: an event's name in destination \"a\" has 256 bytes; at most "
                        "255 are allowed");
}

static void a_long_name_is_cut_between_characters_in_a_message(void **state)
{
    (void)state;
    char name[128] = "a", shown[64] = "a", text[256], message[256];
    struct ingot_error err;
    for (size_t at = 1; at + 2 < sizeof name; at += 2)
        memcpy(name + at, "\xc3\xbc", 3);
    memcpy(shown, name, 47);
    snprintf(text, sizeof text, "destinations: {%s: {retrys: 1}}", name);
    snprintf(message, sizeof message,
             "c.yaml:1:83: unknown key \"retrys\" in destination \"%s\"; did you mean \"retries\"?",
             shown);
    assert_string_equal(refusal(ingot_bytes_of(text), &err), message);
}

/* ---- what is refused ------------------------------------------------------ */

/* Line 5 is the first free one in these destinations, and column 5 its keys'. */
#define HTTP "destinations:\n  a:\n    kind: http\n    url: http://h\n"
#define COMMAND "destinations:\n  a:\n    kind: command\n    command: [/bin/true]\n"
#define EVENTS "    events: []\n"
#define IN_A " in destination \"a\" "

struct bad {
    const char *text;
    const char *message; /* behind "c.yaml:" */
};

static const struct bad bad_yaml[] = {
    {"a: &x 1\n", "1:4: anchors and aliases are not supported; write the value out"},
    {"store: [&x 1]\n", "1:9: anchors and aliases are not supported; write the value out"},
    {"store: &x {}\n", "1:8: anchors and aliases are not supported; write the value out"},
    {"store: *x\n", "1:8: anchors and aliases are not supported; write the value out"},
    {"store: !!str x\n", "1:8: tags are not supported; leave the tag out"},
    {"store: ! x\n", "1:8: tags are not supported; leave the tag out"},
    {"store: !!seq []\n", "1:8: tags are not supported; leave the tag out"},
    {"store: x\n---\nlisten: y\n", "2:1: a second document begins here; only one is allowed"},
    {"store: x\n...\n---\n", "3:1: a second document begins here; only one is allowed"},
    {"store: x\nlisten: y\nstore: z\n",
     "3:1: duplicate key \"store\"; it stands in line 1 already"},
    {"{\"store\": 1,\n \"b\": 1, \"b\": 2, \"store\": 2}",
     "2:10: duplicate key \"b\"; it stands in line 2 already"},
    {"? - a\n: b\n", "1:3: a key must be a single value, not a list or a mapping"},
    {"{a: 1}: b\n", "1:1: a key must be a single value, not a list or a mapping"},
    {"store: [[[[[[[x]]]]]]]\n", "1:8: \"store\" in the file must be a single value"},
    {"store: [[[[[[[[x]]]]]]]]\n", "1:15: nested deeper than 8 levels; no key needs that"},
    {"a: 1\n b: 2\n", "2:3: mapping values are not allowed in this context"},
    {"a: [1, 2\n", "2:1: did not find expected ',' or ']'"},
    {"a: \"x\n", "2:1: found unexpected end of stream"},
    {"a: {b: @x}\n",
     "1:8: no value can begin with this character; quote it, and indent with spaces only"},
    {"\tstore: x\n",
     "1:1: no value can begin with this character; quote it, and indent with spaces only"},
    {HTTP "    events: [*]\n",
     "5:15: write \"*\" in quotes; anchors and aliases are not supported"},
    {"store: x\nlisten: \xff\n", "2:9: invalid leading UTF-8 octet"},
    {"store: x\n# \xc3\xa9 \xc3\n", "2:6: invalid trailing UTF-8 octet"},
    {"store: x\nlisten: \xed\xa0\x80\n", "2:9: invalid Unicode character"},
    {"store: x\x01\n", "1:9: control characters are not allowed"},
    {"store: \"a\\0b\"\n", "1:8: a NUL character cannot stand in a value; remove it"},
    {"\"a\\0b\": 1\n", "1:1: a NUL character cannot stand in a value; remove it"},
};

static const struct bad bad_keys[] = {
    {"- a\n", "1:1: the file must be a mapping of keys"},
    {"text\n", "1:1: the file must be a mapping of keys"},
    {"sotre: x\n", "1:1: unknown key \"sotre\" in the file; did you mean \"store\"?"},
    {"Listen: x\n", "1:1: unknown key \"Listen\" in the file; did you mean \"listen\"?"},
    {"color: x\n", "1:1: unknown key \"color\" in the file; there are store, store_wake, lease, "
                   "listen, shutdown, "
                   "defaults, destinations"},
    {"url: x\n",
     "1:1: unknown key \"url\" in the file; there are store, store_wake, lease, listen, shutdown, "
     "defaults, destinations"},
    {"defaults: {retry: 1}\n",
     "1:12: unknown key \"retry\" in \"defaults\"; there are schedule, retries, backoff, "
     "max_interval, jitter, realtime"},
    {"defaults: {timeout: 1s}\n",
     "1:12: unknown key \"timeout\" in \"defaults\"; there are schedule, retries, backoff, "
     "max_interval, jitter, realtime"},
    {HTTP "    retrys: 1\n",
     "5:5: unknown key \"retrys\" in destination \"a\"; did you mean \"retries\"?"},
    {HTTP "    maxInterval: 1\n",
     "5:5: unknown key \"maxInterval\" in destination \"a\"; did you mean \"max_interval\"?"},
    {HTTP "    ur: 1\n", "5:5: unknown key \"ur\" in destination \"a\"; did you mean \"url\"?"},
    {HTTP "    URLS: 1\n", "5:5: unknown key \"URLS\" in destination \"a\"; did you mean \"url\"?"},
    {HTTP "    foo: 1\n",
     "5:5: unknown key \"foo\" in destination \"a\"; there are kind, url, headers, addresses, "
     "command, env, timeout, concurrency, schedule, retries, backoff, max_interval, jitter, "
     "realtime, events"},
    {HTTP "    events: {e: {concurrency: 1}}\n",
     "5:18: unknown key \"concurrency\" in event \"e\" of destination \"a\"; there are schedule, "
     "retries, backoff, max_interval, jitter, realtime"},
    {"destinations: {a: {}}\n", "1:19: destination \"a\" needs \"kind\", http or command"},
    {"destinations: {a: }\n", "1:19: destination \"a\" needs \"kind\", http or command"},
    {"destinations: {a: b}\n", "1:19: destination \"a\" must be a mapping of keys"},
    {"destinations: {a: {kind: smtp}}\n", "1:26: \"kind\"" IN_A "must be http or command"},
    {"destinations: {a: {kind: null}}\n", "1:26: \"kind\"" IN_A "must be http or command"},
    {"destinations: {a: {kind: [http]}}\n", "1:26: \"kind\"" IN_A "must be http or command"},
    {"destinations: {a: {kind: http, events: []}}\n", "1:19: destination \"a\" needs \"url\""},
    {"destinations: {a: {kind: command, events: []}}\n",
     "1:19: destination \"a\" needs \"command\""},
    {HTTP, "3:5: destination \"a\" needs \"events\""},
    {HTTP "    command: [/a]\n" EVENTS,
     "5:5: \"command\" belongs to kind command, and destination \"a\" is of kind http"},
    {HTTP "    env: {}\n" EVENTS,
     "5:5: \"env\" belongs to kind command, and destination \"a\" is of kind http"},
    {COMMAND "    url: http://h\n" EVENTS,
     "5:5: \"url\" belongs to kind http, and destination \"a\" is of kind command"},
    {COMMAND "    headers: {}\n" EVENTS,
     "5:5: \"headers\" belongs to kind http, and destination \"a\" is of kind command"},
    {COMMAND "    addresses: any\n" EVENTS,
     "5:5: \"addresses\" belongs to kind http, and destination \"a\" is of kind command"},
    {"store:\n", "1:7: \"store\" in the file must be a single value; it has none"},
    {"store: [x]\n", "1:8: \"store\" in the file must be a single value"},
    {"destinations: [a]\n", "1:15: \"destinations\" in the file must be a mapping"},
    {"defaults: 3\n", "1:11: \"defaults\" in the file must be a mapping"},
    {HTTP "    headers: [a]\n" EVENTS, "5:14: \"headers\"" IN_A "must be a mapping"},
    {HTTP "    timeout: {}\n" EVENTS, "5:14: \"timeout\"" IN_A "must be a single value"},
    {HTTP "    timeout: ~\n" EVENTS,
     "5:14: \"timeout\"" IN_A "must be a single value; it has none"},
    {HTTP "    events: e\n", "5:13: \"events\"" IN_A "must be a list or a mapping"},
    {HTTP "    events:\n", "5:12: \"events\"" IN_A "must be a list or a mapping; it has none"},
    {HTTP "    events: {e: 1}\n",
     "5:17: event \"e\" of destination \"a\" must be a mapping of keys"},
};

static const struct bad bad_values[] = {
    {"store: ''\n",
     "1:8: \"store\" in the file must be a store's URL: sqlite:PATH, postgres://… or memory:"},
    {"store: \"a\\nb\"\n",
     "1:8: \"store\" in the file must be a store's URL: sqlite:PATH, postgres://… or memory:"},
    {"shutdown: 10\n",
     "1:11: \"shutdown\" in the file must be a duration from 0s to 1h, such as 30s or 1h30m"},
    {"shutdown: 61m\n",
     "1:11: \"shutdown\" in the file must be a duration from 0s to 1h, such as 30s or 1h30m"},
    {HTTP "    timeout: 0s\n" EVENTS,
     "5:14: \"timeout\"" IN_A "must be a duration from 1ms to 24h, such as 30s or 1h30m"},
    {HTTP "    timeout: 24h1us\n" EVENTS,
     "5:14: \"timeout\"" IN_A "must be a duration from 1ms to 24h, such as 30s or 1h30m"},
    {HTTP "    concurrency: 0\n" EVENTS,
     "5:18: \"concurrency\"" IN_A "must be a whole number from 1 to 1024"},
    {HTTP "    concurrency: 1025\n" EVENTS,
     "5:18: \"concurrency\"" IN_A "must be a whole number from 1 to 1024"},
    {HTTP "    concurrency: 1.5\n" EVENTS,
     "5:18: \"concurrency\"" IN_A "must be a whole number from 1 to 1024"},
    {HTTP "    concurrency: 99999999999999999999\n" EVENTS,
     "5:18: \"concurrency\"" IN_A "must be a whole number from 1 to 1024"},
    {HTTP "    addresses: private\n" EVENTS, "5:16: \"addresses\"" IN_A "must be public or any"},
    {HTTP "    retries: 20001\n" EVENTS,
     "5:14: \"retries\"" IN_A "must be none or a whole number from 0 to 20000"},
    {HTTP "    retries: -1\n" EVENTS,
     "5:14: \"retries\"" IN_A "must be none or a whole number from 0 to 20000"},
    {HTTP "    backoff: 0.99\n" EVENTS, "5:14: \"backoff\"" IN_A "must be a number from 1 to 1000"},
    {HTTP "    backoff: 1e3\n" EVENTS, "5:14: \"backoff\"" IN_A "must be a number from 1 to 1000"},
    {HTTP "    backoff: 1000.1\n" EVENTS,
     "5:14: \"backoff\"" IN_A "must be a number from 1 to 1000"},
    {HTTP "    backoff: 1.2.3\n" EVENTS,
     "5:14: \"backoff\"" IN_A "must be a number from 1 to 1000"},
    {HTTP "    jitter: 1.01\n" EVENTS, "5:13: \"jitter\"" IN_A "must be a number from 0 to 1"},
    {HTTP "    jitter: .5\n" EVENTS, "5:13: \"jitter\"" IN_A "must be a number from 0 to 1"},
    {HTTP "    jitter: nan\n" EVENTS, "5:13: \"jitter\"" IN_A "must be a number from 0 to 1"},
    {HTTP "    max_interval: 999us\n" EVENTS,
     "5:19: \"max_interval\"" IN_A "must be a duration from 1ms to 365d, such as 30s or 1h30m"},
    {HTTP "    max_interval: 366d\n" EVENTS,
     "5:19: \"max_interval\"" IN_A "must be a duration from 1ms to 365d, such as 30s or 1h30m"},
    {HTTP "    realtime: yes\n" EVENTS, "5:15: \"realtime\"" IN_A "must be true or false"},
    {HTTP "    events: {'': {}}\n",
     "5:14: an event's name in destination \"a\" must be a text; quote it if it looks like null"},
    {HTTP "    events: [[e]]\n",
     "5:14: an event's name in destination \"a\" must be a text; quote it if it looks like null"},
    {HTTP "    events: [~]\n",
     "5:14: an event's name in destination \"a\" must be a text; quote it if it looks like null"},
    {HTTP "    events: [\"a\\tb\"]\n",
     "5:14: an event's name in destination \"a\" holds a control character; remove it"},
    {HTTP "    events: [e, '*', e]\n", "5:22: duplicate entry \"e\"; it stands in line 5 already"},
    {"destinations: {'*': {}}\n", "1:16: a destination cannot be called \"*\"; give it a name"},
    {"destinations: {'': {}}\n",
     "1:16: a destination's name in the file must be a text; quote it if it looks like null"},
    {"destinations: {\"a\\x7f\": {}}\n",
     "1:16: a destination's name in the file holds a control character; remove it"},
    {COMMAND "    env: {INGOT_JOB_ID: x}\n" EVENTS,
     "5:11: \"env\"" IN_A "sets a variable INGOT_*, which only Ingot sets; rename it"},
    {COMMAND "    env: {1A: x}\n" EVENTS,
     "5:11: \"env\"" IN_A "has a name that no variable can have"},
    {COMMAND "    env: {A=B: x}\n" EVENTS,
     "5:11: \"env\"" IN_A "has a name that no variable can have"},
    {COMMAND "    env: {A: [x]}\n" EVENTS,
     "5:14: \"env\"" IN_A "may hold only texts; quote what is empty or null"},
    {COMMAND "    env: {A: }\n" EVENTS,
     "5:14: \"env\"" IN_A "may hold only texts; quote what is empty or null"},
};

static const struct bad bad_commands[] = {
    {"[]", "\"command\"" IN_A "must begin with the absolute path of a program"},
    {"[true]", "\"command\"" IN_A "must begin with the absolute path of a program"},
    {"[[/bin/true]]", "\"command\"" IN_A "must begin with the absolute path of a program"},
    {"/bin/true", "\"command\"" IN_A "must be a list"},
    {"[/bin/true, {a: b}]", "\"command\"" IN_A "may hold only texts; quote what is empty or null"},
    {"[/bin/true, ~]", "\"command\"" IN_A "may hold only texts; quote what is empty or null"},
};

/* Values of "headers"; the messages without their place. */
static const struct bad bad_headers[] = {
    {"{Idempotency-Key: x}", "sets Idempotency-Key, which Ingot sets itself; remove it"},
    {"{WEBHOOK-ID: x}", "sets WEBHOOK-ID, which Ingot sets itself; remove it"},
    {"{webhook-signature: x}", "sets webhook-signature, which Ingot sets itself; remove it"},
    {"{ingot-anything: x}", "sets ingot-anything, which Ingot sets itself; remove it"},
    {"{Content-Type: x}", "sets Content-Type, which Ingot sets itself; remove it"},
    {"{content-length: 0}", "sets content-length, which Ingot sets itself; remove it"},
    {"{Host: x}", "sets Host, which Ingot sets itself; remove it"},
    {"{Transfer-Encoding: x}", "sets Transfer-Encoding, which Ingot sets itself; remove it"},
    {"{Connection: x}", "sets Connection, which Ingot sets itself; remove it"},
    {"{Expect: x}", "sets Expect, which Ingot sets itself; remove it"},
    {"{X-A: 1, x-a: 2}", "has a header twice; case does not count in their names"},
    {"{'X A': 1}", "has a name that no header can have"},
    {"{'X:': 1}", "has a name that no header can have"},
    {"{'': 1}", "has a name that no header can have"},
    {"{\"X\\r\\nY\": 1}", "has a name that no header can have"},
    {"{\"X\\xe9\": 1}", "has a name that no header can have"},
    {"{X-A: \"a\\r\\nB: c\"}", "has a value with a control character; remove it"},
    {"{X-A: \"a\\tb\"}", "has a value with a control character; remove it"},
    {"{X-A: }", "has a header without a value; write one or remove it"},
    {"{X-A: '  '}", "has a header without a value; write one or remove it"},
    {"{X-A: [1]}", "has a header without a value; write one or remove it"},
};

/* Values of "url"; the messages without their place. */
static const struct bad bad_urls[] = {
    {"ftp://h", "must begin with http:// or https://"},
    {"''", "must begin with http:// or https://"},
    {"http:/h", "must begin with http:// or https://"},
    {"' http://h'", "must begin with http:// or https://"},
    {"https://", "has no host; write it behind the scheme"},
    {"https:///path", "has no host; write it behind the scheme"},
    {"https://:80/", "has no host; write it behind the scheme"},
    {"https://?q", "has no host; write it behind the scheme"},
    {"https://u:p@h/", "must not hold a user or a password; send them in headers"},
    {"https://u@h", "must not hold a user or a password; send them in headers"},
    {"'https://h/#f'", "must not have a fragment; remove \"#\" and what follows"},
    {"'https://h#@x'", "must not have a fragment; remove \"#\" and what follows"},
    {"'https://h/a b'", "holds a character that must be percent-encoded (in a host: punycode)"},
    {"\"https://h/\\n\"", "holds a character that must be percent-encoded (in a host: punycode)"},
    {"https://h/\xc3\xa9", "holds a character that must be percent-encoded (in a host: punycode)"},
    {"'https://h\\x'", "holds a character that must be percent-encoded (in a host: punycode)"},
    {"https://h%2e/", "has a host that is neither a name nor a numeric address"},
    {"'https://[::g]/'", "has a host that is neither a name nor a numeric address"},
    {"'https://[127.0.0.1]/'", "has a host that is neither a name nor a numeric address"},
    {"'https://[::1/'", "has a host that is neither a name nor a numeric address"},
    {"https://h:0/", "has a port that is not a number from 1 to 65535"},
    {"https://h:/", "has a port that is not a number from 1 to 65535"},
    {"https://h:65536/", "has a port that is not a number from 1 to 65535"},
    {"https://h:8a/", "has a port that is not a number from 1 to 65535"},
    {"'https://[::1]8/'", "has a port that is not a number from 1 to 65535"},
};

static const char *const bad_listens[] = {
    "localhost:80", ":8080",      "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:080800",
    "::1:80",       "[::1]",      "[]:80",     "[::1:80",    "[127.0.0.1]:80",  "[fe80::1%eth0]:80",
    "127.1:80",     "1.2.3.4:8x", "",          "1.2.3.4: 8",
};

static void check_bad(const struct bad *cases, size_t count)
{
    struct ingot_error err;
    char message[sizeof err.message];
    for (size_t i = 0; i < count; i++) {
        snprintf(message, sizeof message, "c.yaml:%s", cases[i].message);
        assert_string_equal(refusal(ingot_bytes_of(cases[i].text), &err), message);
    }
}

static void bad_yaml_is_refused_with_its_place(void **state)
{
    (void)state;
    check_bad(bad_yaml, sizeof bad_yaml / sizeof *bad_yaml);
}

static void keys_that_are_unknown_missing_or_misplaced_are_refused(void **state)
{
    (void)state;
    check_bad(bad_keys, sizeof bad_keys / sizeof *bad_keys);
}

static void values_out_of_their_range_are_refused(void **state)
{
    (void)state;
    check_bad(bad_values, sizeof bad_values / sizeof *bad_values);
}

/* Each text is put into the format; the place and key of the message are the same for all. */
static void check_bad_in(const char *format, const char *prefix, const struct bad *cases,
                         size_t count)
{
    struct ingot_error err;
    char text[512], message[sizeof err.message];
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, format, cases[i].text);
        snprintf(message, sizeof message, "%s%s", prefix, cases[i].message);
        const char *shown = refusal(ingot_bytes_of(text), &err);
        assert_memory_equal(shown, "c.yaml:", 7);
        assert_string_equal(strchr(shown, ' ') + 1, message);
    }
}

static void commands_that_cannot_be_run_are_refused(void **state)
{
    (void)state;
    check_bad_in("destinations: {a: {kind: command, command: %s, events: []}}", "", bad_commands,
                 sizeof bad_commands / sizeof *bad_commands);
}

static void headers_that_ingot_sets_or_that_could_inject_are_refused(void **state)
{
    (void)state;
    check_bad_in(HTTP "    headers: %s\n" EVENTS, "\"headers\"" IN_A, bad_headers,
                 sizeof bad_headers / sizeof *bad_headers);
}

static void urls_that_are_ambiguous_or_hold_a_password_are_refused(void **state)
{
    (void)state;
    check_bad_in("destinations:\n  a:\n    kind: http\n    url: %s\n" EVENTS, "\"url\"" IN_A,
                 bad_urls, sizeof bad_urls / sizeof *bad_urls);
}

static void a_listening_address_that_is_not_numeric_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_listens / sizeof *bad_listens; i++) {
        struct bad bad = {bad_listens[i],
                          "must be a numeric address and a port, such as 127.0.0.1:8080 or "
                          "[::1]:8080"};
        check_bad_in("listen: '%s'\n", "\"listen\" in the file ", &bad, 1);
    }
}

static void a_bad_schedule_is_refused_with_the_reason_of_its_parser(void **state)
{
    (void)state;
    static const char *const schedules[] = {
        "@every", "@every 0s", "@sometimes", "61 * * * *", "* * *", "0 0 30 2 *", ""};
    struct ingot_error err, why;
    struct igt_schedule schedule;
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
        char text[256], message[sizeof err.message];
        memset(&why, 0, sizeof why);
        assert_int_equal(igt_schedule_parse(ingot_bytes_of(schedules[i]), &schedule, &why),
                         INGOT_INVALID);
        snprintf(text, sizeof text, HTTP "    events: {e: {schedule: '%s'}}\n", schedules[i]);
        snprintf(message, sizeof message,
                 "c.yaml:5:28: \"schedule\" in event \"e\" of destination \"a\" is no schedule: "
                 "%.150s",
                 why.message);
        assert_string_equal(refusal(ingot_bytes_of(text), &err), message);
    }
}

static void more_than_64_headers_are_refused(void **state)
{
    (void)state;
    char text[4096];
    struct ingot_error err;
    for (int count = 64; count <= 65; count++) {
        int len = snprintf(text, sizeof text, HTTP EVENTS "    headers:\n");
        for (int i = 0; i < count; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, "      X-%d: v\n", i);
        if (count == 64) {
            struct igt_config *config = parse(text);
            assert_int_equal(config->destinations[0].http.header_count, 64);
            igt_config_destroy(config);
        } else {
            assert_string_equal(refusal(ingot_bytes_of(text), &err),
                                "c.yaml:7:7: \"headers\"" IN_A "has more than 64 headers");
        }
    }
}

static void more_than_4096_destinations_are_refused(void **state)
{
    (void)state;
    char *text = malloc(TEXT_BYTES_MAX);
    struct ingot_error err;
    assert_non_null(text);
    for (int count = 4096; count <= 4097; count++) {
        size_t len = (size_t)snprintf(text, TEXT_BYTES_MAX, "destinations:\n");
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, TEXT_BYTES_MAX - len,
                                    " d%d: {kind: http, url: 'http://h', events: []}\n", i);
        if (count == 4096) {
            struct igt_config *config = parse(text);
            assert_int_equal(config->destination_count, 4096);
            igt_config_destroy(config);
        } else {
            assert_string_equal(refusal(ingot_bytes_of(text), &err),
                                "c.yaml:2:2: \"destinations\" in the file may hold at most 4096 "
                                "destinations");
        }
    }
    free(text);
}

static void a_text_of_more_than_1_mib_is_refused(void **state)
{
    (void)state;
    char *text = malloc(TEXT_BYTES_MAX);
    struct ingot_error err;
    assert_non_null(text);
    memset(text, '#', TEXT_BYTES_MAX);
    text[9] = '\n';
    struct igt_config *config = NULL;
    assert_int_equal(
        igt_config_parse("c.yaml", (struct ingot_bytes){text, 1u << 20}, &config, &err), INGOT_OK);
    igt_config_destroy(config);
    assert_string_equal(refusal((struct ingot_bytes){text, (1u << 20) + 1}, &err),
                        "c.yaml:2:1048567: the file is larger than 1 MiB; shorten it");
    free(text);
}

/* Deep nesting and many names: each kind of text is quadratic in some reader of YAML. */
static void hostile_texts_of_1_mib_are_answered(void **state)
{
    (void)state;
    static const char *const units[] = {"[",   "{",  "- ", "? ", "&a ", "!a ",
                                        "a: ", "\"", "'",  "# ", ","};
    const size_t size = 1u << 20;
    char *text = malloc(size);
    struct ingot_error err;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]);
        struct igt_config *config = NULL;
        for (size_t at = 0; at + unit <= size; at += unit)
            memcpy(text + at, units[i], unit);
        igt_config_parse("c.yaml", (struct ingot_bytes){text, size / unit * unit}, &config, &err);
        igt_config_destroy(config);
    }
    free(text);
}

/* Mistakes around values that hold SECRET, which no message may repeat. */
static void no_message_shows_a_secret(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HTTP "    headers: {Authorization: \"Bearer SECRET\\n\"}\n" EVENTS,
        HTTP "    headers: Bearer SECRET\n" EVENTS,
        HTTP "    headers: {Bearer SECRET=: }\n" EVENTS,
        HTTP "    headers: {Bearer=SECRET}\n" EVENTS,
        HTTP "    headers: {Bearer SECRET: a, Bearer SECRET: b}\n" EVENTS,
        HTTP "    headers: [Authorization=SECRET]\n" EVENTS,
        HTTP "    Authorization: Bearer SECRET\n" EVENTS,
        HTTP "    Authorization Bearer SECRET: \n" EVENTS,
        HTTP "    headers: {Authorization: *SECRET}\n" EVENTS,
        HTTP "    headers: {Authorization: !SECRET x}\n" EVENTS,
        HTTP "    headers: {Authorization: @SECRET}\n" EVENTS,
        HTTP "    headers: {Authorization: \"SECRET\n" EVENTS,
        COMMAND "    env: {A: [SECRET]}\n" EVENTS,
        COMMAND "    env: {A=SECRET}\n" EVENTS,
        COMMAND "    env: [A=SECRET]\n" EVENTS,
        COMMAND "    env: {\"A\": \"SECRET\\0\"}\n" EVENTS,
        COMMAND "    timeout: SECRET\n" EVENTS,
        "destinations: {a: {kind: http, url: 'https://u:SECRET@h/', events: []}}",
        "destinations: {a: {kind: http, url: 'https://h/SECRET key', events: []}}",
        "destinations: {a: {kind: http, url: 'SECRET', events: []}}",
        "destinations: {a: {kind: http, 'https://u:SECRET@h/', events: []}}",
        "store: \"postgres://u:SECRET@h\\n\"",
        "listen: SECRET",
    };
    struct ingot_error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_null(strstr(refusal(ingot_bytes_of(texts[i]), &err), "SECRET"));
}

static void a_long_path_leaves_room_for_the_message(void **state)
{
    (void)state;
    char path[600];
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 10, "/the.yaml", 10);
    assert_int_equal(igt_config_parse(path, ingot_bytes_of("x: 1"), &config, &err), INGOT_INVALID);
    assert_non_null(strstr(err.message, "pp/the.yaml:1:1: unknown key \"x\" in the file; there "
                                        "are store, store_wake, lease, listen, shutdown, defaults, "
                                        "destinations"));
}

static void an_error_is_not_needed(void **state)
{
    (void)state;
    struct igt_config *config = NULL;
    assert_int_equal(igt_config_parse("c.yaml", ingot_bytes_of("x: 1"), &config, NULL),
                     INGOT_INVALID);
    assert_int_equal(igt_config_load("/nonexistent/c.yaml", &config, NULL), INGOT_NOT_FOUND);
    assert_null(config);
    igt_config_destroy(NULL);
}

/* ---- routes --------------------------------------------------------------- */

static void routes_are_the_destinations_and_events_in_order(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "destinations:\n"
        "  zeta: {kind: http, url: 'http://h', events: [b, '*', a]}\n"
        "  Alpha: {kind: command, command: [/a], events: {a.b: , a: }}\n"
        "  none: {kind: http, url: 'http://h', events: []}\n",
        "destinations:\n"
        "  none: {kind: http, url: 'http://x', events: {}}\n"
        "  Alpha: {kind: http, url: 'http://h', events: [a, a.b]}\n"
        "  zeta: {kind: http, url: 'http://h', events: {a: {retries: 1}, b: , '*': }}\n"};
    static const struct {
        const char *destination;
        const char *events[4];
    } expected[] = {{"Alpha", {"a", "a.b"}}, {"none", {NULL}}, {"zeta", {"*", "a", "b"}}};
    for (size_t i = 0; i < 2; i++) {
        struct igt_config *config = parse(texts[i]);
        struct igt_routes routes;
        assert_int_equal(igt_config_routes(config, &routes), INGOT_OK);
        assert_int_equal(routes.route_count, 3);
        for (size_t j = 0; j < 3; j++) {
            const struct igt_route *route = &routes.routes[j];
            size_t count = 0;
            assert_true(
                ingot_bytes_equal(route->destination, ingot_bytes_of(expected[j].destination)));
            for (; expected[j].events[count]; count++)
                assert_true(ingot_bytes_equal(route->events[count],
                                              ingot_bytes_of(expected[j].events[count])));
            assert_int_equal(route->event_count, count);
        }
        igt_config_destroy(config);
    }
}

static void a_configuration_without_destinations_has_no_routes(void **state)
{
    (void)state;
    struct igt_config *config = parse("");
    struct igt_routes routes = {0};
    assert_int_equal(igt_config_routes(config, &routes), INGOT_OK);
    assert_int_equal(routes.route_count, 0);
    igt_config_destroy(config);
}

static void the_policy_is_found_by_the_whole_name(void **state)
{
    (void)state;
    struct igt_config *config =
        parse(HTTP "    retries: 9\n"
                   "    events: {ab: {retries: 2}, a: {retries: 1}, abc: {retries: 3}}\n");
    static const struct {
        const char *event;
        uint32_t retries;
    } cases[] = {{"a", 1}, {"ab", 2}, {"abc", 3}, {"abcd", 9}, {"b", 9}, {"", 9}, {"A", 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(policy_of(&config->destinations[0], cases[i].event)->retries_max,
                         cases[i].retries);
    assert_int_equal(
        igt_config_policy(&config->destinations[0], (struct ingot_bytes){"abX", 2})->retries_max,
        2);
    igt_config_destroy(config);
}

/* ---- files and the environment -------------------------------------------- */

/* Writes a new temporary file; the caller unlinks it. */
static void write_file(char path[32], const void *data, size_t len)
{
    snprintf(path, 32, "/tmp/test_config.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static int clear_environment(void **state)
{
    (void)state;
    return unsetenv("INGOT_STORE") || unsetenv("INGOT_LISTEN");
}

static void a_file_is_read_and_named_in_errors(void **state)
{
    (void)state;
    char path[32], expected[128];
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    write_file(path, full, strlen(full));
    assert_int_equal(igt_config_load(path, &config, &err), INGOT_OK);
    unlink(path);
    assert_string_equal(config->store, "sqlite:/var/lib/ingot/i.db");
    assert_string_equal(config->listen_host, "::1");
    igt_config_destroy(config);
    config = NULL;
    write_file(path, "\nstroe: x", 9);
    assert_int_equal(igt_config_load(path, &config, &err), INGOT_INVALID);
    unlink(path);
    snprintf(expected, sizeof expected,
             "%s:2:1: unknown key \"stroe\" in the file; did you mean \"store\"?", path);
    assert_string_equal(err.message, expected);
    assert_null(config);
}

static void a_file_that_is_missing_or_a_folder_is_an_error(void **state)
{
    (void)state;
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    assert_int_equal(igt_config_load("/nonexistent/c.yaml", &config, &err), INGOT_NOT_FOUND);
    assert_string_equal(err.message, "/nonexistent/c.yaml does not exist; write it, or name "
                                     "another configuration");
    assert_int_equal(igt_config_load("/", &config, &err), INGOT_IO);
    assert_string_equal(err.message, "/ cannot be read: Is a directory");
    assert_null(config);
}

static void a_file_without_end_is_refused(void **state)
{
    (void)state;
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    assert_int_equal(igt_config_load("/dev/zero", &config, &err), INGOT_INVALID);
    assert_string_equal(err.message,
                        "/dev/zero:1:1048577: the file is larger than 1 MiB; shorten it");
}

static void the_environment_overrides_the_file(void **state)
{
    (void)state;
    char path[32];
    struct igt_config *config = NULL;
    struct ingot_error err = {0};
    write_file(path, full, strlen(full));
    setenv("INGOT_STORE", "memory:", 1);
    setenv("INGOT_LISTEN", "0.0.0.0:0", 1);
    assert_int_equal(igt_config_load(path, &config, &err), INGOT_OK);
    assert_string_equal(config->store, "memory:");
    assert_string_equal(config->listen_host, "0.0.0.0");
    assert_int_equal(config->listen_port, 0);
    igt_config_destroy(config);
    setenv("INGOT_STORE", "", 1);
    setenv("INGOT_LISTEN", "", 1);
    assert_int_equal(igt_config_load(path, &config, &err), INGOT_OK);
    assert_string_equal(config->store, "sqlite:/var/lib/ingot/i.db");
    assert_int_equal(config->listen_port, 9000);
    igt_config_destroy(config);
    config = NULL;
    setenv("INGOT_LISTEN", "localhost:80", 1);
    assert_int_equal(igt_config_load(path, &config, &err), INGOT_INVALID);
    assert_string_equal(err.message, "INGOT_LISTEN must be a numeric address and a port, such as "
                                     "127.0.0.1:8080 or [::1]:8080");
    assert_null(config);
    unlink(path);
}

static void a_parsed_text_does_not_depend_on_the_environment(void **state)
{
    (void)state;
    setenv("INGOT_STORE", "memory:", 1);
    setenv("INGOT_LISTEN", "nonsense", 1);
    check_full(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_reaches_its_member),
        cmocka_unit_test(the_same_configuration_as_json_gives_the_same),
        cmocka_unit_test(windows_line_ends_and_a_byte_order_mark_change_nothing),
        cmocka_unit_test(an_empty_text_has_the_defaults_and_no_destinations),
        cmocka_unit_test(a_destination_has_the_documented_defaults),
        cmocka_unit_test(schedule_keys_merge_one_by_one_from_event_to_default),
        cmocka_unit_test(values_at_the_ends_of_their_ranges_are_taken),
        cmocka_unit_test(a_name_of_255_bytes_is_taken_and_one_of_256_is_refused),
        cmocka_unit_test(a_long_name_is_cut_between_characters_in_a_message),
        cmocka_unit_test(bad_yaml_is_refused_with_its_place),
        cmocka_unit_test(keys_that_are_unknown_missing_or_misplaced_are_refused),
        cmocka_unit_test(values_out_of_their_range_are_refused),
        cmocka_unit_test(commands_that_cannot_be_run_are_refused),
        cmocka_unit_test(headers_that_ingot_sets_or_that_could_inject_are_refused),
        cmocka_unit_test(urls_that_are_ambiguous_or_hold_a_password_are_refused),
        cmocka_unit_test(a_listening_address_that_is_not_numeric_is_refused),
        cmocka_unit_test(a_bad_schedule_is_refused_with_the_reason_of_its_parser),
        cmocka_unit_test(more_than_64_headers_are_refused),
        cmocka_unit_test(more_than_4096_destinations_are_refused),
        cmocka_unit_test(a_text_of_more_than_1_mib_is_refused),
        cmocka_unit_test(hostile_texts_of_1_mib_are_answered),
        cmocka_unit_test(no_message_shows_a_secret),
        cmocka_unit_test(a_long_path_leaves_room_for_the_message),
        cmocka_unit_test(an_error_is_not_needed),
        cmocka_unit_test(routes_are_the_destinations_and_events_in_order),
        cmocka_unit_test(a_configuration_without_destinations_has_no_routes),
        cmocka_unit_test(the_policy_is_found_by_the_whole_name),
        cmocka_unit_test_setup(a_file_is_read_and_named_in_errors, clear_environment),
        cmocka_unit_test_setup(a_file_that_is_missing_or_a_folder_is_an_error, clear_environment),
        cmocka_unit_test_setup(a_file_without_end_is_refused, clear_environment),
        cmocka_unit_test_setup_teardown(the_environment_overrides_the_file, clear_environment,
                                        clear_environment),
        cmocka_unit_test_setup_teardown(a_parsed_text_does_not_depend_on_the_environment,
                                        clear_environment, clear_environment),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
