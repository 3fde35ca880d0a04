/* The pacer's discrete-event simulation: the daemon's own pacer (core/pacer.h), or one of its rivals, against servers in virtual time. The same seed gives the same
 * run. Exit status 1 if a bar is missed, 2 for a wrong option. */
#include "tests/sim/export.h"
#include "tests/sim/judge.h"

#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: pacing [--scenario NAME[,NAME...]] [--seeds N] [--seed N] [--policy NAME[,NAME...]] [--n N] [--hints none|ra|full] [--short] [--trace] [--markdown]\n              [--list] [--export PERCENT]\n"
    "  --scenario  P1, P3h, c1, ...; P means all of that letter, \"all\" everything (default: those with a bar)\n"
    "  --seeds     runs of each (default: 20)\n"
    "  --policy    galloc (default), oracle, seed, pool5, pool64, aimd, aws; bars are held against galloc alone\n"
    "  --n         so many assignments instead of the scenario's\n"
    "  --hints     what refusals tell, instead of the scenario's\n"
    "  --short     the scenarios whose bars are met today, by 3 seeds unless told otherwise, those of a median by 11\n"
    "  --seed      the first seed (default: 1); with --trace the one\n"
    "  --trace     one run: what the pacer made of it, and accepted/refused in steps of 10 s\n"
    "  --markdown  as a table\n"
    "  --list      names and words\n"
    "  --export    for the real form (bench/pacing): gallocsim's settings and the bars as JSON, a line each, times shrunk to PERCENT of theirs\n";

struct options {
    struct judge_how how;
    const char *names, *policies;
    bool is_short, is_trace, is_markdown, is_list;
    int64_t export_percent; /* 0: nothing is exported */
};

static const struct policy *const policies[] = {&policy_galloc, &policy_oracle, &policy_seed, &policy_pool5, &policy_pool64, &policy_aimd, &policy_aws};

/* Is `name` among the comma-separated `names`, or does one of these begin it (P1 is not the beginning of P10, nor P13 a name of its own)? */
static bool is_named(const char *name, const char *names)
{
    for (const char *at = names; *at != '\0'; at += *at == ',') {
        size_t len = strcspn(at, ",");
        bool begins = len > 0 && strncmp(name, at, len) == 0;
        bool ends_in_digit = len > 0 && at[len - 1] >= '0' && at[len - 1] <= '9';
        bool goes_on = name[len < strlen(name) ? len : strlen(name)] >= '0' && name[len < strlen(name) ? len : strlen(name)] <= '9';
        if (begins && !(ends_in_digit && goes_on))
            return true;
        at += len;
    }
    return false;
}

static bool is_wanted(const struct scenario *scenario, const struct options *options)
{
    const struct bar *bar = &scenario->bar;
    if (options->is_short && !scenario->is_met)
        return false;
    if (options->names == NULL)
        return options->is_short || bar->ratio > 0 || bar->refused >= 0 || bar->check != CHECK_NOTHING;
    return strcmp(options->names, "all") == 0 || is_named(scenario->name, options->names);
}

static const struct policy *policy_named(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
        if (strlen(policies[i]->name) == len && strncmp(policies[i]->name, name, len) == 0)
            return policies[i];
    return NULL;
}

/* ---- trace ---- */

static void print_mind(struct world *world, const char *mind)
{
    const struct world_counts *counts = world_counts(world);
    printf("%9.2f s  %6" PRId64 " calls, %5" PRId64 " refused  %s\n", (double)world_now_us(world) / 1e6, counts->calls, counts->refused + counts->unavailable, mind);
}

static int64_t count_until(const struct record_times *times, size_t *from, int64_t until_us)
{
    size_t first = *from;
    while (*from < times->count && times->at_us[*from] < until_us)
        (*from)++;
    return (int64_t)(*from - first);
}

