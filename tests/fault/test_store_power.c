/*
 * The power fails before the N-th write, for N = 1, 2, 3, …. A VFS between
 * SQLite and the disk remembers what each file held when it was last synced,
 * and that is all that is left, or that and any part of what was not synced.
 * Every event that was acknowledged must be there when the store opens again.
 */
#include "adapter/fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define FILES 4
#define EVENTS 20

/* A file as the disk would hold it if the power failed now. */
struct image {
    char path[256];
    unsigned char *synced;
    size_t len;
    int exists;
};

/* What SQLite opens; the real one lies behind it. */
struct file {
    sqlite3_file base;
    struct image *image; /* NULL: a file of no importance */
    sqlite3_file real;   /* has more bytes than this */
};

static struct {
    struct image images[FILES];
    long writes_left; /* until the power fails; negative: it does not */
    int is_off;
    int lies; /* the disk says that it has synced, and has not */
    unsigned seed;
    sqlite3_vfs *real;
} disk;

enum loss { LOSE_ALL, LOSE_SOME };

static struct image *image_of(const char *path)
{
    for (size_t i = 0; i < FILES; i++)
        if (strcmp(disk.images[i].path, path) == 0)
            return &disk.images[i];
    for (size_t i = 0; i < FILES; i++)
        if (!disk.images[i].path[0]) {
            snprintf(disk.images[i].path, sizeof disk.images[i].path, "%s", path);
            return &disk.images[i];
        }
    fail_msg("too many files: %s", path);
    return NULL;
}

/* ---- one file ----------------------------------------------------------- */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return &((struct file *)file)->real;
}

static int close_file(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int read_file(sqlite3_file *file, void *out, int len, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), out, len, offset);
}

