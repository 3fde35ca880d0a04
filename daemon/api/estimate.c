/* See estimate.h. Tokens are a quarter of the bytes, as providers tell; what the endpoint has shown since the start (tokens an answer, latency) is taken where there is
 * any, else a wide guess that is named as such. */
#include "api/estimate.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

#define ROW_BYTES_GUESS 400      /* of an assignment nobody has shown */
#define OUT_TOKENS_LOW 40        /* of an answer: agent, a short reason, confidence */
#define OUT_TOKENS_HIGH 200      /* with some thinking */
#define LATENCY_LOW_S 0.5
#define LATENCY_HIGH_S 4.0
#define SCHEMA_BYTES 256         /* of the answer's schema without the candidates' names; it is part of what is asked, and so counted */
#define SEEN_CALLS_MIN 10        /* answers from which an average is taken */
#define SPREAD_LOW 0.9
#define SPREAD_HIGH 1.2          /* re-asks and texts longer than the sample */

#define MINUTE_S 60
#define DAY_S 86400

struct range {
    int64_t low, high; /* -1: not known */
};

static void range_json(struct json_out *out, const char *name, const char *low, const char *high, struct range range)
{
    if (name != NULL) {
        json_out_name(out, name);
        json_out_begin(out, '{');
    }
    member_int_or_null(out, low, range.low);
    member_int_or_null(out, high, range.high);
    if (name != NULL)
        json_out_end(out, '}');
}

static struct range scaled(double value)
{
    return (struct range){.low = (int64_t)(value * SPREAD_LOW), .high = (int64_t)ceil(value * SPREAD_HIGH)};
}

static double prompt_bytes(const struct estimate *estimate)
{
    if (estimate->rendered_count > 0)
        return (double)estimate->rendered_bytes / (double)estimate->rendered_count;
    return (double)(estimate->constant_bytes + ROW_BYTES_GUESS);
}

/* How many assignments lead to a call: not those for which no place is free or no agent matches. */
static int64_t called(const struct estimate *estimate)
{
    int64_t count = estimate->assignments;
    if (estimate->unmatched_count > 0)
        count -= (int64_t)((double)count * (double)estimate->unmatched_count / (double)estimate->rendered_count);
    return estimate->totals.free >= 0 ? min_i64(count, estimate->totals.free) : count;
}

static double asked_bytes(const struct estimate *estimate)
{
    double choice_bytes = estimate->rendered_count > 0 ? (double)estimate->choice_bytes / (double)estimate->rendered_count : 0;
    return prompt_bytes(estimate) + SCHEMA_BYTES + choice_bytes;
}

/* Workers and services that take no prompt tell their tokens afterwards, if at all. */
static bool has_tokens(const struct estimate *estimate)
{
    return !estimate->is_on_workers && estimate->endpoint->provider->takes_prompt;
}

static struct range tokens_in(const struct estimate *estimate)
{
    if (!has_tokens(estimate))
        return (struct range){-1, -1};
    return scaled(asked_bytes(estimate) / ESTIMATE_BYTES_PER_TOKEN * (double)called(estimate));
}

static struct range tokens_out(const struct estimate *estimate)
{
    if (!has_tokens(estimate))
        return (struct range){-1, -1};
    const struct endpoint *endpoint = estimate->endpoint;
    int64_t seen = endpoint->counts[OUTCOME_SUCCEEDED];
    if (seen >= SEEN_CALLS_MIN)
        return scaled((double)(endpoint->tokens[TOKEN_OUT] + endpoint->tokens[TOKEN_THOUGHT]) / (double)seen * (double)called(estimate));
    return (struct range){.low = OUT_TOKENS_LOW * called(estimate), .high = OUT_TOKENS_HIGH * called(estimate)};
}

/* Where the price comes from, and its amounts. */
static void price_text(const struct endpoint *endpoint, const struct price *price, int64_t wall_ms, struct buf *out)
{
    const struct price_config *listed = endpoint_file_price(endpoint, TIER_STANDARD, wall_ms);
    if (price == endpoint_set_price(endpoint, wall_ms))
        buf_add_fmt(out, "price of %s as set at run time: ", endpoint->config->name);
    else
        buf_add_fmt(out, "%s %s: ", listed->is_shipped ? "list price of" : "the configuration's price of", listed->model);
    text_add_amount(out, price->in_micros);
    buf_add_fmt(out, " %s in, ", price->currency);
    text_add_amount(out, price->out_micros);
    buf_add_fmt(out, " %s out per million tokens", price->currency);
}

