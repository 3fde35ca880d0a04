/* A store in a folder of its own with a loop beside it, driven step by step: what a test of the store needs, through the facade alone. */
#ifndef GALLOC_TESTS_STORE_RIG_H
#define GALLOC_TESTS_STORE_RIG_H

#include "store/query.h"
#include "store/store.h"
#include "tests/unit/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct rig {
    struct temp_dir dir;
    char path[80];
    struct loop *loop;
    struct store *store;
    struct store_image image;
    struct store_run last; /* the last summary that a commit told */
    int64_t told_count;
    int waiting; /* operations under way */
    int64_t wal_warn_bytes, wal_bytes; /* 0: as the daemon has them */
};

/* Opens a store in a new folder (rig of zeroes), or the one that is there. Fails the test when it cannot. */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);   /* the files stay */
void rig_reopen(struct rig *rig);
void rig_remove(struct rig *rig);  /* closes, and removes the folder */

/* cmocka's setup and teardown with a rig as the state. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Submits and runs the loop until it is done, 20 s at most. Returns its code; the operation stays the caller's. */
int rig_do(struct rig *rig, struct store_op *op);
/* The same for several, all submitted at once. */
void rig_do_all(struct rig *rig, struct store_op **ops, size_t count);
void rig_turn(struct rig *rig);         /* lets the loop run for a moment: to wait for what is no operation of rig_do */
void *rig_op(enum store_op_kind kind); /* an operation for rig_do */

/* One row of SQL run on the database file with the store closed: for breaking things and for counting what no query shows. */
void rig_sql(struct rig *rig, const char *sql);
int64_t rig_number(struct rig *rig, const char *sql); /* the first column of the first row; also while the store is open */

/* ---- runs ---- */
/* A create operation with `agents` agents a0, a1, … of this capacity (-1: no limit), name and source. Not submitted. */
struct store_run_create *rig_create_op(const char *name, int agents, int64_t capacity);
int64_t rig_run(struct rig *rig, const char *name, int agents, int64_t capacity); /* made; its id */
/* Imports part `part` of `count` rows with keys PREFIXnnnnnn and fields {"region":"north"|"south","n":i}, alternating. */
void rig_import(struct rig *rig, int64_t run, int64_t part, const char *prefix, int count);
int rig_commit(struct rig *rig, int64_t run, int64_t parts);
/* A committed run of `count` rows. */
int64_t rig_full_run(struct rig *rig, const char *name, int agents, int64_t capacity, int count);

/* ---- attempts ---- */
struct store_claim *rig_claim(struct rig *rig, int64_t run, int32_t max); /* done; the caller frees it with its rows */
/* Settles all rows of a claim, each with its result: succeeded by `agent`, or failed with class and message. Returns the first verdict. */
enum settle_verdict rig_succeed(struct rig *rig, const struct store_claim *claim, int64_t ledger, int64_t agent);
enum settle_verdict rig_fail(struct rig *rig, const struct store_claim *claim, enum outcome_class class, const char *message, int32_t http_status);
enum settle_verdict rig_hold(struct rig *rig, const struct store_claim *claim, const char *message);

/* The ledger of a run and its first agent. */
void rig_seat(struct rig *rig, int64_t run, int64_t *ret_ledger, int64_t *ret_agent);
/* A run of `rows` rows: 3 succeeded, 2 failed, 1 leased, the rest pending. */
int64_t rig_mixed_run(struct rig *rig, int count);

/* ---- reading ---- */
struct store_read *rig_read(struct rig *rig, enum store_query query, int64_t run, int64_t after, int32_t limit); /* done with code 0 */
struct store_read *rig_read_key(struct rig *rig, enum store_query query, int64_t run, const char *key);          /* whatever its code */
/* A run as QUERY_RUN gives it; clear with store_run_clear. */
void rig_show(struct rig *rig, int64_t run, struct store_run *ret_run);
char **rig_list(const char *first, ...); /* a NULL-ended list of copies, for a selector */

#endif
