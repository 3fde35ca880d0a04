/* See start.h. */
#include "start.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_WANTED 65536
#define ARENAS 2                     /* store and ingest threads share; each arena keeps what it once had */
#define OWN_MAPPING_BYTES (256 << 10) /* larger blocks go back to the system when freed: parts of an import */

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t wanted = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void start_harden(void)
{
    static const struct rlimit no_core = {0, 0};
    umask(0077);
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* keys are in memory */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is a disk that fails, and no reason to die */
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
    mallopt(M_TRIM_THRESHOLD, 4 * OWN_MAPPING_BYTES);
}

/* mkdir -p; parents as the XDG specification wants them: 0700. */
static int make_folder(const char *path, mode_t mode, const char *what, const char *option, struct galloc_error *error)
{
    struct buf part = BUF_EMPTY;
    int rc = 0;
    for (const char *at = path; rc == 0 && *at != '\0';) {
        size_t len = strspn(at, "/");
        len += strcspn(at + len, "/");
        buf_add(&part, at, len);
        at += len;
        if (mkdir(part.data, *at == '\0' ? mode : 0700) < 0 && errno != EEXIST && errno != EISDIR)
            rc = galloc_fail(error, GALLOC_D_CONFIG, "the %s %s cannot be made: %s: %s; make it, or choose another with %s", what, path, part.data, strerror(errno),
                             option);
    }
    buf_clear(&part);
    return rc;
}

static int check_state(int fd, const char *path, struct galloc_error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the state directory %s: %s", path, strerror(errno));
    if (st.st_uid != geteuid())
        return galloc_fail(error, GALLOC_D_CONFIG, "the state directory %s belongs to uid %u and gallocd runs as uid %u; chown it, or choose another with --state-dir",
                           path, (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & 077) != 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the state directory %s lets others in (mode %04o); chmod 700 it: assignments and results are confidential", path,
                           (unsigned)(st.st_mode & 07777));
    return 0;
}

static int fail_held(int fd, const char *state_dir, struct galloc_error *error)
{
    char text[512] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return galloc_fail(error, GALLOC_D_HELD, "another gallocd holds the state directory %s%s%s%s; stop it, or choose another with --state-dir", state_dir,
                       text[0] ? " (" : "", text, text[0] ? ")" : "");
}

static int take_lock(int folder, const char *state_dir, const char *socket_path, int *ret_fd, struct galloc_error *error)
{
    int fd = openat(folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "%s/lock: %s", state_dir, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = errno == EWOULDBLOCK ? fail_held(fd, state_dir, error) : galloc_fail(error, GALLOC_D_CONFIG, "%s/lock: %s", state_dir, strerror(errno));
        close(fd);
        return rc;
    }
    char since[CLOCK_TEXT_MAX];
    char *text = xasprintf("process %d, socket %s, since %s\n", (int)getpid(), socket_path, clock_rfc3339(clock_wall_ms(), since));
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        /* A full disk: the lock holds all the same, only the words for a second daemon are missing. */
    }
    free(text);
    *ret_fd = fd;
    return 0;
}

int start_lock_state(const char *state_dir, const char *socket_path, int *ret_fd, struct galloc_error *error)
{
    int rc = make_folder(state_dir, 0700, "state directory", "--state-dir", error);
    if (rc < 0)
        return rc;
    int folder = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the state directory %s: %s", state_dir, strerror(errno));
    rc = check_state(folder, state_dir, error);
    if (rc == 0)
        rc = take_lock(folder, state_dir, socket_path, ret_fd, error);
    close(folder);
    return rc;
}

int start_become_owner(const char *state_dir, struct galloc_error *error)
{
    struct stat st;
    if (geteuid() != 0 || stat(state_dir, &st) < 0 || st.st_uid == 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the state directory %s belongs to uid %u, and going on as that user failed: %s", state_dir, (unsigned)st.st_uid,
                           strerror(errno));
    return 0;
}

int start_make_socket_folder(const char *socket_path, const char *group, const char *option, struct galloc_error *error)
{
    char *copy = xstrdup(socket_path);
    const char *folder = dirname(copy);
    struct stat st;
    int rc = 0;
    bool is_missing = stat(folder, &st) < 0 && errno == ENOENT;
    if (is_missing) {
        bool is_shared = group != NULL && group[0] != '\0';
        rc = make_folder(folder, 0700, "socket's folder", option, error);
        const struct group *row = rc == 0 && is_shared ? getgrnam(group) : NULL;
        if (row != NULL && chown(folder, (uid_t)-1, row->gr_gid) == 0 && chmod(folder, 0750) < 0)
            rc = galloc_fail(error, GALLOC_D_CONFIG, "the socket's folder %s: %s", folder, strerror(errno));
    }
    free(copy);
    return rc;
}
