/* See random.h. A file of its own, so that the simulation (tests/simulation) can stand in its place. */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *ret_bytes, size_t len)
{
    char *at = ret_bytes;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

void random_run_id(char ret_id[RUN_ID_BYTES])
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    unsigned char bytes[RUN_ID_BYTES - 3];
    random_bytes(bytes, sizeof bytes);
    ret_id[0] = 'r';
    ret_id[1] = '-';
    for (size_t i = 0; i < sizeof bytes; i++)
        ret_id[2 + i] = alphabet[bytes[i] % 32];
    ret_id[RUN_ID_BYTES - 1] = '\0';
}
