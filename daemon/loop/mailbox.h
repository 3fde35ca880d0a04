/* A bounded queue into a thread, in lanes: a lower lane is always taken first. What is put in is moved, not shared. */
#ifndef GALLOC_LOOP_MAILBOX_H
#define GALLOC_LOOP_MAILBOX_H

#include "base/util.h"

#include <pthread.h>

#define MAILBOX_LANES_MAX 6

/* Embedded in what is handed over. */
struct mail {
    struct mail *next;
};

struct mailbox {
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t has_mail;
    struct {
        struct mail *first, **last;
    } lanes[MAILBOX_LANES_MAX];
    int64_t count, cap_count;
    bool is_closed;
};

void mailbox_init(struct mailbox *box, int64_t cap_count);
void mailbox_clear(struct mailbox *box); /* it has to be empty */

/* False when the box is full (never with `is_reserved`: a place is kept for what is owed) or closed; then the mail stays the caller's. Any thread. */
bool mailbox_put(struct mailbox *box, int lane, struct mail *mail, bool is_reserved) MUST_CHECK;

/* Waits up to wait_ms (-1: for ever) until there is mail or the box is closed. False: closed and empty. The receiving thread. */
bool mailbox_wait(struct mailbox *box, int64_t wait_ms);

/* The next mail of the lowest lane that has any, at most `lane_max`; NULL when there is none. *ret_lane is its lane. The receiving thread. */
struct mail *mailbox_take(struct mailbox *box, int lane_max, int *ret_lane);

/* The next mail of this lane alone; NULL when it is empty. The receiving thread. */
struct mail *mailbox_take_of(struct mailbox *box, int lane);

/* From now on nothing more is let in; what is in is still taken. Any thread. */
void mailbox_close(struct mailbox *box);

int64_t mailbox_count(struct mailbox *box); /* any thread */

#endif
