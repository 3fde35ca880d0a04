/* The writer's thread: group commit.
 *
 * A turn takes what waits, lane by lane (settle, lease, operator, then one step of a sweep, then import, then upkeep), does it in one transaction of at most
 * TURN_US of work, commits, answers all. While a commit syncs, the next group gathers. An operation that needs more steps keeps its place: a sweep
 * in the line of sweeps, an import at the head of its lane. Upkeep goes when nothing else does, and else a little of it every UPKEEP_LEAST_US, so that
 * a store that is never idle is emptied all the same.
 *
 * When the store fails, settles are never given up: they were paid for.
 *   before COMMIT   nothing happened: settles are kept for the next turn, begun sweeps go on later, the rest is answered with the fault.
 *   COMMIT itself   nobody knows: the handle is left, the store opened anew and asked. Until it answers, settles, leases and sweeps wait; operators'
 *                   commands and imports are answered `outcome_unknown`. It stands: all is answered as done. It does not: as before COMMIT.
 * A full disk is tried again for ever, new work being refused meanwhile. Three other failures in a row, or a failed medium, end the store: all is
 * answered, nothing is tried again, and the daemon is told to end. */
#include "store/writer_inside.h"

#include "base/clock.h"
#include "base/negative.h"
#include "core/limits.h"

#define TURN_US 25000        /* work of a transaction, imports and sweeps apart */
#define STEP_LEAST_US 5000   /* what a step of an import or sweep gets even when the turn is used up, so that it is never starved */
#define UPKEEP_US 15000       /* of upkeep alone: what comes meanwhile waits for no more */
#define UPKEEP_LEAST_US 250000
#define IDLE_MS 500          /* without mail: a sign of life, and housekeeping */
#define SIZES_US 250000      /* between two looks at the files' sizes */
#define SPACE_US 10000       /* and before new work is taken in: what a disk takes meanwhile is little beside the reserve */
#define LOG_LOW_BYTES (20 << 20) /* of the log, while the disk is low: what it has beyond its usual length is given back */
#define LOG_ASK_MS 60         /* a reader's turn is 50 ms */
#define LOG_END_MS 2000       /* what was told to end is out within milliseconds, but for a disk that hangs */
#define LOG_LEAST_US 1000000  /* between two such pauses in vain */

/* ---- answers and stats ---- */
void writer_answer(struct writer *writer, struct store_op *op)
{
    writer->report.on_answer(op, writer->report.arg);
}

void writer_answer_group(struct writer *writer, const struct store_commit *commit)
{
    if (commit != NULL && commit->run_count > 0)
        writer->report.on_commit(commit, writer->report.arg);
    for (struct store_op *op; (op = op_list_take(&writer->group)) != NULL;)
        writer_answer(writer, op);
    writer->report.on_turn(writer->report.arg);
}

static void stats_turn(struct writer *writer, int64_t commit_us, int64_t ops)
{
    writer_look(writer, SIZES_US);
    pthread_mutex_lock(&writer->stats_lock);
    struct store_stats *stats = &writer->stats;
    stats->ticks++;
    if (ops > 0) {
        stats->commits++;
        stats->commit_us_sum += commit_us;
        stats->commit_us_last = commit_us;
        stats->ops_sum += ops;
    }
    pthread_mutex_unlock(&writer->stats_lock);
}

/* ---- the log ---- */
static int64_t log_ask_bytes(const struct writer *writer)
{
    return writer->is_low ? min_i64(LOG_LOW_BYTES, writer->log.ask_bytes) : writer->log.ask_bytes;
}

static int64_t log_end_bytes(const struct writer *writer)
{
    return writer->is_low ? min_i64(LOG_LOW_BYTES, writer->log.end_bytes) : writer->log.end_bytes;
}

/* Readers leave the store for a moment, so that the log can be emptied and given back: asked to at first, made to when it has grown too long. Nothing is
 * written meanwhile, so that the log is never longer than its limit and one group of operations. */
