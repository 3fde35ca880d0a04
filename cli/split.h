/* Results parted into files of a folder, one an agent: each row goes to its agent's file as it comes. The folder is there whole or not at all: it is filled beside
 * its place and then renamed. Memory is a few hundred bytes an agent, and few files are open at a time. One thread. */
#ifndef GALLOC_CLI_SPLIT_H
#define GALLOC_CLI_SPLIT_H

#include "base/buf.h"
#include "base/code.h"
#include "base/json_scan.h"

struct split;

/* What a file is called: the id, with every byte that could be a path, act on a terminal or mean something else elsewhere as %XX, and cut with a digest where it is
 * long. Two ids have two names. The caller frees. */
char *split_name(const char *agent_id);

/* `folder` must not be there, or be empty. `ending`: ".csv". 0; -GALLOC_USAGE; -GALLOC_LOCAL_IO. */
int split_open(const char *folder, const char *ending, struct split **ret_split, struct galloc_error *error) MUST_CHECK;
/* Adds a row to the agent's file ("": of nobody), which begins with `head`. */
int split_add(struct split *split, const char *agent_id, struct json_span row, struct json_span head, struct galloc_error *error) MUST_CHECK;
/* Each file in turn, closed, by its path: made into another one by `each` in its place. */
int split_each(struct split *split, int (*each)(void *arg, const char *path, struct galloc_error *error), void *arg, struct galloc_error *error) MUST_CHECK;
/* Puts the folder in its place. *ret_files: how many there are; *ret_alike NULL, or two ids whose files a file system that looks at no case takes for one, as
 * "A and a"; the caller frees. */
int split_commit(struct split *split, size_t *ret_files, char **ret_alike, struct galloc_error *error) MUST_CHECK;
void split_free(struct split *split); /* what was not put in its place is removed; NULL is fine */

/* The next row of CSV (RFC 4180) in `text` from `from` on, its line end included: false when it is not whole there. */
bool split_csv_row(const struct buf *text, size_t from, struct json_span *ret_row);
/* The decoded cell of a row; -1 in the index of a name that the header has not. */
void split_csv_cell(struct json_span row, size_t index, struct buf *out);
int64_t split_csv_find(struct json_span header, const char *name);

#endif
