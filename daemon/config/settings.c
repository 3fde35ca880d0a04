/* See settings.h. A row a setting; a function a type. Pure; any thread. */
#include "config/settings.h"

#include "core/limits.h"

#include "base/json_scan.h"
#include "base/parse.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)
#define MILLION INT64_C(1000000)

#define DAEMON(member) offsetof(struct config, member)
#define ENDPOINT(member) offsetof(struct endpoint_config, member)
#define PRICE(member) offsetof(struct price_config, member)
#define PROFILE(member) offsetof(struct profile, member)

const struct setting settings[] = {
    /* section, name, type, default, low, high, place, choices, help */
    {SECTION_DAEMON, "socket", SETTING_PATH, NULL, 1, 107, DAEMON(socket_path), NULL,
     "the operators' socket; the service's is /run/galloc/gallocd.sock, a user's $XDG_RUNTIME_DIR/galloc/gallocd.sock"},
    {SECTION_DAEMON, "socket_mode", SETTING_MODE, "0660", 0, 0777, DAEMON(socket_mode), NULL, "the socket's mode"},
    {SECTION_DAEMON, "socket_group", SETTING_TEXT, NULL, 0, LIMIT_NAME_BYTES, DAEMON(socket_group), NULL,
     "the socket's group, which may spend the key's money; the service's is galloc"},
    {SECTION_DAEMON, "worker_socket", SETTING_PATH, "", 0, 107, DAEMON(worker_socket_path), NULL,
     "a second socket, for outside workers: it serves their leases alone; none where it is empty"},
    {SECTION_DAEMON, "worker_socket_group", SETTING_TEXT, "", 0, LIMIT_NAME_BYTES, DAEMON(worker_socket_group), NULL,
     "the group of that socket, whose members may lease and decide, and nothing else"},
    {SECTION_DAEMON, "state_dir", SETTING_PATH, NULL, 1, 4096, DAEMON(state_dir), NULL,
     "the folder of the database; the service's is /var/lib/galloc, a user's $XDG_STATE_HOME/galloc"},
    {SECTION_DAEMON, "drain_timeout", SETTING_DURATION, "30s", 0, 3600 * SECOND, DAEMON(drain_timeout_ms), NULL,
     "how long calls in flight may go on at the end"},
    {SECTION_DAEMON, "retention", SETTING_DURATION, "0s", 0, 3650 * DAY, DAEMON(retention_ms), NULL,
     "runs that ended so long ago are purged, as by gallocctl purge; 0s: kept for ever"},
    {SECTION_DAEMON, "audit_retention", SETTING_DURATION, "0s", 0, 3650 * DAY, DAEMON(audit_retention_ms), NULL,
     "rows of the audit log that are older go; 0s: kept for ever"},
    {SECTION_DAEMON, "canary_failures", SETTING_RATIO, "0.25", 0, MILLION, DAEMON(canary_failures), NULL,
     "of a run's first assignments, the share that may fail; more pause it"},
    {SECTION_DAEMON, "canary_cost", SETTING_MONEY, "0", 0, PRICE_AMOUNT_MAX_MICROS, DAEMON(canary_cost_micros), NULL,
     "what one of a run's first assignments may cost on average; more pauses it; 0: any amount"},
    {SECTION_DAEMON, "default_endpoint", SETTING_TEXT, "gemini", 1, LIMIT_NAME_BYTES, DAEMON(default_endpoint), NULL,
     "the endpoint of runs that name none"},
    {SECTION_DAEMON, "keep_back", SETTING_COLUMNS, NULL, 1, 1024, DAEMON(keep_back), NULL,
     "columns that are never sent to a model, whatever a run says"},
    {SECTION_DAEMON, "connections_per_uid", SETTING_NUMBER, "256", 1, 4096, DAEMON(connections_per_uid), NULL,
     "connections that one user may have open"},
    {SECTION_DAEMON, "requests_per_uid", SETTING_NUMBER, "8", 1, 256, DAEMON(requests_per_uid), NULL,
     "requests of one user in work at once; streams and those of outside workers are not counted"},
    {SECTION_DAEMON, "workers_per_uid", SETTING_NUMBER, "64", 1, 4096, DAEMON(workers_per_uid), NULL,
     "outside workers of one user: so many may ask, and wait, for work at once, and so many more tell of their leases"},
    {SECTION_DAEMON, "prices_file", SETTING_PATH, GALLOC_DATADIR "/prices.conf", 0, 4096, DAEMON(prices_file), NULL,
     "list prices; those of the configuration win"},

    {SECTION_ENDPOINT, "provider", SETTING_CHOICE, "gemini", 0, 0, ENDPOINT(provider), "gemini|openai|http",
     "the wire that it speaks: Gemini's, OpenAI's chat completions as many servers do, or plain JSON to a service of one's own"},
    {SECTION_ENDPOINT, "base_url", SETTING_TEXT, "https://generativelanguage.googleapis.com", 1, 2048,
     ENDPOINT(base_url), NULL, "where it is; of openai, with or without its /v1, and of http, the whole URL, it has to be given"},
    {SECTION_ENDPOINT, "api_version", SETTING_CHOICE, "v1beta", 0, 0, ENDPOINT(api_version), "v1beta|v1|v1beta1",
     "gemini: the version of the API; v1 where vertex is set and nothing else is"},
    {SECTION_ENDPOINT, "vertex", SETTING_YES_NO, "no", 0, 0, ENDPOINT(is_vertex), NULL,
     "gemini: Vertex AI; with project and location by an access token, without them (express mode) by an API key"},
    {SECTION_ENDPOINT, "project", SETTING_TEXT, "", 0, LIMIT_NAME_BYTES, ENDPOINT(project), NULL,
     "vertex: the project that is billed"},
    {SECTION_ENDPOINT, "location", SETTING_TEXT, "", 0, 63, ENDPOINT(location), NULL,
     "vertex: us-central1, europe-west4, …, us, eu, or global; base_url follows from it"},
    {SECTION_ENDPOINT, "model", SETTING_TEXT, "gemini-3.8-flash", 1, 256, ENDPOINT(model), NULL,
     "the model's name; of openai it has to be given; http needs none"},
    {SECTION_ENDPOINT, "token_limit", SETTING_CHOICE, "max_completion_tokens", 0, 0, ENDPOINT(token_limit),
     "max_completion_tokens|max_tokens|none", "openai: the name by which the server knows the cap on an answer; none: it is sent none"},
    {SECTION_ENDPOINT, "answer_format", SETTING_CHOICE, "json_schema", 0, 0, ENDPOINT(answer_format), "json_schema|json_object|text",
     "openai: how the answer's form is asked for, as the server can; it is checked here whatever comes"},
    {SECTION_ENDPOINT, "test_path", SETTING_TEXT, "", 0, 1024, ENDPOINT(test_path), NULL,
     "http: a path on the same host where GET tells whether the service is well; none: waiting assignments are tried"},
    {SECTION_ENDPOINT, "api_key_file", SETTING_PATH, "", 0, 4096, ENDPOINT(api_key_file), NULL,
     "the file with the key (0600), of which http needs none; else the service's credential of the endpoint's name, else " GALLOC_SYSCONFDIR
     "/galloc/keys/NAME"},
    {SECTION_ENDPOINT, "token_file", SETTING_PATH, "", 0, 4096, ENDPOINT(token_file), NULL,
     "in the key's place: a file (0600) with an access token that another program renews; it is read again when it changes"},
    {SECTION_ENDPOINT, "proxy", SETTING_TEXT, "", 0, 2048, ENDPOINT(proxy), NULL,
     "a proxy; the environment's are not used"},
    {SECTION_ENDPOINT, "ca_file", SETTING_PATH, "", 0, 4096, ENDPOINT(ca_file), NULL,
     "certificates to trust instead of the system's"},
    {SECTION_ENDPOINT, "allow_plain_http", SETTING_YES_NO, "no", 0, 0, ENDPOINT(allow_plain_http), NULL,
     "let http:// go beyond this machine"},
    {SECTION_ENDPOINT, "max_output_tokens", SETTING_NUMBER, "1024", 16, 65536, ENDPOINT(max_output_tokens), NULL,
     "the cap on an answer, raised when one was truncated"},
    {SECTION_ENDPOINT, "request_timeout", SETTING_DURATION, "60s", SECOND, 3600 * SECOND, ENDPOINT(request_timeout_ms),
     NULL, "after this a call has failed"},
    {SECTION_ENDPOINT, "max_in_flight", SETTING_NUMBER, "64", 1, LIMIT_IN_FLIGHT, ENDPOINT(max_in_flight), NULL,
     "calls at once, whatever is learned"},
    {SECTION_ENDPOINT, "rpm", SETTING_NUMBER, "0", 0, 10 * MILLION, ENDPOINT(rpm), NULL,
     "requests a minute, never exceeded; 0: learned"},
    {SECTION_ENDPOINT, "tpm", SETTING_NUMBER, "0", 0, MILLION *MILLION, ENDPOINT(tpm), NULL,
     "tokens a minute, never exceeded; 0: learned"},
    {SECTION_ENDPOINT, "rpd", SETTING_NUMBER, "0", 0, 1000 * MILLION, ENDPOINT(rpd), NULL,
     "requests a day, never exceeded; 0: learned"},
    {SECTION_ENDPOINT, "max_cost_per_day", SETTING_MONEY, "0", 0, PRICE_AMOUNT_MAX_MICROS, ENDPOINT(max_cost_per_day_micros), NULL,
     "what its calls may cost a day (Pacific time), in the currency of its price, never exceeded; 0: as much as there is to do"},
    {SECTION_ENDPOINT, "hedge", SETTING_CHOICE, "off", 0, 0, ENDPOINT(hedge), "off|tail",
     "tail: stragglers at a run's end are asked a second time, which costs a call each"},
    {SECTION_ENDPOINT, "time_scale", SETTING_RATIO, "1.0", 1000, 10 * MILLION, ENDPOINT(time_scale), NULL,
     "rehearsals: 0.1 shrinks each minute of the pacer to 6 s"},

    {SECTION_PRICE, "from", SETTING_DATE, "1970-01-01", 0, 0, PRICE(from_at_ms), NULL, "the first day (midnight UTC)"},
    {SECTION_PRICE, "tier", SETTING_CHOICE, "standard", 0, 0, PRICE(tier), "standard|flex",
     "of calls that are asked for at this tier (enqueue --tier); each has prices of its own"},
    {SECTION_PRICE, "currency", SETTING_CURRENCY, "USD", 0, 0, PRICE(price.currency), NULL, "three letters"},
    {SECTION_PRICE, "in", SETTING_MONEY, NULL, 0, PRICE_AMOUNT_MAX_MICROS, PRICE(price.in_micros), NULL,
     "a million tokens in; has to be given"},
    {SECTION_PRICE, "cached_in", SETTING_MONEY, NULL, 0, PRICE_AMOUNT_MAX_MICROS, PRICE(price.cached_in_micros), NULL,
     "a million cached tokens in; else as in"},
    {SECTION_PRICE, "out", SETTING_MONEY, NULL, 0, PRICE_AMOUNT_MAX_MICROS, PRICE(price.out_micros), NULL,
     "a million tokens out, thinking included; has to be given"},

    {SECTION_PROFILE, "mode", SETTING_DRIVE, NULL, 0, 0, PROFILE(mode), "continuous|batch|sequential",
     "how it drives; has to be given for a new profile"},
    {SECTION_PROFILE, "batch_size", SETTING_NUMBER, NULL, 1, 1000, PROFILE(batch_size), NULL,
     "batch: how many start together"},
    {SECTION_PROFILE, "delay_between_batches", SETTING_DURATION, "0s", 0, DAY, PROFILE(delay_ms), NULL,
     "batch: the pause between two"},
    {SECTION_PROFILE, "max_retries", SETTING_NUMBER, "3", 0, LIMIT_MAX_RETRIES, PROFILE(max_retries), NULL,
     "confirmed failures that an assignment is forgiven"},
    {SECTION_PROFILE, "backoff_max", SETTING_DURATION, "8s", SECOND, 3600 * SECOND, PROFILE(backoff_max_ms), NULL,
     "the longest wait before a retry"},
};
const size_t setting_count = ARRAY_COUNT(settings);

