/* The check of responseSchema (the subset of OpenAPI 3 that the API takes: types in upper case, no
 * additionalProperties, no $ref) and of responseJsonSchema (the keywords of JSON Schema that it takes), and what the
 * answer needs of them: which properties, and the candidates that stand as an enum. Called by request.c. */
#include "sim/request.h"

#define SCHEMA_NAMES_MAX 100

/* One level of a schema. */
struct node {
    bool is_json_schema;
    unsigned level; /* 0: the schema itself */
    bool has_type, has_any_of;
    struct walk_string type;
    struct walk_string names[SCHEMA_NAMES_MAX]; /* of its properties */
    size_t name_count;
    struct walk_string required[SCHEMA_NAMES_MAX];
    size_t required_count;
    bool has_items;
    struct json_span values; /* its enum */
    size_t value_count;
};

enum word_value {
    VALUE_ANY,
    VALUE_TYPE,
    VALUE_SCHEMA,
    VALUE_SCHEMAS,
    VALUE_PROPERTIES,
    VALUE_DEFINITIONS,
    VALUE_REQUIRED,
    VALUE_ENUM
};

struct keyword {
    const char *name;
    enum word_value value;
};

static const struct keyword open_api_words[] = {
    {"type", VALUE_TYPE},         {"properties", VALUE_PROPERTIES},
    {"required", VALUE_REQUIRED}, {"enum", VALUE_ENUM},
    {"items", VALUE_SCHEMA},      {"anyOf", VALUE_SCHEMAS},
    {"nullable", VALUE_ANY},      {"format", VALUE_ANY},
    {"title", VALUE_ANY},         {"description", VALUE_ANY},
    {"minItems", VALUE_ANY},      {"maxItems", VALUE_ANY},
    {"minLength", VALUE_ANY},     {"maxLength", VALUE_ANY},
    {"minProperties", VALUE_ANY}, {"maxProperties", VALUE_ANY},
    {"minimum", VALUE_ANY},       {"maximum", VALUE_ANY},
    {"pattern", VALUE_ANY},       {"propertyOrdering", VALUE_ANY},
    {"example", VALUE_ANY},       {"default", VALUE_ANY},
};

static const struct keyword json_schema_words[] = {
    {"type", VALUE_TYPE},
    {"properties", VALUE_PROPERTIES},
    {"required", VALUE_REQUIRED},
    {"enum", VALUE_ENUM},
    {"items", VALUE_SCHEMA},
    {"anyOf", VALUE_SCHEMAS},
    {"oneOf", VALUE_SCHEMAS},
    {"prefixItems", VALUE_SCHEMAS},
    {"$id", VALUE_ANY},
    {"$defs", VALUE_DEFINITIONS},
    {"$ref", VALUE_ANY},
    {"$anchor", VALUE_ANY},
    {"format", VALUE_ANY},
    {"title", VALUE_ANY},
    {"description", VALUE_ANY},
    {"minItems", VALUE_ANY},
    {"maxItems", VALUE_ANY},
    {"minimum", VALUE_ANY},
    {"maximum", VALUE_ANY},
    {"additionalProperties", VALUE_ANY},
    {"propertyOrdering", VALUE_ANY},
};

static const char *const open_api_types[] = {"OBJECT", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "NULL", NULL};
static const char *const json_schema_types[] = {"object",  "string", "number", "integer",
                                                "boolean", "array",  "null",   NULL};

static bool read_node(struct request_reader *reader, bool is_json_schema, unsigned level, struct node *ret_node);

