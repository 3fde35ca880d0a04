/* The store's log (WAL) stays bounded whatever its readers do: they step aside between their turns, and one that does not end is ended. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASK_BYTES = 1 << 20, END_BYTES = 2 << 20, ROWS = 500, PART_BYTES = 1 << 20, PARTS = 24 };

/* ---- a read that does not end: count(*) of a reader's connection runs a query without an end, as a plan gone wrong would, while `endless_count` is left ---- */
static atomic_int endless_count;

static void count_step(sqlite3_context *context, int argument_count, sqlite3_value **arguments)
{
    (void)argument_count;
    (void)arguments;
    ++*(int64_t *)sqlite3_aggregate_context(context, sizeof(int64_t));
}

static void count_end(sqlite3_context *context)
{
    const int64_t *count = sqlite3_aggregate_context(context, 0);
    int left = atomic_load(&endless_count);
    int rc = SQLITE_OK;
    if (left > 0) {
        atomic_store(&endless_count, left - 1);
        rc = sqlite3_exec(sqlite3_context_db_handle(context),
                          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK)
        sqlite3_result_error_code(context, rc);
    else
        sqlite3_result_int64(context, count ? *count : 0);
}

static int on_open(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    if (sqlite3_db_readonly(db, "main") != 1)
        return SQLITE_OK;
    return sqlite3_create_function_v2(db, "count", 0, SQLITE_UTF8, NULL, NULL, count_step, count_end, NULL);
}

static int log_setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    rig->wal_warn_bytes = ASK_BYTES;
    rig->wal_bytes = END_BYTES;
    *state = rig;
    return 0;
}

static int log_teardown(void **state)
{
    atomic_store(&endless_count, 0);
    return rig_teardown(state);
}

static int64_t log_bytes(const struct rig *rig)
{
    char name[96];
    struct stat st;
    snprintf(name, sizeof name, "%s-wal", rig->path);
    return stat(name, &st) == 0 ? st.st_size : 0;
}

/* Parts, one commit or more each; the longest that the log has been. */
static int64_t write_parts(struct rig *rig, int64_t run, int64_t first, int count)
{
    int64_t most = 0;
    for (int i = 0; i < count; i++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "P%03lld-", (long long)(first + i));
        rig_import(rig, run, first + i, prefix, ROWS);
        if (log_bytes(rig) > most)
            most = log_bytes(rig);
    }
    return most;
}

static void on_read(struct store_op *op)
{
    op->arg = op; /* it is done */
}

/* Writes on until the operation is done; the longest that the log has been. */
static int64_t write_until(struct rig *rig, int64_t run, int64_t first, const struct store_op *op)
{
    int64_t most = 0, until_ms = clock_mono_ms() + 10000;
    while (op->arg == NULL && clock_mono_ms() < until_ms)
        most = max_i64(most, write_parts(rig, run, first++, 1));
    assert_non_null(op->arg);
    return most;
}

static struct store_read *start_read(struct rig *rig, const char *name)
{
    struct store_read *read = store_op_new(OP_READ, on_read, NULL);
    read->query = QUERY_RUN; /* by a name, which is counted */
    read->key = xstrdup(name);
    read->limit = 1;
    store_submit(rig->store, &read->op);
    return read;
}

/* The writer counts after the readers have left, so the answer may be here first. */
static void expect_reads_ended(struct rig *rig, int64_t count)
{
    struct store_stats stats;
    int64_t until_ms = clock_mono_ms() + 5000;
    store_stats(rig->store, &stats);
    while (stats.reads_ended < count && clock_mono_ms() < until_ms) {
        rig_turn(rig);
        store_stats(rig->store, &stats);
    }
    assert_int_equal(stats.reads_ended, count);
}

/* A page that never ends by itself, again and again. */
static void test_stuck_read_is_ended(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    atomic_store(&endless_count, 1000);
    int64_t run = rig_run(rig, "stuck", 1, -1);
    struct store_read *read = start_read(rig, "stuck");
    assert_true(write_until(rig, run, 1, &read->op) <= END_BYTES + PART_BYTES);
    assert_int_equal(read->op.code, -GALLOC_BUSY);
    assert_non_null(strstr(read->op.error.message, "log"));
    assert_int_equal(read->ret_row_count, 0);
    expect_reads_ended(rig, 3);
    store_op_free(&read->op);
}

