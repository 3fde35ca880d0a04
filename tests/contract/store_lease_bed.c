/* See store_lease_bed.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/store_lease_bed.h"

#include "base/clock.h"

#include <string.h>

#define WALL_MS INT64_C(1795448640000)

void scene_begin(struct scene *scene, const struct store_ops *engine, int64_t rows, int agents, int64_t capacity)
{
    clock_fake(5000000000, WALL_MS);
    *scene = (struct scene){.run = 0};
    bed_begin(&scene->bed, engine);
    scene->run = bed_run(&scene->bed, rows, agents, capacity, &scene->pool);
}

void scene_end(struct scene *scene)
{
    bed_check(&scene->bed);
    store_pool_clear(&scene->pool);
    bed_end(&scene->bed);
    clock_real();
}

void scene_reopen(struct scene *scene)
{
    bed_close(&scene->bed);
    bed_open(&scene->bed);
    scene->bed.run = scene->bed.image.runs[0];
    bed_check(&scene->bed);
}

void scene_check_states(const struct scene *scene, int64_t pending, int64_t leased, int64_t succeeded, int64_t failed)
{
    const int64_t *counts = scene->bed.run.counts;
    assert_int_equal(counts[COUNT_STATE + ASSIGNMENT_PENDING], pending);
    assert_int_equal(counts[COUNT_STATE + ASSIGNMENT_LEASED], leased);
    assert_int_equal(counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], succeeded);
    assert_int_equal(counts[COUNT_STATE + ASSIGNMENT_FAILED], failed);
    assert_int_equal(counts[COUNT_OUTSIDE], leased);
}

struct store_claim *scene_lease(struct scene *scene, int max, const char *worker, size_t count)
{
    struct store_claim *claim = make_lease(scene->run, max, worker, TTL_MS, NULL, NULL);
    assert_int_equal(bed_do(&scene->bed, &claim->op), 0);
    assert_int_equal(claim->ret_count, count);
    return claim;
}

struct store_verdicts *scene_judge(struct scene *scene, const struct store_claim *claim, size_t from, size_t count, enum outcome_class class)
{
    struct store_verdicts *verdicts = make_verdicts(claim, from, count, class, &scene->pool, NULL, NULL);
    assert_int_equal(bed_do(&scene->bed, &verdicts->op), 0);
    return verdicts;
}

/* One row's verdict, and nothing else of it. */
enum verdict scene_verdict(struct scene *scene, const struct store_claim *claim, size_t at, enum outcome_class class)
{
    struct store_verdicts *verdicts = scene_judge(scene, claim, at, 1, class);
    enum verdict verdict = verdicts->items[0].ret_verdict;
    store_op_free(&verdicts->op);
    return verdict;
}

int scene_renew(struct scene *scene, int64_t lease, int64_t ttl_ms, int64_t *ret_ttl_ms)
{
    struct store_lease_renew *op = store_op_new(OP_LEASE_RENEW, NULL, NULL);
    op->lease = lease;
    op->ttl_ms = ttl_ms;
    int code = bed_do(&scene->bed, &op->op);
    if (ret_ttl_ms != NULL)
        *ret_ttl_ms = op->ret_ttl_ms;
    store_op_free(&op->op);
    return code;
}

int scene_give_back(struct scene *scene, int64_t lease, int64_t *ret_count)
{
    struct store_lease_end *end = store_op_new(OP_LEASE_END, NULL, NULL);
    end->lease = lease;
    int code = bed_do(&scene->bed, &end->op);
    if (ret_count != NULL)
        *ret_count = end->ret_released_count;
    store_op_free(&end->op);
    return code;
}

struct store_lease_expire *scene_expire(struct scene *scene, size_t count)
{
    struct store_lease_expire *op = store_op_new(OP_LEASE_EXPIRE, NULL, NULL);
    assert_int_equal(bed_do(&scene->bed, &op->op), 0);
    assert_int_equal(op->ret_count, count);
    return op;
}

void scene_let_run_out(struct scene *scene, struct store_claim *claim)
{
    clock_fake_advance_ms(TTL_MS);
    store_op_free(&scene_expire(scene, 1)->op);
    store_op_free(&claim->op);
}

struct store_read *scene_read_key(struct scene *scene, enum store_query query, const char *key)
{
    atomic_bool ends_reads = false;
    struct store_reader *reader = NULL;
    struct store_read *read = store_op_new(OP_READ, NULL, NULL);
    read->query = query;
    read->run = scene->run;
    read->key = xstrdup(key);
    read->limit = 100;
    assert_int_equal(scene->bed.ops->reader_open(scene->bed.path, &ends_reads, &reader, NULL), 0);
    while (scene->bed.ops->read(reader, read))
        continue;
    assert_int_equal(read->op.code, 0);
    scene->bed.ops->reader_close(reader);
    return read;
}

void scene_check_attempt(struct scene *scene, const char *key, size_t at, const char *class, const char *worker, const char *words)
{
    struct store_read *read = scene_read_key(scene, QUERY_ATTEMPTS, key);
    assert_true(at < read->ret_row_count);
    assert_string_equal(read_text(read, at, ATTEMPT_CLASS), class);
    assert_string_equal(read_text(read, at, ATTEMPT_WORKER), worker);
    assert_null(read_text(read, at, ATTEMPT_ENDPOINT)); /* no call was made */
    const char *message = read_text(read, at, ATTEMPT_MESSAGE);
    if (words == NULL ? message != NULL : message == NULL || strstr(message, words) == NULL)
        fail_msg("attempt %zu of %s says \"%s\"", at + 1, key, message ? message : "nothing");
    store_op_free(&read->op);
}

void scene_sweep(struct scene *scene, enum store_sweep_verb verb)
{
    struct store_sweep *op = store_op_new(OP_SWEEP, NULL, NULL);
    op->run = scene->run;
    op->verb = verb;
    op->selector.is_all = op->is_by_person = true;
    assert_int_equal(bed_do_free(&scene->bed, &op->op), 0);
}
