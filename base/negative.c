/* See negative.h. Empty but in a build with negative controls. */
#include "base/negative.h"

#ifdef GALLOC_NEGATIVE_CONTROLS
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text;
} controls[NEGATIVE_COUNT] = {
#define X(symbol, name, text) {name, text},
    NEGATIVE_CONTROLS(X)
#undef X
};

static const char *asked(void)
{
    const char *name = getenv("GALLOC_BREAK");
    return name != NULL && name[0] != '\0' ? name : NULL;
}

bool negative_breaks(enum negative_control control)
{
    const char *name = asked();
    return name != NULL && strcmp(name, controls[control].name) == 0;
}

const char *negative_text(void)
{
    const char *name = asked();
    for (size_t i = 0; name != NULL && i < NEGATIVE_COUNT; i++)
        if (strcmp(name, controls[i].name) == 0)
            return controls[i].text;
    return name != NULL ? "GALLOC_BREAK names no promise of base/negative.h" : NULL;
}
#else
typedef int negative_is_empty; /* a file of C may not be */
#endif
