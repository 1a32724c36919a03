/*
 * Who calls from outside, and by what that is proven: for the record of the call, for those who
 * watch, and for the phone that rings.
 *
 * A phone is told by a field of ours in the request that would begin something, where its sender is
 * none of our own users, who have proven themselves:
 *
 *     P-SIPWITCH-Caller: verified;domain=example.com;by=tls
 *     P-SIPWITCH-Caller: verified;domain=example.com;by=tls+signature;media=offer-only
 *     P-SIPWITCH-Caller: verified;domain=example.com;by=node
 *     P-SIPWITCH-Caller: unverified
 *
 *     field    =  ("verified" ";domain=" host ";by=" proof *("+" proof) / "unverified")
 *                 *(SEMI generic-param)
 *     proof    =  "tls" / token
 *
 * The domain is that of From.  Whoever sends such a field to us says nothing by it: it is removed,
 * like all that begins with P-SIPWITCH-.
 */
#pragma once

#include "core/request.h"

/* Bits: what holds of a caller.  None: nothing is proven. */
enum caller_proof {
    CALLER_OWN = 1 << 0,       /* one of our own users, by a password or by the flow of its phone */
    CALLER_TLS = 1 << 1,       /* its domain, by the certificate of its connection (RFC 5922), for
                                  which a CA speaks, or DNS (core/claims) */
    CALLER_SIGNATURE = 1 << 2, /* its domain, which has signed it (RFC 8224) */
    CALLER_OFFER = 1 << 3,     /* and the media keys that it offers */
    CALLER_SIGNED = 1 << 4,    /* one of our own, signed by us where it left for another domain */
    CALLER_NODE = 1 << 5,      /* another node of ours says so (core/fellow) */
    CALLER_ANSWER = 1 << 6,    /* the media keys of the answer are signed, too (core/answer) */
    CALLER_UNTOLD = 1 << 7,    /* nobody noted it: only in the record of a call */
};

/* The end of a dialog that begins by TLS, with one who claims to be of another domain: as long as
 * its server has to prove that, or has proven it, a later one at its address has to as well. */
void caller_demand(const struct core *core, const struct request *req, struct end *end);

/* Nobody vouches for it who is one of ours: neither a password nor another node. */
static inline bool caller_is_stranger(const struct request *req)
{
    return !req->sender && !(req->proof & CALLER_NODE);
}

/* Room for what caller_write writes. */
#define CALLER_TEXT 48u

/* What is proven of a stranger by the way on which the request came; nothing where From names a
 * host that is longer than a domain. */
uint8_t caller_prove(const struct core *core, const struct request *req);

/* "none", or the names of what holds, with a + between them; nothing of CALLER_UNTOLD. */
void caller_write(struct writer *w, unsigned proof);

/* Room for a field, with the longest domain. */
#define CALLER_FIELD (NAME_LIMIT + 96u)

/* The field for a phone, whole, with its line end; nothing where there is to be none. */
void caller_write_field(struct writer *w, const struct request *req);
