/* See pack.h. */
#include "core/pack.h"

#include "core/answer.h"
#include "core/limits.h"

#include <string.h>

/*      constant          value   unit         meaning                                                     source: chosen, not measured, where not told */
#define SAMPLE_CALLS      2       /* calls     at a size before it is judged                                */
#define SAMPLE_LEAST      8       /* asked     and so many assignments                                      */
#define VALID_LEAST       0.9     /*           of the answers have to stand, or the size does not go well   */
#define CHEAPER_LEAST     0.02    /*           fewer tokens an assignment, or a larger size is worth nothing */
#define AGAIN_AFTER       500     /* decided   before a size that did not go well is tried again            */

void pack_id(const char *mark, size_t index, char ret_id[PACK_ID_BYTES])
{
    snprintf(ret_id, PACK_ID_BYTES, "%.8s-%zu", mark, index + 1);
}

/* ---- the answer ---- */

static void take_item(struct json_span object, const char *mark, size_t count, struct pack_item *items)
{
    struct json_span name, value;
    char id[PACK_ID_BYTES];
    if (json_span_kind(object) != JSON_OBJECT)
        return;
    for (const char *at = NULL; json_next(object, &at, &name, &value);) {
        if (!json_span_equals(name, "id") || json_span_kind(value) != JSON_STRING)
            continue;
        for (size_t i = 0; i < count; i++) {
            pack_id(mark, i, id);
            if (!json_span_equals(value, id))
                continue;
            items[i].object = items[i].count++ == 0 ? object : (struct json_span){NULL, 0};
            return;
        }
        return;
    }
}

/* The array itself, or the one member of an object: some wires know no array as an answer. */
static struct json_span array_of(struct json_span whole)
{
    struct json_span name, value;
    if (json_span_kind(whole) != JSON_OBJECT)
        return whole;
    const char *at = NULL;
    bool has_one = json_next(whole, &at, &name, &value);
    struct json_span only = value;
    return has_one && !json_next(whole, &at, &name, &value) ? only : whole;
}

int pack_answer_read(const char *text, size_t len, const char *mark, size_t count, struct pack_item *ret_items, struct galloc_error *error)
{
    struct json_span name, object, whole = {text, len};
    memset(ret_items, 0, count * sizeof *ret_items);
    answer_unwrap(&whole.at, &whole.len);
    if (whole.len == 0)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is empty");
    if (json_check(whole.at, whole.len, error) < 0) {
        if (error != NULL)
            error->code = GALLOC_INVALID_INPUT;
        return -GALLOC_INVALID_INPUT;
    }
    whole = array_of(whole);
    if (json_span_kind(whole) != JSON_ARRAY)
        return galloc_fail(error, GALLOC_INVALID_INPUT, "the answer is not an array of objects, one for each id");
    for (const char *at = NULL; json_next(whole, &at, &name, &object);)
        take_item(object, mark, count, ret_items);
    return 0;
}

/* ---- with whom it goes next ---- */

int32_t pack_most_after(enum outcome_class class, bool is_whole, size_t count, int32_t most, const struct retry_budget *budget)
{
    int32_t half = (int32_t)(count + 1) / 2;
    if (count <= 1)
        return most;
    if (is_whole)
        return half;
    if (class == OUTCOME_TRANSIENT) /* one of them may be the cause, and fail the others: at the second time each goes alone */
        return budget->failures > 1 ? 1 : half;
    if (class == OUTCOME_INVALID_ANSWER && budget->reasks_spent >= PACK_TRIES)
        return 1;
    return most;
}

/* ---- auto ---- */

int32_t pack_auto_size(const struct pack_auto *state)
{
    return state->size > 0 ? state->size : 1;
}

static void go_to(struct pack_auto *state, int32_t size, double tokens_each)
{
    state->size = size;
    state->asked = state->valid = 0;
    state->tokens = 0;
    state->tokens_each = tokens_each;
}

/* Back to half, and not to this size again for a while. */
static void leave(struct pack_auto *state)
{
    int32_t size = pack_auto_size(state);
    state->ceiling = size;
    state->held = 0;
    go_to(state, size > 1 ? size / 2 : 1, 0);
}

static void judge(struct pack_auto *state)
{
    int32_t size = pack_auto_size(state);
    double each = state->valid > 0 ? state->tokens / (double)state->valid : 0;
    bool is_well = (double)state->valid >= VALID_LEAST * (double)state->asked;
    bool is_cheaper = state->tokens_each <= 0 || each <= state->tokens_each * (1 - CHEAPER_LEAST);
    if (size > 1 && (!is_well || !is_cheaper))
        leave(state);
    else if (is_well && 2 * size <= LIMIT_PACK && (state->ceiling == 0 || 2 * size < state->ceiling))
        go_to(state, 2 * size, each);
    else
        go_to(state, size, 0); /* goes on, and is looked at anew */
}

void pack_auto_told(struct pack_auto *state, size_t asked, size_t valid, int64_t tokens, bool is_whole)
{
    int32_t size = pack_auto_size(state);
    state->held += (int64_t)valid;
    if (state->ceiling > 0 && state->held >= AGAIN_AFTER)
        state->ceiling = 0;
    if (is_whole && asked > 1 && (int32_t)asked <= size) {
        leave(state);
        return;
    }
    if ((int32_t)asked != size)
        return;
    state->asked += (int64_t)asked;
    state->valid += (int64_t)valid;
    state->tokens += (double)max_i64(tokens, 0);
    if (state->asked >= SAMPLE_LEAST && state->asked >= SAMPLE_CALLS * (int64_t)size)
        judge(state);
}
