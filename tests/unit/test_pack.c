/* Several assignments in one request: what is read of the answer, with whom an assignment goes next, and how `auto` finds a size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limits.h"
#include "core/pack.h"

#include <string.h>

/* ---- the answer ---- */

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        size_t counts[3]; /* of ab-1, ab-2, ab-3 */
    } rows[] = {
        {"[{\"id\":\"ab-1\",\"agent_id\":\"A\"},{\"id\":\"ab-2\"},{\"id\":\"ab-3\"}]", 0, {1, 1, 1}},
        {"```json\n[{\"id\":\"ab-3\"}, {\"id\":\"ab-1\"}]\n```", 0, {1, 0, 1}},
        {"{\"answers\":[{\"id\":\"ab-2\"}]}", 0, {0, 1, 0}},
        {"{\"decisions\":[{\"id\":\"ab-2\"}]}", 0, {0, 1, 0}},
        {"[{\"id\":\"ab-1\"},{\"id\":\"ab-1\"},{\"id\":\"ab-1\"}]", 0, {3, 0, 0}},
        {"[{\"id\":\"ab-4\"},{\"id\":\"xy-1\"},{\"id\":\"ab-01\"},{\"id\":1},{\"id\":null},{},7,null,[],\"ab-1\"]", 0, {0, 0, 0}},
        {"[]", 0, {0, 0, 0}},
        {"", -GALLOC_INVALID_INPUT, {0}},
        {"[{\"id\":\"ab-1\"}", -GALLOC_INVALID_INPUT, {0}},
        {"{\"id\":\"ab-1\",\"agent_id\":\"A\"}", -GALLOC_INVALID_INPUT, {0}},
        {"{}", -GALLOC_INVALID_INPUT, {0}},
        {"\"ab-1\"", -GALLOC_INVALID_INPUT, {0}},
        {"Sure! Here it is", -GALLOC_INVALID_INPUT, {0}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pack_item items[3];
        struct galloc_error error = {.message = ""};
        assert_int_equal(pack_answer_read(rows[i].text, strlen(rows[i].text), "ab", 3, items, &error), rows[i].rc);
        assert_true((rows[i].rc < 0) == (error.message[0] != '\0'));
        for (size_t k = 0; rows[i].rc == 0 && k < 3; k++) {
            assert_int_equal(items[k].count, rows[i].counts[k]);
            assert_true((items[k].object.at != NULL) == (items[k].count == 1));
        }
    }
}

/* ---- with whom it goes next ---- */

static void test_most(void **state)
{
    (void)state;
    static const struct {
        enum outcome_class class;
        bool is_whole;
        size_t count;
        int32_t before, reasks_spent, failures, after;
    } rows[] = {
        {OUTCOME_REJECTED, true, 10, 0, 0, 0, 5},        {OUTCOME_INVALID_ANSWER, true, 5, 5, 0, 0, 3},  {OUTCOME_INVALID_ANSWER, true, 2, 2, 0, 0, 1},
        {OUTCOME_INVALID_ANSWER, false, 10, 0, 1, 0, 0}, {OUTCOME_INVALID_ANSWER, false, 10, 0, 2, 0, 1}, {OUTCOME_INVALID_ANSWER, false, 1, 1, 3, 0, 1},
        {OUTCOME_TRANSIENT, false, 10, 0, 0, 1, 5},      {OUTCOME_TRANSIENT, false, 5, 5, 0, 2, 1},      {OUTCOME_TRANSIENT, false, 1, 0, 0, 1, 0},
        {OUTCOME_THROTTLED, false, 10, 4, 0, 0, 4},      {OUTCOME_AGENT_FULL, false, 10, 0, 0, 0, 0},    {OUTCOME_UNAVAILABLE, false, 10, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct retry_budget budget = {.reasks_spent = rows[i].reasks_spent, .failures = rows[i].failures};
        assert_int_equal(pack_most_after(rows[i].class, rows[i].is_whole, rows[i].count, rows[i].before, &budget), rows[i].after);
    }
}

/* ---- auto ---- */

/* Calls of the size in force until it changes; of each assignment's answer so many stand, and a call costs fixed + each tokens. */
static int32_t next_size(struct pack_auto *state, double valid_share, int64_t fixed, int64_t each)
{
    int32_t before = pack_auto_size(state);
    for (int i = 0; i < 100 && pack_auto_size(state) == before; i++)
        pack_auto_told(state, (size_t)before, (size_t)((double)before * valid_share), fixed + each * before, false);
    return pack_auto_size(state);
}

static void test_auto_grows_while_it_pays(void **state)
{
    (void)state;
    struct pack_auto pack = {0};
    for (int32_t size = 2; size <= 64; size *= 2)
        assert_int_equal(next_size(&pack, 1, 4000, 200), size);
    assert_int_equal(next_size(&pack, 1, 4000, 200), 64); /* twice as many are more than may go */
    assert_true(2 * 64 > LIMIT_PACK);
}

static void test_auto_leaves_a_size_that_does_not_pay(void **state)
{
    (void)state;
    struct pack_auto pack = {0};
    assert_int_equal(next_size(&pack, 1, 0, 200), 2);
    assert_int_equal(next_size(&pack, 1, 0, 200), 1); /* no token was saved */
    assert_int_equal(pack.ceiling, 2);
    for (int i = 0; i < 600; i++) /* and after a while it is tried again */
        pack_auto_told(&pack, 1, 1, 200, false);
    assert_int_equal(pack.ceiling, 0);
}

static void test_auto_shrinks_when_answers_fail(void **state)
{
    (void)state;
    struct pack_auto pack = {0};
    for (int32_t size = 2; size <= 16; size *= 2)
        next_size(&pack, 1, 4000, 200);
    assert_int_equal(next_size(&pack, 0.5, 4000, 200), 8);
    assert_int_equal(pack.ceiling, 16);
    for (int i = 0; i < 20; i++) {
        pack_auto_told(&pack, 8, 8, 4000, false);
        assert_int_equal(pack_auto_size(&pack), 8); /* below what failed */
    }
    pack_auto_told(&pack, 8, 0, 4000, true); /* refused as a whole */
    assert_int_equal(pack_auto_size(&pack), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_most),
        cmocka_unit_test(test_auto_grows_while_it_pays),
        cmocka_unit_test(test_auto_leaves_a_size_that_does_not_pay),
        cmocka_unit_test(test_auto_shrinks_when_answers_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
