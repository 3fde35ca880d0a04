/* What a decision costs: CPU of one ask, one send and one outcome of a pacer that is busy: a window's budget of 20,000 calls is learned, the minute's log is full of sends,
 * 256 calls are under way. decision [COUNT] prints nanoseconds a call, of so many calls (2,000,000). Called by bench/pacing. */
#include "core/pacer.h"

#include "base/parse.h"

#include <stdio.h>
#include <time.h>

enum { WINDOW_CALLS = 20000, UNDER_WAY = 256, TOKENS = 1500, EVERY_US = 60000000 / WINDOW_CALLS, COUNT = 2000000 };

static struct pacer_now at(int64_t us)
{
    return (struct pacer_now){.mono_us = us, .wall_ms = INT64_C(1795448640000) + us / 1000};
}

static struct pacer *busy_pacer(void)
{
    const struct pacer_limits limits = {.rpm = 2 * WINDOW_CALLS, .tpm = INT64_C(4) * WINDOW_CALLS * TOKENS, .rpd = INT64_C(1) << 40, .max_in_flight = 2 * UNDER_WAY, .time_scale = 1};
    const struct pacer_learned learned = {.mode = 4, .window_calls = 1.1 * WINDOW_CALLS, .unit_tokens = TOKENS, .confidence = 1, .concurrency = 2 * UNDER_WAY, .base_latency_us = 1e6};
    struct pacer *pacer = pacer_new(&limits, 1);
    if (!pacer_warm(pacer, &learned))
        fputs("decision: what is learned is of another version\n", stderr);
    return pacer;
}

/* One call in each turn: asked for, sent, and the one that was sent so many before answered. How many were let go. */
static int64_t turns(struct pacer *pacer, int64_t first, int64_t count)
{
    int64_t let_go = 0;
    for (int64_t i = first; i < first + count; i++) {
        struct pacer_now now = at((i + 1) * EVERY_US);
        struct pacer_change change;
        let_go += pacer_ask(pacer, now, TOKENS, UNDER_WAY, true, false).wait == PACER_GO;
        pacer_sent(pacer, now, TOKENS);
        if (i < UNDER_WAY)
            continue;
        int64_t sent_us = (i + 1 - UNDER_WAY) * EVERY_US;
        const struct pacer_outcome outcome = {.class = OUTCOME_SUCCEEDED, .sent_us = sent_us, .latency_us = now.mono_us - sent_us, .is_first_attempt = true,
                                              .in_flight = UNDER_WAY, .retry_after_ms = -1, .quota_value = -1, .tokens = TOKENS + 7};
        pacer_outcome(pacer, now, &outcome, &change);
    }
    return let_go;
}

int main(int argc, char **argv)
{
    int64_t count = COUNT;
    if (argc > 2 || (argc == 2 && parse_i64(argv[1], 1, 1000000000, &count, NULL) < 0)) {
        fputs("usage: decision [COUNT]\n", stderr);
        return 2;
    }
    struct pacer *pacer = busy_pacer();
    turns(pacer, 0, 2 * WINDOW_CALLS); /* two minutes: the log is as full as it gets */
    clock_t began = clock();
    int64_t let_go = turns(pacer, 2 * WINDOW_CALLS, count);
    double ns = (double)(clock() - began) / CLOCKS_PER_SEC * 1e9 / (double)count;
    printf("%.0f ns a decision, %.1f %% let go\n", ns, 100 * (double)let_go / (double)count);
    pacer_free(pacer);
    return 0;
}
