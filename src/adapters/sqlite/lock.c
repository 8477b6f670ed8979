/*
 * Who may write: the flock on PATH-lock, held for life, with the process id and
 * the gateway's address in it, so that others find the daemon (PROTOCOL 5.3).
 * The lock is a file of its own, because closing any other descriptor of the
 * database would drop SQLite's POSIX locks.
 */
#include "sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* sqlite_holder takes the lock for a moment, so a refusal is believed only after this many tries. */
#define LOCK_TRIES 10
#define LOCK_PAUSE_NS 10000000L

enum ingot_status sqlite_path(const char *connection, char *path, size_t size,
                              struct ingot_error *err)
{
    const char *slash = strrchr(connection, '/');
    char *folder = slash ? strndup(connection, (size_t)(slash - connection) + 1) : strdup(".");
    char *real = realpath(connection, NULL), *real_folder = folder ? realpath(folder, NULL) : NULL;
    int len;
    if (real)
        len = snprintf(path, size, "%s", real);
    else if (real_folder) /* a file that is still to be made */
        len = snprintf(path, size, "%s/%s", real_folder, slash ? slash + 1 : connection);
    else
        len = snprintf(path, size, "%s", connection);
    free(folder);
    free(real);
    free(real_folder);
    /* room for "-lock" and for what SQLite appends */
    if (len < 0 || (size_t)len + 16 > size)
        return ingot_error_set(err, INGOT_INVALID, "store/sqlite: the path %.100s is too long",
                               connection);
    return INGOT_OK;
}

static enum ingot_status refuse(struct ingot_error *err, const char *path,
                                const struct ingot_holder *holder)
{
    return ingot_error_set(err, INGOT_HELD,
                           "store/sqlite: %s is held by process %d%s%s; one process at a time "
                           "writes to it",
                           path, holder->pid, holder->address[0] ? " at " : "", holder->address);
}

/* Reads "PID ADDRESS\n" from a lock file. */
static void read_holder(int fd, struct ingot_holder *ret_holder)
{
    char text[192];
    memset(ret_holder, 0, sizeof *ret_holder);
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    if (len <= 0)
        return;
    text[len] = '\0';
    char *end;
    long pid = strtol(text, &end, 10);
    if (pid > 0 && pid <= INT32_MAX)
        ret_holder->pid = (int)pid;
    if (*end == ' ')
        snprintf(ret_holder->address, sizeof ret_holder->address, "%.*s",
                 (int)strcspn(end + 1, "\n"), end + 1);
}

static enum ingot_status write_holder(int fd, const char *address, struct ingot_error *err)
{
    char text[192];
    int len = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), address);
    if (len >= (int)sizeof text)
        return ingot_error_set(err, INGOT_INVALID, "store/sqlite: the address is too long");
    /* Cut afterwards, so that nobody ever reads an empty file. */
    if (pwrite(fd, text, (size_t)len, 0) != len || ftruncate(fd, len) != 0)
        return ingot_error_set(err, INGOT_IO, "store/sqlite: could not write the lock file: %s",
                               strerror(errno));
    return INGOT_OK;
}

enum ingot_status sqlite_lock(struct sqlite_store *store, struct ingot_error *err)
{
    char path[sizeof store->path + 8];
    snprintf(path, sizeof path, "%s-lock", store->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        enum ingot_status status = errno == ENOSPC ? INGOT_RETRY : INGOT_DENIED;
        return ingot_error_set(err, status, "store/sqlite: could not open %s: %s", path,
                               strerror(errno));
    }
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES) {
            struct ingot_holder holder;
            read_holder(fd, &holder);
            close(fd);
            return refuse(err, store->path, &holder);
        }
        nanosleep(&(struct timespec){0, LOCK_PAUSE_NS}, NULL);
    }
    enum ingot_status status = write_holder(fd, "", err);
    if (status) {
        close(fd);
        return status;
    }
    store->lock_fd = fd;
    return INGOT_OK;
}

enum ingot_status sqlite_announce(void *handle, const char *address, struct ingot_error *err)
{
    const struct sqlite_store *store = handle;
    if (store->lock_fd < 0)
        return ingot_error_set(err, INGOT_DENIED,
                               "store/sqlite: the store is open for reading only");
    return write_holder(store->lock_fd, address, err);
}

enum ingot_status sqlite_holder(const char *connection, struct ingot_holder *ret_holder,
                                struct ingot_error *err)
{
    char path[4096];
    enum ingot_status status = sqlite_path(connection, path, sizeof path - 8, err);
    if (status)
        return status;
    strncat(path, "-lock", sizeof path - strlen(path) - 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/sqlite: nobody holds %s", connection);
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        close(fd);
        return ingot_error_set(err, INGOT_NOT_FOUND, "store/sqlite: nobody holds %s", connection);
    }
    read_holder(fd, ret_holder);
    close(fd);
    return INGOT_OK;
}
