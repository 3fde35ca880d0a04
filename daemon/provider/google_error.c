/* See google_error.h. Two halves: what the envelope says (read), and what it means (judge). What it means stands in tables: the status first
 * (status.c), then the finer words that turn a status into another class, then the quota that a 429 names. */
#include "provider/google_error.h"

#include "base/parse.h"

#include <strings.h>

/* ---- read ---- */

static const struct {
    const char *mark; /* within a quotaId, quotaMetric or message, without regard to case */
    enum quota_span span;
} span_marks[] = {
    {"PerDay", QUOTA_DAY},       {"per_day", QUOTA_DAY},       {"Daily", QUOTA_DAY},
    {"PerMinute", QUOTA_MINUTE}, {"per_minute", QUOTA_MINUTE},
};

static enum quota_span span_of(const char *text)
{
    for (size_t i = 0; text != NULL && i < ARRAY_COUNT(span_marks); i++)
        if (strcasestr(text, span_marks[i].mark) != NULL)
            return span_marks[i].span;
    return QUOTA_NONE;
}

/* The longest violation decides: a day's quota that is used up is not mended by a minute's wait. */
static void add_violation(struct google_error *error, const char *id, const char *metric, int64_t value)
{
    static const int length[] = {[QUOTA_NONE] = 0, [QUOTA_UNNAMED] = 1, [QUOTA_SPEND] = 2, [QUOTA_MINUTE] = 3, [QUOTA_DAY] = 4};
    enum quota_span span = span_of(id);

    if (span == QUOTA_NONE)
        span = span_of(metric);
    if (span == QUOTA_NONE)
        span = QUOTA_UNNAMED;
    error->is_quota_zero = error->is_quota_zero || value == 0;
    if (error->has_quota && length[span] <= length[error->span])
        return;
    const char *named = id != NULL ? id : metric != NULL ? metric : "";
    error->has_quota = true;
    error->span = span;
    error->unit = strcasestr(named, "token") != NULL ? QUOTA_TOKENS : QUOTA_REQUESTS;
    error->quota_value = value >= 0 ? value : -1;
}

static void read_quota(struct json_span detail, struct google_error *error)
{
    struct json_span violations = span_member(detail, "violations"), name, one;
    const char *at = NULL;

    if (!span_is(violations, JSON_ARRAY))
        return;
    while (json_next(violations, &at, &name, &one)) {
        struct span_want want[] = {{.name = "quotaId"}, {.name = "quotaMetric"}, {.name = "quotaValue"}};
        span_members(one, want, ARRAY_COUNT(want));
        char *id = span_text(want[0].value), *metric = span_text(want[1].value);
        if (id != NULL || metric != NULL)
            add_violation(error, id, metric, span_i64(want[2].value, -1));
        free(id);
        free(metric);
    }
}

static void read_retry(struct json_span detail, struct google_error *error)
{
    char *delay = span_text(span_member(detail, "retryDelay"));
    int64_t ms;
    if (delay != NULL && parse_proto_duration_ms(delay, &ms))
        error->retry_ms = max_i64(error->retry_ms, ms);
    free(delay);
}

static void read_info(struct json_span detail, struct google_error *error)
{
    struct span_want want[] = {{.name = "quota_limit"}, {.name = "quota_metric"}, {.name = "quota_limit_value"}};

    if (error->reason == NULL)
        error->reason = span_text(span_member(detail, "reason"));
    span_members(span_member(detail, "metadata"), want, ARRAY_COUNT(want));
    char *id = span_text(want[0].value);
    char *metric = span_text(want[1].value);
    if (id != NULL)
        add_violation(error, id, metric, span_i64(want[2].value, -1));
    free(id);
    free(metric);
}

static const struct {
    const char *type; /* after the last point of @type */
    void (*read)(struct json_span detail, struct google_error *error);
} details[] = {{"QuotaFailure", read_quota}, {"RetryInfo", read_retry}, {"ErrorInfo", read_info}};

static void read_details(struct json_span list, struct google_error *error)
{
    struct json_span name, detail;
    const char *at = NULL;

    if (!span_is(list, JSON_ARRAY))
        return;
    while (json_next(list, &at, &name, &detail)) {
        char *type = span_text(span_member(detail, "@type"));
        const char *point = type != NULL ? strrchr(type, '.') : NULL;
        for (size_t i = 0; point != NULL && i < ARRAY_COUNT(details); i++)
            if (strcmp(point + 1, details[i].type) == 0)
                details[i].read(detail, error);
        free(type);
    }
}

