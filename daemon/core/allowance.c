/* See allowance.h. */
#include "core/allowance.h"

#include "base/clock.h"

void allowance_init(struct allowance *allowance, double time_scale)
{
    *allowance = (struct allowance){.time_scale = time_scale};
}

void allowance_clear(struct allowance *allowance)
{
    sendlog_clear(&allowance->log);
}

void allowance_set(struct allowance *allowance, int64_t rpm, int64_t tpm, int64_t rpd)
{
    allowance->rpm = rpm;
    allowance->tpm = tpm;
    allowance->rpd = rpd;
}

/* How long a send counts. */
static int64_t window_us(const struct allowance *allowance)
{
    return (int64_t)(ALLOWANCE_WINDOW_US * allowance->time_scale) + ALLOWANCE_GUARD_US;
}

static void forget_oldest(struct allowance *allowance)
{
    allowance->log_tokens -= sendlog_at(&allowance->log, 0)->tokens;
    sendlog_remove_oldest(&allowance->log);
}

static void forget_old(struct allowance *allowance, int64_t now_us)
{
    int64_t since_us = now_us - window_us(allowance);
    while (allowance->log.count > 0 && sendlog_at(&allowance->log, 0)->at_us <= since_us)
        forget_oldest(allowance);
}

static void remember(struct allowance *allowance, int64_t now_us, int64_t tokens)
{
    if (sendlog_is_full(&allowance->log))
        forget_oldest(allowance);
    sendlog_add(&allowance->log, (struct sendlog_entry){.at_us = now_us, .tokens = tokens, .counts = true});
    allowance->log_tokens += tokens;
}

/* When the log's entries from the oldest up to `count` have left the window. */
static int64_t wait_for_leaving(struct allowance *allowance, int64_t now_us, size_t count)
{
    int64_t leaves_us = sendlog_at(&allowance->log, count - 1)->at_us + window_us(allowance);
    return max_i64(leaves_us - now_us, 1000);
}

static int64_t wait_for_tokens(struct allowance *allowance, int64_t now_us, int64_t tokens)
{
    int64_t over = allowance->log_tokens + tokens - allowance->tpm;
    size_t count = 0;
    while (count < allowance->log.count && over > 0)
        over -= sendlog_at(&allowance->log, count++)->tokens;
    return count > 0 ? wait_for_leaving(allowance, now_us, count) : 1000;
}

/* Sends that the log lets within a window. */
static int64_t log_room(const struct allowance *allowance)
{
    return min_i64(allowance->rpm, SENDLOG_MAX);
}

enum allowance_limit allowance_ask(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    forget_old(allowance, now_us);
    if (allowance->rpd > 0 && wall_ms < allowance->day_ends_at_ms && allowance->day_count >= allowance->rpd) {
        *ret_wait_us = (allowance->day_ends_at_ms - wall_ms) * 1000;
        return ALLOWANCE_RPD;
    }
    if (allowance->rpm > 0 && (int64_t)allowance->log.count >= log_room(allowance)) {
        *ret_wait_us = wait_for_leaving(allowance, now_us, allowance->log.count - (size_t)log_room(allowance) + 1);
        return ALLOWANCE_RPM;
    }
    /* A call larger than the whole quota goes alone: nothing else could ever let it through. */
    if (allowance->tpm > 0 && allowance->log.count > 0 && allowance->log_tokens + tokens > allowance->tpm) {
        *ret_wait_us = wait_for_tokens(allowance, now_us, tokens);
        return ALLOWANCE_TPM;
    }
    return ALLOWANCE_FREE;
}

int64_t allowance_day_room(const struct allowance *allowance, int64_t wall_ms)
{
    return allowance->rpd > 0 ? allowance->rpd - (wall_ms < allowance->day_ends_at_ms ? allowance->day_count : 0) : INT64_MAX;
}

int64_t allowance_room(const struct allowance *allowance, int64_t wall_ms, int64_t tokens)
{
    int64_t room = INT64_MAX;
    if (allowance->rpm > 0)
        room = log_room(allowance) - (int64_t)allowance->log.count;
    if (allowance->tpm > 0 && tokens > 0)
        room = min_i64(room, max_i64((allowance->tpm - allowance->log_tokens) / tokens, 1));
    if (allowance->rpd > 0)
        room = min_i64(room, allowance_day_room(allowance, wall_ms));
    return room;
}

void allowance_sent(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens)
{
    remember(allowance, now_us, tokens);
    if (wall_ms >= allowance->day_ends_at_ms) {
        allowance->day_count = 0;
        allowance->day_ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    }
    allowance->day_count++;
}

void allowance_read_back(struct allowance *allowance, int64_t now_us, int64_t wall_ms, const struct sendlog_entry *entries, size_t count, int64_t day_calls)
{
    for (size_t i = 0; i < count; i++)
        remember(allowance, entries[i].at_us, entries[i].tokens);
    forget_old(allowance, now_us);
    allowance->day_count = day_calls;
    allowance->day_ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
}

/* The entry of what was sent then; the log's count when it has left. */
static size_t find_sent(const struct allowance *allowance, int64_t sent_us)
{
    size_t at = sendlog_find(&allowance->log, sent_us);
    return at < allowance->log.count && sendlog_at(&allowance->log, at)->at_us == sent_us ? at : allowance->log.count;
}

void allowance_tokens_known(struct allowance *allowance, int64_t sent_us, int64_t tokens)
{
    size_t at = find_sent(allowance, sent_us);
    if (at == allowance->log.count)
        return;
    allowance->log_tokens += tokens - sendlog_at(&allowance->log, at)->tokens;
    sendlog_at(&allowance->log, at)->tokens = tokens;
}

void allowance_unsent(struct allowance *allowance, int64_t sent_us, int64_t sent_wall_ms)
{
    size_t at = find_sent(allowance, sent_us);
    if (at < allowance->log.count) {
        allowance->log_tokens -= sendlog_at(&allowance->log, at)->tokens;
        sendlog_remove(&allowance->log, at);
    }
    if (allowance->day_count > 0 && clock_next_pacific_midnight_ms(sent_wall_ms) == allowance->day_ends_at_ms) /* else a new day has begun since */
        allowance->day_count--;
}
