/* An answer that comes in several calls (finishReason CONTINUATION). The token holds all that is to be known of it, so
 * nothing is kept between the calls: a hash of the body that was asked first, how much of the text was said, which call
 * comes next and of how many. One thread. */
#ifndef GALLOC_SIM_CONTINUATION_H
#define GALLOC_SIM_CONTINUATION_H

#include "sim/walk.h"

struct continuation {
    int64_t body_hash; /* of the body without its token */
    size_t from;       /* bytes of the text that were said before */
    int64_t call;      /* this one's number in the answer, from 1 */
    int64_t calls;     /* of the answer; 0: it comes in one */
};

/* A body's token, which stands in it at `token`. True when it was given for this very body, byte for byte but for the
 * token. */
bool continuation_read(const char *body, size_t len, struct walk_string token,
                       struct continuation *ret_continuation) MUST_CHECK;

/* The first call of an answer that will come in so many. */
struct continuation continuation_begin(const char *body, size_t len, int64_t calls);

/* Up to where the text is said in this call, which is not the last: between characters. */
size_t continuation_end(const struct continuation *continuation, const struct buf *text);

/* The token for what comes after `end`. */
void continuation_token(const struct continuation *continuation, size_t end, struct buf *out);

#endif
