/* SHA-256 through libcrypto. */
#ifndef GALLOC_BASE_DIGEST_H
#define GALLOC_BASE_DIGEST_H

#include "base/util.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX (2 * DIGEST_BYTES + 1)

struct digest; /* a running digest; one thread at a time */

void digest_of(const void *data, size_t len, unsigned char ret_digest[DIGEST_BYTES]); /* any thread */
void digest_hex(const unsigned char digest[DIGEST_BYTES], char ret_hex[DIGEST_HEX]);  /* lower case, NUL */

struct digest *digest_new(void);
void digest_add(struct digest *digest, const void *data, size_t len);
void digest_end(struct digest *digest, unsigned char ret_digest[DIGEST_BYTES]); /* frees it; ret_digest may be NULL */

#endif
