/* The gate that readers pass at each turn. The writer closes it for the moment in which it empties the log: SQLite begins the log anew only at an
 * instant without a reader, and readers that take turns leave none by chance. Any thread. */
#ifndef GALLOC_STORE_GATE_H
#define GALLOC_STORE_GATE_H

#include "base/util.h"

#include <pthread.h>
#include <stdatomic.h>

struct gate {
    pthread_mutex_t lock;    /* over what follows, but for ends_reads */
    pthread_cond_t changed;
    int inside_count;        /* turns under way */
    bool is_closed;
    atomic_bool ends_reads;  /* what is under way has to end at once: readers look at it while they work */
    /* A backup does not pass the gate: it holds its snapshot from the first page to the last. */
    atomic_bool has_copy;    /* there is one: the log cannot be emptied now, whoever steps aside */
    atomic_bool ends_copy;   /* it has to give up at once */
};

void gate_init(struct gate *gate);
void gate_clear(struct gate *gate);

void gate_enter(struct gate *gate); /* waits while it is closed */
void gate_leave(struct gate *gate);

/* Lets nobody in until gate_open(), and waits until all are out, `wait_ms` at most. With `ends_reads` what is under way is told to end. Returns how many
 * were inside when it closed. */
int gate_close(struct gate *gate, bool ends_reads, int64_t wait_ms);
void gate_open(struct gate *gate);

#endif
