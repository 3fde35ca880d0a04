/* See compare.h. Agents of both sides are one list, by their agent_id; moves between two of them are counted in a table
 * with open addressing. */
#include "core/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct agent {
    char *agent_id; /* owned */
    struct {
        bool is_there, is_open;
        int64_t capacity, held;
        int64_t given;  /* of the common keys */
        int64_t paired; /* of those that both sides allocated */
    } sides[SIDE_COUNT];
};

struct number { /* a side's number of an agent; in rising order */
    int64_t number;
    uint32_t index;
};

struct slot {
    uint32_t from, to; /* indices */
    int64_t count;     /* 0: empty */
};

struct sum {
    int64_t count;
    double total;
};

struct compare {
    struct agent *agents; /* owned */
    size_t agent_count, agent_cap;
    uint32_t *order;                    /* owned: indices into agents in the order of their ids */
    struct number *numbers[SIDE_COUNT]; /* owned */
    size_t number_counts[SIDE_COUNT];
    bool is_shared[SIDE_COUNT];
    struct slot *slots; /* owned; slot_cap is a power of two */
    size_t slot_count, slot_cap;
    struct sum confidence[SIDE_COUNT], confidence_same[SIDE_COUNT], confidence_different[SIDE_COUNT],
        latency[SIDE_COUNT];
    struct compare_figures figures;
};

const char *const compare_by_names[COMPARE_BY_COUNT] = {[COMPARE_BY_MODEL] = "model",
                                                        [COMPARE_BY_WORKER] = "worker",
                                                        [COMPARE_BY_PERSON] = "person",
                                                        [COMPARE_BY_REUSE] = "reuse",
                                                        [COMPARE_BY_OTHER] = "other"};

enum compare_by compare_by_of(const char *name, size_t len)
{
    for (int by = 0; by < COMPARE_BY_OTHER; by++)
        if (strlen(compare_by_names[by]) == len && memcmp(compare_by_names[by], name, len) == 0)
            return (enum compare_by)by;
    return COMPARE_BY_OTHER;
}

struct compare *compare_new(void)
{
    return xcalloc(1, sizeof(struct compare));
}

void compare_free(struct compare *compare)
{
    if (compare == NULL)
        return;
    for (size_t i = 0; i < compare->agent_count; i++)
        free(compare->agents[i].agent_id);
    for (int side = 0; side < SIDE_COUNT; side++)
        free(compare->numbers[side]);
    free(compare->agents);
    free(compare->order);
    free(compare->slots);
    free(compare->figures.moves);
    free(compare);
}

/* ---- agents ---- */

static int compare_id(const struct agent *agent, const char *agent_id, size_t len)
{
    size_t own = strlen(agent->agent_id);
    int order = memcmp(agent->agent_id, agent_id, own < len ? own : len);
    return order != 0 ? order : (own > len) - (own < len);
}

