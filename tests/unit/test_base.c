/* The base room's rules: parsing, text, JSON in and out, error table, calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/code.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"

#include <math.h>

static void test_parse_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {{"250ms", 250}, {"30s", 30000}, {"1.5s", 1500}, {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}, {"0s", 0},
                {"30", -1},     {"", -1},       {"-1s", -1},    {"1.s", -1},    {"s", -1},       {"99999d", -1},    {"1e3s", -1}, {"1 s", -1}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t ms = -1;
        int rc = parse_duration_ms(rows[i].text, &ms, NULL);
        assert_int_equal(ms, rows[i].ms);
        assert_int_equal(rc, rows[i].ms < 0 ? -GALLOC_INVALID_VALUE : 0);
    }
}

static void test_parse_numbers(void **state)
{
    (void)state;
    int64_t v = 0;
    assert_int_equal(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v, NULL), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(parse_i64("9223372036854775807", 0, INT64_MAX, &v, NULL), 0);
    assert_true(v == INT64_MAX);
    static const char *const bad[] = {"9223372036854775808", "", "-", "+1", "1x", " 1", "0x10", "11"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_not_equal(parse_i64(bad[i], 0, 10, &v, NULL), 0);
    assert_int_equal(parse_micros("0.075", &v, NULL), 0);
    assert_int_equal(v, 75000);
    assert_int_equal(parse_micros("25", &v, NULL), 0);
    assert_int_equal(v, 25000000);
    assert_int_not_equal(parse_micros("1,5", &v, NULL), 0);
    assert_int_equal(parse_micros("0.0750000", &v, NULL), 0);
    assert_int_equal(v, 75000);
    assert_int_not_equal(parse_micros("0.0750001", &v, NULL), 0); /* nothing is rounded */
    bool yes = false;
    assert_int_equal(parse_bool("Yes", &yes, NULL), 0);
    assert_true(yes);
    assert_int_not_equal(parse_bool("maybe", &yes, NULL), 0);
}

static void test_parse_times(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_int_equal(parse_time_ms("2026-12-01", &ms, NULL), 0);
    assert_true(ms == 1796083200000);
    assert_int_equal(parse_time_ms("2026-12-01T01:30:00+01:30", &ms, NULL), 0);
    assert_true(ms == 1796083200000);
    assert_int_not_equal(parse_time_ms("2026-12-01T01:30:00", &ms, NULL), 0);
    assert_int_not_equal(parse_time_ms("tomorrow", &ms, NULL), 0);
    assert_int_not_equal(parse_time_ms("2026-02-29", &ms, NULL), 0);
    assert_true(parse_proto_duration_ms("34.074824224s", &ms) && ms == 34075);
    assert_true(parse_proto_duration_ms("900ms", &ms) && ms == 900);
    assert_true(parse_proto_duration_ms("0s", &ms) && ms == 0);
    assert_false(parse_proto_duration_ms("bad", &ms));
}

