/* Cells of the store as CSV (RFC 4180). Loop's thread. */
#include "api/handler.h"

#include <string.h>

/* Would a spreadsheet take the cell for a formula? */
static bool is_formula(const char *text, size_t len)
{
    return len > 0 && strchr("=+-@\t\r", text[0]) != NULL;
}

void csv_text(struct buf *out, const char *text, size_t len, bool is_guarded)
{
    bool needs_guard = is_guarded && is_formula(text, len);
    bool needs_quotes = len == 0 || text[0] == ' ' || text[len - 1] == ' ';
    for (size_t i = 0; i < len && !needs_quotes; i++)
        needs_quotes = text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r';
    if (needs_quotes)
        buf_add_char(out, '"');
    if (needs_guard)
        buf_add_char(out, '\'');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, text[i]);
    }
    if (needs_quotes)
        buf_add_char(out, '"');
}

void csv_value(struct buf *out, const struct store_read *read, size_t row, size_t column, bool is_guarded)
{
    const struct store_cell *cell = read_cell(read, row, column);
    if (cell->kind == CELL_NULL)
        return;
    if (cell->kind == CELL_TEXT) {
        csv_text(out, read->ret_text.data + cell->at, cell->len, is_guarded);
        return;
    }
    struct json_out json = JSON_OUT(out);
    if (cell->kind == CELL_TIME) {
        struct buf quoted = BUF_EMPTY;
        struct json_out time = JSON_OUT(&quoted);
        json_out_time(&time, cell->integer);
        buf_add(out, quoted.data + 1, quoted.len - 2); /* without its quotes */
        buf_clear(&quoted);
        return;
    }
    cell_json(&json, read, row, column);
}
