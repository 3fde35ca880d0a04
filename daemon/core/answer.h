/* What a model's text is, before what it says is looked at. Pure; any thread. */
#ifndef GALLOC_CORE_ANSWER_H
#define GALLOC_CORE_ANSWER_H

#include <stddef.h>

/* Narrows the text to what stands within blanks and a code fence: models wrap JSON in one now and then, whatever they are told. */
void answer_unwrap(const char **text, size_t *len);

#endif
