/* The books of the open transaction: runs with their counters, and places of agents in ledgers. They are read into memory at first use, changed there,
 * and written once, with the commit; an operation that is refused leaves them as it found them. So hot operations cost no SQL for counters.
 * Whoever changes run.state/pauses/is_open/priority/parts/times, run_count or ledger_agent.held does it here, never by SQL of his own
 * (but an INSERT of a new row, before it was first read here). The writer's thread. */
#ifndef GALLOC_STORE_SQLITE_BOOKS_H
#define GALLOC_STORE_SQLITE_BOOKS_H

#include "store/model.h"

struct sqlite_store;
struct store_commit;

struct run_entry {
    struct store_run now;      /* current in this transaction; no strings but run_id */
    int64_t open_sweeps;       /* sweeps of the run on their way: it is not done before they are */
    struct store_run before_op; /* as it was when the operation first touched it */
    int64_t sweeps_before_op;
    bool was_changed_before_op;
    struct store_run committed;
    bool is_op_touched; /* by the operation that is being done */
    bool is_changed;    /* in this transaction */
    bool is_new_in_op;  /* read for the first time in this operation */
    int64_t used_batch;
};

/* A place to sit: an agent in a ledger. */
struct seat {
    int64_t ledger, agent;
    int64_t held, capacity;    /* capacity -1: no limit */
    bool is_listed, is_available;
    int64_t until_at_ms;       /* wall */
    int64_t resets;            /* of the ledger */
    int64_t held_written;
    bool is_known;             /* false: no such agent in the ledger's pool */
    bool is_used;              /* of the table's slot */
};

struct seat_undo {
    int64_t ledger, agent, held_before;
};

struct books {
    struct run_entry **runs; /* owned, each allocated; few: those touched lately */
    size_t run_count, run_cap;
    struct seat *seats;      /* owned; an open-addressed table */
    size_t seat_count, seat_cap;
    struct seat_undo *undo;  /* owned; of the operation that is being done, oldest first */
    size_t undo_count, undo_cap;
    struct store_place *places; /* owned; moved by persons' decisions in this transaction */
    size_t place_count, place_cap, places_before_op;
    struct store_run *told;  /* owned; the summaries of the last commit */
    size_t told_cap;
    struct store_place *told_places; /* owned; of the last commit */
    size_t told_place_cap;
};

void books_clear(struct books *books);

/* A run by id, for reading. 1 and *ret_entry (borrowed until the transaction ends), 0: no such run (or it is purged), or a fault. */
int books_run(struct sqlite_store *store, int64_t run, struct run_entry **ret_entry);

/* Forgets a run whose row is to be deleted. False: something of it was changed in this transaction and is yet to be written. */
bool books_let_go(struct sqlite_store *store, int64_t run);

/* Says that this operation is about to change entry->now or open_sweeps. To be called before the change. */
void books_run_touch(struct sqlite_store *store, struct run_entry *entry);

/* Moves a counter. Touches the run. */
void books_count(struct sqlite_store *store, struct run_entry *entry, int kind, int64_t delta);

/* The one door for changes of state: the counters follow. An assignment: 0, or -GALLOC_INTERNAL when core/state.h forbids the move (the row itself is
 * the caller's). A run: sets state, finished_at_ms and an event number; -GALLOC_WRONG_STATE when forbidden. */
int books_move_rows(struct sqlite_store *store, struct run_entry *entry, enum assignment_state from, enum assignment_state to, bool by_person, int64_t count);
int books_move_run(struct sqlite_store *store, struct run_entry *entry, enum run_state to, bool by_person);

/* Running, not open, no sweep on its way, nothing pending or leased: done. To be called after every operation that may have ended the last row. */
int books_finish_run(struct sqlite_store *store, struct run_entry *entry);

/* A seat. 1 and *ret_seat (borrowed until the next call of books_seat), or a fault. An agent that does not exist there gives is_known false. */
int books_seat(struct sqlite_store *store, int64_t ledger, int64_t agent, struct seat **ret_seat);
bool books_seat_is_free(const struct sqlite_store *store, const struct seat *seat); /* known, listed, available now, and room left */
int books_held_add(struct sqlite_store *store, int64_t ledger, int64_t agent, int64_t delta);
int books_place_move(struct sqlite_store *store, int64_t ledger, int64_t agent, int64_t delta); /* the same, and the commit tells it */

/* ---- the engine's own calls ---- */
void books_op_end(struct sqlite_store *store, int64_t seq_before); /* the operation stands: its runs show its last event number */
void books_op_rollback(struct sqlite_store *store);
void books_seats_op_end(struct books *books);
void books_seats_op_rollback(struct books *books);
int books_seats_write(struct sqlite_store *store);
int books_write(struct sqlite_store *store);          /* before COMMIT; not between operations: it compares with what is committed. Seats can be written any time */
void books_committed(struct sqlite_store *store, struct store_commit *ret_commit);
void books_forget(struct sqlite_store *store);        /* after a rollback: everything is read anew */
void books_forget_seats(struct sqlite_store *store);  /* after an operation that changed agents or ledger_agent by SQL */

#endif
