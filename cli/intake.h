/* What enqueue and check share: reading the input with its plan. One thread. */
#ifndef GALLOC_CLI_INTAKE_H
#define GALLOC_CLI_INTAKE_H

#include "cli/plan.h"
#include "cli/rejects.h"

struct intake {
    struct cli *cli;
    struct plan plan;
    struct source *source;
    struct rejects rejects;
    char sha256[DIGEST_HEX]; /* "" for standard input */
    char *key_column, *key_example; /* owned; NULL until known */
    int64_t row_count;       /* good rows seen */
    int64_t first;           /* stop after so many; INT64_MAX: all */
    struct input_sink rows;  /* who takes the good rows, in their order; its reject is not used */
};

/* Opens the file and reads the plan. */
int intake_open(struct intake *intake, struct cli *cli, const char *path, const struct input_sink *rows, struct galloc_error *error) MUST_CHECK;
/* Reads it all and hands the rows on: rows.begin once the columns are known, then every good row up to --first, sorted if asked for.
 * Bad ones go to the rejects; under --strict the first one ends it with -GALLOC_INVALID_INPUT. */
int intake_run(struct intake *intake, struct galloc_error *error) MUST_CHECK;
/* Closes; 0 or the error of the file of rejects. The rejects' path is kept in *ret_rejects_path when there are any (else NULL). */
int intake_close(struct intake *intake, char **ret_rejects_path, struct galloc_error *error) MUST_CHECK;

#endif
