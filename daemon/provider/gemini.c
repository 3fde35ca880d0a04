/* The Gemini API's generateContent: what is asked. Only fields that are needed are sent, since an unknown one is refused and newer models give up old
 * ones (no temperature, no thinking settings). The key travels in a header of its own, never in the URL. Vertex AI takes the same body under paths of its own, with
 * an access token. Pure; any thread. Sources: ai.google.dev/api/generate-content; cloud.google.com/vertex-ai/generative-ai/docs/reference/rest. */
#include "base/json_out.h"
#include "core/limits.h"
#include "provider/provider_internal.h"

#define TEST_JSON "\"Answer with the single word OK.\""
#define FLEX_JSON "\"serviceTier\":\"flex\""
#define TEST_OUTPUT_TOKENS 16 /* a thinking model may spend them all: a cut answer shows as well that key, model and service work */

static int check_names(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error)
{
    const char *model = wire->model != NULL ? wire->model : "", *version = wire->api_version != NULL ? wire->api_version : "";

    *ret_setting = PROVIDER_MODEL;
    if (model[0] == '\0')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "model is not set: give its name, for example gemini-3.8-flash");
    if (strlen(model) > LIMIT_NAME_BYTES || !wire_has_only(model, "-._@/") || strstr(model, "..") != NULL || model[0] == '/')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "model must be a name of letters, digits, '-', '_' and '.'");
    *ret_setting = PROVIDER_API_VERSION;
    if (strlen(version) > LIMIT_NAME_BYTES || !wire_has_only(version, "-._/") || strstr(version, "..") != NULL)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "api_version must be like v1 or v1beta");
    return 0;
}

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* A project and its location stand in the path and, for most locations, in the host's name. Both or none: without them it is Vertex AI's express mode. */
static int check_vertex(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error)
{
    bool has_project = is_given(wire->project), has_location = is_given(wire->location);

    *ret_setting = has_project && !has_location ? PROVIDER_PROJECT : PROVIDER_LOCATION;
    if (!wire->is_vertex && (has_project || has_location)) {
        *ret_setting = has_project ? PROVIDER_PROJECT : PROVIDER_LOCATION;
        return galloc_fail(error, GALLOC_INVALID_VALUE, "%s is for Vertex AI: set vertex = yes, or leave it out", has_project ? "project" : "location");
    }
    if (has_project != has_location)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "project and location go together: %s is missing; without both it is the express mode, which takes an API key",
                           has_project ? "location" : "project");
    if (has_project && (strlen(wire->project) > LIMIT_NAME_BYTES || !wire_has_only(wire->project, "-.:"))) {
        *ret_setting = PROVIDER_PROJECT;
        return galloc_fail(error, GALLOC_INVALID_VALUE, "project must be a project's id, like my-project-1");
    }
    if (has_location && (strlen(wire->location) > 63 || !wire_has_only(wire->location, "-")))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "location must be like us-central1, europe-west4, us, eu or global");
    return 0;
}

/* BASE/VERSION/projects/PROJECT/locations/LOCATION/publishers/google/models/MODEL, and in the express mode the same without the first four. */
static void add_vertex_path(const struct provider_wire *wire, struct buf *url)
{
    if (is_given(wire->project))
        buf_add_fmt(url, "/projects/%s/locations/%s", wire->project, wire->location);
    buf_add_str(url, "/publishers/google");
}

/* BASE/VERSION/models/MODEL:generateContent. A model may be written with its "models/"; a tuned one has a collection of its own. */
static void make_url(const struct provider_wire *wire, struct buf *url)
{
    const char *model = wire->model, *version = wire->api_version != NULL ? wire->api_version : "";

    while (*version == '/')
        version++;
    wire_add_base(url, wire->base_url);
    if (*version != '\0') {
        buf_add_char(url, '/');
        buf_add_str(url, version);
        while (url->data[url->len - 1] == '/')
            url->len--;
    }
    if (strncmp(model, "models/", 7) == 0)
        model += 7;
    if (wire->is_vertex)
        add_vertex_path(wire, url);
    buf_add_str(url, strncmp(model, "tunedModels/", 12) == 0 ? "/" : "/models/");
    buf_add_str(url, model);
    buf_add_str(url, ":generateContent");
}

