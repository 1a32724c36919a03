/*
 * MESSAGEs of the server's own (RFC 3428): from the administrator to all phones of a user.  Each is
 * a client transaction that nobody waits for.
 */
#pragma once

#include "core/state.h"

#define PAGER_TEXT 1024u /* bytes: with its header it stays below a datagram's 1300 (18.1.1) */

/* How many phones it was sent to. */
unsigned pager_send(struct core *core, const struct user *user, struct slice text, instant now,
                    struct actions *out);
