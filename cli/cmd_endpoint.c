/* gallocctl endpoint: the APIs that decide, their limits and their state. */
#include "base/json_out.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/setting.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct column endpoint_columns[] = {
    {"ENDPOINT", "name", CELL_TEXT, false},        {"STATE", "state", CELL_ENDPOINT_STATE, false},      {"REASON", "reason", CELL_TEXT, false},
    {"PROVIDER", "provider", CELL_TEXT, false},    {"MODEL", "model", CELL_TEXT, true},       {"URL", "base_url", CELL_TEXT, true},
    {"IN FLIGHT", "in_flight", CELL_COUNT, false}, {"CALLS", "counts.calls", CELL_COUNT, false}, {"COST", "cost", CELL_MONEY, false},
};
#define AMOUNT_MAX_MICROS INT64_C(1000000000000)

static const struct setting_row endpoint_settings[] = {
    {"rpm", "rpm", SETTING_NUMBER, 0, 10000000, NULL, "N", "requests a minute, never exceeded; 0: learn it", NULL},
    {"tpm", "tpm", SETTING_NUMBER, 0, INT64_C(1000000000000), NULL, "N", "tokens a minute, never exceeded; 0: learn it", NULL},
    {"rpd", "rpd", SETTING_NUMBER, 0, INT64_C(1000000000), NULL, "N", "requests a day (Pacific time), never exceeded; 0: learn it", NULL},
    {"max_in_flight", "max_in_flight", SETTING_NUMBER, 1, 1024, NULL, "N", "calls under way at once, at most", NULL},
    {"max_output_tokens", "max_output_tokens", SETTING_NUMBER, 16, 65536, NULL, "N", "tokens of an answer, thinking included", NULL},
    {"request_timeout", "request_timeout", SETTING_TEXT, 0, 0, NULL, "DUR", "the longest that one call may take", NULL},
    {"max_cost_per_day", "max_cost_per_day", SETTING_TEXT, 0, 0, NULL, "5.00", "what its calls may cost a day (Pacific time), never exceeded; 0: no limit", NULL},
    {"price_in", "in_micros", SETTING_AMOUNT, 0, AMOUNT_MAX_MICROS, NULL, "0.75", "what a million tokens cost that go in; with price_out", "price"},
    {"price_cached_in", "cached_in_micros", SETTING_AMOUNT, 0, AMOUNT_MAX_MICROS, NULL, "0.075", "that go in and were cached; else as price_in", "price"},
    {"price_out", "out_micros", SETTING_AMOUNT, 0, AMOUNT_MAX_MICROS, NULL, "3.75", "that come out, thinking included; with price_in", "price"},
    {"currency", "currency", SETTING_TEXT, 0, 0, NULL, "USD", "of the price, three letters; else USD", "price"},
    {"price", "price", SETTING_WHOLE, 0, 0, NULL, NULL, "unset: the whole price", NULL},
    {0},
};

