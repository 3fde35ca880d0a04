/* Answers and errors as OpenAI words them, and as the servers do that speak as it does. The same texts, quotas and
 * faults as Gemini's: only the wire differs. See answer.h. */
#include "sim/answer.h"

#include "base/clock.h"
#include "base/json_out.h"

#include <math.h>

/* ---- the answer ---- */

/* Why it ended: Gemini's word, and OpenAI's. A word that is not here stays as it is, in small letters. */
static const struct {
    const char *gemini, *openai;
} finishes[] = {{"STOP", "stop"},
                {"MAX_TOKENS", "length"},
                {"SAFETY", "content_filter"},
                {"RECITATION", "recitation"},
                {"DISTRACTED", "distracted"}};

static const char *finish_of(const char *gemini)
{
    for (size_t i = 0; i < ARRAY_COUNT(finishes); i++)
        if (strcmp(finishes[i].gemini, gemini) == 0)
            return finishes[i].openai;
    return "stop";
}

static void part_to_json(struct json_out *json, const char *text, size_t len)
{
    json_out_begin(json, '{');
    json_out_member_str(json, "type", "text");
    json_out_name(json, "text");
    json_out_text(json, text, len);
    json_out_end(json, '}');
}

static void content_to_json(struct json_out *json, const struct buf *text, size_t keep, enum kind kind)
{
    size_t first = keep / 2;
    json_out_name(json, "content");
    if (kind == KIND_SAFETY || kind == KIND_BLOCKED || kind == KIND_NO_TEXT) {
        json_out_null(json);
    } else if (kind == KIND_TWO_PARTS) {
        while (first < keep && ((unsigned char)text->data[first] & 0xc0) == 0x80)
            first++; /* not within a character */
        json_out_begin(json, '[');
        part_to_json(json, text->data, first);
        part_to_json(json, text->data + first, keep - first);
        json_out_end(json, ']');
    } else {
        json_out_text(json, text->data ? text->data : "", keep);
    }
}

static void choice_to_json(struct answer_maker *maker, const struct verdict *verdict, const struct sim_request *request,
                           struct usage *usage, struct json_out *json)
{
    const char *finish;
    size_t keep = answer_cut_text(verdict, request, &maker->text, usage, &finish);
    json_out_begin(json, '{');
    json_out_member_int(json, "index", 0);
    json_out_name(json, "message");
    json_out_begin(json, '{');
    json_out_member_str(json, "role", "assistant");
    content_to_json(json, &maker->text, keep, verdict->kind);
    json_out_member_str(json, "refusal",
                        verdict->kind == KIND_BLOCKED ? "I'm sorry, but I can't help with that." : NULL);
    if (verdict->kind == KIND_THOUGHT_FIRST)
        json_out_member_str(json, "reasoning_content", "The region decides, then the speciality, then the load.");
    json_out_end(json, '}');
    json_out_member_null(json, "logprobs");
    json_out_member_str(json, "finish_reason", finish_of(finish));
    json_out_end(json, '}');
}

static void usage_to_json(struct json_out *json, const struct usage *usage)
{
    json_out_name(json, "usage");
    json_out_begin(json, '{');
    json_out_member_int(json, "prompt_tokens", usage->prompt);
    json_out_member_int(json, "completion_tokens", usage->candidates + usage->thoughts);
    json_out_member_int(json, "total_tokens", usage->prompt + usage->candidates + usage->thoughts);
    json_out_name(json, "prompt_tokens_details");
    json_out_begin(json, '{');
    json_out_member_int(json, "cached_tokens", usage->cached);
    json_out_end(json, '}');
    json_out_name(json, "completion_tokens_details");
    json_out_begin(json, '{');
    json_out_member_int(json, "reasoning_tokens", usage->thoughts);
    json_out_end(json, '}');
    json_out_end(json, '}');
}

static void write_body(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                       const struct prompt_reader *prompt, struct text_span model)
{
    struct usage usage = answer_usage(maker, request, prompt);
    struct json_out json = JSON_OUT(&maker->body);
    char id[32];
    snprintf(id, sizeof id, "chatcmpl-%016llx", (unsigned long long)chance_next(&verdict->chance));
    json_out_begin(&json, '{');
    json_out_member_str(&json, "id", id);
    json_out_member_str(&json, "object", "chat.completion");
    json_out_member_int(&json, "created", clock_wall_ms() / 1000);
    json_out_name(&json, "model");
    json_out_text(&json, model.at, model.len);
    json_out_name(&json, "choices");
    json_out_begin(&json, '[');
    if (verdict->kind != KIND_NO_CANDIDATES)
        choice_to_json(maker, verdict, request, &usage, &json);
    json_out_end(&json, ']');
    if (verdict->kind != KIND_NO_USAGE)
        usage_to_json(&json, &usage);
    json_out_end(&json, '}');
    answer_count_usage(maker, &usage);
}

void openai_answer(struct answer_maker *maker, const struct verdict *verdict, const struct sim_request *request,
                   const struct prompt_reader *prompt, struct text_span model, struct buf *out)
{
    struct verdict mine = *verdict; /* drawing moves its chance on */
    answer_write_text(maker, &mine, request, prompt);
    buf_reset(&maker->body);
    write_body(maker, &mine, request, prompt, model);
    if (mine.kind == KIND_HALF_JSON)
        maker->body.len /= 2;
    answer_head(maker, 200, "application/json", "", maker->body.len, out);
    buf_add(out, maker->body.data, maker->body.len);
}

