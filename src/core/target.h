/*
 * The target set (RFC 3261 16.5): the places that a request may go to.
 */
#pragma once

#include "core/request.h"

/* Adds one, behind those with the same q or a higher one (16.6).  An empty `uri` leaves the
 * Request-URI as it is; `path` leads there (RFC 3327), or is empty; both live as long as the step.
 * There must be room.  One that may not be asked for by sips:, or without, is passed over. */
void target_add(struct request *req, const struct target *target, struct slice uri,
                struct slice path);

/* Where that leaves nobody (RFC 5630). */
#define FAULT_SIPS_NOT_ALLOWED ((struct fault){480, "SIPS Not Allowed"})
#define FAULT_SIPS_REQUIRED ((struct fault){480, "SIPS Required"})

/* The way to the host of a URI, by one of our sockets: known at once if the host is numeric, to be
 * sought if it is a name.  Else the fault says why there is none. */
struct fault target_find(const struct core *core, const struct uri *uri, struct target *target);
