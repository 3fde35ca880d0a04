/* See gate.h. */
#include "store/gate.h"

#include "loop/cond.h"

void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    pthread_mutex_init(&gate->lock, NULL);
    cond_init(&gate->changed);
}

void gate_clear(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}

void gate_enter(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->is_closed)
        pthread_cond_wait(&gate->changed, &gate->lock);
    gate->inside_count++;
    pthread_mutex_unlock(&gate->lock);
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    if (--gate->inside_count == 0)
        pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

int gate_close(struct gate *gate, bool ends_reads, int64_t wait_ms)
{
    struct timespec until = cond_until(wait_ms);
    pthread_mutex_lock(&gate->lock);
    gate->is_closed = true;
    atomic_store(&gate->ends_reads, ends_reads);
    int rc = 0, inside_count = gate->inside_count;
    while (gate->inside_count > 0 && rc == 0)
        rc = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    pthread_mutex_unlock(&gate->lock);
    return inside_count;
}

void gate_open(struct gate *gate)
{
    atomic_store(&gate->ends_reads, false);
    pthread_mutex_lock(&gate->lock);
    gate->is_closed = false;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}
