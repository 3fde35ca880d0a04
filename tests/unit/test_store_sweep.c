/* Sweeps: which rows each verb changes, what happens to leases, counters and the run, and that a crash in the middle
 * changes nothing about the end. */
#include "tests/unit/store_rig.h"

#include "base/clock.h"
#include "core/limits.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store_sweep *sweep_op(int64_t run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = rig_op(OP_SWEEP);
    sweep->run = run;
    sweep->verb = verb;
    sweep->is_by_person = true;
    sweep->peer = (struct store_peer){1000, 5};
    return sweep;
}

/* Done, its code told and what it changed; negative: refused. */
static int64_t swept(struct rig *rig, struct store_sweep *sweep)
{
    int rc = rig_do(rig, &sweep->op);
    int64_t changed = rc < 0 ? rc : sweep->ret_changed;
    store_op_free(&sweep->op);
    return changed;
}

static int64_t sweep_all(struct rig *rig, int64_t run, enum store_sweep_verb verb)
{
    struct store_sweep *sweep = sweep_op(run, verb);
    sweep->selector.is_all = true;
    return swept(rig, sweep);
}

static void assert_counts(struct rig *rig, int64_t run, int64_t pending, int64_t leased, int64_t succeeded,
                          int64_t failed, int64_t cancelled)
{
    struct store_run now;
    rig_show(rig, run, &now);
    assert_int_equal(now.counts[COUNT_STATE + ASSIGNMENT_PENDING], pending);
    assert_int_equal(now.counts[COUNT_STATE + ASSIGNMENT_LEASED], leased);
    assert_int_equal(now.counts[COUNT_STATE + ASSIGNMENT_SUCCEEDED], succeeded);
    assert_int_equal(now.counts[COUNT_STATE + ASSIGNMENT_FAILED], failed);
    assert_int_equal(now.counts[COUNT_STATE + ASSIGNMENT_CANCELLED], cancelled);
    store_run_clear(&now);
}

static void assert_well(struct rig *rig)
{
    struct store_doctor *doctor = rig_op(OP_DOCTOR);
    doctor->is_full = true;
    assert_int_equal(rig_do(rig, &doctor->op), 0);
    if (strncmp(buf_text(&doctor->ret_report), "{\"ok\":true", 10) != 0)
        fail_msg("%s", buf_text(&doctor->ret_report));
    store_op_free(&doctor->op);
}

static enum run_state state_of(struct rig *rig, int64_t run)
{
    struct store_run now;
    rig_show(rig, run, &now);
    enum run_state state = now.state;
    store_run_clear(&now);
    return state;
}

/* The agent and ledger of a run with one agent of its own. */
static void seat_of(struct rig *rig, int64_t run, int64_t *ret_ledger, int64_t *ret_agent)
{
    struct store_run now;
    rig_show(rig, run, &now);
    *ret_ledger = now.ledger;
    store_run_clear(&now);
    *ret_agent = rig_number(rig, "SELECT min(id) FROM agent");
}

static void test_cancel_all(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 2 * LIMIT_SWEEP_ROWS + 1000), ledger = 0, agent = 0;
    seat_of(rig, run, &ledger, &agent);
    struct store_claim *claim = rig_claim(rig, run, 10), *done = rig_claim(rig, run, 5);
    assert_int_equal(rig_succeed(rig, done, ledger, agent), VERDICT_DONE);
    int64_t changed = sweep_all(rig, run, SWEEP_CANCEL);
    assert_int_equal(changed, 2 * LIMIT_SWEEP_ROWS + 1000 - 5);
    assert_counts(rig, run, 0, 0, 5, 0, changed);
    assert_int_equal(state_of(rig, run), RUN_CANCELLED);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM sweep"), 0);
    assert_int_equal(rig_succeed(rig, claim, ledger, agent),
                     VERDICT_STALE); /* the answers that were on their way: recorded, nothing moved */
    assert_counts(rig, run, 0, 0, 5, 0, changed);
    assert_int_equal(rig_number(rig, "SELECT held FROM ledger_agent"), 5);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM attempt WHERE class = 17"), 10);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM lease"), 0);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM audit WHERE verb = 'run_cancel'"), 1);
    assert_well(rig);
    assert_int_equal(sweep_all(rig, run, SWEEP_CANCEL), 0); /* may be repeated */
    store_op_free(&claim->op);
    store_op_free(&done->op);
}

