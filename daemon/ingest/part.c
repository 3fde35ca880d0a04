/* One part of an import, or an append: a line or an element a row. Each is checked once by json_check() and then read by spans of its text, so
 * that what is stored is what came, byte for byte, and nothing is copied. A bad line is rejected with its reason and
 * stops nothing else. On the ingest thread. */
#include "ingest/cut.h"
#include "ingest/ingest.h"

#include "core/limits.h"
#include "core/template.h"

#include "base/json_out.h"
#include "base/json_scan.h"
#include "base/parse.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum member { MEMBER_KEY, MEMBER_FIELDS, MEMBER_ROW, MEMBER_COUNT };
static const char *const member_names[MEMBER_COUNT] = {"key", "fields", "row"};

struct check {
    struct ingest_part *part;
    struct json_out rejected;
    size_t rows_cap;
    struct buf scratch;
    /* the line at hand */
    int64_t line; /* its number among them */
    char *text;
    size_t len;
    struct ingest_row row;
    bool has_key, has_row;
    struct galloc_error why; /* for messages that are put together: cut visibly when too long */
};

/* Rejects the line at hand. `column` may be NULL. Always false, so that a check can end with it. */
static bool reject(struct check *c, const char *column, const char *code, const char *message)
{
    struct json_out *out = &c->rejected;
    json_out_begin(out, '{');
    json_out_member_int(out, "row", c->has_row ? c->row.row : -c->line);
    if (c->has_key) {
        json_out_name(out, "key");
        json_out_text(out, c->row.key.at, c->row.key.len);
    }
    if (column != NULL)
        json_out_member_str(out, "column", column);
    json_out_member_str(out, "code", code);
    json_out_member_str(out, "message", message);
    json_out_end(out, '}');
    c->part->rejected_count++;
    return false;
}

static const char *unit(const struct check *c)
{
    return c->part->form == INGEST_JSON ? "assignment" : "line";
}

/* Why a line is no JSON: the three kinds that people mend in different ways. */
static bool reject_line(struct check *c, const struct galloc_error *error)
{
    size_t valid = text_utf8_span(c->text, c->len);
    if (valid < c->len) {
        galloc_fail(&c->why, GALLOC_INVALID_INPUT,
                    "%s %lld, byte %zu: not UTF-8; convert the file, or name its encoding (--encoding)", unit(c),
                    (long long)c->line, valid + 1);
        return reject(c, NULL, "not_utf8", c->why.message);
    }
    bool is_repeated = strstr(error->message, JSON_REPEATED_NAME) != NULL;
    galloc_fail(&c->why, GALLOC_INVALID_INPUT, "%s %lld: %s", unit(c), (long long)c->line, error->message);
    return reject(c, NULL, is_repeated ? "repeated_member" : "invalid_row", c->why.message);
}

static bool reject_unknown(struct check *c, struct json_span name)
{
    buf_reset(&c->scratch);
    json_span_string(name, &c->scratch);
    const char *nearest = text_nearest(buf_text(&c->scratch), member_names, MEMBER_COUNT);
    struct buf shown = BUF_EMPTY;
    text_escape(&shown, c->scratch.data, c->scratch.len > 80 ? 80 : c->scratch.len);
    galloc_fail(&c->why, GALLOC_INVALID_INPUT, "unknown member \"%s\"%s%s%s; a row has key, fields and row",
                buf_text(&shown), nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    buf_clear(&shown);
    return reject(c, NULL, "invalid_row", c->why.message);
}

/* Decodes a key with escapes in place: it never gets longer. False when an escape is half a surrogate pair, which is no
 * text. */
static bool decode_key(struct check *c, struct json_span value)
{
    buf_reset(&c->scratch);
    json_span_string(value, &c->scratch);
    if (c->scratch.len > 0 && memmem(c->scratch.data, c->scratch.len, "\xef\xbf\xbd", 3) != NULL &&
        memmem(value.at, value.len, "\xef\xbf\xbd", 3) == NULL)
        return false;
    if (c->scratch.len > 0)
        memcpy(c->text + (value.at - c->text) + 1, c->scratch.data, c->scratch.len);
    c->row.key.len = c->scratch.len;
    return true;
}

static bool read_key(struct check *c, struct json_span value)
{
    enum json_kind kind = json_span_kind(value);
    c->row.key.at = value.at;
    c->row.key.len = value.len;
    if (kind == JSON_STRING) {
        c->row.key.at++;
        c->row.key.len -= 2;
        if (memchr(value.at, '\\', value.len) != NULL && !decode_key(c, value))
            return reject(c, "key", "invalid_key", "the key holds half a surrogate pair, which is no character");
    } else if (kind != JSON_INTEGER && !text_is_rounded_number(value.at, value.len)) {
        return reject(c, "key", "invalid_key", "a key is a string, or a whole number without a fraction");
    }
    const char *why = NULL;
    if (!text_is_key(c->row.key.at, c->row.key.len, &why))
        return reject(c, "key", "invalid_key", why);
    c->has_key = true;
    if (text_is_rounded_number(c->row.key.at, c->row.key.len))
        return reject(c, "key", "invalid_key",
                      "a spreadsheet has turned this key into a rounded number and its digits are lost; export the "
                      "file again with the column "
                      "formatted as text");
    return true;
}

static bool read_row_number(struct check *c, struct json_span value)
{
    char digits[24];
    if (json_span_kind(value) == JSON_INTEGER && value.len < sizeof digits) {
        memcpy(digits, value.at, value.len);
        digits[value.len] = '\0';
        c->has_row = parse_i64(digits, 1, INT64_MAX, &c->row.row, NULL) == 0;
    }
    return c->has_row ||
           reject(c, "row", "invalid_row", "\"row\" has to be the row's number in the input, a whole number from 1");
}

/* Finds the three members. False (rejected): the line is no object, or holds another member. */
static bool find_members(struct check *c, struct json_span values[MEMBER_COUNT])
{
    struct json_span object = {c->text, c->len}, name, value;
    if (json_span_kind(object) != JSON_OBJECT)
        return reject(c, NULL, "invalid_row", "a row has to be a JSON object with key, fields and row");
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        int member = 0;
        while (member < MEMBER_COUNT && !json_span_equals(name, member_names[member]))
            member++;
        if (member == MEMBER_COUNT)
            return reject_unknown(c, name);
        values[member] = value;
    }
    return true;
}

