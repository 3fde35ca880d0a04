/* Pools, endpoints and the image of a start: what each operation does, refuses and leaves behind, through the facade on a real
 * database. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"

#include <stdlib.h>

static struct store_pool_put *pool_op(const char *name, int agents, int64_t capacity)
{
    struct store_run_create *create = rig_create_op("", agents, capacity);
    struct store_pool_put *put = rig_op(OP_POOL_PUT);
    put->name = xstrdup(name);
    put->agents = create->agents;
    create->agents = (struct store_agents){0};
    store_op_free(&create->op);
    return put;
}

static int64_t held_of(const struct store_pool *pool, const char *agent_id)
{
    for (size_t i = 0; i < pool->agents.count; i++)
        if (strcmp(pool->agents.items[i].agent_id, agent_id) == 0)
            return pool->agents.items[i].held;
    return -1;
}

static int64_t run_on_pool(struct rig *rig, const char *name, const char *pool, struct store_pool *ret_pool)
{
    struct store_run_create *create = rig_create_op(name, 0, 0);
    create->pool = xstrdup(pool);
    assert_int_equal(rig_do(rig, &create->op), 0);
    int64_t id = create->ret_run.id;
    assert_string_equal(create->ret_run.pool_name, pool);
    *ret_pool = create->ret_pool;
    create->ret_pool = (struct store_pool){0};
    store_op_free(&create->op);
    return id;
}

/* Runs of a standing pool share its ledger; replacing its list keeps the places; reset empties it. */
static void test_pool(void **state)
{
    struct rig *rig = *state;
    struct store_pool_put *put = pool_op("north", 2, 3);
    put->agents.items[0].held = 1;
    assert_int_equal(rig_do(rig, &put->op), 0);
    assert_int_equal(held_of(&put->ret_pool, "a0"), 1);
    store_op_free(&put->op);
    struct store_pool pool = {0};
    int64_t run = run_on_pool(rig, "one", "north", &pool);
    int64_t ledger = pool.ledger, agent = pool.agents.items[0].id, id = pool.id;
    store_pool_clear(&pool);
    rig_import(rig, run, 1, "K", 3);
    assert_int_equal(rig_commit(rig, run, 1), 0);
    struct store_claim *claim = rig_claim(rig, run, 2);
    assert_int_equal(rig_succeed(rig, claim, ledger, agent), VERDICT_DONE);
    store_op_free(&claim->op);
    run_on_pool(rig, "two", "north", &pool);
    assert_int_equal(pool.ledger, ledger);
    assert_int_equal(held_of(&pool, "a0"), 3); /* its load and two allocations of the first run */
    store_pool_clear(&pool);
    claim = rig_claim(rig, run, 1);
    assert_int_equal(rig_succeed(rig, claim, ledger, agent), VERDICT_AGENT_FULL);
    store_op_free(&claim->op);

    put = pool_op("north", 1, 9);
    free(put->agents.items[0].agent_id);
    put->agents.items[0].agent_id = xstrdup("b0");
    assert_int_equal(rig_do(rig, &put->op), 0);
    assert_int_equal(put->ret_pool.agents.count, 3);
    assert_int_equal(held_of(&put->ret_pool, "a0"), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(put->ret_pool.agents.items[i].is_listed,
                         strcmp(put->ret_pool.agents.items[i].agent_id, "b0") == 0);
    store_op_free(&put->op);

    struct store_pool_reset *reset = rig_op(OP_POOL_RESET);
    reset->pool = id;
    assert_int_equal(rig_do(rig, &reset->op), 0);
    assert_int_equal(held_of(&reset->ret_pool, "a0"), 0);
    store_op_free(&reset->op);
    struct store_doctor *doctor = rig_op(OP_DOCTOR);
    assert_int_equal(rig_do(rig, &doctor->op), 0);
    assert_memory_equal(buf_text(&doctor->ret_report), "{\"ok\":true", 10);
    store_op_free(&doctor->op);
}

static void test_agent_set(void **state)
{
    struct rig *rig = *state;
    struct store_run_create *create = rig_create_op("one", 2, 5);
    assert_int_equal(rig_do(rig, &create->op), 0);
    struct store_agent_set *set = rig_op(OP_AGENT_SET);
    set->pool = create->ret_pool.id;
    set->agent_id = xstrdup("a1");
    set->capacity = INT64_MIN;
    set->available = 0;
    set->until_at_ms = 1900000000000;
    assert_int_equal(rig_do(rig, &set->op), 0);
    assert_false(set->ret_pool.agents.items[1].is_available);
    assert_int_equal(set->ret_pool.agents.items[1].until_at_ms, 1900000000000);
    assert_int_equal(set->ret_pool.agents.items[1].capacity, 5);
    store_op_free(&set->op);
    set = rig_op(OP_AGENT_SET);
    set->pool = create->ret_pool.id;
    set->agent_id = xstrdup("a1");
    set->capacity = -1;
    set->available = 1;
    assert_int_equal(rig_do(rig, &set->op), 0);
    assert_int_equal(set->ret_pool.agents.items[1].capacity, -1);
    assert_int_equal(set->ret_pool.agents.items[1].until_at_ms, 0);
    store_op_free(&set->op);
    struct store_read *audit =
        rig_read(rig, QUERY_AUDIT, create->ret_run.id, 0, 1); /* of the run whose own pool it is */
    assert_string_equal(read_text(audit, 0, AUDIT_VERB), "agent_set");
    assert_non_null(
        strstr(read_text(audit, 0, AUDIT_DETAIL), "\"before\":{\"capacity\":5,\"available\":false,\"until\":\"2030-"));
    store_op_free(&audit->op);
    set = rig_op(OP_AGENT_SET);
    set->pool = create->ret_pool.id;
    set->agent_id = xstrdup("a11");
    assert_int_equal(rig_do(rig, &set->op), -GALLOC_NOT_FOUND);
    assert_non_null(strstr(set->op.error.message, "did you mean 'a1'"));
    store_op_free(&set->op);
    store_op_free(&create->op);
}

static void setting_do(struct rig *rig, const char *name, const char *value, int64_t until_at_ms)
{
    struct store_endpoint_set *set = rig_op(OP_ENDPOINT_SET);
    set->peer = (struct store_peer){1000, 1};
    set->setting.endpoint = xstrdup("gemini");
    set->setting.name = xstrdup(name);
    set->setting.value = xstrdup(value);
    set->setting.until_at_ms = until_at_ms;
    assert_int_equal(rig_do(rig, &set->op), 0);
    store_op_free(&set->op);
}

static void test_endpoint(void **state)
{
    struct rig *rig = *state;
    setting_do(rig, "rpm", "60", 0);
    setting_do(rig, "rpm", "90", 1900000000000);
    setting_do(rig, "tpm", "5", 0);
    setting_do(rig, "tpm", NULL, 0);
    for (int down = 1; down >= 0; down--) {
        struct store_endpoint_state_op *set = rig_op(OP_ENDPOINT_STATE);
        set->is_by_person = !down;
        set->state.endpoint = xstrdup("gemini");
        set->state.down_class = down ? (int)OUTCOME_CREDENTIALS : -1;
        set->state.down_text = down ? xstrdup("the key was refused") : NULL;
        set->state.down_at_ms = down ? 1700000000000 : 0;
        set->state.learned = xstrdup("{\"rate\":3}");
        assert_int_equal(rig_do(rig, &set->op), 0);
        store_op_free(&set->op);
    }
    struct store_audit *audit = rig_op(OP_AUDIT);
    audit->verb = xstrdup("drain");
    audit->target = xstrdup("daemon");
    audit->detail = xstrdup("{\"why\":1}");
    assert_int_equal(rig_do(rig, &audit->op), 0);
    store_op_free(&audit->op);
    struct store_read *read = rig_read(rig, QUERY_AUDIT, 0, 0, 3);
    assert_string_equal(read_text(read, 0, AUDIT_VERB), "drain");
    assert_string_equal(read_text(read, 1, AUDIT_VERB), "endpoint_resume");
    assert_non_null(strstr(read_text(read, 1, AUDIT_DETAIL),
                           "\"before\":{\"down\":\"credentials\",\"text\":\"the key was refused\"}"));
    assert_string_equal(read_text(read, 2, AUDIT_DETAIL), "{\"before\":{\"tpm\":\"5\"},\"after\":{\"tpm\":null}}");
    int64_t next = read->ret_next;
    store_op_free(&read->op);
    read = rig_read(rig, QUERY_AUDIT, 0, next, 10);
    assert_int_equal(read->ret_row_count, 3);
    assert_int_equal(read->ret_next, 0);
    store_op_free(&read->op);
    rig_reopen(rig);
    assert_int_equal(rig->image.setting_count, 1);
    assert_string_equal(rig->image.settings[0].value, "90");
    assert_int_equal(rig->image.settings[0].until_at_ms, 1900000000000);
    assert_int_equal(rig->image.endpoint_count, 1);
    assert_int_equal(rig->image.endpoints[0].down_class, -1);
    assert_string_equal(rig->image.endpoints[0].learned, "{\"rate\":3}");
}

static void test_image(void **state)
{
    struct rig *rig = *state;
    struct store_pool_put *put = pool_op("south", 2, -1);
    assert_int_equal(rig_do(rig, &put->op), 0);
    store_op_free(&put->op);
    int64_t live = rig_full_run(rig, "live", 2, 4, 10), ended = rig_full_run(rig, "ended", 1, 4, 2);
    struct store_sweep *sweep = rig_op(OP_SWEEP);
    sweep->run = ended;
    sweep->verb = SWEEP_CANCEL;
    sweep->selector.is_all = true;
    assert_int_equal(rig_do(rig, &sweep->op), 0);
    store_op_free(&sweep->op);
    int64_t seq = rig->last.seq;
    rig_reopen(rig);
    assert_int_equal(rig->image.run_count, 2);
    assert_int_equal(rig->image.runs[0].id, live);
    assert_non_null(rig->image.runs[0].plan);
    assert_int_equal(rig->image.runs[0].counts[COUNT_STATE + ASSIGNMENT_PENDING], 10);
    assert_int_equal(rig->image.runs[1].state, RUN_CANCELLED);
    assert_null(rig->image.runs[1].plan);
    assert_int_equal(rig->image.runs[1].counts[COUNT_STATE + ASSIGNMENT_CANCELLED], 2);
    assert_int_equal(rig->image.pool_count, 2); /* the standing one, and the live run's own */
    assert_string_equal(rig->image.pools[0].name, "south");
    assert_int_equal(rig->image.pools[1].id, rig->image.runs[0].pool);
    assert_int_equal(rig->image.pools[1].agents.count, 2);
    assert_true(rig->image.seq >= seq);
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_pool),
        RIG_TEST(test_agent_set),
        RIG_TEST(test_endpoint),
        RIG_TEST(test_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
