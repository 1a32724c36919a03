/* What only the kernel's relay has, for `sipw-relay`. */
#pragma once

#include "shell/relay.h"
#include "shell/routes.h"

/* Looks anew by which link each phone is reached: after a change of routes or links. */
void relay_kernel_route(struct relay *relay);

/* Until then (boot time) all that changes is looked at: packets may go to the next hop that was
 * found, without another look at the kernel's routes. */
void relay_kernel_vouch(struct relay *relay, instant until);

/* Becomes readable with such a change. */
struct routes *relay_kernel_routes(struct relay *relay);
