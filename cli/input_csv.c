/* CSV by libcsv, fed line by line, so that each row's own bytes and its line are known. Cells go straight into the JSON of their
 * row: no row is ever a tree. A row that is too long is skipped to its end as RFC 4180 sees it, and nothing of it is kept. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/input.h"

#include <csv.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 2000, PSTATE_ROW_NOT_BEGUN = 0, PSTATE_FIELD_BEGUN = 2 };

struct csv_input {
    struct source *source;
    const struct input_options *options;
    const struct input_sink *sink;
    struct galloc_error *error;
    struct csv_parser parser;
    struct input_info info;
    struct buf header;
    struct buf *names; /* ,"name": for each column */
    int key_index, order_index;
    bool has_header;

    int64_t line;     /* of the next byte */
    int64_t row_line; /* where the row begins */
    int64_t row_number;
    struct buf raw; /* the beginning of a row that goes on in the next bytes */
    size_t cell_count;
    struct buf key, fields, order; /* fields begins with its brace */
    bool has_order;
    int bad_cell; /* index of the first cell that is not UTF-8, or -1 */
    bool is_row_over;
    bool is_skipping, is_in_quotes; /* within a row that is too long */
};

static int never_space(unsigned char c)
{
    (void)c;
    return 0;
}

static void start_parser(struct csv_input *csv)
{
    if (csv_init(&csv->parser, 0) != 0)
        abort();
    csv_set_delim(&csv->parser, (unsigned char)csv->info.delimiter);
    csv_set_space_func(&csv->parser, never_space); /* blanks belong to the cell */
}

/* A quoted JSON string. False when it is not UTF-8. */
static bool add_quoted(struct buf *out, const char *text, size_t len)
{
    size_t plain = 0;
    while (plain < len && (unsigned char)text[plain] >= 0x20 && (unsigned char)text[plain] < 0x7f && text[plain] != '"' && text[plain] != '\\')
        plain++;
    if (plain == len) {
        char *to = buf_reserve(out, len + 2);
        to[0] = '"';
        memcpy(to + 1, text, len);
        to[len + 1] = '"';
        out->len += len + 2;
        return true;
    }
    if (!text_is_utf8(text + plain, len - plain))
        return false;
    json_quote(out, text, len);
    return true;
}

static void push_column(struct csv_input *csv, const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    size_t n = csv->info.column_count++;
    csv->info.columns = xreallocarray(csv->info.columns, n + 1, sizeof *csv->info.columns);
    csv->info.columns[n] = len > 0 ? xstrndup(text, len) : xasprintf("column_%zu", n + 1);
    csv->names = xreallocarray(csv->names, n + 1, sizeof *csv->names);
    csv->names[n] = BUF_EMPTY;
    buf_add_char(&csv->names[n], ',');
    json_quote(&csv->names[n], csv->info.columns[n], strlen(csv->info.columns[n]));
    buf_add_char(&csv->names[n], ':');
}

static void on_cell(void *cell, size_t len, void *arg)
{
    struct csv_input *csv = arg;
    size_t index = csv->cell_count++;
    const char *text = cell ? cell : "";
    if (!csv->has_header) {
        if (csv->bad_cell < 0 && (!text_is_utf8(text, len) || memchr(text, '\0', len) != NULL))
            csv->bad_cell = (int)index;
        if (index < COLUMNS_MAX)
            push_column(csv, text, len);
        return;
    }
    if (index >= csv->info.column_count)
        return;
    if ((int)index == csv->order_index) {
        buf_add(&csv->order, text, len);
        csv->has_order = true;
    }
    if ((int)index == csv->key_index) {
        buf_add(&csv->key, text, len);
        return;
    }
    const struct buf *name = &csv->names[index];
    size_t skip = csv->fields.len == 1; /* the first one has no comma before it */
    size_t before = csv->fields.len;
    buf_add(&csv->fields, name->data + skip, name->len - skip);
    if (!add_quoted(&csv->fields, text, len)) {
        csv->fields.len = before;
        if (csv->bad_cell < 0)
            csv->bad_cell = (int)index;
    }
}

static void on_row(int end, void *arg)
{
    (void)end;
    struct csv_input *csv = arg;
    csv->is_row_over = true;
}

static void reset_row(struct csv_input *csv)
{
    buf_reset(&csv->raw);
    buf_reset(&csv->key);
    buf_reset(&csv->fields);
    buf_reset(&csv->order);
    csv->has_order = false;
    csv->cell_count = 0;
    csv->bad_cell = -1;
    csv->is_row_over = false;
}