/* The run is marked with the first step; no claim finds a row of it before the others follow. */
static void test_marked_first(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 3 * LIMIT_SWEEP_ROWS);
    struct store_sweep *sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.is_all = true;
    struct store_run_set *set =
        rig_op(OP_RUN_SET); /* an operator's command behind the sweep does not wait for its end */
    set->run = run;
    set->priority = 3;
    rig->told_count = 0;
    struct store_op *ops[] = {&sweep->op, &set->op};
    rig_do_all(rig, ops, 2);
    assert_true(rig->told_count >= 3); /* several transactions */
    assert_int_equal(sweep->ret_changed, 3 * LIMIT_SWEEP_ROWS);
    assert_true(set->op.seq_first > 0 && set->op.seq_first < sweep->op.seq_first);
    store_op_free(&set->op);
    store_op_free(&sweep->op);
}

static void test_selectors(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 100);
    struct store_sweep *sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.keys = rig_list("K01-000000", "K01-000000", "K01-000003", "no such key", NULL);
    assert_int_equal(swept(rig, sweep), 2);
    sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.where = rig_list("region=south", NULL);
    assert_int_equal(swept(rig, sweep), 49); /* of fifty, one was cancelled by key */
    sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.where = rig_list("region=north", "N=10", NULL); /* all must hold; a number by its text; columns as people call them */
    assert_int_equal(swept(rig, sweep), 1);
    sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.where = rig_list("Region=North", NULL); /* values byte for byte */
    assert_int_equal(swept(rig, sweep), 0);
    sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.where = rig_list("region", NULL);
    assert_int_equal(swept(rig, sweep), -GALLOC_INVALID_VALUE);
    struct store_claim *claim = rig_claim(rig, run, 4);
    sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.states = 1u << ASSIGNMENT_LEASED | 1u << ASSIGNMENT_FAILED;
    assert_int_equal(swept(rig, sweep), 4);
    store_op_free(&claim->op);
    assert_counts(rig, run, 44, 0, 0, 0, 56);
    sweep = sweep_op(run, SWEEP_CANCEL); /* the last ones end the run, although by a selector */
    sweep->selector.states = 1u << ASSIGNMENT_PENDING;
    assert_int_equal(swept(rig, sweep), 44);
    assert_int_equal(state_of(rig, run), RUN_DONE);
    assert_int_equal(sweep_all(rig, run, SWEEP_CANCEL), -GALLOC_WRONG_STATE);
}

/* Thousands of keys, in any order and some twice: in steps, each row once. */
static void test_many_keys(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 5000);
    struct store_sweep *sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.keys = xcalloc(4001, sizeof(char *));
    for (int i = 0; i < 4000; i++)
        sweep->selector.keys[i] = xasprintf("K01-%06d", i * 11 % 3500);
    assert_int_equal(swept(rig, sweep), 3500);
    assert_counts(rig, run, 1500, 0, 0, 0, 3500);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM assignment WHERE state = 4 AND row <= 3500"), 3500);
}

