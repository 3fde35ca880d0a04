/* See eta.h. Completions are counted into slots of a ring; when the window outgrows the ring, slots double in width. */
#include "core/eta.h"

#include <math.h>
#include <string.h>

enum { SLOT_START_MS = 1000, WINDOW_MS = 60000 };

void eta_restart(struct eta *eta, int64_t now_ms)
{
    *eta = (struct eta){.started_ms = now_ms, .slot_ms = SLOT_START_MS, .slot_at_ms = now_ms};
}

static void move_to(struct eta *eta, int64_t now_ms)
{
    if (now_ms - eta->slot_at_ms > eta->slot_ms * ETA_SLOTS) { /* nothing for longer than the ring holds */
        memset(eta->slots, 0, sizeof eta->slots);
        eta->slot_at_ms = now_ms;
        return;
    }
    while (now_ms - eta->slot_at_ms >= eta->slot_ms) {
        eta->slot_at_ms += eta->slot_ms;
        eta->newest = (eta->newest + 1) % ETA_SLOTS;
        eta->slots[eta->newest] = 0;
    }
}

void eta_completed(struct eta *eta, int64_t count, int64_t now_ms)
{
    if (eta->started_ms == 0)
        eta_restart(eta, now_ms);
    move_to(eta, now_ms);
    eta->slots[eta->newest] += count;
    eta->completions += count;
}

/* Completions in the trailing window and the window's true length. */
static int64_t window_count(const struct eta *eta, int64_t now_ms, double *ret_window_ms)
{
    struct eta copy = *eta;
    move_to(&copy, now_ms);
    double window_ms = fmin(WINDOW_MS, (double)(now_ms - copy.started_ms));
    int64_t count = 0;
    int slots = (int)fmin(ETA_SLOTS, ceil(window_ms / (double)copy.slot_ms) + 1);
    for (int i = 0; i < slots; i++)
        count += copy.slots[(copy.newest + ETA_SLOTS - i) % ETA_SLOTS];
    *ret_window_ms = fmax(window_ms, 1);
    return count;
}

double eta_rate_per_second(const struct eta *eta, int64_t now_ms)
{
    if (eta->started_ms == 0)
        return 0;
    double window_ms;
    int64_t count = window_count(eta, now_ms, &window_ms);
    return (double)count * 1000 / window_ms;
}

void eta_answer(const struct eta *eta, int64_t remaining, int64_t total, int64_t now_ms, struct eta_answer *ret_answer)
{
    *ret_answer = (struct eta_answer){0};
    if (eta->started_ms == 0)
        return;
    double window_ms;
    int64_t count = window_count(eta, now_ms, &window_ms);
    bool is_enough = eta->completions >= 10 && (now_ms - eta->started_ms >= WINDOW_MS / 10 || eta->completions * 100 >= total);
    if (!is_enough || count <= 0 || remaining <= 0)
        return;
    double seconds = (double)remaining * window_ms / (double)count / 1000;
    /* The spread of a count is its square root (Poisson); doubled for a range of about 95 %, at least 10 %. */
    double spread = fmax(0.1, 2 / sqrt((double)count));
    ret_answer->is_known = true;
    ret_answer->seconds = (int64_t)ceil(seconds);
    ret_answer->low_seconds = (int64_t)floor(seconds / (1 + spread));
    ret_answer->high_seconds = (int64_t)ceil(seconds * (1 + spread));
}
