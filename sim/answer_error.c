/* Errors as the API words them: the envelope with QuotaFailure, RetryInfo, Help, ErrorInfo and BadRequest; and what
 * stands before an API: a gateway's HTML, a redirect. See answer.h. */
#include "sim/answer.h"

#include "base/json_out.h"

#define TYPE_PREFIX "type.googleapis.com/google.rpc."
#define SERVICE "generativelanguage.googleapis.com"
#define LIMITS_URL "https://ai.google.dev/gemini-api/docs/rate-limits"

static void begin_detail(struct json_out *json, const char *type)
{
    json_out_begin(json, '{');
    json_out_member_str(json, "@type", type);
}

/* ---- quotas ---- */

static void quota_names(const struct quota_plan *plan, bool is_free, struct buf *metric, struct buf *id)
{
    const char *every = plan->is_day ? "Day" : "Minute";
    buf_reset(metric);
    buf_reset(id);
    if (plan->is_tokens) {
        buf_add_str(metric, is_free ? SERVICE "/generate_content_free_tier_input_token_count"
                                    : SERVICE "/generate_content_paid_tier_input_token_count");
        buf_add_fmt(id,
                    is_free ? "GenerateContentInputTokensPerModelPer%s-FreeTier"
                            : "GenerateContentPaidTierInputTokensPerModelPer%s",
                    every);
    } else {
        buf_add_str(metric,
                    is_free ? SERVICE "/generate_content_free_tier_requests" : SERVICE "/generate_requests_per_model");
        buf_add_fmt(id, "GenerateRequestsPer%sPerProjectPerModel%s", every, is_free ? "-FreeTier" : "");
    }
}

/* The limit as it is told: a minute's quota for a minute, whatever the window is. */
int64_t answer_told_limit(const struct quota_plan *plan)
{
    return (int64_t)(plan->is_day ? plan->limit : plan->limit * 60 / plan->nominal_s + 0.5);
}

/* Real seconds as the answer tells them. */
double answer_told_delay_s(const struct answer_maker *maker, const struct verdict *verdict)
{
    struct chance chance = verdict->chance;
    if (verdict->quota.worst->is_day && maker->settings->hints == HINTS_LIE)
        return (8 + 20 * chance_unit(&chance)) * maker->settings->time_scale;
    return verdict->quota.wait_s;
}

static void violation_to_json(const struct answer_maker *maker, const struct quota_plan *plan, struct text_span model,
                              struct json_out *json)
{
    struct buf metric = BUF_EMPTY, id = BUF_EMPTY;
    char limit[24];
    quota_names(plan, maker->settings->is_free_tier, &metric, &id);
    snprintf(limit, sizeof limit, "%lld", (long long)answer_told_limit(plan));
    json_out_begin(json, '{');
    json_out_member_str(json, "quotaMetric", buf_text(&metric));
    json_out_member_str(json, "quotaId", buf_text(&id));
    json_out_name(json, "quotaDimensions");
    json_out_begin(json, '{');
    json_out_member_str(json, "location", "global");
    json_out_name(json, "model");
    json_out_text(json, model.at, model.len);
    json_out_end(json, '}');
    json_out_member_str(json, "quotaValue", limit);
    json_out_end(json, '}');
    buf_clear(&metric);
    buf_clear(&id);
}

static void help_to_json(struct json_out *json)
{
    begin_detail(json, TYPE_PREFIX "Help");
    json_out_name(json, "links");
    json_out_begin(json, '[');
    json_out_begin(json, '{');
    json_out_member_str(json, "description", "Learn more about Gemini API quotas");
    json_out_member_str(json, "url", LIMITS_URL);
    json_out_end(json, '}');
    json_out_end(json, ']');
    json_out_end(json, '}');
}

static void quota_details(const struct answer_maker *maker, const struct verdict *verdict, struct text_span model,
                          struct json_out *json)
{
    char delay[32];
    if (maker->settings->hints != HINTS_FULL && maker->settings->hints != HINTS_LIE)
        return;
    json_out_name(json, "details");
    json_out_begin(json, '[');
    begin_detail(json, TYPE_PREFIX "QuotaFailure");
    json_out_name(json, "violations");
    json_out_begin(json, '[');
    for (size_t i = 0; i < verdict->quota.count; i++)
        violation_to_json(maker, verdict->quota.plans[i], model, json);
    json_out_end(json, ']');
    json_out_end(json, '}');
    help_to_json(json);
    begin_detail(json, TYPE_PREFIX "RetryInfo");
    snprintf(delay, sizeof delay, "%.6fs", answer_told_delay_s(maker, verdict));
    json_out_member_str(json, "retryDelay", delay);
    json_out_end(json, '}');
    json_out_end(json, ']');
}

static void quota_message(const struct answer_maker *maker, const struct verdict *verdict, struct text_span model,
                          struct buf *message)
{
    if (maker->settings->hints != HINTS_FULL && maker->settings->hints != HINTS_LIE) {
        buf_add_str(message, "Resource has been exhausted (e.g. check quota).");
        return;
    }
    struct buf metric = BUF_EMPTY, id = BUF_EMPTY;
    buf_add_str(message, "You exceeded your current quota, please check your plan and billing details. For more "
                         "information on this error, "
                         "head to: " LIMITS_URL ".");
    for (size_t i = 0; i < verdict->quota.count; i++) {
        quota_names(verdict->quota.plans[i], maker->settings->is_free_tier, &metric, &id);
        buf_add_fmt(message, "\n* Quota exceeded for metric: %s, limit: %lld, model: %.*s", buf_text(&metric),
                    (long long)answer_told_limit(verdict->quota.plans[i]), (int)model.len, model.at);
    }
    buf_add_fmt(message, "\nPlease retry in %.6fs.", answer_told_delay_s(maker, verdict));
    buf_clear(&metric);
    buf_clear(&id);
}

