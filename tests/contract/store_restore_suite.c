/* What every engine keeps of a restore: all that the copy held stands; numbers of leases and events are never given again; what was under way is told as lost and
 * spends nothing; every open run waits for a person; whoever comes from before finds nothing of his. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/query.h"
#include "tests/contract/store_lease_bed.h"
#include "tests/unit/whole_file.h"

#include "base/clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { ALL = 24, HELD = 6, OUTSIDE = 5, DONE = 4 };

static const atomic_bool never_ends;

/* ---- a store with something of everything ---- */
struct world {
    struct scene scene;
    char copy[96];
    struct store_claim *held, *outside; /* under way when the copy is made */
    int64_t copied_at_ms, last_seq;
};

static void settle(struct world *world, const struct store_claim *claim, size_t from, size_t count)
{
    assert_int_equal(bed_do_free(&world->scene.bed, &make_settle(claim, from, count, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &world->scene.pool, NULL, NULL)->op), 0);
}

static void copy_make(struct world *world)
{
    struct galloc_error error;
    snprintf(world->copy, sizeof world->copy, "%s/copy", world->scene.bed.dir.path);
    if (world->scene.bed.ops->copy(world->scene.bed.path, world->copy, &never_ends, &world->copied_at_ms, &error) < 0 ||
        world->scene.bed.ops->copy_check(world->copy, true, &never_ends, &error) < 0)
        fail_msg("%s", error.message);
}

static void world_begin(struct world *world)
{
    *world = (struct world){.last_seq = 0};
    scene_begin(&world->scene, bed_engine, ALL, 3, -1);
    struct bed *bed = &world->scene.bed;
    struct store_claim *done = bed_claim(bed, world->scene.run, DONE);
    settle(world, done, 0, DONE);
    store_op_free(&done->op);
    world->held = bed_claim(bed, world->scene.run, HELD);
    world->outside = scene_lease(&world->scene, OUTSIDE, "w1", OUTSIDE);
    struct store_endpoint_state_op *learned = store_op_new(OP_ENDPOINT_STATE, NULL, NULL);
    learned->state = (struct store_endpoint_state){.endpoint = xstrdup("gemini"), .down_class = -1, .learned = xstrdup("{\"rate\":7}")};
    assert_int_equal(bed_do_free(bed, &learned->op), 0);
    copy_make(world);
}

static void world_end(struct world *world)
{
    store_op_free(&world->held->op);
    store_op_free(&world->outside->op);
    scene_end(&world->scene);
}

/* Puts it in place, and opens the store. */
static struct store_restore restore(struct world *world, const char *copy)
{
    struct bed *bed = &world->scene.bed;
    struct galloc_error error;
    struct store_restore done = {.path = bed->path, .name = copy, .log_fd = -1, .fd = open(copy, O_RDONLY | O_CLOEXEC)};
    bed_close(bed);
    int rc = bed->ops->restore(&done, &error);
    if (rc < 0)
        fail_msg("restore: %s", error.message);
    close(done.fd);
    free(done.ret_kept);
    bed_open(bed);
    bed->run = bed->image.runs[0];
    bed_check(bed);
    return done;
}

static void resume(struct world *world)
{
    struct store_run_pause *pause = store_op_new(OP_RUN_PAUSE, NULL, NULL);
    pause->run = world->scene.run;
    pause->clear = PAUSE_BIT(PAUSE_CAUSE_COUNT) - 1;
    pause->is_by_person = true;
    assert_int_equal(bed_do_free(&world->scene.bed, &pause->op), 0);
}

static void expect_text(const char *text, const char *words)
{
    if (text == NULL || strstr(text, words) == NULL)
        fail_msg("'%s' expected in: %s", words, text ? text : "nothing");
}

/* ---- the copy's content ---- */
static void test_what_the_copy_held_stands(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    settle(&world, world.held, 0, HELD); /* after the copy: gone with the restore */
    struct store_restore done = restore(&world, world.copy);
    assert_int_equal(done.ret_incarnation, 2);
    assert_int_equal(done.ret_at_ms, world.copied_at_ms);
    assert_int_equal(done.ret_run_count, 1);
    assert_int_equal(done.ret_call_count, HELD);
    assert_int_equal(done.ret_lease_count, 1);
    scene_check_states(&world.scene, ALL - DONE, 0, DONE, 0);
    const struct store_run *run = &world.scene.bed.image.runs[0];
    assert_int_equal(run->counts[COUNT_CLASS + OUTCOME_LOST], HELD + OUTSIDE);
    assert_int_equal(run->counts[COUNT_CLASS + OUTCOME_TRANSIENT], 0);
    assert_int_equal(world.scene.bed.image.endpoint_count, 1);
    assert_string_equal(world.scene.bed.image.endpoints[0].learned, "{\"rate\":7}");
    assert_int_equal(world.scene.bed.image.lease_count, 0);
    world_end(&world);
}

