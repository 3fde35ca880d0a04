/* See server.h. The models are those that the bars in docs/pacing.md were found with. */
#include "tests/sim/server.h"
#include "tests/sim/dice.h"

enum purpose { FOR_REFUSALS = 1, FOR_TESTS, FOR_OTHER, FOR_LATENCY, FOR_POISON, FOR_TOKENS };
enum { ATTEMPTS_APART = 4096 }; /* attempts of an assignment that have a latency of their own */

struct server {
    const struct server_plan *plan; /* borrowed */
    enum server_hints hints;
    double start_wall_s;
    uint64_t seed;
    struct quota *quotas[SERVER_QUOTAS_MAX]; /* owned */
    size_t quota_count, changes_done;
    int64_t in_flight;
    double free_at_s[SERVER_WORKERS_MAX]; /* FIFO: when each worker is free */
    double other_at_s;
    struct rng refusals, tests, other;
};

struct server *server_new(const struct server_plan *plan, enum server_hints hints, double start_wall_s, uint64_t seed)
{
    struct server *server = xcalloc(1, sizeof *server);
    *server = (struct server){.plan = plan, .hints = hints, .start_wall_s = start_wall_s, .seed = seed, .other_at_s = plan->other_from_s};
    dice_init(&server->refusals, seed, FOR_REFUSALS);
    dice_init(&server->tests, seed, FOR_TESTS);
    dice_init(&server->other, seed, FOR_OTHER);
    while (server->quota_count < SERVER_QUOTAS_MAX && plan->quotas[server->quota_count].window_s > 0) {
        server->quotas[server->quota_count] = quota_new(&plan->quotas[server->quota_count]);
        server->quota_count++;
    }
    return server;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    for (size_t i = 0; i < server->quota_count; i++)
        quota_free(server->quotas[i]);
    free(server);
}

static double units_of(const struct quota *quota, double tokens)
{
    return quota_plan(quota)->is_tokens ? tokens : 1;
}

/* Seconds until all quotas let it in; the one that makes wait longest. */
static double quotas_wait_s(struct server *server, double at_s, double tokens, const struct quota_plan **ret_worst)
{
    double longest_s = 0;
    for (size_t i = 0; i < server->quota_count; i++) {
        double wait_s = quota_wait_s(server->quotas[i], at_s, server->start_wall_s + at_s, units_of(server->quotas[i], tokens));
        if (wait_s > longest_s) {
            longest_s = wait_s;
            *ret_worst = quota_plan(server->quotas[i]);
        }
    }
    return longest_s;
}

static void quotas_take(struct server *server, double at_s, double tokens)
{
    for (size_t i = 0; i < server->quota_count; i++)
        quota_take(server->quotas[i], at_s, units_of(server->quotas[i], tokens));
}

/* The second client, up to now. Poisson; one that is always served takes its place whatever is used. */
static void run_other(struct server *server, double at_s)
{
    const struct server_plan *plan = server->plan;
    const struct quota_plan *worst = NULL;
    while (plan->other_per_s > 0 && server->other_at_s <= at_s && server->other_at_s < plan->other_to_s) {
        double wait_s = quotas_wait_s(server, server->other_at_s, 0, &worst);
        if (wait_s <= 0 || plan->other_is_served)
            quotas_take(server, server->other_at_s, 0);
        server->other_at_s += dice_exponential(&server->other, 1 / plan->other_per_s);
    }
}

static void change_quotas(struct server *server, double at_s, double factor)
{
    for (size_t i = 0; i < server->quota_count; i++) {
        struct quota_plan plan = *quota_plan(server->quotas[i]);
        if (plan.is_day)
            continue;
        quota_wait_s(server->quotas[i], at_s, server->start_wall_s + at_s, 1); /* what came in at the old rate */
        plan.limit = fmax(1, plan.limit * factor);
        plan.burst = fmax(1, plan.burst * factor);
        quota_change(server->quotas[i], &plan);
    }
}

static void come_to(struct server *server, double at_s)
{
    const struct server_plan *plan = server->plan;
    run_other(server, at_s);
    while (server->changes_done < SERVER_CHANGES_MAX && plan->changes[server->changes_done].factor > 0 && plan->changes[server->changes_done].at_s <= at_s) {
        change_quotas(server, plan->changes[server->changes_done].at_s, plan->changes[server->changes_done].factor);
        server->changes_done++;
    }
}

bool server_is_out(const struct server *server, double at_s)
{
    return server->plan->outage_from_s <= at_s && at_s < server->plan->outage_to_s;
}

bool server_is_poisoned(const struct server *server, int64_t item)
{
    struct rng rng;
    dice_init(&rng, server->seed * 1000003 + (uint64_t)item, FOR_POISON);
    return item != SERVER_TEST && rng_unit(&rng) < server->plan->poisoned_share;
}

static double or_else(double value, double otherwise)
{
    return value > 0 ? value : otherwise;
}

double server_tokens(const struct server *server, int64_t item)
{
    double sigma = or_else(server->plan->token_sigma, 0.8);
    struct rng rng;
    dice_init(&rng, server->seed * 1000003 + (uint64_t)item, FOR_TOKENS);
    return or_else(server->plan->mean_tokens, 1500) * exp(sigma * dice_normal(&rng) - sigma * sigma / 2);
}

