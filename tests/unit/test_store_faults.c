/* Commands on a disk that fails: every write and sync of the log fails in its turn, with a full disk and with another error, while a run is made, imported, committed,
 * cancelled, purged and deleted. Whoever is told that it failed, or that nobody knows, sends the same again; in the end each has happened once, and the doctor finds
 * nothing. See test_store_writer.c for claims, results and leases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/store_front.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <string.h>

#define ROWS 300
#define TRIES_MAX 30

struct scene {
    struct temp_dir dir;
    char *path;
    struct front front;
    int told_failed, told_unknown; /* how often */
};

static void scene_begin(struct scene *scene)
{
    struct galloc_error error;
    *scene = (struct scene){.path = NULL};
    temp_dir_make(&scene->dir);
    scene->path = xasprintf("%s/galloc.db", scene->dir.path);
    if (front_open(&scene->front, scene->path, &error) < 0)
        fail_msg("%s", error.message);
}

static void scene_end(struct scene *scene)
{
    fault_vfs_clear();
    front_close(&scene->front);
    temp_dir_remove(&scene->dir);
    free(scene->path);
}

/* Is it over, or to be sent again? Fails the test at what no failing disk may answer. */
static bool is_over(struct scene *scene, const struct store_op *op, int also)
{
    if (op->code == 0 || op->code == also)
        return true;
    scene->told_unknown += op->code == -GALLOC_OUTCOME_UNKNOWN;
    scene->told_failed += op->code != -GALLOC_OUTCOME_UNKNOWN;
    if (op->code != -GALLOC_OUTCOME_UNKNOWN && op->code != -GALLOC_DISK_FULL && op->code != -GALLOC_STORE_UNAVAILABLE)
        fail_msg("%s: %s", store_op_name(op->kind), op->error.message);
    return false;
}

/* ---- the commands, each until it stands ---- */
static int64_t create(struct scene *scene)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct store_run_create *op = make_run(2, -1, NULL, NULL);
        op->idempotency_key = xstrdup("key");
        op->request_sha256 = xstrdup("request");
        front_do(&scene->front, &op->op);
        int64_t run = op->ret_run.id;
        bool done = is_over(scene, &op->op, 0);
        store_op_free(&op->op);
        if (done)
            return run;
    }
    fail_msg("no run was made");
    return 0;
}

static void import(struct scene *scene, int64_t run, int64_t part)
{
    bool done = false;
    for (int tries = 0; !done && tries < TRIES_MAX; tries++) {
        struct store_import *op = make_part(run, part, 1 + (part - 1) * ROWS, ROWS, 200, 0, NULL, NULL);
        front_do(&scene->front, &op->op);
        done = is_over(scene, &op->op, 0);
        if (done)
            assert_non_null(strstr(buf_text(&op->ret_answer), "\"accepted\":300"));
        store_op_free(&op->op);
    }
    assert_true(done);
}

static void commit(struct scene *scene, int64_t run, int64_t parts)
{
    bool done = false;
    for (int tries = 0; !done && tries < TRIES_MAX; tries++) {
        struct store_run_commit *op = make_commit(run, parts, NULL, NULL);
        front_do(&scene->front, &op->op);
        done = is_over(scene, &op->op, 0);
        store_op_free(&op->op);
    }
    assert_true(done);
}

static void cancel(struct scene *scene, int64_t run)
{
    bool done = false;
    for (int tries = 0; !done && tries < TRIES_MAX; tries++) {
        struct store_sweep *op = store_op_new(OP_SWEEP, NULL, NULL);
        *op = (struct store_sweep){.op = op->op, .run = run, .verb = SWEEP_CANCEL, .selector.is_all = true, .is_by_person = true};
        front_do(&scene->front, &op->op);
        done = is_over(scene, &op->op, 0);
        store_op_free(&op->op);
    }
    assert_true(done);
}

static void purge(struct scene *scene, int64_t run)
{
    bool done = false;
    for (int tries = 0; !done && tries < TRIES_MAX; tries++) {
        struct store_purge *op = store_op_new(OP_PURGE, NULL, NULL);
        op->run = run;
        front_do(&scene->front, &op->op);
        done = is_over(scene, &op->op, -GALLOC_NOT_FOUND); /* the first time stood */
        store_op_free(&op->op);
    }
    assert_true(done);
}

/* The assignments that went, as told: a step whose outcome is unknown is found out, not told as failed when it stands. */
static int64_t upkeep(struct scene *scene)
{
    int64_t rows = 0;
    bool has_more = true;
    for (int tries = 0; has_more; tries++) {
        assert_true(tries < 1000);
        struct store_upkeep *op = store_op_new(OP_UPKEEP, NULL, NULL);
        front_do(&scene->front, &op->op);
        if (is_over(scene, &op->op, 0)) {
            rows += op->ret_row_count;
            has_more = op->ret_has_more;
        }
        assert_int_not_equal(op->op.code, -GALLOC_OUTCOME_UNKNOWN);
        store_op_free(&op->op);
    }
    return rows;
}

static void check(struct scene *scene, const char *what, int nth)
{
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    assert_int_equal(front_do(&scene->front, &doctor->op), 0);
    if (strstr(buf_text(&doctor->ret_report), "\"ok\":false") != NULL)
        fail_msg("%s %d: %s", what, nth, buf_text(&doctor->ret_report));
    store_op_free(&doctor->op);
}

static void reopen(struct scene *scene)
{
    struct galloc_error error;
    fault_vfs_clear();
    front_close(&scene->front);
    if (front_open(&scene->front, scene->path, &error) < 0)
        fail_msg("%s", error.message);
}

