/* What happens to a call: outage, key, quota, validity, poison, places, faults and latency, in this order. One thread.
 */
#ifndef GALLOC_SIM_VERDICT_H
#define GALLOC_SIM_VERDICT_H

#include "sim/quota_set.h"
#include "sim/tally.h"

struct judge {
    struct settings *settings; /* borrowed; faults counted by NAME_next are counted down in it */
    struct quota_set quotas;
    int64_t in_service;    /* calls that were let in and have not ended */
    double *worker_free_s; /* owned; when each worker is free */
    int64_t worker_count;
};

/* A call as it stands at its arrival. */
struct call_facts {
    enum call_route route;
    bool has_key, is_key_right, is_model_known, is_valid, is_test, is_reused;
    bool is_rest, is_rest_last; /* it asks for the rest of an answer, which ends with this call */
    struct text_span key;       /* of the assignment */
    double tokens;
    struct tally_arrival arrival;
    double now_s, wall_s;
};

struct verdict {
    enum kind kind;
    enum send_mode mode;
    double delay_s;             /* until the answer leaves */
    bool is_in_service;         /* judge_leave() is due at its end */
    struct chance chance;       /* for what the answer draws: ids, a lie */
    struct quota_refusal quota; /* of QUOTA and NO_QUOTA */
};

void judge_init(struct judge *judge, struct settings *settings);
void judge_clear(struct judge *judge);
void judge_configure(struct judge *judge); /* after the settings changed */
void judge_reset(struct judge *judge);     /* quotas and workers as at the start */

void judge_decide(struct judge *judge, const struct call_facts *call, struct verdict *ret_verdict);
void judge_leave(struct judge *judge);

#endif
