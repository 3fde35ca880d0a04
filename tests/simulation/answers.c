/* See answers.h. The answers are a table, and so are the kinds of weather: shares of each answer in percent, the rest is good. */
#include "tests/simulation/answers.h"

#include <string.h>

#define ERROR_OF(code, status, message, details) "{\"error\":{\"code\":" #code ",\"status\":\"" status "\",\"message\":\"" message "\",\"details\":[" details "]}}"
#define QUOTA_OF(id) "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaId\":\"" id "\",\"quotaValue\":\"50\"}]}"
#define RETRY_OF(delay) "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define INFO_OF(reason) "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" reason "\"}"
#define TEXT_OF(text, finish) "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" text "\"}]},\"finishReason\":\"" finish "\"}],\"usageMetadata\":{\"promptTokenCount\":40,\"candidatesTokenCount\":9}}"

enum answer {
    GOOD, THROTTLED_HINT, THROTTLED_BARE, QUOTA_USED, BUSY_503, FAILED_500, RESET, REUSE_DIED, HUNG, CUT, NO_JSON, NO_AGENT, BLOCKED, BAD_INPUT, WRONG_KEY, NO_CREDIT,
    REFUSED, NO_MODEL, PIECE, SLOW, ANSWER_COUNT
};

static const struct answer_row rows[ANSWER_COUNT] = {
    [GOOD] = {"good", OUTCOME_SUCCEEDED, NET_ANSWERED, 200, NULL, -1, 200, 2500, false},
    [SLOW] = {"slow", OUTCOME_SUCCEEDED, NET_ANSWERED, 200, NULL, -1, 4000, 15000, false},
    [THROTTLED_HINT] = {"throttled_hint", OUTCOME_THROTTLED, NET_ANSWERED, 429,
                        ERROR_OF(429, "RESOURCE_EXHAUSTED", "quota", QUOTA_OF("RequestsPerMinute") "," RETRY_OF("3s")), -1, 20, 80, false},
    [THROTTLED_BARE] = {"throttled", OUTCOME_THROTTLED, NET_ANSWERED, 429, ERROR_OF(429, "RESOURCE_EXHAUSTED", "slow down", ""), -1, 20, 80, false},
    [QUOTA_USED] = {"quota_day", OUTCOME_QUOTA_DAY, NET_ANSWERED, 429, ERROR_OF(429, "RESOURCE_EXHAUSTED", "quota", QUOTA_OF("RequestsPerDay")), -1, 20, 80, false},
    [BUSY_503] = {"unavailable", OUTCOME_UNAVAILABLE, NET_ANSWERED, 503, ERROR_OF(503, "UNAVAILABLE", "overloaded", ""), -1, 20, 400, false},
    [FAILED_500] = {"failed", OUTCOME_TRANSIENT, NET_ANSWERED, 500, ERROR_OF(500, "INTERNAL", "it broke", ""), -1, 100, 2000, false},
    [RESET] = {"reset", OUTCOME_TRANSIENT, NET_BROKEN, 0, "", -1, 50, 2000, false},
    [REUSE_DIED] = {"reuse_died", OUTCOME_LOST, NET_REUSE_DIED, 0, "", -1, 50, 500, false},
    [HUNG] = {"hung", OUTCOME_TRANSIENT, NET_TIMED_OUT, 0, "", -1, 0, 0, false},
    [CUT] = {"cut", OUTCOME_INVALID_ANSWER, NET_ANSWERED, 200, TEXT_OF("{\\\"agent_", "MAX_TOKENS"), -1, 200, 2500, false},
    [NO_JSON] = {"no_json", OUTCOME_INVALID_ANSWER, NET_ANSWERED, 200, TEXT_OF("I think the second one.", "STOP"), -1, 200, 2500, false},
    [NO_AGENT] = {"no_agent", OUTCOME_INVALID_ANSWER, NET_ANSWERED, 200, TEXT_OF("{\\\"agent_id\\\":\\\"nobody\\\",\\\"reason\\\":\\\"r\\\",\\\"confidence\\\":0.5}", "STOP"),
                  -1, 200, 2500, false},
    [BLOCKED] = {"blocked", OUTCOME_REJECTED, NET_ANSWERED, 200, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"usageMetadata\":{\"promptTokenCount\":40}}", -1, 100, 900, false},
    [BAD_INPUT] = {"bad_input", OUTCOME_REJECTED, NET_ANSWERED, 400, ERROR_OF(400, "INVALID_ARGUMENT", "this input cannot be", ""), -1, 20, 300, false},
    [WRONG_KEY] = {"wrong_key", OUTCOME_CREDENTIALS, NET_ANSWERED, 400, ERROR_OF(400, "INVALID_ARGUMENT", "no such key", INFO_OF("API_KEY_INVALID")), -1, 20, 80, false},
    [NO_CREDIT] = {"no_credit", OUTCOME_BILLING, NET_ANSWERED, 402, ERROR_OF(402, "FAILED", "no credit", ""), -1, 20, 80, false},
    [REFUSED] = {"refused", OUTCOME_UNAVAILABLE, NET_NOT_SENT, 0, "", -1, 1, 30, false},
    [NO_MODEL] = {"no_model", OUTCOME_CONFIG, NET_ANSWERED, 404, ERROR_OF(404, "NOT_FOUND", "no such model", ""), -1, 20, 80, false},
    [PIECE] = {"piece", OUTCOME_UNFINISHED, NET_ANSWERED, 200,
               "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" \"}]},\"finishReason\":\"CONTINUATION\",\"continuationToken\":\"go-on\"}],"
               "\"usageMetadata\":{\"promptTokenCount\":40,\"candidatesTokenCount\":1}}", -1, 200, 2500, false},
};

