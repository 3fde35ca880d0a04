/* The blocks of a prompt that the daemon makes: the roster of agents (constant until the pool changes, so that the provider's prefix cache hits) and the
 * present loads of the open candidates. gallocsim reads the same marker lines. */
#include "dispatch/dispatch.h"

#include "base/json_out.h"

#include "core/limits.h"

#include <string.h>

/* {"agent_id":…, then the attributes' members as they came. */
static void add_agent(struct buf *out, const struct agent_entry *agent, bool with_attributes)
{
    buf_add(out, "{\"agent_id\":", 12);
    json_quote(out, agent->info.agent_id, strlen(agent->info.agent_id));
    const char *attributes = agent->info.attributes;
    size_t len = strlen(attributes);
    if (with_attributes && len > 2 && strspn(attributes + 1, " \t\r\n") + 2 < len) {
        buf_add_char(out, ',');
        buf_add(out, attributes + 1, len - 2);
    }
}

static int compare_agents(const void *a, const void *b)
{
    const struct agent_entry *x = *(struct agent_entry *const *)a, *y = *(struct agent_entry *const *)b;
    return strcmp(x->info.agent_id, y->info.agent_id);
}

const char *pool_roster(struct pool_entry *pool)
{
    if (pool->roster != NULL)
        return pool->roster;
    struct agent_entry **sorted = xcalloc(pool->agent_count, sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; i < pool->agent_count; i++)
        if (pool->agents[i].info.is_listed)
            sorted[count++] = &pool->agents[i];
    qsort(sorted, count, sizeof(struct agent_entry *), compare_agents);
    struct buf out = BUF_EMPTY;
    buf_add_str(&out, "AGENTS\n");
    for (size_t i = 0; i < count; i++) {
        add_agent(&out, sorted[i], true);
        buf_add_str(&out, "}\n");
    }
    free(sorted);
    pool->roster = buf_take(&out);
    return pool->roster;
}

static void add_number(struct buf *out, const char *name, int64_t value)
{
    buf_add_str(out, name);
    if (value < 0)
        buf_add_str(out, "null");
    else
        buf_add_i64(out, value);
}

/* From one prompt to the next the load of one or two agents changes: the other lines stand. */
static void make_line(struct agent_entry *agent, bool with_attributes)
{
    int64_t held = agent->info.held + agent->claimed, capacity = agent->info.capacity;
    struct buf *line = &agent->line.text;
    if (line->len > 0 && agent->line.held == held && agent->line.capacity == capacity && agent->line.has_attributes == with_attributes)
        return;
    agent->line.held = held;
    agent->line.capacity = capacity;
    agent->line.has_attributes = with_attributes;
    buf_reset(line);
    add_agent(line, agent, with_attributes);
    add_number(line, ",\"capacity\":", capacity);
    add_number(line, ",\"held\":", held);
    add_number(line, ",\"free\":", capacity < 0 ? -1 : max_i64(capacity - held, 0));
    buf_add_str(line, "}\n");
    buf_reset(&agent->line.json);
    json_escape(&agent->line.json, line->data, line->len);
}

#define LINE_BYTES 80 /* of a candidate without attributes, about; escaped, a fifth more */

void prompt_loads(const struct candidates *candidates, bool with_attributes, struct buf *out, struct buf *json)
{
    static const char head[] = "CANDIDATES\n";
    buf_reserve(out, LINE_BYTES * candidates->count);
    buf_reserve(json, LINE_BYTES * 6 / 5 * candidates->count);
    buf_add_str(out, head);
    json_escape(json, head, strlen(head));
    for (size_t i = 0; i < candidates->count; i++) {
        struct agent_entry *agent = candidates->agents[i];
        make_line(agent, with_attributes);
        buf_add(out, agent->line.text.data, agent->line.text.len);
        buf_add(json, agent->line.json.data, agent->line.json.len);
    }
}

static bool named_is(const struct prompt_named *named, const struct provider_ops *provider, const struct candidates *candidates, bool is_pack)
{
    bool is_same = named->provider == provider && named->is_pack == is_pack && named->count == candidates->count;
    for (size_t i = 0; is_same && i < candidates->count; i++)
        is_same = named->agents[i] == candidates->agents[i]->info.id;
    return is_same;
}

static void name_schema(struct prompt_named *named, const struct provider_ops *provider, const struct schema *schema)
{
    if (provider->add_schema == NULL || named->provider == provider)
        return;
    prompt_named_clear(named);
    named->provider = provider;
    provider->add_schema(schema, &named->choice_json);
}

void prompt_named_set(struct prompt_named *named, const struct provider_ops *provider, const struct schema *schema, const struct candidates *candidates,
                      bool is_pack)
{
    if (schema != NULL) {
        name_schema(named, provider, schema);
        return;
    }
    if (provider->add_choice == NULL || named_is(named, provider, candidates, is_pack))
        return;
    const char **names = xcalloc(candidates->count, sizeof *names);
    prompt_named_clear(named);
    *named = (struct prompt_named){.provider = provider, .agents = xcalloc(candidates->count, sizeof *named->agents), .count = candidates->count,
                                    .is_pack = is_pack};
    for (size_t i = 0; i < candidates->count; i++) {
        named->agents[i] = candidates->agents[i]->info.id;
        names[i] = candidates->agents[i]->info.agent_id;
    }
    provider->add_choice(names, candidates->count, is_pack, &named->choice_json);
    free(names);
}

void prompt_named_clear(struct prompt_named *named)
{
    free(named->agents);
    buf_clear(&named->choice_json);
    *named = (struct prompt_named){.provider = NULL};
}

void prompt_system_json(struct run_dispatch *d, const struct buf *system)
{
    if (system->len == d->system.len && (system->len == 0 || memcmp(system->data, d->system.data, system->len) == 0))
        return;
    buf_reset(&d->system);
    buf_reset(&d->system_json);
    buf_add(&d->system, system->data, system->len);
    if (system->len > 0)
        json_quote(&d->system_json, system->data, system->len);
}
