/* Keys. A key lives in pages of its own that no core dump holds, and is wiped before they are given back. It leaves
 * this room only through secret_text(), for the one header that it is made for. Messages name the file and never what
 * is in it. */
#include "config/config.h"

#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_PAGE_BYTES 8192
#define SECRET_BYTES_MAX 4096

struct secret {
    size_t len;
    char text[SECRET_PAGE_BYTES - sizeof(size_t)];
};

/* Where a key may be, and which bits of a mode are too many there. systemd's credentials may carry an access list,
 * whose mask shows as the group's bits. */
struct key_place {
    char *path; /* owned */
    mode_t too_open;
    bool is_credential;
};

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* The file that the configuration names for it; "": none. */
static const char *own_file(const struct endpoint_config *endpoint)
{
    return endpoint->token_file[0] != '\0' ? endpoint->token_file : endpoint->api_key_file;
}

/* LoadCredential=key:FOLDER gives the folder's file NAME as key_NAME. */
static struct key_place place_of(const struct endpoint_config *endpoint)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (own_file(endpoint)[0] != '\0')
        return (struct key_place){xstrdup(own_file(endpoint)), 0077, false};
    static const char *const prefixes[] = {"key_", ""};
    for (size_t i = 0; credentials != NULL && credentials[0] == '/' && i < ARRAY_COUNT(prefixes); i++) {
        char *path = xasprintf("%s/%s%s", credentials, prefixes[i], endpoint->name);
        if (exists(path))
            return (struct key_place){path, 0037, true};
        free(path);
    }
    return (struct key_place){xasprintf("%s/galloc/keys/%s", GALLOC_SYSCONFDIR, endpoint->name), 0077, false};
}

static int fail_missing(const struct endpoint_config *endpoint, const char *path, int problem,
                        struct galloc_error *error)
{
    const char *next = getenv("CREDENTIALS_DIRECTORY") != NULL && own_file(endpoint)[0] == '\0'
                           ? "systemctl restart gallocd"
                           : NULL;
    if (next == NULL && own_file(endpoint)[0] == '\0' && geteuid() != 0 && (problem == ENOENT || problem == EACCES))
        return galloc_fail(error, GALLOC_NOT_FOUND,
                           "there is no key for the endpoint \"%s\": put it into a file of your own (mode 0600), name that in "
                           "the configuration (endpoint \"%s\" { api_key_file = \"…\" }), then: gallocctl reload",
                           endpoint->name, endpoint->name);
    if (problem == EACCES && next != NULL) /* the folder is root's; systemd hands its files over at the start */
        problem = ENOENT;
    if ((problem == ENOENT || problem == ENOTDIR) && endpoint->token_file[0] != '\0')
        return galloc_fail(error, GALLOC_NOT_FOUND, "there is no access token for the endpoint \"%s\": let what renews it write it to %s (mode 0600)", endpoint->name, path);
    if (problem == ENOENT || problem == ENOTDIR)
        return galloc_fail(
            error, GALLOC_NOT_FOUND, "there is no key for the endpoint \"%s\": put it into %s (mode 0600), then: %s%s",
            endpoint->name, path, next ? next : "gallocctl endpoint resume ", next ? "" : endpoint->name);
    if (problem == ELOOP)
        return galloc_fail(error, GALLOC_NOT_PERMITTED,
                           "the key file %s is a symbolic link; name the file itself (api_key_file)", path);
    return galloc_fail(error, GALLOC_NOT_PERMITTED, "the key file %s cannot be read: %s", path, strerror(problem));
}

/* Is the open file one that only we and root can have written or read? */
static int check_file(int fd, const struct key_place *place, struct galloc_error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return galloc_fail(error, GALLOC_NOT_PERMITTED, "the key file %s cannot be read: %s", place->path,
                           strerror(errno));
    if (!S_ISREG(st.st_mode))
        return galloc_fail(error, GALLOC_NOT_PERMITTED, "the key file %s is not a plain file", place->path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return galloc_fail(error, GALLOC_NOT_PERMITTED,
                           "the key file %s belongs to uid %u; it has to be root's or the daemon's own: chown it",
                           place->path, (unsigned)st.st_uid);
    if (st.st_mode & place->too_open)
        return galloc_fail(
            error, GALLOC_NOT_PERMITTED,
            "others can reach the key file %s (mode %04o): make a new key if they may have read it, and chmod 600 %s",
            place->path, (unsigned)(st.st_mode & 07777), place->path);
    if (st.st_size > SECRET_BYTES_MAX)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "the key file %s has more than %d bytes: it holds no key",
                           place->path, SECRET_BYTES_MAX);
    return 0;
}

