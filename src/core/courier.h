/*
 * Requests that no context holds, on their way to another domain's server: the ACK of a 2xx that
 * passes, the CANCEL of a branch and the ACK of its failure, a BYE of our own.
 *
 * All of their way is known but for the connection.  Where that has gone, and who answers a new one
 * must match TLSA records (RFC 7673 4), these are looked for (core/locate).  Until they are found
 * the request is kept, as it will be sent, by a client transaction that belongs to no server
 * transaction.  Without them it is given up, and nothing is sent.
 *
 * None waits longer than a lookup takes.  Of ACKs, which whoever is in a dialog sends as it likes,
 * no more than WAITING_ACKS_LIMIT wait at a time, and of copies one: those that are not let in are
 * not lost, for the 2xx comes again, and so will its ACK.
 */
#pragma once

#include "core/request.h"
#include "core/transaction.h"

/* Sends the request that a transaction was opened for by the present way to a target, or as soon as
 * it is known what `plan` lacks; without one nothing must be proven.  `bytes` lie in out->bytes.
 * False if neither can be done. */
bool courier_send(struct core *core, struct client_transaction *client, const struct target *target,
                  const struct peer_plan *plan, struct slice bytes, instant now,
                  struct actions *out);

/* Keeps it until the TLSA records of that domain's server at client->flow are found. */
bool courier_await(struct core *core, struct client_transaction *client, struct slice domain,
                   struct slice bytes, instant now, struct actions *out);

/* The same for what belongs to a branch, and goes where its INVITE went.  False if it is not for
 * lack of records that there is no way. */
bool courier_follow(struct core *core, const struct client_transaction *branch,
                    struct client_transaction *client, struct slice bytes, instant now,
                    struct actions *out);

/* It waits. */
bool courier_waits(const struct client_transaction *client);

/* A CANCEL that waits is not wanted any more: its INVITE has its final response. */
void courier_withdraw(struct core *core, struct handle cancel);

/* Its lookup may know more than before. */
void courier_look(struct core *core, struct client_transaction *client, struct moment now,
                  struct actions *out);
