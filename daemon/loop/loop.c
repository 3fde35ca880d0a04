/* See loop.h. Notes come through a locked list and an eventfd; the list is taken whole, so a burst costs one wake-up. */
#include "loop/loop.h"

#include "base/clock.h"

#include <event2/event.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct event_base *base;
    struct event *wake; /* readable when notes are waiting */
    int wake_fd;
    pthread_mutex_t lock; /* over first, last */
    struct loop_note *first, **last;
    int64_t lag_us;
};

static struct loop_note *take_notes(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct loop_note *notes = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    return notes;
}

static void run_notes(struct loop *loop)
{
    for (struct loop_note *note = take_notes(loop), *next; note != NULL; note = next) {
        next = note->next;
        note->run(note);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *loop = arg;
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    int64_t began_us = clock_mono_us();
    run_notes(loop);
    loop->lag_us = max_i64(loop->lag_us, clock_mono_us() - began_us);
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    struct event_config *config = event_config_new();
    if (config == NULL)
        abort();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->base == NULL || loop->wake_fd < 0)
        abort();
    pthread_mutex_init(&loop->lock, NULL);
    loop->last = &loop->first;
    loop->wake = loop_event_new(loop, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    if (event_add(loop->wake, NULL) < 0)
        abort();
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    run_notes(loop);
    event_free(loop->wake);
    event_base_free(loop->base);
    close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

void loop_run(struct loop *loop)
{
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
    event_base_loopbreak(loop->base);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

struct event *loop_event_new(struct loop *loop, int fd, short what, void (*fire)(int fd, short what, void *arg), void *arg)
{
    return xmust(event_new(loop->base, fd, what, fire, arg));
}

void loop_post(struct loop *loop, struct loop_note *note)
{
    note->next = NULL;
    pthread_mutex_lock(&loop->lock);
    bool was_empty = loop->first == NULL;
    *loop->last = note;
    loop->last = &note->next;
    pthread_mutex_unlock(&loop->lock);
    if (was_empty) {
        uint64_t one = 1;
        ssize_t ignored = write(loop->wake_fd, &one, sizeof one); /* cannot fail: the counter never fills */
        (void)ignored;
    }
}

int64_t loop_take_lag_us(struct loop *loop)
{
    int64_t lag_us = loop->lag_us;
    loop->lag_us = 0;
    return lag_us;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *timer = arg;
    timer->fire(timer->arg);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *arg), void *arg)
{
    timer->fire = fire;
    timer->arg = arg;
    timer->event = loop_event_new(loop, -1, 0, on_timer, timer);
}

void loop_timer_set_us(struct loop_timer *timer, int64_t delay_us)
{
    delay_us = clamp_i64(delay_us, 0, INT64_C(86400000000) * 365);
    struct timeval tv = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};
    event_add(timer->event, &tv);
}

void loop_timer_set_ms(struct loop_timer *timer, int64_t delay_ms)
{
    loop_timer_set_us(timer, clamp_i64(delay_ms, 0, INT64_C(86400000) * 365) * 1000);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->event != NULL && event_pending(timer->event, EV_TIMEOUT, NULL) != 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->event != NULL)
        event_del(timer->event);
}

void loop_timer_clear(struct loop_timer *timer)
{
    if (timer->event != NULL)
        event_free(timer->event);
    timer->event = NULL;
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
    (void)what;
    struct loop_signal *sig = arg;
    sig->fire((int)signal, sig->arg);
}

void loop_signal_init(struct loop_signal *sig, struct loop *loop, int signal, void (*fire)(int signal, void *arg), void *arg)
{
    sig->fire = fire;
    sig->arg = arg;
    sig->event = loop_event_new(loop, signal, EV_SIGNAL | EV_PERSIST, on_signal, sig);
    if (event_add(sig->event, NULL) < 0)
        abort();
}

void loop_signal_clear(struct loop_signal *sig)
{
    if (sig->event != NULL)
        event_free(sig->event);
    sig->event = NULL;
}
