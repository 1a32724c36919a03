/*
 * TLS 1.2 and 1.3 (RFC 8446, RFC 9325) as a channel of a stream, by OpenSSL.
 *
 * A server's side shows the certificate of the name that was asked for, and asks for one of the
 * peer, who need have none.  A client's side asks for the domain of its plan, and shows the
 * certificate of ours.  When a handshake is done the channel knows which SIP domains the peer has
 * proven to be: by a CA (RFC 5922), or by DANE (RFC 7673).  A plan may demand it.  What else DANE
 * may say of the peer is the core's to find out (core/claims), by the fingerprints of what it has
 * shown.
 */
#pragma once

#include "core/peer.h"
#include "shell/certs.h"
#include "shell/channel.h"
#include "shell/log.h"

#define TLS_CHAIN_TEXT (32u << 10) /* bytes of our chain in PEM */
#define TLS_PROVEN 1024u /* bytes of the names that a peer has proven; more are not looked at */

struct tls;

/* NULL if there is no memory.  Until tls_use there can be no channel. */
struct tls *tls_create(struct log *log);
void tls_destroy(struct tls *tls);

/* From now on handshakes are done with these, which it takes over; connections that stand go on. */
void tls_use(struct tls *tls, struct certs *certs);

/* A channel over a descriptor; NULL if there is no memory for it. */
struct channel *tls_accept(struct tls *tls, int descriptor);
/* A browser is not asked for a certificate, for it would ask its user for one. */
struct channel *tls_accept_browser(struct tls *tls, int descriptor);
struct channel *tls_connect(struct tls *tls, int descriptor, const struct peer_plan *plan);

/* The domains that the peer has proven to be, a line each; empty if there are none. */
struct slice tls_proven(const struct channel *channel);

/* What it has shown, as core/credential has it; empty if that was nothing. */
struct slice tls_credential(const struct channel *channel);

/* Writes the certificate that a server's side showed, and those that lead from it to a CA, in PEM;
 * false if there is no room. */
bool tls_write_chain(const struct channel *channel, struct writer *w);
