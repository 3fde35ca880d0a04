/* The rules of core: states, budgets, allocation, prices, ETA. One row or step a rule; each fails when its rule is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/json_scan.h"
#include "core/first.h"
#include "core/ahead.h"
#include "core/alloc.h"
#include "core/density.h"
#include "core/limits.h"
#include "core/eta.h"
#include "core/plan.h"
#include "core/price.h"
#include "core/retry.h"
#include "core/share.h"
#include "core/state.h"

#include <string.h>

static void test_states(void **state)
{
    (void)state;
    static const char allowed[ASSIGNMENT_STATE_COUNT][ASSIGNMENT_STATE_COUNT + 1] = {
        /* to: pending leased succeeded failed cancelled; d daemon, p person */
        "-dpdp", "ddddp", "p-p-p", "p-p--", "p-p--"};
    for (int from = 0; from < ASSIGNMENT_STATE_COUNT; from++) {
        for (int to = 0; to < ASSIGNMENT_STATE_COUNT; to++) {
            char who = allowed[from][to];
            assert_int_equal(assignment_may_move((enum assignment_state)from, (enum assignment_state)to, false), who == 'd');
            assert_int_equal(assignment_may_move((enum assignment_state)from, (enum assignment_state)to, true), who != '-');
        }
    }
    assert_true(run_may_move(RUN_RUNNING, RUN_DONE, false));
    assert_false(run_may_move(RUN_RUNNING, RUN_CANCELLED, false));
    assert_false(run_may_move(RUN_DONE, RUN_CANCELLED, true));
    for (int i = 0; i < ASSIGNMENT_STATE_COUNT; i++)
        assert_int_equal(assignment_state_by_name(assignment_state_name((enum assignment_state)i)), i);
    assert_int_equal(assignment_state_by_name("bogus"), -1);
}

/* What an outside worker told: nothing is held, its error spends a retry at once. */
static void test_budgets_outside(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    struct retry_budget budget = {0};
    for (int i = 1; i <= 3; i++) {
        struct retry_decision decision = retry_decide_outside(OUTCOME_TRANSIENT, 3, 8000, &budget, &rng);
        assert_int_equal(decision.action, RETRY_PENDING);
        assert_int_equal(budget.retries_spent, i);
        assert_true(decision.delay_ms < 1000 << (i - 1));
    }
    assert_int_equal(retry_decide_outside(OUTCOME_TRANSIENT, 3, 8000, &budget, &rng).action, RETRY_FAIL);
    budget = (struct retry_budget){0};
    for (int i = 0; i < RETRY_REASKS_MAX; i++)
        assert_int_equal(retry_decide_outside(OUTCOME_INVALID_ANSWER, 3, 8000, &budget, &rng).action, RETRY_PENDING);
    assert_int_equal(retry_decide_outside(OUTCOME_INVALID_ANSWER, 3, 8000, &budget, &rng).action, RETRY_FAIL);
    assert_int_equal(budget.retries_spent, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(retry_decide_outside(OUTCOME_AGENT_FULL, 3, 8000, &budget, &rng).action, RETRY_PENDING);
    assert_int_equal(retry_decide_outside(OUTCOME_WORKER, 3, 8000, &budget, &rng).action, RETRY_FAIL);
    assert_int_equal(retry_decide_outside(OUTCOME_SUCCEEDED, 3, 8000, &budget, &rng).action, RETRY_SUCCEED);
}

/* What each class does to an assignment whose budgets are untouched. */
static void test_budgets(void **state)
{
    (void)state;
    static const struct {
        enum outcome_class class;
        bool has_success;
        enum retry_action action;
        int32_t reasks, fulls, failures;
    } rows[] = {
        {OUTCOME_SUCCEEDED, true, RETRY_SUCCEED, 0, 0, 0},       {OUTCOME_INVALID_ANSWER, true, RETRY_ASK_NOW, 1, 0, 0},
        {OUTCOME_TRANSIENT, true, RETRY_HOLD_TRANSIENT, 0, 0, 1}, {OUTCOME_THROTTLED, true, RETRY_PENDING, 0, 0, 0},
        {OUTCOME_QUOTA_DAY, true, RETRY_PENDING, 0, 0, 0},       {OUTCOME_UNAVAILABLE, true, RETRY_PENDING, 0, 0, 0},
        {OUTCOME_CREDENTIALS, true, RETRY_PENDING, 0, 0, 0},     {OUTCOME_BILLING, true, RETRY_PENDING, 0, 0, 0},
        {OUTCOME_CONFIG, true, RETRY_PENDING, 0, 0, 0},          {OUTCOME_REJECTED, true, RETRY_FAIL, 0, 0, 0},
        {OUTCOME_REJECTED, false, RETRY_HOLD_REJECTED, 0, 0, 0}, {OUTCOME_AGENT_FULL, true, RETRY_ASK_NOW, 0, 1, 0},
        {OUTCOME_LOST, true, RETRY_PENDING, 0, 0, 0},            {OUTCOME_EXPIRED, true, RETRY_FAIL, 0, 0, 0},
        {OUTCOME_NO_CANDIDATE, true, RETRY_FAIL, 0, 0, 0},       {OUTCOME_NO_CAPACITY, true, RETRY_FAIL, 0, 0, 0},
        {OUTCOME_TEMPLATE, true, RETRY_FAIL, 0, 0, 0},           {OUTCOME_RELEASED, true, RETRY_PENDING, 0, 0, 0},
        {OUTCOME_UNFINISHED, true, RETRY_ASK_NOW, 1, 0, 0},
    };
    struct rng rng;
    rng_seed(&rng, 7);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct retry_budget budget = {0};
        struct retry_input input = {.class = rows[i].class, .run_has_success = rows[i].has_success, .token_cap = 1024, .backoff_max_ms = 8000};
        struct retry_decision decision = retry_decide(&input, &budget, &rng);
        assert_int_equal(decision.action, rows[i].action);
        assert_int_equal(budget.reasks_spent, rows[i].reasks);
        assert_int_equal(budget.fulls_spent, rows[i].fulls);
        assert_int_equal(budget.failures, rows[i].failures);
        assert_int_equal(budget.retries_spent, 0); /* spent only when a held failure is confirmed */
        if (rows[i].class == OUTCOME_UNAVAILABLE)
            assert_in_range(decision.delay_ms, 500, 1000);
        if (rows[i].class == OUTCOME_THROTTLED)
            assert_int_equal(decision.delay_ms, 0);
    }
}

