/* What an endpoint's pacer thinks, in words for people: its state now, and an event for each change of mind. Loop's thread. */
#include "dispatch/dispatch.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

enum { QUOTA_WAIT_MS = 5000 }; /* for a configured quota: a shorter one is how it paces, and worth no word */

/* Why it is down and what to do. A text that tells the next step itself is left as it is. */
static void down_text(const struct endpoint *endpoint, char *ret_text, size_t size)
{
    static const char *const next_steps[] = {
        [OUTCOME_CREDENTIALS] = "put the right key in place", [OUTCOME_BILLING] = "see to the account's billing or quota", [OUTCOME_CONFIG] = "mend the configuration"};
    int class = endpoint->state.down_class >= 0 ? endpoint->state.down_class : OUTCOME_CREDENTIALS;
    const char *text = endpoint->state.down_text ? endpoint->state.down_text : outcome_row((enum outcome_class)class)->text;
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '.')
        len--;
    bool is_token = class == OUTCOME_CREDENTIALS && endpoint->config->token_file[0] != '\0';
    if (strstr(text, ", then: ") != NULL || (is_token && endpoint->secret == NULL))
        snprintf(ret_text, size, "%s", text);
    else if (is_token)
        snprintf(ret_text, size, "%.*s; it goes on by itself when the access token in %s is renewed", (int)len, text, endpoint->config->token_file);
    else
        snprintf(ret_text, size, "%.*s; %s, then: gallocctl endpoint resume %s", (int)len, text, next_steps[class], endpoint->config->name);
}

/* What limits now. */
static const char *limit_words(const char *limited_by)
{
    static const struct {
        const char *name, *words;
    } rows[] = {{"rpm", "the configured requests a minute"},
                {"tpm", "the configured tokens a minute"},
                {"rpd", "the configured requests a day"},
                {"rate", "the rate that was learned"},
                {"window", "how many calls fit into a minute, as was learned"},
                {"concurrency", "how many it bears at once"},
                {"quota_day", "the day's quota"},
                {"throttled", "its refusals"},
                {"outage", "it does not answer well"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (limited_by != NULL && strcmp(rows[i].name, limited_by) == 0)
            return rows[i].words;
    return "nothing";
}

/* What it goes by. */
static const char *mode_words(const char *mode)
{
    static const struct {
        const char *name, *words;
    } rows[] = {{"startup", "no limit of its own is known: goes faster until it is refused"},
                {"growth", "a rate was refused: goes faster again from below"},
                {"rate", "goes by how many calls a minute it was seen to take"},
                {"verify", "so many calls a minute seem to fit: makes sure"},
                {"window", "goes by how many calls fit into a minute"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (strcmp(rows[i].name, mode) == 0)
            return rows[i].words;
    return mode;
}

static void pace_text(const struct pacer_view *view, char *ret_text, size_t size)
{
    struct buf text = BUF_EMPTY;
    buf_add_fmt(&text, "%s; ", mode_words(view->mode));
    if (view->window_calls > 0)
        buf_add_fmt(&text, "about %s do, %s of them are used, ", text_count(llround(view->window_calls)).text, text_count(view->window_used).text);
    else if (view->rate_per_min > 0)
        buf_add_fmt(&text, "about %s calls a minute, ", text_count(llround(view->rate_per_min)).text);
    buf_add_fmt(&text, "up to %s at once; what limits now: %s", text_count(view->concurrency).text, limit_words(view->limited_by));
    snprintf(ret_text, size, "%s", buf_text(&text));
    buf_clear(&text);
}

bool endpoint_quota_is_used(const struct pacer_view *view)
{
    bool is_quota = strcmp(view->limited_by, "rpm") == 0 || strcmp(view->limited_by, "tpm") == 0 || strcmp(view->limited_by, "rpd") == 0;
    return is_quota && view->next_us >= QUOTA_WAIT_MS * 1000;
}

void endpoint_text(const struct endpoint *endpoint, char *ret_text, size_t size, int64_t *ret_until_at_ms)
{
    struct pacer_now now = engine_now();
    struct pacer_view view;
    pacer_view(endpoint->pacer, now, &view);
    int64_t until = view.next_us >= 0 ? now.wall_ms + view.next_us / 1000 : 0;
    *ret_until_at_ms = until;
    if (endpoint_is_down(endpoint)) {
        down_text(endpoint, ret_text, size);
        *ret_until_at_ms = 0;
    } else if (pacer_is_open(endpoint->pacer)) {
        snprintf(ret_text, size, "the endpoint does not answer well; a %s finds out when it does again",
                 endpoint_has_test(endpoint) ? "small test request" : "waiting assignment that is tried now and then");
    } else if (view.quota_until_at_ms != 0) {
        snprintf(ret_text, size, "the day's quota is used up and comes back at midnight Pacific; it is tried before that at times");
        *ret_until_at_ms = view.quota_until_at_ms;
    } else if (money_day_is_over(endpoint)) {
        money_day_text(endpoint, ret_text, size, ret_until_at_ms);
    } else if (strcmp(view.mode, "blocked") == 0) {
        snprintf(ret_text, size, "the endpoint refuses more calls for now");
    } else if (endpoint_quota_is_used(&view)) {
        snprintf(ret_text, size, "%s are used; it goes on %s", limit_words(view.limited_by),
                 strcmp(view.limited_by, "rpd") == 0 ? "at midnight Pacific" : "as what was sent leaves the minute");
    } else {
        pace_text(&view, ret_text, size);
    }
}

static void mind_text(const struct pacer_event *event, char *ret_text, size_t size)
{
    struct text_count before = text_count(llround(event->before)), after = text_count(llround(event->after));
    switch (event->kind) {
    case PACER_MODE_ENTERED:
        if (event->after > 0)
            snprintf(ret_text, size, "%s: about %s", mode_words(event->mode), after.text);
        else
            snprintf(ret_text, size, "%s", mode_words(event->mode));
        break;
    case PACER_WINDOW_MOVED:
        if (event->before > 0)
            snprintf(ret_text, size, "%s calls fit into a minute, no longer %s", after.text, before.text);
        else
            snprintf(ret_text, size, "%s calls fit into a minute", after.text);
        break;
    case PACER_BLOCK_BEGAN:
    case PACER_BLOCK_ENDED:
        snprintf(ret_text, size, "takes calls again");
        break;
    case PACER_CONCURRENCY_CUT:
        snprintf(ret_text, size, "%s calls at once at most, no longer %s: more were refused, or only made it slower", after.text, before.text);
        break;
    }
}

void endpoint_tell_mind(struct engine *engine, struct endpoint *endpoint)
{
    struct pacer_event event;
    char text[160];
    bool has_changed = false;
    while (pacer_next_event(endpoint->pacer, &event)) {
        has_changed = true;
        if (event.kind == PACER_BLOCK_BEGAN) /* told when it came, in the provider's words (call.c) */
            continue;
        mind_text(&event, text, sizeof text);
        log_event(LOG_LEVEL_INFO, "pacer", "endpoint=%s text=\"%s\"", endpoint->config->name, text);
        notice_endpoint(engine, endpoint, text);
    }
    if (has_changed) /* a life that is killed within the minute has learned it for the next one too */
        learned_keep(endpoint);
}
