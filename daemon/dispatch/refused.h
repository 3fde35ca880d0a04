/* Refusals (429) of a run in a row, with no answer between. Embedded in what a run carries; all zero: none. Not for other rooms. */
#ifndef GALLOC_DISPATCH_REFUSED_H
#define GALLOC_DISPATCH_REFUSED_H

#include "core/limits.h"
#include "core/outcome.h"

struct call;
struct endpoint;
struct run_entry;

struct refused {
    const struct endpoint *endpoint; /* borrowed, compared alone: by whom */
    int64_t rounds;                  /* those of calls under way together are one */
    int64_t last_us;                 /* when the last was told */
    int64_t since_at_ms;             /* wall; of the first */
    char key[LIMIT_KEY_BYTES + 1];   /* of an assignment that was refused last */
};
void refused_note(const struct call *call, enum outcome_class class); /* how a call of the run ended */
bool run_is_refused(const struct run_entry *run); /* so often in a row that a person should look */
void refused_text(const struct run_entry *run, char *text, size_t size); /* added to the text: which, since when, what to do */

#endif
