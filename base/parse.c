/* See parse.h. Numbers are read digit by digit, since strtod and friends follow the locale and accept hex and infinity. */
#include "base/parse.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <time.h>

int parse_i64(const char *text, int64_t low, int64_t high, int64_t *ret_value, struct galloc_error *error)
{
    bool negative = text[0] == '-';
    const char *at = text + negative;
    int64_t value = 0;
    bool fits = isdigit((unsigned char)*at);
    for (; fits && isdigit((unsigned char)*at); at++)
        fits = !__builtin_mul_overflow(value, 10, &value) && !__builtin_sub_overflow(value, *at - '0', &value);
    if (!negative && fits)
        fits = !__builtin_sub_overflow((int64_t)0, value, &value);
    if (!fits || *at != '\0' || value < low || value > high)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not a whole number from %" PRId64 " to %" PRId64, text, low, high);
    *ret_value = value;
    return 0;
}

/* Reads "123.456" as 123456 x 10^(digits-3), i.e. scaled by 10^digits; extra fraction digits round up. Returns the rest, or NULL. */
static const char *scan_scaled(const char *text, int digits, int64_t *ret_value)
{
    int64_t value = 0;
    const char *at = text;
    if (!isdigit((unsigned char)*at))
        return NULL;
    for (; isdigit((unsigned char)*at); at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
            return NULL;
    bool has_more = false;
    int taken = 0;
    if (*at == '.') {
        at++;
        if (!isdigit((unsigned char)*at))
            return NULL;
        for (; isdigit((unsigned char)*at); at++) {
            if (taken == digits) {
                has_more |= *at != '0';
                continue;
            }
            if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
                return NULL;
            taken++;
        }
    }
    for (; taken < digits; taken++)
        if (__builtin_mul_overflow(value, 10, &value))
            return NULL;
    if (has_more && __builtin_add_overflow(value, 1, &value))
        return NULL;
    *ret_value = value;
    return at;
}

struct unit {
    const char *name;
    int64_t factor;
};

static int64_t unit_factor(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, name) == 0)
            return units[i].factor;
    return 0;
}

int parse_duration_ms(const char *text, int64_t *ret_ms, struct galloc_error *error)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    const int64_t longest_ms = 3650LL * 86400000;
    int64_t scaled = 0, us = 0;
    const char *rest = scan_scaled(text, 3, &scaled);
    int64_t factor = rest ? unit_factor(units, ARRAY_COUNT(units), strcmp(text, "0") == 0 ? "s" : rest) : 0; /* nothing has no unit */
    if (factor == 0 || __builtin_mul_overflow(scaled, factor, &us) || us / 1000 > longest_ms)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not a duration such as 250ms, 30s, 5m, 2h or 7d", text);
    *ret_ms = us / 1000;
    return 0;
}

int parse_micros(const char *text, int64_t *ret_micros, struct galloc_error *error)
{
    enum { DIGITS = 6 };
    int64_t value = 0;
    const char *rest = scan_scaled(text, DIGITS, &value), *point = strchr(text, '.');
    if (rest == NULL || *rest != '\0' || value > INT64_C(1000000000000000000))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not an amount such as 25 or 0.075", text);
    if (point != NULL && strlen(point + 1) > DIGITS && strspn(point + 1 + DIGITS, "0") != strlen(point + 1 + DIGITS))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has more than %d digits after the point", text, DIGITS);
    *ret_micros = value;
    return 0;
}

int parse_bool(const char *text, bool *ret_value, struct galloc_error *error)
{
    static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_value = value;
                return 0;
            }
        }
    }
    return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not yes or no", text);
}

/* The 31st of February would be taken for a day of March. */
static bool is_day(const struct tm *tm)
{
    struct tm day = {.tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday};
    timegm(&day);
    return day.tm_mon == tm->tm_mon && day.tm_mday == tm->tm_mday;
}

int parse_time_ms(const char *text, int64_t *ret_wall_ms, struct galloc_error *error)
{
    struct tm tm = {0};
    int64_t offset_s = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest != NULL && (*rest == 'T' || *rest == ' ')) {
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
        if (rest != NULL && *rest == '.')
            rest += 1 + strspn(rest + 1, "0123456789");
        if (rest != NULL && (*rest == '+' || *rest == '-')) {
            int sign = *rest == '+' ? 1 : -1;
            const char *at = rest + 1;
            bool whole = isdigit((unsigned char)at[0]) && isdigit((unsigned char)at[1]) && at[2] == ':' && isdigit((unsigned char)at[3]) &&
                         isdigit((unsigned char)at[4]);
            offset_s = whole ? sign * (((at[0] - '0') * 10 + at[1] - '0') * 3600 + ((at[3] - '0') * 10 + at[4] - '0') * 60) : 0;
            rest = whole ? at + 5 : NULL;
        } else if (rest != NULL) {
            rest = *rest == 'Z' ? rest + 1 : NULL;
        }
    }
    if (rest == NULL || *rest != '\0' || !is_day(&tm))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not a date such as 2026-12-01 or 2026-12-01T08:00:00Z", text);
    *ret_wall_ms = ((int64_t)timegm(&tm) - offset_s) * 1000;
    return 0;
}

bool parse_proto_duration_ms(const char *text, int64_t *ret_ms)
{
    static const struct unit units[] = {{"s", 1000}, {"ms", 1}};
    int64_t scaled = 0, us = 0;
    const char *rest = scan_scaled(text, 3, &scaled);
    int64_t factor = rest ? unit_factor(units, ARRAY_COUNT(units), rest) : 0;
    if (factor == 0 || __builtin_mul_overflow(scaled, factor, &us))
        return false;
    *ret_ms = (us + 999) / 1000;
    return true;
}
