/* Assignments as lists, results and the single one show them: the narrow row, the decision taken apart, what it cost,
 * and the input. What does not match its digest is named and not served. A reader's thread. */
#include "store/sqlite_reader.h"

#include "base/clock.h"
#include "core/limits.h"

#include <stdlib.h>

#define CHOICE_US 30000                    /* of a page's time at most so much goes into finding its rows */
#define FAR_MS (3650LL * 24 * 3600 * 1000) /* no row waits for ten years: what is later is held, without a time */

enum row_column { /* of READ_ROW */
                  ROW_KEY,
                  ROW_NUMBER,
                  ROW_STATE,
                  ROW_CLASS,
                  ROW_ATTEMPTS,
                  ROW_RETRIES,
                  ROW_HOLD,
                  ROW_AGENT,
                  ROW_NOT_BEFORE,
                  ROW_BODY,
                  ROW_BODY_SHA256,
                  ROW_FINISHED_AT,
                  ROW_FIELDS,
                  ROW_FIELDS_SHA256
};

/* The members of a result's body and where they are shown. */
static const struct {
    const char *name;
    enum assignment_column column;
    enum cell_kind kind;
} body_members[] = {
    {"reason", ASSIGNMENT_REASON, CELL_TEXT},         {"confidence", ASSIGNMENT_CONFIDENCE, CELL_REAL},
    {"answer", ASSIGNMENT_ANSWER, CELL_JSON},
    {"decided_by", ASSIGNMENT_DECIDED_BY, CELL_TEXT}, {"model", ASSIGNMENT_MODEL, CELL_TEXT},
    {"message", ASSIGNMENT_MESSAGE, CELL_TEXT},       {"http_status", ASSIGNMENT_HTTP_STATUS, CELL_INT},
    {"latency_ms", ASSIGNMENT_LATENCY_MS, CELL_INT},
};

static const char *const hold_names[] = {
    [HOLD_NONE] = NULL, [HOLD_TRANSIENT] = "transient", [HOLD_REJECTED] = "rejected"};

/* A value of a body into a cell; one of another kind than it should be is shown as its text, where that can be. */
static void member_cell(struct page *page, struct store_cell *cell, struct json_span value, enum cell_kind kind)
{
    enum json_kind is = json_span_kind(value);
    if (kind == CELL_TEXT && is == JSON_STRING) {
        struct buf text = BUF_EMPTY;
        json_span_string(value, &text);
        page_text(page, cell, buf_text(&text), text.len);
        buf_clear(&text);
    } else if (kind == CELL_TEXT) {
        page_text(page, cell, value.at, value.len);
    } else if (kind == CELL_JSON) {
        page_json(page, cell, value.at, value.len);
    } else if (is == JSON_INTEGER || is == JSON_NUMBER) {
        char number[64];
        size_t len = value.len < sizeof number - 1 ? value.len : sizeof number - 1;
        memcpy(number, value.at, len);
        number[len] = '\0';
        if (kind == CELL_REAL)
            page_real(cell, strtod(number, NULL));
        else
            page_int(cell, strtoll(number, NULL, 10));
    }
}

/* The store's clock in terms of the wall's: what is added to a time of the one to get the other. */
static int clock_offset(struct store_reader *reader, int64_t *ret_offset_ms)
{
    int64_t stored_ms = 0, boot_ms = 0;
    int rc = read_number(reader, READ_META, &stored_ms, "t", "now_ms");
    if (rc >= 0)
        rc = read_number(reader, READ_META, &boot_ms, "t", "boot_ms");
    int64_t passed_ms = max_i64(clock_mono_ms() - boot_ms, 0);
    *ret_offset_ms = clock_wall_ms() - (stored_ms + passed_ms);
    return rc < 0 ? rc : 0;
}