/* Of an endpoint's settings, those that mean something to one provider alone. */
static const struct {
    const char *setting, *provider;
} of_one_provider[] = {{"api_version", "gemini"}, {"vertex", "gemini"}, {"project", "gemini"}, {"location", "gemini"}, {"token_limit", "openai"}, {"answer_format", "openai"},
                       {"test_path", "http"}};

const char *setting_provider(const struct setting *row)
{
    for (size_t i = 0; row->section == SECTION_ENDPOINT && i < ARRAY_COUNT(of_one_provider); i++)
        if (strcmp(of_one_provider[i].setting, row->name) == 0)
            return of_one_provider[i].provider;
    return NULL;
}

const char *const section_names[SECTION_COUNT] = {"", "endpoint", "price", "profile"};

/* ---- reading a value, by type ---- */

static void put_text(char **place, char *text)
{
    free(*place);
    *place = text;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; at != NULL; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        size_t choice_len = strcspn(at, "|");
        if (choice_len == len && memcmp(at, text, len) == 0)
            return true;
    }
    return false;
}

static void add_range(const struct setting *row, struct buf *out)
{
    switch (row->type) {
    case SETTING_NUMBER:
        buf_add_fmt(out, "%" PRId64 " to %" PRId64, row->low, row->high);
        break;
    case SETTING_DURATION:
        buf_add_fmt(out, "%" PRId64 "s to %" PRId64 "s", row->low / SECOND, row->high / SECOND);
        break;
    case SETTING_RATIO:
        buf_add_fmt(out, "%g to %g", (double)row->low / 1e6, (double)row->high / 1e6);
        break;
    case SETTING_CHOICE:
    case SETTING_DRIVE:
        buf_add_str(out, row->choices);
        break;
    case SETTING_YES_NO:
        buf_add_str(out, "yes|no");
        break;
    case SETTING_MODE:
        buf_add_str(out, "0000 to 0777");
        break;
    case SETTING_TEXT:
    case SETTING_PATH:
    case SETTING_COLUMNS:
        buf_add_fmt(out, "%" PRId64 " to %" PRId64 " bytes", row->low, row->high);
        break;
    case SETTING_MONEY:
        buf_add_str(out, "0 or more");
        break;
    case SETTING_DATE:
        buf_add_str(out, "YYYY-MM-DD");
        break;
    case SETTING_CURRENCY:
        buf_add_str(out, "ABC");
        break;
    case SETTING_TYPE_COUNT:
        break;
    }
}

