/* What can be read: every query's page, its cursor, what is corrupt, what is gone, and that the reader is bounded and
 * takes turns. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdlib.h>

static void test_assignments(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 20);
    struct store_read *read = rig_read(rig, QUERY_ASSIGNMENTS, run, 0, 8);
    assert_int_equal(read->ret_row_count, 8);
    assert_int_equal(read->ret_column_count, ASSIGNMENT_COLUMN_COUNT);
    assert_string_equal(read->ret_columns[ASSIGNMENT_AGENT_ID], "agent_id");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_KEY), "K01-000000");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_STATE), "succeeded");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_AGENT_ID), "a0");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_REASON), "near \"north\"");
    assert_true(read_cell(read, 0, ASSIGNMENT_CONFIDENCE)->kind == CELL_REAL &&
                read_cell(read, 0, ASSIGNMENT_CONFIDENCE)->real == 0.75);
    assert_string_equal(read_text(read, 0, ASSIGNMENT_DECIDED_BY), "model");
    assert_int_equal(read_int(read, 0, ASSIGNMENT_TOKENS_IN, -1), 100);
    assert_int_equal(read_int(read, 0, ASSIGNMENT_TOKENS_OUT, -1), 15);
    assert_int_equal(read_int(read, 0, ASSIGNMENT_COST_MICROS, -1), 7);
    assert_null(read_text(read, 0, ASSIGNMENT_CODE));
    assert_null(read_text(read, 0, ASSIGNMENT_FIELDS));
    assert_null(read_text(read, 0, ASSIGNMENT_CORRUPT));
    assert_true(read_int(read, 0, ASSIGNMENT_FINISHED_AT, 0) > clock_wall_ms() - 60000);
    assert_string_equal(read_text(read, 3, ASSIGNMENT_STATE), "failed");
    assert_string_equal(read_text(read, 3, ASSIGNMENT_CODE), "rejected");
    assert_string_equal(read_text(read, 3, ASSIGNMENT_MESSAGE), "blocked: safety");
    assert_int_equal(read_int(read, 3, ASSIGNMENT_HTTP_STATUS, -1), 400);
    assert_string_equal(read_text(read, 5, ASSIGNMENT_STATE), "leased");
    assert_string_equal(read_text(read, 6, ASSIGNMENT_STATE), "pending");
    assert_int_equal(read_int(read, 6, ASSIGNMENT_ROW, -1), 7);
    assert_int_equal(read_int(read, 6, ASSIGNMENT_ATTEMPTS, -1), 0);
    assert_int_equal(read_int(read, 6, ASSIGNMENT_NOT_BEFORE, -1), -1);
    int64_t next = read->ret_next;
    store_op_free(&read->op);
    read = rig_read(rig, QUERY_ASSIGNMENTS, run, next, 100);
    assert_int_equal(read->ret_row_count, 12);
    assert_int_equal(read->ret_next, 0);
    assert_string_equal(read_text(read, 0, ASSIGNMENT_KEY), "K01-000008");
    store_op_free(&read->op);
}

/* All rows that the filters give, page by page of three. */
static int64_t filtered(struct rig *rig, struct store_read *like)
{
    int64_t rows = 0, after = 0;
    do {
        struct store_read *read = rig_op(OP_READ);
        read->query = like->query;
        read->run = like->run;
        read->selector = like->selector;
        read->limit = 3;
        read->after = after;
        assert_int_equal(rig_do(rig, &read->op), 0);
        rows += (int64_t)read->ret_row_count;
        assert_true(read->ret_next == 0 || read->ret_next > after);
        after = read->ret_next;
        read->selector = (struct store_selector){0};
        store_op_free(&read->op);
    } while (after);
    store_op_free(&like->op);
    return rows;
}

static struct store_read *filter(int64_t run)
{
    struct store_read *read = rig_op(OP_READ);
    read->query = QUERY_ASSIGNMENTS;
    read->run = run;
    return read;
}

