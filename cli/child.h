/* A program of the user's that is fed a JSON text and watched while other things go on: never waited for. It is the leader of a process group of its own, so that
 * Ctrl-C at the terminal reaches gallocctl alone, and so that a stop reaches all that it started. What it says on stderr is passed on line by line, escaped and
 * with its name. One thread. */
#ifndef GALLOC_CLI_CHILD_H
#define GALLOC_CLI_CHILD_H

#include "cli/cli.h"

#include <poll.h>
#include <sys/types.h>

#define CHILD_FDS_MAX 3
#define CHILD_SAID_BYTES 200

struct child {
    const struct cli *cli; /* borrowed */
    char *label;           /* owned; what stands before its lines */
    pid_t pid;             /* and the number of its group; 0: none, or it is over */
    bool has_ended;        /* but what it left behind may hold its pipes, and is waited for */
    int in_fd, out_fd, err_fd; /* our ends; -1: closed */
    struct buf in;         /* owned; up to in_at it was written */
    size_t in_at;
    struct buf out;        /* owned; its stdout */
    size_t out_max_bytes;
    bool is_over_cap;      /* stdout was longer: what is more was dropped, and it was stopped */
    struct buf line;       /* owned; of stderr, not yet ended */
    char said[CHILD_SAID_BYTES]; /* the last line of stderr, cut; "" */
    int wait_status;       /* waitpid()'s, once it is over */
    bool is_stopped;       /* it was asked to stop */
    int64_t kill_at_mono_ms;  /* SIGKILL goes out then; INT64_MAX: never, or it has */
    int64_t close_at_mono_ms; /* it has ended, and what still holds its pipes is waited for no longer; INT64_MAX: as long as until kill_at_mono_ms */
};

#define CHILD_EMPTY ((struct child){.in_fd = -1, .out_fd = -1, .err_fd = -1, .kill_at_mono_ms = INT64_MAX, .close_at_mono_ms = INT64_MAX})

/* True when `command` can be found and executed, as a path or by PATH. */
bool child_can_start(const char *command);

/* Starts argv with `in` (taken over) on its stdin. Its stdout is gathered up to out_max_bytes; 0: it is ours, untouched. `label` is taken over. 0, or
 * -GALLOC_USAGE when there is no such program, -GALLOC_LOCAL_IO when it could not be started now; then nothing is left of it. */
int child_start(struct child *child, const struct cli *cli, char *const *argv, char *label, struct buf *in, size_t out_max_bytes, struct galloc_error *error) MUST_CHECK;

/* Adds what is to be polled for it to `ret_fds` (room for CHILD_FDS_MAX); how many. */
size_t child_fds(const struct child *child, struct pollfd *ret_fds);
/* When it wants a turn although nothing moved; INT64_MAX: never. */
int64_t child_due(const struct child *child);
/* Moves what can be moved without waiting. True once it has ended, all that it said is here, and after a stop nothing of its group is left. */
bool child_turn(struct child *child);
/* Asks it to stop: SIGTERM now, SIGKILL after 5 s, to its whole group, also to what outlives its leader. May be repeated. */
void child_stop(struct child *child);

int child_exit_status(const struct child *child); /* of an ended one; -1: a signal ended it */
int child_signal(const struct child *child);      /* the signal that ended it; 0: none */
/* "exit status 3" or "signal 15 (Terminated)", and the last line that it said. */
void child_describe_end(const struct child *child, struct buf *out);
/* Kills it if it still runs, and frees. */
void child_clear(struct child *child);

#endif
