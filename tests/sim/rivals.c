/* Known ways to drive an endpoint, for comparison; each by its published rule.
 *
 *   oracle   sends at the very moment the server takes the call, with as many under way as it bears: the physical limit, ratios are against it
 *   seed     the loop that galloc replaces: batches of 5 with a barrier, 500 ms between them, 3 retries after 1, 2, 4 s
 *   pool     so many at once, retries as above
 *   aimd     Netflix concurrency-limits, AIMDLimit.java: a success while half in use +1, a drop x 0.9, from 20 up to 200 (its floor of 20 lowered to 1)
 *   aws      botocore's adaptive mode: retries/throttling.py (CubicCalculator: beta 0.7, scale constant 0.4), retries/bucket.py (token bucket, at least 0.5/s),
 *            retries/adaptive.py (rate measured in half seconds, smoothing 0.8, at most twice the measured one); 64 at once, 10 attempts
 *   aimd and aws wait with full jitter up to 20 s between attempts (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015); aimd obeys a hint. */
#include "tests/sim/dice.h"
#include "tests/sim/world.h"

#include <stdlib.h>

enum { SEED_BATCH = 5, SEED_GAP_US = 500000, SEED_ATTEMPTS = 4, JITTER_ATTEMPTS = 10, JITTER_MAX_S = 20, AWS_POOL = 64 };

struct rival {
    struct world *world; /* borrowed */
    struct rng rng;
    double limit;        /* of calls at once */
    /* seed */
    bool *in_batch;      /* owned: by assignment */
    int opened, members;
    int64_t gate_us;
    /* aws; seconds */
    bool is_limiting;
    double w_max, k_s, last_throttle_s, fill, capacity, current, filled_at_s, bucket_s, measured;
    int64_t in_bucket;
};

static void *start(struct world *world, uint64_t seed, double limit)
{
    struct rival *r = xcalloc(1, sizeof *r);
    *r = (struct rival){.world = world, .limit = limit, .fill = 1, .capacity = 1};
    dice_init(&r->rng, seed, 1);
    r->in_batch = xcalloc((size_t)world_left(world), sizeof *r->in_batch);
    return r;
}

static void rival_end(void *state)
{
    struct rival *r = state;
    free(r->in_batch);
    free(r);
}

static void sent_unseen(void *state, struct world_call *call)
{
    (void)state;
    (void)call;
}

static int64_t half_minute_us(void *state, const struct world_call *call)
{
    (void)state;
    (void)call;
    return 30000000;
}

static int64_t minute_us(void *state, const struct world_call *call)
{
    (void)state;
    (void)call;
    return 60000000;
}

static int64_t ask_pool(void *state, const struct world_item *item)
{
    struct rival *r = state;
    (void)item;
    return world_in_flight(r->world) < (int64_t)r->limit ? 0 : -1;
}

static double now_s(const struct rival *r)
{
    return (double)world_now_us(r->world) / 1e6;
}

/* ---- oracle ---- */

static void *oracle_start(struct world *world, uint64_t seed)
{
    return start(world, seed, (double)server_bears(world_server(world), WORLD_MAX_IN_FLIGHT));
}

static int64_t oracle_ask(void *state, const struct world_item *item)
{
    struct rival *r = state;
    if (world_in_flight(r->world) >= (int64_t)r->limit)
        return -1;
    double wait_s = server_next_s(world_server(r->world), now_s(r), item->tokens) - now_s(r);
    return wait_s <= 0 ? 0 : (int64_t)ceil(wait_s * 1e6);
}

static int64_t for_ever_us(void *state, const struct world_call *call)
{
    (void)state;
    (void)call;
    return INT64_MAX / 4;
}

static struct policy_verdict oracle_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    struct rival *r = state;
    if (answer->status == 200)
        return (struct policy_verdict){.move = POLICY_DONE};
    bool is_poisoned = server_is_poisoned(world_server(r->world), call->item->number);
    return (struct policy_verdict){.move = is_poisoned ? POLICY_FAIL : POLICY_RETRY};
}

/* ---- the seed's loop, pools ---- */

static void *seed_start(struct world *world, uint64_t seed)
{
    return start(world, seed, SEED_BATCH);
}

static void *pool64_start(struct world *world, uint64_t seed)
{
    return start(world, seed, 64);
}

static struct policy_verdict fixed_backoff(struct world_call *call, const struct server_answer *answer)
{
    if (answer->status == 200)
        return (struct policy_verdict){.move = POLICY_DONE};
    if (++call->item->failures >= SEED_ATTEMPTS)
        return (struct policy_verdict){.move = POLICY_FAIL};
    return (struct policy_verdict){.move = POLICY_RETRY, .delay_us = INT64_C(1000000) << (call->item->failures - 1)};
}

static struct policy_verdict pool_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    (void)state;
    return fixed_backoff(call, answer);
}

static int64_t seed_ask(void *state, const struct world_item *item)
{
    struct rival *r = state;
    if (r->in_batch[item->number])
        return 0;
    if (r->opened >= SEED_BATCH)
        return -1;
    return max_i64(0, r->gate_us - world_now_us(r->world));
}

static void seed_sent(void *state, struct world_call *call)
{
    struct rival *r = state;
    bool *is_member = &r->in_batch[call->item->number];
    r->opened += !*is_member;
    r->members += !*is_member;
    *is_member = true;
}

