/* Two runs beside each other: the rows of one in their order, each with the row of the same key in the other. A
 * comparison goes over all of them in turns of about 50 ms, each in a snapshot of its own, and keeps nothing but sums:
 * where rows change meanwhile it shows each pair as it was when its turn came. The pairs that differ are a list in
 * pages, as any other. A reader's thread. */
#include "store/sqlite_reader.h"

#include "core/compare.h"
#include "core/plan.h"
#include "store/sqlite_admin.h"

#include <math.h>
#include <stdlib.h>

#define NAMES_LOOKED 256 /* of an unknown column's neighbours */

enum pair_column { /* of READ_PAIRS; a digest follows its text */
                   PAIR_ID,
                   PAIR_KEY,
                   PAIR_SIDES,
                   PAIR_FIELDS = PAIR_SIDES + 8
};
enum side_column { /* from PAIR_SIDES on, for either side; a state that is null: the key is not there */
                   SIDE_STATE,
                   SIDE_AGENT,
                   SIDE_BODY,
                   SIDE_BODY_SHA256,
                   SIDE_COLUMN_COUNT
};

/* A side of a row: the fact, and where in the body its words are. */
struct decision {
    struct compare_fact fact;
    struct json_span words; /* the reason, or why it failed; borrowed from the row */
    bool is_corrupt;
};

static int side_column(enum compare_side side, enum side_column column)
{
    return PAIR_SIDES + (int)side * SIDE_COLUMN_COUNT + (int)column;
}

static bool has_other(sqlite3_stmt *row)
{
    return sqlite3_column_type(row, side_column(SIDE_B, SIDE_STATE)) != SQLITE_NULL;
}

static void body_read(struct decision *decision, struct json_span body)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(body, &at, &name, &value);) {
        if (json_span_equals(name, "confidence"))
            decision->fact.confidence = json_span_number(value, NAN);
        else if (json_span_equals(name, "latency_ms"))
            decision->fact.latency_ms = (int64_t)json_span_number(value, -1);
        else if (json_span_equals(name, "decided_by") && json_span_kind(value) == JSON_STRING)
            decision->fact.by = compare_by_of(value.at + 1, value.len - 2);
        else if ((json_span_equals(name, "reason") || json_span_equals(name, "message")) &&
                 json_span_kind(value) == JSON_STRING)
            decision->words = value;
    }
}

static struct decision decision_of(sqlite3_stmt *row, enum compare_side side)
{
    struct decision decision = {
        .fact = {.state = (enum assignment_state)sqlite3_column_int(row, side_column(side, SIDE_STATE)),
                 .agent = sqlite3_column_int64(row, side_column(side, SIDE_AGENT)),
                 .confidence = NAN,
                 .latency_ms = -1,
                 .by = COMPARE_BY_OTHER},
    };
    int column = side_column(side, SIDE_BODY);
    struct json_span body = {(const char *)sqlite3_column_text(row, column), (size_t)sqlite3_column_bytes(row, column)};
    bool is_at_rest = decision.fact.state == ASSIGNMENT_SUCCEEDED || decision.fact.state == ASSIGNMENT_FAILED;
    if (body.at == NULL || !is_at_rest) /* of a row that is tried again, what stands is no decision */
        return decision;
    decision.is_corrupt = !read_is_sound(row, column) || json_check(body.at, body.len, NULL) < 0;
    if (!decision.is_corrupt)
        body_read(&decision, body);
    return decision;
}

/* ---- the column of the right agent ---- */

