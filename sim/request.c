/* See request.h. Fields are rows; a row names the function that reads its value. */
#include "sim/request.h"

#include <stdarg.h>

const char *reader_place(struct request_reader *reader)
{
    char *place = reader->place;
    size_t at = 0;
    for (size_t i = 0; i < reader->path_count; i++) {
        if (i > 0 && at < 158)
            place[at++] = '.';
        for (size_t k = 0; k < reader->path[i].len && at < 157; k++) {
            unsigned char c = (unsigned char)reader->path[i].at[k];
            if (c >= 'A' && c <= 'Z')
                place[at++] = '_';
            place[at++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c < 0x20 ? '?' : c);
        }
    }
    place[at] = '\0';
    return place;
}

bool reader_fail(struct request_reader *reader, const char *fmt, ...)
{
    if (reader->fault->message[0] == '\0') {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(reader->fault->message, sizeof reader->fault->message, fmt, ap);
        va_end(ap);
        snprintf(reader->fault->field, sizeof reader->fault->field, "%s", reader_place(reader));
    }
    return walk_fail(&reader->walk, "refused");
}

bool reader_unknown(struct request_reader *reader, struct walk_string name)
{
    int len = (int)min_i64((int64_t)name.len, 80);
    const char *place = reader_place(reader);
    bool has_place = place[0] != '\0';
    return reader_fail(reader, "Invalid JSON payload received. Unknown name \"%.*s\"%s%s%s: Cannot find field.", len,
                       name.at, has_place ? " at '" : "", place, has_place ? "'" : "");
}

bool reader_object(struct request_reader *reader, const struct field_rule *rules, size_t count)
{
    uint64_t seen = 0;
    struct walk_string name;
    if (!walk_open(&reader->walk, '{'))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, '}', is_first); is_first = false) {
        if (!walk_name(&reader->walk, &name))
            return false;
        size_t i = 0;
        while (i < count && !walk_is_name(name, rules[i].name))
            i++;
        if (i == count)
            return reader_unknown(reader, name);
        if (seen & UINT64_C(1) << i)
            return reader_fail(reader, "Invalid JSON payload received. \"%s\" is given twice.", rules[i].name);
        seen |= UINT64_C(1) << i;
        if (walk_peek(&reader->walk) == 'n') { /* null is as good as absent */
            if (!walk_skip(&reader->walk, NULL))
                return false;
            continue;
        }
        reader_enter(reader, rules[i].name, strlen(rules[i].name));
        if (!rules[i].read(reader, &rules[i]))
            return false;
        reader_leave(reader);
    }
    return reader->walk.problem == NULL;
}

bool read_any(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return walk_skip(&reader->walk, NULL);
}

bool read_text(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    struct walk_string text;
    if (walk_peek(&reader->walk) != '"')
        return reader_fail(reader, "Invalid value at '%s' (TYPE_STRING)", reader_place(reader));
    return walk_string(&reader->walk, &text);
}

bool read_texts(struct request_reader *reader, const struct field_rule *rule)
{
    if (walk_peek(&reader->walk) != '[')
        return reader_fail(reader, "Invalid value at '%s' (a list of strings is expected)", reader_place(reader));
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!read_text(reader, rule))
            return false;
    return reader->walk.problem == NULL;
}

bool read_bool(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    char c = walk_peek(&reader->walk);
    if (c != 't' && c != 'f')
        return reader_fail(reader, "Invalid value at '%s' (TYPE_BOOL)", reader_place(reader));
    return walk_skip(&reader->walk, NULL);
}

