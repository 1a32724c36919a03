/*
 * Connections: the streams that the shell holds, as the core knows them (RFC 3261 18, RFC 5923).
 *
 * A request goes down the connection that its phone opened; only where that is gone, or there
 * never was one, is another opened.  Who depends on a connection is told when it ends.
 */
#pragma once

#include "core/peer.h"
#include "core/state.h"

size_t connection_bytes(const struct limits *limits);
void connection_init(struct core *core, struct arena *from);

/* EVENT_OPENED and EVENT_CLOSED.  The client transactions on one that ended, if they have heard
 * nothing yet, fail or find another way at their next timer, which is now; so do those that were
 * held until one stands. */
void connection_opened(struct core *core, const struct event *event, struct moment now,
                       struct actions *out);
void connection_closed(struct core *core, const struct event *event, instant now);

/* One that we opened is not wanted by who waited for it: it is closed, unless others use it. */
void connection_spare(struct core *core, const struct flow *flow, struct actions *out);

/* A response or an ACK goes by it, which no client transaction waits with: it is not spared. */
void connection_keep(struct core *core, const struct flow *flow);

/* A datagram, or a stream that stands or is being opened. */
bool connection_stands(const struct core *core, const struct flow *flow);

/* A stream that stands: its peer is there. */
bool connection_has_opened(const struct core *core, const struct flow *flow);

/* Completes a flow to a peer that listens: by a connection that there is, or a new one.  False if
 * there is no room for another, none of our sockets is of that kind, or it is one that only a phone
 * can open. */
bool connection_reach(struct core *core, struct flow *to, struct actions *out);

/* The same to a domain's server, of whom the plan demands what it must prove.  A connection that
 * stands already, whoever opened it, will do if its peer has proven to be that domain, or matches
 * the plan's TLSA records, or if it was opened for it and no less was demanded (RFC 5923 5): that
 * another is at the same address is nothing. */
bool connection_reach_domain(struct core *core, struct flow *to, const struct peer_plan *plan,
                             struct actions *out);

/* What the peer of a stream of TLS has shown (core/credential), or empty. */
struct slice connection_credential(const struct core *core, const struct flow *flow);

/* A request came by it, with that topmost Via.  Where that says `alias`, and the peer has proven to
 * be a domain, requests for the port that the Via names go by it, too, as if we had connected there
 * (RFC 5923 5, 8.1). */
void connection_alias(struct core *core, const struct flow *flow, const struct via *via);

/* The same, once it is known that the peer has proven to be a domain (connection_proves), perhaps
 * not before that request; true if it goes by that name. */
bool connection_alias_proven(struct core *core, const struct flow *flow, const struct via *via);

/* We opened it. */
bool connection_is_ours(const struct core *core, const struct flow *flow);

/* It stands, and if we opened it, then for that domain. */
bool connection_is_for(const struct core *core, const struct flow *flow, struct slice domain);

/* The peer has proven to be that domain (RFC 5922), or is known to be by DNS (core/claims). */
bool connection_proves(const struct core *core, const struct flow *flow, struct slice domain);

/* It has, and not by DNS alone. */
bool connection_certifies(const struct core *core, const struct flow *flow, struct slice domain);

/* The way to a target: its flow, or, for a binding, its present one.  Where that stream has ended,
 * the Contact, if it is at the address that the phone registered from: elsewhere might be
 * somebody else.  `may_dial`: it may be a new connection, and is then set to false; by `plan`, to
 * another domain's server, else NULL.  False if there is none at present. */
bool connection_way(struct core *core, const struct target *target, const struct peer_plan *plan,
                    bool *may_dial, struct flow *way, struct actions *out);

/* Puts a client transaction on the connection it is sent by, and takes it off. */
void connection_join(struct core *core, struct client_transaction *client);
void connection_leave(struct core *core, struct client_transaction *client);

/* One of our sockets of that transport and family: the flow's own, unless that is gone, is
 * another's (a flow may be of an earlier run) or leads nowhere but to this machine; then the one
 * that flow_choose_socket takes.  False if there is none. */
bool flow_find_socket(const struct core *core, struct flow *flow);

/* The one whose address has most in common with the peer's: a private network is spoken to from the
 * address that we have there.  `must_fit`: none that leads nowhere but to this machine or link,
 * unless the peer is there. */
bool flow_choose_socket(const struct core *core, struct flow *flow, bool must_fit);
