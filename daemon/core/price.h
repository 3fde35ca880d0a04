/* What tokens cost. Amounts are micros of a currency per million tokens: whole numbers, so that nothing drifts. Pure; any thread. */
#ifndef GALLOC_CORE_PRICE_H
#define GALLOC_CORE_PRICE_H

#include "base/buf.h"
#include "base/code.h"
#include "base/util.h"

#define PRICE_AMOUNT_MAX_MICROS INT64_C(1000000000000) /* a million of the currency */

/* The tier at which a call is asked for: each has prices of its own. Flex is cheaper, slower, and refused first. */
enum price_tier { TIER_STANDARD, TIER_FLEX, PRICE_TIER_COUNT };
const char *price_tier_name(enum price_tier tier); /* "standard", "flex" */
int price_tier_by_name(const char *name);          /* -1 when unknown */

struct price {
    char currency[4]; /* three letters, ISO 4217; "": no price */
    int64_t in_micros, cached_in_micros, out_micros;
};

/* (prompt - cached) x in + cached x cached_in + (candidates + thoughts + tool) x out, per million tokens, rounded up to a micro.
 * Tokens that were not told (-1) count as none. */
int64_t price_of_tokens(const struct price *price, const int64_t tokens[5]);

/* Does it cost nothing, whatever was used? */
bool price_is_free(const struct price *price);

/* Was something used that nobody knows the cost of: has a call that was answered (2xx), or told its tokens (-1: not), no cost (-1)? There is no price, or no usage
 * was told. A refusal costs nothing; of a call that was lost it is told that it was. */
bool price_is_unknown(int http_status, int64_t in_tokens, int64_t cost_micros);

/* Is it three capital letters, as a currency's code is? */
bool price_is_currency(const char *text);

/* An amount of money as people write it: "12.50", "12.50 USD", "12.50USD". */
struct amount {
    bool is_set;
    int64_t micros;
    char currency[4]; /* "": none was told */
};
/* 0, or -GALLOC_INVALID_VALUE with what is wrong: below zero, more than 10^12, over six fraction digits, no number, no currency of three capital letters. */
int amount_parse(const char *text, struct amount *ret_amount, struct galloc_error *error) MUST_CHECK;
void amount_add_text(struct buf *out, const struct amount *amount); /* "12.50 USD": amount_parse() reads it back */

/* A price as one line, the words that `endpoint set` takes: "price_in=0.75 price_cached_in=0.075 price_out=3.75 currency=USD". It is
 * kept so in the store and read back by price_parse(): 0, or -GALLOC_INVALID_VALUE where it is not such a line. */
void price_add_text(struct buf *out, const struct price *price);
int price_parse(const char *text, struct price *ret_price, struct galloc_error *error) MUST_CHECK;

#endif
