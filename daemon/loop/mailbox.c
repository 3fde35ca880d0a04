/* See mailbox.h. */
#include "loop/mailbox.h"

#include "loop/cond.h"

void mailbox_init(struct mailbox *box, int64_t cap_count)
{
    *box = (struct mailbox){.cap_count = cap_count};
    pthread_mutex_init(&box->lock, NULL);
    cond_init(&box->has_mail);
    for (int i = 0; i < MAILBOX_LANES_MAX; i++)
        box->lanes[i].last = &box->lanes[i].first;
}

void mailbox_clear(struct mailbox *box)
{
    pthread_cond_destroy(&box->has_mail);
    pthread_mutex_destroy(&box->lock);
}

bool mailbox_put(struct mailbox *box, int lane, struct mail *mail, bool is_reserved)
{
    mail->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool is_let_in = !box->is_closed && (is_reserved || box->count < box->cap_count);
    if (is_let_in) {
        *box->lanes[lane].last = mail;
        box->lanes[lane].last = &mail->next;
        if (box->count++ == 0)
            pthread_cond_signal(&box->has_mail);
    }
    pthread_mutex_unlock(&box->lock);
    return is_let_in;
}

bool mailbox_wait(struct mailbox *box, int64_t wait_ms)
{
    struct timespec until = cond_until(wait_ms > 0 ? wait_ms : 0);
    pthread_mutex_lock(&box->lock);
    int rc = 0;
    while (box->count == 0 && !box->is_closed && rc == 0)
        rc = wait_ms < 0 ? pthread_cond_wait(&box->has_mail, &box->lock) : pthread_cond_timedwait(&box->has_mail, &box->lock, &until);
    bool goes_on = box->count > 0 || !box->is_closed;
    pthread_mutex_unlock(&box->lock);
    return goes_on;
}

/* The first of a lane, with the lock held. */
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

struct mail *mailbox_take(struct mailbox *box, int lane_max, int *ret_lane)
{
    struct mail *mail = NULL;
    pthread_mutex_lock(&box->lock);
    for (int i = 0; mail == NULL && i <= lane_max && i < MAILBOX_LANES_MAX; i++) {
        mail = take_from(box, i);
        if (mail != NULL && ret_lane != NULL)
            *ret_lane = i;
    }
    pthread_mutex_unlock(&box->lock);
    return mail;
}

struct mail *mailbox_take_of(struct mailbox *box, int lane)
{
    pthread_mutex_lock(&box->lock);
    struct mail *mail = take_from(box, lane);
    pthread_mutex_unlock(&box->lock);
    return mail;
}

void mailbox_close(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->is_closed = true;
    pthread_cond_broadcast(&box->has_mail);
    pthread_mutex_unlock(&box->lock);
}

int64_t mailbox_count(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    int64_t count = box->count;
    pthread_mutex_unlock(&box->lock);
    return count;
}
