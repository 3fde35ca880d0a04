/* See settings.h. One table is read by the command line, PATCH /sim/config, GET /sim/config, GET /sim/help and --help.
 */
#include "sim/settings.h"

#include "base/json.h"
#include "base/json_out.h"
#include "base/parse.h"
#include "base/text.h"
#include "sim/quota_set.h"

static const char *const quota_kinds[] = {"bucket", "fixed", "sliding", NULL};
static const char *const quota_phases[] = {"wall", "first", NULL};
static const char *const day_phases[] = {"pacific", "wall", "first", NULL};
static const char *const hint_names[] = {"none", "ra", "full", "lie", NULL};
static const char *const outages[] = {"off", "503", "reset", "refuse", "hang", NULL};

#define FIELD(name) offsetof(struct settings, name), sizeof(((struct settings *)NULL)->name)
#define INT(name, low, high, fallback, unit, help)                             \
    {                                                                          \
#name, SETTING_INT, FIELD(name), low, high, fallback, unit, help, NULL \
    }
#define NUMBER(name, low, high, fallback, unit, help)                             \
    {                                                                             \
#name, SETTING_NUMBER, FIELD(name), low, high, fallback, unit, help, NULL \
    }
#define BOOL(name, fallback, help)                                       \
    {                                                                    \
#name, SETTING_BOOL, FIELD(name), 0, 1, fallback, "", help, NULL \
    }
#define CHOICE(name, choices, fallback, help)                                 \
    {                                                                         \
#name, SETTING_CHOICE, FIELD(name), 0, 0, fallback, "", help, choices \
    }
#define TEXT(name, fallback, help)                                       \
    {                                                                    \
#name, SETTING_TEXT, FIELD(name), 0, 0, fallback, "", help, NULL \
    }
#define DAY_MS (86400e3)

