/* A page on its way: cells and texts of a store_read, filled row by row, with the bounds that every page keeps. The thread that reads. */
#ifndef GALLOC_STORE_SQLITE_PAGE_H
#define GALLOC_STORE_SQLITE_PAGE_H

#include "base/json_scan.h"
#include "store/query.h"

#include <sqlite3.h>

#define PAGE_US 50000            /* work of one page; then its cursor is given */
#define PAGE_TEXT_BYTES (1 << 20) /* a page with more text ends with the row that crossed it */

struct page {
    struct store_read *read; /* borrowed */
    size_t cap;              /* rows that ret_cells has room for */
    size_t seen;             /* rows looked at */
    int64_t deadline_mono_us;
};

/* Begins the page of a read: columns from the query's row. */
void page_begin(struct page *page, struct store_read *read);

/* Must it end before the next row? `limit` or text are used up, or (looked at once in a while) time. To be asked once a row. */
bool page_is_full(struct page *page);

bool page_is_late(const struct page *page);

/* A new row, all null. Borrowed until the next one. */
struct store_cell *page_row(struct page *page);

void page_text(struct page *page, struct store_cell *cell, const char *text, size_t len);
void page_str(struct page *page, struct store_cell *cell, const char *text); /* NULL leaves it null */
void page_json(struct page *page, struct store_cell *cell, const char *text, size_t len);
void page_int(struct store_cell *cell, int64_t value);
void page_real(struct store_cell *cell, double value);
void page_time(struct store_cell *cell, int64_t wall_ms); /* 0 leaves it null */
void page_bool(struct store_cell *cell, bool value);

/* A column of a statement into a cell of the kind; NULL leaves it null. */
void page_column(struct page *page, struct store_cell *cell, enum cell_kind kind, sqlite3_stmt *stmt, int column);

/* All columns of the statement's row, in the order of the query's columns. */
void page_whole_row(struct page *page, sqlite3_stmt *stmt);

#endif
