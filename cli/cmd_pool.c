/* gallocctl pool: standing pools of agents. */
#include "base/text.h"
#include "cli/agents.h"
#include "cli/command.h"
#include "cli/out.h"
#include "cli/setting.h"

#include <stdlib.h>
#include <string.h>

static const struct column pool_columns[] = {
    {"POOL", "name", CELL_TEXT, false},      {"AGENTS", "agent_count", CELL_COUNT, false}, {"CAPACITY", "capacity", CELL_LIMIT, false},
    {"HELD", "held", CELL_COUNT, false},     {"FREE", "free", CELL_LIMIT, false},          {"OPEN RUNS", "open_runs", CELL_COUNT, false},
};
static const struct column agent_columns[] = {
    {"AGENT", "agent_id", CELL_TEXT, false}, {"CAPACITY", "capacity", CELL_LIMIT, false}, {"LOAD", "load", CELL_COUNT, false},
    {"HELD", "held", CELL_COUNT, false},     {"FREE", "free", CELL_LIMIT, false},         {"AVAILABLE", "available", CELL_YES, false},
    {"UNTIL", "until", CELL_TIME, false},    {"ATTRIBUTES", "attributes", CELL_TEXT, true},
};
static const struct setting_row agent_settings[] = {
    {"capacity", "capacity", SETTING_NUMBER, 0, INT32_MAX, "none", "N|none", "places in all; none: no limit", NULL},
    {"available", "available", SETTING_YES, 0, 0, NULL, "yes|no", "whether anything new goes to the agent", NULL},
    {"until", "until", SETTING_TIME, 0, 0, "none", "DATE|none", "not available until then", NULL},
    {0},
};

