/* The plain rule by which gallocsim allocates: an agent of the same place, of the speciality that the status asks for,
 * the least loaded; ties by a hash of the key. Depends on the prompt alone, and on whether the second best is taken
 * for once, as a model that is asked twice does not always say the same. One thread. */
#ifndef GALLOC_SIM_ALLOCATOR_H
#define GALLOC_SIM_ALLOCATOR_H

#include "sim/prompt.h"

struct allocation {
    struct text_span agent_id; /* borrowed from the prompt reader; at NULL: no candidate at all */
    struct buf reason;         /* owned; kept for the next call */
    double confidence;
};

/* `is_second`: the second best, where that one is as near and has room. */
void allocator_choose(const struct prompt_reader *prompt, bool is_second, struct allocation *ret_allocation);
void allocation_clear(struct allocation *allocation);

#endif
