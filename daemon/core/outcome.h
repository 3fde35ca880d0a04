/* The classes of an attempt's outcome: one row a class. What each spends and how long the assignment waits is decided in retry.c by these
 * rows; which answer of which provider is which class, by the provider. Pure; any thread. */
#ifndef GALLOC_CORE_OUTCOME_H
#define GALLOC_CORE_OUTCOME_H

#include "base/util.h"

/* What becomes of the assignment. */
enum outcome_rule {
    RULE_SETTLE,  /* succeeded */
    RULE_REASK,   /* asked again at once, from its own budget */
    RULE_RETRY,   /* held until the endpoint is judged; then spends a retry and waits */
    RULE_WAIT,    /* pending again, nothing spent: the endpoint's fault */
    RULE_HOLD,    /* rejected: final, but held while the run has no success */
    RULE_FINAL,   /* failed */
    RULE_GIVEN_BACK /* pending again at once, nothing spent, nothing sent or nobody knows */
};

/*  The numbers are stored: append only.
 *        symbol        wire name          rule            endpoint goes down?  for people */
#define OUTCOME_CLASSES(X)                                                                                                    \
    X(SUCCEEDED,      "succeeded",       RULE_SETTLE,     false, "allocated")                                               \
    X(INVALID_ANSWER, "invalid_answer",  RULE_REASK,      false, "the model's answer was not valid")                        \
    X(TRANSIENT,      "transient",       RULE_RETRY,      false, "the call failed")                                         \
    X(THROTTLED,      "throttled",       RULE_WAIT,       false, "the endpoint refused: too fast")                          \
    X(QUOTA_DAY,      "quota_day",       RULE_WAIT,       false, "the day's quota is used up")                              \
    X(UNAVAILABLE,    "unavailable",     RULE_WAIT,       false, "the endpoint was not available")                          \
    X(CREDENTIALS,    "credentials",     RULE_WAIT,       true,  "the key was refused")                                     \
    X(BILLING,        "billing",         RULE_WAIT,       true,  "the account has no credit or no quota for this model")    \
    X(CONFIG,         "config",          RULE_WAIT,       true,  "the endpoint is configured wrongly")                      \
    X(REJECTED,       "rejected",        RULE_HOLD,       false, "the provider rejected this input")                        \
    X(AGENT_FULL,     "agent_full",      RULE_REASK,      false, "the chosen agent had no room left")                       \
    X(LOST,           "lost",            RULE_GIVEN_BACK, false, "nobody knows how it ended; possibly billed")              \
    X(EXPIRED,        "expired",         RULE_FINAL,      false, "older than its max_age")                                  \
    X(NO_CANDIDATE,   "no_candidate",    RULE_FINAL,      false, "no agent matches")                                        \
    X(NO_CAPACITY,    "no_capacity",     RULE_FINAL,      false, "every matching agent is full or away")                    \
    X(TEMPLATE,       "template",        RULE_FINAL,      false, "the prompt could not be made from this assignment")       \
    X(RELEASED,       "released",        RULE_GIVEN_BACK, false, "given back before it was sent")                           \
    X(DROPPED,        "dropped",         RULE_FINAL,      false, "answered after the assignment was cancelled")             \
    X(CORRUPT,        "corrupt",         RULE_FINAL,      false, "the stored input does not match its digest")              \
    X(POISON,         "poison",          RULE_FINAL,      false, "three workers were lost on it")                            \
    X(WORKER,         "worker",          RULE_FINAL,      false, "the worker gave it up")                                  \
    X(UNFINISHED,     "unfinished",      RULE_REASK,      false, "the model had not come to the end of its answer") \
    X(PERSON,         "person",          RULE_SETTLE,     false, "a person decided")

enum outcome_class {
#define X(symbol, name, rule, is_down, text) OUTCOME_##symbol,
    OUTCOME_CLASSES(X)
#undef X
    OUTCOME_CLASS_COUNT
};

struct outcome_row {
    const char *name; /* stable: wire, metrics, results */
    enum outcome_rule rule;
    bool puts_endpoint_down;
    const char *text;
};

const struct outcome_row *outcome_row(enum outcome_class class);
int outcome_class_by_name(const char *name); /* -1 when unknown */
bool outcome_is_answer(enum outcome_class class); /* the model answered, well or not: key, model and service work */

#endif