static int out_of_range(const struct setting *row, const char *text, struct galloc_error *error)
{
    struct buf range = BUF_EMPTY;
    add_range(row, &range);
    int rc = galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is out of range: %s", text, buf_text(&range));
    buf_clear(&range);
    return rc;
}

static bool has_control(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f)
            return true;
    return false;
}

static int set_text(const struct setting *row, char **place, const char *text, const char *folder,
                    struct galloc_error *error)
{
    int64_t len = (int64_t)strlen(text);
    if (len < row->low || len > row->high)
        return out_of_range(row, text, error);
    if (!text_is_utf8(text, (size_t)len) || has_control(text))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "holds a control character or is not UTF-8");
    bool is_relative = row->type == SETTING_PATH && len > 0 && text[0] != '/';
    while (is_relative && strncmp(text, "./", 2) == 0)
        text += 2;
    put_text(place, is_relative ? xasprintf("%s/%s", folder, text) : xstrdup(text));
    return 0;
}

static int set_octal(const struct setting *row, int64_t *place, const char *text, struct galloc_error *error)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '7' && value <= row->high; at++)
        value = value * 8 + (*at - '0');
    if (at == text || *at != '\0' || value > row->high)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not an octal mode such as 0660", text);
    *place = value;
    return 0;
}

