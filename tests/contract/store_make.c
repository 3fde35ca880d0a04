/* See store_make.h. */
#include "tests/contract/store_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store_run_create *make_run(int agents, int64_t capacity, make_done *done, void *arg)
{
    struct store_run_create *create = store_op_new(OP_RUN_CREATE, done, arg);
    create->run.endpoint = xstrdup("gemini");
    create->run.profile = xstrdup("adaptive");
    create->run.plan = xstrdup("{}");
    create->plan_sha256 = xstrdup("");
    create->agents.items = xcalloc((size_t)agents, sizeof *create->agents.items);
    create->agents.count = (size_t)agents;
    for (int i = 0; i < agents; i++) {
        create->agents.items[i] = (struct store_agent){.capacity = capacity, .is_available = true, .is_listed = true};
        create->agents.items[i].agent_id = xasprintf("A%d", i + 1);
        create->agents.items[i].attributes = xstrdup("{}");
    }
    return create;
}

static int64_t number_of(int64_t at, unsigned scatter)
{
    return scatter == 0 ? at : (int64_t)((uint64_t)at * 0x9e3779b97f4a7c15u >> 24); /* distinct for all that a test makes */
}

struct store_import *make_part(int64_t run, int64_t part, int64_t first, int64_t count, int field_bytes, unsigned scatter, make_done *done, void *arg)
{
    struct store_import *import = store_op_new(OP_IMPORT, done, arg);
    import->run = run;
    import->part = part;
    import->rows = xcalloc((size_t)count, sizeof *import->rows);
    import->count = (size_t)count;
    struct buf text = BUF_EMPTY;
    buf_reserve(&text, (size_t)count * ((size_t)field_bytes + 80)); /* never moves: the rows point into it */
    for (int64_t i = 0; i < count; i++) {
        struct import_row *row = &import->rows[i];
        row->row = first + i;
        size_t at = text.len;
        buf_add_fmt(&text, "K%06lld", (long long)number_of(first + i, scatter));
        row->key.at = text.data + at;
        row->key.len = text.len - at;
        at = text.len;
        buf_add_fmt(&text, "{\"part\":%lld,\"note\":\"", (long long)part);
        while (text.len - at + 2 < (size_t)field_bytes)
            buf_add_char(&text, (char)('a' + (char)((text.len * 7 + (size_t)i) % 26)));
        buf_add_str(&text, "\"}");
        row->fields.at = text.data + at;
        row->fields.len = text.len - at;
        digest_of(row->fields.at, row->fields.len, row->sha256);
    }
    unsigned char digest[DIGEST_BYTES];
    digest_of(buf_text(&text), text.len, digest);
    digest_hex(digest, import->sha256);
    import->text = buf_take(&text);
    return import;
}

struct store_run_commit *make_commit(int64_t run, int64_t parts, make_done *done, void *arg)
{
    struct store_run_commit *commit = store_op_new(OP_RUN_COMMIT, done, arg);
    commit->run = run;
    commit->parts = parts;
    return commit;
}

struct store_claim *make_claim(int64_t run, int max, make_done *done, void *arg)
{
    struct store_claim *claim = store_op_new(OP_CLAIM, done, arg);
    claim->run = run;
    claim->max = max;
    claim->endpoint = xstrdup("gemini");
    return claim;
}

struct store_settle *make_settle(const struct store_claim *claim, size_t from, size_t count, enum settle_move move, enum outcome_class class,
                                 const struct store_pool *pool, make_done *done, void *arg)
{
    struct store_settle *settle = store_op_new(OP_SETTLE, done, arg);
    settle->endpoint = xstrdup("gemini");
    settle->items = xcalloc(count, sizeof *settle->items);
    settle->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct leased_row *row = &claim->ret_rows[from + i];
        struct settle_item *item = &settle->items[i];
        *item = (struct settle_item){.run = claim->run, .assignment = row->assignment, .lease = claim->ret_lease, .call = row->call, .n = row->n,
                                     .class = class, .call_class = class, .move = move, .has_call_result = true, .http_status = 200, .latency_ms = 5,
                                     .tokens = {100, -1, 20, 3, -1}, .cost_micros = 7, .currency = "USD",
                                     .retries_spent = row->retries_spent, .reasks_spent = row->reasks_spent,
                                     .fulls_spent = row->fulls_spent, .failures = row->failures};
        if (move == MOVE_SUCCEED) {
            item->ledger = pool->ledger;
            item->agent = pool->agents.items[(size_t)row->assignment % pool->agents.count].id;
        }
        if (move == MOVE_SUCCEED || move == MOVE_FAIL)
            item->result = xstrdup("{\"reason\":\"same region, and the lightest load of those who speak the language\",\"confidence\":0.83}");
    }
    return settle;
}

struct store_claim *make_lease(int64_t run, int max, const char *worker, int64_t ttl_ms, make_done *done, void *arg)
{
    struct store_claim *claim = store_op_new(OP_CLAIM, done, arg);
    claim->run = run;
    claim->max = max;
    claim->worker = xstrdup(worker);
    claim->ttl_ms = ttl_ms;
    return claim;
}

struct store_verdicts *make_verdicts(const struct store_claim *claim, size_t from, size_t count, enum outcome_class class, const struct store_pool *pool,
                                     make_done *done, void *arg)
{
    struct store_verdicts *verdicts = store_op_new(OP_VERDICTS, done, arg);
    verdicts->lease = claim->ret_lease;
    verdicts->ledger = pool == NULL ? 0 : pool->ledger;
    verdicts->max_retries = 3;
    verdicts->backoff_max_ms = 8000;
    verdicts->seed = 4711;
    verdicts->items = xcalloc(count, sizeof *verdicts->items);
    verdicts->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct leased_row *row = &claim->ret_rows[from + i];
        struct verdict_item *item = &verdicts->items[i];
        *item = (struct verdict_item){.class = class, .key = xstrdup(row->key)};
        item->result = xstrdup("{\"reason\":\"same region, and the lightest load of those who speak the language\",\"decided_by\":\"worker\"}");
        if (class == OUTCOME_SUCCEEDED)
            item->agent = pool->agents.items[(size_t)row->assignment % pool->agents.count].id;
        else
            item->message = xstrdup("it did not work");
    }
    return verdicts;
}
