/* The table of operations: a row a kind, with its lane, its size, and what it owns. Any thread. */
#include "store/store.h"

#include "core/compare.h"

#include <stdlib.h>

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[VERDICT_OF_COUNT] = {
        [VERDICT_OF_SUCCEEDED] = "succeeded", [VERDICT_OF_FAILED] = "failed",         [VERDICT_OF_RETRY] = "retry",
        [VERDICT_OF_STALE] = "stale",         [VERDICT_OF_DUPLICATE] = "duplicate",   [VERDICT_OF_AGENT_FULL] = "agent_full",
        [VERDICT_OF_INVALID_ANSWER] = "invalid_answer",
    };
    return names[verdict];
}

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static void selector_clear(struct store_selector *selector)
{
    list_free(selector->agents);
    list_free(selector->keys);
    list_free(selector->where);
}

static void settle_clear(struct store_op *op)
{
    struct store_settle *settle = CONTAINER_OF(op, struct store_settle, op);
    for (size_t i = 0; i < settle->count; i++) {
        free(settle->items[i].result);
        free(settle->items[i].message);
        free(settle->items[i].raw);
    }
    free(settle->items);
    free(settle->endpoint);
}

static void judge_clear(struct store_op *op)
{
    struct store_judge *judge = CONTAINER_OF(op, struct store_judge, op);
    for (size_t i = 0; i < judge->count; i++)
        free(judge->items[i].result);
    free(judge->items);
}

static void release_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_release, op)->items);
}

static void hedge_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_hedge, op)->endpoint);
}

static void reserve_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_reserve, op)->items);
}

static void call_begin_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_call_begin, op)->endpoint);
}

static void claim_clear(struct store_op *op)
{
    struct store_claim *claim = CONTAINER_OF(op, struct store_claim, op);
    for (size_t i = 0; i < claim->ret_count; i++) {
        free(claim->ret_rows[i].key);
        free(claim->ret_rows[i].fields);
        free(claim->ret_rows[i].problem);
    }
    free(claim->ret_rows);
    free(claim->endpoint);
    free(claim->worker);
}

static void run_create_clear(struct store_op *op)
{
    struct store_run_create *create = CONTAINER_OF(op, struct store_run_create, op);
    store_run_clear(&create->run);
    free(create->pool);
    store_agents_clear(&create->agents);
    free(create->plan_sha256);
    free(create->idempotency_key);
    free(create->request_sha256);
    store_run_clear(&create->ret_run);
    store_pool_clear(&create->ret_pool);
}

static void run_pause_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_run_pause, op)->text);
}

static void run_set_clear(struct store_op *op)
{
    struct store_run_set *set = CONTAINER_OF(op, struct store_run_set, op);
    free(set->endpoint);
    free(set->profile);
    free(set->plan);
    free(set->name);
    free(set->max_cost);
    free(set->max_cost_before);
}

static void sweep_clear(struct store_op *op)
{
    struct store_sweep *sweep = CONTAINER_OF(op, struct store_sweep, op);
    selector_clear(&sweep->selector);
    free(sweep->reason);
}

static void assign_clear(struct store_op *op)
{
    struct store_assign *assign = CONTAINER_OF(op, struct store_assign, op);
    free(assign->key);
    free(assign->agent_id);
    free(assign->reason);
}

static void pool_put_clear(struct store_op *op)
{
    struct store_pool_put *put = CONTAINER_OF(op, struct store_pool_put, op);
    free(put->name);
    store_agents_clear(&put->agents);
    store_pool_clear(&put->ret_pool);
}

static void pool_reset_clear(struct store_op *op)
{
    store_pool_clear(&CONTAINER_OF(op, struct store_pool_reset, op)->ret_pool);
}

static void agent_set_clear(struct store_op *op)
{
    struct store_agent_set *set = CONTAINER_OF(op, struct store_agent_set, op);
    free(set->agent_id);
    store_pool_clear(&set->ret_pool);
}

