/* What gallocsim reads and says: JSON, request bodies, prompts, the rule of allocation, the answers, HTTP heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/json_out.h"
#include "sim/answer.h"
#include "sim/chance.h"
#include "sim/http.h"

/* ---- JSON ---- */

static void test_walk_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_well;
    } rows[] = {{"{}", true},
                {" [1, -2.5e+3, true, null, \"\"] ", true},
                {"\"a long string without anything in it\"", true},
                {"{\"a\":{\"b\":[[]]}}", true},
                {"\"\\u00e9\\n\\\\\\\"/\"", true},
                {"123456789012345678901", true},
                {"0", true},
                {"-0.5", true},
                {"", false},
                {"{", false},
                {"[1,]", false},
                {"{\"a\":1,}", false},
                {"{\"a\" 1}", false},
                {"{a:1}", false},
                {"[1 2]", false},
                {"01", false},
                {"1.", false},
                {"-", false},
                {"+1", false},
                {"tru", false},
                {"\"", false},
                {"\"abcdefghijk", false},
                {"\"\\x\"", false},
                {"\"\\u12g4\"", false},
                {"\"\\u12", false},
                {"\"\\", false},
                {"\"a\tb\"", false},
                {"\"\xff\"", false},
                {"{} {}", false},
                {"]", false},
                {"{]", false},
                {"NaN", false},
                {"1e", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct walk walk = walk_of(rows[i].text, strlen(rows[i].text));
        bool is_well = walk_skip(&walk, NULL) && walk_end(&walk);
        if (is_well != rows[i].is_well)
            fail_msg("%s: %s", rows[i].text, walk.problem ? walk.problem : "taken");
        assert_int_equal(json_check(rows[i].text, strlen(rows[i].text), NULL) == 0,
                         rows[i].is_well); /* as the house's own reader */
    }
    char deep[100];
    memset(deep, '[', sizeof deep);
    struct walk walk = walk_of(deep, sizeof deep);
    assert_false(walk_skip(&walk, NULL));
    assert_string_equal(walk.problem, "nested too deep");
}

/* Every place of a special character within eight bytes, so that the fast step over plain text misses none. */
static void test_walk_string_at_every_offset(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        char text[64] = "\"";
        memset(text + 1, 'x', len);
        memcpy(text + 1 + len, "\"tail\\\"tail", 12);
        struct walk walk = walk_of(text, strlen(text));
        struct walk_string string;
        assert_true(walk_string(&walk, &string));
        assert_int_equal(string.len, len);
        text[1 + len] = '\x1f';
        walk = walk_of(text, strlen(text));
        assert_false(walk_string(&walk, &string));
        memcpy(text + 1 + len, "\\\"\"", 4);
        walk = walk_of(text, strlen(text));
        assert_true(walk_string(&walk, &string));
        assert_true(string.escape_count == 1 && string.len == len + 2);
    }
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text;
    } rows[] = {{"\"plain\"", "plain"},
                {"\"a\\nb\\t\\\"\\\\\\/\"", "a\nb\t\"\\/"},
                {"\"\\n\\u0041\\u00e9\\u20ac\"", "\nA\xc3\xa9\xe2\x82\xac"},
                {"\"\\ud83d\\ude00!\\b\\f\\r\"", "\xf0\x9f\x98\x80!\b\f\r"},
                {"\"\\ud83d\"", "\xef\xbf\xbd"},
                {"\"caf\xc3\xa9 \\\"\xc3\xa9\\\"\"", "caf\xc3\xa9 \"\xc3\xa9\""},
                {"\"\\ude00x\"", "\xef\xbf\xbdx"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf out = BUF_EMPTY;
        struct walk walk = walk_of(rows[i].source, strlen(rows[i].source));
        struct walk_string string;
        assert_true(walk_string(&walk, &string));
        walk_decode(string, &out);
        assert_int_equal(walk_decoded_bytes(string), strlen(rows[i].text));
        assert_string_equal(out.data, rows[i].text);
        buf_clear(&out);
    }
}

/* ---- request bodies ---- */

#define CONTENTS "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hello\"}]}]"
#define WITH(config) "{" CONTENTS ",\"generationConfig\":{" config "}}"
#define SCHEMA(schema) WITH("\"responseMimeType\":\"application/json\",\"responseSchema\":" schema)

