/* See child.h. */
#include "cli/child.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    STOP_GRACE_MS = 5000,  /* between SIGTERM and SIGKILL */
    PIPE_GRACE_MS = 500,   /* what it left behind may hold its pipes open; nothing more is expected of them */
    READ_BYTES = 65536,
    LINE_BYTES_MAX = 4096  /* longer lines of stderr are cut into several */
};

bool child_can_start(const char *command)
{
    if (strchr(command, '/') != NULL)
        return access(command, X_OK) == 0;
    const char *path = getenv("PATH");
    char *folders = xstrdup(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"), *rest = folders;
    bool is_found = false;
    for (char *folder; !is_found && (folder = strsep(&rest, ":")) != NULL;) {
        char *file = xasprintf("%s/%s", *folder != '\0' ? folder : ".", command);
        is_found = access(file, X_OK) == 0;
        free(file);
    }
    free(folders);
    return is_found;
}

/* ---- start ---- */

struct pipes {
    int in[2], out[2], err[2];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void pipes_clear(struct pipes *pipes)
{
    for (int end = 0; end < 2; end++) {
        close_fd(&pipes->in[end]);
        close_fd(&pipes->out[end]);
        close_fd(&pipes->err[end]);
    }
}

static bool pipes_open(struct pipes *pipes, bool with_out)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    return pipe2(pipes->in, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0 && (!with_out || pipe2(pipes->out, O_CLOEXEC) == 0);
}

/* The error of posix_spawnp(), 0 when it runs. Nothing of ours but the pipes stays open in it: a connection that it held would look to the daemon as if we still
 * listened. */
static int spawn(struct child *child, char *const *argv, const struct pipes *pipes)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    for (size_t i = 0; i < 5; i++)
        sigaddset(&usual, (const int[]){SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE}[i]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes->in[0], STDIN_FILENO);
    if (pipes->out[1] >= 0)
        posix_spawn_file_actions_adddup2(&actions, pipes->out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes->err[1], STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    int problem = posix_spawnp(&child->pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return problem;
}

/* Takes one end over, without waiting in it. */
static int keep_end(int *fd)
{
    int kept = *fd;
    if (kept >= 0)
        fcntl(kept, F_SETFL, fcntl(kept, F_GETFL) | O_NONBLOCK);
    *fd = -1;
    return kept;
}

int child_start(struct child *child, const struct cli *cli, char *const *argv, char *label, struct buf *in, size_t out_max_bytes, struct galloc_error *error)
{
    struct pipes pipes;
    *child = (struct child){.cli = cli, .label = label, .in_fd = -1, .out_fd = -1, .err_fd = -1, .in = *in, .out_max_bytes = out_max_bytes,
                            .kill_at_mono_ms = INT64_MAX, .close_at_mono_ms = INT64_MAX};
    *in = BUF_EMPTY;
    int problem = pipes_open(&pipes, out_max_bytes > 0) ? spawn(child, argv, &pipes) : errno;
    if (problem != 0) {
        child->pid = 0;
        pipes_clear(&pipes);
        child_clear(child);
        bool is_missing = problem == ENOENT || problem == EACCES || problem == ENOEXEC || problem == ENOTDIR;
        return galloc_fail(error, is_missing ? GALLOC_USAGE : GALLOC_LOCAL_IO, "%s cannot be started: %s", argv[0], strerror(problem));
    }
    child->in_fd = keep_end(&pipes.in[1]);
    child->out_fd = keep_end(&pipes.out[0]);
    child->err_fd = keep_end(&pipes.err[0]);
    pipes_clear(&pipes);
    return 0;
}

/* ---- while it runs ---- */

size_t child_fds(const struct child *child, struct pollfd *ret_fds)
{
    size_t count = 0;
    if (child->in_fd >= 0)
        ret_fds[count++] = (struct pollfd){.fd = child->in_fd, .events = POLLOUT};
    if (child->out_fd >= 0)
        ret_fds[count++] = (struct pollfd){.fd = child->out_fd, .events = POLLIN};
    if (child->err_fd >= 0)
        ret_fds[count++] = (struct pollfd){.fd = child->err_fd, .events = POLLIN};
    return count;
}

int64_t child_due(const struct child *child)
{
    return min_i64(child->kill_at_mono_ms, child->close_at_mono_ms);
}

static void feed(struct child *child)
{
    while (child->in_fd >= 0) {
        ssize_t written = child->in_at < child->in.len ? write(child->in_fd, child->in.data + child->in_at, child->in.len - child->in_at) : 0;
        if (written < 0 && errno == EAGAIN)
            return;
        if (written <= 0) { /* all of it is there, or nobody reads it any more */
            close_fd(&child->in_fd);
            buf_clear(&child->in);
            return;
        }
        child->in_at += (size_t)written;
    }
}

/* What can be read now, added to `into`; the descriptor is closed at its end. */
static void gather(int *fd, struct buf *into, size_t most)
{
    while (*fd >= 0 && into->len < most) {
        char *at = buf_reserve(into, READ_BYTES);
        ssize_t got = read(*fd, at, READ_BYTES);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            close_fd(fd);
            return;
        }
        into->len += (size_t)got;
        into->data[into->len] = '\0';
    }
}

static void say_line(struct child *child, const char *text, size_t len)
{
    len -= len > 0 && text[len - 1] == '\r';
    say_always(child->cli, "%s: %.*s", child->label, (int)len, text);
    if (len > 0)
        snprintf(child->said, sizeof child->said, "%.*s", (int)text_utf8_span(text, len < sizeof child->said ? len : sizeof child->said - 1), text);
}

/* Passes whole lines on; at the end also what has none. */
static void pass_lines(struct child *child, bool is_end)
{
    size_t at = 0;
    while (at < child->line.len) {
        const char *from = child->line.data + at, *end = memchr(from, '\n', child->line.len - at);
        size_t len = end != NULL ? (size_t)(end - from) : child->line.len - at;
        if (end == NULL && len < LINE_BYTES_MAX && !is_end)
            break;
        len = len > LINE_BYTES_MAX ? LINE_BYTES_MAX : len;
        say_line(child, from, len);
        at += len + (end != NULL && from + len == end);
    }
    if (at == 0)
        return;
    memmove(child->line.data, child->line.data + at, child->line.len - at);
    child->line.len -= at;
}

/* Its end is looked at and not yet taken: as long as it is not, its group's number is nobody else's, and what is left of the group can be killed by it. */
static void look_for_end(struct child *child, int64_t now_mono_ms)
{
    siginfo_t end = {0};
    if (child->has_ended || waitid(P_PID, (id_t)child->pid, &end, WEXITED | WNOHANG | WNOWAIT) < 0 || end.si_pid != child->pid)
        return;
    child->has_ended = true;
    close_fd(&child->in_fd);
    if (child->kill_at_mono_ms == INT64_MAX)
        child->close_at_mono_ms = now_mono_ms + PIPE_GRACE_MS;
}

/* All is said. What was asked to stop leaves nothing behind. */
static void reap(struct child *child)
{
    if (child->is_stopped)
        kill(-child->pid, SIGKILL);
    waitpid(child->pid, &child->wait_status, 0);
    child->pid = 0;
    child->kill_at_mono_ms = child->close_at_mono_ms = INT64_MAX;
}

bool child_turn(struct child *child)
{
    if (child->pid == 0)
        return true;
    int64_t now_mono_ms = clock_mono_ms();
    look_for_end(child, now_mono_ms); /* before the pipes are read: what it wrote before its end is in them */
    feed(child);
    gather(&child->out_fd, &child->out, child->out_max_bytes + 1);
    gather(&child->err_fd, &child->line, READ_BYTES);
    pass_lines(child, child->err_fd < 0);
    if (child->out_max_bytes > 0 && child->out.len > child->out_max_bytes && !child->is_over_cap) {
        child->is_over_cap = true;
        close_fd(&child->out_fd);
        child_stop(child);
    }
    if (now_mono_ms >= child->kill_at_mono_ms) {
        kill(-child->pid, SIGKILL);
        child->kill_at_mono_ms = INT64_MAX;
        child->close_at_mono_ms = child->has_ended ? now_mono_ms + PIPE_GRACE_MS : INT64_MAX;
    }
    if (child->has_ended && now_mono_ms >= child->close_at_mono_ms) {
        close_fd(&child->out_fd);
        close_fd(&child->err_fd);
    }
    if (!child->has_ended || child->out_fd >= 0 || child->err_fd >= 0)
        return false;
    pass_lines(child, true);
    reap(child);
    return true;
}

void child_stop(struct child *child)
{
    if (child->pid == 0 || child->is_stopped)
        return;
    child->is_stopped = true;
    kill(-child->pid, SIGTERM);
    kill(-child->pid, SIGCONT); /* one that stands still would not hear it */
    child->kill_at_mono_ms = clock_mono_ms() + STOP_GRACE_MS;
}

/* ---- its end ---- */

int child_exit_status(const struct child *child)
{
    return WIFEXITED(child->wait_status) ? WEXITSTATUS(child->wait_status) : -1;
}

int child_signal(const struct child *child)
{
    return WIFSIGNALED(child->wait_status) ? WTERMSIG(child->wait_status) : 0;
}

void child_describe_end(const struct child *child, struct buf *out)
{
    if (child_signal(child) != 0)
        buf_add_fmt(out, "signal %d (%s)", child_signal(child), strsignal(child_signal(child)));
    else
        buf_add_fmt(out, "exit status %d", child_exit_status(child));
    if (child->said[0] != '\0')
        buf_add_fmt(out, ": %s", child->said);
}

void child_clear(struct child *child)
{
    if (child->pid != 0) {
        kill(-child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    close_fd(&child->in_fd);
    close_fd(&child->out_fd);
    close_fd(&child->err_fd);
    buf_clear(&child->in);
    buf_clear(&child->out);
    buf_clear(&child->line);
    free(child->label);
    *child = CHILD_EMPTY;
}
