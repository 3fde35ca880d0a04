/* Fuzz target: a provider's reading of a response. Whatever an endpoint answers is some class, with words that can be kept, and a success has an answer. */
#include "base/text.h"
#include "core/limits.h"
#include "provider/provider.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct provider_verdict *verdict)
{
    bool is_slow = verdict->class == OUTCOME_THROTTLED || verdict->class == OUTCOME_QUOTA_DAY;

    bool is_unfinished = verdict->class == OUTCOME_UNFINISHED;

    if ((verdict->class == OUTCOME_SUCCEEDED || is_unfinished) != (verdict->answer != NULL) || is_unfinished != (verdict->continuation != NULL) || (verdict->class == OUTCOME_SUCCEEDED) != (verdict->message == NULL))
        abort();
    if (verdict->message != NULL && (strlen(verdict->message) > LIMIT_MESSAGE_BYTES || !text_is_utf8(verdict->message, strlen(verdict->message))))
        abort();
    if (is_slow != (verdict->quota_span != QUOTA_NONE) || verdict->retry_after_ms < -1 || verdict->quota_value < -1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int statuses[] = {200, 400, 403, 429, 503};

    for (size_t p = 0; p < provider_count(); p++)
        for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
            struct provider_response response = {.status = statuses[i], .body = (const char *)data, .body_len = len, .retry_after_ms = -1};
            struct provider_verdict verdict;
            provider_at(p)->classify(&response, &verdict);
            check(&verdict);
            provider_verdict_clear(&verdict);
        }
    return 0;
}
