/* The schema of a run's answers: what is taken and what is refused by name, answers held against it with the words that a model is told, and what a provider
 * is sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limits.h"
#include "core/schema.h"

#include <string.h>

static struct schema *parsed(const char *text)
{
    struct galloc_error error;
    struct schema *schema = NULL;
    if (schema_parse(text, strlen(text), &schema, &error) < 0)
        fail_msg("%s: %s", text, error.message);
    return schema;
}

#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"

static void test_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } rows[] = {
        {"[1", "byte"},
        {"[]", "a schema is an object"},
        {"{\"type\":\"string\"}", "begins with \"type\": \"object\""},
        {"{\"type\":\"object\"}", "has no \"properties\""},
        {"{\"type\":[\"object\",\"null\"],\"properties\":{\"a\":{\"type\":\"string\"}}}", "has to be an object"},
        {OBJECT("\"a\":{\"type\":\"strin\"}"), "at /properties/a/type: \"strin\" is no type; did you mean \"string\"?"},
        {OBJECT("\"a\":{\"type\":\"string\",\"pattern\":\"x\"}"), "at /properties/a: the keyword \"pattern\" cannot be used; those that can are type,"},
        {OBJECT("\"a\":{\"$ref\":\"#\"}"), "at /properties/a: the keyword \"$ref\" cannot be used"},
        {OBJECT("\"a\":{\"type\":\"number\",\"minimun\":1}"), "did you mean \"minimum\"?"},
        {OBJECT("\"a\":{\"type\":\"number\",\"minimum\":\"1\"}"), "at /properties/a/minimum: has to be a number"},
        {OBJECT("\"a\":{\"type\":\"number\",\"minimum\":2,\"maximum\":1}"), "at /properties/a: the least is more than the most"},
        {OBJECT("\"a\":{\"type\":\"string\",\"minLength\":-1}"), "whole number from 0"},
        {OBJECT("\"a\":{\"type\":\"string\",\"format\":\"uri\"}"), "date or date-time"},
        {OBJECT("\"a\":{\"enum\":[]}"), "at /properties/a/enum: has to have 1 to"},
        {OBJECT("\"a\":{\"enum\":[{}]}"), "no lists or objects"},
        {OBJECT("\"a\":{\"anyOf\":[]}"), "at /properties/a/anyOf: the list of schemas is empty"},
        {OBJECT("\"a\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":1}]}"), "at /properties/a/anyOf/1/type"},
        {OBJECT("\"a\":{}"), "at /properties/a: says nothing"},
        {OBJECT("\"a/b~\":{}"), "at /properties/a~1b~0: "},
        {OBJECT("\"a\":true"), "at /properties/a: a schema is an object"},
        {OBJECT("\"a\":{\"type\":\"object\",\"additionalProperties\":{}}"), "at /properties/a/additionalProperties: has to be true or false"},
        {"{\"type\":\"object\",\"required\":[\"amont\"],\"properties\":{\"amount\":{\"type\":\"number\"}}}", "at /required: there is no property \"amont\"; did you mean \"amount\"?"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error;
        struct schema *schema = NULL;
        assert_int_equal(schema_parse(rows[i].text, strlen(rows[i].text), &schema, &error), -GALLOC_INVALID_INPUT);
        if (strstr(error.message, rows[i].problem) == NULL)
            fail_msg("%s\n says: %s\n not: %s", rows[i].text, error.message, rows[i].problem);
    }
}

static const char ticket[] = "{\"type\":\"object\",\"required\":[\"kind\",\"amount\"],\"additionalProperties\":false,\"properties\":{"
                             "\"kind\":{\"type\":\"string\",\"enum\":[\"dispute\",\"promise\",\"other\"]},"
                             "\"amount\":{\"type\":\"number\",\"minimum\":100,\"maximum\":5e6},"
                             "\"count\":{\"type\":\"integer\",\"nullable\":true},"
                             "\"due\":{\"type\":[\"string\",\"null\"],\"format\":\"date\"},"
                             "\"note\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":4},"
                             "\"parts\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":2,\"items\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}},"
                             "\"who\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"minimum\":1}]}}}";

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *problem; /* NULL: it fits */
    } rows[] = {
        {"{\"kind\":\"dispute\",\"amount\":100}", NULL},
        {"{\"kind\":\"dis\\u0070ute\",\"amount\":1e3,\"count\":null,\"due\":null,\"note\":\"añb\",\"parts\":[{\"n\":1.0}],\"who\":7}", NULL},
        {" ```json\n{\"kind\":\"other\",\"amount\":200, \"due\":\"2026-12-31\"}\n``` ", NULL},
        {"", "the answer is empty"},
        {"{\"kind\":", "byte"},
        {"[]", "answer: [] is not of the type object"},
        {"{\"kind\":\"dispute\"}", "answer: \"amount\" is missing"},
        {"{\"kind\":\"dispute\",\"amount\":12}", "answer.amount: 12 is less than the minimum 100"},
        {"{\"kind\":\"dispute\",\"amount\":1e999}", "answer.amount: 1e999 is more than the maximum 5e6"},
        {"{\"kind\":\"dispute\",\"amount\":\"200\"}", "answer.amount: \"200\" is not of the type number"},
        {"{\"kind\":\"Dispute\",\"amount\":200}", "answer.kind: \"Dispute\" is none of \"dispute\", \"promise\", \"other\""},
        {"{\"kind\":\"other\",\"amount\":200,\"count\":1.5}", "answer.count: 1.5 is not of the type integer"},
        {"{\"kind\":\"other\",\"amount\":200,\"due\":\"31.12.2026\"}", "answer.due: \"31.12.2026\" is not a date such as"},
        {"{\"kind\":\"other\",\"amount\":200,\"due\":\"2026-02-31\"}", "answer.due: \"2026-02-31\" is not a date"},
        {"{\"kind\":\"other\",\"amount\":200,\"due\":\"2026- 1- 5\"}", "answer.due: \"2026- 1- 5\" is not a date"},
        {"{\"kind\":\"other\",\"amount\":200,\"note\":\"é\"}", "answer.note: it has 1 character, fewer than 2"},
        {"{\"kind\":\"other\",\"amount\":200,\"note\":\"abcde\"}", "answer.note: it has 5 characters, more than 4"},
        {"{\"kind\":\"other\",\"amount\":200,\"parts\":[]}", "answer.parts: it has 0 items, fewer than 1"},
        {"{\"kind\":\"other\",\"amount\":200,\"parts\":[{\"n\":1},{}]}", "answer.parts[1]: \"n\" is missing"},
        {"{\"kind\":\"other\",\"amount\":200,\"parts\":[{\"n\":1},{\"n\":2},{\"n\":3}]}", "answer.parts: it has 3 items, more than 2"},
        {"{\"kind\":\"other\",\"amount\":200,\"who\":0}", "answer.who: it is like none of the 2 that are allowed (answer.who: 0 is not of the type string)"},
        {"{\"kind\":\"other\",\"amount\":200,\"extra\":1}", "answer: it has \"extra\", which the schema does not name"},
        {"{\"kind\":\"other\",\"kind\":\"other\",\"amount\":200}", "repeated"},
    };
    struct schema *schema = parsed(ticket);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error = {.message = ""};
        struct buf out = BUF_EMPTY;
        int rc = schema_answer_read(schema, rows[i].answer, strlen(rows[i].answer), &out, &error);
        if (rc != (rows[i].problem ? -GALLOC_INVALID_INPUT : 0) || (rows[i].problem != NULL && strstr(error.message, rows[i].problem) == NULL))
            fail_msg("%s\n gives %d: %s\n not: %s", rows[i].answer, rc, error.message, rows[i].problem ? rows[i].problem : "(fits)");
        buf_clear(&out);
    }
    schema_free(schema);
}

