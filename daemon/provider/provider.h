/* The contract of a provider: the wire an endpoint speaks. A request goes out, a response comes in and is classified. Pure: no I/O, no state of its own;
 * any thread. A new provider is a file with one `struct provider_ops` and a row in provider.c. */
#ifndef GALLOC_PROVIDER_PROVIDER_H
#define GALLOC_PROVIDER_PROVIDER_H

#include "base/buf.h"
#include "base/code.h"
#include "core/outcome.h"
#include "core/schema.h"
#include "core/price.h"

/* What of a wire can be wrong. */
enum provider_setting { PROVIDER_BASE_URL, PROVIDER_API_VERSION, PROVIDER_MODEL, PROVIDER_TEST_PATH, PROVIDER_PROJECT, PROVIDER_LOCATION };

/* What of an endpoint shapes its wire. Borrowed from the registry. */
struct provider_wire {
    const char *base_url, *api_version, *model;
    const char *test_path; /* where a test request goes, for those whose `test_needs_path`; "": nowhere */
    const char *token_limit;   /* openai: the member that caps an answer, "max_completion_tokens" or "max_tokens"; "none": none is sent */
    bool is_vertex;            /* gemini: Vertex AI instead of the Gemini API */
    const char *project, *location; /* of Vertex AI, which is then asked with an access token; "" both: its express mode, with a key */
    const char *answer_format; /* openai: "json_schema", "json_object" or "text": how the answer's form is asked for */
    int64_t request_timeout_ms;
};

/* What is asked. Borrowed. Those who take a prompt find it in the first part, the others what it would be made of in the second; the other part is empty. */
struct provider_ask {
    const char *system_json, *user_json; /* JSON strings, in their quotes: much of them is the same from call to call, and its quoting is kept by who asks */
    size_t system_json_len, user_json_len; /* 0: none; there is always a user text */
    const char *choice_json; /* what add_choice() or add_schema() made: mostly the same from call to call, and kept by who asks */
    size_t choice_json_len;  /* 0: what an answer may be is not told */
    int64_t max_output_tokens; /* this attempt's cap */
    enum price_tier tier;      /* at which it is asked for; those who know of none take no notice */

    const char *id;                /* of this attempt among all of all daemons, so that a repeat is known as one; letters, digits, '-', '/' */
    const char *run, *key;
    int64_t attempt;               /* the assignment's, from 1 */
    const char *fields_json;       /* an object: the columns that are let out */
    size_t fields_json_len;
    const char *candidates_json;   /* objects, parted by commas */
    size_t candidates_json_len;
};

#define PROVIDER_FLEX_TIMEOUT_MS 900000 /* a flex call is aimed at one to fifteen minutes (ai.google.dev/gemini-api/docs/flex-inference) */

/* A request to be sent; provider_request_clear() frees it. */
struct provider_request {
    const char *method;        /* static */
    struct buf url, body;
    const char *headers[4];    /* static or in header_text; NULL-ended; the same from call to call */
    struct buf header_text;
    struct buf call_header;    /* one more, of this call alone; "": none */
    const char *secret_header; /* static: "x-goog-api-key: "; not sent where there is no key */
    int64_t least_timeout_ms;  /* what is asked for may take so long, whatever the endpoint's time limit is; 0: no longer than that */
};
void provider_request_clear(struct provider_request *request);

/* A response, as net/ gives it (rooms of one floor do not include each other: dispatch/ copies it over). */
enum provider_end { PROVIDER_ANSWERED, PROVIDER_NOT_SENT, PROVIDER_CONFIG, PROVIDER_BROKEN, PROVIDER_TIMED_OUT, PROVIDER_LOST, PROVIDER_TOO_LARGE };
struct provider_response {
    enum provider_end end;
    int status;
    const char *body;
    size_t body_len;
    int64_t retry_after_ms; /* header; -1: none */
    int should_retry;       /* header: 1 "try again", -1 "do not", which override what the status says; 0: not told */
    const char *message;    /* of the transport */
    bool is_rest;           /* to a request of build_rest(): nothing may be left to say */
};

enum quota_span { QUOTA_NONE, QUOTA_UNNAMED /* nobody said of what: the pacer finds out */, QUOTA_MINUTE, QUOTA_DAY, QUOTA_SPEND /* money of ten minutes: 15 s, 30 s, … */ };
enum quota_unit { QUOTA_REQUESTS, QUOTA_TOKENS };

