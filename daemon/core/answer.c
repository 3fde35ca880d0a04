/* See answer.h. */
#include "core/answer.h"

#include <string.h>

void answer_unwrap(const char **text, size_t *len)
{
    const char *at = *text, *end = at + *len;
    while (at < end && strchr(" \t\r\n", *at) != NULL)
        at++;
    while (end > at && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    if (end - at >= 6 && memcmp(at, "```", 3) == 0 && memcmp(end - 3, "```", 3) == 0) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line != NULL && line < end - 3) {
            at = line + 1;
            end -= 3;
        }
    }
    *text = at;
    *len = (size_t)(end - at);
}
