/* Decisions that a person takes back, one by one (sqlite_decide.c) or many (sqlite_sweep.c). The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_DECIDE_H
#define GALLOC_STORE_SQLITE_DECIDE_H

#include "store/sqlite.h"

/* A row that is decided, as it stands. */
struct decided_row {
    int64_t id, agent, resets; /* agent 0: it went to nobody */
};

/* Keeps the decision with its attempt, beside `words` that tell who changes it and why, and gives its place back, where it holds one still: a reset of the pool
 * since gave it back already. The row itself and its result are the caller's. 0 or a fault. */
int decision_take_back(struct sqlite_store *store, const struct run_entry *entry, const struct decided_row *row, const char *words);

/* "VERB by uid N: REASON". The caller frees. */
char *decision_words(const char *verb, const struct store_peer *peer, const char *reason);

#endif