static void test_requests_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field, *says;
    } rows[] = {
        {"", "", "object is expected"},
        {"{\"contents\":", "contents", "Invalid JSON payload"},
        {"{}", "", "contents is not specified"},
        {"{\"contents\":[]}", "", "contents is not specified"},
        {"{" CONTENTS ",\"foo\":1}", "", "Unknown name \"foo\": Cannot find field."},
        {"{" CONTENTS "} x", "", "after the end"},
        {"{\"contents\":[{\"role\":\"system\",\"parts\":[{\"text\":\"x\"}]}]}", "contents.role", "valid role"},
        {"{\"contents\":[{\"parts\":[{\"txt\":\"x\"}]}]}", "contents.parts",
         "Unknown name \"txt\" at 'contents.parts'"},
        {"{\"contents\":[{\"parts\":[]}]}", "contents.parts", "must not be empty"},
        {WITH("\"temprature\":0"), "generation_config", "Unknown name \"temprature\" at 'generation_config'"},
        {WITH("\"temperature\":3"), "generation_config.temperature", "supported range"},
        {WITH("\"temperature\":\"hot\""), "generation_config.temperature", "number"},
        {WITH("\"maxOutputTokens\":0"), "generation_config.max_output_tokens", "supported range"},
        {WITH("\"temperature\":0,\"temperature\":1"), "generation_config", "given twice"},
        {WITH("\"responseMimeType\":\"text/html\""), "generation_config.response_mime_type", "allowed mimetypes"},
        {WITH("\"responseSchema\":{\"type\":\"STRING\"}"), "generation_config", "response_mime_type must be set"},
        {WITH("\"thinkingConfig\":{\"thinkingBudget\":0,\"thinkingLevel\":\"LOW\"}"),
         "generation_config.thinking_config", "only one"},
        {WITH("\"thinkingConfig\":{\"thinkingLevel\":\"low\"}"), "generation_config.thinking_config.thinking_level",
         "low"},
        {SCHEMA("{\"type\":\"object\"}"), "generation_config.response_schema.type", "\"object\""},
        {SCHEMA("{\"type\":[\"STRING\",\"NULL\"]}"), "generation_config.response_schema.type", "not repeating"},
        {SCHEMA("{\"type\":\"OBJECT\"}"), "generation_config.response_schema", "should be non-empty"},
        {SCHEMA("{\"type\":\"ARRAY\"}"), "generation_config.response_schema", "items: missing"},
        {SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}},\"additionalProperties\":false}"),
         "generation_config.response_schema", "Unknown name \"additionalProperties\""},
        {SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}},\"required\":[\"b\"]}"),
         "generation_config.response_schema", "required[0]: property is not defined"},
        {SCHEMA("{\"type\":\"STRING\",\"enum\":[\"a\",1]}"), "generation_config.response_schema.enum", "enum[1]"},
        {SCHEMA("{\"type\":\"STRING\",\"enum\":[\"a\",\"b\",\"c\",\"d\"]}"), "generation_config.response_schema.enum",
         "too many states"},
        {"{" CONTENTS ",\"serviceTier\":\"FLEX\"}", "service_tier", "FLEX"},
        {"{" CONTENTS ",\"safetySettings\":[{\"category\":\"HARM\",\"threshold\":\"OFF\"}]}",
         "safety_settings.category", "HARM"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_request request;
        struct request_fault fault;
        if (request_read(rows[i].body, strlen(rows[i].body), false, 3, &request, &fault))
            fail_msg("taken: %s", rows[i].body);
        if (strcmp(fault.field, rows[i].field) != 0 || strstr(fault.message, rows[i].says) == NULL)
            fail_msg("%s\n  gives [%s] %s", rows[i].body, fault.field, fault.message);
    }
}

