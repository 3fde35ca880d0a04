/* See source.h. */
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10, PEEK_BYTES = 64 << 10 };

struct source {
    int fd;
    char *name;
    char *encoding;    /* as asked for; NULL: found out */
    bool can_rewind;
    bool is_started;   /* the mark was looked at */
    bool is_at_end;    /* the descriptor gave its last byte */
    iconv_t converter; /* (iconv_t)-1: the bytes are UTF-8 already */
    struct buf raw;    /* read, not yet converted */
    struct buf text;   /* converted; what the last read or peek gave */
    bool is_peeked;    /* the text is still to be read */
    struct source_feed feed; /* idle NULL: it is not fed */
};

static int fail_io(const struct source *source, const char *what, struct galloc_error *error)
{
    return galloc_fail(error, GALLOC_LOCAL_IO, "%s: %s: %s", source->name, what, strerror(errno));
}

int source_open(const char *path, const char *encoding, struct source **ret_source, struct galloc_error *error)
{
    struct source *source = xcalloc(1, sizeof *source);
    bool is_stdin = strcmp(path, "-") == 0;
    source->name = xstrdup(is_stdin ? "standard input" : path);
    source->encoding = xstrdup(encoding);
    source->converter = (iconv_t)-1;
    source->fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int rc = 0;
    if (source->fd < 0 && errno == ENOENT)
        rc = galloc_fail(error, GALLOC_NOT_FOUND, "there is no file %s", path);
    else if (source->fd < 0 || fstat(source->fd, &st) < 0)
        rc = fail_io(source, "cannot be opened", error);
    else if (S_ISDIR(st.st_mode))
        rc = galloc_fail(error, GALLOC_USAGE, "%s is a folder; name a file in it", path);
    else
        source->can_rewind = S_ISREG(st.st_mode) && !is_stdin;
    if (rc < 0) {
        source_close(source);
        return rc;
    }
    *ret_source = source;
    return 0;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    if (source->fd >= 0)
        close(source->fd);
    if (source->converter != (iconv_t)-1)
        iconv_close(source->converter);
    buf_clear(&source->raw);
    buf_clear(&source->text);
    free(source->name);
    free(source->encoding);
    free(source);
}

const char *source_name(const struct source *source)
{
    return source->name;
}

const char *source_base_name(const struct source *source)
{
    const char *slash = strrchr(source->name, '/');
    return strcmp(source->name, "standard input") == 0 ? "stdin" : slash ? slash + 1 : source->name;
}

bool source_can_rewind(const struct source *source)
{
    return source->can_rewind;
}

void source_be_fed(struct source *source, const struct source_feed *feed)
{
    source->feed = *feed;
}