static int write_file(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    if (((struct file *)file)->image && disk.writes_left >= 0 && disk.writes_left-- == 0)
        disk.is_off = 1;
    if (disk.is_off)
        return SQLITE_IOERR_WRITE;
    return real_of(file)->pMethods->xWrite(real_of(file), bytes, len, offset);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    if (disk.is_off)
        return SQLITE_IOERR_TRUNCATE;
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int sync_file(sqlite3_file *file, int flags)
{
    struct image *image = ((struct file *)file)->image;
    sqlite3_int64 size = 0;
    (void)flags;
    if (disk.is_off)
        return SQLITE_IOERR_FSYNC;
    if (!image || disk.lies)
        return SQLITE_OK;
    assert_int_equal(real_of(file)->pMethods->xFileSize(real_of(file), &size), SQLITE_OK);
    free(image->synced);
    image->synced = malloc((size_t)size + 1);
    assert_non_null(image->synced);
    image->len = (size_t)size;
    if (size == 0)
        return SQLITE_OK;
    return real_of(file)->pMethods->xRead(real_of(file), image->synced, (int)size, 0);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int lock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int check_reserved_lock(sqlite3_file *file, int *ret_locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int control_file(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int device_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int map_memory(sqlite3_file *file, int page, int size, int extend,
                      void volatile **ret_memory)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret_memory);
}

static int lock_memory(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void fence_memory(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int unmap_memory(sqlite3_file *file, int delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = map_memory,
    .xShmLock = lock_memory,
    .xShmBarrier = fence_memory,
    .xShmUnmap = unmap_memory,
};

/* ---- all files ---------------------------------------------------------- */

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *opened, int flags,
                     int *ret_flags)
{
    struct file *file = (struct file *)opened;
    (void)vfs;
    if (disk.is_off)
        return SQLITE_IOERR;
    file->base.pMethods = NULL;
    file->image = NULL;
    int code = disk.real->xOpen(disk.real, path, &file->real, flags, ret_flags);
    if (code != SQLITE_OK)
        return code;
    file->base.pMethods = &methods;
    if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) {
        file->image = image_of(path);
        file->image->exists = 1;
    }
    return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    if (disk.is_off)
        return SQLITE_IOERR_DELETE;
    struct image *image = image_of(path);
    image->exists = 0;
    image->len = 0;
    return disk.real->xDelete(disk.real, path, sync);
}

static void install(void)
{
    static sqlite3_vfs vfs;
    if (disk.real)
        return;
    disk.real = sqlite3_vfs_find(NULL);
    vfs = *disk.real;
    vfs.zName = "power";
    vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
    vfs.xOpen = open_file;
    vfs.xDelete = delete_file;
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

/* What is left of a file: its synced bytes, and of later ones any sectors. */
static void settle(struct image *image, enum loss loss)
{
    static unsigned char now[4 << 20];
    size_t len = 0;
    if (!image->path[0])
        return;
    FILE *file = fopen(image->path, "re");
    if (file) {
        len = fread(now, 1, sizeof now, file);
        fclose(file);
    }
    assert_true(len < sizeof now && image->len < sizeof now);
    if (len < image->len)
        memset(now + len, 0, image->len - len);
    for (size_t at = 0; at < len || at < image->len; at += SECTOR) {
        size_t size = image->len > at ? image->len - at : 0;
        if (loss == LOSE_SOME && rand_r(&disk.seed) % 2)
            continue;
        memset(now + at, 0, SECTOR);
        if (size)
            memcpy(now + at, image->synced + at, size < SECTOR ? size : SECTOR);
    }
    if (loss == LOSE_ALL || len < image->len || rand_r(&disk.seed) % 2)
        len = image->len;
    if (!image->exists) {
        unlink(image->path);
        return;
    }
    file = fopen(image->path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(now, 1, len, file), len);
    fclose(file);
    free(image->synced);
    image->synced = malloc(len + 1);
    assert_non_null(image->synced);
    memcpy(image->synced, now, len);
    image->len = len;
}

static void restore_power(struct fixture *fixture, enum loss loss)
{
    char path[128];
    for (size_t i = 0; i < FILES; i++)
        settle(&disk.images[i], loss);
    snprintf(path, sizeof path, "%s-shm", fixture->path);
    unlink(path);
    disk.is_off = 0;
    disk.writes_left = -1;
}

/* ---- tests -------------------------------------------------------------- */

/* A disk that holds nothing, under power; also after a test that failed. */
static void replace_disk(void)
{
    for (size_t i = 0; i < FILES; i++)
        free(disk.images[i].synced);
    memset(disk.images, 0, sizeof disk.images);
    disk.writes_left = -1;
    disk.is_off = disk.lies = 0;
}

static int set_up(void **state)
{
    install();
    replace_disk();
    return fixture_set_up(state);
}

static int tear_down(void **state)
{
    int code = fixture_tear_down(state);
    replace_disk();
    return code;
}

/* Makes a store, commits events one by one and closes it now and then, until the power fails. */
static size_t live_until_the_end(struct fixture *fixture, ingot_ksuid *acknowledged)
{
    size_t count = 0;
    for (size_t i = 0; i < EVENTS && !disk.is_off; i++) {
        struct ingot_job job = fixture_job(fixture, "crm", "*");
        struct ingot_event event = fixture_event(fixture, &job, 1);
        struct ingot_queue queue = {&event, 1};
        if (!fixture->store &&
            fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL) != INGOT_OK)
            break;
        if (ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, NULL, NULL) ==
            INGOT_OK)
            acknowledged[count++] = event.id;
        if (i % 6 == 5 && !disk.is_off) {
            ingot_store_close(fixture->store);
            fixture->store = NULL;
        }
    }
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    return count;
}

/* How many of the acknowledged events are not there. */
static size_t count_lost(struct fixture *fixture, const ingot_ksuid *acknowledged, size_t count)
{
    size_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        struct ingot_page *page = NULL;
        lost += ingot_store_event(fixture->store, NULL, &acknowledged[i], &page, NULL) != INGOT_OK;
        ingot_page_destroy(page);
    }
    return lost;
}

