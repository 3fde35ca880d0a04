/* An answer that comes in several calls: what is kept between them, and what the last one's verdict becomes. */
#include "dispatch/rest.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct provider_verdict verdict_of(enum outcome_class class, const char *answer, const char *token)
{
    return (struct provider_verdict){.class = class,
                                     .answer = answer != NULL ? xstrdup(answer) : NULL,
                                     .continuation = token != NULL ? xstrdup(token) : NULL,
                                     .message = class != OUTCOME_SUCCEEDED ? xstrdup("words") : NULL};
}

static enum outcome_class join(struct rest *rest, const char *request, struct provider_verdict verdict, char ret_answer[64])
{
    struct net_response response = {.request_body = request, .request_body_len = strlen(request)};
    rest_join(rest, &response, &verdict);
    enum outcome_class class = verdict.class;
    snprintf(ret_answer, 64, "%.63s", verdict.answer != NULL ? verdict.answer : "(none)");
    assert_int_equal(verdict.answer != NULL, class == OUTCOME_SUCCEEDED || class == OUTCOME_UNFINISHED);
    assert_int_equal(verdict.message == NULL, class == OUTCOME_SUCCEEDED);
    provider_verdict_clear(&verdict);
    return class;
}

static void test_pieces_are_joined(void **state)
{
    (void)state;
    struct rest rest = {0};
    char answer[64];
    assert_false(rest_is_due(&rest));
    assert_int_equal(join(&rest, "{first}", verdict_of(OUTCOME_UNFINISHED, "{\"agent", "t1"), answer), OUTCOME_UNFINISHED);
    assert_true(rest_is_due(&rest));
    assert_int_equal(join(&rest, "{first,t1}", verdict_of(OUTCOME_UNFINISHED, "", "t2"), answer), OUTCOME_UNFINISHED);
    assert_string_equal(rest.body, "{first}"); /* what came later has a token in it */
    assert_string_equal(rest.token, "t2");
    assert_int_equal(join(&rest, "{first,t2}", verdict_of(OUTCOME_SUCCEEDED, "_id\":1}", NULL), answer), OUTCOME_SUCCEEDED);
    assert_string_equal(answer, "{\"agent_id\":1}");
    assert_false(rest_is_due(&rest));
    assert_int_equal(join(&rest, "{next}", verdict_of(OUTCOME_SUCCEEDED, "whole", NULL), answer), OUTCOME_SUCCEEDED);
    assert_string_equal(answer, "whole"); /* nothing is left of the one before */
    rest_clear(&rest);
}

/* Whatever ends it otherwise has the whole asked anew; a refusal is the token's fault, not the input's. */
static void test_other_ends_forget_the_pieces(void **state)
{
    (void)state;
    static const struct {
        enum outcome_class came, becomes;
    } rows[] = {{OUTCOME_THROTTLED, OUTCOME_THROTTLED}, {OUTCOME_TRANSIENT, OUTCOME_TRANSIENT},           {OUTCOME_LOST, OUTCOME_LOST},
                {OUTCOME_CONFIG, OUTCOME_CONFIG},       {OUTCOME_INVALID_ANSWER, OUTCOME_INVALID_ANSWER}, {OUTCOME_REJECTED, OUTCOME_INVALID_ANSWER}};
    char answer[64];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct rest rest = {0};
        join(&rest, "{first}", verdict_of(OUTCOME_UNFINISHED, "piece", "t1"), answer);
        assert_int_equal(join(&rest, "{first,t1}", verdict_of(rows[i].came, NULL, NULL), answer), rows[i].becomes);
        assert_false(rest_is_due(&rest));
        assert_int_equal(rest.text.len, 0);
    }
    struct rest rest = {0};
    assert_int_equal(join(&rest, "{first}", verdict_of(OUTCOME_REJECTED, NULL, NULL), answer), OUTCOME_REJECTED); /* this is the input's */
}

static void test_the_whole_has_a_limit(void **state)
{
    (void)state;
    struct rest rest = {0};
    char answer[64], *half = xmalloc(LIMIT_JOINED_BYTES / 2 + 2);
    memset(half, 'x', LIMIT_JOINED_BYTES / 2 + 1);
    half[LIMIT_JOINED_BYTES / 2 + 1] = '\0';
    assert_int_equal(join(&rest, "{}", verdict_of(OUTCOME_UNFINISHED, half, "t1"), answer), OUTCOME_UNFINISHED);
    assert_int_equal(join(&rest, "{}", verdict_of(OUTCOME_UNFINISHED, half, "t2"), answer), OUTCOME_INVALID_ANSWER);
    assert_false(rest_is_due(&rest));
    free(half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_joined),
        cmocka_unit_test(test_other_ends_forget_the_pieces),
        cmocka_unit_test(test_the_whole_has_a_limit),
    };
    return cmocka_run_group_tests_name("dispatch: answers in several calls", tests, NULL, NULL);
}
