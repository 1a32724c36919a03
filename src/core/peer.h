/*
 * Whom a connection to another domain is to reach, and what must prove it: the plan that
 * ACTION_CONNECT has in its bytes.
 */
#pragma once

#include "base/cursor.h"

/* What of TLS is asked of another domain's server. */
enum peer_policy {
    POLICY_OPPORTUNISTIC, /* what cannot be verified counts as unproven, and is used */
    POLICY_VERIFIED,      /* by a CA, or by DANE; else there is no connection */
    POLICY_DANE,          /* by DANE */
};

/* A TLSA record (RFC 6698 2.1), proven by DNSSEC.  Of usages 0 and 1 a CA must vouch as well. */
struct tlsa {
    uint8_t usage, selector, matching;
    struct slice data;
};

#define TLSA_LIMIT 8u /* records of one server */

/* Where there are TLSA records that can be used, one must match, whatever the policy (RFC 7673 4).
 */
struct peer_plan {
    struct slice domain; /* that was asked for: what the certificate must name; empty: none */
    struct slice server; /* what DNS named for it; empty: the domain itself */
    uint8_t policy;      /* enum peer_policy */
    uint8_t tlsa_count;
    struct tlsa tlsa[TLSA_LIMIT];
};

/* Writes it, and reads it again; false if it is none. */
void peer_write(struct writer *w, const struct peer_plan *plan);
bool peer_read(struct slice bytes, struct peer_plan *plan);
