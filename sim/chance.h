/* Numbers that look random and are the same for the same seed: a draw depends on (seed, key, number of the key's call)
 * alone, so the order in which calls arrive changes nothing. SplitMix64 (Steele, Lea, Flood: Fast splittable
 * pseudorandom number generators, 2014). */
#ifndef GALLOC_SIM_CHANCE_H
#define GALLOC_SIM_CHANCE_H

#include "base/util.h"

#include <math.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t x = chance_mix(chance->state);
    chance->state += 0x9e3779b97f4a7c15u;
    return x;
}

static inline double chance_unit(struct chance *chance) /* [0, 1) */
{
    return (double)(chance_next(chance) >> 11) * 0x1p-53;
}

static inline double chance_normal(struct chance *chance) /* mean 0, deviation 1: Box and Muller */
{
    double u = 1.0 - chance_unit(chance), v = chance_unit(chance);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

static inline struct chance chance_of(int64_t seed, uint64_t what, uint64_t number)
{
    return (struct chance){chance_mix(chance_mix((uint64_t)seed) ^ what) + chance_mix(number) * 3};
}

/* Eight bytes at a time, multiplied and folded: not for adversaries, only to spread keys. */
static inline uint64_t chance_hash(const void *data, size_t len)
{
    const char *at = data;
    uint64_t h = 0x2545f4914f6cdd1du ^ len;
    uint64_t word;
    for (; len >= sizeof word; at += sizeof word, len -= sizeof word) {
        memcpy(&word, at, sizeof word);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, at, len);
    return chance_mix(h ^ word);
}

#endif