/* Failures that are the endpoint's, whatever it is asked. */
static const struct answer_row ill_rows[] = {
    {"outage_500", OUTCOME_TRANSIENT, NET_ANSWERED, 500, ERROR_OF(500, "INTERNAL", "outage", ""), -1, 50, 1500, true},
    {"outage_reset", OUTCOME_TRANSIENT, NET_BROKEN, 0, "", -1, 20, 1000, true},
    {"outage_hung", OUTCOME_TRANSIENT, NET_TIMED_OUT, 0, "", -1, 0, 0, true},
};

/* Kinds of weather. An outage gives one answer to all; else the shares of a few answers, in percent. */
static const struct weather {
    const char *name;
    const struct answer_row *all; /* NULL: by shares */
    struct {
        enum answer answer;
        int percent;
    } shares[10];
} weathers[] = {
    {"fair", NULL, {{SLOW, 5}}},
    {"usual", NULL, {{FAILED_500, 4}, {NO_JSON, 3}, {CUT, 2}, {BUSY_503, 2}, {REUSE_DIED, 2}, {PIECE, 3}, {SLOW, 12}}},
    {"rough", NULL, {{FAILED_500, 8}, {RESET, 6}, {HUNG, 2}, {BUSY_503, 8}, {THROTTLED_BARE, 6}, {THROTTLED_HINT, 6}, {NO_AGENT, 5}, {CUT, 3}, {REUSE_DIED, 5}, {PIECE, 4}}},
    {"throttled", NULL, {{THROTTLED_HINT, 40}, {THROTTLED_BARE, 20}}},
    {"refusing", NULL, {{BLOCKED, 20}, {BAD_INPUT, 10}}},
    {"quota_day", &rows[QUOTA_USED], {{GOOD, 0}}},
    {"unavailable", &rows[BUSY_503], {{GOOD, 0}}},
    {"refused", &rows[REFUSED], {{GOOD, 0}}},
    {"all_throttled", &rows[THROTTLED_BARE], {{GOOD, 0}}},
    {"wrong_key", &rows[WRONG_KEY], {{GOOD, 0}}},
    {"no_credit", &rows[NO_CREDIT], {{GOOD, 0}}},
    {"no_model", &rows[NO_MODEL], {{GOOD, 0}}},
    {"outage_500", &ill_rows[0], {{GOOD, 0}}},
    {"outage_reset", &ill_rows[1], {{GOOD, 0}}},
    {"outage_hung", &ill_rows[2], {{GOOD, 0}}},
};

static const struct weather *present[ENDPOINTS];
static int64_t numbers[ENDPOINTS];

void weather_change(int endpoint)
{
    size_t most = dice_percent(50) ? 3 : ARRAY_COUNT(weathers);
    numbers[endpoint]++;
    present[endpoint] = &weathers[dice(0, (int64_t)most - 1)];
    trace("weather endpoint=%d %s", endpoint, present[endpoint]->name);
}

void weather_fair(void)
{
    for (int i = 0; i < ENDPOINTS; i++) {
        numbers[i]++;
        present[i] = &weathers[0];
    }
}

int64_t weather_outage(int endpoint)
{
    return 1 + numbers[endpoint] * ENDPOINTS + endpoint;
}

static const struct answer_row *row_of_temper(enum temper temper)
{
    static const enum answer answers[] = {[TEMPER_GOOD] = GOOD, [TEMPER_ALWAYS_FAILS] = FAILED_500, [TEMPER_ALWAYS_REJECTED] = BAD_INPUT, [TEMPER_ALWAYS_INVALID] = NO_JSON};
    return &rows[answers[temper]];
}

const struct answer_row *answer_draw(int endpoint, const struct sim_key *key)
{
    const struct weather *weather = present[endpoint];
    if (weather->all != NULL)
        return weather->all;
    int64_t percent = dice(0, 99);
    for (size_t i = 0; i < ARRAY_COUNT(weather->shares); i++) {
        const struct answer_row *row = &rows[weather->shares[i].answer];
        percent -= weather->shares[i].percent;
        if (percent >= 0 || row == &rows[GOOD])
            continue;
        if (key == NULL && row->class != OUTCOME_THROTTLED && row->class != OUTCOME_UNAVAILABLE)
            break; /* what is about the input does not meet a test request */
        return row;
    }
    return key == NULL ? &rows[GOOD] : row_of_temper(key->temper);
}

/* ---- the body ---- */
/* One of the request's candidates, which stand in the answer's schema as "enum":["A1","A2"]. */
static void candidate_draw(const char *request, size_t len, char ret_agent[16])
{
    static const char mark[] = "\"enum\":[";
    const char *at = memmem(request, len, mark, sizeof mark - 1);
    snprintf(ret_agent, 16, "A1");
    if (at == NULL)
        return;
    at += sizeof mark - 1;
    const char *end = memchr(at, ']', len - (size_t)(at - request));
    int64_t count = 0;
    for (const char *c = at; end != NULL && c < end; c++)
        count += *c == ',';
    for (int64_t skip = dice(0, count); skip > 0; skip--)
        at = strchr(at, ',') + 1;
    const char *quote = strchr(at + 1, '"');
    snprintf(ret_agent, 16, "%.*s", (int)(quote - at - 1), at + 1);
}

void answer_body(const struct answer_row *row, const char *request, size_t request_len, struct buf *out)
{
    char agent[16];
    if (row->body != NULL) {
        buf_add_str(out, row->body);
        return;
    }
    candidate_draw(request, request_len, agent);
    buf_add_fmt(out, TEXT_OF("{\\\"agent_id\\\":\\\"%s\\\",\\\"reason\\\":\\\"it fits\\\",\\\"confidence\\\":0.9}", "STOP"), agent);
}
