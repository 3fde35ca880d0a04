/* Several assignments in one request: what stands in the answer, with whom an assignment goes after a failure, and how many go well together. Pure; any thread. */
#ifndef GALLOC_CORE_PACK_H
#define GALLOC_CORE_PACK_H

#include "core/alloc.h"
#include "core/retry.h"

/* ---- the answer ---- */
#define PACK_ID_BYTES 32

/* An assignment's id in its request: a mark of that request alone, which nobody who wrote a key or a field could know, and a number from 1. */
void pack_id(const char *mark, size_t index, char ret_id[PACK_ID_BYTES]);

/* Finds what the model's text says of each of `count` ids: an array of objects with a member "id", or an object whose only member is that; a code fence around it is
 * allowed. ret_items[i] is the object of the id i, for alloc_answer_read(); `at` NULL: none, or more than one. Objects with other ids are passed over. 0, or
 * -GALLOC_INVALID_INPUT with what is wrong of the whole, in words that can be said to the model. */
struct pack_item {
    struct json_span object; /* borrowed from the text */
    size_t count;            /* objects with this id */
};
int pack_answer_read(const char *text, size_t len, const char *mark, size_t count, struct pack_item *ret_items, struct galloc_error *error) MUST_CHECK;

/* ---- with whom it goes next ---- */
#define PACK_TRIES 2 /* invalid answers in packs, before it goes alone */

/* How an attempt ended, in a call of `count`, of which it told as a whole (refused, cut, unreadable) or not. `most` is what was held of it before; 0: as many as the
 * run says. Returns what is held of it from now on. */
int32_t pack_most_after(enum outcome_class class, bool is_whole, size_t count, int32_t most, const struct retry_budget *budget);

/* ---- how many go well together (`--pack auto`) ----
 * Sizes double while answers stay valid and an assignment takes fewer tokens; a size that does not do as well is left, and tried again after a while. */
struct pack_auto {
    int32_t size;           /* in force; 0: none so far, taken as 1 */
    int32_t ceiling;        /* a size that did not go well; 0: none */
    int64_t held;           /* assignments decided since the ceiling was met */
    int64_t asked, valid;   /* assignments of calls at this size */
    double tokens;          /* of these calls */
    double tokens_each;     /* an assignment's at the size before; 0: not known */
};
int32_t pack_auto_size(const struct pack_auto *state);
/* A call of so many assignments was answered: so many of the answers stood; its tokens, -1 when not told. Calls of other sizes tell nothing but for one that was
 * refused as a whole. */
void pack_auto_told(struct pack_auto *state, size_t asked, size_t valid, int64_t tokens, bool is_whole);

#endif