static void test_requests_taken(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{" CONTENTS "}",
        "{\"contents\":{\"parts\":{\"text\":\"one message for a list of one\"}}}",
        "{" CONTENTS ",\"system_instruction\":{\"parts\":[{\"text\":\"s\"}]},\"generation_config\":{\"max_output_"
                     "tokens\":\"256\",\"top_p\":0.5}}",
        WITH("\"temperature\":null,\"stopSequences\":[\"END\"],\"candidateCount\":1,\"seed\":7,\"thinkingConfig\":{"
             "\"thinkingBudget\":-1}"),
        SCHEMA("{\"type\":\"OBJECT\",\"properties\":{\"agent_id\":{\"type\":\"STRING\",\"enum\":[\"a\",\"b\"]},"
               "\"score\":{\"type\":\"NUMBER\","
               "\"nullable\":true,\"minimum\":0},\"list\":{\"type\":\"ARRAY\",\"items\":{\"type\":\"STRING\"},"
               "\"maxItems\":\"3\"}},\"required\":"
               "[\"agent_id\"],\"propertyOrdering\":[\"agent_id\",\"score\"]}"),
        WITH("\"responseMimeType\":\"application/"
             "json\",\"responseJsonSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[\"string\","
             "\"null\"]}},\"required\":[\"a\"],\"additionalProperties\":false}"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sim_request request;
        struct request_fault fault;
        if (!request_read(rows[i], strlen(rows[i]), false, 1000, &request, &fault))
            fail_msg("%s\n  gives [%s] %s", rows[i], fault.field, fault.message);
        assert_true(request.part_count >= 1);
    }
    struct sim_request request;
    struct request_fault fault;
    assert_true(request_read(rows[4], strlen(rows[4]), false, 1000, &request, &fault));
    assert_true(request.wants_agent_id && !request.wants_reason && request.agent_enum_count == 2);
    assert_true(request_read(rows[0], strlen(rows[0]), true, 1000, &request, &fault));
    assert_false(request_read(rows[2], strlen(rows[2]), true, 1000, &request,
                              &fault)); /* countTokens takes no systemInstruction */
}

/* ---- prompts and the rule ---- */

struct stage {
    struct sim_request request;
    struct prompt_reader prompt;
    struct allocation allocation;
    struct buf body;
};

static void stage_clear(struct stage *stage)
{
    prompt_reader_clear(&stage->prompt);
    allocation_clear(&stage->allocation);
    buf_clear(&stage->body);
}

/* Reads a prompt of these texts (system may be NULL) and lets the rule choose; `values`: an enum as JSON, or NULL. */
static const char *chosen(struct stage *stage, const char *system, const char *user, const char *values)
{
    static char id[64];
    struct request_fault fault;
    buf_reset(&stage->body);
    buf_add_str(&stage->body, "{\"contents\":[{\"parts\":[{\"text\":");
    json_quote(&stage->body, user, strlen(user));
    buf_add_str(&stage->body, "}]}]");
    if (system != NULL) {
        buf_add_str(&stage->body, ",\"systemInstruction\":{\"parts\":[{\"text\":");
        json_quote(&stage->body, system, strlen(system));
        buf_add_str(&stage->body, "}]}");
    }
    if (values != NULL)
        buf_add_fmt(&stage->body,
                    ",\"generationConfig\":{\"responseMimeType\":\"application/"
                    "json\",\"responseSchema\":{\"type\":\"OBJECT\",\"properties\":"
                    "{\"agent_id\":{\"type\":\"STRING\",\"enum\":%s}}}}",
                    values);
    buf_add_char(&stage->body, '}');
    if (!request_read(stage->body.data, stage->body.len, false, 1000, &stage->request, &fault))
        fail_msg("%s", fault.message);
    prompt_read(&stage->prompt, &stage->request);
    allocator_choose(&stage->prompt, &stage->allocation);
    snprintf(id, sizeof id, "%.*s", (int)stage->allocation.agent_id.len,
             stage->allocation.agent_id.at ? stage->allocation.agent_id.at : "");
    return id;
}

#define ROSTER                                                                                                         \
    "Choose well.\nAGENTS\n"                                                                                           \
    "{\"agent_id\":\"A1\",\"region\":\"north\",\"speciality\":\"recovery\"}\n"                                         \
    "{\"agent_id\":\"A2\",\"region\":\"north\",\"speciality\":\"servicing\"}\n"                                        \
    "{\"agent_id\":\"A3\",\"home_district\":\"Tábor\",\"region\":\"south\",\"speciality\":\"servicing\"}\n"           \
    "{\"agent_id\":\"A4\",\"region\":\"north\",\"speciality\":\"servicing\",\"skills\":[\"x\"],\"capacity\":9}\n\nBe " \
    "fair.\n"