static int set_number(const struct setting *row, int64_t *place, const char *text, struct galloc_error *error)
{
    int64_t value = 0;
    int rc = row->type == SETTING_NUMBER     ? parse_i64(text, row->low, row->high, &value, error)
             : row->type == SETTING_DURATION ? parse_duration_ms(text, &value, error)
             : row->type == SETTING_DATE     ? parse_time_ms(text, &value, error)
                                             : parse_micros(text, &value, error);
    if (rc < 0)
        return rc;
    if (row->type != SETTING_DATE && (value < row->low || value > row->high))
        return out_of_range(row, text, error);
    *place = value;
    return 0;
}

static int set_ratio(const struct setting *row, double *place, const char *text, struct galloc_error *error)
{
    int64_t micros = 0;
    int rc = parse_micros(text, &micros, error);
    if (rc < 0 || micros < row->low || micros > row->high)
        return out_of_range(row, text, error);
    *place = (double)micros / 1e6;
    return 0;
}

static int set_currency(char *place, const char *text, struct galloc_error *error)
{
    if (!price_is_currency(text))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not a currency of three letters such as USD", text);
    memcpy(place, text, 4);
    return 0;
}

static int add_column(const struct setting *row, char ***place, const char *text, struct galloc_error *error)
{
    char *column = NULL;
    int rc = set_text(row, &column, text, "", error);
    if (rc < 0)
        return rc;
    size_t count = 0;
    while (*place != NULL && (*place)[count] != NULL)
        count++;
    *place = xreallocarray(*place, count + 2, sizeof **place);
    (*place)[count] = column;
    (*place)[count + 1] = NULL;
    return 0;
}