static void no_price_text(const struct endpoint_config *config, struct buf *out)
{
    if (config->model[0] == '\0')
        buf_add_fmt(out, "what a decision of %s costs is not known; where it tells its tokens, or costs nothing: gallocctl endpoint set %s price_in=… price_out=…", config->name,
                    config->name);
    else
        buf_add_fmt(out, "no price of %s is known; tell it in the configuration: price \"%s\" { currency = \"USD\"  in = …  out = … }, or: "
                         "gallocctl endpoint set %s price_in=… price_out=…", config->model, config->model, config->name);
}

/* Of the tokens in that came since the start, those that the provider's cache had; -1: too little came to tell. */
static double seen_cached(const struct endpoint *endpoint)
{
    if (endpoint->counts[OUTCOME_SUCCEEDED] < SEEN_CALLS_MIN || endpoint->tokens[TOKEN_IN] <= 0)
        return -1;
    return fmin(1, (double)max_i64(endpoint->tokens[TOKEN_CACHED], 0) / (double)endpoint->tokens[TOKEN_IN]);
}

/* The share that the cache may have at most: what all prompts begin with, or what was seen of this endpoint, with a margin. */
static double most_cached(const struct estimate *estimate)
{
    double seen = seen_cached(estimate->endpoint), constant = fmin(1, (double)estimate->constant_bytes / asked_bytes(estimate));
    return fmin(1, seen < 0 ? constant : seen * SPREAD_HIGH);
}

static void cache_text(const struct estimate *estimate, struct buf *out)
{
    double seen = seen_cached(estimate->endpoint);
    if (seen < 0)
        buf_add_str(out, "; the upper end is without the provider's cache");
    else
        buf_add_fmt(out, "; the upper end is without the provider's cache, which had %d %% of the tokens in so far", (int)lround(seen * 100));
}

static void cost_json(struct json_out *out, const struct estimate *estimate, struct range in, struct range reply)
{
    int64_t wall_ms = clock_wall_ms();
    const struct price *price = endpoint_price(estimate->endpoint, TIER_STANDARD, wall_ms);
    struct range cost = {-1, -1};
    struct buf text = BUF_EMPTY;
    if (price == NULL) {
        no_price_text(estimate->endpoint->config, &text);
    } else if (!has_tokens(estimate) && !price_is_free(price)) {
        buf_add_str(&text, "not known ahead: the service tells its tokens with each decision, if at all; ");
        price_text(estimate->endpoint, price, wall_ms, &text);
    } else {
        const int64_t low[TOKEN_COUNT] = {[TOKEN_IN] = in.low, [TOKEN_CACHED] = (int64_t)((double)in.low * most_cached(estimate)), [TOKEN_OUT] = reply.low};
        const int64_t high[TOKEN_COUNT] = {[TOKEN_IN] = in.high, [TOKEN_OUT] = reply.high};
        cost = (struct range){price_of_tokens(price, low), price_of_tokens(price, high)};
        price_text(estimate->endpoint, price, wall_ms, &text);
        if (has_tokens(estimate) && price->cached_in_micros != price->in_micros)
            cache_text(estimate, &text);
    }
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", price != NULL ? price->currency : "");
    range_json(out, NULL, "low_micros", "high_micros", cost);
    json_out_member_str(out, "text", buf_text(&text));
    json_out_end(out, '}');
    buf_clear(&text);
}

/* ---- time ---- */

