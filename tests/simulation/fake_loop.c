/* daemon/loop/loop.h in virtual time: timers and notes are events of the simulation's queue. A note comes a while after it was posted, so that what a commit changed
 * may be on disk and nobody has been told of it when the daemon dies. */
#include "loop/loop.h"

#include "tests/simulation/sched.h"

#include <stdlib.h>

#define NOTES_LATEST_US 3000

struct event {
    struct sched_event sched;
};

struct loop {
    struct sched_event notes;
    struct loop_note *first, **last; /* in the order of posting */
};

static void notes_run(void *arg)
{
    struct loop *loop = arg;
    while (loop->first != NULL) {
        struct loop_note *note = loop->first;
        loop->first = note->next;
        if (loop->first == NULL)
            loop->last = &loop->first;
        note->run(note);
    }
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->notes = (struct sched_event){.fire = notes_run, .arg = loop};
    loop->last = &loop->first;
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    notes_run(loop);
    sched_stop(&loop->notes);
    free(loop);
}

void loop_post(struct loop *loop, struct loop_note *note)
{
    note->next = NULL;
    *loop->last = note;
    loop->last = &note->next;
    if (loop->notes.place == 0)
        sched_set_us(&loop->notes, dice(1, NOTES_LATEST_US));
}

/* ---- timers ---- */
static void timer_fire(void *arg)
{
    struct loop_timer *timer = arg;
    timer->fire(timer->arg);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *arg), void *arg)
{
    (void)loop;
    *timer = (struct loop_timer){.event = xcalloc(1, sizeof *timer->event), .fire = fire, .arg = arg};
    timer->event->sched = (struct sched_event){.fire = timer_fire, .arg = timer};
}

void loop_timer_set_us(struct loop_timer *timer, int64_t delay_us)
{
    sched_set_us(&timer->event->sched, delay_us);
}

void loop_timer_set_ms(struct loop_timer *timer, int64_t delay_ms)
{
    loop_timer_set_us(timer, delay_ms * 1000);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->event != NULL && timer->event->sched.place != 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->event != NULL)
        sched_stop(&timer->event->sched);
}

void loop_timer_clear(struct loop_timer *timer)
{
    loop_timer_stop(timer);
    free(timer->event);
    timer->event = NULL;
}
