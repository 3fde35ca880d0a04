/* See breaker.h. */
#include "core/breaker.h"

#include "core/retry.h"

static void schedule_probe(struct breaker *b, int64_t now_ms, struct rng *rng)
{
    static const int64_t waits_ms[] = {1000, 2000, 4000, 8000, 15000};
    int n = b->probes_failed < (int)ARRAY_COUNT(waits_ms) ? b->probes_failed : (int)ARRAY_COUNT(waits_ms) - 1;
    int64_t wait_ms = now_ms - b->opened_ms >= 1800000 ? 60000 : waits_ms[n];
    b->next_probe_ms = now_ms + (int64_t)((double)wait_ms * rng_range(rng, 0.9, 1.1));
}

static void open_breaker(struct breaker *b, int64_t now_ms, bool by_count, struct rng *rng)
{
    b->is_open = true;
    b->opened_by_count = by_count;
    b->opened_ms = now_ms;
    b->probes_failed = 0;
    b->failures = 0;
    schedule_probe(b, now_ms, rng);
}

static void close_breaker(struct breaker *b, int64_t now_ms)
{
    b->is_open = false;
    b->closed_ms = now_ms;
    b->failures = 0;
}

static bool is_known_port(const struct breaker *b, int32_t local_port)
{
    for (int i = 0; local_port != 0 && i < b->failures; i++)
        if (b->ports[i] == local_port)
            return true;
    return false;
}

bool breaker_failure(struct breaker *b, int64_t now_ms, int64_t sent_ms, int32_t local_port, bool counts, struct rng *rng)
{
    if (b->is_open || !counts || sent_ms < b->closed_ms || is_known_port(b, local_port))
        return false;
    if (b->failures == 0)
        b->first_sent_ms = sent_ms;
    b->ports[b->failures++] = local_port;
    if (b->failures < BREAKER_FAILURES)
        return false;
    open_breaker(b, now_ms, true, rng);
    return true;
}

bool breaker_test_failure(struct breaker *b, int64_t now_ms, struct rng *rng)
{
    if (!b->is_open) {
        open_breaker(b, now_ms, false, rng);
        return true;
    }
    b->probes_failed++;
    schedule_probe(b, now_ms, rng);
    return false;
}

bool breaker_success(struct breaker *b, int64_t now_ms, int64_t sent_ms, enum breaker_sign sign, bool *ret_strikes)
{
    *ret_strikes = false;
    if (sign == BREAKER_SUCCEEDED)
        b->success_since_close = true;
    if (sent_ms >= b->first_sent_ms)
        b->failures = 0;
    if (!b->is_open || sent_ms < b->opened_ms)
        return false;
    bool by_first_probe = sign == BREAKER_TEST_WELL && b->probes_failed == 0;
    close_breaker(b, now_ms);
    if (b->opened_by_count || b->success_since_close)
        b->strikes = by_first_probe && !b->success_since_close ? b->strikes + 1 : 0;
    b->success_since_close = false;
    *ret_strikes = b->strikes >= BREAKER_STRIKES;
    return true;
}

void breaker_resume(struct breaker *b, int64_t now_ms)
{
    close_breaker(b, now_ms);
    b->strikes = 0;
}

void breaker_first_attempt(struct breaker *b, int64_t now_ms, bool has_failed)
{
    b->first_failures += BREAKER_EWMA_WEIGHT * ((has_failed ? 1 : 0) - b->first_failures);
    if (b->first_failures >= RETRY_BROWNOUT_SHARE)
        b->ill_until_ms = now_ms + RETRY_BROWNOUT_AFTER_MS;
}

int64_t breaker_max_retries(const struct breaker *b, int64_t now_ms, int64_t max_retries)
{
    return now_ms < b->ill_until_ms ? max_retries * RETRY_BROWNOUT_FACTOR : max_retries;
}

bool breaker_wants_probe(const struct breaker *b, int64_t now_ms)
{
    return b->is_open && now_ms >= b->next_probe_ms;
}