/* Where the agent stands in `order`, or would stand. */
static size_t place_of_id(const struct compare *compare, const char *agent_id, size_t len, bool *ret_is_known)
{
    size_t low = 0, high = compare->agent_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_id(&compare->agents[compare->order[middle]], agent_id, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_known = low < compare->agent_count && compare_id(&compare->agents[compare->order[low]], agent_id, len) == 0;
    return low;
}

static uint32_t index_of_id(struct compare *compare, const char *agent_id)
{
    bool is_known;
    size_t place = place_of_id(compare, agent_id, strlen(agent_id), &is_known);
    if (is_known)
        return compare->order[place];
    if (compare->agent_count == compare->agent_cap) {
        compare->agent_cap = compare->agent_cap ? compare->agent_cap * 2 : 64;
        compare->agents = xreallocarray(compare->agents, compare->agent_cap, sizeof *compare->agents);
        compare->order = xreallocarray(compare->order, compare->agent_cap, sizeof *compare->order);
    }
    memmove(&compare->order[place + 1], &compare->order[place],
            (compare->agent_count - place) * sizeof *compare->order);
    compare->order[place] = (uint32_t)compare->agent_count;
    compare->agents[compare->agent_count] = (struct agent){.agent_id = xstrdup(agent_id)};
    return (uint32_t)compare->agent_count++;
}

static size_t place_of_number(const struct compare *compare, enum compare_side side, int64_t number)
{
    size_t low = 0, high = compare->number_counts[side];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare->numbers[side][middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The side's agent of this number; NULL: none. */
static struct agent *agent_of_number(const struct compare *compare, enum compare_side side, int64_t number)
{
    size_t place = place_of_number(compare, side, number);
    if (place == compare->number_counts[side] || compare->numbers[side][place].number != number)
        return NULL;
    return &compare->agents[compare->numbers[side][place].index];
}

bool compare_has_agent(const struct compare *compare, enum compare_side side, int64_t number)
{
    return agent_of_number(compare, side, number) != NULL;
}

void compare_add_agent(struct compare *compare, enum compare_side side, const struct compare_agent *agent)
{
    uint32_t index = index_of_id(compare, agent->agent_id);
    size_t count = compare->number_counts[side], place = place_of_number(compare, side, agent->number);
    if (!compare_has_agent(compare, side, agent->number)) {
        struct number *numbers = xreallocarray(compare->numbers[side], count + 1, sizeof *numbers);
        memmove(&numbers[place + 1], &numbers[place], (count - place) * sizeof *numbers);
        numbers[place] = (struct number){agent->number, index};
        compare->numbers[side] = numbers;
        compare->number_counts[side]++;
    }
    struct agent *entry = &compare->agents[index];
    entry->sides[side].is_there = agent->is_listed || agent->held > 0;
    entry->sides[side].is_open = agent->is_listed && agent->is_available;
    entry->sides[side].capacity = agent->capacity;
    entry->sides[side].held = agent->held;
}

void compare_share_ledger(struct compare *compare, enum compare_side side)
{
    compare->is_shared[side] = true;
}

/* ---- moves ---- */

static size_t slot_of(const struct slot *slots, size_t cap, uint32_t from, uint32_t to)
{
    uint64_t hash = ((uint64_t)from << 32 | to) * 0x9e3779b97f4a7c15u; /* Knuth's multiplicative hashing */
    size_t at = (size_t)(hash >> 32) & (cap - 1);
    while (slots[at].count != 0 && (slots[at].from != from || slots[at].to != to))
        at = (at + 1) & (cap - 1);
    return at;
}

static void slots_grow(struct compare *compare)
{
    size_t cap = compare->slot_cap ? compare->slot_cap * 2 : 256;
    struct slot *slots = xcalloc(cap, sizeof *slots);
    for (size_t i = 0; i < compare->slot_cap; i++)
        if (compare->slots[i].count != 0)
            slots[slot_of(slots, cap, compare->slots[i].from, compare->slots[i].to)] = compare->slots[i];
    free(compare->slots);
    compare->slots = slots;
    compare->slot_cap = cap;
}

static void move_add(struct compare *compare, uint32_t from, uint32_t to)
{
    if (compare->slot_count * 2 >= compare->slot_cap)
        slots_grow(compare);
    struct slot *slot = &compare->slots[slot_of(compare->slots, compare->slot_cap, from, to)];
    compare->slot_count += slot->count == 0;
    slot->from = from;
    slot->to = to;
    slot->count++;
}

/* ---- pairs ---- */

static void sum_add(struct sum *sum, double value)
{
    if (isnan(value))
        return;
    sum->count++;
    sum->total += value;
}

static void truth_add(struct compare *compare, struct compare_truth truth, const struct agent *const agents[SIDE_COUNT])
{
    struct compare_truths *truths = &compare->figures.truths;
    bool is_known;
    place_of_id(compare, truth.agent_id, truth.len, &is_known);
    truths->told_count++;
    if (!is_known && truths->unknown_count++ == 0)
        snprintf(truths->unknown_example, sizeof truths->unknown_example, "%.*s", (int)min_i64((int64_t)truth.len, 60),
                 truth.agent_id);
    if (agents[SIDE_A] == NULL || agents[SIDE_B] == NULL)
        return;
    bool is_right[SIDE_COUNT];
    for (int side = 0; side < SIDE_COUNT; side++) {
        is_right[side] = compare_id(agents[side], truth.agent_id, truth.len) == 0;
        truths->right[side] += is_right[side];
    }
    truths->judged_count++;
    truths->right_both += is_right[SIDE_A] && is_right[SIDE_B];
    truths->wrong_both += !is_right[SIDE_A] && !is_right[SIDE_B];
    truths->right_only[SIDE_A] += is_right[SIDE_A] && !is_right[SIDE_B];
    truths->right_only[SIDE_B] += is_right[SIDE_B] && !is_right[SIDE_A];
}

static void side_add(struct compare *compare, enum compare_side side, const struct compare_fact *fact,
                     struct agent *agent)
{
    struct compare_side_figures *figures = &compare->figures.sides[side];
    figures->states[fact->state]++;
    if (agent == NULL)
        return;
    agent->sides[side].given++;
    figures->by[fact->by]++;
    sum_add(&compare->confidence[side], fact->confidence);
    sum_add(&compare->latency[side], fact->latency_ms >= 0 ? (double)fact->latency_ms : NAN);
}

static void both_add(struct compare *compare, const struct compare_fact facts[SIDE_COUNT],
                     struct agent *const agents[SIDE_COUNT])
{
    bool is_same = agents[SIDE_A] == agents[SIDE_B];
    compare->figures.both_count++;
    compare->figures.same_count += is_same;
    for (int side = 0; side < SIDE_COUNT; side++) {
        agents[side]->sides[side].paired++;
        sum_add(is_same ? &compare->confidence_same[side] : &compare->confidence_different[side],
                facts[side].confidence);
    }
    if (!is_same)
        move_add(compare, (uint32_t)(agents[SIDE_A] - compare->agents), (uint32_t)(agents[SIDE_B] - compare->agents));
}

void compare_add_pair(struct compare *compare, const struct compare_fact facts[SIDE_COUNT], struct compare_truth truth)
{
    struct agent *agents[SIDE_COUNT];
    compare->figures.common_count++;
    for (int side = 0; side < SIDE_COUNT; side++) {
        bool is_allocated = facts[side].state == ASSIGNMENT_SUCCEEDED && facts[side].agent != 0;
        agents[side] = is_allocated ? agent_of_number(compare, (enum compare_side)side, facts[side].agent) : NULL;
        side_add(compare, (enum compare_side)side, &facts[side], agents[side]);
    }
    if (agents[SIDE_A] != NULL && agents[SIDE_B] != NULL)
        both_add(compare, facts, agents);
    else if (agents[SIDE_A] == NULL && agents[SIDE_B] == NULL)
        compare->figures.neither_count++;
    else
        compare->figures.only_allocated[agents[SIDE_A] != NULL ? SIDE_A : SIDE_B]++;
    if (truth.agent_id != NULL)
        truth_add(compare, truth, (const struct agent *const *)agents);
}

void compare_add_lone(struct compare *compare)
{
    compare->figures.only_a_count++;
}

/* ---- the end ---- */

static struct compare_mean mean_of(const struct sum *sum)
{
    return (struct compare_mean){sum->count, sum->count > 0 ? sum->total / (double)sum->count : NAN};
}

static bool is_there(const struct agent *agent, enum compare_side side)
{
    return agent->sides[side].is_there || agent->sides[side].given > 0;
}

/* What the side's agents hold, one after the other. */
struct spread {
    double *loads, *uses; /* owned by whoever measures */
    size_t load_count, use_count;
};

static void balance_add(struct compare_balance *balance, struct spread *spread, const struct agent *agent,
                        enum compare_side side)
{
    int64_t capacity = agent->sides[side].capacity;
    int64_t load = balance->is_shared ? agent->sides[side].given : agent->sides[side].held;
    balance->agent_count++;
    balance->zero_capacity_count += capacity == 0;
    balance->unlimited_count += capacity < 0;
    balance->full_count += capacity > 0 && load >= capacity && !balance->is_shared;
    if (agent->sides[side].is_open && balance->capacity_left >= 0)
        balance->capacity_left = capacity < 0 ? -1 : balance->capacity_left + max_i64(capacity - load, 0);
    if (load == 0 && (capacity == 0 || !agent->sides[side].is_open))
        return; /* could not be given anything */
    balance->counted_count++;
    balance->load_total += load;
    if (load > balance->load_highest) {
        balance->load_highest = load;
        balance->highest_agent = agent->agent_id;
    }
    spread->loads[spread->load_count++] = (double)load;
    if (capacity > 0)
        spread->uses[spread->use_count++] = (double)load / (double)capacity;
}

static void balance_finish(struct compare *compare, enum compare_side side)
{
    struct compare_balance *balance = &compare->figures.sides[side].balance;
    struct spread spread = {.loads = xcalloc(compare->agent_count + 1, sizeof(double)),
                            .uses = xcalloc(compare->agent_count + 1, sizeof(double))};
    *balance = (struct compare_balance){.is_shared = compare->is_shared[side]};
    for (size_t i = 0; i < compare->agent_count; i++) /* by name, so that of equals the first is named */
        if (is_there(&compare->agents[compare->order[i]], side))
            balance_add(balance, &spread, &compare->agents[compare->order[i]], side);
    if (balance->is_shared)
        balance->capacity_left = -1;
    balance->load_mean =
        balance->counted_count > 0 ? (double)balance->load_total / (double)balance->counted_count : NAN;
    balance->highest_to_mean = balance->load_total > 0 ? (double)balance->load_highest / balance->load_mean : NAN;
    balance->load_gini = stat_gini(spread.loads, spread.load_count);
    balance->use_gini = stat_gini(spread.uses, spread.use_count);
    free(spread.loads);
    free(spread.uses);
}

static int compare_moves(const void *a, const void *b)
{
    const struct compare_move *left = a, *right = b;
    if (left->count != right->count)
        return left->count < right->count ? 1 : -1;
    int order = strcmp(left->from, right->from);
    return order != 0 ? order : strcmp(left->to, right->to);
}

static void moves_finish(struct compare *compare)
{
    struct compare_figures *figures = &compare->figures;
    figures->moves = xcalloc(compare->slot_count + 1, sizeof *figures->moves);
    for (size_t i = 0; i < compare->slot_cap; i++) {
        const struct slot *slot = &compare->slots[i];
        if (slot->count > 0)
            figures->moves[figures->move_count++] = (struct compare_move){
                compare->agents[slot->from].agent_id, compare->agents[slot->to].agent_id, slot->count};
    }
    qsort(figures->moves, figures->move_count, sizeof *figures->moves, compare_moves);
}

static void agreement_finish(struct compare *compare)
{
    struct compare_figures *figures = &compare->figures;
    size_t count = compare->agent_count;
    int64_t *chosen[SIDE_COUNT] = {xcalloc(count + 1, sizeof(int64_t)), xcalloc(count + 1, sizeof(int64_t))};
    for (size_t i = 0; i < count; i++) {
        const struct agent *agent = &compare->agents[i];
        bool is_in_a = is_there(agent, SIDE_A), is_in_b = is_there(agent, SIDE_B);
        chosen[SIDE_A][i] = agent->sides[SIDE_A].paired;
        chosen[SIDE_B][i] = agent->sides[SIDE_B].paired;
        figures->common_agents += is_in_a && is_in_b;
        figures->only_agents[SIDE_A] += is_in_a && !is_in_b;
        figures->only_agents[SIDE_B] += is_in_b && !is_in_a;
    }
    figures->agreement = figures->both_count > 0 ? (double)figures->same_count / (double)figures->both_count : NAN;
    figures->kappa = stat_kappa(figures->same_count, chosen[SIDE_A], chosen[SIDE_B], count, figures->both_count);
    stat_wilson(figures->same_count, figures->both_count, &figures->interval);
    free(chosen[SIDE_A]);
    free(chosen[SIDE_B]);
}

const struct compare_figures *compare_finish(struct compare *compare)
{
    struct compare_figures *figures = &compare->figures;
    for (int side = 0; side < SIDE_COUNT; side++) {
        figures->sides[side].confidence = mean_of(&compare->confidence[side]);
        figures->sides[side].confidence_same = mean_of(&compare->confidence_same[side]);
        figures->sides[side].confidence_different = mean_of(&compare->confidence_different[side]);
        figures->sides[side].latency_ms = mean_of(&compare->latency[side]);
        balance_finish(compare, (enum compare_side)side);
        stat_wilson(figures->truths.right[side], figures->truths.judged_count, &figures->truths.interval[side]);
    }
    figures->truths.test = stat_mcnemar(figures->truths.right_only[SIDE_A], figures->truths.right_only[SIDE_B]);
    agreement_finish(compare);
    moves_finish(compare);
    return figures;
}
