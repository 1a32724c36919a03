/* What the administrator decided.  One immutable whole, made by src/config and owned by it; it must
 * outlive the core or the next settings that replace it. */
#pragma once

#include "core/flow.h"
#include "sip/challenge.h"

/* A local socket: the addresses we answer on. */
struct socket_settings {
    enum transport transport;
    struct slice host; /* as written in Via and Record-Route: an address, IPv6 in brackets */
    uint16_t port;
};

struct user_settings {
    struct slice id;        /* the user part of its address of record */
    struct slice extension; /* digits; empty if there is none */
    struct slice display;
    uint8_t ha1[ALGORITHM_COUNT][DIGEST_LIMIT];
    bool has_ha1[ALGORITHM_COUNT];
};

struct settings {
    struct slice realm;             /* the digest realm; also the domain served */
    const struct slice *localnames; /* further names of this domain: hosts and addresses */
    unsigned localname_count;
    const struct socket_settings *sockets;
    unsigned socket_count;
    bool is_public;            /* callers of other domains may reach our users */
    bool sha256_first;         /* offer SHA-256 before MD5 to every User-Agent */
    uint32_t expires;          /* seconds: granted where the phone names none */
    uint32_t expires_shortest; /* seconds: below it 423 */
    uint32_t expires_longest;  /* seconds: more is cut */
    duration timer_c;          /* 16.6 step 11; above 3 minutes */
    duration nonce_life;       /* after it: stale */
    duration call_longest;     /* a call of that age is no longer kept in mind */
    struct slice agent;        /* Server header */
};

/* The defaults; realm, sockets and users are left empty. */
struct settings settings_default(void);
