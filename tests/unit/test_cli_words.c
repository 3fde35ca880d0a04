/* Words for people: numbers, durations, money, a run's line, CSV cells, agents' files. */
#include "base/clock.h"
#include "cli/agents.h"
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/setting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(struct buf *text, const char *expected)
{
    assert_string_equal(buf_text(text), expected);
    buf_clear(text);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *count, *seconds, *ms;
    } rows[] = {{0, "0", "0 s", "0 ms"},
                {999, "999", "17 min", "999 ms"},
                {89, "89", "89 s", "89 ms"},
                {1000, "1,000", "17 min", "1.0 s"},
                {12000, "12,000", "3 h 20 min", "12.0 s"},
                {1234567, "1,234,567", "14 d 6 h", "21 min"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf text = BUF_EMPTY;
        show_count(&text, rows[i].value);
        expect(&text, rows[i].count);
        show_seconds(&text, rows[i].value);
        expect(&text, rows[i].seconds);
        show_ms(&text, rows[i].value);
        expect(&text, rows[i].ms);
    }
}

static void test_money(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    struct json_object *cost = NULL;
    show_micros(&text, "USD", 10190000);
    expect(&text, "10.19 USD");
    show_micros(&text, "USD", 999999999);
    expect(&text, "1,000.00 USD");
    show_micros(&text, "EUR", 12345);
    expect(&text, "0.0123 EUR");
    show_micros(&text, NULL, 12);
    expect(&text, "0.000012");
    show_micros(&text, "USD", 0);
    expect(&text, "0.00 USD");
    assert_int_equal(json_parse("{\"currency\":null,\"micros\":null}", 31, &cost, NULL), 0);
    show_money(&text, cost);
    expect(&text, "unknown (no price is set)");
    json_free(cost);
}

static void test_times(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    setenv("TZ", "UTC", 1);
    tzset();
    clock_fake(0, INT64_C(1795420800000)); /* 2026-11-23 08:00 UTC */
    show_time(&text, "2026-11-23T09:12:30.250Z");
    expect(&text, "09:12:30");
    show_time(&text, "2026-11-22T09:12:30Z");
    expect(&text, "2026-11-22 09:12");
    show_time(&text, NULL);
    expect(&text, "-");
    show_time(&text, "nonsense");
    expect(&text, "-");
    assert_int_equal(seconds_until("2026-11-23T08:01:00Z"), 60);
    assert_true(seconds_until("never") == INT64_MIN);
    clock_real();
}

static const char run_text[] =
    "{\"id\":\"r-1\",\"name\":null,\"state\":\"%s\",\"reason\":\"credentials\",\"text\":\"put a key there\",\"waiting\":%s,"
    "\"counts\":{\"total\":120000,\"pending\":0,\"leased\":0,\"succeeded\":48210,\"failed\":312,\"cancelled\":0},\"progress\":0.4044,"
    "\"rate_per_min\":3120.4,\"eta\":{\"seconds\":1375,\"low\":1180,\"high\":1690,\"limited_by\":\"rpm\"}}";

static void check_line(const char *run_state, const char *waiting, const char *expected)
{
    struct buf json = BUF_EMPTY, line = BUF_EMPTY;
    struct json_object *run = NULL;
    const char *at = strstr(run_text, "%s"), *second = strstr(at + 2, "%s");
    buf_add(&json, run_text, (size_t)(at - run_text));
    buf_add_str(&json, run_state);
    buf_add(&json, at + 2, (size_t)(second - at - 2));
    buf_add_str(&json, waiting);
    buf_add_str(&json, second + 2);
    assert_int_equal(json_parse(json.data, json.len, &run, NULL), 0);
    show_run_line(&line, run, 0);
    expect(&line, expected);
    json_free(run);
    buf_clear(&json);
}

static void test_run_line(void **state)
{
    (void)state;
    check_line("running", "null", "r-1 40.4 %  48,522/120,000  312 failed  ETA 20 min to 28 min  3,120/min (limited by rpm)");
    check_line("paused", "null", "r-1 40.4 %  48,522/120,000  312 failed  paused: credentials; put a key there");
    check_line("running", "{\"code\":\"outage\",\"until\":null,\"text\":\"the API is down\"}",
               "r-1 40.4 %  48,522/120,000  312 failed  waits: the API is down");
    check_line("importing", "null", "r-1 40.4 %  48,522/120,000  312 failed  importing");
}

static void test_bar(void **state)
{
    (void)state;
    struct buf bar = BUF_EMPTY;
    progress_bar(&bar, 0.5, 4);
    expect(&bar, "[##--]");
    progress_bar(&bar, -1, 2);
    expect(&bar, "[--]");
    progress_bar(&bar, 2, 2);
    expect(&bar, "[##]");
}

static void test_csv_cells(void **state)
{
    (void)state;
    struct buf line = BUF_EMPTY;
    csv_add_cell(&line, "plain", 5);
    expect(&line, "plain");
    csv_add_cell(&line, "a,\"b\"\n", 6);
    expect(&line, "\"a,\"\"b\"\"\n\"");
}

