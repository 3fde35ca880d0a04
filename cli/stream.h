/* A streamed answer of the daemon, as it is or row by row. One thread. */
#ifndef GALLOC_CLI_STREAM_H
#define GALLOC_CLI_STREAM_H

#include "cli/cli.h"

#include <stdio.h>

/* CSV or NDJSON as it comes, into a file or (NULL) to stdout; a terminal gets whole lines, escaped. */
int stream_copy(const struct cli *cli, const char *path, bool is_csv, FILE *file, struct galloc_error *error) MUST_CHECK;

/* Every line that is not empty, by a function. A negative result of it ends it and is the result; STREAM_ENOUGH ends it well. */
enum { STREAM_ENOUGH = 1 };
typedef int stream_take(void *arg, struct json_span row, struct galloc_error *error);
int stream_rows(const struct cli *cli, const char *path, stream_take *take, void *arg, struct galloc_error *error) MUST_CHECK;

/* NDJSON as one JSON array. */
int stream_array(const struct cli *cli, const char *path, FILE *file, struct galloc_error *error) MUST_CHECK;

#endif
