/* A thread that reads: pages for lists and exports, or the doctor's long checks. A read is one page, so requests take turns page by page. */
#ifndef GALLOC_STORE_READER_H
#define GALLOC_STORE_READER_H

#include "store/contract.h"
#include "store/gate.h"

struct reader;

/* Starts a thread with a connection of its own, opened when the first operation comes; each turn passes the gate (borrowed). `on_answer` is called on that thread. */
struct reader *reader_new(const struct store_ops *ops, const char *path, struct gate *gate, void (*on_answer)(struct store_op *op, void *arg), void *arg);
bool reader_put(struct reader *reader, struct store_op *op) MUST_CHECK; /* false: full or closed. Any thread */
void reader_free(struct reader *reader);                                /* what is in work is interrupted; the rest is answered as unavailable */

#endif
