/* Cuts a body into the texts of its rows, each checked by itself afterwards, so that a bad one stops no other: lines, or the elements of
 * {"assignments":[…]}. Nothing is copied. On the ingest thread. */
#ifndef GALLOC_INGEST_CUT_H
#define GALLOC_INGEST_CUT_H

#include "base/code.h"

struct cut {
    char *at, *end; /* borrowed: the body */
    bool is_json;
    int64_t number; /* of the row that was cut last, from 1; empty lines count */
};

/* 0; of JSON -GALLOC_NOT_JSON or -GALLOC_INVALID_VALUE when the body is not such an object: all of it is looked at before the first row. */
int cut_begin(struct cut *cut, char *text, size_t len, bool is_json, struct galloc_error *error) MUST_CHECK;

/* The next row's text without the white space around it; an empty line is none. False: there is no more. */
bool cut_next(struct cut *cut, char **ret_text, size_t *ret_len);

#endif
