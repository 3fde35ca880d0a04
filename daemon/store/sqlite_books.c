/* Runs and their counters; see sqlite_books.h. An entry keeps three copies of a run: as committed, as it was before the operation that is being done,
 * and as it is now. So undoing an operation is a copy, and what has to be written is the difference to what is committed. */
#include "store/sqlite.h"

#define RUNS_KEPT 64 /* entries that stay in memory from one transaction to the next */

static void entry_drop(struct books *books, size_t at)
{
    free(books->runs[at]);
    books->runs[at] = books->runs[--books->run_count];
}

void books_clear(struct books *books)
{
    while (books->run_count > 0)
        entry_drop(books, 0);
    free(books->runs);
    free(books->seats);
    free(books->undo);
    free(books->places);
    free(books->told);
    free(books->told_places);
    *books = (struct books){0};
}

static void entry_read(sqlite3_stmt *row, struct run_entry *entry)
{
    struct store_run *run = &entry->now;
    run->id = sqlite3_column_int64(row, 0);
    snprintf(run->run_id, sizeof run->run_id, "%s", (const char *)sqlite3_column_text(row, 1));
    run->state = (enum run_state)sqlite3_column_int(row, 2);
    run->pauses = (unsigned)sqlite3_column_int(row, 3);
    run->is_open = sqlite3_column_int(row, 4) != 0;
    run->ledger = sqlite3_column_int64(row, 5);
    run->pool = sqlite3_column_int64(row, 6);
    run->priority = sqlite3_column_int64(row, 7);
    run->parts = sqlite3_column_int64(row, 8);
    run->created_at_ms = sqlite3_column_int64(row, 9);
    run->started_at_ms = sqlite3_column_int64(row, 10);
    run->finished_at_ms = sqlite3_column_int64(row, 11);
    run->seq = sqlite3_column_int64(row, 12);
    run->import_ms = sqlite3_column_int64(row, 13);
    entry->open_sweeps = sqlite3_column_int64(row, 14);
    run->is_purged = sqlite3_column_int(row, 15) != 0;
}

static int entry_load(struct sqlite_store *store, int64_t id, struct run_entry *entry)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_RUN_LOAD, &row, "i", id);
    if (rc <= 0)
        return rc;
    entry_read(row, entry);
    sqlite_end(row);
    for (rc = sqlite_find(store, STMT_COUNTS_LOAD, &row, "i", id); rc > 0; rc = sqlite_next(store, row)) {
        int kind = sqlite3_column_int(row, 0);
        if (kind >= 0 && kind < COUNT_KIND_END)
            entry->now.counts[kind] = sqlite3_column_int64(row, 1);
    }
    if (rc < 0)
        return rc;
    entry->committed = entry->before_op = entry->now;
    entry->is_new_in_op = true;
    return 1;
}

static struct run_entry *entry_of(const struct books *books, int64_t run)
{
    for (size_t i = 0; i < books->run_count; i++)
        if (books->runs[i]->now.id == run)
            return books->runs[i];
    return NULL;
}

int books_run(struct sqlite_store *store, int64_t run, struct run_entry **ret_entry)
{
    struct books *books = &store->books;
    struct run_entry *known = entry_of(books, run);
    if (known != NULL) {
        known->used_batch = store->batch;
        *ret_entry = known;
        return !known->now.is_purged;
    }
    struct run_entry *entry = xcalloc(1, sizeof *entry);
    int rc = entry_load(store, run, entry);
    if (rc <= 0) {
        free(entry);
        return rc;
    }
    if (books->run_count == books->run_cap) {
        books->run_cap = books->run_cap == 0 ? 16 : books->run_cap * 2;
        books->runs = xreallocarray(books->runs, books->run_cap, sizeof *books->runs);
    }
    entry->used_batch = store->batch;
    books->runs[books->run_count++] = entry;
    *ret_entry = entry;
    return !entry->now.is_purged;
}

bool books_let_go(struct sqlite_store *store, int64_t run)
{
    struct books *books = &store->books;
    for (size_t i = books->run_count; i-- > 0;) {
        if (books->runs[i]->now.id != run)
            continue;
        if (books->runs[i]->is_changed)
            return false;
        entry_drop(books, i);
    }
    return true;
}

void books_run_touch(struct sqlite_store *store, struct run_entry *entry)
{
    (void)store;
    if (!entry->is_op_touched) {
        entry->before_op = entry->now;
        entry->sweeps_before_op = entry->open_sweeps;
        entry->was_changed_before_op = entry->is_changed;
    }
    entry->is_op_touched = entry->is_changed = true;
}

void books_count(struct sqlite_store *store, struct run_entry *entry, int kind, int64_t delta)
{
    books_run_touch(store, entry);
    entry->now.counts[kind] += delta;
}

int books_move_rows(struct sqlite_store *store, struct run_entry *entry, enum assignment_state from, enum assignment_state to, bool by_person,
                    int64_t count)
{
    if (!assignment_may_move(from, to, by_person)) {
        galloc_fail(&store->fault_error, GALLOC_INTERNAL, "an assignment cannot go from %s to %s", assignment_state_name(from),
                    assignment_state_name(to));
        return store->fault = -GALLOC_INTERNAL;
    }
    books_count(store, entry, COUNT_STATE + (int)from, -count);
    books_count(store, entry, COUNT_STATE + (int)to, count);
    return 0;
}

