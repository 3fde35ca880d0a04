/* Work for the crash tests of the store: makes runs, imports their parts, leases and settles them, all side by side, until RUNS runs are done or
 * somebody kills it. Every other batch of a run goes to an outside worker, who tells of it in one operation. Every try is written to LOG before it is submitted, every answer when it came, a line and a write() each:
 *   try part RUN PART | try settle ASSIGNMENT            what was asked for
 *   run RUN INDEX | part RUN PART | commit RUN | attempt ASSIGNMENT N LEASE | settle ASSIGNMENT AGENT      what was promised
 * A later start goes on with what stands. test_store_kill.py compares LOG with the database.
 *   store_kill DB LOG RUNS        exit 0: all done; 74: the store failed */
#include "tests/contract/store_front.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART_ROWS 50
#define PARTS 6
#define CLAIM_ROWS 16
#define RETRY_MS 5
#define LEASE_TTL_MS 600000 /* longer than any test */

struct work_run {
    int64_t id;
    struct store_pool pool;
    bool is_claiming, is_outside_next;
    int64_t left; /* rows not yet settled */
    struct loop_timer timer;
};

static struct front front;
static int log_fd;
static struct work_run *runs;
static int64_t run_count, runs_wanted, runs_done, runs_made;
static int64_t importing, parts_done; /* the run that is being imported (0: none), and its parts that stand */
static struct loop_timer import_timer;

