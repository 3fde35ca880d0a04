/* The writer: the thread behind every change. It takes all operations that wait, does them in one transaction, commits, then answers them all; see
 * writer.c for the order among them and for what a failing disk means. */
#ifndef GALLOC_STORE_WRITER_H
#define GALLOC_STORE_WRITER_H

#include "store/contract.h"
#include "store/gate.h"

struct writer;

/* What the writer tells, on its own thread. */
struct writer_report {
    void (*on_commit)(const struct store_commit *commit, void *arg); /* before the answers of its operations */
    void (*on_answer)(struct store_op *op, void *arg);               /* the operation is the receiver's */
    void (*on_turn)(void *arg);                                      /* answers of a turn are complete: wake who waits for them */
    void (*on_health)(enum store_health health, const char *text, void *arg);
    void *arg;
};

/* How long the store's log may become. */
struct writer_log {
    struct gate *gate;  /* borrowed: of the readers */
    int64_t ask_bytes;  /* above: readers step aside when their turn ends */
    int64_t end_bytes;  /* above: what they do is ended */
};

/* Starts the thread. The engine is the writer's until writer_free(). */
struct writer *writer_new(const struct store_ops *ops, struct store_engine *engine, const struct writer_report *report, const struct writer_log *log);
/* False when the queue is full or closed: the operation stays the caller's. Any thread. */
bool writer_put(struct writer *writer, enum store_lane lane, struct store_op *op) MUST_CHECK;
void writer_stats(struct writer *writer, struct store_stats *ret_stats); /* any thread; never waits for the disk */
/* Lets nothing in, does what is there, ends the thread, frees. The engine is left open. */
void writer_free(struct writer *writer);

#endif
