/* What an HTTP status means where nothing finer is told: the one table for all providers. Pure; any thread. */
#include "provider/provider_internal.h"

/* The first row that holds the status. */
static const struct {
    int low, high;
    enum outcome_class class;
    bool is_capacity;
} status_rows[] = {
    {200, 299, OUTCOME_INVALID_ANSWER, false},
    {300, 399, OUTCOME_CONFIG, false}, /* redirects are not followed: the base URL is wrong */
    {401, 401, OUTCOME_CREDENTIALS, false},
    {402, 402, OUTCOME_BILLING, false},
    {403, 403, OUTCOME_CREDENTIALS, false},
    {404, 405, OUTCOME_CONFIG, false},
    {407, 407, OUTCOME_CONFIG, false}, /* the proxy's */
    {408, 408, OUTCOME_TRANSIENT, false},
    {410, 410, OUTCOME_CONFIG, false},
    {421, 421, OUTCOME_TRANSIENT, false},
    {425, 425, OUTCOME_TRANSIENT, false},
    {429, 429, OUTCOME_THROTTLED, false},
    {499, 499, OUTCOME_TRANSIENT, false},
    {400, 498, OUTCOME_REJECTED, false},
    {501, 501, OUTCOME_CONFIG, false},
    {503, 503, OUTCOME_UNAVAILABLE, true},
    {529, 529, OUTCOME_UNAVAILABLE, true}, /* overloaded, of some gateways */
    {500, 599, OUTCOME_TRANSIENT, false},
};

void verdict_judge_status(struct provider_verdict *verdict, int status)
{
    verdict->class = OUTCOME_TRANSIENT; /* no number that HTTP knows */
    for (size_t i = 0; i < ARRAY_COUNT(status_rows); i++) {
        if (status < status_rows[i].low || status > status_rows[i].high)
            continue;
        verdict->class = status_rows[i].class;
        verdict->is_capacity = status_rows[i].is_capacity;
        break;
    }
    if (verdict->class == OUTCOME_THROTTLED)
        verdict->quota_span = QUOTA_UNNAMED;
}

void verdict_of_page(struct provider_verdict *verdict, const struct provider_response *response)
{
    bool is_whole = response->end == PROVIDER_ANSWERED;

    verdict_judge_status(verdict, response->status);
    free(verdict->message);
    verdict->message = is_whole ? message_of_page(response->status, response->body != NULL ? response->body : "", response->body_len) : NULL;
    if (!is_whole)
        verdict_say(verdict, "HTTP %d: the answer is larger than the limit", response->status);
}
