/* Conditions between threads that are waited for until an instant: on the one clock that they can be given and that nobody sets. Any thread. */
#ifndef GALLOC_LOOP_COND_H
#define GALLOC_LOOP_COND_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

void cond_init(pthread_cond_t *cond); /* freed by pthread_cond_destroy() */

/* The instant that is `wait_ms` (>= 0) away, for pthread_cond_timedwait() on such a condition. */
struct timespec cond_until(int64_t wait_ms);

#endif
