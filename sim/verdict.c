/* See verdict.h. Called once a call, at its arrival; all draws of a call come from (seed, key, number of the key's
 * call). */
#include "sim/verdict.h"

/* What is drawn for every call, in this order, whatever the settings are: so one setting's change moves no other draw.
 */
struct draws {
    double fault, normal, straggler, spread;
};

static struct draws draw(struct chance *chance)
{
    struct draws draws;
    draws.fault = chance_unit(chance);
    draws.normal = chance_normal(chance);
    draws.straggler = chance_unit(chance);
    draws.spread = chance_unit(chance);
    return draws;
}

void judge_init(struct judge *judge, struct settings *settings)
{
    *judge = (struct judge){.settings = settings};
    judge_reset(judge);
}

void judge_clear(struct judge *judge)
{
    quota_set_clear(&judge->quotas);
    free(judge->worker_free_s);
    *judge = (struct judge){0};
}

void judge_configure(struct judge *judge)
{
    quota_set_configure(&judge->quotas, judge->settings);
    if (judge->worker_count == judge->settings->workers)
        return;
    judge->worker_count = judge->settings->workers;
    free(judge->worker_free_s);
    judge->worker_free_s = xcalloc((size_t)judge->worker_count, sizeof(double));
}

void judge_reset(struct judge *judge)
{
    quota_set_reset(&judge->quotas, judge->settings);
    judge->worker_count = -1;
    judge_configure(judge);
}

void judge_leave(struct judge *judge)
{
    judge->in_service--;
}

static double latency_s(const struct settings *settings, const struct draws *draws)
{
    if (settings->latency_ms <= 0)
        return 0;
    double ms = settings->latency_ms * exp(settings->latency_sigma * draws->normal);
    ms *= 1 + settings->latency_spread * (2 * draws->spread - 1);
    if (draws->straggler < settings->straggler_share)
        ms *= settings->straggler_factor;
    return ms / 1000;
}

/* Takes a place; false: none is left. Adds to the time what the crowd costs. */
static bool enter(struct judge *judge, double now_s, double *latency)
{
    const struct settings *settings = judge->settings;
    int64_t calls = judge->in_service + 1;
    if (settings->hard_limit > 0 && calls > settings->hard_limit)
        return false;
    if (settings->knee > 0 && calls > settings->knee)
        *latency *= pow((double)calls / (double)settings->knee, settings->knee_exponent);
    if (judge->worker_count > 0) {
        if (calls > judge->worker_count + settings->queue)
            return false;
        double *first = judge->worker_free_s;
        for (int64_t i = 1; i < judge->worker_count; i++)
            if (judge->worker_free_s[i] < *first)
                first = &judge->worker_free_s[i];
        double start_s = fmax(now_s, *first);
        *first = start_s + *latency;
        *latency += start_s - now_s;
    }
    return true;
}

static bool can_meet(enum kind kind, const struct call_facts *call)
{
    if (!kind_is_fault(kind) || (kind == KIND_DROP_REUSED && !call->is_reused))
        return false;
    return kind_rows[kind].group != GROUP_CONTENT || (call->route == ROUTE_GENERATE && !call->is_rest);
}

static enum kind draw_fault(struct settings *settings, const struct call_facts *call, double fault)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (settings->fault_next[i] > 0 && can_meet((enum kind)i, call)) {
            settings->fault_next[i]--;
            return (enum kind)i;
        }
    for (int i = 0; i < KIND_COUNT; i++) {
        if (fault < settings->fault_share[i])
            return can_meet((enum kind)i, call) ? (enum kind)i : KIND_OK;
        fault -= settings->fault_share[i];
    }
    return KIND_OK;
}

static bool is_poisoned(const struct settings *settings, const struct call_facts *call)
{
    if (call->key.at == NULL)
        return false;
    struct chance chance = chance_of(settings->seed, call->arrival.key_hash ^ 0x706f69736f6eu, 0);
    return chance_unit(&chance) < settings->poison_share ||
           settings_list_has(settings->poison_keys, call->key.at, call->key.len);
}

