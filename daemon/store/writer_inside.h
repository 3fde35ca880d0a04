/* The writer's inside: what its thread has, shared by writer.c (turns) and writer_fault.c (a store that fails). The writer's thread, but for what
 * is behind a lock. */
#ifndef GALLOC_STORE_WRITER_INSIDE_H
#define GALLOC_STORE_WRITER_INSIDE_H

#include "store/writer.h"

#include "store/writer_list.h"

struct writer {
    const struct store_ops *ops;
    struct store_engine *engine; /* borrowed */
    struct writer_report report;
    struct mailbox box;
    pthread_t thread;
    pthread_mutex_t stats_lock; /* over stats */
    struct store_stats stats;
    /* The thread's own: */
    struct op_list kept;       /* settles to be done anew, before all others */
    struct op_list group;      /* done in this transaction, to be answered with it */
    struct op_list sweeps;     /* in order: the first is being stepped, or waits behind one of its run */
    struct store_op *import;   /* between two steps */
    bool is_import_stepped;    /* in this transaction */
    bool is_unknown;           /* a commit failed: the group waits for reopen() */
    enum store_health health;
    struct store_sizes sizes;  /* as of sizes_mono_us */
    bool is_low;               /* what is left on the file system is for results */
    int failures;              /* in a row */
    int64_t retry_ms, retry_mono_us, sizes_mono_us;
    int64_t upkeep_mono_us;    /* of the last step */
    struct writer_log log;
    int64_t log_mono_us[2];    /* when readers were last asked to step aside [0], or ended [1], in vain; 0: not so */
};

static inline struct store_sweep *sweep_of(struct store_op *op)
{
    return CONTAINER_OF(op, struct store_sweep, op);
}

/* ---- writer.c ---- */
void writer_answer(struct writer *writer, struct store_op *op);
void writer_answer_group(struct writer *writer, const struct store_commit *commit); /* `commit` may be NULL */

/* ---- writer_fault.c ---- */
/* Looks at the sizes, when the last look is older; sets the health by the room there is. */
void writer_look(struct writer *writer, int64_t older_than_us);
int writer_refuse_for_space(const struct writer *writer, struct galloc_error *error);
bool writer_is_failing(const struct writer *writer);
void writer_failure(struct writer *writer, int code, const struct galloc_error *error); /* counts it, sets the health and the time of the next try */
void writer_success(struct writer *writer);

/* Nothing of this transaction stands. `current` (may be NULL) is the operation that met the fault. */
void writer_group_undo(struct writer *writer, struct store_op *current, int fault, const struct galloc_error *error);
void writer_group_landed(struct writer *writer, const struct store_commit *commit); /* all of it stands */

/* Settles are taken in and kept; all else that waits is refused at once. */
void writer_refuse_mail(struct writer *writer, int code, const char *text);
void writer_resolve_unknown(struct writer *writer); /* asks the store whether the group of a failed commit stands */
void writer_give_up(struct writer *writer, const char *text); /* nothing more is tried: everything that waits is told */

#endif
