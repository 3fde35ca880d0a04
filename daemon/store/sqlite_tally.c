/* Reads that have to look at many rows: failures grouped by their words, and what a run took of a shared ledger. They
 * go in turns: each looks at rows for about 50 ms in a snapshot of its own and keeps its sums in a tally, so that other
 * readers get their turn and the log can be emptied. Memory is bounded by the number of groups, time by
 * FAILURE_ROWS_MAX; what was not looked at is told as such. A reader's thread. */
#include "store/sqlite_tally.h"

#include "base/clock.h"
#include "core/limits.h"

#include <stdlib.h>

#define TURN_ROWS 1000  /* failed rows chosen at once */
#define GROUPS_MAX 4096 /* kept while counting; FAILURE_GROUPS of them are shown */
#define SLOTS (2 * GROUPS_MAX)

struct group {
    int class;
    int64_t http_status; /* 0: none */
    char *message;       /* owned; NULL: none */
    char *example;       /* owned: a key */
    int64_t count, first_at_ms, last_at_ms;
};

struct tally *tally_of(struct store_reader *reader, const struct store_read *read)
{
    for (struct tally *tally = reader->tallies; tally; tally = tally->next)
        if (tally->read == read)
            return tally;
    struct tally *tally = xcalloc(1, sizeof(*tally));
    tally->read = read;
    tally->next = reader->tallies;
    reader->tallies = tally;
    return tally;
}

void tally_free(struct store_reader *reader, struct tally *tally)
{
    struct tally **at = &reader->tallies;
    while (*at != tally)
        at = &(*at)->next;
    *at = tally->next;
    for (size_t i = 0; i < tally->group_count; i++) {
        free(tally->groups[i].message);
        free(tally->groups[i].example);
    }
    free(tally->groups);
    free(tally->slots);
    free(tally->taken);
    free(tally);
}

void tally_drop(struct store_reader *reader, const struct store_read *read)
{
    for (struct tally *tally = reader->tallies; tally; tally = tally->next)
        if (tally->read == read) {
            tally_free(reader, tally);
            return;
        }
}

void tallies_free(struct store_reader *reader)
{
    while (reader->tallies)
        tally_free(reader, reader->tallies);
}

/* ---- failures: groups ---- */
static uint64_t group_hash(int class, int64_t http_status, const char *message)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t) class ^ ((uint64_t)http_status << 8); /* FNV-1a */
    for (; message && *message; message++)
        hash = (hash ^ (unsigned char)*message) * 0x100000001b3u;
    return hash ^ (hash >> 29);
}

static bool group_is(const struct group *group, int class, int64_t http_status, const char *message)
{
    bool is_same_text = group->message && message ? strcmp(group->message, message) == 0 : group->message == message;
    return group->class == class && group->http_status == http_status && is_same_text;
}

/* The group of these words, new where there was none; NULL when there are too many. */
static struct group *group_of(struct tally *tally, int class, int64_t http_status, const char *message)
{
    if (tally->slots == NULL)
        tally->slots = xcalloc(SLOTS, sizeof(*tally->slots));
    size_t slot = (size_t)(group_hash(class, http_status, message) % SLOTS);
    for (; tally->slots[slot]; slot = (slot + 1) % SLOTS)
        if (group_is(&tally->groups[tally->slots[slot] - 1], class, http_status, message))
            return &tally->groups[tally->slots[slot] - 1];
    if (tally->group_count == GROUPS_MAX)
        return NULL;
    if (tally->group_count == tally->group_cap) {
        tally->group_cap = tally->group_cap ? tally->group_cap * 2 : 32;
        tally->groups = xreallocarray(tally->groups, tally->group_cap, sizeof(*tally->groups));
    }
    struct group *group = &tally->groups[tally->group_count++];
    *group = (struct group){.class = class, .http_status = http_status, .message = xstrdup(message)};
    tally->slots[slot] = (uint16_t)tally->group_count;
    return group;
}