static void test_pacific_midnight(void **state)
{
    (void)state;
    /* 2026-11-23T15:44Z is 07:44 standard time: the next midnight is 24 November 08:00Z. */
    char text[CLOCK_TEXT_MAX];
    assert_string_equal(clock_rfc3339(clock_next_pacific_midnight_ms(1795448640000), text), "2026-11-24T08:00:00.000Z");
    static const char *const rows[][2] = {
        {"2026-07-01T06:59:59Z", "2026-07-01T07:00:00.000Z"}, {"2026-07-01T07:00:00Z", "2026-07-02T07:00:00.000Z"},
        {"2026-03-08T07:59:59Z", "2026-03-08T08:00:00.000Z"}, {"2026-03-08T08:00:00Z", "2026-03-09T07:00:00.000Z"},
        {"2026-11-01T07:00:00Z", "2026-11-02T08:00:00.000Z"}, {"2026-11-01T06:59:59Z", "2026-11-01T07:00:00.000Z"},
        {"2026-12-31T23:00:00Z", "2027-01-01T08:00:00.000Z"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t at = 0;
        assert_int_equal(parse_time_ms(rows[i][0], &at, NULL), 0);
        assert_string_equal(clock_rfc3339(clock_next_pacific_midnight_ms(at), text), rows[i][1]);
    }
}

static void test_text(void **state)
{
    (void)state;
    assert_true(text_is_utf8("a\xc3\xa9\xf0\x9f\x98\x80", 7));
    assert_false(text_is_utf8("\xc0\x80", 2));
    assert_false(text_is_utf8("\xed\xa0\x80", 3));
    assert_int_equal(text_utf8_span("ab\xff", 3), 2);
    struct buf out = BUF_EMPTY;
    text_escape(&out, "a\x1b[31m\xe2\x80\xae\xc2\x9bz\xff\n", 14);
    assert_string_equal(buf_text(&out), "a\\x1b[31m\\u{202e}\\u{9b}z\\xff\\x0a");
    buf_clear(&out);
    char secret[] = "key AIzaSyA1234567890abcdefghij and sk-short";
    text_redact_keys(secret);
    assert_null(strstr(secret, "SyA123"));
    assert_non_null(strstr(secret, "sk-short"));
    static const char *const names[] = {"pause", "resume", "results", "cancel"};
    assert_string_equal(text_nearest("reslts", names, 4), "results");
    assert_string_equal(text_nearest("puase", names, 4), "pause");
    assert_null(text_nearest("zzzzzz", names, 4));
    char path[] = "a%2Fb%20c";
    assert_true(text_percent_decode(path));
    assert_string_equal(path, "a/b c");
    char nul[] = "a%00", half[] = "a%2";
    assert_false(text_percent_decode(nul));
    assert_false(text_percent_decode(half));
    const char *why = NULL;
    assert_true(text_is_key("LAN-1 é", 8, &why));
    assert_false(text_is_key("a\nb", 3, &why));
    assert_false(text_is_key("", 0, &why));
}

static void test_json_check(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_well;
    } rows[] = {{"{}", true}, {" [1, -2.5e+3, true, null, \"x\"] ", true}, {"{\"a\":1,\"a\":2}", false}, {"{\"a\":1,\"\\u0061\":2}", false},
                {"{\"a\":{\"a\":1}}", true}, {"01", false}, {"1.", false}, {"[1,]", false}, {"{\"a\":1,}", false}, {"nul", false},
                {"\"\xff\"", false}, {"\"a\nb\"", false}, {"\"\\x\"", false}, {"\"\\u12\"", false}, {"[1] 2", false}, {"", false}, {"[", false},
                {"\"", false}, {"{\"a\" 1}", false}, {"NaN", false}, {"'a'", false}, {"[1}", false}, {"{\"a\"", false}, {"\"\\", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(json_check(rows[i].text, strlen(rows[i].text), NULL) == 0, rows[i].is_well);
    struct buf deep = BUF_EMPTY;
    for (int i = 0; i < 33; i++)
        buf_add_char(&deep, '[');
    for (int i = 0; i < 33; i++)
        buf_add_char(&deep, ']');
    assert_int_not_equal(json_check(deep.data, deep.len, NULL), 0);
    assert_int_equal(json_check(deep.data + 1, deep.len - 2, NULL), 0);
    buf_reset(&deep);
    buf_add_char(&deep, '{');
    for (int i = 0; i < 100; i++)
        buf_add_fmt(&deep, "\"k%d\":%d,", i == 99 ? 7 : i, i);
    deep.len--;
    buf_add_char(&deep, '}');
    assert_int_not_equal(json_check(deep.data, deep.len, NULL), 0);
    buf_clear(&deep);
}

static void test_json_spans(void **state)
{
    (void)state;
    const char *text = " { \"key\" : 23000000000000000000001, \"f\":{\"a\":\"x\\u00e9\\ud83d\\ude00\",\"b\":[1, 2]} } ";
    assert_int_equal(json_check(text, strlen(text), NULL), 0);
    struct json_span root = {text + 1, strlen(text) - 2}, name, value;
    const char *at = NULL;
    assert_true(json_next(root, &at, &name, &value));
    assert_true(json_span_equals(name, "key"));
    assert_int_equal(value.len, 23);
    assert_int_equal(json_span_kind(value), JSON_INTEGER);
    assert_true(json_next(root, &at, &name, &value));
    assert_int_equal(json_span_kind(value), JSON_OBJECT);
    struct json_span inner = value;
    const char *at2 = NULL;
    assert_true(json_next(inner, &at2, &name, &value));
    struct buf out = BUF_EMPTY;
    json_span_string(value, &out);
    assert_string_equal(buf_text(&out), "x\xc3\xa9\xf0\x9f\x98\x80");
    buf_clear(&out);
    assert_true(json_next(inner, &at2, &name, &value));
    struct json_span array = value;
    const char *at3 = NULL;
    int count = 0;
    while (json_next(array, &at3, &name, &value))
        count++;
    assert_int_equal(count, 2);
    assert_false(json_next(inner, &at2, &name, &value));
    assert_false(json_next(root, &at, &name, &value));
}

/* Every byte at every place of a run is judged as it is when it stands alone. */
static void test_byte_runs(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t len = 1; len <= 24; len++)
            for (size_t at = 0; at < len; at++) {
                char text[24];
                memset(text, 'a' + (int)(at % 20), len);
                text[at] = (char)c;
                bool is_plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                assert_int_equal(bytes_plain_span(text, len), is_plain ? len : at);
                assert_int_equal(bytes_ascii_span(text, len), c < 0x80 ? len : at);
            }
    assert_int_equal(bytes_plain_span("", 0), 0);
}

/* Texts that are longer than a step of the quoting, with a hard place wandering through them, come back as they went in. */
static void test_json_quote_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *back; /* NULL: the same */
    } hards[] = {{"\"", NULL}, {"\\", NULL}, {"\n", NULL}, {"\x01", NULL}, {"\x7f", NULL}, {"\xc3\xa9", NULL}, {"\xf0\x9f\x98\x80", NULL},
                 {"\"\\\"\\\t\r\n\"\x1f", NULL}, {"\xff", "\xef\xbf\xbd"}, {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}};
    for (size_t i = 0; i < ARRAY_COUNT(hards); i++)
        for (size_t before = 500; before < 530; before++) {
            struct buf text = BUF_EMPTY, want = BUF_EMPTY, quoted = BUF_EMPTY, back = BUF_EMPTY;
            for (size_t n = 0; n < before; n++)
                buf_add_char(&text, (char)('a' + n % 26));
            buf_add(&want, text.data, text.len);
            buf_add_str(&text, hards[i].text);
            buf_add_str(&want, hards[i].back != NULL ? hards[i].back : hards[i].text);
            buf_add_str(&text, "rest of it");
            buf_add_str(&want, "rest of it");
            json_quote(&quoted, text.data, text.len);
            assert_int_equal(json_check(quoted.data, quoted.len, NULL), 0);
            json_span_string((struct json_span){quoted.data, quoted.len}, &back);
            assert_string_equal(buf_text(&back), want.data);
            assert_int_equal(back.len, want.len);
            buf_clear(&text);
            buf_clear(&want);
            buf_clear(&quoted);
            buf_clear(&back);
        }
}

