/* The chat completions of OpenAI and of the many servers that speak as it does (vLLM, Ollama, llama.cpp, LiteLLM, Gemini's own compatible endpoint): what is asked.
 * Only fields that are needed are sent: neither temperature nor effort, which newer models refuse. What older servers do not know, the name of the answer's cap and
 * the schema, are settings. Pure; any thread. Source: platform.openai.com/docs/api-reference/chat. */
#include "base/json_out.h"
#include "core/limits.h"
#include "provider/provider_internal.h"

#define PATH "/chat/completions"
#define TEST_JSON "\"Answer with the single word OK.\""
#define TEST_OUTPUT_TOKENS 16 /* a thinking model may spend them all: a cut answer shows as well that key, model and service work */

static int check_model(const char *model, struct galloc_error *error)
{
    if (model == NULL || model[0] == '\0')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "model is not set: give its name as the server knows it");
    for (const char *at = model; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "model holds a control character");
    return strlen(model) <= LIMIT_NAME_BYTES ? 0 : galloc_fail(error, GALLOC_INVALID_VALUE, "model must have at most %d bytes", LIMIT_NAME_BYTES);
}

static int check(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error)
{
    enum provider_setting setting = PROVIDER_BASE_URL;
    int rc = wire_check_base(wire->base_url, "https://api.openai.com/v1 or http://127.0.0.1:8000/v1", error);

    if (rc == 0) {
        setting = PROVIDER_MODEL;
        rc = check_model(wire->model, error);
    }
    if (rc < 0 && ret_setting != NULL)
        *ret_setting = setting;
    return rc;
}

/* A base without a path gets /v1, where all of these servers have it; one that has a path is taken at its word, and the whole address may be given too. */
static void make_url(const char *base, struct buf *url)
{
    size_t path_len = sizeof PATH - 1;

    wire_add_base(url, base);
    const char *host = strstr(buf_text(url), "://");
    bool has_path = host != NULL && strchr(host + 3, '/') != NULL;
    if (!has_path)
        buf_add_str(url, "/v1");
    else if (url->len > path_len && memcmp(url->data + url->len - path_len, PATH, path_len) == 0)
        return;
    buf_add_str(url, PATH);
}

static int begin(const struct provider_wire *wire, struct provider_request *request, struct galloc_error *error)
{
    int rc = check(wire, NULL, error);

    if (rc != 0)
        return rc;
    *request = (struct provider_request){.method = "POST",
                                         .headers = {"Content-Type: application/json", "User-Agent: galloc/" PACKAGE_VERSION},
                                         .secret_header = provider_openai.secret_header};
    make_url(wire->base_url, &request->url);
    return 0;
}

static void add_message(struct json_out *out, const char *role, const char *text_json, size_t len)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "role", role);
    json_out_name(out, "content");
    json_out_raw(out, text_json, len);
    json_out_end(out, '}');
}

static void add_token_limit(struct json_out *out, const struct provider_wire *wire, int64_t tokens)
{
    const char *name = wire->token_limit != NULL ? wire->token_limit : "max_completion_tokens";

    if (tokens > 0 && strcmp(name, "none") != 0)
        json_out_member_int(out, name, tokens);
}

/* The rows of the answer: required all, as a strict schema wants it, which knows no bounds of a number in all its versions: what it has to be is said in words. */
static const struct {
    const char *name, *type, *description;
    bool is_choice;
} fields[] = {{"agent_id", "string", NULL, true}, {"reason", "string", NULL, false}, {"confidence", "number", "from 0 to 1", false}};

static void add_properties(struct json_out *out, const char *const *candidates, size_t count, bool is_pack)
{
    json_out_name(out, "properties");
    json_out_begin(out, '{');
    if (is_pack) {
        json_out_name(out, "id");
        json_out_begin(out, '{');
        json_out_member_str(out, "type", "string");
        json_out_end(out, '}');
    }
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        json_out_name(out, fields[i].name);
        json_out_begin(out, '{');
        json_out_member_str(out, "type", fields[i].type);
        if (fields[i].description != NULL)
            json_out_member_str(out, "description", fields[i].description);
        if (fields[i].is_choice && count > 0 && count <= LIMIT_SCHEMA_ENUM) {
            json_out_name(out, "enum");
            json_out_begin(out, '[');
            for (size_t c = 0; c < count; c++)
                json_out_str(out, candidates[c]);
            json_out_end(out, ']');
        }
        json_out_end(out, '}');
    }
    json_out_end(out, '}');
}

