/*
 * The Record-Route cookie: the user part of the URI that we record (RFC 3261 16.6 step 4).
 *
 * It says, under a MAC, which dialog it belongs to (Call-ID and the From tag of its first request)
 * and where both ends are, so that requests in a dialog are forwarded without any state, and only
 * those.  An end is a flow, a UDP address pair or a connection; and if it is a binding, it is
 * reached by the binding's current flow as long as there is one: a call may outlive a registration.
 */
#pragma once

#include "base/hash.h"
#include "core/flow.h"

#define COOKIE_TEXT 150u /* characters at most */

struct end {
    uint64_t binding; /* its id, or 0 */
    struct flow flow; /* where it was when the dialog began */
};

struct cookie {
    struct end caller; /* who sent the first request */
    struct end callee;
};

void cookie_write(struct writer *w, const struct hash_key *key, const struct cookie *cookie,
                  struct slice call_id, struct slice caller_tag);

enum cookie_direction {
    COOKIE_INVALID,
    COOKIE_TO_CALLEE,
    COOKIE_TO_CALLER,
};

/* Which way a request with these tags goes; COOKIE_INVALID unless we wrote the cookie for this
 * dialog. */
enum cookie_direction cookie_read(struct slice text, const struct hash_key *key,
                                  struct slice call_id, struct slice from_tag, struct slice to_tag,
                                  struct cookie *cookie);
