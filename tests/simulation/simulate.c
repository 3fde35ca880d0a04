/* The deterministic simulation (R15): the daemon's own dispatcher, providers, rules, and its store with writer and readers, between fake clock, loop, mailboxes, network,
 * and a disk that fails on purpose; see world.h for the parts. A seed draws all that happens, so it is repeated by its number alone.
 *
 * The store is the real one, SQLite in a folder in memory (/dev/shm), and no fake that implements its contract: most of what is promised here (fences, budgets, expiry,
 * poison, what a failed commit means) is decided in the store's transactions, so a fake would be tested in its place. What makes it deterministic is that its threads take
 * turns with the simulation (fake_threads.h), and that its clock and its dice are fake.
 *
 * simulate [--seeds N] [--seed S] [--steps K] [--verbose]
 *
 * Runs the seeds S, S+1, … S+N-1 (1 from 1), each with K things that people do (40). A line for each that fails, with the command that repeats it; at the end a line of sums.
 * With --verbose every event is told. Exit status 1 when a seed failed. */
#include "tests/simulation/world.h"

#include "base/negative.h"
#include "base/parse.h"
#include "tests/unit/temp_dir.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 40
#define FOLDER_IN_MEMORY "/dev/shm"

struct options {
    int64_t seeds, seed, steps;
    bool is_verbose;
};

/* What all seeds came to. */
struct sums {
    int64_t failed, steps, calls, kills, faults, leases;
    uint64_t digest;
};

static int usage(void)
{
    fputs("usage: simulate [--seeds N] [--seed S] [--steps K] [--verbose]\n", stderr);
    return 2;
}

static bool options_read(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"seeds", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 'k'}, {"verbose", no_argument, NULL, 'v'}, {0}};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        int64_t *value = option == 'n' ? &options->seeds : option == 's' ? &options->seed : option == 'k' ? &options->steps : NULL;
        if (option == 'v')
            options->is_verbose = true;
        else if (value == NULL || parse_i64(optarg, 0, INT64_C(1) << 53, value, NULL) < 0)
            return false;
    }
    return optind == argc;
}

static void seed_run(int64_t seed, const struct options *options, struct sums *sums)
{
    struct temp_dir folder;
    temp_dir_make(&folder);
    bool is_well = world_run((uint64_t)seed, (int)options->steps, folder.path, options->is_verbose);
    temp_dir_remove(&folder);
    sums->steps += world.steps;
    sums->calls += world.calls;
    sums->kills += world.kills;
    sums->faults += world.faults;
    sums->leases += world.leases;
    sums->digest = sums->digest * UINT64_C(0x9e3779b97f4a7c15) + trace_digest();
    if (is_well)
        return;
    sums->failed++;
    printf("seed %lld: %s; again: tests/simulation/simulate --seed %lld --steps %lld --verbose\n", (long long)seed, world.failure, (long long)seed, (long long)options->steps);
    fflush(stdout);
}

/* For the leak sanitizer: what a killed daemon had in memory goes with it, and nobody frees it. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

int main(int argc, char **argv)
{
    struct options options = {.seeds = 1, .seed = 1, .steps = STEPS};
    struct sums sums = {0};
    if (!options_read(argc, argv, &options))
        return usage();
    if (getenv("TMPDIR") == NULL && access(FOLDER_IN_MEMORY, W_OK) == 0)
        setenv("TMPDIR", FOLDER_IN_MEMORY, 1);
    if (negative_text() != NULL)
        fprintf(stderr, "simulate: broken on purpose: %s\n", negative_text());
    for (int64_t i = 0; i < options.seeds; i++)
        seed_run(options.seed + i, &options, &sums);
    printf("seeds %lld failed %lld steps %lld calls %lld leases %lld kills %lld faults %lld digest %016llx\n", (long long)options.seeds, (long long)sums.failed,
           (long long)sums.steps, (long long)sums.calls, (long long)sums.leases, (long long)sums.kills, (long long)sums.faults, (unsigned long long)sums.digest);
    return sums.failed > 0 ? 1 : 0;
}