bool read_number(struct request_reader *reader, const struct field_rule *rule)
{
    double number = 0;
    bool is_number = false;
    if (walk_peek(&reader->walk) == '"') {
        struct walk_string text;
        if (!walk_string(&reader->walk, &text))
            return false;
        struct walk inner = walk_of(text.at, text.len);
        is_number = walk_number(&inner, &number) && walk_end(&inner);
    } else if (strchr("{[tf", walk_peek(&reader->walk)) == NULL) {
        is_number = walk_number(&reader->walk, &number);
    }
    if (!is_number)
        return reader_fail(reader, "Invalid value at '%s' (a number is expected)", reader_place(reader));
    if (number < rule->low || number > rule->high)
        return reader_fail(
            reader, "Unable to submit request because %s has a value of %g; the supported range is from %g to %g.",
            rule->name, number, rule->low, rule->high);
    if (rule->offset != 0)
        memcpy((char *)reader->request + rule->offset, &number, sizeof number);
    return true;
}

/* ---- contents ---- */

static bool is_in_system(const struct request_reader *reader)
{
    return reader->path_count > 0 && walk_equals(reader->path[0], "systemInstruction");
}

bool read_part_text(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    struct sim_request *request = reader->request;
    struct walk_string text;
    if (walk_peek(&reader->walk) != '"')
        return reader_fail(reader, "Invalid value at '%s' (TYPE_STRING)", reader_place(reader));
    if (!walk_string(&reader->walk, &text))
        return false;
    if (request->part_count == REQUEST_PARTS_MAX)
        return reader_fail(reader, "more than %d parts", REQUEST_PARTS_MAX);
    request->is_system[request->part_count] = is_in_system(reader);
    request->parts[request->part_count++] = text;
    request->text_bytes += text.len;
    request->said_bytes += walk_decoded_bytes(text);
    return true;
}

static const struct field_rule part_rules[] = {
    {.name = "text", .read = read_part_text},        {.name = "thought", .read = read_bool},
    {.name = "thoughtSignature", .read = read_text}, {.name = "inlineData", .read = read_any},
    {.name = "fileData", .read = read_any},          {.name = "functionCall", .read = read_any},
    {.name = "functionResponse", .read = read_any},  {.name = "partMetadata", .read = read_any},
};

static bool read_parts(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    size_t count = 0;
    bool is_list = walk_peek(&reader->walk) == '[';
    if (!is_list) /* proto3 JSON takes one message for a list of one */
        return reader_object(reader, part_rules, ARRAY_COUNT(part_rules));
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false, count++)
        if (!reader_object(reader, part_rules, ARRAY_COUNT(part_rules)))
            return false;
    if (reader->walk.problem == NULL && count == 0)
        return reader_fail(reader, "* GenerateContentRequest.contents.parts: contents.parts must not be empty.");
    return reader->walk.problem == NULL;
}

static bool read_role(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    struct walk_string role;
    if (!walk_string(&reader->walk, &role))
        return false;
    bool is_known = walk_equals(role, "user") || walk_equals(role, "model") || is_in_system(reader);
    return is_known || reader_fail(reader, "Please use a valid role: user, model.");
}

static const struct field_rule content_rules[] = {{.name = "role", .read = read_role},
                                                  {.name = "parts", .read = read_parts}};

static bool read_content(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return reader_object(reader, content_rules, ARRAY_COUNT(content_rules));
}

static bool read_contents(struct request_reader *reader, const struct field_rule *rule)
{
    reader->request->has_contents = true;
    if (walk_peek(&reader->walk) != '[')
        return read_content(reader, rule);
    size_t count = 0;
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false, count++)
        if (!read_content(reader, rule))
            return false;
    reader->request->has_contents = count > 0;
    return reader->walk.problem == NULL;
}

/* ---- generationConfig ---- */

static bool read_mime_type(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    struct walk_string type;
    if (!walk_string(&reader->walk, &type))
        return false;
    reader->request->is_json = walk_equals(type, "application/json");
    reader->request->is_enum = walk_equals(type, "text/x.enum");
    return reader->request->is_json || reader->request->is_enum || walk_equals(type, "text/plain") ||
           reader_fail(
               reader,
               "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`, "
               "`application/json`, `application/xml`, `application/yaml` and `text/x.enum`.");
}

static bool read_thinking_budget(struct request_reader *reader, const struct field_rule *rule)
{
    reader->request->has_thinking_budget = true;
    return read_number(reader, rule);
}

