/* What stands under /v1, /v1beta and /v1beta1: generateContent, countTokens, models, the same under Vertex AI's paths,
 * and chat/completions. A call is read, judged, answered. See server.h. */
#include "sim/server.h"

#include "base/clock.h"
#include "base/json_out.h"

struct target {
    enum call_route route;
    struct text_span model;
    bool is_chat;   /* OpenAI's wire: the model stands in the body */
    bool is_google; /* Gemini's own endpoint for that wire, whose errors are its own, in an array */
    bool has_token; /* takes a bearer token, not a key */
};

static bool starts(struct text_span span, const char *word)
{
    return span.len >= strlen(word) && memcmp(span.at, word, strlen(word)) == 0;
}

static bool ends(struct text_span span, const char *word)
{
    return span.len >= strlen(word) && memcmp(span.at + span.len - strlen(word), word, strlen(word)) == 0;
}

static bool is_path(struct text_span span, const char *path)
{
    return span.len == strlen(path) && starts(span, path);
}

/* Takes Vertex AI's "projects/P/locations/L/publishers/google/" off, or the end of it alone, which is its express mode.
 */
static void take_vertex(struct text_span *rest, struct target *target)
{
    static const char publisher[] = "publishers/google/";
    const char *at = memmem(rest->at, rest->len, publisher, sizeof publisher - 1);
    if (at == NULL || (at != rest->at && !starts(*rest, "projects/")))
        return;
    target->has_token = at != rest->at;
    size_t skip = (size_t)(at - rest->at) + sizeof publisher - 1;
    *rest = (struct text_span){rest->at + skip, rest->len - skip};
}

/* "models/NAME:generateContent" or "chat/completions", below the version */
static struct target target_of(enum http_method method, struct text_span path)
{
    struct target target = {.route = ROUTE_OTHER};
    size_t version = (size_t)((const char *)memchr(path.at + 1, '/', path.len - 1) - path.at) + 1;
    struct text_span rest = {path.at + version, path.len - version};
    target.is_google = is_path(rest, "openai/chat/completions");
    if (target.is_google || is_path(rest, "chat/completions")) {
        target.is_chat = target.has_token = true;
        target.route = method == METHOD_POST ? ROUTE_GENERATE : ROUTE_OTHER;
        return target;
    }
    take_vertex(&rest, &target);
    if (rest.len == 6 && starts(rest, "models")) {
        target.route = method == METHOD_GET ? ROUTE_MODELS : ROUTE_OTHER;
        return target;
    }
    if (!starts(rest, "models/"))
        return target;
    target.model = (struct text_span){rest.at + 7, rest.len - 7};
    static const struct {
        const char *tail;
        enum http_method method;
        enum call_route route;
    } rows[] = {{":generateContent", METHOD_POST, ROUTE_GENERATE},
                {":countTokens", METHOD_POST, ROUTE_COUNT_TOKENS},
                {"", METHOD_GET, ROUTE_MODEL}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].method == method && ends(target.model, rows[i].tail)) {
            target.route = rows[i].route;
            target.model.len -= strlen(rows[i].tail);
            break;
        }
    if (target.model.len > 100 || memchr(target.model.at, '/', target.model.len) != NULL)
        target.model.len = 0;
    return target;
}

/* Only what the real API binds may stand in the query, and no key. */
static bool check_query(struct text_span query, struct request_fault *fault)
{
    static const char *const known[] = {"alt",    "pageSize", "pageToken",   "prettyPrint",
                                        "fields", "$alt",     "$prettyPrint"};
    while (query.len > 0) {
        const char *end = memchr(query.at, '&', query.len);
        size_t len = end ? (size_t)(end - query.at) : query.len;
        const char *equals = memchr(query.at, '=', len);
        struct walk_string name = {.at = query.at, .len = equals ? (size_t)(equals - query.at) : len};
        bool is_known = len == 0;
        for (size_t i = 0; i < ARRAY_COUNT(known); i++)
            is_known |= walk_equals(name, known[i]);
        if (walk_equals(name, "key")) {
            snprintf(fault->message, sizeof fault->message,
                     "gallocsim refuses a key in the URL, where it gets into logs: send the header x-goog-api-key.");
            return false;
        }
        if (!is_known) {
            snprintf(fault->message, sizeof fault->message,
                     "Invalid JSON payload received. Unknown name \"%.*s\": Cannot bind query parameter. Field '%.*s' "
                     "could not be found in "
                     "request message.",
                     (int)min_i64((int64_t)name.len, 80), name.at, (int)min_i64((int64_t)name.len, 80), name.at);
            return false;
        }
        query.at += end ? len + 1 : len;
        query.len -= end ? len + 1 : len;
    }
    return true;
}