static void add_object(struct json_out *out, const char *const *candidates, size_t count, bool is_pack)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "type", "object");
    add_properties(out, candidates, count, is_pack);
    json_out_name(out, "required");
    json_out_begin(out, '[');
    if (is_pack)
        json_out_str(out, "id");
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        json_out_str(out, fields[i].name);
    json_out_end(out, ']');
    json_out_member_bool(out, "additionalProperties", false);
    json_out_end(out, '}');
}

/* A strict schema knows no array as the whole answer: it is the one member of an object. */
static void add_answers(struct json_out *out, const char *const *candidates, size_t count)
{
    static const char head[] = "{\"type\":\"object\",\"required\":[\"answers\"],\"additionalProperties\":false,\"properties\":{\"answers\":{\"type\":\"array\",\"items\":";
    buf_add_str(out->buf, head);
    add_object(out, candidates, count, true);
    buf_add_str(out->buf, "}}}");
}

/* {"name":…,"strict":…, up to the schema itself, and the brace behind it. */
static void begin_schema(struct json_out *out, const char *name, bool is_strict)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "name", name);
    json_out_member_bool(out, "strict", is_strict);
    json_out_name(out, "schema");
}

static void add_choice(const char *const *candidates, size_t count, bool is_pack, struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    begin_schema(&json, "allocation", true);
    if (is_pack)
        add_answers(&json, candidates, count);
    else
        add_object(&json, candidates, count, false);
    json_out_end(&json, '}');
}

/* Not strict: that would want every property required, and knows fewer words than people write. */
static void add_schema(const struct schema *schema, struct buf *out)
{
    struct json_out json = JSON_OUT(out);

    begin_schema(&json, "answer", false);
    schema_write(schema, out);
    json_out_end(&json, '}');
}

/* {"type":"json_schema","json_schema":{"name":…,"strict":…,"schema":…}}; with a format that takes no schema no more than that. */
static void add_format(struct json_out *out, const struct provider_wire *wire, const char *schema, size_t len)
{
    const char *format = wire->answer_format != NULL ? wire->answer_format : "json_schema";
    bool has_schema = strcmp(format, "json_schema") == 0;

    if (strcmp(format, "text") == 0 || (has_schema && len == 0))
        return;
    json_out_name(out, "response_format");
    json_out_begin(out, '{');
    json_out_member_str(out, "type", format);
    if (has_schema) {
        json_out_name(out, "json_schema");
        json_out_raw(out, schema, len);
    }
    json_out_end(out, '}');
}

static int build(const struct provider_wire *wire, const struct provider_ask *ask, struct provider_request *ret_request, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(&ret_request->body);
    int rc = begin(wire, ret_request, error);

    if (rc != 0)
        return rc;
    ret_request->least_timeout_ms = tier_timeout_ms(ask->tier);
    buf_reserve(&ret_request->body, ask->system_json_len + ask->user_json_len + ask->choice_json_len + 320);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "model", wire->model);
    json_out_name(&out, "messages");
    json_out_begin(&out, '[');
    if (ask->system_json_len > 0)
        add_message(&out, "system", ask->system_json, ask->system_json_len);
    add_message(&out, "user", ask->user_json, ask->user_json_len);
    json_out_end(&out, ']');
    add_format(&out, wire, ask->choice_json, ask->choice_json_len);
    add_token_limit(&out, wire, ask->max_output_tokens);
    if (ask->tier != TIER_STANDARD)
        json_out_member_str(&out, "service_tier", price_tier_name(ask->tier));
    json_out_end(&out, '}');
    return 0;
}

static int build_test(const struct provider_wire *wire, struct provider_request *ret_request, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(&ret_request->body);
    int rc = begin(wire, ret_request, error);

    if (rc != 0)
        return rc;
    json_out_begin(&out, '{');
    json_out_member_str(&out, "model", wire->model);
    json_out_name(&out, "messages");
    json_out_begin(&out, '[');
    add_message(&out, "user", TEST_JSON, strlen(TEST_JSON));
    json_out_end(&out, ']');
    add_token_limit(&out, wire, TEST_OUTPUT_TOKENS);
    json_out_end(&out, '}');
    return 0;
}

/* A server of one's own often asks for no key: none is no fault, and one that wants it says so. */
const struct provider_ops provider_openai = {
    .name = "openai",
    .secret_header = "Authorization: Bearer ",
    .takes_prompt = true,
    .takes_tiers = true,
    .check = check,
    .add_choice = add_choice,
    .add_schema = add_schema,
    .build = build,
    .build_test = build_test,
    .classify = openai_classify,
};
