/* enqueue --ab PROFILE_A,PROFILE_B: two runs of one file, each with a ledger of its own that begins alike, so that neither sees the other's places. One thread. */
#ifndef GALLOC_CLI_AB_H
#define GALLOC_CLI_AB_H

#include "cli/plan.h"

enum { AB_SIDES = 2, AB_SAMPLE_MAX = 1000000, AB_SEED = 1 /* where --seed is not given */ };

/* The two profiles, borrowed from the command line. 0, or -GALLOC_USAGE: they are not two different ones, or another option leaves nothing to compare. */
int ab_profiles(const struct args *args, const char *ret_profiles[AB_SIDES], struct galloc_error *error) MUST_CHECK;

/* Does the daemon know both? 0, or -GALLOC_USAGE with the nearest. */
int ab_check_profiles(struct cli *cli, const char *const profiles[AB_SIDES], struct galloc_error *error) MUST_CHECK;

/* With --pool: the pool's agents with what they hold now, into the plan, so that both sides begin with the same copy. */
int ab_copy_pool(struct cli *cli, struct plan *plan, struct galloc_error *error) MUST_CHECK;

/* gallocctl enqueue with --ab. The exit status. */
int ab_enqueue(struct cli *cli, const char *path);

#endif
