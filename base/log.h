/* The log: one line an event, "event key=value …", to standard error (with the journal's level prefix under systemd).
 * Never a prompt, an answer, a key or a payload. Control characters are escaped, so a record is always one line. Any thread. */
#ifndef GALLOC_BASE_LOG_H
#define GALLOC_BASE_LOG_H

#include "base/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };

void log_set_level(enum log_level level); /* what is above is dropped; INFO at start */

/* `event` is a stable name of lower case and underscores; fmt gives "key=value" pairs, may be "". */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A text that somebody outside chose, as a field's value: between quotation marks, which it cannot end. Long ones are cut. */
struct log_quoted {
    char text[300];
};
struct log_quoted log_quote(const char *text);

/* A gate for repeats: true at most once in `every_ms`; ret_suppressed tells how many were held back since. One thread a gate. */
struct log_gate {
    int64_t next_mono_ms;
    int64_t held_back_count;
};
bool log_gate_open(struct log_gate *gate, int64_t every_ms, int64_t *ret_suppressed);

#endif
