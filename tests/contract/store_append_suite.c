/* Runs that are added to while they run, or after: whole or nothing, once, in an order that the store gives; closed; and imports that were left. Tried on each
 * engine, on a clock of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tests/contract/store_bed.h"

#include <string.h>

#define NOON_MS INT64_C(1795464000000)
#define DAY_MS INT64_C(86400000)

static void begin(struct bed *bed)
{
    clock_fake(1000000, NOON_MS);
    bed_begin(bed, bed_engine);
}

static void end(struct bed *bed)
{
    bed_check(bed);
    bed_end(bed);
    clock_real();
}

/* An open run that runs, empty. */
static int64_t open_run(struct bed *bed)
{
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    create->run.is_open = true;
    assert_int_equal(bed_do(bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    assert_int_equal(bed_do_free(bed, &make_commit(run, 0, NULL, NULL)->op), 0);
    assert_int_equal(bed->run.state, RUN_RUNNING);
    return run;
}

static struct store_import *make_append(int64_t run, int64_t first, int64_t count, const char *key)
{
    struct store_import *import = make_part(run, 1, first, count, 60, 0, NULL, NULL);
    import->is_append = true;
    import->part = 0;
    import->idempotency_key = xstrdup(key);
    return import;
}

static int append(struct bed *bed, int64_t run, int64_t first, int64_t count)
{
    return bed_do_free(bed, &make_append(run, first, count, NULL)->op);
}

static int close_run(struct bed *bed, int64_t run)
{
    struct store_run_close *close = store_op_new(OP_RUN_CLOSE, NULL, NULL);
    close->run = run;
    return bed_do_free(bed, &close->op);
}

/* Decides all that is pending. */
static void decide(struct bed *bed, int64_t run)
{
    struct store_claim *claim = bed_claim(bed, run, 1000);
    struct store_settle *settle = make_settle(claim, 0, claim->ret_count, MOVE_FAIL, OUTCOME_EXPIRED, NULL, NULL, NULL);
    assert_int_equal(bed_do_free(bed, &settle->op), 0);
    store_op_free(&claim->op);
}

static void test_close(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    int64_t run = open_run(&bed);
    assert_int_equal(append(&bed, run, 1, 3), 0);
    decide(&bed, run);
    assert_int_equal(bed.run.state, RUN_RUNNING); /* nothing is left, and more may come */
    assert_int_equal(append(&bed, run, 4, 1), 0);
    assert_int_equal(close_run(&bed, run), 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    assert_false(bed.run.is_open);
    int64_t seq = bed.run.seq;
    assert_int_equal(close_run(&bed, run), 0); /* again: nothing moves */
    bed_close(&bed);
    bed_open(&bed);
    decide(&bed, run);
    assert_int_equal(bed.run.state, RUN_DONE);
    assert_true(bed.run.seq > seq);
    assert_int_equal(close_run(&bed, open_run(&bed)), 0);
    assert_int_equal(bed.run.state, RUN_DONE); /* an empty one is done at once */
    assert_int_equal(close_run(&bed, 99), -GALLOC_NOT_FOUND);
    end(&bed);
}

/* However short a step's time is: what a run that runs is given stands whole with one commit. */
static void test_one_step(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    clock_real(); /* a step's time is over at once */
    int64_t run = open_run(&bed);
    struct store_import *import = make_append(run, 1, 1000, NULL);
    int steps = 0;
    assert_int_equal(bed_steps(&bed, &import->op, 0, &steps), 0);
    assert_int_equal(steps, 1);
    assert_int_equal(import->part, 1);
    store_op_free(&import->op);
    import = make_part(run, 2, 2001, 1000, 60, 0, NULL, NULL); /* so does a numbered part */
    assert_int_equal(bed_steps(&bed, &import->op, 0, &steps), 0);
    assert_int_equal(steps, 1);
    store_op_free(&import->op);
    import = make_append(run, 900, 200, NULL);
    import->on_duplicate = DUPLICATE_ERROR;
    assert_int_equal(bed_do(&bed, &import->op), -GALLOC_INVALID_INPUT);
    store_op_free(&import->op);
    bed_check_states(&bed, 2000, 0, 0, 0);
    assert_int_equal(bed.run.parts, 2);
    end(&bed);
}

static void test_done_runs_again(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    int64_t run = bed_run(&bed, 3, 1, -1, NULL);
    decide(&bed, run);
    assert_int_equal(bed.run.state, RUN_DONE);
    int64_t finished_at_ms = bed.run.finished_at_ms;
    clock_fake_advance_ms(5000);
    struct store_import *import = make_append(run, 1, 3, NULL);
    assert_int_equal(bed_do(&bed, &import->op), 0);
    assert_int_equal(import->duplicate_count, 3);
    store_op_free(&import->op);
    assert_int_equal(bed.run.state, RUN_DONE); /* nothing new: it stays as it ended */
    assert_int_equal(bed.run.finished_at_ms, finished_at_ms);
    assert_int_equal(append(&bed, run, 3, 2), 0);
    assert_int_equal(bed.run.state, RUN_RUNNING);
    assert_int_equal(bed.run.finished_at_ms, 0);
    bed_check_states(&bed, 1, 0, 0, 3);
    decide(&bed, run);
    assert_int_equal(bed.run.state, RUN_DONE);
    assert_int_equal(bed.run.finished_at_ms, finished_at_ms + 5000);
    end(&bed);
}

static void check_reused(struct bed *bed, struct store_import *import)
{
    assert_int_equal(bed_do_free(bed, &import->op), -GALLOC_KEY_REUSED);
}

static void test_idempotency(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    int64_t run = open_run(&bed), other = open_run(&bed);
    assert_int_equal(bed_do_free(&bed, &make_append(run, 1, 5, "a")->op), 0);
    assert_int_equal(append(&bed, run, 6, 5), 0);
    bed_close(&bed);
    bed_open(&bed);
    struct store_import *again = make_append(run, 1, 5, "a");
    assert_int_equal(bed_do(&bed, &again->op), 0);
    assert_true(again->ret_is_replay);
    assert_int_equal(again->part, 1);
    assert_string_equal(buf_text(&again->ret_answer), "{\"accepted\":5,\"duplicates\":0,\"replaced\":0,\"rejected\":[]}");
    store_op_free(&again->op);
    check_reused(&bed, make_append(run, 1, 6, "a"));
    check_reused(&bed, make_append(other, 1, 5, "a"));
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    create->idempotency_key = xstrdup("a");
    create->request_sha256 = xstrdup("body");
    assert_int_equal(bed_do_free(&bed, &create->op), -GALLOC_KEY_REUSED);
    clock_fake_advance_ms(7 * DAY_MS);
    again = make_append(run, 1, 5, "a"); /* forgotten, and safe all the same */
    assert_int_equal(bed_do(&bed, &again->op), 0);
    assert_false(again->ret_is_replay);
    assert_int_equal(again->duplicate_count, 5);
    store_op_free(&again->op);
    end(&bed);
}

static int cancel(struct bed *bed, int64_t run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = store_op_new(OP_SWEEP, NULL, NULL);
    sweep->run = run;
    sweep->verb = verb;
    sweep->selector.is_all = true;
    return bed_do_free(bed, &sweep->op);
}

static void test_refused(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    assert_int_equal(append(&bed, create->ret_run.id, 1, 1), -GALLOC_WRONG_STATE); /* while importing */
    store_op_free(&create->op);
    int64_t run = open_run(&bed);
    assert_int_equal(append(&bed, run, 1, 2), 0);
    assert_int_equal(cancel(&bed, run, SWEEP_CANCEL), 0);
    assert_false(bed.run.is_open);
    assert_int_equal(append(&bed, run, 3, 1), -GALLOC_WRONG_STATE);
    assert_int_equal(append(&bed, 99, 1, 1), -GALLOC_NOT_FOUND);
    end(&bed);
}

/* Cancelled between two steps of a part: the rest is not taken, so a cancelled run has nothing pending. */
static void test_cancelled_between_steps(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    clock_real();
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    struct store_import *part = make_part(run, 1, 1, 1000, 60, 0, NULL, NULL);
    bool has_more = true;
    struct store_commit commit;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(bed.ops->begin(bed.engine, 0, NULL), 0);
        assert_int_equal(bed.ops->apply(bed.engine, &part->op, &has_more, NULL), 0);
        assert_int_equal(bed.ops->commit(bed.engine, &commit, NULL), 0);
        assert_true(has_more);
    }
    assert_int_equal(cancel(&bed, run, SWEEP_CANCEL), 0);
    int64_t cancelled = bed_state_count(&bed, ASSIGNMENT_CANCELLED);
    assert_true(cancelled > 0 && cancelled < 1000);
    assert_int_equal(bed_do_free(&bed, &part->op), -GALLOC_WRONG_STATE);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_PENDING), 0);
    end(&bed);
}

