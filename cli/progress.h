/* A line on stderr that tells how far a thing is. On a terminal it is drawn over itself, at most 4 times a second, and fits the width;
 * elsewhere it is a plain line every 10 s. Nothing under -q. One thread. */
#ifndef GALLOC_CLI_PROGRESS_H
#define GALLOC_CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
    int64_t next_mono_ms;
    bool is_drawn;
};

/* A plain line is not due before the first 10 s are over. */
void progress_init(const struct cli *cli, struct progress *progress);

/* True when a line would be shown now: ask before a costly text is made. */
bool progress_is_due(const struct cli *cli, const struct progress *progress);
void progress_show(const struct cli *cli, struct progress *progress, const char *fmt, ...) PRINTF_LIKE(3, 4);
void progress_clear(const struct cli *cli, struct progress *progress); /* the terminal's line is empty again */

/* The width of the terminal that stderr is, 80 where it is not known. */
size_t progress_columns(void);

/* A bar of `width` cells for 0…1, in ASCII. */
void progress_bar(struct buf *out, double part, int width);

#endif
