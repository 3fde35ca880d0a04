/* The readers of input: the same table in every form gives the same rows, wherever the reads cut it. */
#include "base/digest.h"
#include "cli/input.h"
#include "cli/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What came, as text: "key fields|" for rows, "!line column|" for rejects. */
struct heard {
    struct buf text;
    int64_t stop_after;
    int64_t rows;
};

static int begin(void *arg, const struct input_info *info, struct galloc_error *error)
{
    struct heard *heard = arg;
    (void)error;
    buf_add_fmt(&heard->text, "<%s>", info->key);
    return 0;
}

static int row(void *arg, const struct input_row *row, struct galloc_error *error)
{
    struct heard *heard = arg;
    (void)error;
    buf_add(&heard->text, row->key.at, row->key.len);
    buf_add_char(&heard->text, ' ');
    buf_add(&heard->text, row->fields.at, row->fields.len);
    buf_add_char(&heard->text, '|');
    return ++heard->rows == heard->stop_after;
}

static int reject(void *arg, const struct input_reject *reject, struct galloc_error *error)
{
    struct heard *heard = arg;
    (void)error;
    buf_add_fmt(&heard->text, "!%d %s|", (int)reject->line, reject->column ? reject->column : "-");
    return 0;
}

static const char *const key_names[] = {"lan", "lan_no", "key", "id", NULL};

/* Reads text through a file. */
static int read_text(const char *text, size_t len, const struct input_options *options, struct heard *heard, struct galloc_error *error)
{
    char path[] = "/tmp/galloc-input-XXXXXX";
    struct source *source;
    struct input_sink sink = {begin, row, reject, heard};
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, len) == (ssize_t)len);
    close(fd);
    int rc = source_open(path, NULL, &source, error);
    assert_int_equal(rc, 0);
    rc = input_read(source, options, &sink, error);
    source_close(source);
    unlink(path);
    return rc;
}

static void check_rows(const char *text, const char *expected)
{
    struct heard heard = {.text = BUF_EMPTY};
    struct galloc_error error = {0};
    struct input_options options = {.key_names = key_names, .what = "assignments"};
    int rc = read_text(text, strlen(text), &options, &heard, &error);
    if (rc != 0)
        print_error("%s\n", error.message);
    assert_int_equal(rc, 0);
    assert_string_equal(buf_text(&heard.text), expected);
    buf_clear(&heard.text);
}

static void test_forms_agree(void **state)
{
    (void)state;
    const char *expected = "<lan>1 {\"a\":\"x, y\",\"b\":\"q\\\"\"}|2 {\"a\":\"\",\"b\":\" z \"}|";
    check_rows("lan,a,b\n1,\"x, y\",\"q\"\"\"\n2,, z \n", expected);
    check_rows("\xef\xbb\xbflan,a,b\r\n1,\"x, y\",\"q\"\"\"\r\n\r\n2,, z \r\n", expected);
    check_rows("lan;a;b\n1;\"x, y\";\"q\"\"\"\n2;; z ", expected);
    check_rows("{\"lan\":1,\"a\":\"x, y\",\"b\":\"q\\\"\"}\n{\"lan\":\"2\",\"a\":\"\",\"b\":\" z \"}", expected);
    check_rows("[{\"lan\":1,\"a\":\"x, y\",\"b\":\"q\\\"\"},\n {\"a\":\"\",\"lan\":\"2\",\"b\":\" z \"}]", expected);
}

static void test_rejects_have_their_lines(void **state)
{
    (void)state;
    check_rows("lan,a\n1,\"two\nlines\"\n,x\n2\n3,y\n", "<lan>1 {\"a\":\"two\\nlines\"}|!4 lan|!5 -|3 {\"a\":\"y\"}|");
    check_rows("{\"id\":\"a\"}\n{\"id\":}\n{\"id\":1.0}\n", "<id>a {}|!2 -|!3 id|");
    check_rows("[\n{\"id\":\"a\"},\n{\"x\":1},\n{\"id\":\"b\"}\n] trailing", "<id>a {}|!3 id|b {}|!5 -|");
}

