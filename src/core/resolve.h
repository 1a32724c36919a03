/*
 * Locating a SIP server (RFC 3263 4): from what a URI says to the places to try, in order.
 *
 * A lookup asks for what it wants to know of DNS, and is told; it keeps no time and sends nothing.
 * Places come as they are asked for: addresses are looked up of the server at hand and of the next,
 * so that a domain of thirty servers costs no more than it is used.
 *
 * What the standard leaves open: SRV records that cannot be had at all (no answer) are not taken as
 * absent, else whoever can drop packets chooses the server; NAPTR records are, which many old
 * resolvers fail at, and which tell nothing that SRV would not.  Forged NAPTR or SRV records end a
 * lookup, forged addresses are none.  Without NAPTR a domain is asked for TLS before TCP before
 * UDP.
 *
 * Where DNSSEC proves all that leads to a server of TLS, its TLSA records are asked for (RFC 7673
 * 3): absent ones change nothing, and a server whose records cannot be had is not used.  A domain
 * that has them is not reached without TLS: to be sent there it would be enough to be in the way.
 * Nor is one that is signed, and whose servers of TLS cannot be had: they may have such records.
 */
#pragma once

#include "base/random.h"
#include "core/dns.h"
#include "sip/message.h"
#include "sip/via.h"

#define RESOLVE_SERVICES 4u  /* transports of one domain that are tried */
#define RESOLVE_SERVERS 8u   /* servers of one of them */
#define RESOLVE_ADDRESSES 8u /* of one server, half of them of each family */
#define RESOLVE_TEXT 2048u   /* bytes of the names of all; those without room are left out */
#define RESOLVE_TLSA 2048u   /* bytes of the TLSA records of all, which mostly are hashes of 32 */
#define RESOLVE_TARGETS (RESOLVE_SERVICES * RESOLVE_SERVERS)
#define RESOLVE_SLOTS (1u + RESOLVE_SERVICES + 6u) /* questions that may be open at a time */

/* What a URI says, and what we can do. */
struct resolve_wish {
    struct slice host; /* a name or a numeric address; maddr, where there is one (4) */
    uint16_t port;     /* 0: none was named */
    uint8_t transport; /* enum transport; TRANSPORT_OTHER: none was named */
    bool is_sips;      /* only by TLS (4.1) */
    bool is_elsewhere; /* the host is not the domain that is asked for: its records prove nothing */
    bool is_for_proof; /* places are servers with TLSA records, whose addresses are not asked for */
    uint8_t offered;   /* transports that we have sockets of: 1 << TRANSPORT_... */
    bool has_v4, has_v6; /* and families */
};

struct resolve_question {
    uint32_t id; /* to be told with the answer */
    enum dns_type type;
    struct slice
        name; /* without the dot at its end; the lookup's, until it is told something, or: */
    char text[DNS_NAME];
};

/* Where a request may be sent. */
struct resolve_place {
    uint8_t transport;
    uint16_t port;
    struct address_bytes address;
    struct slice server; /* its name; empty if it was numeric; the lookup's */
    bool is_secure;      /* DNSSEC proves all that led here */
    bool has_tlsa;       /* and TLSA records, one of which its certificate must match */
    uint8_t target;      /* which resolve_demand knows more of */
};

/* What is known of a server's TLSA records. */
enum resolve_tlsa {
    RESOLVE_TLSA_NONE,
    RESOLVE_TLSA_USABLE,
    RESOLVE_TLSA_FAILED, /* they cannot be had, or there is no room for them */
    RESOLVE_TLSA_FORGED,
};

enum resolve_result {
    RESOLVE_PLACE, /* there is one more */
    RESOLVE_WAIT,  /* an answer is wanted first */
    RESOLVE_NONE,  /* there are no more */
};

struct resolve_service {
    uint8_t transport;
    bool is_secure; /* the way to it, before its own records */
    struct span name;
};

struct resolve_target {
    uint8_t transport;
    uint8_t service;
    bool is_secure;
    uint8_t tlsa; /* enum resolve_tlsa */
    uint16_t priority, weight, port;
    struct span name, records;
};

/* Addresses of a server: of both families, IPv6 first. */
struct resolve_addresses {
    uint8_t counts[2];
    bool is_secure[2];
    struct address_bytes at[2][RESOLVE_ADDRESSES / 2];
};

/* A lookup: plain bytes, whose owner only copies or forgets it. */
struct resolve {
    struct resolve_wish wish; /* without its host, which is in `text` */
    struct span host;
    uint8_t service_count, target_count;
    uint8_t at;        /* target at hand */
    uint8_t given[2];  /* its addresses that were handed out */
    uint8_t worst;     /* enum dns_status of what failed */
    bool is_placed;    /* all servers are known */
    bool is_withdrawn; /* the domain says that there is no such service */
    bool is_hurried;   /* addresses of the target at hand that are still open are not waited for */
    bool is_bound;  /* there are TLSA records, or may be: nothing is tried without TLS any more */
    bool lacks_tls; /* servers of TLS could not be had */
    uint16_t text_len, tlsa_len;
    uint8_t slots[RESOLVE_SLOTS]; /* what has become of each question */
    struct resolve_service services[RESOLVE_SERVICES];
    struct resolve_target targets[RESOLVE_TARGETS];
    struct resolve_addresses addresses[2]; /* of the target at hand and the next, in turn */
    char text[RESOLVE_TEXT];
    char tlsa[RESOLVE_TLSA];
};

/* False if a host of that kind, or that transport, cannot be reached from here at all. */
bool resolve_begin(struct resolve *r, const struct resolve_wish *wish);

/* The next question that is to be asked; false if there is none at present. */
bool resolve_ask(struct resolve *r, struct resolve_question *question);

/* An answer; one to a question that no longer matters changes nothing. */
void resolve_tell(struct resolve *r, uint32_t id, const struct dns_answer *answer,
                  struct random *random);

/* The next place.  After RESOLVE_WAIT there may be new questions. */
enum resolve_result resolve_next(struct resolve *r, struct resolve_place *place);

/* What resolve_next would give, if it is another address of the same server, and known: true then.
 * False, too, while nothing was given yet. */
bool resolve_peek(const struct resolve *r, struct resolve_place *place);

/* Passes over it. */
void resolve_pass(struct resolve *r);

/* Not all addresses of the server at hand are known yet. */
bool resolve_may_grow(const struct resolve *r);

/* What the server of a place must prove: its name, and with `has_tlsa` its records, which are the
 * lookup's. */
void resolve_demand(const struct resolve *r, unsigned target, bool has_tlsa,
                    struct peer_plan *plan);

/* One of the addresses that are waited for is known, and need wait no longer for the others (RFC
 * 8305 3: 50 ms). */
bool resolve_may_hurry(const struct resolve *r);
void resolve_hurry(struct resolve *r);

/* What is being waited for will not come: it counts as not answered. */
void resolve_give_up(struct resolve *r, struct random *random);

/* Why there was no place at all. */
struct fault resolve_fault(const struct resolve *r);
