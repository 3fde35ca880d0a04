/* The configuration: defaults, every kind of value, what is refused and where, places, prices. Keys: test_secret.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/parse.h"
#include "config/settings.h"

#include "config_folder.h"

#include <stdlib.h>
#include <string.h>

static const struct places service = {.is_service = true};
static int load(const char *text, struct config **ret_config, struct galloc_error *error)
{
    char *path = write_file("gallocd.conf", text, 0644);
    *error = (struct galloc_error){0};
    int rc = config_load_at(&service, path, ret_config, error);
    free(path);
    return rc;
}

static struct config *loaded(const char *text)
{
    struct config *config = NULL;
    struct galloc_error error;
    if (load(text, &config, &error) != 0)
        fail_msg("%s", error.message);
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = loaded("");
    assert_string_equal(config->socket_path, "/run/galloc/gallocd.sock");
    assert_string_equal(config->default_endpoint, "gemini");
    assert_int_equal(config->socket_mode, 0660);
    assert_int_equal(config->drain_timeout_ms, 30000);
    assert_int_equal(config->connections_per_uid, 256);
    assert_int_equal(config->requests_per_uid, 8);
    assert_int_equal(config->workers_per_uid, 64);
    assert_string_equal(config->worker_socket_path, "");
    assert_null(config->keep_back);
    assert_int_equal(config->endpoint_count, 1);
    const struct endpoint_config *gemini = config_endpoint(config, "gemini");
    assert_string_equal(gemini->provider, "gemini");
    assert_string_equal(gemini->base_url, "https://generativelanguage.googleapis.com");
    assert_string_equal(gemini->api_version, "v1beta");
    assert_string_equal(gemini->model, "gemini-3.8-flash");
    assert_string_equal(gemini->api_key_file, "");
    assert_string_equal(gemini->proxy, "");
    assert_false(gemini->allow_plain_http);
    assert_int_equal(gemini->max_output_tokens, 1024);
    assert_int_equal(gemini->request_timeout_ms, 60000);
    assert_int_equal(gemini->max_in_flight, 64);
    assert_int_equal(gemini->rpm + gemini->tpm + gemini->rpd, 0);
    assert_true(gemini->time_scale == 1.0);
    assert_int_equal(config->profile_count, 5);
    assert_int_equal(config_profile(config, "aggressive")->max_retries, 2);
    assert_null(config_profile(config, "none"));
    assert_null(config_endpoint(config, "none"));
    config_free(config);
}

/* The endpoints of test_all_settings(). */
static void check_endpoints(const struct config *config, const char *key)
{
    const struct endpoint_config *lite = config_endpoint(config, "lite");
    assert_string_equal(lite->base_url, "http://127.0.0.1:8089");
    assert_string_equal(lite->api_version, "v1");
    assert_string_equal(lite->api_key_file, key);
    assert_string_equal(lite->proxy, "http://p:3128");
    assert_string_equal(lite->ca_file, "/ca.pem");
    assert_true(lite->allow_plain_http);
    assert_int_equal(lite->request_timeout_ms, 120000);
    assert_int_equal(lite->max_in_flight, 1024);
    assert_int_equal(lite->tpm, 2);
    assert_true(lite->time_scale > 0.0999 && lite->time_scale < 0.1001);
    assert_int_equal(config_endpoint(config, "gemini")->rpm, 7);
    assert_string_equal(config_endpoint(config, "empty")->model, "gemini-3.8-flash");
}

/* What is Gemini's by default is not another's: it would be called, or priced, as what it is not. */
static void test_a_service_of_ones_own(void **state)
{
    (void)state;
    struct config *config = loaded("endpoint \"mine\" {\n provider = http\n base_url = \"https://a.example/x?y=1\"\n test_path = \"/health\"\n}\n"
                                   "endpoint \"named\" { base_url = \"https://a.example\" model = \"router\" provider = http }\n");
    const struct endpoint_config *mine = config_endpoint(config, "mine"), *named = config_endpoint(config, "named");
    assert_string_equal(mine->provider, "http");
    assert_string_equal(mine->base_url, "https://a.example/x?y=1");
    assert_string_equal(mine->model, "");
    assert_string_equal(mine->test_path, "/health");
    assert_int_equal(mine->base_url_line, 3);
    assert_int_equal(mine->test_path_line, 4);
    assert_string_equal(named->model, "router");
    assert_string_equal(named->test_path, "");
    assert_int_equal(named->base_url_line, 6);
    assert_int_equal(named->test_path_line, 0);
    assert_string_equal(config_endpoint(config, "gemini")->model, "gemini-3.8-flash");
    config_free(config);
}

