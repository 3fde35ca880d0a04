/* See work_slot.h.
 *
 *   idle -> asking -> working -> telling ---> idle      telling: the results, in one request or several, until each is answered
 *     |       |          |          |           |       releasing: the lease is given back, because the command asked for it (75) or we are stopped;
 *     |       |          +-> releasing ---------+                  a lease that is lost, or that nobody answers for, is left to its end
 *     v       v
 *    over   over: nothing to do (--once), the run is at its end, or nothing more is wanted
 *
 * become() alone changes the state. The lease is renewed at a third of its time while the command runs. */
#include "cli/work_slot.h"

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "cli/out.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASK_WAIT_MS = 10000,      /* the daemon holds the question so long when there is nothing to do */
    ASK_AGAIN_MS = 100,
    PAUSED_MS = 1000,
    BACKOFF_MS = 1000,        /* after a command that failed; doubles */
    BACKOFF_MAX_MS = 60000,
    COMPLAINTS_MAX = 3,       /* of one answer's verdicts */
    RELEASE_TRIES = 3,        /* while we end; then the lease's own end has to do */
    STATUS_FAIL = 65,         /* sysexits.h: EX_DATAERR, EX_TEMPFAIL */
    STATUS_RELEASE = 75
};

static void become(struct slot *slot, enum slot_state state)
{
    slot->state = state;
}

static struct client *client_of(const struct slot *slot)
{
    return slot->work->cli->client;
}

static bool is_late(const struct slot *slot)
{
    return clock_mono_ms() >= slot->work->deadline_mono_ms;
}

/* ---- a batch ends ---- */

static int64_t backoff_ms(const struct slot *slot)
{
    return slot->failures == 0 ? 0 : min_i64((int64_t)BACKOFF_MS << (slot->failures < 8 ? slot->failures - 1 : 7), BACKOFF_MAX_MS);
}

static void end_batch(struct slot *slot)
{
    exchange_clear(&slot->renewal);
    exchange_clear(&slot->exchange);
    child_clear(&slot->child);
    batch_clear(&slot->batch);
    buf_clear(&slot->output);
    slot->due_mono_ms = clock_mono_ms() + backoff_ms(slot);
    become(slot, SLOT_IDLE);
}

static void tell_batch(const struct slot *slot)
{
    struct buf line = BUF_EMPTY;
    if (!slot->work->cli->is_verbose)
        return;
    buf_add_fmt(&line, "lease %s of run %s: %s assignment%s in ", slot->batch.lease, slot->batch.run, text_count((int64_t)slot->batch.count).text,
                slot->batch.count == 1 ? "" : "s");
    show_ms(&line, clock_mono_ms() - slot->started_mono_ms);
    for (size_t i = 0, n = 0; i < WORK_VERDICT_COUNT; i++)
        if (slot->told[i] > 0)
            buf_add_fmt(&line, "%s%s %s", n++ == 0 ? ": " : ", ", text_count(slot->told[i]).text, work_verdicts[i].words);
    say(slot->work->cli, "%s", buf_text(&line));
    buf_clear(&line);
}

/* ---- releasing ---- */

static char *lease_path(const struct slot *slot, const char *what)
{
    return xasprintf("/v1/leases/%s%s", slot->batch.lease, what);
}

static void release(struct slot *slot)
{
    exchange_start(&slot->exchange, client_of(slot), "DELETE", lease_path(slot, ""), NULL);
    become(slot, SLOT_RELEASING);
}

static void turn_releasing(struct slot *slot)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct work *work = slot->work;
    int rc = exchange_turn(&slot->exchange, &response, &error);
    if (rc == EXCHANGE_PENDING) {
        if (work->is_draining && slot->exchange.tries >= RELEASE_TRIES) {
            say_always(work->cli, "lease %s could not be given back: %s; it runs out by itself", slot->batch.lease, slot->exchange.last.message);
            end_batch(slot);
        }
        return;
    }
    if (rc == 0)
        work->tally->released += json_get_i64(response.json, "released", 0);
    else
        say_always(work->cli, "lease %s could not be given back: %s", slot->batch.lease, error.message);
    if (rc == 0 && work->cli->is_verbose)
        say(work->cli, "lease %s of run %s: given back", slot->batch.lease, slot->batch.run);
    response_clear(&response);
    end_batch(slot);
}

/* ---- telling ---- */

