/* What every engine keeps of operators' commands: steps that a restart and an undone transaction change nothing about,
 * refusals that leave nothing, numbers that agree in the middle of a group, and reading beside the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "store/query.h"
#include "tests/contract/store_bed.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 4000 };
static const atomic_bool never_ends;

static struct store_sweep *sweep_all(int64_t run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, NULL, NULL);
    sweep->run = run;
    sweep->verb = verb;
    sweep->is_by_person = true;
    sweep->selector.is_all = true;
    return sweep;
}

/* One step in a transaction of its own, which is committed or undone. Returns whether it wants more. */
static bool step(struct bed *bed, struct store_op *op, bool commits)
{
    bool has_more = false;
    struct store_commit commit;
    assert_int_equal(bed->ops->begin(bed->engine, 0, NULL), 0);
    assert_int_equal(bed->ops->apply(bed->engine, op, &has_more, NULL), 0);
    if (commits) {
        assert_int_equal(bed->ops->commit(bed->engine, &commit, NULL), 0);
        if (commit.run_count > 0)
            bed->run = commit.runs[0];
    } else {
        bed->ops->rollback(bed->engine);
    }
    return has_more;
}

static void read_page(struct bed *bed, struct store_read *read)
{
    struct store_reader *reader = NULL;
    assert_int_equal(bed->ops->reader_open(bed->path, &never_ends, &reader, NULL), 0);
    while (bed->ops->read(reader, read))
        continue;
    bed->ops->reader_close(reader);
}

static void assert_well(struct bed *bed)
{
    struct store_reader *reader = NULL;
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    assert_int_equal(bed->ops->reader_open(bed->path, &never_ends, &reader, NULL), 0);
    bed->ops->check(reader, doctor);
    bed->ops->reader_close(reader);
    assert_int_equal(doctor->op.code, 0);
    if (strncmp(buf_text(&doctor->ret_report), "{\"ok\":true", 10) != 0)
        fail_msg("%s", buf_text(&doctor->ret_report));
    store_op_free(&doctor->op);
}

/* A sweep goes in steps; the run is marked with the first, and the end is the same whatever the number of steps. */
static void test_steps(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, ROWS, 1, -1, NULL);
    struct store_sweep *sweep = sweep_all(run, SWEEP_CANCEL);
    assert_true(step(&bed, &sweep->op, true));
    assert_int_equal(bed.run.state, RUN_CANCELLED);
    assert_true(bed.run.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0);
    int64_t first_seq = bed.run.seq;
    int steps = 0;
    assert_int_equal(bed_steps(&bed, &sweep->op, 0, &steps), 0);
    assert_true(steps > 2);
    assert_int_equal(sweep->ret_changed, ROWS);
    assert_int_equal(bed.run.counts[COUNT_STATE + ASSIGNMENT_CANCELLED], ROWS);
    assert_true(bed.run.seq > first_seq);
    store_op_free(&sweep->op);
    assert_well(&bed);
    bed_end(&bed);
}

/* Steps that are undone (the first, one in the middle) are done anew: no row is passed over, none counted twice. */
static void test_undone_steps(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, ROWS, 1, -1, NULL);
    struct store_sweep *sweep = sweep_all(run, SWEEP_CANCEL);
    assert_true(step(&bed, &sweep->op, false));
    struct store_sweep *other =
        sweep_all(run, SWEEP_EXPIRE); /* which could be given the number of the one that was undone */
    other->is_by_person = false;
    other->selector.is_all = false;
    other->selector.keys = xcalloc(2, sizeof(char *));
    other->selector.keys[0] = xstrdup("K000001");
    assert_int_equal(bed_do_free(&bed, &other->op), 0);
    bool has_more = true;
    for (int turn = 0; has_more; turn++)
        has_more = step(&bed, &sweep->op, turn % 3 != 1);
    while (bed.run.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0) /* the last step may have been an undone one */
        step(&bed, &sweep->op, true);
    assert_int_equal(sweep->ret_changed, ROWS - 1);
    assert_int_equal(bed.run.counts[COUNT_STATE + ASSIGNMENT_CANCELLED], ROWS - 1);
    assert_int_equal(bed.run.counts[COUNT_STATE + ASSIGNMENT_FAILED], 1);
    store_op_free(&sweep->op);
    assert_well(&bed);
    bed_end(&bed);
}

