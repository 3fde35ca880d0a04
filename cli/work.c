/* See work.h: the loop around the slots, signals, and what people hear of a daemon that is away. */
#include "cli/work.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/signals.h"
#include "cli/work_slot.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_WAIT_MS = 60000 };

const struct work_verdict_row work_verdicts[WORK_VERDICT_COUNT] = {
    [WORK_SUCCEEDED] = {"succeeded", "allocated"},
    [WORK_FAILED] = {"failed", "failed"},
    [WORK_RETRY] = {"retry", "to be tried again"},
    [WORK_AGENT_FULL] = {"agent_full", "with a full agent"},
    [WORK_INVALID_ANSWER] = {"invalid_answer", "not taken"},
    [WORK_STALE] = {"stale", "too late"},
    [WORK_DUPLICATE] = {"duplicate", "told before"},
};

struct loop {
    struct work work;
    struct slot *slots; /* owned */
    size_t slot_count;
    int signals_fd, last_signal; /* 0: none came */
    bool is_cut;                 /* a third signal: nothing is waited for */
    bool has_told_trouble;
};

void work_end(struct work *work, int status)
{
    work->is_draining = true;
    if (work->status == EXIT_WELL)
        work->status = status;
}

static size_t count_in_hand(const struct loop *loop)
{
    size_t count = 0;
    for (size_t i = 0; i < loop->slot_count; i++)
        count += loop->slots[i].state > SLOT_ASKING && loop->slots[i].state < SLOT_OVER;
    return count;
}

/* The first: what is in hand is finished. The second: it is given back. The third: the leases are left to their end. */
static void take_signals(struct loop *loop)
{
    struct work *work = &loop->work;
    for (unsigned count = signals_take(loop->signals_fd, &loop->last_signal); count > 0; count--) {
        loop->is_cut = work->is_stopping;
        work->is_stopping = work->is_draining;
        work->is_draining = true;
        size_t in_hand = count_in_hand(loop);
        if (in_hand > 0 && !loop->is_cut)
            say_always(work->cli, work->is_stopping ? "stopping: what is in hand is given back (%zu batch%s)"
                                                    : "ending: what is in hand is finished first (%zu batch%s); once more gives it back",
                       in_hand, in_hand == 1 ? "" : "es");
    }
}

static void look_at_deadline(struct work *work)
{
    if (work->is_draining || clock_mono_ms() < work->deadline_mono_ms)
        return;
    say_always(work->cli, "time ran out (--timeout); nothing more is taken");
    work_end(work, EXIT_STILL_GOING);
}

static void tell_trouble(struct loop *loop)
{
    const struct galloc_error *trouble = NULL;
    for (size_t i = 0; trouble == NULL && i < loop->slot_count; i++)
        trouble = slot_trouble(&loop->slots[i]);
    if (trouble != NULL && !loop->has_told_trouble)
        say(loop->work.cli, "%s; waiting for it", trouble->message);
    else if (trouble == NULL && loop->has_told_trouble)
        say(loop->work.cli, "the daemon answers again");
    loop->has_told_trouble = trouble != NULL;
}

static bool is_over(const struct loop *loop)
{
    for (size_t i = 0; i < loop->slot_count; i++)
        if (loop->slots[i].state != SLOT_OVER)
            return false;
    return true;
}

/* The one place that waits. */
static void wait_for_something(struct loop *loop)
{
    struct pollfd *fds = xcalloc(1 + CHILD_FDS_MAX * loop->slot_count, sizeof *fds);
    size_t count = 0;
    int64_t now_mono_ms = clock_mono_ms(), due_mono_ms = now_mono_ms + LONGEST_WAIT_MS;
    fds[count++] = (struct pollfd){.fd = loop->signals_fd, .events = POLLIN};
    if (!loop->work.is_draining)
        due_mono_ms = min_i64(due_mono_ms, loop->work.deadline_mono_ms);
    for (size_t i = 0; i < loop->slot_count; i++) {
        count += child_fds(&loop->slots[i].child, fds + count);
        due_mono_ms = min_i64(due_mono_ms, slot_due(&loop->slots[i]));
    }
    client_wait(loop->work.cli->client, fds, count, due_mono_ms - now_mono_ms);
    free(fds);
}

int work_run(struct cli *cli, const struct work_options *options, struct work_tally *ret_tally)
{
    struct loop loop = {.work = {.cli = cli, .options = options, .tally = ret_tally, .run = xstrdup(options->run), .deadline_mono_ms = INT64_MAX},
                        .slot_count = (size_t)options->parallel, .signals_fd = signals_open()};
    if (options->timeout_ms > 0)
        loop.work.deadline_mono_ms = clock_mono_ms() + options->timeout_ms;
    *ret_tally = (struct work_tally){0};
    loop.slots = xcalloc(loop.slot_count, sizeof *loop.slots);
    for (size_t i = 0; i < loop.slot_count; i++)
        slot_init(&loop.slots[i], &loop.work, (int)i + 1);
    for (;;) {
        take_signals(&loop);
        look_at_deadline(&loop.work);
        for (size_t i = 0; i < loop.slot_count; i++)
            slot_turn(&loop.slots[i]);
        tell_trouble(&loop);
        if (loop.is_cut || is_over(&loop))
            break;
        wait_for_something(&loop);
    }
    for (size_t i = 0; i < loop.slot_count; i++)
        slot_clear(&loop.slots[i]);
    if (loop.last_signal != 0)
        interrupt_note(loop.last_signal);
    free(loop.slots);
    free(loop.work.run);
    return loop.work.status;
}
