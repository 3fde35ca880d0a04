/* The error table: one row gives a code its wire name, HTTP status, exit status and text. Everything that can go wrong
 * and that somebody outside is told of has a row here; nothing else names an error. */
#ifndef GALLOC_BASE_CODE_H
#define GALLOC_BASE_CODE_H

#include "base/util.h"

/*        symbol               wire name                http exit text */
#define GALLOC_CODES(X)                                                                                              \
    X(OK,                  "ok",                    200,  0, "well")                                                \
    X(USAGE,               "usage",                 400,  2, "wrong usage")                                         \
    X(BAD_REQUEST,         "bad_request",           400,  2, "the request cannot be understood")                    \
    X(NOT_JSON,            "not_json",              400,  7, "not valid JSON")                                      \
    X(UNKNOWN_FIELD,       "unknown_field",         400,  2, "a field that is not known")                           \
    X(INVALID_VALUE,       "invalid_value",         400,  2, "a value that cannot be")                              \
    X(INVALID_INPUT,       "invalid_input",         422,  7, "the input was rejected")                              \
    X(EMPTY_RUN,           "empty_run",             422,  7, "the run holds no assignment")                         \
    X(NOT_PERMITTED,       "not_permitted",         403,  5, "not permitted")                                       \
    X(NO_SUCH_ROUTE,       "no_such_route",         404,  4, "no such path")                                        \
    X(NOT_FOUND,           "not_found",             404,  4, "no such thing")                                       \
    X(METHOD_NOT_ALLOWED,  "method_not_allowed",    405,  2, "the path does not have this method")                  \
    X(REQUEST_TIMEOUT,     "request_timeout",       408, 11, "the request took too long to arrive")                 \
    X(CONFLICT,            "conflict",              409,  6, "conflicts with the present state")                    \
    X(WRONG_STATE,         "wrong_state",           409,  6, "not in this state")                                   \
    X(ALREADY_ENQUEUED,    "already_enqueued",      409,  6, "this input was enqueued before")                      \
    X(PART_OUT_OF_ORDER,   "part_out_of_order",     409,  6, "parts are numbered from 1 and sent in order")         \
    X(PART_DIFFERS,        "part_differs",          409,  6, "a part of this number with other content stands")     \
    X(KEY_REUSED,          "idempotency_key_reused",409,  6, "this Idempotency-Key belongs to another request")     \
    X(LEASE_LOST,          "lease_lost",            410,  6, "the lease is over: its work is in other hands")        \
    X(LENGTH_REQUIRED,     "length_required",       411,  2, "the body's length is missing")                        \
    X(TOO_LARGE,           "too_large",             413,  7, "larger than the limit")                               \
    X(URI_TOO_LONG,        "uri_too_long",          414,  2, "the path is longer than the limit")                   \
    X(UNSUPPORTED_MEDIA,   "unsupported_media_type",415,  2, "the Content-Type is not understood")                  \
    X(HEADERS_TOO_LARGE,   "headers_too_large",     431,  2, "the header is larger than the limit")                 \
    X(TOO_MANY,            "too_many",              429, 11, "too many at once from this user")                     \
    X(INTERNAL,            "internal",              500, 70, "a fault of ours")                                     \
    X(NOT_IMPLEMENTED,     "not_implemented",       501,  2, "the method is not known")                             \
    X(BUSY,                "busy",                  503, 11, "busy, try again")                                     \
    X(DRAINING,            "draining",              503, 11, "the daemon is draining")                              \
    X(STORE_UNAVAILABLE,   "store_unavailable",     503, 11, "the store cannot be written now")                     \
    X(OUTCOME_UNKNOWN,     "outcome_unknown",       503, 11, "the commit failed: it is unknown whether it stands")  \
    X(DISK_FULL,           "disk_full",             507, 11, "the disk is full")                                    \
    X(CORRUPT,             "corrupt",               500, 11, "stored data does not match its digest")               \
    X(UNREACHABLE,         "unreachable",           503,  3, "the daemon is not reachable")                         \
    X(TIMED_OUT,           "timed_out",             504,  8, "time ran out")                                        \
    X(PAUSED,              "paused",                409,  9, "paused")                                              \
    X(CANCELLED,           "cancelled",             409, 10, "cancelled")                                           \
    X(LOCAL_IO,            "local_io",              500, 11, "reading or writing a file failed")                    \
    X(D_USAGE,             "daemon_usage",          500, 64, "wrong usage of gallocd")                              \
    X(D_STORE_REFUSED,     "store_refused",         500, 65, "the database is refused")                             \
    X(D_INTERNAL,          "daemon_bug",            500, 70, "a fault of gallocd")                                  \
    X(D_STORE_IO,          "store_io",              500, 74, "the store's I/O failed")                              \
    X(D_HELD,              "state_dir_held",        500, 75, "another daemon holds the state directory")            \
    X(D_CONFIG,            "configuration",         500, 78, "the configuration is wrong")

enum galloc_code {
#define X(symbol, name, http, exit, text) GALLOC_##symbol,
    GALLOC_CODES(X)
#undef X
    GALLOC_CODE_COUNT
};

struct galloc_code_row {
    const char *name; /* stable on the wire */
    int http_status;
    int exit_status;
    const char *text;
};

/* The row of a code; sign does not matter. A number out of range gives the row of INTERNAL. Never NULL. Any thread. */
const struct galloc_code_row *galloc_code_row(int code);

/* The code of a wire name, or -1. Any thread. */
int galloc_code_by_name(const char *name);

/* An error on its way up: filled once by the callee that knows, prefixed by callers. A message that is too long ends in "…". */
struct galloc_error {
    int code; /* an enum galloc_code, positive */
    char message[512];
};

/* Fills `error` (may be NULL) and returns -code, so that a callee can `return galloc_fail(error, GALLOC_X, …)`. */
int galloc_fail(struct galloc_error *error, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "text: " before the message. `error` may be NULL. Returns -error->code. */
int galloc_prefix(struct galloc_error *error, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