static void set_kind(struct verdict *verdict, enum kind kind, double delay_s)
{
    verdict->kind = kind;
    verdict->mode = kind_rows[kind].mode;
    verdict->delay_s = delay_s;
}

/* How long a fault takes: a refusal is quick, a failure comes in the middle of the work, the rest when the answer
 * would. */
static double fault_delay_s(const struct settings *settings, enum kind kind, double latency)
{
    const struct kind_row *row = &kind_rows[kind];
    if (row->group != GROUP_STATUS)
        return latency;
    bool is_failure =
        row->status == 500 || row->status == 502 || row->status == 504 || row->status == 408 || row->status == 499;
    return is_failure ? latency / 2 : settings->refusal_ms / 1000;
}

static bool meet_outage(const struct settings *settings, const struct call_facts *call, struct verdict *verdict)
{
    static const enum send_mode modes[] = {[OUTAGE_503] = SEND_WHOLE,
                                           [OUTAGE_RESET] = SEND_RESET,
                                           [OUTAGE_REFUSE] = SEND_RESET,
                                           [OUTAGE_HANG] = SEND_NEVER};
    if (settings->outage == OUTAGE_OFF || (call->is_test && settings->outage_spares_tests))
        return false;
    set_kind(verdict, KIND_OUTAGE, settings->refusal_ms / 1000);
    verdict->mode = modes[settings->outage];
    return true;
}

/* Key, model, quota, shape. True when the call is refused. */
static bool is_refused(struct judge *judge, const struct call_facts *call, struct verdict *verdict)
{
    double quick_s = judge->settings->refusal_ms / 1000;
    if (!call->has_key)
        set_kind(verdict, KIND_NO_KEY, quick_s);
    else if (!call->is_key_right)
        set_kind(verdict, KIND_BAD_KEY, quick_s);
    else if (call->route == ROUTE_OTHER || !call->is_model_known)
        set_kind(verdict, KIND_NOT_FOUND, quick_s);
    else if (call->route == ROUTE_GENERATE &&
             !quota_set_take(&judge->quotas, call->now_s, call->wall_s, call->tokens, &verdict->quota))
        set_kind(verdict, verdict->quota.worst->limit > 0 ? KIND_QUOTA : KIND_NO_QUOTA, quick_s);
    else if (!call->is_valid)
        set_kind(verdict, KIND_INVALID, quick_s);
    else
        return false;
    return true;
}

void judge_decide(struct judge *judge, const struct call_facts *call, struct verdict *ret_verdict)
{
    struct settings *settings = judge->settings;
    struct verdict *verdict = ret_verdict;
    verdict->chance = chance_of(settings->seed, call->arrival.key_hash, (uint64_t)call->arrival.key_call);
    verdict->is_in_service = false;
    struct draws draws = draw(&verdict->chance);
    if (meet_outage(settings, call, verdict) || is_refused(judge, call, verdict))
        return;
    bool is_spared = call->is_test && settings->faults_spare_tests;
    double latency = is_spared ? 0 : latency_s(settings, &draws);
    if (!enter(judge, call->now_s, &latency)) {
        set_kind(verdict, KIND_BUSY, settings->refusal_ms / 1000);
        return;
    }
    judge->in_service++;
    verdict->is_in_service = true;
    if (!is_spared && is_poisoned(settings, call)) {
        enum kind kind = (enum kind)kind_fault_by_name(settings->poison_kind);
        set_kind(verdict, kind,
                 settings->poison_after_ms > 0 ? settings->poison_after_ms / 1000
                                               : fault_delay_s(settings, kind, latency));
        return;
    }
    enum kind kind = is_spared ? KIND_OK : draw_fault(settings, call, draws.fault);
    if (kind == KIND_OK && call->is_rest && !call->is_rest_last)
        kind = KIND_CONTINUATION;
    set_kind(verdict, kind, kind == KIND_OK ? latency : fault_delay_s(settings, kind, latency));
}
