/*
 * Zones: what DNS says of other domains, in seeds that have them, and how it says it.
 *
 * A domain has one server that lives, a phone of that domain, and others: dead ones, one that is
 * always busy (503), one whose name leads into a private network.  While everything goes wrong
 * answers fail, are forged, late or lost; later they are only slow at times.
 *
 * In secure seeds some domains are reached by TLS, too, with a certificate of their own, of another
 * domain or of nobody; the settings demand proof of some, and proof that was given once is demanded
 * again (core/policy).  Some are signed, and have TLSA records of their servers (RFC 7673),
 * whatever their certificate is else; and of some no less is demanded.  Some call our users by TLS,
 * in their own name.  While everything goes wrong somebody on the way shows a certificate of
 * nobody, or hides that there is TLS.  The judge: who must prove it gets nothing before it has, in
 * a dialog neither, and nor does who has TLSA records; nobody connects to a server that has them
 * without knowing them.
 */
#pragma once

#include "core/action.h"
#include "core/peer.h"
#include "core/settings.h"
#include "sim/dice.h"
#include "sip/message.h"

struct sim;
struct phone;

#define ZONES 3u
#define ZONE_SERVERS 6u

enum zone_server_kind {
    SERVER_LIVE,
    SERVER_DEAD,
    SERVER_BUSY,
    SERVER_SECLUDED, /* a loopback address: nothing may be sent there */
    SERVER_OTHER,    /* another domain's */
};

enum zone_certificate {
    CERTIFICATE_OWN,
    CERTIFICATE_OTHER, /* of another domain */
    CERTIFICATE_NONE,  /* of nobody who counts */
};

struct zone_server {
    enum zone_server_kind kind;
    struct flow flow;
    uint16_t tls_port;
    bool has_dead_v6; /* an address of that family, and nobody there */
    uint16_t priority, weight;
};

struct zone {
    bool has_naptr;
    bool has_tcp; /* a service by TCP, of a server that takes no connections */
    bool has_tls;
    bool has_tlsa; /* and is signed; else DNSSEC proves nothing of it */
    enum zone_certificate certificate;
    uint64_t proven_step;   /* in which the core heard of a proof; 0 = none */
    uint32_t proven_start;  /* by which core */
    uint64_t proven_second; /* of the simulation */
    bool is_proof_kept;     /* it survives a kill */
    bool may_be_known;      /* to some core, though it was perhaps killed while it heard */
    bool has_shown_itself;  /* a certificate, to the server, that proves it */
    bool is_written_to;     /* after weeks (sim/weeks), */
    bool is_asked_in_clear; /* and asked then */
    unsigned count;
    struct zone_server servers[ZONE_SERVERS];
};

struct zones {
    struct random dice, trust;
    struct zone at[ZONES];
    struct domain_settings settings[ZONES];
    bool is_memory_over; /* what was proven is too old to be demanded again */
};

bool zone_is_seed(uint64_t seed);
bool zone_is_secure(uint64_t seed);

/* Throws who is reached by TLS, and what is demanded; before there is a machine. */
void zone_throw_trust(struct sim *sim, uint64_t seed);

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

/* What who comes from there, or listens there, proves to be: a domain, or nobody. */
struct slice zone_proof(struct sim *sim, const struct flow *flow);

/* The same by a plan: where that has TLSA records, by matching one of them alone.  A plan by its
 * domain and the first bytes of its records. */
struct slice zone_prove(struct sim *sim, const struct flow *flow, struct slice domain,
                        struct slice records);
/* The core has heard that it is that domain. */
void zone_proven(struct sim *sim, struct slice domain);
void zone_power_cut(struct sim *sim);

/* From now on nobody finds the streams of those without TLSA records, nor is one there. */
void zone_hide_tls(struct sim *sim);

/* Neither the settings nor TLSA records demand anything of that one. */
bool zone_is_free(const struct sim *sim, unsigned zone);

/* The judge: of a stream to there that the core wanted in that step; of a request that it decided
 * on then to that host and port, or in a dialog with who is there. */
void zone_planned(struct sim *sim, const struct flow *flow, const struct peer_plan *plan,
                  bool is_for_answer, uint64_t step);
void zone_check_proof(struct sim *sim, struct slice target, const struct flow *flow, uint64_t step);
void zone_check_dialog(struct sim *sim, const struct flow *flow, const struct message *request,
                       uint64_t step);

/* The domain of a phone, whose name ends with a NUL.  And: if it calls by TLS this time, else
 * empty. */
struct slice zone_name(const struct sim *sim, const struct phone *phone);
struct slice zone_calls_by_tls(struct sim *sim, const struct phone *phone);

/* The settings demand a proof of it. */
bool zone_must_prove(const struct sim *sim, const struct phone *phone);

/* What a phone is told of who calls: that it has proven to be a domain is true. */
void zone_check_caller(struct sim *sim, const struct message *request);
/* The same of who answers. */
void zone_check_callee(struct sim *sim, const struct message *response);

/* It can be reached at all, as far as what is demanded goes, and places are tried. */
bool zone_is_reachable(const struct sim *sim, const struct phone *phone);

/* The phone that lives in the domain of this URI; NULL if it is none of these. */
const struct phone *zone_phone(const struct sim *sim, struct slice uri);
