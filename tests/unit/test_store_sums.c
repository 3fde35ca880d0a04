/* What is told of a run as a whole: failures in groups, places taken, and what the doctor finds. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdlib.h>

static void test_failures(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 60);
    static const struct {
        int count;
        enum outcome_class class;
        const char *message;
        int status;
    } rows[] = {{10, OUTCOME_REJECTED, "blocked", 400},
                {5, OUTCOME_TRANSIENT, "reset", 0},
                {10, OUTCOME_REJECTED, "blocked", 413},
                {20, OUTCOME_REJECTED, "too long", 400},
                {3, OUTCOME_REJECTED, "blocked", 400}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct store_claim *claim = rig_claim(rig, run, rows[i].count);
        rig_fail(rig, claim, rows[i].class, rows[i].message, rows[i].status);
        store_op_free(&claim->op);
    }
    struct store_read *read = rig_read(rig, QUERY_FAILURES, run, 0, 1);
    assert_int_equal(read->ret_row_count, 4);
    assert_int_equal(read->ret_next, 0);
    assert_string_equal(read_text(read, 0, FAILURE_MESSAGE), "too long");
    assert_int_equal(read_int(read, 0, FAILURE_COUNT, 0), 20);
    assert_string_equal(read_text(read, 0, FAILURE_EXAMPLE), "K01-000025");
    assert_string_equal(read_text(read, 1, FAILURE_MESSAGE), "blocked");
    assert_int_equal(read_int(read, 1, FAILURE_COUNT, 0), 13);
    assert_int_equal(read_int(read, 1, FAILURE_HTTP_STATUS, 0), 400);
    assert_string_equal(read_text(read, 1, FAILURE_EXAMPLE), "K01-000000");
    assert_true(read_int(read, 1, FAILURE_LAST_AT, 0) >= read_int(read, 1, FAILURE_FIRST_AT, 0));
    assert_string_equal(read_text(read, 3, FAILURE_CODE), "transient");
    assert_int_equal(read_int(read, 3, FAILURE_HTTP_STATUS, -1), -1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(read_int(read, i, FAILURE_IS_REST, -1), 0);
    store_op_free(&read->op);
}

/* Failures whose words are corrupt or missing are counted all the same. */
static void test_failures_without_words(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 12000);
    rig_close(rig);
    rig_sql(rig, "UPDATE assignment SET state = 3, class = 9;"
                 "UPDATE run_count SET kind = 3 WHERE kind = 0; INSERT INTO run_count SELECT run, 49, value FROM "
                 "run_count WHERE kind = 3;"
                 "INSERT INTO result SELECT id, '{\"message\":\"m' || (CASE WHEN id % 10 = 0 THEN 0 ELSE id END) || "
                 "'\"}', zeroblob(32), id FROM assignment;");
    /* the digests are not those of the bodies: what was said is not told */
    rig_open(rig);
    struct store_read *read = rig_read(rig, QUERY_FAILURES, run, 0, 1);
    assert_int_equal(read->ret_row_count, 1);
    assert_int_equal(read_int(read, 0, FAILURE_COUNT, 0), 12000);
    assert_non_null(strstr(read_text(read, 0, FAILURE_MESSAGE), "digest"));
    store_op_free(&read->op);
    rig_close(rig);
    rig_sql(rig, "DELETE FROM result"); /* and without words at all */
    rig_open(rig);
    read = rig_read(rig, QUERY_FAILURES, run, 0, 1);
    assert_int_equal(read->ret_row_count, 1);
    assert_null(read_text(read, 0, FAILURE_MESSAGE));
    store_op_free(&read->op);
}

