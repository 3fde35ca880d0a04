/* See hint.h. */
#include "cli/hint.h"

#include "base/buf.h"
#include "base/util.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "gallocctl"

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* The program's name at the beginning of a command: not a part of a path or of another word, and a word follows. */
static bool is_command(const char *text, const char *at)
{
    bool is_begin = at == text || strchr(" '(|\t", at[-1]) != NULL;
    const char *behind = at + strlen(PROGRAM);
    return is_begin && behind[0] == ' ' && (islower((unsigned char)behind[1]) || behind[1] == '-');
}

char *hint_named(char *text)
{
    const char *name = from_environment("GALLOCCTL_NAME");
    if (name == NULL || strstr(text, PROGRAM) == NULL)
        return text;
    struct buf out = BUF_EMPTY;
    const char *from = text;
    for (const char *at; (at = strstr(from, PROGRAM)) != NULL; from = at + strlen(PROGRAM)) {
        buf_add(&out, from, (size_t)(at - from));
        buf_add_str(&out, is_command(text, at) ? name : PROGRAM);
    }
    buf_add_str(&out, from);
    free(text);
    return buf_take(&out);
}

const char *hint_start(void)
{
    return from_environment("GALLOCCTL_START");
}