static int take_header(struct csv_input *csv, struct json_span raw)
{
    struct input_info *info = &csv->info;
    const char *name = source_name(csv->source);
    if (csv->bad_cell >= 0)
        return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s: its header is not UTF-8: give --encoding, e.g. windows-1252 or utf-16", name);
    if (csv->cell_count > COLUMNS_MAX)
        return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s: its header has over %d columns", name, COLUMNS_MAX);
    int index = input_choose_key(csv->options, info->columns, info->column_count, name, csv->error);
    if (index < 0)
        return index;
    for (size_t i = 1; i < info->column_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(info->columns[i], info->columns[j]) == 0)
                return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s: the header names the column \"%s\" twice", name, info->columns[i]);
    csv->key_index = index;
    info->key = info->columns[index];
    csv->order_index = csv->options->order ? input_find_column(info->columns, info->column_count, csv->options->order) : -1;
    buf_add(&csv->header, raw.at, raw.len);
    info->header = (struct json_span){buf_text(&csv->header), csv->header.len};
    csv->has_header = true;
    return csv->sink->begin(csv->sink->arg, info, csv->error);
}

static int reject_row(struct csv_input *csv, const char *column, struct json_span raw, const char *reason)
{
    struct input_reject reject = {csv->row_number, csv->row_line, column, reason, raw};
    return csv->sink->reject(csv->sink->arg, &reject, csv->error);
}

static int take_row(struct csv_input *csv, struct json_span raw)
{
    const struct input_info *info = &csv->info;
    csv->row_number++;
    if (csv->bad_cell >= 0)
        return reject_row(csv, info->columns[csv->bad_cell], raw, "not UTF-8 (give --encoding if the file is in another)");
    if (csv->cell_count != info->column_count) {
        char reason[96];
        snprintf(reason, sizeof reason, "ragged: %zu cells, the header has %zu", csv->cell_count, info->column_count);
        return reject_row(csv, NULL, raw, reason);
    }
    const char *problem = input_key_problem(buf_text(&csv->key), csv->key.len);
    if (problem != NULL)
        return reject_row(csv, info->key, raw, problem);
    buf_add_char(&csv->fields, '}');
    struct input_row row = {.number = csv->row_number,
                            .line = csv->row_line,
                            .key = {csv->key.data, csv->key.len},
                            .fields = {csv->fields.data, csv->fields.len},
                            .raw = raw};
    if (csv->has_order)
        row.order = (struct json_span){buf_text(&csv->order), csv->order.len};
    return csv->sink->row(csv->sink->arg, &row, csv->error);
}

/* The row ended with the bytes at `raw`. */
static int end_row(struct csv_input *csv, struct json_span raw)
{
    while (raw.len > 0 && (raw.at[raw.len - 1] == '\n' || raw.at[raw.len - 1] == '\r'))
        raw.len--;
    int rc = csv->has_header ? take_row(csv, raw) : take_header(csv, raw);
    reset_row(csv);
    if (csv->has_header)
        buf_add_char(&csv->fields, '{');
    return rc;
}

static int start_skipping(struct csv_input *csv)
{
    if (!csv->has_header)
        return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s: its first line is over %d KiB: is it a CSV with a header?", source_name(csv->source),
                           INPUT_ROW_BYTES_MAX >> 10);
    csv->is_skipping = true;
    csv->is_in_quotes = false;
    for (size_t i = 0; i < csv->raw.len; i++)
        csv->is_in_quotes ^= csv->raw.data[i] == '"';
    csv_free(&csv->parser);
    start_parser(csv);
    csv->row_number++;
    int rc = reject_row(csv, NULL, (struct json_span){"", 0}, "the row is over 256 KiB (a quote that is never closed?); not kept here");
    reset_row(csv);
    buf_clear(&csv->raw);
    buf_add_char(&csv->fields, '{');
    return rc;
}

/* A piece of a row that is being skipped; `is_whole` when a line end closes it. */
static void skip_piece(struct csv_input *csv, const char *data, size_t len, bool is_whole)
{
    for (const char *at = data; (at = memchr(at, '"', len - (size_t)(at - data))) != NULL; at++)
        csv->is_in_quotes = !csv->is_in_quotes;
    if (is_whole && !csv->is_in_quotes)
        csv->is_skipping = false;
}

