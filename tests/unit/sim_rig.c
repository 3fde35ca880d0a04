/* See sim_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json_out.h"
#include "tests/unit/sim_rig.h"

#include <math.h>
#include <string.h>

void sim_near(double value, double expected)
{
    if (fabs(value - expected) > 1e-4)
        fail_msg("%g is not %g", value, expected);
}

void sim_set(struct settings *settings, const char *name, const char *value)
{
    struct galloc_error error = {0};
    if (settings_set(settings, name, value, &error) != 0)
        fail_msg("%s", error.message);
}

void stage_clear(struct stage *stage)
{
    prompt_reader_clear(&stage->prompt);
    allocation_clear(&stage->allocation);
    buf_clear(&stage->body);
}

const char *stage_choose(struct stage *stage, const char *system, const char *user, const char *values)
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
    allocator_choose(&stage->prompt, false, &stage->allocation);
    snprintf(id, sizeof id, "%.*s", (int)stage->allocation.agent_id.len,
             stage->allocation.agent_id.at ? stage->allocation.agent_id.at : "");
    return id;
}
