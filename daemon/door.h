/* A door: one of the daemon's sockets, from where the manager or the configuration puts it to the API that answers there. At start and at the end. */
#ifndef GALLOC_DAEMON_DOOR_H
#define GALLOC_DAEMON_DOOR_H

#include "api/api.h"
#include "api/listener.h"

struct door {
    const char *name;            /* under which the manager hands it over; static */
    enum api_role role;
    struct listener_place place; /* path "": there is none, unless the manager hands one over */
    bool is_main;                /* it is the one that a manager hands over without a name, and that it keeps for us when we made it */
    bool is_owned;               /* made by us, so taken away by us */
};

/* Takes what the manager left us, else makes the socket, and lets clients in. 0, or -D_CONFIG, -D_HELD with what to do. */
int door_open(struct door *door, struct api *api, struct galloc_error *error) MUST_CHECK;
void door_close(struct door *door);

#endif