#define CASE(fields) "ASSIGNMENT\n{\"key\":\"LAN1\",\"fields\":{" fields "}}\n\n"
#define LOADS(a1, a2, a3, a4)                                          \
    "CANDIDATES\n{\"agent_id\":\"A1\",\"capacity\":10,\"held\":" #a1   \
    ",\"free\":5}\n{\"agent_id\":\"A2\",\"capacity\":10,\"held\":" #a2 \
    ",\"free\":5}\n{\"agent_id\":\"A3\",\"capacity\":10,\"held\":" #a3 \
    ",\"free\":5}\n{\"agent_id\":\"A4\",\"capacity\":20,\"held\":" #a4 ",\"free\":5}\n"

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *user, *agent, *why;
    } rows[] = {
        {CASE("\"region\":\"north\",\"status\":\"loan not paid\"") LOADS(9, 0, 0, 0), "A1",
         "recovery for \"loan not paid\""},
        {CASE("\"region\":\"north\",\"status\":\"running, OK\"") LOADS(0, 4, 0, 7), "A4", "holds 7 of 20"},
        {CASE("\"region\":\"north\",\"status\":\"running, OK\"") LOADS(0, 3, 0, 7), "A2", "same region (north)"},
        {CASE("\"region\":\"south\",\"status\":\"client in debt\"") LOADS(0, 0, 9, 0), "A3", "same region (south)"},
        {CASE("\"district\":\"Tábor\"") LOADS(0, 0, 9, 0), "A3", "same district (Tábor)"},
        {CASE("\"region\":\"west\",\"loan_status\":\"OVERDUE\"") LOADS(9, 0, 0, 0), "A1", "no open agent nearer"},
        {"CANDIDATES\n{\"agent_id\":\"A2\",\"capacity\":5,\"held\":5,\"free\":0}\n{\"agent_id\":\"A3\",\"capacity\":5,"
         "\"held\":4,\"free\":1}\n" CASE("\"region\":\"north\""),
         "A3", "holds 4 of 5"}, /* the near one is full */
        {CASE("\"region\":\"x\"") "## "
                                  "CANDIDATES:\r\n{\"agent_id\":\"A1\",\"capacity\":null,\"held\":3,\"free\":null}\r\n",
         "A1", "holds 3"},
    };
    struct stage stage = {0};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *agent = chosen(&stage, ROSTER, rows[i].user, NULL);
        if (strcmp(agent, rows[i].agent) != 0 || strstr(buf_text(&stage.allocation.reason), rows[i].why) == NULL)
            fail_msg("row %zu: %s, %s", i, agent, buf_text(&stage.allocation.reason));
        assert_int_equal(stage.prompt.key.len, 4);
        assert_int_equal(stage.prompt.is_roster_known, i > 0); /* read once, then found again */
    }
    stage_clear(&stage);
}

static void test_rule_finds_attributes_anywhere(void **state)
{
    (void)state;
    struct stage stage = {0};
    /* candidates with their own attributes after the assignment; a key with an escape in it */
    assert_string_equal(chosen(&stage, "No roster.",
                               "ASSIGNMENT\n{\"key\":\"a\\\"b\",\"fields\":{\"city\":\"Brno\"}}\nCANDIDATES\n"
                               "{\"agent_id\":\"B1\",\"home_city\":\"Praha\",\"capacity\":5,\"held\":0,\"free\":5}\n"
                               "{\"agent_id\":\"B2\",\"home_city\":\"Brno\",\"capacity\":5,\"held\":4,\"free\":1}\n",
                               NULL),
                        "B2");
    assert_int_equal(stage.prompt.key.len, 3);
    /* the roster in the user's text */
    assert_string_equal(chosen(&stage, NULL, ROSTER CASE("\"region\":\"south\"") LOADS(0, 0, 3, 0), NULL), "A3");
    /* no blocks at all: the enum, by hash, and always the same */
    char first[64];
    snprintf(first, sizeof first, "%s", chosen(&stage, NULL, "Case 17", "[\"A\",\"B\",\"C\"]"));
    assert_true(first[0] >= 'A' && first[0] <= 'C');
    assert_string_equal(chosen(&stage, NULL, "Case 17", "[\"A\",\"B\",\"C\"]"), first);
    assert_string_equal(chosen(&stage, NULL, "Hello?", NULL), "");
    /* lines that are no JSON are passed over */
    assert_string_equal(
        chosen(&stage, NULL,
               "CANDIDATES\n{\"agent_id\":\n{\"agent_id\":\"Z\"}\n{}\nASSIGNMENT\n{\"key\":7,\"fields\":3}\n", NULL),
        "Z");
    assert_null(stage.prompt.key.at);
    stage_clear(&stage);
}