static void test_budgets_run_out(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 9);
    struct retry_budget budget = {0};
    struct retry_input input = {.class = OUTCOME_INVALID_ANSWER, .run_has_success = true, .token_cap = 1024, .backoff_max_ms = 8000};
    for (int i = 0; i < RETRY_REASKS_MAX; i++)
        assert_int_equal(retry_decide(&input, &budget, &rng).action, RETRY_ASK_NOW);
    assert_int_equal(retry_decide(&input, &budget, &rng).action, RETRY_FAIL);
    budget = (struct retry_budget){0};
    input.is_truncated = true;
    retry_decide(&input, &budget, &rng);
    assert_int_equal(budget.token_cap, 2048);
    input.token_cap = RETRY_TOKEN_CAP_MAX;
    retry_decide(&input, &budget, &rng);
    assert_int_equal(budget.token_cap, RETRY_TOKEN_CAP_MAX);
    budget = (struct retry_budget){0};
    input = (struct retry_input){.class = OUTCOME_AGENT_FULL, .run_has_success = true, .backoff_max_ms = 8000};
    for (int i = 0; i < 200; i++) { /* never fails it */
        struct retry_decision decision = retry_decide(&input, &budget, &rng);
        assert_int_equal(decision.action, i < RETRY_FULLS_AT_ONCE ? RETRY_ASK_NOW : RETRY_PENDING);
        assert_in_range(decision.delay_ms, 0, 8000);
    }
    budget = (struct retry_budget){0};
    input.class = OUTCOME_THROTTLED;
    input.n = 1;
    assert_false(retry_decide(&input, &budget, &rng).is_late);
    input.n = 2;
    assert_true(retry_decide(&input, &budget, &rng).is_late); /* and from the second refusal on */
    input.class = OUTCOME_TRANSIENT;
    assert_false(retry_decide(&input, &budget, &rng).is_late);
    assert_true(retry_decide(&input, &budget, &rng).is_late); /* from the second failure on behind those never tried */
    int64_t longest = 0;
    for (int i = 0; i < 1000; i++)
        longest = max_i64(longest, retry_jitter_ms(1, 8000, &rng));
    assert_in_range(longest, 900, 999);
    for (int i = 0; i < 1000; i++)
        longest = max_i64(longest, retry_jitter_ms(10, 8000, &rng));
    assert_in_range(longest, 7000, 7999);
}

