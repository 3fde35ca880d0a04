/* Which URLs may be called: https anywhere, http to this machine, http elsewhere only where the operator said so. Parsed by libcurl itself,
 * so that what is judged here is what is called later. Pure; any thread. */
#include "net/net.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = strlen(host);

    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (len > 2 && len < 64 && host[0] == '[' && host[len - 1] == ']') {
        char bare[64];
        memcpy(bare, host + 1, len - 2);
        bare[len - 2] = '\0';
        return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return false;
}

static int check_parts(CURLU *parts, bool allow_plain_http, struct galloc_error *error)
{
    char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL;
    int rc = 0;

    curl_url_get(parts, CURLUPART_USER, &user, 0);
    curl_url_get(parts, CURLUPART_PASSWORD, &password, 0);
    if (user != NULL || password != NULL)
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "the URL holds a user or password: the key is read from its own file");
    else if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             host[0] == '\0')
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "the URL names no host: write https://HOST");
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "the URL begins with %s: only https can be called (http to this machine)", scheme);
    else if (strcmp(scheme, "http") == 0 && !allow_plain_http && !is_loopback(host))
        rc = galloc_fail(error, GALLOC_INVALID_VALUE,
                         "http to %s would send the key in the open: use https, or set allow_plain_http if the network is yours", host);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    return rc;
}

int net_check_url(const char *url, bool allow_plain_http, struct galloc_error *error)
{
    CURLU *parts = curl_url();
    if (parts == NULL)
        return galloc_fail(error, GALLOC_INTERNAL, "no memory to read a URL");
    CURLUcode code = url == NULL || url[0] == '\0' ? CURLUE_MALFORMED_INPUT : curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    int rc = code == CURLUE_OK ? check_parts(parts, allow_plain_http, error)
                               : galloc_fail(error, GALLOC_INVALID_VALUE, "not a URL (%s): write https://HOST", curl_url_strerror(code));
    curl_url_cleanup(parts);
    return rc;
}

/* SOCKS is not spoken, and a password has no place in a setting that everybody may read. */
int net_check_proxy(const char *proxy, struct galloc_error *error)
{
    char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL;
    int rc = 0;

    if (proxy == NULL || proxy[0] == '\0')
        return 0;
    CURLU *parts = curl_url();
    if (parts == NULL || curl_url_set(parts, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "proxy must be like http://HOST:PORT (http or https; no SOCKS)");
    else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK || curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "proxy holds a user or password: only one that asks for none can be used");
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(parts);
    return rc;
}
