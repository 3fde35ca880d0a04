/* IMPORT: one part of a run's rows. While the run is importing it is done in steps: a step inserts rows until its time is up; the import_part row with the
 * answer comes with the last step, so a part is answered only when all its good rows stand. Rows that a crash left of an unfinished part are taken away
 * before the part is done anew: it may come with other content. The same undoing serves `on_duplicate = error`, where one repeated key refuses the part as
 * a whole. A part of a run that runs, or an append to one that is done, is one step, whole or nothing: its rows may be leased the moment they stand, so they
 * could not be taken away. An append is the next part, whatever its number: who appends need not know who else does.
 * The writer's thread. */
#include "store/sqlite_admin.h"

#define ROWS_PER_LOOK 64 /* rows between two looks at the clock */

/* ---- the answer ---- */
static void repeated_note(struct store_import *import, int64_t index)
{
    if (import->repeated_count == import->repeated_cap) {
        import->repeated_cap = import->repeated_cap == 0 ? 64 : import->repeated_cap * 2;
        import->repeated = xreallocarray(import->repeated, import->repeated_cap, sizeof *import->repeated);
    }
    import->repeated[import->repeated_count++] = index;
}

static void repeated_write(struct json_out *out, const struct import_row *row)
{
    json_out_begin(out, '{');
    json_out_member_int(out, "row", row->row);
    json_out_name(out, "key");
    json_out_text(out, row->key.at, row->key.len);
    json_out_member_null(out, "column");
    json_out_member_str(out, "code", "duplicate_key");
    json_out_member_str(out, "message", "the run has an assignment with this key");
    json_out_end(out, '}');
}

static int64_t rejected_row_number(struct json_span element)
{
    const char *at = NULL;
    struct json_span name, value;
    while (json_next(element, &at, &name, &value))
        if (json_span_equals(name, "row"))
            return strtoll(value.at, NULL, 10);
    return INT64_MIN;
}

/* What the check refused and what was repeated, in the order of the rows. */
static void rejected_write(struct json_out *out, const struct store_import *import)
{
    const char *text = import->rejected == NULL ? "[]" : import->rejected;
    struct json_span list = {text, strlen(text)}, element, ignored;
    size_t next = 0;
    json_out_begin(out, '[');
    for (const char *at = NULL; json_next(list, &at, &ignored, &element);) {
        int64_t number = rejected_row_number(element);
        while (next < import->repeated_count && import->rows[import->repeated[next]].row < number)
            repeated_write(out, &import->rows[import->repeated[next++]]);
        json_out_raw(out, element.at, element.len);
    }
    while (next < import->repeated_count)
        repeated_write(out, &import->rows[import->repeated[next++]]);
    json_out_end(out, ']');
}

static void answer_write(struct store_import *import)
{
    buf_clear(&import->ret_answer);
    struct json_out out = JSON_OUT(&import->ret_answer);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "accepted", import->accepted_count);
    json_out_member_int(&out, "duplicates", import->duplicate_count);
    json_out_member_int(&out, "replaced", import->replaced_count);
    json_out_name(&out, "rejected");
    rejected_write(&out, import);
    json_out_end(&out, '}');
}

/* ---- is it this part's turn? ---- */
/* 1: the part stands, and its stored answer is given; 0: it does not; negative: refused, or a fault. */
static int part_replay(struct sqlite_store *store, struct store_import *import)
{
    sqlite3_stmt *row = NULL;
    int rc = sqlite_find(store, STMT_PART_GET, &row, "ii", import->run, import->part);
    if (rc <= 0)
        return rc;
    bool is_same = strcmp((const char *)sqlite3_column_text(row, 0), import->sha256) == 0;
    if (is_same) {
        buf_clear(&import->ret_answer);
        buf_add(&import->ret_answer, sqlite3_column_text(row, 1), (size_t)sqlite3_column_bytes(row, 1));
    }
    sqlite_end(row);
    if (is_same)
        return 1;
    return sqlite_refuse(&import->op, GALLOC_PART_DIFFERS, "part %lld of this run stands, with other content (SHA-256)", (long long)import->part);
}

