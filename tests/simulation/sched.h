/* The simulation's time: one queue of what is to happen, by the fake clock of base/clock.h, which moves only when the queue does; the random numbers of the seed; and
 * the trace, of which a digest is kept, so that two runs of a seed can be told to be the same. Everything here belongs to the thread that holds the baton
 * (fake_threads.c), of which there is one at a time. */
#ifndef GALLOC_TESTS_SIMULATION_SCHED_H
#define GALLOC_TESTS_SIMULATION_SCHED_H

#include "base/util.h"

/* Embedded in whoever waits; all zero but for fire and arg is one that is not set. */
struct sched_event {
    void (*fire)(void *arg);
    void *arg;       /* borrowed */
    int64_t at_us;   /* mono */
    uint64_t order;  /* among those of one instant: as they were set */
    size_t place;    /* in the heap, from 1; 0: not set */
};

void sched_begin(uint64_t seed, bool is_verbose);
void sched_end(void); /* what is still set is forgotten, not fired */
int64_t sched_now_us(void);
void sched_set_us(struct sched_event *event, int64_t delay_us); /* replaces a time set before; at least 1 us ahead */
void sched_stop(struct sched_event *event);                     /* one that is not set is fine */
bool sched_step(void);                                          /* moves the clock to the next event and fires it; false: there is none */
uint64_t sched_steps(void);                                     /* fired since the beginning */
void sched_jump_wall_ms(int64_t ms);                            /* somebody sets the wall clock */
void random_fake(uint64_t seed); /* what base/random.h gives from here on (fake_random.c) */

/* ---- the seed's dice ---- */
int64_t dice(int64_t low, int64_t high); /* both included */
bool dice_percent(int64_t percent);

/* ---- the trace ---- */
void trace(const char *fmt, ...) PRINTF_LIKE(1, 2); /* a line, without its end */
uint64_t trace_digest(void);

#endif
