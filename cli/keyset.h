/* Which keys were seen: 8 bytes a key, so that a file of millions can be looked through. Two of a million keys are taken for one with a chance of
 * 1 to 37 million (64-bit FNV-1a): good for counting, not for deciding. One thread. */
#ifndef GALLOC_CLI_KEYSET_H
#define GALLOC_CLI_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyset {
    uint64_t *slots; /* owned; 0: free */
    size_t count, cap;
};

/* True when the key is new. */
bool keyset_add(struct keyset *set, const char *key, size_t len);
void keyset_clear(struct keyset *set);

#endif
