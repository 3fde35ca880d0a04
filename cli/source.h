/* The bytes of an input as UTF-8: a file or standard input, its byte order mark taken off, another encoding turned into UTF-8 on
 * the way. What is no text (a workbook, an archive) is refused by name. Memory is constant. One thread. */
#ifndef GALLOC_CLI_SOURCE_H
#define GALLOC_CLI_SOURCE_H

#include "base/buf.h"
#include "base/code.h"
#include "base/digest.h"

struct source;

/* `path` "-" is standard input. `encoding` NULL: by the mark, else UTF-8. On failure -GALLOC_LOCAL_IO, -GALLOC_INVALID_INPUT or
 * -GALLOC_USAGE (an encoding that is not known). */
int source_open(const char *path, const char *encoding, struct source **ret_source, struct galloc_error *error) MUST_CHECK;
void source_close(struct source *source); /* NULL is fine */

/* The next bytes, borrowed until the next call; *ret_len 0 at the end. */
int source_read(struct source *source, const char **ret_data, size_t *ret_len, struct galloc_error *error) MUST_CHECK;

/* The first bytes without taking them (64 KiB, or all where there are fewer). Borrowed until the next source_read(). */
int source_peek(struct source *source, const char **ret_data, size_t *ret_len, struct galloc_error *error) MUST_CHECK;

/* From now on the source is fed: nobody waits for 64 KiB where a line is there (of a JSON array all the same), and while it gives nothing, idle() is called at
 * the latest every wait_ms(), which is asked anew each time. What idle() returns ends the reading when it is negative. */
struct source_feed {
    int64_t (*wait_ms)(void *arg);
    int (*idle)(void *arg, struct galloc_error *error);
    void *arg;
};
void source_be_fed(struct source *source, const struct source_feed *feed);

const char *source_name(const struct source *source);      /* as given */
const char *source_base_name(const struct source *source); /* without its folder; "stdin" for standard input */
bool source_can_rewind(const struct source *source);

/* SHA-256 of the file's bytes, by reading it once from its start, then back to the start. Only where it can rewind. */
int source_digest(struct source *source, char ret_hex[DIGEST_HEX], struct galloc_error *error) MUST_CHECK;

#endif
