/* What came back from a service that decides: with status 200 {"agent_id","reason","confidence"}, kept as it is and validated where every model's answer is, or
 * {"error":{"code","message","retry"}}. Any other status goes by the common table (status.c). Where that finds a failure or a refusal of this one assignment, and
 * the service says `retry`, that is its word: true is a failure that may pass, false is final. Pure; any thread. */
#include "core/limits.h"
#include "provider/provider_internal.h"

/* The service's own words. */
struct http_error {
    char *code, *message;      /* owned; NULL: not told */
    bool has_retry, may_retry;
    bool is_odd;               /* a member is of another type than it has to be */
};

static char *text_member(struct json_span value, struct http_error *error)
{
    error->is_odd = error->is_odd || (value.at != NULL && !span_is(value, JSON_STRING));
    return span_text(value);
}

/* The `error` member as an object, or as no more than a text. False when there is none. */
static bool read_error(struct json_span value, struct http_error *ret_error)
{
    struct span_want want[] = {{.name = "code"}, {.name = "message"}, {.name = "retry"}};

    *ret_error = (struct http_error){0};
    if (value.at == NULL || span_is(value, JSON_NULL))
        return false;
    if (!span_is(value, JSON_OBJECT)) {
        ret_error->is_odd = true;
        ret_error->message = span_text(value);
        return true;
    }
    span_members(value, want, ARRAY_COUNT(want));
    ret_error->code = text_member(want[0].value, ret_error);
    ret_error->message = text_member(want[1].value, ret_error);
    ret_error->has_retry = span_is(want[2].value, JSON_BOOL);
    ret_error->may_retry = span_is_true(want[2].value);
    ret_error->is_odd = ret_error->is_odd || (want[2].value.at != NULL && !ret_error->has_retry);
    return true;
}

static void say_error(struct provider_verdict *verdict, int status, const struct http_error *error)
{
    const char *message = error->message != NULL && error->message[0] != '\0' ? error->message : "the service gave no words";
    char http[32] = "";

    if (status != 200)
        snprintf(http, sizeof http, "HTTP %d: ", status);
    if (error->code != NULL && error->code[0] != '\0')
        verdict_say(verdict, "%s%.200s: %s", http, error->code, message);
    else
        verdict_say(verdict, "%s%s", http, message);
}

/* The status decides whose fault it is; of a fault of this assignment, or of nobody's, the service says whether trying again is of use. */
static void judge_error(struct provider_verdict *verdict, int status, const struct http_error *error)
{
    if (status == 200)
        verdict->class = error->is_odd ? OUTCOME_INVALID_ANSWER : OUTCOME_REJECTED;
    else
        verdict_judge_status(verdict, status);
    if (error->has_retry && (verdict->class == OUTCOME_TRANSIENT || verdict->class == OUTCOME_REJECTED))
        verdict->class = error->may_retry ? OUTCOME_TRANSIENT : OUTCOME_REJECTED;
    if (status == 200 && error->is_odd)
        verdict_say(verdict, "the answer's \"error\" has to be an object with the texts \"code\" and \"message\" and the truth \"retry\"");
    else
        say_error(verdict, status, error);
}

static void read_tokens(struct json_span usage, struct provider_verdict *verdict)
{
    enum { TOKENS_IN = 0, TOKENS_OUT = 2 }; /* of the verdict's counts */
    struct span_want want[] = {{.name = "input_tokens"}, {.name = "output_tokens"}};
    static const int places[] = {TOKENS_IN, TOKENS_OUT};

    span_members(usage, want, ARRAY_COUNT(want));
    for (size_t i = 0; i < ARRAY_COUNT(want); i++)
        verdict->tokens[places[i]] = wire_token_count(want[i].value);
}

static void read_object(struct json_span object, int status, struct provider_verdict *verdict)
{
    struct span_want want[] = {{.name = "error"}, {.name = "agent_id"}, {.name = "usage"}, {.name = "model"}};
    struct http_error error;

    span_members(object, want, ARRAY_COUNT(want));
    read_tokens(want[2].value, verdict);
    wire_take_model(want[3].value, verdict);
    bool has_error = read_error(want[0].value, &error);
    if (has_error && status == 200 && want[1].value.at != NULL) {
        verdict->class = OUTCOME_INVALID_ANSWER;
        verdict_say(verdict, "the answer has both \"agent_id\" and \"error\": it is one or the other");
    } else if (has_error) {
        judge_error(verdict, status, &error);
    } else {
        verdict->class = OUTCOME_SUCCEEDED;
        verdict->answer = xstrndup(object.at, object.len);
    }
    free(error.code);
    free(error.message);
}

void http_classify(const struct provider_response *response, struct provider_verdict *ret_verdict)
{
    if (verdict_of_transport(response, ret_verdict))
        return;
    bool is_whole = response->end == PROVIDER_ANSWERED;
    struct json_span object = is_whole ? span_root(response->body, response->body_len) : SPAN_NONE;
    struct json_span told = span_member(object, "error");
    bool has_error = told.at != NULL && !span_is(told, JSON_NULL);
    if (span_is(object, JSON_OBJECT) && (response->status == 200 || (has_error && response->status >= 300))) {
        read_object(object, response->status, ret_verdict);
    } else {
        verdict_of_page(ret_verdict, response);
        if (response->status > 200 && response->status < 300 && is_whole)
            verdict_say(ret_verdict, "HTTP %d: a decision has to come with status 200", response->status);
    }
}