static int list_endpoints(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/endpoints");
    if (rc == 0)
        out_items(cli, endpoint_columns, ARRAY_COUNT(endpoint_columns), &response.body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static void add_price(struct buf *out, struct json_object *price)
{
    text_add_amount(out, json_get_i64(price, "in_micros", 0));
    buf_add_str(out, " in, ");
    text_add_amount(out, json_get_i64(price, "cached_in_micros", 0));
    buf_add_str(out, " cached in, ");
    text_add_amount(out, json_get_i64(price, "out_micros", 0));
    buf_add_fmt(out, " out, %s per million tokens", json_get_str(price, "currency", "?"));
}

/* A value that is not there: a price that nobody knows. */
static void add_value(struct buf *out, struct json_object *value)
{
    if (value == NULL)
        buf_add_str(out, "unknown");
    else if (json_is_object(value))
        add_price(out, value);
    else if (json_is_i64(value))
        show_count(out, json_i64(value, 0));
    else if (json_is_str(value))
        buf_add_str(out, json_str(value, NULL));
    else
        json_to_text(value, out);
}

static void print_setting(struct json_object *setting)
{
    struct buf text = BUF_EMPTY;
    const char *name = json_get_str(setting, "name", "?");
    bool is_quota = strcmp(name, "rpm") == 0 || strcmp(name, "tpm") == 0 || strcmp(name, "rpd") == 0;
    add_value(&text, json_get(setting, "value"));
    if (is_quota && json_get_i64(setting, "value", -1) == 0)
        buf_add_str(&text, " (learned)");
    if (strcmp(name, "max_cost_per_day") == 0 && strcmp(buf_text(&text), "0.00") == 0)
        buf_add_str(&text, " (no limit)");
    if (json_get(setting, "set_value") != NULL) {
        buf_add_str(&text, " (set by ");
        buf_add_str(&text, json_get_str(setting, "set_by", "?"));
        buf_add_char(&text, ' ');
        show_time(&text, json_get_str(setting, "set_at", NULL));
        if (json_get_str(setting, "until", NULL) != NULL) {
            buf_add_str(&text, " until ");
            show_time(&text, json_get_str(setting, "until", NULL));
        }
        buf_add_str(&text, "; the file has ");
        add_value(&text, json_get(setting, "file_value"));
        buf_add_char(&text, ')');
    }
    out_line("  %-18s %s", name, buf_text(&text));
    buf_clear(&text);
}

static int print_count(const char *name, struct json_object *value, void *arg)
{
    struct buf *text = arg;
    buf_add_str(text, text->len ? ", " : "");
    show_count(text, json_i64(value, 0));
    buf_add_char(text, ' ');
    for (; *name != '\0'; name++)
        buf_add_char(text, *name == '_' ? ' ' : *name);
    return 0;
}

static void print_pacer(struct json_object *pacer)
{
    struct buf text = BUF_EMPTY;
    out_line("  %-18s %s", "pace", json_get_str(pacer, "text", "?"));
    bool is_failing = strcmp(json_get_str(pacer, "breaker", "closed"), "closed") != 0;
    if (json_get(pacer, "rate_per_min") != NULL)
        buf_add_fmt(&text, "at most %s calls a minute, ", text_count(llround(json_get_double(pacer, "rate_per_min", 0))).text);
    else
        buf_add_str(&text, "no limit a minute is known, ");
    buf_add_fmt(&text, "%s at once", text_count(is_failing ? 1 : json_get_i64(pacer, "concurrency", 0)).text);
    if (is_failing)
        buf_add_str(&text, " until one is answered well");
    if (json_get_str(pacer, "next_at", NULL) != NULL) {
        buf_add_str(&text, ", next call ");
        show_time(&text, json_get_str(pacer, "next_at", NULL));
    }
    out_line("  %-18s %s", "", buf_text(&text));
    buf_clear(&text);
}

static void print_sums(struct json_object *sums)
{
    struct buf text = BUF_EMPTY;
    json_each(json_get(sums, "counts"), print_count, &text);
    out_line("  %-18s %s", "calls", buf_text(&text));
    buf_reset(&text);
    json_each(json_get(sums, "tokens"), print_count, &text);
    out_line("  %-18s %s", "tokens", buf_text(&text));
    buf_reset(&text);
    show_cost(&text, json_get(sums, "cost"));
    out_line("  %-18s %s", "cost", buf_text(&text));
    buf_clear(&text);
}

/* What it has of a key and of a test request, where that is not as people expect. */
static void print_key(struct json_object *endpoint)
{
    bool has_key = json_get_bool(endpoint, "has_key", true), needs_key = json_get_bool(endpoint, "needs_key", true);
    if (!has_key)
        out_line("  %-18s %s", "key", needs_key ? "none, and its provider needs one" : "none; its provider needs none");
    if (!json_get_bool(endpoint, "has_test_request", true))
        out_line("  %-18s %s", "test request", "none (no test_path): after a failure waiting assignments are tried in turn");
}

static void print_endpoint(const struct cli *cli, struct json_object *endpoint)
{
    struct json_object *settings = json_get(endpoint, "settings");
    const char *reason = json_get_str(endpoint, "reason", NULL), *next = json_get_str(endpoint, "text", NULL);
    out_title(cli, "endpoint %s is %s%s%s%s%s", json_get_str(endpoint, "name", "?"), endpoint_state(endpoint), reason ? " (" : "",
              reason ? reason : "", reason ? ")" : "", json_get_bool(endpoint, "is_default", false) ? ", the default" : "");
    if (next != NULL)
        out_line("  %s", next);
    if (json_get_bool(endpoint, "is_built_in", false)) {
        out_line("  %-18s %" PRId64, "in workers' hands", json_get_i64(endpoint, "in_flight", 0));
        return;
    }
    const char *model = json_get_str(endpoint, "model", "");
    out_line("  %-18s %s, %s%s, %s", "provider", json_get_str(endpoint, "provider", "?"), model[0] != '\0' ? "model " : "no model", model,
             json_get_str(endpoint, "base_url", "?"));
    print_key(endpoint);
    print_pacer(json_get(endpoint, "pacer"));
    out_line("  %-18s %s", "in flight", text_count(json_get_i64(endpoint, "in_flight", 0)).text);
    out_line("  ever");
    print_sums(endpoint);
    out_line("  since the daemon's start");
    print_sums(json_get(endpoint, "since_start"));
    out_line("  settings");
    for (size_t i = 0; i < json_array_len(settings); i++)
        print_setting(json_array_at(settings, i));
}

static int endpoint_request(struct cli *cli, const char *method, const char *name, const char *after, const struct buf *body,
                            void (*print)(const struct cli *, struct json_object *), struct json_object **ret_json)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    char *segment = client_segment(name);
    char *path = xasprintf("/v1/endpoints/%s%s", segment, after);
    struct request request = {.method = method, .path = path, .body = body ? body->data : NULL, .body_len = body ? body->len : 0};
    int rc = client_call(cli->client, &request, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet)
        print(cli, response.json);
    if (rc == 0 && ret_json != NULL)
        *ret_json = json_share(response.json);
    free(path);
    free(segment);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static int show_endpoint(struct cli *cli, int count, char **words)
{
    (void)count;
    return endpoint_request(cli, "GET", words[0], "", NULL, print_endpoint, NULL);
}

static void print_test(const struct cli *cli, struct json_object *test)
{
    struct buf text = BUF_EMPTY;
    bool is_well = json_get_bool(test, "ok", false);
    const char *message = json_get_str(test, "message", NULL), *next = json_get_str(test, "text", NULL);
    if (json_get(test, "http_status") != NULL)
        buf_add_fmt(&text, ", HTTP %" PRId64, json_get_i64(test, "http_status", 0));
    if (json_get(test, "latency_ms") != NULL) {
        buf_add_str(&text, ", ");
        show_ms(&text, json_get_i64(test, "latency_ms", 0));
    }
    out_title(cli, "endpoint %s %s (%s%s)", json_get_str(test, "name", "?"), is_well ? "answers" : "does not answer well", json_get_str(test, "class", "?"),
              buf_text(&text));
    if (message != NULL && !is_well && (next == NULL || strncmp(next, message, strlen(message) - (*message != '\0')) != 0)) /* it may have lost its full stop */
        out_line("  %s", message);
    if (next != NULL)
        out_line("  %s", next);
    buf_clear(&text);
}

static int test_endpoint(struct cli *cli, int count, char **words)
{
    (void)count;
    struct json_object *test = NULL;
    int status = endpoint_request(cli, "POST", words[0], "/test", NULL, print_test, &test);
    if (status == EXIT_WELL && !json_get_bool(test, "ok", false))
        status = EXIT_BAD_OUTCOME;
    json_free(test);
    return status;
}

static int patch_endpoint(struct cli *cli, const char *name, struct buf *settings)
{
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_name(&out, "settings");
    json_out_raw(&out, settings->data, settings->len);
    if (args_has(&cli->args, "for"))
        json_out_member_int(&out, "for_ms", args_number(&cli->args, "for", 0));
    json_out_end(&out, '}');
    int status = endpoint_request(cli, "PATCH", name, "", &body, print_endpoint, NULL);
    buf_clear(&body);
    return status;
}

static int set_endpoint(struct cli *cli, int count, char **words)
{
    struct galloc_error error;
    struct buf settings = BUF_EMPTY;
    struct json_out out = JSON_OUT(&settings);
    json_out_begin(&out, '{');
    int rc = setting_write(&out, endpoint_settings, count - 1, words + 1, "an endpoint", &error);
    json_out_end(&out, '}');
    int status = rc < 0 ? say_error(cli, &error) : patch_endpoint(cli, words[0], &settings);
    buf_clear(&settings);
    return status;
}

static int unset_endpoint(struct cli *cli, int count, char **words)
{
    struct galloc_error error;
    struct buf settings = BUF_EMPTY;
    struct json_out out = JSON_OUT(&settings);
    json_out_begin(&out, '{');
    int rc = setting_write_null(&out, endpoint_settings, count - 1, words + 1, "an endpoint", &error);
    json_out_end(&out, '}');
    int status = rc < 0 ? say_error(cli, &error) : patch_endpoint(cli, words[0], &settings);
    buf_clear(&settings);
    return status;
}

static int resume_endpoint(struct cli *cli, int count, char **words)
{
    (void)count;
    return endpoint_request(cli, "POST", words[0], "/resume", NULL, print_endpoint, NULL);
}

const struct verb endpoint_verbs[] = {
    {"list", "", "all endpoints", 0, 0, list_endpoints, NULL, false},
    {"show", "ENDPOINT", "its state, pace, counts and settings", 1, 1, show_endpoint, NULL, false},
    {"test", "ENDPOINT", "send one small request and tell what came back", 1, 1, test_endpoint, NULL, false},
    {"set", "ENDPOINT NAME=VALUE...", "change settings until they are unset", 2, -1, set_endpoint, endpoint_settings, false},
    {"unset", "ENDPOINT NAME...", "the configuration file's value again", 2, -1, unset_endpoint, endpoint_settings, true},
    {"resume", "ENDPOINT", "use it again after its key, bill or model was put right", 1, 1, resume_endpoint, NULL, false},
    {0},
};