/* The value of the column without blanks around it, into `text`; false: empty, missing, or not a word or number. */
static bool truth_of(struct json_span fields, const char *column, struct buf *text)
{
    struct json_span value;
    buf_reset(text);
    if (!column_find(fields, column, &value))
        return false;
    enum json_kind kind = json_span_kind(value);
    if (kind == JSON_STRING)
        json_span_string(value, text);
    else if (kind == JSON_INTEGER || kind == JSON_NUMBER)
        buf_add(text, value.at, value.len);
    size_t begin = 0;
    while (begin < text->len && strchr(" \t\r\n", text->data[begin]) != NULL && text->data[begin] != '\0')
        begin++;
    while (text->len > begin && strchr(" \t\r\n", text->data[text->len - 1]) != NULL)
        text->data[--text->len] = '\0';
    if (begin > 0)
        memmove(text->data, text->data + begin, text->len - begin + 1);
    text->len -= begin;
    return text->len > 0;
}

/* The row's fields; {NULL, 0} where they were not asked for or are not what they should be. */
static struct json_span fields_of(sqlite3_stmt *row, int column)
{
    const char *fields = (const char *)sqlite3_column_text(row, column);
    if (fields == NULL || !read_is_sound(row, column))
        return (struct json_span){NULL, 0};
    return (struct json_span){fields, (size_t)sqlite3_column_bytes(row, column)};
}

