/* Every kind of answer that gallocsim can give, in one table: its name in settings, statistics and the record, its HTTP
 * status, how its bytes leave, and what it says. A kind that is a fault is also two settings, NAME (share of calls) and
 * NAME_next (the next N calls). Constant; used by all files of the room. */
#ifndef GALLOC_SIM_KIND_H
#define GALLOC_SIM_KIND_H

#include "base/util.h"

/* How an answer leaves. */
enum send_mode {
    SEND_WHOLE,      /* complete, the connection stays */
    SEND_RESET,      /* nothing, RST */
    SEND_HALF_RESET, /* head and half of the body, then RST */
    SEND_SHORT,      /* head and half of the body, then an orderly close */
    SEND_NOTHING,    /* an orderly close without a byte */
    SEND_NEVER,      /* nothing; the connection stays open until the client or hang_ms ends it */
    SEND_DRIP,       /* a few bytes at a time */
    SEND_ENDLESS,    /* a 200 whose body goes on for ever */
    SEND_HUGE        /* a 200 of huge_bytes */
};

enum kind_group {
    GROUP_OUTCOME,   /* comes from the request or from the server's state, never drawn */
    GROUP_TRANSPORT, /* faults of the connection; every call under /v1 can meet them */
    GROUP_STATUS,    /* error statuses; every call under /v1 can meet them */
    GROUP_CONTENT    /* a 200 with something odd in it; generateContent alone */
};

