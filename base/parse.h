/* What people write in options and settings: "30s", "0.75", "yes". Whole-string, range-checked, locale-free. Pure; any thread. */
#ifndef GALLOC_BASE_PARSE_H
#define GALLOC_BASE_PARSE_H

#include "base/code.h"

/* A decimal integer between low and high. 0, or -GALLOC_INVALID_VALUE with what would be right. */
int parse_i64(const char *text, int64_t low, int64_t high, int64_t *ret_value, struct galloc_error *error) MUST_CHECK;

/* "250ms", "30s", "5m", "2h", "7d", also with a fraction ("1.5s"); a bare number is refused. Gives milliseconds, 0 up to 10 years. */
int parse_duration_ms(const char *text, int64_t *ret_ms, struct galloc_error *error) MUST_CHECK;

/* A decimal number with at most six fraction digits, as millionths: "0.75" gives 750000. 0 up to 10^12 units. For money. */
int parse_micros(const char *text, int64_t *ret_micros, struct galloc_error *error) MUST_CHECK;

/* yes|no|true|false|on|off|1|0, without regard to case. */
int parse_bool(const char *text, bool *ret_value, struct galloc_error *error) MUST_CHECK;

/* "2026-12-01" (that midnight UTC) or RFC 3339 "2026-12-01T08:00:00Z" / "+01:00", into ms since the epoch. */
int parse_time_ms(const char *text, int64_t *ret_wall_ms, struct galloc_error *error) MUST_CHECK;

/* A protobuf Duration as JSON has it: "7s", "34.074824224s", "900ms". False when it is not one. Rounded up to ms. */
bool parse_proto_duration_ms(const char *text, int64_t *ret_ms);

#endif
