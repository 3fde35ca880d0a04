/* Results on their way out: what cmd_results.c and results_split.c share. */
#ifndef GALLOC_CLI_RESULTS_H
#define GALLOC_CLI_RESULTS_H

#include "cli/command.h"
#include "cli/xlsx.h"

#include <stdio.h>

struct results {
    struct cli *cli;
    enum out_format format;
    char *run;  /* encoded; owned */
    char *path; /* of the request; owned */
    FILE *file; /* NULL: stdout, escaped where that is a terminal */
    struct xlsx_shape shape; /* owned; of a workbook */
};

/* Adds a row's JSON text to a workbook (`arg` is a struct xlsx). */
int results_add_to_book(void *arg, struct json_span text, struct galloc_error *error) MUST_CHECK;
/* Closes the book whatever `rc` says, which is told first. */
int results_close_book(struct xlsx *xlsx, int rc, struct galloc_error *error) MUST_CHECK;

/* results_split.c: a file for each agent in `folder`, in results->format. 0, -GALLOC_USAGE, -GALLOC_LOCAL_IO or what the daemon said. */
int results_split(struct results *results, const char *folder, struct galloc_error *error) MUST_CHECK;

#endif