static int not_a_choice(const struct setting *row, const char *text, struct galloc_error *error)
{
    bool is_one = strchr(row->choices, '|') == NULL;
    return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" is not known; %s%s", text,
                       is_one ? "there is only " : "one of ", row->choices);
}

int setting_set(const struct setting *row, void *target, const char *text, const char *folder,
                struct galloc_error *error)
{
    void *place = (char *)target + row->at;
    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_PATH:
        return set_text(row, place, text, folder, error);
    case SETTING_CHOICE:
        if (!is_choice(row->choices, text))
            return not_a_choice(row, text, error);
        put_text(place, xstrdup(text));
        return 0;
    case SETTING_NUMBER:
    case SETTING_DURATION:
    case SETTING_DATE:
    case SETTING_MONEY:
        return set_number(row, place, text, error);
    case SETTING_YES_NO:
        return parse_bool(text, place, error);
    case SETTING_MODE:
        return set_octal(row, place, text, error);
    case SETTING_RATIO:
        return set_ratio(row, place, text, error);
    case SETTING_CURRENCY:
        return set_currency(place, text, error);
    case SETTING_COLUMNS:
        return add_column(row, place, text, error);
    case SETTING_DRIVE: {
        int mode = profile_mode_by_name(text);
        if (mode < 0)
            return not_a_choice(row, text, error);
        *(enum profile_mode *)place = (enum profile_mode)mode;
        return 0;
    }
    case SETTING_TYPE_COUNT:
        break;
    }
    return 0;
}

void settings_default(enum setting_section section, void *target)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (settings[i].section != section || settings[i].missing == NULL)
            continue;
        struct galloc_error error;
        if (setting_set(&settings[i], target, settings[i].missing, "/", &error) < 0)
            abort(); /* a default of the table that its own row refuses */
    }
}

void settings_clear(enum setting_section section, void *target)
{
    for (size_t i = 0; i < setting_count; i++) {
        void *place = (char *)target + settings[i].at;
        if (settings[i].section != section)
            continue;
        if (settings[i].type == SETTING_TEXT || settings[i].type == SETTING_PATH || settings[i].type == SETTING_CHOICE)
            put_text(place, NULL);
        if (settings[i].type != SETTING_COLUMNS)
            continue;
        char ***list = place;
        for (char **at = *list; at != NULL && *at != NULL; at++)
            free(*at);
        free(*list);
        *list = NULL;
    }
}

/* ---- for people and checks ---- */

static const char *const type_names[SETTING_TYPE_COUNT] = {
    [SETTING_TEXT] = "text",     [SETTING_PATH] = "path",         [SETTING_CHOICE] = "choice",
    [SETTING_NUMBER] = "number", [SETTING_DURATION] = "duration", [SETTING_YES_NO] = "yes/no",
    [SETTING_MODE] = "mode",     [SETTING_MONEY] = "money",       [SETTING_RATIO] = "ratio",
    [SETTING_DATE] = "date",     [SETTING_CURRENCY] = "currency", [SETTING_COLUMNS] = "list",
    [SETTING_DRIVE] = "choice",
};

void config_print_settings(struct buf *out)
{
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &settings[i];
        struct buf range = BUF_EMPTY;
        add_range(row, &range);
        char *name =
            xasprintf("%s%s%s", section_names[row->section], row->section == SECTION_DAEMON ? "" : ".", row->name);
        const char *missing = row->missing == NULL ? "-" : row->missing[0] ? row->missing : "\"\"";
        buf_add_fmt(out, "%-30s  %-8s  %-12s  %s  (%s)\n", name, type_names[row->type], missing, row->help,
                    buf_text(&range));
        free(name);
        buf_clear(&range);
    }
}