static struct secret *secret_new(void)
{
    struct secret *secret = mmap(NULL, SECRET_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secret == MAP_FAILED)
        return NULL;
    (void)madvise(secret, SECRET_PAGE_BYTES, MADV_DONTDUMP);
    (void)madvise(secret, SECRET_PAGE_BYTES, MADV_DONTFORK);
    return secret;
}

/* Reads the file and takes the blanks off its end. */
static int read_key(int fd, const char *path, struct secret *secret, struct galloc_error *error)
{
    ssize_t got = 1;
    while (got != 0 && secret->len <= SECRET_BYTES_MAX) {
        got = read(fd, secret->text + secret->len, SECRET_BYTES_MAX + 1 - secret->len);
        if (got < 0 && errno != EINTR)
            return galloc_fail(error, GALLOC_NOT_PERMITTED, "the key file %s cannot be read: %s", path,
                               strerror(errno));
        secret->len += got > 0 ? (size_t)got : 0;
        if (secret->len > SECRET_BYTES_MAX)
            break;
    }
    while (secret->len > 0 && strchr(" \t\r\n", secret->text[secret->len - 1]) != NULL)
        secret->len--;
    secret->text[secret->len] = '\0';
    if (secret->len == 0)
        return galloc_fail(error, GALLOC_INVALID_VALUE, "the key file %s is empty; put the key into it", path);
    for (size_t i = 0; i < secret->len; i++)
        if (secret->text[i] <= ' ' || secret->text[i] > '~')
            return galloc_fail(error, GALLOC_INVALID_VALUE,
                               "the key file %s holds no key: there is a character in it that no key has; it has to "
                               "hold the key alone, on one line",
                               path);
    return 0;
}

void secret_stamp(const struct endpoint_config *endpoint, struct secret_stamp *ret_stamp)
{
    struct stat st;
    *ret_stamp = (struct secret_stamp){0};
    if (endpoint->token_file[0] != '\0' && stat(endpoint->token_file, &st) == 0)
        *ret_stamp = (struct secret_stamp){(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, (int64_t)st.st_size, (uint64_t)st.st_ino};
}

bool secret_stamp_is(const struct secret_stamp *a, const struct secret_stamp *b)
{
    return a->changed_ns == b->changed_ns && a->bytes == b->bytes && a->inode == b->inode;
}

int secret_read(const struct endpoint_config *endpoint, struct secret **ret_secret, struct galloc_error *error)
{
    struct key_place place = place_of(endpoint);
    struct secret *secret = NULL;
    int fd = open(place.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    int rc = fd < 0 ? fail_missing(endpoint, place.path, errno, error) : check_file(fd, &place, error);
    if (rc == 0) {
        secret = secret_new();
        rc = secret ? read_key(fd, place.path, secret, error) : galloc_fail(error, GALLOC_INTERNAL, "out of memory");
    }
    if (fd >= 0)
        close(fd);
    free(place.path);
    if (rc < 0) {
        secret_free(secret);
        return rc;
    }
    *ret_secret = secret;
    return 0;
}

void secret_free(struct secret *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, SECRET_PAGE_BYTES);
    munmap(secret, SECRET_PAGE_BYTES);
}

const char *secret_text(const struct secret *secret)
{
    return secret->text;
}

void secret_fingerprint(const struct secret *secret, char ret_hex[17])
{
    unsigned char digest[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    digest_of(secret->text, secret->len, digest);
    digest_hex(digest, hex);
    memcpy(ret_hex, hex, 16);
    ret_hex[16] = '\0';
}
