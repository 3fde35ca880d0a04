/* See money.h: the gate before the send and the books after the end of a call. */
#include "dispatch/money.h"

#include "dispatch/call.h"
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/text.h"
#include "core/budget.h"

#include <string.h>

#define TEST_OUTPUT_TOKENS_MOST 1024 /* no provider's test request asks for more */
#define STORE_FAILED_US 500000       /* a reservation that could not be kept is tried again after so long */

/* ---- the two budgets ---- */

static struct budget budget_of_run(const struct run_entry *run)
{
    const struct amount *most = &run->plan.max_cost;
    return (struct budget){.max_micros = run->has_plan && most->is_set ? most->micros : -1,
                           .spent_micros = run->info.counts[COUNT_COST_MICROS],
                           .reserved_micros = run->info.counts[COUNT_COST_RESERVED] + run->dispatch->reserving_micros};
}

/* A day begins: what was spent before counts no more, what is reserved for calls under way still does. */
static void begin_day(struct endpoint *endpoint, int64_t wall_ms)
{
    struct money_day *day = &endpoint->dispatch->day;
    if (wall_ms < day->ends_at_ms)
        return;
    day->began_at_ms = wall_ms;
    day->ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    day->cost_micros = 0;
    day->need_micros = 0;
}

static struct budget budget_of_day(const struct endpoint *endpoint)
{
    const struct money_day *day = &endpoint->dispatch->day;
    int64_t most = endpoint->values[SETTING_MAX_COST_PER_DAY];
    return (struct budget){.max_micros = most > 0 ? most : -1, .spent_micros = day->cost_micros, .reserved_micros = day->reserved_micros};
}

static bool has_budget(const struct call *call)
{
    return call->endpoint->values[SETTING_MAX_COST_PER_DAY] > 0 || call->run->plan.max_cost.is_set;
}

/* The most that it can cost by the price that was taken for it. */
static int64_t most_of(const struct call *call)
{
    int64_t earlier = rest_is_due(&call->rest) ? call->attempts[0].budget.reasks_spent * call->token_cap : 0;
    return budget_call_most(&call->terms.price, call->body_bytes, earlier, call->token_cap);
}

/* ---- reserving ---- */

/* So much more, in memory and on its way to the store. */
static void submit_reserve(struct call *call, int64_t more_micros, void (*done)(struct store_op *op), void *arg)
{
    struct store_reserve *reserve = store_op_new(OP_RESERVE, done, arg);
    reserve->items = xcalloc(1, sizeof *reserve->items);
    reserve->items[reserve->count++] = (struct reserve_item){call->run->info.id, call->id, call->reserved_micros + more_micros};
    call->reserved_micros += more_micros;
    call->run->dispatch->reserving_micros += more_micros;
    call->endpoint->dispatch->day.reserved_micros += more_micros;
    call->reserving_micros = more_micros;
    store_submit(call->engine->store, &reserve->op);
}

/* It goes through the gate again, with fresh loads, before all that its run has leased. */
static void on_reserved(struct store_op *op)
{
    struct call *call = op->arg;
    struct engine *engine = call->engine;
    struct run_entry *run = call->run;
    run->dispatch->reserving_micros -= call->reserving_micros; /* the run's counter has it now, or nobody */
    if (op->code < 0) {
        call->reserved_micros -= call->reserving_micros;
        call->endpoint->dispatch->day.reserved_micros -= call->reserving_micros;
    }
    call->reserving_micros = 0;
    engine->settles_pending--;
    if (call->is_superseded) { /* its twin has decided meanwhile */
        hedge_give_up(call);
        store_op_free(op);
        return;
    }
    call->has_money = op->code == 0;
    ready_put_back(call, op->code < 0 ? STORE_FAILED_US : 0);
    if (call->endpoint != run->endpoint || !run_is_runnable(engine, run))
        ready_release(run);
    store_op_free(op);
    engine_turn(engine);
}

static void reserve(struct call *call, int64_t more_micros)
{
    call_take_slot(call);
    call->is_tried = !call->keeps_slot; /* its slot is kept, but it is no re-ask for that */
    call->keeps_slot = true;
    call->engine->settles_pending++;
    submit_reserve(call, more_micros, on_reserved, call);
}

/* ---- the gate ---- */

/* Nobody knows what its calls cost: nothing is sent. */
static void pause_without_price(const struct call *call)
{
    struct run_entry *run = call->run;
    struct galloc_error error;
    char text[512];
    const struct price *price = call->terms.is_known ? &call->terms.price : NULL;
    bool is_runs = run->plan.max_cost.is_set;
    const struct amount none = {.is_set = false}, *budget = is_runs ? &run->plan.max_cost : &none;
    if (endpoint_check_budget(call->endpoint, budget, price, &error) == 0)
        galloc_fail(&error, GALLOC_CONFLICT, "the price has changed just now");
    snprintf(text, sizeof text, "%s: %.400s; then: gallocctl resume %s", is_runs ? "max_cost" : "max_cost_per_day of its endpoint", error.message, run->info.run_id);
    if (!((run->info.pauses | run->dispatch->pausing) & PAUSE_BIT(PAUSE_BUDGET)))
        run_pause(call->engine, run, PAUSE_BUDGET, text);
}

