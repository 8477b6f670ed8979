/* `find`: a process that knows nothing lists what is live among what is finished. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE 10000

/* Finished jobs of the shorter history, at most. */
#define SHORT 100000

static const char *const unit = "ms";

/* ---- the other process -------------------------------------------------- */

/* In the child. The URL may hold a password, so it is no argument that others could see. */
static void become_find(const char *program, const char *url, int out)
{
    static const char *const argv[] = {
        "ingot",        "find",      "--json",       "--limit",   "none",
        "--not-status", "succeeded", "--not-status", "discarded", NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setenv("INGOT_STORE", url, 1) == 0 && dup2(out, STDOUT_FILENO) >= 0)
        execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Runs it to its end with its output going to out. */
static enum ingot_status run_find(const struct igt_bench *bench, const char *url, int out,
                                  pid_t *ret_pid, struct ingot_error *err)
{
    pid_t pid = fork();
    if (pid == 0)
        become_find(bench->options->program, url, out);
    if (pid < 0)
        return ingot_error_set(err, INGOT_IO, "bench: no process could be started: %s",
                               strerror(errno));
    *ret_pid = pid;
    return INGOT_OK;
}

static enum ingot_status await_find(pid_t pid, struct ingot_error *err)
{
    int code = 0;
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(code) || WEXITSTATUS(code) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: `ingot find` failed; see above");
    return INGOT_OK;
}

/* So that it is known to do what its time is measured for. */
static enum ingot_status check_find(const struct igt_bench *bench, const char *url,
                                    struct ingot_error *err)
{
    char text[65536];
    size_t lines = 0;
    int out[2];
    pid_t pid = 0;
    if (pipe2(out, O_CLOEXEC) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: no pipe could be made: %s", strerror(errno));
    enum ingot_status status = run_find(bench, url, out[1], &pid, err);
    close(out[1]);
    for (ssize_t len;
         !status && ((len = read(out[0], text, sizeof text)) > 0 || (len < 0 && errno == EINTR));)
        for (ssize_t i = 0; i < len; i++)
            lines += text[i] == '\n';
    close(out[0]);
    if (!status)
        status = await_find(pid, err);
    if (!status && lines != LIVE)
        status = ingot_error_set(err, INGOT_CORRUPT, "bench: find lists %zu of %d live jobs", lines,
                                 LIVE);
    return status;
}

static enum ingot_status time_find(struct igt_bench *bench, const char *variant, const char *url,
                                   struct ingot_error *err)
{
    struct igt_sample sample = {0};
    pid_t pid = 0;
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int64_t began_us = igt_bench_now_us();
    enum ingot_status status = run_find(bench, url, out, &pid, err);
    if (!status)
        status = await_find(pid, err);
    sample.value = (double)(igt_bench_now_us() - began_us) / 1000;
    if (out >= 0)
        close(out);
    return status ? status : igt_bench_add_sample(bench, "find", variant, unit, &sample, err);
}

/* ---- find --------------------------------------------------------------- */

static enum ingot_status add_live(struct igt_bench *bench, size_t finished, const char **ret_url,
                                  struct ingot_error *err)
{
    const struct igt_filling filling = {.count = LIVE,
                                        .as = IGT_FILL_WAITING,
                                        .data_bytes = bench->options->data_bytes,
                                        .context = ingot_bytes_of("{\"tenant\":\"bench\"}")};
    enum ingot_status status = igt_history_get(bench, finished, ret_url, err);
    if (!status)
        status = igt_bench_fill(*ret_url, &filling, bench->options->toolkit, err);
    return status ? status : check_find(bench, *ret_url, err);
}

/* The stores are again what others expect. */
static enum ingot_status finish_live(struct igt_bench *bench, const char *url,
                                     struct ingot_error *err)
{
    struct igt_course_outcome outcome = {0};
    const struct igt_course course = {.url = url, .role = IGT_ROLE_SCHEDULER, .waiting = LIVE};
    enum ingot_status status = igt_run_course(bench, &course, &outcome, err);
    igt_course_outcome_fini(&outcome);
    return status;
}

enum ingot_status igt_measure_find(struct igt_bench *bench, struct ingot_error *err)
{
    const size_t most = bench->options->history;
    const size_t finished[] = {most / 10 < SHORT ? most / 10 : SHORT, most};
    const char *variants[2], *urls[2] = {NULL, NULL};
    const char *const counts[] = {igt_bench_count(bench, finished[0]),
                                  igt_bench_count(bench, finished[1])};
    enum ingot_status status = INGOT_OK;
    /* Both are made before anything waits in one, for the longer may begin as a copy of the other. */
    for (size_t i = 0; i < 2 && !status; i++)
        status = igt_history_get(bench, finished[i], &urls[i], err);
    for (size_t i = 0; i < 2 && !status; i++) {
        variants[i] = igt_bench_text(bench, "cold process, %s live, %s finished",
                                     igt_bench_count(bench, LIVE), counts[i]);
        igt_bench_progress(bench, "find", "filling", 0);
        status = add_live(bench, finished[i], &urls[i], err);
    }
    for (unsigned round = 0; round < bench->options->rounds && !status; round++)
        for (size_t i = 0; i < 2 && !status; i++) {
            igt_bench_progress(bench, "find", variants[i], round);
            status = igt_bench_go_on(bench, err);
            if (!status)
                status = time_find(bench, variants[i], urls[i], err);
        }
    for (size_t i = 0; i < 2 && !status; i++)
        status = finish_live(bench, urls[i], err);
    if (status)
        return status;
    double brief = igt_bench_median(bench, "find", variants[0]);
    double full = igt_bench_median(bench, "find", variants[1]);
    igt_bench_add_verdict(bench, igt_bench_text(bench, "find: %s", variants[1]), unit, full, 150,
                          IGT_BETTER_LOWER);
    if (brief > 0)
        igt_bench_add_verdict(
            bench,
            igt_bench_text(bench, "find: among %s finished / among %s", counts[1], counts[0]), "x",
            full / brief, 1.3, IGT_BETTER_LOWER);
    return INGOT_OK;
}
