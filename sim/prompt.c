/* See prompt.h. Called for every generateContent call, so nothing is allocated once the buffers have grown. */
#include "sim/prompt.h"

#include "sim/chance.h"

#define NOT_TOLD (-1.0)

const char *const place_names[PLACE_COUNT] = {
#define X(noun) #noun,
    PROMPT_PLACES(X)
#undef X
};

struct agent {
    struct text_span id;
    struct traits traits;
};

struct roster {
    uint64_t hash;
    struct buf source; /* the bytes it was read from, to be sure that they are the same */
    struct buf text;   /* decoded; agents' spans point into it */
    struct agent *agents;
    size_t count, cap;
    uint32_t *slots; /* index + 1 by hash of the id; slot_count is a power of two */
    size_t slot_count;
};

static void roster_free(struct roster *roster)
{
    if (roster == NULL)
        return;
    buf_clear(&roster->source);
    buf_clear(&roster->text);
    free(roster->agents);
    free(roster->slots);
    free(roster);
}

void prompt_reader_clear(struct prompt_reader *reader)
{
    for (size_t i = 0; i < ARRAY_COUNT(reader->rosters); i++)
        roster_free(reader->rosters[i]);
    free(reader->candidates);
    free(reader->items);
    buf_clear(&reader->text);
    buf_clear(&reader->scratch);
    *reader = (struct prompt_reader){0};
}

/* ---- blocks ---- */

enum block { BLOCK_NONE, BLOCK_AGENTS, BLOCK_ASSIGNMENT, BLOCK_CANDIDATES };

/* The block that a line begins: the word alone, or with "#" before and ":" after it. */
static enum block block_of(const char *line, size_t len)
{
    static const char *const words[] = {
        [BLOCK_AGENTS] = "AGENTS", [BLOCK_ASSIGNMENT] = "ASSIGNMENT", [BLOCK_CANDIDATES] = "CANDIDATES"};
    while (len > 0 && (*line == '#' || *line == ' ')) {
        line++;
        len--;
    }
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r' || line[len - 1] == ':'))
        len--;
    for (enum block block = BLOCK_AGENTS; block <= BLOCK_CANDIDATES; block++)
        if (len == strlen(words[block]) && memcmp(line, words[block], len) == 0)
            return block;
    return BLOCK_NONE;
}

struct blocks {
    struct text_span at[BLOCK_CANDIDATES + 1]; /* the lines below each word */
};

static struct blocks find_blocks(const char *text, size_t len)
{
    struct blocks blocks = {0};
    enum block open = BLOCK_NONE;
    const char *end = text + len;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop ? stop + 1 : end;
        size_t line_len = (size_t)((stop ? stop : end) - line);
        if (*line == '{') {
            if (open != BLOCK_NONE)
                blocks.at[open].len = (size_t)(next - blocks.at[open].at);
        } else if (line_len > 0 && *line != '\r') {
            open = line_len < 32 ? block_of(line, line_len) : BLOCK_NONE;
            if (open != BLOCK_NONE)
                blocks.at[open] = (struct text_span){next, 0};
        }
        line = next;
    }
    return blocks;
}

/* The next line of a block that begins with "{"; false at the end. */
static bool next_line(struct text_span *block, struct text_span *ret_line)
{
    while (block->len > 0) {
        const char *stop = memchr(block->at, '\n', block->len);
        size_t len = stop ? (size_t)(stop - block->at) : block->len;
        *ret_line = (struct text_span){block->at, len};
        size_t step = stop ? len + 1 : len;
        block->at += step;
        block->len -= step;
        if (len > 0 && *ret_line->at == '{')
            return true;
    }
    return false;
}

/* ---- strings and traits ---- */

/* The decoded string: in place when nothing has to be decoded. `out` has room. */
static struct text_span decoded(struct walk_string string, struct buf *out)
{
    if (string.escape_count == 0)
        return (struct text_span){string.at, string.len};
    size_t from = out->len;
    walk_decode(string, out);
    return (struct text_span){out->data + from, out->len - from};
}

/* Names of columns are meant without case, as gallocd takes them. */
static bool is_named(struct walk_string name, const char *word)
{
    return strlen(word) == name.len && strncasecmp(name.at, word, name.len) == 0;
}

