/* What the unit tests of gallocsim share: near numbers, a setting that has to be good, and a prompt that is read and decided. */
#ifndef GALLOC_TESTS_SIM_RIG_H
#define GALLOC_TESTS_SIM_RIG_H

#include "sim/answer.h"
#include "sim/verdict.h"

void sim_near(double value, double expected); /* fails the test when they differ by more than 1e-4 */
void sim_set(struct settings *settings, const char *name, const char *value); /* fails the test when it is refused */

/* A prompt on its way through the simulator. Zeroed before its first use. */
struct stage {
    struct sim_request request;
    struct prompt_reader prompt;
    struct allocation allocation;
    struct buf body;
};
void stage_clear(struct stage *stage);
/* Reads a prompt of these texts (system may be NULL) and lets the rule choose; `values`: an enum as JSON, or NULL. */
const char *stage_choose(struct stage *stage, const char *system, const char *user, const char *values);

/* A system text with four agents, an assignment with these fields, and what the agents hold. */
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

#endif
