/* The writer while the store fails: what becomes of each operation, when it is tried again, and when it is given up; see writer.c. */
#include "store/writer_inside.h"

#include "base/clock.h"
#include "base/negative.h"

#define RETRY_FIRST_MS 50    /* after a failure; doubles */
#define RETRY_MOST_MS 1000
#define LOW_SLACK_BYTES (8 << 20) /* added to the reserve while a disk is low, so that it is not low again at once: what is told (free below reserve) is what is done */
#define FAILURES_MOST 3      /* in a row, of what is not a full disk */

bool writer_is_failing(const struct writer *writer)
{
    return writer->health == STORE_DISK_FULL || writer->health == STORE_FAILED || writer->is_unknown || writer->retry_ms > 0;
}

/* ---- health ---- */
static void health_set(struct writer *writer, enum store_health health, const char *text)
{
    if (writer->health == health)
        return;
    writer->health = health;
    pthread_mutex_lock(&writer->stats_lock);
    writer->stats.health = health;
    pthread_mutex_unlock(&writer->stats_lock);
    writer->report.on_health(health, text, writer->report.arg);
    writer->report.on_turn(writer->report.arg);
}

/* ---- room ---- */
int writer_refuse_for_space(const struct writer *writer, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_DISK_FULL,
                       "%lld MiB are left on the store's file system, and %lld MiB are kept for results: no new work is taken in; make room (gallocctl purge "
                       "--older-than 30d, or other files), and it goes on by itself",
                       (long long)writer->sizes.free_bytes >> 20, (long long)writer->sizes.reserve_bytes >> 20);
}

static void health_by_room(struct writer *writer)
{
    static const char *const low = "the store's file system is nearly full: what is left is kept for results, and no new work is taken in; make room (gallocctl purge "
                                   "--older-than 30d, or other files), and it goes on by itself";
    health_set(writer, writer->is_low ? STORE_DISK_LOW : STORE_WELL, writer->is_low ? low : "");
}

void writer_look(struct writer *writer, int64_t older_than_us)
{
    struct store_sizes *sizes = &writer->sizes;
    if (writer->sizes_mono_us != 0 && clock_mono_us() - writer->sizes_mono_us < older_than_us)
        return;
    writer->ops->sizes(writer->engine, sizes);
    sizes->reserve_bytes += writer->is_low ? LOW_SLACK_BYTES : 0;
    writer->sizes_mono_us = clock_mono_us();
    pthread_mutex_lock(&writer->stats_lock);
    writer->stats.db_bytes = sizes->db_bytes;
    writer->stats.wal_bytes = sizes->wal_bytes;
    writer->stats.free_bytes = sizes->free_bytes;
    writer->stats.reserve_bytes = sizes->reserve_bytes;
    pthread_mutex_unlock(&writer->stats_lock);
    writer->is_low = sizes->free_bytes < sizes->reserve_bytes && !BREAKS(NO_RESERVE);
    if (writer->health == STORE_WELL || writer->health == STORE_DISK_LOW)
        health_by_room(writer);
}

void writer_failure(struct writer *writer, int code, const struct galloc_error *error)
{
    if (code == -GALLOC_DISK_FULL)
        health_set(writer, STORE_DISK_FULL, error->message);
    else if (code == -GALLOC_D_STORE_IO || (code != -GALLOC_BUSY && ++writer->failures >= FAILURES_MOST))
        health_set(writer, STORE_FAILED, error->message);
    writer->retry_ms = writer->retry_ms == 0 ? RETRY_FIRST_MS : min_i64(writer->retry_ms * 2, RETRY_MOST_MS);
    writer->retry_mono_us = clock_mono_us() + writer->retry_ms * 1000;
}

void writer_success(struct writer *writer)
{
    writer->failures = 0;
    writer->retry_ms = 0;
    health_by_room(writer);
}

/* What an operation is told of a fault: a failed medium is, to it, a store that cannot be written. */
static int code_for_ops(int fault)
{
    return fault == -GALLOC_DISK_FULL ? fault : -GALLOC_STORE_UNAVAILABLE;
}

/* ---- a group ---- */
static void answer_fault(struct writer *writer, struct store_op *op, int code, const struct galloc_error *error)
{
    op->code = code;
    op->seq_first = 0;
    op->error = *error;
    op->error.code = -code;
    writer_answer(writer, op);
}

