/* What may be spent, and whether one more call fits into it. Money is reserved before a call is sent, as much as that call can cost at most, and given back when
 * its true cost is known: so what is spent never passes the budget, however many calls are under way. A call of which nobody knows how it ended keeps what was
 * reserved for it. Amounts are micros of one currency. Pure; any thread. */
#ifndef GALLOC_CORE_BUDGET_H
#define GALLOC_CORE_BUDGET_H

#include "core/price.h"

/* Of a run, or of an endpoint's day. */
struct budget {
    int64_t max_micros;      /* -1: there is none */
    int64_t spent_micros;    /* known costs */
    int64_t reserved_micros; /* for calls under way, and for those whose end is not known */
};

/* The most that a call can cost. No tokenizer makes more tokens of a text than it has bytes, so the whole body counts a token a byte; `earlier_tokens` are those of
 * the pieces of an answer whose rest is asked for, which the provider takes in again; out comes at most the cap, thinking included. Rounded as costs are. */
int64_t budget_call_most(const struct price *price, int64_t body_bytes, int64_t earlier_tokens, int64_t output_tokens);

/* May so much more be reserved? */
bool budget_fits(const struct budget *budget, int64_t micros);
/* The budget that it would take to reserve so much more: what to raise it to. */
int64_t budget_needed(const struct budget *budget, int64_t micros);

/* What stays reserved of a call that has ended: nothing where its cost is known, where it was never sent, and where it was refused, which is not billed; else all of
 * it. `http_status` is 0 where no answer came. */
int64_t budget_kept(int64_t reserved_micros, int64_t cost_micros, bool was_sent, int http_status);

#endif
