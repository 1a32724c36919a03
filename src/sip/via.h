/* The Via header field (RFC 3261 20.42, 18.2; rport: RFC 3581). */
#pragma once

#include "sip/uri.h"

enum transport {
    TRANSPORT_OTHER,
    TRANSPORT_UDP,
    TRANSPORT_TCP,
    TRANSPORT_TLS,
    TRANSPORT_WS,
    TRANSPORT_WSS,
    TRANSPORT_COUNT,
};

#define BRANCH_COOKIE "z9hG4bK" /* 8.1.1.7 */

struct via {
    struct slice text; /* this value, without the comma */
    enum transport transport;
    struct slice host;
    uint32_t port;       /* 0 = none */
    struct slice params; /* from the first ';' */
    struct slice branch; /* at == NULL if there is none */
    struct slice received;
    bool has_rport;
    struct slice rport; /* the whole parameter "rport" or "rport=5060" */
};

/* Takes the first value off a Via field; false if it breaks the grammar. */
bool via_next(struct slice *rest, struct via *via);

struct slice transport_name(enum transport transport); /* as in Via: "UDP" */
enum transport transport_of(struct slice name);        /* case does not count */

/* Where none is named (18.2.2, RFC 7118 7). */
static inline uint16_t transport_port(enum transport transport)
{
    switch (transport) {
    case TRANSPORT_TLS: return 5061;
    case TRANSPORT_WS: return 80;
    case TRANSPORT_WSS: return 443;
    default: return 5060;
    }
}

/* Nobody on the way reads or changes what goes by it. */
static inline bool transport_is_secure(enum transport transport)
{
    return transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}