static void tell_next(struct slot *slot)
{
    struct buf body = BUF_EMPTY;
    if (!batch_next_body(&slot->batch, &body)) {
        tell_batch(slot);
        end_batch(slot);
        return;
    }
    exchange_start(&slot->exchange, client_of(slot), "POST", lease_path(slot, "/results"), &body);
    become(slot, SLOT_TELLING);
}

/* WORK_VERDICT_COUNT: none that we know. */
static enum work_verdict verdict_of(const char *name)
{
    size_t i = 0;
    while (i < WORK_VERDICT_COUNT && strcmp(name, work_verdicts[i].name) != 0)
        i++;
    return (enum work_verdict)i;
}

static void count_verdict(struct slot *slot, struct json_object *item, size_t *complaints)
{
    const struct cli *cli = slot->work->cli;
    const char *name = json_get_str(item, "verdict", ""), *key = json_get_str(item, "key", "?");
    enum work_verdict verdict = verdict_of(name);
    if (verdict == WORK_VERDICT_COUNT) {
        slot->work->tally->unknown++;
        if ((*complaints)++ < COMPLAINTS_MAX)
            say_always(cli, "lease %s: the daemon said \"%s\" of %s, which this gallocctl does not know; see 'gallocctl version'", slot->batch.lease, name, key);
        return;
    }
    slot->told[verdict]++;
    slot->work->tally->verdicts[verdict]++;
    if (verdict == WORK_INVALID_ANSWER && (*complaints)++ < COMPLAINTS_MAX)
        say_always(cli, "lease %s: the result of %s was not taken: %s", slot->batch.lease, key, json_get_str(item, "message", name));
}

static void turn_telling(struct slot *slot)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct work *work = slot->work;
    int rc = exchange_turn(&slot->exchange, &response, &error);
    bool is_given_up = rc == EXCHANGE_PENDING && slot->exchange.tries > 0 && (work->is_stopping || is_late(slot));
    if (rc == EXCHANGE_PENDING && !is_given_up)
        return;
    if (rc == 0) {
        size_t complaints = 0;
        struct json_object *items = json_get(response.json, "items");
        for (size_t i = 0; i < json_array_len(items); i++)
            count_verdict(slot, json_array_at(items, i), &complaints);
        tell_next(slot);
    } else {
        say_always(work->cli, "lease %s: its results were not taken in: %s", slot->batch.lease, is_given_up ? slot->exchange.last.message : error.message);
        work->tally->untold++;
        slot->failures++;
        if (is_given_up)
            end_batch(slot);
        else
            release(slot);
    }
    response_clear(&response);
}

/* ---- working ---- */

enum command_end { END_TAKE, END_RELEASE, END_FAIL, END_RETRY, END_LOST };

static enum command_end how_it_ended(const struct slot *slot)
{
    static const struct {
        int status;
        enum command_end end;
    } rows[] = {{0, END_TAKE}, {STATUS_RELEASE, END_RELEASE}, {STATUS_FAIL, END_FAIL}};
    const struct child *child = &slot->child;
    if (slot->is_lost)
        return END_LOST;
    if (slot->is_given_up)
        return END_RELEASE;
    if (child->is_over_cap || slot->has_timed_out)
        return END_RETRY;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (child_exit_status(child) == rows[i].status)
            return rows[i].end;
    int signal_number = child_signal(child); /* whoever ends us may have ended it too: a service manager does */
    bool is_ended_with_us = slot->work->is_draining && (signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP);
    return is_ended_with_us ? END_RELEASE : END_RETRY;
}

/* The whole batch is told as an error. */
static void fail_batch(struct slot *slot, bool may_retry)
{
    struct buf words = BUF_EMPTY;
    const struct child *child = &slot->child;
    const char *code = "command_failed";
    if (child->is_over_cap) {
        code = "bad_output";
        buf_add_fmt(&words, "the command printed more than %d MiB and was stopped", BATCH_OUTPUT_BYTES >> 20);
    } else if (slot->has_timed_out) {
        code = "command_timeout";
        buf_add_str(&words, "the command took longer than --command-timeout and was stopped");
    } else {
        buf_add_str(&words, "the command ended with ");
        child_describe_end(child, &words);
    }
    slot->work->tally->command_failures++;
    slot->failures++;
    say_always(slot->work->cli, "lease %s (%s%s): %s; %s", slot->batch.lease, slot->batch.items[0].key, slot->batch.count > 1 ? " …" : "", buf_text(&words),
               may_retry ? "to be tried again" : "the batch fails");
    batch_set_error(&slot->batch, code, buf_take(&words), may_retry);
    tell_next(slot);
}