static void trace(const struct scenario *scenario, const struct judge_how *how)
{
    enum { STEP_US = 10000000, IN_A_LINE = 12 };
    uint64_t seed = how->first_seed;
    struct world *world = judge_world(scenario, how, how->policy, seed);
    printf("%s, %s, seed %" PRIu64 "\n", scenario->name, scenario->text, seed);
    world_run(world);
    size_t a = 0, r = 0;
    const struct record *record = world_record(world);
    printf("accepted/refused in steps of 10 s:");
    for (int64_t step = 0; step * STEP_US <= world_now_us(world); step++) {
        int64_t yes = count_until(&record->accepted, &a, (step + 1) * STEP_US), no = count_until(&record->rejected, &r, (step + 1) * STEP_US);
        if (step % IN_A_LINE == 0)
            printf("\n%7" PRId64 " s ", step * 10);
        printf(" %3" PRId64 "/%-3" PRId64, yes, no);
    }
    printf("\n");
    world_free(world);
}

/* ---- lines ---- */

static void print_head(const struct options *options)
{
    if (options->is_markdown)
        puts("| | server | n | policy | worst | median | time | refused (worst) | wasted | charged | lost | bar | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    else
        printf("%-15s %-7s %6s  %-19s %9s  %-12s %-8s %-7s %-5s bar\n", "scenario", "policy", "n", "worst (seed)/median", "time", "refused", "wasted", "charged", "lost");
}

static bool print_judgement(const struct scenario *scenario, const struct options *options, const struct judge_how *how)
{
    struct judgement j;
    judge(scenario, how, &j);
    bool is_held = how->policy == &policy_galloc && j.has_bar && how->items == 0 && how->hints < 0;
    const char *word = !is_held ? "" : j.is_met ? "met" : "MISSED";
    int64_t items = how->items > 0 ? how->items : scenario->items;
    if (options->is_markdown)
        printf("| %s | %s | %" PRId64 " | %s | %.3f | %.3f | %.0f s | %" PRId64 " (%" PRId64 ") | %.1f %% | %" PRId64 " | %" PRId64 " | %s | %s |\n", scenario->name, scenario->text, items,
               how->policy->name, j.ratio_worst, j.ratio_median, j.makespan_median_s, j.refused_median, j.refused_worst, j.wasted_median * 100, j.charged_worst, j.lost, is_held ? j.bar : "", word);
    else
        printf("%-15s %-7s %6" PRId64 "  %.3f (%3" PRIu64 ") / %.3f   %7.1f s  %4" PRId64 " (%4" PRId64 ")  %5.2f %%  %7" PRId64 " %5" PRId64 "  %s%s%s\n", scenario->name, how->policy->name, items,
               j.ratio_worst, j.worst_seed, j.ratio_median, j.makespan_median_s, j.refused_median, j.refused_worst, j.wasted_median * 100, j.charged_worst, j.lost, word, is_held ? ": " : "", is_held ? j.bar : "");
    fflush(stdout);
    return !is_held || j.is_met;
}

/* ---- options ---- */

static int wrong(const char *what)
{
    fprintf(stderr, "pacing: %s\n%s", what, usage);
    return 2;
}

static bool read_number(const char *text, int64_t most, int64_t *ret_number)
{
    return text != NULL && parse_i64(text, 1, most, ret_number, NULL) == 0;
}

static int read_value(struct options *options, const char *name, const char *value)
{
    static const char *const hints[] = {[HINT_NONE] = "none", [HINT_RETRY_AFTER] = "ra", [HINT_FULL] = "full"};
    int64_t number;
    if (strcmp(name, "--scenario") == 0 && value != NULL) {
        options->names = value;
    } else if (strcmp(name, "--policy") == 0 && value != NULL) {
        options->policies = value;
    } else if (strcmp(name, "--seeds") == 0 && read_number(value, JUDGE_SEEDS_MAX, &number)) {
        options->how.seeds = (int)number;
    } else if (strcmp(name, "--seed") == 0 && read_number(value, INT64_C(1) << 40, &number)) {
        options->how.first_seed = (uint64_t)number;
    } else if (strcmp(name, "--n") == 0 && read_number(value, 1000000, &number)) {
        options->how.items = number;
    } else if (strcmp(name, "--export") == 0 && read_number(value, 100, &number)) {
        options->export_percent = number;
    } else if (strcmp(name, "--hints") == 0 && value != NULL) {
        for (size_t i = 0; i < ARRAY_COUNT(hints); i++)
            if (strcmp(hints[i], value) == 0)
                options->how.hints = (int)i;
        return options->how.hints < 0 ? wrong("--hints takes none, ra or full") : 0;
    } else {
        fprintf(stderr, "pacing: %s is no option, or has no value that it takes\n%s", name, usage);
        return 2;
    }
    return 0;
}

static int read_options(int argc, char **argv, struct options *options)
{
    const struct {
        const char *name;
        bool *is_set;
    } flags[] = {{"--short", &options->is_short}, {"--trace", &options->is_trace}, {"--markdown", &options->is_markdown}, {"--list", &options->is_list}};
    for (int i = 1; i < argc; i++) {
        size_t flag = 0;
        while (flag < ARRAY_COUNT(flags) && strcmp(argv[i], flags[flag].name) != 0)
            flag++;
        if (flag < ARRAY_COUNT(flags)) {
            *flags[flag].is_set = true;
            continue;
        }
        int rc = read_value(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (rc != 0)
            return rc;
        i++;
    }
    return 0;
}

static void export_line(const struct scenario *scenario, double scale, uint64_t seed)
{
    struct buf line = BUF_EMPTY;
    export_scenario(scenario, scale, seed, &line);
    puts(buf_text(&line));
    buf_clear(&line);
}

/* What was asked for; else 20, or in the short form so many that a median is one. */
static int seeds_of(const struct options *options, const struct bar *bar)
{
    enum { ALL = 20, SHORT = 3, SHORT_MEDIAN = 11 };
    if (options->how.seeds > 0)
        return options->how.seeds;
    return !options->is_short ? ALL : bar->is_median ? SHORT_MEDIAN : SHORT;
}

/* All wanted scenarios by one policy. */
static bool run_policy(const struct options *options, const struct policy *policy, size_t *runs)
{
    bool is_met = true;
    struct judge_how how = options->how;
    how.policy = policy;
    how.trace = options->is_trace ? print_mind : NULL;
    for (size_t i = 0; i < scenario_count; i++) {
        if (!is_wanted(&scenarios[i], options))
            continue;
        (*runs)++;
        how.seeds = seeds_of(options, &scenarios[i].bar);
        if (options->is_list)
            printf("%-15s %6" PRId64 "  %s\n", scenarios[i].name, scenarios[i].items, scenarios[i].text);
        else if (options->export_percent > 0)
            export_line(&scenarios[i], (double)options->export_percent / 100, how.first_seed);
        else if (options->is_trace)
            trace(&scenarios[i], &how);
        else
            is_met &= print_judgement(&scenarios[i], options, &how);
    }
    return is_met;
}

int main(int argc, char **argv)
{
    struct options options = {.how = {.hints = -1, .first_seed = 1}, .policies = "galloc"};
    bool is_met = true;
    size_t runs = 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    int rc = read_options(argc, argv, &options);
    if (rc != 0)
        return rc;
    if (!options.is_trace && !options.is_list && options.export_percent == 0)
        print_head(&options);
    for (const char *at = options.policies; *at != '\0'; at += *at == ',') {
        size_t len = strcspn(at, ",");
        const struct policy *policy = policy_named(at, len);
        if (policy == NULL)
            return wrong("no such policy");
        is_met &= run_policy(&options, policy, &runs);
        at += len;
    }
    return runs == 0 && !options.is_short ? wrong("no such scenario") : is_met ? 0 : 1;
}