void writer_group_undo(struct writer *writer, struct store_op *current, int fault, const struct galloc_error *error)
{
    int code = code_for_ops(fault);
    struct op_list undone = writer->group, settles = {0}, sweeps = {0}, waiting = writer->sweeps;
    writer->group = writer->sweeps = (struct op_list){0};
    if (current != NULL)
        op_list_add(&undone, current);
    for (struct store_op *op; (op = op_list_take(&undone)) != NULL;) {
        if (store_op_lane(op->kind) == STORE_SETTLE)
            op_list_add(&settles, op);
        else if (op->kind == OP_SWEEP && sweep_of(op)->phase == SWEEP_BEGUN)
            op_list_add(&sweeps, op);
        else
            answer_fault(writer, op, code, error);
    }
    for (struct store_op *op; (op = op_list_take(&waiting)) != NULL;) {
        if (sweep_of(op)->phase == SWEEP_STEPPED)
            answer_fault(writer, op, code, error);
        else
            op_list_add(&sweeps, op);
    }
    writer->sweeps = sweeps;
    op_list_prepend(&writer->kept, &settles);
    if (writer->import != NULL && writer->is_import_stepped) {
        answer_fault(writer, writer->import, code, error);
        writer->import = NULL;
    }
    writer->report.on_turn(writer->report.arg);
}

void writer_group_landed(struct writer *writer, const struct store_commit *commit)
{
    for (struct mail *mail = writer->sweeps.first; mail != NULL; mail = mail->next)
        if (sweep_of(op_of_mail(mail))->phase == SWEEP_STEPPED)
            sweep_of(op_of_mail(mail))->phase = SWEEP_BEGUN;
    writer->is_import_stepped = false;
    writer_success(writer);
    writer_answer_group(writer, commit);
}

/* ---- while the store fails ---- */
void writer_refuse_mail(struct writer *writer, int code, const char *text)
{
    struct galloc_error error;
    galloc_fail(&error, -code, "%s", text);
    int lane = 0;
    bool has_answered = false;
    for (struct mail *mail; (mail = mailbox_take(&writer->box, STORE_UPKEEP, &lane)) != NULL;) {
        struct store_op *op = op_of_mail(mail);
        if (lane == STORE_SETTLE && writer->health != STORE_FAILED) {
            op_list_add(&writer->kept, op);
            continue;
        }
        answer_fault(writer, op, code, &error);
        has_answered = true;
    }
    if (has_answered)
        writer->report.on_turn(writer->report.arg);
}

/* Commands and imports of a group of unknown outcome are told so; what has to be known stays. */
static void unknown_answer(struct writer *writer, const struct galloc_error *error)
{
    struct op_list group = writer->group, stays = {0};
    writer->group = (struct op_list){0};
    if (writer->import != NULL && writer->is_import_stepped) {
        answer_fault(writer, writer->import, -GALLOC_OUTCOME_UNKNOWN, error);
        writer->import = NULL;
    }
    for (struct store_op *op; (op = op_list_take(&group)) != NULL;) {
        enum store_lane lane = store_op_lane(op->kind);
        if (lane == STORE_SETTLE || lane == STORE_LEASE || lane == STORE_UPKEEP || op->kind == OP_SWEEP)
            op_list_add(&stays, op);
        else
            answer_fault(writer, op, -GALLOC_OUTCOME_UNKNOWN, error);
    }
    op_list_append(&writer->group, &stays);
    writer->report.on_turn(writer->report.arg);
}

void writer_resolve_unknown(struct writer *writer)
{
    struct galloc_error error = {0};
    struct store_commit commit;
    bool has_landed = false;
    atomic_store(&writer->log.gate->ends_copy, true); /* a copy would hold the log, and with it everybody who waits for an answer */
    int fault = writer->ops->reopen(writer->engine, &has_landed, &commit, &error);
    if (fault < 0) {
        writer_failure(writer, fault, &error);
        unknown_answer(writer, &error);
        return;
    }
    writer->is_unknown = false;
    if (has_landed) {
        writer_group_landed(writer, &commit);
        return;
    }
    int code = writer->health == STORE_DISK_FULL ? -GALLOC_DISK_FULL : -GALLOC_STORE_UNAVAILABLE;
    galloc_fail(&error, -code, "the commit failed, and nothing of it stands");
    writer_group_undo(writer, NULL, code, &error);
}

void writer_give_up(struct writer *writer, const char *text)
{
    struct galloc_error error;
    struct op_list *lists[] = {&writer->group, &writer->kept, &writer->sweeps};
    int code = writer->is_unknown ? -GALLOC_OUTCOME_UNKNOWN : -GALLOC_STORE_UNAVAILABLE;
    galloc_fail(&error, -code, "%s", text);
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        for (struct store_op *op; (op = op_list_take(lists[i])) != NULL;)
            answer_fault(writer, op, code, &error);
    if (writer->import != NULL)
        answer_fault(writer, writer->import, code, &error);
    writer->import = NULL;
    writer_refuse_mail(writer, -GALLOC_STORE_UNAVAILABLE, text);
    writer->report.on_turn(writer->report.arg);
}
