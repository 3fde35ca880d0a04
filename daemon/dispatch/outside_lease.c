/* Leases of outside workers that stand, as memory has them: for the list, for whom a result is of, and for when to ask the store which of them have run out. The
 * store's clock alone decides that; the times here only say when to ask. */
#include "dispatch/dispatch.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

enum { EXPIRE_AGAIN_MS = 1000, EXPIRED_LOG_MS = 1000, EXPIRE_SLACK_MS = 5, FORGET_MS = 5000 };

/* ---- the list ---- */

static size_t place_of(const struct outside *outside, int64_t lease)
{
    size_t low = 0, high = outside->lease_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (outside->leases[middle].lease < lease)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct outside_lease *outside_lease_find(struct engine *engine, int64_t lease)
{
    struct outside *outside = &engine->outside;
    size_t place = place_of(outside, lease);
    return place < outside->lease_count && outside->leases[place].lease == lease ? &outside->leases[place] : NULL;
}

/* Takes its content. */
static void list_add(struct outside *outside, const struct outside_lease *lease)
{
    if (outside->lease_count == outside->lease_cap) {
        outside->lease_cap = outside->lease_cap ? 2 * outside->lease_cap : 32;
        outside->leases = xreallocarray(outside->leases, outside->lease_cap, sizeof *outside->leases);
    }
    size_t place = place_of(outside, lease->lease);
    memmove(&outside->leases[place + 1], &outside->leases[place], (outside->lease_count - place) * sizeof *outside->leases);
    outside->leases[place] = *lease;
    outside->lease_count++;
}

static void list_drop(struct outside *outside, size_t place)
{
    free(outside->leases[place].worker);
    outside->lease_count--;
    memmove(&outside->leases[place], &outside->leases[place + 1], (outside->lease_count - place) * sizeof *outside->leases);
}

void outside_lease_left(struct engine *engine, int64_t lease, int64_t row_count)
{
    struct outside_lease *found = outside_lease_find(engine, lease);
    if (found == NULL)
        return;
    found->row_count = row_count;
    if (row_count == 0)
        list_drop(&engine->outside, (size_t)(found - engine->outside.leases));
}

/* Rows that are cancelled leave a lease without a word to it: when it was its last one, the run has none in outside hands, or it is simply not told of when its
 * time is over. */
static bool is_over(const struct engine *engine, const struct outside_lease *lease, const struct run_entry *run)
{
    if (run == NULL || run->info.counts[COUNT_OUTSIDE] == 0)
        return true;
    return engine->health == STORE_WELL && !engine->outside.has_expire && clock_mono_ms() > lease->deadline_mono_ms + FORGET_MS;
}

static void drop_over(struct engine *engine)
{
    struct outside *outside = &engine->outside;
    size_t kept = 0;
    for (size_t i = 0; i < outside->lease_count; i++) {
        struct outside_lease *lease = &outside->leases[i];
        const struct run_entry *run = registry_run_by_id(&engine->registry, lease->run);
        if (is_over(engine, lease, run)) {
            free(lease->worker);
            continue;
        }
        lease->row_count = min_i64(lease->row_count, run->info.counts[COUNT_OUTSIDE]);
        outside->leases[kept++] = *lease;
    }
    outside->lease_count = kept;
}

const struct outside_lease *outside_leases(const struct engine *engine, size_t *ret_count)
{
    *ret_count = engine->outside.lease_count;
    return engine->outside.leases;
}

int64_t outside_expired_count(const struct engine *engine)
{
    return engine->outside.expired_count;
}

/* ---- running out ---- */

static void expire_at(struct engine *engine, int64_t at_mono_ms)
{
    struct outside *outside = &engine->outside;
    outside->expire_at_mono_ms = at_mono_ms;
    if (at_mono_ms != INT64_MAX)
        loop_timer_set_ms(&outside->expire, max_i64(at_mono_ms - clock_mono_ms(), 1));
}

/* A lease stands whose time is over at this deadline. */
static void expire_before(struct engine *engine, int64_t deadline_mono_ms)
{
    if (deadline_mono_ms + EXPIRE_SLACK_MS < engine->outside.expire_at_mono_ms)
        expire_at(engine, deadline_mono_ms + EXPIRE_SLACK_MS);
}

static void tell_expired(struct engine *engine, const struct expired_lease *expired, int64_t seq)
{
    struct run_entry *run = registry_run_by_id(&engine->registry, expired->run);
    int64_t suppressed;
    engine->outside.expired_count++;
    if (log_gate_open(&engine->outside.expired_gate, EXPIRED_LOG_MS, &suppressed))
        log_event(LOG_LEVEL_NOTICE, "lease_expired", "worker=%s lease=%" PRId64 " run=%s rows=%" PRId64 " poisoned=%" PRId64 " suppressed=%" PRId64, log_quote(expired->worker).text,
                  expired->lease, run ? run->info.run_id : "?", expired->row_count, expired->poisoned_count, suppressed);
    outside_lease_left(engine, expired->lease, 0);
    if (run == NULL)
        return;
    if (run->dispatch != NULL)
        run->dispatch->dry_until_us = 0;
    notice_lease_expired(engine, &(struct lease_notice){run, expired->worker, seq, expired->lease, expired->row_count, expired->poisoned_count});
}

static void on_expired(struct store_op *op)
{
    struct store_lease_expire *expire = (struct store_lease_expire *)op;
    struct engine *engine = op->arg;
    int64_t now_ms = clock_mono_ms();
    engine->outside.has_expire = false;
    for (size_t i = 0; op->code == 0 && i < expire->ret_count; i++)
        tell_expired(engine, &expire->ret_leases[i], op->seq_first);
    int64_t next_mono_ms = INT64_MAX;
    if (op->code < 0)
        next_mono_ms = now_ms + EXPIRE_AGAIN_MS;
    else if (expire->ret_has_more)
        next_mono_ms = now_ms;
    else if (expire->ret_next_ms >= 0)
        next_mono_ms = now_ms + expire->ret_next_ms + EXPIRE_SLACK_MS;
    expire_at(engine, min_i64(next_mono_ms, engine->outside.expire_at_mono_ms)); /* a lease may have come while the store looked */
    store_op_free(op);
    engine_turn(engine);
}

static void expire_if_due(struct engine *engine)
{
    struct outside *outside = &engine->outside;
    if (outside->has_expire || engine->store == NULL || outside->expire_at_mono_ms > clock_mono_ms())
        return;
    outside->has_expire = true;
    outside->expire_at_mono_ms = INT64_MAX; /* what is leased meanwhile sets it anew */
    store_submit(engine->store, store_op_new(OP_LEASE_EXPIRE, on_expired, engine));
}

static void on_expire(void *arg)
{
    expire_if_due(arg);
}

void outside_second(struct engine *engine)
{
    expire_if_due(engine);
    drop_over(engine);
}

void outside_lease_add(struct engine *engine, const struct outside_ask *ask, int64_t row_count)
{
    int64_t deadline_mono_ms = clock_mono_ms() + ask->ttl_ms;
    const struct outside_lease lease = {.lease = ask->lease, .run = ask->leased_run->info.id, .worker = xstrdup(ask->worker), .ttl_ms = ask->ttl_ms,
                                        .deadline_mono_ms = deadline_mono_ms, .row_count = row_count};
    list_add(&engine->outside, &lease);
    expire_before(engine, deadline_mono_ms);
}

/* ---- given back, renewed ---- */

static void over(struct engine *engine, int64_t lease, int64_t run_id)
{
    struct run_entry *run = registry_run_by_id(&engine->registry, run_id);
    outside_lease_left(engine, lease, 0);
    if (run != NULL && run->dispatch != NULL)
        run->dispatch->dry_until_us = 0;
}

void outside_took_renew(struct engine *engine, struct store_op *op)
{
    struct store_lease_renew *renew = (struct store_lease_renew *)op;
    struct outside_lease *lease = outside_lease_find(engine, renew->lease);
    int64_t deadline_mono_ms = clock_mono_ms() + renew->ret_ttl_ms;
    if (lease != NULL)
        lease->deadline_mono_ms = deadline_mono_ms;
    expire_before(engine, deadline_mono_ms); /* it may have been shortened */
}

void outside_took_end(struct engine *engine, struct store_op *op)
{
    struct store_lease_end *end = (struct store_lease_end *)op;
    over(engine, end->lease, end->ret_run);
}

static void on_given_back(struct store_op *op)
{
    struct store_lease_end *end = (struct store_lease_end *)op;
    over(op->arg, end->lease, end->ret_run);
    store_op_free(op);
}

void outside_give_back(struct engine *engine, int64_t lease)
{
    struct store_lease_end *end = store_op_new(OP_LEASE_END, on_given_back, engine);
    end->lease = lease;
    owed_submit(engine, &end->op);
}

/* ---- life ---- */

void outside_load(struct engine *engine, struct store_image *image)
{
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < image->lease_count; i++) {
        struct store_lease *from = &image->leases[i];
        const struct outside_lease lease = {.lease = from->lease, .run = from->run, .worker = from->worker, .ttl_ms = from->ttl_ms,
                                            .deadline_mono_ms = now_ms + from->left_ms, .row_count = from->row_count};
        from->worker = NULL; /* moved */
        list_add(&engine->outside, &lease);
        expire_before(engine, lease.deadline_mono_ms);
    }
}

void outside_init(struct engine *engine)
{
    engine->outside.asks_end = &engine->outside.asks;
    engine->outside.expire_at_mono_ms = INT64_MAX;
    loop_timer_init(&engine->outside.wake, engine->loop, outside_on_wake, engine);
    loop_timer_init(&engine->outside.expire, engine->loop, on_expire, engine);
}

void outside_clear(struct engine *engine)
{
    struct outside *outside = &engine->outside;
    while (outside->lease_count > 0)
        list_drop(outside, outside->lease_count - 1);
    free(outside->leases);
    loop_timer_clear(&outside->wake);
    loop_timer_clear(&outside->expire);
}