static int part_check(struct sqlite_store *store, struct store_import *import, const struct run_entry *entry)
{
    int rc = part_replay(store, import);
    if (rc != 0)
        return rc;
    const struct store_run *run = &entry->now;
    if (run->state != RUN_IMPORTING && !(run->state == RUN_RUNNING && run->is_open))
        return sqlite_refuse(&import->op, GALLOC_WRONG_STATE, "run %s is %s: it takes no more parts; to add to one that runs or is done: gallocctl enqueue FILE --append %s", run->run_id,
                             run_state_name(run->state), run->run_id);
    if (import->part != run->parts + 1)
        return sqlite_refuse(&import->op, GALLOC_PART_OUT_OF_ORDER, "part %lld came, the next one is part %lld", (long long)import->part,
                             (long long)run->parts + 1);
    return 0;
}

/* ---- may it be appended? ---- */
/* 1: this Idempotency-Key's append stands, and its stored answer is given; 0: go on; negative: refused, or a fault. */
static int append_replay(struct sqlite_store *store, struct store_import *import)
{
    sqlite3_stmt *row = NULL;
    if (import->idempotency_key == NULL)
        return 0;
    int rc = sqlite_find(store, STMT_IDEMPOTENCY_GET, &row, "ti", import->idempotency_key, store->wall_ms - REPEAT_MS);
    if (rc <= 0)
        return rc;
    bool is_same = strcmp((const char *)sqlite3_column_text(row, 0), import->sha256) == 0 && sqlite3_column_int64(row, 1) == import->run;
    int64_t part = sqlite3_column_int64(row, 2);
    sqlite_end(row);
    if (!is_same || part == 0)
        return sqlite_refuse(&import->op, GALLOC_KEY_REUSED, "the Idempotency-Key '%.64s' was sent with another request; a new request needs a new key",
                             import->idempotency_key);
    import->part = part;
    return part_replay(store, import);
}

static int append_check(struct sqlite_store *store, struct store_import *import, const struct run_entry *entry)
{
    const struct store_run *run = &entry->now;
    int rc = append_replay(store, import);
    if (rc != 0)
        return rc;
    if (run->state == RUN_IMPORTING)
        return sqlite_refuse(&import->op, GALLOC_WRONG_STATE, "run %s is still importing: send it as a part, PUT /v1/runs/%s/parts/%lld", run->run_id, run->run_id,
                             (long long)run->parts + 1);
    if (run->state == RUN_CANCELLED)
        return sqlite_refuse(&import->op, GALLOC_WRONG_STATE,
                             "run %s is cancelled and takes nothing more: enqueue it as a new run (or bring the run back first: gallocctl retry %s --all)",
                             run->run_id, run->run_id);
    import->part = run->parts + 1;
    return 0;
}

static int append_note_key(struct sqlite_store *store, const struct store_import *import)
{
    if (import->idempotency_key == NULL)
        return 0;
    return sqlite_do(store, STMT_IDEMPOTENCY_PUT, "ttizi", import->idempotency_key, import->sha256, import->run, import->part, store->wall_ms);
}

/* Whoever adds to a run that runs, or starts it again, spends money. */
static int append_audit(struct sqlite_store *store, const struct store_import *import, const struct run_entry *entry, enum run_state before)
{
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    json_out_name(&out, "before");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", run_state_name(before));
    json_out_end(&out, '}');
    json_out_name(&out, "after");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "state", run_state_name(entry->now.state));
    json_out_member_int(&out, "part", import->part);
    json_out_member_int(&out, "accepted", import->accepted_count);
    json_out_member_int(&out, "replaced", import->replaced_count);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    int rc = sqlite_audit(store, &import->op, &import->peer, "run_append", entry->now.run_id, &detail);
    buf_clear(&detail);
    return rc;
}

