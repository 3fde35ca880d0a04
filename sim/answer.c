/* See answer.h: the good answer and its odd relatives. Errors are in answer_error.c. */
#include "sim/answer.h"

#include "sim/fill.h"

#include "base/clock.h"
#include "base/json_out.h"

#define BYTES_PER_TOKEN 4

static const struct {
    int status;
    const char *reason;
} reasons[] = {{200, "OK"},
               {302, "Found"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {402, "Payment Required"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {408, "Request Timeout"},
               {409, "Conflict"},
               {411, "Length Required"},
               {413, "Content Too Large"},
               {421, "Misdirected Request"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {499, "Client Closed Request"},
               {500, "Internal Server Error"},
               {501, "Not Implemented"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"}};

void answer_maker_clear(struct answer_maker *maker)
{
    allocation_clear(&maker->allocation);
    buf_clear(&maker->body);
    buf_clear(&maker->text);
}

double answer_tokens(const struct settings *settings, const struct sim_request *request)
{
    return (double)((request->said_bytes + request->schema_bytes) / (size_t)settings->bytes_per_token + 1);
}

static const char *date_now(struct answer_maker *maker)
{
    int64_t now_s = clock_wall_ms() / 1000;
    if (now_s != maker->date_s) {
        time_t seconds = (time_t)now_s;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(maker->date, sizeof maker->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        maker->date_s = now_s;
    }
    return maker->date;
}

void answer_head(struct answer_maker *maker, int status, const char *content_type, const char *extra, size_t body_len,
                 struct buf *out)
{
    const char *reason = "Unknown";
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
        if (reasons[i].status == status) {
            reason = reasons[i].reason;
            break;
        }
    buf_add_str(out, "HTTP/1.1 ");
    buf_add_i64(out, status);
    buf_add_char(out, ' ');
    buf_add_str(out, reason);
    buf_add_str(out, "\r\nContent-Type: ");
    buf_add_str(out, content_type);
    buf_add_str(out, "\r\nDate: ");
    buf_add_str(out, date_now(maker));
    buf_add_str(out, "\r\nServer: gallocsim\r\n");
    buf_add_str(out, extra);
    buf_add_str(out, "Content-Length: ");
    buf_add_i64(out, (int64_t)body_len);
    buf_add_str(out, "\r\n\r\n");
}

void answer_json(struct answer_maker *maker, int status, const struct buf *body, struct buf *out)
{
    answer_head(maker, status, "application/json; charset=UTF-8", "", body->len, out);
    buf_add(out, body->data, body->len);
}

/* What was asked: the same question has the same answer. */
static uint64_t asked_hash(const struct sim_request *request)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < request->part_count; i++)
        if (!request->is_system[i])
            hash = chance_mix(hash ^ chance_hash(request->parts[i].at, request->parts[i].len));
    return hash;
}

static bool names_members(const struct sim_request *request)
{
    return request->wants_agent_id || request->wants_agent_camel || request->wants_reason || request->wants_confidence;
}

/* A choice as the schema wants it. `id`: of one of several, at NULL: there is one. */
static void choice_to_json(struct json_out *json, const struct allocation *choice, enum kind kind, const struct sim_request *request, struct text_span id)
{
    bool has_any = names_members(request);
    json_out_begin(json, '{');
    if (id.at != NULL) {
        json_out_name(json, "id");
        json_out_text(json, id.at, id.len);
    }
    if (kind == KIND_WRONG_SHAPE) {
        json_out_member_str(json, "agent", "an answer of another shape");
        json_out_end(json, '}');
        return;
    }
    if (request->wants_agent_id || request->wants_agent_camel || !has_any) {
        json_out_name(json, request->wants_agent_camel && !request->wants_agent_id ? "agentId" : "agent_id");
        if (kind == KIND_UNKNOWN_AGENT)
            json_out_str(json, "agent-of-no-pool");
        else
            json_out_text(json, choice->agent_id.at ? choice->agent_id.at : "", choice->agent_id.len);
    }
    if (request->wants_reason || !has_any) {
        json_out_name(json, "reason");
        json_out_text(json, buf_text(&choice->reason), choice->reason.len);
    }
    if (request->wants_confidence || !has_any) {
        json_out_name(json, "confidence");
        json_out_ratio(json, choice->confidence);
    }
    json_out_end(json, '}');
}

/* The text of the answer, as the schema wants it, into maker->text. */
static void write_text(struct answer_maker *maker, enum kind kind, const struct sim_request *request)
{
    struct buf *text = &maker->text;
    const struct allocation *choice = &maker->allocation;
    bool is_structured = request->is_json || request->has_properties;
    buf_reset(text);
    if (request->is_enum && !request->has_properties) {
        buf_add(text, kind == KIND_UNKNOWN_AGENT ? "agent-of-no-pool" : choice->agent_id.at,
                kind == KIND_UNKNOWN_AGENT ? 16 : choice->agent_id.len);
        return;
    }
    if (!is_structured && choice->agent_id.at == NULL) {
        buf_add_str(text, "OK");
        return;
    }
    struct json_out json = JSON_OUT(text);
    if (request->has_properties && !names_members(request)) { /* nobody is chosen */
        struct chance chance = chance_of(maker->settings->seed, asked_hash(request), 0);
        if (kind == KIND_WRONG_SHAPE || kind == KIND_UNKNOWN_AGENT)
            choice_to_json(&json, choice, KIND_WRONG_SHAPE, request, (struct text_span){NULL, 0});
        else
            fill_value(request->schema, &chance, &json);
        return;
    }
    choice_to_json(&json, choice, kind, request, (struct text_span){NULL, 0});
}

/* The best agent, or now and then the second best. */
static void choose(struct answer_maker *maker, struct verdict *verdict, const struct prompt_reader *prompt)
{
    bool is_second = maker->settings->noise > 0 && chance_unit(&verdict->chance) < maker->settings->noise;
    allocator_choose(prompt, is_second, &maker->allocation);
}

/* One of several: counted as held within this answer, with its own faults. */
static void item_to_json(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                         const struct prompt_reader *prompt, const struct prompt_item *item, struct json_out *json)
{
    const struct settings *settings = maker->settings;
    struct prompt_reader own = *prompt; /* shares what it owns */
    own.key = item->key;
    own.status = item->status;
    own.assignment = item->assignment;
    choose(maker, verdict, &own);
    for (size_t i = 0; i < own.candidate_count; i++)
        if (own.candidates[i].id.at == maker->allocation.agent_id.at) {
            own.candidates[i].held = fmax(own.candidates[i].held, 0) + 1;
            own.candidates[i].free -= own.candidates[i].free > 0;
        }
    double draw = chance_unit(&verdict->chance);
    bool is_unknown = draw >= settings->item_missing && draw < settings->item_missing + settings->item_unknown_agent;
    if (draw < settings->item_missing)
        return;
    choice_to_json(json, &maker->allocation, is_unknown ? KIND_UNKNOWN_AGENT : verdict->kind, request, item->id);
    if (chance_unit(&verdict->chance) < settings->item_twice)
        choice_to_json(json, &maker->allocation, verdict->kind, request, item->id);
}

/* An array of objects with their ids, or an object whose member "answers" is that where the schema has one. */
static void write_pack(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                       const struct prompt_reader *prompt)
{
    struct buf *text = &maker->text;
    buf_reset(text);
    struct json_out json = JSON_OUT(text);
    if (request->wants_answers) {
        json_out_begin(&json, '{');
        json_out_name(&json, "answers");
    }
    json_out_begin(&json, '[');
    for (size_t i = 0; i < prompt->item_count; i++)
        item_to_json(maker, verdict, request, prompt, &prompt->items[i], &json);
    json_out_end(&json, ']');
    if (request->wants_answers)
        json_out_end(&json, '}');
}

static void part_to_json(struct json_out *json, const char *text, size_t len, bool is_thought)
{
    json_out_begin(json, '{');
    json_out_name(json, "text");
    json_out_text(json, text, len);
    if (is_thought)
        json_out_member_bool(json, "thought", true);
    json_out_end(json, '}');
}

/* `keep`: how much of the text the answer holds; without any, "content" is empty. */
static void content_to_json(struct json_out *json, const struct buf *text, size_t keep, enum kind kind)
{
    json_out_name(json, "content");
    json_out_begin(json, '{');
    if (keep > 0) {
        json_out_name(json, "parts");
        json_out_begin(json, '[');
        if (kind == KIND_THOUGHT_FIRST)
            part_to_json(json, "The region decides, then the speciality, then the load.", 55, true);
        size_t first = kind == KIND_TWO_PARTS ? keep / 2 : keep;
        while (first < keep && ((unsigned char)text->data[first] & 0xc0) == 0x80)
            first++; /* not within a character */
        part_to_json(json, text->data, first, false);
        if (first < keep)
            part_to_json(json, text->data + first, keep - first, false);
        json_out_end(json, ']');
        json_out_member_str(json, "role", "model");
    }
    json_out_end(json, '}');
}

static void usage_to_json(struct json_out *json, const struct usage *usage)
{
    json_out_name(json, "usageMetadata");
    json_out_begin(json, '{');
    json_out_member_int(json, "promptTokenCount", usage->prompt);
    if (usage->cached > 0)
        json_out_member_int(json, "cachedContentTokenCount", usage->cached);
    if (usage->candidates > 0)
        json_out_member_int(json, "candidatesTokenCount", usage->candidates);
    if (usage->thoughts > 0)
        json_out_member_int(json, "thoughtsTokenCount", usage->thoughts);
    json_out_member_int(json, "totalTokenCount", usage->prompt + usage->candidates + usage->thoughts);
    json_out_name(json, "promptTokensDetails");
    json_out_begin(json, '[');
    json_out_begin(json, '{');
    json_out_member_str(json, "modality", "TEXT");
    json_out_member_int(json, "tokenCount", usage->prompt);
    json_out_end(json, '}');
    json_out_end(json, ']');
    json_out_member_str(json, "serviceTier", "standard");
    json_out_end(json, '}');
}

static void add_response_id(struct json_out *json, struct chance *chance)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char id[24];
    uint64_t bits = 0;
    for (size_t i = 0; i < 22; i++, bits >>= 6) {
        if (i % 10 == 0)
            bits = chance_next(chance);
        id[i] = letters[bits & 63];
    }
    id[22] = '\0';
    json_out_member_str(json, "responseId", id);
}

/* How much of the answer's text is sent, and the reason for its end. */
size_t answer_cut_text(const struct verdict *verdict, const struct sim_request *request, const struct buf *text,
                       struct usage *usage, const char **ret_finish)
{
    int64_t budget = request->max_output_tokens > 0 ? (int64_t)request->max_output_tokens : INT64_MAX;
    size_t keep = text->len;
    *ret_finish = "STOP";
    if (usage->thoughts > budget)
        usage->thoughts = budget;
    if (verdict->kind == KIND_MAX_TOKENS)
        budget = usage->thoughts + (int64_t)(text->len / 2 / BYTES_PER_TOKEN);
    if (verdict->kind == KIND_NO_TEXT)
        budget = usage->thoughts;
    int64_t needed = (int64_t)(text->len + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    if (needed > budget - usage->thoughts) {
        needed = budget - usage->thoughts;
        keep = (size_t)needed * BYTES_PER_TOKEN;
        *ret_finish = "MAX_TOKENS";
    }
    while (keep > 0 && keep < text->len && ((unsigned char)text->data[keep] & 0xc0) == 0x80)
        keep--;
    usage->candidates = needed;
    switch ((int)verdict->kind) {
    case KIND_EMPTY:
        keep = 0;
        break;
    case KIND_SAFETY:
        *ret_finish = "SAFETY";
        keep = 0;
        break;
    case KIND_RECITATION:
        *ret_finish = "RECITATION";
        keep = 0;
        break;
    case KIND_ODD_FINISH:
        *ret_finish = "DISTRACTED";
        break;
    default:
        break;
    }
    if (keep == 0)
        usage->candidates = 0;
    return keep;
}

/* A piece of an answer that comes in several calls: what was said before goes, `ret_token` is for what comes after; it
 * stays empty with the last one. */
static size_t cut_piece(const struct continuation *piece, bool is_last, struct buf *text, struct usage *usage,
                        struct buf *ret_token)
{
    size_t end = is_last ? text->len : continuation_end(piece, text);
    size_t from = (size_t)min_i64((int64_t)piece->from, (int64_t)end);
    if (!is_last)
        continuation_token(piece, end, ret_token);
    memmove(text->data, text->data + from, end - from);
    usage->candidates = (int64_t)(end - from + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    text->len = end - from;
    return text->len;
}

static void candidate_to_json(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                              struct usage *usage, struct json_out *json)
{
    struct continuation piece = request->rest;
    struct buf token = BUF_EMPTY;
    const char *finish = verdict->kind == KIND_CONTINUATION ? "CONTINUATION" : "STOP";
    if (verdict->kind == KIND_CONTINUATION && piece.calls == 0)
        piece =
            continuation_begin(request->body, request->body_bytes, 2 + (int64_t)(chance_next(&verdict->chance) & 1));
    size_t keep = piece.calls > 0 ? cut_piece(&piece, verdict->kind != KIND_CONTINUATION, &maker->text, usage, &token)
                                  : answer_cut_text(verdict, request, &maker->text, usage, &finish);
    json_out_name(json, "candidates");
    json_out_begin(json, '[');
    json_out_begin(json, '{');
    content_to_json(json, &maker->text, keep, verdict->kind);
    json_out_member_str(json, "finishReason", finish);
    if (token.len > 0)
        json_out_member_str(json, "continuationToken", buf_text(&token));
    buf_clear(&token);
    if (verdict->kind == KIND_SAFETY) {
        static const char ratings[] =
            "[{\"category\":\"HARM_CATEGORY_HARASSMENT\",\"probability\":\"HIGH\",\"blocked\":true}]";
        json_out_name(json, "safetyRatings");
        json_out_raw(json, ratings, sizeof ratings - 1);
    }
    json_out_member_int(json, "index", 0);
    json_out_end(json, '}');
    json_out_end(json, ']');
}

struct usage answer_usage(const struct answer_maker *maker, const struct sim_request *request,
                          const struct prompt_reader *prompt)
{
    struct usage usage = {.prompt = (int64_t)answer_tokens(maker->settings, request), .thoughts = maker->settings->thoughts_tokens};
    int64_t system_tokens = 0;
    for (size_t i = 0; i < request->part_count; i++)
        if (request->is_system[i])
            system_tokens += (int64_t)(walk_decoded_bytes(request->parts[i]) / (size_t)maker->settings->bytes_per_token);
    if (prompt->is_roster_known && maker->settings->cache_min_tokens > 0 &&
        system_tokens >= maker->settings->cache_min_tokens)
        usage.cached = system_tokens;
    return usage;
}

void answer_count_usage(struct answer_maker *maker, const struct usage *usage)
{
    maker->tally->tokens_in += usage->prompt;
    maker->tally->tokens_cached += usage->cached;
    maker->tally->tokens_out += usage->candidates;
    maker->tally->tokens_thought += usage->thoughts;
}

static void write_body(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                       const struct prompt_reader *prompt, struct text_span model)
{
    struct usage usage = answer_usage(maker, request, prompt);
    struct json_out json = JSON_OUT(&maker->body);
    json_out_begin(&json, '{');
    if (verdict->kind == KIND_BLOCKED) {
        static const char feedback[] = "{\"blockReason\":\"PROHIBITED_CONTENT\"}";
        json_out_name(&json, "promptFeedback");
        json_out_raw(&json, feedback, sizeof feedback - 1);
        usage.thoughts = 0;
    } else if (verdict->kind != KIND_NO_CANDIDATES) {
        candidate_to_json(maker, verdict, request, &usage, &json);
    }
    if (verdict->kind != KIND_NO_USAGE)
        usage_to_json(&json, &usage);
    json_out_name(&json, "modelVersion");
    json_out_text(&json, model.at, model.len);
    add_response_id(&json, &verdict->chance);
    json_out_end(&json, '}');
    answer_count_usage(maker, &usage);
}

void answer_write_text(struct answer_maker *maker, struct verdict *verdict, const struct sim_request *request,
                       const struct prompt_reader *prompt)
{
    if (prompt->item_count > 0) {
        write_pack(maker, verdict, request, prompt);
    } else {
        choose(maker, verdict, prompt);
        write_text(maker, verdict->kind, request);
    }
    if (verdict->kind != KIND_MALFORMED)
        return;
    buf_reset(&maker->text); /* what a model writes that forgets the form */
    buf_add_str(&maker->text, "Sure! Here is the allocation:\n{\"agent_id\": \"");
    buf_add(&maker->text, maker->allocation.agent_id.at, maker->allocation.agent_id.len);
    buf_add_str(&maker->text, "\", \"reason\": \"nearest");
}

void answer_generate(struct answer_maker *maker, const struct verdict *verdict, const struct sim_request *request,
                     const struct prompt_reader *prompt, struct text_span model, struct buf *out)
{
    struct verdict mine = *verdict; /* drawing moves its chance on */
    answer_write_text(maker, &mine, request, prompt);
    buf_reset(&maker->body);
    write_body(maker, &mine, request, prompt, model);
    if (mine.kind == KIND_HALF_JSON)
        maker->body.len /= 2;
    char timing[64];
    snprintf(timing, sizeof timing, "Server-Timing: gfet4t7; dur=%.0f\r\n", mine.delay_s * 1000);
    answer_head(maker, 200, "application/json; charset=UTF-8", timing, maker->body.len, out);
    buf_add(out, maker->body.data, maker->body.len);
}
