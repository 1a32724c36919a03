/* What only the kernel's relay has, for `sipw-relay`. */
#pragma once

#include "shell/relay.h"
#include "shell/routes.h"

/* Looks anew by which link each phone is reached: after a change of routes or links. */
void relay_kernel_route(struct relay *relay);

/* Becomes readable with such a change. */
struct routes *relay_kernel_routes(struct relay *relay);