static void test_rooms(void **state)
{
    (void)state;
    assert_int_equal(agent_room(2, 1, 0, true, true, 0, 5), ROOM_FREE);
    assert_int_equal(agent_room(2, 1, 1, true, true, 0, 5), ROOM_COVERED);
    assert_int_equal(agent_room(2, 2, 0, true, true, 0, 5), ROOM_FULL);
    assert_int_equal(agent_room(2, 5, 0, true, true, 0, 5), ROOM_FULL);
    assert_int_equal(agent_room(-1, 1000000, 5, true, true, 0, 5), ROOM_FREE);
    assert_int_equal(agent_room(2, 0, 0, true, false, 0, 5), ROOM_AWAY);
    assert_int_equal(agent_room(2, 0, 0, true, false, 9, 5), ROOM_AWAY_UNTIL);
    assert_int_equal(agent_room(2, 0, 0, true, false, 4, 5), ROOM_FREE); /* the date has passed */
    assert_int_equal(agent_room(2, 0, 0, false, true, 0, 5), ROOM_AWAY);
    assert_int_equal(agent_room(0, 0, 0, true, true, 0, 5), ROOM_FULL);
}

static void test_match(void **state)
{
    (void)state;
    const char *fields = "{\"region\":\"north\",\"n\":7,\"empty\":null}";
    const char *agent = "{\"region\":\"north\",\"skills\":[\"south\",\"north\"],\"n\":7,\"other\":\"x\"}";
    struct json_object *attributes = NULL;
    assert_int_equal(json_parse(agent, strlen(agent), &attributes, NULL), 0);
    struct json_span span = {fields, strlen(fields)};
    assert_true(match_holds(span, "region", attributes, "region"));
    assert_true(match_holds(span, "region", attributes, "skills"));
    assert_true(match_holds(span, "n", attributes, "n"));
    assert_false(match_holds(span, "region", attributes, "other"));
    assert_false(match_holds(span, "missing", attributes, "region"));
    assert_false(match_holds(span, "empty", attributes, "region"));
    assert_false(match_holds(span, "region", attributes, "missing"));
    assert_true(match_holds(span, "Region", attributes, " re_GION")); /* names as those of columns; values byte for byte */
    struct json_span value, both = {"{\"Region\":1,\"region\":2}", 23};
    assert_true(column_find(both, "region", &value) && value.at[0] == '2'); /* the very name comes first */
    assert_true(column_find(both, "REGION", &value) && value.at[0] == '1');
    assert_false(column_find(both, "regio", &value));
    json_free(attributes);
}

