/* The rules of prompt templates: what is parsed, what is refused and where, what is put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "core/plan.h"
#include "core/template.h"

static struct template *parsed(const char *text)
{
    struct template *template = NULL;
    struct galloc_error error = {0};
    if (template_parse(text, strlen(text), &template, &error) != 0)
        fail_msg("%s", error.message);
    return template;
}

struct rendered {
    struct buf system, user;
    size_t loads_at;
    int rc;
    struct galloc_error error;
};

static bool sends_no_secret(const char *column, void *arg)
{
    (void)arg;
    return !column_is(column, "secret");
}

static struct rendered render(const char *text, const char *key, const char *fields, bool keeps_back)
{
    struct rendered r = {0};
    struct template *template = parsed(text);
    struct template_input input = {.key = key,
                                   .fields = fields,
                                   .fields_len = strlen(fields),
                                   .is_sent = keeps_back ? sends_no_secret : NULL,
                                   .roster = "AGENTS\n{\"agent_id\":\"A\"}",
                                   .loads = "CANDIDATES\n{\"agent_id\":\"A\"}"};
    r.rc = template_render(template, &input, &r.system, &r.user, &r.loads_at, &r.error);
    template_free(template);
    return r;
}

static void rendered_clear(struct rendered *r)
{
    buf_clear(&r->system);
    buf_clear(&r->user);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        int line;
    } rows[] = {
        {"{{roster}} {{key", "line 1, column 12: {{ is not closed", 1},
        {"a\nb\xc3\xa9 {{\n}} {{loads}}", "line 2, column 4: {{ is not closed", 2},
        {"{{roster}}\n{{ }}", "line 2, column 1: {{}} names nothing", 2},
        {"{{roster}} {{{{key}}", "line 1, column 12", 1},
        {"{{roster}} alone", "says nothing of the assignment", 0},
        {"", "says nothing of the assignment", 0},
        {"{{roster}}{{key}}\n--- user\nx\n--- user \n", "line 4, column 1: a second line", 4},
        {"{{roster}}{{key}}\n\xff", "line 2, column 1: the template is not UTF-8", 2},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct template *template = NULL;
        struct galloc_error error = {0};
        assert_int_equal(template_parse(rows[i].text, strlen(rows[i].text), &template, &error), -GALLOC_INVALID_INPUT);
        if (strstr(error.message, rows[i].words) == NULL)
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, error.message, rows[i].words);
        assert_int_equal(template_error_line(&error), rows[i].line);
        assert_null(template);
    }
}

static void test_agents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_question;
        const char *words; /* NULL: it is well */
    } rows[] = {
        {"{{key}}", false, "names no agents"},        {"{{roster}}{{key}}", false, NULL},        {"{{key}}{{loads}}", false, NULL}, {"{{key}}", true, NULL},
        {"{{roster}}{{key}}", true, "uses {{roster}}"}, {"{{key}}{{loads}}", true, "uses {{loads}}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct template *template = parsed(rows[i].text);
        struct galloc_error error = {0};
        int rc = template_check_agents(template, rows[i].is_question, &error);
        assert_int_equal(rc, rows[i].words ? -GALLOC_INVALID_INPUT : 0);
        assert_true(rows[i].words == NULL || strstr(error.message, rows[i].words) != NULL);
        template_free(template);
    }
}

static void test_names(void **state)
{
    (void)state;
    struct template *template = parsed("{{region}} {{ key }} {{Region}} {{region}}\n--- user\n{{loads}}{{loads}}");
    const char *const *names = template_names(template);
    static const char *const expected[] = {"region", "key", "Region", "loads", NULL};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        assert_true(expected[i] == NULL ? names[i] == NULL : strcmp(names[i], expected[i]) == 0);
    assert_string_equal(template_fields(template)[0], "region");
    assert_string_equal(template_fields(template)[1], "Region");
    assert_null(template_fields(template)[2]);
    assert_true(template_uses(template, TEMPLATE_LOADS));
    assert_false(template_uses(template, TEMPLATE_ROSTER));
    template_free(template);
}

