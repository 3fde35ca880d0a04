/* Fuzz target: what an API answers. The first two bytes choose how the call ended and its status, the rest is the body. Whatever comes is some
 * class, words that are kept are UTF-8 and short, only a success or a piece of one has an answer, and the token of a piece goes back as JSON. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int statuses[] = {200, 400, 401, 402, 403, 404, 408, 409, 413, 429, 499, 500, 501, 502, 503, 504, 302, 299, 0, 777};
    if (len < 2)
        return 0;
    struct provider_response response = {
        .end = data[0] < 200 ? PROVIDER_ANSWERED : (enum provider_end)(data[0] % (PROVIDER_TOO_LARGE + 1)),
        .status = statuses[data[1] % ARRAY_COUNT(statuses)],
        .body = (const char *)data + 2,
        .body_len = len - 2,
        .retry_after_ms = data[0] % 3 == 0 ? data[1] * 1000 : -1,
        .message = "words of the transport",
        .is_rest = data[1] % 2 == 1,
    };
    for (size_t i = 0; i < provider_count(); i++) {
        struct provider_verdict verdict;
        memset(&verdict, 0, sizeof verdict);
        provider_at(i)->classify(&response, &verdict);
        if ((unsigned)verdict.class >= OUTCOME_CLASS_COUNT)
            abort();
        if ((verdict.answer != NULL) != (verdict.class == OUTCOME_SUCCEEDED || verdict.class == OUTCOME_UNFINISHED))
            abort();
        if ((verdict.continuation != NULL) != (verdict.class == OUTCOME_UNFINISHED))
            abort();
        if (verdict.continuation != NULL)
            check_rest(provider_at(i), verdict.continuation);
        if (verdict.message != NULL && (strlen(verdict.message) > LIMIT_MESSAGE_BYTES || !text_is_utf8(verdict.message, strlen(verdict.message))))
            abort();
        for (size_t token = 0; token < ARRAY_COUNT(verdict.tokens); token++)
            if (verdict.tokens[token] < -1)
                abort();
        provider_verdict_clear(&verdict);
    }
    return 0;
}
