/* Fuzz target: text from outside. What is shown on a terminal is UTF-8 without control characters, percent-encoding comes back
 * the same, and no setting's parser reads past its text or gives a value out of its range. */
#include "base/parse.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_escape(const char *text, size_t len)
{
    struct buf shown = BUF_EMPTY;

    text_escape(&shown, text, len);
    if (!text_is_utf8(buf_text(&shown), shown.len))
        abort();
    for (size_t i = 0; i < shown.len; i++) {
        unsigned char c = (unsigned char)shown.data[i];
        if (c < 0x20 || c == 0x7f)
            abort();
        if (c == 0xc2 && i + 1 < shown.len && (unsigned char)shown.data[i + 1] < 0xa0)
            abort();
    }
    buf_clear(&shown);
}

static void check_percent(const char *text, size_t len)
{
    struct buf encoded = BUF_EMPTY;

    text_percent_encode(&encoded, text, len);
    char *decoded = buf_take(&encoded);
    if (decoded == NULL)
        return;
    if (memchr(text, 0, len) == NULL && (!text_percent_decode(decoded) || strlen(decoded) != len || memcmp(decoded, text, len) != 0))
        abort();
    free(decoded);
    char *raw = xstrndup(text, len);
    (void)text_percent_decode(raw);
    free(raw);
}

static void check_settings(const char *text)
{
    int64_t value = 0;
    bool flag;

    if (parse_i64(text, -5, 1000, &value, NULL) == 0 && (value < -5 || value > 1000))
        abort();
    if (parse_duration_ms(text, &value, NULL) == 0 && value < 0)
        abort();
    if (parse_micros(text, &value, NULL) == 0 && value < 0)
        abort();
    if (parse_bool(text, &flag, NULL) == 0 && flag != true && flag != false)
        abort();
    if (parse_time_ms(text, &value, NULL) == 0 && value == INT64_MIN)
        abort();
    if (parse_proto_duration_ms(text, &value) && value < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = {"status", "results", "enqueue"};
    const char *why = NULL, *text = (const char *)data;

    if (text_utf8_span(text, len) > len)
        abort();
    if (!text_is_key(text, len, &why) && why == NULL)
        abort();
    check_escape(text, len);
    check_percent(text, len);
    char *copy = xstrndup(text, len);
    text_redact_keys(copy);
    (void)text_nearest(copy, names, ARRAY_COUNT(names));
    check_settings(copy);
    free(copy);
    return 0;
}
