/* See schema.h. A keyword is a row with the function that reads its value; the tree keeps spans of the schema's own text, so that messages say numbers as the
 * schema has them. */
#include "core/schema_inside.h"

#include "base/text.h"
#include "core/limits.h"

#include <math.h>
#include <string.h>

const char *const schema_type_names[TYPE_COUNT] = {"string", "number", "integer", "boolean", "array", "object", "null"};

/* A schema being read: where, and how much so far. */
struct reader {
    struct galloc_error *error;
    struct buf pointer; /* of the node */
    size_t node_count;
    unsigned depth;
};

static int read_node(struct reader *reader, struct json_span text, struct schema_node **ret_node);

static int fail(struct reader *reader, const char *problem)
{
    if (reader->pointer.len == 0)
        return galloc_fail(reader->error, GALLOC_INVALID_INPUT, "%s", problem);
    return galloc_fail(reader->error, GALLOC_INVALID_INPUT, "at %.200s: %s", buf_text(&reader->pointer), problem);
}

/* A problem that names something. Frees `problem`. */
static int fail_with(struct reader *reader, char *problem)
{
    int rc = fail(reader, problem);
    free(problem);
    return rc;
}

/* Goes into a member (RFC 6901: ~0 and ~1); returns what leave() takes. */
static size_t enter(struct reader *reader, const char *name)
{
    size_t before = reader->pointer.len;
    buf_add_char(&reader->pointer, '/');
    for (; *name != '\0'; name++) {
        if (*name == '~' || *name == '/')
            buf_add_str(&reader->pointer, *name == '~' ? "~0" : "~1");
        else
            buf_add_char(&reader->pointer, *name);
    }
    return before;
}

static void leave(struct reader *reader, size_t before)
{
    reader->pointer.len = before;
    reader->pointer.data[before] = '\0';
}

static char *decoded(struct json_span text)
{
    struct buf out = BUF_EMPTY;
    json_span_string(text, &out);
    return buf_take(&out);
}

/* ---- keywords. Each gets the value and fills the node; the pointer names the keyword. ---- */

static int add_type(struct reader *reader, struct schema_node *node, struct json_span value)
{
    char *name = json_span_kind(value) == JSON_STRING ? decoded(value) : NULL;
    for (int type = 0; name != NULL && type < TYPE_COUNT; type++) {
        if (strcmp(name, schema_type_names[type]) == 0) {
            node->types |= TYPE_BIT(type);
            free(name);
            return 0;
        }
    }
    const char *nearest = name != NULL ? text_nearest(name, schema_type_names, TYPE_COUNT) : NULL;
    int rc = fail_with(reader, xasprintf("\"%.60s\" is no type%s%s%s (string, number, integer, boolean, array, object, null)", name != NULL ? name : "",
                                         nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : ""));
    free(name);
    return rc;
}

static int read_type(struct reader *reader, struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    int rc = 0;
    if (json_span_kind(value) != JSON_ARRAY)
        return add_type(reader, node, value);
    for (const char *at = NULL; rc == 0 && json_next(value, &at, &name, &item);)
        rc = add_type(reader, node, item);
    return rc == 0 && node->types == 0 ? fail(reader, "the list of types is empty") : rc;
}

static int read_properties(struct reader *reader, struct schema_node *node, struct json_span value)
{
    struct json_span name, text;
    int rc = 0;
    if (json_span_kind(value) != JSON_OBJECT)
        return fail(reader, "has to be an object: a schema for each property");
    for (const char *at = NULL; rc == 0 && json_next(value, &at, &name, &text);) {
        if (node->property_count == LIMIT_SCHEMA_PROPERTIES)
            return fail_with(reader, xasprintf("more than %d properties", LIMIT_SCHEMA_PROPERTIES));
        if ((node->property_count & (node->property_count - 1)) == 0) /* full at every power of two */
            node->properties = xreallocarray(node->properties, node->property_count ? 2 * node->property_count : 1, sizeof *node->properties);
        struct schema_property *property = &node->properties[node->property_count++];
        const char *why = NULL;
        *property = (struct schema_property){.name = decoded(name)};
        size_t before = enter(reader, property->name);
        if (!text_is_key(property->name, strlen(property->name), &why) || strlen(property->name) > LIMIT_NAME_BYTES || !json_span_equals(name, property->name))
            rc = fail_with(reader, xasprintf("a property's name has 1 to %d bytes without control characters", LIMIT_NAME_BYTES));
        else
            rc = read_node(reader, text, &property->node);
        leave(reader, before);
    }
    return rc;
}

