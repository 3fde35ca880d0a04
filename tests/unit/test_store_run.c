/* Runs and the audit log: what each operation does, refuses, repeats and leaves behind, through the facade on a real database. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"

#include <stdlib.h>

#define SOURCE "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_create(void **state)
{
    struct rig *rig = *state;
    struct store_run_create *create = rig_create_op("nov-north", 3, 10);
    create->agents.items[1].held = 4;
    create->agents.items[2].is_available = false;
    create->agents.items[2].until_at_ms = 1800000000000;
    create->run.pauses = PAUSE_BIT(PAUSE_OPERATOR);
    create->run.source_name = xstrdup("north.csv");
    assert_int_equal(rig_do(rig, &create->op), 0);
    assert_int_equal(create->ret_how, RUN_NEW);
    const struct store_run *run = &create->ret_run;
    assert_memory_equal(run->run_id, "r-", 2);
    assert_string_equal(run->name, "nov-north");
    assert_string_equal(run->source_name, "north.csv");
    assert_string_equal(run->plan, "{\"template\":\"t\"}");
    assert_null(run->pool_name);
    assert_int_equal(run->state, RUN_IMPORTING);
    assert_int_equal(run->pauses, PAUSE_BIT(PAUSE_OPERATOR));
    assert_true(run->seq > 0 && run->seq == create->op.seq_first);
    assert_true(run->created_at_ms > clock_wall_ms() - 60000);
    assert_string_equal(rig->last.run_id, run->run_id); /* the commit told it */
    const struct store_agents *agents = &create->ret_pool.agents;
    assert_int_equal(agents->count, 3);
    assert_string_equal(agents->items[1].agent_id, "a1");
    assert_int_equal(agents->items[1].held, 4);
    assert_int_equal(agents->items[0].capacity, 10);
    assert_false(agents->items[2].is_available);
    assert_int_equal(agents->items[2].until_at_ms, 1800000000000);
    assert_int_equal(create->ret_pool.ledger, run->ledger);
    store_op_free(&create->op);
}

static int create_again(struct rig *rig, struct store_run_create *create, int64_t *ret_run)
{
    create->run.source_sha256 = xstrdup(SOURCE);
    int rc = rig_do(rig, &create->op);
    *ret_run = create->ret_run.id;
    return rc;
}

/* The same file, pool and plan within 7 days is the run that still imports, then a refusal; not after it was cancelled,
 * nor with `again`. */
static void test_repeat(void **state)
{
    struct rig *rig = *state;
    int64_t first = 0, id = 0;
    struct store_run_create *create = rig_create_op("one", 1, -1);
    assert_int_equal(create_again(rig, create, &first), 0);
    store_op_free(&create->op);
    create = rig_create_op("two", 1, -1);
    assert_int_equal(create_again(rig, create, &id), 0);
    assert_int_equal(create->ret_how, RUN_STILL_IMPORTING);
    assert_int_equal(id, first);
    assert_string_equal(create->ret_existing, create->ret_run.run_id);
    store_op_free(&create->op);
    rig_import(rig, first, 1, "K", 2);
    assert_int_equal(rig_commit(rig, first, 1), 0);
    create = rig_create_op("three", 1, -1);
    assert_int_equal(create_again(rig, create, &id), -GALLOC_ALREADY_ENQUEUED);
    assert_int_equal(strlen(create->ret_existing), RUN_ID_BYTES - 1);
    assert_int_equal(create->ret_run.state, RUN_RUNNING);
    assert_non_null(strstr(create->op.error.message, "--again"));
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM run"), 1);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM pool"), 1);
    store_op_free(&create->op);
    create = rig_create_op("four", 1, -1);
    create->is_again = true;
    assert_int_equal(create_again(rig, create, &id), 0);
    assert_int_equal(create->ret_how, RUN_NEW);
    assert_true(id != first);
    store_op_free(&create->op);
    create = rig_create_op("five", 1, -1);
    free(create->plan_sha256);
    create->plan_sha256 = xstrdup("another plan");
    assert_int_equal(create_again(rig, create, &id), 0);
    assert_int_equal(create->ret_how, RUN_NEW);
    store_op_free(&create->op);
}

