/* Answers held against a schema; see schema.h. The values are spans of the answer's text: nothing is copied, and numbers are said as the model wrote them. */
#include "core/schema_inside.h"

#include "base/parse.h"
#include "base/text.h"
#include "core/answer.h"
#include "core/limits.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define SHOWN_BYTES 80      /* of a value in a message */
#define CHOICES_SHOWN 8     /* of an enum */
#define PATH_BYTES_MAX 300  /* of where in the answer, in a message */

/* Where in the answer it is. */
struct checker {
    struct buf path; /* "answer.items[2].amount" */
    struct galloc_error *error;
};

static int check(struct checker *checker, const struct schema_node *node, struct json_span value);

static int fail(struct checker *checker, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int fail(struct checker *checker, const char *fmt, ...)
{
    char problem[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(problem, sizeof problem, fmt, args);
    va_end(args);
    return galloc_fail(checker->error, GALLOC_INVALID_INPUT, "%.*s: %s", PATH_BYTES_MAX, buf_text(&checker->path), problem);
}

/* A value as it is shown: cut where it is long, at a whole character. */
struct shown {
    char text[SHOWN_BYTES + 8];
};

static struct shown show(struct json_span value)
{
    struct shown shown;
    bool is_cut = value.len > SHOWN_BYTES;
    size_t len = is_cut ? text_utf8_span(value.at, SHOWN_BYTES) : value.len;
    snprintf(shown.text, sizeof shown.text, "%.*s%s", (int)len, value.at, is_cut ? "…" : "");
    return shown;
}

static unsigned types_of(struct json_span value)
{
    switch (json_span_kind(value)) {
    case JSON_NULL:
        return TYPE_BIT(TYPE_NULL);
    case JSON_BOOL:
        return TYPE_BIT(TYPE_BOOLEAN);
    case JSON_INTEGER:
        return TYPE_BIT(TYPE_INTEGER) | TYPE_BIT(TYPE_NUMBER);
    case JSON_NUMBER: { /* 1.0 is an integer too */
        double number = json_span_number(value, NAN);
        return TYPE_BIT(TYPE_NUMBER) | (isfinite(number) && number == floor(number) ? TYPE_BIT(TYPE_INTEGER) : 0);
    }
    case JSON_STRING:
        return TYPE_BIT(TYPE_STRING);
    case JSON_ARRAY:
        return TYPE_BIT(TYPE_ARRAY);
    case JSON_OBJECT:
        return TYPE_BIT(TYPE_OBJECT);
    }
    return 0;
}

static int check_type(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    if (node->types == 0 || (node->types & types_of(value)) != 0)
        return 0;
    struct buf names = BUF_EMPTY;
    for (int type = 0; type < TYPE_COUNT; type++)
        if (node->types & TYPE_BIT(type))
            buf_add_fmt(&names, "%s%s", names.len ? " or " : "", schema_type_names[type]);
    int rc = fail(checker, "%s is not of the type %s", show(value).text, buf_text(&names));
    buf_clear(&names);
    return rc;
}

static bool is_same(struct json_span a, struct json_span b)
{
    enum json_kind kind_a = json_span_kind(a), kind_b = json_span_kind(b);
    bool is_number = kind_a == JSON_INTEGER || kind_a == JSON_NUMBER;
    if (is_number && (kind_b == JSON_INTEGER || kind_b == JSON_NUMBER))
        return json_span_number(a, NAN) == json_span_number(b, NAN);
    if (kind_a != kind_b)
        return false;
    if (kind_a != JSON_STRING)
        return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
    struct buf x = BUF_EMPTY, y = BUF_EMPTY;
    json_span_string(a, &x);
    json_span_string(b, &y);
    bool is_equal = x.len == y.len && memcmp(buf_text(&x), buf_text(&y), x.len) == 0;
    buf_clear(&x);
    buf_clear(&y);
    return is_equal;
}

static int check_choices(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    struct buf list = BUF_EMPTY;
    size_t count = 0;
    if (node->choices.at == NULL)
        return 0;
    for (const char *at = NULL; json_next(node->choices, &at, &name, &item); count++) {
        if (is_same(item, value)) {
            buf_clear(&list);
            return 0;
        }
        if (count <= CHOICES_SHOWN)
            buf_add_fmt(&list, "%s%s", count ? ", " : "", count < CHOICES_SHOWN ? show(item).text : "…");
    }
    int rc = fail(checker, "%s is none of %s", show(value).text, buf_text(&list));
    buf_clear(&list);
    return rc;
}

static int check_range(struct checker *checker, struct json_span value, const struct schema_bound *low, const struct schema_bound *high)
{
    double number = json_span_number(value, NAN);
    if (low->text.at != NULL && !(number >= low->value))
        return fail(checker, "%s is less than the minimum %s", show(value).text, show(low->text).text);
    if (high->text.at != NULL && !(number <= high->value))
        return fail(checker, "%s is more than the maximum %s", show(value).text, show(high->text).text);
    return 0;
}

static int check_count(struct checker *checker, size_t count, const char *noun, const struct schema_bound *low, const struct schema_bound *high)
{
    if (low->text.at != NULL && (double)count < low->value)
        return fail(checker, "it has %s, fewer than %s", text_counted((int64_t)count, noun).text, show(low->text).text);
    if (high->text.at != NULL && (double)count > high->value)
        return fail(checker, "it has %s, more than %s", text_counted((int64_t)count, noun).text, show(high->text).text);
    return 0;
}

/* RFC 3339 to the letter, where parse_time_ms() is made for people: four digits, two and two, and a T before a time. */
static bool has_format(enum schema_format format, const struct buf *text)
{
    static const char date[] = "dddd-dd-dd";
    const char *at = buf_text(text);
    int64_t ignored;
    for (size_t i = 0; i < strlen(date); i++)
        if (i >= text->len || (date[i] == 'd' ? at[i] < '0' || at[i] > '9' : at[i] != date[i]))
            return false;
    bool is_shaped = format == FORMAT_DATE ? text->len == strlen(date) : at[strlen(date)] == 'T' && strlen(at) == text->len;
    return is_shaped && parse_time_ms(at, &ignored, NULL) == 0;
}

static int check_text(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    struct buf text = BUF_EMPTY;
    size_t count = 0;
    int rc = 0;
    if (node->min_length.text.at == NULL && node->max_length.text.at == NULL && node->format == FORMAT_NONE)
        return 0;
    json_span_string(value, &text);
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    rc = check_count(checker, count, "character", &node->min_length, &node->max_length);
    if (rc == 0 && node->format != FORMAT_NONE && !has_format(node->format, &text))
        rc = fail(checker, "%s is not %s", show(value).text, node->format == FORMAT_DATE ? "a date such as 2026-12-31" : "a time such as 2026-12-31T08:00:00Z");
    buf_clear(&text);
    return rc;
}

static int check_items(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    size_t count = 0, before = checker->path.len;
    int rc = 0;
    for (const char *at = NULL; rc == 0 && json_next(value, &at, &name, &item); count++) {
        if (node->items == NULL)
            continue;
        buf_add_fmt(&checker->path, "[%zu]", count);
        rc = check(checker, node->items, item);
        checker->path.len = before;
        checker->path.data[before] = '\0';
    }
    return rc < 0 ? rc : check_count(checker, count, "item", &node->min_items, &node->max_items);
}

static const struct schema_property *property_of(const struct schema_node *node, struct json_span name, size_t *ret_index)
{
    for (*ret_index = 0; *ret_index < node->property_count; ++*ret_index)
        if (json_span_equals(name, node->properties[*ret_index].name))
            return &node->properties[*ret_index];
    return NULL;
}

static int check_member(struct checker *checker, const struct schema_property *property, struct json_span value)
{
    size_t before = checker->path.len;
    buf_add_char(&checker->path, '.');
    buf_add_str(&checker->path, property->name);
    int rc = check(checker, property->node, value);
    checker->path.len = before;
    checker->path.data[before] = '\0';
    return rc;
}

static int check_members(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    struct json_span name, member;
    bool has[LIMIT_SCHEMA_PROPERTIES] = {false};
    int rc = 0;
    for (const char *at = NULL; rc == 0 && json_next(value, &at, &name, &member);) {
        size_t index;
        const struct schema_property *property = property_of(node, name, &index);
        if (property != NULL) {
            has[index] = true;
            rc = check_member(checker, property, member);
        } else if (node->forbids_more) {
            rc = fail(checker, "it has %s, which the schema does not name", show(name).text);
        }
    }
    for (size_t i = 0; rc == 0 && i < node->property_count; i++)
        if (node->properties[i].is_required && !has[i])
            rc = fail(checker, "\"%s\" is missing", node->properties[i].name);
    return rc;
}

static int check_any(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    struct galloc_error first = {.message = ""}, other, *error = checker->error;
    bool fits = node->any_count == 0;
    for (size_t i = 0; i < node->any_count && !fits; i++) {
        checker->error = i == 0 ? &first : &other;
        fits = check(checker, node->any_of[i], value) == 0;
    }
    checker->error = error;
    if (fits)
        return 0;
    return fail(checker, "it is like none of the %zu that are allowed (%.200s)", node->any_count, first.message);
}

static int check(struct checker *checker, const struct schema_node *node, struct json_span value)
{
    enum json_kind kind = json_span_kind(value);
    if (kind == JSON_NULL && node->is_nullable)
        return 0;
    int rc = check_type(checker, node, value);
    if (rc == 0)
        rc = check_choices(checker, node, value);
    if (rc == 0 && (kind == JSON_INTEGER || kind == JSON_NUMBER))
        rc = check_range(checker, value, &node->minimum, &node->maximum);
    if (rc == 0 && kind == JSON_STRING)
        rc = check_text(checker, node, value);
    if (rc == 0 && kind == JSON_ARRAY)
        rc = check_items(checker, node, value);
    if (rc == 0 && kind == JSON_OBJECT)
        rc = check_members(checker, node, value);
    return rc < 0 ? rc : check_any(checker, node, value);
}

int schema_check(const struct schema *schema, struct json_span answer, struct galloc_error *error)
{
    struct checker checker = {.path = BUF_EMPTY, .error = error};
    buf_add_str(&checker.path, "answer");
    int rc = check(&checker, schema->root, answer);
    buf_clear(&checker.path);
    return rc;
}

int schema_answer_read(const struct schema *schema, const char *text, size_t len, struct buf *out, struct galloc_error *error)
{
    answer_unwrap(&text, &len);
    if (len == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is empty");
    if (json_check_within(text, len, JSON_FIELDS_DEPTH_MAX, error) < 0) {
        if (error != NULL)
            error->code = GALLOC_INVALID_INPUT;
        return -GALLOC_INVALID_INPUT;
    }
    int rc = schema_check(schema, (struct json_span){text, len}, error);
    if (rc < 0)
        return rc;
    size_t before = out->len;
    json_compact((struct json_span){text, len}, out);
    if (out->len - before <= LIMIT_KEPT_ANSWER_BYTES)
        return 0;
    size_t bytes = out->len - before;
    out->len = before;
    out->data[before] = '\0';
    return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer has %s bytes; the most is %s", text_count((int64_t)bytes).text, text_count(LIMIT_KEPT_ANSWER_BYTES).text);
}
