/* Which rows of a run a selector means, in the order of the run, piece by piece: for lists and results on the reader's connection, for sweeps on the
 * writer's. It owns its statements and remembers nothing between pieces but what was asked: the caller keeps the cursor. */
#ifndef GALLOC_STORE_SQLITE_SELECT_H
#define GALLOC_STORE_SQLITE_SELECT_H

#include "store/op_run.h"

#include <sqlite3.h>

struct select_where {
    char *field;       /* owned */
    const char *value; /* borrowed from the selector */
};

struct selection {
    sqlite3 *db; /* borrowed */
    int64_t run;
    unsigned states;  /* a bit a state; never 0 */
    uint32_t classes; /* 0: any */
    bool has_agents, has_keys;
    int64_t *agents, *keys; /* owned: ids, rising */
    size_t agent_count, key_count;
    struct select_where *wheres; /* owned */
    size_t where_count;
    sqlite3_stmt *walk, *row, *payload; /* owned; walk is what gives candidates */
};

/* Prepares. `states`: the states that may be meant at all; the selector's narrow them. 0; a SQLite code (positive); or -GALLOC_INVALID_VALUE (a `where`
 * without '='), error filled. The selector has to live until the end. */
int selection_open(struct selection *ret_selection, sqlite3 *db, int64_t run, const struct store_selector *selector, unsigned states,
                   struct galloc_error *error);

/* The rows held as rejected. 0 or a SQLite code. */
int selection_open_held(struct selection *ret_selection, sqlite3 *db, int64_t run);

/* The next at most `cap` ids behind `after`, rising. Stops at the deadline. *ret_after: go on behind it; *ret_is_end: nothing is behind. 0 or a SQLite code. */
int selection_next(struct selection *selection, int64_t after, int64_t deadline_mono_us, int64_t *ids, size_t cap, size_t *ret_count, int64_t *ret_after,
                   bool *ret_is_end);

void selection_close(struct selection *selection); /* zeroes are fine */

#endif
