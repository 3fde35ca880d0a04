/* Plain JSON to any URL, so that a user's own service decides: an assignment with its candidates goes out as data, and no prompt is made. base_url is the whole
 * URL, path and query kept. Each request says which attempt it is, so that a service that is asked twice can tell. A service that has a place to be asked for its
 * health (test_path) is tested there, by a GET; without one, waiting assignments find out. The wire is described in gallocd.conf(5), "A service of your own".
 * Pure; any thread. */
#include "base/json_out.h"
#include "provider/provider_internal.h"

static const char user_agent[] = "User-Agent: galloc/" PACKAGE_VERSION;

/* Where host and port end; 0: it is no URL of ours. */
static size_t origin_len(const char *url)
{
    size_t scheme = url == NULL ? 0 : strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    size_t host = scheme > 0 ? strcspn(url + scheme, "/?") : 0;
    return host > 0 ? scheme + host : 0;
}

/* A fragment is never sent; all else that is refused would have to be percent-encoded. */
static bool has_url_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr("#\\\"<>", *at) != NULL)
            return false;
    return true;
}

/* Whether http may be used there is net's to say. */
static int check_base(const char *base, struct galloc_error *error)
{
    if (origin_len(base) == 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "base_url must be the whole URL of the service, like https://decider.example/allocate");
    if (!has_url_text(base))
        return galloc_fail(error, GALLOC_INVALID_VALUE, "base_url holds a character that cannot stand there; write it percent-encoded, and no fragment (#)");
    return 0;
}

static int check(const struct provider_wire *wire, enum provider_setting *ret_setting, struct galloc_error *error)
{
    const char *test = wire->test_path != NULL ? wire->test_path : "";
    enum provider_setting setting = PROVIDER_BASE_URL;
    int rc = check_base(wire->base_url, error);

    if (rc == 0 && test[0] != '\0' && (test[0] != '/' || !has_url_text(test))) {
        setting = PROVIDER_TEST_PATH;
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "test_path must be a path on the service's host, like /health, percent-encoded");
    }
    if (rc < 0 && ret_setting != NULL)
        *ret_setting = setting;
    return rc;
}

static void add_candidates(struct json_out *out, const struct provider_ask *ask)
{
    json_out_name(out, "candidates");
    json_out_begin(out, '[');
    if (ask->candidates_json_len > 0)
        json_out_raw(out, ask->candidates_json, ask->candidates_json_len);
    json_out_end(out, ']');
}

static int build(const struct provider_wire *wire, const struct provider_ask *ask, struct provider_request *ret_request, struct galloc_error *error)
{
    struct json_out out = JSON_OUT(&ret_request->body);
    int rc = check(wire, NULL, error);

    if (rc != 0)
        return rc;
    *ret_request = (struct provider_request){
        .method = "POST", .headers = {"Content-Type: application/json", user_agent}, .secret_header = provider_http.secret_header};
    buf_add_str(&ret_request->url, wire->base_url);
    buf_add_fmt(&ret_request->call_header, "X-Galloc-Attempt: %s", ask->id);
    buf_reserve(&ret_request->body, ask->fields_json_len + ask->candidates_json_len + 2 * strlen(ask->key) + 160);
    json_out_begin(&out, '{');
    json_out_member_str(&out, "run", ask->run);
    json_out_member_str(&out, "key", ask->key);
    json_out_member_int(&out, "attempt", ask->attempt);
    json_out_name(&out, "fields");
    json_out_raw(&out, ask->fields_json, ask->fields_json_len);
    add_candidates(&out, ask);
    json_out_end(&out, '}');
    return 0;
}

/* On the same host as base_url: the key goes nowhere else. */
static int build_test(const struct provider_wire *wire, struct provider_request *ret_request, struct galloc_error *error)
{
    int rc = check(wire, NULL, error);

    if (rc == 0 && !provider_has_test(&provider_http, wire))
        rc = galloc_fail(error, GALLOC_INVALID_VALUE, "no test_path is set");
    if (rc != 0)
        return rc;
    *ret_request = (struct provider_request){.method = "GET", .headers = {user_agent}, .secret_header = provider_http.secret_header};
    buf_add(&ret_request->url, wire->base_url, origin_len(wire->base_url));
    buf_add_str(&ret_request->url, wire->test_path);
    return 0;
}

const struct provider_ops provider_http = {
    .name = "http",
    .secret_header = "Authorization: Bearer ",
    .test_needs_path = true,
    .check = check,
    .build = build,
    .build_test = build_test,
    .classify = http_classify,
};