static void endpoint_set_clear(struct store_op *op)
{
    struct store_endpoint_set *set = CONTAINER_OF(op, struct store_endpoint_set, op);
    free(set->setting.endpoint);
    free(set->setting.name);
    free(set->setting.value);
}

static void endpoint_state_clear(struct store_op *op)
{
    struct store_endpoint_state_op *set = CONTAINER_OF(op, struct store_endpoint_state_op, op);
    free(set->state.endpoint);
    free(set->state.down_text);
    free(set->state.learned);
}

static void audit_clear(struct store_op *op)
{
    struct store_audit *audit = CONTAINER_OF(op, struct store_audit, op);
    free(audit->verb);
    free(audit->target);
    free(audit->detail);
}

static void import_clear(struct store_op *op)
{
    struct store_import *import = CONTAINER_OF(op, struct store_import, op);
    free(import->text);
    free(import->rows);
    free(import->rejected);
    free(import->idempotency_key);
    free(import->repeated);
    buf_clear(&import->ret_answer);
}

static void read_clear(struct store_op *op)
{
    struct store_read *read = CONTAINER_OF(op, struct store_read, op);
    for (size_t i = 0; read->ret_runs != NULL && i < read->ret_row_count; i++)
        store_run_clear(&read->ret_runs[i]);
    free(read->ret_runs);
    free(read->ret_cells);
    if (read->ret_pool != NULL)
        store_pool_clear(read->ret_pool);
    free(read->ret_pool);
    buf_clear(&read->ret_text);
    selector_clear(&read->selector);
    compare_free(read->ret_compare);
    free(read->truth);
    free(read->key);
}

static void doctor_clear(struct store_op *op)
{
    buf_clear(&CONTAINER_OF(op, struct store_doctor, op)->ret_report);
}

static void backup_read_clear(struct store_op *op)
{
    buf_clear(&CONTAINER_OF(op, struct store_backup_read, op)->ret_bytes);
}

static void lease_expire_clear(struct store_op *op)
{
    struct store_lease_expire *expire = CONTAINER_OF(op, struct store_lease_expire, op);
    for (size_t i = 0; i < expire->ret_count; i++)
        free(expire->ret_leases[i].worker);
    free(expire->ret_leases);
}

static void verdicts_clear(struct store_op *op)
{
    struct store_verdicts *verdicts = CONTAINER_OF(op, struct store_verdicts, op);
    for (size_t i = 0; i < verdicts->count; i++) {
        free(verdicts->items[i].key);
        free(verdicts->items[i].result);
        free(verdicts->items[i].message);
    }
    free(verdicts->items);
}

static void purge_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_purge, op)->ret_runs);
}

static void upkeep_clear(struct store_op *op)
{
    free(CONTAINER_OF(op, struct store_upkeep, op)->ret_freed);
}

static void nothing_clear(struct store_op *op)
{
    (void)op;
}

struct op_row {
    const char *name;
    enum store_lane lane;
    size_t bytes;
    void (*clear)(struct store_op *op);
    bool is_new_work;
};

