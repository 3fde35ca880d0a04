/* The facade and the writer: answers after the commit, groups, lanes, and what a failing disk means to each operation. Faults are made by a VFS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/store_front.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/temp_dir.h"

#include "base/clock.h"
#include "core/limits.h"

#include <errno.h>
#include <string.h>

struct scene {
    struct temp_dir dir;
    char *path;
    struct front front;
    struct store_pool pool;
    int64_t run;
};

static void scene_begin(struct scene *scene, int64_t rows)
{
    struct galloc_error error;
    *scene = (struct scene){.path = NULL};
    temp_dir_make(&scene->dir);
    scene->path = xasprintf("%s/galloc.db", scene->dir.path);
    if (front_open(&scene->front, scene->path, &error) < 0)
        fail_msg("%s", error.message);
    scene->run = front_run(&scene->front, rows, 2, &scene->pool);
    assert_true(scene->run > 0);
}

static void scene_reopen(struct scene *scene)
{
    struct galloc_error error;
    front_close(&scene->front);
    if (front_open(&scene->front, scene->path, &error) < 0)
        fail_msg("%s", error.message);
}

static void scene_end(struct scene *scene)
{
    fault_vfs_clear();
    fault_vfs_gate_open();
    front_close(&scene->front);
    store_pool_clear(&scene->pool);
    temp_dir_remove(&scene->dir);
    free(scene->path);
}

static const int64_t *counts(const struct scene *scene)
{
    return front_summary(&scene->front, scene->run)->counts;
}

static struct store_claim *claim_rows(struct scene *scene, int max)
{
    struct store_claim *claim = make_claim(scene->run, max, NULL, NULL);
    assert_int_equal(front_do(&scene->front, &claim->op), 0);
    return claim;
}

static struct store_settle *settle_rows(struct scene *scene, const struct store_claim *claim)
{
    return make_settle(claim, 0, claim->ret_count, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &scene->pool, NULL, NULL);
}

static bool wait_health(struct scene *scene, enum store_health health)
{
    bool never = false;
    for (int64_t until_us = clock_mono_us() + 10000000; scene->front.health != health && clock_mono_us() < until_us;)
        front_wait(&scene->front, &never, 20);
    return scene->front.health == health;
}

/* ---- groups and lanes ---- */
struct marked {
    struct front_mark mark;
    struct store_op *op;
};

static void submit(struct scene *scene, struct marked *marked, void *op)
{
    *marked = (struct marked){.mark = {.front = &scene->front}, .op = op};
    marked->op->done = front_done;
    marked->op->arg = &marked->mark;
    store_submit(scene->front.store, marked->op);
}

static int finish(struct scene *scene, struct marked *marked)
{
    assert_true(front_wait(&scene->front, &marked->mark.is_done, 10000));
    int code = marked->op->code;
    store_op_free(marked->op);
    return code;
}

/* What waits while a commit syncs becomes one group: many operations, few commits. */
static void test_group_commit(void **state)
{
    (void)state;
    enum { CLAIMS = 100 };
    struct scene scene;
    struct marked first, claims[CLAIMS];
    struct store_stats before, after;
    scene_begin(&scene, 200);
    store_stats(scene.front.store, &before);
    fault_vfs_gate_close("-wal");
    submit(&scene, &first, make_claim(scene.run, 1, NULL, NULL));
    assert_true(fault_vfs_gate_wait(5000));
    for (int i = 0; i < CLAIMS; i++)
        submit(&scene, &claims[i], make_claim(scene.run, 1, NULL, NULL));
    bool never = false;
    front_wait(&scene.front, &never, 50);
    assert_false(first.mark.is_done); /* not durable yet: not answered */
    fault_vfs_gate_open();
    assert_int_equal(finish(&scene, &first), 0);
    for (int i = 0; i < CLAIMS; i++)
        assert_int_equal(finish(&scene, &claims[i]), 0);
    store_stats(scene.front.store, &after);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_LEASED], CLAIMS + 1);
    assert_true(after.commits - before.commits <= CLAIMS / 5);
    assert_int_equal(after.ops_sum - before.ops_sum, CLAIMS + 1);
    assert_true(after.db_bytes > 0 && after.free_bytes > 0);
    scene_end(&scene);
}

