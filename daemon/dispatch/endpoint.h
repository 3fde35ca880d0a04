/* An endpoint at run time: the file's settings with what `endpoint set` laid over them, the key, the pacer, the state. Loop's thread. */
#ifndef GALLOC_DISPATCH_ENDPOINT_H
#define GALLOC_DISPATCH_ENDPOINT_H

#include "base/histogram.h"
#include "config/config.h"
#include "core/density.h"
#include "core/pacer.h"
#include "core/waits.h"
#include "provider/provider.h"
#include "store/store.h"

/* Settings that `endpoint set` may change while the daemon runs; one row each (endpoint.c). */
enum endpoint_setting { SETTING_RPM, SETTING_TPM, SETTING_RPD, SETTING_MAX_IN_FLIGHT, SETTING_MAX_OUTPUT_TOKENS, SETTING_REQUEST_TIMEOUT, SETTING_MAX_COST_PER_DAY, SETTING_PRICE, ENDPOINT_SETTING_COUNT };
enum endpoint_setting_kind { ENDPOINT_NUMBER, ENDPOINT_DURATION, ENDPOINT_AMOUNT, ENDPOINT_PRICE, ENDPOINT_SETTING_KIND_COUNT };
struct endpoint_setting_row {
    const char *name;
    int64_t low, high; /* of an amount, and of each amount of a price: in micros */
    enum endpoint_setting_kind kind;
    bool of_prompts; /* means nothing to a provider that takes none */
    const char *help;
};
int64_t endpoint_file_value(const struct endpoint_config *config, enum endpoint_setting setting); /* as the configuration has it; 0 for the price, which is endpoint_file_price() */
struct endpoint;
bool endpoint_setting_applies(const struct endpoint *endpoint, enum endpoint_setting setting);
const struct endpoint_setting_row *endpoint_setting_rows(void); /* ENDPOINT_SETTING_COUNT of them */

enum { ENDPOINT_DURATION_BOUNDS = 12 };
extern const int64_t endpoint_duration_bounds[ENDPOINT_DURATION_BOUNDS]; /* microseconds */

struct endpoint_override {
    bool is_set;
    int64_t value; /* of a number, a duration (ms) or an amount (micros) */
    struct price price;
    int64_t set_at_ms, until_at_ms; /* wall; until 0: for good */
    uint32_t set_by;
};

struct endpoint {
    struct endpoint *next;
    const struct endpoint_config *config;         /* borrowed from the engine's configuration */
    const struct provider_ops *provider;
    int64_t values[ENDPOINT_SETTING_COUNT];       /* in force; the price is endpoint_price() */
    struct endpoint_override overrides[ENDPOINT_SETTING_COUNT];
    struct secret *secret;                        /* owned; NULL: no key */
    char *key_problem;                            /* owned; why the key could not be read when it was last looked for, while the former one is used; else NULL */
    struct pacer *pacer;                          /* owned */
    struct store_endpoint_state state;            /* down or up, why */
    /* counters since start, for metrics and `endpoint show` */
    int64_t calls, test_calls, counts[OUTCOME_CLASS_COUNT], tokens[TOKEN_COUNT], cost_micros, cost_unknown_calls;
    int64_t sums_before[COUNT_KIND_END];          /* the same of former lives, as the store has them: COUNT_CALLS, COUNT_TEST_CALLS, COUNT_CLASS, … */
    char currency[4];                             /* of the costs; "": no price is known, and none was */
    struct histogram durations;                   /* of its calls, microseconds, by endpoint_duration_bounds */
    struct waits waits;
    struct density density;                       /* of the text that it was asked */
    int64_t in_flight;
    struct endpoint_dispatch *dispatch;           /* the dispatcher's own */
};

/* config_load(), and besides every endpoint has a known provider, which can make requests of it, and addresses that may be called. 0, or -GALLOC_D_CONFIG naming endpoint and setting. */
int endpoint_load_config(const char *path, struct config **ret_config, struct galloc_error *error) MUST_CHECK;
/* What a million tokens cost at a moment (wall) and a tier: set at run time, which is the standard tier's; by the configuration or the list for the endpoint's model;
 * the one of these that holds. NULL: not known. Borrowed until the loop's next turn. */
const struct price *endpoint_set_price(const struct endpoint *endpoint, int64_t wall_ms);
const struct price_config *endpoint_file_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms);
const struct price *endpoint_price(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms);
/* Where there is a price, but in another currency than that of the costs counted so far, so that it is none: its currency; else NULL. Borrowed as long. */
const char *endpoint_other_currency(const struct endpoint *endpoint, enum price_tier tier, int64_t wall_ms);
/* Can a budget be kept at this price (NULL: not known)? The price has to be known before a call, and in the budget's currency. 0, or -GALLOC_INVALID_INPUT with what
 * would be right. */
int endpoint_check_budget(const struct endpoint *endpoint, const struct amount *budget, const struct price *price, struct galloc_error *error) MUST_CHECK;
/* What its calls came to, by kind (those of struct store_endpoint_sums): ever, or since the daemon's start. */
void endpoint_sums(const struct endpoint *endpoint, bool ever, int64_t ret_sums[COUNT_KIND_END]);
struct provider_wire endpoint_config_wire(const struct endpoint_config *config);
struct provider_wire endpoint_wire(const struct endpoint *endpoint); /* with what was set at run time; borrowed until the loop's next turn */
bool endpoint_has_test(const struct endpoint *endpoint); /* a test request of its own; else waiting assignments are its probes (in_turn.c) */
/* Its key, read anew; *ret_secret is NULL where there is none and the provider needs none. 0, or the code of secret_read(). The caller frees. */
int endpoint_find_key(const struct endpoint_config *config, struct secret **ret_secret, struct galloc_error *error) MUST_CHECK;
bool endpoint_is_down(const struct endpoint *endpoint);
/* Does a configured quota (rpm, tpm, rpd) hold the next call back, for seconds or more? */
bool endpoint_quota_is_used(const struct pacer_view *view);
/* In words: what limits or what it waits for; until when is told beside them (wall; 0: not known), so that whoever shows it does so in his own time zone. */
void endpoint_text(const struct endpoint *endpoint, char *ret_text, size_t size, int64_t *ret_until_at_ms);

#endif
