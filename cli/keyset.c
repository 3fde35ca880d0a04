/* See keyset.h. Open addressing, at most half full. */
#include "cli/keyset.h"

#include "base/util.h"

#include <stdlib.h>

enum { FIRST_CAP = 1024 };

/* FNV-1a (Fowler, Noll, Vo), and never 0. */
static uint64_t hash_of(const char *key, size_t len)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(1099511628211);
    return hash != 0 ? hash : 1;
}

static bool put(uint64_t *slots, size_t cap, uint64_t hash)
{
    size_t at = (size_t)hash & (cap - 1);
    while (slots[at] != 0 && slots[at] != hash)
        at = (at + 1) & (cap - 1);
    bool is_new = slots[at] == 0;
    slots[at] = hash;
    return is_new;
}

static void grow(struct keyset *set)
{
    size_t cap = set->cap > 0 ? 2 * set->cap : FIRST_CAP;
    uint64_t *slots = xcalloc(cap, sizeof *slots);
    for (size_t i = 0; i < set->cap; i++)
        if (set->slots[i] != 0)
            put(slots, cap, set->slots[i]);
    free(set->slots);
    set->slots = slots;
    set->cap = cap;
}

bool keyset_add(struct keyset *set, const char *key, size_t len)
{
    if (2 * set->count >= set->cap)
        grow(set);
    bool is_new = put(set->slots, set->cap, hash_of(key, len));
    set->count += is_new;
    return is_new;
}

void keyset_clear(struct keyset *set)
{
    free(set->slots);
    *set = (struct keyset){0};
}
