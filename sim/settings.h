/* What gallocsim can be told, on its command line and while it runs, from one table. Only the loop's thread. */
#ifndef GALLOC_SIM_SETTINGS_H
#define GALLOC_SIM_SETTINGS_H

#include "base/buf.h"
#include "base/code.h"
#include "sim/kind.h"

enum { SIM_NONE = -1 }; /* an integer setting that is "none" */

enum quota_kind { QUOTA_BUCKET, QUOTA_FIXED, QUOTA_SLIDING };
enum quota_phase { PHASE_WALL, PHASE_FIRST };
enum day_phase { DAY_PACIFIC, DAY_WALL, DAY_FIRST };
enum hints { HINTS_NONE, HINTS_RA, HINTS_FULL, HINTS_LIE };
enum outage { OUTAGE_OFF, OUTAGE_503, OUTAGE_RESET, OUTAGE_REFUSE, OUTAGE_HANG };

/* A plain value: it can be copied, changed and put in place whole. */
struct settings {
    char api_key[256], models[1024], quotas[1024], poison_keys[4096], poison_kind[32], redirect_to[256];
    int64_t seed;
    double time_scale;

    int64_t rpm, tpm, rpd, tpd, burst; /* SIM_NONE: no such quota */
    int quota_kind, quota_phase, day_phase, hints;
    bool quota_counts_refused, is_free_tier;
    double window_s, day_s, background_rpm;

    double latency_ms, latency_sigma, latency_spread, straggler_share, straggler_factor, refusal_ms;
    int64_t knee, hard_limit, workers, queue; /* 0: none */
    double knee_exponent;

    double fault_share[KIND_COUNT];
    int64_t fault_next[KIND_COUNT];
    double hang_ms, drip_ms, poison_share, poison_after_ms, outage_ms;
    int64_t drip_bytes, huge_bytes;
    int outage;
    bool outage_spares_tests, faults_spare_tests;

    double noise; /* share of answers that name the second best */
    int64_t bytes_per_token; /* of what is asked */
    double item_missing, item_unknown_agent, item_twice; /* shares of the assignments of packs */
    int64_t thoughts_tokens, cache_min_tokens, input_token_limit, schema_enum_max;
    int64_t max_body_bytes, max_connections, record_size, keys_max;
};

enum setting_type { SETTING_INT, SETTING_NUMBER, SETTING_BOOL, SETTING_CHOICE, SETTING_TEXT };

struct setting_row {
    const char *name;
    enum setting_type type;
    size_t offset, bytes; /* of the field in struct settings */
    double low, high;     /* of INT and NUMBER; low -1 of an INT: "none" may stand */
    const char *fallback; /* the default, as text */
    const char *unit;     /* "" when it has none */
    const char *help;
    const char *const *choices; /* of CHOICE, ending in NULL */
};

/* The table: first what is written by hand, then two rows a fault. `index` from 0 to settings_count() - 1. */
const struct setting_row *settings_row(size_t index);
size_t settings_count(void);

/* All defaults. */
void settings_init(struct settings *ret_settings);

/* Sets one by its name. 0, -GALLOC_UNKNOWN_FIELD with the nearest name, or -GALLOC_INVALID_VALUE with what would be
 * right. */
int settings_set(struct settings *settings, const char *name, const char *value, struct galloc_error *error) MUST_CHECK;

/* Sets all members of a JSON object (numbers, booleans, or the text of the command line); nothing is changed when one
 * is refused. */
int settings_set_json(struct settings *settings, const char *json, size_t len, struct galloc_error *error) MUST_CHECK;

/* What no single row can tell: shares of faults sum up to at most 1, the list of quotas can be read, the poison's kind
 * is a fault. */
int settings_check(const struct settings *settings, struct galloc_error *error) MUST_CHECK;

/* One JSON object with every value; the key is shown as "set" only. */
void settings_to_json(const struct settings *settings, struct buf *out);

/* The table as JSON: name, type, range, default, unit, help. */
void settings_help_json(struct buf *out);

/* The table as lines for --help. */
void settings_help_text(struct buf *out);

/* True when `name` stands in a list parted by commas. "*" in the list is every name. */
bool settings_list_has(const char *list, const char *name, size_t name_len);

#endif
