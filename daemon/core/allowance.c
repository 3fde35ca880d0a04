/* See allowance.h. */
#include "core/allowance.h"

#include "base/clock.h"
#include "base/negative.h"

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

/* ---- days ---- */

/* How long the calls of that day count still (microseconds); not above 0: no longer. */
static int64_t day_left_us(const struct allowance_day *day, int64_t now_us, int64_t wall_ms)
{
    int64_t by_clocks_us = max_i64((day->ends_at_ms - wall_ms) * 1000, day->ends_us - now_us);
    return min_i64(by_clocks_us, day->last_us + ALLOWANCE_DAY_MOST_US - now_us);
}

static int64_t day_count(const struct allowance *allowance, int64_t now_us, int64_t wall_ms)
{
    int64_t count = 0;
    for (size_t i = 0; i < ALLOWANCE_DAYS; i++)
        if (day_left_us(&allowance->days[i], now_us, wall_ms) > 0)
            count += allowance->days[i].count;
    return count;
}

/* Until the first of the days that count ends. */
static int64_t wait_for_day(const struct allowance *allowance, int64_t now_us, int64_t wall_ms)
{
    int64_t wait_us = ALLOWANCE_DAY_MOST_US;
    for (size_t i = 0; i < ALLOWANCE_DAYS; i++) {
        int64_t left_us = day_left_us(&allowance->days[i], now_us, wall_ms);
        if (allowance->days[i].count > 0 && left_us > 0)
            wait_us = min_i64(wait_us, left_us);
    }
    return wait_us;
}

static struct allowance_day *find_day(struct allowance *allowance, int64_t wall_ms)
{
    for (size_t i = 0; i < ALLOWANCE_DAYS; i++)
        if (allowance->days[i].count > 0 && wall_ms >= allowance->days[i].from_at_ms && wall_ms < allowance->days[i].ends_at_ms)
            return &allowance->days[i];
    int64_t ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    for (size_t i = 0; i < ALLOWANCE_DAYS; i++)
        if (allowance->days[i].count > 0 && allowance->days[i].ends_at_ms == ends_at_ms)
            return &allowance->days[i];
    return NULL;
}

/* The place of a new day: a free one, or the oldest; what that one has counts on when it is not over. */
static struct allowance_day *begin_day(struct allowance *allowance, int64_t now_us, int64_t wall_ms)
{
    struct allowance_day *day = &allowance->days[0];
    for (size_t i = 1; i < ALLOWANCE_DAYS && day->count > 0; i++)
        if (allowance->days[i].count == 0 || allowance->days[i].last_us < day->last_us)
            day = &allowance->days[i];
    int64_t kept = day->count > 0 && day_left_us(day, now_us, wall_ms) > 0 ? day->count : 0;
    int64_t ends_at_ms = clock_next_pacific_midnight_ms(wall_ms);
    *day = (struct allowance_day){.count = kept, .from_at_ms = wall_ms, .ends_at_ms = ends_at_ms, .ends_us = now_us + (ends_at_ms - wall_ms) * 1000};
    return day;
}

static void count_day(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t calls)
{
    struct allowance_day *day = find_day(allowance, wall_ms);
    if (day == NULL)
        day = begin_day(allowance, now_us, wall_ms);
    day->from_at_ms = min_i64(day->from_at_ms, wall_ms);
    day->last_us = now_us;
    day->count += calls;
}

/* ---- the gate ---- */

/* Sends that the log lets within a window. */
static int64_t log_room(const struct allowance *allowance)
{
    return min_i64(allowance->rpm, SENDLOG_MAX);
}

enum allowance_limit allowance_ask(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens, int64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    forget_old(allowance, now_us);
    if (BREAKS(OVER_LIMITS))
        return ALLOWANCE_FREE;
    if (allowance_day_room(allowance, now_us, wall_ms) <= 0) {
        *ret_wait_us = wait_for_day(allowance, now_us, wall_ms);
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

int64_t allowance_day_room(const struct allowance *allowance, int64_t now_us, int64_t wall_ms)
{
    return allowance->rpd > 0 ? allowance->rpd - day_count(allowance, now_us, wall_ms) : INT64_MAX;
}

int64_t allowance_room(const struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens)
{
    int64_t room = INT64_MAX;
    if (BREAKS(OVER_LIMITS))
        return room;
    if (allowance->rpm > 0)
        room = log_room(allowance) - (int64_t)allowance->log.count;
    if (allowance->tpm > 0 && tokens > 0)
        room = min_i64(room, max_i64((allowance->tpm - allowance->log_tokens) / tokens, 1));
    return min_i64(room, allowance_day_room(allowance, now_us, wall_ms));
}

void allowance_sent(struct allowance *allowance, int64_t now_us, int64_t wall_ms, int64_t tokens)
{
    remember(allowance, now_us, tokens);
    count_day(allowance, now_us, wall_ms, 1);
}

void allowance_read_back(struct allowance *allowance, int64_t now_us, int64_t wall_ms, const struct sendlog_entry *entries, size_t count, int64_t day_calls)
{
    for (size_t i = 0; i < count; i++)
        remember(allowance, entries[i].at_us, entries[i].tokens);
    forget_old(allowance, now_us);
    if (day_calls > 0)
        count_day(allowance, now_us, wall_ms, day_calls);
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
    struct allowance_day *day = find_day(allowance, sent_wall_ms);
    if (day != NULL)
        day->count--;
}