/* One failed row of READ_FAILURE into its group. */
static void failure_count(struct tally *tally, sqlite3_stmt *row)
{
    struct json_span body = {(const char *)sqlite3_column_text(row, 2), (size_t)sqlite3_column_bytes(row, 2)};
    struct buf message = BUF_EMPTY;
    int64_t http_status = 0;
    if (body.at && (!read_is_sound(row, 2) || json_check(body.at, body.len, NULL) < 0)) {
        buf_add_str(&message, "(the stored words do not match their digest)");
    } else if (body.at) {
        struct json_span text = read_member(body, "message"), status = read_member(body, "http_status");
        if (text.at && json_span_kind(text) == JSON_STRING)
            json_span_string(text, &message);
        if (status.at && json_span_kind(status) == JSON_INTEGER)
            http_status = strtoll(status.at, NULL, 10);
    }
    struct group *group =
        group_of(tally, sqlite3_column_int(row, 0), http_status, message.len ? buf_text(&message) : NULL);
    buf_clear(&message);
    if (group == NULL)
        return;
    int64_t at_ms = sqlite3_column_int64(row, 4);
    if (group->count++ == 0) {
        group->example = sqlite_text_copy(row, 1);
        group->first_at_ms = group->last_at_ms = at_ms;
    }
    group->first_at_ms = min_i64(group->first_at_ms, at_ms);
    group->last_at_ms = max_i64(group->last_at_ms, at_ms);
}

/* One turn of counting. 1 there is more, 0 all was looked at, or a negative code. */
static int failures_turn(struct store_reader *reader, struct page *page, struct tally *tally)
{
    const struct store_selector failed = {.is_all = true};
    struct selection selection;
    int64_t ids[TURN_ROWS];
    size_t count = 0;
    bool is_end = false;
    int rc = selection_open(&selection, reader->db, page->read->run, &failed, 1u << ASSIGNMENT_FAILED, NULL);
    while (rc == SQLITE_OK && !is_end && !page_is_late(page) && tally->looked_count < FAILURE_ROWS_MAX) {
        rc = selection_next(&selection, tally->after, page->deadline_mono_us, ids, TURN_ROWS, &count, &tally->after,
                            &is_end);
        tally->looked_count += (int64_t)count;
        for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
            sqlite3_stmt *row = NULL;
            int found = read_find(reader, READ_FAILURE, &row, "i", ids[i]);
            if (found > 0) {
                failure_count(tally, row);
                sqlite3_reset(row);
            }
            if (found < 0) {
                selection_close(&selection);
                return found;
            }
        }
    }
    selection_close(&selection);
    if (rc != SQLITE_OK)
        return read_fault(reader, rc, "counting failures");
    return !is_end && tally->looked_count < FAILURE_ROWS_MAX;
}

static int compare_groups(const void *a, const void *b)
{
    const struct group *left = a, *right = b;
    if (left->count != right->count)
        return left->count < right->count ? 1 : -1;
    return left->class != right->class ? (left->class > right->class) - (left->class < right->class)
                                       : (left->first_at_ms > right->first_at_ms) -
                                             (left->first_at_ms < right->first_at_ms);
}

static void group_row(struct page *page, const struct group *group, bool is_rest)
{
    struct store_cell *row = page_row(page);
    page_str(page, &row[FAILURE_CODE], outcome_row((enum outcome_class)group->class)->name);
    page_str(page, &row[FAILURE_MESSAGE], group->message);
    if (group->http_status)
        page_int(&row[FAILURE_HTTP_STATUS], group->http_status);
    page_int(&row[FAILURE_COUNT], group->count);
    page_time(&row[FAILURE_FIRST_AT], group->first_at_ms);
    page_time(&row[FAILURE_LAST_AT], group->last_at_ms);
    page_str(page, &row[FAILURE_EXAMPLE], group->example);
    page_bool(&row[FAILURE_IS_REST], is_rest);
}

/* The groups, and what the run's counters hold beyond them. */
static int failures_show(struct store_reader *reader, struct page *page, struct tally *tally)
{
    struct store_run run = {.id = page->read->run};
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_COUNTS, &row, "i", run.id);
    for (; rc > 0; rc = read_next(reader, row)) {
        int kind = sqlite3_column_int(row, 0);
        if (kind >= COUNT_FAILED && kind < COUNT_FAILED + OUTCOME_CLASS_COUNT)
            run.counts[kind] = sqlite3_column_int64(row, 1);
    }
    if (rc < 0)
        return rc;
    if (tally->group_count > 0)
        qsort(tally->groups, tally->group_count, sizeof(*tally->groups), compare_groups);
    for (size_t i = 0; i < tally->group_count && i < FAILURE_GROUPS; i++) {
        run.counts[COUNT_FAILED + tally->groups[i].class] -= tally->groups[i].count;
        group_row(page, &tally->groups[i], false);
    }
    for (int class = 0; class < OUTCOME_CLASS_COUNT; class++) {
        struct group rest = {.class = class, .count = run.counts[COUNT_FAILED + class]};
        if (rest.count > 0)
            group_row(page, &rest, true);
    }
    return 0;
}

int read_failures(struct store_reader *reader, struct page *page)
{
    struct tally *tally = tally_of(reader, page->read);
    int rc = failures_turn(reader, page, tally);
    if (rc == 0)
        rc = failures_show(reader, page, tally);
    if (rc <= 0)
        tally_free(reader, tally);
    return rc;
}

