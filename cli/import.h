/* Sends rows to a run as numbered parts of about 1 MiB: while two parts are with the daemon, in order, the next is gathered, so that
 * reading, the daemon's checks and its commits overlap and memory stays at three parts. A part that stands already (an import that is
 * continued) is not sent again: its stored answer counts. A daemon that restarts is waited for and gets the part once more. One thread. */
#ifndef GALLOC_CLI_IMPORT_H
#define GALLOC_CLI_IMPORT_H

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/rejects.h"

struct import_line {
    int64_t number, line;
    size_t raw_at, raw_len;
};

enum { IMPORT_PARTS = 3 };

struct import_part {
    struct buf body; /* NDJSON as it is sent */
    struct buf raw;  /* the rows as they came, for the file of rejects */
    struct import_line *lines;
    size_t line_count, line_cap, hint;
    int64_t n;                 /* number of the part; 0: nothing in it */
    char *path;                /* the request's; owned */
    struct transfer *transfer; /* while it is with the daemon, else NULL */
};

struct import {
    struct cli *cli;
    struct rejects *rejects;
    char *run_id;
    struct json_object **standing; /* items of GET parts, part n at n - 1; borrowed from standing_pages */
    size_t standing_count;
    struct response *standing_pages;
    size_t standing_page_count;
    struct import_part parts[IMPORT_PARTS]; /* a ring: behind the one that gathers rows come those that are with the daemon */
    int filling;
    int64_t part_count; /* parts given out so far */
    int64_t sent_rows, accepted, repeated, replaced;
};

void import_init(struct import *import, struct cli *cli, struct rejects *rejects, const char *run_id);
void import_clear(struct import *import);

/* Learns which parts of a continued import stand. */
int import_resume(struct import *import, struct galloc_error *error) MUST_CHECK;

int import_add(struct import *import, const struct input_row *row, struct galloc_error *error) MUST_CHECK;
/* Sends what is left and waits for every answer. */
int import_finish(struct import *import, struct galloc_error *error) MUST_CHECK;

/* A row as a line of a part (PartRow), with its end. */
void import_write_row(struct buf *out, const struct input_row *row);

#endif