static const struct setting_row rows[] = {
    TEXT(api_key, "", "the one key that is accepted; empty: every key, but there has to be one"),
    TEXT(models, "gemini-3.8-flash,gemini-3.6-flash,gemini-3.5-flash,gemini-3.5-flash-lite,gemini-2.5-flash",
         "models that exist, parted by commas; * is every name"),
    INT(seed, 0, 9e15, "1", "", "all draws follow from the seed, the assignment's key and the number of its call"),
    NUMBER(time_scale, 0.001, 100, "1", "", "every window, day and hint takes this many times as long"),

    INT(rpm, -1, 1e12, "none", "requests a window", "quota of requests; 0 refuses all, as a project without quota"),
    INT(tpm, -1, 1e15, "none", "tokens a window", "quota of input tokens"),
    INT(rpd, -1, 1e12, "none", "requests a day", "quota of requests a day"),
    INT(tpd, -1, 1e15, "none", "tokens a day", "quota of input tokens a day"),
    CHOICE(quota_kind, quota_kinds, "bucket", "how rpm and tpm are counted; a day is always a fixed window"),
    INT(burst, 0, 1e12, "0", "requests", "depth of the bucket of rpm (tpm's in proportion); 0: the whole quota"),
    CHOICE(quota_phase, quota_phases, "wall",
           "fixed windows begin on the wall clock, or at the first request after the last one"),
    NUMBER(window_s, 0.001, 1e7, "60", "s", "length of the window of rpm and tpm, before time_scale"),
    NUMBER(day_s, 0.001, 1e9, "86400", "s", "length of the day of rpd and tpd, before time_scale"),
    CHOICE(day_phase, day_phases, "pacific",
           "the day ends at midnight in Los Angeles (only when day_s x time_scale is a whole "
           "day, else as wall), on the wall clock, or after the first request"),
    BOOL(quota_counts_refused, "no", "refused calls count as well (sliding windows)"),
    CHOICE(hints, hint_names, "full",
           "what a 429 tells: nothing, Retry-After, QuotaFailure and RetryInfo, or that with a short delay "
           "for a day's quota"),
    {"free_tier", SETTING_BOOL, FIELD(is_free_tier), 0, 1, "no", "", "quotas carry the names of the free tier", NULL},
    TEXT(quotas, "",
         "more quotas: UNIT=COUNT/SECONDSs[,kind][,burst=N][,first][,refused][,day] parted by semicolons, UNIT being "
         "requests "
         "or tokens"),
    NUMBER(background_rpm, 0, 1e9, "0", "requests a minute", "another client's calls on the same quotas (Poisson)"),

    NUMBER(latency_ms, 0, DAY_MS, "0", "ms", "median time of an answer; 0: at once"),
    NUMBER(latency_sigma, 0, 5, "0", "", "sigma of the lognormal latency (0.5 is usual)"),
    NUMBER(latency_spread, 0, 1, "0", "", "uniform spread of the latency: times 1-x to 1+x"),
    NUMBER(straggler_share, 0, 1, "0", "", "share of calls that are stragglers"),
    NUMBER(straggler_factor, 1, 10000, "10", "", "how many times as long a straggler takes"),
    NUMBER(refusal_ms, 0, DAY_MS, "0", "ms", "time of a refusal (429, 503, a wrong key)"),
    INT(knee, 0, 1e6, "0", "calls", "calls in service beyond which latency grows; 0: none"),
    NUMBER(knee_exponent, 0, 10, "1.25", "", "latency x (calls / knee) ^ this"),
    INT(hard_limit, 0, 1e6, "0", "calls", "calls in service beyond which the answer is 503; 0: none"),
    INT(workers, 0, 4096, "0", "", "calls served side by side, others wait in a queue; 0: no such limit"),
    INT(queue, 0, 1e6, "32", "calls", "calls that wait for a worker before the answer is 503"),

    NUMBER(hang_ms, 0, DAY_MS, "0", "ms", "a hang ends with a reset after this long; 0: only when the client goes"),
    INT(drip_bytes, 1, 65536, "8", "bytes", "bytes of one drop of a drip"),
    NUMBER(drip_ms, 1, DAY_MS, "250", "ms", "time between two drops"),
    INT(huge_bytes, 1, 4294967296.0, "33554432", "bytes", "size of huge_body"),
    TEXT(redirect_to, "http://169.254.169.254/latest/meta-data/", "the Location of redirect"),
    NUMBER(poison_share, 0, 1, "0", "", "share of keys whose every call fails, chosen by the seed"),
    TEXT(poison_keys, "", "keys whose every call fails, parted by commas"),
    TEXT(poison_kind, "error_500", "the fault that a poisoned key meets"),
    NUMBER(poison_after_ms, 0, DAY_MS, "0", "ms", "time after which a poisoned call fails; 0: as any call"),
    CHOICE(outage, outages, "off", "an outage of everything under /v1 and /v1beta"),
    NUMBER(outage_ms, 0, DAY_MS, "0", "ms", "the outage ends by itself after this long; 0: when it is switched off"),
    BOOL(outage_spares_tests, "no",
         "an outage spares test requests: no assignment in the prompt, countTokens, GET models"),
    BOOL(faults_spare_tests, "no", "faults and latency spare test requests"),

    NUMBER(noise, 0, 1, "0", "share", "share of answers that name the second best agent: a model does not always say the same"),
    INT(bytes_per_token, 1, 64, "4", "bytes", "of a prompt that count as one token; dense text has fewer"),
    NUMBER(item_missing, 0, 1, "0", "", "share of assignments, of those asked about together, that the answer leaves out"),
    NUMBER(item_unknown_agent, 0, 1, "0", "", "share of them that are given to an agent who is no candidate"),
    NUMBER(item_twice, 0, 1, "0", "", "share of them that are answered twice"),
    INT(thoughts_tokens, 0, 1e6, "0", "tokens",
        "tokens of thinking in every answer; they count towards maxOutputTokens"),
    INT(cache_min_tokens, 0, 1e9, "1024", "tokens",
        "a repeated systemInstruction of at least this size counts as cached; 0: never"),
    INT(input_token_limit, 1, 1e9, "1048576", "tokens", "a longer prompt is refused with 400"),
    INT(schema_enum_max, 1, 1e9, "1000", "values", "an enum with more values is refused with 400 as too many states"),
    INT(max_body_bytes, 1024, 1073741824, "20971520", "bytes", "a larger request body is refused with 413"),
    INT(max_connections, 1, 65536, "4096", "connections", "connections held at once; more are closed at once"),
    INT(record_size, 1, 1e7, "65536", "calls", "calls kept for GET /sim/record, the latest"),
    INT(keys_max, 1, 1e8, "2000000", "keys", "distinct keys that are counted"),
};

