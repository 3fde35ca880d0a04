/* See xlsx.h. libxlsxwriter in constant memory: rows of a sheet go out in order. */
#include "cli/xlsx.h"

#include "base/text.h"
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>
#include <xlsxwriter.h>

enum { CELL_BYTES_MAX = 32000, SHEET_ROWS_MAX = 1048576, SHEET_COLUMNS_MAX = 16384, SHEETS = 3, OTHER_WIDTH = 18 };

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
static const struct sheet_column answer_columns[] = { /* behind the answer's own */
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

/* A column of a sheet that is written. */
struct book_column {
    char *title;        /* owned */
    const char *member; /* static: of the row, an object; NULL: `path` leads there from the row itself */
    char *path;         /* owned; with a member the name within it */
};
struct sheet {
    lxw_worksheet *sheet;
    lxw_row_t row; /* next free one */
    const char *name;
    struct book_column *columns; /* owned */
    size_t count, cap;
};
struct xlsx {
    lxw_workbook *book;
    struct sheet sheets[SHEETS];
    size_t count;
};

/* ---- which columns there are ---- */

static int add_name(const char *name, struct json_object *value, void *arg)
{
    struct xlsx_names *names = arg;
    (void)value;
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0)
            return 0;
    names->names = xreallocarray(names->names, names->count + 1, sizeof(char *));
    names->names[names->count++] = xstrdup(name);
    return names->count > SHEET_COLUMNS_MAX; /* too many to be shown, and told so */
}

static void add_names(struct xlsx_names *names, struct json_object *object)
{
    if (json_is_object(object) && names->count <= SHEET_COLUMNS_MAX)
        json_each(object, add_name, names);
}

void xlsx_shape_take_run(struct xlsx_shape *shape, struct json_object *run)
{
    shape->is_question = json_get_bool(run, "question", false);
    add_names(&shape->answers, json_get(json_get(run, "schema"), "properties"));
}

void xlsx_shape_take_row(struct xlsx_shape *shape, struct json_object *row)
{
    add_names(&shape->attributes, json_get(row, "agent"));
    add_names(&shape->inputs, json_get(row, "input"));
}

static void names_clear(struct xlsx_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct xlsx_names){NULL, 0};
}

void xlsx_shape_clear(struct xlsx_shape *shape)
{
    names_clear(&shape->answers);
    names_clear(&shape->attributes);
    names_clear(&shape->inputs);
}

static void add_column(struct sheet *sheet, const char *prefix, const char *title, const char *member, const char *path, double width)
{
    if (sheet->count == sheet->cap) {
        sheet->cap = sheet->cap > 0 ? 2 * sheet->cap : 32;
        sheet->columns = xreallocarray(sheet->columns, sheet->cap, sizeof *sheet->columns);
    }
    char *own = xstrdup(title);
    for (size_t i = 0; i < sheet->count; i++) {
        if (strcmp(sheet->columns[i].title, own) != 0)
            continue;
        char *other = xasprintf("%s%s", prefix, own);
        free(own);
        own = other;
        i = SIZE_MAX; /* looked at from the first again */
    }
    if (sheet->count < SHEET_COLUMNS_MAX)
        worksheet_set_column(sheet->sheet, (lxw_col_t)sheet->count, (lxw_col_t)sheet->count, width, NULL);
    sheet->columns[sheet->count++] = (struct book_column){own, member, xstrdup(path)};
}

static void add_fixed(struct sheet *sheet, const struct sheet_column *columns)
{
    for (; columns->title != NULL; columns++)
        add_column(sheet, "", columns->title, NULL, columns->path, columns->width);
}

static void add_group(struct sheet *sheet, const char *member, const char *prefix, bool always, const struct xlsx_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        char *title = xasprintf("%s%s", always ? prefix : "", names->names[i]);
        add_column(sheet, prefix, title, member, names->names[i], OTHER_WIDTH);
        free(title);
    }
}

/* ---- the book ---- */

static struct sheet *add_sheet(struct xlsx *xlsx, const char *name)
{
    struct sheet *sheet = &xlsx->sheets[xlsx->count++];
    *sheet = (struct sheet){.sheet = workbook_add_worksheet(xlsx->book, name), .name = name, .row = 1};
    return sheet;
}

static void add_sheets(struct xlsx *xlsx, const struct xlsx_shape *shape)
{
    struct sheet *well = add_sheet(xlsx, shape->is_question ? "Answers" : "Allocations");
    struct sheet *failed = add_sheet(xlsx, shape->is_question ? "Not answered" : "Not allocated");
    if (shape->is_question) {
        add_column(well, "", "key", NULL, "key", 20);
        add_group(well, "answer", "answer_", false, &shape->answers);
        for (const struct sheet_column *column = answer_columns; column->title != NULL; column++)
            add_column(well, "row_", column->title, NULL, column->path, column->width); /* an answer may have such a name */
    } else {
        add_fixed(well, allocation_columns);
    }
    add_group(well, "agent", "agent_", true, &shape->attributes);
    add_group(well, "input", "input_", false, &shape->inputs);
    add_fixed(failed, failed_columns);
    add_group(failed, "input", "input_", false, &shape->inputs);
    if (!shape->is_question && !shape->is_part)
        add_fixed(add_sheet(xlsx, "Loads"), load_columns);
}