/* ---- undoing ---- */
/* Takes away rows of the part, the newest first. *ret_is_clean: none is left. Only while importing: nobody has leased them. */
static int part_undo(struct sqlite_store *store, struct store_import *import, struct run_entry *entry, bool *ret_is_clean)
{
    *ret_is_clean = false;
    for (int64_t count = 1;; count++) {
        sqlite3_stmt *row = NULL;
        int rc = sqlite_find(store, STMT_IMPORT_NEWEST, &row, "i", import->run);
        bool is_of_part = rc > 0 && sqlite3_column_int64(row, 1) >= import->part;
        int64_t id = rc > 0 ? sqlite3_column_int64(row, 0) : 0;
        if (rc > 0)
            sqlite_end(row);
        *ret_is_clean = rc >= 0 && !is_of_part;
        if (rc < 0 || !is_of_part || (count % ROWS_PER_LOOK == 0 && sqlite_is_late(store)))
            return rc < 0 ? rc : 0;
        rc = sqlite_do(store, STMT_IMPORT_UNDO_PAYLOAD, "i", id);
        if (rc == 0)
            rc = sqlite_do(store, STMT_IMPORT_UNDO_ROW, "i", id);
        if (rc < 0)
            return rc;
        books_count(store, entry, COUNT_STATE + ASSIGNMENT_PENDING, -1);
        books_count(store, entry, COUNT_ACCEPTED, -1);
    }
}

/* ---- the rows ---- */
static int row_replace(struct sqlite_store *store, struct store_import *import, const struct import_row *row, int64_t standing)
{
    import->replaced_count++;
    return sqlite_do(store, STMT_IMPORT_REPLACE, "isb", standing, row->fields.at, row->fields.len, row->sha256, (size_t)DIGEST_BYTES);
}

static int row_repeated(struct sqlite_store *store, struct store_import *import, int64_t index)
{
    const struct import_row *row = &import->rows[index];
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite_find(store, STMT_IMPORT_STANDING, &stmt, "is", import->run, row->key.at, row->key.len);
    if (rc <= 0)
        return rc;
    int64_t standing = sqlite3_column_int64(stmt, 0);
    bool is_pending = sqlite3_column_int(stmt, 1) == ASSIGNMENT_PENDING;
    sqlite_end(stmt);
    import->duplicate_count++;
    if (import->on_duplicate == DUPLICATE_REPLACE && is_pending)
        return row_replace(store, import, row, standing);
    repeated_note(import, index);
    return 0;
}

static int row_insert(struct sqlite_store *store, struct store_import *import, int64_t index, int64_t *ret_inserted)
{
    const struct import_row *row = &import->rows[index];
    int rc = sqlite_do(store, STMT_IMPORT_ROW, "isii", import->run, row->key.at, row->key.len, import->part, row->row);
    if (rc < 0)
        return rc;
    if (sqlite3_changes(store->db) == 0)
        return row_repeated(store, import, index);
    import->accepted_count++;
    ++*ret_inserted;
    return sqlite_do(store, STMT_IMPORT_PAYLOAD, "isb", (int64_t)sqlite3_last_insert_rowid(store->db), row->fields.at, row->fields.len, row->sha256,
                     (size_t)DIGEST_BYTES);
}

static int rows_insert(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    int64_t inserted = 0, began = import->done_count;
    bool is_stepwise = entry->now.state == RUN_IMPORTING;
    int rc = 0;
    while (rc == 0 && import->done_count < (int64_t)import->count) {
        int64_t index = import->done_count;
        if (is_stepwise && index > began && (index - began) % ROWS_PER_LOOK == 0 && sqlite_is_late(store))
            break;
        rc = row_insert(store, import, index, &inserted);
        import->done_count++;
    }
    books_count(store, entry, COUNT_STATE + ASSIGNMENT_PENDING, inserted);
    books_count(store, entry, COUNT_ACCEPTED, inserted);
    if (rc == 0 && inserted > 0 && entry->now.state == RUN_DONE)
        rc = books_move_run(store, entry, RUN_RUNNING, true);
    return rc;
}

/* The last step: the part stands, with its answer. */
static int part_end(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    answer_write(import);
    books_count(store, entry, COUNT_DUPLICATES, (int64_t)import->repeated_count);
    books_count(store, entry, COUNT_REJECTED, import->rejected_count);
    entry->now.parts = import->part;
    entry->now.import_ms = store->now_ms;
    import->op.seq_first = sqlite_seq_next(store);
    return sqlite_do(store, STMT_PART_INSERT, "iitis", import->run, import->part, import->sha256,
                     (int64_t)import->count + import->rejected_count, import->ret_answer.data, import->ret_answer.len);
}

