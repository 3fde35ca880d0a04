/* Two runs side by side: who was given which key by either, pair by pair, in memory that grows with the agents and with the different
 * moves between them, never with the keys. Whoever reads the pairs adds them; compare_finish() makes the figures. What cannot be told of a
 * figure (nothing to divide by) is NaN. Pure; one thread at a time; free with compare_free(). */
#ifndef GALLOC_CORE_COMPARE_H
#define GALLOC_CORE_COMPARE_H

#include "core/state.h"
#include "core/statistics.h"

enum compare_side { SIDE_A, SIDE_B, SIDE_COUNT };

/* By whom a key was decided; the wire names of results. What is not known counts as COMPARE_BY_OTHER. */
enum compare_by { COMPARE_BY_MODEL, COMPARE_BY_WORKER, COMPARE_BY_PERSON, COMPARE_BY_REUSE, COMPARE_BY_OTHER, COMPARE_BY_COUNT };
extern const char *const compare_by_names[COMPARE_BY_COUNT];
enum compare_by compare_by_of(const char *name, size_t len);

/* An agent of a side's pool. */
struct compare_agent {
    int64_t number;       /* the store's, unique in its side */
    const char *agent_id; /* borrowed for the call: the same text is the same agent on either side */
    int64_t capacity;     /* -1: no limit */
    int64_t held;         /* places taken in the side's ledger, with those of before the run */
    bool is_listed, is_available;
};

/* What a side did with a key. */
struct compare_fact {
    enum assignment_state state;
    int64_t agent;      /* number; 0: none */
    double confidence;  /* NaN: not given */
    int64_t latency_ms; /* -1: not known */
    enum compare_by by;
};

struct compare;

struct compare *compare_new(void);
void compare_free(struct compare *compare);                                               /* NULL is fine */
/* Adds it, or tells anew what it holds. */
void compare_add_agent(struct compare *compare, enum compare_side side, const struct compare_agent *agent);
bool compare_has_agent(const struct compare *compare, enum compare_side side, int64_t number);
/* The side's ledger is shared with other runs: what is held there is not the run's doing. */
void compare_share_ledger(struct compare *compare, enum compare_side side);

/* A key that both have. `truth`: the agent_id that would have been right ({NULL, 0}: not asked for, or not told). */
struct compare_truth {
    const char *agent_id; /* borrowed for the call */
    size_t len;
};
void compare_add_pair(struct compare *compare, const struct compare_fact facts[SIDE_COUNT], struct compare_truth truth);
void compare_add_lone(struct compare *compare); /* a key that A alone has */

/* ---- the figures ---- */
struct compare_balance {            /* how evenly the work lies on the agents at the end */
    int64_t agent_count;            /* of the side's pool */
    int64_t counted_count;          /* of these, who hold something or could be given something: the others say nothing of fairness */
    int64_t zero_capacity_count, unlimited_count, full_count;
    int64_t load_total, load_highest; /* with the places of before the run; of a shared ledger the common keys alone */
    const char *highest_agent;      /* borrowed from the compare; NULL: nobody holds anything */
    double load_mean, highest_to_mean, load_gini;
    double use_gini;                /* of load / capacity, over those who have a limit above 0 */
    int64_t capacity_left;          /* of open agents; -1: one of them has no limit, or the ledger is shared */
    bool is_shared;
};
struct compare_mean {
    int64_t count;
    double mean; /* NaN: of nothing */
};
struct compare_side_figures {
    int64_t states[ASSIGNMENT_STATE_COUNT]; /* of the common keys */
    int64_t by[COMPARE_BY_COUNT];           /* of the common keys allocated */
    struct compare_mean confidence, confidence_same, confidence_different; /* allocated by this side; by both, alike or not */
    struct compare_mean latency_ms;
    struct compare_balance balance;
};
struct compare_move {
    const char *from, *to; /* agent_ids, borrowed from the compare */
    int64_t count;
};
struct compare_truths {
    int64_t told_count;    /* common keys with an agent in the column */
    int64_t unknown_count; /* of these, naming nobody of either pool */
    char unknown_example[64];
    int64_t judged_count;  /* told, and allocated by both: of these are the following */
    int64_t right[SIDE_COUNT], right_both, right_only[SIDE_COUNT], wrong_both;
    struct stat_interval interval[SIDE_COUNT]; /* of right / judged */
    struct stat_mcnemar test;
};
struct compare_figures {
    int64_t common_count, only_a_count;
    int64_t both_count;                         /* common keys allocated by both: what agreement is about */
    int64_t only_allocated[SIDE_COUNT], neither_count;
    int64_t same_count;
    double agreement, kappa;
    struct stat_interval interval;              /* of the agreement; meaningless where both_count is 0 */
    int64_t only_agents[SIDE_COUNT], common_agents; /* of the pools */
    struct compare_side_figures sides[SIDE_COUNT];
    struct compare_move *moves;                 /* owned by the compare: the most frequent first, then by name */
    size_t move_count;
    struct compare_truths truths;
};

/* Makes the figures from all that was added; borrowed from the compare. To be called once, at the end. */
const struct compare_figures *compare_finish(struct compare *compare);

#endif
