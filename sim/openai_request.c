/* The body of a chat completion as OpenAI takes it, read into the same request as Gemini's: texts, the cap, the schema
 * and what it names. Called by api.c through request.h. Pure. */
#include "sim/request.h"

/* ---- messages ---- */

static bool read_part_type(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const types[] = {"text"};
    return read_one_of(reader, types, ARRAY_COUNT(types));
}

static const struct field_rule part_rules[] = {{.name = "type", .read = read_part_type},
                                               {.name = "text", .read = read_part_text}};

/* A text, or a list of parts. */
static bool read_content(struct request_reader *reader, const struct field_rule *rule)
{
    if (walk_peek(&reader->walk) == '"')
        return read_part_text(reader, rule);
    if (!walk_open(&reader->walk, '['))
        return reader_fail(reader, "Invalid type for '%s': expected a string or a list.", reader_place(reader));
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!reader_object(reader, part_rules, ARRAY_COUNT(part_rules)))
            return false;
    return reader->walk.problem == NULL;
}

static bool read_role(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const roles[] = {"system", "developer", "user", "assistant"};
    struct walk source = reader->walk;
    return walk_string(&source, &reader->request->role) && read_one_of(reader, roles, ARRAY_COUNT(roles));
}

static const struct field_rule message_rules[] = {{.name = "role", .read = read_role},
                                                  {.name = "content", .read = read_content},
                                                  {.name = "name", .read = read_text}};

/* The role may come after the text that it is of. */
static bool read_message(struct request_reader *reader)
{
    struct sim_request *request = reader->request;
    size_t first = request->part_count;
    request->role.at = NULL;
    if (!reader_object(reader, message_rules, ARRAY_COUNT(message_rules)))
        return false;
    if (request->role.at == NULL)
        return reader_fail(reader, "Missing required parameter: 'messages[].role'.");
    for (size_t i = first; i < request->part_count; i++)
        request->is_system[i] = walk_equals(request->role, "system") || walk_equals(request->role, "developer");
    request->has_contents = true;
    return true;
}

static bool read_messages(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    if (!walk_open(&reader->walk, '['))
        return reader_fail(reader, "Invalid type for 'messages': expected a list.");
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!read_message(reader))
            return false;
    return reader->walk.problem == NULL;
}

/* ---- response_format ---- */

static bool read_format_type(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const types[] = {"json_schema", "json_object", "text"};
    struct walk source = reader->walk;
    struct walk_string type;
    if (walk_string(&source, &type))
        reader->request->is_json = !walk_equals(type, "text");
    return read_one_of(reader, types, ARRAY_COUNT(types));
}

static const struct field_rule schema_rules[] = {{.name = "name", .read = read_text},
                                                 {.name = "description", .read = read_text},
                                                 {.name = "strict", .read = read_bool},
                                                 {.name = "schema", .read = schema_read_json}};

static bool read_json_schema(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return reader_object(reader, schema_rules, ARRAY_COUNT(schema_rules));
}

static const struct field_rule format_rules[] = {{.name = "type", .read = read_format_type},
                                                 {.name = "json_schema", .read = read_json_schema}};

static bool read_format(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return reader_object(reader, format_rules, ARRAY_COUNT(format_rules));
}

/* ---- the top level ---- */

static bool read_model(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return walk_string(&reader->walk, &reader->request->model);
}

static bool read_tier(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const tiers[] = {"auto", "default", "flex", "priority"};
    return read_one_of(reader, tiers, ARRAY_COUNT(tiers));
}

static bool read_stream(struct request_reader *reader, const struct field_rule *rule)
{
    if (walk_peek(&reader->walk) == 't')
        return reader_fail(reader, "gallocsim does not stream: leave 'stream' out.");
    return read_bool(reader, rule);
}

#define CAP .read = read_number, .low = 1, .high = 128000, .offset = offsetof(struct sim_request, max_output_tokens)

static const struct field_rule top_rules[] = {
    {.name = "model", .read = read_model},
    {.name = "messages", .read = read_messages},
    {.name = "response_format", .read = read_format},
    {.name = "max_completion_tokens", CAP},
    {.name = "max_tokens", CAP},
    {.name = "service_tier", .read = read_tier},
    {.name = "temperature", .read = read_number, .low = 0, .high = 2},
    {.name = "top_p", .read = read_number, .low = 0, .high = 1},
    {.name = "n", .read = read_number, .low = 1, .high = 1},
    {.name = "seed", .read = read_number, .low = -9007199254740992.0, .high = 9007199254740992.0},
    {.name = "presence_penalty", .read = read_number, .low = -2, .high = 2},
    {.name = "frequency_penalty", .read = read_number, .low = -2, .high = 2},
    {.name = "reasoning_effort", .read = read_text},
    {.name = "verbosity", .read = read_text},
    {.name = "stop", .read = read_any},
    {.name = "stream", .read = read_stream},
    {.name = "store", .read = read_bool},
    {.name = "metadata", .read = read_any},
    {.name = "user", .read = read_text},
    {.name = "safety_identifier", .read = read_text},
    {.name = "prompt_cache_key", .read = read_text},
};

bool openai_request_read(const char *body, size_t len, int64_t enum_max, struct sim_request *ret_request,
                         struct request_fault *ret_fault)
{
    struct request_reader reader = reader_begin(body, len, enum_max, ret_request, ret_fault);
    (void)reader_object(&reader, top_rules, ARRAY_COUNT(top_rules));
    if (!reader_end(&reader))
        return false;
    if (ret_request->model.at == NULL)
        return reader_fail(&reader, "you must provide a model parameter");
    if (!ret_request->has_contents)
        return reader_fail(&reader, "Missing required parameter: 'messages'.");
    return true;
}