static bool check_credentials(const struct http_head *head, struct request_fault *fault)
{
    if (head->key_headers > 1 || (head->key_headers > 0 && head->has_authorization)) {
        snprintf(fault->message, sizeof fault->message, "Request has multiple authentication credentials: send one.");
        return false;
    }
    return true;
}

/* Reads the body of a POST. False: `fault` tells why it is refused. */
static bool read_body(struct server *server, struct target *target, const struct http_head *head, const char *body,
                      struct request_fault *fault)
{
    struct sim_request *request = &server->request;
    int64_t enum_max = server->settings.schema_enum_max;
    bool is_well = target->is_chat ? openai_request_read(body, head->body_bytes, enum_max, request, fault)
                                   : request_read(body, head->body_bytes, target->route == ROUTE_COUNT_TOKENS, enum_max,
                                                  request, fault);
    if (target->is_chat && request->model.at != NULL)
        target->model = (struct text_span){request->model.at, request->model.len};
    if (!is_well)
        return false;
    double tokens = answer_tokens(&server->settings, request);
    if (tokens > (double)server->settings.input_token_limit) {
        snprintf(fault->message, sizeof fault->message,
                 "The input token count (%.0f) exceeds the maximum number of tokens allowed (%lld).", tokens,
                 (long long)server->settings.input_token_limit);
        return false;
    }
    return true;
}

static void model_to_json(struct json_out *json, struct text_span name, int64_t input_limit)
{
    static const char methods[] = "[\"generateContent\",\"countTokens\"]";
    struct buf full = BUF_EMPTY;
    buf_add_str(&full, "models/");
    buf_add(&full, name.at, name.len);
    json_out_begin(json, '{');
    json_out_member_str(json, "name", buf_text(&full));
    json_out_member_str(json, "version", "sim");
    json_out_name(json, "displayName");
    json_out_text(json, name.at, name.len);
    json_out_member_int(json, "inputTokenLimit", input_limit);
    json_out_member_int(json, "outputTokenLimit", 65536);
    json_out_name(json, "supportedGenerationMethods");
    json_out_raw(json, methods, sizeof methods - 1);
    json_out_end(json, '}');
    buf_clear(&full);
}

static void answer_models(struct server *server, const struct target *target, struct buf *out)
{
    struct buf *body = &server->maker.body;
    struct json_out json = JSON_OUT(body);
    buf_reset(body);
    if (target->route == ROUTE_MODEL) {
        model_to_json(&json, target->model, server->settings.input_token_limit);
    } else {
        json_out_begin(&json, '{');
        json_out_name(&json, "models");
        json_out_begin(&json, '[');
        for (const char *at = server->settings.models; *at != '\0';) {
            size_t len = strcspn(at, ",");
            model_to_json(&json, (struct text_span){at, len}, server->settings.input_token_limit);
            at += len + (at[len] == ',');
        }
        json_out_end(&json, ']');
        json_out_end(&json, '}');
    }
    answer_json(&server->maker, 200, body, out);
}

static void answer_count(struct server *server, struct buf *out)
{
    struct buf *body = &server->maker.body;
    struct json_out json = JSON_OUT(body);
    buf_reset(body);
    json_out_begin(&json, '{');
    json_out_member_int(&json, "totalTokens", (int64_t)answer_tokens(&server->settings, &server->request));
    json_out_end(&json, '}');
    answer_json(&server->maker, 200, body, out);
}

/* An error in its wire's words; what stands before an API, a gateway's page or a redirect, is the same for all. Its
 * HTTP status. */
static int build_error(struct server *server, const struct target *target, const struct verdict *verdict,
                       const struct request_fault *fault, struct buf *out)
{
    const struct kind_row *row = &kind_rows[verdict->kind];
    bool is_api = row->rpc_status[0] != '\0' && verdict->kind != KIND_ARRAY_429;
    server->maker.has_errors_in_array = target->is_google;
    if (target->is_chat && !target->is_google && is_api)
        return openai_answer_error(&server->maker, verdict, fault, target->model, out);
    answer_error(&server->maker, verdict, fault, target->model, out);
    return row->status;
}

