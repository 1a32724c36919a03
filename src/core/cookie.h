/*
 * The Record-Route cookie: the user part of the URI that we record (RFC 3261 16.6 step 4).
 *
 * It says, under a MAC, which dialog it belongs to (Call-ID and the From tag of its first request)
 * and where both ends are, so that requests in a dialog are forwarded without any state, and only
 * those.  An end is a flow, a UDP address pair or a connection; and if it is a binding, it is
 * reached by the binding's current flow as long as there is one: a call may outlive a registration.
 * An end that was reached by TLS in another domain has that domain, too: who answers at its address
 * later must prove to be of it (RFC 5922), whatever becomes of the connection and of us.
 */
#pragma once

#include "base/hash.h"
#include "core/flow.h"
#include "core/limits.h"

#define COOKIE_DOMAINS (2 * (NAME_LIMIT + 1u))
#define COOKIE_TEXT (154u + COOKIE_DOMAINS) /* characters at most */

struct end {
    uint64_t binding;    /* its id, or 0 */
    struct flow flow;    /* where it was when the dialog began */
    struct slice domain; /* whose server that is, or empty; of the text that was read */
    uint8_t policy;      /* what was demanded of it, or proven (enum peer_policy) */
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
