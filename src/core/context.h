/*
 * Response contexts (RFC 3261 16.2 to 16.8): a request being forwarded to its target set, by
 * preference and in parallel within one, and the choice of the best response.
 */
#pragma once

#include "core/request.h"

size_t context_bytes(const struct limits *limits);
void context_init(struct core *core, struct arena *from);

/* The same request by another path is being forwarded already (8.2.2.2).  Sets req->merge. */
bool context_is_merged(const struct core *core, struct request *req);

/* Room for one more request of `len` bytes and its first branch.  What begins something leaves some
 * to the requests of dialogs that stand. */
bool context_has_room(const struct core *core, const struct request *req, size_t len);

/* Opens the server transaction and context of a request and forwards it to the first of its
 * targets.  There must be room, and at least one target. */
void context_open(struct core *core, struct request *req, struct actions *out);

/* Opens the server transaction and a context that only holds the request, which nobody has answered
 * yet (core/certificates).  There must be room; NULL if its bytes have none. */
struct context *context_hold(struct core *core, const struct request *req);

/* Opens the server transaction of an INVITE and refuses it.  There must be room. */
void context_refuse(struct core *core, struct request *req, struct fault fault,
                    struct actions *out);

/* Whom responses are for, where the stream of TLS that the request came by has gone: what a new one
 * must prove.  False: that is not known any more, or DNS would have to be asked; a plan without a
 * domain: it may be anybody. */
bool context_sender_plan(const struct core *core, const struct context *context,
                         struct peer_plan *plan);

/* A request other than INVITE has no answer for so long that its sender is told 100 (RFC 4320 4.1).
 */
void context_say_trying(struct core *core, struct server_transaction *server, instant now,
                        struct actions *out);

/* The caller gave up: cancels the branches.  `reason` may be empty. */
void context_cancel(struct core *core, struct server_transaction *server, struct slice reason,
                    struct moment now, struct actions *out);

/* A branch is decided: by a final response, or, with NULL, by none: then `fault` is what counts in
 * its place, 408 or, where nobody was reached, 503 (16.9), or why there is nobody.  Called once a
 * branch. */
void context_decide(struct core *core, struct context *context, struct client_transaction *client,
                    const struct message *response, struct fault fault, struct moment now,
                    struct actions *out);

/* A place that was left answered after all, by a 2xx (core/failover). */
void context_accept_left(struct core *core, struct context *context,
                         struct client_transaction *client, const struct message *response,
                         struct moment now, struct actions *out);

/* The flow of a branch, which may have ended since: the present way to its target.  False if there
 * is none. */
bool context_find_flow(struct core *core, struct client_transaction *client, struct actions *out);

/* What a new connection to a branch's server must match, and is not known: the domain of which TLSA
 * records are to be sought, and the place that must have them.  Empty if there is no such lack.
 * `req` becomes the request of the context, and has it. */
struct slice context_bound_domain(struct core *core, const struct client_transaction *client,
                                  struct request *req, struct flow *place);

/* The way to a target of a request that makes no transaction, as far as it is known.  False if
 * there is none. */
bool context_find_way(struct core *core, const struct request *req, unsigned index,
                      struct flow *way, struct actions *out);

/* A branch whose target could not be reached: looks for a way again, and gives up in time. */
void context_seek(struct core *core, struct client_transaction *client, struct moment now,
                  struct actions *out);

/* Rebuilds the branches of a restored INVITE: its request, flow, flags, targets and position are
 * set; branches[i] is what the branch of target i said, 0 if it is closed.  False if the request
 * cannot be read. */
bool context_restore(struct core *core, struct context *context, const uint64_t *branches,
                     struct moment now, struct actions *out);

/* The same: composes again what branches of restored INVITEs will send, now that it is known which
 * of them are relayed. */
void context_compose_again(struct core *core, struct moment now, struct actions *out);

/* After the journal is read: goes on where nothing is awaited any more. */
void context_resume(struct core *core, struct context *context, struct moment now,
                    struct actions *out);

/* The request of a context, read again from its bytes; false if that fails. */
bool context_read(const struct core *core, const struct context *context, struct moment now,
                  struct request *req);

/* Decides on the media of an open branch, if the way there is known: before the INVITE's image is
 * put, which has the decision. */
void context_decide_media(struct core *core, struct context *context, unsigned index,
                          const struct request *req);

/* Sends it by a branch to its target, or lets it wait for a way there.  False if there is no room.
 */
bool context_send(struct core *core, struct context *context, struct client_transaction *client,
                  const struct request *req, uint32_t breadth, struct actions *out);

/* Sends it again, or for the first time, by a way that was found. */
void context_send_by(struct core *core, struct context *context, struct client_transaction *client,
                     const struct request *req, const struct flow *way, struct actions *out);

/* It was cancelled, answered or refused: no branch of it is to ring any more. */
static inline bool context_is_over(const struct context *context)
{
    return context->flags & (CONTEXT_CANCELLED | CONTEXT_ACCEPTED | CONTEXT_REFUSED);
}

/* It only holds its request, and nobody has been asked yet. */
static inline bool context_is_held(const struct context *context)
{
    return context->held_by && !context->answer.at;
}

/* The URI that a branch asks for, or is to. */
struct slice context_branch_uri(const struct core *core, const struct client_transaction *client);

void context_close(struct core *core, struct context *context);

/* An INVITE that would begin a call, and nobody has answered it. */
bool context_is_ringing(const struct core *core, const struct context *context);

/* The texts of the target set behind its structs. */
struct target *context_targets(const struct context *context);
struct slice context_target_uri(const struct context *context, unsigned index);
struct slice context_target_path(const struct context *context, unsigned index);