/* Only what leaves as bytes is built: a connection that hangs or breaks at once needs no answer. Its HTTP status. */
static int build(struct server *server, const struct target *target, const struct verdict *verdict,
                 const struct request_fault *fault, struct buf *out)
{
    const struct kind_row *row = &kind_rows[verdict->kind];
    if (verdict->mode == SEND_RESET || verdict->mode == SEND_NEVER || verdict->mode == SEND_ENDLESS ||
        verdict->mode == SEND_HUGE)
        return row->status;
    if (row->status >= 300)
        return build_error(server, target, verdict, fault, out);
    if (target->is_chat)
        openai_answer(&server->maker, verdict, &server->request, &server->prompt, target->model, out);
    else if (target->route == ROUTE_GENERATE) /* also SEND_NOTHING: the call was processed, and paid */
        answer_generate(&server->maker, verdict, &server->request, &server->prompt, target->model, out);
    else if (target->route == ROUTE_COUNT_TOKENS)
        answer_count(server, out);
    else
        answer_models(server, target, out);
    return row->status;
}

static void not_found(const struct target *target, struct request_fault *fault)
{
    if (fault->message[0] != '\0')
        return;
    if (target->route == ROUTE_OTHER)
        snprintf(fault->message, sizeof fault->message,
                 "Requested entity was not found: gallocsim serves models, generateContent, countTokens and "
                 "chat/completions.");
    else
        snprintf(fault->message, sizeof fault->message,
                 "models/%.*s is not found for API version v1beta, or is not supported for generateContent. Call "
                 "ModelService.ListModels to see "
                 "the list of available models and their supported methods.",
                 (int)target->model.len, target->model.at);
}

static bool is_right_key(const struct settings *settings, struct text_span key)
{
    return key.len > 0 && (settings->api_key[0] == '\0' ||
                           (key.len == strlen(settings->api_key) && memcmp(key.at, settings->api_key, key.len) == 0));
}

void api_handle(struct server *server, const struct http_head *head, const char *body, int64_t connection,
                bool is_reused, struct buf *out, struct reply *ret_reply)
{
    struct target target = target_of(head->method, head->path);
    struct request_fault fault = {.message = ""};
    bool has_body = target.route == ROUTE_GENERATE || target.route == ROUTE_COUNT_TOKENS;
    int64_t now_us = clock_mono_us();
    struct call_facts call = {.route = target.route, .is_reused = is_reused};
    server->prompt.key.at = NULL;
    call.is_valid = (!has_body || read_body(server, &target, head, body, &fault)) && check_query(head->query, &fault) &&
                    check_credentials(head, &fault);
    if (call.is_valid && target.route == ROUTE_GENERATE) {
        prompt_read(&server->prompt, &server->request);
        call.key = server->prompt.key;
    }
    call.tokens = call.is_valid && has_body ? answer_tokens(&server->settings, &server->request) : 1;
    call.is_test =
        call.is_valid && call.key.at == NULL && (target.route != ROUTE_GENERATE || server->prompt.candidate_count == 0);
    call.is_rest = call.is_valid && target.route == ROUTE_GENERATE && server->request.rest.calls > 0;
    call.is_rest_last = call.is_rest && server->request.rest.call >= server->request.rest.calls;
    server->tally.rests += call.is_rest;
    call.has_key = target.has_token ? head->bearer.len > 0 : head->key_headers > 0 || head->has_authorization;
    call.is_key_right = is_right_key(&server->settings, target.has_token ? head->bearer : head->key);
    call.is_model_known =
        target.route == ROUTE_MODELS || settings_list_has(server->settings.models, target.model.at, target.model.len);
    call.arrival = tally_arrive(&server->tally, target.route, call.key, connection, now_us);
    call.now_s = (double)(now_us - server->tally.start_us) / 1e6;
    call.wall_s = (double)clock_wall_ms() / 1000;
    server->tally.calls_on_reused += is_reused;
    struct verdict verdict;
    judge_decide(&server->judge, &call, &verdict);
    if (verdict.kind == KIND_NOT_FOUND)
        not_found(&target, &fault);
    if (verdict.kind == KIND_BAD_KEY && target.has_token && !target.is_chat)
        verdict.kind = KIND_ERROR_401; /* a token that is no longer good */
    int status = build(server, &target, &verdict, &fault, out);
    ret_reply->mode = verdict.mode;
    ret_reply->delay_s = verdict.delay_s;
    ret_reply->is_call = true;
    ret_reply->is_in_service = verdict.is_in_service;
    ret_reply->route = target.route;
    ret_reply->kind = verdict.kind;
    ret_reply->number = call.arrival.number;
    ret_reply->status = status;
}
