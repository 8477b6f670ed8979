/* Commands as destinations: a child process for each attempt, on a libuv loop; see destination.h. */
#include "destination.h"

#include "core/limits.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_MS 2000u  /* from SIGTERM to SIGKILL */
#define KEPT_BYTES 260u /* of an output: an outcome's answer, and a character that would be cut */
#define OWN_VARIABLES 5u

/* A stream that the child writes to. */
struct output {
    uv_pipe_t pipe;
    char kept[KEPT_BYTES];
    size_t len;
};

/* One run of a command, from the start until all its handles are closed. */
struct run {
    struct igt_command_runner *runner;
    struct run *previous, *next;
    const struct igt_command_config *config;
    const struct igt_delivery *delivery;
    igt_delivered_fn *delivered;
    void *context;
    enum { STARTING, RUNNING, LATE, CANCELLED, REPORTED } phase;
    unsigned open_handles;
    uv_process_t process;
    uv_timer_t timer;
    uv_pipe_t input;
    uv_write_t write;
    struct output out, err;
    struct igt_outcome outcome;
};

struct igt_command_runner {
    uv_loop_t *loop;
    struct run *runs;        /* not yet reported */
    char scratch[64u << 10]; /* output is read into it, and mostly dropped */
};

/* ---- handles ------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    if (--run->open_handles == 0)
        free(run);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void adopt(struct run *run, uv_handle_t *handle)
{
    handle->data = run;
    run->open_handles++;
}

/* ---- the outcome -------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) explain(struct run *run, const char *format, ...)
{
    char text[sizeof run->outcome.message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    igt_printable(run->outcome.message, sizeof run->outcome.message, ingot_bytes_of(text));
}

/* Reports once; what remains of the run is the closing of its handles, and the end of the child. */
static void report(struct run *run)
{
    struct igt_outcome outcome = run->outcome;
    run->phase = REPORTED;
    if (run->previous)
        run->previous->next = run->next;
    else
        run->runner->runs = run->next;
    if (run->next)
        run->next->previous = run->previous;
    close_handle((uv_handle_t *)&run->timer);
    close_handle((uv_handle_t *)&run->input);
    close_handle((uv_handle_t *)&run->out.pipe);
    close_handle((uv_handle_t *)&run->err.pipe);
    run->delivered(run->context, &outcome);
}

static void judge(struct run *run, int64_t exit_code, int signal)
{
    struct igt_outcome *outcome = &run->outcome;
    const struct output *said = run->err.len ? &run->err : &run->out;
    outcome->kind = IGT_OUTCOME_FAILED;
    if (run->phase == CANCELLED) {
        outcome->kind = IGT_OUTCOME_CANCELLED;
        explain(run, "cancelled");
    } else if (run->phase == LATE) {
        explain(run, "no end within %g s", (double)run->config->timeout_us / 1e6);
    } else if (signal) {
        explain(run, "killed by signal %d", signal);
    } else if (exit_code) {
        explain(run, "exit code %d", (int)exit_code);
    } else {
        outcome->kind = IGT_OUTCOME_SUCCEEDED;
        return;
    }
    igt_printable(outcome->answer, sizeof outcome->answer,
                  (struct ingot_bytes){said->kept, said->len});
}

/* ---- output and input --------------------------------------------------- */

static void keep(struct output *output, const char *data, size_t len)
{
    size_t room = KEPT_BYTES - output->len;
    size_t kept = len < room ? len : room;
    memcpy(output->kept + output->len, data, kept);
    output->len += kept;
}

static void lend_scratch(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    struct run *run = handle->data;
    (void)size;
    *buffer = uv_buf_init(run->runner->scratch, sizeof run->runner->scratch);
}

/* All of it is read, so that the child is never held up by a full pipe. */
static void on_output(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    struct run *run = stream->data;
    if (len < 0)
        uv_read_stop(stream);
    else
        keep(stream == (uv_stream_t *)&run->out.pipe ? &run->out : &run->err, buffer->base,
             (size_t)len);
}

/* What the child wrote before it ended; others may still hold the pipe, so its end is not awaited. */
static void drain(struct output *output)
{
    uv_os_fd_t fd;
    ssize_t len = 1;
    if (uv_fileno((uv_handle_t *)&output->pipe, &fd) != 0)
        return;
    while (output->len < KEPT_BYTES && len > 0) {
        len = read(fd, output->kept + output->len, KEPT_BYTES - output->len);
        if (len > 0)
            output->len += (size_t)len;
    }
}

