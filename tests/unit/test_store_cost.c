/* What calls cost, as the store keeps and sums it: unknown stays unknown, and is never zero. */
#include "tests/unit/store_rig.h"

/* How a call ended, and what is counted of it. A cost of -1 is not known. */
struct told {
    enum outcome_class class;
    enum settle_move move;
    int32_t http_status;
    int64_t in_tokens, cost_micros;
};

/* Settles the assignment's next attempt; the claim's fence moves on with a re-ask. */
static void settle(struct rig *rig, struct store_claim *claim, int64_t run, const struct told *told)
{
    struct leased_row *row = &claim->ret_rows[0];
    struct store_settle *settle = rig_op(OP_SETTLE);
    settle->endpoint = xstrdup("gemini");
    settle->items = xcalloc(1, sizeof(*settle->items));
    settle->count = 1;
    struct settle_item *item = &settle->items[0];
    *item = (struct settle_item){.run = run,
                                 .assignment = row->assignment,
                                 .lease = claim->ret_lease,
                                 .call = row->call,
                                 .n = row->n,
                                 .class = told->class,
                                 .call_class = told->class,
                                 .move = told->move,
                                 .has_call_result = true,
                                 .is_call_lost = told->class == OUTCOME_LOST,
                                 .http_status = told->http_status,
                                 .tokens = {told->in_tokens, told->in_tokens < 0 ? -1 : 0, told->in_tokens < 0 ? -1 : 5, -1, -1},
                                 .cost_micros = told->cost_micros};
    assert_int_equal(rig_do(rig, &settle->op), 0);
    assert_int_equal(item->ret_verdict, VERDICT_DONE);
    claim->ret_lease = item->ret_lease;
    row->call = item->ret_call;
    row->n = item->ret_n;
    store_op_free(&settle->op);
}

static void test_sums(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *what;
        struct told before, last; /* the attempt that is asked again, and the one that ends it */
        int64_t unknown_calls, micros, in_tokens; /* of the run; -1: nothing is told of the assignment */
        int64_t told_micros, told_in_tokens;      /* of the assignment */
    } rows[] = {
        {"all is known", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, 10, 7}, {OUTCOME_REJECTED, MOVE_FAIL, 200, 20, 9}, 0, 16, 30, 16, 30},
        {"one without its usage", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, -1, -1}, {OUTCOME_REJECTED, MOVE_FAIL, 200, 20, 9}, 1, 9, 20, -1, -1},
        {"none with its usage", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, -1, -1}, {OUTCOME_REJECTED, MOVE_FAIL, 200, -1, -1}, 2, 0, 0, -1, -1},
        {"no price", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, 10, -1}, {OUTCOME_REJECTED, MOVE_FAIL, 200, 20, 9}, 1, 9, 30, -1, 30},
        {"free of charge", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, 10, 0}, {OUTCOME_REJECTED, MOVE_FAIL, 200, 0, 0}, 0, 0, 10, 0, 10},
        {"a refusal costs nothing", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, 10, 7}, {OUTCOME_REJECTED, MOVE_FAIL, 400, -1, -1}, 0, 7, 10, 7, 10},
        {"no answer at all", {OUTCOME_INVALID_ANSWER, MOVE_REASK, 200, 10, 7}, {OUTCOME_TRANSIENT, MOVE_FAIL, 0, -1, -1}, 0, 7, 10, 7, 10},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t run = rig_full_run(rig, rows[i].what, 1, -1, 1);
        struct store_claim *claim = rig_claim(rig, run, 1);
        settle(rig, claim, run, &rows[i].before);
        settle(rig, claim, run, &rows[i].last);
        struct store_run shown;
        rig_show(rig, run, &shown);
        struct store_read *read = rig_read(rig, QUERY_ASSIGNMENTS, run, 0, 1);
        int64_t micros = read_int(read, 0, ASSIGNMENT_COST_MICROS, -1), in_tokens = read_int(read, 0, ASSIGNMENT_TOKENS_IN, -1);
        if (shown.counts[COUNT_COST_UNKNOWN] != rows[i].unknown_calls || shown.counts[COUNT_COST_MICROS] != rows[i].micros ||
            shown.counts[COUNT_TOKEN + TOKEN_IN] != rows[i].in_tokens)
            fail_msg("%s: the run tells %lld unknown, %lld micros, %lld tokens", rows[i].what, (long long)shown.counts[COUNT_COST_UNKNOWN],
                     (long long)shown.counts[COUNT_COST_MICROS], (long long)shown.counts[COUNT_TOKEN + TOKEN_IN]);
        if (micros != rows[i].told_micros || in_tokens != rows[i].told_in_tokens)
            fail_msg("%s: the assignment tells %lld micros, %lld tokens", rows[i].what, (long long)micros, (long long)in_tokens);
        store_op_free(&read->op);
        store_run_clear(&shown);
        store_op_free(&claim->op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_sums, rig_setup, rig_teardown)};
    return cmocka_run_group_tests_name("store: costs", tests, NULL, NULL);
}
