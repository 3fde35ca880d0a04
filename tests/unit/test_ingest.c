/* Parts of an import and agents of a pool: what is kept as it came, what is rejected with which words, and the thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "core/limits.h"
#include "core/template.h"
#include "ingest/ingest.h"

static struct ingest_part *checked_bytes(const char *text, size_t len)
{
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->text = xmalloc(len); /* without a NUL behind it, so that a sanitizer sees a read too far */
    memcpy(part->text, text, len);
    part->len = len;
    ingest_part_check(part);
    assert_int_equal(json_check(buf_text(&part->rejected), part->rejected.len, NULL), 0);
    return part;
}

static struct ingest_part *checked(const char *text)
{
    return checked_bytes(text, strlen(text));
}

/* An append. `text` is copied without a NUL; the template may be NULL. */
static struct ingest_part *appended(const char *text, enum ingest_form form, const char *template)
{
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->form = form;
    part->len = strlen(text);
    part->text = xmalloc(part->len);
    memcpy(part->text, text, part->len);
    if (template != NULL)
        assert_int_equal(template_parse(template, strlen(template), &part->template, NULL), 0);
    ingest_part_check(part);
    return part;
}

static void test_append_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ingest_form form;
    } rows[] = {
        {"{\"assignments\":[{\"key\":\"a,]}\",\"fields\":{\"x\":[1,{}]}},\n 7 ,{\"fields\":{},\"key\":5,\"row\":9}]}", INGEST_JSON},
        {" {\t\"assignments\" :[ {\"key\":\"a,]}\",\"fields\":{\"x\":[1,{}]}}\r\n,7,{\"row\":9,\"key\":5,\"fields\":{} } ] }\n", INGEST_JSON},
        {"{\"key\":\"a,]}\",\"fields\":{\"x\":[1,{}]}}\n7\n{\"fields\":{},\"key\":5,\"row\":9}\n", INGEST_LINES},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct ingest_part *part = appended(rows[i].text, rows[i].form, NULL);
        assert_int_equal(part->code, 0);
        assert_int_equal(part->count, 2);
        assert_memory_equal(part->rows[0].key.at, "a,]}", 4);
        assert_memory_equal(part->rows[0].fields.at, "{\"x\":[1,{}]}", part->rows[0].fields.len);
        assert_int_equal(part->rows[0].row, 1); /* its place, where none was given */
        assert_int_equal(part->rows[1].row, 9);
        assert_int_equal(part->rejected_count, 1);
        assert_non_null(strstr(buf_text(&part->rejected), "\"row\":-2"));
        ingest_part_free(part);
    }
}

static void test_append_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *word;
    } rows[] = {
        {"{\"assignments\":[]}", 0, NULL},
        {"{\"assignments\":[ ]}", 0, NULL},
        {"", GALLOC_NOT_JSON, "body"},
        {"[]", GALLOC_INVALID_VALUE, "assignments"},
        {"{}", GALLOC_INVALID_VALUE, "assignments"},
        {"{\"assignments\":{}}", GALLOC_INVALID_VALUE, "list"},
        {"{\"assignments\":[],\"more\":1}", GALLOC_INVALID_VALUE, "\"more\""},
        {"{\"assignments\":[]", GALLOC_NOT_JSON, "body"},
        {"{\"assignments\":[{\"key\":\"a\\", GALLOC_NOT_JSON, "body"},
        {"{\"assignments\":[]}x", GALLOC_NOT_JSON, "body"},
        {"{\" assignments\":[]}", GALLOC_INVALID_VALUE, "\" assignments\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct ingest_part *part = appended(rows[i].text, INGEST_JSON, NULL);
        assert_int_equal(part->code, -rows[i].code);
        assert_int_equal(part->count, 0);
        assert_string_equal(buf_text(&part->rejected), "[]");
        if (rows[i].word != NULL && strstr(part->error.message, rows[i].word) == NULL)
            fail_msg("%s: %s", rows[i].text, part->error.message);
        ingest_part_free(part);
    }
    struct ingest_part *part = appended("{\"assignments\":[{\"key\":1,\"fields\":{}},]}", INGEST_JSON, NULL); /* a comma too many is a row that is none */
    assert_int_equal(part->count, 1);
    assert_int_equal(part->rejected_count, 1);
    ingest_part_free(part);
}