/* Ties go to all of the equal ones, by the key. */
static void test_ties_are_spread(void **state)
{
    (void)state;
    struct stage stage = {0};
    int counts[4] = {0};
    for (int i = 0; i < 400; i++) {
        char user[512];
        snprintf(user, sizeof user,
                 "ASSIGNMENT\n{\"key\":\"LAN%d\",\"fields\":{}}\nCANDIDATES\n{\"agent_id\":\"A0\"}\n{\"agent_id\":"
                 "\"A1\"}\n{\"agent_id\":\"A2\"}\n"
                 "{\"agent_id\":\"A3\"}\n",
                 i);
        counts[chosen(&stage, NULL, user, NULL)[1] - '0']++;
    }
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        assert_in_range(counts[i], 60, 140);
    stage_clear(&stage);
}

/* Bodies with bytes changed, lost and doubled are taken or refused, and nothing is read beyond their end (run it with
 * --enable-sanitize). */
static void test_damaged_bodies(void **state)
{
    (void)state;
    struct stage stage = {0};
    struct chance chance = {17};
    chosen(&stage, ROSTER, CASE("\"region\":\"north\",\"note\":\"\\ud83d\\ude00\"") LOADS(1, 1, 1, 1),
           "[\"A1\",\"A2\"]");
    struct buf whole = stage.body;
    stage.body = BUF_EMPTY;
    int taken = 0;
    for (int round = 0; round < 20000; round++) {
        char *body = xmalloc(whole.len); /* exactly as long, so that a read beyond it is seen */
        size_t len = whole.len - (round % 3 == 0 ? chance_next(&chance) % whole.len : 0);
        memcpy(body, whole.data, len);
        for (uint64_t changes = chance_next(&chance) % 4; changes > 0 && len > 0; changes--) {
            static const char bytes[] = "\\\"{}[],:nu0\n\xff";
            body[chance_next(&chance) % len] = bytes[chance_next(&chance) % (sizeof bytes - 1)];
        }
        body = xrealloc(body, len);
        struct request_fault fault;
        if (request_read(body, len, false, 1000, &stage.request, &fault)) {
            prompt_read(&stage.prompt, &stage.request);
            allocator_choose(&stage.prompt, &stage.allocation);
            taken++;
        } else {
            assert_true(fault.message[0] != '\0');
        }
        free(body);
    }
    assert_in_range(taken, 1000, 19000);
    buf_clear(&whole);
    stage_clear(&stage);
}

/* ---- answers ---- */

/* The body of an answer, parsed; and its head's length is right. */
static struct json_object *body_of(const struct buf *answer)
{
    struct json_object *json = NULL;
    const char *end = strstr(answer->data, "\r\n\r\n"), *length = strstr(answer->data, "Content-Length: ");
    assert_non_null(end);
    assert_int_equal(strtol(length + 16, NULL, 10), (long)(answer->len - (size_t)(end + 4 - answer->data)));
    struct galloc_error error;
    if (json_parse(end + 4, answer->len - (size_t)(end + 4 - answer->data), &json, &error) != 0)
        fail_msg("%s: %s", error.message, end + 4);
    return json;
}

