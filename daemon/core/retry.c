/* See retry.h. */
#include "core/retry.h"

#include "base/negative.h"

int64_t retry_jitter_ms(int32_t n, int64_t backoff_max_ms, struct rng *rng)
{
    int64_t ceiling = INT64_C(1000) << clamp_i64(n - 1, 0, 9);
    return (int64_t)(rng_unit(rng) * (double)min_i64(ceiling, backoff_max_ms));
}

static struct retry_decision reask(const struct retry_input *input, struct retry_budget *budget, struct rng *rng)
{
    if (input->class == OUTCOME_AGENT_FULL) {
        int32_t n = ++budget->fulls_spent;
        if (n <= RETRY_FULLS_AT_ONCE)
            return (struct retry_decision){.action = RETRY_ASK_NOW};
        return (struct retry_decision){.action = RETRY_PENDING, .delay_ms = retry_jitter_ms(n - RETRY_FULLS_AT_ONCE, input->backoff_max_ms, rng)};
    }
    if (budget->reasks_spent >= RETRY_REASKS_MAX)
        return (struct retry_decision){.action = RETRY_FAIL};
    budget->reasks_spent++;
    if (input->is_truncated)
        budget->token_cap = min_i64(input->token_cap * RETRY_TOKEN_CAP_FACTOR, max_i64(RETRY_TOKEN_CAP_MAX, input->token_cap));
    return (struct retry_decision){.action = RETRY_ASK_NOW};
}

struct retry_decision retry_decide(const struct retry_input *input, struct retry_budget *budget, struct rng *rng)
{
    switch (outcome_row(input->class)->rule) {
    case RULE_SETTLE:
        return (struct retry_decision){.action = RETRY_SUCCEED};
    case RULE_REASK:
        return reask(input, budget, rng);
    case RULE_RETRY:
        budget->failures++;
        return (struct retry_decision){.action = RETRY_HOLD_TRANSIENT,
                                       .delay_ms = retry_jitter_ms(budget->failures, input->backoff_max_ms, rng),
                                       .is_late = budget->failures > 1};
    case RULE_WAIT:
        if (BREAKS(REFUSAL_SPENDS))
            budget->retries_spent++;
        /* refused again, it may be refused for ever: it shall not go first each time, as the endpoint's canary */
        return (struct retry_decision){.action = RETRY_PENDING,
                                       .delay_ms = input->class == OUTCOME_UNAVAILABLE ? (int64_t)rng_range(rng, 500, 1000) : 0,
                                       .is_late = budget->failures > 1 || (input->class == OUTCOME_THROTTLED && input->n > 1)};
    case RULE_HOLD:
        return (struct retry_decision){.action = input->run_has_success ? RETRY_FAIL : RETRY_HOLD_REJECTED};
    case RULE_GIVEN_BACK:
        return (struct retry_decision){.action = RETRY_PENDING, .is_late = budget->failures > 1};
    case RULE_FINAL:
    default:
        return (struct retry_decision){.action = RETRY_FAIL};
    }
}

struct retry_decision retry_decide_outside(enum outcome_class class, int64_t max_retries, int64_t backoff_max_ms, struct retry_budget *budget, struct rng *rng)
{
    struct retry_input input = {.class = class, .run_has_success = true, .backoff_max_ms = backoff_max_ms};
    struct retry_decision decision = retry_decide(&input, budget, rng);
    if (decision.action == RETRY_HOLD_TRANSIENT) { /* the worker's own word: there is no endpoint to be judged first */
        decision.action = budget->retries_spent >= max_retries ? RETRY_FAIL : RETRY_PENDING;
        budget->retries_spent += decision.action == RETRY_PENDING;
    } else if (decision.action == RETRY_ASK_NOW) {
        decision.action = RETRY_PENDING; /* whoever leases next asks */
    }
    return decision;
}