/* ---- every fault in its turn ---- */
static bool making_fails(struct scene *scene, enum fault_call call, int nth, int error_number)
{
    fault_vfs_arm(call, "-wal", nth, false, error_number);
    int64_t run = create(scene);
    import(scene, run, 1);
    import(scene, run, 2);
    commit(scene, run, 2);
    cancel(scene, run);
    bool was_hit = fault_vfs_failures() > 0;
    reopen(scene);
    assert_int_equal(scene->front.image.run_count, 1);
    assert_int_equal(front_summary(&scene->front, run)->counts[COUNT_STATE + ASSIGNMENT_CANCELLED], 2 * ROWS);
    check(scene, "making", nth);
    return was_hit;
}

static bool purging_fails(struct scene *scene, enum fault_call call, int nth, int error_number)
{
    int64_t run = create(scene);
    import(scene, run, 1);
    commit(scene, run, 1);
    cancel(scene, run);
    fault_vfs_arm(call, "-wal", nth, false, error_number);
    purge(scene, run);
    assert_int_equal(upkeep(scene), ROWS);
    bool was_hit = fault_vfs_failures() > 0;
    reopen(scene);
    assert_int_equal(scene->front.image.run_count, 0);
    assert_int_equal(scene->front.image.pool_count, 0);
    check(scene, "purging", nth);
    return was_hit;
}

static void fail_every(bool (*work)(struct scene *scene, enum fault_call call, int nth, int error_number))
{
    static const int numbers[] = {ENOSPC, ENXIO};
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_SYNC};
    int hits = 0, told = 0;
    for (size_t e = 0; e < ARRAY_COUNT(numbers); e++) {
        for (size_t c = 0; c < ARRAY_COUNT(calls); c++) {
            bool was_hit = true;
            for (int nth = 1; was_hit && nth <= 300; nth += nth < 20 ? 1 : 13) {
                struct scene scene;
                scene_begin(&scene);
                was_hit = work(&scene, calls[c], nth, numbers[e]);
                hits += was_hit;
                told += scene.told_failed + scene.told_unknown;
                scene_end(&scene);
            }
        }
    }
    assert_true(hits > 20);
    assert_true(told > 10);
}

static void test_making_a_run(void **state)
{
    (void)state;
    fail_every(making_fails);
}

static void test_purging_a_run(void **state)
{
    (void)state;
    fail_every(purging_fails);
}

/* ---- a commit of which nobody can say for long whether it stands ---- */
static void *verdicts_of(const struct store_claim *claim)
{
    return make_verdicts(claim, 0, 1, OUTCOME_TRANSIENT, NULL, NULL, NULL);
}

static void *renewal_of(const struct store_claim *claim)
{
    struct store_lease_renew *renew = store_op_new(OP_LEASE_RENEW, NULL, NULL);
    renew->lease = claim->ret_lease;
    return renew;
}

static void *end_of(const struct store_claim *claim)
{
    struct store_lease_end *end = store_op_new(OP_LEASE_END, NULL, NULL);
    end->lease = claim->ret_lease;
    return end;
}

static void *another_lease(const struct store_claim *claim)
{
    return make_lease(claim->run, 1, "w", 60000, NULL, NULL);
}

static void *upkeep_step(const struct store_claim *claim)
{
    (void)claim;
    return store_op_new(OP_UPKEEP, NULL, NULL);
}

static void *command(const struct store_claim *claim)
{
    struct store_audit *audit = store_op_new(OP_AUDIT, NULL, NULL);
    (void)claim;
    audit->verb = xstrdup("test");
    audit->target = xstrdup("test");
    return audit;
}

/* Every sync fails until the test lets them: who has to know waits for it, who can ask again is told at once that nobody knows. */
static void test_unknown_for_long(void **state)
{
    (void)state;
    static const struct {
        void *(*op)(const struct store_claim *claim);
        bool is_told_at_once;
        bool is_kept; /* and done in the end, whatever became of the first time */
    } rows[] = {
        {verdicts_of, false, true}, {end_of, false, true}, {renewal_of, false, false}, {another_lease, false, false}, {upkeep_step, false, false}, {command, true, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene scene;
        bool never = false;
        scene_begin(&scene);
        int64_t run = front_run(&scene.front, 10, 2, NULL);
        struct store_claim *claim = make_lease(run, 5, "w", 60000, NULL, NULL);
        assert_int_equal(front_do(&scene.front, &claim->op), 0);
        fault_vfs_arm(FAULT_SYNC, "-wal", 1, true, ENOSPC);
        struct front_mark mark = {.front = &scene.front};
        struct store_op *op = rows[i].op(claim);
        op->done = front_done;
        op->arg = &mark;
        store_submit(scene.front.store, op);
        if (rows[i].is_told_at_once) {
            assert_true(front_wait(&scene.front, &mark.is_done, 10000));
            assert_int_equal(op->code, -GALLOC_OUTCOME_UNKNOWN);
        } else {
            for (int waits = 0; fault_vfs_failures() < 4 && waits < 500; waits++)
                front_wait(&scene.front, &never, 20);
            assert_true(fault_vfs_failures() >= 4); /* it was opened anew in vain, and is tried again */
            assert_false(mark.is_done);
        }
        fault_vfs_clear();
        assert_true(front_wait(&scene.front, &mark.is_done, 10000));
        if (!rows[i].is_told_at_once && op->code != 0 && (rows[i].is_kept || op->code != -GALLOC_DISK_FULL))
            fail_msg("%s: %s", store_op_name(op->kind), op->error.message);
        store_op_free(op);
        reopen(&scene);
        check(&scene, "unknown", (int)i);
        store_op_free(&claim->op);
        scene_end(&scene);
    }
}

int main(void)
{
    fault_vfs_register();
    fault_vfs_spare_disk();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_making_a_run),
        cmocka_unit_test(test_purging_a_run),
        cmocka_unit_test(test_unknown_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
