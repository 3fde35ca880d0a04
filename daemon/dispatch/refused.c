/* Refusals (429) of a run in a row. They spend nothing, however many: no rule ends an assignment that alone is refused for ever, so what is seen of it is told,
 * with what a person can do (docs/decisions.md). Those of calls that were under way together are one: a round ends with the answer to a call that was sent after
 * the round before. */
#include "dispatch/refused.h"

#include "base/clock.h"
#include "dispatch/dispatch.h"

#include <inttypes.h>
#include <string.h>

enum { ROUNDS_TOLD = 3 }; /* the first is the limit's, the second may be: the wait was too short */

void refused_note(const struct call *call, enum outcome_class class)
{
    struct refused *refused = &call->run->dispatch->refused;
    if (outcome_is_answer(class) || refused->endpoint != call->endpoint)
        *refused = (struct refused){.endpoint = call->endpoint};
    if (class != OUTCOME_THROTTLED || call->sent_us < refused->last_us)
        return;
    refused->last_us = engine_now().mono_us;
    if (refused->rounds++ == 0)
        refused->since_at_ms = clock_wall_ms();
    snprintf(refused->key, sizeof refused->key, "%s", call->attempts[0].key);
}

bool run_is_refused(const struct run_entry *run)
{
    const struct refused *refused = &run->dispatch->refused;
    return refused->endpoint == run->endpoint && refused->rounds >= ROUNDS_TOLD;
}

/* A key as a word of a command that is pasted into a shell, where it does nothing but stand for itself. */
static void add_word(struct buf *out, const char *key)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.,:/@%+=";
    if (key[strspn(key, plain)] == '\0') {
        buf_add_str(out, key);
        return;
    }
    buf_add_char(out, '\'');
    for (const char *at = key; *at != '\0'; at++)
        if (*at == '\'')
            buf_add_str(out, "'\\''");
        else
            buf_add_char(out, *at);
    buf_add_char(out, '\'');
}

void refused_text(const struct run_entry *run, char *text, size_t size)
{
    const struct refused *refused = &run->dispatch->refused;
    char since[CLOCK_TEXT_MAX];
    struct buf word = BUF_EMPTY;
    size_t len = strlen(text);
    add_word(&word, refused->key);
    snprintf(text + len, size - len,
             "; this run was refused %" PRId64 " times in a row since %s, last with %s. A prompt that is larger than the quota of tokens a minute is refused for ever: "
             "see gallocctl attempts %s %s; to give it up: gallocctl cancel %s --key %s",
             refused->rounds, clock_rfc3339(refused->since_at_ms, since), refused->key, run->info.run_id, buf_text(&word), run->info.run_id, buf_text(&word));
    buf_clear(&word);
}
