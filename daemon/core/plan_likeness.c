/* Which runs ask alike, so that one tells what another will take (plan.h). Pure; any thread. */
#include "core/plan.h"

#include "base/digest.h"
#include "base/json_scan.h"

#include <string.h>

static void add_members(struct buf *out, struct json_span object, const char *const *names, size_t count)
{
    struct json_span name, value;
    for (const char *at = NULL; json_next(object, &at, &name, &value);)
        for (size_t i = 0; i < count; i++)
            if (json_span_equals(name, names[i])) {
                buf_add_fmt(out, "%s=", names[i]);
                buf_add(out, value.at, value.len);
                buf_add_char(out, '\n');
            }
}

uint64_t plan_likeness(const char *json)
{
    static const char *const of_plan[] = {"template", "schema"}, *const of_options[] = {"send", "keep_back", "match", "max_candidates", "pack"};
    struct json_span whole = {json, strlen(json)}, name, value;
    struct buf text = BUF_EMPTY;
    unsigned char digest[DIGEST_BYTES];
    uint64_t mark;
    add_members(&text, whole, of_plan, ARRAY_COUNT(of_plan));
    for (const char *at = NULL; json_next(whole, &at, &name, &value);)
        if (json_span_equals(name, "options"))
            add_members(&text, value, of_options, ARRAY_COUNT(of_options));
    digest_of(text.data, text.len, digest);
    memcpy(&mark, digest, sizeof mark);
    buf_clear(&text);
    return mark != 0 ? mark : 1;
}
