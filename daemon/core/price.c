/* See price.h. */
#include "core/price.h"

int64_t price_micros(int64_t in_micros, int64_t cached_in_micros, int64_t out_micros, const int64_t tokens[5])
{
    int64_t prompt = max_i64(tokens[0], 0), cached = clamp_i64(tokens[1], 0, prompt);
    int64_t out = max_i64(tokens[2], 0) + max_i64(tokens[3], 0) + max_i64(tokens[4], 0);
    __int128 millionths = (__int128)(prompt - cached) * in_micros + (__int128)cached * cached_in_micros + (__int128)out * out_micros;
    __int128 micros = (millionths + 999999) / 1000000;
    return micros > INT64_MAX ? INT64_MAX : (int64_t)micros;
}
