/* schema/openapi.yaml, built in (daemon/api/Makefile.inc makes openapi_text.c of it). Static; any thread. */
#ifndef GALLOC_API_OPENAPI_TEXT_H
#define GALLOC_API_OPENAPI_TEXT_H

#include <stddef.h>

extern const char openapi_text[];
extern const size_t openapi_text_len;

#endif
