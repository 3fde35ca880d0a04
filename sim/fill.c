/* See fill.h. Both dialects of schema are read, since their types differ in case alone. */
#include "sim/fill.h"

#include <strings.h>

#define SPREAD 1000 /* numbers without an upper bound lie so far from the lower one at most */

static struct json_span member(struct json_span object, const char *wanted)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);)
        if (json_span_equals(name, wanted))
            return value;
    return (struct json_span){NULL, 0};
}

/* A number, also in a string, as proto3 has int64. */
static double number_of(struct json_span object, const char *name, double missing)
{
    struct json_span value = member(object, name);
    if (value.at == NULL)
        return missing;
    if (json_span_kind(value) != JSON_STRING)
        return json_span_number(value, missing);
    return json_span_number((struct json_span){value.at + 1, value.len - 2}, missing);
}

static size_t count_of(struct json_span list)
{
    struct json_span name, item;
    size_t count = 0;
    for (const char *at = NULL; list.at != NULL && json_next(list, &at, &name, &item);)
        count++;
    return count;
}

static struct json_span item_of(struct json_span list, size_t index)
{
    struct json_span name, item = {NULL, 0};
    for (const char *at = NULL; json_next(list, &at, &name, &item);)
        if (index-- == 0)
            break;
    return item;
}

static bool type_is(struct json_span schema, const char *type)
{
    struct json_span value = member(schema, "type");
    if (value.at != NULL && json_span_kind(value) == JSON_ARRAY)
        value = item_of(value, 0); /* the first of several */
    return value.at != NULL && json_span_kind(value) == JSON_STRING && value.len == strlen(type) + 2 && strncasecmp(value.at + 1, type, strlen(type)) == 0;
}

static void fill_object(struct json_span schema, struct chance *chance, struct json_out *out)
{
    struct json_span properties = member(schema, "properties"), name, property;
    json_out_begin(out, '{');
    for (const char *at = NULL; properties.at != NULL && json_next(properties, &at, &name, &property);) {
        struct buf text = BUF_EMPTY;
        json_span_string(name, &text);
        json_out_name(out, buf_text(&text));
        fill_value(property, chance, out);
        buf_clear(&text);
    }
    json_out_end(out, '}');
}

static void fill_array(struct json_span schema, struct chance *chance, struct json_out *out)
{
    struct json_span items = member(schema, "items");
    double low = number_of(schema, "minItems", 0), high = number_of(schema, "maxItems", low + 2);
    int64_t count = (int64_t)low + (int64_t)(chance_next(chance) % (uint64_t)max_i64((int64_t)(fmin(high, low + 2) - low) + 1, 1));
    json_out_begin(out, '[');
    for (int64_t i = 0; i < count; i++) {
        if (items.at != NULL)
            fill_value(items, chance, out);
        else
            json_out_null(out);
    }
    json_out_end(out, ']');
}

static void fill_number(struct json_span schema, bool is_whole, struct chance *chance, struct json_out *out)
{
    double low = number_of(schema, "minimum", fmin(0, number_of(schema, "maximum", 0)));
    double high = number_of(schema, "maximum", low + SPREAD), value = low + (fmin(high, low + SPREAD) - low) * chance_unit(chance);
    if (is_whole)
        json_out_int(out, (int64_t)fmin(ceil(value), floor(high)));
    else
        json_out_ratio(out, fmax(low, floor(value * 100) / 100));
}

static void fill_text(struct json_span schema, struct chance *chance, struct json_out *out)
{
    struct json_span format = member(schema, "format");
    uint64_t bits = chance_next(chance);
    bool is_time = format.at != NULL && json_span_equals(format, "date-time");
    char text[40];
    if (is_time || (format.at != NULL && json_span_equals(format, "date")))
        snprintf(text, sizeof text, "2026-%02d-%02d%s", (int)(bits % 12) + 1, (int)(bits / 12 % 28) + 1, is_time ? "T08:00:00Z" : "");
    else
        snprintf(text, sizeof text, "words %04x", (unsigned)(bits & 0xffff));
    json_out_str(out, text);
}

void fill_value(struct json_span schema, struct chance *chance, struct json_out *out)
{
    struct json_span choices = member(schema, "enum"), any = member(schema, "anyOf");
    size_t count = count_of(choices);
    if (count > 0) {
        struct json_span choice = item_of(choices, chance_next(chance) % count);
        json_out_raw(out, choice.at, choice.len);
    } else if (count_of(any) > 0) {
        fill_value(item_of(any, 0), chance, out);
    } else if (type_is(schema, "object")) {
        fill_object(schema, chance, out);
    } else if (type_is(schema, "array")) {
        fill_array(schema, chance, out);
    } else if (type_is(schema, "integer") || type_is(schema, "number")) {
        fill_number(schema, type_is(schema, "integer"), chance, out);
    } else if (type_is(schema, "boolean")) {
        json_out_bool(out, chance_next(chance) & 1);
    } else if (type_is(schema, "null")) {
        json_out_null(out);
    } else {
        fill_text(schema, chance, out);
    }
}