/* With nearly as many words as rows, the most frequent groups are shown and the rest adds up. */
static void test_failure_groups_are_bounded(void **state)
{
    struct rig *rig = *state;
    enum { ROWS = 4500 };
    int64_t run = rig_full_run(rig, "one", 1, -1, ROWS);
    for (size_t done = 0, count = 1; count > 0; done += count) {
        struct store_claim *claim = rig_claim(rig, run, ROWS);
        struct store_settle *settle = rig_op(OP_SETTLE);
        count = claim->ret_count;
        settle->items = xcalloc(count + 1, sizeof(*settle->items));
        settle->count = count;
        for (size_t i = 0; i < count; i++)
            settle->items[i] = (struct settle_item){
                .run = run,
                .assignment = claim->ret_rows[i].assignment,
                .lease = claim->ret_lease,
                .call = claim->ret_rows[i].call,
                .n = 1,
                .class = OUTCOME_REJECTED,
                .move = MOVE_FAIL,
                .result = xasprintf("{\"message\":\"m%zu\",\"http_status\":400}", (done + i) % 3 == 0 ? 0 : done + i)};
        assert_int_equal(rig_do(rig, &settle->op), 0);
        store_op_free(&settle->op);
        store_op_free(&claim->op);
    }
    struct store_read *read = rig_read(rig, QUERY_FAILURES, run, 0, 1);
    assert_int_equal(read->ret_row_count, FAILURE_GROUPS + 1);
    assert_int_equal(read_int(read, 0, FAILURE_COUNT, 0), ROWS / 3);
    assert_int_equal(read_int(read, FAILURE_GROUPS, FAILURE_IS_REST, 0), 1);
    int64_t sum = 0;
    for (size_t i = 0; i < read->ret_row_count; i++)
        sum += read_int(read, i, FAILURE_COUNT, 0);
    assert_int_equal(sum, ROWS);
    store_op_free(&read->op);
}

static int64_t in_run(const struct store_read *read, const char *agent_id, size_t column)
{
    for (size_t i = 0; i < read->ret_row_count; i++)
        if (strcmp(read_text(read, i, LOAD_AGENT_ID), agent_id) == 0)
            return read_int(read, i, column, -1);
    return -2;
}

static void test_load(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 20);
    struct store_read *read = rig_read(rig, QUERY_LOAD, run, 0, 1);
    assert_int_equal(read->ret_row_count, 2);
    assert_int_equal(in_run(read, "a0", LOAD_HELD), 3);
    assert_int_equal(in_run(read, "a0", LOAD_IN_RUN), 3);
    assert_int_equal(in_run(read, "a1", LOAD_IN_RUN), 0);
    assert_int_equal(in_run(read, "a0", LOAD_CAPACITY), 50);
    store_op_free(&read->op);
    struct store_pool_put *put = rig_op(OP_POOL_PUT);
    put->name = xstrdup("north");
    put->agents.items = xcalloc(1, sizeof(*put->agents.items));
    put->agents.count = 1;
    put->agents.items[0] = (struct store_agent){
        .agent_id = xstrdup("n"), .attributes = xstrdup("{}"), .capacity = -1, .held = 4, .is_available = true};
    assert_int_equal(rig_do(rig, &put->op), 0);
    int64_t runs[2], ledger = put->ret_pool.ledger, agent = put->ret_pool.agents.items[0].id, pool = put->ret_pool.id;
    store_op_free(&put->op);
    for (int i = 0; i < 2; i++) { /* two runs share the ledger: what is whose is counted from the rows */
        struct store_run_create *create = rig_create_op("on the pool", 0, 0);
        create->pool = xstrdup("north");
        assert_int_equal(rig_do(rig, &create->op), 0);
        runs[i] = create->ret_run.id;
        store_op_free(&create->op);
        rig_import(rig, runs[i], 1, "K", 10);
        assert_int_equal(rig_commit(rig, runs[i], 1), 0);
        struct store_claim *claim = rig_claim(rig, runs[i], i + 2);
        rig_succeed(rig, claim, ledger, agent);
        store_op_free(&claim->op);
    }
    for (int i = 0; i < 2; i++) {
        read = rig_read(rig, QUERY_LOAD, runs[i], 0, 1);
        assert_int_equal(in_run(read, "n", LOAD_BASE), 4);
        assert_int_equal(in_run(read, "n", LOAD_HELD), 9);
        assert_int_equal(in_run(read, "n", LOAD_IN_RUN), i + 2);
        assert_int_equal(in_run(read, "n", LOAD_CAPACITY), -1);
        store_op_free(&read->op);
    }
    read = rig_op(OP_READ);
    read->query = QUERY_LOAD;
    read->pool = pool;
    assert_int_equal(rig_do(rig, &read->op), 0);
    assert_int_equal(in_run(read, "n", LOAD_HELD), 9);
    assert_int_equal(in_run(read, "n", LOAD_IN_RUN), -1);
    store_op_free(&read->op);
}