static void test_append_columns(void **state)
{
    (void)state;
    static const char template[] = "{{loads}}\n--- user\n{{home_city}} {{key}} {{fields}}";
    static const char text[] = "{\"key\":1,\"fields\":{\"Home City\":\"x\"}}\n{\"key\":2,\"fields\":{\"home_cty\":\"x\"}}\n{\"key\":3,\"fields\":{}}";
    struct ingest_part *part = appended(text, INGEST_LINES, template);
    assert_int_equal(part->count, 1);
    assert_int_equal(part->rejected_count, 2);
    assert_non_null(strstr(buf_text(&part->rejected), "\"code\":\"missing_column\",\"message\":\"template: line 3: {{home_city}}: the input has no such column; did you mean {{home_cty}}?\""));
    ingest_part_free(part);
    part = appended(text, INGEST_LINES, "{{loads}} {{fields}}"); /* one that needs no column by name */
    assert_int_equal(part->count, 3);
    ingest_part_free(part);
}

static void test_rows(void **state)
{
    (void)state;
    const char *text = "{\"key\":\"A-1\",\"fields\":{\"a\": 1.50 ,\"b\":\"\\u00e9\"},\"row\":1}\r\n"
                       "\n"
                       " { \"row\" : 2, \"fields\" : {} , \"\\u006bey\" : 12345678901234567890123 } \n"
                       "{\"key\":\"x\\\"\\u00e9\\ud83d\\ude00y\",\"fields\":{\"deep\":[{\"k\":null}]},\"row\":3}";
    struct ingest_part *part = checked(text);
    char sha256[DIGEST_HEX];
    unsigned char digest[DIGEST_BYTES];
    digest_of(text, strlen(text), digest);
    digest_hex(digest, sha256);
    assert_string_equal(part->sha256, sha256);
    assert_int_equal(part->code, 0);
    assert_int_equal(part->count, 3);
    assert_int_equal(part->rejected_count, 0);
    assert_string_equal(buf_text(&part->rejected), "[]");
    static const struct {
        const char *key, *fields;
    } expected[] = {{"A-1", "{\"a\": 1.50 ,\"b\":\"\\u00e9\"}"},
                    {"12345678901234567890123", "{}"},
                    {"x\"\xc3\xa9\xf0\x9f\x98\x80y", "{\"deep\":[{\"k\":null}]}"}};
    for (size_t i = 0; i < 3; i++) {
        const struct ingest_row *row = &part->rows[i];
        assert_int_equal(row->key.len, strlen(expected[i].key));
        assert_memory_equal(row->key.at, expected[i].key, row->key.len);
        assert_int_equal(row->fields.len, strlen(expected[i].fields));
        assert_memory_equal(row->fields.at, expected[i].fields, row->fields.len);
        digest_of(expected[i].fields, strlen(expected[i].fields), digest);
        assert_memory_equal(row->sha256, digest, DIGEST_BYTES);
        assert_int_equal(row->row, i + 1);
    }
    ingest_part_free(part);
}

