/*
 * What the peer of a connection of TLS has shown, as far as TLSA records can speak of it (RFC
 * 6698): the fingerprints of its certificate, and of those that signed it.
 *
 * The shell has seen that the peer holds the key, and that each of the certificates signed the one
 * before it; whether a CA that is trusted here is among them it says as well.
 */
#pragma once

#include "core/peer.h"
#include "sip/challenge.h"

#define CREDENTIAL_CHAIN 4u    /* its own, an authority, and two between them */
#define CREDENTIAL_NAMES 1024u /* bytes of the names that one has */
#define CREDENTIAL_KEY 192u    /* bytes of one certificate's fingerprints */
#define CREDENTIAL_BYTES (8u + CREDENTIAL_CHAIN * CREDENTIAL_KEY + CREDENTIAL_NAMES)

/* By the selectors of RFC 6698 2.1.2: of the whole certificate, of its key. */
struct shown_certificate {
    uint8_t sha256[2][32], sha512[2][64];
};

struct credential {
    bool is_vouched; /* a CA that is trusted here vouches for it */
    unsigned count;  /* of the chain: the peer's own, who signed that, ... */
    struct shown_certificate chain[CREDENTIAL_CHAIN];
    struct slice names; /* domains that the peer's own names (RFC 5922), a line each */
};

/* Writes it, and reads it again; false if it is none. */
void credential_write(struct writer *w, const struct credential *credential);
bool credential_read(struct slice bytes, struct credential *credential);

/* Of one that was written: what tells the peer's own certificate from all others. */
struct slice credential_name(struct slice bytes);

/* One of the plan's records names it.  Of usages 0 and 1 a CA must vouch for it as well; of all but
 * 3 it must name the plan's server or domain (RFC 7671 5); for an authority (0, 2) its certificate
 * must be among those that were shown, as RFC 7671 5.2.2 demands. */
bool credential_matches(const struct credential *credential, const struct peer_plan *plan,
                        digest_function *sha256);
