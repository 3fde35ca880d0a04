/* The parts of the dispatcher that need no store: who may be named, the blocks of a prompt, free places, the event ring. What it does with a store and an
 * endpoint is tried by tests/e2e/test_classes.py, test_profiles.py and test_dispatch.py on the daemon itself. */
#include "dispatch/ask.h"
#include "dispatch/dispatch.h"

#include "base/clock.h"
#include "base/json_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define NOW_MS 1795448640000

/* ---- who may be named ---- */

static struct store_agent agent_of(const char *agent_id, const char *attributes, int64_t capacity, int64_t held)
{
    return (struct store_agent){.agent_id = (char *)(uintptr_t)agent_id, .attributes = (char *)(uintptr_t)attributes, .capacity = capacity, .held = held,
                                .is_available = true};
}

static struct pool_entry *pool_of(struct store_agent *agents, size_t count)
{
    return pool_entry_from_agents(&(struct store_agents){agents, count});
}

/* The names that are found, parted by blanks. */
static enum candidates_found find(const struct run_entry *run, struct pool_entry *pool, const char *fields, int64_t excluded, char names[200])
{
    struct candidates found;
    enum candidates_found how = candidates_find(run, pool, (struct json_span){fields, strlen(fields)}, excluded, NOW_MS, &found);
    names[0] = '\0';
    for (size_t i = 0; i < found.count; i++)
        snprintf(names + strlen(names), 200 - strlen(names), "%s%s", i ? " " : "", found.agents[i]->info.agent_id);
    free(found.agents);
    return how;
}

static void test_candidates(void **state)
{
    (void)state;
    struct store_agent agents[] = {agent_of("c", "{}", 5, 4), agent_of("a", "{}", -1, 9), agent_of("d", "{}", 9, 2), agent_of("b", "{}", 3, 3), agent_of("e", "{}", 8, 1)};
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    struct run_entry run = {0};
    char names[200];
    assert_int_equal(find(&run, pool, "{}", 0, names), CANDIDATES_SOME);
    assert_string_equal(names, "a c d e"); /* by agent_id; b is full */
    find(&run, pool, "{}", pool_agent_by_name(pool, "d")->info.id, names);
    assert_string_equal(names, "a c e"); /* d was full a moment ago */
    run.plan.max_candidates = 2;
    find(&run, pool, "{}", 0, names);
    assert_string_equal(names, "a e"); /* without limit first, then 7 free places of which fewer are held than of d's */
    run.plan.max_candidates = 3;
    find(&run, pool, "{}", 0, names);
    assert_string_equal(names, "a d e");
    pool_agent_by_name(pool, "e")->claimed = 7;
    run.plan.max_candidates = 2;
    find(&run, pool, "{}", 0, names);
    assert_string_equal(names, "a d"); /* what is decided upon is not free */
    assert_int_equal(pool_free_places(pool, NOW_MS), INT64_MAX);
    pool_entry_free(pool);
}

static void test_the_excluded_is_asked_when_he_is_all_there_is(void **state)
{
    (void)state;
    struct store_agent agents[] = {agent_of("a", "{}", 2, 1), agent_of("b", "{}", 1, 1)};
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    struct run_entry run = {0};
    char names[200];
    assert_int_equal(find(&run, pool, "{}", pool_agent_by_name(pool, "a")->info.id, names), CANDIDATES_SOME);
    assert_string_equal(names, "a");
    assert_int_equal(pool_free_places(pool, NOW_MS), 1);
    pool_entry_free(pool);
}

static void test_nobody_may_be_named(void **state)
{
    (void)state;
    struct waiting_rule {
        const char *what, *fields;
        enum candidates_found how;
    };
    struct store_agent agents[] = {agent_of("full", "{\"r\":\"n\"}", 1, 1), agent_of("away", "{\"r\":[\"s\",\"e\"]}", 5, 0), agent_of("until", "{\"r\":\"e\"}", 5, 0),
                                   agent_of("covered", "{\"r\":\"w\"}", 1, 0)};
    agents[1].is_available = agents[2].is_available = false;
    agents[2].until_at_ms = NOW_MS + 5000;
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    pool_agent_by_name(pool, "covered")->claimed = 1;
    struct match_rule match[] = {{.field = (char[]){"R"}, .attribute = (char[]){"r"}}};
    struct run_entry run = {.plan = {.match = match, .match_count = 1}};
    static const struct waiting_rule rules[] = {{"full", "{\"R\":\"n\"}", CANDIDATES_NO_CAPACITY},
                                              {"away without a date", "{\"R\":\"s\"}", CANDIDATES_NO_CAPACITY},
                                              {"one of two comes back", "{\"R\":\"e\"}", CANDIDATES_AWAY},
                                              {"decided upon", "{\"R\":\"w\"}", CANDIDATES_WAIT},
                                              {"nobody", "{\"R\":\"x\"}", CANDIDATES_NONE_MATCHES},
                                              {"no such field", "{\"Q\":\"n\"}", CANDIDATES_NONE_MATCHES}};
    char names[200];
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++)
        if (find(&run, pool, rules[i].fields, 0, names) != rules[i].how || names[0] != '\0')
            fail_msg("%s: %s", rules[i].what, names);
    int64_t until_at_ms = 0;
    assert_true(pool_is_away(pool, NOW_MS, &until_at_ms) && until_at_ms == NOW_MS + 5000);
    assert_false(pool_is_away(pool, NOW_MS + 5000, &until_at_ms)); /* back */
    pool_entry_free(pool);
}

