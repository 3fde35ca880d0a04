/* The bad rows of an import: a CSV with file, line, column, reason and then the row as it came; and the first few on stderr.
 * The file is made at the first bad row. One thread. */
#ifndef GALLOC_CLI_REJECTS_H
#define GALLOC_CLI_REJECTS_H

#include "cli/cli.h"
#include "cli/input.h"

#include <stdio.h>

struct rejects {
    const struct cli *cli;
    const char *source_name;
    char *path;  /* owned */
    bool is_own; /* the path was asked for: then failing to write it is an error */
    FILE *file;  /* NULL: no bad row yet, or it could not be made */
    bool is_unwritable;
    bool is_mute; /* of a second run that gets the same rows: nothing is counted or told */
    struct buf header; /* of a CSV, as it came */
    bool is_csv;       /* bad rows are appended as they came; else as one cell */
    char delimiter;
    int64_t count;
};

/* `asked` NULL: NAME.rejects.csv. */
void rejects_init(struct rejects *rejects, const struct cli *cli, const char *source_name, const char *asked);
/* Once the columns are known. */
void rejects_describe(struct rejects *rejects, const struct input_info *info);
/* `verb`: what became of it, "rejected" or "repeated". */
int rejects_add(struct rejects *rejects, const char *verb, int64_t line, const char *column, const char *reason, struct json_span raw,
                struct galloc_error *error) MUST_CHECK;
/* All of the input was read: with no bad row in it, those of an earlier try that lie in the usual place are out of date and are removed. */
void rejects_end(struct rejects *rejects);
/* Closes the file. 0, or -GALLOC_LOCAL_IO when it could not be written whole. Frees the path. */
int rejects_close(struct rejects *rejects, struct galloc_error *error) MUST_CHECK;

#endif