/* What the run's template needs of a row, as the input's columns were looked at when the run was made. */
static bool has_columns(struct check *c, struct json_span fields)
{
    const struct template *template = c->part->template;
    struct json_span name, value;
    if (template == NULL || template_fields(template)[0] == NULL)
        return true;
    char **columns = xcalloc(1, sizeof *columns);
    size_t count = 0;
    for (const char *at = NULL; json_next(fields, &at, &name, &value);) {
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        columns = xreallocarray(columns, count + 2, sizeof *columns);
        columns[count++] = xstrdup(buf_text(&text));
        columns[count] = NULL;
        buf_clear(&text);
    }
    int rc = template_check_columns(template, columns, &c->why);
    while (count > 0)
        free(columns[--count]);
    free(columns);
    if (rc == 0)
        return true;
    galloc_prefix(&c->why, "template");
    return reject(c, NULL, "missing_column", c->why.message);
}

static bool check_line(struct check *c)
{
    struct galloc_error error;
    struct json_span values[MEMBER_COUNT] = {{0}};
    if (json_check_within(c->text, c->len, 1 + JSON_FIELDS_DEPTH_MAX, &error) < 0)
        return reject_line(c, &error);
    if (!find_members(c, values))
        return false;
    if (values[MEMBER_ROW].at == NULL && c->part->form != INGEST_PART) {
        c->row.row = c->line;
        c->has_row = true;
    } else if (values[MEMBER_ROW].at == NULL)
        return reject(c, "row", "invalid_row", "\"row\" is missing: the row's number in the input");
    if (!c->has_row && !read_row_number(c, values[MEMBER_ROW])) /* before all else: the other reasons name it */
        return false;
    if (values[MEMBER_KEY].at == NULL)
        return reject(c, "key", "invalid_key", "\"key\" is missing");
    size_t bytes = values[MEMBER_KEY].len + values[MEMBER_FIELDS].len;
    if (!read_key(c, values[MEMBER_KEY]))
        return false;
    if (values[MEMBER_FIELDS].at == NULL || json_span_kind(values[MEMBER_FIELDS]) != JSON_OBJECT)
        return reject(c, "fields", "invalid_row", "\"fields\" has to be an object with the assignment's columns");
    if (bytes > LIMIT_ROW_BYTES) {
        galloc_fail(&c->why, GALLOC_INVALID_INPUT, "the row has %s bytes; the most is %s", text_count((int64_t)bytes).text, text_count(LIMIT_ROW_BYTES).text);
        return reject(c, NULL, "too_large", c->why.message);
    }
    if (!has_columns(c, values[MEMBER_FIELDS]))
        return false;
    c->row.fields.at = values[MEMBER_FIELDS].at;
    c->row.fields.len = values[MEMBER_FIELDS].len;
    digest_of(c->row.fields.at, c->row.fields.len, c->row.sha256);
    return true;
}

static void keep_row(struct check *c)
{
    struct ingest_part *part = c->part;
    if (part->count == c->rows_cap) {
        c->rows_cap = c->rows_cap ? 2 * c->rows_cap : 64;
        part->rows = xreallocarray(part->rows, c->rows_cap, sizeof *part->rows);
    }
    part->rows[part->count++] = c->row;
}

/* Forgets what was found: the part is refused as a whole. */
static void refuse_part(struct check *c)
{
    free(c->part->rows);
    c->part->rows = NULL;
    c->part->count = 0;
    c->part->rejected_count = 0;
    buf_reset(&c->part->rejected);
    c->rejected = JSON_OUT(&c->part->rejected);
    json_out_begin(&c->rejected, '[');
    c->part->code = galloc_fail(&c->part->error, GALLOC_TOO_LARGE,
                                "the part has more than %d rows; send it in smaller ones", LIMIT_PART_ROWS);
}

void ingest_part_check(struct ingest_part *part)
{
    unsigned char sha256[DIGEST_BYTES];
    digest_of(part->text, part->len, sha256);
    digest_hex(sha256, part->sha256);
    struct check c = {.part = part, .rejected = JSON_OUT(&part->rejected)};
    json_out_begin(&c.rejected, '[');
    int64_t row_count = 0;
    struct cut cut;
    part->code = cut_begin(&cut, part->text, part->len, part->form == INGEST_JSON, &part->error);
    while (part->code == 0 && cut_next(&cut, &c.text, &c.len)) {
        c.line = cut.number;
        c.has_key = c.has_row = false;
        c.row = (struct ingest_row){0};
        if (++row_count > LIMIT_PART_ROWS)
            refuse_part(&c);
        else if (check_line(&c))
            keep_row(&c);
    }
    json_out_end(&c.rejected, ']');
    buf_clear(&c.scratch);
}
