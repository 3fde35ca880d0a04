/* One quota: a token bucket, a fixed window or a sliding log, in requests or tokens. Times are given by the caller
 * (seconds on one running clock, and the wall clock's offset to it), so that tests need no waiting. One thread. */
#ifndef GALLOC_SIM_QUOTA_H
#define GALLOC_SIM_QUOTA_H

#include "sim/settings.h"

struct quota_plan {
    enum quota_kind kind;
    bool is_tokens; /* else requests */
    bool is_day;    /* how a refusal calls it */
    bool counts_refused;
    bool starts_at_first; /* a fixed window opens at the first request after the last one closed */
    bool is_pacific;      /* a day that ends at midnight in Los Angeles */
    double limit;         /* units a window; 0: no quota at all */
    double burst;         /* of a bucket, units */
    double window_s;      /* real */
    double nominal_s;     /* before time_scale; what a refusal's value is told for */
};

struct quota; /* a plan and what was used */

struct quota *quota_new(const struct quota_plan *plan);
void quota_free(struct quota *quota); /* NULL is fine */
const struct quota_plan *quota_plan(const struct quota *quota);

/* Another limit, burst or window on what was used so far (a quota that the operator of the API changes). False when the
 * kind differs: then it has to be made anew. */
bool quota_change(struct quota *quota, const struct quota_plan *plan);

/* Seconds from now_s until `units` fit; 0: now. More than the whole limit counts as the limit. wall_s = the wall clock
 * at now_s. */
double quota_wait_s(struct quota *quota, double now_s, double wall_s, double units);

void quota_take(struct quota *quota, double now_s, double units);   /* after quota_wait_s() at the same now_s */
void quota_refuse(struct quota *quota, double now_s, double units); /* a call was refused, by this or another quota */

/* Units that count at now_s; for statistics. */
double quota_used(struct quota *quota, double now_s, double wall_s);

#endif
