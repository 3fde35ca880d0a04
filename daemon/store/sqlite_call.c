/* Calls: the row of a request to an endpoint, from its beginning to its end. CALL_BEGIN and CALL_END are the endpoint's own test request, a call
 * that decides no assignment. The writer's thread. */
#include "store/sqlite.h"

int sqlite_apply_call_begin(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_call_begin *begin = CONTAINER_OF(op, struct store_call_begin, op);
    int rc = sqlite_do(store, STMT_CALL_INSERT, "tiii", begin->endpoint, (int64_t)1, store->node, store->wall_ms);
    begin->ret_call = sqlite3_last_insert_rowid(store->db);
    return rc;
}

int sqlite_apply_call_end(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_call_end *end = CONTAINER_OF(op, struct store_call_end, op);
    const int64_t *tokens = end->tokens;
    return sqlite_do(store, STMT_CALL_END, "iiiizmmmmmmtmz", end->call, (int64_t)(end->is_lost ? CALL_LOST : CALL_DONE), store->wall_ms,
                     (int64_t)end->class, (int64_t)end->http_status, tokens[TOKEN_IN], tokens[TOKEN_CACHED], tokens[TOKEN_OUT],
                     tokens[TOKEN_THOUGHT], tokens[TOKEN_TOOL], end->cost_micros, end->currency[0] == '\0' ? NULL : end->currency,
                     end->latency_ms, (int64_t)end->local_port);
}