static bool is_payable(const struct call *call)
{
    const struct price_terms *terms = &call->terms;
    const struct amount *most = &call->run->plan.max_cost;
    bool is_bounded = terms->is_known && (call->endpoint->provider->takes_prompt || price_is_free(&terms->price));
    return is_bounded && (!most->is_set || most->currency[0] == '\0' || strcmp(most->currency, terms->price.currency) == 0);
}

/* Waits as one that was leased ahead; its slot is another's. */
static void set_aside(struct call *call)
{
    call_leave_slot(call);
    call->keeps_slot = false;
    ready_put_back(call, 0);
    engine_turn(call->engine);
}

bool money_waits(struct call *call, const struct provider_request *request)
{
    struct endpoint *endpoint = call->endpoint;
    int64_t wall_ms = clock_wall_ms();
    begin_day(endpoint, wall_ms);
    call->has_money = false; /* its text may have grown since */
    call->body_bytes = (int64_t)request->body.len;
    call->terms = endpoint_terms(endpoint, (enum price_tier)call->run->plan.tier, wall_ms);
    if (!has_budget(call))
        return false;
    if (!is_payable(call)) {
        pause_without_price(call);
        set_aside(call);
        return true;
    }
    int64_t more = most_of(call) - call->reserved_micros;
    const struct budget of_run = budget_of_run(call->run), of_day = budget_of_day(endpoint);
    if (more <= 0)
        return false;
    if (!budget_fits(&of_run, more))
        call->run->dispatch->need_micros = more;
    else if (!budget_fits(&of_day, more))
        endpoint->dispatch->day.need_micros = more;
    else {
        reserve(call, more);
        return true;
    }
    set_aside(call);
    return true;
}

bool money_day_is_over(const struct endpoint *endpoint)
{
    const struct money_day *day = &endpoint->dispatch->day;
    const struct budget budget = budget_of_day(endpoint);
    return day->need_micros > 0 && !budget_fits(&budget, day->need_micros) && clock_wall_ms() < day->ends_at_ms;
}

bool money_day_is_spent(const struct endpoint *endpoint)
{
    const struct money_day *day = &endpoint->dispatch->day;
    struct budget budget = budget_of_day(endpoint);
    budget.reserved_micros = 0;
    return day->need_micros > 0 && !budget_fits(&budget, day->need_micros) && clock_wall_ms() < day->ends_at_ms;
}

bool money_holds(struct run_entry *run)
{
    struct run_dispatch *d = run->dispatch;
    struct money_day *day = &run->endpoint->dispatch->day;
    if (d->pausing & PAUSE_BIT(PAUSE_BUDGET))
        return true;
    if (d->need_micros == 0 && day->need_micros == 0)
        return false;
    const struct budget of_run = budget_of_run(run);
    if (d->need_micros > 0 && budget_fits(&of_run, d->need_micros))
        d->need_micros = 0;
    if (day->need_micros > 0 && !money_day_is_over(run->endpoint))
        day->need_micros = 0;
    return d->need_micros > 0 || day->need_micros > 0;
}

/* "max_cost is 1.00 USD: 0.93 were spent, 0.05 are reserved …, and the next call may cost up to 0.08". */
static void pause_for_budget(struct engine *engine, struct run_entry *run, const struct budget *budget)
{
    const char *currency = run->endpoint->currency;
    struct buf text = BUF_EMPTY;
    buf_add_str(&text, "max_cost is ");
    text_add_amount(&text, budget->max_micros);
    buf_add_fmt(&text, " %s: ", currency);
    text_add_amount(&text, budget->spent_micros);
    buf_add_str(&text, " spent");
    if (budget->reserved_micros > 0) {
        buf_add_str(&text, ", ");
        text_add_amount(&text, budget->reserved_micros);
        buf_add_str(&text, " kept for calls whose end is not known");
    }
    buf_add_str(&text, ", and the next call may cost up to ");
    text_add_amount(&text, run->dispatch->need_micros);
    buf_add_fmt(&text, "; to go on: gallocctl set %s max_cost=", run->info.run_id);
    text_add_amount(&text, budget_needed(budget, run->dispatch->need_micros));
    buf_add_str(&text, " or more");
    run_pause(engine, run, PAUSE_BUDGET, buf_text(&text));
    buf_clear(&text);
}

/* A re-ask keeps its slot, which others need that have their money. */
static void leave_slots(struct run_dispatch *d)
{
    for (struct call *call = d->ready; call != NULL; call = call->next) {
        if (call->has_money)
            continue;
        call_leave_slot(call);
        call->keeps_slot = false;
    }
}

