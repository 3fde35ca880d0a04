/* See ask.h. Loop's thread. */
#include "dispatch/ask.h"

#include "base/json_out.h"
#include "base/text.h"
#include "core/limits.h"
#include "core/pack.h"
#include "dispatch/dispatch.h"

#include <string.h>

void asked_clear(struct asked *asked)
{
    buf_clear(&asked->system);
    buf_clear(&asked->user);
    buf_clear(&asked->loads_json);
    buf_clear(&asked->fields);
    buf_clear(&asked->candidates);
}

void asked_user_json(const struct asked *asked, struct buf *out)
{
    const struct buf *user = &asked->user, *loads = &asked->loads_json;
    size_t at = loads->len > 0 ? asked->loads_at : user->len, rest = loads->len > 0 ? at + asked->loads_len : user->len;
    buf_reserve(out, user->len + user->len / 4 + 2);
    buf_add_char(out, '"');
    json_escape(out, user->data, at);
    buf_add(out, loads->data, loads->len);
    json_escape(out, user->data + rest, user->len - rest);
    buf_add_char(out, '"');
}

void asked_take_data(const struct asked *asked, struct provider_ask *ask)
{
    ask->fields_json = buf_text(&asked->fields);
    ask->fields_json_len = asked->fields.len;
    ask->candidates_json = buf_text(&asked->candidates);
    ask->candidates_json_len = asked->candidates.len;
}

static bool is_sent(const char *column, void *arg)
{
    const struct ask_about *about = arg;
    return plan_sends(about->plan, about->keep_back, column);
}

#define PROBLEM_BYTES 300   /* of what was wrong with an answer */
#define TEMPLATE_BYTES 1000 /* most templates' own words are fewer: one allocation */

static struct template_input input_of(const struct ask_about *about, const char *loads)
{
    return (struct template_input){.key = about->key,
                                   .fields = about->fields,
                                   .fields_len = about->fields_len,
                                   .is_sent = about->sends_all ? NULL : is_sent,
                                   .arg = (void *)(uintptr_t)about,
                                   .roster = plan_is_short_list(about->plan) ? "" : pool_roster(about->pool),
                                   .loads = loads};
}

/* Asked again, the model is told why, in our words: what of it is the model's own is quoted and cut. */
static void add_problem(const char *problem, struct buf *user)
{
    if (problem == NULL)
        return;
    buf_add_str(user, "\nThe answer that was given to this before was not accepted. What was wrong, as data: ");
    json_quote(user, problem, text_utf8_span(problem, (size_t)min_i64((int64_t)strlen(problem), PROBLEM_BYTES)));
    buf_add_str(user, ". Choose anew.\n");
}

static int make_prompt(const struct ask_about *about, struct asked *asked, struct galloc_error *error)
{
    struct buf loads = BUF_EMPTY;
    prompt_loads(about->candidates, plan_is_short_list(about->plan), &loads, &asked->loads_json);
    const struct template_input input = input_of(about, buf_text(&loads));
    buf_reserve(&asked->system, strlen(input.roster) + TEMPLATE_BYTES);
    buf_reserve(&asked->user, loads.len + about->fields_len + TEMPLATE_BYTES);
    int rc = template_render(about->template, &input, &asked->system, &asked->user, &asked->loads_at, error);
    asked->loads_len = loads.len;
    if (rc < 0 || asked->loads_at == SIZE_MAX)
        buf_reset(&asked->loads_json);
    add_problem(about->problem, &asked->user);
    buf_clear(&loads);
    return rc;
}

/* Whom it may be given to, where that are not all who are named. */
static void add_own_candidates(const struct ask_item *item, struct buf *user)
{
    struct json_out out = JSON_OUT(user);
    buf_add_str(user, "\nOnly these may be chosen for it: ");
    json_out_begin(&out, '[');
    for (size_t i = 0; i < item->candidates->count; i++)
        json_out_str(&out, item->candidates->agents[i]->info.agent_id);
    json_out_end(&out, ']');
    buf_add_char(user, '\n');
}

/* One of several: below its id, as the template tells it, without the loads. `scratch` takes its system text, which has to be that of the others. */
static int add_item(const struct ask_about *about, const struct ask_item *item, const char *mark, struct asked *asked, struct buf *scratch, struct galloc_error *error)
{
    char id[PACK_ID_BYTES];
    struct ask_about own = *about;
    own.key = item->key;
    own.fields = item->fields;
    own.fields_len = item->fields_len;
    const struct template_input input = input_of(&own, "");
    bool is_first = asked->system.len == 0;
    pack_id(mark, item->number, id);
    buf_add_fmt(&asked->user, "ID %s\n", id);
    buf_reset(scratch);
    int rc = template_render(about->template, &input, is_first ? &asked->system : scratch, &asked->user, NULL, error);
    if (rc == 0 && !is_first && (scratch->len != asked->system.len || memcmp(scratch->data, asked->system.data, scratch->len) != 0))
        rc = galloc_fail(error, GALLOC_INVALID_INPUT, "the template's system text tells of the assignment: it cannot go with others");
    if (item->candidates->count != about->candidates->count)
        add_own_candidates(item, &asked->user);
    add_problem(item->problem, &asked->user);
    buf_add_char(&asked->user, '\n');
    return rc;
}

static const char pack_words[] = "\nWhat was said of one assignment holds for each of these. Count what you give within this answer as held. Answer, instead of with one object, with one "
                                 "JSON array and nothing else, with exactly one object for each id above:\n"
                                 "[{\"id\": \"the id\", \"agent_id\": \"the agent_id of your choice\", \"reason\": \"why, in one or two short sentences\", "
                                 "\"confidence\": a number from 0 to 1}, ...]\n";

