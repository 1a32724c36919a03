/*
 * A TLS handshake with a server, as other domains do it, and what its certificate says.
 */
#pragma once

#include "base/slice.h"
#include "core/peer.h"

#include <openssl/ssl.h>

#define SHAKE_TEXT 256u

/* How far it went. */
enum shake_step {
    SHAKE_WANTS_READ,
    SHAKE_WANTS_WRITE,
    SHAKE_DONE,
    SHAKE_FAILED, /* `why` */
};

/* One handshake; all zero before. */
struct shake {
    SSL_CTX *context;
    SSL *ssl;
    const char *why;
};

/* Begins one over a descriptor.  The name that is asked for is the domain's; or, with TLSA records,
 * of which one must match, that of the server (RFC 7673 4).  False without memory. */
bool shake_begin(struct shake *shake, int descriptor, const struct peer_plan *plan);
enum shake_step shake_go_on(struct shake *shake);
void shake_end(struct shake *shake);

/* After SHAKE_DONE, with TLSA records: one matches. */
bool shake_is_by_dane(const struct shake *shake);

/* What a certificate says, and what is thought of it. */
struct shown {
    int64_t from, until; /* seconds of Unix time */
    bool names_domain;   /* RFC 5922 7.1 */
    bool is_for_sip;     /* by its purposes */
    bool is_self_signed;
    const char *doubt; /* why no CA known here vouches for it, whatever the date; NULL: one does */
    char issuer[SHAKE_TEXT]; /* its name, in words */
    char key_hash[64 + 1];   /* SHA-256 of the public key in hex: data of a TLSA record 3 1 1 */
};

/* After SHAKE_DONE; false if the server shows none. */
bool shake_look(const struct shake *shake, struct slice domain, struct shown *shown);