/* ---- the prompt's blocks ---- */

static void test_roster_and_loads(void **state)
{
    (void)state;
    struct store_agent agents[] = {agent_of("b\"", "{\"region\":\"n\"}", 5, 4), agent_of("a", "{ }", -1, 9)};
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    assert_string_equal(pool_roster(pool), "AGENTS\n{\"agent_id\":\"a\"}\n{\"agent_id\":\"b\\\"\",\"region\":\"n\"}\n");
    const char *before = pool_roster(pool);
    assert_ptr_equal(pool_roster(pool), before); /* made once: the provider's prefix cache hits */
    pool_agent_by_name(pool, "b\"")->claimed = 1;
    struct agent_entry *both[] = {pool_agent_by_name(pool, "a"), pool_agent_by_name(pool, "b\"")};
    struct candidates candidates = {both, 2, 0};
    struct buf out = BUF_EMPTY, json = BUF_EMPTY;
    prompt_loads(&candidates, false, &out, &json);
    assert_string_equal(buf_text(&out), "CANDIDATES\n{\"agent_id\":\"a\",\"capacity\":null,\"held\":9,\"free\":null}\n"
                                        "{\"agent_id\":\"b\\\"\",\"capacity\":5,\"held\":5,\"free\":0}\n");
    /* A line is kept, and made anew with whatever it tells. */
    static const char *const lines[] = {"{\"agent_id\":\"b\\\"\",\"capacity\":5,\"held\":4,\"free\":1}\n", "{\"agent_id\":\"b\\\"\",\"capacity\":7,\"held\":4,\"free\":3}\n",
                                       "{\"agent_id\":\"b\\\"\",\"region\":\"n\",\"capacity\":7,\"held\":4,\"free\":3}\n"};
    both[1]->claimed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        both[1]->info.capacity = i == 0 ? 5 : 7;
        buf_reset(&out);
        buf_reset(&json);
        prompt_loads(&candidates, i == 2, &out, &json);
        assert_non_null(strstr(buf_text(&out), lines[i]));
        struct buf want = BUF_EMPTY;
        json_escape(&want, out.data, out.len);
        assert_string_equal(buf_text(&json), buf_text(&want));
        buf_clear(&want);
    }
    buf_clear(&out);
    buf_clear(&json);
    pool_entry_free(pool);
}

static void test_system_text_is_quoted_once(void **state)
{
    (void)state;
    static const char *const texts[] = {"one \"system\"", "one \"system\"", "two \"system\"", "", "one"};
    struct run_dispatch d = {.ready_count = 0};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct buf text = BUF_EMPTY, want = BUF_EMPTY;
        const char *before = d.system_json.len > 0 ? d.system_json.data : NULL;
        buf_add_str(&text, texts[i]);
        if (text.len > 0)
            json_quote(&want, text.data, text.len);
        if (i == 1)
            d.system_json.data[1] = 'O'; /* it is not made again */
        prompt_system_json(&d, &text);
        if (i == 1)
            assert_true(d.system_json.data == before && d.system_json.data[1] == 'O');
        else
            assert_string_equal(buf_text(&d.system_json), buf_text(&want));
        assert_int_equal(d.system_json.len, want.len);
        buf_clear(&text);
        buf_clear(&want);
    }
    buf_clear(&d.system);
    buf_clear(&d.system_json);
}

