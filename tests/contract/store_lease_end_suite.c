/* What every engine keeps of outside workers' leases: how they end without a word of the worker, by time, by people, by a restart of the daemon; and
 * what is remembered of them. The doctor recounts at the end of each test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "core/limits.h"
#include "tests/contract/store_lease_bed.h"

#include <string.h>

/* ---- running out ---- */
static void test_lost(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 6, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3);
    assert_int_equal(scene_verdict(&scene, claim, 0, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    clock_fake_advance_ms(TTL_MS - 1);
    struct store_lease_expire *early = scene_expire(&scene, 0);
    assert_true(early->ret_next_ms == 1 && early->op.seq_first == 0);
    clock_fake_advance_ms(1);
    struct store_lease_expire *due = scene_expire(&scene, 1);
    assert_true(due->ret_leases[0].lease == claim->ret_lease && due->ret_leases[0].run == scene.run);
    assert_string_equal(due->ret_leases[0].worker, "w1");
    assert_true(due->ret_leases[0].row_count == 2 && due->ret_leases[0].poisoned_count == 0);
    assert_true(due->ret_next_ms == -1 && !due->ret_has_more && due->op.seq_first > 0);
    scene_check_states(&scene, 5, 0, 1, 0);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_LOST], 2);
    scene_check_attempt(&scene, "K000002", 0, "lost", "w1", "worker w1 was lost");
    for (int i = 0; i < 2; i++) { /* at once, before the fresh ones, each alone, and nothing spent */
        struct store_claim *alone = scene_lease(&scene, 5, "w2", 1);
        assert_string_equal(alone->ret_rows[0].key, i == 0 ? "K000002" : "K000003");
        assert_int_equal(alone->ret_rows[0].retries_spent + alone->ret_rows[0].failures, 0);
        store_op_free(&alone->op);
    }
    struct store_claim *rest = scene_lease(&scene, 5, "w2", 3);
    struct store_op *ops[] = {&claim->op, &early->op, &due->op, &rest->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    scene_end(&scene);
}

/* One that goes alone and is not the first stays for another lease; the built-in worker takes it as any other. */
static void test_goes_alone(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 6, 1, -1);
    struct store_claim *first = scene_lease(&scene, 1, "w1", 1), *second = scene_lease(&scene, 1, "w1", 1);
    struct store_verdicts *later = scene_judge(&scene, first, 0, 1, OUTCOME_TRANSIENT);
    assert_true(later->items[0].ret_retry_after_ms < TTL_MS); /* so it is due before the second is lost */
    scene_let_run_out(&scene, second);
    struct store_claim *mixed = scene_lease(&scene, 4, "w2", 4);
    assert_string_equal(mixed->ret_rows[0].key, "K000001");
    assert_string_equal(mixed->ret_rows[1].key, "K000003");
    assert_int_equal(scene_give_back(&scene, mixed->ret_lease, NULL), 0);
    struct store_claim *built_in = make_claim(scene.run, 9, NULL, NULL);
    assert_int_equal(bed_do(&scene.bed, &built_in->op), 0);
    assert_int_equal(built_in->ret_count, 6);
    assert_int_equal(scene.bed.run.counts[COUNT_OUTSIDE], 0);
    struct store_op *ops[] = {&first->op, &later->op, &mixed->op, &built_in->op};
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        store_op_free(ops[i]);
    scene_end(&scene);
}

