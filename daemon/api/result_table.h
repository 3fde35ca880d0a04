/* The results of a run as rows of CSV or NDJSON: which columns there are, by what the run asked and what was wished to stand beside it. Loop's thread. */
#ifndef GALLOC_API_RESULT_TABLE_H
#define GALLOC_API_RESULT_TABLE_H

#include "api/handler.h"

enum results_input { RESULTS_INPUT_NONE, RESULTS_INPUT_BESIDE, RESULTS_INPUT_ONLY };

/* Columns of one origin: the members of a JSON object a row. */
struct result_group {
    char **names;  /* owned: the members' own */
    char **titles; /* owned: as they stand in the header, no two alike */
    size_t count, cap;
    const char *prefix; /* static: put before a title that is taken; with `always`, before each */
    bool always, is_models; /* the model's words: a spreadsheet must not run them */
};

struct result_agent {
    char *agent_id, *attributes; /* owned; JSON object text */
};

struct result_table {
    bool is_csv, is_excel_safe, is_question, with_agent;
    enum results_input input;
    char *key_name; /* owned: of the input's key column */
    struct result_group answers, attributes, inputs;
    struct result_agent *agents; /* owned; in the order of their ids */
    size_t agent_count;
};

/* By the plan; what was wished for stands in the table already. */
void result_table_begin(struct result_table *table, const struct plan *plan);
void result_table_clear(struct result_table *table);
/* The run's agents, of a page of QUERY_LOAD. */
void result_table_take_agents(struct result_table *table, const struct store_read *loads);
/* The input's columns, of a page with fields: for CSV every row has to be seen before the header. 0, or -GALLOC_TOO_LARGE: more columns than a table can have. */
int result_table_take_columns(struct result_table *table, const struct store_read *read, struct galloc_error *error) MUST_CHECK;
bool result_table_needs_columns(const struct result_table *table);
void result_table_header(struct result_table *table, struct buf *out); /* CSV's */
void result_table_row(const struct result_table *table, const struct store_read *read, size_t row, struct buf *out);

#endif
