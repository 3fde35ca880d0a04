/* What the wires of models have in common: a base URL and a model's name that can stand in a request. Pure; any thread. */
#include "core/limits.h"
#include "provider/provider_internal.h"

#include <ctype.h>

bool wire_has_only(const char *text, const char *marks)
{
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && strchr(marks, *text) == NULL)
            return false;
    return true;
}

/* Whether http may be used there is net's to say. */
int wire_check_base(const char *base, const char *example, struct galloc_error *error)
{
    size_t scheme = base == NULL ? 0 : strncmp(base, "https://", 8) == 0 ? 8 : strncmp(base, "http://", 7) == 0 ? 7 : 0;

    if (scheme == 0 || base[scheme] == '\0' || base[scheme] == '/')
        return galloc_fail(error, GALLOC_INVALID_VALUE, "base_url must be like %s", example);
    for (const char *at = base + scheme; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr("?#@\\\"<>", *at) != NULL)
            return galloc_fail(error, GALLOC_INVALID_VALUE, "base_url holds a character that cannot stand there (no query, no user, no space)");
    return 0;
}

void wire_add_base(struct buf *url, const char *base)
{
    size_t len = strlen(base);

    while (len > 0 && base[len - 1] == '/')
        len--;
    buf_add(url, base, len);
}

int64_t wire_token_count(struct json_span count)
{
    enum { MOST = 1000000000 }; /* of one call; what is more is a mistake */
    int64_t value = span_i64(count, -1);
    return value < 0 || value > MOST ? -1 : value;
}

void wire_take_model(struct json_span value, struct provider_verdict *verdict)
{
    char *model = span_text(value);

    if (model != NULL && model[0] != '\0' && strlen(model) <= LIMIT_NAME_BYTES)
        verdict->model_version = message_clean(model, strlen(model));
    free(model);
}

int64_t wire_spelled_ms(const char *text)
{
    static const struct {
        const char *unit; /* the longer of two that begin alike first */
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double total = -1;

    while (*text >= '0' && *text <= '9') {
        double value = 0, scale = 1;
        for (; *text >= '0' && *text <= '9'; text++)
            value = value * 10 + (*text - '0');
        if (*text == '.')
            for (text++; *text >= '0' && *text <= '9'; text++)
                value += (*text - '0') * (scale /= 10);
        size_t i = 0;
        while (i < ARRAY_COUNT(units) && strncmp(text, units[i].unit, strlen(units[i].unit)) != 0)
            i++;
        if (i == ARRAY_COUNT(units))
            break;
        total = (total < 0 ? 0 : total) + value * units[i].ms;
        text += strlen(units[i].unit);
    }
    if (total < 0)
        return -1;
    int64_t ms = total < (double)WIRE_RETRY_LONGEST_MS ? (int64_t)total : WIRE_RETRY_LONGEST_MS;
    return (double)ms < total && ms < WIRE_RETRY_LONGEST_MS ? ms + 1 : ms;
}