static void test_blocks_cut_anywhere(void **state)
{
    (void)state;
    /* rows of odd lengths over many blocks of reading: none may be lost or joined */
    struct buf text = BUF_EMPTY;
    struct heard heard = {.text = BUF_EMPTY};
    struct galloc_error error = {0};
    struct input_options options = {.key_names = key_names, .what = "assignments"};
    buf_add_str(&text, "lan,a\r\n");
    for (int i = 0; i < 40000; i++)
        buf_add_fmt(&text, "K%d,\"%.*s\r\n%d\"\r\n", i, i % 37, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", i);
    assert_int_equal(read_text(text.data, text.len, &options, &heard, &error), 0);
    assert_int_equal(heard.rows, 40000);
    assert_null(strchr(buf_text(&heard.text), '!'));
    buf_clear(&text);
    buf_clear(&heard.text);
}

static void test_stops_when_told(void **state)
{
    (void)state;
    struct heard heard = {.text = BUF_EMPTY, .stop_after = 2};
    struct galloc_error error = {0};
    struct input_options options = {.key_names = key_names, .what = "assignments"};
    assert_int_equal(read_text("lan\na\nb\nc\n", 10, &options, &heard, &error), 0);
    assert_int_equal(heard.rows, 2);
    buf_clear(&heard.text);
}

static void test_keys(void **state)
{
    (void)state;
    static const char *const good[] = {"1", "LAN 7", "1E5", "12E+3", "E+22", "1.E+3", "1E+", "1.5E+2x", "1,E+3", "1,2,3E+4", "é"};
    static const char *const bad[] = {"", "1E+22", "1.23E+22", "1,23E+22", "9E+1", "a\tb", "\xff", "a\x7f"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_null(input_key_problem(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_non_null(input_key_problem(bad[i], strlen(bad[i])));
}

static void test_column_names(void **state)
{
    (void)state;
    char a[] = "Client Name", b[] = "client_name", c[] = "LAN_No";
    char *columns[] = {a, b, c};
    assert_int_equal(input_find_column(columns, 3, "client_name"), 1); /* the same name first */
    assert_int_equal(input_find_column(columns, 3, "CLIENTNAME"), 0);
    assert_int_equal(input_find_column(columns, 3, "lan no"), 2);
    assert_int_equal(input_find_column(columns, 3, "lanx"), -1);
}

static int hear_number(void *arg, const struct input_row *row, struct galloc_error *error)
{
    (void)error;
    buf_add_fmt(arg, "%d ", (int)row->number);
    return 0;
}

static void check_order(const char *text, const char *const *values, size_t count, const char *expected)
{
    struct order *order;
    struct galloc_error error = {0};
    struct buf heard = BUF_EMPTY;
    const char *column;
    assert_int_equal(order_new(text, &order, &column, &error), 0);
    assert_string_equal(column, "amount");
    for (size_t i = 0; i < count; i++) {
        struct input_row row = {.number = (int64_t)i + 1, .key = {"k", 1}, .fields = {"{}", 2}, .raw = {"raw", 3}, .order = {values[i], strlen(values[i])}};
        assert_int_equal(order_add(order, &row, &error), 0);
    }
    assert_int_equal(order_play(order, &(struct input_sink){.row = hear_number, .arg = &heard}, &error), 0);
    assert_string_equal(buf_text(&heard), expected);
    buf_clear(&heard);
    order_free(order);
}

static void test_order(void **state)
{
    (void)state;
    static const char *const numbers[] = {"10", "9", "", "1e1", "-3"};
    static const char *const words[] = {"10", "9", "b", "10"};
    check_order("amount", numbers, 5, "5 2 1 4 3 ");
    check_order("amount:desc", numbers, 5, "1 4 2 5 3 ");
    check_order("amount:asc", words, 4, "1 4 2 3 ");
}

static void test_source_digest_is_the_file(void **state)
{
    (void)state;
    char path[] = "/tmp/galloc-input-XXXXXX", hex[DIGEST_HEX], expected[DIGEST_HEX];
    unsigned char digest[DIGEST_BYTES];
    struct source *source;
    struct galloc_error error = {0};
    const char *data;
    size_t len;
    int fd = mkstemp(path);
    assert_true(write(fd, "\xef\xbb\xbfkey\n1\n", 9) == 9);
    close(fd);
    assert_int_equal(source_open(path, NULL, &source, &error), 0);
    assert_int_equal(source_digest(source, hex, &error), 0);
    digest_of("\xef\xbb\xbfkey\n1\n", 9, digest);
    digest_hex(digest, expected);
    assert_string_equal(hex, expected);
    assert_int_equal(source_read(source, &data, &len, &error), 0);
    assert_int_equal(len, 6); /* from the start again, without its mark */
    source_close(source);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_agree),   cmocka_unit_test(test_rejects_have_their_lines), cmocka_unit_test(test_blocks_cut_anywhere),
        cmocka_unit_test(test_stops_when_told), cmocka_unit_test(test_keys),                   cmocka_unit_test(test_column_names),
        cmocka_unit_test(test_order),         cmocka_unit_test(test_source_digest_is_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