static void test_answer_is_one_line(void **state)
{
    (void)state;
    struct schema *schema = parsed(OBJECT("\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}"));
    struct buf out = BUF_EMPTY;
    static const char text[] = "{\n \"a\" : \"x \\\" \\\\ y\" ,\r\n\t\"n\": 12345678901234567890123 }\n";
    assert_int_equal(schema_answer_read(schema, text, strlen(text), &out, NULL), 0);
    assert_string_equal(buf_text(&out), "{\"a\":\"x \\\" \\\\ y\",\"n\":12345678901234567890123}");
    buf_clear(&out);
    schema_free(schema);
}

/* An answer is cut off where the store's limit is, however well it fits. */
static void test_large_answer(void **state)
{
    (void)state;
    struct schema *schema = parsed(OBJECT("\"a\":{\"type\":\"string\"}"));
    struct galloc_error error;
    struct buf text = BUF_EMPTY, out = BUF_EMPTY;
    buf_add_str(&text, "{\"a\":\"");
    while (text.len < LIMIT_KEPT_ANSWER_BYTES - 2)
        buf_add_char(&text, 'x');
    buf_add_str(&text, "\"}");
    assert_int_equal(schema_answer_read(schema, text.data, text.len, &out, &error), 0);
    assert_int_equal(out.len, LIMIT_KEPT_ANSWER_BYTES);
    buf_reset(&out);
    text.len -= 2;
    buf_add_str(&text, "x\"}");
    assert_int_equal(schema_answer_read(schema, text.data, text.len, &out, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "65,537 bytes; the most is 65,536"));
    assert_int_equal(out.len, 0);
    buf_clear(&text);
    buf_clear(&out);
    schema_free(schema);
}

