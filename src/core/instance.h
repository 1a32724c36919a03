/*
 * Phones that keep several flows (RFC 5626): bindings of one user with the same instance.  A
 * request goes by one of them, and by the next only if that fails.
 */
#pragma once

#include "core/state.h"

/* The flows of a binding's phone, the best first: one that stands before one that does not, and of
 * those the one registered last.  The binding alone where it names no instance. */
unsigned instance_flows(const struct core *core, struct binding *binding,
                        struct binding *flows[BINDINGS_PER_AOR]);

/* No other flow of its phone is better. */
bool instance_is_best(const struct core *core, const struct binding *binding);

/* Its phone has registered by that flow. */
bool instance_has_flow(const struct core *core, const struct binding *binding,
                       const struct flow *flow);
