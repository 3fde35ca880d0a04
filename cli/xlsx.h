/* Results as a workbook: sheets Allocations, Not allocated, Loads; of a question Answers and Not answered. Keys and words are text cells, never formulas. One
 * thread. */
#ifndef GALLOC_CLI_XLSX_H
#define GALLOC_CLI_XLSX_H

#include "base/code.h"
#include "base/json.h"

struct xlsx;

/* Members of one object of each row, a column each. */
struct xlsx_names {
    char **names; /* owned */
    size_t count;
};

/* What stands beside the columns of every run: a sheet has its columns before its rows. */
struct xlsx_shape {
    bool is_question;
    bool is_part; /* of a run's results: without Loads */
    struct xlsx_names answers, attributes, inputs;
};
/* By the run object: whether it asks a question, and its schema's properties. */
void xlsx_shape_take_run(struct xlsx_shape *shape, struct json_object *run);
/* Adds what a row has of `agent` and `input` that is new. */
void xlsx_shape_take_row(struct xlsx_shape *shape, struct json_object *row);
void xlsx_shape_clear(struct xlsx_shape *shape);

/* 0; -GALLOC_LOCAL_IO; -GALLOC_TOO_LARGE: more columns than a sheet has (16,384). */
int xlsx_open(const char *path, const struct xlsx_shape *shape, struct xlsx **ret_xlsx, struct galloc_error *error) MUST_CHECK;
/* A result row (ResultRow). -GALLOC_TOO_LARGE when a sheet is full (1,048,576 rows). */
int xlsx_add_result(struct xlsx *xlsx, struct json_object *row, struct galloc_error *error) MUST_CHECK;
/* The agents' loads (items of LoadList). */
void xlsx_add_loads(struct xlsx *xlsx, struct json_object *items);
/* Writes the file and frees. 0 or -GALLOC_LOCAL_IO. */
int xlsx_close(struct xlsx *xlsx, struct galloc_error *error) MUST_CHECK;

#endif
