/* How many tokens a request's body has, before its answer tells: by the densest text that the endpoint's answers told of lately. A denser one counts at once, a thinner
 * one little by little: what is thought too many is given back with the answer, what is thought too few may exceed a configured quota. Pure. */
#ifndef GALLOC_CORE_DENSITY_H
#define GALLOC_CORE_DENSITY_H

#include "base/util.h"

#define DENSITY_BYTES 4.0      /* of a token, until an answer tells; what Google's documents say of English text. Never taken as more */
#define DENSITY_LEAST_TOKENS 64 /* of a request that tells: a smaller one is mostly its frame */

/* Of an endpoint. Zeroed: no answer has told. */
struct density {
    double bytes; /* of a token; 0: not known */
};

/* At most a configured quota of a minute (`tpm`; 0: none), which the call may take whole, unless the body is beyond it at DENSITY_BYTES already. */
static inline int64_t density_tokens(const struct density *density, int64_t body_bytes, int64_t tpm)
{
    int64_t least = (int64_t)((double)body_bytes / DENSITY_BYTES);
    int64_t tokens = density->bytes > 0 ? (int64_t)((double)body_bytes / density->bytes) : least;
    return tpm > 0 ? min_i64(tokens, max_i64(tpm, least)) : tokens;
}

/* An answer told what such a body came to; -1: it did not. */
static inline void density_learn(struct density *density, int64_t body_bytes, int64_t tokens)
{
    if (tokens < DENSITY_LEAST_TOKENS || body_bytes <= 0)
        return;
    double bytes = (double)body_bytes / (double)tokens;
    bytes = bytes < DENSITY_BYTES ? bytes : DENSITY_BYTES;
    if (density->bytes <= 0 || bytes < density->bytes)
        density->bytes = bytes;
    else
        density->bytes += (bytes - density->bytes) / 32;
}

#endif
