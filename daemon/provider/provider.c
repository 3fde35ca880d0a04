/* The table of providers, and what is the same for all of them: freeing, and the ends below HTTP. */
#include "provider/provider_internal.h"

static const struct provider_ops *const providers[] = {&provider_gemini, &provider_openai, &provider_http};

const struct provider_ops *provider_by_name(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(providers); i++)
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    return NULL;
}

size_t provider_count(void)
{
    return ARRAY_COUNT(providers);
}

const struct provider_ops *provider_at(size_t index)
{
    return index < ARRAY_COUNT(providers) ? providers[index] : NULL;
}

/* Vertex AI has tiers of its own, which are asked for in another way. */
bool provider_takes_tier(const struct provider_ops *ops, const struct provider_wire *wire, enum price_tier tier)
{
    return tier == TIER_STANDARD || (ops->takes_tiers && !wire->is_vertex);
}

bool provider_has_test(const struct provider_ops *ops, const struct provider_wire *wire)
{
    return ops->build_test != NULL && (!ops->test_needs_path || (wire->test_path != NULL && wire->test_path[0] != '\0'));
}

void provider_request_clear(struct provider_request *request)
{
    buf_clear(&request->url);
    buf_clear(&request->body);
    buf_clear(&request->header_text);
    buf_clear(&request->call_header);
    *request = (struct provider_request){.method = NULL};
}

void verdict_init(struct provider_verdict *verdict, enum outcome_class class)
{
    *verdict = (struct provider_verdict){.class = class, .quota_value = -1, .retry_after_ms = -1};
    for (size_t i = 0; i < ARRAY_COUNT(verdict->tokens); i++)
        verdict->tokens[i] = -1;
}

void provider_verdict_clear(struct provider_verdict *verdict)
{
    free(verdict->answer);
    free(verdict->continuation);
    free(verdict->message);
    free(verdict->model_version);
    verdict_init(verdict, OUTCOME_LOST);
}

/* A row an end. TOO_LARGE goes by its status when it has one: an overlong page of a 503 is a 503. */
static const struct {
    enum outcome_class class;
    const char *text;
} ends[] = {
    [PROVIDER_ANSWERED] = {OUTCOME_SUCCEEDED, ""},
    [PROVIDER_NOT_SENT] = {OUTCOME_UNAVAILABLE, "no connection: nothing was sent"},
    [PROVIDER_CONFIG] = {OUTCOME_CONFIG, "the address or the certificate was refused"},
    [PROVIDER_BROKEN] = {OUTCOME_TRANSIENT, "the connection broke before the whole answer had come"},
    [PROVIDER_TIMED_OUT] = {OUTCOME_TRANSIENT, "no whole answer within the time limit"},
    [PROVIDER_LOST] = {OUTCOME_LOST, "a connection used again died after the request: possibly billed"},
    [PROVIDER_TOO_LARGE] = {OUTCOME_TRANSIENT, "the answer's header is larger than the limit"},
};

bool verdict_of_transport(const struct provider_response *response, struct provider_verdict *verdict)
{
    size_t end = (size_t)response->end;

    if (end >= ARRAY_COUNT(ends))
        end = PROVIDER_BROKEN;
    verdict_init(verdict, ends[end].class);
    verdict->retry_after_ms = response->retry_after_ms;
    if (end == PROVIDER_ANSWERED || (end == PROVIDER_TOO_LARGE && response->status >= 200))
        return false;
    verdict_say(verdict, "%s", response->message != NULL && response->message[0] != '\0' ? response->message : ends[end].text);
    return true;
}