static void test_open_runs_wait_for_a_person(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct store_run_pause *pause = store_op_new(OP_RUN_PAUSE, NULL, NULL);
    pause->run = world.scene.run;
    pause->set = PAUSE_BIT(PAUSE_BUDGET);
    pause->text = xstrdup("the budget is spent");
    assert_int_equal(bed_do_free(&world.scene.bed, &pause->op), 0);
    unlink(world.copy);
    copy_make(&world);
    restore(&world, world.copy);
    const struct store_run *run = &world.scene.bed.image.runs[0];
    char at[CLOCK_TEXT_MAX];
    assert_int_equal(run->pauses, PAUSE_BIT(PAUSE_RESTORED) | PAUSE_BIT(PAUSE_BUDGET));
    expect_text(run->pause_text, clock_rfc3339(world.copied_at_ms, at));
    expect_text(run->pause_text, "paid for, again");
    expect_text(run->pause_text, "before that: the budget is spent");
    store_op_free(&scene_lease(&world.scene, 1, "w", 0)->op); /* nothing goes out */
    resume(&world);
    bed_close(&world.scene.bed);
    bed_open(&world.scene.bed); /* and it is over for good */
    assert_int_equal(world.scene.bed.image.runs[0].pauses, 0);
    world_end(&world);
}

/* A run that is done stays done, and one that imports waits, too. */
static void test_ended_runs_stay_ended(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct bed *bed = &world.scene.bed;
    struct store_pool pool;
    int64_t second = bed_run(bed, 3, 1, -1, &pool);
    struct store_claim *claim = bed_claim(bed, second, 3);
    assert_int_equal(bed_do_free(bed, &make_settle(claim, 0, 3, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &pool, NULL, NULL)->op), 0);
    store_op_free(&claim->op);
    store_pool_clear(&pool);
    assert_int_equal(bed_do_free(bed, &make_run(1, -1, NULL, NULL)->op), 0);
    unlink(world.copy);
    copy_make(&world);
    struct store_restore done = restore(&world, world.copy);
    assert_int_equal(done.ret_run_count, 2);
    assert_int_equal(bed->image.run_count, 3);
    assert_int_equal(bed->image.runs[1].state, RUN_DONE);
    assert_int_equal(bed->image.runs[1].pauses, 0);
    assert_int_equal(bed->image.runs[2].state, RUN_IMPORTING);
    assert_int_equal(bed->image.runs[2].pauses, PAUSE_BIT(PAUSE_RESTORED));
    world_end(&world);
}

/* ---- who comes from before ---- */
static void test_former_leases_are_over(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct scene *scene = &world.scene;
    struct store_claim *later = scene_lease(scene, 2, "w2", 2); /* never in the copy */
    restore(&world, world.copy);
    assert_int_equal(scene_renew(scene, world.outside->ret_lease, 0, NULL), -GALLOC_LEASE_LOST);
    assert_int_equal(scene_give_back(scene, world.outside->ret_lease, NULL), -GALLOC_LEASE_LOST);
    assert_int_equal(scene_renew(scene, later->ret_lease, 0, NULL), -GALLOC_LEASE_LOST);
    for (size_t i = 0; i < OUTSIDE; i++)
        assert_int_equal(scene_verdict(scene, world.outside, i, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    assert_int_equal(scene_verdict(scene, later, 0, OUTCOME_SUCCEEDED), VERDICT_OF_STALE);
    struct store_settle *settle = make_settle(world.held, 0, HELD, MOVE_SUCCEED, OUTCOME_SUCCEEDED, &scene->pool, NULL, NULL);
    assert_int_equal(bed_do(&scene->bed, &settle->op), 0);
    for (size_t i = 0; i < HELD; i++)
        assert_int_equal(settle->items[i].ret_verdict, VERDICT_STALE);
    store_op_free(&settle->op);
    scene_check_attempt(scene, world.outside->ret_rows[0].key, 0, "lost", "w1", "restored from a backup");
    assert_int_equal(bed_state_count(&scene->bed, ASSIGNMENT_SUCCEEDED), DONE);
    store_op_free(&later->op);
    world_end(&world);
}

/* The rows that outside workers had cost them nothing: others go out with them as before. */
static void test_outside_rows_do_not_go_alone(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    restore(&world, world.copy);
    resume(&world);
    struct store_claim *again = scene_lease(&world.scene, ALL, "w3", ALL - DONE);
    store_op_free(&again->op);
    world_end(&world);
}

static int64_t seq_now(struct world *world)
{
    struct store_audit *audit = store_op_new(OP_AUDIT, NULL, NULL);
    audit->verb = xstrdup("test");
    audit->target = xstrdup("test");
    assert_int_equal(bed_do(&world->scene.bed, &audit->op), 0);
    int64_t seq = audit->op.seq_first;
    store_op_free(&audit->op);
    return seq;
}

static int64_t lease_now(struct world *world)
{
    struct store_claim *claim = scene_lease(&world->scene, 1, "w", 1);
    int64_t lease = claim->ret_lease;
    store_op_free(&claim->op);
    return lease;
}

/* Numbers given after the copy was made are not given again: neither where the former database is there, nor where it is lost, nor where the clock is behind. */
static void test_numbers_are_not_given_again(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_lost;
        int64_t clock_ms;
    } rows[] = {{"there", false, 1000}, {"lost", true, 1000}, {"there again", false, 1}, {"lost again", true, 5}, {"clock behind", false, -1000000000}};
    struct world world;
    world_begin(&world);
    int64_t lease = lease_now(&world), seq = seq_now(&world), incarnation = 1;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].is_lost) {
            bed_close(&world.scene.bed);
            unlink(world.scene.bed.path);
            char *log = xasprintf("%s-wal", world.scene.bed.path);
            unlink(log);
            free(log);
        }
        clock_fake(clock_mono_us() + 1000000, clock_wall_ms() + rows[i].clock_ms);
        struct store_restore done = restore(&world, world.copy);
        if (rows[i].is_lost ? done.ret_incarnation < 2 : done.ret_incarnation <= incarnation)
            fail_msg("%s: incarnation %lld after %lld", rows[i].name, (long long)done.ret_incarnation, (long long)incarnation);
        if (world.scene.bed.image.seq <= seq)
            fail_msg("%s: events begin at %lld, and %lld was given", rows[i].name, (long long)world.scene.bed.image.seq, (long long)seq);
        resume(&world);
        int64_t lease_here = lease_now(&world), seq_here = seq_now(&world);
        if (lease_here <= lease || seq_here <= seq)
            fail_msg("%s: lease %lld after %lld, event %lld after %lld", rows[i].name, (long long)lease_here, (long long)lease, (long long)seq_here, (long long)seq);
        assert_true(lease_here < INT64_C(1) << 53 && seq_here < INT64_C(1) << 53); /* whole numbers in every language's JSON */
        lease = lease_here;
        seq = seq_here;
        incarnation = done.ret_incarnation;
    }
    world_end(&world);
}