static void test_limits(void **state)
{
    (void)state;
    struct galloc_error error;
    struct schema *schema = NULL;
    struct buf text = BUF_EMPTY;
    for (int depth = 0; depth < LIMIT_SCHEMA_DEPTH; depth++)
        buf_add_str(&text, "{\"type\":\"object\",\"properties\":{\"a\":");
    buf_add_str(&text, "{\"type\":\"null\"}");
    for (int depth = 0; depth < LIMIT_SCHEMA_DEPTH; depth++)
        buf_add_str(&text, "}}");
    assert_int_equal(schema_parse(text.data, text.len, &schema, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "10 deep at most"));
    buf_reset(&text);
    buf_add_str(&text, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i <= LIMIT_SCHEMA_PROPERTIES; i++)
        buf_add_fmt(&text, "%s\"p%d\":{\"type\":\"null\"}", i ? "," : "", i);
    buf_add_str(&text, "}}");
    assert_int_equal(schema_parse(text.data, text.len, &schema, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "at /properties: more than 100 properties"));
    buf_reset(&text);
    while (text.len <= LIMIT_SCHEMA_BYTES)
        buf_add_char(&text, ' ');
    assert_int_equal(schema_parse(text.data, text.len, &schema, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "the most is 32,768"));
    buf_clear(&text);
}

/* As Gemini's responseJsonSchema takes it. */
static void test_told_to_providers(void **state)
{
    (void)state;
    struct schema *schema = parsed("{ \"$schema\":\"x\", \"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\",\"enum\":[\"a\"],\"nullable\":true,\"maxLength\":3},"
                                   "\"l\":{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"number\",\"minLength\":1},{\"type\":\"null\"}]},\"maxItems\":3}},"
                                   "\"required\":[\"k\"],\"propertyOrdering\":[\"l\",\"k\"]}");
    struct buf out = BUF_EMPTY;
    schema_write(schema, &out);
    assert_string_equal(buf_text(&out), "{\"type\":\"object\",\"properties\":{\"k\":{\"type\":[\"string\",\"null\"],\"enum\":[\"a\",null]},"
                                        "\"l\":{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"null\"}]},\"maxItems\":3}},"
                                        "\"required\":[\"k\"],\"propertyOrdering\":[\"l\",\"k\"]}");
    size_t count;
    const char *const *names = schema_properties(schema, &count);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "l");
    buf_clear(&out);
    schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_by_name), cmocka_unit_test(test_answers), cmocka_unit_test(test_answer_is_one_line),
        cmocka_unit_test(test_large_answer),    cmocka_unit_test(test_limits),  cmocka_unit_test(test_told_to_providers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