/* The next life is told of the sweep and goes on with it by its number alone. */
static void test_next_life(void **state)
{
    (void)state;
    struct bed bed;
    int64_t *ids = NULL;
    size_t count = 0;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, ROWS, 1, -1, NULL);
    struct store_sweep *sweep = sweep_all(run, SWEEP_CANCEL);
    assert_true(step(&bed, &sweep->op, true));
    store_op_free(&sweep->op);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed.image.runs[0].state, RUN_CANCELLED);
    assert_int_equal(bed.ops->open_sweeps(bed.engine, &ids, &count, NULL), 0);
    assert_int_equal(count, 1);
    sweep = store_op_new(OP_SWEEP, NULL, NULL);
    sweep->sweep_id = ids[0];
    assert_int_equal(bed_do(&bed, &sweep->op), 0);
    assert_int_equal(sweep->ret_changed, ROWS); /* those of the former life too */
    assert_int_equal(bed.run.counts[COUNT_STATE + ASSIGNMENT_CANCELLED], ROWS);
    assert_int_equal(bed_do_free(&bed, &sweep->op), 0); /* it has ended: nothing happens */
    free(ids);
    assert_int_equal(bed.ops->open_sweeps(bed.engine, &ids, &count, NULL), 0);
    assert_int_equal(count, 0);
    free(ids);
    assert_well(&bed);
    bed_end(&bed);
}

/* A run is not done while a retry of it is on its way, however fast its rows end. */
static void test_not_done_before_the_sweep(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 900, 1, -1, &pool);
    for (int64_t left = 900; left > 0;) {
        struct store_claim *claim = make_claim(run, 900, NULL, NULL);
        assert_int_equal(bed_do(&bed, &claim->op), 0);
        left -= (int64_t)claim->ret_count;
        assert_int_equal(
            bed_do_free(&bed,
                        &make_settle(claim, 0, claim->ret_count, MOVE_FAIL, OUTCOME_REJECTED, &pool, NULL, NULL)->op),
            0);
        store_op_free(&claim->op);
    }
    assert_int_equal(bed.run.state, RUN_DONE);
    struct store_sweep *sweep = sweep_all(run, SWEEP_RETRY);
    bool has_more = step(&bed, &sweep->op, true);
    assert_true(has_more);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    while (bed.run.counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0) { /* all that is back already is settled again */
        struct store_claim *claim = make_claim(run, 900, NULL, NULL);
        assert_int_equal(bed_do(&bed, &claim->op), 0);
        assert_int_equal(
            bed_do_free(
                &bed, &make_settle(claim, 0, claim->ret_count, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op),
            0);
        store_op_free(&claim->op);
    }
    assert_int_equal(bed.run.state, RUN_RUNNING);
    while (has_more)
        has_more = step(&bed, &sweep->op, true);
    assert_int_equal(sweep->ret_changed, 900);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    store_op_free(&sweep->op);
    store_pool_clear(&pool);
    assert_well(&bed);
    bed_end(&bed);
}

static struct store_agent_set *agent_set(int64_t pool, const char *agent_id, int64_t capacity)
{
    struct store_agent_set *set = store_op_new(OP_AGENT_SET, NULL, NULL);
    set->pool = pool;
    set->agent_id = xstrdup(agent_id);
    set->capacity = capacity;
    set->available = -1;
    return set;
}

/* In one group: settles, a command that sees their places, one that is refused, and settles that see the command's
 * change. */
