/*
 * The proxy (RFC 3261 16): the whole story of the server in two straight lists of stages.
 *
 *     bytes -> message -> request path -> client transaction -> bytes
 *     bytes -> message -> client transaction -> response path -> server transaction -> bytes
 */
#pragma once

#include "core/request.h"

/* Takes a request that was read down its path. */
void proxy_request(struct core *core, struct request *req, struct actions *out);

/* What the path looks at first, for a rehearsal (core/rehearse), too: the Request-URI, and the
 * access lists, which set req->access. */
struct fault proxy_check_uri(const struct request *req);
struct fault proxy_check_source(const struct core *core, struct request *req);
/* A request that was held (context_hold) goes on, when its claim is proven or refuted. */
void proxy_proven(struct core *core, struct context *context, struct moment now,
                  struct actions *out);

/* A request that was held (context_hold) goes on, with a certificate or the lack of one. */
void proxy_resume(struct core *core, struct context *context, struct moment now,
                  struct actions *out);

/* A client transaction hands up a response: provisional, final, or a repeated 2xx. */
void proxy_response(struct core *core, struct client_transaction *client,
                    const struct message *response, struct moment now, struct actions *out);

/* A client transaction ended without a final response: 408, or 503 where nobody was reached. */
void proxy_timeout(struct core *core, struct client_transaction *client, unsigned status,
                   struct moment now, struct actions *out);

/* Why its branch is being cancelled, for the CANCEL's Reason field (RFC 3326). */
struct slice proxy_cancel_reason(const struct core *core, const struct client_transaction *client);
