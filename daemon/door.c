/* See door.h. The manager, where there is one, keeps the main door's socket through our restarts, and then its name stays too. A second door follows the
 * configuration at every start: one that was taken out of it must not stay open. */
#include "door.h"

#include "notify.h"
#include "start.h"

#include <unistd.h>

static int make(struct door *door, int *ret_fd, struct galloc_error *error)
{
    const struct listener_place *place = &door->place;
    int rc = start_make_socket_folder(place->path, place->group, place->option, error);
    if (rc == 0)
        rc = listener_open(place, ret_fd, error);
    if (rc == 0)
        door->is_owned = !door->is_main || !notify_keep_socket(*ret_fd, door->name);
    return rc;
}

int door_open(struct door *door, struct api *api, struct galloc_error *error)
{
    int fd = notify_take_socket(door->name, door->is_main), rc = 0;
    if (fd >= 0)
        rc = listener_adopt(fd, error);
    if (rc == 0 && fd >= 0 && !listener_is_reachable(fd)) {
        close(fd);
        fd = -1;
    }
    if (rc == 0 && fd < 0 && door->place.path[0] == '\0')
        return 0;
    if (rc == 0 && fd < 0)
        rc = make(door, &fd, error);
    if (rc == 0)
        api_listen(api, fd, door->role);
    return rc;
}

void door_close(struct door *door)
{
    if (door->is_owned)
        unlink(door->place.path);
    door->is_owned = false;
}