/* One life that ends before the n-th write; returns whether the power failed in it. */
static int fail_at(long n, enum loss loss)
{
    struct fixture *fixture = NULL;
    ingot_ksuid acknowledged[EVENTS];
    struct ingot_error err = {0};
    assert_int_equal(set_up((void **)&fixture), 0);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    unlink(fixture->path);
    for (size_t i = 0; i < FILES; i++)
        disk.images[i].exists = 0, disk.images[i].len = 0;
    disk.writes_left = n - 1;
    size_t count = live_until_the_end(fixture, acknowledged);
    int failed = disk.is_off;
    restore_power(fixture, loss);
    if (fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, &err) != INGOT_OK)
        fail_msg("after write %ld: %s", n, err.message);
    size_t lost = count_lost(fixture, acknowledged, count);
    if (lost)
        fail_msg("after write %ld: %zu of %zu acknowledged events are lost", n, lost, count);
    struct ingot_verification verification = fixture_verify(fixture);
    assert_in_range(verification.events, count, count + 1);
    assert_string_equal(fixture_ask(fixture, "PRAGMA integrity_check"), "ok");
    fixture_put_one(fixture, "crm");
    tear_down((void **)&fixture);
    return failed;
}

static void what_was_acknowledged_survives_if_only_what_was_synced_does(void **state)
{
    long n = 1;
    (void)state;
    while (fail_at(n, LOSE_ALL))
        n++;
    print_message("# %ld writes\n", n);
    assert_true(n > 100);
}

static void what_was_acknowledged_survives_whatever_else_does(void **state)
{
    long n = 1;
    (void)state;
    disk.seed = 1;
    while (fail_at(n, LOSE_SOME))
        n += 1 + rand_r(&disk.seed) % 2;
}

static void a_disk_that_lies_loses_events_and_this_test_sees_it(void **state)
{
    struct fixture *fixture = *state;
    ingot_ksuid acknowledged[EVENTS];
    disk.lies = 1;
    disk.writes_left = 60;
    size_t count = live_until_the_end(fixture, acknowledged);
    assert_true(disk.is_off);
    assert_true(count > 0);
    disk.lies = 0;
    restore_power(fixture, LOSE_ALL);
    assert_int_equal(fixture_open(fixture, INGOT_MODE_WRITE, &fixture->store, NULL), INGOT_OK);
    assert_true(count_lost(fixture, acknowledged, count) > 0);
}

static void after_a_failed_sync_the_handle_writes_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct ingot_event event = fixture_event(fixture, NULL, 0);
    struct ingot_queue queue = {&event, 1};
    struct ingot_error err = {0};
    fixture_put_one(fixture, "crm");
    disk.writes_left = 0;
    assert_int_equal(
        ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, NULL, &err), INGOT_IO);
    disk.is_off = 0; /* the disk comes back, but nobody knows what it holds */
    disk.writes_left = -1;
    assert_int_equal(
        ingot_store_insert_queue(fixture->store, &fixture->toolkit, &queue, NULL, &err), INGOT_IO);
    assert_non_null(strstr(err.message, "failed earlier; close it and open it again"));
    char log_path[128];
    snprintf(log_path, sizeof log_path, "%s-wal", fixture->path);
    ingot_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(access(log_path, F_OK), 0); /* what is in it is for the next one to recover */
    fixture_reopen(fixture);
    fixture_put(fixture, &event);
    fixture_verify(fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_if_only_what_was_synced_does),
        cmocka_unit_test(what_was_acknowledged_survives_whatever_else_does),
        TEST(a_disk_that_lies_loses_events_and_this_test_sees_it),
        TEST(after_a_failed_sync_the_handle_writes_no_more),
    };
#undef TEST
    fixture_use("sqlite");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("store_power", tests, NULL, NULL);
}