/* A settle that comes while a long import is on its way does not wait for the import's end. */
static void test_lanes(void **state)
{
    (void)state;
    struct scene scene;
    struct marked import, settle;
    scene_begin(&scene, 10);
    struct store_claim *claim = claim_rows(&scene, 10);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(front_do(&scene.front, &create->op), 0);
    fault_vfs_gate_close("-wal");
    submit(&scene, &import, make_part(create->ret_run.id, 1, 1, LIMIT_PART_ROWS, 300, 1, NULL, NULL));
    assert_true(fault_vfs_gate_wait(5000));
    submit(&scene, &settle, settle_rows(&scene, claim));
    fault_vfs_gate_open();
    assert_true(front_wait(&scene.front, &settle.mark.is_done, 60000));
    assert_true(front_wait(&scene.front, &import.mark.is_done, 120000));
    assert_true(settle.mark.order < import.mark.order);
    assert_int_equal(finish(&scene, &settle), 0);
    assert_int_equal(finish(&scene, &import), 0);
    store_op_free(&create->op);
    store_op_free(&claim->op);
    scene_end(&scene);
}

/* A queue that is full answers at once, but takes every settle; closing answers all. */
static void test_full_queue_and_close(void **state)
{
    (void)state;
    enum { CLAIMS = LIMIT_STORE_QUEUE + 50 };
    struct scene scene;
    struct marked *claims = xcalloc(CLAIMS, sizeof *claims), settle;
    scene_begin(&scene, 10);
    struct store_claim *claim = claim_rows(&scene, 2);
    fault_vfs_gate_close("-wal");
    submit(&scene, &claims[0], make_claim(scene.run, 1, NULL, NULL));
    assert_true(fault_vfs_gate_wait(5000));
    for (int i = 1; i < CLAIMS; i++)
        submit(&scene, &claims[i], make_claim(scene.run, 0, NULL, NULL));
    submit(&scene, &settle, settle_rows(&scene, claim));
    assert_int_equal(finish(&scene, &claims[CLAIMS - 1]), -GALLOC_BUSY);
    fault_vfs_gate_open();
    front_close(&scene.front);
    assert_true(settle.mark.is_done && settle.op->code == 0);
    for (int i = 0; i < CLAIMS - 1; i++) {
        assert_true(claims[i].mark.is_done);
        store_op_free(claims[i].op);
    }
    store_op_free(settle.op);
    store_op_free(&claim->op);
    free(claims);
    scene_end(&scene);
}

/* ---- a failed commit ---- */
/* The sync fails once. With a reader connected the log's end is cut off, without one it is found again: either way each settle stands once. */
static void commit_fails_once(bool has_reader, int error_number, enum store_health health_between)
{
    struct scene scene;
    struct marked settle, claims, create;
    scene_begin(&scene, 20);
    struct store_claim *claim = claim_rows(&scene, 10);
    if (has_reader) {
        struct store_read *read = store_op_new(OP_READ, NULL, NULL);
        read->query = QUERY_ASSIGNMENTS;
        read->run = scene.run;
        read->limit = 10;
        assert_int_equal(front_do_free(&scene.front, &read->op), 0);
    }
    fault_vfs_arm(FAULT_SYNC, "-wal", 1, false, error_number);
    submit(&scene, &settle, settle_rows(&scene, claim));
    submit(&scene, &claims, make_claim(scene.run, 3, NULL, NULL));
    submit(&scene, &create, make_run(1, -1, NULL, NULL));
    assert_true(front_wait(&scene.front, &settle.mark.is_done, 10000));
    assert_int_equal(fault_vfs_failures(), 1);
    const struct store_settle *settled = CONTAINER_OF(settle.op, struct store_settle, op);
    for (size_t i = 0; i < settled->count; i++)
        assert_int_equal(settled->items[i].ret_verdict, VERDICT_DONE);
    assert_int_equal(finish(&scene, &settle), 0);
    int claim_code = finish(&scene, &claims), create_code = finish(&scene, &create);
    assert_true(claim_code == 0 || claim_code == -GALLOC_DISK_FULL || claim_code == -GALLOC_STORE_UNAVAILABLE);
    assert_true(create_code == claim_code || create_code == 0 || create_code == -GALLOC_OUTCOME_UNKNOWN);
    assert_true(wait_health(&scene, STORE_WELL));
    assert_int_equal(scene.front.health_changes, health_between == STORE_WELL ? 0 : 2);
    assert_int_equal(front_do_free(&scene.front, &make_claim(scene.run, 0, NULL, NULL)->op), 0);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 10);
    assert_int_equal(counts(&scene)[COUNT_CALLS], 10);
    int64_t leased = claim_code == 0 ? 3 : 0;
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_LEASED], leased);
    scene_reopen(&scene);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 10);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_PENDING], 10);
    store_op_free(&claim->op);
    scene_end(&scene);
}