static void test_filters(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 20);
    rig_mixed_run(rig, 20); /* another run's rows are not seen */
    struct store_read *read = filter(run);
    assert_int_equal(filtered(rig, read), 20);
    read = filter(run);
    read->selector.states = 1u << ASSIGNMENT_SUCCEEDED | 1u << ASSIGNMENT_LEASED;
    assert_int_equal(filtered(rig, read), 4);
    read = filter(run);
    read->selector.states = 1u << ASSIGNMENT_FAILED;
    assert_int_equal(filtered(rig, read), 2);
    read = filter(run);
    read->selector.classes = 1u << OUTCOME_REJECTED;
    assert_int_equal(filtered(rig, read), 2);
    read = filter(run);
    read->selector.classes = 1u << OUTCOME_TRANSIENT;
    assert_int_equal(filtered(rig, read), 0);
    read = filter(run);
    read->selector.agents = rig_list("a0", "nobody", NULL);
    assert_int_equal(filtered(rig, read), 3);
    read = filter(run);
    read->selector.agents = rig_list("nobody", NULL);
    assert_int_equal(filtered(rig, read), 0);
    read = filter(run);
    read->selector.keys = rig_list("K01-000019", "K01-000001", "K01-000007", "K01-000004", NULL);
    read->selector.where = rig_list("region=south", NULL);
    assert_int_equal(filtered(rig, read), 3);
    read = filter(run);
    read->query = QUERY_RESULTS; /* what is at rest */
    assert_int_equal(filtered(rig, read), 5);
}

static void test_one(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 20);
    struct store_read *read = rig_read_key(rig, QUERY_ASSIGNMENT, run, "K01-000001");
    assert_int_equal(read->op.code, 0);
    assert_int_equal(read->ret_row_count, 1);
    assert_string_equal(read_text(read, 0, ASSIGNMENT_FIELDS), "{\"region\":\"south\",\"n\":1}");
    assert_int_equal(read_cell(read, 0, ASSIGNMENT_FIELDS)->kind, CELL_JSON);
    store_op_free(&read->op);
    read = rig_read_key(rig, QUERY_ASSIGNMENT, run, "K1");
    assert_int_equal(read->op.code, -GALLOC_NOT_FOUND);
    assert_int_equal(read->ret_row_count, 0);
    store_op_free(&read->op);
}

static void test_attempts(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 1), ledger = 0, agent = 0;
    rig_seat(rig, run, &ledger, &agent);
    struct store_claim *claim = rig_claim(rig, run, 1);
    struct store_settle *settle = rig_op(OP_SETTLE);
    settle->endpoint = xstrdup("gemini");
    settle->items = xcalloc(1, sizeof(*settle->items));
    settle->count = 1;
    settle->items[0] = (struct settle_item){.run = run,
                                            .assignment = claim->ret_rows[0].assignment,
                                            .lease = claim->ret_lease,
                                            .call = claim->ret_rows[0].call,
                                            .n = 1,
                                            .class = OUTCOME_AGENT_FULL,
                                            .call_class = OUTCOME_AGENT_FULL,
                                            .move = MOVE_REASK,
                                            .reasks_spent = 1,
                                            .excluded = agent,
                                            .message = xstrdup("a0 is full"),
                                            .has_call_result = true,
                                            .http_status = 200,
                                            .tokens = {10, -1, 3, 2, -1},
                                            .cost_micros = -1,
                                            .latency_ms = 80,
                                            .local_port = 999};
    assert_int_equal(rig_do(rig, &settle->op), 0);
    store_op_free(&settle->op);
    struct store_read *read = rig_read_key(rig, QUERY_ATTEMPTS, run, "K01-000000");
    assert_int_equal(read->op.code, 0);
    assert_int_equal(read->ret_row_count, 2);
    assert_string_equal(read_text(read, 0, ATTEMPT_CLASS), "agent_full");
    assert_string_equal(read_text(read, 0, ATTEMPT_EXCLUDED), "a0");
    assert_string_equal(read_text(read, 0, ATTEMPT_MESSAGE), "a0 is full");
    assert_string_equal(read_text(read, 0, ATTEMPT_ENDPOINT), "gemini");
    assert_int_equal(read_int(read, 0, ATTEMPT_TOKENS_IN, -1), 10);
    assert_int_equal(read_int(read, 0, ATTEMPT_TOKENS_CACHED, -1), -1);
    assert_int_equal(read_int(read, 0, ATTEMPT_TOKENS_THOUGHT, -1), 2);
    assert_int_equal(read_int(read, 0, ATTEMPT_COST_MICROS, -1), -1);
    assert_int_equal(read_int(read, 0, ATTEMPT_LOCAL_PORT, -1), 999);
    assert_int_equal(read_int(read, 0, ATTEMPT_HTTP_STATUS, -1), 200);
    assert_true(read_int(read, 0, ATTEMPT_SENT_AT, 0) > 0 && read_int(read, 0, ATTEMPT_ENDED_AT, 0) > 0);
    assert_int_equal(read_int(read, 0, ATTEMPT_IS_POSSIBLY_BILLED, -1), 0);
    assert_string_equal(read_text(read, 1, ATTEMPT_CLASS), "open");
    assert_int_equal(read_int(read, 1, ATTEMPT_N, -1), 2);
    assert_int_equal(read_int(read, 1, ATTEMPT_ENDED_AT, -1), -1);
    assert_null(read_text(read, 1, ATTEMPT_WORKER));
    store_op_free(&read->op);
    store_op_free(&claim->op);
    rig_reopen(rig); /* the open one is lost with that life */
    read = rig_read_key(rig, QUERY_ATTEMPTS, run, "K01-000000");
    assert_string_equal(read_text(read, 1, ATTEMPT_CLASS), "lost");
    assert_int_equal(read_int(read, 1, ATTEMPT_IS_POSSIBLY_BILLED, -1), 1);
    store_op_free(&read->op);
}