static struct policy_verdict seed_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    struct rival *r = state;
    struct policy_verdict verdict = fixed_backoff(call, answer);
    if (verdict.move == POLICY_RETRY)
        return verdict;
    r->in_batch[call->item->number] = false;
    if (--r->members == 0) { /* the barrier */
        r->opened = 0;
        r->gate_us = world_now_us(r->world) + SEED_GAP_US;
    }
    return verdict;
}

/* ---- aimd ---- */

static void *aimd_start(struct world *world, uint64_t seed)
{
    return start(world, seed, 20);
}

static struct policy_verdict jittered(struct rival *r, struct world_call *call, const struct server_answer *answer, bool obeys_hint)
{
    if (answer->status == 200)
        return (struct policy_verdict){.move = POLICY_DONE};
    if (++call->item->failures >= JITTER_ATTEMPTS)
        return (struct policy_verdict){.move = POLICY_FAIL};
    double wait_s = rng_unit(&r->rng) * fmin(JITTER_MAX_S, ldexp(1, call->item->failures - 1));
    if (answer->has_hint && obeys_hint)
        wait_s = fmax(wait_s, (double)answer->retry_after_ms / 1000 + 0.2 * rng_unit(&r->rng));
    return (struct policy_verdict){.move = POLICY_RETRY, .delay_us = (int64_t)(wait_s * 1e6)};
}

static struct policy_verdict aimd_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    struct rival *r = state;
    double in_flight = (double)world_in_flight(r->world) + 1;
    if (answer->status == 200 && in_flight * 2 >= r->limit)
        r->limit = fmin(200, r->limit + 1);
    else if (answer->status != 200 && answer->status != 500)
        r->limit = fmax(1, floor(r->limit * 0.9));
    return jittered(r, call, answer, true);
}

/* ---- aws ---- */

static void *aws_start(struct world *world, uint64_t seed)
{
    return start(world, seed, AWS_POOL);
}

static void refill(struct rival *r)
{
    r->current = fmin(r->capacity, r->current + (now_s(r) - r->filled_at_s) * r->fill);
    r->filled_at_s = now_s(r);
}

static int64_t aws_ask(void *state, const struct world_item *item)
{
    struct rival *r = state;
    if (ask_pool(state, item) != 0)
        return -1;
    if (!r->is_limiting)
        return 0;
    refill(r);
    return r->current >= 1 - 1e-9 ? 0 : (int64_t)ceil((1 - r->current) / r->fill * 1e6);
}

static void aws_sent(void *state, struct world_call *call)
{
    struct rival *r = state;
    (void)call;
    if (!r->is_limiting)
        return;
    refill(r);
    r->current -= 1;
}

static void measure(struct rival *r)
{
    double bucket_s = floor(now_s(r) * 2) / 2;
    r->in_bucket++;
    if (bucket_s <= r->bucket_s)
        return;
    r->measured = (double)r->in_bucket / (bucket_s - r->bucket_s) * 0.8 + r->measured * 0.2;
    r->in_bucket = 0;
    r->bucket_s = bucket_s;
}

static struct policy_verdict aws_answered(void *state, struct world_call *call, const struct server_answer *answer)
{
    struct rival *r = state;
    double rate;
    measure(r);
    if (answer->status == 429) {
        r->w_max = r->is_limiting ? fmin(r->measured, r->fill) : r->measured;
        r->k_s = cbrt(r->w_max * 0.3 / 0.4);
        r->last_throttle_s = now_s(r);
        r->is_limiting = true;
        rate = r->w_max * 0.7;
    } else {
        rate = 0.4 * pow(now_s(r) - r->last_throttle_s - r->k_s, 3) + r->w_max;
    }
    refill(r);
    rate = fmin(rate, 2 * r->measured);
    r->fill = fmax(0.5, rate);
    r->capacity = fmax(1, rate);
    r->current = fmin(r->current, r->capacity);
    return jittered(r, call, answer, false);
}

const struct policy policy_oracle = {"oracle", "the physical limit", true, oracle_start, rival_end, oracle_ask, sent_unseen, for_ever_us, oracle_answered, NULL, NULL, NULL, NULL};
const struct policy policy_seed = {"seed", "batches of 5, 500 ms", false, seed_start, rival_end, seed_ask, seed_sent, half_minute_us, seed_answered, NULL, NULL, NULL, NULL};
const struct policy policy_pool5 = {"pool5", "5 at once", false, seed_start, rival_end, ask_pool, sent_unseen, half_minute_us, pool_answered, NULL, NULL, NULL, NULL};
const struct policy policy_pool64 = {"pool64", "64 at once", false, pool64_start, rival_end, ask_pool, sent_unseen, half_minute_us, pool_answered, NULL, NULL, NULL, NULL};
const struct policy policy_aimd = {"aimd", "Netflix AIMD", false, aimd_start, rival_end, ask_pool, sent_unseen, minute_us, aimd_answered, NULL, NULL, NULL, NULL};
const struct policy policy_aws = {"aws", "AWS adaptive", false, aws_start, rival_end, aws_ask, aws_sent, minute_us, aws_answered, NULL, NULL, NULL, NULL};
