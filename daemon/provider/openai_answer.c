/* What came back from chat completions. The order of the tests: transport, body, an error in whatever shape (in a 200 too), then the first choice. Google's compatible
 * endpoint leaves out members that OpenAI always sends, so none but the text is counted on. Pure; any thread. */
#include "core/limits.h"
#include "provider/google_error.h"
#include "provider/openai_error.h"

/* finish_reason: a row each; a name that is not here is odd and asked again. None at all is taken for an end: some servers tell none, and whether the answer is
 * whole is seen when it is read. */
static const struct {
    const char *name;
    enum outcome_class class;
    bool is_truncated;
} finishes[] = {
    {"stop", OUTCOME_SUCCEEDED, false},
    {"eos", OUTCOME_SUCCEEDED, false},
    {"eos_token", OUTCOME_SUCCEEDED, false},
    {"length", OUTCOME_INVALID_ANSWER, true},
    {"max_tokens", OUTCOME_INVALID_ANSWER, true},
    {"model_length", OUTCOME_INVALID_ANSWER, true},
    {"content_filter", OUTCOME_REJECTED, false},
};

/* Ours are parted: completion_tokens holds those of reasoning, and prompt_tokens the cached ones, as ours does. */
static void read_tokens(struct json_span usage, struct provider_verdict *verdict)
{
    enum { IN, CACHED, OUT, THOUGHT };
    struct span_want want[] = {{.name = "prompt_tokens"}, {.name = "completion_tokens"}, {.name = "total_tokens"}, {.name = "prompt_tokens_details"}, {.name = "completion_tokens_details"}};

    span_members(usage, want, ARRAY_COUNT(want));
    int64_t in = wire_token_count(want[0].value), out = wire_token_count(want[1].value), total = wire_token_count(want[2].value);
    int64_t thought = wire_token_count(span_member(want[4].value, "reasoning_tokens"));
    if (out < 0 && in >= 0 && total >= in)
        out = total - in;
    verdict->tokens[IN] = in;
    verdict->tokens[CACHED] = wire_token_count(span_member(want[3].value, "cached_tokens"));
    verdict->tokens[OUT] = out >= 0 ? max_i64(out - max_i64(thought, 0), 0) : -1;
    verdict->tokens[THOUGHT] = thought;
}

/* A text, or the texts of a list of parts. */
static void add_content(struct json_span content, struct buf *out)
{
    struct json_span name, part;
    const char *at = NULL;

    if (span_is(content, JSON_STRING))
        json_span_string(content, out);
    if (!span_is(content, JSON_ARRAY))
        return;
    while (json_next(content, &at, &name, &part)) {
        struct json_span text = span_member(part, "text");
        if (span_is(text, JSON_STRING))
            json_span_string(text, out);
    }
}

static void judge_finish(struct json_span reason, struct provider_verdict *verdict)
{
    char *name = span_text(reason);

    verdict->class = name == NULL || name[0] == '\0' ? OUTCOME_SUCCEEDED : OUTCOME_INVALID_ANSWER;
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(finishes); i++) {
        if (strcmp(name, finishes[i].name) != 0)
            continue;
        verdict->class = finishes[i].class;
        verdict->is_truncated = finishes[i].is_truncated;
    }
    if (verdict->class != OUTCOME_SUCCEEDED)
        verdict_say(verdict, "the model stopped with %.100s", name);
    free(name);
}

static void read_text(struct json_span content, struct provider_verdict *verdict)
{
    struct buf text = BUF_EMPTY;

    add_content(content, &text);
    if (text.len == 0) {
        verdict->class = OUTCOME_INVALID_ANSWER;
        verdict_say(verdict, "the model's answer is empty");
    } else if (strlen(buf_text(&text)) < text.len) {
        verdict->class = OUTCOME_INVALID_ANSWER;
        verdict_say(verdict, "the model's answer holds a NUL character");
    } else {
        verdict->answer = buf_take(&text);
    }
    buf_clear(&text);
}

static void read_choice(struct json_span choice, struct provider_verdict *verdict)
{
    struct span_want want[] = {{.name = "content"}, {.name = "refusal"}};

    judge_finish(span_member(choice, "finish_reason"), verdict);
    span_members(span_member(choice, "message"), want, ARRAY_COUNT(want));
    char *refusal = span_text(want[1].value);
    if (refusal != NULL && refusal[0] != '\0') {
        verdict->class = OUTCOME_REJECTED;
        verdict->is_truncated = false;
        verdict_say(verdict, "the model refused: %s", refusal);
    }
    free(refusal);
    if (verdict->class == OUTCOME_SUCCEEDED)
        read_text(want[0].value, verdict);
}

static void read_answer(struct json_span object, struct provider_verdict *verdict)
{
    struct span_want want[] = {{.name = "choices"}, {.name = "usage"}, {.name = "model"}};

    span_members(object, want, ARRAY_COUNT(want));
    read_tokens(want[1].value, verdict);
    wire_take_model(want[2].value, verdict);
    struct json_span choice = span_first(want[0].value);
    if (span_is(choice, JSON_OBJECT)) {
        read_choice(choice, verdict);
        return;
    }
    verdict->class = OUTCOME_INVALID_ANSWER;
    verdict_say(verdict, "the answer holds no choice");
}

/* Google's own envelope, which no other has: its error has a `status` in words. */
static bool judge_google(struct json_span object, const struct provider_response *response, struct provider_verdict *verdict)
{
    struct google_error error;

    if (!span_is(span_member(span_member(object, "error"), "status"), JSON_STRING) || !google_error_read(object, &error))
        return false;
    google_error_judge(response->status, &error, verdict);
    google_error_clear(&error);
    return true;
}

void openai_classify(const struct provider_response *response, struct provider_verdict *ret_verdict)
{
    struct openai_error error;

    if (verdict_of_transport(response, ret_verdict))
        return;
    bool is_whole = response->end == PROVIDER_ANSWERED;
    struct json_span object = is_whole ? google_unwrap(span_root(response->body, response->body_len)) : SPAN_NONE;
    if (judge_google(object, response, ret_verdict))
        return;
    if (openai_error_read(object, &error)) {
        openai_error_judge(response, &error, ret_verdict);
        openai_error_clear(&error);
    } else if (response->status == 200 && span_is(object, JSON_OBJECT)) {
        read_answer(object, ret_verdict);
    } else {
        verdict_of_page(ret_verdict, response);
    }
}
