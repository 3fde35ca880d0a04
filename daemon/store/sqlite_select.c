/* See sqlite_select.h. Candidates come by the cheapest way there is: the keys that were named, the index of failed rows
 * class by class, the index of held rows, or else the rows of the run in order; the rest of the selector is then asked
 * of each. */
#include "store/sqlite_select.h"

#include "base/clock.h"
#include "base/json_scan.h"
#include "core/plan.h"

#include <stdlib.h>

#define ROWS_A_LOOK 64 /* rows between two looks at the clock */

/* What gives the candidates: ?1 run, ?2 after, and where it says so ?3 the class. */
static const char by_order_sql[] =
    "SELECT id, state, class, agent FROM assignment INDEXED BY assignment_run WHERE run = ?1 AND id > ?2 ORDER BY id";
static const char by_failed_sql[] =
    "SELECT id FROM assignment INDEXED BY assignment_failed WHERE run = ?1 AND id > ?2 AND class = ?3 AND state = 3 "
    "ORDER BY id LIMIT ?4";
static const char by_held_sql[] =
    "SELECT id, state, class, agent FROM assignment INDEXED BY assignment_held WHERE run = ?1 AND id > ?2 AND state = 0 "
    "AND hold = 2 ORDER BY id";
static const char one_row_sql[] = "SELECT id, state, class, agent FROM assignment WHERE id = ?1";
static const char payload_sql[] = "SELECT fields, sha256 FROM payload WHERE assignment = ?1";
static const char key_sql[] = "SELECT id FROM assignment WHERE run = ?1 AND key = ?2";
static const char agent_sql[] = "SELECT a.id FROM run r JOIN ledger l ON l.id = r.ledger "
                                "JOIN agent a ON a.pool = l.pool AND a.agent_id = ?2 WHERE r.id = ?1";

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static bool has_id(const int64_t *ids, size_t count, int64_t id)
{
    return count > 0 && bsearch(&id, ids, count, sizeof(*ids), compare_ids) != NULL;
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt)
{
    return sqlite3_prepare_v2(db, sql, -1, ret_stmt, NULL);
}