/* Two rows a fault, made at the first look. */
static struct setting_row fault_rows[2 * KIND_COUNT];
static size_t fault_row_count;

static void add_fault_rows(void)
{
    static char next_names[KIND_COUNT][40];
    for (int i = 0; i < KIND_COUNT; i++) {
        if (!kind_is_fault((enum kind)i))
            continue;
        fault_rows[fault_row_count++] =
            (struct setting_row){.name = kind_rows[i].name,
                                 .type = SETTING_NUMBER,
                                 .low = 0,
                                 .high = 1,
                                 .fallback = "0",
                                 .unit = "share",
                                 .offset = offsetof(struct settings, fault_share) + (size_t)i * sizeof(double),
                                 .bytes = sizeof(double),
                                 .help = kind_rows[i].help};
        snprintf(next_names[i], sizeof next_names[i], "%s_next", kind_rows[i].name);
        fault_rows[fault_row_count++] =
            (struct setting_row){.name = next_names[i],
                                 .type = SETTING_INT,
                                 .low = 0,
                                 .high = 1e9,
                                 .fallback = "0",
                                 .unit = "calls",
                                 .offset = offsetof(struct settings, fault_next) + (size_t)i * sizeof(int64_t),
                                 .bytes = sizeof(int64_t),
                                 .help = "the same for the next calls, counted down"};
    }
}

size_t settings_count(void)
{
    if (fault_row_count == 0)
        add_fault_rows();
    return ARRAY_COUNT(rows) + fault_row_count;
}

const struct setting_row *settings_row(size_t index)
{
    return index < ARRAY_COUNT(rows) ? &rows[index] : &fault_rows[index - ARRAY_COUNT(rows)];
}

static const struct setting_row *find(const char *name)
{
    for (size_t i = 0; i < settings_count(); i++)
        if (strcmp(settings_row(i)->name, name) == 0)
            return settings_row(i);
    return NULL;
}

static void *field(struct settings *settings, const struct setting_row *row)
{
    return (char *)settings + row->offset;
}

static const void *field_const(const struct settings *settings, const struct setting_row *row)
{
    return (const char *)settings + row->offset;
}

static int set_int(const struct setting_row *row, void *at, const char *value, struct galloc_error *error)
{
    int64_t number = SIM_NONE;
    if (row->low > -1 || strcmp(value, "none") != 0) {
        int rc = parse_i64(value, (int64_t)row->low, (int64_t)row->high, &number, error);
        if (rc != 0)
            return rc;
    }
    memcpy(at, &number, sizeof number);
    return 0;
}

static int set_number(const struct setting_row *row, void *at, const char *value, struct galloc_error *error)
{
    int64_t micros;
    int rc = parse_micros(value, &micros, error);
    if (rc != 0)
        return rc;
    double number = (double)micros / 1e6;
    if (number < row->low || number > row->high)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "%s is not between %g and %g", value, row->low, row->high);
    memcpy(at, &number, sizeof number);
    return 0;
}

static int set_choice(const struct setting_row *row, void *at, const char *value, struct galloc_error *error)
{
    struct buf known = BUF_EMPTY;
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], value) == 0) {
            memcpy(at, &i, sizeof i);
            buf_clear(&known);
            return 0;
        }
        buf_add_fmt(&known, "%s%s", i > 0 ? ", " : "", row->choices[i]);
    }
    int rc = galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not one of %s", value, buf_text(&known));
    buf_clear(&known);
    return rc;
}