/* An answer's text and the object that it holds are judged by one rule. */
static void assert_same_as_parsed(const char *text, int rc, const struct alloc_answer *answer, const struct galloc_error *error)
{
    struct json_object *object = NULL;
    struct alloc_answer parsed = {.reason = NULL};
    struct galloc_error parsed_error;
    if (json_parse(text, strlen(text), &object, NULL) < 0)
        return; /* nothing, or in a fence */
    assert_int_equal(alloc_answer_take(object, &parsed, &parsed_error), rc);
    json_free(object);
    if (rc < 0) {
        assert_string_equal(error->message, parsed_error.message);
        return;
    }
    assert_string_equal(answer->agent_id, parsed.agent_id);
    assert_string_equal(answer->reason, parsed.reason);
    assert_true(answer->confidence >= parsed.confidence && answer->confidence <= parsed.confidence);
    free(parsed.reason);
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_well;
    } rows[] = {{"{\"agent_id\":\"A7\",\"reason\":\"near\",\"confidence\":0.5}", true}, {"{\"agent_id\":\"A7\"}", true},
                {"```json\n{\"agent_id\":\"A7\"}\n```", true}, {"{\"agent_id\":7}", false}, {"{\"agent_id\":\"\"}", false}, {"{}", false}, {"", false},
                {"A7", false}, {"[\"A7\"]", false}, {"{\"agent_id\":\"A7\"", false}, {"{\"agent_id\":\"A7\",\"confidence\":1.5}", false},
                {"{\"agent_id\":\"A7\",\"confidence\":\"high\"}", false}, {"{\"agent_id\":\"A7\",\"reason\":7}", false},
                {"{\"agent_id\":\"A\\u00007\"}", false}, {" { \"reason\" : null , \"confidence\" : null , \"agent_id\" : \"A7\" } ", true},
                {"{\"agent_id\":null}", false}, {"{\"agent_id\":\"A\\u0037\",\"reason\":\"\\\"n\\u00e9ar\\\"\\n\",\"confidence\":1}", true},
                {"{\"\\u0061gent_id\":\"A7\",\"confidence\":5e-1}", true}, {"{\"agent_id\":\"A7\",\"agent_id\":\"A7\"}", false},
                {"{\"x\":{\"agent_id\":\"B\",\"confidence\":7},\"agent_id\":\"A7\",\"confidence\":-0}", true}, {"{\"x\":{\"agent_id\":\"A7\"}}", false},
                {"{\"agent_id\":\"A7\",\"confidence\":-0.1}", false}, {"{\"agent_id\":\"A7\",\"confidence\":1e999}", false},
                {"{\"agent_id\":\"A7\",\"confidence\":18446744073709551617}", false}, {"{\"agent_id\":\"A7\",\"confidence\":true}", false},
                {"{\"agent_id\":\"A7\",\"confidence\":\"0.5\"}", false}, {"{\"agent_id\":\"A7\",\"reason\":[\"x\"]}", false}, {"null", false},
                {"\"agent_id\"", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct alloc_answer answer = {.reason = NULL};
        struct galloc_error error;
        int rc = alloc_answer_read(rows[i].text, strlen(rows[i].text), &answer, &error);
        if ((rc == 0) != rows[i].is_well)
            fail_msg("%s", rows[i].text);
        if (rc == 0)
            assert_string_equal(answer.agent_id, "A7");
        assert_same_as_parsed(rows[i].text, rc, &answer, &error);
        free(answer.reason);
    }
}

/* What is kept of a reason ends with a whole character. */
static void test_a_long_reason_is_cut(void **state)
{
    (void)state;
    for (size_t plain = LIMIT_REASON_BYTES - 2; plain <= LIMIT_REASON_BYTES; plain++) {
        struct buf text = BUF_EMPTY;
        struct alloc_answer answer = {.reason = NULL};
        buf_add_str(&text, "{\"agent_id\":\"A7\",\"reason\":\"");
        for (size_t i = 0; i < plain; i++)
            buf_add_char(&text, 'x');
        buf_add_str(&text, "\xc3\xa9 and more\"}");
        assert_int_equal(alloc_answer_read(text.data, text.len, &answer, NULL), 0);
        size_t kept = plain == LIMIT_REASON_BYTES - 1 ? plain : LIMIT_REASON_BYTES; /* the character of two bytes has room, or has not */
        assert_int_equal(strlen(answer.reason), kept);
        assert_int_equal(strspn(answer.reason, "x"), plain);
        free(answer.reason);
        buf_clear(&text);
    }
}

static void test_prices(void **state)
{
    (void)state;
    int64_t tokens[5] = {812, 0, 24, 90, -1};
    const struct price flash = {"USD", 750000, 75000, 3750000}, plain = {"USD", 1000000, 100000, 0};
    assert_int_equal(price_of_tokens(&flash, tokens), 1037); /* 812 x .75 + 114 x 3.75 = 1036.5, rounded up */
    int64_t cached[5] = {1000, 400, 0, -1, -1};
    assert_int_equal(price_of_tokens(&plain, cached), 640);
}

