/* Outside workers: each asks for work, decides it or meets an error, tells in time or too late, renews, gives back, or is never heard of again. The world knows when a
 * lease cannot be over yet, and who has been given an assignment since: by that each verdict is judged. */
#include "tests/simulation/world.h"

#include "dispatch/outside.h"

#include <stdlib.h>
#include <string.h>

enum { WORKERS = 4, LEASE_KEYS_MAX = 8, TTL_LEAST_MS = 500, TTL_MOST_MS = 20000, ASK_LATEST_MS = 3000, AGAIN_LATEST_MS = 800, TELLS_MOST = 6 };

struct worker {
    int number;
    struct sched_event next;
    struct outside_ask *ask; /* owned by the daemon until it is answered */
    int64_t asked_us, ttl_ms, lease;
    struct sim_run *run;
    struct sim_key *keys[LEASE_KEYS_MAX]; /* of the lease, not told of yet */
    char names[LEASE_KEYS_MAX][KEY_BYTES];
    int key_count, tells;
    bool is_renewed; /* asked for: how long it holds is not certain */
};

static struct worker workers[WORKERS];

static void worker_wait(struct worker *worker, int64_t latest_ms)
{
    sched_set_us(&worker->next, dice(1, latest_ms) * 1000);
}

static void lease_leave(struct worker *worker)
{
    worker->lease = 0;
    worker->key_count = 0;
    worker_wait(worker, ASK_LATEST_MS);
}

