/*
 * One OPTIONS to one place, by datagram, stream or TLS, and what comes of it: whether a SIP server
 * is there (RFC 3261 11).
 */
#pragma once

#include "core/flow.h"
#include "programs/shake.h"

enum greeting_end {
    GREETING_ANSWERED,    /* by `status` */
    GREETING_REFUSED,     /* nobody listens there */
    GREETING_SILENT,      /* nothing came back */
    GREETING_STRANGE,     /* what came back is not SIP */
    GREETING_UNREACHABLE, /* this machine has no way there: `error` */
    GREETING_UNSECURED,   /* TLS does not come about: `reason` */
};

struct greeting {
    enum greeting_end end;
    unsigned status;
    char reason[128];
    int error;     /* errno */
    int64_t clock; /* what its Date says, seconds of Unix time; 0 if it has none */
    bool has_shown;
};

/* Where to: transport, address, port; and the name that is asked for there.  By TLS `shown` is what
 * its certificate says; `has_shown` of the greeting is true if there was one. */
struct greeting greet(const struct flow *place, const char *domain, struct shown *shown);

/* Only the handshake, with a server that has TLSA records: whether one matches. */
bool greet_by_dane(const struct flow *place, const struct peer_plan *plan);
