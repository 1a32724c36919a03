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
    uint16_t unused;     /* zero; room for a shard */
    uint32_t connection; /* a stream's handle; 0 for UDP, and where one is still to be opened */
    uint8_t address[16]; /* the peer's; IPv4 in the first four, the rest zero */
};

/* A stream's handle: its place among the streams, and above that a generation, so that the name of
 * one that has ended finds nothing. */
#define CONNECTION_BITS 20u
#define CONNECTION_GENERATIONS (1u << (32u - CONNECTION_BITS))

static inline uint32_t connection_place(uint32_t connection)
{
    return connection & ((1u << CONNECTION_BITS) - 1u);
}

static inline uint32_t connection_name(uint32_t place, uint32_t generation)
{
    return place | (generation % CONNECTION_GENERATIONS) << CONNECTION_BITS;
}

static inline bool flow_equal(const struct flow *a, const struct flow *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* What a sips: URI demands (RFC 3261 26.2.2). */
static inline bool flow_is_secure(const struct flow *f)
{
    return transport_is_secure(f->transport);
}

static inline bool flow_is_reliable(const struct flow *f)
{
    return f->transport != TRANSPORT_UDP;
}

/* A browser's: it opens connections and takes none (RFC 7118). */
static inline bool flow_is_web(const struct flow *f)
{
    return f->transport == TRANSPORT_WS || f->transport == TRANSPORT_WSS;
}
