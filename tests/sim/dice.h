/* Random numbers of the simulation: one generator a purpose, so that no policy changes what another meets. Pure. */
#ifndef GALLOC_TESTS_SIM_DICE_H
#define GALLOC_TESTS_SIM_DICE_H

#include "core/rng.h"

#include <math.h>

/* Seeds that differ in one bit give unlike generators (splitmix64's finalizer: Steele, Lea, Flood 2014). */
static inline void dice_init(struct rng *rng, uint64_t seed, uint64_t purpose)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + purpose * 0xd1342543de82ef95u + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    rng_seed(rng, z ^ (z >> 31));
}

/* Normal, mean 0, deviation 1 (Box and Muller 1958). */
static inline double dice_normal(struct rng *rng)
{
    double u = 1 - rng_unit(rng), v = rng_unit(rng);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static inline double dice_exponential(struct rng *rng, double mean)
{
    return -mean * log(1 - rng_unit(rng));
}

#endif
