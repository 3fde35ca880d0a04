/* See progress.h. */
#include "cli/progress.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DRAW_MS = 250, PLAIN_MS = 10000, NARROWEST = 20 };

void progress_init(const struct cli *cli, struct progress *progress)
{
    *progress = (struct progress){.next_mono_ms = cli->is_stderr_terminal ? 0 : clock_mono_ms() + PLAIN_MS};
}

bool progress_is_due(const struct cli *cli, const struct progress *progress)
{
    return !cli->is_quiet && clock_mono_ms() >= progress->next_mono_ms;
}

size_t progress_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < NARROWEST)
        return 80;
    return size.ws_col;
}

/* Cuts to `columns` characters, counting every code point as one cell. */
static void cut_to(struct buf *line, size_t columns)
{
    size_t cells = 0, at = 0;
    for (; at < line->len; at++) {
        bool begins = ((unsigned char)line->data[at] & 0xc0) != 0x80;
        if (begins && ++cells > columns)
            break;
    }
    line->len = at;
}

void progress_show(const struct cli *cli, struct progress *progress, const char *fmt, ...)
{
    if (!progress_is_due(cli, progress))
        return;
    progress->next_mono_ms = clock_mono_ms() + (cli->is_stderr_terminal ? DRAW_MS : PLAIN_MS);
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    struct buf line = BUF_EMPTY;
    text_escape(&line, text, strlen(text));
    free(text);
    if (cli->is_stderr_terminal) {
        cut_to(&line, progress_columns() - 1);
        fprintf(stderr, "\r\033[K%.*s", (int)line.len, buf_text(&line));
        progress->is_drawn = true;
    } else {
        fprintf(stderr, "%.*s\n", (int)line.len, buf_text(&line));
    }
    fflush(stderr);
    buf_clear(&line);
}

void progress_clear(const struct cli *cli, struct progress *progress)
{
    if (progress->is_drawn && cli->is_stderr_terminal)
        fputs("\r\033[K", stderr);
    progress->is_drawn = false;
}

void progress_bar(struct buf *out, double part, int width)
{
    int full = part <= 0 ? 0 : part >= 1 ? width : (int)(part * width);
    buf_add_char(out, '[');
    for (int i = 0; i < width; i++)
        buf_add_char(out, i < full ? '#' : '-');
    buf_add_char(out, ']');
}
