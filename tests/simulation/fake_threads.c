/* See fake_threads.h. A thread without the baton waits at its desk; the simulation's thread hands it over and waits until it comes back. A mailbox that is closed
 * hands it over for good: then its thread comes to its end while the simulation's thread waits for that (pthread_join), and nobody else runs. */
#include "tests/simulation/fake_threads.h"

#include "loop/mailbox.h"
#include "tests/simulation/sched.h"

#include <semaphore.h>
#include <stdlib.h>

enum { DESKS_MAX = 8, WAKE_LATEST_US = 3000, PAUSE_PERCENT = 25, PAUSE_LATEST_US = 6000, LONG_PAUSE_PERCENT = 4, LONG_PAUSE_LATEST_US = 60000, IDLE_LEAST_MS = 400, IDLE_FACTOR = 40 };

struct desk {
    struct mailbox *box; /* NULL: free */
    sem_t go;
    struct sched_event turn;
    bool has_arrived, has_baton, is_waiting, is_woken;
};

static struct desk desks[DESKS_MAX];
static sem_t back;
static bool has_back;
static pthread_t simulation;

static struct desk *desk_of(const struct mailbox *box)
{
    for (size_t i = 0; i < DESKS_MAX; i++)
        if (desks[i].box == box)
            return &desks[i];
    abort();
}

/* The desk's thread: the baton is given back until the desk's next turn. */
static void give_back(struct desk *desk)
{
    desk->has_baton = false;
    sem_post(&back);
    while (sem_wait(&desk->go) != 0)
        continue;
}

static void pause_us(struct desk *desk, int64_t us)
{
    sched_set_us(&desk->turn, us);
    give_back(desk);
}

/* Whoever calls has the baton from here on. */
static struct desk *enter(const struct mailbox *box)
{
    struct desk *desk = desk_of(box);
    if (!pthread_equal(pthread_self(), simulation) && !desk->has_baton && !box->is_closed)
        give_back(desk);
    return desk;
}

static void on_turn(void *arg)
{
    struct desk *desk = arg;
    desk->has_baton = true;
    sem_post(&desk->go);
    while (sem_wait(&back) != 0)
        continue;
}

void threads_arrive(void)
{
    for (size_t i = 0; i < DESKS_MAX; i++) {
        struct desk *desk = &desks[i];
        if (desk->box == NULL || desk->has_arrived)
            continue;
        while (sem_wait(&back) != 0)
            continue;
        desk->has_arrived = true;
        sched_set_us(&desk->turn, dice(1, WAKE_LATEST_US));
    }
}

bool threads_are_idle(void)
{
    for (size_t i = 0; i < DESKS_MAX; i++)
        if (desks[i].box != NULL && (!desks[i].is_waiting || desks[i].box->count > 0))
            return false;
    return true;
}

/* ---- mailbox.h ---- */
void mailbox_init(struct mailbox *box, int64_t cap_count)
{
    if (!has_back)
        sem_init(&back, 0, 0);
    has_back = true;
    simulation = pthread_self();
    threads_arrive(); /* the one that was started last */
    *box = (struct mailbox){.cap_count = cap_count};
    for (int i = 0; i < MAILBOX_LANES_MAX; i++)
        box->lanes[i].last = &box->lanes[i].first;
    struct desk *desk = desk_of(NULL);
    *desk = (struct desk){.box = box, .turn = {.fire = on_turn, .arg = desk}};
    sem_init(&desk->go, 0, 0);
}

void mailbox_clear(struct mailbox *box)
{
    struct desk *desk = desk_of(box);
    sched_stop(&desk->turn);
    sem_destroy(&desk->go);
    *desk = (struct desk){0};
}

bool mailbox_put(struct mailbox *box, int lane, struct mail *mail, bool is_reserved)
{
    struct desk *desk = enter(box);
    mail->next = NULL;
    if (box->is_closed || (!is_reserved && box->count >= box->cap_count))
        return false;
    *box->lanes[lane].last = mail;
    box->lanes[lane].last = &mail->next;
    box->count++;
    if (desk->is_waiting && !desk->is_woken) {
        desk->is_woken = true;
        sched_set_us(&desk->turn, dice(1, WAKE_LATEST_US));
    }
    return true;
}

/* A thread that waits for a sign of life alone is woken less often than it asks for: in virtual hours that is all that would happen. */
bool mailbox_wait(struct mailbox *box, int64_t wait_ms)
{
    struct desk *desk = enter(box);
    if (box->count == 0 && !box->is_closed) {
        desk->is_waiting = true;
        desk->is_woken = false;
        if (wait_ms >= 0)
            sched_set_us(&desk->turn, 1000 * (wait_ms >= IDLE_LEAST_MS ? wait_ms * IDLE_FACTOR : wait_ms));
        give_back(desk);
        desk->is_waiting = false;
    }
    return box->count > 0 || !box->is_closed;
}

static struct mail *take_from(struct mailbox *box, int lane)
{
    struct mail *mail = box->lanes[lane].first;
    if (mail == NULL)
        return NULL;
    box->lanes[lane].first = mail->next;
    if (mail->next == NULL)
        box->lanes[lane].last = &box->lanes[lane].first;
    box->count--;
    return mail;
}

/* Where nothing more is to be taken the transaction is about to end: a while goes by at times, in which more mail comes, or the daemon dies. */
static struct mail *take(struct mailbox *box, int lane_first, int lane_last, int *ret_lane)
{
    struct desk *desk = enter(box);
    struct mail *mail = NULL;
    for (int i = lane_first; mail == NULL && i <= lane_last && i < MAILBOX_LANES_MAX; i++) {
        mail = take_from(box, i);
        if (mail != NULL && ret_lane != NULL)
            *ret_lane = i;
    }
    if (mail == NULL && !box->is_closed && desk->has_baton && dice_percent(PAUSE_PERCENT))
        pause_us(desk, dice_percent(LONG_PAUSE_PERCENT) ? dice(1, LONG_PAUSE_LATEST_US) : dice(1, PAUSE_LATEST_US));
    return mail;
}

struct mail *mailbox_take(struct mailbox *box, int lane_max, int *ret_lane)
{
    return take(box, 0, lane_max, ret_lane);
}

struct mail *mailbox_take_of(struct mailbox *box, int lane)
{
    return take(box, lane, lane, NULL);
}

void mailbox_close(struct mailbox *box)
{
    struct desk *desk = enter(box);
    box->is_closed = true;
    sched_stop(&desk->turn);
    desk->has_baton = true;
    sem_post(&desk->go);
}

int64_t mailbox_count(struct mailbox *box)
{
    return enter(box)->box->count;
}
