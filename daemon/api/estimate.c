/* See estimate.h. Earlier runs that asked alike tell best what a call takes (history.h). Without one, tokens are a quarter of the bytes, as providers tell, and what
 * the endpoint has shown since the start (tokens an answer, latency) is taken where there is any, else a wide guess. Which it was is told. */
#include "api/estimate.h"

#include "base/clock.h"
#include "base/text.h"
#include "core/template.h"

#include <math.h>
#include <string.h>

#define ROW_BYTES_GUESS 400      /* of an assignment nobody has shown */
#define OUT_TOKENS_LOW 40        /* of an answer: agent, a short reason, confidence */
#define OUT_TOKENS_HIGH 200      /* with some thinking */
#define SCHEMA_BYTES 256         /* of the answer's schema without the candidates' names; it is part of what is asked, and so counted */
#define SEEN_CALLS_MIN 10        /* answers from which an average is taken */
#define SPREAD_LOW 0.9
#define SPREAD_HIGH 1.2          /* re-asks and texts longer than the sample */
#define RE_ASKS_GUESS 1.1        /* calls an assignment, at the most */

static void range_json(struct json_out *out, const char *name, const char *low, const char *high, struct estimate_range range)
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

static struct estimate_range scaled(double value)
{
    return (struct estimate_range){.low = (int64_t)(value * SPREAD_LOW), .high = (int64_t)ceil(value * SPREAD_HIGH)};
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

static bool has_history(const struct estimate *estimate)
{
    return estimate->history.run_count > 0;
}

double estimate_mean_calls(const struct estimate *estimate)
{
    return (double)called(estimate) * (has_history(estimate) ? estimate->history.calls_per_assignment : 1); /* less than one where they were packed */
}

struct estimate_range estimate_calls(const struct estimate *estimate)
{
    double mean = estimate_mean_calls(estimate), most = has_history(estimate) ? 1 + (RE_ASKS_GUESS - 1) / 2 : RE_ASKS_GUESS;
    return (struct estimate_range){.low = min_i64(called(estimate), (int64_t)mean), .high = (int64_t)ceil(mean * most)};
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

static struct estimate_range tokens_in(const struct estimate *estimate)
{
    if (!has_tokens(estimate))
        return (struct estimate_range){-1, -1};
    double each = has_history(estimate) ? estimate->history.tokens_in : asked_bytes(estimate) / ESTIMATE_BYTES_PER_TOKEN;
    return scaled(each * estimate_mean_calls(estimate));
}

/* Has the endpoint shown enough since the start? */
static bool is_seen(const struct endpoint *endpoint)
{
    return endpoint->counts[OUTCOME_SUCCEEDED] >= SEEN_CALLS_MIN;
}

static struct estimate_range tokens_out(const struct estimate *estimate)
{
    const struct endpoint *endpoint = estimate->endpoint;
    if (!has_tokens(estimate))
        return (struct estimate_range){-1, -1};
    if (has_history(estimate))
        return scaled(estimate->history.tokens_out * estimate_mean_calls(estimate));
    if (is_seen(endpoint))
        return scaled((double)(endpoint->tokens[TOKEN_OUT] + endpoint->tokens[TOKEN_THOUGHT]) / (double)endpoint->counts[OUTCOME_SUCCEEDED] * (double)called(estimate));
    return (struct estimate_range){.low = OUT_TOKENS_LOW * called(estimate), .high = OUT_TOKENS_HIGH * called(estimate)};
}

/* What the figures are made of. */
static void basis_json(struct json_out *out, const struct estimate *estimate)
{
    const struct history *history = &estimate->history;
    const char *from = has_history(estimate) ? "history" : is_seen(estimate->endpoint) ? "endpoint" : "assumptions";
    struct buf text = BUF_EMPTY;
    buf_add_str(&text, "by ");
    if (has_history(estimate))
        history_add_text(&text, history);
    else if (is_seen(estimate->endpoint))
        buf_add_str(&text, "a token for four bytes of prompt, and the answers that the endpoint gave since the start");
    else
        buf_add_fmt(&text, "a token for four bytes of prompt, and answers of %d to %d tokens: no earlier run tells more", OUT_TOKENS_LOW, OUT_TOKENS_HIGH);
    json_out_name(out, "basis");
    json_out_begin(out, '{');
    json_out_member_str(out, "from", from);
    json_out_member_int(out, "runs", history->run_count);
    json_out_member_int(out, "calls", history->call_count);
    json_out_member_str(out, "text", buf_text(&text));
    json_out_end(out, '}');
    buf_clear(&text);
}

/* Where the price comes from, and its amounts. */
static void price_text(const struct endpoint *endpoint, enum price_tier tier, const struct price *price, int64_t wall_ms, struct buf *out)
{
    const struct price_config *listed = endpoint_file_price(endpoint, tier, wall_ms);
    if (price == endpoint_set_price(endpoint, wall_ms))
        buf_add_fmt(out, "price of %s as set at run time: ", endpoint->config->name);
    else
        buf_add_fmt(out, "%s %s: ", listed->is_shipped ? "list price of" : "the configuration's price of", listed->model);
    text_add_amount(out, price->in_micros);
    buf_add_fmt(out, " %s in, ", price->currency);
    text_add_amount(out, price->out_micros);
    buf_add_fmt(out, " %s out per million tokens", price->currency);
    if (tier != TIER_STANDARD)
        buf_add_fmt(out, " (tier %s)", price_tier_name(tier));
}

static void no_price_text(const struct endpoint *endpoint, enum price_tier tier, struct buf *out)
{
    const struct endpoint_config *config = endpoint->config;
    const char *other = endpoint_other_currency(endpoint, tier, clock_wall_ms());
    if (other != NULL)
        buf_add_fmt(out, "the price is in %s, and the costs of %s so far are counted in %s: give it in %s, or the endpoint a new name", other, config->name,
                    endpoint->currency, endpoint->currency);
    else if (tier != TIER_STANDARD)
        buf_add_fmt(out, "no price of %s at the tier %s is known; tell it in the configuration: price \"%s\" { tier = \"%s\"  currency = \"USD\"  in = …  out = … }",
                    config->model, price_tier_name(tier), config->model, price_tier_name(tier));
    else if (config->model[0] == '\0')
        buf_add_fmt(out, "what a decision of %s costs is not known; where it tells its tokens, or costs nothing: gallocctl endpoint set %s price_in=… price_out=…", config->name,
                    config->name);
    else
        buf_add_fmt(out, "no price of %s is known; tell it in the configuration: price \"%s\" { currency = \"USD\"  in = …  out = … }, or: "
                         "gallocctl endpoint set %s price_in=… price_out=…", config->model, config->model, config->name);
}

/* Of the tokens in that came before, those that the provider's cache had; -1: too little came to tell. */
static double seen_cached(const struct estimate *estimate)
{
    const struct endpoint *endpoint = estimate->endpoint;
    if (has_history(estimate))
        return fmin(1, estimate->history.tokens_cached / fmax(estimate->history.tokens_in, 1));
    if (!is_seen(endpoint) || endpoint->tokens[TOKEN_IN] <= 0)
        return -1;
    return fmin(1, (double)max_i64(endpoint->tokens[TOKEN_CACHED], 0) / (double)endpoint->tokens[TOKEN_IN]);
}

/* The share that the cache may have at most: what all prompts begin with, or what was seen, with a margin. */
static double most_cached(const struct estimate *estimate)
{
    double seen = seen_cached(estimate), constant = fmin(1, (double)estimate->constant_bytes / asked_bytes(estimate));
    return fmin(1, seen < 0 ? constant : seen * SPREAD_HIGH);
}

static void cache_text(const struct estimate *estimate, struct buf *out)
{
    double seen = seen_cached(estimate);
    if (seen < 0)
        buf_add_str(out, "; the upper end is without the provider's cache");
    else
        buf_add_fmt(out, "; the upper end is without the provider's cache, which had %d %% of the tokens in so far", (int)lround(seen * 100));
}

static struct estimate_range cost_at(const struct estimate *estimate, const struct price *price, struct estimate_range in, struct estimate_range reply)
{
    if (price == NULL || (!has_tokens(estimate) && !price_is_free(price)))
        return (struct estimate_range){-1, -1};
    const int64_t low[TOKEN_COUNT] = {[TOKEN_IN] = in.low, [TOKEN_CACHED] = (int64_t)((double)in.low * most_cached(estimate)), [TOKEN_OUT] = reply.low};
    const int64_t high[TOKEN_COUNT] = {[TOKEN_IN] = in.high, [TOKEN_OUT] = reply.high};
    return (struct estimate_range){price_of_tokens(price, low), price_of_tokens(price, high)};
}

/* The same calls at the other tier, where the endpoint has it and its price is known. */
static void other_tier_json(struct json_out *out, const struct estimate *estimate, struct estimate_range in, struct estimate_range reply)
{
    enum price_tier other = estimate->plan.tier == TIER_STANDARD ? TIER_FLEX : TIER_STANDARD;
    const struct provider_wire wire = endpoint_wire(estimate->endpoint);
    const struct price *price = endpoint_price(estimate->endpoint, other, clock_wall_ms());
    json_out_name(out, "other_tier");
    if (price == NULL || !provider_takes_tier(estimate->endpoint->provider, &wire, other)) {
        json_out_null(out);
        return;
    }
    json_out_begin(out, '{');
    json_out_member_str(out, "tier", price_tier_name(other));
    range_json(out, NULL, "low_micros", "high_micros", cost_at(estimate, price, in, reply));
    json_out_end(out, '}');
}

static void cost_json(struct json_out *out, const struct estimate *estimate, struct estimate_range in, struct estimate_range reply)
{
    int64_t wall_ms = clock_wall_ms();
    enum price_tier tier = (enum price_tier)estimate->plan.tier;
    const struct price *price = endpoint_price(estimate->endpoint, tier, wall_ms);
    struct estimate_range cost = cost_at(estimate, price, in, reply);
    struct buf text = BUF_EMPTY;
    if (price == NULL) {
        no_price_text(estimate->endpoint, tier, &text);
    } else if (cost.low < 0) {
        buf_add_str(&text, "not known ahead: the service tells its tokens with each decision, if at all; ");
        price_text(estimate->endpoint, tier, price, wall_ms, &text);
    } else {
        price_text(estimate->endpoint, tier, price, wall_ms, &text);
        if (has_tokens(estimate) && price->cached_in_micros != price->in_micros)
            cache_text(estimate, &text);
    }
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    member_text_or_null(out, "currency", price != NULL ? price->currency : "");
    range_json(out, NULL, "low_micros", "high_micros", cost);
    json_out_member_str(out, "text", buf_text(&text));
    member_int_or_null(out, "max_micros", estimate->plan.max_cost.is_set ? estimate->plan.max_cost.micros : -1);
    other_tier_json(out, estimate, in, reply);
    json_out_end(out, '}');
    buf_clear(&text);
}

/* A budget that this run will hardly do with. */
static void check_max_cost(struct estimate *estimate, struct estimate_range in, struct estimate_range reply)
{
    const struct price *price = endpoint_price(estimate->endpoint, (enum price_tier)estimate->plan.tier, clock_wall_ms());
    struct estimate_range cost = cost_at(estimate, price, in, reply);
    const struct amount *most = &estimate->plan.max_cost;
    if (!most->is_set || cost.high <= most->micros)
        return;
    struct buf text = BUF_EMPTY;
    buf_add_str(&text, "max_cost is ");
    text_add_amount(&text, most->micros);
    buf_add_fmt(&text, " %s, and the run may cost ", price->currency);
    text_add_amount(&text, cost.low);
    buf_add_str(&text, " to ");
    text_add_amount(&text, cost.high);
    buf_add_fmt(&text, ": it %s pause (budget) before its end", cost.low > most->micros ? "will" : "may");
    estimate_problem(estimate, false, "max_cost", buf_text(&text));
    buf_clear(&text);
}

/* ---- the answer ---- */

/* Does a prompt made of the template hold the column? NULL: the built-in one, which holds all that may be sent. */
static bool is_in_prompt(const struct template *template, const char *column)
{
    bool is_in = template == NULL || template_uses(template, TEMPLATE_FIELDS) || template_uses(template, TEMPLATE_ASSIGNMENT);
    for (const char *const *field = template ? template_fields(template) : NULL; field != NULL && *field != NULL && !is_in; field++)
        is_in = column_is(*field, column);
    return is_in;
}

static void columns_json(struct json_out *out, const struct estimate *estimate)
{
    char *const *keep_back = engine_configuration(estimate->engine)->keep_back;
    const char *text = estimate->is_on_workers ? NULL : estimate->plan.template; /* they get no prompt */
    struct template *template = NULL;
    if (text != NULL && template_parse(text, strlen(text), &template, NULL) < 0)
        template = NULL; /* that is told among the problems */
    json_out_name(out, "columns");
    json_out_begin(out, '{');
    for (int is_sent = 1; is_sent >= 0; is_sent--) {
        json_out_name(out, is_sent ? "sent" : "kept_back");
        json_out_begin(out, '[');
        for (size_t i = 0; i < estimate->column_count; i++)
            if ((plan_sends(&estimate->plan, keep_back, estimate->columns[i]) && is_in_prompt(template, estimate->columns[i])) == (is_sent == 1))
                json_out_str(out, estimate->columns[i]);
        json_out_end(out, ']');
    }
    json_out_end(out, '}');
    template_free(template);
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
    json_out_member_str(out, "tier", "");
    json_out_member_int(out, "calls", 0);
    range_json(out, "calls_expected", "low", "high", (struct estimate_range){0, 0});
    json_out_member_null(out, "basis");
    for (size_t i = 0; i < ARRAY_COUNT(empty); i++)
        range_json(out, empty[i], "low", "high", (struct estimate_range){-1, -1});
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    json_out_member_null(out, "currency");
    range_json(out, NULL, "low_micros", "high_micros", (struct estimate_range){-1, -1});
    json_out_member_null(out, "text");
    json_out_member_null(out, "max_micros");
    json_out_member_null(out, "other_tier");
    json_out_end(out, '}');
    json_out_name(out, "time");
    json_out_begin(out, '{');
    range_json(out, NULL, "low_s", "high_s", (struct estimate_range){-1, -1});
    json_out_member_null(out, "limited_by");
    json_out_member_null(out, "text");
    json_out_end(out, '}');
    json_out_name(out, "columns");
    json_out_raw(out, "{\"sent\":[],\"kept_back\":[]}", strlen("{\"sent\":[],\"kept_back\":[]}"));
    range_json(out, "prompt_bytes", "average", "max", (struct estimate_range){-1, -1});
    json_out_name(out, "agents");
    json_out_raw(out, "{\"count\":0,\"capacity\":null,\"free\":null}", strlen("{\"count\":0,\"capacity\":null,\"free\":null}"));
}

/* Where outside workers decide, nobody here knows what it costs and how fast they are. */
static void workers_json(struct json_out *out)
{
    json_out_name(out, "cost");
    json_out_begin(out, '{');
    json_out_member_null(out, "currency");
    range_json(out, NULL, "low_micros", "high_micros", (struct estimate_range){-1, -1});
    json_out_member_str(out, "text", "outside workers decide: no endpoint is called, and nothing is counted");
    json_out_member_null(out, "max_micros");
    json_out_member_null(out, "other_tier");
    json_out_end(out, '}');
    json_out_name(out, "time");
    json_out_begin(out, '{');
    range_json(out, NULL, "low_s", "high_s", (struct estimate_range){-1, -1});
    json_out_member_str(out, "limited_by", PLAN_WORKERS);
    json_out_member_str(out, "text", "as fast as workers lease and decide");
    json_out_end(out, '}');
}

static void write_known(struct json_out *out, struct estimate *estimate)
{
    struct estimate_range in = tokens_in(estimate), reply = tokens_out(estimate);
    json_out_member_str(out, "endpoint", estimate->plan.endpoint);
    json_out_member_str(out, "model", estimate->is_on_workers ? "" : estimate->endpoint->config->model);
    json_out_member_str(out, "profile", estimate->plan.profile);
    json_out_member_str(out, "tier", price_tier_name((enum price_tier)estimate->plan.tier));
    json_out_member_int(out, "calls", estimate->is_on_workers ? 0 : called(estimate));
    range_json(out, "calls_expected", "low", "high", estimate->is_on_workers ? (struct estimate_range){0, 0} : estimate_calls(estimate));
    if (has_tokens(estimate))
        basis_json(out, estimate);
    else
        json_out_member_null(out, "basis");
    range_json(out, "tokens_in", "low", "high", in);
    range_json(out, "tokens_out", "low", "high", reply);
    if (estimate->is_on_workers) {
        workers_json(out);
    } else {
        cost_json(out, estimate, in, reply);
        estimate_time(out, estimate, in);
        check_max_cost(estimate, in, reply);
    }
    columns_json(out, estimate);
    bool is_shown = estimate->rendered_count > 0 && !estimate->is_on_workers;
    range_json(out, "prompt_bytes", "average", "max",
               (struct estimate_range){is_shown ? (int64_t)prompt_bytes(estimate) : -1, is_shown ? estimate->rendered_max_bytes : -1});
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
