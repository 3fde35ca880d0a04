/* A growable run of bytes, always followed by a NUL that is not counted. */
#ifndef GALLOC_BASE_BUF_H
#define GALLOC_BASE_BUF_H

#include "base/util.h"

struct buf {
    char *data; /* owned; NULL while nothing was added */
    size_t len;
    size_t cap;
};

char *buf_grow(struct buf *buf, size_t more); /* the slow half of buf_reserve() */

#define BUF_EMPTY ((struct buf){NULL, 0, 0})

void buf_clear(struct buf *buf);                 /* frees; the buf is empty and usable again */
void buf_reset(struct buf *buf);                 /* forgets the content, keeps the memory */

/* Room for `more` bytes after len; returns where they go. */
static inline char *buf_reserve(struct buf *buf, size_t more)
{
    return more < buf->cap - buf->len ? buf->data + buf->len : buf_grow(buf, more);
}
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_str(struct buf *buf, const char *text);
static inline void buf_add_char(struct buf *buf, char c)
{
    char *to = buf_reserve(buf, 1);
    to[0] = c;
    to[1] = '\0';
    buf->len++;
}
void buf_add_fmt(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_add_i64(struct buf *buf, int64_t value);
const char *buf_text(const struct buf *buf); /* never NULL; borrowed until the next change */
char *buf_take(struct buf *buf);             /* the content as an owned string; the buf is empty after */

#endif