static void test_commit_fails_once(void **state)
{
    (void)state;
    commit_fails_once(false, ENOSPC, STORE_DISK_FULL);
    commit_fails_once(true, ENOSPC, STORE_DISK_FULL);
    commit_fails_once(false, ENXIO, STORE_WELL);
    commit_fails_once(true, ENXIO, STORE_WELL);
}

/* A full disk: new work is refused, settles wait, and all goes on by itself. */
static void test_disk_full(void **state)
{
    (void)state;
    struct scene scene;
    struct marked settle;
    scene_begin(&scene, 20);
    struct store_claim *claim = claim_rows(&scene, 10);
    fault_vfs_arm(FAULT_WRITE, "-wal", 1, true, ENOSPC);
    submit(&scene, &settle, settle_rows(&scene, claim));
    assert_true(wait_health(&scene, STORE_DISK_FULL));
    for (int i = 0; i < 3; i++) {
        int code = front_do_free(&scene.front, &make_claim(scene.run, 1, NULL, NULL)->op);
        assert_int_equal(code, -GALLOC_DISK_FULL);
        code = front_do_free(&scene.front, &make_part(scene.run, 2, 1, 5, 60, 0, NULL, NULL)->op);
        assert_int_equal(code, -GALLOC_DISK_FULL);
    }
    assert_false(settle.mark.is_done);
    fault_vfs_clear();
    assert_int_equal(finish(&scene, &settle), 0);
    assert_true(wait_health(&scene, STORE_WELL));
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_SUCCEEDED], 10);
    assert_int_equal(front_do_free(&scene.front, &make_claim(scene.run, 1, NULL, NULL)->op), 0);
    store_op_free(&claim->op);
    scene_end(&scene);
}

/* A medium that fails ends the store: what is unknown is told as unknown, and the next life finds a sound database. */
static void test_medium_fails(void **state)
{
    (void)state;
    struct scene scene;
    struct marked settle;
    scene_begin(&scene, 20);
    struct store_claim *claim = claim_rows(&scene, 10);
    fault_vfs_arm(FAULT_SYNC, "-wal", 1, false, EIO);
    submit(&scene, &settle, settle_rows(&scene, claim));
    assert_true(wait_health(&scene, STORE_FAILED));
    assert_int_equal(finish(&scene, &settle), -GALLOC_OUTCOME_UNKNOWN);
    assert_int_equal(front_do_free(&scene.front, &make_claim(scene.run, 1, NULL, NULL)->op), -GALLOC_STORE_UNAVAILABLE);
    fault_vfs_clear();
    scene_reopen(&scene);
    int64_t succeeded = counts(&scene)[COUNT_STATE + ASSIGNMENT_SUCCEEDED];
    assert_true(succeeded == 0 || succeeded == 10);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_PENDING], 20 - succeeded);
    store_op_free(&claim->op);
    scene_end(&scene);
}

/* Three failures in a row of another kind end it too. */
static void test_fails_for_good(void **state)
{
    (void)state;
    struct scene scene;
    struct marked settle;
    scene_begin(&scene, 20);
    struct store_claim *claim = claim_rows(&scene, 10);
    fault_vfs_arm(FAULT_WRITE, "-wal", 1, true, ENXIO);
    submit(&scene, &settle, settle_rows(&scene, claim));
    assert_true(wait_health(&scene, STORE_FAILED));
    int code = finish(&scene, &settle);
    assert_true(code == -GALLOC_OUTCOME_UNKNOWN || code == -GALLOC_STORE_UNAVAILABLE);
    store_op_free(&claim->op);
    scene_end(&scene);
}

/* Work on 30 rows in rounds, one operation after the other. How many rows were told to have succeeded. */
static int64_t work_built_in(struct scene *scene)
{
    int64_t acked = 0;
    for (int round = 0; round < 6; round++) {
        struct store_claim *claim = make_claim(scene->run, 5, NULL, NULL);
        if (front_do(&scene->front, &claim->op) == 0 && claim->ret_count > 0) {
            struct store_settle *settle = settle_rows(scene, claim);
            assert_int_equal(front_do(&scene->front, &settle->op), 0); /* settles are never given up */
            for (size_t i = 0; i < settle->count; i++)
                acked += settle->items[i].ret_verdict == VERDICT_DONE;
            store_op_free(&settle->op);
        }
        store_op_free(&claim->op);
    }
    return acked;
}