static void test_group(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    struct store_commit commit;
    bool has_more;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 10, 1, 5, &pool);
    struct store_claim *claim = make_claim(run, 10, NULL, NULL);
    assert_int_equal(bed_do(&bed, &claim->op), 0);
    struct store_settle *first = make_settle(claim, 0, 2, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    struct store_settle *second = make_settle(claim, 2, 3, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    struct store_agent_set *narrow = agent_set(pool.id, pool.agents.items[0].agent_id, 3);
    struct store_agent_set *refused = agent_set(pool.id, "nobody at all", 100);
    struct store_op *ops[] = {&first->op, &narrow->op, &refused->op, &second->op};
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        assert_int_equal(bed.ops->apply(bed.engine, ops[i], &has_more, NULL), 0);
    assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
    assert_int_equal(narrow->op.code, 0);
    assert_int_equal(narrow->ret_pool.agents.items[0].held, 2);
    assert_int_equal(refused->op.code, -GALLOC_NOT_FOUND);
    assert_int_equal(second->items[0].ret_verdict, VERDICT_DONE);
    assert_int_equal(second->items[1].ret_verdict, VERDICT_AGENT_FULL);
    assert_int_equal(second->items[2].ret_verdict, VERDICT_AGENT_FULL);
    assert_int_equal(commit.runs[0].counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 3);
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    assert_well(&bed);
    bed_end(&bed);
}

/* Counters that move and move back within a group end where they were. */
static void test_back_and_forth(void **state)
{
    (void)state;
    struct bed bed;
    struct store_pool pool;
    struct store_commit commit;
    bool has_more;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 10, 1, 5, &pool);
    struct store_claim *claim = make_claim(run, 4, NULL, NULL);
    struct store_agent_set *set = agent_set(pool.id, pool.agents.items[0].agent_id, 3);
    struct store_release *release = store_op_new(OP_RELEASE, NULL, NULL);
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &claim->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &set->op, &has_more, NULL), 0);
    release->count = claim->ret_count;
    release->items = xcalloc(release->count, sizeof(*release->items));
    for (size_t i = 0; i < release->count; i++)
        release->items[i] = (struct release_item){run, claim->ret_rows[i].assignment, claim->ret_lease,
                                                  claim->ret_rows[i].call, claim->ret_rows[i].n};
    assert_int_equal(bed.ops->apply(bed.engine, &release->op, &has_more, NULL), 0);
    assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
    assert_int_equal(commit.runs[0].counts[COUNT_STATE + ASSIGNMENT_PENDING], 10);
    store_op_free(&claim->op);
    store_op_free(&set->op);
    store_op_free(&release->op);
    store_pool_clear(&pool);
    assert_well(&bed);
    bed_end(&bed);
}

/* A create that is undone leaves nothing, and its run is told by no commit. */
static void test_undone_create(void **state)
{
    (void)state;
    struct bed bed;
    bed_begin(&bed, bed_engine);
    struct store_run_create *create = make_run(3, 5, NULL, NULL);
    create->idempotency_key = xstrdup("k");
    create->request_sha256 = xstrdup("r");
    step(&bed, &create->op, false);
    assert_int_equal(create->op.code, 0);
    store_op_free(&create->op);
    struct store_read *read = store_op_new(OP_READ, NULL, NULL);
    read->query = QUERY_RUNS;
    read->limit = 10;
    read_page(&bed, read);
    assert_int_equal(read->op.code, 0);
    assert_int_equal(read->ret_row_count, 0);
    store_op_free(&read->op);
    create = make_run(3, 5, NULL, NULL);
    create->idempotency_key = xstrdup("k");
    create->request_sha256 = xstrdup("r");
    assert_int_equal(bed_do(&bed, &create->op), 0);
    assert_int_equal(create->ret_how, RUN_NEW);
    assert_int_equal(bed.run.id, create->ret_run.id);
    store_op_free(&create->op);
    assert_well(&bed);
    bed_end(&bed);
}

/* A reader sees the last commit, never an open transaction; after an interrupt it reads no more. */
static void test_reader(void **state)
{
    (void)state;
    struct bed bed;
    struct store_reader *reader = NULL;
    struct store_commit commit;
    bool has_more;
    bed_begin(&bed, bed_engine);
    int64_t run = bed_run(&bed, 5, 1, -1, NULL);
    assert_int_equal(bed.ops->reader_open(bed.path, &never_ends, &reader, NULL), 0);
    struct store_sweep *sweep = sweep_all(run, SWEEP_CANCEL);
    assert_int_equal(bed.ops->begin(bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(bed.ops->apply(bed.engine, &sweep->op, &has_more, NULL), 0);
    for (int committed = 0; committed < 2; committed++) {
        struct store_read *read = store_op_new(OP_READ, NULL, NULL);
        read->query = QUERY_ASSIGNMENTS;
        read->run = run;
        read->limit = 10;
        assert_false(bed.ops->read(reader, read));
        assert_int_equal(read->ret_row_count, 5);
        assert_string_equal(read_text(read, 0, ASSIGNMENT_STATE), committed ? "cancelled" : "pending");
        store_op_free(&read->op);
        if (!committed)
            assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
    }
    bed.ops->interrupt(reader);
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    bed.ops->check(reader, doctor);
    assert_true(doctor->op.code == -GALLOC_STORE_UNAVAILABLE);
    store_op_free(&doctor->op);
    bed.ops->reader_close(reader);
    store_op_free(&sweep->op);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),         cmocka_unit_test(test_undone_steps),
        cmocka_unit_test(test_next_life),     cmocka_unit_test(test_not_done_before_the_sweep),
        cmocka_unit_test(test_group),         cmocka_unit_test(test_back_and_forth),
        cmocka_unit_test(test_undone_create), cmocka_unit_test(test_reader),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