/* What the response means. provider_verdict_clear() frees it. */
struct provider_verdict {
    enum outcome_class class;   /* SUCCEEDED: `answer` is text of the model to its end, not yet validated; UNFINISHED: a piece before that, maybe "" */
    bool is_truncated;          /* INVALID_ANSWER for want of tokens: ask again with a higher cap */
    bool is_capacity;           /* UNAVAILABLE as 503 or capacity exhausted, not a refused connection */
    char *answer;               /* owned; NULL unless SUCCEEDED or UNFINISHED; no NUL in it */
    char *continuation;         /* owned; with UNFINISHED alone: the token that build_rest() takes, not empty, at most LIMIT_CONTINUATION_BYTES */
    char *message;              /* owned; the provider's words or ours, at most LIMIT_MESSAGE_BYTES, UTF-8; NULL when well */
    char *model_version;        /* owned; may be NULL */
    enum quota_span quota_span; /* of THROTTLED and QUOTA_DAY */
    enum quota_unit quota_unit;
    int64_t quota_value;        /* the printed limit; -1: not told */
    int64_t retry_after_ms;     /* the larger of header, RetryInfo and message; -1: not told */
    int64_t tokens[5];          /* in (with cached), cached, out, thought, tool: enum store_token's order; -1: not told */
};
void provider_verdict_clear(struct provider_verdict *verdict);

struct provider_ops {
    const char *name;          /* "gemini" */
    const char *secret_header;
    bool takes_prompt;         /* else the fields and candidates themselves */
    bool takes_tiers;          /* a call may be asked for at another tier than the standard one; see provider_takes_tier() */
    bool needs_key;            /* else none is no fault */
    bool test_needs_path;      /* build_test() needs a test_path; see provider_has_test() */
    /* Can requests be made of this wire? Asked when a configuration is read. 0, or -GALLOC_INVALID_VALUE beginning with the name of the setting that is wrong, and
     * *ret_setting (NULL is fine) says which that is. */
    int (*check)(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error);
    /* Adds what the wire says of an answer's form and of the agents that it may choose, as JSON: the candidates' ids are named up to LIMIT_SCHEMA_ENUM of them. NULL
     * where nothing is said of it. `is_pack`: the answer holds several choices, each with the "id" of its assignment (core/pack.h). */
    void (*add_choice)(const char *const *candidates, size_t count, bool is_pack, struct buf *out);
    /* The same of an answer that has a schema's shape, in add_choice()'s place. NULL where no such question can be asked. */
    void (*add_schema)(const struct schema *schema, struct buf *out);
    /* Makes the request. 0, or -GALLOC_INVALID_VALUE (a base URL or model that cannot be). */
    int (*build)(const struct provider_wire *wire, const struct provider_ask *ask, struct provider_request *ret_request, struct galloc_error *error);
    /* The rest of an UNFINISHED answer: the same request once more, with the token that came last. `body` is the one that build() made for the answer's first
     * call. 0, or -GALLOC_INVALID_VALUE. NULL when the provider's answers are never UNFINISHED. */
    int (*build_rest)(const struct provider_wire *wire, const char *body, size_t body_len, const char *continuation, struct provider_request *ret_request,
                      struct galloc_error *error);
    /* The endpoint's own small test request: cheap, shows that key, model and service work (few tokens, fixed text). NULL when there is none. Where an endpoint
     * has none, waiting assignments are its probes. */
    int (*build_test)(const struct provider_wire *wire, struct provider_request *ret_request, struct galloc_error *error);
    /* Never fails: whatever came is some class. */
    void (*classify)(const struct provider_response *response, struct provider_verdict *ret_verdict);
};

const struct provider_ops *provider_by_name(const char *name); /* NULL when unknown */
size_t provider_count(void);
const struct provider_ops *provider_at(size_t index); /* of provider_count() */
bool provider_takes_tier(const struct provider_ops *ops, const struct provider_wire *wire, enum price_tier tier);
bool provider_has_test(const struct provider_ops *ops, const struct provider_wire *wire); /* may build_test() be called? */
extern const struct provider_ops provider_gemini, provider_openai, provider_http;

#endif
