/*
 * The domains that we sign for (core/vouch.h): our certificates as settings->vouchers.
 *
 * A domain of ours is signed for if its certificate names it, has a key of P-256 and was not made
 * by ourselves.  Where others find the certificate is what the administrator wrote, for those that
 * the certificate for all names; else our own port for WebSockets over TLS, at UPGRADE_CERTIFICATE
 * (sip/upgrade.h): TLS there shows which domain is asked for.
 */
#pragma once

#include "core/vouch.h"
#include "shell/certs.h"

struct vouchers_plan {
    struct slice info;         /* the place, or empty: our own port */
    uint16_t port;             /* of WebSockets over TLS; 0 = none */
    struct slice realm;        /* the domain; */
    const struct slice *names; /* and its others */
    unsigned name_count;
};

struct vouchers;

/* NULL if there is no memory; what cannot be signed for is in the report. */
struct vouchers *vouchers_make(const struct certs *certs, const struct vouchers_plan *plan,
                               struct report *report);
void vouchers_free(struct vouchers *vouchers); /* NULL is fine */

const struct voucher *vouchers_at(const struct vouchers *vouchers, unsigned *count);
