/*
 * Dialing: what a name or number of our domain comes to (RFC 3261 16.5).  In this order: the
 * reserved ids; users, nodes and aliases by id, then by extension; gateways' routes; the routing
 * table.
 *
 * A stranger reaches users who are open to strangers, and gets one answer for all others, so that
 * nobody learns which there are.
 */
#pragma once

#include "core/request.h"

/* Fills the target set.  A fault is the answer instead; 302 (the caller shall ask `*elsewhere`, a
 * URI) is one, too.  URIs that have to be made are written to `text`. */
struct fault dial(struct core *core, struct request *req, struct slice name, struct writer *text,
                  struct slice *elsewhere);

/* The same for a GRUU (core/gruu.h), which reaches one phone. */
struct fault dial_gruu(struct core *core, struct request *req);
