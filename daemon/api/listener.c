/* See listener.h. No bind-then-chmod: the umask is in place while the socket comes to be. */
#include "api/listener.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 512

/* Others must not be able to put something else at the socket's place. */
static int check_folder(const struct listener_place *place, struct galloc_error *error)
{
    char *copy = xstrdup(place->path);
    const char *folder = dirname(copy);
    struct stat st;
    int rc = 0;
    if (stat(folder, &st) < 0)
        rc = galloc_fail(error, GALLOC_D_CONFIG, "the socket's folder %s: %s; make it, or choose another place with %s", folder, strerror(errno), place->option);
    else if (!S_ISDIR(st.st_mode))
        rc = galloc_fail(error, GALLOC_D_CONFIG, "the socket's folder %s is not a folder; choose another place with %s", folder, place->option);
    else if (st.st_uid != geteuid() && st.st_uid != 0)
        rc = galloc_fail(error, GALLOC_D_CONFIG, "the socket's folder %s belongs to another user (uid %u); choose another place with %s", folder,
                         (unsigned)st.st_uid, place->option);
    else if ((st.st_mode & S_IWOTH) != 0)
        rc = galloc_fail(error, GALLOC_D_CONFIG, "everybody can write into the socket's folder %s; chmod o-w it, or choose another place with %s", folder, place->option);
    free(copy);
    return rc;
}

static int socket_address(const char *path, struct sockaddr_un *ret_address, struct galloc_error *error)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) == 0 || strlen(path) >= sizeof ret_address->sun_path)
        return galloc_fail(error, GALLOC_D_CONFIG, "the socket's path %s has to have 1 to %zu bytes", path, sizeof ret_address->sun_path - 1);
    memcpy(ret_address->sun_path, path, strlen(path) + 1);
    return 0;
}

/* Removes what a dead daemon left; leaves alone what is not a socket and what answers. */
static int remove_stale(const struct listener_place *place, const struct sockaddr_un *address, struct galloc_error *error)
{
    const char *path = place->path;
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : galloc_fail(error, GALLOC_D_CONFIG, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return galloc_fail(error, GALLOC_D_CONFIG, "%s is there and is not a socket; move it away, or choose another place with %s", path, place->option);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "socket: %s", strerror(errno));
    bool is_dead = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!is_dead)
        return galloc_fail(error, GALLOC_D_HELD, "another daemon answers on %s; stop it, or choose another place with %s", path, place->option);
    if (unlink(path) < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the stale socket %s cannot be removed: %s", path, strerror(errno));
    return 0;
}

static int give_to_group(const struct listener_place *place, struct galloc_error *error)
{
    const char *group = place->group, *setting = place->group_setting;
    if (group == NULL || group[0] == '\0')
        return 0;
    const struct group *row = getgrnam(group); /* at start, one thread */
    if (row == NULL)
        return galloc_fail(error, GALLOC_D_CONFIG, "%s \"%s\": there is no such group; groupadd it, or set %s", setting, group, setting);
    struct stat st;
    if (lstat(place->path, &st) == 0 && st.st_gid == row->gr_gid)
        return 0;
    if (lchown(place->path, (uid_t)-1, row->gr_gid) < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the socket cannot be given to %s \"%s\": %s; be a member of it, or set %s", setting, group,
                           strerror(errno), setting);
    return 0;
}

int listener_open(const struct listener_place *place, int *ret_fd, struct galloc_error *error)
{
    const char *path = place->path;
    struct sockaddr_un address;
    int rc = socket_address(path, &address, error);
    if (rc == 0)
        rc = check_folder(place, error);
    if (rc == 0)
        rc = remove_stale(place, &address, error);
    if (rc < 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "socket: %s", strerror(errno));
    mode_t before = umask((mode_t)(~place->mode & 0777));
    int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
    int bind_errno = errno;
    umask(before);
    if (bound < 0) {
        close(fd);
        return galloc_fail(error, GALLOC_D_CONFIG, "%s: %s", path, strerror(bind_errno));
    }
    rc = give_to_group(place, error);
    if (rc == 0 && listen(fd, BACKLOG) < 0)
        rc = galloc_fail(error, GALLOC_D_CONFIG, "%s: %s", path, strerror(errno));
    if (rc < 0) {
        close(fd);
        unlink(path);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int listener_adopt(int fd, struct galloc_error *error)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return galloc_fail(error, GALLOC_D_CONFIG, "the socket handed over (descriptor %d) is not a stream socket", fd);
    len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || listens == 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the socket handed over (descriptor %d) does not listen", fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return galloc_fail(error, GALLOC_D_CONFIG, "the socket handed over (descriptor %d): %s", fd, strerror(errno));
    return 0;
}

bool listener_is_reachable(int fd)
{
    struct sockaddr_un address = {0};
    socklen_t len = sizeof address - 1;
    struct stat st;
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 || address.sun_family != AF_UNIX)
        return true; /* not ours to judge */
    return lstat(address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
}