static int refuse_column(struct store_reader *reader, const char *column, struct json_span fields)
{
    char *names[NAMES_LOOKED + 1] = {NULL};
    size_t count = 0;
    struct json_span name, value;
    for (const char *at = NULL; fields.at != NULL && count < NAMES_LOOKED && json_next(fields, &at, &name, &value);) {
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        names[count++] = buf_take(&text);
    }
    const char *nearest = column_nearest(names, column);
    int rc = read_refuse(reader, GALLOC_INVALID_INPUT, "the input has no column \"%.100s\"%s%.100s%s", column,
                         nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return rc;
}

/* Have the first rows the column at all? 0 or a refusal with the nearest name. */
static int check_truth(struct store_reader *reader, const struct store_read *read)
{
    sqlite3_stmt *row = NULL;
    struct json_span value;
    struct buf first = BUF_EMPTY;
    bool is_found = read->truth == NULL;
    int rc = is_found ? 0 : read_find(reader, READ_FIRST_FIELDS, &row, "ii", read->run, (int64_t)TRUTH_ROWS_LOOKED);
    for (; rc > 0 && !is_found; rc = is_found ? 0 : read_next(reader, row)) {
        struct json_span fields = fields_of(row, 0);
        if (fields.at == NULL)
            continue;
        if (first.len == 0)
            buf_add(&first, fields.at, fields.len);
        is_found = column_find(fields, read->truth, &value);
    }
    sqlite3_reset(row);
    if (rc == 0 && !is_found)
        rc = refuse_column(reader, read->truth, (struct json_span){first.data, first.len});
    buf_clear(&first);
    return rc;
}

/* ---- the sides ---- */

/* A side's agents with what they hold now, and whether its ledger is its own. */
static int side_agents(struct store_reader *reader, struct compare *compare, enum compare_side side,
                       const struct store_run *run)
{
    sqlite3_stmt *row = NULL;
    struct store_agents agents = {0};
    int64_t run_count = 0;
    int rc = run->ledger == 0 ? 0 : read_find(reader, READ_AGENTS, &row, "ii", run->pool, run->ledger);
    for (; rc > 0; rc = read_next(reader, row))
        sqlite_agents_row(row, &agents);
    for (size_t i = 0; rc == 0 && i < agents.count; i++) {
        const struct store_agent *agent = &agents.items[i];
        compare_add_agent(compare, side,
                          &(struct compare_agent){agent->id, agent->agent_id, agent->capacity, agent->held,
                                                  agent->is_listed, agent->is_available});
    }
    store_agents_clear(&agents);
    if (rc == 0 && run->ledger != 0)
        rc = read_number(reader, READ_LEDGER_RUNS, &run_count, "i", run->ledger);
    if (run_count > 1)
        compare_share_ledger(compare, side);
    return rc < 0 ? rc : 0;
}

/* Both runs, their counters and agents, as they are now. 0 or a negative code. */
static int sides_read(struct store_reader *reader, struct store_read *read)
{
    int64_t ids[SIDE_COUNT] = {read->run, read->other};
    if (read->ret_runs == NULL)
        read->ret_runs = xcalloc(SIDE_COUNT, sizeof *read->ret_runs);
    read->ret_row_count = SIDE_COUNT;
    for (int side = 0; side < SIDE_COUNT; side++) {
        struct store_run *run = &read->ret_runs[side];
        store_run_clear(run);
        int rc = read_whole_run(reader, ids[side], run);
        if (rc >= 0 && run->state == RUN_IMPORTING)
            rc = read_refuse(reader, GALLOC_WRONG_STATE, "run %s is still importing: its keys are not all there yet",
                             run->run_id);
        if (rc >= 0)
            rc = side_agents(reader, read->ret_compare, (enum compare_side)side, run);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* An agent who came to the pool after the sides were read. */
static int agent_is_known(struct store_reader *reader, struct store_read *read, enum compare_side side, int64_t agent)
{
    if (agent == 0 || compare_has_agent(read->ret_compare, side, agent))
        return 0;
    return side_agents(reader, read->ret_compare, side, &read->ret_runs[side]);
}

static int pair_add(struct store_reader *reader, struct store_read *read, sqlite3_stmt *row, struct buf *text)
{
    if (!has_other(row)) {
        compare_add_lone(read->ret_compare);
        return 0;
    }
    struct compare_fact facts[SIDE_COUNT];
    struct compare_truth truth = {NULL, 0};
    for (int side = 0; side < SIDE_COUNT; side++) {
        facts[side] = decision_of(row, (enum compare_side)side).fact;
        int rc = agent_is_known(reader, read, (enum compare_side)side, facts[side].agent);
        if (rc < 0)
            return rc;
    }
    struct json_span fields = read->truth != NULL ? fields_of(row, PAIR_FIELDS) : (struct json_span){NULL, 0};
    if (fields.at != NULL && truth_of(fields, read->truth, text))
        truth = (struct compare_truth){text->data, text->len};
    compare_add_pair(read->ret_compare, facts, truth);
    return 0;
}

/* One turn. 1 there is more, 0 all were seen, or a negative code. */
static int pairs_turn(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    sqlite3_stmt *row = NULL;
    struct buf text = BUF_EMPTY;
    int64_t seen = 0;
    int rc = read_find(reader, READ_PAIRS, &row, "iiii", read->run, read->other, read->after,
                       (int64_t)(read->truth != NULL));
    for (; rc > 0; rc = read_next(reader, row)) {
        rc = pair_add(reader, read, row, &text);
        if (rc < 0)
            break;
        read->after = sqlite3_column_int64(row, PAIR_ID);
        if (++seen % 64 == 0 && page_is_late(page)) {
            rc = 1;
            break;
        }
    }
    sqlite3_reset(row);
    buf_clear(&text);
    if (rc < 0 && reader->is_ended && seen > 0) { /* the log had to be emptied: go on from here, in a new snapshot */
        read->op.code = 0;
        return 1;
    }
    return rc;
}

int read_compare(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    int rc = 0;
    if (read->ret_compare == NULL) {
        read->ret_compare = compare_new();
        read->after = 0;
        rc = sides_read(reader, read);
        if (rc == 0)
            rc = check_truth(reader, read);
    }
    if (rc == 0)
        rc = pairs_turn(reader, page);
    return rc == 0 ? sides_read(reader, read) : rc;
}

/* ---- the pairs that differ ---- */

static void word_cell(struct page *page, struct store_cell *cell, struct json_span string)
{
    struct buf text = BUF_EMPTY;
    if (string.at == NULL)
        return;
    json_span_string(string, &text);
    page_text(page, cell, buf_text(&text), text.len);
    buf_clear(&text);
}

static int agent_cell(struct store_reader *reader, struct page *page, struct store_cell *cell, sqlite3_stmt *pair,
                      enum compare_side side)
{
    sqlite3_stmt *row = NULL;
    int64_t agent = sqlite3_column_int64(pair, side_column(side, SIDE_AGENT));
    if (sqlite3_column_int(pair, side_column(side, SIDE_STATE)) != ASSIGNMENT_SUCCEEDED || agent == 0)
        return 0;
    int rc = read_find(reader, READ_AGENT_ID, &row, "i", agent);
    if (rc > 0) {
        page_column(page, cell, CELL_TEXT, row, 0);
        sqlite3_reset(row);
    }
    return (int)min_i64(rc, 0);
}

static bool is_same_cell(const struct page *page, const struct store_cell *a, const struct store_cell *b)
{
    const char *text = page->read->ret_text.data;
    return a->kind == b->kind &&
           (a->kind == CELL_NULL || (a->len == b->len && memcmp(text + a->at, text + b->at, a->len) == 0));
}

static void diff_cells(struct page *page, struct store_cell *cells, sqlite3_stmt *row)
{
    static const enum diff_column states[] = {DIFF_STATE_A, DIFF_STATE_B}, reasons[] = {DIFF_REASON_A, DIFF_REASON_B},
                                  confidences[] = {DIFF_CONFIDENCE_A, DIFF_CONFIDENCE_B};
    bool is_corrupt = false;
    page_column(page, &cells[DIFF_KEY], CELL_TEXT, row, PAIR_KEY);
    for (int side = 0; side < SIDE_COUNT; side++) {
        struct decision decision = decision_of(row, (enum compare_side)side);
        page_str(page, &cells[states[side]], assignment_state_name(decision.fact.state));
        word_cell(page, &cells[reasons[side]], decision.words);
        if (!isnan(decision.fact.confidence))
            page_real(&cells[confidences[side]], decision.fact.confidence);
        is_corrupt |= decision.is_corrupt;
    }
    page_str(page, &cells[DIFF_CORRUPT], is_corrupt ? "result" : NULL);
    struct buf text = BUF_EMPTY;
    struct json_span fields = page->read->truth != NULL ? fields_of(row, PAIR_FIELDS) : (struct json_span){NULL, 0};
    if (fields.at != NULL && truth_of(fields, page->read->truth, &text))
        page_text(page, &cells[DIFF_TRUTH], text.data, text.len);
    buf_clear(&text);
}

/* The row, if the key went to somebody else in the other run. */
static int diff_add(struct store_reader *reader, struct page *page, sqlite3_stmt *row)
{
    if (!has_other(row))
        return 0;
    size_t text_len = page->read->ret_text.len;
    struct store_cell *cells = page_row(page);
    int rc = agent_cell(reader, page, &cells[DIFF_AGENT_A], row, SIDE_A);
    if (rc == 0)
        rc = agent_cell(reader, page, &cells[DIFF_AGENT_B], row, SIDE_B);
    if (rc < 0)
        return rc;
    if (is_same_cell(page, &cells[DIFF_AGENT_A], &cells[DIFF_AGENT_B])) {
        page->read->ret_row_count--;
        page->read->ret_text.len = text_len;
    } else {
        diff_cells(page, cells, row);
    }
    return 0;
}

int read_diff(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    sqlite3_stmt *row = NULL;
    int64_t last = 0;
    int rc = read->after == 0 ? check_truth(reader, read) : 0;
    if (rc == 0)
        rc = read_find(reader, READ_PAIRS, &row, "iiii", read->run, read->other, read->after,
                       (int64_t)(read->truth != NULL));
    for (; rc > 0; rc = read_next(reader, row)) {
        if (last && page_is_full(page)) {
            read->ret_next = last;
            rc = 0;
            break;
        }
        last = sqlite3_column_int64(row, PAIR_ID);
        rc = diff_add(reader, page, row);
        if (rc < 0)
            break;
    }
    sqlite3_reset(row);
    return rc;
}
