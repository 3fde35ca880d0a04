/* What gallocsim makes of a prompt: the rule of allocation, and bodies that were damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/chance.h"
#include "tests/unit/sim_rig.h"

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *user, *agent, *why;
    } rows[] = {
        {CASE("\"region\":\"north\",\"status\":\"loan not paid\"") LOADS(9, 0, 0, 0), "A1",
         "recovery for \"loan not paid\""},
        {CASE("\"region\":\"north\",\"status\":\"running, OK\"") LOADS(0, 4, 0, 7), "A4", "holds 7 of 20"},
        {CASE("\"region\":\"north\",\"status\":\"running, OK\"") LOADS(0, 3, 0, 7), "A2", "same region (north)"},
        {CASE("\"region\":\"south\",\"status\":\"client in debt\"") LOADS(0, 0, 9, 0), "A3", "same region (south)"},
        {CASE("\"Sales Region\":\"south\",\"status\":\"client in debt\"") LOADS(0, 0, 9, 0), "A3", "same region (south)"},
        {CASE("\"district\":\"Tábor\"") LOADS(0, 0, 9, 0), "A3", "same district (Tábor)"},
        {CASE("\"region\":\"west\",\"loan_status\":\"OVERDUE\"") LOADS(9, 0, 0, 0), "A1", "no open agent nearer"},
        {"CANDIDATES\n{\"agent_id\":\"A2\",\"capacity\":5,\"held\":5,\"free\":0}\n{\"agent_id\":\"A3\",\"capacity\":5,"
         "\"held\":4,\"free\":1}\n" CASE("\"region\":\"north\""),
         "A3", "holds 4 of 5"}, /* the near one is full */
        {CASE("\"region\":\"x\"") "## "
                                  "CANDIDATES:\r\n{\"agent_id\":\"A1\",\"capacity\":null,\"held\":3,\"free\":null}\r\n",
         "A1", "holds 3"},
    };
    struct stage stage = {0};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *agent = stage_choose(&stage, ROSTER, rows[i].user, NULL);
        if (strcmp(agent, rows[i].agent) != 0 || strstr(buf_text(&stage.allocation.reason), rows[i].why) == NULL)
            fail_msg("row %zu: %s, %s", i, agent, buf_text(&stage.allocation.reason));
        assert_int_equal(stage.prompt.key.len, 4);
        assert_int_equal(stage.prompt.is_roster_known, i > 0); /* read once, then found again */
    }
    stage_clear(&stage);
}

/* The second best for once, but none that is full or farther away. */
static void test_noise(void **state)
{
    (void)state;
    struct stage stage = {0};
    assert_string_equal(stage_choose(&stage, ROSTER, CASE("\"region\":\"north\",\"status\":\"running, OK\"") LOADS(0, 3, 0, 7), NULL), "A2");
    allocator_choose(&stage.prompt, true, &stage.allocation);
    assert_memory_equal(stage.allocation.agent_id.at, "A4", 2);
    assert_string_equal(stage_choose(&stage, ROSTER, CASE("\"region\":\"south\",\"status\":\"client in debt\"") LOADS(0, 0, 9, 0), NULL), "A3");
    allocator_choose(&stage.prompt, true, &stage.allocation);
    assert_memory_equal(stage.allocation.agent_id.at, "A3", 2);
    stage_clear(&stage);
}