/* The same by an outside worker, who repeats what it told, gives the fifth row of a lease back, and is lost with every other one. */
static int64_t work_outside(struct scene *scene)
{
    int64_t acked = 0;
    for (int round = 0; round < 6; round++) {
        struct store_claim *claim = make_lease(scene->run, 5, "w", round % 2 == 0 ? 60000 : 1, NULL, NULL);
        if (front_do(&scene->front, &claim->op) == 0 && claim->ret_count > 0) {
            struct store_lease_renew *renew = store_op_new(OP_LEASE_RENEW, NULL, NULL);
            renew->lease = claim->ret_lease;
            int renewed = front_do_free(&scene->front, &renew->op);
            assert_true(renewed == 0 || renewed == -GALLOC_LEASE_LOST || renewed == -GALLOC_DISK_FULL || renewed == -GALLOC_STORE_UNAVAILABLE); /* never unknown */
            for (int time = 0; time < 2; time++) {
                size_t count = claim->ret_count < 5 ? claim->ret_count : 4;
                struct store_verdicts *verdicts = make_verdicts(claim, 0, count, OUTCOME_SUCCEEDED, &scene->pool, NULL, NULL);
                assert_int_equal(front_do(&scene->front, &verdicts->op), 0); /* nor are verdicts */
                for (size_t i = 0; i < count; i++) {
                    assert_int_equal(verdicts->items[i].ret_verdict, time == 0 ? VERDICT_OF_SUCCEEDED : VERDICT_OF_DUPLICATE);
                    acked += time == 0;
                }
                store_op_free(&verdicts->op);
            }
            struct store_lease_end *end = store_op_new(OP_LEASE_END, NULL, NULL);
            end->lease = claim->ret_lease;
            int code = front_do_free(&scene->front, &end->op);
            assert_true(code == 0 || code == -GALLOC_LEASE_LOST);
        }
        store_op_free(&claim->op);
        front_do_free(&scene->front, store_op_new(OP_LEASE_EXPIRE, NULL, NULL));
    }
    return acked;
}

/* Every write and sync of a workload fails in its turn, with a full disk and with another error: nothing that was acked is lost, and nothing counts twice. */
static void fail_nth(int64_t (*work)(struct scene *scene), enum fault_call call, const char *suffix, int nth, int error_number, bool *ret_was_hit)
{
    struct scene scene;
    scene_begin(&scene, 30);
    fault_vfs_arm(call, suffix, nth, false, error_number);
    int64_t acked = work(&scene);
    *ret_was_hit = fault_vfs_failures() > 0;
    fault_vfs_clear();
    scene_reopen(&scene);
    assert_int_equal(counts(&scene)[COUNT_STATE + ASSIGNMENT_SUCCEEDED], acked);
    assert_int_equal(counts(&scene)[COUNT_CLASS + OUTCOME_SUCCEEDED], acked);
    if (work == work_built_in)
        assert_int_equal(counts(&scene)[COUNT_CALLS] - counts(&scene)[COUNT_CLASS + OUTCOME_LOST], acked);
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    assert_int_equal(front_do(&scene.front, &doctor->op), 0);
    if (strstr(buf_text(&doctor->ret_report), "\"ok\":true") == NULL)
        fail_msg("call %d nth %d: %s", (int)call, nth, buf_text(&doctor->ret_report));
    store_op_free(&doctor->op);
    scene_end(&scene);
}

static void fail_every_nth(int64_t (*work)(struct scene *scene))
{
    static const int numbers[] = {ENOSPC, ENXIO};
    int hits = 0;
    for (size_t e = 0; e < ARRAY_COUNT(numbers); e++) {
        bool was_hit = true;
        for (int nth = 1; was_hit && nth <= 200; nth += nth < 20 ? 1 : 7) {
            fail_nth(work, FAULT_WRITE, "-wal", nth, numbers[e], &was_hit);
            hits += was_hit;
        }
        was_hit = true;
        for (int nth = 1; was_hit && nth <= 40; nth++) {
            fail_nth(work, FAULT_SYNC, "-wal", nth, numbers[e], &was_hit);
            hits += was_hit;
        }
    }
    assert_true(hits > 40);
}

static void test_fail_every_nth(void **state)
{
    (void)state;
    fail_every_nth(work_built_in);
}

static void test_fail_every_nth_outside(void **state)
{
    (void)state;
    fail_every_nth(work_outside);
}

int main(void)
{
    fault_vfs_register();
    fault_vfs_spare_disk();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_commit),       cmocka_unit_test(test_lanes),        cmocka_unit_test(test_full_queue_and_close),
        cmocka_unit_test(test_commit_fails_once),  cmocka_unit_test(test_disk_full),    cmocka_unit_test(test_medium_fails),
        cmocka_unit_test(test_fails_for_good),     cmocka_unit_test(test_fail_every_nth),
        cmocka_unit_test(test_fail_every_nth_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
