/* The rows of kind.h. */
#include "sim/kind.h"

const struct kind_row kind_rows[KIND_COUNT] = {
#define X(symbol, name, group, status, mode, rpc, help, message) \
    {name, GROUP_##group, status, SEND_##mode, rpc, help, message},
    SIM_KINDS(X)
#undef X
};

int kind_fault_by_name(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (kind_is_fault((enum kind)i) && strcmp(kind_rows[i].name, name) == 0)
            return i;
    return -1;
}