static void take_output(struct slot *slot)
{
    slot->output = slot->child.out; /* the results point into it */
    slot->child.out = BUF_EMPTY;
    bool is_well = batch_take_output(slot->work->cli, &slot->batch, &slot->output) > 0;
    slot->failures = is_well ? 0 : slot->failures + 1;
    slot->work->tally->command_failures += !is_well;
    tell_next(slot);
}

static void on_command_end(struct slot *slot)
{
    exchange_clear(&slot->renewal);
    switch (how_it_ended(slot)) {
    case END_TAKE: take_output(slot); break;
    case END_RELEASE:
        slot->failures++; /* or the same assignments would come again at once */
        release(slot);
        break;
    case END_FAIL: fail_batch(slot, false); break;
    case END_RETRY: fail_batch(slot, true); break;
    case END_LOST: end_batch(slot); break;
    }
}

static void lose(struct slot *slot)
{
    slot->is_lost = true;
    slot->work->tally->lost_leases++;
    say_always(slot->work->cli, "lease %s is lost: its assignments are in other hands; the command is stopped, and what it decided is dropped", slot->batch.lease);
    child_stop(&slot->child);
}

static void renew(struct slot *slot)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    if (!exchange_is_under_way(&slot->renewal)) {
        if (clock_mono_ms() < slot->renew_mono_ms)
            return;
        exchange_start(&slot->renewal, client_of(slot), "POST", lease_path(slot, "/renew"), NULL);
    }
    int rc = exchange_turn(&slot->renewal, &response, &error);
    if (rc == EXCHANGE_PENDING)
        return;
    slot->renew_mono_ms = clock_mono_ms() + max_i64(slot->batch.ttl_ms / 3, 1);
    if (rc == -GALLOC_LEASE_LOST)
        lose(slot);
    else if (rc < 0)
        say_always(slot->work->cli, "lease %s was not renewed: %s", slot->batch.lease, error.message);
    response_clear(&response);
}

static void turn_working(struct slot *slot)
{
    const struct work_options *options = slot->work->options;
    if (child_turn(&slot->child)) {
        on_command_end(slot);
        return;
    }
    if (!slot->is_lost)
        renew(slot);
    if (options->command_timeout_ms > 0 && clock_mono_ms() - slot->started_mono_ms >= options->command_timeout_ms && !slot->has_timed_out) {
        slot->has_timed_out = true;
        child_stop(&slot->child);
    }
    if (slot->work->is_stopping && !slot->is_given_up) {
        slot->is_given_up = true;
        child_stop(&slot->child);
    }
}

/* ---- asking ---- */

static void ask(struct slot *slot)
{
    const struct work_options *options = slot->work->options;
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    char *worker = options->parallel > 1 ? xasprintf("%s:%d", options->worker, slot->number) : xstrdup(options->worker);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "worker", worker);
    if (slot->work->run != NULL)
        json_out_member_str(&out, "run", slot->work->run);
    json_out_member_int(&out, "max", options->batch);
    if (options->ttl_ms > 0)
        json_out_member_int(&out, "ttl_ms", options->ttl_ms);
    json_out_member_int(&out, "wait_ms", options->is_once || !slot->work->has_asked ? 0 : ASK_WAIT_MS);
    slot->work->has_asked = true;
    json_out_end(&out, '}');
    free(worker);
    exchange_start(&slot->exchange, client_of(slot), "POST", xstrdup("/v1/leases"), &body);
    become(slot, SLOT_ASKING);
}

static void on_refused(struct slot *slot, const struct galloc_error *error)
{
    struct work *work = slot->work;
    become(slot, SLOT_OVER);
    if (error->code == GALLOC_PAUSED && !work->options->is_once) {
        if (!work->has_told_pause)
            say(work->cli, "%s; waiting for that", error->message);
        work->has_told_pause = true;
        slot->due_mono_ms = clock_mono_ms() + PAUSED_MS;
        become(slot, SLOT_IDLE);
    } else if (error->code == GALLOC_WRONG_STATE) {
        if (!work->is_draining && !work->options->is_once)
            say(work->cli, "%s", error->message);
        work_end(work, EXIT_WELL);
    } else {
        work_end(work, work->is_draining ? EXIT_WELL : say_error(work->cli, error));
    }
}

