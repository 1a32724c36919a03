/*
 * Zones: what DNS says of other domains, in seeds that have them, and how it says it.
 *
 * A domain has one server that lives, a phone of that domain, and others: dead ones, one that is
 * always busy (503), one whose name leads into a private network.  While everything goes wrong
 * answers fail, are forged, late or lost; later they are only slow at times.
 */
#pragma once

#include "core/action.h"
#include "sim/dice.h"

struct sim;
struct phone;

#define ZONES 3u
#define ZONE_SERVERS 5u

enum zone_server_kind {
    SERVER_LIVE,
    SERVER_DEAD,
    SERVER_BUSY,
    SERVER_SECLUDED, /* a loopback address: nothing may be sent there */
};

struct zone_server {
    enum zone_server_kind kind;
    struct flow flow;
    bool has_dead_v6; /* an address of that family, and nobody there */
    uint16_t priority, weight;
};

struct zone {
    bool has_naptr;
    bool has_tcp; /* a service by TCP, of a server that takes no connections */
    unsigned count;
    struct zone_server servers[ZONE_SERVERS];
};

struct zones {
    struct random dice;
    struct zone at[ZONES];
};

bool zone_is_seed(uint64_t seed);

/* Throws them; the phones are there. */
void zone_init(struct sim *sim, uint64_t seed);

/* Somebody in one of the domains, for who dials. */
void zone_write_target(struct sim *sim, struct writer *w);

/* The core asks, and is answered, or not. */
void zone_asked(struct sim *sim, const struct dns_question *question, struct slice name);
/* DUE_DNS. */
void zone_answer(struct sim *sim, uint32_t starts, void *asked);

/* The host and port of a URI lead there. */
bool zone_leads(const struct sim *sim, struct slice target, const struct flow *flow);

/* The phone that lives in the domain of this URI; NULL if it is none of these. */
const struct phone *zone_phone(const struct sim *sim, struct slice uri);
