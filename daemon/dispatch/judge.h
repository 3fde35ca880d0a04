/* Does what the model said stand? One rule for each kind of run: an allocation names a candidate who has room, an answer has the schema's shape. Loop's thread. Not
 * for other rooms. */
#ifndef GALLOC_DISPATCH_JUDGE_H
#define GALLOC_DISPATCH_JUDGE_H

#include "core/alloc.h"
#include "core/result_body.h"
#include "dispatch/work.h"

/* What stands. judged_clear() frees it. */
struct judged {
    struct alloc_answer allocation; /* its reason is owned */
    struct buf answer;              /* of a question: JSON in one line */
};
#define JUDGED_EMPTY ((struct judged){.allocation.reason = NULL, .answer = BUF_EMPTY})

/* OUTCOME_SUCCEEDED, with the agent's place claimed and in `item`; OUTCOME_INVALID_ANSWER or OUTCOME_AGENT_FULL with words in `error`. */
enum outcome_class judge_answer(struct attempt *attempt, struct json_span text, struct judged *judged, struct settle_item *item, struct galloc_error *error);
/* The body that is stored of it. The caller frees. */
char *judged_body(const struct judged *judged, struct result_call call);
void judged_clear(struct judged *judged);

#endif
