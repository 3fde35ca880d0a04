/* A call and its attempts in memory: made of what was leased, and gone when the last of them is settled. What it takes meanwhile: a slot of its endpoint, and for
 * each attempt a place of the ledger. Loop's thread. */
#include "dispatch/dispatch.h"

struct call *call_new(struct run_entry *run, struct endpoint *endpoint, size_t count)
{
    struct call *call = xcalloc(1, sizeof *call + count * sizeof call->attempts[0]);
    call->engine = endpoint->dispatch->engine;
    call->run = run;
    call->endpoint = endpoint;
    call->ready_us = engine_now().mono_us;
    call->count = call->open = count;
    for (size_t i = 0; i < count; i++)
        call->attempts[i].call = call;
    return call;
}

void call_free(struct call *call)
{
    hedge_part(call);
    money_give_back(call);
    for (size_t i = 0; i < call->count; i++) {
        free(call->attempts[i].key);
        free(call->attempts[i].fields);
        candidates_leave(&call->attempts[i]);
        free(call->attempts[i].problem);
    }
    rest_clear(&call->rest);
    free(call);
}

int64_t call_estimate(const struct call *call)
{
    return call->tokens > 0 ? call->tokens : call->endpoint->dispatch->prompt_tokens;
}

size_t call_left(const struct call *call)
{
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++)
        count += !call->attempts[i].has_left;
    return count;
}

void call_take_slot(struct call *call)
{
    if (call->has_slot)
        return;
    call->has_slot = true;
    call->endpoint->in_flight++;
    call->run->dispatch->in_flight++;
    call->engine->in_flight++;
}

void call_leave_slot(struct call *call)
{
    if (!call->has_slot)
        return;
    call->has_slot = false;
    call->endpoint->in_flight--;
    call->run->dispatch->in_flight--;
    call->engine->in_flight--;
}

/* A slot is free again only when all that the call decided has committed: what is paid and unsaved is never more than max_in_flight. */
void attempt_end(struct attempt *attempt)
{
    struct call *call = attempt->call;
    struct engine *engine = call->engine;
    struct pool_entry *pool = call->run->pool;
    if (--call->open == 0) {
        call_leave_slot(call);
        call_free(call);
    }
    pool_give_places(pool, 1); /* counted since the lease */
    engine_turn(engine);
}