static void test_rule_finds_attributes_anywhere(void **state)
{
    (void)state;
    struct stage stage = {0};
    /* candidates with their own attributes after the assignment; a key with an escape in it */
    assert_string_equal(stage_choose(&stage, "No roster.",
                               "ASSIGNMENT\n{\"key\":\"a\\\"b\",\"fields\":{\"city\":\"Brno\"}}\nCANDIDATES\n"
                               "{\"agent_id\":\"B1\",\"home_city\":\"Praha\",\"capacity\":5,\"held\":0,\"free\":5}\n"
                               "{\"agent_id\":\"B2\",\"home_city\":\"Brno\",\"capacity\":5,\"held\":4,\"free\":1}\n",
                               NULL),
                        "B2");
    assert_int_equal(stage.prompt.key.len, 3);
    /* the roster in the user's text */
    assert_string_equal(stage_choose(&stage, NULL, ROSTER CASE("\"region\":\"south\"") LOADS(0, 0, 3, 0), NULL), "A3");
    /* no blocks at all: the enum, by hash, and always the same */
    char first[64];
    snprintf(first, sizeof first, "%s", stage_choose(&stage, NULL, "Case 17", "[\"A\",\"B\",\"C\"]"));
    assert_true(first[0] >= 'A' && first[0] <= 'C');
    assert_string_equal(stage_choose(&stage, NULL, "Case 17", "[\"A\",\"B\",\"C\"]"), first);
    assert_string_equal(stage_choose(&stage, NULL, "Hello?", NULL), "");
    /* lines that are no JSON are passed over */
    assert_string_equal(
        stage_choose(&stage, NULL,
               "CANDIDATES\n{\"agent_id\":\n{\"agent_id\":\"Z\"}\n{}\nASSIGNMENT\n{\"key\":7,\"fields\":3}\n", NULL),
        "Z");
    assert_null(stage.prompt.key.at);
    stage_clear(&stage);
}

/* Ties go to all of the equal ones, by the key. */
static void test_ties_are_spread(void **state)
{
    (void)state;
    struct stage stage = {0};
    int counts[4] = {0};
    for (int i = 0; i < 400; i++) {
        char user[512];
        snprintf(user, sizeof user,
                 "ASSIGNMENT\n{\"key\":\"LAN%d\",\"fields\":{}}\nCANDIDATES\n{\"agent_id\":\"A0\"}\n{\"agent_id\":"
                 "\"A1\"}\n{\"agent_id\":\"A2\"}\n"
                 "{\"agent_id\":\"A3\"}\n",
                 i);
        counts[stage_choose(&stage, NULL, user, NULL)[1] - '0']++;
    }
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        assert_in_range(counts[i], 60, 140);
    stage_clear(&stage);
}

/* Bodies with bytes changed, lost and doubled are taken or refused, and nothing is read beyond their end (run it with
 * --enable-sanitize). */
static void test_damaged_bodies(void **state)
{
    (void)state;
    struct stage stage = {0};
    struct chance chance = {17};
    stage_choose(&stage, ROSTER, CASE("\"region\":\"north\",\"note\":\"\\ud83d\\ude00\"") LOADS(1, 1, 1, 1),
           "[\"A1\",\"A2\"]");
    struct buf whole = stage.body;
    stage.body = BUF_EMPTY;
    int taken = 0;
    for (int round = 0; round < 20000; round++) {
        char *body = xmalloc(whole.len); /* exactly as long, so that a read beyond it is seen */
        size_t len = whole.len - (round % 3 == 0 ? chance_next(&chance) % whole.len : 0);
        memcpy(body, whole.data, len);
        for (uint64_t changes = chance_next(&chance) % 4; changes > 0 && len > 0; changes--) {
            static const char bytes[] = "\\\"{}[],:nu0\n\xff";
            body[chance_next(&chance) % len] = bytes[chance_next(&chance) % (sizeof bytes - 1)];
        }
        body = xrealloc(body, len);
        struct request_fault fault;
        if (request_read(body, len, false, 1000, &stage.request, &fault)) {
            prompt_read(&stage.prompt, &stage.request);
            allocator_choose(&stage.prompt, false, &stage.allocation);
            taken++;
        } else {
            assert_true(fault.message[0] != '\0');
        }
        free(body);
    }
    assert_in_range(taken, 1000, 19000);
    buf_clear(&whole);
    stage_clear(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_rule_finds_attributes_anywhere),
        cmocka_unit_test(test_ties_are_spread),
        cmocka_unit_test(test_damaged_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