static void test_poison(void **state)
{
    (void)state;
    static const char *const workers[] = {"anna", "bob", "cy"};
    struct scene scene;
    scene_begin(&scene, bed_engine, 2, 1, -1);
    scene_let_run_out(&scene, scene_lease(&scene, 2, "zoe", 2)); /* together: not counted against either */
    struct store_claim *first = scene_lease(&scene, 5, "dora", 1), *second = scene_lease(&scene, 5, "dora", 1);
    assert_int_equal(scene_give_back(&scene, first->ret_lease, NULL), 0); /* not lost */
    assert_int_equal(scene_verdict(&scene, second, 0, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    for (size_t i = 0; i < 3; i++) {
        scene_check_states(&scene, 1, 0, 1, 0);
        struct store_claim *claim = scene_lease(&scene, 5, workers[i], 1);
        clock_fake_advance_ms(TTL_MS);
        struct store_lease_expire *due = scene_expire(&scene, 1);
        assert_int_equal(due->ret_leases[0].poisoned_count, i == 2);
        assert_int_equal(due->ret_leases[0].row_count, 1);
        store_op_free(&claim->op);
        store_op_free(&due->op);
    }
    scene_check_states(&scene, 0, 0, 1, 1);
    assert_int_equal(scene.bed.run.counts[COUNT_FAILED + OUTCOME_POISON], 1);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_LOST], 5);
    assert_int_equal(scene.bed.run.state, RUN_DONE);
    struct store_read *read = scene_read_key(&scene, QUERY_ASSIGNMENT, "K000001");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_CODE), "poison");
    const char *message = read_text(read, 0, ASSIGNMENT_MESSAGE), *anna = strstr(message, "anna (lease "), *bob = strstr(message, ", bob (lease ");
    if (anna == NULL || bob < anna || strstr(message, ", cy (lease ") < bob || strstr(message, "zoe") != NULL)
        fail_msg("\"%s\"", message);
    scene_check_attempt(&scene, "K000001", 4, "lost", "cy", "worker cy was lost");
    store_op_free(&read->op);
    scene_sweep(&scene, SWEEP_RETRY); /* a person's word: it may be lost three times again */
    scene_let_run_out(&scene, scene_lease(&scene, 5, "anna", 1));
    scene_check_states(&scene, 1, 0, 1, 0);
    store_op_free(&first->op);
    store_op_free(&second->op);
    scene_end(&scene);
}

/* Leases that run out together end in transactions of a bounded size. */
static void test_lost_in_pieces(void **state)
{
    (void)state;
    enum { LEASES = LIMIT_SWEEP_ROWS / LIMIT_LEASE_ROWS + 1 };
    struct scene scene;
    scene_begin(&scene, bed_engine, (int64_t)LEASES * LIMIT_LEASE_ROWS, 1, -1);
    for (int i = 0; i < LEASES; i++)
        store_op_free(&scene_lease(&scene, LIMIT_LEASE_ROWS, "w1", LIMIT_LEASE_ROWS)->op);
    clock_fake_advance_ms(TTL_MS);
    struct store_lease_expire *most = scene_expire(&scene, LEASES - 1);
    assert_true(most->ret_has_more);
    scene_check_states(&scene, LIMIT_SWEEP_ROWS, LIMIT_LEASE_ROWS, 0, 0);
    struct store_lease_expire *rest = scene_expire(&scene, 1);
    assert_true(!rest->ret_has_more && rest->ret_next_ms == -1);
    scene_check_states(&scene, LIMIT_SWEEP_ROWS + LIMIT_LEASE_ROWS, 0, 0, 0);
    store_op_free(&most->op);
    store_op_free(&rest->op);
    scene_end(&scene);
}

