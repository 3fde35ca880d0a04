/* See restore.h. The backup is opened first, with the rights of whoever asks: the service's own user need not be able to read it. */
#include "restore.h"

#include "start.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_backup(const char *file, int *ret_fd, int *ret_log_fd, struct galloc_error *error)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: it cannot be read: %s. Next: name a file that 'gallocctl backup' made", file, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: it is not a file. Next: name one that 'gallocctl backup' made", file);
    }
    char *log = xasprintf("%s-wal", file); /* what was copied while no daemon ran may have one */
    int log_fd = open(log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (log_fd >= 0 && (fstat(log_fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)) {
        close(log_fd);
        log_fd = -1;
    }
    free(log);
    *ret_fd = fd;
    *ret_log_fd = log_fd;
    return 0;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void tell(const struct store_restore *done, struct buf *out)
{
    char at[CLOCK_TEXT_MAX];
    buf_add_fmt(out, "restored     %s\n", done->path);
    buf_add_fmt(out, "from         %s: %s, as the store stood at %s; every page, counter and digest of the database is sound\n", done->name, text_bytes(done->ret_bytes).text,
                clock_rfc3339(done->ret_at_ms, at));
    buf_add_fmt(out, "sha256       %s\n", done->ret_sha256);
    buf_add_fmt(out, "kept         %s\n", done->ret_kept != NULL ? done->ret_kept : "nothing: there was no database");
    buf_add_fmt(out, "incarnation  %s: leases and event numbers that were given before are over\n", text_count(done->ret_incarnation).text);
    buf_add_fmt(out, "lost         %s calls that were under way (possibly billed), ", text_count(done->ret_call_count).text);
    buf_add_fmt(out, "%s leases of outside workers\n", text_count(done->ret_lease_count).text);
    buf_add_fmt(out, "paused       %s open runs (restored): what was called for since %s would be called for, and paid for, again\n",
                text_count(done->ret_run_count).text, at);
    buf_add_str(out, "next         start gallocd; gallocctl runs --state paused; then gallocctl resume RUN, or cancel it\n");
}

static int restore_open(struct store_restore *restore, const char *state_dir, struct buf *out, struct galloc_error *error)
{
    int lock_fd = -1;
    int rc = start_become_owner(state_dir, error);
    if (rc == 0)
        rc = start_lock_state(state_dir, "none: a backup is being restored", &lock_fd, error);
    if (rc == 0 && is_same_file(restore->fd, restore->path))
        rc = galloc_fail(error, GALLOC_D_STORE_REFUSED, "%s: it is the database in place itself. Next: name a file that 'gallocctl backup' made", restore->name);
    if (rc == 0)
        rc = store_restore(restore, error);
    if (rc == 0)
        tell(restore, out);
    if (lock_fd >= 0)
        close(lock_fd);
    return rc;
}

int restore_run(const char *file, const char *state_dir, bool is_quiet, struct buf *out, struct galloc_error *error)
{
    start_harden();
    char *path = xasprintf("%s/galloc.db", state_dir);
    struct store_restore restore = {.path = path, .name = file, .fd = -1, .log_fd = -1, .peer = {.uid = getuid(), .pid = getpid()}};
    int rc = open_backup(file, &restore.fd, &restore.log_fd, error);
    if (rc == 0 && !is_quiet)
        fprintf(stderr, "gallocd: %s is copied, and all of the copy is read; of a large one that takes a while\n", file);
    if (rc == 0)
        rc = restore_open(&restore, state_dir, out, error);
    if (restore.fd >= 0)
        close(restore.fd);
    if (restore.log_fd >= 0)
        close(restore.log_fd);
    free(restore.ret_kept);
    free(path);
    return rc;
}