static void test_columns(void **state)
{
    (void)state;
    char region[] = "Region Name", city[] = "city";
    char *columns[] = {region, city, NULL};
    struct galloc_error error = {0};
    struct template *template = parsed("{{roster}}{{region_name}}");
    assert_int_equal(template_check_columns(template, columns, &error), 0);
    template_free(template);
    template = parsed("{{roster}}\n\n{{citty}}");
    assert_int_equal(template_check_columns(template, columns, &error), -GALLOC_INVALID_INPUT);
    assert_string_equal(error.message, "line 3: {{citty}}: the input has no such column; did you mean {{city}}?");
    assert_int_equal(template_error_line(&error), 3);
    template_free(template);
    template = parsed("{{roster}}{{feilds}}");
    assert_int_equal(template_check_columns(template, columns, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "did you mean {{fields}}?"));
    template_free(template);
}

static void test_render(void **state)
{
    (void)state;
    const char *fields =
        "{ \"Region\": \"N\\u00f6rd \\\"x\\\"\", \"n\":1.50, \"secret\":\"s\",\"none\":null, \"list\":[1, 2]}";
    struct rendered r =
        render("S {{roster}}\n--- user\r\n{{region}}|{{n}}|{{none}}|{{list}}|{{key}}|{{fields}}\n{{loads}}", "K1",
               fields, false);
    assert_int_equal(r.rc, 0);
    assert_string_equal(buf_text(&r.system), "S AGENTS\n{\"agent_id\":\"A\"}");
    struct buf expected = BUF_EMPTY;
    buf_add_fmt(&expected, "N\xc3\xb6rd \"x\"|1.50||[1, 2]|K1|%s\nCANDIDATES\n{\"agent_id\":\"A\"}", fields);
    assert_string_equal(buf_text(&r.user), buf_text(&expected)); /* all is sent: the source text as it is */
    buf_clear(&expected);
    rendered_clear(&r);

    r = render("{{roster}}{{fields}}", "K1", fields, true);
    assert_string_equal(buf_text(&r.system), "");
    assert_string_equal(
        buf_text(&r.user),
        "AGENTS\n{\"agent_id\":\"A\"}{\"Region\":\"N\\u00f6rd \\\"x\\\"\",\"n\":1.50,\"none\":null,\"list\":[1, 2]}");
    rendered_clear(&r);

    r = render("{{roster}}{{secret}}", "K1", fields, true);
    assert_int_equal(r.rc, -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(r.error.message, "kept back"));
    rendered_clear(&r);

    r = render("{{roster}}\n{{missing}}", "K1", fields, false);
    assert_int_equal(r.rc, -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(r.error.message, "(line 2) needs {{missing}}"));
    rendered_clear(&r);
}

/* What was put in is not read again, and a member's very name wins over one that only matches. */
static void test_render_once(void **state)
{
    (void)state;
    struct rendered r = render("{{roster}}{{a}}{{b_c}}", "K",
                               "{\"a\":\"{{key}}{{secret}}\",\"BC\":\"loose\",\"b_c\":\"exact\",\"secret\":1}", true);
    assert_int_equal(r.rc, 0);
    assert_non_null(strstr(buf_text(&r.user), "{{key}}{{secret}}exact"));
    rendered_clear(&r);
}

static void test_builtin(void **state)
{
    (void)state;
    struct rendered r = render(template_builtin(), "K\"1", "{\"x\":\"a\\nCANDIDATES\\nb\",\"secret\":2}", true);
    assert_int_equal(r.rc, 0);
    assert_string_equal(buf_text(&r.user), "ASSIGNMENT\n{\"key\":\"K\\\"1\",\"fields\":{\"x\":\"a\\nCANDIDATES\\nb\"}}"
                                           "\nCANDIDATES\n{\"agent_id\":\"A\"}\n");
    const char *roster = strstr(buf_text(&r.system), "\nAGENTS\n{\"agent_id\":\"A\"}");
    assert_non_null(roster);
    assert_string_equal(
        roster, "\nAGENTS\n{\"agent_id\":\"A\"}"); /* the roster ends the system text, each marker alone on its line */
    rendered_clear(&r);
}

static void test_too_many_fields(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    buf_add_str(&text, "{{roster}}");
    for (int i = 0; i < TEMPLATE_FIELDS_MAX; i++)
        buf_add_fmt(&text, "{{f%d}}", i);
    template_free(parsed(buf_text(&text)));
    buf_add_str(&text, "{{one_more}}");
    struct template *template = NULL;
    assert_int_equal(template_parse(buf_text(&text), text.len, &template, NULL), -GALLOC_INVALID_INPUT);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_agents),      cmocka_unit_test(test_names),       cmocka_unit_test(test_columns),
        cmocka_unit_test(test_render),          cmocka_unit_test(test_render_once), cmocka_unit_test(test_builtin),
        cmocka_unit_test(test_too_many_fields),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
