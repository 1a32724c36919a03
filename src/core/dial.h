/*
 * Dialing: what a Request-URI comes to (RFC 3261 16.5).  One of another domain is asked there, for
 * users whose profile allows it.  In our own: one phone, if it is a GRUU (core/gruu.h); else, in
 * this order, the reserved ids; users, nodes and aliases by id, then by extension; gateways'
 * routes; the routing table.
 *
 * A stranger reaches users who are open to strangers, and gets one answer for all others, so that
 * nobody learns which there are.
 */
#pragma once

#include "core/request.h"

/* Fills the target set of a request that begins something.  A fault is the answer instead; 302 (the
 * caller shall ask `*elsewhere`, a URI) is one, too.  URIs that have to be made are written to
 * `text`. */
struct fault dial_request(struct core *core, struct request *req, struct writer *text,
                          struct slice *elsewhere);