static void test_runs(void **state)
{
    struct rig *rig = *state;
    int64_t first = rig_run(rig, "one", 1, -1), second = rig_full_run(rig, "two", 1, -1, 5),
            third = rig_run(rig, "two", 1, -1);
    struct store_read *read = rig_read(rig, QUERY_RUNS, 0, 0, 2);
    assert_int_equal(read->ret_row_count, 2);
    assert_int_equal(read->ret_runs[0].id, third);
    assert_int_equal(read->ret_runs[1].id, second);
    assert_int_equal(read->ret_runs[1].counts[COUNT_STATE + ASSIGNMENT_PENDING], 5);
    assert_null(read->ret_runs[1].plan);
    int64_t next = read->ret_next;
    store_op_free(&read->op);
    read = rig_read(rig, QUERY_RUNS, 0, next, 2);
    assert_int_equal(read->ret_row_count, 1);
    assert_int_equal(read->ret_runs[0].id, first);
    assert_int_equal(read->ret_next, 0);
    store_op_free(&read->op);
    read = rig_op(OP_READ);
    read->query = QUERY_RUNS;
    read->selector.states = 1u << RUN_RUNNING;
    read->limit = 10;
    assert_int_equal(rig_do(rig, &read->op), 0);
    assert_int_equal(read->ret_row_count, 1);
    char run_id[RUN_ID_BYTES];
    memcpy(run_id, read->ret_runs[0].run_id, sizeof run_id);
    store_op_free(&read->op);
    const struct {
        const char *key;
        int code;
        int64_t id;
    } rows[] = {{run_id, 0, second},
                {"one", 0, first},
                {"two", -GALLOC_CONFLICT, 0},
                {"@last", 0, third},
                {"three", -GALLOC_NOT_FOUND, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        read = rig_read_key(rig, QUERY_RUN, 0, rows[i].key);
        assert_int_equal(read->op.code, rows[i].code);
        if (rows[i].code == 0) {
            assert_int_equal(read->ret_runs[0].id, rows[i].id);
            assert_non_null(read->ret_runs[0].plan);
        }
        store_op_free(&read->op);
    }
}

static void test_parts(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 10003);
    struct store_read *read = rig_read(rig, QUERY_PARTS, run, 0, 2);
    assert_int_equal(read->ret_row_count, 2);
    assert_int_equal(read_int(read, 1, PART_N, 0), 2);
    assert_int_equal(read_int(read, 1, PART_ROWS, 0), 5000);
    assert_int_equal(strlen(read_text(read, 1, PART_SHA256)), 64);
    assert_memory_equal(read_text(read, 1, PART_ANSWER), "{\"accepted\":5000,", 17);
    assert_int_equal(read->ret_next, 2);
    store_op_free(&read->op);
    read = rig_read(rig, QUERY_PARTS, run, 2, 2);
    assert_int_equal(read->ret_row_count, 1);
    assert_int_equal(read->ret_next, 0);
    store_op_free(&read->op);
}