static void test_repeat_forgets(void **state)
{
    struct rig *rig = *state;
    int64_t first = 0, id = 0;
    struct store_run_create *create = rig_create_op("one", 1, -1);
    assert_int_equal(create_again(rig, create, &first), 0);
    store_op_free(&create->op);
    struct store_sweep *sweep = rig_op(OP_SWEEP);
    sweep->run = first;
    sweep->verb = SWEEP_CANCEL;
    sweep->selector.is_all = true;
    assert_int_equal(rig_do(rig, &sweep->op), 0);
    store_op_free(&sweep->op);
    create = rig_create_op("two", 1, -1);
    assert_int_equal(create_again(rig, create, &id), 0); /* a cancelled run does not count */
    assert_int_equal(create->ret_how, RUN_NEW);
    store_op_free(&create->op);
    rig_close(rig);
    rig_sql(rig, "UPDATE run SET created_at_ms = created_at_ms - 7 * 86400000 - 1000");
    rig_open(rig);
    create = rig_create_op("three", 1, -1);
    assert_int_equal(create_again(rig, create, &id), 0); /* nor does one of eight days ago */
    assert_int_equal(create->ret_how, RUN_NEW);
    store_op_free(&create->op);
}

static void test_idempotency(void **state)
{
    struct rig *rig = *state;
    struct store_run_create *create = rig_create_op("one", 1, -1);
    create->idempotency_key = xstrdup("k-1");
    create->request_sha256 = xstrdup("body");
    assert_int_equal(rig_do(rig, &create->op), 0);
    int64_t id = create->ret_run.id;
    store_op_free(&create->op);
    rig_reopen(rig);
    create = rig_create_op("one", 1, -1);
    create->idempotency_key = xstrdup("k-1");
    create->request_sha256 = xstrdup("body");
    assert_int_equal(rig_do(rig, &create->op), 0);
    assert_int_equal(create->ret_how, RUN_REPLAYED);
    assert_int_equal(create->ret_run.id, id);
    store_op_free(&create->op);
    create = rig_create_op("one", 1, -1);
    create->idempotency_key = xstrdup("k-1");
    create->request_sha256 = xstrdup("another body");
    assert_int_equal(rig_do(rig, &create->op), -GALLOC_KEY_REUSED);
    store_op_free(&create->op);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM run"), 1);
}

static void test_create_refused(void **state)
{
    struct rig *rig = *state;
    struct store_run_create *create = rig_create_op("one", 0, -1);
    create->pool = xstrdup("nort");
    assert_int_equal(rig_do(rig, &create->op), -GALLOC_NOT_FOUND);
    store_op_free(&create->op);
    create = rig_create_op("one", 2, -1);
    free(create->agents.items[1].agent_id);
    create->agents.items[1].agent_id = xstrdup("a0");
    assert_int_equal(rig_do(rig, &create->op), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(create->op.error.message, "a0"));
    store_op_free(&create->op);
    assert_int_equal(
        rig_number(rig,
                   "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM pool) + (SELECT count(*) FROM audit)"),
        0);
}

static void test_commit(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_run(rig, "one", 1, -1);
    assert_int_equal(rig_commit(rig, run, 0), -GALLOC_EMPTY_RUN);
    rig_import(rig, run, 1, "K", 3);
    assert_int_equal(rig_commit(rig, run, 2), -GALLOC_CONFLICT);
    assert_int_equal(rig_commit(rig, run, 1), 0);
    assert_int_equal(rig->last.state, RUN_RUNNING);
    assert_true(rig->last.started_at_ms > 0);
    int64_t seq = rig->last.seq;
    assert_int_equal(rig_commit(rig, run, 1), 0); /* repeated: well, and nothing moves */
    assert_int_equal(rig->last.seq, seq);
    assert_int_equal(rig_commit(rig, run, 2), -GALLOC_CONFLICT);
    assert_int_equal(rig_commit(rig, run + 99, 1), -GALLOC_NOT_FOUND);
}

static void test_commit_open_and_cancelled(void **state)
{
    struct rig *rig = *state;
    struct store_run_create *create = rig_create_op("open", 1, -1);
    create->run.is_open = true;
    assert_int_equal(rig_do(rig, &create->op), 0);
    assert_int_equal(rig_commit(rig, create->ret_run.id, 0), 0);
    assert_int_equal(rig->last.state, RUN_RUNNING); /* empty, but open: more may come */
    store_op_free(&create->op);
    int64_t run = rig_run(rig, "gone", 1, -1);
    rig_import(rig, run, 1, "K", 3);
    struct store_sweep *sweep = rig_op(OP_SWEEP);
    sweep->run = run;
    sweep->verb = SWEEP_CANCEL;
    sweep->selector.is_all = true;
    assert_int_equal(rig_do(rig, &sweep->op), 0);
    assert_int_equal(sweep->ret_changed, 3);
    store_op_free(&sweep->op);
    assert_int_equal(rig_commit(rig, run, 1), -GALLOC_WRONG_STATE);
}

static int pause_do(struct rig *rig, int64_t run, unsigned set, unsigned clear, bool by_person, const char *text)
{
    struct store_run_pause *pause = rig_op(OP_RUN_PAUSE);
    pause->run = run;
    pause->set = set;
    pause->clear = clear;
    pause->is_by_person = by_person;
    pause->peer = (struct store_peer){7, 8};
    pause->text = xstrdup(text);
    int rc = rig_do(rig, &pause->op);
    store_op_free(&pause->op);
    return rc;
}

