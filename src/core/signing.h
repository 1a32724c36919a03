/*
 * The authentication service (RFC 8224 6.1): which requests are signed on their way out, by which
 * of our domains, and when anew.
 *
 * What a user of ours, who has proven it, begins or says by itself is signed where it leaves for
 * another domain.  The lines are made once a request and kept in its context: retransmissions,
 * further places and branches bear the same, unless so much time has passed that they would be
 * taken for old.
 *
 * Where a request leaves for another domain than the one that it was for, it says so (RFC 8946).
 */
#pragma once

#include "core/request.h"
#include "core/vouch.h"

/* Seconds that the lines of a request are used for: half of what a verifier allows, for it takes
 * time to get there. */
#define SIGNING_LIFE (VOUCH_FRESH / 2)

/* We may sign it, if a branch of it leaves. */
bool signing_may(const struct core *core, const struct request *req);

/* The target is of another domain, and no phone or gateway of ours. */
bool signing_concerns(const struct target *target);

/* The line to be added where it is sent on from one of our names to `uri`, another domain's, and is
 * signed, by us or by another domain (RFC 8946); empty if there is none to be added.  It lies in
 * out->bytes. */
struct slice signing_diversion(const struct core *core, const struct context *context,
                               const struct request *req, struct slice uri, struct actions *out);

/* The lines to be added to it, Date and Identity; empty if it is not signed after all.  The
 * context's. */
struct slice signing_lines(struct core *core, struct context *context, const struct request *req);
