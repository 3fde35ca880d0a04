/* See out.h: lists as tables, CSV or JSON. The items are kept as spans of the daemon's text, so that JSON goes out as it came. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/hint.h"
#include "cli/out.h"

#include <assert.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16 };

struct json_object *json_at(struct json_object *value, const char *path)
{
    char name[64];
    while (value != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        value = json_get(value, name);
        path += len + (path[len] == '.');
    }
    return value;
}

static void show_number(struct buf *out, double value)
{
    if (value >= 100 || value == floor(value))
        show_count(out, (int64_t)llround(value));
    else
        buf_add_fmt(out, "%.2f", value);
}

/* A cell for people. */
static void show_cell(struct buf *out, enum cell_kind kind, struct json_object *value)
{
    const char *text = json_str(value, NULL);
    if (value == NULL) {
        buf_add_str(out, kind == CELL_LIMIT ? "no limit" : kind == CELL_MONEY ? "unknown" : "-");
        return;
    }
    switch (kind) {
    case CELL_COUNT:
    case CELL_LIMIT: show_count(out, json_i64(value, 0)); return;
    case CELL_TIME: show_time(out, text); return;
    case CELL_MS: show_ms(out, json_i64(value, 0)); return;
    case CELL_SECONDS: show_seconds(out, json_i64(value, 0)); return;
    case CELL_PERCENT: show_percent(out, json_double(value, 0)); return;
    case CELL_NUMBER: show_number(out, json_double(value, 0)); return;
    case CELL_MONEY:
        if (json_is_i64(json_get(value, "micros")))
            show_money(out, value);
        else
            buf_add_str(out, "unknown");
        return;
    case CELL_MICROS: show_micros(out, NULL, json_i64(value, 0)); return;
    case CELL_YES: buf_add_str(out, json_is_bool(value) ? (json_bool(value, false) ? "yes" : "no") : "-"); return;
    case CELL_STATE:
        buf_add_str(out, text != NULL && strcmp(text, "succeeded") == 0 ? "allocated" : text ? text : "-");
        return;
    case CELL_COMMAND: {
        char *named = hint_named(xstrdup(text != NULL ? text : "-"));
        text_escape(out, named, strlen(named));
        free(named);
        return;
    }
    case CELL_ENDPOINT_STATE:
    case CELL_TEXT: break;
    }
    struct buf plain = BUF_EMPTY;
    if (text == NULL) {
        json_to_text(value, &plain);
        text = buf_text(&plain);
    }
    text_escape(out, text, strlen(text));
    buf_clear(&plain);
}

static struct libscols_table *new_table(const struct cli *cli, const struct column *columns, size_t column_count)
{
    struct libscols_table *table = scols_new_table();
    if (table == NULL)
        abort();
    scols_table_enable_noencoding(table, 1); /* cells come escaped */
    scols_table_enable_colors(table, cli->has_color);
    if (!cli->is_stdout_terminal)
        scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
    for (size_t c = 0; c < column_count; c++) {
        bool is_number = columns[c].kind == CELL_COUNT || columns[c].kind == CELL_MS || columns[c].kind == CELL_PERCENT ||
                         columns[c].kind == CELL_NUMBER || columns[c].kind == CELL_LIMIT || columns[c].kind == CELL_SECONDS ||
                         columns[c].kind == CELL_MONEY || columns[c].kind == CELL_MICROS;
        int flags = (is_number ? SCOLS_FL_RIGHT : 0) | (columns[c].may_be_cut && cli->is_stdout_terminal ? SCOLS_FL_TRUNC : 0);
        scols_table_new_column(table, columns[c].title, columns[c].may_be_cut ? 0.2 : 1, flags);
    }
    return table;
}

/* It is used, and does not answer well: what people want to see at once. */
const char *endpoint_state(struct json_object *endpoint)
{
    const char *state = json_get_str(endpoint, "state", "?"), *breaker = json_get_str(json_get(endpoint, "pacer"), "breaker", "closed");
    return strcmp(state, "up") == 0 && strcmp(breaker, "closed") != 0 ? "failing" : state;
}

