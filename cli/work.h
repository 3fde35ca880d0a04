/* `gallocctl work`: leases batches from the daemon, gives each to the user's command, and tells the daemon what came out. Several slots side by side in one thread:
 * each has a batch of its own, its command runs as a process, and nothing waits for anything but at one place, in work_run(). */
#ifndef GALLOC_CLI_WORK_H
#define GALLOC_CLI_WORK_H

#include "cli/cli.h"

struct work_options {
    const char *run;      /* borrowed; NULL: any run on the endpoint `workers` */
    const char *worker;   /* borrowed; with several slots each adds its number */
    char *const *argv;    /* borrowed, NULL at its end: the command */
    int64_t batch, parallel;
    int64_t ttl_ms;               /* 0: as the daemon has it */
    int64_t command_timeout_ms;   /* 0: none */
    int64_t timeout_ms;           /* after that nothing more is leased, and a daemon that is away is waited for no longer; 0: none */
    bool is_once;                 /* ends when there is nothing to do */
};

/* What the daemon can say of a result. */
enum work_verdict { WORK_SUCCEEDED, WORK_FAILED, WORK_RETRY, WORK_AGENT_FULL, WORK_INVALID_ANSWER, WORK_STALE, WORK_DUPLICATE, WORK_VERDICT_COUNT };
struct work_verdict_row {
    const char *name;  /* on the wire */
    const char *words; /* behind a number of assignments */
};
extern const struct work_verdict_row work_verdicts[WORK_VERDICT_COUNT];

struct work_tally {
    int64_t batches, assignments;         /* leased */
    int64_t verdicts[WORK_VERDICT_COUNT]; /* assignments */
    int64_t unknown;                      /* assignments of which the daemon said what we do not know: it is newer */
    int64_t released;                     /* assignments given back */
    int64_t lost_leases, command_failures;
    int64_t untold;                       /* batches whose results the daemon never answered */
};

/* Works until there is nothing to do (is_once), the run is over, or a signal ends it; that signal is noted for interrupt_die(). Gives the exit status; failed
 * assignments are not in it. */
int work_run(struct cli *cli, const struct work_options *options, struct work_tally *ret_tally);

#endif