static int log_empty(struct writer *writer, int64_t *log_bytes, struct galloc_error *error)
{
    const struct writer_log *log = &writer->log;
    bool ends_reads = *log_bytes >= log_end_bytes(writer);
    int inside_count = gate_close(log->gate, ends_reads, ends_reads ? LOG_END_MS : LOG_ASK_MS);
    int fault = writer->ops->tidy(writer->engine, TIDY_EMPTY, log_bytes, error);
    gate_open(log->gate);
    writer->log_mono_us[ends_reads] = *log_bytes >= log_ask_bytes(writer) ? clock_mono_us() : 0;
    if (ends_reads) {
        pthread_mutex_lock(&writer->stats_lock);
        writer->stats.reads_ended += inside_count;
        pthread_mutex_unlock(&writer->stats_lock);
    }
    return fault;
}

static int log_tidy(struct writer *writer, enum store_tidy how, struct galloc_error *error)
{
    int64_t log_bytes = 0;
    int fault = writer->ops->tidy(writer->engine, how, &log_bytes, error);
    int64_t last_us = writer->log_mono_us[log_bytes >= log_end_bytes(writer)];
    if (fault == 0 && log_bytes >= log_ask_bytes(writer) && !atomic_load(&writer->log.gate->has_copy) && (last_us == 0 || clock_mono_us() - last_us >= LOG_LEAST_US))
        fault = log_empty(writer, &log_bytes, error);
    return fault;
}

/* ---- a turn ---- */
/* New work is refused while there is still room for what is owed. A part of an import that was begun is ended. */
static bool is_refused_for_space(struct writer *writer, struct store_op *op)
{
    bool is_begun = op->kind == OP_IMPORT && CONTAINER_OF(op, struct store_import, op)->done_count > 0;
    if (!store_op_is_new_work(op->kind) || is_begun)
        return false;
    writer_look(writer, SPACE_US);
    if (writer->is_low)
        op->code = writer_refuse_for_space(writer, &op->error);
    return writer->is_low;
}

/* Applies one operation. 1: it wants more steps, 0: done or refused, and in the group; negative: a fault, the turn is over. */
static int op_apply(struct writer *writer, struct store_op *op)
{
    struct galloc_error error;
    bool has_more = false;
    int fault = is_refused_for_space(writer, op) ? 0 : writer->ops->apply(writer->engine, op, &has_more, &error);
    if (fault < 0) {
        writer->ops->rollback(writer->engine);
        writer_group_undo(writer, op, fault, &error);
        writer_failure(writer, fault, &error);
        return fault;
    }
    if (!has_more)
        op_list_add(&writer->group, op);
    return has_more ? 1 : 0;
}

static bool has_sweep_of_run(const struct writer *writer, int64_t run)
{
    for (struct mail *mail = writer->sweeps.first; mail != NULL; mail = mail->next)
        if (sweep_of(op_of_mail(mail))->run == run)
            return true;
    return false;
}

/* A sweep's first step is done in its turn, so that its run is marked at once; one behind another sweep of its run waits for that one's end. */
static int sweep_begin(struct writer *writer, struct store_op *op)
{
    struct store_sweep *sweep = sweep_of(op);
    if (sweep->phase == SWEEP_WAITS && !has_sweep_of_run(writer, sweep->run)) {
        sweep->phase = SWEEP_STEPPED;
        int rc = op_apply(writer, op);
        if (rc <= 0)
            return rc;
    }
    op_list_add(&writer->sweeps, op);
    return 0;
}

static int sweep_step(struct writer *writer)
{
    struct store_op *op = op_of_mail(writer->sweeps.first);
    if (op == NULL || sweep_of(op)->phase == SWEEP_STEPPED)
        return 0;
    op_list_take(&writer->sweeps);
    if (sweep_of(op)->phase == SWEEP_WAITS)
        sweep_of(op)->phase = SWEEP_STEPPED;
    int rc = op_apply(writer, op);
    if (rc > 0) {
        struct op_list front = {0};
        op_list_add(&front, op);
        op_list_prepend(&writer->sweeps, &front);
    }
    return rc < 0 ? rc : 0;
}

