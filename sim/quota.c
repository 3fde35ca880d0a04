/* See quota.h. The models are those of the pacer's simulation: a bucket that fills evenly, a window whose count falls
 * to nothing at its end, a log of what was let in during the trailing window. */
#include "sim/quota.h"

#include "base/clock.h"

#include <math.h>

#define UNIT_EPSILON 1e-9
#define REFUSED_LOG_FACTOR 4 /* refused calls lengthen a sliding log up to this many limits, so it stays bounded */

struct entry {
    double at_s, units;
};

struct quota {
    struct quota_plan plan;
    double value;      /* bucket: units there; fixed and sliding: units used */
    double at_s;       /* bucket: when `value` was true */
    double end_s;      /* fixed: the window's end; negative: none open */
    bool is_fresh;     /* nothing was asked yet */
    struct entry *log; /* sliding: owned ring of log_cap, a power of two */
    size_t log_first, log_len, log_cap;
};

static void empty(struct quota *quota)
{
    quota->value = quota->plan.kind == QUOTA_BUCKET ? quota->plan.burst : 0;
    quota->end_s = -1;
    quota->is_fresh = true;
    quota->log_first = quota->log_len = 0;
}

struct quota *quota_new(const struct quota_plan *plan)
{
    struct quota *quota = xcalloc(1, sizeof *quota);
    quota->plan = *plan;
    empty(quota);
    return quota;
}

void quota_free(struct quota *quota)
{
    if (quota == NULL)
        return;
    free(quota->log);
    free(quota);
}

const struct quota_plan *quota_plan(const struct quota *quota)
{
    return &quota->plan;
}

bool quota_change(struct quota *quota, const struct quota_plan *plan)
{
    const struct quota_plan *old = &quota->plan;
    if (old->kind != plan->kind || old->is_tokens != plan->is_tokens || old->is_day != plan->is_day ||
        old->window_s != plan->window_s || old->starts_at_first != plan->starts_at_first ||
        old->is_pacific != plan->is_pacific)
        return false;
    if (plan->kind == QUOTA_BUCKET && (quota->value > plan->burst || old->burst == 0))
        quota->value = plan->burst;
    quota->plan = *plan;
    return true;
}

/* The end of the fixed window that now_s lies in, on the running clock. */
static double window_end_s(const struct quota_plan *plan, double now_s, double wall_s)
{
    if (plan->is_pacific)
        return now_s + (double)clock_next_pacific_midnight_ms((int64_t)(wall_s * 1000)) / 1000 - wall_s;
    return now_s + plan->window_s - fmod(wall_s, plan->window_s);
}

/* Brings the state to now_s. */
static void roll(struct quota *quota, double now_s, double wall_s)
{
    const struct quota_plan *plan = &quota->plan;
    switch (plan->kind) {
    case QUOTA_BUCKET:
        if (!quota->is_fresh && now_s > quota->at_s)
            quota->value = fmin(plan->burst, quota->value + (now_s - quota->at_s) * plan->limit / plan->window_s);
        quota->at_s = fmax(quota->at_s, now_s);
        break;
    case QUOTA_FIXED:
        if (quota->end_s >= 0 && now_s >= quota->end_s) {
            quota->value = 0;
            quota->end_s = -1;
        }
        if (quota->end_s < 0 && !plan->starts_at_first)
            quota->end_s = window_end_s(plan, now_s, wall_s);
        break;
    case QUOTA_SLIDING:
        while (quota->log_len > 0 && quota->log[quota->log_first].at_s <= now_s - plan->window_s) {
            quota->value -= quota->log[quota->log_first].units;
            quota->log_first = (quota->log_first + 1) & (quota->log_cap - 1);
            quota->log_len--;
        }
        if (quota->log_len == 0)
            quota->value = 0; /* no drift of rounding */
        break;
    }
    quota->is_fresh = false;
}

static double sliding_wait_s(const struct quota *quota, double now_s, double units)
{
    double too_many = quota->value + units - quota->plan.limit;
    for (size_t i = 0; i < quota->log_len; i++) {
        const struct entry *entry = &quota->log[(quota->log_first + i) & (quota->log_cap - 1)];
        too_many -= entry->units;
        if (too_many <= UNIT_EPSILON)
            return entry->at_s + quota->plan.window_s - now_s + 1e-6;
    }
    return quota->plan.window_s;
}

double quota_wait_s(struct quota *quota, double now_s, double wall_s, double units)
{
    const struct quota_plan *plan = &quota->plan;
    if (plan->limit <= 0)
        return plan->window_s;
    roll(quota, now_s, wall_s);
    units = fmin(units, plan->kind == QUOTA_BUCKET ? plan->burst : plan->limit);
    if (plan->kind == QUOTA_BUCKET)
        return quota->value >= units - UNIT_EPSILON ? 0 : (units - quota->value) * plan->window_s / plan->limit + 1e-6;
    if (quota->value + units <= plan->limit + UNIT_EPSILON)
        return 0;
    if (plan->kind == QUOTA_SLIDING)
        return sliding_wait_s(quota, now_s, units);
    return fmax(quota->end_s - now_s, 0) + 1e-6;
}

static void log_add(struct quota *quota, double now_s, double units)
{
    if (quota->log_len == quota->log_cap) {
        size_t cap = quota->log_cap ? 2 * quota->log_cap : 256;
        struct entry *log = xreallocarray(NULL, cap, sizeof *log);
        for (size_t i = 0; i < quota->log_len; i++)
            log[i] = quota->log[(quota->log_first + i) & (quota->log_cap - 1)];
        free(quota->log);
        quota->log = log;
        quota->log_cap = cap;
        quota->log_first = 0;
    }
    quota->log[(quota->log_first + quota->log_len++) & (quota->log_cap - 1)] = (struct entry){now_s, units};
}

void quota_take(struct quota *quota, double now_s, double units)
{
    switch (quota->plan.kind) {
    case QUOTA_BUCKET:
        quota->value -= units; /* a single call over the depth goes into debt */
        break;
    case QUOTA_FIXED:
        if (quota->end_s < 0)
            quota->end_s = now_s + quota->plan.window_s;
        quota->value += units;
        break;
    case QUOTA_SLIDING:
        quota->value += units;
        log_add(quota, now_s, units);
        break;
    }
}

void quota_refuse(struct quota *quota, double now_s, double units)
{
    const struct quota_plan *plan = &quota->plan;
    if (plan->counts_refused && plan->kind == QUOTA_SLIDING && quota->value < REFUSED_LOG_FACTOR * plan->limit)
        quota_take(quota, now_s, units);
}

double quota_used(struct quota *quota, double now_s, double wall_s)
{
    roll(quota, now_s, wall_s);
    return quota->plan.kind == QUOTA_BUCKET ? quota->plan.burst - quota->value : quota->value;
}