static bool read_type_name(struct request_reader *reader, struct node *node)
{
    const char *const *types = node->is_json_schema ? json_schema_types : open_api_types;
    if (walk_peek(&reader->walk) != '"')
        return reader_fail(reader, "Proto field is not repeating, cannot start list. (%s is one type in upper case)",
                           reader_place(reader));
    if (!walk_string(&reader->walk, &node->type))
        return false;
    node->has_type = true;
    for (int i = 0; types[i] != NULL; i++)
        if (walk_equals(node->type, types[i]))
            return true;
    return reader_fail(reader,
                       "Invalid value at '%s' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), \"%.*s\"",
                       reader_place(reader), (int)min_i64((int64_t)node->type.len, 40), node->type.at);
}

static bool read_type(struct request_reader *reader, struct node *node)
{
    if (!node->is_json_schema || walk_peek(&reader->walk) != '[')
        return read_type_name(reader, node);
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!read_type_name(reader, node))
            return false;
    node->has_type = false; /* several: nothing follows from them */
    return reader->walk.problem == NULL;
}

static bool read_name_list(struct request_reader *reader, struct node *node)
{
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false) {
        if (node->required_count == SCHEMA_NAMES_MAX)
            return reader_fail(reader,
                               "The specified schema produces a constraint that has too many states for serving.");
        if (!walk_string(&reader->walk, &node->required[node->required_count++]))
            return false;
    }
    return reader->walk.problem == NULL;
}

static bool read_values(struct request_reader *reader, struct node *node)
{
    walk_peek(&reader->walk);
    node->values.at = reader->walk.at;
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false, node->value_count++) {
        if (!node->is_json_schema && walk_peek(&reader->walk) != '"')
            return reader_fail(reader, "Invalid value at '%s[%zu]' (TYPE_STRING)", reader_place(reader),
                               node->value_count);
        if (!walk_skip(&reader->walk, NULL))
            return false;
    }
    node->values.len = (size_t)(reader->walk.at - node->values.at);
    if (node->value_count > (size_t)reader->enum_max)
        return reader_fail(
            reader,
            "The specified schema produces a constraint that has too many states for serving. Typical causes of this "
            "error "
            "are schemas with lots of text (for example, very long property or enum names), schemas with long array "
            "length limits, or schemas using complex value matchers.");
    return reader->walk.problem == NULL;
}

/* What the answer needs of a property of the schema itself. */
static void note_property(struct sim_request *request, struct walk_string name, const struct node *property)
{
    bool is_agent = walk_equals(name, "agent_id"), is_camel = walk_equals(name, "agentId");
    request->has_properties = true;
    request->wants_agent_id |= is_agent;
    request->wants_agent_camel |= is_camel;
    request->wants_answers |= walk_equals(name, "answers");
    request->wants_reason |= walk_equals(name, "reason");
    request->wants_confidence |= walk_equals(name, "confidence");
    if ((is_agent || is_camel) && property->value_count > 0) {
        request->agent_enum = property->values;
        request->agent_enum_count = property->value_count;
    }
}

static bool read_properties(struct request_reader *reader, struct node *node, bool is_definitions)
{
    if (!walk_open(&reader->walk, '{'))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, '}', is_first); is_first = false) {
        struct walk_string name;
        struct node property;
        if (!walk_name(&reader->walk, &name))
            return false;
        reader_enter(reader, name.at, name.len);
        if (!read_node(reader, node->is_json_schema, node->level + 1, &property))
            return false;
        reader_leave(reader);
        if (is_definitions)
            continue;
        if (node->name_count == SCHEMA_NAMES_MAX)
            return reader_fail(reader,
                               "The specified schema produces a constraint that has too many states for serving.");
        node->names[node->name_count++] = name;
        if (node->level == 0)
            note_property(reader->request, name, &property);
    }
    return reader->walk.problem == NULL;
}

static bool read_schemas(struct request_reader *reader, struct node *node)
{
    struct node inner;
    node->has_any_of = true;
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!read_node(reader, node->is_json_schema, node->level + 1, &inner))
            return false;
    return reader->walk.problem == NULL;
}