static int check(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error)
{
    enum provider_setting setting = PROVIDER_BASE_URL;
    int rc = wire_check_base(wire->base_url, "https://generativelanguage.googleapis.com", error);
    if (rc == 0)
        rc = check_names(wire, &setting, error);
    if (rc == 0)
        rc = check_vertex(wire, &setting, error);
    if (rc < 0 && ret_setting != NULL)
        *ret_setting = setting;
    return rc;
}

static int begin(const struct provider_wire *wire, enum price_tier tier, struct provider_request *request, struct galloc_error *error)
{
    int rc = check(wire, NULL, error);
    if (rc != 0)
        return rc;
    bool has_token = wire->is_vertex && is_given(wire->project); /* one credential alone: with a key beside it the request is refused */
    *request = (struct provider_request){.method = "POST", .least_timeout_ms = tier_timeout_ms(tier), .secret_header = has_token ? "Authorization: Bearer " : provider_gemini.secret_header};
    make_url(wire, &request->url);
    size_t count = 0;
    request->headers[count++] = "Content-Type: application/json";
    request->headers[count++] = "User-Agent: galloc/" PACKAGE_VERSION;
    if (wire->request_timeout_ms > 0) {
        buf_add_str(&request->header_text, "X-Server-Timeout: ");
        buf_add_i64(&request->header_text, (max_i64(wire->request_timeout_ms, request->least_timeout_ms) + 999) / 1000);
        request->headers[count++] = buf_text(&request->header_text);
    }
    return 0;
}

/* {"parts":[{"text":…}]}, with the role in front where it means something. */
static void add_content(struct json_out *out, const char *role, const char *text_json, size_t len)
{
    json_out_begin(out, '{');
    if (role != NULL)
        json_out_member_str(out, "role", role);
    json_out_name(out, "parts");
    json_out_begin(out, '[');
    json_out_begin(out, '{');
    json_out_name(out, "text");
    json_out_raw(out, text_json, len);
    json_out_end(out, '}');
    json_out_end(out, ']');
    json_out_end(out, '}');
}

static void add_contents(struct json_out *out, const char *text_json, size_t len)
{
    json_out_name(out, "contents");
    json_out_begin(out, '[');
    add_content(out, "user", text_json, len);
    json_out_end(out, ']');
}

/* The rows of the answer: required all, in this order. Types in upper case: this dialect of schema knows no others. */
static const struct {
    const char *name, *type;
    bool is_choice, is_share;
} fields[] = {{"agent_id", "STRING", true, false}, {"reason", "STRING", false, false}, {"confidence", "NUMBER", false, true}};

static void add_field_names(struct json_out *out, const char *name, bool is_pack)
{
    json_out_name(out, name);
    json_out_begin(out, '[');
    if (is_pack)
        json_out_str(out, "id");
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        json_out_str(out, fields[i].name);
    json_out_end(out, ']');
}

/* The candidates are named where the list is short: a long enum is refused as a schema of too many states. */
static void add_properties(struct json_out *out, const char *const *candidates, size_t count, bool is_pack)
{
    json_out_name(out, "properties");
    json_out_begin(out, '{');
    if (is_pack) {
        json_out_name(out, "id");
        json_out_begin(out, '{');
        json_out_member_str(out, "type", "STRING");
        json_out_end(out, '}');
    }
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        json_out_name(out, fields[i].name);
        json_out_begin(out, '{');
        json_out_member_str(out, "type", fields[i].type);
        if (fields[i].is_choice && count > 0 && count <= LIMIT_SCHEMA_ENUM) {
            json_out_name(out, "enum");
            json_out_begin(out, '[');
            for (size_t c = 0; c < count; c++)
                json_out_str(out, candidates[c]);
            json_out_end(out, ']');
        }
        if (fields[i].is_share) {
            json_out_member_int(out, "minimum", 0);
            json_out_member_int(out, "maximum", 1);
        }
        json_out_end(out, '}');
    }
    json_out_end(out, '}');
}

