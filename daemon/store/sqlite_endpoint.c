/* What is kept of endpoints (settings of people, being down, what the pacer learned), and the audit log: who did what
 * to what, with the old value, in the transaction that does it. The writer's thread. */
#include "store/sqlite_admin.h"

int sqlite_audit(struct sqlite_store *store, const struct store_op *op, const struct store_peer *peer, const char *verb,
                 const char *target, const struct buf *detail)
{
    return sqlite_do(store, STMT_AUDIT_ADD, "iiittti", store->wall_ms, (int64_t)peer->uid, (int64_t)peer->pid, verb,
                     target, buf_text(detail), op->seq_first);
}

int sqlite_apply_audit(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    const struct store_audit *audit = CONTAINER_OF(op, struct store_audit, op);
    struct buf detail = BUF_EMPTY;
    buf_add_str(&detail, audit->detail ? audit->detail : "{}");
    op->seq_first = sqlite_seq_next(store);
    int rc = sqlite_audit(store, op, &audit->peer, audit->verb, audit->target, &detail);
    buf_clear(&detail);
    return rc;
}

/* A setting as {"name":value} under `when`; a missing value is null. */
static void setting_out(struct json_out *out, const char *when, const char *name, const char *value,
                        int64_t until_at_ms)
{
    json_out_name(out, when);
    json_out_begin(out, '{');
    json_out_member_str(out, name, value);
    if (value && until_at_ms)
        json_out_member_time(out, "until", until_at_ms);
    json_out_end(out, '}');
}

int sqlite_apply_endpoint_set(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_endpoint_set *set = CONTAINER_OF(op, struct store_endpoint_set, op);
    struct store_setting *setting = &set->setting;
    sqlite3_stmt *row = NULL;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    int rc = sqlite_find(store, STMT_SETTING_GET, &row, "tt", setting->endpoint, setting->name);
    if (rc > 0)
        setting_out(&out, "before", setting->name, (const char *)sqlite3_column_text(row, 0),
                    sqlite3_column_int64(row, 1));
    else
        setting_out(&out, "before", setting->name, NULL, 0);
    if (rc > 0)
        sqlite_end(row);
    setting_out(&out, "after", setting->name, setting->value, setting->until_at_ms);
    json_out_end(&out, '}');
    if (rc >= 0 && setting->value == NULL)
        rc = sqlite_do(store, STMT_SETTING_DROP, "tt", setting->endpoint, setting->name);
    else if (rc >= 0)
        rc = sqlite_do(store, STMT_SETTING_PUT, "tttiiz", setting->endpoint, setting->name, setting->value,
                       store->wall_ms, (int64_t)set->peer.uid, setting->until_at_ms);
    if (rc == 0) {
        setting->set_at_ms = store->wall_ms;
        setting->set_by = set->peer.uid;
        op->seq_first = sqlite_seq_next(store);
        rc = sqlite_audit(store, op, &set->peer, "endpoint_set", setting->endpoint, &detail);
    }
    buf_clear(&detail);
    return rc;
}

static void down_out(struct json_out *out, const char *when, int down_class, const char *text)
{
    json_out_name(out, when);
    json_out_begin(out, '{');
    json_out_member_str(out, "down", down_class < 0 ? NULL : outcome_row((enum outcome_class)down_class)->name);
    if (text)
        json_out_member_str(out, "text", text);
    json_out_end(out, '}');
}

/* People only ever end an endpoint's being down; its going down is the daemon's own and stands in the row itself. */
static int resume_audit(struct sqlite_store *store, const struct store_endpoint_state_op *set)
{
    sqlite3_stmt *row = NULL;
    struct buf detail = BUF_EMPTY;
    struct json_out out = JSON_OUT(&detail);
    json_out_begin(&out, '{');
    int rc = sqlite_find(store, STMT_ENDPOINT_GET, &row, "t", set->state.endpoint);
    if (rc > 0) {
        int class = sqlite3_column_type(row, 0) == SQLITE_NULL ? -1 : sqlite3_column_int(row, 0);
        down_out(&out, "before", class, (const char *)sqlite3_column_text(row, 1));
        sqlite_end(row);
    }
    down_out(&out, "after", set->state.down_class, set->state.down_text);
    json_out_end(&out, '}');
    if (rc >= 0)
        rc = sqlite_audit(store, &set->op, &set->peer, set->state.down_class < 0 ? "endpoint_resume" : "endpoint_down",
                          set->state.endpoint, &detail);
    buf_clear(&detail);
    return rc;
}

int sqlite_apply_endpoint_state(struct sqlite_store *store, struct store_op *op, bool *ret_has_more)
{
    (void)ret_has_more;
    struct store_endpoint_state_op *set = CONTAINER_OF(op, struct store_endpoint_state_op, op);
    const struct store_endpoint_state *state = &set->state;
    op->seq_first = sqlite_seq_next(store);
    int rc = set->is_by_person ? resume_audit(store, set) : 0;
    if (rc < 0)
        return rc;
    return sqlite_do(store, STMT_ENDPOINT_PUT, "tmtzzt", state->endpoint, (int64_t)state->down_class, state->down_text,
                     state->down_at_ms, state->quota_until_at_ms, state->learned);
}