static void test_every_answer(void **state)
{
    (void)state;
    struct stage stage = {0};
    struct settings settings;
    struct tally tally;
    settings_init(&settings);
    tally_init(&tally, &settings, 0);
    struct answer_maker maker = {.settings = &settings, .tally = &tally};
    chosen(&stage, ROSTER, CASE("\"region\":\"north\"") LOADS(1, 1, 1, 1), NULL);
    for (int kind = KIND_OK; kind < KIND_COUNT; kind++) {
        const struct kind_row *row = &kind_rows[kind];
        struct quota_plan plan = {.limit = 300, .window_s = 60, .nominal_s = 60};
        struct verdict verdict = {.kind = (enum kind)kind,
                                  .mode = row->mode,
                                  .quota = {.plans = {&plan}, .count = 1, .worst = &plan, .wait_s = 7.5}};
        struct request_fault fault = {.field = "contents", .message = "a \"quoted\" reason"};
        struct text_span model = {"gemini-test", 11};
        struct buf answer = BUF_EMPTY;
        if (row->status >= 300)
            answer_error(&maker, &verdict, &fault, model, &answer);
        else
            answer_generate(&maker, &verdict, &stage.request, &stage.prompt, model, &answer);
        char line[32];
        snprintf(line, sizeof line, "HTTP/1.1 %d ", row->status >= 300 ? row->status : 200);
        assert_int_equal(strncmp(answer.data, line, strlen(line)), 0);
        if (row->rpc_status[0] != '\0') {
            struct json_object *json = body_of(&answer),
                               *envelope = kind == KIND_ARRAY_429 ? json_array_at(json, 0) : json;
            struct json_object *error = json_get(envelope, "error");
            assert_int_equal(json_get_i64(error, "code", 0), row->status);
            assert_string_equal(json_get_str(error, "status", ""), row->rpc_status);
            assert_true(strlen(json_get_str(error, "message", "")) > 0);
            json_free(json);
        } else if (row->status == 200 && kind != KIND_HALF_JSON) {
            struct json_object *json = body_of(&answer), *usage = json_get(json, "usageMetadata");
            assert_true(json_get_i64(usage, "promptTokenCount", 0) > 100);
            assert_int_equal(json_get_i64(usage, "totalTokenCount", 0),
                             json_get_i64(usage, "promptTokenCount", 0) +
                                 json_get_i64(usage, "candidatesTokenCount", 0) +
                                 json_get_i64(usage, "thoughtsTokenCount", 0));
            assert_string_equal(json_get_str(json, "modelVersion", ""), "gemini-test");
            assert_int_equal(strlen(json_get_str(json, "responseId", "")), 22);
            json_free(json);
        }
        buf_clear(&answer);
    }
    answer_maker_clear(&maker);
    tally_clear(&tally);
    stage_clear(&stage);
}

/* The text of the first part, the reason of the end and the count of parts, for one kind. */
static void answer_of(struct stage *stage, enum kind kind, struct settings *settings, struct buf *ret_text,
                      struct buf *ret_finish, size_t *ret_parts)
{
    struct tally tally;
    tally_init(&tally, settings, 0);
    struct answer_maker maker = {.settings = settings, .tally = &tally};
    struct verdict verdict = {.kind = kind};
    struct buf answer = BUF_EMPTY;
    answer_generate(&maker, &verdict, &stage->request, &stage->prompt, (struct text_span){"m", 1}, &answer);
    struct json_object *json = body_of(&answer), *candidate = json_array_at(json_get(json, "candidates"), 0);
    struct json_object *parts = json_get(json_get(candidate, "content"), "parts");
    *ret_parts = json_array_len(parts);
    buf_reset(ret_text);
    buf_reset(ret_finish);
    for (size_t i = 0; i < *ret_parts; i++)
        if (!json_get_bool(json_array_at(parts, i), "thought", false))
            buf_add_str(ret_text, json_get_str(json_array_at(parts, i), "text", ""));
    buf_add_str(ret_finish, json_get_str(candidate, "finishReason", ""));
    json_free(json);
    buf_clear(&answer);
    answer_maker_clear(&maker);
    tally_clear(&tally);
}

