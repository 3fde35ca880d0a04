/* Which runs' assignments an agent holds: who goes on leave leaves them behind. The runs of his ledger are gone through from the newest, in turns as every read of
 * many rows (sqlite_tally.h), until as many are found as the ledger says he holds; so what lies years back is seldom looked at. Rows that took their place
 * before the last reset of the pool hold none. A reader's thread. */
#include "store/sqlite_tally.h"

/* The agent in the pool's ledger. */
struct holder {
    int64_t ledger, agent, resets;
    int64_t count; /* places that rows hold */
};

static int holder_find(struct store_reader *reader, const struct store_read *read, struct holder *ret_holder)
{
    sqlite3_stmt *row = NULL;
    int rc = read_find(reader, READ_HOLDER, &row, "it", read->pool, read->key);
    if (rc == 0)
        return read_refuse(reader, GALLOC_NOT_FOUND, "the pool has no agent \"%.128s\"", read->key);
    if (rc < 0)
        return rc;
    *ret_holder = (struct holder){sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1), sqlite3_column_int64(row, 2), sqlite3_column_int64(row, 3)};
    sqlite3_reset(row);
    return 0;
}

/* One turn in the rows of a run, from where the last one ended. 1 there is more, 0 all was looked at, or a negative code. */
static int rows_turn(struct store_reader *reader, const struct page *page, struct tally *tally, const struct holder *holder)
{
    sqlite3_stmt *row = NULL;
    int64_t seen = 0;
    int rc = read_find(reader, READ_TAKEN, &row, "ii", tally->run, tally->after);
    for (; rc > 0 && tally->looked_count < holder->count; rc = read_next(reader, row)) {
        tally->after = sqlite3_column_int64(row, 0);
        if (sqlite3_column_int64(row, 1) == holder->agent && sqlite3_column_int64(row, 2) == holder->resets) {
            taken_add(tally, tally->run);
            tally->looked_count++;
        }
        if (++seen % 256 == 0 && page_is_late(page)) {
            sqlite3_reset(row);
            return 1;
        }
    }
    if (rc > 0)
        sqlite3_reset(row);
    return min_i64(rc, 0);
}

static int runs_turn(struct store_reader *reader, const struct page *page, struct tally *tally, const struct holder *holder)
{
    int rc = 0;
    while (rc == 0 && tally->looked_count < holder->count) {
        if (tally->run == 0 || tally->is_run_done) {
            rc = read_number(reader, READ_LEDGER_RUN_BEFORE, &tally->run, "ii", holder->ledger, tally->run == 0 ? INT64_MAX : tally->run);
            if (rc < 0 || tally->run == 0)
                return rc < 0 ? rc : 0; /* no older one */
            tally->after = 0;
        }
        rc = rows_turn(reader, page, tally, holder);
        tally->is_run_done = rc == 0;
        if (rc == 0 && page_is_late(page))
            return 1;
    }
    return rc;
}

/* The newest run first. */
static int holdings_show(struct store_reader *reader, struct page *page, const struct tally *tally)
{
    for (size_t i = tally->taken_count; i-- > 0 && !page_is_full(page);) {
        sqlite3_stmt *row = NULL;
        int rc = read_find(reader, READ_HOLDING_RUN, &row, "i", tally->taken[i].agent);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue; /* purged meanwhile */
        struct store_cell *cells = page_row(page);
        page_column(page, &cells[HOLDING_RUN], CELL_TEXT, row, 0);
        page_column(page, &cells[HOLDING_NAME], CELL_TEXT, row, 1);
        page_str(page, &cells[HOLDING_STATE], run_state_name((enum run_state)sqlite3_column_int(row, 2)));
        page_int(&cells[HOLDING_COUNT], tally->taken[i].count);
        sqlite3_reset(row);
    }
    return 0;
}

int read_holdings(struct store_reader *reader, struct page *page)
{
    struct holder holder = {0};
    int rc = holder_find(reader, page->read, &holder);
    if (rc < 0)
        return rc;
    struct tally *tally = tally_of(reader, page->read);
    rc = runs_turn(reader, page, tally, &holder);
    if (rc == 0)
        rc = holdings_show(reader, page, tally);
    if (rc <= 0)
        tally_free(reader, tally);
    return rc;
}
