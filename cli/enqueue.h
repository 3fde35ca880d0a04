/* What enqueue and its --ab share: making a run, committing it, giving it up, staying with it. One thread. */
#ifndef GALLOC_CLI_ENQUEUE_H
#define GALLOC_CLI_ENQUEUE_H

#include "cli/intake.h"

/* POST /v1/runs for the plan of the intake. 0: `ret` has the run, new (201) or still importing (200). -GALLOC_ALREADY_ENQUEUED, with the run in the problem's `run` and its words. */
int enqueue_make(struct cli *cli, const struct intake *intake, const struct input_info *info, struct response *ret, struct galloc_error *error) MUST_CHECK;
int enqueue_commit(struct cli *cli, const char *run_id, int64_t part_count, struct response *ret, struct galloc_error *error) MUST_CHECK;
/* Cancels a run that cannot become what was meant; says so when it cannot. */
void enqueue_cancel(struct cli *cli, const char *run_id);
/* --wait and --follow: until all have ended. The exit status; at once EXIT_WELL without either. */
int enqueue_stay(struct cli *cli, char **run_ids, size_t count);

#endif