/* ---- of when it is ---- */
static void cold_copy(struct bed *bed, const char *to)
{
    size_t len = 0;
    bed_close(bed);
    char *whole = file_read(bed->path, &len);
    file_write(to, whole, len);
    free(whole);
    bed_open(bed);
}

static void test_a_cold_copy_is_of_its_last_commit(void **state)
{
    (void)state;
    struct world world;
    char cold[128];
    world_begin(&world);
    snprintf(cold, sizeof cold, "%s.cold", world.copy);
    clock_fake(clock_mono_us() + 1000000, clock_wall_ms() + 1000);
    assert_int_equal(restore(&world, world.copy).ret_at_ms, world.copied_at_ms);
    clock_fake(clock_mono_us() + INT64_C(86400000000), clock_wall_ms() + 86400000);
    resume(&world);
    int64_t committed_at_ms = clock_wall_ms();
    cold_copy(&world.scene.bed, cold); /* it still says of which backup the store was made */
    clock_fake(clock_mono_us() + 1000000, clock_wall_ms() + 3600000);
    int64_t told_ms = restore(&world, cold).ret_at_ms;
    if (told_ms < committed_at_ms - 2000 || told_ms > committed_at_ms + 2000)
        fail_msg("of %lld, and the last commit was at %lld", (long long)told_ms, (long long)committed_at_ms);
    world_end(&world);
}

/* ---- places ---- */
static void test_into_an_empty_folder(void **state)
{
    (void)state;
    struct world world;
    struct temp_dir dir;
    char path[96];
    world_begin(&world);
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/galloc.db", dir.path);
    struct galloc_error error;
    struct store_restore done = {.path = path, .name = world.copy, .log_fd = -1, .fd = open(world.copy, O_RDONLY | O_CLOEXEC)};
    if (bed_engine->restore(&done, &error) < 0)
        fail_msg("%s", error.message);
    close(done.fd);
    assert_null(done.ret_kept);
    struct store_engine *engine = NULL;
    struct store_image image = {0};
    assert_int_equal(bed_engine->open(path, &engine, &image, &error), 0);
    assert_int_equal(image.run_count, 1);
    assert_int_equal(image.starts_in_60_s, 2); /* the copy's life and this one: to put it in place is none */
    store_image_clear(&image);
    bed_engine->close(engine);
    temp_dir_remove(&dir);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_copy_held_stands), cmocka_unit_test(test_open_runs_wait_for_a_person), cmocka_unit_test(test_ended_runs_stay_ended),
        cmocka_unit_test(test_former_leases_are_over),    cmocka_unit_test(test_outside_rows_do_not_go_alone), cmocka_unit_test(test_numbers_are_not_given_again),
        cmocka_unit_test(test_into_an_empty_folder),      cmocka_unit_test(test_a_cold_copy_is_of_its_last_commit),
    };
    return bed_run_suite(tests, ARRAY_COUNT(tests));
}
