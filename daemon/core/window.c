/* See window.h. */
#include "core/window.h"

void window_init(struct window *window)
{
    *window = (struct window){.floor_us = WINDOW_NONE};
}

void window_clear(struct window *window)
{
    sendlog_clear(&window->log);
}

static void add(struct window_sum *sum, int64_t tokens, int sign)
{
    sum->calls += sign;
    sum->tokens += sign * (double)tokens;
}

static bool is_counted(const struct window *window, const struct sendlog_entry *entry)
{
    return entry->counts && entry->at_us >= window->floor_us;
}

static void uncount(struct window *window, struct sendlog_entry *entry)
{
    if (is_counted(window, entry))
        add(&window->counted, entry->tokens, -1);
    if (entry->counts)
        add(&window->live, entry->tokens, -1);
    entry->counts = false;
}

static void remove_oldest(struct window *window)
{
    uncount(window, sendlog_at(&window->log, 0));
    sendlog_remove_oldest(&window->log);
    if (window->oldest > 0)
        window->oldest--;
}

void window_expire(struct window *window, int64_t now_us)
{
    int64_t since_us = now_us - WINDOW_US - WINDOW_GUARD_US;
    while (window->log.count > 0 && sendlog_at(&window->log, 0)->at_us <= since_us)
        remove_oldest(window);
}

void window_sent(struct window *window, int64_t now_us, int64_t tokens, bool is_live)
{
    if (sendlog_is_full(&window->log))
        remove_oldest(window);
    struct sendlog_entry entry = {.at_us = now_us, .tokens = tokens, .counts = is_live};
    sendlog_add(&window->log, entry);
    if (is_live)
        add(&window->live, tokens, 1);
    if (is_counted(window, &entry))
        add(&window->counted, tokens, 1);
}

/* The entry of a call that was sent then and was not refused; NULL when it has left. Of several at one moment any will do. */
static struct sendlog_entry *find_live(const struct window *window, int64_t sent_us)
{
    for (size_t at = sendlog_find(&window->log, sent_us); at < window->log.count && sendlog_at(&window->log, at)->at_us == sent_us; at++)
        if (sendlog_at(&window->log, at)->counts)
            return sendlog_at(&window->log, at);
    return NULL;
}

void window_drop(struct window *window, int64_t sent_us)
{
    struct sendlog_entry *entry = find_live(window, sent_us);
    if (entry != NULL)
        uncount(window, entry);
}

void window_tokens_known(struct window *window, int64_t sent_us, int64_t tokens)
{
    struct sendlog_entry *entry = find_live(window, sent_us);
    if (entry == NULL)
        return;
    window->live.tokens += (double)(tokens - entry->tokens);
    if (is_counted(window, entry))
        window->counted.tokens += (double)(tokens - entry->tokens);
    entry->tokens = tokens;
}

void window_set_floor(struct window *window, int64_t floor_us)
{
    window->floor_us = floor_us;
    window->oldest = 0;
    window->counted = window_sum_counted(window, WINDOW_NONE, INT64_MAX);
}

int64_t window_oldest_us(struct window *window)
{
    while (window->oldest < window->log.count && !is_counted(window, sendlog_at(&window->log, window->oldest)))
        window->oldest++; /* what no longer counts never counts again, until the floor is moved */
    return window->oldest < window->log.count ? sendlog_at(&window->log, window->oldest)->at_us : WINDOW_NONE;
}

struct window_sum window_sum_live(const struct window *window, int64_t after_us, int64_t until_us)
{
    struct window_sum sum = {0, 0};
    for (size_t i = after_us == WINDOW_NONE ? 0 : sendlog_find(&window->log, after_us + 1); i < window->log.count; i++) {
        const struct sendlog_entry *entry = sendlog_at(&window->log, i);
        if (entry->counts && entry->at_us <= until_us)
            add(&sum, entry->tokens, 1);
    }
    return sum;
}

struct window_sum window_sum_counted(const struct window *window, int64_t after_us, int64_t until_us)
{
    return window_sum_live(window, window->floor_us == WINDOW_NONE ? after_us : max_i64(after_us, window->floor_us - 1), until_us);
}

int64_t window_share_us(const struct window *window, double share)
{
    size_t live = (size_t)window->live.calls, wanted = (size_t)(share * (double)live), seen = 0;
    if (live == 0)
        return WINDOW_NONE;
    if (wanted >= live)
        wanted = live - 1;
    for (size_t i = 0; i < window->log.count; i++)
        if (sendlog_at(&window->log, i)->counts && seen++ == wanted)
            return sendlog_at(&window->log, i)->at_us;
    return WINDOW_NONE;
}