/* The ids of what is named, rising, each once; unknown names are passed over. */
static int ids_of_names(struct selection *selection, const char *sql, char *const *names, int64_t **ret_ids,
                        size_t *ret_count)
{
    size_t names_count = 0, count = 0;
    while (names[names_count])
        names_count++;
    int64_t *ids = xreallocarray(NULL, names_count + 1, sizeof(*ids));
    sqlite3_stmt *stmt = NULL;
    int rc = prepare(selection->db, sql, &stmt);
    for (size_t i = 0; i < names_count && rc == SQLITE_OK; i++) {
        sqlite3_bind_int64(stmt, 1, selection->run);
        sqlite3_bind_text(stmt, 2, names[i], -1, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
            ids[count++] = sqlite3_column_int64(stmt, 0);
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    qsort(ids, count, sizeof(*ids), compare_ids);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (unique == 0 || ids[unique - 1] != ids[i])
            ids[unique++] = ids[i];
    *ret_ids = ids;
    *ret_count = unique;
    return rc;
}

static int wheres_open(struct selection *selection, char *const *wheres, struct galloc_error *error)
{
    size_t count = 0;
    while (wheres[count])
        count++;
    selection->wheres = xcalloc(count + 1, sizeof(*selection->wheres));
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(wheres[i], '=');
        if (equals == NULL || equals == wheres[i])
            return galloc_fail(error, GALLOC_INVALID_VALUE, "where: '%.100s' is not FIELD=VALUE", wheres[i]);
        selection->wheres[selection->where_count++] =
            (struct select_where){.field = xstrndup(wheres[i], (size_t)(equals - wheres[i])), .value = equals + 1};
    }
    return 0;
}

static bool is_by_failed(const struct selection *selection)
{
    return selection->states == 1u << ASSIGNMENT_FAILED && !selection->has_agents && !selection->has_keys;
}

int selection_open(struct selection *ret_selection, sqlite3 *db, int64_t run, const struct store_selector *selector,
                   unsigned states, struct galloc_error *error)
{
    struct selection *selection = ret_selection;
    bool is_all = selector->is_all;
    *selection = (struct selection){
        .db = db, .run = run, .states = selector->states && !is_all ? selector->states & states : states};
    int rc = SQLITE_OK;
    if (is_all)
        return prepare(db, is_by_failed(selection) ? by_failed_sql : by_order_sql, &selection->walk);
    selection->classes = selector->classes;
    if (selector->where)
        rc = wheres_open(selection, selector->where, error);
    if (rc == SQLITE_OK && selector->agents) {
        selection->has_agents = true;
        rc = ids_of_names(selection, agent_sql, selector->agents, &selection->agents, &selection->agent_count);
    }
    if (rc == SQLITE_OK && selector->keys) {
        selection->has_keys = true;
        rc = ids_of_names(selection, key_sql, selector->keys, &selection->keys, &selection->key_count);
    }
    if (rc == SQLITE_OK && selection->has_keys)
        rc = prepare(db, one_row_sql, &selection->row);
    else if (rc == SQLITE_OK)
        rc = prepare(db, is_by_failed(selection) ? by_failed_sql : by_order_sql, &selection->walk);
    if (rc == SQLITE_OK && selection->where_count > 0)
        rc = prepare(db, payload_sql, &selection->payload);
    return rc;
}

int selection_open_held(struct selection *ret_selection, sqlite3 *db, int64_t run)
{
    *ret_selection = (struct selection){.db = db, .run = run, .states = 1u << ASSIGNMENT_PENDING};
    return prepare(db, by_held_sql, &ret_selection->walk);
}

void selection_close(struct selection *selection)
{
    sqlite3_finalize(selection->walk);
    sqlite3_finalize(selection->row);
    sqlite3_finalize(selection->payload);
    free(selection->agents);
    free(selection->keys);
    for (size_t i = 0; i < selection->where_count; i++)
        free(selection->wheres[i].field);
    free(selection->wheres);
    *selection = (struct selection){0};
}

/* Does a field's value, as it stands in the source, say `text`? A string says what it decodes to, anything else its own
 * text. */
static bool value_says(struct json_span value, const char *text)
{
    if (json_span_kind(value) == JSON_STRING)
        return json_span_equals(value, text);
    return value.len == strlen(text) && memcmp(value.at, text, value.len) == 0;
}

/* Do all `where` hold? Input that does not match its digest matches nothing. 1, 0, or minus a SQLite code. */
static int wheres_hold(struct selection *selection, int64_t id)
{
    if (selection->where_count == 0)
        return 1;
    sqlite3_stmt *stmt = selection->payload;
    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    bool holds = false;
    if (rc == SQLITE_ROW) {
        struct json_span value, fields = {(const char *)sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0)};
        unsigned char digest[DIGEST_BYTES];
        digest_of(fields.at, fields.len, digest);
        holds = sqlite3_column_bytes(stmt, 1) == DIGEST_BYTES &&
                memcmp(digest, sqlite3_column_blob(stmt, 1), DIGEST_BYTES) == 0;
        for (size_t i = 0; i < selection->where_count && holds; i++)
            holds = column_find(fields, selection->wheres[i].field, &value) && value_says(value, selection->wheres[i].value);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? holds : -rc;
}

/* A class is the cause of a failed row, or the last trouble of one that is pending. */
static bool class_fits(const struct selection *selection, int state, sqlite3_stmt *row)
{
    if (selection->classes == 0)
        return true;
    if ((state != ASSIGNMENT_FAILED && state != ASSIGNMENT_PENDING) || sqlite3_column_type(row, 2) == SQLITE_NULL)
        return false;
    return (selection->classes >> sqlite3_column_int(row, 2)) & 1;
}

/* Is the candidate of one of the row statements meant? 1, 0, or minus a SQLite code. */
static int is_meant(struct selection *selection, sqlite3_stmt *row)
{
    int state = sqlite3_column_int(row, 1);
    if (!((selection->states >> state) & 1) || !class_fits(selection, state, row))
        return 0;
    if (selection->has_agents && (sqlite3_column_type(row, 3) == SQLITE_NULL ||
                                  !has_id(selection->agents, selection->agent_count, sqlite3_column_int64(row, 3))))
        return 0;
    return wheres_hold(selection, sqlite3_column_int64(row, 0));
}

/* ---- the ways to candidates. Each: 0 or a SQLite code. ---- */
struct piece {
    int64_t *ids;
    size_t cap, count;
    int64_t after, deadline_mono_us;
    bool is_end;
};

static bool piece_stops(const struct piece *piece, size_t seen)
{
    return piece->count == piece->cap || (seen % ROWS_A_LOOK == 0 && clock_mono_us() >= piece->deadline_mono_us);
}

static int next_by_keys(struct selection *selection, struct piece *piece)
{
    size_t seen = 0;
    for (size_t i = 0; i < selection->key_count; i++) {
        if (selection->keys[i] <= piece->after)
            continue;
        sqlite3_bind_int64(selection->row, 1, selection->keys[i]);
        int rc = sqlite3_step(selection->row);
        int meant = rc == SQLITE_ROW ? is_meant(selection, selection->row) : rc == SQLITE_DONE ? 0 : -rc;
        sqlite3_reset(selection->row);
        if (meant < 0)
            return -meant;
        piece->after = selection->keys[i];
        if (meant)
            piece->ids[piece->count++] = selection->keys[i];
        if (piece_stops(piece, ++seen))
            return 0;
    }
    piece->is_end = true;
    return 0;
}

static int next_by_walk(struct selection *selection, struct piece *piece)
{
    sqlite3_stmt *walk = selection->walk;
    sqlite3_bind_int64(walk, 1, selection->run);
    sqlite3_bind_int64(walk, 2, piece->after);
    size_t seen = 0;
    int rc;
    while ((rc = sqlite3_step(walk)) == SQLITE_ROW) {
        int meant = is_meant(selection, walk);
        if (meant < 0) {
            rc = -meant;
            break;
        }
        piece->after = sqlite3_column_int64(walk, 0);
        if (meant)
            piece->ids[piece->count++] = piece->after;
        if (piece_stops(piece, ++seen))
            break;
    }
    sqlite3_reset(walk);
    piece->is_end = rc == SQLITE_DONE;
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* The failed rows of one class, added to ids. */
static int failed_of_class(struct selection *selection, int class, int64_t after, size_t cap, int64_t *ids,
                           size_t *count)
{
    sqlite3_stmt *walk = selection->walk;
    sqlite3_bind_int64(walk, 1, selection->run);
    sqlite3_bind_int64(walk, 2, after);
    sqlite3_bind_int(walk, 3, class);
    sqlite3_bind_int64(walk, 4, (int64_t)cap);
    int rc;
    while ((rc = sqlite3_step(walk)) == SQLITE_ROW)
        ids[(*count)++] = sqlite3_column_int64(walk, 0);
    sqlite3_reset(walk);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The index of failed rows is by class: each class gives its first `cap`, and the lowest `cap` of all are the piece. */
static int next_by_failed(struct selection *selection, struct piece *piece)
{
    size_t cap = piece->cap, count = 0;
    int64_t *ids = xreallocarray(NULL, cap * OUTCOME_CLASS_COUNT, sizeof(*ids));
    int rc = SQLITE_OK;
    for (int class = 0; class < OUTCOME_CLASS_COUNT && rc == SQLITE_OK; class++)
        if (selection->classes == 0 || ((selection->classes >> class) & 1))
            rc = failed_of_class(selection, class, piece->after, cap, ids, &count);
    qsort(ids, count, sizeof(*ids), compare_ids);
    piece->is_end = count < cap; /* at `cap` there may be more behind */
    size_t taken = count < cap ? count : cap;
    for (size_t i = 0; i < taken && rc == SQLITE_OK; i++) {
        int holds = wheres_hold(selection, ids[i]);
        if (holds < 0) {
            rc = -holds;
            break;
        }
        piece->after = ids[i];
        if (holds)
            piece->ids[piece->count++] = ids[i];
        if (i + 1 < taken && piece_stops(piece, i + 1)) {
            piece->is_end = false;
            break;
        }
    }
    free(ids);
    return rc;
}

int selection_next(struct selection *selection, int64_t after, int64_t deadline_mono_us, int64_t *ids, size_t cap,
                   size_t *ret_count, int64_t *ret_after, bool *ret_is_end)
{
    struct piece piece = {.ids = ids, .cap = cap, .after = after, .deadline_mono_us = deadline_mono_us};
    int rc = SQLITE_OK;
    if (selection->states == 0)
        piece.is_end = true;
    else if (selection->has_keys)
        rc = next_by_keys(selection, &piece);
    else if (is_by_failed(selection))
        rc = next_by_failed(selection, &piece);
    else
        rc = next_by_walk(selection, &piece);
    *ret_count = piece.count;
    *ret_after = piece.after;
    *ret_is_end = piece.is_end;
    return rc;
}
