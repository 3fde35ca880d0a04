/* See quota_set.h. Read at every arrival by verdict.c; made anew when settings change. */
#include "sim/quota_set.h"

#include "base/parse.h"

static double scaled_window_s(const struct settings *settings, bool is_day)
{
    return (is_day ? settings->day_s : settings->window_s) * settings->time_scale;
}

static struct quota_plan simple_plan(const struct settings *settings, int64_t limit, bool is_tokens, bool is_day)
{
    struct quota_plan plan = {.limit = (double)limit, .is_tokens = is_tokens, .is_day = is_day};
    plan.window_s = scaled_window_s(settings, is_day);
    plan.nominal_s = is_day ? settings->day_s : settings->window_s;
    plan.counts_refused = settings->quota_counts_refused;
    plan.kind = is_day ? QUOTA_FIXED : (enum quota_kind)settings->quota_kind;
    plan.starts_at_first = is_day ? settings->day_phase == DAY_FIRST : settings->quota_phase == PHASE_FIRST;
    plan.is_pacific = is_day && settings->day_phase == DAY_PACIFIC && plan.window_s == 86400;
    plan.burst = plan.limit;
    if (settings->burst > 0 && !is_tokens)
        plan.burst = (double)settings->burst;
    else if (settings->burst > 0 && settings->rpm > 0)
        plan.burst = plan.limit * (double)settings->burst / (double)settings->rpm;
    return plan;
}

static int bad_item(const char *item, struct galloc_error *error)
{
    return galloc_fail(
        error, GALLOC_INVALID_VALUE,
        "quotas: \"%s\" is not UNIT=COUNT/SECONDSs with words after it, such as requests=300/60s,sliding or "
        "tokens=500000/60s,bucket,burst=10000",
        item);
}

static int apply_word(struct quota_plan *plan, const char *word)
{
    static const char *const kinds[] = {"bucket", "fixed", "sliding"};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (strcmp(word, kinds[i]) == 0) {
            plan->kind = (enum quota_kind)i;
            return 0;
        }
    int64_t burst;
    if (strncmp(word, "burst=", 6) == 0 && parse_i64(word + 6, 1, INT64_C(1000000000000000), &burst, NULL) == 0) {
        plan->burst = (double)burst;
        return 0;
    }
    bool *flag = strcmp(word, "first") == 0     ? &plan->starts_at_first
                 : strcmp(word, "refused") == 0 ? &plan->counts_refused
                 : strcmp(word, "day") == 0     ? &plan->is_day
                                                : NULL;
    if (flag == NULL)
        return -GALLOC_INVALID_VALUE;
    *flag = true;
    return 0;
}

/* "requests=300/60s,sliding,refused" */
static int parse_item(const struct settings *settings, const char *item, struct quota_plan *ret_plan,
                      struct galloc_error *error)
{
    char text[128];
    if (strlen(item) >= sizeof text)
        return bad_item(item, error);
    memcpy(text, item, strlen(item) + 1);
    char *rest = text;
    char *unit = strsep(&rest, "="), *count = strsep(&rest, "/"), *window = strsep(&rest, ",");
    struct quota_plan plan = {.is_tokens = strcmp(unit, "tokens") == 0, .kind = (enum quota_kind)settings->quota_kind};
    int64_t limit, window_ms;
    if ((!plan.is_tokens && strcmp(unit, "requests") != 0) || count == NULL || window == NULL ||
        parse_i64(count, 0, INT64_C(1000000000000000), &limit, NULL) != 0 ||
        parse_duration_ms(window, &window_ms, NULL) != 0 || window_ms == 0)
        return bad_item(item, error);
    plan.limit = plan.burst = (double)limit;
    plan.nominal_s = (double)window_ms / 1000;
    plan.window_s = plan.nominal_s * settings->time_scale;
    for (char *word; (word = strsep(&rest, ",")) != NULL;)
        if (apply_word(&plan, word) != 0)
            return bad_item(item, error);
    *ret_plan = plan;
    return 0;
}