/* ---- errors ---- */

/* What differs from the kind's own status; all others are a server_error with that. */
static const struct {
    enum kind kind;
    int status;
    const char *type, *code; /* code NULL: null */
} errors[] = {
    {KIND_QUOTA, 429, "requests", "rate_limit_exceeded"},
    {KIND_NO_QUOTA, 429, "insufficient_quota", "insufficient_quota"},
    {KIND_ERROR_402, 429, "insufficient_quota", "insufficient_quota"},
    {KIND_ERROR_429, 429, "requests", NULL},
    {KIND_CAPACITY_429, 429, "server_error", "server_is_overloaded"},
    {KIND_BAD_KEY, 401, "invalid_request_error", "invalid_api_key"},
    {KIND_WRONG_KEY, 401, "invalid_request_error", "invalid_api_key"},
    {KIND_ERROR_401, 401, "invalid_request_error", "invalid_api_key"},
    {KIND_NO_KEY, 401, "invalid_request_error", NULL},
    {KIND_ERROR_403, 403, "invalid_request_error", NULL},
    {KIND_PRECONDITION, 403, "request_forbidden", "unsupported_country_region_territory"},
    {KIND_NOT_FOUND, 404, "invalid_request_error", "model_not_found"},
    {KIND_ERROR_404, 404, "invalid_request_error", "model_not_found"},
    {KIND_INVALID, 400, "invalid_request_error", NULL},
    {KIND_ERROR_400, 400, "invalid_request_error", "context_length_exceeded"},
    {KIND_ERROR_413, 413, "invalid_request_error", NULL},
    {KIND_BUSY, 503, "server_error", "server_is_overloaded"},
};

static bool has_hints(const struct answer_maker *maker)
{
    return maker->settings->hints == HINTS_FULL || maker->settings->hints == HINTS_LIE;
}

static void quota_message(const struct answer_maker *maker, const struct verdict *verdict, struct text_span model,
                          struct buf *message)
{
    const struct quota_plan *plan = verdict->quota.worst;
    long long limit = (long long)answer_told_limit(plan);
    if (!has_hints(maker)) {
        buf_add_str(message, "Too many requests.");
        return;
    }
    buf_add_fmt(message, "Rate limit reached for %.*s on %s per %s (%s%s): Limit %lld, Used %lld, Requested 1. ",
                (int)model.len, model.at, plan->is_tokens ? "tokens" : "requests", plan->is_day ? "day" : "min",
                plan->is_tokens ? "TP" : "RP", plan->is_day ? "D" : "M", limit, limit);
    buf_add_fmt(message, "Please try again in %.3fs.", answer_told_delay_s(maker, verdict));
}

static void error_message(const struct answer_maker *maker, const struct verdict *verdict,
                          const struct request_fault *fault, struct text_span model, struct buf *message)
{
    const struct kind_row *row = &kind_rows[verdict->kind];
    buf_reset(message);
    if (verdict->kind == KIND_QUOTA)
        quota_message(maker, verdict, model, message);
    else if (verdict->kind == KIND_NO_QUOTA)
        buf_add_str(message, "You exceeded your current quota, please check your plan and billing details.");
    else
        buf_add_str(message, row->message[0] != '\0' ? row->message : fault->message);
}

int openai_answer_error(struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                        struct text_span model, struct buf *out)
{
    struct json_out json = JSON_OUT(&maker->body);
    char extra[64] = "";
    size_t i = 0;
    while (i < ARRAY_COUNT(errors) && errors[i].kind != verdict->kind)
        i++;
    bool is_known = i < ARRAY_COUNT(errors);
    int status = is_known ? errors[i].status : kind_rows[verdict->kind].status;
    bool is_tokens = verdict->kind == KIND_QUOTA && verdict->quota.worst->is_tokens;
    error_message(maker, verdict, fault, model, &maker->text);
    buf_reset(&maker->body);
    json_out_begin(&json, '{');
    json_out_name(&json, "error");
    json_out_begin(&json, '{');
    json_out_member_str(&json, "message", buf_text(&maker->text));
    json_out_member_str(&json, "type", is_tokens ? "tokens" : is_known ? errors[i].type : "server_error");
    json_out_member_null(&json, "param");
    json_out_member_str(&json, "code", is_known ? errors[i].code : NULL);
    json_out_end(&json, '}');
    json_out_end(&json, '}');
    if (verdict->kind == KIND_QUOTA && maker->settings->hints == HINTS_RA)
        snprintf(extra, sizeof extra, "Retry-After: %.0f\r\n", ceil(verdict->quota.wait_s));
    else if (verdict->kind == KIND_QUOTA && has_hints(maker))
        snprintf(extra, sizeof extra, "retry-after-ms: %.0f\r\n", ceil(1000 * answer_told_delay_s(maker, verdict)));
    answer_head(maker, status, "application/json", extra, maker->body.len, out);
    buf_add(out, maker->body.data, maker->body.len);
    return status;
}
