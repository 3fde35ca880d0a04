/* See atomic.h. */
#include "cli/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device or a pipe takes what is written to it; renamed over, as root may, it would be gone for all. */
static int open_special(struct atomic_file *atomic, bool is_path_only, struct galloc_error *error)
{
    if (is_path_only)
        return galloc_fail(error, GALLOC_LOCAL_IO, "%s is no regular file; name one", atomic->path);
    atomic->file = fopen(atomic->path, "we");
    return atomic->file != NULL ? 0 : galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", atomic->path, strerror(errno));
}

int atomic_open(struct atomic_file *atomic, const char *path, bool is_path_only, bool is_private, struct galloc_error *error)
{
    struct stat st;
    *atomic = (struct atomic_file){.path = xstrdup(path)};
    bool is_there = stat(path, &st) == 0;
    if (is_there && S_ISDIR(st.st_mode))
        return galloc_fail(error, GALLOC_LOCAL_IO, "%s is a folder; name a file in it", path);
    if (is_there && !S_ISREG(st.st_mode))
        return open_special(atomic, is_path_only, error);
    char *temporary = xasprintf("%s.XXXXXX", path);
    int fd = mkstemp(temporary);
    if (fd < 0) {
        int rc = galloc_fail(error, GALLOC_LOCAL_IO, "%s cannot be written: %s", path, strerror(errno));
        free(temporary);
        return rc;
    }
    if (!is_private) {
        mode_t mask = umask(0);
        umask(mask);
        (void)fchmod(fd, 0666 & ~mask); /* mkstemp's 0600 is not what a redirection would give */
    }
    atomic->temporary = temporary;
    if (is_path_only)
        close(fd);
    else
        atomic->file = fdopen(fd, "w");
    return 0;
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

int atomic_commit(struct atomic_file *atomic, struct galloc_error *error)
{
    bool is_bad = false;
    if (atomic->file != NULL) {
        is_bad = ferror(atomic->file) || fflush(atomic->file) != 0;
        is_bad |= fclose(atomic->file) != 0;
        atomic->file = NULL;
    }
    bool has_place = atomic->temporary == NULL; /* a device or a pipe */
    if (is_bad || (!has_place && (sync_path(atomic->temporary) < 0 || rename(atomic->temporary, atomic->path) < 0)))
        return galloc_fail(error, GALLOC_LOCAL_IO, "%s could not be written: %s", atomic->path, strerror(errno));
    free(atomic->temporary);
    atomic->temporary = NULL;
    char *copy = xstrdup(atomic->path);
    (void)sync_path(dirname(copy)); /* the name, too, outlasts a power cut, where the file system can promise it */
    free(copy);
    return 0;
}

void atomic_clear(struct atomic_file *atomic)
{
    if (atomic->file != NULL)
        fclose(atomic->file);
    if (atomic->temporary != NULL)
        unlink(atomic->temporary);
    free(atomic->temporary);
    free(atomic->path);
    *atomic = (struct atomic_file){.path = NULL};
}
