/* The one event loop: libevent with precise timers, notes from other threads, signals. Everything that has state in memory lives on its
 * thread; other threads only post notes. */
#ifndef GALLOC_LOOP_LOOP_H
#define GALLOC_LOOP_LOOP_H

#include "base/code.h"

struct event_base;
struct event;
struct loop;

/* A message to the loop's thread: embedded in what is handed over, which the loop's thread owns from loop_post() on. */
struct loop_note {
    void (*run)(struct loop_note *note); /* on the loop's thread, in the order of posting */
    struct loop_note *next;
};

struct loop *loop_new(void);       /* never NULL */
void loop_free(struct loop *loop); /* NULL is fine; runs the notes that are left first */
void loop_run(struct loop *loop);  /* until loop_stop(); loop's thread */
void loop_stop(struct loop *loop); /* loop's thread; after the events that are active now */
struct event_base *loop_base(struct loop *loop);

/* An event on this loop, as event_new(); the caller frees. Never NULL: without memory the process ends, as everywhere. */
struct event *loop_event_new(struct loop *loop, int fd, short what, void (*fire)(int fd, short what, void *arg), void *arg);

/* Hands a note over. Any thread; never blocks, never fails. */
void loop_post(struct loop *loop, struct loop_note *note);

/* The longest time in microseconds that one turn of the loop took since the last call; for metrics and the watchdog. Loop's thread. */
int64_t loop_take_lag_us(struct loop *loop);

/* A one-shot timer, embedded. Loop's thread. */
struct loop_timer {
    struct event *event; /* owned */
    void (*fire)(void *arg);
    void *arg; /* borrowed */
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *arg), void *arg);
void loop_timer_set_us(struct loop_timer *timer, int64_t delay_us); /* replaces a time set before; 0: next turn */
void loop_timer_set_ms(struct loop_timer *timer, int64_t delay_ms);
bool loop_timer_is_set(const struct loop_timer *timer);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_clear(struct loop_timer *timer); /* frees; a timer of zeroes is fine */

/* Calls `fire` on the loop's thread when the signal comes. */
struct loop_signal {
    struct event *event; /* owned */
    void (*fire)(int signal, void *arg);
    void *arg;
};
void loop_signal_init(struct loop_signal *sig, struct loop *loop, int signal, void (*fire)(int signal, void *arg), void *arg);
void loop_signal_clear(struct loop_signal *sig);

#endif
