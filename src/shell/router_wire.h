/*
 * What the daemon and its helper at the router (sipw-router) say to each other over a Unix socket
 * that keeps messages whole.  Both are of one machine and version.
 *
 * The daemon says what is wanted, and at its own end that nothing is; the helper tells what it has
 * found out, each time that this changes.
 */
#pragma once

#include "core/outside.h"

#define ROUTER_WIRE_VERSION 1u
#define ROUTER_PORTS 16u /* of signalling */
#define ROUTER_STUN 256u /* bytes of the STUN server's name */
#define ROUTER_NONCE 12u

struct router_port {
    uint16_t port;
    uint8_t protocol; /* 6: TCP, 17: UDP */
    uint8_t unused;   /* zero */
};

struct router_wish {
    uint32_t version;
    uint8_t is_end;                   /* give everything back, and end */
    uint8_t asks_router;              /* to forward these: */
    uint8_t router[4];                /* at this address; 0.0.0.0: where the default route leads */
    uint8_t own[4];                   /* the address here that they lead to; 0.0.0.0: any */
    uint8_t nonce[ROUTER_NONCE];      /* by which the router knows the mappings for ours (PCP) */
    uint16_t first_media, last_media; /* 0: none */
    uint16_t port_count;
    struct router_port ports[ROUTER_PORTS];
    char stun[ROUTER_STUN]; /* HOST or HOST:PORT; empty: none */
};

struct router_news {
    uint32_t version;
    uint8_t by; /* enum outside_source */
    uint8_t has_address;
    uint8_t address[4];
    uint16_t first_media, last_media; /* that lead here; 0: none, or nobody knows */
    char fault[OUTSIDE_FAULT];        /* "WHY; WHAT TO DO", or empty */
};
