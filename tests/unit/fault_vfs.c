/* See fault_vfs.h. */
#include "tests/unit/fault_vfs.h"

#include "base/util.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fault_file {
    sqlite3_file base;
    const char *name; /* borrowed: SQLite's, lives as long as the file */
    int last_errno;   /* of what we failed on purpose */
    sqlite3_file real[]; /* the system's */
};

static sqlite3_vfs *system_vfs;
static sqlite3_vfs fault_vfs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over all that follows */
static pthread_cond_t changed;
static struct {
    enum fault_call call;
    char suffix[32];
    int left; /* calls until it fails; 0: not armed */
    bool is_sticky;
    int error_number, failures;
    char gate_suffix[32]; /* "": open */
    int waiting;
} fault;
static bool spares_disk; /* set before there are threads */

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = name == NULL ? 0 : strlen(name), end = strlen(suffix);
    return len >= end && strcmp(name + len - end, suffix) == 0;
}

/* 0, or the errno that the call has to fail with. */
static int fault_of(struct fault_file *file, enum fault_call call)
{
    pthread_mutex_lock(&lock);
    int number = 0;
    if (fault.left > 0 && fault.call == call && ends_with(file->name, fault.suffix)) {
        if (fault.left == 1) {
            number = fault.error_number;
            fault.failures++;
            fault.left = fault.is_sticky ? 1 : 0;
        } else {
            fault.left--;
        }
    }
    pthread_mutex_unlock(&lock);
    if (number != 0)
        file->last_errno = errno = number;
    return number;
}

static struct fault_file *self(sqlite3_file *file)
{
    return (struct fault_file *)(void *)file;
}
#define REAL(file) (self(file)->real)
#define CALL(file, method, ...) (REAL(file)->pMethods->method(REAL(file), __VA_ARGS__))

static int file_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 at)
{
    int number = fault_of(self(file), FAULT_WRITE);
    if (number == 0)
        return CALL(file, xWrite, data, bytes, at);
    return number == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int file_sync(sqlite3_file *file, int flags)
{
    pthread_mutex_lock(&lock);
    fault.waiting++;
    pthread_cond_broadcast(&changed);
    while (fault.gate_suffix[0] != '\0' && ends_with(self(file)->name, fault.gate_suffix))
        pthread_cond_wait(&changed, &lock);
    fault.waiting--;
    pthread_mutex_unlock(&lock);
    int number = fault_of(self(file), FAULT_SYNC);
    if (number == 0)
        return spares_disk ? SQLITE_OK : CALL(file, xSync, flags);
    return SQLITE_IOERR_FSYNC;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    int number = fault_of(self(file), FAULT_TRUNCATE);
    if (number == 0)
        return CALL(file, xTruncate, bytes);
    return SQLITE_IOERR_TRUNCATE;
}

static int file_close(sqlite3_file *file)
{
    return REAL(file)->pMethods->xClose(REAL(file));
}
static int file_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 at)
{
    return CALL(file, xRead, data, bytes, at);
}
static int file_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return CALL(file, xFileSize, bytes);
}
static int file_lock(sqlite3_file *file, int kind)
{
    return CALL(file, xLock, kind);
}
static int file_unlock(sqlite3_file *file, int kind)
{
    return CALL(file, xUnlock, kind);
}
static int file_is_reserved(sqlite3_file *file, int *is_reserved)
{
    return CALL(file, xCheckReservedLock, is_reserved);
}
static int file_control(sqlite3_file *file, int op, void *arg)
{
    if (op == SQLITE_FCNTL_LAST_ERRNO && self(file)->last_errno != 0) {
        *(int *)arg = self(file)->last_errno;
        return SQLITE_OK;
    }
    return CALL(file, xFileControl, op, arg);
}
static int file_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}
static int file_traits(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}
static int shm_map(sqlite3_file *file, int page, int bytes, int extends, void volatile **at)
{
    return CALL(file, xShmMap, page, bytes, extends, at);
}
static int shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return CALL(file, xShmLock, offset, count, flags);
}
static void shm_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}
static int shm_unmap(sqlite3_file *file, int deletes)
{
    return CALL(file, xShmUnmap, deletes);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = file_close, .xRead = file_read, .xWrite = file_write, .xTruncate = file_truncate, .xSync = file_sync,
    .xFileSize = file_size, .xLock = file_lock, .xUnlock = file_unlock, .xCheckReservedLock = file_is_reserved, .xFileControl = file_control,
    .xSectorSize = file_sector, .xDeviceCharacteristics = file_traits, .xShmMap = shm_map, .xShmLock = shm_lock, .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    self(file)->name = name;
    self(file)->last_errno = 0;
    int rc = system_vfs->xOpen(system_vfs, name, REAL(file), flags, out_flags);
    file->pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

void fault_vfs_register(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
    system_vfs = sqlite3_vfs_find(NULL);
    fault_vfs = *system_vfs; /* what is not replaced gets the system's data through pAppData */
    fault_vfs.zName = "fault";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + system_vfs->szOsFile;
    fault_vfs.xOpen = vfs_open;
    fault_vfs.pNext = NULL;
    sqlite3_vfs_register(&fault_vfs, 1);
}

void fault_vfs_arm(enum fault_call call, const char *suffix, int nth, bool is_sticky, int error_number)
{
    pthread_mutex_lock(&lock);
    fault.call = call;
    snprintf(fault.suffix, sizeof fault.suffix, "%s", suffix);
    fault.left = nth;
    fault.is_sticky = is_sticky;
    fault.error_number = error_number;
    fault.failures = 0;
    pthread_mutex_unlock(&lock);
}

void fault_vfs_spare_disk(void)
{
    spares_disk = true;
}

void fault_vfs_clear(void)
{
    pthread_mutex_lock(&lock);
    fault.left = 0;
    pthread_mutex_unlock(&lock);
}

int fault_vfs_failures(void)
{
    pthread_mutex_lock(&lock);
    int failures = fault.failures;
    pthread_mutex_unlock(&lock);
    return failures;
}

void fault_vfs_gate_close(const char *suffix)
{
    pthread_mutex_lock(&lock);
    snprintf(fault.gate_suffix, sizeof fault.gate_suffix, "%s", suffix);
    pthread_mutex_unlock(&lock);
}

void fault_vfs_gate_open(void)
{
    pthread_mutex_lock(&lock);
    fault.gate_suffix[0] = '\0';
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

bool fault_vfs_gate_wait(int deadline_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += deadline_ms / 1000;
    until.tv_nsec += deadline_ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    int rc = 0;
    while (fault.waiting == 0 && rc == 0)
        rc = pthread_cond_timedwait(&changed, &lock, &until);
    bool is_there = fault.waiting > 0;
    pthread_mutex_unlock(&lock);
    return is_there;
}