static int set_text(const struct setting_row *row, void *at, const char *value, struct galloc_error *error)
{
    size_t len = strlen(value);
    if (len >= row->bytes)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "longer than %zu bytes", row->bytes - 1);
    memcpy(at, value, len + 1);
    return 0;
}

static int set_row(struct settings *settings, const struct setting_row *row, const char *value,
                   struct galloc_error *error)
{
    void *at = field(settings, row);
    bool on = false;
    int rc = 0;
    switch (row->type) {
    case SETTING_INT:
        rc = set_int(row, at, value, error);
        break;
    case SETTING_NUMBER:
        rc = set_number(row, at, value, error);
        break;
    case SETTING_BOOL:
        rc = parse_bool(value, &on, error);
        if (rc == 0)
            memcpy(at, &on, sizeof on);
        break;
    case SETTING_CHOICE:
        rc = set_choice(row, at, value, error);
        break;
    case SETTING_TEXT:
        rc = set_text(row, at, value, error);
        break;
    }
    return rc == 0 ? 0 : galloc_prefix(error, "%s", row->name);
}

static int unknown_name(const char *name, struct galloc_error *error)
{
    const char *names[256];
    size_t count = 0;
    for (size_t i = 0; i < settings_count() && count < ARRAY_COUNT(names); i++)
        names[count++] = settings_row(i)->name;
    const char *nearest = text_nearest(name, names, count);
    return galloc_fail(error, GALLOC_UNKNOWN_FIELD, "there is no setting \"%s\"%s%s%s; GET /sim/help lists them all",
                       name, nearest ? " (did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?)" : "");
}

int settings_set(struct settings *settings, const char *name, const char *value, struct galloc_error *error)
{
    const struct setting_row *row = find(name);
    return row == NULL ? unknown_name(name, error) : set_row(settings, row, value, error);
}

void settings_init(struct settings *ret_settings)
{
    *ret_settings = (struct settings){0};
    for (size_t i = 0; i < settings_count(); i++) {
        struct galloc_error error;
        if (set_row(ret_settings, settings_row(i), settings_row(i)->fallback, &error) != 0) {
            fprintf(stderr, "gallocsim: a default is wrong: %s\n", error.message); /* ours: the table above */
            abort();
        }
    }
}

struct json_change {
    struct settings *settings;
    struct galloc_error *error;
};

static int set_member(const char *name, struct json_object *value, void *arg)
{
    struct json_change *change = arg;
    struct buf text = BUF_EMPTY;
    if (json_is_str(value))
        buf_add_str(&text, json_str(value, NULL));
    else if (value != NULL)
        json_to_text(value, &text);
    int rc = settings_set(change->settings, name, buf_text(&text), change->error);
    buf_clear(&text);
    return rc;
}

int settings_set_json(struct settings *settings, const char *json, size_t len, struct galloc_error *error)
{
    struct json_object *object = NULL;
    int rc = json_parse(json, len, &object, error);
    if (rc != 0)
        return rc;
    struct settings changed = *settings;
    struct json_change change = {&changed, error};
    rc = json_is_object(object) ? json_each(object, set_member, &change)
                                : galloc_fail(error, GALLOC_INVALID_VALUE, "an object of settings is expected");
    if (rc == 0)
        rc = settings_check(&changed, error);
    if (rc == 0)
        *settings = changed;
    json_free(object);
    return rc;
}

int settings_check(const struct settings *settings, struct galloc_error *error)
{
    double sum = 0;
    for (int i = 0; i < KIND_COUNT; i++)
        sum += settings->fault_share[i];
    if (sum > 1 + 1e-9)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "the shares of all faults sum up to %g, more than 1", sum);
    if (kind_fault_by_name(settings->poison_kind) < 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE,
                           "poison_kind: \"%s\" is not the name of a fault (error_500, error_504, error_400 ...)",
                           settings->poison_kind);
    return quota_set_check(settings, error);
}

