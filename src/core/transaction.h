/*
 * Transactions (RFC 3261 17): the machines of core/strans and core/ctrans with what belongs to
 * them: key or branch, timer, flow and bytes.  Above them stands core/proxy, which is told of
 * responses and time-outs.
 */
#pragma once

#include "core/request.h"

size_t transaction_bytes(const struct limits *limits);
void transaction_init(struct core *core, struct arena *from, uint32_t first_generation);

/* The server transaction that a request belongs to (17.2.3), or NULL. */
struct server_transaction *server_find(const struct core *core, const struct hash128 *key);

/* NULL if there is no room.  `sent_by` is the port where the sender listens. */
struct server_transaction *server_open(struct core *core, const struct hash128 *key, bool is_invite,
                                       const struct flow *flow, uint16_t sent_by);

/* Who asked with so many bytes has proven nothing, and its address may be forged: a failure is
 * repeated to it within limits (UNPROVEN_TIMES). */
void server_meter(struct server_transaction *server, size_t len);

/* Sends a response, if one may still go out: false if not.  `bytes` lie in out->bytes. */
bool server_respond(struct core *core, struct server_transaction *server, unsigned status,
                    struct slice bytes, instant now, struct actions *out);

/* No response will ever be sent (RFC 4320). */
void server_silence(struct core *core, struct server_transaction *server, instant now,
                    struct actions *out);

/* Anything but a response from above: the request again, its ACK. */
void server_step(struct core *core, struct server_transaction *server, enum strans_input input,
                 instant now, struct actions *out);
void server_expire(struct core *core, struct server_transaction *server, instant now,
                   struct actions *out);
/* Frees it. */
void server_close(struct core *core, struct server_transaction *server);
/* Sets its timer to its deadline; after a restart. */
void server_arm(struct core *core, struct server_transaction *server);

/* What a branch says of a client transaction: the same across restarts. */
uint64_t client_branch(const struct core *core, const struct client_transaction *client);

/* The client transaction with that branch, or NULL. */
struct client_transaction *client_find(const struct core *core, uint64_t branch);

/* A response came: it goes to the client transaction that its branch names.  One that we did not
 * make is dropped (RFC 6026 8.9), and so is one to another than us (18.1.2). */
void client_receive(struct core *core, const struct message *response, const struct flow *flow,
                    struct moment now, struct actions *out);

/* NULL if there is no room.  It sends nothing yet. */
struct client_transaction *client_open(struct core *core, enum method method,
                                       const struct flow *flow);

/* Sends the request for the first time; `bytes` lie in out->bytes and are kept for sending them
 * again.  False, with nothing sent, if there is no room to keep them. */
bool client_send(struct core *core, struct client_transaction *client, struct slice bytes,
                 instant now, struct actions *out);

/* Nothing is sent before its stream stands, or its lookup knows better (core/race). */
void client_hold(struct core *core, struct client_transaction *client, const struct flow *way,
                 instant now);

/* Nothing can be sent yet: context_seek is asked until `until` whether it can. */
void client_wait(struct core *core, struct client_transaction *client, instant until, instant now);

/* Nothing can be sent before DNS has answered: the lookup is looked at again then, and at `until`
 * (core/failover). */
void client_await(struct core *core, struct client_transaction *client, instant until, instant now);

/* Sends a CANCEL for it, or will as soon as a provisional response allows it (9.1). */
void client_cancel(struct core *core, struct client_transaction *client, instant now,
                   struct actions *out);

/* A response came, or a time, or nothing could be reached. */
void client_step(struct core *core, struct client_transaction *client, enum ctrans_input input,
                 const struct message *response, struct moment now, struct actions *out);
void client_expire(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out);
void client_close(struct core *core, struct client_transaction *client);
void client_arm(struct core *core, struct client_transaction *client);
/* Names it by the branch of an earlier run. */
void client_rename(struct core *core, struct client_transaction *client, uint64_t branch);
