/*
 * The realm: who is one of ours, and proves it (RFC 3261 22, RFC 7616, RFC 8760).
 *
 * Challenges are made without state: a nonce carries its time, the run that made it and the
 * address it was given to, under a MAC.  What is kept is only the window of nonce counts used, in
 * a table of fixed size; a nonce that fell out of it, or of an earlier run, is stale.
 */
#pragma once

#include "core/request.h"

enum proof {
    PROOF_GIVEN,    /* req->sender is who it says */
    PROOF_NONE,     /* no credentials for our realm, or wrong ones: challenge */
    PROOF_STALE,    /* right, but the nonce is too old or unknown: challenge with stale=true */
    PROOF_IGNORED,  /* too many guesses came from there: no answer (core/abuse) */
    PROOF_REPEATED, /* an exact copy of the request this nonce count was used for: req->sender set
                     */
    PROOF_REFUSED,  /* it names a reject node: req->sender, whose status is the answer */
};

size_t realm_bytes(const struct limits *limits);
void realm_init(struct core *core, struct arena *from);

/* Checks Authorization or Proxy-Authorization of a request and sets req->sender. */
enum proof realm_check(struct core *core, struct request *req, enum header header,
                       struct actions *out);

/* The request is refused before its credentials are looked at: their count is used all the same, so
 * that nobody who heard them can say them again. */
void realm_spend(struct core *core, const struct request *req, enum header header);

/* Sends 401 (for Authorization) or 407 (for Proxy-Authorization). */
void realm_challenge(struct core *core, const struct request *req, enum header header,
                     bool is_stale, struct actions *out);

/* An Authorization value is for our realm. */
bool realm_is_ours(const struct core *core, struct slice value);

/* The binding of req->sender by whose flow the request came; 0 if there is none. */
uint64_t realm_sender_binding(const struct core *core, const struct request *req);

/* This From or To names `user`: by id or extension, at one of our names. */
bool realm_names(const struct core *core, const struct address *address, const struct user *user);
