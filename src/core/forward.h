/*
 * The bytes of forwarded messages (RFC 3261 16.6, 16.7 step 3): received bytes with edits spliced
 * in.  What is not named here passes untouched.
 */
#pragma once

#include "core/branch.h"
#include "core/request.h"
#include "sip/compose.h"

#define VIA_STAMP_TEXT 80u /* ";received=[...]" and "rport=65535" */

/* Adds to a splice what the receiver writes into the topmost Via (18.2.1, RFC 3581 4): received
 * and rport.  Places are relative to `origin`; `text` has VIA_STAMP_TEXT bytes and must outlive the
 * splice. */
void stamp_via(struct splice *s, const struct request *req, size_t origin, char *text);

/* Header fields that forwarding may add: Via, Record-Route twice, Max-Forwards, Max-Breadth,
 * Caller, Node, Date, Identity twice, Session-Expires, a last Route.  What was sent is read again
 * for its ACK or CANCEL, so a request must leave room for them. */
#define FORWARD_FIELDS 12u

/* A session description in place of the one that came, whose length Content-Length then says
 * (core/anchor); an empty text changes nothing. */
struct description {
    struct span at; /* in the message */
    struct slice text;
};

#define AS_IT_CAME ((struct description){{0, 0}, {NULL, 0}})

/* What is particular to one branch of a forwarded request. */
struct forwarding {
    struct flow flow;       /* to the next hop */
    struct slice uri;       /* the new Request-URI; empty: it stays */
    struct slice path;      /* Route values that lead there (RFC 3327), or empty */
    uint64_t binding;       /* the callee's, for the cookie; 0: the flow, */
    struct slice domain;    /* of the server of this domain, or empty, */
    uint8_t policy;         /* of which as much is demanded in the dialog */
    uint64_t transaction;   /* for the branch; 0: stateless */
    uint32_t max_breadth;   /* written if not 0 */
    struct slice signature; /* lines that say who sends it (core/signing), or empty */
    struct slice diversion; /* the line that says that it was for another domain, or empty */
    struct description description;
};

/* Hash of what routing depends on (16.6 step 8), for telling loops from spirals. */
uint32_t forward_loop(const struct core *core, const struct request *req);

/* Writes our Via for a request that goes by that flow: the whole field. */
void forward_via(struct writer *w, const struct core *core, const struct flow *flow,
                 const struct branch *branch);

/* Writes the request as it goes to that branch into out->bytes; returns it. */
struct slice forward_request(struct core *core, const struct request *req,
                             const struct forwarding *to, struct actions *out);

/* Writes a response without its topmost Via, with another description, with a session timer of
 * `session` seconds where it has none (core/session, 0: without), without what its sender asserts
 * (RFC 3325 5), and with a line of ours (core/hearing) or an empty one, into out->bytes; returns
 * it. A 503 becomes a 500, for it was not said of us (16.7 step 6). */
struct slice forward_response(const struct message *response, const struct description *description,
                              uint32_t session, struct slice line, struct actions *out);

/* A 100 to who sent what was forwarded as this request, into out->bytes. */
struct slice forward_trying(struct slice request, struct actions *out);

/* The ACK for a failure (17.1.1.3) and the CANCEL (9.1) of a request as it was sent, into
 * out->bytes; `reason` is why (RFC 3326), or empty. */
struct slice forward_ack(struct slice request, const struct message *response, struct actions *out);
struct slice forward_cancel(struct slice request, struct slice reason, struct actions *out);
