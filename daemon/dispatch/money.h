/* Money before a call is sent and after it has ended: budgets of runs and of endpoints' days. Not for other rooms. Loop's thread.
 *
 *   a call is about to go ── no budget applies ─────────────────────────────▶ sent
 *                         ── what it may cost at most is reserved already ──▶ sent
 *                         ── it fits ──▶ reserved in the store ──▶ back to its run's ready list, and through the same gate again
 *                         ── it does not fit ──▶ waits in the ready list; when nothing of the run is under way any more, the run pauses (budget)
 *
 * A run's books are the store's counters (known costs, reservations) and what is on its way there; so they hold across a crash. An endpoint's day is counted here, and
 * read back at a start. */
#ifndef GALLOC_DISPATCH_MONEY_H
#define GALLOC_DISPATCH_MONEY_H

#include "dispatch/endpoint.h"

struct call;
struct call_charge;
struct engine;
struct net_response;
struct run_entry;

/* Takes the price of the moment for the call. True: the call was taken over, and is not to be sent now. */
bool money_waits(struct call *call, const struct provider_request *request);
/* Does a call of the run, or of its endpoint, wait for money that is not there? Then nothing else of it is leased or sent. */
bool money_holds(struct run_entry *run);
void money_look(struct engine *engine, struct run_entry *run); /* once a turn: pauses a run that waits in vain */
/* The call has ended: what stays reserved of it, as nobody knows what it cost. The endpoint's day is charged. */
int64_t money_kept(struct call *call, const struct net_response *response, const struct call_charge *charge);
void money_give_back(struct call *call); /* the call is gone, or begins anew under another number */
/* A budget was set or raised: calls under way that have nothing reserved get their reservation. */
void money_cover(struct engine *engine);

/* The endpoint's day. */
void money_read_back(struct endpoint *endpoint, int64_t day_cost_micros);
int64_t money_day_spent(const struct endpoint *endpoint); /* with what is reserved */
bool money_day_is_over(const struct endpoint *endpoint);  /* something waits for the next one */
bool money_day_is_spent(const struct endpoint *endpoint); /* and will, whatever calls under way give back */
/* Test requests: what one may cost is reserved until it has ended. 0 and *ret_reserved_micros, or -GALLOC_CONFLICT: it does not fit into the day. */
int money_take_test(struct endpoint *endpoint, const struct provider_request *request, int64_t *ret_reserved_micros, struct galloc_error *error) MUST_CHECK;
void money_give_test_back(struct endpoint *endpoint, int64_t reserved_micros); /* it was not sent */
int64_t money_end_test(struct endpoint *endpoint, int64_t reserved_micros, const struct net_response *response, const struct call_charge *charge);

/* What the day's budget is, what is spent, when it goes on: for people. */
void money_day_text(const struct endpoint *endpoint, char *ret_text, size_t size, int64_t *ret_until_at_ms);

#endif