struct estimate_pace {
    double latency_low_s, latency_high_s;
    double rate_s;        /* calls a second that the endpoint lets through; 0: no limit known */
    const char *rate_name;
    int64_t day_room;     /* calls of the configured requests a day that are left today */
    double at_once;
    double delay_s;       /* between batches */
    const char *limited_by;
    bool is_guessed;
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
                                 .is_guessed = view.latency_p50_us <= 0};
    if (!pace.is_guessed) {
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
static struct bound token_bound(const struct estimate *estimate, struct range in)
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

static void time_json(struct json_out *out, const struct estimate *estimate, struct range in)
{
    struct estimate_pace pace = pace_of(estimate);
    double calls = (double)called(estimate);
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
    snprintf(text, sizeof text, "%s%s",
             pace.is_guessed ? "the endpoint has not been called since the start: a call is taken to last 0.5 to 4 s" : "by the latency seen since the start",
             has_limit ? "" : "; no limit of its rate is known yet");
    json_out_name(out, "time");
    json_out_begin(out, '{');
    json_out_member_int(out, "low_s", (int64_t)ceil(fmin(low_s, 1e12)));
    json_out_member_int(out, "high_s", (int64_t)ceil(fmin(high_s, 1e12)));
    json_out_member_str(out, "limited_by", pace.limited_by);
    json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}

/* ---- the answer ---- */

static void columns_json(struct json_out *out, const struct estimate *estimate)
{
    char *const *keep_back = engine_configuration(estimate->engine)->keep_back;
    json_out_name(out, "columns");
    json_out_begin(out, '{');
    for (int is_sent = 1; is_sent >= 0; is_sent--) {
        json_out_name(out, is_sent ? "sent" : "kept_back");
        json_out_begin(out, '[');
        for (size_t i = 0; i < estimate->column_count; i++)
            if (plan_sends(&estimate->plan, keep_back, estimate->columns[i]) == (is_sent == 1))
                json_out_str(out, estimate->columns[i]);
        json_out_end(out, ']');
    }
    json_out_end(out, '}');
}

static void list_json(struct json_out *out, const char *name, const struct buf *items)
{
    json_out_name(out, name);
    json_out_begin(out, '[');
    if (items->len > 0)
        json_out_raw(out, items->data, items->len);
    json_out_end(out, ']');
}

/* A plan that cannot be read has nothing to estimate. */
static void write_unknown(struct json_out *out)
{
    static const char *const empty[] = {"tokens_in", "tokens_out"};
    json_out_member_str(out, "endpoint", "");
    json_out_member_str(out, "model", "");
    json_out_member_str(out, "profile", "");
    json_out_member_int(out, "calls", 0);
    for (size_t i = 0; i < ARRAY_COUNT(empty); i++)
        range_json(out, empty[i], "low", "high", (struct range){-1, -1});
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    json_out_member_null(out, "currency");
    range_json(out, NULL, "low_micros", "high_micros", (struct range){-1, -1});
    json_out_member_null(out, "text");
    json_out_end(out, '}');
    json_out_name(out, "time");
    json_out_begin(out, '{');
    range_json(out, NULL, "low_s", "high_s", (struct range){-1, -1});
    json_out_member_null(out, "limited_by");
    json_out_member_null(out, "text");
    json_out_end(out, '}');
    json_out_name(out, "columns");
    json_out_raw(out, "{\"sent\":[],\"kept_back\":[]}", strlen("{\"sent\":[],\"kept_back\":[]}"));
    range_json(out, "prompt_bytes", "average", "max", (struct range){-1, -1});
    json_out_name(out, "agents");
    json_out_raw(out, "{\"count\":0,\"capacity\":null,\"free\":null}", strlen("{\"count\":0,\"capacity\":null,\"free\":null}"));
}

/* Where outside workers decide, nobody here knows what it costs and how fast they are. */
static void workers_json(struct json_out *out)
{
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    json_out_member_null(out, "currency");
    range_json(out, NULL, "low_micros", "high_micros", (struct range){-1, -1});
    json_out_member_str(out, "text", "outside workers decide: no endpoint is called, and nothing is counted");
    json_out_end(out, '}');
    json_out_name(out, "time");
    json_out_begin(out, '{');
    range_json(out, NULL, "low_s", "high_s", (struct range){-1, -1});
    json_out_member_str(out, "limited_by", PLAN_WORKERS);
    json_out_member_str(out, "text", "as fast as workers lease and decide");
    json_out_end(out, '}');
}

static void write_known(struct json_out *out, const struct estimate *estimate)
{
    struct range in = tokens_in(estimate), reply = tokens_out(estimate);
    json_out_member_str(out, "endpoint", estimate->plan.endpoint);
    json_out_member_str(out, "model", estimate->is_on_workers ? "" : estimate->endpoint->config->model);
    json_out_member_str(out, "profile", estimate->plan.profile);
    json_out_member_int(out, "calls", estimate->is_on_workers ? 0 : called(estimate));
    range_json(out, "tokens_in", "low", "high", in);
    range_json(out, "tokens_out", "low", "high", reply);
    if (estimate->is_on_workers) {
        workers_json(out);
    } else {
        cost_json(out, estimate, in, reply);
        time_json(out, estimate, in);
    }
    columns_json(out, estimate);
    bool is_shown = estimate->rendered_count > 0 && !estimate->is_on_workers;
    range_json(out, "prompt_bytes", "average", "max",
               (struct range){is_shown ? (int64_t)prompt_bytes(estimate) : -1, is_shown ? estimate->rendered_max_bytes : -1});
    json_out_name(out, "agents");
    json_out_begin(out, '{');
    json_out_member_int(out, "count", estimate->totals.agent_count);
    member_int_or_null(out, "capacity", estimate->totals.capacity);
    member_int_or_null(out, "free", estimate->totals.free);
    json_out_end(out, '}');
}

void estimate_write(struct estimate *estimate, struct buf *buf)
{
    struct json_out out = JSON_OUT(buf);
    json_out_begin(&out, '{');
    json_out_member_int(&out, "assignments", estimate->assignments);
    if (estimate->endpoint == NULL && !estimate->is_on_workers)
        write_unknown(&out);
    else
        write_known(&out, estimate);
    list_json(&out, "prompts", &estimate->prompts);
    list_json(&out, "problems", &estimate->problems);
    json_out_end(&out, '}');
}
