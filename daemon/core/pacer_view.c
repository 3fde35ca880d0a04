/* What a pacer tells: its changes of mind, its view for people, what it learned for the next life. See pacer.h. */
#include "core/pacer_parts.h"

#define MOVED_SHARE 0.05 /* of the window's budget: less is not worth a line */

static const char *mode_name(const struct pacer *pacer)
{
    static const char *const names[] = {
        [PACE_STARTUP] = "startup", [PACE_GROWTH] = "growth", [PACE_RATE] = "rate", [PACE_VERIFY] = "verify", [PACE_WINDOW] = "window"};
    return names[pacer->pace.mode];
}

void pacer_add_event(struct pacer *pacer, enum pacer_event_kind kind, double before, double after)
{
    pacer->events_first += pacer->events_count == PACER_EVENTS;
    pacer->events_count -= pacer->events_count == PACER_EVENTS;
    pacer->events[(pacer->events_first + pacer->events_count++) % PACER_EVENTS] = (struct pacer_event){kind, mode_name(pacer), before, after};
}

static bool is_moved(double before, double after)
{
    return isfinite(before) != isfinite(after) || (isfinite(after) && fabs(after - before) >= fmax(1, MOVED_SHARE * before));
}

/* What is other than the last events told. A block's day is told as the block. */
static void note_events(struct pacer *pacer)
{
    struct pace *pace = &pacer->pace;
    struct pacer_told *told = &pacer->told;
    double budget = pace_budget_calls(pace);
    if (told->is_blocked != pace->block.is_on)
        pacer_add_event(pacer, pace->block.is_on ? PACER_BLOCK_BEGAN : PACER_BLOCK_ENDED, 0, 0);
    if (told->mode != pace->mode)
        pacer_add_event(pacer, PACER_MODE_ENTERED, 0, pace->mode == PACE_RATE ? pace->rate.measured_per_s * PACE_MINUTE_S : isfinite(budget) ? budget : 0);
    else if (is_moved(told->window_calls, budget))
        pacer_add_event(pacer, PACER_WINDOW_MOVED, isfinite(told->window_calls) ? told->window_calls : 0, isfinite(budget) ? budget : 0);
    if (told->mode != pace->mode || is_moved(told->window_calls, budget))
        told->window_calls = budget;
    told->is_blocked = pace->block.is_on;
    told->mode = pace->mode;
}

bool pacer_next_event(struct pacer *pacer, struct pacer_event *ret_event)
{
    note_events(pacer);
    if (pacer->events_count == 0)
        return false;
    *ret_event = pacer->events[pacer->events_first];
    pacer->events_first = (pacer->events_first + 1) % PACER_EVENTS;
    pacer->events_count--;
    return true;
}

void pacer_events_told(struct pacer *pacer)
{
    pacer->told = (struct pacer_told){.mode = pacer->pace.mode, .window_calls = pace_budget_calls(&pacer->pace), .is_blocked = pacer->pace.block.is_on};
}

/* ---- for people, and for the next life ---- */

/* Calls that a minute takes, as far as is known. */
static double rate_per_min(const struct pacer *pacer)
{
    const struct pace *pace = &pacer->pace;
    double learned = pace->mode == PACE_STARTUP ? 0 : pace->rate.per_s * PACE_MINUTE_S;
    if (pace->mode == PACE_VERIFY || pace->mode == PACE_WINDOW)
        learned = pace_budget_calls(pace);
    double configured = (double)pacer->limits.rpm;
    return configured > 0 && (learned <= 0 || learned > configured) ? configured : learned;
}

static double if_known(double limit)
{
    return isfinite(limit) ? limit : 0;
}

const char *pacer_wait_name(enum pacer_wait wait)
{
    static const char *const names[PACER_WAIT_COUNT] = {
        [PACER_GO] = "concurrency", [PACER_IN_FLIGHT] = "concurrency", [PACER_LIMIT_RPM] = "rpm",   [PACER_LIMIT_TPM] = "tpm",         [PACER_LIMIT_RPD] = "rpd",
        [PACER_LIMIT_RATE] = "rate", [PACER_LIMIT_WINDOW] = "window",  [PACER_BLOCKED] = "throttled", [PACER_QUOTA_DAY] = "quota_day", [PACER_BREAKER] = "outage"};
    return names[wait];
}

