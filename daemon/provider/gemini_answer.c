/* What came back from generateContent. The order of the tests: transport, body, status (an envelope in a 200 too), then quota and RetryInfo
 * (google_error.c); a 200 with candidates is read here. Pure; any thread. */
#include "core/limits.h"
#include "provider/google_error.h"

/* finishReason: a row each; a name that is not here is odd and asked again. */
static const struct {
    const char *name;
    enum outcome_class class;
    bool is_truncated;
} finishes[] = {
    {"STOP", OUTCOME_SUCCEEDED, false},
    {"MAX_TOKENS", OUTCOME_INVALID_ANSWER, true},
    {"CONTINUATION", OUTCOME_UNFINISHED, false},
    {"SAFETY", OUTCOME_REJECTED, false},
    {"BLOCKLIST", OUTCOME_REJECTED, false},
    {"PROHIBITED_CONTENT", OUTCOME_REJECTED, false},
    {"SPII", OUTCOME_REJECTED, false},
    {"IMAGE_SAFETY", OUTCOME_REJECTED, false},
    {"IMAGE_PROHIBITED_CONTENT", OUTCOME_REJECTED, false},
    {"IMAGE_RECITATION", OUTCOME_REJECTED, false},
    {"IMAGE_OTHER", OUTCOME_REJECTED, false},
    {"NO_IMAGE", OUTCOME_REJECTED, false},
};

static void read_tokens(struct json_span usage, struct provider_verdict *verdict)
{
    /* In the order of the verdict's counts. promptTokenCount holds the cached ones; candidatesTokenCount not the thoughts. */
    struct span_want want[] = {{.name = "promptTokenCount"},
                               {.name = "cachedContentTokenCount"},
                               {.name = "candidatesTokenCount"},
                               {.name = "thoughtsTokenCount"},
                               {.name = "toolUsePromptTokenCount"}};
    _Static_assert(ARRAY_COUNT(want) == sizeof((struct provider_verdict *)0)->tokens / sizeof(int64_t), "a name for every count");

    span_members(usage, want, ARRAY_COUNT(want));
    for (size_t i = 0; i < ARRAY_COUNT(want); i++)
        verdict->tokens[i] = wire_token_count(want[i].value);
}

/* The texts of the parts in their order, without the model's thoughts. */
static void add_parts(struct json_span parts, struct buf *out)
{
    struct json_span name, part;
    const char *at = NULL;

    if (!span_is(parts, JSON_ARRAY))
        return;
    while (json_next(parts, &at, &name, &part)) {
        struct span_want want[] = {{.name = "text"}, {.name = "thought"}};
        span_members(part, want, ARRAY_COUNT(want));
        if (span_is(want[0].value, JSON_STRING) && !span_is_true(want[1].value))
            json_span_string(want[0].value, out);
    }
}

static void judge_finish(struct json_span reason, struct json_span words, struct provider_verdict *verdict)
{
    char *name = span_text(reason), *message = span_text(words);

    verdict->class = OUTCOME_INVALID_ANSWER;
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(finishes); i++) {
        if (strcmp(name, finishes[i].name) != 0)
            continue;
        verdict->class = finishes[i].class;
        verdict->is_truncated = finishes[i].is_truncated;
    }
    if (name == NULL)
        verdict_say(verdict, "the model did not say why it stopped");
    else if (verdict->class != OUTCOME_SUCCEEDED)
        verdict_say(verdict, "the model stopped with %.100s%s%s", name, message != NULL ? ": " : "", message != NULL ? message : "");
    free(name);
    free(message);
}

static void read_text(struct json_span content, bool may_be_empty, struct provider_verdict *verdict)
{
    struct buf text = BUF_EMPTY;

    add_parts(span_member(content, "parts"), &text);
    if (text.len == 0 && !may_be_empty) {
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

/* Without a token that can be sent back, the answer is a cut one: with a higher cap it need not be continued. */
static void read_continuation(struct json_span token, struct provider_verdict *verdict)
{
    struct buf text = BUF_EMPTY;

    if (span_is(token, JSON_STRING))
        json_span_string(token, &text);
    if (text.len > 0 && text.len <= LIMIT_CONTINUATION_BYTES && strlen(buf_text(&text)) == text.len) {
        verdict->continuation = buf_take(&text);
    } else {
        verdict->class = OUTCOME_INVALID_ANSWER;
        verdict->is_truncated = true;
        verdict_say(verdict, "the model stopped with CONTINUATION, without a token to go on with");
    }
    buf_clear(&text);
}

static void read_candidate(struct json_span candidate, bool is_rest, struct provider_verdict *verdict)
{
    struct span_want want[] = {{.name = "content"}, {.name = "finishReason"}, {.name = "finishMessage"}, {.name = "continuationToken"}};

    span_members(candidate, want, ARRAY_COUNT(want));
    judge_finish(want[1].value, want[2].value, verdict);
    if (verdict->class == OUTCOME_UNFINISHED)
        read_continuation(want[3].value, verdict);
    if (verdict->class == OUTCOME_SUCCEEDED || verdict->class == OUTCOME_UNFINISHED)
        read_text(want[0].value, is_rest || verdict->class == OUTCOME_UNFINISHED, verdict);
    if (verdict->class == OUTCOME_INVALID_ANSWER) {
        free(verdict->continuation);
        verdict->continuation = NULL;
    }
}

static void read_answer(struct json_span object, bool is_rest, struct provider_verdict *verdict)
{
    struct span_want want[] = {{.name = "candidates"}, {.name = "usageMetadata"}, {.name = "modelVersion"}, {.name = "promptFeedback"}};

    span_members(object, want, ARRAY_COUNT(want));
    verdict->class = OUTCOME_INVALID_ANSWER;
    read_tokens(want[1].value, verdict);
    wire_take_model(want[2].value, verdict);
    struct json_span candidate = span_first(want[0].value);
    if (span_is(candidate, JSON_OBJECT)) {
        read_candidate(candidate, is_rest, verdict);
        return;
    }
    char *block = span_text(span_member(want[3].value, "blockReason"));
    if (block != NULL) {
        verdict->class = OUTCOME_REJECTED;
        verdict_say(verdict, "the prompt was blocked: %.100s", block);
    } else {
        verdict_say(verdict, "the answer holds no candidate");
    }
    free(block);
}

void gemini_classify(const struct provider_response *response, struct provider_verdict *ret_verdict)
{
    struct google_error error;

    if (verdict_of_transport(response, ret_verdict))
        return;
    bool is_whole = response->end == PROVIDER_ANSWERED;
    struct json_span object = is_whole ? google_unwrap(span_root(response->body, response->body_len)) : SPAN_NONE;
    if (google_error_read(object, &error)) {
        google_error_judge(response->status, &error, ret_verdict);
        google_error_clear(&error);
    } else if (response->status == 200 && span_is(object, JSON_OBJECT)) {
        read_answer(object, response->is_rest, ret_verdict);
    } else {
        verdict_of_page(ret_verdict, response);
    }
}
