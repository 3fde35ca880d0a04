/* Copies of the store while it works: of one instant, one at a time, cut when nobody wants them or room gets short, and nothing left of them. */
#include "tests/contract/store_make.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/store_rig.h"

#include "base/clock.h"
#include "core/limits.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 500, FIELD_BYTES = 4000, END_BYTES = 4 << 20, DEADLINE_MS = 20000 };

/* ---- a hold: the first question of a connection that can only read, count(*) FROM meta, waits with its snapshot open ---- */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_closed, is_somebody_there;
} hold = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void hold_set(bool is_closed)
{
    pthread_mutex_lock(&hold.lock);
    hold.is_closed = is_closed;
    if (is_closed)
        hold.is_somebody_there = false;
    pthread_cond_broadcast(&hold.changed);
    pthread_mutex_unlock(&hold.lock);
}

static void hold_wait_for_somebody(void)
{
    pthread_mutex_lock(&hold.lock);
    while (!hold.is_somebody_there)
        pthread_cond_wait(&hold.changed, &hold.lock);
    pthread_mutex_unlock(&hold.lock);
}

static void count_step(sqlite3_context *context, int argument_count, sqlite3_value **arguments)
{
    (void)argument_count;
    (void)arguments;
    ++*(int64_t *)sqlite3_aggregate_context(context, sizeof(int64_t));
}

static void count_end(sqlite3_context *context)
{
    const int64_t *count = sqlite3_aggregate_context(context, 0);
    pthread_mutex_lock(&hold.lock);
    hold.is_somebody_there = true;
    pthread_cond_broadcast(&hold.changed);
    while (hold.is_closed)
        pthread_cond_wait(&hold.changed, &hold.lock);
    pthread_mutex_unlock(&hold.lock);
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

static int backup_setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof *rig);
    rig->wal_warn_bytes = END_BYTES / 2;
    rig->wal_bytes = END_BYTES;
    rig_open(rig);
    *state = rig;
    return 0;
}

static int backup_teardown(void **state)
{
    hold_set(false);
    fault_vfs_clear();
    return rig_teardown(state);
}

/* ---- operations ---- */
static void on_done(struct store_op *op)
{
    op->arg = op;
}

static struct store_backup *start(struct rig *rig, bool is_full)
{
    struct store_backup *backup = store_op_new(OP_BACKUP, on_done, NULL);
    backup->is_full = is_full;
    store_submit(rig->store, &backup->op);
    return backup;
}

static int wait_for(struct rig *rig, const struct store_op *op)
{
    int64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    while (op->arg == NULL && clock_mono_ms() < until_ms)
        rig_turn(rig);
    if (op->arg == NULL)
        fail_msg("the backup is not done within %d ms", DEADLINE_MS);
    return op->code;
}

static int end(struct rig *rig, int code, const char *words)
{
    struct store_backup *backup = start(rig, false);
    int rc = wait_for(rig, &backup->op);
    if (rc != code || (words != NULL && strstr(backup->op.error.message, words) == NULL))
        fail_msg("%d expected, got %d: %s", code, rc, backup->op.error.message);
    store_op_free(&backup->op);
    return rc;
}

static void give_back(struct rig *rig)
{
    struct store_op *op = rig_op(OP_BACKUP_END);
    assert_int_equal(rig_do(rig, op), 0);
    store_op_free(op);
}

static int64_t import(struct rig *rig, int64_t run, int64_t part)
{
    struct store_import *import = make_part(run, part, part * ROWS, ROWS, FIELD_BYTES, 0, NULL, NULL);
    struct store_import *mine = rig_op(OP_IMPORT);
    import->op.done = mine->op.done;
    store_op_free(&mine->op);
    assert_int_equal(rig_do(rig, &import->op), 0);
    store_op_free(&import->op);
    return ROWS;
}

