/* See continuation.h. */
#include "sim/continuation.h"

#include "base/parse.h"
#include "sim/chance.h"

#include <inttypes.h>

#define TOKEN_BYTES_MAX 128

static const char *before_space(const char *start, const char *at)
{
    while (at > start && strchr(" \t\r\n", at[-1]) != NULL)
        at--;
    return at;
}

static int64_t hash_of(const char *body, size_t len)
{
    return (int64_t)(chance_hash(body, len) >> 1);
}

/* The body without the token's member and one comma beside it. `token` is a value of the body's own object. */
static int64_t hash_without(const char *body, size_t len, struct walk_string token)
{
    const char *from = before_space(body, token.at - 1); /* behind the colon */
    const char *to = token.at + token.len + 1, *end = body + len;
    from = before_space(body, from - 1) - 1; /* on the name's closing quote */
    while (from[-1] != '"')
        from--;
    from = before_space(body, from - 1);
    if (from[-1] == ',') {
        from--;
    } else {
        while (to < end && strchr(" \t\r\n", *to) != NULL)
            to++;
        to += to < end && *to == ',';
    }
    struct buf rest = BUF_EMPTY;
    buf_add(&rest, body, (size_t)(from - body));
    buf_add(&rest, to, (size_t)(end - to));
    int64_t hash = hash_of(buf_text(&rest), rest.len);
    buf_clear(&rest);
    return hash;
}

/* "sim-HASH-FROM-CALL-CALLS", numbers all. */
bool continuation_read(const char *body, size_t len, struct walk_string token, struct continuation *ret_continuation)
{
    enum { HASH, FROM, CALL, CALLS, FIELDS };
    int64_t fields[FIELDS];
    char text[TOKEN_BYTES_MAX], *next = text, *field;
    if (token.len >= sizeof text)
        return false;
    memcpy(text, token.at, token.len);
    text[token.len] = '\0';
    field = strsep(&next, "-");
    if (strcmp(field, "sim") != 0)
        return false;
    for (int i = 0; i < FIELDS; i++) {
        field = strsep(&next, "-");
        if (field == NULL || parse_i64(field, 0, INT64_MAX, &fields[i], NULL) != 0)
            return false;
    }
    if (next != NULL || fields[HASH] != hash_without(body, len, token))
        return false;
    *ret_continuation = (struct continuation){fields[HASH], (size_t)fields[FROM], fields[CALL], fields[CALLS]};
    return true;
}

struct continuation continuation_begin(const char *body, size_t len, int64_t calls)
{
    return (struct continuation){.body_hash = hash_of(body, len), .call = 1, .calls = calls};
}

size_t continuation_end(const struct continuation *continuation, const struct buf *text)
{
    size_t from = (size_t)min_i64((int64_t)continuation->from, (int64_t)text->len);
    size_t end = from + (text->len - from) / (size_t)max_i64(2, continuation->calls - continuation->call + 1);
    while (end < text->len && ((unsigned char)text->data[end] & 0xc0) == 0x80)
        end++;
    return end;
}

void continuation_token(const struct continuation *continuation, size_t end, struct buf *out)
{
    buf_add_fmt(out, "sim-%" PRId64 "-%zu-%" PRId64 "-%" PRId64, continuation->body_hash, end, continuation->call + 1,
                continuation->calls);
}