static void read_message(struct google_error *error)
{
    static const char retry[] = "retry in ", limit[] = "limit: 0";
    const char *at = strcasestr(error->message, retry);

    if (at != NULL)
        error->retry_ms = max_i64(error->retry_ms, wire_spelled_ms(at + strlen(retry)));
    for (at = error->message; (at = strcasestr(at, limit)) != NULL;) {
        at += strlen(limit);
        if (strchr("0123456789.", *at) == NULL || (at[0] == '.' && (at[1] < '0' || at[1] > '9')) || *at == '\0')
            error->is_quota_zero = true;
    }
}

struct json_span google_unwrap(struct json_span root)
{
    return span_is(root, JSON_ARRAY) ? span_first(root) : root;
}

bool google_error_read(struct json_span object, struct google_error *ret_error)
{
    struct span_want want[] = {{.name = "code"}, {.name = "status"}, {.name = "message"}, {.name = "details"}};
    struct json_span error = span_member(object, "error");

    if (!span_is(error, JSON_OBJECT) && !span_is(error, JSON_STRING))
        return false;
    *ret_error = (struct google_error){.retry_ms = -1, .quota_value = -1};
    span_members(error, want, ARRAY_COUNT(want));
    int64_t code = span_i64(want[0].value, 0);
    ret_error->code = code >= 100 && code <= 599 ? (int)code : 0;
    ret_error->status = span_text(want[1].value);
    if (ret_error->status == NULL && ret_error->code == 0)
        ret_error->status = span_text(want[0].value);
    ret_error->message = span_text(span_is(error, JSON_STRING) ? error : want[2].value);
    if (ret_error->message == NULL)
        ret_error->message = xstrdup("");
    read_details(want[3].value, ret_error);
    read_message(ret_error);
    ret_error->retry_ms = min_i64(ret_error->retry_ms, WIRE_RETRY_LONGEST_MS);
    return true;
}

void google_error_clear(struct google_error *error)
{
    free(error->status);
    free(error->reason);
    free(error->message);
    *error = (struct google_error){.code = 0};
}

/* ---- judge ---- */

/* Words of the envelope that turn a status into another class. `phrase` is the message's beginning; one that begins with * may stand anywhere in it. */
static const struct {
    int status; /* 0: any 4xx */
    const char *name, *reason, *phrase;
    enum outcome_class class;
    bool is_capacity, needs_no_quota;
} word_rows[] = {
    {0, NULL, "API_KEY_INVALID", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "API_KEY_SERVICE_BLOCKED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "API_KEY_IP_ADDRESS_BLOCKED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "API_KEY_HTTP_REFERRER_BLOCKED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "API_KEY_ANDROID_APP_BLOCKED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "API_KEY_IOS_APP_BLOCKED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "ACCESS_TOKEN_TYPE_UNSUPPORTED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "ACCESS_TOKEN_EXPIRED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "CREDENTIALS_MISSING", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "SERVICE_DISABLED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "CONSUMER_SUSPENDED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "CONSUMER_INVALID", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "USER_PROJECT_DENIED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "IAM_PERMISSION_DENIED", NULL, OUTCOME_CREDENTIALS, false, false},
    {0, NULL, "BILLING_DISABLED", NULL, OUTCOME_BILLING, false, false},
    {0, NULL, "MODEL_CAPACITY_EXHAUSTED", NULL, OUTCOME_UNAVAILABLE, true, false},
    {429, NULL, "QUOTA_EXHAUSTED", NULL, OUTCOME_QUOTA_DAY, false, true},
    {403, NULL, "RATE_LIMIT_EXCEEDED", NULL, OUTCOME_THROTTLED, false, false},
    {400, "FAILED_PRECONDITION", NULL, NULL, OUTCOME_BILLING, false, false},
    {409, "ABORTED", NULL, NULL, OUTCOME_TRANSIENT, false, false},
    /* At the beginning only: further on the message may echo what was sent. */
    {400, NULL, NULL, "API key", OUTCOME_CREDENTIALS, false, false},
    {400, NULL, NULL, "Multiple authentication credentials", OUTCOME_CREDENTIALS, false, false},
    {400, NULL, NULL, "Missing or invalid Authorization", OUTCOME_CREDENTIALS, false, false},
    {429, NULL, NULL, "*prepayment credits", OUTCOME_BILLING, false, true},
    {429, NULL, NULL, "*credits are depleted", OUTCOME_BILLING, false, true},
    {429, NULL, NULL, "*monthly spending cap", OUTCOME_BILLING, false, true},
    {429, NULL, NULL, "*shared capacity", OUTCOME_UNAVAILABLE, true, true},
    {429, NULL, NULL, "*error-code-429", OUTCOME_UNAVAILABLE, true, true}, /* the page that Vertex's shared capacity points to */
};