static int import_step(struct writer *writer, int64_t deadline_mono_us)
{
    int rc = 0;
    do {
        if (writer->import == NULL)
            writer->import = op_of_mail(mailbox_take(&writer->box, STORE_IMPORT, NULL));
        struct store_op *op = writer->import;
        if (op == NULL)
            return 0;
        writer->import = NULL;
        if (op->kind == OP_SWEEP)
            rc = sweep_begin(writer, op);
        else
            rc = op_apply(writer, op);
        if (rc > 0) {
            writer->import = op;
            writer->is_import_stepped = true;
        }
    } while (rc == 0 && clock_mono_us() < deadline_mono_us);
    return rc < 0 ? rc : 0;
}

/* Everything up to the operators' lane. */
static int quick_lanes(struct writer *writer, int64_t deadline_mono_us)
{
    int rc = 0;
    while (rc >= 0 && clock_mono_us() < deadline_mono_us) {
        struct store_op *op = op_list_take(&writer->kept);
        if (op == NULL)
            op = op_of_mail(mailbox_take(&writer->box, STORE_OPERATOR, NULL));
        if (op == NULL)
            break;
        rc = op->kind == OP_SWEEP ? sweep_begin(writer, op) : op_apply(writer, op);
    }
    return rc < 0 ? rc : 0;
}

static int upkeep_step(struct writer *writer)
{
    bool is_alone = writer->group.first == NULL && writer->sweeps.first == NULL && writer->import == NULL;
    int64_t now_us = clock_mono_us();
    if (!is_alone && now_us - writer->upkeep_mono_us < UPKEEP_LEAST_US)
        return 0;
    struct store_op *op = op_of_mail(mailbox_take_of(&writer->box, STORE_UPKEEP));
    if (op == NULL)
        return 0;
    if (atomic_load(&writer->log.gate->has_copy)) { /* it holds the log, which is for results meanwhile */
        op->code = galloc_fail(&op->error, GALLOC_BUSY, "a backup is being made");
        op_list_add(&writer->group, op);
        return 0;
    }
    writer->upkeep_mono_us = now_us;
    struct store_upkeep *upkeep = CONTAINER_OF(op, struct store_upkeep, op);
    upkeep->is_alone = is_alone;
    upkeep->step_us = is_alone ? UPKEEP_US : STEP_LEAST_US;
    int rc = op_apply(writer, op);
    return rc < 0 ? rc : 0;
}

static int64_t group_count(const struct writer *writer)
{
    int64_t count = 0;
    for (struct mail *mail = writer->group.first; mail != NULL; mail = mail->next)
        count++;
    return count;
}

/* Broken promises: answers, or those of leases alone, go out before the commit. */
static void answer_early(struct writer *writer)
{
    struct op_list group = writer->group;
    writer->group = (struct op_list){0};
    for (struct store_op *op; (op = op_list_take(&group)) != NULL;) {
        if (BREAKS(ACK_BEFORE_COMMIT) || op->kind == OP_CLAIM)
            writer_answer(writer, op);
        else
            op_list_add(&writer->group, op);
    }
    writer->report.on_turn(writer->report.arg);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* lint: poll */
}

static void group_commit(struct writer *writer)
{
    struct store_commit commit;
    struct galloc_error error;
    int64_t began_us = clock_mono_us(), count = group_count(writer);
    if (BREAKS(ACK_BEFORE_COMMIT) || BREAKS(CALL_BEFORE_ATTEMPT))
        answer_early(writer);
    int fault = writer->ops->commit(writer->engine, &commit, &error);
    if (fault < 0) {
        writer->is_unknown = true;
        writer_failure(writer, fault, &error);
        writer->retry_mono_us = 0; /* ask at once whether it stands */
        return;
    }
    stats_turn(writer, clock_mono_us() - began_us, max_i64(count, 1));
    writer_group_landed(writer, &commit);
    fault = log_tidy(writer, TIDY_BETWEEN, &error);
    if (fault < 0)
        writer_failure(writer, fault, &error);
}

