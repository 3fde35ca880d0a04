/* A batch of `gallocctl work`: what the daemon leased, as CMD reads it, and what CMD answered, as the daemon is told. Nothing here knows of processes or requests.
 * Whatever CMD prints, each assignment of the lease is told of once: with CMD's own result, or with an error in its place, so that none waits for the lease's end.
 * One thread. */
#ifndef GALLOC_CLI_WORK_BATCH_H
#define GALLOC_CLI_WORK_BATCH_H

#include "cli/cli.h"

#define BATCH_OUTPUT_BYTES (4 << 20) /* of CMD's stdout: as much as the daemon takes in a body */
#define BATCH_RESULT_BYTES (64 << 10) /* of one result: many times what is kept of its reason */

struct batch_item {
    char *key;             /* owned */
    struct json_span told; /* borrowed from CMD's stdout: its result as it stands there; empty: none */
};

struct batch {
    char *lease, *run; /* owned */
    int64_t ttl_ms;
    struct batch_item *items; /* owned; in order of their keys */
    size_t count;
    size_t next;      /* the first one that is not yet in a body */
    /* What the daemon is told of an assignment without a result. */
    const char *code; /* static */
    char *message;    /* owned */
    bool may_retry;
};

/* Reads the daemon's answer to POST /v1/leases. ret_input becomes CMD's stdin, a line of JSON with fields and attributes byte for byte as they came.
 * 0 or -GALLOC_INTERNAL. */
int batch_read(struct batch *batch, const struct response *response, struct buf *ret_input, struct galloc_error *error) MUST_CHECK;

/* What is told of each assignment that has no result; in front of people it is said nowhere. Takes message over. */
void batch_set_error(struct batch *batch, const char *code, char *message, bool may_retry);

/* Finds in CMD's stdout what was decided of whom, and complains of what cannot be used, naming lease and key. `out` has to live until the last body was made.
 * How many results were found. Errors for the rest are set. */
size_t batch_take_output(const struct cli *cli, struct batch *batch, const struct buf *out);

/* The next body for POST /v1/leases/{lease}/results, in place of what is in `body`; false: all has been in one. */
bool batch_next_body(struct batch *batch, struct buf *body);

void batch_clear(struct batch *batch);

#endif