static void test_retry(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 40), ledger = 0, agent = 0;
    seat_of(rig, run, &ledger, &agent);
    struct store_claim *claim = rig_claim(rig, run, 10);
    rig_fail(rig, claim, OUTCOME_REJECTED, "blocked", 400);
    store_op_free(&claim->op);
    claim = rig_claim(rig, run, 20);
    rig_fail(rig, claim, OUTCOME_TRANSIENT, "reset", 0);
    store_op_free(&claim->op);
    claim = rig_claim(rig, run, 10);
    rig_succeed(rig, claim, ledger, agent);
    store_op_free(&claim->op);
    assert_int_equal(state_of(rig, run), RUN_DONE);
    struct store_sweep *sweep = sweep_op(run, SWEEP_RETRY);
    sweep->selector.classes = 1u << OUTCOME_REJECTED;
    assert_int_equal(swept(rig, sweep), 10);
    assert_int_equal(state_of(rig, run), RUN_RUNNING);
    assert_counts(rig, run, 10, 0, 10, 20, 0);
    assert_int_equal(rig->last.counts[COUNT_FAILED + OUTCOME_REJECTED], 0);
    assert_int_equal(rig->last.counts[COUNT_FAILED + OUTCOME_TRANSIENT], 20);
    assert_int_equal(rig->last.finished_at_ms, 0);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM result"), 30);
    claim = rig_claim(rig, run, 40);
    assert_int_equal(claim->ret_count, 10);
    assert_int_equal(claim->ret_rows[0].n, 2); /* numbers of attempts go on, budgets are new */
    assert_int_equal(claim->ret_rows[0].retries_spent, 0);
    assert_string_equal(claim->ret_rows[0].key, "K01-000000");
    rig_succeed(rig, claim, ledger, agent);
    store_op_free(&claim->op);
    assert_int_equal(state_of(rig, run), RUN_DONE);
    sweep = sweep_op(run, SWEEP_RETRY);
    sweep->selector.agents = rig_list("a0", NULL);
    assert_int_equal(swept(rig, sweep), 0); /* what is allocated is no matter of retry; the run stays as it is */
    assert_int_equal(state_of(rig, run), RUN_DONE);
    assert_int_equal(sweep_all(rig, run, SWEEP_RETRY), 20);
    assert_well(rig);
}

static void test_retry_refused(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_run(rig, "one", 1, -1);
    rig_import(rig, run, 1, "K", 3);
    assert_int_equal(sweep_all(rig, run, SWEEP_RETRY), -GALLOC_WRONG_STATE);
    struct store_sweep *sweep = sweep_op(run, SWEEP_CANCEL);
    sweep->selector.keys = rig_list("K000001", NULL);
    assert_int_equal(swept(rig, sweep), -GALLOC_WRONG_STATE);
    assert_int_equal(sweep_all(rig, run, SWEEP_CANCEL), 3);
    assert_int_equal(sweep_all(rig, run, SWEEP_RETRY), -GALLOC_WRONG_STATE); /* cancelled while it was imported */
    assert_int_equal(sweep_all(rig, run + 5, SWEEP_RETRY), -GALLOC_NOT_FOUND);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM audit WHERE verb = 'run_retry'"), 0);
}

static void test_expire(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 30);
    struct store_claim *claim = rig_claim(rig, run, 5);
    struct store_sweep *sweep = sweep_op(run, SWEEP_EXPIRE);
    sweep->is_by_person = false;
    sweep->selector.is_all = true;
    assert_int_equal(swept(rig, sweep), 25);
    assert_counts(rig, run, 0, 5, 0, 25, 0);
    struct store_read *read = rig_read_key(rig, QUERY_ASSIGNMENT, run, "K01-000010");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_CODE), "expired");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_MESSAGE), "older than the run's max_age");
    store_op_free(&read->op);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM audit WHERE verb = 'run_expire'"), 0);
    rig_fail(rig, claim, OUTCOME_REJECTED, "x", 400);
    assert_int_equal(state_of(rig, run), RUN_DONE);
    store_op_free(&claim->op);
    assert_well(rig);
}

static void test_fail_held(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 12);
    struct store_claim *claim = rig_claim(rig, run, 4);
    rig_hold(rig, claim, "safety: \"blocked\"");
    store_op_free(&claim->op);
    claim = rig_claim(rig, run, 8);
    assert_int_equal(claim->ret_count, 8);
    rig_fail(rig, claim, OUTCOME_CORRUPT, "x", 0);
    store_op_free(&claim->op);
    assert_int_equal(state_of(rig, run), RUN_RUNNING);
    struct store_sweep *sweep = sweep_op(run, SWEEP_FAIL_HELD);
    sweep->is_by_person = false;
    assert_int_equal(swept(rig, sweep), 4);
    assert_counts(rig, run, 0, 0, 0, 12, 0);
    assert_int_equal(state_of(rig, run), RUN_DONE);
    struct store_read *read = rig_read_key(rig, QUERY_ASSIGNMENT, run, "K01-000002");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_CODE), "rejected");
    assert_string_equal(read_text(read, 0, ASSIGNMENT_MESSAGE), "safety: \"blocked\"");
    assert_int_equal(read_int(read, 0, ASSIGNMENT_HTTP_STATUS, 0), 400);
    store_op_free(&read->op);
    assert_well(rig);
}