static void test_price_text(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    struct price price = {"EUR", 100001, 75000, INT64_C(12000000)}, read = {.currency = ""};
    price_add_text(&text, &price);
    assert_string_equal(buf_text(&text), "price_in=0.100001 price_cached_in=0.075 price_out=12.00 currency=EUR");
    assert_int_equal(price_parse(buf_text(&text), &read, NULL), 0);
    assert_memory_equal(&read, &price, sizeof price);
    buf_clear(&text);
    static const char *const bad[] = {"", "price_in=1", "price_in=1 price_cached_in=1 price_out=1", "price_in=1 price_cached_in=1 price_out=1 currency=usd",
                                      "price_in=x price_cached_in=1 price_out=1 currency=USD", "price_in=1 price_cached_in=1 price_out=1 currency=USD "};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(price_parse(bad[i], &read, NULL), -GALLOC_INVALID_VALUE);
    assert_memory_equal(&read, &price, sizeof price);
}

static void test_eta(void **state)
{
    (void)state;
    struct eta eta = {0};
    struct eta_answer answer;
    eta_restart(&eta, 1000);
    eta_answer(&eta, 100, 100, 2000, &answer);
    assert_false(answer.is_known);
    for (int s = 1; s <= 120; s++)
        eta_completed(&eta, 10, 1000 + s * 1000);
    eta_answer(&eta, 600, 1800, 121000, &answer);
    assert_true(answer.is_known);
    assert_in_range(answer.seconds, 57, 63);
    assert_true(answer.low_seconds < answer.seconds && answer.seconds < answer.high_seconds);
    assert_true(eta_rate_per_second(&eta, 121000) > 9.5 && eta_rate_per_second(&eta, 121000) < 10.5);
    assert_true(eta_rate_per_second(&eta, 500000) < 0.01); /* nothing for long: no rate of old */
}

/* Which of two runs goes next, each with calls of its own size; returns how many of `turns` are the second's. */
static int turns_of_second(struct share_clock *clock, struct share runs[2], const int64_t tokens[2], int turns)
{
    int count = 0;
    for (int i = 0; i < turns; i++) {
        int next = share_tag(clock, &runs[1]) < share_tag(clock, &runs[0]);
        share_charge(clock, &runs[next], tokens[next]);
        count += next;
    }
    return count;
}

static void test_shares(void **state)
{
    (void)state;
    struct share_clock clock = {0};
    struct share runs[2] = {0};
    assert_int_equal(turns_of_second(&clock, runs, (const int64_t[]){100, 100}, 100), 50);
    assert_int_equal(turns_of_second(&clock, runs, (const int64_t[]){100, 300}, 400), 100);
    assert_int_equal(turns_of_second(&clock, runs, (const int64_t[]){0, -1}, 100), 50); /* a call without tokens is one */
    for (int i = 0; i < 1000; i++)
        share_charge(&clock, &runs[0], 100);
    assert_in_range(turns_of_second(&clock, runs, (const int64_t[]){100, 100}, 100), 50, 51); /* who had nothing to send is owed nothing */
    share_correct(&runs[0], 100, 1100); /* took ten calls' worth more than was thought */
    assert_in_range(turns_of_second(&clock, runs, (const int64_t[]){100, 100}, 10), 9, 10);
    assert_in_range(turns_of_second(&clock, runs, (const int64_t[]){100, 100}, 100), 50, 51);
}

/* So many claims, while so many rows can be sent between two of them, of those that are leased ahead. */
static void go_on(struct ahead *ahead, int claims, int64_t could_send)
{
    for (int i = 0; i < claims; i++) {
        ahead->sent_count += min_i64(could_send, ahead->count);
        ahead->has_run_dry |= could_send > ahead->count;
        ahead_claimed(ahead, 64);
    }
}

static void test_ahead(void **state)
{
    (void)state;
    struct ahead ahead = {0};
    go_on(&ahead, 10, 0);
    assert_int_equal(ahead.count, 0); /* slots never stand empty: nothing is leased early */
    go_on(&ahead, 6, 20);
    assert_in_range(ahead.count, 20, 40); /* found out within a few claims */
    go_on(&ahead, 100, 20);
    assert_in_range(ahead.count, 20, 40); /* and kept, with room for twice as many */
    go_on(&ahead, 3, 1000);
    assert_int_equal(ahead.count, 64); /* no more than the endpoint takes */
    go_on(&ahead, 100, 1);
    assert_in_range(ahead.count, 1, 2); /* the endpoint has turned slow */
}