static void note(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void note(const char *fmt, ...)
{
    char line[200];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (write(log_fd, line, (size_t)len) != len)
        _exit(99);
}

static void import_next(void *arg);
static void claim_next(void *arg);

static void finish_when_done(void)
{
    if (runs_done >= runs_wanted)
        loop_stop(front.loop);
}

/* ---- leasing and settling ---- */
static struct work_run *run_of(int64_t id)
{
    for (int64_t i = 0; i < run_count; i++)
        if (runs[i].id == id)
            return &runs[i];
    abort();
}

static void run_start(int64_t id, struct store_pool *pool, int64_t left)
{
    struct work_run *run = &runs[run_count++];
    run->id = id;
    run->pool = *pool;
    *pool = (struct store_pool){0};
    run->left = left;
    loop_timer_init(&run->timer, front.loop, claim_next, run);
    claim_next(run);
}

static void on_settle(struct store_op *op);

static void settle_again(const struct settle_item *was, const struct work_run *run)
{
    struct store_settle *settle = store_op_new(OP_SETTLE, on_settle, NULL);
    settle->endpoint = xstrdup("gemini");
    settle->items = xcalloc(1, sizeof *settle->items);
    settle->count = 1;
    settle->items[0] = *was;
    settle->items[0].message = NULL;
    settle->items[0].lease = was->ret_lease;
    settle->items[0].n = was->ret_n;
    settle->items[0].call = was->ret_call;
    settle->items[0].move = MOVE_SUCCEED;
    settle->items[0].class = settle->items[0].call_class = OUTCOME_SUCCEEDED;
    settle->items[0].ledger = run->pool.ledger;
    settle->items[0].agent = run->pool.agents.items[(size_t)was->assignment % run->pool.agents.count].id;
    settle->items[0].result = xstrdup("{}");
    store_submit(front.store, &settle->op);
}

static void on_settle(struct store_op *op)
{
    struct store_settle *settle = CONTAINER_OF(op, struct store_settle, op);
    struct work_run *run = run_of(settle->items[0].run);
    for (size_t i = 0; op->code == 0 && i < settle->count; i++) {
        const struct settle_item *item = &settle->items[i];
        if (item->ret_verdict == VERDICT_DONE && item->move == MOVE_REASK) {
            note("attempt %lld %d %lld\n", (long long)item->assignment, item->ret_n, (long long)item->ret_lease);
            settle_again(item, run);
        } else if (item->ret_verdict == VERDICT_DONE && item->move == MOVE_SUCCEED) {
            note("settle %lld %lld\n", (long long)item->assignment, (long long)item->agent);
            run->left--;
        }
    }
    runs_done += op->code == 0 && run->left == 0;
    store_op_free(op);
    finish_when_done();
    claim_next(run);
}

static void on_verdicts(struct store_op *op)
{
    struct store_verdicts *verdicts = CONTAINER_OF(op, struct store_verdicts, op);
    struct work_run *run = op->arg;
    for (size_t i = 0; op->code == 0 && i < verdicts->count; i++) {
        if (verdicts->items[i].ret_verdict != VERDICT_OF_SUCCEEDED)
            continue;
        note("settle %lld %lld\n", (long long)verdicts->items[i].ret_assignment, (long long)verdicts->items[i].agent);
        run->left--;
    }
    runs_done += op->code == 0 && run->left == 0;
    store_op_free(op);
    finish_when_done();
    claim_next(run);
}

static void verdicts_tell(const struct store_claim *claim, struct work_run *run)
{
    struct store_verdicts *verdicts = make_verdicts(claim, 0, claim->ret_count, OUTCOME_SUCCEEDED, &run->pool, on_verdicts, run);
    verdicts->backoff_max_ms = 2;
    for (size_t i = 0; i < claim->ret_count; i++) {
        int64_t assignment = claim->ret_rows[i].assignment;
        if (claim->ret_rows[i].n == 1 && assignment % 13 == 0)
            verdicts->items[i].class = assignment % 2 == 0 ? OUTCOME_TRANSIENT : OUTCOME_INVALID_ANSWER;
        note("try settle %lld\n", (long long)assignment);
    }
    store_submit(front.store, &verdicts->op);
}

static void on_claim(struct store_op *op)
{
    struct store_claim *claim = CONTAINER_OF(op, struct store_claim, op);
    struct work_run *run = run_of(claim->run);
    run->is_claiming = false;
    for (size_t i = 0; op->code == 0 && i < claim->ret_count; i++)
        note("attempt %lld %d %lld\n", (long long)claim->ret_rows[i].assignment, claim->ret_rows[i].n, (long long)claim->ret_lease);
    bool is_outside = claim->worker != NULL;
    if (op->code == 0 && is_outside && claim->ret_count > 0)
        verdicts_tell(claim, run);
    for (size_t i = 0; op->code == 0 && !is_outside && i < claim->ret_count; i++) {
        int64_t assignment = claim->ret_rows[i].assignment;
        enum settle_move move = assignment % 11 == 0 && claim->ret_rows[i].n == 1 ? MOVE_REASK
                                : assignment % 13 == 0 && claim->ret_rows[i].n == 1 ? MOVE_PENDING
                                                                                   : MOVE_SUCCEED;
        enum outcome_class class = move == MOVE_REASK     ? OUTCOME_INVALID_ANSWER
                                   : move == MOVE_PENDING ? OUTCOME_UNAVAILABLE
                                                          : OUTCOME_SUCCEEDED;
        struct store_settle *settle = make_settle(claim, i, 1, move, class, &run->pool, on_settle, NULL);
        settle->items[0].delay_ms = 2;
        note("try settle %lld\n", (long long)assignment);
        store_submit(front.store, &settle->op);
    }
    if ((op->code < 0 || claim->ret_count == 0) && run->left > 0) /* one that was undone may still show its rows */
        loop_timer_set_ms(&run->timer, RETRY_MS);
    store_op_free(op);
}

static void claim_next(void *arg)
{
    struct work_run *run = arg;
    if (run->is_claiming || run->left == 0)
        return;
    run->is_claiming = true;
    run->is_outside_next = !run->is_outside_next;
    struct store_claim *claim = run->is_outside_next ? make_lease(run->id, CLAIM_ROWS, "w", LEASE_TTL_MS, on_claim, NULL)
                                                     : make_claim(run->id, CLAIM_ROWS, on_claim, NULL);
    store_submit(front.store, &claim->op);
}

/* ---- making runs ---- */
static struct store_pool importing_pool;

static void on_commit_op(struct store_op *op)
{
    int64_t run = CONTAINER_OF(op, struct store_run_commit, op)->run;
    if (op->code == 0) {
        note("commit %lld\n", (long long)run);
        importing = 0;
        run_start(run, &importing_pool, PARTS * PART_ROWS);
    }
    store_op_free(op);
    loop_timer_set_ms(&import_timer, importing == 0 ? 0 : RETRY_MS);
}

static void on_part(struct store_op *op)
{
    struct store_import *import = CONTAINER_OF(op, struct store_import, op);
    if (op->code == 0) {
        note("part %lld %lld\n", (long long)import->run, (long long)import->part);
        parts_done = import->part;
    }
    loop_timer_set_ms(&import_timer, op->code == 0 ? 0 : RETRY_MS);
    store_op_free(op);
}

static void on_create(struct store_op *op)
{
    struct store_run_create *create = CONTAINER_OF(op, struct store_run_create, op);
    if (op->code == 0) {
        note("run %lld %lld\n", (long long)create->ret_run.id, (long long)runs_made + 1);
        importing = create->ret_run.id;
        parts_done = create->ret_run.parts;
        store_pool_clear(&importing_pool);
        importing_pool = create->ret_pool;
        create->ret_pool = (struct store_pool){0};
        if (create->ret_how != RUN_NEW) /* it stood after all: this life knows its agents only after a new start */
            _exit(75);
        runs_made++;
    }
    loop_timer_set_ms(&import_timer, op->code == 0 ? 0 : RETRY_MS);
    store_op_free(op);
}

static void import_next(void *arg)
{
    (void)arg;
    if (importing == 0 && runs_made < runs_wanted) {
        struct store_run_create *create = make_run(3, -1, on_create, NULL);
        create->idempotency_key = xasprintf("run-%lld", (long long)runs_made + 1);
        create->request_sha256 = xstrdup("same");
        store_submit(front.store, &create->op);
    } else if (importing != 0 && parts_done < PARTS) {
        note("try part %lld %lld\n", (long long)importing, (long long)parts_done + 1);
        store_submit(front.store,
                     &make_part(importing, parts_done + 1, parts_done * PART_ROWS + 1, PART_ROWS, 100, 0, on_part, NULL)->op);
    } else if (importing != 0) {
        store_submit(front.store, &make_commit(importing, PARTS, on_commit_op, NULL)->op);
    }
}

/* ---- going on with what stands ---- */
static struct store_pool *pool_of(int64_t id)
{
    for (size_t i = 0; i < front.image.pool_count; i++)
        if (front.image.pools[i].id == id)
            return &front.image.pools[i];
    abort();
}

static void on_lease_end(struct store_op *op)
{
    store_op_free(op);
}

/* What a former life's outside worker had: it comes back for more, and gives back what it no longer knows. */
static void leases_give_back(void)
{
    for (size_t i = 0; i < front.image.lease_count; i++) {
        struct store_lease_end *end = store_op_new(OP_LEASE_END, on_lease_end, NULL);
        end->lease = front.image.leases[i].lease;
        store_submit(front.store, &end->op);
    }
}

static void go_on(void)
{
    leases_give_back();
    for (size_t i = 0; i < front.image.run_count; i++) {
        const struct store_run *run = &front.image.runs[i];
        runs_made++;
        if (run->state == RUN_IMPORTING) {
            importing = run->id;
            parts_done = run->parts;
            importing_pool = *pool_of(run->pool);
            *pool_of(run->pool) = (struct store_pool){0};
        } else if (run->state == RUN_RUNNING) {
            run_start(run->id, pool_of(run->pool), run->counts[COUNT_STATE + ASSIGNMENT_PENDING] + run->counts[COUNT_STATE + ASSIGNMENT_LEASED]);
        } else {
            runs_done++;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: store_kill DB LOG RUNS\n");
        return 2;
    }
    log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    runs_wanted = strtoll(argv[3], NULL, 10);
    runs = xcalloc((size_t)runs_wanted, sizeof *runs);
    struct galloc_error error;
    if (log_fd < 0 || front_open(&front, argv[1], &error) < 0) {
        fprintf(stderr, "store_kill: %s\n", error.message);
        return 1;
    }
    loop_timer_init(&import_timer, front.loop, import_next, NULL);
    go_on();
    loop_timer_set_ms(&import_timer, 0);
    while (runs_done < runs_wanted && front.health != STORE_FAILED)
        loop_run(front.loop);
    if (front.health == STORE_FAILED)
        _exit(74);
    for (int64_t i = 0; i < run_count; i++) {
        loop_timer_clear(&runs[i].timer);
        store_pool_clear(&runs[i].pool);
    }
    loop_timer_clear(&import_timer);
    store_pool_clear(&importing_pool);
    front_close(&front);
    free(runs);
    close(log_fd);
    return 0;
}
