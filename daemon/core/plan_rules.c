/* What a plan means once it is read: what is sent, and what holds where the plan is silent. Pure; any thread. */
#include "core/plan.h"

#include "core/template.h"

#include <string.h>

bool plan_is_workers(const char *endpoint)
{
    return strcmp(endpoint, PLAN_WORKERS) == 0;
}

bool plan_sends(const struct plan *plan, char *const *config_keep_back, const char *column)
{
    if (column_is_kept_back(config_keep_back, column) || column_is_kept_back(plan->keep_back, column))
        return false;
    return plan->send == NULL || column_is_in(plan->send, column);
}

bool plan_sends_all(const struct plan *plan, char *const *config_keep_back)
{
    bool keeps_back = (config_keep_back != NULL && config_keep_back[0] != NULL) ||
                      (plan->keep_back != NULL && plan->keep_back[0] != NULL);
    return plan->send == NULL && !keeps_back;
}

int plan_check_template(const struct plan *plan, char *const *config_keep_back, struct galloc_error *error)
{
    if (plan->template == NULL || plan_sends_all(plan, config_keep_back))
        return 0;
    struct template *template = NULL;
    int rc = template_parse(plan->template, strlen(plan->template), &template, error);
    if (rc < 0)
        return galloc_prefix(error, "template");
    for (const char *const *field = template_fields(template); rc == 0 && *field != NULL; field++)
        if (!plan_sends(plan, config_keep_back, *field))
            rc = galloc_fail(
                error, GALLOC_INVALID_INPUT,
                "template: it uses {{%s}}, which is kept back; take it out of the template, or let it be sent", *field);
    template_free(template);
    return rc;
}

int64_t plan_batch_size(const struct plan *plan, const struct profile *profile)
{
    return plan->batch_size >= 0 && profile->mode == MODE_BATCH ? plan->batch_size : profile->batch_size;
}

int64_t plan_delay_ms(const struct plan *plan, const struct profile *profile)
{
    return plan->delay_ms >= 0 && profile->mode == MODE_BATCH ? plan->delay_ms : profile->delay_ms;
}

int64_t plan_max_retries(const struct plan *plan, const struct profile *profile)
{
    return plan->max_retries >= 0 ? plan->max_retries : profile->max_retries;
}