static bool ends_with(struct walk_string name, const char *word, size_t word_len)
{
    return name.len > word_len && strchr("_ ", name.at[name.len - word_len - 1]) != NULL &&
           strncasecmp(name.at + name.len - word_len, word, word_len) == 0;
}

/* Notes a member when it is a place or a speciality. */
static void note_trait(struct traits *traits, struct walk_string name, struct walk_string value, struct buf *out)
{
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (is_named(name, place_names[i]) || ends_with(name, place_names[i], strlen(place_names[i])))
            traits->places[i] = decoded(value, out);
    if (is_named(name, "speciality") || is_named(name, "specialty") || is_named(name, "specialization"))
        traits->speciality = decoded(value, out);
}

/* ---- roster ---- */

static void roster_index(struct roster *roster)
{
    for (roster->slot_count = 16; roster->slot_count < 2 * roster->count;)
        roster->slot_count *= 2;
    roster->slots = xcalloc(roster->slot_count, sizeof *roster->slots);
    for (size_t i = 0; i < roster->count; i++) {
        size_t slot = chance_hash(roster->agents[i].id.at, roster->agents[i].id.len) & (roster->slot_count - 1);
        while (roster->slots[slot] != 0)
            slot = (slot + 1) & (roster->slot_count - 1);
        roster->slots[slot] = (uint32_t)i + 1;
    }
}

static const struct traits *roster_find(const struct roster *roster, struct text_span id)
{
    if (roster == NULL)
        return NULL;
    size_t slot = chance_hash(id.at, id.len) & (roster->slot_count - 1);
    for (; roster->slots[slot] != 0; slot = (slot + 1) & (roster->slot_count - 1)) {
        const struct agent *agent = &roster->agents[roster->slots[slot] - 1];
        if (agent->id.len == id.len && memcmp(agent->id.at, id.at, id.len) == 0)
            return &agent->traits;
    }
    return NULL;
}

static void read_agent(struct roster *roster, struct text_span line)
{
    struct walk walk = walk_of(line.at, line.len);
    struct agent agent = {0};
    struct walk_string name, value;
    if (!walk_open(&walk, '{'))
        return;
    for (bool is_first = true; walk_next(&walk, '}', is_first); is_first = false) {
        if (!walk_name(&walk, &name))
            return;
        if (walk_peek(&walk) != '"') {
            if (!walk_skip(&walk, NULL))
                return;
        } else if (!walk_string(&walk, &value)) {
            return;
        } else if (walk_equals(name, "agent_id")) {
            agent.id = decoded(value, &roster->text);
        } else {
            note_trait(&agent.traits, name, value, &roster->text);
        }
    }
    if (walk.problem != NULL || agent.id.at == NULL)
        return;
    if (roster->count == roster->cap) {
        roster->cap = roster->cap ? 2 * roster->cap : 32;
        roster->agents = xreallocarray(roster->agents, roster->cap, sizeof *roster->agents);
    }
    roster->agents[roster->count++] = agent;
}

static struct roster *roster_known(const struct prompt_reader *reader, const char *source, size_t len, uint64_t hash)
{
    for (size_t i = 0; i < ARRAY_COUNT(reader->rosters); i++) {
        struct roster *roster = reader->rosters[i];
        if (roster != NULL && roster->hash == hash && roster->source.len == len &&
            memcmp(buf_text(&roster->source), source, len) == 0)
            return roster;
    }
    return NULL;
}

static struct roster *roster_keep(struct prompt_reader *reader, struct roster *roster, const char *source, size_t len,
                                  uint64_t hash)
{
    size_t place = reader->roster_next++ % ARRAY_COUNT(reader->rosters);
    roster->hash = hash;
    buf_add(&roster->source, source, len);
    roster_index(roster);
    roster_free(reader->rosters[place]);
    return reader->rosters[place] = roster;
}

/* Reads the lines in roster->text, from `block`; the decoded strings are added behind. */
static void roster_read(struct roster *roster, size_t from, size_t len)
{
    buf_reserve(&roster->text, len); /* strings are shorter than their lines: spans stay */
    struct text_span block = {buf_text(&roster->text) + from, len}, line;
    while (next_line(&block, &line))
        read_agent(roster, line);
}