/* Each bad line alone between two good ones: it is rejected with its reason, and the others stand. */
static void test_rejected(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int row;
        const char *code, *words;
    } rows[] = {
        {"{\"key\":\"a\",\"fields\":{},\"row\":7", -2, "invalid_row", "line 2: not valid JSON at byte 30"},
        {"{\"key\":\"a\",\"fields\":{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]},\"row\":7}", -2, "invalid_row", "nested deeper than 25 levels"},
        {"[1]", -2, "invalid_row", "has to be a JSON object"},
        {"7", -2, "invalid_row", "has to be a JSON object"},
        {"{\"key\":\"a\",\"fields\":{\"x\":1,\"\\u0078\":2},\"row\":7}", -2, "repeated_member", "repeated"},
        {"{\"key\":\"a\",\"key\":\"b\",\"fields\":{},\"row\":7}", -2, "repeated_member", "repeated"},
        {"{\"key\":\"a\",\"fields\":{\"x\":\"\xc3\"},\"row\":7}", -2, "not_utf8", "line 2, byte 27: not UTF-8"},
        {"{\"key\":\"a\",\"fields\":{},\"row\":7,\"feilds\":{}}", -2, "invalid_row",
         "unknown member \"feilds\"; did you mean \"fields\"?"},
        {"{\"key\":\"a\",\"fields\":{}}", -2, "invalid_row", "\"row\" is missing"},
        {"{\"key\":\"a\",\"fields\":{},\"row\":0}", -2, "invalid_row", "a whole number from 1"},
        {"{\"key\":\"a\",\"fields\":{},\"row\":1.5}", -2, "invalid_row", "a whole number from 1"},
        {"{\"key\":\"a\",\"fields\":{},\"row\":\"7\"}", -2, "invalid_row", "a whole number from 1"},
        {"{\"key\":\"a\",\"fields\":{},\"row\":99999999999999999999999999999}", -2, "invalid_row",
         "a whole number from 1"},
        {"{\"fields\":{},\"row\":7}", 7, "invalid_key", "\"key\" is missing"},
        {"{\"key\":\"\",\"fields\":{},\"row\":7}", 7, "invalid_key", "empty"},
        {"{\"key\":null,\"fields\":{},\"row\":7}", 7, "invalid_key", "a key is a string"},
        {"{\"key\":1.5,\"fields\":{},\"row\":7}", 7, "invalid_key", "a key is a string"},
        {"{\"key\":{},\"fields\":{},\"row\":7}", 7, "invalid_key", "a key is a string"},
        {"{\"key\":\"a\\u0000b\",\"fields\":{},\"row\":7}", 7, "invalid_key", "control character"},
        {"{\"key\":\"a\\ud800\",\"fields\":{},\"row\":7}", 7, "invalid_key", "half a surrogate pair"},
        {"{\"key\":\"4.56E+15\",\"fields\":{},\"row\":7}", 7, "invalid_key", "formatted as text"},
        {"{\"key\":\"4,56E+15\",\"fields\":{},\"row\":7}", 7, "invalid_key", "formatted as text"},
        {"{\"key\":4.56E+15,\"fields\":{},\"row\":7}", 7, "invalid_key", "formatted as text"},
        {"{\"key\":\"9E+9\",\"fields\":{},\"row\":7}", 7, "invalid_key", "formatted as text"},
        {"{\"key\":\"a\",\"row\":7}", 7, "invalid_row", "\"fields\" has to be an object"},
        {"{\"key\":\"a\",\"fields\":[],\"row\":7}", 7, "invalid_row", "\"fields\" has to be an object"},
        {"{\"key\":\"a\",\"fields\":null,\"row\":7}", 7, "invalid_row", "\"fields\" has to be an object"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf text = BUF_EMPTY;
        buf_add_fmt(&text, "{\"key\":\"1\",\"fields\":{},\"row\":1}\n%s\n{\"key\":\"2\",\"fields\":{},\"row\":2}\n",
                    rows[i].line);
        struct ingest_part *part = checked(buf_text(&text));
        struct json_object *array = NULL;
        assert_int_equal(json_parse(buf_text(&part->rejected), part->rejected.len, &array, NULL), 0);
        struct json_object *one = json_array_at(array, 0);
        const char *message = json_get_str(one, "message", "");
        if (part->count != 2 || part->rejected_count != 1 || json_get_i64(one, "row", 0) != rows[i].row ||
            strcmp(json_get_str(one, "code", ""), rows[i].code) != 0 || strstr(message, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].line, buf_text(&part->rejected));
        json_free(array);
        ingest_part_free(part);
        buf_clear(&text);
    }
}

/* What looks like a destroyed key and is none. */
static void test_keys_let_through(void **state)
{
    (void)state;
    static const char *const keys[] = {"\"4.56e+15\"",       "\"12E+5\"", "\"4.56E15\"", "\"4.E+5\"", "\"4E+\"",
                                       "\"4E+5x\"",          "\"E+5\"",   "0",           "-5",        "\"00123\"",
                                       "\"\xef\xbf\xbd\\t\""};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        struct buf text = BUF_EMPTY;
        buf_add_fmt(&text, "{\"key\":%s,\"fields\":{},\"row\":1}", keys[i]);
        struct ingest_part *part = checked(buf_text(&text));
        bool has_tab = strstr(keys[i], "\\t") != NULL; /* the last one is refused for its tab alone */
        assert_int_equal(part->count, !has_tab);
        assert_int_equal(strstr(buf_text(&part->rejected), "control character") != NULL, has_tab);
        ingest_part_free(part);
        buf_clear(&text);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    for (int over = 0; over < 2; over++) {
        size_t fill = LIMIT_ROW_BYTES - strlen("\"a\"{\"x\":\"\"}") + (size_t)over;
        buf_reset(&text);
        buf_add_str(&text, "{\"key\":\"a\",\"fields\":{\"x\":\"");
        memset(buf_reserve(&text, fill), 'y', fill);
        text.len += fill;
        buf_add_str(&text, "\"},\"row\":9}\n");
        struct ingest_part *part = checked_bytes(text.data, text.len);
        assert_int_equal(part->count, !over);
        assert_int_equal(strstr(buf_text(&part->rejected), "\"row\":9,\"key\":\"a\",\"code\":\"too_large\"") != NULL,
                         over);
        ingest_part_free(part);
    }
    buf_reset(&text);
    for (int i = 1; i <= LIMIT_PART_ROWS; i++)
        buf_add_fmt(&text, "{\"key\":%d,\"fields\":{},\"row\":%d}\n", i, i);
    struct ingest_part *part = checked_bytes(text.data, text.len);
    assert_int_equal(part->code, 0);
    assert_int_equal(part->count, LIMIT_PART_ROWS);
    ingest_part_free(part);
    buf_add_str(&text, "bad\n");
    part = checked_bytes(text.data, text.len);
    assert_int_equal(part->code, -GALLOC_TOO_LARGE);
    assert_int_equal(part->count, 0);
    assert_string_equal(buf_text(&part->rejected), "[]");
    assert_int_equal(strlen(part->sha256), 64);
    ingest_part_free(part);
    part = checked_bytes("", 0);
    assert_int_equal(part->count, 0);
    assert_string_equal(buf_text(&part->rejected), "[]");
    ingest_part_free(part);
    buf_clear(&text);
}