static void result_cells(struct page *page, struct store_cell *cells, sqlite3_stmt *row, const char **corrupt)
{
    struct json_span body = {(const char *)sqlite3_column_text(row, ROW_BODY),
                             (size_t)sqlite3_column_bytes(row, ROW_BODY)};
    if (body.at == NULL)
        return;
    page_time(&cells[ASSIGNMENT_FINISHED_AT], sqlite3_column_int64(row, ROW_FINISHED_AT));
    if (!read_is_sound(row, ROW_BODY) || json_check(body.at, body.len, NULL) < 0) {
        *corrupt = "result";
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(body_members); i++) {
        struct json_span value = read_member(body, body_members[i].name);
        if (value.at)
            member_cell(page, &cells[body_members[i].column], value, body_members[i].kind);
    }
}

static void fields_cell(struct page *page, struct store_cell *cells, sqlite3_stmt *row, bool with_fields,
                        const char **corrupt)
{
    if (!with_fields)
        return;
    const char *fields = (const char *)sqlite3_column_text(row, ROW_FIELDS);
    if (fields && read_is_sound(row, ROW_FIELDS))
        page_json(page, &cells[ASSIGNMENT_FIELDS], fields, (size_t)sqlite3_column_bytes(row, ROW_FIELDS));
    else
        *corrupt = *corrupt ? "fields, result" : "fields";
}

/* Code and words of a pending row's last trouble; a failed one's words stand in its result. */
static int trouble_cells(struct store_reader *reader, struct page *page, struct store_cell *cells, int64_t id)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_TROUBLE, &row, "i", id);
    if (rc > 0) {
        page_column(page, &cells[ASSIGNMENT_MESSAGE], CELL_TEXT, row, 0);
        page_column(page, &cells[ASSIGNMENT_HTTP_STATUS], CELL_INT, row, 1);
        sqlite3_reset(row);
    }
    return rc < 0 ? rc : 0;
}

static int spent_cells(struct store_reader *reader, struct page *page, struct store_cell *cells, int64_t id)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_SPENT, &row, "i", id);
    if (rc > 0) {
        page_column(page, &cells[ASSIGNMENT_TOKENS_IN], CELL_INT, row, 0);
        page_column(page, &cells[ASSIGNMENT_TOKENS_OUT], CELL_INT, row, 1);
        page_column(page, &cells[ASSIGNMENT_COST_MICROS], CELL_INT, row, 2);
        page_column(page, &cells[ASSIGNMENT_CURRENCY], CELL_TEXT, row, 3);
        sqlite3_reset(row);
    }
    return rc < 0 ? rc : 0;
}

/* Did the row fail, or does it wait after an attempt that went wrong? One that was given back unsent had no trouble. */
static bool has_trouble(sqlite3_stmt *row)
{
    int state = sqlite3_column_int(row, ROW_STATE);
    bool may_have = state == ASSIGNMENT_FAILED || state == ASSIGNMENT_PENDING;
    return may_have && sqlite3_column_type(row, ROW_CLASS) != SQLITE_NULL &&
           sqlite3_column_int(row, ROW_CLASS) != OUTCOME_RELEASED;
}

static void narrow_cells(struct page *page, struct store_cell *cells, sqlite3_stmt *row, int64_t offset_ms)
{
    enum assignment_state state = (enum assignment_state)sqlite3_column_int(row, ROW_STATE);
    page_column(page, &cells[ASSIGNMENT_KEY], CELL_TEXT, row, ROW_KEY);
    page_column(page, &cells[ASSIGNMENT_ROW], CELL_INT, row, ROW_NUMBER);
    page_str(page, &cells[ASSIGNMENT_STATE], assignment_state_name(state));
    page_column(page, &cells[ASSIGNMENT_ATTEMPTS], CELL_INT, row, ROW_ATTEMPTS);
    page_column(page, &cells[ASSIGNMENT_RETRIES_SPENT], CELL_INT, row, ROW_RETRIES);
    page_str(page, &cells[ASSIGNMENT_HOLD], hold_names[sqlite3_column_int(row, ROW_HOLD)]);
    page_column(page, &cells[ASSIGNMENT_AGENT_ID], CELL_TEXT, row, ROW_AGENT);
    if (has_trouble(row))
        page_str(page, &cells[ASSIGNMENT_CODE],
                 outcome_row((enum outcome_class)sqlite3_column_int(row, ROW_CLASS))->name);
    int64_t not_before_ms = sqlite3_column_int64(row, ROW_NOT_BEFORE);
    if (state == ASSIGNMENT_PENDING && not_before_ms > 0 && not_before_ms + offset_ms < clock_wall_ms() + FAR_MS &&
        not_before_ms < INT64_MAX / 2)
        page_time(&cells[ASSIGNMENT_NOT_BEFORE], not_before_ms + offset_ms);
}

