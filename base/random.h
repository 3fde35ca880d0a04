/* What nobody can guess: from the kernel. */
#ifndef GALLOC_BASE_RANDOM_H
#define GALLOC_BASE_RANDOM_H

#include "base/util.h"

void random_bytes(void *ret_bytes, size_t len); /* from the kernel (getrandom); any thread */

/* A run's name on the wire: "r-" and ten characters of base32 without I, L, O, U (Crockford). ret_id holds RUN_ID_BYTES. */
#define RUN_ID_BYTES 13
void random_run_id(char ret_id[RUN_ID_BYTES]);

#endif
