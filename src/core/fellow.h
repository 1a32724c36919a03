/*
 * Fellows: other nodes, servers that the administrator has named in <nodes>, and that are believed
 * what they say of a caller.
 *
 * They say it in a field of each request that begins something and goes by a stream:
 *
 *     P-SIPWITCH-Node: yes
 *
 *     field    =  ("yes" / "no") *(SEMI generic-param)
 *
 * "yes": From is a user who has proven it to the node that sends this, or to one that it believes.
 * "no", as in GNU SIP Witch, or anything else says nothing.
 *
 * A node is known by the certificate of its connection (RFC 5922), or by the address at the other
 * end of a stream.  A datagram may be of anybody, and is of no node.  It speaks for callers of our
 * own domain and of the domain that it is named by, and for no others.
 */
#pragma once

#include "core/request.h"

/* The request came from a node that says, and may say, that its From is proven. */
bool fellow_vouches(const struct core *core, const struct request *req);

/* The request came by TLS and says so, with that From, but the node that may has not proven itself:
 * that node's domain; else empty. */
struct slice fellow_claimed(const struct core *core, const struct request *req,
                            const struct uri *from);

/* A URI leads to one that is known by its address: it is asked by a stream unless another transport
 * is named, for it would not believe a datagram. */
bool fellow_wants_stream(const struct core *core, const struct uri *uri);

/* The field for a request that goes by that flow to what `uri` names; nothing where that is no
 * node, or where the request begins nothing. */
void fellow_write_field(struct writer *w, const struct core *core, const struct request *req,
                        const struct flow *to, struct slice uri);
