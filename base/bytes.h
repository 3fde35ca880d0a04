/* Runs of ordinary bytes, eight at a time: most of what passes through here is plain ASCII text. */
#ifndef GALLOC_BASE_BYTES_H
#define GALLOC_BASE_BYTES_H

#include "base/util.h"

#include <string.h>

#define BYTES_EACH(value) (UINT64_C(0x0101010101010101) * (value))

static inline bool bytes_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The highest bit of the lowest byte of `word` that is not plain; 0: all eight are. */
static inline uint64_t bytes_odd(uint64_t word)
{
    uint64_t quote = word ^ BYTES_EACH('"'), slash = word ^ BYTES_EACH('\\');
    /* Of a byte below 0x20, or equal to one of the two, the highest bit is set; of one from 0x80 on it is set as it stands. A borrow
     * can set it in a byte above such a one, never elsewhere: the lowest is right. */
    uint64_t odd = (word - BYTES_EACH(0x20)) | (quote - BYTES_EACH(1)) | (slash - BYTES_EACH(1)) | word;
    return odd & BYTES_EACH(0x80);
}

/* How many bytes at the beginning are ASCII, no control characters below 0x20, no '"' and no '\': they stand in JSON as they are. With `to` they are also copied
 * there; up to len bytes of it are written. */
static inline size_t bytes_plain_copy(char *to, const char *from, size_t len)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof word <= len; at += sizeof word) {
        memcpy(&word, from + at, sizeof word);
        if (to != NULL)
            memcpy(to + at, &word, sizeof word);
        uint64_t odd = bytes_odd(word);
        if (odd == 0)
            continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return at + (size_t)__builtin_ctzll(odd) / 8;
#else
        break;
#endif
    }
    for (; at < len && bytes_is_plain((unsigned char)from[at]); at++)
        if (to != NULL)
            to[at] = from[at];
    return at;
}

static inline size_t bytes_plain_span(const char *text, size_t len)
{
    return bytes_plain_copy(NULL, text, len);
}

/* How many bytes at the beginning are ASCII. */
static inline size_t bytes_ascii_span(const char *text, size_t len)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof word <= len; at += sizeof word) {
        memcpy(&word, text + at, sizeof word);
        if ((word & BYTES_EACH(0x80)) != 0)
            break;
    }
    while (at < len && (unsigned char)text[at] < 0x80)
        at++;
    return at;
}

#endif