/* The plans of all quotas, in order. */
static int plans_of(const struct settings *settings, struct quota_plan ret_plans[QUOTA_SET_MAX], size_t *ret_count,
                    struct galloc_error *error)
{
    const struct {
        int64_t limit;
        bool is_tokens, is_day;
    } simple[] = {{settings->rpm, false, false},
                  {settings->tpm, true, false},
                  {settings->rpd, false, true},
                  {settings->tpd, true, true}};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(simple); i++)
        if (simple[i].limit != SIM_NONE)
            ret_plans[count++] = simple_plan(settings, simple[i].limit, simple[i].is_tokens, simple[i].is_day);
    char list[sizeof settings->quotas];
    memcpy(list, settings->quotas, sizeof list);
    char *rest = list;
    for (char *item; rest != NULL && (item = strsep(&rest, ";")) != NULL;) {
        item += strspn(item, " ");
        item[strcspn(item, " ")] = '\0';
        if (*item == '\0')
            continue;
        if (count == QUOTA_SET_MAX)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "quotas: at most %d quotas in all", QUOTA_SET_MAX);
        int rc = parse_item(settings, item, &ret_plans[count++], error);
        if (rc != 0)
            return rc;
    }
    *ret_count = count;
    return 0;
}

int quota_set_check(const struct settings *settings, struct galloc_error *error)
{
    struct quota_plan plans[QUOTA_SET_MAX];
    size_t count;
    return plans_of(settings, plans, &count, error);
}

void quota_set_configure(struct quota_set *set, const struct settings *settings)
{
    struct quota_plan plans[QUOTA_SET_MAX];
    size_t count = 0;
    if (plans_of(settings, plans, &count, NULL) != 0)
        return;
    for (size_t i = count; i < set->count; i++)
        quota_free(set->quotas[i]);
    for (size_t i = 0; i < count; i++) {
        if (i < set->count && quota_change(set->quotas[i], &plans[i]))
            continue;
        if (i < set->count)
            quota_free(set->quotas[i]);
        set->quotas[i] = quota_new(&plans[i]);
    }
    set->count = count;
    double per_s = settings->background_rpm / (60 * settings->time_scale);
    if (per_s != set->background_per_s)
        set->background_at_s = 0;
    set->background_per_s = per_s;
}

void quota_set_clear(struct quota_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        quota_free(set->quotas[i]);
    *set = (struct quota_set){0};
}

void quota_set_reset(struct quota_set *set, const struct settings *settings)
{
    quota_set_clear(set);
    set->chance = chance_of(settings->seed, 0x6261636b, 0);
    quota_set_configure(set, settings);
}

/* The calls of the other client up to now; it takes what it gets and leaves no trace of what it does not get. */
static void run_background(struct quota_set *set, double now_s, double wall_s)
{
    if (set->background_per_s <= 0)
        return;
    if (set->background_at_s <= 0)
        set->background_at_s = now_s;
    for (int calls = 0; set->background_at_s <= now_s && calls < 100000; calls++) {
        double at_s = set->background_at_s;
        double wait_s = 0;
        for (size_t i = 0; i < set->count && wait_s <= 0; i++)
            wait_s = quota_wait_s(set->quotas[i], at_s, wall_s - (now_s - at_s), 1);
        for (size_t i = 0; i < set->count && wait_s <= 0; i++)
            quota_take(set->quotas[i], at_s, 1);
        set->background_at_s += -log(1 - chance_unit(&set->chance)) / set->background_per_s;
    }
}

/* Notes that this quota does not let the call in. */
static void add_refusal(struct quota_refusal *refusal, const struct quota_plan *plan, double wait_s)
{
    bool is_worse =
        refusal->worst == NULL || (refusal->worst->limit > 0 && (wait_s > refusal->wait_s || plan->limit <= 0));
    refusal->plans[refusal->count++] = plan;
    if (is_worse) {
        refusal->worst = plan;
        refusal->wait_s = wait_s;
    }
}

bool quota_set_take(struct quota_set *set, double now_s, double wall_s, double tokens,
                    struct quota_refusal *ret_refusal)
{
    ret_refusal->count = 0;
    ret_refusal->worst = NULL;
    ret_refusal->wait_s = 0;
    run_background(set, now_s, wall_s);
    for (size_t i = 0; i < set->count; i++) {
        const struct quota_plan *plan = quota_plan(set->quotas[i]);
        double wait_s = quota_wait_s(set->quotas[i], now_s, wall_s, plan->is_tokens ? tokens : 1);
        if (wait_s > 0)
            add_refusal(ret_refusal, plan, wait_s);
    }
    for (size_t i = 0; i < set->count; i++) {
        double units = quota_plan(set->quotas[i])->is_tokens ? tokens : 1;
        if (ret_refusal->count == 0)
            quota_take(set->quotas[i], now_s, units);
        else
            quota_refuse(set->quotas[i], now_s, units);
    }
    return ret_refusal->count == 0;
}
