/* See store_purge_bed.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/store_purge_bed.h"

/* ---- the operations ---- */
struct store_purge *bed_purge_op(int64_t run, bool is_release)
{
    struct store_purge *purge = store_op_new(OP_PURGE, NULL, NULL);
    purge->peer = (struct store_peer){1000, 42};
    purge->run = run;
    purge->is_release = is_release;
    return purge;
}

int bed_purge(struct bed *bed, int64_t run, bool is_release)
{
    return bed_do_free(bed, &bed_purge_op(run, is_release)->op);
}

struct store_upkeep *bed_upkeep_op(void)
{
    struct store_upkeep *upkeep = store_op_new(OP_UPKEEP, NULL, NULL);
    upkeep->is_alone = true;
    return upkeep;
}

/* One step; true: there is more to do. */
bool bed_upkeep_once(struct bed *bed, struct store_upkeep *upkeep, int64_t step_us)
{
    int steps;
    if (bed_steps(bed, &upkeep->op, step_us, &steps) < 0)
        fail_msg("upkeep: %s", upkeep->op.error.message);
    return upkeep->ret_has_more;
}

/* Until nothing is left to be done; the assignments that went. */
int64_t bed_upkeep_all(struct bed *bed)
{
    struct store_upkeep *upkeep = bed_upkeep_op();
    int64_t rows = 0;
    bool has_more = true;
    for (int steps = 0; has_more; steps++) {
        assert_true(steps < 10000);
        has_more = bed_upkeep_once(bed, upkeep, INT64_MAX);
        rows += upkeep->ret_row_count;
    }
    store_op_free(&upkeep->op);
    return rows;
}

/* ---- runs ---- */
/* All rows of a run that waits are decided; it is done. */
static void finish(struct bed *bed, int64_t run, int64_t rows, const struct store_pool *pool)
{
    for (int64_t done = 0; done < rows; done += 100) {
        struct store_claim *claim = bed_claim(bed, run, 100);
        size_t half = claim->ret_count / 2;
        assert_true(claim->ret_count > 0);
        assert_int_equal(bed_do_free(bed, &make_settle(claim, 0, half, MOVE_SUCCEED, OUTCOME_SUCCEEDED, pool, NULL, NULL)->op), 0);
        assert_int_equal(bed_do_free(bed, &make_settle(claim, half, claim->ret_count - half, MOVE_FAIL, OUTCOME_REJECTED, pool, NULL, NULL)->op), 0);
        store_op_free(&claim->op);
    }
    assert_int_equal(bed->run.state, RUN_DONE);
}

int64_t bed_done_run(struct bed *bed, int64_t rows, struct store_pool *ret_pool)
{
    struct store_pool pool = {0};
    int64_t run = bed_run(bed, rows, 3, -1, &pool);
    finish(bed, run, rows, &pool);
    if (ret_pool != NULL)
        *ret_pool = pool;
    else
        store_pool_clear(&pool);
    return run;
}

/* A standing pool of two agents, and a run on it that is done. */
void bed_pool(struct bed *bed, struct store_pool *ret_pool)
{
    struct store_pool_put *put = store_op_new(OP_POOL_PUT, NULL, NULL);
    struct store_run_create *like = make_run(2, 1000, NULL, NULL);
    put->name = xstrdup("north");
    put->agents = like->agents;
    like->agents = (struct store_agents){NULL, 0};
    assert_int_equal(bed_do(bed, &put->op), 0);
    *ret_pool = put->ret_pool;
    put->ret_pool = (struct store_pool){0};
    store_op_free(&like->op);
    store_op_free(&put->op);
}

int64_t bed_pool_run(struct bed *bed, int64_t rows, const struct store_pool *pool)
{
    struct store_run_create *create = make_run(0, -1, NULL, NULL);
    create->pool = xstrdup(pool->name);
    assert_int_equal(bed_do(bed, &create->op), 0);
    int64_t run = create->ret_run.id;
    store_op_free(&create->op);
    assert_int_equal(bed_do_free(bed, &make_part(run, 1, 1, rows, 100, 0, NULL, NULL)->op), 0);
    assert_int_equal(bed_do_free(bed, &make_commit(run, 1, NULL, NULL)->op), 0);
    finish(bed, run, rows, pool);
    return run;
}

/* ---- reading ---- */
struct store_read *bed_read(struct bed *bed, enum store_query query, int64_t run, int64_t pool, const char *key)
{
    atomic_bool ends_reads = false;
    struct store_reader *reader = NULL;
    struct store_read *read = store_op_new(OP_READ, NULL, NULL);
    read->query = query;
    read->run = run;
    read->pool = pool;
    read->key = xstrdup(key);
    read->limit = 1000;
    assert_int_equal(bed->ops->reader_open(bed->path, &ends_reads, &reader, NULL), 0);
    while (bed->ops->read(reader, read))
        continue;
    bed->ops->reader_close(reader);
    return read;
}

int bed_read_code(struct bed *bed, enum store_query query, int64_t run, const char *key)
{
    struct store_read *read = bed_read(bed, query, run, 0, key);
    int code = read->op.code;
    store_op_free(&read->op);
    return code;
}

/* Places taken in a standing pool, and what of them no row holds. */
int64_t bed_places(struct bed *bed, int64_t pool, int64_t *ret_base)
{
    struct store_read *read = bed_read(bed, QUERY_LOAD, 0, pool, NULL);
    int64_t held = 0;
    assert_int_equal(read->op.code, 0);
    *ret_base = 0;
    for (size_t i = 0; i < read->ret_row_count; i++) {
        held += read_int(read, i, LOAD_HELD, 0);
        *ret_base += read_int(read, i, LOAD_BASE, 0);
    }
    store_op_free(&read->op);
    return held;
}
