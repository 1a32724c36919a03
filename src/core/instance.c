#include "core/instance.h"

#include "core/connection.h"
#include "core/location.h"

/* Where reg-ids are used, they alone tell flows of one phone (RFC 5626 6). */
static bool is_same_phone(const struct binding *a, const struct binding *b)
{
    return !a->reg_id == !b->reg_id && a->instance_len &&
           slice_equal_nocase(binding_instance(a), binding_instance(b));
}

static bool is_better(const struct core *core, const struct binding *a, const struct binding *b)
{
    bool stands = connection_stands(core, &a->flow);

    return stands != connection_stands(core, &b->flow) ? stands : a->expires > b->expires;
}

unsigned instance_flows(const struct core *core, struct binding *binding,
                        struct binding *flows[BINDINGS_PER_AOR])
{
    const struct user *user = location_user(core, binding);
    unsigned count = 0;

    if (!binding->instance_len) {
        flows[0] = binding;
        return 1;
    }
    for (struct binding *b = location_first(core, user); b; b = location_next(core, b)) {
        unsigned i = count;
        if (!is_same_phone(b, binding))
            continue;
        for (; i && is_better(core, b, flows[i - 1]); i--)
            flows[i] = flows[i - 1];
        flows[i] = b;
        count++;
    }
    return count;
}

bool instance_is_best(const struct core *core, const struct binding *binding)
{
    const struct user *user = location_user(core, binding);
    bool is_behind = false; /* in the list, where of two that are equal the first counts */

    if (!binding->instance_len)
        return true;
    for (const struct binding *b = location_first(core, user); b; b = location_next(core, b)) {
        if (b == binding)
            is_behind = true;
        else if (is_same_phone(b, binding) &&
                 (is_better(core, b, binding) || (!is_behind && !is_better(core, binding, b))))
            return false;
    }
    return true;
}

bool instance_has_flow(const struct core *core, const struct binding *binding,
                       const struct flow *flow)
{
    const struct user *user = location_user(core, binding);

    for (const struct binding *b = location_first(core, user); b; b = location_next(core, b))
        if ((b == binding || is_same_phone(b, binding)) && flow_equal(&b->flow, flow))
            return true;
    return false;
}
