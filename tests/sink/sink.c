/*
 * ingot-sink: a destination that keeps a ledger, for the demo and the tests.
 * It takes POST requests on 127.0.0.1, appends one line for each to the ledger
 *   webhook-id TAB attempt TAB event id TAB status answered TAB SHA-256 of the body
 * and then answers 200, or fails as it was told to. GET /count tells how many
 * requests it took, how many of them succeeded, and for how many different ids.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define FIELD_SIZE 64u
#define CONNECTIONS_MAX 4096u

struct options {
    const char *port_file, *ledger;
    uint16_t port;
    long fail_s, fail_status, fail_percent, retry_after_s, delay_ms;
};

/* The ids answered 2xx: open addressing, at most half full. */
struct set {
    char **ids;
    size_t count, size;
};

struct sink {
    struct options options;
    int ledger_fd;
    pthread_mutex_t lock; /* over what follows */
    struct timespec first;
    uint64_t requests, succeeded;
    struct set distinct;
};

static void die(const char *what)
{
    fprintf(stderr, "ingot-sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* FNV-1a, then mixed so that the low bits depend on all. */
static uint64_t hash_text(const char *text, uint64_t hash)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static char **find_slot(const struct set *set, const char *id)
{
    size_t at = hash_text(id, 0) & (set->size - 1);
    while (set->ids[at] && strcmp(set->ids[at], id) != 0)
        at = (at + 1) & (set->size - 1);
    return &set->ids[at];
}

static void grow(struct set *set)
{
    struct set larger = {NULL, set->count, set->size ? 2 * set->size : 1024};
    larger.ids = calloc(larger.size, sizeof *larger.ids);
    if (!larger.ids)
        die("the set of ids");
    for (size_t i = 0; i < set->size; i++) {
        if (set->ids[i])
            *find_slot(&larger, set->ids[i]) = set->ids[i];
    }
    free(set->ids);
    *set = larger;
}

static void add(struct set *set, const char *id)
{
    if (2 * set->count >= set->size)
        grow(set);
    char **slot = find_slot(set, id);
    if (*slot)
        return;
    *slot = strdup(id);
    if (!*slot)
        die("the set of ids");
    set->count++;
}

/* A header's value if it can stand in the ledger, else "-". */
static void read_field(struct MHD_Connection *connection, const char *name, char field[FIELD_SIZE])
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    size_t len = value ? strlen(value) : 0;
    int fits = len > 0 && len < FIELD_SIZE;
    for (size_t i = 0; i < len && fits; i++)
        fits = value[i] > ' ' && value[i] < 0x7f;
    snprintf(field, FIELD_SIZE, "%s", fits ? value : "-");
}

static double seconds_since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Called with the lock held. */
static unsigned choose_status(struct sink *sink, const char *id, const char *attempt)
{
    const struct options *options = &sink->options;
    if (sink->requests == 0)
        clock_gettime(CLOCK_MONOTONIC, &sink->first);
    int fails = seconds_since(&sink->first) < (double)options->fail_s ||
                hash_text(attempt, hash_text(id, 1)) % 100 < (uint64_t)options->fail_percent;
    return fails ? (unsigned)options->fail_status : 200;
}

static void write_ledger(struct sink *sink, const char *line, size_t len)
{
    if (write(sink->ledger_fd, line, len) != (ssize_t)len)
        die(sink->options.ledger);
}

static void finish_hash(EVP_MD_CTX *hash, char text[2 * EVP_MAX_MD_SIZE + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_DigestFinal_ex(hash, digest, &len);
    for (unsigned i = 0; i < len; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               const char *body, long retry_after_s)
{
    char seconds[24];
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    if (retry_after_s >= 0) {
        snprintf(seconds, sizeof seconds, "%ld", retry_after_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_post(struct sink *sink, struct MHD_Connection *connection,
                                   EVP_MD_CTX *hash)
{
    char id[FIELD_SIZE], attempt[FIELD_SIZE], event_id[FIELD_SIZE];
    char sha256[2 * EVP_MAX_MD_SIZE + 1] = "", line[4 * FIELD_SIZE + sizeof sha256];
    read_field(connection, "webhook-id", id);
    read_field(connection, "Ingot-Attempt", attempt);
    read_field(connection, "Ingot-Event-Id", event_id);
    finish_hash(hash, sha256);
    if (sink->options.delay_ms)
        nanosleep(&(struct timespec){sink->options.delay_ms / 1000,
                                     sink->options.delay_ms % 1000 * 1000000L},
                  NULL);

    pthread_mutex_lock(&sink->lock);
    unsigned status = choose_status(sink, id, attempt);
    int len =
        snprintf(line, sizeof line, "%s\t%s\t%s\t%u\t%s\n", id, attempt, event_id, status, sha256);
    write_ledger(sink, line, (size_t)len);
    sink->requests++;
    if (status / 100 == 2) {
        sink->succeeded++;
        add(&sink->distinct, id);
    }
    pthread_mutex_unlock(&sink->lock);

    if (status / 100 == 2)
        return respond(connection, status, "text/plain", "taken\n", -1);
    return respond(connection, status, "text/plain", "failing as told\n",
                   sink->options.retry_after_s);
}

static enum MHD_Result answer_count(struct sink *sink, struct MHD_Connection *connection)
{
    char text[128];
    pthread_mutex_lock(&sink->lock);
    snprintf(text, sizeof text,
             "{\"requests\":%" PRIu64 ",\"succeeded\":%" PRIu64 ",\"distinct\":%zu}\n",
             sink->requests, sink->succeeded, sink->distinct.count);
    pthread_mutex_unlock(&sink->lock);
    return respond(connection, 200, "application/json", text, -1);
}

/* What is kept for a request is the hash of its body so far. */
static EVP_MD_CTX *begin_hash(void)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL))
        return hash;
    EVP_MD_CTX_free(hash);
    return NULL;
}

/* Called with the headers, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **state)
{
    struct sink *sink = context;
    EVP_MD_CTX *hash = *state;
    (void)version;
    if (!hash) {
        *state = begin_hash();
        return *state ? MHD_YES : MHD_NO;
    }
    if (*upload_len) {
        EVP_DigestUpdate(hash, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        return answer_post(sink, connection, hash);
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 && strcmp(path, "/count") == 0)
        return answer_count(sink, connection);
    return respond(connection, 404, "text/plain", "there are POST, and GET /count\n", -1);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    EVP_MD_CTX_free(*state);
    *state = NULL;
}

/*
 * Whoever sleeps needs a thread of its own; else MHD runs on our loop. Its own
 * epoll thread (0.9.75) would hang: when 128 connections are ready at once it
 * waits for more before it looks at them.
 */
static struct MHD_Daemon *listen_on(struct sink *sink)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(sink->options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned threads = sink->options.delay_ms
                           ? MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD
                           : MHD_USE_EPOLL;
    return MHD_start_daemon(threads | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, sink,
                            MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT,
                            CONNECTIONS_MAX, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
}

/* Serves until a signal comes. */
static void serve(struct MHD_Daemon *daemon, int has_threads, int signal_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (!has_threads)
        fds[1].fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    while (!fds[0].revents) {
        unsigned long long wait_ms;
        int timed = !has_threads && MHD_get_timeout(daemon, &wait_ms) == MHD_YES;
        poll(fds, 2, timed ? (int)wait_ms : -1);
        if (!has_threads)
            MHD_run(daemon);
    }
}

/* Whoever waits for the file finds it whole. */
static void write_port(const char *path, unsigned port)
{
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *file = fopen(temporary, "w");
    if (!file || fprintf(file, "%u\n", port) < 0 || fclose(file) != 0 ||
        rename(temporary, path) != 0)
        die(path);
}

static const char usage[] =
    "usage: ingot-sink --port-file FILE --ledger FILE [--port N] [--fail-for SECONDS]\n"
    "       [--fail-status STATUS] [--fail-share PERCENT] [--retry-after SECONDS] [--delay MS]\n";

static void __attribute__((noreturn)) refuse(void)
{
    fputs(usage, stderr);
    exit(2);
}

static long read_number(const char *text, long least, long most)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < least || number > most) {
        fprintf(stderr, "ingot-sink: \"%s\" is not a number from %ld to %ld\n", text, least, most);
        refuse();
    }
    return number;
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"port-file", required_argument, NULL, 'f'},
                                          {"ledger", required_argument, NULL, 'l'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"fail-for", required_argument, NULL, 's'},
                                          {"fail-status", required_argument, NULL, 'c'},
                                          {"fail-share", required_argument, NULL, '%'},
                                          {"retry-after", required_argument, NULL, 'r'},
                                          {"delay", required_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    *options = (struct options){.fail_status = 503, .retry_after_s = -1};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'f':
            options->port_file = optarg;
            break;
        case 'l':
            options->ledger = optarg;
            break;
        case 'p':
            options->port = (uint16_t)read_number(optarg, 0, UINT16_MAX);
            break;
        case 's':
            options->fail_s = read_number(optarg, 0, 86400);
            break;
        case 'c':
            options->fail_status = read_number(optarg, 300, 599);
            break;
        case '%':
            options->fail_percent = read_number(optarg, 0, 100);
            break;
        case 'r':
            options->retry_after_s = read_number(optarg, 0, INT_MAX);
            break;
        case 'd':
            options->delay_ms = read_number(optarg, 0, 60000);
            break;
        default:
            refuse();
        }
    }
    if (!options->port_file || !options->ledger || optind != argc)
        refuse();
}

int main(int argc, char **argv)
{
    struct sink sink = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sigset_t ends;
    read_options(argc, argv, &sink.options);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    sink.ledger_fd = open(sink.options.ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (sink.ledger_fd < 0)
        die(sink.options.ledger);
    int signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
    if (signal_fd < 0)
        die("signals");
    struct MHD_Daemon *daemon = listen_on(&sink);
    if (!daemon)
        die("listening");
    write_port(sink.options.port_file,
               MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);

    serve(daemon, sink.options.delay_ms > 0, signal_fd);
    MHD_stop_daemon(daemon);
    for (size_t i = 0; i < sink.distinct.size; i++)
        free(sink.distinct.ids[i]);
    free(sink.distinct.ids);
    close(signal_fd);
    close(sink.ledger_fd);
    return 0;
}