/* ---- the phases: each step does one of them, or a part of it ---- */
static int phase_check(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    int rc = import->is_append ? append_check(store, import, entry) : part_check(store, import, entry);
    import->ret_is_replay = rc > 0;
    import->phase = rc > 0 ? IMPORT_ANSWERED : entry->now.state == RUN_IMPORTING ? IMPORT_CLEAN : IMPORT_ROWS;
    return rc < 0 ? rc : 0;
}

static int phase_clean(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    bool is_clean = false;
    int rc = part_undo(store, import, entry, &is_clean);
    if (is_clean)
        import->phase = IMPORT_ROWS;
    return rc;
}

static int phase_refused(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    (void)store;
    (void)entry;
    const struct import_row *row = &import->rows[import->repeated[0]];
    import->accepted_count = 0;
    answer_write(import);
    return sqlite_refuse(&import->op, GALLOC_INVALID_INPUT, "row %lld: the key \"%.*s\" is repeated%s; under on_duplicate \"error\" nothing of what came with it stands",
                         (long long)row->row, (int)min_i64((int64_t)row->key.len, 100), row->key.at,
                         import->repeated_count > 1 ? ", and other rows' keys too" : "");
}

static int phase_rows(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    enum run_state before = entry->now.state;
    int rc = rows_insert(store, import, entry);
    if (rc < 0)
        return rc;
    bool is_refused = import->on_duplicate == DUPLICATE_ERROR && import->repeated_count > 0;
    if (is_refused && before != RUN_IMPORTING)
        return phase_refused(store, import, entry);
    if (is_refused)
        import->phase = IMPORT_UNDO;
    if (is_refused || import->done_count < (int64_t)import->count)
        return 0;
    import->phase = IMPORT_ANSWERED;
    rc = part_end(store, import, entry);
    if (rc == 0 && before != RUN_IMPORTING)
        rc = append_audit(store, import, entry, before);
    return rc < 0 ? rc : append_note_key(store, import);
}

static int phase_undo(struct sqlite_store *store, struct store_import *import, struct run_entry *entry)
{
    bool is_clean = false;
    int rc = part_undo(store, import, entry, &is_clean);
    if (is_clean)
        import->phase = IMPORT_REFUSED; /* told in a step of its own: a refusal undoes the step that makes it */
    return rc;
}

static int (*const phases[])(struct sqlite_store *store, struct store_import *import, struct run_entry *entry) = {
    [IMPORT_CHECK] = phase_check, [IMPORT_CLEAN] = phase_clean, [IMPORT_ROWS] = phase_rows, [IMPORT_UNDO] = phase_undo,
    [IMPORT_REFUSED] = phase_refused,
};

int sqlite_apply_import(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    struct store_import *import = CONTAINER_OF(op, struct store_import, op);
    struct run_entry *entry = NULL;
    int rc = books_run(store, import->run, &entry);
    if (rc <= 0)
        return rc < 0 ? rc : sqlite_refuse(op, GALLOC_NOT_FOUND, "there is no run %lld", (long long)import->run);
    bool is_stepwise = entry->now.state == RUN_IMPORTING;
    if (!is_stepwise && import->phase != IMPORT_CHECK) /* between two steps of it */
        return sqlite_refuse(op, GALLOC_WRONG_STATE, "run %s is %s: the rest of part %lld is not taken", entry->now.run_id, run_state_name(entry->now.state),
                             (long long)import->part);
    do {
        enum import_phase before = import->phase;
        rc = phases[before](store, import, entry);
        if (rc < 0 || import->phase == before || import->phase == IMPORT_REFUSED)
            break;
    } while (import->phase != IMPORT_ANSWERED && !(is_stepwise && sqlite_is_late(store)));
    *ret_has_more = rc == 0 && import->phase != IMPORT_ANSWERED;
    return rc;
}
