/* TCP sockets that carry SIP: listening, accepted and opened ones, all non-blocking. */
#pragma once

#include "shell/netaddr.h"

/* How long what was sent may stay unacknowledged before the connection counts as broken
 * (TCP_USER_TIMEOUT), in milliseconds. */
#define TCP_PATIENCE 32000u

/* Listens on that address; -errno if that is not possible. */
int tcp_listen(const union netaddr *address);

/* The next that waits to be accepted, and whose it is; -1 if there is none. */
int tcp_accept(int listening, union netaddr *peer);

/* Connects from that host, any port, so that the peer sees the address that our Via names; -1 if it
 * is known at once that it cannot be reached.  Writable when it is decided. */
int tcp_dial(const union netaddr *own, const union netaddr *peer);

/* Whether a connection that was dialled stands now. */
bool tcp_is_connected(int descriptor);
