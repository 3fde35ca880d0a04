/* gallocctl assign and unassign: a person decides one assignment. */
#include "base/json_out.h"
#include "cli/command.h"
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

static int decide(struct cli *cli, const struct request *request)
{
    struct response response = RESPONSE_EMPTY;
    struct galloc_error error;
    int rc = client_call(cli->client, request, &response, &error);
    if (rc == 0 && !out_answer(cli, &response) && !cli->is_quiet) {
        const char *agent = json_get_str(response.json, "agent_id", NULL), *state = json_get_str(response.json, "state", "?");
        out_line("%s is %s%s", json_get_str(response.json, "key", "?"), agent ? "allocated to " : state, agent ? agent : "");
    }
    response_clear(&response);
    return rc < 0 ? say_error(cli, &error) : EXIT_WELL;
}

/* Of the assignment's agent; `query` is added as it is. Owned. */
static char *agent_path(char **words, const char *query)
{
    char *run = client_segment(words[0]), *key = client_segment(words[1]);
    char *path = xasprintf("/v1/runs/%s/assignments/%s/agent%s", run, key, query);
    free(run);
    free(key);
    return path;
}

static int no_reason(struct cli *cli)
{
    return say_failure(cli, GALLOC_USAGE, "why? A person's decision is made with --reason TEXT");
}

int command_assign(struct cli *cli, int count, char **words)
{
    (void)count;
    const char *reason = args_text(&cli->args, "reason");
    if (reason == NULL)
        return no_reason(cli);
    struct buf body = BUF_EMPTY;
    struct json_out out = JSON_OUT(&body);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "agent_id", words[2]);
    json_out_member_str(&out, "reason", reason);
    json_out_member_bool(&out, "over_capacity", args_has(&cli->args, "over-capacity"));
    json_out_end(&out, '}');
    char *path = agent_path(words, "");
    int status = decide(cli, &(struct request){.method = "PUT", .path = path, .body = body.data, .body_len = body.len});
    free(path);
    buf_clear(&body);
    return status;
}

int command_unassign(struct cli *cli, int count, char **words)
{
    (void)count;
    if (!args_has(&cli->args, "reason"))
        return no_reason(cli);
    char *reason = client_segment(args_text(&cli->args, "reason"));
    char *query = xasprintf("?reason=%s", reason);
    char *path = agent_path(words, query);
    int status = decide(cli, &(struct request){.method = "DELETE", .path = path});
    free(path);
    free(query);
    free(reason);
    return status;
}
