/* How long a run would take (estimate.h): the slowest of what holds its calls up. Loop's thread. */
#include "api/estimate.h"

#include "base/clock.h"

#include <math.h>

#define LATENCY_LOW_S 0.5 /* of a call to an endpoint that nobody has called */
#define LATENCY_HIGH_S 4.0
#define SPREAD_LOW 0.9
#define SPREAD_HIGH 1.2
#define MINUTE_S 60
#define DAY_S 86400

struct estimate_pace {
    double latency_low_s, latency_high_s;
    double rate_s;        /* calls a second that the endpoint lets through; 0: no limit known */
    const char *rate_name;
    int64_t day_room;     /* calls of the configured requests a day that are left today */
    double at_once;
    double delay_s;       /* between batches */
    const char *limited_by;
    enum { LATENCY_GUESSED, LATENCY_EARLIER, LATENCY_SEEN } seen;
};

static struct estimate_pace pace_of(const struct estimate *estimate)
{
    struct pacer_now now = {.mono_us = clock_mono_us(), .wall_ms = clock_wall_ms()};
    struct pacer_view view = {0};
    pacer_view(estimate->endpoint->pacer, now, &view);
    const struct endpoint *endpoint = estimate->endpoint;
    bool is_configured = endpoint->values[SETTING_RPM] > 0 && view.rate_per_min >= (double)endpoint->values[SETTING_RPM];
    struct estimate_pace pace = {.latency_low_s = LATENCY_LOW_S,
                                 .latency_high_s = LATENCY_HIGH_S,
                                 .rate_s = view.rate_per_min / MINUTE_S / endpoint->config->time_scale,
                                 .rate_name = is_configured ? "rpm" : "rate",
                                 .day_room = view.day_room,
                                 .seen = view.latency_p50_us > 0 ? LATENCY_SEEN : estimate->history.latency_s > 0 ? LATENCY_EARLIER : LATENCY_GUESSED};
    if (pace.seen == LATENCY_EARLIER) {
        pace.latency_low_s = estimate->history.latency_s * SPREAD_LOW;
        pace.latency_high_s = estimate->history.latency_s * 1.5;
    } else if (pace.seen == LATENCY_SEEN) {
        pace.latency_low_s = (double)view.latency_p50_us / 1e6 * SPREAD_LOW;
        pace.latency_high_s = (double)view.latency_p50_us / 1e6 * 1.5;
    }
    double most = (double)max_i64(estimate->endpoint->values[SETTING_MAX_IN_FLIGHT], 1);
    if (estimate->profile->mode == MODE_CONTINUOUS) {
        pace.at_once = most;
        pace.limited_by = "concurrency";
    } else if (estimate->profile->mode == MODE_SEQUENTIAL) {
        pace.at_once = 1;
        pace.limited_by = "sequential";
    } else {
        pace.at_once = fmin(most, (double)max_i64(plan_batch_size(&estimate->plan, estimate->profile), 1));
        pace.delay_s = (double)plan_delay_ms(&estimate->plan, estimate->profile) / 1000;
        pace.limited_by = "batches";
    }
    return pace;
}

static double seconds_of(const struct estimate_pace *pace, double calls, double latency_s)
{
    return ceil(calls / pace->at_once) * (latency_s + pace->delay_s);
}

/* A time that the calls take whatever else holds them up, and what takes it. */
struct bound {
    const char *name;
    double low_s, high_s; /* 0: it does not bind */
};

static struct bound rate_bound(const struct estimate_pace *pace, double calls)
{
    double by_rate_s = pace->rate_s > 0 ? calls / pace->rate_s : 0;
    return (struct bound){pace->rate_name, by_rate_s, by_rate_s * SPREAD_HIGH};
}

/* By the tokens in, which are what the pacer counts; -1 of a service that takes no prompt. */
static struct bound token_bound(const struct estimate *estimate, struct estimate_range in)
{
    double per_s = (double)estimate->endpoint->values[SETTING_TPM] / MINUTE_S / estimate->endpoint->config->time_scale;
    if (per_s <= 0 || in.high < 0)
        return (struct bound){"tpm", 0, 0};
    return (struct bound){"tpm", (double)in.low / per_s, (double)in.high / per_s};
}

/* What today does not take goes from midnight on, so many a day; the last day's calls take a moment, or all of it. */
static struct bound day_bound(const struct estimate *estimate, const struct estimate_pace *pace, double calls)
{
    double over = calls - (double)pace->day_room;
    if (estimate->endpoint->values[SETTING_RPD] <= 0 || over <= 0)
        return (struct bound){"rpd", 0, 0};
    int64_t wall_ms = clock_wall_ms();
    double first_s = (double)(clock_next_pacific_midnight_ms(wall_ms) - wall_ms) / 1000;
    double low_s = first_s + (ceil(over / (double)estimate->endpoint->values[SETTING_RPD]) - 1) * DAY_S;
    return (struct bound){"rpd", low_s, low_s + DAY_S};
}

void estimate_time(struct json_out *out, const struct estimate *estimate, struct estimate_range in)
{
    struct estimate_pace pace = pace_of(estimate);
    double calls = estimate_mean_calls(estimate);
    const struct bound bounds[] = {{pace.limited_by, seconds_of(&pace, calls, pace.latency_low_s), seconds_of(&pace, calls, pace.latency_high_s)},
                                   rate_bound(&pace, calls), token_bound(estimate, in), day_bound(estimate, &pace, calls)};
    double low_s = 0, high_s = 0;
    bool has_limit = pace.rate_s > 0;
    for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
        if (bounds[i].low_s > low_s)
            pace.limited_by = bounds[i].name;
        low_s = fmax(low_s, bounds[i].low_s);
        high_s = fmax(high_s, bounds[i].high_s);
        has_limit |= i > 0 && bounds[i].low_s > 0;
    }
    char text[256];
    static const char *const words[] = {[LATENCY_GUESSED] = "the endpoint has not been called since the start: a call is taken to last 0.5 to 4 s",
                                        [LATENCY_EARLIER] = "by the latency of the earlier runs", [LATENCY_SEEN] = "by the latency seen since the start"};
    snprintf(text, sizeof text, "%s%s", words[pace.seen],
             has_limit ? "" : "; no limit of its rate is known yet");
    json_out_name(out, "time");
    json_out_begin(out, '{');
    json_out_member_int(out, "low_s", (int64_t)ceil(fmin(low_s, 1e12)));
    json_out_member_int(out, "high_s", (int64_t)ceil(fmin(high_s, 1e12)));
    json_out_member_str(out, "limited_by", pace.limited_by);
    json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}