static bool read_thinking_level(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const levels[] = {"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"};
    struct walk_string level;
    if (!walk_string(&reader->walk, &level))
        return false;
    reader->request->has_thinking_level = true;
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++)
        if (walk_equals(level, levels[i]))
            return true;
    return reader_fail(reader, "Invalid value at '%s', \"%.*s\"", reader_place(reader),
                       (int)min_i64((int64_t)level.len, 80), level.at);
}

static bool read_includes_thoughts(struct request_reader *reader, const struct field_rule *rule)
{
    reader->request->includes_thoughts = walk_peek(&reader->walk) == 't';
    return read_bool(reader, rule);
}

static const struct field_rule thinking_rules[] = {
    {.name = "thinkingBudget", .read = read_thinking_budget, .low = -1, .high = 1e6},
    {.name = "thinkingLevel", .read = read_thinking_level},
    {.name = "includeThoughts", .read = read_includes_thoughts},
};

static bool read_thinking(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    if (!reader_object(reader, thinking_rules, ARRAY_COUNT(thinking_rules)))
        return false;
    if (reader->request->has_thinking_budget && reader->request->has_thinking_level)
        return reader_fail(reader, "You can only set only one of thinking budget and thinking level.");
    return true;
}

static const struct field_rule generation_rules[] = {
    {.name = "temperature", .read = read_number, .low = 0, .high = 2},
    {.name = "topP", .read = read_number, .low = 0, .high = 1},
    {.name = "topK", .read = read_number, .low = 1, .high = 1e6},
    {.name = "candidateCount", .read = read_number, .low = 1, .high = 1},
    {.name = "maxOutputTokens",
     .read = read_number,
     .low = 1,
     .high = 65536,
     .offset = offsetof(struct sim_request, max_output_tokens)},
    {.name = "stopSequences", .read = read_texts},
    {.name = "seed", .read = read_number, .low = -2147483648.0, .high = 2147483647},
    {.name = "responseMimeType", .read = read_mime_type},
    {.name = "responseSchema", .read = schema_read},
    {.name = "responseJsonSchema", .read = schema_read_json},
    {.name = "thinkingConfig", .read = read_thinking},
    {.name = "presencePenalty", .read = read_number, .low = -2, .high = 2},
    {.name = "frequencyPenalty", .read = read_number, .low = -2, .high = 2},
    {.name = "responseLogprobs", .read = read_bool},
    {.name = "logprobs", .read = read_number, .low = 0, .high = 20},
    {.name = "responseModalities", .read = read_texts},
    {.name = "mediaResolution", .read = read_text},
};

static bool read_generation(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    struct sim_request *request = reader->request;
    if (!reader_object(reader, generation_rules, ARRAY_COUNT(generation_rules)))
        return false;
    if (request->has_schema && request->has_json_schema)
        return reader_fail(reader, "* GenerateContentRequest.generation_config: only one of response_schema and "
                                   "response_json_schema can be set.");
    if ((request->has_schema || request->has_json_schema) && !request->is_json && !request->is_enum)
        return reader_fail(
            reader, "* GenerateContentRequest.generation_config.response_schema: response_mime_type must be set to "
                    "`application/json` or `text/x.enum` when a response schema is set.");
    return true;
}

/* ---- the rest of the top level ---- */

bool read_one_of(struct request_reader *reader, const char *const *names, size_t count)
{
    struct walk_string value;
    if (!walk_string(&reader->walk, &value))
        return false;
    for (size_t i = 0; i < count; i++)
        if (walk_equals(value, names[i]))
            return true;
    return reader_fail(reader, "Invalid value at '%s', \"%.*s\"", reader_place(reader),
                       (int)min_i64((int64_t)value.len, 80), value.at);
}

static bool read_category(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const names[] = {"HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH",
                                        "HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_DANGEROUS_CONTENT",
                                        "HARM_CATEGORY_CIVIC_INTEGRITY"};
    return read_one_of(reader, names, ARRAY_COUNT(names));
}