/* The user text goes out as it is, wherever its loads stand, which are escaped apart. */
static void test_user_text_is_quoted(void **state)
{
    (void)state;
    static const char *const templates[] = {"{{key}} \"a\"\n{{loads}}\"\xc3\xa9\"", "{{loads}}{{key}}", "{{key}}{{loads}}", "{{loads}}\n{{key}}{{loads}}\x01", "{{roster}}{{key}}",
                                            "{{loads}}\n--- user\n\"{{key}}\"", "{{roster}}\n--- user\n{{key}}\n{{loads}}."};
    struct store_agent agents[] = {agent_of("b\"", "{\"region\":\"n\"}", 5, 4), agent_of("a", "{ }", -1, 9)};
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    struct agent_entry *both[] = {pool_agent_by_name(pool, "a"), pool_agent_by_name(pool, "b\"")};
    const struct candidates candidates = {both, 2, 0};
    const struct plan plan = {.match_count = 0};
    for (size_t i = 0; i < ARRAY_COUNT(templates); i++) {
        struct template *template = NULL;
        struct asked asked;
        struct buf json = BUF_EMPTY, want = BUF_EMPTY;
        assert_int_equal(template_parse(templates[i], strlen(templates[i]), &template, NULL), 0);
        const struct ask_about about = {.provider = &provider_gemini, .plan = &plan, .sends_all = true, .template = template, .pool = pool, .key = "K\"1", .fields = "{}",
                                        .fields_len = 2, .candidates = &candidates};
        assert_int_equal(ask_make(&about, &asked, NULL), 0);
        asked_user_json(&asked, &json);
        json_quote(&want, asked.user.data, asked.user.len);
        assert_string_equal(buf_text(&json), buf_text(&want));
        assert_int_equal(json.len, want.len);
        buf_clear(&json);
        buf_clear(&want);
        asked_clear(&asked);
        template_free(template);
    }
    pool_entry_free(pool);
}

static void test_the_choice_is_made_once(void **state)
{
    (void)state;
    struct store_agent agents[] = {agent_of("a", "{}", 5, 0), agent_of("b", "{}", 5, 0), agent_of("c", "{}", 5, 0)};
    for (size_t i = 0; i < ARRAY_COUNT(agents); i++)
        agents[i].id = (int64_t)i + 1;
    struct pool_entry *pool = pool_of(agents, ARRAY_COUNT(agents));
    struct agent_entry *all[] = {pool_agent_by_name(pool, "a"), pool_agent_by_name(pool, "b"), pool_agent_by_name(pool, "c")};
    static const struct {
        size_t from, count;
        const char *names;
    } steps[] = {{0, 2, "[\"a\",\"b\"]"}, {0, 2, NULL}, {1, 2, "[\"b\",\"c\"]"}, {1, 1, "[\"b\"]"}, {0, 3, "[\"a\",\"b\",\"c\"]"}};
    struct prompt_named named = {.provider = NULL};
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        const struct candidates candidates = {all + steps[i].from, steps[i].count, 0};
        if (steps[i].names == NULL)
            named.choice_json.data[0] = '!'; /* it is not made again */
        prompt_named_set(&named, &provider_gemini, NULL, &candidates, false);
        assert_int_equal(named.choice_json.data[0], steps[i].names == NULL ? '!' : '"');
        if (steps[i].names != NULL)
            assert_non_null(strstr(buf_text(&named.choice_json), steps[i].names));
    }
    prompt_named_clear(&named);
    pool_entry_free(pool);
}

/* ---- the event ring ---- */

static void wake(void *arg)
{
    ++*(int *)arg;
}

static void add(struct events *events, int64_t run, enum event_kind kind, int64_t seq)
{
    events_set_seq(events, seq); /* as a commit does, before its events are told */
    events_add(events, kind, "test", run, NULL, seq, xstrdup("{}"));
    events_tell(events);
}

static int64_t next_seq(struct events_reader *reader) /* -1: none, -2: reset */
{
    bool is_reset;
    const struct event *event = events_reader_next(reader, &is_reset);
    return is_reset ? -2 : event == NULL ? -1 : event->seq;
}

static void test_events(void **state)
{
    (void)state;
    struct events *events = events_new(4);
    int woken = 0;
    events_set_seq(events, 10); /* the start */
    add(events, 1, EVENT_RUN, 11);
    add(events, 1, EVENT_ASSIGNMENT, 12);
    add(events, 2, EVENT_RUN, 13);
    struct events_reader *all = events_reader_new(events, 10, 0, true, wake, &woken), *first = events_reader_new(events, 11, 1, false, wake, &woken);
    for (int64_t seq = 11; seq <= 13; seq++)
        assert_int_equal(next_seq(all), seq); /* from the first after the start on */
    assert_int_equal(next_seq(all), -1);
    assert_int_equal(next_seq(first), -1); /* nothing of its run but details */
    add(events, 0, EVENT_ENDPOINT, 14);
    assert_int_equal(woken, 2);
    assert_int_equal(next_seq(first), 14); /* an endpoint's event is everybody's */
    for (int64_t seq = 15; seq <= 20; seq++)
        add(events, 1, EVENT_RUN, seq);
    assert_int_equal(next_seq(all), -2); /* fell behind */
    assert_int_equal(next_seq(all), -1);
    events_reader_free(all);
    events_reader_free(first);
    struct events_reader *early = events_reader_new(events, 9, 0, false, wake, &woken), *ahead = events_reader_new(events, 21, 0, false, wake, &woken);
    assert_int_equal(next_seq(early), -2);
    assert_int_equal(next_seq(ahead), -2); /* a number that this store never gave */
    events_reader_free(early);
    events_reader_free(ahead);
    events_free(events);
}