static void test_all_settings(void **state)
{
    (void)state;
    struct config *config = loaded("# comment\nsocket = \"run/g.sock\"\nsocket_mode = 0600\nsocket_group = "
                                   "\"ops\"\nstate_dir = \"/var/x\"\ndrain_timeout = 1.5s\n"
                                   "default_endpoint = \"lite\" keep_back = {\"phone\", \"National "
                                   "ID\"}\nconnections_per_uid = 3 requests_per_uid = 2 workers_per_uid = 500 "
                                   "worker_socket = \"run/w.sock\" worker_socket_group = \"w\" prices_file = \"\"\n"
                                   "endpoint \"lite\" {\n provider = gemini base_url = \"http://127.0.0.1:8089\" "
                                   "api_version = v1\n model = \"m\" api_key_file = \"./key\"\n"
                                   " proxy = \"http://p:3128\" ca_file = \"/ca.pem\" allow_plain_http = yes "
                                   "max_output_tokens = 4096 request_timeout = \"2m\"\n"
                                   " max_in_flight = 1024 rpm = 1 tpm = 2 rpd = 3 time_scale = 0.1 }\n"
                                   "endpoint \"empty\" {}\nendpoint \"gemini\" { rpm = 7 }\n"
                                   "price \"m\" { from = \"2026-09-01\" currency = EUR in = 0.10 cached_in = 0.01 out "
                                   "= 0.40 }\nprice \"n*\" { in = 1 out = 2 }\n"
                                   "profile \"balanced\" { batch_size = 8 }\n"
                                   "profile \"night\" { mode = batch batch_size = 20 delay_between_batches = 100ms "
                                   "max_retries = 5 backoff_max = 4s }\n"
                                   "profile \"calm\" { mode = sequential }\n");
    char *socket = path_in("run/g.sock"), *key = path_in("key"), *worker_socket = path_in("run/w.sock");
    assert_string_equal(config->socket_path, socket);
    assert_string_equal(config->worker_socket_path, worker_socket);
    assert_string_equal(config->worker_socket_group, "w");
    assert_int_equal(config->workers_per_uid, 500);
    free(worker_socket);
    assert_int_equal(config->socket_mode, 0600);
    assert_string_equal(config->socket_group, "ops");
    assert_string_equal(config->state_dir, "/var/x");
    assert_int_equal(config->drain_timeout_ms, 1500);
    assert_string_equal(config->keep_back[1], "National ID");
    assert_null(config->keep_back[2]);
    assert_int_equal(config->connections_per_uid, 3);
    assert_int_equal(config->endpoint_count, 3);
    check_endpoints(config, key);
    assert_int_equal(config->price_count, 2);
    assert_string_equal(config->prices[0].price.currency, "EUR");
    assert_int_equal(config->prices[0].price.in_micros, 100000);
    assert_int_equal(config->prices[1].price.cached_in_micros, 1000000); /* as `in` */
    assert_string_equal(config->prices[1].price.currency, "USD");
    assert_int_equal(config->profile_count, 7);
    assert_int_equal(config_profile(config, "balanced")->batch_size, 8);
    assert_int_equal(config_profile(config, "balanced")->delay_ms, 500);
    assert_int_equal(config_profile(config, "night")->delay_ms, 100);
    assert_int_equal(config_profile(config, "night")->backoff_max_ms, 4000);
    assert_int_equal(config_profile(config, "calm")->mode, MODE_SEQUENTIAL);
    assert_int_equal(config_profile(config, "calm")->batch_size, 1);
    assert_int_equal(config_profile(config, "calm")->max_retries, 3);
    free(socket);
    free(key);
    config_free(config);
}