static void test_json_out(void **state)
{
    (void)state;
    struct buf buf = BUF_EMPTY;
    struct json_out out = JSON_OUT(&buf);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "a", "q\"\n\x01\xff");
    json_out_name(&out, "n");
    json_out_begin(&out, '[');
    json_out_int(&out, INT64_MIN);
    json_out_ratio(&out, 0.40440);
    json_out_ratio(&out, -2);
    json_out_ratio(&out, NAN);
    json_out_end(&out, ']');
    json_out_member_null(&out, "z");
    json_out_end(&out, '}');
    assert_string_equal(buf_text(&buf), "{\"a\":\"q\\\"\\n\\u0001\xef\xbf\xbd\",\"n\":[-9223372036854775808,0.4044,-2,null],\"z\":null}");
    assert_int_equal(json_check(buf.data, buf.len, NULL), 0);
    buf_clear(&buf);
}

static void test_json_fields(void **state)
{
    (void)state;
    static const struct json_field fields[] = {{"name", JSON_TYPE_STR, true, 1, 5}, {"priority", JSON_TYPE_I64, false, -10, 10}};
    static const struct {
        const char *text;
        int code;
    } rows[] = {{"{\"name\":\"x\"}", 0}, {"{\"name\":\"x\",\"priority\":null}", 0}, {"{\"priority\":1}", GALLOC_INVALID_VALUE},
                {"{\"name\":\"toolong\"}", GALLOC_INVALID_VALUE}, {"{\"name\":\"x\",\"priority\":11}", GALLOC_INVALID_VALUE},
                {"{\"name\":\"x\",\"priorty\":1}", GALLOC_UNKNOWN_FIELD}, {"[]", GALLOC_INVALID_VALUE}, {"{\"name\":1}", GALLOC_INVALID_VALUE}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct json_object *value = NULL;
        struct galloc_error error = {0};
        assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text), &value, &error), 0);
        assert_int_equal(json_check_fields(value, fields, ARRAY_COUNT(fields), &error), -rows[i].code);
        if (rows[i].code == GALLOC_UNKNOWN_FIELD)
            assert_non_null(strstr(error.message, "did you mean \"priority\""));
        json_free(value);
    }
}

