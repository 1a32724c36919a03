/*
 * Requests in a dialog towards an end in another domain: where they go, and what must be proven
 * there.
 *
 * They go where the dialog began, by the same connection while it stands, and else to the same
 * address, by a new one.  By TLS whoever answers there then must prove to be of the domain that the
 * dialog is with (RFC 5922): the cookie has it, and what was demanded of it at first.  Where the
 * next hop of a request (RFC 3261 16.6 step 6) has a name, that is looked for in DNS as soon as the
 * connection is gone or the address fails; where its server must match TLSA records, they are.  An
 * ACK goes where the dialog began, and waits for records like all others (core/courier).
 */
#pragma once

#include "core/request.h"

/* The end that a request with a cookie goes to, and the one that it comes from. */
const struct end *inside_to(const struct request *req);
const struct end *inside_from(const struct request *req);

/* The flow to an end without a binding: that of the dialog's beginning, or where that was a stream
 * that has gone, another to the same host; `hop` is the next hop, or NULL.  True if it is there. */
bool inside_flow(const struct core *core, const struct end *end, const struct uri *hop,
                 struct flow *flow);

/* Adds the target of a request to an end without a binding. */
void inside_target(struct core *core, struct request *req);

/* The request goes to an end without a binding. */
bool inside_is_to_outside(const struct request *req, const struct target *target);

/* The next hop is said to listen there, where its datagrams go to: it has a name, or that address
 * and port.  Who is behind NAT sends from a port where nobody listens for connections. */
bool inside_listens(const struct request *req, const struct flow *flow);

/* The next hop by its name.  False if it has none, or its sender is nobody who may call any domain:
 * who has no more than a dialog is carried to its other end alone. */
bool inside_hop(const struct core *core, const struct request *req, struct uri *hop);

/* The domain that the server of such a target must prove to be, and what is demanded (enum
 * peer_policy).  Empty: nothing is known of it. */
struct slice inside_domain(const struct core *core, const struct request *req,
                           const struct target *target, uint8_t *policy);
