/* What `gallocctl notify` knows: up to which event it has told everything, which runs are open and what was told of them, which endpoints are down. With --cursor it
 * outlives the process, in a file that is there whole or not at all. So after a gap in the events it is known what changed meanwhile. One thread. */
#ifndef GALLOC_CLI_NOTIFY_STATE_H
#define GALLOC_CLI_NOTIFY_STATE_H

#include "base/code.h"
#include "base/json.h"

struct notify_run {
    char *id;      /* owned */
    char *paused;  /* owned; the reason that was told; NULL: none since it last ran */
    char *waiting; /* owned; the code that it waits for; NULL: for nothing */
    bool has_told_waiting;
    int64_t waiting_since_mono_ms; /* of this process's clock; not kept */
};

struct notify_endpoint {
    char *name, *reason; /* owned; it is down, and that was told */
};

struct notify_state {
    char *path;  /* owned; NULL: nothing is kept */
    int64_t seq; /* of the last event that is dealt with; -1: none yet */
    struct notify_run *runs; /* owned: the open ones */
    size_t run_count;
    struct notify_endpoint *endpoints; /* owned */
    size_t endpoint_count;
    bool is_changed; /* since it was saved */
};

/* Reads `path`; a file that is not there is a beginning. NULL: keeps nothing. 0, -GALLOC_LOCAL_IO, or -GALLOC_INVALID_INPUT when it is no cursor. */
int notify_state_load(struct notify_state *state, const char *path, struct galloc_error *error) MUST_CHECK;
/* 0 or -GALLOC_LOCAL_IO. Nothing is written where nothing changed. */
int notify_state_save(struct notify_state *state, struct galloc_error *error) MUST_CHECK;
void notify_state_clear(struct notify_state *state);

struct notify_run *notify_run_find(struct notify_state *state, const char *id);  /* NULL: not among the open ones */
struct notify_run *notify_run_open(struct notify_state *state, const char *id);  /* found or added; borrowed until the next change */
void notify_run_close(struct notify_state *state, const char *id);
void notify_run_set_paused(struct notify_state *state, const char *id, const char *reason); /* NULL: it runs */
void notify_run_set_waiting(struct notify_state *state, const char *id, const char *code);  /* a code other than before is not told yet */

const char *notify_endpoint_reason(const struct notify_state *state, const char *name); /* NULL: nobody was told that it is down */
void notify_endpoint_set(struct notify_state *state, const char *name, const char *reason); /* NULL: up */

#endif