static int64_t filled_run(struct rig *rig, int parts)
{
    int64_t run = rig_run(rig, "filled", 2, -1);
    for (int part = 1; part <= parts; part++)
        import(rig, run, part);
    return run;
}

static bool is_there(const struct rig *rig, const char *suffix)
{
    char *name = xasprintf("%s%s", rig->path, suffix);
    bool is = access(name, F_OK) == 0;
    free(name);
    return is;
}

static void expect_nothing_left(const struct rig *rig)
{
    static const char *const suffixes[] = {".backup", ".backup-wal", ".backup-shm", ".backup-journal"};
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++)
        if (is_there(rig, suffixes[i]))
            fail_msg("%s is left", suffixes[i]);
}

/* Reads the copy as a client does, into a file of its own; its digest has to be the one that was told. */
static char *fetch(struct rig *rig, const struct store_backup *backup)
{
    char *path = xasprintf("%s/fetched", rig->dir.path);
    FILE *file = fopen(path, "wb");
    struct digest *digest = digest_new();
    unsigned char bytes[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    int64_t at = 0;
    assert_non_null(file);
    for (size_t len = 1; len > 0; at += (int64_t)len) {
        struct store_backup_read *read = rig_op(OP_BACKUP_READ);
        read->at = at;
        read->max_bytes = 300001;
        assert_int_equal(rig_do(rig, &read->op), 0);
        len = read->ret_bytes.len;
        digest_add(digest, read->ret_bytes.data, len);
        assert_int_equal(fwrite(buf_text(&read->ret_bytes), 1, len, file), len);
        store_op_free(&read->op);
    }
    fclose(file);
    digest_end(digest, bytes);
    digest_hex(bytes, hex);
    assert_int_equal(at, backup->ret_bytes);
    assert_string_equal(hex, backup->ret_sha256);
    return path;
}

static int64_t number_in(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

/* ---- what a copy holds ---- */
/* Pages of a list, one behind the other, so that somebody always reads. */
struct chain {
    struct rig *rig;
    int64_t run;
    bool is_over, has_ended;
};

static void on_page(struct store_op *op)
{
    struct chain *chain = op->arg;
    store_op_free(op);
    chain->has_ended = chain->is_over;
    if (chain->is_over)
        return;
    struct store_read *read = store_op_new(OP_READ, on_page, chain);
    read->query = QUERY_ASSIGNMENTS;
    read->run = chain->run;
    read->limit = 1000;
    read->with_fields = true;
    store_submit(chain->rig->store, &read->op);
}

/* All that stood when it began and nothing of what came later, though every step of it is followed by commits; the writer's log may grow meanwhile, and nobody
 * who reads is ended for it. */
static void test_of_one_instant_under_load(void **state)
{
    struct rig *rig = *state;
    enum { PARTS = 20 };
    int64_t run = filled_run(rig, PARTS), part = PARTS, began_ms = clock_wall_ms(), most = clock_mono_ms() + DEADLINE_MS;
    hold_set(true);
    struct store_backup *backup = start(rig, true);
    hold_wait_for_somebody();
    struct stat st = {.st_mode = 0};
    char *log = xasprintf("%s-wal", rig->path);
    struct chain chains[4];
    for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
        chains[i] = (struct chain){.rig = rig, .run = run};
        on_page(store_op_new(OP_READ, on_page, &chains[i]));
    }
    while (st.st_size < 6 * END_BYTES && clock_mono_ms() < most) {
        import(rig, run, ++part);
        assert_int_equal(stat(log, &st), 0);
    }
    free(log);
    for (size_t i = 0; i < ARRAY_COUNT(chains); i++)
        for (chains[i].is_over = true; !chains[i].has_ended;)
            rig_turn(rig);
    struct store_stats stats;
    store_stats(rig->store, &stats);
    assert_int_equal(stats.reads_ended, 0);
    hold_set(false);
    while (backup->op.arg == NULL && clock_mono_ms() < most)
        import(rig, run, ++part);
    assert_non_null(backup->op.arg);
    assert_int_equal(backup->op.code, 0);
    assert_true(backup->ret_at_ms >= began_ms && backup->ret_at_ms <= clock_wall_ms());
    expect_nothing_left(rig);
    char *fetched = fetch(rig, backup);
    assert_int_equal(number_in(fetched, "SELECT count(*) FROM payload"), PARTS * ROWS);
    assert_int_equal(number_in(fetched, "SELECT value FROM meta WHERE name = 'backup_at_ms'"), backup->ret_at_ms);
    assert_int_equal(number_in(fetched, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'delete'"), 1);
    give_back(rig);
    free(fetched);
    store_op_free(&backup->op);
}

/* The log is emptied again as soon as the copy is made. */
static void test_log_is_given_back(void **state)
{
    struct rig *rig = *state;
    int64_t run = filled_run(rig, 2), part = 2, most = clock_mono_ms() + DEADLINE_MS;
    struct store_stats stats = {0};
    hold_set(true);
    struct store_backup *backup = start(rig, false);
    hold_wait_for_somebody();
    for (int i = 0; i < 6; i++)
        import(rig, run, ++part);
    hold_set(false);
    assert_int_equal(wait_for(rig, &backup->op), 0);
    do {
        import(rig, run, ++part);
        store_stats(rig->store, &stats);
    } while (stats.wal_bytes > END_BYTES && clock_mono_ms() < most);
    assert_true(stats.wal_bytes <= END_BYTES);
    give_back(rig);
    store_op_free(&backup->op);
}

static void test_one_at_a_time(void **state)
{
    struct rig *rig = *state;
    filled_run(rig, 1);
    hold_set(true);
    struct store_backup *first = start(rig, false);
    hold_wait_for_somebody();
    end(rig, -GALLOC_BUSY, "another backup");
    hold_set(false);
    assert_int_equal(wait_for(rig, &first->op), 0);
    end(rig, -GALLOC_BUSY, "another backup"); /* until all of it was taken */
    give_back(rig);
    end(rig, 0, NULL);
    give_back(rig);
    struct store_backup_read *read = rig_op(OP_BACKUP_READ);
    read->max_bytes = 100;
    assert_int_equal(rig_do(rig, &read->op), -GALLOC_STORE_UNAVAILABLE);
    store_op_free(&read->op);
    store_op_free(&first->op);
}

/* ---- what ends it ---- */
static void test_cut(void **state)
{
    struct rig *rig = *state;
    filled_run(rig, 1);
    hold_set(true);
    struct store_backup *backup = start(rig, false);
    hold_wait_for_somebody();
    store_backup_cut(rig->store);
    fault_vfs_arm(FAULT_WRITE, ".backup", 1, true, ENOSPC); /* nothing more is written */
    hold_set(false);
    assert_int_equal(wait_for(rig, &backup->op), -GALLOC_CANCELLED);
    assert_int_equal(fault_vfs_failures(), 0);
    fault_vfs_clear();
    expect_nothing_left(rig);
    store_op_free(&backup->op);
    end(rig, 0, NULL); /* the next one is not cut */
    give_back(rig);
}

static void test_closing_answers_it(void **state)
{
    struct rig *rig = *state;
    filled_run(rig, 8);
    struct store_backup *backup = start(rig, true);
    rig_close(rig);
    assert_non_null(backup->op.arg);
    assert_true(backup->op.code == 0 || backup->op.code == -GALLOC_STORE_UNAVAILABLE);
    expect_nothing_left(rig);
    store_op_free(&backup->op);
    rig_open(rig);
}

/* Until the store is well again. */
static void wait_until_well(struct rig *rig)
{
    int64_t most = clock_mono_ms() + DEADLINE_MS;
    int code;
    do {
        struct store_audit *audit = rig_op(OP_AUDIT);
        audit->verb = xstrdup("test");
        audit->target = xstrdup("test");
        code = rig_do(rig, &audit->op);
        store_op_free(&audit->op);
    } while (code < 0 && clock_mono_ms() < most);
    assert_int_equal(code, 0);
}

/* A commit that failed is asked about on a new handle, which needs the log: a copy does not stand in the way of everybody who waits for an answer. */
static void test_a_failed_commit_ends_it(void **state)
{
    struct rig *rig = *state;
    int64_t run = filled_run(rig, 8);
    int code = 0;
    hold_set(true);
    struct store_backup *backup = start(rig, false);
    hold_wait_for_somebody();
    for (int i = 0; i < 20 && code != -GALLOC_OUTCOME_UNKNOWN; i++) { /* the failing sync may be that of housekeeping */
        fault_vfs_arm(FAULT_SYNC, "-wal", 1, false, ENXIO);
        struct store_import *part = make_part(run, 9 + i, (9 + i) * ROWS, 10, 10, 0, on_done, NULL);
        store_submit(rig->store, &part->op);
        code = wait_for(rig, &part->op);
        store_op_free(&part->op);
        if (code != -GALLOC_OUTCOME_UNKNOWN)
            wait_until_well(rig);
    }
    assert_int_equal(code, -GALLOC_OUTCOME_UNKNOWN); /* the writer asks, and finds the log held */
    hold_set(false);
    assert_int_equal(wait_for(rig, &backup->op), -GALLOC_BUSY);
    expect_nothing_left(rig);
    store_op_free(&backup->op);
    fault_vfs_clear();
    wait_until_well(rig); /* it comes to an answer, and goes on by itself */
}

static void test_disk_gets_full(void **state)
{
    struct rig *rig = *state;
    filled_run(rig, 8);
    fault_vfs_arm(FAULT_WRITE, ".backup", 3000, true, ENOSPC);
    end(rig, -GALLOC_DISK_FULL, "make room");
    expect_nothing_left(rig);
    fault_vfs_clear();
    end(rig, 0, NULL);
    give_back(rig);
}

/* ---- what is in it is sound, or it is none ---- */
static void test_unsound_content_is_named(void **state)
{
    struct rig *rig = *state;
    rig_full_run(rig, "unsound", 1, -1, 20);
    rig_close(rig);
    rig_sql(rig, "UPDATE payload SET fields = '{}' WHERE assignment = 3");
    rig_open(rig);
    end(rig, 0, NULL);
    give_back(rig);
    struct store_backup *backup = start(rig, true);
    assert_int_equal(wait_for(rig, &backup->op), -GALLOC_CORRUPT);
    assert_non_null(strstr(backup->op.error.message, "digests: the input of"));
    expect_nothing_left(rig);
    store_op_free(&backup->op);
}

static void test_leftovers_go(void **state)
{
    struct rig *rig = *state;
    static const char *const suffixes[] = {".backup", ".backup-wal", ".backup-shm", ".backup-journal"};
    rig_close(rig);
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char *name = xasprintf("%s%s", rig->path, suffixes[i]);
        FILE *file = fopen(name, "wb");
        assert_non_null(file);
        fclose(file);
        free(name);
    }
    rig_open(rig);
    int64_t most = clock_mono_ms() + DEADLINE_MS;
    while (is_there(rig, ".backup-journal") && clock_mono_ms() < most)
        rig_turn(rig);
    expect_nothing_left(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, backup_setup, backup_teardown)
        WITH_STORE(test_of_one_instant_under_load), WITH_STORE(test_log_is_given_back),        WITH_STORE(test_one_at_a_time),
        WITH_STORE(test_cut),                       WITH_STORE(test_closing_answers_it),       WITH_STORE(test_a_failed_commit_ends_it),
        WITH_STORE(test_disk_gets_full),            WITH_STORE(test_unsound_content_is_named), WITH_STORE(test_leftovers_go),
#undef WITH_STORE
    };
    fault_vfs_register();
    sqlite3_auto_extension((void (*)(void))on_open);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
