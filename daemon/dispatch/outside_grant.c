/* What of a claim goes out to the worker: each row with its candidates and the columns that the plan lets out, and the agents. A row that can go to nobody is
 * settled here as the built-in worker does it, and one that does not fit is given back; neither is handed out. */
#include "dispatch/dispatch.h"

#include "base/json_out.h"
#include "core/limits.h"
#include "core/result_body.h"

#include <string.h>

/* Rows that are not handed out, on their way back. */
struct flight {
    struct engine *engine;        /* borrowed */
    struct run_entry *run;        /* borrowed */
    char *worker;                 /* owned */
    char **keys;                  /* owned, beside the items */
    int64_t away_changes, away_until_at_ms;
};

struct granting {
    struct engine *engine;
    struct run_entry *run;
    struct outside_ask *ask;
    const struct store_claim *claim;
    struct json_out agents, assignments;
    bool *is_named;               /* owned: beside the pool's agents, those whom a row names */
    int64_t room, granted;        /* rows that may go out, and do */
    size_t candidates_bytes;
    struct candidates all;        /* without --match or --max-candidates: those of every row */
    enum candidates_found all_found;
    bool is_short;                /* else each row has its own */
    struct store_settle *settle;  /* NULL: every row goes out */
    struct flight *flight;
};

/* ---- rows that stay here ---- */

static void told_back(struct flight *flight, const struct settle_item *item, const char *key)
{
    struct engine *engine = flight->engine;
    struct run_entry *run = flight->run;
    bool is_done = item->ret_verdict == VERDICT_DONE;
    struct attempt_notice attempt = {.run = run, .key = key, .endpoint = PLAN_WORKERS, .worker = flight->worker, .seq = item->ret_seq - 1, .n = item->n,
                                     .class = item->class, .retry = -1, .retry_in_ms = -1, .message = item->message};
    if (item->class != OUTCOME_RELEASED)
        notice_attempt(engine, &attempt);
    if (is_done && item->move == MOVE_FAIL)
        notice_assignment(engine, &(struct assignment_notice){.run = run, .key = key, .seq = item->ret_seq, .state = ASSIGNMENT_FAILED, .class = item->class});
    if (is_done && item->move == MOVE_HOLD)
        away_add(run, (struct away_row){item->assignment, item->n}, flight->away_changes, flight->away_until_at_ms);
}

static void on_settled(struct store_op *op)
{
    struct store_settle *settle = (struct store_settle *)op;
    struct flight *flight = op->arg;
    for (size_t i = 0; i < settle->count; i++) {
        if (op->code == 0)
            told_back(flight, &settle->items[i], flight->keys[i]);
        free(flight->keys[i]);
    }
    if (flight->run->dispatch != NULL) {
        flight->run->dispatch->dry_until_us = 0;
        flight->run->dispatch->outside_settles--;
    }
    free(flight->keys);
    free(flight->worker);
    free(flight);
    store_op_free(op);
}

static struct settle_item *keep_back(struct granting *g, const struct leased_row *row)
{
    if (g->settle == NULL) {
        g->flight = xcalloc(1, sizeof *g->flight);
        *g->flight = (struct flight){.engine = g->engine, .run = g->run, .worker = xstrdup(g->ask->worker), .away_changes = g->run->pool->changes,
                                     .away_until_at_ms = INT64_MAX};
        g->flight->keys = xcalloc(g->claim->ret_count, sizeof *g->flight->keys);
        g->settle = store_op_new(OP_SETTLE, on_settled, g->flight);
        g->settle->is_outside = true;
        g->settle->items = xcalloc(g->claim->ret_count, sizeof *g->settle->items);
    }
    g->flight->keys[g->settle->count] = xstrdup(row->key);
    struct settle_item *item = &g->settle->items[g->settle->count++];
    *item = (struct settle_item){.run = g->run->info.id, .assignment = row->assignment, .lease = g->claim->ret_lease, .n = row->n,
                                 .is_late = row->failures > 1, .retries_spent = row->retries_spent, .reasks_spent = row->reasks_spent,
                                 .fulls_spent = row->fulls_spent, .failures = row->failures, .token_cap = row->token_cap, .ledger = g->run->pool->ledger,
                                 .cost_micros = -1};
    for (int i = 0; i < TOKEN_COUNT; i++)
        item->tokens[i] = -1;
    return item;
}