/* Where Vertex AI is follows from the location, unless the file says otherwise. */
static void test_vertex_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *base, *version;
    } rows[] = {{"", "https://generativelanguage.googleapis.com", "v1beta"},
                {"vertex = yes", "https://aiplatform.googleapis.com", "v1"},
                {"vertex = yes project = p location = global", "https://aiplatform.googleapis.com", "v1"},
                {"vertex = yes project = p location = us", "https://aiplatform.us.rep.googleapis.com", "v1"},
                {"vertex = yes project = p location = eu api_version = v1beta1", "https://aiplatform.eu.rep.googleapis.com", "v1beta1"},
                {"vertex = yes project = p location = us-central1", "https://us-central1-aiplatform.googleapis.com", "v1"},
                {"vertex = yes project = p location = us-central1 base_url = \"http://127.0.0.1:1\"", "http://127.0.0.1:1", "v1"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char *text = xasprintf("endpoint \"v\" { %s }", rows[i].text);
        struct config *config = loaded(text);
        const struct endpoint_config *endpoint = config_endpoint(config, "v");
        assert_string_equal(endpoint->base_url, rows[i].base);
        assert_string_equal(endpoint->api_version, rows[i].version);
        config_free(config);
        free(text);
    }
}

static void test_ages(void **state)
{
    (void)state;
    struct config *config = loaded("");
    assert_int_equal(config->retention_ms, 0); /* for ever: nothing goes that nobody asked to go */
    assert_int_equal(config->audit_retention_ms, 0);
    config_free(config);
    config = loaded("retention = \"90d\"\naudit_retention = \"0\"");
    assert_int_equal(config->retention_ms, INT64_C(7776000000));
    assert_int_equal(config->audit_retention_ms, 0);
    config_free(config);
}