/* ---- asking ---- */
static void take_keys(struct worker *worker, const struct buf *assignments)
{
    static const char mark[] = "\"key\":\"";
    const char *at = assignments->data, *end = at + assignments->len;
    worker->key_count = 0;
    while (worker->key_count < LEASE_KEYS_MAX && (at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        char *name = worker->names[worker->key_count];
        struct sim_key *key;
        at += sizeof mark - 1;
        snprintf(name, KEY_BYTES, "%.*s", KEY_BYTES - 1, at);
        worker->run = run_of_key(name, &key);
        if (worker->run == NULL) {
            violate("a worker was given \"%s\", which nobody sent", name);
            return;
        }
        if (worker->lease <= key->last_lease)
            violate("%s: lease %lld after lease %lld", name, (long long)worker->lease, (long long)key->last_lease);
        key->last_lease = worker->lease;
        worker->keys[worker->key_count++] = key;
    }
}

static void on_asked(struct outside_ask *ask)
{
    struct worker *worker = ask->arg;
    worker->ask = NULL;
    if (life_engine() != NULL && ask->code == 0 && ask->lease != 0) {
        worker->lease = ask->lease;
        worker->is_renewed = false;
        worker->tells = 0;
        take_keys(worker, &ask->assignments);
        world.leases++;
        trace("worker %d has lease %lld of %d, %lld ms", worker->number, (long long)worker->lease, worker->key_count, (long long)worker->ttl_ms);
    }
    outside_ask_clear(ask);
    free(ask);
    worker_wait(worker, worker->lease != 0 ? worker->ttl_ms * 3 / 2 : ASK_LATEST_MS);
}

static bool is_gone(struct outside_ask *ask)
{
    (void)ask;
    return life_engine() == NULL;
}

static void ask_work(struct worker *worker)
{
    struct outside_ask *ask = xcalloc(1, sizeof *ask);
    struct sim_run *run = world.run_count > 0 ? &world.runs[dice(0, world.run_count - 1)] : NULL;
    worker->ttl_ms = dice(TTL_LEAST_MS, TTL_MOST_MS);
    worker->asked_us = sched_now_us();
    worker->ask = ask;
    *ask = (struct outside_ask){.worker = xasprintf("w%d", worker->number), .max = dice(1, LEASE_KEYS_MAX), .ttl_ms = worker->ttl_ms, .wait_ms = dice(0, 1) * 4000,
                                .done = on_asked, .is_gone = is_gone, .arg = worker};
    if (run != NULL && run->id != 0 && run->workers_too)
        ask->run = run->id;
    outside_ask(life_engine(), ask);
}

/* ---- telling ---- */
/* What is told, and of which worker and lease. */
struct telling {
    struct outside_results results;
    struct worker *worker;
    int64_t lease;
    bool is_in_time;
    struct sim_run *run;
    struct sim_key *keys[LEASE_KEYS_MAX];
};

static void judge_verdict(const struct telling *telling, size_t i)
{
    const struct outside_told *told = &telling->results.items[i];
    const struct sim_key *key = telling->keys[i];
    bool is_known = told->verdict == VERDICT_OF_STALE || told->verdict == VERDICT_OF_DUPLICATE;
    trace("verdict %s lease=%lld %s", told->result.key, (long long)telling->lease, verdict_name(told->verdict));
    if (key->last_lease > telling->lease && !is_known)
        violate("%s: lease %lld is over, lease %lld was given, and yet its result counts as %s", told->result.key, (long long)telling->lease, (long long)key->last_lease,
                verdict_name(told->verdict));
    if (told->verdict == VERDICT_OF_STALE && telling->is_in_time && !telling->run->is_cancelled && !telling->run->is_assigned)
        violate("%s: told within the time of lease %lld, and it counts as stale", told->result.key, (long long)telling->lease);
}

static void on_told(struct outside_results *results)
{
    struct telling *telling = results->arg;
    struct worker *worker = telling->worker;
    bool is_heard = life_engine() != NULL && results->code == 0;
    for (size_t i = 0; is_heard && i < results->count; i++)
        judge_verdict(telling, i);
    if (is_heard && worker->lease == telling->lease)
        lease_leave(worker);
    else if (worker->lease == telling->lease)
        worker_wait(worker, AGAIN_LATEST_MS);
    outside_results_clear(results);
    free(telling);
}

static void tell_of(struct worker *worker, int i, struct worker_result *result)
{
    struct sim_key *key = worker->keys[i];
    int64_t percent = world.is_well ? 0 : dice(0, 99);
    *result = (struct worker_result){.key = xstrdup(worker->names[i]), .kind = TOLD_ERROR};
    if (percent < 80) {
        result->kind = TOLD_DECISION;
        result->answer = (struct alloc_answer){.reason = xstrdup("by hand"), .confidence = 1};
        if (percent >= 75)
            key->worker_errors[2]++;
        snprintf(result->answer.agent_id, sizeof result->answer.agent_id, percent >= 75 ? "nobody" : "A%d", (int)dice(1, worker->run->agents));
        return;
    }
    result->may_retry = percent < 95;
    result->message = xstrdup("it did not work");
    key->worker_errors[result->may_retry ? 0 : 1]++;
}

static void tell(struct worker *worker)
{
    struct telling *telling = xcalloc(1, sizeof *telling);
    int64_t age_ms = (sched_now_us() - worker->asked_us) / 1000;
    /* An answer of the store may take a while; what is certain is that nothing ends a lease before its time. */
    telling->is_in_time = worker->tells == 0 && !worker->is_renewed && age_ms < worker->ttl_ms - 200;
    telling->worker = worker;
    telling->lease = worker->lease;
    telling->run = worker->run;
    memcpy(telling->keys, worker->keys, sizeof telling->keys);
    telling->results = (struct outside_results){.lease = worker->lease, .count = (size_t)worker->key_count, .done = on_told, .arg = telling};
    telling->results.items = xcalloc((size_t)worker->key_count, sizeof *telling->results.items);
    for (int i = 0; i < worker->key_count; i++)
        tell_of(worker, i, &telling->results.items[i].result);
    trace("worker %d tells of lease %lld, %lld of %lld ms", worker->number, (long long)worker->lease, (long long)age_ms, (long long)worker->ttl_ms);
    worker->tells++;
    outside_results(life_engine(), &telling->results);
}

/* ---- renewing, giving back, dying ---- */
static void on_done(struct store_op *op)
{
    if (life_engine() != NULL)
        trace("%s %s", store_op_name(op->kind), op->code == 0 ? "well" : galloc_code_row(op->code)->name);
    store_op_free(op);
}

static void renew(struct worker *worker)
{
    struct store_lease_renew *op = store_op_new(OP_LEASE_RENEW, on_done, NULL);
    op->lease = worker->lease;
    worker->is_renewed = true;
    engine_submit(life_engine(), &op->op);
    worker_wait(worker, worker->ttl_ms);
}

static void give_back(struct worker *worker)
{
    struct store_lease_end *op = store_op_new(OP_LEASE_END, on_done, NULL);
    op->lease = worker->lease;
    engine_submit(life_engine(), &op->op);
    lease_leave(worker);
}

static void die(struct worker *worker)
{
    trace("worker %d dies with lease %lld", worker->number, (long long)worker->lease);
    lease_leave(worker);
}

static void on_next(void *arg)
{
    struct worker *worker = arg;
    int64_t percent = dice(0, 99);
    if (life_engine() == NULL) {
        worker_wait(worker, AGAIN_LATEST_MS);
    } else if (worker->lease == 0) {
        if (worker->ask == NULL)
            ask_work(worker);
    } else if (world.is_well || percent < 65 || worker->tells > 0) {
        if (worker->tells >= TELLS_MOST)
            die(worker);
        else
            tell(worker);
    } else if (percent < 75) {
        renew(worker);
    } else if (percent < 82) {
        give_back(worker);
    } else {
        die(worker);
    }
}

void workers_forget(void)
{
    for (int i = 0; i < WORKERS; i++)
        if (workers[i].ask != NULL)
            outside_cancel(workers[i].ask);
}

void workers_begin(void)
{
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.number = i + 1, .next = {.fire = on_next, .arg = &workers[i]}};
        worker_wait(&workers[i], ASK_LATEST_MS);
    }
}
