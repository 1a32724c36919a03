/*
 * Asking a router to forward ports: the packets of PCP (RFC 6887) and of NAT-PMP (RFC 6886), which
 * share a port of the router and are told apart by their first byte.  Bytes only; IPv4 only, for
 * IPv6 is not translated.
 */
#pragma once

#include "base/address.h"

#define PORTMAP_PORT 5351u          /* the router's */
#define PORTMAP_ANNOUNCE_PORT 5350u /* of all hosts (224.0.0.1), when a router has started anew */
#define PORTMAP_PACKET 1100u        /* bytes of the longest (RFC 6887 7) */
#define PORTMAP_NONCE 12u

enum portmap_version {
    PORTMAP_PMP = 0,
    PORTMAP_PCP = 2,
};

enum portmap_protocol {
    PORTMAP_TCP = 6,
    PORTMAP_UDP = 17,
};

/* A port of ours that is to be reached from outside under the same number. */
struct portmap_ask {
    uint8_t protocol; /* enum portmap_protocol */
    uint16_t port;
    uint32_t lifetime;      /* seconds; 0: no longer */
    const uint8_t *nonce;   /* PCP: the same for all that is asked of this mapping */
    const uint8_t *client;  /* PCP: our address */
    const uint8_t *outside; /* PCP: the address that it had, or 0.0.0.0 */
};

void portmap_write(struct writer *w, enum portmap_version version, const struct portmap_ask *ask);

/* NAT-PMP: which address it has outside (3.2). */
void portmap_write_address(struct writer *w);

enum portmap_kind {
    PORTMAP_OTHER,     /* it speaks another version, or says nothing that is known here */
    PORTMAP_ADDRESS,   /* NAT-PMP: its address outside, unasked when it has started anew */
    PORTMAP_MAPPED,    /* of one port: that it is forwarded, or, with a result, not */
    PORTMAP_ANNOUNCED, /* PCP: it has started anew */
};

struct portmap_answer {
    enum portmap_kind kind;
    enum portmap_version version;
    uint16_t result; /* 0: it was done */
    uint32_t epoch;  /* seconds since it forgot everything last */
    uint8_t protocol;
    uint16_t port, outside_port;
    uint32_t lifetime;
    bool has_address;
    struct address_bytes address;
    uint8_t nonce[PORTMAP_NONCE];
};

/* False if it is no answer of either. */
bool portmap_read(struct slice packet, struct portmap_answer *answer);

/* Why a router refuses, in words. */
const char *portmap_why(enum portmap_version version, unsigned result);

/* RFC 6887 8.5, RFC 6886 3.6: by the two latest epochs that it told, and the seconds between them
 * by our clock, it has lost what it was asked for. */
bool portmap_has_restarted(enum portmap_version version, uint32_t before, uint32_t after,
                           uint64_t seconds);
