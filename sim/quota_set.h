/* All quotas of the server: those of rpm, tpm, rpd, tpd, those of the list `quotas`, and the other client that uses
 * them too. */
#ifndef GALLOC_SIM_QUOTA_SET_H
#define GALLOC_SIM_QUOTA_SET_H

#include "sim/chance.h"
#include "sim/quota.h"

#define QUOTA_SET_MAX 16

struct quota_set {
    struct quota *quotas[QUOTA_SET_MAX]; /* owned */
    size_t count;
    double background_per_s, background_at_s; /* the other client: its rate, and when it calls next */
    struct chance chance;
};

/* What a refusal tells. */
struct quota_refusal {
    const struct quota_plan *plans[QUOTA_SET_MAX]; /* borrowed: all that do not let the call in */
    size_t count;
    const struct quota_plan *worst; /* that of them which makes wait longest; one of limit 0 before all others */
    double wait_s;                  /* real seconds, until all let it in */
};

int quota_set_check(const struct settings *settings, struct galloc_error *error) MUST_CHECK;

/* Puts the settings in force: what was used stays where a quota of the same sort stands at the same place. Checked
 * settings only. */
void quota_set_configure(struct quota_set *set, const struct settings *settings);
void quota_set_reset(struct quota_set *set, const struct settings *settings); /* nothing used */
void quota_set_clear(struct quota_set *set);

/* A call arrives. True: taken from every quota. False: refused, ret_refusal says by which one and for how long. */
bool quota_set_take(struct quota_set *set, double now_s, double wall_s, double tokens,
                    struct quota_refusal *ret_refusal);

#endif