/* Until there is something to read, which the end is too. */
static int wait_for_bytes(struct source *source, struct galloc_error *error)
{
    const struct source_feed *feed = &source->feed;
    struct pollfd pollfd = {.fd = source->fd, .events = POLLIN};
    while (poll(&pollfd, 1, (int)feed->wait_ms(feed->arg)) <= 0) {
        int rc = feed->idle(feed->arg, error);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* One read into `raw`. */
static int fill_raw(struct source *source, struct galloc_error *error)
{
    char *to = buf_reserve(&source->raw, READ_BYTES);
    int rc = source->feed.idle ? wait_for_bytes(source, error) : 0;
    if (rc < 0)
        return rc;
    ssize_t got;
    do
        got = read(source->fd, to, READ_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail_io(source, "reading failed", error);
    source->raw.len += (size_t)got;
    source->is_at_end = got == 0;
    return 0;
}

static const struct {
    const char *bytes;
    size_t len;
    const char *what;
} strangers[] = {
    {"PK\003\004", 4, "an Excel workbook or another zip archive: save the sheet as \"CSV UTF-8\" and give that"},
    {"\xd0\xcf\x11\xe0", 4, "an old Excel workbook (.xls): save the sheet as \"CSV UTF-8\" and give that"},
    {"\x1f\x8b", 2, "compressed (gzip): unpack it first, e.g. zcat FILE | gallocctl enqueue -"},
    {"\x28\xb5\x2f\xfd", 4, "compressed (zstd): unpack it first, e.g. zstdcat FILE | gallocctl enqueue -"},
    {"\xfd" "7zXZ", 5, "compressed (xz): unpack it first, e.g. xzcat FILE | gallocctl enqueue -"},
    {"%PDF", 4, "a PDF, not a table: export the table as CSV"},
    {"SQLite format 3", 15, "an SQLite database: export the table as CSV"},
    {"PAR1", 4, "a Parquet file: export it as CSV or NDJSON"},
};

static const struct {
    const char *bytes;
    size_t len;
    const char *encoding; /* NULL: UTF-8 */
} marks[] = {
    {"\xef\xbb\xbf", 3, NULL},
    {"\xff\xfe\0\0", 4, "UTF-32LE"},
    {"\0\0\xfe\xff", 4, "UTF-32BE"},
    {"\xff\xfe", 2, "UTF-16LE"},
    {"\xfe\xff", 2, "UTF-16BE"},
};

static bool is_utf8_name(const char *name)
{
    return strcasecmp(name, "utf-8") == 0 || strcasecmp(name, "utf8") == 0;
}

/* A line of a source that is fed tells what it is; an array is told by its elements. */
static bool has_line(const struct source *source)
{
    const char *data = buf_text(&source->raw);
    size_t at = 0;
    while (at < source->raw.len && memchr(" \t\r\n", data[at], 4) != NULL)
        at++;
    return source->feed.idle != NULL && at < source->raw.len && data[at] != '[' && memchr(data + at, '\n', source->raw.len - at) != NULL;
}

/* Looks at the first bytes: refuses strangers, takes the mark off, sets the converter. */
static int start(struct source *source, struct galloc_error *error)
{
    int rc = 0;
    while (rc == 0 && !source->is_at_end && source->raw.len < PEEK_BYTES && !has_line(source))
        rc = fill_raw(source, error);
    if (rc < 0)
        return rc;
    source->is_started = true;
    const char *data = buf_text(&source->raw);
    size_t len = source->raw.len, mark = 0;
    for (size_t i = 0; i < ARRAY_COUNT(strangers); i++)
        if (len >= strangers[i].len && memcmp(data, strangers[i].bytes, strangers[i].len) == 0)
            return galloc_fail(error, GALLOC_INVALID_INPUT, "%s is %s", source->name, strangers[i].what);
    const char *encoding = source->encoding;
    for (size_t i = 0; i < ARRAY_COUNT(marks) && mark == 0; i++) {
        if (len < marks[i].len || memcmp(data, marks[i].bytes, marks[i].len) != 0)
            continue;
        mark = marks[i].len;
        if (encoding == NULL || strncasecmp(encoding, "utf", 3) == 0)
            encoding = marks[i].encoding;
    }
    if (encoding != NULL && strcasecmp(encoding, "utf-16") == 0)
        encoding = "UTF-16LE"; /* without a mark: what Windows writes */
    if (encoding != NULL && !is_utf8_name(encoding)) {
        source->converter = iconv_open("UTF-8", encoding);
        if (source->converter == (iconv_t)-1)
            return galloc_fail(error, GALLOC_USAGE, "the encoding \"%s\" is not known; e.g. utf-16 or windows-1252 ('iconv -l' lists all)", encoding);
    } else if (memchr(data, '\0', len) != NULL) {
        return galloc_fail(error, GALLOC_INVALID_INPUT,
                           "%s is not a table in text form: it holds NUL bytes. Is it UTF-16 without a mark? Then give --encoding utf-16", source->name);
    }
    memmove(source->raw.data, source->raw.data + mark, len - mark);
    source->raw.len -= mark;
    return 0;
}

/* Converts what stands in `raw`. What cannot be converted becomes the byte 0xFF, which no UTF-8 holds, so that its row is rejected. */
static void convert(struct source *source)
{
    char *in = source->raw.data;
    size_t in_left = source->raw.len;
    while (in_left > 0) {
        size_t room = 4 * in_left + 16;
        char *to = buf_reserve(&source->text, room), *out = to;
        size_t out_left = room;
        size_t rc = iconv(source->converter, &in, &in_left, &out, &out_left);
        source->text.len += (size_t)(out - to);
        if (rc != (size_t)-1 || errno == E2BIG)
            continue;
        if (errno == EINVAL && !source->is_at_end)
            break; /* a character that goes on in the next bytes */
        buf_add_char(&source->text, '\xff');
        in++;
        in_left--;
    }
    memmove(source->raw.data, in, in_left);
    source->raw.len = in_left;
}

/* Makes some text ready, or finds the end. */
static int fill_text(struct source *source, struct galloc_error *error)
{
    int rc = source->is_started ? 0 : start(source, error);
    while (rc == 0 && source->text.len == 0) {
        if (source->raw.len == 0 && source->is_at_end)
            return 0;
        if (source->raw.len == 0 || (source->converter != (iconv_t)-1 && source->raw.len < 4 && !source->is_at_end))
            rc = fill_raw(source, error);
        if (rc < 0 || (source->raw.len == 0 && source->is_at_end))
            return rc;
        if (source->converter != (iconv_t)-1) {
            convert(source);
        } else {
            struct buf swap = source->text;
            source->text = source->raw;
            source->raw = swap;
            buf_reset(&source->raw);
        }
    }
    return rc;
}

int source_read(struct source *source, const char **ret_data, size_t *ret_len, struct galloc_error *error)
{
    if (!source->is_peeked)
        buf_reset(&source->text);
    source->is_peeked = false;
    int rc = fill_text(source, error);
    if (rc < 0)
        return rc;
    *ret_data = buf_text(&source->text);
    *ret_len = source->text.len;
    return 0;
}

int source_peek(struct source *source, const char **ret_data, size_t *ret_len, struct galloc_error *error)
{
    int rc = fill_text(source, error);
    if (rc < 0)
        return rc;
    source->is_peeked = true;
    *ret_data = buf_text(&source->text);
    *ret_len = source->text.len;
    return 0;
}

int source_digest(struct source *source, char ret_hex[DIGEST_HEX], struct galloc_error *error)
{
    unsigned char digest[DIGEST_BYTES];
    struct digest *running = digest_new();
    char *block = xmalloc(READ_BYTES);
    ssize_t got;
    while ((got = read(source->fd, block, READ_BYTES)) > 0 || (got < 0 && errno == EINTR))
        if (got > 0)
            digest_add(running, block, (size_t)got);
    free(block);
    digest_end(running, digest);
    if (got < 0 || lseek(source->fd, 0, SEEK_SET) < 0)
        return fail_io(source, "reading failed", error);
    digest_hex(digest, ret_hex);
    return 0;
}
