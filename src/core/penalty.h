/*
 * Servers that have just failed: they are tried last for a while, so that a request does not wait
 * for what the one before it has waited for in vain (RFC 3263 4.3; Retry-After: RFC 3261 21.5.4).
 *
 * The list lies in a table of fixed size; a full place gives up the penalty that ends first.  While
 * nobody fails it is not looked into.
 */
#pragma once

#include "core/state.h"

#define PENALTY SECONDS(60)          /* of one that does not answer */
#define PENALTY_LONGEST SECONDS(600) /* that a server may ask for itself */

size_t penalty_bytes(void);
void penalty_init(struct core *core, struct arena *from);

void penalty_put(struct core *core, const struct flow *flow, duration length, instant now);
void penalty_lift(struct core *core, const struct flow *flow, instant now);
bool penalty_has(const struct core *core, const struct flow *flow, instant now);