/* Also notes which columns have something to show. */
static void add_row(struct libscols_table *table, const struct column *columns, size_t column_count, struct json_object *item, bool *ret_has_value)
{
    struct libscols_line *line = scols_table_new_line(table, NULL);
    struct buf cell = BUF_EMPTY;
    for (size_t c = 0; c < column_count && line != NULL; c++) {
        buf_reset(&cell);
        if (columns[c].kind == CELL_ENDPOINT_STATE)
            buf_add_str(&cell, endpoint_state(item));
        else
            show_cell(&cell, columns[c].kind, json_at(item, columns[c].path));
        scols_line_set_data(line, c, buf_text(&cell));
        ret_has_value[c] |= strcmp(buf_text(&cell), "-") != 0 && cell.len > 0;
    }
    buf_clear(&cell);
}

/* A value as CSV and scripts have it: strings as they are, the rest as JSON writes it, null as nothing. */
static void csv_add_value(struct buf *line, struct json_object *value)
{
    size_t len = 0;
    struct buf plain = BUF_EMPTY;
    const char *text = json_str(value, &len);
    if (text == NULL && value != NULL) {
        json_to_text(value, &plain);
        text = buf_text(&plain);
        len = plain.len;
    }
    if (text != NULL)
        csv_add_cell(line, text, len);
    buf_clear(&plain);
}

static void add_csv_name(struct buf *out, const char *path)
{
    for (; *path != '\0'; path++)
        buf_add_char(out, *path == '.' ? '_' : *path);
}

static void csv_add_header(struct buf *out, const struct column *columns, size_t column_count)
{
    for (size_t c = 0; c < column_count; c++) {
        if (c > 0)
            buf_add_char(out, ',');
        add_csv_name(out, columns[c].path);
        if (columns[c].kind == CELL_MONEY) { /* two columns: a number, and what it counts */
            buf_add_str(out, "_micros,");
            add_csv_name(out, columns[c].path);
            buf_add_str(out, "_currency");
        }
    }
    buf_add_str(out, "\r\n");
}

static void csv_add_item(struct buf *out, const struct column *columns, size_t column_count, struct json_object *item)
{
    for (size_t c = 0; c < column_count; c++) {
        if (c > 0)
            buf_add_char(out, ',');
        struct json_object *value = json_at(item, columns[c].path);
        if (columns[c].kind == CELL_MONEY) {
            csv_add_value(out, json_get(value, "micros"));
            buf_add_char(out, ',');
            value = json_get(value, "currency");
        }
        csv_add_value(out, value);
    }
    buf_add_str(out, "\r\n");
}

/* A list being printed, page by page. Tables wait for the end, so that widths fit. */
struct listing {
    const struct cli *cli;
    const struct column *columns;
    size_t column_count;
    const char *quiet;
    struct libscols_table *table;
    struct buf json;
    int64_t item_count;
    bool has_value[COLUMNS_MAX]; /* in some row */
};

static void begin(struct listing *listing)
{
    struct buf header = BUF_EMPTY;
    if (listing->quiet != NULL)
        return;
    switch (listing->cli->format) {
    case FORMAT_TABLE: listing->table = new_table(listing->cli, listing->columns, listing->column_count); break;
    case FORMAT_JSON: buf_add_str(&listing->json, "{\"items\":["); break;
    case FORMAT_CSV:
        csv_add_header(&header, listing->columns, listing->column_count);
        out_bytes(listing->cli, header.data, header.len);
        buf_clear(&header);
        break;
    case FORMAT_NDJSON:
    case FORMAT_XLSX: break;
    }
}

