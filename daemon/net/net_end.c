/* What an end of libcurl means to us: one row a code. What was connected or not decides between "nothing was sent" and "maybe sent". */
#include "net/net_internal.h"

#include "base/text.h"

static const struct {
    CURLcode code;
    enum net_end end;
} ends[] = {
    {CURLE_OK, NET_ANSWERED},
    {CURLE_COULDNT_RESOLVE_PROXY, NET_NOT_SENT},
    {CURLE_COULDNT_RESOLVE_HOST, NET_NOT_SENT},
    {CURLE_COULDNT_CONNECT, NET_NOT_SENT},
    {CURLE_SSL_CONNECT_ERROR, NET_NOT_SENT},
    {CURLE_PROXY, NET_NOT_SENT},
    {CURLE_UNSUPPORTED_PROTOCOL, NET_CONFIG},
    {CURLE_FAILED_INIT, NET_CONFIG},
    {CURLE_URL_MALFORMAT, NET_CONFIG},
    {CURLE_NOT_BUILT_IN, NET_CONFIG},
    {CURLE_BAD_FUNCTION_ARGUMENT, NET_CONFIG},
    {CURLE_SSL_CERTPROBLEM, NET_CONFIG},
    {CURLE_SSL_CIPHER, NET_CONFIG},
    {CURLE_PEER_FAILED_VERIFICATION, NET_CONFIG},
    {CURLE_SSL_CACERT_BADFILE, NET_CONFIG},
    {CURLE_SSL_ISSUER_ERROR, NET_CONFIG},
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, NET_CONFIG},
    {CURLE_SSL_INVALIDCERTSTATUS, NET_CONFIG},
    {CURLE_OPERATION_TIMEDOUT, NET_TIMED_OUT},
    {CURLE_ABORTED_BY_CALLBACK, NET_REUSE_DIED}, /* a repeat that net_transfer.c refused */
    {(CURLcode)100, NET_TOO_LARGE},              /* CURLE_TOO_LARGE, named since 8.6: a header line over its own cap */
};

static bool is_reused(const struct net_call *call)
{
    long connects = 0;
    return call->is_connected && curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects) == CURLE_OK && connects == 0;
}

enum net_end net_end_of(const struct net_call *call, CURLcode code)
{
    enum net_end end = NET_BROKEN;

    if (call->is_too_large)
        return NET_TOO_LARGE;
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        if (ends[i].code == code)
            end = ends[i].end;
    /* libcurl 7.88 reports a header line over its cap as want of memory. */
    if (code == CURLE_OUT_OF_MEMORY && call->byte_us != 0 && call->answer.len == 0)
        return NET_TOO_LARGE;
    /* libcurl wants to repeat on some of these and not on others, as the race between its sending and the reset goes: it is one thing. */
    if (end == NET_BROKEN && call->byte_us == 0 && is_reused(call))
        return NET_REUSE_DIED;
    if (!call->is_connected && (end == NET_BROKEN || end == NET_TIMED_OUT))
        return NET_NOT_SENT;
    /* Bytes that are no HTTP end as an unsupported protocol; on a connection that stood this is no fault of the configuration. */
    if (call->is_connected && (end == NET_NOT_SENT || end == NET_CONFIG))
        return NET_BROKEN;
    return end;
}

/* A server that echoes the key must not put it into records and logs. */
void net_end_redact(const struct net_site *site, char *text, size_t len)
{
    enum { SHORTEST = 6 }; /* a shorter one would blot out ordinary words */
    size_t secret_len = site->secret != NULL ? strlen(site->secret) : 0;
    char *end = text + len;

    if (secret_len < SHORTEST)
        return;
    while ((text = memmem(text, (size_t)(end - text), site->secret, secret_len)) != NULL) {
        memset(text, '*', secret_len);
        text += secret_len;
    }
}