static const struct setting_row settings[] = {
    {"capacity", "capacity", SETTING_NUMBER, 0, 10, "none", "N", "", NULL},
    {"until", "until", SETTING_TIME, 0, 0, NULL, "DATE", "", NULL},
    {"open", "is_open", SETTING_YES, 0, 0, NULL, "yes|no", "", NULL},
    {"price_in", "in_micros", SETTING_AMOUNT, 0, 2000000, NULL, "0.75", "", "price"},
    {"currency", "currency", SETTING_TEXT, 0, 0, NULL, "USD", "", "price"},
    {"price", "price", SETTING_WHOLE, 0, 0, NULL, NULL, "", NULL},
    {0},
};

/* The words of a line, at most eight. */
static int split(char *line, char *ret_words[8])
{
    int count = 0;
    char *at = line;
    for (char *word; (word = strsep(&at, " ")) != NULL && count < 8;)
        ret_words[count++] = word;
    return count;
}

static int write_words(struct buf *text, const char *line, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(text);
    char *copy = xstrdup(line), *words[8];
    int count = split(copy, words);
    buf_reset(text);
    json_out_begin(&out, '{');
    int rc = setting_write(&out, settings, count, words, "an agent", error);
    json_out_end(&out, '}');
    free(copy);
    return rc;
}

static int write_nulls(struct buf *text, const char *line, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(text);
    char *copy = xstrdup(line), *words[8];
    int count = split(copy, words);
    buf_reset(text);
    int rc = setting_write_null(&out, settings, count, words, "an agent", error);
    free(copy);
    return rc;
}

static void test_settings(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    struct galloc_error error = {0};
    assert_int_equal(write_words(&text, "capacity=7 until=2026-12-24 open=no", &error), 0);
    expect(&text, "{\"capacity\":7,\"until\":\"2026-12-24T00:00:00.000Z\",\"is_open\":false}");
    assert_int_equal(write_words(&text, "capacity=none", &error), 0);
    expect(&text, "{\"capacity\":null}");
    static const struct {
        const char *word;
        const char *says;
    } refused[] = {{"capacity=11", "0 to 10"}, {"capactiy=1", "did you mean capacity"}, {"capacity", "not NAME=VALUE"}, {"price=1", "by its parts: price_in=0.75 currency=USD"},
                   {"price_in=0.0000001", "more than 6 digits"}, {"price_in=1 price_in=2", "stands twice"}, {"price_in=-1", "not an amount"}, {"price_in=2.000001", "out of range: 0.00 to 2.00"}};
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        int rc = write_words(&text, refused[i].word, &error);
        if (rc != -GALLOC_USAGE || strstr(error.message, refused[i].says) == NULL)
            fail_msg("%s: %d %s", refused[i].word, rc, error.message);
    }
    buf_clear(&text);
}

/* Parts go into one member, wherever they stand among the words, and no amount is rounded. */
static void test_settings_in_parts(void **state)
{
    (void)state;
    struct buf text = BUF_EMPTY;
    struct galloc_error error = {0};
    assert_int_equal(write_words(&text, "price_in=0.100001 open=yes currency=EUR", &error), 0);
    expect(&text, "{\"is_open\":true,\"price\":{\"in_micros\":100001,\"currency\":\"EUR\"}}");
    assert_int_equal(write_nulls(&text, "open price", &error), 0);
    expect(&text, "\"is_open\":null,\"price\":null");
    assert_int_equal(write_nulls(&text, "price_in", &error), -GALLOC_USAGE);
    assert_non_null(strstr(error.message, "part of the price"));
    buf_clear(&text);
}

static void test_agents_file(void **state)
{
    (void)state;
    char path[] = "/tmp/galloc-agents-XXXXXX";
    struct buf json = BUF_EMPTY;
    struct galloc_error error = {0};
    size_t count = 0;
    int fd = mkstemp(path);
    const char *text = "Agent ID,Capacity,load,AVAILABLE,region\nA1,10,2,no,\"north, far\"\nA2,,,,\n";
    assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(agents_read(path, &json, &count, &error), 0);
    assert_int_equal(count, 2);
    expect(&json, "[{\"agent_id\":\"A1\",\"capacity\":10,\"load\":2,\"available\":false,\"attributes\":{\"region\":\"north, far\"}},"
                  "{\"agent_id\":\"A2\",\"attributes\":{\"region\":\"\"}}]");
    assert_true(write(fd, "A3,-1,,,\n", 9) == 9);
    close(fd);
    assert_int_equal(agents_read(path, &json, &count, &error), -GALLOC_INVALID_INPUT);
    assert_non_null(strstr(error.message, ":4: capacity"));
    buf_clear(&json);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_money), cmocka_unit_test(test_times),     cmocka_unit_test(test_run_line),
        cmocka_unit_test(test_bar),      cmocka_unit_test(test_csv_cells), cmocka_unit_test(test_settings), cmocka_unit_test(test_settings_in_parts), cmocka_unit_test(test_agents_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
