/* Selectors: which assignments an operator means. From a body's object or from the query; none is never "all". Pure. */
#include "api/handler.h"

#include "core/limits.h"

#include "base/text.h"

#include <string.h>

#define SELECTOR_ITEMS_MAX 10000

static void list_free(char **list)
{
    for (char **at = list; at != NULL && *at != NULL; at++)
        free(*at);
    free(list);
}

static char **list_copy(char *const *list)
{
    if (list == NULL)
        return NULL;
    size_t count = 0;
    while (list[count] != NULL)
        count++;
    char **copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(list[i]);
    return copy;
}

void selector_copy(const struct store_selector *from, struct store_selector *ret_copy)
{
    *ret_copy = *from;
    ret_copy->agents = list_copy(from->agents);
    ret_copy->keys = list_copy(from->keys);
    ret_copy->where = list_copy(from->where);
}

void selector_clear(struct store_selector *selector)
{
    list_free(selector->agents);
    list_free(selector->keys);
    list_free(selector->where);
    *selector = (struct store_selector){0};
}

static int add_state(const char *name, unsigned *states, struct galloc_error *error)
{
    int state = assignment_state_by_name(name);
    if (state >= 0) {
        *states |= 1u << state;
        return 0;
    }
    const char *names[ASSIGNMENT_STATE_COUNT];
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        names[i] = assignment_state_name((enum assignment_state)i);
    const char *nearest = text_nearest(name, names, ARRAY_COUNT(names));
    return galloc_fail(error, GALLOC_INVALID_VALUE, "there is no state \"%.60s\"%s%s%s; states are pending, leased, succeeded, failed, cancelled", name,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static int add_class(const char *name, uint32_t *classes, struct galloc_error *error)
{
    int class = outcome_class_by_name(name);
    if (class >= 0) {
        *classes |= UINT32_C(1) << class;
        return 0;
    }
    const char *names[OUTCOME_CLASS_COUNT];
    for (int i = 0; i < OUTCOME_CLASS_COUNT; i++)
        names[i] = outcome_row((enum outcome_class)i)->name;
    const char *nearest = text_nearest(name, names, ARRAY_COUNT(names));
    return galloc_fail(error, GALLOC_INVALID_VALUE, "there is no error code \"%.60s\"%s%s%s (gallocctl failures shows those of a run)", name,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static int check_where(const char *text, struct galloc_error *error)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%.60s\" is not FIELD=VALUE", text);
    return 0;
}

/* A list of texts of a body. */
static int list_read(struct json_object *body, const char *name, char ***ret_list, struct galloc_error *error)
{
    struct json_object *array = json_get(body, name);
    size_t count = json_array_len(array);
    if (count == 0)
        return 0;
    if (count > SELECTOR_ITEMS_MAX)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has %zu items; the most is %d", name, count, SELECTOR_ITEMS_MAX);
    char **list = xcalloc(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        size_t len;
        const char *text = json_str(json_array_at(array, i), &len);
        if (text == NULL || len != strlen(text)) {
            list_free(list);
            return galloc_fail(error, GALLOC_INVALID_VALUE, "\"%s\" has to be a list of texts; its item %zu is not", name, i + 1);
        }
        list[i] = xstrdup(text);
    }
    *ret_list = list;
    return 0;
}

/* Names of a list of texts into bits. */
static int bits_read(struct json_object *body, struct store_selector *selector, struct galloc_error *error)
{
    struct json_object *states = json_get(body, "states"), *codes = json_get(body, "codes");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_len(states); i++) {
        const char *name = json_str(json_array_at(states, i), NULL);
        rc = add_state(name ? name : "", &selector->states, error);
    }
    for (size_t i = 0; rc == 0 && i < json_array_len(codes); i++) {
        const char *name = json_str(json_array_at(codes, i), NULL);
        rc = add_class(name ? name : "", &selector->classes, error);
    }
    return rc;
}

static bool selects_something(const struct store_selector *selector)
{
    return selector->states != 0 || selector->classes != 0 || selector->agents != NULL || selector->keys != NULL || selector->where != NULL;
}

int selector_from_json(struct json_object *body, struct store_selector *ret_selector, struct galloc_error *error)
{
    struct store_selector selector = {.is_all = json_get_bool(body, "all", false)};
    int rc = bits_read(body, &selector, error);
    if (rc == 0)
        rc = list_read(body, "agents", &selector.agents, error);
    if (rc == 0)
        rc = list_read(body, "keys", &selector.keys, error);
    if (rc == 0)
        rc = list_read(body, "where", &selector.where, error);
    for (char **at = selector.where; rc == 0 && at != NULL && *at != NULL; at++)
        rc = check_where(*at, error);
    if (rc == 0 && selector.is_all && selects_something(&selector))
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "\"all\" stands alone");
    if (rc == 0 && !selector.is_all && !selects_something(&selector))
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "nothing is selected: give states, codes, agents, keys or where, or {\"all\":true}");
    if (rc < 0)
        selector_clear(&selector);
    else
        *ret_selector = selector;
    return rc;
}

/* Calls `add` for every name of a comma separated list. */
static int each_name(const char *text, int (*add)(const char *name, void *arg, struct galloc_error *error), void *arg, struct galloc_error *error)
{
    int rc = 0;
    while (rc == 0 && *text != '\0') {
        size_t len = strcspn(text, ",");
        char *name = xstrndup(text, len);
        rc = len > 0 ? add(name, arg, error) : 0;
        free(name);
        text += len + (text[len] == ',');
    }
    return rc;
}

static int add_state_name(const char *name, void *arg, struct galloc_error *error)
{
    return add_state(name, arg, error);
}

static int add_class_name(const char *name, void *arg, struct galloc_error *error)
{
    return add_class(name, arg, error);
}

int selector_states(const char *text, unsigned *ret_states, struct galloc_error *error)
{
    return each_name(text, add_state_name, ret_states, error);
}

/* All parameters of a name as a list; NULL when there is none. */
static int list_query(const struct http_head *head, const char *name, char ***ret_list, struct galloc_error *error)
{
    for (size_t count = 0;; count++) {
        char *value;
        int rc = http_query(head, name, count, &value, error);
        if (rc < 0 || value == NULL)
            return rc;
        *ret_list = xreallocarray(*ret_list, count + 2, sizeof **ret_list);
        (*ret_list)[count] = value;
        (*ret_list)[count + 1] = NULL;
    }
}

int selector_from_query(const struct http_head *head, struct store_selector *ret_selector, struct galloc_error *error)
{
    struct store_selector selector = {0};
    char *states = NULL, *codes = NULL;
    int rc = http_query(head, "state", 0, &states, error);
    if (rc == 0)
        rc = http_query(head, "code", 0, &codes, error);
    if (rc == 0 && states != NULL)
        rc = selector_states(states, &selector.states, error);
    if (rc == 0 && codes != NULL)
        rc = each_name(codes, add_class_name, &selector.classes, error);
    if (rc == 0)
        rc = list_query(head, "agent", &selector.agents, error);
    if (rc == 0)
        rc = list_query(head, "key", &selector.keys, error);
    if (rc == 0)
        rc = list_query(head, "where", &selector.where, error);
    for (char **at = selector.where; rc == 0 && at != NULL && *at != NULL; at++)
        rc = check_where(*at, error);
    free(states);
    free(codes);
    if (rc < 0)
        selector_clear(&selector);
    else
        *ret_selector = selector;
    return rc;
}