/* ---- other details ---- */

static void error_info(struct json_out *json, const char *reason, const char *domain)
{
    begin_detail(json, TYPE_PREFIX "ErrorInfo");
    json_out_member_str(json, "reason", reason);
    json_out_member_str(json, "domain", domain);
    json_out_name(json, "metadata");
    json_out_begin(json, '{');
    json_out_member_str(json, "service", SERVICE);
    json_out_end(json, '}');
    json_out_end(json, '}');
}

static void key_details(struct json_out *json)
{
    json_out_name(json, "details");
    json_out_begin(json, '[');
    error_info(json, "API_KEY_INVALID", "googleapis.com");
    begin_detail(json, TYPE_PREFIX "LocalizedMessage");
    json_out_member_str(json, "locale", "en-US");
    json_out_member_str(json, "message", "API key not valid. Please pass a valid API key.");
    json_out_end(json, '}');
    json_out_end(json, ']');
}

static void field_details(const struct request_fault *fault, struct json_out *json)
{
    json_out_name(json, "details");
    json_out_begin(json, '[');
    begin_detail(json, TYPE_PREFIX "BadRequest");
    json_out_name(json, "fieldViolations");
    json_out_begin(json, '[');
    json_out_begin(json, '{');
    if (fault->field[0] != '\0')
        json_out_member_str(json, "field", fault->field);
    json_out_member_str(json, "description", fault->message);
    json_out_end(json, '}');
    json_out_end(json, ']');
    json_out_end(json, '}');
    json_out_end(json, ']');
}

static void details(const struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                    struct text_span model, struct json_out *json)
{
    switch ((int)verdict->kind) {
    case KIND_QUOTA:
    case KIND_NO_QUOTA:
        quota_details(maker, verdict, model, json);
        break;
    case KIND_BAD_KEY:
    case KIND_WRONG_KEY:
        key_details(json);
        break;
    case KIND_INVALID:
        field_details(fault, json);
        break;
    case KIND_CAPACITY_429:
        json_out_name(json, "details");
        json_out_begin(json, '[');
        error_info(json, "MODEL_CAPACITY_EXHAUSTED", "cloudcode-pa.googleapis.com");
        json_out_end(json, ']');
        break;
    case KIND_ERROR_401:
        json_out_name(json, "details");
        json_out_begin(json, '[');
        error_info(json, "ACCESS_TOKEN_TYPE_UNSUPPORTED", "googleapis.com");
        json_out_end(json, ']');
        break;
    default:
        break;
    }
}

/* ---- the answer ---- */

static void html(struct answer_maker *maker, const struct kind_row *row)
{
    buf_add_fmt(&maker->body,
                "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d "
                "%s</h1></center>\r\n<hr><center>openresty</center>\r\n"
                "</body>\r\n</html>\r\n",
                row->status, row->message, row->status, row->message);
}

static void envelope(struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                     struct text_span model)
{
    const struct kind_row *row = &kind_rows[verdict->kind];
    struct json_out json = JSON_OUT(&maker->body);
    bool is_array = verdict->kind == KIND_ARRAY_429 || maker->has_errors_in_array;
    struct buf *message = &maker->text;
    buf_reset(message);
    if (verdict->kind == KIND_QUOTA || verdict->kind == KIND_NO_QUOTA)
        quota_message(maker, verdict, model, message);
    else if (row->message[0] != '\0')
        buf_add_str(message, row->message);
    else
        buf_add_str(message, fault->message);
    if (is_array)
        json_out_begin(&json, '[');
    json_out_begin(&json, '{');
    json_out_name(&json, "error");
    json_out_begin(&json, '{');
    json_out_member_int(&json, "code", row->status);
    json_out_member_str(&json, "message", buf_text(message));
    json_out_member_str(&json, "status", row->rpc_status);
    details(maker, verdict, fault, model, &json);
    json_out_end(&json, '}');
    json_out_end(&json, '}');
    if (is_array)
        json_out_end(&json, ']');
}

void answer_error(struct answer_maker *maker, const struct verdict *verdict, const struct request_fault *fault,
                  struct text_span model, struct buf *out)
{
    const struct kind_row *row = &kind_rows[verdict->kind];
    struct buf extra = BUF_EMPTY;
    const char *type = "application/json; charset=UTF-8";
    buf_reset(&maker->body);
    if (verdict->kind == KIND_HTML_502 || verdict->kind == KIND_HTML_503 || verdict->kind == KIND_REDIRECT) {
        type = "text/html";
        if (verdict->kind == KIND_REDIRECT)
            buf_add_fmt(&extra, "Location: %s\r\n", maker->settings->redirect_to);
        else
            html(maker, row);
    } else {
        envelope(maker, verdict, fault, model);
    }
    bool is_quota = verdict->kind == KIND_QUOTA || verdict->kind == KIND_NO_QUOTA;
    if (is_quota && maker->settings->hints == HINTS_RA)
        buf_add_fmt(&extra, "Retry-After: %.0f\r\n", ceil(verdict->quota.wait_s));
    answer_head(maker, row->status, type, buf_text(&extra), maker->body.len, out);
    buf_add(out, maker->body.data, maker->body.len);
    buf_clear(&extra);
}