/* The operations of a commit come back in any order, and the runs that they changed before them. */
static void test_events_of_a_commit_are_told_by_their_numbers(void **state)
{
    (void)state;
    static const int64_t added[] = {14, 11, 15, 12, 15}, told[] = {11, 12, 14, 15, 15};
    struct events *events = events_new(16);
    int woken = 0;
    events_set_seq(events, 10);
    struct events_reader *all = events_reader_new(events, 10, 0, true, wake, &woken);
    for (size_t i = 0; i < ARRAY_COUNT(added); i++)
        events_add(events, EVENT_RUN, "test", 1, NULL, added[i], xstrdup("{}"));
    assert_int_equal(next_seq(all), -1); /* until all are there */
    events_set_seq(events, 15);
    struct events_reader *has_them = events_reader_new(events, 15, 0, true, wake, &woken); /* saw a snapshot of the commit */
    events_tell(events);
    for (size_t i = 0; i < ARRAY_COUNT(added); i++)
        assert_int_equal(next_seq(all), told[i]);
    assert_int_equal(next_seq(all), -1);
    assert_int_equal(next_seq(has_them), -1);
    events_reader_free(all);
    events_reader_free(has_them);
    events_free(events);
}

/* ---- what is told of failures ---- */

/* A refusal of a call of the run that was sent then, told now. */
static bool is_refused_after(struct run_entry *run, int64_t sent_us, enum outcome_class class)
{
    struct call *call = call_new(run, run->endpoint, 1);
    call->sent_us = sent_us;
    call->attempts[0].key = xstrdup("K0");
    refused_note(call, class);
    call_free(call);
    return run_is_refused(run);
}

static void test_refusals_of_calls_under_way_together_are_one_round(void **state)
{
    (void)state;
    struct endpoint_dispatch of_endpoint = {.endpoint = NULL};
    struct endpoint endpoint = {.dispatch = &of_endpoint};
    struct run_dispatch dispatch = {.ready_count = 0};
    struct run_entry run = {.endpoint = &endpoint, .dispatch = &dispatch};
    for (int64_t round = 1; round <= 3; round++) {
        clock_fake(round * 1000000, NOW_MS);
        int64_t sent_us = engine_now().mono_us;
        for (int64_t later_us = 1000; later_us <= 9000; later_us += 1000) { /* nine calls, each sent before the first was told */
            clock_fake(round * 1000000 + later_us, NOW_MS);
            assert_int_equal(is_refused_after(&run, sent_us, OUTCOME_THROTTLED), round == 3);
            assert_int_equal(dispatch.refused.rounds, round);
        }
    }
    assert_true(is_refused_after(&run, 0, OUTCOME_UNAVAILABLE)); /* no answer to the question */
    assert_false(is_refused_after(&run, 0, OUTCOME_SUCCEEDED));
    clock_real();
}

/* A probe that fails tells that the others' failures were the endpoint's; of its own assignments it tells nothing. */
static void test_a_failed_probe_drops_what_is_held_of_others(void **state)
{
    (void)state;
    struct endpoint endpoint = {.calls = 0};
    struct endpoint_dispatch dispatch = {.endpoint = &endpoint, .has_turn = true};
    struct held others = {.call = 8, .judgement = HELD_OPEN}, own = {.next = &others, .call = 7, .judgement = HELD_OPEN};
    struct call call = {.endpoint = &endpoint, .id = 7, .is_probe = true};
    endpoint.dispatch = &dispatch;
    dispatch.held = &own;
    in_turn_answered(&call, OUTCOME_UNAVAILABLE);
    assert_int_equal(own.judgement, HELD_OPEN);
    assert_int_equal(others.judgement, HELD_DROPPED);
    assert_false(dispatch.has_turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_the_excluded_is_asked_when_he_is_all_there_is),
        cmocka_unit_test(test_nobody_may_be_named),
        cmocka_unit_test(test_roster_and_loads), cmocka_unit_test(test_system_text_is_quoted_once),
        cmocka_unit_test(test_refusals_of_calls_under_way_together_are_one_round),
        cmocka_unit_test(test_a_failed_probe_drops_what_is_held_of_others),
        cmocka_unit_test(test_the_choice_is_made_once),
        cmocka_unit_test(test_user_text_is_quoted),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_of_a_commit_are_told_by_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
