/* A small seeded generator for jitter: xorshift64* (Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators"). Not for secrets. */
#ifndef GALLOC_CORE_RNG_H
#define GALLOC_CORE_RNG_H

#include "base/util.h"

struct rng {
    uint64_t state; /* never 0 */
};

static inline void rng_seed(struct rng *rng, uint64_t seed)
{
    rng->state = seed ? seed : 0x9e3779b97f4a7c15u;
}

static inline uint64_t rng_next(struct rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * 0x2545f4914f6cdd1du;
}

/* Uniform in [0, 1). */
static inline double rng_unit(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1.0p-53;
}

/* Uniform in [low, high). */
static inline double rng_range(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_unit(rng);
}

#endif