static void add_object(struct json_out *out, const char *const *candidates, size_t count, bool is_pack)
{
    json_out_begin(out, '{');
    json_out_member_str(out, "type", "OBJECT");
    add_properties(out, candidates, count, is_pack);
    add_field_names(out, "required", is_pack);
    add_field_names(out, "propertyOrdering", is_pack);
    json_out_end(out, '}');
}

/* What stands in generationConfig of the answer's shape: a member. */
static void add_choice(const char *const *candidates, size_t count, bool is_pack, struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    json_out_name(&json, "responseSchema");
    if (!is_pack) {
        add_object(&json, candidates, count, false);
        return;
    }
    json_out_begin(&json, '{');
    json_out_member_str(&json, "type", "ARRAY");
    json_out_name(&json, "items");
    add_object(&json, candidates, count, true);
    json_out_end(&json, '}');
}

static void add_schema(const struct schema *schema, struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    json_out_name(&json, "responseJsonSchema");
    schema_write(schema, out);
}

static int build(const struct provider_wire *wire, const struct provider_ask *ask, struct provider_request *ret_request, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(&ret_request->body);
    int rc = begin(wire, ask->tier, ret_request, error);

    if (rc != 0)
        return rc;
    buf_reserve(&ret_request->body, ask->system_json_len + ask->user_json_len + ask->choice_json_len + 320);
    json_out_begin(&out, '{');
    add_contents(&out, ask->user_json, ask->user_json_len);
    if (ask->system_json_len > 0) {
        json_out_name(&out, "systemInstruction");
        add_content(&out, NULL, ask->system_json, ask->system_json_len);
    }
    json_out_name(&out, "generationConfig");
    json_out_begin(&out, '{');
    json_out_member_str(&out, "responseMimeType", "application/json");
    if (ask->choice_json_len > 0)
        json_out_raw(&out, ask->choice_json, ask->choice_json_len);
    if (ask->max_output_tokens > 0)
        json_out_member_int(&out, "maxOutputTokens", ask->max_output_tokens);
    json_out_end(&out, '}');
    if (ask->tier != TIER_STANDARD)
        json_out_member_str(&out, "serviceTier", price_tier_name(ask->tier));
    json_out_end(&out, '}');
    return 0;
}

/* Before the brace that ends the body, so that all else is byte for byte what was asked first. */
static int build_rest(const struct provider_wire *wire, const char *body, size_t body_len, const char *continuation, struct provider_request *ret_request,
                      struct galloc_error *error)
{
    size_t token_len = strlen(continuation);
    bool is_flex = memmem(body, body_len, FLEX_JSON, sizeof FLEX_JSON - 1) != NULL; /* within a text its quotes would be escaped */
    int rc = begin(wire, is_flex ? TIER_FLEX : TIER_STANDARD, ret_request, error);

    if (rc != 0)
        return rc;
    if (body_len < 3 || body[0] != '{' || body[body_len - 1] != '}')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "a request that is no object cannot be continued");
    buf_reserve(&ret_request->body, body_len + token_len + 32);
    buf_add(&ret_request->body, body, body_len - 1);
    buf_add_str(&ret_request->body, ",\"continuationToken\":");
    json_quote(&ret_request->body, continuation, token_len);
    buf_add_char(&ret_request->body, '}');
    return 0;
}

static int build_test(const struct provider_wire *wire, struct provider_request *ret_request, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(&ret_request->body);
    int rc = begin(wire, TIER_STANDARD, ret_request, error);

    if (rc != 0)
        return rc;
    json_out_begin(&out, '{');
    add_contents(&out, TEST_JSON, strlen(TEST_JSON));
    json_out_name(&out, "generationConfig");
    json_out_begin(&out, '{');
    json_out_member_int(&out, "maxOutputTokens", TEST_OUTPUT_TOKENS);
    json_out_end(&out, '}');
    json_out_end(&out, '}');
    return 0;
}

const struct provider_ops provider_gemini = {
    .name = "gemini",
    .secret_header = "x-goog-api-key: ",
    .takes_prompt = true,
    .takes_tiers = true,
    .needs_key = true,
    .check = check,
    .add_choice = add_choice,
    .add_schema = add_schema,
    .build = build,
    .build_rest = build_rest,
    .build_test = build_test,
    .classify = gemini_classify,
};
