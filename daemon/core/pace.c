/* See pace.h. */
#include "core/pace.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK_MS = 1000, LONGEST_BLOCK_MS = 60000, SPEND_BLOCK_MS = 15000, SPEND_BLOCK_MAX_MS = 600000, HINT_MAX_MS = 3600000, QUOTA_PROBE_MS = 60000 };

void pace_init(struct pace *pace, double time_scale)
{
    *pace = (struct pace){.time_scale = time_scale};
}

void pace_clear(struct pace *pace)
{
    free(pace->log);
    pace->log = NULL;
}

void pace_set_limits(struct pace *pace, int64_t rpm, int64_t tpm, int64_t rpd)
{
    pace->rpm = rpm;
    pace->tpm = tpm;
    pace->rpd = rpd;
}

static struct pace_entry *entry_at(struct pace *pace, size_t i)
{
    return &pace->log[(pace->log_first + i) % pace->log_cap];
}

/* How long a send counts. */
static int64_t window_us(const struct pace *pace)
{
    return (int64_t)(PACE_WINDOW_US * pace->time_scale) + PACE_GUARD_US;
}

static void forget_old(struct pace *pace, int64_t now_us)
{
    int64_t since_us = now_us - window_us(pace);
    while (pace->log_count > 0 && entry_at(pace, 0)->at_us <= since_us) {
        pace->log_tokens -= entry_at(pace, 0)->tokens;
        pace->log_first = (pace->log_first + 1) % pace->log_cap;
        pace->log_count--;
    }
}

static void remember(struct pace *pace, int64_t now_us, int64_t tokens)
{
    if (pace->log_count == pace->log_cap) {
        if (pace->log_cap == PACE_LOG_MAX) { /* the oldest goes; more than 65,536 a minute are not held to the call */
            pace->log_tokens -= entry_at(pace, 0)->tokens;
            pace->log_first = (pace->log_first + 1) % pace->log_cap;
            pace->log_count--;
        } else {
            size_t cap = pace->log_cap ? 2 * pace->log_cap : 256;
            struct pace_entry *log = xreallocarray(NULL, cap, sizeof *log);
            for (size_t i = 0; i < pace->log_count; i++)
                log[i] = *entry_at(pace, i);
            free(pace->log);
            pace->log = log;
            pace->log_first = 0;
            pace->log_cap = cap;
        }
    }
    pace->log_count++;
    *entry_at(pace, pace->log_count - 1) = (struct pace_entry){now_us, tokens};
    pace->log_tokens += tokens;
}

/* When the log's entries from the oldest up to `count` have left the window. */
static int64_t wait_for_leaving(struct pace *pace, int64_t now_us, size_t count)
{
    int64_t leaves_us = entry_at(pace, count - 1)->at_us + window_us(pace);
    return max_i64(leaves_us - now_us, 1000);
}

static int64_t wait_for_tokens(struct pace *pace, int64_t now_us, int64_t tokens)
{
    int64_t over = pace->log_tokens + tokens - pace->tpm;
    size_t count = 0;
    while (count < pace->log_count && over > 0)
        over -= entry_at(pace, count++)->tokens;
    return count > 0 ? wait_for_leaving(pace, now_us, count) : 1000;
}

static void add_credit(struct pace *pace, int64_t now_us)
{
    double depth = fmax(1, pace->rate / 10);
    double elapsed_s = (double)(now_us - pace->credit_us) / 1e6;
    pace->credit = fmin(depth, pace->credit + elapsed_s * pace->rate);
    pace->credit_us = now_us;
}

/* Sends that the log lets within a window. */
static int64_t log_room(const struct pace *pace)
{
    return min_i64(pace->rpm, PACE_LOG_MAX);
}

enum pace_limit pace_ask_limits(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    forget_old(pace, now_us);
    if (pace->rpd > 0 && wall_ms < pace->day_ends_at_ms && pace->day_count >= pace->rpd) {
        *ret_wait_us = (pace->day_ends_at_ms - wall_ms) * 1000;
        return PACE_RPD;
    }
    if (pace->rpm > 0 && (int64_t)pace->log_count >= log_room(pace)) {
        *ret_wait_us = wait_for_leaving(pace, now_us, pace->log_count - (size_t)log_room(pace) + 1);
        return PACE_RPM;
    }
    /* A call larger than the whole quota goes alone: nothing else could ever let it through. */
    if (pace->tpm > 0 && pace->log_count > 0 && pace->log_tokens + tokens > pace->tpm) {
        *ret_wait_us = wait_for_tokens(pace, now_us, tokens);
        return PACE_TPM;
    }
    return PACE_FREE;
}

