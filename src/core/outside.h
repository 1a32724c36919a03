/*
 * The public address of a server behind a router: that which it was told of while it runs
 * (EVENT_OUTSIDE), by the router or by a STUN server, or that of the settings.  It stands for the
 * server's own, private one wherever a peer with a public address is told how to reach it, and
 * among the names of the domain.
 *
 * What was learnt is in the journal, so that what is composed anew after a restart is what it was.
 * Calls that stand keep what they were told; addresses that were the server's stay names of it, as
 * many as there is room for.  IPv4 only: IPv6 is not translated.
 */
#pragma once

#include "core/action.h"

struct core;

#define OUTSIDE_FORMER 4u
#define OUTSIDE_FAULT 256u /* bytes of why it is not known */

enum outside_source {
    OUTSIDE_NOBODY,
    OUTSIDE_PCP,
    OUTSIDE_PMP,
    OUTSIDE_UPNP,
    OUTSIDE_STUN,
    OUTSIDE_SOURCE_COUNT,
};

/* What is found out. */
struct outside_news {
    bool is_sought; /* the settings want it to be */
    uint8_t by;     /* enum outside_source */
    bool has_address;
    struct address_bytes address;
    uint16_t first_port, last_port; /* of media, that the router forwards; 0: that is not known */
    struct slice fault;             /* what is wrong, and what to do; or empty */
};

struct outside {
    bool is_sought, has_address; /* which was learnt */
    uint8_t by;
    uint8_t host_len, former_count;
    uint16_t fault_len;
    uint16_t first_port, last_port;
    struct address_bytes address;
    struct address_bytes former[OUTSIDE_FORMER];
    struct address_bytes known; /* the address at present, learnt or written, */
    char host[16];              /* and as text; empty: there is none */
    char fault[OUTSIDE_FAULT];
};

/* The settings are there, or others: they may have an address. */
void outside_obey(struct core *core);

/* EVENT_OUTSIDE */
void outside_learn(struct core *core, const struct outside_news *news, struct actions *out);

/* What those outside are told of media: the address that was learnt, or that of the settings. */
struct address_bytes outside_media(const struct core *core, bool is_v6);

/* How the peer of a flow knows the socket that it comes by, where that is another name than the
 * socket's own; else empty. */
struct slice outside_name(const struct core *core, const struct flow *flow);

/* It is, or was, the public address. */
bool outside_has(const struct core *core, struct slice host);

/* In plain words, for administrators. */
struct slice outside_source_text(enum outside_source source);

void outside_persist(const struct core *core, struct actions *out);
void outside_restore(struct core *core, struct reader *record);
