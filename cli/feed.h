/* Adding to a run that runs or ran: enqueue --append, and enqueue - --open, which is fed by standard input. One thread. */
#ifndef GALLOC_CLI_FEED_H
#define GALLOC_CLI_FEED_H

#include "cli/import.h"
#include "cli/intake.h"

/* Do the options go together? `is_fed`: the rows come from standard input as they are made. */
int feed_check_options(const struct args *args, bool is_fed, struct galloc_error *error) MUST_CHECK;

/* The run that is appended to, as the daemon shows it. -GALLOC_WRONG_STATE: it takes nothing; -GALLOC_ALREADY_ENQUEUED: it was made of this very file. */
int feed_find_run(struct cli *cli, const struct intake *intake, struct response *ret_run, struct galloc_error *error) MUST_CHECK;

/* Starts a run that takes rows from now on. */
int feed_start_run(struct cli *cli, const char *run_id, struct galloc_error *error) MUST_CHECK;

/* Makes what the import sends appends. A file that is appended again, read in the same way, has the same keys: what stands is not added twice. */
void feed_begin(struct import *import, const struct intake *intake, const struct input_info *info);

/* What the appends came to: -GALLOC_ALREADY_ENQUEUED when all of the file stood, -GALLOC_INVALID_INPUT when rows came and none was taken. */
int feed_conclude(const struct import *import, const struct intake *intake, struct galloc_error *error) MUST_CHECK;

/* After a failure: what became of the rows. */
void feed_tell_rest(const struct import *import, const struct intake *intake);

/* The source of an import that is fed: rows go out within a second. `import` is borrowed. */
void feed_source(struct source *source, struct import *import);
/* After each row: sends when it is time. */
int feed_row(struct import *import, struct galloc_error *error) MUST_CHECK;

#endif