/* A child may end, or close its input, without having read it. */
static void on_written(uv_write_t *write, int status)
{
    struct run *run = write->data;
    (void)status;
    close_handle((uv_handle_t *)&run->input);
}

static int send_body(struct run *run)
{
    static char newline[] = "\n";
    /* libuv's buffers have no const; it only reads from these. */
    uv_buf_t buffers[] = {{(char *)(uintptr_t)run->delivery->body.data, run->delivery->body.len},
                          {newline, 1}};
    run->write.data = run;
    return uv_write(&run->write, (uv_stream_t *)&run->input, buffers, 2, on_written);
}

/* ---- ending ------------------------------------------------------------- */

/* The child leads a session and a group of its own, whose number is its own. */
static void signal_group(const struct run *run, int signal)
{
    if (run->process.pid > 1)
        kill(-run->process.pid, signal);
}

static void on_grace_over(uv_timer_t *timer)
{
    signal_group(timer->data, SIGKILL);
}

static void end(struct run *run)
{
    signal_group(run, SIGTERM);
    uv_update_time(run->runner->loop);
    uv_timer_start(&run->timer, on_grace_over, GRACE_MS, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct run *run = timer->data;
    run->phase = LATE;
    end(run);
}

static void on_exit_of_child(uv_process_t *process, int64_t exit_code, int signal)
{
    struct run *run = process->data;
    signal_group(run, SIGKILL);
    close_handle((uv_handle_t *)process);
    if (run->phase == REPORTED)
        return;
    drain(&run->out);
    drain(&run->err);
    judge(run, exit_code, signal);
    report(run);
}

/* ---- starting ----------------------------------------------------------- */

enum direction { TO_CHILD, FROM_CHILD };

/*
 * Opens our end of a pipe as handle and gives the child's. libuv's own
 * UV_CREATE_PIPE would make sockets, which cannot be opened as /dev/stderr.
 */
static int open_pipe(uv_pipe_t *handle, enum direction direction, int *ret_child_fd)
{
    int fds[2];
    int ours = direction == TO_CHILD ? 1 : 0;
    int status = uv_pipe(fds, ours == 0 ? UV_NONBLOCK_PIPE : 0, ours == 1 ? UV_NONBLOCK_PIPE : 0);
    if (status != 0)
        return status;
    status = uv_pipe_open(handle, fds[ours]);
    if (status != 0) {
        close(fds[0]);
        close(fds[1]);
        return status;
    }
    *ret_child_fd = fds[!ours];
    return 0;
}

static int sets_path(const struct igt_command_config *config)
{
    for (size_t i = 0; config->env[i]; i++) {
        if (strncmp(config->env[i], "PATH=", 5) == 0)
            return 1;
    }
    return 0;
}

static size_t count_env(const struct igt_command_config *config)
{
    size_t count = 0;
    while (config->env[count])
        count++;
    return count;
}

static int spawn_with(struct run *run, char **env, const int child_fds[3])
{
    uv_stdio_container_t stdio[3];
    for (int i = 0; i < 3; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = child_fds[i];
    }
    uv_process_options_t options = {
        .file = run->config->argv[0],
        .args = (char **)(uintptr_t)run->config->argv,
        .env = env,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit_of_child,
    };
    /* A library may have opened something without this flag: sockets, the store's files. */
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    adopt(run, (uv_handle_t *)&run->process);
    int status = uv_spawn(run->runner->loop, &run->process, &options);
    if (status != 0)
        close_handle((uv_handle_t *)&run->process);
    return status;
}

/* Nothing but what is named here reaches the child's environment. */
static int spawn(struct run *run, const int child_fds[3])
{
    const struct igt_command_config *config = run->config;
    const struct igt_delivery *delivery = run->delivery;
    char event_id[64], job_id[64], attempt[64], destination[IGT_NAME_BYTES_MAX + 32];
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char **env = calloc(count_env(config) + OWN_VARIABLES + 1, sizeof *env);
    size_t count = 0;
    if (!env)
        return UV_ENOMEM;
    snprintf(event_id, sizeof event_id, "INGOT_EVENT_ID=%s", delivery->event_id);
    snprintf(job_id, sizeof job_id, "INGOT_JOB_ID=%s", delivery->job_id);
    snprintf(attempt, sizeof attempt, "INGOT_ATTEMPT=%u", delivery->attempt);
    snprintf(destination, sizeof destination, "INGOT_DESTINATION=%s", delivery->destination);
    if (!sets_path(config))
        env[count++] = path;
    env[count++] = event_id;
    env[count++] = job_id;
    env[count++] = attempt;
    env[count++] = destination;
    for (size_t i = 0; config->env[i]; i++)
        env[count++] = (char *)(uintptr_t)config->env[i];

    int status = spawn_with(run, env, child_fds);
    free(env);
    return status;
}

static int open_and_spawn(struct run *run)
{
    int child_fds[3] = {-1, -1, -1};
    int status = open_pipe(&run->input, TO_CHILD, &child_fds[0]);
    if (status == 0)
        status = open_pipe(&run->out.pipe, FROM_CHILD, &child_fds[1]);
    if (status == 0)
        status = open_pipe(&run->err.pipe, FROM_CHILD, &child_fds[2]);
    if (status == 0)
        status = spawn(run, child_fds);
    for (int i = 0; i < 3; i++) {
        if (child_fds[i] >= 0)
            close(child_fds[i]);
    }
    return status;
}

static void on_not_started(uv_timer_t *timer)
{
    report(timer->data);
}

static void start(struct run *run)
{
    int status = open_and_spawn(run);
    uv_update_time(run->runner->loop);
    if (status != 0) {
        run->outcome.kind = IGT_OUTCOME_FAILED;
        explain(run, "could not start %s: %s", run->config->argv[0], uv_strerror(status));
        uv_timer_start(&run->timer, on_not_started, 0, 0);
        return;
    }
    run->phase = RUNNING;
    uv_timer_start(&run->timer, on_deadline, (uint64_t)((run->config->timeout_us + 999) / 1000), 0);
    uv_read_start((uv_stream_t *)&run->out.pipe, lend_scratch, on_output);
    uv_read_start((uv_stream_t *)&run->err.pipe, lend_scratch, on_output);
    /* It must not succeed on half a body. */
    if (send_body(run) != 0)
        signal_group(run, SIGKILL);
}

enum ingot_status igt_command_deliver(struct igt_command_runner *runner,
                                      const struct igt_command_config *config,
                                      const struct igt_delivery *delivery,
                                      igt_delivered_fn *delivered, void *context)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return INGOT_NOMEM;
    run->runner = runner;
    run->config = config;
    run->delivery = delivery;
    run->delivered = delivered;
    run->context = context;
    run->outcome.retry_after_us = INGOT_NO_TIME;
    run->next = runner->runs;
    if (run->next)
        run->next->previous = run;
    runner->runs = run;
    uv_timer_init(runner->loop, &run->timer);
    adopt(run, (uv_handle_t *)&run->timer);
    uv_pipe_t *pipes[] = {&run->input, &run->out.pipe, &run->err.pipe};
    for (size_t i = 0; i < sizeof pipes / sizeof *pipes; i++) {
        uv_pipe_init(runner->loop, pipes[i], 0);
        adopt(run, (uv_handle_t *)pipes[i]);
    }
    start(run);
    return INGOT_OK;
}

/* ---- the runner --------------------------------------------------------- */

enum ingot_status igt_command_runner_create(uv_loop_t *loop, struct igt_command_runner **ret_runner,
                                            struct ingot_error *err)
{
    struct igt_command_runner *runner = calloc(1, sizeof *runner);
    if (!runner)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out for the runner of commands");
    runner->loop = loop;
    *ret_runner = runner;
    return INGOT_OK;
}

void igt_command_cancel_all(struct igt_command_runner *runner)
{
    for (struct run *run = runner->runs; run; run = run->next) {
        if (run->phase == RUNNING) {
            run->phase = CANCELLED;
            end(run);
        }
    }
}

void igt_command_runner_destroy(struct igt_command_runner *runner)
{
    if (!runner)
        return;
    while (runner->runs) {
        struct run *run = runner->runs;
        if (run->phase != STARTING) {
            signal_group(run, SIGKILL);
            run->phase = CANCELLED;
            judge(run, 0, 0);
        }
        report(run);
    }
    free(runner);
}
