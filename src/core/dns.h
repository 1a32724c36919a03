/*
 * What DNS says (RFC 1035), as a resolver library hands it over: the data of each record of one
 * name and type, in wire format, the names in it not compressed.
 *
 * Nothing that a zone sends is trusted: every length is checked, and a name that is no host's or
 * service's is none.
 */
#pragma once

#include "core/peer.h"
#include "sip/uri.h"

enum dns_type {
    DNS_A = 1,
    DNS_AAAA = 28,
    DNS_SRV = 33,   /* RFC 2782 */
    DNS_NAPTR = 35, /* RFC 3403 */
    DNS_TLSA = 52,  /* RFC 6698 */
};

enum dns_status {
    DNS_FOUND,
    DNS_NOTHING, /* there is no such name, or no such record of it */
    DNS_FAILED,  /* nobody answers, or who does cannot tell */
    DNS_BOGUS,   /* what was answered is not what the zone signed (RFC 4035 4.3) */
};

/* Records of one answer that are looked at; a domain with more places is reached by these. */
#define DNS_RECORDS 16u

/* Bytes of a name as text, without the dot at its end (RFC 1035 2.3.4). */
#define DNS_NAME 253u

struct dns_answer {
    enum dns_status status;
    bool is_secure; /* DNSSEC proves it (RFC 4035 4.3) */
    unsigned count;
    struct slice data[DNS_RECORDS]; /* borrowed */
};

struct dns_name {
    uint8_t len; /* 0: the root */
    char text[DNS_NAME];
};

struct dns_srv {
    uint16_t priority, weight, port;
    struct dns_name target; /* the root: there is no such service (RFC 2782) */
};

struct dns_naptr {
    uint16_t order, preference;
    struct slice flags, services; /* of the record's data */
    struct dns_name replacement;
};

static inline struct slice dns_text(const struct dns_name *name)
{
    return slice_of(name->text, name->len);
}

/* Each is false for data that is not such a record's, or names what cannot be looked up. */
bool dns_read_srv(struct slice data, struct dns_srv *srv);
bool dns_read_naptr(struct slice data, struct dns_naptr *naptr);
bool dns_read_address(struct slice data, bool is_v6, struct address_bytes *address);

/* Nor for one that nobody can use (RFC 6698 4.1): of a usage, a selector or a kind of matching that
 * is not known, or with a hash of another length.  Its data is the record's. */
bool dns_read_tlsa(struct slice data, struct tlsa *tlsa);