static void test_pause(void **state)
{
    struct rig *rig = *state;
    struct store_run run;
    int64_t id = rig_full_run(rig, "one", 1, -1, 3);
    assert_int_equal(pause_do(rig, id, PAUSE_BIT(PAUSE_OPERATOR), 0, true, "lunch"), 0);
    assert_int_equal(pause_do(rig, id, PAUSE_BIT(PAUSE_BUDGET), 0, false, NULL), 0);
    rig_show(rig, id, &run);
    assert_int_equal(run.pauses, PAUSE_BIT(PAUSE_OPERATOR) | PAUSE_BIT(PAUSE_BUDGET)); /* independent of each other */
    assert_string_equal(run.pause_text, "lunch");
    store_run_clear(&run);
    assert_int_equal(pause_do(rig, id, 0, ~0u, true, NULL), 0);
    assert_int_equal(rig->last.pauses, 0);
    rig_show(rig, id, &run);
    assert_null(run.pause_text);
    store_run_clear(&run);
    assert_int_equal(pause_do(rig, id, 0, PAUSE_BIT(PAUSE_OPERATOR), true, NULL), 0); /* may be repeated */
    assert_int_equal(
        rig_number(rig, "SELECT count(*) FROM audit WHERE verb LIKE 'run_pause' OR verb LIKE 'run_resume'"), 2);
    struct store_read *audit = rig_read(rig, QUERY_AUDIT, id, 0, 1);
    assert_int_equal(audit->ret_row_count, 1);
    assert_string_equal(read_text(audit, 0, AUDIT_VERB), "run_resume");
    assert_int_equal(read_int(audit, 0, AUDIT_UID, -1), 7);
    assert_non_null(strstr(read_text(audit, 0, AUDIT_DETAIL), "\"before\":{\"pauses\":[\"operator\",\"budget\"]}"));
    assert_true(audit->ret_next > 0);
    store_op_free(&audit->op);
}

/* What was held as rejected is due again when that cause is cleared. */
static void test_resume_frees_held(void **state)
{
    struct rig *rig = *state;
    int64_t id = rig_full_run(rig, "one", 1, -1, 5);
    struct store_claim *claim = rig_claim(rig, id, 5);
    rig_hold(rig, claim, "blocked");
    store_op_free(&claim->op);
    claim = rig_claim(rig, id, 5);
    assert_int_equal(claim->ret_count, 0);
    store_op_free(&claim->op);
    assert_int_equal(pause_do(rig, id, PAUSE_BIT(PAUSE_REJECTED), 0, false, "five alike"), 0);
    assert_int_equal(pause_do(rig, id, 0, PAUSE_BIT(PAUSE_REJECTED), true, NULL), 0);
    claim = rig_claim(rig, id, 5);
    assert_int_equal(claim->ret_count, 5);
    store_op_free(&claim->op);
}

static void test_set(void **state)
{
    struct rig *rig = *state;
    struct store_run run;
    int64_t id = rig_run(rig, "one", 1, -1);
    struct store_run_set *set = rig_op(OP_RUN_SET);
    set->run = id;
    set->priority = 7;
    set->endpoint = xstrdup("other");
    assert_int_equal(rig_do(rig, &set->op), 0);
    assert_true(set->op.seq_first > 0);
    store_op_free(&set->op);
    rig_show(rig, id, &run);
    assert_int_equal(run.priority, 7);
    assert_string_equal(run.endpoint, "other");
    assert_string_equal(run.profile, "adaptive");
    store_run_clear(&run);
    struct store_read *audit = rig_read(rig, QUERY_AUDIT, id, 0, 1);
    assert_string_equal(
        read_text(audit, 0, AUDIT_DETAIL),
        "{\"before\":{\"endpoint\":\"gemini\",\"priority\":0},\"after\":{\"endpoint\":\"other\",\"priority\":7}}");
    store_op_free(&audit->op);
    set = rig_op(OP_RUN_SET);
    set->run = id;
    set->priority = INT64_MIN;
    set->name = xstrdup("two");
    assert_int_equal(rig_do(rig, &set->op), 0);
    store_op_free(&set->op);
    assert_int_equal(rig->last.priority, 7);
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_create),
        RIG_TEST(test_repeat),
        RIG_TEST(test_repeat_forgets),
        RIG_TEST(test_idempotency),
        RIG_TEST(test_create_refused),
        RIG_TEST(test_commit),
        RIG_TEST(test_commit_open_and_cancelled),
        RIG_TEST(test_pause),
        RIG_TEST(test_resume_frees_held),
        RIG_TEST(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
