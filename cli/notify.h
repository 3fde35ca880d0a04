/* `gallocctl notify`: what of the daemon's events people want to hear of, and how it is made one object. One thread. */
#ifndef GALLOC_CLI_NOTIFY_H
#define GALLOC_CLI_NOTIFY_H

#include "cli/cli.h"
#include "cli/notify_state.h"

enum notify_kind { NOTIFY_DONE, NOTIFY_PAUSED, NOTIFY_FAILED, NOTIFY_WAITING, NOTIFY_KIND_COUNT };
extern const char *const notify_kinds[NOTIFY_KIND_COUNT]; /* as --on names them */

struct notify {
    struct cli *cli; /* borrowed */
    struct notify_state state;
    bool wants[NOTIFY_KIND_COUNT];
    int64_t patience_ms; /* a wait is told of once it has lasted so long */
    bool is_silent;      /* what is found is taken as known: at the beginning */
    bool has_told;       /* tell() was there: the state wants to be saved */
    /* Hands an object over, and does not give up: 0 once it was taken, or -GALLOC_CANCELLED, -GALLOC_TIMED_OUT, -GALLOC_LOCAL_IO. `text` is its line for people. */
    int (*tell)(struct notify *notify, const char *text, const struct buf *object, struct galloc_error *error);
};

/* Takes one event: tells what has to be told, then counts it as dealt with. 0, an error of tell(), or one of the daemon. */
int notify_take_event(struct notify *notify, struct json_span text, struct galloc_error *error) MUST_CHECK;

/* Compares what is with what is known: runs that ended, paused or wait, endpoints that are down. After a gap in the events, and at the beginning. */
int notify_look(struct notify *notify, struct galloc_error *error) MUST_CHECK;

/* The part of it that the events do not number for certain. */
int notify_look_at_endpoints(struct notify *notify, struct galloc_error *error) MUST_CHECK;

/* Tells of runs that have waited long enough. */
int notify_tell_waits(struct notify *notify, struct galloc_error *error) MUST_CHECK;
int64_t notify_due(const struct notify *notify); /* when the next one will have; INT64_MAX: never */

#endif
