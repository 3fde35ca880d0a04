/* base/random.h from the seed: stands in the place of base/random.c. */
#include "base/random.h"

#include "core/rng.h"
#include "tests/simulation/sched.h"

static struct rng fake;

void random_fake(uint64_t seed)
{
    rng_seed(&fake, ~seed * UINT64_C(0x9e3779b97f4a7c15));
}

void random_bytes(void *ret_bytes, size_t len)
{
    unsigned char *bytes = ret_bytes;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(rng_next(&fake) >> 56);
}

void random_run_id(char ret_id[RUN_ID_BYTES])
{
    static const char digits[] = "0123456789ABCDEF";
    ret_id[0] = 'r';
    ret_id[1] = '-';
    for (size_t i = 2; i + 1 < RUN_ID_BYTES; i++)
        ret_id[i] = digits[rng_next(&fake) >> 60];
    ret_id[RUN_ID_BYTES - 1] = '\0';
}
