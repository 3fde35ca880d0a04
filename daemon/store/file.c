/* See file.h. */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

int file_fail(const char *path, const char *doing, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_D_STORE_IO, "%s: %s: %s", path, doing, strerror(errno));
}

int file_make(const char *path, int *ret_fd, struct galloc_error *error)
{
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_fail(path, "it cannot be made", error);
    if (ret_fd != NULL)
        *ret_fd = fd;
    else
        close(fd);
    return 0;
}

int file_sync(const char *path, struct galloc_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? file_fail(path, "it cannot be synced", error) : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

int file_sync_folder(const char *path, struct galloc_error *error)
{
    char *copy = xstrdup(path);
    int rc = file_sync(dirname(copy), error);
    free(copy);
    return rc;
}

int file_place(const char *from, const char *to, struct galloc_error *error)
{
    int rc = file_sync(from, error);
    if (rc == 0 && rename(from, to) < 0)
        rc = file_fail(to, "it cannot be put in place", error);
    return rc < 0 ? rc : file_sync_folder(to, error);
}

void file_remove(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char *name = xasprintf("%s%s", path, suffixes[i]);
        unlink(name);
        free(name);
    }
}

int64_t file_free_bytes(const char *path)
{
    struct statvfs fs;
    int rc = statvfs(path, &fs);
    if (rc < 0) {
        char *copy = xstrdup(path);
        rc = statvfs(dirname(copy), &fs);
        free(copy);
    }
    return rc == 0 ? (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize) : INT64_MAX;
}
