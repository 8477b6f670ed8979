/* Processes of their own, for what two processes do and what one alone takes; see measure.h. */
#include "measure.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often it is looked whether the user wants to stop. */
#define LOOK_MS 100

enum ingot_status igt_apart_start(void (*work)(void *context, int until, int says), void *context,
                                  struct igt_apart *apart, struct ingot_error *err)
{
    int until[2], says[2];
    if (pipe(until) != 0)
        return ingot_error_set(err, INGOT_IO, "bench: no pipe could be made: %s", strerror(errno));
    if (pipe(says) != 0) {
        close(until[0]);
        close(until[1]);
        return ingot_error_set(err, INGOT_IO, "bench: no pipe could be made: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(until[1]);
        close(says[0]);
        work(context, until[0], says[1]);
        _exit(0);
    }
    close(until[0]);
    close(says[1]);
    *apart = (struct igt_apart){pid, until[1], says[0]};
    if (pid > 0)
        return INGOT_OK;
    igt_apart_end(apart);
    return ingot_error_set(err, INGOT_IO, "bench: no process could be started: %s",
                           strerror(errno));
}

enum ingot_status igt_apart_hear(const struct igt_bench *bench, const struct igt_apart *apart,
                                 void *what, size_t size, struct ingot_error *err)
{
    enum ingot_status status = INGOT_OK;
    for (size_t heard = 0; heard < size && !status;) {
        struct pollfd says = {.fd = apart->says, .events = POLLIN};
        status = igt_bench_go_on(bench, err);
        if (status || poll(&says, 1, LOOK_MS) <= 0)
            continue;
        ssize_t some = read(apart->says, (char *)what + heard, size - heard);
        if (some > 0)
            heard += (size_t)some;
        else if (some == 0 || errno != EINTR)
            status = ingot_error_set(err, INGOT_IO, "bench: a process that was started has ended");
    }
    return status;
}

int igt_apart_is_over(int until, int wait_ms)
{
    struct pollfd end = {.fd = until, .events = POLLIN};
    int ready;
    while ((ready = poll(&end, 1, wait_ms)) < 0 && errno == EINTR)
        ;
    return ready != 0;
}

void igt_apart_end(struct igt_apart *apart)
{
    close(apart->until);
    close(apart->says);
    while (apart->pid > 0 && waitpid(apart->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
