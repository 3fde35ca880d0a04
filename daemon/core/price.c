/* See price.h. */
#include "core/price.h"

#include "base/parse.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char *const tier_names[PRICE_TIER_COUNT] = {[TIER_STANDARD] = "standard", [TIER_FLEX] = "flex"};

const char *price_tier_name(enum price_tier tier)
{
    return tier_names[tier];
}

int price_tier_by_name(const char *name)
{
    for (int tier = 0; tier < PRICE_TIER_COUNT; tier++)
        if (strcmp(tier_names[tier], name) == 0)
            return tier;
    return -1;
}

int64_t price_of_tokens(const struct price *price, const int64_t tokens[5])
{
    int64_t prompt = max_i64(tokens[0], 0), cached = clamp_i64(tokens[1], 0, prompt);
    int64_t out = max_i64(tokens[2], 0) + max_i64(tokens[3], 0) + max_i64(tokens[4], 0);
    __int128 millionths = (__int128)(prompt - cached) * price->in_micros + (__int128)cached * price->cached_in_micros + (__int128)out * price->out_micros;
    __int128 micros = (millionths + 999999) / 1000000;
    return micros > INT64_MAX ? INT64_MAX : (int64_t)micros;
}

bool price_is_free(const struct price *price)
{
    return price->in_micros == 0 && price->cached_in_micros == 0 && price->out_micros == 0;
}

bool price_is_unknown(int http_status, int64_t in_tokens, int64_t cost_micros)
{
    bool is_answered = http_status >= 200 && http_status < 300;
    return cost_micros < 0 && (is_answered || in_tokens >= 0);
}

bool price_is_currency(const char *text)
{
    return strlen(text) == 3 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

/* The words of the line, in their order; one has no amount. */
static const struct {
    const char *name;
    size_t at;
} amounts[] = {{"price_in=", offsetof(struct price, in_micros)},
               {" price_cached_in=", offsetof(struct price, cached_in_micros)},
               {" price_out=", offsetof(struct price, out_micros)}};
static const char currency_word[] = " currency=";

void price_add_text(struct buf *out, const struct price *price)
{
    for (size_t i = 0; i < ARRAY_COUNT(amounts); i++) {
        buf_add_str(out, amounts[i].name);
        text_add_amount(out, *(const int64_t *)((const char *)price + amounts[i].at));
    }
    buf_add_fmt(out, "%s%s", currency_word, price->currency);
}

int price_parse(const char *text, struct price *ret_price, struct galloc_error *error)
{
    struct price price = {.currency = ""};
    const char *at = text;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(amounts); i++) {
        size_t len = strlen(amounts[i].name);
        rc = strncmp(at, amounts[i].name, len) == 0 ? 0 : -GALLOC_INVALID_VALUE;
        if (rc < 0)
            break;
        at += len;
        char *amount = xstrndup(at, strcspn(at, " "));
        rc = parse_micros(amount, (int64_t *)((char *)&price + amounts[i].at), NULL);
        at += strlen(amount);
        free(amount);
    }
    if (rc < 0 || strncmp(at, currency_word, strlen(currency_word)) != 0 || !price_is_currency(at + strlen(currency_word)))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%.200s\" is not a price", text);
    memcpy(price.currency, at + strlen(currency_word), sizeof price.currency);
    *ret_price = price;
    return 0;
}

int amount_parse(const char *text, struct amount *ret_amount, struct galloc_error *error)
{
    struct amount amount = {.is_set = true};
    size_t digits = strspn(text, "0123456789.");
    const char *currency = text + digits + strspn(text + digits, " ");
    char *number = xstrndup(text, digits);
    int rc = digits > 0 ? parse_micros(number, &amount.micros, NULL) : -GALLOC_INVALID_VALUE;
    free(number);
    if (rc < 0 || (currency[0] == '\0' && text[digits] != '\0') || (currency[0] != '\0' && !price_is_currency(currency)))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%.60s\" is not an amount of money such as 12.50, or 12.50 USD: from 0, with at most six decimals", text);
    memcpy(amount.currency, currency, strlen(currency));
    *ret_amount = amount;
    return 0;
}

void amount_add_text(struct buf *out, const struct amount *amount)
{
    text_add_amount(out, amount->micros);
    if (amount->currency[0] != '\0')
        buf_add_fmt(out, " %s", amount->currency);
}