static bool read_threshold(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const names[] = {"OFF", "BLOCK_NONE", "BLOCK_ONLY_HIGH", "BLOCK_MEDIUM_AND_ABOVE",
                                        "BLOCK_LOW_AND_ABOVE"};
    return read_one_of(reader, names, ARRAY_COUNT(names));
}

static bool read_service_tier(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    static const char *const names[] = {"standard", "flex", "priority"};
    return read_one_of(reader, names, ARRAY_COUNT(names));
}

static const struct field_rule safety_rules[] = {{.name = "category", .read = read_category},
                                                 {.name = "threshold", .read = read_threshold}};

static bool read_safety(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    if (!walk_open(&reader->walk, '['))
        return false;
    for (bool is_first = true; walk_next(&reader->walk, ']', is_first); is_first = false)
        if (!reader_object(reader, safety_rules, ARRAY_COUNT(safety_rules)))
            return false;
    return reader->walk.problem == NULL;
}

static bool read_continuation(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    if (walk_peek(&reader->walk) != '"')
        return reader_fail(reader, "Invalid value at '%s' (TYPE_STRING)", reader_place(reader));
    return walk_string(&reader->walk, &reader->request->continuation);
}

static const struct field_rule top_rules[] = {
    {.name = "contents", .read = read_contents},
    {.name = "systemInstruction", .read = read_content},
    {.name = "generationConfig", .read = read_generation},
    {.name = "safetySettings", .read = read_safety},
    {.name = "serviceTier", .read = read_service_tier},
    {.name = "tools", .read = read_any},
    {.name = "toolConfig", .read = read_any},
    {.name = "cachedContent", .read = read_text},
    {.name = "store", .read = read_bool},
    {.name = "labels", .read = read_any},
    {.name = "continuationToken", .read = read_continuation},
    {.name = "model", .read = read_text},
};

static bool read_inner_request(struct request_reader *reader, const struct field_rule *rule)
{
    (void)rule;
    return reader_object(reader, top_rules, ARRAY_COUNT(top_rules));
}

static const struct field_rule count_rules[] = {
    {.name = "contents", .read = read_contents},
    {.name = "generateContentRequest", .read = read_inner_request},
};

struct request_reader reader_begin(const char *body, size_t len, int64_t enum_max, struct sim_request *request,
                                   struct request_fault *fault)
{
    request->part_count = 0; /* the rows of parts beyond it are not looked at, so they need no clearing */
    memset(&request->part_count, 0, sizeof *request - offsetof(struct sim_request, part_count));
    fault->field[0] = fault->message[0] = '\0';
    request->body = body;
    request->body_bytes = len;
    return (struct request_reader){
        .walk = walk_of(body, len), .request = request, .fault = fault, .enum_max = enum_max};
}

bool reader_end(struct request_reader *reader)
{
    if (reader->walk.problem == NULL)
        (void)walk_end(&reader->walk);
    if (reader->walk.problem == NULL)
        return true;
    return reader_fail(reader, "Invalid JSON payload received. %s at byte %td.", reader->walk.problem,
                       reader->walk.at - reader->walk.start);
}

bool request_read(const char *body, size_t len, bool is_count_tokens, int64_t enum_max, struct sim_request *ret_request,
                  struct request_fault *ret_fault)
{
    struct request_reader reader = reader_begin(body, len, enum_max, ret_request, ret_fault);
    const struct field_rule *rules = is_count_tokens ? count_rules : top_rules;
    (void)reader_object(&reader, rules, is_count_tokens ? ARRAY_COUNT(count_rules) : ARRAY_COUNT(top_rules));
    if (!reader_end(&reader))
        return false;
    if (!ret_request->has_contents)
        return reader_fail(&reader, "* GenerateContentRequest.contents: contents is not specified");
    if (ret_request->continuation.at != NULL &&
        !continuation_read(body, len, ret_request->continuation, &ret_request->rest))
        return reader_fail(&reader, "The continuation token is not valid for this request.");
    return true;
}
