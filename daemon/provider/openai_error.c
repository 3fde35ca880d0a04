/* See openai_error.h. What an error means stands in tables: the status first (status.c), then the words that turn it into another class, then what a 429's message
 * names, since no member tells which quota it was. Sources: platform.openai.com/docs/guides/error-codes and /rate-limits; vLLM's and Ollama's answers. */
#include "provider/openai_error.h"

#include <strings.h>

/* ---- read ---- */

/* A code is a word, a number, or a number as a word. */
static void read_code(struct json_span code, struct openai_error *error)
{
    int64_t number = span_i64(code, 0);

    if (number >= 100 && number <= 599)
        error->status = (int)number;
    else
        error->code = span_text(code);
}

static void read_members(struct json_span object, struct openai_error *error)
{
    struct span_want want[] = {{.name = "message"}, {.name = "type"}, {.name = "param"}, {.name = "code"}};

    span_members(object, want, ARRAY_COUNT(want));
    error->message = span_text(want[0].value);
    error->type = span_text(want[1].value);
    error->param = span_text(want[2].value);
    read_code(want[3].value, error);
}

bool openai_error_read(struct json_span object, struct openai_error *ret_error)
{
    struct span_want want[] = {{.name = "error"}, {.name = "object"}, {.name = "detail"}};

    *ret_error = (struct openai_error){0};
    span_members(object, want, ARRAY_COUNT(want));
    if (span_is(want[0].value, JSON_OBJECT))
        read_members(want[0].value, ret_error);
    else if (span_is(want[0].value, JSON_STRING))
        ret_error->message = span_text(want[0].value);
    else if (span_is(want[1].value, JSON_STRING) && json_span_equals(want[1].value, "error"))
        read_members(object, ret_error);
    else if (span_is(want[2].value, JSON_STRING))
        ret_error->message = span_text(want[2].value);
    else
        return false;
    return true;
}

void openai_error_clear(struct openai_error *error)
{
    free(error->code);
    free(error->type);
    free(error->param);
    free(error->message);
    *error = (struct openai_error){0};
}

/* ---- judge ---- */

/* The first row that fits. `code` is the error's code, or its type; `phrase` may stand anywhere in the message. */
static const struct {
    int status; /* 0: any */
    const char *code, *phrase;
    enum outcome_class class;
    bool is_capacity, is_truncated;
} word_rows[] = {
    {0, "invalid_api_key", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, "account_deactivated", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, "insufficient_quota", NULL, OUTCOME_BILLING, false, false},
    {0, "credit_balance_exhausted", NULL, OUTCOME_BILLING, false, false},
    {0, "organization_spend_limit_exceeded", NULL, OUTCOME_BILLING, false, false},
    {0, "project_spend_limit_exceeded", NULL, OUTCOME_BILLING, false, false},
    {0, "organization_usage_limit_exceeded", NULL, OUTCOME_BILLING, false, false},
    {0, "billing_hard_limit_reached", NULL, OUTCOME_BILLING, false, false},
    {0, "billing_not_active", NULL, OUTCOME_BILLING, false, false},
    {0, "access_terminated", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, "model_not_found", NULL, OUTCOME_CONFIG, false, false},
    {0, "unsupported_country_region_territory", NULL, OUTCOME_CONFIG, false, false},
    {0, "context_length_exceeded", NULL, OUTCOME_REJECTED, false, false},
    {0, "string_above_max_length", NULL, OUTCOME_REJECTED, false, false},
    {0, "content_filter", NULL, OUTCOME_REJECTED, false, false},
    {0, "content_policy_violation", NULL, OUTCOME_REJECTED, false, false},
    {0, "server_is_overloaded", NULL, OUTCOME_UNAVAILABLE, true, false},
    {0, "overloaded_error", NULL, OUTCOME_UNAVAILABLE, true, false},
    {429, "resource_unavailable", NULL, OUTCOME_UNAVAILABLE, true, false}, /* of the flex tier: no room for it now, and nothing was billed */
    {0, "rate_limit_exceeded", NULL, OUTCOME_THROTTLED, false, false},
    {0, "slow_down", NULL, OUTCOME_THROTTLED, false, false},
    /* What the model or server knows no such thing of: every request is refused alike, so it is no fault of one assignment. */
    {400, "unsupported_parameter", NULL, OUTCOME_CONFIG, false, false},
    {400, "unsupported_value", NULL, OUTCOME_CONFIG, false, false},
    {400, "unknown_parameter", NULL, OUTCOME_CONFIG, false, false},
    /* A thinking model that spent its cap before a word of the answer. */
    {400, NULL, "max_tokens or model output limit was reached", OUTCOME_INVALID_ANSWER, false, true},
    {400, NULL, "incorrect API key", OUTCOME_CREDENTIALS, false, false},
    {400, NULL, "model is overloaded", OUTCOME_UNAVAILABLE, true, false},
};