/* HTTP's number of a canonical code (google.rpc.Code), for an envelope that came with a 200. */
static const struct {
    const char *name;
    int status;
} canonical[] = {
    {"INVALID_ARGUMENT", 400}, {"FAILED_PRECONDITION", 400}, {"OUT_OF_RANGE", 400},   {"UNAUTHENTICATED", 401},    {"PERMISSION_DENIED", 403},
    {"NOT_FOUND", 404},        {"ABORTED", 409},             {"ALREADY_EXISTS", 409}, {"RESOURCE_EXHAUSTED", 429}, {"rate_limit_exceeded", 429},
    {"CANCELLED", 499},        {"UNKNOWN", 500},             {"INTERNAL", 500},       {"DATA_LOSS", 500},          {"UNIMPLEMENTED", 501},
    {"UNAVAILABLE", 503},      {"DEADLINE_EXCEEDED", 504},
};

static bool is_word(const char *wanted, const char *text)
{
    return wanted == NULL || (text != NULL && strcmp(wanted, text) == 0);
}

static bool is_phrase(const char *wanted, const char *message)
{
    if (wanted == NULL)
        return true;
    if (wanted[0] == '*')
        return strcasestr(message, wanted + 1) != NULL;
    return strncasecmp(message, wanted, strlen(wanted)) == 0;
}

static void judge_words(int status, const struct google_error *error, struct provider_verdict *verdict)
{
    for (size_t i = 0; i < ARRAY_COUNT(word_rows); i++) {
        if (word_rows[i].status == 0 ? status < 400 || status > 499 : word_rows[i].status != status)
            continue;
        if (!is_word(word_rows[i].name, error->status) || !is_word(word_rows[i].reason, error->reason) ||
            !is_phrase(word_rows[i].phrase, error->message) || (word_rows[i].needs_no_quota && error->has_quota))
            continue;
        verdict->class = word_rows[i].class;
        verdict->is_capacity = word_rows[i].is_capacity;
        return;
    }
}

static void judge_quota(const struct google_error *error, struct provider_verdict *verdict)
{
    enum quota_span span = error->has_quota ? error->span : span_of(error->message);

    if (error->is_quota_zero && (verdict->class == OUTCOME_THROTTLED || verdict->class == OUTCOME_QUOTA_DAY))
        verdict->class = OUTCOME_BILLING; /* whatever RetryInfo says */
    if (verdict->class == OUTCOME_THROTTLED && span == QUOTA_DAY)
        verdict->class = OUTCOME_QUOTA_DAY; /* the quota's name decides: its RetryInfo is often a minute's */
    if (verdict->class == OUTCOME_THROTTLED)
        verdict->quota_span = span == QUOTA_NONE ? QUOTA_UNNAMED : span;
    else
        verdict->quota_span = verdict->class == OUTCOME_QUOTA_DAY ? QUOTA_DAY : QUOTA_NONE;
    verdict->quota_unit = error->unit;
    verdict->quota_value = error->quota_value;
}

void google_error_judge(int status, const struct google_error *error, struct provider_verdict *verdict)
{
    if (status < 300) {
        status = error->code;
        for (size_t i = 0; status == 0 && error->status != NULL && i < ARRAY_COUNT(canonical); i++)
            if (strcmp(canonical[i].name, error->status) == 0)
                status = canonical[i].status;
        if (status == 0)
            status = 500;
    }
    verdict_judge_status(verdict, status);
    judge_words(status, error, verdict);
    judge_quota(error, verdict);
    verdict->retry_after_ms = min_i64(max_i64(verdict->retry_after_ms, error->retry_ms), WIRE_RETRY_LONGEST_MS);
    const char *name = error->reason != NULL ? error->reason : error->status;
    const char *message = error->message[0] != '\0' ? error->message : "no message";
    if (name != NULL && strstr(message, name) == NULL)
        verdict_say(verdict, "HTTP %d %s: %s", status, name, message);
    else
        verdict_say(verdict, "HTTP %d: %s", status, message);
}
