/* See digest.h. */
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *ctx;
};

/* Fetched once: EVP_Digest with an unfetched method looks the algorithm up anew at every call. */
static const EVP_MD *sha256(void)
{
    static EVP_MD *fetched;
    EVP_MD *md = __atomic_load_n(&fetched, __ATOMIC_ACQUIRE);
    if (md == NULL) {
        EVP_MD *mine = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (mine == NULL)
            abort();
        if (__atomic_compare_exchange_n(&fetched, &md, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return mine;
        EVP_MD_free(mine);
    }
    return md;
}

void digest_of(const void *data, size_t len, unsigned char ret_digest[DIGEST_BYTES])
{
    if (EVP_Digest(data, len, ret_digest, NULL, sha256(), NULL) != 1)
        abort();
}

void digest_hex(const unsigned char digest[DIGEST_BYTES], char ret_hex[DIGEST_HEX])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        ret_hex[2 * i] = hex[digest[i] >> 4];
        ret_hex[2 * i + 1] = hex[digest[i] & 15];
    }
    ret_hex[2 * DIGEST_BYTES] = '\0';
}

struct digest *digest_new(void)
{
    struct digest *digest = xmalloc(sizeof *digest);
    digest->ctx = EVP_MD_CTX_new();
    if (digest->ctx == NULL || EVP_DigestInit_ex(digest->ctx, sha256(), NULL) != 1)
        abort();
    return digest;
}

void digest_add(struct digest *digest, const void *data, size_t len)
{
    if (EVP_DigestUpdate(digest->ctx, data, len) != 1)
        abort();
}

void digest_end(struct digest *digest, unsigned char ret_digest[DIGEST_BYTES])
{
    if (digest == NULL)
        return;
    if (ret_digest != NULL && EVP_DigestFinal_ex(digest->ctx, ret_digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(digest->ctx);
    free(digest);
}
