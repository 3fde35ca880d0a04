/* Fuzz target: what an API answers, so that every recorded body is a seed as it is: each is tried under the statuses that read it differently, and once with an end
 * and headers that follow from its length. Whatever comes is some class, words that are kept are UTF-8 and short, only a success or a piece of one has an answer, the
 * token of a piece goes back as JSON, and a quota is told of what is slow alone. */
#include "provider/provider.h"

#include "base/json_scan.h"
#include "base/text.h"
#include "core/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_rest(const struct provider_ops *ops, const char *token)
{
    static const struct provider_wire wire = {.base_url = "https://example.org", .api_version = "v1", .model = "m"};
    struct provider_request request = {0};
    if (token[0] == '\0' || strlen(token) > LIMIT_CONTINUATION_BYTES || ops->build_rest(&wire, "{\"a\":1}", 7, token, &request, NULL) != 0)
        abort();
    if (json_check(buf_text(&request.body), request.body.len, NULL) != 0)
        abort();
    provider_request_clear(&request);
}

static void check(const struct provider_ops *ops, const struct provider_verdict *verdict)
{
    bool is_unfinished = verdict->class == OUTCOME_UNFINISHED, is_slow = verdict->class == OUTCOME_THROTTLED || verdict->class == OUTCOME_QUOTA_DAY;
    if ((unsigned)verdict->class >= OUTCOME_CLASS_COUNT)
        abort();
    if ((verdict->answer != NULL) != (verdict->class == OUTCOME_SUCCEEDED || is_unfinished) || (verdict->continuation != NULL) != is_unfinished)
        abort();
    if (verdict->continuation != NULL)
        check_rest(ops, verdict->continuation);
    if ((verdict->message == NULL) != (verdict->class == OUTCOME_SUCCEEDED))
        abort();
    if (verdict->message != NULL && (strlen(verdict->message) > LIMIT_MESSAGE_BYTES || !text_is_utf8(verdict->message, strlen(verdict->message))))
        abort();
    if (is_slow != (verdict->quota_span != QUOTA_NONE) || verdict->retry_after_ms < -1 || verdict->quota_value < -1)
        abort();
    if ((verdict->is_truncated && verdict->class != OUTCOME_INVALID_ANSWER) || (verdict->is_capacity && verdict->class != OUTCOME_UNAVAILABLE))
        abort();
    for (size_t token = 0; token < ARRAY_COUNT(verdict->tokens); token++)
        if (verdict->tokens[token] < -1)
            abort();
}

static void try_all(const struct provider_response *response)
{
    for (size_t i = 0; i < provider_count(); i++) {
        struct provider_verdict verdict;
        memset(&verdict, 0, sizeof verdict);
        provider_at(i)->classify(response, &verdict);
        check(provider_at(i), &verdict);
        provider_verdict_clear(&verdict);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int statuses[] = {200, 400, 403, 429, 503}, odd[] = {0, 201, 302, 401, 402, 404, 408, 409, 413, 499, 500, 501, 777};
    struct provider_response response = {.end = PROVIDER_ANSWERED, .body = (const char *)data, .body_len = len, .retry_after_ms = -1, .message = "words of the transport"};
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        response.status = statuses[i];
        try_all(&response);
    }
    response.status = odd[len % ARRAY_COUNT(odd)];
    response.retry_after_ms = len % 2 == 0 ? (int64_t)len * 1000 : -1;
    response.should_retry = (int)(len % 3) - 1;
    response.is_rest = len % 5 == 0;
    try_all(&response);
    response.end = (enum provider_end)(len % (PROVIDER_TOO_LARGE + 1));
    try_all(&response);
    return 0;
}
