/* See sample.h. The rows taken so far are a heap with the highest number on top, so that a row that does not belong
 * costs one comparison. */
#include "cli/sample.h"

#include "base/digest.h"
#include "cli/keyset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kept {
    unsigned char rank[DIGEST_BYTES]; /* the key's number */
    int64_t turn;                     /* in which it came */
    int64_t number, line;
    struct buf text; /* owned: key, fields and raw row, one after the other */
    size_t key_len, fields_len;
};

struct sample {
    struct kept *rows; /* owned; a heap by rank */
    size_t count, cap, size;
    struct keyset keys;
    int64_t seed, turn;
};

struct sample *sample_new(int64_t size, int64_t seed)
{
    struct sample *sample = xcalloc(1, sizeof *sample);
    sample->size = (size_t)size;
    sample->seed = seed;
    return sample;
}

void sample_free(struct sample *sample)
{
    if (sample == NULL)
        return;
    for (size_t i = 0; i < sample->count; i++)
        buf_clear(&sample->rows[i].text);
    free(sample->rows);
    keyset_clear(&sample->keys);
    free(sample);
}

int64_t sample_seen(const struct sample *sample)
{
    return (int64_t)sample->keys.count;
}

static void rank_of(const struct sample *sample, struct json_span key, unsigned char ret_rank[DIGEST_BYTES])
{
    struct buf text = BUF_EMPTY;
    buf_add_fmt(&text, "%" PRId64 ":", sample->seed);
    buf_add(&text, key.at, key.len);
    digest_of(text.data, text.len, ret_rank);
    buf_clear(&text);
}

static bool is_above(const struct sample *sample, size_t a, size_t b)
{
    return memcmp(sample->rows[a].rank, sample->rows[b].rank, DIGEST_BYTES) > 0;
}

static void swap(struct sample *sample, size_t a, size_t b)
{
    struct kept kept = sample->rows[a];
    sample->rows[a] = sample->rows[b];
    sample->rows[b] = kept;
}

static void rise(struct sample *sample, size_t at)
{
    for (; at > 0 && is_above(sample, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(sample, at, (at - 1) / 2);
}

static void sink(struct sample *sample, size_t at)
{
    for (;;) {
        size_t highest = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < sample->count; child++)
            if (is_above(sample, child, highest))
                highest = child;
        if (highest == at)
            return;
        swap(sample, at, highest);
        at = highest;
    }
}

static void keep(struct kept *kept, const struct input_row *row)
{
    buf_reset(&kept->text);
    buf_add(&kept->text, row->key.at, row->key.len);
    buf_add(&kept->text, row->fields.at, row->fields.len);
    buf_add(&kept->text, row->raw.at, row->raw.len);
    kept->key_len = row->key.len;
    kept->fields_len = row->fields.len;
    kept->number = row->number;
    kept->line = row->line;
}

void sample_add(struct sample *sample, const struct input_row *row)
{
    unsigned char rank[DIGEST_BYTES];
    size_t at = sample->count;
    if (!keyset_add(&sample->keys, row->key.at, row->key.len))
        return;
    sample->turn++;
    rank_of(sample, row->key, rank);
    if (sample->count == sample->size) {
        if (memcmp(rank, sample->rows[0].rank, DIGEST_BYTES) >= 0)
            return;
        at = 0;
    } else if (sample->count == sample->cap) {
        sample->cap = sample->cap ? sample->cap * 2 : 256;
        sample->rows = xreallocarray(sample->rows, sample->cap, sizeof *sample->rows);
    }
    if (at == sample->count)
        sample->rows[sample->count++] = (struct kept){.text = BUF_EMPTY};
    memcpy(sample->rows[at].rank, rank, sizeof rank);
    sample->rows[at].turn = sample->turn;
    keep(&sample->rows[at], row);
    if (at == 0)
        sink(sample, 0);
    else
        rise(sample, at);
}

static int compare_turns(const void *a, const void *b)
{
    const struct kept *left = a, *right = b;
    return (left->turn > right->turn) - (left->turn < right->turn);
}

int sample_play(struct sample *sample, int (*take)(void *arg, const struct input_row *row, struct galloc_error *error),
                void *arg, struct galloc_error *error)
{
    int rc = 0;
    if (sample->count > 0)
        qsort(sample->rows, sample->count, sizeof *sample->rows, compare_turns);
    for (size_t i = 0; rc >= 0 && i < sample->count; i++) {
        const struct kept *kept = &sample->rows[i];
        const char *text = buf_text(&kept->text);
        struct input_row row = {
            .number = kept->number,
            .line = kept->line,
            .key = {text, kept->key_len},
            .fields = {text + kept->key_len, kept->fields_len},
            .raw = {text + kept->key_len + kept->fields_len, kept->text.len - kept->key_len - kept->fields_len}};
        rc = take(arg, &row, error);
    }
    return rc < 0 ? rc : 0;
}