static int list_pools(struct cli *cli, int count, char **words)
{
    (void)count;
    (void)words;
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_get(cli->client, &response, &error, "/v1/pools");
    if (rc == 0)
        out_items(cli, pool_columns, ARRAY_COUNT(pool_columns), &response.body);
    if (rc == 0 && cli->format == FORMAT_TABLE && json_array_len(json_get(response.json, "items")) == 0)
        say(cli, "no pool; make one: gallocctl pool import NAME agents.csv");
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static void print_pool(const struct cli *cli, struct json_object *pool)
{
    struct buf body = BUF_EMPTY;
    if (cli->format == FORMAT_TABLE)
        out_title(cli, "pool %s: %s agents, %s places taken, %s open runs", json_get_str(pool, "name", "?"), text_count(json_get_i64(pool, "agent_count", 0)).text,
                  text_count(json_get_i64(pool, "held", 0)).text, text_count(json_get_i64(pool, "open_runs", 0)).text);
    buf_add_str(&body, "{\"items\":");
    json_to_text(json_get(pool, "agents"), &body);
    buf_add_char(&body, '}');
    out_items(cli, agent_columns, ARRAY_COUNT(agent_columns), &body);
    buf_clear(&body);
}

/* The name of a pool, or the id of the run that is meant: a run's own pool is told by its id. A pool's name comes before a run's. To be freed. */
static char *pool_segment(struct cli *cli, const char *name)
{
    struct response response = RESPONSE_EMPTY;
    char *segment = client_segment(name);
    bool is_pool = name[0] != '@' && client_get(cli->client, &response, NULL, "/v1/pools/%s", segment) == 0;
    if (!is_pool && client_get(cli->client, &response, NULL, "/v1/runs/%s", segment) == 0 && json_get_str(response.json, "id", NULL) != NULL) {
        free(segment);
        segment = client_segment(json_get_str(response.json, "id", name));
    }
    response_clear(&response);
    return segment;
}

static void print_brief(struct json_object *pool, const char *name)
{
    struct buf agents = BUF_EMPTY, held = BUF_EMPTY;
    show_count(&agents, json_get_i64(pool, "agent_count", 0));
    show_count(&held, json_get_i64(pool, "held", 0));
    out_line("pool %s: %s agents, %s places taken", json_get_str(pool, "name", name), buf_text(&agents), buf_text(&held));
    buf_clear(&agents);
    buf_clear(&held);
}

/* A request whose answer is a pool; `is_brief` prints one line of it. */
static int pool_request(struct cli *cli, const char *method, const char *name, const char *after, const struct buf *body, bool is_brief)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    bool is_standing = strcmp(method, "GET") != 0; /* what is made or reset is never a run's own */
    char *segment = is_standing ? client_segment(name) : pool_segment(cli, name);
    char *path = xasprintf("/v1/pools/%s%s", segment, after);
    struct request request = {.method = method, .path = path, .body = body ? body->data : NULL, .body_len = body ? body->len : 0};
    int rc = client_call(cli->client, &request, &response, &error);
    if (rc == 0 && cli->format == FORMAT_JSON)
        out_answer(cli, &response);
    else if (rc == 0 && is_brief && !cli->is_quiet)
        print_brief(response.json, name);
    else if (rc == 0 && !is_brief)
        print_pool(cli, response.json);
    free(path);
    free(segment);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

static int show_pool(struct cli *cli, int count, char **words)
{
    (void)count;
    return pool_request(cli, "GET", words[0], "", NULL, false);
}

static int import_pool(struct cli *cli, int count, char **words)
{
    (void)count;
    struct buf body = BUF_EMPTY;
    struct galloc_error error;
    size_t agent_count;
    buf_add_str(&body, "{\"agents\":");
    int rc = agents_read(words[1], &body, &agent_count, &error);
    buf_add_char(&body, '}');
    int status = rc < 0 ? say_error(cli, &error) : pool_request(cli, "PUT", words[0], "", &body, true);
    buf_clear(&body);
    return status;
}

static int reset_pool(struct cli *cli, int count, char **words)
{
    (void)count;
    char *question = xasprintf("Give back all places of pool %s, as if nothing had been allocated?", words[0]);
    bool is_yes = ask_yes(cli, question);
    free(question);
    return is_yes ? pool_request(cli, "POST", words[0], "/reset", NULL, true) : EXIT_CANCELLED;
}

/* As a shell takes it for one word. */
static void add_word(struct buf *out, const char *text)
{
    if (text[0] != '\0' && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.,:@%+=/") == strlen(text) && text[0] != '-') {
        buf_add_str(out, text);
        return;
    }
    buf_add_char(out, '\'');
    for (const char *at = text; *at != '\0'; at++)
        buf_add_str(out, *at == '\'' ? "'\\''" : (char[]){*at, '\0'});
    buf_add_char(out, '\'');
}

/* What an agent who is away from now on leaves behind, and the command that has it decided again, as it can be pasted. To stderr: it is no answer to the change. */
static void tell_holdings(struct cli *cli, const char *pool_path, const char *agent_path, const char *agent_id)
{
    struct response response = RESPONSE_EMPTY;
    int64_t count = 0;
    struct json_object *runs = client_get(cli->client, &response, NULL, "/v1/pools/%s/agents/%s/runs", pool_path, agent_path) == 0 ? json_get(response.json, "items") : NULL;
    for (size_t i = 0; i < json_array_len(runs); i++)
        count += json_get_i64(json_array_at(runs, i), "count", 0);
    if (count > 0)
        say(cli, "note: %s still has %s; to have them decided again, and paid for again, by those who are here:", agent_id, text_counted(count, "assignment").text);
    struct buf agent = BUF_EMPTY, why = BUF_EMPTY;
    char *away = xasprintf("%s is away", agent_id);
    add_word(&agent, agent_id);
    add_word(&why, away);
    for (size_t i = 0; i < json_array_len(runs); i++) {
        struct json_object *run = json_array_at(runs, i);
        const char *name = json_get_str(run, "name", NULL);
        say(cli, "  gallocctl redo %s --agent %s --reason %s   # %s%s%s", json_get_str(run, "run", "?"), buf_text(&agent), buf_text(&why),
            text_count(json_get_i64(run, "count", 0)).text, name ? " of " : "", name ? name : "");
    }
    free(away);
    buf_clear(&agent);
    buf_clear(&why);
    response_clear(&response);
}

static int set_agent(struct cli *cli, int count, char **words)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    char *pool = pool_segment(cli, words[0]), *agent = client_segment(words[1]);
    char *path = xasprintf("/v1/pools/%s/agents/%s", pool, agent);
    json_out_begin(&out, '{');
    int rc = setting_write(&out, agent_settings, count - 2, words + 2, "an agent", &error);
    json_out_end(&out, '}');
    struct request request = {.method = "PATCH", .path = path, .body = body.data, .body_len = body.len};
    if (rc == 0)
        rc = client_call(cli->client, &request, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet) {
        struct json_object *capacity = json_get(response.json, "capacity");
        char *places = capacity ? xstrdup(text_count(json_i64(capacity, 0)).text) : xstrdup("no limit");
        bool is_available = json_get_bool(response.json, "available", true);
        const char *until = json_get_str(response.json, "until", NULL);
        struct buf back = BUF_EMPTY;
        show_time(&back, until);
        out_line("agent %s: capacity %s, %s held, %s%s%s", json_get_str(response.json, "agent_id", words[1]), places,
                 text_count(json_get_i64(response.json, "held", 0)).text, is_available ? "available" : "not available", until ? " until " : "",
                 until ? buf_text(&back) : "");
        buf_clear(&back);
        free(places);
        int64_t over = capacity ? json_get_i64(response.json, "held", 0) - json_i64(capacity, 0) : 0;
        if (over > 0)
            say(cli, "note: %s more held than the capacity: nothing new goes to the agent, and nothing is taken away", text_count(over).text);
        if (is_available && strstr(buf_text(&body), "\"available\":false") != NULL)
            say(cli, "note: that date is past: the agent is available");
        else if (!is_available)
            tell_holdings(cli, pool, agent, json_get_str(response.json, "agent_id", words[1]));
    }
    free(path);
    free(agent);
    free(pool);
    buf_clear(&body);
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

const struct verb pool_verbs[] = {
    {"list", "", "all pools", 0, 0, list_pools, NULL, false},
    {"show", "POOL", "its agents and what they hold; for a run's own pool the run: its id, name or @last", 1, 1, show_pool, NULL, false},
    {"import", "POOL FILE", "make a pool, or replace its agents, from CSV or JSON", 2, 2, import_pool, NULL, false},
    {"set", "POOL AGENT NAME=VALUE...", "change an agent", 3, -1, set_agent, agent_settings, false},
    {"reset", "POOL", "give back all places", 1, 1, reset_pool, NULL, false},
    {0},
};
