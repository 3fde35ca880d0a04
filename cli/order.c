/* See order.h. */
#include "cli/order.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A row's place in the file, and what it is sorted by. */
struct place {
    int64_t number, line, offset;
    uint32_t key_len, fields_len, raw_len;
    uint32_t value_len;
    int64_t value_at; /* into `values`; -1: none */
    double value;
};

struct order {
    char *column;
    bool is_descending, is_numeric;
    FILE *file;
    int64_t file_bytes;
    struct place *places;
    size_t count, cap;
    struct buf values;
};

int order_new(const char *text, struct order **ret_order, const char **ret_column, struct galloc_error *error)
{
    const char *colon = strrchr(text, ':');
    bool has_direction = colon != NULL && (strcasecmp(colon, ":desc") == 0 || strcasecmp(colon, ":asc") == 0);
    FILE *file = tmpfile();
    if (file == NULL)
        return galloc_fail(error, GALLOC_LOCAL_IO, "no temporary file for sorting could be made: %s", strerror(errno));
    struct order *order = xcalloc(1, sizeof *order);
    order->column = has_direction ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    order->is_descending = has_direction && strcasecmp(colon, ":desc") == 0;
    order->is_numeric = true;
    order->file = file;
    *ret_order = order;
    *ret_column = order->column;
    return 0;
}

void order_free(struct order *order)
{
    if (order == NULL)
        return;
    fclose(order->file);
    free(order->column);
    free(order->places);
    buf_clear(&order->values);
    free(order);
}

int order_add(struct order *order, const struct input_row *row, struct galloc_error *error)
{
    if (order->count == order->cap) {
        order->cap = order->cap ? 2 * order->cap : 1024;
        order->places = xreallocarray(order->places, order->cap, sizeof *order->places);
    }
    struct place *place = &order->places[order->count++];
    *place = (struct place){.number = row->number,
                            .line = row->line,
                            .offset = order->file_bytes,
                            .key_len = (uint32_t)row->key.len,
                            .fields_len = (uint32_t)row->fields.len,
                            .raw_len = (uint32_t)row->raw.len,
                            .value_len = (uint32_t)row->order.len,
                            .value_at = row->order.len > 0 ? (int64_t)order->values.len : -1};
    if (place->value_at >= 0) {
        char *end = NULL;
        buf_add(&order->values, row->order.at, row->order.len);
        buf_add_char(&order->values, '\0');
        place->value = strtod(order->values.data + place->value_at, &end);
        order->is_numeric = order->is_numeric && *end == '\0' && isfinite(place->value);
    }
    const struct json_span pieces[] = {row->key, row->fields, row->raw};
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        if (pieces[i].len > 0 && fwrite(pieces[i].at, 1, pieces[i].len, order->file) != pieces[i].len)
            return galloc_fail(error, GALLOC_LOCAL_IO, "sorting: the temporary file cannot be written: %s", strerror(errno));
        order->file_bytes += (int64_t)pieces[i].len;
    }
    return 0;
}

static int compare_places(const void *a, const void *b, void *arg)
{
    const struct place *x = a, *y = b;
    const struct order *order = arg;
    int by_number = (x->number > y->number) - (x->number < y->number);
    if ((x->value_at < 0) != (y->value_at < 0))
        return x->value_at < 0 ? 1 : -1;
    if (x->value_at < 0)
        return by_number;
    int by_value = order->is_numeric ? (x->value > y->value) - (x->value < y->value)
                                     : strcmp(order->values.data + x->value_at, order->values.data + y->value_at);
    if (by_value == 0)
        return by_number;
    return order->is_descending ? -by_value : by_value;
}

int order_play(struct order *order, const struct input_sink *sink, struct galloc_error *error)
{
    struct buf text = BUF_EMPTY;
    int rc = 0;
    qsort_r(order->places, order->count, sizeof *order->places, compare_places, order);
    for (size_t i = 0; rc == 0 && i < order->count; i++) {
        const struct place *place = &order->places[i];
        size_t len = (size_t)place->key_len + place->fields_len + place->raw_len;
        buf_reset(&text);
        char *to = buf_reserve(&text, len);
        if (fseeko(order->file, place->offset, SEEK_SET) < 0 || fread(to, 1, len, order->file) != len) {
            rc = galloc_fail(error, GALLOC_LOCAL_IO, "sorting: the temporary file cannot be read: %s", strerror(errno));
            break;
        }
        struct input_row row = {.number = place->number,
                                .line = place->line,
                                .key = {to, place->key_len},
                                .fields = {to + place->key_len, place->fields_len},
                                .raw = {to + place->key_len + place->fields_len, place->raw_len}};
        rc = sink->row(sink->arg, &row, error);
    }
    buf_clear(&text);
    return rc;
}