void money_look(struct engine *engine, struct run_entry *run)
{
    struct run_dispatch *d = run->dispatch;
    const struct budget budget = budget_of_run(run);
    if (d->need_micros == 0 || budget_fits(&budget, d->need_micros) || (d->pausing & PAUSE_BIT(PAUSE_BUDGET)))
        return;
    leave_slots(d);
    if (d->in_flight > 0 || d->reserving_micros > 0 || d->has_claim || d->has_hedge)
        return;
    if (d->ready != NULL)
        pause_for_budget(engine, run, &budget);
    d->need_micros = 0; /* what needs it may have been given back meanwhile: looked at anew */
}

/* ---- the end of a call ---- */

int64_t money_kept(struct call *call, const struct net_response *response, const struct call_charge *charge)
{
    int64_t kept = budget_kept(call->reserved_micros, charge->cost_micros, response->sent_us >= 0, response->status);
    struct money_day *day = &call->endpoint->dispatch->day;
    if (call->terms.at_wall_ms >= day->began_at_ms)
        day->cost_micros += max_i64(charge->cost_micros, 0) + kept;
    return kept;
}

void money_give_back(struct call *call)
{
    call->endpoint->dispatch->day.reserved_micros -= call->reserved_micros;
    call->reserved_micros = 0;
}

/* The call may be gone by now. */
static void on_covered(struct store_op *op)
{
    struct engine *engine = op->arg;
    const struct store_reserve *reserve = (struct store_reserve *)op;
    struct run_entry *run = registry_run_by_id(&engine->registry, reserve->items[0].run);
    if (run != NULL && run->dispatch != NULL)
        run->dispatch->reserving_micros -= reserve->items[0].micros;
    store_op_free(op);
}

void money_cover(struct engine *engine)
{
    for (struct call *call = engine->flying; call != NULL; call = call->fly_next) {
        if (call->reserved_micros > 0 || !call->terms.is_known || !has_budget(call))
            continue;
        int64_t most = most_of(call);
        if (most > 0)
            submit_reserve(call, most, on_covered, engine);
        call->reserving_micros = 0;
    }
}

/* ---- an endpoint's day ---- */

void money_read_back(struct endpoint *endpoint, int64_t day_cost_micros)
{
    begin_day(endpoint, clock_wall_ms());
    endpoint->dispatch->day.cost_micros = day_cost_micros;
}

int64_t money_day_spent(const struct endpoint *endpoint)
{
    const struct money_day *day = &endpoint->dispatch->day;
    return (clock_wall_ms() < day->ends_at_ms ? day->cost_micros : 0) + day->reserved_micros;
}

int money_take_test(struct endpoint *endpoint, const struct provider_request *request, int64_t *ret_reserved_micros, struct galloc_error *error)
{
    int64_t wall_ms = clock_wall_ms();
    const struct price *price = endpoint_price(endpoint, TIER_STANDARD, wall_ms);
    const struct amount any = {.is_set = true};
    begin_day(endpoint, wall_ms);
    const struct budget budget = budget_of_day(endpoint);
    *ret_reserved_micros = 0;
    if (budget.max_micros < 0)
        return 0;
    int rc = endpoint_check_budget(endpoint, &any, price, error);
    if (rc < 0)
        return galloc_prefix(error, "max_cost_per_day");
    int64_t most = budget_call_most(price, (int64_t)request->body.len, 0, TEST_OUTPUT_TOKENS_MOST);
    if (!budget_fits(&budget, most)) {
        char text[400];
        money_day_text(endpoint, text, sizeof text, &wall_ms);
        return galloc_fail(error, GALLOC_CONFLICT, "%s", text);
    }
    endpoint->dispatch->day.reserved_micros += most;
    *ret_reserved_micros = most;
    return 0;
}

void money_give_test_back(struct endpoint *endpoint, int64_t reserved_micros)
{
    endpoint->dispatch->day.reserved_micros -= reserved_micros;
}

int64_t money_end_test(struct endpoint *endpoint, int64_t reserved_micros, const struct net_response *response, const struct call_charge *charge)
{
    int64_t kept = budget_kept(reserved_micros, charge->cost_micros, response->sent_us >= 0, response->status);
    endpoint->dispatch->day.reserved_micros -= reserved_micros;
    endpoint->dispatch->day.cost_micros += max_i64(charge->cost_micros, 0) + kept;
    return kept;
}

void money_day_text(const struct endpoint *endpoint, char *ret_text, size_t size, int64_t *ret_until_at_ms)
{
    struct buf text = BUF_EMPTY;
    buf_add_fmt(&text, "the day's budget of %s is used up: max_cost_per_day is ", endpoint->config->name);
    text_add_amount(&text, endpoint->values[SETTING_MAX_COST_PER_DAY]);
    buf_add_fmt(&text, " %s, ", endpoint->currency);
    text_add_amount(&text, money_day_spent(endpoint));
    buf_add_fmt(&text, " are spent or reserved; it goes on at midnight Pacific time, or with: gallocctl endpoint set %s max_cost_per_day=…", endpoint->config->name);
    snprintf(ret_text, size, "%s", buf_text(&text));
    *ret_until_at_ms = endpoint->dispatch->day.ends_at_ms;
    buf_clear(&text);
}