int ask_make_pack(const struct ask_about *about, const struct ask_item *items, size_t count, const char *mark, struct asked *ret_asked, struct galloc_error *error)
{
    struct buf scratch = BUF_EMPTY, loads = BUF_EMPTY;
    int rc = 0;
    *ret_asked = ASKED_EMPTY;
    buf_add_fmt(&ret_asked->user, "There are %zu assignments, each below a line of ID and its id.\n\n", count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_item(about, &items[i], mark, ret_asked, &scratch, error);
    prompt_loads(about->candidates, plan_is_short_list(about->plan), &loads, &ret_asked->loads_json);
    ret_asked->loads_at = ret_asked->user.len;
    ret_asked->loads_len = loads.len;
    buf_add(&ret_asked->user, loads.data, loads.len);
    buf_add(&ret_asked->user, pack_words, sizeof pack_words - 1);
    buf_clear(&scratch);
    buf_clear(&loads);
    return rc;
}

static void make_data(const struct ask_about *about, struct asked *asked)
{
    struct ask_about own = *about;
    struct json_out out = JSON_OUT(&asked->candidates);
    if (about->sends_all)
        buf_add(&asked->fields, about->fields, about->fields_len);
    else
        template_fields_sent((struct json_span){about->fields, about->fields_len}, is_sent, &own, &asked->fields);
    for (size_t i = 0; i < about->candidates->count; i++)
        agent_json(&out, about->candidates->agents[i]);
}

int ask_make(const struct ask_about *about, struct asked *ret_asked, struct galloc_error *error)
{
    *ret_asked = ASKED_EMPTY;
    if (about->provider->takes_prompt)
        return make_prompt(about, ret_asked, error);
    make_data(about, ret_asked);
    return 0;
}

int asked_check_size(const struct asked *asked, struct galloc_error *error)
{
    size_t prompt_bytes = asked->system.len + asked->user.len, bytes = prompt_bytes + asked->fields.len + asked->candidates.len;
    if (bytes <= LIMIT_PROMPT_BYTES)
        return 0;
    return galloc_fail(error, GALLOC_INVALID_INPUT, "the %s has %s bytes, more than %s; use --match or --max-candidates, or keep columns back",
                       prompt_bytes > 0 ? "prompt" : "request", text_count((int64_t)bytes).text, text_count(LIMIT_PROMPT_BYTES).text);
}

/* ---- for people, before anything is sent ---- */

static int parse_template(const struct engine_prompt *what, struct template **ret_template, struct galloc_error *error)
{
    const char *text = what->plan->template != NULL ? what->plan->template : template_builtin();
    return template_parse(text, strlen(text), ret_template, error);
}

/* The whole request in the prompt's place, as the first attempt would send it. */
static int show_request(const struct engine_prompt *what, const struct asked *asked, struct buf *ret_body, struct galloc_error *error)
{
    struct provider_request request = {0};
    const struct provider_wire wire = endpoint_wire(what->endpoint);
    struct provider_ask ask = {.id = "", .run = what->run_id != NULL ? what->run_id : "", .key = what->key, .attempt = 1};
    asked_take_data(asked, &ask);
    int rc = what->endpoint->provider->build(&wire, &ask, &request, error);
    buf_add(ret_body, request.body.data, request.body.len);
    provider_request_clear(&request);
    return rc;
}

static void note_choice(const char *schema, const struct candidates *candidates, enum candidates_found found, struct prompt_choice *choice)
{
    *choice = (struct prompt_choice){.candidate_count = candidates->count, .is_matched = found != CANDIDATES_NONE_MATCHES};
    for (size_t i = 0; candidates->count <= LIMIT_SCHEMA_ENUM && i < candidates->count; i++)
        choice->choice_bytes += strlen(candidates->agents[i]->info.agent_id) + strlen("\"\",");
    if (schema != NULL)
        choice->choice_bytes = strlen(schema);
}

int engine_prompt(struct engine *engine, const struct engine_prompt *what, struct buf *ret_system, struct buf *ret_user, struct prompt_choice *ret_choice,
                  struct galloc_error *error)
{
    struct run_entry run = {.plan = *what->plan};
    struct candidates candidates;
    struct template *template = NULL;
    struct asked asked;
    int rc = parse_template(what, &template, error);
    if (rc < 0)
        return rc;
    enum candidates_found found = candidates_find(&run, what->pool, (struct json_span){what->fields, what->fields_len}, 0, engine_now().wall_ms, &candidates);
    if (ret_choice != NULL)
        note_choice(what->plan->schema, &candidates, found, ret_choice);
    const struct ask_about about = {.provider = what->endpoint != NULL ? what->endpoint->provider : &provider_gemini, .plan = what->plan, .keep_back = engine->config->keep_back,
                                    .sends_all = plan_sends_all(what->plan, engine->config->keep_back), .template = template, .pool = what->pool, .key = what->key,
                                    .fields = what->fields, .fields_len = what->fields_len, .candidates = &candidates};
    rc = ask_make(&about, &asked, error);
    if (about.provider->takes_prompt) {
        buf_add(ret_system, asked.system.data, asked.system.len);
        buf_add(ret_user, asked.user.data, asked.user.len);
    } else if (rc == 0) {
        rc = show_request(what, &asked, ret_user, error);
    }
    asked_clear(&asked);
    free(candidates.agents);
    template_free(template);
    return rc;
}