/* clang-format off */
/*  symbol             name                group      status mode        rpc status             what it is (the help), the message in the answer */
#define SIM_KINDS(X)                                                                                                                          \
    X(OK,              "ok",               OUTCOME,   200, WHOLE,      "",                    "a good answer", "")                            \
    X(QUOTA,           "quota",            OUTCOME,   429, WHOLE,      "RESOURCE_EXHAUSTED",  "refused by a quota", "")                       \
    X(NO_QUOTA,        "no_quota",         OUTCOME,   429, WHOLE,      "RESOURCE_EXHAUSTED",  "refused by a quota of 0", "")                  \
    X(OUTAGE,          "outage",           OUTCOME,   503, WHOLE,      "UNAVAILABLE",         "the outage switch",                             \
      "The service is currently unavailable.")                                                                                                \
    X(BUSY,            "busy",             OUTCOME,   503, WHOLE,      "UNAVAILABLE",         "over the hard limit or the queue",              \
      "The model is overloaded. Please try again later.")                                                                                     \
    X(INVALID,         "invalid_request",  OUTCOME,   400, WHOLE,      "INVALID_ARGUMENT",    "a request that the real API would refuse", "") \
    X(BAD_KEY,         "bad_key",          OUTCOME,   400, WHOLE,      "INVALID_ARGUMENT",    "the key is not the one of api_key",             \
      "API key not valid. Please pass a valid API key.")                                                                                      \
    X(NO_KEY,          "no_key",           OUTCOME,   403, WHOLE,      "PERMISSION_DENIED",   "no key at all",                                 \
      "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API "           \
      "consumer identity to call this API.")                                                                                                  \
    X(NOT_FOUND,       "not_found",        OUTCOME,   404, WHOLE,      "NOT_FOUND",           "an unknown model or path", "")                 \
    X(CLIENT_GONE,     "client_gone",      OUTCOME,     0, NOTHING,    "",                    "the client went before its answer", "")         \
    X(RESET_BEFORE,    "reset_before",     TRANSPORT,   0, RESET,      "",                    "the connection is reset before the answer", "") \
    X(RESET_AFTER,     "reset_after",      TRANSPORT, 200, HALF_RESET, "",                    "the connection is reset within the body", "")   \
    X(SHORT_BODY,      "short_body",       TRANSPORT, 200, SHORT,      "",                    "the connection is closed within the body", "")  \
    X(DROP_REUSED,     "drop_reused",      TRANSPORT,   0, NOTHING,    "",                                                                     \
      "a reused connection is closed without an answer after the call was processed (a fresh one is spared)", "")                            \
    X(CLOSE_EARLY,     "close_early",      TRANSPORT,   0, NOTHING,    "",                    "the connection is closed without an answer", "")\
    X(HANG,            "hang",             TRANSPORT,   0, NEVER,      "",                    "no answer until hang_ms, or never", "")         \
    X(DRIP,            "drip",             TRANSPORT, 200, DRIP,       "",                    "the answer in drip_bytes every drip_ms", "")    \
    X(ENDLESS,         "endless",          TRANSPORT, 200, ENDLESS,    "",                    "a 200 that never ends", "")                     \
    X(HUGE_BODY,       "huge_body",        TRANSPORT, 200, HUGE,       "",                    "a 200 of huge_bytes", "")                       \
    X(REDIRECT,        "redirect",         TRANSPORT, 302, WHOLE,      "",                    "a redirect to redirect_to", "")                 \
    X(HTML_502,        "html_502",         STATUS,    502, WHOLE,      "",                    "a gateway's 502 in HTML", "Bad Gateway")        \
    X(HTML_503,        "html_503",         STATUS,    503, WHOLE,      "",                    "a proxy's 503 in HTML", "Service Unavailable")  \
    X(WRONG_KEY,       "wrong_key",        STATUS,    400, WHOLE,      "INVALID_ARGUMENT",    "400 API_KEY_INVALID",                           \
      "API key not valid. Please pass a valid API key.")                                                                                      \
    X(ERROR_400,       "error_400",        STATUS,    400, WHOLE,      "INVALID_ARGUMENT",    "400 about this input",                          \
      "The input token count exceeds the maximum number of tokens allowed (1048576).")                                                        \
    X(PRECONDITION,    "precondition",     STATUS,    400, WHOLE,      "FAILED_PRECONDITION", "400 FAILED_PRECONDITION",                       \
      "User location is not supported for the API use without a billing account linked.")                                                    \
    X(ERROR_401,       "error_401",        STATUS,    401, WHOLE,      "UNAUTHENTICATED",     "401",                                           \
      "Request had invalid authentication credentials.")                                                                                      \
    X(ERROR_402,       "error_402",        STATUS,    402, WHOLE,      "RESOURCE_EXHAUSTED",  "402, the credit is used up",                    \
      "Your prepayment credits are depleted.")                                                                                                \
    X(ERROR_403,       "error_403",        STATUS,    403, WHOLE,      "PERMISSION_DENIED",   "403",                                           \
      "Your project has been denied access. Please contact support.")                                                                         \
    X(ERROR_404,       "error_404",        STATUS,    404, WHOLE,      "NOT_FOUND",           "404, the model was retired",                    \
      "This model is no longer available. Please update your code to use a newer model.")                                                     \
    X(ERROR_408,       "error_408",        STATUS,    408, WHOLE,      "DEADLINE_EXCEEDED",   "408", "Request timeout.")                       \
    X(ERROR_409,       "error_409",        STATUS,    409, WHOLE,      "ABORTED",             "409", "The operation was aborted.")             \
    X(ERROR_413,       "error_413",        STATUS,    413, WHOLE,      "INVALID_ARGUMENT",    "413",                                           \
      "Request payload size exceeds the limit.")                                                                                              \
    X(ERROR_429,       "error_429",        STATUS,    429, WHOLE,      "RESOURCE_EXHAUSTED",  "429 without details",                           \
      "Resource has been exhausted (e.g. check quota).")                                                                                      \
    X(ARRAY_429,       "array_429",        STATUS,    429, WHOLE,      "RESOURCE_EXHAUSTED",  "429 whose envelope stands in an array",         \
      "Resource has been exhausted (e.g. check quota).")                                                                                      \
    X(CAPACITY_429,    "capacity_429",     STATUS,    429, WHOLE,      "RESOURCE_EXHAUSTED",  "429 MODEL_CAPACITY_EXHAUSTED",                  \
      "No capacity available for this model on the server.")                                                                                  \
    X(ERROR_499,       "error_499",        STATUS,    499, WHOLE,      "CANCELLED",           "499", "The operation was cancelled.")           \
    X(ERROR_500,       "error_500",        STATUS,    500, WHOLE,      "INTERNAL",            "500",                                           \
      "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting")               \
    X(ERROR_501,       "error_501",        STATUS,    501, WHOLE,      "UNIMPLEMENTED",       "501",                                           \
      "Operation is not implemented, or supported, or enabled.")                                                                              \
    X(ERROR_502,       "error_502",        STATUS,    502, WHOLE,      "UNAVAILABLE",         "502", "Bad gateway.")                           \
    X(ERROR_503,       "error_503",        STATUS,    503, WHOLE,      "UNAVAILABLE",         "503",                                           \
      "The model is overloaded. Please try again later.")                                                                                     \
    X(ERROR_504,       "error_504",        STATUS,    504, WHOLE,      "DEADLINE_EXCEEDED",   "504",                                           \
      "The request timed out. Please try again.")                                                                                             \
    X(HALF_JSON,       "half_json",        CONTENT,   200, WHOLE,      "",                    "half a JSON body, complete as HTTP", "")        \
    X(MALFORMED,       "malformed",        CONTENT,   200, WHOLE,      "",                    "the answer's text is not JSON", "")             \
    X(WRONG_SHAPE,     "wrong_shape",      CONTENT,   200, WHOLE,      "",                    "the answer's JSON breaks the schema", "")       \
    X(UNKNOWN_AGENT,   "unknown_agent",    CONTENT,   200, WHOLE,      "",                    "an agent that is no candidate", "")             \
    X(MAX_TOKENS,      "max_tokens",       CONTENT,   200, WHOLE,      "",                    "text cut, MAX_TOKENS", "")                      \
    X(NO_TEXT,         "max_tokens_empty", CONTENT,   200, WHOLE,      "",                    "no content at all, MAX_TOKENS", "")             \
    X(EMPTY,           "empty",            CONTENT,   200, WHOLE,      "",                    "empty content, STOP", "")                       \
    X(NO_CANDIDATES,   "no_candidates",    CONTENT,   200, WHOLE,      "",                    "no candidates and no reason", "")               \
    X(BLOCKED,         "blocked",          CONTENT,   200, WHOLE,      "",                    "the prompt is blocked (promptFeedback)", "")    \
    X(SAFETY,          "safety",           CONTENT,   200, WHOLE,      "",                    "finishReason SAFETY", "")                       \
    X(RECITATION,      "recitation",       CONTENT,   200, WHOLE,      "",                    "finishReason RECITATION", "")                   \
    X(ODD_FINISH,      "odd_finish",       CONTENT,   200, WHOLE,      "",                    "a finishReason that nobody knows", "")          \
    X(THOUGHT_FIRST,   "thought_first",    CONTENT,   200, WHOLE,      "",                    "a good answer after a thought part", "")        \
    X(TWO_PARTS,       "two_parts",        CONTENT,   200, WHOLE,      "",                    "a good answer in two parts", "")              \
    X(NO_USAGE,        "no_usage",         CONTENT,   200, WHOLE,      "",                    "a good answer without its usage", "")         \
    X(CONTINUATION,    "continuation",     CONTENT,   200, WHOLE,      "",                                                                     \
      "a good answer in two or three calls: finishReason CONTINUATION, with the token that the next one has to bring", "")
/* clang-format on */

enum kind {
#define X(symbol, name, group, status, mode, rpc, help, message) KIND_##symbol,
    SIM_KINDS(X)
#undef X
        KIND_COUNT
};

struct kind_row {
    const char *name;
    enum kind_group group;
    int status; /* HTTP; 0: no answer leaves */
    enum send_mode mode;
    const char *rpc_status; /* error.status; "" when the body is no error envelope */
    const char *help;
    const char *message; /* error.message; "" when it is made for each call */
};

extern const struct kind_row kind_rows[KIND_COUNT];

static inline bool kind_is_fault(enum kind kind)
{
    return kind_rows[kind].group != GROUP_OUTCOME;
}

/* The fault of this name, or -1. */
int kind_fault_by_name(const char *name);

#endif