static void start_command(struct slot *slot, struct buf *input)
{
    struct galloc_error error;
    struct work *work = slot->work;
    char *const *argv = work->options->argv;
    const char *slash = strrchr(argv[0], '/'), *name = slash != NULL ? slash + 1 : argv[0];
    char *label = work->options->parallel > 1 ? xasprintf("%s[%d]", name, slot->number) : xstrdup(name);
    if (child_start(&slot->child, work->cli, argv, label, input, BATCH_OUTPUT_BYTES, &error) == 0) {
        become(slot, SLOT_WORKING);
        return;
    }
    int status = say_error(work->cli, &error);
    if (error.code == GALLOC_USAGE)
        work_end(work, status); /* it will not be there the next time either */
    slot->failures++;
    release(slot);
}

static void on_lease(struct slot *slot, const struct response *response)
{
    struct galloc_error error;
    struct work *work = slot->work;
    struct buf input = BUF_EMPTY;
    int64_t now_mono_ms = clock_mono_ms();
    if (batch_read(&slot->batch, response, &input, &error) < 0) {
        become(slot, SLOT_OVER);
        work_end(work, say_error(work->cli, &error));
        return;
    }
    work->has_told_pause = false;
    if (work->run != NULL && work->run[0] == '@') { /* the run that was last when we began, also when others come */
        free(work->run);
        work->run = xstrdup(slot->batch.run);
    }
    work->tally->batches++;
    work->tally->assignments += (int64_t)slot->batch.count;
    slot->started_mono_ms = now_mono_ms;
    slot->renew_mono_ms = now_mono_ms + max_i64(slot->batch.ttl_ms / 3, 1);
    slot->is_lost = slot->has_timed_out = slot->is_given_up = false;
    memset(slot->told, 0, sizeof slot->told);
    if (work->is_draining)
        release(slot); /* it came while we were ending */
    else
        start_command(slot, &input);
    buf_clear(&input);
}

static void turn_asking(struct slot *slot)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = exchange_turn(&slot->exchange, &response, &error);
    if (rc == EXCHANGE_PENDING) {
        if (!slot->work->is_draining)
            return;
        exchange_clear(&slot->exchange); /* a client that is gone is leased nothing */
        become(slot, SLOT_OVER);
    } else if (rc < 0) {
        on_refused(slot, &error);
    } else if (response.status == 200) {
        on_lease(slot, &response);
    } else {
        slot->due_mono_ms = clock_mono_ms() + ASK_AGAIN_MS;
        become(slot, slot->work->options->is_once ? SLOT_OVER : SLOT_IDLE);
    }
    response_clear(&response);
}

static void turn_idle(struct slot *slot)
{
    if (slot->work->is_draining)
        become(slot, SLOT_OVER);
    else if (clock_mono_ms() >= slot->due_mono_ms)
        ask(slot);
}

/* ---- for work.c ---- */

void slot_init(struct slot *slot, struct work *work, int number)
{
    *slot = (struct slot){.work = work, .number = number, .child = CHILD_EMPTY};
}

void slot_turn(struct slot *slot)
{
    switch (slot->state) {
    case SLOT_IDLE: turn_idle(slot); break;
    case SLOT_ASKING: turn_asking(slot); break;
    case SLOT_WORKING: turn_working(slot); break;
    case SLOT_TELLING: turn_telling(slot); break;
    case SLOT_RELEASING: turn_releasing(slot); break;
    case SLOT_OVER: break;
    }
}

int64_t slot_due(const struct slot *slot)
{
    int64_t due_mono_ms = exchange_due(&slot->exchange);
    if (slot->state == SLOT_IDLE)
        due_mono_ms = slot->work->is_draining ? 0 : slot->due_mono_ms;
    if (slot->state != SLOT_WORKING)
        return due_mono_ms;
    if (!slot->is_lost)
        due_mono_ms = exchange_is_under_way(&slot->renewal) ? exchange_due(&slot->renewal) : slot->renew_mono_ms;
    if (slot->work->options->command_timeout_ms > 0 && !slot->has_timed_out)
        due_mono_ms = min_i64(due_mono_ms, slot->started_mono_ms + slot->work->options->command_timeout_ms);
    return min_i64(due_mono_ms, child_due(&slot->child));
}

const struct galloc_error *slot_trouble(const struct slot *slot)
{
    if (slot->exchange.tries > 0)
        return &slot->exchange.last;
    return slot->renewal.tries > 0 ? &slot->renewal.last : NULL;
}

void slot_clear(struct slot *slot)
{
    exchange_clear(&slot->exchange);
    exchange_clear(&slot->renewal);
    child_clear(&slot->child);
    batch_clear(&slot->batch);
    buf_clear(&slot->output);
}