/* A piece of input: a line with its end, or what there is of one. */
static int take_piece(struct csv_input *csv, const char *data, size_t len, bool is_whole)
{
    int rc = 0;
    if (csv->is_skipping) {
        skip_piece(csv, data, len, is_whole);
        csv->line += is_whole;
        return 0;
    }
    if (csv->parser.pstate == PSTATE_ROW_NOT_BEGUN && csv->raw.len == 0)
        csv->row_line = csv->line;
    if (csv->raw.len + len > INPUT_ROW_BYTES_MAX) {
        rc = start_skipping(csv);
        skip_piece(csv, data, len, is_whole);
        csv->line += is_whole;
        return rc;
    }
    if (csv_parse(&csv->parser, data, len, on_cell, on_row, csv) != len)
        return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s:%" PRId64 ": %s", source_name(csv->source), csv->line,
                           csv_strerror(csv_error(&csv->parser)));
    csv->line += is_whole;
    if (csv->is_row_over) {
        if (csv->raw.len > 0) {
            buf_add(&csv->raw, data, len);
            data = csv->raw.data;
            len = csv->raw.len;
        }
        return end_row(csv, (struct json_span){data, len});
    }
    if (csv->parser.pstate == PSTATE_ROW_NOT_BEGUN)
        buf_reset(&csv->raw); /* an empty line */
    else
        buf_add(&csv->raw, data, len);
    return 0;
}

static int take_chunk(struct csv_input *csv, const char *data, size_t len, char line_end)
{
    int rc = 0;
    while (rc == 0 && len > 0) {
        const char *end = memchr(data, line_end, len);
        size_t piece = end ? (size_t)(end - data) + 1 : len;
        rc = take_piece(csv, data, piece, end != NULL);
        data += piece;
        len -= piece;
    }
    return rc;
}

static int finish(struct csv_input *csv)
{
    bool is_open_quote = csv->parser.pstate == PSTATE_FIELD_BEGUN && csv->parser.quoted;
    if (csv->is_skipping)
        return 0;
    if (is_open_quote && csv->has_header) {
        csv->row_number++;
        return reject_row(csv, NULL, (struct json_span){buf_text(&csv->raw), csv->raw.len}, "a quote is opened in this row and never closed");
    }
    csv_fini(&csv->parser, on_cell, on_row, csv);
    int rc = csv->is_row_over ? end_row(csv, (struct json_span){buf_text(&csv->raw), csv->raw.len}) : 0;
    if (rc == 0 && !csv->has_header)
        return galloc_fail(csv->error, GALLOC_INVALID_INPUT, "%s has no header", source_name(csv->source));
    return rc;
}

/* The delimiter that stands most often in the first line, outside quotes. */
static char sniff_delimiter(const char *data, size_t len)
{
    static const char candidates[] = {',', ';', '\t', '|'};
    size_t counts[sizeof candidates] = {0}, best = 0;
    bool in_quotes = false;
    for (size_t i = 0; i < len && (in_quotes || (data[i] != '\n' && data[i] != '\r')); i++) {
        in_quotes ^= data[i] == '"';
        for (size_t c = 0; c < sizeof candidates && !in_quotes; c++)
            counts[c] += data[i] == candidates[c];
    }
    for (size_t c = 1; c < sizeof candidates; c++)
        if (counts[c] > counts[best])
            best = c;
    return candidates[best];
}

static void clear(struct csv_input *csv)
{
    csv_free(&csv->parser);
    for (size_t i = 0; i < csv->info.column_count; i++) {
        free(csv->info.columns[i]);
        buf_clear(&csv->names[i]);
    }
    free(csv->info.columns);
    free(csv->names);
    struct buf *bufs[] = {&csv->header, &csv->raw, &csv->key, &csv->fields, &csv->order};
    for (size_t i = 0; i < ARRAY_COUNT(bufs); i++)
        buf_clear(bufs[i]);
}

int input_read_csv(struct source *source, const struct input_options *options, const struct input_sink *sink, struct galloc_error *error)
{
    struct csv_input csv = {.source = source, .options = options, .sink = sink, .error = error, .line = 1, .row_line = 1, .key_index = -1,
                            .order_index = -1, .bad_cell = -1};
    const char *data;
    size_t len;
    int rc = source_peek(source, &data, &len, error);
    if (rc < 0)
        return rc;
    char line_end = memchr(data, '\n', len) == NULL && memchr(data, '\r', len) != NULL ? '\r' : '\n';
    csv.info.format = INPUT_CSV;
    csv.info.delimiter = options->delimiter ? options->delimiter : sniff_delimiter(data, len);
    start_parser(&csv);
    do {
        rc = source_read(source, &data, &len, error);
        if (rc == 0)
            rc = len > 0 ? take_chunk(&csv, data, len, line_end) : finish(&csv);
    } while (rc == 0 && len > 0);
    clear(&csv);
    return rc > 0 ? 0 : rc;
}