static void turn(struct writer *writer)
{
    struct galloc_error error;
    int64_t deadline_us = clock_mono_us() + TURN_US;
    writer->is_import_stepped = false;
    int fault = writer->ops->begin(writer->engine, deadline_us + STEP_LEAST_US, &error);
    if (fault < 0) {
        writer_failure(writer, fault, &error);
        return;
    }
    int rc = quick_lanes(writer, deadline_us);
    if (rc == 0)
        rc = sweep_step(writer);
    if (rc == 0)
        rc = import_step(writer, deadline_us);
    if (rc == 0)
        rc = upkeep_step(writer);
    if (rc == 0)
        group_commit(writer);
}

/* ---- the thread ---- */
static bool has_work(struct writer *writer)
{
    return writer->kept.first != NULL || writer->sweeps.first != NULL || writer->import != NULL || mailbox_count(&writer->box) > 0;
}

/* One round while something is wrong. False: the box is closed, and the last try failed too. */
static bool round_failing(struct writer *writer)
{
    if (writer->health == STORE_FAILED) {
        writer_give_up(writer, "the store has failed: the daemon has to be started anew");
        return mailbox_wait(&writer->box, IDLE_MS);
    }
    bool is_full = writer->health == STORE_DISK_FULL, is_open = true;
    int64_t wait_us = writer->retry_mono_us - clock_mono_us();
    if (wait_us > 0) {
        writer_refuse_mail(writer, is_full ? -GALLOC_DISK_FULL : -GALLOC_STORE_UNAVAILABLE,
                    is_full ? "the disk is full: make room, and it goes on by itself" : "the store failed and is being tried again");
        is_open = mailbox_wait(&writer->box, wait_us / 1000 + 1);
        if (is_open)
            return true;
    }
    if (writer->is_unknown)
        writer_resolve_unknown(writer);
    else
        turn(writer);
    if (!is_open && writer_is_failing(writer))
        writer_give_up(writer, "the store failed to the end");
    return is_open || has_work(writer);
}

static void round_idle(struct writer *writer)
{
    struct galloc_error error;
    int64_t log_bytes = writer->sizes.wal_bytes;
    int fault = writer->is_low && log_bytes > LOG_LOW_BYTES ? log_empty(writer, &log_bytes, &error) : log_tidy(writer, TIDY_IDLE, &error);
    if (fault < 0)
        writer_failure(writer, fault, &error);
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    bool goes_on = true;
    while (goes_on) {
        stats_turn(writer, 0, 0);
        if (writer_is_failing(writer)) {
            goes_on = round_failing(writer);
        } else if (has_work(writer)) {
            turn(writer);
        } else {
            goes_on = mailbox_wait(&writer->box, IDLE_MS);
            if (goes_on && !has_work(writer))
                round_idle(writer);
        }
    }
    return NULL;
}

/* ---- for other threads ---- */
struct writer *writer_new(const struct store_ops *ops, struct store_engine *engine, const struct writer_report *report, const struct writer_log *log)
{
    struct writer *writer = xcalloc(1, sizeof *writer);
    writer->ops = ops;
    writer->engine = engine;
    writer->report = *report;
    writer->log = *log;
    pthread_mutex_init(&writer->stats_lock, NULL);
    mailbox_init(&writer->box, LIMIT_STORE_QUEUE);
    if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0)
        abort(); /* at start only: the machine has no thread left */
    return writer;
}

bool writer_put(struct writer *writer, enum store_lane lane, struct store_op *op)
{
    return mailbox_put(&writer->box, (int)lane, &op->mail, lane == STORE_SETTLE);
}

void writer_stats(struct writer *writer, struct store_stats *ret_stats)
{
    pthread_mutex_lock(&writer->stats_lock);
    *ret_stats = writer->stats;
    pthread_mutex_unlock(&writer->stats_lock);
    ret_stats->queue_count = mailbox_count(&writer->box);
}

void writer_free(struct writer *writer)
{
    if (writer == NULL)
        return;
    mailbox_close(&writer->box);
    pthread_join(writer->thread, NULL);
    mailbox_clear(&writer->box);
    pthread_mutex_destroy(&writer->stats_lock);
    free(writer);
}
