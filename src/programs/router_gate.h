/*
 * The router: how it can be asked, its address outside, and the ports that it forwards.  PCP is
 * tried first, then NAT-PMP, then UPnP; where none is answered, again after half a minute.
 *
 * What it forwards lasts an hour and is renewed at the half.  Every ten seconds one thing is asked
 * of it, so that a change of its address and a start are noticed; it announces both, too, where it
 * can.
 */
#pragma once

#include "programs/router_forwards.h"
#include "programs/router_portmap.h"
#include "programs/router_upnp.h"
#include "shell/router_wire.h"

enum gate_way {
    GATE_PCP,
    GATE_PMP,
    GATE_UPNP,
    GATE_NONE, /* nobody answered, for now */
};

struct gate {
    bool is_wanted;
    struct router_wish wish;
    int fd, announced; /* sockets: to it, and to all hosts; -1: there is none */
    enum gate_way way;
    bool is_found; /* it answers by that */
    unsigned tries;
    instant due; /* the next question, beside those for ports */
    struct forwards forwards;
    struct upnp *upnp;
    uint8_t address[4]; /* of the router here, and ours towards it */
    uint8_t own[4];
    bool has_epoch;
    bool is_young; /* it had just started when it was first heard: see take_epoch */
    uint32_t epoch;
    instant epoch_at;
    bool has_outside; /* its address outside, also the last one while it does not answer */
    struct address_bytes outside;
    const char *why; /* it refuses, or cannot be reached; NULL: it does not answer */
};

void gate_begin(struct gate *gate, const struct router_wish *wish, instant now);

/* Ports are given back, unless they are to lead here on, for the next run. */
void gate_end(struct gate *gate, bool are_kept);

instant gate_deadline(const struct gate *gate);

/* What is due is asked. */
void gate_step(struct gate *gate, instant now);

/* One of the sockets is readable. */
void gate_take(struct gate *gate, int fd, instant now);

/* It is known what there is, and nothing is being asked. */
bool gate_is_settled(const struct gate *gate);