enum pace_limit pace_ask(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, bool with_rate, int64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    if (pace->blocked_until_us > now_us) {
        *ret_wait_us = pace->blocked_until_us - now_us;
        return pace->quota_day_until_at_ms ? PACE_QUOTA_DAY : PACE_BLOCKED;
    }
    if (pace->needs_canary && pace->has_canary) {
        *ret_wait_us = -1;
        return pace->quota_day_until_at_ms ? PACE_QUOTA_DAY : PACE_BLOCKED;
    }
    enum pace_limit limit = pace_ask_limits(pace, now_us, wall_ms, tokens, ret_wait_us);
    if (limit != PACE_FREE || !with_rate || pace->rate <= 0)
        return limit;
    add_credit(pace, now_us);
    if (pace->credit >= 1)
        return PACE_FREE;
    *ret_wait_us = (int64_t)ceil((1 - pace->credit) / pace->rate * 1e6);
    return PACE_RATE;
}

int64_t pace_room(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens, bool with_rate)
{
    int64_t wait_us;
    if (pace_ask(pace, now_us, wall_ms, tokens, with_rate, &wait_us) != PACE_FREE)
        return 0;
    int64_t room = pace->needs_canary ? 1 : INT64_MAX;
    if (pace->rpm > 0)
        room = min_i64(room, log_room(pace) - (int64_t)pace->log_count);
    if (pace->tpm > 0 && tokens > 0)
        room = min_i64(room, max_i64((pace->tpm - pace->log_tokens) / tokens, 1));
    if (pace->rpd > 0)
        room = min_i64(room, pace->rpd - (wall_ms < pace->day_ends_at_ms ? pace->day_count : 0));
    return with_rate && pace->rate > 0 ? min_i64(room, (int64_t)pace->credit) : room;
}

void pace_sent(struct pace *pace, int64_t now_us, int64_t wall_ms, int64_t tokens)
{
    remember(pace, now_us, tokens);
    if (wall_ms >= pace->day_ends_at_ms) {
        pace->day_count = 0;
        pace->day_ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    }
    pace->day_count++;
    if (pace->rate > 0) {
        add_credit(pace, now_us);
        pace->credit = fmax(pace->credit - 1, 0);
    }
    if (pace->needs_canary && now_us >= pace->blocked_until_us) /* a test request that was sent within the block is none: it ends nothing */
        pace->has_canary = true;
}

void pace_canary_failed(struct pace *pace, int64_t sent_us)
{
    if (pace->needs_canary && sent_us >= pace->blocked_until_us)
        pace->has_canary = false;
}

/* What a send of unknown size counts as: the largest that is known; the whole quota when none is. */
static int64_t unknown_tokens(const struct pace *pace, const struct pace_send *sends, size_t count)
{
    int64_t largest = -1;
    for (size_t i = 0; i < count; i++)
        largest = max_i64(largest, sends[i].tokens);
    return largest >= 0 ? largest : pace->tpm;
}

