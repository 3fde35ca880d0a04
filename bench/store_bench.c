/* How fast the store alone is: import, and leasing and settling as the dispatcher does it, without HTTP or a model. A line a figure.
 *   store_bench DIR [ROWS [IN_FLIGHT [PER_SETTLE]]]
 *   store_bench --lease BATCH DIR [ROWS [WORKERS]]   leases of so many rows and their verdicts, as outside workers send them */
#include "base/clock.h"
#include "tests/contract/store_front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PART_ROWS 3500 /* about 1 MiB of rows of 300 bytes */

struct bench {
    struct front front;
    struct store_pool pool;
    int64_t run, rows, settled, in_flight, per_settle, leased;
    bool is_ended;
    int64_t part, parts;
    unsigned scatter;
};

static struct bench bench;

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const char *what, int64_t count, int64_t began_us, double began_cpu, const struct store_stats *before)
{
    struct store_stats after;
    store_stats(bench.front.store, &after);
    double took = (double)(clock_mono_us() - began_us) / 1e6;
    int64_t commits = after.commits - before->commits;
    printf("%-18s %9lld rows %8.2f s %9.0f rows/s %7lld commits %6.2f ms each %5.2f of a core\n", what, (long long)count, took, (double)count / took,
           (long long)commits, commits == 0 ? 0.0 : (double)(after.commit_us_sum - before->commit_us_sum) / 1e3 / (double)commits,
           (cpu_s() - began_cpu) / took);
}

/* ---- import: the next part goes out when the last one was answered, as gallocctl does it; it is made before ---- */
static struct store_import *next;

static void part_make(void)
{
    int64_t first = bench.part * PART_ROWS + 1, left = bench.rows - first + 1;
    bench.part++;
    next = left <= 0 ? NULL
                     : make_part(bench.run, bench.part, first, left < PART_ROWS ? left : PART_ROWS, 300, bench.scatter, NULL, NULL);
}

static void on_part(struct store_op *op)
{
    if (op->code < 0) {
        fprintf(stderr, "import: %s\n", op->error.message);
        exit(1);
    }
    store_op_free(op);
    if (next == NULL) {
        bench.is_ended = true;
        loop_stop(bench.front.loop);
        return;
    }
    next->op.done = on_part;
    store_submit(bench.front.store, &next->op);
    part_make();
}

static void import_all(const char *what, unsigned scatter)
{
    struct store_run_create *create = make_run(29, -1, NULL, NULL);
    front_do(&bench.front, &create->op);
    bench.run = create->ret_run.id;
    store_pool_clear(&bench.pool);
    bench.pool = create->ret_pool;
    create->ret_pool = (struct store_pool){0};
    store_op_free(&create->op);
    bench.part = 0;
    bench.scatter = scatter;
    bench.is_ended = false;
    struct store_stats before;
    store_stats(bench.front.store, &before);
    int64_t began_us = clock_mono_us();
    double cpu = cpu_s();
    part_make();
    struct store_import *first = next;
    part_make();
    first->op.done = on_part;
    store_submit(bench.front.store, &first->op);
    front_wait(&bench.front, &bench.is_ended, 3600000);
    report(what, bench.rows, began_us, cpu, &before);
    front_do_free(&bench.front, &make_commit(bench.run, (bench.rows + PART_ROWS - 1) / PART_ROWS, NULL, NULL)->op);
}

/* ---- leasing and settling: as many in flight as the dispatcher has slots, settled as they are answered ---- */
static void claim_more(void);

static void on_settle(struct store_op *op)
{
    struct store_settle *settle = CONTAINER_OF(op, struct store_settle, op);
    for (size_t i = 0; i < settle->count; i++)
        bench.settled += settle->items[i].ret_verdict == VERDICT_DONE;
    bench.leased -= (int64_t)settle->count;
    store_op_free(op);
    if (bench.settled == bench.rows) {
        bench.is_ended = true;
        loop_stop(bench.front.loop);
    }
    claim_more();
}

static void on_claim(struct store_op *op)
{
    struct store_claim *claim = CONTAINER_OF(op, struct store_claim, op);
    bench.leased += (int64_t)claim->ret_count - claim->max;
    for (size_t at = 0; at < claim->ret_count;) {
        size_t count = claim->ret_count - at < (size_t)bench.per_settle ? claim->ret_count - at : (size_t)bench.per_settle;
        store_submit(bench.front.store, &make_settle(claim, at, count, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &bench.pool, on_settle, NULL)->op);
        at += count;
    }
    store_op_free(op);
}