/* The roster of a block AGENTS in a user's text. */
static struct roster *roster_of_block(struct prompt_reader *reader, struct text_span block)
{
    uint64_t hash = chance_hash(block.at, block.len) ^ 1;
    struct roster *roster = roster_known(reader, block.at, block.len, hash);
    if (roster != NULL)
        return roster;
    roster = xcalloc(1, sizeof *roster);
    buf_add(&roster->text, block.at, block.len);
    roster_read(roster, 0, block.len);
    return roster_keep(reader, roster, block.at, block.len, hash);
}

/* The roster of a system instruction, found again by its source, so that it is not even decoded. The other blocks do
 * not stand there. */
static struct roster *roster_of_system(struct prompt_reader *reader, struct walk_string part)
{
    uint64_t hash = chance_hash(part.at, part.len);
    struct roster *roster = roster_known(reader, part.at, part.len, hash);
    reader->is_roster_known |= roster != NULL;
    if (roster == NULL) {
        roster = xcalloc(1, sizeof *roster);
        walk_decode(part, &roster->text);
        struct blocks blocks = find_blocks(buf_text(&roster->text), roster->text.len);
        struct text_span agents = blocks.at[BLOCK_AGENTS];
        if (agents.len > 0)
            roster_read(roster, (size_t)(agents.at - buf_text(&roster->text)), agents.len);
        roster_keep(reader, roster, part.at, part.len, hash);
    }
    return roster->count > 0 ? roster : NULL;
}

/* ---- assignment and candidates ---- */

static bool is_status_name(struct walk_string name)
{
    return memmem(name.at, name.len, "status", 6) != NULL;
}

static bool read_fields(struct prompt_reader *reader, struct walk *walk)
{
    struct walk_string name, value;
    if (!walk_open(walk, '{'))
        return false;
    for (bool is_first = true; walk_next(walk, '}', is_first); is_first = false) {
        if (!walk_name(walk, &name))
            return false;
        if (walk_peek(walk) != '"') {
            if (!walk_skip(walk, NULL))
                return false;
            continue;
        }
        if (!walk_string(walk, &value))
            return false;
        note_trait(&reader->assignment, name, value, &reader->scratch);
        if (reader->status.at == NULL && is_status_name(name))
            reader->status = decoded(value, &reader->scratch);
    }
    return walk->problem == NULL;
}

static void read_assignment(struct prompt_reader *reader, struct text_span line)
{
    struct walk walk = walk_of(line.at, line.len);
    struct walk_string name, value;
    if (!walk_open(&walk, '{'))
        return;
    for (bool is_first = true; walk_next(&walk, '}', is_first); is_first = false) {
        if (!walk_name(&walk, &name))
            return;
        bool is_key = walk_equals(name, "key") && walk_peek(&walk) == '"';
        if (is_key && walk_string(&walk, &value))
            reader->key = decoded(value, &reader->scratch);
        else if (!is_key && !(walk_equals(name, "fields") ? read_fields(reader, &walk) : walk_skip(&walk, NULL)))
            return;
    }
}

static struct candidate *add_candidate(struct prompt_reader *reader)
{
    if (reader->candidate_count == reader->candidate_cap) {
        reader->candidate_cap = reader->candidate_cap ? 2 * reader->candidate_cap : 64;
        reader->candidates = xreallocarray(reader->candidates, reader->candidate_cap, sizeof *reader->candidates);
    }
    struct candidate *candidate = &reader->candidates[reader->candidate_count++];
    *candidate = (struct candidate){.capacity = NOT_TOLD, .held = NOT_TOLD, .free = NOT_TOLD};
    return candidate;
}

static bool read_candidate_member(struct prompt_reader *reader, struct walk *walk, struct walk_string name,
                                  struct candidate *candidate)
{
    struct walk_string value;
    char c = walk_peek(walk);
    if (c == '"') {
        if (!walk_string(walk, &value))
            return false;
        if (walk_equals(name, "agent_id"))
            candidate->id = decoded(value, &reader->scratch);
        else
            note_trait(&candidate->own, name, value, &reader->scratch);
        return true;
    }
    double *number = walk_equals(name, "capacity") ? &candidate->capacity
                     : walk_equals(name, "held")   ? &candidate->held
                     : walk_equals(name, "load")   ? &candidate->held
                     : walk_equals(name, "free")   ? &candidate->free
                                                   : NULL;
    return number != NULL && (c == '-' || (c >= '0' && c <= '9')) ? walk_number(walk, number) : walk_skip(walk, NULL);
}