static int by_time(const void *a, const void *b)
{
    const struct pace_entry *x = a, *y = b;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

void pace_read_back(struct pace *pace, int64_t now_us, int64_t wall_ms, const struct pace_send *sends, size_t count, int64_t day_calls)
{
    struct pace_entry *entries = xcalloc(count, sizeof *entries);
    int64_t unknown = unknown_tokens(pace, sends, count);
    for (size_t i = 0; i < count; i++) /* the wall clock may have gone back since: then as if sent now */
        entries[i] = (struct pace_entry){now_us - max_i64(wall_ms - sends[i].at_ms, 0) * 1000, sends[i].tokens < 0 ? unknown : sends[i].tokens};
    qsort(entries, count, sizeof *entries, by_time);
    for (size_t i = 0; i < count; i++)
        remember(pace, entries[i].at_us, entries[i].tokens);
    forget_old(pace, now_us);
    free(entries);
    pace->day_count = day_calls;
    pace->day_ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
}

/* The entry of what was sent then; log_count when it has left. */
static size_t find_sent(struct pace *pace, int64_t sent_us)
{
    size_t low = 0, high = pace->log_count;
    while (low < high) { /* the log is in order of time */
        size_t mid = (low + high) / 2;
        if (entry_at(pace, mid)->at_us < sent_us)
            low = mid + 1;
        else
            high = mid;
    }
    return low < pace->log_count && entry_at(pace, low)->at_us == sent_us ? low : pace->log_count;
}

void pace_tokens_known(struct pace *pace, int64_t sent_us, int64_t tokens)
{
    size_t at = find_sent(pace, sent_us);
    if (at == pace->log_count)
        return;
    pace->log_tokens += tokens - entry_at(pace, at)->tokens;
    entry_at(pace, at)->tokens = tokens;
}

void pace_unsent(struct pace *pace, int64_t sent_us, int64_t sent_wall_ms)
{
    size_t at = find_sent(pace, sent_us);
    if (at < pace->log_count) {
        pace->log_tokens -= entry_at(pace, at)->tokens;
        for (pace->log_count--; at < pace->log_count; at++)
            *entry_at(pace, at) = *entry_at(pace, at + 1);
    }
    if (pace->day_count > 0 && clock_next_pacific_midnight_ms(sent_wall_ms) == pace->day_ends_at_ms) /* else a new day has begun since */
        pace->day_count--;
    if (pace->rate > 0)
        pace->credit += 1;
    pace_canary_failed(pace, sent_us);
}

void pace_accepted(struct pace *pace, int64_t now_us, int64_t sent_us)
{
    if (pace->needs_canary && sent_us >= pace->blocked_until_us) {
        pace->needs_canary = pace->has_canary = false;
        pace->block_ms = 0;
        pace->blocked_until_us = 0;
        pace->quota_day_until_at_ms = 0;
        pace->quota_probe_ms = 0;
    }
    if (pace->rate > 0) { /* additive increase: a twentieth of the rate every second, shared by the successes of that second */
        pace->rate += 0.05 / pace->time_scale;
        if (now_us - pace->rate_set_us > (int64_t)(600e6 * pace->time_scale))
            pace->rate *= 1.01;
    }
}

/* Sends a second over the time that the log covers, at least a second, at most the window. */
static double sent_rate(struct pace *pace, int64_t now_us)
{
    forget_old(pace, now_us);
    if (pace->log_count == 0)
        return 0;
    int64_t covered_us = max_i64(now_us - entry_at(pace, 0)->at_us, (int64_t)(1e6 * pace->time_scale));
    return (double)pace->log_count * 1e6 / (double)covered_us;
}

static void block_for_day(struct pace *pace, int64_t now_us, int64_t wall_ms)
{
    int64_t reset_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    pace->quota_day_until_at_ms = reset_at_ms;
    pace->quota_probe_ms = pace->quota_probe_ms ? min_i64(2 * pace->quota_probe_ms, 3600000) : QUOTA_PROBE_MS;
    int64_t wait_ms = min_i64((int64_t)((double)pace->quota_probe_ms * pace->time_scale), reset_at_ms - wall_ms);
    pace->blocked_until_us = now_us + max_i64(wait_ms, 1) * 1000;
}

static void lower_rate(struct pace *pace, int64_t now_us, const struct pace_refusal *refusal)
{
    if (refusal->quota_value > 0 && !refusal->is_tokens) {
        pace->rate = fmax(PACE_RATE_MIN, 0.98 * (double)refusal->quota_value / 60 / pace->time_scale);
    } else {
        double seen = sent_rate(pace, now_us);
        pace->rate = fmax(PACE_RATE_MIN, PACE_DECREASE * (pace->rate > 0 ? fmin(pace->rate, fmax(seen, PACE_RATE_MIN)) : seen));
    }
    pace->rate_set_us = now_us;
    pace->credit = 0;
    pace->credit_us = now_us;
}

void pace_refused(struct pace *pace, int64_t now_us, int64_t wall_ms, const struct pace_refusal *refusal, struct rng *rng)
{
    bool is_canary = pace->needs_canary && pace->has_canary && refusal->sent_us >= pace->blocked_until_us;
    bool is_first = !pace->needs_canary;
    if (!is_first && !is_canary && !refusal->is_day)
        return; /* of the flight that met the block: it is known already */
    pace->has_canary = false;
    pace->needs_canary = true;
    if (refusal->is_day) {
        if (is_first || is_canary || pace->quota_day_until_at_ms == 0)
            block_for_day(pace, now_us, wall_ms);
        return;
    }
    pace->quota_day_until_at_ms = 0;
    int64_t first_ms = refusal->is_spend ? SPEND_BLOCK_MS : FIRST_BLOCK_MS;
    int64_t longest_ms = refusal->is_spend ? SPEND_BLOCK_MAX_MS : LONGEST_BLOCK_MS;
    pace->block_ms = is_canary && pace->block_ms ? min_i64(2 * pace->block_ms, longest_ms) : first_ms;
    double wait_ms = (double)pace->block_ms * pace->time_scale * rng_range(rng, 1.0, 1.1);
    if (refusal->retry_after_ms >= 0) /* a hint is the server's own clock: not scaled; after it a little more, so that the canary is not early */
        wait_ms = fmax(is_canary ? wait_ms / 2 : 0, (double)min_i64(refusal->retry_after_ms, HINT_MAX_MS) + rng_range(rng, 20, 100));
    pace->blocked_until_us = now_us + (int64_t)(wait_ms * 1000);
    if (is_first)
        lower_rate(pace, now_us, refusal);
}
