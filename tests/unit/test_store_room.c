/* The room that is kept for results: new work is refused while there is still enough for all that is owed, everything else goes on, and room that comes back is
 * noticed. The writer on an engine whose sizes the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limits.h"
#include "store/sqlite.h"
#include "store/writer.h"
#include "tests/contract/store_bed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (INT64_C(1) << 20)

struct room {
    struct bed bed;
    struct writer *writer;
    struct gate gate;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t moved;
    struct store_op *answered; /* the last one */
    enum store_health health;
    char text[256];
    int64_t free_bytes;
    bool is_reading;
};

static struct store_ops ops; /* SQLite's, but for the sizes */
static struct room *tried;

static void scripted_sizes(struct store_engine *engine, struct store_sizes *ret_sizes)
{
    sqlite_ops.sizes(engine, ret_sizes);
    pthread_mutex_lock(&tried->lock);
    ret_sizes->free_bytes = tried->free_bytes;
    pthread_mutex_unlock(&tried->lock);
}

static void on_answer(struct store_op *op, void *arg)
{
    struct room *room = arg;
    pthread_mutex_lock(&room->lock);
    room->answered = op;
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
}

static void on_commit(const struct store_commit *commit, void *arg)
{
    struct room *room = arg;
    if (commit->run_count > 0)
        room->bed.run = commit->runs[0];
}

static void on_health(enum store_health health, const char *text, void *arg)
{
    struct room *room = arg;
    pthread_mutex_lock(&room->lock);
    room->health = health;
    snprintf(room->text, sizeof room->text, "%s", text);
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
}

static void on_turn(void *arg)
{
    (void)arg;
}

static void room_begin(struct room *room, int64_t rows, struct store_pool *ret_pool, int64_t *ret_run)
{
    *room = (struct room){.free_bytes = INT64_MAX};
    tried = room;
    ops = sqlite_ops;
    ops.sizes = scripted_sizes;
    pthread_mutex_init(&room->lock, NULL);
    pthread_cond_init(&room->moved, NULL);
    bed_begin(&room->bed, &sqlite_ops);
    *ret_run = bed_run(&room->bed, rows, 1, -1, ret_pool);
    gate_init(&room->gate);
    struct writer_report report = {on_commit, on_answer, on_turn, on_health, room};
    struct writer_log log = {&room->gate, LIMIT_WAL_WARN_BYTES, LIMIT_WAL_BYTES};
    room->writer = writer_new(&ops, room->bed.engine, &report, &log);
}

static void room_end(struct room *room)
{
    writer_free(room->writer);
    gate_clear(&room->gate);
    bed_check(&room->bed);
    bed_end(&room->bed);
}

/* So much is left, and the writer has seen it. */
static void leave(struct room *room, int64_t free_bytes)
{
    struct store_stats stats;
    pthread_mutex_lock(&room->lock);
    room->free_bytes = free_bytes;
    pthread_mutex_unlock(&room->lock);
    int64_t until_ms = clock_mono_ms() + 10000;
    do {
        assert_true(clock_mono_ms() < until_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* lint: poll */
        writer_stats(room->writer, &stats);
    } while (stats.free_bytes != free_bytes);
}

/* Waits for what the lock is over; fails after 10 s. */
static void wait_moved(struct room *room)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    assert_int_equal(pthread_cond_timedwait(&room->moved, &room->lock, &until), 0);
}

static int room_do(struct room *room, struct store_op *op)
{
    pthread_mutex_lock(&room->lock);
    room->answered = NULL;
    assert_true(writer_put(room->writer, store_op_lane(op->kind), op));
    while (room->answered != op)
        wait_moved(room);
    pthread_mutex_unlock(&room->lock);
    return op->code;
}

static int room_do_free(struct room *room, struct store_op *op)
{
    int code = room_do(room, op);
    store_op_free(op);
    return code;
}

static void wait_health(struct room *room, enum store_health health)
{
    pthread_mutex_lock(&room->lock);
    while (room->health != health)
        wait_moved(room);
    pthread_mutex_unlock(&room->lock);
}

/* What is kept for results just now. */
static int64_t reserve(struct room *room)
{
    struct store_stats stats;
    writer_stats(room->writer, &stats);
    return stats.reserve_bytes;
}

static struct store_pool_put *pool_put(void)
{
    struct store_pool_put *put = store_op_new(OP_POOL_PUT, NULL, NULL);
    struct store_run_create *like = make_run(2, 1000, NULL, NULL);
    put->name = xstrdup("north");
    put->agents = like->agents;
    like->agents = (struct store_agents){NULL, 0};
    store_op_free(&like->op);
    return put;
}