static void keep_back_for(struct granting *g, const struct leased_row *row, enum candidates_found found, int64_t away_until_at_ms)
{
    const struct candidates_way *way = candidates_way(found);
    struct settle_item *item = keep_back(g, row);
    item->class = way->class;
    item->move = way->move;
    item->hold = way->hold;
    item->delay_ms = way->delay_ms;
    item->message = xstrdup(way->words);
    if (item->move == MOVE_FAIL)
        item->result = result_body_failure(item->message, NULL, RESULT_NO_CALL);
    if (found == CANDIDATES_AWAY)
        g->flight->away_until_at_ms = min_i64(g->flight->away_until_at_ms, away_until_at_ms);
}

/* ---- rows that go out ---- */

static bool column_is_sent(const char *column, void *arg)
{
    const struct granting *g = arg;
    return plan_sends(&g->run->plan, g->engine->config->keep_back, column);
}

static void add_candidates(struct granting *g, const struct candidates *candidates)
{
    struct json_out *out = &g->assignments;
    size_t before = out->buf->len;
    json_out_name(out, "candidates");
    json_out_begin(out, '[');
    for (size_t i = 0; i < candidates->count; i++) {
        json_out_str(out, candidates->agents[i]->info.agent_id);
        g->is_named[candidates->agents[i] - g->run->pool->agents] = true;
    }
    json_out_end(out, ']');
    g->candidates_bytes += out->buf->len - before;
}

static void add_row(struct granting *g, const struct leased_row *row, const struct candidates *candidates)
{
    struct json_out *out = &g->assignments;
    size_t len = strlen(row->fields);
    json_out_begin(out, '{');
    json_out_member_str(out, "key", row->key);
    json_out_member_int(out, "attempt", row->n);
    json_out_name(out, "fields");
    if (g->run->dispatch->sends_all) {
        json_out_raw(out, row->fields, len);
    } else {
        struct buf sent = BUF_EMPTY;
        template_fields_sent((struct json_span){row->fields, len}, column_is_sent, g, &sent);
        json_out_raw(out, sent.data, sent.len);
        buf_clear(&sent);
    }
    if (g->is_short)
        add_candidates(g, candidates);
    json_out_end(out, '}');
    g->granted++;
}

static void look_at(struct granting *g, const struct leased_row *row, int64_t wall_ms)
{
    if (row->fields == NULL) {
        keep_back_for(g, row, CANDIDATES_CORRUPT, 0);
        return;
    }
    struct candidates own = {0}, *candidates = &g->all;
    enum candidates_found found = g->all_found;
    if (g->is_short) {
        found = candidates_find(g->run, g->run->pool, (struct json_span){row->fields, strlen(row->fields)}, 0, wall_ms, &own);
        candidates = &own;
    }
    bool fits = g->granted < g->room && (g->granted == 0 || g->candidates_bytes < LIMIT_LEASE_BYTES);
    if (found == CANDIDATES_SOME && fits)
        add_row(g, row, candidates);
    else
        keep_back_for(g, row, found, candidates->away_until_at_ms);
    free(own.agents);
}

static void add_agents(struct granting *g)
{
    const struct pool_entry *pool = g->run->pool;
    for (size_t i = 0; g->is_short && i < pool->agent_count; i++)
        if (g->is_named[i])
            agent_json(&g->agents, &pool->agents[i]);
    for (size_t i = 0; !g->is_short && i < g->all.count; i++)
        agent_json(&g->agents, g->all.agents[i]);
}

int64_t outside_grant(struct engine *engine, struct run_entry *run, struct outside_ask *ask, struct store_claim *claim)
{
    int64_t wall_ms = engine_now().wall_ms;
    int64_t places = pool_free_places(run->pool, wall_ms), others = pool_under_way(run->pool) - (int64_t)claim->ret_count;
    struct granting g = {.engine = engine, .run = run, .ask = ask, .claim = claim, .is_short = plan_is_short_list(&run->plan),
                         .room = places == INT64_MAX ? ask->max : min_i64(ask->max, places - others)};
    g.agents = JSON_OUT(&ask->agents);
    g.assignments = JSON_OUT(&ask->assignments);
    g.is_named = xcalloc(run->pool->agent_count, sizeof *g.is_named);
    if (!g.is_short)
        g.all_found = candidates_find(run, run->pool, (struct json_span){"{}", 2}, 0, wall_ms, &g.all);
    for (size_t i = 0; i < claim->ret_count; i++)
        look_at(&g, &claim->ret_rows[i], wall_ms);
    if (g.granted > 0)
        add_agents(&g);
    if (g.settle != NULL) {
        run->dispatch->outside_settles++;
        owed_submit(engine, &g.settle->op);
    }
    free(g.all.agents);
    free(g.is_named);
    return g.granted;
}
