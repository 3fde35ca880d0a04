/* What an outside worker tells of one assignment: its decision, its answer, or the error it met. Each is judged for itself, so one that cannot be read spoils no other.
 * Pure; any thread. */
#ifndef GALLOC_CORE_WORKER_RESULT_H
#define GALLOC_CORE_WORKER_RESULT_H

#include "core/alloc.h"

#define WORKER_CODE_BYTES 128 /* of an error's code that are kept */

enum worker_result_kind { TOLD_DECISION, TOLD_ANSWER, TOLD_ERROR, TOLD_NOTHING /* it cannot be read; message says why */ };

struct worker_result {
    char *key; /* owned; NULL: it has none that could be */
    enum worker_result_kind kind;
    struct alloc_answer answer; /* of a decision; its reason is owned */
    char *json;     /* owned; of an answer to a question: the object as text, not yet held against the schema */
    char *code;     /* owned; of an error; NULL: none was given */
    char *message;  /* owned; of an error (NULL: none) and of what cannot be read */
    bool may_retry; /* of an error */
};

/* Reads {"key","agent_id","reason","confidence"}, {"key","answer":{…}} or {"key","error":{"code","message","retry"}}; other members are passed over. Never fails: what is wrong is
 * TOLD_NOTHING with words for the worker. The caller frees what it holds with worker_result_clear(). */
void worker_result_read(struct json_object *item, struct worker_result *ret_result);
void worker_result_clear(struct worker_result *result);

#endif
