/* Names of columns: "LAN No", "lan_no" and "lanno" are one. What is to be kept back is compared more widely, beyond
 * ASCII as well. Pure; any thread. */
#include "core/plan.h"

#include "base/json_scan.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* The next byte that counts, in lower case; NUL at the end. */
static char next_byte(const char **at)
{
    while (**at == ' ' || **at == '\t' || **at == '_')
        (*at)++;
    char c = **at;
    if (c == '\0')
        return c;
    (*at)++;
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool column_is(const char *a, const char *b)
{
    for (;;) {
        char x = next_byte(&a), y = next_byte(&b);
        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
}

/* ---- what is kept back ----
 * A name that is written in another way must not slip through, so this errs towards keeping back: letters that may
 * carry marks are passed over, marked or not, because the same letter may come as one character or as two, and be
 * written without its mark where all is in capitals. */

struct letters {
    uint32_t first, last;
};

/* From the general categories Z and Cf of the Unicode Character Database: what is seen as a blank, or not at all. */
static const struct letters blanks[] = {{0x00, 0x20},     {'_', '_'},       {0x7F, 0xA0},     {0xAD, 0xAD},
                                        {0x034F, 0x034F}, {0x061C, 0x061C}, {0x1680, 0x1680}, {0x180B, 0x180F},
                                        {0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x206F}, {0x3000, 0x3000},
                                        {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}};
/* Marked Latin, Greek and Cyrillic letters; "i", which Turkish writes with and without its dot. */
static const struct letters marked[] = {{'i', 'i'},       {0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x024F},
                                        {0x0386, 0x0386}, {0x0388, 0x0390}, {0x03AA, 0x03B0}, {0x03CA, 0x03CE},
                                        {0x0400, 0x0401}, {0x0403, 0x0403}, {0x0407, 0x0407}, {0x040C, 0x040E},
                                        {0x0419, 0x0419}, {0x0439, 0x0439}, {0x0450, 0x0451}, {0x0453, 0x0453},
                                        {0x0457, 0x0457}, {0x045C, 0x045E}, {0x1E00, 0x1FFF}, {0x212A, 0x212B}};
static const struct letters marks[] = {
    {0x0300, 0x036F}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF}, {0x3099, 0x309A}};
/* Capitals with a distance to their small letters, from CaseFolding.txt; Greek, Cyrillic, Armenian. */
static const struct {
    struct letters capitals;
    uint32_t distance;
} cases[] = {
    {{'A', 'Z'}, 32}, {{0x0391, 0x03A9}, 32}, {{0x0402, 0x040F}, 80}, {{0x0410, 0x042F}, 32}, {{0x0531, 0x0556}, 48}};
/* Where a capital is followed by its small letter. */
static const struct letters pairs[] = {{0x0460, 0x0481}, {0x048A, 0x04BF}, {0x04D0, 0x052F}};

static bool is_among(const struct letters *rows, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= rows[i].first && c <= rows[i].last)
            return true;
    return false;
}

static uint32_t small_letter(uint32_t c)
{
    if (c >= 0xFF01 && c <= 0xFF5E) /* as wide as an ideograph */
        c -= 0xFEE0;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (is_among(&cases[i].capitals, 1, c))
            return c + cases[i].distance;
    if (is_among(pairs, ARRAY_COUNT(pairs), c))
        return c | 1;
    return c == 0x03C2 ? 0x03C3 : c; /* the final sigma has the same capital */
}

/* The character that begins at `*at`, which goes behind it; NUL at the end. A byte that begins none stands for itself.
 */
static uint32_t next_character(const char **at)
{
    const unsigned char *s = (const unsigned char *)*at;
    uint32_t c = s[0];
    size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    for (size_t i = 1; i <= more; i++)
        if ((s[i] & 0xC0) != 0x80)
            more = 0;
    c = more > 0 ? c & (0x3Fu >> more) : c;
    for (size_t i = 1; i <= more; i++)
        c = c << 6 | (s[i] & 0x3F);
    *at += c != 0 ? 1 + more : 0;
    return c;
}

/* The next character that tells names apart; NUL at the end. A pair of s is the same as the sharp s, which is passed
 * over. */
static uint32_t next_sure(const char **at)
{
    for (;;) {
        uint32_t c = small_letter(next_character(at));
        const char *after = *at;
        uint32_t next = c != 0 ? small_letter(next_character(&after)) : 0;
        if (c == 's' && next == 's')
            *at = after;
        else if (c == 0 || !(is_among(marks, ARRAY_COUNT(marks), next) || is_among(marks, ARRAY_COUNT(marks), c) ||
                             is_among(blanks, ARRAY_COUNT(blanks), c) || is_among(marked, ARRAY_COUNT(marked), c)))
            return c;
    }
}

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

/* Both ASCII: as columns are compared everywhere. */
static bool may_mean(const char *a, const char *b)
{
    if (column_is(a, b))
        return true;
    if (is_ascii(a) && is_ascii(b))
        return false;
    for (;;) {
        uint32_t x = next_sure(&a), y = next_sure(&b);
        if (x != y)
            return false;
        if (x == 0)
            return true;
    }
}

bool column_is_kept_back(char *const *keep_back, const char *name)
{
    for (; keep_back != NULL && *keep_back != NULL; keep_back++)
        if (may_mean(*keep_back, name))
            return true;
    return false;
}

bool column_is_in(char *const *columns, const char *name)
{
    for (; columns != NULL && *columns != NULL; columns++)
        if (column_is(*columns, name))
            return true;
    return false;
}

/* Does the name, as it stands in the source, mean `wanted`? */
static bool means(struct json_span name, const char *wanted)
{
    struct buf decoded = BUF_EMPTY;
    json_span_string(name, &decoded);
    bool is_same = decoded.len == strlen(buf_text(&decoded)) && column_is(buf_text(&decoded), wanted);
    buf_clear(&decoded);
    return is_same;
}

bool column_find(struct json_span object, const char *name, struct json_span *ret_value)
{
    struct json_span member, value;
    for (const char *at = NULL; json_next(object, &at, &member, &value);) {
        if (json_span_equals(member, name)) {
            *ret_value = value;
            return true;
        }
    }
    for (const char *at = NULL; json_next(object, &at, &member, &value);) {
        if (means(member, name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

const char *column_nearest(char *const *columns, const char *name)
{
    size_t count = 0;
    while (columns != NULL && columns[count] != NULL)
        count++;
    return count > 0 ? text_nearest(name, (const char *const *)columns, count) : NULL;
}
