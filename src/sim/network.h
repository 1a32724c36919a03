/*
 * The network: a star of nodes around the server.  Datagrams are lost, doubled, overtaken and cut
 * off, but none lives longer than T4 (RFC 3261 17.1.2.2).  What goes by a stream (sim/wire) comes
 * in order, later if it was cut off.
 *
 * A node may change its address; whoever had it before is remembered, for the judge.
 */
#pragma once

#include "core/flow.h"
#include "sim/dice.h"
#include "sip/message.h"

struct sim;

#define NODE_LIMIT 64u
#define NO_NODE UINT32_MAX

/* The server's sockets, as indices of flow.socket. */
enum {
    SOCKET_V4,
    SOCKET_V6,
    SOCKET_TCP_V4,
    SOCKET_TCP_V6,
    SOCKET_WS_V4, /* only in seeds that have streams */
    SOCKET_WS_V6,
    SOCKET_TLS_V4, /* only in seeds that have secure domains */
    SOCKET_TLS_V6,
    SOCKET_COUNT,
};

struct address_record {
    struct flow flow;
    uint32_t node;
    bool is_current;
};

struct weather {
    unsigned loss, duplication, reordering; /* thousandths */
};

struct network {
    struct weather weather;
    instant cut_until[NODE_LIMIT]; /* a partition: nothing passes between node and server */
    duration latency[NODE_LIMIT];
    struct address_record *addresses;
    unsigned address_count;
};

/* A datagram under way. */
struct datagram {
    struct flow flow;   /* the node's side */
    uint32_t sender;    /* the node that truly sent it, NO_NODE: the server */
    struct slice bytes; /* owned */
};

/* An address that nobody has had, for one of `site`'s hosts: nodes of a site share the host. */
struct flow network_new_address(struct sim *sim, unsigned site, bool is_v6, bool is_public);

/* The node is at this address from now on, and no longer at `old` unless that is NULL. */
void network_move(struct sim *sim, uint32_t node, const struct flow *old, const struct flow *new);

/* Nobody is at this address any more. */
void network_leave(struct sim *sim, const struct flow *flow);

/* Who is at an address now, or was once (then *is_current is false); NO_NODE if nobody ever. */
uint32_t network_owner(const struct sim *sim, const struct flow *flow, bool *is_current);

/* From `sender` to the server, with this source address: its own unless it lies. */
void network_to_server(struct sim *sim, uint32_t sender, const struct flow *source,
                       struct slice bytes);

/* From the server. */
void network_to_node(struct sim *sim, const struct flow *flow, struct slice bytes);

/* The server hears that a datagram did not arrive, if it is still the one that sent it; frees it.
 */
void network_refuse(struct sim *sim, uint32_t starts, struct datagram *datagram);

/* What came by a stream from there was framed (sim/pipe): the server gets a message, or, with a
 * fault, what can be none. */
void network_framed(struct sim *sim, uint32_t sender, const struct flow *flow, struct slice message,
                    struct fault broken);

/* A datagram has arrived, or a part of a stream: hands it over and frees it. */
void network_deliver(struct sim *sim, struct datagram *datagram);

/* Frees the addresses; for the end of a seed. */
void network_free(struct sim *sim);

/* "192.0.2.7:5060" for traces and contacts. */
struct slice network_text(const struct flow *flow, char *text, size_t limit);
