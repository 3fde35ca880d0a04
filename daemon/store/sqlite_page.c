/* See sqlite_page.h. Texts of a page stand one after the other in one buf, each NUL-ended, so that a page is two blocks
 * of memory whatever it holds. */
#include "store/sqlite_page.h"

#include "base/clock.h"

#define ROWS_A_LOOK 32 /* rows between two looks at the clock */

void page_begin(struct page *page, struct store_read *read)
{
    const struct query_row *query = query_row(read->query);
    *page = (struct page){.read = read, .deadline_mono_us = clock_mono_us() + PAGE_US};
    read->ret_columns = query->columns;
    read->ret_column_count = query->column_count;
}

bool page_is_late(const struct page *page)
{
    return clock_mono_us() >= page->deadline_mono_us;
}

bool page_is_full(struct page *page)
{
    const struct store_read *read = page->read;
    bool looks = ++page->seen % ROWS_A_LOOK == 0;
    return read->ret_row_count >= (size_t)read->limit || read->ret_text.len >= PAGE_TEXT_BYTES ||
           (looks && page_is_late(page));
}

struct store_cell *page_row(struct page *page)
{
    struct store_read *read = page->read;
    if (read->ret_row_count == page->cap) {
        page->cap = page->cap ? page->cap * 2 : 32;
        read->ret_cells = xreallocarray(read->ret_cells, page->cap * read->ret_column_count, sizeof(*read->ret_cells));
    }
    struct store_cell *row = &read->ret_cells[read->ret_row_count++ * read->ret_column_count];
    for (size_t i = 0; i < read->ret_column_count; i++)
        row[i] = (struct store_cell){.kind = CELL_NULL};
    return row;
}

void page_text(struct page *page, struct store_cell *cell, const char *text, size_t len)
{
    struct buf *buf = &page->read->ret_text;
    *cell = (struct store_cell){.kind = CELL_TEXT, .at = buf->len, .len = len};
    buf_add(buf, text, len);
    buf_add_char(buf, '\0');
}

void page_str(struct page *page, struct store_cell *cell, const char *text)
{
    if (text)
        page_text(page, cell, text, strlen(text));
}

void page_json(struct page *page, struct store_cell *cell, const char *text, size_t len)
{
    page_text(page, cell, text, len);
    cell->kind = CELL_JSON;
}

void page_int(struct store_cell *cell, int64_t value)
{
    *cell = (struct store_cell){.kind = CELL_INT, .integer = value};
}

void page_real(struct store_cell *cell, double value)
{
    *cell = (struct store_cell){.kind = CELL_REAL, .real = value};
}

void page_time(struct store_cell *cell, int64_t wall_ms)
{
    if (wall_ms)
        *cell = (struct store_cell){.kind = CELL_TIME, .integer = wall_ms};
}

void page_bool(struct store_cell *cell, bool value)
{
    *cell = (struct store_cell){.kind = CELL_BOOL, .integer = value};
}

void page_column(struct page *page, struct store_cell *cell, enum cell_kind kind, sqlite3_stmt *stmt, int column)
{
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return;
    switch (kind) {
    case CELL_TEXT:
    case CELL_JSON: {
        const char *text = (const char *)sqlite3_column_text(stmt, column);
        page_text(page, cell, text ? text : "", (size_t)sqlite3_column_bytes(stmt, column));
        cell->kind = kind;
        break;
    }
    case CELL_REAL:
        page_real(cell, sqlite3_column_double(stmt, column));
        break;
    case CELL_TIME:
        page_time(cell, sqlite3_column_int64(stmt, column));
        break;
    case CELL_BOOL:
        page_bool(cell, sqlite3_column_int64(stmt, column) != 0);
        break;
    case CELL_INT:
        page_int(cell, sqlite3_column_int64(stmt, column));
        break;
    case CELL_NULL:
        break;
    }
}

void page_whole_row(struct page *page, sqlite3_stmt *stmt)
{
    const struct query_row *query = query_row(page->read->query);
    struct store_cell *row = page_row(page);
    for (size_t i = 0; i < query->column_count; i++)
        page_column(page, &row[i], query->kinds[i], stmt, (int)i);
}
