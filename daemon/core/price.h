/* What a call costs. Pure; any thread. */
#ifndef GALLOC_CORE_PRICE_H
#define GALLOC_CORE_PRICE_H

#include "base/util.h"

/* (prompt - cached) x in + cached x cached_in + (candidates + thoughts + tool) x out, per million tokens, rounded up to a micro.
 * Tokens that were not told (-1) count as none. Prices are micros of the currency per million tokens. */
int64_t price_micros(int64_t in_micros, int64_t cached_in_micros, int64_t out_micros, const int64_t tokens[5]);

#endif
