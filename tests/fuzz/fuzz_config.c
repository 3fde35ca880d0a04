/* Fuzz target: a configuration file. Whatever it holds, it is read, or refused with the file's name; what was read
 * keeps to the table's ranges. */
#include "config/settings.h"

#include "core/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_config(const struct config *config)
{
    for (size_t i = 0; i < config->endpoint_count; i++) {
        const struct endpoint_config *endpoint = &config->endpoints[i];
        if (endpoint->max_in_flight < 1 || endpoint->max_in_flight > LIMIT_IN_FLIGHT || endpoint->time_scale <= 0 ||
            strchr(endpoint->name, '/') != NULL)
            abort();
        (void)config_price(config, endpoint->model, TIER_STANDARD, 1800000000000);
    }
    for (size_t i = 0; i < config->profile_count; i++)
        if (config->profiles[i].max_retries > LIMIT_MAX_RETRIES ||
            (config->profiles[i].mode == MODE_BATCH && config->profiles[i].batch_size < 1))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int only_prices = 0; only_prices < 2; only_prices++) {
        struct config *config = config_new();
        struct file_report report;
        struct galloc_error error = {0};
        int rc = file_read(config, "f.conf", (const char *)data, len, only_prices, &report, &error);
        if (rc == 0)
            check_config(config);
        else if (rc != -GALLOC_D_CONFIG || strncmp(error.message, "f.conf:", 7) != 0)
            abort();
        config_free(config);
    }
    return 0;
}
