/*
 * What must hold of a server (../torture/testbed.h) whatever it was fed.  All is checked by assert.
 */
#pragma once

#include "../torture/testbed.h"

/* Nothing has passed its limit. */
void rest_check_limits(const struct testbed *server);

/* After a day of silence all has ended, transactions within their timers, and all memory is given
 * back: of texts `text_at_rest` bytes are left, what a new server has. */
void rest_check(struct testbed *server, size_t text_at_rest);

/* A phone can be bound and reached. */
void rest_check_service(struct testbed *server);