/* Looked up when the node is read to its end: `properties` may stand behind it. */
static int check_required(struct reader *reader, struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    if (json_span_kind(value) != JSON_ARRAY)
        return fail(reader, "has to be a list of properties' names");
    for (const char *at = NULL; json_next(value, &at, &name, &item);) {
        const char *names[LIMIT_SCHEMA_PROPERTIES];
        bool is_found = false;
        for (size_t i = 0; i < node->property_count; i++) {
            names[i] = node->properties[i].name;
            if (json_span_kind(item) == JSON_STRING && json_span_equals(item, names[i]))
                is_found = node->properties[i].is_required = true;
        }
        if (is_found)
            continue;
        char *wanted = json_span_kind(item) == JSON_STRING ? decoded(item) : xstrndup(item.at, item.len);
        const char *nearest = text_nearest(wanted, names, node->property_count);
        int rc = fail_with(reader, xasprintf("there is no property \"%.60s\"%s%s%s", wanted, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : ""));
        free(wanted);
        return rc;
    }
    return 0;
}

static int read_choices(struct reader *reader, struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    size_t count = 0;
    if (json_span_kind(value) != JSON_ARRAY)
        return fail(reader, "has to be a list of values");
    for (const char *at = NULL; json_next(value, &at, &name, &item); count++)
        if (json_span_kind(item) == JSON_OBJECT || json_span_kind(item) == JSON_ARRAY)
            return fail(reader, "holds texts, numbers, true, false and null, no lists or objects");
    if (count == 0 || count > LIMIT_SCHEMA_CHOICES)
        return fail_with(reader, xasprintf("has to have 1 to %d values", LIMIT_SCHEMA_CHOICES));
    node->choices = value;
    return 0;
}

static int read_items(struct reader *reader, struct schema_node *node, struct json_span value)
{
    return read_node(reader, value, &node->items);
}

static int read_any_of(struct reader *reader, struct schema_node *node, struct json_span value)
{
    struct json_span name, item;
    int rc = 0;
    if (json_span_kind(value) != JSON_ARRAY)
        return fail(reader, "has to be a list of schemas");
    for (const char *at = NULL; rc == 0 && json_next(value, &at, &name, &item);) {
        char index[16];
        snprintf(index, sizeof index, "%zu", node->any_count);
        size_t before = enter(reader, index);
        node->any_of = xreallocarray(node->any_of, node->any_count + 1, sizeof(struct schema_node *));
        node->any_of[node->any_count++] = NULL;
        rc = read_node(reader, item, &node->any_of[node->any_count - 1]);
        leave(reader, before);
    }
    return rc == 0 && node->any_count == 0 ? fail(reader, "the list of schemas is empty") : rc;
}

static int read_flag(struct reader *reader, struct json_span value, bool *ret_flag)
{
    if (json_span_kind(value) != JSON_BOOL)
        return fail(reader, "has to be true or false");
    *ret_flag = *value.at == 't';
    return 0;
}

static int read_nullable(struct reader *reader, struct schema_node *node, struct json_span value)
{
    return read_flag(reader, value, &node->is_nullable);
}

static int read_more(struct reader *reader, struct schema_node *node, struct json_span value)
{
    bool may = true;
    int rc = read_flag(reader, value, &may);
    node->forbids_more = !may;
    return rc;
}

static int read_bound(struct reader *reader, struct json_span value, bool is_count, struct schema_bound *ret_bound)
{
    double number = json_span_number(value, NAN);
    if (isnan(number) || isinf(number))
        return fail(reader, "has to be a number");
    if (is_count && (number < 0 || number != floor(number)))
        return fail(reader, "has to be a whole number from 0");
    *ret_bound = (struct schema_bound){value, number};
    return 0;
}

