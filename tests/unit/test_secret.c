/* Keys: where they are looked for, which files are taken, and that no message holds one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/digest.h"
#include "config/config.h"

#include "config_folder.h"

static int read_secret(const char *key_file, struct secret **secret, struct galloc_error *error)
{
    char name[] = "gemini", none[] = "", *file = xstrdup(key_file);
    struct endpoint_config endpoint = {.name = name, .api_key_file = file, .token_file = none};
    *error = (struct galloc_error){0};
    int rc = secret_read(&endpoint, secret, error);
    free(file);
    if (rc < 0 && (strstr(error->message, "AIzaCANARY") != NULL || error->message[0] == '\0'))
        fail_msg("the message is empty or holds the key: %s", error->message);
    return rc;
}

static void test_secret(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    struct galloc_error error;
    char *path = write_file("key", "AIzaCANARY_0-9\r\n\n", 0600);
    assert_int_equal(read_secret(path, &secret, &error), 0);
    assert_string_equal(secret_text(secret), "AIzaCANARY_0-9");
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX], fingerprint[17];
    digest_of("AIzaCANARY_0-9", 14, digest);
    digest_hex(digest, hex);
    secret_fingerprint(secret, fingerprint);
    assert_memory_equal(hex, fingerprint, 16);
    assert_int_equal(strlen(fingerprint), 16);
    secret_free(secret);
    secret_free(NULL);
    free(path);
}

static void test_secret_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        int code;
        const char *words;
    } rows[] = {
        {"AIzaCANARY", 0640, GALLOC_NOT_PERMITTED, "chmod 600"},
        {"AIzaCANARY", 0604, GALLOC_NOT_PERMITTED, "mode 0604"},
        {"AIzaCANARY", 0620, GALLOC_NOT_PERMITTED, "chmod 600"},
        {"", 0600, GALLOC_INVALID_VALUE, "is empty"},
        {" \n", 0600, GALLOC_INVALID_VALUE, "is empty"},
        {"AIzaCANARY two", 0600, GALLOC_INVALID_VALUE, "the key alone"},
        {"AIzaCANARY\nb", 0600, GALLOC_INVALID_VALUE, "the key alone"},
        {"AIzaCANARY\x80", 0600, GALLOC_INVALID_VALUE, "the key alone"},
    };
    struct secret *secret = NULL;
    struct galloc_error error;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char *path = write_file("key", rows[i].text, rows[i].mode);
        int rc = read_secret(path, &secret, &error);
        if (rc != -rows[i].code || strstr(error.message, rows[i].words) == NULL)
            fail_msg("row %zu: %d %s", i, rc, error.message);
        free(path);
    }
    char *huge = xmalloc(5001);
    memset(huge, 'k', 5000);
    huge[5000] = '\0';
    char *path = write_file("key", huge, 0600), *link = path_in("link"), *pipe = path_in("pipe");
    assert_int_equal(read_secret(path, &secret, &error), -GALLOC_INVALID_VALUE);
    free(huge);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(read_secret(link, &secret, &error), -GALLOC_NOT_PERMITTED);
    assert_non_null(strstr(error.message, "symbolic link"));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(read_secret(pipe, &secret, &error), -GALLOC_NOT_PERMITTED); /* and does not hang */
    assert_int_equal(read_secret(folder, &secret, &error), -GALLOC_NOT_PERMITTED);
    if (geteuid() == 0) {
        free(write_file("key", "AIzaCANARY", 0600));
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_int_equal(read_secret(path, &secret, &error), -GALLOC_NOT_PERMITTED);
        assert_non_null(strstr(error.message, "belongs to uid 65534"));
    }
    unlink(path);
    assert_int_equal(read_secret(path, &secret, &error), -GALLOC_NOT_FOUND);
    assert_non_null(strstr(error.message, "gallocctl endpoint resume gemini"));
    assert_null(secret);
    free(path);
    free(link);
    free(pipe);
}

static void test_credentials(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    struct galloc_error error;
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    int rc = read_secret("", &secret, &error);
    assert_int_equal(rc, -GALLOC_NOT_FOUND);
    assert_non_null(
        strstr(error.message, GALLOC_SYSCONFDIR "/galloc/keys/gemini (mode 0600), then: systemctl restart gallocd"));
    free(write_file("gemini", "plain", 0400));
    assert_int_equal(read_secret("", &secret, &error), 0);
    assert_string_equal(secret_text(secret), "plain");
    secret_free(secret);
    free(write_file("key_gemini", "of-the-folder", 0440)); /* the group's bit is the access list's mask */
    assert_int_equal(read_secret("", &secret, &error), 0);
    assert_string_equal(secret_text(secret), "of-the-folder");
    secret_free(secret);
    secret = NULL;
    free(write_file("key_gemini", "of-the-folder", 0444));
    assert_int_equal(read_secret("", &secret, &error), -GALLOC_NOT_PERMITTED);
    unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_secret_refused),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests_name("keys", tests, make_folder, remove_folder);
}
