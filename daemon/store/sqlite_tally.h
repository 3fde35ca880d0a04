/* What a read that takes several turns remembers between them. A reader's thread. */
#ifndef GALLOC_STORE_SQLITE_TALLY_H
#define GALLOC_STORE_SQLITE_TALLY_H

#include "store/sqlite_reader.h"

struct group; /* of failures */

/* Rows of an agent in a run, or of a run with an agent. */
struct taken {
    int64_t agent, count;
};

struct tally {
    struct tally *next;
    const struct store_read *read; /* borrowed: whose it is */
    int64_t run;                   /* that is gone through, where there are several; 0: none yet */
    bool is_run_done;
    int64_t after, looked_count;
    struct group *groups; /* owned; of failures */
    size_t group_count, group_cap;
    uint16_t *slots;     /* owned; indices + 1 into groups, by hash */
    struct taken *taken; /* owned; rising, few */
    size_t taken_count, taken_cap;
};

struct tally *tally_of(struct store_reader *reader, const struct store_read *read); /* made at the first turn */
void tally_free(struct store_reader *reader, struct tally *tally);
void taken_add(struct tally *tally, int64_t agent);

#endif
