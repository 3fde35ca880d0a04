/* Sends rows to a run: to one that is importing as numbered parts, to one that runs or ran as appends, each with an Idempotency-Key so that sending one again adds
 * nothing. Either is about 1 MiB: while two parts are with the daemon, in order, the next is gathered, so that
 * reading, the daemon's checks and its commits overlap and memory stays at three parts. A part that stands already (an import that is
 * continued) is not sent again: its stored answer counts. A daemon that restarts is waited for and gets the part once more. What is fed (import_feed) goes out whenever its sender
 * says so, and is answered before more is read. One thread. */
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
    char *path, *key;          /* the request's; owned; key NULL: a part of an import */
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
    char *append_key;       /* owned; what the Idempotency-Keys of appends begin with; NULL: parts of an import */
    int64_t replayed_count; /* parts that had been appended before */
    int64_t answered_rows;  /* of sent_rows */
    bool outlasts_disk;     /* a full disk is waited for */
    int64_t due_mono_ms;    /* of what is fed: when the rows gathered have to go out; 0: there are none */
};

void import_init(struct import *import, struct cli *cli, struct rejects *rejects, const char *run_id);
void import_clear(struct import *import);

/* What follows is appended. `key` tells this input from all others for 7 days: at most 100 bytes. */
void import_be_append(struct import *import, const char *key);

/* Learns which parts of a continued import stand. */
int import_resume(struct import *import, struct galloc_error *error) MUST_CHECK;

int import_add(struct import *import, const struct input_row *row, struct galloc_error *error) MUST_CHECK;
/* Sends what was gathered and waits for its answers, which are told. */
int import_feed(struct import *import, struct galloc_error *error) MUST_CHECK;
/* Sends what is left and waits for every answer. */
int import_finish(struct import *import, struct galloc_error *error) MUST_CHECK;

/* A row as a line of a part (PartRow), with its end. */
void import_write_row(struct buf *out, const struct input_row *row);

#endif
