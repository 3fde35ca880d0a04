/* What an endpoint's pacer learned outlives the process: written each minute, when its mind changes, and at the end, with the endpoint's state, taken at the start where it was learned of the
 * same thing (provider, address, model, key, time scale). What was sent in the last minute is not part of it: that is read back from the calls, which are durable. */
#include "dispatch/dispatch.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/json_out.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Of what it was learned: who answers, for whom, and how fast the minutes go. */
static void identity(const struct endpoint *endpoint, char ret_hex[DIGEST_HEX])
{
    char key[17] = "";
    unsigned char digest[DIGEST_BYTES];
    const struct endpoint_config *config = endpoint->config;
    if (endpoint->secret != NULL && config->token_file[0] == '\0') /* a token is another each hour, and stands for the same project */
        secret_fingerprint(endpoint->secret, key);
    char *text = xasprintf("%s\n%s\n%s\n%s\n%s\n%g%s%s%s", config->provider, config->base_url, config->api_version, config->model, key, config->time_scale,
                           config->project[0] != '\0' ? "\n" : "", config->project, config->location);
    digest_of(text, strlen(text), digest);
    digest_hex(digest, ret_hex);
    free(text);
}

enum learned_type { LEARNED_NUMBER, LEARNED_COUNT, LEARNED_YES_NO };
static const struct learned_row {
    const char *name;
    enum learned_type type;
    size_t at;
} rows[] = {
#define ROW(name, type) {#name, type, offsetof(struct pacer_learned, name)}
    ROW(mode, LEARNED_COUNT),
    ROW(window_calls, LEARNED_NUMBER),
    ROW(window_tokens, LEARNED_NUMBER),
    ROW(unit_tokens, LEARNED_NUMBER),
    ROW(rate_per_s, LEARNED_NUMBER),
    ROW(confidence, LEARNED_NUMBER),
    ROW(burst_calls, LEARNED_NUMBER),
    ROW(concurrency, LEARNED_NUMBER),
    ROW(base_latency_us, LEARNED_NUMBER),
    ROW(by_tokens, LEARNED_YES_NO),
    ROW(is_printed, LEARNED_YES_NO),
    ROW(aligned, LEARNED_COUNT),
#undef ROW
};

static char *learned_json(const struct endpoint *endpoint)
{
    struct pacer_learned learned;
    struct buf buf = BUF_EMPTY;
    struct json_out out = JSON_OUT(&buf);
    char hex[DIGEST_HEX];
    identity(endpoint, hex);
    pacer_learned(endpoint->pacer, &learned);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "of", hex);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const void *at = (const char *)&learned + rows[i].at;
        json_out_name(&out, rows[i].name);
        if (rows[i].type == LEARNED_NUMBER)
            json_out_ratio(&out, *(const double *)at);
        else if (rows[i].type == LEARNED_COUNT)
            json_out_int(&out, *(const int64_t *)at);
        else
            json_out_bool(&out, *(const bool *)at);
    }
    json_out_end(&out, '}');
    return buf_take(&buf);
}

void learned_keep(struct endpoint *endpoint)
{
    char *text = learned_json(endpoint);
    if (endpoint->state.learned != NULL && strcmp(endpoint->state.learned, text) == 0) {
        free(text);
        return;
    }
    free(endpoint->state.learned);
    endpoint->state.learned = text;
    endpoint_store_state(endpoint);
}

static void read_rows(struct json_object *object, struct pacer_learned *ret_learned)
{
    *ret_learned = (struct pacer_learned){0};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        void *at = (char *)ret_learned + rows[i].at;
        if (rows[i].type == LEARNED_NUMBER)
            *(double *)at = json_get_double(object, rows[i].name, NAN); /* refused by pacer_warm() */
        else if (rows[i].type == LEARNED_COUNT)
            *(int64_t *)at = json_get_i64(object, rows[i].name, -1);
        else
            *(bool *)at = json_get_bool(object, rows[i].name, false);
    }
}

void learned_take(struct endpoint *endpoint)
{
    struct galloc_error error;
    struct json_object *object = NULL;
    struct pacer_learned learned;
    char hex[DIGEST_HEX];
    const char *text = endpoint->state.learned;
    if (text == NULL || json_parse(text, strlen(text), &object, &error) < 0)
        return;
    identity(endpoint, hex);
    read_rows(object, &learned);
    if (strcmp(json_get_str(object, "of", ""), hex) == 0 && !pacer_warm(endpoint->pacer, &learned))
        log_event(LOG_LEVEL_NOTICE, "learned_unreadable", "endpoint=%s text=\"what was learned of its limits is of another version; it is learned anew\"",
                  endpoint->config->name);
    json_free(object);
}