static void test_errors(void **state)
{
    (void)state;
    struct galloc_error error;
    char longer[700];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(galloc_fail(&error, GALLOC_NOT_FOUND, "%s", longer), -GALLOC_NOT_FOUND);
    assert_string_equal(error.message + strlen(error.message) - 3, "…");
    galloc_fail(&error, GALLOC_CONFLICT, "inner");
    galloc_prefix(&error, "row %d", 7);
    assert_string_equal(error.message, "row 7: inner");
    assert_int_equal(galloc_code_by_name("disk_full"), GALLOC_DISK_FULL);
    assert_int_equal(galloc_code_row(-GALLOC_DISK_FULL)->http_status, 507);
    for (int i = 0; i < GALLOC_CODE_COUNT; i++)
        assert_int_equal(galloc_code_by_name(galloc_code_row(i)->name), i); /* wire names are unique */
}

static void test_digest(void **state)
{
    (void)state;
    unsigned char one[DIGEST_BYTES], two[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    digest_of("abc", 3, one);
    digest_hex(one, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2, B.1 */
    struct digest *digest = digest_new();
    digest_add(digest, "a", 1);
    digest_add(digest, "bc", 2);
    digest_end(digest, two);
    assert_memory_equal(one, two, DIGEST_BYTES);
    char a[RUN_ID_BYTES], b[RUN_ID_BYTES];
    random_run_id(a);
    random_run_id(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), RUN_ID_BYTES - 1);
}

static void test_logged_names(void **state)
{
    (void)state;
    char long_name[1000];
    memset(long_name, '"', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_string_equal(log_quote("desk 7").text, "\"desk 7\"");
    assert_string_equal(log_quote("a\" run=r-1 \\").text, "\"a\\\" run=r-1 \\\\\"");
    struct log_quoted cut = log_quote(long_name);
    size_t len = strlen(cut.text);
    assert_true(len < sizeof cut.text && strcmp(cut.text + len - 3, "\\\"\"") == 0);
}

static void test_times_of_one_second(void **state)
{
    (void)state;
    static const struct {
        int64_t at_ms;
        const char *text;
    } rows[] = {{1795448640000, "2026-11-23T15:44:00.000Z"}, {1795448640007, "2026-11-23T15:44:00.007Z"}, {1795448640999, "2026-11-23T15:44:00.999Z"},
                {1795448641000, "2026-11-23T15:44:01.000Z"}, {0, "1970-01-01T00:00:00.000Z"}, {-1, ""}, {INT64_MAX, ""}, {1795448640120, "2026-11-23T15:44:00.120Z"}};
    char text[CLOCK_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_string_equal(clock_rfc3339(rows[i].at_ms, text), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_durations), cmocka_unit_test(test_parse_numbers), cmocka_unit_test(test_parse_times),
        cmocka_unit_test(test_pacific_midnight), cmocka_unit_test(test_text),         cmocka_unit_test(test_json_check),
        cmocka_unit_test(test_json_spans),      cmocka_unit_test(test_byte_runs),
        cmocka_unit_test(test_json_quote_and_back), cmocka_unit_test(test_json_out),      cmocka_unit_test(test_json_fields),
        cmocka_unit_test(test_errors),          cmocka_unit_test(test_digest),
        cmocka_unit_test(test_logged_names),
        cmocka_unit_test(test_times_of_one_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