/* One row of the page; a row that is gone meanwhile is left out. */
static int row_add(struct store_reader *reader, struct page *page, int64_t id, bool with_fields, int64_t offset_ms)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_ROW, &row, "ii", id, (int64_t)with_fields);
    if (rc <= 0)
        return rc;
    struct store_cell *cells = page_row(page);
    const char *corrupt = NULL;
    narrow_cells(page, cells, row, offset_ms);
    result_cells(page, cells, row, &corrupt);
    fields_cell(page, cells, row, with_fields, &corrupt);
    page_str(page, &cells[ASSIGNMENT_CORRUPT], corrupt);
    bool is_pending = sqlite3_column_int(row, ROW_STATE) == ASSIGNMENT_PENDING;
    bool was_tried = sqlite3_column_int(row, ROW_ATTEMPTS) > 0;
    bool tells_trouble = is_pending && was_tried && has_trouble(row);
    sqlite3_reset(row);
    if (was_tried)
        rc = spent_cells(reader, page, cells, id);
    if (rc >= 0 && tells_trouble)
        rc = trouble_cells(reader, page, cells, id);
    return rc < 0 ? rc : 0;
}

int read_id_of_key(struct store_reader *reader, const struct store_read *read, int64_t *ret_id)
{
    int rc = read_number(reader, READ_KEY, ret_id, "it", read->run, read->key ? read->key : "");
    return rc == 0
               ? read_refuse(reader, GALLOC_NOT_FOUND, "the run has no assignment \"%.256s\" (gallocctl list RUN --limit 10 shows some)", read->key ? read->key : "")
           : rc < 0 ? rc
                    : 0;
}

int read_assignment(struct store_reader *reader, struct page *page)
{
    int64_t id = 0, offset_ms = 0;
    int rc = read_id_of_key(reader, page->read, &id);
    if (rc == 0)
        rc = clock_offset(reader, &offset_ms);
    return rc < 0 ? rc : row_add(reader, page, id, true, offset_ms);
}

int read_assignments(struct store_reader *reader, struct page *page)
{
    struct store_read *read = page->read;
    unsigned states = (1u << ASSIGNMENT_STATE_COUNT) - 1;
    if (read->query == QUERY_RESULTS && read->selector.states == 0)
        states = 1u << ASSIGNMENT_SUCCEEDED | 1u << ASSIGNMENT_FAILED | 1u << ASSIGNMENT_CANCELLED;
    struct selection selection;
    int64_t ids[LIMIT_PAGE_ROWS], after = 0, offset_ms = 0;
    size_t count = 0;
    bool is_end = false;
    int rc = selection_open(&selection, reader->db, read->run, &read->selector, states, &read->op.error);
    if (rc == SQLITE_OK)
        rc = selection_next(&selection, read->after, clock_mono_us() + CHOICE_US, ids, (size_t)read->limit, &count,
                            &after, &is_end);
    selection_close(&selection);
    if (rc > 0)
        return read_fault(reader, rc, "choosing rows");
    if (rc == 0)
        rc = clock_offset(reader, &offset_ms);
    size_t shown = 0;
    while (rc == 0 && shown < count && (shown == 0 || !page_is_full(page)))
        rc = row_add(reader, page, ids[shown++], read->with_fields, offset_ms);
    if (rc == 0)
        read->ret_next = shown < count ? ids[shown - 1] : is_end ? 0 : after;
    return rc;
}