static const struct {
    const char *text;
    int line;
    const char *words;
} refused[] = {
    {"\n\nsoket = \"x\"", 3, "unknown setting \"soket\"; did you mean \"socket\"?"},
    {"zzz = 1", 1, "unknown setting \"zzz\"; known are socket, socket_mode"},
    {"endpont \"x\" {}", 1, "unknown setting \"endpont\"; did you mean \"endpoint\"?"},
    {"endpoint \"x\" {\n rmp = 3 }", 2, "unknown setting \"rmp\" in endpoint; did you mean \"rpm\"?"},
    {"endpoint \"x\" { api_key = \"AIzaSECRET\" }", 1,
     "unknown setting \"api_key\" in endpoint; did you mean \"api_key_file\"?"},
    {"endpoint \"x\" {\n\n rpm = 1\n rpm = 2 }", 4, "rpm: is given twice"},
    {"retention = 90", 1, "retention: \"90\" is not a duration"},
    {"retention = \"-1d\"", 1, "retention: \"-1d\" is not a duration"},
    {"drain_timeout = 30", 1, "drain_timeout: \"30\" is not a duration"},
    {"drain_timeout = 2h", 1, "drain_timeout: \"2h\" is out of range: 0s to 3600s"},
    {"socket_mode = 0990", 1, "socket_mode: \"0990\" is not an octal mode"},
    {"socket_mode = 01777", 1, "is not an octal mode"},
    {"socket = \"\"", 1, "socket: \"\" is out of range"},
    {"workers_per_uid = 4097", 1, "workers_per_uid: \"4097\" is not a whole number from 1 to 4096"},
    {"requests_per_uid = 0", 1, "requests_per_uid: \"0\" is not a whole number from 1 to 256"},
    {"\nendpoint \"x\" { max_in_flight = 1025 }", 2, "max_in_flight: \"1025\" is not a whole number from 1 to 1024"},
    {"endpoint \"x\" { allow_plain_http = maybe }", 1, "allow_plain_http: \"maybe\" is not yes or no"},
    {"endpoint \"x\" { provider = claude }", 1, "provider: \"claude\" is not known; one of gemini|openai|http"},
    {"endpoint \"x\" {\n provider = openai }", 2, "base_url has to be given: like https://api.openai.com/v1"},
    {"endpoint \"x\" {\n provider = openai base_url = \"http://h\" }", 2, "model has to be given"},
    {"endpoint \"x\" {\n token_limit = max_tokens }", 2, "token_limit means nothing to provider \"gemini\" (it is for \"openai\")"},
    {"endpoint \"x\" { provider = openai base_url = \"http://h\" model = m\n answer_format = yaml }", 2, "one of json_schema|json_object|text"},
    {"endpoint \"x\" { provider = openai base_url = \"http://h\" model = m\n vertex = yes }", 2, "vertex means nothing to provider \"openai\""},
    {"endpoint \"x\" { api_key_file = \"/k\"\n token_file = \"/t\" }", 2, "token_file stands in the place of api_key_file"},
    {"endpoint \"x\" {\n api_version = v1beta1 }", 2, "v1beta1 is Vertex AI's"},
    {"endpoint \"x\" {\n provider = http\n}", 3, "endpoint \"x\": base_url has to be given"},
    {"endpoint \"x\" {\n test_path = \"/x\"\n\n}", 2, "test_path means nothing to provider \"gemini\" (it is for \"http\")"},
    {"endpoint \"x\" {\n api_version = v1\n provider = http\n}", 2, "api_version means nothing to provider \"http\""},
    {"endpoint \"x\" { provider = http\n base_url = \"http://h/\"\n max_output_tokens = 99\n}", 3, "max_output_tokens means nothing to provider \"http\""},
    {"endpoint \"x\" { provider = http base_url = \"http://h/\" test_path = /a test_path = /b }", 1, "test_path: is given twice"},
    {"endpoint \"x\" { api_version = v2 }", 1, "api_version: \"v2\" is not known; one of v1beta|v1|v1beta1"},
    {"endpoint \"x\" { time_scale = 0 }", 1, "time_scale: \"0\" is out of range: 0.001 to 10"},
    {"endpoint \"x\" { time_scale = fast }", 1, "time_scale: \"fast\" is out of range"},
    {"endpoint \"x\" { model = \"\" }", 1, "model: \"\" is out of range"},
    {"endpoint \"x\" { model = \"a\x01\" }", 1, "control character"},
    {"endpoint \"a/b\" {}", 1, "endpoint \"a/b\": an endpoint's name has"},
    {"endpoint \"..\" {}", 1, "an endpoint's name has"},
    {"endpoint \"workers\" { }", 1, "the name \"workers\" is taken"},
    {"endpoint \"x\" {}\nendpoint \"x\" { rpm = 1 }", 2, "the section \"x\" stands twice"},
    {"endpoint {}", 1, "title"},
    {"default_endpoint = \"gemni\"", 1, "default_endpoint: there is no endpoint \"gemni\"; did you mean \"gemini\"?"},
    {"price \"m\" {}", 1, "price \"m\": a price needs both"},
    {"price \"m\" {\n in = 1\n}", 3, "a price needs both \"in\" and \"out\""},
    {"price \"m\" { in = -1 out = 1 }", 1, "in: \"-1\" is not an amount"},
    {"price \"m\" { in = 1 out = 1 currency = usd }", 1, "currency: \"usd\" is not a currency"},
    {"price \"m\" { in = 1 out = 1 tier = \"cheap\" }", 1, "tier: \"cheap\""},
    {"price \"m\" { in = 1 out = 1 from = \"soon\" }", 1, "from: \"soon\" is not a date"},
    {"price \"a*b\" { in = 1 out = 1 }", 1, "with a * at most at its end"},
    {"profile \"x\" { batch_size = 3 }", 1, "profile \"x\": a new profile needs a mode"},
    {"profile \"x\" { mode = batch }", 1, "a batch profile needs a batch_size"},
    {"profile \"x\" { mode = fast }", 1, "mode: \"fast\" is not known; one of continuous|batch|sequential"},
    {"profile \"adaptive\" { batch_size = 3 }", 1, "for profiles of mode batch alone"},
    {"profile \"balanced\" { mode = sequential }", 1, "the mode of a built-in profile stays"},
    {"profile \"balanced\" { max_retries = 21 }", 1, "max_retries: \"21\" is not a whole number from 0 to 20"},
    {"prices_file = \"/nowhere/p.conf\"", 1, "prices_file: there is no file /nowhere/p.conf"},
    {"keep_back = {\"a\", \"\"}", 1, "keep_back: \"\" is out of range"},
    {"socket \"x\"", 1, "socket"},
    {"endpoint \"x\" {\n rpm = 1\n", 3, "a section is not closed by }"},
    {"endpoint \"x\" {", 2, "a section is not closed by }"},
    {"socket_mode = 0660\n/* rpm = 1\n", 4, "the file ends within a comment"},
    {"socket_group = \"unended", 3, "a quotation mark above is not closed"},
    {"}", 1, "unexpected closing brace"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct config *config = NULL;
        struct galloc_error error;
        int rc = load(refused[i].text, &config, &error);
        char *where = xasprintf("%s/gallocd.conf:%d: ", folder, refused[i].line);
        if (rc != -GALLOC_D_CONFIG || strncmp(error.message, where, strlen(where)) != 0 ||
            strstr(error.message, refused[i].words) == NULL)
            fail_msg("%s\n%d \"%s\" lacks \"%s\" or \"%s\"", refused[i].text, rc, error.message, where,
                     refused[i].words);
        if (strstr(error.message, "SECRET") != NULL)
            fail_msg("a value that was no setting's stands in \"%s\"", error.message);
        free(where);
        assert_null(config);
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    struct config *config = NULL;
    struct galloc_error error;
    assert_int_equal(config_load_at(&service, "/nowhere/gallocd.conf", &config, &error), -GALLOC_D_CONFIG);
    assert_non_null(strstr(error.message, "/nowhere/gallocd.conf"));
    assert_int_equal(config_load_at(&service, folder, &config, &error), -GALLOC_D_CONFIG);
    char *path = write_file("latin1.conf", "socket_group = \"\xe4\"\n", 0644);
    assert_int_equal(config_load_at(&service, path, &config, &error), -GALLOC_D_CONFIG);
    assert_non_null(strstr(error.message, "not text in UTF-8"));
    free(path);
    /* in the file of prices there is nothing but prices */
    path = write_file("p.conf", "price \"m\" { in = 1 out = 1 }\nrpm = 3\n", 0644);
    assert_int_equal(load("prices_file = \"p.conf\"", &config, &error), -GALLOC_D_CONFIG);
    assert_non_null(strstr(error.message, "p.conf:2: unknown setting \"rpm\"; known are price"));
    free(path);
}

static int64_t date(const char *text)
{
    int64_t wall_ms = 0;
    assert_int_equal(parse_time_ms(text, &wall_ms, NULL), 0);
    return wall_ms;
}

static void test_prices(void **state)
{
    (void)state;
    char *absolute = realpath(TEST_SOURCE_DIR "/daemon/config/prices.conf", NULL);
    assert_non_null(absolute);
    char *text = xasprintf("prices_file = \"%s\"\nprice \"own*\" { in = 1 out = 2 }\nprice \"own-big\" { from = "
                           "\"2026-11-01\" in = 3 out = 4 }\n"
                           "price \"gemini-3.7-flash\" { in = 9 out = 9 }\n",
                           absolute);
    struct config *config = loaded(text);
    const struct price_config *price = config_price(config, "gemini-3.8-flash", TIER_STANDARD, date("2026-12-31T23:59:59Z"));
    assert_int_equal(price->price.in_micros, 750000);
    assert_int_equal(price->price.cached_in_micros, 75000);
    assert_int_equal(price->price.out_micros, 3750000);
    assert_true(price->is_shipped);
    assert_int_equal(config_price(config, "gemini-3.8-flash", TIER_STANDARD, date("2027-01-01"))->price.out_micros, 7500000);
    assert_null(config_price(config, "gemini-3.8-flash", TIER_STANDARD, date("2026-08-31")));
    assert_null(config_price(config, "gemini-9", TIER_STANDARD, date("2026-12-01")));
    assert_int_equal(config_price(config, "gemini-3.7-flash", TIER_STANDARD, date("2026-12-01"))->price.in_micros,
                     9000000); /* the file's own wins */
    assert_int_equal(config_price(config, "own-big", TIER_STANDARD, date("2026-10-31"))->price.in_micros, 1000000);
    assert_int_equal(config_price(config, "own-big", TIER_STANDARD, date("2026-11-01"))->price.in_micros, 3000000);
    assert_int_equal(config_price(config, "own", TIER_STANDARD, date("2026-11-01"))->price.in_micros, 1000000);
    assert_int_equal(config_price(config, "gemini-3.8-flash", TIER_FLEX, date("2026-12-31"))->price.out_micros, 1875000);
    assert_int_equal(config_price(config, "gemini-3.8-flash", TIER_FLEX, date("2027-01-01"))->price.out_micros, 3750000);
    assert_null(config_price(config, "own", TIER_FLEX, date("2026-12-01"))); /* nothing is derived from the standard tier's */
    config_free(config);
    free(text);
    free(absolute);
}

static void check_places(const struct places *places, const char *file, const char *state_dir, const char *socket)
{
    char *found[] = {places_config_file(places, 0), places_state_dir(places), places_socket(places)};
    const char *expected[] = {file, state_dir, socket};
    for (size_t i = 0; i < ARRAY_COUNT(found); i++) {
        if ((found[i] == NULL) != (expected[i] == NULL) || (found[i] != NULL && strcmp(found[i], expected[i]) != 0))
            fail_msg("%s instead of %s", found[i] ? found[i] : "nothing", expected[i] ? expected[i] : "nothing");
        free(found[i]);
    }
}

static void test_places(void **state)
{
    (void)state;
    const char *etc = GALLOC_SYSCONFDIR "/galloc/gallocd.conf";
    struct places user = {.home = "/u", .xdg_runtime_dir = "/run/user/7"};
    check_places(&service, etc, GALLOC_LOCALSTATEDIR "/lib/galloc", "/run/galloc/gallocd.sock");
    check_places(&user, "/u/.config/galloc/gallocd.conf", "/u/.local/state/galloc", "/run/user/7/galloc/gallocd.sock");
    char *second = places_config_file(&user, 1);
    assert_string_equal(second, etc);
    free(second);
    assert_null(places_config_file(&user, 2));
    user = (struct places){.home = "/u", .xdg_state_home = "/s", .xdg_config_home = "/c"};
    check_places(&user, "/c/galloc/gallocd.conf", "/s/galloc", "/s/galloc/gallocd.sock");
    user = (struct places){0};
    check_places(&user, etc, NULL, NULL);
    struct places unit = {
        .is_service = true, .state_directory = "/srv/galloc:/srv/other", .runtime_directory = "/run/g2"};
    check_places(&unit, etc, "/srv/galloc", "/run/g2/gallocd.sock");
    /* nowhere to put anything: said, not guessed */
    struct config *config = NULL;
    struct galloc_error error;
    char *path = write_file("gallocd.conf", "", 0644);
    user.home = NULL;
    assert_int_equal(config_load_at(&user, path, &config, &error), -GALLOC_D_CONFIG);
    assert_non_null(strstr(error.message, "--state-dir"));
    free(path);
    char *longer = xasprintf("socket = \"/%0120d\"", 7);
    assert_int_equal(load(longer, &config, &error), -GALLOC_D_CONFIG);
    free(longer);
}

static void test_print(void **state)
{
    (void)state;
    struct buf out = BUF_EMPTY;
    config_print_settings(&out);
    size_t lines = 0;
    for (const char *at = buf_text(&out); *at != '\0'; at += strcspn(at, "\n") + 1, lines++)
        assert_true(strchr("abcdefghijklmnopqrstuvwxyz", *at) != NULL);
    assert_int_equal(lines, setting_count);
    assert_non_null(strstr(buf_text(&out), "\nendpoint.max_in_flight"));
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_a_service_of_ones_own),
        cmocka_unit_test(test_all_settings), cmocka_unit_test(test_vertex_hosts), cmocka_unit_test(test_ages),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_files),   cmocka_unit_test(test_prices),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests_name("config", tests, make_folder, remove_folder);
}