static void write_titles(struct xlsx *xlsx)
{
    lxw_format *bold = workbook_add_format(xlsx->book);
    format_set_bold(bold);
    for (size_t s = 0; s < xlsx->count; s++) {
        struct sheet *sheet = &xlsx->sheets[s];
        for (size_t c = 0; c < sheet->count; c++)
            worksheet_write_string(sheet->sheet, 0, (lxw_col_t)c, sheet->columns[c].title, bold);
        worksheet_freeze_panes(sheet->sheet, 1, 0);
    }
}

int xlsx_open(const char *path, const struct xlsx_shape *shape, struct xlsx **ret_xlsx, struct galloc_error *error)
{
    lxw_workbook_options options = {.constant_memory = LXW_TRUE};
    struct xlsx *xlsx = xcalloc(1, sizeof *xlsx);
    xlsx->book = workbook_new_opt(path, &options);
    if (xlsx->book == NULL) {
        free(xlsx);
        return galloc_fail(error, GALLOC_LOCAL_IO, "the workbook could not be made");
    }
    add_sheets(xlsx, shape);
    if (xlsx->sheets[0].count > SHEET_COLUMNS_MAX) {
        int rc = galloc_fail(error, GALLOC_TOO_LARGE, "there are more columns than the %d of a sheet: take --format csv", SHEET_COLUMNS_MAX);
        (void)!xlsx_close(xlsx, NULL); /* the first error is told */
        return rc;
    }
    write_titles(xlsx);
    *ret_xlsx = xlsx;
    return 0;
}

/* A cell holds 32,767 characters at most. */
static void write_text(lxw_worksheet *sheet, lxw_row_t row, lxw_col_t column, const char *text, size_t len)
{
    if (len <= CELL_BYTES_MAX) {
        worksheet_write_string(sheet, row, column, text, NULL);
        return;
    }
    char *shorter = xasprintf("%.*s…", (int)text_utf8_span(text, CELL_BYTES_MAX), text);
    worksheet_write_string(sheet, row, column, shorter, NULL);
    free(shorter);
}

static void write_cell(lxw_worksheet *sheet, lxw_row_t row, lxw_col_t column, struct json_object *value)
{
    size_t len = 0;
    const char *text = json_str(value, &len);
    if (value == NULL)
        return;
    if (json_is_object(value) || json_is_array(value)) {
        struct buf json = BUF_EMPTY;
        json_to_text(value, &json);
        write_text(sheet, row, column, json.data, json.len);
        buf_clear(&json);
    } else if (text == NULL && json_is_bool(value)) {
        worksheet_write_string(sheet, row, column, json_bool(value, false) ? "yes" : "no", NULL);
    } else if (text == NULL) {
        worksheet_write_number(sheet, row, column, json_double(value, 0), NULL);
    } else {
        write_text(sheet, row, column, text, len);
    }
}

static int add_row(struct sheet *sheet, struct json_object *item, struct galloc_error *error)
{
    if (sheet->row >= SHEET_ROWS_MAX)
        return galloc_fail(error, GALLOC_TOO_LARGE, "the sheet \"%s\" is full at %d rows: take --format csv", sheet->name, SHEET_ROWS_MAX);
    for (size_t c = 0; c < sheet->count; c++) {
        const struct book_column *column = &sheet->columns[c];
        bool is_own = column->member == NULL;
        struct json_object *value = is_own ? json_at(item, column->path) : json_get(json_get(item, column->member), column->path);
        if (is_own && strcmp(column->path, COST_PATH) == 0 && json_is_i64(value)) /* as an amount */
            worksheet_write_number(sheet->sheet, sheet->row, (lxw_col_t)c, (double)json_i64(value, 0) / 1e6, NULL);
        else
            write_cell(sheet->sheet, sheet->row, (lxw_col_t)c, value);
    }
    sheet->row++;
    return 0;
}

int xlsx_add_result(struct xlsx *xlsx, struct json_object *row, struct galloc_error *error)
{
    return add_row(&xlsx->sheets[strcmp(json_get_str(row, "state", "succeeded"), "succeeded") == 0 ? 0 : 1], row, error);
}

void xlsx_add_loads(struct xlsx *xlsx, struct json_object *items)
{
    for (size_t i = 0; xlsx->count == SHEETS && i < json_array_len(items); i++)
        if (add_row(&xlsx->sheets[SHEETS - 1], json_array_at(items, i), NULL) < 0)
            return;
}

int xlsx_close(struct xlsx *xlsx, struct galloc_error *error)
{
    for (size_t s = 0; s < xlsx->count; s++) {
        struct sheet *sheet = &xlsx->sheets[s];
        if (sheet->row > 1 && sheet->count > 0)
            worksheet_autofilter(sheet->sheet, 0, 0, sheet->row - 1, (lxw_col_t)(sheet->count - 1));
        for (size_t c = 0; c < sheet->count; c++) {
            free(sheet->columns[c].title);
            free(sheet->columns[c].path);
        }
        free(sheet->columns);
    }
    lxw_error status = workbook_close(xlsx->book);
    free(xlsx);
    return status == LXW_NO_ERROR ? 0 : galloc_fail(error, GALLOC_LOCAL_IO, "the workbook could not be written: %s", lxw_strerror(status));
}