static void claim_more(void)
{
    int64_t room = bench.in_flight - bench.leased;
    if (bench.is_ended || room < bench.in_flight / 4 + 1)
        return;
    bench.leased += room;
    store_submit(bench.front.store, &make_claim(bench.run, (int)room, on_claim, NULL)->op);
}

static void dispatch_all(void)
{
    struct store_stats before;
    store_stats(bench.front.store, &before);
    int64_t began_us = clock_mono_us();
    double cpu = cpu_s();
    bench.is_ended = false;
    bench.settled = bench.leased = 0;
    claim_more();
    front_wait(&bench.front, &bench.is_ended, 3600000);
    report("claim and settle", bench.rows, began_us, cpu, &before);
}

/* ---- outside workers: each takes a batch, tells of all of it, takes the next ---- */
static int64_t batch_rows;

static void lease_more(void);

static void on_verdicts(struct store_op *op)
{
    struct store_verdicts *verdicts = CONTAINER_OF(op, struct store_verdicts, op);
    for (size_t i = 0; i < verdicts->count; i++)
        bench.settled += verdicts->items[i].ret_verdict == VERDICT_OF_SUCCEEDED;
    store_op_free(op);
    if (bench.settled == bench.rows) {
        bench.is_ended = true;
        loop_stop(bench.front.loop);
    }
    lease_more();
}

static void on_lease(struct store_op *op)
{
    struct store_claim *claim = CONTAINER_OF(op, struct store_claim, op);
    if (claim->ret_count > 0)
        store_submit(bench.front.store, &make_verdicts(claim, 0, claim->ret_count, OUTCOME_SUCCEEDED, &bench.pool, on_verdicts, NULL)->op);
    store_op_free(op);
}

static void lease_more(void)
{
    store_submit(bench.front.store, &make_lease(bench.run, (int)batch_rows, "worker", 60000, on_lease, NULL)->op);
}

static void lease_all(int64_t workers)
{
    struct store_stats before;
    store_stats(bench.front.store, &before);
    int64_t began_us = clock_mono_us();
    double cpu = cpu_s();
    for (int64_t i = 0; i < workers; i++)
        lease_more();
    front_wait(&bench.front, &bench.is_ended, 3600000);
    report("lease and verdicts", bench.rows, began_us, cpu, &before);
}

static int main_lease(int argc, char **argv)
{
    struct galloc_error error;
    batch_rows = strtoll(argv[2], NULL, 10);
    bench.rows = argc > 4 ? strtoll(argv[4], NULL, 10) : 100000;
    char *path = xasprintf("%s/bench.db", argv[3]);
    if (front_open(&bench.front, path, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    import_all("import, in order", 0);
    bench.is_ended = false;
    lease_all(argc > 5 ? strtoll(argv[5], NULL, 10) : 1);
    front_close(&bench.front);
    store_pool_clear(&bench.pool);
    free(path);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "--lease") == 0)
        return main_lease(argc, argv);
    if (argc < 2) {
        fprintf(stderr, "usage: store_bench [--lease BATCH] DIR [ROWS [IN_FLIGHT [PER_SETTLE]]]\n");
        return 2;
    }
    bench.rows = argc > 2 ? strtoll(argv[2], NULL, 10) : 100000;
    bench.in_flight = argc > 3 ? strtoll(argv[3], NULL, 10) : 64;
    bench.per_settle = argc > 4 ? strtoll(argv[4], NULL, 10) : 1;
    char *path = xasprintf("%s/bench.db", argv[1]);
    struct galloc_error error;
    if (front_open(&bench.front, path, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    import_all("import, in order", 0);
    dispatch_all();
    import_all("import, random", 1);
    front_close(&bench.front);
    int64_t began_us = clock_mono_us();
    if (front_open(&bench.front, path, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("%-18s %9.1f ms\n", "opening", (double)(clock_mono_us() - began_us) / 1e3);
    front_close(&bench.front);
    store_pool_clear(&bench.pool);
    free(path);
    return 0;
}