/* One flipped byte: the row is named, what came from it is not served, and the doctor finds it. */
static void test_corrupt(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 20);
    rig_close(rig);
    rig_sql(rig, "UPDATE payload SET fields = replace(fields, 'north', 'nortj') WHERE assignment = (SELECT min(id) "
                 "FROM assignment);"
                 "UPDATE result SET body = replace(body, 'near', 'nead') WHERE assignment = (SELECT min(id) + 1 FROM "
                 "assignment);"
                 "UPDATE result SET body = replace(body, '0.75', '0.85') WHERE assignment = (SELECT min(id) + 2 FROM "
                 "assignment);"
                 "UPDATE payload SET fields = '{' WHERE assignment = (SELECT min(id) + 2 FROM assignment);");
    rig_open(rig);
    struct store_read *read = rig_op(OP_READ);
    read->query = QUERY_RESULTS;
    read->run = run;
    read->limit = 100;
    read->with_fields = true;
    assert_int_equal(rig_do(rig, &read->op), 0);
    assert_int_equal(read->ret_row_count, 5);
    static const char *const corrupt[] = {"fields", "result", "fields, result", NULL, NULL};
    for (size_t i = 0; i < 5; i++) {
        const char *named = read_text(read, i, ASSIGNMENT_CORRUPT);
        assert_true(corrupt[i] ? named && strcmp(named, corrupt[i]) == 0 : named == NULL);
        assert_true((read_text(read, i, ASSIGNMENT_FIELDS) == NULL) == (corrupt[i] && corrupt[i][0] == 'f'));
    }
    assert_null(read_text(read, 1, ASSIGNMENT_REASON));
    assert_int_equal(read_cell(read, 2, ASSIGNMENT_CONFIDENCE)->kind, CELL_NULL);
    assert_string_equal(read_text(read, 1, ASSIGNMENT_AGENT_ID), "a0"); /* the row itself stands */
    store_op_free(&read->op);
    read = filter(run);
    read->selector.where = rig_list("region=north", NULL);
    assert_int_equal(filtered(rig, read), 8); /* corrupt input matches nothing */
    struct store_doctor *doctor = rig_op(OP_DOCTOR);
    doctor->is_full = true;
    assert_int_equal(rig_do(rig, &doctor->op), 0);
    assert_memory_equal(buf_text(&doctor->ret_report), "{\"ok\":false", 11);
    assert_non_null(strstr(buf_text(&doctor->ret_report),
                           "{\"name\":\"digests\",\"ok\":false,\"found\":4,\"detail\":\"the input of 'K01-000000' (run r-"));
    assert_non_null(strstr(buf_text(&doctor->ret_report), "{\"name\":\"integrity\",\"ok\":true"));
    store_op_free(&doctor->op);
}

/* A page ends where its text is used up, however many rows were asked for; the pages together are everything. */
static void test_pages_are_bounded(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 60);
    rig_close(rig);
    rig_sql(rig, "UPDATE import_part SET answer = '{\"x\":\"' || hex(zeroblob(300000)) || '\"}';"
                 "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 8) "
                 "INSERT INTO import_part SELECT run, i, sha256, row_count, answer FROM import_part, n");
    rig_open(rig);
    int64_t after = 0, rows = 0, pages = 0;
    do {
        struct store_read *read = rig_op(OP_READ);
        read->query = QUERY_PARTS;
        read->run = run;
        read->limit = 1000;
        read->after = after;
        assert_int_equal(rig_do(rig, &read->op), 0);
        after = read->ret_next;
        rows += (int64_t)read->ret_row_count;
        pages++;
        store_op_free(&read->op);
    } while (after);
    assert_int_equal(rows, 8);
    assert_int_equal(pages, 4); /* two of 600 kB cross 1 MiB */
}

/* Many requests at once: each gets its own page. */
static void test_turns(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_mixed_run(rig, 2000);
    enum { OPS = 40 };
    struct store_op *ops[OPS];
    for (int i = 0; i < OPS; i++) {
        struct store_read *read = rig_op(OP_READ);
        read->query = i % 3 == 0 ? QUERY_FAILURES : i % 3 == 1 ? QUERY_ASSIGNMENTS : QUERY_LOAD;
        read->run = run;
        read->limit = i + 1;
        ops[i] = &read->op;
    }
    rig_do_all(rig, ops, OPS);
    for (int i = 0; i < OPS; i++) {
        struct store_read *read = CONTAINER_OF(ops[i], struct store_read, op);
        assert_int_equal(read->op.code, 0);
        if (i % 3 == 1)
            assert_true(read->ret_row_count > 0 && read->ret_row_count <= (size_t)i + 1 && read->ret_next > 0);
        store_op_free(ops[i]);
    }
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_assignments),
        RIG_TEST(test_filters),
        RIG_TEST(test_one),
        RIG_TEST(test_attempts),
        RIG_TEST(test_runs),
        RIG_TEST(test_parts),
        RIG_TEST(test_corrupt),
        RIG_TEST(test_pages_are_bounded),
        RIG_TEST(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
