/* See xlsx.h. libxlsxwriter in constant memory: rows of a sheet go out in order. */
#include "cli/xlsx.h"

#include "cli/out.h"

#include <stdlib.h>
#include <string.h>
#include <xlsxwriter.h>

enum { CELL_BYTES_MAX = 32000, SHEET_ROWS_MAX = 1048576, SHEETS = 3 };

#define COST_PATH "cost_micros"

struct sheet_column {
    const char *title;
    const char *path;
    double width;
};
static const struct sheet_column allocation_columns[] = {
    {"key", "key", 20},         {"agent_id", "agent_id", 16},     {"reason", "reason", 60},       {"confidence", "confidence", 11},
    {"decided_by", "decided_by", 11}, {"attempts", "attempts", 9}, {"latency_ms", "latency_ms", 11}, {"tokens_in", "tokens_in", 10},
    {"tokens_out", "tokens_out", 10}, {"model", "model", 20},     {"finished_at", "finished_at", 25},
    {"cost", COST_PATH, 12}, {"currency", "currency", 9}, {NULL, NULL, 0},
};
static const struct sheet_column failed_columns[] = {
    {"key", "key", 20},         {"state", "state", 11},           {"error_code", "error.code", 18}, {"error_message", "error.message", 60},
    {"error_http_status", "error.http_status", 16}, {"attempts", "attempts", 9}, {"finished_at", "finished_at", 25},
    {"cost", COST_PATH, 12}, {"currency", "currency", 9}, {NULL, NULL, 0},
};
static const struct sheet_column load_columns[] = {
    {"agent_id", "agent_id", 16}, {"capacity", "capacity", 10}, {"held", "held", 10}, {"free", "free", 10},
    {"available", "available", 10}, {"until", "until", 25},     {"in_run", "in_run", 10}, {NULL, NULL, 0},
};
static const struct {
    const char *name;
    const struct sheet_column *columns;
} sheets[SHEETS] = {{"Allocations", allocation_columns}, {"Not allocated", failed_columns}, {"Loads", load_columns}};

struct xlsx {
    lxw_workbook *book;
    lxw_worksheet *sheets[SHEETS];
    lxw_row_t rows[SHEETS]; /* next free one */
};

int xlsx_open(const char *path, struct xlsx **ret_xlsx, struct galloc_error *error)
{
    lxw_workbook_options options = {.constant_memory = LXW_TRUE};
    struct xlsx *xlsx = xcalloc(1, sizeof *xlsx);
    xlsx->book = workbook_new_opt(path, &options);
    if (xlsx->book == NULL) {
        free(xlsx);
        return galloc_fail(error, GALLOC_LOCAL_IO, "the workbook could not be made");
    }
    lxw_format *bold = workbook_add_format(xlsx->book);
    format_set_bold(bold);
    for (size_t s = 0; s < SHEETS; s++) {
        lxw_worksheet *sheet = workbook_add_worksheet(xlsx->book, sheets[s].name);
        xlsx->sheets[s] = sheet;
        for (lxw_col_t c = 0; sheets[s].columns[c].title != NULL; c++) {
            worksheet_set_column(sheet, c, c, sheets[s].columns[c].width, NULL);
            worksheet_write_string(sheet, 0, c, sheets[s].columns[c].title, bold);
        }
        worksheet_freeze_panes(sheet, 1, 0);
        xlsx->rows[s] = 1;
    }
    *ret_xlsx = xlsx;
    return 0;
}

static void write_cell(lxw_worksheet *sheet, lxw_row_t row, lxw_col_t column, struct json_object *value)
{
    size_t len = 0;
    const char *text = json_str(value, &len);
    if (value == NULL)
        return;
    if (text == NULL && json_is_bool(value)) {
        worksheet_write_string(sheet, row, column, json_bool(value, false) ? "yes" : "no", NULL);
    } else if (text == NULL) {
        worksheet_write_number(sheet, row, column, json_double(value, 0), NULL);
    } else if (len <= CELL_BYTES_MAX) {
        worksheet_write_string(sheet, row, column, text, NULL);
    } else { /* a cell holds 32,767 characters at most */
        size_t cut = CELL_BYTES_MAX;
        while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
            cut--;
        char *shorter = xasprintf("%.*s…", (int)cut, text);
        worksheet_write_string(sheet, row, column, shorter, NULL);
        free(shorter);
    }
}

static int add_row(struct xlsx *xlsx, size_t s, struct json_object *item, struct galloc_error *error)
{
    if (xlsx->rows[s] >= SHEET_ROWS_MAX)
        return galloc_fail(error, GALLOC_TOO_LARGE, "the sheet \"%s\" is full at %d rows: take --format csv", sheets[s].name, SHEET_ROWS_MAX);
    for (lxw_col_t c = 0; sheets[s].columns[c].title != NULL; c++) {
        struct json_object *value = json_at(item, sheets[s].columns[c].path);
        if (strcmp(sheets[s].columns[c].path, COST_PATH) == 0 && json_is_i64(value)) /* as an amount */
            worksheet_write_number(xlsx->sheets[s], xlsx->rows[s], c, (double)json_i64(value, 0) / 1e6, NULL);
        else
            write_cell(xlsx->sheets[s], xlsx->rows[s], c, value);
    }
    xlsx->rows[s]++;
    return 0;
}

int xlsx_add_result(struct xlsx *xlsx, struct json_object *row, struct galloc_error *error)
{
    return add_row(xlsx, strcmp(json_get_str(row, "state", "succeeded"), "succeeded") == 0 ? 0 : 1, row, error);
}

void xlsx_add_loads(struct xlsx *xlsx, struct json_object *items)
{
    for (size_t i = 0; i < json_array_len(items); i++)
        if (add_row(xlsx, 2, json_array_at(items, i), NULL) < 0)
            return;
}

int xlsx_close(struct xlsx *xlsx, struct galloc_error *error)
{
    for (size_t s = 0; s < SHEETS; s++) {
        lxw_col_t last = 0;
        while (sheets[s].columns[last + 1].title != NULL)
            last++;
        if (xlsx->rows[s] > 1)
            worksheet_autofilter(xlsx->sheets[s], 0, 0, xlsx->rows[s] - 1, last);
    }
    lxw_error status = workbook_close(xlsx->book);
    free(xlsx);
    return status == LXW_NO_ERROR ? 0 : galloc_fail(error, GALLOC_LOCAL_IO, "the workbook could not be written: %s", lxw_strerror(status));
}