/* The doctor sees each thing that is wrong, and nothing else. */
static void test_doctor(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *sql, *check;
    } rows[] = {
        {"UPDATE run_count SET value = value + 1 WHERE kind = 0", "run_counters"},
        {"UPDATE run_count SET value = value + 1 WHERE kind = 49", "run_counters"},
        {"INSERT INTO run_count SELECT max(id), 97, 1 FROM run", "run_counters"},
        {"UPDATE run_count SET value = value + 1 WHERE kind = 80", "run_counters"},
        {"UPDATE run_count SET value = value + 1 WHERE kind = 83", "run_counters"},
        {"UPDATE run_count SET value = value + 1 WHERE kind = 90", "run_counters"},
        {"INSERT INTO run_count SELECT max(id), 91, 1 FROM run", "run_counters"},
        {"DELETE FROM run_count WHERE kind = 92", "run_counters"},
        {"UPDATE endpoint_sum SET cost_micros = cost_micros - 1", "endpoint_sums"},
        {"UPDATE endpoint_sum SET test_calls = 1", "endpoint_sums"},
        {"UPDATE endpoint_class SET calls = calls + 1", "endpoint_sums"},
        {"DELETE FROM endpoint_sum", "endpoint_sums"},
        {"INSERT INTO endpoint_sum(endpoint, calls) VALUES('elsewhere', 1)", "endpoint_sums"},
        {"UPDATE ledger_agent SET held = held + 1 WHERE held > 0", "ledgers"},
        {"UPDATE assignment SET resets = 1; UPDATE ledger_agent SET base = held", "ledgers"}, /* after a reset that never was */
        {"INSERT INTO lease(number, run, node, worker) SELECT 900, max(id), 1, 'w' FROM run", "leases"},
        {"DELETE FROM payload WHERE assignment = (SELECT min(id) FROM assignment)", "orphans"},
        {"DELETE FROM result WHERE assignment = (SELECT min(id) FROM assignment)", "orphans"},
        {"PRAGMA foreign_keys = OFF; UPDATE lease SET node = 77; INSERT INTO ledger(id, pool) VALUES(900, 901)", "foreign_keys"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct rig own = {0};
        rig_open(&own);
        rig_mixed_run(&own, 10);
        rig_close(&own);
        rig_sql(&own, rows[i].sql);
        rig_open(&own);
        struct store_doctor *doctor = rig_op(OP_DOCTOR);
        doctor->is_full = true;
        assert_int_equal(rig_do(&own, &doctor->op), 0);
        struct json_object *report = NULL;
        assert_int_equal(json_parse(buf_text(&doctor->ret_report), doctor->ret_report.len, &report, NULL), 0);
        struct json_object *checks = json_get(report, "checks");
        assert_int_equal(json_array_len(checks), 10);
        for (size_t k = 0; k < json_array_len(checks); k++) {
            struct json_object *check = json_array_at(checks, k);
            const char *name = json_get_str(check, "name", "");
            if (json_get_bool(check, "ok", false) == (strcmp(name, rows[i].check) == 0))
                fail_msg("after %s: %s", rows[i].sql, buf_text(&doctor->ret_report));
        }
        json_free(report);
        store_op_free(&doctor->op);
        rig_remove(&own);
    }
    (void)rig;
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_failures),
        RIG_TEST(test_failures_without_words),
        RIG_TEST(test_failure_groups_are_bounded),
        RIG_TEST(test_load),
        RIG_TEST(test_doctor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
