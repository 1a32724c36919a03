/*
 * From one server of a domain to the next (RFC 3263 4.3): which of the places of a branch's target
 * its request goes to.
 *
 * The place is written into the target, and into the journal, before anything is sent there, so
 * that CANCEL, ACK and a restart stay with the same server (RFC 3261 9.1, 17.1.1.3).  A server that
 * cannot be reached, does not answer or says 503 is left for the next, by a client transaction, and
 * so a branch, of its own.  One that does not say a word for seconds is left too, though a word of
 * it still counts: while nobody else has said one, it is taken back; else a provisional response is
 * answered by CANCEL, and a 2xx is accepted.
 */
#pragma once

#include "core/oddity.h"
#include "core/request.h"

/* A branch without a place: sends it to the first, or lets it wait until that is known.  False if
 * there is none: locate_fault says why, if there is a lookup. */
bool failover_seek(struct core *core, struct context *context, struct client_transaction *client,
                   const struct request *req, struct actions *out);

/* A branch whose place is known, and not what it must prove there: looks for its TLSA records, and
 * sends it when they are found.  False if none are needed, or there are none: locate_fault says
 * why.
 */
bool failover_prove(struct core *core, struct context *context, struct client_transaction *client,
                    const struct request *req, struct actions *out);

/* A branch has failed, at its present place if it has one: by `status`, and that place is avoided
 * for `length`.  True if the target is tried at another place, or may be as soon as that is known;
 * then this transaction decides nothing. */
bool failover_next(struct core *core, struct context *context, struct client_transaction *client,
                   unsigned status, duration length, struct moment now, struct actions *out);

/* How far from everyone a place may be that a name leads to.  A URI that the caller, there, wrote
 * must not lead where the caller could not go by itself: into our own network, or into this
 * machine. What the administrator wrote, `uri`, may. */
enum seclusion failover_widest(const struct core *core, const struct flow *caller,
                               struct slice uri);

/* Its lookup may know more than before: an answer came, or will not. */
void failover_look(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out);

/* 18.1.1: it went by a stream for its length alone, and that does not come about: something on the
 * way lets none through.  It goes to the same place by datagram, which has as much time again. */
void failover_by_datagram(struct core *core, struct client_transaction *client, struct moment now,
                          struct actions *out);

/* A response comes from a place that was left, and the one that took over has said nothing yet:
 * they change roles, before it is looked at. */
void failover_return(struct core *core, struct client_transaction *client, struct moment now,
                     struct actions *out);

/* EVENT_UNREACHED: what was sent there did not arrive (RFC 3261 18.4).  Anybody can say so, but who
 * repeats our branch has seen what we sent. */
void failover_unreached(struct core *core, const struct flow *flow, struct slice bytes,
                        struct moment now, struct actions *out);

/* The place has answered, and not by a 503. */
void failover_heard(struct core *core, struct context *context, struct client_transaction *client,
                    unsigned status, instant now);