/* ---- the thread ---- */

struct back {
    struct loop *loop;
    int count, expected;
    size_t rows;
};

static void part_is_back(struct ingest_part *part)
{
    struct back *back = part->arg;
    back->rows += part->count;
    ingest_part_free(part);
    if (++back->count == back->expected)
        loop_stop(back->loop);
}

static void time_is_up(void *arg)
{
    loop_stop(arg);
}

static void test_thread(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct ingest *ingest = ingest_new(loop);
    struct back back = {.loop = loop};
    for (int i = 0; i < INGEST_QUEUE + 8; i++) {
        struct ingest_part *part = xcalloc(1, sizeof *part);
        part->text = xstrdup("{\"key\":1,\"fields\":{},\"row\":1}\n");
        part->len = strlen(part->text);
        part->done = part_is_back;
        part->arg = &back;
        if (ingest_submit(ingest, part))
            back.expected++;
        else
            ingest_part_free(part); /* full: the part stayed ours */
    }
    assert_in_range(back.expected, INGEST_QUEUE, INGEST_QUEUE + 8);
    struct loop_timer deadline;
    loop_timer_init(&deadline, loop, time_is_up, loop);
    loop_timer_set_ms(&deadline, 20000);
    loop_run(loop);
    assert_int_equal(back.count, back.expected);
    assert_int_equal(back.rows, back.expected);
    loop_timer_clear(&deadline);

    struct ingest_part *last = xcalloc(1, sizeof *last);
    last->text = xstrdup("{}");
    last->len = 2;
    last->done = part_is_back;
    last->arg = &back;
    assert_true(ingest_submit(ingest, last));
    ingest_free(ingest); /* finishes what waits */
    loop_free(loop);
    assert_int_equal(back.count, back.expected + 1);
}

/* ---- agents ---- */

static struct buf seen;

static void note_agent(const struct ingest_agent *agent, void *arg)
{
    (void)arg;
    buf_add_fmt(&seen, "%s|%d|%d|%d|%lld|%s\n", agent->agent_id, (int)agent->capacity, (int)agent->load,
                agent->is_available, (long long)agent->until_at_ms, agent->attributes);
}

static int read_agents(const char *json, struct galloc_error *error)
{
    struct json_object *array = NULL;
    if (json_parse(json, strlen(json), &array, error) != 0)
        fail_msg("%s: %s", json, error->message);
    buf_reset(&seen);
    int rc = ingest_agents(array, note_agent, NULL, error);
    json_free(array);
    return rc;
}

static void test_agents(void **state)
{
    (void)state;
    struct galloc_error error = {0};
    int rc = read_agents(
        "[{\"agent_id\":\"A\",\"capacity\":3,\"load\":1,\"available\":\"No\",\"until\":\"2026-12-01\",\"region\":\"N\","
        "\"key\":\"k\"},"
        "{\"KEY\":17,\"Capacity\":null,\"skills\":[\"a\",\"b\"],\"rate\":1.50,\"attributes\":{\"x\":\"a/b\"}},"
        "{\"Agent ID\":\"C\",\"capacity\":\"none\",\"load\":\"\",\"available\":true,\"until\":null},"
        "{\"agent_id\":\"D\",\"capacity\":\"0\",\"load\":\"7\",\"available\":\"\",\"attributes\":\"text\"}]",
        &error);
    assert_string_equal(error.message, "");
    assert_int_equal(rc, 0);
    assert_string_equal(buf_text(&seen), "A|3|1|0|1796083200000|{\"region\":\"N\",\"key\":\"k\"}\n"
                                         "17|-1|0|1|0|{\"skills\":[\"a\",\"b\"],\"rate\":1.50,\"x\":\"a/b\"}\n"
                                         "C|-1|0|1|0|{}\n"
                                         "D|0|7|1|0|{\"attributes\":\"text\"}\n");
    buf_clear(&seen);
}

