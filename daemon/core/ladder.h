/* A run's endpoints in order (enqueue --endpoint A,B,C): when it goes on to the next, and when it comes back. The run is always on the first endpoint that is well;
 * which of an endpoint's troubles move it is the one table in ladder.c. Nothing of this is stored: it follows from how the endpoints are. Pure; any thread. */
#ifndef GALLOC_CORE_LADDER_H
#define GALLOC_CORE_LADDER_H

#include "base/code.h"
#include "core/outcome.h"

#define LADDER_MOST 8           /* endpoints of a run */
#define LADDER_OUTAGE_MS 30000  /* an outage that is shorter is waited out: a rehearsed failover for a hiccup would change who decides for nothing */

/* How an endpoint is. */
struct ladder_seen {
    bool is_known;     /* in the configuration */
    int down_class;    /* enum outcome_class; -1: up */
    bool has_no_day;   /* its requests of the day are used up, by its own word or by the configured rpd */
    int64_t open_ms;   /* for how long its breaker has been open; 0: it is not */
};

enum ladder_state { LADDER_WELL, LADDER_WAITS /* comes back by itself */, LADDER_DOWN /* a person has to do something */ };

/* Why a run would not be on it: an outcome class, and how long that lasts. LADDER_WELL: no reason (*ret_class is untouched). */
enum ladder_state ladder_judge(const struct ladder_seen *seen, enum outcome_class *ret_class);

/* Which one of them the run is on: the first that is well; where none is, the first that comes back by itself; where none does, the first. */
size_t ladder_choose(const struct ladder_seen *seen, size_t count);

/* Reads "A,B,C" into owned names, NULL-ended. 0, or -GALLOC_INVALID_VALUE: an empty name, one twice, `workers` beside others, too many. The caller frees with
 * ladder_names_free(). */
int ladder_names(const char *text, char ***ret_names, struct galloc_error *error) MUST_CHECK;
void ladder_names_free(char **names); /* NULL is fine */

#endif