static void add_item(struct listing *listing, struct json_span span)
{
    struct json_object *item = NULL;
    struct buf line = BUF_EMPTY;
    listing->item_count++;
    if (listing->quiet == NULL && listing->cli->format == FORMAT_JSON) {
        if (listing->item_count > 1)
            buf_add_char(&listing->json, ',');
        buf_add(&listing->json, span.at, span.len);
        return;
    }
    if (listing->quiet == NULL && listing->cli->format == FORMAT_NDJSON) {
        out_json(listing->cli, span.at, span.len);
        return;
    }
    if (json_parse(span.at, span.len, &item, NULL) < 0)
        return; /* it was checked with its answer */
    if (listing->quiet != NULL) {
        out_line("%s", json_get_str(item, listing->quiet, ""));
    } else if (listing->table != NULL) {
        add_row(listing->table, listing->columns, listing->column_count, item, listing->has_value);
    } else {
        csv_add_item(&line, listing->columns, listing->column_count, item);
        out_bytes(listing->cli, line.data, line.len);
        buf_clear(&line);
    }
    json_free(item);
}

static void end(struct listing *listing)
{
    if (listing->table != NULL) {
        for (size_t c = 0; listing->cli->is_stdout_terminal && c < listing->column_count; c++)
            if (!listing->has_value[c]) /* a terminal is narrow: what says nothing leaves its room to the rest */
                scols_column_set_flags(scols_table_get_column(listing->table, c), SCOLS_FL_HIDDEN);
        if (listing->item_count > 0)
            scols_print_table(listing->table);
        scols_unref_table(listing->table);
    }
    if (listing->quiet == NULL && listing->cli->format == FORMAT_JSON) {
        buf_add_str(&listing->json, "],\"next\":null}");
        out_json(listing->cli, listing->json.data, listing->json.len);
    }
    buf_clear(&listing->json);
}

/* Adds at most `most` items of an answer. */
static void add_items(struct listing *listing, const struct buf *body, int64_t most)
{
    struct json_span whole = {buf_text(body), body->len}, name, value;
    for (const char *at = NULL; json_next(whole, &at, &name, &value);) {
        if (!json_span_equals(name, "items"))
            continue;
        struct json_span none, item;
        for (const char *inner = NULL; most > 0 && json_next(value, &inner, &none, &item); most--)
            add_item(listing, item);
    }
}

void out_items(const struct cli *cli, const struct column *columns, size_t column_count, const struct buf *body)
{
    if (cli->format == FORMAT_JSON) {
        out_json(cli, buf_text(body), body->len);
        return;
    }
    assert(column_count <= COLUMNS_MAX);
    struct listing listing = {.cli = cli, .columns = columns, .column_count = column_count, .json = BUF_EMPTY};
    begin(&listing);
    add_items(&listing, body, INT64_MAX);
    end(&listing);
}

int out_pages(struct cli *cli, const char *path, int64_t limit, const struct column *columns, size_t column_count, const char *quiet,
              int64_t *ret_count)
{
    enum { PAGE = 500 };
    assert(column_count <= COLUMNS_MAX);
    struct listing listing = {.cli = cli, .columns = columns, .column_count = column_count, .json = BUF_EMPTY, .quiet = cli->is_quiet ? quiet : NULL};
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *cursor = NULL;
    int rc = 0;
    bool has_begun = false, has_more = true;
    while (rc == 0 && has_more && listing.item_count < limit) {
        char *encoded = cursor ? client_segment(cursor) : NULL;
        rc = client_get(cli->client, &response, &error, "%s%climit=%" PRId64 "%s%s", path, strchr(path, '?') ? '&' : '?',
                        min_i64(limit - listing.item_count, PAGE), encoded ? "&cursor=" : "", encoded ? encoded : "");
        free(encoded);
        if (rc < 0)
            break;
        if (!has_begun)
            begin(&listing);
        has_begun = true;
        add_items(&listing, &response.body, limit - listing.item_count);
        free(cursor);
        cursor = xstrdup(json_get_str(response.json, "next", NULL));
        has_more = cursor != NULL;
    }
    if (has_begun)
        end(&listing);
    if (rc == 0 && has_more && cli->format == FORMAT_TABLE)
        say(cli, "(more: --limit N)");
    *ret_count = listing.item_count;
    free(cursor);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}
