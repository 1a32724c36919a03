/*
 * Fetching the certificates of other domains, by libcurl on a thread of its own, which begins with
 * the first (RFC 8224 6.2 step 3).
 *
 * Strangers say from where.  So it is https alone, with little time, few bytes and few redirects,
 * and no connection goes to an address that fewer can reach than who asks for it: nobody looks into
 * our network through us.  Who answers need not prove anything by TLS, for he proves nothing that
 * way: the caller wrote the URI.  What counts is the certificate itself: a CA that is trusted here
 * must say that it is the domain's, and it must be valid now.
 *
 * All functions are the main thread's.
 */
#pragma once

#include "core/oddity.h"
#include "core/vouch.h"
#include "shell/log.h"

struct fetch;

/* NULL, and it was logged why, if the kernel does not let us. */
struct fetch *fetch_open(struct log *log);
/* What is under way is not answered any more. */
void fetch_close(struct fetch *fetch);

/* CAs that are trusted beside those of the system: a file in PEM, or empty. */
void fetch_trust(struct fetch *fetch, struct slice authfile);

/* Readable when fetch_next may have something. */
int fetch_descriptor(const struct fetch *fetch);

/* An answer follows, once.  `what` is a domain, a line feed and a URI. */
void fetch_ask(struct fetch *fetch, uint64_t question, enum seclusion widest, struct slice what);

/* The next answer; false if there is none at present. */
bool fetch_next(struct fetch *fetch, uint64_t *question, struct certificate *certificate);