static const struct op_row op_rows[STORE_OP_KIND_COUNT] = {
    [OP_SETTLE] = {"settle", STORE_SETTLE, sizeof(struct store_settle), settle_clear, false},
    [OP_JUDGE] = {"judge", STORE_SETTLE, sizeof(struct store_judge), judge_clear, false},
    [OP_RELEASE] = {"release", STORE_SETTLE, sizeof(struct store_release), release_clear, false},
    [OP_CALL_END] = {"call_end", STORE_SETTLE, sizeof(struct store_call_end), nothing_clear, false},
    [OP_VERDICTS] = {"verdicts", STORE_SETTLE, sizeof(struct store_verdicts), verdicts_clear, false},
    [OP_LEASE_END] = {"lease_end", STORE_SETTLE, sizeof(struct store_lease_end), nothing_clear, false},
    [OP_CLAIM] = {"claim", STORE_LEASE, sizeof(struct store_claim), claim_clear, true},
    [OP_HEDGE] = {"hedge", STORE_LEASE, sizeof(struct store_hedge), hedge_clear, true},
    [OP_RESERVE] = {"reserve", STORE_LEASE, sizeof(struct store_reserve), reserve_clear, false},
    [OP_CALL_BEGIN] = {"call_begin", STORE_LEASE, sizeof(struct store_call_begin), call_begin_clear, false},
    [OP_LEASE_RENEW] = {"lease_renew", STORE_LEASE, sizeof(struct store_lease_renew), nothing_clear, false},
    [OP_LEASE_EXPIRE] = {"lease_expire", STORE_LEASE, sizeof(struct store_lease_expire), lease_expire_clear, false},
    [OP_RUN_CREATE] = {"run_create", STORE_OPERATOR, sizeof(struct store_run_create), run_create_clear, true},
    [OP_RUN_COMMIT] = {"run_commit", STORE_OPERATOR, sizeof(struct store_run_commit), nothing_clear, false},
    [OP_RUN_PAUSE] = {"run_pause", STORE_OPERATOR, sizeof(struct store_run_pause), run_pause_clear, false},
    [OP_RUN_CLOSE] = {"run_close", STORE_OPERATOR, sizeof(struct store_run_close), nothing_clear, false},
    [OP_RUN_SET] = {"run_set", STORE_OPERATOR, sizeof(struct store_run_set), run_set_clear, false},
    [OP_SWEEP] = {"sweep", STORE_OPERATOR, sizeof(struct store_sweep), sweep_clear, false},
    [OP_ASSIGN] = {"assign", STORE_OPERATOR, sizeof(struct store_assign), assign_clear, false},
    [OP_POOL_PUT] = {"pool_put", STORE_OPERATOR, sizeof(struct store_pool_put), pool_put_clear, true},
    [OP_POOL_RESET] = {"pool_reset", STORE_OPERATOR, sizeof(struct store_pool_reset), pool_reset_clear, false},
    [OP_AGENT_SET] = {"agent_set", STORE_OPERATOR, sizeof(struct store_agent_set), agent_set_clear, false},
    [OP_ENDPOINT_SET] = {"endpoint_set", STORE_OPERATOR, sizeof(struct store_endpoint_set), endpoint_set_clear, false},
    [OP_ENDPOINT_STATE] = {"endpoint_state", STORE_OPERATOR, sizeof(struct store_endpoint_state_op), endpoint_state_clear, false},
    [OP_PURGE] = {"purge", STORE_OPERATOR, sizeof(struct store_purge), purge_clear, false},
    [OP_AUDIT] = {"audit", STORE_OPERATOR, sizeof(struct store_audit), audit_clear, false},
    [OP_IMPORT] = {"import", STORE_IMPORT, sizeof(struct store_import), import_clear, true},
    [OP_UPKEEP] = {"upkeep", STORE_UPKEEP, sizeof(struct store_upkeep), upkeep_clear, false},
    [OP_READ] = {"read", STORE_READ, sizeof(struct store_read), read_clear, false},
    [OP_DOCTOR] = {"doctor", STORE_READ, sizeof(struct store_doctor), doctor_clear, false},
    [OP_BACKUP] = {"backup", STORE_BACKUP, sizeof(struct store_backup), nothing_clear, false},
    [OP_BACKUP_READ] = {"backup_read", STORE_BACKUP, sizeof(struct store_backup_read), backup_read_clear, false},
    [OP_BACKUP_END] = {"backup_end", STORE_BACKUP, sizeof(struct store_op), nothing_clear, false},
};

bool store_op_is_new_work(enum store_op_kind kind)
{
    return op_rows[kind].is_new_work;
}

enum store_lane store_op_lane(enum store_op_kind kind)
{
    return op_rows[kind].lane;
}

const char *store_op_name(enum store_op_kind kind)
{
    return op_rows[kind].name;
}

void *store_op_new(enum store_op_kind kind, void (*done)(struct store_op *op), void *arg)
{
    struct store_op *op = xcalloc(1, op_rows[kind].bytes); /* every operation begins with its store_op */
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    return op;
}

void store_op_free(struct store_op *op)
{
    if (op == NULL)
        return;
    op_rows[op->kind].clear(op);
    free(op);
}
