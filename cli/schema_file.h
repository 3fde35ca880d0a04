/* A file with the schema of a run's answers: read as it is, and the places that the daemon names in it found again as lines. One thread. */
#ifndef GALLOC_CLI_SCHEMA_FILE_H
#define GALLOC_CLI_SCHEMA_FILE_H

#include "base/buf.h"
#include "base/code.h"

/* The JSON text of the file. 0; -GALLOC_INVALID_INPUT with FILE:LINE where it is none; -GALLOC_LOCAL_IO. What the schema means is the daemon's to say. The caller
 * frees *ret_text. */
int schema_file_read(const char *path, char **ret_text, struct galloc_error *error) MUST_CHECK;

/* A message that begins with "at POINTER: " (or "schema: at POINTER: ") as "FILE:LINE: at POINTER: …"; any other one about the schema with the file before it, and
 * NULL where the message is not about the schema. The caller frees. `is_plain`: the message has no "schema: " before it, though it is about it. */
char *schema_file_place(const char *path, const char *text, const char *message, bool is_plain);

#endif
