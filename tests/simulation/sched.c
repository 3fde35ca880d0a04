/* See sched.h: a binary heap of events, ordered by time and then by when they were set. */
#include "tests/simulation/sched.h"

#include "base/clock.h"
#include "core/rng.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BEGIN_MONO_US INT64_C(1000000000)
#define BEGIN_WALL_MS INT64_C(1795000000000) /* a day in November 2026 */
#define FNV_BASIS UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static struct {
    struct sched_event **heap; /* owned array of borrowed events; [0] is not used */
    size_t count, cap;
    uint64_t orders, steps, digest;
    int64_t now_us, wall_offset_ms;
    struct rng rng;
    bool is_verbose;
} sched;

static void clocks_set(int64_t now_us)
{
    sched.now_us = now_us;
    clock_fake(now_us, now_us / 1000 + sched.wall_offset_ms);
}

void sched_begin(uint64_t seed, bool is_verbose)
{
    sched.count = 0;
    sched.orders = sched.steps = 0;
    sched.digest = FNV_BASIS;
    sched.is_verbose = is_verbose;
    rng_seed(&sched.rng, (seed + 1) * UINT64_C(0x9e3779b97f4a7c15)); /* neighbours shall not be alike */
    for (int i = 0; i < 8; i++)
        rng_next(&sched.rng);
    sched.wall_offset_ms = BEGIN_WALL_MS - BEGIN_MONO_US / 1000;
    clocks_set(BEGIN_MONO_US);
}

void sched_end(void)
{
    for (size_t i = 1; i <= sched.count; i++)
        sched.heap[i]->place = 0;
    free(sched.heap);
    sched.heap = NULL;
    sched.count = sched.cap = 0;
}

int64_t sched_now_us(void)
{
    return sched.now_us;
}

void sched_jump_wall_ms(int64_t ms)
{
    sched.wall_offset_ms += ms;
    clocks_set(sched.now_us);
}

uint64_t sched_steps(void)
{
    return sched.steps;
}

/* ---- the heap ---- */
static bool is_before(const struct sched_event *a, const struct sched_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put_at(size_t place, struct sched_event *event)
{
    sched.heap[place] = event;
    event->place = place;
}

static void sift_up(size_t place, struct sched_event *event)
{
    for (; place > 1 && is_before(event, sched.heap[place / 2]); place /= 2)
        put_at(place, sched.heap[place / 2]);
    put_at(place, event);
}

static void sift_down(size_t place, struct sched_event *event)
{
    for (size_t child; (child = 2 * place) <= sched.count; place = child) {
        if (child < sched.count && is_before(sched.heap[child + 1], sched.heap[child]))
            child++;
        if (!is_before(sched.heap[child], event))
            break;
        put_at(place, sched.heap[child]);
    }
    put_at(place, event);
}

void sched_stop(struct sched_event *event)
{
    size_t place = event->place;
    if (place == 0)
        return;
    event->place = 0;
    struct sched_event *last = sched.heap[sched.count--];
    if (last == event)
        return;
    if (place > 1 && is_before(last, sched.heap[place / 2]))
        sift_up(place, last);
    else
        sift_down(place, last);
}

void sched_set_us(struct sched_event *event, int64_t delay_us)
{
    sched_stop(event);
    event->at_us = sched.now_us + max_i64(delay_us, 1);
    event->order = ++sched.orders;
    if (sched.count + 2 > sched.cap) {
        sched.cap = sched.cap ? 2 * sched.cap : 256;
        sched.heap = xreallocarray(sched.heap, sched.cap, sizeof *sched.heap);
    }
    sift_up(++sched.count, event);
}

bool sched_step(void)
{
    if (sched.count == 0)
        return false;
    struct sched_event *event = sched.heap[1];
    sched_stop(event);
    clocks_set(max_i64(event->at_us, sched.now_us));
    sched.steps++;
    event->fire(event->arg);
    return true;
}

/* ---- dice and trace ---- */
int64_t dice(int64_t low, int64_t high)
{
    return low + (int64_t)(rng_next(&sched.rng) % (uint64_t)(high - low + 1));
}

bool dice_percent(int64_t percent)
{
    return dice(0, 99) < percent;
}

void trace(const char *fmt, ...)
{
    char line[1024];
    int len = snprintf(line, sizeof line, "%12.6f ", (double)(sched.now_us - BEGIN_MONO_US) / 1e6);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + len, sizeof line - (size_t)len, fmt, ap);
    va_end(ap);
    for (const char *at = line; *at != '\0'; at++)
        sched.digest = (sched.digest ^ (unsigned char)*at) * FNV_PRIME;
    if (sched.is_verbose)
        puts(line);
}

uint64_t trace_digest(void)
{
    return sched.digest;
}
