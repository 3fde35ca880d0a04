/* Staying with runs until they end: as a bar, as a log, or in silence. It reads the event stream, goes on from the last event when the
 * daemon restarts, and asks for the run itself when it heard nothing for a while, so that no end is missed. One thread. */
#ifndef GALLOC_CLI_FOLLOW_H
#define GALLOC_CLI_FOLLOW_H

#include "cli/cli.h"

enum follow_mode { FOLLOW_BAR, FOLLOW_LOG, FOLLOW_SILENT };

/* `runs` are ids or names. The exit status: 0, or the highest of 1 (failed assignments), 9 (paused by the daemon; not with a bar, which
 * stays), 10 (cancelled); 8 at the deadline; Ctrl-C detaches, says that the run goes on, and ends the process at its end. */
int follow_runs(struct cli *cli, char **runs, size_t count, enum follow_mode mode);

/* Words for a run. Each adds to `out`. */
void show_run_line(struct buf *out, struct json_object *run, int bar_width); /* a line: bar, counts, rate, ETA, what it waits for */
void show_eta(struct buf *out, struct json_object *run);                     /* "20 min to 28 min", or that it is not known */
void show_limit(struct buf *out, struct json_object *run);                   /* " (limited by rpm)", or nothing */
void show_waiting(struct buf *out, struct json_object *waiting);
bool show_hindrance(struct buf *out, struct json_object *run);               /* why it is paused or waits, and until when; false: it runs */

#endif