static void read_candidate(struct prompt_reader *reader, struct text_span line)
{
    struct walk walk = walk_of(line.at, line.len);
    struct candidate *candidate = add_candidate(reader);
    struct walk_string name;
    if (walk_open(&walk, '{'))
        for (bool is_first = true; walk_next(&walk, '}', is_first); is_first = false)
            if (!walk_name(&walk, &name) || !read_candidate_member(reader, &walk, name, candidate))
                break;
    if (walk.problem != NULL || candidate->id.at == NULL)
        reader->candidate_count--;
}

static void read_enum(struct prompt_reader *reader, struct json_span values)
{
    struct walk walk = walk_of(values.at, values.len);
    struct walk_string value;
    if (!walk_open(&walk, '['))
        return;
    for (bool is_first = true; walk_next(&walk, ']', is_first); is_first = false)
        if (walk_peek(&walk) != '"' || !walk_string(&walk, &value))
            return;
        else
            add_candidate(reader)->id = decoded(value, &reader->scratch);
}

static void add_item(struct prompt_reader *reader, struct text_span id, struct text_span line)
{
    if (reader->item_count == reader->item_cap) {
        reader->item_cap = reader->item_cap ? 2 * reader->item_cap : 16;
        reader->items = xreallocarray(reader->items, reader->item_cap, sizeof *reader->items);
    }
    reader->key = reader->status = (struct text_span){NULL, 0};
    reader->assignment = (struct traits){0};
    read_assignment(reader, line);
    reader->items[reader->item_count++] = (struct prompt_item){id, reader->key, reader->status, reader->assignment};
}

/* The objects of ASSIGNMENT that stand below a line "ID …". The first of them is the prompt's assignment. */
static void read_items(struct prompt_reader *reader)
{
    struct text_span id = {NULL, 0};
    const char *at = buf_text(&reader->text), *end = at + reader->text.len;
    bool is_open = false;
    for (const char *next; at < end; at = next) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        next = stop ? stop + 1 : end;
        if (len > 3 && len < 64 && memcmp(at, "ID ", 3) == 0)
            id = (struct text_span){at + 3, len - 3};
        else if (id.at != NULL && len < 32 && block_of(at, len) == BLOCK_ASSIGNMENT)
            is_open = true;
        else if (is_open && len > 0 && *at == '{') {
            add_item(reader, id, (struct text_span){at, len});
            is_open = false;
            id.at = NULL;
        }
    }
    if (reader->item_count == 0)
        return;
    reader->key = reader->items[0].key;
    reader->status = reader->items[0].status;
    reader->assignment = reader->items[0].assignment;
}

void prompt_read(struct prompt_reader *reader, const struct sim_request *request)
{
    struct roster *roster = NULL;
    reader->key = reader->status = (struct text_span){NULL, 0};
    reader->assignment = (struct traits){0};
    reader->candidate_count = reader->item_count = 0;
    reader->is_roster_known = false;
    buf_reset(&reader->text);
    buf_reset(&reader->scratch);
    buf_reserve(&reader->scratch, request->text_bytes + request->agent_enum.len); /* decoded is never longer */
    for (size_t i = 0; i < request->part_count; i++) {
        if (!request->is_system[i]) {
            walk_decode(request->parts[i], &reader->text);
            buf_add_char(&reader->text, '\n');
        } else if (roster == NULL) {
            roster = roster_of_system(reader, request->parts[i]);
        }
    }
    struct blocks blocks = find_blocks(buf_text(&reader->text), reader->text.len);
    if (roster == NULL && blocks.at[BLOCK_AGENTS].len > 0)
        roster = roster_of_block(reader, blocks.at[BLOCK_AGENTS]);
    struct text_span line;
    read_items(reader);
    if (reader->item_count == 0 && next_line(&blocks.at[BLOCK_ASSIGNMENT], &line))
        read_assignment(reader, line);
    while (next_line(&blocks.at[BLOCK_CANDIDATES], &line))
        read_candidate(reader, line);
    if (reader->candidate_count == 0 && request->agent_enum.at != NULL)
        read_enum(reader, request->agent_enum);
    for (size_t i = 0; i < reader->candidate_count; i++)
        reader->candidates[i].roster = roster_find(roster, reader->candidates[i].id);
}