static void test_agents_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } rows[] = {
        {"{}", "a list of at least one agent"},
        {"[]", "a list of at least one agent"},
        {"[1]", "agents, row 1: an object"},
        {"[{\"agent_id\":\"A\"},{\"name\":\"B\"}]", "agents, row 2: there is no agent_id (nor key)"},
        {"[{\"agent_id\":\"\"}]", "\"agent_id\" is empty"},
        {"[{\"agent_id\":null}]", "has to be a string or a whole number"},
        {"[{\"agent_id\":12345678901234567890123}]", "put it in quotes"},
        {"[{\"agent_id\":\"A\\u001b[31m\"}]", "control character"},
        {"[{\"agent_id\":\"A\",\"capacity\":-1}]",
         "agents, row 1 (A): \"capacity\" has to be a whole number from 0; leave it out"},
        {"[{\"agent_id\":\"A\",\"capacity\":1.5}]", "\"capacity\" has to be"},
        {"[{\"agent_id\":\"A\",\"capacity\":\"many\"}]", "\"capacity\" has to be"},
        {"[{\"agent_id\":\"A\",\"capacity\":99999999999}]", "\"capacity\" has to be"},
        {"[{\"agent_id\":\"A\",\"load\":-2}]", "\"load\" has to be"},
        {"[{\"agent_id\":\"A\",\"available\":\"perhaps\"}]", "\"available\" has to be yes or no"},
        {"[{\"agent_id\":\"A\",\"available\":1}]", "\"available\" has to be yes or no"},
        {"[{\"agent_id\":\"A\",\"available\":false,\"until\":\"soon\"}]", "\"until\" has to be a date"},
        {"[{\"agent_id\":\"A\",\"until\":\"2026-12-01\"}]", "goes with available = no"},
        {"[{\"agent_id\":\"A\",\"phone\":12345678901234567890123}]", "\"phone\" is a number too long"},
        {"[{\"agent_id\":\"A\",\"load\":1,\"Load\":2}]", "\"Load\" is given twice"},
        {"[{\"agent_id\":\"A\",\"x\":1,\"attributes\":{\"x\":2}}]", "\"x\" is given twice"},
        {"[{\"agent_id\":\"B\"},{\"agent_id\":\"A\"},{\"agent_id\":\"C\"},{\"agent_id\":\"A\"}]",
         "agents, row 4: the agent_id A is that of row 2"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct galloc_error error = {0};
        int rc = read_agents(rows[i].json, &error);
        if (rc != -GALLOC_INVALID_INPUT || strstr(error.message, rows[i].words) == NULL || seen.len > 0)
            fail_msg("%s: %d \"%s\" (gave %s)", rows[i].json, rc, error.message, buf_text(&seen));
    }
    buf_clear(&seen);
}

static void test_agents_sizes(void **state)
{
    (void)state;
    struct galloc_error error = {0};
    struct buf text = BUF_EMPTY;
    buf_add_char(&text, '[');
    for (int i = 0; i < LIMIT_AGENTS; i++)
        buf_add_fmt(&text, "%s{\"agent_id\":%d}", i ? "," : "", i);
    buf_add_char(&text, ']');
    assert_int_equal(read_agents(buf_text(&text), &error), 0);
    text.len--;
    buf_add_str(&text, ",{\"agent_id\":\"x\"}]");
    assert_int_equal(read_agents(buf_text(&text), &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "there are 10,001; the most in a pool is 10,000"));
    buf_reset(&text);
    buf_add_str(&text, "[{\"agent_id\":\"x\",\"a\":\"");
    for (int i = 0; i < LIMIT_AGENT_BYTES; i++)
        buf_add_char(&text, 'y');
    buf_add_str(&text, "\"}]");
    assert_int_equal(read_agents(buf_text(&text), &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, "more than 16 KiB"));
    buf_clear(&text);
    buf_clear(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_append_forms),
        cmocka_unit_test(test_append_bodies),
        cmocka_unit_test(test_append_columns),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_keys_let_through),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_agents),
        cmocka_unit_test(test_agents_refused),
        cmocka_unit_test(test_agents_sizes),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