static void test_content_faults(void **state)
{
    (void)state;
    static const struct {
        enum kind kind;
        size_t parts;
        const char *finish, *has; /* has: stands in the text */
        bool is_json;
    } rows[] = {{KIND_OK, 1, "STOP", "\"agent_id\":\"A", true},
                {KIND_THOUGHT_FIRST, 2, "STOP", "\"agent_id\":\"A", true},
                {KIND_TWO_PARTS, 2, "STOP", "\"agent_id\":\"A", true},
                {KIND_UNKNOWN_AGENT, 1, "STOP", "agent-of-no-pool", true},
                {KIND_MALFORMED, 1, "STOP", "Sure!", false},
                {KIND_WRONG_SHAPE, 1, "STOP", "another shape", true},
                {KIND_MAX_TOKENS, 1, "MAX_TOKENS", "{", false},
                {KIND_NO_TEXT, 0, "MAX_TOKENS", "", false},
                {KIND_EMPTY, 0, "STOP", "", false},
                {KIND_SAFETY, 0, "SAFETY", "", false},
                {KIND_RECITATION, 0, "RECITATION", "", false},
                {KIND_ODD_FINISH, 1, "DISTRACTED", "A", true}};
    struct stage stage = {0};
    struct settings settings;
    struct buf text = BUF_EMPTY, finish = BUF_EMPTY;
    settings_init(&settings);
    chosen(&stage, ROSTER, CASE("\"region\":\"north\"") LOADS(1, 1, 1, 1), NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t parts;
        answer_of(&stage, rows[i].kind, &settings, &text, &finish, &parts);
        assert_int_equal(parts, rows[i].parts);
        assert_string_equal(buf_text(&finish), rows[i].finish);
        assert_non_null(strstr(buf_text(&text), rows[i].has));
        assert_int_equal(text.len > 0 && json_check(text.data, text.len, NULL) == 0, rows[i].is_json);
    }
    size_t parts;
    stage.request.max_output_tokens = 64; /* thinking that eats the cap leaves no text; a higher cap does */
    settings.thoughts_tokens = 600;
    answer_of(&stage, KIND_OK, &settings, &text, &finish, &parts);
    assert_string_equal(buf_text(&finish), "MAX_TOKENS");
    assert_int_equal(parts, 0);
    stage.request.max_output_tokens = 1024;
    answer_of(&stage, KIND_OK, &settings, &text, &finish, &parts);
    assert_string_equal(buf_text(&finish), "STOP");
    buf_clear(&text);
    buf_clear(&finish);
    stage_clear(&stage);
}

/* ---- HTTP ---- */

static void test_http_heads(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum http_result result;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", HTTP_WELL, 0},
        {"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 12\r\nx-goog-api-key:  K \r\n\r\n", HTTP_WELL,
         0},
        {"GET / HTTP/1.0\r\n\r\n", HTTP_WELL, 0},
        {"GET / HT", HTTP_MORE, 0},
        {"", HTTP_MORE, 0},
        {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HTTP_BAD, 505},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD, 400},
        {"GET /\r\nHost: a\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD, 400},
        {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999\r\n\r\n", HTTP_BAD, 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD, 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n\r\n", HTTP_BAD, 415},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_head head;
        int status = 0;
        const char *why = NULL;
        enum http_result result = http_read_head(rows[i].head, strlen(rows[i].head), &head, &status, &why);
        if (result != rows[i].result || status != rows[i].status)
            fail_msg("%s\ngives %d %d %s", rows[i].head, result, status, why ? why : "");
    }
    struct http_head head;
    int status;
    const char *why;
    assert_int_equal(http_read_head(rows[1].head, strlen(rows[1].head), &head, &status, &why), HTTP_WELL);
    assert_true(head.method == METHOD_POST && head.body_bytes == 12 && head.key.len == 1 && head.query.len == 3 &&
                !head.has_foreign_host);
    static const char evil[] =
        "GET / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    assert_int_equal(http_read_head(evil, strlen(evil), &head, &status, &why), HTTP_WELL);
    assert_true(head.has_foreign_host && head.has_origin && !head.keeps_alive);
    char long_head[HTTP_HEAD_MAX + 10];
    memset(long_head, 'a', sizeof long_head);
    assert_int_equal(http_read_head(long_head, sizeof long_head, &head, &status, &why), HTTP_BAD);
    assert_int_equal(status, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_is_strict),
        cmocka_unit_test(test_walk_string_at_every_offset),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_requests_refused),
        cmocka_unit_test(test_requests_taken),
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_rule_finds_attributes_anywhere),
        cmocka_unit_test(test_ties_are_spread),
        cmocka_unit_test(test_damaged_bodies),
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_content_faults),
        cmocka_unit_test(test_http_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
