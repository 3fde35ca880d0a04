/* A selector as JSON, for the sweep that a restart goes on with and for the audit log, and back. The members are those
 * of the API. Pure; any thread. */
#include "store/sqlite_sweep.h"

#include "base/json.h"

#include <stdlib.h>

static void list_out(struct json_out *out, const char *name, char *const *list, size_t most)
{
    if (list == NULL)
        return;
    json_out_name(out, name);
    json_out_begin(out, '[');
    size_t i = 0;
    for (; list[i] && i < most; i++)
        json_out_str(out, list[i]);
    if (list[i])
        json_out_str(out, "…");
    json_out_end(out, ']');
}

void selector_out(struct json_out *out, const struct store_selector *selector, size_t most)
{
    json_out_begin(out, '{');
    if (selector->is_all)
        json_out_member_bool(out, "all", true);
    if (selector->states) {
        json_out_name(out, "states");
        json_out_begin(out, '[');
        for (int state = 0; state < ASSIGNMENT_STATE_COUNT; state++)
            if ((selector->states >> state) & 1)
                json_out_str(out, assignment_state_name((enum assignment_state)state));
        json_out_end(out, ']');
    }
    if (selector->classes) {
        json_out_name(out, "codes");
        json_out_begin(out, '[');
        for (int class = 0; class < OUTCOME_CLASS_COUNT; class++)
            if ((selector->classes >> class) & 1)
                json_out_str(out, outcome_row((enum outcome_class) class)->name);
        json_out_end(out, ']');
    }
    list_out(out, "agents", selector->agents, most);
    list_out(out, "keys", selector->keys, most);
    list_out(out, "where", selector->where, most);
    json_out_end(out, '}');
}

static char **list_parse(struct json_object *list)
{
    if (!json_is_array(list))
        return NULL;
    size_t count = json_array_len(list), taken = 0;
    char **texts = xcalloc(count + 1, sizeof(*texts));
    for (size_t i = 0; i < count; i++) {
        const char *text = json_str(json_array_at(list, i), NULL);
        if (text)
            texts[taken++] = xstrdup(text);
    }
    return texts;
}

/* Bits of the names that are known. */
static uint32_t bits_parse(struct json_object *list, int (*by_name)(const char *name))
{
    uint32_t bits = 0;
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *name = json_str(json_array_at(list, i), NULL);
        int bit = name ? by_name(name) : -1;
        if (bit >= 0)
            bits |= 1u << bit;
    }
    return bits;
}

int selector_parse(const char *text, size_t len, struct store_selector *ret_selector, struct galloc_error *error)
{
    struct json_object *object = NULL;
    int rc = json_parse(text, len, &object, error);
    if (rc < 0)
        return rc;
    *ret_selector = (struct store_selector){
        .is_all = json_get_bool(object, "all", false),
        .states = bits_parse(json_get(object, "states"), assignment_state_by_name),
        .classes = bits_parse(json_get(object, "codes"), outcome_class_by_name),
        .agents = list_parse(json_get(object, "agents")),
        .keys = list_parse(json_get(object, "keys")),
        .where = list_parse(json_get(object, "where")),
    };
    json_free(object);
    return 0;
}
