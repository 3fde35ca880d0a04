/* Fuzz target: a request's head from a socket. Whatever comes, reading ends; what is taken has a host, a path that begins with '/', no control character, and a
 * length that is a length; and a head that is refused only when whole was not refused for its bytes before. */
#include "api/http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_taken(const struct http_head *head)
{
    if (head->path[0] != '/' || http_header(head, "host") == NULL || head->body_bytes < 0 || http_header(head, "transfer-encoding") != NULL)
        abort();
    for (size_t i = 0; i < head->header_count; i++)
        for (const unsigned char *at = (const unsigned char *)head->headers[i].value; *at != '\0'; at++)
            if ((*at < 0x20 && *at != '\t') || *at == 0x7f)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    static const char *const names[] = {"a", "state", NULL};
    struct galloc_error error;
    size_t skip = http_leading_bytes(text, len), end = http_head_end(text + skip, len - skip);
    int partial = len > skip ? http_head_check_partial(text + skip, len - skip, &error) : 0;
    if (end == 0)
        return 0;
    struct http_head head;
    if (http_head_read(text + skip, end, &head, &error) == 0) {
        check_taken(&head);
        char *value = NULL;
        if (http_query(&head, "a", 0, &value, &error) == 0)
            free(value);
        (void)!http_query_check(&head, names, &error);
        if (partial < 0 && end == len - skip)
            abort();
    }
    http_head_clear(&head);
    return 0;
}