void pacer_view(struct pacer *pacer, struct pacer_now now, struct pacer_view *ret_view)
{
    const struct pace_block *block = &pacer->pace.block;
    bool is_open = pacer->breaker.is_open, is_day = block->is_on && block->is_day;
    struct pace_now paced = pace_now(pacer, now);
    struct pacer_answer configured = pacer_ask_limits(pacer, now, pacer->asked_tokens); /* and so "limited by", while it holds */
    bool is_day_over = configured.wait != PACER_LIMIT_RPD && pacer->last_wait == PACER_LIMIT_RPD;
    int64_t probe_us, block_us = block->is_on && block->canary_at_us > paced.us ? real_us(pacer, block->canary_at_us - paced.us) : -1;
    pacer_wants_probe(pacer, now, &probe_us);
    *ret_view = (struct pacer_view){
        .mode = is_open ? "open" : is_day ? "quota_day" : block->is_on ? "blocked" : mode_name(pacer),
        .rate_per_min = rate_per_min(pacer),
        .window_calls = if_known(pacer->pace.budget.calls),
        .window_tokens = if_known(pacer->pace.budget.tokens),
        .window_used = (int64_t)pacer->pace.window.counted.calls,
        .concurrency = pacer_in_flight_limit(pacer, true),
        .limited_by = is_open ? "outage" : is_day ? "quota_day" : block->is_on ? "throttled" : pacer_wait_name(is_day_over ? PACER_GO : pacer->last_wait),
        .breaker = is_open ? "open" : "closed",
        .next_us = is_open ? probe_us : block->is_on ? block_us : configured.wait != PACER_GO ? configured.wait_us : -1,
        .day_room = max_i64(allowance_day_room(&pacer->allowance, now.mono_us, now.wall_ms), 0),
        .quota_until_at_ms = is_day ? pacer->day_until_at_ms : 0,
        .latency_p50_us = pacer->latency.p50_us,
        .open_us = is_open ? real_us(pacer, paced.us - pacer->breaker.opened_ms * 1000) : 0,
        .probes_failed = is_open ? pacer->breaker.probes_failed : 0,
    };
}

void pacer_learned(const struct pacer *pacer, struct pacer_learned *ret_learned)
{
    static const enum pace_mode kept[] = {
        [PACE_STARTUP] = PACE_STARTUP, [PACE_GROWTH] = PACE_STARTUP, [PACE_RATE] = PACE_RATE, [PACE_VERIFY] = PACE_WINDOW, [PACE_WINDOW] = PACE_WINDOW};
    const struct pace *pace = &pacer->pace;
    double burst = pace->mode == PACE_RATE ? fmax(0, pace->first_calls - pace->rate.measured_per_s * pace->first_s) : 0;
    *ret_learned = (struct pacer_learned){.mode = kept[pace->mode],
                                          .window_calls = if_known(pace->budget.calls),
                                          .window_tokens = if_known(pace->budget.tokens),
                                          .unit_tokens = pace->budget.unit_tokens,
                                          .rate_per_s = pace->rate.measured_per_s,
                                          .confidence = pace->rate.confidence,
                                          .burst_calls = burst,
                                          .concurrency = pacer->inflight.limit,
                                          .base_latency_us = pacer->inflight.base_us,
                                          .by_tokens = pace->budget.by_tokens,
                                          .is_printed = pace->budget.is_printed,
                                          .aligned = pace->reset.aligned};
}

static bool is_learned_sound(const struct pacer_learned *learned)
{
    const double values[] = {learned->window_calls, learned->window_tokens, learned->rate_per_s, learned->confidence, learned->burst_calls, learned->base_latency_us};
    bool is_sound = learned->mode >= PACE_STARTUP && learned->mode <= PACE_WINDOW && learned->unit_tokens >= 1 && learned->concurrency >= 1;
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        is_sound = is_sound && isfinite(values[i]) && values[i] >= 0;
    if (learned->mode == PACE_RATE)
        is_sound = is_sound && learned->rate_per_s > 0 && learned->confidence > 0;
    if (learned->mode == PACE_WINDOW)
        is_sound = is_sound && (learned->by_tokens ? learned->window_tokens : learned->window_calls) >= 1;
    return is_sound && isfinite(learned->unit_tokens) && isfinite(learned->concurrency);
}

bool pacer_warm(struct pacer *pacer, const struct pacer_learned *learned)
{
    if (!is_learned_sound(learned))
        return false;
    struct pace_warm warm = {.mode = (enum pace_mode)learned->mode,
                             .budget = {.calls = learned->window_calls > 0 ? learned->window_calls : INFINITY,
                                        .tokens = learned->window_tokens > 0 ? learned->window_tokens : INFINITY,
                                        .by_tokens = learned->by_tokens,
                                        .unit_tokens = learned->unit_tokens,
                                        .is_printed = learned->is_printed},
                             .rate_per_s = learned->rate_per_s,
                             .confidence = learned->confidence,
                             .burst_calls = learned->burst_calls,
                             .aligned = (int)clamp_i64(learned->aligned, -3, 3)};
    pace_warm(&pacer->pace, &warm);
    inflight_warm(&pacer->inflight, learned->concurrency, learned->base_latency_us);
    pacer_events_told(pacer);
    return true;
}