static void test_density(void **state)
{
    (void)state;
    struct density density = {0};
    assert_int_equal(density_tokens(&density, 4000, 0), 1000); /* nothing is known */
    density_learn(&density, 4000, -1);
    density_learn(&density, 60, 60); /* a test request: mostly its frame */
    assert_int_equal(density_tokens(&density, 4000, 0), 1000);
    density_learn(&density, 4000, 500);
    assert_int_equal(density_tokens(&density, 4000, 0), 1000); /* thinner text is no reason to send more */
    density_learn(&density, 4000, 3000);
    assert_int_equal(density_tokens(&density, 4000, 0), 3000); /* denser text counts at once */
    density_learn(&density, 4000, 1000);
    assert_in_range(density_tokens(&density, 4000, 0), 2700, 2999); /* thinner, little by little */
    for (int i = 0; i < 500; i++)
        density_learn(&density, 4000, 1000);
    assert_in_range(density_tokens(&density, 4000, 0), 1000, 1001);
    density_learn(&density, 4000, 4000);
    assert_int_equal(density_tokens(&density, 4000, 2500), 2500); /* it may have the configured minute whole */
    assert_int_equal(density_tokens(&density, 4000, 600), 1000);  /* this one never fits, and shall not look as if it did */
}

/* Few places left: an agent stands in no more prompts at once than he has places, where answers met full agents; else in four times as many. */
static void test_places_shared_out(void **state)
{
    (void)state;
    assert_int_equal(alloc_calls_a_place(0, 0), 4);
    assert_int_equal(alloc_calls_a_place(99, 2), 1);
    assert_int_equal(alloc_calls_a_place(100, 2), 4);
    assert_int_equal(alloc_may_name(10, 7, 2, 1), 1);
    assert_int_equal(alloc_may_name(10, 7, 3, 1), 0);
    assert_int_equal(alloc_may_name(10, 7, 3, 4), 9);
    assert_int_equal(alloc_may_name(5, 7, 0, 1), 0); /* set below what is held */
    assert_int_equal(alloc_may_name(-1, 7, 999, 1), INT64_MAX);
    assert_int_equal(alloc_list_length(50, 1000, 64), 15);
    assert_int_equal(alloc_list_length(50, 64, 64), 2);
    assert_int_equal(alloc_list_length(1, 1, 64), 1);
    assert_int_equal(alloc_list_length(50, 50 * 64, 64), 50);
    assert_int_equal(alloc_list_length(0, 0, 0), 0);
}

/* The first assignments of a run: how many go, and when they are a reason to stop. */
static void test_first(void **state)
{
    (void)state;
    assert_true(first_is_wanted(FIRST_ON, 1));
    assert_false(first_is_wanted(FIRST_AUTO, 1000));
    assert_true(first_is_wanted(FIRST_AUTO, 1001));
    assert_false(first_is_wanted(FIRST_OFF, 1000000));
    assert_int_equal(first_room(0, 0), 4);
    assert_int_equal(first_room(0, 3), 1);
    assert_int_equal(first_room(18, 0), 2);
    assert_int_equal(first_room(18, 2), 0);
    assert_int_equal(first_room(20, 0), 0);
    assert_int_equal(first_judge(&(struct first_sums){20, 5, -1}, .25, 0), FIRST_WELL);
    assert_int_equal(first_judge(&(struct first_sums){20, 6, -1}, .25, 0), FIRST_FAILS);
    assert_int_equal(first_judge(&(struct first_sums){20, 0, 2000}, .25, 100), FIRST_WELL);
    assert_int_equal(first_judge(&(struct first_sums){20, 0, 2001}, .25, 100), FIRST_COSTS);
    assert_int_equal(first_judge(&(struct first_sums){20, 0, -1}, .25, 100), FIRST_WELL); /* not known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first), cmocka_unit_test(test_places_shared_out), cmocka_unit_test(test_states),
        cmocka_unit_test(test_budgets_outside),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_budgets_run_out),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_prices),
        cmocka_unit_test(test_price_text),
        cmocka_unit_test(test_eta),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_density),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