static bool is_named(const char *name, const struct openai_error *error)
{
    return name == NULL || (error->code != NULL && strcmp(name, error->code) == 0) || (error->type != NULL && strcmp(name, error->type) == 0);
}

static void judge_words(int status, const struct openai_error *error, struct provider_verdict *verdict)
{
    for (size_t i = 0; i < ARRAY_COUNT(word_rows); i++) {
        const char *phrase = word_rows[i].phrase;
        if ((word_rows[i].status != 0 && word_rows[i].status != status) || !is_named(word_rows[i].code, error) ||
            (phrase != NULL && (error->message == NULL || strcasestr(error->message, phrase) == NULL)))
            continue;
        verdict->class = word_rows[i].class;
        verdict->is_capacity = word_rows[i].is_capacity;
        verdict->is_truncated = word_rows[i].is_truncated;
        return;
    }
}

/* "Rate limit reached for gpt-4 in organization org-x on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s." */
static const struct {
    const char *mark;
    enum quota_span span;
    enum quota_unit unit;
} quota_rows[] = {
    {"(RPD)", QUOTA_DAY, QUOTA_REQUESTS},         {"(TPD)", QUOTA_DAY, QUOTA_TOKENS},         {"requests per day", QUOTA_DAY, QUOTA_REQUESTS},
    {"tokens per day", QUOTA_DAY, QUOTA_TOKENS},  {"(RPM)", QUOTA_MINUTE, QUOTA_REQUESTS},    {"(TPM)", QUOTA_MINUTE, QUOTA_TOKENS},
    {"requests per min", QUOTA_MINUTE, QUOTA_REQUESTS}, {"tokens per min", QUOTA_MINUTE, QUOTA_TOKENS},
};

static int64_t limit_of(const char *message)
{
    static const char mark[] = "Limit ";
    const char *at = strstr(message, mark);
    int64_t value = 0;
    int digits = 0;

    for (at = at != NULL ? at + sizeof mark - 1 : ""; ((*at >= '0' && *at <= '9') || (*at == ',' && at[1] >= '0' && at[1] <= '9')) && digits < 15; at++)
        if (*at != ',') {
            value = value * 10 + (*at - '0');
            digits++;
        }
    return digits > 0 ? value : -1;
}

static void judge_quota(const struct openai_error *error, struct provider_verdict *verdict)
{
    static const char retry[] = "try again in ";
    const char *message = error->message != NULL ? error->message : "", *at = strcasestr(message, retry);
    enum quota_span span = QUOTA_UNNAMED;

    if (verdict->class != OUTCOME_THROTTLED) {
        verdict->quota_span = QUOTA_NONE;
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(quota_rows) && span == QUOTA_UNNAMED; i++)
        if (strcasestr(message, quota_rows[i].mark) != NULL) {
            span = quota_rows[i].span;
            verdict->quota_unit = quota_rows[i].unit;
        }
    if (span != QUOTA_UNNAMED)
        verdict->quota_value = limit_of(message);
    if (span == QUOTA_DAY)
        verdict->class = OUTCOME_QUOTA_DAY;
    verdict->quota_span = span;
    if (at != NULL)
        verdict->retry_after_ms = max_i64(verdict->retry_after_ms, wire_spelled_ms(at + sizeof retry - 1));
}

/* The server knows whether trying again is of use, where the fault is this one request's or nobody's. */
static void judge_advice(int should_retry, struct provider_verdict *verdict)
{
    bool is_open = verdict->class == OUTCOME_TRANSIENT || verdict->class == OUTCOME_REJECTED;

    if (is_open && should_retry != 0)
        verdict->class = should_retry > 0 ? OUTCOME_TRANSIENT : OUTCOME_REJECTED;
}

static void say(int status, const struct openai_error *error, struct provider_verdict *verdict)
{
    const char *name = error->code != NULL && error->code[0] != '\0' ? error->code : error->type;
    const char *message = error->message != NULL && error->message[0] != '\0' ? error->message : "no message";

    if (name != NULL && name[0] != '\0' && strstr(message, name) == NULL)
        verdict_say(verdict, "HTTP %d %.100s: %s", status, name, message);
    else
        verdict_say(verdict, "HTTP %d: %s", status, message);
}

void openai_error_judge(const struct provider_response *response, const struct openai_error *error, struct provider_verdict *verdict)
{
    int status = response->status >= 300 ? response->status : error->status >= 300 ? error->status : 500;

    verdict_judge_status(verdict, status);
    judge_words(status, error, verdict);
    judge_quota(error, verdict);
    judge_advice(response->should_retry, verdict);
    say(status, error, verdict);
}