static bool read_keyword(struct request_reader *reader, const struct keyword *word, struct node *node)
{
    struct node inner;
    switch (word->value) {
    case VALUE_TYPE:
        return read_type(reader, node);
    case VALUE_SCHEMA:
        node->has_items = true;
        return read_node(reader, node->is_json_schema, node->level + 1, &inner);
    case VALUE_SCHEMAS:
        return read_schemas(reader, node);
    case VALUE_PROPERTIES:
    case VALUE_DEFINITIONS:
        return read_properties(reader, node, word->value == VALUE_DEFINITIONS);
    case VALUE_REQUIRED:
        return read_name_list(reader, node);
    case VALUE_ENUM:
        return read_values(reader, node);
    case VALUE_ANY:
        break;
    }
    return walk_skip(&reader->walk, NULL);
}

/* What can be told only when the level was read to its end. */
static bool check_node(struct request_reader *reader, const struct node *node)
{
    for (size_t i = 0; i < node->required_count && !node->is_json_schema; i++) {
        size_t k = 0;
        while (k < node->name_count && (node->names[k].len != node->required[i].len ||
                                        memcmp(node->names[k].at, node->required[i].at, node->names[k].len) != 0))
            k++;
        if (k == node->name_count)
            return reader_fail(reader, "* GenerateContentRequest.%s.required[%zu]: property is not defined",
                               reader_place(reader), i);
    }
    if (node->is_json_schema)
        return true;
    if (!node->has_type && !node->has_any_of)
        return reader_fail(reader, "* GenerateContentRequest.%s.type: must be specified", reader_place(reader));
    if (node->has_type && walk_equals(node->type, "OBJECT") && node->name_count == 0)
        return reader_fail(reader, "* GenerateContentRequest.%s.properties: should be non-empty for OBJECT type",
                           reader_place(reader));
    if (node->has_type && walk_equals(node->type, "ARRAY") && !node->has_items)
        return reader_fail(reader, "* GenerateContentRequest.%s.items: missing field.", reader_place(reader));
    return true;
}

static bool read_node(struct request_reader *reader, bool is_json_schema, unsigned level, struct node *ret_node)
{
    const struct keyword *words = is_json_schema ? json_schema_words : open_api_words;
    size_t count = is_json_schema ? ARRAY_COUNT(json_schema_words) : ARRAY_COUNT(open_api_words);
    struct node *node = ret_node;
    node->is_json_schema = is_json_schema;
    node->level = level;
    node->has_type = node->has_any_of = node->has_items = false;
    node->name_count = node->required_count = node->value_count = 0;
    if (!walk_open(&reader->walk, '{'))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, '}', is_first); is_first = false) {
        struct walk_string name;
        if (!walk_name(&reader->walk, &name))
            return false;
        size_t i = 0;
        while (i < count && !walk_is_name(name, words[i].name))
            i++;
        if (i == count)
            return reader_unknown(reader, name);
        reader_enter(reader, words[i].name, strlen(words[i].name));
        if (!read_keyword(reader, &words[i], node))
            return false;
        reader_leave(reader);
    }
    return reader->walk.problem == NULL && check_node(reader, node);
}

static bool read_whole(struct request_reader *reader, bool is_json_schema)
{
    struct node node;
    const char *from = reader->walk.at;
    bool is_well = read_node(reader, is_json_schema, 0, &node);
    if (is_well && node.value_count > 0) { /* the answer is one of these words */
        reader->request->agent_enum = node.values;
        reader->request->agent_enum_count = node.value_count;
    }
    if (is_well) {
        reader->request->schema_bytes = (size_t)(reader->walk.at - from);
        reader->request->schema = (struct json_span){from + strspn(from, " \t\r\n"), reader->request->schema_bytes - strspn(from, " \t\r\n")};
    }
    return is_well;
}

bool schema_read(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    reader->request->has_schema = true;
    return read_whole(reader, false);
}

bool schema_read_json(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    reader->request->has_json_schema = true;
    return read_whole(reader, true);
}
