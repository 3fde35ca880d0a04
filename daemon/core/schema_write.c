/* A schema as it is told to providers; see schema.h. Walks the source again: what is not named here goes as it came. */
#include "core/schema_inside.h"

#include "base/json_out.h"

#include <string.h>

static void write_node(const struct schema_node *node, struct json_out *out);

static void write_properties(const struct schema_node *node, struct json_out *out)
{
    json_out_begin(out, '{');
    for (size_t i = 0; i < node->property_count; i++) {
        json_out_name(out, node->properties[i].name);
        write_node(node->properties[i].node, out);
    }
    json_out_end(out, '}');
}

static void write_any_of(const struct schema_node *node, struct json_out *out)
{
    json_out_begin(out, '[');
    for (size_t i = 0; i < node->any_count; i++)
        write_node(node->any_of[i], out);
    json_out_end(out, ']');
}

static void write_items(const struct schema_node *node, struct json_out *out)
{
    write_node(node->items, out);
}

/* With null where the node may be null. */
static void write_type(const struct schema_node *node, struct json_out *out)
{
    unsigned types = node->types | (node->is_nullable ? TYPE_BIT(TYPE_NULL) : 0);
    bool is_list = (types & (types - 1)) != 0;
    if (is_list)
        json_out_begin(out, '[');
    for (int type = 0; type < TYPE_COUNT; type++)
        if (types & TYPE_BIT(type))
            json_out_str(out, schema_type_names[type]);
    if (is_list)
        json_out_end(out, ']');
}

static void write_choices(const struct schema_node *node, struct json_out *out)
{
    struct json_span name, item;
    bool has_null = false;
    json_out_begin(out, '[');
    for (const char *at = NULL; json_next(node->choices, &at, &name, &item);) {
        json_out_raw(out, item.at, item.len);
        has_null |= json_span_kind(item) == JSON_NULL;
    }
    if (node->is_nullable && !has_null)
        json_out_null(out);
    json_out_end(out, ']');
}

/* write NULL: it is not told. */
static const struct {
    const char *name;
    void (*write)(const struct schema_node *node, struct json_out *out);
} told[] = {{"type", write_type},   {"properties", write_properties}, {"items", write_items}, {"anyOf", write_any_of}, {"enum", write_choices},
            {"minLength", NULL},    {"maxLength", NULL},              {"nullable", NULL},     {"$schema", NULL}};

static void write_node(const struct schema_node *node, struct json_out *out)
{
    struct json_span name, value;
    json_out_begin(out, '{');
    for (const char *at = NULL; json_next(node->text, &at, &name, &value);) {
        size_t i = 0;
        while (i < ARRAY_COUNT(told) && !json_span_equals(name, told[i].name))
            i++;
        if (i < ARRAY_COUNT(told) && told[i].write == NULL)
            continue;
        struct buf plain = BUF_EMPTY;
        json_span_string(name, &plain);
        json_out_name(out, buf_text(&plain));
        buf_clear(&plain);
        if (i < ARRAY_COUNT(told))
            told[i].write(node, out);
        else
            json_out_raw(out, value.at, value.len);
    }
    json_out_end(out, '}');
}

void schema_write(const struct schema *schema, struct buf *buf)
{
    struct json_out out = JSON_OUT(buf);
    write_node(schema->root, &out);
}
