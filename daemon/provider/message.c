/* The words of a provider as they are kept: they come from outside, and may echo what was sent. Pure; any thread. */
#include "provider/provider_internal.h"

#include "base/text.h"
#include "core/limits.h"

#include <ctype.h>
#include <stdarg.h>
#include <strings.h>

enum { PAGE_BYTES = 200 }; /* of a page's text: enough to know whose it is */

/* Bytes that are not UTF-8 become U+FFFD, a NUL a space. */
static void add_valid(struct buf *out, const char *text, size_t len)
{
    while (len > 0) {
        size_t valid = text_utf8_span(text, len);
        buf_add(out, text, valid);
        if (valid < len)
            buf_add_str(out, "\xef\xbf\xbd");
        valid += valid < len;
        text += valid;
        len -= valid;
    }
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] == '\0')
            out->data[i] = ' ';
}

char *message_clean(const char *text, size_t len)
{
    struct buf clean = BUF_EMPTY;

    /* The key is looked for before the cut: half a key would not be known as one. */
    add_valid(&clean, text, len < 4 * LIMIT_MESSAGE_BYTES ? len : 4 * LIMIT_MESSAGE_BYTES);
    if (clean.len == 0)
        return xstrdup("");
    text_redact_keys(clean.data);
    if (clean.len > LIMIT_MESSAGE_BYTES) {
        static const char more[] = "\xe2\x80\xa6";
        clean.len = text_utf8_span(clean.data, LIMIT_MESSAGE_BYTES - (sizeof more - 1));
        buf_add_str(&clean, more);
    }
    return buf_take(&clean);
}

/* The text between tags, white space made one space. What <style> and <script> hold is left out. */
static void add_page_text(struct buf *out, const char *page, size_t len)
{
    bool is_tag = false;
    const char *skip_until = NULL;

    for (size_t i = 0; i < len && out->len < PAGE_BYTES; i++) {
        char c = page[i];
        if (c == '<') {
            const char *rest = page + i + 1;
            size_t left = len - i - 1;
            is_tag = true;
            if (skip_until == NULL && left > 6)
                skip_until = strncasecmp(rest, "style", 5) == 0 ? "/style" : strncasecmp(rest, "script", 6) == 0 ? "/script" : NULL;
            else if (skip_until != NULL && left > strlen(skip_until) && strncasecmp(rest, skip_until, strlen(skip_until)) == 0)
                skip_until = NULL;
        } else if (c == '>' && is_tag) {
            is_tag = false;
            c = ' ';
        }
        if (is_tag || skip_until != NULL)
            continue;
        bool is_space = isspace((unsigned char)c) != 0;
        if (!is_space)
            buf_add_char(out, c);
        else if (out->len > 0 && out->data[out->len - 1] != ' ')
            buf_add_char(out, ' ');
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
}

char *message_of_page(int status, const char *body, size_t len)
{
    struct buf page = BUF_EMPTY, text = BUF_EMPTY;

    add_page_text(&page, body, len);
    if (page.len == 0)
        buf_add_fmt(&text, "HTTP %d with an empty body", status);
    else
        buf_add_fmt(&text, "HTTP %d with an unreadable body: ", status);
    buf_add(&text, buf_text(&page), page.len);
    char *message = message_clean(buf_text(&text), text.len);
    buf_clear(&page);
    buf_clear(&text);
    return message;
}

void verdict_say(struct provider_verdict *verdict, const char *fmt, ...)
{
    char text[4 * LIMIT_MESSAGE_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    free(verdict->message);
    verdict->message = message_clean(text, strlen(text));
}
