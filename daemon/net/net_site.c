/* Sites: what stays the same between calls, and every option of libcurl that makes a call safe. Options are set once when a handle is made for
 * its site; a call sets its body's size, its time limits and its headers (the site's list, with its own before it), nothing else.
 *
 * Our copies of the key (the site's and the header list's) are wiped when the site goes. libcurl keeps copies of its own while it
 * sends a header and frees them unwiped: against a reader of our memory stand LimitCORE=0 and PR_SET_DUMPABLE. */
#include "net/net_internal.h"

#include <strings.h>

enum { SITES_MAX = 64 };

static void wipe_free(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* A control character in a header could begin another header. */
bool net_site_is_header(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool has_headers(const struct net_site *site, const char *const *headers)
{
    size_t i = 0;
    for (; headers != NULL && headers[i] != NULL && site->headers[i] != NULL; i++)
        if (strcmp(site->headers[i], headers[i]) != 0)
            return false;
    return site->headers[i] == NULL && (headers == NULL || headers[i] == NULL);
}

static bool is_same_place(const struct net_site *site, const struct net_request *request)
{
    return strcmp(site->url, or_empty(request->url)) == 0 && strcmp(site->method, request->method) == 0 &&
           strcmp(site->secret_header, or_empty(request->secret_header)) == 0 && strcmp(site->proxy, or_empty(request->proxy)) == 0 &&
           strcmp(site->ca_file, or_empty(request->ca_file)) == 0 && site->allow_plain_http == request->allow_plain_http &&
           has_headers(site, request->headers);
}

static struct curl_slist *append(struct curl_slist *list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(list, text);
    return longer != NULL ? longer : list;
}

static void make_headers(struct net_site *site, const char *const *headers)
{
    size_t count = 0;
    while (headers != NULL && headers[count] != NULL)
        count++;
    site->headers = xcalloc(count + 1, sizeof *site->headers);
    for (size_t i = 0; i < count; i++) {
        site->headers[i] = xstrdup(headers[i]);
        site->list = append(site->list, headers[i]);
        if (!net_site_is_header(headers[i]))
            galloc_fail(&site->refusal, GALLOC_INVALID_VALUE, "a header holds a control character");
    }
    site->list = append(site->list, "Expect:"); /* or libcurl waits for a 100 before a body over 1 MiB */
    if (site->secret_header[0] != '\0' && site->secret[0] != '\0') {
        char *line = xasprintf("%s%s", site->secret_header, site->secret);
        site->list = append(site->list, line);
        if (!net_site_is_header(line))
            galloc_fail(&site->refusal, GALLOC_INVALID_VALUE, "the key holds a line break or another control character");
        wipe_free(line);
    }
}

static struct net_site *site_new(const struct net_request *request)
{
    struct net_site *site = xcalloc(1, sizeof *site);
    site->url = xstrdup(or_empty(request->url));
    site->method = xstrdup(request->method);
    site->secret_header = xstrdup(or_empty(request->secret_header));
    site->secret = xstrdup(or_empty(request->secret));
    site->proxy = xstrdup(or_empty(request->proxy));
    site->ca_file = xstrdup(or_empty(request->ca_file));
    site->allow_plain_http = request->allow_plain_http;
    site->is_plain = strncasecmp(site->url, "http:", 5) == 0;
    if (net_check_url(site->url, site->allow_plain_http, &site->refusal) == 0 && net_check_proxy(site->proxy, &site->refusal) == 0)
        make_headers(site, request->headers);
    else
        site->headers = xcalloc(1, sizeof *site->headers);
    if (site->refusal.code == 0 && ((site->place = curl_url()) == NULL || curl_url_set(site->place, CURLUPART_URL, site->url, 0) != CURLUE_OK))
        galloc_fail(&site->refusal, GALLOC_INVALID_VALUE, "libcurl does not take the URL");
    return site;
}

void net_site_free(struct net_site *site)
{
    for (struct curl_slist *line = site->list; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(site->list);
    curl_url_cleanup(site->place);
    for (size_t i = 0; site->headers[i] != NULL; i++)
        free(site->headers[i]);
    free(site->headers);
    wipe_free(site->secret);
    free(site->url);
    free(site->method);
    free(site->secret_header);
    free(site->proxy);
    free(site->ca_file);
    free(site);
}

static void drop_unused(struct net_site **link)
{
    struct net_site *site = *link;
    *link = site->next;
    for (struct net_call *call = site->idle, *next; call != NULL; call = next) {
        next = call->next;
        net_call_free(call);
    }
    net_site_free(site);
}

/* The site of a request, made when it is new. The list is in the order of use. */
struct net_site *net_site_get(struct net *net, const struct net_request *request)
{
    struct net_site *found = NULL;
    size_t count = 0;

    for (struct net_site **link = &net->sites; *link != NULL;) {
        struct net_site *site = *link;
        bool is_place = is_same_place(site, request), is_ours = is_place && strcmp(site->secret, or_empty(request->secret)) == 0;
        if (is_ours) {
            *link = site->next;
            found = site;
            break;
        }
        count++;
        if (site->open_count == 0 && (is_place || count >= SITES_MAX))
            drop_unused(link); /* its key was replaced, or it is one too many */
        else
            link = &site->next;
    }
    if (found == NULL)
        found = site_new(request);
    found->next = net->sites;
    net->sites = found;
    return found;
}

static const struct {
    CURLoption option;
    long value;
} fixed[] = {
    {CURLOPT_VERBOSE, 0},
    {CURLOPT_NOSIGNAL, 1},
    {CURLOPT_NOPROGRESS, 1},
    {CURLOPT_FOLLOWLOCATION, 0},
    {CURLOPT_UNRESTRICTED_AUTH, 0},
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 2},
    {CURLOPT_PROXY_SSL_VERIFYPEER, 1},
    {CURLOPT_PROXY_SSL_VERIFYHOST, 2},
    {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    {CURLOPT_HTTP09_ALLOWED, 0},
    {CURLOPT_PIPEWAIT, 1},
    /* A time-out while a name is looked up would wait for the resolver's thread, and the loop with it. */
    {CURLOPT_QUICK_EXIT, 1},
    {CURLOPT_UPLOAD_BUFFERSIZE, 32 << 10},
};

/* Sets what a site's handles keep. False when libcurl lacks something that must hold. */
bool net_site_options(struct net *net, const struct net_site *site, CURL *easy)
{
    bool is_well = true;
    const struct {
        CURLoption option;
        const char *text;
    } texts[] = {
        {CURLOPT_URL, site->url},
        {CURLOPT_PROTOCOLS_STR, site->is_plain ? "http" : "https"},
        {CURLOPT_REDIR_PROTOCOLS_STR, "https"},
        {CURLOPT_PROXY, site->proxy}, /* "": not the environment's either */
        {CURLOPT_ACCEPT_ENCODING, "gzip"}, /* what every server knows; libcurl writes each byte of a header twice over, slowly */
    };

    for (size_t i = 0; i < ARRAY_COUNT(fixed); i++)
        is_well = curl_easy_setopt(easy, fixed[i].option, fixed[i].value) == CURLE_OK && is_well;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        is_well = curl_easy_setopt(easy, texts[i].option, texts[i].text) == CURLE_OK && is_well;
    if (site->ca_file[0] != '\0')
        is_well = curl_easy_setopt(easy, CURLOPT_CAINFO, site->ca_file) == CURLE_OK && is_well;
    /* In the clear there is no negotiation to wait for: with HTTP/2 allowed PIPEWAIT would hold all calls back until the first answer. */
    is_well = curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, site->is_plain ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS) == CURLE_OK &&
              is_well;
    is_well = curl_easy_setopt(easy, strcmp(site->method, "GET") == 0 ? CURLOPT_HTTPGET : CURLOPT_POST, 1L) == CURLE_OK && is_well;
    is_well = curl_easy_setopt(easy, CURLOPT_CURLU, site->place) == CURLE_OK && is_well;
    net_socket_options(net, easy);
    return is_well;
}