static void value_to_json(const struct settings *settings, const struct setting_row *row, struct json_out *out)
{
    const void *at = field_const(settings, row);
    int64_t integer;
    double number;
    bool on;
    int choice;
    switch (row->type) {
    case SETTING_INT:
        memcpy(&integer, at, sizeof integer);
        if (integer == SIM_NONE)
            json_out_str(out, "none");
        else
            json_out_int(out, integer);
        break;
    case SETTING_NUMBER:
        memcpy(&number, at, sizeof number);
        json_out_ratio(out, number);
        break;
    case SETTING_BOOL:
        memcpy(&on, at, sizeof on);
        json_out_bool(out, on);
        break;
    case SETTING_CHOICE:
        memcpy(&choice, at, sizeof choice);
        json_out_str(out, row->choices[choice]);
        break;
    case SETTING_TEXT:
        json_out_str(out, at == settings->api_key ? (settings->api_key[0] ? "set" : "") : (const char *)at);
        break;
    }
}

void settings_to_json(const struct settings *settings, struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    json_out_begin(&json, '{');
    for (size_t i = 0; i < settings_count(); i++) {
        json_out_name(&json, settings_row(i)->name);
        value_to_json(settings, settings_row(i), &json);
    }
    json_out_end(&json, '}');
    buf_add_char(out, '\n');
}

static const char *const type_names[] = {"integer", "number", "boolean", "choice", "text"};

void settings_help_json(struct buf *out)
{
    struct json_out json = JSON_OUT(out);
    json_out_begin(&json, '[');
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting_row *row = settings_row(i);
        json_out_begin(&json, '{');
        json_out_member_str(&json, "name", row->name);
        json_out_member_str(&json, "type", type_names[row->type]);
        if (row->type == SETTING_INT || row->type == SETTING_NUMBER) {
            json_out_name(&json, "low");
            json_out_ratio(&json, row->low);
            json_out_name(&json, "high");
            json_out_ratio(&json, row->high);
        }
        if (row->choices != NULL) {
            json_out_name(&json, "choices");
            json_out_begin(&json, '[');
            for (int k = 0; row->choices[k] != NULL; k++)
                json_out_str(&json, row->choices[k]);
            json_out_end(&json, ']');
        }
        json_out_member_str(&json, "default", row->fallback);
        json_out_member_str(&json, "unit", row->unit);
        json_out_member_str(&json, "help", row->help);
        json_out_end(&json, '}');
    }
    json_out_end(&json, ']');
    buf_add_char(out, '\n');
}

void settings_help_text(struct buf *out)
{
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting_row *row = settings_row(i);
        size_t len = strlen(row->name);
        if (row->low >= 0 && len > 5 && strcmp(row->name + len - 5, "_next") == 0)
            continue; /* told once, below */
        buf_add_fmt(out, "  %-21s %s", row->name, row->help);
        bool has_unit = row->unit[0] != '\0' && strcmp(row->fallback, "none") != 0;
        if (row->fallback[0] != '\0')
            buf_add_fmt(out, " [%s%s%s]", row->fallback, has_unit ? " " : "", has_unit ? row->unit : "");
        buf_add_char(out, '\n');
    }
    buf_add_str(out, "Each fault (a setting in shares) also has NAME_next: the same for the next N calls.\n");
}

bool settings_list_has(const char *list, const char *name, size_t name_len)
{
    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");
        const char *from = at + strspn(at, " ");
        size_t trimmed = len - (size_t)min_i64((int64_t)len, from - at);
        while (trimmed > 0 && from[trimmed - 1] == ' ')
            trimmed--;
        if ((trimmed == 1 && *from == '*') || (trimmed > 0 && trimmed == name_len && memcmp(from, name, trimmed) == 0))
            return true;
        at += len + (at[len] == ',');
    }
    return false;
}