/* What was in the way once gets its page all the same. */
static void test_ended_read_begins_anew(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    atomic_store(&endless_count, 1);
    int64_t run = rig_run(rig, "anew", 1, -1);
    struct store_read *read = start_read(rig, "anew");
    assert_true(write_until(rig, run, 1, &read->op) <= END_BYTES + PART_BYTES);
    assert_int_equal(read->op.code, 0);
    assert_int_equal(read->ret_row_count, 1);
    expect_reads_ended(rig, 1);
    store_op_free(&read->op);
}

static void test_stuck_doctor_is_ended(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    atomic_store(&endless_count, 1);
    int64_t run = rig_run(rig, "doctor", 1, -1);
    write_parts(rig, run, 1, 1);
    struct store_doctor *doctor = store_op_new(OP_DOCTOR, on_read, NULL);
    store_submit(rig->store, &doctor->op);
    assert_true(write_until(rig, run, 2, &doctor->op) <= END_BYTES + PART_BYTES);
    assert_int_equal(doctor->op.code, -GALLOC_BUSY);
    assert_int_equal(doctor->ret_report.len, 0);
    store_op_free(&doctor->op);
}

struct chain {
    struct rig *rig;
    int64_t run, pages;
    bool is_over, has_ended;
};

static void on_page(struct store_op *op)
{
    struct chain *chain = op->arg;
    assert_int_equal(op->code, 0);
    chain->pages++;
    store_op_free(op);
    chain->has_ended = chain->is_over;
    if (chain->is_over)
        return;
    struct store_read *read = store_op_new(OP_READ, on_page, chain);
    read->query = QUERY_ASSIGNMENTS;
    read->run = chain->run;
    read->limit = 1000;
    store_submit(chain->rig->store, &read->op);
}

/* Page behind page without an end: no log is so long that anybody has to be ended. */
static void test_pages_step_aside(void **state)
{
    struct rig *rig = *state;
    rig_open(rig);
    int64_t run = rig_run(rig, "pages", 1, -1);
    write_parts(rig, run, 1, 2);
    struct chain chains[4];
    for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
        chains[i] = (struct chain){.rig = rig, .run = run};
        on_page(store_op_new(OP_READ, on_page, &chains[i]));
    }
    assert_true(write_parts(rig, run, 3, PARTS) <= END_BYTES + PART_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
        chains[i].is_over = true;
        while (!chains[i].has_ended)
            rig_turn(rig);
        assert_true(chains[i].pages > 2);
    }
    expect_reads_ended(rig, 0);
}

/* Another program that reads cannot be ended; the store goes on and tells how long its log is. */
static void test_foreign_reader_stops_nobody(void **state)
{
    struct rig *rig = *state;
    sqlite3 *db = NULL;
    rig_open(rig);
    int64_t run = rig_run(rig, "foreign", 1, -1);
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM run", NULL, NULL, NULL), SQLITE_OK);
    write_parts(rig, run, 1, PARTS);
    assert_true(log_bytes(rig) > END_BYTES);
    sqlite3_close(db);
    struct store_stats stats;
    int64_t until_ms = clock_mono_ms() + 10000, part = PARTS;
    do { /* the file is given back by and by, and the figure follows */
        write_parts(rig, run, ++part, 1);
        store_stats(rig->store, &stats);
    } while ((log_bytes(rig) > END_BYTES || stats.wal_bytes > END_BYTES) && clock_mono_ms() < until_ms);
    assert_true(log_bytes(rig) <= END_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stuck_read_is_ended, log_setup, log_teardown),
        cmocka_unit_test_setup_teardown(test_ended_read_begins_anew, log_setup, log_teardown),
        cmocka_unit_test_setup_teardown(test_stuck_doctor_is_ended, log_setup, log_teardown),
        cmocka_unit_test_setup_teardown(test_pages_step_aside, log_setup, log_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_reader_stops_nobody, log_setup, log_teardown),
    };
    sqlite3_auto_extension((void (*)(void))on_open);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
