/*
 * One OPTIONS to one place, by datagram or stream, and what comes of it: whether a SIP server is
 * there (RFC 3261 11).
 */
#pragma once

#include "core/flow.h"

enum greeting_end {
    GREETING_ANSWERED,    /* by `status` */
    GREETING_REFUSED,     /* nobody listens there */
    GREETING_SILENT,      /* nothing came back */
    GREETING_STRANGE,     /* what came back is not SIP */
    GREETING_UNREACHABLE, /* this machine has no way there: `error` */
};

struct greeting {
    enum greeting_end end;
    unsigned status;
    char reason[64];
    int error;     /* errno */
    int64_t clock; /* what its Date says, seconds of Unix time; 0 if it has none */
};

/* Where to: transport, address, port; and the name that is asked for there. */
struct greeting greet(const struct flow *place, const char *domain);