#define BOUND(function, member, is_count)                                                          \
    static int function(struct reader *reader, struct schema_node *node, struct json_span value) \
    {                                                                                              \
        return read_bound(reader, value, is_count, &node->member);                               \
    }
BOUND(read_minimum, minimum, false)
BOUND(read_maximum, maximum, false)
BOUND(read_min_length, min_length, true)
BOUND(read_max_length, max_length, true)
BOUND(read_min_items, min_items, true)
BOUND(read_max_items, max_items, true)
#undef BOUND

static int read_format(struct reader *reader, struct schema_node *node, struct json_span value)
{
    if (json_span_kind(value) == JSON_STRING && json_span_equals(value, "date"))
        node->format = FORMAT_DATE;
    else if (json_span_kind(value) == JSON_STRING && json_span_equals(value, "date-time"))
        node->format = FORMAT_DATE_TIME;
    else
        return fail(reader, "is date or date-time; no other format is checked");
    return 0;
}

/* What is said to the model, and what tells nothing about an answer. */
static int read_words(struct reader *reader, struct schema_node *node, struct json_span value)
{
    (void)node;
    return json_span_kind(value) == JSON_STRING ? 0 : fail(reader, "has to be a text");
}

static int read_order(struct reader *reader, struct schema_node *node, struct json_span value)
{
    (void)node;
    return json_span_kind(value) == JSON_ARRAY ? 0 : fail(reader, "has to be a list of properties' names");
}

/* In the order of the manual. `is_late`: looked at when the others were read. */
static const struct keyword {
    const char *name;
    int (*read)(struct reader *reader, struct schema_node *node, struct json_span value);
    bool is_late;
} keywords[] = {
    {"type", read_type, false},          {"properties", read_properties, false}, {"required", check_required, true},    {"additionalProperties", read_more, false},
    {"enum", read_choices, false},       {"items", read_items, false},           {"minItems", read_min_items, false},   {"maxItems", read_max_items, false},
    {"minimum", read_minimum, false},    {"maximum", read_maximum, false},       {"minLength", read_min_length, false}, {"maxLength", read_max_length, false},
    {"format", read_format, false},      {"anyOf", read_any_of, false},          {"nullable", read_nullable, false},    {"title", read_words, false},
    {"description", read_words, false},  {"propertyOrdering", read_order, false}, {"$schema", read_words, false},
};