/* ---- loads ---- */
/* Where the agent stands in the rising list, or would stand. */
static size_t taken_slot(const struct tally *tally, int64_t agent)
{
    size_t low = 0, high = tally->taken_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tally->taken[middle].agent < agent)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t taken_by(const struct tally *tally, int64_t agent)
{
    size_t at = taken_slot(tally, agent);
    return at < tally->taken_count && tally->taken[at].agent == agent ? tally->taken[at].count : 0;
}

void taken_add(struct tally *tally, int64_t agent)
{
    size_t at = taken_slot(tally, agent);
    if (at == tally->taken_count || tally->taken[at].agent != agent) {
        if (tally->taken_count == tally->taken_cap) {
            tally->taken_cap = tally->taken_cap ? tally->taken_cap * 2 : 64;
            tally->taken = xreallocarray(tally->taken, tally->taken_cap, sizeof(*tally->taken));
        }
        memmove(&tally->taken[at + 1], &tally->taken[at], (tally->taken_count - at) * sizeof(*tally->taken));
        tally->taken[at] = (struct taken){.agent = agent};
        tally->taken_count++;
    }
    tally->taken[at].count++;
}

/* One turn of counting what the run's rows hold. 1 there is more, 0 all was looked at, or a negative code. */
static int load_turn(struct store_reader *reader, struct page *page, struct tally *tally)
{
    sqlite3_stmt *row = NULL;
    int64_t seen = 0;
    int rc = read_find(reader, READ_TAKEN, &row, "ii", page->read->run, tally->after);
    for (; rc > 0; rc = read_next(reader, row)) {
        tally->after = sqlite3_column_int64(row, 0);
        if (sqlite3_column_type(row, 1) != SQLITE_NULL)
            taken_add(tally, sqlite3_column_int64(row, 1));
        if (++seen % 256 == 0 && page_is_late(page)) {
            sqlite3_reset(row);
            return 1;
        }
    }
    return rc;
}

enum load_share { SHARE_NONE, SHARE_ALL, SHARE_COUNTED }; /* of a pool, the ledger's only run, one of several */

static int load_show(struct store_reader *reader, struct page *page, int64_t ledger, enum load_share share,
                     const struct tally *tally)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_LOAD, &row, "i", ledger);
    for (; rc > 0; rc = read_next(reader, row)) {
        page_whole_row(page, row);
        struct store_cell *cell =
            &page->read->ret_cells[(page->read->ret_row_count - 1) * LOAD_COLUMN_COUNT + LOAD_IN_RUN];
        if (share == SHARE_ALL)
            page_int(cell, sqlite3_column_int64(row, LOAD_HELD) - sqlite3_column_int64(row, LOAD_BASE));
        else if (share == SHARE_COUNTED)
            page_int(cell, taken_by(tally, sqlite3_column_int64(row, LOAD_COLUMN_COUNT)));
    }
    return rc;
}

/* Whose ledger, and how the run's own share of it is known. 0 or a negative code; a run without a pool has ledger 0. */
static int load_ledger(struct store_reader *reader, const struct store_read *read, int64_t *ret_ledger,
                       enum load_share *ret_share)
{
    int64_t runs = 0;
    int rc = read->run ? read_number(reader, READ_LEDGER_OF_RUN, ret_ledger, "i", read->run)
                       : read_number(reader, READ_LEDGER_OF_POOL, ret_ledger, "i", read->pool);
    if (rc == 0 || (rc > 0 && !read->run && *ret_ledger == 0))
        return read_refuse(reader, GALLOC_NOT_FOUND, read->run ? "there is no such run" : "there is no such pool");
    if (rc > 0 && read->run)
        rc = read_number(reader, READ_LEDGER_RUNS, &runs, "i", *ret_ledger);
    *ret_share = !read->run ? SHARE_NONE : runs > 1 ? SHARE_COUNTED : SHARE_ALL;
    return rc < 0 ? rc : 0;
}

int read_load(struct store_reader *reader, struct page *page)
{
    int64_t ledger = 0;
    enum load_share share = SHARE_NONE;
    int rc = load_ledger(reader, page->read, &ledger, &share);
    if (rc < 0 || ledger == 0)
        return rc;
    if (share != SHARE_COUNTED)
        return load_show(reader, page, ledger, share, NULL);
    struct tally *tally = tally_of(reader, page->read);
    rc = load_turn(reader, page, tally);
    if (rc == 0)
        rc = load_show(reader, page, ledger, share, tally);
    if (rc <= 0)
        tally_free(reader, tally);
    return rc;
}