static void test_left_importing(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(bed_do(&bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    clock_fake_advance_ms(DAY_MS - 1);
    assert_int_equal(cancel(&bed, run, SWEEP_ABANDON), -GALLOC_WRONG_STATE);
    assert_int_equal(bed_do_free(&bed, &make_part(run, 1, 1, 5, 60, 0, NULL, NULL)->op), 0); /* its time begins anew */
    clock_fake_advance_ms(1);
    assert_int_equal(cancel(&bed, run, SWEEP_ABANDON), -GALLOC_WRONG_STATE);
    bed_close(&bed);
    clock_fake(clock_mono_us(), clock_wall_ms() + 30 * DAY_MS); /* a clock that was set wrong ages no import while the machine runs */
    bed_open(&bed);
    assert_int_equal(cancel(&bed, run, SWEEP_ABANDON), -GALLOC_WRONG_STATE);
    clock_fake_advance_ms(DAY_MS);
    assert_int_equal(cancel(&bed, run, SWEEP_ABANDON), 0);
    assert_int_equal(bed.run.state, RUN_CANCELLED);
    assert_int_equal(bed_state_count(&bed, ASSIGNMENT_CANCELLED), 5);
    int64_t running = open_run(&bed);
    clock_fake_advance_ms(2 * DAY_MS);
    assert_int_equal(cancel(&bed, running, SWEEP_ABANDON), -GALLOC_WRONG_STATE);
    end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close),   cmocka_unit_test(test_one_step), cmocka_unit_test(test_done_runs_again),          cmocka_unit_test(test_idempotency),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_cancelled_between_steps), cmocka_unit_test(test_left_importing),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
