/* See decide.h. The budgets are core/retry.c's; here stands what follows: a failure that waits to be judged, words for a result, a run that is wrong as a whole. */
#include "dispatch/decide.h"
#include "dispatch/dispatch.h"

#include "core/result_body.h"

#include <string.h>

/* Rejected alike five times in a row before any success: the run as a whole is wrong, not each input. */
static void count_rejection(struct call *call, int status, const char *message)
{
    struct run_dispatch *d = call->run->dispatch;
    unsigned char digest[DIGEST_BYTES];
    uint64_t mark;
    digest_of(message, strlen(message), digest);
    memcpy(&mark, digest, sizeof mark);
    mark += (uint64_t)status;
    d->reject_streak = mark == d->reject_mark ? d->reject_streak + 1 : 1;
    d->reject_mark = mark;
    if (d->reject_streak < 5 || ((call->run->info.pauses | d->pausing) & PAUSE_BIT(PAUSE_REJECTED)))
        return;
    d->reject_streak = 0;
    char text[400];
    snprintf(text, sizeof text, "the provider rejected five assignments in a row alike: %.300s", message);
    run_pause(call->engine, call->run, PAUSE_REJECTED, text);
}

static void hold_transient(struct attempt *attempt, const struct retry_decision *how, const struct settle_item *item)
{
    struct call *call = attempt->call;
    struct held *held = xcalloc(1, sizeof *held);
    int64_t now_us = engine_now().mono_us;
    *held = (struct held){.run = call->run->info.id, .assignment = attempt->assignment, .call = call->id, .n = attempt->row_n, .sent_us = call->sent_us,
                          .failed_us = now_us, .due_us = now_us + how->delay_ms * 1000, .is_alone = item->part_count == 1,
                          .is_first = item->part == 0 && call_is_first(call),
                          .retries_spent = attempt->budget.retries_spent, .message = xstrdup(item->message), .http_status = item->http_status};
    held_add(call->endpoint, call->run, held);
}

static void take_budget(struct settle_item *item, const struct retry_budget *budget)
{
    item->retries_spent = budget->retries_spent;
    item->reasks_spent = budget->reasks_spent;
    item->fulls_spent = budget->fulls_spent;
    item->failures = budget->failures;
    item->token_cap = budget->token_cap;
}

static void make_result(struct decision *decision, const struct provider_verdict *verdict)
{
    struct settle_item *item = &decision->item;
    const struct result_call call = {verdict->model_version, item->http_status, item->latency_ms};
    if (item->move == MOVE_SUCCEED)
        item->result = judged_body(&decision->said, call);
    else if (item->move == MOVE_FAIL || item->hold == HOLD_REJECTED)
        item->result = result_body_failure(item->message ? item->message : outcome_row(item->class)->text, NULL, call);
}

void decide(struct decision *decision, const struct provider_verdict *verdict)
{
    static const enum settle_move moves[] = {[RETRY_SUCCEED] = MOVE_SUCCEED, [RETRY_FAIL] = MOVE_FAIL, [RETRY_ASK_NOW] = MOVE_REASK,
                                             [RETRY_HOLD_TRANSIENT] = MOVE_HOLD, [RETRY_HOLD_REJECTED] = MOVE_HOLD, [RETRY_PENDING] = MOVE_PENDING};
    struct attempt *attempt = decision->attempt;
    struct settle_item *item = &decision->item;
    struct call *call = attempt->call;
    if (decision->is_whole && item->part_count > 1) { /* whose fault it is, nobody can tell: it goes again with half as many, and spends nothing */
        item->move = MOVE_PENDING;
        item->pack_most = pack_most_after(item->class, true, (size_t)item->part_count, attempt->pack_most, &attempt->budget);
        return;
    }
    struct retry_input input = {.class = item->class,
                                .n = attempt->n,
                                .is_truncated = verdict->is_truncated,
                                .run_has_success = call->run->info.counts[COUNT_CLASS + OUTCOME_SUCCEEDED] > 0,
                                .token_cap = call->token_cap,
                                .backoff_max_ms = call->run->profile.backoff_max_ms};
    struct retry_decision how = retry_decide(&input, &attempt->budget, &call->engine->rng);
    how.delay_ms = (int64_t)((double)how.delay_ms * call->endpoint->config->time_scale);
    item->move = moves[how.action];
    if (item->part_count > 1 && (item->move == MOVE_REASK || (item->move == MOVE_FAIL && item->class == OUTCOME_INVALID_ANSWER)))
        item->move = MOVE_PENDING; /* with others that wait, or alone */
    item->is_late = how.is_late || in_turn_is_late(call, item->class);
    item->delay_ms = how.delay_ms;
    take_budget(item, &attempt->budget);
    item->pack_most = pack_most_after(item->class, false, (size_t)item->part_count, attempt->pack_most, &attempt->budget);
    if (item->move == MOVE_REASK && !run_is_runnable(call->engine, call->run))
        item->move = MOVE_PENDING; /* asked again when the run goes on */
    if (how.action == RETRY_HOLD_TRANSIENT) {
        item->hold = HOLD_TRANSIENT;
        hold_transient(attempt, &how, item);
    } else if (how.action == RETRY_HOLD_REJECTED) {
        item->hold = HOLD_REJECTED;
        count_rejection(call, item->http_status, item->message ? item->message : "");
    }
    make_result(decision, verdict);
}