/* Imports, runs, pools, claims of both kinds are refused; results, verdicts, commands and purge are not; room that comes back is enough. */
static void test_new_work_alone_is_refused(void **state)
{
    (void)state;
    struct room room;
    struct store_pool pool = {0};
    int64_t run;
    room_begin(&room, 40, &pool, &run);
    struct store_claim *claim = make_claim(run, 10, NULL, NULL), *lease = make_lease(run, 10, "w", 60000, NULL, NULL);
    assert_int_equal(room_do(&room, &claim->op), 0);
    assert_int_equal(room_do(&room, &lease->op), 0);
    leave(&room, INT64_MAX - 1); /* so that what is owed now is known */
    leave(&room, reserve(&room) - 1);
    assert_int_equal(room_do_free(&room, &make_claim(run, 1, NULL, NULL)->op), -GALLOC_DISK_FULL);
    wait_health(&room, STORE_DISK_LOW);
    assert_non_null(strstr(room.text, "gallocctl purge"));
    assert_int_equal(room_do_free(&room, &make_lease(run, 1, "w", 60000, NULL, NULL)->op), -GALLOC_DISK_FULL);
    assert_int_equal(room_do_free(&room, &make_part(run, 2, 41, 5, 60, 0, NULL, NULL)->op), -GALLOC_DISK_FULL);
    assert_int_equal(room_do_free(&room, &make_run(1, -1, NULL, NULL)->op), -GALLOC_DISK_FULL);
    assert_int_equal(room_do_free(&room, &pool_put()->op), -GALLOC_DISK_FULL);
    assert_int_equal(room_do_free(&room, &make_settle(claim, 0, 10, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    assert_int_equal(room_do_free(&room, &make_verdicts(lease, 0, 10, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    struct store_sweep *cancel = store_op_new(OP_SWEEP, NULL, NULL);
    *cancel = (struct store_sweep){.op = cancel->op, .run = run, .verb = SWEEP_CANCEL, .selector.is_all = true, .is_by_person = true};
    assert_int_equal(room_do_free(&room, &cancel->op), 0);
    struct store_purge *purge = store_op_new(OP_PURGE, NULL, NULL);
    purge->run = run;
    assert_int_equal(room_do_free(&room, &purge->op), 0); /* the way out */
    assert_int_equal(room_do_free(&room, store_op_new(OP_UPKEEP, NULL, NULL)), 0);
    leave(&room, reserve(&room) - 4 * MIB); /* not yet: it would be low again at once, and what is told as reserve is what has to come back */
    assert_int_equal(room_do_free(&room, &make_run(1, -1, NULL, NULL)->op), -GALLOC_DISK_FULL);
    leave(&room, reserve(&room) + 16 * MIB);
    wait_health(&room, STORE_WELL); /* nobody has to come with work for it to be noticed */
    assert_int_equal(room_do_free(&room, &make_run(1, -1, NULL, NULL)->op), 0);
    store_op_free(&claim->op);
    store_op_free(&lease->op);
    store_pool_clear(&pool);
    room_end(&room);
}

/* The reserve grows with what is owed, in this life and in the next, and shrinks as results come. */
static void test_reserve_follows_what_is_owed(void **state)
{
    (void)state;
    enum { ROWS = 1000 };
    struct room room;
    struct store_pool pool = {0};
    struct store_stats stats;
    int64_t run;
    room_begin(&room, ROWS, &pool, &run);
    struct store_claim *claim = make_lease(run, ROWS, "w", 3600000, NULL, NULL);
    assert_int_equal(room_do(&room, &claim->op), 0);
    leave(&room, LIMIT_RESERVE_BYTES + ROWS * SQLITE_RESULT_BYTES - 8 * MIB); /* enough, were nothing owed */
    assert_int_equal(room_do_free(&room, &make_claim(run, 1, NULL, NULL)->op), -GALLOC_DISK_FULL);
    writer_stats(room.writer, &stats);
    assert_true(stats.reserve_bytes > LIMIT_RESERVE_BYTES + ROWS * SQLITE_RESULT_BYTES - 4 * MIB); /* less what the log has, and what is free in the file */
    writer_free(room.writer);
    bed_close(&room.bed);
    bed_open(&room.bed);
    struct store_sizes sizes;
    sqlite_ops.sizes(room.bed.engine, &sizes);
    assert_true(sizes.reserve_bytes > LIMIT_RESERVE_BYTES + ROWS * SQLITE_RESULT_BYTES - 4 * MIB);
    struct store_verdicts *verdicts = make_verdicts(claim, 0, ROWS, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    assert_int_equal(bed_do_free(&room.bed, &verdicts->op), 0);
    sqlite_ops.sizes(room.bed.engine, &sizes);
    assert_true(sizes.reserve_bytes <= LIMIT_RESERVE_BYTES && sizes.reserve_bytes >= LIMIT_RESERVE_BYTES - SQLITE_LOG_BYTES);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    room.writer = NULL;
    room_end(&room);
}

/* The same piece over and over. Owned. */
static char *words(const char *piece, size_t count)
{
    struct buf text = BUF_EMPTY;
    for (size_t i = 0; i < count; i++)
        buf_add_str(&text, piece);
    return buf_take(&text);
}

/* What a result takes in the file, when all that is kept of it is as long as it may be, and every character of the reason has to be escaped. */
static void test_a_result_fits(void **state)
{
    (void)state;
    enum { ROWS = 500 };
    struct bed bed;
    struct store_pool pool = {0};
    bed_begin(&bed, &sqlite_ops);
    int64_t run = bed_run(&bed, ROWS, 1, -1, &pool), log_bytes;
    struct store_claim *claim = bed_claim(&bed, run, ROWS);
    struct store_sizes before, after;
    assert_int_equal(sqlite_ops.tidy(bed.engine, TIDY_EMPTY, &log_bytes, NULL), 0);
    sqlite_ops.sizes(bed.engine, &before);
    struct store_settle *settle = make_settle(claim, 0, ROWS, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL);
    for (size_t i = 0; i < settle->count; i++) {
        char *reason = words("\\\"", LIMIT_REASON_BYTES);
        free(settle->items[i].result);
        settle->items[i].result = xasprintf("{\"reason\":\"%s\",\"confidence\":0.5,\"decided_by\":\"model\",\"model\":\"gemini-3.8-flash-001\",\"latency_ms\":600000}", reason);
        settle->items[i].message = words("x", LIMIT_MESSAGE_BYTES);
        settle->items[i].raw = words("x", LIMIT_MESSAGE_BYTES);
        free(reason);
    }
    assert_int_equal(bed_do_free(&bed, &settle->op), 0);
    assert_int_equal(sqlite_ops.tidy(bed.engine, TIDY_EMPTY, &log_bytes, NULL), 0);
    sqlite_ops.sizes(bed.engine, &after);
    int64_t each = (after.db_bytes - before.db_bytes) / ROWS;
    if (each > SQLITE_RESULT_BYTES || each < SQLITE_RESULT_BYTES / 4)
        fail_msg("%lld bytes a result", (long long)each);
    print_message("%lld bytes a result\n", (long long)each);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    bed_end(&bed);
}

/* A part that was begun is ended; the next one is refused. */
static void test_a_part_is_ended(void **state)
{
    (void)state;
    struct room room;
    struct store_pool pool = {0};
    int64_t ignored;
    room_begin(&room, 1, &pool, &ignored);
    struct store_run_create *create = make_run(1, -1, NULL, NULL);
    assert_int_equal(room_do(&room, &create->op), 0);
    struct store_import *begun = make_part(create->ret_run.id, 1, 1, 10, 60, 0, NULL, NULL), *next = make_part(create->ret_run.id, 2, 11, 10, 60, 0, NULL, NULL);
    begun->done_count = 1; /* as after a step: its first row stands */
    leave(&room, 0);
    assert_int_equal(room_do(&room, &begun->op), 0);
    assert_int_equal(begun->accepted_count, 9);
    assert_int_equal(room_do(&room, &next->op), -GALLOC_DISK_FULL);
    store_op_free(&create->op);
    store_op_free(&begun->op);
    store_op_free(&next->op);
    store_pool_clear(&pool);
    room_end(&room);
}

/* ---- the log ---- */
/* A reader in the midst of a page, until it is told to end. */
static void *read_for_ever(void *arg)
{
    struct room *room = arg;
    sqlite3 *db = NULL;
    gate_enter(&room->gate);
    assert_int_equal(sqlite3_open_v2(room->bed.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM meta", NULL, NULL, NULL), SQLITE_OK);
    pthread_mutex_lock(&room->lock);
    room->is_reading = true;
    pthread_cond_broadcast(&room->moved);
    pthread_mutex_unlock(&room->lock);
    while (!atomic_load(&room->gate.ends_reads))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* lint: poll */
    sqlite3_close(db);
    gate_leave(&room->gate);
    return NULL;
}

/* Writes so much without taking work in; how often readers were ended. */
static int64_t ended_after(struct room *room, int64_t mib)
{
    struct store_stats stats;
    for (int64_t i = 0; i < mib; i++) {
        struct store_audit *audit = store_op_new(OP_AUDIT, NULL, NULL);
        char *pad = words("x", MIB);
        audit->verb = xstrdup("test");
        audit->target = xstrdup("test");
        audit->detail = xasprintf("{\"pad\":\"%s\"}", pad);
        free(pad);
        assert_int_equal(room_do_free(room, &audit->op), 0);
    }
    writer_stats(room->writer, &stats);
    return stats.reads_ended;
}

/* On a disk that is low the log is kept short: who reads for long is ended far sooner. */
static void test_the_log_is_short(void **state)
{
    (void)state;
    struct room room;
    struct store_pool pool = {0};
    int64_t run;
    pthread_t reader;
    room_begin(&room, 1, &pool, &run);
    assert_int_equal(pthread_create(&reader, NULL, read_for_ever, &room), 0);
    pthread_mutex_lock(&room.lock);
    while (!room.is_reading)
        wait_moved(&room);
    pthread_mutex_unlock(&room.lock);
    assert_int_equal(ended_after(&room, 30), 0); /* it may be twice as long before anybody is asked */
    leave(&room, 0);
    wait_health(&room, STORE_DISK_LOW);
    assert_int_equal(ended_after(&room, 2), 1);
    pthread_join(reader, NULL);
    store_pool_clear(&pool);
    room_end(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_work_alone_is_refused),
        cmocka_unit_test(test_reserve_follows_what_is_owed),
        cmocka_unit_test(test_a_result_fits),
        cmocka_unit_test(test_a_part_is_ended),
        cmocka_unit_test(test_the_log_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