static int fail_unknown(struct reader *reader, const char *name)
{
    const char *names[ARRAY_COUNT(keywords)];
    struct buf known = BUF_EMPTY;
    for (size_t i = 0; i < ARRAY_COUNT(keywords); i++) {
        names[i] = keywords[i].name;
        buf_add_fmt(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = text_nearest(name, names, ARRAY_COUNT(names));
    char *problem = nearest != NULL ? xasprintf("the keyword \"%.60s\" is not known; did you mean \"%s\"?", name, nearest)
                                    : xasprintf("the keyword \"%.60s\" cannot be used; those that can are %s", name, buf_text(&known));
    buf_clear(&known);
    return fail_with(reader, problem);
}

static int read_keywords(struct reader *reader, struct schema_node *node, bool is_late)
{
    struct json_span name_text, value;
    int rc = 0;
    for (const char *at = NULL; rc == 0 && json_next(node->text, &at, &name_text, &value);) {
        char *name = decoded(name_text);
        const struct keyword *found = NULL;
        for (size_t i = 0; i < ARRAY_COUNT(keywords) && found == NULL; i++)
            found = strcmp(keywords[i].name, name) == 0 ? &keywords[i] : NULL;
        if (found == NULL)
            rc = fail_unknown(reader, name);
        if (found != NULL && found->is_late == is_late) {
            size_t before = enter(reader, name);
            rc = found->read(reader, node, value);
            leave(reader, before);
        }
        free(name);
    }
    return rc;
}

/* What makes no sense together is a slip of the pen. */
static int check_node(struct reader *reader, const struct schema_node *node)
{
    bool has_bounds = node->minimum.text.at != NULL && node->maximum.text.at != NULL && node->minimum.value > node->maximum.value;
    has_bounds |= node->min_length.text.at != NULL && node->max_length.text.at != NULL && node->min_length.value > node->max_length.value;
    has_bounds |= node->min_items.text.at != NULL && node->max_items.text.at != NULL && node->min_items.value > node->max_items.value;
    if (has_bounds)
        return fail(reader, "the least is more than the most: no answer would fit");
    if (node->types == 0 && node->any_count == 0 && node->choices.at == NULL)
        return fail(reader, "says nothing of what the answer is: give it a \"type\"");
    return 0;
}

static void node_free(struct schema_node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->property_count; i++) {
        free(node->properties[i].name);
        node_free(node->properties[i].node);
    }
    for (size_t i = 0; i < node->any_count; i++)
        node_free(node->any_of[i]);
    node_free(node->items);
    free(node->properties);
    free(node->any_of);
    free(node);
}

static int read_node(struct reader *reader, struct json_span text, struct schema_node **ret_node)
{
    if (json_span_kind(text) != JSON_OBJECT)
        return fail(reader, "a schema is an object, such as {\"type\":\"string\"}");
    if (++reader->node_count > LIMIT_SCHEMA_NODES)
        return fail_with(reader, xasprintf("the schema has more than %d parts", LIMIT_SCHEMA_NODES));
    if (reader->depth == LIMIT_SCHEMA_DEPTH)
        return fail_with(reader, xasprintf("schemas within schemas go %d deep at most", LIMIT_SCHEMA_DEPTH));
    struct schema_node *node = xcalloc(1, sizeof *node);
    node->text = text;
    reader->depth++;
    int rc = read_keywords(reader, node, false);
    if (rc == 0)
        rc = read_keywords(reader, node, true);
    if (rc == 0)
        rc = check_node(reader, node);
    reader->depth--;
    if (rc < 0)
        node_free(node);
    else
        *ret_node = node;
    return rc;
}

static int check_root(struct reader *reader, const struct schema_node *root)
{
    if (root->types != TYPE_BIT(TYPE_OBJECT) || root->is_nullable)
        return fail(reader, "the answer has to be an object: the schema begins with \"type\": \"object\"");
    if (root->property_count == 0)
        return fail(reader, "the answer has no \"properties\": name what is asked for");
    return 0;
}

int schema_parse(const char *text, size_t len, struct schema **ret_schema, struct galloc_error *error)
{
    struct reader reader = {.error = error, .pointer = BUF_EMPTY};
    if (len > LIMIT_SCHEMA_BYTES)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the schema has %s bytes; the most is %s", text_count((int64_t)len).text, text_count(LIMIT_SCHEMA_BYTES).text);
    if (json_check(text, len, error) < 0) {
        if (error != NULL)
            error->code = GALLOC_INVALID_INPUT;
        return -GALLOC_INVALID_INPUT;
    }
    size_t blanks = strspn(text, " \t\r\n");
    struct schema *schema = xcalloc(1, sizeof *schema);
    schema->text = xstrndup(text + blanks, len - blanks);
    buf_reserve(&reader.pointer, 1);
    int rc = read_node(&reader, (struct json_span){schema->text, strlen(schema->text)}, &schema->root);
    if (rc == 0)
        rc = check_root(&reader, schema->root);
    buf_clear(&reader.pointer);
    if (rc < 0) {
        schema_free(schema);
        return rc;
    }
    schema->names = xcalloc(schema->root->property_count, sizeof(char *));
    for (size_t i = 0; i < schema->root->property_count; i++)
        schema->names[i] = schema->root->properties[i].name;
    *ret_schema = schema;
    return 0;
}

void schema_free(struct schema *schema)
{
    if (schema == NULL)
        return;
    node_free(schema->root);
    free(schema->names);
    free(schema->text);
    free(schema);
}

const char *const *schema_properties(const struct schema *schema, size_t *ret_count)
{
    *ret_count = schema->root->property_count;
    return schema->names;
}
