/* Results as a workbook: sheets Allocations, Not allocated, Loads. Keys and words are text cells, never formulas. One thread. */
#ifndef GALLOC_CLI_XLSX_H
#define GALLOC_CLI_XLSX_H

#include "base/code.h"
#include "base/json.h"

struct xlsx;

int xlsx_open(const char *path, struct xlsx **ret_xlsx, struct galloc_error *error) MUST_CHECK;
/* A result row (ResultRow). -GALLOC_TOO_LARGE when a sheet is full (1,048,576 rows). */
int xlsx_add_result(struct xlsx *xlsx, struct json_object *row, struct galloc_error *error) MUST_CHECK;
/* The agents' loads (items of LoadList). */
void xlsx_add_loads(struct xlsx *xlsx, struct json_object *items);
/* Writes the file and frees. 0 or -GALLOC_LOCAL_IO. */
int xlsx_close(struct xlsx *xlsx, struct galloc_error *error) MUST_CHECK;

#endif
