/* What an outcome spends of an assignment's budgets and how long it waits: the one place. Pure; any thread. */
#ifndef GALLOC_CORE_RETRY_H
#define GALLOC_CORE_RETRY_H

#include "core/outcome.h"
#include "core/rng.h"

#define RETRY_REASKS_MAX 4          /* invalid answers asked again; the fifth fails */
#define RETRY_FULLS_AT_ONCE 4       /* full agents asked again at once; then with the backoff, for ever */
#define RETRY_BROWNOUT_FACTOR 4     /* so many times more retries while the endpoint is ill */
#define RETRY_BROWNOUT_SHARE 0.10   /* of first attempts that fail (EWMA) */
#define RETRY_BROWNOUT_AFTER_MS 600000
#define RETRY_TOKEN_CAP_FACTOR 2    /* after a truncated answer */
#define RETRY_TOKEN_CAP_MAX 16384

/* Budgets of one assignment, as its row has them. */
struct retry_budget {
    int32_t retries_spent, reasks_spent, fulls_spent;
    int32_t failures; /* transient ones, confirmed or not */
    int64_t token_cap;
};

/* What is to become of it. */
enum retry_action { RETRY_SUCCEED, RETRY_FAIL, RETRY_ASK_NOW, RETRY_HOLD_TRANSIENT, RETRY_HOLD_REJECTED, RETRY_PENDING };
struct retry_decision {
    enum retry_action action;
    int64_t delay_ms; /* of PENDING; of HOLD_TRANSIENT: to be waited once it is judged, from the failure on */
    bool is_late;     /* waits behind those never tried */
};

/* Decides and moves the budget. `run_has_success` is about the run; `is_truncated` and `token_cap` (this attempt's) about an invalid answer. */
struct retry_input {
    enum outcome_class class;
    int32_t n; /* the attempt, from 1 */
    bool is_truncated, run_has_success;
    int64_t token_cap, backoff_max_ms;
};
struct retry_decision retry_decide(const struct retry_input *input, struct retry_budget *budget, struct rng *rng);

/* The same for what an outside worker told, where nobody judges an endpoint: a TRANSIENT error spends a retry at once (more than max_retries: fail). Never a hold. */
struct retry_decision retry_decide_outside(enum outcome_class class, int64_t max_retries, int64_t backoff_max_ms, struct retry_budget *budget, struct rng *rng);

/* Full jitter on 1, 2, 4, 8 s: uniform from 0 to min(2^(n-1) s, backoff_max), n from 1 (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
int64_t retry_jitter_ms(int32_t n, int64_t backoff_max_ms, struct rng *rng);

#endif
