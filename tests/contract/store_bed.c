/* See store_bed.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/store_bed.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bed_begin(struct bed *bed, const struct store_ops *ops)
{
    *bed = (struct bed){.ops = ops};
    temp_dir_make(&bed->dir);
    snprintf(bed->path, sizeof bed->path, "%s/galloc.db", bed->dir.path);
    bed_open(bed);
}

void bed_open(struct bed *bed)
{
    struct galloc_error error = {0};
    store_image_clear(&bed->image);
    int rc = bed->ops->open(bed->path, &bed->engine, &bed->image, &error);
    if (rc != 0)
        fail_msg("open: %s", error.message);
}

void bed_close(struct bed *bed)
{
    if (bed->engine != NULL)
        bed->ops->close(bed->engine);
    bed->engine = NULL;
}

void bed_end(struct bed *bed)
{
    bed_close(bed);
    store_image_clear(&bed->image);
    temp_dir_remove(&bed->dir);
}

int bed_steps(struct bed *bed, struct store_op *op, int64_t step_us, int *ret_steps)
{
    struct galloc_error error = {0};
    bool has_more = true;
    for (*ret_steps = 0; has_more; ++*ret_steps) {
        struct store_commit commit;
        assert_true(*ret_steps < 100000);
        if (bed->ops->begin(bed->engine, step_us == INT64_MAX ? step_us : clock_mono_us() + step_us, &error) < 0 ||
            bed->ops->apply(bed->engine, op, &has_more, &error) < 0 || bed->ops->commit(bed->engine, &commit, &error) < 0)
            fail_msg("a fault of the store: %s", error.message);
        if (commit.run_count > 0)
            bed->run = commit.runs[0];
    }
    return op->code;
}

int bed_do(struct bed *bed, struct store_op *op)
{
    int steps;
    return bed_steps(bed, op, INT64_MAX, &steps);
}

int bed_do_free(struct bed *bed, struct store_op *op)
{
    int code = bed_do(bed, op);
    store_op_free(op);
    return code;
}

int64_t bed_run(struct bed *bed, int64_t rows, int agents, int64_t capacity, struct store_pool *ret_pool)
{
    struct store_run_create *create = make_run(agents, capacity, NULL, NULL);
    assert_int_equal(bed_do(bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    if (ret_pool != NULL) {
        *ret_pool = create->ret_pool;
        create->ret_pool = (struct store_pool){0};
    }
    store_op_free(&create->op);
    assert_int_equal(bed_do_free(bed, &make_part(run, 1, 1, rows, 100, 0, NULL, NULL)->op), 0);
    assert_int_equal(bed_do_free(bed, &make_commit(run, 1, NULL, NULL)->op), 0);
    return run;
}

void bed_check(struct bed *bed)
{
    atomic_bool ends_reads = false;
    struct store_reader *reader = NULL;
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, NULL, NULL);
    doctor->is_full = true;
    assert_int_equal(bed->ops->reader_open(bed->path, &ends_reads, &reader, NULL), 0);
    bed->ops->check(reader, doctor);
    bed->ops->reader_close(reader);
    if (doctor->op.code != 0 || strstr(buf_text(&doctor->ret_report), "\"ok\":false") != NULL)
        fail_msg("the doctor: %s", buf_text(&doctor->ret_report));
    store_op_free(&doctor->op);
}

int64_t bed_state_count(const struct bed *bed, enum assignment_state state)
{
    return bed->run.counts[COUNT_STATE + state];
}

void bed_check_states(const struct bed *bed, int64_t pending, int64_t leased, int64_t succeeded, int64_t failed)
{
    assert_int_equal(bed_state_count(bed, ASSIGNMENT_PENDING), pending);
    assert_int_equal(bed_state_count(bed, ASSIGNMENT_LEASED), leased);
    assert_int_equal(bed_state_count(bed, ASSIGNMENT_SUCCEEDED), succeeded);
    assert_int_equal(bed_state_count(bed, ASSIGNMENT_FAILED), failed);
}

struct store_claim *bed_claim(struct bed *bed, int64_t run, int max)
{
    struct store_claim *claim = make_claim(run, max, NULL, NULL);
    assert_int_equal(bed_do(bed, &claim->op), 0);
    return claim;
}

/* ---- engines ---- */

const struct store_ops *bed_engine;

int bed_run_suite(const struct CMUnitTest *tests, size_t count)
{
    static const struct store_ops *const engines[] = {&sqlite_ops};
    int failed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        bed_engine = engines[i];
        failed += _cmocka_run_group_tests(bed_engine->name, tests, count, NULL, NULL);
    }
    return failed;
}
