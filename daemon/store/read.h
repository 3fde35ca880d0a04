/* Reading: pages of lists and exports, and the doctor. Both have a thread of their own and a read-only connection. */
#ifndef GALLOC_STORE_READ_H
#define GALLOC_STORE_READ_H

#include "store/op_run.h"

struct compare; /* core/compare.h */

/* READ: one page. Cells are typed; columns of a query are fixed (store/query.h has the table). */
enum store_query {
    QUERY_RUNS, QUERY_RUN, QUERY_PARTS, QUERY_ASSIGNMENTS, QUERY_ASSIGNMENT, QUERY_ATTEMPTS, QUERY_FAILURES, QUERY_LOAD, QUERY_HOLDINGS, QUERY_RESULTS, QUERY_AUDIT,
    QUERY_COMPARE, QUERY_DIFF,
    STORE_QUERY_COUNT
};
enum cell_kind { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT, CELL_JSON, CELL_TIME /* wall ms */, CELL_BOOL };
struct store_cell {
    enum cell_kind kind;
    int64_t integer;
    double real;
    size_t at, len; /* text: in store_read.text */
};
struct store_read {
    struct store_op op;
    enum store_query query;
    int64_t other;         /* of QUERY_COMPARE and QUERY_DIFF: the run that `run` is compared with */
    char *truth;           /* owned; of these: the column of the input that names the right agent; NULL: none */
    int64_t run, pool;     /* where the query is of a run or a ledger/pool; 0 else */
    char *key;             /* owned; of QUERY_ASSIGNMENT and QUERY_ATTEMPTS, run id text of QUERY_RUN */
    struct store_selector selector;
    int64_t after;         /* the cursor: rows behind it; 0: from the start (QUERY_RUNS and QUERY_AUDIT go backwards: rows before it, 0: the newest) */
    int32_t limit;         /* 1 to LIMIT_PAGE_ROWS */
    bool with_fields;      /* assignments and results: also the input */
    bool with_pool;        /* of QUERY_RUN: also its pool */
    /* out */
    const char *const *ret_columns; /* static */
    size_t ret_column_count, ret_row_count;
    struct store_cell *ret_cells;   /* owned; rows one after the other */
    struct buf ret_text;            /* owned */
    int64_t ret_next;               /* the cursor of the next page; 0: the end */
    struct store_run *ret_runs;     /* owned; of QUERY_RUNS, QUERY_RUN and QUERY_COMPARE, instead of cells */
    struct compare *ret_compare;    /* owned; of QUERY_COMPARE */
    struct store_pool *ret_pool;    /* owned; of with_pool; NULL: the run has none */
    int beginnings;                 /* the store's: it begins anew when it was ended for the log's sake */
};

/* DOCTOR: recounts counters, ledgers and leases, and checks the file; slow, on a thread of its own. */
struct store_doctor {
    struct store_op op;
    bool is_full; /* also quick_check, foreign keys, and every digest */
    struct buf ret_report; /* JSON: {"ok":bool,"checks":[{"name","ok","detail"}],…} */
};

#endif