/* ---- lives, clocks, people ---- */
/* Outside leases run on through a restart, each for at least the less of its ttl and 30 s; what was told before and after it counts. */
static void test_restart(void **state)
{
    (void)state;
    static const struct { const char *worker; int64_t ttl_ms, left_ms; } rows[] = {{"short", 5000, 5000}, {"long", 40000, 30000}, {"longer", 100000, 61000}};
    struct scene scene;
    struct store_claim *claims[3];
    scene_begin(&scene, bed_engine, 9, 1, -1);
    for (size_t i = 0; i < 3; i++) {
        claims[i] = make_lease(scene.run, 2, rows[i].worker, rows[i].ttl_ms, NULL, NULL);
        assert_int_equal(bed_do(&scene.bed, &claims[i]->op), 0);
    }
    struct store_claim *built_in = make_claim(scene.run, 2, NULL, NULL);
    assert_int_equal(bed_do_free(&scene.bed, &built_in->op), 0);
    clock_fake_advance_ms(39000); /* the short one's time had run out while the daemon was away: its worker could not renew it */
    scene_reopen(&scene);
    assert_int_equal(scene.bed.image.lease_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct store_lease *lease = &scene.bed.image.leases[i];
        assert_true(lease->lease == claims[i]->ret_lease && lease->run == scene.run);
        assert_string_equal(lease->worker, rows[i].worker);
        assert_int_equal(lease->ttl_ms, rows[i].ttl_ms);
        assert_int_equal(lease->left_ms, rows[i].left_ms);
        assert_int_equal(lease->row_count, 2);
    }
    scene_check_states(&scene, 3, 6, 0, 0);
    scene_check_attempt(&scene, "K000001", 0, "open", "short", NULL);
    assert_int_equal(scene_verdict(&scene, claims[0], 0, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    assert_int_equal(scene_renew(&scene, claims[0]->ret_lease, 0, NULL), 0);
    assert_int_equal(scene_verdict(&scene, claims[0], 1, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    scene_reopen(&scene);
    assert_int_equal(scene.bed.image.lease_count, 2);
    assert_int_equal(scene_verdict(&scene, claims[0], 1, OUTCOME_SUCCEEDED), VERDICT_OF_DUPLICATE);
    struct store_claim *next = scene_lease(&scene, 9, "w1", 3);
    assert_true(next->ret_lease > claims[2]->ret_lease + 1);
    for (size_t i = 0; i < 3; i++)
        store_op_free(&claims[i]->op);
    store_op_free(&next->op);
    scene_end(&scene);
}

/* A day's jump of the wall clock cuts no lease short and holds none longer. */
static void test_clock_jumps(void **state)
{
    (void)state;
    static const int64_t jumps_ms[] = {86400000, -86400000};
    struct scene scene;
    scene_begin(&scene, bed_engine, 1, 1, -1);
    for (size_t i = 0; i < ARRAY_COUNT(jumps_ms); i++) {
        struct store_claim *claim = scene_lease(&scene, 1, "w1", 1);
        clock_fake(clock_mono_us() + (TTL_MS - 1) * 1000, clock_wall_ms() + jumps_ms[i]);
        assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), 0);
        clock_fake(clock_mono_us() + (TTL_MS - 1) * 1000, clock_wall_ms() + jumps_ms[i]);
        store_op_free(&scene_expire(&scene, 0)->op);
        clock_fake(clock_mono_us() + 1000, clock_wall_ms());
        store_op_free(&scene_expire(&scene, 1)->op);
        store_op_free(&claim->op);
    }
    scene_end(&scene);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene, bed_engine, 4, 1, -1);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3), *built_in = make_claim(scene.run, 1, NULL, NULL);
    assert_int_equal(bed_do(&scene.bed, &built_in->op), 0);
    assert_int_equal(scene_verdict(&scene, claim, 0, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    scene_sweep(&scene, SWEEP_CANCEL);
    scene_check_states(&scene, 0, 0, 1, 0);
    assert_int_equal(scene.bed.run.counts[COUNT_CLASS + OUTCOME_DROPPED], 2);
    scene_check_attempt(&scene, "K000002", 0, "dropped", "w1", "cancelled");
    assert_int_equal(scene_renew(&scene, claim->ret_lease, 0, NULL), -GALLOC_LEASE_LOST); /* so that it stops */
    assert_int_equal(scene_verdict(&scene, claim, 1, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    assert_int_equal(scene_verdict(&scene, claim, 0, OUTCOME_SUCCEEDED), VERDICT_OF_DUPLICATE);
    clock_fake_advance_ms(TTL_MS);
    store_op_free(&scene_expire(&scene, 0)->op);
    scene_sweep(&scene, SWEEP_RETRY);
    assert_int_equal(scene_verdict(&scene, claim, 1, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    scene_check_states(&scene, 3, 0, 1, 0);
    scene_reopen(&scene);
    store_op_free(&claim->op);
    store_op_free(&built_in->op);
    scene_end(&scene);
}

/* An ended lease is remembered for a while; then a late result of it is as of one that never was. */
static void test_kept(void **state)
{
    (void)state;
    enum { LEASES = 40 };
    struct scene scene;
    struct store_claim *claims[LEASES];
    scene_begin(&scene, bed_engine, LEASES, 1, -1);
    for (size_t i = 0; i < LEASES; i++) {
        claims[i] = scene_lease(&scene, 1, "w1", 1);
        assert_int_equal(scene_verdict(&scene, claims[i], 0, OUTCOME_SUCCEEDED), VERDICT_OF_SUCCEEDED);
    }
    clock_fake_advance_ms(LEASE_KEPT_MS);
    assert_int_equal(bed_do_free(&scene.bed, store_op_new(OP_UPKEEP, NULL, NULL)), 0);
    assert_int_equal(scene_verdict(&scene, claims[0], 0, OUTCOME_SUCCEEDED), VERDICT_OF_DUPLICATE);
    scene_check_attempt(&scene, "K000001", 0, "succeeded", "w1", NULL);
    clock_fake_advance_ms(1);
    assert_int_equal(bed_do_free(&scene.bed, store_op_new(OP_UPKEEP, NULL, NULL)), 0);
    for (size_t i = 0; i < LEASES; i++)
        assert_int_equal(scene_verdict(&scene, claims[i], 0, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    scene_check_attempt(&scene, "K000001", 0, "succeeded", "outside", NULL);
    for (size_t i = 0; i < LEASES; i++)
        store_op_free(&claims[i]->op);
    scene_end(&scene);
}

/* ---- transactions ---- */
/* Anew after a rollback: the same as if the first time had never been. */
static void test_rollback(void **state)
{
    (void)state;
    struct scene scene;
    bool has_more;
    scene_begin(&scene, bed_engine, 6, 1, 2);
    struct store_claim *claim = scene_lease(&scene, 3, "w1", 3), *second = make_lease(scene.run, 2, "w2", 1000, NULL, NULL);
    struct store_verdicts *verdicts = make_verdicts(claim, 0, 3, OUTCOME_SUCCEEDED, &scene.pool, NULL, NULL);
    struct store_lease_expire *due = store_op_new(OP_LEASE_EXPIRE, NULL, NULL);
    struct store_op *ops[] = {&verdicts->op, &second->op};
    assert_int_equal(scene.bed.ops->begin(scene.bed.engine, INT64_MAX, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        assert_int_equal(scene.bed.ops->apply(scene.bed.engine, ops[i], &has_more, NULL), 0);
    int64_t undone_lease = second->ret_lease;
    scene.bed.ops->rollback(scene.bed.engine);
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        assert_int_equal(bed_do(&scene.bed, ops[i]), 0);
    assert_true(second->ret_lease > undone_lease);
    assert_int_equal(verdicts->items[1].ret_verdict, VERDICT_OF_SUCCEEDED);
    assert_int_equal(verdicts->items[2].ret_verdict, VERDICT_OF_AGENT_FULL);
    scene_check_states(&scene, 2, 2, 2, 0);
    clock_fake_advance_ms(1000);
    assert_int_equal(scene.bed.ops->begin(scene.bed.engine, INT64_MAX, NULL), 0);
    assert_int_equal(scene.bed.ops->apply(scene.bed.engine, &due->op, &has_more, NULL), 0);
    scene.bed.ops->rollback(scene.bed.engine);
    assert_int_equal(bed_do(&scene.bed, &due->op), 0);
    assert_int_equal(due->ret_count, 1);
    assert_int_equal(due->ret_leases[0].row_count, 2);
    scene_check_states(&scene, 4, 0, 2, 0);
    struct store_op *all[] = {&claim->op, &second->op, &verdicts->op, &due->op};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        store_op_free(all[i]);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_goes_alone),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_lost_in_pieces),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_rollback),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
