/* See socket.h. */
#include "cli/socket.h"

#include "cli/hint.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEM_SOCKET "/run/galloc/gallocd.sock"
#define SYSTEM_WORKER_SOCKET "/run/galloc-worker/worker.sock" /* systemd/gallocd-worker.socket */

#define GALLOCD GALLOC_SBINDIR "/gallocd" /* its folder is not in the PATH of most users */

static char *user_socket(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime != NULL && runtime[0] == '/')
        return xasprintf("%s/galloc/gallocd.sock", runtime);
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state != NULL && state[0] == '/')
        return xasprintf("%s/galloc/gallocd.sock", state);
    return home != NULL ? xasprintf("%s/.local/state/galloc/gallocd.sock", home) : NULL;
}

char *socket_find(const char *given)
{
    if (given == NULL)
        given = getenv("GALLOC_SOCKET");
    if (given != NULL && *given != '\0')
        return xstrdup(given);
    char *user = user_socket();
    if (user != NULL && access(user, F_OK) == 0)
        return user;
    free(user);
    return xstrdup(SYSTEM_SOCKET);
}

char *socket_find_worker(void)
{
    const char *worker = getenv("GALLOC_WORKER_SOCKET"), *given = getenv("GALLOC_SOCKET");
    if (worker != NULL && *worker != '\0')
        return xstrdup(worker);
    char *user = user_socket();
    bool has_other = (given != NULL && *given != '\0') || (user != NULL && access(user, F_OK) == 0);
    free(user);
    return !has_other && access(SYSTEM_WORKER_SOCKET, R_OK | W_OK) == 0 ? xstrdup(SYSTEM_WORKER_SOCKET) : NULL;
}

/* The group that opens the way to the socket: the socket's own, or that of the folder which may not be entered. */
static void explain_denied(const char *path, struct galloc_error *error)
{
    char *folder = xstrdup(path);
    struct stat st;
    bool is_known = stat(folder, &st) == 0;
    while (!is_known && strrchr(folder, '/') != NULL && strrchr(folder, '/') != folder) {
        *strrchr(folder, '/') = '\0';
        is_known = stat(folder, &st) == 0;
    }
    struct group *group = is_known ? getgrgid(st.st_gid) : NULL;
    const char *name = group ? group->gr_name : "galloc";
    galloc_fail(error, GALLOC_NOT_PERMITTED,
                "not permitted to use %s: it is for members of the group %s (they may spend its API money). Join with 'sudo adduser \"$USER\" %s', "
                "then log in again",
                path, name, name);
    free(folder);
}

int socket_explain(const char *path, struct galloc_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return galloc_fail(error, GALLOC_USAGE, "the socket's path is longer than %zu bytes: %s", sizeof address.sun_path - 1, path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int problem = 0;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        problem = errno;
    if (fd >= 0)
        close(fd);
    if (problem == EACCES || problem == EPERM) {
        explain_denied(path, error);
        return -GALLOC_NOT_PERMITTED;
    }
    char start[512];
    if (hint_start() != NULL)
        snprintf(start, sizeof start, "start it with '%.400s'", hint_start());
    else if (strcmp(path, SYSTEM_SOCKET) == 0)
        snprintf(start, sizeof start, "start it with 'sudo systemctl start gallocd', or as yourself with '%s'", GALLOCD);
    else
        snprintf(start, sizeof start, "start it with '%s', or name its socket with -S", GALLOCD);
    if (problem == ENOENT)
        return galloc_fail(error, GALLOC_UNREACHABLE, "no daemon: there is no socket %s; %s", path, start);
    if (problem == ECONNREFUSED)
        return galloc_fail(error, GALLOC_UNREACHABLE, "no daemon listens on %s (it ended, or was killed); %s", path, start);
    if (problem == 0)
        return galloc_fail(error, GALLOC_UNREACHABLE, "the daemon on %s went away before it answered", path);
    return galloc_fail(error, GALLOC_UNREACHABLE, "%s: %s; %s", path, strerror(problem), start);
}
