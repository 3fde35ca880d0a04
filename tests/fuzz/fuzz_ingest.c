/* Fuzz target: a part of an import, an append in both its forms, and agents of a pool. Every row that is let through lies within the text, is what
 * the strict reader says it is, and has the digest of its bytes; the answer about the others is JSON; rows and rejects
 * are as many as lines that are not blank. An append that is refused as a whole has no rows. */
#include "base/json.h"
#include "base/text.h"
#include "core/limits.h"
#include "ingest/ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_row(const struct ingest_part *part, const struct ingest_row *row)
{
    unsigned char digest[DIGEST_BYTES];
    const char *end = part->text + part->len;
    if (row->key.at < part->text || row->key.at + row->key.len > end || row->fields.at < part->text ||
        row->fields.at + row->fields.len > end)
        abort();
    if (!text_is_key(row->key.at, row->key.len, NULL) || row->row < 1)
        abort();
    if (json_check(row->fields.at, row->fields.len, NULL) != 0 || row->fields.at[0] != '{' ||
        row->fields.at[row->fields.len - 1] != '}')
        abort();
    digest_of(row->fields.at, row->fields.len, digest);
    if (memcmp(digest, row->sha256, sizeof digest) != 0)
        abort();
}

static size_t count_lines(const char *text, size_t len)
{
    size_t count = 0;
    bool is_blank = true;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            count += !is_blank;
            is_blank = true;
        } else if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            is_blank = false;
        }
    }
    return count + !is_blank;
}

static void check_agent(const struct ingest_agent *agent, void *arg)
{
    (void)arg;
    size_t len = strlen(agent->attributes);
    if (json_check(agent->attributes, len, NULL) != 0 || len > LIMIT_AGENT_BYTES ||
        !text_is_key(agent->agent_id, strlen(agent->agent_id), NULL))
        abort();
    if (agent->capacity < -1 || agent->load < 0 || (agent->is_available && agent->until_at_ms != 0))
        abort();
}

static void check_form(const uint8_t *data, size_t len, enum ingest_form form)
{
    struct ingest_part *part = xcalloc(1, sizeof *part);
    part->form = form;
    part->text = xmalloc(len);
    if (len > 0)
        memcpy(part->text, data, len);
    part->len = len;
    ingest_part_check(part);
    if (json_check(buf_text(&part->rejected), part->rejected.len, NULL) != 0)
        abort();
    if (part->code < 0 && part->count + (size_t)part->rejected_count > 0)
        abort();
    if (part->code == 0 && form != INGEST_JSON && part->count + (size_t)part->rejected_count != count_lines((const char *)data, len))
        abort();
    for (size_t i = 0; i < part->count; i++)
        check_row(part, &part->rows[i]);
    ingest_part_free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int form = INGEST_PART; form <= INGEST_JSON; form++)
        check_form(data, len, (enum ingest_form)form);
    struct json_object *array = NULL;
    if (json_parse((const char *)data, len, &array, NULL) == 0)
        (void)ingest_agents(array, check_agent, NULL, NULL);
    json_free(array);
    return 0;
}
