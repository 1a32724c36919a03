/*
 * A flow: the way to one peer's transport address from one of our sockets (RFC 5626 2).  Named by
 * value, so that it survives a restart.
 */
#pragma once

#include "sip/via.h"

struct flow {
    uint8_t transport; /* enum transport */
    bool is_v6;
    uint16_t port;       /* the peer's */
    uint16_t socket;     /* ours: index into the settings' sockets */
    uint16_t unused;     /* zero */
    uint32_t connection; /* a stream's handle; 0 for UDP */
    uint8_t address[16]; /* the peer's; IPv4 in the first four, the rest zero */
};

static inline bool flow_equal(const struct flow *a, const struct flow *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline bool flow_is_reliable(const struct flow *f)
{
    return f->transport != TRANSPORT_UDP;
}