/* Two sweeps of a run are done one after the other, in the order in which they were asked. */
static void test_one_after_the_other(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 2 * LIMIT_SWEEP_ROWS + 5);
    struct store_sweep *cancel = sweep_op(run, SWEEP_CANCEL), *retry = sweep_op(run, SWEEP_RETRY);
    cancel->selector.is_all = retry->selector.is_all = true;
    struct store_op *ops[] = {&cancel->op, &retry->op};
    rig_do_all(rig, ops, 2);
    assert_int_equal(cancel->op.code, 0);
    assert_int_equal(cancel->ret_changed, 2 * LIMIT_SWEEP_ROWS + 5);
    assert_int_equal(retry->ret_changed, 2 * LIMIT_SWEEP_ROWS + 5);
    assert_counts(rig, run, 2 * LIMIT_SWEEP_ROWS + 5, 0, 0, 0, 0);
    assert_int_equal(state_of(rig, run), RUN_RUNNING);
    store_op_free(&cancel->op);
    store_op_free(&retry->op);
}

/* ---- a crash in the middle ---- */
static void die_when_marked(const struct store_commit *commit, void *arg)
{
    (void)arg;
    if (commit->run_count > 0 && commit->runs[0].state == RUN_CANCELLED)
        _exit(commit->runs[0].counts[COUNT_STATE + ASSIGNMENT_PENDING] > 0 ? 0 : 3);
}

static void never_done(struct store_op *op)
{
    (void)op;
    _exit(4);
}

/* In a process of its own: begins the sweep and dies as soon as the first step is told. */
static void crash_in_sweep(struct rig *rig, int64_t run)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct loop *loop = loop_new();
        struct store *store = NULL;
        struct store_image image;
        struct store_config config = {.loop = loop, .path = rig->path, .on_commit = die_when_marked};
        if (store_open(&config, &store, &image, NULL) < 0)
            _exit(5);
        struct store_sweep *sweep = store_op_new(OP_SWEEP, never_done, NULL);
        sweep->run = run;
        sweep->verb = SWEEP_CANCEL;
        sweep->selector.is_all = true;
        store_submit(store, &sweep->op);
        loop_run(loop);
        _exit(6);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_crash(void **state)
{
    struct rig *rig = *state;
    const int rows = 6 * LIMIT_SWEEP_ROWS;
    int64_t run = rig_full_run(rig, "one", 1, -1, rows);
    rig_close(rig);
    crash_in_sweep(rig, run);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM sweep"), 1);
    rig_open(rig);
    int64_t deadline_ms = clock_mono_ms() + 20000;
    while (rig_number(rig, "SELECT count(*) FROM sweep") > 0) /* it goes on by itself */
        assert_true(clock_mono_ms() < deadline_ms);
    assert_counts(rig, run, 0, 0, 0, 0, rows);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM assignment WHERE state = 4"), rows);
    assert_int_equal(state_of(rig, run), RUN_CANCELLED);
    assert_well(rig);
}

/* A selector survives a restart as it was. */
static void test_selector_survives(void **state)
{
    struct rig *rig = *state;
    int64_t run = rig_full_run(rig, "one", 1, -1, 20);
    rig_close(rig);
    rig_sql(rig, "INSERT INTO sweep(id, run, verb, selector) SELECT 1, max(id), 0, "
                 "'{\"states\":[\"pending\"],\"where\":[\"region=north\"]}' FROM run");
    rig_open(rig);
    int64_t deadline_ms = clock_mono_ms() + 20000;
    while (rig_number(rig, "SELECT count(*) FROM sweep") > 0)
        assert_true(clock_mono_ms() < deadline_ms);
    assert_counts(rig, run, 10, 0, 0, 0, 10);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM assignment WHERE state = 4 AND row % 2 = 1"), 10);
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_cancel_all),
        RIG_TEST(test_marked_first),
        RIG_TEST(test_selectors),
        RIG_TEST(test_many_keys),
        RIG_TEST(test_retry),
        RIG_TEST(test_retry_refused),
        RIG_TEST(test_expire),
        RIG_TEST(test_fail_held),
        RIG_TEST(test_one_after_the_other),
        RIG_TEST(test_crash),
        RIG_TEST(test_selector_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