/* The same for every policy: common by (assignment, attempt). *ret_luck: uniform, decides upon a fault. */
static double latency_s(struct server *server, int64_t item, int attempt, double *ret_luck)
{
    const struct server_plan *plan = server->plan;
    if (item == SERVER_TEST) {
        *ret_luck = rng_unit(&server->tests);
        return 0.5 * exp(0.5 * dice_normal(&server->tests));
    }
    struct rng rng;
    dice_init(&rng, server->seed * 1000003 + (uint64_t)item, FOR_LATENCY + ((uint64_t)attempt % ATTEMPTS_APART << 8));
    double latency = or_else(plan->median_s, 1.8) * exp(or_else(plan->sigma, 0.5) * dice_normal(&rng));
    if (rng_unit(&rng) < plan->straggler_share)
        latency *= plan->straggler_factor;
    *ret_luck = rng_unit(&rng);
    return fmax(0.05, latency);
}

static void refuse(struct server *server, const struct quota_plan *worst, double wait_s, struct server_answer *answer)
{
    answer->status = 429;
    answer->has_hint = server->hints != HINT_NONE;
    if (!answer->has_hint)
        return;
    double after_s = server->hints == HINT_FULL ? wait_s + 0.001 : ceil(wait_s);
    if (worst->is_day) /* as seen in the wild: it lies */
        after_s = rng_range(&server->refusals, 8, 28);
    answer->retry_after_ms = (int64_t)ceil(after_s * 1000);
    if (server->hints == HINT_FULL) {
        answer->is_day = worst->is_day;
        answer->is_tokens = worst->is_tokens;
        answer->quota_value = (int64_t)(worst->limit * (worst->is_day ? 1 : 60 / worst->window_s));
    }
}

/* False: no place; 503. Else *latency_s is what it becomes by the crowd. */
static bool has_place(struct server *server, double at_s, double *latency)
{
    const struct server_plan *plan = server->plan;
    if (plan->bears == BEARS_ALL)
        return true;
    if ((double)server->in_flight >= plan->hard)
        return false;
    if (plan->bears == BEARS_KNEE) {
        double crowd = (double)(server->in_flight + 1) / plan->knee;
        *latency *= crowd > 1 ? pow(crowd, plan->exponent) : 1;
        return true;
    }
    size_t first = 0;
    for (size_t i = 1; i < (size_t)plan->knee; i++)
        if (server->free_at_s[i] < server->free_at_s[first])
            first = i;
    double start_s = fmax(at_s, server->free_at_s[first]);
    server->free_at_s[first] = start_s + *latency;
    *latency += start_s - at_s;
    return true;
}

void server_arrive(struct server *server, double at_s, int64_t item, int attempt, double tokens, struct server_answer *ret_answer)
{
    const struct server_plan *plan = server->plan;
    const struct quota_plan *worst = NULL;
    double luck, latency = latency_s(server, item, attempt, &luck);
    come_to(server, at_s);
    *ret_answer = (struct server_answer){.retry_after_ms = -1, .quota_value = -1};
    ret_answer->latency_s = rng_range(&server->refusals, or_else(plan->refusal_low_s, 0.03), or_else(plan->refusal_high_s, 0.1));
    if (server_is_out(server, at_s)) {
        ret_answer->status = plan->outage_hangs ? 0 : 503;
        ret_answer->latency_s = plan->outage_hangs ? SERVER_NEVER : ret_answer->latency_s;
        return;
    }
    double wait_s = quotas_wait_s(server, at_s, tokens, &worst);
    if (wait_s > 0) {
        for (size_t i = 0; i < server->quota_count; i++)
            quota_refuse(server->quotas[i], at_s, units_of(server->quotas[i], tokens));
        refuse(server, worst, wait_s, ret_answer);
        return;
    }
    if (!has_place(server, at_s, &latency)) {
        ret_answer->status = 503;
        return;
    }
    quotas_take(server, at_s, tokens);
    server->in_flight++;
    bool is_brown = plan->brown_from_s <= at_s && at_s < plan->brown_to_s && luck < plan->brown_share;
    bool fails = is_brown || luck < plan->fault_share || server_is_poisoned(server, item);
    ret_answer->status = fails ? 500 : 200;
    ret_answer->latency_s = fails ? latency / 2 : latency;
}

void server_leave(struct server *server)
{
    server->in_flight--;
}

double server_next_s(struct server *server, double at_s, double tokens)
{
    const struct quota_plan *worst;
    come_to(server, at_s);
    if (server_is_out(server, at_s))
        return server->plan->outage_to_s;
    double wait_s = quotas_wait_s(server, at_s, tokens, &worst);
    size_t next = server->changes_done;
    if (wait_s > 0 && next < SERVER_CHANGES_MAX && server->plan->changes[next].factor > 0)
        return fmin(at_s + wait_s, server->plan->changes[next].at_s);
    return at_s + wait_s;
}

int64_t server_bears(const struct server *server, int64_t most)
{
    return server->plan->bears == BEARS_ALL ? most : (int64_t)server->plan->knee;
}
