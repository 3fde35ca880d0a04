/* The log's one writer: formats, redacts what looks like a key, escapes, writes the line with one write(2). */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *journal_prefix;
} levels[LOG_LEVEL_COUNT] = {{"error", "<3>"}, {"warning", "<4>"}, {"notice", "<5>"}, {"info", "<6>"}, {"debug", "<7>"}};

static _Atomic int level_max = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    level_max = (int)level;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level > level_max)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_redact_keys(text);
    struct buf line = BUF_EMPTY;
    if (getenv("JOURNAL_STREAM") != NULL) {
        buf_add_str(&line, levels[level].journal_prefix);
    } else {
        char at[CLOCK_TEXT_MAX];
        buf_add_fmt(&line, "%s %-7s ", clock_rfc3339(clock_wall_ms(), at), levels[level].name);
    }
    buf_add_str(&line, event);
    if (text[0] != '\0') {
        buf_add_char(&line, ' ');
        text_escape(&line, text, strlen(text));
    }
    buf_add_char(&line, '\n');
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len); /* nowhere to tell of a log that cannot be written */
    (void)ignored;
    buf_clear(&line);
}

struct log_quoted log_quote(const char *text)
{
    struct log_quoted quoted;
    size_t at = 0;
    quoted.text[at++] = '"';
    for (; *text != '\0' && at + 4 < sizeof quoted.text; text++) {
        if (*text == '"' || *text == '\\')
            quoted.text[at++] = '\\';
        quoted.text[at++] = *text;
    }
    quoted.text[at++] = '"';
    quoted.text[at] = '\0';
    return quoted;
}

bool log_gate_open(struct log_gate *gate, int64_t every_ms, int64_t *ret_suppressed)
{
    int64_t now = clock_mono_ms();
    if (now < gate->next_mono_ms) {
        gate->held_back_count++;
        return false;
    }
    *ret_suppressed = gate->held_back_count;
    gate->held_back_count = 0;
    gate->next_mono_ms = now + every_ms;
    return true;
}