int books_move_run(struct sqlite_store *store, struct run_entry *entry, enum run_state to, bool by_person)
{
    if (!run_may_move(entry->now.state, to, by_person))
        return -GALLOC_WRONG_STATE;
    books_run_touch(store, entry);
    entry->now.state = to;
    if (to == RUN_RUNNING && entry->now.started_at_ms == 0)
        entry->now.started_at_ms = store->wall_ms;
    entry->now.finished_at_ms = to == RUN_DONE || to == RUN_CANCELLED ? store->wall_ms : 0;
    entry->now.seq = sqlite_seq_next(store);
    return 0;
}

int books_finish_run(struct sqlite_store *store, struct run_entry *entry)
{
    const struct store_run *run = &entry->now;
    bool has_work = run->counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0 || run->counts[COUNT_STATE + ASSIGNMENT_LEASED] > 0;
    if (run->state != RUN_RUNNING || run->is_open || has_work || entry->open_sweeps > 0)
        return 0;
    return books_move_run(store, entry, RUN_DONE, false);
}

void books_op_end(struct sqlite_store *store, int64_t seq_before)
{
    for (size_t i = 0; i < store->books.run_count; i++) {
        struct run_entry *entry = store->books.runs[i];
        if (entry->is_op_touched && store->seq > seq_before && !entry->now.is_purged) /* each that one operation marks has its own */
            entry->now.seq = store->seq;
        entry->is_op_touched = entry->is_new_in_op = false;
    }
    books_seats_op_end(&store->books);
}

void books_op_rollback(struct sqlite_store *store)
{
    struct books *books = &store->books;
    for (size_t i = books->run_count; i-- > 0;) {
        struct run_entry *entry = books->runs[i];
        if (entry->is_new_in_op) {
            entry_drop(books, i);
            continue;
        }
        if (entry->is_op_touched) {
            entry->now = entry->before_op;
            entry->open_sweeps = entry->sweeps_before_op;
            entry->is_changed = entry->was_changed_before_op;
        }
        entry->is_op_touched = false;
    }
    books_seats_op_rollback(books);
}

static bool is_row_changed(const struct store_run *now, const struct store_run *was)
{
    return now->state != was->state || now->pauses != was->pauses || now->is_open != was->is_open || now->priority != was->priority ||
           now->parts != was->parts || now->started_at_ms != was->started_at_ms || now->finished_at_ms != was->finished_at_ms ||
           now->seq != was->seq || now->import_ms != was->import_ms;
}

static int entry_write(struct sqlite_store *store, struct run_entry *entry)
{
    const struct store_run *now = &entry->now;
    int rc = 0;
    if (is_row_changed(now, &entry->committed))
        rc = sqlite_do(store, STMT_RUN_WRITE, "iiiiizziii", (int64_t)now->state, (int64_t)now->pauses, (int64_t)now->is_open, now->priority,
                       now->parts, now->started_at_ms, now->finished_at_ms, now->seq, now->import_ms, now->id);
    for (int kind = 0; rc == 0 && kind < COUNT_KIND_END; kind++)
        if (now->counts[kind] != entry->committed.counts[kind])
            rc = sqlite_do(store, STMT_COUNT_WRITE, "iii", now->id, (int64_t)kind, now->counts[kind]);
    return rc;
}

int books_write(struct sqlite_store *store)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < store->books.run_count; i++)
        if (store->books.runs[i]->is_changed)
            rc = entry_write(store, store->books.runs[i]);
    return rc < 0 ? rc : books_seats_write(store);
}

/* What is told stays as it is while the next transaction gathers its own. */
static void places_tell(struct books *books, struct store_commit *ret_commit)
{
    struct store_place *told = books->told_places;
    size_t cap = books->told_place_cap;
    ret_commit->places = books->told_places = books->places;
    ret_commit->place_count = books->place_count;
    books->told_place_cap = books->place_cap;
    books->places = told;
    books->place_cap = cap;
    books->place_count = books->places_before_op = 0;
}

void books_committed(struct sqlite_store *store, struct store_commit *ret_commit)
{
    struct books *books = &store->books;
    if (books->told_cap < books->run_count) {
        books->told_cap = books->run_cap;
        books->told = xreallocarray(books->told, books->told_cap, sizeof *books->told);
    }
    size_t count = 0;
    for (size_t i = books->run_count; i-- > 0;) {
        struct run_entry *entry = books->runs[i];
        if (entry->is_changed) {
            store->owed_count += entry->now.counts[COUNT_STATE + ASSIGNMENT_LEASED] - entry->committed.counts[COUNT_STATE + ASSIGNMENT_LEASED];
            books->told[count++] = entry->committed = entry->now;
        }
        entry->is_changed = false;
        if (books->run_count > RUNS_KEPT && entry->used_batch < store->batch)
            entry_drop(books, i);
    }
    *ret_commit = (struct store_commit){.runs = books->told, .run_count = count, .seq = store->seq};
    places_tell(books, ret_commit);
}

void books_forget(struct sqlite_store *store)
{
    while (store->books.run_count > 0)
        entry_drop(&store->books, 0);
    store->books.place_count = store->books.places_before_op = 0;
    books_forget_seats(store);
}
